//! Streamable HTTP in both eras, as clients speak it.

use std::time::Duration;

use serde_json::{Value, json};
use toolbox_api::mcp::McpState;
use toolbox_mcp::limits::Limits;

use crate::world::{Client, World, messages, text_of};

const SOON: Duration = Duration::from_secs(5);

#[tokio::test]
async fn progress_comes_before_the_answer_with_the_callers_own_token() {
    let world = World::new(&[]).await;
    let client = world.client().await;
    let found = client
        .post(
            &json!({"jsonrpc": "2.0", "id": "call", "method": "tools/call", "params": {
            "name": "sleep", "arguments": {"ms": 80}, "_meta": {"progressToken": "mine"}}}),
        )
        .await;
    assert_eq!(found.len(), 5, "{found:?}");
    assert!(
        found[..4]
            .iter()
            .all(|m| m["params"]["progressToken"] == "mine")
    );
    assert_eq!(found[4]["id"], "call");
}

#[tokio::test]
async fn many_sessions_share_one_process() {
    let world = World::new(&[]).await;
    let mut pids = std::collections::BTreeSet::new();
    for _ in 0..16 {
        pids.insert(world.client().await.pid().await);
    }
    assert_eq!(pids.len(), 1);
}

#[tokio::test]
async fn the_server_can_ask_its_caller() {
    let world = World::new(&[]).await;
    let client = world.client().await;
    let mut listening = client.listen().send().await.unwrap();
    let call =
        json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "ask"}});
    let mut stream = client.request(&call).send().await.unwrap();
    let first = String::from_utf8(stream.chunk().await.unwrap().unwrap().to_vec()).unwrap();
    let asked: Value = serde_json::from_str(
        first
            .lines()
            .find_map(|l| l.strip_prefix("data: "))
            .unwrap(),
    )
    .unwrap();
    assert_eq!(asked["method"], "sampling/createMessage");
    let answer = json!({"jsonrpc": "2.0", "id": asked["id"], "result": {"answer": 42}});
    assert_eq!(client.request(&answer).send().await.unwrap().status(), 202);
    let rest = messages(stream).await;
    assert_eq!(text_of(&rest[0]), "\"ask-1\" 42");
    // What belongs to no call comes where the client listens.
    client.call("grow", json!({})).await;
    let news = listening.chunk().await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&news).contains("list_changed"));
}

/// Calls a tool that asks, and answers; what came of it.
async fn ask_and_answer(client: &Client<'_>, answer: u32) -> String {
    let call =
        json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "ask"}});
    let mut stream = client.request(&call).send().await.unwrap();
    let first = String::from_utf8(stream.chunk().await.unwrap().unwrap().to_vec()).unwrap();
    let asked = first.lines().find_map(|l| l.strip_prefix("data: "));
    let asked: Value = serde_json::from_str(asked.unwrap()).unwrap();
    assert_eq!(asked["method"], "sampling/createMessage", "{asked}");
    let reply = json!({"jsonrpc": "2.0", "id": asked["id"], "result": {"answer": answer}});
    assert_eq!(client.request(&reply).send().await.unwrap().status(), 202);
    text_of(messages(stream).await.last().unwrap())
}

#[tokio::test]
async fn nobody_is_asked_in_the_place_of_another() {
    let world = World::new(&[]).await;
    let idle = world.client().await;
    let mut listening = idle.listen().send().await.unwrap();
    let plain = world.client_as("2025-11-25", json!({})).await;
    let answer = plain.call("ask", json!({})).await;
    // The server took the refusal for its answer, and says so.
    assert_eq!(text_of(&answer), "\"ask-1\" null");
    let (one, two) = (world.client().await, world.client().await);
    let both = tokio::join!(ask_and_answer(&one, 1), ask_and_answer(&two, 2));
    assert_eq!(both, ("\"ask-1\" 1".to_owned(), "\"ask-1\" 2".to_owned()));
    let heard = tokio::time::timeout(Duration::from_millis(100), listening.chunk()).await;
    assert!(heard.is_err(), "{heard:?}");
}

