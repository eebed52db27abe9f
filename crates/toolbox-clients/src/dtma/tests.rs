use std::sync::Arc;
use std::time::Duration;

use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_api::problem::FieldError;
use toolbox_domain::keys::AgentKey;
use toolbox_domain::retry::Fault;
use toolbox_http::recorded::{Recorded, run};
use toolbox_http::{Response, TransportError};

use super::*;

const ID: &str = "22222222-2222-4222-8222-222222222222";

fn pin() -> Pin {
    Pin {
        certificate: "PEM".into(),
        proxy: "http://10.0.0.1:30000".into(),
    }
}

fn agent(transport: &Arc<Recorded>) -> Agent {
    let key = AgentKey::parse(&format!("tbk_{}", "0f".repeat(32))).unwrap();
    let transport: Arc<dyn Transport> = transport.clone();
    Agent::new(
        transport,
        "https://agent.invalid".to_owned(),
        &key,
        Some(pin()),
        Duration::from_secs(10),
        "req-1".into(),
    )
}

#[allow(clippy::unnecessary_wraps, reason = "stands beside answers that fail")]
fn answer(status: u16, content_type: &str, body: &str) -> Result<Response, TransportError> {
    let mut response = Response::new(status, body.as_bytes().to_vec());
    response.headers.set("content-type", content_type);
    Ok(response)
}

fn problem(code: &str, status: u16) -> Result<Response, TransportError> {
    let body = format!(
        r#"{{"type":"urn:toolbox:problem:{code}","title":"t","status":{status},"detail":"d","code":"{code}","retryable":true}}"#
    );
    answer(status, "application/problem+json", &body)
}

fn error_of(told: Result<Response, TransportError>) -> AgentError {
    let transport = Arc::new(Recorded::new());
    transport.on(move |_| Some(told.clone()));
    run(agent(&transport).get(ID.parse().unwrap(), None, None)).unwrap_err()
}

