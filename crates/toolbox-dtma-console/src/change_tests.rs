use serde_json::{Value, json};
use toolbox_domain::retry::Fault;
use toolbox_instances::testing::{TOOLBOX, USER, answer, fault};

use crate::testing::{World, executed, machine, path, problem};

fn change(phase: &str) -> Value {
    json!({"operation": {"id": "c1", "kind": "redeploy", "from": "0.1.0", "to": "0.2.0", "phase": phase,
        "reason": (phase == "rolled_back").then(|| json!({"code": "not_healthy", "message": "No answer in 60 s"})),
        "started_at": "2026-01-01T00:00:00Z", "finished_at": null}})
}

#[test]
fn a_restart_is_accepted_by_the_first_way_that_takes_it_and_told_to_the_history() {
    let world = World::new();
    world.agent(|path| match path {
        "POST /v1/machine/restart" => answer(202, &json!({"accepted": true})),
        _ => problem("route_unknown", 404),
    });
    for (at, body) in [
        (path("restart"), None),
        (
            "/".to_owned(),
            Some(json!({"toolboxId": TOOLBOX, "action": "restart"})),
        ),
    ] {
        let seen = world.ask("POST", &at, body);
        assert_eq!(seen.status, 202, "{}", seen.text);
        assert_eq!(seen.body["success"], true);
        assert_eq!(seen.body["action"], "restart");
        assert_eq!(seen.body["method"], "dtma_endpoint");
        assert_eq!(seen.body["details"], json!({"accepted": true}));
    }
    let event = &world.sent("record_toolbox_event")[0]["p"];
    assert_eq!(event["kind"], "agent_restart");
    assert_eq!(
        (&event["actor_kind"], &event["actor_id"]),
        (&json!("user"), &json!(USER))
    );
    assert_eq!(event["result"], "begun");
    assert_eq!(event["request_id"], "req-1");
    let end = &world.sent("end_toolbox_event")[0]["p"];
    assert_eq!(
        (&end["id"], &end["result"]),
        (&json!(7), &json!("accepted"))
    );
    assert_eq!(end["detail"]["method"], "dtma_endpoint");
}

#[test]
fn a_change_that_the_history_does_not_take_is_not_asked_for() {
    let world = World::new();
    world.agent(|path| panic!("{path} was asked"));
    world.rpc("record_toolbox_event", json!({"outcome": "not_found"}));
    let seen = world.ask("POST", &path("restart"), None);
    assert_eq!(seen.refusal(), (404, "toolbox_not_found"));
    world.rpc("record_toolbox_event", json!({"outcome": "perhaps"}));
    let seen = world.ask("POST", &path("restart"), None);
    assert_eq!(seen.refusal(), (502, "database_bad_response"));
}

#[test]
fn with_the_agent_dead_the_companion_restarts_it_and_with_both_dead_ssh() {
    let world = World::new();
    world.agent(|_| fault(Fault::Refused));
    world.companion(|_| answer(202, &json!({"accepted": true})));
    let seen = world.ask("POST", &path("restart"), None);
    assert_eq!(
        (seen.status, &seen.body["method"]),
        (202, &json!("companion"))
    );
    world.companion(|_| fault(Fault::Refused));
    world.executor(
        200,
        executed(&json!({"ok": true, "by": "companion", "data": {"accepted": true}})),
    );
    let seen = world.ask("POST", &path("restart"), None);
    assert_eq!((seen.status, &seen.body["method"]), (202, &json!("ssh")));
    assert_eq!(seen.body["attempts"].as_array().unwrap().len(), 2);
    world.executor(
        200,
        executed(&json!({"ok": false, "by": "machine", "error": {"code": "unavailable", "message": "Nobody answers"}})),
    );
    let seen = world.ask("POST", &path("restart"), None);
    assert_eq!(seen.refusal(), (503, "agent_unreachable"));
    assert_eq!(seen.body["success"], false);
    assert_eq!(seen.body["attempts"][2]["code"], "ssh_command_refused");
    let ends = world.sent("end_toolbox_event");
    assert_eq!(ends[2]["p"]["result"], "agent_unreachable");
}

