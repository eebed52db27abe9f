//! MCP servers that are stopped when nobody uses them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use toolbox_api::mcp_access::{CALLER_HEADER, McpCaller, McpGrant};

use crate::agent::{Agent, Tool};
use crate::docker;
use crate::mcp::{call, session, stdio};

const SOON: Duration = Duration::from_secs(20);
const WORDS: &str = "stopped after 1 minute without use; the next call starts it";

/// An agent whose minutes have four seconds.
async fn agent() -> Agent {
    docker::ensure_image().await;
    let mut agent = Agent::prepare();
    agent.extra = vec!["--idle-minute".to_owned(), "4".to_owned()];
    agent.start().await;
    agent
}

async fn idle(agent: &Agent, tool: &Tool) -> Value {
    agent
        .until(tool, "idle", SOON, |view| {
            view["phase"] == "stopped" && view["mcp"]["state"] == "idle"
        })
        .await
}

fn message(id: u32, method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

async fn is_running(agent: &Agent, tool: &Tool) -> bool {
    let state = agent.container(tool).await.state.unwrap();
    state.running.unwrap()
}

#[tokio::test]
async fn a_server_that_nobody_uses_is_stopped_and_the_next_call_starts_it() {
    let mut agent = agent().await;
    let tool = stdio().with("idle_minutes", json!(1));
    agent.deploy(&tool).await;
    let session = session(&agent, &tool).await;
    let view = idle(&agent, &tool).await;
    assert_eq!(view["desired"], "running", "{view}");
    assert_eq!(view["settled"], true, "{view}");
    assert_eq!(view["reason"], Value::Null, "{view}");
    assert_eq!(view["mcp"]["evidence"], WORDS, "{view}");
    assert_eq!(view["mcp"]["tool_count"], 1, "{view}");
    assert!(!is_running(&agent, &tool).await);

    // Whoever only asks whether anybody is there, or looks at all servers, starts nothing.
    let in_session = |message: &Value| {
        agent
            .request(Method::POST, &format!("/mcp/{}", tool.id))
            .header("accept", "application/json, text/event-stream")
            .header("mcp-session-id", &session)
            .json(message)
    };
    let ping = agent
        .send(in_session(&message(3, "ping", &json!({}))))
        .await;
    assert_eq!(
        ping.expect(200),
        json!({"jsonrpc": "2.0", "id": 3, "result": {}})
    );
    let caller = McpCaller {
        who: "user:1".to_owned(),
        tools: Some(Vec::new()),
        read_only: true,
        client: None,
        grants: vec![McpGrant {
            tools: None,
            read_only: false,
            instances: vec![tool.id.into()],
        }],
        limits: Vec::new(),
        pins: BTreeMap::new(),
    };
    let meta = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "0"},
        "io.modelcontextprotocol/clientCapabilities": {}});
    let list = agent
        .request(Method::POST, "/v1/mcp")
        .header(CALLER_HEADER, caller.to_header())
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", "tools/list")
        .json(&message(4, "tools/list", &json!({"_meta": meta})));
    let list = agent.send(list).await.expect(200);
    let names = list["result"]["tools"].as_array().unwrap();
    assert_eq!(names.len(), 1, "{list}");
    assert!(
        names[0]["name"].as_str().unwrap().ends_with("__note"),
        "{list}"
    );
    assert!(!is_running(&agent, &tool).await);

    // It stays so when the agent comes back.
    agent.kill();
    let before = agent.log().len();
    agent.start().await;
    idle(&agent, &tool).await;
    let started = || {
        agent.log()[before..]
            .matches("somebody wants to use")
            .count()
    };
    assert_eq!(started(), 0, "{}", agent.log());

    // Several who come at once start it once. The sessions of the killed agent's bridge are gone.
    let begun = Instant::now();
    let sessions = tokio::join!(
        crate::mcp::session(&agent, &tool),
        crate::mcp::session(&agent, &tool),
        crate::mcp::session(&agent, &tool)
    );
    println!(
        "a stopped server answered three initialize after {:?}",
        begun.elapsed()
    );
    assert_eq!(started(), 1, "{}", agent.log());
    let view = agent.view(&tool).await.body;
    assert_eq!(view["phase"], "running", "{view}");
    assert_eq!(view["mcp"]["state"], "healthy", "{view}");
    let session = sessions.0;

    // Calls that meet its rest are answered, whichever moment of it they meet.
    for late in [0, 3, 10, 30, 100, 300] {
        tokio::time::sleep(Duration::from_millis(3_990 + late)).await;
        let begun = Instant::now();
        let answer = agent.send(call(&agent, &tool, &session, "note")).await;
        println!("{late} ms after its end a call took {:?}", begun.elapsed());
        let answer = answer.expect(200);
        assert_eq!(
            answer["result"]["content"][0]["text"], "over stdio",
            "{answer}"
        );
    }
    let view = agent.view(&tool).await.body;
    assert_eq!(view["restart_count"], 0, "no end of it is a crash: {view}");
}

