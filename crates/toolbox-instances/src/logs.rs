//! What an instance has written. It comes from its agent; the database keeps none of it.

use std::time::Duration;

use toolbox_api::dtma::LogLine;
use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_clients::dtma::AgentError;
use toolbox_domain::ids::{ToolInstanceId, ToolboxId};
use toolbox_http::BodyStream;

use crate::find::Target;
use crate::{Instances, UserRequest};

pub use toolbox_clients::dtma::LogQuery;

/// Platforms end a worker after 150 seconds. A caller who wants more follows again from the last line.
const LONGEST_FOLLOW: Duration = Duration::from_secs(140);

impl Instances {
    /// The lines that `query` asks for, and the id of the instance.
    pub async fn logs(
        &self,
        request: &UserRequest,
        toolbox_id: ToolboxId,
        target: &Target,
        query: &LogQuery,
    ) -> Result<(ToolInstanceId, Vec<LogLine>), ApiError> {
        let (toolbox, row) = self.find_instance(request, toolbox_id, target).await?;
        let agent = self.agents.connect(&toolbox, &request.id)?;
        let lines = agent.logs(row.id, query).await.map_err(refusal)?;
        Ok((row.id, lines))
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
