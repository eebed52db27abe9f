//! The task of one instance: looks at Docker, plans, carries out one step, looks again.
//!
//! Inputs: its mailbox (commands, wake-ups), the step under way, the clock, the shutdown signal. Outputs: the durable
//! record, steps against Docker, the published view. Commands are answered also while a step is under way. A pull, a
//! build, a trial and a look are dropped when a command makes them pointless. All other steps are finished.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use toolbox_api::dtma::{Desired, Phase, Progress};
use toolbox_domain::ids::ToolInstanceId;

use super::backoff::Outage;
use super::command::Change;
use super::job::{Job, Outcome, end_of, phase_of};
use super::memory::Memory;
use super::steps;
use super::view::{self, News};
use super::{Command, CommandError, Message, Published, Shared, adopt, stopped};
use crate::planner::{self, Settled, Step, Version};
use crate::record::Record;
use crate::runtime::{ContainerState, RuntimeError};

/// How often an instance is looked at although nothing happened. Instances differ by up to a quarter of it.
const PERIOD: Duration = Duration::from_mins(1);
/// How soon Docker is asked again while it is busy with a container; longer each time.
const BUSY: Duration = Duration::from_millis(300);
/// How often progress of a pull is published.
const PROGRESS: Duration = Duration::from_millis(500);
/// Steps without settling after which the task pauses: no plan needs a tenth of them.
const MAX_STEPS: u32 = 100;
/// How long a command waits for an answer of Docker that it can do without.
const SHORT_LOOK: Duration = Duration::from_secs(2);
/// How long a task without a record waits for the command it was started for.
const FIRST_COMMAND: Duration = Duration::from_secs(5);

pub struct Instance {
    pub(super) id: ToolInstanceId,
    pub(super) shared: Arc<Shared>,
    pub(super) record: Option<Record>,
    pub(super) memory: Memory,
    /// The record changed in memory but could not be stored yet.
    pub(super) unsaved: bool,
    publish: watch::Sender<Published>,
    progress: watch::Sender<Option<Progress>>,
    job: Option<Job>,
    job_began: Instant,
    pub(super) wake_at: Instant,
    look_again: bool,
}

impl Instance {
    /// An instance with its record, or with one that is yet to be found or given.
    pub fn new(
        id: ToolInstanceId,
        record: Option<Record>,
        shared: Arc<Shared>,
        publish: watch::Sender<Published>,
    ) -> Self {
        let now = Instant::now();
        Self {
            id,
            shared,
            record,
            memory: Memory::default(),
            unsaved: false,
            publish,
            progress: watch::channel(None).0,
            job: None,
            job_began: now,
            wake_at: now,
            look_again: false,
        }
    }

    /// Runs until the instance is gone or the agent stops.
    pub async fn run(
        mut self,
        mut mailbox: mpsc::Receiver<Message>,
        mut shutdown: watch::Receiver<bool>,
    ) {
        if self.record.is_none() && !self.find_record(&mut mailbox).await {
            return;
        }
        self.publish();
        while self.record.is_some() {
            if self.job.is_none() && self.wake_at <= Instant::now() {
                self.look();
            }
            let pulling = matches!(self.job, Some(Job::Step(Step::EnsureImage(_), _)));
            tokio::select! {
                biased;
                () = stopped(&mut shutdown) => return self.finish().await,
                message = mailbox.recv() => match message {
                    Some(Message::Command(command, reply)) => self.command(command, reply).await,
                    Some(Message::Look) => self.wake(),
                    Some(Message::Disk(found)) => self.disk_counted(&found).await,
                    Some(Message::Rest(usage, limit)) => self.rest(&usage, limit).await,
                    Some(Message::Wake) => self.wake_up().await,
                    None => return self.finish().await,
                },
                outcome = end_of(&mut self.job) => {
                    self.job = None;
                    self.advance(outcome).await;
                }
                () = tokio::time::sleep_until(self.wake_at), if self.job.is_none() => {}
                () = tokio::time::sleep(PROGRESS), if pulling => {
                    self.memory.status.progress.clone_from(&self.progress.borrow());
                    self.publish();
                }
            }
        }
        // Commands still in the mailbox are answered by a new task: their callers see this one's end.
        self.publish.send_replace(Published::default());
        self.shared.changes.mark(self.id);
    }

