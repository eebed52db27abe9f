//! Registries and Git hosts that lead into the machine's own network, and what they answer.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::agent::{Agent, Tool};
use crate::docker;

/// What only the machine can read.
const SECRET: &str = "SECRET-OF-AN-INNER-SERVICE";

fn with_image(image: impl Into<String>) -> Tool {
    Tool::new(&["sleep"]).with("image", json!(image.into()))
}

/// A server of the inner network, and how often it was asked.
struct Inner {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
}

impl Inner {
    async fn start(ip: [u8; 4]) -> Self {
        let asked = Arc::new(AtomicUsize::new(0));
        let listener = tokio::net::TcpListener::bind(SocketAddr::from((ip, 0)))
            .await
            .unwrap();
        let address = listener.local_addr().unwrap();
        let app = axum::Router::new()
            .fallback(answer)
            .with_state((Arc::clone(&asked), address));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { address, asked }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

/// Answers by the name of the repository, as a registry does that wants its reader to repeat it.
async fn answer(State((asked, own)): State<(Arc<AtomicUsize>, SocketAddr)>, uri: Uri) -> Response {
    asked.fetch_add(1, Ordering::Relaxed);
    let error = |status: u16, code: &str| {
        let body = json!({"errors": [{"code": code, "message": SECRET, "detail": SECRET}]});
        let status = StatusCode::from_u16(status).unwrap();
        (status, axum::Json(body)).into_response()
    };
    let path = uri.path();
    if path == "/v2/" {
        // A registry that sends its reader to a realm of its own choice for every repository.
        return StatusCode::OK.into_response();
    }
    let shape = path.trim_start_matches("/v2/team/").split('/').next();
    match shape.unwrap_or_default() {
        "denied" => error(403, "DENIED"),
        "unknown" => error(404, "MANIFEST_UNKNOWN"),
        "name" => error(404, "NAME_UNKNOWN"),
        "limit" => error(429, "TOOMANYREQUESTS"),
        "own" => error(400, "SOMETHING_OF_ITS_OWN"),
        "broken" => error(500, "UNKNOWN"),
        "text" => (StatusCode::BAD_REQUEST, SECRET).into_response(),
        "page" => (
            StatusCode::FORBIDDEN,
            [("content-type", "text/html")],
            format!("<html>{SECRET}</html>"),
        )
            .into_response(),
        "manifest" => (
            [("content-type", "application/vnd.docker.distribution.manifest.v2+json")],
            format!("{{\"schemaVersion\": \"{SECRET}\""),
        )
            .into_response(),
        "redirect" => (
            StatusCode::TEMPORARY_REDIRECT,
            [("location", format!("http://{own}/v2/team/text/x"))],
        )
            .into_response(),
        "realm" => (
            StatusCode::UNAUTHORIZED,
            [(
                "www-authenticate",
                format!("Bearer realm=\"http://{own}/v2/team/text/token\",service=\"{SECRET}\",scope=\"x\""),
            )],
        )
            .into_response(),
        _ => (StatusCode::NOT_FOUND, SECRET).into_response(),
    }
}

#[tokio::test]
async fn what_a_registry_answers_reaches_nobody() {
    let mut agent = Agent::prepare();
    agent.start().await;
    let registry = Inner::start([127, 0, 0, 1]).await;
    let mut seen = String::new();
    for shape in [
        "denied", "unknown", "name", "limit", "own", "broken", "text", "page", "manifest",
        "redirect", "realm", "else",
    ] {
        let tool = with_image(format!("{}/team/{shape}:1", registry.address));
        let before = registry.asked();
        let said = agent.deploy_for(&tool, 60).await;
        assert!(registry.asked() > before, "{shape}: {}", said.body);
        let view = agent.settled(&tool).await;
        assert_eq!(view["phase"], "error", "{shape}: {view}");
        write!(seen, "{}\n{view}\n", said.body).unwrap();
        agent.delete(&tool).await.expect(200);
    }
    let git = with_image(format!("http://{}/team/text.git", registry.address));
    agent.put(&git).await;
    let view = agent.settled(&git).await;
    assert_eq!(view["reason"]["code"], "git_unreachable", "{view}");
    seen += &view.to_string();
    agent.delete(&git).await;
    assert!(!seen.contains("SECRET"), "{seen}");
    // Whoever runs the machine finds it in the log, at the level that these tests ask for.
    assert!(agent.log().contains(SECRET), "the log has no cause");
}

#[tokio::test]
async fn a_dockerfile_does_not_show_what_docker_fetches_for_it() {
    let mut agent = Agent::prepare();
    agent.start().await;
    let inner = Inner::start([127, 0, 0, 1]).await;
    for (line, reason) in [
        (format!("FROM {}/team/own:1", inner.address), "build_failed"),
        (
            format!("FROM scratch\nADD http://{}/team/else /x", inner.address),
            "build_failed",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let url = crate::images::serve_repository(folder.path(), &format!("{line}\n")).await;
        let tool = with_image(format!("{url}/tool.git#main:server"));
        agent.put(&tool).await;
        let view = agent.settled(&tool).await;
        assert_eq!(view["reason"]["code"], reason, "{view}");
        assert!(!view.to_string().contains("SECRET"), "{view}");
        agent.delete(&tool).await.expect(200);
    }
    assert!(inner.asked() > 0);
}

#[tokio::test]
async fn inner_addresses_are_refused_before_docker_hears_of_them() {
    let mut agent = Agent::prepare();
    // The other loopback addresses stand for what is not listed.
    agent.private_sources = "127.0.0.1";
    agent.start().await;
    let inner = Inner::start([127, 0, 0, 2]).await;
    let port = inner.address.port();
    for host in [
        format!("127.0.0.2:{port}"),
        format!("[::ffff:127.0.0.2]:{port}"),
        format!("[::127.0.0.2]:{port}"),
        format!("[64:ff9b::127.0.0.2]:{port}"),
        format!("localhost:{port}"),
        format!("a.localhost:{port}"),
        "169.254.169.254".to_owned(),
        "10.255.255.1:5000".to_owned(),
        "metadata.google.internal".to_owned(),
        "[fd00:ec2::254]".to_owned(),
    ] {
        for image in [
            format!("{host}/team/own:1"),
            format!("https://{host}/team/own.git"),
            format!("http://{host}/team/own.git"),
        ] {
            let tool = with_image(&image);
            let said = agent.put(&tool).await;
            let problem = said.expect_problem(422, "invalid_spec");
            let error = &problem["errors"][0];
            assert_eq!(error["field"], "image", "{image}: {problem}");
            let message = error["message"].as_str().unwrap();
            assert!(message.contains("DTMA_ALLOW_PRIVATE_SOURCES"), "{message}");
            agent
                .view(&tool)
                .await
                .expect_problem(404, "instance_unknown");
        }
    }
    for host in ["127.1", "0x7f.0.0.2", "2130706434", "127.0.0.2."] {
        let tool = with_image(format!("https://{host}/team/own.git"));
        agent.put(&tool).await.expect_problem(422, "invalid_spec");
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(inner.asked(), 0);
}

#[tokio::test]
async fn a_name_that_leads_nowhere_is_refused_and_the_reason_says_what_to_do() {
    let mut agent = Agent::prepare();
    agent.private_sources = "listed.invalid";
    agent.start().await;
    for (image, code) in [
        ("registry.invalid/team/own:1", "source_unresolved"),
        ("https://git.invalid/team/own.git", "source_unresolved"),
        // Docker is asked, because it may know a way.
        ("listed.invalid/team/own:1", "registry_unreachable"),
    ] {
        let tool = with_image(image);
        agent.put(&tool).await;
        // A resolver may take its time to say that there is no such name.
        let view = agent
            .until(&tool, "it is shown", Duration::from_secs(90), |view| {
                view["phase"] == "error"
            })
            .await;
        assert_eq!(view["reason"]["code"], code, "{image}: {view}");
        let message = view["reason"]["message"].as_str().unwrap();
        let is_told = message.contains("DTMA_ALLOW_PRIVATE_SOURCES");
        assert_eq!(is_told, code == "source_unresolved", "{message}");
        agent.delete(&tool).await.expect(200);
    }
}

#[tokio::test]
async fn a_source_that_was_allowed_before_is_not_asked_once_it_is_not() {
    let mut agent = Agent::prepare();
    agent.start().await;
    let registry = Inner::start([127, 0, 0, 1]).await;
    let tool = with_image(format!("{}/team/unknown:1", registry.address));
    agent.put(&tool).await;
    let view = agent.settled(&tool).await;
    assert_eq!(view["reason"]["code"], "image_tag_not_found", "{view}");
    agent.terminate().await;
    agent.private_sources = "";
    let before = registry.asked();
    agent.start().await;
    docker::eventually(
        "the agent refuses the source",
        Duration::from_secs(20),
        || async {
            let view = agent.view(&tool).await.expect(200);
            view["reason"]["code"] == "source_not_public"
        },
    )
    .await;
    assert_eq!(registry.asked(), before);
}
