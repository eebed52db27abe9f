//! Serves the API: accepts connections, over TLS unless told otherwise, and ends them in order.
//!
//! One task per connection does the handshake too, so a slow caller delays nobody. Their number is bounded; one that
//! says nothing for a while is closed, so callers that vanish leave nothing behind.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// Most connections at once; further ones wait in the kernel's queue. Bounds the memory callers can make the agent use.
const MAX_CONNECTIONS: usize = 512;
/// How long a TLS handshake may take.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// How long a connection may wait for a request.
const IDLE_LIMIT: Duration = Duration::from_mins(1);
/// Pause after the kernel refused to accept (no file descriptors left, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// How callers speak to the agent.
#[derive(Clone)]
pub enum Transport {
    /// HTTP as it is, for development on loopback.
    Plain,
    /// HTTP over TLS.
    Tls(Arc<ServerConfig>),
}

/// Serves until the shutdown signal, then lets open requests end for at most `drain`.
pub async fn serve(
    listener: TcpListener,
    transport: Transport,
    router: Router,
    shutdown: watch::Receiver<bool>,
    drain: Duration,
) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    let mut stop = shutdown.clone();
    loop {
        tokio::select! {
            () = crate::instances::stopped(&mut stop) => break,
            Some(ended) = connections.join_next() => report(ended),
            accepted = accept(&listener, &places) => match accepted {
                Ok((stream, place)) => {
                    let (transport, router) = (transport.clone(), router.clone());
                    let shutdown = shutdown.clone();
                    connections.spawn(async move {
                        connection(stream, transport, router, shutdown).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "could not accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    let ended = async {
        while let Some(ended) = connections.join_next().await {
            report(ended);
        }
    };
    if tokio::time::timeout(drain, ended).await.is_err() {
        tracing::warn!("some requests did not end in time");
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "the task of a connection panicked");
    }
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let place = Arc::clone(places)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, place))
}

async fn connection(
    stream: TcpStream,
    transport: Transport,
    router: Router,
    mut shutdown: watch::Receiver<bool>,
) {
    // Answers are small and should not wait for more to come; a kernel that cannot do this only makes them slower.
    let _ = stream.set_nodelay(true);
    match transport {
        Transport::Plain => requests(stream, router, shutdown).await,
        Transport::Tls(config) => {
            let handshake = TlsAcceptor::from(config).accept(stream);
            let done = tokio::select! {
                done = tokio::time::timeout(HANDSHAKE_LIMIT, handshake) => done,
                () = crate::instances::stopped(&mut shutdown) => return,
            };
            match done {
                Ok(Ok(stream)) => requests(stream, router, shutdown).await,
                // Whoever trusts another certificate, or speaks no TLS, ends here.
                Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                Err(_) => tracing::debug!("a TLS handshake took too long"),
            }
        }
    }
}

/// Answers the requests of one connection.
async fn requests(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    mut shutdown: watch::Receiver<bool>,
) {
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_LIMIT)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut serving = std::pin::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = crate::instances::stopped(&mut shutdown) => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}
