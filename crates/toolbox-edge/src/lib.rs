//! What every edge function shares: the way from a JavaScript request to a use case and back.
//!
//! One request goes through these modules in this order:
//! [`wasm`](self) turns the host's request into a [`toolbox_http::Request`] → [`entry`] gives it an id,
//! answers preflights and picks a [`router::Route`] → [`identity`] says who calls → the function's
//! handler runs with a [`context::RequestContext`] and reads the [`body`] when it needs it → [`reply`] makes the answer, the one place
//! where an error becomes an envelope → [`cors`] adds its headers → back to the host.
//!
//! Only [`config`] knows names of environment variables. Everything except the `wasm` module is
//! plain Rust over the traits [`toolbox_http::Transport`], [`toolbox_http::Clock`] and
//! [`host::Host`], and is tested natively.

pub mod body;
pub mod config;
pub mod context;
pub mod cors;
pub mod entry;
pub mod host;
pub mod identity;
mod json;
mod provisioning;
#[cfg(all(any(test, feature = "recorded"), not(target_arch = "wasm32")))]
pub mod recorded;
pub mod reply;
pub mod router;
#[cfg(target_arch = "wasm32")]
pub mod wasm;

pub use context::{FunctionState, RequestContext};
pub use reply::Reply;
pub use router::{Answer, Function, Route};
