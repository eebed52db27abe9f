//! The API of the edge function `toolbox-tools`. Field names are the predecessor's where it had them.

use serde::{Deserialize, Serialize};
use toolbox_domain::ids::{CatalogToolId, OperationId, ToolInstanceId};
use toolbox_domain::objects;

pub use crate::config_override::{
    ConfigOverride, NumberOrText, PortMapping, ResourceOverride, TransportOverride,
};
use crate::dtma::{ContainerHealth, ForeignContainer, Phase, PortBinding, Progress, Reason};
use crate::mcp::McpHealth;
use crate::mcp_access::McpHost;

/// Largest request body, in bytes.
pub const MAX_BODY_BYTES: usize = 256 * 1024;

/// Longest wait in seconds with `Prefer: wait=N`.
pub const MAX_WAIT_SECONDS: u32 = 60;

/// What a caller can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// All instances of a toolbox.
    List,
    /// One instance.
    Get,
    /// A new instance.
    Deploy,
    /// Run it.
    Start,
    /// Stop it.
    Stop,
    /// Stop, then run it.
    Restart,
    /// Remove it.
    Delete,
    /// Its output.
    Logs,
    /// A new image or configuration.
    Update,
    /// How to reach it as an MCP server.
    Mcp,
}

impl Action {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Get => "get",
            Self::Deploy => "deploy",
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Delete => "delete",
            Self::Logs => "logs",
            Self::Update => "update",
            Self::Mcp => "mcp",
        }
    }
}

/// Which output `logs` shows. Without one: `stderr` of an MCP server over standard streams, whose `stdout` is the protocol;
/// `all` of any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum LogFilter {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// Both.
    All,
}

impl LogFilter {
    /// As it is written on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::All => "all",
        }
    }

    /// The filter that is written so.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Stdout, Self::Stderr, Self::All]
            .into_iter()
            .find(|filter| filter.as_str() == text)
    }
}

/// Body of a `functions.invoke` call, and of `POST /{toolboxId}/tools`.
/// Without `action` it is a deploy.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InvokeRequest {
    /// The toolbox; in the path otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = "uuid"))]
    pub toolbox_id: Option<String>,
    /// One of [`Action`]; kept as text so that an unknown one gets its own code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Action>))]
    pub action: Option<String>,
    /// Instance id, or its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    /// Lines from the end, or `all`, for `logs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail: Option<NumberOrText>,
    /// Only lines after this time, for `logs`: RFC 3339, a date, Unix seconds, or how long ago, such as `10m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<NumberOrText>,
    /// Keep streaming, for `logs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follow: Option<bool>,
    /// Which output, for `logs`: one of [`LogFilter`]; kept as text so that an unknown one gets its own message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<LogFilter>))]
    pub stream: Option<String>,
    /// Catalog entry, for `deploy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_catalog_id: Option<String>,
    /// Name of the new instance, for `deploy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_name_on_toolbox: Option<String>,
    /// What differs from the catalog entry, for `deploy` and `update`.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "objects::optional"
    )]
    pub base_config_override_json: Option<ConfigOverride>,
    /// Pin the tools that its MCP server lists first, for `deploy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin_tools: Option<bool>,
}

/// Body of a deploy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct DeployToolRequest {
    /// Entry of the tool catalog.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "uuid"))]
    pub tool_catalog_id: CatalogToolId,
    /// Display name, 1 to 255 characters, unique in the toolbox.
    pub instance_name_on_toolbox: String,
    /// What differs from the catalog entry.
    #[serde(default, deserialize_with = "objects::required")]
    pub base_config_override_json: ConfigOverride,
    /// Pin the tools that its MCP server lists first: whoever comes by a public URL gets in when they were heard, and is held back
    /// while it lists others, until the owner accepts them.
    #[serde(default)]
    pub pin_tools: bool,
}

/// Body of `PATCH /{toolboxId}/tools/{instance}`; what is absent stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateToolRequest {
    /// What changes.
    #[serde(deserialize_with = "objects::required")]
    pub base_config_override_json: ConfigOverride,
}