#[test]
fn what_the_machine_says_by_ssh_is_told_and_is_no_refusal_of_its_sshd() {
    let world = World::new();
    world.agent(|_| fault(Fault::Refused));
    world.companion(|_| fault(Fault::Refused));
    for (said, code, message) in [
        (
            "companion_unreachable",
            "companion_unreachable",
            "The companion on the machine cannot be reached: Use agent-restart",
        ),
        (
            "unheard_of",
            "ssh_command_refused",
            "The machine did not do what was asked: Use agent-restart",
        ),
    ] {
        let error = json!({"code": said, "message": "Use agent-restart"});
        world.executor(
            200,
            executed(&json!({"ok": false, "by": "machine", "error": error})),
        );
        let seen = world.ask("POST", &path("rollback"), None);
        let attempt = &seen.body["attempts"][2];
        assert_eq!(
            (&attempt["code"], &attempt["message"]),
            (&json!(code), &json!(message))
        );
    }
}

#[test]
fn only_post_changes_something() {
    let world = World::new();
    for action in ["restart", "redeploy", "rollback"] {
        for method in ["PUT", "PATCH", "DELETE"] {
            let body = json!({"toolboxId": TOOLBOX, "action": action, "version": "1"});
            let seen = world.ask(method, "/", Some(body));
            assert_eq!(seen.refusal(), (405, "method_not_allowed"));
        }
    }
    assert!(world.transport.sent().is_empty());
    let seen = world.ask(
        "POST",
        "/",
        Some(json!({"toolboxId": TOOLBOX, "action": "reboot"})),
    );
    assert_eq!(seen.refusal(), (400, "invalid_action"));
    let seen = world.ask("POST", "/", Some(json!({"action": "status"})));
    assert_eq!(seen.refusal(), (400, "invalid_request"));
}

#[test]
fn a_redeployment_is_to_the_given_version_or_the_one_that_the_operator_wants() {
    let script = |path: &str| match path {
        "POST /v1/machine/redeploy" => answer(202, &json!({"id": "c1"})),
        _ => problem("route_unknown", 404),
    };
    let world = World::new();
    world.agent(script);
    let seen = world.ask("POST", &path("redeploy"), None);
    assert_eq!(seen.refusal(), (400, "invalid_request"));
    let seen = world.ask("POST", &path("redeploy"), Some(json!({"version": "../1"})));
    assert_eq!(seen.refusal(), (400, "invalid_request"));
    assert!(world.sent("/v1/machine/redeploy").is_empty());

    world.rpc(
        "get_agent_version",
        json!({"outcome": "found", "version": "0.2.0"}),
    );
    for (body, version) in [
        (None, "0.2.0"),
        (Some(json!({"version": "0.3.0"})), "0.3.0"),
    ] {
        let seen = world.ask("POST", &path("redeploy"), body);
        assert_eq!(seen.status, 202, "{}", seen.text);
        assert_eq!(seen.body["details"]["id"], "c1");
        let last = world.sent("/v1/machine/redeploy").pop().unwrap();
        assert_eq!(last, json!({"version": version}));
        let event = world.sent("record_toolbox_event").pop().unwrap();
        assert_eq!(event["p"]["detail"]["version"], version);
    }
}

#[test]
fn what_is_waited_for_is_told_as_it_ended() {
    for (end, status, result) in [
        ("healthy", 200, "succeeded"),
        ("rolled_back", 502, "redeploy_failed"),
        ("draining", 202, "accepted"),
    ] {
        let world = World::new();
        let mut looks = 0;
        world.agent(move |path| match path {
            "POST /v1/machine/redeploy" => answer(202, &json!({"id": "c1"})),
            "GET /v1/machine/operation" => {
                looks += 1;
                match looks {
                    1 => answer(200, &json!({"operation": null})),
                    2 => fault(Fault::Refused),
                    3 => answer(200, &change("candidate")),
                    _ => answer(200, &change(end)),
                }
            }
            _ => problem("route_unknown", 404),
        });
        let body = Some(json!({"version": "0.2.0"}));
        let seen = world.ask_with("POST", &path("redeploy"), body, &[("prefer", "wait=20")]);
        assert_eq!(seen.status, status, "{}", seen.text);
        assert_eq!(seen.body["operation"]["phase"], end);
        let end = world.sent("end_toolbox_event").pop().unwrap();
        assert_eq!(end["p"]["result"], result);
        if end == "rolled_back" {
            assert_eq!(seen.body["operation"]["reason"]["code"], "not_healthy");
        }
    }
}

