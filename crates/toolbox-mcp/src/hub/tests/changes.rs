//! Changes of the tools, and how often clients hear of one.

use std::time::Duration;

use serde_json::{Value, json};

use super::world::{World, message};
use crate::hub::Input;
use crate::mailbox::{Receiver, mailbox};
use crate::process::Ended;

fn listening(world: &mut World) -> Receiver {
    let session = world.open(&json!({}));
    let (reply, mail) = mailbox(1 << 20);
    world.hub.input(world.now, Input::Listen { session, reply });
    mail
}

/// Answers `tools/list`, if it was asked.
fn list(world: &mut World, tools: &Value) -> bool {
    let mut asked = false;
    for message in world.written() {
        let result = match message["method"].as_str() {
            Some("tools/list") => json!({"tools": tools}),
            Some("ping") => json!({}),
            _ => continue,
        };
        asked |= message["method"] == "tools/list";
        world.server(&json!({"id": message["id"], "result": result}));
    }
    asked
}

fn heard(mail: &mut Receiver) -> Vec<Value> {
    std::iter::from_fn(|| message(mail))
        .map(|mut news| news["method"].take())
        .collect()
}

#[test]
fn one_change_that_the_server_announces_is_one_for_its_clients() {
    let mut world = World::ready();
    let mut mail = listening(&mut world);
    world.server(&json!({"method": "notifications/tools/list_changed"}));
    world.pass(Duration::from_secs(1));
    assert!(list(&mut world, &json!([{"name": "a"}, {"name": "b"}])));
    assert_eq!(heard(&mut mail), ["notifications/tools/list_changed"]);
    assert_eq!(world.last().success.clone().unwrap().tools.len(), 2);
}

#[test]
fn a_description_that_is_never_the_same_is_no_news() {
    let mut world = World::ready();
    let mut mail = listening(&mut world);
    for second in 0..1000 {
        list(
            &mut world,
            &json!([{"name": "a", "description": format!("as of second {second}")}]),
        );
        world.pass(Duration::from_secs(1));
    }
    assert_eq!(heard(&mut mail), Vec::<Value>::new());
}

#[test]
fn a_new_process_with_other_tools_is_announced_once() {
    let mut world = World::ready();
    let mut mail = listening(&mut world);
    for (tool, news) in [("b", 1), ("b", 0), ("c", 1)] {
        world.pass(Duration::from_secs(11));
        world.hub.ended(world.now, &Ended::default());
        world.written();
        world.hub.connecting();
        world.hub.connected(world.now, 1);
        for message in world.written() {
            world.server(
                &json!({"id": message["id"], "result": {"protocolVersion": "2025-11-25",
                "capabilities": {"tools": {}}, "serverInfo": {}}}),
            );
        }
        world.pass(Duration::ZERO);
        assert!(list(&mut world, &json!([{"name": tool}])));
        assert_eq!(heard(&mut mail).len(), news, "{tool}");
    }
}
