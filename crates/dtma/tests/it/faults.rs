//! Docker away, Docker silent, disk full.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bollard::models::MountPoint;
use reqwest::Method;
use serde_json::json;
use tokio::net::{UnixListener, UnixStream};

use crate::agent::{Agent, Tool};
use crate::docker;

#[tokio::test]
async fn without_docker_the_agent_answers_and_says_so() {
    let mut agent = Agent::prepare();
    let socket = agent.folder.path().join("dead.sock");
    agent.docker_host = format!("unix://{}", socket.display());
    agent.start().await;
    let health = agent
        .send(agent.bare_request(Method::GET, "/health"))
        .await
        .expect(200);
    assert_eq!(
        (&health["status"], &health["docker"]["reachable"]),
        (&json!("degraded"), &json!(false))
    );
    assert_eq!(
        agent.call(Method::GET, "/status").await.expect(200)["docker"]["reachable"],
        false
    );
    agent
        .call(Method::GET, "/tools")
        .await
        .expect_problem(503, "docker_unreachable");
    // Docker may hold containers of it, so «unknown» would be a guess.
    let unseen = Tool::new(&["sleep"]);
    agent
        .command(&unseen, "start")
        .await
        .expect_problem(503, "docker_unreachable");
    agent
        .delete(&unseen)
        .await
        .expect_problem(503, "docker_unreachable");

    let tool = Tool::new(&["sleep"]);
    let view = agent.put(&tool).await.expect(200);
    assert_eq!(
        (&view["phase"], &view["reason"]["code"]),
        (&json!("error"), &json!("docker_unreachable")),
        "{view}"
    );
    agent
        .call(Method::GET, &format!("/tools/{}/logs", tool.id))
        .await
        .expect_problem(503, "docker_unreachable");

    // Docker comes: the spec was durable, so the tool runs without another word.
    docker::ensure_image().await;
    std::os::unix::fs::symlink("/var/run/docker.sock", &socket).unwrap();
    let view = agent
        .until(&tool, "it runs", Duration::from_secs(20), |v| {
            v["phase"] == "running"
        })
        .await;
    assert_eq!(view["settled"], true);
    agent.call(Method::GET, "/tools").await.expect(200);
}

/// An agent and the link it reaches Docker by: without it, Docker is away.
async fn behind_a_link() -> (Agent, PathBuf) {
    let mut agent = Agent::prepare();
    docker::ensure_image().await;
    let socket = agent.folder.path().join("docker.sock");
    std::os::unix::fs::symlink("/var/run/docker.sock", &socket).unwrap();
    agent.docker_host = format!("unix://{}", socket.display());
    agent.start().await;
    (agent, socket)
}

#[tokio::test]
async fn docker_going_away_is_seen_and_its_return_too() {
    let (agent, socket) = behind_a_link().await;
    let tool = Tool::new(&["sleep"]);
    let before = agent.deploy(&tool).await;
    std::fs::remove_file(&socket).unwrap();
    let view = agent.command(&tool, "restart").await.expect(200);
    assert_eq!(
        (&view["phase"], &view["reason"]["code"]),
        (&json!("error"), &json!("docker_unreachable"))
    );
    std::os::unix::fs::symlink("/var/run/docker.sock", &socket).unwrap();
    let after = agent
        .until(&tool, "it was restarted", Duration::from_secs(20), |v| {
            v["phase"] == "running"
        })
        .await;
    assert_eq!(after["container_id"], before["container_id"]);
    assert_ne!(after["started_at"], before["started_at"]);
}

/// Docker's socket behind another, whose end is the end of every connection, as when an engine ends.
struct Engine(tokio::task::JoinHandle<()>);

impl Engine {
    fn start(socket: &Path) -> Self {
        let listener = UnixListener::bind(socket).unwrap();
        Self(tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((mut client, _)) = listener.accept().await {
                connections.spawn(async move {
                    let mut docker = UnixStream::connect("/var/run/docker.sock").await?;
                    tokio::io::copy_bidirectional(&mut client, &mut docker).await
                });
            }
        }))
    }

    fn end(self, socket: &Path) {
        self.0.abort();
        std::fs::remove_file(socket).unwrap();
    }
}

