//! From what the agent did to what is recorded and answered.

use std::time::Duration;

use toolbox_api::dtma::{Phase, Reason, ToolView};
use toolbox_api::edge::{Action, MutationResponse, OperationState, OperationView};
use toolbox_api::error::ErrorCode;
use toolbox_clients::dtma::AgentError;
use toolbox_clients::supabase::rows::{
    InstanceRow, OperationResult, RecordState, RecordStep, Recorded,
};
use toolbox_domain::ids::ToolInstanceId;
use toolbox_domain::lifecycle::{self, InstanceState, can_transition};
use toolbox_edge::{ApiError, App, Reply, reply};

use super::Operation;
use super::agent::Reached;
use crate::sighting;

/// Carries an accepted operation out and answers.
pub(super) async fn run(operation: Operation, wait: Option<Duration>) -> Result<Reply, ApiError> {
    let began = operation.app.clock.now();
    let mut reply = match operation.tell(wait).await {
        Ok(told) => {
            let reached = match wait {
                // What keeps it from being observed, the follower meets and tells.
                Some(wait) if !told.is_settled(operation.row.generation) => {
                    let settled = operation.settle(began + wait).await;
                    settled.ok().flatten().unwrap_or(told)
                }
                _ => told,
            };
            if reached.is_settled(operation.row.generation) {
                settled(operation, &reached).await?
            } else {
                pending(operation, reached.view())?
            }
        }
        Err(untold) if untold.nothing_happened => {
            return Err(failed(&operation, untold.error).await);
        }
        Err(untold) => {
            let view = operation.view.clone();
            follow(operation);
            return Err(with_operation(ApiError::from(untold.error), view));
        }
    };
    if let Some(wait) = wait {
        reply
            .headers
            .set("preference-applied", format!("wait={}", wait.as_secs()));
    }
    Ok(reply)
}

/// The agent is done: record it, then answer what it came to.
async fn settled(mut operation: Operation, reached: &Reached) -> Result<Reply, ApiError> {
    let (app, row) = (&operation.app, &operation.row);
    let recorded = sighting::record(
        app,
        row,
        reached.view(),
        Some(operation.view.id),
        &operation.request_id,
    )
    .await;
    let row = match recorded {
        Ok(Some(row)) => row,
        // Somebody else has recorded the end.
        Ok(None) => (operation.action != Action::Delete).then(|| row.clone()),
        // It is done and not recorded: in progress, as far as anybody can read.
        Err(error) => {
            log(&operation, &ApiError::from(error));
            return pending(operation, reached.view());
        }
    };
    let generation = operation.row.generation;
    // A failed update's spec is taken back under the next generation, which still tells why.
    let tells_own_end = |v: &ToolView| {
        let is_taken_back = operation.action == Action::Update && v.update_failed && !v.rolled_back;
        v.generation == generation || is_taken_back && v.generation == generation + 1
    };
    if reached.view().is_some_and(|v| !tells_own_end(v)) {
        let error = ApiError::with_message(
            ErrorCode::StateChanged,
            "A later command has overtaken this one; read the state",
        );
        return Err(with_operation(error, operation.view));
    }
    let failure = reached
        .view()
        .filter(|v| v.phase == Phase::Error || v.update_failed);
    operation.view.state = if failure.is_some() {
        OperationState::Failed
    } else {
        OperationState::Succeeded
    };
    if let Some(view) = failure {
        let reason = sighting::reason_of(view);
        let error = ApiError::new(failure_code(operation.action)).with_reason(Reason {
            code: reason.code().to_owned(),
            message: reason.message().to_owned(),
        });
        let error = with_instance(error, &operation.app, row.as_deref(), Some(view))?;
        return Err(with_operation(error, operation.view));
    }
    let status = if operation.action == Action::Deploy {
        201
    } else {
        200
    };
    answer(&operation, status, row.as_deref(), reached.view())
}

/// The agent holds it durably and is at it: answer now, observe later.
fn pending(operation: Operation, view: Option<&ToolView>) -> Result<Reply, ApiError> {
    let reply = answer(&operation, 202, Some(&operation.row), view)?;
    follow(operation);
    Ok(reply)
}

/// Observes the end after the answer and records it. Bounded by the lease; what it misses, the
/// next read records.
fn follow(operation: Operation) {
    let app = std::rc::Rc::clone(&operation.app);
    app.host.background(Box::pin(async move {
        let reached = match operation.settle(operation.follow_until).await {
            Ok(Some(reached)) => reached,
            Ok(None) => return,
            Err(error) => return log(&operation, &ApiError::from(error)),
        };
        let recorded = sighting::record(
            &operation.app,
            &operation.row,
            reached.view(),
            Some(operation.view.id),
            &operation.request_id,
        )
        .await;
        if let Err(error) = recorded {
            log(&operation, &ApiError::from(error));
        }
    }));
}

