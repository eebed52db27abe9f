//! The edge function `toolbox-tools`: the tool instances of a toolbox, for their owner. What is done with them is in
//! [`toolbox_instances`]; here are the routes, which parse a request, call a use case and make the answer.
//!
//! - [`routes`]: the table, and one module per use case.
//! - `host`: what the use cases need, from the function's state.
//!
//! A request never waits for long work unless it asks to (`Prefer: wait=N`). A follower observes the end after the answer;
//! what a follower misses, the next read observes.

mod host;
pub mod routes;
#[cfg(test)]
mod testing;

pub use routes::FUNCTION;

#[cfg(target_arch = "wasm32")]
#[wasm_bindgen::prelude::wasm_bindgen(start)]
fn start() {
    toolbox_edge::wasm::install(&FUNCTION);
}
