//! MCP servers in containers, reached through the agent.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use dtma::api::router::{Access, routes};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use toolbox_api::mcp_access::{CALLER_HEADER, McpCaller, McpGrant, McpLimit};
use toolbox_domain::keys::AgentKey;
use uuid::Uuid;

use crate::agent::{Agent, Tool};
use crate::api::path_of;

pub fn stdio() -> Tool {
    Tool::new(&["mcp"]).with("transport", json!("stdio"))
}

/// Takes no event stream, and so gets the answer whole, with the status that goes with it.
fn post(agent: &Agent, tool: &Tool, message: &Value) -> RequestBuilder {
    agent
        .request(Method::POST, &format!("/mcp/{}", tool.id))
        .header("accept", "application/json")
        .json(message)
}

fn initialize(agent: &Agent, tool: &Tool) -> RequestBuilder {
    let message = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "0"}}});
    post(agent, tool, &message)
}

/// A session with the tool's server.
pub async fn session(agent: &Agent, tool: &Tool) -> String {
    let answer = agent.send(initialize(agent, tool)).await;
    assert_eq!(
        answer.status,
        StatusCode::OK,
        "{}; log: {}",
        answer.body,
        agent.log()
    );
    answer.headers["mcp-session-id"]
        .to_str()
        .unwrap()
        .to_owned()
}

pub fn call(agent: &Agent, tool: &Tool, session: &str, name: &str) -> RequestBuilder {
    let message =
        json!({"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": {"name": name}});
    post(agent, tool, &message).header("mcp-session-id", session)
}

#[tokio::test]
async fn a_browser_learns_without_a_key_which_pages_may_call() {
    let agent = Agent::new().await;
    let ask = |path: &str, origin| {
        let request = agent.bare_request(Method::OPTIONS, path);
        agent.send(
            request
                .header("origin", origin)
                .header("access-control-request-method", "POST")
                .header("access-control-request-headers", "authorization"),
        )
    };
    let endpoint = format!("/mcp/{}", Tool::new(&["sleep"]).id);
    let page = "http://localhost:6274";
    let answer = ask(&endpoint, page).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert_eq!(answer.headers["access-control-allow-origin"], page);
    assert_eq!(
        answer.headers["access-control-allow-headers"],
        "authorization"
    );
    let refused = ask(&endpoint, "https://evil.example").await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    ask("/tools", page)
        .await
        .expect_problem(401, "unauthorized");
}

