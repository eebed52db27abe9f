use serde_json::json;
use toolbox_domain::retry::Fault;

use crate::testing::{TOOLBOX, World, answer, fault, view};

#[test]
fn a_list_has_the_instances_and_what_else_is_on_the_machine() {
    let world = World::new("running");
    let mut orphan = view("running", 1);
    orphan["id"] = "44444444-4444-4444-8444-444444444444".into();
    let machine = json!({"toolbox_id": TOOLBOX, "version": "0.1.0", "api_version": 2,
        "tools": [view("running", 4), orphan],
        "foreign": [{"container_id": "f", "name": "theirs", "image": "x", "state": "running"}]});
    world.agent(move |_| answer(200, &machine));
    let seen = world.ask("GET", &format!("/{TOOLBOX}/tools"), None);
    assert_eq!((seen.status, &seen.body["success"]), (200, &json!(true)));
    assert_eq!(
        (&seen.body["dtma_connected"], &seen.body["connection_error"]),
        (&json!(true), &json!(null))
    );
    assert_eq!(seen.body["tool_instances"][0]["state_source"], "live");
    assert_eq!(seen.body["orphan_tools"].as_array().unwrap().len(), 1);
    assert_eq!(seen.body["foreign_containers"][0]["name"], "theirs");
    assert_eq!(seen.body["request_id"], "req-1");
}

#[test]
fn a_list_says_why_the_agent_is_missing() {
    let world = World::new("running");
    world.agent(|_| fault(Fault::Refused));
    let seen = world.ask("GET", &format!("/{TOOLBOX}/tools"), None);
    assert_eq!((seen.status, &seen.body["success"]), (200, &json!(false)));
    assert_eq!(
        (&seen.body["dtma_connected"], &seen.body["connection_error"]),
        (&json!(false), &json!("The agent cannot be reached"))
    );
    assert_eq!(seen.body["tool_instances"][0]["state_source"], "last_known");
    assert_eq!(seen.body["last_checked"], seen.body["agent"]["checked_at"]);
}
