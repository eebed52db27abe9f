//! Keeps a bridge for every instance that is an MCP server.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use toolbox_api::dtma::Phase;
use toolbox_api::mcp::{McpHealth, McpState};
use toolbox_domain::ids::ToolInstanceId;
use toolbox_domain::spec::{McpTransport, ToolSpec};
use toolbox_mcp::bridge::{self, Options};
use toolbox_mcp::http::{self, EventServer};
use toolbox_mcp::limits::Limits;
use toolbox_mcp::memory::Memory;
use toolbox_mcp::redact::Redactor;
use toolbox_mcp::wire::body::Budget;

use super::endpoint::PublishedEndpoint;
use super::idle::Idle;
use super::stderr::StderrLog;
use super::stdio::DockerStdio;
use super::{AnyBridge, Handle, Served, unbridged};
use crate::durable;
use crate::instances::{Entry, InstancesHandle, Shared, stopped};

/// How soon a task is asked again to let an unused server rest.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// How often the list of instances is looked through for new ones.
const SURVEY: Duration = Duration::from_secs(1);

#[derive(Clone)]
pub(super) struct Keeper {
    pub(super) handle: Handle,
    pub(super) shared: Arc<Shared>,
    /// Folder with what is known of each server.
    pub(super) folder: PathBuf,
    /// Memory for long messages of all servers.
    pub(super) budget: Budget,
    /// How long a minute without use is.
    pub(super) minute: Duration,
}

/// What a bridge is made for. Another one takes its place when any of this changes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Made {
    transport: McpTransport,
    call: Option<Duration>,
    start: Option<Duration>,
    stateless: bool,
    idle_minutes: Option<u32>,
}

impl Made {
    fn of(spec: &ToolSpec) -> Option<Self> {
        let seconds = |given: Option<u32>| given.map(|given| Duration::from_secs(given.into()));
        Some(Self {
            transport: spec.transport?,
            call: seconds(spec.mcp_call_timeout_seconds),
            start: seconds(spec.mcp_start_timeout_seconds),
            stateless: spec.mcp_stateless,
            idle_minutes: spec.idle_minutes,
        })
    }
}

/// One instance's bridge and what belongs to it.
struct Kept {
    made: Made,
    /// None where nothing bridges the transport.
    bridge: Option<AnyBridge>,
    health: watch::Receiver<Arc<McpHealth>>,
    memory: watch::Receiver<Memory>,
    /// Set if it is stopped when nobody uses it.
    idle: Option<Arc<Idle>>,
    /// Aborts the bridge's task.
    task: Option<tokio::task::AbortHandle>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// The parts of a view that decide about the bridge.
type Version = (u64, Option<String>, Option<String>);

impl Keeper {
    pub(super) async fn run(self, instances: InstancesHandle, mut shutdown: watch::Receiver<bool>) {
        if let Err(error) = std::fs::create_dir_all(&self.folder) {
            // Without it, changes of tools are still seen, but not across a restart of the agent.
            tracing::warn!(%error, "could not make the folder for what is known of servers");
        }
        let mut kept: BTreeMap<ToolInstanceId, tokio::task::Id> = BTreeMap::new();
        let mut tasks = JoinSet::new();
        let mut survey = tokio::time::interval(SURVEY);
        loop {
            tokio::select! {
                () = stopped(&mut shutdown) => return,
                Some(ended) = tasks.join_next_with_id() => {
                    let task = match ended {
                        Ok((task, ())) => task,
                        Err(error) => {
                            tracing::error!(%error, "the keeper of an MCP server panicked");
                            error.id()
                        }
                    };
                    kept.retain(|_, of| *of != task);
                }
                _ = survey.tick() => {
                    let Ok(survey) = instances.survey().await else { return };
                    for (id, entry) in survey.entries {
                        if entry.view().is_some() && !kept.contains_key(&id) {
                            let keeping = self.clone().keep(id, entry);
                            kept.insert(id, tasks.spawn(keeping).id());
                        }
                    }
                }
            }
        }
    }