/// Waits until the agent has found this state of the tool's server; how long it took.
async fn found(agent: &Agent, tool: &Tool, state: &str, limit: Duration) -> (String, Duration) {
    let begun = Instant::now();
    loop {
        let log = agent.log();
        let last = log
            .lines()
            .rfind(|l| l.contains("health of an MCP server") && l.contains(&tool.id.to_string()))
            .unwrap_or_default();
        if last.contains(&format!("\"state\":\"{state}\"")) {
            return (last.to_owned(), begun.elapsed());
        }
        assert!(
            begun.elapsed() < limit,
            "not {state} within {limit:?}: {last}; log: {log}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_session_outlives_its_container() {
    let agent = Agent::new().await;
    let tool = stdio();
    agent.deploy(&tool).await;
    let session = session(&agent, &tool).await;
    found(&agent, &tool, "Healthy", Duration::from_secs(10)).await;
    let answer = agent
        .send(call(&agent, &tool, &session, "note"))
        .await
        .expect(200);
    assert_eq!(answer["result"]["content"][0]["text"], "over stdio");

    // The agent asks Docker for the code; a container that runs again by then has none.
    let mut told = Vec::new();
    let mut is_told = false;
    while !is_told && told.len() < 3 {
        let died = agent
            .send(call(&agent, &tool, &session, "die"))
            .await
            .expect(200);
        let text = died["error"]["message"].as_str().unwrap();
        assert!(text.contains("dying as asked"), "{text}");
        is_told = text.contains("exited with code 7");
        told.push(text.to_owned());
    }
    assert!(is_told, "{told:?}");
    let begun = Instant::now();
    let again = agent
        .send(call(&agent, &tool, &session, "note"))
        .await
        .expect(200);
    assert_eq!(
        again["result"]["content"][0]["text"], "over stdio",
        "{again}"
    );
    println!("answered again after {:?}", begun.elapsed());
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "{:?}",
        begun.elapsed()
    );

    // Nor does an update end it.
    let update = tool.clone().next().with("env", json!({"VERSION": "two"}));
    agent.deploy(&update).await;
    let updated = agent
        .send(call(&agent, &tool, &session, "note"))
        .await
        .expect(200);
    assert_eq!(updated["id"], 5, "{updated}");
    found(&agent, &tool, "Healthy", Duration::from_secs(10)).await;
}

#[tokio::test]
async fn a_hung_server_is_found_and_a_stopped_one_says_so() {
    let agent = Agent::new().await;
    let tool = stdio();
    agent.deploy(&tool).await;
    let session = session(&agent, &tool).await;
    found(&agent, &tool, "Healthy", Duration::from_secs(10)).await;
    let hanging = call(&agent, &tool, &session, "hang").send();
    let hanging = tokio::spawn(hanging);
    // It may as well be busy with the call.
    let (line, after) = found(&agent, &tool, "Degraded", Duration::from_secs(30)).await;
    assert!(
        line.contains("it is busy: ping was not answered within 5 s"),
        "{line}"
    );
    println!("a hung server was found after {after:?}");
    agent.command(&tool, "stop").await.expect(200);
    let ended = hanging.await.unwrap().unwrap().text().await.unwrap();
    assert!(ended.contains("under way"), "{ended}");
    let refused = agent.send(initialize(&agent, &tool)).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(
        refused.body["error"]["message"]
            .as_str()
            .unwrap()
            .contains("stopped")
    );
    agent.command(&tool, "start").await.expect(200);
    let again = agent
        .send(call(&agent, &tool, &session, "note"))
        .await
        .expect(200);
    assert_eq!(
        again["result"]["content"][0]["text"], "over stdio",
        "{again}"
    );
}

#[tokio::test]
async fn a_server_without_its_key_says_so_to_callers_but_not_the_key() {
    let agent = Agent::new().await;
    let tool = Tool::new(&["keyless"])
        .with("transport", json!("stdio"))
        .with("env", json!({"API_KEY": "canary-5b1e"}));
    let view = agent.put(&tool).await.body;
    assert_eq!(view["phase"], "error", "{view}");
    let reason = view["reason"]["message"].as_str().unwrap();
    assert!(
        reason.ends_with("it last logged: fatal: API_KEY [secret] is not valid; it may lack a setting: set environmentVariables"),
        "{view}"
    );
    let begun = Instant::now();
    let refused = agent.send(initialize(&agent, &tool)).await;
    let text = refused.body["error"]["message"]
        .as_str()
        .unwrap_or_else(|| panic!("{}; log: {}", refused.body, agent.log()));
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(
        text.contains("fatal: API_KEY [secret] is not valid"),
        "{text}"
    );
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert!(!agent.log().contains("canary-5b1e"));
}

#[tokio::test]
async fn an_http_server_is_reached_at_its_own_port_without_the_callers_key() {
    let agent = Agent::new().await;
    let tool = Tool::new(&["mcp-http", "8080"])
        .with("transport", json!("streamable-http"))
        .with(
            "ports",
            json!([{"container_port": 8080, "protocol": "tcp"}]),
        );
    agent.deploy(&tool).await;
    found(&agent, &tool, "Healthy", Duration::from_secs(10)).await;
    let answer = agent.send(initialize(&agent, &tool)).await.expect(200);
    assert_eq!(answer["result"]["serverInfo"]["name"], "fixture");
    let answer = agent
        .send(call(&agent, &tool, "x", "note"))
        .await
        .expect(200);
    assert_eq!(answer["result"]["leaked"], false, "{answer}");
    let died = agent.send(call(&agent, &tool, "x", "die")).await;
    assert_eq!(died.status, StatusCode::BAD_GATEWAY);
    let begun = Instant::now();
    while agent.send(initialize(&agent, &tool)).await.status != StatusCode::OK {
        assert!(begun.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn the_token_of_an_instance_opens_its_endpoint_and_nothing_else() {
    let agent = Agent::new().await;
    let (tool, other) = (stdio(), stdio());
    agent.deploy(&tool).await;
    agent.deploy(&other).await;
    let key = AgentKey::parse(&agent.key).unwrap();
    let token = key.mcp_token(tool.id.into()).unwrap();
    let endpoint = format!("/mcp/{}", tool.id);
    let ask = |method, path: &str| {
        agent
            .bare_request(method, path)
            .bearer_auth(token.expose())
            .header("accept", "application/json")
            .json(&json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
                "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "0"}}}))
    };
    let answer = agent.send(ask(Method::POST, &endpoint)).await;
    let session = answer.headers["mcp-session-id"].clone();
    answer.expect(200);
    let ended = ask(Method::DELETE, &endpoint).header("mcp-session-id", session);
    assert!(agent.send(ended).await.status.is_success());
    let closed = routes()
        .into_iter()
        .filter(|route| route.access != Access::Public);
    let mut calls: Vec<_> = closed
        .map(|route| {
            let id = if route.access == Access::Mcp {
                other.id
            } else {
                tool.id
            };
            let method = Method::from_bytes(route.method.as_str().as_bytes()).unwrap();
            (method, path_of(route.path, id))
        })
        .collect();
    for path in [&format!("{endpoint}/"), "/mcp", "/nope"] {
        calls.push((Method::POST, path.to_owned()));
    }
    for (method, path) in calls {
        let refused = agent.send(ask(method.clone(), &path)).await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{method} {path}");
        refused.expect_problem(401, "unauthorized");
    }
    assert!(!agent.log().contains(token.expose()));
}

#[tokio::test]
async fn a_client_that_comes_through_the_control_plane_is_held_to_its_tools() {
    let agent = Agent::new().await;
    let tool = stdio();
    agent.deploy(&tool).await;
    let path = format!("/v1/mcp/{}", tool.id);
    let ask = |caller: Option<&McpCaller>, message: &Value| {
        let request = agent
            .request(Method::POST, &path)
            .header("accept", "application/json")
            .json(message);
        match caller {
            Some(caller) => request.header(CALLER_HEADER, caller.to_header()),
            None => request,
        }
    };
    let caller = |tools: Option<&[&str]>, read_only| McpCaller {
        who: "user:1".to_owned(),
        tools: tools.map(|tools| tools.iter().map(|&tool| tool.to_owned()).collect()),
        read_only,
        client: None,
        grants: Vec::new(),
        limits: Vec::new(),
        pins: BTreeMap::new(),
    };
    let begin = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "0"}}});
    // Nobody comes in without being named.
    agent
        .send(ask(None, &begin))
        .await
        .expect_problem(400, "invalid_body");
    let all = caller(None, false);
    let first = agent.send(ask(Some(&all), &begin)).await;
    let session = first.headers["mcp-session-id"].clone();
    first.expect(200);
    let in_session = |caller: &McpCaller, method: &str, name: &str| {
        let message =
            json!({"jsonrpc": "2.0", "id": 5, "method": method, "params": {"name": name}});
        ask(Some(caller), &message).header("mcp-session-id", session.clone())
    };
    let only = caller(Some(&["note"]), false);
    for (caller, name, answers) in [
        (&all, "note", true),
        (&only, "note", true),
        (&only, "die", false),
        (&caller(Some(&[]), false), "note", false),
        // The fixture calls none of its tools read-only.
        (&caller(None, true), "note", false),
    ] {
        let answer = agent.send(in_session(caller, "tools/call", name)).await;
        let answer = answer.expect(200);
        assert_eq!(answer["error"].is_null(), answers, "{answer}");
    }
    let listed = |answer: &Value| answer["result"]["tools"].as_array().map(Vec::len);
    let list = agent.send(in_session(&all, "tools/list", "")).await;
    let every = listed(&list.expect(200)).unwrap();
    let list = agent.send(in_session(&only, "tools/list", "")).await;
    let shown = list.expect(200);
    assert!(listed(&shown) <= Some(1) && every >= 1, "{shown}");
    let none = caller(Some(&[]), false);
    let list = agent.send(in_session(&none, "tools/list", "")).await;
    assert_eq!(listed(&list.expect(200)), Some(0));
    // What they were given may be used three times a minute, whoever comes by it.
    let limited = |who: &str| McpCaller {
        who: who.to_owned(),
        limits: vec![McpLimit {
            access: Uuid::nil(),
            requests_per_minute: Some(3),
            concurrent_requests: None,
        }],
        ..all.clone()
    };
    for who in ["user:1", "user:1:chat", "user:2"] {
        let passed = agent.send(in_session(&limited(who), "tools/list", ""));
        passed.await.expect(200);
    }
    let refused = agent.send(in_session(&limited("user:3"), "tools/list", ""));
    let refused = refused.await;
    let after = refused.headers["retry-after"].to_str().unwrap().parse();
    assert!((10..=20).contains(&after.unwrap()), "{:?}", refused.headers);
    let said = refused.expect(429)["error"]["message"].to_string();
    assert!(said.contains("3 a minute"), "{said}");
    let others = agent.send(in_session(&all, "tools/list", ""));
    others.await.expect(200);
    // A bound that a later control plane may tell is not passed over.
    let later = all.to_header().replacen("%7B", "%7B%22later%22%3A1%2C", 1);
    let refused = agent.request(Method::POST, &path);
    let refused = refused.header(CALLER_HEADER, later).json(&begin);
    let refused = agent.send(refused).await;
    refused.expect_problem(400, "invalid_body");
}

#[tokio::test]
async fn what_is_no_mcp_server_has_no_endpoint() {
    let agent = Agent::new().await;
    let tool = Tool::new(&["sleep"]);
    agent.deploy(&tool).await;
    agent
        .send(initialize(&agent, &tool))
        .await
        .expect_problem(404, "route_unknown");
    agent
        .send(initialize(&agent, &Tool::new(&["mcp"])))
        .await
        .expect_problem(404, "instance_unknown");
}

fn http(command: &[&str], port: u16) -> Tool {
    Tool::new(command)
        .with("transport", json!("streamable-http"))
        .with("ports", json!([{"container_port": port}]))
}

#[tokio::test]
async fn a_waited_deploy_answers_with_the_health_of_its_server() {
    let agent = Agent::new().await;
    let tool = stdio();
    let view = agent.deploy(&tool).await;
    assert_eq!(view["mcp"]["state"], "healthy", "{view}");
    assert_eq!(view["mcp"]["tool_count"], 1, "{view}");
    // What was found before a restart does not count for what runs after it.
    let view = agent.command(&tool, "restart").await.expect(200);
    assert_eq!(view["mcp"]["state"], "healthy", "{view}");
    assert!(
        view["mcp"]["checked_at"].as_str() >= view["started_at"].as_str(),
        "{view}"
    );
    let stopped = agent.command(&tool, "stop").await.expect(200);
    assert_eq!(stopped["mcp"], Value::Null, "{stopped}");
    // A tool that is no MCP server is not waited for.
    let begun = Instant::now();
    let plain = agent.deploy(&Tool::new(&["sleep"])).await;
    assert_eq!(plain["mcp"], Value::Null, "{plain}");
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test]
async fn a_server_of_http_with_events_is_bridged() {
    let agent = Agent::new().await;
    let tool = http(&["mcp-sse", "8080"], 8080)
        .with("transport", json!("sse"))
        .with("mcp_path", json!("/sse"));
    let view = agent.deploy(&tool).await;
    assert_eq!(
        view["mcp"]["state"],
        "healthy",
        "{view}; log: {}",
        agent.log()
    );
    let session = session(&agent, &tool).await;
    for _ in 0..3 {
        let answer = agent
            .send(call(&agent, &tool, &session, "note"))
            .await
            .expect(200);
        assert_eq!(
            answer["result"]["content"][0]["text"], "over events",
            "{answer}"
        );
    }
    let died = agent
        .send(call(&agent, &tool, &session, "die"))
        .await
        .expect(200);
    assert!(
        died["error"]["message"]
            .as_str()
            .unwrap()
            .contains("under way"),
        "{died}"
    );
    let again = agent
        .send(call(&agent, &tool, &session, "note"))
        .await
        .expect(200);
    assert_eq!(
        again["result"]["content"][0]["text"], "over events",
        "{again}"
    );
}

#[tokio::test]
async fn a_server_that_nothing_outside_its_container_reaches_says_so() {
    let agent = Agent::new().await;
    for transport in ["streamable-http", "sse"] {
        let tool = http(&["mcp-inside", "8080"], 8080).with("transport", json!(transport));
        let view = agent.deploy(&tool).await;
        let evidence = view["mcp"]["evidence"].as_str().unwrap_or_default();
        assert_eq!(
            view["mcp"]["state"],
            "unreachable",
            "{view}; log: {}",
            agent.log()
        );
        let cause = "it listens on 127.0.0.1:8080 inside its container, where nothing outside reaches it; make it listen on 0.0.0.0";
        assert!(evidence.contains(cause), "{view}");
    }
    let tool = http(&["mcp-http", "8080"], 9090);
    // The cause comes as soon as it runs, or a little later.
    let deployed = agent.deploy_for(&tool, 5).await;
    assert!(
        matches!(deployed.status.as_u16(), 200 | 202),
        "{deployed:?}"
    );
    let view = agent
        .until(&tool, "its cause", Duration::from_secs(20), |view| {
            let evidence = view["mcp"]["evidence"].as_str().unwrap_or_default();
            evidence.contains(
                "nothing listens at port 9090 in its container, but at 8080; set portMappings",
            )
        })
        .await;
    assert_ne!(view["mcp"]["state"], "healthy");
    let none = Tool::new(&["mcp-http", "8080"]).with("transport", json!("streamable-http"));
    let view = agent.deploy(&none).await;
    let evidence = view["mcp"]["evidence"].as_str().unwrap_or_default();
    assert!(evidence.contains("set portMappings"), "{view}");
}

#[tokio::test]
async fn a_server_gets_its_own_headers_and_nothing_else_does() {
    const SECRET: &str = "canary-a77e";
    let agent = Agent::new().await;
    let tool = http(&["mcp-http", "8080", SECRET], 8080);
    let view = agent.deploy(&tool).await;
    let evidence = view["mcp"]["evidence"].as_str().unwrap_or_default();
    assert_eq!(view["mcp"]["state"], "unhealthy", "{view}");
    assert!(
        evidence.contains("HTTP 401") && evidence.contains("upstreamHeaders"),
        "{view}"
    );

    let with_key = tool.clone().next().with(
        "mcp_headers",
        json!({"X-Api-Key": {"key_id": null, "value": SECRET}}),
    );
    let view = agent.deploy(&with_key).await;
    assert_eq!(view["mcp"]["state"], "healthy", "{view}");
    let answer = agent
        .send(call(&agent, &tool, "x", "note"))
        .await
        .expect(200);
    assert_eq!(answer["result"]["leaked"], false, "{answer}");
    // The command is the fixture's; beside it, Docker holds the key nowhere.
    let mut container = agent.container(&tool).await;
    if let Some(config) = &mut container.config {
        config.cmd = None;
    }
    container.args = None;
    let labels = container.config.and_then(|config| config.labels).unwrap();
    let label = &labels["io.toolbox.spec"];
    assert!(label.contains("x-api-key"), "{label}");
    let spec: Value = serde_json::from_str(label).unwrap();
    assert_eq!(spec["mcp_headers"]["x-api-key"]["value"], "", "{label}");
    assert!(!agent.log().contains(SECRET));
}

#[tokio::test]
async fn a_call_of_a_server_ends_when_its_deployment_says() {
    let agent = Agent::new().await;
    let tool = stdio().with("mcp_call_timeout_seconds", json!(2));
    agent.deploy(&tool).await;
    let session = session(&agent, &tool).await;
    let begun = Instant::now();
    let answer = agent
        .send(call(&agent, &tool, &session, "hang"))
        .await
        .expect(200);
    let text = answer["error"]["message"].as_str().unwrap_or_default();
    assert!(
        text.contains("did not answer tools/call within 2 s"),
        "{answer}"
    );
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test]
async fn a_transport_that_nothing_bridges_is_no_success() {
    let agent = Agent::new().await;
    let tool = http(&["http", "8080"], 8080).with("transport", json!("websocket"));
    let view = agent.deploy(&tool).await;
    assert_eq!(view["mcp"]["state"], "unreachable", "{view}");
    let evidence = view["mcp"]["evidence"].as_str().unwrap_or_default();
    assert!(
        evidence.contains("websocket") && evidence.contains("set transport"),
        "{view}"
    );
    let refused = agent.send(initialize(&agent, &tool)).await;
    refused.expect_problem(404, "route_unknown");
}

#[tokio::test]
async fn a_client_that_was_refused_finds_no_sign_in() {
    let agent = Agent::new().await;
    let endpoint = format!("/mcp/{}", Uuid::new_v4());
    for (method, path) in [
        (
            Method::GET,
            format!("/.well-known/oauth-protected-resource{endpoint}"),
        ),
        (
            Method::GET,
            "/.well-known/oauth-protected-resource".to_owned(),
        ),
        (
            Method::GET,
            "/.well-known/oauth-authorization-server".to_owned(),
        ),
        (
            Method::GET,
            format!("{endpoint}/.well-known/openid-configuration"),
        ),
        (Method::POST, "/register".to_owned()),
        (Method::OPTIONS, "/register".to_owned()),
    ] {
        let answer = agent.send(agent.bare_request(method, &path)).await;
        assert_eq!(answer.headers.get("www-authenticate"), None, "{path}");
        answer.expect_problem(404, "route_unknown");
    }
    let refused = agent
        .send(agent.bare_request(Method::POST, &endpoint))
        .await;
    refused.expect_problem(401, "unauthorized");
}

#[tokio::test]
async fn all_servers_are_one_for_a_client_of_the_control_plane() {
    let agent = Agent::new().await;
    let (first, second, other) = (stdio(), stdio(), stdio());
    for tool in [&first, &second, &other] {
        agent.deploy(tool).await;
        found(&agent, tool, "Healthy", Duration::from_secs(10)).await;
    }
    let grant = |tools: Option<&[&str]>, of: &[&Tool]| McpGrant {
        instances: of.iter().map(|tool| tool.id.into()).collect(),
        tools: tools.map(|tools| tools.iter().map(|&tool| tool.to_owned()).collect()),
        read_only: false,
    };
    let caller = McpCaller {
        who: "user:1".to_owned(),
        tools: Some(Vec::new()),
        read_only: true,
        client: Some("e2e/1".to_owned()),
        grants: vec![grant(Some(&["note"]), &[&first]), grant(None, &[&second])],
        limits: Vec::new(),
        pins: BTreeMap::new(),
    };
    let ask = |caller: &McpCaller, session: Option<&str>, message: &Value| {
        let request = agent
            .request(Method::POST, "/v1/mcp")
            .header("accept", "application/json")
            .header(CALLER_HEADER, caller.to_header())
            .json(message);
        match session {
            Some(session) => request.header("mcp-session-id", session),
            None => request,
        }
    };
    let begin = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "0"}}});
    let opened = agent.send(ask(&caller, None, &begin)).await;
    let session = opened.headers["mcp-session-id"]
        .to_str()
        .unwrap()
        .to_owned();
    opened.expect(200);
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    let listed = agent
        .send(ask(&caller, Some(&session), &list))
        .await
        .expect(200);
    let names: Vec<String> =
        serde_json::from_value::<Vec<Value>>(listed["result"]["tools"].clone())
            .unwrap()
            .iter()
            .map(|tool| tool["name"].as_str().unwrap().to_owned())
            .collect();
    let digits = |tool: &Tool| tool.id.to_string()[..8].to_owned();
    let call = |name: &str| json!({"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": {"name": name}});
    let name = |tool: &Tool, end: &str| format!("{}-{}__{end}", "tool", digits(tool));
    let end = |tool: &Tool| format!("-{}__note", digits(tool));
    assert_eq!(
        names.len(),
        2,
        "what was not granted is not there: {names:?}"
    );
    for tool in [&first, &second] {
        let name = names
            .iter()
            .find(|name| name.ends_with(&end(tool)))
            .unwrap();
        let answer = agent.send(ask(&caller, Some(&session), &call(name)));
        let answer = answer.await.expect(200);
        assert_eq!(
            answer["result"]["content"][0]["text"], "over stdio",
            "{answer}"
        );
    }
    let listed = names
        .iter()
        .find(|name| name.ends_with(&end(&first)))
        .unwrap();
    for forbidden in [
        listed.replace("note", "die"),
        name(&other, "note"),
        "note".to_owned(),
    ] {
        let refused = agent
            .send(ask(&caller, Some(&session), &call(&forbidden)))
            .await;
        assert_eq!(refused.expect(200)["error"]["code"], -32602, "{forbidden}");
    }
    // Another caller has another session, and nobody comes in without being named.
    let stranger = McpCaller {
        who: "user:2".to_owned(),
        ..caller.clone()
    };
    agent
        .send(ask(&stranger, Some(&session), &list))
        .await
        .expect(404);
    let unnamed = agent.request(Method::POST, "/v1/mcp").json(&list);
    agent
        .send(unnamed)
        .await
        .expect_problem(400, "invalid_body");
}

