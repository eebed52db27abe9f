use serde_json::json;
use toolbox_api::edge::Via;
use toolbox_clients::dtma::LogQuery;
use toolbox_domain::retry::Fault;
use toolbox_http::recorded::run;

use crate::Progress;
use crate::change::Change;
use crate::test_world::{World, request, target, toolbox};
use crate::testing::{INSTANCE, TOOLBOX, answer, by_ssh, fault, problem};

fn change(world: &World, change: Change) -> crate::Outcome {
    run(world
        .instances
        .change(&request(), toolbox(), &target(), change))
    .unwrap()
}

#[test]
fn what_the_machine_shows_becomes_the_row_where_the_agent_is_gone() {
    for (status, asked, action, state, ends) in [
        ("running", Change::Stop, "stop", "stopped", "stopped"),
        ("stopped", Change::Start, "start", "running", "running"),
        ("running", Change::Restart, "restart", "running", "running"),
    ] {
        let world = World::new(status);
        world.agent(|_| fault(Fault::Refused));
        world.ssh(move |body| {
            let operation = json!({"kind": "instance", "action": action, "id": INSTANCE});
            assert_eq!(body, json!({"toolboxId": TOOLBOX, "operation": operation}));
            by_ssh(&json!({"ok": true, "by": "machine", "state": state}))
        });
        let outcome = change(&world, asked);
        assert_eq!(
            (outcome.via, outcome.progress),
            (Some(Via::Ssh), Progress::Done)
        );
        let tables = world.tables();
        let row = tables.row.as_ref().unwrap();
        assert_eq!(row["status_on_toolbox"], ends);
        assert_eq!(
            row["container_id"], "abc",
            "what was not seen stays as it was"
        );
        assert_eq!(tables.operation.as_ref().unwrap()["state"], "succeeded");
    }
}

#[test]
fn a_deletion_by_ssh_ends_when_the_agent_says_so() {
    let world = World::new("running");
    world.agent(|_| fault(Fault::Timeout));
    world.ssh(|_| by_ssh(&json!({"ok": true, "by": "machine", "state": "absent"})));
    let outcome = change(&world, Change::Delete);
    assert_eq!(
        (outcome.via, outcome.progress),
        (Some(Via::Ssh), Progress::Accepted)
    );
    assert_eq!(
        world.tables().row.as_ref().unwrap()["status_on_toolbox"],
        "pending_delete"
    );
}

#[test]
fn a_machine_that_shows_something_else_is_believed() {
    let not_settled = json!({"code": "not_settled", "message": "x"});
    for said in [
        json!({"ok": false, "by": "machine", "state": "stopped", "error": not_settled}),
        json!({"ok": false, "by": "agent", "error": not_settled}),
        json!({"ok": true, "by": "machine", "state": "stopped"}),
    ] {
        let world = World::new("stopped");
        world.agent(|_| fault(Fault::Refused));
        world.ssh(move |_| by_ssh(&said));
        let outcome = change(&world, Change::Start);
        assert_eq!(
            (outcome.via, outcome.progress),
            (Some(Via::Ssh), Progress::Accepted)
        );
        assert_eq!(
            world.tables().row.as_ref().unwrap()["status_on_toolbox"],
            "starting"
        );
    }
}

#[test]
fn where_ssh_fails_too_the_first_failure_is_the_answer_and_doubt_stays_doubt() {
    for (ssh, still) in [
        ("ssh_not_enrolled", "running"),
        ("ssh_host_key_changed", "running"),
        ("ssh_timeout", "stopping"),
        ("ssh_connection_lost", "stopping"),
        ("moonshine", "stopping"),
    ] {
        let world = World::new("running");
        world.agent(|_| fault(Fault::Refused));
        world.ssh(move |_| {
            let error = json!({"code": ssh, "message": "x", "request_id": "x"});
            answer(503, &json!({ "error": error }))
        });
        let seen = world.change("stop");
        assert_eq!(seen.code(), "agent_unreachable", "{ssh}");
        assert_eq!(
            world.tables().row.as_ref().unwrap()["status_on_toolbox"],
            still,
            "{ssh}"
        );
        assert!(world.host.log().contains("ssh_"), "{ssh}");
    }
}

#[test]
fn an_agent_that_answers_is_not_gone_round() {
    for said in ["docker_unreachable", "instance_unknown"] {
        let world = World::new("running");
        world.agent(move |_| problem(said, if said == "instance_unknown" { 404 } else { 503 }));
        world.ssh(|_| panic!("not asked"));
        let _ = world.change("stop");
    }
}

#[test]
fn the_last_lines_come_by_ssh_unless_only_some_of_them_are_wanted() {
    let world = World::new("running");
    world.agent(|_| fault(Fault::Refused));
    world.ssh(|body| {
        assert_eq!(
            body["operation"],
            json!({"kind": "instance_logs", "id": INSTANCE, "tail": 5000})
        );
        let line = json!({"stream": "stderr", "time": null, "line": "hello"});
        by_ssh(&json!({"ok": true, "by": "machine", "entries": [line]}))
    });
    let query = |stream| LogQuery {
        tail: Some(9000),
        since: None,
        stream,
    };
    let found = run(world
        .instances
        .logs(&request(), toolbox(), &target(), &query(None)))
    .unwrap();
    assert_eq!(
        (found.via, &*found.lines[0].line),
        (Some(Via::Ssh), "hello")
    );
    let stderr = toolbox_api::edge::LogFilter::parse("stderr");
    let refused = run(world
        .instances
        .logs(&request(), toolbox(), &target(), &query(stderr)));
    assert_eq!(refused.unwrap_err().code.as_str(), "agent_unreachable");
}
