//! Restart, redeployment and rollback of the agent, and how the last of them goes.
//!
//! The machine accepts a change and carries it out by itself. So the answer is 202, unless the caller waits for the end
//! (`Prefer: wait=N`) and it is seen in time: then 200, or the error that the change ended with. Each change that is asked
//! of a machine is an event in the toolbox's history before it is asked.

use std::time::Duration;

use serde_json::{Map, Value, json};
use toolbox_api::console::{Attempt, ConsoleAction, ConsoleChange};
use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_api::machine::{Begun, VersionChange, VersionChangePhase};
use toolbox_clients::dtma::{Agent, AgentError};
use toolbox_clients::supabase::toolbox_events::{EventId, ToolboxEvent};
use toolbox_domain::ids::ToolboxId;
use toolbox_domain::machine_operation::{AgentVersion, MachineOperation};
use toolbox_edge::{Reply, RequestContext, reply};
use toolbox_instances::ways::change_detail;

use crate::machine::{Machine, Reached, Unreached};

/// Between looks at a change that is waited for.
const PAUSE: Duration = Duration::from_secs(1);

/// What is changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Restart,
    Redeploy(AgentVersion),
    Rollback,
}

impl Change {
    const fn action(&self) -> ConsoleAction {
        match self {
            Self::Restart => ConsoleAction::Restart,
            Self::Redeploy(_) => ConsoleAction::Redeploy,
            Self::Rollback => ConsoleAction::Rollback,
        }
    }

    const fn event(&self) -> &'static str {
        match self {
            Self::Restart => "agent_restart",
            Self::Redeploy(_) => "agent_redeploy",
            Self::Rollback => "agent_rollback",
        }
    }

    fn operation(&self) -> MachineOperation {
        match self {
            Self::Restart => MachineOperation::AgentRestart,
            Self::Redeploy(version) => MachineOperation::AgentRedeploy {
                version: Some(version.clone()),
            },
            Self::Rollback => MachineOperation::AgentRollback,
        }
    }

    fn accepted(&self) -> String {
        match self {
            Self::Restart => "The agent was told to end, and is started again".to_owned(),
            Self::Redeploy(version) => {
                format!("The machine replaces the agent by version {version}")
            }
            Self::Rollback => "The machine replaces the agent by the version before".to_owned(),
        }
    }

    async fn ask(&self, program: &Agent) -> Result<Accepted, AgentError> {
        let begun = |Begun { id }| Accepted {
            details: json!({"id": id}),
            id: Some(id),
        };
        match self {
            Self::Restart => {
                let accepted = program.restart_agent().await?;
                Ok(Accepted {
                    id: None,
                    details: json!({"accepted": accepted.accepted}),
                })
            }
            Self::Redeploy(version) => program.redeploy_agent(version).await.map(begun),
            Self::Rollback => program.roll_agent_back().await.map(begun),
        }
    }
}

/// What the machine answered.
struct Accepted {
    /// Of the change, where the machine gave one.
    id: Option<String>,
    details: Value,
}

/// How a change that was waited for ended.
enum End {
    /// Not in time.
    NotSeen(Option<VersionChange>),
    Succeeded(Option<VersionChange>),
    Failed(VersionChange),
}

pub(crate) async fn change(
    cx: &RequestContext,
    id: ToolboxId,
    change: Change,
) -> Result<Reply, ApiError> {
    let wait = cx.wait()?;
    let machine = Machine::find(cx, id).await?;
    let event = begin(&machine, &change).await?;
    let begun = machine.clock().now();
    let asked = machine
        .reach(
            async |program| change.ask(program).await,
            async || {
                let done = machine.execute(&change.operation()).await?;
                let begun = done.data.clone();
                let begun = begun.and_then(|data| serde_json::from_value::<Begun>(data).ok());
                Ok(Accepted {
                    id: begun.map(|begun| begun.id),
                    details: json!(done),
                })
            },
        )
        .await;
    let reached = match asked {
        Ok(reached) => reached,
        Err(unreached) => {
            let code = unreached.error.code.as_str();
            record_end(&machine, event, None, &unreached.attempts, code).await;
            return failure(&machine, change.action(), unreached);
        }
    };
    let end = match wait {
        Some(wait) if !wait.is_zero() => until_end(&machine, &change, &reached, begun, wait).await,
        _ => End::NotSeen(None),
    };
    let result = match &end {
        End::NotSeen(_) => "accepted",
        End::Succeeded(_) => "succeeded",
        End::Failed(_) => ErrorCode::RedeployFailed.as_str(),
    };
    record_end(&machine, event, Some(&reached), &reached.attempts, result).await;
    let action = change.action();
    let (status, message, operation, error) = match end {
        End::NotSeen(operation) => (202, change.accepted(), operation, None),
        End::Succeeded(operation) => {
            let message = match &operation {
                Some(done) => format!("Version {} of the agent is healthy", done.to),
                None => "The agent has started again and answers".to_owned(),
            };
            (200, message, operation, None)
        }
        End::Failed(operation) => {
            let mut error = ApiError::new(ErrorCode::RedeployFailed);
            if let Some(reason) = operation.reason.clone() {
                error = error.with_reason(reason);
            }
            let message = match operation.phase {
                VersionChangePhase::RolledBack => {
                    "The new version was not healthy in time, and the old one runs again"
                }
                _ => "The agent was not replaced",
            };
            let status = error.code.status();
            let told = machine.told(action.as_str(), &error);
            (status, message.to_owned(), Some(operation), Some(told))
        }
    };
    let answer = ConsoleChange {
        success: error.is_none(),
        error,
        message,
        action,
        method: Some(reached.way),
        attempts: reached.attempts,
        operation,
        details: reached.value.details,
        timestamp: machine.state.timestamp(),
        request_id: machine.request_id.to_string(),
    };
    reply::json(status, &answer)
}

