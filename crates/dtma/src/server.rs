//! Serves the API: accepts connections, over TLS unless told otherwise, and ends them in order.
//!
//! A TLS connection begins with TLS, or with the `CONNECT` of a client that takes the agent for the proxy of its own
//! name (`tunnel`).
//!
//! One task per connection does the handshake too, so a slow caller delays nobody. Their number is bounded, and who makes
//! room is decided in [`crate::connections`]: what surrounds the routes tells by [`Connection::recognise`] who has shown a
//! key. A connection that says nothing for a while is closed too, so callers that vanish leave nothing behind.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustix::net::sockopt;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::connections::{Connection, Limits, Table};
use crate::tunnel::{self, PromptAcks};

/// How many connections there may be at once. A worker of the function `mcp` has one address, and begins as many as its clients
/// call at the same moment: until their requests are read, they are strangers.
const LIMITS: Limits = Limits {
    all: 512,
    strangers_per_address: 128,
    reserved: 64,
};
/// How long a TLS handshake may take, the tunnel before it included.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// How long the head of a request may take, from the connection's begin or the end of the request before it. Longer than
/// clients keep a connection that they do not use (90 s in Deno and reqwest): a request that meets its end fails. Strangers
/// who say nothing for so long keep nobody out, because they make room; known callers hold their place.
const HEAD_LIMIT: Duration = Duration::from_mins(2);
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
    serve_at_most(LIMITS, listener, transport, router, shutdown, drain).await;
}

async fn serve_at_most(
    limits: Limits,
    listener: TcpListener,
    transport: Transport,
    router: Router,
    shutdown: watch::Receiver<bool>,
    drain: Duration,
) {
    let mut connections = Connections::new(limits);
    let mut stop = shutdown.clone();
    loop {
        tokio::select! {
            () = crate::instances::stopped(&mut stop) => break,
            Some(ended) = connections.open.join_next_with_id() => connections.ended(ended),
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => if let Some(own) = connections.admit(peer.ip()).await {
                    let number = own.number();
                    let serving = connection(
                        stream,
                        transport.clone(),
                        router.clone(),
                        own,
                        shutdown.clone(),
                    );
                    connections.begun(number, serving);
                } else {
                    tracing::warn!("closed a connection: there are too many");
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
        while let Some(ended) = connections.open.join_next_with_id().await {
            connections.ended(ended);
        }
    };
    if tokio::time::timeout(drain, ended).await.is_err() {
        tracing::warn!("some requests did not end in time");
    }
}

/// The connections there are, and the tasks that serve them.
struct Connections {
    most: usize,
    table: Arc<Mutex<Table>>,
    open: JoinSet<()>,
    /// By the connection's number, to end it.
    tasks: HashMap<u64, AbortHandle>,
    numbers: HashMap<Id, u64>,
}

impl Connections {
    fn new(limits: Limits) -> Self {
        Self {
            most: limits.all,
            table: Arc::new(Mutex::new(Table::new(limits))),
            open: JoinSet::new(),
            tasks: HashMap::new(),
            numbers: HashMap::new(),
        }
    }

    /// A place for a caller from `peer`. Another connection may end for it.
    async fn admit(&mut self, peer: IpAddr) -> Option<Connection> {
        let admitted = {
            let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
            table.admit(peer)?
        };
        let own = Connection::new(admitted.number, Arc::clone(&self.table));
        if let Some(other) = admitted.instead_of.and_then(|n| self.tasks.get(&n)) {
            other.abort();
            tracing::debug!(%peer, "closed a connection without a key to make room");
        }
        // Its socket goes with its task.
        while self.open.len() >= self.most {
            let ended = self.open.join_next_with_id().await?;
            self.ended(ended);
        }
        Some(own)
    }

    fn begun(&mut self, number: u64, serving: impl Future<Output = ()> + Send + 'static) {
        let task = self.open.spawn(serving);
        self.numbers.insert(task.id(), number);
        self.tasks.insert(number, task);
    }

    fn ended(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = match &ended {
            Ok((id, ())) => *id,
            Err(error) => error.id(),
        };
        if let Some(number) = self.numbers.remove(&id) {
            self.tasks.remove(&number);
        }
        report(ended.map(drop));
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
    own: Connection,
    mut shutdown: watch::Receiver<bool>,
) {
    if let Err(error) = keep_alive(&stream) {
        tracing::debug!(%error, "a caller that vanishes will be noticed late");
    }
    // Answers are small and should not wait for more to come; a kernel that cannot do this only makes them slower.
    let _ = stream.set_nodelay(true);
    match transport {
        Transport::Plain => requests(stream, router, own, shutdown).await,
        Transport::Tls(tls) => {
            let done = tokio::select! {
                done = tokio::time::timeout(HANDSHAKE_LIMIT, handshake(stream, tls)) => done,
                () = crate::instances::stopped(&mut shutdown) => return,
            };
            match done {
                Ok(Ok(stream)) => requests(stream, router, own, shutdown).await,
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
    own: Connection,
    mut shutdown: watch::Receiver<bool>,
) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(own.clone());
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