#[tokio::test]
async fn a_change_of_tools_is_found_and_told() {
    let world = World::new(&[]).await;
    let client = world.client().await;
    let (before, _) = world.becomes(McpState::Healthy, SOON).await;
    client.call("grow", json!({})).await;
    let mut health = world.bridge.health();
    let found = health.wait_for(|h| h.tools_changed.is_some());
    let found = tokio::time::timeout(SOON, found)
        .await
        .unwrap()
        .unwrap()
        .clone();
    let change = found.tools_changed.clone().unwrap();
    assert_eq!(change.added, ["grown"]);
    assert_eq!(Some(change.from_fingerprint), before.tools_fingerprint);
    assert_ne!(found.tools_fingerprint, before.tools_fingerprint);
}

#[tokio::test]
async fn sessions_are_required_known_and_ended() {
    let world = World::new(&[]).await;
    let list = json!({"jsonrpc": "2.0", "id": 3, "method": "tools/list"});
    assert_eq!(world.request(&list).send().await.unwrap().status(), 400);
    for unknown in ["6f0c0c4e-7a3e-4f0a-9f65-0c35b4a1c7a0", "no-such"] {
        let request = world.request(&list).header("mcp-session-id", unknown);
        assert_eq!(request.send().await.unwrap().status(), 404);
    }
    let client = world.client().await;
    let delete = || {
        world
            .http
            .delete(&world.url)
            .header("mcp-session-id", &client.session)
    };
    assert_eq!(delete().send().await.unwrap().status(), 204);
    assert_eq!(delete().send().await.unwrap().status(), 404);
    assert_eq!(client.request(&list).send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn what_is_no_proper_request_is_refused() {
    let world = World::new(&[]).await;
    let refused = |body: &'static str, kind: &'static str, accept: &'static str| {
        let request = world
            .http
            .post(&world.url)
            .header("content-type", kind)
            .header("accept", accept);
        async move { request.body(body).send().await.unwrap().status().as_u16() }
    };
    let both = "application/json, text/event-stream";
    assert_eq!(refused("{", "application/json", both).await, 400);
    assert_eq!(refused("[]", "application/json", both).await, 400);
    assert_eq!(refused("{}", "text/plain", both).await, 415);
    assert_eq!(refused("{}", "application/json", "text/html").await, 406);
    let list = json!({"jsonrpc": "2.0", "id": 3, "method": "tools/list"});
    let other_page = world
        .request(&list)
        .header("origin", "https://evil.example");
    assert_eq!(other_page.send().await.unwrap().status(), 403);
    let version = world
        .request(&list)
        .header("mcp-protocol-version", "1999-01-01");
    assert_eq!(version.send().await.unwrap().status(), 400);
    let large = "x".repeat(Limits::default().message_bytes);
    let large = world
        .request(&json!({"jsonrpc": "2.0", "method": large}))
        .send()
        .await
        .unwrap();
    assert_eq!(large.status(), 413);
}

fn stateless(world: &World, method: &str, name: Option<&str>) -> reqwest::RequestBuilder {
    let mut message = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": {"_meta": {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {}}}});
    if let Some(name) = name {
        message["params"]["name"] = name.into();
        message["params"]["arguments"] = json!({"message": "hej"});
    }
    world
        .request(&message)
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", method)
}

#[tokio::test]
async fn the_stateless_era_needs_no_session_and_checks_its_headers() {
    let world = World::new(&["--era", "stateless"]).await;
    let (health, _) = world.becomes(McpState::Healthy, SOON).await;
    assert_eq!(health.protocol_version.as_deref(), Some("2026-07-28"));
    let call = stateless(&world, "tools/call", Some("echo"));
    let plain = call
        .try_clone()
        .unwrap()
        .header("mcp-name", "echo")
        .send()
        .await
        .unwrap();
    assert_eq!(text_of(&plain.json().await.unwrap()), "hej");
    let encoded = call
        .try_clone()
        .unwrap()
        .header("mcp-name", "=?base64?ZWNobw==?=");
    assert_eq!(encoded.send().await.unwrap().status(), 200);
    for wrong in [call.try_clone().unwrap(), call.header("mcp-name", "die")] {
        let response = wrong.send().await.unwrap();
        assert_eq!(response.status(), 400);
        let body: Value = response.json().await.unwrap();
        assert_eq!(
            (&body["error"]["code"], &body["id"]),
            (&json!(-32020), &json!(1))
        );
    }
    assert_eq!(
        stateless(&world, "no/such", None)
            .send()
            .await
            .unwrap()
            .status(),
        404
    );
    let mut listening = stateless(&world, "subscriptions/listen", None)
        .send()
        .await
        .unwrap();
    let first = listening.chunk().await.unwrap().unwrap();
    assert!(
        String::from_utf8_lossy(&first).contains(r#""io.modelcontextprotocol/subscriptionId":1"#)
    );
    // Nobody of the older era can be served, and hears why.
    let refused = world.initialize().await;
    assert_eq!(refused.status(), 400);
    assert!(refused.text().await.unwrap().contains("2026-07-28"));
}

#[tokio::test]
async fn mirrored_parameters_must_be_those_of_the_body() {
    let world = World::new(&["--era", "stateless"]).await;
    world.becomes(McpState::Healthy, SOON).await;
    for (header, status) in [
        (Some("a:b"), 200),
        (Some("=?base64?YTpi?="), 200),
        (None, 400),
        (Some("a:c"), 400),
        (Some("=?base64?YTpi"), 400),
        (Some("=?base64?YTp?="), 400),
    ] {
        let mut message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
            "name": "touch", "arguments": {"uri": "a:b"}, "_meta": {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": {}}}});
        let call = |message: &Value| {
            let call = world
                .request(message)
                .header("mcp-protocol-version", "2026-07-28")
                .header("mcp-method", "tools/call")
                .header("mcp-name", "touch");
            match header {
                Some(value) => call.header("Mcp-Param-URI", value).send(),
                None => call.send(),
            }
        };
        let response = call(&message).await.unwrap();
        assert_eq!(response.status(), status, "{header:?}");
        let body: Value = response.json().await.unwrap();
        assert_eq!(body["error"]["code"] == -32020, status == 400, "{body}");
        // Where the body has no such parameter, there must be no such header.
        message["params"]["arguments"] = json!({});
        let wanted = if header.is_some() { 400 } else { 200 };
        assert_eq!(call(&message).await.unwrap().status(), wanted, "{header:?}");
    }
}

#[tokio::test]
async fn a_revision_that_is_none_is_answered_with_those_the_server_has() {
    for (arguments, supported) in [
        (&["--era", "stateless"][..], json!(["2026-07-28"])),
        (
            &["--era", "sessions"],
            json!(["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"]),
        ),
    ] {
        let world = World::new(arguments).await;
        world.becomes(McpState::Healthy, SOON).await;
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": {
            "io.modelcontextprotocol/protocolVersion": "2099-01-01",
            "io.modelcontextprotocol/clientCapabilities": {}}}});
        let call = world
            .request(&message)
            .header("mcp-protocol-version", "2099-01-01");
        let response = call.send().await.unwrap();
        assert_eq!(response.status(), 400);
        let error = response.json::<Value>().await.unwrap()["error"].take();
        assert_eq!(error["code"], -32022);
        assert_eq!(error["data"]["requested"], "2099-01-01");
        assert_eq!(error["data"]["supported"], supported);
    }
}

#[tokio::test]
async fn a_server_of_both_eras_serves_both_at_once() {
    let world = World::new(&["--era", "both"]).await;
    let client = world.client().await;
    assert_eq!(client.echo("old").await, "old");
    let call = stateless(&world, "tools/call", Some("echo")).header("mcp-name", "echo");
    assert_eq!(
        text_of(&call.send().await.unwrap().json().await.unwrap()),
        "hej"
    );
}

#[tokio::test]
async fn a_client_of_the_new_era_is_told_to_initialize_an_older_server() {
    let world = World::new(&["--shy"]).await;
    world.becomes(McpState::Healthy, SOON).await;
    let response = stateless(&world, "server/discover", None)
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 400);
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["error"]["code"], -32000);
    assert!(
        body["error"]["message"]
            .as_str()
            .unwrap()
            .contains("2025-11-25")
    );
}
