//! `ANY /mcp/{id}`: an instance's MCP endpoint; `ANY /v1/mcp/{id}`: the same for clients that come through the control plane,
//! each with the tools that it may use; `ANY /v1/mcp`: all servers as one, for the same clients. `GET /tools/{id}/mcp-tools`:
//! what a server says of its tools, for its owner.

use std::time::Duration;

use axum::Json;
use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_LENGTH, RETRY_AFTER, USER_AGENT};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::Response;
use futures_util::StreamExt;
use toolbox_api::mcp_access::{CALLER_HEADER, McpCaller, STREAM_HEADER};
use toolbox_api::mcp_pin::McpTools;
use toolbox_api::problem::ProblemCode;
use toolbox_domain::ids::ToolInstanceId;
use toolbox_mcp::access::Allowed;
use toolbox_mcp::rpc;
use toolbox_mcp::wire::alive::{self, GoOn};
use toolbox_mcp::wire::reply;

use super::AppState;
use super::error::ApiError;
use super::extract::InstanceId;
use crate::instances::{CommandError, stopped};
use crate::mcp::AnyBridge;
use crate::mcp::rates::{TooMuch, UnderWay};

/// Passes the request to the instance's server, and the answer back.
pub async fn serve(
    State(state): State<AppState>,
    InstanceId(id): InstanceId,
    request: Request,
) -> Result<Response, ApiError> {
    let client = request.headers().get(USER_AGENT);
    let client = client.and_then(|value| value.to_str().ok());
    let client = client.unwrap_or_default().to_owned();
    pass(&state, id, request, Allowed::default(), None, &client).await
}

/// The same for a client that comes through the control plane.
pub async fn serve_for(
    State(state): State<AppState>,
    InstanceId(id): InstanceId,
    request: Request,
) -> Result<Response, ApiError> {
    let caller = caller(&request)?;
    tracing::debug!(instance = %id, who = caller.who, "an MCP client calls through the control plane");
    let under_way = match state.mcp.begin(&caller) {
        Ok(under_way) => under_way,
        Err(too_much) => return Ok(refused(too_much)),
    };
    let allowed = Allowed {
        tools: caller.tools.map(|tools| tools.into_iter().collect()),
        read_only: caller.read_only,
        ..Allowed::default()
    };
    let pin = caller.pins.get(&id).cloned();
    let client = caller.client.unwrap_or_default();
    let owner = format!("{} {id}", caller.who);
    let serve = |request| pass(&state, id, request, allowed, pin, &client);
    let response = Box::pin(in_time(&state, &owner, request, serve)).await?;
    Ok(held(response, under_way))
}

/// Answers for all servers that a client of the control plane may use, as one.
pub async fn serve_all(
    State(state): State<AppState>,
    request: Request,
) -> Result<Response, ApiError> {
    let caller = caller(&request)?;
    tracing::debug!(who = caller.who, "an MCP client calls all servers");
    let under_way = match state.mcp.begin(&caller) {
        Ok(under_way) => under_way,
        Err(too_much) => return Ok(refused(too_much)),
    };
    let owner = caller.who.clone();
    let serve = |request| {
        until_stopped(&state, request, |request| {
            state.mcp.serve_all(caller, request)
        })
    };
    let response = in_time(&state, &owner, request, serve).await?;
    Ok(held(response, under_way))
}

/// Who calls through the control plane.
fn caller(request: &Request) -> Result<McpCaller, ApiError> {
    let caller = request.headers().get(CALLER_HEADER);
    let caller = caller.and_then(|value| McpCaller::from_header(value.to_str().ok()?));
    caller.ok_or_else(|| {
        ApiError::new(
            ProblemCode::InvalidBody,
            "Say in the header x-toolbox-mcp-caller who calls and which tools they may use",
        )
    })
}

