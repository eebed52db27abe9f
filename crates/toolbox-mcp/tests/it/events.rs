//! Servers of the older HTTP transport: a stream of events, and posts to the endpoint that it names.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use toolbox_api::mcp::McpState;
use toolbox_mcp::bridge::Options;
use toolbox_mcp::http::{EventServer, Private};
use toolbox_mcp::limits::Limits;
use toolbox_mcp::wire::body::Budget;

use super::http::{answer, place, serve};
use super::world::{World, messages};

const LIMIT: Duration = Duration::from_secs(20);

/// A server of the older transport. Each stream has a session of its own, as in the SDKs.
#[derive(Clone, Default)]
struct Server {
    streams: Arc<Mutex<HashMap<usize, mpsc::UnboundedSender<String>>>>,
    opened: Arc<AtomicUsize>,
    /// The endpoint, with `{}` for the session.
    endpoint: Arc<Mutex<String>>,
    /// A post is answered only when its call is done.
    holds_posts: Arc<AtomicBool>,
    /// Posts that are never answered.
    hanging: Arc<AtomicUsize>,
    /// The methods of all messages, in their order.
    seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start() -> (Self, World) {
        Self::start_at("/messages/?session_id={}").await
    }

    async fn start_at(endpoint: &str) -> (Self, World) {
        let server = Self::default();
        endpoint.clone_into(&mut server.endpoint.lock().unwrap());
        let world = server.world(Limits::default(), Budget::default()).await;
        (server, world)
    }

    /// A bridge before it.
    async fn world(&self, limits: Limits, budget: Budget) -> World {
        let router = Router::new()
            .route("/sse", get(stream))
            .route("/messages/", post(message))
            // Of messages with more than the usual bound, too.
            .layer(axum::extract::DefaultBodyLimit::disable())
            .with_state(self.clone());
        let address = serve(router).await;
        let place = place(address, "/sse", Private::default());
        let process = EventServer::new(place, limits.clone(), budget.clone());
        let options = Options {
            limits,
            budget,
            ..Options::default()
        };
        World::of(Arc::new(process), options).await
    }

    fn send(&self, session: usize, event: String) {
        if let Some(stream) = self.streams.lock().unwrap().get(&session) {
            let _ = stream.send(event);
        }
    }
}

/// Counts itself while it lives.
struct Here(Arc<AtomicUsize>);

