//! Who reaches whom: one network for each instance, and the ones that tools name together.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bollard::models::{ContainerInspectResponse, HostConfig, NetworkCreateRequest};
use bollard::query_parameters as q;
use dtma::runtime::docker::DockerEngine;
use dtma::runtime::hardening::Hardening;
use dtma::runtime::{ContainerRuntime, CreateContainer, labels, networks};
use ipnet::Ipv4Net;
use reqwest::Method;
use serde_json::json;
use tokio::net::TcpListener;
use toolbox_domain::ids::{ToolInstanceId, ToolboxId};
use toolbox_domain::spec::{InstanceSpec, ToolSpec};
use uuid::Uuid;

use crate::agent::{Agent, Tool};
use crate::docker;
use crate::kills::setting;

fn dialer() -> Tool {
    Tool::named("Dialer", &["dialer", "80"]).with("ports", json!([{"container_port": 80}]))
}

fn address(container: &ContainerInspectResponse) -> String {
    let networks = container
        .network_settings
        .clone()
        .unwrap()
        .networks
        .unwrap();
    let own = container.host_config.clone().unwrap().network_mode.unwrap();
    networks[&own].ip_address.clone().unwrap()
}

/// The networks of a toolbox, by their names.
async fn networks_of(toolbox: Uuid) -> BTreeMap<String, bollard::models::Network> {
    let label = format!("io.toolbox.toolbox_id={toolbox}");
    let options = q::ListNetworksOptionsBuilder::default()
        .filters(&HashMap::from([("label".to_owned(), vec![label])]))
        .build();
    let found = docker::connect()
        .list_networks(Some(options))
        .await
        .unwrap();
    found
        .into_iter()
        .map(|n| (n.name.clone().unwrap(), n))
        .collect()
}

#[tokio::test]
async fn tools_reach_each_other_only_where_they_name_the_same_network() {
    let agent = Agent::new().await;
    let shop = json!(["shop"]);
    let server = |networks| Tool::new(&["http", "80"]).with("networks", networks);
    let tools = [
        dialer(),
        server(json!([])),
        dialer().with("networks", shop.clone()),
        server(shop.clone()),
        server(json!(["other"])),
    ];
    let mut views = Vec::new();
    for tool in &tools {
        views.push(agent.deploy(tool).await);
    }
    let [_, alone, _, in_shop, in_other] = &tools;
    for (dialer, reached) in [(0, vec![]), (2, vec![in_shop])] {
        for tool in [alone, in_shop, in_other] {
            let container = agent.container(tool).await;
            let by_name = agent.dials(&views[dialer], tool.container_name(), 80).await;
            assert_eq!(
                by_name,
                reached.iter().any(|r| r.id == tool.id),
                "{dialer} to {}",
                tool.id
            );
            // Nobody reaches another's own network, whoever is in a second one with it. Docker 20.10 takes the rule that keeps
            // networks apart away for a moment whenever it makes one, which the tests beside this one make it do.
            docker::eventually("it is kept away", Duration::from_secs(5), || async {
                !agent.dials(&views[dialer], &address(&container), 80).await
            })
            .await;
        }
    }
    // A tool that leaves is not reached any more, and one that comes is.
    let (leaves, comes) = (
        in_shop.clone().next().with("networks", json!([])),
        alone
            .clone()
            .next()
            .with("networks", json!(["shop", "more"])),
    );
    agent.deploy(&leaves).await;
    agent.deploy(&comes).await;
    assert!(!agent.dials(&views[2], in_shop.container_name(), 80).await);
    assert!(agent.dials(&views[2], alone.container_name(), 80).await);
}

#[tokio::test]
async fn an_instance_takes_its_network_along() {
    let agent = Agent::new().await;
    let tool = dialer();
    agent.deploy(&tool).await;
    let own = networks::of_instance(agent.toolbox_id(), ToolInstanceId::new(tool.id));
    let network = networks_of(agent.toolbox).await.remove(&own).unwrap();
    let bridge = &network.options.unwrap()["com.docker.network.bridge.name"];
    assert!(bridge.starts_with(&networks::bridge_prefix(agent.toolbox_id())));
    assert!(std::path::Path::new("/sys/class/net").join(bridge).exists());
    agent.delete(&tool).await.expect(200);
    assert!(!networks_of(agent.toolbox).await.contains_key(&own));
}

