//! `dtma agent --candidate`: could this program serve the machine? It looks at the same state, Docker and control plane as the
//! agent that runs beside it, changes nothing, and says what it found as one line on its standard output.
//!
//! It answers `GET /health` on a port of its own, until its standard input ends or a signal comes.

use std::future::Future;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::sync::watch;
use toolbox_api::dtma::{API_VERSION, Reason};
use toolbox_domain::names::agent_host;

use crate::agent::StartError;
use crate::api::host;
use crate::config::{Config, read_keys};
use crate::control::client::{CallError, ControlClient};
use crate::keys::KeyRing;
use crate::runtime::ContainerRuntime;
use crate::runtime::docker::DockerEngine;
use crate::server::{self, Tls, Transport};
use crate::store;
use crate::telemetry::Telemetry;
use crate::tls::Identity;

/// How long Docker may take to answer.
const DOCKER_LIMIT: Duration = Duration::from_secs(10);
/// How long open requests may take at the end.
const DRAIN: Duration = Duration::from_secs(1);

/// What a candidate found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    pub version: String,
    pub api_version: u32,
    /// Where it answers `GET /health`.
    pub address: SocketAddr,
    /// Why it could not serve; empty when it could.
    pub faults: Vec<Reason>,
}

/// Looks, reports, and answers until `stop` or the end of standard input.
pub async fn run(config: Config, stop: impl Future<Output = ()>) -> Result<(), StartError> {
    config.check()?;
    let mut faults = Vec::new();
    let machine = &config.machine;
    let transport = match (
        machine.insecure_http,
        Identity::load(&machine.state_dir, machine.toolbox_id)?,
    ) {
        (true, _) => Transport::Plain,
        (false, Some(identity)) => Transport::Tls(Tls {
            config: identity.server_config()?,
            host: agent_host(machine.toolbox_id).into(),
        }),
        (false, None) => {
            faults.push(fault(
                "certificate_missing",
                "There is no certificate in the state folder that could be used",
            ));
            Transport::Plain
        }
    };
    let wanted = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listening = TcpListener::bind(wanted).await;
    let listener = listening.map_err(|source| StartError::Listen {
        address: wanted,
        source,
    })?;
    let address = listener.local_addr().unwrap_or(wanted);
    let docker = docker(&config).await;
    let reachable = docker.is_ok();
    faults.extend(state(&config).err());
    faults.extend(docker.err());
    faults.extend(control_plane(&config).await.err());

    let health = move || async move { Json(host::health_of(reachable)) };
    let router = Router::new().route("/health", get(health));
    let (begin_shutdown, shutdown) = watch::channel(false);
    let serving = tokio::spawn(server::serve(listener, transport, router, shutdown, DRAIN));
    print(&Report {
        version: crate::version().to_owned(),
        api_version: API_VERSION,
        address,
        faults,
    });
    let mut input = tokio::io::stdin();
    let mut byte = [0];
    tokio::select! {
        () = stop => {}
        _ = input.read(&mut byte) => {}
    }
    begin_shutdown.send_replace(true);
    let _ = serving.await;
    Ok(())
}

fn fault(code: &str, message: impl Into<String>) -> Reason {
    Reason {
        code: code.to_owned(),
        message: message.into(),
    }
}

/// The records, and the keys.
fn state(config: &Config) -> Result<(), Reason> {
    let folder = &config.machine.state_dir;
    let unreadable =
        |error: &dyn std::error::Error| fault("state_unreadable", crate::error_chain(error));
    let looked = store::look(folder).map_err(|e| unreadable(&e))?;
    if looked.unreadable > 0 {
        let all = looked.readable + looked.unreadable;
        let message = format!(
            "This version cannot read {} of {all} records of tools",
            looked.unreadable
        );
        return Err(fault("state_unreadable", message));
    }
    let of_file = match &config.machine.key_file {
        Some(file) => read_keys(file).map_err(|e| unreadable(&e))?,
        None => Vec::new(),
    };
    KeyRing::load(folder, &of_file).map_err(|e| unreadable(&e))?;
    Ok(())
}

async fn docker(config: &Config) -> Result<(), Reason> {
    let machine = &config.machine;
    let telemetry = Arc::new(Telemetry::default());
    let engine = DockerEngine::new(
        &machine.docker_host,
        machine.toolbox_id,
        Vec::new(),
        telemetry,
    );
    match tokio::time::timeout(DOCKER_LIMIT, engine.info()).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(fault("docker_unreachable", crate::error_chain(&error))),
        Err(_) => Err(fault(
            "docker_unreachable",
            format!("Docker did not answer within {} s", DOCKER_LIMIT.as_secs()),
        )),
    }
}

/// Asks for the desired state, as the agent does, and does nothing with it. Before an enrolment there is no key to ask with.
async fn control_plane(config: &Config) -> Result<(), Reason> {
    let (machine, control) = (&config.machine, &config.control);
    let keys = KeyRing::load(&machine.state_dir, &[]).ok();
    let (Some(url), Some(key)) = (&control.control_url, keys.and_then(|keys| keys.own())) else {
        return Ok(());
    };
    let unreachable = |error: &dyn std::error::Error| {
        fault("control_plane_unreachable", crate::error_chain(error))
    };
    let client = ControlClient::new(url, machine.toolbox_id, control.control_ca_file.as_deref());
    let client = client.map_err(|e| unreachable(&e))?;
    let request_id = uuid::Uuid::new_v4().to_string();
    match client.desired(&key, &request_id).await {
        Ok(_) => Ok(()),
        Err(
            error @ CallError::Refused {
                status: 400..=499, ..
            },
        ) => Err(fault("control_plane_refused", crate::error_chain(&error))),
        Err(error) => Err(unreachable(&error)),
    }
}

fn print(report: &Report) {
    let line = serde_json::to_string(report).unwrap_or_default();
    let mut out = io::stdout().lock();
    if let Err(error) = writeln!(out, "{line}").and_then(|()| out.flush()) {
        tracing::error!(%error, "could not say what was found");
    }
}
