use serde_json::{Value, json};
use toolbox_domain::retry::Fault;
use toolbox_edge::body::Incoming;
use toolbox_http::{Headers, Response, TransportError};

use toolbox_edge::recorded::Seen;

use crate::testing::{KEY, TOKEN, World};

const SECRET: &str = "sb_secret_x";

fn done(count: u32) -> Value {
    json!({"outcome": "done", "count": count})
}

fn ask_with(world: &World, headers: &[(&'static str, &str)]) -> Seen {
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
    let world = World::new();
    world
        .on("run_job", &done(2))
        .on("run_job", &done(1))
        .on("run_job", &done(1000))
        .on("run_job", &done(4))
        .on("run_job", &done(0));
    let seen = ask_with(&world, &[("apikey", SECRET)]);
    assert_eq!(seen.status, 200, "{}", seen.text);
    assert_eq!(
        seen.body,
        json!({"jobs": [
            {"job": "mark_silent_toolboxes", "outcome": "done", "count": 2},
            {"job": "end_expired_leases", "outcome": "done", "count": 1},
            {"job": "delete_old_events", "outcome": "done", "count": 1000},
            {"job": "delete_old_toolbox_events", "outcome": "done", "count": 4},
            {"job": "delete_old_operations", "outcome": "done", "count": 0},
        ]})
    );
    let asked = world.asked("run_job");
    let names: Vec<_> = asked.iter().map(|p| p["job"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "mark_silent_toolboxes",
            "end_expired_leases",
            "delete_old_events",
            "delete_old_toolbox_events",
            "delete_old_operations"
        ]
    );
    assert!(world.host().log().is_empty());
}

#[test]
fn a_job_that_fails_is_told_with_its_code_and_the_others_run() {
    let world = World::new();
    let refusal = json!({"code": "42501", "message": "SECRET"}).to_string();
    world
        .on_raw("run_job", Err(timed_out()))
        .on_raw("run_job", Ok(Response::new(403, refusal.into_bytes())))
        .on("run_job", &json!({"outcome": "else"}))
        .on("run_job", &done(3));
    let seen = ask_with(&world, &[("apikey", SECRET)]);
    assert_eq!(seen.status, 200, "{}", seen.text);
    let outcomes: Vec<_> = seen.body["jobs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|job| (job["outcome"].as_str().unwrap(), job["code"].as_str()))
        .collect();
    assert_eq!(
        outcomes,
        [
            ("failed", Some("database_timeout")),
            ("failed", Some("not_configured")),
            ("failed", Some("database_bad_response")),
            ("done", None),
        ]
    );
    assert_eq!(seen.body["jobs"][3]["count"], 3);
    assert!(!seen.text.contains("SECRET"));
    let log = world.host().log();
    assert!(log.contains("delete_old_events") && log.contains("database_timeout"));
    world.assert_log_is_clean();
}

#[test]
fn jobs_that_take_all_their_time_leave_the_others_theirs() {
    let world = World::new();
    world
        .on_raw("run_job", Err(timed_out()))
        .on_raw("run_job", Err(timed_out()))
        .on("run_job", &done(7));
    let seen = ask_with(&world, &[("apikey", SECRET)]);
    let outcomes: Vec<_> = seen.body["jobs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|job| job["outcome"].as_str().unwrap())
        .collect();
    assert_eq!(outcomes, ["failed", "failed", "done", "done"]);
    let limits: Vec<_> = world.transport.sent().iter().map(|c| c.deadline).collect();
    assert_eq!(limits, [std::time::Duration::from_secs(4); 4]);
}

#[test]
fn any_secret_key_opens_it_in_either_header() {
    let keys = r#"{"default":"sb_secret_x","next":"sb_secret_y"}"#;
    let world = World::with(&[
        ("SUPABASE_SECRET_KEYS", keys),
        ("SUPABASE_SERVICE_ROLE_KEY", "legacy.service.role"),
    ]);
    world.on("run_job", &done(0));
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
    let world = World::with(&[
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
    let world = World::new();
    let seen = world.ask("GET", "/tick", SECRET, "");
    assert_eq!(seen.refusal(), (405, "method_not_allowed"));
}
