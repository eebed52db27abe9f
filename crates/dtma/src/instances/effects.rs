//! How the end of a step changes an instance's record and memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use toolbox_api::dtma::{ContainerHealth, Desired};
use toolbox_domain::names::ContainerName;

use super::crashes::{FIRST_PAUSE, Verdict};
use super::steps::{self, StepEnd};
use super::task::Instance;
use super::unused_images;
use crate::planner::{Confinement, NEXT_SUFFIX, Step, Version};
use crate::reason::{ReasonCode, Why};
use crate::record::Release;
use crate::runtime::{Container, ContainerId, ContainerState, RuntimeError, volumes};

/// How long a refused name may belong to a container of our own that Docker is still creating.
const OWN_CREATION: Duration = Duration::from_secs(1);

impl Instance {
    /// Judges a container that ended although it should run.
    pub(super) fn judge_ends(&mut self, now: Instant) {
        let Some(record) = &self.record else { return };
        let Some(container) = self.memory.observed.current(record).cloned() else {
            return;
        };
        if container.state != ContainerState::Exited {
            return;
        }
        // The trial judges the end of a version that is not proven yet, and of an update.
        let wanted = !record.is_to_run() || record.next.is_some() || !record.current.proven;
        if wanted || !self.memory.status.decided {
            self.memory.attempts.crashes.excuse(&container);
            return;
        }
        match self.memory.attempts.crashes.judge(&container) {
            Verdict::Known => {}
            Verdict::StartAfter(pause) => {
                self.memory.attempts.restart_count += 1;
                self.shared.telemetry.restarts.inc();
                self.memory.attempts.start_after = Some(now + pause);
                tracing::info!(instance = %self.id, exit_code = container.exit_code, ?pause, "the container ended; starting it again");
            }
            Verdict::GiveUp => {
                let why = steps::why_given_up(&container, &record.current);
                tracing::warn!(instance = %self.id, code = why.code.as_str(), "giving up restarting");
                self.fail(Version::Current, why, now);
            }
        }
    }

    /// Remembers the volumes that Docker named for containers of the instance: older agents left the volumes that an image
    /// declares to Docker.
    pub(super) async fn inherit_volumes(&mut self) -> Result<(), RuntimeError> {
        let Some(record) = &self.record else {
            return Ok(());
        };
        let mut containers: Vec<_> = self.memory.observed.containers.iter().collect();
        let has_name = |c: &Container| {
            c.name.strip_suffix(NEXT_SUFFIX).unwrap_or(&c.name) == record.container_name
        };
        containers.sort_by_key(|c| (c.revision != Some(record.current.revision), !has_name(c)));
        // A copy of a container carries its labels. Where the agent has a volume of its own, or somebody gave theirs a name,
        // it is not the instance's.
        let own: BTreeSet<&str> = containers
            .iter()
            .flat_map(|c| &c.volumes)
            .filter(|v| volumes::is_named_by_agent(record.id, &v.name))
            .map(|v| v.path.as_str())
            .collect();
        let mut found: BTreeMap<String, (String, bool)> = BTreeMap::new();
        let volumes = containers
            .iter()
            .filter(|c| c.revision.is_some())
            .flat_map(|c| c.volumes.iter().map(move |volume| (volume, has_name(c))));
        for (volume, has_name) in volumes {
            let is_news = volume.path.starts_with('/')
                && volumes::is_named_by_docker(&volume.name)
                && !own.contains(volume.path.as_str())
                && !record.inherited_volumes.contains_key(&volume.path);
            if is_news {
                let names = found.entry(volume.path.clone());
                names.or_insert_with(|| (volume.name.clone(), has_name));
            }
        }
        if found.is_empty() {
            return Ok(());
        }
        // The container that uses the agent's own volume may be gone while a copy of it, under another name, is there.
        let existing = self.shared.runtime.volumes(record.id).await?;
        found.retain(|path, (_, has_name)| {
            *has_name || !existing.contains(&volumes::of_path(record.id, path))
        });
        if found.is_empty() {
            return Ok(());
        }
        if let Some(record) = &mut self.record {
            let found = found.into_iter().map(|(path, (name, _))| (path, name));
            record.inherited_volumes.extend(found);
        }
        self.save().await;
        Ok(())
    }

    /// A version that failed its trial by its health check has passed it once the check succeeds.
    pub(super) fn note_recovery(&mut self) {
        let Some(record) = &self.record else { return };
        let healthy = self
            .memory
            .observed
            .current(record)
            .filter(|c| c.state == ContainerState::Running)
            .filter(|c| c.health == Some(ContainerHealth::Healthy))
            .map(|c| c.id.clone());
        let failures = &mut self.memory.attempts.failures;
        let is_unhealthy = failures
            .get(&record.current.revision)
            .is_some_and(|f| f.why.code == ReasonCode::Unhealthy);
        if let Some(container) = healthy.filter(|_| is_unhealthy) {
            failures.remove(&record.current.revision);
            self.memory.observed.tried.insert(container);
        }
    }

