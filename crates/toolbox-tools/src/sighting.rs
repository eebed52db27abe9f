//! From what an agent shows of an instance to what callers are told and what is recorded.
//!
//! A view with a lower generation than the row's is about a state the user has left behind: the
//! last command has not arrived, or is on its way. It never ends an operation.

use toolbox_api::dtma::{self, Phase, ToolView};
use toolbox_api::edge::{LiveState, StateSource, ToolInstanceView};
use toolbox_clients::supabase::DatabaseError;
use toolbox_clients::supabase::rows::{
    BadRow, EnvironmentRow, InstanceRow, ObservedRow, OperationResult, RecordState, RecordStep,
    Recorded,
};
use toolbox_domain::ids::OperationId;
use toolbox_domain::lifecycle::{
    Desired, InstanceState, InstanceStatus, Observation, Observed, Reason, observe,
};
use toolbox_edge::App;
use toolbox_edge::time::{self, Moment};

/// What an agent that answered shows of an instance: a view, or that it has nothing of it.
pub(crate) type Sighting<'a> = Option<&'a ToolView>;

/// The same, handed over, so that its texts become the answer's.
pub(crate) type OwnSighting = Option<Box<ToolView>>;

/// A record that meets a moved row is decided again on what the row is now, this often.
const RECORD_ATTEMPTS: usize = 3;

/// Why an instance is there although it was to be deleted.
const DELETION_LOST: &str = "The deletion did not reach the agent; delete the instance again";

const fn desired_of(view: &ToolView) -> Desired {
    match view.desired {
        dtma::Desired::Running => Desired::Running,
        dtma::Desired::Stopped => Desired::Stopped,
        dtma::Desired::Absent => Desired::Absent,
    }
}

/// The database holds codes to this form; a machine that sends another must not block the record.
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

fn observed(sighting: Sighting<'_>) -> Observed {
    let Some(view) = sighting else {
        return Observed::Absent;
    };
    match view.phase {
        Phase::Pending | Phase::Pulling | Phase::Building | Phase::Creating => Observed::Preparing,
        Phase::Starting => Observed::Starting,
        Phase::Running => Observed::Running,
        Phase::Stopping => Observed::Stopping,
        Phase::Stopped => Observed::Stopped,
        Phase::Removing => Observed::Removing,
        Phase::Error => Observed::Failed(reason_of(view)),
    }
}

/// The view is about an earlier state than the row's; an absent instance is about none.
fn is_behind(row: &InstanceRow, sighting: Sighting<'_>) -> bool {
    sighting.is_none_or(|view| view.generation < row.generation)
}

/// The instance is to be deleted, or being deleted.
pub(crate) fn is_leaving(row: &InstanceRow) -> Result<bool, BadRow> {
    let status = row.state()?.status();
    Ok(row.desired()? == Desired::Absent
        || matches!(
            status,
            InstanceStatus::PendingDelete | InstanceStatus::Deleting
        ))
}

fn is_under_way(status: InstanceStatus) -> bool {
    !matches!(
        status,
        InstanceStatus::Running | InstanceStatus::Stopped | InstanceStatus::Error
    )
}

fn look(row: &InstanceRow, sighting: Sighting<'_>) -> Result<(InstanceState, Observation), BadRow> {
    let state = row.state()?;
    let desired = match sighting {
        Some(view) if is_behind(row, sighting) => desired_of(view),
        _ => row.desired()?,
    };
    let mut observation = observe(&state, &observed(sighting), desired);
    let leaving = matches!(
        state.status(),
        InstanceStatus::PendingDelete | InstanceStatus::Deleting
    );
    if leaving && sighting.is_some() && is_behind(row, sighting) {
        // The deletion is still on its way, or lost. Which of them, the lease of its operation tells:
        // while it lives the database refuses this step.
        observation.steps = Reason::new("remove_failed", DELETION_LOST)
            .map(InstanceState::error)
            .into_iter()
            .collect();
    }
    Ok((state, observation))
}

/// How the operation that made the view's generation ended.
fn result_of(view: &ToolView) -> OperationResult {
    if view.phase == Phase::Error || view.update_failed {
        let reason = reason_of(view);
        OperationResult::failed(reason.code(), reason.message())
    } else {
        OperationResult::succeeded()
    }
}

