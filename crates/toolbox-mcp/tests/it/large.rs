//! Long messages: carried, or refused at once with the limit that they broke.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use toolbox_api::mcp::McpState;
use toolbox_mcp::bridge::Options;
use toolbox_mcp::wire::body::Budget;

use crate::world::{World, text_of};

const MIB: usize = 1024 * 1024;

async fn nothing_is_held(budget: &Budget) {
    let begun = Instant::now();
    while budget.used() > 0 {
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "{} bytes are held",
            budget.used()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn sixteen_mebibytes_pass_in_each_direction() {
    let budget = Budget::default();
    let options = Options {
        budget: budget.clone(),
        ..Options::default()
    };
    let world = World::with(&[], options).await;
    let client = world.client().await;
    let answer = client.call("large", json!({"bytes": 16 * MIB})).await;
    assert_eq!(text_of(&answer).len(), 16 * MIB);
    let said = "y".repeat(16 * MIB);
    assert!(client.echo(&said).await == said);
    drop((answer, said));
    nothing_is_held(&budget).await;
}

#[tokio::test]
async fn an_answer_over_the_limit_is_an_error_of_its_call_at_once() {
    let world = World::new(&[]).await;
    let client = world.client().await;
    let begun = Instant::now();
    let answer = client.call("large", json!({"bytes": 30 * MIB})).await;
    assert!(
        begun.elapsed() < Duration::from_secs(20),
        "{:?}",
        begun.elapsed()
    );
    let error = &answer["error"];
    assert_eq!(error["data"]["reason"], "message_too_large", "{answer}");
    assert_eq!(error["data"]["limit_bytes"], 20 * MIB);
    assert!(error["message"].as_str().unwrap().contains("20971520"));
    assert_eq!(client.echo("x").await, "x");
    world
        .becomes(McpState::Healthy, Duration::from_secs(10))
        .await;

    let refused = client.request(&json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": "echo", "arguments": {"message": "y".repeat(21 * MIB)}}}));
    let refused = refused.send().await.unwrap();
    assert_eq!(refused.status(), 413);
    assert!(refused.text().await.unwrap().contains("20971520"));
}

#[tokio::test]
async fn memory_for_long_messages_is_bounded_over_all_servers() {
    let budget = Budget::new(4 * MIB);
    let options = || Options {
        budget: budget.clone(),
        ..Options::default()
    };
    let (one, two) = (
        World::with(&[], options()).await,
        World::with(&[], options()).await,
    );
    let client = one.client().await;
    let answer = client.call("large", json!({"bytes": 6 * MIB})).await;
    let text = answer["error"]["message"].as_str().unwrap();
    assert!(text.contains("memory for long messages"), "{text}");
    // The message is within its own limit.
    let data = &answer["error"]["data"];
    assert_eq!(data["reason"], "memory_used_up", "{answer}");
    assert!(data.get("limit_bytes").is_none(), "{answer}");
    let held = {
        let mut held = budget.hold();
        held.set(3 * MIB);
        held
    };
    let other = two.client().await;
    let message: Value = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": "echo", "arguments": {"message": "y".repeat(2 * MIB)}}});
    assert_eq!(other.request(&message).send().await.unwrap().status(), 503);
    drop(held);
    assert_eq!(other.post(&message).await.len(), 1);
    nothing_is_held(&budget).await;
}
