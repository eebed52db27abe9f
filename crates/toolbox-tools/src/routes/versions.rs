//! The versions of an instance, and the way back to one.

use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_api::tool_versions::ToolVersionsResponse;
use toolbox_edge::{Answer, RequestContext, reply};

use super::{change, instance};
use crate::host::{change_request, instances, read_request};

/// `GET /{toolboxId}/tools/{instance}/versions`.
pub(super) fn list(cx: RequestContext) -> Answer {
    Box::pin(async move {
        let (toolbox, target) = instance(&cx)?;
        let request = read_request(&cx)?;
        let found = instances(&cx)?.versions(&request, toolbox, &target).await?;
        reply::json(
            200,
            &ToolVersionsResponse {
                success: true,
                instance_id: found.instance_id,
                versions: found.versions,
                request_id: cx.request_id.to_string(),
            },
        )
    })
}

/// `POST /{toolboxId}/tools/{instance}/versions/{generation}/rollback`.
pub(super) fn roll_back(cx: RequestContext) -> Answer {
    Box::pin(async move {
        let (toolbox, target) = instance(&cx)?;
        let generation = cx.param(2).parse().map_err(|_| {
            ApiError::with_message(
                ErrorCode::InvalidRequest,
                "Give the generation of the version, a number",
            )
        })?;
        let request = change_request(&cx).await?;
        let outcome = instances(&cx)?
            .roll_back(&request, toolbox, &target, generation)
            .await?;
        change::answer(&cx, &request, toolbox, outcome)
    })
}
