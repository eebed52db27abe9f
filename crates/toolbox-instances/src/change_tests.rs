use serde_json::{Value, json};
use toolbox_domain::retry::Fault;

use crate::test_world::{ACCEPTED, DONE, World, request_under_key};
use crate::testing::{INSTANCE, answer, fault, problem, row, view};

fn removed() -> Value {
    json!({"id": INSTANCE, "removed": true})
}

#[test]
fn what_the_agent_settles_at_once_is_answered_as_done() {
    for (what, before, phase, history) in [
        (
            "start",
            "stopped",
            "running",
            &["stopped>starting", "starting>running"][..],
        ),
        (
            "start",
            "running",
            "running",
            &["running>starting", "starting>running"],
        ),
        (
            "start",
            "error",
            "running",
            &["error>starting", "starting>running"],
        ),
        (
            "stop",
            "running",
            "stopped",
            &["running>stopping", "stopping>stopped"],
        ),
        ("stop", "stopped", "stopped", &[]),
        (
            "restart",
            "running",
            "running",
            &["running>stopping", "stopping>starting", "starting>running"],
        ),
    ] {
        let world = World::new(before);
        world.agent(move |_| answer(200, &view(phase, 5)));
        let seen = world.change(what);
        assert_eq!(
            (seen.progress, &seen.body["status"]),
            (DONE, &json!(phase)),
            "{what} {before}"
        );
        assert_eq!(seen.body["operation"]["state"], "succeeded");
        assert_eq!(world.tables().history, history, "{what} {before}");
        assert_eq!(world.operation(), "succeeded");
    }
}

#[test]
fn what_takes_longer_is_accepted_and_followed() {
    let world = World::new("running");
    world.agent_once([
        answer(202, &view("stopping", 5)),
        answer(200, &view("stopping", 5)),
        answer(200, &view("stopped", 5)),
    ]);
    let seen = world.change("stop");
    assert_eq!(
        (seen.progress, &seen.body["status"]),
        (ACCEPTED, &json!("stopping"))
    );
    world.host.run_background();
    assert_eq!(
        (world.status().as_str(), world.operation().as_str()),
        ("stopped", "succeeded")
    );
    assert_eq!(
        world.sent_to_agent()[1],
        format!("GET /tools/{INSTANCE}?generation=5")
    );
}

#[test]
fn an_agent_that_missed_a_change_is_told_everything() {
    for (what, before, phase, told) in [
        ("stop", "running", "stopped", &["stop", "PUT"][..]),
        ("start", "stopped", "running", &["start", "PUT", "start"]),
        (
            "restart",
            "running",
            "running",
            &["restart", "PUT", "start"],
        ),
    ] {
        let world = World::new(before);
        world.agent_once([
            problem("generation_gap", 409),
            answer(200, &view(phase, 5)),
            answer(200, &view(phase, 5)),
        ]);
        let seen = world.change(what);
        assert_eq!(
            (seen.progress, &seen.body["status"]),
            (DONE, &json!(phase)),
            "{what}"
        );
        let all = world.sent_to_agent();
        assert_eq!(all.len(), told.len(), "{what}: {all:?}");
        for (line, part) in all.iter().zip(told) {
            assert!(line.contains(part), "{what}: {all:?}");
        }
        let restart = put(&world).get("restart").cloned();
        assert_eq!(restart, (what == "restart").then_some(json!(true)));
        // Nobody deployed anything, so no registry is asked.
        assert_eq!(put(&world).get("refresh_image"), None, "{what}");
    }
}

#[test]
fn what_a_later_command_has_overtaken_is_no_success() {
    let world = World::new("stopped");
    world.agent(move |_| answer(200, &view("stopped", 6)));
    let seen = world.change("start");
    assert_eq!(seen.code(), "state_changed");
}

