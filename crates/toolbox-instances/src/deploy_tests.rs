use std::time::Duration;

use serde_json::{Value, json};
use toolbox_domain::retry::Fault;

use crate::UserRequest;
use crate::test_world::{ACCEPTED, DONE, World, request, request_that_waits, request_under_key};
use crate::testing::{CATALOG, INSTANCE, answer, fault, problem, row, view};

fn wanted() -> Value {
    json!({"dockerImage": "mcp/context7:1", "environmentVariables": {"KEY": "v"},
        "portMappings": [{"containerPort": 8080}], "transport": "streamable-http",
        "resources": {"memory": "256Mi", "cpu": 0.25}})
}

/// The agent shows the new instance in this phase.
fn new(phase: &str) -> Value {
    view(phase, 1)
}

fn empty() -> World {
    let world = World::new("running");
    world.tables().row = None;
    world
}

#[test]
fn accepted_now_recorded_when_it_runs() {
    let world = empty();
    world.agent_once([
        answer(202, &new("pulling")),
        answer(200, &new("pulling")),
        answer(200, &new("running")),
    ]);
    let seen = world.deploy(&wanted(), &request());
    assert_eq!(
        (seen.progress, &seen.body["status"]),
        (ACCEPTED, &json!("deploying"))
    );
    assert_eq!(seen.body["operation"]["state"], "in_progress");
    assert_eq!(world.status(), "deploying");
    assert_eq!(world.host.run_background(), 1);
    assert_eq!(
        (world.status().as_str(), world.operation().as_str()),
        ("running", "succeeded")
    );
    assert_eq!(
        world.tables().history,
        ["deploying>starting", "starting>running"]
    );
}

#[test]
fn the_agent_gets_catalog_defaults_with_what_the_caller_wants() {
    let world = empty();
    world.deploy(&wanted(), &request());
    let sent = world.transport.sent();
    let put = sent
        .iter()
        .find(|call| call.request.method == "PUT")
        .unwrap();
    let request: Value = serde_json::from_slice(&put.request.body).unwrap();
    assert_eq!(
        (&request["generation"], &request["desired"]),
        (&json!(1), &json!("running"))
    );
    assert_eq!(request["refresh_image"], true);
    assert_eq!(request["name"], "Context7 MCP Server-1750278276605");
    let container = request["container_name"].as_str().unwrap();
    assert!(
        container.starts_with("context7-mcp-server-1750278276605-"),
        "{container}"
    );
    let spec = &request["spec"];
    assert_eq!(spec["image"], "mcp/context7:1");
    let plain = |value| json!({"key_id": null, "value": value});
    assert_eq!(spec["env"], json!({"KEY": plain("v"), "MODE": plain("a")}));
    assert_eq!(
        (&spec["transport"], &spec["mcp_path"], &spec["stdin_open"]),
        (&json!("streamable-http"), &json!("/mcp"), &json!(false))
    );
    assert_eq!(
        spec["resources"],
        json!({"memory_bytes": 268_435_456, "cpus": 0.25})
    );
    let begun = &world.rpc("begin_tool_instance_operation")[0];
    let instance = begun["instance_id"].as_str().unwrap();
    assert_eq!(world.opened(&begun["spec"], instance), *spec);
    assert_ne!(begun["spec"]["env"]["KEY"], begun["spec"]["env"]["MODE"]);
    assert_eq!(
        (&begun["to_status"], &begun["desired_status"]),
        (&json!("deploying"), &json!("running"))
    );
}

#[test]
fn a_caller_who_waits_gets_the_end() {
    let world = empty();
    world.agent_once([answer(202, &new("pulling")), answer(200, &new("running"))]);
    let seen = world.deploy(&wanted(), &request_that_waits(20));
    assert_eq!(
        (seen.progress, &seen.body["status"]),
        (DONE, &json!("running"))
    );
    assert_eq!(seen.body["operation"]["state"], "succeeded");
    let world = empty();
    world.agent_once([answer(202, &new("pulling")), answer(200, &new("error"))]);
    let seen = world.deploy(&wanted(), &request_that_waits(600));
    assert_eq!(seen.code(), "deploy_failed");
    assert_eq!(
        seen.body["error"]["details"]["reason"],
        json!({"code": "image_not_found", "message": "No such image"})
    );
    assert_eq!(
        seen.body["error"]["details"]["tool_instance"]["status_on_toolbox"],
        "error"
    );
    assert_eq!(
        seen.body["error"]["details"]["operation"]["state"],
        "failed"
    );
    assert_eq!(world.operation(), "failed");
}

