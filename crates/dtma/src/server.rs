//! Serves the API: accepts connections, over TLS unless told otherwise, and ends them in order.
//!
//! A TLS connection begins with TLS, or with the `CONNECT` of a client that takes the agent for the proxy of its own
//! name (`tunnel`).
//!
//! One task per connection does the handshake too, so a slow caller delays nobody. Their number is bounded: beyond it,
//! the one that has gone longest without a request makes room, and when all have sent one, the new one is closed. A
//! connection that says nothing for a while is closed too, so callers that vanish leave nothing behind.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustix::net::sockopt;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinError, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::tunnel::{self, PromptAcks};

/// Most connections at once. Bounds the memory and the file descriptors callers can make the agent use.
const MAX_CONNECTIONS: usize = 512;
/// How long a TLS handshake may take, the tunnel before it included.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// How long the head of a request may take, from the connection's begin or the end of the request before it.
const HEAD_LIMIT: Duration = Duration::from_secs(10);
/// A caller that sent nothing for so long is asked by the kernel whether it is still there, and then again and again.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_mins(1), Duration::from_secs(15));
/// How long a caller may leave data unacknowledged, or questions of [`KEEP_ALIVE`], in milliseconds.
const UNHEARD_LIMIT: u32 = 120_000;
/// Pause after the kernel refused to accept (no file descriptors left, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// How callers speak to the agent.
#[derive(Clone)]
pub enum Transport {
    /// HTTP as it is, for development on loopback.
    Plain,
    /// HTTP over TLS.
    Tls(Tls),
}

/// What a TLS connection needs.
#[derive(Clone)]
pub struct Tls {
    /// The agent's key and certificate.
    pub config: Arc<ServerConfig>,
    /// The name in the certificate that a tunnel may be asked for.
    pub host: Arc<str>,
}

/// Serves until the shutdown signal, then lets open requests end for at most `drain`.
pub async fn serve(
    listener: TcpListener,
    transport: Transport,
    router: Router,
    shutdown: watch::Receiver<bool>,
    drain: Duration,
) {
    serve_at_most(
        MAX_CONNECTIONS,
        listener,
        transport,
        router,
        shutdown,
        drain,
    )
    .await;
}

async fn serve_at_most(
    most: usize,
    listener: TcpListener,
    transport: Transport,
    router: Router,
    shutdown: watch::Receiver<bool>,
    drain: Duration,
) {
    let mut connections = Connections::default();
    let mut stop = shutdown.clone();
    loop {
        tokio::select! {
            () = crate::instances::stopped(&mut stop) => break,
            Some(ended) = connections.open.join_next() => report(ended),
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => if connections.make_room(most).await {
                    let asked = Arc::new(AtomicBool::new(false));
                    let serving = connection(
                        stream,
                        transport.clone(),
                        router.clone(),
                        Arc::clone(&asked),
                        shutdown.clone(),
                    );
                    let task = connections.open.spawn(serving);
                    connections.silent.push_back(Silent { asked, task });
                } else {
                    tracing::warn!(most, "closed a connection: there are too many");
                },
                Err(error) => {
                    tracing::warn!(%error, "could not accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    let ended = async {
        while let Some(ended) = connections.open.join_next().await {
            report(ended);
        }
    };
    if tokio::time::timeout(drain, ended).await.is_err() {
        tracing::warn!("some requests did not end in time");
    }
}

/// The connections there are.
#[derive(Default)]
struct Connections {
    open: JoinSet<()>,
    /// Those that have not sent a request, oldest first.
    silent: VecDeque<Silent>,
}

struct Silent {
    asked: Arc<AtomicBool>,
    task: AbortHandle,
}

impl Connections {
    /// Whether there is room for one more of at most `most`; a silent one ends for it.
    async fn make_room(&mut self, most: usize) -> bool {
        while let Some(ended) = self.open.try_join_next() {
            report(ended);
        }
        self.silent
            .retain(|c| !c.task.is_finished() && !c.asked.load(Ordering::Relaxed));
        if self.open.len() < most {
            return true;
        }
        let Some(oldest) = self.silent.pop_front() else {
            return false;
        };
        oldest.task.abort();
        if let Some(ended) = self.open.join_next().await {
            report(ended);
        }
        tracing::debug!(most, "closed a silent connection to make room");
        true
    }
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "the task of a connection panicked");
    }
}

/// Lets the kernel find out that a caller is gone, also while the agent has nothing to send.
fn keep_alive(stream: &TcpStream) -> io::Result<()> {
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, KEEP_ALIVE.0)?;
    sockopt::set_tcp_keepintvl(stream, KEEP_ALIVE.1)?;
    sockopt::set_tcp_user_timeout(stream, UNHEARD_LIMIT)?;
    Ok(())
}

async fn connection(
    stream: TcpStream,
    transport: Transport,
    router: Router,
    asked: Arc<AtomicBool>,
    mut shutdown: watch::Receiver<bool>,
) {
    if let Err(error) = keep_alive(&stream) {
        tracing::debug!(%error, "a caller that vanishes will be noticed late");
    }
    // Answers are small and should not wait for more to come; a kernel that cannot do this only makes them slower.
    let _ = stream.set_nodelay(true);
    match transport {
        Transport::Plain => requests(stream, router, asked, shutdown).await,
        Transport::Tls(tls) => {
            let done = tokio::select! {
                done = tokio::time::timeout(HANDSHAKE_LIMIT, handshake(stream, tls)) => done,
                () = crate::instances::stopped(&mut shutdown) => return,
            };
            match done {
                Ok(Ok(stream)) => requests(stream, router, asked, shutdown).await,
                // Whoever trusts another certificate, or speaks no TLS, ends here.
                Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                Err(_) => tracing::debug!("a TLS handshake took too long"),
            }
        }
    }
}

async fn handshake(mut stream: TcpStream, tls: Tls) -> io::Result<TlsStream<PromptAcks>> {
    tunnel::open(&mut stream, &tls.host).await?;
    let acceptor = TlsAcceptor::from(tls.config);
    let mut stream = acceptor.accept(PromptAcks::new(stream)).await?;
    stream.get_mut().0.end();
    Ok(stream)
}

/// Answers the requests of one connection.
async fn requests(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    asked: Arc<AtomicBool>,
    mut shutdown: watch::Receiver<bool>,
) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |request| {
        asked.store(true, Ordering::Relaxed);
        router.call(request)
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT)
        .serve_connection(TokioIo::new(stream), service);
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

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
