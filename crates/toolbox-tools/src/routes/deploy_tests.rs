use serde_json::{Value, json};
use toolbox_http::Clock;

use crate::testing::{CATALOG, INSTANCE, Seen, TOOLBOX, World, answer, problem, row, view};

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
fn an_accepted_deploy_says_where_the_instance_is() {
    let world = empty();
    world.agent(|_| answer(202, &new("pulling")));
    let seen = deploy(&world, body(), &[]);
    assert_eq!(
        (seen.status, &seen.body["status"]),
        (202, &json!("deploying"))
    );
    assert_eq!(
        seen.body["message"],
        "Accepted: deploy; the tool is deploying"
    );
    let id = seen.body["instanceId"].as_str().unwrap();
    assert_eq!(
        seen.headers.get("location"),
        Some(format!("/functions/v1/toolbox-tools/{TOOLBOX}/tools/{id}").as_str())
    );
    assert_eq!(seen.headers.get("preference-applied"), None);
}

#[test]
fn a_deployment_may_ask_for_its_first_tools_to_be_pinned_where_there_will_be_some() {
    for pins in [json!(true), json!(false), Value::Null] {
        let world = empty();
        world.agent(|_| answer(202, &new("pulling")));
        let mut body = body();
        body["pinTools"] = pins.clone();
        assert_eq!(deploy(&world, body, &[]).status, 202);
        let asked = world.rpc("operation")[0]["pin_tools"] == true;
        assert_eq!(asked, pins == true, "{pins}");
    }
    let world = empty();
    let mut body = body();
    body["pinTools"] = true.into();
    body["baseConfigOverrideJson"]["transport"] = "none".into();
    let seen = deploy(&world, body, &[]);
    assert_eq!((seen.status, seen.code()), (422, "validation_failed"));
    let error = &seen.body["error"]["details"]["errors"][0];
    assert_eq!(
        (&error["field"], &error["code"]),
        (&json!("pinTools"), &json!("not_mcp"))
    );
    assert!(world.rpc("operation").is_empty());
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
    assert_eq!(seen.body["message"], "Done: deploy; the tool is running");
    assert_eq!(seen.headers.get("preference-applied"), Some("wait=20"));
    let world = empty();
    world.agent_once([answer(202, &new("pulling")), answer(200, &new("error"))]);
    let seen = deploy(&world, body(), &[("prefer", "wait=600")]);
    assert_eq!((seen.status, seen.code()), (502, "deploy_failed"));
}

/// The agent shows the new instance running, and this of its MCP server.
fn with_mcp(state: &str, evidence: &str) -> Value {
    let mut view = new("running");
    let at = "2026-01-01T00:00:00Z";
    view["mcp"] = json!({"state": state, "evidence": evidence, "since": at, "checked_at": at});
    view
}

#[test]
fn a_caller_who_waits_for_an_mcp_server_gets_its_health() {
    let starting = || answer(200, &with_mcp("starting", "it was not heard yet"));
    let wait = [("prefer", "wait=20")];
    let world = empty();
    world.agent_once([
        starting(),
        starting(),
        answer(200, &with_mcp("healthy", "listed 2 tools")),
    ]);
    let seen = deploy(&world, body(), &wait);
    assert_eq!(seen.status, 201);
    assert_eq!(seen.body["message"], "Done: deploy; the tool is running");
    assert_eq!(seen.body["tool_instance"]["mcp"]["state"], "healthy");
    assert_eq!(world.operation(), "succeeded");

    let cause =
        "initialize was answered with HTTP 404; if its endpoint has another path, set endpointPath";
    for (state, words) in [
        ("unreachable", "but its MCP server is unreachable: "),
        ("not-mcp", "but what answers is no MCP server: "),
        ("unhealthy", "but its MCP server is unhealthy: "),
        ("degraded", "and its MCP server is degraded: "),
    ] {
        let world = empty();
        world.agent_once([starting(), answer(200, &with_mcp(state, cause))]);
        let seen = deploy(&world, body(), &wait);
        assert_eq!(
            seen.body["message"],
            format!("Done: deploy; the tool is running, {words}{cause}")
        );
        assert_eq!(seen.body["tool_instance"]["mcp"]["evidence"], cause);
    }

    // The wait ends, also for a server that never answers, and when the agent does.
    let begun = world.clock.now();
    world.tables().row = None;
    world.tables().operation = None;
    world.agent(|_| answer(200, &with_mcp("starting", "nothing listens at port 8080")));
    let seen = deploy(&world, body(), &wait);
    let waited = world.clock.now().saturating_sub(begun);
    assert!(
        waited.as_secs() >= 18 && waited.as_secs() <= 20,
        "{waited:?}"
    );
    assert_eq!(
        seen.body["message"],
        "Done: deploy; the tool is running, and its MCP server is still starting: nothing listens at port 8080"
    );
    let world = empty();
    world.agent_once([starting(), problem("internal", 500)]);
    let seen = deploy(&world, body(), &wait);
    assert_eq!(
        (seen.status, &seen.body["tool_instance"]["mcp"]["state"]),
        (201, &json!("starting"))
    );
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

/// What stands at `field` of `body`, such as `a.b[0].c`.
fn at<'a>(body: &'a Value, field: &str) -> Option<&'a Value> {
    let pointer = field.replace(['.', '['], "/").replace(']', "");
    body.pointer(&format!("/{pointer}"))
}

