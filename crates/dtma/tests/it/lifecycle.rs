//! Deploy, start, stop, restart, update, delete: the ordinary days of an instance.

use std::time::Duration;

use bollard::models::ContainerCreateBody;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::agent::{Agent, Tool};
use crate::docker;

#[tokio::test]
async fn every_command_succeeds_once_and_again() {
    let agent = Agent::new().await;
    let tool =
        Tool::new(&["sleep"]).with("env", json!({"TOKEN": {"key_id": null, "value": "s3cret"}}));

    let first = agent.deploy(&tool).await;
    let again = agent.deploy(&tool).await;
    assert_eq!(first["container_id"], again["container_id"]);
    assert_eq!(
        agent.command(&tool, "start").await.expect(200)["container_id"],
        first["container_id"]
    );

    for _ in 0..2 {
        let stopped = agent.command(&tool, "stop").await.expect(200);
        assert_eq!(
            (&stopped["phase"], &stopped["settled"]),
            (&json!("stopped"), &json!(true))
        );
        assert!(!docker::runs(&agent.container(&tool).await));
    }
    for _ in 0..2 {
        assert_eq!(
            agent.command(&tool, "start").await.expect(200)["phase"],
            "running"
        );
        assert!(docker::runs(&agent.container(&tool).await));
    }
    for _ in 0..2 {
        let gone = agent.delete(&tool).await.expect(200);
        assert_eq!(gone, json!({"id": tool.id, "removed": true}));
        assert!(agent.containers(&tool).await.is_empty());
    }
    agent
        .view(&tool)
        .await
        .expect_problem(404, "instance_unknown");
    assert!(!agent.log().contains("s3cret"), "a secret was logged");
}

#[tokio::test]
async fn without_prefer_the_answer_says_that_work_is_left() {
    let agent = Agent::new().await;
    let tool = Tool::new(&["sleep"]);
    let request = agent
        .request(Method::PUT, &format!("/tools/{}", tool.id))
        .json(&tool.body);
    let accepted = agent.send(request).await;
    assert!(!accepted.headers.contains_key("preference-applied"));
    let view = accepted.expect(202);
    assert_eq!(view["settled"], false);
    assert!(agent.record(&tool).exists(), "accepted means durable");

    let polled = agent
        .send(
            agent
                .request(Method::GET, &format!("/tools/{}?generation=1", tool.id))
                .header("prefer", "wait=20"),
        )
        .await;
    assert_eq!(polled.headers["preference-applied"], "wait=20");
    assert_eq!(polled.expect(200)["phase"], "running");

    let start = agent.request(Method::POST, &format!("/tools/{}/start", tool.id));
    // It runs already, which is answered at once unless Docker is slow to tell.
    let started = agent.send(start).await;
    assert!(matches!(started.status.as_u16(), 200 | 202), "{started:?}");
    agent.settled(&tool).await;
    let stop = agent.request(Method::POST, &format!("/tools/{}/stop", tool.id));
    agent.send(stop).await.expect(202);
    agent.settled(&tool).await;
    let remove = agent.request(Method::DELETE, &format!("/tools/{}", tool.id));
    let view = agent.send(remove).await.expect(202);
    assert_eq!(
        (&view["desired"], &view["phase"]),
        (&json!("absent"), &json!("removing"))
    );
}

#[tokio::test]
async fn create_by_post_is_the_same_with_the_id_in_the_body() {
    let agent = Agent::new().await;
    let tool = Tool::new(&["sleep"]);
    let mut body = tool.body.clone();
    body["id"] = json!(tool.id);
    let created = agent
        .send(
            agent
                .request(Method::POST, "/tools")
                .header("prefer", "wait=20")
                .json(&body),
        )
        .await;
    assert_eq!(created.expect(200)["id"], json!(tool.id));
    let listed = agent
        .send(agent.request(Method::GET, "/tools"))
        .await
        .expect(200);
    assert_eq!(listed["tools"][0]["id"], json!(tool.id));
    assert_eq!(listed["toolbox_id"], json!(agent.toolbox));
}

#[tokio::test]
async fn desired_stopped_holds_the_spec_without_running_it() {
    let agent = Agent::new().await;
    let tool = Tool::new(&["sleep"]).stopped();
    agent.deploy(&tool).await;
    assert!(
        agent
            .containers(&tool)
            .await
            .iter()
            .all(|c| !docker::runs(c))
    );
    assert_eq!(
        agent.command(&tool, "start").await.expect(200)["phase"],
        "running"
    );
}

