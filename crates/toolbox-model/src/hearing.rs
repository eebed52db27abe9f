//! What the control plane makes of a heartbeat.

use toolbox_domain::lifecycle::{
    Desired, EnvironmentStatus, InstanceStatus, Seen, View, environment_can_transition,
};

use crate::control::{self, Entry, is_news, is_overtaken};
use crate::rules::Rules;
use crate::state::{Broken, Generation, News, PerInstance, Report, Row, Stamp, State};
use crate::views;

/// Answer of a heartbeat: what is desired of each instance, as far as the digest tells.
pub type Digest = PerInstance<Option<(Generation, Desired)>>;

/// What is made of a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Nothing is to be recorded of it.
    Recorded(Digest),
    /// It counts as replayed.
    Replayed,
    /// What is to be recorded before it is answered.
    News(News),
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
    state.heard = state.heard.max(stamp);
    toolbox_reported(state);
    let rows: PerInstance<_> = std::array::from_fn(|instance| match reports[instance] {
        Some(report) => compare(state, rules, instance, report),
        None if full => miss(state, rules, instance),
        None => None,
    });
    if rows == PerInstance::default() {
        return Heard::Recorded(digest(state));
    }
    Heard::News(News { rows, replayed })
}

/// What is desired of each instance.
pub fn digest(state: &State) -> Digest {
    std::array::from_fn(|i| {
        let row = state.rows[i].as_ref();
        row.map(|row| (row.generation, row.desired))
    })
}

/// The row, if the report may change it.
fn compare(
    state: &mut State,
    rules: &Rules,
    instance: usize,
    report: Report,
) -> Option<(Generation, Option<InstanceStatus>)> {
    let row = state.rows[instance].as_mut()?;
    if report.generation < row.generation && rules.stale_reports_are_ignored {
        return None;
    }
    if is_news(row, report) {
        // A view is decided again on whatever the row is then.
        let is_absence = report.phase.is_none();
        return Some((row.generation, is_absence.then_some(row.state.status())));
    }
    if let Some(version) = report
        .version
        .filter(|version| !is_overtaken(row, rules, Some(*version)))
    {
        if rules.views_without_news_count {
            row.view = Some(version);
        }
        views::note_told(state, instance, version);
    }
    None
}

/// The row, if a full heartbeat should name the instance and does not.
fn miss(
    state: &State,
    rules: &Rules,
    instance: usize,
) -> Option<(Generation, Option<InstanceStatus>)> {
    use InstanceStatus as S;
    let row = state.rows[instance].as_ref()?;
    let status = row.state.status();
    let is_leaving = row.desired == Desired::Absent
        || matches!(status, S::PendingDelete | S::Deleting | S::Error);
    let is_as_desired = status == S::Stopped && row.desired == Desired::Stopped;
    let counts = !is_leaving || !rules.removal_needs_the_deletion_confirmed;
    (counts && !is_as_desired).then_some((row.generation, Some(status)))
}

/// What a heartbeat tells is decided and recorded: `record_reports`.
pub fn record_news(
    state: &mut State,
    rules: &Rules,
    news: News,
    reports: &PerInstance<Option<Report>>,
) {
    let before = news.replayed.then(|| shown(state));
    for (instance, row) in news.rows.into_iter().enumerate() {
        let Some((generation, status)) = row else {
            continue;
        };
        let report = reports[instance];
        let mut seen = control::seen_of(report);
        if report.is_none() && !rules.removal_needs_the_deletion_confirmed {
            seen = Seen::Gone {
                generation: generation.into(),
            };
        }
        if !rules.stale_reports_are_ignored {
            match &mut seen {
                Seen::View(View { generation: of, .. }) | Seen::Gone { generation: of } => {
                    *of = generation.into();
                }
                Seen::Missing => {}
            }
        }
        let entry = Entry {
            seen,
            version: report.and_then(|r| r.version),
            generation,
            status,
            own: None,
        };
        control::record(state, rules, instance, entry);
    }
    if before.is_some_and(|rows| rows != shown(state)) {
        state.break_with(Broken::ReplayChanged);
    }
}

/// The rows, as far as users see them.
fn shown(state: &State) -> PerInstance<Option<Row>> {
    let shown = |row: Row| Row { view: None, ..row };
    state.rows.clone().map(|row| row.map(shown))
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
