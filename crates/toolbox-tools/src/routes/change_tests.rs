use serde_json::{Value, json};

use crate::testing::{INSTANCE, TOOLBOX, World, answer, view};

#[test]
fn each_path_is_its_change() {
    let body = json!({"baseConfigOverrideJson": {"dockerImage": "mcp/context7:2"}});
    for (method, what, before, action, sent) in [
        (
            "POST",
            "/start",
            "stopped",
            "start",
            "POST /tools/{id}/start",
        ),
        ("POST", "/stop", "running", "stop", "POST /tools/{id}/stop"),
        (
            "POST",
            "/restart",
            "running",
            "restart",
            "POST /tools/{id}/restart",
        ),
        (
            "DELETE",
            "",
            "running",
            "delete",
            "DELETE /tools/{id}?generation=5",
        ),
        ("PATCH", "", "running", "update", "PUT /tools/{id}"),
    ] {
        let world = World::new(before);
        world.agent(|_| answer(202, &view("starting", 5)));
        let body = (method == "PATCH").then(|| body.clone());
        let path = format!("/{TOOLBOX}/tools/{INSTANCE}{what}");
        let seen = world.ask(method, &path, body);
        assert_eq!((seen.status, &seen.body["action"]), (202, &json!(action)));
        assert_eq!(
            (&seen.body["instanceId"], &seen.body["id"]),
            (&json!(INSTANCE), &json!(INSTANCE))
        );
        assert_eq!(seen.body["request_id"], "req-1");
        assert_eq!(seen.headers.get("location"), None);
        assert_eq!(world.sent_to_agent(), [sent.replace("{id}", INSTANCE)]);
    }
}

#[test]
fn what_is_done_is_answered_200_and_what_is_gone_without_its_row() {
    let world = World::new("running");
    world.agent(|_| answer(200, &json!({"id": INSTANCE, "removed": true})));
    let path = format!("/{TOOLBOX}/tools/{INSTANCE}");
    let seen = world.ask_with("DELETE", &path, None, &[("prefer", "wait=5")]);
    assert_eq!(
        (seen.status, &seen.body["status"], &seen.body["message"]),
        (
            200,
            &json!("deleted"),
            &json!("Done: delete; the tool is deleted")
        )
    );
    assert_eq!(seen.body["tool_instance"], Value::Null);
    assert_eq!(seen.headers.get("preference-applied"), Some("wait=5"));
}

#[test]
fn an_update_with_an_unknown_field_is_refused() {
    let world = World::new("running");
    let body = json!({"baseConfigOverrideJson": {"dockerimage": "x"}});
    let seen = world.ask("PATCH", &format!("/{TOOLBOX}/tools/{INSTANCE}"), Some(body));
    assert_eq!((seen.status, seen.code()), (400, "invalid_json"));
    assert!(world.sent_to_agent().is_empty());
}

#[test]
fn a_failure_beside_the_answer_is_logged_without_its_secrets() {
    let world = World::new("running");
    world.agent_once([
        answer(202, &view("stopping", 5)),
        answer(401, &json!({"error": "SECRET"})),
    ]);
    let seen = world.ask("POST", &format!("/{TOOLBOX}/tools/{INSTANCE}/stop"), None);
    assert_eq!(seen.status, 202);
    world.host().run_background();
    let log = world.host().log();
    assert!(
        log.contains("agent_unauthorized") && log.contains("req-1"),
        "{log}"
    );
    assert!(!log.contains("SECRET"), "{log}");
}
