//! The agent's instances: commands, and steps against Docker.

use toolbox_domain::lifecycle::Desired;

use crate::heal;
use crate::heartbeat::{self, Pulse};
use crate::rules::Rules;
use crate::state::{
    Agent, Answer, Command, Container, Docker, Generation, PerInstance, Phase, Record, Release,
    State, Task,
};
use crate::views::{self, Version};

impl Agent {
    /// An agent that was just installed.
    pub fn new() -> Self {
        Self {
            disk: PerInstance::default(),
            deleted: PerInstance::default(),
            tasks: [Task::UNDECIDED; 2],
            versions: PerInstance::default(),
            pulse: Pulse::new(1),
        }
    }
}

impl Default for Agent {
    fn default() -> Self {
        Self::new()
    }
}

/// A command arrives: `dtma/src/instances/command.rs::apply` and `dtma/src/api/tools.rs`.
pub fn accept(
    state: &mut State,
    rules: &Rules,
    instance: usize,
    generation: Generation,
    command: Command,
) -> Answer {
    let Some(record) = state.agent.disk[instance] else {
        return accept_first(state, rules, instance, generation, command);
    };
    if generation < record.generation && rules.agent_refuses_stale_generations {
        return Answer::Conflict;
    }
    let is_deletion = command == Command::Delete;
    if record.desired == Desired::Absent && !is_deletion {
        return Answer::Conflict;
    }
    let repeated = generation == record.generation;
    let is_delta = matches!(command, Command::Start | Command::Stop | Command::Restart);
    let is_next = generation <= record.generation + 1 && (repeated || !record.rolled_back);
    if is_delta && !is_next && rules.commands_need_their_base {
        return Answer::Gap;
    }
    let mut draft = Record {
        generation,
        ..record
    };
    if !repeated && !matches!(command, Command::Put { .. }) {
        forget_roll_back(&mut draft);
    }
    let mut phase = Phase::Stopping;
    match command {
        Command::Put {
            desired,
            spec,
            restart,
        } => {
            if desired == Desired::Running {
                phase = Phase::Preparing;
            }
            let Some(()) = put_over(&record, &mut draft, desired, spec) else {
                return Answer::Conflict;
            };
            if restart {
                draft.restart = generation;
            }
            if repeated && draft == record {
                return Answer::View(heartbeat::held(state, instance, record));
            }
        }
        Command::Start | Command::Stop => {
            let desired = if command == Command::Start {
                phase = Phase::Starting;
                Desired::Running
            } else {
                Desired::Stopped
            };
            if repeated && record.desired == desired {
                return Answer::View(heartbeat::held(state, instance, record));
            }
            draft.desired = desired;
            if desired == Desired::Stopped
                && let Some(next) = draft.next.take()
            {
                draft.current = next;
                draft.proven = false;
            }
        }
        Command::Restart => {
            if repeated && record.restart == generation {
                return Answer::View(heartbeat::held(state, instance, record));
            }
            draft.desired = Desired::Running;
            draft.restart = generation;
        }
        Command::Delete => {
            phase = Phase::Removing;
            if record.desired == Desired::Absent && repeated {
                return Answer::View(heartbeat::held(state, instance, record));
            }
            draft.desired = Desired::Absent;
        }
    }
    Answer::View(begin_anew(state, instance, draft, phase))
}

/// A command for an instance that the agent does not hold.
fn accept_first(
    state: &mut State,
    rules: &Rules,
    instance: usize,
    generation: Generation,
    command: Command,
) -> Answer {
    match command {
        Command::Put { desired, spec, .. } => {
            let deleted = &mut state.agent.deleted[instance];
            if rules.agent_remembers_deletions && generation <= *deleted {
                return Answer::Conflict;
            }
            *deleted = 0;
            state.agent.pulse.gone[instance] = 0;
            let record = Record {
                generation,
                desired,
                requested: spec,
                current: Release {
                    revision: generation,
                    spec,
                },
                proven: false,
                next: None,
                rolled_back: false,
                restart: 0,
            };
            let phase = match desired {
                Desired::Running => Phase::Preparing,
                Desired::Stopped | Desired::Absent => Phase::Stopping,
            };
            Answer::View(begin_anew(state, instance, record, phase))
        }
        Command::Delete => {
            confirm_deletion(state, rules, instance, generation);
            Answer::Removed
        }
        Command::Start | Command::Stop | Command::Restart => Answer::Unknown,
    }
}

/// What is to be absent is not here; from now on it stays so.
pub fn confirm_deletion(state: &mut State, rules: &Rules, instance: usize, generation: Generation) {
    if rules.agent_remembers_deletions {
        let deleted = &mut state.agent.deleted[instance];
        *deleted = generation.max(*deleted);
    }
}

/// `command.rs::forget_roll_back`.
fn forget_roll_back(draft: &mut Record) {
    if std::mem::take(&mut draft.rolled_back) && draft.next.is_none() {
        draft.requested = draft.current.spec;
    }
}

