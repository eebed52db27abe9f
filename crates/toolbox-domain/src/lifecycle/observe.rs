//! From what the agent shows to the statuses to write.

use super::{Desired, InstanceState, InstanceStatus, Reason, can_transition};

/// What the agent shows of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observed {
    /// The image or the container is being made.
    Preparing,
    /// The container was told to start.
    Starting,
    /// The container runs.
    Running,
    /// The container was told to stop.
    Stopping,
    /// The container exists and does not run.
    Stopped,
    /// The container is being removed.
    Removing,
    /// The agent answered and has nothing of the instance. An agent that does not answer shows nothing at all, and
    /// must not be reported as this.
    Absent,
    /// The agent could not do what was asked.
    Failed(Reason),
}

/// What an observation means for the row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observation {
    /// States to write one after another; each is a legal transition from the one before. Empty when the row already
    /// tells it, or when what was seen is only a moment on the way to what is desired.
    pub steps: Vec<InstanceState>,
    /// Nothing is left of the instance: after the steps, delete the row.
    pub row_gone: bool,
}

/// The legal path from `state` to what was `observed`, given what is `desired`.
///
/// - A failure leads to `error` with its reason. In `error` another reason replaces the one before: the newest is shown.
/// - While the instance is being deleted (or is desired absent) only its end, its removal or a failure count: a
///   container that still runs is no news.
/// - While a stop is under way, a container that still runs is no news either.
/// - A container that is gone is an `error` when it should run, and nothing special when it should not.
pub fn observe(state: &InstanceState, observed: &Observed, desired: Desired) -> Observation {
    use InstanceStatus as S;
    let from = state.status();
    let leaving = matches!(from, S::PendingDelete | S::Deleting) || desired == Desired::Absent;
    let stop_under_way = from == S::Stopping && desired == Desired::Stopped;
    let steps = match observed {
        Observed::Failed(reason) => fail(state, reason.clone()),
        Observed::Absent if leaving => {
            return Observation {
                steps: walk(from, S::Deleting),
                row_gone: true,
            };
        }
        Observed::Removing if leaving => walk(from, S::Deleting),
        _ if leaving => Vec::new(),
        Observed::Absent => lost(state, desired),
        Observed::Stopped => walk(from, S::Stopped),
        Observed::Preparing | Observed::Starting | Observed::Running if stop_under_way => {
            Vec::new()
        }
        Observed::Preparing => walk(from, S::Deploying),
        Observed::Starting => walk(from, S::Starting),
        Observed::Running => walk(from, S::Running),
        Observed::Stopping => walk(from, S::Stopping),
        // Nobody asked for it, so it belongs to a command the row has already left behind.
        Observed::Removing => Vec::new(),
    };
    Observation {
        steps,
        row_gone: false,
    }
}

fn fail(state: &InstanceState, reason: Reason) -> Vec<InstanceState> {
    if state.reason() == Some(&reason) {
        Vec::new()
    } else {
        vec![InstanceState::error(reason)]
    }
}

/// The agent has nothing of an instance that is not being deleted.
fn lost(state: &InstanceState, desired: Desired) -> Vec<InstanceState> {
    use InstanceStatus as S;
    let from = state.status();
    // A deploy that left no trace failed, whatever was to come after it.
    let never_arrived = matches!(from, S::PendingDeploy | S::Deploying);
    match from {
        S::Error => Vec::new(),
        _ if desired == Desired::Stopped && !never_arrived => walk(from, S::Stopped),
        _ => fail(state, Reason::container_missing()),
    }
}

/// The states from `from` (left out) to `to`, or none when the table has no way that makes sense.
fn walk(from: InstanceStatus, to: InstanceStatus) -> Vec<InstanceState> {
    let mut steps = Vec::new();
    let mut at = from;
    while at != to {
        let next = stopover(at, to);
        if !can_transition(at, next) {
            return Vec::new();
        }
        steps.push(InstanceState {
            status: next,
            reason: None,
        });
        at = next;
    }
    steps
}

