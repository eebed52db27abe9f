use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use toolbox_edge::recorded::{
    Function, Seen, assert_documented, assert_published, described_token, program_token, user_token,
};
use toolbox_http::Headers;
use toolbox_http::recorded::{JumpingClock, Recorded};
use toolbox_instances::testing::{NOW, TOOLBOX, USER, answer};

use crate::FUNCTION;

const ENTRY: &str = "55555555-5555-4555-8555-555555555555";
const ROLLOUT: &str = "6f9619ff-8b86-4d01-b42d-00000000000a";
const END: u64 = NOW + 3600;

struct World {
    transport: Arc<Recorded>,
    function: Function,
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(JumpingClock::new(Duration::from_secs(NOW)));
        let transport = Arc::new(Recorded::new().with_clock(Arc::clone(&clock)));
        let variables = [
            ("SUPABASE_JWT_SECRET", "secret"),
            ("TOOLBOX_MAX_TOOLBOXES", "3"),
        ];
        let function = Function::new(&FUNCTION, &variables, Arc::clone(&transport), clock);
        Self {
            transport,
            function,
        }
    }

    fn rpc(&self, name: &'static str, body: Value) {
        self.transport.on(move |request| {
            let calls = request.url.ends_with(&format!("/rpc/{name}"));
            calls.then(|| answer(200, &body))
        });
    }

    /// Arguments of the calls to a function of the database.
    fn sent(&self, name: &str) -> Vec<Value> {
        let end = format!("/rpc/{name}");
        let calls = self.transport.sent();
        let calls = calls.iter().filter(|call| call.request.url.ends_with(&end));
        calls
            .map(|call| serde_json::from_slice::<Value>(&call.request.body).unwrap()["p"].clone())
            .collect()
    }

    fn ask_as(&self, token: &str, method: &str, path: &str, body: Option<&Value>) -> Seen {
        let mut headers = Headers::default();
        headers.set("authorization", format!("Bearer {token}"));
        headers.set("x-request-id", "req-1");
        if body.is_some() {
            headers.set("content-type", "application/json");
        }
        let body = body.map(ToString::to_string).unwrap_or_default();
        let seen = self.function.ask(method, path, headers, body.as_bytes());
        let document = include_str!("../../../docs/api/operators.openapi.json");
        let document = serde_json::from_str(document).unwrap();
        assert_documented(&FUNCTION, &document, method, path, &seen);
        seen
    }

    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Seen {
        self.ask_as(&operator(), method, path, body)
    }
}

fn operator() -> String {
    let app = json!({"provider": "email", "toolbox_role": "operator"});
    described_token(USER, &app, &json!({}), END)
}

#[test]
fn the_published_document_has_exactly_these_routes() {
    let document = include_str!("../../../docs/api/operators.openapi.json");
    assert_published(&FUNCTION, document);
}

#[test]
fn only_who_the_project_calls_an_operator_is_let_in_to_any_route() {
    let world = World::new();
    let role = json!({"toolbox_role": "operator"});
    for token in [
        user_token(USER, END),
        program_token(USER, "chat-app", END),
        // Users write the second one themselves.
        described_token(USER, &json!({}), &role, END),
        described_token(USER, &json!({"toolbox_role": "Operator"}), &role, END),
        described_token(USER, &json!({"toolbox_role": ["operator"]}), &role, END),
        described_token(USER, &json!(["operator"]), &role, END),
        described_token(USER, &json!(null), &role, END),
    ] {
        for route in FUNCTION.routes {
            let path = route
                .path
                .replace("{rolloutId}", ROLLOUT)
                .replace("{catalogId}", ENTRY)
                .replace("{userId}", USER);
            let body = (route.method != "GET").then(|| json!({}));
            let seen = world.ask_as(&token, route.method, &path, body.as_ref());
            assert_eq!(seen.refusal(), (403, "forbidden"), "{}", seen.text);
        }
    }
    assert!(
        world.transport.sent().is_empty(),
        "nothing is asked for them"
    );
    // A token that is remembered stays what it is.
    let fleet = json!({"outcome": "found", "wanted_version": null, "found": 0, "toolboxes": [], "rollouts": [],
        "counts": {"all": 0, "old": 0, "silent": 0, "failing": 0, "ready": 0}});
    world.rpc("get_fleet", fleet);
    for _ in 0..2 {
        assert_eq!(world.ask("GET", "/fleet", None).status, 200);
        let seen = world.ask_as(&user_token(USER, END), "GET", "/fleet", None);
        assert_eq!(seen.refusal(), (403, "forbidden"));
    }
}

