//! Starts the parts of the agent (state, instances, watcher, API, heartbeats), and stops them in order.

use std::collections::BTreeSet;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use toolbox_domain::names::agent_host;
use toolbox_http::native::{Native, SetupError};
use toolbox_mcp::wire::body::Budget;

use crate::api::{AppState, router};
use crate::companion::agent::on_loopback;
use crate::config::{Config, ConfigError, KeyFileError, read_keys};
use crate::control::client::{ClientError, ControlClient};
use crate::control::{self, Control};
use crate::firewall::{self, Firewall};
use crate::instances::supervisor::Supervisor;
use crate::instances::{
    self, Bounds, Changes, InstancesHandle, Shared, Tombstones, disk_watch, unused_images, watcher,
};
use crate::keys::{KeyRing, KeysError};
use crate::machine::companion::Companion;
use crate::machine::diagnose::Doctor;
use crate::machine::history::History;
use crate::machine::log::LogRing;
use crate::mcp;
use crate::metrics::Machine;
use crate::ports::PortTable;
use crate::runtime::ContainerRuntime;
use crate::runtime::docker::DockerEngine;
use crate::runtime::probe::EngineProbe;
use crate::server::{self, Tls, Transport};
use crate::store::{Loaded, Store, StoreError};
use crate::telemetry::Telemetry;
use crate::tls::{Identity, TlsError};

/// How long open requests may take when the agent stops; what would not end by itself ends at once.
pub const DRAIN: Duration = Duration::from_secs(30);

/// How long the first look at Docker may delay the first answer.
const FIRST_LOOK: Duration = Duration::from_secs(2);