#[test]
fn a_start_re_creates_what_the_agent_has_lost() {
    let world = World::new("stopped");
    let known = json!([{"container_port": 8080, "host_port": 31234, "host_ip": "127.0.0.1", "protocol": "tcp"}]);
    world.tables().row.as_mut().unwrap()["port_mapping_json"] = known.clone();
    world.agent_once([
        problem("instance_unknown", 404),
        answer(202, &view("pending", 5)),
        answer(200, &view("running", 5)),
    ]);
    let seen = world.change("start");
    assert_eq!(
        (seen.progress, &seen.body["status"]),
        (DONE, &json!("running"))
    );
    let id = INSTANCE;
    assert_eq!(
        world.sent_to_agent(),
        [
            format!("POST /tools/{id}/start"),
            format!("PUT /tools/{id}"),
            format!("POST /tools/{id}/start"),
        ]
    );
    let request = put(&world);
    let stored = row("stopped")["spec"].clone();
    assert_eq!(request["spec"]["image"], stored["image"]);
    assert_eq!(request["spec"]["env"], stored["env"]);
    // As the agent gets them when it fetches the desired state at the same time: one generation is one spec.
    assert_eq!(request["spec"]["ports"][0]["container_port"], 8080);
    assert_eq!(request["spec"]["ports"][0].get("host_port"), None);
    assert_eq!(request["known_ports"], known);
}

/// The deployment the agent was sent.
fn put(world: &World) -> Value {
    let sent = world.transport.sent();
    let call = sent.iter().find(|call| call.request.method == "PUT");
    serde_json::from_slice(&call.unwrap().request.body).unwrap()
}

#[test]
fn a_restart_re_creates_too_and_does_not_stop_what_it_just_made() {
    let world = World::new("running");
    world.agent_once([
        problem("instance_unknown", 404),
        answer(202, &view("pending", 5)),
        answer(202, &view("starting", 5)),
    ]);
    assert_eq!(world.change("restart").progress, ACCEPTED);
    assert_eq!(
        world.sent_to_agent()[2],
        format!("POST /tools/{INSTANCE}/start")
    );
}

#[test]
fn an_agent_that_forgets_what_it_is_given_is_not_asked_for_ever() {
    let world = World::new("stopped");
    world.agent(|call| match call.split(' ').next() {
        Some("PUT") => answer(202, &view("pending", 5)),
        _ => problem("instance_unknown", 404),
    });
    let seen = world.change("start");
    assert_eq!(seen.code(), "instance_not_found");
    assert_eq!(world.sent_to_agent().len(), 3);
    assert_eq!(
        (world.status().as_str(), world.operation().as_str()),
        ("stopped", "failed")
    );
}

#[test]
fn the_status_goes_back_when_nothing_happened() {
    for (what, before, history) in [
        (
            "stop",
            "running",
            &["running>stopping", "stopping>running"][..],
        ),
        (
            "start",
            "stopped",
            &["stopped>starting", "starting>stopped"],
        ),
        (
            "restart",
            "running",
            &["running>stopping", "stopping>running"],
        ),
        ("start", "error", &["error>starting", "starting>error"]),
        ("stop", "stopped", &[]),
    ] {
        for (told, code) in [
            (fault(Fault::Refused), "agent_unreachable"),
            (problem("unauthorized", 401), "agent_unauthorized"),
            (answer(200, &json!("<html>")), "agent_bad_response"),
            (answer(404, &json!({"error": "Not Found"})), "agent_too_old"),
        ] {
            let world = World::new(before);
            world.agent(move |_| told.clone());
            let seen = world.change(what);
            assert_eq!(seen.code(), code, "{what} {before}");
            assert_eq!(world.tables().history, history);
            let operation = world.tables().operation.clone().unwrap();
            assert_eq!(
                (&operation["state"], &operation["error_code"]),
                (&json!("failed"), &json!(code))
            );
            assert_eq!(
                seen.body["error"]["details"]["tool_instance"]["status_on_toolbox"],
                before
            );
            // Else the agent's next look at the desired state would do it after all.
            let desired = world.tables().row.as_ref().unwrap()["desired_status"].clone();
            assert_eq!(desired, row(before)["desired_status"], "{what} {before}");
        }
    }
    // An error keeps the reason it had.
    let world = World::new("error");
    world.agent(|_| fault(Fault::Refused));
    world.change("start");
    assert_eq!(
        world.tables().row.as_ref().unwrap()["instance_error_code"],
        "exited"
    );
}