/// The next status on the way from `at` to `to`: what must have happened in between is told too.
/// Every stopover is nearer to `to`, so a walk has at most three steps.
const fn stopover(at: InstanceStatus, to: InstanceStatus) -> InstanceStatus {
    use InstanceStatus as S;
    match (at, to) {
        (S::PendingDeploy, S::Starting | S::Running | S::Stopped) => S::Deploying,
        (S::Deploying | S::Stopping | S::Stopped, S::Running) => S::Starting,
        (S::PendingDelete, _) => to,
        (_, S::Deleting) => S::PendingDelete,
        _ => to,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Desired as D;
    use InstanceStatus as S;
    use Observed as O;

    fn state(status: InstanceStatus) -> InstanceState {
        let reason = (status == S::Error).then(Reason::unspecified);
        InstanceState::new(status, reason).unwrap()
    }

    fn path(from: InstanceStatus, observed: &Observed, desired: Desired) -> (Vec<S>, bool) {
        let seen = observe(&state(from), observed, desired);
        (
            seen.steps.iter().map(InstanceState::status).collect(),
            seen.row_gone,
        )
    }

    #[test]
    fn the_ways_of_a_normal_life() {
        for (from, observed, desired, steps) in [
            (
                S::PendingDeploy,
                O::Preparing,
                D::Running,
                vec![S::Deploying],
            ),
            (
                S::PendingDeploy,
                O::Running,
                D::Running,
                vec![S::Deploying, S::Starting, S::Running],
            ),
            (
                S::Deploying,
                O::Running,
                D::Running,
                vec![S::Starting, S::Running],
            ),
            (S::Deploying, O::Stopped, D::Stopped, vec![S::Stopped]),
            (S::Starting, O::Running, D::Running, vec![S::Running]),
            (S::Running, O::Running, D::Running, vec![]),
            (S::Stopping, O::Stopped, D::Stopped, vec![S::Stopped]),
            // restart
            (S::Stopping, O::Starting, D::Running, vec![S::Starting]),
            (
                S::Stopping,
                O::Running,
                D::Running,
                vec![S::Starting, S::Running],
            ),
            // the agent rebuilds a lost container
            (S::Starting, O::Preparing, D::Running, vec![S::Deploying]),
            (S::Error, O::Running, D::Running, vec![S::Running]),
            // changed behind our back
            (
                S::Stopped,
                O::Running,
                D::Stopped,
                vec![S::Starting, S::Running],
            ),
            (S::Running, O::Stopped, D::Running, vec![S::Stopped]),
            // only a moment on the way
            (S::Stopping, O::Running, D::Stopped, vec![]),
            (S::PendingDelete, O::Running, D::Absent, vec![]),
            (S::Running, O::Removing, D::Running, vec![]),
        ] {
            assert_eq!(
                path(from, &observed, desired),
                (steps, false),
                "{from} {observed:?}"
            );
        }
    }

    #[test]
    fn deleting_ends_with_the_row() {
        assert_eq!(
            path(S::PendingDelete, &O::Absent, D::Absent),
            (vec![S::Deleting], true)
        );
        assert_eq!(
            path(S::PendingDelete, &O::Removing, D::Absent),
            (vec![S::Deleting], false)
        );
        assert_eq!(path(S::Deleting, &O::Absent, D::Absent), (vec![], true));
        // A removal that failed and then came about.
        let both = vec![S::PendingDelete, S::Deleting];
        assert_eq!(path(S::Error, &O::Absent, D::Absent), (both, true));
    }

    #[test]
    fn a_container_that_should_run_and_is_gone_is_an_error() {
        for from in [
            S::PendingDeploy,
            S::Deploying,
            S::Starting,
            S::Running,
            S::Stopping,
            S::Stopped,
        ] {
            let seen = observe(&state(from), &O::Absent, D::Running);
            assert_eq!(
                seen.steps,
                [InstanceState::error(Reason::container_missing())],
                "{from}"
            );
            assert!(!seen.row_gone);
        }
        assert_eq!(
            path(S::Running, &O::Absent, D::Stopped),
            (vec![S::Stopped], false)
        );
        assert_eq!(
            path(S::Deploying, &O::Absent, D::Stopped),
            (vec![S::Error], false)
        );
    }

    #[test]
    fn a_failure_is_told_once_with_its_latest_reason() {
        let reason = Reason::new("image_not_found", "No such image").unwrap();
        for from in S::ALL {
            let seen = observe(&state(*from), &O::Failed(reason.clone()), D::Running);
            assert_eq!(seen.steps, [InstanceState::error(reason.clone())], "{from}");
        }
        let error = InstanceState::error(reason.clone());
        let again = observe(&error, &O::Failed(reason), D::Running);
        assert_eq!(again, Observation::default());
    }
}
