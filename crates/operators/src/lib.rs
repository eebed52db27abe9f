//! The edge function `operators`: what operators see of the toolboxes of all users, and change for them.
//!
//! - [`routes`]: the table. Each route is for operators alone: `toolbox_edge::identity::operator` finds out who calls before any of
//!   them is chosen.
//! - `catalog`: which entries are ones that agents take.
//!
//! The database is asked with the secret key, and answers with the columns that [`toolbox_api::operators`] names. No machine is
//! called from here: a rollout is written, and `clock/tick` carries it out.

mod catalog;
pub mod routes;
#[cfg(test)]
mod tests;

pub use routes::FUNCTION;

#[cfg(target_arch = "wasm32")]
#[wasm_bindgen::prelude::wasm_bindgen(start)]
fn start() {
    toolbox_edge::wasm::install(&FUNCTION);
}
