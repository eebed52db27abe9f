//! Docker as tests see it: past the agent.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bollard::models::{ContainerCreateBody, ContainerInspectResponse, HostConfig};
use bollard::query_parameters as q;
use bollard::{ClientVersion, Docker};
use futures_util::StreamExt;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;
use uuid::Uuid;

/// The test image: `fixture.c` and nothing else.
pub const IMAGE: &str = "dtma-test/fixture:1";

/// A connection in the oldest API version that every supported engine speaks.
pub fn connect() -> Docker {
    let version = ClientVersion {
        major_version: 1,
        minor_version: 41,
    };
    Docker::connect_with_unix("unix:///var/run/docker.sock", 120, &version)
        .expect("these tests need a Docker Engine on /var/run/docker.sock")
}

/// The program of the test image.
pub fn compile_fixture(folder: &Path) -> Vec<u8> {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/fixture.c");
    let program = folder.join("fixture");
    #[allow(clippy::disallowed_methods, reason = "tests build their own image")]
    let built = Command::new("musl-gcc")
        .args(["-static", "-O1", "-o"])
        .arg(&program)
        .arg(source)
        .status();
    assert!(
        built
            .expect("these tests need musl-gcc (package musl-tools)")
            .success(),
        "fixture.c does not compile"
    );
    std::fs::read(program).unwrap()
}

/// A tar archive of executable files, and of folders, whose names end with a slash.
fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        if name.ends_with('/') {
            header.set_entry_type(tar::EntryType::Directory);
        }
        header.set_mode(0o755);
        header.set_cksum();
        archive.append_data(&mut header, name, *bytes).unwrap();
    }
    archive.into_inner().unwrap()
}

/// Puts an image for another processor on this machine; a registry would give it just so.
pub async fn load_foreign_image(name: &str) {
    let layer = archive(&[("program", b"\x7fELF\x02\x02\x01 for another machine")]);
    let digest = Sha256::digest(&layer)
        .iter()
        .fold(String::new(), |hex, b| format!("{hex}{b:02x}"));
    let config = json!({
        "architecture": "s390x",
        "os": "linux",
        "config": {"Entrypoint": ["/program"]},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{digest}")]},
    });
    let manifest = json!([{"Config": "config.json", "RepoTags": [format!("{name}:1")], "Layers": ["layer.tar"]}]);
    let image = archive(&[
        ("config.json", config.to_string().as_bytes()),
        ("layer.tar", &layer),
        ("manifest.json", manifest.to_string().as_bytes()),
    ]);
    let options = q::ImportImageOptionsBuilder::default().build();
    let docker = connect();
    let mut steps = docker.import_image(options, bollard::body_full(image.into()), None);
    while let Some(step) = steps.next().await {
        step.expect("the image must load");
    }
}

/// Takes an image off the machine.
pub async fn forget_image(image: &str) {
    let options = q::RemoveImageOptionsBuilder::default().force(true).build();
    let _ = connect().remove_image(image, Some(options), None).await;
}

/// The test image is there afterwards.
pub async fn ensure_image() {
    static BUILT: OnceCell<()> = OnceCell::const_new();
    BUILT
        .get_or_init(|| async {
            let folder = tempfile::tempdir().unwrap();
            let dockerfile =
                "FROM scratch\nCOPY fixture /\nENTRYPOINT [\"/fixture\"]\nCMD [\"sleep\"]\n";
            let program = compile_fixture(folder.path());
            build(
                IMAGE,
                &[("Dockerfile", dockerfile.as_bytes()), ("fixture", &program)],
            )
            .await;
        })
        .await;
}

/// Builds an image from these files. The engine loses a step's image when another test removes an image that was made of the
/// same steps meanwhile, so it is tried again.
pub async fn build(tag: &str, files: &[(&str, &[u8])]) {
    for left in (0..3).rev() {
        match try_build(tag, files).await {
            Ok(()) => return,
            Err(lost) if left > 0 && lost.contains("unable to find image") => {}
            Err(failed) => panic!("the test image must build: {failed}"),
        }
    }
}

async fn try_build(tag: &str, files: &[(&str, &[u8])]) -> Result<(), String> {
    let options = q::BuildImageOptionsBuilder::default()
        .t(tag)
        .rm(true)
        .build();
    let docker = connect();
    let body = bollard::body_full(archive(files).into());
    let mut steps = docker.build_image(options, None, Some(body));
    while let Some(step) = steps.next().await {
        let step = step.map_err(|error| error.to_string())?;
        if let Some(failed) = step.error_detail {
            return Err(format!("{failed:?}"));
        }
    }
    Ok(())
}

fn labelled(toolbox: Uuid) -> HashMap<String, Vec<String>> {
    HashMap::from([(
        "label".to_owned(),
        vec![format!("io.toolbox.toolbox_id={toolbox}")],
    )])
}

