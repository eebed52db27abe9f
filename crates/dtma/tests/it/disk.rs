//! What tools keep on the disk is limited.

use std::time::Duration;

use bollard::models::ContainerInspectResponse;
use serde_json::{Value, json};

use crate::agent::{Agent, Tool};
use crate::docker;

const MIB: u64 = 1 << 20;

/// A tool that writes so many MiB to a file, and may keep 64.
fn filling(mib: u32, file: &str) -> Tool {
    Tool::new(&["fill", &mib.to_string(), file]).with(
        "resources",
        json!({"memory_bytes": 64 * MIB, "disk_bytes": 64 * MIB}),
    )
}

async fn until_stopped(agent: &Agent, tool: &Tool, code: &str) -> Value {
    let view = agent
        // A count is made after ten times as long as the one before took.
        .until(tool, "it is stopped", Duration::from_mins(3), |v| {
            v["phase"] == "error" && v["settled"] == true && v["reason"]["code"] == code
        })
        .await;
    assert!(!docker::runs(&agent.container(tool).await));
    view
}

fn started_at(container: &ContainerInspectResponse) -> String {
    let state = container.state.clone().unwrap();
    state.started_at.unwrap()
}

#[tokio::test]
async fn a_tool_that_fills_its_layer_is_stopped_until_it_is_changed() {
    let mut agent = Agent::new().await;
    let tool = filling(400, "/filled");
    // It may be stopped before its trial has ended.
    agent.put(&tool).await.expect(200);
    let view = until_stopped(&agent, &tool, "disk_limit_exceeded").await;
    let message = view["reason"]["message"].as_str().unwrap();
    for part in [
        "its limit is 64 MiB",
        "0 bytes in its volumes",
        "raise the limit (resources.disk)",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    println!("stopped: {message}");
    let begun = started_at(&agent.container(&tool).await);

    // Neither time, nor another life of the agent, nor a start changes that.
    tokio::time::sleep(Duration::from_secs(3)).await;
    agent.kill();
    agent.start().await;
    until_stopped(&agent, &tool, "disk_limit_exceeded").await;
    let again = agent.command(&tool, "start").await.expect(200);
    assert_eq!(again["reason"]["code"], "disk_limit_exceeded", "{again}");
    agent.kill();
    agent.start().await;
    until_stopped(&agent, &tool, "disk_limit_exceeded").await;
    assert_eq!(started_at(&agent.container(&tool).await), begun);

    // A change makes its container anew, without what it wrote.
    let mut changed = tool.next().with("command", json!(["sleep"]));
    changed.body["generation"] = json!(10);
    agent.deploy(&changed).await;
}

#[tokio::test]
async fn a_tool_that_fills_its_volume_runs_again_with_a_higher_limit() {
    let agent = Agent::new().await;
    let tool =
        filling(200, "/data/filled").with("volumes", json!([{"name": "data", "path": "/data"}]));
    agent.put(&tool).await.expect(200);
    let view = until_stopped(&agent, &tool, "disk_limit_exceeded").await;
    let message = view["reason"]["message"].as_str().unwrap();
    assert!(
        message.contains("0 bytes outside them") || message.contains("KiB outside them"),
        "{message}"
    );
    // What is in a volume stays, so a new container does not help.
    let mut update = tool.clone().next().with("command", json!(["sleep"]));
    let refused = agent.put(&update).await.expect(200);
    assert_eq!(
        (&refused["phase"], &refused["reason"]["code"]),
        (&json!("error"), &json!("disk_limit_exceeded")),
        "{refused}"
    );
    update.body["generation"] = json!(3);
    let update = update.with(
        "resources",
        json!({"memory_bytes": 64 * MIB, "disk_bytes": 1024 * MIB}),
    );
    agent.deploy(&update).await;
}

#[tokio::test]
async fn a_tool_that_keeps_less_than_its_limit_is_left_alone() {
    let agent = Agent::new().await;
    let tool = Tool::new(&["fill", "100"]);
    let view = agent.deploy(&tool).await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    let later = agent.view(&tool).await.expect(200);
    assert_eq!(later["started_at"], view["started_at"]);
    assert_eq!(later["phase"], "running");
}

#[tokio::test]
async fn a_disk_that_is_nearly_full_gets_no_image_and_who_fills_it_is_stopped() {
    let mut agent = Agent::prepare();
    docker::ensure_image().await;
    // No disk of this machine has so much.
    agent.extra = vec!["--min-free-disk=1048576".into()];
    agent.start().await;
    let pulled = Tool::new(&["sleep"]).with("image", json!("127.0.0.1:1/team/tool:1"));
    let view = agent.put(&pulled).await.expect(200);
    assert_eq!(view["reason"]["code"], "no_space", "{view}");
    let message = view["reason"]["message"].as_str().unwrap();
    assert!(message.contains("1 TiB are kept free"), "{message}");

    let quiet = Tool::new(&["sleep"]);
    agent.deploy(&quiet).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let tool = Tool::new(&["fill", "200"]);
    agent.put(&tool).await.expect(200);
    let view = until_stopped(&agent, &tool, "no_space").await;
    let message = view["reason"]["message"].as_str().unwrap();
    assert!(message.contains("wrote most"), "{message}");
    assert_eq!(agent.settled(&quiet).await["phase"], "running");
    // It is not started while the disk is short.
    let again = agent.command(&tool, "start").await.expect(200);
    assert_eq!(again["reason"]["code"], "no_space", "{again}");
    assert!(!docker::runs(&agent.container(&tool).await));
}

#[tokio::test]
async fn an_agent_that_does_not_see_dockers_folders_asks_docker() {
    let info = docker::connect().info().await.unwrap();
    let root = std::path::PathBuf::from(info.docker_root_dir.unwrap());
    let mut agent = Agent::prepare();
    docker::ensure_image().await;
    let hide = format!(
        "mount -t tmpfs none {} && exec \"$@\"",
        root.parent().unwrap().display()
    );
    agent.wrapper = [
        "unshare",
        "--mount",
        "--propagation",
        "private",
        "sh",
        "-c",
        &hide,
        "sh",
    ]
    .map(str::to_owned)
    .to_vec();
    agent.start().await;
    let layer = filling(100, "/filled");
    let volume =
        filling(100, "/data/filled").with("volumes", json!([{"name": "data", "path": "/data"}]));
    agent.put(&layer).await.expect(200);
    agent.put(&volume).await.expect(200);
    until_stopped(&agent, &layer, "disk_limit_exceeded").await;
    let view = until_stopped(&agent, &volume, "disk_limit_exceeded").await;
    let message = view["reason"]["message"].as_str().unwrap();
    // The file may be half written when it is counted.
    let (before, _) = message.split_once(" MiB in its volumes").expect(message);
    let counted: f64 = before
        .rsplit([' ', '('])
        .next()
        .unwrap()
        .parse()
        .expect(message);
    assert!((64.0..=100.0).contains(&counted), "{message}");
}
