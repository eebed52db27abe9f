//! From what the agent did to what is recorded and answered.

use std::time::Duration;

use toolbox_api::dtma::{Reason, ToolView};
use toolbox_api::edge::{Action, OperationState, OperationView, ToolInstanceView, Via};
use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_api::mcp::McpState;
use toolbox_api::ssh;
use toolbox_clients::dtma::AgentError;
use toolbox_clients::supabase::DatabaseError;
use toolbox_clients::supabase::rows::{
    BadRow, InstanceRow, OperationResult, ReadRow, RecordState, RecordStep, Recorded,
};
use toolbox_domain::ids::ToolInstanceId;
use toolbox_domain::lifecycle::{self, InstanceState, InstanceStatus, Observed, can_transition};
use toolbox_domain::machine_operation::{InstanceAction, MachineOperation};

use crate::change::Operation;
use crate::dispatch::SendError;
use crate::last_resort::Tried;
use crate::observation::{Observation, failure_of};
use crate::record::{self, Entry, Row};
use crate::{Instances, view};

/// Pause between looks at an MCP server that is starting.
const MCP_PAUSE: Duration = Duration::from_secs(1);

/// What has become of a change when it is answered.
#[derive(Debug)]
pub struct Outcome {
    /// What was asked for.
    pub action: Action,
    /// How far it is.
    pub progress: Progress,
    /// SSH did it, because the agent cannot be reached.
    pub via: Option<Via>,
    /// The request was made before under the same key, and this is what has become of that one.
    pub replayed: bool,
    /// The instance's id.
    pub instance_id: ToolInstanceId,
    /// The instance as it is now; none when it is gone.
    pub instance: Option<ToolInstanceView>,
    /// The operation.
    pub operation: OperationView,
}

/// How far a change is that has not failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The agent holds it durably, or the request that began it is still at work. Its end is observed later.
    Accepted,
    /// Its end was observed, as asked.
    Done,
}

impl Operation {
    /// Carries the operation out, and waits for its end as long as the caller wants.
    pub(crate) async fn carry_out(self, wait: Option<Duration>) -> Result<Outcome, ApiError> {
        let began = self.instances.clock.now();
        let generation = self.row.generation;
        match self.send(wait).await {
            Ok(sent) => {
                let observation = match wait {
                    // The follower meets the same failure and logs it.
                    Some(wait) if !sent.is_settled(generation) => {
                        let settled = self.wait_until_settled(began + wait).await;
                        settled.ok().flatten().unwrap_or(sent)
                    }
                    _ => sent,
                };
                if observation.is_settled(generation) {
                    self.settle(observation, wait.map(|wait| began + wait))
                        .await
                } else {
                    self.accept(observation.view())
                }
            }
            Err(failed) if failed.error.is_unreachable() && self.machine_operation().is_some() => {
                self.by_ssh(failed).await
            }
            Err(failed) => self.not_sent(failed).await,
        }
    }

    /// The command failed. It certainly changed nothing, or its end is observed later.
    async fn not_sent(self, failed: SendError) -> Result<Outcome, ApiError> {
        if failed.nothing_happened {
            return Err(self.fail(failed.error).await);
        }
        let error = ApiError::from(failed.error).with_operation(self.view.clone());
        self.follow();
        Err(error)
    }

    /// What this operation is on the machine, where SSH can do it.
    fn machine_operation(&self) -> Option<MachineOperation> {
        self.instances.last_resort.as_ref()?;
        let action = match self.action {
            Action::Start => InstanceAction::Start,
            Action::Stop => InstanceAction::Stop,
            Action::Restart => InstanceAction::Restart,
            Action::Delete => InstanceAction::Remove,
            _ => return None,
        };
        Some(MachineOperation::Instance {
            action,
            id: self.row.id,
        })
    }

    /// The agent cannot be reached: SSH may. Where it cannot either, the first failure is the answer, because it is the one
    /// to mend.
    async fn by_ssh(self, mut failed: SendError) -> Result<Outcome, ApiError> {
        let (Some(last_resort), Some(operation)) =
            (&self.instances.last_resort, self.machine_operation())
        else {
            return self.not_sent(failed).await;
        };
        let trying = last_resort.execute(&self.token, &self.request_id, self.toolbox, &operation);
        let tried = trying.await;
        let answer = match tried {
            Tried::Done(answer) => answer,
            Tried::Not(error) => {
                self.log(&error);
                return self.not_sent(failed).await;
            }
            Tried::Perhaps(error) => {
                self.log(&error);
                failed.nothing_happened = false;
                return self.not_sent(failed).await;
            }
        };
        let observed = match (self.action, answer.state) {
            (Action::Start | Action::Restart, Some(ssh::InstanceState::Running)) => {
                Observed::Running
            }
            (Action::Stop, Some(ssh::InstanceState::Stopped)) => Observed::Stopped,
            // A deletion is over when the agent says that nothing is left; the rest is not what was asked for yet.
            _ => return self.accept(None).map(by_ssh),
        };
        let settled = self.settle(Observation::Docker(observed), None).await;
        settled.map(by_ssh)
    }

