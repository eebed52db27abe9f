//! `GET /tools/{id}/logs`: a container's output as NDJSON.

use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::StreamExt;
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use toolbox_api::dtma::{LogLine, LogStream as Written};
use toolbox_api::problem::ProblemCode;

use super::AppState;
use super::error::ApiError;
use super::extract::{InstanceId, Params};
use crate::instances::CommandError;
use crate::runtime::{ContainerId, LogQuery, LogStream, RuntimeError};

const DEFAULT_TAIL: u32 = 100;
const MAX_TAIL: u32 = 10_000;
/// Longest silence while reading without following.
const SILENCE: Duration = Duration::from_secs(10);
const NDJSON: HeaderValue = HeaderValue::from_static("application/x-ndjson");

/// `?tail=100&since=…&follow=true&stream=stderr`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogParams {
    tail: Option<u32>,
    since: Option<String>,
    #[serde(default)]
    follow: bool,
    stream: Option<Shown>,
}

/// Which of its streams is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shown {
    Stdout,
    Stderr,
    All,
}

/// The output of the instance's container; empty when it never had one. Of a server over standard streams that is its
/// standard error, unless the caller wants the protocol. A follower gets lines until the container ends, the caller goes
/// away, or the agent stops.
pub async fn logs(
    State(state): State<AppState>,
    InstanceId(id): InstanceId,
    Params(params): Params<LogParams>,
) -> Result<Response, ApiError> {
    let mut query = read(&params)?;
    let mut entry = state.instances.find(id).await?;
    let view = entry.known().await.ok_or(CommandError::Unknown(id))?;
    let container = view.container_id.as_deref().map(ContainerId::new);
    query.stream = match params.stream {
        Some(Shown::Stdout) => Some(Written::Stdout),
        Some(Shown::Stderr) => Some(Written::Stderr),
        Some(Shown::All) => None,
        None => state.mcp.is_stdio(id).then_some(Written::Stderr),
    };
    if query.stream == Some(Written::Stderr)
        && let Some(log) = state.mcp.stderr_of(id)
    {
        let lines = log
            .lines(&*state.runtime, container.as_ref(), query)
            .await?;
        let shutdown = state.shutdown.clone();
        return Ok(respond(Body::from_stream(stream(
            lines,
            query.follow,
            shutdown,
        ))));
    }
    let Some(container) = container else {
        // Docker is asked all the same, so that no output is not confused with no Docker.
        state.runtime.info().await?;
        return Ok(respond(Body::empty()));
    };
    // A failure here still gets a status of its own, because the answer has not begun.
    match state.runtime.describe(&container).await {
        Ok(_) => {}
        Err(RuntimeError::ContainerGone) => return Ok(respond(Body::empty())),
        Err(error) => return Err(error.into()),
    }
    let lines = state.runtime.logs(&container, query).await?;
    Ok(respond(Body::from_stream(stream(
        lines,
        query.follow,
        state.shutdown.clone(),
    ))))
}

fn read(params: &LogParams) -> Result<LogQuery, ApiError> {
    let invalid = |detail: &str| ApiError::new(ProblemCode::InvalidBody, detail);
    let tail = params.tail.unwrap_or(DEFAULT_TAIL);
    if tail > MAX_TAIL {
        return Err(invalid("Expected tail to be at most 10000"));
    }
    let since = params.since.as_deref().map(|text| {
        let seconds = text
            .parse::<i64>()
            .ok()
            .and_then(|s| OffsetDateTime::from_unix_timestamp(s).ok());
        seconds
            .or_else(|| OffsetDateTime::parse(text, &Rfc3339).ok())
            .ok_or_else(|| invalid("Expected since to be seconds since 1970 or an RFC 3339 time"))
    });
    Ok(LogQuery {
        tail,
        since: since.transpose()?,
        follow: params.follow,
        stream: None,
    })
}

fn respond(body: Body) -> Response {
    (
        [
            (header::CONTENT_TYPE, NDJSON),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        ],
        body,
    )
        .into_response()
}

/// Lines as bytes. An error breaks the connection, so that a reader does not take a part for the whole.
fn stream(
    lines: LogStream,
    follow: bool,
    mut shutdown: tokio::sync::watch::Receiver<bool>,
) -> impl futures_util::Stream<Item = Result<Bytes, RuntimeError>> + Send + 'static {
    let stop = async move {
        let _ = shutdown.wait_for(|stop| *stop).await;
    };
    let lines = futures_util::stream::unfold(Some(lines), move |lines| async move {
        let mut lines = lines?;
        let next = if follow {
            lines.next().await
        } else {
            match tokio::time::timeout(SILENCE, lines.next()).await {
                Ok(next) => next,
                Err(_) => Some(Err(RuntimeError::Timeout {
                    operation: "send the log",
                    seconds: SILENCE.as_secs(),
                })),
            }
        }?;
        let rest = next.is_ok().then_some(lines);
        Some((next.map(|line| encode(&line)), rest))
    });
    lines.take_until(stop)
}

fn encode(line: &LogLine) -> Bytes {
    // A log line holds strings only, so it always serialises.
    let mut bytes = serde_json::to_vec(line).unwrap_or_default();
    bytes.push(b'\n');
    Bytes::from(bytes)
}
