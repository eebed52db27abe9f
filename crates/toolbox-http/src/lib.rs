//! HTTP calls of the control plane.
//!
//! - [`transport`]: the [`Transport`] trait (send one call, get one answer before its deadline),
//!   the [`Clock`] trait, and how failures are classified.
//! - [`message`]: requests and answers.
//! - [`retry`]: the loop that asks the domain's retry policy and sleeps by the clock.
//! - `fetch` (wasm only): the host's `fetch`, through gloo-net.
//! - `native` (feature `native`): reqwest and rustls, for servers.
//! - `pinned` (feature `native`): TLS to an agent from a native program.
//! - [`recorded`] (tests): answers from a script, and a clock that jumps.

#[cfg(target_arch = "wasm32")]
pub mod fetch;
pub mod message;
#[cfg(all(feature = "native", not(target_arch = "wasm32")))]
pub mod native;
#[cfg(all(feature = "native", not(target_arch = "wasm32")))]
pub mod pinned;
#[cfg(all(any(test, feature = "recorded"), not(target_arch = "wasm32")))]
pub mod recorded;
pub mod retry;
pub mod transport;

pub use message::{Headers, Request, Response};
pub use transport::{
    BodyStream, BoxFuture, Break, Call, Clock, LocalFuture, Passed, Passing, Pin, ThreadSafe,
    Transport, TransportError, within,
};
