//! An instance as callers see it.

use toolbox_api::dtma::{self, ToolView};
use toolbox_api::edge::{LiveState, StateSource, ToolInstanceView};
use toolbox_api::moment::{self, Moment};
use toolbox_clients::supabase::rows::{BadRow, EnvironmentRow, InstanceRow};
use toolbox_domain::lifecycle::{InstanceState, InstanceStatus, Observed};

use crate::observation::Observation;

const fn is_transitional(status: InstanceStatus) -> bool {
    !matches!(
        status,
        InstanceStatus::Running | InstanceStatus::Stopped | InstanceStatus::Error
    )
}

/// The state to show, and whether it is the agent's: it is the row's while the agent is behind a command that is under way.
fn shown_state(
    row: &InstanceRow,
    observation: &Observation,
) -> Result<(InstanceState, bool), BadRow> {
    let known = row.known()?;
    let seen = observation.seen(row);
    if seen.is_behind(known.generation) && is_transitional(known.state.status()) {
        return Ok((known.state, false));
    }
    // The earlier version runs again. That is not what was asked for, so the error stays.
    let is_failed = matches!(seen.observed(), Observed::Failed(_));
    let rolled_back = observation.view().is_some_and(|view| view.rolled_back);
    if rolled_back && !is_failed && known.state.status() == InstanceStatus::Error {
        return Ok((known.state, true));
    }
    let last = known.observe(&seen).steps.pop();
    Ok((last.unwrap_or(known.state), true))
}

/// An instance whose agent answered.
pub(crate) fn live(
    row: InstanceRow,
    observation: Observation,
    now: &Moment,
) -> Result<ToolInstanceView, BadRow> {
    let (state, is_live) = shown_state(&row, &observation)?;
    let mut instance = of_row(row, &state, is_live, now);
    match observation {
        Observation::Gone | Observation::Missing => instance.container_id = None,
        Observation::View(view) => show(&mut instance, *view),
        // It says no more than the status.
        Observation::Docker(_) => {}
    }
    Ok(instance)
}

/// An instance after a change. Without `view`, what the row says is all that is known.
pub(crate) fn after_change(
    row: InstanceRow,
    view: Option<&ToolView>,
    now: &Moment,
) -> Result<ToolInstanceView, BadRow> {
    match view {
        Some(view) => live(row, view.clone().into(), now),
        None => of_row_alone(row, now),
    }
}

/// An instance as it was last known, because the agent of `toolbox` did not answer.
pub(crate) fn last_known(
    row: InstanceRow,
    toolbox: &EnvironmentRow,
    now: &Moment,
) -> Result<ToolInstanceView, BadRow> {
    let mut instance = of_row_alone(row, now)?;
    instance
        .unknown_since
        .clone_from(&toolbox.unresponsive_since);
    let confirmed = toolbox.instances_confirmed_at.as_deref();
    let age = confirmed.and_then(|confirmed| age(confirmed, now));
    if age.is_some()
        && instance
            .state_age_seconds
            .is_none_or(|known| age < Some(known))
    {
        instance.state_age_seconds = age;
        instance.state_observed_at = confirmed.map(str::to_owned);
    }
    Ok(instance)
}

fn of_row_alone(row: InstanceRow, now: &Moment) -> Result<ToolInstanceView, BadRow> {
    let state = row.state()?;
    Ok(of_row(row, &state, false, now))
}

/// Seconds since `then`; none when that is no time.
fn age(then: &str, now: &Moment) -> Option<u64> {
    let then = moment::parse(then)?;
    Some(now.since_epoch.saturating_sub(then).as_secs())
}

fn of_row(
    row: InstanceRow,
    state: &InstanceState,
    is_live: bool,
    now: &Moment,
) -> ToolInstanceView {
    let observed_at = row.last_observed_at.as_ref().unwrap_or(&row.updated_at);
    let state_age_seconds = if is_live {
        Some(0)
    } else {
        age(observed_at, now)
    };
    ToolInstanceView {
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
        state_age_seconds,
        live: None,
        unknown_since: None,
        mcp: row.mcp_health,
        mcp_pinned_fingerprint: row.mcp_pinned_fingerprint,
        mcp_pin_pending: row.mcp_pin_due_at.is_some(),
        created_at: row.created_at,
        updated_at: row.updated_at,
    }
}

/// Adds what only the agent knows.
fn show(instance: &mut ToolInstanceView, view: ToolView) {
    instance.container_id = view.container_id;
    instance.image_digest = view.image_digest;
    instance.ports = view.ports;
    // An older agent does not say it here, and its heartbeats do.
    if view.mcp.is_some() {
        instance.mcp = view.mcp;
    }
    instance.live = Some(LiveState {
        phase: view.phase,
        settled: view.settled,
        progress: view.progress,
        reason: view.reason,
        health: view.health,
        exit_code: view.exit_code,
        restart_count: view.restart_count,
        started_at: view.started_at,
        update_failed: view.update_failed,
    });
}