#[test]
fn of_a_toolbox_operators_are_told_what_is_named_and_nothing_else() {
    let world = World::new();
    let toolbox = json!({"id": TOOLBOX, "name": "box", "owner_id": USER, "owner_email": "a@b.c", "kind": "byo", "status": "active",
        "status_changed_at": "2025-12-31T23:50:00+00:00", "last_heartbeat_at": null, "version": "1.0.0", "region_slug": null,
        "size_slug": null, "price_monthly_usd": null, "problem": null, "tools": 2, "failing_tools": 1, "is_old": true,
        "is_silent": false, "is_failing": true});
    let mut told = toolbox.clone();
    told["public_ip_address"] = "CANARY".into();
    let counts = json!({"all": 9, "old": 1, "silent": 0, "failing": 1, "ready": 1});
    world.rpc(
        "get_fleet",
        json!({"outcome": "found", "wanted_version": "2.0.0", "found": 1, "counts": counts,
        "toolboxes": [told], "rollouts": []}),
    );
    let seen = world.ask("GET", "/fleet?show=old&search=a%40b&offset=50", None);
    assert_eq!(seen.status, 200, "{}", seen.text);
    assert_eq!(seen.body["toolboxes"], json!([toolbox]));
    assert!(!seen.text.contains("CANARY"));
    let asked = json!({"show": "old", "search": "a@b", "limit": 50, "offset": 50});
    assert_eq!(world.sent("get_fleet"), [asked]);
    for query in [
        "show=mine",
        "offset=-1",
        "offset=x",
        "offset=1000001",
        &format!("search={}", "x".repeat(256)),
    ] {
        let seen = world.ask("GET", &format!("/fleet?{query}"), None);
        assert_eq!(seen.refusal(), (400, "invalid_request"), "{query}");
    }
}

#[test]
fn a_rollout_of_the_fleet_names_its_operator_and_needs_a_version() {
    let world = World::new();
    let rollout = json!({"id": ROLLOUT, "version": "2.0.0", "wave_size": 1, "state": "running", "reason": null, "toolboxes": [],
        "created_at": "2026-01-01T00:00:00+00:00", "ended_at": null});
    world.rpc(
        "begin_rollout",
        json!({"outcome": "begun", "rollout": rollout}),
    );
    world.rpc(
        "get_agent_version",
        json!({"outcome": "found", "version": null}),
    );
    let none = json!({});
    let seen = world.ask("POST", "/rollouts", Some(&none));
    assert_eq!(seen.refusal(), (400, "invalid_request"), "{}", seen.text);
    for body in [
        json!({"version": "../1"}),
        json!({"version": "1", "waveSize": 11}),
        json!({"version": "1", "toolboxIds": []}),
        json!({"version": "1", "toolboxIds": ["box"]}),
    ] {
        let seen = world.ask("POST", "/rollouts", Some(&body));
        assert_eq!(seen.refusal(), (400, "invalid_request"), "{}", seen.text);
    }
    assert!(world.sent("begin_rollout").is_empty());
    world.rpc(
        "get_agent_version",
        json!({"outcome": "found", "version": "2.0.0"}),
    );
    let seen = world.ask("POST", "/rollouts", Some(&json!({"waveSize": 5})));
    assert_eq!(seen.status, 202, "{}", seen.text);
    let asked = json!({"user_id": USER, "version": "2.0.0", "wave_size": 5, "is_fleet": true, "toolbox_ids": null, "request_id": "req-1"});
    assert_eq!(world.sent("begin_rollout"), [asked]);
    for (outcome, refusal) in [
        ("not_found", (404, "toolbox_not_found")),
        ("in_progress", (409, "rollout_in_progress")),
    ] {
        world.rpc("begin_rollout", json!({"outcome": outcome}));
        assert_eq!(
            world.ask("POST", "/rollouts", Some(&none)).refusal(),
            refusal
        );
    }
    let read = format!("/rollouts/{ROLLOUT}");
    world.rpc("get_fleet_rollout", json!({"outcome": "not_found"}));
    let seen = world.ask("GET", &read, None);
    assert_eq!(seen.refusal(), (404, "rollout_not_found"));
    let counts =
        json!({"waiting": 0, "asked": 0, "healthy": 0, "failed": 0, "silent": 0, "removed": 0});
    let mut told = rollout;
    told["counts"] = counts;
    told["operator_id"] = USER.into();
    told["operator_email"] = Value::Null;
    world.rpc(
        "get_fleet_rollout",
        json!({"outcome": "found", "rollout": told}),
    );
    assert_eq!(world.ask("GET", &read, None).body, told);
    assert_eq!(
        world.sent("get_fleet_rollout"),
        [
            json!({"rollout_id": ROLLOUT}),
            json!({"rollout_id": ROLLOUT})
        ]
    );
    world.rpc("stop_rollout", json!({"outcome": "not_found"}));
    let stop = format!("/rollouts/{ROLLOUT}/stop");
    let seen = world.ask("POST", &stop, None);
    assert_eq!(seen.refusal(), (404, "rollout_not_found"));
    let asked =
        json!({"rollout_id": ROLLOUT, "user_id": USER, "is_fleet": true, "request_id": "req-1"});
    assert_eq!(world.sent("stop_rollout"), [asked]);
    world.rpc("set_agent_version", json!({"outcome": "set"}));
    for version in [json!("3.0.0"), json!(null)] {
        let body = json!({"version": version});
        assert_eq!(world.ask("PUT", "/agent-version", Some(&body)).status, 204);
        let asked = json!({"operator_id": USER, "request_id": "req-1", "version": version});
        assert_eq!(world.sent("set_agent_version").pop(), Some(asked));
    }
}

