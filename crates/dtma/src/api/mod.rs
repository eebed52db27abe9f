//! The HTTP API: routes in [`router`], one module per group of handlers.

pub mod auth;
pub mod error;
pub mod extract;
pub mod host;
pub mod logs;
pub mod machine;
pub mod mcp;
pub mod prefer;
pub mod request_id;
pub mod router;
pub mod telemetry;
pub mod tools;

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use toolbox_domain::ids::{ToolInstanceId, ToolboxId};

use crate::instances::{Bounds, InstancesHandle};
use crate::keys::KeyRing;
use crate::machine::companion::Companion;
use crate::machine::diagnose::Doctor;
use crate::machine::history::History;
use crate::machine::log::LogRing;
use crate::metrics::Machine;
use crate::runtime::ContainerRuntime;
use crate::runtime::probe::EngineProbe;
use crate::telemetry::Telemetry;

/// What handlers need; cheap to clone.
#[derive(Clone)]
pub struct AppState {
    pub instances: InstancesHandle,
    /// Docker, for questions about no instance in particular.
    pub runtime: Arc<dyn ContainerRuntime>,
    /// Whether Docker answers.
    pub probe: Arc<EngineProbe>,
    /// Accepted keys.
    pub keys: Arc<KeyRing>,
    pub machine: Arc<Machine>,
    /// The machine's metrics of the last hour.
    pub history: Arc<History>,
    /// The agent's own log.
    pub log: Arc<LogRing>,
    pub doctor: Arc<Doctor>,
    /// None where none is configured.
    pub companion: Option<Arc<Companion>>,
    /// SHA-256 of the TLS certificate; none without TLS.
    pub certificate_sha256: Option<Arc<str>>,
    /// The toolbox this agent serves.
    pub toolbox: ToolboxId,
    /// What specs may name.
    pub bounds: Arc<Bounds>,
    /// Instances that the control plane does not know.
    pub orphans: watch::Receiver<BTreeSet<ToolInstanceId>>,
    /// The agent reports to a control plane.
    pub has_control_plane: bool,
    /// The bridges to MCP servers.
    pub mcp: crate::mcp::Handle,
    pub telemetry: Arc<Telemetry>,
    /// The port the API listens on.
    pub port: u16,
    /// When the agent started.
    pub started: Instant,
    /// Turns true when the agent stops.
    pub shutdown: watch::Receiver<bool>,
    /// Ends the agent, so that it is started again.
    pub restart: Arc<Notify>,
}
