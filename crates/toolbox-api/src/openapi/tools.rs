//! Paths of the edge function `toolbox-tools`. The functions are never called: their attributes are the document.
#![allow(dead_code, reason = "only the attributes are used")]

use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

use crate::dtma::LogLine;
use crate::edge::{
    DeployToolRequest, GetResponse, InvokeRequest, ListResponse, LogFilter, LogsResponse,
    McpAccessResponse, MutationResponse, UpdateToolRequest,
};
use crate::error::{ErrorCode, ErrorEnvelope};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "toolbox-tools",
        description = "Deploy and manage tool instances of a toolbox. `{instance}` is an instance id or a display name, percent-encoded once. Every error has the envelope and a stable code."
    ),
    servers((url = "/functions/v1/toolbox-tools")),
    paths(invoke, list, deploy, get_instance, update, delete_instance, start, stop, restart, logs, mcp),
    components(schemas(ErrorCode, DeployToolRequest)),
    modifiers(&UserToken),
    security(("user_token" = []))
)]
pub(super) struct Document;

struct UserToken;

impl Modify for UserToken {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        if let Some(components) = openapi.components.as_mut() {
            let mut http = Http::new(HttpAuthScheme::Bearer);
            http.bearer_format = Some("JWT".to_owned());
            components.add_security_scheme("user_token", SecurityScheme::Http(http));
        }
    }
}

/// Any action, as `supabase.functions.invoke` sends it. Answers as the action's own route does.
#[utoipa::path(post, path = "/", request_body = InvokeRequest,
    responses((status = 200, body = MutationResponse), (status = 202, body = MutationResponse), (status = 400, body = ErrorEnvelope), (status = 401, body = ErrorEnvelope)))]
fn invoke() {}

/// The instances of a toolbox, joined with the agent's live view.
#[utoipa::path(get, path = "/{toolboxId}/tools", params(("toolboxId" = String, Path, format = "uuid")),
    responses((status = 200, body = ListResponse), (status = 401, body = ErrorEnvelope), (status = 404, body = ErrorEnvelope), (status = 503, body = ErrorEnvelope), (status = 504, body = ErrorEnvelope)))]
fn list() {}

/// Deploys an instance (a body without `action`), or any action.
#[utoipa::path(post, path = "/{toolboxId}/tools", request_body = InvokeRequest,
    params(("toolboxId" = String, Path, format = "uuid"), ("Idempotency-Key" = Option<String>, Header), ("Prefer" = Option<String>, Header, description = "wait=N seconds, N at most 60")),
    responses((status = 201, description = "It runs", body = MutationResponse), (status = 202, description = "Accepted; not settled yet", body = MutationResponse),
        (status = 400, body = ErrorEnvelope), (status = 401, body = ErrorEnvelope), (status = 404, body = ErrorEnvelope), (status = 409, body = ErrorEnvelope), (status = 413, body = ErrorEnvelope),
        (status = 415, body = ErrorEnvelope), (status = 422, body = ErrorEnvelope), (status = 429, body = ErrorEnvelope), (status = 502, body = ErrorEnvelope), (status = 503, body = ErrorEnvelope), (status = 504, body = ErrorEnvelope)))]
fn deploy() {}

/// One instance.
#[utoipa::path(get, path = "/{toolboxId}/tools/{instance}", params(("toolboxId" = String, Path, format = "uuid"), ("instance" = String, Path)),
    responses((status = 200, body = GetResponse), (status = 401, body = ErrorEnvelope), (status = 404, body = ErrorEnvelope)))]
fn get_instance() {}

/// New image or configuration; the old version stays when the new one does not start.
///
/// A tool that is to be stopped stays stopped; the new version is then tried when it is started.
#[utoipa::path(patch, path = "/{toolboxId}/tools/{instance}", request_body = UpdateToolRequest,
    params(("toolboxId" = String, Path, format = "uuid"), ("instance" = String, Path), ("Idempotency-Key" = Option<String>, Header), ("Prefer" = Option<String>, Header)),
    responses((status = 200, body = MutationResponse), (status = 202, body = MutationResponse), (status = 401, body = ErrorEnvelope), (status = 404, body = ErrorEnvelope), (status = 409, body = ErrorEnvelope), (status = 422, body = ErrorEnvelope), (status = 502, body = ErrorEnvelope)))]
