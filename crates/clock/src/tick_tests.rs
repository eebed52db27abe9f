use std::collections::HashSet;
use std::time::Duration;

use serde_json::{Value, json};
use toolbox_domain::receipts::ReceiptKey;
use toolbox_domain::retry::Fault;
use toolbox_domain::sealing::{Owner, Place, Roots, SealingKeys};
use toolbox_domain::spec::SecretValue;
use toolbox_edge::body::Incoming;
use toolbox_http::{Headers, Response, TransportError};

use toolbox_edge::recorded::{ROOT, Scripted, Seen};
use toolbox_instances::rollouts::{ASK_LIMIT, STEP_LIMIT};

use crate::FUNCTION;
use crate::tick::TICK_LIMIT;

const TOOLBOX: &str = "6f9619ff-8b86-4d01-b42d-000000000001";
const INSTANCE: &str = "22222222-2222-4222-8222-222222222222";
/// Have the forms of what agents present.
const TOKEN: &str = "tbe_0123456789_-abcdefghijklmnopqrstuvwxyCANARY";
const KEY: &str = "tbk_c0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ffee0bad";

const SECRET: &str = "sb_secret_x";

/// The function over a scripted database.
fn with(variables: &[(&str, &str)]) -> Scripted {
    let document = include_str!("../../../docs/api/clock.openapi.json");
    Scripted::new(&FUNCTION, document, variables)
}

fn nothing_to_seal() -> Value {
    json!({"outcome": "found", "specs": [], "webhooks": []})
}

fn done(count: u32) -> Value {
    json!({"outcome": "done", "count": count})
}

/// The jobs that are functions of the database.
const IN_DATABASE: [&str; 7] = [
    "mark_silent_toolboxes",
    "end_expired_leases",
    "settle_alerts",
    "delete_old_events",
    "delete_old_toolbox_events",
    "delete_old_alerts",
    "delete_old_operations",
];

/// A world in which neither messages, receipts nor rollouts are due.
fn world() -> Scripted {
    let world = with(&[]);
    world
        .on("claim_alert_messages", &json!({"messages": []}))
        .on("claim_rollouts", &json!({"rollouts": []}))
        .on("claim_mcp_pins", &json!({"pins": []}))
        .on("get_secrets_to_seal", &nothing_to_seal())
        .on("get_unsealed_operations", &json!({"chains": []}));
    world
}

