//! `/v1/machine`: how the machine is, what the agent logged, and what a diagnosis finds: each fault provoked, and cured by
//! what its action names.

use std::net::TcpListener;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::routing::get;
use futures_util::StreamExt;
use reqwest::Method;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use crate::agent::Agent;

async fn get_json(agent: &Agent, path: &str) -> Value {
    agent.call(Method::GET, path).await.expect(200)
}

/// The check of this name.
async fn check(agent: &Agent, name: &str) -> Value {
    let body = get_json(agent, "/v1/machine/diagnose").await;
    let checks = body["checks"].as_array().unwrap();
    for check in checks {
        let is_bad = matches!(check["verdict"].as_str().unwrap(), "warning" | "failed");
        assert_eq!(check["action"].is_string(), is_bad, "{check}");
    }
    let mut found = checks.iter().filter(|check| check["name"] == name);
    let check = found.next().unwrap_or_else(|| panic!("{name} in {body}"));
    assert!(found.next().is_none(), "{name} is there once");
    check.clone()
}

async fn assert_verdict(agent: &Agent, name: &str, verdict: &str) {
    let check = check(agent, name).await;
    assert_eq!(check["verdict"], verdict, "{check}");
}

/// An agent that was given these flags.
async fn started(flags: &[String]) -> Agent {
    let mut agent = Agent::prepare();
    agent.extra = flags.to_vec();
    agent.start().await;
    agent
}

fn flag(name: &str, value: &str) -> Vec<String> {
    vec![name.to_owned(), value.to_owned()]
}

/// A server on this machine that answers every request so; its port.
async fn serve(router: Router) -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { axum::serve(listener, router).await });
    port
}

/// A control plane that answers 404 to everything, `ahead` seconds after now.
async fn control_plane(ahead: i64) -> u16 {
    serve(Router::new().fallback(get(move || async move {
        let date = (OffsetDateTime::now_utc() + time::Duration::seconds(ahead))
            .format(&Rfc2822)
            .unwrap()
            .replace("+0000", "GMT");
        (StatusCode::NOT_FOUND, [(header::DATE, date)])
    })))
    .await
}

#[tokio::test]
async fn the_status_has_metrics_and_versions() {
    let agent = started(&[]).await;
    let status = get_json(&agent, "/v1/machine/status").await;
    assert_eq!(status["toolbox_id"], agent.toolbox.to_string());
    assert_eq!(status["served_by"], "agent");
    assert_eq!(status["agent"]["health"], "healthy");
    assert_eq!(status["agent"]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["docker"]["reachable"], true);
    assert!(status["host"]["now"]["memory"]["total_bytes"].as_u64() > Some(0));
    let samples = status["host"]["samples"].as_array().unwrap();
    assert_eq!(samples.len(), 1, "one at the start");
    assert!(samples[0]["disk_free_bytes"].as_u64() > Some(0));
    assert_eq!(status["companion"], Value::Null, "none is configured");
    assert_eq!(status["certificate"], Value::Null, "plain HTTP");
}

#[tokio::test]
async fn the_log_can_be_read_and_followed_and_holds_no_key() {
    let agent = started(&[]).await;
    let read = agent
        .send(agent.request(Method::GET, "/v1/machine/logs?tail=5000"))
        .await;
    assert_eq!(read.headers["content-type"], "text/plain; charset=utf-8");
    let text = read.expect(200).as_str().unwrap().to_owned();
    assert!(text.contains("listening"), "{text}");
    let on_stderr = agent.log();
    for line in text.lines() {
        assert!(on_stderr.contains(line), "the same lines: {line}");
    }
    let response = agent
        .request(Method::GET, "/v1/machine/logs?tail=0&follow=true")
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    let mut lines = response.bytes_stream();
    let secret = format!("tbk_{}", "5".repeat(64));
    let refused = agent
        .bare_request(Method::GET, "/status")
        .bearer_auth(&secret);
    agent
        .send(refused)
        .await
        .expect_problem(401, "unauthorized");
    let mut followed = String::new();
    // The line about the request that follows may come first.
    while !followed.contains("/status") {
        let part = tokio::time::timeout(std::time::Duration::from_secs(10), lines.next()).await;
        let part = part.expect("a line about /status").unwrap().unwrap();
        followed.push_str(std::str::from_utf8(&part).unwrap());
        assert!(followed.ends_with('\n'), "{followed}");
    }
    for text in [&followed, &agent.log()] {
        assert!(!text.contains(&secret) && !text.contains(&agent.key));
    }
    let too_many = agent.call(Method::GET, "/v1/machine/logs?tail=5001").await;
    too_many.expect_problem(400, "invalid_body");
}