/// `command.rs::put_over`; none when the generation was given with another spec.
fn put_over(record: &Record, draft: &mut Record, desired: Desired, spec: u8) -> Option<()> {
    let repeated = draft.generation == record.generation;
    let is_current = spec == record.current.spec;
    let under_way = record.next.is_some_and(|n| n.spec == spec);
    let settled_on = is_current && record.next.is_none() && !record.rolled_back;
    if repeated && spec != record.requested && !under_way && !settled_on {
        return None;
    }
    draft.desired = desired;
    if repeated {
        return Some(());
    }
    draft.requested = spec;
    if is_current {
        draft.next = None;
        draft.rolled_back = false;
    } else if !under_way {
        let release = Release {
            revision: draft.generation,
            spec,
        };
        if record.proven {
            draft.next = Some(release);
        } else {
            draft.current = release;
            draft.next = None;
        }
        draft.rolled_back = false;
    }
    Some(())
}

/// Stores the record; what failed is tried again (`memory.rs::begin_anew`).
fn begin_anew(
    state: &mut State,
    instance: usize,
    record: Record,
    phase: Phase,
) -> crate::state::Report {
    let before = views::published(state, instance);
    state.agent.disk[instance] = Some(record);
    state.agent.tasks[instance] = Task {
        phase,
        ..Task::UNDECIDED
    };
    hold(state, instance, record.generation);
    views::publish(state, instance, before);
    heartbeat::held(state, instance, record)
}

/// Generations never go back.
fn hold(state: &mut State, instance: usize, generation: Generation) {
    let held = state.history[instance].held;
    if generation < held {
        state.break_with(crate::state::Broken::GenerationWentBack);
    }
    state.history[instance].held = held.max(generation);
}

/// A step of `dtma/src/planner.rs`, with the steps that Docker sees as one taken together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Create(Release),
    Start(Release),
    Try(Release),
    Stop(Release),
    Remove(Release),
    Forget,
    Done(Phase),
}

fn next(record: &Record, docker: &Docker, task: Task) -> Step {
    match record.desired {
        Desired::Absent => match docker.all().next() {
            Some(container) => Step::Remove(container.release),
            None => Step::Forget,
        },
        Desired::Stopped => stopped(record, docker),
        Desired::Running => match surplus(record, docker) {
            Some(container) => Step::Remove(container.release),
            None => match record.next {
                Some(next) => updating(record, next, docker),
                None => running(record, docker, task),
            },
        },
    }
}

fn surplus(record: &Record, docker: &Docker) -> Option<Container> {
    docker
        .all()
        .find(|c| c.release != record.current && Some(c.release) != record.next)
}

fn stopped(record: &Record, docker: &Docker) -> Step {
    if let Some(container) = docker.all().find(|c| c.running) {
        return Step::Stop(container.release);
    }
    match surplus(record, docker) {
        Some(container) => Step::Remove(container.release),
        None => Step::Done(Phase::Stopped),
    }
}

fn running(record: &Record, docker: &Docker, task: Task) -> Step {
    let release = record.current;
    match docker.of(release) {
        _ if task.failed => Step::Done(Phase::Error),
        None => Step::Create(release),
        Some(container) if !container.running => Step::Start(release),
        Some(container) if container.started < record.restart => Step::Stop(release),
        Some(_) if record.proven => Step::Done(Phase::Running),
        Some(_) => Step::Try(release),
    }
}

fn updating(record: &Record, next: Release, docker: &Docker) -> Step {
    let Some(container) = docker.of(next) else {
        return Step::Create(next);
    };
    if docker.of(record.current).is_some_and(|c| c.running) {
        return Step::Stop(record.current);
    }
    if container.running {
        Step::Try(next)
    } else {
        Step::Start(next)
    }
}

/// Whether the instance's task has something to do; Docker's events and the timer wake it.
pub fn has_work(state: &State, instance: usize) -> bool {
    let task = state.agent.tasks[instance];
    state.agent.disk[instance].is_some_and(|record| {
        match next(&record, &state.docker[instance], task) {
            Step::Done(phase) => !task.settled || task.phase != phase,
            _ => true,
        }
    })
}

/// Whether the next step is one that may fail.
pub fn may_fail(state: &State, instance: usize) -> bool {
    let task = state.agent.tasks[instance];
    state.agent.disk[instance].is_some_and(|record| {
        matches!(
            next(&record, &state.docker[instance], task),
            Step::Create(_) | Step::Start(_) | Step::Try(_)
        )
    })
}

/// The creation that a crash now would leave to Docker.
pub fn creation(state: &State, instance: usize) -> Option<Release> {
    let task = state.agent.tasks[instance];
    let record = state.agent.disk[instance]?;
    match next(&record, &state.docker[instance], task) {
        Step::Create(release) => Some(release),
        _ => None,
    }
}

/// The instance's task looks, decides and takes one step, or settles.
pub fn work(state: &mut State, rules: &Rules, instance: usize, fails: bool) {
    let before = views::published(state, instance);
    step(state, rules, instance, fails);
    views::publish(state, instance, before);
}

