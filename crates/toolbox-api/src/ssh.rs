//! What SSH's forced command prints: one line of JSON, whatever came of the operation.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::dtma::LogLine;
use crate::texts;

/// Most bytes of a forced command's line.
pub const MAX_ANSWER_BYTES: usize = 4 * 1024 * 1024;

/// What came of one operation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CommandAnswer {
    /// It was done, and its end was seen.
    pub ok: bool,
    /// Who did it, or failed to.
    pub by: CommandBy,
    /// What the instance is now, where it was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<InstanceState>,
    /// Lines of an instance, oldest first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entries: Option<Vec<LogLine>>,
    /// Lines of the agent's log, oldest first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lines: Option<Vec<String>>,
    /// What the agent or its companion answered, or what the machine is like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
    /// Why it was not done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<CommandError>,
}

/// Who carries an operation out on the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum CommandBy {
    /// The agent, over its own API.
    Agent,
    /// Its companion.
    Companion,
    /// The forced command itself: with Docker, with the machine's init system, or by looking.
    #[default]
    Machine,
}

/// What Docker shows of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum InstanceState {
    /// It runs.
    Running,
    /// It has a container that does not run.
    Stopped,
    /// It has no container.
    Absent,
}

/// Code of an operation that was begun, and whose end was not seen: the instance is not what was asked for yet.
pub const NOT_SETTLED: &str = "not_settled";

/// Why an operation was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CommandError {
    /// Stable code.
    #[serde(deserialize_with = "texts::line")]
    pub code: String,
    /// What happened and what to do.
    #[serde(deserialize_with = "texts::line")]
    pub message: String,
}

/// Exit codes of the forced command.
pub mod exit {
    /// Done.
    pub const DONE: u8 = 0;
    /// The text is none of the operations. Nothing was done.
    pub const NOT_ALLOWED: u8 = 64;
    /// The machine holds no such instance.
    pub const UNKNOWN_INSTANCE: u8 = 65;
    /// Nobody on the machine could do it: Docker, the agent or the companion does not answer.
    pub const UNAVAILABLE: u8 = 69;
    /// It was tried and failed.
    pub const FAILED: u8 = 70;
    /// It took too long: what came of it is unknown, or not what was asked for yet.
    pub const TIMEOUT: u8 = 75;
    /// The machine is not set up.
    pub const NOT_CONFIGURED: u8 = 78;
}
