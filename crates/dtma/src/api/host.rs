//! `GET /health` and `GET /status`: the agent and its machine.

use axum::Json;
use axum::extract::State;
use time::OffsetDateTime;
use toolbox_api::dtma::{
    API_VERSION, AgentEnvironment, AgentHealth, DockerInfo, DockerReachable, Health, Status,
};

use super::AppState;
use super::error::ApiError;
use crate::instances::view;

const SERVICE: &str = "DTMA";

const fn rating(reachable: bool) -> AgentHealth {
    if reachable {
        AgentHealth::Healthy
    } else {
        AgentHealth::Degraded
    }
}

/// Whether the agent answers, and whether Docker does.
pub async fn health(State(state): State<AppState>) -> Json<Health> {
    Json(health_of(state.probe.engine().await.is_some()))
}

/// How an agent is whose Docker answers, or does not.
pub fn health_of(reachable: bool) -> Health {
    Health {
        status: rating(reachable),
        service: SERVICE.to_owned(),
        version: crate::version().to_owned(),
        api_version: API_VERSION,
        timestamp: view::text(OffsetDateTime::now_utc()),
        docker: DockerReachable { reachable },
    }
}

/// Everything about the agent and its machine that the control plane may know.
pub async fn status(State(state): State<AppState>) -> Result<Json<Status>, ApiError> {
    let engine = state.probe.engine().await;
    let tools = state.instances.list().await?;
    Ok(Json(Status {
        status: rating(engine.is_some()),
        service: SERVICE.to_owned(),
        version: crate::version().to_owned(),
        api_version: API_VERSION,
        timestamp: view::text(OffsetDateTime::now_utc()),
        toolbox_id: state.toolbox,
        uptime_seconds: state.started.elapsed().as_secs(),
        environment: AgentEnvironment {
            has_auth_token: state.keys.any(),
            has_api_key: state.keys.any(),
            has_api_base_url: state.has_control_plane,
            port: state.port,
        },
        docker: DockerInfo {
            reachable: engine.is_some(),
            version: engine.as_ref().map(|e| e.version.clone()),
            api_version: engine.map(|e| e.api_version),
        },
        system_metrics: state.machine.read(),
        tool_instances: tools.iter().map(|t| state.mcp.with_health(t)).collect(),
    }))
}