/// How the last redeployment or rollback goes.
pub(crate) async fn operation(cx: &RequestContext, id: ToolboxId) -> Result<Reply, ApiError> {
    let machine = Machine::find(cx, id).await?;
    let asked = machine
        .reach_program(async |program| program.version_change().await)
        .await;
    match asked {
        Ok(reached) => {
            let operation = reached.value.operation;
            let answer = ConsoleChange {
                success: true,
                error: None,
                message: match &operation {
                    Some(last) => format!("The last change was to version {}", last.to),
                    None => "The agent's version was never changed from here".to_owned(),
                },
                action: ConsoleAction::Operation,
                method: Some(reached.way),
                attempts: reached.attempts,
                operation,
                details: Value::Null,
                timestamp: machine.state.timestamp(),
                request_id: machine.request_id.to_string(),
            };
            reply::json(200, &answer)
        }
        Err(refusal) => failure(&machine, ConsoleAction::Operation, refusal.into()),
    }
}

/// Looks until the end is seen, or the wait is over.
async fn until_end(
    machine: &Machine,
    change: &Change,
    reached: &Reached<Accepted>,
    begun: Duration,
    wait: Duration,
) -> End {
    let mut last = None;
    loop {
        if machine.clock().now().saturating_sub(begun) + PAUSE > wait {
            return End::NotSeen(last);
        }
        machine.clock().sleep(PAUSE).await;
        let Some(id) = &reached.value.id else {
            if *change == Change::Restart && has_restarted(machine, begun).await {
                return End::Succeeded(None);
            }
            continue;
        };
        let asked = machine
            .reach_program(async |program| program.version_change().await)
            .await;
        let Ok(Some(seen)) = asked.map(|reached| reached.value.operation) else {
            continue;
        };
        match seen.phase {
            _ if seen.id != *id => {}
            VersionChangePhase::Healthy => return End::Succeeded(Some(seen)),
            phase if phase.is_end() => return End::Failed(seen),
            _ => last = Some(seen),
        }
    }
}

/// The agent answers, and has not run for as long as the change is old.
async fn has_restarted(machine: &Machine, begun: Duration) -> bool {
    let Ok(agent) = machine.agent() else {
        return false;
    };
    let since = machine.clock().now().saturating_sub(begun).as_secs();
    match agent.machine_status().await {
        Ok(status) => status.agent.uptime_seconds.is_some_and(|up| up <= since),
        Err(_) => false,
    }
}

/// Each change is in the history of the toolbox before the machine is asked: what cannot be written is not done.
async fn begin(machine: &Machine, change: &Change) -> Result<EventId, ApiError> {
    let mut detail = Map::new();
    if let Change::Redeploy(version) = change {
        detail.insert("version".to_owned(), version.as_str().into());
    }
    let event = ToolboxEvent {
        toolbox: machine.row.toolbox.id,
        user: machine.user,
        as_operator: false,
        kind: change.event(),
        detail: &detail,
        request_id: Some(&machine.request_id),
    };
    let begun = machine.state.supabase.begin_toolbox_event(&event).await?;
    begun.ok_or_else(|| ApiError::new(ErrorCode::ToolboxNotFound))
}

async fn record_end(
    machine: &Machine,
    event: EventId,
    reached: Option<&Reached<Accepted>>,
    attempts: &[Attempt],
    result: &str,
) {
    let reached = reached.map(|reached| (reached.way, reached.value.id.as_deref()));
    let detail = change_detail(reached, attempts);
    // What the machine did counts; that its history lacks the end is for the operator.
    let database = &machine.state.supabase;
    if let Err(error) = database.end_toolbox_event(event, result, &detail).await {
        machine.state.log(
            &machine.request_id,
            "record the end of the change",
            &error.into(),
        );
    }
}

/// Nothing was done, as far as is known: the status of the error, with what was tried.
pub(crate) fn failure(
    machine: &Machine,
    action: ConsoleAction,
    unreached: Unreached,
) -> Result<Reply, ApiError> {
    let Unreached {
        error, attempts, ..
    } = unreached;
    let answer = ConsoleChange {
        success: false,
        message: error.message().to_owned(),
        error: Some(machine.told(action.as_str(), &error)),
        action,
        method: None,
        attempts,
        operation: None,
        details: Value::Null,
        timestamp: machine.state.timestamp(),
        request_id: machine.request_id.to_string(),
    };
    reply::json(error.code.status(), &answer)
}
