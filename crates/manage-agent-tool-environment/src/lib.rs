//! The edge function `manage-agent-tool-environment`: the toolbox that is made for a user's agent.
//!
//! - [`routes`]: the table. Whose an agent is, row-level security decides: it is read with the caller's own token first.
//!
//! The work is `toolbox_provisioning::agents`, done here, or by a backend where `NODE_BACKEND_URL` names one: then its status and
//! its JSON are passed on.

pub mod routes;
#[cfg(test)]
mod tests;

pub use routes::FUNCTION;

#[cfg(target_arch = "wasm32")]
#[wasm_bindgen::prelude::wasm_bindgen(start)]
fn start() {
    toolbox_edge::wasm::install(&FUNCTION);
}
