//! The instances of this toolbox: who owns them, and how the rest of the agent reaches them.
//!
//! Tasks and channels:
//! - one [`task`] per instance owns its record and is the only one that changes its containers. Its mailbox takes
//!   commands and wake-ups; it publishes what it knows through a watch channel, so waiting costs nothing;
//! - the [`supervisor`] owns the list of instances and starts their tasks;
//! - [`disk_watch`] counts what tools keep on the disk, and tells their tasks;
//! - the bridges (`crate::mcp`) ask a task to let its server [`rest`], and to wake it;
//! - the [`watcher`] follows Docker's events and the clock, and wakes instances through the supervisor.
//!
//! [`InstancesHandle`] is the way in. A command is accepted once its record is durable; a task then works towards
//! it step by step ([`crate::planner`]), whatever happens in between.

pub mod adopt;
mod attempts;
mod backoff;
pub mod changes;
pub mod command;
pub mod crashes;
pub mod disk_watch;
mod effects;
mod job;
pub mod memory;
mod observed;
pub mod put;
pub mod rest;
pub mod steps;
pub mod supervisor;
pub mod task;
pub mod tombstones;
pub mod unused_images;
pub mod view;
pub mod watcher;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use toolbox_api::dtma::ToolView;
use toolbox_domain::ids::{ToolInstanceId, ToolboxId};

use crate::firewall::Firewall;
use crate::ports::PortTable;
use crate::runtime::ContainerRuntime;
use crate::store::Store;
use crate::telemetry::Telemetry;
pub use changes::Changes;
pub use command::{Command, CommandError};
pub use put::{Bounds, Put};
pub use rest::Use;
pub use tombstones::Tombstones;

/// Commands and wake-ups that may wait for one instance. A task needs one disk write for each, so a longer queue would
/// only hide a stuck task. Callers wait when it is full.
const MAILBOX: usize = 64;
/// Requests that may wait for the supervisor, which answers each at once.
const REQUESTS: usize = 256;

/// How long a reader waits for a task to find its record, on disk or in Docker.
const RECORD_LIMIT: Duration = Duration::from_secs(2);

/// What every instance needs.
pub struct Shared {
    /// The toolbox whose containers are ours.
    pub toolbox: ToolboxId,
    pub runtime: Arc<dyn ContainerRuntime>,
    /// How often Docker came back after its event stream was lost. It may be another engine each time.
    pub docker_returns: AtomicU64,
    pub store: Arc<Store>,
    pub ports: PortTable,
    /// What specs may name.
    pub bounds: Arc<Bounds>,
    pub firewall: Arc<Firewall>,
    /// What was deleted.
    pub tombstones: Arc<Tombstones>,
    /// What changed.
    pub changes: Arc<Changes>,
    pub telemetry: Arc<Telemetry>,
}

/// What a task publishes of its instance.
#[derive(Clone, Debug, Default)]
pub struct Published {
    /// The instance; none before its record is durable and after it is gone.
    pub view: Option<Arc<ToolView>>,
    /// The task has asked Docker and decided since the last command, so `view` answers that command.
    pub decided: bool,
    /// It is stopped, or being stopped, because nobody uses it.
    pub rests: bool,
}

/// A message to an instance's task.
#[derive(Debug)]
pub enum Message {
    /// Do this, and say whether it was accepted.
    Command(Command, oneshot::Sender<Result<(), CommandError>>),
    /// Something may have changed in Docker.
    Look,
    /// What the tool keeps on the disk.
    Disk(disk_watch::Found),
    /// Nobody has used it for so long: stop it.
    Rest(Arc<Use>, Duration),
    /// Somebody wants to use it: start it if it rests.
    Wake,
}

/// How to reach one instance.
#[derive(Clone, Debug)]
pub struct Entry {
    mailbox: mpsc::Sender<Message>,
    published: watch::Receiver<Published>,
}

impl Entry {
    /// What is known now.
    pub fn view(&self) -> Option<Arc<ToolView>> {
        self.published.borrow().view.clone()
    }

