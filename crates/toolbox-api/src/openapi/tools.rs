//! Paths of the edge function `toolbox-tools`. The functions are never called: their attributes are the document.
#![allow(dead_code, reason = "only the attributes are used")]

use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::errors;
use crate::dtma::LogLine;
use crate::edge::{
    DeployToolRequest, GetResponse, InvokeRequest, ListResponse, LogFilter, LogsResponse,
    McpAccessResponse, MutationResponse, UpdateToolRequest,
};
use crate::error::{ErrorCode, ErrorEnvelope};
use crate::mcp_access::{
    GrantMcpAccessRequest, GrantMcpAccessResponse, ListMcpAccessResponse, ListMcpServersResponse,
    McpToolboxResponse, RevokeMcpAccessResponse, RevokeMcpClientResponse,
};
use crate::mcp_pin::{McpPinResponse, PinMcpToolsRequest};
use crate::mcp_use::McpUsageResponse;
use crate::tool_versions::ToolVersionsResponse;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "toolbox-tools",
        description = "Deploy and manage tool instances of a toolbox. `{instance}` is an instance id or a display name, percent-encoded once. Every error has the envelope and a stable code."
    ),
    servers((url = "/functions/v1/toolbox-tools")),
    paths(invoke, list, deploy, get_instance, update, delete_instance, start, stop, restart, logs, versions, roll_back, mcp, mcp_usage, mcp_pin, pin_mcp_tools, unpin_mcp_tools, mcp_of_toolbox, list_mcp_access, give_mcp_access, revoke_mcp_access, list_mcp_servers, list_mcp_clients, revoke_mcp_client),
    components(schemas(ErrorCode, ErrorEnvelope, DeployToolRequest)),
    modifiers(&UserSecrets, &Errors),
    security(("user_token" = [], "apikey" = []))
)]
pub(super) struct Document;

/// What a user presents.
pub(super) struct UserSecrets;

impl Modify for UserSecrets {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        if let Some(components) = openapi.components.as_mut() {
            let mut http = Http::new(HttpAuthScheme::Bearer);
            http.bearer_format = Some("JWT".to_owned());
            components.add_security_scheme("user_token", SecurityScheme::Http(http));
            let apikey = ApiKey::Header(ApiKeyValue::with_description(
                "apikey",
                "The project's publishable key, which Supabase's gateway wants; the legacy anon key too",
            ));
            components.add_security_scheme("apikey", SecurityScheme::ApiKey(apikey));
        }
    }
}

struct Errors;

impl Modify for Errors {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        errors::add(openapi, errors::of_tools);
    }
}

/// Any action, as `supabase.functions.invoke` sends it. Answers as the action's own route does.
#[utoipa::path(post, path = "/", request_body = InvokeRequest,
    responses((status = 200, body = MutationResponse), (status = 201, description = "It runs", body = MutationResponse), (status = 202, body = MutationResponse)))]
fn invoke() {}

/// The instances of a toolbox, joined with the agent's live view.
#[utoipa::path(get, path = "/{toolboxId}/tools", params(("toolboxId" = String, Path, format = "uuid")),
    responses((status = 200, body = ListResponse)))]
fn list() {}

/// Deploys an instance (a body without `action`), or any action.
#[utoipa::path(post, path = "/{toolboxId}/tools", request_body = InvokeRequest,
    params(("toolboxId" = String, Path, format = "uuid"), ("Idempotency-Key" = Option<String>, Header), ("Prefer" = Option<String>, Header, description = "wait=N seconds, N at most 60")),
    responses((status = 200, description = "As the action's own route answers", body = MutationResponse), (status = 201, description = "It runs", body = MutationResponse), (status = 202, description = "Accepted; not settled yet", body = MutationResponse)))]
fn deploy() {}

/// One instance.
#[utoipa::path(get, path = "/{toolboxId}/tools/{instance}", params(("toolboxId" = String, Path, format = "uuid"), ("instance" = String, Path)),
    responses((status = 200, body = GetResponse)))]
fn get_instance() {}

