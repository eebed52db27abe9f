//! Servers that speak streamable HTTP themselves: requests pass through, and a task probes them.
//!
//! Only the head of a request is read, and nothing of an answer: both bodies stream. The server is reached
//! at one address of this machine, which the caller looks up anew for each connection; no redirect is followed.

mod probe;
mod probe_call;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header,
};
use http_body_util::{BodyExt, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::{Notify, watch};
use toolbox_api::mcp::McpHealth;

use crate::bridge::Options;
use crate::health::Tracker;
use crate::process::NotRunning;
use crate::rpc::{self, code};
use crate::tools::Toolset;
use crate::wire::{checks, reply};

/// How long connecting to a port of this machine may take.
const CONNECT: Duration = Duration::from_secs(2);
/// Idle connections kept to the server.
const IDLE: usize = 32;

/// Headers that pass to the server. Everything else, above all the caller's key and cookies, stays here.
const TO_SERVER: [HeaderName; 9] = [
    header::ACCEPT,
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    HeaderName::from_static("last-event-id"),
    HeaderName::from_static("mcp-session-id"),
    HeaderName::from_static("mcp-protocol-version"),
    HeaderName::from_static("mcp-method"),
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
}

/// Finds a server's address.
pub trait Locate: Send + Sync + 'static {
    /// Where it is now.
    fn locate(&self) -> Result<Target, NotRunning>;
}

pub(crate) type HttpClient = Client<HttpConnector, Body>;

/// A handle on the bridge to one server. Clones share the bridge.
#[derive(Clone)]
pub struct HttpBridge {
    client: HttpClient,
    place: Arc<dyn Locate>,
    health: watch::Receiver<Arc<McpHealth>>,
    tools: watch::Receiver<Option<Arc<Toolset>>>,
    wake: Arc<Notify>,
    options: Arc<Options>,
}

/// A bridge to the server at `place`, and the task that probes it.
pub fn start(
    place: Arc<dyn Locate>,
    options: Options,
) -> (HttpBridge, impl Future<Output = ()> + Send) {
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(CONNECT));
    connector.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_max_idle_per_host(IDLE)
        .build(connector);
    let mut tracker = Tracker::new(time::OffsetDateTime::now_utc(), options.known.clone());
    tracker.set_redactor(options.redactor.clone());
    let (publish, health) = watch::channel(Arc::new(tracker.health().clone()));
    let (publish_tools, tools) = watch::channel(None);
    let wake = Arc::new(Notify::new());
    let prober = probe::Prober {
        client: client.clone(),
        place: Arc::clone(&place),
        limits: options.limits.clone(),
        redactor: options.redactor.clone(),
        wake: Arc::clone(&wake),
        tracker,
        publish,
        publish_tools,
    };
    let bridge = HttpBridge {
        client,
        place,
        health,
        tools,
        wake,
        options: Arc::new(options),
    };
    (bridge, prober.run())
}

impl HttpBridge {
    /// The server's health, now and after each change.
    pub fn health(&self) -> watch::Receiver<Arc<McpHealth>> {
        self.health.clone()
    }

    /// The tools it listed last, so that the caller can store them.
    pub fn tools(&self) -> watch::Receiver<Option<Arc<Toolset>>> {
        self.tools.clone()
    }

    /// Something about the server changed: probe at once.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Passes a request on. The caller has been authorised before.
    pub async fn serve(&self, request: Request<Body>) -> Response<Body> {
        if let Err(refusal) = self.options.origins.check(request.headers()) {
            return refusal.into_response();
        }
        if ![Method::POST, Method::GET, Method::DELETE].contains(request.method()) {
            return reply::status(StatusCode::METHOD_NOT_ALLOWED, "GET, POST, DELETE");
        }
        let limit = self.options.limits.message_bytes;
        if length(request.headers()).is_some_and(|length| length > limit) {
            let text = format!("the message is larger than {limit} bytes");
            return failed(StatusCode::PAYLOAD_TOO_LARGE, code::INVALID_REQUEST, &text);
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
        let Some(onward) = onward(request, &target, limit) else {
            return failed(
                StatusCode::BAD_REQUEST,
                code::INVALID_REQUEST,
                "the request is malformed",
            );
        };
        let patience = self.options.limits.call;
        match tokio::time::timeout(patience, self.client.request(onward)).await {
            Ok(Ok(response)) => back(response),
            Ok(Err(error)) => {
                let what = if error.is_connect() {
                    "nothing listens where the server should be"
                } else {
                    "the server broke the connection off"
                };
                failed(StatusCode::BAD_GATEWAY, code::UNAVAILABLE, what)
            }
            Err(_) => {
                let text = format!("the server did not answer within {} s", patience.as_secs());
                failed(StatusCode::GATEWAY_TIMEOUT, code::TIMED_OUT, &text)
            }
        }
    }
}

fn length(headers: &HeaderMap) -> Option<usize> {
    headers
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

/// The endpoint's address as a URI.
pub(crate) fn uri(target: &Target) -> Option<Uri> {
    format!("http://{}{}", target.address, target.path)
        .parse()
        .ok()
}

fn onward(request: Request<Body>, target: &Target, limit: usize) -> Option<Request<Body>> {
    let (head, body) = request.into_parts();
    let mut onward = Request::new(Body::new(
        Limited::new(body, limit).map_err(axum::Error::new),
    ));
    *onward.method_mut() = head.method;
    *onward.uri_mut() = uri(target)?;
    for (name, value) in &head.headers {
        if TO_SERVER.contains(name) || name.as_str().starts_with(checks::PARAMETER) {
            onward.headers_mut().append(name, value.clone());
        }
    }
    let host = HeaderValue::from_str(&format!("localhost:{}", target.address.port())).ok()?;
    onward.headers_mut().insert(header::HOST, host);
    Some(onward)
}

fn back(response: Response<hyper::body::Incoming>) -> Response<Body> {
    let (head, body) = response.into_parts();
    let mut back = Response::new(Body::new(body));
    // A redirect could lead to another host, so none is followed.
    *back.status_mut() = if head.status.is_redirection() || head.status.is_informational() {
        StatusCode::BAD_GATEWAY
    } else {
        head.status
    };
    for (name, value) in &head.headers {
        if TO_CLIENT.contains(name) {
            back.headers_mut().append(name, value.clone());
        }
    }
    back
}

fn failed(status: StatusCode, number: i32, text: &str) -> Response<Body> {
    reply::json(status, rpc::error("null", number, text, None))
}
