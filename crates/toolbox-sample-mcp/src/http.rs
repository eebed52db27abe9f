//! Streamable HTTP: MCP on `/mcp`, health on `/healthz`.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};

use crate::server::SampleServer;
use crate::{ServeError, log};

/// Serves until the listener breaks; the caller drops the future to stop at once.
pub(crate) async fn serve(address: SocketAddr, server: SampleServer) -> Result<(), ServeError> {
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .map_err(|source| ServeError::Listen { address, source })?;
    // Port 0 asks the system for a free port; the log line is where a caller learns which one it was.
    let bound = listener.local_addr().unwrap_or(address);
    log(&format!("serving MCP on http://{bound}/mcp"));
    axum::serve(listener, router(server))
        .await
        .map_err(ServeError::Http)
}

fn router(server: SampleServer) -> Router {
    // Which name or address a published container is reached under is not known inside it, so no Host is refused here.
    let config = StreamableHttpServerConfig::default().disable_allowed_hosts();
    let mcp = StreamableHttpService::new(
        move || Ok(server.clone()),
        Arc::new(LocalSessionManager::default()),
        config,
    );
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route_service("/mcp", mcp)
}
