//! Every event that may happen, as stateright explores them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use stateright::{Model, Property};
use toolbox_domain::lifecycle::{EnvironmentStatus, Request};

use crate::rules::{Bounds, Rules};
use crate::state::{
    Agent, Answer, Docker, Fetch, History, Left, Message, PerInstance, SLOTS, Stage, Stamp, State,
};
use crate::{agent, control, heal, hearing, heartbeat, properties, views, worker};

/// The model.
#[derive(Clone, Debug)]
pub struct Toolbox {
    /// Rules that hold.
    pub rules: Rules,
    /// What may happen.
    pub bounds: Bounds,
    /// States that are known to end well, or not, once faults end.
    pub(crate) healed: Arc<Mutex<HashMap<heal::Fingerprint, bool>>>,
}

/// An event. Numbers name the instance, or the place of the worker, that it happens to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A user gives a command and the database accepts it.
    Begin(usize, Request),
    /// A message arrives.
    Deliver(Message),
    /// A message arrives, and will once more.
    Duplicate(Message),
    /// A heartbeat arrives, and the record of its news comes later.
    Delay(Message),
    /// Everything on its way is lost.
    LoseAll,
    /// The agent's machine refuses a worker's connection. An attempt before it may still be on its way.
    Refuse(usize),
    /// A worker stops waiting for the answer to its command, and asks from now on how it went.
    TimeOut(usize),
    /// The agent answers a worker that asks.
    Poll(usize),
    /// All workers end without a result: killed, or out of time.
    GiveUp,
    /// The lease of an instance's operation runs out.
    LeaseEnds(usize),
    /// Somebody reads the list; what is seen there is recorded later.
    Read(usize),
    /// The toolbox was silent for too long.
    Silence,
    /// The agent takes a step.
    Work(usize),
    /// The agent takes a step, and the version fails.
    WorkFails(usize),
    /// The agent's next step fails for a while, and the agent says so.
    StepFails(usize),
    /// The agent finds a container without a record.
    Adopt(usize),
    /// A heartbeat is sent.
    Beat,
    /// A full heartbeat is due.
    Timer,
    /// The agent fetches the desired state.
    Fetch,
    /// The agent applies what it has fetched, one instance at a time.
    Apply,
    /// The agent dies and starts again.
    Crash { loses_boot: bool },
    /// The agent dies while Docker makes a container for it.
    CrashWhileCreating(usize),
    /// Docker finishes that container.
    Created(usize),
    /// The running container ends by itself.
    Die(usize),
    /// The containers are removed by hand.
    Vanish(usize),
}

impl Toolbox {
    /// A model under these rules and bounds.
    pub fn new(rules: Rules, bounds: Bounds) -> Self {
        Self {
            rules,
            bounds,
            healed: Arc::default(),
        }
    }

    fn users(&self, state: &State, events: &mut Vec<Event>) {
        if state.left.commands == 0 {
            return;
        }
        for instance in 0..self.bounds.instances {
            for action in &self.bounds.actions {
                // Whether it is accepted is seen when it is tried.
                events.push(Event::Begin(instance, *action));
            }
        }
    }

    fn network(state: &State, events: &mut Vec<Event>) {
        for message in &state.network {
            events.push(Event::Deliver(message.clone()));
            if state.left.late > 0 && matches!(message, Message::Heartbeat { .. }) {
                events.push(Event::Delay(message.clone()));
            }
            let is_sent_twice =
                matches!(message, Message::Command { .. } | Message::Heartbeat { .. });
            if is_sent_twice && state.left.duplicates > 0 {
                events.push(Event::Duplicate(message.clone()));
            }
        }
    }

    /// Faults and users' events, which the bounds limit.
    fn faults(&self, state: &State, events: &mut Vec<Event>) {
        let left = state.left;
        for at in 0..state.workers.len() {
            if left.refusals > 0 && state.workers[at].stage == Stage::Telling {
                events.push(Event::Refuse(at));
            }
        }
        if left.silences > 0 && state.toolbox == EnvironmentStatus::Active {
            events.push(Event::Silence);
        }
        if left.timers > 0 && !state.agent.pulse.full_due {
            events.push(Event::Timer);
        }
        if left.crashes > 0 {
            events.push(Event::Crash { loses_boot: false });
            if self.bounds.dirty_crashes {
                events.push(Event::Crash { loses_boot: true });
            }
        }
        for instance in 0..self.bounds.instances {
            if left.reads > 0 && state.rows[instance].is_some() {
                events.push(Event::Read(instance));
            }
            if left.failures > 0 && agent::may_fail(state, instance) {
                events.push(Event::WorkFails(instance));
            }
            if left.step_failures > 0 && agent::has_work(state, instance) {
                events.push(Event::StepFails(instance));
            }
            if left.crashes > 0
                && self.bounds.dirty_crashes
                && agent::creation(state, instance).is_some()
            {
                events.push(Event::CrashWhileCreating(instance));
            }
            if left.accidents > 0 && state.docker[instance].running() > 0 {
                events.push(Event::Die(instance));
            }
            if left.accidents > 0 && state.docker[instance].all().next().is_some() {
                events.push(Event::Vanish(instance));
            }
        }
    }

