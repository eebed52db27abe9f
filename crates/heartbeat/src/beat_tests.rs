use serde_json::{Value, json};
use toolbox_api::heartbeat::{HeartbeatResponse, MAX_INSTANCES};
use toolbox_domain::keys::AgentKey;
use toolbox_domain::retry::Fault;
use toolbox_edge::entry::Incoming;
use toolbox_http::{Headers, Response, TransportError};

use crate::testing::{
    CERTIFICATE, CERTIFICATE_SHA256, INSTANCE, KEY, TOKEN, TOOLBOX, World, heartbeat,
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
    assert_eq!(asked["heartbeat"], sent);
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
    assert!(world.host.log().contains("rotate keys"));
    world.assert_log_is_clean();
}

#[test]
fn keys_of_a_late_offer_are_told_to_nobody() {
    let world = rotating();
    world.on("offer_toolbox_key", &json!({"outcome": "superseded"}));
    let seen = world.ask("POST", &path(), KEY, &heartbeat().to_string());
    assert_eq!((seen.status, seen.body.get("new_keys")), (200, None));
    assert!(world.host.log().is_empty());
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
    let mut beyond = report(1);
    beyond["generation"] = json!(1_u64 << 53);
    for (key, value) in [
        ("version", json!("")),
        ("version", json!("x".repeat(65))),
        ("instances", json!(many)),
        ("instances", json!([report(1), report(2), report(1)])),
        ("boot", json!(u64::MAX)),
        ("sequence", json!(0)),
        ("instances", json!([beyond])),
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
    assert_eq!(world.asked("record_heartbeat")[0]["heartbeat"], sent);
}

#[test]
fn nul_characters_do_not_stop_a_toolbox_from_reporting() {
    let world = World::new();
    world.on("record_heartbeat", &recorded());
    let mut sent = heartbeat();
    sent["instances"][0]["phase"] = json!("error");
    let nasty = "a\0b\\u0000c\\\0\0\u{1F980}\\";
    sent["instances"][0]["reason"] = json!({"code": "exited", "message": nasty});
    assert_eq!(
        world.ask("POST", &path(), KEY, &sent.to_string()).status,
        200
    );
    let asked = &world.asked("record_heartbeat")[0]["heartbeat"];
    assert_eq!(
        asked["instances"][0]["reason"]["message"],
        nasty.replace('\0', "\u{FFFD}")
    );
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
    let seen = world.ask_with("POST", &path(), Headers::default(), Incoming::TooLarge);
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
