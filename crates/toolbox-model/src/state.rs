//! Everything there is at one moment.

use toolbox_domain::lifecycle::{
    Desired, EnvironmentStatus, InstanceState, InstanceStatus, Request,
};

use crate::views::Version;

/// Most instances of a model.
pub const SLOTS: usize = 2;

/// Something per instance.
pub type PerInstance<T> = [T; SLOTS];

/// A generation of an instance's desired state; 0 is none.
pub type Generation = u8;

/// An image and configuration: 1 is the first, a later number an update's.
pub type Spec = u8;

/// What orders heartbeats. Only the order matters, so states count both without gaps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Stamp {
    /// Grows with each start of the agent.
    pub boot: u8,
    /// Grows with each heartbeat of a start.
    pub sequence: u8,
}

/// The world.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// Status of the toolbox.
    pub toolbox: EnvironmentStatus,
    /// Stamp of the last accepted heartbeat.
    pub heard: Stamp,
    /// `account_tool_instances`, each with its operation in progress.
    pub rows: PerInstance<Option<Row>>,
    /// What was, for the invariants.
    pub history: PerInstance<History>,
    /// Requests under way in edge functions.
    pub workers: Vec<Worker>,
    /// Messages on their way, in order, each once.
    pub network: Vec<Message>,
    pub agent: Agent,
    pub docker: PerInstance<Docker>,
    /// What may still happen.
    pub left: Left,
    /// An invariant that a step broke.
    pub broken: Option<Broken>,
}

/// How often something may still happen; see [`crate::rules::Bounds`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Left {
    pub commands: u8,
    /// Duplicates and resends.
    pub duplicates: u8,
    pub refusals: u8,
    pub crashes: u8,
    /// Ends and removals of containers.
    pub accidents: u8,
    pub failures: u8,
    /// Steps that fail for a while.
    pub step_failures: u8,
    pub timers: u8,
    pub reads: u8,
    pub silences: u8,
    /// Records of a heartbeat's news that come late.
    pub late: u8,
}

/// What a step did that must never happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Broken {
    /// A status followed another without an edge.
    IllegalTransition,
    /// The toolbox's status followed another without an edge.
    IllegalToolboxTransition,
    /// `error` without a reason, or a reason without it.
    ReasonMissing,
    /// Something of a deleted instance appeared.
    CameBack,
    /// A row or the agent went to a lower generation.
    GenerationWentBack,
    /// A replayed heartbeat changed a row.
    ReplayChanged,
    /// A user was told a success that never was.
    SuccessUnseen,
    /// A report said what was not so when it was made.
    FalseReport,
    /// A row was taken back to what an earlier view showed.
    TakenBack,
}

/// A row of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Row {
    /// Status and reason.
    pub state: InstanceState,
    pub generation: Generation,
    /// What the user wants.
    pub desired: Desired,
    /// The spec to run.
    pub spec: Spec,
    /// Generation of the last accepted restart.
    pub restart: Generation,
    pub operation: Option<Operation>,
    /// Generation and previous spec of an update whose lease ended before its outcome was known.
    pub kept: Option<(Generation, Spec)>,
    /// The last view that was applied: `view_run` and `view_number`.
    pub view: Option<Version>,
}

/// An operation in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Operation {
    /// What was asked.
    pub action: Request,
    /// The generation it made.
    pub generation: Generation,
    /// Its lease has not run out.
    pub leased: bool,
    /// The spec to go back to.
    pub previous_spec: Spec,
    /// What was asked was so at some moment since.
    pub seen: bool,
}

/// What the invariants need to know of the past.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct History {
    /// It was deployed.
    pub deployed: bool,
    /// Its row was removed: the user was told that it is deleted.
    pub removed: bool,
    /// Highest generation that the agent ever held.
    pub held: Generation,
    /// The latest view that the control plane was told of, of the run it was last told of.
    pub last_view: Option<Version>,
}

/// A request in an edge function, from its accepted operation to its end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Worker {
    pub instance: usize,
    /// Its operation's generation: its name.
    pub generation: Generation,
    /// What was asked.
    pub action: Request,
    pub spec: Spec,
    /// The status that begin wrote.
    pub begun: InstanceStatus,
    /// The state before; none for a new instance.
    pub previous: Option<InstanceState>,
    /// What was desired before.
    pub previous_desired: Desired,
    /// Where it is.
    pub stage: Stage,
    /// The agent accepted the deletion.
    pub accepted: bool,
    /// It gives the agent all of the desired state, because it did not know it.
    pub redeploys: bool,
    /// What was asked was so at some moment since.
    pub seen: bool,
}

