//! MCP servers on this machine: a bridge to each, and its health.
//!
//! [`start`] gives a [`Handle`] and the task behind it. The task follows the instances; for each that is an MCP server it
//! keeps a bridge (`toolbox_mcp`), which outlives the container: sessions of clients go on when the container is started
//! again or replaced. What a bridge finds out about its server is kept here, and marked as a change to report.

mod all;
mod endpoint;
mod idle;
mod keeper;
mod pin;
pub mod rates;
mod stderr;
mod stderr_join;
mod stdio;
pub mod usage;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request, Response};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::watch;
use tokio::time::Instant;
use toolbox_api::dtma::{Desired, Phase, ToolView};
use toolbox_api::mcp::{McpHealth, McpState};
use toolbox_api::mcp_access::McpCaller;
use toolbox_domain::ids::ToolInstanceId;
use toolbox_domain::spec::McpTransport;
use toolbox_mcp::access::{self, Allowed};
use toolbox_mcp::bridge::Bridge;
use toolbox_mcp::health::{Finding, Tracker};
use toolbox_mcp::http::HttpBridge;
use toolbox_mcp::limits::Limits;
use toolbox_mcp::memory::Memory;
use toolbox_mcp::merge::Merge;
use toolbox_mcp::meter::{self, Told};
use toolbox_mcp::wire::alive::Rests;
use toolbox_mcp::wire::body::Budget;

use self::all::Granted;
use self::idle::Idle;
use self::rates::{Rates, TooMuch, UnderWay};
pub use self::stderr::StderrLog;
use self::usage::Usage;
use crate::instances::{Entry, InstancesHandle, Shared};
use crate::store::Store;

/// How long the bridge of a new instance is waited for.
const NEW: Duration = Duration::from_secs(3);
/// How often it is looked whether a bridge is there, and has heard its server.
const LOOK: Duration = Duration::from_millis(50);

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

    /// Its tools may be others than those that were heard last.
    fn look(&self) {
        match self {
            Self::Stdio(bridge) => bridge.look(),
            Self::Http(bridge) => bridge.wake(),
        }
    }
}

/// An instance that is an MCP server.
#[derive(Clone)]
struct Served {
    /// None where nothing bridges its transport.
    bridge: Option<AnyBridge>,
    health: watch::Receiver<Arc<McpHealth>>,
    entry: Entry,
    /// What it writes beside the protocol, if it is a server over standard streams.
    log: Option<Arc<StderrLog>>,
    /// Set if it is stopped when nobody uses it.
    idle: Option<Arc<Idle>>,
}

/// What is known of who calls a server.
struct Caller {
    allowed: Allowed,
    /// The fingerprint of the tools that the server's owner accepted, where they are pinned.
    pin: Option<String>,
    /// Who counts what is called.
    told: Told,
}

/// The health of a server that nothing bridges.
fn unbridged(transport: McpTransport) -> McpHealth {
    let now = OffsetDateTime::now_utc();
    let mut tracker = Tracker::new(now, None);
    let evidence = format!(
        "the agent does not bridge {}; set transport to streamable-http, sse or stdio",
        transport.as_str()
    );
    tracker.found(
        now,
        Finding {
            state: McpState::Unreachable,
            evidence,
            success: None,
        },
    );
    tracker.health().clone()
}

/// What `health` says of the run that `view` shows. What was found before that run is not about it.
fn since_start(mut health: McpHealth, view: &ToolView) -> McpHealth {
    let time = |text: &str| OffsetDateTime::parse(text, &Rfc3339).ok();
    let begun = match health.state {
        McpState::Starting | McpState::Idle => return health,
        McpState::Healthy | McpState::Degraded => view.started_at.as_deref(),
        // While the container was being started, nothing was there to be reached.
        _ => Some(&*view.updated_at),
    };
    let checked = time(&health.checked_at);
    if begun
        .and_then(time)
        .is_some_and(|begun| checked < Some(begun))
    {
        health.evidence = format!("not asked since its start; before, {}", health.evidence);
        health.state = McpState::Starting;
    }
    health
}

/// The instance is meant to run, and there is something to ask.
fn is_asked(view: &ToolView) -> bool {
    let exists = !matches!(
        view.phase,
        Phase::Pending | Phase::Pulling | Phase::Building | Phase::Creating
    );
    exists && view.desired == Desired::Running
}

/// The bridges to all MCP servers. Clones share them.
#[derive(Clone)]
pub struct Handle {
    store: Arc<Store>,
    /// Memory for long messages of callers whose messages are read here.
    budget: Budget,
    /// What callers have left.
    rates: Arc<Rates>,
    /// Streams that callers may go on with.
    rests: Arc<Rests>,
    /// How the servers are used.
    usage: Usage,
    /// Sessions with all servers as one.
    merge: Merge,
    // A leaf lock around cheap handles, never held across an await.
    bridges: Arc<Mutex<BTreeMap<ToolInstanceId, Served>>>,
}

/// The handle, and the task that must run for it. `state_dir` is where it remembers what is known of servers,
/// `budget` the memory for their long messages, `minute` how long a minute without use is.
pub fn start(
    instances: InstancesHandle,
    shared: Arc<Shared>,
    state_dir: &Path,
    budget: Budget,
    minute: Duration,
    shutdown: watch::Receiver<bool>,
) -> (Handle, impl Future<Output = ()> + Send + use<>) {
    let handle = Handle {
        store: Arc::clone(&shared.store),
        budget: budget.clone(),
        rates: Arc::default(),
        rests: Arc::default(),
        usage: Usage::new(OffsetDateTime::now_utc()),
        merge: Merge::new(Limits::default().message_bytes, budget.clone()),
        bridges: Arc::default(),
    };
    let keeper = keeper::Keeper {
        handle: handle.clone(),
        shared,
        folder: state_dir.join("mcp"),
        budget,
        minute,
    };
    (handle, keeper.run(instances, shutdown))
}

