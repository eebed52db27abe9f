use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use toolbox_domain::retry::Fault;
use toolbox_edge::recorded::{Function, Seen, assert_documented, assert_published, user_token};
use toolbox_http::Headers;
use toolbox_http::recorded::{JumpingClock, Recorded};
use toolbox_instances::testing::{Answer, NOW, TOOLBOX, USER, answer, fault};

use crate::FUNCTION;

const AGENT: &str = "55555555-5555-4555-8555-555555555555";

struct World {
    transport: Arc<Recorded>,
    function: Function,
}

impl World {
    fn with(variables: &[(&str, &str)]) -> Self {
        let clock = Arc::new(JumpingClock::new(Duration::from_secs(NOW)));
        let transport = Arc::new(Recorded::new().with_clock(Arc::clone(&clock)));
        let mut all = variables.to_vec();
        all.push(("SUPABASE_JWT_SECRET", "secret"));
        all.push(("TOOLBOX_RELEASE_URL", "https://r.example"));
        let function = Function::new(&FUNCTION, &all, Arc::clone(&transport), clock);
        let world = Self {
            transport,
            function,
        };
        world.agent(None);
        world
    }

    /// The agent that the caller has, and its toolbox.
    fn agent(&self, toolbox: Option<&str>) {
        let row = json!({"id": AGENT, "user_id": USER, "name": "helper", "account_tool_environment_id": toolbox});
        self.get("/agents?", json!([row]));
    }

    /// The caller has no such agent.
    fn no_agent(&self) {
        self.get("/agents?", json!([]));
    }

    fn toolbox(&self, status: &str, step: Option<&str>) {
        self.get("/account_tool_environments?", json!([{
            "id": TOOLBOX, "kind": "droplet", "name": "helper", "description": null, "status": status,
            "status_changed_at": "2025-12-31T23:59:00+00:00", "region_slug": "nyc3", "size_slug": "small", "image_slug": "debian",
            "do_droplet_id": 7, "do_droplet_name": "helper-7", "public_ip_address": "8.8.8.8", "dtma_port": 30000,
            "dtma_certificate_pem": null, "dtma_key_id": null, "instances_confirmed_at": null, "unresponsive_since": null,
            "dtma_api_version": 2, "dtma_last_known_version": "0.1.0", "last_heartbeat_at": null,
            "provisioning_error_message": (status == "error_provisioning").then_some("No such size"),
            "provisioning_step": step, "provisioning_step_since": step.map(|_| "2025-12-31T23:59:30+00:00"),
            "provisioning_problem": null, "wanted_size_slug": null, "price_hourly_usd": 0.01, "price_monthly_usd": 6,
            "price_since": null, "cost_before_usd": 0, "created_at": "2025-12-31T00:00:00+00:00",
            "updated_at": "2025-12-31T00:00:00+00:00"}]));
    }

    fn get(&self, table: &'static str, rows: Value) {
        self.transport
            .on(move |request| request.url.contains(table).then(|| answer(200, &rows)));
    }

    fn rpc(&self, name: &'static str, body: Value) {
        self.transport.on(move |request| {
            let calls = request.url.ends_with(&format!("/rpc/{name}"));
            calls.then(|| answer(200, &body))
        });
    }

    fn backend(&self, told: Answer) {
        self.transport.on(move |request| {
            let asks = request.url.starts_with("http://backend/");
            asks.then(|| told.clone())
        });
    }

    fn sent(&self, end: &str) -> Vec<Value> {
        let calls = self.transport.sent();
        let calls = calls.iter().filter(|call| call.request.url.ends_with(end));
        calls
            .map(|call| serde_json::from_slice::<Value>(&call.request.body).unwrap()["p"].clone())
            .collect()
    }

    fn ask(&self, method: &str, path: &str) -> Seen {
        let mut headers = Headers::default();
        let token = user_token(USER, NOW + 3600);
        headers.set("authorization", format!("Bearer {token}"));
        headers.set("x-request-id", "req-1");
        let seen = self.function.ask(method, path, headers, b"");
        let document = include_str!("../../../docs/api/manage-agent-tool-environment.openapi.json");
        let document = serde_json::from_str(document).unwrap();
        assert_documented(&FUNCTION, &document, method, path, &seen);
        seen
    }
}

