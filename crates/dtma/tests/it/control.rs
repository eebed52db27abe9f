//! Heartbeats and the desired state: the agent against a stub of the control plane.

use std::time::{Duration, Instant};

use dtma::firewall::{netlink, table};
use reqwest::Method;
use serde_json::{Value, json};
use toolbox_api::dtma::{Desired, Phase};
use toolbox_api::heartbeat::InstanceReport;
use toolbox_domain::ids::ToolInstanceId;

use crate::agent::{Agent, Tool};
use crate::stub::{Fault, Stub};
use crate::{docker, mcp};

pub const SOON: Duration = Duration::from_secs(15);

/// An agent with a token for `stub`, not started yet.
pub fn enrolling(stub: &Stub) -> Agent {
    let mut agent = Agent::prepare();
    let token = agent.folder.path().join("token");
    docker::write(&token, stub.plane().token.as_bytes());
    agent.key_file = false;
    agent.key.clone_from(&stub.plane().keys.control_to_agent);
    agent.extra = vec![
        format!("--control-url={}", stub.url()),
        format!("--enrolment-token-file={}", token.display()),
    ];
    agent
}

/// An enrolled agent whose first full heartbeat was heard.
pub async fn enrolled(stub: &Stub) -> Agent {
    enrolled_with(stub, &[]).await
}

/// The same, with further flags.
pub async fn enrolled_with(stub: &Stub, flags: &[&str]) -> Agent {
    docker::ensure_image().await;
    let mut agent = enrolling(stub);
    agent.extra.extend(flags.iter().map(|f| (*f).to_owned()));
    agent.start().await;
    stub.until("a full heartbeat", SOON, |p| {
        p.heard.iter().any(|(_, h)| h.full)
    })
    .await;
    agent
}

/// A row and its container, as a deployment by the control plane would leave them.
async fn deployed(agent: &Agent, stub: &Stub, tool: &Tool) {
    stub.want(tool);
    agent.deploy(tool).await;
    stub.until_told(tool, "it is told to run", SOON, |r| {
        r.phase == Some(Phase::Running) && r.settled
    })
    .await;
}

#[tokio::test]
async fn a_change_is_told_within_a_second() {
    let stub = Stub::new().await;
    let agent = enrolled(&stub).await;
    let tool = Tool::new(&["sleep"]);
    deployed(&agent, &stub, &tool).await;
    let mut delays = Vec::new();
    for _ in 0..5 {
        let container = agent.container(&tool).await.id.unwrap();
        let (_, before) = version(&agent.view(&tool).await.expect(200));
        let is_new =
            |r: &InstanceReport| r.view_version.as_ref().is_some_and(|v| v.number > before);
        let options = bollard::query_parameters::KillContainerOptionsBuilder::default()
            .signal("KILL")
            .build();
        docker::connect()
            .kill_container(&container, Some(options))
            .await
            .unwrap();
        let killed = Instant::now();
        // Most often that it is down; where it runs again by the next report, that it was started anew.
        stub.until_told(&tool, "its end is told", SOON, is_new)
            .await;
        delays.push(killed.elapsed());
        // A long run, so that this is no crash loop: the next command forgives.
        stub.until_told(&tool, "it runs again", SOON, |r| {
            is_new(r) && r.phase == Some(Phase::Running)
        })
        .await;
        agent.command(&tool, "start").await.expect(200);
    }
    println!("told after {delays:?}");
    // Other tests use Docker meanwhile, so two of the five may be slow. The schedule alone would take most of a minute.
    delays.sort();
    assert!(delays[2] < Duration::from_secs(1), "{delays:?}");
    let metrics = agent.call(Method::GET, "/metrics").await;
    let text = metrics.expect(200);
    let text = text.as_str().unwrap();
    assert!(text.contains("dtma_instance_restarts_total 5"), "{text}");
    assert!(text.contains("dtma_heartbeats_total{outcome=\"recorded\"}"));
    assert!(text.contains("dtma_docker_request_duration_seconds_count"));
    assert!(text.contains("dtma_instances{phase=\"running\"} 1"));
    // What does not change any more is not told again and again.
    let (_, last) = version(&agent.view(&tool).await.expect(200));
    stub.until_told(&tool, "the last view is told", SOON, |r| {
        r.view_version.is_some_and(|v| v.number == last)
    })
    .await;
    // Those of the schedule, which may fall into this time, tell how the machine is.
    let pushed = || {
        let plane = stub.plane();
        let pushes = plane
            .heard
            .iter()
            .filter(|(_, h)| h.system_metrics.is_none());
        pushes.count()
    };
    let before = pushed();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(pushed(), before);
}

