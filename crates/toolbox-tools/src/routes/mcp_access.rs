//! Who may use the MCP servers of a toolbox from anywhere; and which servers the caller may use, by which applications.

use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_api::mcp_access::{
    GrantMcpAccessRequest, GrantMcpAccessResponse, ListMcpAccessResponse, ListMcpServersResponse,
    RevokeMcpAccessResponse, RevokeMcpClientResponse,
};
use toolbox_domain::mcp_access::AccessToken;
use toolbox_edge::{Answer, RequestContext, reply};
use toolbox_instances::connect::{mcp_toolbox_url, mcp_url, token_hosts};

use super::toolbox_id;
use crate::host::{instances, read_request};

/// `GET /{toolboxId}/mcp-access`.
pub(super) fn list(cx: RequestContext) -> Answer {
    Box::pin(async move {
        let toolbox = toolbox_id(cx.param(0))?;
        let request = read_request(&cx)?;
        let access = instances(&cx)?.list_mcp_access(&request, toolbox).await?;
        reply::json(
            200,
            &ListMcpAccessResponse {
                success: true,
                access,
                request_id: cx.request_id.to_string(),
            },
        )
    })
}

/// `POST /{toolboxId}/mcp-access`. A token is in this answer and nowhere else.
pub(super) fn give(cx: RequestContext) -> Answer {
    Box::pin(async move {
        let toolbox = toolbox_id(cx.param(0))?;
        let wanted: GrantMcpAccessRequest = cx.json().await?;
        let request = read_request(&cx)?;
        let given = instances(&cx)?
            .give_mcp_access(&request, toolbox, &wanted)
            .await?;
        let token = given.token.as_ref().map(AccessToken::expose);
        let public = &cx.state.config.public_url;
        let url = match given.access.instance_id {
            Some(id) => mcp_url(public, id),
            None => mcp_toolbox_url(public, toolbox),
        };
        let hosts = match token {
            Some(token) => token_hosts(&given.name, &url, Some(token)),
            None => Vec::new(),
        };
        reply::json(
            201,
            &GrantMcpAccessResponse {
                success: true,
                token: token.map(str::to_owned),
                access: given.access,
                url: Some(url),
                hosts,
                request_id: cx.request_id.to_string(),
            },
        )
    })
}

/// `DELETE /{toolboxId}/mcp-access/{accessId}`.
pub(super) fn revoke(cx: RequestContext) -> Answer {
    Box::pin(async move {
        let toolbox = toolbox_id(cx.param(0))?;
        let id = cx
            .param(1)
            .parse()
            .map_err(|_| ApiError::new(ErrorCode::McpAccessNotFound))?;
        let request = read_request(&cx)?;
        let access = instances(&cx)?
            .revoke_mcp_access(&request, toolbox, id)
            .await?;
        reply::json(
            200,
            &RevokeMcpAccessResponse {
                success: true,
                access,
                request_id: cx.request_id.to_string(),
            },
        )
    })
}

/// `GET /mcp-servers`.
pub(super) fn servers(cx: RequestContext) -> Answer {
    Box::pin(async move {
        let request = read_request(&cx)?;
        let public_url = &cx.state.config.public_url;
        let servers = instances(&cx)?
            .list_mcp_servers(&request, public_url)
            .await?;
        reply::json(
            200,
            &ListMcpServersResponse {
                success: true,
                servers,
                request_id: cx.request_id.to_string(),
            },
        )
    })
}

/// `GET /mcp-clients`.
pub(super) fn clients(cx: RequestContext) -> Answer {
    Box::pin(async move {
        let request = read_request(&cx)?;
        let access = instances(&cx)?.list_mcp_clients(&request).await?;
        reply::json(
            200,
            &ListMcpAccessResponse {
                success: true,
                access,
                request_id: cx.request_id.to_string(),
            },
        )
    })
}

/// `DELETE /mcp-clients/{clientId}`.
pub(super) fn revoke_client(cx: RequestContext) -> Answer {
    Box::pin(async move {
        let request = read_request(&cx)?;
        let ended = instances(&cx)?
            .revoke_mcp_client(&request, cx.param(0))
            .await?;
        reply::json(
            200,
            &RevokeMcpClientResponse {
                success: true,
                ended,
                request_id: cx.request_id.to_string(),
            },
        )
    })
}
