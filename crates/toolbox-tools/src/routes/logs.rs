//! What an instance has written: as one JSON answer, or as a stream of JSON lines.

use std::time::Duration;

use toolbox_api::edge::{InvokeRequest, LogFilter, LogsResponse};
use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_api::moment;
use toolbox_domain::ids::ToolboxId;
use toolbox_edge::{Answer, Reply, RequestContext, reply};
use toolbox_instances::find::Target;
use toolbox_instances::logs::LogQuery;

use super::instance;
use crate::host::{instances, read_request};

const DEFAULT_TAIL: u32 = 100;
const MAX_TAIL: u32 = 10_000;
/// In seconds since 1970. RFC 3339 cannot write later times.
const END_OF_YEAR_9999: u64 = 253_402_300_800;

/// Which lines, and whether to wait for more.
pub(super) struct LogOptions {
    query: LogQuery,
    follow: bool,
}

impl LogOptions {
    /// `?tail=100&since=…&follow=true&stream=stderr`.
    pub(super) fn from_query(cx: &RequestContext) -> Result<Self, ApiError> {
        let tail = match cx.query_value("tail")? {
            None => None,
            Some(text) => Some(text.parse().map_err(|_| bad_tail())?),
        };
        let follow = match cx.query_value("follow")?.as_deref() {
            None | Some("false" | "0") => false,
            Some("true" | "1" | "") => true,
            Some(_) => {
                return Err(ApiError::with_message(
                    ErrorCode::InvalidRequest,
                    "Give follow=true or follow=false",
                ));
            }
        };
        let (since, stream) = (cx.query_value("since")?, cx.query_value("stream")?);
        Self::new(tail, since, stream, follow)
    }

    /// The same fields in a body.
    pub(super) fn from_body(body: &InvokeRequest) -> Result<Self, ApiError> {
        let (since, stream) = (body.since.clone(), body.stream.clone());
        Self::new(body.tail, since, stream, body.follow.unwrap_or(false))
    }

    fn new(
        tail: Option<u32>,
        since: Option<String>,
        stream: Option<String>,
        follow: bool,
    ) -> Result<Self, ApiError> {
        let tail = tail.unwrap_or(DEFAULT_TAIL);
        if tail > MAX_TAIL {
            return Err(bad_tail());
        }
        let since = since.map(|text| {
            timestamp(&text).ok_or_else(|| {
                ApiError::with_message(
                    ErrorCode::InvalidRequest,
                    "Give since as Unix seconds or RFC 3339",
                )
            })
        });
        let since = since.transpose()?;
        let stream = stream.map(|text| {
            LogFilter::parse(&text).ok_or_else(|| {
                ApiError::with_message(
                    ErrorCode::InvalidRequest,
                    "Give stream as stdout, stderr or all",
                )
            })
        });
        let stream = stream.transpose()?;
        Ok(Self {
            query: LogQuery {
                tail: Some(tail),
                since,
                stream,
            },
            follow,
        })
    }
}

/// A time in the one form that the agent reads, from the forms that callers may write.
fn timestamp(text: &str) -> Option<String> {
    let seconds = serde_json::from_str::<f64>(text).ok();
    let since_epoch = match seconds {
        Some(seconds) => Duration::try_from_secs_f64(seconds).ok(),
        None => moment::parse(text),
    };
    let since_epoch = since_epoch.filter(|moment| moment.as_secs() < END_OF_YEAR_9999)?;
    let to_the_second = &moment::format(since_epoch)[..19];
    let nanoseconds = since_epoch.subsec_nanos();
    Some(format!("{to_the_second}.{nanoseconds:09}Z"))
}

fn bad_tail() -> ApiError {
    ApiError::with_message(
        ErrorCode::InvalidRequest,
        format!("Give tail as a number of lines from 0 to {MAX_TAIL}"),
    )
}

/// `GET /{toolboxId}/tools/{instance}/logs`.
pub(super) fn handle(cx: RequestContext) -> Answer {
    Box::pin(async move {
        let (toolbox, target) = instance(&cx)?;
        let options = LogOptions::from_query(&cx)?;
        logs(&cx, toolbox, &target, options).await
    })
}

/// Answers with log lines: those that were written, or with `follow` also those that follow.
pub(super) async fn logs(
    cx: &RequestContext,
    toolbox: ToolboxId,
    target: &Target,
    options: LogOptions,
) -> Result<Reply, ApiError> {
    let (instances, request) = (instances(cx)?, read_request(cx)?);
    if options.follow {
        let stream = instances
            .follow_logs(&request, toolbox, target, &options.query)
            .await?;
        return Ok(reply::stream("application/x-ndjson", stream));
    }
    let (instance_id, entries) = instances
        .logs(&request, toolbox, target, &options.query)
        .await?;
    reply::json(
        200,
        &LogsResponse {
            success: true,
            logs: entries.iter().map(|entry| entry.line.clone()).collect(),
            entries,
            instance_id,
            timestamp: cx.state.timestamp(),
            request_id: cx.request_id.to_string(),
        },
    )
}