#[tokio::test]
async fn what_a_user_stopped_is_not_started_by_a_call_and_what_a_user_starts_runs() {
    let agent = agent().await;
    let tool = stdio().with("idle_minutes", json!(1));
    agent.deploy(&tool).await;
    let session = session(&agent, &tool).await;
    idle(&agent, &tool).await;
    let stopped = agent.command(&tool, "stop").await.expect(200);
    assert_eq!(
        (&stopped["desired"], &stopped["mcp"]),
        (&json!("stopped"), &Value::Null)
    );
    let refused = agent.send(call(&agent, &tool, &session, "note")).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    let text = refused.body["error"]["message"].as_str().unwrap();
    assert!(text.contains("the tool is stopped"), "{text}");
    assert!(!is_running(&agent, &tool).await);
    let view = agent.command(&tool, "start").await.expect(200);
    assert_eq!(
        (&view["phase"], &view["mcp"]["state"]),
        (&json!("running"), &json!("healthy"))
    );
    idle(&agent, &tool).await;
    let update = tool.clone().next().with("env", json!({"VERSION": "two"}));
    agent.deploy(&update).await;
    idle(&agent, &tool).await;
    agent.delete(&tool).await;
    assert!(agent.containers(&tool).await.is_empty());
}

#[tokio::test]
async fn a_server_that_speaks_http_itself_is_waited_for_when_it_starts_again() {
    let agent = agent().await;
    let tool = Tool::new(&["mcp-http", "8080"])
        .with("transport", json!("streamable-http"))
        .with("ports", json!([{"container_port": 8080}]))
        .with("idle_minutes", json!(1));
    agent.deploy(&tool).await;
    idle(&agent, &tool).await;
    // A client that only listens starts nothing.
    let listens = agent
        .request(Method::GET, &format!("/mcp/{}", tool.id))
        .header("accept", "text/event-stream");
    let refused = agent.send(listens).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.body["error"]["message"], WORDS);
    let begun = Instant::now();
    let calls = (0..3).map(|_| agent.send(call(&agent, &tool, "x", "note")));
    for answer in futures_util::future::join_all(calls).await {
        let answer = answer.expect(200);
        assert_eq!(answer["result"]["leaked"], false, "{answer}");
    }
    println!(
        "a stopped server over HTTP answered after {:?}",
        begun.elapsed()
    );
}

#[tokio::test]
async fn pinned_tools_are_heard_after_the_start_that_a_call_causes() {
    let agent = agent().await;
    let tool = stdio().with("idle_minutes", json!(1));
    agent.deploy(&tool).await;
    let view = idle(&agent, &tool).await;
    let caller = |pin: &str| McpCaller {
        who: "user:1".to_owned(),
        tools: None,
        read_only: false,
        client: None,
        grants: vec![McpGrant {
            tools: None,
            read_only: false,
            instances: vec![tool.id.into()],
        }],
        limits: Vec::new(),
        pins: BTreeMap::from([(tool.id.into(), pin.to_owned())]),
    };
    let fingerprint = view["mcp"]["tools_fingerprint"].as_str().unwrap();
    let (same, other) = (caller(fingerprint), caller(&"0".repeat(64)));
    let ask = |caller: &McpCaller, path: &str, message: &Value| {
        let request = agent
            .request(Method::POST, path)
            .header(CALLER_HEADER, caller.to_header())
            .header("accept", "application/json, text/event-stream");
        let is_stateless = message["params"]["_meta"].is_object();
        let request = if is_stateless {
            request
                .header("mcp-protocol-version", "2026-07-28")
                .header("mcp-method", message["method"].as_str().unwrap())
        } else {
            request
        };
        agent.send(request.json(message))
    };
    let one = format!("/v1/mcp/{}", tool.id);
    let meta = json!({"_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "0"},
        "io.modelcontextprotocol/clientCapabilities": {}}});

    // Nobody is asked for a ping or for the list of all servers.
    for caller in [&same, &other] {
        let ping = ask(caller, &one, &message(1, "ping", &json!({}))).await;
        assert_eq!(ping.expect(200)["result"], json!({}));
        let list = ask(caller, "/v1/mcp", &message(2, "tools/list", &meta)).await;
        let list = list.expect(200)["result"]["tools"].to_string();
        let is_same = caller.pins == same.pins;
        assert_eq!(list.contains("__note"), is_same, "{list}");
        assert_eq!(list.contains("its tools changed"), !is_same, "{list}");
    }
    assert!(!is_running(&agent, &tool).await);

    let begin = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "0"}});
    let begin = message(3, "initialize", &begin);
    let opened = ask(&same, &one, &begin).await.expect(200);
    assert!(opened["result"].is_object(), "{opened}");
    idle(&agent, &tool).await;
    let held = ask(&other, &one, &begin).await;
    assert_eq!(held.status, StatusCode::CONFLICT, "{}", held.body);
    assert_eq!(held.body["error"]["data"]["code"], "mcp_tools_changed");
}
