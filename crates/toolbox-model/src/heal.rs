//! What is looked at after each event, and what follows once faults end.
//!
//! From every state, faults and users' commands may end. Then what is left happens in one fair order, memoryless, so
//! that a state that was seen to heal need not be followed again. It must lead to a state where nothing is under way
//! and desired, observed and recorded state agree, and that a further full heartbeat leaves as it is. As every state
//! that can be reached is looked at, each set of states that faultless events never leave holds such a state.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use stateright::Model;
use toolbox_domain::lifecycle::{Desired, InstanceStatus, Request};

use crate::agent;
use crate::heartbeat;
use crate::model::{Event, Toolbox};
use crate::state::{Broken, Fetch, Left, Message, Phase, SLOTS, Spec, State};

/// Stands for a state; two of millions are the same with a chance of one in a million.
pub(crate) type Fingerprint = u64;

pub(crate) fn fingerprint(state: &State) -> Fingerprint {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(state)
}

/// No way to a healed state is nearly as long.
const STEPS: usize = 400;

/// What was asked of the instance is so in Docker.
fn is_so(state: &State, instance: usize, action: Request, spec: Spec) -> bool {
    let docker = &state.docker[instance];
    match action {
        Request::Deploy | Request::Update => {
            docker.all().any(|c| c.running && c.release.spec == spec)
        }
        Request::Start => docker.running() > 0,
        // See `note_start`.
        Request::Restart => false,
        Request::Stop => docker.running() == 0,
        // A container that Docker is late to make may still appear; it never runs, and healing includes its removal.
        Request::Delete => docker.running() == 0 && state.agent.disk[instance].is_none(),
    }
}

/// A container of the instance was started: that is what restarts since then have asked for.
pub(crate) fn note_start(state: &mut State, instance: usize) {
    let operation = state.rows[instance]
        .as_mut()
        .and_then(|r| r.operation.as_mut());
    if let Some(operation) = operation.filter(|o| o.action == Request::Restart) {
        operation.seen = true;
    }
    for worker in &mut state.workers {
        worker.seen |= worker.instance == instance && worker.action == Request::Restart;
    }
}

/// Notes for each operation and worker that what it asked for has been seen.
pub(crate) fn note_what_is_seen(state: &mut State) {
    for instance in 0..SLOTS {
        let Some(row) = &state.rows[instance] else {
            continue;
        };
        let Some(operation) = row.operation.filter(|o| !o.seen) else {
            continue;
        };
        let seen = is_so(state, instance, operation.action, row.spec);
        let row = state.rows[instance].as_mut();
        if let Some(operation) = row.and_then(|r| r.operation.as_mut()) {
            operation.seen = seen;
        }
    }
    for at in 0..state.workers.len() {
        let w = &state.workers[at];
        let seen = w.seen || is_so(state, w.instance, w.action, w.spec);
        state.workers[at].seen = seen;
    }
}

/// Nothing of an instance whose row was removed may appear. A container that Docker finishes late may be there until
/// the agent has seen it, but never runs.
pub(crate) fn check_deleted(state: &mut State) {
    for instance in 0..SLOTS {
        let wanted = |r: crate::state::Record| r.desired != Desired::Absent;
        let is_back = state.rows[instance].is_some()
            || state.docker[instance].running() > 0
            || state.agent.disk[instance].is_some_and(wanted);
        if state.history[instance].removed && is_back {
            state.break_with(Broken::CameBack);
        }
    }
}

/// Desired, observed and recorded state agree, and nothing is under way.
pub fn is_healed(state: &State) -> bool {
    (0..SLOTS).all(|i| {
        let (row, record, docker) = (&state.rows[i], &state.agent.disk[i], &state.docker[i]);
        let (Some(row), Some(record)) = (row, record) else {
            return row.is_none() && record.is_none() && docker.is_empty();
        };
        let task = state.agent.tasks[i];
        // An update of what is stopped is tried at its next start.
        let spec = record.next.unwrap_or(record.current).spec;
        // What was rolled back is not as desired, and the row says why.
        let is_rolled_back =
            record.rolled_back && row.state.status() == InstanceStatus::Error && row.spec != spec;
        let agree = (row.generation, row.desired) == (record.generation, record.desired)
            && (row.spec == spec || is_rolled_back);
        let observed = match (task.phase, row.desired) {
            (Phase::Running, Desired::Running) if is_rolled_back => docker.running() == 1,
            (Phase::Running, Desired::Running) => {
                let runs = |c: crate::state::Container| c.running && c.release == record.current;
                row.state.status() == InstanceStatus::Running
                    && docker.all().count() == 1
                    && docker.all().all(runs)
            }
            (Phase::Stopped, Desired::Stopped) => {
                row.state.status() == InstanceStatus::Stopped && docker.running() == 0
            }
            (Phase::Error, Desired::Running) => row.state.status() == InstanceStatus::Error,
            _ => false,
        };
        let settled = task.settled && !agent::has_work(state, i) && row.operation.is_none();
        agree && observed && settled && docker.late.is_none()
    })
}

