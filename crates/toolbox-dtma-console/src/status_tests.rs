use serde_json::{Value, json};
use toolbox_domain::retry::Fault;
use toolbox_edge::recorded::assert_published;
use toolbox_instances::testing::{TOOLBOX, answer, fault};

use crate::FUNCTION;
use crate::testing::{World, executed, machine, path, row};

fn service<'a>(body: &'a Value, name: &str) -> &'a Value {
    let all = body["services"].as_array().unwrap();
    all.iter().find(|s| s["name"] == name).unwrap()
}

#[test]
fn the_published_document_has_exactly_these_routes() {
    let document = include_str!("../../../docs/api/toolbox-dtma-console.openapi.json");
    assert_published(&FUNCTION, document);
}

#[test]
fn the_agent_answers_first_and_each_part_has_its_verdict() {
    let world = World::new();
    world.host().listen(22, b"SSH-2.0-OpenSSH_9.2p1\r\n");
    world.companion(|path| match path {
        "GET /health" => answer(200, &json!({"version": "0.1.0"})),
        _ => panic!("the companion is not asked for more: {path}"),
    });
    for (method, at, body) in [
        ("GET", path("status"), None),
        ("POST", "/".to_owned(), Some("status")),
        ("PUT", "/".to_owned(), Some("status")),
        ("PATCH", "/".to_owned(), Some("status")),
        ("DELETE", "/".to_owned(), Some("status")),
    ] {
        let body = body.map(|action| json!({"toolboxId": TOOLBOX, "action": action}));
        let seen = world.ask(method, &at, body);
        assert_eq!(seen.status, 200, "{}", seen.text);
        let body = &seen.body;
        assert_eq!(body["success"], true);
        assert_eq!(body["connection_status"], "connected");
        assert_eq!(body["method"], "dtma_endpoint");
        assert_eq!(body["attempts"], json!([]));
        assert_eq!(body["machine"]["served_by"], "agent");
        assert_eq!(body["system_metrics"]["uptime_seconds"], 100);
        assert_eq!(body["last_heartbeat"]["age_seconds"], 30);
        for name in ["agent", "companion", "ssh", "database"] {
            let service = service(body, name);
            assert_eq!(service["verdict"], "ok", "{service}");
            assert!(service["response_time_ms"].is_u64(), "{service}");
        }
    }
}

#[test]
fn with_the_agent_down_the_companion_tells_of_it() {
    let world = World::new();
    world.agent(|_| fault(Fault::Refused));
    world.companion(|path| match path {
        "GET /v1/machine/status" => answer(200, &machine("companion", "down")),
        _ => answer(200, &json!({"version": "0.1.0"})),
    });
    let seen = world.ask("GET", &path("status"), None);
    assert_eq!(seen.status, 200, "{}", seen.text);
    assert_eq!(seen.body["method"], "companion");
    assert_eq!(seen.body["machine"]["agent"]["health"], "down");
    assert_eq!(seen.body["dtma_status"], Value::Null);
    let attempts = seen.body["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 1);
    assert_eq!(attempts[0]["way"], "dtma_endpoint");
    assert_eq!(attempts[0]["code"], "agent_unreachable");
    assert_eq!(service(&seen.body, "agent")["verdict"], "failed");
    assert_eq!(
        service(&seen.body, "agent")["response_time_ms"],
        Value::Null
    );
    assert_eq!(service(&seen.body, "companion")["verdict"], "ok");
}

#[test]
fn then_ssh_and_a_machine_that_nothing_reaches_is_no_success() {
    let world = World::new();
    world.agent(|_| fault(Fault::Timeout));
    let status = machine("companion", "down");
    world.executor(
        200,
        executed(&json!({"ok": true, "by": "companion", "data": status})),
    );
    let seen = world.ask("GET", &path("status"), None);
    assert_eq!(seen.status, 200, "{}", seen.text);
    assert_eq!(seen.body["method"], "ssh");
    assert_eq!(seen.body["machine"]["agent"]["health"], "down");
    assert_eq!(seen.body["attempts"][1]["code"], "companion_unreachable");
    let sent = world.sent("ssh-command-executor");
    assert_eq!(
        sent[0],
        json!({"toolboxId": TOOLBOX, "operation": {"kind": "agent_status"}})
    );

    world.executor(502, json!({"error": {"code": "ssh_host_key_changed", "message": "Another host key", "request_id": "r"}}));
    let seen = world.ask("GET", &path("status"), None);
    assert_eq!(seen.refusal(), (504, "agent_timeout"));
    assert_eq!(seen.body["success"], false);
    assert_eq!(seen.body["connection_status"], "failed");
    assert_eq!(seen.body["method"], Value::Null);
    assert_eq!(
        seen.body["last_heartbeat"]["age_seconds"]
            .as_u64()
            .map(|age| age >= 30),
        Some(true)
    );
    let ssh = &seen.body["attempts"][2];
    assert_eq!(
        (&ssh["way"], &ssh["code"]),
        (&json!("ssh"), &json!("ssh_host_key_changed"))
    );
    assert_eq!(service(&seen.body, "database")["verdict"], "ok");
}

#[test]
fn the_ssh_server_is_asked_once_a_minute_and_never_logged_into() {
    let world = World::new();
    let seen = world.ask("GET", &path("status"), None);
    assert_eq!(service(&seen.body, "ssh")["verdict"], "failed");
    assert_eq!(world.host().dialed().len(), 1);
    let kept = world.sent("record_ssh_check")[0]["p"]["seen"].clone();
    assert_eq!(kept["evidence"], service(&seen.body, "ssh")["evidence"]);
    world.rpc(
        "begin_ssh_check",
        json!({"outcome": "recent", "seen": kept}),
    );
    let again = world.ask("GET", &path("status"), None);
    assert_eq!(service(&again.body, "ssh"), service(&seen.body, "ssh"));
    world.rpc(
        "begin_ssh_check",
        json!({"outcome": "recent", "seen": null}),
    );
    let again = world.ask("GET", &path("status"), None);
    assert_eq!(service(&again.body, "ssh")["verdict"], "not_checked");
    assert_eq!(world.host().dialed().len(), 1, "nobody connected again");
    assert!(
        world.sent("ssh-command-executor").is_empty(),
        "nobody logged in"
    );
}

#[test]
fn a_toolbox_of_somebody_else_or_without_an_address_has_no_status() {
    let world = World::new();
    world.transport.on(|request| {
        request
            .url
            .contains("environments?")
            .then(|| answer(200, &json!([])))
    });
    let seen = world.ask("GET", &path("status"), None);
    assert_eq!(seen.refusal(), (404, "toolbox_not_found"));
    let mut row = row();
    row["public_ip_address"] = Value::Null;
    world.row(row);
    let seen = world.ask("GET", &path("status"), None);
    assert_eq!(seen.refusal(), (503, "toolbox_not_ready"));
    assert_eq!(seen.body["success"], false);
}
