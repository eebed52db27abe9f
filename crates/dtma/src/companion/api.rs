//! The companion's routes: the machine API, as the agent has it, and what the old design's backend on each machine had.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::{HeaderName, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::StreamExt;
use serde::Deserialize;
use serde_json::json;
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use toolbox_api::dtma::{AgentHealth, MAX_BODY_BYTES};
use toolbox_api::machine::{
    Accepted, AgentCondition, AgentState, Begun, CertificateState, CompanionState,
    DEFAULT_LOG_LINES, DockerState, HostState, LastVersionChange, MAX_LOG_LINES, MachineStatus,
    RedeployRequest, ServedBy, VersionChangeKind,
};
use toolbox_api::problem::ProblemCode;
use toolbox_domain::ids::ToolboxId;
use toolbox_domain::machine_operation::AgentVersion;

use super::change::{BeginError, PATIENCE};
use super::release::ReleaseError;
use super::versions::Link;
use super::{Companion, blocking, record, transport_sha256};
use crate::api::auth::presented;
use crate::api::error::ApiError;
use crate::api::extract::{OptionalJsonBody, Params};
use crate::api::request_id;
use crate::config::read_keys;
use crate::connections::{Connection, Role};
use crate::instances::{stopped, view};
use crate::keys::KeyRing;
use crate::machine::log::for_callers;
use crate::telemetry::Telemetry;

/// Callers of the old design present their secret in this header.
const X_INTERNAL_API_SECRET: HeaderName = HeaderName::from_static("x-internal-api-secret");
/// How long an agent that was started has to become healthy, for a caller who waits.
const ENSURE_LIMIT: Duration = Duration::from_mins(1);
/// How often it is looked.
const LOOK: Duration = Duration::from_millis(250);

/// What handlers need.
#[derive(Clone)]
struct AppState {
    companion: Arc<Companion>,
    /// Turns true when the companion stops.
    shutdown: watch::Receiver<bool>,
}

/// The router with everything around it. Only `GET /health` asks for no key.
pub fn router(companion: Arc<Companion>, shutdown: watch::Receiver<bool>) -> Router {
    let state = AppState {
        companion,
        shutdown,
    };
    Router::new()
        .route("/health", get(health))
        .route("/v1/machine/status", get(status))
        .route("/v1/machine/restart", post(restart))
        .route("/v1/machine/redeploy", post(redeploy))
        .route("/v1/machine/rollback", post(rollback))
        .route("/v1/machine/operation", get(operation))
        .route("/v1/machine/logs", get(logs))
        .route(
            "/internal/agents/{agent}/ensure-tool-environment",
            post(ensure),
        )
        .fallback(unknown)
        .method_not_allowed_fallback(not_allowed)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(from_fn_with_state(state.clone(), require_key))
        .layer(from_fn_with_state(
            Arc::new(Telemetry::default()),
            request_id::name_and_log,
        ))
        .with_state(state)
}

async fn unknown() -> ApiError {
    ApiError::new(
        ProblemCode::RouteUnknown,
        "This companion has no such route; tools are the agent's",
    )
}

/// axum adds the `Allow` header.
async fn not_allowed() -> ApiError {
    ApiError::new(
        ProblemCode::MethodNotAllowed,
        "The Allow header names the methods of this route",
    )
}

/// The keys are the agent's, as they are on the disk: it may just have got others.
async fn require_key(State(state): State<AppState>, request: Request, next: Next) -> Response {
    if matches!(*request.method(), Method::GET | Method::HEAD) && request.uri().path() == "/health"
    {
        return next.run(request).await;
    }
    let headers = request.headers();
    let secret = headers
        .get(X_INTERNAL_API_SECRET)
        .and_then(|v| v.to_str().ok());
    let key = Some(presented(headers))
        .filter(|key| !key.is_empty())
        .or(secret);
    let (key, machine) = (
        key.unwrap_or_default().to_owned(),
        state.companion.config.machine.clone(),
    );
    let accepted = blocking(move || {
        let of_file = match &machine.key_file {
            Some(file) => read_keys(file).map_err(std::io::Error::other)?,
            None => Vec::new(),
        };
        let keys = KeyRing::load(&machine.state_dir, &of_file).map_err(std::io::Error::other)?;
        Ok(keys.accept(&key))
    });
    match accepted.await {
        Ok(true) => {
            // Its connection is not closed for those of strangers.
            if let Some(own) = request.extensions().get::<Connection>() {
                own.recognise(Role::Control);
            }
            next.run(request).await
        }
        Ok(false) => ApiError::new(
            ProblemCode::Unauthorized,
            "The Authorization header holds no accepted key",
        )
        .into_response(),
        Err(error) => {
            tracing::error!(
                error = crate::error_chain(&error),
                "could not read the keys"
            );
            ApiError::new(
                ProblemCode::Internal,
                "The companion could not read the machine's keys",
            )
            .into_response()
        }
    }
}