    /// Follows one instance until it is gone.
    async fn keep(self, id: ToolInstanceId, mut entry: Entry) {
        let mut kept: Option<Kept> = None;
        let mut version: Option<Version> = None;
        let mut reported: Option<(McpState, Option<String>)> = None;
        while let Some(view) = entry.view() {
            let now = (
                view.generation,
                view.container_id.clone(),
                view.started_at.clone(),
            );
            if version.as_ref() != Some(&now) {
                version = Some(now);
                self.refresh(id, &entry, &mut kept);
                if let Some(idle) = kept.as_ref().and_then(|kept| kept.idle.as_ref()) {
                    idle.usage.started(Instant::now());
                }
            }
            if let Some(bridge) = kept.as_ref().and_then(|kept| kept.bridge.as_ref()) {
                bridge.wake();
            }
            let idle = kept.as_ref().and_then(|kept| kept.idle.clone());
            let idle = idle.filter(|_| view.phase == Phase::Running && view.settled);
            let mut ask_again = Instant::now();
            // Until the view changes, only the bridge's findings matter, and whether anybody uses it.
            loop {
                let change = match &mut kept {
                    Some(kept) => tokio::select! {
                        () = unused(idle.as_deref(), ask_again) => Change::Unused,
                        alive = entry.changed() => if alive { Change::View } else { Change::End },
                        Ok(()) = kept.health.changed() => Change::Health,
                        Ok(()) = kept.memory.changed() => Change::Memory,
                    },
                    None if entry.changed().await => Change::View,
                    None => Change::End,
                };
                match (change, &mut kept) {
                    (Change::Health, Some(kept)) => self.report_health(id, kept, &mut reported),
                    (Change::Memory, Some(kept)) => self.remember(id, kept),
                    (Change::Unused, kept) => {
                        let state = kept.as_ref().map(|kept| kept.health.borrow().state);
                        // What ails a server stays in sight.
                        let is_well = matches!(state, Some(McpState::Healthy | McpState::Degraded));
                        if let Some(idle) = idle.as_ref().filter(|_| is_well) {
                            entry.rest(Arc::clone(&idle.usage), idle.limit);
                        }
                        ask_again = Instant::now() + ASK_AGAIN;
                    }
                    (Change::End, _) => {
                        self.handle.remove(id);
                        return;
                    }
                    _ => break,
                }
            }
        }
        self.handle.remove(id);
        // What is known of a deleted instance is of no use. The file may not exist.
        let _ = std::fs::remove_file(self.folder.join(format!("{id}.json")));
        StderrLog::remove(&self.folder, id);
    }

