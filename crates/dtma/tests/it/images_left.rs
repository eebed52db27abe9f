//! Images that nobody uses are removed.

use std::time::Duration;

use bollard::query_parameters::ListImagesOptionsBuilder;
use serde_json::Value;

use crate::agent::Agent;
use crate::docker;
use crate::images::{is_here, serve_repository, with_image};
use crate::registry::Registry;

async fn building() -> (Agent, tempfile::TempDir) {
    (Agent::new().await, tempfile::tempdir().unwrap())
}

/// All images with a label, also those without a name that others are built on.
async fn labelled(label: &str) -> Vec<String> {
    let filters = std::collections::HashMap::from([("label".to_owned(), vec![label.to_owned()])]);
    let options = ListImagesOptionsBuilder::default()
        .all(true)
        .filters(&filters)
        .build();
    let found = docker::connect().list_images(Some(options)).await.unwrap();
    found.into_iter().map(|image| image.id).collect()
}

#[tokio::test]
async fn a_build_that_fails_leaves_no_image() {
    let (agent, folder) = building().await;
    let mark = format!("mark={}", uuid::Uuid::new_v4());
    let url = serve_repository(
        folder.path(),
        &format!(
            "FROM scratch\nLABEL {mark}\nCOPY fixture /fixture\nENV A=1\nRUN [\"/fixture\", \"exit\", \"3\"]\n"
        ),
    )
    .await;
    let tool = with_image(format!("{url}/tool.git#main:server"));
    let view = agent.put(&tool).await.expect(200);
    assert_eq!(view["reason"]["code"], "build_failed", "{view}");
    assert_eq!(labelled(&mark).await, Vec::<String>::new());
}

#[tokio::test]
async fn the_base_that_a_build_pulled_goes_with_what_was_built_on_it() {
    let (agent, folder) = building().await;
    let registry = Registry::start(false).await;
    let name = format!("team/base-{}", uuid::Uuid::new_v4().simple());
    let base = format!("{}:1", registry.image(&name));
    registry.push_built(&name, "1", "").await;
    let id = docker::connect()
        .inspect_image(&base)
        .await
        .unwrap()
        .id
        .unwrap();
    docker::forget_image(&base).await;
    assert!(!is_here(&id).await);
    let url = serve_repository(folder.path(), &format!("FROM {base}\nENV A=1\n")).await;
    let tool = with_image(format!("{url}/tool.git#main:server"));
    agent.deploy(&tool).await;
    assert!(is_here(&id).await);
    agent.delete(&tool).await.expect(200);
    assert!(!is_here(&base).await && !is_here(&id).await);

    // One that was here before is somebody else's.
    registry.push_built(&name, "2", "").await;
    let base = format!("{}:2", registry.image(&name));
    let folder = tempfile::tempdir().unwrap();
    let url = serve_repository(folder.path(), &format!("FROM {base}\nENV A=2\n")).await;
    let tool = with_image(format!("{url}/tool.git#main:server"));
    agent.deploy(&tool).await;
    agent.delete(&tool).await.expect(200);
    assert!(is_here(&base).await);
    docker::forget_image(&base).await;
}

#[tokio::test]
async fn an_image_that_a_crash_left_is_removed_at_the_next_start() {
    let mut agent = Agent::new().await;
    let registry = Registry::start(false).await;
    let name = format!("team/tool-{}", uuid::Uuid::new_v4().simple());
    let image = format!("{}:1", registry.image(&name));
    registry.push_built(&name, "1", "").await;
    docker::forget_image(&image).await;
    let tool = with_image(image.clone());
    agent.deploy(&tool).await;
    // As after a deletion that was cut short once the record was gone.
    agent.kill();
    docker::remove(&agent.container(&tool).await.id.unwrap()).await;
    std::fs::remove_file(agent.record(&tool)).unwrap();
    assert!(is_here(&image).await);
    agent.start().await;
    docker::eventually("the image is gone", Duration::from_secs(10), async || {
        !is_here(&image).await
    })
    .await;
}

#[tokio::test]
async fn an_image_whose_name_moved_on_goes_with_its_tool() {
    let agent = Agent::new().await;
    let registry = Registry::start(false).await;
    let name = format!("team/tool-{}", uuid::Uuid::new_v4().simple());
    registry.push_newer(&name, "latest").await;
    registry.forget(&name, "latest").await;
    let tool = with_image(registry.image(&name)).with("command", Value::Null);
    let old = agent.deploy(&tool).await["image_digest"].clone();
    registry.push_newer(&name, "latest").await;
    let other = with_image(registry.image(&name)).refreshed();
    let new = agent.deploy(&other).await["image_digest"].clone();
    assert_ne!(old, new);
    agent.delete(&tool).await.expect(200);
    assert!(!is_here(old.as_str().unwrap()).await);
    assert!(is_here(new.as_str().unwrap()).await);
    agent.delete(&other).await.expect(200);
    assert!(!is_here(new.as_str().unwrap()).await);
}

#[tokio::test]
async fn a_build_cannot_make_more_processes_than_its_limit() {
    let (agent, folder) = building().await;
    let url = serve_repository(
        folder.path(),
        "FROM scratch\nCOPY fixture /fixture\nRUN [\"/fixture\", \"bomb\", \"20000\"]\n",
    )
    .await;
    let tool = with_image(format!("{url}/tool.git#main:server"));
    let view = agent.put(&tool).await.expect(200);
    assert_eq!(view["reason"]["code"], "build_failed", "{view}");
    let message = view["reason"]["message"].as_str().unwrap();
    let told = message
        .lines()
        .find_map(|line| line.trim().strip_suffix(" processes"));
    let made: u32 = told
        .unwrap_or_else(|| panic!("{message}"))
        .trim()
        .parse()
        .unwrap();
    println!("a build that made processes without end was refused after {made}");
    assert!(made < 15_000, "{message}");
}