fn update() {}

/// Removes an instance with its container and volumes.
#[utoipa::path(delete, path = "/{toolboxId}/tools/{instance}",
    params(("toolboxId" = String, Path, format = "uuid"), ("instance" = String, Path), ("Idempotency-Key" = Option<String>, Header), ("Prefer" = Option<String>, Header)),
    responses((status = 200, body = MutationResponse), (status = 202, body = MutationResponse), (status = 401, body = ErrorEnvelope), (status = 404, body = ErrorEnvelope), (status = 409, body = ErrorEnvelope), (status = 503, body = ErrorEnvelope)))]
fn delete_instance() {}

/// Runs an instance; re-creates it from its stored spec when the agent does not know it.
#[utoipa::path(post, path = "/{toolboxId}/tools/{instance}/start",
    params(("toolboxId" = String, Path, format = "uuid"), ("instance" = String, Path), ("Idempotency-Key" = Option<String>, Header), ("Prefer" = Option<String>, Header)),
    responses((status = 200, body = MutationResponse), (status = 202, body = MutationResponse), (status = 401, body = ErrorEnvelope), (status = 404, body = ErrorEnvelope), (status = 409, body = ErrorEnvelope), (status = 502, body = ErrorEnvelope), (status = 503, body = ErrorEnvelope), (status = 504, body = ErrorEnvelope)))]
fn start() {}

/// Stops an instance.
#[utoipa::path(post, path = "/{toolboxId}/tools/{instance}/stop",
    params(("toolboxId" = String, Path, format = "uuid"), ("instance" = String, Path), ("Idempotency-Key" = Option<String>, Header), ("Prefer" = Option<String>, Header)),
    responses((status = 200, body = MutationResponse), (status = 202, body = MutationResponse), (status = 401, body = ErrorEnvelope), (status = 404, body = ErrorEnvelope), (status = 409, body = ErrorEnvelope), (status = 502, body = ErrorEnvelope), (status = 503, body = ErrorEnvelope), (status = 504, body = ErrorEnvelope)))]
fn stop() {}

/// Stops and runs an instance.
#[utoipa::path(post, path = "/{toolboxId}/tools/{instance}/restart",
    params(("toolboxId" = String, Path, format = "uuid"), ("instance" = String, Path), ("Idempotency-Key" = Option<String>, Header), ("Prefer" = Option<String>, Header)),
    responses((status = 200, body = MutationResponse), (status = 202, body = MutationResponse), (status = 401, body = ErrorEnvelope), (status = 404, body = ErrorEnvelope), (status = 409, body = ErrorEnvelope), (status = 502, body = ErrorEnvelope), (status = 503, body = ErrorEnvelope), (status = 504, body = ErrorEnvelope)))]
fn restart() {}

/// An instance's output; with `follow=true` a stream of JSON lines.
#[utoipa::path(get, path = "/{toolboxId}/tools/{instance}/logs",
    params(("toolboxId" = String, Path, format = "uuid"), ("instance" = String, Path), ("tail" = Option<u32>, Query), ("since" = Option<String>, Query), ("follow" = Option<bool>, Query), ("stream" = Option<LogFilter>, Query, description = "stderr of an MCP server over standard streams when absent, else all")),
    responses((status = 200, content((LogsResponse = "application/json"), (LogLine = "application/x-ndjson"))), (status = 401, body = ErrorEnvelope), (status = 404, body = ErrorEnvelope), (status = 503, body = ErrorEnvelope)))]
fn logs() {}

/// Address and token of an instance's MCP endpoint, for the owner's MCP clients. The token opens nothing else.
#[utoipa::path(get, path = "/{toolboxId}/tools/{instance}/mcp", params(("toolboxId" = String, Path, format = "uuid"), ("instance" = String, Path)),
    responses((status = 200, body = McpAccessResponse), (status = 401, body = ErrorEnvelope), (status = 404, body = ErrorEnvelope),
        (status = 409, description = "It is no MCP server that the machine makes an endpoint for", body = ErrorEnvelope), (status = 503, body = ErrorEnvelope)))]
fn mcp() {}
