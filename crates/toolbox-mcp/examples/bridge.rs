//! Serves one stdio MCP server over streamable HTTP on this machine: `bridge --listen 127.0.0.1:8080 -- command args`.
//!
//! `/mcp` is the endpoint, `/health` what is known of the server. For trying out, benchmarks and conformance tests: it
//! has no authentication, and so answers this machine only.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use axum::serve::ListenerExt;
use clap::Parser;
use toolbox_mcp::bridge::{Bridge, Options, start};
use toolbox_mcp::child::ChildProcess;
use toolbox_mcp::wire::checks::Origins;

/// The command line.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where to listen; port 0 takes a free one, which is printed.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The server and its arguments.
    #[arg(required = true, last = true)]
    command: Vec<OsString>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), std::io::Error> {
    let Arguments { listen, command } = Arguments::parse();
    let mut command = command.into_iter();
    let program = command.next().unwrap_or_default();
    let options = Options {
        origins: Origins {
            loopback_only: true,
            ..Origins::default()
        },
        ..Options::default()
    };
    let (bridge, task) = start(Arc::new(ChildProcess::new(program, command)), options);
    tokio::spawn(task);
    let listener = tokio::net::TcpListener::bind(listen).await?;
    println!("http://{}/mcp", listener.local_addr()?);
    let router = Router::new()
        .route("/mcp", any(mcp))
        .route("/health", get(health))
        .with_state(bridge);
    let ended = tokio::signal::ctrl_c();
    // Events are small and each is written on its own.
    let listener = listener.tap_io(|connection| {
        // A connection that cannot be set up fails when it is used.
        let _ = connection.set_nodelay(true);
    });
    axum::serve(listener, router)
        .with_graceful_shutdown(async {
            // A signal that cannot be waited for is as good as one that came.
            let _ = ended.await;
        })
        .await
}

async fn mcp(State(bridge): State<Bridge>, request: Request) -> Response {
    bridge.serve(request).await
}

async fn health(State(bridge): State<Bridge>) -> Response {
    let health = serde_json::to_vec(&**bridge.health().borrow()).unwrap_or_default();
    ([("content-type", "application/json")], health).into_response()
}