#[tokio::test]
async fn what_could_not_start_is_tried_again_once_the_engine_is_another() {
    let mut agent = Agent::prepare();
    docker::ensure_image().await;
    let socket = agent.folder.path().join("docker.sock");
    agent.docker_host = format!("unix://{}", socket.display());
    let engine = Engine::start(&socket);
    agent.start().await;
    let tool = Tool::new(&["sleep"])
        .with("entrypoint", json!(["/data/program"]))
        .with("volumes", json!([{"name": "data", "path": "/data"}]));
    let view = agent.put(&tool).await.expect(200);
    assert_eq!(view["reason"]["code"], "start_failed", "{view}");
    let mounts = agent.container(&tool).await.mounts.unwrap();
    let is_data = |m: &&MountPoint| m.destination.as_deref() == Some("/data");
    let data = mounts.iter().find(is_data).unwrap();
    let program = Path::new(data.source.as_ref().unwrap()).join("program");
    std::fs::write(&program, docker::compile_fixture(agent.folder.path())).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let view = agent.view(&tool).await.expect(200);
    assert_eq!(view["phase"], "error", "it waits for a command: {view}");
    // Another is there before anybody has asked the first in vain.
    engine.end(&socket);
    let _engine = Engine::start(&socket);
    agent
        .until(&tool, "it runs", Duration::from_mins(1), |v| {
            v["phase"] == "running" && v["settled"] == true
        })
        .await;
}

#[tokio::test]
async fn an_update_goes_on_when_docker_is_back() {
    let (agent, socket) = behind_a_link().await;
    let tool = Tool::new(&["sleep"]);
    let before = agent.deploy(&tool).await;
    std::fs::remove_file(&socket).unwrap();
    let update = tool.clone().next().with("command", json!(["exit", "3"]));
    let away = agent.put(&update).await.expect(200);
    assert_eq!(
        (
            &away["phase"],
            &away["reason"]["code"],
            &away["rolled_back"]
        ),
        (&json!("error"), &json!("docker_unreachable"), &json!(false)),
    );
    std::os::unix::fs::symlink("/var/run/docker.sock", &socket).unwrap();
    let after = agent
        .until(&tool, "it was rolled back", Duration::from_secs(30), |v| {
            v["update_failed"] == true && v["settled"] == true
        })
        .await;
    assert_eq!(
        (&after["phase"], &after["rolled_back"]),
        (&json!("running"), &json!(true))
    );
    assert_eq!(after["container_id"], before["container_id"]);
}

#[tokio::test]
async fn a_silent_docker_is_a_timeout_and_the_agent_stays_quick() {
    let mut agent = Agent::prepare();
    let socket = agent.folder.path().join("silent.sock");
    let _silent = UnixListener::bind(&socket).unwrap();
    agent.docker_host = format!("unix://{}", socket.display());
    agent.start().await;
    // An answer of Docker's is good for half a second; then it is asked again.
    tokio::time::sleep(Duration::from_millis(600)).await;
    let begun = Instant::now();
    let health = agent
        .send(agent.bare_request(Method::GET, "/health"))
        .await
        .expect(200);
    assert_eq!(health["status"], "degraded");
    assert!(begun.elapsed() < Duration::from_secs(4));
    agent
        .call(Method::GET, "/tools")
        .await
        .expect_problem(504, "docker_timeout");
    let tool = Tool::new(&["sleep"]);
    let begun = Instant::now();
    let request = agent
        .request(Method::PUT, &format!("/tools/{}", tool.id))
        .json(&tool.body);
    agent.send(request).await.expect(202);
    assert!(
        begun.elapsed() < Duration::from_secs(12),
        "{:?}",
        begun.elapsed()
    );
    assert!(agent.record(&tool).exists());
    let view = agent
        .until(&tool, "it says so", Duration::from_secs(20), |v| {
            v["phase"] == "error"
        })
        .await;
    assert_eq!(view["reason"]["code"], "docker_unreachable");
    let (exit_code, duration) = agent.terminate().await;
    assert_eq!(exit_code, Some(0));
    assert!(duration < Duration::from_secs(12), "{duration:?}");
}

