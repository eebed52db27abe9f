//! From what an agent shows of an instance to what is written to its row. This is the only place that decides it: for
//! heartbeats, for answers to commands, for those who follow a command, and for readers.
//!
//! The database writes a decision only onto the row that it was made of. It also keeps what a decision cannot know: the
//! order of views, whose operation is under way, and whether there is an earlier spec to go back to.

use super::{Desired, InstanceState, InstanceStatus, Observation, Observed, Reason, observe};

/// What an agent shows of an instance at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The generation that the agent holds.
    pub generation: u64,
    /// What the instance is.
    pub observed: Observed,
    /// The agent is done with the generation.
    pub settled: bool,
    /// What the agent holds as desired. None where it does not say.
    pub desired: Option<Desired>,
    /// Why the instance did not become what the generation asks for.
    pub failure: Option<Reason>,
    /// What the generation asks for was given up, and the spec before it runs.
    pub rolled_back: bool,
}

/// What was seen of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The agent shows it.
    View(View),
    /// Nothing of it is left, and from now on the agent refuses commands of this generation and before.
    Gone {
        /// The generation.
        generation: u64,
    },
    /// The agent shows nothing of it. A command may still be on its way.
    Missing,
}

/// What a row says of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Status and reason.
    pub state: InstanceState,
    /// What the user wants.
    pub desired: Desired,
    /// The generation of that.
    pub generation: u64,
}

/// What to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// States to write one after another, each a legal transition from the one before.
    pub steps: Vec<InstanceState>,
    /// Nothing is left of the instance: after the steps, delete the row.
    pub row_gone: bool,
    /// How the operation ended that made the generation which was seen. None: nothing was seen of its end.
    pub end: Option<Result<(), Reason>>,
    /// The spec before that operation runs, so it is to be the row's again.
    pub restores_spec: bool,
    /// Not to be written while somebody's operation is under way.
    pub only_idle: bool,
}

impl Seen {
    /// What it is to [`observe`].
    pub const fn observed(&self) -> &Observed {
        match self {
            Self::View(view) => &view.observed,
            Self::Gone { .. } | Self::Missing => &Observed::Absent,
        }
    }

    /// What was seen lasts. Until then the agent is at work, and only its progress is told.
    pub const fn is_settled(&self) -> bool {
        match self {
            Self::View(view) => view.settled,
            Self::Gone { .. } | Self::Missing => true,
        }
    }

    /// It is about an earlier state than the row's: the last command has not arrived at the agent, or is on its way. What is
    /// missing is about no state at all.
    pub const fn is_behind(&self, generation: u64) -> bool {
        match self {
            Self::View(View { generation: of, .. }) | Self::Gone { generation: of } => {
                *of < generation
            }
            Self::Missing => true,
        }
    }

    /// Whether to decide again after the row has changed. A view has a version, so the database can put it in order. An absence
    /// has none: it counts only as the end of the observer's own operation, or for an instance that is being deleted.
    pub const fn may_decide_again(&self, now: &Known, own_operation: bool) -> bool {
        match self {
            Self::View(_) => true,
            Self::Gone { .. } => own_operation || now.is_being_deleted(),
            Self::Missing => false,
        }
    }
}

impl Known {
    /// The instance is to be deleted, or being deleted.
    pub const fn is_being_deleted(&self) -> bool {
        matches!(self.desired, Desired::Absent) || self.is_in_deletion()
    }

    const fn is_in_deletion(&self) -> bool {
        matches!(
            self.state.status(),
            InstanceStatus::PendingDelete | InstanceStatus::Deleting
        )
    }

    /// The statuses that lead from the row to what was seen.
    ///
    /// - A view that is behind is compared with what the agent was told to do, not with what it will be told.
    /// - A view that is older than a deletion means that the deletion was not received. That becomes an error once its operation
    ///   has ended.
    pub fn observe(&self, seen: &Seen) -> Observation {
        let is_behind = seen.is_behind(self.generation);
        match seen {
            Seen::View(_) if is_behind && self.is_in_deletion() => Observation {
                steps: vec![InstanceState::error(Reason::deletion_lost())],
                row_gone: false,
            },
            Seen::View(view) if is_behind => {
                let desired = view.desired.unwrap_or(self.desired);
                observe(&self.state, &view.observed, desired)
            }
            _ => observe(&self.state, seen.observed(), self.desired),
        }
    }

    /// What to write of what was seen; none when it says nothing of this row.
    ///
    /// - Only a settled view ends an operation, and only that of its own generation. A deletion ends with the instance or
    ///   with a failure; a view in which the instance still exists does not end it.
    /// - A view that is behind ends nothing, and is recorded only when nobody is at work.
    /// - A failure that the agent has not given up on is no news while an operation is under way.
    /// - What is missing never ends a row or an operation: a command that is on its way would make a container without a row.
    pub fn decide(&self, seen: &Seen) -> Option<Decision> {
        let Observation { steps, row_gone } = self.observe(seen);
        let is_behind = seen.is_behind(self.generation);
        let is_to_go = self.desired == Desired::Absent;
        match seen {
            Seen::View(view) if is_behind => view.settled.then_some(Decision {
                steps,
                row_gone,
                end: None,
                restores_spec: false,
                only_idle: true,
            }),
            Seen::View(view) => {
                let is_end = view.settled && !(is_to_go && view.failure.is_none());
                Some(Decision {
                    steps,
                    row_gone,
                    end: is_end.then(|| view.failure.clone().map_or(Ok(()), Err)),
                    restores_spec: view.rolled_back && view.settled,
                    only_idle: matches!(view.observed, Observed::Failed(_)) && !view.settled,
                })
            }
            Seen::Gone { .. } if is_behind => None,
            Seen::Gone { .. } => {
                let last = steps.last().unwrap_or(&self.state);
                let end = last.reason().cloned().map_or(Ok(()), Err);
                Some(Decision {
                    steps,
                    row_gone,
                    end: Some(end),
                    restores_spec: false,
                    only_idle: !is_to_go,
                })
            }
            Seen::Missing => (!row_gone).then_some(Decision {
                steps,
                row_gone,
                end: None,
                restores_spec: false,
                only_idle: true,
            }),
        }
    }
}

#[cfg(test)]
mod tests;
