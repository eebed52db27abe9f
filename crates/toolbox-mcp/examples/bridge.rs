//! Serves one MCP server over streamable HTTP on this machine: `bridge --listen 127.0.0.1:8080 -- command args` starts one
//! that speaks over standard streams, `bridge --url 127.0.0.1:3000/mcp` leads to one that speaks HTTP.
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
use toolbox_mcp::http::{self, HttpBridge, Locate, Target};
use toolbox_mcp::process::NotRunning;
use toolbox_mcp::wire::checks::Origins;

/// The command line.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where to listen; port 0 takes a free one, which is printed.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Address, port and path of a server that speaks HTTP.
    #[arg(long, conflicts_with = "command")]
    url: Option<String>,
    /// The server speaks the stateless revision.
    #[arg(long)]
    stateless: bool,
    /// The server and its arguments.
    #[arg(required_unless_present = "url", last = true)]
    command: Vec<OsString>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), std::io::Error> {
    let Arguments {
        listen,
        url,
        stateless,
        command,
    } = Arguments::parse();
    let options = Options {
        stateless,
        origins: Origins {
            loopback_only: true,
            ..Origins::default()
        },
        ..Options::default()
    };
    let way = if let Some(url) = url {
        let (bridge, task) = http::start(Arc::new(Fixed(target(&url)?)), options);
        tokio::spawn(task);
        Way::Http(bridge)
    } else {
        let mut command = command.into_iter();
        let program = command.next().unwrap_or_default();
        let process = ChildProcess::new(program, command);
        let (bridge, task) = start(Arc::new(process), options);
        tokio::spawn(task);
        Way::Stdio(bridge)
    };
    let listener = tokio::net::TcpListener::bind(listen).await?;
    println!("http://{}/mcp", listener.local_addr()?);
    let router = Router::new()
        .route("/mcp", any(mcp))
        .route("/health", get(health))
        .with_state(way);
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

/// The bridge, of either kind.
#[derive(Clone)]
enum Way {
    Stdio(Bridge),
    Http(HttpBridge),
}

/// A server that stays where it is.
struct Fixed(Target);

impl Locate for Fixed {
    fn locate(&self) -> Result<Target, NotRunning> {
        Ok(self.0.clone())
    }
}

fn target(url: &str) -> Result<Target, std::io::Error> {
    let (address, path) = url.split_once('/').unwrap_or((url, "mcp"));
    let address = address.parse().map_err(std::io::Error::other)?;
    Ok(Target {
        address,
        path: format!("/{path}"),
        private: Arc::default(),
        revision: 0,
    })
}

async fn mcp(State(way): State<Way>, request: Request) -> Response {
    match way {
        Way::Stdio(bridge) => bridge.serve(request).await,
        Way::Http(bridge) => bridge.serve(request).await,
    }
}

async fn health(State(way): State<Way>) -> Response {
    let health = match way {
        Way::Stdio(bridge) => bridge.health(),
        Way::Http(bridge) => bridge.health(),
    };
    let health = serde_json::to_vec(&**health.borrow()).unwrap_or_default();
    ([("content-type", "application/json")], health).into_response()
}
