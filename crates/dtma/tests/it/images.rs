//! Where images come from, and what goes wrong on the way.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::agent::{Agent, Tool};
use crate::docker;
use crate::registry::Registry;

pub fn with_image(image: impl Into<String>) -> Tool {
    Tool::new(&["sleep"]).with("image", json!(image.into()))
}

fn assert_error(view: &Value, code: &str) {
    assert_eq!(
        (&view["phase"], &view["settled"]),
        (&json!("error"), &json!(true)),
        "{view}"
    );
    assert_eq!(view["reason"]["code"], code, "{view}");
    assert!(view["reason"]["message"].as_str().unwrap().len() > 20);
}

#[tokio::test]
async fn an_image_is_pulled_once_by_tag_and_by_digest() {
    let agent = Agent::new().await;
    let registry = Registry::start(false).await;
    let name = format!("team/tool-{}", Uuid::new_v4().simple());
    registry.push(&name, "1.2").await;
    let image = registry.image(&name);
    let tool = with_image(format!("{image}:1.2"));
    let view = agent.deploy(&tool).await;
    assert_eq!(view["image"], json!(format!("{image}:1.2")));
    assert!(
        view["image_digest"]
            .as_str()
            .unwrap()
            .starts_with("sha256:")
    );

    let inspected = docker::connect()
        .inspect_image(&format!("{image}:1.2"))
        .await
        .unwrap();
    let by_digest = inspected
        .repo_digests
        .unwrap()
        .into_iter()
        .find(|d| d.starts_with(&image))
        .unwrap();
    agent.deploy(&with_image(&by_digest)).await;
    // What is on the machine runs without its registry.
    drop(registry);
    let pinned = agent.deploy(&with_image(&by_digest)).await;
    assert_eq!(pinned["progress"], Value::Null);
    let floating = with_image(format!("{image}:1.2")).refreshed();
    let floating = agent.deploy(&floating).await;
    let told = floating["progress"]["stage"].as_str().unwrap();
    assert!(
        told.starts_with("Using the image on this machine"),
        "{told}"
    );
    let options = bollard::query_parameters::RemoveImageOptionsBuilder::default()
        .force(true)
        .build();
    let _ = docker::connect()
        .remove_image(&format!("{image}:1.2"), Some(options), None)
        .await;
}

#[tokio::test]
async fn a_tag_is_asked_for_again_by_a_deployment_and_by_nothing_else() {
    let mut agent = Agent::new().await;
    let registry = Registry::start(false).await;
    let name = format!("team/tool-{}", Uuid::new_v4().simple());
    registry.push(&name, "latest").await;
    let tool = with_image(registry.image(&name)).refreshed();
    let first = agent.deploy(&tool).await;
    let running = |view: &Value| (view["container_id"].clone(), view["image_digest"].clone());
    // Nothing newer: what runs goes on undisturbed.
    let tool = tool.next();
    let same = agent.deploy(&tool).await;
    assert_eq!(running(&same), running(&first));
    assert_eq!(same["started_at"], first["started_at"]);
    registry.push_newer(&name, "latest").await;
    // Neither a restart, nor a crash, nor a container that is gone is a deployment.
    agent.command(&tool, "restart").await.expect(200);
    let crashed = agent.container(&tool).await.id.unwrap();
    let signal = bollard::query_parameters::KillContainerOptions::default();
    let killed = docker::connect()
        .kill_container(&crashed, Some(signal))
        .await;
    killed.unwrap();
    let back = |view: &Value| view["phase"] == "running" && view["restart_count"] == 1;
    agent
        .until(&tool, "it is back", Duration::from_secs(10), back)
        .await;
    agent.kill();
    docker::remove(&crashed).await;
    agent.start().await;
    let anew = agent
        .until(&tool, "it was made anew", Duration::from_secs(10), |view| {
            view["phase"] == "running" && view["container_id"] != crashed.as_str()
        })
        .await;
    assert_eq!(anew["image_digest"], first["image_digest"]);
    let tool = tool.next();
    let second = agent.deploy(&tool).await;
    assert_ne!(second["image_digest"], first["image_digest"]);
    assert_eq!(second["update_failed"], false);
    // An update of a stopped tool looks for a newer image when it is started.
    agent.command(&tool, "stop").await.expect(200);
    registry.push_newer(&name, "latest").await;
    let tool = tool.next().stopped();
    agent.put(&tool).await.expect(200);
    let third = agent.command(&tool, "start").await.expect(200);
    assert_eq!(third["phase"], "running", "{third}");
    assert_ne!(third["image_digest"], second["image_digest"]);
    assert_eq!(third["progress"], Value::Null);
    // A registry that is down keeps nothing from running.
    drop(registry);
    let mut tool = tool.next();
    tool.body["desired"] = json!("running");
    let offline = agent.deploy(&tool).await;
    assert_eq!(running(&offline), running(&third));
    let told = offline["progress"]["stage"].as_str().unwrap();
    assert!(
        told.starts_with("Using the image on this machine"),
        "{told}"
    );
    agent.delete(&tool).await.expect(200);
    docker::forget_image(&format!(
        "{}:latest",
        tool.body["spec"]["image"].as_str().unwrap()
    ))
    .await;
}

