//! The health check that an image brings is shown, and decides whether the tool runs.

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::agent::{Agent, Tool};
use crate::docker;

/// The test image, healthy while `/data/ok` is there.
async fn image() -> String {
    docker::ensure_image().await;
    let tag = "dtma-test/checked:1".to_owned();
    let dockerfile = format!(
        "FROM {}\nHEALTHCHECK --interval=1s --timeout=5s --retries=2 CMD [\"/fixture\", \"exists\", \"/data/ok\"]\n",
        docker::IMAGE
    );
    docker::build(&tag, &[("Dockerfile", dockerfile.as_bytes())]).await;
    tag
}

async fn data(agent: &Agent, tool: &Tool) -> String {
    let mounts = agent.container(tool).await.mounts.unwrap();
    mounts[0].source.clone().unwrap()
}

#[tokio::test]
async fn a_tool_runs_once_its_health_check_succeeds() {
    let agent = Agent::new().await;
    let tool = Tool::new(&["sleep"])
        .with("image", json!(image().await))
        .with("volumes", json!([{"name": "data", "path": "/data"}]));
    let view = agent.put(&tool).await.expect(200);
    assert_eq!(
        (&view["phase"], &view["reason"]["code"], &view["health"]),
        (&json!("error"), &json!("unhealthy"), &json!("unhealthy")),
        "{view}"
    );
    // It runs on, and heals by itself.
    let id = view["container_id"].clone();
    let ok = Path::new(&data(&agent, &tool).await).join("ok");
    std::fs::write(&ok, "").unwrap();
    let view = agent
        .until(&tool, "it is healthy", Duration::from_secs(20), |v| {
            v["phase"] == "running" && v["settled"] == true
        })
        .await;
    assert_eq!(
        (&view["health"], &view["container_id"], &view["reason"]),
        (&json!("healthy"), &id, &json!(null))
    );
    // Now a start waits for the check.
    agent.command(&tool, "stop").await.expect(200);
    let begun = std::time::Instant::now();
    let view = agent.command(&tool, "start").await.expect(200);
    assert_eq!(
        (&view["phase"], &view["health"]),
        (&json!("running"), &json!("healthy")),
        "{view}"
    );
    assert!(begun.elapsed() >= Duration::from_secs(1));
    // What fails later is shown; the tool goes on serving.
    std::fs::remove_file(&ok).unwrap();
    let view = agent
        .until(&tool, "it is unhealthy", Duration::from_secs(20), |v| {
            v["health"] == "unhealthy"
        })
        .await;
    assert_eq!(view["phase"], "running");
}

#[tokio::test]
async fn an_update_whose_health_check_fails_is_rolled_back() {
    let agent = Agent::new().await;
    let tool = Tool::new(&["sleep"]);
    let before = agent.deploy(&tool).await;
    assert_eq!(before["health"], json!(null));
    let update = tool.clone().next().with("image", json!(image().await));
    let view = agent.put(&update).await.expect(200);
    assert_eq!(
        (
            &view["phase"],
            &view["update_failed"],
            &view["reason"]["code"]
        ),
        (&json!("running"), &json!(true), &json!("unhealthy")),
        "{view}"
    );
    assert_eq!(view["container_id"], before["container_id"]);
}
