//! From what an agent shows of an instance to what is recorded.
//!
//! A view with a lower generation than the row's is about a state that the user has left behind: the last command has not
//! arrived, or is on its way. Such a view never ends an operation.

use toolbox_api::dtma::{self, Phase, ToolView};
use toolbox_clients::dtma::AgentError;
use toolbox_clients::supabase::DatabaseError;
use toolbox_clients::supabase::rows::{
    BadRow, InstanceRow, ObservedRow, OperationResult, RecordState, RecordStep, Recorded,
};
use toolbox_domain::ids::OperationId;
use toolbox_domain::lifecycle::{
    self, Desired, InstanceState, InstanceStatus, Observed, Reason, observe,
};

use crate::Instances;

/// What an agent that answered shows of an instance.
#[derive(Clone, Debug)]
pub(crate) enum Observation {
    /// The instance.
    View(Box<ToolView>),
    /// The agent has nothing of it.
    Absent,
}

impl Observation {
    /// Reads the answer to a look at one instance.
    pub(crate) fn of(answer: Result<Box<ToolView>, AgentError>) -> Result<Self, AgentError> {
        match answer {
            Ok(view) => Ok(Self::View(view)),
            Err(error) if error.is_instance_unknown() => Ok(Self::Absent),
            Err(error) => Err(error),
        }
    }

    /// The agent is done with this generation.
    pub(crate) fn is_settled(&self, generation: u64) -> bool {
        match self {
            Self::Absent => true,
            Self::View(view) => view.settled && view.generation >= generation,
        }
    }

    pub(crate) fn view(&self) -> Option<&ToolView> {
        match self {
            Self::View(view) => Some(view),
            Self::Absent => None,
        }
    }

    /// The same in the words of the domain.
    pub(crate) fn observed(&self) -> Observed {
        let Self::View(view) = self else {
            return Observed::Absent;
        };
        match view.phase {
            Phase::Pending | Phase::Pulling | Phase::Building | Phase::Creating => {
                Observed::Preparing
            }
            Phase::Starting => Observed::Starting,
            Phase::Running => Observed::Running,
            Phase::Stopping => Observed::Stopping,
            Phase::Stopped => Observed::Stopped,
            Phase::Removing => Observed::Removing,
            Phase::Error => Observed::Failed(reason_of(view)),
        }
    }

    /// It is about an earlier state than the row's. An absent instance is about no state at all.
    pub(crate) fn is_behind(&self, row: &InstanceRow) -> bool {
        self.view()
            .is_none_or(|view| view.generation < row.generation)
    }
}

impl From<Box<ToolView>> for Observation {
    fn from(view: Box<ToolView>) -> Self {
        Self::View(view)
    }
}

impl From<ToolView> for Observation {
    fn from(view: ToolView) -> Self {
        Self::View(Box::new(view))
    }
}

/// A record that meets a moved row is decided again on the row as it is now, this often.
const RECORD_ATTEMPTS: usize = 3;

/// Why an instance is still there although it was to be deleted.
const DELETION_LOST: &str = "The deletion did not reach the agent; delete the instance again";

const fn desired_of(view: &ToolView) -> Desired {
    match view.desired {
        dtma::Desired::Running => Desired::Running,
        dtma::Desired::Stopped => Desired::Stopped,
        dtma::Desired::Absent => Desired::Absent,
    }
}