impl Handle {
    /// Health of an instance's MCP server; none if it is no MCP server, is not meant to run, or does not exist yet.
    pub fn health(&self, id: ToolInstanceId) -> Option<McpHealth> {
        let served = self.find(id)?;
        let view = served.entry.view()?;
        is_asked(&view).then(|| served.known_health())
    }

    /// The view with the health of its MCP server.
    pub fn with_health(&self, view: &ToolView) -> ToolView {
        let served = self.find(view.id).filter(|_| is_asked(view));
        let health = served.map(|served| {
            let health = served.known_health();
            match served.bridge {
                Some(_) => since_start(health, view),
                None => health,
            }
        });
        ToolView {
            mcp: health.map(Box::new),
            ..view.clone()
        }
    }

    /// The same, once the server of an instance that runs was heard, or was found not to answer; at `until` at the latest.
    pub async fn heard(&self, view: &ToolView, until: Instant) -> ToolView {
        let is_server = || {
            let record = self.store.find(view.id);
            record.is_some_and(|record| record.current.spec.wire().transport.is_some())
        };
        if view.phase != Phase::Running || !view.settled || !is_server() {
            return self.with_health(view);
        }
        loop {
            let found = self.with_health(view);
            let decided = found
                .mcp
                .as_ref()
                .is_some_and(|health| health.state != McpState::Starting);
            if decided || Instant::now() >= until {
                // It may have ended meanwhile.
                let now = self.find(view.id).and_then(|served| served.entry.view());
                return now.map_or(found, |now| self.with_health(&now));
            }
            // Its bridge may not be there yet, or be replaced.
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The bridge to an instance's server; none if it has none. Waits for the bridge of a new instance.
    pub async fn bridge_of(&self, id: ToolInstanceId) -> Option<AnyBridge> {
        let until = Instant::now() + NEW;
        loop {
            if let Some(served) = self.find(id) {
                return served.bridge;
            }
            let is_server = self.store.find(id)?.current.spec.wire().transport.is_some();
            if !is_server || Instant::now() >= until {
                return None;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Begins a request of a caller whom the control plane names.
    pub fn begin(&self, caller: &McpCaller) -> Result<UnderWay, TooMuch> {
        self.rates.begin(caller, Instant::now())
    }

    /// Streams that callers may go on with.
    pub const fn rests(&self) -> &Arc<Rests> {
        &self.rests
    }

    /// How the servers are used.
    pub const fn usage(&self) -> &Usage {
        &self.usage
    }

    /// Passes a request to a server for a `client` who may use the `allowed` tools, while the server's tools are those that
    /// `pin` stands for, if they are pinned.
    pub async fn serve(
        &self,
        id: ToolInstanceId,
        bridge: &AnyBridge,
        request: Request<Body>,
        allowed: Allowed,
        pin: Option<&str>,
        client: &str,
    ) -> Response<Body> {
        let limit = Limits::default().message_bytes;
        let told = self.counting(id, bridge, client);
        let caller = Caller {
            allowed,
            pin: pin.map(str::to_owned),
            told,
        };
        let served = self.find(id);
        let idle = served.and_then(|served| Some((served.idle.clone()?, served)));
        let (handle, bridge) = (self.clone(), bridge.clone());
        let pass = move |request| handle.pass(id, bridge, request, caller);
        match idle {
            // What a server lists is asked after its start.
            Some((idle, served)) => served.serve(idle, request, limit, &self.budget, pass).await,
            None => pass(request).await,
        }
    }

    /// Passes a request to a server that is started.
    async fn pass(
        self,
        id: ToolInstanceId,
        bridge: AnyBridge,
        request: Request<Body>,
        caller: Caller,
    ) -> Response<Body> {
        let Caller {
            mut allowed,
            pin,
            told,
        } = caller;
        let limit = Limits::default().message_bytes;
        // Whoever is held back may still end a session.
        if let Some(pin) = pin.filter(|_| request.method() != Method::DELETE) {
            match self.accepted(id, &pin).await {
                Ok(tools) => {
                    let bridge = bridge.clone();
                    allowed.known = Some(tools);
                    allowed.pinned = Some(Arc::new(move || bridge.look()));
                }
                Err((status, code, text)) => {
                    let why = (status, code, &*text);
                    return access::held(request, limit, &self.budget, why).await;
                }
            }
        }
        let serve = |request| bridge.serve(request);
        if allowed.is_all() {
            return meter::measured(request, limit, &self.budget, told, serve).await;
        }
        if allowed.known.is_none() {
            allowed.known.clone_from(&bridge.memory().borrow().tools);
        }
        access::serve(allowed, request, limit, &self.budget, |request| {
            meter::measured(request, limit, &self.budget, told, serve)
        })
        .await
    }

    /// Counts the calls of a client.
    fn counting(&self, id: ToolInstanceId, bridge: &AnyBridge, client: &str) -> Told {
        let (usage, memory) = (self.usage.clone(), bridge.memory());
        let client = usage::product(client).to_owned();
        Arc::new(move |call| {
            let tools = memory.borrow();
            let is_listed = tools.tools.as_ref().is_some_and(|t| t.has(&call.tool));
            usage.count(OffsetDateTime::now_utc(), id, &client, &call, is_listed);
        })
    }

    /// Answers a caller of all servers as one.
    pub async fn serve_all(&self, caller: McpCaller, request: Request<Body>) -> Response<Body> {
        let who = caller.who;
        let client = caller.client.unwrap_or_default();
        let servers = Granted::new(self.clone(), caller.grants, &caller.pins, client);
        Box::pin(self.merge.serve(servers, &who, request)).await
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
