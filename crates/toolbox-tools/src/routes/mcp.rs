//! How an MCP client reaches an instance.

use toolbox_api::edge::McpAccessResponse;
use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_api::mcp_access::McpToolboxResponse;
use toolbox_api::mcp_use::McpUsageResponse;
use toolbox_domain::ids::ToolboxId;
use toolbox_edge::{Answer, Reply, RequestContext, reply};
use toolbox_instances::connect::{
    mcp_toolbox_url, mcp_url, oauth_hosts, token_hosts, toolbox_name,
};
use toolbox_instances::find::Target;

use super::{instance, toolbox_id};
use crate::host::{instances, read_request};

/// `GET /{toolboxId}/tools/{instance}/mcp`.
pub(super) fn handle(cx: RequestContext) -> Answer {
    Box::pin(async move {
        let (toolbox, target) = instance(&cx)?;
        access(&cx, toolbox, &target).await
    })
}

/// Answers with the public URL, and with address, token and certificate of the instance's endpoint.
pub(super) async fn access(
    cx: &RequestContext,
    toolbox: ToolboxId,
    target: &Target,
) -> Result<Reply, ApiError> {
    let request = read_request(cx)?;
    let access = instances(cx)?.mcp_access(&request, toolbox, target).await?;
    let public_url = mcp_url(&cx.state.config.public_url, access.instance_id);
    let mut hosts = oauth_hosts(&access.name, &public_url);
    hosts.extend(token_hosts(&access.name, &public_url, None));
    reply::json(
        200,
        &McpAccessResponse {
            success: true,
            instance_id: access.instance_id,
            hosts,
            public_url,
            url: access.url,
            token: access.token.expose().to_owned(),
            certificate: access.certificate,
            request_id: cx.request_id.to_string(),
        },
    )
}

/// `GET /{toolboxId}/mcp`: the same for all servers of a toolbox by one URL.
pub(super) fn of_toolbox(cx: RequestContext) -> Answer {
    Box::pin(async move {
        let toolbox = toolbox_id(cx.param(0))?;
        let request = read_request(&cx)?;
        instances(&cx)?.own_toolbox(&request, toolbox).await?;
        let public_url = mcp_toolbox_url(&cx.state.config.public_url, toolbox);
        let name = toolbox_name(toolbox);
        let mut hosts = oauth_hosts(&name, &public_url);
        hosts.extend(token_hosts(&name, &public_url, None));
        reply::json(
            200,
            &McpToolboxResponse {
                success: true,
                public_url,
                hosts,
                request_id: cx.request_id.to_string(),
            },
        )
    })
}

/// Days of use that are answered.
const DEFAULT_DAYS: u32 = 30;
const MAX_DAYS: u32 = 366;

/// `GET /{toolboxId}/tools/{instance}/mcp/usage`.
pub(super) fn usage(cx: RequestContext) -> Answer {
    Box::pin(async move {
        let (toolbox, target) = instance(&cx)?;
        let days = match cx.query_value("days")? {
            None => DEFAULT_DAYS,
            Some(text) => match text.parse() {
                Ok(days @ 1..=MAX_DAYS) => days,
                _ => {
                    return Err(ApiError::with_message(
                        ErrorCode::InvalidRequest,
                        "Give days from 1 to 366",
                    ));
                }
            },
        };
        let request = read_request(&cx)?;
        let usage = instances(&cx)?
            .mcp_usage(&request, toolbox, &target, days)
            .await?;
        reply::json(
            200,
            &McpUsageResponse {
                success: true,
                usage,
                request_id: cx.request_id.to_string(),
            },
        )
    })
}