fn entry() -> Value {
    json!({"name": "Weather", "tool_name": "weather", "default_spec": {"image": "ghcr.io/x/weather:1", "transport": "stdio",
        "env": {"UNITS": "metric"}}, "required_secrets_schema": {"type": "object", "properties": {"KEY": {"type": "string"}},
        "required": ["KEY"]}})
}

#[test]
fn an_entry_is_written_when_it_can_be_deployed() {
    let world = World::new();
    world.rpc(
        "put_catalog_entry",
        json!({"outcome": "put", "is_new": true}),
    );
    let path = format!("/catalog/{ENTRY}");
    let seen = world.ask("PUT", &path, Some(&entry()));
    assert_eq!(seen.status, 201, "{}", seen.text);
    let asked = world.sent("put_catalog_entry").pop().unwrap();
    assert_eq!(asked["operator_id"], USER);
    assert_eq!(asked["catalog_id"], ENTRY);
    assert_eq!(asked["status"], "available");
    // The form that the table asks for.
    let value = json!({"key_id": null, "value": "metric"});
    assert_eq!(asked["default_spec"]["env"]["UNITS"], value);
    // Each deployment names the image.
    let mut any = entry();
    any["default_spec"] = json!({"transport": "stdio"});
    assert_eq!(world.ask("PUT", &path, Some(&any)).status, 201);
    let before = world.sent("put_catalog_entry").len();
    for (pointer, value, field) in [
        ("/name", json!(""), "name"),
        ("/name", json!("a\nb"), "name"),
        ("/tool_name", json!("Weather App"), "tool_name"),
        ("/tool_name", json!("weather-"), "tool_name"),
        (
            "/default_spec/image",
            json!("not an image"),
            "default_spec.image",
        ),
        ("/default_spec/env", json!({"A=B": "v"}), "default_spec.env"),
        (
            "/default_spec/env/UNITS",
            json!({"key_id": "k", "value": "v"}),
            "default_spec.env.UNITS",
        ),
        (
            "/default_spec/env",
            json!({"KEY": "v"}),
            "default_spec.env.KEY",
        ),
        (
            "/required_secrets_schema",
            json!({"type": "string"}),
            "required_secrets_schema",
        ),
        (
            "/required_secrets_schema/required",
            json!(["OTHER"]),
            "required_secrets_schema.required",
        ),
        (
            "/required_secrets_schema/properties",
            json!({"KEY": 1}),
            "required_secrets_schema.properties",
        ),
    ] {
        let mut body = entry();
        *body.pointer_mut(pointer).unwrap() = value;
        let seen = world.ask("PUT", &path, Some(&body));
        assert_eq!(
            seen.refusal(),
            (422, "validation_failed"),
            "{pointer}: {}",
            seen.text
        );
        let errors = seen.body["error"]["details"]["errors"].as_array().unwrap();
        let is_named = |error: &Value| error["field"].as_str().unwrap().starts_with(field);
        assert!(errors.iter().any(is_named), "{pointer}: {}", seen.text);
    }
    for (field, url) in [
        ("documentation_url", "http://x"),
        ("icon_url", "javascript:1"),
    ] {
        let mut body = entry();
        body[field] = url.into();
        let seen = world.ask("PUT", &path, Some(&body));
        assert_eq!(seen.refusal(), (422, "validation_failed"), "{}", seen.text);
    }
    let mut unknown = entry();
    unknown["default_spec"]["privileged"] = true.into();
    let seen = world.ask("PUT", &path, Some(&unknown));
    assert_eq!(seen.refusal(), (400, "invalid_json"), "{}", seen.text);
    assert_eq!(
        world.sent("put_catalog_entry").len(),
        before,
        "nothing was written"
    );
    for (outcome, code) in [
        ("name_taken", "name_taken"),
        ("changed_since", "state_changed"),
    ] {
        world.rpc("put_catalog_entry", json!({ "outcome": outcome }));
        let seen = world.ask("PUT", &path, Some(&entry()));
        assert_eq!(seen.refusal(), (409, code), "{}", seen.text);
    }
}

