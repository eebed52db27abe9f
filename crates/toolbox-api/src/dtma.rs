//! The agent's HTTP API: `GET /health`, `GET /status`, `/tools…`.

use serde::{Deserialize, Serialize};
use toolbox_domain::ids::{AgentRunId, ToolInstanceId, ToolboxId};
use toolbox_domain::objects;
pub use toolbox_domain::spec::{
    Confinement, McpTransport, PortSpec, Protocol, Resources, SecretValue, ToolSpec, VolumeSpec,
};

use crate::mcp::McpHealth;
use crate::{numbers, texts};

/// Version of this API. It is raised when agents of the version before would refuse or misread what the control plane sends to
/// every agent, or would not answer what it needs. A new field that is left out where it is not used does not raise it.
///
/// - 1: values of `env` are texts.
/// - 2: values of `env` are in envelopes (`{key_id, value}`), which agents of version 1 refuse.
///
/// The control plane commands no agent with a lower version: changes but deletions, and lists, are answered `agent_too_old`. It
/// still records the heartbeats of such an agent, so that the toolbox and the version of its agent are seen. An agent with a
/// higher version is commanded as one of this version: agents take what the versions before sent. So agents are updated before
/// the control plane.
pub const API_VERSION: u32 = 2;

/// Longest time in seconds a caller may ask for with `Prefer: wait=N`.
pub const MAX_WAIT_SECONDS: u32 = 60;

/// Largest request body the agent reads, in bytes.
pub const MAX_BODY_BYTES: usize = 256 * 1024;

/// What the user asked an instance to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Desired {
    /// One running container.
    Running,
    /// The container exists or not, but does not run.
    Stopped,
    /// No container and no spec.
    Absent,
}

impl Desired {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Absent => "absent",
        }
    }
}

/// Where an instance is, as Docker shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// The spec is durable; nothing was done yet.
    Pending,
    /// The image is being pulled.
    Pulling,
    /// The image is being built from its source.
    Building,
    /// The container is being created.
    Creating,
    /// The container was told to start, or is being watched after its start.
    Starting,
    /// Docker shows it running.
    Running,
    /// It was told to stop.
    Stopping,
    /// It does not run, as desired.
    Stopped,
    /// It is being removed.
    Removing,
    /// It is not as desired and the agent has a reason.
    Error,
}

/// Why something is not as desired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Reason {
    /// Stable code, such as `image_not_found`.
    #[serde(deserialize_with = "texts::line")]
    pub code: String,
    /// A sentence for the user; never a secret.
    #[serde(deserialize_with = "texts::text")]
    pub message: String,
}

/// Progress of a pull or a build.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Progress {
    /// What is going on, in Docker's words, such as `Downloading`.
    #[serde(deserialize_with = "texts::line")]
    pub stage: String,
    /// Bytes done, where Docker tells.
    pub current_bytes: Option<u64>,
    /// Bytes in all, where Docker tells.
    pub total_bytes: Option<u64>,
    /// Image layers done.
    pub layers_done: u32,
    /// Image layers known so far.
    pub layers_total: u32,
}

/// A port as published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PortBinding {
    /// Port inside the container.
    pub container_port: u16,
    /// `tcp` or `udp`.
    #[serde(default)]
    pub protocol: Protocol,
    /// Address on the machine.
    #[serde(deserialize_with = "texts::line")]
    pub host_ip: String,
    /// Port on the machine.
    pub host_port: u16,
}

/// Body of `PUT /tools/{id}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DeployRequest {
    /// Grows with every change the control plane makes to the instance.
    #[serde(deserialize_with = "numbers::exact")]
    pub generation: u64,
    /// `running` or `stopped`.
    pub desired: Desired,
    /// The user's name of the instance; display text only.
    pub name: String,
    /// Legal Docker name derived from name and id.
    pub container_name: String,
    /// What to run.
    #[serde(deserialize_with = "objects::required")]
    pub spec: ToolSpec,
    /// This generation is a restart: a container that runs already is started anew.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub restart: bool,
    /// This generation is a deployment or an update: the registry is asked again for an image without a digest.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub refresh_image: bool,
    /// Ports it was last published on. An agent that lost the instance publishes it there again while they are free,
    /// because callers know them; one that holds it keeps its own.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "objects::list"
    )]
    pub known_ports: Vec<PortBinding>,
}

/// Body of `POST /tools`: a [`DeployRequest`] with its id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreateRequest {
    /// The instance id.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "uuid"))]
    pub id: ToolInstanceId,
    /// The rest.
    #[serde(flatten)]
    pub deploy: DeployRequest,
}

