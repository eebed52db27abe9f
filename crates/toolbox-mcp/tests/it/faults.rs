//! How servers fail, and what is said of it. In no case may a server that does not work be called healthy.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;
use toolbox_api::mcp::McpState;
use toolbox_mcp::bridge::Options;
use toolbox_mcp::redact::Redactor;

use crate::world::{World, kill};

const SOON: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_killed_server_answers_again_in_the_same_session_within_3_s() {
    let world = World::new(&[]).await;
    let client = world.client().await;
    world.becomes(McpState::Healthy, SOON).await;
    let pid = client.pid().await;
    let call = json!({"jsonrpc": "2.0", "id": 9, "method": "tools/call",
        "params": {"name": "sleep", "arguments": {"ms": 20_000}}});
    let under_way = tokio::spawn(client.request(&call).send());
    // By then it has reached the server.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let killed = Instant::now();
    kill(pid, Signal::KILL);
    let failed: serde_json::Value = under_way.await.unwrap().unwrap().json().await.unwrap();
    assert_eq!(failed["id"], 9);
    let text = failed["error"]["message"].as_str().unwrap();
    assert!(
        text.contains("was killed by signal 9") && text.contains("tools/call"),
        "{text}"
    );
    assert_eq!(client.echo("again").await, "again");
    assert!(
        killed.elapsed() < Duration::from_secs(3),
        "{:?}",
        killed.elapsed()
    );
    assert_ne!(client.pid().await, pid);
    world.becomes(McpState::Healthy, SOON).await;
}

#[tokio::test]
async fn a_server_that_dies_in_a_call_says_so_to_its_caller() {
    let world = World::new(&[]).await;
    let client = world.client().await;
    let died = client.call("die", json!({})).await;
    let text = died["error"]["message"].as_str().unwrap();
    assert!(text.contains("exited with code 7"), "{text}");
    assert_eq!(client.echo("x").await, "x");
}

#[tokio::test]
async fn a_server_that_exits_at_once_is_unhealthy_and_callers_hear_why_without_the_secret() {
    let options = Options {
        redactor: Redactor::new(["s3cr3t-canary"]),
        ..Options::default()
    };
    let say = "fatal: API_KEY missing (token s3cr3t-canary)";
    let world = World::with(&["--exit", "1", "--say", say], options).await;
    let (health, _) = world.becomes(McpState::Unhealthy, SOON).await;
    assert!(
        health.evidence.contains("exited with code 1"),
        "{}",
        health.evidence
    );
    tokio::time::sleep(Duration::from_secs(6)).await;
    let health = world.bridge.health().borrow().clone();
    assert_eq!(health.state, McpState::Unhealthy);
    assert!(health.evidence.contains("crash loop") && health.evidence.contains("API_KEY missing"));
    let begun = Instant::now();
    let response = world.initialize().await;
    assert_eq!(response.status(), 503);
    let text = response.text().await.unwrap();
    assert!(
        text.contains("API_KEY missing") && begun.elapsed() < SOON,
        "{text}"
    );
    assert!(!text.contains("s3cr3t-canary") && !health.evidence.contains("s3cr3t-canary"));
}

#[tokio::test]
async fn a_hung_server_is_seen_within_15_s_and_takes_new_sessions_all_the_same() {
    let world = World::new(&[]).await;
    let client = world.client().await;
    world.becomes(McpState::Healthy, SOON).await;
    let pid = client.pid().await;
    kill(pid, Signal::STOP);
    let (health, took) = world
        .becomes(McpState::Unhealthy, Duration::from_secs(15))
        .await;
    assert!(
        health.evidence.contains("ping was not answered within 5 s"),
        "{}",
        health.evidence
    );
    println!("a hung server was seen after {took:?}");
    // What is known of the server serves the client, whose own patience decides.
    assert_eq!(world.initialize().await.status(), 200);
    kill(pid, Signal::CONT);
    let (_, took) = world
        .becomes(McpState::Healthy, Duration::from_secs(10))
        .await;
    println!("and again healthy {took:?} after it went on");
    assert_eq!(client.pid().await, pid);
}

#[tokio::test]
async fn a_server_that_never_answers_is_not_healthy() {
    let world = World::new(&["--silent"]).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(world.state(), McpState::Starting);
    let evidence = world.bridge.health().borrow().evidence.clone();
    assert!(
        evidence.contains("has not answered the handshake")
            && evidence.contains("set transport to streamable-http"),
        "{evidence}"
    );
}

#[tokio::test]
async fn a_slow_server_is_degraded_and_its_calls_arrive() {
    let world = World::new(&["--slow-ms", "2500"]).await;
    let (health, _) = world
        .becomes(McpState::Degraded, Duration::from_secs(20))
        .await;
    assert!(
        health.evidence.contains("more than 2000 ms"),
        "{}",
        health.evidence
    );
    assert!(health.latency_ms.unwrap() >= 2500);
}

#[tokio::test]
async fn a_flood_holds_up_no_caller() {
    let world = World::new(&["--flood"]).await;
    let client = world.client().await;
    let begun = Instant::now();
    for turn in 0..20 {
        assert_eq!(client.echo(&turn.to_string()).await, turn.to_string());
    }
    println!("20 calls through a flood took {:?}", begun.elapsed());
}

#[tokio::test]
async fn garbage_is_not_mcp_and_chatter_is_degraded() {
    let world = World::new(&["--garbage", "--silent"]).await;
    let (health, _) = world.becomes(McpState::NotMcp, SOON).await;
    assert!(
        health.evidence.contains("Server listening on port 3000"),
        "{}",
        health.evidence
    );
    let world = World::new(&["--chatty"]).await;
    let (health, _) = world.becomes(McpState::Degraded, SOON).await;
    assert!(
        health.evidence.contains("no message"),
        "{}",
        health.evidence
    );
    assert_eq!(world.client().await.echo("x").await, "x");
}

#[tokio::test]
async fn a_command_that_is_not_there_is_unreachable() {
    use std::sync::Arc;
    use toolbox_mcp::bridge::start;
    use toolbox_mcp::child::ChildProcess;
    let process = ChildProcess::new("/no/such/program", [""; 0]);
    let (bridge, task) = start(Arc::new(process), Options::default());
    tokio::spawn(task);
    let mut health = bridge.health();
    let waiting = health.wait_for(|health| health.state == McpState::Unreachable);
    let found = tokio::time::timeout(SOON, waiting).await.unwrap().unwrap();
    assert!(
        found.evidence.contains("could not be started"),
        "{}",
        found.evidence
    );
}