#[test]
fn what_may_have_arrived_stays_open() {
    for told in [fault(Fault::Timeout), fault(Fault::Reset)] {
        let world = World::new("running");
        world.agent(move |_| told.clone());
        let seen = world.change("stop");
        assert!(matches!(seen.code(), "agent_timeout" | "agent_unreachable"));
        assert_eq!(
            seen.body["error"]["details"]["operation"]["state"],
            "in_progress"
        );
        world.host.run_background();
        assert_eq!(
            (world.status().as_str(), world.operation().as_str()),
            ("stopping", "in_progress")
        );
        world.agent(|_| answer(200, &view("stopped", 5)));
        world.get().unwrap();
        world.host.run_background();
        assert_eq!(
            (world.status().as_str(), world.operation().as_str()),
            ("stopped", "succeeded")
        );
    }
}

#[test]
fn a_stop_of_what_the_agent_does_not_know_is_done() {
    let world = World::new("running");
    world.agent(|_| problem("instance_unknown", 404));
    let seen = world.change("stop");
    assert_eq!(
        (seen.progress, &seen.body["status"]),
        (DONE, &json!("stopped"))
    );
    assert_eq!(
        (world.status().as_str(), world.operation().as_str()),
        ("stopped", "succeeded")
    );
}

#[test]
fn an_end_that_was_not_asked_for_is_never_success() {
    for (what, before, code) in [
        ("start", "stopped", "start_failed"),
        ("stop", "running", "stop_failed"),
        ("restart", "running", "start_failed"),
    ] {
        let world = World::new(before);
        world.agent(|_| answer(200, &view("error", 5)));
        let seen = world.change(what);
        assert_eq!(seen.code(), code);
        assert_eq!(
            seen.body["error"]["details"]["reason"]["code"],
            "image_not_found"
        );
        assert_eq!(
            (world.status().as_str(), world.operation().as_str()),
            ("error", "failed")
        );
    }
}

#[test]
fn a_delete_ends_with_the_row() {
    for told in [answer(200, &removed()), problem("instance_unknown", 404)] {
        let world = World::new("running");
        world.agent(move |_| told.clone());
        let seen = world.change("delete");
        assert_eq!(
            (seen.progress, &seen.body["status"]),
            (DONE, &json!("deleted"))
        );
        assert_eq!(seen.body["tool_instance"], json!(null));
        assert_eq!(
            (world.status().as_str(), world.operation().as_str()),
            ("gone", "succeeded")
        );
        assert_eq!(
            world.tables().history,
            ["running>pending_delete", "pending_delete>deleting"]
        );
    }
    let world = World::new("running");
    let mut removing = view("removing", 5);
    removing["desired"] = "absent".into();
    world.agent_once([answer(202, &removing), problem("instance_unknown", 404)]);
    assert_eq!(world.change("delete").progress, ACCEPTED);
    world.host.run_background();
    assert_eq!(
        (world.status().as_str(), world.operation().as_str()),
        ("gone", "succeeded")
    );
}

