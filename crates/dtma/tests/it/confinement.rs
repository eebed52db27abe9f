//! What Docker holds for a container is what was asked.

use std::time::Duration;

use bollard::models::{
    ContainerInspectResponse, ContainerUpdateBody, HostConfig, NetworkDisconnectRequest,
    RestartPolicy, RestartPolicyNameEnum,
};
use serde_json::json;

use crate::agent::{Agent, Tool};
use crate::docker;

#[tokio::test]
async fn containers_are_confined_as_asked() {
    let agent = Agent::new().await;
    let tool = Tool::new(&["sleep"])
        .with("resources", json!({"memory_bytes": 50_331_648, "cpus": 0.25, "pids": 32}))
        .with("confinement", json!({"read_only_root": true, "tmpfs": ["/cache"], "add_capabilities": ["NET_BIND_SERVICE"]}))
        .with("ports", json!([{"container_port": 80}]));
    agent.deploy(&tool).await;
    let container = agent.container(&tool).await;
    let host = container.host_config.unwrap();
    assert_eq!(host.memory, Some(50_331_648));
    assert_eq!(host.nano_cpus, Some(250_000_000));
    assert_eq!(host.pids_limit, Some(32));
    assert_eq!(host.readonly_rootfs, Some(true));
    assert_eq!(host.cap_drop, Some(vec!["ALL".to_owned()]));
    assert_eq!(host.cap_add, Some(vec!["NET_BIND_SERVICE".to_owned()]));
    assert_eq!(
        host.security_opt,
        Some(vec!["no-new-privileges".to_owned()])
    );
    assert_eq!(host.privileged, Some(false));
    assert_eq!(host.init, Some(true));
    assert_eq!(host.restart_policy.unwrap().name.unwrap().to_string(), "no");
    let tmpfs = host.tmpfs.unwrap();
    assert!(tmpfs.contains_key("/tmp") && tmpfs.contains_key("/cache"));
    let log = host.log_config.unwrap();
    assert_eq!(log.typ.as_deref(), Some("json-file"));
    let options = log.config.unwrap();
    assert_eq!(
        (options["max-size"].as_str(), options["max-file"].as_str()),
        ("10m", "3")
    );
    let network = format!("toolbox-{}-{}", &agent.toolbox.to_string()[..8], tool.id);
    assert_eq!(host.network_mode, Some(network));
    assert!(host.binds.is_none_or(|b| b.is_empty()));
    // The kernel agrees: /proc of the container's first process.
    let pid = container.state.unwrap().pid.unwrap();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let field = |name: &str| {
        status
            .lines()
            .find_map(|l| l.strip_prefix(name))
            .unwrap()
            .trim()
            .to_owned()
    };
    assert_eq!(field("NoNewPrivs:"), "1");
    assert_eq!(
        u64::from_str_radix(&field("CapBnd:"), 16).unwrap(),
        1 << 10,
        "NET_BIND_SERVICE and nothing else"
    );
}

#[tokio::test]
async fn labels_tell_everything_but_secrets() {
    let agent = Agent::new().await;
    let tool = Tool::new(&["sleep"]).with("env", json!({"TOKEN": "s3cret"}));
    agent.deploy(&tool).await;
    let labels = agent.container(&tool).await.config.unwrap().labels.unwrap();
    assert_eq!(labels["io.toolbox.toolbox_id"], agent.toolbox.to_string());
    assert_eq!(labels["io.toolbox.instance_id"], tool.id.to_string());
    assert_eq!(labels["io.toolbox.generation"], "1");
    assert_eq!(labels["io.toolbox.managed_by"], "dtma");
    assert_eq!(labels["io.toolbox.spec_sha256"].len(), 64);
    assert!(labels.values().all(|v| !v.contains("s3cret")));
}

