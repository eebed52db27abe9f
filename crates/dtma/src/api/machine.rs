//! `/v1/machine`: the agent and its machine, for who looks after them.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use serde::Deserialize;
use time::OffsetDateTime;
use toolbox_api::dtma::API_VERSION;
use toolbox_api::machine::{
    AgentCondition, AgentState, CertificateState, DEFAULT_LOG_LINES, Diagnosis, DockerState,
    HostState, MAX_LOG_LINES, MachineStatus, ServedBy,
};
use toolbox_api::problem::ProblemCode;

use super::AppState;
use super::error::ApiError;
use super::extract::Params;
use crate::VERSION;
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
            version: Some(VERSION.to_owned()),
            api_version: Some(API_VERSION),
            uptime_seconds: Some(state.started.elapsed().as_secs()),
            previous_version: previous_version(),
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
