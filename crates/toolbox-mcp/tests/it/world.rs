//! A bridge under test and clients of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Request;
use axum::routing::any;
use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use toolbox_api::mcp::{McpHealth, McpState};
use toolbox_mcp::bridge::{Bridge, Options, start};
use toolbox_mcp::child::ChildProcess;
use toolbox_mcp::process::ServerProcess;

/// A bridge to the fixture, over HTTP.
pub struct World {
    pub bridge: Bridge,
    pub url: String,
    pub http: reqwest::Client,
}

/// A session on it.
pub struct Client<'a> {
    world: &'a World,
    pub session: String,
}

impl World {
    pub async fn new(arguments: &[&str]) -> Self {
        Self::with(arguments, Options::default()).await
    }

    pub async fn with(arguments: &[&str], options: Options) -> Self {
        let process = ChildProcess::new(env!("CARGO_BIN_EXE_mcp-fixture"), arguments);
        Self::of(Arc::new(process), options).await
    }

    /// A fixture that writes a line to `starts` whenever it starts.
    pub async fn counted(starts: &std::path::Path, arguments: &[&str]) -> Self {
        let script = r#"echo started >> "$0" && exec "$@""#;
        let fixture = env!("CARGO_BIN_EXE_mcp-fixture");
        let words = ["-c", script, starts.to_str().unwrap(), fixture];
        let process = ChildProcess::new("sh", words.iter().chain(arguments));
        Self::of(Arc::new(process), Options::default()).await
    }

    /// The same for any server over standard streams, or what looks like one.
    pub async fn of(process: Arc<dyn ServerProcess>, options: Options) -> Self {
        // reqwest asks for one where another crate of the build turns its TLS on. It may be there already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (bridge, task) = start(process, options);
        tokio::spawn(task);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let served = bridge.clone();
        let router = Router::new().route(
            "/mcp",
            any(move |request: Request| {
                let bridge = served.clone();
                async move { bridge.serve(request).await }
            }),
        );
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self {
            bridge,
            url,
            http: reqwest::Client::new(),
        }
    }

    pub fn request(&self, message: &Value) -> RequestBuilder {
        self.http
            .post(&self.url)
            .header("accept", "application/json, text/event-stream")
            .json(message)
    }

    pub async fn initialize(&self) -> Response {
        self.initialize_as("2025-11-25", json!({"sampling": {}}))
            .await
    }

    async fn initialize_as(&self, version: &str, capabilities: Value) -> Response {
        let message = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
            "protocolVersion": version, "capabilities": capabilities,
            "clientInfo": {"name": "test", "version": "0"}}});
        self.request(&message).send().await.unwrap()
    }

    pub async fn client(&self) -> Client<'_> {
        self.client_as("2025-11-25", json!({"sampling": {}})).await
    }

    /// A session of this revision, of a client with these capabilities.
    pub async fn client_as(&self, version: &str, capabilities: Value) -> Client<'_> {
        let response = self.initialize_as(version, capabilities).await;
        assert_eq!(response.status(), StatusCode::OK);
        let session = response.headers()["mcp-session-id"]
            .to_str()
            .unwrap()
            .to_owned();
        // The session begins with the answer, which may come after the head.
        assert!(response.text().await.unwrap().contains("protocolVersion"));
        Client {
            world: self,
            session,
        }
    }

    /// Waits for a state; what was known then, and how long it took.
    pub async fn becomes(&self, state: McpState, within: Duration) -> (McpHealth, Duration) {
        let begun = Instant::now();
        let mut health = self.bridge.health();
        let waiting = health.wait_for(|health| health.state == state);
        let found = tokio::time::timeout(within, waiting).await;
        let Ok(found) = found else {
            panic!(
                "not {state:?} within {within:?}: {:?}",
                self.bridge.health().borrow()
            );
        };
        ((**found.unwrap()).clone(), begun.elapsed())
    }

    pub fn state(&self) -> McpState {
        self.bridge.health().borrow().state
    }
}

impl Client<'_> {
    pub fn request(&self, message: &Value) -> RequestBuilder {
        self.world
            .request(message)
            .header("mcp-session-id", &self.session)
    }

    /// A request that takes only a single JSON object.
    pub fn without_events(&self, message: &Value) -> RequestBuilder {
        self.world
            .http
            .post(&self.world.url)
            .header("accept", "application/json")
            .header("mcp-session-id", &self.session)
            .json(message)
    }

    pub async fn post(&self, message: &Value) -> Vec<Value> {
        messages(self.request(message).send().await.unwrap()).await
    }

    /// The answer to a call of a tool.
    pub async fn call(&self, name: &str, arguments: Value) -> Value {
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": {"name": name, "arguments": arguments}});
        self.post(&message).await.pop().unwrap()
    }

    pub async fn echo(&self, text: &str) -> String {
        let answer = self.call("echo", json!({"message": text})).await;
        text_of(&answer)
    }

    pub async fn pid(&self) -> i32 {
        text_of(&self.call("pid", json!({})).await).parse().unwrap()
    }

    pub fn listen(&self) -> RequestBuilder {
        self.world
            .http
            .get(&self.world.url)
            .header("accept", "text/event-stream")
            .header("mcp-session-id", &self.session)
    }
}

pub fn text_of(answer: &Value) -> String {
    answer["result"]["content"][0]["text"]
        .as_str()
        .unwrap_or_else(|| panic!("no text: {answer}"))
        .to_owned()
}

/// All messages of an answer, in either form.
pub async fn messages(response: Response) -> Vec<Value> {
    let text = response.text().await.unwrap();
    if text.starts_with('{') {
        return vec![serde_json::from_str(&text).unwrap()];
    }
    text.lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap())
        .collect()
}

pub fn kill(pid: i32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}