    fn fail(&mut self, version: Version, why: Why, now: Instant) {
        let Some(release) = self
            .record
            .as_ref()
            .and_then(|r| steps::release(r, version))
        else {
            return;
        };
        let revision = release.revision;
        let failure = self.memory.attempts.fail(revision, why, now);
        tracing::info!(instance = %self.id, revision, code = failure.why.code.as_str(), shown = failure.shown, "a version failed");
    }

    /// A step was carried out.
    pub(super) fn stepped(&mut self, step: &Step, end: StepEnd, now: Instant) {
        self.memory.attempts.backoff = None;
        self.memory.status.progress = self.memory.status.local_image.clone();
        self.memory.attempts.name_refused = None;
        let Some(record) = &mut self.record else {
            return;
        };
        match (step, end) {
            (Step::EnsureImage(version), StepEnd::Image(image)) => {
                if let Some(why) = image.not_asked {
                    self.memory.status.use_local_image(&why);
                }
                let is_same = *version == Version::Next
                    && self
                        .memory
                        .observed
                        .runs_already(record, image.digest.as_ref());
                if is_same {
                    tracing::info!(instance = %record.id, "the registry has no newer image; nothing to update");
                    record.next = None;
                }
                let release = match (version, &mut record.next) {
                    (Version::Next, Some(next)) => next,
                    _ => &mut record.current,
                };
                release.refresh_image = false;
                release.pulled |= image.pulled;
                release.image_digest = image.digest;
                release.registry_digest = image.registry_digest;
                if !is_same {
                    self.memory.observed.images.insert(release.revision);
                }
                self.unsaved = true;
            }
            (Step::Start(_, container), _) => {
                self.memory.observed.on_trial = Some(container.clone());
                self.memory.attempts.start_after = None;
                self.unsaved |= record.halted.take().is_some();
                self.memory.observed.restarted = record.restart.map(|r| r.after);
            }
            (Step::Try(_, container), StepEnd::Done) => {
                self.memory.observed.on_trial = None;
                self.memory.observed.tried.insert(container.clone());
            }
            (Step::Try(version, container), StepEnd::Ended(why, containers)) => {
                tracing::info!(instance = %record.id, container = container.short(), code = why.code.as_str(), "the container ended on its trial");
                self.memory.observed.containers = containers;
                self.memory.observed.on_trial = None;
                self.trial_failed(*version, why, now);
            }
            (Step::Stop(container), _) => {
                self.note_made_anew(container);
                if let Some(stopped) = self.memory.observed.find(container) {
                    self.memory.attempts.crashes.excuse(&stopped.clone());
                }
            }
            (Step::Adjust(version, container), _) => {
                let asked = steps::release(record, *version)
                    .map(|r| steps::confinement(&self.shared, self.id, r));
                let found = self.memory.observed.find(container);
                if let (Some(asked), Some(found)) = (asked, found) {
                    let limits = asked.differences(&found.hardening).join(", ");
                    tracing::warn!(instance = %record.id, container = container.short(), limits, "somebody changed the container's limits; they were put back");
                }
                *self
                    .memory
                    .observed
                    .adjustments
                    .entry(container.clone())
                    .or_default() += 1;
            }
            (Step::Reject(version, container), _) => self.reject(*version, container, now),
            (Step::Remove(container), _) => {
                self.note_made_anew(container);
                self.memory.observed.unusable.remove(container);
                self.memory.observed.tried.remove(container);
                self.drop_old_image(container);
            }
            (Step::Sweep, _) => self.memory.observed.swept = true,
            _ => {}
        }
    }

    /// A container ended on its trial. Once, that may have come from outside: somebody stopped it, or Docker is stopping.
    /// So it is started a second time before the version counts as failed.
    fn trial_failed(&mut self, version: Version, mut why: Why, now: Instant) {
        let record = self.record.as_ref();
        let revision = record.and_then(|r| steps::release(r, version).map(|r| r.revision));
        let attempts = &mut self.memory.attempts;
        if why.code == ReasonCode::Exited && attempts.second_trial != revision {
            attempts.second_trial = revision;
            attempts.restart_count += 1;
            attempts.start_after = Some(now + FIRST_PAUSE);
            self.shared.telemetry.restarts.inc();
            return;
        }
        // The container of an update goes, and its log with it.
        why.message += match version {
            Version::Current if why.message.contains(steps::SAID) => "",
            Version::Current => "; its log may say why",
            Version::Next => "; the version before it runs again",
        };
        self.fail(version, why, now);
    }