    /// Replaces the bridge if what it was made for changed.
    fn refresh(&self, id: ToolInstanceId, entry: &Entry, kept: &mut Option<Kept>) {
        let Some(record) = self.shared.store.find(id) else {
            return;
        };
        let spec = &record.current.spec;
        let made = Made::of(spec.wire());
        if kept.as_ref().map(|kept| &kept.made) == made.as_ref() {
            return;
        }
        if let Some(kept) = kept
            && kept.memory.has_changed().is_ok_and(|changed| changed)
        {
            // The next bridge begins with what this one heard.
            self.remember(id, kept);
        }
        *kept = None;
        self.handle.remove(id);
        let Some(made) = made else { return };
        let mut limits = Limits::default().with_times(made.call, made.start);
        limits.keeps_tools = made.idle_minutes.is_some();
        let idle = made.idle_minutes;
        let idle = idle.map(|minutes| Arc::new(Idle::new(minutes, self.minute, limits.ready)));
        let options = Options {
            limits,
            redactor: Redactor::new(spec.secrets()),
            known: self.remembered(id),
            stateless: made.stateless,
            budget: self.budget.clone(),
            ..Options::default()
        };
        let shared = Arc::clone(&self.shared);
        let mut log = None;
        let (bridge, task) = match made.transport {
            McpTransport::Stdio => {
                let opened = Arc::new(StderrLog::open(&self.folder, id));
                log = Some(Arc::clone(&opened));
                let process = DockerStdio {
                    id,
                    entry: entry.clone(),
                    shared,
                    log: opened,
                    idle: idle.clone(),
                };
                let (bridge, task) = bridge::start(Arc::new(process), options);
                (AnyBridge::Stdio(bridge), tokio::spawn(task))
            }
            McpTransport::StreamableHttp | McpTransport::Sse => {
                let place = Arc::new(PublishedEndpoint {
                    id,
                    entry: entry.clone(),
                    shared,
                    idle: idle.clone(),
                    settings: Mutex::new(None),
                });
                if made.transport == McpTransport::StreamableHttp {
                    let (bridge, task) = http::start(place, options);
                    (AnyBridge::Http(bridge), tokio::spawn(task))
                } else {
                    let process =
                        EventServer::new(place, options.limits.clone(), options.budget.clone());
                    let (bridge, task) = bridge::start(Arc::new(process), options);
                    (AnyBridge::Stdio(bridge), tokio::spawn(task))
                }
            }
            McpTransport::Websocket => {
                let health = watch::channel(Arc::new(unbridged(made.transport))).1;
                let served = Served {
                    bridge: None,
                    health: health.clone(),
                    entry: entry.clone(),
                    log: None,
                    idle: None,
                };
                self.handle.put(id, served);
                self.shared.changes.mark(id);
                *kept = Some(Kept {
                    made,
                    bridge: None,
                    health,
                    memory: watch::channel(Memory::default()).1,
                    idle: None,
                    task: None,
                });
                return;
            }
        };
        let served = Served {
            bridge: Some(bridge.clone()),
            health: bridge.health(),
            entry: entry.clone(),
            log,
            idle: idle.clone(),
        };
        self.handle.put(id, served);
        *kept = Some(Kept {
            made,
            health: bridge.health(),
            memory: bridge.memory(),
            bridge: Some(bridge),
            idle,
            task: Some(task.abort_handle()),
        });
    }

    /// Marks a change of health or tools, which is reported at once. The duration of a probe can wait.
    fn report_health(
        &self,
        id: ToolInstanceId,
        kept: &mut Kept,
        reported: &mut Option<(McpState, Option<String>)>,
    ) {
        kept.health.borrow_and_update();
        let Some(health) = self.handle.find(id).map(|served| served.known_health()) else {
            return;
        };
        let now = Some((health.state, health.tools_fingerprint.clone()));
        if *reported != now {
            tracing::info!(instance = %id, state = ?health.state, evidence = health.evidence, "health of an MCP server");
            *reported = now;
            self.shared.changes.mark(id);
        }
    }

    fn remembered(&self, id: ToolInstanceId) -> Memory {
        let text = durable::read(&self.folder.join(format!("{id}.json")));
        let memory = text
            .ok()
            .flatten()
            .and_then(|text| serde_json::from_str(&text).ok());
        memory.unwrap_or_default()
    }

    fn remember(&self, id: ToolInstanceId, kept: &mut Kept) {
        let written = serde_json::to_vec(&*kept.memory.borrow_and_update())
            .map_err(std::io::Error::other)
            .and_then(|bytes| durable::write(&self.folder, &format!("{id}.json"), &bytes));
        if let Err(error) = written {
            tracing::warn!(instance = %id, %error, "could not remember what is known of a server");
        }
    }
}

enum Change {
    View,
    Health,
    Memory,
    /// Nobody has used it for long enough.
    Unused,
    End,
}

async fn unused(idle: Option<&Idle>, not_before: Instant) {
    match idle {
        Some(idle) => idle.unused(not_before).await,
        None => std::future::pending().await,
    }
}