    /// The agent is done: records the end, then answers with it. Until `until` (since the epoch) the answer waits for what its
    /// MCP server says.
    async fn settle(
        mut self,
        mut observation: Observation,
        until: Option<Duration>,
    ) -> Result<Outcome, ApiError> {
        let recorded = self.record_end(&observation).await;
        let row = match recorded {
            Ok(Row::Written(row)) => Some(row),
            Ok(Row::Gone) => None,
            // Somebody else has recorded the end.
            Ok(Row::Untouched) => (self.action != Action::Delete).then(|| self.row.clone()),
            // It is done, but until that is recorded everybody reads that it is in progress.
            Ok(Row::Failed(error)) | Err(error) => {
                self.log(&error.into());
                return self.accept(observation.view());
            }
        };
        let view = observation.view();
        if view.is_some_and(|view| !self.is_end(view)) {
            let error = ApiError::with_message(
                ErrorCode::StateChanged,
                "A later command has overtaken this one; read the state",
            );
            return Err(error.with_operation(self.view));
        }
        if let Some(reason) = view.and_then(failure_of) {
            self.view.state = OperationState::Failed;
            let mut error = ApiError::new(failure_code(self.action)).with_reason(Reason {
                code: reason.code().to_owned(),
                message: reason.message().to_owned(),
            });
            add_instance(&mut error, &self.instances, row.as_deref(), view)?;
            return Err(error.with_operation(self.view));
        }
        self.view.state = OperationState::Succeeded;
        if let (Some(until), Observation::View(view)) = (until, &mut observation) {
            self.wait_for_mcp(view, until).await;
        }
        self.outcome(Progress::Done, row.as_deref(), observation.view())
    }

    /// Waits until the MCP server of what runs has answered, or was found not to. The end of the operation is recorded, so
    /// nothing else of the view is read anew.
    async fn wait_for_mcp(&self, view: &mut ToolView, until: Duration) {
        let clock = &*self.instances.clock;
        let is_starting = |view: &ToolView| {
            let mcp = view.mcp.as_ref();
            mcp.is_some_and(|mcp| mcp.state == McpState::Starting)
        };
        while is_starting(view) && clock.now() + MCP_PAUSE <= until {
            clock.sleep(MCP_PAUSE).await;
            match self.agent.get(self.row.id, None, None).await {
                Ok(now) if now.mcp.is_some() => view.mcp = now.mcp,
                // What was known before is all that there is to say.
                _ => return,
            }
        }
    }

    /// A settled view is the end of this operation, and not of a later one. After a failed update the earlier spec gets
    /// the next generation, and the view of that generation still carries the reason.
    fn is_end(&self, view: &ToolView) -> bool {
        let generation = self.row.generation;
        let is_taken_back =
            self.action == Action::Update && view.update_failed && !view.rolled_back;
        view.generation == generation || is_taken_back && view.generation == generation + 1
    }

    async fn record_end(&self, observation: &Observation) -> Result<Row, DatabaseError> {
        let entry = Entry::of_answer(&self.row, observation, Some(self.view.id));
        let database = &self.instances.database;
        let batch = record::record(database, &self.request_id, None, vec![entry]).await?;
        match batch.rows.into_iter().next() {
            Some(Row::Failed(error)) => Err(error),
            row => Ok(row.unwrap_or(Row::Untouched)),
        }
    }

    /// The agent holds the command durably and works on it: answers now, observes the end later.
    fn accept(self, view: Option<&ToolView>) -> Result<Outcome, ApiError> {
        let outcome = self.outcome(Progress::Accepted, Some(&self.row), view)?;
        self.follow();
        Ok(outcome)
    }

    /// Observes the end after the answer and records it, as long as the lease lasts. What it misses, the next read records.
    fn follow(self) {
        let host = self.instances.host.clone();
        host.background(Box::pin(async move {
            let observation = match self.wait_until_settled(self.follow_until).await {
                Ok(Some(observation)) => observation,
                Ok(None) => return,
                Err(error) => return self.log(&error.into()),
            };
            if let Err(error) = self.record_end(&observation).await {
                self.log(&error.into());
            }
        }));
    }

