//! How an MCP client reaches an instance.

use toolbox_api::edge::McpAccessResponse;
use toolbox_api::error::ApiError;
use toolbox_domain::ids::ToolboxId;
use toolbox_edge::{Answer, Reply, RequestContext, reply};
use toolbox_instances::connect::{mcp_url, oauth_hosts, token_hosts};
use toolbox_instances::find::Target;

use super::instance;
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