    /// Finds the record on disk or in Docker, or waits for the first command to bring it. False when there is none.
    async fn find_record(&mut self, mailbox: &mut mpsc::Receiver<Message>) -> bool {
        let (store, id) = (Arc::clone(&self.shared.store), self.id);
        let on_disk = tokio::task::spawn_blocking(move || store.find(id))
            .await
            .ok()
            .flatten();
        self.record = match on_disk {
            Some(record) => Some(record),
            None => self.adopt().await,
        };
        let limit = Instant::now() + FIRST_COMMAND;
        while self.record.is_none() {
            match tokio::time::timeout_at(limit, mailbox.recv()).await {
                Ok(Some(Message::Command(command, reply))) => self.command(command, reply).await,
                // The container it was woken for is gone.
                Ok(Some(Message::Look)) if mailbox.is_empty() => return false,
                Ok(Some(Message::Look | Message::Disk(_) | Message::Rest(..) | Message::Wake)) => {}
                Ok(None) | Err(_) => return false,
            }
        }
        true
    }

    /// Rebuilds the record from a container, and makes it durable.
    async fn adopt(&mut self) -> Option<Record> {
        let look = self.shared.runtime.observe(self.id);
        let containers = tokio::time::timeout(SHORT_LOOK, look).await.ok()?.ok()?;
        let best = adopt::best(&containers)?;
        let found = self.shared.runtime.describe(&best.id).await.ok()?;
        let Some(mut record) = adopt::rebuild(self.id, &found) else {
            tracing::warn!(instance = %self.id, container = best.id.short(), "a container carries this toolbox's label, but its other labels cannot be read; left alone");
            return None;
        };
        if let Some(generation) = self.shared.tombstones.get(self.id)
            && record.generation <= generation
        {
            // Docker finished a creation after the instance was deleted.
            record.desired = Desired::Absent;
            record.generation = generation;
        }
        self.shared.ports.adopt(self.id, &record.current.ports);
        tracing::info!(instance = %self.id, generation = record.generation, desired = ?record.desired, "rebuilt a lost record from Docker");
        self.unsaved = true;
        Some(record)
    }

    /// The agent stops: a step that cannot be dropped is finished. Everything else continues after the next start.
    async fn finish(mut self) {
        if let Some(mut job) = self.job.take().filter(|j| !j.can_be_dropped()) {
            job.end().await;
        }
        if self.unsaved {
            self.save().await;
        }
    }

    fn wake(&mut self) {
        if self.job.is_some() {
            self.look_again = true;
        } else {
            self.wake_at = Instant::now();
        }
    }

    /// The plan has changed: what was under way for the old one is dropped where it can be.
    pub(super) fn look_anew(&mut self) {
        if self.job.as_ref().is_some_and(Job::can_be_dropped) {
            self.job = None;
        }
        self.wake();
        self.publish();
    }

    fn look(&mut self) {
        self.look_again = false;
        self.job_began = Instant::now();
        self.job = Some(Job::look(&self.shared, self.id));
    }

    async fn command(
        &mut self,
        command: Command,
        reply: oneshot::Sender<Result<(), CommandError>>,
    ) {
        let before = self.plan_inputs();
        let answer = self.accept(command).await;
        if answer.is_ok() && self.record.is_some() {
            self.publish();
            if self.plan_inputs() != before && self.job.as_ref().is_some_and(Job::can_be_dropped) {
                self.job = None;
            }
            self.wake_at = Instant::now();
        }
        // The caller may be gone; the command holds all the same.
        let _ = reply.send(answer);
    }

