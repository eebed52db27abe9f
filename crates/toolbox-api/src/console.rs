//! What the edge function `toolbox-dtma-console` speaks to its callers: how a machine and its agent are, and their restart,
//! redeployment, rollback, log and diagnosis.
//!
//! Field names of the predecessor stay: `success`, `dtma_status`, `system_metrics`, `connection_status`, `last_checked`,
//! `message`, `action`, `method`, `timestamp`, `details`, `logs`. Each answer says by which way it came and what failed
//! before that. A failure has the HTTP status of its code, and the same fields beside `error`.

use serde::{Deserialize, Serialize};
use toolbox_domain::ids::ToolboxId;

use crate::dtma::{Status, SystemMetrics};
use crate::edge::NumberOrText;
use crate::error::ErrorBody;
use crate::machine::{Check, MachineStatus, Verdict, VersionChange};
use crate::rollout::Rollout;

/// What can be asked of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum ConsoleAction {
    /// How the machine and its agent are.
    Status,
    /// Ends the agent; it is started again.
    Restart,
    /// Replaces the agent by another version.
    Redeploy,
    /// Replaces the agent by the version before.
    Rollback,
    /// How the last redeployment or rollback goes.
    Operation,
    /// The end of the agent's log.
    Logs,
    /// What is wrong, and what to do about it.
    Diagnose,
}

impl ConsoleAction {
    /// Every action.
    pub const ALL: [Self; 7] = [
        Self::Status,
        Self::Restart,
        Self::Redeploy,
        Self::Rollback,
        Self::Operation,
        Self::Logs,
        Self::Diagnose,
    ];

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Restart => "restart",
            Self::Redeploy => "redeploy",
            Self::Rollback => "rollback",
            Self::Operation => "operation",
            Self::Logs => "logs",
            Self::Diagnose => "diagnose",
        }
    }

    /// The action with this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == text)
    }

    /// It changes something, so only `POST` asks for it.
    pub const fn changes(self) -> bool {
        matches!(self, Self::Restart | Self::Redeploy | Self::Rollback)
    }
}

/// One body with an `action`, as `supabase.functions.invoke` sends it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConsoleRequest {
    /// The toolbox.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "uuid"))]
    pub toolbox_id: Option<String>,
    /// One of [`ConsoleAction`]; kept as text so that an unknown one gets its own code.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = ConsoleAction))]
    pub action: Option<String>,
    /// Version to run, for `redeploy`; the one that the operator wants when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Lines from the end, for `logs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail: Option<NumberOrText>,
    /// Keep streaming, for `logs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follow: Option<bool>,
}

/// Body of `POST /{toolboxId}/redeploy`; may be left out.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct ConsoleRedeployRequest {
    /// Version to run; the one that the operator wants when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// Body of `POST /rollouts`; may be left out.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ConsoleRolloutRequest {
    /// Version to run; the one that the operator wants when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// So many toolboxes at a time, 1 to 10; 1 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wave_size: Option<u32>,
    /// Which, in this order; all that have a machine, the oldest first, when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub toolbox_ids: Option<Vec<String>>,
}

/// Answer about a rollout.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConsoleRollout {
    /// Always true.
    pub success: bool,
    /// The rollout.
    pub rollout: Box<Rollout>,
    /// When.
    pub timestamp: String,
    /// The request.
    pub request_id: String,
}

/// A way to a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// The agent's own endpoint.
    DtmaEndpoint,
    /// The companion beside it.
    Companion,
    /// SSH, through `ssh-command-executor`.
    Ssh,
}

/// A way that was tried and did not work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Attempt {
    /// The way.
    pub way: Way,
    /// Why it did not work: a stable code.
    pub code: String,
    /// The same in words.
    pub message: String,
    /// How long it took, in milliseconds.
    pub ms: u64,
}

/// Whether the machine was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum ConnectionStatus {
    /// One of the ways worked.
    Connected,
    /// None did.
    Failed,
}

/// What the control plane last heard of a machine without asking.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LastHeartbeat {
    /// When. None where there was none.
    pub at: Option<String>,
    /// How long ago, in seconds.
    pub age_seconds: Option<u64>,
    /// Version that the agent told.
    pub version: Option<String>,
    /// Status of the toolbox, such as `active` or `unresponsive`.
    pub toolbox_status: String,
}

/// One part that the machine's users depend on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ServiceCheck {
    /// `agent`, `companion`, `ssh` or `database`.
    pub name: String,
    /// How it is.
    pub verdict: Verdict,
    /// How long it took to answer, in milliseconds. None where it was not asked, or did not answer.
    pub response_time_ms: Option<u64>,
    /// What the verdict rests on.
    pub evidence: String,
    /// When it was checked.
    pub checked_at: String,
}

/// Answer to `status`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConsoleStatus {
    /// The machine was reached.
    pub success: bool,
    /// Why it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorBody>,
    /// The toolbox.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "uuid"))]
    pub toolbox_id: ToolboxId,
    /// What the agent says of itself and its tools. None where the agent did not answer.
    pub dtma_status: Option<Box<Status>>,
    /// How the machine and its agent are, from whoever answered.
    pub machine: Option<Box<MachineStatus>>,
    /// The machine's metrics now.
    pub system_metrics: Option<SystemMetrics>,
    /// Whether the machine was reached.
    pub connection_status: ConnectionStatus,
    /// By which way.
    pub method: Option<Way>,
    /// What failed before.
    pub attempts: Vec<Attempt>,
    /// What was last heard without asking.
    pub last_heartbeat: LastHeartbeat,
    /// Each part, with its response time.
    pub services: Vec<ServiceCheck>,
    /// When this was seen.
    pub last_checked: String,
    /// The request.
    pub request_id: String,
}

/// Answer to `restart`, `redeploy`, `rollback` and `operation`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConsoleChange {
    /// It was accepted (202), or its end was seen (200).
    pub success: bool,
    /// Why it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorBody>,
    /// What was seen, in words.
    pub message: String,
    /// The action.
    pub action: ConsoleAction,
    /// By which way.
    pub method: Option<Way>,
    /// What failed before.
    pub attempts: Vec<Attempt>,
    /// The redeployment or rollback, as far as it is known.
    pub operation: Option<VersionChange>,
    /// What the machine answered.
    pub details: serde_json::Value,
    /// When.
    pub timestamp: String,
    /// The request.
    pub request_id: String,
}

/// Answer to `logs`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConsoleLogs {
    /// Always true.
    pub success: bool,
    /// Lines of the agent's log, the oldest first.
    pub logs: Vec<String>,
    /// By which way.
    pub method: Way,
    /// What failed before.
    pub attempts: Vec<Attempt>,
    /// When.
    pub timestamp: String,
    /// The request.
    pub request_id: String,
}

/// Answer to `diagnose`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConsoleDiagnosis {
    /// The checks were made. What they found is in them.
    pub success: bool,
    /// The worst verdict of a check.
    pub verdict: Verdict,
    /// From the control plane to the machine, then the machine's own. The first that failed is the first to mend.
    pub checks: Vec<Check>,
    /// Who made the machine's own checks; none when nobody could.
    pub method: Option<Way>,
    /// What failed before.
    pub attempts: Vec<Attempt>,
    /// When.
    pub timestamp: String,
    /// The request.
    pub request_id: String,
}