/// The command certainly changed nothing: fail the operation and put the status back.
async fn failed(operation: &Operation, error: AgentError) -> ApiError {
    let mut view = operation.view.clone();
    let (code, message) = match &error {
        AgentError::Problem(problem)
            if problem.status < 500 && !problem.detail.trim().is_empty() =>
        {
            (problem.code.as_str(), problem.detail.clone())
        }
        _ => (error.code().as_str(), error.code().title().to_owned()),
    };
    let mut result = OperationResult::failed(code, message.as_str());
    result.answered_code = Some(error.code().as_str());
    let record = RecordState {
        instance_id: operation.row.id,
        generation: operation.row.generation,
        operation_id: Some(operation.view.id),
        request_id: &operation.request_id,
        actor_kind: "control_plane",
        expected_status: &operation.row.status_on_toolbox,
        steps: way_back(operation, code, &message),
        observed: None,
        operation_result: Some(result),
        restore_previous_spec: operation.action == Action::Update,
        // Else the agent's next look at the desired state would carry out what the caller is told has failed. A
        // deletion stays wanted: what the user wants gone is to go.
        restore_previous_desired: !matches!(operation.action, Action::Deploy | Action::Delete),
        remove_row: false,
    };
    let mut api = ApiError::from(error);
    match operation.app.supabase.record(&record).await {
        Ok(Recorded::Written(Some(row))) => {
            view.state = OperationState::Failed;
            api = match with_instance(api, &operation.app, Some(&row), None) {
                Ok(api) => api,
                Err(defect) => return defect,
            };
        }
        Ok(_) => {}
        // The operation stays in progress until its lease ends; the caller learns the first cause.
        Err(error) => log(operation, &ApiError::from(error)),
    }
    with_operation(api, view)
}

/// The steps from the status the operation wrote to the one before it. Where there was none, or no
/// way leads back (a delete), it is an error.
fn way_back(operation: &Operation, code: &str, message: &str) -> Vec<RecordStep> {
    let Ok(now) = operation.row.state() else {
        return Vec::new();
    };
    let to = match &operation.previous {
        Some(previous) if previous.status() == now.status() => return Vec::new(),
        Some(previous) if can_transition(now.status(), previous.status()) => previous.clone(),
        _ => {
            let message = match operation.action {
                Action::Delete => format!("The container could not be removed: {message}"),
                _ => message.to_owned(),
            };
            let reason = lifecycle::Reason::new(code, message)
                .unwrap_or_else(|_| lifecycle::Reason::unspecified());
            InstanceState::error(reason)
        }
    };
    vec![RecordStep::from(&to)]
}

/// The code of an action whose end was observed and is not what was asked for.
pub(super) const fn failure_code(action: Action) -> ErrorCode {
    match action {
        Action::Start | Action::Restart => ErrorCode::StartFailed,
        Action::Stop => ErrorCode::StopFailed,
        Action::Delete => ErrorCode::DeleteFailed,
        Action::Update => ErrorCode::UpdateFailed,
        Action::Deploy | Action::List | Action::Get | Action::Logs | Action::Mcp => {
            ErrorCode::DeployFailed
        }
    }
}

/// The same error, naming the operation.
pub(super) fn with_operation(mut error: ApiError, operation: OperationView) -> ApiError {
    error.details.get_or_insert_default().operation = Some(operation);
    error
}

/// The same error, with the instance as it is now.
fn with_instance(
    mut error: ApiError,
    app: &App,
    row: Option<&InstanceRow>,
    view: Option<&ToolView>,
) -> Result<ApiError, ApiError> {
    if let Some(row) = row {
        let sighting = view.map(|view| Some(Box::new(view.clone())));
        let instance = sighting::view(row.clone(), sighting, &app.moment())?;
        error.details.get_or_insert_default().tool_instance = Some(Box::new(instance));
    }
    Ok(error)
}

fn log(operation: &Operation, error: &ApiError) {
    operation
        .app
        .log(&operation.request_id, operation.action.as_str(), error);
}

fn answer(
    operation: &Operation,
    status: u16,
    row: Option<&InstanceRow>,
    view: Option<&ToolView>,
) -> Result<Reply, ApiError> {
    let mut reply = success(
        &operation.app,
        &operation.request_id,
        operation.action,
        status,
        operation.row.id,
        operation.view.clone(),
        row,
        view,
    )?;
    if operation.action == Action::Deploy {
        let (toolbox, id) = (operation.toolbox, operation.row.id);
        reply.headers.set(
            "location",
            format!("/functions/v1/toolbox-tools/{toolbox}/tools/{id}"),
        );
    }
    Ok(reply)
}

/// The answer to a mutation that was accepted, or has ended as asked.
#[allow(
    clippy::too_many_arguments,
    reason = "the parts of one answer, used in two places"
)]
pub(super) fn success(
    app: &App,
    request_id: &str,
    action: Action,
    status: u16,
    id: ToolInstanceId,
    operation: OperationView,
    row: Option<&InstanceRow>,
    view: Option<&ToolView>,
) -> Result<Reply, ApiError> {
    let now = app.moment();
    let sighting = view.map(|view| Some(Box::new(view.clone())));
    let tool_instance = row
        .map(|row| sighting::view(row.clone(), sighting, &now))
        .transpose()?;
    let state = tool_instance
        .as_ref()
        .map_or("deleted", |i| &i.status_on_toolbox)
        .to_owned();
    let message = if status == 202 {
        format!("Accepted: {}; the tool is {state}", action.as_str())
    } else {
        format!("Done: {}; the tool is {state}", action.as_str())
    };
    reply::json(
        status,
        &MutationResponse {
            success: true,
            action,
            instance_id: id,
            id,
            status: state,
            message,
            tool_instance,
            operation,
            request_id: request_id.to_owned(),
            timestamp: now.text,
        },
    )
}
