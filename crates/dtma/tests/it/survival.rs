//! What survives: the agent's end, its state, other people's changes.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::agent::{Agent, Tool};
use crate::docker;

/// A tool with everything that must survive.
fn rich() -> Tool {
    Tool::named("Rich: 404/Zürich 🧰", &["http", "8080"])
        .with("env", json!({"TOKEN": "s3cret", "EMPTY": ""}))
        .with("ports", json!([{"container_port": 8080}]))
        .with("volumes", json!([{"name": "data", "path": "/data"}]))
        .with("transport", json!("streamable-http"))
        .with("mcp_path", json!("/mcp"))
        .with(
            "confinement",
            json!({"read_only_root": true, "tmpfs": ["/run"], "add_capabilities": ["CHOWN"]}),
        )
}

#[tokio::test]
async fn containers_outlive_the_agent_and_it_ends_quickly() {
    let mut agent = Agent::new().await;
    let tool = rich();
    let before = agent.deploy(&tool).await;
    // An open follower must not hold the agent.
    let follower = agent
        .request(Method::GET, &format!("/tools/{}/logs?follow=true", tool.id))
        .send()
        .await
        .unwrap();
    let (exit_code, duration) = agent.terminate().await;
    assert_eq!(exit_code, Some(0));
    assert!(duration < Duration::from_secs(5), "{duration:?}");
    drop(follower);
    assert!(docker::runs(&agent.container(&tool).await));
    agent.start().await;
    let after = agent.settled(&tool).await;
    assert_eq!(
        (&after["phase"], &after["container_id"]),
        (&json!("running"), &before["container_id"])
    );
    assert_eq!(
        after["started_at"], before["started_at"],
        "it was not touched"
    );
}

#[tokio::test]
async fn what_was_stopped_stays_stopped_and_what_ended_meanwhile_runs_again() {
    let mut agent = Agent::new().await;
    let (stopped, running) = (rich(), rich());
    agent.deploy(&stopped).await;
    agent.command(&stopped, "stop").await.expect(200);
    let before = agent.deploy(&running).await;
    agent.kill();
    docker::connect()
        .stop_container(before["container_id"].as_str().unwrap(), None)
        .await
        .unwrap();
    agent.start().await;
    assert_eq!(agent.settled(&stopped).await["phase"], "stopped");
    let after = agent.settled(&running).await;
    assert_eq!(
        (&after["phase"], &after["container_id"]),
        (&json!("running"), &before["container_id"])
    );
}

#[tokio::test]
async fn a_tool_that_crashes_while_the_agent_is_down_runs_again_once_it_is_back() {
    let mut agent = Agent::new().await;
    // Long enough to pass its trial.
    let tool = Tool::new(&["later", "3"]);
    let before = agent.deploy(&tool).await;
    agent.kill();
    let has_ended = || async { !docker::runs(&agent.container(&tool).await) };
    docker::eventually("it ends", Duration::from_secs(10), has_ended).await;
    // Docker's restart policy leaves it to the agent, which would not see the crash otherwise.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(has_ended().await);
    agent.start().await;
    let runs_again = |view: &Value| view["phase"] == "running" && view["settled"] == true;
    let after = agent
        .until(&tool, "it runs again", Duration::from_secs(10), runs_again)
        .await;
    assert_eq!(after["container_id"], before["container_id"]);
    assert_ne!(after["started_at"], before["started_at"]);
}

#[tokio::test]
async fn a_corrupt_record_is_set_aside_and_rebuilt_from_docker() {
    let mut agent = Agent::new().await;
    let (tool, gone) = (rich(), rich());
    let before = agent.deploy(&tool).await;
    let lost = agent.deploy(&gone).await;
    agent.kill();
    for (victim, garbage) in [
        (&tool, &b"{\"format\":1,\"id\":\"s3cret"[..]),
        (&gone, b"\0\0\0\0"),
    ] {
        std::fs::write(agent.record(victim), garbage).unwrap();
    }
    docker::remove(lost["container_id"].as_str().unwrap()).await;
    agent.start().await;

    let after = agent
        .until(&tool, "it is rebuilt", Duration::from_secs(10), |v| {
            v["settled"] == true
        })
        .await;
    for field in [
        "name",
        "container_name",
        "container_id",
        "ports",
        "image",
        "started_at",
        "phase",
    ] {
        assert_eq!(after[field], before[field], "{field}");
    }
    assert_eq!(
        std::fs::read_dir(agent.state.join("quarantine"))
            .unwrap()
            .count(),
        2
    );
    assert!(agent.log().contains("could not be read"));
    assert!(!agent.log().contains("s3cret"));
    // The rebuilt spec is the spec: the same request changes nothing, although it has a newer generation.
    let again = agent.deploy(&tool.clone().next()).await;
    assert_eq!(again["container_id"], before["container_id"]);
    // Without a container there is nothing to rebuild from, and the control plane is told so.
    agent
        .view(&gone)
        .await
        .expect_problem(404, "instance_unknown");
    agent
        .command(&gone, "start")
        .await
        .expect_problem(404, "instance_unknown");
    agent.deploy(&gone).await;
}

