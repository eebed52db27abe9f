//! How an MCP client reaches an instance: address, token and certificate of its endpoint on the machine; and who may use the
//! servers of a toolbox from anywhere.

use toolbox_api::dtma::McpTransport;
use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_api::mcp_access::{
    GrantMcpAccessRequest, MAX_TOOL_NAME, MAX_TOOL_NAMES, MAX_TOOLS, MAX_TTL_SECONDS,
    McpAccessView, McpServerView, REQUESTS_A_MINUTE, REQUESTS_AT_ONCE,
};
use toolbox_api::mcp_use::{LATENCY_MS, McpUsage};
use toolbox_api::problem::FieldError;
use toolbox_clients::supabase::Select;
use toolbox_clients::supabase::mcp_access::{GrantMcpAccess, GrantedMcpAccess};
use toolbox_domain::ids::{ToolInstanceId, ToolboxId};
use toolbox_domain::keys::McpToken;
use toolbox_domain::mcp_access::AccessToken;
use uuid::Uuid;

use crate::connect::{mcp_url, toolbox_name};
use crate::find::Target;
use crate::{Instances, UserRequest};

/// What the agent makes an endpoint for.
const BRIDGED: [&str; 3] = [
    McpTransport::Stdio.as_str(),
    McpTransport::StreamableHttp.as_str(),
    McpTransport::Sse.as_str(),
];

/// Longest client id, in characters.
const MAX_CLIENT_ID: usize = 255;

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
    /// A name for it, of letters, digits and hyphens.
    pub name: String,
}

/// An access that was given.
#[derive(Debug)]
pub struct GivenAccess {
    /// What was given.
    pub access: McpAccessView,
    /// Its token, which is stored nowhere; none where a user or an application is named.
    pub token: Option<AccessToken>,
    /// A name for what it opens, of letters, digits and hyphens.
    pub name: String,
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
            name: row.container_name.clone(),
        })
    }

    /// Lets the holder of a new token, a user, or an application of the caller, use an MCP server of a toolbox, or all.
    pub async fn give_mcp_access(
        &self,
        request: &UserRequest,
        toolbox_id: ToolboxId,
        wanted: &GrantMcpAccessRequest,
    ) -> Result<GivenAccess, ApiError> {
        check(wanted)?;
        let name = match wanted.instance_id {
            // What is shared with the caller is not theirs to read, and the database knows of it.
            Some(id) if wanted.client_id.is_none() => {
                let (_, row) = self
                    .find_instance(request, toolbox_id, &Target::Id(id))
                    .await?;
                row.container_name.clone()
            }
            _ => toolbox_name(toolbox_id),
        };
        let names_nobody = wanted.user_id.is_none() && wanted.client_id.is_none();
        let token = names_nobody.then(|| {
            let mut random = [0; 32];
            for half in random.chunks_exact_mut(16) {
                half.copy_from_slice(&self.host.random_bytes());
            }
            AccessToken::new(&random)
        });
        let granted = self
            .database
            .grant_mcp_access(&GrantMcpAccess {
                toolbox_id,
                owner_id: request.user,
                instance_id: wanted.instance_id,
                name: wanted.name.trim(),
                token_hash: token.as_ref().map(AccessToken::hash),
                user_id: wanted.user_id,
                client_id: wanted.client_id.as_deref(),
                allowed_tools: wanted.allowed_tools.as_deref(),
                read_only: wanted.read_only,
                ttl_seconds: wanted.expires_in_seconds,
                requests_per_minute: wanted.requests_per_minute,
                concurrent_requests: wanted.concurrent_requests,
            })
            .await?;
        match granted {
            GrantedMcpAccess::Granted { access } => Ok(GivenAccess {
                access: *access,
                token,
                name,
            }),
            GrantedMcpAccess::ToolboxNotFound => Err(ApiError::new(ErrorCode::ToolboxNotFound)),
            GrantedMcpAccess::InstanceNotFound => Err(ApiError::new(ErrorCode::InstanceNotFound)),
            GrantedMcpAccess::UserNotFound => {
                Err(refused("userId", "there is no such user in this project"))
            }
            GrantedMcpAccess::TooMany { most } => Err(ApiError::with_message(
                ErrorCode::QuotaExceeded,
                format!("A toolbox may have {most} accesses that count; revoke some"),
            )),
        }
    }

    /// How an instance's server was used in the last `days`, by day, tool and client.
    pub async fn mcp_usage(
        &self,
        request: &UserRequest,
        toolbox_id: ToolboxId,
        target: &Target,
        days: u32,
    ) -> Result<Vec<McpUsage>, ApiError> {
        let (_, row) = self.find_instance(request, toolbox_id, target).await?;
        let used = self
            .database
            .mcp_use(toolbox_id, request.user, row.id, days);
        let used = used.await?;
        let used = used.ok_or_else(|| ApiError::new(ErrorCode::InstanceNotFound))?;
        let bound = |place: usize| LATENCY_MS.get(place).copied().unwrap_or_default();
        let usage = used.into_iter().map(|row| McpUsage {
            p50_ms: bound(row.p50),
            p95_ms: bound(row.p95),
            day: row.day,
            tool: row.tool,
            client: row.client,
            calls: row.calls,
            errors: row.errors,
            bytes: row.bytes,
        });
        Ok(usage.collect())
    }

    /// Whether a toolbox is the caller's.
    pub async fn own_toolbox(
        &self,
        request: &UserRequest,
        toolbox_id: ToolboxId,
    ) -> Result<(), ApiError> {
        self.find_toolbox(request, toolbox_id, Select::None).await?;
        Ok(())
    }

    /// Who may use the MCP servers of a toolbox, newest first; also what is over.
    pub async fn list_mcp_access(
        &self,
        request: &UserRequest,
        toolbox_id: ToolboxId,
    ) -> Result<Vec<McpAccessView>, ApiError> {
        self.own_toolbox(request, toolbox_id).await?;
        let listed = self
            .database
            .mcp_accesses(&request.token, toolbox_id, request.user)
            .await?;
        Ok(listed)
    }

    /// The MCP servers that the caller may use, own and shared.
    pub async fn list_mcp_servers(
        &self,
        request: &UserRequest,
        public_url: &str,
    ) -> Result<Vec<McpServerView>, ApiError> {
        let mut servers = self.database.mcp_servers(request.user).await?;
        for server in &mut servers {
            server.url = mcp_url(public_url, server.instance_id);
        }
        Ok(servers)
    }

    /// What the caller lets applications use, in all toolboxes, newest first; also what is over.
    pub async fn list_mcp_clients(
        &self,
        request: &UserRequest,
    ) -> Result<Vec<McpAccessView>, ApiError> {
        let listed = self.database.mcp_clients(&request.token, request.user);
        Ok(listed.await?)
    }

    /// Ends all that an application may use for the caller; how many accesses that were.
    pub async fn revoke_mcp_client(
        &self,
        request: &UserRequest,
        client_id: &str,
    ) -> Result<u32, ApiError> {
        let ended = self.database.revoke_mcp_client(request.user, client_id);
        match ended.await? {
            0 => Err(ApiError::new(ErrorCode::McpAccessNotFound)),
            ended => Ok(ended),
        }
    }

    /// Ends an access; requests that come from then on are refused.
    pub async fn revoke_mcp_access(
        &self,
        request: &UserRequest,
        toolbox_id: ToolboxId,
        access_id: Uuid,
    ) -> Result<McpAccessView, ApiError> {
        self.database
            .revoke_mcp_access(toolbox_id, request.user, access_id)
            .await?
            .ok_or_else(|| ApiError::new(ErrorCode::McpAccessNotFound))
    }
}