/// The answer, which is under way until it was read, or nobody reads it any more.
fn held(mut response: Response, under_way: UnderWay) -> Response {
    // Whoever knows the length passes a short answer on in one piece.
    if let Some(length @ 1..) = response.body().size_hint().exact() {
        let headers = response.headers_mut();
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    response.map(|body| {
        Body::from_stream(body.into_data_stream().inspect(move |_| {
            let _ = &under_way;
        }))
    })
}

/// What `serve` answers; its stream ends when the caller's way to it does, and the same `owner` may go on with the rest.
async fn in_time<F: Future<Output = Result<Response, ApiError>>>(
    state: &AppState,
    owner: &str,
    request: Request,
    serve: impl FnOnce(Request) -> F,
) -> Result<Response, ApiError> {
    let (method, headers) = (request.method(), request.headers());
    let longest = headers.get(STREAM_HEADER);
    let longest = longest.and_then(|seconds| seconds.to_str().ok()?.parse().ok());
    let Some(longest) = longest.map(Duration::from_secs) else {
        return Ok(alive::keep_alive(serve(request).await?, None));
    };
    let rests = state.mcp.rests();
    match rests.go_on(method, headers, longest, owner) {
        GoOn::With(rest) => return Ok(rest),
        GoOn::Gone => {
            let text = "the rest of this answer was not asked for in time, or was taken already";
            let body = rpc::error("null", rpc::code::UNAVAILABLE, text, None);
            return Ok(reply::json(StatusCode::GONE, body));
        }
        GoOn::No => {}
    }
    let end = rests.end(method, headers, longest, owner);
    let response = serve(request).await?;
    Ok(alive::keep_alive(response, end))
}

fn refused(too_much: TooMuch) -> Response {
    let text = format!(
        "Too many requests: {} a minute and {} at once are allowed here; wait {} s and try again",
        too_much.a_minute, too_much.at_once, too_much.retry_after
    );
    let body = rpc::error("null", rpc::code::UNAVAILABLE, &text, None);
    let mut response = reply::json(StatusCode::TOO_MANY_REQUESTS, body);
    let after = HeaderValue::from(too_much.retry_after);
    response.headers_mut().insert(RETRY_AFTER, after);
    response
}

async fn pass(
    state: &AppState,
    id: ToolInstanceId,
    request: Request,
    allowed: Allowed,
    pin: Option<String>,
    client: &str,
) -> Result<Response, ApiError> {
    let bridge = bridge(state, id).await?;
    let pin = pin.as_deref();
    let serve = |request| state.mcp.serve(id, &bridge, request, allowed, pin, client);
    until_stopped(state, request, serve).await
}

/// The definitions of the tools that the instance's server lists now.
pub async fn tools(
    State(state): State<AppState>,
    InstanceId(id): InstanceId,
) -> Result<Json<McpTools>, ApiError> {
    bridge(&state, id).await?;
    let listed = state.mcp.definitions(id).await;
    let listed = listed.map_err(|why| ApiError::new(ProblemCode::McpToolsUnknown, why))?;
    Ok(Json(listed))
}

/// The bridge to the instance's server.
async fn bridge(state: &AppState, id: ToolInstanceId) -> Result<AnyBridge, ApiError> {
    if let Some(bridge) = state.mcp.bridge_of(id).await {
        return Ok(bridge);
    }
    let mut entry = state.instances.find(id).await?;
    entry.known().await.ok_or(CommandError::Unknown(id))?;
    Err(ApiError::new(
        ProblemCode::RouteUnknown,
        "This tool is no MCP server over standard streams, streamable HTTP or HTTP with events",
    ))
}

/// A call is answered also while the agent stops; a stream on which a client listens would not end by itself.
async fn until_stopped<F: Future<Output = Response>>(
    state: &AppState,
    request: Request,
    serve: impl FnOnce(Request) -> F,
) -> Result<Response, ApiError> {
    if !listens(&request) {
        return Ok(serve(request).await);
    }
    let mut shutdown = state.shutdown.clone();
    let mut end = state.shutdown.clone();
    tokio::select! {
        response = serve(request) => Ok(response.map(|body| {
            let parts = body.into_data_stream();
            Body::from_stream(parts.take_until(async move { stopped(&mut end).await }))
        })),
        () = stopped(&mut shutdown) => Err(CommandError::ShuttingDown.into()),
    }
}

fn listens(request: &Request) -> bool {
    let method = request.headers().get("mcp-method");
    request.method() == Method::GET || method.is_some_and(|method| method == "subscriptions/listen")
}