/// Body of `POST /tools/{id}/start`, `stop` and `restart`; may be left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct CommandRequest {
    /// New generation; the current one when absent.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "numbers::optional"
    )]
    pub generation: Option<u64>,
}

/// Which of an agent's views one is. Of two of one run the greater number was made later; those of different runs cannot
/// be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ViewVersion {
    /// The run of the agent that made it.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "uuid"))]
    pub run: AgentRunId,
    /// From 1, over all instances.
    #[serde(deserialize_with = "numbers::exact")]
    pub number: u64,
}

/// What Docker says of the health check that an image brings (`HEALTHCHECK`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum ContainerHealth {
    /// No check has succeeded yet, and none has failed too often.
    Starting,
    /// The last check succeeded.
    Healthy,
    /// Checks fail.
    Unhealthy,
}

/// What the agent knows of an instance. Times are RFC 3339 in UTC.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ToolView {
    /// The instance id.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "uuid"))]
    pub id: ToolInstanceId,
    /// The user's name of it.
    #[serde(deserialize_with = "texts::line")]
    pub name: String,
    /// The container's name in Docker.
    #[serde(deserialize_with = "texts::line")]
    pub container_name: String,
    /// Generation of the desired state the agent holds.
    #[serde(deserialize_with = "numbers::exact")]
    pub generation: u64,
    /// What it should be.
    pub desired: Desired,
    /// What it is.
    pub phase: Phase,
    /// The agent is done with this generation: it is as desired, or `error`.
    pub settled: bool,
    /// Set when `phase` is `error`, and when `update_failed`.
    pub reason: Option<Reason>,
    /// Set while pulling or building.
    #[serde(default)]
    pub progress: Option<Progress>,
    /// Docker's id of the container.
    #[serde(default, deserialize_with = "texts::optional_line")]
    pub container_id: Option<String>,
    /// Image as asked for.
    #[serde(deserialize_with = "texts::line")]
    pub image: String,
    /// Content id of the image that runs, `sha256:…`.
    #[serde(default, deserialize_with = "texts::optional_line")]
    pub image_digest: Option<String>,
    /// Digest by which its registry has that image, `sha256:…`; none where it came from no registry.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "texts::optional_line"
    )]
    pub registry_digest: Option<String>,
    /// Published ports.
    pub ports: Vec<PortBinding>,
    /// What the image's own health check says, where it has one and the container runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<ContainerHealth>,
    /// Last start of the container.
    #[serde(default, deserialize_with = "texts::optional_line")]
    pub started_at: Option<String>,
    /// Last end of the container.
    #[serde(default, deserialize_with = "texts::optional_line")]
    pub finished_at: Option<String>,
    /// Exit code of the last end.
    #[serde(default)]
    pub exit_code: Option<i64>,
    /// Restarts by the agent since it was last deployed or started by a command.
    #[serde(default)]
    pub restart_count: u32,
    /// The last update failed: `reason` says why, and the version before it runs. True until the next command, also after
    /// the control plane has taken the failed spec back.
    #[serde(default)]
    pub update_failed: bool,
    /// What this generation asks for was given up, and the spec before it runs. False again once the control plane has
    /// taken the failed spec back.
    #[serde(default)]
    pub rolled_back: bool,
    /// Health of its MCP server since its container started; none if it is no MCP server, or is not meant to run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mcp: Option<Box<McpHealth>>,
    /// When this view last changed.
    #[serde(deserialize_with = "texts::line")]
    pub updated_at: String,
    /// Orders the views, however they travel. None from agents that do not number them.
    #[serde(default)]
    pub version: Option<ViewVersion>,
}

/// Answer of `DELETE /tools/{id}` when nothing of the instance is left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Removed {
    /// The instance id.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "uuid"))]
    pub id: ToolInstanceId,
    /// Always true.
    pub removed: bool,
}

/// A container on the machine that is not the agent's. Never its command or environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ForeignContainer {
    /// Docker's id.
    #[serde(deserialize_with = "texts::line")]
    pub container_id: String,
    /// Docker's name.
    #[serde(deserialize_with = "texts::line")]
    pub name: String,
    /// Image.
    #[serde(deserialize_with = "texts::line")]
    pub image: String,
    /// Docker's state, such as `running`.
    #[serde(deserialize_with = "texts::line")]
    pub state: String,
}

/// Answer of `GET /tools`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ToolList {
    /// The toolbox this agent serves.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "uuid"))]
    pub toolbox_id: ToolboxId,
    /// Version of the agent's program.
    #[serde(deserialize_with = "texts::line")]
    pub version: String,
    /// Version of this API.
    pub api_version: u32,
    /// Every instance the agent holds.
    pub tools: Vec<ToolView>,
    /// Those of them that the control plane said it does not know; the agent leaves them as they are.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub orphans: Vec<ToolInstanceId>,
    /// Every other container on the machine.
    pub foreign: Vec<ForeignContainer>,
}

