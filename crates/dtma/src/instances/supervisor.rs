//! Owns the list of instances.
//!
//! Inputs: [`Request`]s from the API and the watcher, the ends of tasks, the shutdown signal. It answers at once
//! and never calls Docker, so a slow daemon cannot make the list unreachable.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use toolbox_domain::ids::ToolInstanceId;

use super::task::Instance;
use super::{Entry, Found, Message, Request, Shared, Survey, entry, stopped};
use crate::record::Record;

/// Pause before a task that panicked is started again, so that one that always does costs little.
const PANIC_PAUSE: Duration = Duration::from_secs(1);
/// How long steps under way may take when the agent stops.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);

pub struct Supervisor {
    shared: Arc<Shared>,
    entries: BTreeMap<ToolInstanceId, Entry>,
    tasks: JoinSet<ToolInstanceId>,
    /// The instance of each task, so that a task that panicked is started again.
    running: HashMap<tokio::task::Id, ToolInstanceId>,
    saw_docker: bool,
    shutdown: watch::Receiver<bool>,
}

impl Supervisor {
    /// Starts a task for each record.
    pub fn new(shared: Arc<Shared>, records: Vec<Record>, shutdown: watch::Receiver<bool>) -> Self {
        let mut supervisor = Self {
            shared,
            entries: BTreeMap::new(),
            tasks: JoinSet::new(),
            running: HashMap::new(),
            saw_docker: false,
            shutdown,
        };
        for record in &records {
            let releases = std::iter::once(&record.current).chain(&record.next);
            releases.for_each(|r| supervisor.shared.ports.adopt(record.id, &r.ports));
        }
        for record in records {
            let id = record.id;
            supervisor.start(id, Some(record), Duration::ZERO);
        }
        supervisor
    }

    fn start(&mut self, id: ToolInstanceId, record: Option<Record>, pause: Duration) -> Entry {
        let (entry, mailbox, publish) = entry();
        let instance = Instance::new(id, record, Arc::clone(&self.shared), publish);
        let shutdown = self.shutdown.clone();
        let task = self.tasks.spawn(async move {
            tokio::time::sleep(pause).await;
            instance.run(mailbox, shutdown).await;
            id
        });
        self.running.insert(task.id(), id);
        self.entries.insert(id, entry.clone());
        entry
    }

    /// Serves until the shutdown signal; then waits for steps under way.
    pub(crate) async fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        let mut shutdown = self.shutdown.clone();
        loop {
            tokio::select! {
                biased;
                () = stopped(&mut shutdown) => break,
                Some(ended) = self.tasks.join_next_with_id() => self.ended(ended),
                request = requests.recv() => match request {
                    Some(request) => self.answer(request),
                    None => break,
                },
            }
        }
        let all_ended = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(SHUTDOWN_GRACE, all_ended)
            .await
            .is_err()
        {
            tracing::warn!("steps under way did not end in time; they go on after the next start");
        }
    }

    fn ended(&mut self, ended: Result<(tokio::task::Id, ToolInstanceId), JoinError>) {
        match ended {
            Ok((task, id)) => {
                self.running.remove(&task);
                // Its successor may have been started already.
                if self.entries.get(&id).is_some_and(|e| e.mailbox.is_closed()) {
                    self.entries.remove(&id);
                }
            }
            Err(error) => {
                tracing::error!(%error, "the task of an instance panicked; starting it again from its record");
                if let Some(id) = self.running.remove(&error.id()) {
                    self.start(id, None, PANIC_PAUSE);
                }
            }
        }
    }

    fn answer(&mut self, request: Request) {
        // A caller that went away needs no answer.
        match request {
            Request::Find(id, reply) => {
                let found = match self.entries.get(&id) {
                    Some(entry) => Found::Instance(entry.clone()),
                    None if self.saw_docker => Found::None,
                    None => Found::NotKnownYet,
                };
                let _ = reply.send(found);
            }
            Request::FindOrStart(id, reply) => {
                let alive = self
                    .entries
                    .get(&id)
                    .filter(|e| !e.mailbox.is_closed())
                    .cloned();
                let entry = alive.unwrap_or_else(|| self.start(id, None, Duration::ZERO));
                let _ = reply.send(entry);
            }
            Request::List(reply) => {
                let _ = reply.send(self.entries.values().cloned().collect());
            }
            Request::Survey(reply) => {
                let _ = reply.send(Survey {
                    saw_docker: self.saw_docker,
                    entries: self.entries.iter().map(|(i, e)| (*i, e.clone())).collect(),
                });
            }
            Request::Changed(id) => match self.entries.contains_key(&id) {
                true => self.wake(id),
                // These are the last events of a deletion. A container that Docker finishes late is found by the next
                // inventory.
                false if self.shared.tombstones.get(id).is_some() => {}
                false => drop(self.start(id, None, Duration::ZERO)),
            },
            Request::Inventory(instances) => {
                self.saw_docker = true;
                for id in instances {
                    if !self.entries.contains_key(&id) {
                        self.start(id, None, Duration::ZERO);
                    }
                }
                self.wake_all();
            }
            Request::LookAll => self.wake_all(),
            // A mailbox that is full misses it; the next count comes.
            Request::Disk(id, found) => {
                if let Some(entry) = self.entries.get(&id) {
                    let _ = entry.mailbox.try_send(Message::Disk(found));
                }
            }
        }
    }

    fn wake_all(&self) {
        for id in self.entries.keys() {
            self.wake(*id);
        }
    }

    fn wake(&self, id: ToolInstanceId) {
        if let Some(entry) = self.entries.get(&id) {
            // A full mailbox holds messages already, and each of them ends in a look at Docker.
            let _ = entry.mailbox.try_send(Message::Look);
        }
    }
}
