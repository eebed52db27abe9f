//! How an MCP client reaches an instance: address, token and certificate of its endpoint on the machine.

use toolbox_api::dtma::McpTransport;
use toolbox_api::edge::McpAccessResponse;
use toolbox_api::error::ErrorCode;
use toolbox_domain::ids::ToolboxId;
use toolbox_edge::context::AgentKeyError;
use toolbox_edge::{Answer, ApiError, Cx, Reply, reply};

use super::instance;
use crate::toolbox::{self, Target};

/// What the agent makes an endpoint for.
const BRIDGED: [&str; 2] = [
    McpTransport::Stdio.as_str(),
    McpTransport::StreamableHttp.as_str(),
];

/// `GET /{toolboxId}/tools/{instance}/mcp`.
pub(super) fn handle(cx: Cx) -> Answer {
    Box::pin(async move {
        let (toolbox, target) = instance(&cx)?;
        access(&cx, toolbox, &target).await
    })
}

/// Answers with the token, which is derived and stored nowhere. The agent is not asked: it derives the same.
pub(super) async fn access(
    cx: &Cx,
    toolbox_id: ToolboxId,
    target: &Target,
) -> Result<Reply, ApiError> {
    let (found, row) = toolbox::find_instance(cx, toolbox_id, target).await?;
    let transport = row.mcp_transport_type.as_deref();
    if !transport.is_some_and(|transport| BRIDGED.contains(&transport)) {
        return Err(ApiError::with_message(
            ErrorCode::IllegalState,
            "This tool is no MCP server over standard streams or streamable HTTP",
        ));
    }
    let base = toolbox::base(&found)?;
    let key = cx.app.agent_key(found.id, found.dtma_key_id.as_deref())?;
    let token = key.mcp_token(row.id).map_err(AgentKeyError::Underivable)?;
    reply::json(
        200,
        &McpAccessResponse {
            success: true,
            instance_id: row.id,
            url: format!("{base}/mcp/{}", row.id),
            token: token.expose().to_owned(),
            certificate: found.dtma_certificate_pem,
            request_id: cx.request_id.to_string(),
        },
    )
}
