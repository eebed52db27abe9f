use serde_json::{Value, json};
use toolbox_api::heartbeat::EnrolResponse;
use toolbox_domain::keys::{AgentKey, EnrolmentToken, RootId};
use toolbox_domain::retry::Fault;
use toolbox_http::{Headers, Response, TransportError};

use toolbox_edge::body::Incoming;
use toolbox_edge::recorded::ROOT;

use crate::testing::{CERTIFICATE, CERTIFICATE_SHA256, KEY, TOKEN, TOOLBOX, World};

fn body() -> Value {
    json!({"version": "0.1.0", "api_version": 1, "certificate_pem": CERTIFICATE})
}

fn path() -> String {
    format!("/{TOOLBOX}/enrol")
}

fn world(epoch: u32) -> World {
    let world = World::new();
    world.on(
        "enrol_toolbox",
        &json!({"outcome": "enrolled", "epoch": epoch}),
    );
    world.on("set_toolbox_key", &json!({"outcome": "set"}));
    world
}

#[test]
fn a_token_becomes_the_keys_whose_hash_is_stored_first() {
    for epoch in [0, 3] {
        let world = world(epoch);
        let seen = world.ask("POST", &path(), TOKEN, &body().to_string());
        assert_eq!(seen.status, 200, "{}", seen.text);
        assert_eq!(seen.headers.get("cache-control"), Some("no-store"));
        let answer: EnrolResponse = serde_json::from_value(seen.body).unwrap();
        assert_eq!(answer.interval_seconds, 60);
        assert!(answer.keys.key_id.ends_with(&format!(".{epoch}")));
        let presented = AgentKey::parse(&answer.keys.agent_to_control).unwrap();
        assert!(AgentKey::parse(&answer.keys.control_to_agent).is_ok());
        assert_ne!(answer.keys.control_to_agent, answer.keys.agent_to_control);

        let [asked] = &world.asked("enrol_toolbox")[..] else {
            panic!("asked once")
        };
        assert_eq!(asked["toolbox_id"], TOOLBOX);
        assert_eq!(
            asked["token_hash"],
            EnrolmentToken::parse(TOKEN).unwrap().hash()
        );
        assert_eq!(asked["certificate_sha256"], CERTIFICATE_SHA256);
        assert_eq!(asked["certificate_pem"], CERTIFICATE);
        let root = RootId::of(ROOT.as_bytes());
        assert_eq!(answer.keys.key_id, format!("{root}.{epoch}"));
        let stored = json!({"toolbox_id": TOOLBOX, "key_id": answer.keys.key_id, "token_hash": presented.hash()});
        assert_eq!(world.asked("set_toolbox_key"), [stored]);
        // The database never sees a token or a key.
        for call in world.transport.sent() {
            let sent = String::from_utf8(call.request.body).unwrap();
            assert!(!sent.contains("CANARY") && !sent.contains("tbk_"), "{sent}");
            assert_eq!(call.request.headers.get("apikey"), Some("sb_secret_x"));
        }
    }
}

#[test]
fn each_refusal_of_the_database_has_its_code_and_gives_no_key() {
    for (reason, expected) in [
        ("unknown", (401, "enrolment_token_invalid")),
        ("expired", (401, "enrolment_token_expired")),
        ("used", (409, "enrolment_token_used")),
        ("moonshine", (502, "database_bad_response")),
    ] {
        let world = World::new();
        world.on(
            "enrol_toolbox",
            &json!({"outcome": "refused", "reason": reason}),
        );
        let seen = world.ask("POST", &path(), TOKEN, &body().to_string());
        assert_eq!(seen.refusal(), expected);
        assert!(!seen.text.contains("tbk_"));
        world.assert_log_is_clean();
    }
}

#[test]
fn keys_are_given_only_when_their_hash_is_stored() {
    let world = World::new();
    world.on("enrol_toolbox", &json!({"outcome": "enrolled", "epoch": 0}));
    let failure = || {
        Ok(Response::new(
            500,
            br#"{"code":"XX000","message":"SECRET"}"#.to_vec(),
        ))
    };
    world.on_raw("set_toolbox_key", failure());
    let seen = world.ask("POST", &path(), TOKEN, &body().to_string());
    assert_eq!(seen.refusal(), (502, "database_bad_response"));
    assert!(!seen.text.contains("tbk_") && !seen.text.contains("SECRET"));
    world.assert_log_is_clean();
}

