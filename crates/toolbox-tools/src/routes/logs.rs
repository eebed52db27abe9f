//! What an instance has written: as one JSON answer, or as a stream of JSON lines.

use std::time::Duration;

use toolbox_api::dtma::LogLine;
use toolbox_api::edge::{InvokeRequest, LogsResponse};
use toolbox_api::error::ErrorCode;
use toolbox_api::moment;
use toolbox_clients::dtma::{AgentError, LogQuery};
use toolbox_domain::ids::ToolboxId;
use toolbox_edge::{Answer, ApiError, Cx, Reply, reply};

use super::instance;
use crate::toolbox::{self, Target};

const DEFAULT_TAIL: u32 = 100;
const MAX_TAIL: u32 = 10_000;
/// Later moments have no form in RFC 3339; in seconds since 1970.
const END_OF_YEAR_9999: f64 = 253_402_300_800.0;
/// Platforms end a worker after 150 seconds; callers follow again from where they were.
const LONGEST_FOLLOW: Duration = Duration::from_secs(140);

/// Which lines, and whether to wait for more.
pub(super) struct LogOptions {
    query: LogQuery,
    follow: bool,
}

impl LogOptions {
    /// `?tail=100&since=…&follow=true`.
    pub(super) fn from_query(cx: &Cx) -> Result<Self, ApiError> {
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
        Self::new(tail, cx.query_value("since")?, follow)
    }

    /// The same fields in a body.
    pub(super) fn from_body(body: &InvokeRequest) -> Result<Self, ApiError> {
        Self::new(body.tail, body.since.clone(), body.follow.unwrap_or(false))
    }

    fn new(tail: Option<u32>, since: Option<String>, follow: bool) -> Result<Self, ApiError> {
        let tail = tail.unwrap_or(DEFAULT_TAIL);
        if tail > MAX_TAIL {
            return Err(bad_tail());
        }
        let since = since.map(|text| {
            moment(&text).ok_or_else(|| {
                ApiError::with_message(
                    ErrorCode::InvalidRequest,
                    "Give since as Unix seconds or RFC 3339",
                )
            })
        });
        let since = since.transpose()?;
        Ok(Self {
            query: LogQuery {
                tail: Some(tail),
                since,
            },
            follow,
        })
    }
}

/// The one form the agent is given, from all that callers may write.
fn moment(text: &str) -> Option<String> {
    let seconds = crate::spec::decimal(text)
        .filter(|seconds| (0.0..END_OF_YEAR_9999).contains(seconds))
        .map(Duration::from_secs_f64);
    let moment = seconds.or_else(|| moment::parse(text))?;
    let to_the_second = &moment::format(moment)[..19];
    Some(format!("{to_the_second}.{:09}Z", moment.subsec_nanos()))
}

fn bad_tail() -> ApiError {
    ApiError::with_message(
        ErrorCode::InvalidRequest,
        format!("Give tail as a number of lines from 0 to {MAX_TAIL}"),
    )
}

/// `GET /{toolboxId}/tools/{instance}/logs`.
pub(super) fn handle(cx: Cx) -> Answer {
    Box::pin(async move {
        let (toolbox, target) = instance(&cx)?;
        let options = LogOptions::from_query(&cx)?;
        logs(&cx, toolbox, &target, options).await
    })
}

/// Answers with log lines of the agent; nothing is kept in the database.
pub(super) async fn logs(
    cx: &Cx,
    toolbox_id: ToolboxId,
    target: &Target,
    options: LogOptions,
) -> Result<Reply, ApiError> {
    let (found, row) = toolbox::find_instance(cx, toolbox_id, target).await?;
    let agent = toolbox::agent(cx, &found)?;
    if options.follow {
        let stream = agent
            .follow_logs(row.id, &options.query, LONGEST_FOLLOW)
            .await;
        return Ok(reply::stream(
            "application/x-ndjson",
            stream.map_err(refusal)?,
        ));
    }
    let bytes = agent.logs(row.id, &options.query).await.map_err(refusal)?;
    let lines = bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty());
    let entries: Vec<LogLine> = lines
        .map(serde_json::from_slice)
        .collect::<Result<_, _>>()
        .map_err(|_| ApiError::new(ErrorCode::AgentBadResponse))?;
    reply::json(
        200,
        &LogsResponse {
            success: true,
            logs: entries.iter().map(|entry| entry.line.clone()).collect(),
            entries,
            instance_id: row.id,
            timestamp: cx.app.timestamp(),
            request_id: cx.request_id.to_string(),
        },
    )
}

fn refusal(error: AgentError) -> ApiError {
    if error.is_instance_unknown() {
        return ApiError::with_message(
            ErrorCode::InstanceNotFound,
            "The machine has no container of this instance; start it to re-create it",
        );
    }
    error.into()
}
