//! Docker Engines of other versions, as far as they answer a pull in other words: the real one, behind a socket that gives
//! their answers itself.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use crate::agent::{Agent, Tool};
use crate::docker;

/// Answers every pull with `status` and `message`, and counts them; all else goes to Docker.
fn engine_that_says(socket: &Path, status: u16, message: &str) -> Arc<AtomicUsize> {
    let listener = UnixListener::bind(socket).unwrap();
    let body = json!({"message": message}).to_string();
    let answer = format!(
        "HTTP/1.1 {status} Any\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let pulls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&pulls);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (answer, counted) = (answer.clone(), Arc::clone(&counted));
            tokio::spawn(async move {
                let docker = UnixStream::connect("/var/run/docker.sock").await.unwrap();
                let (mut from_docker, mut to_docker) = docker.into_split();
                let (mut from_client, to_client) = client.into_split();
                let to_client = Arc::new(tokio::sync::Mutex::new(to_client));
                let back = Arc::clone(&to_client);
                tokio::spawn(async move {
                    let mut part = vec![0; 1 << 16];
                    while let Ok(n @ 1..) = from_docker.read(&mut part).await {
                        if back.lock().await.write_all(&part[..n]).await.is_err() {
                            break;
                        }
                    }
                });
                let mut part = vec![0; 1 << 16];
                while let Ok(n @ 1..) = from_client.read(&mut part).await {
                    let is_pull = part[..n].starts_with(b"POST ")
                        && part[..n].windows(14).any(|w| w == b"/images/create");
                    if is_pull {
                        counted.fetch_add(1, Ordering::Relaxed);
                        to_client
                            .lock()
                            .await
                            .write_all(answer.as_bytes())
                            .await
                            .unwrap();
                    } else if to_docker.write_all(&part[..n]).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    pulls
}

#[tokio::test]
async fn what_engines_with_another_image_store_say_is_understood() {
    docker::ensure_image().await;
    for (status, message, code, pulls) in [
        (
            404,
            "failed to resolve reference \"127.0.0.1:1/a/runner:nope\": 127.0.0.1:1/a/runner:nope: not found",
            "image_tag_not_found",
            1,
        ),
        (
            404,
            "pull access denied for a/runner, repository does not exist or may require 'docker login'",
            "image_not_found",
            1,
        ),
        (
            500,
            "failed to resolve reference \"127.0.0.1:1/a/runner:nope\": unexpected status from HEAD request to http://127.0.0.1:1/v2/a/runner/manifests/nope: 403 Forbidden",
            "registry_unauthorized",
            1,
        ),
        (
            500,
            "failed to resolve reference \"127.0.0.1:1/a/runner:nope\": unexpected status from HEAD request to http://127.0.0.1:1/v2/a/runner/manifests/nope: 503 Service Unavailable",
            "registry_unreachable",
            3,
        ),
    ] {
        let mut agent = Agent::prepare();
        let socket = agent.folder.path().join("docker.sock");
        let asked = engine_that_says(&socket, status, message);
        agent.docker_host = format!("unix://{}", socket.display());
        agent.start().await;
        let tool = Tool::new(&["sleep"]).with("image", json!("127.0.0.1:1/a/runner:nope"));
        let view = agent.put(&tool).await.expect(200);
        assert_eq!(
            (&view["phase"], &view["reason"]["code"]),
            (&json!("error"), &json!(code)),
            "{view}"
        );
        assert_eq!(asked.load(Ordering::Relaxed), pulls, "{message}");
    }
}
