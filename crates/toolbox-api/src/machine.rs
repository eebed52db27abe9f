//! The machine API: how the agent and its machine are, and how the agent is restarted and replaced. The agent serves it on
//! its port and the companion on another, with the same routes, certificate and key, so that one of them can be down.
//!
//! - `GET /v1/machine/status` → [`MachineStatus`].
//! - `GET /v1/machine/diagnose` → [`Diagnosis`].
//! - `GET /v1/machine/logs?tail&follow` → the agent's own log, lines of text.
//! - `POST /v1/machine/restart` → [`Accepted`].
//! - `POST /v1/machine/redeploy` with [`RedeployRequest`], `POST /v1/machine/rollback` → [`Begun`].
//! - `GET /v1/machine/operation` → [`LastVersionChange`].
//!
//! Times are RFC 3339 in UTC.

use serde::{Deserialize, Serialize};
use toolbox_domain::ids::ToolboxId;
use toolbox_domain::objects;

use crate::dtma::{Reason, SystemMetrics};
use crate::{numbers, texts};

/// Most samples of the machine's metrics that are kept: one a minute.
pub const MAX_SAMPLES: usize = 60;

/// Lines of the agent's log that are answered when the caller does not say.
pub const DEFAULT_LOG_LINES: u32 = 100;

/// Most lines of the agent's log that a caller may ask for.
pub const MAX_LOG_LINES: u32 = 5000;

/// Which program answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum ServedBy {
    /// The agent itself.
    Agent,
    /// The companion on the same machine.
    Companion,
}

/// Answer of `GET /v1/machine/status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MachineStatus {
    /// The toolbox this machine serves.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "uuid"))]
    pub toolbox_id: ToolboxId,
    /// The agent.
    #[serde(deserialize_with = "objects::required")]
    pub agent: AgentState,
    /// The machine.
    #[serde(deserialize_with = "objects::required")]
    pub host: HostState,
    /// The certificate that both programs present. None without TLS.
    #[serde(default, deserialize_with = "objects::optional")]
    pub certificate: Option<CertificateState>,
    /// Docker Engine.
    #[serde(deserialize_with = "objects::required")]
    pub docker: DockerState,
    /// The companion. None where none is configured.
    #[serde(default, deserialize_with = "objects::optional")]
    pub companion: Option<CompanionState>,
    /// Who answers.
    pub served_by: ServedBy,
    /// Now, by the machine's clock.
    #[serde(deserialize_with = "texts::line")]
    pub timestamp: String,
}

/// How the agent is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum AgentCondition {
    /// It answers, and so does Docker.
    Healthy,
    /// It answers, but Docker does not.
    Degraded,
    /// It does not answer. Only the companion says so.
    Down,
}

/// The agent. What the companion cannot know while the agent is down is absent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AgentState {
    /// How it is.
    pub health: AgentCondition,
    /// Version of its program: of the one that runs, else of the one that is installed.
    #[serde(default, deserialize_with = "texts::optional_line")]
    pub version: Option<String>,
    /// Version of its API.
    #[serde(default)]
    pub api_version: Option<u32>,
    /// Seconds since it started.
    #[serde(default, deserialize_with = "numbers::optional")]
    pub uptime_seconds: Option<u64>,
    /// The version that a rollback goes back to.
    #[serde(default, deserialize_with = "texts::optional_line")]
    pub previous_version: Option<String>,
}

/// Metrics of the machine, now and over the last hour.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HostState {
    /// Now.
    #[serde(deserialize_with = "objects::required")]
    pub now: SystemMetrics,
    /// One a minute, the oldest first, at most 60. They are kept in memory: a program that has just started has few.
    #[serde(default, deserialize_with = "samples")]
    pub samples: Vec<HostSample>,
}

/// The machine at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HostSample {
    /// When.
    #[serde(deserialize_with = "texts::line")]
    pub at: String,
    /// CPU in use over the minute before, 0 to 100.
    pub cpu_load_percent: f64,
    /// Load average of one minute. Absent where it cannot be read.
    #[serde(default)]
    pub load_average: Option<f64>,
    /// Memory in all, in bytes.
    pub memory_total_bytes: u64,
    /// Memory in use, in bytes.
    pub memory_used_bytes: u64,
    /// The disk that holds the agent's state, in all, in bytes.
    #[serde(default)]
    pub disk_total_bytes: Option<u64>,
    /// What is free of it for the agent, in bytes.
    #[serde(default)]
    pub disk_free_bytes: Option<u64>,
}

fn samples<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<HostSample>, D::Error> {
    let mut samples = Vec::deserialize(deserializer)?;
    samples.truncate(MAX_SAMPLES);
    Ok(samples)
}