    /// What goes on by itself, faults or not.
    pub(crate) fn progress(&self, state: &State, events: &mut Vec<Event>) {
        for at in 0..state.workers.len() {
            events.push(match state.workers[at].stage {
                Stage::Telling => Event::TimeOut(at),
                Stage::Polling => Event::Poll(at),
            });
        }
        for instance in 0..self.bounds.instances {
            let leased = |r: &crate::state::Row| r.operation.is_some_and(|o| o.leased);
            if state.rows[instance].as_ref().is_some_and(leased) {
                events.push(Event::LeaseEnds(instance));
            }
            if agent::has_work(state, instance) {
                events.push(Event::Work(instance));
            }
            if agent::may_adopt(state, instance) {
                events.push(Event::Adopt(instance));
            }
            if state.docker[instance].late.is_some() {
                events.push(Event::Created(instance));
            }
        }
        if heartbeat::is_due(state, &self.rules) {
            events.push(Event::Beat);
        }
        match state.agent.pulse.fetch {
            Fetch::Idle => {}
            Fetch::Wanted => events.push(Event::Fetch),
            Fetch::Applying(..) => events.push(Event::Apply),
        }
    }

    /// Carries an event out; none when it changes nothing.
    pub(crate) fn happen(&self, state: &State, event: &Event) -> Option<State> {
        let mut next = state.clone();
        let changed = self.network_event(&mut next, event)
            || self.worker_event(&mut next, event)
            || self.agent_event(&mut next, event);
        if !changed {
            return None;
        }
        heal::note_what_is_seen(&mut next);
        heal::check_deleted(&mut next);
        views::renumber(&mut next);
        heartbeat::renumber(&mut next);
        (next != *state).then_some(next)
    }

    fn network_event(&self, state: &mut State, event: &Event) -> bool {
        match event {
            Event::Deliver(message) => {
                state.network.retain(|m| m != message);
                self.deliver(state, message);
            }
            Event::Duplicate(message) => {
                state.left.duplicates -= 1;
                let waits = std::mem::take(&mut state.agent.pulse.waits);
                self.deliver(state, message);
                state.agent.pulse.waits = waits;
            }
            Event::Delay(message) => {
                let Message::Heartbeat {
                    stamp,
                    full,
                    reports,
                } = message
                else {
                    return false;
                };
                state.left.late -= 1;
                state.network.retain(|m| m != message);
                let before = state.network.len();
                heartbeat::deliver(state, &self.rules, *stamp, *full, reports, true);
                // Without news it is as if it were on time.
                return state.network.len() > before;
            }
            Event::LoseAll => state.network.clear(),
            _ => return false,
        }
        true
    }

    fn deliver(&self, state: &mut State, message: &Message) {
        match message {
            Message::Command {
                instance,
                generation,
                command,
            } => {
                let answer = agent::accept(state, &self.rules, *instance, *generation, *command);
                self.answer(state, *instance, *generation, answer);
            }
            Message::Answer {
                instance,
                generation,
                answer,
            } => {
                if let Some(at) = worker::find(state, *instance, *generation) {
                    worker::answered(state, &self.rules, at, *answer);
                }
            }
            Message::Heartbeat {
                stamp,
                full,
                reports,
            } => heartbeat::deliver(state, &self.rules, *stamp, *full, reports, false),
            Message::News {
                stamp,
                full,
                reports,
                news,
            } => heartbeat::deliver_news(state, &self.rules, *stamp, *full, reports, *news),
            Message::Drift {
                instance,
                generation,
                seen,
                absent_from,
            } => {
                let (rules, from) = (&self.rules, *absent_from);
                control::record_drift(state, rules, *instance, *generation, *seen, from);
            }
        }
    }

    /// Sends an answer, if somebody waits for it.
    #[allow(clippy::unused_self, reason = "reads as its siblings do")]
    fn answer(&self, state: &mut State, instance: usize, generation: u8, answer: Answer) {
        let waits = worker::find(state, instance, generation)
            .is_some_and(|at| state.workers[at].stage == Stage::Telling);
        if waits {
            state.send(Message::Answer {
                instance,
                generation,
                answer,
            });
        }
    }

