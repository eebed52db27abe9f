use serde_json::{Value, json};
use toolbox_api::heartbeat::{HeartbeatResponse, MAX_INSTANCES};
use toolbox_domain::keys::AgentKey;
use toolbox_domain::retry::Fault;
use toolbox_edge::body::Incoming;
use toolbox_http::{Headers, Response, TransportError};

use crate::testing::{
    CERTIFICATE, CERTIFICATE_SHA256, INSTANCE, KEY, TOKEN, TOOLBOX, World, as_told, heartbeat,
};

fn path() -> String {
    format!("/{TOOLBOX}")
}

fn recorded() -> Value {
    json!({"outcome": "recorded", "desired_digest": "d", "unknown": [INSTANCE]})
}

#[test]
fn a_heartbeat_is_recorded_in_one_round_trip_as_it_was_sent() {
    let world = World::new();
    world.on("record_heartbeat", &recorded());
    let mut sent = heartbeat();
    sent["instances"][0]["mcp"] = json!({"state": "not-mcp", "evidence": "a \"quote\", a \\ and a \u{1F980}",
        "since": "2026-01-01T00:00:00Z", "checked_at": "2026-01-01T00:00:00Z"});
    let seen = world.ask("POST", &path(), KEY, &sent.to_string());
    assert_eq!(seen.status, 200, "{}", seen.text);
    assert_eq!(
        seen.body,
        json!({"desired_digest": "d", "unknown": [INSTANCE]})
    );
    let hash = AgentKey::parse(KEY).unwrap().hash();
    let [asked] = &world.asked("record_heartbeat")[..] else {
        panic!("one round trip")
    };
    assert_eq!(asked["heartbeat"], as_told(&sent));
    assert_eq!(
        (
            &asked["toolbox_id"],
            &asked["token_hash"],
            &asked["request_id"]
        ),
        (&json!(TOOLBOX), &json!(hash), &json!("req-1"))
    );
    assert_eq!(asked["root_id"].as_str().unwrap().len(), 8);
    assert_eq!(world.transport.sent().len(), 1);
}

/// The instance's row, at generation 4.
fn row(status: &str) -> Value {
    json!({"id": INSTANCE, "instance_name_on_toolbox": "tool", "container_name": "tool-22222222", "generation": 4,
        "desired_status": "running", "status_on_toolbox": status, "port_mapping_json": [],
        "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z"})
}

/// A world whose database answers these rows as news, and as missing.
fn with_rows(news: &[Value], missing: &[Value]) -> World {
    let world = World::new();
    let mut answer = recorded();
    answer["news"] = json!(news);
    answer["missing"] = json!(missing);
    world.on("record_heartbeat", &answer);
    world
}

fn result(outcome: &str, row: &Value) -> Value {
    json!({"results": [{"outcome": outcome, "instance": row}], "desired_digest": "after"})
}

#[test]
fn news_are_decided_and_recorded_before_the_answer() {
    let world = with_rows(&[row("starting")], &[]);
    world.on(
        "record_tool_instance_states",
        &result("recorded", &row("running")),
    );
    let mut sent = heartbeat();
    sent["instances"][0]["view_version"] = json!({"run": INSTANCE, "number": 7});
    let seen = world.ask("POST", &path(), KEY, &sent.to_string());
    assert_eq!(
        (seen.status, &seen.body["desired_digest"]),
        (200, &json!("after"))
    );
    assert_eq!(
        world.asked("record_tool_instance_states"),
        [
            json!({"request_id": "req-1", "toolbox_id": TOOLBOX, "boot": 1, "sequence": 1, "items": [{
                "instance_id": INSTANCE, "generation": 4, "expected_generation": 4, "expected_status": "starting",
                "actor_kind": "agent", "settled": true, "steps": [{"status": "running"}],
                "view_version": {"run": INSTANCE, "number": 7},
                "observed": {"container_id": "abc", "image_digest": "sha256:1", "ports": sent["instances"][0]["ports"]},
                "operation_result": {"state": "succeeded"},
            }]})
        ]
    );
    assert_eq!(world.transport.sent().len(), 2);
}

