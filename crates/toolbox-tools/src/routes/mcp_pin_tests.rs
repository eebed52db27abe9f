use serde_json::{Value, json};
use toolbox_domain::retry::Fault;

use super::mcp_access_tests::database;
use crate::testing::{INSTANCE, Seen, TOOLBOX, World, answer, fault, problem};

const NOW: &str = "bb";

fn pin(world: &World, method: &str, body: Option<Value>) -> Seen {
    let path = format!("/{TOOLBOX}/tools/{INSTANCE}/mcp/pin");
    world.ask(method, &path, body)
}

/// A server that lists one tool, of which another definition was accepted.
fn world() -> World {
    let world = World::new("running");
    world.tables().row.as_mut().unwrap()["mcp_transport_type"] = "stdio".into();
    world.agent(|asked| {
        assert!(
            asked.ends_with(&format!("/tools/{INSTANCE}/mcp-tools")),
            "{asked}"
        );
        answer(
            200,
            &json!({"fingerprint": NOW, "tools": [{"name": "a", "description": "after"}]}),
        )
    });
    let definitions = json!([{"name": "a", "description": "before"}]).to_string();
    let accepted = json!({"fingerprint": "aa", "definitions": definitions, "accepted_at": "then"});
    let found = json!({"outcome": "found", "pin": accepted});
    database(&world, "/rpc/get_mcp_pin", found);
    world
}

#[test]
fn the_owner_is_shown_the_difference_and_accepts_what_they_saw() {
    let world = world();
    let set = database(
        &world,
        "/rpc/set_mcp_pin",
        json!({"outcome": "set", "accepted_at": "now"}),
    );
    let seen = pin(&world, "GET", None);
    assert_eq!(seen.status, 200, "{}", seen.text);
    let told = &seen.body["pin"];
    assert_eq!(
        told["accepted"],
        json!({"fingerprint": "aa", "tool_count": 1, "accepted_at": "then"})
    );
    assert_eq!(told["current_fingerprint"], NOW);
    assert_eq!(told["changed"][0]["before"]["description"], "before");
    assert_eq!(told["changed"][0]["after"]["description"], "after");

    let refused = pin(&world, "PUT", Some(json!({"fingerprint": "aa"})));
    assert_eq!(refused.refusal(), (409, "mcp_tools_changed"));
    assert!(set.lock().unwrap().is_empty(), "nothing is written");
    let put = pin(&world, "PUT", Some(json!({"fingerprint": NOW})));
    assert_eq!(put.status, 200, "{}", put.text);
    assert_eq!(put.body["pin"]["accepted"]["accepted_at"], "now");
    let written = set.lock().unwrap().remove(0);
    assert_eq!(
        (&written["fingerprint"], &written["change"]["changed"]),
        (&json!(NOW), &json!(["a"]))
    );
    let definitions: Value =
        serde_json::from_str(written["definitions"].as_str().unwrap()).unwrap();
    assert_eq!(definitions, json!([{"name": "a", "description": "after"}]));

    assert_eq!(pin(&world, "DELETE", None).status, 200);
    assert_eq!(set.lock().unwrap()[0]["fingerprint"], Value::Null);
    let bad = pin(&world, "PUT", Some(json!({"fingerprint": NOW, "x": 1})));
    assert_eq!(bad.status, 400, "{}", bad.text);
}

#[test]
fn a_server_that_does_not_tell_its_tools_is_shown_as_such_and_not_accepted() {
    let world = world();
    world.agent(|_| problem("mcp_tools_unknown", 503));
    let seen = pin(&world, "GET", None);
    assert_eq!(
        (seen.status, &seen.body["pin"]["problem"]),
        (200, &json!("A detail"))
    );
    assert_eq!(seen.body["pin"]["accepted"]["fingerprint"], "aa");
    let refused = pin(&world, "PUT", Some(json!({"fingerprint": NOW})));
    assert_eq!(refused.refusal(), (503, "mcp_tools_unknown"));
    assert_eq!(refused.body["error"]["message"], "A detail");
    world.agent(|_| fault(Fault::Refused));
    let seen = pin(&world, "GET", None);
    assert_eq!(seen.body["pin"]["problem"], "The agent cannot be reached");
    world.agent(|_| fault(Fault::Timeout));
    let refused = pin(&world, "PUT", Some(json!({"fingerprint": NOW})));
    assert_eq!(refused.refusal(), (504, "agent_timeout"));
    let said = refused.body["error"]["message"].as_str().unwrap();
    assert!(said.ends_with("try again in a minute"), "{said}");
    world.tables().row.as_mut().unwrap()["mcp_transport_type"] = Value::Null;
    assert_eq!(pin(&world, "GET", None).refusal(), (409, "illegal_state"));
    world.tables().row = None;
    assert_eq!(
        pin(&world, "DELETE", None).refusal(),
        (404, "instance_not_found")
    );
}
