//! Tool environments of users' agents: what the edge function `manage-agent-tool-environment` and the server `toolbox-backend`
//! answer. Field names of the predecessor stay: `success`, `message`, `data` with `agent_id`, `droplet_id`, `status` and
//! `ip_address`.

use serde::{Deserialize, Serialize};
use toolbox_domain::ids::{AgentId, ToolboxId};

use crate::toolboxes::{ToolboxCost, ToolboxProgress};

/// How the tool environment of an agent is, or what became of a wish.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AgentEnvironment {
    /// What was asked for was accepted, or is so.
    pub success: bool,
    /// The same in words.
    pub message: String,
    /// The tool environment; null when the agent has none, and after a wish to remove it.
    pub data: Option<AgentEnvironmentData>,
}

/// The toolbox of an agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AgentEnvironmentData {
    /// The agent.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "uuid"))]
    pub agent_id: AgentId,
    /// Its toolbox, as `toolboxes-user` and `toolbox-tools` know it.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "uuid"))]
    pub toolbox_id: ToolboxId,
    /// The droplet, once there is one.
    pub droplet_id: Option<i64>,
    /// Its address, once it has one.
    pub ip_address: Option<String>,
    /// Where the toolbox is in its life.
    pub status: String,
    /// Since when, in seconds.
    pub status_age_seconds: u64,
    /// How far it is, while something is under way.
    pub progress: Option<ToolboxProgress>,
    /// Why making or removing it failed, in words.
    pub error: Option<String>,
    /// What it costs.
    pub cost: Option<ToolboxCost>,
}
