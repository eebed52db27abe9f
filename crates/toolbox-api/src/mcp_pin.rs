//! The tools of an MCP server that its owner accepted: as long as it lists others, clients that come through the control plane
//! are held back from it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What a server says of one tool, as far as it counts: its `name`, and those of [`FIELDS`] that are there.
pub type Definition = Map<String, Value>;

/// The parts of a tool's definition that its fingerprint covers, beside its name.
pub const FIELDS: [&str; 5] = [
    "title",
    "description",
    "inputSchema",
    "outputSchema",
    "annotations",
];

/// Most bytes of all definitions of a server whose tools can be pinned, as JSON.
pub const MAX_DEFINITIONS: usize = 512 * 1024;

/// What an agent is told instead of a fingerprint where the tools that a server lists first are to be pinned: the agent itself
/// knows which those were. An agent of before takes it for tools that the server does not list.
pub const FIRST: &str = "first";

/// The tools that a server lists now. Answer of the agent's `GET /tools/{id}/mcp-tools`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct McpTools {
    /// SHA-256 over their definitions, 64 hexadecimal digits.
    pub fingerprint: String,
    /// The same of those that the agent heard first of all; none where it does not know any more.
    #[serde(default)]
    pub first_fingerprint: Option<String>,
    /// Their definitions.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<Object>))]
    pub tools: Vec<Definition>,
}

/// Which tools of an MCP server were accepted, which it lists now, and what differs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct McpPin {
    /// What was accepted; none while the tools are not pinned.
    pub accepted: Option<McpAccepted>,
    /// Fingerprint of the tools that the server lists now: what `PUT` takes. None where it could not be asked.
    pub current_fingerprint: Option<String>,
    /// Why it could not be asked, or what the difference does not tell, in words.
    pub problem: Option<String>,
    /// The tools that it lists first will be pinned, as its deployment asked. Until then no client is let in.
    pub pending: bool,
    /// Definitions that are new since.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<Object>))]
    pub added: Vec<Definition>,
    /// Definitions that are gone since.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<Object>))]
    pub removed: Vec<Definition>,
    /// Definitions that are others since.
    pub changed: Vec<McpToolChange>,
}

/// Tools that were accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct McpAccepted {
    /// Their fingerprint.
    pub fingerprint: String,
    /// How many they are. None where the server listed others before they could be read: then `added` has all that it lists now.
    pub tool_count: Option<usize>,
    /// When they were accepted.
    pub accepted_at: String,
}

/// A tool whose definition is another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct McpToolChange {
    /// Its name.
    pub name: String,
    /// As it was accepted.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub before: Definition,
    /// As it is now.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub after: Definition,
}

/// Body of `PUT /{toolboxId}/tools/{instance}/mcp/pin`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PinMcpToolsRequest {
    /// `current_fingerprint` as `GET` answered it: what the owner has seen.
    pub fingerprint: String,
}

/// Answer of `GET`, `PUT` and `DELETE /{toolboxId}/tools/{instance}/mcp/pin`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct McpPinResponse {
    /// Always true; errors have the envelope.
    pub success: bool,
    /// What was accepted, and what differs.
    pub pin: McpPin,
    /// The request.
    pub request_id: String,
}