/// Why the agent did not start, or did not go on.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The flags do not go together.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The key file cannot be used.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// The stored keys cannot be used.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The control plane could not be trusted.
    #[error(transparent)]
    Control(#[from] ClientError),
    /// The state folder cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The companion could not be called.
    #[error("TLS to the companion cannot be set up")]
    Companion(#[from] SetupError),
    /// The address is taken or not ours.
    #[error("could not listen on {address}")]
    Listen {
        address: SocketAddr,
        source: io::Error,
    },
    /// A task ended by itself, which none should; the log says how.
    #[error("a part of the agent ended by itself")]
    Ended,
}

/// What the agent has before it begins.
struct Opened {
    store: Arc<Store>,
    loaded: Loaded,
    keys: Arc<KeyRing>,
    identity: Option<Identity>,
    transport: Transport,
    client: Option<ControlClient>,
    listener: TcpListener,
    address: SocketAddr,
}

/// Reads what is on the disk, and takes the port.
async fn open(config: &Config) -> Result<Opened, StartError> {
    config.check()?;
    let of_file = match &config.machine.key_file {
        Some(file) => read_keys(file)?,
        None => Vec::new(),
    };
    let store = Arc::new(Store::open(
        &config.machine.state_dir,
        config.machine.toolbox_id,
    )?);
    let loaded = store.load()?;
    let keys = Arc::new(KeyRing::load(&config.machine.state_dir, &of_file)?);
    let identity = identity(config)?;
    let transport = match &identity {
        Some(identity) => Transport::Tls(Tls {
            config: identity.server_config()?,
            host: agent_host(config.machine.toolbox_id).into(),
        }),
        None => Transport::Plain,
    };
    let client = client(config)?;
    let listener = TcpListener::bind(config.listen)
        .await
        .map_err(|source| StartError::Listen {
            address: config.listen,
            source,
        })?;
    let address = listener.local_addr().unwrap_or(config.listen);
    tracing::info!(
        %address,
        toolbox = %config.machine.toolbox_id,
        version = crate::version(),
        certificate_sha256 = identity.as_ref().map(|i| i.certificate_sha256.as_str()),
        control_plane = config.control.control_url.as_ref().map(ToString::to_string),
        instances = loaded.records.len(),
        quarantined = loaded.quarantined.len(),
        "listening"
    );
    Ok(Opened {
        store,
        loaded,
        keys,
        identity,
        transport,
        client,
        listener,
        address,
    })
}

/// Runs the agent until `stop` ends. Containers go on running afterwards. `log` holds the end of what the program logs.
pub async fn run(
    config: Config,
    log: Arc<LogRing>,
    stop: impl Future<Output = ()>,
) -> Result<(), StartError> {
    let Opened {
        store,
        loaded,
        keys,
        identity,
        transport,
        client,
        listener,
        address,
    } = open(&config).await?;
    let tombstones = Arc::new(Tombstones::new(Arc::clone(&store), loaded.tombstones));
    let shared = Arc::new(shared(&config, store, Arc::clone(&tombstones), address));
    for record in &loaded.records {
        shared.firewall.set(record.id, Some(record)).await;
    }
    let (end_requests, ending) = watch::channel(false);
    let (begin_shutdown, shutdown) = watch::channel(false);
    let (instances, requests) = instances::channel(tombstones);
    let supervisor = Supervisor::new(Arc::clone(&shared), loaded.records, shutdown.clone());
    let mut tasks = JoinSet::new();
    tasks.spawn(supervisor.run(requests));
    let mut first_look = watch_machine(&mut tasks, &shared, &instances, &shutdown);
    // Callers that come meanwhile wait in the listener's queue, instead of being refused because Docker was not seen.
    let _ = tokio::time::timeout(FIRST_LOOK, first_look.wait_for(|looked| *looked)).await;

    let (mcp, keeping) = mcp::start(
        instances.clone(),
        Arc::clone(&shared),
        &config.machine.state_dir,
        Budget::new(usize::from(config.mcp_memory) * 1024 * 1024),
        Duration::from_secs(config.idle_minute.into()),
        shutdown.clone(),
    );
    tasks.spawn(keeping);
    let restart = Arc::new(Notify::new());
    let machine = Machine::new(config.machine.state_dir.clone());
    let machine = Arc::new(machine.with_firewall(shared.firewall.state()));
    let history = sample_machine(&mut tasks, &config, &shutdown);
    let companion = companion(&config, identity.as_ref())?;
    let doctor = Arc::new(doctor(&config, &shared, &machine, companion.clone()));
    let (publish_orphans, orphans) = watch::channel(BTreeSet::new());
    let state = AppState {
        instances: instances.clone(),
        probe: Arc::new(EngineProbe::new(Arc::clone(&shared.runtime))),
        runtime: Arc::clone(&shared.runtime),
        keys,
        machine,
        history,
        log,
        doctor,
        companion,
        certificate_sha256: identity
            .as_ref()
            .map(|i| i.certificate_sha256.as_str().into()),
        toolbox: config.machine.toolbox_id,
        bounds: Arc::clone(&shared.bounds),
        orphans,
        has_control_plane: client.is_some(),
        mcp: mcp.clone(),
        telemetry: Arc::clone(&shared.telemetry),
        port: address.port(),
        started: Instant::now(),
        shutdown: ending.clone(),
        restart: Arc::clone(&restart),
    };
    if let Some(client) = client {
        let control = Control {
            client,
            keys: Arc::clone(&state.keys),
            instances,
            shared,
            machine: Arc::clone(&state.machine),
            probe: Arc::clone(&state.probe),
            usage: mcp.usage().clone(),
            health: Arc::new(move |id| mcp.health(id)),
            orphans: publish_orphans,
            certificate: identity.map(|i| (i.certificate_sha256, i.certificate_pem)),
            ssh: config.control.ssh(),
            state_dir: config.machine.state_dir,
            token_file: config.enrolment_token_file,
            interval: config.heartbeat_interval,
        };
        tasks.spawn(control::run(control, shutdown.clone()));
    }
    let router = router::router(state);
    let serving = tokio::spawn(server::serve(listener, transport, router, ending, DRAIN));
    let stop = async {
        tokio::select! {
            () = stop => {}
            () = restart.notified() => tracing::info!("ending, to be started again"),
        }
    };
    let parts = Parts {
        tasks,
        serving,
        end_requests,
        begin_shutdown,
    };
    parts.until_stopped(stop).await
}

/// Starts what samples the machine's load; the samples of the last hour.
fn sample_machine(
    tasks: &mut JoinSet<()>,
    config: &Config,
    shutdown: &watch::Receiver<bool>,
) -> Arc<History> {
    let history = Arc::new(History::default());
    let (sampled, state_dir) = (Arc::clone(&history), config.machine.state_dir.clone());
    let until = shutdown.clone();
    tasks.spawn(async move { sampled.run(state_dir, until).await });
    history
}

/// Starts what keeps containers away from the machine, looks at Docker, and keeps the disk from filling. Answers whether
/// Docker was looked at.
fn watch_machine(
    tasks: &mut JoinSet<()>,
    shared: &Arc<Shared>,
    instances: &InstancesHandle,
    shutdown: &watch::Receiver<bool>,
) -> watch::Receiver<bool> {
    tasks.spawn(firewall::run(
        Arc::clone(&shared.firewall),
        Arc::clone(&shared.runtime),
        shutdown.clone(),
    ));
    let (looked, first_look) = watch::channel(false);
    tasks.spawn(watcher::run(
        Arc::clone(shared),
        instances.clone(),
        looked,
        shutdown.clone(),
    ));
    tasks.spawn(unused_images::run(Arc::clone(shared), shutdown.clone()));
    tasks.spawn(disk_watch::run(
        Arc::clone(shared),
        instances.clone(),
        shutdown.clone(),
    ));
    first_look
}

/// What looks for faults when it is asked.
fn doctor(
    config: &Config,
    shared: &Shared,
    machine: &Arc<Machine>,
    companion: Option<Arc<Companion>>,
) -> Doctor {
    Doctor {
        toolbox: config.machine.toolbox_id,
        runtime: Arc::clone(&shared.runtime),
        machine: Arc::clone(machine),
        disk_free_percent: config.disk_free,
        control_url: config.control.control_url.clone(),
        control_ca_file: config.control.control_ca_file.clone(),
        companion,
    }
}

/// What runs, and what ends it.
struct Parts {
    tasks: JoinSet<()>,
    /// The server, which ends first: open requests need the others.
    serving: JoinHandle<()>,
    end_requests: watch::Sender<bool>,
    begin_shutdown: watch::Sender<bool>,
}

impl Parts {
    /// Waits for `stop`, or for a task that ends by itself, which none should; then for the end of open requests, then for
    /// that of all tasks.
    async fn until_stopped(mut self, stop: impl Future<Output = ()>) -> Result<(), StartError> {
        let mut has_ended = false;
        let end = tokio::select! {
            () = stop => {
                tracing::info!("stopping; containers go on running");
                Ok(())
            }
            Some(ended) = self.tasks.join_next() => {
                tracing::error!(?ended, "a task ended by itself");
                Err(StartError::Ended)
            }
            ended = &mut self.serving => {
                tracing::error!(?ended, "the server ended by itself");
                has_ended = true;
                Err(StartError::Ended)
            }
        };
        self.end_requests.send_replace(true);
        // Each task bounds the time of its end.
        if !has_ended && let Err(error) = self.serving.await {
            tracing::error!(%error, "the server panicked");
        }
        self.begin_shutdown.send_replace(true);
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a task panicked");
            }
        }
        tracing::info!("stopped");
        end
    }
}

