//! The edge function `heartbeat`: what the agents of toolboxes tell, and what they are told.
//!
//! Its callers are machines, so there is no user: each request names a toolbox in its path and presents that
//! toolbox's own key, or an enrolment token. Both are hashed here and compared in the database, which answers for
//! exactly that toolbox and for no other.
//!
//! - [`routes`]: the table.
//! - `enrol`: a single-use token becomes the toolbox's keys, and the agent's certificate is pinned.
//! - `beat`: one heartbeat is recorded, in one round trip where it brings no news; its answer carries the digest of the desired
//!   state.
//! - `desired`: the desired state, for an agent whose digest differs.
//! - `presented`: what an agent presents; `keys`: what it is given; `certificate`: fingerprints.
//!
//! No token, key, certificate or environment is ever logged or answered to anybody but the agent it belongs to.

mod beat;
mod certificate;
mod desired;
mod enrol;
mod keys;
mod presented;
pub mod routes;

#[cfg(test)]
mod beat_tests;
#[cfg(test)]
mod desired_tests;
#[cfg(test)]
mod enrol_tests;
#[cfg(test)]
mod routes_tests;
#[cfg(test)]
mod testing;

use toolbox_api::error::ApiError;
use toolbox_api::problem::FieldError;

pub use routes::FUNCTION;

/// One field breaks a rule.
fn refused_field(field: &str, rule: &impl std::error::Error) -> ApiError {
    ApiError::validation(vec![FieldError {
        field: field.to_owned(),
        code: "invalid".to_owned(),
        message: rule.to_string(),
    }])
}

#[cfg(target_arch = "wasm32")]
#[wasm_bindgen::prelude::wasm_bindgen(start)]
fn start() {
    toolbox_edge::wasm::install(&FUNCTION);
}
