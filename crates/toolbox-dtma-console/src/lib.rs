//! The edge function `toolbox-dtma-console`: the machine of a toolbox and its agent, for their owner.
//!
//! - [`routes`]: the table, and both calling styles: a path for each action, and one body with an `action`.
//! - `machine`: the machine that a request names, and the ways to it, in this order: the agent, the companion beside it,
//!   SSH. The first that works answers; what failed before it is told too.
//! - `ssh`: the third way, and whether an SSH server greets.
//! - `status`, `change` (restart, redeploy, rollback), `logs`, `diagnose`: one module per use case.
//! - `rollouts`: the redeployment of many toolboxes, which `clock/tick` carries out.
//!
//! Nothing is claimed that was not seen: a change is answered 202 when the machine has accepted it, and 200 when its end was
//! seen; a machine that no way reaches is an error, with what is known besides.

mod change;
mod diagnose;
mod logs;
mod machine;
mod rollouts;
pub mod routes;
mod ssh;
mod status;

#[cfg(test)]
mod change_tests;
#[cfg(test)]
mod diagnose_tests;
#[cfg(test)]
mod rollouts_tests;
#[cfg(test)]
mod status_tests;
#[cfg(test)]
mod testing;

pub use routes::FUNCTION;

#[cfg(target_arch = "wasm32")]
#[wasm_bindgen::prelude::wasm_bindgen(start)]
fn start() {
    toolbox_edge::wasm::install(&FUNCTION);
}