/// The TLS certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CertificateState {
    /// SHA-256 of its DER form, 64 hexadecimal digits.
    #[serde(deserialize_with = "texts::line")]
    pub sha256: String,
    /// When it ends. Absent when it never does, as those that the agent makes.
    #[serde(default, deserialize_with = "texts::optional_line")]
    pub not_after: Option<String>,
}

/// Docker Engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DockerState {
    /// It answers.
    pub reachable: bool,
    /// Its version.
    #[serde(default, deserialize_with = "texts::optional_line")]
    pub version: Option<String>,
}

/// The companion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CompanionState {
    /// It answers.
    pub reachable: bool,
    /// Version of its program.
    #[serde(default, deserialize_with = "texts::optional_line")]
    pub version: Option<String>,
}

/// Answer of `GET /v1/machine/diagnose`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Diagnosis {
    /// Every check.
    #[serde(deserialize_with = "checks")]
    pub checks: Vec<Check>,
}

/// Most checks of a machine that are read.
const MAX_CHECKS: usize = 50;

fn checks<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<Check>, D::Error> {
    let mut checks = Vec::deserialize(deserializer)?;
    checks.truncate(MAX_CHECKS);
    Ok(checks)
}

/// What a check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It works, but soon may not.
    Warning,
    /// It does not work.
    Failed,
    /// It could not be checked; `evidence` says why.
    NotChecked,
}

/// One check and what it found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Check {
    /// Stable name, such as `disk`.
    #[serde(deserialize_with = "texts::line")]
    pub name: String,
    /// What it found.
    pub verdict: Verdict,
    /// What the verdict rests on, in words.
    #[serde(deserialize_with = "texts::line")]
    pub evidence: String,
    /// The one thing to do about it, where there is something to do.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "texts::optional_line"
    )]
    pub action: Option<String>,
}

impl Check {
    /// A check that needs nothing done about it.
    pub fn new(name: &str, verdict: Verdict, evidence: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            verdict,
            evidence: evidence.into(),
            action: None,
        }
    }

    /// The same with the one thing to do.
    #[must_use]
    pub fn then(mut self, action: impl Into<String>) -> Self {
        self.action = Some(action.into());
        self
    }
}

/// Answer of `POST /v1/machine/restart`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Accepted {
    /// Always true: the agent ends now and its supervisor starts it again.
    pub accepted: bool,
}

/// Body of `POST /v1/machine/redeploy`; may be left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RedeployRequest {
    /// The version to run: 1 to 64 of `0-9A-Za-z.+-`, the first a digit. The latest release when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// Answer of `POST /v1/machine/redeploy` and `/rollback`: it has begun, and `GET /v1/machine/operation` tells how it goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Begun {
    /// Names the change, a UUID.
    #[serde(deserialize_with = "texts::line")]
    pub id: String,
}

/// Answer of `GET /v1/machine/operation`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LastVersionChange {
    /// The one that is under way, else the last that was. None where there was none.
    #[serde(default, deserialize_with = "objects::optional")]
    pub operation: Option<VersionChange>,
}

/// Which change of the agent's version one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum VersionChangeKind {
    /// To a version that is asked for.
    Redeploy,
    /// To the version before.
    Rollback,
}

/// How far a change of the agent's version is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum VersionChangePhase {
    /// The program is being fetched and its checksum compared.
    Fetching,
    /// The new program runs beside the old one and is asked whether it could serve.
    Candidate,
    /// The old program finishes what it began.
    Draining,
    /// The new program was started in its place.
    Starting,
    /// The end: the new program is healthy.
    Healthy,
    /// The end: the new program was not healthy in time, and the old one runs again.
    RolledBack,
    /// The end: nothing was changed, or the machine needs help; `reason` says which.
    Failed,
}

impl VersionChangePhase {
    /// Nothing comes after it.
    pub const fn is_end(self) -> bool {
        matches!(self, Self::Healthy | Self::RolledBack | Self::Failed)
    }
}

/// A change of the agent's version. It is kept on the machine's disk, so it outlives both programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VersionChange {
    /// Names it, a UUID.
    #[serde(deserialize_with = "texts::line")]
    pub id: String,
    /// Redeploy or rollback.
    pub kind: VersionChangeKind,
    /// The version that ran. Absent where none did.
    #[serde(default, deserialize_with = "texts::optional_line")]
    pub from: Option<String>,
    /// The version that is to run.
    #[serde(deserialize_with = "texts::line")]
    pub to: String,
    /// How far it is.
    pub phase: VersionChangePhase,
    /// Why it is `rolled_back` or `failed`.
    #[serde(default, deserialize_with = "objects::optional")]
    pub reason: Option<Reason>,
    /// When it began.
    #[serde(deserialize_with = "texts::line")]
    pub started_at: String,
    /// When it ended.
    #[serde(default, deserialize_with = "texts::optional_line")]
    pub finished_at: Option<String>,
}