#[test]
fn each_kind_of_report_is_recorded_as_what_it_is() {
    let why = json!({"code": "exited", "message": "exit 1"});
    let error = json!([{"status": "error", "reason_code": "exited", "reason": "exit 1"}]);
    let failed = json!({"state": "failed", "error_code": "exited", "error_message": "exit 1"});
    for (report, expected) in [
        // Progress has no facts yet.
        (
            json!({"phase": "starting", "settled": false}),
            json!({"settled": false, "steps": [{"status": "starting"}], "observed": null, "operation_result": null}),
        ),
        (
            json!({"phase": "error", "reason": why}),
            json!({"settled": true, "steps": error, "operation_result": failed, "only_idle": null}),
        ),
        (
            json!({"phase": "error", "settled": false, "reason": why}),
            json!({"settled": false, "steps": error, "operation_result": null, "only_idle": true}),
        ),
        (
            json!({"rolled_back": true, "reason": why}),
            json!({"restore_previous_spec": true, "operation_result": failed,
                "steps": [{"status": "starting"}, {"status": "running"}]}),
        ),
        (
            json!({"phase": null, "view_version": {"run": INSTANCE, "number": 7}}),
            json!({"only_idle": true, "observed": null, "view_version": null,
                "steps": [{"status": "error", "reason_code": "container_missing",
                    "reason": "The container is gone from the machine; start the tool to re-create it"}]}),
        ),
        // An agent that is ahead of a restored database.
        (
            json!({"generation": 9, "phase": "starting", "settled": false}),
            json!({"generation": 9, "expected_generation": 4, "observed": {"container_id": "abc", "image_digest": "sha256:1",
                "ports": heartbeat()["instances"][0]["ports"]}}),
        ),
    ] {
        let world = with_rows(&[row("deploying")], &[]);
        world.on(
            "record_tool_instance_states",
            &result("recorded", &row("running")),
        );
        let mut sent = heartbeat();
        for (key, value) in report.as_object().unwrap() {
            sent["instances"][0][key] = value.clone();
        }
        assert_eq!(
            world.ask("POST", &path(), KEY, &sent.to_string()).status,
            200
        );
        let item = &world.asked("record_tool_instance_states")[0]["items"][0];
        for (key, value) in expected.as_object().unwrap() {
            assert_eq!(&item[key], value, "{key} of {report}");
        }
    }
}

#[test]
fn what_is_missing_is_recorded_in_the_same_call() {
    let other = "33333333-3333-4333-8333-333333333333";
    let mut missing = row("running");
    missing["id"] = json!(other);
    let world = with_rows(&[row("starting")], &[missing]);
    let results = json!([{"outcome": "recorded", "instance": row("running")}, {"outcome": "stale", "instance": row("stopped")}]);
    world.on(
        "record_tool_instance_states",
        &json!({"results": results, "desired_digest": "after"}),
    );
    assert_eq!(
        world
            .ask("POST", &path(), KEY, &heartbeat().to_string())
            .status,
        200
    );
    let asked = world.asked("record_tool_instance_states");
    assert_eq!(
        asked.len(),
        1,
        "an absence is not decided again on a row that moved"
    );
    let item = &asked[0]["items"][1];
    assert_eq!(
        (
            &item["instance_id"],
            &item["steps"][0]["status"],
            &item["only_idle"]
        ),
        (&json!(other), &json!("error"), &json!(true))
    );
    assert_eq!(item.get("operation_result"), None);
}

