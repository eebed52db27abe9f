use serde_json::json;
use toolbox_api::error::ErrorCode;
use toolbox_domain::retry::Fault;
use toolbox_http::Pin;

use crate::test_world::{PREVIOUS_ROOT, ROOT, World};
use crate::testing::{INSTANCE, TOOLBOX, answer, fault, problem, row, view};

fn tools(views: &[serde_json::Value]) -> serde_json::Value {
    json!({"toolbox_id": TOOLBOX, "version": "0.1.0", "api_version": 2, "tools": views,
        "foreign": [{"container_id": "f", "name": "theirs", "image": "x", "state": "running"}]})
}

#[test]
fn rows_are_joined_with_the_agents_view_in_two_round_trips() {
    let world = World::new("running");
    let mut orphan = view("running", 1);
    orphan["id"] = "44444444-4444-4444-8444-444444444444".into();
    world.agent(move |_| answer(200, &tools(&[view("running", 4), orphan.clone()])));
    let seen = world.list().unwrap();
    assert_eq!(seen["agent"]["reachable"], true);
    let tool = &seen["instances"][0];
    assert_eq!(tool["status_on_toolbox"], "running");
    assert_eq!(
        (&tool["state_source"], &tool["state_age_seconds"]),
        (&json!("live"), &json!(0))
    );
    assert_eq!(seen["foreign"][0]["name"], "theirs");
    assert_eq!(
        seen["orphans"][0]["id"],
        "44444444-4444-4444-8444-444444444444"
    );
    assert_eq!(seen["agent"]["reachable"], true);
    assert_eq!(world.transport.sent().len(), 2);
    assert_eq!(world.host.run_background(), 0, "nothing to record");
}

#[test]
fn without_the_agent_the_last_known_state_and_its_age_are_shown() {
    for (answer, code) in [
        (fault(Fault::Timeout), "agent_timeout"),
        (fault(Fault::Refused), "agent_unreachable"),
        (fault(Fault::Tls), "agent_certificate_invalid"),
        (fault(Fault::CannotPin), "agent_pin_unsupported"),
        (problem("unauthorized", 401), "agent_unauthorized"),
        (problem("route_unknown", 404), "agent_too_old"),
        (problem("docker_unreachable", 503), "docker_unreachable"),
        (answer(404, &json!({"error": "Not Found"})), "agent_too_old"),
        (
            answer(200, &json!({"status": "healthy"})),
            "agent_bad_response",
        ),
    ] {
        let world = World::new("running");
        world.agent(move |_| answer.clone());
        let seen = world.list().unwrap();
        assert_eq!(seen["agent"]["reachable"], false, "{code}");
        assert_eq!(seen["agent"]["code"], code);
        let tool = &seen["instances"][0];
        assert_eq!(
            (&tool["state_source"], &tool["state_age_seconds"]),
            (
                &json!("last_known"),
                &json!(if code == "agent_timeout" { 70 } else { 60 })
            )
        );
        assert_eq!(tool["status_on_toolbox"], "running");
    }
}

#[test]
fn an_agent_that_may_not_be_called_is_not_called() {
    for (ip, certificate, code) in [
        (json!(null), json!(null), "toolbox_not_ready"),
        (json!("nonsense"), json!(null), "toolbox_not_ready"),
        (json!("203.0.113.7"), json!(null), "agent_not_enrolled"),
        (json!("169.254.169.254"), json!(null), "agent_not_enrolled"),
    ] {
        let world = World::new("running");
        world.tables().toolbox["public_ip_address"] = ip;
        world.tables().toolbox["dtma_certificate_pem"] = certificate;
        let seen = world.list().unwrap();
        assert_eq!(seen["agent"]["code"], code);
        assert_eq!(world.transport.sent().len(), 1);
    }
}

#[test]
fn an_enrolled_agent_is_called_by_the_name_in_its_certificate() {
    let world = World::new("running");
    world.tables().toolbox["public_ip_address"] = "2001:db8::7/128".into();
    world.tables().toolbox["dtma_certificate_pem"] = "PEM".into();
    world.transport.on(|request| {
        request
            .url
            .starts_with(&format!("https://{TOOLBOX}.toolbox.invalid/tools"))
            .then(|| answer(200, &tools(&[])))
    });
    assert_eq!(world.list().unwrap()["agent"]["reachable"], true);
    let pin = Pin {
        certificate: "PEM".into(),
        proxy: "http://[2001:db8::7]:30000".into(),
    };
    assert_eq!(world.transport.sent()[1].pin, Some(pin));
}

