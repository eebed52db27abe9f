//! Bridges MCP servers to streamable HTTP, and probes their health.
//!
//! - [`bridge`]: one server over standard streams for many HTTP clients: the handler, and the task that runs it;
//! - [`http`]: servers that speak HTTP themselves: pass-through and the task that probes them, and the older HTTP with events;
//! - [`hub`]: what that task decides, as a state machine without sockets, processes or clocks;
//! - [`process`]: how a bridge connects to a server's standard streams;
//! - [`rpc`], [`lines`], [`lenient`]: JSON-RPC messages and lines, bounded and without copying; JSON that is read as far
//!   as it can be;
//! - [`health`], [`tools`], [`memory`]: a server's state with its evidence, what changed about its tools, and what is
//!   remembered of it;
//! - [`wire`]: streamable HTTP as clients see it; [`access`]: callers who may use some tools only; [`merge`]: several
//!   servers as one; [`meter`]: calls as they pass;
//! - [`redact`]: a server's output without the secrets it was given; [`limits`]: the bounds that
//!   can be set.
//!
//! Invariants: every answer comes from the server itself, now or a moment ago, or is an error that says it does not;
//! `healthy` means that the server has listed its tools and has just answered a probe; health never decides whether a
//! message passes; nothing is asked of a server that a client would not ask; no client is asked what the call of another
//! caused, be that call under way or given up within the last 15 min; everything that waits is bounded in number, size and
//! time.

pub mod access;
pub mod bridge;
#[cfg(feature = "child")]
pub mod child;
pub mod health;
pub mod http;
pub mod hub;
pub mod lenient;
pub mod limits;
pub mod lines;
pub mod mailbox;
pub mod memory;
pub mod merge;
pub mod meter;
pub mod process;
pub mod redact;
pub mod rpc;
pub mod tools;
pub mod wire;
