//! The companion: keeps the agent running, replaces it by other versions, and answers for the machine while the agent does
//! not. It presents the agent's certificate and takes the agent's keys, and holds no secret of its own.
//!
//! - [`supervision`]: what the agent's program runs under; [`watch`]: when it is started again;
//! - [`change`]: another version of the agent, tried first ([`trial`]), fetched by [`release`], kept in [`versions`];
//! - [`record`]: how the last change went; [`api`]: the routes; [`programs`]: the only place where processes start.
//!
//! Whoever starts or stops the agent holds [`Companion::agent_in_hand`], so that nobody does so in the middle of a change.

pub mod agent;
pub mod api;
pub mod change;
mod container;
mod process;
pub(crate) mod programs;
pub mod record;
pub mod release;
pub mod supervision;
pub mod trial;
pub mod versions;
pub mod watch;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Mutex, watch as value};
use toolbox_domain::names::agent_host;

use crate::config::companion::CompanionConfig;
use crate::control::client::{ClientError, native};
use crate::instances::stopped;
use crate::metrics::Machine;
use crate::runtime::ContainerRuntime;
use crate::runtime::docker::DockerEngine;
use crate::runtime::probe::EngineProbe;
use crate::server::{self, Tls, Transport};
use crate::telemetry::Telemetry;
use crate::tls::{Identity, TlsError};
use agent::Agents;
use release::Releases;
use supervision::Supervision;
use versions::Versions;

/// How long open requests may take at the end.
const DRAIN: Duration = Duration::from_secs(5);
/// How often it is looked whether there is a certificate, or another one.
const LOOK: Duration = Duration::from_secs(2);

/// Why the companion did not start, or did not go on.
#[derive(Debug, thiserror::Error)]
pub enum CompanionError {
    /// Plain HTTP is for this machine only.
    #[error("without TLS the companion listens on a loopback address only, not on {0}")]
    InsecureOffLoopback(SocketAddr),
    /// The client cannot be set up.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The address is taken or not ours.
    #[error("could not listen on {address}")]
    Listen {
        address: SocketAddr,
        source: io::Error,
    },
}

/// What the companion works with.
pub struct Companion {
    pub config: CompanionConfig,
    pub versions: Versions,
    pub releases: Releases,
    pub supervision: Arc<dyn Supervision>,
    pub agents: Agents,
    pub probe: EngineProbe,
    pub machine: Machine,
    /// Held by whoever starts or stops the agent.
    pub agent_in_hand: Arc<Mutex<()>>,
}

impl Companion {
    fn new(config: CompanionConfig) -> Result<Self, ClientError> {
        let versions = Versions::new(config.versions_dir.clone());
        let engine = DockerEngine::new(
            &config.machine.docker_host,
            config.machine.toolbox_id,
            Vec::new(),
            Arc::new(Telemetry::default()),
        );
        let engine: Arc<dyn ContainerRuntime> = Arc::new(engine);
        Ok(Self {
            supervision: supervision::of(&config, &versions),
            releases: Releases::new(
                config.release_url.as_ref(),
                config.control_ca_file.as_deref(),
            )?,
            agents: Agents::new(native(None)?, config.machine.clone()),
            probe: EngineProbe::new(engine),
            machine: Machine::new(config.machine.state_dir.clone()),
            agent_in_hand: Arc::default(),
            versions,
            config,
        })
    }
}

/// Runs the companion until `stop` ends. The agent goes on running afterwards.
pub async fn run(
    config: CompanionConfig,
    stop: impl Future<Output = ()>,
) -> Result<(), CompanionError> {
    let address = config.listen();
    if config.machine.insecure_http && !address.ip().is_loopback() {
        return Err(CompanionError::InsecureOffLoopback(address));
    }
    let companion = Arc::new(Companion::new(config)?);
    let (begin_shutdown, shutdown) = value::channel(false);
    let watching = tokio::spawn(watch::run(Arc::clone(&companion), shutdown.clone()));
    let mut serving = std::pin::pin!(serve(companion, shutdown));
    let served = tokio::select! {
        served = &mut serving => served,
        () = stop => {
            tracing::info!("stopping; the agent goes on running");
            begin_shutdown.send_replace(true);
            serving.await
        }
    };
    watching.abort();
    served
}

/// Serves with the machine's certificate, once there is one, and again when there is another.
async fn serve(
    companion: Arc<Companion>,
    shutdown: value::Receiver<bool>,
) -> Result<(), CompanionError> {
    let config = &companion.config;
    let address = config.listen();
    let mut stop = shutdown.clone();
    while !*stop.borrow() {
        let Some((transport, sha256)) = transport(config)? else {
            tracing::debug!("there is no certificate yet");
            pause(&mut stop).await;
            continue;
        };
        let listener = TcpListener::bind(address).await;
        let listener = listener.map_err(|source| CompanionError::Listen { address, source })?;
        tracing::info!(%address, toolbox = %config.machine.toolbox_id, version = crate::version(), certificate_sha256 = sha256, "listening");
        let (end, ending) = value::channel(false);
        let router = api::router(Arc::clone(&companion), ending.clone());
        let serving = tokio::spawn(server::serve(listener, transport, router, ending, DRAIN));
        while !*stop.borrow() {
            pause(&mut stop).await;
            let now = transport_sha256(config);
            if now.is_some() && now != sha256 {
                tracing::info!("the certificate changed");
                break;
            }
        }
        end.send_replace(true);
        let _ = serving.await;
    }
    Ok(())
}

async fn pause(stop: &mut value::Receiver<bool>) {
    let _ = tokio::time::timeout(LOOK, stopped(stop)).await;
}

/// How to speak, and the certificate's SHA-256; none while there is no certificate.
fn transport(config: &CompanionConfig) -> Result<Option<(Transport, Option<String>)>, TlsError> {
    let machine = &config.machine;
    if machine.insecure_http {
        return Ok(Some((Transport::Plain, None)));
    }
    let Some(identity) = Identity::load(&machine.state_dir, machine.toolbox_id)? else {
        return Ok(None);
    };
    let tls = Tls {
        config: identity.server_config()?,
        host: agent_host(machine.toolbox_id).into(),
    };
    Ok(Some((
        Transport::Tls(tls),
        Some(identity.certificate_sha256),
    )))
}

fn transport_sha256(config: &CompanionConfig) -> Option<String> {
    let machine = &config.machine;
    if machine.insecure_http {
        return None;
    }
    let identity = Identity::load(&machine.state_dir, machine.toolbox_id).ok()??;
    Some(identity.certificate_sha256)
}

/// Runs what blocks where that is allowed.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|panic| Err(io::Error::other(panic)))
}