#[test]
fn a_view_is_decided_again_on_a_row_that_moved_but_not_for_ever() {
    let world = with_rows(&[row("starting")], &[]);
    world.on(
        "record_tool_instance_states",
        &result("stale", &row("stopping")),
    );
    world.on(
        "record_tool_instance_states",
        &result("recorded", &row("running")),
    );
    assert_eq!(
        world
            .ask("POST", &path(), KEY, &heartbeat().to_string())
            .status,
        200
    );
    let asked = world.asked("record_tool_instance_states");
    let steps: Vec<_> = asked
        .iter()
        .map(|p| p["items"][0]["steps"].clone())
        .collect();
    assert_eq!(
        steps,
        [
            json!([{"status": "running"}]),
            json!([{"status": "starting"}, {"status": "running"}])
        ]
    );

    let world = with_rows(&[row("starting")], &[]);
    for status in ["stopping", "starting", "stopping", "starting"] {
        world.on(
            "record_tool_instance_states",
            &result("stale", &row(status)),
        );
    }
    let seen = world.ask("POST", &path(), KEY, &heartbeat().to_string());
    assert_eq!(seen.refusal(), (409, "state_changed"), "not acknowledged");
    assert_eq!(world.asked("record_tool_instance_states").len(), 3);

    // A later command has begun: what was seen of the one before is not for it.
    let world = with_rows(&[row("starting")], &[]);
    let mut later = row("stopping");
    later["generation"] = json!(5);
    world.on("record_tool_instance_states", &result("stale", &later));
    assert_eq!(
        world
            .ask("POST", &path(), KEY, &heartbeat().to_string())
            .status,
        200
    );
    assert_eq!(world.asked("record_tool_instance_states").len(), 1);
}