/// A container that is made, and never started.
fn creation(toolbox: ToolboxId) -> CreateContainer {
    let instance = ToolInstanceId::new(Uuid::new_v4());
    let spec = InstanceSpec::validate(ToolSpec {
        image: docker::IMAGE.to_owned(),
        ..ToolSpec::default()
    });
    let spec = spec.unwrap();
    let labels = labels::of_instance(toolbox, instance);
    CreateContainer {
        instance,
        name: format!("dtma-test-{instance}"),
        image: docker::IMAGE.to_owned(),
        image_digest: None,
        labels: labels.clone(),
        volume_labels: labels,
        ports: Vec::new(),
        volumes: Vec::new(),
        inherited_volumes: BTreeMap::new(),
        host_name: "x".to_owned(),
        hardening: Hardening::of(&spec, toolbox, instance),
        spec,
    }
}

/// Removes what a toolbox without an agent has in Docker, also when the test fails.
struct Wiped(Uuid);

impl Drop for Wiped {
    fn drop(&mut self) {
        let toolbox = self.0;
        let wiped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.unwrap().block_on(docker::wipe(toolbox));
        });
        let _ = wiped.join();
    }
}

/// Docker's own pools end after about 31 networks.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_instances_have_networks_although_two_agents_take_from_one_pool() {
    docker::ensure_image().await;
    let is_thorough = setting("TOOLBOX_THOROUGH", 0) == 1;
    let count = if is_thorough { 200 } else { 40 };
    let pool: Vec<Ipv4Net> = vec!["10.214.0.0/21".parse().unwrap()];
    // Half of the pool's beginning belongs to somebody else.
    let taken: Ipv4Net = "10.214.0.32/27".parse().unwrap();
    let (one, other) = (Uuid::new_v4(), Uuid::new_v4());
    let _wiped = (Wiped(one), Wiped(other));
    let foreign = NetworkCreateRequest {
        name: format!("dtma-test-{one}"),
        labels: Some(labels::of_toolbox(ToolboxId::new(one))),
        ipam: Some(bollard::models::Ipam {
            config: Some(vec![bollard::models::IpamConfig {
                subnet: Some(taken.to_string()),
                ..Default::default()
            }]),
            ..Default::default()
        }),
        ..Default::default()
    };
    docker::connect().create_network(foreign).await.unwrap();
    let begun = std::time::Instant::now();
    let mut agents = tokio::task::JoinSet::new();
    for toolbox in [one, other].map(ToolboxId::new) {
        let pool = pool.clone();
        agents.spawn(async move {
            let host = "unix:///var/run/docker.sock";
            let engine = Arc::new(DockerEngine::new(host, toolbox, pool, Arc::default()));
            for _ in 0..count / 2 {
                engine.create(&creation(toolbox)).await.unwrap();
            }
        });
    }
    while let Some(ended) = agents.join_next().await {
        ended.unwrap();
    }
    println!("{count} networks in {:?}", begun.elapsed());
    let mut subnets = BTreeSet::new();
    for toolbox in [one, other] {
        for (name, network) in networks_of(toolbox).await {
            let config = network.ipam.unwrap().config.unwrap();
            let subnet: Ipv4Net = config[0].subnet.as_deref().unwrap().parse().unwrap();
            if name.starts_with("toolbox-") {
                assert!(pool[0].contains(&subnet), "{subnet}");
                assert!(!taken.contains(&subnet), "{subnet}");
                assert!(subnets.insert(subnet), "{subnet} twice");
            }
        }
    }
    assert_eq!(subnets.len(), count);
}

#[tokio::test]
async fn a_pool_without_room_is_said_so() {
    docker::ensure_image().await;
    let toolbox = Uuid::new_v4();
    let _wiped = Wiped(toolbox);
    let toolbox = ToolboxId::new(toolbox);
    // Loopback's own network: the machine has a route there.
    let pool = vec!["127.0.0.0/24".parse().unwrap()];
    let engine = DockerEngine::new("unix:///var/run/docker.sock", toolbox, pool, Arc::default());
    let error = engine.create(&creation(toolbox)).await.unwrap_err();
    let why = error.why(dtma::runtime::Operation::Create);
    assert_eq!(why.code.as_str(), "network_pool_exhausted");
    assert!(why.message.contains("DTMA_NETWORK_POOL"), "{}", why.message);
}

