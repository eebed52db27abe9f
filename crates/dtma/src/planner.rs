//! The next step from what Docker shows to what was asked: a pure function.
//!
//! [`next`] looks at one instance: its goal, and every container that carries its id. It is called again
//! after each step with what Docker shows then, so a step that failed, or that a crash cut short, is simply
//! planned again. Invariants, held by the tests below on a modelled Docker:
//! - it names only containers it was shown;
//! - an update runs one version at a time, and the old container is there until the new one has proven itself;
//! - undisturbed it ends in a [`Settled`] state with one container (none when absent).

use crate::runtime::{ContainerId, ContainerState};

/// Suffix of the name of an update's container until it has proven itself.
pub const NEXT_SUFFIX: &str = "-next";

/// One of an instance's two specs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// The one in use.
    Current,
    /// An update that has not proven itself yet.
    Next,
}

/// What an instance should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// One running container.
    Running,
    /// No running container.
    Stopped,
    /// It should run, and something forbids it.
    Halted,
    /// No container.
    Absent,
}

/// The trial of a container whose version has not run before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trial {
    /// Not begun.
    Untried,
    /// It was started for it. If it has ended meanwhile, the trial finds out why.
    Begun,
    /// It ran long enough.
    Passed,
}

/// How a container is confined, compared with what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Confinement {
    /// Docker cannot give it: a container made anew did not have it either.
    Impossible,
    /// Only a new container can have it.
    Lost,
    /// Docker can put it back, also while the container runs.
    Adjustable,
    /// As asked.
    Held,
}

/// A container of the instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Docker's id.
    pub id: ContainerId,
    /// Docker's name.
    pub name: String,
    /// The spec it was made from; none for an earlier spec.
    pub version: Option<Version>,
    /// Docker's state.
    pub state: ContainerState,
    pub confinement: Confinement,
    /// Its trial, as far as this life of the agent knows.
    pub trial: Trial,
    /// Its image has a health check, which has not succeeded since the start.
    pub awaits_health: bool,
    /// A restart was asked for after its last start.
    pub outdated: bool,
}

/// What is known of one of the two specs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VersionFacts {
    /// Its image is on this machine.
    pub has_image: bool,
    /// It failed, and is not to be tried again now.
    pub failed: bool,
}

/// Everything a decision is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Situation<'a> {
    /// What the instance should be.
    pub goal: Goal,
    /// The name its container should have.
    pub name: &'a str,
    /// The current spec has run before.
    pub proven: bool,
    /// Facts about the current spec.
    pub current: VersionFacts,
    /// Facts about an update, if there is one.
    pub next: Option<VersionFacts>,
    /// A container that ended may be started now (no back-off is running).
    pub may_start: bool,
    /// Leftovers beside containers are gone.
    pub swept: bool,
    pub containers: &'a [Seen],
}

/// Nothing is left to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It runs as asked.
    Running,
    /// It does not run, as asked.
    Stopped,
    /// The current spec failed.
    Failed,
}

/// The next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Pull or build the image.
    EnsureImage(Version),
    /// Create a container with this name.
    Create(Version, String),
    Start(Version, ContainerId),
    /// Continue it.
    Unpause(ContainerId),
    /// Watch it for a moment after its first start.
    Try(Version, ContainerId),
    /// Put its limits back, whether it runs or not.
    Adjust(Version, ContainerId),
    /// Its confinement cannot be had: stop it and say so.
    Reject(Version, ContainerId),
    /// The version passed its trial and is current from now on.
    Commit(Version),
    /// The update failed: drop it.
    RollBack,
    Stop(ContainerId),
    Remove(ContainerId),
    /// Give it this name.
    Rename(ContainerId, String),
    /// Docker is busy with it, or a back-off is running: look again later.
    Hold,
    /// Remove volumes and built images.
    Sweep,
    /// Nothing is left: forget the instance.
    Forget,
    Done(Settled),
}

/// The next step in `situation`.
pub fn next(situation: &Situation<'_>) -> Step {
    match situation.goal {
        Goal::Absent => absent(situation),
        Goal::Stopped => stopped(situation, Settled::Stopped),
        Goal::Halted => stopped(situation, Settled::Failed),
        Goal::Running => match situation.next {
            Some(facts) => updating(situation, facts),
            None => running(situation),
        },
    }
}

fn absent(situation: &Situation<'_>) -> Step {
    match situation.containers.first() {
        Some(container) => retire(container),
        None if situation.swept => Step::Forget,
        None => Step::Sweep,
    }
}

fn stopped(situation: &Situation<'_>, settled: Settled) -> Step {
    // Running containers are stopped before anything is removed.
    if let Some(container) = situation.containers.iter().find(|c| is_alive(c)) {
        return stop(container);
    }
    let Kept {
        current, surplus, ..
    } = Kept::of(situation);
    if let Some(container) = surplus {
        return retire(container);
    }
    let renamed = current.and_then(|container| rename(container, situation));
    renamed.unwrap_or(Step::Done(settled))
}

/// The step that gives `container` the tool's name; none where it has it. One that is only there to be made anew may be a
/// copy, and would pass for the tool's own under its name.
fn rename(container: &Seen, situation: &Situation<'_>) -> Option<Step> {
    let is_own = container.name.strip_suffix(NEXT_SUFFIX) == Some(situation.name);
    let is_kept = container.confinement != Confinement::Lost;
    (container.name != situation.name && (is_own || is_kept))
        .then(|| Step::Rename(container.id.clone(), situation.name.to_owned()))
}