/// Every container of the toolbox.
pub async fn containers(toolbox: Uuid) -> Vec<ContainerInspectResponse> {
    let docker = connect();
    let options = q::ListContainersOptionsBuilder::default()
        .all(true)
        .filters(&labelled(toolbox))
        .build();
    let mut found = Vec::new();
    for summary in docker.list_containers(Some(options)).await.unwrap() {
        if let Ok(detail) = docker.inspect_container(&summary.id.unwrap(), None).await {
            found.push(detail);
        }
    }
    found
}

/// Every container of one instance.
pub async fn of_instance(toolbox: Uuid, instance: Uuid) -> Vec<ContainerInspectResponse> {
    let label = |c: &ContainerInspectResponse| {
        c.config
            .as_ref()?
            .labels
            .as_ref()?
            .get("io.toolbox.instance_id")
            .cloned()
    };
    let mut found = containers(toolbox).await;
    found.retain(|c| label(c) == Some(instance.to_string()));
    found
}

/// Whether the container runs.
pub fn runs(container: &ContainerInspectResponse) -> bool {
    container.state.as_ref().and_then(|s| s.running) == Some(true)
}

/// Its name.
pub fn name(container: &ContainerInspectResponse) -> &str {
    container.name.as_deref().unwrap().trim_start_matches('/')
}

/// The lines that Docker's log has of its standard error.
pub async fn errors(id: &str) -> Vec<String> {
    let options = q::LogsOptionsBuilder::default().stderr(true).build();
    let mut lines = connect().logs(id, Some(options));
    let mut found = Vec::new();
    while let Some(line) = lines.next().await {
        found.push(line.unwrap().to_string().trim_end().to_owned());
    }
    found
}

/// Removes a container behind the agent's back.
pub async fn remove(id: &str) {
    let options = q::RemoveContainerOptionsBuilder::default()
        .force(true)
        .v(true)
        .build();
    let _ = connect().remove_container(id, Some(options)).await;
}

/// Puts another container in the place of one of the agent's: the same, but for what `change` makes of it.
pub async fn make_again(
    container: &ContainerInspectResponse,
    change: impl FnOnce(HostConfig) -> HostConfig,
) -> String {
    let (config, host) = (
        container.config.clone().unwrap(),
        container.host_config.clone().unwrap(),
    );
    remove(container.id.as_deref().unwrap()).await;
    let options = q::CreateContainerOptionsBuilder::default()
        .name(name(container))
        .build();
    let body = ContainerCreateBody {
        image: config.image,
        cmd: config.cmd,
        env: config.env,
        exposed_ports: config.exposed_ports,
        labels: config.labels,
        host_config: Some(change(host)),
        ..ContainerCreateBody::default()
    };
    let docker = connect();
    let id = docker
        .create_container(Some(options), body)
        .await
        .unwrap()
        .id;
    docker.start_container(&id, None).await.unwrap();
    id
}

/// Creates and starts a container of nobody's.
pub async fn foreign(name: &str, body: ContainerCreateBody) -> String {
    ensure_image().await;
    let docker = connect();
    let options = q::CreateContainerOptionsBuilder::default()
        .name(name)
        .build();
    let body = ContainerCreateBody {
        image: Some(IMAGE.to_owned()),
        ..body
    };
    let id = docker
        .create_container(Some(options), body)
        .await
        .unwrap()
        .id;
    docker.start_container(&id, None).await.unwrap();
    id
}

/// Removes everything the toolbox has.
pub async fn wipe(toolbox: Uuid) {
    let docker = connect();
    for container in containers(toolbox).await {
        remove(container.id.as_deref().unwrap()).await;
    }
    let options = q::ListVolumesOptionsBuilder::default()
        .filters(&labelled(toolbox))
        .build();
    for volume in docker
        .list_volumes(Some(options))
        .await
        .unwrap()
        .volumes
        .unwrap_or_default()
    {
        let _ = docker
            .remove_volume(&volume.name, None::<q::RemoveVolumeOptions>)
            .await;
    }
    let options = q::ListNetworksOptionsBuilder::default()
        .filters(&labelled(toolbox))
        .build();
    for network in docker.list_networks(Some(options)).await.unwrap() {
        let _ = docker.remove_network(&network.id.unwrap()).await;
    }
    let options = q::ListImagesOptionsBuilder::default()
        .filters(&labelled(toolbox))
        .build();
    for image in docker.list_images(Some(options)).await.unwrap() {
        let options = q::RemoveImageOptionsBuilder::default().force(true).build();
        let _ = docker.remove_image(&image.id, Some(options), None).await;
    }
}

/// Tries until it holds.
pub async fn eventually<F: Future<Output = bool>>(
    what: &str,
    limit: Duration,
    mut holds: impl FnMut() -> F,
) {
    let end = tokio::time::Instant::now() + limit;
    while !holds().await {
        assert!(tokio::time::Instant::now() < end, "{what} within {limit:?}");
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}

/// Writes a file whole.
pub fn write(path: &Path, bytes: &[u8]) {
    std::fs::File::create(path)
        .and_then(|mut f| f.write_all(bytes))
        .unwrap();
}
