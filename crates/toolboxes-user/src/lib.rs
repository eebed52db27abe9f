//! The edge function `toolboxes-user`: a user's toolboxes, from their order to their removal.
//!
//! - [`routes`]: the table.
//! - `own`: machines that users bring: made, renamed, forgotten, and the one command by which they join.
//! - `refresh`: the machine is asked now.
//! - `view`: what users see of a toolbox.
//!
//! Whose a toolbox is, row-level security decides: each route first reads it with the caller's own token. No key, and no hash
//! of one, is ever answered; a new enrolment token is, once.

mod own;
mod refresh;
pub mod routes;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod view;

pub use routes::FUNCTION;

#[cfg(target_arch = "wasm32")]
#[wasm_bindgen::prelude::wasm_bindgen(start)]
fn start() {
    toolbox_edge::wasm::install(&FUNCTION);
}