#[test]
fn a_delete_that_reaches_nobody_keeps_the_row_with_its_reason() {
    let world = World::new("running");
    world.agent(|_| fault(Fault::Refused));
    let seen = world.change("delete");
    assert_eq!(seen.code(), "agent_unreachable");
    let row = world.tables().row.clone().unwrap();
    assert_eq!(
        (&row["status_on_toolbox"], &row["instance_error_code"]),
        (&json!("error"), &json!("agent_unreachable"))
    );
    assert!(
        row["instance_error_message"]
            .as_str()
            .unwrap()
            .starts_with("The container could not be removed")
    );
    assert_eq!(row["desired_status"], "absent", "it is still to go");
    // It may be deleted again, and the agent then forgets it.
    world.agent(|_| answer(200, &removed()));
    assert_eq!(world.change("delete").progress, DONE);
}

#[test]
fn one_operation_at_a_time_and_the_running_one_is_named() {
    let world = World::new("running");
    world.agent(|_| answer(202, &view("stopping", 5)));
    assert_eq!(world.change("stop").progress, ACCEPTED);
    world.tables().row.as_mut().unwrap()["status_on_toolbox"] = "stopping".into();
    let seen = world.change("start");
    assert_eq!(seen.code(), "operation_in_progress");
    assert_eq!(seen.body["error"]["details"]["operation"]["action"], "stop");
    assert_eq!(
        seen.body["error"]["details"]["operation"]["request_id"],
        "req-1"
    );
}

#[test]
fn a_decision_on_a_state_that_moved_is_made_again() {
    let world = World::new("running");
    world.agent(|_| answer(200, &view("stopped", 5)));
    world
        .tables()
        .begin_with
        .push_back(json!({"outcome": "status_changed", "status": "starting"}));
    assert_eq!(world.change("stop").progress, DONE);
    let world = World::new("running");
    for _ in 0..3 {
        world
            .tables()
            .begin_with
            .push_back(json!({"outcome": "status_changed", "status": "starting"}));
    }
    let seen = world.change("stop");
    assert_eq!(seen.code(), "state_changed");
    assert!(world.sent_to_agent().is_empty());
}

#[test]
fn a_stop_or_a_deletion_takes_the_place_of_a_deploy_that_hangs() {
    for (what, begun, ends) in [
        ("stop", "stopping", "stopped"),
        ("delete", "pending_delete", "gone"),
    ] {
        let world = World::new("deploying");
        world.tables().operation = Some(json!({"id": "88888888-8888-4888-8888-888888888888",
            "tool_instance_id": INSTANCE, "action": "deploy", "state": "in_progress",
            "request_id": "req-1", "generation": 4}));
        world.agent(move |_| match what {
            "stop" => answer(200, &view("stopped", 5)),
            _ => answer(200, &removed()),
        });
        assert_eq!(world.change(what).progress, DONE, "{what}");
        assert_eq!(world.status(), ends);
        assert_eq!(
            world.tables().history.first().unwrap(),
            &format!("deploying>{begun}")
        );
    }
}

#[test]
fn a_stop_overtakes_a_deploy_that_has_not_reached_the_agent() {
    let world = World::new("deploying");
    world.agent_once([
        problem("instance_unknown", 404),
        answer(200, &view("stopped", 5)),
    ]);
    assert_eq!(world.change("stop").progress, DONE);
    let sent = world.sent_to_agent();
    assert!(sent[0].ends_with("/stop"), "{sent:?}");
    // The deploy that comes late finds a later generation there.
    assert!(sent[1].starts_with("PUT"), "{sent:?}");
}

#[test]
fn who_meets_an_operation_is_told_when_to_ask_again() {
    let world = World::new("deploying");
    world.tables().operation = Some(json!({"id": "99999999-9999-4999-8999-999999999999",
        "tool_instance_id": INSTANCE, "action": "deploy", "state": "in_progress",
        "request_id": "req-1", "generation": 4}));
    let seen = world.change("start");
    assert_eq!(seen.code(), "operation_in_progress");
    assert_eq!(seen.header, Some(("retry-after", "5".to_owned())));
}

