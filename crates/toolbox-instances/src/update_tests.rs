use serde_json::{Value, json};

use crate::test_world::{DONE, PREVIOUS_ROOT, ROOT, World, request, request_that_waits};
use crate::testing::{INSTANCE, answer, problem, view};

#[test]
fn what_is_left_out_stays_as_it_is() {
    let world = World::new("running");
    world.agent(|_| answer(200, &view("running", 5)));
    let wanted = json!({"dockerImage": "mcp/context7:2", "environmentVariables": {"MORE": "x"}});
    let seen = world.update(&wanted, &request());
    assert_eq!(
        (seen.progress, &seen.body["status"]),
        (DONE, &json!("running"))
    );
    let begun = &world.rpc("begin_tool_instance_operation")[0];
    assert_eq!(
        begun["expected_generation"], 4,
        "the spec was made from this one"
    );
    assert_eq!(begun["spec"]["image"], "mcp/context7:2");
    let env = json!({"TOKEN": plain("SECRET"), "MORE": plain("x")});
    assert_eq!(world.opened(&begun["spec"], INSTANCE)["env"], env);
    assert_eq!(world.put()["env"], env);
    assert_eq!(begun["spec"]["ports"][0]["container_port"], 8080);
    assert_eq!(
        world.tables().history,
        [
            "running>deploying",
            "deploying>starting",
            "starting>running"
        ]
    );
}

#[test]
fn an_exception_that_is_none_any_more_stops_no_change_of_something_else() {
    let world = World::new("running");
    world.agent(|_| answer(200, &view("running", 5)));
    let stored = json!(["169.254.169.254:80", "host:30000", "host:5432"]);
    world.tables().row.as_mut().unwrap()["spec"]["host_access"] = stored.clone();
    let seen = world.update(&json!({"stdinOpen": true}), &request());
    assert_eq!(seen.progress, DONE, "{}", seen.body);
    let begun = &world.rpc("begin_tool_instance_operation")[0];
    assert_eq!(begun["spec"]["host_access"], json!(["host:5432"]));
    // Who names it now is refused.
    let world = World::new("running");
    let seen = world.update(&json!({"hostAccess": stored}), &request());
    let errors = &seen.body["error"]["details"]["errors"];
    assert_eq!(seen.code(), "validation_failed");
    assert_eq!(errors[0]["field"], "baseConfigOverrideJson.hostAccess[0]");
    assert_eq!(errors[1]["code"], "host_port_reserved");
}

/// A value in its envelope.
fn plain(value: &str) -> Value {
    json!({"key_id": null, "value": value})
}

#[test]
fn a_value_under_a_key_that_is_not_known_is_no_plain_text() {
    let world = World::new("running");
    let sealed = json!({"key_id": "k1", "value": "SECRET"});
    world.tables().row.as_mut().unwrap()["spec"]["env"]["TOKEN"] = sealed;
    let seen = world.update(&json!({"stdinOpen": true}), &request());
    let error = &seen.body["error"]["details"]["errors"][0];
    assert_eq!(
        (seen.code(), &error["field"], &error["code"]),
        (
            "validation_failed",
            &json!("baseConfigOverrideJson.environmentVariables.TOKEN"),
            &json!("secret_key_unknown")
        )
    );
    assert!(!seen.body.to_string().contains("SECRET"));
}

#[test]
fn a_value_under_the_previous_key_is_rewritten_under_the_current_one() {
    for root in [ROOT, PREVIOUS_ROOT] {
        let world = World::new("running");
        world.seal_row(root);
        world.agent(|_| answer(200, &view("running", 5)));
        let seen = world.update(&json!({"stdinOpen": true}), &request());
        assert_eq!(seen.progress, DONE, "{}", seen.body);
        let begun = &world.rpc("begin_tool_instance_operation")[0];
        let env = json!({"TOKEN": plain("SECRET")});
        assert_eq!(world.opened(&begun["spec"], INSTANCE)["env"], env);
        assert_eq!(world.put()["env"], env);
    }
}

