use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use toolbox_http::Request;

use crate::testing::{INSTANCE, TOOLBOX, World, answer};

const USER: &str = "33333333-3333-4333-8333-333333333333";
const ACCESS: &str = "44444444-4444-4444-8444-444444444444";

fn row(more: &Value) -> Value {
    let mut row = json!({"id": ACCESS, "account_tool_environment_id": TOOLBOX, "account_tool_instance_id": INSTANCE,
        "granted_by": USER, "name": "laptop", "user_id": null, "client_id": null, "allowed_tools": null, "read_only": false,
        "expires_at": null, "revoked_at": null, "last_used_at": null, "last_client": null, "created_at": "2026-01-01T00:00:00Z"});
    for (name, value) in more.as_object().unwrap() {
        row[name] = value.clone();
    }
    row
}

/// The database answers calls of this function so; what it was asked.
pub(super) fn database(
    world: &World,
    function: &'static str,
    says: Value,
) -> Arc<Mutex<Vec<Value>>> {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    world.transport.on(move |request: &Request| {
        let is_it = request.url.ends_with(function);
        is_it.then(|| {
            let body: Value = serde_json::from_slice(&request.body).unwrap();
            seen.lock().unwrap().push(body["p"].clone());
            answer(200, &says)
        })
    });
    asked
}

fn path() -> String {
    format!("/{TOOLBOX}/mcp-access")
}

#[test]
fn a_token_is_shown_once_and_only_its_hash_is_stored() {
    let world = World::with(
        "running",
        &[("SUPABASE_PUBLIC_URL", "https://ref.supabase.co/")],
    );
    let says = json!({"outcome": "granted", "access": row(&json!({}))});
    let asked = database(&world, "/rpc/grant_mcp_access", says);
    let wanted = json!({"name": " laptop ", "instanceId": INSTANCE, "allowedTools": ["a"], "readOnly": true, "expiresInSeconds": 3600, "requestsPerMinute": 3});
    let seen = world.ask("POST", &path(), Some(wanted));
    assert_eq!(seen.status, 201, "{}", seen.text);
    let token = seen.body["token"].as_str().unwrap();
    assert!(token.starts_with("tbx_") && token.len() == 68);
    let url = format!("https://ref.supabase.co/functions/v1/mcp/{INSTANCE}");
    assert_eq!(seen.body["url"], url);
    let command = seen.body["hosts"][0]["text"].as_str().unwrap();
    assert!(command.contains(&url) && command.contains(token));
    assert_eq!(seen.body["access"]["toolbox_id"], TOOLBOX);
    let asked = asked.lock().unwrap();
    assert!(!asked[0].to_string().contains(token));
    assert_eq!(asked[0]["token_hash"].as_str().unwrap().len(), 64);
    assert_eq!(asked[0]["owner_id"], USER);
    assert_eq!(
        (&asked[0]["name"], &asked[0]["ttl_seconds"]),
        (&json!("laptop"), &json!(3600))
    );
    assert_eq!(
        (
            &asked[0]["requests_per_minute"],
            &asked[0]["concurrent_requests"]
        ),
        (&json!(3), &json!(null))
    );
}

#[test]
fn a_user_gets_no_token() {
    let world = World::new("running");
    let says = json!({"outcome": "granted", "access": row(&json!({"user_id": ACCESS, "account_tool_instance_id": null}))});
    let asked = database(&world, "/rpc/grant_mcp_access", says);
    let seen = world.ask(
        "POST",
        &path(),
        Some(json!({"name": "Ada", "userId": ACCESS})),
    );
    assert_eq!(seen.status, 201, "{}", seen.text);
    assert_eq!(
        (&seen.body["token"], &seen.body["hosts"]),
        (&json!(null), &json!([]))
    );
    let url = seen.body["url"].as_str().unwrap();
    assert!(
        url.ends_with(&format!("/functions/v1/mcp/toolbox/{TOOLBOX}")),
        "{url}"
    );
    assert_eq!(asked.lock().unwrap()[0]["token_hash"], Value::Null);
}

#[test]
fn what_cannot_be_given_is_said() {
    let world = World::new("running");
    let many: Vec<String> = (0..101).map(|n| n.to_string()).collect();
    for (wanted, field) in [
        (json!({"name": " "}), "name"),
        (json!({"name": "a\nb"}), "name"),
        (json!({"name": "x", "allowedTools": [""]}), "allowedTools"),
        (json!({"name": "x", "allowedTools": many}), "allowedTools"),
        (
            json!({"name": "x", "expiresInSeconds": 1}),
            "expiresInSeconds",
        ),
        (
            json!({"name": "x", "requestsPerMinute": 601}),
            "requestsPerMinute",
        ),
        (
            json!({"name": "x", "concurrentRequests": 0}),
            "concurrentRequests",
        ),
    ] {
        let seen = world.ask("POST", &path(), Some(wanted));
        assert_eq!(seen.refusal(), (422, "validation_failed"));
        assert_eq!(seen.body["error"]["details"]["errors"][0]["field"], field);
    }
    for (says, refusal) in [
        (
            json!({"outcome": "toolbox_not_found"}),
            (404, "toolbox_not_found"),
        ),
        (
            json!({"outcome": "instance_not_found"}),
            (404, "instance_not_found"),
        ),
        (
            json!({"outcome": "user_not_found"}),
            (422, "validation_failed"),
        ),
        (
            json!({"outcome": "too_many", "most": 200}),
            (429, "quota_exceeded"),
        ),
    ] {
        database(&world, "/rpc/grant_mcp_access", says);
        let seen = world.ask("POST", &path(), Some(json!({"name": "x"})));
        assert_eq!(seen.refusal(), refusal);
    }
    let seen = world.ask("POST", &path(), Some(json!({"name": "x", "tools": []})));
    assert_eq!(seen.refusal(), (400, "invalid_json"));
}

