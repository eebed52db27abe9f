//! The agent's heartbeat, and the desired state it fetches.

use toolbox_domain::lifecycle::Desired;

use crate::agent;
use crate::control;
use crate::hearing::{self, Heard};
use crate::rules::Rules;
use crate::state::{
    Broken, Command, Fetch, Message, News, PerInstance, Phase, Record, Report, SLOTS, Stamp, State,
    Wanted,
};

pub use crate::state::Pulse;

/// What a heartbeat tells of each instance.
type Reports = PerInstance<Option<Report>>;

/// Heartbeats on their way, those included whose sender has stopped waiting.
const IN_FLIGHT: usize = 2;

impl Pulse {
    /// After a start.
    pub const fn new(boot: u8) -> Self {
        Self {
            stamp: Stamp { boot, sequence: 0 },
            waits: false,
            full_due: true,
            told: [None; SLOTS],
            gone: [0; SLOTS],
            orphan: [false; SLOTS],
            fetch: Fetch::Idle,
        }
    }
}

/// The view of an instance that is held: `dtma/src/instances/view.rs`.
pub fn held(state: &State, instance: usize, record: Record) -> Report {
    let task = state.agent.tasks[instance];
    Report {
        generation: record.generation,
        desired: record.desired,
        phase: Some(task.phase),
        settled: task.settled,
        rolled_back: record.rolled_back,
        version: Some(state.agent.versions[instance]),
    }
}

/// The view of an instance, if the agent holds it.
pub fn view(state: &State, instance: usize) -> Option<Report> {
    state.agent.disk[instance].map(|record| held(state, instance, record))
}

/// What the agent would report of an instance now.
fn report(state: &State, rules: &Rules, instance: usize) -> Option<Report> {
    let pulse = &state.agent.pulse;
    let decided = state.agent.tasks[instance].decided || !rules.only_decided_views_are_reported;
    match view(state, instance) {
        _ if pulse.orphan[instance] => None,
        Some(view) => decided.then_some(view),
        None if pulse.gone[instance] > 0 => Some(Report {
            generation: pulse.gone[instance],
            desired: Desired::Absent,
            phase: None,
            settled: true,
            rolled_back: false,
            version: None,
        }),
        None => None,
    }
}

/// Whether something is to be told. What was told and not acknowledged is told again once it is lost; something new
/// does not wait for that.
pub fn is_due(state: &State, rules: &Rules) -> bool {
    let pulse = &state.agent.pulse;
    let news = |i| {
        let report = report(state, rules, i);
        report.is_some() && report.map(Report::lasting) != pulse.told[i]
    };
    let is_due = pulse.full_due && !is_undecided(state, rules) || (0..SLOTS).any(news);
    if !is_due || !pulse.waits {
        return is_due;
    }
    let (now_full, now) = heartbeat(state, rules);
    let is_on_its_way = |m: &Message| match m {
        Message::Heartbeat {
            stamp,
            full,
            reports,
        }
        | Message::News {
            stamp,
            full,
            reports,
            ..
        } => *stamp == pulse.stamp && *full == now_full && lasting(*reports) == lasting(now),
        _ => false,
    };
    !state.network.iter().any(is_on_its_way)
}

fn lasting(reports: Reports) -> Reports {
    reports.map(|report| report.map(Report::lasting))
}

/// The heartbeat that the agent would send now: whether it is full, and the reports.
fn heartbeat(state: &State, rules: &Rules) -> (bool, Reports) {
    let pulse = &state.agent.pulse;
    // A full one must name every instance that is held.
    let full = pulse.full_due && !is_undecided(state, rules);
    let reports = std::array::from_fn(|i| {
        report(state, rules, i).filter(|r| full || Some(r.lasting()) != pulse.told[i])
    });
    (full, reports)
}

/// An instance is held and cannot be told of yet.
fn is_undecided(state: &State, rules: &Rules) -> bool {
    (0..SLOTS).any(|i| {
        let hidden = report(state, rules, i).is_none() && state.agent.disk[i].is_some();
        hidden && !state.agent.pulse.orphan[i]
    })
}