fn running(situation: &Situation<'_>) -> Step {
    let Kept {
        current, surplus, ..
    } = Kept::of(situation);
    if let Some(container) = surplus {
        return retire(container);
    }
    let Some(container) = current else {
        return if situation.current.failed {
            Step::Done(Settled::Failed)
        } else if situation.current.has_image {
            Step::Create(Version::Current, situation.name.to_owned())
        } else {
            Step::EnsureImage(Version::Current)
        };
    };
    if situation.current.failed {
        // One that is unhealthy still runs, and may recover.
        return match container.confinement {
            Confinement::Adjustable if container.state == ContainerState::Running => {
                Step::Adjust(Version::Current, container.id.clone())
            }
            Confinement::Held => Step::Done(Settled::Failed),
            _ if is_alive(container) => stop(container),
            _ => Step::Done(Settled::Failed),
        };
    }
    if let Some(step) = rename(container, situation) {
        return step;
    }
    let on_trial = container.trial == Trial::Begun && !situation.proven;
    if let Some(step) = confine(container, Version::Current, situation.current.has_image) {
        return step;
    }
    match alive(container, Version::Current, situation.may_start) {
        _ if on_trial && container.state == ContainerState::Exited => {
            Step::Try(Version::Current, container.id.clone())
        }
        Some(step) => step,
        None if container.outdated => stop(container),
        None if situation.proven && container.awaits_health => Step::Hold,
        None if situation.proven => Step::Done(Settled::Running),
        None if container.trial == Trial::Passed => Step::Commit(Version::Current),
        None => Step::Try(Version::Current, container.id.clone()),
    }
}

fn updating(situation: &Situation<'_>, facts: VersionFacts) -> Step {
    if facts.failed {
        return Step::RollBack;
    }
    let Kept {
        current,
        next,
        surplus,
    } = Kept::of(situation);
    if let Some(container) = surplus {
        return retire(container);
    }
    // An update committed just before may have left its container under the name that this one needs.
    if let Some(step) = current.and_then(|old| rename(old, situation)) {
        return step;
    }
    let Some(container) = next else {
        return if facts.has_image {
            Step::Create(Version::Next, format!("{}{NEXT_SUFFIX}", situation.name))
        } else {
            Step::EnsureImage(Version::Next)
        };
    };
    // Both may publish the same host port, so the old one makes room first.
    if let Some(old) = current.filter(|c| is_alive(c)) {
        return stop(old);
    }
    if let Some(step) = confine(container, Version::Next, facts.has_image) {
        return step;
    }
    match alive(container, Version::Next, true) {
        _ if container.trial == Trial::Begun && container.state == ContainerState::Exited => {
            Step::Try(Version::Next, container.id.clone())
        }
        Some(step) => step,
        None if container.trial == Trial::Passed => Step::Commit(Version::Next),
        None => Step::Try(Version::Next, container.id.clone()),
    }
}

/// The step that gives `container` its confinement; none when it has it, or when Docker is busy with it.
fn confine(container: &Seen, version: Version, has_image: bool) -> Option<Step> {
    if matches!(
        container.state,
        ContainerState::Removing | ContainerState::Dead | ContainerState::Paused
    ) {
        return None;
    }
    match container.confinement {
        Confinement::Held => None,
        Confinement::Adjustable => Some(Step::Adjust(version, container.id.clone())),
        // It serves while its image is fetched, and is stopped where that fails.
        Confinement::Lost if !has_image => Some(Step::EnsureImage(version)),
        Confinement::Lost => Some(retire(container)),
        Confinement::Impossible => Some(Step::Reject(version, container.id.clone())),
    }
}

/// The step that makes `container` run; none when it does.
fn alive(container: &Seen, version: Version, may_start: bool) -> Option<Step> {
    match container.state {
        ContainerState::Created | ContainerState::Exited if may_start => {
            Some(Step::Start(version, container.id.clone()))
        }
        ContainerState::Created | ContainerState::Exited | ContainerState::Removing => {
            Some(Step::Hold)
        }
        ContainerState::Dead => Some(Step::Remove(container.id.clone())),
        ContainerState::Paused => Some(Step::Unpause(container.id.clone())),
        ContainerState::Running => None,
    }
}

/// Stops it first, so that it can finish its work, then removes it.
fn retire(container: &Seen) -> Step {
    match container.state {
        ContainerState::Removing => Step::Hold,
        _ if is_alive(container) => stop(container),
        _ => Step::Remove(container.id.clone()),
    }
}

/// A frozen process cannot act on a signal.
fn stop(container: &Seen) -> Step {
    if container.state == ContainerState::Paused {
        Step::Unpause(container.id.clone())
    } else {
        Step::Stop(container.id.clone())
    }
}

const fn is_alive(container: &Seen) -> bool {
    matches!(
        container.state,
        ContainerState::Running | ContainerState::Paused
    )
}

/// The best container of each spec that counts, and one that is too many.
struct Kept<'a> {
    current: Option<&'a Seen>,
    next: Option<&'a Seen>,
    surplus: Option<&'a Seen>,
}

impl<'a> Kept<'a> {
    fn of(situation: &Situation<'a>) -> Self {
        let best = |version| {
            situation
                .containers
                .iter()
                .filter(|c| c.version == Some(version))
                .max_by_key(|c| {
                    (
                        // No other may run.
                        c.confinement >= Confinement::Adjustable,
                        is_alive(c),
                        c.name == situation.name,
                        std::cmp::Reverse(&c.id),
                    )
                })
        };
        let current = best(Version::Current);
        let next = situation.next.and_then(|_| best(Version::Next));
        let is_kept = |c: &Seen| [current, next].into_iter().flatten().any(|k| k.id == c.id);
        let surplus = situation.containers.iter().find(|c| !is_kept(c));
        Self {
            current,
            next,
            surplus,
        }
    }
}

#[cfg(test)]
#[path = "planner_tests.rs"]
mod tests;
