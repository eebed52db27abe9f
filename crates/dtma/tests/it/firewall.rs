//! Containers are kept away from the machine itself. `tests/security/network_test.ts` attacks the whole stack.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::time::Duration;

use dtma::firewall::{netlink, rules, table};
use reqwest::Method;
use serde_json::{Value, json};

use crate::agent::{Agent, Tool};
use crate::docker;

fn dialer(access: &[&str]) -> Tool {
    Tool::named("Dialer", &["dialer", "80"])
        .with("ports", json!([{"container_port": 80}]))
        .with("host_access", json!(access))
}

async fn status(agent: &Agent) -> Value {
    let status = agent.call(Method::GET, "/status").await.expect(200);
    status["system_metrics"]["host_firewall"].clone()
}

async fn gateway(agent: &Agent, tool: &Tool) -> String {
    let networks = agent
        .container(tool)
        .await
        .network_settings
        .unwrap()
        .networks;
    let mut networks = networks.unwrap().into_values();
    networks.next().unwrap().gateway.unwrap()
}

#[tokio::test]
async fn a_tool_reaches_no_port_of_the_machine_but_those_that_it_names() {
    let agent = Agent::new().await;
    let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
    let [closed, open] = [(); 2].map(|()| TcpListener::bind("0.0.0.0:0").unwrap());
    let exception = format!("host:{}", port(&open));
    let (refused, excepted) = (dialer(&[]), dialer(&[&exception]));
    // The agent's own port is never an exception, and sshd's neither.
    let own = format!("host:{}", agent.port());
    for access in [&own, "host:22", "169.254.169.254:80"] {
        let problem = agent.put(&dialer(&[access])).await;
        let problem = problem.expect_problem(422, "invalid_spec");
        let field = problem["errors"][0]["field"].as_str().unwrap();
        assert!(field.starts_with("host_access"), "{problem}");
    }
    let (refused_view, excepted_view) =
        (agent.deploy(&refused).await, agent.deploy(&excepted).await);
    let comments = netlink::comments(&table(agent.toolbox_id())).unwrap();
    let is_there = |words: &str| comments.iter().any(|c| c.starts_with(words));
    assert!(is_there(&exception), "{comments:?}");
    assert!(
        is_there("the machine") && is_there("link-local addresses"),
        "{comments:?}"
    );
    for (tool, view, reaches) in [
        (&refused, &refused_view, false),
        (&excepted, &excepted_view, true),
    ] {
        let gateway = gateway(&agent, tool).await;
        assert_eq!(agent.dials(view, &gateway, port(&open)).await, reaches);
        assert!(!agent.dials(view, &gateway, port(&closed)).await);
        // Published ports work, as the answers show; it reaches itself.
        assert!(agent.dials(view, "127.0.0.1", 80).await);
    }
    let machine = "host.docker.internal";
    assert!(agent.dials(&excepted_view, machine, port(&open)).await);
    assert!(!agent.dials(&refused_view, machine, port(&open)).await);
    // An exception ends with the spec that named it.
    let without = excepted.clone().next().with("host_access", json!([]));
    let view = agent.deploy(&without).await;
    let gateway = gateway(&agent, &without).await;
    assert!(!agent.dials(&view, &gateway, port(&open)).await);
}

#[tokio::test]
async fn rules_that_somebody_removed_come_back() {
    let mut agent = Agent::new().await;
    let table = table(agent.toolbox_id());
    let comments = || netlink::comments(&table).unwrap();
    // The container that tries them changes them, too.
    docker::eventually("a look", Duration::from_secs(20), async || {
        status(&agent).await["detail"]
            .as_str()
            .is_some_and(|detail| detail.contains("needs a C library"))
    })
    .await;
    let before = comments();
    // The agent may just be setting them after its look, and then misses nothing.
    for _ in 0..3 {
        netlink::remove(&table).unwrap();
        docker::eventually("the same rules", Duration::from_secs(20), async || {
            comments() == before
        })
        .await;
        if agent.log().contains("they were put back") {
            break;
        }
    }
    assert!(
        agent.log().contains("they were put back"),
        "{}",
        agent.log()
    );
    // The containers go on running without the agent, and so do the rules.
    agent.terminate().await;
    assert_eq!(comments(), before);
    agent.start().await;
    let tool = dialer(&["host:53/udp"]);
    agent.deploy(&tool).await;
    assert!(comments().iter().any(|c| c.starts_with("host:53/udp (")));
    agent.delete(&tool).await.expect(200);
    docker::eventually("no exceptions", Duration::from_secs(20), async || {
        comments() == before
    })
    .await;
}

/// Before Docker was asked, the agent does not know the bridge that tools of an earlier agent share.
#[tokio::test]
async fn a_start_without_docker_leaves_the_rules_of_an_earlier_agent() {
    let mut agent = Agent::new().await;
    let table = table(agent.toolbox_id());
    agent.kill();
    let former = ["br-0a1b2c3d4e5f".to_owned()];
    let rules = rules::rules("tbxnobody", &former, &BTreeSet::new(), &[]);
    netlink::replace(&table, &rules).unwrap();
    let before = netlink::comments(&table).unwrap();
    let docker = std::mem::replace(&mut agent.docker_host, "unix:///nowhere.sock".to_owned());
    agent.start().await;
    docker::eventually("a look", Duration::from_secs(20), async || {
        let told = status(&agent).await;
        let detail = told["detail"].as_str().unwrap_or_default();
        !detail.contains("not set yet")
    })
    .await;
    assert_eq!(netlink::comments(&table).unwrap(), before);
    // Docker says that there is no such bridge any more.
    agent.kill();
    agent.docker_host = docker;
    agent.start().await;
    docker::eventually("its own rules", Duration::from_secs(20), async || {
        let now = netlink::comments(&table).unwrap();
        !now.is_empty() && now.len() < before.len()
    })
    .await;
}

/// Tests run a build of the agent that needs a C library, which an empty image lacks: nothing is claimed then.
#[tokio::test]
async fn rules_that_no_container_could_try_are_not_called_verified() {
    let agent = Agent::new().await;
    docker::eventually("a look", Duration::from_secs(20), async || {
        let told = status(&agent).await;
        told["state"] == "unverified"
            && told["detail"]
                .as_str()
                .unwrap()
                .contains("needs a C library")
    })
    .await;
    let metrics = agent.call(Method::GET, "/metrics").await.body;
    let metrics = metrics.as_str().unwrap().to_owned();
    assert!(
        metrics.contains("dtma_host_firewall{state=\"unverified\"} 1"),
        "{metrics}"
    );
}

#[tokio::test]
async fn an_agent_that_may_not_set_rules_says_so_and_runs_tools() {
    docker::ensure_image().await;
    let mut agent = Agent::prepare();
    let drop = [
        "setpriv",
        "--bounding-set=-net_admin",
        "--inh-caps=-net_admin",
    ];
    agent.wrapper = drop.map(ToOwned::to_owned).into();
    agent.start().await;
    agent.deploy(&dialer(&[])).await;
    let told = status(&agent).await;
    assert_eq!(told["state"], "unavailable", "{told}");
    assert!(
        told["detail"].as_str().unwrap().contains("NET_ADMIN"),
        "{told}"
    );
    assert!(agent.log().contains("NET_ADMIN"), "{}", agent.log());
    assert!(
        netlink::comments(&table(agent.toolbox_id()))
            .unwrap()
            .is_empty()
    );
}