    /// What is known now, and whether it answers the last command.
    pub fn published(&self) -> Published {
        self.published.borrow().clone()
    }

    /// Lets it rest if nobody has used it for so long. A mailbox that is full misses it; it is asked again.
    pub fn rest(&self, usage: Arc<Use>, limit: Duration) {
        let _ = self.mailbox.try_send(Message::Rest(usage, limit));
    }

    /// Starts it if it rests.
    pub async fn wake(&self) {
        // A task that has ended publishes so.
        let _ = self.mailbox.send(Message::Wake).await;
    }

    /// What is known now is seen: [`Self::changed`] waits for what comes after it.
    pub fn seen(&mut self) {
        self.published.mark_unchanged();
    }

    /// Waits for the next change; false when there will be none.
    pub async fn changed(&mut self) -> bool {
        self.published.changed().await.is_ok()
    }

    /// What is known, once a task that is just starting has found its record.
    pub async fn known(&mut self) -> Option<Arc<ToolView>> {
        let found = self.published.wait_for(|p| p.view.is_some());
        let _ = tokio::time::timeout(RECORD_LIMIT, found).await;
        self.view()
    }

    /// Waits until `enough`, or the instance is gone, or the time is up; what is known then.
    async fn wait(
        &mut self,
        limit: Duration,
        enough: impl FnMut(&Published) -> bool,
    ) -> Option<Arc<ToolView>> {
        let mut enough = enough;
        let waiting = self.published.wait_for(|p| p.view.is_none() || enough(p));
        // A task that ended published that its instance is gone, or the agent is shutting down.
        let _ = tokio::time::timeout(limit, waiting).await;
        self.view()
    }

    /// Waits until the instance is done with `generation` or a later one.
    pub async fn settled(&mut self, generation: u64, limit: Duration) -> Option<Arc<ToolView>> {
        self.wait(limit, |p| {
            p.view
                .as_ref()
                .is_some_and(|v| v.settled && v.generation >= generation)
        })
        .await
    }

    /// Waits until the task has decided what the last command takes.
    pub async fn decided(&mut self, limit: Duration) -> Option<Arc<ToolView>> {
        self.wait(limit, |p| p.decided).await
    }
}

/// A request to the supervisor.
#[derive(Debug)]
pub(crate) enum Request {
    /// The instance, if the agent holds it.
    Find(ToolInstanceId, oneshot::Sender<Found>),
    /// The instance; its task is started when there is none.
    FindOrStart(ToolInstanceId, oneshot::Sender<Entry>),
    /// All of them.
    List(oneshot::Sender<Vec<Entry>>),
    /// All of them by id, and whether Docker was ever asked which there are.
    Survey(oneshot::Sender<Survey>),
    /// A container of this instance changed.
    Changed(ToolInstanceId),
    /// Docker has containers of these instances now.
    Inventory(Vec<ToolInstanceId>),
    /// Anything may have changed.
    LookAll,
    /// What the tool of an instance keeps on the disk.
    Disk(ToolInstanceId, disk_watch::Found),
}

/// Everything the agent holds.
#[derive(Debug)]
pub struct Survey {
    /// Docker's containers were seen, so what is not among the entries is not on this machine.
    pub saw_docker: bool,
    pub entries: Vec<(ToolInstanceId, Entry)>,
}

/// Answer to [`Request::Find`].
#[derive(Debug)]
pub(crate) enum Found {
    /// Here it is.
    Instance(Entry),
    /// There is none.
    None,
    /// Docker was not seen yet, so a lost record may still be rebuilt.
    NotKnownYet,
}

/// Sends requests to the instances. Clones share one channel.
#[derive(Clone)]
pub struct InstancesHandle {
    requests: mpsc::Sender<Request>,
    tombstones: Arc<Tombstones>,
}