/// The certificate, unless plain HTTP is asked for.
fn identity(config: &Config) -> Result<Option<Identity>, StartError> {
    if config.machine.insecure_http {
        tracing::warn!("speaking plain HTTP, because DTMA_INSECURE_HTTP is set");
        return Ok(None);
    }
    let names = &config.control.tls_names;
    let identity =
        Identity::load_or_make(&config.machine.state_dir, config.machine.toolbox_id, names)?;
    Ok(Some(identity))
}

/// The way to the companion, if there is one.
fn companion(
    config: &Config,
    identity: Option<&Identity>,
) -> Result<Option<Arc<Companion>>, StartError> {
    let Some(port) = config.companion_port else {
        return Ok(None);
    };
    let pem = identity.map(|i| i.certificate_pem.as_str());
    let address = on_loopback(SocketAddr::new(config.listen.ip(), port));
    let companion = Companion::new(Native::new()?, config.machine.toolbox_id, address, pem);
    Ok(Some(Arc::new(companion)))
}

/// The client of the control plane, if there is one.
fn client(config: &Config) -> Result<Option<ControlClient>, StartError> {
    let ca_file = config.control.control_ca_file.as_deref();
    let client = config
        .control
        .control_url
        .as_ref()
        .map(|url| ControlClient::new(url, config.machine.toolbox_id, ca_file));
    Ok(client.transpose()?)
}