fn step(state: &mut State, rules: &Rules, instance: usize, fails: bool) {
    let Some(mut record) = state.agent.disk[instance] else {
        return;
    };
    let docker = &mut state.docker[instance];
    let task = &mut state.agent.tasks[instance];
    let step = next(&record, docker, *task);
    match step {
        _ if fails => fail(state, instance, step),
        Step::Create(release) => docker.create(release),
        Step::Start(release) => {
            if let Some(container) = docker.get(release) {
                container.running = true;
                container.started = record.generation;
            }
            heal::note_start(state, instance);
        }
        Step::Try(release) => {
            record.current = release;
            record.proven = true;
            if record.next.take().is_some() {
                record.rolled_back = false;
            }
            state.agent.disk[instance] = Some(record);
        }
        Step::Stop(release) => {
            if let Some(container) = docker.get(release) {
                container.running = false;
            }
        }
        Step::Remove(release) => docker.remove(release),
        Step::Forget => return forget(state, rules, instance, record.generation),
        Step::Done(_) => {}
    }
    settle(state, instance);
}

/// The version fails: an update is rolled back, else it waits for a command.
fn fail(state: &mut State, instance: usize, step: Step) {
    let Some(record) = &mut state.agent.disk[instance] else {
        return;
    };
    let (Step::Create(release) | Step::Start(release) | Step::Try(release)) = step else {
        return;
    };
    if let Some(container) = state.docker[instance].get(release) {
        container.running = false;
    }
    if record.next == Some(release) {
        record.next = None;
        record.rolled_back = true;
    } else {
        state.agent.tasks[instance].failed = true;
    }
}

/// The next step fails and is tried again later (`backoff.rs`): until then the view is a settled error (`view.rs`).
pub fn fail_step(state: &mut State, instance: usize) {
    let before = views::published(state, instance);
    let task = &mut state.agent.tasks[instance];
    task.phase = Phase::Error;
    task.settled = true;
    task.decided = true;
    views::publish(state, instance, before);
}

/// Publishes what the next step is, or that there is none.
fn settle(state: &mut State, instance: usize) {
    let Some(record) = state.agent.disk[instance] else {
        return;
    };
    let task = &mut state.agent.tasks[instance];
    task.decided = true;
    task.settled = false;
    task.phase = match next(&record, &state.docker[instance], *task) {
        Step::Done(phase) => {
            task.settled = true;
            phase
        }
        Step::Create(_) => Phase::Preparing,
        Step::Start(_) | Step::Try(_) => Phase::Starting,
        Step::Remove(_) | Step::Forget if record.desired == Desired::Absent => Phase::Removing,
        Step::Stop(_) | Step::Remove(_) | Step::Forget => Phase::Stopping,
    };
}

/// Nothing is left in Docker, and now on disk. What remains is that it was deleted.
fn forget(state: &mut State, rules: &Rules, instance: usize, generation: Generation) {
    state.agent.disk[instance] = None;
    state.agent.tasks[instance] = Task::UNDECIDED;
    // Without the rule it is known all the same, but only until a crash or the next deploy.
    let deleted = &mut state.agent.deleted[instance];
    *deleted = generation.max(*deleted);
    confirm_deletion(state, rules, instance, generation);
    let pulse = &mut state.agent.pulse;
    pulse.gone[instance] = generation.max(pulse.gone[instance]);
    pulse.told[instance] = None;
}

/// Whether Docker has a container of an instance that has no record.
pub fn may_adopt(state: &State, instance: usize) -> bool {
    state.agent.disk[instance].is_none() && state.docker[instance].all().next().is_some()
}

/// The record is rebuilt from the container: `dtma/src/instances/adopt.rs`.
pub fn adopt(state: &mut State, instance: usize) {
    let Some(container) = state.docker[instance]
        .all()
        .max_by_key(|c| (c.running, c.release))
    else {
        return;
    };
    let before = views::published(state, instance);
    let deleted = state.agent.deleted[instance];
    let desired = match (deleted, container.running) {
        (1.., _) => Desired::Absent,
        (0, true) => Desired::Running,
        (0, false) => Desired::Stopped,
    };
    let record = Record {
        generation: container.release.revision.max(deleted),
        desired,
        requested: container.release.spec,
        current: container.release,
        proven: container.running,
        next: None,
        rolled_back: false,
        restart: 0,
    };
    state.agent.disk[instance] = Some(record);
    state.agent.tasks[instance] = Task::UNDECIDED;
    hold(state, instance, record.generation);
    views::publish(state, instance, before);
}

/// The agent dies and starts again: what is on disk stays. The number of the boot may be lost.
pub fn crash(state: &mut State, rules: &Rules, loses_boot: bool) {
    let boots = heartbeat::stamps(state).into_iter().map(|s| s.boot);
    let next = boots.max().unwrap_or_default() + 1;
    state.agent.tasks = [Task::UNDECIDED; 2];
    state.agent.versions = state.agent.versions.map(Version::of_next_run);
    state.agent.pulse = Pulse::new(if loses_boot { 0 } else { next });
    if !rules.agent_remembers_deletions {
        state.agent.deleted = PerInstance::default();
    }
}
