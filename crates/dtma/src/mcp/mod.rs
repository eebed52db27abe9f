//! MCP servers on this machine: a bridge to each, and its health.
//!
//! [`start`] gives a [`Handle`] and the task behind it. The task follows the instances; for each that is an MCP server it
//! keeps a bridge (`toolbox_mcp`), which outlives the container: sessions of clients go on when the container is started
//! again or replaced. What a bridge finds out about its server is kept here, and marked as a change to report.

mod endpoint;
mod keeper;
mod stderr;
mod stdio;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response};
use tokio::sync::watch;
use tokio::time::Instant;
use toolbox_api::dtma::{Desired, Phase};
use toolbox_api::mcp::McpHealth;
use toolbox_domain::ids::ToolInstanceId;
use toolbox_domain::spec::McpTransport;
use toolbox_mcp::bridge::Bridge;
use toolbox_mcp::http::HttpBridge;
use toolbox_mcp::memory::Memory;

pub use self::stderr::StderrLog;
use crate::instances::{Entry, InstancesHandle, Shared};
use crate::store::Store;

/// How long the bridge of a new instance is waited for.
const NEW: Duration = Duration::from_secs(3);

/// A bridge of either kind.
#[derive(Clone)]
pub enum AnyBridge {
    Stdio(Bridge),
    Http(HttpBridge),
}

impl AnyBridge {
    pub async fn serve(&self, request: Request<Body>) -> Response<Body> {
        match self {
            Self::Stdio(bridge) => bridge.serve(request).await,
            Self::Http(bridge) => bridge.serve(request).await,
        }
    }

    fn health(&self) -> watch::Receiver<Arc<McpHealth>> {
        match self {
            Self::Stdio(bridge) => bridge.health(),
            Self::Http(bridge) => bridge.health(),
        }
    }

    fn memory(&self) -> watch::Receiver<Memory> {
        match self {
            Self::Stdio(bridge) => bridge.memory(),
            Self::Http(bridge) => bridge.memory(),
        }
    }

    fn wake(&self) {
        match self {
            Self::Stdio(bridge) => bridge.wake(),
            Self::Http(bridge) => bridge.wake(),
        }
    }
}

/// A bridge and the instance behind it.
#[derive(Clone)]
struct Served {
    bridge: AnyBridge,
    entry: Entry,
    /// What it writes beside the protocol, if it is a server over standard streams.
    log: Option<Arc<StderrLog>>,
}

/// The bridges to all MCP servers. Clones share them.
#[derive(Clone)]
pub struct Handle {
    store: Arc<Store>,
    // A leaf lock around cheap handles, never held across an await.
    bridges: Arc<Mutex<BTreeMap<ToolInstanceId, Served>>>,
}

/// The handle, and the task that must run for it. `state_dir` is where it remembers what is known of servers.
pub fn start(
    instances: InstancesHandle,
    shared: Arc<Shared>,
    state_dir: &Path,
    shutdown: watch::Receiver<bool>,
) -> (Handle, impl Future<Output = ()> + Send + use<>) {
    let handle = Handle {
        store: Arc::clone(&shared.store),
        bridges: Arc::default(),
    };
    let keeper = keeper::Keeper {
        handle: handle.clone(),
        shared,
        folder: state_dir.join("mcp"),
    };
    (handle, keeper.run(instances, shutdown))
}

impl Handle {
    /// Health of an instance's MCP server; none if it is no MCP server, is not meant to run, or does not exist yet.
    pub fn health(&self, id: ToolInstanceId) -> Option<McpHealth> {
        let served = self.find(id)?;
        let view = served.entry.view()?;
        let exists = !matches!(
            view.phase,
            Phase::Pending | Phase::Pulling | Phase::Building | Phase::Creating
        );
        (exists && view.desired == Desired::Running)
            .then(|| (**served.bridge.health().borrow()).clone())
    }

    /// The bridge to an instance's server; none if it is no MCP server. Waits for the bridge of a new instance.
    pub async fn bridge_of(&self, id: ToolInstanceId) -> Option<AnyBridge> {
        let until = Instant::now() + NEW;
        loop {
            if let Some(served) = self.find(id) {
                return Some(served.bridge);
            }
            let transport = self.store.find(id)?.current.spec.wire().transport;
            let bridged = matches!(
                transport,
                Some(McpTransport::Stdio | McpTransport::StreamableHttp)
            );
            if !bridged || Instant::now() >= until {
                return None;
            }
            tokio::time::sleep(NEW / 60).await;
        }
    }

    /// Whether an instance is a server over standard streams, which writes the protocol to its standard output.
    pub fn is_stdio(&self, id: ToolInstanceId) -> bool {
        let record = self.store.find(id);
        record.is_some_and(|r| r.current.spec.wire().transport == Some(McpTransport::Stdio))
    }

    /// The standard error of a server over standard streams, as far as the agent keeps it.
    pub fn stderr_of(&self, id: ToolInstanceId) -> Option<Arc<StderrLog>> {
        self.find(id)?.log
    }

    fn find(&self, id: ToolInstanceId) -> Option<Served> {
        self.bridges.lock().ok()?.get(&id).cloned()
    }

    fn put(&self, id: ToolInstanceId, served: Served) {
        if let Ok(mut bridges) = self.bridges.lock() {
            bridges.insert(id, served);
        }
    }

    fn remove(&self, id: ToolInstanceId) {
        if let Ok(mut bridges) = self.bridges.lock() {
            bridges.remove(&id);
        }
    }
}
