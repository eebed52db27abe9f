//! The edge function `ssh-command-executor`: one operation of a closed set on the machine of a toolbox, by SSH, for its owner.
//! It is for machines whose agent and companion do not answer.
//!
//! - [`routes`]: the table.
//! - `execute`: what is asked for, whose machine it is, the event row, the connection, the answer.
//! - `failure`: what each failure of SSH is to the caller.
//!
//! No text of a request reaches a machine: it is parsed into an operation, whose own text does. The authority's key, and
//! the connection's, are in no log and no answer.

mod execute;
mod failure;
pub mod routes;

#[cfg(test)]
mod execute_tests;

pub use routes::FUNCTION;

#[cfg(target_arch = "wasm32")]
#[wasm_bindgen::prelude::wasm_bindgen(start)]
fn start() {
    toolbox_edge::wasm::install(&FUNCTION);
}
