//! Paths of the agent's API. The functions are never called: their attributes are the document.
#![allow(dead_code, reason = "only the attributes are used")]

use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

use crate::dtma::{
    CommandRequest, CreateRequest, DeployRequest, Health, LogLine, Removed, Status, ToolList,
    ToolView,
};
use crate::edge::LogFilter;
use crate::machine::{
    Accepted, Begun, Diagnosis, LastVersionChange, MachineStatus, RedeployRequest,
};
use crate::mcp_pin::McpTools;
use crate::problem::{Problem, ProblemCode};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "DTMA",
        description = "The agent that manages the containers of one toolbox. Every error is an RFC 9457 problem with a stable code."
    ),
    paths(
        health, status, metrics, list, create, get_tool, put_tool, delete_tool, start, stop, restart, logs, machine_status,
        machine_diagnose, machine_logs, machine_restart, machine_redeploy, machine_rollback, machine_operation, mcp_send, mcp_listen, mcp_end, mcp_send_for, mcp_listen_for, mcp_end_for, mcp_send_all, mcp_listen_all, mcp_end_all, mcp_tools
    ),
    components(schemas(ProblemCode)),
    modifiers(&BearerKey, &BearerToken),
    security(("toolbox_key" = []))
)]
pub(super) struct Document;

struct BearerKey;

impl Modify for BearerKey {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        if let Some(components) = openapi.components.as_mut() {
            components.add_security_scheme(
                "toolbox_key",
                SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)),
            );
        }
    }
}

struct BearerToken;

impl Modify for BearerToken {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        if let Some(components) = openapi.components.as_mut() {
            let mut http = Http::new(HttpAuthScheme::Bearer);
            http.description = Some(
                "Of the one instance in the path; `toolbox-tools` gives it to the owner".to_owned(),
            );
            components.add_security_scheme("mcp_token", SecurityScheme::Http(http));
        }
    }
}

/// Whether the agent and Docker are well; public.
#[utoipa::path(get, path = "/health", security(()), responses((status = 200, body = Health)))]
fn health() {}

/// The agent, the machine and every instance.
#[utoipa::path(get, path = "/status", responses((status = 200, body = Status), (status = 401, body = Problem)))]
fn status() {}

/// Counters and histograms of the agent, in the text format that Prometheus reads.
#[utoipa::path(get, path = "/metrics", responses((status = 200, content_type = "application/openmetrics-text", body = String), (status = 401, body = Problem)))]
fn metrics() {}

/// Every instance and every foreign container.
#[utoipa::path(get, path = "/tools", responses((status = 200, body = ToolList), (status = 401, body = Problem), (status = 503, body = Problem)))]
fn list() {}

/// Deploys an instance; the same as `PUT /tools/{id}`.
#[utoipa::path(post, path = "/tools", request_body = CreateRequest,
    params(("Prefer" = Option<String>, Header, description = "wait=N seconds, N at most 60")),
    responses((status = 200, description = "Settled", body = ToolView), (status = 202, description = "The spec is durable", body = ToolView),
        (status = 400, body = Problem), (status = 401, body = Problem), (status = 409, body = Problem), (status = 413, body = Problem),
        (status = 415, body = Problem), (status = 422, body = Problem), (status = 507, body = Problem)))]
fn create() {}

/// One instance; with `Prefer: wait=N` answers once it is settled at `generation` or later.
#[utoipa::path(get, path = "/tools/{id}",
    params(("id" = String, Path, format = "uuid"), ("generation" = Option<u64>, Query), ("Prefer" = Option<String>, Header)),
    responses((status = 200, body = ToolView), (status = 401, body = Problem), (status = 404, body = Problem)))]
fn get_tool() {}

/// Deploys or updates an instance. Idempotent.
#[utoipa::path(put, path = "/tools/{id}", request_body = DeployRequest,
    params(("id" = String, Path, format = "uuid"), ("Prefer" = Option<String>, Header, description = "wait=N seconds, N at most 60")),
    responses((status = 200, description = "Settled", body = ToolView), (status = 202, description = "The spec is durable", body = ToolView),
        (status = 400, body = Problem), (status = 401, body = Problem), (status = 409, body = Problem), (status = 413, body = Problem),
        (status = 415, body = Problem), (status = 422, body = Problem), (status = 507, body = Problem)))]
fn put_tool() {}

/// Removes an instance, its containers and volumes. Idempotent.
#[utoipa::path(delete, path = "/tools/{id}",
    params(("id" = String, Path, format = "uuid"), ("generation" = Option<u64>, Query), ("Prefer" = Option<String>, Header)),
    responses((status = 200, description = "Nothing of it is left", body = Removed), (status = 202, description = "Being removed", body = ToolView),
        (status = 401, body = Problem), (status = 409, body = Problem)))]