/// The run and the number of a view's version.
fn version(view: &Value) -> (String, u64) {
    let version = &view["version"];
    let run = version["run"].as_str().unwrap().to_owned();
    (run, version["number"].as_u64().unwrap())
}

#[tokio::test]
async fn views_are_numbered_as_they_are_made_however_they_travel() {
    let stub = Stub::new().await;
    let mut agent = enrolled_with(&stub, &["--heartbeat-interval=1"]).await;
    let tool = Tool::new(&["sleep"]);
    deployed(&agent, &stub, &tool).await;
    let mut answered = vec![version(&agent.view(&tool).await.expect(200))];
    for command in ["restart", "stop", "start"] {
        answered.push(version(&agent.command(&tool, command).await.expect(200)));
    }
    // What is deployed after a deletion comes after everything from before it.
    let generation = stub.change(&tool, Desired::Absent, false);
    let path = format!("/tools/{}?generation={generation}", tool.id);
    agent.call(Method::DELETE, &path).await.expect(200);
    stub.until("its row is gone", SOON, |p| p.rows.is_empty())
        .await;
    let again = tool.clone().next().next();
    stub.want(&again);
    answered.push(version(&agent.deploy(&again).await));
    let (run, last) = answered[answered.len() - 1].clone();
    assert!(answered.iter().all(|(one, _)| *one == run), "{answered:?}");
    assert!(answered.is_sorted_by(|a, b| a.1 < b.1), "{answered:?}");
    assert_eq!(version(&agent.view(&again).await.expect(200)).1, last);
    stub.until_told(&again, "the same view is told", SOON, |r| {
        r.view_version.is_some_and(|v| v.number == last)
    })
    .await;
    agent.kill();
    agent.start().await;
    let (other, _) = version(&agent.settled(&again).await);
    assert_ne!(other, run, "a start begins anew");
    stub.until_told(&again, "the new run is told", SOON, |r| {
        r.view_version.is_some_and(|v| v.run.to_string() == other)
    })
    .await;
    let plane = stub.plane();
    let told = plane.heard.iter().flat_map(|(_, h)| &h.instances);
    let told: Vec<_> = told.filter_map(|r| r.view_version).collect();
    for pair in told.windows(2).filter(|p| p[0].run == p[1].run) {
        assert!(pair[0].number <= pair[1].number, "{told:?}");
    }
}

