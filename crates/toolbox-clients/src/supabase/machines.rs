//! What is known of machines beside their tools.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use toolbox_domain::ids::ToolboxId;
use toolbox_domain::machine_operation::AgentVersion;

use super::rows::EnvironmentRow;
use super::{DatabaseError, ENVIRONMENT, Supabase, argument, parse, unexpected};

/// A toolbox as one who looks after its machine needs it.
#[derive(Clone, Debug, Deserialize)]
pub struct MachineRow {
    /// The toolbox.
    #[serde(flatten)]
    pub toolbox: EnvironmentRow,
    /// When its agent last reported.
    pub last_heartbeat_at: Option<String>,
    /// Where its SSH server listens.
    pub ssh_port: u16,
}

/// Whether the SSH server of a machine is to be checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SshCheck {
    /// Now, by who asked.
    Due,
    /// It was, within the last minute: what was seen, unless the check goes on still.
    Recent(Option<Value>),
}

#[derive(Serialize)]
struct BeginSshCheck {
    toolbox_id: ToolboxId,
}

#[derive(Serialize)]
struct RecordSshCheck<'a, T> {
    toolbox_id: ToolboxId,
    seen: &'a T,
}

#[derive(Deserialize)]
struct AgentVersionWire {
    version: Option<String>,
}

#[derive(Deserialize)]
struct SshCheckWire {
    outcome: String,
    seen: Option<Value>,
}

impl Supabase {
    /// The toolbox as the holder of `token` sees it; none when it does not exist for them.
    pub async fn machine(
        &self,
        token: &str,
        id: ToolboxId,
    ) -> Result<Option<MachineRow>, DatabaseError> {
        let query = format!(
            "account_tool_environments?id=eq.{id}&limit=1&select={ENVIRONMENT},last_heartbeat_at,ssh_port"
        );
        let rows: Vec<MachineRow> = self.read(token, &query).await?;
        Ok(rows.into_iter().next())
    }

    /// The version that the operator wants agents to have.
    pub async fn agent_version(&self) -> Result<Option<AgentVersion>, DatabaseError> {
        let answer = self.call("get_agent_version", br#"{"p":{}}"#).await?;
        let told: AgentVersionWire = parse(&answer)?;
        let version = told.version.map(|text| text.parse());
        version.transpose().map_err(|_| unexpected(&answer))
    }

    /// Asks to check the SSH server of a machine; of all who ask within a minute only the first may. Asked once: a second
    /// call would be told that it is being checked.
    pub async fn begin_ssh_check(&self, toolbox_id: ToolboxId) -> Result<SshCheck, DatabaseError> {
        let body = argument(&BeginSshCheck { toolbox_id });
        let answer = self.call_once("begin_ssh_check", &body).await?;
        let told: SshCheckWire = parse(&answer)?;
        match told.outcome.as_str() {
            "due" => Ok(SshCheck::Due),
            "recent" => Ok(SshCheck::Recent(told.seen)),
            _ => Err(unexpected(&answer)),
        }
    }

    /// Keeps what the check saw, for those who ask within a minute.
    pub async fn record_ssh_check(
        &self,
        toolbox_id: ToolboxId,
        seen: &impl Serialize,
    ) -> Result<(), DatabaseError> {
        let body = argument(&RecordSshCheck { toolbox_id, seen });
        self.call("record_ssh_check", &body).await.map(|_| ())
    }
}
