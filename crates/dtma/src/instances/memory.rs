//! What a task knows beside its record. All of it may be lost: it is learnt again from Docker.

use tokio::time::Instant;
use toolbox_api::dtma::{Desired, Phase, Progress};

use super::attempts::Attempts;
use super::observed::Observed;
use crate::planner::{Goal, Seen, Situation, VersionFacts};
use crate::record::{Record, Release};

/// Volatile knowledge of one instance, by what it is about.
#[derive(Debug, Default)]
pub struct Memory {
    pub observed: Observed,
    pub attempts: Attempts,
    pub status: Status,
}

/// What the view says of the work on an instance.
#[derive(Debug)]
pub struct Status {
    pub phase: Phase,
    /// Nothing is left to do.
    pub settled: bool,
    /// The task has looked at Docker and decided what to do since the last command.
    pub decided: bool,
    /// Progress of a pull or a build.
    pub progress: Option<Progress>,
    /// Shown as progress until the next command: the registry did not give the image, so the local one is used.
    pub local_image: Option<Progress>,
}

impl Status {
    const fn new(phase: Phase) -> Self {
        Self {
            phase,
            settled: false,
            decided: false,
            progress: None,
            local_image: None,
        }
    }

    /// The registry did not say whether there is a newer image.
    pub fn use_local_image(&mut self, why: &str) {
        self.local_image = Some(Progress {
            stage: format!(
                "Using the image on this machine, because its registry did not give it: {why}"
            ),
            ..Progress::default()
        });
        self.progress.clone_from(&self.local_image);
    }
}

impl Default for Status {
    fn default() -> Self {
        Self::new(Phase::Pending)
    }
}

impl Memory {
    /// A command came: what failed is tried again, and its caller waits for an answer of its own.
    pub fn reset(&mut self, phase: Phase) {
        self.observed.reset();
        self.attempts.reset();
        self.status = Status::new(phase);
    }

    /// Docker answers, and came back `returns` times so far. What it said before it went is not final: it may be another
    /// engine now.
    pub fn docker_answers(&mut self, returns: u64, now: Instant) {
        self.attempts.outage = None;
        if self.observed.docker_returns != returns {
            self.observed.docker_returns = returns;
            let failures = self.attempts.failures.values_mut();
            failures.for_each(|f| f.reconsider(now));
        }
    }

    fn facts(&self, release: &Release, now: Instant) -> VersionFacts {
        VersionFacts {
            has_image: self.observed.images.contains(&release.revision),
            failed: self
                .attempts
                .failures
                .get(&release.revision)
                .is_some_and(|f| f.shown && f.blocks(now)),
        }
    }

    /// What the planner decides from. `seen` is [`Observed::seen`].
    pub fn situation<'a>(
        &self,
        record: &'a Record,
        seen: &'a [Seen],
        now: Instant,
    ) -> Situation<'a> {
        let failures = &self.attempts.failures;
        Situation {
            goal: match record.desired {
                Desired::Running if record.halted.as_ref().is_some_and(|h| !h.asked_again) => {
                    Goal::Halted
                }
                Desired::Running if record.rests => Goal::Stopped,
                Desired::Running => Goal::Running,
                Desired::Stopped => Goal::Stopped,
                Desired::Absent => Goal::Absent,
            },
            name: &record.container_name,
            proven: record.current.proven,
            current: self.facts(&record.current, now),
            // An update that failed is rolled back, also while its failure would be tried again.
            next: record.next.as_ref().map(|n| VersionFacts {
                failed: failures.get(&n.revision).is_some_and(|f| f.shown),
                ..self.facts(n, now)
            }),
            may_start: self.attempts.start_after.is_none_or(|at| at <= now),
            swept: self.observed.swept,
            containers: seen,
        }
    }
}