fn path() -> String {
    format!("/{AGENT}")
}

/// A project that buys machines.
fn shop() -> World {
    let world = World::with(&[
        ("DO_API_TOKEN", "dop_CANARY"),
        ("DO_DEFAULT_REGION", "nyc3"),
        ("DO_DEFAULT_SIZE", "small"),
    ]);
    let sizes = json!({"sizes": [{"slug": "small", "memory": 1024, "vcpus": 1, "disk": 25, "transfer": 1.0,
        "price_monthly": 6.0, "price_hourly": 0.01, "regions": ["nyc3"], "available": true, "description": "Basic"}],
        "links": {}, "meta": {"total": 1}});
    world.transport.on(move |request| {
        let sizes_asked = request
            .url
            .starts_with("https://api.digitalocean.com/v2/sizes");
        sizes_asked.then(|| answer(200, &sizes))
    });
    world.rpc(
        "order_toolbox",
        json!({"outcome": "ordered", "id": TOOLBOX, "is_new": true}),
    );
    world.rpc("set_agent_toolbox", json!({"outcome": "set"}));
    world.rpc("ask_toolbox", json!({"outcome": "accepted"}));
    world.rpc("get_provider_list", json!({"outcome": "due"}));
    world.rpc("put_provider_list", json!({"outcome": "kept"}));
    // Somebody else takes the steps.
    world.rpc(
        "lease_toolboxes",
        json!({"outcome": "leased", "toolboxes": []}),
    );
    world.toolbox("provisioning", Some("boot"));
    world
}

#[test]
fn the_published_document_has_exactly_these_routes() {
    let document = include_str!("../../../docs/api/manage-agent-tool-environment.openapi.json");
    assert_published(&FUNCTION, document);
}

#[test]
fn an_agent_without_one_gets_a_machine_once() {
    let world = shop();
    let seen = world.ask("POST", &path());
    assert_eq!(seen.status, 202, "{}", seen.text);
    assert_eq!(seen.body["success"], true);
    let data = &seen.body["data"];
    assert_eq!(
        (&data["agent_id"], &data["droplet_id"]),
        (&json!(AGENT), &json!(7))
    );
    assert_eq!(
        (&data["status"], &data["ip_address"]),
        (&json!("provisioning"), &json!("8.8.8.8"))
    );
    assert_eq!(data["progress"]["percent"], 35);
    let ordered = &world.sent("/rpc/order_toolbox")[0];
    assert_eq!(ordered["order_key"], format!("agent-{AGENT}"));
    assert_eq!(
        world.sent("/rpc/set_agent_toolbox"),
        [json!({"agent_id": AGENT, "toolbox_id": TOOLBOX})]
    );
    // It has one now.
    world.agent(Some(TOOLBOX));
    world.toolbox("active", None);
    let seen = world.ask("POST", &path());
    assert_eq!(seen.status, 200, "{}", seen.text);
    assert_eq!(world.sent("/rpc/order_toolbox").len(), 1);
    assert!(!seen.text.contains("CANARY"));
}

#[test]
fn another_who_asks_at_the_same_time_gets_the_same_one() {
    let world = shop();
    world.rpc("set_agent_toolbox", json!({"outcome": "changed"}));
    let seen = world.ask("POST", &path());
    assert_eq!(
        seen.refusal(),
        (409, "state_changed"),
        "it has another one by now"
    );
    // The other one had the same order.
    let asked = std::sync::atomic::AtomicUsize::new(0);
    world.transport.on(move |request| {
        request.url.contains("/agents?").then(|| {
            let toolbox = (asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) > 0).then_some(TOOLBOX);
            answer(200, &json!([{"id": AGENT, "user_id": USER, "name": "helper", "account_tool_environment_id": toolbox}]))
        })
    });
    let seen = world.ask("POST", &path());
    assert_eq!(seen.status, 202, "{}", seen.text);
}

#[test]
fn what_failed_is_tried_again_and_what_leaves_is_not_asked_for() {
    let world = shop();
    world.agent(Some(TOOLBOX));
    world.toolbox("error_provisioning", None);
    let seen = world.ask("POST", &path());
    assert_eq!(seen.refusal(), (502, "provisioning_failed"));
    assert!(seen.text.contains("No such size"), "{}", seen.text);
    assert_eq!(world.sent("/rpc/ask_toolbox")[0]["change"], "retry");
    world.toolbox("deprovisioning", Some("remove_machine"));
    let seen = world.ask("POST", &path());
    assert_eq!(seen.refusal(), (409, "illegal_state"));
}