#[test]
fn what_the_agent_shows_differently_is_told_at_once_and_recorded_afterwards() {
    for (status, seen_phase, shown, history) in [
        (
            "stopped",
            Some("running"),
            "running",
            &["stopped>starting", "starting>running"][..],
        ),
        ("running", Some("error"), "error", &["running>error"]),
        ("running", None, "error", &["running>error"]),
        ("error", Some("running"), "running", &["error>running"]),
        ("running", Some("stopped"), "stopped", &["running>stopped"]),
    ] {
        let world = World::new(status);
        let views: Vec<_> = seen_phase.map(|phase| view(phase, 4)).into_iter().collect();
        world.agent(move |_| answer(200, &tools(&views)));
        let seen = world.list().unwrap();
        assert_eq!(seen["instances"][0]["status_on_toolbox"], shown, "{status}");
        assert_eq!(world.status(), status, "not before the answer");
        assert_eq!(world.host.run_background(), 1);
        assert_eq!(world.tables().history, history);
        assert_eq!(
            world.rpc("record_tool_instance_states")[0]["items"][0]["actor_kind"],
            "agent"
        );
    }
}

#[test]
fn an_absence_is_not_decided_again_on_a_row_that_moved() {
    for (before, meanwhile, after) in [
        ("starting", "running", "running"),
        ("pending_delete", "deleting", "gone"),
    ] {
        let world = World::new(before);
        world.agent(move |path| {
            if path.starts_with("DELETE") {
                answer(200, &json!({"id": INSTANCE, "removed": true}))
            } else {
                answer(200, &tools(&[]))
            }
        });
        world.list().unwrap();
        world.tables().row = Some(row(meanwhile));
        world.host.run_background();
        assert_eq!(world.status(), after, "{before}");
    }
}

#[test]
fn an_operation_whose_worker_died_is_closed_by_the_next_look() {
    let world = World::new("deploying");
    world.tables().operation = Some(json!({"id": "o", "state": "in_progress"}));
    world.agent(|_| answer(200, &tools(&[view("running", 4)])));
    world.list().unwrap();
    world.host.run_background();
    assert_eq!(
        (world.status().as_str(), world.operation().as_str()),
        ("running", "succeeded")
    );
}

#[test]
fn a_roll_back_is_left_to_be_told_by_the_agent() {
    // Only the database knows whether the spec before is still there to go back to.
    for (status, shown) in [("error", "error"), ("deploying", "running")] {
        let world = World::new(status);
        let mut rolled_back = view("running", 4);
        rolled_back["rolled_back"] = true.into();
        world.agent(move |_| answer(200, &tools(&[rolled_back.clone()])));
        let tool = world.list().unwrap()["instances"][0].clone();
        assert_eq!(
            (&tool["status_on_toolbox"], &tool["state_source"]),
            (&json!(shown), &json!("live"))
        );
        assert_eq!(world.host.run_background(), 0);
        assert_eq!(world.status(), status);
    }
}

#[test]
fn a_deletion_that_never_arrived_is_an_error_once_its_lease_has_ended() {
    for (lease_lives, status) in [(true, "pending_delete"), (false, "error")] {
        let world = World::new("pending_delete");
        world.tables().row.as_mut().unwrap()["desired_status"] = "absent".into();
        if lease_lives {
            world.tables().operation = Some(json!({"id": "o", "state": "in_progress"}));
        }
        world.agent(|_| answer(200, &tools(&[view("running", 3)])));
        let shown = world.list().unwrap()["instances"][0].clone();
        assert_eq!(shown["status_on_toolbox"], "pending_delete");
        world.host.run_background();
        assert_eq!(world.status(), status);
    }
}

#[test]
fn a_command_on_its_way_is_not_mistaken_for_its_end() {
    // Begun in the database, not yet at the agent: it still shows the state before.
    for views in [vec![view("running", 3)], vec![]] {
        let world = World::new("stopping");
        world.tables().row.as_mut().unwrap()["desired_status"] = "stopped".into();
        world.tables().operation = Some(json!({"id": "o", "state": "in_progress"}));
        world.agent(move |_| answer(200, &tools(&views)));
        let seen = world.list().unwrap();
        let tool = &seen["instances"][0];
        assert_eq!(
            (&tool["status_on_toolbox"], &tool["state_source"]),
            (&json!("stopping"), &json!("last_known"))
        );
        world.host.run_background();
        assert_eq!(
            (world.status().as_str(), world.operation().as_str()),
            ("stopping", "in_progress")
        );
    }
}

