//! Servers that speak HTTP themselves, as they really answer: elsewhere, with a key of their own, or not at all.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::IntoResponse;
use axum::routing::{any, get, post};
use serde_json::{Value, json};
use toolbox_api::mcp::{McpHealth, McpState};
use toolbox_mcp::bridge::Options;
use toolbox_mcp::http::{self, Explaining, Explanation, HttpBridge, Locate, Private, Target};
use toolbox_mcp::limits::Limits;
use toolbox_mcp::process::NotRunning;
use toolbox_mcp::redact::Redactor;

/// Longer than any of these takes.
const LIMIT: Duration = Duration::from_secs(20);

/// A server's place, and what is known of it.
pub struct Place {
    pub target: Target,
    pub why: Option<Explanation>,
}

impl Locate for Place {
    fn locate(&self) -> Result<Target, NotRunning> {
        Ok(self.target.clone())
    }

    fn explain(&self) -> Explaining<'_> {
        Box::pin(std::future::ready(self.why.clone()))
    }
}

pub fn place(address: SocketAddr, path: &str, private: Private) -> Arc<Place> {
    Arc::new(Place {
        target: Target {
            address,
            path: path.to_owned(),
            private: Arc::new(private),
            revision: 1,
        },
        why: None,
    })
}

/// Serves `router`; its address.
pub async fn serve(router: Router) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// The answer of a server with one tool; none to a notification.
pub fn answer(message: &Value) -> Option<Value> {
    let id = message.get("id")?;
    let result = match message["method"].as_str()? {
        "initialize" => json!({
            "protocolVersion": "2025-03-26",
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "in-process", "version": "1"},
        }),
        "tools/list" => json!({"tools": [{"name": "echo", "inputSchema": {"type": "object"}}]}),
        "tools/call" => {
            let text = &message["params"]["arguments"]["message"];
            json!({"content": [{"type": "text", "text": text}]})
        }
        "ping" => json!({}),
        _ => {
            let error = json!({"code": -32601, "message": "Method not found"});
            return Some(json!({"jsonrpc": "2.0", "id": id, "error": error}));
        }
    };
    Some(json!({"jsonrpc": "2.0", "id": id, "result": result}))
}

/// The same over streamable HTTP.
async fn mcp(body: Bytes) -> axum::response::Response {
    let message: Value = serde_json::from_slice(&body).unwrap();
    match answer(&message) {
        Some(answer) => {
            ([("content-type", "application/json")], answer.to_string()).into_response()
        }
        None => axum::http::StatusCode::ACCEPTED.into_response(),
    }
}

struct World {
    bridge: HttpBridge,
    url: String,
    http: reqwest::Client,
}

impl World {
    async fn new(place: Arc<Place>) -> Self {
        Self::with(place, Limits::default()).await
    }

    async fn with(place: Arc<Place>, limits: Limits) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let options = Options {
            limits,
            ..Options::default()
        };
        let (bridge, task) = http::start(place, options);
        tokio::spawn(task);
        let served = bridge.clone();
        let handler = any(move |request: Request| {
            let bridge = served.clone();
            async move { bridge.serve(request).await }
        });
        let address = serve(Router::new().route("/", handler)).await;
        Self {
            bridge,
            url: format!("http://{address}/"),
            http: reqwest::Client::new(),
        }
    }

    async fn becomes(&self, state: McpState) -> McpHealth {
        let mut health = self.bridge.health();
        let waiting = health.wait_for(|health| health.state == state);
        let Ok(found) = tokio::time::timeout(LIMIT, waiting).await else {
            panic!("not {state:?}: {:?}", self.bridge.health().borrow());
        };
        (**found.unwrap()).clone()
    }

    /// Calls the tool; status and body.
    async fn call(&self, text: &str) -> (u16, Value) {
        let message = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call",
            "params": {"name": "echo", "arguments": {"message": text}}});
        let response = self
            .http
            .post(&self.url)
            .header("accept", "application/json, text/event-stream")
            .bearer_auth("the-callers-key")
            .json(&message)
            .send()
            .await
            .unwrap();
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        (
            status,
            serde_json::from_str(&text).unwrap_or(Value::String(text)),
        )
    }
}