#[test]
fn it_is_read_and_removed() {
    let world = shop();
    let seen = world.ask("GET", &path());
    assert_eq!((seen.status, &seen.body["data"]), (200, &Value::Null));
    let seen = world.ask("DELETE", &path());
    assert_eq!(seen.status, 200, "there is none: {}", seen.text);
    world.agent(Some(TOOLBOX));
    let seen = world.ask("GET", &path());
    assert_eq!(seen.body["data"]["toolbox_id"], TOOLBOX);
    let seen = world.ask("DELETE", &path());
    assert_eq!((seen.status, &seen.body["success"]), (202, &json!(true)));
    let asked = world.sent("/rpc/ask_toolbox").pop().unwrap();
    assert_eq!(
        (&asked["change"], &asked["user_id"]),
        (&json!("deprovision"), &json!(USER))
    );
}

#[test]
fn what_is_no_agent_of_the_callers_does_not_exist() {
    let world = shop();
    world.no_agent();
    for method in ["GET", "POST", "DELETE"] {
        assert_eq!(
            world.ask(method, &path()).refusal(),
            (404, "agent_not_found")
        );
        assert_eq!(
            world.ask(method, "/mine").refusal(),
            (400, "invalid_request")
        );
        let seen = world.ask(method, "/");
        assert_eq!(seen.refusal(), (400, "invalid_request"));
        assert!(seen.text.contains("Agent ID is missing in the path"));
    }
    assert_eq!(world.ask("PUT", &path()).status, 405);
    let calls = world.transport.sent();
    assert!(calls.iter().all(|call| !call.request.url.contains("/rpc/")));
}

#[test]
fn a_backend_does_the_work_where_there_is_one() {
    let variables = [
        ("NODE_BACKEND_URL", "http://backend/"),
        ("INTERNAL_API_SECRET", "SECRET"),
    ];
    let world = World::with(&variables);
    for (method, status, path_of) in [
        ("POST", 202, "/ensure-tool-environment"),
        ("DELETE", 200, "/tool-environment"),
    ] {
        world.backend(answer(status, &json!({"success": true, "message": "x"})));
        let seen = world.ask(method, &path());
        assert_eq!((seen.status, &seen.body["message"]), (status, &json!("x")));
        let sent = world.transport.sent().pop().unwrap();
        assert_eq!(
            sent.request.url,
            format!("http://backend/internal/agents/{AGENT}{path_of}")
        );
        assert_eq!(
            sent.request.headers.get("x-internal-api-secret"),
            Some("SECRET")
        );
    }
    world.backend(answer(500, &json!({"success": false, "error": "why"})));
    let seen = world.ask("POST", &path());
    assert_eq!((seen.status, &seen.body["error"]), (500, &json!("why")));
    world.backend(fault(Fault::Timeout));
    assert_eq!(
        world.ask("POST", &path()).refusal(),
        (504, "backend_timeout")
    );
    world.backend(answer(403, &json!({"error": "Forbidden"})));
    assert_eq!(
        world.ask("POST", &path()).refusal(),
        (502, "backend_bad_response")
    );
    // A stranger's agent is not asked for.
    let before = world.transport.sent().len();
    world.no_agent();
    assert_eq!(
        world.ask("POST", &path()).refusal(),
        (404, "agent_not_found")
    );
    assert_eq!(world.transport.sent().len(), before + 1);
    let world = World::with(&variables[..1]);
    let seen = world.ask("POST", &path());
    assert_eq!(seen.refusal(), (500, "not_configured"));
    assert!(
        seen.text
            .contains("Internal service communication not configured.")
    );
}

#[test]
fn without_the_means_to_buy_the_answer_says_what_is_to_be_set() {
    let seen = World::with(&[]).ask("POST", &path());
    assert_eq!(seen.refusal(), (500, "not_configured"));
    assert!(seen.text.contains("DO_API_TOKEN"), "{}", seen.text);
}
