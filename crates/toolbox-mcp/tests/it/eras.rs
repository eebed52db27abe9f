//! The bridge asks a server nothing that a client would not ask, and so harms none that is older than the question.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use toolbox_api::mcp::McpState;

use crate::world::World;

const SOON: Duration = Duration::from_secs(5);

fn starts(file: &Path) -> usize {
    std::fs::read_to_string(file).unwrap().lines().count()
}

/// What a client of the stateless era gets.
async fn stateless(world: &World) -> (u16, Value) {
    let meta = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {}});
    let message =
        json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": meta}});
    let answer = world
        .request(&message)
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", "tools/list")
        .send()
        .await
        .unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test]
async fn a_server_that_takes_initialize_first_and_nothing_else_starts_once() {
    let folder = tempfile::tempdir().unwrap();
    let count = folder.path().join("starts");
    let world = World::counted(&count, &["--shy", "--brittle"]).await;
    let client = world.client().await;
    assert_eq!(client.echo("x").await, "x");
    world.becomes(McpState::Healthy, SOON).await;
    assert_eq!(starts(&count), 1);
}

#[tokio::test]
async fn a_server_that_ends_when_a_stateless_client_comes_serves_on_and_is_not_asked_again() {
    let folder = tempfile::tempdir().unwrap();
    let count = folder.path().join("starts");
    let world = World::counted(&count, &["--brittle"]).await;
    let client = world.client().await;
    world.becomes(McpState::Healthy, SOON).await;
    for _ in 0..3 {
        let (status, body) = stateless(&world).await;
        assert_eq!(
            (status, &body["error"]["code"]),
            (400, &json!(-32000)),
            "{body}"
        );
        assert_eq!(client.echo("x").await, "x");
    }
    assert_eq!(starts(&count), 2);
    assert_eq!(
        world.bridge.memory().borrow().era.only,
        Some(toolbox_mcp::memory::Only::Sessions)
    );
}

#[tokio::test]
async fn servers_of_each_era_serve_its_clients() {
    let world = World::new(&["--era", "stateless"]).await;
    assert_eq!(stateless(&world).await.0, 200);
    let world = World::new(&["--era", "both"]).await;
    assert_eq!(stateless(&world).await.0, 200);
    assert_eq!(world.client().await.echo("x").await, "x");
}