#[test]
fn a_restart_has_succeeded_when_a_younger_agent_answers() {
    let world = World::new();
    let mut looks = 0;
    world.agent(move |path| {
        if path == "POST /v1/machine/restart" {
            answer(202, &json!({"accepted": true}))
        } else {
            looks += 1;
            let mut status = machine("agent", "healthy");
            status["agent"]["uptime_seconds"] = json!(if looks < 3 { 900 } else { 0 });
            answer(200, &status)
        }
    });
    let seen = world.ask_with("POST", &path("restart"), None, &[("prefer", "wait=20")]);
    assert_eq!(seen.status, 200, "{}", seen.text);
    assert!(
        seen.body["message"]
            .as_str()
            .unwrap()
            .contains("started again")
    );
}

#[test]
fn a_refusal_is_final_and_other_ways_are_not_tried() {
    let world = World::new();
    world.agent(|_| problem("version_change_in_progress", 409));
    world.companion(|_| panic!("the companion would say the same"));
    let seen = world.ask("POST", &path("rollback"), None);
    assert_eq!(seen.refusal(), (409, "version_change_in_progress"));
    assert_eq!(seen.body["attempts"].as_array().unwrap().len(), 1);
    world.agent(|_| problem("companion_unreachable", 503));
    world.companion(|_| problem("no_previous_version", 409));
    let seen = world.ask("POST", &path("rollback"), None);
    assert_eq!(seen.refusal(), (409, "no_previous_version"));
}

#[test]
fn the_last_change_can_be_asked_for() {
    let world = World::new();
    world.agent(|_| fault(Fault::Refused));
    world.companion(|path| match path {
        "GET /v1/machine/operation" => answer(200, &change("starting")),
        _ => problem("route_unknown", 404),
    });
    let seen = world.ask("GET", &path("operation"), None);
    assert_eq!(seen.status, 200, "{}", seen.text);
    assert_eq!(seen.body["operation"]["phase"], "starting");
    assert_eq!(seen.body["method"], "companion");
    assert!(
        world.sent("record_toolbox_event").is_empty(),
        "nothing was done"
    );
}

#[test]
fn logs_come_from_who_has_them() {
    let text = |lines: &str| {
        let mut response = toolbox_http::Response::new(200, lines.as_bytes().to_vec());
        response
            .headers
            .set("content-type", "text/plain; charset=utf-8");
        Ok(response)
    };
    let world = World::new();
    world.agent(move |path| match path {
        "GET /v1/machine/logs?tail=2" => text("one\ntwo\n"),
        "GET /v1/machine/logs?tail=2&follow=true" => text("one\ntwo\nthree\n"),
        _ => panic!("{path}"),
    });
    let seen = world.ask("GET", &path("logs?tail=2"), None);
    assert_eq!(seen.status, 200, "{}", seen.text);
    assert_eq!(seen.body["logs"], json!(["one", "two"]));
    assert_eq!(seen.body["method"], "dtma_endpoint");
    let body = json!({"toolboxId": TOOLBOX, "action": "logs", "tail": 2, "follow": true});
    let seen = world.ask("POST", "/", Some(body));
    assert_eq!(seen.text, "one\ntwo\nthree\n");
    assert_eq!(
        seen.headers.get("content-type"),
        Some("text/plain; charset=utf-8")
    );

    world.agent(|_| fault(Fault::Refused));
    world.executor(
        200,
        executed(&json!({"ok": true, "by": "machine", "lines": ["by ssh"]})),
    );
    let seen = world.ask("GET", &path("logs?tail=2"), None);
    assert_eq!(seen.body["logs"], json!(["by ssh"]));
    assert_eq!(
        world.sent("executor")[0]["operation"],
        json!({"kind": "agent_logs", "tail": 2})
    );
    let seen = world.ask("GET", &path("logs?follow=true"), None);
    assert_eq!(seen.refusal(), (503, "agent_unreachable"));
    for bad in ["logs?tail=5001", "logs?tail=x", "logs?follow=maybe"] {
        assert_eq!(
            world.ask("GET", &path(bad), None).refusal(),
            (400, "invalid_request")
        );
    }
}
