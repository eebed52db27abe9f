//! The built program, as an MCP client and as a container engine see it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a broken expectation is how a test fails"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "starts the program under test, and `kill`"
)]

use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rmcp::model::{CallToolRequestParams, CallToolResult, ProtocolVersion};
use rmcp::service::{ClientLifecycleMode, ClientServiceExt as _, RoleClient, RunningService};
use rmcp::transport::{StreamableHttpClientTransport, TokioChildProcess};
use rmcp::{ServiceError, ServiceExt as _};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::timeout;

const PROGRAM: &str = env!("CARGO_BIN_EXE_toolbox-sample-mcp");
const DEADLINE: Duration = Duration::from_secs(10);

type Client = RunningService<RoleClient, ()>;

#[tokio::test]
async fn a_client_uses_every_tool_over_streamable_http() {
    let server = HttpServer::start(&[], &[("SAMPLE_GREETING", "hej"), ("API_KEY", "s3cret")]).await;
    let client =
        ().serve(StreamableHttpClientTransport::from_uri(server.url("/mcp")))
            .await
            .unwrap();
    uses_every_tool(&client).await;
    client.cancel().await.unwrap();
}

/// Since 2026-07-28 the protocol has no handshake and no session.
#[tokio::test]
async fn a_client_without_a_handshake_uses_every_tool_over_streamable_http() {
    let server = HttpServer::start(&[], &[("SAMPLE_GREETING", "hej"), ("API_KEY", "s3cret")]).await;
    let transport = StreamableHttpClientTransport::from_uri(server.url("/mcp"));
    let discover = ClientLifecycleMode::Discover {
        preferred_versions: vec![ProtocolVersion::V_2026_07_28],
    };
    let client = ().serve_with_lifecycle(transport, discover).await.unwrap();
    uses_every_tool(&client).await;
    client.cancel().await.unwrap();
}

#[tokio::test]
async fn a_client_uses_every_tool_over_stdio() {
    let mut command = Command::new(PROGRAM);
    command
        .arg("--stdio")
        .env_clear()
        .env("SAMPLE_GREETING", "hej")
        .env("API_KEY", "s3cret");
    let client = ().serve(TokioChildProcess::new(command).unwrap()).await.unwrap();
    uses_every_tool(&client).await;
    client.cancel().await.unwrap();
}

async fn uses_every_tool(client: &Client) {
    let peer = client.peer_info().unwrap();
    assert_eq!(
        peer.server_info.as_ref().unwrap().name,
        "toolbox-sample-mcp"
    );

    let tools = client.list_all_tools().await.unwrap();
    let names: Vec<_> = tools.iter().map(|tool| tool.name.as_ref()).collect();
    assert_eq!(names, ["echo", "add", "environment", "uptime"]);
    assert!(
        tools
            .iter()
            .all(|tool| tool.input_schema["type"] == "object")
    );
    assert!(tools[1].input_schema["properties"]["a"].is_object());

    let echo = call(client, "echo", json!({"message": "hej\u{2028}\n"})).await;
    assert_eq!(text(&echo.unwrap()), "hej\u{2028}\n");
    let add = call(client, "add", json!({"a": 2, "b": 0.5})).await;
    assert_eq!(text(&add.unwrap()), "2.5");
    let too_large = call(client, "add", json!({"a": 1e308, "b": 1e308})).await;
    assert_eq!(too_large.unwrap().is_error, Some(true));

    let environment = call(client, "environment", json!({})).await.unwrap();
    assert_eq!(
        environment.structured_content,
        Some(
            json!({"names": ["API_KEY", "SAMPLE_GREETING"], "values": {"SAMPLE_GREETING": "hej"}})
        )
    );
    let uptime = call(client, "uptime", json!({})).await.unwrap();
    assert!(
        uptime.structured_content.unwrap()["seconds"]
            .as_f64()
            .unwrap()
            > 0.0
    );

    for (tool, arguments) in [
        ("unknown", json!({})),
        ("echo", json!({})),
        ("add", json!({"a": 1, "b": 2, "c": 3})),
    ] {
        let refused = call(client, tool, arguments).await.unwrap_err();
        let ServiceError::McpError(error) = refused else {
            panic!("{tool}: expected a protocol error, got {refused:?}");
        };
        assert_eq!(error.code.0, -32602, "{tool}");
    }
}

#[tokio::test]
async fn health_is_answered_under_any_host_name() {
    let server = HttpServer::start(&[], &[]).await;
    let answer = reqwest::Client::new()
        .get(server.url("/healthz"))
        .header("host", "tool.example.com")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    let initialize = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params":
        {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "0"}}});
    let answer = reqwest::Client::new()
        .post(server.url("/mcp"))
        .header("host", "tool.example.com")
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .body(initialize.to_string())
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn each_call_is_one_log_line_that_the_caller_cannot_forge() {
    let mut server = HttpServer::start(&[], &[]).await;
    let client =
        ().serve(StreamableHttpClientTransport::from_uri(server.url("/mcp")))
            .await
            .unwrap();
    call(&client, "echo", json!({"message": "private"}))
        .await
        .unwrap();
    call(&client, "a\nsample-mcp: forged", json!({}))
        .await
        .unwrap_err();
    assert_eq!(
        server.log_line().await,
        "sample-mcp: tools/call \"echo\" ok"
    );
    assert_eq!(
        server.log_line().await,
        r#"sample-mcp: tools/call "a\nsample-mcp: forged" refused"#
    );
}