/// Where a worker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// It sent its command.
    Telling,
    /// It asks until the agent is done.
    Polling,
}

/// A message on its way.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Message {
    /// To the agent, from the worker of this instance and generation.
    Command {
        instance: usize,
        /// Generation of the command.
        generation: Generation,
        /// The command.
        command: Command,
    },
    /// To that worker.
    Answer {
        instance: usize,
        /// Generation of the command.
        generation: Generation,
        /// The answer.
        answer: Answer,
    },
    /// To the control plane.
    Heartbeat {
        /// Its place in the order.
        stamp: Stamp,
        /// It names every instance that the agent holds.
        full: bool,
        /// The reports.
        reports: PerInstance<Option<Report>>,
    },
    /// What a heartbeat tells, to be recorded before the heartbeat is answered.
    News {
        /// The heartbeat's place in the order.
        stamp: Stamp,
        /// It names every instance that the agent holds.
        full: bool,
        /// The reports.
        reports: PerInstance<Option<Report>>,
        /// What is to be recorded of them.
        news: News,
    },
    /// What a reader of the list saw, to be recorded.
    Drift {
        instance: usize,
        /// Generation of the row.
        generation: Generation,
        /// The agent's view; none when it showed nothing of the instance.
        seen: Option<Report>,
        /// The status that an absence was decided on.
        absent_from: Option<InstanceStatus>,
    },
}

/// Which rows a heartbeat may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct News {
    /// Generation of the row, and its status where what was seen has no version.
    pub rows: PerInstance<Option<(Generation, Option<InstanceStatus>)>>,
    /// The heartbeat, or a later one, was recorded before.
    pub replayed: bool,
}

/// A command to the agent: routes of its API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Command {
    /// `PUT /tools/{id}`.
    Put {
        /// What it should be.
        desired: Desired,
        spec: Spec,
        /// It is a restart too.
        restart: bool,
    },
    /// `POST …/start`.
    Start,
    /// `POST …/stop`.
    Stop,
    /// `POST …/restart`.
    Restart,
    /// `DELETE`.
    Delete,
}

/// What the agent answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Answer {
    View(Report),
    /// `removed: true`.
    Removed,
    /// `instance_unknown`.
    Unknown,
    /// `stale_generation`, `instance_deleting`: it changed nothing.
    Conflict,
    /// Something between what is held and the command was missed: it changed nothing.
    Gap,
    /// No connection: this attempt never arrived.
    Refused,
}

/// What the agent shows of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Report {
    /// Generation that the agent holds.
    pub generation: Generation,
    /// What it should be.
    pub desired: Desired,
    /// What it is; none when nothing is left.
    pub phase: Option<Phase>,
    /// The agent is done with this generation.
    pub settled: bool,
    /// The last update failed.
    pub rolled_back: bool,
    /// Which view it is; none when there is none.
    pub version: Option<Version>,
}

/// `toolbox_api::dtma::Phase`, as far as the lifecycle tells phases apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// Pending, pulling, building, creating.
    Preparing,
    /// Starting.
    Starting,
    /// Running.
    Running,
    /// Stopping.
    Stopping,
    /// Stopped.
    Stopped,
    /// Removing.
    Removing,
    /// Failed.
    Error,
}

/// The agent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Agent {
    /// Durable records.
    pub disk: PerInstance<Option<Record>>,
    /// Generation of the deletion it carried out or confirmed; 0 without. Durable if the rules say so.
    pub deleted: PerInstance<Generation>,
    /// What each instance's task knows. Lost in a crash.
    pub tasks: PerInstance<Task>,
    /// Which view of each is published. Counted anew after a crash.
    pub versions: PerInstance<Version>,
    /// The heartbeat's side. Lost in a crash.
    pub pulse: Pulse,
}

