use serde_json::{Value, json};
use toolbox_api::heartbeat::DesiredState;
use toolbox_domain::keys::AgentKey;
use toolbox_domain::sealing::{Owner, Place, Roots, SealingKeys};
use toolbox_edge::recorded::ROOT;
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

/// A value as the database holds it.
fn sealed(root: &[u8], instance: &str, name: &str, value: &str) -> Value {
    let roots = Roots {
        current: root,
        previous: None,
    };
    let keys = SealingKeys::derive(roots, Owner::Toolbox(TOOLBOX.parse().unwrap())).unwrap();
    let place = Place::Env(instance.parse().unwrap(), name);
    serde_json::to_value(keys.seal(place, value, [9; 12]).unwrap()).unwrap()
}

#[test]
fn secrets_are_opened_and_what_does_not_open_keeps_no_other_instance_away() {
    const PREVIOUS: &str = "the root secret before that one..";
    const OTHER: &str = "22222222-2222-4222-8222-222222222223";
    const THIRD: &str = "22222222-2222-4222-8222-222222222224";
    let world = World::with(&[("BACKEND_TO_DTMA_API_KEY_PREVIOUS", PREVIOUS)]);
    let instance = |id: &str, env: Value| {
        json!({"id": id, "generation": 4, "desired": "running", "name": "x", "container_name": "x-22222222",
            "spec": {"image": "mcp/context7:1", "env": env, "resources": {"cpus": 0.25}}})
    };
    let lost = json!({"A": sealed(b"a root secret that nobody has...", OTHER, "A", "SECRET")});
    let moved = json!({"A": sealed(ROOT.as_bytes(), OTHER, "A", "SECRET")});
    let state = json!({"outcome": "found", "digest": "d", "instances": [
        instance(INSTANCE, json!({
            "NEW": sealed(ROOT.as_bytes(), INSTANCE, "NEW", "SECRET one"),
            "OLD": sealed(PREVIOUS.as_bytes(), INSTANCE, "OLD", "SECRET two"),
            "OLDER": {"key_id": null, "value": "SECRET three"},
        })),
        instance(OTHER, lost.clone()),
        instance(THIRD, moved.clone()),
    ]});
    world.on("get_desired_state", &state);
    let seen = world.ask("GET", &path(), KEY, "");
    assert_eq!(seen.status, 200, "{}", seen.text);
    let mut expected = state;
    let plain = |value| json!({"key_id": null, "value": value});
    expected["instances"][0]["spec"]["env"] = json!({
        "NEW": plain("SECRET one"), "OLD": plain("SECRET two"), "OLDER": plain("SECRET three"),
    });
    assert_eq!(seen.body, expected);
    let log = world.host().log();
    for (id, why) in [(OTHER, "key that is not known"), (THIRD, "was changed")] {
        let mut lines = log.lines().filter(|line| line.contains(id));
        assert!(lines.next().is_some_and(|line| line.contains(why)), "{log}");
    }
    assert!(!log.contains("SECRET") && !log.contains(INSTANCE), "{log}");
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