/// The old design's shape.
async fn health() -> Response {
    let timestamp = view::text(OffsetDateTime::now_utc());
    Json(json!({"status": "healthy", "service": "DTMA companion", "version": crate::version(), "timestamp": timestamp})).into_response()
}

async fn status(State(state): State<AppState>) -> Json<MachineStatus> {
    let companion = state.companion;
    let config = &companion.config;
    let (asked, engine) = tokio::join!(
        companion.agents.health(config.agent),
        companion.probe.engine()
    );
    let installed = companion.versions.get(Link::Current).map(String::from);
    let agent = match asked {
        Ok(health) => AgentState {
            health: match health.status {
                AgentHealth::Healthy => AgentCondition::Healthy,
                AgentHealth::Degraded => AgentCondition::Degraded,
            },
            version: Some(health.version),
            api_version: Some(health.api_version),
            uptime_seconds: None,
            previous_version: None,
        },
        Err(why) => {
            tracing::info!(why, "the agent does not answer");
            AgentState {
                health: AgentCondition::Down,
                version: installed,
                api_version: None,
                uptime_seconds: None,
                previous_version: None,
            }
        }
    };
    let previous_version = companion.versions.get(Link::Previous).map(String::from);
    Json(MachineStatus {
        toolbox_id: config.machine.toolbox_id,
        agent: AgentState {
            previous_version,
            ..agent
        },
        host: HostState {
            now: companion.machine.read(),
            samples: Vec::new(),
        },
        certificate: transport_sha256(config).map(|sha256| CertificateState {
            sha256,
            not_after: None,
        }),
        docker: DockerState {
            reachable: engine.is_some(),
            version: engine.map(|engine| engine.version),
        },
        companion: Some(CompanionState {
            reachable: true,
            version: Some(crate::version().to_owned()),
        }),
        served_by: ServedBy::Companion,
        timestamp: view::text(OffsetDateTime::now_utc()),
    })
}

/// Ends the agent, as far as it runs, and starts it again; after the answer.
async fn restart(State(state): State<AppState>) -> Result<Response, ApiError> {
    let companion = state.companion;
    let hold = companion.take_in_hand().await;
    let hold = hold.ok_or_else(|| ApiError::from(&BeginError::Busy))?;
    tokio::spawn(async move {
        let again = async {
            companion.supervision.stop(PATIENCE).await?;
            companion.supervision.start().await
        };
        match again.await {
            Ok(()) => tracing::info!("the agent was restarted"),
            Err(error) => tracing::error!(
                error = crate::error_chain(&error),
                "could not restart the agent"
            ),
        }
        drop(hold);
    });
    Ok((StatusCode::ACCEPTED, Json(Accepted { accepted: true })).into_response())
}

async fn redeploy(
    State(state): State<AppState>,
    OptionalJsonBody(request): OptionalJsonBody<RedeployRequest>,
) -> Result<Response, ApiError> {
    let version: Option<AgentVersion> = match request.version.map(|version| version.parse()) {
        None => None,
        Some(Ok(version)) => Some(version),
        Some(Err(_)) => {
            let detail = "Expected version to be 1 to 64 of 0-9 A-Z a-z . + -, the first a digit";
            return Err(ApiError::new(ProblemCode::InvalidBody, detail));
        }
    };
    begin(&state, VersionChangeKind::Redeploy, version).await
}

async fn rollback(State(state): State<AppState>) -> Result<Response, ApiError> {
    begin(&state, VersionChangeKind::Rollback, None).await
}

async fn begin(
    state: &AppState,
    kind: VersionChangeKind,
    version: Option<AgentVersion>,
) -> Result<Response, ApiError> {
    let begun = state.companion.begin(kind, version).await;
    let change = begun.map_err(|error| ApiError::from(&error))?;
    Ok((StatusCode::ACCEPTED, Json(Begun { id: change.id })).into_response())
}

