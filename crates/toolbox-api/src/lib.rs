//! Wire types of every HTTP surface of Toolbox, and the codes of its errors.
//!
//! - [`agents`]: tool environments of users' agents.
//! - [`alerts`]: what channels of alerts are told.
//! - [`console`]: what the edge function `toolbox-dtma-console` speaks to its callers.
//! - [`dtma`]: what the agent on a machine speaks (port 30000).
//! - [`edge`]: what the edge function `toolbox-tools` speaks to its callers.
//! - [`error`]: codes, HTTP statuses and the JSON envelope of the edge functions, and [`error::ApiError`], what their
//!   code fails with.
//! - [`executor`]: what the edge function `ssh-command-executor` speaks to its callers.
//! - [`heartbeat`]: what agents tell the edge function `heartbeat`.
//! - [`machine`]: how the agent and its machine are, and how the agent is replaced; the agent and the companion speak it.
//! - [`mcp`]: health of MCP servers, in both.
//! - [`moment`]: times as text.
//! - [`numbers`]: how large a number may be.
//! - [`operators`]: what the edge function `operators` speaks to its callers.
//! - [`problem`]: codes, HTTP statuses and RFC 9457 bodies of the agent.
//! - [`ssh`]: what SSH's forced command prints.
//! - [`toolboxes`]: what the edge function `toolboxes-user` speaks to its callers.
//! - `texts`: what may be in a text of a machine.
//!
//! There is no logic here beyond conversion into domain values; a domain type renamed
//! cannot change the protocol. One wire form lies with its rules: that of the spec, in [`toolbox_domain::spec`]. With the feature `openapi` every type has a schema.

pub mod agents;
pub mod alerts;
pub mod clock;
mod config_override;
pub mod console;
pub mod dtma;
pub mod edge;
pub mod error;
pub mod executor;
pub mod heartbeat;
pub mod machine;
pub mod mcp;
pub mod mcp_access;
pub mod mcp_pin;
pub mod mcp_use;
pub mod moment;
pub mod numbers;
#[cfg(feature = "openapi")]
pub mod openapi;
pub mod operators;
pub mod problem;
pub mod rollout;
pub mod ssh;
mod texts;
pub mod tool_versions;
pub mod toolboxes;
