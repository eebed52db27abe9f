//! Wire types of every HTTP surface of Toolbox, and the codes of its errors.
//!
//! - [`alerts`]: what channels of alerts are told.
//! - [`dtma`]: what the agent on a machine speaks (port 30000).
//! - [`edge`]: what the edge function `toolbox-tools` speaks to its callers.
//! - [`error`]: codes, HTTP statuses and the JSON envelope of the edge functions, and [`error::ApiError`], what their
//!   code fails with.
//! - [`heartbeat`]: what agents tell the edge function `heartbeat`.
//! - [`mcp`]: health of MCP servers, in both.
//! - [`moment`]: times as text.
//! - [`numbers`]: how large a number may be.
//! - [`problem`]: codes, HTTP statuses and RFC 9457 bodies of the agent.
//! - `texts`: what may be in a text of a machine.
//!
//! There is no logic here beyond conversion into domain values; a domain type renamed
//! cannot change the protocol. One wire form lies with its rules: that of the spec, in [`toolbox_domain::spec`]. With the feature `openapi` every type has a schema.

pub mod alerts;
mod config_override;
pub mod dtma;
pub mod edge;
pub mod error;
pub mod heartbeat;
pub mod mcp;
pub mod moment;
pub mod numbers;
#[cfg(feature = "openapi")]
pub mod openapi;
pub mod problem;
mod texts;