#[test]
fn a_heartbeat_whose_news_were_not_recorded_is_not_acknowledged() {
    for (answer, expected) in [
        (
            Ok(Response::new(503, b"{}".to_vec())),
            (503, "database_unreachable"),
        ),
        (
            Err(TransportError::new(Fault::Timeout, "x")),
            (504, "database_timeout"),
        ),
        (
            Ok(Response::new(200, br#"{"results": []}"#.to_vec())),
            (502, "database_bad_response"),
        ),
    ] {
        let world = with_rows(&[row("starting")], &[]);
        world.on_raw("record_tool_instance_states", answer);
        let seen = world.ask("POST", &path(), KEY, &heartbeat().to_string());
        assert_eq!(seen.refusal(), expected);
        world.assert_log_is_clean();
    }
}

#[test]
fn what_is_wrong_with_one_instance_stops_no_report_of_another() {
    let other = "33333333-3333-4333-8333-333333333333";
    let mut running = row("running");
    running["id"] = json!(other);
    let mut unreadable = row("starting");
    unreadable["port_mapping_json"] = json!("none");
    let recorded = json!({"outcome": "recorded", "instance": running});
    let refused = json!({"outcome": "refused", "instance_id": INSTANCE, "code": "23514"});
    for (first, results, code) in [
        (row("starting"), json!([refused, recorded]), "23514"),
        (row("hibernating"), json!([recorded]), "unreadable_row"),
        (unreadable.clone(), json!([recorded]), "unreadable_row"),
        (
            row("starting"),
            json!([{"outcome": "recorded", "instance": unreadable}, recorded]),
            "unreadable_row",
        ),
        (
            row("starting"),
            json!([{"outcome": "stale", "instance": row("hibernating")}, recorded]),
            "unreadable_row",
        ),
    ] {
        let mut second = running.clone();
        second["status_on_toolbox"] = json!("starting");
        let world = with_rows(&[first, second], &[]);
        let answer = json!({"results": results, "desired_digest": "after"});
        world.on("record_tool_instance_states", &answer);
        let mut sent = heartbeat();
        let mut report = sent["instances"][0].clone();
        report["id"] = json!(other);
        sent["instances"].as_array_mut().unwrap().push(report);
        let seen = world.ask("POST", &path(), KEY, &sent.to_string());
        assert_eq!(
            (seen.status, &seen.body["desired_digest"]),
            (200, &json!("after"))
        );
        let asked = world.asked("record_tool_instance_states");
        let items = asked[0]["items"].as_array().unwrap();
        assert_eq!(items.last().unwrap()["instance_id"], other);
        let log = world.host().log();
        assert!(
            log.contains(&format!("record instance {INSTANCE}")) && !log.contains(other),
            "{log}"
        );
        let cause = if code == "23514" {
            code
        } else {
            "cannot be read"
        };
        assert!(log.contains(cause), "{log}");
        world.assert_log_is_clean();
    }
}

#[test]
fn a_report_that_cannot_be_read_is_left_out_and_the_others_are_recorded() {
    let other = "33333333-3333-4333-8333-333333333333";
    for (key, value) in [
        ("phase", json!("hibernating")),
        ("generation", json!(1_u64 << 53)),
        ("generation", json!(-1)),
        ("view_version", json!({"run": INSTANCE, "number": u64::MAX})),
        ("container_id", json!(7)),
        ("ports", json!([[8080, "tcp", "127.0.0.1", 31000]])),
        ("reason", json!(["exited", "x"])),
    ] {
        let mut running = row("starting");
        running["id"] = json!(other);
        let world = with_rows(&[running.clone()], &[]);
        world.on("record_tool_instance_states", &result("recorded", &running));
        let mut sent = heartbeat();
        let mut report = sent["instances"][0].clone();
        report["id"] = json!(other);
        sent["instances"][0][key] = value.clone();
        sent["instances"]
            .as_array_mut()
            .unwrap()
            .push(report.clone());
        let seen = world.ask("POST", &path(), KEY, &sent.to_string());
        assert_eq!(seen.status, 200, "{key} {value}: {}", seen.text);
        let told = &world.asked("record_heartbeat")[0]["heartbeat"];
        sent["instances"] = json!([report]);
        assert_eq!(told["instances"], as_told(&sent)["instances"], "{key}");
        assert_eq!(told["full"], false, "what is left out is not missing");
        assert_eq!(world.asked("record_tool_instance_states").len(), 1);
        let log = world.host().log();
        assert!(
            log.contains(&format!("read the report of instance {INSTANCE}"))
                && log.contains(&format!("instances[0].{key}")),
            "{log}"
        );
        world.assert_log_is_clean();
    }
    // What is no heartbeat stays one that is refused.
    for (key, value) in [
        ("instances", json!({})),
        ("boot", json!("one")),
        ("full", json!(1)),
    ] {
        let world = World::new();
        let mut sent = heartbeat();
        sent[key] = value;
        let seen = world.ask("POST", &path(), KEY, &sent.to_string());
        assert_eq!(seen.refusal(), (400, "invalid_json"), "{key}");
    }
}

#[test]
fn a_heartbeat_with_many_faults_is_one_line_in_the_log() {
    let id = |n: usize| format!("22222222-2222-4222-8222-{n:012}");
    let report = |n: usize, phase: &str| {
        let mut report = heartbeat()["instances"][0].clone();
        report["id"] = json!(id(n));
        report["phase"] = json!(phase);
        report
    };
    let many = |phase: &str, count: usize| {
        let mut sent = heartbeat();
        sent["instances"] = (0..count).map(|n| report(n, phase)).collect();
        sent
    };
    let world = with_rows(&[], &[]);
    let unreadable = many("hibernating", 2 * MAX_INSTANCES);
    let seen = world.ask("POST", &path(), KEY, &unreadable.to_string());
    assert_eq!(seen.status, 200, "{}", seen.text);
    let log = world.host().log();
    assert_eq!(log.lines().count(), 1, "{log}");
    assert!(log.contains("instances[0].phase") && log.contains(&id(1)));
    assert!(log.len() < 10_000, "{} bytes", log.len());

    let rows: Vec<Value> = (0..3)
        .map(|n| {
            let mut row = row("hibernating");
            row["id"] = json!(id(n));
            row
        })
        .collect();
    let world = with_rows(&rows, &[]);
    let seen = world.ask("POST", &path(), KEY, &many("running", 3).to_string());
    assert_eq!(seen.status, 200, "{}", seen.text);
    let log = world.host().log();
    assert_eq!(log.lines().count(), 1, "{log}");
    for n in 0..3 {
        assert!(log.contains(&id(n)), "{log}");
    }
    world.assert_log_is_clean();
}

#[test]
fn what_a_later_heartbeat_has_superseded_is_not_recorded_and_not_acknowledged() {
    let world = with_rows(&[row("starting")], &[]);
    world.on(
        "record_tool_instance_states",
        &json!({"results": [{"outcome": "superseded"}], "desired_digest": "after"}),
    );
    let seen = world.ask("POST", &path(), KEY, &heartbeat().to_string());
    assert_eq!(seen.refusal(), (409, "state_changed"));
    assert_eq!(world.asked("record_tool_instance_states").len(), 1);
}

#[test]
fn each_refusal_of_the_database_has_its_code() {
    for (outcome, expected) in [
        ("unauthorized", (401, "heartbeat_key_invalid")),
        ("replayed", (409, "heartbeat_replayed")),
        ("certificate_changed", (409, "certificate_changed")),
        ("moonshine", (502, "database_bad_response")),
    ] {
        let world = World::new();
        let answer = json!({"outcome": outcome, "boot": 7, "sequence": 9});
        world.on("record_heartbeat", &answer);
        let seen = world.ask("POST", &path(), KEY, &heartbeat().to_string());
        assert_eq!(seen.refusal(), expected);
        if outcome == "replayed" {
            // So that an agent whose clock was ahead in an earlier life goes on from there.
            let accepted = &seen.body["error"]["details"]["accepted"];
            assert_eq!(accepted, &json!({"boot": 7, "sequence": 9}));
        }
        world.assert_log_is_clean();
    }
}

#[test]
fn only_a_heartbeat_that_never_arrived_is_sent_again() {
    for (fault, calls) in [(Fault::Refused, 2), (Fault::Reset, 1), (Fault::Timeout, 1)] {
        let world = World::new();
        world.on_raw("record_heartbeat", Err(TransportError::new(fault, "x")));
        world.on("record_heartbeat", &recorded());
        let seen = world.ask("POST", &path(), KEY, &heartbeat().to_string());
        assert_eq!(world.asked("record_heartbeat").len(), calls, "{fault:?}");
        assert_eq!(seen.status == 200, calls == 2);
    }
}

fn rotating() -> World {
    let world = World::new();
    let mut answer = recorded();
    answer["rotate_to_epoch"] = json!(5);
    world.on("record_heartbeat", &answer);
    world
}

#[test]
fn a_rotation_hands_out_keys_that_were_stored_before() {
    let world = rotating();
    world.on("offer_toolbox_key", &json!({"outcome": "offered"}));
    let seen = world.ask("POST", &path(), KEY, &heartbeat().to_string());
    let answer: HeartbeatResponse = serde_json::from_value(seen.body).unwrap();
    let keys = answer.new_keys.unwrap();
    let presented = AgentKey::parse(&keys.agent_to_control).unwrap();
    let root = world.asked("record_heartbeat")[0]["root_id"].clone();
    assert_eq!(keys.key_id, format!("{}.5", root.as_str().unwrap()));
    assert_eq!(
        world.asked("offer_toolbox_key"),
        [
            json!({"toolbox_id": TOOLBOX, "key_id": keys.key_id, "token_hash": presented.hash(), "boot": 1, "sequence": 1})
        ]
    );
}

#[test]
fn a_rotation_that_fails_costs_no_heartbeat() {
    let world = rotating();
    world.on_raw("offer_toolbox_key", Ok(Response::new(500, b"{}".to_vec())));
    let seen = world.ask("POST", &path(), KEY, &heartbeat().to_string());
    assert_eq!(seen.status, 200);
    assert_eq!(seen.body.get("new_keys"), None);
    assert!(world.host().log().contains("rotate keys"));
    world.assert_log_is_clean();
}

#[test]
fn keys_of_a_late_offer_are_told_to_nobody() {
    let world = rotating();
    world.on("offer_toolbox_key", &json!({"outcome": "superseded"}));
    let seen = world.ask("POST", &path(), KEY, &heartbeat().to_string());
    assert_eq!((seen.status, seen.body.get("new_keys")), (200, None));
    assert!(world.host().log().is_empty());
}

#[test]
fn what_the_database_would_stumble_over_is_refused_by_name() {
    let world = World::new();
    let report = |n: usize| {
        let mut report = heartbeat()["instances"][0].clone();
        report["id"] = json!(format!("22222222-2222-4222-8222-{n:012}"));
        report
    };
    let many: Vec<Value> = (0..=MAX_INSTANCES).map(report).collect();
    for (key, value) in [
        ("version", json!("")),
        ("version", json!("x".repeat(65))),
        ("instances", json!(many)),
        ("instances", json!([report(1), report(2), report(1)])),
        ("boot", json!(u64::MAX)),
        ("sequence", json!(0)),
        ("api_version", json!(0)),
        ("api_version", json!(1_u32 << 31)),
        ("certificate_sha256", json!("AB".repeat(32))),
        ("certificate_sha256", json!("ab")),
        ("certificate_pem", json!("x")),
    ] {
        let mut sent = heartbeat();
        sent[key] = value;
        let seen = world.ask("POST", &path(), KEY, &sent.to_string());
        assert_eq!(seen.refusal(), (422, "validation_failed"), "{key}");
        assert_eq!(seen.body["error"]["details"]["errors"][0]["field"], key);
    }
    for certificate_sha256 in [json!(null), json!("ab".repeat(32))] {
        let mut sent = heartbeat();
        sent["certificate_pem"] = json!(CERTIFICATE);
        sent["certificate_sha256"] = certificate_sha256;
        let seen = world.ask("POST", &path(), KEY, &sent.to_string());
        assert_eq!(seen.refusal(), (422, "validation_failed"));
    }
    assert!(world.transport.sent().is_empty());
}

#[test]
fn a_certificate_with_its_fingerprint_is_passed_on() {
    let world = World::new();
    world.on("record_heartbeat", &recorded());
    let mut sent = heartbeat();
    sent["certificate_pem"] = json!(CERTIFICATE);
    sent["certificate_sha256"] = json!(CERTIFICATE_SHA256);
    assert_eq!(
        world.ask("POST", &path(), KEY, &sent.to_string()).status,
        200
    );
    assert_eq!(
        world.asked("record_heartbeat")[0]["heartbeat"],
        as_told(&sent)
    );
}

#[test]
fn nul_characters_do_not_stop_a_toolbox_from_reporting() {
    let world = with_rows(&[row("running")], &[]);
    world.on(
        "record_tool_instance_states",
        &result("recorded", &row("running")),
    );
    let mut sent = heartbeat();
    sent["instances"][0]["phase"] = json!("error");
    let nasty = "a\0b\\u0000c\\\0\0\u{1F980}\\";
    sent["instances"][0]["reason"] = json!({"code": "exited", "message": nasty});
    sent["instances"][0]["container_id"] = json!("a\0b");
    assert_eq!(
        world.ask("POST", &path(), KEY, &sent.to_string()).status,
        200
    );
    let asked = &world.asked("record_heartbeat")[0]["heartbeat"];
    assert_eq!(
        asked["instances"][0]["reason"]["message"],
        nasty.replace('\0', "\u{FFFD}")
    );
    let item = &world.asked("record_tool_instance_states")[0]["items"][0];
    assert_eq!(item["steps"][0]["reason"], nasty.replace('\0', "\u{FFFD}"));
    assert_eq!(item["observed"]["container_id"], "a\u{FFFD}b");
}

#[test]
fn callers_without_a_key_and_broken_requests_reach_no_database() {
    let world = World::new();
    let body = heartbeat().to_string();
    for bearer in ["x", TOKEN, "sb_secret_x", "eyJhbGciOiJIUzI1NiJ9.e30.x"] {
        let seen = world.ask("POST", &path(), bearer, &body);
        assert_eq!(seen.refusal(), (401, "heartbeat_key_invalid"), "{bearer}");
    }
    for authorization in ["", "Bearer", "Bearer ", "Basic eDp5"] {
        let mut headers = Headers::default();
        headers.set("authorization", authorization);
        let seen = world.ask_with(
            "POST",
            &path(),
            headers,
            Incoming::Complete(body.clone().into()),
        );
        assert_eq!(seen.refusal(), (401, "authentication_required"));
    }
    let mut headers = Headers::default();
    headers.set("authorization", format!("Bearer {KEY}"));
    let seen = world.ask_with("POST", &path(), headers, Incoming::TooLarge);
    assert_eq!(seen.refusal(), (413, "body_too_large"));
    for (method, path, expected) in [
        ("POST", "/local".to_owned(), (400, "invalid_request")),
        ("GET", path(), (405, "method_not_allowed")),
        ("POST", String::new(), (404, "route_not_found")),
        (
            "POST",
            format!("/{TOOLBOX}/other"),
            (404, "route_not_found"),
        ),
    ] {
        let seen = world.ask(method, &path, KEY, &body);
        assert_eq!(seen.refusal(), expected, "{method} {path}");
    }
    let seen = world.ask("POST", &path(), KEY, "{");
    assert_eq!(seen.refusal(), (400, "invalid_json"));
    assert!(world.transport.sent().is_empty());
    world.assert_log_is_clean();
}

#[test]
fn nobody_sends_a_body_without_what_looks_like_a_key() {
    let world = World::new();
    let key = format!("Bearer {KEY}");
    let token = format!("Bearer {TOKEN}");
    let enrol = format!("{}/enrol", path());
    for (path, authorization, reads) in [
        (path(), "", false),
        (path(), "Bearer x", false),
        (path(), token.as_str(), false),
        ("/local".to_owned(), key.as_str(), false),
        ("/tick".to_owned(), key.as_str(), false),
        (enrol.clone(), key.as_str(), false),
        (path(), key.as_str(), true),
        (enrol, token.as_str(), true),
    ] {
        let (seen, is_read) = world.ask_and_watch(&path, authorization);
        assert!(seen.status >= 400, "{}", seen.text);
        assert_eq!(is_read, reads, "{path} {authorization}");
    }
}

#[test]
fn no_control_character_of_an_agent_reaches_the_database() {
    let world = World::new();
    world.on("record_heartbeat", &recorded());
    let evil = "a\u{0}b\u{1b}[31mc\u{9b}\u{202e}d";
    let mut sent = heartbeat();
    sent["instances"][0]["reason"] = json!({"code": "exited", "message": evil});
    sent["instances"][0]["container_id"] = json!(evil);
    sent["instances"][0]["image_digest"] = json!(evil);
    sent["instances"][0]["ports"][0]["host_ip"] = json!(evil);
    sent["instances"][0]["mcp"] = json!({
        "state": "healthy", "evidence": evil, "since": evil, "checked_at": evil, "server_name": evil,
        "server_version": evil, "tools_changed": {"from_fingerprint": evil, "added": [evil], "removed": [], "changed": []},
    });
    sent["unknown"] = json!(evil);
    world.ask("POST", &path(), KEY, &sent.to_string());
    let told = &world.asked("record_heartbeat")[0]["heartbeat"];
    let text = told.to_string();
    for escaped in ["\\u0000", "\\u001b", "\u{9b}", "\u{202e}"] {
        assert!(!text.contains(escaped), "{escaped:?} in {text}");
    }
    let name = &told["instances"][0]["mcp"]["server_name"];
    assert_eq!(name, "a\u{fffd}b\u{fffd}[31mc\u{fffd}\u{fffd}d");
    assert_eq!(told["instances"][0]["observed_at"], "2026-01-01T00:00:00Z");
}
