//! The tool environment of a user's agent: a toolbox that is made for it.

use std::time::Duration;

use toolbox_api::agents::{AgentEnvironment, AgentEnvironmentData};
use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_clients::supabase::agents::AgentRow;
use toolbox_clients::supabase::toolboxes::ToolboxRow;
use toolbox_domain::ids::ToolboxId;
use toolbox_domain::lifecycle::EnvironmentStatus;

use crate::view::view;
use crate::{DropletOrder, Provisioning, Wish};

/// Between two looks at a toolbox that somebody else advances.
const LOOK_EVERY: Duration = Duration::from_secs(1);

impl Provisioning<'_> {
    /// Sees to it that the agent has a toolbox: orders one unless it has one, and tries again what failed. Goes on with it for
    /// `wait`. Asked twice, also at once, it makes one toolbox.
    pub async fn ensure_for_agent(
        &self,
        agent: &AgentRow,
        holder: &str,
        wait: Duration,
        request_id: &str,
    ) -> Result<Box<ToolboxRow>, ApiError> {
        let id = match self.toolbox_of(agent).await? {
            Some(row) => self.kept(&row, request_id).await?,
            None => self.made(agent, request_id).await?,
        };
        let row = self.follow(id, holder, wait).await?;
        row.ok_or_else(|| ApiError::new(ErrorCode::StateChanged))
    }

    /// Asks for the end of the agent's toolbox and begins it; false when the agent has none.
    pub async fn remove_for_agent(
        &self,
        agent: &AgentRow,
        holder: &str,
        request_id: &str,
    ) -> Result<bool, ApiError> {
        let Some(row) = self.toolbox_of(agent).await? else {
            return Ok(false);
        };
        let (id, owner) = (row.toolbox.id, Some(agent.user_id));
        self.change(id, owner, &Wish::Deprovision, Some(request_id))
            .await?;
        self.follow(id, holder, Duration::ZERO).await?;
        Ok(true)
    }

    /// The toolbox that the agent has.
    pub async fn toolbox_of(&self, agent: &AgentRow) -> Result<Option<Box<ToolboxRow>>, ApiError> {
        match agent.account_tool_environment_id {
            Some(id) => Ok(self.supabase.any_toolbox(id).await?),
            None => Ok(None),
        }
    }

    /// Goes on with a toolbox until nothing of it is under way, for `wait` at most; none when it is gone. Where somebody else
    /// has it, it is looked at.
    pub async fn follow(
        &self,
        toolbox: ToolboxId,
        holder: &str,
        wait: Duration,
    ) -> Result<Option<Box<ToolboxRow>>, ApiError> {
        let until = self.clock.now() + wait;
        loop {
            let left = until.saturating_sub(self.clock.now());
            self.advance(toolbox, holder, left).await?;
            let row = self.supabase.any_toolbox(toolbox).await?;
            let is_settled = row.as_ref().is_none_or(|row| is_settled(row));
            if is_settled || self.clock.now() + LOOK_EVERY > until {
                return Ok(row);
            }
            self.clock.sleep(LOOK_EVERY).await;
        }
    }

    async fn kept(&self, row: &ToolboxRow, request_id: &str) -> Result<ToolboxId, ApiError> {
        let id = row.toolbox.id;
        match row.toolbox.status.parse() {
            Ok(EnvironmentStatus::ErrorProvisioning) if row.provisioning_step.is_none() => {
                self.change(id, None, &Wish::Retry, Some(request_id))
                    .await?;
                Ok(id)
            }
            Ok(
                EnvironmentStatus::PendingDeprovision
                | EnvironmentStatus::Deprovisioning
                | EnvironmentStatus::Deprovisioned
                | EnvironmentStatus::ErrorDeprovisioning,
            ) => Err(ApiError::with_message(
                ErrorCode::IllegalState,
                "The agent's tool environment is being removed; ask again when it is gone",
            )),
            _ => Ok(id),
        }
    }

    async fn made(&self, agent: &AgentRow, request_id: &str) -> Result<ToolboxId, ApiError> {
        let order = DropletOrder {
            name: agent.name.clone(),
            // Of several who ask at once, or one who died between the order and the next line, each gets the same toolbox.
            key: Some(format!("agent-{}", agent.id)),
            ..DropletOrder::default()
        };
        let ordered = self.order(agent.user_id, &order, Some(request_id)).await?;
        if !self.supabase.set_agent_toolbox(agent, ordered.id).await? {
            let now = self.supabase.any_agent(agent.id).await?;
            if now.and_then(|agent| agent.account_tool_environment_id) != Some(ordered.id) {
                return Err(ApiError::new(ErrorCode::StateChanged));
            }
        }
        Ok(ordered.id)
    }
}

/// Nothing of it is under way.
fn is_settled(row: &ToolboxRow) -> bool {
    row.provisioning_step.is_none()
        && matches!(
            row.toolbox.status.parse(),
            Ok(EnvironmentStatus::Active
                | EnvironmentStatus::Unresponsive
                | EnvironmentStatus::ErrorProvisioning
                | EnvironmentStatus::ErrorDeprovisioning)
        )
}

/// How the tool environment of an agent is, for who asked for it: an HTTP status and the answer, or why there is none.
pub fn answer(
    now: Duration,
    agent: &AgentRow,
    row: &ToolboxRow,
) -> Result<(u16, AgentEnvironment), ApiError> {
    let status = row.toolbox.status.parse();
    let data = data(now, agent, row);
    match status {
        Ok(EnvironmentStatus::Active) if row.provisioning_step.is_none() => {
            Ok((200, told("The tool environment is ready", Some(data))))
        }
        Ok(EnvironmentStatus::ErrorProvisioning) if row.provisioning_step.is_none() => {
            let why = row.provisioning_error_message.as_deref();
            Err(ApiError::with_message(
                ErrorCode::ProvisioningFailed,
                why.unwrap_or(ErrorCode::ProvisioningFailed.title()),
            ))
        }
        _ => {
            let message = data.progress.as_ref().map_or_else(
                || "The tool environment's agent does not report".to_owned(),
                |progress| progress.message.clone(),
            );
            Ok((202, told(&message, Some(data))))
        }
    }
}

/// What became of a wish to remove it: an HTTP status and the answer.
pub fn removal(was_there: bool) -> (u16, AgentEnvironment) {
    if was_there {
        let message = "The tool environment is being removed, and its machine with it";
        (202, told(message, None))
    } else {
        (200, told("The agent has no tool environment", None))
    }
}

/// How it is.
pub fn state(now: Duration, agent: &AgentRow, row: Option<&ToolboxRow>) -> AgentEnvironment {
    match row {
        Some(row) => told("The agent's tool environment", Some(data(now, agent, row))),
        None => told("The agent has no tool environment", None),
    }
}

fn told(message: &str, data: Option<AgentEnvironmentData>) -> AgentEnvironment {
    AgentEnvironment {
        success: true,
        message: message.to_owned(),
        data,
    }
}

fn data(now: Duration, agent: &AgentRow, row: &ToolboxRow) -> AgentEnvironmentData {
    let view = view(now, row);
    AgentEnvironmentData {
        agent_id: agent.id,
        toolbox_id: view.id,
        droplet_id: view.do_droplet_id,
        ip_address: view.public_ip_address,
        status: view.status,
        status_age_seconds: view.status_age_seconds,
        progress: view.progress,
        error: view.provisioning_error_message,
        cost: view.cost,
    }
}
