//! HTTP calls of the control plane.
//!
//! - [`transport`]: the [`Transport`] trait (send one call, get one answer before its deadline),
//!   the [`Clock`] trait, and how failures are classified.
//! - [`message`]: requests and answers.
//! - [`json`]: bodies to values and back.
//! - [`retry`]: the loop that asks the domain's retry policy and sleeps by the clock.
//! - `fetch` (wasm only): the host's `fetch`, with one timer for all deadlines.
//! - `pinned` (feature `native`): TLS to an agent from a native program.
//! - [`recorded`] (tests): answers from a script, and a clock that jumps.
//!
//! Futures are not `Send`: the control plane runs on one thread, in wasm.

#[cfg(target_arch = "wasm32")]
pub mod fetch;
pub mod json;
pub mod message;
#[cfg(all(feature = "native", not(target_arch = "wasm32")))]
pub mod pinned;
#[cfg(all(any(test, feature = "recorded"), not(target_arch = "wasm32")))]
pub mod recorded;
pub mod retry;
#[cfg(target_arch = "wasm32")]
pub mod timer;
pub mod transport;

pub use message::{Headers, Request, Response};
pub use transport::{BodyStream, Call, Clock, LocalFuture, Pin, Transport, TransportError};