/// New image or configuration; the old version stays when the new one does not start.
///
/// A tool that is to be stopped stays stopped; the new version is then tried when it is started.
#[utoipa::path(patch, path = "/{toolboxId}/tools/{instance}", request_body = UpdateToolRequest,
    params(("toolboxId" = String, Path, format = "uuid"), ("instance" = String, Path), ("Idempotency-Key" = Option<String>, Header), ("Prefer" = Option<String>, Header)),
    responses((status = 200, body = MutationResponse), (status = 202, body = MutationResponse)))]
fn update() {}

/// Removes an instance with its container and volumes.
#[utoipa::path(delete, path = "/{toolboxId}/tools/{instance}",
    params(("toolboxId" = String, Path, format = "uuid"), ("instance" = String, Path), ("Idempotency-Key" = Option<String>, Header), ("Prefer" = Option<String>, Header)),
    responses((status = 200, body = MutationResponse), (status = 202, body = MutationResponse)))]
fn delete_instance() {}

/// Runs an instance; re-creates it from its stored spec when the agent does not know it.
#[utoipa::path(post, path = "/{toolboxId}/tools/{instance}/start",
    params(("toolboxId" = String, Path, format = "uuid"), ("instance" = String, Path), ("Idempotency-Key" = Option<String>, Header), ("Prefer" = Option<String>, Header)),
    responses((status = 200, body = MutationResponse), (status = 202, body = MutationResponse)))]
fn start() {}

/// Stops an instance.
#[utoipa::path(post, path = "/{toolboxId}/tools/{instance}/stop",
    params(("toolboxId" = String, Path, format = "uuid"), ("instance" = String, Path), ("Idempotency-Key" = Option<String>, Header), ("Prefer" = Option<String>, Header)),
    responses((status = 200, body = MutationResponse), (status = 202, body = MutationResponse)))]
fn stop() {}

/// Stops and runs an instance.
#[utoipa::path(post, path = "/{toolboxId}/tools/{instance}/restart",
    params(("toolboxId" = String, Path, format = "uuid"), ("instance" = String, Path), ("Idempotency-Key" = Option<String>, Header), ("Prefer" = Option<String>, Header)),
    responses((status = 200, body = MutationResponse), (status = 202, body = MutationResponse)))]
fn restart() {}

/// An instance's output; with `follow=true` a stream of JSON lines.
#[utoipa::path(get, path = "/{toolboxId}/tools/{instance}/logs",
    params(("toolboxId" = String, Path, format = "uuid"), ("instance" = String, Path), ("tail" = Option<String>, Query, description = "lines from the end, at most 10000, or `all`; 100 when absent"), ("since" = Option<String>, Query, description = "RFC 3339, a date, Unix seconds, or how long ago, such as `10m`"), ("follow" = Option<bool>, Query), ("stream" = Option<LogFilter>, Query, description = "stderr of an MCP server over standard streams when absent, else all")),
    responses((status = 200, content((LogsResponse = "application/json"), (LogLine = "application/x-ndjson")))))]
fn logs() {}

/// What an instance was asked to run, the newest 10 versions, and how each differs from what it is asked to run now. Values of
/// variables and headers, commands and entry points are not told.
#[utoipa::path(get, path = "/{toolboxId}/tools/{instance}/versions", params(("toolboxId" = String, Path, format = "uuid"), ("instance" = String, Path)),
    responses((status = 200, body = ToolVersionsResponse)))]
fn versions() {}

/// Goes back to a version: an update to its image and its whole configuration, which is a version of its own then.
///
/// An image of a registry is asked for by the digest that was seen then, as `rollback_image` of the version says. The version that
/// runs stays when that one does not start.
#[utoipa::path(post, path = "/{toolboxId}/tools/{instance}/versions/{generation}/rollback",
    params(("toolboxId" = String, Path, format = "uuid"), ("instance" = String, Path), ("generation" = u64, Path), ("Idempotency-Key" = Option<String>, Header), ("Prefer" = Option<String>, Header)),
    responses((status = 200, body = MutationResponse), (status = 202, body = MutationResponse)))]
fn roll_back() {}

/// The public URL of an instance's MCP server, and its endpoint on the machine with its token, for the owner's MCP clients.
/// The token opens nothing else.
#[utoipa::path(get, path = "/{toolboxId}/tools/{instance}/mcp", params(("toolboxId" = String, Path, format = "uuid"), ("instance" = String, Path)),
    responses((status = 200, body = McpAccessResponse)))]
