//! Health of an MCP server, with its evidence.

use serde::{Deserialize, Serialize};
use toolbox_domain::objects;

use crate::texts;

/// How an MCP server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum McpState {
    /// Its container has just started and it was not reached yet.
    Starting,
    /// It answered the handshake and listed its tools in time.
    Healthy,
    /// It answers, but slowly or only in part.
    Degraded,
    /// It is there and does not answer, or answers with errors.
    Unhealthy,
    /// Nothing listens where it should.
    Unreachable,
    /// Something answers that does not speak MCP.
    NotMcp,
    /// It was stopped because nobody used it, and the next call starts it.
    Idle,
}

/// What is known of an MCP server. Every state has its evidence and its age. Times are RFC 3339 in UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct McpHealth {
    /// How it is.
    pub state: McpState,
    /// Why, in words, such as `tools/list was not answered within 5 s`.
    #[serde(deserialize_with = "texts::line")]
    pub evidence: String,
    /// When it came into this state.
    #[serde(deserialize_with = "texts::line")]
    pub since: String,
    /// When it was last asked.
    #[serde(deserialize_with = "texts::line")]
    pub checked_at: String,
    /// When it last listed its tools.
    #[serde(default, deserialize_with = "texts::optional_line")]
    pub last_success_at: Option<String>,
    /// Time of the last successful check, in milliseconds.
    #[serde(default)]
    pub latency_ms: Option<u32>,
    /// Protocol revision it speaks, such as `2025-11-25`.
    #[serde(default, deserialize_with = "texts::optional_line")]
    pub protocol_version: Option<String>,
    /// Name it gives itself.
    #[serde(default, deserialize_with = "texts::optional_line")]
    pub server_name: Option<String>,
    /// Version it gives itself.
    #[serde(default, deserialize_with = "texts::optional_line")]
    pub server_version: Option<String>,
    /// Number of its tools.
    #[serde(default)]
    pub tool_count: Option<u32>,
    /// SHA-256 over names, descriptions and schemas of its tools, 64 hexadecimal digits.
    #[serde(default, deserialize_with = "texts::optional_line")]
    pub tools_fingerprint: Option<String>,
    /// Set when the tools differ from those listed before.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "objects::optional"
    )]
    pub tools_changed: Option<ToolsChanged>,
}

/// What differs between two lists of tools, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ToolsChanged {
    /// Fingerprint of the list before.
    #[serde(deserialize_with = "texts::line")]
    pub from_fingerprint: String,
    /// Tools that are new.
    #[serde(deserialize_with = "texts::lines")]
    pub added: Vec<String>,
    /// Tools that are gone.
    #[serde(deserialize_with = "texts::lines")]
    pub removed: Vec<String>,
    /// Tools whose description or schemas are others.
    #[serde(deserialize_with = "texts::lines")]
    pub changed: Vec<String>,
}
