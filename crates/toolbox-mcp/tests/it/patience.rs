//! A server that is slow is not sick: the client's patience decides.

use std::time::{Duration, Instant};

use serde_json::json;
use toolbox_api::mcp::McpState;
use toolbox_mcp::bridge::Options;
use toolbox_mcp::limits::Limits;

use crate::world::{World, text_of};

const SOON: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_server_that_does_one_thing_at_a_time_takes_new_clients_while_it_is_busy() {
    let world = World::new(&[]).await;
    let client = world.client().await;
    world.becomes(McpState::Healthy, SOON).await;
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": "block", "arguments": {"ms": 25_000}}});
    let blocked = tokio::spawn(client.request(&call).send());
    let begun = Instant::now();
    let mut seen_busy = false;
    while begun.elapsed() < Duration::from_secs(23) {
        let came = Instant::now();
        assert_eq!(world.initialize().await.status(), 200);
        assert!(came.elapsed() < Duration::from_secs(5));
        let health = world.bridge.health().borrow().clone();
        assert_ne!(health.state, McpState::Unhealthy, "{}", health.evidence);
        if health.evidence.contains("it is busy") {
            seen_busy = true;
            // The list that was read last serves a client that comes now.
            let late = world.client().await;
            let list = json!({"jsonrpc": "2.0", "id": 2, "method": "tools/list"});
            assert!(late.post(&list).await[0]["result"]["tools"].is_array());
            assert!(came.elapsed() < Duration::from_secs(5));
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(seen_busy);
    let answer = crate::world::messages(blocked.await.unwrap().unwrap()).await;
    assert_eq!(text_of(&answer[0]), "blocked");
    world.becomes(McpState::Healthy, SOON).await;
}

#[tokio::test]
async fn a_call_ends_when_its_time_is_over_and_not_before() {
    let limits = Limits {
        call: Duration::from_secs(3),
        ..Limits::default()
    };
    let world = World::with(
        &[],
        Options {
            limits,
            ..Options::default()
        },
    )
    .await;
    let client = world.client().await;
    let slow = |ms| client.call("sleep", json!({"ms": ms}));
    assert_eq!(text_of(&slow(2000).await), "slept");
    let over = slow(20_000).await;
    let text = over["error"]["message"].as_str().unwrap();
    assert!(
        text.contains("did not answer tools/call within 3 s"),
        "{text}"
    );
}

#[tokio::test]
async fn a_server_that_needs_45_s_to_start_gets_its_clients() {
    let world = World::new(&["--start-ms", "45000"]).await;
    let begun = Instant::now();
    // The head of the answer comes before the answer, and has the session.
    let client = world.client().await;
    assert_eq!(client.echo("x").await, "x");
    assert!(begun.elapsed() > Duration::from_secs(40));
    world.becomes(McpState::Healthy, SOON).await;
}

#[tokio::test]
async fn half_a_surrogate_pair_in_a_description_makes_no_server_sick() {
    let world = World::new(&["--half"]).await;
    let (health, _) = world.becomes(McpState::Healthy, SOON).await;
    assert_eq!(health.tool_count, Some(12));
    let client = world.client().await;
    let list = json!({"jsonrpc": "2.0", "id": 2, "method": "tools/list"});
    let text = client
        .request(&list)
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(
        text.contains(r#""description":"\ud83d""#),
        "as the server wrote it"
    );
}