fn redirect(status: u16, to: &str) -> axum::response::Response {
    let status = axum::http::StatusCode::from_u16(status).unwrap();
    let to = HeaderValue::from_str(to).unwrap();
    (status, [(axum::http::header::LOCATION, to)]).into_response()
}

/// As Starlette does: absolute, by the name that the server was called.
fn slash_redirect(headers: &HeaderMap, status: u16) -> axum::response::Response {
    let host = headers["host"].to_str().unwrap();
    redirect(status, &format!("http://{host}/mcp/"))
}

#[tokio::test]
async fn a_redirect_to_the_same_server_is_followed_with_the_body() {
    for status in [307, 308] {
        let router = Router::new()
            .route(
                "/mcp",
                any(move |headers: HeaderMap| async move { slash_redirect(&headers, status) }),
            )
            .route("/mcp/", post(mcp));
        let world = World::new(place(serve(router).await, "/mcp", Private::default())).await;
        let health = world.becomes(McpState::Healthy).await;
        assert_eq!(health.tool_count, Some(1), "{health:?}");
        let long = "x".repeat(100_000);
        let (status, body) = world.call(&long).await;
        assert_eq!(
            (status, &body["result"]["content"][0]["text"]),
            (200, &json!(long))
        );
    }
}

#[tokio::test]
async fn a_redirect_elsewhere_is_named_with_the_field_that_cures_it_and_not_followed() {
    let hits = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&hits);
    let other = Router::new().fallback(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        async { "" }
    });
    let other = format!("http://{}/mcp", serve(other).await);
    for (status, to, named) in [
        (
            307,
            other.as_str(),
            format!("a redirect to {other}, which is another server"),
        ),
        (
            308,
            "https://mcp.example.com/mcp",
            "a redirect to https://mcp.example.com/mcp".into(),
        ),
        // The method would be lost.
        (
            301,
            "/mcp/",
            "a redirect to /mcp/; set endpointPath to /mcp/".into(),
        ),
        (
            302,
            "/login",
            "a redirect to /login; set endpointPath to /login".into(),
        ),
        // A loop ends.
        (307, "/mcp", "a redirect to /mcp; set endpointPath".into()),
    ] {
        let to = to.to_owned();
        let router = Router::new().route("/mcp", any(move || async move { redirect(status, &to) }));
        let world = World::new(place(serve(router).await, "/mcp", Private::default())).await;
        let health = world.becomes(McpState::NotMcp).await;
        assert!(health.evidence.contains(&named), "{}", health.evidence);
        assert!(
            health.evidence.contains("endpointPath"),
            "{}",
            health.evidence
        );
        let (status, body) = world.call("x").await;
        let text = body["error"]["message"].as_str().unwrap_or_default();
        assert_eq!(status, 502, "{body}");
        assert!(text.contains(&named), "{body}");
    }
    assert_eq!(
        hits.load(Ordering::Relaxed),
        0,
        "no other server was called"
    );
}

#[tokio::test]
async fn a_server_gets_its_own_key_and_never_the_callers() {
    const KEY: &str = "Bearer upstream-secret-1";
    async fn guarded(headers: HeaderMap, body: Bytes) -> axum::response::Response {
        let given: Vec<_> = headers.get_all("authorization").iter().collect();
        if given != [KEY] {
            return axum::http::StatusCode::UNAUTHORIZED.into_response();
        }
        mcp(body).await
    }
    let address = serve(Router::new().route("/mcp", post(guarded))).await;
    let world = World::new(place(address, "/mcp", private(KEY))).await;
    world.becomes(McpState::Healthy).await;
    assert_eq!(world.call("x").await.0, 200);

    let world = World::new(place(address, "/mcp", Private::default())).await;
    let health = world.becomes(McpState::Unhealthy).await;
    assert!(health.evidence.contains("HTTP 401"), "{}", health.evidence);
    assert!(
        health.evidence.contains("upstreamHeaders"),
        "{}",
        health.evidence
    );
    assert_eq!(world.call("x").await.0, 401);
}

