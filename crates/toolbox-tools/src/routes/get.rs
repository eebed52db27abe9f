//! One instance.

use toolbox_api::edge::GetResponse;
use toolbox_api::error::ApiError;
use toolbox_domain::ids::ToolboxId;
use toolbox_edge::{Answer, Reply, RequestContext, reply};
use toolbox_instances::find::Target;

use super::instance;
use crate::host::{instances, read_request};

/// `GET /{toolboxId}/tools/{instance}`.
pub(super) fn handle(cx: RequestContext) -> Answer {
    Box::pin(async move {
        let (toolbox, target) = instance(&cx)?;
        get(&cx, toolbox, &target).await
    })
}

/// Answers with the row joined with the agent's view of this instance.
pub(super) async fn get(
    cx: &RequestContext,
    toolbox: ToolboxId,
    target: &Target,
) -> Result<Reply, ApiError> {
    let request = read_request(cx)?;
    let found = instances(cx)?.get(&request, toolbox, target).await?;
    reply::json(
        200,
        &GetResponse {
            success: found.agent.reachable,
            tool_instance: found.instance,
            agent: found.agent,
            request_id: cx.request_id.to_string(),
        },
    )
}