#[tokio::test]
async fn limits_that_somebody_changed_are_put_back_while_the_tool_serves() {
    let mut agent = Agent::new().await;
    let tool = Tool::new(&["sleep"]);
    let view = agent.deploy(&tool).await;
    let id = view["container_id"].as_str().unwrap().to_owned();
    let pid = |c: &ContainerInspectResponse| c.state.as_ref().unwrap().pid;
    let before = agent.container(&tool).await;
    let asked = |c: &ContainerInspectResponse| {
        let host = c.host_config.clone().unwrap();
        let policy = host.restart_policy.unwrap().name;
        (
            host.memory,
            host.memory_swap,
            host.nano_cpus,
            host.pids_limit,
            policy,
        )
    };
    let update = |memory, nano_cpus, pids_limit, name| ContainerUpdateBody {
        memory,
        memory_swap: memory,
        nano_cpus,
        pids_limit,
        restart_policy: Some(RestartPolicy {
            name,
            maximum_retry_count: None,
        }),
        ..Default::default()
    };
    let always = Some(RestartPolicyNameEnum::ALWAYS);
    for (is_away, lifted) in [
        (true, update(None, None, Some(4_000), None)),
        (false, update(Some(1 << 30), None, None, None)),
        (false, update(None, Some(2_000_000_000), None, None)),
        (false, update(None, None, None, always)),
        (
            true,
            update(Some(1 << 30), Some(2_000_000_000), Some(9), always),
        ),
    ] {
        if is_away {
            agent.kill();
        }
        docker::connect()
            .update_container(&id, lifted.clone())
            .await
            .unwrap();
        if is_away {
            agent.start().await;
        }
        docker::eventually("limits put back", Duration::from_secs(10), async || {
            asked(&agent.container(&tool).await) == asked(&before)
        })
        .await;
        let after = agent.container(&tool).await;
        assert!(docker::runs(&after));
        assert_eq!(pid(&after), pid(&before), "it ran all the time: {lifted:?}");
        let view = agent.settled(&tool).await;
        assert_eq!(
            (&view["phase"], &view["reason"]),
            (&json!("running"), &json!(null))
        );
    }
}

#[tokio::test]
async fn limits_changed_while_it_was_stopped_are_put_back_before_the_start() {
    let agent = Agent::new().await;
    let tool = Tool::new(&["sleep"]);
    let view = agent.deploy(&tool).await;
    agent.command(&tool, "stop").await.expect(200);
    let lifted = ContainerUpdateBody {
        pids_limit: Some(4_000),
        ..Default::default()
    };
    let id = view["container_id"].as_str().unwrap();
    docker::connect()
        .update_container(id, lifted)
        .await
        .unwrap();
    let view = agent.command(&tool, "start").await.expect(200);
    assert_eq!(view["phase"], "running", "{view}");
    let host = agent.container(&tool).await.host_config.unwrap();
    assert_eq!(host.pids_limit, Some(256));
}

#[tokio::test]
async fn a_container_that_docker_cannot_put_back_is_made_anew() {
    let mut agent = Agent::new().await;
    let tool = Tool::new(&["sleep"]);
    agent.deploy(&tool).await;
    agent.kill();
    let id = docker::make_again(&agent.container(&tool).await, |host| HostConfig {
        cap_drop: None,
        ..host
    })
    .await;
    agent.start().await;
    let view = agent
        .until(&tool, "a new container", Duration::from_secs(20), |v| {
            v["phase"] == "running" && v["settled"] == true && v["container_id"] != json!(id)
        })
        .await;
    assert_eq!(view["reason"], json!(null));
    let host = agent.container(&tool).await.host_config.unwrap();
    assert_eq!(host.cap_drop, Some(vec!["ALL".to_owned()]));
}

#[tokio::test]
async fn a_container_that_was_taken_out_of_its_network_is_made_anew() {
    let agent = Agent::new().await;
    let tool = Tool::new(&["http", "80"]).with("ports", json!([{"container_port": 80}]));
    let view = agent.deploy(&tool).await;
    let container = agent.container(&tool).await;
    let network = container.host_config.unwrap().network_mode.unwrap();
    let request = NetworkDisconnectRequest {
        container: container.id.unwrap(),
        force: Some(true),
    };
    docker::connect()
        .disconnect_network(&network, request)
        .await
        .unwrap();
    // Docker tells of it in an event of the network, not of the container; any command makes the agent look.
    agent.command(&tool, "start").await.expect(200);
    let port = &view["ports"][0]["host_port"];
    docker::eventually("it answers again", Duration::from_secs(10), async || {
        reqwest::get(format!("http://127.0.0.1:{port}/"))
            .await
            .is_ok()
    })
    .await;
    assert_eq!(agent.settled(&tool).await["phase"], "running");
}

#[tokio::test]
async fn a_stdio_server_keeps_its_input_open() {
    let agent = Agent::new().await;
    // It ends when its input does.
    let open = Tool::new(&["cat"])
        .with("transport", json!("stdio"))
        .with("stdin_open", json!(true));
    agent.deploy(&open).await;
    assert!(docker::runs(&agent.container(&open).await));
}
