//! The edge function `clock`: what is due without anybody asking for it. A schedule of the project calls it, with a secret key.
//!
//! - [`routes`]: the table.
//! - `tick`: the jobs, and the key.

pub mod routes;
mod tick;

#[cfg(test)]
mod routes_tests;
#[cfg(test)]
mod tick_tests;

pub use routes::FUNCTION;

#[cfg(target_arch = "wasm32")]
#[wasm_bindgen::prelude::wasm_bindgen(start)]
fn start() {
    toolbox_edge::wasm::install(&FUNCTION);
}
