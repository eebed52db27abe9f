use serde_json::{Value, json};
use toolbox_domain::retry::Fault;

use crate::testing::{CATALOG, Seen, TOOLBOX, World, answer, fault, problem, view};

fn body() -> Value {
    json!({"toolCatalogId": CATALOG, "instanceNameOnToolbox": "Context7 MCP Server-1750278276605",
        "baseConfigOverrideJson": {"dockerImage": "mcp/context7:1", "environmentVariables": {"KEY": "v"},
            "portMappings": [{"containerPort": 8080}], "transport": "streamable-http",
            "resources": {"memory": "256Mi", "cpu": 0.25}}})
}

fn deploy(world: &World, body: Value, headers: &[(&'static str, &str)]) -> Seen {
    world.ask_with("POST", &format!("/{TOOLBOX}/tools"), Some(body), headers)
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
    let seen = deploy(&world, body(), &[]);
    assert_eq!(
        (seen.status, &seen.body["status"]),
        (202, &json!("deploying"))
    );
    assert_eq!(seen.body["operation"]["state"], "in_progress");
    let id = seen.body["instanceId"].as_str().unwrap();
    assert_eq!(
        seen.reply.headers.get("location"),
        Some(format!("/functions/v1/toolbox-tools/{TOOLBOX}/tools/{id}").as_str())
    );
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
    deploy(&world, body(), &[]);
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
    assert_eq!(begun["spec"], *spec);
    assert_eq!(
        (&begun["to_status"], &begun["desired_status"]),
        (&json!("deploying"), &json!("running"))
    );
}

#[test]
fn a_caller_who_waits_gets_the_end() {
    let world = empty();
    world.agent_once([answer(202, &new("pulling")), answer(200, &new("running"))]);
    let seen = deploy(&world, body(), &[("prefer", "respond-async, wait=20")]);
    assert_eq!(
        (seen.status, &seen.body["status"]),
        (201, &json!("running"))
    );
    assert_eq!(seen.body["operation"]["state"], "succeeded");
    assert_eq!(
        seen.reply.headers.get("preference-applied"),
        Some("wait=20")
    );
    let world = empty();
    world.agent_once([answer(202, &new("pulling")), answer(200, &new("error"))]);
    let seen = deploy(&world, body(), &[("prefer", "wait=600")]);
    assert_eq!((seen.status, seen.code()), (502, "deploy_failed"));
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
    let seen = deploy(&world, body(), &[("prefer", "wait=2")]);
    assert_eq!(
        (seen.status, &seen.body["operation"]["state"]),
        (202, &json!("in_progress"))
    );
    assert_eq!(world.operation(), "in_progress");
}

#[test]
fn what_certainly_did_not_arrive_is_an_error_with_its_reason() {
    for (told, status, code, reason) in [
        (
            fault(Fault::Refused),
            503,
            "agent_unreachable",
            "agent_unreachable",
        ),
        (
            fault(Fault::Tls),
            502,
            "agent_certificate_invalid",
            "agent_certificate_invalid",
        ),
        (
            problem("unauthorized", 401),
            502,
            "agent_unauthorized",
            "agent_unauthorized",
        ),
        (
            problem("store_failed", 507),
            502,
            "agent_store_failed",
            "agent_store_failed",
        ),
        (
            problem("port_in_use", 409),
            422,
            "validation_failed",
            "port_in_use",
        ),
        (
            answer(404, &json!({"error": "Not Found"})),
            502,
            "agent_too_old",
            "agent_too_old",
        ),
    ] {
        let world = empty();
        world.agent(move |_| told.clone());
        let seen = deploy(&world, body(), &[]);
        assert_eq!((seen.status, seen.code()), (status, code));
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
fn what_may_have_arrived_stays_open_until_it_is_seen() {
    let world = empty();
    world.agent_once([
        fault(Fault::Timeout),
        answer(200, &new("creating")),
        answer(200, &new("running")),
    ]);
    let seen = deploy(&world, body(), &[]);
    assert_eq!((seen.status, seen.code()), (504, "agent_timeout"));
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
    deploy(&world, body(), &[]);
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
    assert_eq!(deploy(&world, body(), &[]).status, 202);
    assert_eq!(world.sent_to_agent().len(), 4);
}

#[test]
fn requests_that_break_a_rule_reach_nobody() {
    let change = |path: &str, value: Value| {
        let mut body = body();
        *body.pointer_mut(path).unwrap() = value;
        body
    };
    for (body, field, code) in [
        (
            change("/instanceNameOnToolbox", json!("a\nb")),
            "instanceNameOnToolbox",
            "name_has_control_characters",
        ),
        (
            change("/instanceNameOnToolbox", json!("..")),
            "instanceNameOnToolbox",
            "name_is_dot_segment",
        ),
        (
            change("/instanceNameOnToolbox", json!(CATALOG)),
            "instanceNameOnToolbox",
            "name_is_uuid",
        ),
        (
            change("/toolCatalogId", json!("1")),
            "toolCatalogId",
            "not_a_uuid",
        ),
        (
            change("/baseConfigOverrideJson/resources/memory", json!("lots")),
            "baseConfigOverrideJson.resources.memory",
            "memory_malformed",
        ),
    ] {
        let world = empty();
        let seen = deploy(&world, body, &[]);
        assert_eq!((seen.status, seen.code()), (422, "validation_failed"));
        let error = &seen.body["error"]["details"]["errors"][0];
        assert_eq!(
            (&error["field"], &error["code"]),
            (&json!(field), &json!(code))
        );
        assert!(world.sent_to_agent().is_empty() && world.rpc("operation").is_empty());
    }
    let world = empty();
    let seen = deploy(
        &world,
        change(
            "/baseConfigOverrideJson/dockerImage",
            json!("not an image!"),
        ),
        &[],
    );
    assert_eq!((seen.status, seen.code()), (422, "validation_failed"));
    assert!(world.rpc("operation").is_empty());
}

#[test]
fn an_image_and_required_variables_must_come_from_somewhere() {
    let world = empty();
    let mut body = body();
    body["baseConfigOverrideJson"] = json!({});
    let seen = deploy(&world, body.clone(), &[]);
    assert_eq!(
        seen.body["error"]["details"]["errors"][0]["code"],
        "image_missing"
    );
    world.tables().catalog["default_spec"]["image"] = "mcp/github:1".into();
    world.tables().catalog["required_secrets_schema"]["required"] = json!(["GITHUB_TOKEN"]);
    let seen = deploy(&world, body.clone(), &[]);
    let error = &seen.body["error"]["details"]["errors"][0];
    assert_eq!(
        error["field"],
        "baseConfigOverrideJson.environmentVariables.GITHUB_TOKEN"
    );
    body["baseConfigOverrideJson"] = json!({"environmentVariables": {"GITHUB_TOKEN": "t"}});
    world.agent(|_| answer(202, &new("pulling")));
    assert_eq!(deploy(&world, body, &[]).status, 202);
}

#[test]
fn outcomes_of_the_database_have_their_codes() {
    for (outcome, status, code) in [
        (
            json!({"outcome": "name_taken", "instance_id": CATALOG}),
            409,
            "name_taken",
        ),
        (
            json!({"outcome": "quota_exceeded", "limit": 100}),
            429,
            "quota_exceeded",
        ),
        (
            json!({"outcome": "key_reused"}),
            422,
            "idempotency_key_reused",
        ),
        (json!({"outcome": "not_found"}), 404, "toolbox_not_found"),
        (json!({"outcome": "surprise"}), 502, "database_bad_response"),
    ] {
        let world = empty();
        world.tables().begin_with.push_back(outcome);
        let seen = deploy(&world, body(), &[]);
        assert_eq!((seen.status, seen.code()), (status, code));
        assert!(world.sent_to_agent().is_empty());
    }
    let world = empty();
    world.tables().toolbox["status"] = "provisioning".into();
    assert_eq!(deploy(&world, body(), &[]).code(), "toolbox_not_active");
    world.transport.on(|r| {
        r.url
            .contains("tool_catalog")
            .then(|| answer(200, &json!([])))
    });
    assert_eq!(deploy(&world, body(), &[]).code(), "catalog_tool_not_found");
}

#[test]
fn a_key_is_passed_with_a_fingerprint_of_its_request() {
    let world = empty();
    world.agent(|_| answer(202, &new("pulling")));
    let key = [("idempotency-key", "k-1")];
    deploy(&world, body(), &key);
    world.tables().operation = None;
    deploy(&world, body(), &key);
    world.tables().operation = None;
    let mut other = body();
    other["instanceNameOnToolbox"] = "other".into();
    deploy(&world, other, &key);
    let begun = world.rpc("begin_tool_instance_operation");
    assert_eq!(begun[0]["idempotency_key"], "k-1");
    assert_eq!(begun[0]["request_fingerprint"].as_str().unwrap().len(), 64);
    assert_eq!(
        begun[0]["request_fingerprint"],
        begun[1]["request_fingerprint"]
    );
    assert_ne!(
        begun[0]["request_fingerprint"],
        begun[2]["request_fingerprint"]
    );
    for bad in ["", "k\u{1}", &"k".repeat(256)] {
        assert_eq!(
            deploy(&world, body(), &[("idempotency-key", bad)]).code(),
            "invalid_request"
        );
    }
}

#[test]
fn a_replay_answers_as_far_as_the_operation_is() {
    let operation = |state: &str, code: Value| {
        json!({"outcome": "replayed", "instance": crate::testing::row("running"), "operation": {
            "id": CATALOG, "tool_instance_id": crate::testing::INSTANCE, "action": "deploy", "state": state,
            "error_code": code, "error_message": if code.is_null() { Value::Null } else { "why".into() }}})
    };
    for (state, error, status, code) in [
        ("in_progress", json!(null), 202, ""),
        ("succeeded", json!(null), 201, ""),
        ("failed", json!("image_not_found"), 502, "deploy_failed"),
        ("abandoned", json!(null), 409, "state_changed"),
    ] {
        let world = empty();
        world.tables().begin_with.push_back(operation(state, error));
        let seen = deploy(&world, body(), &[("idempotency-key", "k")]);
        assert_eq!((seen.status, seen.code()), (status, code), "{state}");
        assert!(world.sent_to_agent().is_empty(), "nothing is done again");
    }
}

#[test]
fn a_replay_of_a_failure_answers_what_was_answered() {
    let mut observed = new("error");
    observed["reason"] = json!({"code": "docker_unreachable", "message": "Docker is gone"});
    let mut of_a_port = new("error");
    of_a_port["reason"] = json!({"code": "port_in_use", "message": "It is taken"});
    for (told, status, code, reason) in [
        (
            problem("port_in_use", 409),
            422,
            "validation_failed",
            "port_in_use",
        ),
        (answer(200, &of_a_port), 502, "deploy_failed", "port_in_use"),
        (
            fault(Fault::Refused),
            503,
            "agent_unreachable",
            "agent_unreachable",
        ),
        (
            answer(200, &observed),
            502,
            "deploy_failed",
            "docker_unreachable",
        ),
        (
            problem("docker_unreachable", 503),
            503,
            "docker_unreachable",
            "docker_unreachable",
        ),
    ] {
        let world = empty();
        world.agent(move |_| told.clone());
        let key = [("idempotency-key", "k"), ("prefer", "wait=5")];
        let original = deploy(&world, body(), &key);
        assert_eq!((original.status, original.code()), (status, code));
        let replayed = {
            let tables = world.tables();
            json!({"outcome": "replayed", "operation": tables.operation, "instance": tables.row})
        };
        world.tables().begin_with.push_back(replayed);
        let calls = world.sent_to_agent().len();
        let replay = deploy(&world, body(), &key);
        assert_eq!(
            (replay.status, replay.code()),
            (original.status, original.code())
        );
        let told = &replay.body["error"]["details"]["reason"]["code"];
        assert_eq!(told, reason, "{code}");
        assert_eq!(world.sent_to_agent().len(), calls, "nothing is done again");
    }
}