#[test]
fn keys_that_are_superseded_are_told_to_nobody() {
    let superseded = json!({"outcome": "superseded"});
    // A rotation came between: the token still counts, for the next epoch.
    let world = World::new();
    world.on("enrol_toolbox", &json!({"outcome": "enrolled", "epoch": 1}));
    world.on("enrol_toolbox", &json!({"outcome": "enrolled", "epoch": 2}));
    world.on("set_toolbox_key", &superseded);
    world.on("set_toolbox_key", &json!({"outcome": "set"}));
    let seen = world.ask("POST", &path(), TOKEN, &body().to_string());
    let key_id = seen.body["keys"]["key_id"].as_str().unwrap();
    assert!(key_id.ends_with(".2"), "{key_id}");

    // Another enrolment came between: the token does not count any more.
    let world = World::new();
    world.on("enrol_toolbox", &json!({"outcome": "enrolled", "epoch": 1}));
    world.on(
        "enrol_toolbox",
        &json!({"outcome": "refused", "reason": "unknown"}),
    );
    world.on("set_toolbox_key", &superseded);
    let seen = world.ask("POST", &path(), TOKEN, &body().to_string());
    assert_eq!(seen.refusal(), (401, "enrolment_token_invalid"));

    let world = World::new();
    world.on("enrol_toolbox", &json!({"outcome": "enrolled", "epoch": 1}));
    world.on("set_toolbox_key", &superseded);
    let seen = world.ask("POST", &path(), TOKEN, &body().to_string());
    assert_eq!(seen.refusal(), (409, "state_changed"));
    assert!(!seen.text.contains("tbk_"));
    assert_eq!(world.asked("enrol_toolbox").len(), 3);
}

#[test]
fn a_restart_of_the_database_is_waited_for() {
    let world = World::new();
    world.on_raw("enrol_toolbox", Err(TransportError::new(Fault::Reset, "x")));
    world.on("enrol_toolbox", &json!({"outcome": "enrolled", "epoch": 0}));
    world.on_raw(
        "set_toolbox_key",
        Err(TransportError::new(Fault::Refused, "x")),
    );
    world.on("set_toolbox_key", &json!({"outcome": "set"}));
    let seen = world.ask("POST", &path(), TOKEN, &body().to_string());
    assert_eq!(seen.status, 200);
}

#[test]
fn what_is_no_token_or_no_certificate_reaches_no_database() {
    let world = World::new();
    for bearer in ["x", KEY, "sb_secret_x", "tbe_short"] {
        let seen = world.ask("POST", &path(), bearer, &body().to_string());
        assert_eq!(seen.refusal(), (401, "enrolment_token_invalid"), "{bearer}");
        assert_eq!(seen.headers.get("www-authenticate"), Some("Bearer"));
    }
    for (key, value) in [
        ("certificate_pem", json!("-----BEGIN CERTIFICATE-----")),
        ("certificate_pem", json!(CERTIFICATE.repeat(2))),
        ("version", json!("")),
        ("version", json!("a\nb")),
    ] {
        let mut body = body();
        body[key] = value;
        let seen = world.ask("POST", &path(), TOKEN, &body.to_string());
        assert_eq!(seen.refusal(), (422, "validation_failed"), "{body}");
        assert_eq!(seen.body["error"]["details"]["errors"][0]["field"], key);
    }
    let seen = world.ask("POST", "/local/enrol", TOKEN, &body().to_string());
    assert_eq!(seen.refusal(), (400, "invalid_request"));
    assert!(world.transport.sent().is_empty());
}

const HOST_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f";