#[tokio::test]
async fn a_server_is_held_back_while_its_tools_are_not_those_that_are_pinned() {
    let agent = Agent::new().await;
    let tool = stdio();
    let view = agent.deploy(&tool).await;
    let path = format!("/tools/{}/mcp-tools", tool.id);
    let told = async || agent.send(agent.request(Method::GET, &path)).await;
    let known = told().await.expect(200);
    assert_eq!(known["tools"][0]["name"], "note", "{known}");
    assert_eq!(known["fingerprint"], view["mcp"]["tools_fingerprint"]);
    let caller = |pin: &str| McpCaller {
        who: "user:1".to_owned(),
        tools: None,
        read_only: false,
        client: None,
        grants: vec![McpGrant {
            instances: vec![tool.id.into()],
            tools: None,
            read_only: false,
        }],
        limits: Vec::new(),
        pins: BTreeMap::from([(tool.id.into(), pin.to_owned())]),
    };
    let (same, other) = (
        caller(known["fingerprint"].as_str().unwrap()),
        caller(&"0".repeat(64)),
    );
    let one = format!("/v1/mcp/{}", tool.id);
    let ask = |caller: &McpCaller, path: &str, session: &str, message: &Value| {
        let request = agent
            .request(Method::POST, path)
            .header("accept", "application/json")
            .header(CALLER_HEADER, caller.to_header())
            .json(message);
        agent.send(match session {
            "" => request,
            session => request.header("mcp-session-id", session),
        })
    };
    let begin = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "0"}}});
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    let call = |name: &str| json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": name}});
    let opened = ask(&same, &one, "", &begin).await;
    let session = opened.headers["mcp-session-id"]
        .to_str()
        .unwrap()
        .to_owned();
    opened.expect(200);
    let listed = ask(&same, &one, &session, &list).await.expect(200);
    assert_eq!(listed["result"]["tools"][0]["name"], "note", "{listed}");
    let answer = ask(&same, &one, &session, &call("note")).await.expect(200);
    assert!(answer["error"].is_null(), "{answer}");
    let unlisted = ask(&same, &one, &session, &call("die")).await.expect(200);
    assert_eq!(unlisted["error"]["code"], -32602, "{unlisted}");
    for message in [&begin, &list, &call("note")] {
        let held = ask(&other, &one, &session, message).await;
        assert_eq!(held.status, StatusCode::CONFLICT, "{}", held.body);
        let error = &held.body["error"];
        assert_eq!(error["data"]["code"], "mcp_tools_changed", "{error}");
        assert_eq!(held.body["id"], message["id"]);
    }
    for (caller, is_there) in [(&same, true), (&other, false)] {
        let opened = ask(caller, "/v1/mcp", "", &begin).await;
        let session = opened.headers["mcp-session-id"]
            .to_str()
            .unwrap()
            .to_owned();
        let listed = ask(caller, "/v1/mcp", &session, &list).await.expect(200);
        let text = listed["result"]["tools"].to_string();
        assert_eq!(text.contains("__note"), is_there, "{text}");
        assert_eq!(text.contains("its tools changed"), !is_there, "{text}");
    }
    // After a start nobody comes in before the tools were heard again.
    agent.command(&tool, "restart").await.expect(200);
    ask(&same, &one, &session, &list).await.expect(200);
    let held = ask(&other, &one, &session, &list).await;
    assert_eq!(held.status, StatusCode::CONFLICT, "{}", held.body);
    agent.command(&tool, "stop").await.expect(200);
    let held = ask(&same, &one, &session, &list).await;
    assert_eq!(
        held.status,
        StatusCode::SERVICE_UNAVAILABLE,
        "{}",
        held.body
    );
    assert_eq!(held.body["error"]["data"]["code"], "mcp_tools_unknown");
    told().await.expect_problem(503, "mcp_tools_unknown");
}