#[tokio::test]
async fn a_full_disk_refuses_commands_and_leaves_nothing_half_written() {
    assert!(
        rustix::process::geteuid().is_root(),
        "this test needs root, to mount the small disk it fills; set CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER='sudo -E'"
    );
    let mut agent = Agent::prepare();
    docker::ensure_image().await;
    std::fs::create_dir(&agent.state).unwrap();
    rustix::mount::mount(
        "tmpfs",
        &agent.state,
        "tmpfs",
        rustix::mount::MountFlags::empty(),
        Some(c"size=256k"),
    )
    .unwrap();
    let disk = Mounted(agent.state.clone());
    agent.start().await;
    let held = Tool::new(&["sleep"]).with("ports", json!([{"container_port": 80}]));
    let before = agent.deploy(&held).await;
    let record = std::fs::read(agent.record(&held)).unwrap();

    let ballast = agent.state.join("ballast");
    let mut size = 256 * 1024;
    while size > 0 && std::fs::write(&ballast, vec![0; size]).is_err() {
        size -= 4096;
    }
    let filler = agent.state.join("filler");
    let _ = std::fs::write(&filler, vec![0; 8192]);

    let refused = Tool::new(&["sleep"]).with("ports", json!([{"container_port": 80}]));
    agent
        .put(&refused)
        .await
        .expect_problem(507, "store_failed");
    agent
        .view(&refused)
        .await
        .expect_problem(404, "instance_unknown");
    agent
        .command(&held, "stop")
        .await
        .expect_problem(507, "store_failed");
    agent
        .put(&held.clone().next().with("env", json!({"A": "1"})))
        .await
        .expect_problem(507, "store_failed");
    assert_eq!(agent.delete(&held).await.status.as_u16(), 507);
    let view = agent.settled(&held).await;
    assert_eq!(
        (&view["phase"], &view["generation"], &view["desired"]),
        (&json!("running"), &json!(1), &json!("running"))
    );
    assert_eq!(view["container_id"], before["container_id"]);
    assert_eq!(
        std::fs::read(agent.record(&held)).unwrap(),
        record,
        "the old record is whole"
    );
    let files: Vec<_> = std::fs::read_dir(agent.state.join("instances"))
        .unwrap()
        .map(|f| f.unwrap().file_name())
        .collect();
    assert_eq!(files.len(), 1, "no leftovers: {files:?}");

    std::fs::remove_file(&ballast).unwrap();
    std::fs::remove_file(&filler).unwrap();
    agent.deploy(&refused).await;
    agent.command(&held, "stop").await.expect(200);
    agent.kill();
    drop(disk);
}

/// Unmounts at the end, also of a test that failed.
struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH);
    }
}

#[tokio::test]
async fn a_useless_key_file_or_address_ends_the_program_with_a_sentence() {
    let mut agent = Agent::prepare();
    let key = agent.folder.path().join("key");
    std::fs::write(&key, "not-a-key-but-s3cret\n").unwrap();
    agent.spawn();
    assert_eq!(agent.wait().await, Some(1));
    assert!(
        agent.log().contains("is no key") && !agent.log().contains("s3cret"),
        "{}",
        agent.log()
    );
    std::fs::remove_file(&key).unwrap();
    agent.spawn();
    assert_eq!(agent.wait().await, Some(1));
    assert!(agent.log().contains("could not read the key file"));

    let other = Agent::new().await;
    let mut taken = Agent::prepare();
    taken.extra = vec![
        "--listen".into(),
        other.url("").trim_start_matches("http://").to_owned(),
    ];
    taken.spawn();
    assert_eq!(taken.wait().await, Some(1));
    assert!(
        taken.log().contains("could not listen on"),
        "{}",
        taken.log()
    );
}

#[tokio::test]
async fn a_key_file_that_others_can_read_is_warned_about() {
    let mut agent = Agent::prepare();
    let key = agent.folder.path().join("key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    agent.start().await;
    assert!(agent.log().contains("set its mode to 0600"));
    assert!(!agent.log().contains(&agent.key));
}