    fn worker_event(&self, state: &mut State, event: &Event) -> bool {
        match *event {
            Event::Begin(instance, action) => {
                if !control::begin(state, instance, action) {
                    return false;
                }
                state.left.commands -= 1;
                let last = state.workers.len() - 1;
                worker::tell(state, last);
            }
            Event::Refuse(at) => {
                state.left.refusals -= 1;
                worker::answered(state, &self.rules, at, Answer::Refused);
            }
            Event::TimeOut(at) => {
                let worker = state.workers[at].clone();
                worker::forget_answers(state, &worker);
                state.workers[at].stage = Stage::Polling;
            }
            Event::Poll(at) => {
                let (instance, generation, action) = {
                    let worker = &state.workers[at];
                    (worker.instance, worker.generation, worker.action)
                };
                let answer = match heartbeat::view(state, instance) {
                    // Others ask on: what has not arrived may still arrive.
                    None if matches!(action, Request::Delete | Request::Stop) => Answer::Unknown,
                    Some(view) if view.settled && view.generation >= generation => {
                        Answer::View(view)
                    }
                    None | Some(_) => return false,
                };
                state.send(Message::Answer {
                    instance,
                    generation,
                    answer,
                });
            }
            Event::GiveUp => {
                while !state.workers.is_empty() {
                    worker::end(state, 0);
                }
            }
            Event::LeaseEnds(instance) => {
                let row = state.rows[instance].as_mut();
                if let Some(row) = row {
                    control::end_lease(row, self.bounds.lazy_leases);
                }
            }
            Event::Read(instance) => {
                state.left.reads -= 1;
                control::read(state, instance);
            }
            Event::Silence => {
                state.left.silences -= 1;
                hearing::mark_silent(state);
            }
            _ => return false,
        }
        true
    }

    fn agent_event(&self, state: &mut State, event: &Event) -> bool {
        match *event {
            Event::Work(instance) => agent::work(state, &self.rules, instance, false),
            Event::WorkFails(instance) => {
                state.left.failures -= 1;
                agent::work(state, &self.rules, instance, true);
            }
            Event::StepFails(instance) => {
                state.left.step_failures -= 1;
                agent::fail_step(state, instance);
            }
            Event::Adopt(instance) => agent::adopt(state, instance),
            Event::Beat => heartbeat::beat(state, &self.rules),
            Event::Timer => {
                state.left.timers = state.left.timers.saturating_sub(1);
                state.agent.pulse.full_due = true;
            }
            Event::Fetch => heartbeat::fetch(state, &self.rules),
            Event::Apply => heartbeat::apply(state, &self.rules),
            Event::Crash { loses_boot } => {
                state.left.crashes -= 1;
                agent::crash(state, &self.rules, loses_boot);
            }
            Event::CrashWhileCreating(instance) => {
                state.left.crashes -= 1;
                state.docker[instance].late = agent::creation(state, instance);
                agent::crash(state, &self.rules, false);
            }
            Event::Created(instance) => {
                let docker = &mut state.docker[instance];
                // Docker refuses a name that is taken.
                if let Some(release) = docker.late.take()
                    && docker.of(release).is_none()
                {
                    docker.create(release);
                }
            }
            Event::Die(instance) => {
                state.left.accidents -= 1;
                for container in state.docker[instance].containers.iter_mut().flatten() {
                    container.running = false;
                }
            }
            Event::Vanish(instance) => {
                state.left.accidents -= 1;
                state.docker[instance].containers = [None; 2];
            }
            _ => return false,
        }
        true
    }
}

impl Model for Toolbox {
    type State = State;
    type Action = Event;

    fn init_states(&self) -> Vec<State> {
        let bounds = &self.bounds;
        vec![State {
            toolbox: EnvironmentStatus::Provisioning,
            heard: Stamp::default(),
            rows: PerInstance::default(),
            history: [History::default(); SLOTS],
            workers: Vec::new(),
            network: Vec::new(),
            agent: Agent::new(),
            docker: [Docker::default(); SLOTS],
            left: Left {
                commands: bounds.commands,
                duplicates: bounds.duplicates,
                refusals: bounds.refusals,
                crashes: bounds.crashes,
                accidents: bounds.accidents,
                failures: bounds.failures,
                step_failures: bounds.step_failures,
                timers: bounds.timers,
                reads: bounds.reads,
                silences: bounds.silences,
                late: bounds.late,
            },
            broken: None,
        }]
    }

    fn actions(&self, state: &State, events: &mut Vec<Event>) {
        if state.broken.is_some() {
            return;
        }
        self.users(state, events);
        Self::network(state, events);
        self.progress(state, events);
        self.faults(state, events);
    }

    fn next_state(&self, state: &State, event: Event) -> Option<State> {
        self.happen(state, &event)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::of(self)
    }
}
