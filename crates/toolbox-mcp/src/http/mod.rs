//! Servers that speak HTTP themselves. For streamable HTTP ([`start`]) requests pass through, and a task probes them; the
//! older HTTP with events ([`EventServer`]) is made to look like standard streams.
//!
//! A server is reached at one address of this machine, which is looked up anew for each request. Of a request only the head
//! is understood, and of an answer only whether it goes on; it streams. A body is held until its answer begins, because a server may move its
//! endpoint; a redirect is followed only on the same server.

mod answer;
mod events;
mod probe;
mod probe_call;
mod send;

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode, header};
use bytes::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::{Notify, watch};
use toolbox_api::mcp::{McpHealth, McpState};

use self::answer::Call;
pub use self::events::EventServer;
use self::send::{Outgoing, Unsent};
use crate::bridge::{Options, too_much};
use crate::health::Tracker;
use crate::limits::UNUSED_AFTER;
use crate::memory::Memory;
use crate::process::NotRunning;
use crate::redact::Redactor;
use crate::rpc::{self, code};
use crate::wire::{body, checks, cors, reply};

/// How long connecting to a port of this machine may take.
const CONNECT: Duration = Duration::from_secs(2);
/// Idle connections kept to the server.
const IDLE: usize = 32;

/// The method of a request of the stateless era, which its body repeats.
const METHOD: HeaderName = HeaderName::from_static("mcp-method");
/// Headers that pass to the server. Everything else, above all the caller's key and cookies, stays here.
const TO_SERVER: [HeaderName; 8] = [
    header::ACCEPT,
    header::CONTENT_TYPE,
    HeaderName::from_static("last-event-id"),
    HeaderName::from_static("mcp-session-id"),
    HeaderName::from_static("mcp-protocol-version"),
    METHOD,
    HeaderName::from_static("mcp-name"),
    HeaderName::from_static("traceparent"),
];
/// Headers that pass to the client.
const TO_CLIENT: [HeaderName; 7] = [
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::CACHE_CONTROL,
    header::ALLOW,
    header::RETRY_AFTER,
    HeaderName::from_static("mcp-session-id"),
    HeaderName::from_static("x-accel-buffering"),
];

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Address and port on this machine.
    pub address: SocketAddr,
    /// Path of its endpoint, such as `/mcp`.
    pub path: String,
    /// What only the server may see.
    pub private: Arc<Private>,
    /// Which version of the server it is; another version may speak another era of the protocol.
    pub revision: u64,
}

/// What only the server may see. `Debug` leaves it out.
#[derive(Default, PartialEq, Eq)]
pub struct Private {
    /// Headers of every request, such as the server's own key. They stand in place of a caller's.
    pub headers: HeaderMap,
    /// Removes secrets from what the server says.
    pub redactor: Redactor,
}

impl std::fmt::Debug for Private {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Private").finish_non_exhaustive()
    }
}

/// Finds a server's address.
pub trait Locate: Send + Sync + 'static {
    /// Where it is now.
    fn locate(&self) -> Result<Target, NotRunning>;

    /// Looks up why nothing answers there.
    fn explain(&self) -> Explaining<'_> {
        Box::pin(std::future::ready(None))
    }
}

/// The future of [`Locate::explain`].
pub type Explaining<'a> = Pin<Box<dyn Future<Output = Option<Explanation>> + Send + 'a>>;

/// Why nothing answers where a server should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// A clause that names the cause, and the field of a deployment that cures it.
    pub words: String,
    /// Waiting cannot help.
    pub lasts: bool,
}

pub(crate) type HttpClient = Client<HttpConnector, Body>;

/// A handle on the bridge to one server. Clones share the bridge.
#[derive(Clone)]
pub struct HttpBridge {
    client: HttpClient,
    place: Arc<dyn Locate>,
    health: watch::Receiver<Arc<McpHealth>>,
    memory: watch::Receiver<Memory>,
    wake: Arc<Notify>,
    usage: Arc<Usage>,
    options: Arc<Options>,
}