#[test]
fn the_host_key_is_stored_and_the_authority_is_told_where_there_is_one() {
    let mut body = body();
    body["ssh_host_key"] = HOST_KEY.into();
    body["ssh_port"] = 2222.into();
    let authority_key = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    for (variables, told) in [
        (vec![], false),
        (vec![("TOOLBOX_SSH_CA_KEY", authority_key)], true),
    ] {
        let world = World::with(&variables);
        world.on("enrol_toolbox", &json!({"outcome": "enrolled", "epoch": 1}));
        world.on("set_toolbox_key", &json!({"outcome": "set"}));
        let seen = world.ask("POST", &path(), TOKEN, &body.to_string());
        assert_eq!(seen.status, 200, "{}", seen.text);
        let authority = seen.body["ssh_ca_public_key"].as_str().unwrap_or_default();
        assert_eq!(
            authority.starts_with("ssh-ed25519 AAAAC3"),
            told,
            "{authority}"
        );
        assert!(!seen.text.contains(authority_key));
        let asked = &world.asked("enrol_toolbox")[0];
        assert_eq!(
            (&asked["ssh_host_key"], &asked["ssh_port"]),
            (&HOST_KEY.into(), &2222.into())
        );
    }
}

#[test]
fn what_is_no_host_key_and_no_authority_enrols_nobody() {
    let world = World::new();
    for (key, value) in [
        ("ssh_host_key", json!("ssh-rsa AAAA")),
        ("ssh_host_key", json!(format!("{HOST_KEY} comment"))),
        ("ssh_host_key", json!("")),
        ("ssh_port", json!(0)),
    ] {
        let mut body = body();
        body[key] = value;
        let seen = world.ask("POST", &path(), TOKEN, &body.to_string());
        assert_eq!(seen.refusal(), (422, "validation_failed"), "{body}");
        assert_eq!(seen.body["error"]["details"]["errors"][0]["field"], key);
    }
    assert!(world.transport.sent().is_empty());
    // A typing error must not leave machines without their last way in, unnoticed.
    let world = World::with(&[("TOOLBOX_SSH_CA_KEY", "SECRET")]);
    let seen = world.ask("POST", &path(), TOKEN, &body().to_string());
    assert_eq!(seen.refusal(), (500, "not_configured"));
    world.assert_log_is_clean();
}

#[test]
fn the_machines_address_is_where_the_enrolment_came_from_if_machines_may_be_there() {
    let world_of = |variables: &[_]| {
        let world = World::with(variables);
        world.on("enrol_toolbox", &json!({"outcome": "enrolled", "epoch": 1}));
        world.on("set_toolbox_key", &json!({"outcome": "set"}));
        world
    };
    let ask = |world: &World, from: Option<&str>| {
        let mut headers = Headers::default();
        headers.set("authorization", format!("Bearer {TOKEN}"));
        headers.set("content-type", "application/json");
        if let Some(from) = from {
            headers.set("x-forwarded-for", from);
        }
        let body = Incoming::Complete(body().to_string().into_bytes());
        let seen = world.ask_with("POST", &path(), headers, body);
        (seen, world.asked("enrol_toolbox").pop())
    };
    for (from, told) in [
        (None, Value::Null),
        (Some("8.8.8.8"), "8.8.8.8".into()),
        (Some("8.8.4.4, 8.8.8.8,10.0.0.1"), "8.8.4.4".into()),
        (Some("2001:4860:4860::8888"), "2001:4860:4860::8888".into()),
        (Some("127.0.0.1"), Value::Null),
        (Some("169.254.169.254"), Value::Null),
        (Some("unknown"), Value::Null),
    ] {
        let (seen, asked) = ask(&world_of(&[]), from);
        assert_eq!(seen.status, 200, "{}", seen.text);
        assert_eq!(asked.unwrap()["address"], told, "{from:?}");
    }
    let world = world_of(&[("TOOLBOX_ALLOWED_MACHINES", "10.0.0.0/8")]);
    let (_, asked) = ask(&world, Some("10.0.0.1"));
    assert_eq!(asked.unwrap()["address"], "10.0.0.1");
    let (seen, asked) = ask(&World::with(&[("TOOLBOX_ALLOWED_MACHINES", "x y")]), None);
    assert_eq!(seen.refusal(), (500, "not_configured"));
    assert_eq!(asked, None);
}