/// Sends a heartbeat.
pub fn beat(state: &mut State, rules: &Rules) {
    state.agent.pulse.stamp.sequence += 1;
    state.agent.pulse.waits = true;
    let (full, reports) = heartbeat(state, rules);
    for (instance, report) in reports.iter().enumerate() {
        if report.is_some_and(|r| is_false(state, instance, r)) {
            state.break_with(Broken::FalseReport);
        }
    }
    state.send(Message::Heartbeat {
        stamp: state.agent.pulse.stamp,
        full,
        reports,
    });
    // What is in flight for long enough is lost.
    let is_heartbeat = |m: &Message| matches!(m, Message::Heartbeat { .. } | Message::News { .. });
    if state.network.iter().filter(|m| is_heartbeat(m)).count() > IN_FLIGHT
        && let Some(oldest) = state.network.iter().position(is_heartbeat)
    {
        state.network.remove(oldest);
    }
}

/// It says that a container is being made while it runs, as it should, and nobody does anything about it.
fn is_false(state: &State, instance: usize, report: Report) -> bool {
    state.agent.disk[instance].is_some_and(|record| {
        report.phase == Some(Phase::Preparing)
            && record.next.is_none()
            && record.desired == Desired::Running
            && state.docker[instance]
                .of(record.current)
                .is_some_and(|c| c.running && c.started >= record.restart)
    })
}

/// A heartbeat arrives; when its sender still waits, so does the answer. `late`: the record of its news is on its way for a while.
pub fn deliver(
    state: &mut State,
    rules: &Rules,
    stamp: Stamp,
    full: bool,
    reports: &PerInstance<Option<Report>>,
    late: bool,
) {
    match hearing::hear(state, rules, stamp, full, reports) {
        Heard::News(news) if late => state.send(Message::News {
            stamp,
            full,
            reports: *reports,
            news,
        }),
        Heard::News(news) => deliver_news(state, rules, stamp, full, reports, news),
        Heard::Recorded(desired) => {
            if is_waited_for(state, stamp) {
                acknowledged(state, rules, full, reports, desired);
            }
        }
        Heard::Replayed => {
            if is_waited_for(state, stamp)
                && rules.agent_catches_up_with_sequence
                && state.agent.pulse.stamp < state.heard
            {
                state.agent.pulse.stamp = Stamp {
                    boot: state.heard.boot + 1,
                    sequence: 0,
                };
            }
        }
    }
}

/// What a heartbeat tells is recorded, and the heartbeat answered. If that fails, the agent tells it again. It fails once a later
/// heartbeat was accepted.
pub fn deliver_news(
    state: &mut State,
    rules: &Rules,
    stamp: Stamp,
    full: bool,
    reports: &PerInstance<Option<Report>>,
    news: News,
) {
    if stamp < state.heard && rules.replayed_heartbeats_are_refused {
        // An answer all the same, if anybody waits for it.
        is_waited_for(state, stamp);
        return;
    }
    hearing::record_news(state, rules, news, reports);
    if is_waited_for(state, stamp) {
        let desired = hearing::digest(state);
        acknowledged(state, rules, full, reports, desired);
    }
}

/// Whether the agent waits for the answer to this heartbeat. If so, it has it now.
fn is_waited_for(state: &mut State, stamp: Stamp) -> bool {
    let pulse = &mut state.agent.pulse;
    let is_waited_for = pulse.waits && pulse.stamp == stamp;
    if is_waited_for {
        pulse.waits = false;
    }
    is_waited_for
}

fn acknowledged(
    state: &mut State,
    rules: &Rules,
    full: bool,
    reports: &PerInstance<Option<Report>>,
    desired: PerInstance<Option<(u8, Desired)>>,
) {
    for (instance, report) in reports.iter().enumerate() {
        let pulse = &mut state.agent.pulse;
        let Some(report) = report else { continue };
        if report.phase.is_none() {
            if pulse.gone[instance] == report.generation {
                pulse.gone[instance] = 0;
            }
        } else {
            pulse.told[instance] = Some(report.lasting());
            // `unknown`: the control plane has no such row.
            pulse.orphan[instance] = desired[instance].is_none();
        }
    }
    if full {
        state.agent.pulse.full_due = false;
    }
    let differs = (0..SLOTS).any(|i| !state.agent.pulse.orphan[i] && mine(state, i) != desired[i]);
    let fetch = &mut state.agent.pulse.fetch;
    if differs && *fetch == Fetch::Idle && rules.desired_state_is_fetched {
        *fetch = Fetch::Wanted;
    }
}

