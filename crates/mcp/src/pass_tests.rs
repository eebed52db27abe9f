use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use toolbox_api::mcp_access::{CALLER_HEADER, McpCaller};
use toolbox_domain::retry::Fault;
use toolbox_edge::recorded::{Function, Seen, program_token, user_token};
use toolbox_http::recorded::{JumpingClock, Recorded, lock};
use toolbox_http::{Headers, Request, Response, TransportError};

use crate::FUNCTION;

const INSTANCE: &str = "22222222-2222-4222-8222-222222222222";
const TOOLBOX: &str = "11111111-1111-4111-8111-111111111111";
const USER: &str = "33333333-3333-4333-8333-333333333333";
const NOW: u64 = 1_767_225_600;

/// What the database and the agent answer.
struct Behind {
    found: Value,
    agent: Result<Response, TransportError>,
}

struct World {
    function: Function,
    behind: Arc<Mutex<Behind>>,
    transport: Arc<Recorded>,
}

fn response(status: u16, kind: &str, body: &str) -> Response {
    let mut response = Response::new(status, body.as_bytes().to_vec());
    response.headers.set("content-type", kind);
    response.headers.set("mcp-session-id", "s1");
    response.headers.set("set-cookie", "SECRET");
    response
}

fn access() -> Value {
    json!({
        "outcome": "access", "who": "access:1", "allowed_tools": ["a"], "read_only": false,
        "instance": {"id": INSTANCE, "status": "running", "desired": "running", "transport": "stdio"},
        "toolbox": {"id": TOOLBOX, "status": "active", "public_ip_address": "127.0.0.1", "dtma_port": 30000,
            "dtma_certificate_pem": null, "dtma_key_id": null, "instances_confirmed_at": null,
            "unresponsive_since": "2026-01-01T00:00:00Z", "dtma_api_version": 6, "dtma_last_known_version": "1"}
    })
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(JumpingClock::new(Duration::from_secs(NOW)));
        let transport = Arc::new(Recorded::new());
        let behind = Arc::new(Mutex::new(Behind {
            found: access(),
            agent: Ok(response(200, "application/json", "{}")),
        }));
        let shared = Arc::clone(&behind);
        transport.on(move |request: &Request| {
            let behind = lock(&shared);
            Some(if request.url.contains("/rpc/find_mcp_") {
                let body = behind.found.to_string();
                Ok(response(200, "application/json", &body))
            } else {
                behind.agent.clone()
            })
        });
        let variables = [
            ("SUPABASE_JWT_SECRET", "secret"),
            ("TOOLBOX_SITE_URL", "https://console.example/"),
        ];
        let function = Function::new(&FUNCTION, &variables, Arc::clone(&transport), clock);
        Self {
            function,
            behind,
            transport,
        }
    }

    fn ask(
        &self,
        method: &str,
        authorization: Option<&str>,
        more: &[(&'static str, &str)],
    ) -> Seen {
        let mut headers = Headers::default();
        if let Some(authorization) = authorization {
            headers.set("authorization", authorization);
        }
        for (name, value) in more {
            headers.set(name, *value);
        }
        let seen = self
            .function
            .ask(method, &format!("/{INSTANCE}"), headers, b"");
        assert!(!seen.text.contains("SECRET"), "{}", seen.text);
        seen
    }

    fn find(&self, found: Value) {
        lock(&self.behind).found = found;
    }

    fn answer(&self, answer: Result<Response, TransportError>) {
        lock(&self.behind).agent = answer;
    }
}

fn token() -> String {
    format!("Bearer tbx_{}", "5a".repeat(32))
}

fn code(seen: &Seen) -> (u16, &str) {
    assert_eq!(seen.body["jsonrpc"], "2.0", "{}", seen.text);
    let code = seen.body["error"]["data"]["code"].as_str();
    (seen.status, code.unwrap_or_default())
}

#[test]
fn a_request_passes_with_the_protocols_headers_and_nobodys_credentials() {
    let world = World::new();
    world.answer(Ok(response(200, "text/event-stream", "data: {}\n\n")));
    let seen = world.ask(
        "POST",
        Some(&token()),
        &[
            ("accept", "application/json, text/event-stream"),
            ("content-type", "application/json"),
            ("mcp-session-id", "s1"),
            ("mcp-param-x", "y"),
            ("apikey", "SECRET"),
            ("user-agent", "client/1\u{7}"),
        ],
    );
    assert_eq!((seen.status, &*seen.text), (200, "data: {}\n\n"));
    assert_eq!(seen.headers.get("mcp-session-id"), Some("s1"));
    assert_eq!(seen.headers.get("set-cookie"), None);
    let sent = world.transport.sent();
    let [query, call] = &sent[..] else {
        panic!("one query and one call, not {}", sent.len())
    };
    let asked: Value = serde_json::from_slice(&query.request.body).unwrap();
    assert_eq!(asked["p"]["client_name"], "client/1");
    assert_eq!(asked["p"]["token_hash"].as_str().unwrap().len(), 64);
    assert!(!asked.to_string().contains("5a5a"), "only the hash is sent");
    let request = &call.request;
    assert_eq!(
        request.url,
        format!("http://127.0.0.1:30000/v1/mcp/{INSTANCE}")
    );
    let headers = &request.headers;
    for (name, value) in [
        ("accept", "application/json, text/event-stream"),
        ("mcp-session-id", "s1"),
        ("mcp-param-x", "y"),
    ] {
        assert_eq!(headers.get(name), Some(value));
    }
    for name in ["apikey", "user-agent"] {
        assert_eq!(headers.get(name), None, "{name}");
    }
    assert!(
        headers
            .get("authorization")
            .unwrap()
            .starts_with("Bearer tbk_")
    );
    let caller = McpCaller::from_header(headers.get(CALLER_HEADER).unwrap()).unwrap();
    assert_eq!(caller.tools, Some(vec!["a".to_owned()]));
    assert_eq!((&*caller.who, caller.limits), ("access:1", vec![]));
}

#[test]
fn the_url_of_a_toolbox_opens_what_was_granted() {
    let world = World::new();
    let grants = json!([{"instances": [INSTANCE], "tools": ["a"], "read_only": true}]);
    let mut found = access();
    found["grants"] = grants.clone();
    let limits =
        json!([{"access": INSTANCE, "requests_per_minute": 3, "concurrent_requests": null}]);
    found["limits"] = limits.clone();
    world.find(found);
    let ask = |path: &str| {
        let mut headers = Headers::default();
        headers.set("authorization", token());
        world.function.ask("POST", path, headers, b"")
    };
    let path = format!("/toolbox/{TOOLBOX}");
    assert_eq!(ask(&path).status, 200);
    let sent = world.transport.sent();
    let [query, call] = &sent[..] else {
        panic!("one query and one call, not {}", sent.len())
    };
    let asked: Value = serde_json::from_slice(&query.request.body).unwrap();
    assert_eq!(asked["p"]["toolbox_id"], TOOLBOX);
    assert_eq!(call.request.url, "http://127.0.0.1:30000/v1/mcp");
    let header = call.request.headers.get(CALLER_HEADER).unwrap();
    let caller = McpCaller::from_header(header).unwrap();
    assert_eq!(serde_json::to_value(&caller.grants).unwrap(), grants);
    assert_eq!(serde_json::to_value(&caller.limits).unwrap(), limits);
    // Were it taken for the caller of one server, nothing would be open.
    assert_eq!((caller.tools, caller.read_only), (Some(vec![]), true));
    for (outcome, refusal) in [
        ("token_unknown", (401, "invalid_token")),
        ("token_expired", (401, "invalid_token")),
        ("no_access", (403, "forbidden")),
    ] {
        world.find(json!({ "outcome": outcome }));
        assert_eq!(code(&ask(&path)), refusal, "{outcome}");
    }
    assert_eq!(code(&ask("/toolbox/x")), (400, "invalid_request"));
}

#[test]
fn a_caller_cannot_say_who_they_are() {
    let world = World::new();
    let forged = [("x-toolbox-mcp-caller", "x"), ("mcp-method", "ping")];
    world.ask("POST", Some(&token()), &forged);
    let sent = world.transport.sent();
    let header = sent[1].request.headers.get(CALLER_HEADER).unwrap();
    assert!(McpCaller::from_header(header).is_some());
}

#[test]
fn who_may_not_is_refused_before_the_machine_is_asked() {
    let world = World::new();
    for (outcome, refusal) in [
        ("token_unknown", (401, "invalid_token")),
        ("token_expired", (401, "invalid_token")),
        ("no_access", (403, "forbidden")),
    ] {
        world.find(json!({ "outcome": outcome }));
        let seen = world.ask("POST", Some(&token()), &[]);
        assert_eq!(code(&seen), refusal, "{outcome}");
        let challenge = seen.headers.get("www-authenticate");
        assert_eq!(challenge.is_some(), refusal.0 == 401);
    }
    let asked = world.transport.sent().len();
    for authorization in [
        None,
        Some("Bearer"),
        Some("Basic x"),
        Some("Bearer tbx_5a"),
        Some("Bearer x.y.z"),
        Some("Bearer sb_secret_x"),
    ] {
        let seen = world.ask("POST", authorization, &[]);
        assert_eq!(seen.status, 401, "{authorization:?}");
        assert!(
            seen.headers
                .get("www-authenticate")
                .unwrap()
                .starts_with("Bearer")
        );
    }
    assert_eq!(world.transport.sent().len(), asked, "nothing was looked up");
    let seen = world.function.ask("POST", "/x", Headers::default(), b"");
    assert_eq!(code(&seen), (400, "invalid_request"));
    let seen = world
        .function
        .ask("PUT", &format!("/{INSTANCE}"), Headers::default(), b"");
    assert_eq!(seen.refusal(), (405, "method_not_allowed"));
}

#[test]
fn a_signed_in_user_is_looked_up_by_id() {
    let world = World::new();
    let bearer = format!("Bearer {}", user_token(USER, NOW + 3600));
    assert_eq!(world.ask("GET", Some(&bearer), &[]).status, 200);
    let asked: Value = serde_json::from_slice(&world.transport.sent()[0].request.body).unwrap();
    assert_eq!(
        (&asked["p"]["user_id"], &asked["p"]["client_id"]),
        (&json!(USER), &json!(null))
    );
}

#[test]
fn a_failure_is_an_error_that_a_model_can_read() {
    let world = World::new();
    let problem = |code: &str, status| {
        let body = json!({"type": "x", "title": "x", "status": status, "detail": "SECRET", "code": code, "retryable": true});
        Ok(response(
            status,
            "application/problem+json",
            &body.to_string(),
        ))
    };
    for (agent, refusal) in [
        (
            Err(TransportError::new(Fault::Refused, "SECRET")),
            (503, "agent_unreachable"),
        ),
        (
            Err(TransportError::new(Fault::Timeout, "SECRET")),
            (504, "agent_timeout"),
        ),
        (
            Err(TransportError::new(Fault::Tls, "SECRET")),
            (502, "agent_certificate_invalid"),
        ),
        (problem("unauthorized", 401), (502, "agent_unauthorized")),
        (problem("route_unknown", 404), (502, "agent_too_old")),
        // A field of the caller that it does not know.
        (problem("invalid_body", 400), (502, "agent_too_old")),
        (problem("instance_unknown", 404), (503, "agent_unreachable")),
        (problem("shutting_down", 503), (503, "agent_unreachable")),
        (
            Ok(response(401, "text/plain", "SECRET")),
            (502, "agent_failed"),
        ),
    ] {
        world.answer(agent);
        let seen = world.ask("POST", Some(&token()), &[]);
        assert_eq!(code(&seen), refusal, "{}", seen.text);
        assert!(seen.body["error"]["message"].as_str().unwrap().len() > 20);
        assert_eq!(seen.headers.get("retry-after").is_some(), refusal.0 == 503);
    }
    // What the server itself says passes.
    world.answer(Ok(response(
        503,
        "application/json",
        "{\"jsonrpc\":\"2.0\"}",
    )));
    let seen = world.ask("POST", Some(&token()), &[]);
    assert_eq!((seen.status, &*seen.text), (503, "{\"jsonrpc\":\"2.0\"}"));
    let mut no_server = access();
    no_server["instance"]["transport"] = Value::Null;
    world.find(no_server);
    assert_eq!(
        code(&world.ask("POST", Some(&token()), &[])),
        (409, "illegal_state")
    );
}

#[test]
fn browsers_may_ask_and_read_the_session() {
    let world = World::new();
    let seen = world.ask(
        "OPTIONS",
        None,
        &[("access-control-request-headers", "mcp-protocol-version")],
    );
    assert_eq!(seen.status, 204);
    let allowed = seen.headers.get("access-control-allow-headers");
    assert_eq!(allowed, Some("mcp-protocol-version"));
    let seen = world.ask("POST", None, &[("origin", "https://app.example")]);
    assert_eq!(seen.headers.get("access-control-allow-origin"), Some("*"));
    let exposed = seen.headers.get("access-control-expose-headers").unwrap();
    assert!(exposed.contains("mcp-session-id") && exposed.contains("www-authenticate"));
}

/// As a gateway in front of the function says it.
const FORWARDED: [(&str, &str); 2] = [
    ("x-forwarded-host", "tools.example"),
    ("x-forwarded-proto", "https"),
];

#[test]
fn who_has_no_token_is_told_where_to_sign_in() {
    let world = World::new();
    let base = "https://tools.example/functions/v1/mcp";
    for path in [
        format!("/{INSTANCE}"),
        format!("/{INSTANCE}/"),
        format!("/{}", INSTANCE.to_uppercase()),
    ] {
        let mut headers = Headers::default();
        for (name, value) in FORWARDED {
            headers.set(name, value);
        }
        let seen = world.function.ask(
            "POST",
            &path,
            headers.clone(),
            b"{\"method\":\"initialize\"}",
        );
        assert_eq!(seen.status, 401);
        let challenge = seen.headers.get("www-authenticate").unwrap();
        let slash = if path.ends_with('/') { "/" } else { "" };
        let plain = path.trim_end_matches('/');
        let at = format!("{plain}/oauth-protected-resource{slash}");
        assert_eq!(
            challenge,
            format!("Bearer resource_metadata=\"{base}{at}\"")
        );
        let well_known = format!("{plain}/.well-known/oauth-protected-resource{slash}");
        let inserted = format!("/.well-known/oauth-protected-resource{path}");
        for at in [at, well_known, inserted] {
            let seen = world.function.ask("GET", &at, headers.clone(), b"");
            assert_eq!(seen.status, 200, "{at}: {}", seen.text);
            assert_eq!(seen.body["resource"], format!("{base}{path}"), "{at}");
            assert_eq!(
                seen.body["authorization_servers"],
                json!(["https://tools.example/auth/v1"])
            );
            assert_eq!(seen.headers.get("access-control-allow-origin"), Some("*"));
        }
    }
    let seen = world.function.ask(
        "GET",
        &format!("/toolbox/{TOOLBOX}/oauth-protected-resource"),
        Headers::default(),
        b"",
    );
    let resource = format!("http://supabase/functions/v1/mcp/toolbox/{TOOLBOX}");
    assert_eq!(seen.body["resource"], resource, "without a gateway");
    assert!(world.transport.sent().is_empty(), "nothing was looked up");
}

#[test]
fn a_program_is_told_where_its_user_lets_it_in() {
    let world = World::new();
    let token = program_token(USER, "chat app", NOW + 3600);
    let bearer = format!("Bearer {token}");
    world.find(json!({ "outcome": "no_access" }));
    let seen = world.ask("POST", Some(&bearer), &FORWARDED);
    assert_eq!(code(&seen), (403, "mcp_grant_required"));
    let page =
        format!("https://console.example/oauth/grant?client_id=chat%20app&server={INSTANCE}");
    assert_eq!(seen.body["error"]["data"]["grant_url"], page);
    let message = seen.body["error"]["message"].as_str().unwrap();
    assert!(message.contains(&page), "{message}");
    assert_eq!(seen.headers.get("www-authenticate"), None);
    world.find(access());
    assert_eq!(world.ask("POST", Some(&bearer), &[]).status, 200);
    let sent = world.transport.sent();
    let asked: Value = serde_json::from_slice(&sent[0].request.body).unwrap();
    assert_eq!(asked["p"]["client_id"], "chat app");
}

#[test]
fn pins_are_told_to_the_agent_and_one_that_cannot_compare_lets_nobody_in() {
    let world = World::new();
    let told = || {
        let sent = world.transport.sent();
        let headers = &sent.last().unwrap().request.headers;
        McpCaller::from_header(headers.get(CALLER_HEADER).unwrap()).unwrap()
    };
    assert_eq!(world.ask("POST", Some(&token()), &[]).status, 200);
    assert!(told().pins.is_empty());
    let mut found = access();
    found["pins"] = json!({INSTANCE: "ab".repeat(32)});
    world.find(found);
    assert_eq!(world.ask("POST", Some(&token()), &[]).status, 200);
    assert_eq!(
        told().pins.get(&INSTANCE.parse().unwrap()),
        Some(&"ab".repeat(32))
    );
    let refusal = json!({"type": "urn:toolbox:problem:invalid_body", "title": "t", "status": 400, "detail": "d",
        "code": "invalid_body", "retryable": false});
    world.answer(Ok(response(
        400,
        "application/problem+json",
        &refusal.to_string(),
    )));
    let seen = world.ask("POST", Some(&token()), &[]);
    assert_eq!(code(&seen), (502, "agent_too_old"));
    assert!(seen.text.contains("pinned"), "{}", seen.text);
    world.find(access());
    let seen = world.ask("POST", Some(&token()), &[]);
    assert_eq!(code(&seen), (502, "agent_too_old"));
    assert!(!seen.text.contains("pinned"), "{}", seen.text);
}
