//! `ANY /mcp/{id}`: an instance's MCP endpoint.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Method;
use axum::response::Response;
use futures_util::StreamExt;
use toolbox_api::problem::ProblemCode;

use super::AppState;
use super::error::ApiError;
use super::extract::InstanceId;
use crate::instances::{CommandError, stopped};

/// Passes the request to the instance's server, and the answer back.
pub async fn serve(
    State(state): State<AppState>,
    InstanceId(id): InstanceId,
    request: Request,
) -> Result<Response, ApiError> {
    if let Some(bridge) = state.mcp.bridge_of(id).await {
        // A call is answered also while the agent stops; a stream on which a client listens would not end by itself.
        if !listens(&request) {
            return Ok(bridge.serve(request).await);
        }
        let mut shutdown = state.shutdown.clone();
        let mut end = state.shutdown.clone();
        return tokio::select! {
            response = bridge.serve(request) => Ok(response.map(|body| {
                let parts = body.into_data_stream();
                Body::from_stream(parts.take_until(async move { stopped(&mut end).await }))
            })),
            () = stopped(&mut shutdown) => Err(CommandError::ShuttingDown.into()),
        };
    }
    let mut entry = state.instances.find(id).await?;
    entry.known().await.ok_or(CommandError::Unknown(id))?;
    Err(ApiError::new(
        ProblemCode::RouteUnknown,
        "This tool is no MCP server over standard streams, streamable HTTP or HTTP with events",
    ))
}

fn listens(request: &Request) -> bool {
    let method = request.headers().get("mcp-method");
    request.method() == Method::GET || method.is_some_and(|method| method == "subscriptions/listen")
}