#[tokio::test]
async fn a_container_removed_behind_the_agents_back_comes_back_as_it_was() {
    let agent = Agent::new().await;
    let tool = Tool::new(&["http", "8080"])
        .with("env", json!({"TOKEN": "s3cret"}))
        .with("ports", json!([{"container_port": 8080}]))
        .with("volumes", json!([{"name": "data", "path": "/data"}]));
    let before = agent.deploy(&tool).await;

    // While it should run, it comes back by itself.
    docker::remove(before["container_id"].as_str().unwrap()).await;
    let after = agent
        .until(&tool, "it comes back", Duration::from_secs(15), |v| {
            v["phase"] == "running" && v["container_id"] != before["container_id"]
        })
        .await;
    assert_eq!(after["ports"], before["ports"]);

    // While it is stopped, `start` brings it back.
    agent.command(&tool, "stop").await.expect(200);
    docker::remove(after["container_id"].as_str().unwrap()).await;
    let again = agent.command(&tool, "start").await.expect(200);
    assert_eq!(
        (&again["phase"], &again["ports"]),
        (&json!("running"), &before["ports"])
    );
    let container = agent.container(&tool).await;
    assert!(
        container
            .config
            .unwrap()
            .env
            .unwrap()
            .contains(&"TOKEN=s3cret".to_owned())
    );
    let port = again["ports"][0]["host_port"].as_u64().unwrap();
    // The program may not listen yet: it was proven before, so nothing waited for it.
    docker::eventually("it answers", Duration::from_secs(5), async || {
        let answer = reqwest::get(format!("http://127.0.0.1:{port}/")).await;
        let Ok(answer) = answer else { return false };
        assert_eq!(answer.text().await.unwrap(), "ok");
        true
    })
    .await;
}

#[tokio::test]
async fn restart_starts_the_same_container_again_once_per_generation() {
    let agent = Agent::new().await;
    let tool = Tool::new(&["sleep"]);
    let first = agent.deploy(&tool).await;
    let path = format!("/tools/{}/restart", tool.id);
    let restart = || {
        agent
            .request(Method::POST, &path)
            .header("prefer", "wait=20")
            .json(&json!({"generation": 2}))
    };
    let second = agent.send(restart()).await.expect(200);
    assert_eq!(second["container_id"], first["container_id"]);
    assert_ne!(second["started_at"], first["started_at"]);
    let repeated = agent.send(restart()).await.expect(200);
    assert_eq!(repeated["started_at"], second["started_at"]);
}

#[tokio::test]
async fn old_and_contradicting_generations_are_refused() {
    let agent = Agent::new().await;
    let mut tool = Tool::new(&["sleep"]).next().next();
    agent.deploy(&tool).await;
    let older = Tool {
        body: {
            let mut b = tool.body.clone();
            b["generation"] = json!(2);
            b
        },
        ..tool.clone()
    };
    agent
        .put(&older)
        .await
        .expect_problem(409, "stale_generation");
    let stop = agent
        .request(Method::POST, &format!("/tools/{}/stop", tool.id))
        .json(&json!({"generation": 1}));
    agent
        .send(stop)
        .await
        .expect_problem(409, "stale_generation");
    let remove = agent.request(Method::DELETE, &format!("/tools/{}?generation=1", tool.id));
    agent
        .send(remove)
        .await
        .expect_problem(409, "stale_generation");
    tool.body["spec"]["command"] = json!(["deaf"]);
    agent
        .put(&tool)
        .await
        .expect_problem(409, "stale_generation");
    assert_eq!(agent.settled(&tool).await["phase"], "running");
}

#[tokio::test]
async fn a_good_update_replaces_the_container() {
    let agent = Agent::new().await;
    let tool = Tool::new(&["sleep"]).with("ports", json!([{"container_port": 80}]));
    let old = agent.deploy(&tool).await;
    let update = tool.clone().next().with("env", json!({"VERSION": "2"}));
    let new = agent.deploy(&update).await;
    assert_eq!(new["generation"], 2);
    assert_eq!(new["update_failed"], false);
    assert_eq!(new["ports"], old["ports"], "an allocated port stays");
    let container = agent.container(&tool).await;
    assert_ne!(json!(container.id), old["container_id"]);
    assert_eq!(docker::name(&container), tool.container_name());
    assert!(
        container
            .config
            .unwrap()
            .env
            .unwrap()
            .contains(&"VERSION=2".to_owned())
    );
}

