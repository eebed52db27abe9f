//! `ANY /mcp/{id}`: an instance's MCP endpoint.

use axum::extract::{Request, State};
use axum::response::Response;
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
        let mut shutdown = state.shutdown.clone();
        // A bridge's streams do not end by themselves.
        return tokio::select! {
            response = bridge.serve(request) => Ok(response),
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
