//! Agents of users, and which toolbox each has.

use serde::{Deserialize, Serialize};
use toolbox_domain::ids::{AgentId, ToolboxId, UserId};

use super::{DatabaseError, Supabase, argument, parse, unexpected};

/// An agent.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct AgentRow {
    /// Its id.
    pub id: AgentId,
    /// Whose it is.
    pub user_id: UserId,
    /// What the owner calls it.
    pub name: String,
    /// The toolbox that was made for it.
    pub account_tool_environment_id: Option<ToolboxId>,
}

#[derive(Serialize)]
struct SetAgentToolbox {
    agent_id: AgentId,
    toolbox_id: ToolboxId,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<ToolboxId>,
}

#[derive(Deserialize)]
struct Told {
    outcome: String,
}

const AGENT: &str = "id,user_id,name,account_tool_environment_id";

impl Supabase {
    /// The agent as the holder of `token` sees it; none when it does not exist for them.
    pub async fn agent(&self, token: &str, id: AgentId) -> Result<Option<AgentRow>, DatabaseError> {
        let query = format!("agents?id=eq.{id}&limit=1&select={AGENT}");
        let rows: Vec<AgentRow> = self.read(token, &query).await?;
        Ok(rows.into_iter().next())
    }

    /// An agent, whoever's it is. Read with the secret key.
    pub async fn any_agent(&self, id: AgentId) -> Result<Option<AgentRow>, DatabaseError> {
        let query = format!("agents?id=eq.{id}&limit=1&select={AGENT}");
        let answer = self.read_as_writer(&query).await?;
        Ok(parse::<Vec<AgentRow>>(&answer)?.into_iter().next())
    }

    /// Says which toolbox the agent has; false when it has another than the row says, or they are not of one user. Repeated it
    /// does no harm.
    pub async fn set_agent_toolbox(
        &self,
        agent: &AgentRow,
        toolbox_id: ToolboxId,
    ) -> Result<bool, DatabaseError> {
        let body = argument(&SetAgentToolbox {
            agent_id: agent.id,
            toolbox_id,
            expected: agent.account_tool_environment_id,
        });
        let answer = self.call("set_agent_toolbox", &body).await?;
        match parse::<Told>(&answer)?.outcome.as_str() {
            "set" => Ok(true),
            "changed" => Ok(false),
            _ => Err(unexpected(&answer)),
        }
    }
}
