//! The edge function `toolboxes-user`: a user's toolboxes, from their order to their removal.
//!
//! - [`routes`]: the table.
//! - `order`: a toolbox is wanted. `own`: on a machine that the user brings, with the one command by which it joins.
//! - `bought`: machines that are bought: what is wanted of them is written, and begun; steps do the rest.
//! - `refresh`: the machine is asked now.
//!
//! Whose a toolbox is, row-level security decides: each route first reads it with the caller's own token. No key, and no hash
//! of one, is ever answered; a new enrolment token is, once.

mod bought;
mod order;
mod own;
mod refresh;
pub mod routes;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use routes::FUNCTION;

#[cfg(target_arch = "wasm32")]
#[wasm_bindgen::prelude::wasm_bindgen(start)]
fn start() {
    toolbox_edge::wasm::install(&FUNCTION);
}
