//! The edge function `toolbox-tools`: the tool instances of a toolbox.
//!
//! - [`routes`]: the table, and one module per use case that reads.
//! - [`mutation`]: the one way an instance is changed: begin in the database, tell the agent,
//!   record what came of it.
//! - `toolbox`: from the caller's row to an agent that can be called.
//! - `sighting`: from what an agent shows to what is recorded and answered.
//! - `spec`: from catalog entry and overrides to a validated spec.
//!
//! A request never waits for long work unless it asks to (`Prefer: wait=N`). What it leaves
//! behind, a follower observes after the answer; what a follower misses, the next read observes.

pub mod mutation;
pub mod routes;
mod sighting;
mod spec;
#[cfg(test)]
mod testing;
mod toolbox;

pub use routes::FUNCTION;

#[cfg(target_arch = "wasm32")]
#[wasm_bindgen::prelude::wasm_bindgen(start)]
fn start() {
    toolbox_edge::wasm::install(&FUNCTION);
}
