//! The HTTP API: routes in [`router`], one module per group of handlers.

pub mod auth;
pub mod error;
pub mod extract;
pub mod host;
pub mod logs;
pub mod prefer;
pub mod request_id;
pub mod router;
pub mod tools;

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::Instant;
use toolbox_domain::ids::ToolboxId;
use toolbox_domain::spec::ImagePolicy;

use crate::instances::InstancesHandle;
use crate::metrics::Machine;
use crate::runtime::ContainerRuntime;
pub use auth::Keys;

/// What handlers need; cheap to clone.
#[derive(Clone)]
pub struct AppState {
    /// The instances.
    pub instances: InstancesHandle,
    /// Docker, for questions about no instance in particular.
    pub runtime: Arc<dyn ContainerRuntime>,
    /// Whether Docker answers.
    pub probe: Arc<host::EngineProbe>,
    /// Accepted keys.
    pub keys: Arc<Keys>,
    /// The machine.
    pub machine: Arc<Machine>,
    /// The toolbox this agent serves.
    pub toolbox: ToolboxId,
    /// Which image sources are allowed.
    pub policy: ImagePolicy,
    /// The port the API listens on.
    pub port: u16,
    /// When the agent started.
    pub started: Instant,
    /// Turns true when the agent stops.
    pub shutdown: watch::Receiver<bool>,
}