#[test]
fn a_value_that_does_not_open_must_be_given_anew() {
    let world = World::new("running");
    world.seal_row(ROOT);
    world.agent(|_| answer(200, &view("running", 5)));
    {
        let mut tables = world.tables();
        let env = &mut tables.row.as_mut().unwrap()["spec"]["env"];
        env["MOVED"] = env["TOKEN"].clone();
    }
    let seen = world.update(&json!({"stdinOpen": true}), &request());
    let errors = seen.body["error"]["details"]["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert_eq!(
        (&errors[0]["field"], &errors[0]["code"]),
        (
            &json!("baseConfigOverrideJson.environmentVariables.MOVED"),
            &json!("secret_unreadable")
        )
    );
    let wanted = json!({"environmentVariables": {"MOVED": "new"}});
    assert_eq!(world.update(&wanted, &request()).progress, DONE);
    let env = json!({"TOKEN": plain("SECRET"), "MOVED": plain("new")});
    assert_eq!(world.put()["env"], env);
}

#[test]
fn null_removes_a_variable_unless_the_tool_needs_it() {
    let world = World::new("running");
    world.agent(|_| answer(200, &view("running", 5)));
    let wanted = json!({"environmentVariables": {"TOKEN": null, "MORE": "x", "NEVER_SET": null}});
    assert_eq!(world.update(&wanted, &request()).progress, DONE);
    let begun = &world.rpc("begin_tool_instance_operation")[0];
    let stored = world.opened(&begun["spec"], INSTANCE);
    assert_eq!(stored["env"], json!({"MORE": plain("x")}));

    for schema in ["required_config_schema", "required_secrets_schema"] {
        for lost in [json!(null), json!("")] {
            let world = World::new("running");
            world.tables().catalog[schema]["required"] = json!(["TOKEN"]);
            let wanted = json!({"environmentVariables": {"TOKEN": lost}});
            let seen = world.update(&wanted, &request());
            assert_eq!(seen.code(), "validation_failed");
            let error = &seen.body["error"]["details"]["errors"][0];
            assert_eq!(
                (&error["field"], &error["code"]),
                (
                    &json!("baseConfigOverrideJson.environmentVariables.TOKEN"),
                    &json!("variable_missing")
                )
            );
            assert!(world.sent_to_agent().is_empty());
        }
    }
}

#[test]
fn what_is_stopped_stays_stopped() {
    let world = World::new("stopped");
    world.agent(|_| answer(200, &view("stopped", 5)));
    let seen = world.update(&json!({"dockerImage": "mcp/context7:2"}), &request());
    assert_eq!(
        (seen.progress, &seen.body["status"]),
        (DONE, &json!("stopped"))
    );
    let begun = &world.rpc("begin_tool_instance_operation")[0];
    assert_eq!(begun["desired_status"], "stopped");
    let sent = world.transport.sent();
    let put = sent.iter().find(|call| call.request.method == "PUT");
    let put: Value = serde_json::from_slice(&put.unwrap().request.body).unwrap();
    assert_eq!(
        (&put["desired"], &put["refresh_image"]),
        (&json!("stopped"), &json!(true))
    );
    let row = world.tables().row.clone().unwrap();
    assert_eq!(
        (&row["desired_status"], &row["spec"]["image"]),
        (&json!("stopped"), &json!("mcp/context7:2"))
    );
    assert_eq!(
        world.tables().history,
        ["stopped>deploying", "deploying>stopped"]
    );
}

#[test]
fn a_failed_update_of_what_is_stopped_changes_nothing() {
    let world = World::new("stopped");
    world.agent(|_| problem("invalid_spec", 422));
    let seen = world.update(&json!({"dockerImage": "mcp/context7:2"}), &request());
    assert_eq!(seen.code(), "validation_failed");
    let row = world.tables().row.clone().unwrap();
    assert_eq!(
        (&row["desired_status"], &row["spec"]["image"]),
        (&json!("stopped"), &json!("mcp/context7:1"))
    );
    assert_eq!(
        (world.status().as_str(), world.operation().as_str()),
        ("stopped", "failed")
    );
}

