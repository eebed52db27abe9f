//! The rules of Toolbox: values in, values out.
//!
//! Nothing here reads a clock, does IO, makes randomness or awaits. Callers pass elapsed time and random
//! numbers in and carry out what comes back, so every rule is the same in the agent (native) and in the edge
//! functions (wasm), and each can be tested without waiting.
//!
//! Reading order:
//! - [`ids`]: one newtype per kind of id.
//! - [`names`]: display names, container names, URL path segments.
//! - [`lifecycle`]: the state machine of tool instances and of toolboxes.
//! - [`retry`] and [`recovery`]: what to try again, when, and when to stop.
//! - [`spec`]: what may run in a container; image references and Git sources.
//! - [`address`]: which hosts and addresses a user may name as a target.
//! - [`machine_operation`]: the closed set of what may be done on a machine from outside.
//! - [`provisioning`]: how a droplet becomes a toolbox, and how it goes.
//! - [`objects`]: JSON objects that no array passes for.
//! - [`keys`]: the keys of one toolbox, derived from the control plane's root secret.
//! - [`sealing`]: how secrets lie in the database.
//! - [`mcp_access`]: access tokens for MCP servers, and what hosts of MCP clients are told.

mod string_enum;

pub mod address;
pub mod ids;
pub mod keys;
pub mod lifecycle;
pub mod machine_operation;
pub mod mcp_access;
pub mod names;
pub mod objects;
pub mod provisioning;
pub mod receipts;
pub mod recovery;
pub mod retry;
pub mod sealing;
pub mod spec;

pub use string_enum::UnknownName;
