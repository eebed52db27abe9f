//! Puts the agent together: state, instances, watcher, API; and takes it apart in order.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use toolbox_domain::spec::ImagePolicy;

use crate::api::host::EngineProbe;
use crate::api::{AppState, Keys, router};
use crate::config::{Config, ConfigError, KeyFileError, read_keys};
use crate::instances::supervisor::Supervisor;
use crate::instances::{self, Shared, watcher};
use crate::metrics::Machine;
use crate::ports::PortTable;
use crate::record::short_id;
use crate::runtime::ContainerRuntime;
use crate::runtime::docker::DockerEngine;
use crate::server::{self, Transport};
use crate::store::{Store, StoreError};
use crate::tls::{Identity, TlsError};

/// How long open requests may take when the agent stops; log followers end at once.
const DRAIN: Duration = Duration::from_secs(10);

/// How long the first look at Docker may delay the first answer.
const FIRST_LOOK: Duration = Duration::from_secs(2);

/// The agent could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The flags do not go together.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The key file is of no use.
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    /// The state folder is of no use.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The certificate is of no use.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The address is taken or not ours.
    #[error("could not listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
}

/// Runs the agent until `stop` ends. Containers go on running afterwards.
pub async fn run(config: Config, stop: impl Future<Output = ()>) -> Result<(), StartError> {
    config.check()?;
    let keys = match &config.key_file {
        Some(file) => read_keys(file)?,
        None => Vec::new(),
    };
    let policy = ImagePolicy {
        allow_loopback_http: config.allow_loopback_git,
    };
    let store = Store::open(&config.state_dir, config.toolbox_id, policy)?;
    let loaded = store.load()?;
    let transport = if config.insecure_http {
        tracing::warn!("speaking plain HTTP, because DTMA_INSECURE_HTTP is set");
        Transport::Plain
    } else {
        let names = &config.tls_names;
        let identity = Identity::load_or_make(&config.state_dir, config.toolbox_id, names)?;
        Transport::Tls(identity.server_config()?)
    };
    let listener = TcpListener::bind(config.listen)
        .await
        .map_err(|source| StartError::Listen {
            address: config.listen,
            source,
        })?;
    let address = listener.local_addr().unwrap_or(config.listen);

    let network = format!("toolbox-{}", short_id(config.toolbox_id));
    let runtime: Arc<dyn ContainerRuntime> = Arc::new(DockerEngine::new(
        &config.docker_host,
        config.toolbox_id,
        network.clone(),
    ));
    let shared = Arc::new(Shared {
        toolbox: config.toolbox_id,
        network,
        runtime: Arc::clone(&runtime),
        store: Arc::new(store),
        ports: PortTable::new(config.port_range.clone()),
        policy,
    });
    let (begin_shutdown, shutdown) = watch::channel(false);
    tracing::info!(
        %address,
        toolbox = %config.toolbox_id,
        version = crate::VERSION,
        instances = loaded.records.len(),
        quarantined = loaded.quarantined.len(),
        "listening"
    );
    let (instances, requests) = instances::channel();
    let supervisor = Supervisor::new(Arc::clone(&shared), loaded.records, shutdown.clone());
    let mut tasks = JoinSet::new();
    tasks.spawn(supervisor.run(requests));
    let (looked, mut first_look) = watch::channel(false);
    tasks.spawn(watcher::run(
        shared,
        instances.clone(),
        looked,
        shutdown.clone(),
    ));
    // Callers that come in between wait in the listener's queue, instead of being told that nothing is known yet.
    let _ = tokio::time::timeout(FIRST_LOOK, first_look.wait_for(|looked| *looked)).await;

    let state = AppState {
        instances,
        probe: Arc::new(EngineProbe::new(Arc::clone(&runtime))),
        runtime,
        keys: Arc::new(Keys::new(&keys)),
        machine: Arc::new(Machine::new(config.state_dir.clone())),
        toolbox: config.toolbox_id,
        policy,
        port: address.port(),
        started: Instant::now(),
        shutdown: shutdown.clone(),
    };
    let router = router::router(state);
    let serving = server::serve(listener, transport, router, shutdown, DRAIN);
    tasks.spawn(serving);

    tokio::select! {
        () = stop => tracing::info!("stopping; containers go on running"),
        Some(ended) = tasks.join_next() => tracing::error!(?ended, "a task ended by itself"),
    }
    begin_shutdown.send_replace(true);
    // Each bounds its own end, and returns nothing but a panic.
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended {
            tracing::error!(%error, "a task panicked");
        }
    }
    tracing::info!("stopped");
    Ok(())
}