#[tokio::test]
async fn docker_down_fails_and_docker_up_cures_it() {
    let mut agent = Agent::prepare();
    let docker = std::mem::replace(&mut agent.docker_host, "unix:///nowhere.sock".to_owned());
    agent.start().await;
    let found = check(&agent, "docker").await;
    assert_eq!(found["verdict"], "failed");
    assert!(
        found["action"]
            .as_str()
            .unwrap()
            .contains("systemctl start docker")
    );
    let status = get_json(&agent, "/v1/machine/status").await;
    assert_eq!(status["agent"]["health"], "degraded");
    agent.kill();
    agent.docker_host = docker;
    agent.start().await;
    assert_verdict(&agent, "docker", "ok").await;
}

#[tokio::test]
async fn a_full_disk_is_a_warning_or_a_failure() {
    let full = started(&flag("--disk-free", "100")).await;
    let found = check(&full, "disk").await;
    assert!(
        found["verdict"] == "warning" || found["verdict"] == "failed",
        "{found}"
    );
    let enough = started(&flag("--disk-free", "0")).await;
    assert_verdict(&enough, "disk", "ok").await;
}

#[tokio::test]
async fn each_step_of_the_way_to_the_control_plane_is_told_apart() {
    let control = |url: String| flag("--control-url", &url);
    let none = started(&[]).await;
    assert_verdict(&none, "control_dns", "not_checked").await;

    let unknown = started(&control("https://nowhere.invalid/heartbeat".to_owned())).await;
    assert_verdict(&unknown, "control_dns", "failed").await;
    assert_verdict(&unknown, "control_tcp", "not_checked").await;

    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    let refused = started(&control(format!("http://127.0.0.1:{port}/heartbeat"))).await;
    assert_verdict(&refused, "control_dns", "ok").await;
    assert_verdict(&refused, "control_tcp", "failed").await;
    assert_verdict(&refused, "clock", "not_checked").await;

    let port = control_plane(0).await;
    let no_tls = started(&control(format!("https://127.0.0.1:{port}/heartbeat"))).await;
    assert_verdict(&no_tls, "control_tcp", "ok").await;
    assert_verdict(&no_tls, "control_tls", "failed").await;

    let good = started(&control(format!("http://127.0.0.1:{port}/heartbeat"))).await;
    for name in ["control_dns", "control_tcp", "control_tls", "clock"] {
        assert_verdict(&good, name, "ok").await;
    }
}

#[tokio::test]
async fn a_clock_that_is_wrong_is_told() {
    for (ahead, verdict) in [(3600, "failed"), (-20, "warning")] {
        let port = control_plane(ahead).await;
        let agent = started(&flag(
            "--control-url",
            &format!("http://127.0.0.1:{port}/heartbeat"),
        ))
        .await;
        let found = check(&agent, "clock").await;
        assert_eq!(found["verdict"], verdict, "{found}");
        assert!(found["action"].as_str().unwrap().contains("timedatectl"));
    }
}

#[tokio::test]
async fn the_companion_is_seen_when_it_is_there() {
    let health = || async { r#"{"version": "9.9.9", "status": "healthy"}"# };
    let port = serve(Router::new().route("/health", get(health))).await;
    let agent = started(&flag("--companion-port", &port.to_string())).await;
    assert_verdict(&agent, "companion", "ok").await;
    let status = get_json(&agent, "/v1/machine/status").await;
    assert_eq!(status["companion"]["version"], "9.9.9");

    let alone = started(&flag("--companion-port", "1")).await;
    assert_verdict(&alone, "companion", "failed").await;
    let status = get_json(&alone, "/v1/machine/status").await;
    assert_eq!(status["companion"]["reachable"], false);
}
