use serde_json::json;
use toolbox_domain::retry::Fault;

use crate::test_world::{ACCEPTED, PREVIOUS_ROOT, ROOT, World, request};
use crate::testing::{INSTANCE, TOOLBOX, answer, fault, problem, view};

#[test]
fn an_earlier_attempt_that_may_have_arrived_keeps_the_operation_open() {
    for (what, before, under_way) in [
        ("stop", "running", "stopping"),
        ("start", "stopped", "starting"),
        ("restart", "running", "stopping"),
    ] {
        for last in [fault(Fault::Refused), problem("unauthorized", 401)] {
            let world = World::new(before);
            world.agent_once([fault(Fault::Reset), last]);
            let seen = world.change(what);
            let state = &seen.body["error"]["details"]["operation"]["state"];
            assert_eq!(state, "in_progress", "{what}: {}", seen.body);
            world.host.run_background();
            let row = world.tables().row.clone().unwrap();
            assert_eq!(
                (world.status().as_str(), world.operation().as_str()),
                (under_way, "in_progress")
            );
            assert_eq!(row["generation"], 5, "nothing was put back");
        }
    }
}

#[test]
fn an_update_that_may_have_arrived_keeps_its_spec() {
    let world = World::new("running");
    world.agent_once([fault(Fault::Reset), fault(Fault::Refused)]);
    let seen = world.update(&json!({"dockerImage": "mcp/context7:2"}), &request());
    assert_eq!(seen.code(), "agent_unreachable");
    let state = &seen.body["error"]["details"]["operation"]["state"];
    assert_eq!(state, "in_progress", "{}", seen.body);
    world.host.run_background();
    let row = world.tables().row.clone().unwrap();
    assert_eq!(
        (&row["spec"]["image"], &row["generation"]),
        (&json!("mcp/context7:2"), &json!(5))
    );
    assert_eq!(world.operation(), "in_progress");
}

#[test]
fn what_is_sealed_is_opened_for_an_agent_that_lost_it_and_what_does_not_open_stays_sealed() {
    for (root, sent) in [
        (ROOT, Some("SECRET")),
        (PREVIOUS_ROOT, Some("SECRET")),
        ("a root secret that nobody has...", None),
    ] {
        let world = World::new("stopped");
        world.seal_row(root);
        let sealed = world.tables().row.as_ref().unwrap()["spec"]["env"]["TOKEN"].clone();
        world.agent_once([
            problem("instance_unknown", 404),
            answer(202, &view("pulling", 5)),
            answer(200, &view("running", 5)),
        ]);
        world.change("start");
        let plain = |value| json!({"key_id": null, "value": value});
        assert_eq!(world.put()["env"]["TOKEN"], sent.map_or(sealed, plain));
        let log = world.host.log();
        assert_eq!(log.contains("secrets of instance"), sent.is_none(), "{log}");
        assert!(!log.contains("SECRET"));
        assert!(world.rpc("begin_tool_instance_operation")[0]["spec"].is_null());
    }
}

#[test]
fn a_start_that_created_the_instance_again_is_not_undone() {
    let world = World::new("stopped");
    world.agent_once([
        problem("instance_unknown", 404),
        answer(202, &view("pulling", 5)),
        fault(Fault::Refused),
    ]);
    let seen = world.change("start");
    assert_eq!(seen.code(), "agent_unreachable");
    let told = world.sent_to_agent();
    assert_eq!(told[1], format!("PUT /tools/{INSTANCE}"));
    world.host.run_background();
    let row = world.tables().row.clone().unwrap();
    assert_eq!(
        (&row["desired_status"], &row["generation"]),
        (&json!("running"), &json!(5))
    );
    assert_eq!(
        (world.status().as_str(), world.operation().as_str()),
        ("starting", "in_progress")
    );
}

#[test]
fn a_follower_that_is_refused_says_so() {
    let world = World::new("running");
    world.agent_once([
        answer(202, &view("stopping", 5)),
        problem("unauthorized", 401),
    ]);
    assert_eq!(world.change("stop").progress, ACCEPTED);
    world.host.run_background();
    let log = world.host.log();
    assert!(log.contains("agent_unauthorized"), "{log}");
    assert_eq!(world.operation(), "in_progress");
}

#[test]
fn what_certainly_did_not_happen_is_wanted_no_more_under_a_new_generation() {
    let world = World::new("running");
    world.agent_once([fault(Fault::Refused)]);
    world.change("stop");
    let row = world.tables().row.clone().unwrap();
    assert_eq!(
        (&row["desired_status"], &row["generation"]),
        (&json!("running"), &json!(6))
    );
}

#[test]
fn only_the_answer_to_a_deletion_ends_the_row() {
    // The deletion's first answer was lost, and the agent shows nothing of the instance meanwhile.
    let world = World::new("running");
    world.agent_once([
        fault(Fault::Timeout),
        problem("instance_unknown", 404),
        fault(Fault::Reset),
        problem("instance_unknown", 404),
        answer(200, &json!({"id": INSTANCE, "removed": true})),
    ]);
    assert_eq!(world.change("delete").code(), "agent_timeout");
    world.host.run_background();
    let told: Vec<String> = world.sent_to_agent();
    let methods: Vec<&str> = told.iter().map(|call| &call[..3]).collect();
    assert_eq!(methods, ["DEL", "GET", "DEL", "GET", "DEL"]);
    assert_eq!(
        (world.status().as_str(), world.operation().as_str()),
        ("gone", "succeeded")
    );
}

#[test]
fn a_look_that_finds_nothing_asks_for_the_deletion_before_the_row_ends() {
    let list = json!({"toolbox_id": TOOLBOX, "version": "0.1.0", "api_version": 2, "tools": [], "foreign": []});
    let looks: [fn(&World) -> _; 2] = [World::list, World::get];
    for look in looks {
        for (told, status) in [
            (
                answer(200, &json!({"id": INSTANCE, "removed": true})),
                "gone",
            ),
            (answer(202, &view("removing", 4)), "pending_delete"),
            (fault(Fault::Reset), "pending_delete"),
        ] {
            let world = World::new("pending_delete");
            world.tables().row.as_mut().unwrap()["desired_status"] = "absent".into();
            let list = list.clone();
            world.agent(move |call| match call {
                "GET /tools" => answer(200, &list),
                call if call.starts_with("GET") => problem("instance_unknown", 404),
                _ => told.clone(),
            });
            look(&world).unwrap();
            world.host.run_background();
            assert_eq!(world.status(), status);
            assert_eq!(
                world.sent_to_agent().last().unwrap(),
                &format!("DELETE /tools/{INSTANCE}?generation=4")
            );
        }
    }
}
