//! All instances of a toolbox.

use toolbox_api::edge::ListResponse;
use toolbox_api::error::ApiError;
use toolbox_domain::ids::ToolboxId;
use toolbox_edge::{Answer, Reply, RequestContext, reply};

use super::toolbox_id;
use crate::host::{instances, read_request};

/// `GET /{toolboxId}/tools`.
pub(super) fn handle(cx: RequestContext) -> Answer {
    Box::pin(async move { list(&cx, toolbox_id(cx.param(0))?).await })
}

/// Answers with what is known: live where the agent answers, last known with its age where not.
pub(super) async fn list(cx: &RequestContext, toolbox: ToolboxId) -> Result<Reply, ApiError> {
    let request = read_request(cx)?;
    let listing = instances(cx)?.list(&request, toolbox).await?;
    reply::json(
        200,
        &ListResponse {
            success: listing.agent.reachable,
            tool_instances: listing.instances,
            dtma_connected: listing.agent.reachable,
            connection_error: listing.agent.message.clone(),
            last_checked: listing.agent.checked_at.clone(),
            agent: listing.agent,
            foreign_containers: listing.foreign,
            orphan_tools: listing.orphans,
            request_id: cx.request_id.to_string(),
        },
    )
}
