//! The program `toolbox-backend`: a server of the control plane.
//!
//! - [`server`]: the routes, and who may call them.
//! - [`work`]: the loop that goes on with toolboxes under way.
//! - `metrics`: what is counted. `config`: what it is told.
//!
//! It holds no state but in rows, so several of it share the work behind any load balancer. Its use cases are those of the edge
//! functions. A signal ends it: it takes nothing new, and what it has begun may end for [`server::GRACE`].

mod config;
mod metrics;
mod server;
mod work;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};
use toolbox_http::native::Native;
use toolbox_http::{Call, Request, Transport as _};
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{Cli, Command, Config};
use crate::server::Backend;

/// How long `toolbox-backend health` waits.
const HEALTH_LIMIT: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.command {
        Some(Command::Health) => health(cli.port).await,
        None => serve(&cli).await,
    }
}

async fn serve(cli: &Cli) -> ExitCode {
    let config = match Config::of_this_process() {
        Ok(config) => config,
        Err(missing) => return failed(&missing.to_string()),
    };
    if let Err(error) = set_up_log(&cli.log) {
        return failed(&error);
    }
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        return failed("could not listen for signals");
    };
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let backend = match Backend::new(config, cli.port) {
        Ok(backend) => Arc::new(backend),
        Err(error) => return failed(&error),
    };
    let address = (cli.listen, cli.port).into();
    match server::run(backend, address, stop).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&format!("could not serve at {address}: {error}")),
    }
}

/// Asks the server on this machine; the exit code says whether it answered.
async fn health(port: u16) -> ExitCode {
    let Ok(native) = Native::new() else {
        return failed("could not set up the call");
    };
    let request = Request::new("GET", format!("http://127.0.0.1:{port}/health"));
    match native.send(Call::new(request, HEALTH_LIMIT)).await {
        Ok(answer) if answer.is_success() => ExitCode::SUCCESS,
        Ok(answer) => failed(&format!("port {port} answers {}", answer.status)),
        Err(error) => failed(&format!("port {port} does not answer: {error}")),
    }
}

fn failed(why: &str) -> ExitCode {
    eprintln!("toolbox-backend: {why}");
    ExitCode::FAILURE
}

/// JSON lines on standard error.
fn set_up_log(filter: &str) -> Result<(), String> {
    let filter: Targets = filter
        .parse()
        .map_err(|_| "expected TOOLBOX_BACKEND_LOG to be a level or a filter".to_owned())?;
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_writer(std::io::stderr);
    tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .try_init()
        .map_err(|_| "the log was set up twice".to_owned())
}
