//! `/tools`: the instances and what can be asked of them.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tokio::time::Instant;
use toolbox_api::dtma::{
    API_VERSION, CommandRequest, CreateRequest, DeployRequest, Removed, ToolList, ToolView,
};
use toolbox_domain::ids::ToolInstanceId;

use super::AppState;
use super::error::ApiError;
use super::extract::{InstanceId, JsonBody, OptionalJsonBody, Params};
use super::prefer::Wait;
use crate::instances::{Command, CommandError, Entry, Put, stopped};

/// How long an answer waits for the first decision if the caller did not ask to wait. Usually that is enough to know
/// whether there is anything to do.
const DECISION_LIMIT: Duration = Duration::from_secs(2);

/// Every instance, and every other container.
pub async fn list(State(state): State<AppState>) -> Result<Json<ToolList>, ApiError> {
    let (tools, inventory) = tokio::join!(state.instances.list(), state.runtime.inventory());
    let (tools, inventory) = (tools?, inventory?);
    // A container with our label but without a record belongs to no instance. It is listed as foreign.
    let lost = inventory
        .ours
        .into_iter()
        .filter(|(id, _)| !tools.iter().any(|t| t.id == *id))
        .map(|(_, container)| container);
    Ok(Json(ToolList {
        toolbox_id: state.toolbox,
        version: crate::version().to_owned(),
        api_version: API_VERSION,
        foreign: inventory.foreign.into_iter().chain(lost).collect(),
        orphans: state.orphans.borrow().iter().copied().collect(),
        tools: tools.iter().map(|t| state.mcp.with_health(t)).collect(),
    }))
}

/// `?generation=N`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenerationParam {
    generation: Option<u64>,
}

/// One instance; with `Prefer: wait`, when it is done with the generation.
pub async fn show(
    State(state): State<AppState>,
    InstanceId(id): InstanceId,
    Params(params): Params<GenerationParam>,
    wait: Wait,
) -> Result<Response, ApiError> {
    let unknown = || ApiError::from(CommandError::Unknown(id));
    let mut entry = state.instances.find(id).await?;
    entry.known().await.ok_or_else(unknown)?;
    let view = match wait.0 {
        Some(limit) => {
            let generation = params.generation.unwrap_or_default();
            settled(&state, &mut entry, generation, limit).await
        }
        None => entry.view(),
    };
    let view = state.mcp.with_health(&*view.ok_or_else(unknown)?);
    let mut response = Json(view).into_response();
    wait.mark(response.headers_mut());
    Ok(response)
}

/// Holds a spec under the id in the path.
pub async fn deploy(
    State(state): State<AppState>,
    InstanceId(id): InstanceId,
    wait: Wait,
    JsonBody(request): JsonBody<DeployRequest>,
) -> Result<Response, ApiError> {
    let put = Put::check(request, &state.bounds).map_err(ApiError::invalid_spec)?;
    carry_out(&state, id, Command::Put(Box::new(put)), wait).await
}

/// The same with the id in the body.
pub async fn create(
    State(state): State<AppState>,
    wait: Wait,
    JsonBody(request): JsonBody<CreateRequest>,
) -> Result<Response, ApiError> {
    let put = Put::check(request.deploy, &state.bounds).map_err(ApiError::invalid_spec)?;
    carry_out(&state, request.id, Command::Put(Box::new(put)), wait).await
}

pub async fn start(
    State(state): State<AppState>,
    InstanceId(id): InstanceId,
    wait: Wait,
    OptionalJsonBody(request): OptionalJsonBody<CommandRequest>,
) -> Result<Response, ApiError> {
    carry_out(&state, id, Command::Start(request.generation), wait).await
}

pub async fn stop(
    State(state): State<AppState>,
    InstanceId(id): InstanceId,
    wait: Wait,
    OptionalJsonBody(request): OptionalJsonBody<CommandRequest>,
) -> Result<Response, ApiError> {
    carry_out(&state, id, Command::Stop(request.generation), wait).await
}

/// Stops it if it runs, and runs it.
pub async fn restart(
    State(state): State<AppState>,
    InstanceId(id): InstanceId,
    wait: Wait,
    OptionalJsonBody(request): OptionalJsonBody<CommandRequest>,
) -> Result<Response, ApiError> {
    carry_out(&state, id, Command::Restart(request.generation), wait).await
}

/// Removes it and all it has on this machine.
pub async fn remove(
    State(state): State<AppState>,
    InstanceId(id): InstanceId,
    Params(params): Params<GenerationParam>,
    wait: Wait,
) -> Result<Response, ApiError> {
    match carry_out(&state, id, Command::Delete(params.generation), wait).await {
        Err(error) if error == CommandError::Unknown(id).into() => Ok(removed(id, wait)),
        other => other,
    }
}

/// Gives the command to the instance. Answers with its view after the time the caller waits, or sooner: once it is done and,
/// if it is an MCP server that runs, was heard.
async fn carry_out(
    state: &AppState,
    id: ToolInstanceId,
    command: Command,
    wait: Wait,
) -> Result<Response, ApiError> {
    let is_deletion = matches!(command, Command::Delete(_));
    let generation = command.generation().unwrap_or_default();
    let begun = Instant::now();
    let mut entry = state.instances.command(id, command).await?;
    let view = match wait.0 {
        Some(limit) => settled(state, &mut entry, generation, limit).await,
        None => entry.decided(DECISION_LIMIT).await,
    };
    match view {
        Some(view) => {
            // Without a wait, that was over before.
            let stops = *state.shutdown.borrow();
            let until = begun + wait.0.filter(|_| !stops).unwrap_or_default();
            Ok(answer(state.mcp.heard(&view, until).await, wait))
        }
        None if is_deletion => Ok(removed(id, wait)),
        // Deleted by another caller in the meantime.
        None => Err(CommandError::Unknown(id).into()),
    }
}

/// What is known once the instance is done with `generation`, or the time is up, or the agent stops.
async fn settled(
    state: &AppState,
    entry: &mut Entry,
    generation: u64,
    limit: Duration,
) -> Option<Arc<ToolView>> {
    let mut shutdown = state.shutdown.clone();
    tokio::select! {
        view = entry.settled(generation, limit) => return view,
        () = stopped(&mut shutdown) => {}
    }
    entry.view()
}

/// 200 when nothing is left to do, else 202.
fn answer(view: ToolView, wait: Wait) -> Response {
    let status = if view.settled {
        StatusCode::OK
    } else {
        StatusCode::ACCEPTED
    };
    let mut response = (status, Json(view)).into_response();
    wait.mark(response.headers_mut());
    response
}

fn removed(id: ToolInstanceId, wait: Wait) -> Response {
    let mut response = Json(Removed { id, removed: true }).into_response();
    wait.mark(response.headers_mut());
    response
}