#[test]
fn a_wait_that_is_too_short_ends_in_accepted() {
    let world = empty();
    world.agent(|_| answer(202, &new("pulling")));
    let seen = world.deploy(&wanted(), &request_that_waits(2));
    assert_eq!(
        (seen.progress, &seen.body["operation"]["state"]),
        (ACCEPTED, &json!("in_progress"))
    );
    assert_eq!(world.operation(), "in_progress");
}

#[test]
fn what_certainly_did_not_arrive_is_an_error_with_its_reason() {
    for (told, code, reason) in [
        (
            fault(Fault::Refused),
            "agent_unreachable",
            "agent_unreachable",
        ),
        (
            fault(Fault::Tls),
            "agent_certificate_invalid",
            "agent_certificate_invalid",
        ),
        (
            problem("unauthorized", 401),
            "agent_unauthorized",
            "agent_unauthorized",
        ),
        (
            problem("store_failed", 507),
            "agent_store_failed",
            "agent_store_failed",
        ),
        (
            answer(404, &json!({"error": "Not Found"})),
            "agent_too_old",
            "agent_too_old",
        ),
    ] {
        let world = empty();
        world.agent(move |_| told.clone());
        let seen = world.deploy(&wanted(), &request());
        assert_eq!(seen.code(), code);
        assert_eq!(
            (world.status().as_str(), world.operation().as_str()),
            ("error", "failed")
        );
        assert_eq!(
            world.tables().row.as_ref().unwrap()["instance_error_code"],
            reason
        );
        assert_eq!(
            seen.body["error"]["details"]["operation"]["state"],
            "failed"
        );
    }
}

#[test]
fn a_spec_that_the_database_has_no_room_for_is_refused_before_it_is_asked() {
    let world = empty();
    let mut wanted = wanted();
    wanted["command"] = json!(["\u{1}".repeat(50_000)]);
    let seen = world.deploy(&wanted, &request());
    assert_eq!(seen.code(), "validation_failed");
    let error = &seen.body["error"]["details"]["errors"][0];
    assert_eq!(
        (&error["field"], &error["code"]),
        (&json!("baseConfigOverrideJson"), &json!("spec_too_large"))
    );
    assert!(world.tables().row.is_none() && world.sent_to_agent().is_empty());
}

#[test]
fn what_the_agent_refuses_leaves_nothing_and_its_name_is_free() {
    for (refusal, code) in [
        (problem("port_in_use", 409), "validation_failed"),
        (problem("ports_exhausted", 409), "validation_failed"),
        (problem("invalid_spec", 422), "validation_failed"),
        (problem("body_too_large", 413), ""),
    ] {
        let world = empty();
        world.agent(move |_| refusal.clone());
        let seen = world.deploy(&wanted(), &request());
        assert!(code.is_empty() || seen.code() == code, "{}", seen.body);
        assert_eq!(
            (world.status().as_str(), world.operation().as_str()),
            ("gone", "failed"),
            "{}",
            seen.body
        );
        let details = &seen.body["error"]["details"];
        assert_eq!(details["operation"]["state"], "failed");
        assert_eq!(details["tool_instance"], Value::Null);
        assert_eq!(
            world.tables().history,
            [
                "deploying>error",
                "error>pending_delete",
                "pending_delete>deleting"
            ],
            "the history says why"
        );
        world.agent(|_| answer(202, &new("pulling")));
        assert_eq!(world.deploy(&wanted(), &request()).progress, ACCEPTED);
    }
}

#[test]
fn what_may_have_arrived_stays_open_until_it_is_seen() {
    let world = empty();
    world.agent_once([
        fault(Fault::Timeout),
        answer(200, &new("creating")),
        answer(200, &new("running")),
    ]);
    let seen = world.deploy(&wanted(), &request());
    assert_eq!(seen.code(), "agent_timeout");
    assert_eq!(
        (world.status().as_str(), world.operation().as_str()),
        ("deploying", "in_progress")
    );
    world.host.run_background();
    assert_eq!(
        (world.status().as_str(), world.operation().as_str()),
        ("running", "succeeded")
    );
    // An agent that never comes back is left to the lease.
    let world = empty();
    world.agent(|_| fault(Fault::Timeout));
    world.deploy(&wanted(), &request());
    world.host.run_background();
    assert_eq!(
        (world.status().as_str(), world.operation().as_str()),
        ("deploying", "in_progress")
    );
}

#[test]
fn a_restarting_agent_is_waited_for() {
    let world = empty();
    world.agent_once([
        fault(Fault::Refused),
        fault(Fault::Reset),
        problem("shutting_down", 503),
        answer(202, &new("pending")),
    ]);
    assert_eq!(world.deploy(&wanted(), &request()).progress, ACCEPTED);
    assert_eq!(world.sent_to_agent().len(), 4);
}

