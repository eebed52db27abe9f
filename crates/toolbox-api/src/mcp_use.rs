//! How MCP servers are used: what agents count, and what their owners read. Never what was asked or answered.

use serde::{Deserialize, Serialize};
use toolbox_domain::ids::ToolInstanceId;
use toolbox_domain::objects;

use crate::{numbers, texts};

/// Upper bounds of the times that calls are counted by, in milliseconds. The last is the longest time that a call may take.
pub const LATENCY_MS: [u64; LATENCY_BUCKETS] = [
    5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 300_000, 86_400_000,
];
/// How many there are.
pub const LATENCY_BUCKETS: usize = 15;

/// What an agent has counted since it was started, as far as it was not acknowledged. A count that is told again is the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct McpUseReport {
    /// When the agent was started, in milliseconds since 1970; tells the counts of one start from another's.
    #[serde(deserialize_with = "numbers::exact")]
    pub run: u64,
    /// The counts.
    #[serde(deserialize_with = "objects::list")]
    pub counts: Vec<McpUse>,
}

/// Calls of one tool by one client on one day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct McpUse {
    /// `YYYY-MM-DD`, in UTC.
    #[serde(deserialize_with = "texts::line")]
    pub day: String,
    /// The instance.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "uuid"))]
    pub instance_id: ToolInstanceId,
    /// The tool; `(other)` for one that the server does not list.
    #[serde(deserialize_with = "texts::line")]
    pub tool: String,
    /// What the client calls itself, without its version.
    #[serde(deserialize_with = "texts::line")]
    pub client: String,
    /// Calls.
    #[serde(deserialize_with = "numbers::exact")]
    pub calls: u64,
    /// Those of them that failed.
    #[serde(deserialize_with = "numbers::exact")]
    pub errors: u64,
    /// Bytes of requests and answers.
    #[serde(deserialize_with = "numbers::exact")]
    pub bytes: u64,
    /// Calls by the time they took: as many as there are bounds.
    pub latency: Vec<u64>,
}

/// Answer of `GET /{toolboxId}/tools/{instance}/mcp/usage`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct McpUsageResponse {
    /// Always true; errors have the envelope.
    pub success: bool,
    /// By day, the newest first, tool and client; 1000 at most.
    pub usage: Vec<McpUsage>,
    /// The request.
    pub request_id: String,
}

/// Use of one tool by one client on one day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct McpUsage {
    /// `YYYY-MM-DD`, in UTC.
    pub day: String,
    /// The tool; `(other)` for those that the server does not list.
    pub tool: String,
    /// What the client calls itself, without its version; `(other)` for those beyond what an agent counts.
    pub client: String,
    /// Calls.
    pub calls: u64,
    /// Those of them that failed: an error, a result that says so (`isError`), or no answer.
    pub errors: u64,
    /// Bytes of requests and answers.
    pub bytes: u64,
    /// Half of the calls took so many milliseconds at most, rounded up to one of a few bounds.
    pub p50_ms: u64,
    /// 95 of 100 calls did.
    pub p95_ms: u64,
}
