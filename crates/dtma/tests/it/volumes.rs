//! What is in a volume stays there until the instance is deleted.

use std::path::Path;
use std::time::Duration;

use bollard::models::{ContainerInspectResponse, HostConfig};
use reqwest::Method;
use serde_json::json;

use crate::agent::{Agent, Tool};
use crate::docker;

/// The test image with these lines after its own, under a name of its own.
async fn image(name: &str, instructions: &str) -> String {
    docker::ensure_image().await;
    let tag = format!("dtma-test/{name}:1");
    let dockerfile = format!("FROM {}\n{instructions}\n", docker::IMAGE);
    docker::build(&tag, &[("Dockerfile", dockerfile.as_bytes())]).await;
    tag
}

/// The name of the volume at `path`, and its folder on this machine.
fn volume(container: &ContainerInspectResponse, path: &str) -> (String, String) {
    let mounts = container.mounts.as_ref().unwrap();
    let mount = mounts
        .iter()
        .find(|m| m.destination.as_deref() == Some(path))
        .unwrap_or_else(|| panic!("no volume at {path}: {mounts:?}"));
    (mount.name.clone().unwrap(), mount.source.clone().unwrap())
}

async fn exists(volume: &str) -> bool {
    docker::connect().inspect_volume(volume).await.is_ok()
}

/// How often the tool found its file and left a byte in it.
fn starts(folder: &str) -> u64 {
    std::fs::metadata(Path::new(folder).join("starts"))
        .unwrap()
        .len()
}

#[tokio::test]
async fn the_volume_that_an_image_declares_survives_whatever_makes_the_container_anew() {
    let image = image("declares", "VOLUME /data /other/").await;
    let mut agent = Agent::new().await;
    let tool = Tool::new(&["count", "/data/starts"]).with("image", json!(image));
    agent.deploy(&tool).await;
    let first = agent.container(&tool).await;
    let (name, folder) = volume(&first, "/data");
    let (other, _) = volume(&first, "/other");
    assert_eq!(starts(&folder), 1);
    let host = first.config.unwrap().hostname;

    // A variable, and a limit.
    let tool = tool.next().with("env", json!({"A": "1"}));
    agent.deploy(&tool).await;
    let tool = tool
        .next()
        .with("resources", json!({"memory_bytes": 50_331_648}));
    agent.deploy(&tool).await;
    let container = agent.container(&tool).await;
    assert_eq!(volume(&container, "/data").0, name);
    assert_eq!(starts(&folder), 3);
    assert_eq!(
        container.config.as_ref().unwrap().hostname,
        host,
        "some tools keep their data under the name of their host"
    );

    // An update that is rolled back.
    let broken = tool
        .clone()
        .next()
        .with("entrypoint", json!(["/not-there"]));
    let view = agent.put(&broken).await.expect(200);
    assert_eq!(view["update_failed"], true, "{view}");
    // The old container is there still, and started again.
    assert_eq!(starts(&folder), 4);

    // A change of a stopped instance.
    let mut tool = tool;
    tool.body["generation"] = json!(8);
    let stopped = tool.with("env", json!({"A": "2"})).stopped();
    agent.deploy(&stopped).await;
    agent.command(&stopped, "start").await.expect(200);
    assert_eq!(starts(&folder), 5);

    // Somebody removes the container, with the volumes that Docker would call its own.
    let id = agent.container(&stopped).await.id.unwrap();
    docker::remove(&id).await;
    agent
        .until(&stopped, "a new container", Duration::from_secs(20), |v| {
            v["phase"] == "running" && v["container_id"] != json!(id)
        })
        .await;
    assert_eq!(starts(&folder), 6);

    // The agent loses what it knows.
    agent.kill();
    std::fs::remove_file(agent.record(&stopped)).unwrap();
    agent.start().await;
    let mut tool = stopped;
    tool.body["generation"] = json!(20);
    tool.body["desired"] = json!("running");
    let tool = tool.with("env", json!({"A": "3"}));
    agent.deploy(&tool).await;
    assert_eq!(volume(&agent.container(&tool).await, "/data").0, name);
    assert_eq!(starts(&folder), 7);

    agent.delete(&tool).await.expect(200);
    assert!(!exists(&name).await && !exists(&other).await);
}

#[tokio::test]
async fn a_volume_of_the_user_takes_the_place_of_the_one_an_image_declares() {
    let image = image("declares-one", "VOLUME /data").await;
    let agent = Agent::new().await;
    let tool = Tool::new(&["count", "/data/starts"]).with("image", json!(image));
    agent.deploy(&tool).await;
    let (name, folder) = volume(&agent.container(&tool).await, "/data");
    let own = tool
        .clone()
        .next()
        .with("volumes", json!([{"name": "mine", "path": "/data"}]));
    agent.deploy(&own).await;
    let container = agent.container(&tool).await;
    assert_eq!(container.mounts.as_ref().unwrap().len(), 1);
    assert!(volume(&container, "/data").0.ends_with("-mine"));
    // What was in the other one is there when it is wanted again.
    let mut back = tool;
    back.body["generation"] = json!(3);
    agent.deploy(&back).await;
    assert_eq!(volume(&agent.container(&back).await, "/data").0, name);
    assert_eq!(starts(&folder), 2);
}

#[tokio::test]
async fn a_volume_that_docker_named_is_carried_over_and_goes_with_the_instance() {
    let image = image("declares-another", "VOLUME /data").await;
    for is_stopped in [false, true] {
        let mut agent = Agent::new().await;
        let tool = Tool::new(&["count", "/data/starts"]).with("image", json!(image));
        agent.deploy(&tool).await;
        let container = agent.container(&tool).await;
        agent.kill();
        // As an agent of before made it: without a word about the volume.
        docker::make_again(&container, |host| HostConfig {
            mounts: None,
            ..host
        })
        .await;
        let (name, folder) = volume(&agent.container(&tool).await, "/data");
        assert_eq!(name.len(), 64, "Docker named it: {name}");
        agent.start().await;
        assert_eq!(agent.settled(&tool).await["phase"], "running");
        assert_eq!(starts(&folder), 1);

        let mut update = tool.clone().next().with("env", json!({"A": "1"}));
        if is_stopped {
            update = update.stopped();
        }
        agent.deploy(&update).await;
        agent.command(&update, "start").await.expect(200);
        assert_eq!(volume(&agent.container(&tool).await, "/data").0, name);
        assert_eq!(starts(&folder), 2);
        agent.deploy(&tool.clone().next().next()).await;
        assert_eq!(starts(&folder), 3);

        agent
            .call(Method::DELETE, &format!("/tools/{}", tool.id))
            .await
            .expect(200);
        assert!(!exists(&name).await);
    }
}