    /// What a pull or a trial under way depends on.
    fn plan_inputs(&self) -> Option<(Desired, bool, u64, Option<u64>)> {
        self.record.as_ref().map(|r| {
            (
                r.desired,
                r.rests,
                r.current.revision,
                r.next.as_ref().map(|n| n.revision),
            )
        })
    }

    async fn accept(&mut self, command: Command) -> Result<(), CommandError> {
        let wanted = |task: &Self| {
            task.record.as_ref().map(|r| {
                let next = r.next.as_ref().filter(|_| !r.is_redeployed());
                let specs = (r.current.sha256.clone(), next.map(|n| n.revision));
                (r.desired, r.rests, specs, r.restart)
            })
        };
        if let Command::Put(put) = &command
            && let Some(access) =
                put.new_closed_access(&self.shared.bounds.closed, self.record.as_ref())
        {
            if !put.pulled {
                return Err(CommandError::HostPortReserved(access));
            }
            tracing::warn!(instance = %self.id, %access, "a spec names a port of the agent, its companion, sshd or Docker, which is opened to no tool");
        }
        let (is_put, before_it) = (matches!(command, Command::Put(_)), wanted(self));
        let phase = match &command {
            Command::Put(put) if put.desired == Desired::Running => Phase::Pending,
            Command::Start(_) => Phase::Starting,
            Command::Put(_) | Command::Stop(_) | Command::Restart(_) => Phase::Stopping,
            Command::Delete(_) => Phase::Removing,
        };
        let foreign = match &command {
            // Trying to bind finds ports in use; Docker also knows the ports of stopped containers that it will start.
            Command::Put(_) => {
                match tokio::time::timeout(SHORT_LOOK, self.shared.runtime.inventory()).await {
                    Ok(Ok(inventory)) => inventory.foreign_ports,
                    Ok(Err(_)) | Err(_) => Vec::new(),
                }
            }
            _ => Vec::new(),
        };
        let (id, ports) = (self.id, self.shared.ports.clone());
        let known = match &command {
            // An instance that is held keeps its own ports.
            Command::Put(put) if self.record.is_none() => put.known_ports.clone(),
            _ => Vec::new(),
        };
        let allocate = |spec: &toolbox_domain::spec::InstanceSpec, kept: &[_]| {
            ports.promise(id, spec.ports(), kept, &known, &foreign)
        };
        if self.record.is_none()
            && let (Some(asked), Some(held)) =
                (command.generation(), self.shared.tombstones.get(self.id))
            && matches!(command, Command::Put(_))
            && asked <= held
        {
            return Err(CommandError::Stale { asked, held });
        }
        let deletes_unknown = match (&command, self.record.is_none()) {
            (Command::Delete(generation), true) => *generation,
            _ => None,
        };
        if let Some(generation) = deletes_unknown {
            self.shared.tombstones.add(self.id, generation).await?;
        }
        match command.apply(
            self.id,
            self.record.as_ref(),
            OffsetDateTime::now_utc(),
            allocate,
        )? {
            Change::Nothing => Ok(()),
            Change::TryAgain => {
                self.memory.reset(phase);
                Ok(())
            }
            Change::Record(record) => {
                let before = self.record.replace(*record);
                if !self.save().await {
                    self.record = before;
                    self.unsaved = false;
                    self.release_unused_ports();
                    return Err(CommandError::Store);
                }
                if before.is_none() {
                    self.shared.tombstones.clear(self.id).await;
                }
                self.release_unused_ports();
                // A new generation that changes nothing leaves a running or stopped instance as it is.
                let is_there = matches!(self.memory.status.phase, Phase::Running | Phase::Stopped);
                let is_same = is_put && before_it.is_some() && before_it == wanted(self);
                let phase = if is_there && is_same {
                    self.memory.status.phase
                } else {
                    phase
                };
                self.memory.reset(phase);
                Ok(())
            }
        }
    }