impl InstancesHandle {
    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<T>) -> Request,
    ) -> Result<T, CommandError> {
        let (reply, answer) = oneshot::channel();
        self.requests
            .send(request(reply))
            .await
            .map_err(|_| CommandError::ShuttingDown)?;
        answer.await.map_err(|_| CommandError::ShuttingDown)
    }

    pub async fn find(&self, id: ToolInstanceId) -> Result<Entry, CommandError> {
        match self.ask(|reply| Request::Find(id, reply)).await? {
            Found::Instance(entry) => Ok(entry),
            Found::None => Err(CommandError::Unknown(id)),
            Found::NotKnownYet => Err(CommandError::NotKnownYet),
        }
    }

    /// Every instance.
    pub async fn list(&self) -> Result<Vec<Arc<ToolView>>, CommandError> {
        let entries = self.ask(Request::List).await?;
        Ok(entries.iter().filter_map(Entry::view).collect())
    }

    /// Every instance by id.
    pub async fn survey(&self) -> Result<Survey, CommandError> {
        self.ask(Request::Survey).await
    }

    /// Gives `command` to the instance. When this returns, the command is durable; the entry shows its progress.
    pub async fn command(
        &self,
        id: ToolInstanceId,
        command: Command,
    ) -> Result<Entry, CommandError> {
        // A task that is just ending takes no command, but its successor does. Two endings in a row are a defect.
        for _ in 0..3 {
            let entry = match &command {
                Command::Put(_) => self.ask(|reply| Request::FindOrStart(id, reply)).await?,
                Command::Delete(Some(generation)) => {
                    self.find_or_add_tombstone(id, *generation).await?
                }
                _ => self.find(id).await?,
            };
            let (reply, answer) = oneshot::channel();
            let message = Message::Command(command.clone(), reply);
            if entry.mailbox.send(message).await.is_ok()
                && let Ok(accepted) = answer.await
            {
                return accepted.map(|()| entry);
            }
        }
        // On shutdown the supervisor does not answer either, which tells the two apart.
        self.ask(Request::List).await.and(Err(CommandError::Defect))
    }

    /// The instance. If there is none, the deletion is remembered, so that an earlier command that arrives later is
    /// refused.
    async fn find_or_add_tombstone(
        &self,
        id: ToolInstanceId,
        generation: u64,
    ) -> Result<Entry, CommandError> {
        match self.find(id).await {
            Err(CommandError::Unknown(_)) => {
                self.tombstones.add(id, generation).await?;
                // A command that came in between did not see the tombstone, but its instance is seen here.
                self.find(id).await
            }
            other => other,
        }
    }

    // The supervisor only ends with the agent, so what is not delivered is not missed.
    pub(crate) async fn changed(&self, id: ToolInstanceId) {
        let _ = self.requests.send(Request::Changed(id)).await;
    }

    pub(crate) async fn inventory(&self, instances: Vec<ToolInstanceId>) {
        let _ = self.requests.send(Request::Inventory(instances)).await;
    }

    pub(crate) async fn disk(&self, id: ToolInstanceId, found: disk_watch::Found) {
        let _ = self.requests.send(Request::Disk(id, found)).await;
    }

    pub(crate) async fn look_all(&self) {
        let _ = self.requests.send(Request::LookAll).await;
    }
}

/// Ends when the agent stops.
pub(crate) async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    // A sender that is gone means the same.
    let _ = shutdown.wait_for(|stop| *stop).await;
}

/// A channel of requests and the handle on it.
pub(crate) fn channel(tombstones: Arc<Tombstones>) -> (InstancesHandle, mpsc::Receiver<Request>) {
    let (requests, receiver) = mpsc::channel(REQUESTS);
    let handle = InstancesHandle {
        requests,
        tombstones,
    };
    (handle, receiver)
}

/// A mailbox, what is published, and the entry for both.
fn entry() -> (Entry, mpsc::Receiver<Message>, watch::Sender<Published>) {
    let (mailbox, messages) = mpsc::channel(MAILBOX);
    let (publish, published) = watch::channel(Published::default());
    (Entry { mailbox, published }, messages, publish)
}