#[tokio::test]
async fn after_an_outage_the_latest_state_of_everything_arrives() {
    let stub = Stub::new().await;
    let mut agent = enrolled_with(&stub, &["--heartbeat-interval=3"]).await;
    let tools: Vec<_> = (0..4).map(|_| Tool::new(&["sleep"])).collect();
    for tool in &tools {
        deployed(&agent, &stub, tool).await;
    }
    for (fault, restart) in [
        (Fault::Down, false),
        (Fault::LostAnswers, false),
        (Fault::Twice, false),
        (Fault::Small, false),
        (Fault::Down, true),
    ] {
        stub.plane().fault = fault;
        // The row wants it too, as when a command is given.
        for (number, tool) in tools.iter().enumerate() {
            let (desired, command) = if number % 2 == 0 {
                (Desired::Stopped, "stop")
            } else {
                (Desired::Running, "restart")
            };
            let generation = stub.change(tool, desired, command == "restart");
            let path = format!("/tools/{}/{command}", tool.id);
            let body = json!({"generation": generation});
            agent
                .send(
                    agent
                        .request(Method::POST, &path)
                        .header("prefer", "wait=30")
                        .json(&body),
                )
                .await
                .expect(200);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        if restart {
            agent.kill();
            agent.start().await;
        }
        if fault != Fault::Small {
            stub.plane().fault = Fault::None;
        }
        for (number, tool) in tools.iter().enumerate() {
            let phase = if number % 2 == 0 {
                Phase::Stopped
            } else {
                Phase::Running
            };
            let row = ToolInstanceId::new(tool.id);
            stub.until("the latest state arrives", SOON, |p| {
                let generation = p.rows[&row].deploy.generation;
                p.reports.get(&row).is_some_and(|r| {
                    r.generation == generation && r.phase == Some(phase) && r.settled
                })
            })
            .await;
        }
    }
}

#[tokio::test]
async fn what_was_told_before_a_lost_answer_is_told_again() {
    let stub = Stub::new().await;
    let agent = enrolled(&stub).await;
    let tool = Tool::new(&["sleep"]);
    deployed(&agent, &stub, &tool).await;
    // The control plane takes in that it stopped, and the agent never learns that it did.
    stub.plane().fault = Fault::LostAnswers;
    agent.command(&tool, "stop").await.expect(200);
    stub.until_told(&tool, "it is told to be stopped", SOON, |r| {
        r.phase == Some(Phase::Stopped)
    })
    .await;
    agent.command(&tool, "start").await.expect(200);
    stub.plane().fault = Fault::None;
    stub.until_told(&tool, "it is told to run", SOON, |r| {
        r.phase == Some(Phase::Running)
    })
    .await;
}

#[tokio::test]
async fn a_lost_command_heals_itself() {
    let stub = Stub::new().await;
    let agent = enrolled_with(&stub, &["--heartbeat-interval=1"]).await;
    let tool = Tool::new(&["sleep"]);
    // Nobody sends the command: only the row says it.
    stub.want(&tool);
    stub.until_told(&tool, "it is deployed", SOON, |r| {
        r.phase == Some(Phase::Running) && r.settled
    })
    .await;
    let first = agent.container(&tool).await.state.unwrap().started_at;
    let generation = stub.change(&tool, Desired::Running, true);
    stub.until_told(&tool, "it is restarted", SOON, |r| {
        r.generation == generation && r.phase == Some(Phase::Running) && r.settled
    })
    .await;
    let second = agent.container(&tool).await.state.unwrap().started_at;
    assert_ne!(first, second, "started anew");
    stub.change(&tool, Desired::Stopped, false);
    stub.until_told(&tool, "it is stopped", SOON, |r| {
        r.phase == Some(Phase::Stopped)
    })
    .await;
    let generation = stub.change(&tool, Desired::Absent, false);
    stub.until("its row is gone", SOON, |p| p.rows.is_empty())
        .await;
    assert_eq!(stub.report(&tool).unwrap().generation, generation);
    assert!(agent.containers(&tool).await.is_empty());
    // As long as nothing differs, nothing is fetched.
    let pulls = stub.plane().pulls;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(stub.plane().pulls, pulls);
}

#[tokio::test]
async fn what_cannot_be_taken_over_is_told_with_its_reason() {
    let stub = Stub::new().await;
    let _agent = enrolled_with(&stub, &["--heartbeat-interval=1"]).await;
    let tool = Tool::new(&["sleep"]).with("env", json!({"not a name": "x"}));
    stub.want(&tool);
    stub.until_told(&tool, "it is refused", SOON, |r| {
        r.phase == Some(Phase::Error) && r.reason.as_ref().is_some_and(|w| w.code == "invalid_spec")
    })
    .await;
}

/// Exceptions that were taken when there were fewer rules stop no command, and change no container.
#[tokio::test]
async fn exceptions_that_are_none_any_more_stop_no_command() {
    let stub = Stub::new().await;
    let agent = enrolled_with(&stub, &["--heartbeat-interval=1"]).await;
    let tool = Tool::new(&["sleep"]).with("host_access", json!(["host:5432"]));
    deployed(&agent, &stub, &tool).await;
    let before = agent.container(&tool).await.id;
    let old = json!(["169.254.169.254:80", "host:30000", "host:5432"]);
    stub.want(&tool.clone().with("host_access", old));
    for (desired, phase) in [
        (Desired::Stopped, Phase::Stopped),
        (Desired::Running, Phase::Running),
    ] {
        let generation = stub.change(&tool, desired, false);
        stub.until_told(&tool, "it is done", SOON, |r| {
            r.generation == generation && r.phase == Some(phase) && r.settled
        })
        .await;
        assert_eq!(agent.container(&tool).await.id, before);
    }
    // A port that the agent closed since stops none either, and the rules do not open it.
    let mut closed = tool.with("host_access", json!([format!("host:{}", agent.port())]));
    closed.body["generation"] = json!(4);
    stub.want(&closed);
    stub.until_told(&closed, "it runs", SOON, |r| {
        r.generation == 4 && r.phase == Some(Phase::Running) && r.settled
    })
    .await;
    let rules = netlink::comments(&table(agent.toolbox_id())).unwrap();
    assert!(!rules.iter().any(|c| c.starts_with("host:")), "{rules:?}");
    // A change of something else passes by the API, too.
    let mut update = closed.with("command", json!(["http", "80"]));
    update.body["generation"] = json!(5);
    agent.put(&update).await.expect(200);
}

#[tokio::test]
async fn nothing_comes_back_from_a_deletion() {
    let stub = Stub::new().await;
    let mut agent = enrolled(&stub).await;
    let (held, never_held) = (Tool::new(&["sleep"]), Tool::new(&["sleep"]));
    deployed(&agent, &stub, &held).await;
    stub.change(&held, Desired::Absent, false);
    for tool in [&held, &never_held] {
        let path = format!("/tools/{}?generation=2", tool.id);
        agent.call(Method::DELETE, &path).await.expect(200);
    }
    stub.until("its row is gone", SOON, |p| p.rows.is_empty())
        .await;
    // Commands from before the deletions arrive late, before and after a restart of the agent.
    for _ in 0..2 {
        for tool in [&held, &never_held] {
            agent
                .put(tool)
                .await
                .expect_problem(409, "stale_generation");
            assert!(agent.containers(tool).await.is_empty());
        }
        agent.kill();
        agent.start().await;
    }
    // A generation above the deletion is another matter.
    agent.deploy(&never_held.clone().next().next()).await;
}

#[tokio::test]
async fn orphans_are_named_and_left_alone() {
    let stub = Stub::new().await;
    let agent = enrolled_with(&stub, &["--heartbeat-interval=1"]).await;
    let (orphan, known) = (Tool::new(&["sleep"]), Tool::new(&["sleep"]));
    let before = agent.deploy(&orphan).await;
    deployed(&agent, &stub, &known).await;
    let pulls = stub.plane().pulls;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let list = agent.call(Method::GET, "/tools").await.expect(200);
    assert_eq!(list["orphans"], json!([orphan.id]));
    let after = agent.view(&orphan).await.expect(200);
    assert_eq!(after["container_id"], before["container_id"]);
    assert_eq!(after["started_at"], before["started_at"]);
    assert_eq!(stub.plane().pulls, pulls, "an orphan is no difference");
    // Its row was only late.
    stub.want(&orphan);
    let end = Instant::now() + SOON;
    while agent.call(Method::GET, "/tools").await.expect(200)["orphans"] != json!([]) {
        assert!(Instant::now() < end, "it is no orphan any more");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn planted_secrets_are_in_no_log_no_metric_and_no_heartbeat() {
    const CANARY: &str = "canary-5ecr3t";
    let stub = Stub::new().await;
    let agent = enrolled_with(&stub, &["--heartbeat-interval=1"]).await;
    let healthy = Tool::new(&["sleep"]).with("env", json!({"TOKEN": CANARY}));
    let ending = Tool::new(&["later", "0"]).with("env", json!({"TOKEN": CANARY}));
    let invalid = Tool::new(&["sleep"]).with("env", json!({"not a name": CANARY}));
    for tool in [&healthy, &ending, &invalid] {
        stub.want(tool);
    }
    stub.until("everything is told", SOON, |p| p.reports.len() == 3)
        .await;
    stub.until_told(&healthy, "it runs", SOON, |r| {
        r.phase == Some(Phase::Running)
    })
    .await;
    stub.change(&healthy, Desired::Stopped, false);
    stub.until_told(&healthy, "it stops", SOON, |r| {
        r.phase == Some(Phase::Stopped)
    })
    .await;
    let keys = stub.plane().keys.clone();
    let token = stub.plane().token.clone();
    let metrics = agent.call(Method::GET, "/metrics").await.expect(200);
    let list = agent.call(Method::GET, "/tools").await.expect(200);
    let heard: String = stub
        .plane()
        .heard
        .iter()
        .map(|(_, h)| serde_json::to_string(h).unwrap())
        .collect();
    let ids = stub.plane().request_ids.clone();
    assert!(
        ids.iter().any(|id| agent.log().contains(id)),
        "request ids join the logs"
    );
    for secret in [
        CANARY,
        &keys.control_to_agent,
        &keys.agent_to_control,
        &token,
        "PRIVATE KEY",
    ] {
        for (place, text) in [
            ("log", agent.log()),
            ("metrics", metrics.to_string()),
            ("list", list.to_string()),
            ("heartbeats", heard.clone()),
        ] {
            assert!(!text.contains(secret), "{place}");
        }
    }
}

#[tokio::test]
async fn the_last_change_is_told_when_the_agent_stops_and_a_silent_control_plane_holds_nothing_up()
{
    let stub = Stub::new().await;
    let mut agent = enrolled(&stub).await;
    let tool = Tool::new(&["sleep"]);
    deployed(&agent, &stub, &tool).await;
    stub.plane().fault = Fault::Down;
    agent.command(&tool, "stop").await.expect(200);
    tokio::time::sleep(Duration::from_millis(500)).await;
    stub.plane().fault = Fault::None;
    let (exit, _) = agent.terminate().await;
    assert_eq!(exit, Some(0));
    assert_eq!(stub.report(&tool).unwrap().phase, Some(Phase::Stopped));
    agent.start().await;
    stub.plane().fault = Fault::Down;
    agent.command(&tool, "start").await.expect(200);
    let (exit, duration) = agent.terminate().await;
    assert_eq!(exit, Some(0));
    assert!(duration < Duration::from_secs(5), "{duration:?}");
}

#[tokio::test]
async fn the_last_calls_of_servers_are_told_when_the_agent_stops() {
    let stub = Stub::new().await;
    let mut agent = enrolled(&stub).await;
    let tool = mcp::stdio();
    deployed(&agent, &stub, &tool).await;
    let session = mcp::session(&agent, &tool).await;
    let call = mcp::call(&agent, &tool, &session, "note");
    agent.send(call).await.expect(200);
    let (exit, _) = agent.terminate().await;
    assert_eq!(exit, Some(0));
    let plane = stub.plane();
    let told = plane.heard.iter().filter_map(|(_, h)| h.mcp_use.as_ref());
    let counts = told.flat_map(|told| &told.counts);
    let calls: Vec<_> = counts
        .map(|count| (count.instance_id, count.calls))
        .collect();
    assert_eq!(calls, [(ToolInstanceId::new(tool.id), 1)]);
}