#[tokio::test]
async fn a_lost_state_folder_is_rebuilt_from_labels() {
    let mut agent = Agent::new().await;
    let (running, stopped) = (rich(), rich());
    let before = agent.deploy(&running).await;
    agent.deploy(&stopped).await;
    agent.command(&stopped, "stop").await.expect(200);
    agent.kill();
    std::fs::remove_dir_all(&agent.state).unwrap();
    agent.start().await;

    let after = agent
        .until(&running, "it is rebuilt", Duration::from_secs(10), |v| {
            v["settled"] == true
        })
        .await;
    assert_eq!(
        (&after["phase"], &after["container_id"]),
        (&json!("running"), &before["container_id"])
    );
    let view = agent
        .until(&stopped, "it is rebuilt", Duration::from_secs(10), |v| {
            v["settled"] == true
        })
        .await;
    assert_eq!(view["phase"], "stopped");
    // Secrets came back too: a container made anew has them.
    docker::remove(after["container_id"].as_str().unwrap()).await;
    agent
        .until(&running, "it is made anew", Duration::from_secs(10), |v| {
            v["phase"] == "running" && v["container_id"] != before["container_id"]
        })
        .await;
    let made = agent.container(&running).await;
    assert!(
        made.config
            .unwrap()
            .env
            .unwrap()
            .contains(&"TOKEN=s3cret".to_owned())
    );
    let view = agent.settled(&running).await;
    assert_eq!(view["ports"], before["ports"]);
    agent.delete(&running).await.expect(200);
    agent.delete(&stopped).await.expect(200);
}

#[tokio::test]
async fn a_deletion_cut_short_is_finished() {
    let mut agent = Agent::new().await;
    let tool = Tool::new(&["deaf"]).with("volumes", json!([{"name": "data", "path": "/data"}]));
    agent.deploy(&tool).await;
    agent
        .send(agent.request(Method::DELETE, &format!("/tools/{}", tool.id)))
        .await
        .expect(202);
    agent.kill();
    agent.start().await;
    docker::eventually(
        "the container is removed",
        Duration::from_secs(30),
        || async { agent.containers(&tool).await.is_empty() && !agent.record(&tool).exists() },
    )
    .await;
    // The record goes a moment before the instance does.
    docker::eventually("it is unknown", Duration::from_secs(5), || async {
        agent.view(&tool).await.body["code"] == "instance_unknown"
    })
    .await;
}

#[tokio::test]
async fn the_network_is_made_anew_when_somebody_removed_it() {
    let agent = Agent::new().await;
    let tool = rich();
    agent.deploy(&tool).await;
    agent.command(&tool, "stop").await.expect(200);
    let network = format!("toolbox-{}-{}", &agent.toolbox.to_string()[..8], tool.id);
    docker::connect().remove_network(&network).await.unwrap();
    assert_eq!(
        agent.command(&tool, "start").await.expect(200)["phase"],
        "running"
    );
    let container = agent.container(&tool).await;
    assert!(
        container
            .network_settings
            .unwrap()
            .networks
            .unwrap()
            .contains_key(&network)
    );
}

#[tokio::test]
async fn a_surplus_or_renamed_container_is_put_right() {
    let mut agent = Agent::new().await;
    let tool = Tool::new(&["sleep"]);
    let before = agent.deploy(&tool).await;
    let docker = docker::connect();
    let original = agent.container(&tool).await;
    // It would remove the copy before that is started.
    agent.kill();
    let copy = bollard::models::ContainerCreateBody {
        labels: original.config.unwrap().labels,
        ..Default::default()
    };
    docker::foreign(
        &format!("dtma-test-copy-{}", uuid::Uuid::new_v4().simple()),
        copy,
    )
    .await;
    let options = bollard::query_parameters::RenameContainerOptionsBuilder::default()
        .name(&format!("dtma-test-odd-{}", uuid::Uuid::new_v4().simple()))
        .build();
    docker
        .rename_container(before["container_id"].as_str().unwrap(), options)
        .await
        .unwrap();
    agent.start().await;
    docker::eventually(
        "one container with its name",
        Duration::from_secs(30),
        || async {
            let found = agent.containers(&tool).await;
            found.len() == 1
                && docker::name(&found[0]) == tool.container_name()
                && docker::runs(&found[0])
        },
    )
    .await;
    // Of the two, it is the one that is confined.
    let view = agent.settled(&tool).await;
    assert_eq!(
        (&view["phase"], &view["container_id"]),
        (&json!("running"), &before["container_id"]),
        "{view}"
    );
}