fn delete_tool() {}

/// Runs an instance. Idempotent.
#[utoipa::path(post, path = "/tools/{id}/start", request_body = Option<CommandRequest>,
    params(("id" = String, Path, format = "uuid"), ("Prefer" = Option<String>, Header)),
    responses((status = 200, body = ToolView), (status = 202, body = ToolView), (status = 401, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem)))]
fn start() {}

/// Stops an instance. Idempotent.
#[utoipa::path(post, path = "/tools/{id}/stop", request_body = Option<CommandRequest>,
    params(("id" = String, Path, format = "uuid"), ("Prefer" = Option<String>, Header)),
    responses((status = 200, body = ToolView), (status = 202, body = ToolView), (status = 401, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem)))]
fn stop() {}

/// Stops and runs an instance.
#[utoipa::path(post, path = "/tools/{id}/restart", request_body = Option<CommandRequest>,
    params(("id" = String, Path, format = "uuid"), ("Prefer" = Option<String>, Header)),
    responses((status = 200, body = ToolView), (status = 202, body = ToolView), (status = 401, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem)))]
fn restart() {}

/// The container's output, one JSON object a line.
#[utoipa::path(get, path = "/tools/{id}/logs",
    params(("id" = String, Path, format = "uuid"), ("tail" = Option<u32>, Query, description = "lines from the end, at most 10000; 100 when absent"),
        ("since" = Option<String>, Query, description = "RFC 3339 or Unix seconds"), ("follow" = Option<bool>, Query),
        ("stream" = Option<LogFilter>, Query, description = "stderr of an MCP server over standard streams when absent, else all")),
    responses((status = 200, content_type = "application/x-ndjson", body = LogLine), (status = 400, body = Problem), (status = 401, body = Problem), (status = 404, body = Problem)))]
fn logs() {}

/// What the instance's MCP server says of its tools now, asked in a session of its own.
#[utoipa::path(get, path = "/tools/{id}/mcp-tools", params(("id" = String, Path, format = "uuid")),
    responses((status = 200, body = McpTools), (status = 401, body = Problem), (status = 404, body = Problem), (status = 503, body = Problem)))]
fn mcp_tools() {}

/// The agent, its machine with the metrics of the last hour, Docker and the companion.
#[utoipa::path(get, path = "/v1/machine/status", responses((status = 200, body = MachineStatus), (status = 401, body = Problem)))]
fn machine_status() {}

/// What is wrong on the machine, and what to do about it.
#[utoipa::path(get, path = "/v1/machine/diagnose", responses((status = 200, body = Diagnosis), (status = 401, body = Problem)))]
fn machine_diagnose() {}

/// The end of the agent's own log; with `follow=true` each new line too, until the agent stops.
#[utoipa::path(get, path = "/v1/machine/logs",
    params(("tail" = Option<u32>, Query, description = "lines from the end, at most 5000; 100 when absent"), ("follow" = Option<bool>, Query)),
    responses((status = 200, content_type = "text/plain", body = String), (status = 400, body = Problem), (status = 401, body = Problem)))]
fn machine_logs() {}

/// Ends the agent, once open requests are answered; it is started again by what keeps it running.
#[utoipa::path(post, path = "/v1/machine/restart", responses((status = 202, body = Accepted), (status = 401, body = Problem)))]
fn machine_restart() {}

/// Replaces the agent by another version; the companion does it, and goes back by itself when the new one is not healthy.
#[utoipa::path(post, path = "/v1/machine/redeploy", request_body = Option<RedeployRequest>,
    responses((status = 202, body = Begun), (status = 400, body = Problem), (status = 401, body = Problem), (status = 404, body = Problem),
        (status = 409, body = Problem), (status = 502, body = Problem), (status = 503, body = Problem)))]
fn machine_redeploy() {}

/// Replaces the agent by the version that ran before.
#[utoipa::path(post, path = "/v1/machine/rollback",
    responses((status = 202, body = Begun), (status = 401, body = Problem), (status = 409, body = Problem), (status = 503, body = Problem)))]
fn machine_rollback() {}

/// The change of the agent's version that is under way, else the last one.
#[utoipa::path(get, path = "/v1/machine/operation", responses((status = 200, body = LastVersionChange), (status = 401, body = Problem)))]
fn machine_operation() {}

/// Sends a JSON-RPC message to the instance's MCP server (streamable HTTP), whatever the server itself speaks.
#[utoipa::path(post, path = "/mcp/{id}", security(("toolbox_key" = []), ("mcp_token" = [])), request_body(content = String, content_type = "application/json"),
    params(("id" = String, Path, format = "uuid"), ("Mcp-Session-Id" = Option<String>, Header)),
    responses((status = 200, description = "The answer, or a stream of events that ends with it", content_type = "application/json", body = String),
        (status = 202, description = "A notification or an answer was taken"), (status = 401, body = Problem), (status = 404, body = Problem)))]
