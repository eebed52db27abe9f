//! The agent's own log: its last lines, or a stream that goes on.

use std::time::Duration;

use toolbox_api::console::{ConsoleLogs, ConsoleRequest};
use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_api::machine::{DEFAULT_LOG_LINES, MAX_LOG_LINES};
use toolbox_domain::ids::ToolboxId;
use toolbox_domain::machine_operation::{MachineOperation, Tail};
use toolbox_edge::{Reply, RequestContext, reply};

use crate::change;
use crate::machine::{Failed, Machine, Unreached};

/// How long a follower is served: hosted functions live a few minutes.
const LONGEST: Duration = Duration::from_mins(2);

/// Which lines, and whether to wait for more.
pub(crate) struct LogOptions {
    tail: u32,
    follow: bool,
}

impl LogOptions {
    /// `?tail=100&follow=true`.
    pub(crate) fn from_query(cx: &RequestContext) -> Result<Self, ApiError> {
        let follow = match cx.query_value("follow")?.as_deref() {
            None | Some("false" | "0") => false,
            Some("true" | "1" | "") => true,
            Some(_) => return Err(refused("Give follow=true or follow=false")),
        };
        Self::new(cx.query_value("tail")?.as_deref(), follow)
    }

    /// The same fields in a body.
    pub(crate) fn from_body(body: &ConsoleRequest) -> Result<Self, ApiError> {
        let tail = body.tail.as_ref().map(ToString::to_string);
        Self::new(tail.as_deref(), body.follow.unwrap_or(false))
    }

    fn new(tail: Option<&str>, follow: bool) -> Result<Self, ApiError> {
        let tail = match tail.map(str::trim) {
            None => DEFAULT_LOG_LINES,
            Some("all") => MAX_LOG_LINES,
            Some(text) => text
                .parse()
                .ok()
                .filter(|tail| *tail <= MAX_LOG_LINES)
                .ok_or_else(|| refused("Give tail as a number of lines from 0 to 5000, or all"))?,
        };
        Ok(Self { tail, follow })
    }
}

fn refused(message: &str) -> ApiError {
    ApiError::with_message(ErrorCode::InvalidRequest, message)
}

pub(crate) async fn logs(
    cx: &RequestContext,
    id: ToolboxId,
    options: LogOptions,
) -> Result<Reply, ApiError> {
    let machine = Machine::find(cx, id).await?;
    let tail = options.tail;
    if options.follow {
        // A stream comes from a program; SSH gives what is written.
        let followed = machine
            .reach_program(async |program| program.follow_machine_logs(tail, LONGEST).await)
            .await;
        return match followed {
            Ok(reached) => Ok(reply::stream("text/plain; charset=utf-8", reached.value)),
            Err(refusal) => failure(&machine, refusal.into()),
        };
    }
    let read = machine
        .reach(
            async |program| program.machine_logs(tail).await,
            async || {
                let lines = u16::try_from(tail.max(1)).unwrap_or(u16::MAX);
                let tail = Tail::try_from(lines)
                    .map_err(|error| Failed::for_now(ApiError::internal(&error)))?;
                let done = machine
                    .execute(&MachineOperation::AgentLogs { tail })
                    .await?;
                Ok(done.lines.unwrap_or_default())
            },
        )
        .await;
    match read {
        Ok(reached) => reply::json(
            200,
            &ConsoleLogs {
                success: true,
                logs: reached.value,
                method: reached.way,
                attempts: reached.attempts,
                timestamp: machine.state.timestamp(),
                request_id: machine.request_id.to_string(),
            },
        ),
        Err(unreached) => failure(&machine, unreached),
    }
}

fn failure(machine: &Machine, unreached: Unreached) -> Result<Reply, ApiError> {
    let action = toolbox_api::console::ConsoleAction::Logs;
    change::failure(machine, action, unreached)
}
