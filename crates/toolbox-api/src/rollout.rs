//! Rollouts: the agents of many toolboxes replaced in waves. The database keeps them as callers see them.

use serde::{Deserialize, Serialize};
use toolbox_domain::ids::{RolloutId, ToolboxId};
use toolbox_domain::machine_operation::AgentVersion;

/// Most toolboxes of a wave.
pub const MAX_WAVE: u32 = 10;

/// One rollout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Rollout {
    /// Its id.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "uuid"))]
    pub id: RolloutId,
    /// The version that the agents are replaced by.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub version: AgentVersion,
    /// So many toolboxes at a time.
    pub wave_size: u32,
    /// Whether it goes on.
    pub state: RolloutState,
    /// Why it was stopped.
    pub reason: Option<RolloutReason>,
    /// The toolboxes, in order.
    pub toolboxes: Vec<RolloutToolbox>,
    /// When it began.
    pub created_at: String,
    /// When it was stopped or finished.
    pub ended_at: Option<String>,
}

/// Whether a rollout goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum RolloutState {
    /// It does.
    Running,
    /// A failure or its user stopped it. No further toolbox is asked; those that were go on.
    Stopped,
    /// Every toolbox runs the version, was silent when it was its turn, or was removed meanwhile.
    Finished,
}

/// Why a rollout was stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RolloutReason {
    /// A stable code.
    pub code: String,
    /// What happened, and what to do.
    pub message: String,
    /// The toolbox that failed; none where its user stopped it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = "uuid"))]
    pub toolbox_id: Option<ToolboxId>,
}

/// A toolbox of a rollout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RolloutToolbox {
    /// The toolbox.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "uuid"))]
    pub id: ToolboxId,
    /// Its name when the rollout began.
    pub name: String,
    /// How far it is.
    pub state: RolloutToolboxState,
    /// The machine's own id of the redeployment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation_id: Option<String>,
    /// What went wrong: a stable code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The same in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When it took what was asked, or was asked first, as long as it is not known to have taken it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_at: Option<String>,
    /// When its machine was first asked how the change goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looked_at: Option<String>,
    /// When its end was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
}

/// How far a toolbox is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum RolloutToolboxState {
    /// Its machine was not asked, or is asked again.
    Waiting,
    /// Its machine was asked to replace the agent.
    Asked,
    /// The machine says that the version is healthy, and the agent has reported with it; of a toolbox that ran the version
    /// before it was its turn, what the agent has last reported.
    Healthy,
    /// It was not replaced, or nobody knows in time.
    Failed,
    /// Its agent did not report when it was its turn, so its machine was not asked.
    Silent,
    /// The toolbox is gone, or is being removed.
    Removed,
}