/// Nothing is on its way.
fn is_quiet(model: &Toolbox, state: &State) -> bool {
    let pulse = &state.agent.pulse;
    state.network.is_empty()
        && state.workers.is_empty()
        && !pulse.waits
        && pulse.fetch == Fetch::Idle
        && !heartbeat::is_due(state, &model.rules)
}

/// The property: from this state everything heals, whether what is on its way arrives or is lost, and whether those who
/// wait live on or die. A loss and a death need no event of their own therefore: they are what never arrives, and who
/// never acts.
pub(crate) fn heals(model: &Toolbox, state: &State) -> bool {
    if state.broken.is_some() {
        return true;
    }
    let mut at = state.clone();
    // What faults were possible makes no difference when none happens.
    at.left = Left::default();
    endings(model, &at).all(|(_, start)| heals_from(model, start))
}

/// How the faults may end: with what is on its way and those who wait, or without.
fn endings(model: &Toolbox, state: &State) -> impl Iterator<Item = (&'static [Event], State)> {
    const ENDINGS: [&[Event]; 4] = [
        &[],
        &[Event::LoseAll],
        &[Event::GiveUp],
        &[Event::GiveUp, Event::LoseAll],
    ];
    ENDINGS.into_iter().filter_map(move |events| {
        let mut at = state.clone();
        for event in events {
            // An ending that changes nothing is one of the others.
            at = model.happen(&at, event)?;
        }
        Some((events, at))
    })
}

fn heals_from(model: &Toolbox, mut at: State) -> bool {
    let mut way: Vec<Fingerprint> = Vec::new();
    let verdict = loop {
        let here = fingerprint(&at);
        if let Some(known) = known(model, here) {
            break known;
        }
        if way.len() > STEPS || way.contains(&here) {
            break false;
        }
        way.push(here);
        if is_healed(&at) && is_quiet(model, &at) {
            break stays(model, &at);
        }
        let Some(next) = step(model, &at) else {
            break false;
        };
        if next.broken.is_some() {
            // Found as a state of its own, by its own property.
            break true;
        }
        at = next;
    };
    if let Ok(mut healed) = model.healed.lock() {
        healed.extend(way.into_iter().map(|f| (f, verdict)));
    }
    verdict
}

fn known(model: &Toolbox, state: Fingerprint) -> Option<bool> {
    model.healed.lock().ok()?.get(&state).copied()
}

/// The way from a state that does not heal, for a person to read.
pub fn way(model: &Toolbox, state: &State) -> Vec<Event> {
    let mut events = Vec::new();
    let mut at = state.clone();
    at.left = Left::default();
    let bad = endings(model, &at).find(|(_, start)| !heals_from(model, start.clone()));
    if let Some((ending, start)) = bad {
        events.extend(ending.iter().cloned());
        at = start;
    }
    for _ in 0..60 {
        if is_healed(&at) && is_quiet(model, &at) {
            break;
        }
        let Some((event, next)) = step_with_event(model, &at) else {
            break;
        };
        events.push(event);
        at = next;
    }
    events
}

/// A further full heartbeat changes nothing of a healed state.
fn stays(model: &Toolbox, state: &State) -> bool {
    let Some(mut at) = model.happen(state, &Event::Timer) else {
        return false;
    };
    for _ in 0..STEPS {
        if !is_healed(&at) || at.rows != state.rows {
            return false;
        }
        if is_quiet(model, &at) {
            return true;
        }
        let Some(next) = step(model, &at) else {
            return false;
        };
        at = next;
    }
    false
}

fn step(model: &Toolbox, state: &State) -> Option<State> {
    step_with_event(model, state).map(|(_, next)| next)
}

/// The next event when no fault happens any more: what is on its way arrives, then the agent works, then requests go
/// on, then the agent reports, and only what leads no further times out.
fn step_with_event(model: &Toolbox, state: &State) -> Option<(Event, State)> {
    let mut events = Vec::new();
    events.extend(state.network.iter().cloned().map(Event::Deliver));
    model.progress(state, &mut events);
    if !state.agent.pulse.full_due {
        events.push(Event::Timer);
    }
    events.push(Event::GiveUp);
    events.sort_by_key(|event| rank(state, event));
    events.into_iter().find_map(|event| {
        let next = model.next_state(state, event.clone())?;
        Some((event, next))
    })
}

fn rank(state: &State, event: &Event) -> u8 {
    match event {
        Event::Created(_) => 0,
        Event::Deliver(Message::Command { .. }) => 1,
        Event::Deliver(Message::Answer { .. } | Message::Drift { .. }) => 2,
        Event::Deliver(Message::Heartbeat { .. } | Message::News { .. }) => 3,
        Event::Fetch | Event::Apply => 4,
        Event::Adopt(_) | Event::Work(_) => 5,
        Event::TimeOut(_) => 6,
        Event::Poll(_) => 7,
        Event::Beat => 9,
        Event::GiveUp => 10,
        Event::LeaseEnds(_) if state.workers.is_empty() => 11,
        // Only when nothing else is left, because it can be repeated for ever.
        Event::Timer => 12,
        _ => 13,
    }
}