#[tokio::test]
async fn a_version_keeps_its_image_when_its_tag_moves_on() {
    let mut agent = Agent::new().await;
    let registry = Registry::start(false).await;
    let name = format!("team/tool-{}", Uuid::new_v4().simple());
    // Not the test image itself, which has a name of its own.
    registry.push_newer(&name, "latest").await;
    registry.forget(&name, "latest").await;
    // The test's own command would hide that of the image.
    let tool = with_image(registry.image(&name))
        .with("command", Value::Null)
        .refreshed();
    let other = with_image(registry.image(&name));
    let first = agent.deploy(&tool).await;
    let old = first["image_digest"].clone();
    // Its registry has it under this one, whatever the tag names later.
    let registry_digest = first["registry_digest"].as_str().unwrap().to_owned();
    assert!(registry_digest.starts_with("sha256:"), "{first}");
    assert_eq!(agent.deploy(&other).await["image_digest"], old);
    registry
        .push_built(&name, "latest", "CMD [\"exit\", \"3\"]\n")
        .await;
    let tool = tool.next();
    let back = agent.put(&tool).await.expect(200);
    assert_eq!(
        (&back["phase"], &back["update_failed"]),
        (&json!("running"), &json!(true)),
        "{back}"
    );
    assert_eq!(back["image_digest"], old);
    let tag = format!("{}:latest", registry.image(&name));
    let moved = docker::connect().inspect_image(&tag).await.unwrap().id;
    let moved = moved.unwrap();
    assert_ne!(Some(&*moved), old.as_str());
    // Both are made anew, before and after a restart of the agent, from what they were.
    for tool in [&tool, &other] {
        let gone = agent.container(tool).await.id.unwrap();
        docker::remove(&gone).await;
        let anew = agent
            .until(tool, "it was made anew", Duration::from_secs(10), |view| {
                view["phase"] == "running" && view["container_id"] != gone.as_str()
            })
            .await;
        assert_eq!(anew["image_digest"], old);
        agent.kill();
        agent.start().await;
    }
    // A version that works takes the place of the old one, whose image goes with its last container.
    registry.push_newer(&name, "latest").await;
    let tool = tool.next();
    let newer = agent.deploy(&tool).await;
    assert_ne!(newer["image_digest"], old);
    assert_eq!(newer["update_failed"], false);
    let old = old.as_str().unwrap();
    assert!(docker::connect().inspect_image(old).await.is_ok());
    let updated = agent.deploy(&other.next().refreshed()).await;
    assert_eq!(updated["image_digest"], newer["image_digest"]);
    docker::eventually("the old image is gone", Duration::from_secs(10), || async {
        docker::connect().inspect_image(old).await.is_err()
    })
    .await;
    let by_digest = format!("{tag}@{registry_digest}");
    let mut tool = tool.next();
    tool.body["spec"]["image"] = json!(by_digest);
    let back = agent.deploy(&tool).await;
    assert_eq!(back["image_digest"], old);
    agent.delete(&tool).await.expect(200);
    docker::forget_image(&tag).await;
    docker::forget_image(&moved).await;
}