/// How the server is used.
struct Usage {
    /// Calls under way, until their answers are whole.
    calls: AtomicUsize,
    /// When somebody came last. A leaf lock, never held across an await.
    last: Mutex<Instant>,
    /// Somebody came after a time of no use.
    returned: Notify,
}

impl Usage {
    fn new(now: Instant) -> Self {
        Self {
            calls: AtomicUsize::new(0),
            last: Mutex::new(now),
            returned: Notify::new(),
        }
    }

    fn last(&self) -> MutexGuard<'_, Instant> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody uses it.
    fn goes_on(&self, now: Instant) {
        let before = std::mem::replace(&mut *self.last(), now);
        if now.saturating_duration_since(before) >= UNUSED_AFTER {
            self.returned.notify_one();
        }
    }

    /// Nobody has used it for some time.
    fn ended(&self, now: Instant) -> bool {
        let idle = now.saturating_duration_since(*self.last()) >= UNUSED_AFTER;
        idle && self.calls.load(Ordering::Relaxed) == 0
    }
}

/// A call under way.
struct UnderWay(Arc<Usage>);

impl UnderWay {
    fn new(usage: &Arc<Usage>) -> Self {
        usage.calls.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(usage))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Ordering::Relaxed);
        self.0.goes_on(Instant::now());
    }
}

/// A bridge to the server at `place`, and the task that probes it.
pub fn start(
    place: Arc<dyn Locate>,
    options: Options,
) -> (HttpBridge, impl Future<Output = ()> + Send) {
    let client = client();
    let mut tracker = Tracker::new(time::OffsetDateTime::now_utc(), options.known.tools.clone());
    tracker.set_redactor(options.redactor.clone());
    let (publish, health) = watch::channel(Arc::new(tracker.health().clone()));
    let (remember, memory) = watch::channel(options.known.clone());
    let wake = Arc::new(Notify::new());
    let usage = Arc::new(Usage::new(Instant::now()));
    let prober = probe::Prober {
        client: client.clone(),
        place: Arc::clone(&place),
        limits: options.limits.clone(),
        usage: Arc::clone(&usage),
        wake: Arc::clone(&wake),
        tracker,
        publish,
        memory: remember,
    };
    let bridge = HttpBridge {
        client,
        place,
        health,
        memory,
        wake,
        usage,
        options: Arc::new(options),
    };
    (bridge, prober.run())
}

fn client() -> HttpClient {
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(CONNECT));
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_max_idle_per_host(IDLE)
        .build(connector)
}

impl HttpBridge {
    /// The server's health, now and after each change.
    pub fn health(&self) -> watch::Receiver<Arc<McpHealth>> {
        self.health.clone()
    }

    /// What was learned of the server, so that the caller can store it.
    pub fn memory(&self) -> watch::Receiver<Memory> {
        self.memory.clone()
    }

    /// Something about the server changed: probe at once.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Passes a request on. The caller has been authorised before.
    pub async fn serve(&self, request: Request<Body>) -> Response<Body> {
        if request.method() == Method::OPTIONS {
            return cors::preflight(&self.options.origins, request.headers());
        }
        if let Err(refusal) = self.options.origins.check(request.headers()) {
            return refusal.into_response();
        }
        let origin = request.headers().get(header::ORIGIN).cloned();
        let mut response = self.pass(request).await;
        cors::readable(origin.as_ref(), &mut response);
        response
    }

