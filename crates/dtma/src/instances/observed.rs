//! What Docker showed of an instance, and what the agent has done to its containers since it started.

use std::collections::BTreeSet;

use time::OffsetDateTime;

use super::{Shared, steps};
use crate::planner::{Seen, Trial, Version};
use crate::record::{Record, Release};
use crate::runtime::{Container, ContainerId};

#[derive(Debug, Default)]
pub struct Observed {
    /// All containers of the instance when Docker was last asked.
    pub containers: Vec<Container>,
    /// Revisions whose image is on this machine.
    pub images: BTreeSet<u64>,
    /// The container that was started for its trial.
    pub on_trial: Option<ContainerId>,
    /// Containers that passed their trial.
    pub tried: BTreeSet<ContainerId>,
    /// Containers that must be made anew, because Docker can start them no more.
    pub unusable: BTreeSet<ContainerId>,
    /// The restart that was carried out.
    pub restarted: Option<OffsetDateTime>,
    /// Volumes and built images were removed.
    pub swept: bool,
    /// [`Shared::docker_returns`] when Docker was last asked.
    pub docker_returns: u64,
}

impl Observed {
    /// A command came. What Docker showed still holds; a trial and a deletion begin again.
    pub fn reset(&mut self) {
        self.on_trial = None;
        self.swept = false;
    }

    pub fn find(&self, id: &ContainerId) -> Option<&Container> {
        self.containers.iter().find(|c| c.id == *id)
    }

    /// The container of the current release.
    pub fn current<'a>(&'a self, record: &Record) -> Option<&'a Container> {
        self.containers
            .iter()
            .filter(|c| is_of(c, &record.current))
            .max_by_key(|c| c.started_at)
    }

    /// The update would change nothing: the same spec, and the same image by its content.
    pub fn runs_already(&self, record: &Record, digest: Option<&String>) -> bool {
        let current = self.current(record).and_then(|c| c.image_digest.as_ref());
        record.is_redeployed() && digest.is_some() && current == digest
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
