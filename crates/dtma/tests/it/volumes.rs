//! What is in a volume stays there until the instance is deleted.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use bollard::models::{ContainerCreateBody, ContainerInspectResponse, HostConfig};
use bollard::query_parameters::{CreateContainerOptions, RemoveVolumeOptions};
use reqwest::Method;
use serde_json::json;

use crate::agent::{Agent, Tool};
use crate::docker;

/// The test image with these lines after its own, under a name of its own.
pub async fn image(name: &str, instructions: &str) -> String {
    image_with(name, instructions, &[]).await
}

/// The same, with files for them.
pub async fn image_with(name: &str, instructions: &str, files: &[(&str, &[u8])]) -> String {
    docker::ensure_image().await;
    let tag = format!("dtma-test/{name}:1");
    let dockerfile = format!("FROM {}\n{instructions}\n", docker::IMAGE);
    let mut all = vec![("Dockerfile", dockerfile.as_bytes())];
    all.extend_from_slice(files);
    docker::build(&tag, &all).await;
    tag
}

/// Who owns a folder: user and group.
pub fn owner(folder: &str) -> (u32, u32) {
    let data = std::fs::metadata(folder).unwrap();
    (data.uid(), data.gid())
}

/// The name of the volume at `path`, and its folder on this machine.
pub fn volume(container: &ContainerInspectResponse, path: &str) -> (String, String) {
    let mounts = container.mounts.as_ref().unwrap();
    let mount = mounts
        .iter()
        .find(|m| m.destination.as_deref() == Some(path))
        .unwrap_or_else(|| panic!("no volume at {path}: {mounts:?}"));
    (mount.name.clone().unwrap(), mount.source.clone().unwrap())
}

pub async fn exists(volume: &str) -> bool {
    docker::connect().inspect_volume(volume).await.is_ok()
}

/// Waits until the tool has left so many bytes in its file, one at each start.
pub async fn started(folder: &str, times: u64) {
    let file = Path::new(folder).join("starts");
    let what = format!("{times} starts");
    docker::eventually(&what, Duration::from_secs(10), async || {
        let found = std::fs::metadata(&file).map_or(0, |data| data.len());
        assert!(found <= times, "{found} starts, not {times}");
        found == times
    })
    .await;
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
    started(&folder, 1).await;
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
    started(&folder, 3).await;
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
    started(&folder, 4).await;

    // A change of a stopped instance.
    let mut tool = tool;
    tool.body["generation"] = json!(8);
    let stopped = tool.with("env", json!({"A": "2"})).stopped();
    agent.deploy(&stopped).await;
    agent.command(&stopped, "start").await.expect(200);
    started(&folder, 5).await;

    // Somebody removes the container, with the volumes that Docker would call its own.
    let id = agent.container(&stopped).await.id.unwrap();
    docker::remove(&id).await;
    agent
        .until(&stopped, "a new container", Duration::from_secs(20), |v| {
            v["phase"] == "running" && v["container_id"] != json!(id)
        })
        .await;
    started(&folder, 6).await;

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
    started(&folder, 7).await;

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
    started(&folder, 2).await;
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
        // As an older agent made it: without a word about the volume.
        docker::make_again(&container, |host| HostConfig {
            mounts: None,
            ..host
        })
        .await;
        let (name, folder) = volume(&agent.container(&tool).await, "/data");
        assert_eq!(name.len(), 64, "Docker named it: {name}");
        agent.start().await;
        assert_eq!(agent.settled(&tool).await["phase"], "running");
        started(&folder, 1).await;

        let mut update = tool.clone().next().with("env", json!({"A": "1"}));
        if is_stopped {
            update = update.stopped();
        }
        agent.deploy(&update).await;
        agent.command(&update, "start").await.expect(200);
        assert_eq!(volume(&agent.container(&tool).await, "/data").0, name);
        started(&folder, 2).await;
        agent.deploy(&tool.clone().next().next()).await;
        started(&folder, 3).await;

        agent
            .call(Method::DELETE, &format!("/tools/{}", tool.id))
            .await
            .expect(200);
        assert!(!exists(&name).await);
    }
}