#[tokio::test]
async fn a_container_with_our_label_that_tells_nothing_is_listed_and_left_alone() {
    let agent = Agent::new().await;
    let labels = [
        (
            "io.toolbox.toolbox_id".to_owned(),
            agent.toolbox.to_string(),
        ),
        (
            "io.toolbox.instance_id".to_owned(),
            uuid::Uuid::new_v4().to_string(),
        ),
    ];
    let body = bollard::models::ContainerCreateBody {
        labels: Some(labels.into()),
        ..Default::default()
    };
    let id = docker::foreign(
        &format!("dtma-test-odd-{}", uuid::Uuid::new_v4().simple()),
        body,
    )
    .await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let list = agent.call(Method::GET, "/tools").await.expect(200);
    assert!(list["tools"].as_array().unwrap().is_empty());
    assert!(
        list["foreign"]
            .as_array()
            .unwrap()
            .iter()
            .any(|f| f["container_id"] == json!(id) && f["state"] == "running")
    );
}

#[tokio::test]
async fn a_paused_container_runs_on() {
    let agent = Agent::new().await;
    let tool = Tool::new(&["sleep"]);
    let view = agent.deploy(&tool).await;
    docker::connect()
        .pause_container(view["container_id"].as_str().unwrap())
        .await
        .unwrap();
    docker::eventually("it is continued", Duration::from_secs(10), || async {
        agent.container(&tool).await.state.unwrap().paused == Some(false)
    })
    .await;
    docker::connect()
        .pause_container(view["container_id"].as_str().unwrap())
        .await
        .unwrap();
    assert_eq!(
        agent.command(&tool, "stop").await.expect(200)["phase"],
        "stopped"
    );
}

/// How somebody ends a container.
#[derive(Clone, Copy, Debug)]
enum By {
    Stop,
    Kill,
    Removal,
}

/// Ends the container of the tool's generation as soon as it runs; its id.
async fn end_by_hand(agent: &Agent, tool: &Tool, end: By) -> String {
    let generation = tool.body["generation"].to_string();
    let is_its = |c: &&bollard::models::ContainerInspectResponse| {
        let labels = c.config.as_ref().and_then(|c| c.labels.as_ref());
        let label = labels.and_then(|labels| labels.get("io.toolbox.generation"));
        docker::runs(c) && label == Some(&generation)
    };
    for _ in 0..1_000 {
        let containers = agent.containers(tool).await;
        if let Some(id) = containers.iter().find(is_its).and_then(|c| c.id.as_deref()) {
            let docker = docker::connect();
            match end {
                By::Stop => docker.stop_container(id, None).await.unwrap(),
                By::Kill => docker.kill_container(id, None).await.unwrap(),
                By::Removal => docker::remove(id).await,
            }
            return id.to_owned();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never ran; the agent's log: {}", agent.log());
}

#[tokio::test]
async fn one_end_on_its_trial_does_not_fail_a_version() {
    let agent = Agent::new().await;
    let ends_on_trial = || {
        agent
            .log()
            .matches("the container ended on its trial")
            .count()
    };
    let cases = [By::Stop, By::Kill, By::Removal]
        .into_iter()
        .flat_map(|end| [(end, false), (end, true)]);
    for (end, is_update) in cases {
        let mut on_trial = false;
        // A busy machine may let a trial pass before the end.
        for _ in 0..5 {
            let (before, mut tool) = (ends_on_trial(), Tool::new(&["http", "8080"]));
            if is_update {
                agent.deploy(&tool).await;
                tool = tool.next().with("env", json!({"VERSION": "2"}));
            }
            let (view, ended) = tokio::join!(agent.put(&tool), end_by_hand(&agent, &tool, end));
            let view = view.expect(200);
            assert_eq!(
                (&view["phase"], &view["reason"]),
                (&json!("running"), &Value::Null),
                "{end:?}: {view}"
            );
            assert_eq!(view["update_failed"], false, "{end:?}: {view}");
            docker::eventually("it runs", Duration::from_secs(20), || async {
                let view = agent.view(&tool).await.body;
                let containers = agent.containers(&tool).await;
                let runs = containers.len() == 1 && docker::runs(&containers[0]);
                runs && view["phase"] == "running" && view["settled"] == true
            })
            .await;
            // One that was removed on its trial was made anew before the answer.
            let made_anew = view["container_id"] != ended.as_str();
            on_trial = made_anew || ends_on_trial() > before;
            if on_trial {
                break;
            }
        }
        assert!(on_trial, "{end:?} never came in time");
    }
}

#[tokio::test]
async fn a_second_agent_on_the_same_state_refuses_to_start() {
    let agent = Agent::new().await;
    let mut second = Agent::prepare();
    second.state.clone_from(&agent.state);
    second.toolbox = agent.toolbox;
    second.spawn();
    assert_eq!(second.wait().await, Some(1));
    assert!(second.log().contains("another agent"), "{}", second.log());
    let mut stranger = Agent::prepare();
    let mut first = agent;
    first.kill();
    stranger.state.clone_from(&first.state);
    stranger.spawn();
    assert_eq!(stranger.wait().await, Some(1));
    assert!(
        stranger.log().contains("holds the state of toolbox"),
        "{}",
        stranger.log()
    );
}