fn mcp_send() {}

/// Listens to what the instance's MCP server says by itself.
#[utoipa::path(get, path = "/mcp/{id}", security(("toolbox_key" = []), ("mcp_token" = [])),
    params(("id" = String, Path, format = "uuid"), ("Mcp-Session-Id" = Option<String>, Header)),
    responses((status = 200, content_type = "text/event-stream", body = String), (status = 401, body = Problem), (status = 404, body = Problem)))]
fn mcp_listen() {}

/// Ends a session with the instance's MCP server.
#[utoipa::path(delete, path = "/mcp/{id}", security(("toolbox_key" = []), ("mcp_token" = [])),
    params(("id" = String, Path, format = "uuid"), ("Mcp-Session-Id" = Option<String>, Header)),
    responses((status = 200, description = "It is over"), (status = 401, body = Problem), (status = 404, body = Problem)))]
fn mcp_end() {}

/// The same for a client that comes through the control plane, which says who calls and which tools they may use.
///
/// A tool that is not among them is in no list and is not called. Streams of events are never silent for longer than 15 s.
#[utoipa::path(post, path = "/v1/mcp/{id}", request_body(content = String, content_type = "application/json"),
    params(("id" = String, Path, format = "uuid"), ("X-Toolbox-Mcp-Caller" = String, Header, description = "McpCaller as JSON, percent-encoded"), ("Mcp-Session-Id" = Option<String>, Header)),
    responses((status = 200, description = "The answer, or a stream of events that ends with it", content_type = "application/json", body = String),
        (status = 202, description = "A notification or an answer was taken"), (status = 400, body = Problem), (status = 401, body = Problem), (status = 404, body = Problem), (status = 429, description = "The caller asks too much; see Retry-After")))]
fn mcp_send_for() {}

/// Listens for such a client.
#[utoipa::path(get, path = "/v1/mcp/{id}",
    params(("id" = String, Path, format = "uuid"), ("X-Toolbox-Mcp-Caller" = String, Header), ("Mcp-Session-Id" = Option<String>, Header)),
    responses((status = 200, content_type = "text/event-stream", body = String), (status = 400, body = Problem), (status = 401, body = Problem), (status = 404, body = Problem), (status = 429, description = "The caller asks too much; see Retry-After")))]
fn mcp_listen_for() {}

/// Ends a session of such a client.
#[utoipa::path(delete, path = "/v1/mcp/{id}",
    params(("id" = String, Path, format = "uuid"), ("X-Toolbox-Mcp-Caller" = String, Header), ("Mcp-Session-Id" = Option<String>, Header)),
    responses((status = 200, description = "It is over"), (status = 400, body = Problem), (status = 401, body = Problem), (status = 404, body = Problem), (status = 429, description = "The caller asks too much; see Retry-After")))]
fn mcp_end_for() {}

/// All servers of the toolbox that such a client was granted, as one: their tools, each named `server__tool`.
///
/// A server that does not answer hides no other: the instructions and the list say that it is absent.
#[utoipa::path(post, path = "/v1/mcp", request_body(content = String, content_type = "application/json"),
    params(("X-Toolbox-Mcp-Caller" = String, Header, description = "McpCaller as JSON, percent-encoded"), ("Mcp-Session-Id" = Option<String>, Header)),
    responses((status = 200, description = "The answer, or a stream of events that ends with it", content_type = "application/json", body = String),
        (status = 202, description = "A notification or an answer was taken"), (status = 400, body = Problem), (status = 401, body = Problem), (status = 429, description = "The caller asks too much; see Retry-After")))]
fn mcp_send_all() {}

/// Listens for changes of any server's tools.
#[utoipa::path(get, path = "/v1/mcp",
    params(("X-Toolbox-Mcp-Caller" = String, Header), ("Mcp-Session-Id" = Option<String>, Header)),
    responses((status = 200, content_type = "text/event-stream", body = String), (status = 400, body = Problem), (status = 401, body = Problem), (status = 429, description = "The caller asks too much; see Retry-After")))]
fn mcp_listen_all() {}

/// Ends a session with all servers.
#[utoipa::path(delete, path = "/v1/mcp",
    params(("X-Toolbox-Mcp-Caller" = String, Header), ("Mcp-Session-Id" = Option<String>, Header)),
    responses((status = 204, description = "It is over"), (status = 400, body = Problem), (status = 401, body = Problem), (status = 429, description = "The caller asks too much; see Retry-After")))]
fn mcp_end_all() {}
