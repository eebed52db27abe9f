//! How an MCP client reaches an instance: address, token and certificate of its endpoint on the machine.

use toolbox_api::dtma::McpTransport;
use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_domain::ids::{ToolInstanceId, ToolboxId};
use toolbox_domain::keys::McpToken;

use crate::find::Target;
use crate::{Instances, UserRequest};

/// What the agent makes an endpoint for.
const BRIDGED: [&str; 3] = [
    McpTransport::Stdio.as_str(),
    McpTransport::StreamableHttp.as_str(),
    McpTransport::Sse.as_str(),
];

/// What an MCP client needs to call an instance.
#[derive(Debug)]
pub struct McpAccess {
    /// The instance.
    pub instance_id: ToolInstanceId,
    /// Its endpoint on the machine.
    pub url: String,
    /// What the endpoint asks for.
    pub token: McpToken,
    /// The machine's certificate, PEM.
    pub certificate: Option<String>,
}

impl Instances {
    /// How to reach an instance's MCP endpoint. The token is derived and stored nowhere. The agent is not asked: it derives
    /// the same.
    pub async fn mcp_access(
        &self,
        request: &UserRequest,
        toolbox_id: ToolboxId,
        target: &Target,
    ) -> Result<McpAccess, ApiError> {
        let (toolbox, row) = self.find_instance(request, toolbox_id, target).await?;
        let transport = row.mcp_transport_type.as_deref();
        if !transport.is_some_and(|transport| BRIDGED.contains(&transport)) {
            return Err(ApiError::with_message(
                ErrorCode::IllegalState,
                "This tool is no MCP server over standard streams, streamable HTTP or HTTP with events",
            ));
        }
        let (url, token) = self.agents.mcp_endpoint(&toolbox, row.id)?;
        Ok(McpAccess {
            instance_id: row.id,
            url,
            token,
            certificate: toolbox.dtma_certificate_pem,
        })
    }
}