/// Where the state in a view comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum StateSource {
    /// The agent said so just now.
    Live,
    /// The database, because the agent did not answer or was not asked.
    LastKnown,
}

/// What the agent says of an instance beyond its row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LiveState {
    /// Where it is.
    pub phase: Phase,
    /// The agent is done with this generation.
    pub settled: bool,
    /// Progress of a pull or build.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// Why it is not as desired.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// What the image's own health check says, where it has one and the container runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<ContainerHealth>,
    /// Exit code of the last end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i64>,
    /// Restarts by the agent.
    pub restart_count: u32,
    /// Last start of the container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// The last update failed: `reason` says why, and the version before it runs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub update_failed: bool,
}

/// A tool instance as callers see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ToolInstanceView {
    /// Id.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "uuid"))]
    pub id: ToolInstanceId,
    /// Display name.
    pub instance_name_on_toolbox: String,
    /// Lifecycle status.
    #[cfg_attr(feature = "openapi", schema(example = "running"))]
    pub status_on_toolbox: String,
    /// What the user asked for: `running`, `stopped` or `absent`.
    pub desired_status: String,
    /// Why `status_on_toolbox` is `error`.
    pub error: Option<Reason>,
    /// The same text as `error.message`, under the predecessor's name.
    pub instance_error_message: Option<String>,
    /// Catalog entry.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = "uuid"))]
    pub tool_catalog_id: Option<CatalogToolId>,
    /// Docker's id of the container.
    pub container_id: Option<String>,
    /// Docker's name of it.
    pub container_name: String,
    /// Image as asked for.
    pub image: String,
    /// Content id of the image that runs.
    pub image_digest: Option<String>,
    /// Version of the tool, where its catalog entry says.
    pub version: Option<String>,
    /// Published ports.
    pub ports: Vec<PortBinding>,
    /// MCP transport.
    pub transport: Option<String>,
    /// Path of the MCP endpoint.
    pub endpoint_path: Option<String>,
    /// Grows with every change asked for.
    pub generation: u64,
    /// Where the state comes from.
    pub state_source: StateSource,
    /// When the state was last observed on the machine.
    pub state_observed_at: Option<String>,
    /// Seconds since then; 0 for a live state.
    pub state_age_seconds: Option<u64>,
    /// The agent's view, where it answered.
    pub live: Option<LiveState>,
    /// Since when the state is not known, because the machine does not report; `state_source` is then `last_known`.
    pub unknown_since: Option<String>,
    /// Health of its MCP server as the agent last found it, with its evidence and age. Evidence names the likely cause and the
    /// field of a deployment that cures it.
    pub mcp: Option<Box<McpHealth>>,
    /// Fingerprint of the tools that its owner accepted; none while they are not pinned. Clients that come by a public URL are
    /// held back while `mcp.tools_fingerprint` is another.
    pub mcp_pinned_fingerprint: Option<String>,
    /// The tools that it lists first will be pinned; until it has listed some, no client is let in.
    pub mcp_pin_pending: bool,
    /// When the row was made.
    pub created_at: String,
    /// When the row last changed.
    pub updated_at: String,
}

/// Whether the agent of the toolbox answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AgentView {
    /// It answered with its list.
    pub reachable: bool,
    /// Why not, a code of [`crate::error::ErrorCode`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Why not, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Version of the agent's program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Since when it has not reported by itself, where it should have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unresponsive_since: Option<String>,
    /// When it was asked.
    pub checked_at: String,
}

/// Answer of list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ListResponse {
    /// The agent answered; when false the rows are the last known state.
    pub success: bool,
    /// The instances of the database, joined with the agent's view.
    pub tool_instances: Vec<ToolInstanceView>,
    /// The agent.
    pub agent: AgentView,
    /// The same as `agent.reachable`, under the predecessor's name.
    pub dtma_connected: bool,
    /// The same as `agent.message`, under the predecessor's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_error: Option<String>,
    /// Containers on the machine that are not the agent's.
    pub foreign_containers: Vec<ForeignContainer>,
    /// Instances the agent holds that have no row.
    pub orphan_tools: Vec<crate::dtma::ToolView>,
    /// When the agent was asked.
    pub last_checked: String,
    /// The request.
    pub request_id: String,
}