#[test]
fn what_tools_were_deployed_from_is_not_removed() {
    let world = World::new();
    let path = format!("/catalog/{ENTRY}");
    for (told, status, code) in [
        (json!({"outcome": "deleted"}), 204, ""),
        (
            json!({"outcome": "not_found"}),
            404,
            "catalog_tool_not_found",
        ),
        (
            json!({"outcome": "in_use", "tools": 3}),
            409,
            "illegal_state",
        ),
    ] {
        world.rpc("delete_catalog_entry", told);
        let seen = world.ask("DELETE", &path, None);
        assert_eq!((seen.status, seen.code()), (status, code), "{}", seen.text);
    }
    let seen = world.ask("DELETE", &path, None);
    assert!(seen.text.contains("3 tools"), "{}", seen.text);
}

#[test]
fn a_quota_is_within_bounds_and_of_a_user() {
    let world = World::new();
    world.rpc("set_quota", json!({"outcome": "set"}));
    let path = format!("/quotas/{USER}");
    for body in [json!({"toolboxes": 50, "monthly_usd": 0}), json!({})] {
        assert_eq!(world.ask("PUT", &path, Some(&body)).status, 204);
    }
    let asked = json!({"operator_id": USER, "request_id": "req-1", "user_id": USER, "toolboxes": 50, "monthly_usd": 0, "tools": null});
    assert_eq!(world.sent("set_quota")[0], asked);
    for body in [
        json!({"toolboxes": 10_001}),
        json!({"monthly_usd": 1_000_001}),
        json!({"tools": 10_001}),
    ] {
        let seen = world.ask("PUT", &path, Some(&body));
        assert_eq!(seen.refusal(), (422, "validation_failed"), "{}", seen.text);
    }
    for body in [json!({"toolboxes": -1}), json!({"toolbox": 1})] {
        let seen = world.ask("PUT", &path, Some(&body));
        assert_eq!(seen.refusal(), (400, "invalid_json"), "{}", seen.text);
    }
    world.rpc("set_quota", json!({"outcome": "not_found"}));
    let seen = world.ask("PUT", &path, Some(&json!({})));
    assert_eq!(seen.refusal(), (400, "invalid_request"));
    let used = json!({"toolboxes": 1, "monthly_usd": 6});
    world.rpc(
        "list_quotas",
        json!({"outcome": "found", "found": 1, "users": [{"id": USER, "email": null, "used": used,
        "quota": {"toolboxes": 2, "monthly_usd": null, "tools": null}}]}),
    );
    let seen = world.ask("GET", "/quotas?search=x", None);
    let everybody = json!({"toolboxes": 3, "monthly_usd": 200, "tools": 100});
    assert_eq!(seen.body["everybody"], everybody, "{}", seen.text);
    assert_eq!(
        (seen.status, &seen.body["users"][0]["quota"]["toolboxes"]),
        (200, &json!(2)),
        "{}",
        seen.text
    );
    world.rpc("get_catalog", json!({"outcome": "found", "entries": []}));
    assert_eq!(
        world.ask("GET", "/catalog", None).body,
        json!({"entries": []})
    );
}