impl From<&BeginError> for ApiError {
    fn from(error: &BeginError) -> Self {
        let code = match error {
            BeginError::Busy => ProblemCode::VersionChangeInProgress,
            BeginError::NoPrevious => ProblemCode::NoPreviousVersion,
            BeginError::Release(ReleaseError::NotConfigured) => ProblemCode::ReleasesNotConfigured,
            BeginError::Release(ReleaseError::Unknown(_)) => ProblemCode::ReleaseUnknown,
            BeginError::Release(_) => ProblemCode::ReleaseUnavailable,
            BeginError::Record(_) => ProblemCode::StoreFailed,
        };
        let text = crate::error_chain(error);
        tracing::warn!(error = text, "the agent's version is not changed");
        Self::new(code, text)
    }
}

async fn operation(State(state): State<AppState>) -> Json<LastVersionChange> {
    let folder = state.companion.config.machine.state_dir.clone();
    let operation = blocking(move || Ok(record::read(&folder))).await;
    Json(LastVersionChange {
        operation: operation.ok().flatten(),
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LogParams {
    tail: Option<u32>,
    #[serde(default)]
    follow: bool,
}

/// The agent's own log.
async fn logs(
    State(state): State<AppState>,
    Params(params): Params<LogParams>,
) -> Result<Response, ApiError> {
    let tail = params.tail.unwrap_or(DEFAULT_LOG_LINES);
    if tail > MAX_LOG_LINES {
        let detail = format!("Expected tail to be at most {MAX_LOG_LINES}");
        return Err(ApiError::new(ProblemCode::InvalidBody, detail));
    }
    let log = state.companion.supervision.log(tail, params.follow).await;
    let parts = log.map_err(|error| {
        let text = crate::error_chain(&error);
        tracing::warn!(error = text, "could not read the agent's log");
        ApiError::new(ProblemCode::LogUnavailable, text)
    })?;
    let mut shutdown = state.shutdown.clone();
    let parts = for_callers(parts).take_until(async move { stopped(&mut shutdown).await });
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, Body::from_stream(parts)).into_response())
}

/// The old design's way to make a machine ready: the agent runs and is healthy when this answers with success.
async fn ensure(State(state): State<AppState>, Path(agent): Path<String>) -> Response {
    let companion = state.companion;
    let own = companion.config.machine.toolbox_id;
    if agent.parse::<ToolboxId>().ok() != Some(own) {
        let error = "This machine is another toolbox; its companion serves its own toolbox only";
        return failure(ProblemCode::ToolboxUnknown, error);
    }
    let until = Instant::now() + ENSURE_LIMIT;
    let mut why = match companion.agents.health(companion.config.agent).await {
        Ok(health) if health.status == AgentHealth::Healthy => {
            return ready(own, "The agent is healthy");
        }
        Ok(_) => "Docker does not answer it".to_owned(),
        Err(why) => {
            // Whoever has the agent in hand is starting it.
            if let Ok(_hold) = companion.agent_in_hand.try_lock()
                && let Err(error) = companion.supervision.start().await
            {
                return failure(
                    ProblemCode::AgentNotHealthy,
                    &format!(
                        "The agent could not be started: {}",
                        crate::error_chain(&error)
                    ),
                );
            }
            why
        }
    };
    while Instant::now() < until {
        sleep(LOOK).await;
        why = match companion.agents.health(companion.config.agent).await {
            Ok(health) if health.status == AgentHealth::Healthy => {
                return ready(own, "The agent was started and is healthy");
            }
            Ok(_) => "Docker does not answer it".to_owned(),
            Err(why) => why,
        };
    }
    failure(
        ProblemCode::AgentNotHealthy,
        &format!(
            "The agent is not healthy within {} s: {why}",
            ENSURE_LIMIT.as_secs()
        ),
    )
}

fn ready(toolbox: ToolboxId, message: &str) -> Response {
    // Which droplet this is and where it is reached is known to the control plane, not to the machine.
    let data =
        json!({"agent_id": toolbox, "droplet_id": null, "status": "active", "ip_address": null});
    Json(json!({"success": true, "message": message, "data": data})).into_response()
}

fn failure(code: ProblemCode, error: &str) -> Response {
    let status = StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (
        status,
        Json(json!({"success": false, "error": error, "code": code})),
    )
        .into_response()
}
