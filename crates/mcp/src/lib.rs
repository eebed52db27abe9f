//! The edge function `mcp`: MCP clients use the server of an instance by one public URL, from anywhere.
//!
//! A request is authenticated by an access token (`tbx_…`) or by the access token of a signed-in user, and one query of the
//! database decides who may use which tools; nothing of that is remembered for the next request. Then both bodies pass as they
//! come, unread, between the client and the toolbox's agent, over the pinned connection. Only headers of the protocol pass;
//! credentials end here. The agent is told who calls and which tools they may use, and holds them to it.
//!
//! - [`routes`]: the table.
//! - `pass`: one request on its way.
//! - `discovery`: where a client's user signs in.
//! - `refusal`: an error as MCP clients, and the models behind them, read it.

mod discovery;
mod pass;
mod refusal;
pub mod routes;

#[cfg(test)]
mod pass_tests;

pub use routes::FUNCTION;

#[cfg(target_arch = "wasm32")]
#[wasm_bindgen::prelude::wasm_bindgen(start)]
fn start() {
    toolbox_edge::wasm::install_pipe(&FUNCTION);
}
