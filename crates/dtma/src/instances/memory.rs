//! What a task knows beside its record, and may lose: it is learnt again from Docker.

use std::collections::{BTreeMap, BTreeSet};

use time::OffsetDateTime;
use tokio::time::Instant;
use toolbox_api::dtma::{Desired, Phase, Progress};

use super::crashes::Crashes;
use super::trouble::{Failure, Outage};
use super::{Shared, steps};
use crate::planner::{Goal, Seen, Situation, Trial, Version, VersionFacts};
use crate::record::{Record, Release};
use crate::runtime::{Container, ContainerId};

/// Volatile knowledge of one instance.
#[derive(Debug)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "independent facts, each with its own moment"
)]
pub struct Memory {
    /// Its containers when Docker was last asked.
    pub containers: Vec<Container>,
    /// Revisions whose image is on this machine.
    pub images: BTreeSet<u64>,
    /// Revisions that failed.
    pub failures: BTreeMap<u64, Failure>,
    /// A step that belongs to no revision failed: stopping, removing.
    pub trouble: Option<Failure>,
    /// Docker does not answer.
    pub outage: Option<Outage>,
    /// [`Shared::docker_returns`] at the last look.
    pub docker_returns: u64,
    /// The container that was started for its trial.
    pub on_trial: Option<ContainerId>,
    /// Containers that ran through their trial.
    pub tried: BTreeSet<ContainerId>,
    /// Containers to be made anew, because the network they were made for is gone.
    pub unusable: BTreeSet<ContainerId>,
    /// Volumes and built images were removed.
    pub swept: bool,
    /// Ends of the container by itself.
    pub crashes: Crashes,
    /// The restart that was carried out.
    pub restarted: Option<OffsetDateTime>,
    /// No start before this time.
    pub start_after: Option<Instant>,
    /// When Docker first said that the container's name is taken.
    pub name_refused: Option<Instant>,
    /// Restarts since the last command.
    pub restart_count: u32,
    /// Times in a row that Docker was found busy with a container.
    pub holds: u32,
    /// Steps since it was last settled; bounds a loop that should not be.
    pub steps: u32,
    /// What is going on.
    pub phase: Phase,
    /// Nothing is left to do.
    pub settled: bool,
    /// Decided since the last command.
    pub decided: bool,
    /// Progress of a pull or a build.
    pub progress: Option<Progress>,
    /// Said as progress until the next command: an image is used whose registry was asked in vain.
    pub local_image: Option<Progress>,
}

impl Default for Memory {
    /// Knows nothing yet.
    fn default() -> Self {
        Self {
            containers: Vec::new(),
            images: BTreeSet::new(),
            failures: BTreeMap::new(),
            trouble: None,
            outage: None,
            docker_returns: 0,
            on_trial: None,
            tried: BTreeSet::new(),
            unusable: BTreeSet::new(),
            swept: false,
            crashes: Crashes::default(),
            restarted: None,
            start_after: None,
            name_refused: None,
            restart_count: 0,
            holds: 0,
            steps: 0,
            phase: Phase::Pending,
            settled: false,
            decided: false,
            progress: None,
            local_image: None,
        }
    }
}

impl Memory {
    /// A command came: what failed is tried again, and its caller waits for an answer of its own.
    pub fn begin_anew(&mut self, phase: Phase) {
        self.failures.clear();
        self.on_trial = None;
        self.trouble = None;
        self.outage = None;
        self.swept = false;
        self.crashes.forgive();
        self.start_after = None;
        self.name_refused = None;
        self.restart_count = 0;
        self.holds = 0;
        self.steps = 0;
        self.phase = phase;
        self.settled = false;
        self.decided = false;
        self.progress = None;
        self.local_image = None;
    }