/// One line of `GET /tools/{id}/logs` (`application/x-ndjson`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LogLine {
    /// `stdout` or `stderr`.
    pub stream: LogStream,
    /// When Docker or the agent received it, RFC 3339 in UTC with nine digits of a second.
    pub time: Option<String>,
    /// The text, at most 16 KiB.
    pub line: String,
    /// The line was longer and was cut.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
}

/// Where a log line was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum LogStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Whether the agent is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum AgentHealth {
    /// Docker answers.
    Healthy,
    /// The agent runs but Docker does not answer.
    Degraded,
}

/// Answer of `GET /health`; public, so it tells no more than this.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Health {
    /// Whether the agent is well.
    pub status: AgentHealth,
    /// Always `DTMA`.
    pub service: String,
    /// Version of the agent's program.
    pub version: String,
    /// Version of this API.
    pub api_version: u32,
    /// Now, RFC 3339.
    pub timestamp: String,
    /// Docker.
    pub docker: DockerReachable,
}

/// Whether Docker answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DockerReachable {
    /// Docker answered a ping.
    pub reachable: bool,
}

/// Answer of `GET /status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Status {
    /// Whether the agent is well.
    pub status: AgentHealth,
    /// Always `DTMA`.
    pub service: String,
    /// Version of the agent's program.
    pub version: String,
    /// Version of this API.
    pub api_version: u32,
    /// Now, RFC 3339.
    pub timestamp: String,
    /// The toolbox this agent serves.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "uuid"))]
    pub toolbox_id: ToolboxId,
    /// Seconds since the agent started.
    pub uptime_seconds: u64,
    /// What is configured; field names of the predecessor.
    pub environment: AgentEnvironment,
    /// Docker Engine.
    pub docker: DockerInfo,
    /// Host metrics.
    pub system_metrics: SystemMetrics,
    /// Every instance the agent holds.
    pub tool_instances: Vec<ToolView>,
}

/// What the agent is configured with, never the values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct AgentEnvironment {
    /// A key for the control plane's calls is set.
    pub has_auth_token: bool,
    /// The same, under the predecessor's second name.
    pub has_api_key: bool,
    /// An address for heartbeats is set.
    pub has_api_base_url: bool,
    /// Port the agent listens on.
    pub port: u16,
}

/// Docker Engine as the agent sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DockerInfo {
    /// Docker answered.
    pub reachable: bool,
    /// Engine version.
    pub version: Option<String>,
    /// API version in use.
    pub api_version: Option<String>,
}

/// Metrics of the machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SystemMetrics {
    /// CPU in use over the last second or more, 0 to 100.
    pub cpu_load_percent: f64,
    /// Memory.
    #[serde(deserialize_with = "objects::required")]
    pub memory: MemoryMetrics,
    /// The disk that holds the agent's state.
    #[serde(default, deserialize_with = "objects::optional")]
    pub disk: Option<DiskMetrics>,
    /// Seconds since the machine booted.
    pub uptime_seconds: u64,
    /// Whether containers are kept away from the machine; agents of before do not say.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "objects::optional"
    )]
    pub host_firewall: Option<HostFirewall>,
}

/// Whether containers are kept away from the machine itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HostFirewall {
    /// What is known of it.
    pub state: FirewallState,
    /// Why it is not `verified`.
    #[serde(default, deserialize_with = "texts::optional_line")]
    pub detail: Option<String>,
    /// Since when, RFC 3339.
    #[serde(deserialize_with = "texts::line")]
    pub since: String,
}

/// What is known of the rules that keep containers away from the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum FirewallState {
    /// They are set, and a container that tried was refused.
    Verified,
    /// They are set, but no container could try them.
    Unverified,
    /// They are set, but a container reached the machine.
    Ineffective,
    /// They cannot be set.
    Unavailable,
}

impl FirewallState {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Unverified => "unverified",
            Self::Ineffective => "ineffective",
            Self::Unavailable => "unavailable",
        }
    }
}

/// Memory of the machine, in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MemoryMetrics {
    /// In all.
    pub total_bytes: u64,
    /// Total less available.
    pub used_bytes: u64,
    /// Not used at all.
    pub free_bytes: u64,
    /// Used and not reclaimable at once.
    pub active_bytes: u64,
}

/// A disk of the machine, in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DiskMetrics {
    /// Where it is mounted.
    #[serde(deserialize_with = "texts::line")]
    pub mount: String,
    /// In all.
    pub total_bytes: u64,
    /// In use.
    pub used_bytes: u64,
    /// Free for the agent.
    pub free_bytes: u64,
}
