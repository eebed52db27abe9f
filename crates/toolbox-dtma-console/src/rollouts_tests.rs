use serde_json::{Value, json};
use toolbox_edge::recorded::user_token;
use toolbox_instances::testing::{NOW, TOOLBOX, USER, answer};

use crate::testing::World;

const ROLLOUT: &str = "6f9619ff-8b86-4d01-b42d-00000000000a";

fn rollout(state: &str) -> Value {
    json!({"id": ROLLOUT, "user_id": USER, "version": "2.0.0", "wave_size": 1, "state": state, "reason": null,
        "toolboxes": [{"id": TOOLBOX, "name": "box", "state": "waiting"}], "created_at": "2026-01-01T00:00:00+00:00",
        "ended_at": null, "step": 0, "leased_until": "2026-01-01T00:00:00+00:00", "request_id": "req-1"})
}

#[test]
fn a_rollout_begins_with_what_is_asked_for_or_with_all() {
    let world = World::new();
    world.rpc(
        "begin_rollout",
        json!({"outcome": "begun", "rollout": rollout("running")}),
    );
    let seen = world.ask("POST", "/rollouts", None);
    assert_eq!(
        seen.refusal(),
        (400, "invalid_request"),
        "no version is wanted"
    );
    world.rpc(
        "get_agent_version",
        json!({"outcome": "found", "version": "2.0.0"}),
    );
    for (body, version, wave, ids) in [
        (None, "2.0.0", 1, Value::Null),
        (
            Some(json!({"version": "3.0.0", "waveSize": 10})),
            "3.0.0",
            10,
            Value::Null,
        ),
        (
            Some(json!({"toolboxIds": [TOOLBOX]})),
            "2.0.0",
            1,
            json!([TOOLBOX]),
        ),
    ] {
        let seen = world.ask("POST", "/rollouts", body);
        assert_eq!(seen.status, 202, "{}", seen.text);
        assert_eq!(seen.body["rollout"]["id"], ROLLOUT);
        assert_eq!(seen.body["rollout"]["toolboxes"][0]["state"], "waiting");
        let asked = world.sent("/rpc/begin_rollout").pop().unwrap();
        assert_eq!(
            asked["p"],
            json!({"user_id": USER, "version": version, "wave_size": wave, "is_fleet": false, "toolbox_ids": ids, "request_id": "req-1"})
        );
    }
}

#[test]
fn what_is_no_rollout_is_refused_before_the_database_is_asked() {
    let world = World::new();
    for body in [
        json!({"version": "../1"}),
        json!({"version": "1", "waveSize": 0}),
        json!({"version": "1", "waveSize": 11}),
        json!({"version": "1", "toolboxIds": []}),
        json!({"version": "1", "toolboxIds": ["box"]}),
    ] {
        let seen = world.ask("POST", "/rollouts", Some(body));
        assert_eq!(seen.refusal(), (400, "invalid_request"), "{}", seen.text);
    }
    assert!(world.sent("/rpc/begin_rollout").is_empty());
    for (told, refusal) in [
        (json!({"outcome": "not_found"}), (404, "toolbox_not_found")),
        (
            json!({"outcome": "in_progress"}),
            (409, "rollout_in_progress"),
        ),
        (
            json!({"outcome": "too_many", "most": 500}),
            (400, "invalid_request"),
        ),
    ] {
        world.rpc("begin_rollout", told);
        let seen = world.ask("POST", "/rollouts", Some(json!({"version": "1"})));
        assert_eq!(seen.refusal(), refusal);
    }
}

#[test]
fn it_is_read_with_the_callers_own_token_and_stopped_for_the_caller() {
    let world = World::new();
    let path = format!("/rollouts/{ROLLOUT}");
    let rows = |rows: Value| {
        world.transport.on(move |request| {
            let is_read = request.url.contains(&format!("/rollouts?id=eq.{ROLLOUT}&"));
            is_read.then(|| {
                let token = format!("Bearer {}", user_token(USER, NOW + 3600));
                assert_eq!(request.headers.get("authorization"), Some(token.as_str()));
                answer(200, &rows)
            })
        });
    };
    rows(json!([rollout("running")]));
    let seen = world.ask("GET", &path, None);
    assert_eq!(
        (seen.status, &seen.body["rollout"]["state"]),
        (200, &json!("running"))
    );
    rows(json!([]));
    let seen = world.ask("GET", &path, None);
    assert_eq!(seen.refusal(), (404, "rollout_not_found"));

    world.rpc(
        "stop_rollout",
        json!({"outcome": "stopped", "rollout": rollout("stopped")}),
    );
    let seen = world.ask("POST", &format!("{path}/stop"), None);
    assert_eq!(
        (seen.status, &seen.body["rollout"]["state"]),
        (200, &json!("stopped"))
    );
    let asked = world.sent("/rpc/stop_rollout").pop().unwrap();
    assert_eq!(
        asked["p"],
        json!({"rollout_id": ROLLOUT, "user_id": USER, "is_fleet": false, "request_id": "req-1"})
    );
    world.rpc("stop_rollout", json!({"outcome": "not_found"}));
    let seen = world.ask("POST", &format!("{path}/stop"), None);
    assert_eq!(seen.refusal(), (404, "rollout_not_found"));
    let seen = world.ask("GET", "/rollouts/mine", None);
    assert_eq!(seen.refusal(), (400, "invalid_request"));
}