/// What is to be recorded of a settled sighting; none when the row tells it already.
/// With `operation`, its end is recorded in any case.
fn record_of<'a>(
    row: &'a InstanceRow,
    sighting: Sighting<'a>,
    operation: Option<OperationId>,
    request_id: &'a str,
    now: &'a str,
) -> Result<Option<RecordState<'a>>, BadRow> {
    let behind = is_behind(row, sighting);
    let rolled_back = !behind && sighting.is_some_and(|view| view.rolled_back);
    // Whether there is a way back, the database knows of the operation that made the generation; where that is not
    // ours, the agent's heartbeat tells it.
    if sighting.is_some_and(|view| !view.settled) || rolled_back && operation.is_none() {
        return Ok(None);
    }
    let (_, observation) = look(row, sighting)?;
    let result = match sighting {
        Some(view) if !behind => Some(result_of(view)),
        // Nothing is left of what was to be deleted, or of what was to be stopped.
        None if observation.row_gone || operation.is_some() => {
            let reason = observation.steps.last().and_then(InstanceState::reason);
            Some(reason.map_or_else(OperationResult::succeeded, |reason| {
                OperationResult::failed(reason.code(), reason.message())
            }))
        }
        _ => None,
    };
    let differs = sighting.is_some_and(|view| {
        view.container_id != row.container_id
            || view.image_digest != row.image_digest
            || view.ports != row.port_mapping_json
    });
    let news = !observation.steps.is_empty() || observation.row_gone || differs;
    if operation.is_none() && !news {
        return Ok(None);
    }
    let generation = sighting
        .map_or(0, |view| view.generation)
        .max(row.generation);
    Ok(Some(RecordState {
        instance_id: row.id,
        generation,
        operation_id: operation,
        request_id,
        actor_kind: "agent",
        expected_status: &row.status_on_toolbox,
        steps: observation.steps.iter().map(RecordStep::from).collect(),
        observed: sighting.map(|view| ObservedRow {
            container_id: view.container_id.as_deref(),
            image_digest: view.image_digest.as_deref(),
            ports: &view.ports,
            observed_at: now,
            view_version: view.version,
        }),
        operation_result: result,
        restore_previous_spec: rolled_back,
        restore_previous_desired: false,
        remove_row: observation.row_gone,
    }))
}

/// Whether [`record`] would write anything, without an operation.
pub(crate) fn is_news(row: &InstanceRow, sighting: Sighting<'_>) -> bool {
    matches!(record_of(row, sighting, None, "", ""), Ok(Some(_)))
}

/// Whether what was seen may be decided again on a row that has moved. That an agent shows nothing has no version, so what
/// moved the row may be later: it counts only for what is to go, and as the end of an operation of our own.
fn may_decide_again(
    now: &InstanceRow,
    sighting: Sighting<'_>,
    operation: Option<OperationId>,
) -> bool {
    sighting.is_some() || operation.is_some() || is_leaving(now).unwrap_or(false)
}

/// Records a settled sighting. None: there was nothing to record, or the row has moved on.
/// `Some(None)`: the row is gone.
pub(crate) async fn record(
    app: &App,
    row: &InstanceRow,
    sighting: Sighting<'_>,
    operation: Option<OperationId>,
    request_id: &str,
) -> Result<Option<Option<Box<InstanceRow>>>, DatabaseError> {
    let mut moved: Option<Box<InstanceRow>> = None;
    for _ in 0..RECORD_ATTEMPTS {
        let row = moved.as_deref().unwrap_or(row);
        let now = app.timestamp();
        let bad_row = |_: BadRow| DatabaseError::BadResponse {
            status: 200,
            code: "bad_row".to_owned(),
        };
        let record = record_of(row, sighting, operation, request_id, &now).map_err(bad_row)?;
        let Some(record) = record else {
            return Ok(None);
        };
        match app.supabase.record(&record).await? {
            Recorded::Written(row) => return Ok(Some(row)),
            Recorded::NotFound => return Ok(Some(None)),
            // Another observer was quicker; its steps are not to be walked twice.
            Recorded::Stale(now)
                if now.generation == row.generation
                    && now.status_on_toolbox != row.status_on_toolbox
                    && may_decide_again(&now, sighting, operation) =>
            {
                moved = Some(now);
            }
            Recorded::Stale(_) => return Ok(None),
        }
    }
    Ok(None)
}

