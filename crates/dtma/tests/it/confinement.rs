//! What Docker holds for a container is what was asked.

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
    let network = format!("toolbox-{}", &agent.toolbox.to_string()[..8]);
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
async fn a_container_whose_limits_were_lifted_is_stopped_and_told() {
    let mut agent = Agent::new().await;
    let tool = Tool::new(&["sleep"]);
    let view = agent.deploy(&tool).await;
    agent.kill();
    let lifted = bollard::models::ContainerUpdateBody {
        pids_limit: Some(4_000),
        ..Default::default()
    };
    docker::connect()
        .update_container(view["container_id"].as_str().unwrap(), lifted)
        .await
        .unwrap();
    agent.start().await;
    let view = agent.settled(&tool).await;
    assert_eq!(
        (&view["phase"], &view["reason"]["code"]),
        (&json!("error"), &json!("hardening_not_applied")),
        "{view}"
    );
    assert!(view["reason"]["message"].as_str().unwrap().contains("pids"));
    assert!(!docker::runs(&agent.container(&tool).await));
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
