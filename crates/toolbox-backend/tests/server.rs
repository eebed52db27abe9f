//! The program itself, over real HTTP: its callers, and a stand-in for the database and DigitalOcean that answers what a test says.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a failure ends the test")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::http::{Request, StatusCode};
use axum::{Json, Router};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};
use toolbox_http::native::Native;
use toolbox_http::{Call, Request as Ask, Transport as _};

const SECRET: &str = "fedcba9876543210fedcba9876543210";
const AGENT: &str = "55555555-5555-4555-8555-555555555555";
const TOOLBOX: &str = "11111111-1111-4111-8111-111111111111";
const LIMIT: Duration = Duration::from_secs(30);

type Answers = Arc<Mutex<BTreeMap<&'static str, (Value, Duration)>>>;

/// What stands in for the database and for DigitalOcean.
struct Upstream {
    address: SocketAddr,
    answers: Answers,
}

impl Upstream {
    async fn start() -> Self {
        let answers = Answers::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&answers));
        tokio::spawn(axum::serve(listener, router).into_future());
        let upstream = Self { address, answers };
        upstream.on(
            "lease_toolboxes",
            json!({"outcome": "leased", "toolboxes": []}),
        );
        upstream
    }

    /// What is answered to calls whose path has this in it.
    fn on(&self, part: &'static str, body: Value) {
        self.slowly(part, body, Duration::ZERO);
    }

    fn slowly(&self, part: &'static str, body: Value, after: Duration) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.insert(part, (body, after));
    }
}

async fn answer(
    State(answers): State<Answers>,
    request: Request<axum::body::Body>,
) -> (StatusCode, Json<Value>) {
    let path = request.uri().path().to_owned();
    let found = {
        let answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
        let found = answers.iter().find(|(part, _)| path.contains(**part));
        found.map(|(_, found)| found.clone())
    };
    match found {
        Some((body, after)) => {
            sleep(after).await;
            (StatusCode::OK, Json(body))
        }
        None => (StatusCode::NOT_FOUND, Json(json!({"code": "none"}))),
    }
}

fn variables(upstream: SocketAddr) -> Vec<(&'static str, String)> {
    vec![
        ("SUPABASE_URL", format!("http://{upstream}")),
        ("SUPABASE_ANON_KEY", "anon".to_owned()),
        ("SUPABASE_SERVICE_ROLE_KEY", "service".to_owned()),
        ("BACKEND_TO_DTMA_API_KEY", "0".repeat(64)),
        ("INTERNAL_API_SECRET", SECRET.to_owned()),
        ("DO_API_TOKEN", "dop_CANARY".to_owned()),
        ("DO_DEFAULT_REGION", "nyc3".to_owned()),
        ("DO_DEFAULT_SIZE", "small".to_owned()),
        ("TOOLBOX_DIGITALOCEAN_URL", format!("http://{upstream}/do")),
        ("TOOLBOX_RELEASE_URL", "https://r.example".to_owned()),
    ]
}

