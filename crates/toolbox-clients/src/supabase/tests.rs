use std::sync::Arc;
use std::time::Duration;

use toolbox_api::error::ErrorCode;
use toolbox_domain::retry::Fault;
use toolbox_http::recorded::{self, JumpingClock, run};
use toolbox_http::{Response, TransportError};

use super::rows::Recorded;
use super::toolbox_events::ToolboxEvent;
use super::*;

const TOOLBOX: &str = "11111111-1111-4111-8111-111111111111";

fn supabase(transport: &Arc<recorded::Recorded>, secret: &str) -> Supabase {
    let clock: Arc<dyn Clock> = Arc::new(JumpingClock::new(Duration::from_secs(1)));
    let transport: Arc<dyn Transport> = transport.clone();
    let keys = ProjectKeys {
        publishable: "sb_publishable_x".to_owned(),
        secret: secret.to_owned(),
    };
    Supabase::new(
        transport,
        clock,
        "https://p.supabase.co",
        keys,
        Duration::from_secs(10),
    )
}

#[allow(clippy::unnecessary_wraps, reason = "stands beside answers that fail")]
fn told(status: u16, body: &str) -> Result<Response, TransportError> {
    Ok(Response::new(status, body.as_bytes().to_vec()))
}

#[test]
fn each_way_to_fail_has_its_own_code() {
    let fault = |fault| Err(TransportError::new(fault, "x"));
    for (answer, code, calls) in [
        (fault(Fault::Refused), ErrorCode::DatabaseUnreachable, 3),
        (fault(Fault::Tls), ErrorCode::DatabaseUnreachable, 1),
        (fault(Fault::Timeout), ErrorCode::DatabaseTimeout, 1),
        (
            told(503, r#"{"code":"PGRST002","message":"SECRET"}"#),
            ErrorCode::DatabaseUnreachable,
            3,
        ),
        (told(502, "<html>"), ErrorCode::DatabaseUnreachable, 3),
        (
            told(504, r#"{"code":"PGRST003"}"#),
            ErrorCode::DatabaseTimeout,
            1,
        ),
        (
            told(500, r#"{"code":"57014"}"#),
            ErrorCode::DatabaseTimeout,
            1,
        ),
        (
            told(500, r#"{"code":"57P01"}"#),
            ErrorCode::DatabaseUnreachable,
            1,
        ),
        (
            told(401, r#"{"code":"PGRST301"}"#),
            ErrorCode::InvalidToken,
            1,
        ),
        (told(403, r#"{"code":"42501"}"#), ErrorCode::Forbidden, 1),
        (
            told(404, r#"{"code":"PGRST205","message":"SECRET"}"#),
            ErrorCode::DatabaseBadResponse,
            1,
        ),
        (
            told(200, "<html>404</html>"),
            ErrorCode::DatabaseBadResponse,
            1,
        ),
        (
            told(200, r#"[{"id":"x"}]"#),
            ErrorCode::DatabaseBadResponse,
            1,
        ),
    ] {
        let text = format!("{answer:?}");
        let transport = Arc::new(recorded::Recorded::new());
        transport.on(move |_| Some(answer.clone()));
        let database = supabase(&transport, "sb_secret_x");
        let error = run(database.toolbox("t", TOOLBOX.parse().unwrap(), Select::All)).unwrap_err();
        assert_eq!(
            (error.code(), transport.sent().len()),
            (code, calls),
            "{text}"
        );
        assert!(!format!("{error:?}").contains("SECRET"));
    }
}

#[test]
fn a_refused_secret_key_is_no_fault_of_the_caller() {
    for answer in [
        told(401, r#"{"code":"PGRST301"}"#),
        told(401, r#"{"message":"Invalid API key"}"#),
        told(403, r#"{"code":"42501"}"#),
        told(403, "<html>"),
    ] {
        let transport = Arc::new(recorded::Recorded::new());
        transport.on(move |_| Some(answer.clone()));
        let database = supabase(&transport, "sb_secret_x");
        let error = run(database.spec(TOOLBOX.parse().unwrap())).unwrap_err();
        assert_eq!(error.code(), ErrorCode::NotConfigured);
        let error = run(database.call("record_tool_instance_states", b"{}")).unwrap_err();
        assert_eq!(error.code(), ErrorCode::NotConfigured);
        assert_eq!(
            transport.sent().len(),
            2,
            "repeating the calls could not help"
        );
    }
}

#[test]
fn reads_carry_the_callers_token_and_names_are_encoded_once() {
    let transport = Arc::new(recorded::Recorded::new());
    transport.on(|_| Some(told(200, "[]")));
    let database = supabase(&transport, "sb_secret_x");
    let select = Select::Name("a,b/(c)%2F&x=1");
    assert!(
        run(database.toolbox("ey.a.b", TOOLBOX.parse().unwrap(), select))
            .unwrap()
            .is_none()
    );
    let request = &transport.sent()[0].request;
    assert_eq!(request.headers.get("apikey"), Some("sb_publishable_x"));
    assert_eq!(request.headers.get("authorization"), Some("Bearer ey.a.b"));
    assert!(request.url.starts_with(
        "https://p.supabase.co/rest/v1/account_tool_environments?id=eq.11111111-1111-4111-8111-111111111111&"
    ));
    assert!(
        request
            .url
            .ends_with("instance_name_on_toolbox=eq.a%2Cb%2F%28c%29%252F%26x%3D1")
    );
}

#[test]
fn a_legacy_secret_is_a_token_too() {
    for (secret, authorization) in [("sb_secret_x", None), ("ey.b.c", Some("Bearer ey.b.c"))] {
        let transport = Arc::new(recorded::Recorded::new());
        transport.on(|_| Some(told(200, r#"{"results":[{"outcome":"not_found"}]}"#)));
        let id = TOOLBOX.parse().unwrap();
        let record = RecordState {
            instance_id: id,
            generation: 1,
            expected_generation: 1,
            expected_status: "running",
            operation_id: None,
            actor_kind: "agent",
            settled: true,
            only_idle: false,
            steps: Vec::new(),
            view_version: None,
            observed: None,
            operation_result: None,
            restore_previous_spec: false,
            restore_previous_desired: false,
            remove_row: false,
        };
        let recorded =
            run(supabase(&transport, secret).record_states("r", None, &[record])).unwrap();
        assert!(matches!(recorded.results[..], [Recorded::NotFound]));
        assert_eq!(recorded.desired_digest, None);
        let request = &transport.sent()[0].request;
        assert_eq!(request.headers.get("apikey"), Some(secret));
        assert_eq!(request.headers.get("authorization"), authorization);
        assert_eq!(
            request.url,
            "https://p.supabase.co/rest/v1/rpc/record_tool_instance_states"
        );
        assert!(
            request
                .body
                .starts_with(br#"{"p":{"request_id":"r","items":[{"instance_id":"1111"#)
        );
    }
}

#[test]
fn an_answer_to_another_number_of_records_is_none() {
    for body in [
        r#"{"results":[]}"#,
        r#"{"results":[{"outcome":"stale"}]}"#,
        r#"{"results":[{"outcome":"perhaps"}]}"#,
    ] {
        let wire: RecordedStatesWire = serde_json::from_str(body).unwrap();
        assert!(wire.read(1).is_none(), "{body}");
    }
}

#[test]
fn an_event_begins_once_and_its_end_may_be_told_again() {
    let detail = serde_json::from_str(r#"{"via":"ssh"}"#).unwrap();
    let event = ToolboxEvent {
        toolbox: TOOLBOX.parse().unwrap(),
        user: "a0000000-0000-4000-8000-000000000001".parse().unwrap(),
        as_operator: false,
        kind: "agent_restart",
        detail: &detail,
        request_id: Some("r"),
    };
    let transport = Arc::new(recorded::Recorded::new());
    transport.on(|_| Some(told(200, r#"{"outcome":"recorded","id":7}"#)));
    let database = supabase(&transport, "sb_secret_x");
    let id = run(database.begin_toolbox_event(&event)).unwrap().unwrap();
    let body = |at: usize| -> serde_json::Value {
        let sent = transport.sent();
        serde_json::from_slice(&sent[at].request.body).unwrap()
    };
    let p = &body(0)["p"];
    assert_eq!(p["result"], "begun");
    assert_eq!(p["actor_kind"], "user");
    assert_eq!(p["actor_id"], "a0000000-0000-4000-8000-000000000001");
    assert_eq!(p["detail"]["via"], "ssh");
    run(database.end_toolbox_event(id, "succeeded", &detail)).unwrap();
    let ended = serde_json::json!({"id": 7, "result": "succeeded", "detail": {"via": "ssh"}});
    assert_eq!(body(1)["p"], ended);

    transport.on(|_| Some(told(200, r#"{"outcome":"not_found"}"#)));
    let gone = run(database.begin_toolbox_event(&event)).unwrap();
    assert_eq!(gone, None);

    let transport = Arc::new(recorded::Recorded::new());
    transport.on(|_| Some(told(502, "<html>")));
    let database = supabase(&transport, "sb_secret_x");
    run(database.begin_toolbox_event(&event)).unwrap_err();
    assert_eq!(transport.sent().len(), 1, "it may have arrived");
    run(database.end_toolbox_event(id, "succeeded", &detail)).unwrap_err();
    assert!(transport.sent().len() > 2, "the first end holds");
}