fn mcp() {}

/// How an instance's MCP server was used, by day, tool and client; never what was asked or answered. The agent reports it with its
/// heartbeats, so the last minute may be missing.
#[utoipa::path(get, path = "/{toolboxId}/tools/{instance}/mcp/usage", params(("toolboxId" = String, Path, format = "uuid"), ("instance" = String, Path),
    ("days" = Option<u32>, Query, description = "The last so many days, 30 unless given, 366 at most")),
    responses((status = 200, body = McpUsageResponse)))]
fn mcp_usage() {}

/// The public URL of all MCP servers of a toolbox as one, and what hosts of MCP clients are told of it.
#[utoipa::path(get, path = "/{toolboxId}/mcp", params(("toolboxId" = String, Path, format = "uuid")),
    responses((status = 200, body = McpToolboxResponse)))]
fn mcp_of_toolbox() {}

/// Which tools of an instance's MCP server were accepted, and what differs from those that it lists now.
///
/// The server is asked. Where it does not answer, `problem` says why.
#[utoipa::path(get, path = "/{toolboxId}/tools/{instance}/mcp/pin", params(("toolboxId" = String, Path, format = "uuid"), ("instance" = String, Path)),
    responses((status = 200, body = McpPinResponse)))]
fn mcp_pin() {}

/// Accepts the tools that the server lists now: pins them, or takes them in place of those that were accepted before.
///
/// While the server lists others, clients that come by a public URL are held back (409, `mcp_tools_changed`), the owner's too.
#[utoipa::path(put, path = "/{toolboxId}/tools/{instance}/mcp/pin", request_body = PinMcpToolsRequest, params(("toolboxId" = String, Path, format = "uuid"), ("instance" = String, Path)),
    responses((status = 200, body = McpPinResponse)))]
fn pin_mcp_tools() {}

/// Pins the tools no more: whatever the server lists is open to its clients.
#[utoipa::path(delete, path = "/{toolboxId}/tools/{instance}/mcp/pin", params(("toolboxId" = String, Path, format = "uuid"), ("instance" = String, Path)),
    responses((status = 200, body = McpPinResponse)))]
fn unpin_mcp_tools() {}

/// Who may use the MCP servers of a toolbox by their public URLs, beside its owner. Tokens are not shown.
#[utoipa::path(get, path = "/{toolboxId}/mcp-access", params(("toolboxId" = String, Path, format = "uuid")),
    responses((status = 200, body = ListMcpAccessResponse)))]
fn list_mcp_access() {}

/// Gives access to one MCP server of a toolbox, or to all: by a new token, which is shown this once, to a user of the project, or to an application that acts for the caller.
///
/// What a user was given for the same servers before is replaced.
#[utoipa::path(post, path = "/{toolboxId}/mcp-access", request_body = GrantMcpAccessRequest, params(("toolboxId" = String, Path, format = "uuid")),
    responses((status = 201, body = GrantMcpAccessResponse)))]
fn give_mcp_access() {}

/// Revokes an access. It counts for no request that comes from then on; one that is under way ends as it would.
#[utoipa::path(delete, path = "/{toolboxId}/mcp-access/{accessId}", params(("toolboxId" = String, Path, format = "uuid"), ("accessId" = String, Path, format = "uuid")),
    responses((status = 200, body = RevokeMcpAccessResponse)))]
fn revoke_mcp_access() {}

/// The MCP servers that the caller may use, and may let applications use: those of their toolboxes, and those shared with them.
#[utoipa::path(get, path = "/mcp-servers", responses((status = 200, body = ListMcpServersResponse)))]
fn list_mcp_servers() {}

/// What the caller lets applications use, in all toolboxes; also what is over. `POST /{toolboxId}/mcp-access` with `clientId` lets one in.
#[utoipa::path(get, path = "/mcp-clients", responses((status = 200, body = ListMcpAccessResponse)))]
fn list_mcp_clients() {}

/// Ends at once all that an application may use for the caller. That sign-in knows it stays; supabase-js ends that by
/// `auth.oauth.revokeGrant`.
#[utoipa::path(delete, path = "/mcp-clients/{clientId}", params(("clientId" = String, Path)),
    responses((status = 200, body = RevokeMcpClientResponse)))]
fn revoke_mcp_client() {}