#[test]
fn each_way_to_fail_has_its_own_code() {
    let json = "application/json";
    let fault = |fault| Err(TransportError::new(fault, "x"));
    for (told, code) in [
        (fault(Fault::Refused), ErrorCode::AgentUnreachable),
        (fault(Fault::Reset), ErrorCode::AgentUnreachable),
        (fault(Fault::Dns), ErrorCode::AgentUnreachable),
        (fault(Fault::Tls), ErrorCode::AgentCertificateInvalid),
        (fault(Fault::CannotPin), ErrorCode::AgentPinUnsupported),
        (fault(Fault::Timeout), ErrorCode::AgentTimeout),
        (fault(Fault::BadBody), ErrorCode::AgentBadResponse),
        (problem("unauthorized", 401), ErrorCode::AgentUnauthorized),
        (answer(401, "text/html", "no"), ErrorCode::AgentUnauthorized),
        // The route is missing …
        (problem("route_unknown", 404), ErrorCode::AgentTooOld),
        (problem("method_not_allowed", 405), ErrorCode::AgentTooOld),
        (
            answer(404, json, r#"{"error":"Not Found"}"#),
            ErrorCode::AgentTooOld,
        ),
        // … or a field, …
        (problem("invalid_body", 400), ErrorCode::AgentTooOld),
        // … the instance is missing …
        (
            problem("instance_unknown", 404),
            ErrorCode::InstanceNotFound,
        ),
        // … and a text that says so is neither.
        (
            answer(500, json, r#"{"error":"404 Not Found"}"#),
            ErrorCode::AgentFailed,
        ),
        (
            answer(500, "text/html", "<h1>404</h1>"),
            ErrorCode::AgentBadResponse,
        ),
        (
            answer(200, "text/html", "<h1>ok</h1>"),
            ErrorCode::AgentBadResponse,
        ),
        (
            answer(200, json, r#"{"status":"healthy"}"#),
            ErrorCode::AgentBadResponse,
        ),
        (answer(302, json, "{}"), ErrorCode::AgentBadResponse),
        (
            problem("docker_unreachable", 503),
            ErrorCode::DockerUnreachable,
        ),
        (problem("docker_timeout", 504), ErrorCode::DockerTimeout),
        (problem("docker_failed", 502), ErrorCode::DockerFailed),
        (problem("store_failed", 507), ErrorCode::AgentStoreFailed),
        (problem("stale_generation", 409), ErrorCode::StateChanged),
        (problem("a_code_of_tomorrow", 500), ErrorCode::AgentFailed),
    ] {
        let text = format!("{told:?}");
        assert_eq!(error_of(told).code(), code, "{text}");
    }
}

#[test]
fn no_text_of_a_problem_keeps_control_characters_or_its_length() {
    let evil = format!("a\u{1b}[31mb\u{202e}c{}", "x".repeat(5000));
    let body = serde_json::json!({
        "type": "urn:toolbox:problem:invalid_spec", "title": "t", "status": 422, "detail": evil, "code": "invalid_spec",
        "retryable": false, "errors": [{"field": evil, "code": evil, "message": evil}],
    });
    let told = answer(422, "application/problem+json", &body.to_string());
    let details = ApiError::from(error_of(told)).details.unwrap();
    let FieldError {
        field,
        code,
        message,
    } = &details.errors[0];
    let field = field.strip_prefix("baseConfigOverrideJson.").unwrap();
    for text in [&*details.reason.unwrap().message, field, code, message] {
        assert!(text.starts_with("a\u{fffd}[31mb\u{fffd}cx"), "{text:?}");
        assert!(text.len() < 4100);
    }
}

#[test]
fn whether_anything_happened_and_whether_to_repeat() {
    let fault = |fault| Err(TransportError::new(fault, "x"));
    for (told, nothing_happened, transient) in [
        (fault(Fault::Refused), true, true),
        (fault(Fault::Tls), true, false),
        (fault(Fault::CannotPin), true, false),
        (fault(Fault::Reset), false, true),
        (fault(Fault::Timeout), false, true),
        (problem("shutting_down", 503), true, true),
        (problem("invalid_spec", 422), true, false),
        (problem("unauthorized", 401), true, false),
    ] {
        let error = error_of(told);
        assert_eq!(error.nothing_happened(), nothing_happened, "{error}");
        assert_eq!(error.transience().is_some(), transient, "{error}");
    }
    let mut busy = problem("docker_unreachable", 503).unwrap();
    busy.headers.set("retry-after", "2");
    let retry_after = error_of(Ok(busy)).transience().unwrap().retry_after;
    assert_eq!(retry_after, Some(Duration::from_secs(2)));
}

#[test]
fn every_call_carries_the_key_the_certificate_the_request_id_and_a_deadline() {
    let transport = Arc::new(Recorded::new());
    transport.on(|_| Some(problem("internal", 500)));
    let agent = agent(&transport);
    let id = ID.parse().unwrap();
    let _ = run(agent.command(id, Command::Restart, 7, Some(Duration::from_secs(20))));
    let _ = run(agent.delete(id, 8, None));
    let _ = run(agent.get(id, Some(9), Some(Duration::ZERO)));
    let sent = transport.sent();
    for call in &sent {
        assert!(
            call.request
                .headers
                .get("authorization")
                .unwrap()
                .starts_with("Bearer tbk_")
        );
        assert_eq!(call.pin, Some(pin()));
        assert_eq!(call.request.headers.get("x-request-id"), Some("req-1"));
        assert!(
            !format!("{call:?}").contains("tbk_"),
            "the key is not printed"
        );
    }
    assert_eq!(
        sent[0].request.url,
        format!("https://agent.invalid/tools/{ID}/restart")
    );
    assert_eq!(sent[0].request.headers.get("prefer"), Some("wait=20"));
    assert_eq!(sent[0].deadline, Duration::from_secs(30));
    assert_eq!(sent[0].request.body, br#"{"generation":7}"#);
    assert_eq!(
        sent[1].request.url,
        format!("https://agent.invalid/tools/{ID}?generation=8")
    );
    assert_eq!(
        (sent[2].request.headers.get("prefer"), sent[2].deadline),
        (None, Duration::from_secs(10))
    );
}
