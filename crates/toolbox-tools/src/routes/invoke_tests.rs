use serde_json::{Value, json};

use crate::testing::{INSTANCE, TOOLBOX, World, answer, authorization, view};

fn invoke(world: &World, body: Value) -> crate::testing::Seen {
    world.ask("POST", "", Some(body))
}

#[test]
fn every_action_of_a_body_does_what_its_path_does() {
    for (action, status, told) in [
        ("start", "stopped", "POST /tools/{id}/start"),
        ("stop", "running", "POST /tools/{id}/stop"),
        ("restart", "running", "POST /tools/{id}/restart"),
        ("delete", "running", "DELETE /tools/{id}?generation=5"),
        ("get", "running", "GET /tools/{id}"),
    ] {
        let world = World::new(status);
        world.agent(|_| answer(202, &view("starting", 5)));
        let seen = invoke(
            &world,
            json!({"toolboxId": TOOLBOX, "action": action, "instanceId": INSTANCE}),
        );
        assert!(seen.status < 300, "{action}: {}", seen.body);
        assert_eq!(world.sent_to_agent()[0], told.replace("{id}", INSTANCE));
        if action != "get" {
            assert_eq!(seen.body["action"], action);
            assert_eq!(seen.body["instanceId"], INSTANCE);
        }
    }
}

#[test]
fn the_toolbox_may_be_in_the_path() {
    let world = World::new("stopped");
    world.agent(|_| answer(202, &view("starting", 5)));
    let body = json!({"action": "start", "instanceId": "Context7 MCP Server-1750278276605"});
    assert_eq!(
        world
            .ask("POST", &format!("/{TOOLBOX}/tools"), Some(body))
            .status,
        202
    );
    let other = json!({"toolboxId": INSTANCE, "action": "list"});
    assert_eq!(
        world
            .ask("POST", &format!("/{TOOLBOX}/tools"), Some(other))
            .code(),
        "invalid_request"
    );
}

#[test]
fn bodies_that_say_too_little_are_told_so() {
    let world = World::new("running");
    for (body, status, code) in [
        (json!({"toolboxId": TOOLBOX}), 400, "invalid_action"),
        (json!({"action": "list"}), 400, "invalid_request"),
        (
            json!({"toolboxId": TOOLBOX, "action": "explode"}),
            400,
            "invalid_action",
        ),
        (
            json!({"toolboxId": TOOLBOX, "action": "start"}),
            400,
            "invalid_request",
        ),
        (
            json!({"toolboxId": TOOLBOX, "action": "start", "instanceId": ""}),
            400,
            "invalid_request",
        ),
        (
            json!({"toolboxId": TOOLBOX, "action": "update", "instanceId": INSTANCE}),
            400,
            "invalid_request",
        ),
        (
            json!({"toolboxId": TOOLBOX, "action": "deploy"}),
            422,
            "validation_failed",
        ),
        (
            json!({"toolboxId": "x", "action": "list"}),
            400,
            "invalid_request",
        ),
        (
            json!({"toolboxId": TOOLBOX, "action": "logs", "instanceId": INSTANCE, "tail": -1}),
            400,
            "invalid_request",
        ),
        (
            json!({"toolboxId": TOOLBOX, "action": "logs", "instanceId": INSTANCE, "tail": true}),
            400,
            "invalid_json",
        ),
        (
            json!({"toolboxId": TOOLBOX, "action": "list", "toolbox_id": TOOLBOX}),
            400,
            "invalid_json",
        ),
    ] {
        let seen = invoke(&world, body.clone());
        assert_eq!((seen.status, seen.code()), (status, code), "{body}");
    }
}

#[test]
fn every_kind_of_body_that_the_sdk_sends_is_read() {
    let world = World::new("running");
    let path = format!("/{TOOLBOX}/tools");
    for content_type in [
        "text/plain;charset=UTF-8",
        "application/octet-stream",
        "application/json",
    ] {
        let headers = [("content-type", content_type)];
        let seen = world.ask_with("POST", &path, Some(json!({"action": "list"})), &headers);
        assert_eq!(seen.status, 200, "{content_type}");
    }
    let headers = [("content-type", "multipart/form-data; boundary=x")];
    let seen = world.ask_with("POST", &path, Some(json!({"action": "list"})), &headers);
    assert_eq!((seen.status, seen.code()), (415, "unsupported_media_type"));
}

#[test]
fn who_reads_with_post_is_told_to_use_get() {
    let world = World::new("running");
    // `invoke(path)` sends POST, and neither a body nor a media type.
    for (path, status, code) in [
        (format!("/{TOOLBOX}/tools"), 400, "invalid_json"),
        (String::new(), 400, "invalid_json"),
        (
            format!("/{TOOLBOX}/tools/{INSTANCE}"),
            405,
            "method_not_allowed",
        ),
        (
            format!("/{TOOLBOX}/tools/{INSTANCE}/logs"),
            405,
            "method_not_allowed",
        ),
        (
            format!("/{TOOLBOX}/tools/{INSTANCE}/mcp"),
            405,
            "method_not_allowed",
        ),
    ] {
        let seen = world.ask("POST", &path, None);
        assert_eq!((seen.status, seen.code()), (status, code), "{path}");
        let message = seen.body["error"]["message"].as_str().unwrap();
        assert!(
            message.contains("use GET") || message.contains("Use GET"),
            "{message}"
        );
    }
}

#[test]
fn nobody_sends_a_body_before_the_caller_is_known() {
    let tools = format!("/{TOOLBOX}/tools");
    let tool = format!("{tools}/{INSTANCE}");
    let owner = authorization();
    for (method, path, authorization, reads) in [
        ("POST", &tools, "", false),
        ("POST", &tools, "Bearer x", false),
        ("POST", &tools, "Bearer sb_secret_x", false),
        ("PATCH", &tool, "", false),
        ("PUT", &tool, owner.as_str(), false),
        ("POST", &format!("{tool}/nothing"), owner.as_str(), false),
        // It needs none.
        ("POST", &format!("{tool}/stop"), owner.as_str(), false),
        ("POST", &tools, owner.as_str(), true),
        ("PATCH", &tool, owner.as_str(), true),
    ] {
        let world = World::new("running");
        let (seen, is_read) = world.ask_and_watch(method, path, authorization);
        assert_eq!(is_read, reads, "{method} {path}: {}", seen.text);
    }
}
