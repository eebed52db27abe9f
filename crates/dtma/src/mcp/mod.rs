//! MCP servers on this machine: the way to each, and how each is.
//!
//! [`start`] gives a [`Handle`] and the task behind it. The task follows the instances; for each that is an MCP server it
//! keeps a bridge (`toolbox_mcp`), which outlives the container: sessions of clients go on when the container is started
//! again or replaced. What a bridge finds out about its server is kept here, and marked as a change to be told.

mod keeper;
mod place;
pub mod serve;
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
use toolbox_mcp::tools::Toolset;

use crate::instances::{Entry, InstancesHandle, Shared};
use crate::store::Store;

/// How long a new instance may take to be noticed; the list is looked through more often than that.
const NEW: Duration = Duration::from_secs(3);

/// A bridge of either kind.
#[derive(Clone)]
enum Way {
    Stdio(Bridge),
    Http(HttpBridge),
}

impl Way {
    async fn serve(&self, request: Request<Body>) -> Response<Body> {
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

    fn tools(&self) -> watch::Receiver<Option<Arc<Toolset>>> {
        match self {
            Self::Stdio(bridge) => bridge.tools(),
            Self::Http(bridge) => bridge.tools(),
        }
    }

    fn wake(&self) {
        match self {
            Self::Stdio(bridge) => bridge.wake(),
            Self::Http(bridge) => bridge.wake(),
        }
    }
}

/// A way and the instance it leads to.
#[derive(Clone)]
struct Served {
    way: Way,
    entry: Entry,
}

/// The ways to all MCP servers; clones are the same.
#[derive(Clone)]
pub struct Handle {
    store: Arc<Store>,
    // A leaf lock around cheap handles, never held across an await.
    ways: Arc<Mutex<BTreeMap<ToolInstanceId, Served>>>,
}

/// The handle, and the task that must run for it. `state_dir` is where it remembers the tools of servers.
pub fn start(
    instances: InstancesHandle,
    shared: Arc<Shared>,
    state_dir: &Path,
    shutdown: watch::Receiver<bool>,
) -> (Handle, impl Future<Output = ()> + Send + use<>) {
    let handle = Handle {
        store: Arc::clone(&shared.store),
        ways: Arc::default(),
    };
    let keeper = keeper::Keeper {
        handle: handle.clone(),
        shared,
        folder: state_dir.join("mcp"),
    };
    (handle, keeper.run(instances, shutdown))
}

impl Handle {
    /// How the MCP server of an instance is; none when it is no MCP server, or not meant to run, or not there yet.
    pub fn health(&self, id: ToolInstanceId) -> Option<McpHealth> {
        let served = self.find(id)?;
        let view = served.entry.view()?;
        let exists = !matches!(
            view.phase,
            Phase::Pending | Phase::Pulling | Phase::Building | Phase::Creating
        );
        (exists && view.desired == Desired::Running)
            .then(|| (**served.way.health().borrow()).clone())
    }

    /// The way to an instance's server. One that was just deployed is waited for; none for what is no such server.
    async fn way(&self, id: ToolInstanceId) -> Option<Served> {
        let until = Instant::now() + NEW;
        loop {
            if let Some(served) = self.find(id) {
                return Some(served);
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

    fn find(&self, id: ToolInstanceId) -> Option<Served> {
        self.ways.lock().ok()?.get(&id).cloned()
    }

    fn put(&self, id: ToolInstanceId, served: Served) {
        if let Ok(mut ways) = self.ways.lock() {
            ways.insert(id, served);
        }
    }

    fn drop_way(&self, id: ToolInstanceId) {
        if let Ok(mut ways) = self.ways.lock() {
            ways.remove(&id);
        }
    }
}
