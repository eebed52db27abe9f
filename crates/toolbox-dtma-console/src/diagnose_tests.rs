use serde_json::{Value, json};
use toolbox_domain::retry::Fault;
use toolbox_instances::testing::{answer, fault};

use crate::testing::{AGENT, World, executed, machine, path, problem, row};

fn verdicts(world: &World) -> (Value, impl Fn(&str) -> String + use<>) {
    let seen = world.ask("GET", &path("diagnose"), None);
    assert_eq!(seen.status, 200, "{}", seen.text);
    let body = seen.body;
    for check in body["checks"].as_array().unwrap() {
        let is_bad = matches!(check["verdict"].as_str().unwrap(), "warning" | "failed");
        assert_eq!(
            check["action"].is_string(),
            is_bad,
            "one action for what is bad: {check}"
        );
        assert_ne!(check["evidence"], "");
    }
    let checks = body["checks"].clone();
    let of = move |name: &str| {
        let all = checks.as_array().unwrap();
        let found: Vec<_> = all.iter().filter(|c| c["name"] == name).collect();
        assert!(found.len() <= 1, "{name} is there once");
        found.first().map_or("absent".to_owned(), |c| {
            c["verdict"].as_str().unwrap().to_owned()
        })
    };
    (body, of)
}

/// Everything is well; each test breaks one thing.
fn healthy() -> World {
    let world = World::new();
    world.companion(|path| match path {
        "GET /health" => answer(200, &json!({"version": "0.1.0"})),
        _ => problem("route_unknown", 404),
    });
    world.executor(200, executed(&json!({"ok": true, "by": "machine"})));
    world.agent(|path| match path {
        "GET /v1/machine/status" => answer(200, &machine("agent", "healthy")),
        "GET /v1/machine/diagnose" => answer(
            200,
            &json!({"checks": [
                {"name": "docker", "verdict": "ok", "evidence": "Docker 20.10 answers"},
                {"name": "clock", "verdict": "not_checked", "evidence": "there is no connection"},
            ]}),
        ),
        _ => problem("route_unknown", 404),
    });
    world
}

#[test]
fn a_healthy_machine_passes_every_check() {
    let world = healthy();
    let (body, of) = verdicts(&world);
    for name in [
        "address",
        "agent_tcp",
        "agent_key",
        "agent_api",
        "agent",
        "heartbeat",
        "companion_from_outside",
        "ssh",
        "docker",
        "clock",
    ] {
        assert_eq!(of(name), "ok", "{name} in {body}");
    }
    assert_eq!(of("agent_tls"), "warning", "plain HTTP on loopback");
    assert_eq!(body["method"], "dtma_endpoint");
    assert_eq!(
        world.sent("executor")[0]["operation"],
        json!({"kind": "host_health"})
    );
}

#[test]
fn each_fault_of_the_way_to_the_agent_fails_one_check_and_leaves_the_next_open() {
    for (fault_of, expected) in [
        (
            Fault::Tls,
            [
                ("agent_tls", "failed"),
                ("agent_key", "not_checked"),
                ("agent_api", "not_checked"),
            ],
        ),
        (
            Fault::Timeout,
            [
                ("agent_tls", "not_checked"),
                ("agent_api", "not_checked"),
                ("agent", "failed"),
            ],
        ),
        (
            Fault::Refused,
            [
                ("agent_tls", "not_checked"),
                ("agent_key", "not_checked"),
                ("agent", "failed"),
            ],
        ),
    ] {
        let world = healthy();
        world.agent(move |_| fault(fault_of));
        let (body, of) = verdicts(&world);
        for (name, verdict) in expected {
            assert_eq!(of(name), verdict, "{name} with {fault_of:?} in {body}");
        }
        assert_eq!(of("machine"), "not_checked", "nobody could be asked");
        assert_eq!(body["verdict"], "failed");
    }
}

#[test]
fn a_port_where_nothing_listens_a_wrong_key_and_an_old_agent_are_told_apart() {
    let world = World::new();
    world.agent(|_| fault(Fault::Refused));
    world.host().listen(AGENT, b"");
    let (_, of) = verdicts(&world);
    assert_eq!(of("agent_tcp"), "ok", "a router may listen");
    let mut elsewhere = row();
    elsewhere["dtma_port"] = json!(30001);
    world.row(elsewhere);
    world.transport.on(|request| {
        request
            .url
            .contains(":30001")
            .then(|| fault(Fault::Refused))
    });
    let (_, of) = verdicts(&world);
    assert_eq!(of("agent_tcp"), "failed");

    let world = healthy();
    world.agent(|_| problem("unauthorized", 401));
    let (_, of) = verdicts(&world);
    assert_eq!(
        (of("agent_tcp").as_str(), of("agent_key").as_str()),
        ("ok", "failed")
    );

    world.agent(|_| problem("route_unknown", 404));
    let (_, of) = verdicts(&world);
    assert_eq!(
        (of("agent_key").as_str(), of("agent_api").as_str()),
        ("ok", "failed")
    );
    world.agent(|_| {
        let mut old = machine("agent", "healthy");
        old["agent"]["api_version"] = json!(1);
        answer(200, &old)
    });
    let (_, of) = verdicts(&world);
    assert_eq!(of("agent_api"), "failed");
}

#[test]
fn what_the_rows_and_the_other_ways_tell_is_judged_too() {
    let world = healthy();
    let told = |change: fn(&mut Value)| {
        let mut changed = row();
        change(&mut changed);
        world.row(changed);
        verdicts(&world).1
    };
    assert_eq!(
        told(|row| row["last_heartbeat_at"] = json!("2025-12-31T23:54:00Z"))("heartbeat"),
        "warning"
    );
    assert_eq!(
        told(|row| row["status"] = json!("unresponsive"))("heartbeat"),
        "failed"
    );
    assert_eq!(
        told(|row| row["last_heartbeat_at"] = Value::Null)("heartbeat"),
        "failed"
    );
    let of = told(|row| row["public_ip_address"] = Value::Null);
    assert_eq!(
        (of("address").as_str(), of("agent_tcp").as_str()),
        ("failed", "absent")
    );
    world.row(row());
    world.companion(|_| fault(Fault::Refused));
    assert_eq!(verdicts(&world).1("companion_from_outside"), "failed");
    world.executor(502, json!({"error": {"code": "ssh_host_key_changed", "message": "Another host key", "request_id": "r"}}));
    assert_eq!(verdicts(&world).1("ssh"), "failed");
    world.executor(
        500,
        json!({"error": {"code": "not_configured", "message": "m", "request_id": "r"}}),
    );
    assert_eq!(verdicts(&world).1("ssh"), "not_checked");
    world.agent(|path| match path {
        "GET /v1/machine/status" => {
            let mut late = machine("agent", "degraded");
            late["timestamp"] = json!("2026-01-01T00:02:00Z");
            answer(200, &late)
        }
        _ => answer(
            200,
            &json!({"checks": [{"name": "clock", "verdict": "not_checked", "evidence": "x"}]}),
        ),
    });
    let of = verdicts(&world).1;
    assert_eq!(
        (of("clock").as_str(), of("agent").as_str()),
        ("failed", "warning")
    );
}