#[test]
fn every_broken_rule_is_told_under_the_name_that_the_caller_wrote() {
    let body = json!({
    "toolCatalogId": CATALOG, "instanceNameOnToolbox": "x", "baseConfigOverrideJson": {
        "dockerImage": "not an image!",
        "environmentVariables": {"KEY": "a\0", "LONG": "x".repeat(40_000)},
        "portMappings": [
            {"containerPort": 0, "hostPort": 0}, {"containerPort": 80, "hostPort": 22},
            {"containerPort": 80, "hostPort": 22},
        ],
        "command": ["a\0"], "entrypoint": ["a\0"],
        "volumes": [{"name": "A", "path": "x"}, {"name": "A", "path": "/proc"}],
        "resources": {"memory": "0.3k", "cpu": ".001", "pids": 0},
        "endpointPath": "no path", "transport": "sse",
    }});
    let world = empty();
    let seen = deploy(&world, body.clone(), &[]);
    assert_eq!((seen.status, seen.code()), (422, "validation_failed"));
    let errors = seen.body["error"]["details"]["errors"].as_array().unwrap();
    assert!(errors.len() >= 15, "{errors:?}");
    for error in errors {
        let field = error["field"].as_str().unwrap();
        assert!(at(&body, field).is_some(), "{field} is not in the request");
        let words = error["message"].as_str().unwrap();
        for name in ["memory_bytes", "mcp_path", "host_port", "container_port"] {
            assert!(!words.contains(name), "{words}");
        }
    }
    let message = seen.body["error"]["message"].as_str().unwrap();
    let first = format!(
        "{}: {} (and {} more)",
        errors[0]["field"].as_str().unwrap(),
        errors[0]["message"].as_str().unwrap(),
        errors.len() - 1
    );
    assert_eq!(message, first);
}

#[test]
fn quantities_that_docker_takes_are_taken() {
    let mut body = body();
    body["baseConfigOverrideJson"]["resources"] = json!({"memory": "0.3g", "cpu": ".5"});
    let world = empty();
    world.agent(|_| answer(202, &new("pulling")));
    assert_eq!(deploy(&world, body, &[]).status, 202);
    let begun = world.rpc("begin_tool_instance_operation");
    assert_eq!(
        begun[0]["spec"]["resources"],
        json!({"memory_bytes": 322_122_547, "cpus": 0.5})
    );
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
fn a_replay_is_answered_like_the_request_it_repeats() {
    for (state, status) in [("in_progress", 202), ("succeeded", 201)] {
        let world = empty();
        let replayed = json!({"outcome": "replayed", "instance": row("running"), "operation": {
            "id": CATALOG, "tool_instance_id": INSTANCE, "action": "deploy", "state": state}});
        world.tables().begin_with.push_back(replayed);
        let headers = [("idempotency-key", "k"), ("prefer", "wait=5")];
        let seen = deploy(&world, body(), &headers);
        assert_eq!((seen.status, seen.code()), (status, ""), "{state}");
        assert_eq!(seen.headers.get("preference-applied"), None);
    }
}

#[test]
fn a_refusal_has_the_status_of_its_code() {
    let world = empty();
    world.agent(|_| problem("port_in_use", 409));
    let seen = deploy(&world, body(), &[]);
    assert_eq!((seen.status, seen.code()), (422, "validation_failed"));
    let told = &seen.body["error"]["details"];
    assert_eq!(
        (&told["reason"]["code"], &told["operation"]["state"]),
        (&json!("port_in_use"), &json!("failed"))
    );
}

#[test]
fn a_malformed_quota_fails_deploys_and_nothing_else() {
    let world = World::with("running", &[("TOOLBOX_MAX_INSTANCES", "many")]);
    let seen = deploy(&world, body(), &[]);
    assert_eq!((seen.status, seen.code()), (500, "not_configured"));
    assert!(world.host().log().contains("TOOLBOX_MAX_INSTANCES"));
    assert!(world.transport.sent().is_empty());
    let tools = format!("/{TOOLBOX}/tools");
    let stop = format!("{tools}/{INSTANCE}/stop");
    for (method, path) in [("GET", &tools), ("POST", &stop)] {
        let seen = world.ask(method, path, None);
        assert!(seen.status < 300, "{method} {path}: {}", seen.text);
    }
}

#[test]
fn no_array_passes_for_an_object_wherever_it_is() {
    let (catalog, name) = (CATALOG, "tool");
    for config in [
        json!(["mcp/context7:1"]),
        json!({"portMappings": [[8080]]}),
        json!({"portMappings": [{"containerPort": 8080}, [8080, 31000, "tcp"]]}),
        json!({"volumes": [["data", "/data"]]}),
        json!({"resources": ["256Mi"]}),
    ] {
        let world = empty();
        let body = json!({"toolCatalogId": catalog, "instanceNameOnToolbox": name, "baseConfigOverrideJson": config});
        let seen = deploy(&world, body, &[]);
        assert_eq!(
            (seen.status, seen.code()),
            (400, "invalid_json"),
            "{config}"
        );
    }
    let seen = deploy(&empty(), json!([catalog, name, {}]), &[]);
    assert_eq!((seen.status, seen.code()), (400, "invalid_json"));
}
