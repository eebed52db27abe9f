//! Whose an empty volume is: that of the container that starts, and of no other.

use std::time::Duration;

use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{CreateContainerOptionsBuilder, RemoveVolumeOptions};
use reqwest::Method;
use serde_json::json;

use crate::agent::{Agent, Tool};
use crate::docker;
use crate::volumes::{exists, owner, started, volume};

fn with_data(command: &[&str], user: &str) -> Tool {
    Tool::new(command)
        .with("volumes", json!([{"name": "data", "path": "/data"}]))
        .with("confinement", json!({"user": user}))
}

#[tokio::test]
async fn an_update_takes_no_volume_from_under_the_version_that_runs() {
    let agent = Agent::new().await;
    // It takes its ten seconds to end, so both containers are there for a while.
    let tool = with_data(&["deaf"], "1000");
    let view = agent.deploy(&tool).await;
    let (_, folder) = volume(&agent.container(&tool).await, "/data");
    assert_eq!(owner(&folder), (1000, 0));
    let old = view["container_id"].as_str().unwrap();

    let update = tool
        .clone()
        .next()
        .with("command", json!(["exit", "1"]))
        .with("confinement", json!({"user": "2000"}));
    let request = agent.request(Method::PUT, &format!("/tools/{}", tool.id));
    agent.send(request.json(&update.body)).await.expect(202);
    let docker = docker::connect();
    let mut both = 0;
    loop {
        let container = docker.inspect_container(old, None).await.unwrap();
        let owner = owner(&folder);
        if !docker::runs(&container) {
            break;
        }
        assert_eq!(owner, (1000, 0), "the old version runs");
        both += i32::from(agent.containers(&tool).await.len() == 2);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(both > 10, "both containers were seen only {both} times");
    let view = agent
        .until(&tool, "it is rolled back", Duration::from_secs(30), |v| {
            v["update_failed"] == true && v["phase"] == "running" && v["settled"] == true
        })
        .await;
    assert_eq!(view["container_id"], old);
    assert_eq!(owner(&folder), (1000, 0), "it is the old version's again");
}

#[tokio::test]
async fn a_container_whose_creation_nobody_saw_end_owns_its_volumes_once_it_starts() {
    let mut agent = Agent::new().await;
    let tool = with_data(&["count", "/data/starts"], "1000");
    agent.deploy(&tool).await;
    let container = agent.container(&tool).await;
    let (name, _) = volume(&container, "/data");
    agent.kill();
    // As it is after a creation that took longer than the agent waits: the container is there, and its volume is new.
    docker::remove(container.id.as_deref().unwrap()).await;
    let connection = docker::connect();
    connection
        .remove_volume(&name, None::<RemoveVolumeOptions>)
        .await
        .unwrap();
    let config = container.config.clone().unwrap();
    let body = ContainerCreateBody {
        image: config.image,
        user: config.user,
        cmd: config.cmd,
        labels: config.labels,
        host_config: container.host_config.clone(),
        ..ContainerCreateBody::default()
    };
    let options = CreateContainerOptionsBuilder::default()
        .name(docker::name(&container))
        .build();
    connection
        .create_container(Some(options), body)
        .await
        .unwrap();
    agent.start().await;
    let view = agent.settled(&tool).await;
    assert_eq!(view["phase"], "running", "{view}");
    let (_, folder) = volume(&agent.container(&tool).await, "/data");
    started(&folder, 1).await;
    assert_eq!(owner(&folder), (1000, 0));
    agent.delete(&tool).await.expect(200);
    assert!(!exists(&name).await);
}

#[tokio::test]
async fn a_volume_that_a_running_container_of_somebody_else_uses_keeps_its_owner() {
    let agent = Agent::new().await;
    let tool = with_data(&["sleep"], "1000");
    agent.deploy(&tool).await;
    let (name, folder) = volume(&agent.container(&tool).await, "/data");
    agent.command(&tool, "stop").await.expect(200);
    let host = bollard::models::HostConfig {
        binds: Some(vec![format!("{name}:/data")]),
        ..Default::default()
    };
    let other = docker::foreign(
        &format!("{}-user", tool.container_name()),
        ContainerCreateBody {
            host_config: Some(host),
            ..ContainerCreateBody::default()
        },
    )
    .await;
    let update = tool
        .clone()
        .next()
        .with("confinement", json!({"user": "2000"}));
    agent.deploy(&update).await;
    let seen = owner(&folder);
    docker::remove(&other).await;
    assert_eq!(seen, (1000, 0));
    // Once nobody else uses it, it is the tool's.
    agent.command(&update, "restart").await.expect(200);
    assert_eq!(owner(&folder), (2000, 0));
}
