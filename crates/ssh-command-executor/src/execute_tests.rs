use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use toolbox_edge::recorded::{Function, Seen, assert_published, user_token};
use toolbox_http::recorded::{JumpingClock, Recorded, lock};
use toolbox_http::{Headers, Response};

use crate::FUNCTION;

const NOW: u64 = 1_767_225_600; // 2026-01-01T00:00:00Z
const USER: &str = "33333333-3333-4333-8333-333333333333";
const TOOLBOX: &str = "6f9619ff-8b86-4d01-b42d-000000000001";
const INSTANCE: &str = "22222222-2222-4222-8222-222222222222";
const SEED: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";

/// A toolbox with an instance, whose machine told no host key, so that nothing is connected to.
fn row() -> Value {
    json!({"id": TOOLBOX, "public_ip_address": "203.0.113.7", "ssh_host_key": null, "ssh_port": 22,
        "account_tool_instances": [{"id": INSTANCE}]})
}

/// The answer, what the database was asked for, and the events that were written.
struct Asked {
    seen: Seen,
    paths: Vec<String>,
    events: Vec<Value>,
}

fn ask(rows: Value, body: &Value) -> Asked {
    let clock = Arc::new(JumpingClock::new(Duration::from_secs(NOW)));
    let transport = Arc::new(Recorded::new().with_clock(Arc::clone(&clock)));
    let log: Arc<Mutex<(Vec<String>, Vec<Value>)>> = Arc::default();
    let kept = Arc::clone(&log);
    transport.on(move |request| {
        let path = request
            .url
            .strip_prefix("http://supabase/rest/v1/")?
            .to_owned();
        let mut log = lock(&kept);
        let answer = if path.ends_with("_toolbox_event") {
            let body: Value = serde_json::from_slice(&request.body).unwrap();
            log.1.push(body["p"].clone());
            json!({"outcome": "recorded", "id": 7})
        } else {
            log.0.push(path);
            rows.clone()
        };
        Some(Ok(Response::new(200, answer.to_string().into_bytes())))
    });
    let variables = [
        ("TOOLBOX_SSH_CA_KEY", SEED),
        ("SUPABASE_JWT_SECRET", "secret"),
    ];
    let function = Function::new(&FUNCTION, &variables, transport, clock);
    let mut headers = Headers::default();
    headers.set(
        "authorization",
        format!("Bearer {}", user_token(USER, NOW + 3600)),
    );
    headers.set("content-type", "application/json");
    let seen = function.ask("POST", "", headers, body.to_string().as_bytes());
    let (paths, events) = lock(&log).clone();
    assert!(!seen.text.contains(SEED));
    Asked {
        seen,
        paths,
        events,
    }
}

#[test]
fn the_published_document_has_exactly_these_routes() {
    let document = include_str!("../../../docs/api/ssh-command-executor.openapi.json");
    assert_published(&FUNCTION, document);
}

#[test]
fn anything_but_an_operation_is_refused_with_what_is_allowed_before_anything_is_read() {
    for body in [
        json!({"toolboxId": TOOLBOX, "command": "docker ps"}),
        json!({"toolboxId": TOOLBOX, "command": "docker start x; reboot"}),
        json!({"dropletIp": "203.0.113.7", "command": "git pull origin main"}),
        json!({"toolboxId": TOOLBOX, "operation": {"kind": "shell", "command": "id"}}),
        json!({"toolboxId": TOOLBOX, "operation": {"kind": "instance_logs", "id": INSTANCE, "tail": 9999}}),
        json!({"toolboxId": TOOLBOX, "operation": "agent-restart"}),
    ] {
        let asked = ask(json!([row()]), &body);
        assert_eq!(
            asked.seen.refusal(),
            (403, "operation_not_allowed"),
            "{body}"
        );
        let allowed = asked.seen.body["error"]["details"]["allowed"]
            .as_array()
            .unwrap();
        assert!(allowed.contains(&"agent-restart".into()), "{body}");
        assert!(asked.paths.is_empty() && asked.events.is_empty());
    }
}