#[tokio::test]
async fn networks_that_nobody_needs_any_more_are_removed() {
    docker::ensure_image().await;
    let id = Uuid::new_v4();
    let _wiped = Wiped(id);
    let toolbox = ToolboxId::new(id);
    let pool = vec!["10.214.8.0/24".parse().unwrap()];
    let engine = DockerEngine::new("unix:///var/run/docker.sock", toolbox, pool, Arc::default());
    let (kept, orphan) = (creation(toolbox), creation(toolbox));
    for request in [&kept, &orphan] {
        engine.create(request).await.unwrap();
    }
    let container = docker::of_instance(id, orphan.instance.as_uuid().to_owned()).await;
    docker::remove(container[0].id.as_deref().unwrap()).await;
    let wanted = BTreeSet::from([kept.hardening.network.clone()]);
    engine.remove_networks_except(&wanted).await.unwrap();
    // It may belong to an instance that is just being made.
    assert_eq!(networks_of(id).await.len(), 2);
    engine.remove_networks_except(&wanted).await.unwrap();
    let left: Vec<_> = networks_of(id).await.into_keys().collect();
    assert_eq!(left, [kept.hardening.network]);
}

#[tokio::test]
async fn a_container_in_the_network_of_all_tools_serves_on_and_moves_at_its_next_start() {
    let mut agent = Agent::new().await;
    let tool = dialer();
    let view = agent.deploy(&tool).await;
    agent.kill();
    let former = networks::former(agent.toolbox_id());
    let network = NetworkCreateRequest {
        name: former.clone(),
        labels: Some(labels::of_toolbox(agent.toolbox_id())),
        ..Default::default()
    };
    docker::connect().create_network(network).await.unwrap();
    let id = docker::make_again(&agent.container(&tool).await, |host| HostConfig {
        network_mode: Some(former.clone()),
        ..host
    })
    .await;
    let machine = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = machine.local_addr().unwrap().port();
    // A queue of connections that nobody takes would fill up, and then look like a refusal.
    tokio::spawn(async move { while machine.accept().await.is_ok() {} });
    let seen = agent.container(&tool).await.network_settings.unwrap();
    let gateway = seen.networks.unwrap()[&former].gateway.clone().unwrap();
    assert!(agent.dials(&view, &gateway, port).await, "{gateway}");
    agent.start().await;
    assert_eq!(agent.settled(&tool).await["container_id"], json!(id));
    assert!(!agent.dials(&view, "127.0.0.1", 81).await, "it serves");
    // The rules count for its network, too.
    docker::eventually("it is refused", Duration::from_secs(20), async || {
        !agent.dials(&view, &gateway, port).await
    })
    .await;
    agent.command(&tool, "restart").await.expect(200);
    let container = agent.container(&tool).await;
    let own = networks::of_instance(agent.toolbox_id(), ToolInstanceId::new(tool.id));
    assert_eq!(container.host_config.unwrap().network_mode, Some(own));
    assert!(docker::runs(&agent.container(&tool).await));
}

#[tokio::test]
async fn a_tool_that_was_taken_out_of_a_common_network_comes_back() {
    let agent = Agent::new().await;
    let server = Tool::new(&["http", "80"]).with("networks", json!(["shop"]));
    let dialer = dialer().with("networks", json!(["shop"]));
    agent.deploy(&server).await;
    let view = agent.deploy(&dialer).await;
    let joint = networks::joint(agent.toolbox_id(), "shop");
    let request = bollard::models::NetworkDisconnectRequest {
        container: agent.container(&server).await.id.unwrap(),
        force: Some(true),
    };
    docker::connect()
        .disconnect_network(&joint, request)
        .await
        .unwrap();
    agent.command(&server, "start").await.expect(200);
    docker::eventually("it is reached again", Duration::from_secs(20), async || {
        agent.dials(&view, server.container_name(), 80).await
    })
    .await;
    let status = agent.call(Method::GET, "/status").await.expect(200);
    assert_eq!(status["tool_instances"].as_array().unwrap().len(), 2);
}