/// What the agent's digest says of an instance: what it holds, and what is gone and not acknowledged.
fn mine(state: &State, instance: usize) -> Option<(u8, Desired)> {
    let gone = state.agent.pulse.gone[instance];
    state.agent.disk[instance]
        .map(|record| (record.generation, record.desired))
        .or_else(|| (gone > 0).then_some((gone, Desired::Absent)))
}

/// `GET …/desired`.
pub fn fetch(state: &mut State, rules: &Rules) {
    state.agent.pulse.fetch = rest(control::desired_state(state, rules), 0);
}

/// What is left to be applied, from this instance on.
fn rest(desired: PerInstance<Option<Wanted>>, from: usize) -> Fetch {
    match (from..SLOTS).find(|i| desired[*i].is_some()) {
        Some(next) => Fetch::Applying(desired, next),
        None => Fetch::Idle,
    }
}

/// Applies the fetched state of one instance, through the commands that a user's request would use.
pub fn apply(state: &mut State, rules: &Rules) {
    let Fetch::Applying(desired, instance) = state.agent.pulse.fetch else {
        return;
    };
    state.agent.pulse.fetch = rest(desired, instance + 1);
    let Some(wanted) = desired[instance] else {
        return;
    };
    let held = state.agent.disk[instance];
    let is_same = held.is_some_and(|h| {
        h.generation > wanted.generation
            || (h.generation, h.desired) == (wanted.generation, wanted.desired)
    });
    // `dtma/src/control/desired.rs::apply_one`.
    if is_same {
        return;
    }
    let command = if wanted.desired == Desired::Absent {
        Command::Delete
    } else {
        Command::Put {
            desired: wanted.desired,
            spec: wanted.spec,
            restart: wanted.restart,
        }
    };
    // A refusal means that something newer is held.
    agent::accept(state, rules, instance, wanted.generation, command);
    if held.is_none() && wanted.desired == Desired::Absent {
        // Not held: it is told once that nothing is left.
        let gone = &mut state.agent.pulse.gone[instance];
        *gone = wanted.generation.max(*gone);
    }
}

/// Every stamp there is.
pub fn stamps(state: &State) -> Vec<Stamp> {
    let in_flight = state.network.iter().filter_map(|m| match m {
        Message::Heartbeat { stamp, .. } | Message::News { stamp, .. } => Some(*stamp),
        _ => None,
    });
    in_flight
        .chain([state.agent.pulse.stamp, state.heard])
        .collect()
}

/// Counts boots, and sequences in each, from 0 without gaps. Only their order matters, so nothing is lost, and states
/// stay finite.
pub fn renumber(state: &mut State) {
    let mut known = stamps(state);
    known.push(Stamp::default());
    known.sort_unstable();
    known.dedup();
    let mut numbered: Vec<Stamp> = Vec::with_capacity(known.len());
    for (at, stamp) in known.iter().enumerate() {
        let before = at.checked_sub(1).map(|b| (known[b], numbered[b]));
        numbered.push(match before {
            None => Stamp::default(),
            Some((old, new)) if old.boot == stamp.boot => Stamp {
                sequence: new.sequence + 1,
                ..new
            },
            Some((_, new)) => Stamp {
                boot: new.boot + 1,
                sequence: u8::from(stamp.sequence > 0),
            },
        });
    }
    let new = |stamp: &mut Stamp| {
        if let Ok(at) = known.binary_search(stamp) {
            *stamp = numbered[at];
        }
    };
    new(&mut state.heard);
    new(&mut state.agent.pulse.stamp);
    for message in &mut state.network {
        if let Message::Heartbeat { stamp, .. } | Message::News { stamp, .. } = message {
            new(stamp);
        }
    }
    state.network.sort_unstable();
}