impl Here {
    fn at(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn stream(State(server): State<Server>) -> Response {
    let session = server.opened.fetch_add(1, Ordering::Relaxed);
    let (sender, receiver) = mpsc::unbounded_channel::<String>();
    let endpoint = server
        .endpoint
        .lock()
        .unwrap()
        .replace("{}", &session.to_string());
    sender
        .send(format!("event: endpoint\r\ndata: {endpoint}\r\n\r\n"))
        .unwrap();
    server.streams.lock().unwrap().insert(session, sender);
    let body = futures_util::stream::unfold(receiver, |mut receiver| async {
        let event = receiver.recv().await?;
        Some((Ok::<_, Infallible>(Bytes::from(event)), receiver))
    });
    (
        [("content-type", "text/event-stream")],
        Body::from_stream(body),
    )
        .into_response()
}

async fn message(
    State(server): State<Server>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    assert!(headers["host"].to_str().unwrap().starts_with("localhost:"));
    let session = uri
        .query()
        .and_then(|query| query.strip_prefix("session_id="));
    let session: usize = session.unwrap().parse().unwrap();
    if !server.streams.lock().unwrap().contains_key(&session) {
        return (StatusCode::NOT_FOUND, "Could not find session").into_response();
    }
    let message: Value = serde_json::from_slice(&body).unwrap();
    let method = message["method"].as_str().unwrap_or_default().to_owned();
    server.seen.lock().unwrap().push(method);
    let argument = message["params"]["arguments"]["message"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    if argument == "refuse" {
        return (StatusCode::PAYLOAD_TOO_LARGE, "too much").into_response();
    }
    let holds = server.holds_posts.load(Ordering::Relaxed);
    let answered = async move {
        if argument == "hang" {
            let _here = Here::at(&server.hanging);
            std::future::pending::<()>().await;
        }
        if argument == "slow" {
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
        if argument == "break" {
            server.streams.lock().unwrap().remove(&session);
        } else if let Some(answer) = answer(&message) {
            let event = format!("event: message\ndata: {answer}\n\n");
            if argument == "halves" {
                let (half, rest) = event.split_at(event.len() / 2);
                server.send(session, half.to_owned());
                tokio::time::sleep(Duration::from_secs(2)).await;
                server.send(session, rest.to_owned());
            } else {
                server.send(session, event);
            }
        }
    };
    if holds {
        answered.await;
    } else {
        tokio::spawn(answered);
    }
    (StatusCode::ACCEPTED, "Accepted").into_response()
}

#[tokio::test]
async fn a_server_of_the_older_transport_serves_clients_of_the_newer() {
    let (server, world) = Server::start().await;
    let (health, _) = world.becomes(McpState::Healthy, LIMIT).await;
    assert_eq!(health.server_name.as_deref(), Some("in-process"));
    assert_eq!(health.tool_count, Some(1));
    let (one, two) = (world.client().await, world.client().await);
    let long = "é\"\\".repeat(100_000);
    let (first, second) = tokio::join!(one.echo("first"), two.echo(&long));
    assert_eq!(first, "first");
    assert!(second == long, "the long text arrives whole");
    assert_eq!(
        server.opened.load(Ordering::Relaxed),
        1,
        "one stream serves all"
    );
    let seen = server.seen.lock().unwrap().clone();
    let initialized = seen.iter().position(|m| m == "notifications/initialized");
    let listed = seen.iter().position(|m| m == "tools/list");
    assert!(initialized.is_some() && initialized < listed, "{seen:?}");
}

#[tokio::test]
async fn a_stream_that_breaks_is_made_anew_and_its_calls_are_told() {
    let (server, world) = Server::start().await;
    world.becomes(McpState::Healthy, LIMIT).await;
    let client = world.client().await;
    let begun = Instant::now();
    let broken = client.call("echo", json!({"message": "break"})).await;
    let text = broken["error"]["message"].as_str().unwrap_or_default();
    assert!(text.contains("its stream of events ended"), "{broken}");
    assert!(begun.elapsed() < LIMIT, "{:?}", begun.elapsed());
    assert_eq!(client.echo("again").await, "again", "the session goes on");
    assert_eq!(server.opened.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_server_that_forgot_the_stream_is_connected_anew() {
    let (server, world) = Server::start().await;
    world.becomes(McpState::Healthy, LIMIT).await;
    let client = world.client().await;
    // The stream stays open, but the server has begun to answer 404.
    let kept = std::mem::take(&mut *server.streams.lock().unwrap());
    let lost = client.call("echo", json!({"message": "x"})).await;
    let text = lost["error"]["message"].as_str().unwrap_or_default();
    assert!(text.contains("HTTP 404"), "{lost}");
    assert_eq!(client.echo("again").await, "again");
    drop(kept);
}

#[tokio::test]
async fn a_refused_message_ends_its_call_at_once_and_no_other() {
    let (_server, world) = Server::start().await;
    let client = world.client().await;
    let (slow, refused) = tokio::join!(
        client.echo("slow"),
        client.call("echo", json!({"message": "refuse"}))
    );
    let text = refused["error"]["message"].as_str().unwrap_or_default();
    assert!(text.contains("HTTP 413: too much"), "{refused}");
    assert_eq!(slow, "slow");
}

#[tokio::test]
async fn a_refusal_does_not_mix_with_an_answer_that_is_still_arriving() {
    let (_server, world) = Server::start().await;
    let plain = || world.client_as("2025-11-25", json!({}));
    let (one, two) = (plain().await, plain().await);
    let refused = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        let begun = Instant::now();
        let refused = two.call("echo", json!({"message": "refuse"})).await;
        (refused, begun.elapsed())
    };
    let both = async { tokio::join!(one.echo("halves"), refused) };
    let (whole, (refused, after)) = tokio::time::timeout(LIMIT, both).await.unwrap();
    let text = refused["error"]["message"].as_str().unwrap_or_default();
    assert!(text.contains("HTTP 413: too much"), "{refused}");
    assert!(after < Duration::from_secs(1), "{after:?}");
    assert_eq!(whole, "halves");
}

#[tokio::test]
async fn a_server_that_accepts_a_call_only_when_it_is_done_serves_others_meanwhile() {
    let (server, world) = Server::start().await;
    server.holds_posts.store(true, Ordering::Relaxed);
    // Clients who can be asked would take turns at a tool of which nothing is known.
    let plain = || world.client_as("2025-11-25", json!({}));
    let (one, two) = (plain().await, plain().await);
    let begun = Instant::now();
    let slow = one.echo("slow");
    let quick = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let text = two.echo("quick").await;
        (text, begun.elapsed())
    };
    let (slow, (quick, after)) = tokio::join!(slow, quick);
    assert_eq!((slow.as_str(), quick.as_str()), ("slow", "quick"));
    assert!(after < Duration::from_secs(2), "{after:?}");
}

#[tokio::test]
async fn a_message_that_is_not_accepted_is_let_go_with_its_call_and_counts_until_then() {
    let server = Server::default();
    server.holds_posts.store(true, Ordering::Relaxed);
    "/messages/?session_id={}".clone_into(&mut server.endpoint.lock().unwrap());
    let limits = Limits::default().with_times(Some(Duration::from_secs(2)), None);
    let budget = Budget::default();
    let world = server.world(limits, budget.clone()).await;
    let client = world.client_as("2025-11-25", json!({})).await;
    let long = "x".repeat(1 << 20);
    let call = client.call("echo", json!({"message": "hang", "more": long}));
    let look = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        (server.hanging.load(Ordering::Relaxed), budget.used())
    };
    let (timed_out, (hanging, used)) = tokio::join!(call, look);
    assert_eq!(timed_out["error"]["code"], -32001, "{timed_out}");
    assert_eq!(hanging, 1);
    assert!(used >= long.len(), "{used}");
    let begun = Instant::now();
    while server.hanging.load(Ordering::Relaxed) > 0 || budget.used() > 0 {
        assert!(begun.elapsed() < LIMIT, "{} bytes are kept", budget.used());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(client.echo("next").await, "next");
}

#[tokio::test]
async fn an_endpoint_on_another_host_is_not_called() {
    let (_server, world) = Server::start_at("http://169.254.169.254/messages/?session_id={}").await;
    let (health, _) = world.becomes(McpState::Unreachable, LIMIT).await;
    assert!(
        health.evidence.contains("another host") && health.evidence.contains("169.254.169.254"),
        "{}",
        health.evidence
    );
}

#[tokio::test]
async fn a_server_may_name_itself_by_its_own_port() {
    let (_server, world) = Server::start_at("http://0.0.0.0:8000/messages/?session_id={}").await;
    world.becomes(McpState::Healthy, LIMIT).await;
}

#[tokio::test]
async fn what_is_no_stream_of_events_is_named_with_the_field_that_cures_it() {
    let router = Router::new()
        .route("/html", get(|| async { "hello" }))
        .route("/key", get(|| async { StatusCode::UNAUTHORIZED }))
        .route(
            "/moved",
            get(|| async { (StatusCode::FOUND, [("location", "/html")]) }),
        )
        .route(
            "/silent",
            get(|| async {
                let body = futures_util::stream::pending::<Result<Bytes, Infallible>>();
                (
                    [("content-type", "text/event-stream")],
                    Body::from_stream(body),
                )
            }),
        );
    let address = serve(router).await;
    for (path, words) in [
        (
            "/html",
            "HTTP 200 and no stream of events; if its endpoint has another path, set endpointPath",
        ),
        (
            "/nothing",
            "HTTP 404 and no stream of events; if its endpoint has another path, set endpointPath",
        ),
        (
            "/key",
            "HTTP 401: it wants credentials; give them with upstreamHeaders",
        ),
        ("/moved", "a redirect to /html; set endpointPath to /html"),
        (
            "/silent",
            "names no endpoint; if the server speaks streamable HTTP, set transport",
        ),
    ] {
        let place = place(address, path, Private::default());
        let process = EventServer::new(place, Limits::default(), Budget::default());
        let world = World::of(Arc::new(process), Options::default()).await;
        let (health, _) = world.becomes(McpState::Unreachable, LIMIT).await;
        assert!(
            health.evidence.contains(words),
            "{path}: {}",
            health.evidence
        );
    }
}

/// A port of its own on which nothing listens.
fn silent() -> tokio::net::TcpSocket {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    socket
}

#[tokio::test]
async fn a_server_that_listens_late_is_waited_for() {
    let socket = silent();
    let address = socket.local_addr().unwrap();
    let place = place(address, "/sse", Private::default());
    let process = EventServer::new(place, Limits::default(), Budget::default());
    let world = World::of(Arc::new(process), Options::default()).await;
    let initialize = tokio::spawn({
        let message = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
            "protocolVersion": "2025-03-26", "capabilities": {},
            "clientInfo": {"name": "test", "version": "0"}}});
        world.request(&message).send()
    });
    tokio::time::sleep(Duration::from_secs(3)).await;
    let health = world.bridge.health().borrow().clone();
    assert_eq!(health.state, McpState::Starting);
    assert!(health.evidence.contains("nothing listens"), "{health:?}");
    let server = Server::default();
    "/messages/?session_id={}".clone_into(&mut server.endpoint.lock().unwrap());
    let router = Router::new()
        .route("/sse", get(stream))
        .route("/messages/", post(message))
        .with_state(server);
    let listener = socket.listen(16).unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    let answer = messages(initialize.await.unwrap().unwrap()).await;
    assert_eq!(
        answer[0]["result"]["serverInfo"]["name"], "in-process",
        "{answer:?}"
    );
}

#[tokio::test]
async fn a_server_that_does_not_start_in_its_time_is_unreachable() {
    let socket = silent();
    let address = socket.local_addr().unwrap();
    let limits = Limits::default().with_times(None, Some(Duration::from_secs(3)));
    let process = EventServer::new(
        place(address, "/sse", Private::default()),
        limits,
        Budget::default(),
    );
    let world = World::of(Arc::new(process), Options::default()).await;
    let (health, after) = world.becomes(McpState::Unreachable, LIMIT).await;
    assert!(health.evidence.contains("nothing listens"), "{health:?}");
    assert!(after >= Duration::from_secs(3), "{after:?}");
}