/// Checks what the database would refuse without saying why.
fn check(wanted: &GrantMcpAccessRequest) -> Result<(), ApiError> {
    let name = wanted.name.trim();
    if !(1..=255).contains(&name.chars().count()) || name.chars().any(char::is_control) {
        return Err(refused("name", "give 1 to 255 characters"));
    }
    if let Some(client) = &wanted.client_id {
        if !(1..=MAX_CLIENT_ID).contains(&client.chars().count()) || client.contains('\0') {
            return Err(refused("clientId", "give 1 to 255 characters"));
        }
        if wanted.user_id.is_some() {
            return Err(refused(
                "clientId",
                "an application acts for you; leave userId out",
            ));
        }
    }
    if let Some(tools) = &wanted.allowed_tools {
        let bytes: usize = tools.iter().map(String::len).sum();
        let fits =
            |tool: &String| (1..=MAX_TOOL_NAME).contains(&tool.len()) && !tool.contains('\0');
        if tools.len() > MAX_TOOLS || bytes > MAX_TOOL_NAMES || !tools.iter().all(fits) {
            let rule = "name at most 100 tools, each with 1 to 128 bytes, 8192 together";
            return Err(refused("allowedTools", rule));
        }
    }
    if wanted
        .expires_in_seconds
        .is_some_and(|seconds| !(60..=MAX_TTL_SECONDS).contains(&seconds))
    {
        let rule = "give a time between one minute and ten years";
        return Err(refused("expiresInSeconds", rule));
    }
    for (field, given, most) in [
        (
            "requestsPerMinute",
            wanted.requests_per_minute,
            REQUESTS_A_MINUTE,
        ),
        (
            "concurrentRequests",
            wanted.concurrent_requests,
            REQUESTS_AT_ONCE,
        ),
    ] {
        if given.is_some_and(|given| !(1..=most).contains(&given)) {
            return Err(refused(field, &format!("give 1 to {most}")));
        }
    }
    Ok(())
}

fn refused(field: &str, rule: &str) -> ApiError {
    ApiError::validation(vec![FieldError {
        field: field.to_owned(),
        code: "invalid".to_owned(),
        message: rule.to_owned(),
    }])
}