/// A durable record: `dtma/src/record.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Record {
    /// Generation of the desired state.
    pub generation: Generation,
    /// What it should be.
    pub desired: Desired,
    /// The last spec asked for, whether it runs or was rolled back.
    pub requested: Spec,
    /// The release that counts.
    pub current: Release,
    /// Its container ran through a trial.
    pub proven: bool,
    /// An update that has not proven itself.
    pub next: Option<Release>,
    /// The last update was rolled back.
    pub rolled_back: bool,
    /// The last restart that was asked for.
    pub restart: Generation,
}

/// A spec and the generation that brought it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Release {
    /// The generation.
    pub revision: Generation,
    pub spec: Spec,
}

/// Volatile knowledge of an instance: `dtma/src/instances/memory.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Task {
    /// What is going on.
    pub phase: Phase,
    /// Nothing is left to do.
    pub settled: bool,
    /// It has looked at Docker since the last command.
    pub decided: bool,
    /// The current release failed, and waits for a command.
    pub failed: bool,
}

/// The heartbeat's side of the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pulse {
    /// Stamp of the last heartbeat.
    pub stamp: Stamp,
    /// It waits for its answer.
    pub waits: bool,
    /// A full one is due.
    pub full_due: bool,
    /// What the control plane has acknowledged of each.
    pub told: PerInstance<Option<Report>>,
    /// Instances that are gone, until it is acknowledged: generation of the deletion.
    pub gone: PerInstance<Generation>,
    /// The control plane does not know it: never touched.
    pub orphan: PerInstance<bool>,
    /// Fetching the desired state.
    pub fetch: Fetch,
}

/// Fetching the desired state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fetch {
    /// Not needed.
    Idle,
    /// Digests differ.
    Wanted,
    /// It is here, applied up to this instance.
    Applying(PerInstance<Option<Wanted>>, usize),
}

/// An instance as it should be: `DesiredInstance`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Wanted {
    pub generation: Generation,
    /// What it should be.
    pub desired: Desired,
    /// Its spec.
    pub spec: Spec,
    /// Its generation is a restart.
    pub restart: bool,
}

/// What Docker has of an instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Docker {
    /// Containers, the oldest first.
    pub containers: [Option<Container>; 2],
    /// A creation that Docker finishes later, because the agent crashed meanwhile.
    pub late: Option<Release>,
}

/// A container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Container {
    /// What it was made from: its labels.
    pub release: Release,
    /// It runs.
    pub running: bool,
    /// Generation at its last start; 0 when it never was started.
    pub started: Generation,
}

impl Docker {
    /// The containers.
    pub fn all(&self) -> impl Iterator<Item = Container> + '_ {
        self.containers.iter().flatten().copied()
    }

    /// A container of this release.
    pub fn of(&self, release: Release) -> Option<Container> {
        self.all().find(|c| c.release == release)
    }

    /// How many run.
    pub fn running(&self) -> usize {
        self.all().filter(|c| c.running).count()
    }

    /// Nothing is here or on its way.
    pub fn is_empty(&self) -> bool {
        self.all().next().is_none() && self.late.is_none()
    }

    /// Adds a container.
    pub fn create(&mut self, release: Release) {
        let container = Container {
            release,
            running: false,
            started: 0,
        };
        if let Some(free) = self.containers.iter_mut().find(|c| c.is_none()) {
            *free = Some(container);
        }
    }

    /// Removes the container of this release.
    pub fn remove(&mut self, release: Release) {
        for container in &mut self.containers {
            if container.is_some_and(|c| c.release == release) {
                *container = None;
            }
        }
        self.containers.sort_by_key(Option::is_none);
    }

    /// The container of this release, to be changed.
    pub fn get(&mut self, release: Release) -> Option<&mut Container> {
        let mut containers = self.containers.iter_mut().flatten();
        containers.find(|c| c.release == release)
    }
}

impl Task {
    /// A task that knows nothing yet: `Memory::default`.
    pub const UNDECIDED: Self = Self {
        phase: Phase::Preparing,
        settled: false,
        decided: false,
        failed: false,
    };
}

impl State {
    /// Notes the first invariant that broke.
    pub fn break_with(&mut self, broken: Broken) {
        self.broken.get_or_insert(broken);
    }

    /// Puts a message on its way. The same message twice is one here; `Left::duplicates` lets it arrive twice.
    pub fn send(&mut self, message: Message) {
        if let Err(at) = self.network.binary_search(&message) {
            self.network.insert(at, message);
        }
    }
}