    /// Frees the ports of releases that are no longer needed.
    pub(super) fn release_unused_ports(&self) {
        let releases = self
            .record
            .iter()
            .flat_map(|r| std::iter::once(&r.current).chain(&r.next));
        self.shared
            .ports
            .release_except(self.id, releases.flat_map(|r| &r.ports));
    }

    /// Stores the record; whether it is durable now.
    pub(super) async fn save(&mut self) -> bool {
        let Some(record) = self.record.clone() else {
            return true;
        };
        self.shared.firewall.set(self.id, Some(&record)).await;
        // An exception that no release names any more ends before anybody is told so.
        self.shared.firewall.settled().await;
        let store = Arc::clone(&self.shared.store);
        let saved = tokio::task::spawn_blocking(move || store.save(&record)).await;
        self.unsaved = !matches!(saved, Ok(Ok(())));
        match saved {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::error!(instance = %self.id, error = %crate::error_chain(&error), "could not store a record");
            }
            Err(error) => tracing::error!(instance = %self.id, %error, "the store panicked"),
        }
        !self.unsaved
    }

    /// Takes the outcome of a job, and decides what is next.
    async fn advance(&mut self, outcome: Outcome) {
        let now = Instant::now();
        match outcome {
            Outcome::Looked(Err(error)) => self.outage(&error, true, now),
            Outcome::Looked(Ok(containers)) => {
                let returns = self.shared.docker_returns.load(Ordering::Relaxed);
                self.memory.docker_answers(returns, now);
                self.memory.observed.containers = containers;
                match self.inherit_volumes().await {
                    Ok(()) => {
                        self.note_recovery();
                        self.judge_ends(now);
                        self.decide(now).await;
                    }
                    Err(error) => self.outage(&error, true, now),
                }
            }
            Outcome::Stepped(step, Ok(end)) => {
                self.stepped(&step, end, now);
                // The image's id must survive a crash before its container is made.
                if self.unsaved {
                    self.save().await;
                }
                self.wake_at = now;
            }
            Outcome::Stepped(step, Err(error)) => {
                if error.is_outage() {
                    self.outage(&error, false, now);
                } else {
                    self.refused(&step, &error, now);
                    let is_taken = matches!(error, RuntimeError::NameTaken);
                    self.wake_at = if is_taken { now + BUSY } else { now };
                }
            }
        }
        self.publish();
    }

    fn outage(&mut self, error: &RuntimeError, is_look: bool, now: Instant) {
        let why = error.why(crate::runtime::Operation::Look);
        let outage = Outage::again(
            self.memory.attempts.outage.as_ref(),
            why,
            is_look,
            self.job_began,
            now,
        );
        if self.memory.attempts.outage.is_none() {
            tracing::warn!(instance = %self.id, %error, "Docker does not answer; trying again");
        }
        self.wake_at = outage.retry_at;
        self.memory.attempts.outage = Some(outage);
        self.memory.status.decided = true;
        self.memory.status.progress = None;
        // An engine that stops ends its containers, so this end says nothing about the version: its trial begins again.
        self.memory.observed.on_trial = None;
    }

    /// Plans on the last look, through all steps that do not need Docker.
    async fn decide(&mut self, now: Instant) {
        // Commit and roll-back happen once per update, so this ends after a few rounds.
        for _ in 0..8 {
            let Some(record) = &self.record else { return };
            if let Some(until) = self.memory.attempts.pause(record, now) {
                self.memory.status.decided = true;
                self.wake_at = until;
                return;
            }
            let seen = self.memory.observed.seen(record, &self.shared);
            let step = planner::next(&self.memory.situation(record, &seen, now));
            match step {
                Step::Commit(version) => self.commit(version).await,
                Step::RollBack => self.roll_back().await,
                Step::Forget => return self.forget(now).await,
                Step::Done(settled) => return self.settle(settled, now).await,
                Step::Hold => {
                    self.memory.attempts.holds += 1;
                    self.memory.status.decided = true;
                    self.memory.status.phase = if record.desired == Desired::Absent {
                        Phase::Removing
                    } else {
                        Phase::Starting
                    };
                    self.memory.status.settled = false;
                    self.wake_at = self
                        .memory
                        .attempts
                        .start_after
                        .filter(|at| *at > now)
                        .unwrap_or(now + BUSY * self.memory.attempts.holds.clamp(1, 16));
                    return;
                }
                step => return self.begin(step, now),
            }
        }
    }

    fn begin(&mut self, step: Step, now: Instant) {
        let Some(record) = &self.record else { return };
        self.memory.attempts.holds = 0;
        self.memory.attempts.steps += 1;
        if self.memory.attempts.steps > MAX_STEPS {
            tracing::error!(instance = %self.id, ?step, "steps do not lead to the desired state; pausing");
            self.memory.attempts.steps = 0;
            self.memory.status.decided = true;
            self.wake_at = now + PERIOD;
            return;
        }
        // The tool keeps running while the registry is asked for a newer image, and while its limits are put back.
        let goes_on = self.memory.status.phase == Phase::Running
            && match step {
                Step::EnsureImage(Version::Next) => record.is_redeployed(),
                Step::EnsureImage(Version::Current) | Step::Adjust(..) => {
                    let current = self.memory.observed.current(record);
                    record.next.is_none()
                        && current.is_some_and(|c| c.state == ContainerState::Running)
                }
                _ => false,
            };
        if !goes_on {
            self.memory.status.phase = phase_of(&step, record);
        }
        self.memory.status.settled = false;
        self.memory.status.decided = true;
        self.memory
            .status
            .progress
            .clone_from(&self.memory.status.local_image);
        self.progress.send_replace(None);
        tracing::debug!(instance = %self.id, ?step, "step");
        self.job_began = now;
        self.job = steps::begin(
            &self.shared,
            record,
            &step,
            &self.memory.observed.containers,
            self.progress.clone(),
        )
        .map(|job| Job::Step(step, job));
    }

    async fn settle(&mut self, settled: Settled, now: Instant) {
        if self.unsaved {
            self.save().await;
        }
        self.memory.attempts.steps = 0;
        self.memory.status.decided = true;
        self.memory.status.settled = true;
        self.memory.status.phase = match settled {
            Settled::Running => Phase::Running,
            Settled::Stopped => Phase::Stopped,
            Settled::Failed => Phase::Error,
        };
        if settled == Settled::Running {
            // It runs, so earlier failures are over.
            self.memory.attempts.failures.clear();
            self.memory.observed.settled();
        }
        let spread = u32::from(self.id.as_uuid().as_bytes()[15]);
        let period = PERIOD * (1024 - spread) / 1024;
        let next_try = self
            .memory
            .attempts
            .next_try()
            .filter(|_| settled == Settled::Failed);
        self.wake_at = if self.look_again {
            now
        } else {
            next_try.unwrap_or(now + period).min(now + period)
        };
    }

    /// Publishes the view if anything but its time changed. A change gets a new version, unless only the progress changed,
    /// which is not reported to the control plane.
    pub(super) fn publish(&self) {
        let Some(record) = &self.record else { return };
        let mut fresh = view::of(record, &self.memory, Instant::now());
        let (decided, rests) = (self.memory.status.decided, record.rests);
        let mut is_news = false;
        self.publish.send_if_modified(|published| {
            let old = published.view.as_deref();
            let news = old
                .filter(|_| (published.decided, published.rests) == (decided, rests))
                .map_or(News::State, |old| view::news(old, &fresh));
            fresh.version = match news {
                News::None => return false,
                News::Progress => old.and_then(|v| v.version),
                News::State => Some(self.shared.changes.next_version()),
            };
            is_news = news == News::State;
            published.view = Some(Arc::new(fresh));
            published.decided = decided;
            published.rests = rests;
            true
        });
        if is_news {
            self.shared.changes.mark(self.id);
        }
    }
}