#[tokio::test]
async fn a_version_that_never_ran_asks_for_its_tag_once_too() {
    let mut agent = Agent::new().await;
    let registry = Registry::start(false).await;
    let name = format!("team/tool-{}", Uuid::new_v4().simple());
    let broken = "CMD [\"exit\", \"3\"]\n";
    registry.push_built(&name, "latest", broken).await;
    registry.forget(&name, "latest").await;
    let tool = with_image(registry.image(&name)).with("command", Value::Null);
    let failed = agent.put(&tool.clone().refreshed()).await.expect(200);
    assert_error(&failed, "exited");
    let first = failed["image_digest"].clone();
    registry.push_newer(&name, "latest").await;
    for command in ["start", "restart"] {
        let again = agent.command(&tool, command).await.expect(200);
        assert_error(&again, "exited");
        assert_eq!(again["image_digest"], first, "{command}");
    }
    // It is made anew by an agent that remembers only what is on its disk.
    let container = agent.container(&tool).await.id.unwrap();
    agent.kill();
    docker::remove(&container).await;
    agent.start().await;
    // As the control plane sends it when a start has met an agent that missed a generation.
    let tool = tool.next().next();
    let anew = agent.put(&tool).await.expect(200);
    assert_error(&anew, "exited");
    assert_eq!(anew["image_digest"], first);
    let tool = tool.next().refreshed();
    assert_ne!(agent.deploy(&tool).await["image_digest"], first);
    agent.delete(&tool).await.expect(200);
    docker::forget_image(&format!("{}:latest", registry.image(&name))).await;
}

#[tokio::test]
async fn what_a_registry_does_not_give_is_an_error_of_its_own() {
    let agent = Agent::new().await;
    let open = Registry::start(false).await;
    let closed = Registry::start(true).await;
    let name = format!("team/tool-{}", Uuid::new_v4().simple());
    open.push(&name, "1").await;

    let tag = agent
        .put(&with_image(format!("{}:nope", open.image(&name))))
        .await
        .expect(200);
    assert_error(&tag, "image_tag_not_found");
    let digest = format!("{}@sha256:{}", open.image(&name), "0".repeat(64));
    assert_error(
        &agent.put(&with_image(digest)).await.expect(200),
        "image_tag_not_found",
    );
    let repository = agent
        .put(&with_image(open.image("no/such:1")))
        .await
        .expect(200);
    // docker-registry says «manifest unknown» of a repository it does not know, as of a tag.
    assert_error(&repository, "image_tag_not_found");
    let locked = agent
        .put(&with_image(closed.image("team/tool:1")))
        .await
        .expect(200);
    assert_error(&locked, "registry_unauthorized");
    let unreachable = agent
        .put(&with_image("127.0.0.1:1/team/tool:1"))
        .await
        .expect(200);
    assert_error(&unreachable, "registry_unreachable");
}

pub async fn is_here(image: &str) -> bool {
    docker::connect().inspect_image(image).await.is_ok()
}

#[tokio::test]
async fn an_image_that_the_agent_pulled_goes_when_nobody_uses_it_any_more() {
    let agent = Agent::new().await;
    let registry = Registry::start(false).await;
    let name = format!("team/tool-{}", Uuid::new_v4().simple());
    let image = |tag: &str| format!("{}:{tag}", registry.image(&name));
    for tag in ["1", "2"] {
        registry.push_built(&name, tag, "").await;
        docker::forget_image(&image(tag)).await;
    }
    let (first, second) = (with_image(image("1")), with_image(image("1")));
    agent.deploy(&first).await;
    agent.deploy(&second).await;
    // An update leaves no image behind, once nobody else has it.
    let first = first.next().with("image", json!(image("2")));
    agent.deploy(&first).await;
    assert!(is_here(&image("1")).await, "another tool uses it");
    let second = second.next().with("image", json!(image("2")));
    agent.deploy(&second).await;
    docker::eventually(
        "the old image is gone",
        Duration::from_secs(10),
        async || !is_here(&image("1")).await,
    )
    .await;
    // A container of somebody else holds it, too.
    let foreign = docker::connect()
        .create_container(
            None::<bollard::query_parameters::CreateContainerOptions>,
            bollard::models::ContainerCreateBody {
                image: Some(image("2")),
                ..Default::default()
            },
        )
        .await
        .unwrap()
        .id;
    agent.delete(&first).await.expect(200);
    agent.delete(&second).await.expect(200);
    assert!(is_here(&image("2")).await, "a container uses it");
    docker::remove(&foreign).await;
    let third = with_image(image("2"));
    agent.deploy(&third).await;
    agent.delete(&third).await.expect(200);
    assert!(!is_here(&image("2")).await);
    // This one was here before, also where the registry is asked for it again.
    registry.push_built(&name, "3", "").await;
    let fourth = with_image(image("3")).refreshed();
    agent.deploy(&fourth).await;
    agent.delete(&fourth).await.expect(200);
    assert!(is_here(&image("3")).await, "somebody else brought it");
    docker::forget_image(&image("3")).await;
    // The agent did not pull this one.
    let built = Tool::new(&["sleep"]);
    agent.deploy(&built).await;
    agent.delete(&built).await.expect(200);
    assert!(is_here(docker::IMAGE).await);
}

