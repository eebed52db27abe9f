//! What Docker showed of an instance, and what the agent has done to its containers since it started.

use std::collections::{BTreeMap, BTreeSet};

use time::OffsetDateTime;

use toolbox_api::dtma::ContainerHealth;
use toolbox_domain::ids::ToolInstanceId;

use super::{Shared, steps};
use crate::planner::{Confinement, Seen, Trial, Version};
use crate::record::{Record, Release};
use crate::runtime::hardening::Hardening;
use crate::runtime::{Container, ContainerId, ContainerState, networks};

/// How often limits are put back that do not hold. After that the container is made anew.
const MAX_ADJUSTMENTS: u32 = 3;

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
    /// How often limits were put back since the instance was last as desired.
    pub adjustments: BTreeMap<ContainerId, u32>,
    /// Revisions whose container was made anew because it had lost its confinement.
    pub made_anew: BTreeSet<u64>,
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
        self.settled();
    }

    /// The instance is as desired.
    pub fn settled(&mut self) {
        self.adjustments.clear();
        self.made_anew.clear();
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
                    confinement: made_from.map_or(Confinement::Held, |(_, r)| {
                        self.confinement(container, (record.id, r), shared)
                    }),
                    trial: if self.tried.contains(&container.id) {
                        Trial::Passed
                    } else if self.on_trial.as_ref() == Some(&container.id) {
                        Trial::Begun
                    } else {
                        Trial::Untried
                    },
                    awaits_health: container.health == Some(ContainerHealth::Starting),
                    outdated: record.restart.is_some_and(|r| {
                        self.restarted != Some(r.after)
                            && container.started_at.is_some_and(|start| start < r.after)
                    }),
                }
            })
            .collect()
    }

    /// How `container` is confined, compared with what its release asks for.
    pub fn confinement(
        &self,
        container: &Container,
        (id, release): (ToolInstanceId, &Release),
        shared: &Shared,
    ) -> Confinement {
        let asked = steps::confinement(shared, id, release);
        let mut differences = asked.differences(&container.hardening);
        // One of an agent of before leaves the network of all tools when it is next started, not while it serves.
        let serves = matches!(
            container.state,
            ContainerState::Running | ContainerState::Paused
        );
        if serves && container.hardening.network == networks::former(shared.toolbox) {
            differences.retain(|difference| *difference != "network");
        }
        if differences.is_empty() {
            Confinement::Held
        } else if Hardening::can_be_put_back(&differences)
            && self.adjustments.get(&container.id).copied() < Some(MAX_ADJUSTMENTS)
        {
            Confinement::Adjustable
        } else if self.made_anew.contains(&release.revision) {
            Confinement::Impossible
        } else {
            Confinement::Lost
        }
    }
}

/// The container was made from this release.
fn is_of(container: &Container, release: &Release) -> bool {
    container.revision == Some(release.revision)
        && container.spec_sha256.as_deref() == Some(&release.sha256)
}