    /// A container that was stopped or removed because it had lost its confinement is made anew once.
    fn note_made_anew(&mut self, container: &ContainerId) {
        let Some(record) = &self.record else { return };
        // It was stopped or removed because the instance is.
        if !record.is_to_run() {
            return;
        }
        let observed = &mut self.memory.observed;
        let lost = [Some(&record.current), record.next.as_ref()]
            .into_iter()
            .flatten()
            .find(|release| {
                observed.find(container).is_some_and(|c| {
                    c.revision == Some(release.revision)
                        && observed.confinement(c, (record.id, *release), &self.shared)
                            == Confinement::Lost
                })
            })
            .map(|release| release.revision);
        if let Some(revision) = lost {
            tracing::warn!(instance = %record.id, container = container.short(), "the container had lost its confinement; making it anew");
            observed.made_anew.insert(revision);
            // It may look as asked once it does not run.
            observed.unusable.insert(container.clone());
        }
    }

    fn reject(&mut self, version: Version, container: &ContainerId, now: Instant) {
        let Some(record) = &self.record else { return };
        let found = self.memory.observed.find(container);
        let (Some(release), Some(found)) = (steps::release(record, version), found) else {
            return;
        };
        let missing = steps::confinement(&self.shared, self.id, release)
            .differences(&found.hardening)
            .join(", ");
        self.memory.attempts.crashes.excuse(&found.clone());
        let why = ReasonCode::HardeningNotApplied
            .because(format!("Docker did not apply the confinement asked for ({missing}), so the container was stopped"));
        self.fail(version, why, now);
    }

    /// Docker refused a step.
    pub(super) fn refused(&mut self, step: &Step, error: &RuntimeError, now: Instant) {
        let Some(record) = &self.record else { return };
        tracing::debug!(instance = %self.id, ?step, %error, "Docker refused a step");
        let why = error.why(steps::operation(step, record));
        match (step, error) {
            // Somebody removed the container, which the next look shows; or the network, which the next attempt makes.
            (_, RuntimeError::ContainerGone) | (Step::Create(..), RuntimeError::NetworkMissing) => {
            }
            (Step::Create(version, _), RuntimeError::ImageMissing) => {
                if let Some(release) = steps::release(record, *version) {
                    self.memory.observed.images.remove(&release.revision);
                }
            }
            // These cannot be started again, so they are made anew.
            (Step::Start(_, container), RuntimeError::NetworkMissing) => {
                self.memory.observed.unusable.insert(container.clone());
            }
            (Step::Start(_, container), RuntimeError::TaskLeft) => {
                tracing::warn!(instance = %self.id, container = container.as_str(), %error, "making the container anew; Docker has lost its process, which may still run");
                self.memory.observed.unusable.insert(container.clone());
            }
            // The container is made anew instead.
            (Step::Adjust(_, container), _) => {
                tracing::warn!(instance = %self.id, container = container.short(), %error, "Docker did not put the container's limits back");
                self.memory
                    .observed
                    .adjustments
                    .insert(container.clone(), u32::MAX);
            }
            (Step::Create(version, _), RuntimeError::NameTaken) => self.name_taken(*version, now),
            (Step::Rename(..), RuntimeError::NameTaken) => self.name_taken(Version::Current, now),
            (
                Step::EnsureImage(version)
                | Step::Create(version, _)
                | Step::Start(version, _)
                | Step::Try(version, _),
                _,
            ) => {
                self.fail(*version, why, now);
            }
            _ => {
                // It belongs to no version, so it is tried again later, whatever the code says.
                let code = if why.code.may_heal() {
                    why.code
                } else {
                    ReasonCode::DockerFailed
                };
                self.memory.attempts.back_off(Why { code, ..why }, now);
            }
        }
    }

    /// Docker reserves a name before it shows the container. So for a while the name may belong to a container of our own,
    /// whose creation was begun by an earlier life of the agent.
    fn name_taken(&mut self, version: Version, now: Instant) {
        let first = *self.memory.attempts.name_refused.get_or_insert(now);
        if now - first < OWN_CREATION {
            return;
        }
        let Some(record) = &mut self.record else {
            return;
        };
        let long = ContainerName::derive_long(&record.name, record.id)
            .as_str()
            .to_owned();
        if record.container_name == long {
            let why = RuntimeError::NameTaken.why(crate::runtime::Operation::Create);
            self.fail(version, why, now);
        } else {
            tracing::info!(instance = %record.id, from = %record.container_name, to = %long, "the container's name is taken; using the long one");
            record.container_name = long;
            self.unsaved = true;
        }
    }

