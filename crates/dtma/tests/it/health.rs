//! The health check that an image brings is shown, and decides whether the tool runs.

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::agent::{Agent, Tool};
use crate::docker;

/// The test image, healthy while `/data/ok` is there.
async fn image() -> String {
    image_with("checked", "--interval=1s --retries=2", "/data/ok").await
}

/// The test image, healthy while `file` is there.
async fn image_with(name: &str, options: &str, file: &str) -> String {
    docker::ensure_image().await;
    let tag = format!("dtma-test/{name}:1");
    let dockerfile = format!(
        "FROM {}\nHEALTHCHECK {options} --timeout=5s CMD [\"/fixture\", \"exists\", \"{file}\"]\n",
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

#[tokio::test]
async fn a_tool_that_is_paused_on_its_trial_goes_on_with_it() {
    let agent = Agent::new().await;
    let image = image_with("checked-late", "--interval=4s", "/fixture").await;
    let tool = Tool::new(&["sleep"]).with("image", json!(image));
    agent.deploy_for(&tool, 0).await.expect(202);
    docker::eventually("it runs", Duration::from_secs(10), async || {
        agent.containers(&tool).await.iter().any(docker::runs)
    })
    .await;
    let id = agent.container(&tool).await.id.unwrap();
    docker::connect().pause_container(&id).await.unwrap();
    let view = agent
        .until(&tool, "it is healthy", Duration::from_secs(20), |v| {
            v["phase"] == "running" && v["settled"] == true
        })
        .await;
    assert_eq!(
        (&view["restart_count"], &view["container_id"]),
        (&json!(0), &json!(id)),
        "{view}"
    );
}

#[tokio::test]
async fn an_update_that_is_paused_on_its_trial_is_not_rolled_back_for_it() {
    let agent = Agent::new().await;
    let tool = Tool::new(&["sleep"]);
    let before = agent.deploy(&tool).await;
    let image = image_with("checked-later", "--interval=4s --retries=3", "/fixture").await;
    let update = tool.clone().next().with("image", json!(image));
    agent.deploy_for(&update, 0).await.expect(202);
    let old = before["container_id"].as_str().unwrap();
    let next = async || {
        let found = agent.containers(&tool).await;
        let mut new = found.into_iter().filter(docker::runs).filter_map(|c| c.id);
        new.find(|id| id != old)
    };
    docker::eventually("the update runs", Duration::from_secs(20), async || {
        next().await.is_some()
    })
    .await;
    let id = next().await.unwrap();
    docker::connect().pause_container(&id).await.unwrap();
    let view = agent
        .until(
            &tool,
            "the update is settled",
            Duration::from_secs(30),
            |v| v["generation"] == 2 && v["phase"] == "running" && v["settled"] == true,
        )
        .await;
    assert_eq!(
        (
            &view["update_failed"],
            &view["container_id"],
            &view["health"]
        ),
        (&json!(false), &json!(id), &json!("healthy")),
        "{view}"
    );
}
