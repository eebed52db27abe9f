use serde_json::json;
use toolbox_http::Response;

use crate::testing::{INSTANCE, TOOLBOX, World, answer, problem};

fn lines() -> Response {
    let text = "{\"stream\":\"stdout\",\"time\":null,\"line\":\"one 404\"}\n\
                {\"stream\":\"stderr\",\"time\":\"2026-01-01T00:00:00Z\",\"line\":\"two\"}\n";
    let mut response = Response::new(200, text.as_bytes().to_vec());
    response.headers.set("content-type", "application/x-ndjson");
    response
}

#[test]
fn lines_come_as_texts_and_as_entries() {
    let world = World::new("running");
    world.agent(|_| Ok(lines()));
    let path = format!("/{TOOLBOX}/tools/{INSTANCE}/logs");
    let seen = world.ask("GET", &path, None);
    assert_eq!(
        (seen.status, &seen.body["logs"]),
        (200, &json!(["one 404", "two"]))
    );
    assert_eq!(seen.body["entries"][1]["stream"], "stderr");
    assert_eq!(
        world.sent_to_agent(),
        [format!("GET /tools/{INSTANCE}/logs?follow=false&tail=100")]
    );
    world.ask(
        "GET",
        &format!("{path}?tail=7&since=2026-01-01T00:00:00%2B01:00"),
        None,
    );
    assert_eq!(
        world.sent_to_agent()[1],
        format!(
            "GET /tools/{INSTANCE}/logs?follow=false&tail=7&since=2025-12-31T23%3A00%3A00.000000000Z"
        )
    );
}

#[test]
fn which_output_is_shown_is_passed_on_and_otherwise_left_to_the_agent() {
    let path = format!("/{TOOLBOX}/tools/{INSTANCE}/logs");
    for stream in ["stdout", "stderr", "all"] {
        let world = World::new("running");
        world.agent(|_| Ok(lines()));
        let seen = world.ask("GET", &format!("{path}?stream={stream}"), None);
        assert_eq!(seen.status, 200);
        let body = json!({"toolboxId": TOOLBOX, "action": "logs", "instanceId": INSTANCE, "stream": stream});
        assert_eq!(world.ask("POST", "/", Some(body)).status, 200);
        let sent = format!("GET /tools/{INSTANCE}/logs?follow=false&tail=100&stream={stream}");
        assert_eq!(world.sent_to_agent(), [sent.clone(), sent]);
    }
    let world = World::new("running");
    let refused = world.ask("GET", &format!("{path}?stream=both"), None);
    assert_eq!(
        (refused.status, &refused.body["error"]["code"]),
        (400, &json!("invalid_request"))
    );
    assert!(
        refused.body["error"]["message"]
            .to_string()
            .contains("stdout, stderr or all")
    );
}