#[test]
fn an_image_and_required_variables_must_come_from_somewhere() {
    let world = empty();
    let seen = world.deploy(&json!({}), &request());
    assert_eq!(
        seen.body["error"]["details"]["errors"][0]["code"],
        "image_missing"
    );
    world.tables().catalog["default_spec"]["image"] = "mcp/github:1".into();
    world.tables().catalog["required_secrets_schema"]["required"] = json!(["GITHUB_TOKEN"]);
    let seen = world.deploy(&json!({}), &request());
    let error = &seen.body["error"]["details"]["errors"][0];
    assert_eq!(
        error["field"],
        "baseConfigOverrideJson.environmentVariables.GITHUB_TOKEN"
    );
    let wanted = json!({"environmentVariables": {"GITHUB_TOKEN": "t"}});
    world.agent(|_| answer(202, &new("pulling")));
    assert_eq!(world.deploy(&wanted, &request()).progress, ACCEPTED);
}

#[test]
fn outcomes_of_the_database_have_their_codes() {
    for (outcome, code) in [
        (
            json!({"outcome": "name_taken", "instance_id": CATALOG}),
            "name_taken",
        ),
        (
            json!({"outcome": "quota_exceeded", "limit": 100}),
            "quota_exceeded",
        ),
        (json!({"outcome": "key_reused"}), "idempotency_key_reused"),
        (json!({"outcome": "not_found"}), "toolbox_not_found"),
        (json!({"outcome": "surprise"}), "database_bad_response"),
    ] {
        let world = empty();
        world.tables().begin_with.push_back(outcome);
        let seen = world.deploy(&wanted(), &request());
        assert_eq!(seen.code(), code);
        assert!(world.sent_to_agent().is_empty());
    }
    let world = empty();
    world.tables().toolbox["status"] = "provisioning".into();
    assert_eq!(
        world.deploy(&wanted(), &request()).code(),
        "toolbox_not_active"
    );
    world.transport.on(|r| {
        r.url
            .contains("tool_catalog")
            .then(|| answer(200, &json!([])))
    });
    assert_eq!(
        world.deploy(&wanted(), &request()).code(),
        "catalog_tool_not_found"
    );
}

#[test]
fn a_replay_answers_as_far_as_the_operation_is() {
    let operation = |state: &str, code: Value| {
        json!({"outcome": "replayed", "instance": row("running"), "operation": {
            "id": CATALOG, "tool_instance_id": INSTANCE, "action": "deploy", "state": state,
            "error_code": code, "error_message": if code.is_null() { Value::Null } else { "why".into() }}})
    };
    for (state, error, progress, code) in [
        ("in_progress", json!(null), ACCEPTED, ""),
        ("succeeded", json!(null), DONE, ""),
        ("failed", json!("image_not_found"), None, "deploy_failed"),
        ("abandoned", json!(null), None, "state_changed"),
    ] {
        let world = empty();
        world.tables().begin_with.push_back(operation(state, error));
        let seen = world.deploy(&wanted(), &request_under_key("k"));
        assert_eq!((seen.progress, seen.code()), (progress, code), "{state}");
        assert!(world.sent_to_agent().is_empty(), "nothing is done again");
    }
}

#[test]
fn a_replay_of_a_failure_answers_what_was_answered() {
    let mut observed = new("error");
    observed["reason"] = json!({"code": "docker_unreachable", "message": "Docker is gone"});
    let mut of_a_port = new("error");
    of_a_port["reason"] = json!({"code": "port_in_use", "message": "It is taken"});
    for (told, code, reason) in [
        (
            problem("port_in_use", 409),
            "validation_failed",
            "port_in_use",
        ),
        (answer(200, &of_a_port), "deploy_failed", "port_in_use"),
        (
            fault(Fault::Refused),
            "agent_unreachable",
            "agent_unreachable",
        ),
        (
            answer(200, &observed),
            "deploy_failed",
            "docker_unreachable",
        ),
        (
            problem("docker_unreachable", 503),
            "docker_unreachable",
            "docker_unreachable",
        ),
    ] {
        let world = empty();
        world.agent(move |_| told.clone());
        let key = UserRequest {
            wait: Some(Duration::from_secs(5)),
            ..request_under_key("k")
        };
        let original = world.deploy(&wanted(), &key);
        assert_eq!(original.code(), code);
        let replayed = {
            let tables = world.tables();
            json!({"outcome": "replayed", "operation": tables.operation, "instance": tables.row})
        };
        world.tables().begin_with.push_back(replayed);
        let calls = world.sent_to_agent().len();
        let replay = world.deploy(&wanted(), &key);
        assert_eq!(replay.code(), original.code());
        let told = &replay.body["error"]["details"]["reason"]["code"];
        assert_eq!(told, reason, "{code}");
        assert_eq!(world.sent_to_agent().len(), calls, "nothing is done again");
    }
}