#[tokio::test]
async fn a_command_tries_again_what_failed() {
    let agent = Agent::new().await;
    let registry = Registry::start(false).await;
    let name = format!("team/tool-{}", Uuid::new_v4().simple());
    let tool = with_image(format!("{}:1", registry.image(&name)));
    assert_eq!(agent.put(&tool).await.expect(200)["phase"], "error");
    registry.push(&name, "1").await;
    assert_eq!(
        agent.command(&tool, "start").await.expect(200)["phase"],
        "running"
    );
    agent.delete(&tool).await.expect(200);
    registry.forget(&name, "1").await;
}

#[tokio::test]
async fn an_image_for_another_machine_is_told_as_such() {
    let agent = Agent::new().await;
    let name = format!("dtma-test/foreign-{}", Uuid::new_v4().simple());
    docker::load_foreign_image(&name).await;
    let view = agent
        .put(&with_image(format!("{name}:1")).with("command", Value::Null))
        .await
        .expect(200);
    docker::forget_image(&format!("{name}:1")).await;
    assert_error(&view, "platform_mismatch");
    assert!(
        view["reason"]["message"]
            .as_str()
            .unwrap()
            .contains("linux/s390x"),
        "{view}"
    );
}

fn git(folder: &Path, arguments: &[&str]) {
    #[allow(
        clippy::disallowed_methods,
        reason = "tests bring their own repository"
    )]
    let output = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args([
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@t",
            "-c",
            "init.defaultBranch=main",
        ])
        .args(arguments)
        .output()
        .expect("these tests need git");
    assert!(
        output.status.success(),
        "git {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Serves a repository over plain HTTP as files; the URL of the folder.
pub async fn serve_repository(folder: &Path, dockerfile: &str) -> String {
    let work = folder.join("work");
    std::fs::create_dir_all(work.join("server")).unwrap();
    std::fs::write(work.join("server/fixture"), docker::compile_fixture(folder)).unwrap();
    git(&work, &["init", "-q"]);
    // Layers of its own: Docker shares those that are built alike, and another test may remove them meanwhile.
    let label = format!("\nLABEL of={}\n", Uuid::new_v4());
    let dockerfile = dockerfile.replacen('\n', &label, 1);
    std::fs::write(work.join("server/Dockerfile"), dockerfile).unwrap();
    let program = work.join("server/fixture");
    std::fs::set_permissions(
        &program,
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    git(&work, &["add", "."]);
    git(&work, &["commit", "-qm", "one"]);
    git(folder, &["clone", "-q", "--bare", "work", "tool.git"]);
    git(&folder.join("tool.git"), &["update-server-info"]);
    let root = folder.to_owned();
    let files = axum::Router::new().fallback(move |uri: http::Uri| {
        let path = root.join(uri.path().trim_start_matches('/'));
        async move { std::fs::read(path).map_err(|_| http::StatusCode::NOT_FOUND) }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, files).await });
    format!("http://{address}")
}

#[tokio::test]
async fn a_git_source_is_built_and_its_image_goes_with_the_instance() {
    let mut agent = Agent::prepare();
    agent.start().await;
    let folder = tempfile::tempdir().unwrap();
    let url = serve_repository(
        folder.path(),
        "FROM scratch\nCOPY fixture /fixture\nENTRYPOINT [\"/fixture\"]\n",
    )
    .await;
    let tool = with_image(format!("{url}/tool.git#main:server"));
    agent.deploy(&tool).await;
    let tag = format!("toolbox-build/{}:1", tool.id.simple());
    assert!(docker::connect().inspect_image(&tag).await.is_ok());
    agent
        .deploy(&tool.clone().next().with("env", json!({"A": "1"})))
        .await;
    docker::eventually(
        "the superseded build is removed",
        Duration::from_secs(10),
        || async { docker::connect().inspect_image(&tag).await.is_err() },
    )
    .await;
    let tag = tag.replace(":1", ":2");
    assert!(docker::connect().inspect_image(&tag).await.is_ok());
    agent.delete(&tool).await.expect(200);
    assert!(docker::connect().inspect_image(&tag).await.is_err());
}

#[tokio::test]
async fn a_source_that_does_not_build_shows_the_end_of_its_log() {
    let mut agent = Agent::prepare();
    agent.start().await;
    let folder = tempfile::tempdir().unwrap();
    let url = serve_repository(
        folder.path(),
        "FROM scratch\nCOPY fixture /fixture\nCOPY missing /missing\n",
    )
    .await;
    let failed = agent
        .put(&with_image(format!("{url}/tool.git#main:server")))
        .await
        .expect(200);
    assert_error(&failed, "build_failed");
    assert!(
        failed["reason"]["message"]
            .as_str()
            .unwrap()
            .contains("COPY missing /missing"),
        "{failed}"
    );
    let missing = agent
        .put(&with_image(format!("{url}/other.git")))
        .await
        .expect(200);
    assert_error(&missing, "git_unreachable");
    let branch = agent
        .put(&with_image(format!("{url}/tool.git#nope")))
        .await
        .expect(200);
    assert_error(&branch, "git_unreachable");
}

#[tokio::test]
async fn the_commands_of_a_build_are_limited() {
    let mut agent = Agent::prepare();
    agent.start().await;
    let folder = tempfile::tempdir().unwrap();
    let mark = Uuid::new_v4().to_string();
    let url = serve_repository(
        folder.path(),
        &format!(
            "FROM scratch\nCOPY fixture /fixture\nRUN [\"/fixture\", \"sleep\", \"{mark}\"]\n"
        ),
    )
    .await;
    let tool = with_image(format!("{url}/tool.git#main:server"));
    let request = agent
        .request(reqwest::Method::PUT, &format!("/tools/{}", tool.id))
        .json(&tool.body);
    agent.send(request).await.expect(202);
    let docker = docker::connect();
    let running = || async {
        let all = docker
            .list_containers(None::<bollard::query_parameters::ListContainersOptions>)
            .await
            .unwrap();
        all.into_iter()
            .find(|c| c.command.as_ref().is_some_and(|c| c.contains(&mark)))
            .and_then(|c| c.id)
    };
    docker::eventually("the command runs", Duration::from_secs(20), || async {
        running().await.is_some()
    })
    .await;
    let id = running().await.unwrap();
    let found = docker.inspect_container(&id, None).await.unwrap();
    let host = found.host_config.unwrap();
    docker::remove(&id).await;
    assert_eq!(host.memory, Some(1 << 30));
    assert_eq!(host.memory_swap, Some(1 << 30));
    assert_eq!(
        (host.cpu_period, host.cpu_quota),
        (Some(100_000), Some(100_000))
    );
    assert_eq!(host.cpu_shares, Some(256));
    // Its bridge is one of those that the rules of the machine's firewall are about.
    let network = dtma::runtime::networks::of_builds(agent.toolbox_id());
    assert_eq!(host.network_mode.as_deref(), Some(network.as_str()));
    let view = agent
        .until(&tool, "it failed", Duration::from_secs(20), |v| {
            v["phase"] == "error"
        })
        .await;
    assert_error(&view, "build_failed");
}

#[tokio::test]
async fn progress_of_a_pull_is_shown() {
    let agent = Agent::new().await;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let tool = with_image(format!("127.0.0.1:{port}/a/b:1"));
    let request = agent
        .request(reqwest::Method::PUT, &format!("/tools/{}", tool.id))
        .json(&tool.body);
    agent.send(request).await.expect(202);
    let view = agent
        .until(&tool, "it is pulling", Duration::from_secs(5), |v| {
            v["phase"] == "pulling"
        })
        .await;
    assert_eq!(view["settled"], false);
    agent.delete(&tool).await.expect(200);
}