#[test]
fn a_moment_reaches_the_agent_in_one_form_however_it_is_written() {
    let path = format!("/{TOOLBOX}/tools/{INSTANCE}/logs");
    for (given, sent) in [
        ("1763718645", "2025-11-21T09:50:45.000000000Z"),
        ("1763718645.5", "2025-11-21T09:50:45.500000000Z"),
        ("%201763718645%20", "2025-11-21T09:50:45.000000000Z"),
        (
            "2025-11-21t09:50:45%2B00:00",
            "2025-11-21T09:50:45.000000000Z",
        ),
        (
            "2025-11-21T04:20:45-05:30",
            "2025-11-21T09:50:45.000000000Z",
        ),
        (
            "2025-11-21T09:50:45.123456789Z",
            "2025-11-21T09:50:45.123456789Z",
        ),
        // The plus of a zone that was not encoded is a space in a URL.
        (
            "2025-11-21T11:50:45+02:00",
            "2025-11-21T09:50:45.000000000Z",
        ),
        (
            "2025-11-21%2011:50:45.5+02:00",
            "2025-11-21T09:50:45.500000000Z",
        ),
        ("2025-11-21T09:50:45", "2025-11-21T09:50:45.000000000Z"),
        ("2025-11-21T09:50", "2025-11-21T09:50:00.000000000Z"),
        ("2025-11-21", "2025-11-21T00:00:00.000000000Z"),
        // Before the clock of the tests, 2026-01-01T00:00:00Z.
        ("10m", "2025-12-31T23:50:00.000000000Z"),
        ("1h30m", "2025-12-31T22:30:00.000000000Z"),
        ("1.5h", "2025-12-31T22:30:00.000000000Z"),
        ("2d", "2025-12-30T00:00:00.000000000Z"),
        ("250ms", "2025-12-31T23:59:59.750000000Z"),
        ("999999d", "1970-01-01T00:00:00.000000000Z"),
    ] {
        let world = World::new("running");
        world.agent(|_| Ok(lines()));
        assert_eq!(
            world
                .ask("GET", &format!("{path}?since={given}"), None)
                .status,
            200
        );
        let sent = sent.replace(':', "%3A");
        assert_eq!(
            world.sent_to_agent(),
            [format!(
                "GET /tools/{INSTANCE}/logs?follow=false&tail=100&since={sent}"
            )]
        );
    }
    for given in [
        "soon",
        "-1",
        "1e300",
        "",
        "m",
        "10x",
        "10m5",
        "1.2.3h",
        "2025-11-2",
        "2025-11-21T",
        "2025-11-21T09",
        "2025-11-21X09:50:45Z",
        "9999999999999999999999d",
        "253402300800",
        "9999-12-31T23:59:59-01:00",
        "9999-12-31T23:59:59.9-23:59",
        "2025-11-21T09:50:45%2B009223372036854775807",
    ] {
        let world = World::new("running");
        let seen = world.ask("GET", &format!("{path}?since={given}"), None);
        assert_eq!(
            (seen.status, seen.code()),
            (400, "invalid_request"),
            "{given}"
        );
        assert!(world.sent_to_agent().is_empty());
    }
}

#[test]
fn as_many_lines_as_there_may_be_are_all() {
    let path = format!("/{TOOLBOX}/tools/{INSTANCE}/logs");
    let sent = format!("GET /tools/{INSTANCE}/logs?follow=false&tail=10000");
    let world = World::new("running");
    world.agent(|_| Ok(lines()));
    world.ask("GET", &format!("{path}?tail=all"), None);
    for tail in [json!("all"), json!(10_000), json!("10000")] {
        let body =
            json!({"toolboxId": TOOLBOX, "action": "logs", "instanceId": INSTANCE, "tail": tail});
        assert_eq!(world.ask("POST", "", Some(body)).status, 200);
    }
    assert_eq!(world.sent_to_agent(), vec![sent; 4]);
    let body = json!({"toolboxId": TOOLBOX, "action": "logs", "instanceId": INSTANCE, "since": 1_763_718_645});
    assert_eq!(world.ask("POST", "", Some(body)).status, 200);
    assert!(world.sent_to_agent()[4].ends_with("&since=2025-11-21T09%3A50%3A45.000000000Z"));
    for tail in ["ALL", "-1", "1.5", "10001", ""] {
        let seen = world.ask("GET", &format!("{path}?tail={tail}"), None);
        assert_eq!(
            (seen.status, seen.code()),
            (400, "invalid_request"),
            "{tail}"
        );
    }
}

#[test]
fn following_passes_the_lines_on_as_they_are() {
    let world = World::new("running");
    world.agent(|_| Ok(lines()));
    let seen = world.ask(
        "GET",
        &format!("/{TOOLBOX}/tools/{INSTANCE}/logs?follow=true"),
        None,
    );
    assert_eq!(
        seen.headers.get("content-type"),
        Some("application/x-ndjson")
    );
    assert!(seen.text.starts_with("{\"stream\":\"stdout\""));
}

#[test]
fn refusals_have_their_codes_and_nothing_is_invented() {
    for (told, status, code) in [
        (problem("instance_unknown", 404), 404, "instance_not_found"),
        (problem("docker_timeout", 504), 504, "docker_timeout"),
        (
            answer(200, &json!(["not lines"])),
            502,
            "agent_bad_response",
        ),
    ] {
        let world = World::new("running");
        world.agent(move |_| told.clone());
        let seen = world.ask("GET", &format!("/{TOOLBOX}/tools/{INSTANCE}/logs"), None);
        assert_eq!((seen.status, seen.code()), (status, code));
    }
}