#[test]
fn the_running_operation_is_named_also_where_the_state_allows_nothing() {
    for (what, before) in [("restart", "deploying"), ("start", "pending_delete")] {
        let world = World::new(before);
        world.tables().operation = Some(json!({"id": "99999999-9999-4999-8999-999999999999",
            "tool_instance_id": INSTANCE, "action": "deploy", "state": "in_progress",
            "request_id": "req-1", "generation": 4}));
        let seen = world.change(what);
        assert_eq!(seen.code(), "operation_in_progress");
        assert_eq!(
            seen.body["error"]["details"]["operation"]["request_id"],
            "req-1"
        );
        assert!(world.sent_to_agent().is_empty());
        assert_eq!(world.status(), before);
    }
}

#[test]
fn states_and_toolboxes_that_allow_nothing_say_so() {
    for (what, before) in [
        ("start", "pending_delete"),
        ("stop", "deleting"),
        ("restart", "deleting"),
    ] {
        let world = World::new(before);
        let seen = world.change(what);
        assert_eq!(seen.code(), "illegal_state", "{what} {before}");
        assert!(world.sent_to_agent().is_empty());
    }
    let world = World::new("running");
    world.tables().toolbox["status"] = "deprovisioned".into();
    assert_eq!(world.change("stop").code(), "toolbox_not_active");
    for (version, code) in [(1, Some("agent_too_old")), (2, None), (3, None)] {
        let world = World::new("running");
        world.tables().toolbox["dtma_api_version"] = version.into();
        let seen = world.change("stop");
        assert_eq!(seen.code() == "agent_too_old", code.is_some(), "{version}");
        assert_eq!(world.sent_to_agent().is_empty(), code.is_some());
    }
    world.tables().toolbox["public_ip_address"] = json!(null);
    assert_eq!(world.change("delete").code(), "toolbox_not_ready");
    assert_eq!(world.status(), "running", "nothing was begun");
}

#[test]
fn a_failed_record_is_no_success_and_is_made_up_for() {
    let world = World::new("running");
    world.agent(|_| answer(200, &view("stopped", 5)));
    let mut failures = 3;
    world.transport.on(move |request| {
        (request.url.ends_with("record_tool_instance_states") && failures > 0).then(|| {
            failures -= 1;
            fault(Fault::Refused)
        })
    });
    let seen = world.change("stop");
    assert_eq!(
        (seen.progress, &seen.body["operation"]["state"]),
        (ACCEPTED, &json!("in_progress"))
    );
    world.host.run_background();
    assert_eq!(
        (world.status().as_str(), world.operation().as_str()),
        ("stopped", "succeeded")
    );
}

#[test]
fn a_begin_that_may_have_arrived_is_not_repeated() {
    for (told, calls) in [(Fault::Refused, 3), (Fault::Reset, 1), (Fault::Timeout, 1)] {
        let world = World::new("running");
        world.transport.on(move |r| {
            r.url
                .ends_with("begin_tool_instance_operation")
                .then(|| fault(told))
        });
        let seen = world.change("stop");
        assert!(matches!(
            seen.code(),
            "database_unreachable" | "database_timeout"
        ));
        assert_eq!(
            world.rpc("begin_tool_instance_operation").len(),
            calls,
            "{told:?}"
        );
    }
}

#[test]
fn a_delete_repeated_under_its_key_is_answered_after_the_row_is_gone() {
    let world = World::new("running");
    world.tables().row = None;
    assert_eq!(world.change("delete").code(), "instance_not_found");
    world.tables().begin_with.push_back(json!({"outcome": "replayed", "instance": null,
        "operation": {"id": INSTANCE, "tool_instance_id": INSTANCE, "action": "delete", "state": "succeeded"}}));
    let seen = world.change_with("delete", &request_under_key("k"));
    assert_eq!(
        (seen.progress, &seen.body["status"]),
        (DONE, &json!("deleted"))
    );
    assert_eq!(
        world.change_with("delete", &request_under_key("k2")).code(),
        "instance_not_found"
    );
}
