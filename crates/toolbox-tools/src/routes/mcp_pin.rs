//! Which tools of an MCP server its owner accepted.

use toolbox_api::error::ApiError;
use toolbox_api::mcp_pin::{McpPin, McpPinResponse, PinMcpToolsRequest};
use toolbox_edge::{Answer, Reply, RequestContext, reply};

use super::instance;
use crate::host::{instances, read_request};

/// `GET /{toolboxId}/tools/{instance}/mcp/pin`.
pub(super) fn show(cx: RequestContext) -> Answer {
    Box::pin(async move {
        let (toolbox, target) = instance(&cx)?;
        let request = read_request(&cx)?;
        let pin = instances(&cx)?.mcp_pin(&request, toolbox, &target).await?;
        answer(&cx, pin)
    })
}

/// `PUT /{toolboxId}/tools/{instance}/mcp/pin`.
pub(super) fn put(cx: RequestContext) -> Answer {
    Box::pin(async move {
        let (toolbox, target) = instance(&cx)?;
        let wanted: PinMcpToolsRequest = cx.json().await?;
        let request = read_request(&cx)?;
        let pin = instances(&cx)?
            .pin_mcp_tools(&request, toolbox, &target, &wanted.fingerprint)
            .await?;
        answer(&cx, pin)
    })
}

/// `DELETE /{toolboxId}/tools/{instance}/mcp/pin`.
pub(super) fn delete(cx: RequestContext) -> Answer {
    Box::pin(async move {
        let (toolbox, target) = instance(&cx)?;
        let request = read_request(&cx)?;
        let pin = instances(&cx)?
            .unpin_mcp_tools(&request, toolbox, &target)
            .await?;
        answer(&cx, pin)
    })
}

fn answer(cx: &RequestContext, pin: McpPin) -> Result<Reply, ApiError> {
    reply::json(
        200,
        &McpPinResponse {
            success: true,
            pin,
            request_id: cx.request_id.to_string(),
        },
    )
}