fn private(authorization: &str) -> Private {
    let credential = authorization.split_once(' ').map_or("", |(_, rest)| rest);
    Private {
        headers: HeaderMap::from_iter([(
            axum::http::header::AUTHORIZATION,
            authorization.parse().unwrap(),
        )]),
        redactor: Redactor::new([authorization, credential]),
    }
}

#[tokio::test]
async fn a_key_that_the_server_repeats_is_not_shown() {
    let router = Router::new().route(
        "/mcp",
        post(|headers: HeaderMap| async move {
            let key = headers["authorization"].to_str().unwrap().to_owned();
            let bare = key.replace("Bearer ", "");
            (
                axum::http::StatusCode::BAD_REQUEST,
                format!("bad key: {key} {bare}"),
            )
        }),
    );
    let place = place(
        serve(router).await,
        "/mcp",
        private("Bearer upstream-secret-1"),
    );
    let shown = format!("{:?}", place.target);
    let world = World::new(place).await;
    let health = world.becomes(McpState::NotMcp).await;
    assert!(
        health.evidence.contains("[secret] [secret]"),
        "{}",
        health.evidence
    );
    assert!(!health.evidence.contains("upstream-secret-1"));
    assert!(!shown.contains("upstream-secret-1"), "{shown}");
}

#[tokio::test]
async fn a_wrong_path_or_transport_is_named_with_the_field_that_cures_it() {
    let address = serve(Router::new().route("/other", post(mcp))).await;
    let world = World::new(place(address, "/mcp", Private::default())).await;
    let health = world.becomes(McpState::NotMcp).await;
    assert!(
        health.evidence.contains("set endpointPath"),
        "{}",
        health.evidence
    );

    // A server of the older transport only, as Python's SDK serves it.
    let events = || async {
        let first =
            Ok::<_, std::io::Error>(Bytes::from("event: endpoint\r\ndata: /messages/\r\n\r\n"));
        let first = futures_util::stream::once(async { first });
        let rest = futures_util::stream::pending();
        let body = axum::body::Body::from_stream(futures_util::StreamExt::chain(first, rest));
        ([("content-type", "text/event-stream; charset=utf-8")], body)
    };
    let address = serve(Router::new().route("/sse", get(events))).await;
    for path in ["/mcp", "/sse"] {
        let world = World::new(place(address, path, Private::default())).await;
        let health = world.becomes(McpState::NotMcp).await;
        let cure = "set transport to sse and endpointPath to /sse";
        assert!(
            health.evidence.contains(cure),
            "{path}: {}",
            health.evidence
        );
    }
}

/// What Docker's proxy does before a server that listens on the container's own loopback.
#[tokio::test]
async fn a_connection_that_breaks_at_once_says_why_as_far_as_it_is_known() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            drop(listener.accept().await);
        }
    });
    let words = "it listens on 127.0.0.1:8080 inside its container";
    let with = |lasts| {
        Arc::new(Place {
            target: place(address, "/mcp", Private::default()).target.clone(),
            why: Some(Explanation {
                words: words.to_owned(),
                lasts,
            }),
        })
    };
    let world = World::new(with(true)).await;
    let health = world.becomes(McpState::Unreachable).await;
    assert!(health.evidence.contains(words), "{}", health.evidence);
    let (status, body) = world.call("x").await;
    assert_eq!(status, 502);
    let text = body["error"]["message"].as_str().unwrap_or_default();
    assert!(text.contains(words), "{body}");

    // It may only be starting.
    let world = World::new(with(false)).await;
    let mut health = world.bridge.health();
    let explained = health.wait_for(|health| health.evidence.contains(words));
    let found = tokio::time::timeout(LIMIT, explained)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found.state, McpState::Starting);
}