#[test]
fn another_toolbox_at_the_same_address_is_not_shown() {
    let world = World::new("running");
    let mut other = tools(&[view("running", 4)]);
    other["toolbox_id"] = INSTANCE.into();
    world.agent(move |_| answer(200, &other));
    let seen = world.list().unwrap();
    assert_eq!(seen["agent"]["code"], "agent_bad_response");
    assert_eq!(seen["foreign"], json!([]));
}

#[test]
fn a_toolbox_nobody_shows_is_not_found_and_an_unreadable_row_is_our_fault() {
    let world = World::new("running");
    world.transport.on(|request| {
        request
            .url
            .contains("account_tool_environments")
            .then(|| answer(200, &json!([])))
    });
    assert_eq!(world.list().unwrap_err().code, ErrorCode::ToolboxNotFound);
    let world = World::new("running");
    world.tables().row = Some({
        let mut broken = row("running");
        broken["status_on_toolbox"] = "active".into();
        broken
    });
    let error = world.list().unwrap_err();
    assert_eq!(error.code, ErrorCode::DatabaseBadResponse);
    assert!(error.cause.unwrap().contains("unknown state"));
}

#[test]
fn a_silent_toolbox_says_since_when_and_its_instances_are_unknown_since_then() {
    let since = "2025-12-31T23:00:00+00:00";
    let health = json!({"state": "unhealthy", "evidence": "tools/list was not answered within 5 s",
        "since": since, "checked_at": since, "last_success_at": null, "latency_ms": null, "protocol_version": "2025-11-25",
        "server_name": null, "server_version": null, "tool_count": 2, "tools_fingerprint": null});
    let world = World::new("running");
    {
        let mut tables = world.tables();
        tables.toolbox["status"] = "unresponsive".into();
        tables.toolbox["unresponsive_since"] = since.into();
        tables.toolbox["instances_confirmed_at"] = "2025-12-31T23:59:30+00:00".into();
        tables.row.as_mut().unwrap()["mcp_health"] = health.clone();
    }
    for reachable in [false, true] {
        world.agent(move |call| match call {
            _ if !reachable => fault(Fault::Refused),
            "GET /tools" => answer(200, &tools(&[view("running", 4)])),
            _ => answer(200, &view("running", 4)),
        });
        let all = world.list().unwrap();
        let one = world.get().unwrap();
        for (answer, instance) in [(&all, &all["instances"][0]), (&one, &one["instance"])] {
            assert_eq!(answer["agent"]["unresponsive_since"], since);
            // An agent that answers says what is, whether it reports or not.
            let unknown = if reachable { json!(null) } else { json!(since) };
            assert_eq!(instance["unknown_since"], unknown);
            let age = if reachable { 0 } else { 30 };
            assert_eq!(instance["state_age_seconds"], age, "a heartbeat confirms");
            assert_eq!(instance["mcp"], health);
        }
    }
}

#[test]
fn an_agent_is_called_with_the_key_it_last_proved() {
    use toolbox_domain::keys::{Purpose, RootId, derive_agent_key};
    let id = |root: &str, epoch| json!(format!("{}.{epoch}", RootId::of(root.as_bytes())));
    for (key_id, root, epoch) in [
        (json!(null), ROOT, 0),
        (id(ROOT, 0), ROOT, 0),
        (id(ROOT, 3), ROOT, 3),
        (id(PREVIOUS_ROOT, 2), PREVIOUS_ROOT, 2),
    ] {
        let world = World::new("running");
        world.tables().toolbox["dtma_key_id"] = key_id;
        world.list().unwrap();
        let toolbox = TOOLBOX.parse().unwrap();
        let key =
            derive_agent_key(root.as_bytes(), toolbox, Purpose::ControlToAgent, epoch).unwrap();
        let sent = world.transport.sent();
        assert_eq!(
            sent.last().unwrap().request.headers.get("authorization"),
            Some(format!("Bearer {}", key.expose()).as_str())
        );
    }
    let world = World::new("running");
    world.tables().toolbox["dtma_key_id"] = "00000000.1".into();
    let seen = world.list().unwrap();
    assert_eq!(seen["agent"]["code"], "agent_unauthorized");
    assert!(seen["agent"]["message"].as_str().unwrap().contains("enrol"));
    assert!(world.sent_to_agent().is_empty());
}
