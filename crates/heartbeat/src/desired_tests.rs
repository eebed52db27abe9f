use serde_json::json;
use toolbox_api::heartbeat::DesiredState;
use toolbox_domain::keys::AgentKey;
use toolbox_http::Response;

use crate::testing::{INSTANCE, KEY, TOKEN, TOOLBOX, World};

fn path() -> String {
    format!("/{TOOLBOX}/desired")
}

#[test]
fn the_desired_state_is_passed_on_in_the_form_agents_read() {
    let world = World::new();
    let instance = json!({"id": INSTANCE, "generation": 4, "desired": "absent", "name": "x", "container_name": "x-22222222",
        "spec": {"image": "mcp/context7:1", "env": {"TOKEN": {"key_id": null, "value": "SECRET"}}}});
    world.on(
        "get_desired_state",
        &json!({"outcome": "found", "digest": "d", "instances": [instance]}),
    );
    let seen = world.ask("GET", &path(), KEY, "");
    assert_eq!(seen.status, 200, "{}", seen.text);
    assert_eq!(seen.headers.get("content-type"), Some("application/json"));
    assert_eq!(seen.headers.get("cache-control"), Some("no-store"));
    let state: DesiredState = serde_json::from_value(seen.body).unwrap();
    assert_eq!(state.digest, "d");
    assert_eq!(
        state.instances[0].deploy.spec.env["TOKEN"].reveal(),
        Some("SECRET")
    );
    let hash = AgentKey::parse(KEY).unwrap().hash();
    assert_eq!(
        world.asked("get_desired_state"),
        [json!({"toolbox_id": TOOLBOX, "token_hash": hash})]
    );
    assert!(world.host().log().is_empty());
}

#[test]
fn whoever_is_not_the_toolbox_learns_nothing() {
    let world = World::new();
    world.on("get_desired_state", &json!({"outcome": "unauthorized"}));
    let seen = world.ask("GET", &path(), KEY, "");
    assert_eq!(seen.refusal(), (401, "heartbeat_key_invalid"));
    for bearer in ["x", TOKEN, "sb_secret_x"] {
        let seen = world.ask("GET", &path(), bearer, "");
        assert_eq!(seen.refusal(), (401, "heartbeat_key_invalid"), "{bearer}");
    }
    assert_eq!(world.transport.sent().len(), 1);
}

#[test]
fn a_refusal_of_our_own_key_is_a_failure_of_ours() {
    for (status, code) in [(401, "PGRST301"), (403, "42501")] {
        let world = World::new();
        let body = json!({"code": code, "message": "SECRET"}).to_string();
        world.on_raw(
            "get_desired_state",
            Ok(Response::new(status, body.into_bytes())),
        );
        let seen = world.ask("GET", &path(), KEY, "");
        assert_eq!(seen.refusal(), (500, "not_configured"));
        assert!(!seen.text.contains("SECRET"));
        world.assert_log_is_clean();
    }
}