#[tokio::test]
async fn an_update_that_does_not_start_leaves_the_old_version_running() {
    let agent = Agent::new().await;
    let tool = Tool::new(&["sleep"]);
    let old = agent.deploy(&tool).await;
    let broken = [
        (json!(["exit", "3"]), Value::Null, "exited"),
        (json!(["sleep"]), json!(["/not-there"]), "start_failed"),
    ];
    for (n, (command, entrypoint, code)) in (2_u64..).zip(broken) {
        let mut update = tool.clone().with("command", command);
        update.body["generation"] = json!(n);
        if !entrypoint.is_null() {
            update.body["spec"]["entrypoint"] = entrypoint;
        }
        let view = agent.put(&update).await.expect(200);
        assert_eq!(view["phase"], "running", "{view}");
        assert_eq!(view["update_failed"], true);
        assert_eq!(view["reason"]["code"], code, "{view}");
        assert_eq!(view["generation"], n);
        let container = agent.container(&tool).await;
        assert_eq!(
            json!(container.id),
            old["container_id"],
            "the old container itself runs"
        );
        assert!(docker::runs(&container));
        // The same request again is the same answer, not a second attempt and not a conflict.
        let again = agent.put(&update).await.expect(200);
        assert_eq!(again["update_failed"], true);
    }
    // The next command has an answer of its own.
    let stopped = agent.command(&tool, "stop").await.expect(200);
    assert_eq!(
        (&stopped["update_failed"], &stopped["reason"]),
        (&json!(false), &Value::Null)
    );
    agent.command(&tool, "start").await.expect(200);
    let mut missing = tool.clone().with("image", json!("127.0.0.1:1/no/such:1"));
    missing.body["generation"] = json!(9);
    let view = agent.put(&missing).await.expect(200);
    assert_eq!(
        (&view["phase"], &view["reason"]["code"]),
        (&json!("running"), &json!("registry_unreachable"))
    );
}

#[tokio::test]
async fn a_first_deploy_that_does_not_start_is_an_error_with_a_reason() {
    let agent = Agent::new().await;
    let cases: [(Tool, &str); 4] = [
        (Tool::new(&["exit", "0"]), "exited"),
        (Tool::new(&["exit", "42"]), "exited"),
        (
            Tool::new(&["sleep"]).with("entrypoint", json!(["/not-there"])),
            "start_failed",
        ),
        (Tool::new(&["eat", "200"]), "out_of_memory"),
    ];
    for (tool, code) in cases {
        let view = agent.put(&tool).await.expect(200);
        assert_eq!(
            (&view["phase"], &view["settled"]),
            (&json!("error"), &json!(true)),
            "{view}"
        );
        assert_eq!(view["reason"]["code"], code, "{view}");
        if tool.body["spec"]["command"] == json!(["exit", "42"]) {
            assert!(view["reason"]["message"].as_str().unwrap().contains("42"));
            assert_eq!(view["exit_code"], 42);
        }
        // A version that never ran is replaced, not kept.
        let fixed = tool
            .next()
            .with("entrypoint", Value::Null)
            .with("command", json!(["sleep"]));
        agent.deploy(&fixed).await;
        assert_eq!(agent.containers(&fixed).await.len(), 1);
    }
}

#[tokio::test]
async fn a_container_that_ends_is_started_again_until_it_crash_loops() {
    let agent = Agent::new().await;
    let steady = Tool::new(&["sleep"]);
    let view = agent.deploy(&steady).await;
    let options = bollard::query_parameters::KillContainerOptionsBuilder::default()
        .signal("KILL")
        .build();
    docker::connect()
        .kill_container(view["container_id"].as_str().unwrap(), Some(options))
        .await
        .unwrap();
    let again = agent
        .until(
            &steady,
            "it is started again",
            Duration::from_secs(10),
            |v| v["phase"] == "running" && v["started_at"] != view["started_at"],
        )
        .await;
    assert_eq!(again["restart_count"], 1);

    // Later than its trial, also where that begins late.
    let crashing = Tool::new(&["later", "3"]);
    agent.put(&crashing).await.expect(200);
    let given_up = agent
        .until(
            &crashing,
            "the agent gives up",
            Duration::from_secs(90),
            |v| v["phase"] == "error",
        )
        .await;
    assert_eq!(given_up["reason"]["code"], "crash_loop", "{given_up}");
    assert!(
        given_up["reason"]["message"]
            .as_str()
            .unwrap()
            .starts_with("crash loop, exit 7: ")
    );
    assert_eq!(given_up["settled"], true);
    // A command starts the count anew.
    assert_eq!(
        agent.command(&crashing, "start").await.expect(200)["phase"],
        "running"
    );
}

#[tokio::test]
async fn a_new_generation_of_what_runs_is_never_shown_as_on_its_way() {
    let agent = Agent::new().await;
    let mut tool = Tool::new(&["sleep"]);
    let deployed = agent.deploy(&tool).await;
    for generation in 2..8 {
        tool.body["generation"] = json!(generation);
        let path = format!("/tools/{}", tool.id);
        let request = agent.request(Method::PUT, &path).json(&tool.body);
        let answer = agent.send(request).await;
        assert!(
            matches!(answer.status.as_u16(), 200 | 202),
            "{}",
            answer.body
        );
        let shown = agent.call(Method::GET, &path).await.expect(200);
        for view in [&answer.body, &shown] {
            assert_eq!(
                (&view["phase"], &view["reason"]),
                (&json!("running"), &Value::Null),
                "{view}"
            );
        }
    }
    let settled = agent.settled(&tool).await;
    assert_eq!(settled["container_id"], deployed["container_id"]);
}

