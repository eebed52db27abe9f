use serde_json::{Value, json};
use toolbox_domain::keys::{Purpose, RootId, derive_agent_key};
use toolbox_http::Request;

use crate::testing::{INSTANCE, Seen, TOOLBOX, World, answer};

const ROOT: &[u8] = b"0123456789abcdef0123456789abcdef";

fn access(world: &World) -> Seen {
    world.ask("GET", &format!("/{TOOLBOX}/tools/{INSTANCE}/mcp"), None)
}

/// The token of the instance, made from the toolbox's key of this epoch.
fn token(epoch: u32) -> String {
    let key = derive_agent_key(
        ROOT,
        TOOLBOX.parse().unwrap(),
        Purpose::ControlToAgent,
        epoch,
    );
    let token = key.unwrap().mcp_token(INSTANCE.parse().unwrap());
    token.unwrap().expose().to_owned()
}

#[test]
fn the_token_is_of_the_key_the_agent_last_proved() {
    let world = World::new("stopped");
    world.tables().row.as_mut().unwrap()["mcp_transport_type"] = "sse".into();
    for (key_id, epoch) in [
        (json!(null), 0),
        (json!(format!("{}.3", RootId::of(ROOT))), 3),
    ] {
        world.tables().toolbox["dtma_key_id"] = key_id;
        let seen = access(&world);
        assert_eq!(seen.status, 200, "{}", seen.body);
        assert_eq!(seen.body["token"], token(epoch));
        assert_eq!(
            seen.body["url"],
            format!("http://127.0.0.1:30000/mcp/{INSTANCE}")
        );
        assert_eq!(seen.body["certificate"], Value::Null);
        assert_eq!(seen.headers.get("cache-control"), Some("no-store"));
    }
    assert!(world.sent_to_agent().is_empty(), "the agent is not asked");
}

#[test]
fn the_certificate_to_pin_comes_with_the_address() {
    let world = World::new("running");
    {
        let toolbox = &mut world.tables().toolbox;
        toolbox["public_ip_address"] = "2001:db8::1".into();
        toolbox["dtma_certificate_pem"] = "PEM".into();
    }
    let body = json!({"toolboxId": TOOLBOX, "action": "mcp", "instanceId": INSTANCE});
    let seen = world.ask("POST", "", Some(body));
    assert_eq!(
        (&seen.body["url"], &seen.body["certificate"]),
        (
            &json!(format!("https://[2001:db8::1]:30000/mcp/{INSTANCE}")),
            &json!("PEM")
        )
    );
}

#[test]
fn what_has_no_endpoint_has_no_token() {
    let world = World::new("running");
    for transport in [json!(null), json!("websocket")] {
        world.tables().row.as_mut().unwrap()["mcp_transport_type"] = transport;
        let seen = access(&world);
        assert_eq!((seen.status, seen.code()), (409, "illegal_state"));
    }
    for (field, value, code) in [
        ("dtma_key_id", "00000000.1", "agent_unauthorized"),
        ("public_ip_address", "10.0.0.1", "agent_not_enrolled"),
        ("public_ip_address", "", "toolbox_not_ready"),
    ] {
        let world = World::new("running");
        world.tables().toolbox[field] = value.into();
        assert_eq!(access(&world).code(), code);
    }
    let world = World::new("running");
    world.tables().row = None;
    let seen = access(&world);
    assert_eq!((seen.status, seen.code()), (404, "instance_not_found"));
}

#[test]
fn one_url_for_a_whole_toolbox_is_told_to_its_owner() {
    let world = World::with(
        "running",
        &[("SUPABASE_PUBLIC_URL", "https://ref.supabase.co/")],
    );
    let path = format!("/{TOOLBOX}/mcp");
    let seen = world.ask("GET", &path, None);
    assert_eq!(seen.status, 200, "{}", seen.text);
    let url = format!("https://ref.supabase.co/functions/v1/mcp/toolbox/{TOOLBOX}");
    assert_eq!(seen.body["public_url"], url);
    let hosts = seen.body["hosts"].as_array().unwrap();
    for (auth, says) in [("oauth", &*url), ("token", "TOOLBOX_MCP_TOKEN")] {
        let is_it = |host: &&Value| host["host"] == "claude-code" && host["auth"] == auth;
        let text = hosts.iter().find(is_it).unwrap()["text"].as_str().unwrap();
        assert!(text.contains(says), "{text}");
    }
    assert!(world.sent_to_agent().is_empty(), "the agent is not asked");
    world.transport.on(|request: &Request| {
        let is_it = request.url.contains("/rest/v1/account_tool_environments?");
        is_it.then(|| answer(200, &json!([])))
    });
    let seen = world.ask("GET", &path, None);
    assert_eq!(seen.refusal(), (404, "toolbox_not_found"));
}

#[test]
fn use_is_told_by_day_with_the_bounds_of_time() {
    let world = World::new("running");
    let used = json!({"day": "2026-11-30", "tool": "a", "client": "c", "calls": 3, "errors": 1, "bytes": 9, "p50": 0, "p95": 14});
    let path = format!("/{TOOLBOX}/tools/{INSTANCE}/mcp/usage");
    let asked = super::mcp_access_tests::database(
        &world,
        "/rpc/get_mcp_use",
        json!({"outcome": "found", "usage": [used]}),
    );
    let seen = world.ask("GET", &format!("{path}?days=7"), None);
    assert_eq!(seen.status, 200, "{}", seen.text);
    let told = &seen.body["usage"][0];
    assert_eq!(
        (&told["calls"], &told["errors"], &told["bytes"]),
        (&json!(3), &json!(1), &json!(9))
    );
    assert_eq!(
        (&told["p50_ms"], &told["p95_ms"]),
        (&json!(5), &json!(86_400_000))
    );
    assert_eq!(asked.lock().unwrap()[0]["days"], 7);
    for days in ["0", "367", "x", "-1"] {
        let seen = world.ask("GET", &format!("{path}?days={days}"), None);
        assert_eq!(seen.refusal(), (400, "invalid_request"), "{days}");
    }
    let world = World::new("running");
    super::mcp_access_tests::database(&world, "/rpc/get_mcp_use", json!({"outcome": "not_found"}));
    assert_eq!(
        world.ask("GET", &path, None).refusal(),
        (404, "instance_not_found")
    );
}
