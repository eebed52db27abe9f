//! What the control plane makes of a heartbeat.

use toolbox_domain::lifecycle::{
    Desired, EnvironmentStatus, Observed, environment_can_transition, observe,
};

use crate::control::{
    abandon, apply_steps, apply_view, close, is_failure, is_news, is_overtaken, remove, settle_spec,
};
use crate::rules::Rules;
use crate::state::{Broken, Generation, PerInstance, Report, Row, Stamp, State};
use crate::views;

/// Answer of a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Recorded; what is desired of each instance, as far as the digest tells.
    Recorded(PerInstance<Option<(Generation, Desired)>>),
    /// It counts as replayed.
    Replayed,
}

/// `record_heartbeat`.
pub fn hear(
    state: &mut State,
    rules: &Rules,
    stamp: Stamp,
    full: bool,
    reports: &PerInstance<Option<Report>>,
) -> Heard {
    let replayed = stamp <= state.heard;
    if replayed && rules.replayed_heartbeats_are_refused {
        return Heard::Replayed;
    }
    let before = replayed.then(|| shown(state));
    state.heard = state.heard.max(stamp);
    toolbox_reported(state);
    for (instance, report) in reports.iter().enumerate() {
        match report {
            Some(report) => hear_report(state, rules, instance, *report),
            None if full => hear_omission(state, rules, instance),
            None => {}
        }
    }
    if before.is_some_and(|rows| rows != shown(state)) {
        state.break_with(Broken::ReplayChanged);
    }
    Heard::Recorded(std::array::from_fn(|i| {
        state.rows[i].as_ref().map(|r| (r.generation, r.desired))
    }))
}

/// The rows, as far as users see them.
fn shown(state: &State) -> PerInstance<Option<Row>> {
    let shown = |row: Row| Row { view: None, ..row };
    state.rows.clone().map(|row| row.map(shown))
}

fn hear_report(state: &mut State, rules: &Rules, instance: usize, report: Report) {
    let Some(row) = &mut state.rows[instance] else {
        return;
    };
    if report.generation < row.generation && rules.stale_reports_are_ignored {
        abandon(row);
        return;
    }
    if is_overtaken(row, rules, Some(report)) {
        return;
    }
    if let Some(version) = report.version.filter(|_| !is_news(row, report)) {
        if rules.views_without_news_count {
            row.view = Some(version);
        }
        views::note_told(state, instance, version);
        return;
    }
    let ends = report.settled && row.operation.is_some();
    if !ends {
        abandon(row);
    }
    let is_gone = report.phase.is_none();
    if is_gone && row.desired != Desired::Absent && row.operation.is_some() {
        // What is to come may still be on its way.
        return;
    }
    let shown = settle_spec(row, rules, Some(report));
    let observation = observe(&row.state, &shown, row.desired);
    apply_view(state, instance, Some(report), observation.steps);
    if ends {
        close(state, instance, !is_failure(report));
    }
    if observation.row_gone {
        remove(state, instance);
    }
}

/// A full heartbeat does not name the instance.
fn hear_omission(state: &mut State, rules: &Rules, instance: usize) {
    let Some(row) = &mut state.rows[instance] else {
        return;
    };
    // It ends no operation: it may be older than the command.
    abandon(row);
    if row.operation.is_some() {
        return;
    }
    let observation = observe(&row.state, &Observed::Absent, row.desired);
    if observation.row_gone && rules.removal_needs_the_deletion_confirmed {
        return;
    }
    apply_steps(state, instance, observation.steps);
    if observation.row_gone {
        remove(state, instance);
    }
}

/// The toolbox is heard of.
fn toolbox_reported(state: &mut State) {
    let path: &[EnvironmentStatus] = match state.toolbox {
        EnvironmentStatus::Provisioning => &[
            EnvironmentStatus::AwaitingHeartbeat,
            EnvironmentStatus::Active,
        ],
        EnvironmentStatus::AwaitingHeartbeat | EnvironmentStatus::Unresponsive => {
            &[EnvironmentStatus::Active]
        }
        _ => &[],
    };
    for to in path {
        move_toolbox(state, *to);
    }
}

/// `private.mark_silent_toolboxes`.
pub fn mark_silent(state: &mut State) {
    if state.toolbox == EnvironmentStatus::Active {
        move_toolbox(state, EnvironmentStatus::Unresponsive);
    }
}

fn move_toolbox(state: &mut State, to: EnvironmentStatus) {
    if !environment_can_transition(state.toolbox, to) {
        state.break_with(Broken::IllegalToolboxTransition);
    }
    state.toolbox = to;
}