#[test]
fn a_container_is_not_removed_by_a_command_that_kept_its_volumes() {
    let body = json!({"dropletIp": "203.0.113.7", "command": "docker rm -f my-tool-1"});
    let asked = ask(json!([row()]), &body);
    assert_eq!(asked.seen.refusal(), (403, "operation_not_allowed"));
    let message = asked.seen.body["error"]["message"].as_str().unwrap();
    assert!(message.contains("remove with the id") && message.contains("volumes"));
    assert!(asked.paths.is_empty() && asked.events.is_empty());
}

#[test]
fn an_address_of_two_toolboxes_names_neither() {
    let mut other = row();
    other["id"] = json!("6f9619ff-8b86-4d01-b42d-000000000002");
    let body = json!({"dropletIp": "203.0.113.7", "command": "agent-status"});
    let asked = ask(json!([row(), other]), &body);
    assert_eq!(asked.seen.refusal(), (409, "toolbox_ambiguous"));
    assert!(asked.paths[0].contains("&limit=2&"), "{:?}", asked.paths);
    assert!(asked.events.is_empty());
}

#[test]
fn a_machine_and_its_instance_are_the_callers_own_rows() {
    let stop = json!({"kind": "instance", "action": "stop", "id": INSTANCE});
    let asked = ask(json!([]), &json!({"toolboxId": TOOLBOX, "operation": stop}));
    assert_eq!(asked.seen.refusal(), (404, "toolbox_not_found"));
    let [path] = &asked.paths[..] else {
        panic!("one read")
    };
    assert!(path.contains(&format!("id=eq.{TOOLBOX}&")), "{path}");
    assert!(
        path.ends_with(&format!("&account_tool_instances.id=eq.{INSTANCE}")),
        "{path}"
    );

    let mut other = row();
    other["account_tool_instances"] = json!([]);
    let asked = ask(
        json!([other]),
        &json!({"toolboxId": TOOLBOX, "operation": stop}),
    );
    assert_eq!(asked.seen.refusal(), (404, "instance_not_found"));
    assert!(asked.events.is_empty());

    let asked = ask(
        json!([]),
        &json!({"dropletIp": "203.0.113.7", "command": "docker stop web-1.x"}),
    );
    assert_eq!(asked.seen.refusal(), (404, "toolbox_not_found"));
    let [path] = &asked.paths[..] else {
        panic!("one read")
    };
    assert!(path.contains("public_ip_address=eq.203.0.113.7&"), "{path}");
    assert!(
        path.contains(
            "or=(container_name.eq.%22web-1.x%22,instance_name_on_toolbox.eq.%22web-1.x%22)"
        ),
        "{path}"
    );
}

#[test]
fn what_names_no_machine_or_two_is_refused() {
    for body in [
        json!({"operation": {"kind": "agent_status"}}),
        json!({"toolboxId": TOOLBOX, "dropletIp": "203.0.113.7", "command": "agent-status"}),
        json!({"toolboxId": "x", "command": "agent-status"}),
        json!({"dropletIp": "example.org", "command": "agent-status"}),
        json!({"toolboxId": TOOLBOX}),
        json!({"toolboxId": TOOLBOX, "command": "agent-status", "operation": {"kind": "agent_status"}}),
    ] {
        let asked = ask(json!([row()]), &body);
        assert_eq!(asked.seen.refusal(), (400, "invalid_request"), "{body}");
        assert!(asked.paths.is_empty());
    }
}

#[test]
fn every_use_is_in_the_history_before_it_is_done_also_one_that_fails() {
    let body = json!({"toolboxId": TOOLBOX, "command": format!("docker restart {INSTANCE}"), "timeout": 15_000});
    let asked = ask(json!([row()]), &body);
    assert_eq!(asked.seen.refusal(), (503, "ssh_not_enrolled"));
    let [begun, ended] = &asked.events[..] else {
        panic!("one event begins and ends")
    };
    assert_eq!(begun["toolbox_id"], TOOLBOX);
    assert_eq!(begun["actor_id"], USER);
    assert_eq!(begun["kind"], "ssh_command");
    assert_eq!(begun["detail"]["operation"], format!("restart {INSTANCE}"));
    assert_eq!(begun["result"], "begun");
    assert_eq!(
        (&ended["id"], &ended["result"]),
        (&json!(7), &json!("ssh_not_enrolled"))
    );
}