#[allow(
    clippy::disallowed_methods,
    reason = "the program under test is started"
)]
fn program(variables: &[(&'static str, String)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_toolbox-backend"));
    command
        .env_clear()
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .kill_on_drop(true)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

/// A server under test.
struct Server {
    child: Child,
    url: String,
}

impl Server {
    async fn start(upstream: &Upstream) -> Self {
        // Free a moment ago.
        let port = {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            listener.local_addr().unwrap().port()
        };
        let child = program(&variables(upstream.address))
            .args(["--port", &port.to_string(), "--listen", "127.0.0.1"])
            .spawn()
            .unwrap();
        let mut server = Self {
            child,
            url: format!("http://127.0.0.1:{port}"),
        };
        let until = Instant::now() + LIMIT;
        while server.try_ask("GET", "/health", &[]).await.is_none() {
            if let Some(status) = server.child.try_wait().unwrap() {
                panic!("it ended with {status}: {}", server.ended().await.1);
            }
            assert!(Instant::now() < until, "the server does not answer");
            sleep(Duration::from_millis(20)).await;
        }
        server
    }

    async fn try_ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Option<(u16, Value, String)> {
        let mut request = Ask::new(method, format!("{}{path}", self.url));
        for (name, value) in headers {
            request.headers.set(name, *value);
        }
        let answer = Native::new().unwrap().send(Call::new(request, LIMIT)).await;
        let answer = answer.ok()?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let body = serde_json::from_str(&text).unwrap_or_default();
        Some((answer.status, body, text))
    }

    async fn ask(&self, method: &str, path: &str, secret: &str) -> (u16, Value) {
        let headers = [("x-internal-api-secret", secret)];
        let (status, body, text) = self.try_ask(method, path, &headers).await.unwrap();
        assert!(!text.contains("CANARY") && !text.contains(SECRET), "{text}");
        (status, body)
    }

    /// Asks it to end.
    fn signal(&self) {
        let pid = i32::try_from(self.child.id().unwrap()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap();
    }

    /// Waits for its end; whether it succeeded, and what it logged.
    async fn ended(mut self) -> (bool, String) {
        let mut log = String::new();
        let mut stderr = self.child.stderr.take().unwrap();
        let read = timeout(LIMIT, stderr.read_to_string(&mut log)).await;
        read.unwrap().unwrap();
        let status = timeout(LIMIT, self.child.wait()).await.unwrap().unwrap();
        (status.success(), log)
    }
}

fn ensure() -> String {
    format!("/internal/agents/{AGENT}/ensure-tool-environment")
}

fn agent(toolbox: Option<&str>) -> Value {
    json!([{"id": AGENT, "user_id": "33333333-3333-4333-8333-333333333333", "name": "helper",
        "account_tool_environment_id": toolbox}])
}

fn toolbox(status: &str, step: Option<&str>) -> Value {
    json!([{"id": TOOLBOX, "kind": "droplet", "name": "helper", "description": null, "status": status,
        "status_changed_at": "2025-12-31T23:59:00+00:00", "region_slug": "nyc3", "size_slug": "small", "image_slug": "debian",
        "do_droplet_id": 7, "do_droplet_name": "helper-7", "public_ip_address": "8.8.8.8", "dtma_port": 30000,
        "dtma_certificate_pem": null, "dtma_key_id": null, "instances_confirmed_at": null, "unresponsive_since": null,
        "dtma_api_version": 2, "dtma_last_known_version": "0.1.0", "last_heartbeat_at": null,
        "provisioning_error_message": null, "provisioning_step": step, "provisioning_step_since": null,
        "provisioning_problem": null, "wanted_size_slug": null, "price_hourly_usd": 0.01, "price_monthly_usd": 6,
        "price_since": null, "cost_before_usd": 0, "created_at": "2025-12-31T00:00:00+00:00",
        "updated_at": "2025-12-31T00:00:00+00:00"}])
}

#[tokio::test]
async fn it_does_not_start_without_its_configuration_and_names_all_of_it() {
    let output = program(&[]).output().await.unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    for name in [
        "SUPABASE_URL",
        "SUPABASE_PUBLISHABLE_KEYS",
        "SUPABASE_SECRET_KEYS",
        "INTERNAL_API_SECRET",
        "BACKEND_TO_DTMA_API_KEY",
        "DO_API_TOKEN",
        "TOOLBOX_RELEASE_URL",
    ] {
        assert!(said.contains(name), "{name}: {said}");
    }
}

#[tokio::test]
async fn only_who_knows_the_secret_may_ask_for_more_than_its_health() {
    let upstream = Upstream::start().await;
    upstream.on("/agents", agent(None));
    let server = Server::start(&upstream).await;
    let (status, health) = server.ask("GET", "/health", "").await;
    assert_eq!((status, &health["status"]), (200, &json!("healthy")));
    assert_eq!(health["environment"]["hasInternalSecret"], true);
    assert_eq!(health["environment"]["hasDoToken"], true);
    assert_eq!(server.ask("GET", "/", "").await.0, 200);
    let (status, missing) = server.ask("GET", "/api/x", "").await;
    assert_eq!((status, &missing["error"]), (404, &json!("Not Found")));
    assert_eq!(missing["path"], "/api/x");
    for (method, path) in [
        ("POST", ensure()),
        (
            "DELETE",
            format!("/internal/agents/{AGENT}/tool-environment"),
        ),
        ("POST", "/internal/reconcile".to_owned()),
        ("GET", "/metrics".to_owned()),
    ] {
        for wrong in ["", "x", &SECRET[1..], &format!("{SECRET}0")] {
            let (status, told) = server.ask(method, &path, wrong).await;
            assert_eq!(status, 403, "{method} {path}");
            assert_eq!(told["error"], "Forbidden: Invalid internal API secret.");
        }
    }
    assert_eq!(server.ask("GET", &ensure(), SECRET).await.0, 405);
    let bearer = format!("Bearer {SECRET}");
    let headers = [("authorization", bearer.as_str())];
    let asked = server.try_ask("GET", "/metrics", &headers).await;
    let (status, _, text) = asked.unwrap();
    assert_eq!(status, 200);
    let line = r#"toolbox_backend_requests_total{route="/internal/reconcile",status="403"} 4"#;
    assert!(text.contains(line), "{text}");
    let port = server.url.rsplit(':').next().unwrap();
    let health = program(&[]).args(["health", "--port", port]).output();
    assert!(health.await.unwrap().status.success());
    server.signal();
    let (is_success, log) = server.ended().await;
    assert!(is_success, "{log}");
    assert!(!log.contains("CANARY") && !log.contains(SECRET), "{log}");
}

#[tokio::test]
async fn an_agent_that_exists_gets_a_tool_environment() {
    let upstream = Upstream::start().await;
    upstream.on("/agents", json!([]));
    let server = Server::start(&upstream).await;
    let (status, told) = server.ask("POST", &ensure(), SECRET).await;
    assert_eq!((status, &told["code"]), (404, &json!("agent_not_found")));
    assert_eq!(told["success"], false);
    let path = "/internal/agents/mine/ensure-tool-environment";
    assert_eq!(server.ask("POST", path, SECRET).await.0, 400);
    upstream.on("/agents", agent(None));
    let sizes = json!({"sizes": [{"slug": "small", "memory": 1024, "vcpus": 1, "disk": 25, "transfer": 1.0,
        "price_monthly": 6.0, "price_hourly": 0.01, "regions": ["nyc3"], "available": true, "description": "Basic"}],
        "links": {}, "meta": {"total": 1}});
    upstream.on("/do/v2/sizes", sizes);
    upstream.on("get_provider_list", json!({"outcome": "due"}));
    upstream.on("put_provider_list", json!({"outcome": "kept"}));
    upstream.on(
        "order_toolbox",
        json!({"outcome": "ordered", "id": TOOLBOX, "is_new": true}),
    );
    upstream.on("set_agent_toolbox", json!({"outcome": "set"}));
    upstream.on(
        "/account_tool_environments",
        toolbox("provisioning", Some("boot")),
    );
    let (status, told) = server.ask("POST", &ensure(), SECRET).await;
    assert_eq!(status, 202, "{told}");
    assert_eq!(told["data"]["droplet_id"], 7);
    assert_eq!(told["data"]["progress"]["percent"], 35);
    upstream.on("/agents", agent(Some(TOOLBOX)));
    upstream.on("/account_tool_environments", toolbox("active", None));
    let (status, told) = server.ask("POST", &ensure(), SECRET).await;
    assert_eq!((status, &told["success"]), (200, &json!(true)), "{told}");
    upstream.on("ask_toolbox", json!({"outcome": "accepted"}));
    let remove = format!("/internal/agents/{AGENT}/tool-environment");
    let (status, told) = server.ask("DELETE", &remove, SECRET).await;
    assert_eq!((status, &told["success"]), (202, &json!(true)), "{told}");
}

#[tokio::test]
async fn a_signal_lets_what_was_begun_end() {
    let upstream = Upstream::start().await;
    upstream.slowly("/agents", json!([]), Duration::from_secs(6));
    let server = Arc::new(Server::start(&upstream).await);
    let asking = {
        let server = Arc::clone(&server);
        tokio::spawn(async move { server.ask("POST", &ensure(), SECRET).await })
    };
    // The database is asked by then, and has not answered.
    sleep(Duration::from_secs(3)).await;
    server.signal();
    let (status, told) = asking.await.unwrap();
    assert_eq!((status, &told["code"]), (404, &json!("agent_not_found")));
    let (is_success, log) = Arc::into_inner(server).unwrap().ended().await;
    assert!(is_success, "{log}");
}
