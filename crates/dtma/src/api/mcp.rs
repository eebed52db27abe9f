//! `ANY /mcp/{id}`: an instance's MCP endpoint; `ANY /v1/mcp/{id}`: the same for clients that come through the control plane,
//! each with the tools that it may use; `ANY /v1/mcp`: all servers as one, for the same clients.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{RETRY_AFTER, USER_AGENT};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::Response;
use futures_util::StreamExt;
use toolbox_api::mcp_access::{CALLER_HEADER, McpCaller};
use toolbox_api::problem::ProblemCode;
use toolbox_domain::ids::ToolInstanceId;
use toolbox_mcp::access::Allowed;
use toolbox_mcp::rpc;
use toolbox_mcp::wire::{alive, reply};

use super::AppState;
use super::error::ApiError;
use super::extract::InstanceId;
use crate::instances::{CommandError, stopped};
use crate::mcp::rates::{A_MINUTE, TooMuch, UNDER_WAY, UnderWay};

/// Passes the request to the instance's server, and the answer back.
pub async fn serve(
    State(state): State<AppState>,
    InstanceId(id): InstanceId,
    request: Request,
) -> Result<Response, ApiError> {
    let client = request.headers().get(USER_AGENT);
    let client = client.and_then(|value| value.to_str().ok());
    let client = client.unwrap_or_default().to_owned();
    pass(&state, id, request, Allowed::default(), &client).await
}

/// The same for a client that comes through the control plane.
pub async fn serve_for(
    State(state): State<AppState>,
    InstanceId(id): InstanceId,
    request: Request,
) -> Result<Response, ApiError> {
    let caller = caller(&request)?;
    tracing::debug!(instance = %id, who = caller.who, "an MCP client calls through the control plane");
    let under_way = match state.mcp.begin(&caller.who) {
        Ok(under_way) => under_way,
        Err(too_much) => return Ok(refused(too_much)),
    };
    let allowed = Allowed {
        tools: caller.tools.map(|tools| tools.into_iter().collect()),
        read_only: caller.read_only,
        known_read_only: BTreeSet::new(),
    };
    let client = caller.client.unwrap_or_default();
    let response = pass(&state, id, request, allowed, &client).await?;
    Ok(held(response, under_way))
}

/// Answers for all servers that a client of the control plane may use, as one.
pub async fn serve_all(
    State(state): State<AppState>,
    request: Request,
) -> Result<Response, ApiError> {
    let caller = caller(&request)?;
    tracing::debug!(who = caller.who, "an MCP client calls all servers");
    let under_way = match state.mcp.begin(&caller.who) {
        Ok(under_way) => under_way,
        Err(too_much) => return Ok(refused(too_much)),
    };
    let response = until_stopped(&state, request, |request| {
        state.mcp.serve_all(caller, request)
    });
    Ok(held(response.await?, under_way))
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
fn held(response: Response, under_way: UnderWay) -> Response {
    alive::keep_alive(response).map(|body| {
        Body::from_stream(body.into_data_stream().inspect(move |_| {
            let _ = &under_way;
        }))
    })
}

fn refused(too_much: TooMuch) -> Response {
    let text = format!(
        "Too many requests: {A_MINUTE} a minute and {UNDER_WAY} at once are allowed; wait and try again"
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
    client: &str,
) -> Result<Response, ApiError> {
    if let Some(bridge) = state.mcp.bridge_of(id).await {
        let serve = |request| state.mcp.serve(id, &bridge, request, allowed, client);
        return until_stopped(state, request, serve).await;
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