fn ask_with(world: &Scripted, headers: &[(&'static str, &str)]) -> Seen {
    let mut given = Headers::default();
    for (name, value) in headers {
        given.set(name, (*value).to_owned());
    }
    world.ask_with("POST", "/tick", given, Incoming::Complete(Vec::new()))
}

fn timed_out() -> TransportError {
    TransportError::new(Fault::Timeout, "no answer")
}

#[test]
fn every_job_is_run_once_and_told_with_its_count() {
    let world = world();
    for count in 1..=7 {
        world.on("run_job", &done(count));
    }
    let seen = ask_with(&world, &[("apikey", SECRET)]);
    assert_eq!(seen.status, 200, "{}", seen.text);
    assert_eq!(
        seen.body,
        json!({"jobs": [
            {"job": "mark_silent_toolboxes", "outcome": "done", "count": 1},
            {"job": "end_expired_leases", "outcome": "done", "count": 2},
            {"job": "seal_receipts", "outcome": "done", "count": 0},
            {"job": "seal_secrets", "outcome": "done", "count": 0},
            {"job": "settle_alerts", "outcome": "done", "count": 3},
            {"job": "deliver_alerts", "outcome": "done", "count": 0},
            {"job": "advance_rollouts", "outcome": "done", "count": 0},
            {"job": "pin_first_tools", "outcome": "done", "count": 0},
            {"job": "advance_provisioning", "outcome": "done", "count": 0},
            {"job": "sweep_droplets", "outcome": "done", "count": 0},
            {"job": "delete_old_events", "outcome": "done", "count": 4},
            {"job": "delete_old_toolbox_events", "outcome": "done", "count": 5},
            {"job": "delete_old_alerts", "outcome": "done", "count": 6},
            {"job": "delete_old_operations", "outcome": "done", "count": 7},
        ]})
    );
    let asked = world.asked("run_job");
    let names: Vec<_> = asked.iter().map(|p| p["job"].as_str().unwrap()).collect();
    assert_eq!(names, IN_DATABASE);
    assert!(world.host().log().is_empty());
}

fn outcomes(seen: &Seen) -> Vec<(&str, &str, Option<&str>)> {
    let jobs = seen.body["jobs"].as_array().unwrap().iter();
    jobs.map(|job| {
        let text = |name: &str| job[name].as_str();
        (text("job").unwrap(), text("outcome").unwrap(), text("code"))
    })
    .collect()
}

#[test]
fn a_job_that_fails_is_told_with_its_code_and_the_others_run() {
    let world = with(&[]);
    let refusal = json!({"code": "42501", "message": "SECRET"}).to_string();
    let refused = Ok(Response::new(403, refusal.into_bytes()));
    world
        .on("get_unsealed_operations", &json!({"chains": []}))
        .on_raw("get_secrets_to_seal", Err(timed_out()))
        .on_raw("claim_alert_messages", refused.clone())
        .on_raw("claim_rollouts", Err(timed_out()))
        .on_raw("claim_mcp_pins", Err(timed_out()))
        .on_raw("run_job", Err(timed_out()))
        .on_raw("run_job", refused)
        .on("run_job", &json!({"outcome": "else"}))
        .on("run_job", &done(3));
    let seen = ask_with(&world, &[("apikey", SECRET)]);
    assert_eq!(seen.status, 200, "{}", seen.text);
    assert_eq!(
        outcomes(&seen)[..11],
        [
            ("mark_silent_toolboxes", "failed", Some("database_timeout")),
            ("end_expired_leases", "failed", Some("not_configured")),
            ("seal_receipts", "done", None),
            ("seal_secrets", "failed", Some("database_timeout")),
            ("settle_alerts", "failed", Some("database_bad_response")),
            ("deliver_alerts", "failed", Some("not_configured")),
            ("advance_rollouts", "failed", Some("database_timeout")),
            ("pin_first_tools", "failed", Some("database_timeout")),
            ("advance_provisioning", "done", None),
            ("sweep_droplets", "done", None),
            ("delete_old_events", "done", None),
        ]
    );
    assert_eq!(seen.body["jobs"][10]["count"], 3);
    assert!(!seen.text.contains("SECRET"));
    let log = world.host().log();
    assert!(log.contains("settle_alerts") && log.contains("database_timeout"));
    world.assert_log_is_clean();
}

#[test]
fn jobs_that_take_all_their_time_leave_the_others_theirs() {
    let world = world();
    world
        .on_raw("run_job", Err(timed_out()))
        .on_raw("run_job", Err(timed_out()))
        .on("run_job", &done(7));
    let seen = ask_with(&world, &[("apikey", SECRET)]);
    let failed = outcomes(&seen)
        .iter()
        .filter(|job| job.1 == "failed")
        .count();
    assert_eq!(failed, 2);
    let limits = world.transport.sent();
    let limits: Vec<_> = limits.iter().map(|c| c.deadline.as_secs()).collect();
    assert_eq!(limits, [4, 4, 4, 4, 4, 4, 2, 4, 4, 4, 4, 4]);
}

#[test]
fn alerts_that_cannot_be_sent_as_configured_are_told_of_and_stay() {
    let world = with(&[("TOOLBOX_EMAIL_URL", "https://mail.example.org/emails")]);
    world
        .on("run_job", &done(0))
        .on("claim_rollouts", &json!({"rollouts": []}))
        .on("claim_mcp_pins", &json!({"pins": []}))
        .on("get_secrets_to_seal", &nothing_to_seal())
        .on("get_unsealed_operations", &json!({"chains": []}));
    let seen = ask_with(&world, &[("apikey", SECRET)]);
    let deliver = outcomes(&seen)[5];
    assert_eq!(
        deliver,
        ("deliver_alerts", "failed", Some("not_configured"))
    );
    let log = world.host().log();
    assert!(
        log.contains("TOOLBOX_EMAIL_KEY, TOOLBOX_EMAIL_FROM"),
        "{log}"
    );
    assert!(world.asked("claim_alert_messages").is_empty());
}

#[test]
fn secrets_in_plain_text_and_under_the_previous_key_are_sealed_with_the_current_one() {
    const PREVIOUS: &str = "the root secret before that one..";
    const CHANNEL: &str = "33333333-3333-4333-8333-333333333333";
    const OTHER: &str = "33333333-3333-4333-8333-333333333334";
    let world = with(&[("BACKEND_TO_DTMA_API_KEY_PREVIOUS", PREVIOUS)]);
    let keys = |current: &str, owner| {
        let roots = Roots {
            current: current.as_bytes(),
            previous: None,
        };
        SealingKeys::derive(roots, owner).unwrap()
    };
    let toolbox = Owner::Toolbox(TOOLBOX.parse().unwrap());
    let place = |name| Place::Env(INSTANCE.parse().unwrap(), name);
    let old = keys(PREVIOUS, toolbox)
        .seal(place("OLD"), "SECRET two", [9; 12])
        .unwrap();
    let channel = Owner::Channel(CHANNEL.parse().unwrap());
    let spec = |env: Value| json!({"image": "x", "env": env, "later": [1]});
    let stored = |operation: Option<&str>, env: Value, version: &str| json!({"toolbox_id": TOOLBOX, "instance_id": INSTANCE, "operation_id": operation, "spec": spec(env), "version": version});
    let operation = "99999999-9999-4999-8999-999999999999";
    let due = json!({"outcome": "found",
        "specs": [
            stored(None, json!({"PLAIN": {"key_id": null, "value": "SECRET one"}, "OLD": old}), "v1"),
            stored(Some(operation), json!({"OLD": old}), "v2"),
            stored(None, json!({"MOVED": old}), "v3"),
            stored(None, json!({"MALFORMED": {"key_id": null, "value": ["SECRET"]}}), "v4"),
            stored(None, json!("SECRET"), "v5"),
            stored(None, json!({"LONG": {"key_id": null, "value": "SECRET".repeat(34_000)}}), "v6"),
        ],
        "webhooks": [
            {"channel_id": CHANNEL, "webhook_secret": "whsec_SECRET", "webhook_secret_key_id": null},
            {"channel_id": OTHER, "webhook_secret": "AAAA", "webhook_secret_key_id": old.key_id},
        ],
    });
    world
        .on("run_job", &done(0))
        .on("get_unsealed_operations", &json!({"chains": []}))
        .on("claim_alert_messages", &json!({"messages": []}))
        .on("claim_rollouts", &json!({"rollouts": []}))
        .on("claim_mcp_pins", &json!({"pins": []}))
        .on("get_secrets_to_seal", &due)
        .on(
            "put_sealed_secrets",
            &json!({"outcome": "sealed", "count": 2}),
        );
    let seen = ask_with(&world, &[("apikey", SECRET)]);
    let job = &seen.body["jobs"][3];
    assert_eq!(
        *job,
        json!({"job": "seal_secrets", "outcome": "done", "count": 2})
    );
    assert_eq!(
        world.asked("get_secrets_to_seal"),
        [json!({"key_ids": ["plain", old.key_id]})]
    );
    let put = &world.asked("put_sealed_secrets")[0];
    assert!(!put.to_string().contains("SECRET one") && !put.to_string().contains("SECRET two"));
    assert_eq!(put["specs"].as_array().unwrap().len(), 2);
    let current = keys(ROOT, toolbox);
    let mut used = HashSet::new();
    for (at, version, name, value) in [
        (0, "v1", "PLAIN", "SECRET one"),
        (0, "v1", "OLD", "SECRET two"),
        (1, "v2", "OLD", "SECRET two"),
    ] {
        let written = &put["specs"][at];
        assert_eq!(written["version"], version);
        assert_eq!(written["spec"]["later"], json!([1]));
        let sealed: SecretValue =
            serde_json::from_value(written["spec"]["env"][name].clone()).unwrap();
        assert_eq!(current.open(place(name), &sealed).as_deref(), Ok(value));
        assert!(used.insert(sealed.value), "no nonce twice");
    }
    assert_eq!(put["specs"][1]["operation_id"], operation);
    assert_eq!(put["webhooks"].as_array().unwrap().len(), 1);
    let webhook = &put["webhooks"][0];
    assert_eq!(webhook["was"], "whsec_SECRET");
    let sealed = json!({"key_id": webhook["key_id"], "value": webhook["secret"]});
    let opened = keys(ROOT, channel).open(
        Place::WebhookSecret,
        &serde_json::from_value(sealed).unwrap(),
    );
    assert_eq!(opened.as_deref(), Ok("whsec_SECRET"));
    let log = world.host().log();
    assert!(
        log.contains(INSTANCE) && log.contains(OTHER) && !log.contains(CHANNEL),
        "{log}"
    );
    assert!(!log.contains("SECRET"));
    let without_room = "sealed it is longer than the database takes";
    assert_eq!(log.matches(without_room).count(), 1, "{log}");
}

#[test]
fn any_secret_key_opens_it_in_either_header() {
    let keys = r#"{"default":"sb_secret_x","next":"sb_secret_y"}"#;
    let world = with(&[
        ("SUPABASE_SECRET_KEYS", keys),
        ("SUPABASE_SERVICE_ROLE_KEY", "legacy.service.role"),
    ]);
    world
        .on("run_job", &done(0))
        .on("get_unsealed_operations", &json!({"chains": []}))
        .on("get_secrets_to_seal", &nothing_to_seal())
        .on("claim_alert_messages", &json!({"messages": []}))
        .on("claim_rollouts", &json!({"rollouts": []}))
        .on("claim_mcp_pins", &json!({"pins": []}));
    for key in ["sb_secret_x", "sb_secret_y", "legacy.service.role"] {
        let bearer = format!("Bearer {key}");
        for header in [("apikey", key), ("authorization", bearer.as_str())] {
            let seen = ask_with(&world, &[header]);
            assert_eq!(seen.status, 200, "{header:?}: {}", seen.text);
        }
    }
}

#[test]
fn nobody_else_runs_it() {
    let world = with(&[
        ("SUPABASE_ANON_KEY", "legacy.anon"),
        ("SUPABASE_SERVICE_ROLE_KEY", "legacy.service.role"),
    ]);
    let users_token = "eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoiYXV0aGVudGljYXRlZCJ9.c2ln";
    let wrong = [
        "",
        "sb_secret_",
        "sb_secret_xx",
        "sb_secret_X",
        "sb_publishable_x",
        "legacy.anon",
        users_token,
        KEY,
        TOKEN,
    ];
    for key in wrong {
        let bearer = format!("Bearer {key}");
        for header in [("apikey", key), ("authorization", bearer.as_str())] {
            let seen = ask_with(&world, &[header]);
            assert_eq!(
                seen.refusal(),
                (401, "secret_key_required"),
                "{header:?}: {}",
                seen.text
            );
        }
    }
    for headers in [
        &[][..],
        &[("authorization", "sb_secret_x")],
        &[("authorization", "Basic sb_secret_x")],
    ] {
        assert_eq!(
            ask_with(&world, headers).refusal(),
            (401, "secret_key_required")
        );
    }
    assert!(
        world.transport.sent().is_empty(),
        "the database was not asked"
    );
    assert!(world.host().log().is_empty());
}

#[test]
fn it_is_no_toolbox_and_takes_no_other_method() {
    let world = with(&[]);
    let seen = world.ask("GET", "/tick", SECRET, "");
    assert_eq!(seen.refusal(), (405, "method_not_allowed"));
}

/// A world in which machines are bought.
fn shop() -> Scripted {
    let world = with(&[
        ("DO_API_TOKEN", "dop_v1_SECRET"),
        ("TOOLBOX_DIGITALOCEAN_URL", "http://shop"),
        ("TOOLBOX_RELEASE_URL", "https://releases.example"),
    ]);
    world
        .on("run_job", &done(0))
        .on("claim_alert_messages", &json!({"messages": []}))
        .on("claim_rollouts", &json!({"rollouts": []}))
        .on("claim_mcp_pins", &json!({"pins": []}))
        .on("get_unsealed_operations", &json!({"chains": []}))
        .on("get_secrets_to_seal", &nothing_to_seal())
        .on("lease_toolboxes", &json!({"toolboxes": []}))
        .on("begin_rare_job", &json!({"outcome": "not_due"}));
    world
}

#[test]
fn a_step_of_a_toolbox_that_is_due_is_taken() {
    let world = shop();
    let due = json!({"outcome": "leased", "toolboxes": [{
        "id": TOOLBOX, "name": "box", "status": "deprovisioning", "lease": 3, "step": "remove_firewall", "tries": 0,
        "step_age_seconds": 1.0, "size_slug": "s-1vcpu-1gb",
    }]});
    world
        .on("lease_toolboxes", &due)
        .on("remove_toolbox", &json!({"outcome": "removed"}));
    world.transport.on(|request| {
        let path = request.url.strip_prefix("http://shop/v2/")?;
        Some(Ok(match (request.method.as_str(), path) {
            ("GET", path) if path.starts_with("firewalls") => {
                Response::new(200, br#"{"firewalls": [], "links": {}}"#.to_vec())
            }
            ("GET", path) if path.starts_with("droplets?tag_name=toolbox-") => {
                Response::new(200, br#"{"droplets": [], "links": {}}"#.to_vec())
            }
            ("DELETE", path) if path.starts_with("tags/toolbox-") => Response::new(204, Vec::new()),
            _ => return None,
        }))
    });
    // The first answer is "nothing is due", the second this one.
    ask_with(&world, &[("apikey", SECRET)]);
    let seen = ask_with(&world, &[("apikey", SECRET)]);
    assert_eq!(
        seen.body["jobs"][8],
        json!({"job": "advance_provisioning", "outcome": "done", "count": 1})
    );
    let removed = world.asked("remove_toolbox");
    assert_eq!(removed, [json!({"toolbox_id": TOOLBOX, "lease": 3})]);
}

#[test]
fn a_sweep_that_is_due_tells_of_what_it_finds_and_never_of_the_token() {
    let world = shop();
    world.on("begin_rare_job", &json!({"outcome": "due"})).on(
        "sweep_toolboxes",
        &json!({"outcome": "swept", "adopted": [], "cleaned": [], "unseen": [TOOLBOX], "moved": [], "droplets": [
            {"droplet_id": 7, "toolbox_id": null, "why": "unknown", "is_ours": false}]}),
    );
    world.transport.on(|request| {
        let is_list = request
            .url
            .starts_with("http://shop/v2/droplets?tag_name=toolbox&");
        is_list.then(|| {
            Ok(Response::new(
                200,
                br#"{"droplets": [], "links": {}}"#.to_vec(),
            ))
        })
    });
    ask_with(&world, &[("apikey", SECRET)]);
    let seen = ask_with(&world, &[("apikey", SECRET)]);
    assert_eq!(
        seen.body["jobs"][9],
        json!({"job": "sweep_droplets", "outcome": "done", "count": 2})
    );
    let log = world.host().log();
    assert!(
        log.contains("droplet 7 of no toolbox has no row (unknown)"),
        "{log}"
    );
    assert!(!log.contains("SECRET"));
}

#[test]
fn a_shop_that_is_set_up_by_half_is_a_failure() {
    let world = with(&[("DO_API_TOKEN", "t")]);
    world
        .on("run_job", &done(0))
        .on("claim_alert_messages", &json!({"messages": []}))
        .on("claim_rollouts", &json!({"rollouts": []}))
        .on("claim_mcp_pins", &json!({"pins": []}))
        .on("get_unsealed_operations", &json!({"chains": []}))
        .on("get_secrets_to_seal", &nothing_to_seal())
        .on("begin_rare_job", &json!({"outcome": "not_due"}));
    let seen = ask_with(&world, &[("apikey", SECRET)]);
    assert_eq!(
        outcomes(&seen)[8],
        ("advance_provisioning", "failed", Some("not_configured"))
    );
}

#[test]
fn operations_that_ended_get_receipts_that_follow_the_last_one() {
    let id = "33333333-3333-4333-8333-333333333333";
    let chains = json!({"chains": [{
        "toolbox_id": TOOLBOX, "user_id": id, "head": {"number": 4, "mac": "ab"}, "expired": null,
        "operations": [{"operation_id": INSTANCE, "action": "start", "result": "succeeded"}],
    }]});
    let world = with(&[]);
    world
        .on("run_job", &done(0))
        .on("claim_alert_messages", &json!({"messages": []}))
        .on("get_secrets_to_seal", &nothing_to_seal())
        .on("claim_rollouts", &json!({"rollouts": []}))
        .on("claim_mcp_pins", &json!({"pins": []}))
        .on("get_unsealed_operations", &chains)
        .on("seal_operations", &json!({"outcome": "sealed", "count": 1}));
    let seen = ask_with(&world, &[("apikey", SECRET)]);
    assert_eq!(
        seen.body["jobs"][2],
        json!({"job": "seal_receipts", "outcome": "done", "count": 1})
    );
    let sealed = world.asked("seal_operations");
    assert_eq!(
        (&sealed[0]["head_number"], &sealed[0]["head_mac"]),
        (&json!(4), &json!("ab"))
    );
    let receipt = &sealed[0]["receipts"][0];
    let content = receipt["content"].as_str().unwrap();
    let key = ReceiptKey::derive(ROOT.as_bytes()).unwrap();
    assert_eq!(receipt["mac"], key.mac(content).unwrap());
    assert!(
        content.contains(r#""number":5,"operation_id":""#),
        "{content}"
    );
}

#[test]
fn a_rollout_asks_the_machines_of_its_wave_but_silent_ones_and_stops_where_one_fails() {
    let (toolbox, other) = (TOOLBOX, "6f9619ff-8b86-4d01-b42d-000000000002");
    let row = |id: &str, status: &str, port: u16| {
        json!({"id": id, "status": status, "public_ip_address": "127.0.0.1", "dtma_port": port, "dtma_certificate_pem": null,
            "dtma_key_id": null, "instances_confirmed_at": null, "unresponsive_since": null, "dtma_api_version": 2,
            "dtma_last_known_version": "1.0.0"})
    };
    let claimed = json!({"rollouts": [{
        "id": "6f9619ff-8b86-4d01-b42d-00000000000a", "user_id": "6f9619ff-8b86-4d01-b42d-00000000000b", "version": "2.0.0",
        "wave_size": 3, "state": "running", "reason": null, "created_at": "2026-01-01T00:00:00+00:00", "ended_at": null,
        "step": 7, "is_fleet": true, "request_id": "req-roll",
        "rows": [row(toolbox, "active", 30000), row(other, "active", 30001), row(INSTANCE, "unresponsive", 30002)], "toolboxes": [
            {"id": toolbox, "name": "one", "state": "waiting"}, {"id": other, "name": "two", "state": "waiting"},
            {"id": INSTANCE, "name": "three", "state": "waiting"}],
    }]});
    let world = with(&[]);
    world
        .on("run_job", &done(0))
        .on("claim_alert_messages", &json!({"messages": []}))
        .on("get_secrets_to_seal", &nothing_to_seal())
        .on("get_unsealed_operations", &json!({"chains": []}))
        .on("claim_rollouts", &claimed)
        .on("claim_mcp_pins", &json!({"pins": []}))
        .on("record_rollout", &json!({"outcome": "recorded"}))
        .on(
            "record_toolbox_event",
            &json!({"outcome": "recorded", "id": 1}),
        )
        .on("end_toolbox_event", &json!({"outcome": "recorded"}));
    world.transport.on(|request| {
        let path = request.url.strip_prefix("http://127.0.0.1:3000")?;
        let answer = match path {
            "0/v1/machine/redeploy" => Ok(Response::new(202, br#"{"id":"c1"}"#.to_vec())),
            _ => Err(TransportError::new(Fault::Refused, "x")),
        };
        Some(answer)
    });
    let seen = ask_with(&world, &[("apikey", SECRET)]);
    assert_eq!(
        seen.body["jobs"][6],
        json!({"job": "advance_rollouts", "outcome": "done", "count": 1})
    );
    let recorded = &world.asked("record_rollout")[0];
    assert_eq!(
        (&recorded["step"], &recorded["state"]),
        (&json!(7), &json!("stopped"))
    );
    let states: Vec<_> = recorded["toolboxes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| &t["state"])
        .collect();
    assert_eq!(states, ["asked", "failed", "silent"]);
    assert_eq!(recorded["toolboxes"][0]["operation_id"], "c1");
    assert_eq!(recorded["toolboxes"][1]["code"], "agent_unreachable");
    let events = world.asked("record_toolbox_event");
    let begun: Vec<_> = events.iter().map(|e| (&e["kind"], &e["result"])).collect();
    assert_eq!(begun, [(&json!("agent_redeploy"), &json!("begun")); 2]);
    // The owners of the toolboxes read in their history who it was.
    let actors: Vec<_> = events.iter().map(|e| &e["actor_kind"]).collect();
    assert_eq!(actors, [&json!("operator"); 2]);
    let ends = world.asked("end_toolbox_event");
    let results: Vec<_> = ends.iter().map(|e| &e["result"]).collect();
    assert_eq!(results.len(), 2);
    assert!(results.contains(&&json!("accepted")));
    assert!(results.contains(&&json!("agent_unreachable")));
    // The agent, then the companion, each with the toolbox's key and within its time.
    let sent = world.transport.sent();
    let to_machines: Vec<_> = sent
        .iter()
        .filter(|call| call.request.url.starts_with("http://127.0.0.1:"))
        .collect();
    assert_eq!(to_machines.len(), 3);
    assert!(to_machines.iter().all(|call| call.deadline == ASK_LIMIT));
}

#[test]
fn a_tick_and_a_step_of_a_rollout_end_before_the_ticks_caller_and_the_lease_do() {
    let deploy = include_str!("../../../docs/DEPLOY.md");
    let (_, waits) = deploy.split_once("timeout_milliseconds := ").unwrap();
    let (waits, _) = waits.split_once('\n').unwrap();
    let waits = Duration::from_millis(waits.parse().unwrap());
    assert!(STEP_LIMIT < TICK_LIMIT && TICK_LIMIT < waits, "{waits:?}");
    let claim = include_str!("../../../supabase/schemas/functions/rollouts.sql");
    assert!(claim.contains("lease constant interval := interval '1 minute'"));
    assert!(STEP_LIMIT < Duration::from_mins(1));
}

#[test]
fn a_call_of_a_rollout_that_may_have_arrived_is_looked_after() {
    let row = json!({"id": TOOLBOX, "status": "active", "public_ip_address": "127.0.0.1", "dtma_port": 30000,
        "dtma_certificate_pem": null, "dtma_key_id": null, "instances_confirmed_at": null, "unresponsive_since": null,
        "dtma_api_version": 2, "dtma_last_known_version": "1.0.0"});
    let claimed = json!({"rollouts": [{
        "id": "6f9619ff-8b86-4d01-b42d-00000000000a", "user_id": "6f9619ff-8b86-4d01-b42d-00000000000b", "version": "2.0.0",
        "wave_size": 1, "state": "running", "reason": null, "created_at": "2026-01-01T00:00:00+00:00", "ended_at": null,
        "step": 1, "is_fleet": false, "request_id": "req-roll", "rows": [row], "toolboxes": [{"id": TOOLBOX, "name": "one", "state": "waiting"}],
    }]});
    let refused = || Err(TransportError::new(Fault::Refused, "x"));
    let unknown = || {
        let body = json!({"type": "x", "title": "x", "status": 404, "detail": "x", "code": "release_unknown", "retryable": false});
        let mut answer = Response::new(404, body.to_string().into_bytes());
        answer
            .headers
            .set("content-type", "application/problem+json");
        Ok(answer)
    };
    let garbled = || Ok(Response::new(202, b"{".to_vec()));
    // Of the agent, then of the companion.
    for (answers, code, state) in [
        ([refused(), refused()], "agent_unreachable", "failed"),
        ([Err(timed_out()), refused()], "agent_timeout", "asked"),
        ([refused(), Err(timed_out())], "agent_unreachable", "asked"),
        ([refused(), unknown()], "release_unknown", "failed"),
        ([garbled(), refused()], "agent_bad_response", "asked"),
        ([Err(timed_out()), unknown()], "release_unknown", "asked"),
    ] {
        let world = with(&[]);
        world
            .on("run_job", &done(0))
            .on("claim_alert_messages", &json!({"messages": []}))
            .on("get_secrets_to_seal", &nothing_to_seal())
            .on("get_unsealed_operations", &json!({"chains": []}))
            .on("claim_rollouts", &claimed)
            .on("claim_mcp_pins", &json!({"pins": []}))
            .on("record_rollout", &json!({"outcome": "recorded"}))
            .on(
                "record_toolbox_event",
                &json!({"outcome": "recorded", "id": 1}),
            )
            .on("end_toolbox_event", &json!({"outcome": "recorded"}));
        let mut answers = answers.into_iter();
        world.transport.on(move |request| {
            let is_ask = request.url.ends_with("/v1/machine/redeploy");
            is_ask.then(|| answers.next().unwrap())
        });
        ask_with(&world, &[("apikey", SECRET)]);
        let recorded = &world.asked("record_rollout")[0]["toolboxes"][0];
        assert_eq!(
            (&recorded["code"], &recorded["state"]),
            (&json!(code), &json!(state))
        );
    }
}

#[test]
fn what_a_server_listed_first_is_pinned_and_nothing_else_in_its_place() {
    let world = with(&[]);
    let toolbox = json!({"id": TOOLBOX, "status": "active", "public_ip_address": "127.0.0.1", "dtma_port": 30000,
        "dtma_certificate_pem": null, "dtma_key_id": null, "instances_confirmed_at": null, "unresponsive_since": null,
        "dtma_api_version": 2, "dtma_last_known_version": "1.0.0"});
    let id = |n: u8| format!("22222222-2222-4222-8222-22222222222{n}");
    let due = |n: u8| json!({"instance_id": id(n), "owner_id": TOOLBOX, "toolbox": toolbox});
    world
        .on("run_job", &done(0))
        .on("claim_alert_messages", &json!({"messages": []}))
        .on("get_secrets_to_seal", &nothing_to_seal())
        .on("get_unsealed_operations", &json!({"chains": []}))
        .on("claim_rollouts", &json!({"rollouts": []}))
        .on(
            "claim_mcp_pins",
            &json!({"pins": [due(1), due(2), due(3), due(4)]}),
        )
        .on(
            "set_mcp_pin",
            &json!({"outcome": "set", "accepted_at": "now"}),
        )
        .on(
            "set_mcp_pin",
            &json!({"outcome": "set", "accepted_at": "now"}),
        );
    world.transport.on(move |request| {
        let path = request.url.strip_prefix("http://127.0.0.1:30000")?;
        let tools = |first: Value| {
            let listed =
                json!({"fingerprint": "aa", "first_fingerprint": first, "tools": [{"name": "a"}]});
            Ok(Response::new(200, listed.to_string().into_bytes()))
        };
        Some(match path.split('/').rev().nth(1)? {
            // It lists the same as ever; others since; is of an agent that does not know; and does not answer.
            one if one == id(1) => tools(json!("aa")),
            one if one == id(2) => tools(json!("bb")),
            one if one == id(3) => tools(Value::Null),
            _ => Err(timed_out()),
        })
    });
    let seen = ask_with(&world, &[("apikey", SECRET)]);
    assert_eq!(
        seen.body["jobs"][7],
        json!({"job": "pin_first_tools", "outcome": "done", "count": 2})
    );
    let set = world.asked("set_mcp_pin");
    let written: Vec<_> = set
        .iter()
        .map(|p| (&p["instance_id"], &p["fingerprint"], &p["definitions"]))
        .collect();
    let list = json!(r#"[{"name":"a"}]"#);
    assert_eq!(
        written,
        [
            (&json!(id(1)), &json!("aa"), &list),
            (&json!(id(2)), &json!("bb"), &Value::Null)
        ]
    );
    assert!(set.iter().all(|p| p["is_first"] == true));
    let log = world.host().log();
    assert!(log.contains(&id(3)) && log.contains(&id(4)) && !log.contains(&id(1)));
}

#[test]
fn a_job_that_does_not_end_is_told_of_and_keeps_no_other_from_running() {
    let world = world();
    world.on("run_job", &done(1));
    world
        .transport
        .hang(|request| request.url.ends_with("/claim_rollouts"));
    let seen = ask_with(&world, &[("apikey", SECRET)]);
    assert_eq!(seen.status, 200, "{}", seen.text);
    let jobs = seen.body["jobs"].as_array().unwrap();
    for job in jobs {
        let hung = job["job"] == "advance_rollouts";
        let outcome = if hung { "unfinished" } else { "done" };
        assert_eq!(job["outcome"], outcome, "{job}");
    }
}