#[tokio::test]
async fn twenty_commands_at_once_leave_one_container_in_the_last_desired_state() {
    let agent = Agent::new().await;
    let tool = Tool::new(&["sleep"]);
    agent.deploy(&tool).await;
    let commands = (0..20).map(|n| {
        let path = format!("/tools/{}", tool.id);
        let generation = json!({"generation": 2 + n});
        let request = match n % 4 {
            0 => agent
                .request(Method::POST, &format!("{path}/start"))
                .json(&generation),
            2 => agent
                .request(Method::POST, &format!("{path}/restart"))
                .json(&generation),
            // The whole desired state: it may come before those it follows.
            n => {
                let mut body = tool.body.clone();
                body["generation"] = generation["generation"].clone();
                body["desired"] = json!(if n == 1 { "running" } else { "stopped" });
                agent.request(Method::PUT, &path).json(&body)
            }
        };
        agent.send(request)
    });
    let answers = futures_util::future::join_all(commands).await;
    for answer in &answers {
        assert!(
            matches!(answer.status.as_u16(), 200 | 202 | 409),
            "{}",
            answer.body
        );
    }
    // Whatever order they came in, the highest generation won: 21 is n = 19, a stop.
    let view = agent.settled(&tool).await;
    assert_eq!(
        (&view["generation"], &view["phase"]),
        (&json!(21), &json!("stopped"))
    );
    assert!(!docker::runs(&agent.container(&tool).await));
}

#[tokio::test]
async fn deploying_one_instance_twenty_times_at_once_makes_one_container() {
    let agent = Agent::new().await;
    let tool = Tool::new(&["sleep"]).with("ports", json!([{"container_port": 80}]));
    let answers = futures_util::future::join_all((0..20).map(|_| agent.put(&tool))).await;
    for answer in answers {
        assert_eq!(answer.expect(200)["phase"], "running");
    }
    assert!(docker::runs(&agent.container(&tool).await));
}

#[tokio::test]
async fn a_deletion_removes_volumes_and_no_other_containers() {
    let agent = Agent::new().await;
    let volume = json!([{"name": "data", "path": "/data"}]);
    let doomed = Tool::new(&["sleep"]).with("volumes", volume.clone());
    let other = Tool::new(&["sleep"]).with("volumes", volume);
    agent.deploy(&doomed).await;
    agent.deploy(&other).await;
    let stranger = docker::foreign(
        &format!("dtma-test-foreign-{}", Uuid::new_v4().simple()),
        ContainerCreateBody::default(),
    )
    .await;
    agent.delete(&doomed).await.expect(200);
    assert!(docker::runs(&agent.container(&other).await));
    let docker = docker::connect();
    let volume = |t: &Tool| format!("toolbox-{}-data", t.id);
    assert!(docker.inspect_volume(&volume(&doomed)).await.is_err());
    assert!(docker.inspect_volume(&volume(&other)).await.is_ok());
    assert!(docker::runs(
        &docker.inspect_container(&stranger, None).await.unwrap()
    ));
    docker::remove(&stranger).await;
}

#[tokio::test]
async fn commands_during_a_deletion_say_so() {
    let agent = Agent::new().await;
    // It ignores SIGTERM, so its deletion takes ten seconds.
    let tool = Tool::new(&["deaf"]);
    agent.deploy(&tool).await;
    let path = format!("/tools/{}", tool.id);
    agent
        .send(agent.request(Method::DELETE, &path))
        .await
        .expect(202);
    agent
        .put(&tool.clone().next())
        .await
        .expect_problem(409, "instance_deleting");
    agent
        .command(&tool, "start")
        .await
        .expect_problem(409, "instance_deleting");
    agent.delete(&tool).await.expect(200);
    assert!(agent.containers(&tool).await.is_empty());
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_pull_that_hangs() {
    let agent = Agent::new().await;
    // Accepts connections and never answers.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let tool = Tool::new(&["sleep"]).with("image", json!(format!("127.0.0.1:{port}/a/b:1")));
    let request = agent
        .request(Method::PUT, &format!("/tools/{}", tool.id))
        .json(&tool.body);
    agent.send(request).await.expect(202);
    agent
        .until(&tool, "it pulls", Duration::from_secs(20), |v| {
            v["phase"] == "pulling"
        })
        .await;
    let begun = std::time::Instant::now();
    assert_eq!(
        agent.command(&tool, "stop").await.expect(200)["phase"],
        "stopped"
    );
    agent.delete(&tool).await.expect(200);
    assert!(begun.elapsed() < Duration::from_secs(5));
}
