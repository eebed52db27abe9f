//! A small MCP server that behaves like the tools people deploy: it serves streamable HTTP or stdio, reads its
//! environment, logs what it is asked, and can be told to fail the way real servers fail. The demo and the tests run
//! it in containers.
//!
//! Everything runs on one thread. `main` waits for whichever ends first: the server itself, SIGTERM or SIGINT, or the
//! time limit of `--exit-after-ms`.

mod config;
mod http;
mod server;

use std::process::ExitCode;

use clap::Parser as _;
use rmcp::ServiceExt as _;
use tokio::signal::unix::{SignalKind, signal};

use crate::config::{Environment, Options};
use crate::server::SampleServer;

fn main() -> ExitCode {
    let options = Options::parse();
    let environment = Environment::of_this_process();
    if let Some(name) = environment.first_missing(&options.require_env) {
        log(&format!(
            "set the environment variable \"{name}\": this server cannot start without it"
        ));
        return ExitCode::from(1);
    }
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            log(&format!("start the runtime: {error}"));
            return ExitCode::from(1);
        }
    };
    let code = runtime
        .block_on(run(&options, environment))
        .unwrap_or_else(|error| {
            log(&chain(&error));
            ExitCode::from(1)
        });
    // Reading stdin blocks a thread that nothing can wake; waiting for it would delay the exit until the next message.
    runtime.shutdown_background();
    code
}

async fn run(options: &Options, environment: Environment) -> Result<ExitCode, ServeError> {
    let stopped = stop_signal()?;
    let lifetime = async {
        match options.exit_after() {
            Some(limit) => tokio::time::sleep(limit).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        served = serve(options, environment) => served.map(|()| ExitCode::SUCCESS),
        () = stopped => {
            log("stopping on a signal");
            Ok(ExitCode::SUCCESS)
        }
        () = lifetime => {
            log(&format!("exiting with code {}, as --exit-after-ms says", options.exit_code));
            Ok(ExitCode::from(options.exit_code))
        }
    }
}

async fn serve(options: &Options, environment: Environment) -> Result<(), ServeError> {
    let server = SampleServer::new(environment, options.call(), options.drift);
    if options.stdio {
        log("serving MCP on stdio");
        let running = server
            .serve(rmcp::transport::stdio())
            .await
            .map_err(|error| ServeError::Handshake(Box::new(error)))?;
        // The client closing stdin is the normal end; a lost task has no client left to tell.
        let _ = running.waiting().await;
        Ok(())
    } else {
        http::serve(options.listen, server).await
    }
}

/// Completes on SIGTERM or SIGINT from now on. As process 1 of a container nothing else would end on them, and one that
/// came before this call would be lost, so it is called before anything says that the server is there.
fn stop_signal() -> Result<impl Future<Output = ()>, ServeError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(ServeError::Signal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ServeError::Signal)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Why the server could not serve.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    /// The system refused the signal handlers.
    #[error("listen for signals")]
    Signal(#[source] std::io::Error),
    /// The address is taken or not ours.
    #[error("listen on {address}")]
    Listen {
        address: std::net::SocketAddr,
        source: std::io::Error,
    },
    /// The listener broke while serving.
    #[error("serve HTTP")]
    Http(#[source] std::io::Error),
    /// The stdio client did not complete the MCP handshake.
    #[error("complete the MCP handshake on stdio")]
    Handshake(#[source] Box<rmcp::service::ServerInitializeError>),
}

/// An error and its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

/// Writes one line to stderr; stdout belongs to the protocol in stdio mode.
pub(crate) fn log(line: &str) {
    eprintln!("sample-mcp: {line}");
}