    /// Docker answers, and came back `returns` times so far. What an engine said before it went is not final.
    pub fn docker_answers(&mut self, returns: u64, now: Instant) {
        self.outage = None;
        if self.docker_returns != returns {
            self.docker_returns = returns;
            self.failures.values_mut().for_each(|f| f.reconsider(now));
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

    /// The update is what runs: the same spec, and the same image by its content.
    pub fn runs_already(&self, record: &Record, digest: &Option<String>) -> bool {
        let current = self.current(record).and_then(|c| c.image_digest.as_ref());
        record.is_redeployed() && digest.is_some() && current == digest.as_ref()
    }

    /// The container of the current release.
    pub fn current<'a>(&'a self, record: &Record) -> Option<&'a Container> {
        let mut found = self
            .containers
            .iter()
            .filter(|c| is_of(c, &record.current))
            .collect::<Vec<_>>();
        found.sort_by_key(|c| c.started_at);
        found.pop()
    }

    /// Time until which nothing is tried, if there is such a time.
    pub fn pause(&self, record: &Record, now: Instant) -> Option<Instant> {
        let outage = self.outage.as_ref().map(|o| o.retry_at);
        let trouble = self.trouble.as_ref().and_then(|t| t.retry_at);
        // A failure that is still tried quietly is neither planned around nor tried early.
        let quiet = (record.desired == Desired::Running)
            .then(|| {
                let revisions = [Some(&record.current), record.next.as_ref()];
                revisions
                    .into_iter()
                    .flatten()
                    .filter_map(|r| self.failures.get(&r.revision))
                    .filter(|f| !f.shown)
                    .filter_map(|f| f.retry_at)
                    .max()
            })
            .flatten();
        [outage, trouble, quiet]
            .into_iter()
            .flatten()
            .max()
            .filter(|at| *at > now)
    }

    /// When a failure that was shown is tried again in the background.
    pub fn next_try(&self) -> Option<Instant> {
        self.failures.values().filter_map(|f| f.retry_at).min()
    }

    fn facts(&self, release: &Release, now: Instant) -> VersionFacts {
        VersionFacts {
            has_image: self.images.contains(&release.revision),
            failed: self
                .failures
                .get(&release.revision)
                .is_some_and(|f| f.shown && f.blocks(now)),
        }
    }

    /// What the planner decides from. `seen` is [`Memory::seen`].
    pub fn situation<'a>(
        &self,
        record: &'a Record,
        seen: &'a [Seen],
        now: Instant,
    ) -> Situation<'a> {
        Situation {
            goal: match record.desired {
                Desired::Running => Goal::Running,
                Desired::Stopped => Goal::Stopped,
                Desired::Absent => Goal::Absent,
            },
            name: &record.container_name,
            proven: record.current.proven,
            current: self.facts(&record.current, now),
            // An update that failed is rolled back, also while its failure would be tried again.
            next: record.next.as_ref().map(|n| VersionFacts {
                failed: self.failures.get(&n.revision).is_some_and(|f| f.shown),
                ..self.facts(n, now)
            }),
            may_start: self.start_after.is_none_or(|at| at <= now),
            swept: self.swept,
            containers: seen,
        }
    }

    /// The containers as the planner sees them.
    pub fn seen(&self, record: &Record, shared: &Shared) -> Vec<Seen> {
        let releases = [
            (Version::Current, Some(&record.current)),
            (Version::Next, record.next.as_ref()),
        ];
        self.containers
            .iter()
            .map(|container| {
                let made_from = releases
                    .into_iter()
                    .filter_map(|(v, r)| Some((v, r?)))
                    .find(|(_, r)| is_of(container, r) && !self.unusable.contains(&container.id));
                Seen {
                    id: container.id.clone(),
                    name: container.name.clone(),
                    version: made_from.map(|(v, _)| v),
                    state: container.state,
                    confined: made_from.is_none_or(|(_, r)| {
                        steps::confinement(shared, r)
                            .differences(&container.hardening)
                            .is_empty()
                    }),
                    trial: if self.tried.contains(&container.id) {
                        Trial::Passed
                    } else if self.on_trial.as_ref() == Some(&container.id) {
                        Trial::Begun
                    } else {
                        Trial::Untried
                    },
                    outdated: record.restart.is_some_and(|r| {
                        self.restarted != Some(r.after)
                            && container.started_at.is_some_and(|start| start < r.after)
                    }),
                }
            })
            .collect()
    }
}

/// The container was made from this release.
fn is_of(container: &Container, release: &Release) -> bool {
    container.revision == Some(release.revision)
        && container.spec_sha256.as_deref() == Some(&release.sha256)
}
