use serde_json::json;
use toolbox_domain::retry::Fault;
use toolbox_edge::recorded::assert_published;

use crate::FUNCTION;
use crate::testing::{INSTANCE, TOOLBOX, World, answer, fault, problem, view};

#[test]
fn the_published_document_has_exactly_these_routes() {
    let document = include_str!("../../../../docs/api/toolbox-tools.openapi.json");
    assert_published(&FUNCTION, document);
}

#[test]
fn by_id_and_by_name_decoded_once() {
    let world = World::new("running");
    for instance in [INSTANCE, "Context7%20MCP%20Server-1750278276605"] {
        let seen = world.ask("GET", &format!("/{TOOLBOX}/tools/{instance}"), None);
        assert_eq!(
            (seen.status, &seen.body["tool_instance"]["id"]),
            (200, &json!(INSTANCE)),
            "{instance}"
        );
    }
    for instance in [
        "Context7",
        "404",
        "%2e",
        "..%2F..",
        "44444444-4444-4444-8444-444444444444",
        "a%00b",
    ] {
        let seen = world.ask("GET", &format!("/{TOOLBOX}/tools/{instance}"), None);
        assert_eq!(
            (seen.status, seen.code()),
            (404, "instance_not_found"),
            "{instance}"
        );
    }
}

#[test]
fn names_reach_the_database_encoded_once() {
    let world = World::new("running");
    for name in ["a/b ? # % & + .. %2F", "404", "ünï-🦀", "eq.1&or=(id.gt.0)"] {
        world.tables().row.as_mut().unwrap()["instance_name_on_toolbox"] = name.into();
        let segment = toolbox_domain::names::encode_segment(name);
        let seen = world.ask("GET", &format!("/{TOOLBOX}/tools/{segment}"), None);
        assert_eq!(
            (
                seen.status,
                &seen.body["tool_instance"]["instance_name_on_toolbox"]
            ),
            (200, &json!(name))
        );
    }
}

#[test]
fn live_last_known_or_absent() {
    let world = World::new("running");
    let get = |world: &World| world.ask("GET", &format!("/{TOOLBOX}/tools/{INSTANCE}"), None);
    world.agent(|_| answer(200, &view("running", 4)));
    assert_eq!(
        get(&world).body["tool_instance"]["live"]["phase"],
        "running"
    );
    world.agent(|_| fault(Fault::Refused));
    let seen = get(&world);
    assert_eq!(seen.body["success"], false);
    assert_eq!(seen.body["agent"]["code"], "agent_unreachable");
    assert_eq!(seen.body["tool_instance"]["state_source"], "last_known");
    world.agent(|_| problem("instance_unknown", 404));
    let seen = get(&world);
    assert_eq!(
        seen.body["tool_instance"]["error"]["code"],
        "container_missing"
    );
    world.host().run_background();
    assert_eq!(world.status(), "error");
}
