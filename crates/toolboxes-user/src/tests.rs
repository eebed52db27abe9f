use serde_json::{Value, json};
use toolbox_domain::retry::Fault;
use toolbox_instances::testing::{TOOLBOX, USER, answer, fault};

use crate::FUNCTION;
use crate::testing::{World, path, row};

const TOKEN: &str = "tbe_CANARY";

fn world() -> World {
    let world = World::new();
    world.rpc(
        "create_own_toolbox",
        json!({"outcome": "created", "id": TOOLBOX}),
    );
    world.rpc(
        "create_toolbox_enrolment",
        json!({"outcome": "created", "token": TOKEN, "expires_at": "2026-01-01T00:15:00+00:00"}),
    );
    world
}

#[test]
fn the_published_document_has_exactly_these_routes() {
    let document = include_str!("../../../docs/api/toolboxes-user.openapi.json");
    let document: Value = serde_json::from_str(document).unwrap();
    let mut published: Vec<String> = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            published.push(format!("{} {path}", method.to_uppercase()));
        }
    }
    let routes = FUNCTION.routes.iter();
    let mut routes: Vec<String> = routes.map(|r| format!("{} {}", r.method, r.path)).collect();
    published.sort();
    routes.sort();
    assert_eq!(published, routes);
}

#[test]
fn a_machine_of_the_users_own_is_made_and_told_how_to_join() {
    let world = world();
    let mut pending = row();
    pending["status"] = "pending_provision".into();
    pending["public_ip_address"] = Value::Null;
    world.rows(json!([pending]));
    let body =
        json!({"kind": "byo", "name": "my machine", "description": "a box", "address": "8.8.8.8"});
    let seen = world.ask("POST", "/", Some(body));
    assert_eq!(seen.status, 201, "{}", seen.text);
    assert_eq!(seen.body["id"], TOOLBOX);
    assert_eq!(seen.body["kind"], "byo");
    assert_eq!(seen.body["status"], "pending_provision");
    assert_eq!(seen.body["status_age_seconds"], 600);
    assert_eq!(seen.body["progress"]["step"], "pending_provision");
    assert_eq!(seen.body["progress"]["percent"], 0);
    assert_eq!(seen.body["progress"]["age_seconds"], 600);
    assert_eq!(
        seen.body["enrolment"]["expires_at"],
        "2026-01-01T00:15:00+00:00"
    );
    assert_eq!(
        seen.body["enrolment"]["command"],
        format!(
            "curl -fsSL 'https://r.example/install.sh' | TOOLBOX_RELEASE_URL='https://r.example' \
             TOOLBOX_ENROLMENT_TOKEN='{TOKEN}' sh -s -- --toolbox {TOOLBOX} \
             --control-url 'http://supabase/functions/v1/heartbeat'"
        )
    );
    let asked = json!({"user_id": USER, "name": "my machine", "description": "a box", "address": "8.8.8.8", "max_toolboxes": 20});
    assert_eq!(world.sent("/rpc/create_own_toolbox"), [asked]);
    assert_eq!(
        world.sent("/rpc/create_toolbox_enrolment"),
        [json!({"toolbox_id": TOOLBOX, "ttl_seconds": 900})]
    );
    assert!(!world.host().log().contains("CANARY"));
}

#[test]
fn what_cannot_be_made_is_refused_before_anything_is() {
    let made = json!({"kind": "byo", "name": "x"});
    for (key, value) in [
        ("name", json!("")),
        ("name", json!("a\nb")),
        ("description", json!("x".repeat(2001))),
        ("kind", json!("droplet")),
        ("address", json!("127.0.0.1")),
        ("address", json!("10.0.0.1")),
        ("address", json!("169.254.169.254")),
        ("address", json!("::ffff:10.0.0.1")),
    ] {
        let world = world();
        let mut body = made.clone();
        body[key] = value;
        let seen = world.ask("POST", "/", Some(body));
        assert_eq!(seen.refusal(), (422, "validation_failed"), "{}", seen.text);
        assert_eq!(seen.body["error"]["details"]["errors"][0]["field"], key);
        assert!(world.transport.sent().is_empty());
    }
    // No name, and no address at all.
    for body in [
        json!({"kind": "byo"}),
        json!({"kind": "byo", "name": "x", "address": "local"}),
    ] {
        let seen = world().ask("POST", "/", Some(body));
        assert_eq!(seen.refusal(), (400, "invalid_json"), "{}", seen.text);
    }
    let world = World::with(&[("TOOLBOX_RELEASE_URL", "ftp://x")]);
    let seen = world.ask("POST", "/", Some(made));
    assert_eq!(seen.refusal(), (500, "not_configured"));
    assert!(seen.text.contains("TOOLBOX_RELEASE_URL"), "{}", seen.text);
    assert!(world.transport.sent().is_empty());
}

#[test]
fn an_operator_allows_inner_machines_and_says_how_many() {
    let world = World::with(&[
        ("TOOLBOX_ALLOWED_MACHINES", "10.0.0.0/8"),
        ("TOOLBOX_MAX_TOOLBOXES", "3"),
    ]);
    world.rpc("create_own_toolbox", json!({"outcome": "quota_exceeded"}));
    let body = json!({"kind": "byo", "name": "x", "address": "10.0.0.1"});
    let seen = world.ask("POST", "/", Some(body));
    assert_eq!(seen.refusal(), (429, "quota_exceeded"));
    assert!(seen.text.contains("You have 3 toolboxes"), "{}", seen.text);
    assert_eq!(world.sent("/rpc/create_own_toolbox")[0]["max_toolboxes"], 3);
}