    /// A version passed its trial.
    pub(super) async fn commit(&mut self, version: Version) {
        let Some(record) = &mut self.record else {
            return;
        };
        if version == Version::Next
            && let Some(next) = record.next.take()
        {
            tracing::info!(instance = %record.id, from = record.current.revision, to = next.revision, "updated");
            record.current = next;
            record.update_failure = None;
        }
        record.current.proven = true;
        let built = record.current.image_request(record.id);
        if version == Version::Next {
            self.drop_old_builds(built.image().to_owned());
        }
        // If it cannot be stored, a crash leads back to the old record, whose trial has the same result.
        self.save().await;
        self.release_unused_ports();
    }

    /// Removes images that were built for earlier versions. Best effort: a deletion removes all of them.
    fn drop_old_builds(&self, keep: String) {
        let (shared, id) = (Arc::clone(&self.shared), self.id);
        tokio::spawn(async move {
            if let Err(error) = shared.runtime.remove_builds(id, Some(&keep)).await {
                tracing::debug!(instance = %id, %error, "old built images stay until the deletion");
            }
        });
    }

    /// Removes the image of a removed container, if no release needs it, and it has no name (its tag names another image by
    /// now, and nobody else would remove it) or the agent pulled it by its name. Best effort.
    fn drop_old_image(&self, container: &ContainerId) {
        let Some(record) = &self.record else { return };
        let removed = self.memory.observed.find(container);
        let Some(image) = removed.and_then(|c| c.image_digest.clone()) else {
            return;
        };
        let name = removed.map(|c| c.image.clone()).unwrap_or_default();
        let mut releases = std::iter::once(&record.current).chain(&record.next);
        let is_needed = |r: &Release| r.image_digest.as_ref().is_none_or(|id| *id == image);
        let is_named = releases
            .clone()
            .any(|r| r.image_request(record.id).image() == name);
        if record.desired == Desired::Absent || releases.any(is_needed) {
            return;
        }
        let (shared, id) = (Arc::clone(&self.shared), self.id);
        tokio::spawn(async move {
            if !is_named {
                unused_images::drop_one(&shared, Some(id), name).await;
            }
            if let Err(error) = shared.runtime.remove_nameless(&image).await {
                tracing::debug!(instance = %id, %error, image, "an old image stays");
            }
        });
    }

    /// The update failed: the version before it is kept.
    pub(super) async fn roll_back(&mut self) {
        let Some(record) = &mut self.record else {
            return;
        };
        let Some(next) = record.next.take() else {
            return;
        };
        let why = self
            .memory
            .attempts
            .failures
            .remove(&next.revision)
            .map(|f| f.why);
        let why = why.unwrap_or_else(|| ReasonCode::DockerFailed.because("The update failed"));
        tracing::warn!(instance = %record.id, revision = next.revision, code = why.code.as_str(), "update rolled back");
        record.update_failure = Some(why.into());
        self.save().await;
        self.release_unused_ports();
        // An update without a container has nothing that its image would go with.
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move { unused_images::drop_all(&shared).await });
    }

    /// Nothing is left in Docker: the record is removed, and a tombstone with its generation remains.
    pub(super) async fn forget(&mut self, now: Instant) {
        let Some(generation) = self.record.as_ref().map(|r| r.generation) else {
            return;
        };
        let (store, id) = (Arc::clone(&self.shared.store), self.id);
        if self.shared.tombstones.add(id, generation).await.is_err() {
            return self.not_forgotten(now);
        }
        match tokio::task::spawn_blocking(move || store.remove(id)).await {
            Ok(Ok(())) => {
                tracing::info!(instance = %id, "deleted");
                self.shared.firewall.set(id, None).await;
                self.shared.firewall.settled().await;
                self.record = None;
                self.release_unused_ports();
            }
            Ok(Err(error)) => {
                let text = crate::error_chain(&error);
                tracing::error!(instance = %id, error = %text, "could not remove a record");
                self.not_forgotten(now);
            }
            Err(error) => tracing::error!(instance = %id, %error, "the store panicked"),
        }
    }

    fn not_forgotten(&mut self, now: Instant) {
        let why = ReasonCode::RemoveFailed
            .because("The record of the tool instance could not be removed from the disk");
        self.memory.attempts.back_off(why, now);
        self.wake_at = now;
    }
}

/// So that the long form of a name, with its suffix, still fits Docker.
const _: () = assert!(toolbox_domain::names::MAX_CONTAINER_NAME_CHARS + NEXT_SUFFIX.len() < 128);