/// What every instance needs.
fn shared(
    config: &Config,
    store: Arc<Store>,
    tombstones: Arc<Tombstones>,
    address: SocketAddr,
) -> Shared {
    let telemetry = Arc::new(Telemetry::default());
    let companion = config.companion_port;
    let bounds = Bounds {
        sources: Arc::new(config.allow_private_sources.clone()),
        closed: [address.port(), config.control.ssh_port]
            .into_iter()
            .chain(companion)
            .chain(config.machine.docker_port())
            .collect(),
    };
    let engine = DockerEngine::new(
        &config.machine.docker_host,
        config.machine.toolbox_id,
        config.network_pool.clone(),
        Arc::clone(&telemetry),
    );
    let kept_free = u64::from(config.min_free_disk) * 1024 * 1024;
    let engine = engine
        .allowing(Arc::clone(&bounds.sources))
        .keeping_free(kept_free);
    let runtime: Arc<dyn ContainerRuntime> = Arc::new(engine);
    Shared {
        toolbox: config.machine.toolbox_id,
        runtime,
        docker_returns: AtomicU64::new(0),
        store,
        ports: PortTable::new(config.port_range.clone()),
        firewall: Arc::new(Firewall::new(
            config.machine.toolbox_id,
            address.port(),
            bounds.closed.clone(),
            Arc::clone(&telemetry),
        )),
        tombstones,
        changes: Arc::new(Changes::default()),
        telemetry,
        bounds: Arc::new(bounds),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn end_of(task: impl Future<Output = ()> + Send + 'static) -> Result<(), StartError> {
        let (begin_shutdown, mut shutdown) = watch::channel(false);
        let (end_requests, mut ending) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let mut early = shutdown.clone();
        tasks.spawn(async move { instances::stopped(&mut shutdown).await });
        tasks.spawn(task);
        let serving = tokio::spawn(async move {
            instances::stopped(&mut ending).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
            assert!(
                !*early.borrow_and_update(),
                "requests end before what they need"
            );
        });
        let parts = Parts {
            tasks,
            serving,
            end_requests,
            begin_shutdown,
        };
        let stop = tokio::time::sleep(Duration::from_millis(100));
        parts.until_stopped(stop).await
    }

    #[tokio::test(start_paused = true)]
    async fn only_an_end_that_was_asked_for_is_a_success() {
        let ends = end_of(async {}).await;
        assert!(matches!(ends, Err(StartError::Ended)), "{ends:?}");
        let panics = end_of(async { panic!("as bugs do") }).await;
        assert!(matches!(panics, Err(StartError::Ended)), "{panics:?}");
        let lasts = end_of(tokio::time::sleep(Duration::from_millis(300))).await;
        assert!(lasts.is_ok(), "{lasts:?}");
    }
}