    /// The command certainly changed nothing: fails the operation and puts the status back.
    async fn fail(mut self, error: AgentError) -> ApiError {
        let (code, message) = match &error {
            AgentError::Problem(problem)
                if problem.status < 500 && !problem.detail.trim().is_empty() =>
            {
                (problem.code.as_str(), problem.detail.clone())
            }
            _ => (error.code().as_str(), error.code().title().to_owned()),
        };
        // The agent itself said no to a new instance, so it holds nothing of it: nothing is kept here either, and the name
        // is free. Where the agent was not reached, it may have read the desired state by itself meanwhile.
        let is_refused_deploy = self.previous.is_none()
            && matches!(&error, AgentError::Problem(problem) if problem.status < 500);
        let mut steps = self.rollback_steps(code, &message);
        if is_refused_deploy {
            let on_the_way_out = [InstanceStatus::PendingDelete, InstanceStatus::Deleting];
            steps.extend(on_the_way_out.map(|status| RecordStep {
                status: status.as_str(),
                reason_code: None,
                reason: None,
            }));
        }
        let mut result = OperationResult::failed(code, message.as_str());
        result.answered_code = Some(error.code().as_str());
        let record = RecordState {
            instance_id: self.row.id,
            generation: self.row.generation,
            expected_generation: self.row.generation,
            expected_status: &self.row.status_on_toolbox,
            operation_id: Some(self.view.id),
            actor_kind: "control_plane",
            settled: true,
            only_idle: false,
            steps,
            view_version: None,
            observed: None,
            operation_result: Some(result),
            restore_previous_spec: self.action == Action::Update,
            // Otherwise the agent would read the desired state and carry out what the caller is told has failed. A
            // deletion stays desired: an instance that the user wants to be gone is to go.
            restore_previous_desired: !matches!(self.action, Action::Deploy | Action::Delete),
            remove_row: is_refused_deploy,
        };
        let database = &self.instances.database;
        let recorded = database
            .record_states(&self.request_id, None, &[record])
            .await;
        let mut api = ApiError::from(error);
        match recorded.map(|recorded| recorded.results.into_iter().next()) {
            Ok(Some(Recorded::Written(row))) => {
                self.view.state = OperationState::Failed;
                let row = match &row {
                    Some(ReadRow::Row(row)) => Some(&**row),
                    _ => None,
                };
                if let Err(defect) = add_instance(&mut api, &self.instances, row, None) {
                    return defect.into();
                }
            }
            Ok(Some(Recorded::Refused { code })) => {
                self.log(&DatabaseError::RecordRefused { code }.into());
            }
            Ok(_) => {}
            // The operation stays in progress until its lease ends. The caller gets the first cause.
            Err(error) => self.log(&error.into()),
        }
        api.with_operation(self.view)
    }

    /// The steps from the status that the operation wrote to the one before it. Where there was none, or the machine
    /// cannot return to it (from a deletion), the step is to `error`.
    fn rollback_steps(&self, code: &str, message: &str) -> Vec<RecordStep> {
        let Ok(now) = self.row.state() else {
            return Vec::new();
        };
        let to = match &self.previous {
            Some(previous) if previous.status() == now.status() => return Vec::new(),
            Some(previous) if can_transition(now.status(), previous.status()) => previous.clone(),
            _ => {
                let message = match self.action {
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

    fn outcome(
        &self,
        progress: Progress,
        row: Option<&InstanceRow>,
        view: Option<&ToolView>,
    ) -> Result<Outcome, ApiError> {
        Ok(Outcome {
            action: self.action,
            progress,
            via: None,
            replayed: false,
            instance_id: self.row.id,
            instance: view_of(&self.instances, row, view)?,
            operation: self.view.clone(),
        })
    }

    fn log(&self, error: &ApiError) {
        let what = self.action.as_str();
        self.instances.host.log(&self.request_id, what, error);
    }
}

fn by_ssh(outcome: Outcome) -> Outcome {
    Outcome {
        via: Some(Via::Ssh),
        ..outcome
    }
}

/// The code of an action whose end was observed and is not what was asked for.
pub(crate) const fn failure_code(action: Action) -> ErrorCode {
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

/// The instance as it is after a change.
pub(crate) fn view_of(
    instances: &Instances,
    row: Option<&InstanceRow>,
    view: Option<&ToolView>,
) -> Result<Option<ToolInstanceView>, BadRow> {
    row.map(|row| view::after_change(row.clone(), view, &instances.moment()))
        .transpose()
}

/// Adds the instance as it is after a change that failed.
fn add_instance(
    error: &mut ApiError,
    instances: &Instances,
    row: Option<&InstanceRow>,
    view: Option<&ToolView>,
) -> Result<(), BadRow> {
    if let Some(instance) = view_of(instances, row, view)? {
        error.details.get_or_insert_default().tool_instance = Some(Box::new(instance));
    }
    Ok(())
}
