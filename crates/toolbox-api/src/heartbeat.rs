//! What an agent tells the control plane, and what it is told: the edge function `heartbeat`.
//!
//! - `POST /heartbeat/{toolbox}/enrol` with a single-use enrolment token: [`EnrolRequest`] → [`EnrolResponse`].
//! - `POST /heartbeat/{toolbox}` with the toolbox's own key: [`Heartbeat`] → [`HeartbeatResponse`].
//! - `GET /heartbeat/{toolbox}/desired` with the same key: → [`DesiredState`].
//!

use serde::{Deserialize, Serialize};
use toolbox_domain::ids::ToolInstanceId;
use toolbox_domain::objects;

use crate::dtma::{DeployRequest, Phase, PortBinding, Reason, SystemMetrics, ViewVersion};
use crate::mcp::McpHealth;
use crate::mcp_use::McpUseReport;
use crate::{numbers, texts};

/// Most instances one heartbeat may tell of; an agent with more sends several.
pub const MAX_INSTANCES: usize = 200;

/// Longest certificate, in bytes of PEM. A self-signed one has less than one kilobyte.
pub const MAX_CERTIFICATE_BYTES: usize = 16 * 1024;

/// Seconds between two full heartbeats, unless the control plane wants it otherwise.
pub const DEFAULT_INTERVAL_SECONDS: u32 = 60;

/// Body of `POST /heartbeat/{toolbox}/enrol`. The token is the bearer token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EnrolRequest {
    /// Version of the agent's program.
    pub version: String,
    /// Version of the agent's API.
    pub api_version: u32,
    /// The agent's TLS certificate. A token that was used before is accepted again only with the same certificate,
    /// so a lost answer can be asked for again and a stolen token is worth nothing afterwards.
    pub certificate_pem: String,
    /// The machine's SSH host key, `ssh-ed25519 AAAA…` without a comment. Without it the machine is not reached by SSH.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh_host_key: Option<String>,
    /// Port of the machine's sshd; 22 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh_port: Option<u16>,
}

/// Answer of `POST /heartbeat/{toolbox}/enrol`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EnrolResponse {
    /// The toolbox's keys.
    pub keys: KeyPair,
    /// Seconds between two full heartbeats.
    pub interval_seconds: u32,
    /// The key whose certificates the machine's sshd accepts for the user `toolbox-ssh`: `ssh-ed25519 AAAA…`. Absent where
    /// the control plane has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh_ca_public_key: Option<String>,
}

/// The keys of one toolbox, named by what they were derived from.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct KeyPair {
    /// Names the pair: the root secret's fingerprint, a dot, and the toolbox's key epoch. No secret.
    pub key_id: String,
    /// The control plane presents it to the agent.
    pub control_to_agent: String,
    /// The agent presents it to the control plane.
    pub agent_to_control: String,
}

/// Body of `POST /heartbeat/{toolbox}`. `(boot, sequence)` grows with every heartbeat of an agent: one that is not
/// greater than the last accepted is refused, so a recorded heartbeat cannot be sent again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Heartbeat {
    /// Grows with every start of the agent.
    pub boot: u64,
    /// Grows with every heartbeat of one start, from 1.
    pub sequence: u64,
    /// Version of the agent's program.
    pub version: String,
    /// Version of the agent's API.
    pub api_version: u32,
    /// SHA-256 of the agent's TLS certificate (DER), 64 hexadecimal digits. None without TLS.
    #[serde(default)]
    pub certificate_sha256: Option<String>,
    /// The certificate, in the first heartbeat of each start.
    #[serde(default)]
    pub certificate_pem: Option<String>,
    /// Seconds until the next heartbeat at the latest.
    pub interval_seconds: u32,
    /// Metrics of the machine; only in full heartbeats.
    #[serde(default, deserialize_with = "objects::optional")]
    pub system_metrics: Option<SystemMetrics>,
    /// Docker answers.
    pub docker_reachable: bool,
    /// `instances` names every instance the agent holds, so an instance that is not named is absent.
    pub full: bool,
    /// States, the latest of each instance. At most [`MAX_INSTANCES`].
    #[serde(deserialize_with = "objects::list")]
    pub instances: Vec<InstanceReport>,
    /// How MCP servers are used; only in full heartbeats, where there is something new.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "objects::optional"
    )]
    pub mcp_use: Option<McpUseReport>,
}

/// Which of an agent's heartbeats one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HeartbeatNumbers {
    /// [`Heartbeat::boot`].
    pub boot: u64,
    /// [`Heartbeat::sequence`].
    pub sequence: u64,
}

/// The state of one instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct InstanceReport {
    /// The instance id.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "uuid"))]
    pub id: ToolInstanceId,
    /// Generation of the desired state the agent holds.
    #[serde(deserialize_with = "numbers::exact")]
    pub generation: u64,
    /// What it is; none when nothing of it is left on the machine.
    pub phase: Option<Phase>,
    /// The agent is done with this generation.
    pub settled: bool,
    /// Set when `phase` is `error`, and when `rolled_back`.
    #[serde(default, deserialize_with = "objects::optional")]
    pub reason: Option<Reason>,
    /// Docker's id of the container.
    #[serde(default, deserialize_with = "texts::optional_line")]
    pub container_id: Option<String>,
    /// Content id of the image that runs.
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
    #[serde(default, deserialize_with = "objects::list")]
    pub ports: Vec<PortBinding>,
    /// What this generation asks for was given up, and the spec before it runs ([`crate::dtma::ToolView::rolled_back`]).
    #[serde(default)]
    pub rolled_back: bool,
    /// Health of the MCP server, where the instance is one and runs.
    #[serde(default, deserialize_with = "objects::optional")]
    pub mcp: Option<McpHealth>,
    /// When the agent saw this, RFC 3339 by its own clock.
    #[serde(deserialize_with = "texts::line")]
    pub observed_at: String,
    /// Version of the view this was made from: a report that a later view has overtaken is not applied. None where
    /// there is no view.
    #[serde(default, deserialize_with = "objects::optional")]
    pub view_version: Option<ViewVersion>,
}

/// Answer of `POST /heartbeat/{toolbox}`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HeartbeatResponse {
    /// Digest of the desired state: SHA-256, in hexadecimal, over the [`digest_line`]s of all instances in order of their ids. An agent whose own differs asks for
    /// `GET /heartbeat/{toolbox}/desired`.
    pub desired_digest: String,
    /// Instances the agent told of that the control plane does not know in this toolbox.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub unknown: Vec<ToolInstanceId>,
    /// New keys to use from now on; those before stay valid for a while.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_keys: Option<KeyPair>,
}

/// Answer of `GET /heartbeat/{toolbox}/desired`. It holds the environment of every instance: never log it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DesiredState {
    /// Digest of `instances`.
    pub digest: String,
    /// Every instance of the toolbox; those to be removed have `desired: absent`.
    pub instances: Vec<DesiredInstance>,
}

/// One instance as it should be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DesiredInstance {
    /// The instance id.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "uuid"))]
    pub id: ToolInstanceId,
    /// The rest, as in `PUT /tools/{id}`; here `desired` may be `absent`.
    #[serde(flatten)]
    pub deploy: DeployRequest,
}

/// One line of the desired state's digest. The database makes the same lines.
pub fn digest_line(id: ToolInstanceId, generation: u64, desired: crate::dtma::Desired) -> String {
    format!("{id}:{generation}:{}\n", desired.as_str())
}