#[test]
fn a_machine_whose_token_expired_gets_another_and_a_bought_one_gets_none() {
    let world = world();
    let seen = world.ask("POST", &path("/enrolment"), None);
    assert_eq!(seen.status, 201, "{}", seen.text);
    assert!(seen.text.contains(TOKEN));
    let mut bought = row();
    bought["kind"] = "droplet".into();
    world.rows(json!([bought]));
    let seen = world.ask("POST", &path("/enrolment"), None);
    assert_eq!(seen.refusal(), (409, "illegal_state"));
    assert_eq!(world.sent("/rpc/create_toolbox_enrolment").len(), 1);
    // It leaves meanwhile.
    let world = World::new();
    world.rpc("create_toolbox_enrolment", json!({"outcome": "not_found"}));
    let seen = world.ask("POST", &path("/enrolment"), None);
    assert_eq!(seen.refusal(), (404, "toolbox_not_found"));
}

#[test]
fn toolboxes_are_listed_read_and_renamed() {
    let world = World::new();
    world.rpc("update_own_toolbox", json!({"outcome": "updated"}));
    let seen = world.ask("GET", "/", None);
    assert_eq!(seen.status, 200);
    assert_eq!(seen.body[0]["id"], TOOLBOX);
    assert_eq!(seen.body[0]["progress"], Value::Null);
    assert_eq!(seen.body[0]["last_heartbeat_age_seconds"], 30);
    assert_eq!(
        world.ask("GET", &path(""), None).body,
        seen.body[0],
        "the same"
    );
    for body in [
        json!({"name": "another"}),
        json!({"description": null, "address": "8.8.4.4"}),
        json!({"address": null}),
    ] {
        let seen = world.ask("PATCH", &path(""), Some(body.clone()));
        assert_eq!(seen.status, 200, "{}", seen.text);
        let mut asked = body;
        asked["toolbox_id"] = TOOLBOX.into();
        asked["user_id"] = USER.into();
        assert_eq!(world.sent("/rpc/update_own_toolbox").pop(), Some(asked));
    }
    let seen = world.ask("PATCH", &path(""), Some(json!({"address": "10.0.0.1"})));
    assert_eq!(seen.refusal(), (422, "validation_failed"));
}

#[test]
fn a_machine_of_the_users_own_is_forgotten_at_once() {
    let world = World::new();
    world.rpc("delete_own_toolbox", json!({"outcome": "deleted"}));
    let seen = world.ask("DELETE", &path(""), None);
    assert_eq!((seen.status, seen.text.as_str()), (204, ""));
    assert_eq!(
        world.sent("/rpc/delete_own_toolbox"),
        [json!({"toolbox_id": TOOLBOX, "user_id": USER})]
    );
}

#[test]
fn what_is_not_the_callers_does_not_exist() {
    let world = World::new();
    world.rows(json!([]));
    for (method, rest, body) in [
        ("GET", "", None),
        ("PATCH", "", Some(json!({"name": "x"}))),
        ("DELETE", "", None),
        ("POST", "/enrolment", None),
        ("POST", "/refresh-status", None),
    ] {
        let seen = world.ask(method, &path(rest), body.clone());
        assert_eq!(
            seen.refusal(),
            (404, "toolbox_not_found"),
            "{method} {rest}"
        );
        let seen = world.ask(method, &format!("/mine{rest}"), body);
        assert_eq!(seen.refusal(), (400, "invalid_request"), "{method} {rest}");
    }
    let calls = world.transport.sent();
    assert!(calls.iter().all(|call| !call.request.url.contains("/rpc/")));
}

#[test]
fn the_machine_is_asked_now_and_a_failure_is_told_with_what_is_known() {
    let world = World::new();
    world.agent(|| {
        answer(
            200,
            &json!({"status": "healthy", "service": "DTMA", "version": "0.2.0", "api_version": 2,
                "timestamp": "2026-01-01T00:00:00Z", "toolbox_id": TOOLBOX, "uptime_seconds": 1,
                "environment": {"hasAuthToken": true, "hasApiKey": true, "hasApiBaseUrl": true, "port": 30000},
                "docker": {"reachable": true, "version": "20.10", "api_version": "1.41"},
                "system_metrics": {"cpu_load_percent": 1.5, "disk": null, "uptime_seconds": 1,
                    "memory": {"total_bytes": 4, "used_bytes": 2, "free_bytes": 2, "active_bytes": 2}},
                "tool_instances": []}),
        )
    });
    let seen = world.ask("POST", &path("/refresh-status"), None);
    assert_eq!(seen.status, 200, "{}", seen.text);
    assert_eq!(seen.body["agent_version"], "0.2.0");
    assert_eq!(seen.body["docker_reachable"], true);
    world.agent(|| fault(Fault::Timeout));
    let seen = world.ask("POST", &path("/refresh-status"), None);
    assert_eq!(seen.refusal(), (504, "agent_timeout"));
    assert_eq!(
        seen.body["last_heartbeat_age_seconds"]
            .as_u64()
            .map(|age| age >= 30),
        Some(true)
    );
    assert_eq!(seen.body["agent_version"], Value::Null);
    let mut without = row();
    without["public_ip_address"] = Value::Null;
    world.rows(json!([without]));
    let seen = world.ask("POST", &path("/refresh-status"), None);
    assert_eq!(seen.refusal(), (503, "toolbox_not_ready"));
}
