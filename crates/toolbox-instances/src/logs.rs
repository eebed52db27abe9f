//! What an instance has written. It comes from its agent; the database keeps none of it.

use std::time::Duration;

use toolbox_api::dtma::LogLine;
use toolbox_api::edge::Via;
use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_clients::dtma::AgentError;
use toolbox_domain::ids::{ToolInstanceId, ToolboxId};
use toolbox_domain::machine_operation::{MAX_TAIL, MachineOperation, Tail};
use toolbox_http::BodyStream;

use crate::find::Target;
use crate::last_resort::Tried;
use crate::{Instances, UserRequest};

pub use toolbox_clients::dtma::LogQuery;

/// Platforms end a worker after 150 seconds. A caller who wants more follows again from the last line.
const LONGEST_FOLLOW: Duration = Duration::from_secs(140);

/// What an instance has written.
#[derive(Debug)]
pub struct Lines {
    /// The instance's id.
    pub instance_id: ToolInstanceId,
    /// The lines, oldest first.
    pub lines: Vec<LogLine>,
    /// SSH gave them, because the agent cannot be reached.
    pub via: Option<Via>,
}

impl Instances {
    /// The lines that `query` asks for. Where the agent cannot be reached, SSH gives them, unless only
    /// those of a time or of a stream are wanted.
    pub async fn logs(
        &self,
        request: &UserRequest,
        toolbox_id: ToolboxId,
        target: &Target,
        query: &LogQuery,
    ) -> Result<Lines, ApiError> {
        let (toolbox, row) = self.find_instance(request, toolbox_id, target).await?;
        let agent = self.agents.connect(&toolbox, &request.id)?;
        let (lines, via) = match agent.logs(row.id, query).await {
            Ok(lines) => (lines, None),
            Err(error) if error.is_unreachable() => {
                let by_ssh = self.logs_by_ssh(request, toolbox_id, row.id, query).await;
                (by_ssh.ok_or_else(|| refusal(error))?, Some(Via::Ssh))
            }
            Err(error) => return Err(refusal(error)),
        };
        Ok(Lines {
            instance_id: row.id,
            lines,
            via,
        })
    }

    /// None where SSH gives them neither, or cannot leave out what was not asked for.
    async fn logs_by_ssh(
        &self,
        request: &UserRequest,
        toolbox: ToolboxId,
        id: ToolInstanceId,
        query: &LogQuery,
    ) -> Option<Vec<LogLine>> {
        let last_resort = self.last_resort.as_ref()?;
        if query.since.is_some() || query.stream.is_some() {
            return None;
        }
        let tail = query.tail.unwrap_or(MAX_TAIL.into());
        let tail = u16::try_from(tail.clamp(1, MAX_TAIL.into())).ok()?;
        let tail = Tail::try_from(tail).ok()?;
        let operation = MachineOperation::InstanceLogs { id, tail };
        let trying = last_resort.execute(&request.token, &request.id, toolbox, &operation);
        match trying.await {
            Tried::Done(answer) => answer.entries,
            Tried::Not(error) | Tried::Perhaps(error) => {
                self.host.log(&request.id, "logs by SSH", &error);
                None
            }
        }
    }

    /// The lines that `query` asks for, and those that follow, as `application/x-ndjson`.
    pub async fn follow_logs(
        &self,
        request: &UserRequest,
        toolbox_id: ToolboxId,
        target: &Target,
        query: &LogQuery,
    ) -> Result<BodyStream, ApiError> {
        let (toolbox, row) = self.find_instance(request, toolbox_id, target).await?;
        let agent = self.agents.connect(&toolbox, &request.id)?;
        let followed = agent.follow_logs(row.id, query, LONGEST_FOLLOW).await;
        followed.map_err(refusal)
    }
}

fn refusal(error: AgentError) -> ApiError {
    if error.is_instance_unknown() {
        return ApiError::with_message(
            ErrorCode::InstanceNotFound,
            "The machine has no container of this instance; start it to re-create it",
        );
    }
    error.into()
}