#[test]
fn an_update_of_what_failed_is_to_run_again_unless_it_was_to_be_stopped() {
    for desired in ["running", "stopped"] {
        let world = World::new("error");
        world.tables().row.as_mut().unwrap()["desired_status"] = desired.into();
        world.agent(move |_| answer(200, &view(desired, 5)));
        let seen = world.update(&json!({"dockerImage": "mcp/context7:2"}), &request());
        assert_eq!(
            (seen.progress, &seen.body["status"]),
            (DONE, &json!(desired))
        );
        let begun = &world.rpc("begin_tool_instance_operation")[0];
        assert_eq!(begun["desired_status"], desired);
    }
}

#[test]
fn an_update_that_was_rolled_back_failed_and_the_old_spec_is_kept() {
    let world = World::new("running");
    let mut update_failed = view("running", 5);
    update_failed["update_failed"] = true.into();
    update_failed["rolled_back"] = true.into();
    update_failed["reason"] =
        json!({"code": "exited", "message": "The new container exited with code 1"});
    world.agent_once([
        answer(202, &view("pulling", 5)),
        answer(200, &update_failed),
    ]);
    let seen = world.update(
        &json!({"dockerImage": "mcp/context7:bad"}),
        &request_that_waits(30),
    );
    assert_eq!(seen.code(), "update_failed");
    assert_eq!(seen.body["error"]["details"]["reason"]["code"], "exited");
    assert_eq!(
        seen.body["error"]["details"]["tool_instance"]["status_on_toolbox"],
        "running"
    );
    assert_eq!(
        (world.status().as_str(), world.operation().as_str()),
        ("running", "failed")
    );
    assert_eq!(
        world.tables().row.as_ref().unwrap()["spec"]["image"],
        "mcp/context7:1"
    );
}

#[test]
fn a_roll_back_is_told_also_once_its_spec_was_taken_back() {
    // The agent's heartbeat and its next look at the desired state were quicker than the answer.
    for (rolled_back, told) in [(false, "update_failed"), (true, "state_changed")] {
        let world = World::new("running");
        let mut update_failed = view("running", 6);
        update_failed["update_failed"] = true.into();
        update_failed["rolled_back"] = rolled_back.into();
        update_failed["reason"] = json!({"code": "exited", "message": "exit 1"});
        world.agent_once([
            answer(202, &view("pulling", 5)),
            answer(200, &update_failed),
        ]);
        let bad = json!({"dockerImage": "mcp/context7:bad"});
        let seen = world.update(&bad, &request_that_waits(30));
        assert_eq!(seen.code(), told);
    }
}

#[test]
fn an_update_the_agent_refuses_changes_nothing() {
    let world = World::new("running");
    world.agent(|_| problem("invalid_spec", 422));
    let seen = world.update(&json!({"dockerImage": "mcp/context7:2"}), &request());
    assert_eq!(seen.code(), "validation_failed");
    assert_eq!(
        (world.status().as_str(), world.operation().as_str()),
        ("running", "failed")
    );
    assert_eq!(
        world.tables().row.as_ref().unwrap()["spec"]["image"],
        "mcp/context7:1"
    );
}

#[test]
fn an_update_made_from_an_older_spec_is_not_tried_again() {
    let world = World::new("running");
    world
        .tables()
        .begin_with
        .push_back(json!({"outcome": "status_changed", "status": "running"}));
    let seen = world.update(&json!({"dockerImage": "mcp/context7:2"}), &request());
    assert_eq!(seen.code(), "state_changed");
    assert!(world.sent_to_agent().is_empty());
}

#[test]
fn rules_hold_for_updates_too() {
    let world = World::new("running");
    for wanted in [
        json!({"dockerImage": "not an image!"}),
        json!({"portMappings": [{"containerPort": 80, "hostPort": 22}]}),
        json!({"environmentVariables": {"NOT A NAME": "x"}}),
    ] {
        let seen = world.update(&wanted, &request());
        assert_eq!(seen.code(), "validation_failed");
    }
    assert!(world.sent_to_agent().is_empty());
}
