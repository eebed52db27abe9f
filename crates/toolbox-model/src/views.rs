//! Versions of views: they order what is seen of an instance, on whichever way it comes.
//!
//! The agent counts its views over all instances. As only those of one instance are ever compared, each has a count of
//! its own here, and a state keeps of the numbers only what can still make a difference: see [`renumber`].

use crate::heartbeat;
use crate::state::{Answer, Message, Report, SLOTS, State};

/// `ViewVersion`. Those of different runs of the agent cannot be compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version {
    /// The run.
    pub run: u8,
    /// Grows with each view of the run.
    pub number: u8,
}

impl Version {
    /// Of the first view after the agent was started again.
    #[must_use]
    pub const fn of_next_run(self) -> Self {
        Self {
            run: self.run + 1,
            number: 0,
        }
    }

    /// `private.is_overtaken`.
    pub fn is_before(self, last: Self) -> bool {
        self.run == last.run && self.number < last.number
    }
}

/// The control plane was told of this view.
pub fn note_told(state: &mut State, instance: usize, version: Version) {
    let last = &mut state.history[instance].last_view;
    let is_late = last.is_some_and(|last| version.is_before(last));
    *last = last.filter(|_| is_late).or(Some(version));
}

impl Report {
    /// What is worth telling at once: `control/report.rs::measure`.
    #[must_use]
    pub const fn lasting(self) -> Self {
        Self {
            version: None,
            ..self
        }
    }
}

/// What is published of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    view: Option<Report>,
    decided: bool,
}

/// What is published of an instance now.
pub fn published(state: &State, instance: usize) -> Published {
    Published {
        view: heartbeat::view(state, instance).map(Report::lasting),
        decided: state.agent.tasks[instance].decided,
    }
}

/// A view that differs from the one before has a version of its own: `dtma/src/instances/task.rs::publish`.
pub fn publish(state: &mut State, instance: usize, before: Published) {
    let now = published(state, instance);
    if now.view.is_some() && now != before {
        state.agent.versions[instance].number += 1;
    }
}

/// Counts runs, and views in each, from 0 without gaps, and forgets which view was applied last unless an earlier one is
/// still on its way: the agent never sends one again that is earlier than its present one. So only the order of what is
/// on its way is left, and states stay few and finite.
pub fn renumber(state: &mut State) {
    for instance in 0..SLOTS {
        let mut known: Vec<Version> = on_their_way(state, instance).map(|v| *v).collect();
        let matters = |last: &Version| known.iter().any(|v| v.is_before(*last));
        let last = &mut state.history[instance].last_view;
        *last = last.filter(|last| state.rows[instance].is_some() && matters(last));
        if let Some(row) = &mut state.rows[instance] {
            row.view = row.view.filter(matters);
        }
        if known.is_empty() {
            state.agent.versions[instance] = Version::default();
            continue;
        }
        known.extend(kept(state, instance).map(|v| *v));
        known.sort_unstable();
        known.dedup();
        let mut next = Version::default();
        let mut numbered = Vec::with_capacity(known.len());
        for (at, version) in known.iter().enumerate() {
            if at > 0 && known[at - 1].run == version.run {
                next.number += 1;
            } else if at > 0 {
                next = next.of_next_run();
            }
            numbered.push(next);
        }
        let renumber = |version: &mut Version| {
            if let Ok(at) = known.binary_search(version) {
                *version = numbered[at];
            }
        };
        kept(state, instance).for_each(renumber);
        on_their_way(state, instance).for_each(renumber);
    }
}

/// The versions that the agent and the row of an instance hold.
fn kept(state: &mut State, instance: usize) -> impl Iterator<Item = &mut Version> {
    let row = state.rows[instance].as_mut().and_then(|r| r.view.as_mut());
    (row.into_iter())
        .chain(&mut state.history[instance].last_view)
        .chain([&mut state.agent.versions[instance]])
}

/// The versions of an instance's views that are on their way.
fn on_their_way(state: &mut State, instance: usize) -> impl Iterator<Item = &mut Version> {
    let reports = state.network.iter_mut().filter_map(move |m| match m {
        Message::Heartbeat { reports, .. } | Message::News { reports, .. } => {
            reports[instance].as_mut()
        }
        Message::Answer {
            instance: of,
            answer: Answer::View(report),
            ..
        } if *of == instance => Some(report),
        Message::Drift {
            instance: of, seen, ..
        } if *of == instance => seen.as_mut(),
        _ => None,
    });
    reports.filter_map(|r| r.version.as_mut())
}