/// Answer of get.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GetResponse {
    /// The agent answered; when false the state is the last known one.
    pub success: bool,
    /// The instance.
    pub tool_instance: ToolInstanceView,
    /// The agent.
    pub agent: AgentView,
    /// The request.
    pub request_id: String,
}

/// Answer of mcp: what an MCP client needs to call the instance's server, by the project's URL or at the machine itself.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct McpAccessResponse {
    /// Always true; errors have the envelope.
    pub success: bool,
    /// The instance.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "uuid"))]
    pub instance_id: ToolInstanceId,
    /// The server at the project's own URL, for clients anywhere; `POST /{toolboxId}/mcp-access` gives tokens for it.
    pub public_url: String,
    /// What to paste into which host for that URL, with sign-in and with a token. `TOOLBOX_MCP_TOKEN` stands where the token belongs.
    pub hosts: Vec<McpHost>,
    /// The endpoint on the machine, for clients that can be given its certificate; it speaks streamable HTTP, whatever the
    /// server itself speaks.
    pub url: String,
    /// The bearer token of this endpoint, a secret. It is good until the toolbox's keys are replaced.
    pub token: String,
    /// The one certificate the machine answers with, PEM; none where the machine is this one and speaks plain HTTP.
    pub certificate: Option<String>,
    /// The request.
    pub request_id: String,
}

impl std::fmt::Debug for McpAccessResponse {
    /// Leaves out the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("McpAccessResponse")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

/// How far an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum OperationState {
    /// Not settled yet.
    InProgress,
    /// Its end was observed, as asked.
    Succeeded,
    /// Its end was observed, otherwise than asked.
    Failed,
    /// Its lease ran out before an end was observed.
    Abandoned,
}

/// One mutation of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OperationView {
    /// Id.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "uuid"))]
    pub id: OperationId,
    /// What was asked for.
    pub action: String,
    /// How far it is.
    pub state: OperationState,
    /// The request that began it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// When another may take over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_expires_at: Option<String>,
}

/// Answer of deploy, start, stop, restart, update and delete.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct MutationResponse {
    /// True: the request was accepted (202), or its end was observed (200, 201).
    pub success: bool,
    /// What was asked for.
    pub action: Action,
    /// The instance's id.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "uuid"))]
    pub instance_id: ToolInstanceId,
    /// The instance's id, under the predecessor's name.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "uuid"))]
    pub id: ToolInstanceId,
    /// Lifecycle status now; `deleted` once it is gone.
    pub status: String,
    /// A sentence for the user.
    pub message: String,
    /// The instance; absent once it is gone.
    #[serde(rename = "tool_instance")]
    pub tool_instance: Option<ToolInstanceView>,
    /// The operation.
    pub operation: OperationView,
    /// `ssh` where the agent could not be reached and SSH did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<Via>,
    /// The request.
    #[serde(rename = "request_id")]
    pub request_id: String,
    /// Now.
    pub timestamp: String,
}

/// How a machine was reached where its agent could not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Via {
    /// By SSH.
    Ssh,
}

/// Answer of logs without `follow`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct LogsResponse {
    /// Always true; errors have the envelope.
    pub success: bool,
    /// The lines as text, oldest first.
    pub logs: Vec<String>,
    /// The same lines with stream and time.
    pub entries: Vec<crate::dtma::LogLine>,
    /// The instance.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "uuid"))]
    pub instance_id: ToolInstanceId,
    /// `ssh` where the agent could not be reached and SSH gave them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<Via>,
    /// Now.
    pub timestamp: String,
    /// The request.
    #[serde(rename = "request_id")]
    pub request_id: String,
}
