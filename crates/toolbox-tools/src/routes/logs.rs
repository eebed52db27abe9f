//! What an instance has written: as one JSON answer, or as a stream of JSON lines.

use std::time::Duration;

use toolbox_api::edge::{InvokeRequest, LogFilter, LogsResponse, NumberOrText};
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
        let (tail, since) = (cx.query_value("tail")?, cx.query_value("since")?);
        let stream = cx.query_value("stream")?;
        let given = (tail.as_deref(), since.as_deref(), stream.as_deref());
        Self::new(cx, given, follow)
    }

    /// The same fields in a body.
    pub(super) fn from_body(cx: &RequestContext, body: &InvokeRequest) -> Result<Self, ApiError> {
        let text = |value: &Option<NumberOrText>| value.as_ref().map(ToString::to_string);
        let follow = body.follow.unwrap_or(false);
        let (tail, since) = (text(&body.tail), text(&body.since));
        let given = (tail.as_deref(), since.as_deref(), body.stream.as_deref());
        Self::new(cx, given, follow)
    }

    fn new(
        cx: &RequestContext,
        (tail, since, stream): (Option<&str>, Option<&str>, Option<&str>),
        follow: bool,
    ) -> Result<Self, ApiError> {
        let tail = match tail.map(str::trim) {
            None => DEFAULT_TAIL,
            Some("all") => MAX_TAIL,
            Some(text) => match text.parse() {
                Ok(tail @ 0..=MAX_TAIL) => tail,
                _ => return Err(bad_tail()),
            },
        };
        let since = since.map(|text| {
            timestamp(text, cx.state.clock.now()).ok_or_else(|| {
                ApiError::with_message(
                    ErrorCode::InvalidRequest,
                    "Give since as RFC 3339, a date, Unix seconds, or how long ago, such as 10m",
                )
            })
        });
        let since = since.transpose()?;
        let stream = stream.map(|text| {
            LogFilter::parse(text).ok_or_else(|| {
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
fn timestamp(text: &str, now: Duration) -> Option<String> {
    let text = text.trim();
    let since_epoch = match serde_json::from_str::<f64>(text) {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).ok(),
        Err(_) => duration(text)
            .map(|ago| now.saturating_sub(ago))
            .or_else(|| moment::parse(&rfc3339(text)?)),
    };
    let since_epoch = since_epoch.filter(|moment| moment.as_secs() < END_OF_YEAR_9999)?;
    let to_the_second = &moment::format(since_epoch)[..19];
    let nanoseconds = since_epoch.subsec_nanos();
    Some(format!("{to_the_second}.{nanoseconds:09}Z"))
}

/// How long ago, as Docker takes it: `10m`, `1h30m`, `1.5h`, and days, which Docker lacks.
fn duration(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(digits);
        let end = after
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let seconds = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            _ => return None,
        };
        let part = Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()?;
        total = total.checked_add(part)?;
        rest = after;
    }
    (!text.is_empty()).then_some(total)
}

/// What people write for RFC 3339, completed: a date, a space between date and time, no seconds, no zone (UTC then), and
/// the `+` of a zone that was not encoded in a URL and became a space.
fn rfc3339(text: &str) -> Option<String> {
    let (date, rest) = text.split_at_checked(10)?;
    let Some(rest) = rest.strip_prefix(['T', 't', ' ']) else {
        return rest.is_empty().then(|| format!("{date}T00:00:00Z"));
    };
    let rest = rest.replace(' ', "+");
    let zone = rest.find(['Z', 'z', '+', '-']).unwrap_or(rest.len());
    let (time, zone) = rest.split_at_checked(zone)?;
    let seconds = if time.len() == 5 { ":00" } else { "" };
    let zone = if zone.is_empty() { "Z" } else { zone };
    Some(format!("{date}T{time}{seconds}{zone}"))
}

fn bad_tail() -> ApiError {
    ApiError::with_message(
        ErrorCode::InvalidRequest,
        format!(
            "Give tail as a number of lines from 0 to {MAX_TAIL}, or all, which is as many as that"
        ),
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
    let found = instances
        .logs(&request, toolbox, target, &options.query)
        .await?;
    reply::json(
        200,
        &LogsResponse {
            success: true,
            logs: found.lines.iter().map(|entry| entry.line.clone()).collect(),
            entries: found.lines,
            instance_id: found.instance_id,
            via: found.via,
            timestamp: cx.state.timestamp(),
            request_id: cx.request_id.to_string(),
        },
    )
}