/// The state to show: what the agent shows, unless it is behind a command that is under way.
fn shown_state(row: &InstanceRow, sighting: Sighting<'_>) -> Result<(InstanceState, bool), BadRow> {
    let (state, observation) = look(row, sighting)?;
    if is_behind(row, sighting) && is_under_way(state.status()) {
        return Ok((state, false));
    }
    if let Observed::Failed(reason) = observed(sighting) {
        return Ok((InstanceState::error(reason), true));
    }
    // What runs is not what was asked for, and the error says so.
    let rolled_back = sighting.is_some_and(|view| view.rolled_back);
    if rolled_back && state.status() == InstanceStatus::Error {
        return Ok((state, true));
    }
    Ok((
        observation.steps.into_iter().next_back().unwrap_or(state),
        true,
    ))
}

/// An instance as callers see it. `sighting` is none when the agent did not answer.
pub(crate) fn view(
    row: InstanceRow,
    sighting: Option<OwnSighting>,
    now: &Moment,
) -> Result<ToolInstanceView, BadRow> {
    let (state, is_live) = match &sighting {
        Some(sighting) => shown_state(&row, sighting.as_deref())?,
        None => (row.state()?, false),
    };
    let seen_at = row.last_observed_at.as_ref().unwrap_or(&row.updated_at);
    let age = if is_live {
        Some(0)
    } else {
        time::parse(seen_at).map(|seen| now.since_epoch.saturating_sub(seen).as_secs())
    };
    let mut instance = ToolInstanceView {
        id: row.id,
        instance_name_on_toolbox: row.instance_name_on_toolbox,
        status_on_toolbox: state.status().as_str().to_owned(),
        desired_status: row.desired_status,
        error: state.reason().map(|reason| dtma::Reason {
            code: reason.code().to_owned(),
            message: reason.message().to_owned(),
        }),
        instance_error_message: state.reason().map(|reason| reason.message().to_owned()),
        tool_catalog_id: row.tool_catalog_id,
        container_id: row.container_id,
        container_name: row.container_name,
        image: row.docker_image_url.unwrap_or_default(),
        image_digest: row.image_digest,
        version: row.version,
        ports: row.port_mapping_json,
        transport: row.mcp_transport_type,
        endpoint_path: row.mcp_endpoint_path,
        generation: row.generation,
        state_source: if is_live {
            StateSource::Live
        } else {
            StateSource::LastKnown
        },
        state_observed_at: if is_live {
            Some(now.text.clone())
        } else {
            row.last_observed_at
        },
        state_age_seconds: age,
        live: None,
        unknown_since: None,
        mcp: row.mcp_health,
        created_at: row.created_at,
        updated_at: row.updated_at,
    };
    match sighting {
        None => {}
        Some(None) => instance.container_id = None,
        Some(Some(view)) => {
            instance.container_id = view.container_id;
            instance.image_digest = view.image_digest;
            instance.ports = view.ports;
            instance.live = Some(LiveState {
                phase: view.phase,
                settled: view.settled,
                progress: view.progress,
                reason: view.reason,
                exit_code: view.exit_code,
                restart_count: view.restart_count,
                started_at: view.started_at,
                update_failed: view.update_failed,
            });
        }
    }
    Ok(instance)
}

/// An instance as it was last known, because the agent of `toolbox` did not answer.
pub(crate) fn last_known(
    row: InstanceRow,
    toolbox: &EnvironmentRow,
    now: &Moment,
) -> Result<ToolInstanceView, BadRow> {
    let mut instance = view(row, None, now)?;
    instance
        .unknown_since
        .clone_from(&toolbox.unresponsive_since);
    // A heartbeat confirms what it does not contradict, without a write to the row.
    let heard = toolbox.last_heartbeat_at.as_deref();
    let age = heard
        .and_then(time::parse)
        .map(|heard| now.since_epoch.saturating_sub(heard).as_secs());
    if age.is_some()
        && instance
            .state_age_seconds
            .is_none_or(|known| age < Some(known))
    {
        instance.state_age_seconds = age;
        instance.state_observed_at = heard.map(str::to_owned);
    }
    Ok(instance)
}
