//! Keeps a bridge for every instance that is an MCP server.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use toolbox_api::mcp::{McpHealth, McpState};
use toolbox_domain::ids::ToolInstanceId;
use toolbox_domain::spec::{EnvVar, McpTransport};
use toolbox_mcp::bridge::{self, Options};
use toolbox_mcp::http;
use toolbox_mcp::redact::Redactor;
use toolbox_mcp::tools::Toolset;
use toolbox_mcp::wire::body::Budget;

use super::place::Published;
use super::stdio::DockerStdio;
use super::{Handle, Served, Way};
use crate::durable;
use crate::instances::{Entry, InstancesHandle, Shared, stopped};

/// How often the list of instances is looked through for new ones.
const SURVEY: Duration = Duration::from_secs(1);

#[derive(Clone)]
pub(super) struct Keeper {
    pub(super) handle: Handle,
    pub(super) shared: Arc<Shared>,
    /// Where the tools of servers are remembered.
    pub(super) folder: PathBuf,
}

/// One instance's bridge and what belongs to it.
struct Kept {
    transport: McpTransport,
    way: Way,
    health: watch::Receiver<Arc<McpHealth>>,
    tools: watch::Receiver<Option<Arc<Toolset>>>,
    /// Ends the bridge's task.
    task: tokio::task::AbortHandle,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What of a view decides about the bridge.
type Version = (u64, Option<String>, Option<String>);

impl Keeper {
    pub(super) async fn run(self, instances: InstancesHandle, mut shutdown: watch::Receiver<bool>) {
        if let Err(error) = std::fs::create_dir_all(&self.folder) {
            // Without it, changes of tools are still seen, but not across a restart of the agent.
            tracing::warn!(%error, "could not make the folder for what tools servers have");
        }
        let budget = Budget::default();
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
                            let keeping = self.clone().keep(id, entry, budget.clone());
                            kept.insert(id, tasks.spawn(keeping).id());
                        }
                    }
                }
            }
        }
    }

    /// Follows one instance until it is gone.
    async fn keep(self, id: ToolInstanceId, mut entry: Entry, budget: Budget) {
        let mut kept: Option<Kept> = None;
        let mut version: Option<Version> = None;
        let mut told: Option<(McpState, Option<String>)> = None;
        while let Some(view) = entry.view() {
            let now = (
                view.generation,
                view.container_id.clone(),
                view.started_at.clone(),
            );
            if version.as_ref() != Some(&now) {
                version = Some(now);
                self.refresh(id, &entry, &budget, &mut kept);
            }
            if let Some(kept) = &kept {
                kept.way.wake();
            }
            // Until the view changes, what the bridge finds out is all there is to do.
            loop {
                let heard = match &mut kept {
                    Some(kept) => tokio::select! {
                        alive = entry.changed() => if alive { Heard::View } else { Heard::End },
                        Ok(()) = kept.health.changed() => Heard::Health,
                        Ok(()) = kept.tools.changed() => Heard::Tools,
                    },
                    None if entry.changed().await => Heard::View,
                    None => Heard::End,
                };
                match (heard, &mut kept) {
                    (Heard::Health, Some(kept)) => self.tell(id, kept, &mut told),
                    (Heard::Tools, Some(kept)) => self.remember(id, kept),
                    (Heard::End, _) => {
                        self.handle.drop_way(id);
                        return;
                    }
                    _ => break,
                }
            }
        }
        self.handle.drop_way(id);
        // What is remembered of a deleted instance is of no use; if it is not there, nothing is lost.
        let _ = std::fs::remove_file(self.folder.join(format!("{id}.json")));
    }

    /// Makes the bridge fit what the instance is now.
    fn refresh(&self, id: ToolInstanceId, entry: &Entry, budget: &Budget, kept: &mut Option<Kept>) {
        let Some(record) = self.shared.store.find(id) else {
            return;
        };
        let transport = record.current.spec.wire().transport;
        if kept.as_ref().map(|kept| kept.transport) == transport {
            return;
        }
        *kept = None;
        self.handle.drop_way(id);
        let options = Options {
            redactor: Redactor::new(record.current.spec.env().iter().map(EnvVar::value)),
            known: self.remembered(id),
            budget: budget.clone(),
            ..Options::default()
        };
        let shared = Arc::clone(&self.shared);
        let (way, task) = match transport {
            Some(McpTransport::Stdio) => {
                let process = DockerStdio {
                    id,
                    entry: entry.clone(),
                    shared,
                };
                let (bridge, task) = bridge::start(Arc::new(process), options);
                (Way::Stdio(bridge), tokio::spawn(task))
            }
            Some(McpTransport::StreamableHttp) => {
                let place = Published {
                    id,
                    entry: entry.clone(),
                    shared,
                    path: Mutex::new(None),
                };
                let (bridge, task) = http::start(Arc::new(place), options);
                (Way::Http(bridge), tokio::spawn(task))
            }
            // The older HTTP transport and websockets are not bridged.
            _ => return,
        };
        let served = Served {
            way: way.clone(),
            entry: entry.clone(),
        };
        self.handle.put(id, served);
        *kept = transport.map(|transport| Kept {
            transport,
            health: way.health(),
            tools: way.tools(),
            way,
            task: task.abort_handle(),
        });
    }

    /// Marks what the control plane should hear of at once; how many milliseconds a probe took can wait.
    fn tell(
        &self,
        id: ToolInstanceId,
        kept: &mut Kept,
        told: &mut Option<(McpState, Option<String>)>,
    ) {
        let health = Arc::clone(&kept.health.borrow_and_update());
        let now = Some((health.state, health.tools_fingerprint.clone()));
        if *told != now {
            tracing::info!(instance = %id, state = ?health.state, evidence = health.evidence, "health of an MCP server");
            *told = now;
            self.shared.changes.mark(id);
        }
    }

    fn remembered(&self, id: ToolInstanceId) -> Option<Toolset> {
        let text = durable::read(&self.folder.join(format!("{id}.json"))).ok()??;
        serde_json::from_str(&text).ok()
    }

    fn remember(&self, id: ToolInstanceId, kept: &mut Kept) {
        let Some(tools) = kept.tools.borrow_and_update().clone() else {
            return;
        };
        let written = serde_json::to_vec(&*tools)
            .map_err(std::io::Error::other)
            .and_then(|bytes| durable::write(&self.folder, &format!("{id}.json"), &bytes));
        if let Err(error) = written {
            tracing::warn!(instance = %id, %error, "could not remember the tools of a server");
        }
    }
}

enum Heard {
    View,
    Health,
    Tools,
    End,
}