/// The database takes codes of this form only. A machine that sends another must not block the record.
fn is_code(code: &str) -> bool {
    code.len() <= 64
        && code.starts_with(|c: char| c.is_ascii_lowercase())
        && code
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// Why a view is not as desired.
pub(crate) fn reason_of(view: &ToolView) -> Reason {
    view.reason
        .as_ref()
        .filter(|r| is_code(&r.code))
        .and_then(|r| Reason::new(r.code.as_str(), r.message.as_str()).ok())
        .unwrap_or_else(Reason::unspecified)
}

/// The instance is to be deleted, or being deleted.
pub(crate) fn is_being_deleted(row: &InstanceRow) -> Result<bool, BadRow> {
    Ok(row.desired()? == Desired::Absent || is_deletion(row.state()?.status()))
}

const fn is_deletion(status: InstanceStatus) -> bool {
    matches!(
        status,
        InstanceStatus::PendingDelete | InstanceStatus::Deleting
    )
}

/// The state of the row, and what the observation means for it.
pub(crate) fn decide(
    row: &InstanceRow,
    observation: &Observation,
) -> Result<(InstanceState, lifecycle::Observation), BadRow> {
    let state = row.state()?;
    let is_behind = observation.is_behind(row);
    let desired = match observation.view() {
        Some(view) if is_behind => desired_of(view),
        _ => row.desired()?,
    };
    let mut decided = observe(&state, &observation.observed(), desired);
    if is_deletion(state.status()) && observation.view().is_some() && is_behind {
        // The deletion is on its way, or lost. As long as the lease of its operation lasts it may be on its way, and the
        // database refuses this step.
        decided.steps = Reason::new("remove_failed", DELETION_LOST)
            .map(InstanceState::error)
            .into_iter()
            .collect();
    }
    Ok((state, decided))
}

/// How the operation that made the view's generation ended.
fn result_of(view: &ToolView) -> OperationResult {
    if view.phase == Phase::Error || view.rolled_back {
        let reason = reason_of(view);
        OperationResult::failed(reason.code(), reason.message())
    } else {
        OperationResult::succeeded()
    }
}

/// What is to be recorded of a settled observation; none when the row says the same. With `operation`, its end is recorded
/// in any case.
fn record_of<'a>(
    row: &'a InstanceRow,
    observation: &'a Observation,
    operation: Option<OperationId>,
    request_id: &'a str,
    now: &'a str,
) -> Result<Option<RecordState<'a>>, BadRow> {
    let is_behind = observation.is_behind(row);
    let view = observation.view();
    let reverted = !is_behind && view.is_some_and(|view| view.reverted);
    // Whether there is an earlier spec to go back to, the database knows from the operation that made the generation. An
    // operation that is not ours is left to the agent's heartbeat, which reports the same.
    if view.is_some_and(|view| !view.settled) || reverted && operation.is_none() {
        return Ok(None);
    }
    let (_, decided) = decide(row, observation)?;
    let result = match view {
        Some(view) if !is_behind => Some(result_of(view)),
        // Nothing is left of what was to be deleted, or of what was to be stopped.
        None if decided.row_gone || operation.is_some() => {
            let reason = decided.steps.last().and_then(InstanceState::reason);
            Some(reason.map_or_else(OperationResult::succeeded, |reason| {
                OperationResult::failed(reason.code(), reason.message())
            }))
        }
        _ => None,
    };
    let differs = view.is_some_and(|view| {
        view.container_id != row.container_id
            || view.image_digest != row.image_digest
            || view.ports != row.port_mapping_json
    });
    let is_drift = !decided.steps.is_empty() || decided.row_gone || differs;
    if operation.is_none() && !is_drift {
        return Ok(None);
    }
    let generation = view.map_or(0, |view| view.generation).max(row.generation);
    Ok(Some(RecordState {
        instance_id: row.id,
        generation,
        operation_id: operation,
        request_id,
        actor_kind: "agent",
        expected_status: &row.status_on_toolbox,
        steps: decided.steps.iter().map(RecordStep::from).collect(),
        observed: view.map(|view| ObservedRow {
            container_id: view.container_id.as_deref(),
            image_digest: view.image_digest.as_deref(),
            ports: &view.ports,
            observed_at: now,
            view_version: view.version,
        }),
        operation_result: result,
        restore_previous_spec: reverted,
        restore_previous_desired: false,
        remove_row: decided.row_gone,
    }))
}

/// The row is to be changed to what the agent shows.
pub(crate) fn is_drift(row: &InstanceRow, observation: &Observation) -> bool {
    matches!(record_of(row, observation, None, "", ""), Ok(Some(_)))
}

/// Whether an observation may be decided again on a row that has moved. An absence has no version, so what moved the row may
/// be later than it. It counts only for an instance that is to go, and as the end of an operation of our own.
fn may_decide_again(
    now: &InstanceRow,
    observation: &Observation,
    operation: Option<OperationId>,
) -> bool {
    observation.view().is_some() || operation.is_some() || is_being_deleted(now).unwrap_or(false)
}

/// The row after a record.
#[derive(Debug)]
pub(crate) enum Row {
    /// It is as recorded.
    Written(Box<InstanceRow>),
    /// It is gone.
    Gone,
    /// Nothing was recorded: there was nothing to record, or the row has moved on.
    Untouched,
}

impl Instances {
    /// Records a settled observation, and with `operation` its end.
    pub(crate) async fn record(
        &self,
        row: &InstanceRow,
        observation: &Observation,
        operation: Option<OperationId>,
        request_id: &str,
    ) -> Result<Row, DatabaseError> {
        let mut moved: Option<Box<InstanceRow>> = None;
        for _ in 0..RECORD_ATTEMPTS {
            let row = moved.as_deref().unwrap_or(row);
            let now = self.moment().text;
            let bad_row = |_: BadRow| DatabaseError::BadResponse {
                status: 200,
                code: "bad_row".to_owned(),
            };
            let record =
                record_of(row, observation, operation, request_id, &now).map_err(bad_row)?;
            let Some(record) = record else {
                return Ok(Row::Untouched);
            };
            match self.database.record(&record).await? {
                Recorded::Written(Some(row)) => return Ok(Row::Written(row)),
                Recorded::Written(None) | Recorded::NotFound => return Ok(Row::Gone),
                // Another observer was quicker. The same steps must not be written twice.
                Recorded::Stale(now)
                    if now.generation == row.generation
                        && now.status_on_toolbox != row.status_on_toolbox
                        && may_decide_again(&now, observation, operation) =>
                {
                    moved = Some(now);
                }
                Recorded::Stale(_) => return Ok(Row::Untouched),
            }
        }
        Ok(Row::Untouched)
    }
}