    async fn pass(&self, request: Request<Body>) -> Response<Body> {
        if ![Method::POST, Method::GET, Method::DELETE].contains(request.method()) {
            return reply::status(StatusCode::METHOD_NOT_ALLOWED, "GET, POST, DELETE");
        }
        let target = match self.place.locate() {
            Ok(target) => target,
            Err(reason) => {
                return failed(
                    StatusCode::SERVICE_UNAVAILABLE,
                    code::UNAVAILABLE,
                    &reason.reason,
                );
            }
        };
        self.usage.goes_on(Instant::now());
        let (head, body) = request.into_parts();
        let limits = &self.options.limits;
        let read = body::read(body, limits.message_bytes, &self.options.budget).await;
        let (body, memory) = match read {
            Ok(read) => read,
            Err(error) => return too_much(error),
        };
        let waits = reply::waits(&head.headers, &body);
        let bridge = self.clone();
        let answer = async move {
            let _memory = memory;
            bridge.ask(head, body, &target).await
        };
        match waits {
            Some(id) => reply::in_time(Box::pin(answer), id, limits.message_bytes).await,
            None => answer.await,
        }
    }

    async fn ask(&self, head: Parts, body: Bytes, target: &Target) -> Response<Body> {
        let limits = &self.options.limits;
        let listens = head.method == Method::GET
            || head
                .headers
                .get(METHOD)
                .is_some_and(|method| method == "subscriptions/listen");
        // A stream on which a client listens is no call: it may be silent.
        let call = (!listens).then(|| Call::new(UnderWay::new(&self.usage), limits));
        let outgoing = Outgoing {
            method: head.method,
            path: &target.path,
            headers: to_server(&head.headers),
            body,
        };
        let answered = send::send(&self.client, outgoing, target);
        match tokio::time::timeout(limits.call, answered).await {
            Ok(Ok(response)) => match send::elsewhere(&response, target) {
                Some(elsewhere) => {
                    let text = target.private.redactor.clean(&elsewhere);
                    let text = format!("the server answered {text}");
                    failed(StatusCode::BAD_GATEWAY, code::UNAVAILABLE, &text)
                }
                None => answer::back(response, call),
            },
            Ok(Err(Unsent::Malformed)) => failed(
                StatusCode::BAD_REQUEST,
                code::INVALID_REQUEST,
                "the request is malformed",
            ),
            Ok(Err(unsent)) => {
                let what = match unsent {
                    Unsent::Refused => "nothing listens where the server should be",
                    _ => "the server broke the connection off",
                };
                let text = format!("{what}{}", self.known());
                failed(StatusCode::BAD_GATEWAY, code::UNAVAILABLE, &text)
            }
            Err(_) => {
                let text = format!(
                    "the server did not answer within {} s; callTimeoutSeconds gives it longer",
                    limits.call.as_secs()
                );
                failed(StatusCode::GATEWAY_TIMEOUT, code::TIMED_OUT, &text)
            }
        }
    }

    /// What probing found out about a server that cannot be reached.
    fn known(&self) -> String {
        let health = self.health.borrow();
        match health.state {
            McpState::Starting | McpState::Unreachable => format!(": {}", health.evidence),
            _ => String::new(),
        }
    }
}

/// The headers of a caller that the server gets.
fn to_server(headers: &HeaderMap) -> HeaderMap {
    headers
        .iter()
        .filter(|(name, _)| {
            TO_SERVER.contains(name) || name.as_str().starts_with(checks::PARAMETER)
        })
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

fn failed(status: StatusCode, number: i32, text: &str) -> Response<Body> {
    reply::json(status, rpc::error("null", number, text, None))
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_server_is_unused_after_a_time_without_calls_and_who_returns_is_noticed() {
        let begun = Instant::now();
        let usage = Arc::new(Usage::new(begun));
        assert!(!usage.ended(begun));
        let later = begun + UNUSED_AFTER;
        assert!(usage.ended(later));
        let call = UnderWay::new(&usage);
        assert!(!usage.ended(later), "a call is under way");
        drop(call);
        usage.goes_on(begun + Duration::from_secs(1));
        assert!(usage.returned.notified().now_or_never().is_none());
        usage.goes_on(later + Duration::from_secs(1));
        assert!(usage.returned.notified().now_or_never().is_some());
        assert!(!usage.ended(later + Duration::from_secs(1)));
    }
}