#[test]
fn access_is_listed_and_revoked() {
    let world = World::new("running");
    world.transport.on(|request: &Request| {
        let is_list = request.url.contains("/rest/v1/mcp_access?");
        is_list.then(|| answer(200, &json!([row(&json!({"last_client": "claude-code/2"}))])))
    });
    let seen = world.ask("GET", &path(), None);
    assert_eq!(seen.status, 200, "{}", seen.text);
    assert_eq!(seen.body["access"][0]["last_client"], "claude-code/2");
    let one = format!("{}/{ACCESS}", path());
    let says = json!({"outcome": "revoked", "access": row(&json!({"revoked_at": "2026-01-01T00:00:00Z"}))});
    database(&world, "/rpc/revoke_mcp_access", says);
    let seen = world.ask("DELETE", &one, None);
    assert_eq!(
        (seen.status, &seen.body["access"]["id"]),
        (200, &json!(ACCESS))
    );
    database(
        &world,
        "/rpc/revoke_mcp_access",
        json!({"outcome": "not_found"}),
    );
    for path in [one, format!("{}/x", path())] {
        let seen = world.ask("DELETE", &path, None);
        assert_eq!(seen.refusal(), (404, "mcp_access_not_found"));
    }
}

#[test]
fn a_program_is_let_in_by_its_user_who_names_nobody_else() {
    let world = World::new("running");
    let says =
        json!({"outcome": "granted", "access": row(&json!({"user_id": USER, "client_id": "c1"}))});
    let asked = database(&world, "/rpc/grant_mcp_access", says);
    let wanted = json!({"name": "Chat", "clientId": "c1", "instanceId": INSTANCE});
    let seen = world.ask("POST", &path(), Some(wanted));
    assert_eq!(seen.status, 201, "{}", seen.text);
    assert_eq!(
        (&seen.body["token"], &seen.body["hosts"]),
        (&json!(null), &json!([]))
    );
    let asked = asked.lock().unwrap();
    assert_eq!(
        (
            &asked[0]["client_id"],
            &asked[0]["owner_id"],
            &asked[0]["token_hash"]
        ),
        (&json!("c1"), &json!(USER), &json!(null))
    );
    for wanted in [
        json!({"name": "x", "clientId": ""}),
        json!({"name": "x", "clientId": "x".repeat(256)}),
        json!({"name": "x", "clientId": "c1", "userId": ACCESS}),
    ] {
        let seen = world.ask("POST", &path(), Some(wanted));
        assert_eq!(seen.refusal(), (422, "validation_failed"));
        assert_eq!(
            seen.body["error"]["details"]["errors"][0]["field"],
            "clientId"
        );
    }
}

#[test]
fn servers_and_programs_of_a_user_are_listed_and_a_program_is_ended() {
    let world = World::with(
        "running",
        &[("SUPABASE_PUBLIC_URL", "https://ref.supabase.co/")],
    );
    let server = json!({"toolbox_id": TOOLBOX, "toolbox": "box", "instance_id": INSTANCE, "name": "notes", "is_own": false,
        "allowed_tools": ["a"], "read_only": true, "expires_at": null});
    let asked = database(&world, "/rpc/list_mcp_servers", json!([server]));
    let seen = world.ask("GET", "/mcp-servers", None);
    assert_eq!(seen.status, 200, "{}", seen.text);
    let url = format!("https://ref.supabase.co/functions/v1/mcp/{INSTANCE}");
    assert_eq!(seen.body["servers"][0]["url"], url);
    assert_eq!(asked.lock().unwrap()[0], json!({ "user_id": USER }));
    world.transport.on(|request: &Request| {
        let is_list = request.url.contains("client_id=not.is.null");
        is_list.then(|| answer(200, &json!([row(&json!({"client_id": "c1"}))])))
    });
    let seen = world.ask("GET", "/mcp-clients", None);
    assert_eq!(seen.body["access"][0]["client_id"], "c1", "{}", seen.text);
    let asked = database(&world, "/rpc/revoke_mcp_client", json!({ "ended": 2 }));
    let seen = world.ask("DELETE", "/mcp-clients/a%2Fb", None);
    assert_eq!((seen.status, &seen.body["ended"]), (200, &json!(2)));
    assert_eq!(asked.lock().unwrap()[0]["client_id"], "a/b");
    database(&world, "/rpc/revoke_mcp_client", json!({ "ended": 0 }));
    let seen = world.ask("DELETE", "/mcp-clients/c1", None);
    assert_eq!(seen.refusal(), (404, "mcp_access_not_found"));
}