#[tokio::test]
async fn sigterm_ends_it_at_once_with_a_client_connected() {
    let mut server = HttpServer::start(&[], &[]).await;
    let _client =
        ().serve(StreamableHttpClientTransport::from_uri(server.url("/mcp")))
            .await
            .unwrap();
    let asked = Instant::now();
    let pid = server.child.id().unwrap().to_string();
    assert!(
        Command::new("kill")
            .arg(pid)
            .status()
            .await
            .unwrap()
            .success()
    );
    assert!(exit(&mut server.child).await.success());
    assert!(asked.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn sigterm_ends_stdio_although_stdin_is_open() {
    let mut child = spawn(&["--stdio"], &[]);
    let mut log = BufReader::new(child.stderr.take().unwrap());
    assert_eq!(line(&mut log).await, "sample-mcp: serving MCP on stdio");
    let pid = child.id().unwrap().to_string();
    assert!(
        Command::new("kill")
            .arg(pid)
            .status()
            .await
            .unwrap()
            .success()
    );
    assert!(exit(&mut child).await.success());
}

#[tokio::test]
async fn it_exits_by_itself_with_the_code_it_was_told() {
    let started = Instant::now();
    let mut child = spawn(
        &[
            "--listen",
            "127.0.0.1:0",
            "--exit-after-ms",
            "50",
            "--exit-code",
            "7",
        ],
        &[],
    );
    assert_eq!(exit(&mut child).await.code(), Some(7));
    assert!(started.elapsed() >= Duration::from_millis(50));
}

#[tokio::test]
async fn a_missing_key_is_named_and_a_value_never_is() {
    let required = ["--require-env", "FIRST_KEY", "--require-env", "SECOND_KEY"];
    let mut child = spawn(&required, &[("FIRST_KEY", "s3cret")]);
    let mut log = BufReader::new(child.stderr.take().unwrap());
    assert_eq!(
        line(&mut log).await,
        "sample-mcp: set the environment variable \"SECOND_KEY\": this server cannot start without it"
    );
    assert_eq!(exit(&mut child).await.code(), Some(1));

    let both = [("FIRST_KEY", "s3cret"), ("SECOND_KEY", "s3cret")];
    let server = HttpServer::start(&required, &both).await;
    drop(server);
}

#[tokio::test]
async fn a_taken_address_is_a_clear_failure() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut child = spawn(&["--listen", &address], &[]);
    let mut log = BufReader::new(child.stderr.take().unwrap());
    assert!(line(&mut log).await.starts_with(&format!(
        "sample-mcp: listen on {address}: Address already in use"
    )));
    assert_eq!(exit(&mut child).await.code(), Some(1));
}

/// The program serving HTTP on a free port, killed when dropped.
struct HttpServer {
    child: Child,
    log: BufReader<ChildStderr>,
    base: String,
}

impl HttpServer {
    async fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        // reqwest asks for one where another crate of the build turns its TLS on. It may be there already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut all = vec!["--listen", "127.0.0.1:0"];
        all.extend(arguments);
        let mut child = spawn(&all, environment);
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let start = line(&mut log).await;
        let base = start
            .strip_prefix("sample-mcp: serving MCP on ")
            .and_then(|url| url.strip_suffix("/mcp"))
            .unwrap_or_else(|| panic!("unexpected start line: {start}"))
            .to_owned();
        Self { child, log, base }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    async fn log_line(&mut self) -> String {
        line(&mut self.log).await
    }
}

fn spawn(arguments: &[&str], environment: &[(&str, &str)]) -> Child {
    Command::new(PROGRAM)
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

async fn line(log: &mut BufReader<ChildStderr>) -> String {
    let mut line = String::new();
    timeout(DEADLINE, log.read_line(&mut line))
        .await
        .expect("a log line within the deadline")
        .unwrap();
    line.trim_end().to_owned()
}

async fn exit(child: &mut Child) -> ExitStatus {
    // `wait` would close stdin, which ends a stdio server by itself.
    let _stdin = child.stdin.take();
    timeout(DEADLINE, child.wait())
        .await
        .expect("an exit within the deadline")
        .unwrap()
}

async fn call(
    client: &Client,
    tool: &'static str,
    arguments: Value,
) -> Result<CallToolResult, ServiceError> {
    let Value::Object(arguments) = arguments else {
        panic!("arguments must be an object");
    };
    let request = CallToolRequestParams::new(tool).with_arguments(arguments);
    timeout(DEADLINE, client.call_tool(request))
        .await
        .expect("an answer within the deadline")
}

fn text(result: &CallToolResult) -> &str {
    &result.content[0].as_text().unwrap().text
}
