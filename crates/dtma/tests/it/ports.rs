//! Host ports: given, kept, refused.

use std::net::TcpListener;

use serde_json::{Value, json};

use crate::agent::{Agent, Tool};
use crate::docker;

fn host_port(view: &Value) -> u16 {
    u16::try_from(view["ports"][0]["host_port"].as_u64().unwrap()).unwrap()
}

#[tokio::test]
async fn ports_are_given_from_the_range_on_loopback_and_kept() {
    let mut agent = Agent::new().await;
    let wish = json!([{"container_port": 8080}]);
    let (a, b) = (
        Tool::new(&["http", "8080"]).with("ports", wish.clone()),
        Tool::new(&["http", "8080"]).with("ports", wish),
    );
    let (first, second) = tokio::join!(agent.deploy(&a), agent.deploy(&b));
    assert_ne!(host_port(&first), host_port(&second));
    for view in [&first, &second] {
        assert!((agent.ports.0..=agent.ports.1).contains(&host_port(view)));
        assert_eq!(view["ports"][0]["host_ip"], "127.0.0.1");
        let answer = reqwest::get(format!("http://127.0.0.1:{}/", host_port(view)))
            .await
            .unwrap();
        assert_eq!(answer.text().await.unwrap(), "ok");
    }
    agent.command(&a, "stop").await.expect(200);
    agent.kill();
    agent.start().await;
    let again = agent.command(&a, "start").await.expect(200);
    assert_eq!(
        host_port(&again),
        host_port(&first),
        "kept while stopped, and over a restart of the agent"
    );
    agent.delete(&a).await.expect(200);
    let c = Tool::new(&["sleep"]).with(
        "ports",
        json!([{"container_port": 1, "host_port": host_port(&first)}]),
    );
    assert_eq!(
        host_port(&agent.deploy(&c).await),
        host_port(&first),
        "given back by the deletion"
    );
}

#[tokio::test]
async fn taken_ports_are_refused_before_anything_changes() {
    let agent = Agent::new().await;
    let wish = |port: u16| json!([{"container_port": 80, "host_port": port}]);
    let free = agent.ports.0 + 5;
    let holder = Tool::new(&["sleep"]).with("ports", wish(free));
    agent.deploy(&holder).await;

    let rival = Tool::new(&["sleep"]).with("ports", wish(free));
    agent.put(&rival).await.expect_problem(409, "port_in_use");
    let program = TcpListener::bind("127.0.0.1:0").unwrap();
    let bound = Tool::new(&["sleep"]).with("ports", wish(program.local_addr().unwrap().port()));
    agent.put(&bound).await.expect_problem(409, "port_in_use");
    for (reserved, tool) in
        [22_u16, 3000, 30000].map(|p| (p, Tool::new(&["sleep"]).with("ports", wish(p))))
    {
        let problem = agent.put(&tool).await.expect_problem(422, "invalid_spec");
        assert_eq!(
            problem["errors"][0]["field"], "ports[0].host_port",
            "{reserved}"
        );
    }
    for refused in [&rival, &bound] {
        agent
            .view(refused)
            .await
            .expect_problem(404, "instance_unknown");
        assert!(!agent.record(refused).exists());
    }
    // An update of the holder itself may keep its port.
    let update = holder.clone().next().with("env", json!({"A": "1"}));
    assert_eq!(host_port(&agent.deploy(&update).await), free);
}

#[tokio::test]
async fn an_exhausted_range_is_told() {
    let mut agent = Agent::prepare();
    docker::ensure_image().await;
    agent.ports.1 = agent.ports.0 + 1;
    agent.start().await;
    let many = |n: u16| {
        json!(
            (1..=n)
                .map(|p| json!({"container_port": p}))
                .collect::<Vec<_>>()
        )
    };
    let tool = Tool::new(&["sleep"]).with("ports", many(3));
    agent
        .put(&tool)
        .await
        .expect_problem(409, "ports_exhausted");
    agent.deploy(&tool.with("ports", many(2))).await;
}

#[tokio::test]
async fn a_port_taken_while_the_tool_was_stopped_is_an_error_until_it_is_free() {
    let agent = Agent::new().await;
    let tool = Tool::new(&["http", "8080"]).with("ports", json!([{"container_port": 8080}]));
    let view = agent.deploy(&tool).await;
    agent.command(&tool, "stop").await.expect(200);
    let thief = TcpListener::bind(("127.0.0.1", host_port(&view))).unwrap();
    let failed = agent.command(&tool, "start").await.expect(200);
    assert_eq!(
        (&failed["phase"], &failed["reason"]["code"]),
        (&json!("error"), &json!("port_in_use")),
        "{failed}"
    );
    drop(thief);
    let started = agent.command(&tool, "start").await.expect(200);
    assert_eq!(
        (&started["phase"], host_port(&started)),
        (&json!("running"), host_port(&view))
    );
}

#[tokio::test]
async fn udp_and_tcp_have_their_own_ports() {
    let agent = Agent::new().await;
    let port = agent.ports.0 + 3;
    let ports = json!([
        {"container_port": 53, "protocol": "udp", "host_port": port},
        {"container_port": 53, "protocol": "tcp", "host_port": port},
    ]);
    let view = agent
        .deploy(&Tool::new(&["sleep"]).with("ports", ports))
        .await;
    assert_eq!(view["ports"].as_array().unwrap().len(), 2);
}
