use serde_json::{Value, json};
use toolbox_domain::retry::Fault;
use toolbox_edge::recorded::assert_published;
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
    assert_published(&FUNCTION, document);
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
        ("kind", json!(null)),
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
    world.rpc(
        "create_own_toolbox",
        json!({"outcome": "quota_exceeded", "most": 3}),
    );
    let body = json!({"kind": "byo", "name": "x", "address": "10.0.0.1"});
    let seen = world.ask("POST", "/", Some(body));
    assert_eq!(seen.refusal(), (429, "quota_exceeded"));
    assert!(seen.text.contains("You have 3 toolboxes"), "{}", seen.text);
    assert_eq!(world.sent("/rpc/create_own_toolbox")[0]["max_toolboxes"], 3);
}

#[test]
fn users_learn_how_much_they_may_have_and_what_was_set_for_them_counts() {
    let world = World::with(&[
        ("TOOLBOX_MAX_TOOLBOXES", "3"),
        ("TOOLBOX_MAX_USER_PRICE", "40"),
        ("TOOLBOX_MAX_INSTANCES", "7"),
    ]);
    let quota = json!({"limits": {"toolboxes": 5, "monthly_usd": 40, "tools": 7}, "used": {"toolboxes": 2, "monthly_usd": 12.5}});
    let mut told = quota.clone();
    told["outcome"] = "found".into();
    world.rpc("get_quota", told);
    let seen = world.ask("GET", "/quota", None);
    assert_eq!((seen.status, &seen.body), (200, &quota), "{}", seen.text);
    let asked = json!({"user_id": USER, "max_toolboxes": 3, "max_monthly_usd": 40, "max_tools": 7});
    assert_eq!(world.sent("/rpc/get_quota"), [asked]);
    // An operator set more or less for this user than for all: the number that counts is told.
    world.rpc(
        "create_own_toolbox",
        json!({"outcome": "quota_exceeded", "most": 1}),
    );
    let seen = world.ask("POST", "/", Some(json!({"kind": "byo", "name": "x"})));
    assert_eq!(seen.refusal(), (429, "quota_exceeded"));
    assert!(seen.text.contains("You have 1 toolboxes"), "{}", seen.text);
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

const MACHINES: &[(&str, &str)] = &[
    ("DO_API_TOKEN", "dop_CANARY"),
    ("DO_DEFAULT_REGION", "nyc3"),
];

/// A project that buys machines: one size, in one region.
fn shop() -> World {
    let world = World::with(MACHINES);
    let size = |slug: &str, available: bool, price: f64| {
        json!({"slug": slug, "memory": 1024, "vcpus": 1, "disk": 25, "transfer": 1.0, "price_monthly": price,
            "price_hourly": price / 672.0, "regions": ["nyc3"], "available": available, "description": "Basic"})
    };
    let sizes = json!({"sizes": [size("large", true, 12.0), size("small", true, 6.0), size("gone", false, 1.0)],
        "links": {}, "meta": {"total": 3}});
    let regions = json!({"regions": [{"slug": "nyc3", "name": "New York 3", "available": true, "sizes": ["small"], "features": []},
        {"slug": "old1", "name": "Old 1", "available": false, "sizes": [], "features": []}], "links": {}, "meta": {"total": 2}});
    world.transport.on(move |request| {
        let path = request
            .url
            .strip_prefix("https://api.digitalocean.com/v2/")?;
        Some(match path.split('?').next()? {
            "sizes" => answer(200, &sizes),
            "regions" => answer(200, &regions),
            other => panic!("{other} is not asked for"),
        })
    });
    world.rpc(
        "order_toolbox",
        json!({"outcome": "ordered", "id": TOOLBOX, "is_new": true}),
    );
    world.rpc("ask_toolbox", json!({"outcome": "accepted"}));
    world.rpc("get_provider_list", json!({"outcome": "due"}));
    world.rpc("put_provider_list", json!({"outcome": "kept"}));
    // Somebody else takes the steps.
    world.rpc(
        "lease_toolboxes",
        json!({"outcome": "leased", "toolboxes": []}),
    );
    world.rows(json!([bought("provisioning", Some("boot"))]));
    world
}

fn bought(status: &str, step: Option<&str>) -> Value {
    let mut row = row();
    for (name, value) in [
        ("kind", json!("droplet")),
        ("status", json!(status)),
        ("provisioning_step", json!(step)),
        (
            "provisioning_step_since",
            json!(step.map(|_| "2025-12-31T23:59:00+00:00")),
        ),
        ("region_slug", json!("nyc3")),
        ("size_slug", json!("small")),
        ("image_slug", json!("debian-12-x64")),
        ("do_droplet_id", json!(7)),
        ("price_hourly_usd", json!(0.01)),
        ("price_monthly_usd", json!(6)),
        ("price_since", json!("2025-12-31T14:00:00+00:00")),
        ("cost_before_usd", json!(1.5)),
    ] {
        row[name] = value;
    }
    if status == "provisioning" {
        row["last_heartbeat_at"] = Value::Null;
    }
    row
}

#[test]
fn a_machine_is_ordered_with_its_price_and_shown_on_its_way() {
    let world = shop();
    // As the predecessor's callers send it.
    let body = json!({"name": "my box", "regionSlug": "nyc3", "sizeSlug": "small"});
    let seen = world.ask("POST", "/", Some(body));
    assert_eq!(seen.status, 202, "{}", seen.text);
    let asked = &world.sent("/rpc/order_toolbox")[0];
    assert_eq!(
        (&asked["user_id"], &asked["size_slug"]),
        (&json!(USER), &json!("small"))
    );
    assert_eq!(asked["price_monthly_usd"], 6.0);
    let progress = &seen.body["progress"];
    assert_eq!(
        (&progress["step"], &progress["percent"]),
        (&json!("boot"), &json!(35))
    );
    assert_eq!(progress["age_seconds"], 60);
    assert!(progress["next"].is_string());
    assert_eq!(
        seen.body["cost"],
        json!({"so_far_usd": 1.6, "per_hour_usd": 0.01, "per_month_usd": 6.0})
    );
    assert_eq!(
        world.host().run_background(),
        1,
        "it goes on after the answer"
    );
    assert!(!seen.text.contains("CANARY") && !world.host().log().contains("CANARY"));
    // Without a size there is none by default here.
    let seen = world.ask("POST", "/", Some(json!({"name": "x", "kind": "droplet"})));
    assert_eq!(seen.refusal(), (422, "validation_failed"), "{}", seen.text);
    assert_eq!(
        seen.body["error"]["details"]["errors"][0]["field"],
        "sizeSlug"
    );
    let seen = world.ask("POST", "/", Some(json!({"name": "x", "sizeSlug": "gone"})));
    assert_eq!(seen.refusal(), (422, "validation_failed"));
    assert_eq!(
        seen.body["error"]["details"]["allowed"],
        json!(["large", "small"])
    );
    for body in [
        json!({"name": "x", "kind": "byo", "sizeSlug": "small"}),
        json!({"name": "x", "kind": "droplet", "sizeSlug": "small", "address": "8.8.8.8"}),
    ] {
        assert_eq!(
            world.ask("POST", "/", Some(body)).refusal(),
            (422, "validation_failed")
        );
    }
    world.rpc("order_toolbox", json!({"outcome": "too_many", "most": 20}));
    let seen = world.ask("POST", "/", Some(json!({"name": "x", "sizeSlug": "small"})));
    assert_eq!(seen.refusal(), (429, "quota_exceeded"));
    world.rpc("order_toolbox", json!({"outcome": "too_often", "most": 7}));
    let seen = world.ask("POST", "/", Some(json!({"name": "x", "sizeSlug": "small"})));
    assert_eq!(seen.refusal(), (429, "quota_exceeded"));
    assert!(
        seen.text.contains("7 toolboxes in the last hour"),
        "{}",
        seen.text
    );
}

#[test]
fn where_no_machines_are_bought_the_answer_names_what_is_to_be_set() {
    let world = World::new();
    for (method, path, body) in [
        ("GET", "/options", None),
        ("POST", "/", Some(json!({"name": "x", "sizeSlug": "small"}))),
    ] {
        let seen = world.ask(method, path, body);
        assert_eq!(seen.refusal(), (500, "not_configured"));
        assert!(seen.text.contains("DO_API_TOKEN"), "{}", seen.text);
    }
}

#[test]
fn what_can_be_bought_is_listed_with_its_price_the_cheapest_first() {
    let seen = shop().ask("GET", "/options", None);
    assert_eq!(seen.status, 200, "{}", seen.text);
    assert_eq!(
        seen.body["regions"],
        json!([{"slug": "nyc3", "name": "New York 3"}])
    );
    let sizes = seen.body["sizes"].as_array().unwrap();
    let slugs: Vec<_> = sizes.iter().map(|size| &size["slug"]).collect();
    assert_eq!(slugs, ["small", "large"]);
    assert_eq!(sizes[0]["price_monthly_usd"], 6.0);
    assert_eq!(seen.body["default_region_slug"], "nyc3");
    assert_eq!(seen.body["default_size_slug"], Value::Null);
}

#[test]
fn digitalocean_is_asked_by_one_of_all_who_want_to_know_what_can_be_bought() {
    let world = shop();
    let asked = |world: &World| {
        let sent = world.transport.sent();
        let to_shop = sent
            .iter()
            .filter(|call| call.request.url.contains("digitalocean"));
        to_shop.count()
    };
    let first = world.ask("GET", "/options", None);
    assert_eq!(asked(&world), 2, "the sizes and the regions");
    let kept = world.sent("/rpc/put_provider_list");
    assert_eq!(kept.len(), 2);

    // Kept in the database, they cost DigitalOcean nothing, whichever worker is asked.
    let list = |name: &str| {
        let list = kept.iter().find(|put| put["name"] == name).unwrap();
        json!({"outcome": "kept", "content": list["content"]})
    };
    let lists = [list("regions"), list("sizes")];
    let world = shop();
    world.transport.on(move |request| {
        let list = request.url.ends_with("/rpc/get_provider_list");
        let body = String::from_utf8_lossy(&request.body);
        let at = usize::from(body.contains("\"sizes\""));
        list.then(|| answer(200, &lists[at]))
    });
    let again = world.ask("GET", "/options", None);
    assert_eq!((again.status, &again.body), (200, &first.body));
    assert_eq!(asked(&world), 0);

    // While another asks for what is nowhere yet, it is waited for, and not for ever.
    let world = shop();
    world.rpc("get_provider_list", json!({"outcome": "awaited"}));
    let seen = world.ask("GET", "/options", None);
    assert_eq!(seen.refusal(), (503, "provider_unavailable"));
    assert_eq!(asked(&world), 0);
}

#[test]
fn what_all_machines_of_a_user_cost_has_a_limit() {
    let world = shop();
    let dear = json!({"outcome": "too_dear", "monthly_usd": 206.5, "most_monthly_usd": 200});
    world.rpc("order_toolbox", dear.clone());
    world.rpc("ask_toolbox", dear);
    for (path, body) in [
        ("/".to_owned(), json!({"name": "x", "sizeSlug": "small"})),
        (path("/resize"), json!({"sizeSlug": "large"})),
    ] {
        let seen = world.ask("POST", &path, Some(body));
        assert_eq!(seen.refusal(), (429, "quota_exceeded"), "{path}");
        assert!(
            seen.text.contains("206.50") && seen.text.contains("200"),
            "{}",
            seen.text
        );
    }
    assert_eq!(world.sent("/rpc/order_toolbox")[0]["max_monthly_usd"], 200);
    assert_eq!(world.sent("/rpc/ask_toolbox")[0]["max_monthly_usd"], 200);
}

#[test]
fn wishes_are_written_and_begun() {
    let world = shop();
    for (method, rest, body, change) in [
        (
            "POST",
            "/resize",
            Some(json!({"sizeSlug": "large"})),
            "resize",
        ),
        ("POST", "/reboot", None, "reboot"),
        ("POST", "/retry", None, "retry"),
        ("DELETE", "", None, "deprovision"),
    ] {
        let seen = world.ask(method, &path(rest), body);
        assert_eq!(seen.status, 202, "{change}: {}", seen.text);
        let asked = world.sent("/rpc/ask_toolbox").pop().unwrap();
        assert_eq!(
            (&asked["change"], &asked["user_id"]),
            (&json!(change), &json!(USER))
        );
    }
    world.rpc("update_own_toolbox", json!({"outcome": "updated"}));
    let seen = world.ask(
        "PATCH",
        &path(""),
        Some(json!({"name": "other", "description": "x"})),
    );
    assert_eq!(seen.status, 200, "{}", seen.text);
    assert_eq!(
        world.sent("/rpc/ask_toolbox").pop().unwrap()["name"],
        "other"
    );
    let written = &world.sent("/rpc/update_own_toolbox")[0];
    assert_eq!(
        (&written["description"], &written["name"]),
        (&json!("x"), &Value::Null)
    );
    let seen = world.ask("PATCH", &path(""), Some(json!({"address": "8.8.8.8"})));
    assert_eq!(seen.refusal(), (409, "illegal_state"));
    world.rpc("ask_toolbox", json!({"outcome": "in_progress"}));
    let seen = world.ask("POST", &path("/reboot"), None);
    assert_eq!(seen.refusal(), (409, "operation_in_progress"));
    world.rpc("ask_toolbox", json!({"outcome": "too_often", "most": 10}));
    let renamed = world.ask("PATCH", &path(""), Some(json!({"name": "again"})));
    for seen in [renamed, world.ask("POST", &path("/reboot"), None)] {
        assert_eq!(seen.refusal(), (429, "quota_exceeded"));
        assert!(seen.text.contains("10 changes"), "{}", seen.text);
    }
    // A machine that the user brought has none of them.
    world.rpc("ask_toolbox", json!({"outcome": "byo"}));
    let seen = world.ask("POST", &path("/reboot"), None);
    assert_eq!(seen.refusal(), (409, "illegal_state"));
}

#[test]
fn a_machine_that_is_being_made_is_looked_at_and_has_no_agent_to_ask() {
    let world = shop();
    world.rpc("ask_toolbox", json!({"outcome": "unchanged"}));
    let seen = world.ask("POST", &path("/refresh-status"), None);
    assert_eq!(seen.status, 200, "{}", seen.text);
    assert_eq!(seen.body["progress"]["step"], "boot");
    assert_eq!(seen.body["agent_version"], Value::Null);
    assert_eq!(world.sent("/rpc/ask_toolbox")[0]["change"], "look");
}
