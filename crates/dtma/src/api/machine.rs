//! `/v1/machine`: the agent and its machine, for who looks after them.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use serde::Deserialize;
use time::OffsetDateTime;
use toolbox_api::dtma::API_VERSION;
use toolbox_api::machine::{
    Accepted, AgentCondition, AgentState, CertificateState, DEFAULT_LOG_LINES, Diagnosis,
    DockerState, HostState, LastVersionChange, MAX_LOG_LINES, MachineStatus, RedeployRequest,
    ServedBy,
};
use toolbox_api::problem::ProblemCode;

use super::AppState;
use super::auth::presented;
use super::error::ApiError;
use super::extract::{OptionalJsonBody, Params};
use crate::companion::record;
use crate::instances::view;
use crate::machine::previous_version;

/// How the agent and its machine are.
pub async fn status(State(state): State<AppState>) -> Json<MachineStatus> {
    let companion = async {
        match &state.companion {
            Some(companion) => Some(companion.state().await.0),
            None => None,
        }
    };
    let (engine, companion) = tokio::join!(state.probe.engine(), companion);
    let certificate = state.certificate_sha256.as_deref();
    Json(MachineStatus {
        toolbox_id: state.toolbox,
        agent: AgentState {
            health: if engine.is_some() {
                AgentCondition::Healthy
            } else {
                AgentCondition::Degraded
            },
            version: Some(crate::version().to_owned()),
            api_version: Some(API_VERSION),
            uptime_seconds: Some(state.started.elapsed().as_secs()),
            previous_version: previous_version().map(String::from),
        },
        host: HostState {
            now: state.machine.read(),
            samples: state.history.samples(),
        },
        certificate: certificate.map(|sha256| CertificateState {
            sha256: sha256.to_owned(),
            not_after: None,
        }),
        docker: DockerState {
            reachable: engine.is_some(),
            version: engine.map(|e| e.version),
        },
        companion,
        served_by: ServedBy::Agent,
        timestamp: view::text(OffsetDateTime::now_utc()),
    })
}

/// What is wrong on this machine.
pub async fn diagnose(State(state): State<AppState>) -> Json<Diagnosis> {
    Json(state.doctor.diagnose().await)
}

/// Ends the agent, so that what keeps it running starts it again.
pub async fn restart(State(state): State<AppState>) -> (StatusCode, Json<Accepted>) {
    // Open requests are answered before it ends, this one too.
    state.restart.notify_one();
    (StatusCode::ACCEPTED, Json(Accepted { accepted: true }))
}

/// The companion replaces the agent, which cannot do that to itself.
pub async fn redeploy(
    state: State<AppState>,
    headers: HeaderMap,
    OptionalJsonBody(request): OptionalJsonBody<RedeployRequest>,
) -> Result<Response, ApiError> {
    let body = serde_json::to_vec(&request).unwrap_or_default();
    hand_on(state, "/v1/machine/redeploy", &headers, body).await
}

/// The companion does this, too.
pub async fn rollback(state: State<AppState>, headers: HeaderMap) -> Result<Response, ApiError> {
    hand_on(state, "/v1/machine/rollback", &headers, Vec::new()).await
}

async fn hand_on(
    State(state): State<AppState>,
    path: &str,
    headers: &HeaderMap,
    body: Vec<u8>,
) -> Result<Response, ApiError> {
    let unreachable = |detail: String| ApiError::new(ProblemCode::CompanionUnreachable, detail);
    let companion = state.companion.as_ref().ok_or_else(|| {
        unreachable(
            "This machine was set up without a companion; run the installer on it".to_owned(),
        )
    })?;
    let answer = companion.hand_on(path, presented(headers), body).await;
    let answer =
        answer.map_err(|error| unreachable(format!("The companion does not answer: {error}")))?;
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let kind = answer
        .headers
        .get("content-type")
        .unwrap_or("application/json")
        .to_owned();
    Ok((status, [(header::CONTENT_TYPE, kind)], answer.body).into_response())
}

/// The change of the agent's version that is under way, else the last one. The companion keeps it on the disk.
pub async fn operation(State(state): State<AppState>) -> Json<LastVersionChange> {
    let folder = state.machine.folder().to_owned();
    let read = tokio::task::spawn_blocking(move || record::read(&folder)).await;
    Json(LastVersionChange {
        operation: read.ok().flatten(),
    })
}

/// `?tail=100&follow=true`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogParams {
    tail: Option<u32>,
    #[serde(default)]
    follow: bool,
}

/// The end of the agent's own log. A follower gets new lines until it goes away, or the agent stops.
pub async fn logs(
    State(state): State<AppState>,
    Params(params): Params<LogParams>,
) -> Result<Response, ApiError> {
    let tail = params.tail.unwrap_or(DEFAULT_LOG_LINES);
    if tail > MAX_LOG_LINES {
        return Err(ApiError::new(
            ProblemCode::InvalidBody,
            "Expected tail to be at most 5000",
        ));
    }
    let tail = usize::try_from(tail).unwrap_or(usize::MAX);
    let body = if params.follow {
        Body::from_stream(until_stopped(state.log.follow(tail), state.shutdown))
    } else {
        Body::from_stream(stream::iter(state.log.tail(tail)).map(Ok::<_, std::convert::Infallible>))
    };
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    let no_store = HeaderValue::from_static("no-store");
    let headers = [
        (header::CONTENT_TYPE, text),
        (header::CACHE_CONTROL, no_store),
    ];
    Ok((headers, body).into_response())
}

fn until_stopped(
    lines: impl Stream<Item = Bytes> + Send + 'static,
    mut shutdown: tokio::sync::watch::Receiver<bool>,
) -> impl Stream<Item = Result<Bytes, std::convert::Infallible>> + Send + 'static {
    let stop = async move {
        let _ = shutdown.wait_for(|stop| *stop).await;
    };
    lines.take_until(stop).map(Ok)
}