/// Makes a container as `docker commit` and `docker create -v` do: with the labels of the tool's, which the image carries.
async fn create_copy(original: ContainerInspectResponse, binds: &[String]) {
    let config = original.config.unwrap();
    let body = ContainerCreateBody {
        image: config.image,
        labels: config.labels,
        host_config: Some(HostConfig {
            binds: Some(binds.to_vec()),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    };
    let docker = docker::connect();
    docker
        .create_container(None::<CreateContainerOptions>, body)
        .await
        .unwrap();
}

/// The same of a tool that runs. The agent removes it.
async fn copy(agent: &Agent, tool: &Tool, binds: &[String]) {
    create_copy(agent.container(tool).await, binds).await;
    let what = "the copy is seen and removed";
    docker::eventually(what, Duration::from_secs(20), async || {
        agent.containers(tool).await.len() == 1
    })
    .await;
}

#[tokio::test]
async fn a_copy_of_the_container_does_not_change_its_volumes() {
    let image = image("copied", "VOLUME /data").await;
    let agent = Agent::new().await;
    let tool = Tool::new(&["count", "/data/starts"]).with("image", json!(image));
    agent.deploy(&tool).await;
    let (name, folder) = volume(&agent.container(&tool).await, "/data");
    copy(&agent, &tool, &[]).await;

    let tool = tool.next().with("env", json!({"A": "1"}));
    agent.deploy(&tool).await;
    assert_eq!(volume(&agent.container(&tool).await, "/data").0, name);
    started(&folder, 2).await;
    agent.delete(&tool).await.expect(200);
    assert!(!exists(&name).await);
}

#[tokio::test]
async fn a_copy_gives_no_volume_when_the_tools_own_container_is_gone() {
    let image = image("copied-and-gone", "VOLUME /data").await;
    let mut agent = Agent::new().await;
    let tool = Tool::new(&["count", "/data/starts"]).with("image", json!(image));
    agent.deploy(&tool).await;
    let original = agent.container(&tool).await;
    let (name, folder) = volume(&original, "/data");
    started(&folder, 1).await;
    let id = original.id.clone().unwrap();
    agent.kill();
    create_copy(original, &[]).await;
    docker::remove(&id).await;
    agent.start().await;
    agent
        .until(&tool, "a new container", Duration::from_secs(20), |v| {
            v["phase"] == "running" && v["settled"] == true
        })
        .await;
    assert_eq!(volume(&agent.container(&tool).await, "/data").0, name);
    started(&folder, 2).await;
    agent.delete(&tool).await.expect(200);
    assert!(!exists(&name).await);
}

#[tokio::test]
async fn a_volume_of_somebody_else_in_a_copy_outlives_the_instance() {
    let agent = Agent::new().await;
    let tool = Tool::new(&["sleep"]);
    agent.deploy(&tool).await;
    let other = format!("{}-backups", tool.container_name());
    copy(&agent, &tool, &[format!("{other}:/data")]).await;
    agent.delete(&tool).await.expect(200);
    assert!(exists(&other).await);
    docker::connect()
        .remove_volume(&other, None::<RemoveVolumeOptions>)
        .await
        .unwrap();
}

#[tokio::test]
async fn the_user_of_an_image_can_write_to_its_new_volumes() {
    let agent = Agent::new().await;
    let named = json!([{"name": "data", "path": "/data"}]);
    let users: &[(&str, &[u8])] = &[("passwd", b"root:x:0:0::/:\ntool:x:1234:77::/:\n")];
    let of_1000: &[(&str, &[u8])] = &[("empty/", b"")];
    let cases = [
        ("writes-as-1000", "USER 1000", users, true, (1000, 0)),
        (
            "writes-to-volume",
            "VOLUME /data\nUSER 1000:50",
            users,
            false,
            (1000, 50),
        ),
        (
            "writes-by-name",
            "COPY passwd /etc/passwd\nUSER tool",
            users,
            true,
            (1234, 77),
        ),
        (
            "writes-as-root",
            "COPY --chown=1000:1000 empty /data",
            of_1000,
            true,
            (0, 0),
        ),
    ];
    for (name, instructions, files, has_volume, expected) in cases {
        let image = image_with(name, instructions, files).await;
        let mut tool = Tool::new(&["count", "/data/starts"]).with("image", json!(image));
        if has_volume {
            tool = tool.with("volumes", named.clone());
        }
        agent.deploy(&tool).await;
        let (volume, folder) = volume(&agent.container(&tool).await, "/data");
        started(&folder, 1).await;
        assert_eq!(owner(&folder), expected, "{name}");
        // The container that gave it its owner is gone, and so is what Docker made for that one.
        let next = tool.next().with("env", json!({"A": "1"}));
        agent.deploy(&next).await;
        assert_eq!(agent.containers(&next).await.len(), 1);
        started(&folder, 2).await;
        agent.delete(&next).await.expect(200);
        assert!(!exists(&volume).await);
    }
}

#[tokio::test]
async fn a_volume_with_data_keeps_its_owner() {
    let agent = Agent::new().await;
    let tool = Tool::new(&["count", "/data/starts"])
        .with("volumes", json!([{"name": "data", "path": "/data"}]));
    agent.deploy(&tool).await;
    let (_, folder) = volume(&agent.container(&tool).await, "/data");
    assert_eq!(owner(&folder), (0, 0));
    let other = tool.next().with("confinement", json!({"user": "1000"}));
    let view = agent.put(&other).await.expect(200);
    started(&folder, 2).await;
    assert_eq!(owner(&folder), (0, 0), "{view}");
    assert_eq!(view["update_failed"], true, "{view}");
    let message = view["reason"]["message"].as_str().unwrap();
    assert!(
        message.contains("it may lack a right") && message.contains("user says whom it runs as"),
        "{message}"
    );
}

#[tokio::test]
async fn an_image_that_begins_as_root_runs_with_the_capabilities_it_asks_for() {
    let agent = Agent::new().await;
    let image = image("drops", "VOLUME /data").await;
    let tool = Tool::new(&["drop", "/data"]).with("image", json!(image));
    let view = agent.put(&tool).await.expect(200);
    assert_eq!(view["reason"]["code"], "exited", "{view}");
    let message = view["reason"]["message"].as_str().unwrap();
    assert!(message.contains("CHOWN, SETUID, SETGID"), "{message}");
    let with = tool.next().with(
        "confinement",
        json!({"add_capabilities": ["CHOWN", "SETUID", "SETGID"]}),
    );
    agent.deploy(&with).await;
    let (_, folder) = volume(&agent.container(&with).await, "/data");
    started(&folder, 1).await;
    assert_eq!(owner(&folder), (999, 999));
    // Without them it runs as the user that it would have become.
    let as_user = Tool::new(&["count", "/data/starts"])
        .with("image", json!(image))
        .with("confinement", json!({"user": "999:999"}));
    agent.deploy(&as_user).await;
    let container = agent.container(&as_user).await;
    let (_, folder) = volume(&container, "/data");
    started(&folder, 1).await;
    assert_eq!(owner(&folder), (999, 999));
    assert_eq!(container.config.unwrap().user.as_deref(), Some("999:999"));
}