#[tokio::test]
async fn a_call_may_take_as_long_as_was_asked_for() {
    let slow = post(|body: Bytes| async move {
        if body.windows(4).any(|part| part == b"slow") {
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
        mcp(body).await
    });
    let address = serve(Router::new().route("/mcp", slow)).await;
    for (seconds, status) in [(1, 504), (60, 200)] {
        let limits = Limits::default().with_times(Some(Duration::from_secs(seconds)), None);
        let place = place(address, "/mcp", Private::default());
        let world = World::with(place, limits).await;
        let (found, body) = world.call("slow").await;
        assert_eq!(found, status, "{body}");
        if status == 504 {
            let text = body["error"]["message"].as_str().unwrap_or_default();
            assert!(text.contains("callTimeoutSeconds"), "{body}");
        }
    }
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused_with_the_limit() {
    let address = serve(Router::new().route("/mcp", post(mcp))).await;
    let limits = Limits {
        message_bytes: 1000,
        ..Limits::default()
    };
    let world = World::with(place(address, "/mcp", Private::default()), limits).await;
    let (status, body) = world.call(&"x".repeat(2000)).await;
    assert_eq!(status, 413, "{body}");
    assert!(body.to_string().contains("1000 bytes"), "{body}");
}

/// A server that keeps what it is asked, and takes no stateless requests.
#[tokio::test]
async fn a_server_of_sessions_is_asked_nothing_but_what_their_clients_ask() {
    let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    let router = Router::new().route(
        "/mcp",
        post(move |body: Bytes| {
            let message: Value = serde_json::from_slice(&body).unwrap();
            let method = message["method"].as_str().unwrap_or_default().to_owned();
            seen.lock().unwrap().push(method);
            mcp(body)
        }),
    );
    let world = World::new(place(serve(router).await, "/mcp", Private::default())).await;
    world.becomes(McpState::Healthy).await;
    let asked = asked.lock().unwrap().clone();
    assert_eq!(asked[..2], ["initialize", "notifications/initialized"]);
    assert!(!asked.contains(&"server/discover".to_owned()), "{asked:?}");
}

#[tokio::test]
async fn a_server_that_refuses_initialize_is_asked_for_the_other_era() {
    for code in [-32022, -32601] {
        let stateless = move |body: Bytes| async move {
            let message: Value = serde_json::from_slice(&body).unwrap();
            let id = &message["id"];
            let answer = match message["method"].as_str().unwrap() {
                "server/discover" => json!({"jsonrpc": "2.0", "id": id, "result": {
                    "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}}),
                "tools/list" => json!({"jsonrpc": "2.0", "id": id, "result": {"tools": []}}),
                _ => {
                    let error = json!({"code": code, "message": "no"});
                    let refusal = json!({"jsonrpc": "2.0", "id": id, "error": error});
                    let kind = [("content-type", "application/json")];
                    let status = axum::http::StatusCode::BAD_REQUEST;
                    return (status, kind, refusal.to_string()).into_response();
                }
            };
            ([("content-type", "application/json")], answer.to_string()).into_response()
        };
        let router = Router::new().route("/mcp", post(stateless));
        let world = World::new(place(serve(router).await, "/mcp", Private::default())).await;
        let health = world.becomes(McpState::Healthy).await;
        assert_eq!(health.protocol_version.as_deref(), Some("2026-07-28"));
    }
}

#[tokio::test]
async fn a_server_that_does_one_thing_at_a_time_is_busy_and_not_sick() {
    let one = Arc::new(tokio::sync::Mutex::new(()));
    let slow = move |body: Bytes| {
        let one = Arc::clone(&one);
        async move {
            let _alone = one.lock().await;
            if String::from_utf8_lossy(&body).contains("tools/call") {
                tokio::time::sleep(Duration::from_secs(16)).await;
            }
            mcp(body).await
        }
    };
    let router = Router::new().route("/mcp", post(slow));
    let world = World::new(place(serve(router).await, "/mcp", Private::default())).await;
    world.becomes(McpState::Healthy).await;
    let mut health = world.bridge.health();
    let (answer, busy) = tokio::join!(
        world.call("x"),
        health.wait_for(|health| health.state != McpState::Healthy)
    );
    let busy = busy.unwrap().clone();
    assert_eq!(answer.0, 200);
    assert_eq!(busy.state, McpState::Degraded, "{}", busy.evidence);
    assert!(busy.evidence.contains("it is busy"), "{}", busy.evidence);
    world.becomes(McpState::Healthy).await;
}

#[tokio::test]
async fn what_clients_can_read_makes_no_http_server_sick() {
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    for odd in [
        r#""half \ud83d a pair""#.to_owned(),
        "1e999".to_owned(),
        deep,
    ] {
        let odd = move |body: Bytes| {
            let odd = odd.clone();
            async move {
                let message: Value = serde_json::from_slice(&body).unwrap();
                if message["method"] != "tools/list" && message["method"] != "initialize" {
                    return mcp(body).await;
                }
                let about = format!(
                    r#""protocolVersion":"2025-03-26","capabilities":{{"tools":{{}},"x":{odd}}}"#
                );
                let tools = format!(r#""tools":[{{"name":"a","description":{odd}}}]"#);
                let answer = format!(
                    r#"{{"jsonrpc":"2.0","id":{},"result":{{{about},{tools}}}}}"#,
                    message["id"]
                );
                ([("content-type", "application/json")], answer).into_response()
            }
        };
        let router = Router::new().route("/mcp", post(odd));
        let world = World::new(place(serve(router).await, "/mcp", Private::default())).await;
        let health = world.becomes(McpState::Healthy).await;
        assert_eq!(health.tool_count, Some(1));
    }
}

/// An event stream that begins at once, and then has `piece` five times a second, for ever or `times`.
fn streaming(piece: &'static str, times: usize) -> axum::response::Response {
    let pieces = futures_util::stream::unfold(0, move |n| async move {
        if n > 0 {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        (n < times).then(|| {
            (
                Ok::<_, std::io::Error>(Bytes::from_static(piece.as_bytes())),
                n + 1,
            )
        })
    });
    let body = axum::body::Body::from_stream(pieces);
    ([("content-type", "text/event-stream")], body).into_response()
}

#[tokio::test]
async fn a_call_whose_answer_does_not_go_on_ends_and_counts_no_more() {
    let any_of = any(|headers: HeaderMap, body: Bytes| async move {
        let said = String::from_utf8_lossy(&body).into_owned();
        if said.contains("hang") || headers["accept"] == "text/event-stream" {
            streaming(": ping\r\n\r\n", usize::MAX)
        } else if said.contains("work") {
            streaming("data: {\"jsonrpc\":\"2.0\",\"method\":\"n\"}\n\n", 15)
        } else {
            mcp(body).await
        }
    });
    let address = serve(Router::new().route("/mcp", any_of)).await;
    let limits = Limits::default().with_times(Some(Duration::from_secs(1)), None);
    let world = World::with(place(address, "/mcp", Private::default()), limits).await;
    world.becomes(McpState::Healthy).await;
    let begin = |text: &str, method: &'static str| {
        let message = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call",
            "params": {"name": "echo", "arguments": {"message": text}}});
        let request = world.http.post(&world.url).header("mcp-method", method);
        let request = request.header("accept", "application/json, text/event-stream");
        request.json(&message).send()
    };
    let hung = begin("hang", "tools/call").await.unwrap().text();
    let hung = tokio::time::timeout(LIMIT, hung).await;
    assert!(
        hung.expect("the call ended").is_err(),
        "and not as if whole"
    );
    // What makes progress goes on, beyond the time that it may be silent.
    let works = begin("work", "tools/call").await.unwrap().text().await;
    assert_eq!(works.unwrap().matches("data:").count(), 15);
    // Who listens may hear nothing for as long as there is nothing.
    let listening = world
        .http
        .get(&world.url)
        .header("accept", "text/event-stream");
    for listening in [
        listening.send().await.unwrap(),
        begin("hang", "subscriptions/listen").await.unwrap(),
    ] {
        let heard = tokio::time::timeout(Duration::from_secs(3), listening.bytes()).await;
        assert!(heard.is_err(), "a stream on which a client listens ended");
    }
}

#[tokio::test]
async fn probes_that_fail_leave_no_sessions_behind() {
    for fails in ["error", "hangs", "refuses initialized"] {
        let (begun, live) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (counted, alive) = (Arc::clone(&begun), Arc::clone(&live));
        let server = any(move |method: axum::http::Method, body: Bytes| {
            let (begun, live) = (Arc::clone(&counted), Arc::clone(&alive));
            async move {
                if method == axum::http::Method::DELETE {
                    live.fetch_sub(1, Ordering::Relaxed);
                    return axum::http::StatusCode::OK.into_response();
                }
                let message: Value = serde_json::from_slice(&body).unwrap();
                match message["method"].as_str().unwrap() {
                    "initialize" => {
                        begun.fetch_add(1, Ordering::Relaxed);
                        live.fetch_add(1, Ordering::Relaxed);
                        ([("mcp-session-id", "s")], mcp(body).await).into_response()
                    }
                    "tools/list" if fails == "hangs" => std::future::pending().await,
                    "tools/list" => axum::http::StatusCode::BAD_REQUEST.into_response(),
                    _ if fails == "refuses initialized" => {
                        // The connection breaks.
                        panic!("by intent")
                    }
                    _ => mcp(body).await,
                }
            }
        });
        let limits = Limits {
            probe_interval: Duration::from_millis(50),
            probe: Duration::from_secs(1),
            ..Limits::default()
        };
        let address = serve(Router::new().route("/mcp", server)).await;
        let world = World::with(place(address, "/mcp", Private::default()), limits).await;
        let several = async {
            while begun.load(Ordering::Relaxed) < 4 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(LIMIT, several).await.expect(fails);
        let live = live.load(Ordering::Relaxed);
        assert!(live <= 1, "{fails}: {live} sessions");
        drop(world);
    }
}

/// A server that keeps what it is asked, with or without tools.
fn counting(tools: bool) -> (Arc<std::sync::Mutex<Vec<String>>>, Router) {
    let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    let server = post(move |body: Bytes| {
        let message: Value = serde_json::from_slice(&body).unwrap();
        let method = message["method"].as_str().unwrap_or_default().to_owned();
        seen.lock().unwrap().push(method.clone());
        async move {
            let id = &message["id"];
            let answer = match method.as_str() {
                "ping" => {
                    json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32000, "message": "no"}})
                }
                "initialize" if !tools => json!({"jsonrpc": "2.0", "id": id,
                    "result": {"protocolVersion": "2025-03-26", "capabilities": {}}}),
                _ => return mcp(body).await,
            };
            ([("content-type", "application/json")], answer.to_string()).into_response()
        }
    });
    (asked, Router::new().route("/mcp", server))
}

#[tokio::test]
async fn a_server_is_pinged_between_lists_and_any_answer_will_do() {
    for tools in [true, false] {
        let (asked, router) = counting(tools);
        let limits = Limits {
            probe_interval: Duration::from_millis(50),
            ..Limits::default()
        };
        let place = place(serve(router).await, "/mcp", Private::default());
        let world = World::with(place, limits).await;
        let count = |method: &str| {
            let asked = asked.lock().unwrap();
            asked.iter().filter(|asked| *asked == method).count()
        };
        let several = async {
            while count("ping") < 5 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(LIMIT, several).await.unwrap();
        let health = world.bridge.health().borrow().clone();
        assert_eq!(health.state, McpState::Healthy, "{}", health.evidence);
        assert_eq!(health.tool_count, Some(u32::from(tools)));
        assert_eq!(count("tools/list"), usize::from(tools));
        assert_eq!(count("initialize"), 1);
        // Something about the server changed.
        world.bridge.wake();
        let again = async {
            while tools && count("tools/list") < 2 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(LIMIT, again).await.unwrap();
    }
}
