//! Conversions between Docker's wire types and ours.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, ContainerStateStatusEnum, ContainerSummary,
    ContainerUpdateBody, EventMessage, Health, HealthStatusEnum, HostConfig, HostConfigLogConfig,
    Mount, MountPoint, MountType, MountVolumeOptions, PortBinding as DockerBinding, RestartPolicy,
    RestartPolicyNameEnum,
};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use toolbox_api::dtma::{ContainerHealth, ForeignContainer, PortBinding, Protocol};
use toolbox_domain::ids::{ToolInstanceId, ToolboxId};

use super::hardening::{Hardening, bare_capability};
use super::types::{
    Adoptable, Container, ContainerId, ContainerState, CreateContainer, EngineEvent, Inventory,
    VolumeMount,
};
use super::{labels, networks};

/// The name by which containers know the machine, as on other platforms of Docker.
const MACHINE: &str = "host.docker.internal:host-gateway";
const NO_NEW_PRIVILEGES: &str = "no-new-privileges";
/// Failures of a health check in a row after which Docker calls a container unhealthy, where its image does not say.
const DEFAULT_RETRIES: i64 = 3;

/// The body of a creation request.
/// `volumes` are all that it mounts.
pub(super) fn create_body(
    request: &CreateContainer,
    image: String,
    volumes: &[VolumeMount],
) -> ContainerCreateBody {
    let mut bindings: HashMap<String, Option<Vec<DockerBinding>>> = HashMap::new();
    for port in &request.ports {
        let list = bindings
            .entry(format!(
                "{}/{}",
                port.container_port,
                port.protocol.as_str()
            ))
            .or_default();
        list.get_or_insert_default().push(DockerBinding {
            host_ip: Some(port.host_ip.clone()),
            host_port: Some(port.host_port.to_string()),
        });
    }
    let mounts = volumes
        .iter()
        .map(|volume| Mount {
            typ: Some(MountType::VOLUME),
            source: Some(volume.name.clone()),
            target: Some(volume.path.clone()),
            volume_options: Some(MountVolumeOptions {
                labels: Some(request.volume_labels.clone()),
                ..MountVolumeOptions::default()
            }),
            ..Mount::default()
        })
        .collect();
    let spec = request.spec.wire();
    let environment = request.spec.env().iter();
    // Some tools keep their data under the name of their host, so it must not change with the container.
    let host: String = request
        .instance
        .as_uuid()
        .simple()
        .to_string()
        .chars()
        .take(12)
        .collect();
    ContainerCreateBody {
        hostname: Some(host),
        image: Some(image),
        user: spec.confinement.user.clone(),
        entrypoint: spec.entrypoint.clone(),
        cmd: spec.command.clone(),
        env: Some(
            environment
                .map(|variable| format!("{}={}", variable.name(), variable.value()))
                .collect(),
        ),
        labels: Some(request.labels.clone()),
        exposed_ports: Some(bindings.keys().cloned().collect()),
        open_stdin: Some(spec.stdin_open),
        stdin_once: Some(false),
        tty: Some(false),
        host_config: Some(HostConfig {
            port_bindings: Some(bindings),
            mounts: Some(mounts),
            extra_hosts: names_machine(request).then(|| vec![MACHINE.to_owned()]),
            ..host_config(&request.hardening)
        }),
        ..ContainerCreateBody::default()
    }
}

/// It may reach a port of the machine, so it needs a name for it.
fn names_machine(request: &CreateContainer) -> bool {
    !request.spec.host_access().is_empty()
}

fn host_config(hardening: &Hardening) -> HostConfig {
    let (driver, size, files) = &hardening.log;
    HostConfig {
        memory: Some(hardening.memory_bytes),
        // The same as memory: no swap on top of it.
        memory_swap: Some(hardening.memory_bytes),
        nano_cpus: Some(hardening.nano_cpus),
        pids_limit: Some(hardening.pids),
        security_opt: hardening
            .no_new_privileges
            .then(|| vec![NO_NEW_PRIVILEGES.to_owned()]),
        cap_drop: Some(hardening.cap_drop.iter().cloned().collect()),
        cap_add: Some(hardening.cap_add.iter().cloned().collect()),
        readonly_rootfs: Some(hardening.read_only_root),
        tmpfs: Some(hardening.tmpfs.clone().into_iter().collect()),
        network_mode: Some(hardening.network.clone()),
        log_config: Some(HostConfigLogConfig {
            typ: Some(driver.clone()),
            config: Some(HashMap::from([
                ("max-size".to_owned(), size.clone()),
                ("max-file".to_owned(), files.clone()),
            ])),
        }),
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            maximum_retry_count: None,
        }),
        init: Some(hardening.init),
        ..HostConfig::default()
    }
}

/// The body of a request that puts limits back.
pub(super) fn update_body(hardening: &Hardening) -> ContainerUpdateBody {
    let asked = host_config(hardening);
    ContainerUpdateBody {
        memory: asked.memory,
        memory_swap: asked.memory_swap,
        nano_cpus: asked.nano_cpus,
        pids_limit: asked.pids_limit,
        restart_policy: asked.restart_policy,
        ..ContainerUpdateBody::default()
    }
}

/// The confinement Docker holds.
fn hardening(host: &HostConfig) -> Hardening {
    let log_config = host.log_config.clone().unwrap_or_default();
    let log_option = |name: &str| {
        log_config
            .config
            .as_ref()
            .and_then(|c| c.get(name))
            .cloned()
            .unwrap_or_default()
    };
    let capabilities =
        |list: &Option<Vec<String>>| list.iter().flatten().map(|c| bare_capability(c)).collect();
    let is_host = |mode: &Option<String>| {
        mode.as_deref()
            .is_some_and(|m| m == "host" || m.starts_with("container:"))
    };
    Hardening {
        memory_bytes: host.memory.unwrap_or_default(),
        nano_cpus: host.nano_cpus.unwrap_or_default(),
        pids: host.pids_limit.unwrap_or_default(),
        no_new_privileges: host.security_opt.iter().flatten().any(|o| {
            o == NO_NEW_PRIVILEGES || o == "no-new-privileges:true" || o == "no-new-privileges=true"
        }),
        cap_drop: capabilities(&host.cap_drop),
        cap_add: capabilities(&host.cap_add),
        read_only_root: host.readonly_rootfs.unwrap_or_default(),
        tmpfs: host
            .tmpfs
            .clone()
            .unwrap_or_default()
            .into_iter()
            .collect::<BTreeMap<_, _>>(),
        network: host.network_mode.clone().unwrap_or_default(),
        joined: BTreeSet::new(),
        log: (
            log_config.typ.clone().unwrap_or_default(),
            log_option("max-size"),
            log_option("max-file"),
        ),
        restarts: host
            .restart_policy
            .as_ref()
            .and_then(|p| p.name)
            .is_some_and(|n| {
                !matches!(n, RestartPolicyNameEnum::NO | RestartPolicyNameEnum::EMPTY)
            }),
        init: host.init.unwrap_or_default(),
        privileged: host.privileged.unwrap_or_default(),
        host_files: host.binds.as_ref().is_some_and(|b| !b.is_empty())
            || host
                .mounts
                .iter()
                .flatten()
                .any(|m| m.typ == Some(MountType::BIND))
            || host.volumes_from.as_ref().is_some_and(|v| !v.is_empty()),
        host_namespaces: is_host(&host.pid_mode)
            || is_host(&host.ipc_mode)
            || is_host(&host.uts_mode)
            || host.userns_mode.as_deref() == Some("host")
            || host.devices.as_ref().is_some_and(|d| !d.is_empty()),
    }
}

/// A container in detail; none when Docker's answer lacks an id or a state.
pub(super) fn container(detail: &ContainerInspectResponse) -> Option<Container> {
    let state = detail.state.as_ref()?;
    let host = detail.host_config.clone().unwrap_or_default();
    let empty = HashMap::new();
    let labels = detail
        .config
        .as_ref()
        .and_then(|c| c.labels.as_ref())
        .unwrap_or(&empty);
    let started_at = timestamp(state.started_at.as_deref());
    Some(Container {
        id: ContainerId::new(detail.id.clone()?),
        name: detail
            .name
            .as_deref()
            .unwrap_or_default()
            .trim_start_matches('/')
            .to_owned(),
        revision: labels.get(labels::GENERATION).and_then(|g| g.parse().ok()),
        spec_sha256: labels.get(labels::SPEC_SHA256).cloned(),
        state: match state.status? {
            ContainerStateStatusEnum::EMPTY | ContainerStateStatusEnum::CREATED => {
                ContainerState::Created
            }
            ContainerStateStatusEnum::RUNNING
            | ContainerStateStatusEnum::RESTARTING
            | ContainerStateStatusEnum::STOPPING => ContainerState::Running,
            ContainerStateStatusEnum::PAUSED => ContainerState::Paused,
            ContainerStateStatusEnum::REMOVING => ContainerState::Removing,
            ContainerStateStatusEnum::EXITED => ContainerState::Exited,
            ContainerStateStatusEnum::DEAD => ContainerState::Dead,
        },
        started_at,
        finished_at: timestamp(state.finished_at.as_deref()),
        exit_code: started_at.and(state.exit_code),
        health: state.health.as_ref().and_then(|h| {
            let check = detail.config.as_ref().and_then(|c| c.healthcheck.as_ref());
            health(h, check.and_then(|c| c.retries))
        }),
        oom_killed: state.oom_killed.unwrap_or_default(),
        error: state.error.clone().unwrap_or_default(),
        image_digest: detail.image.clone(),
        image: detail
            .config
            .as_ref()
            .and_then(|c| c.image.clone())
            .unwrap_or_default(),
        ports: host
            .port_bindings
            .iter()
            .flatten()
            .flat_map(|(key, list)| bindings(key, list.as_deref()))
            .collect(),
        volumes: detail.mounts.iter().flatten().filter_map(volume).collect(),
        hardening: Hardening {
            network: attached_network(detail, &host),
            joined: joined_networks(detail, &host),
            ..hardening(&host)
        },
    })
}

/// The network a container was made for; empty when it runs and somebody took it out of it.
fn attached_network(detail: &ContainerInspectResponse, host: &HostConfig) -> String {
    let network = host.network_mode.clone().unwrap_or_default();
    let networks = detail
        .network_settings
        .as_ref()
        .and_then(|settings| settings.networks.as_ref());
    let runs = detail.state.as_ref().and_then(|s| s.running) == Some(true);
    let is_out = networks.is_some_and(|n| !n.contains_key(&network));
    if runs && is_out {
        return String::new();
    }
    network
}

/// The other networks of its toolbox that it is in.
fn joined_networks(detail: &ContainerInspectResponse, host: &HostConfig) -> BTreeSet<String> {
    let own = host.network_mode.as_deref().unwrap_or_default();
    let settings = detail.network_settings.as_ref();
    let networks = settings.and_then(|settings| settings.networks.as_ref());
    networks
        .into_iter()
        .flat_map(HashMap::keys)
        .filter(|name| *name != own && networks::is_of_same_toolbox(name, own))
        .cloned()
        .collect()
}

/// What the health check says; `retries` is how many failures in a row it may have. Docker calls a container unhealthy also
/// from the moment it is paused until the first check after it goes on: then nothing failed, and nothing is known yet.
fn health(health: &Health, retries: Option<i64>) -> Option<ContainerHealth> {
    let retries = retries.filter(|n| *n > 0).unwrap_or(DEFAULT_RETRIES);
    match health.status? {
        HealthStatusEnum::STARTING => Some(ContainerHealth::Starting),
        HealthStatusEnum::HEALTHY => Some(ContainerHealth::Healthy),
        HealthStatusEnum::UNHEALTHY if health.failing_streak.is_some_and(|n| n < retries) => {
            Some(ContainerHealth::Starting)
        }
        HealthStatusEnum::UNHEALTHY => Some(ContainerHealth::Unhealthy),
        HealthStatusEnum::NONE | HealthStatusEnum::EMPTY => None,
    }
}

pub(super) fn volume(mount: &MountPoint) -> Option<VolumeMount> {
    if mount.typ.as_deref() != Some("volume") {
        return None;
    }
    Some(VolumeMount {
        name: mount.name.clone()?,
        path: mount.destination.clone()?,
    })
}

fn bindings(key: &str, list: Option<&[DockerBinding]>) -> Vec<PortBinding> {
    let (port, protocol) = key.split_once('/').unwrap_or((key, "tcp"));
    let Ok(container_port) = port.parse() else {
        return Vec::new();
    };
    let protocol = if protocol == "udp" {
        Protocol::Udp
    } else {
        Protocol::Tcp
    };
    list.unwrap_or_default()
        .iter()
        .filter_map(|b| {
            Some(PortBinding {
                container_port,
                protocol,
                host_ip: b.host_ip.clone().unwrap_or_default(),
                host_port: b.host_port.as_deref()?.parse().ok()?,
            })
        })
        .collect()
}

/// Docker writes year 1 for no time.
fn timestamp(text: Option<&str>) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text?, &Rfc3339)
        .ok()
        .filter(|t| t.year() > 1)
}

/// What a container of ours was made from.
pub(super) fn adoptable(detail: &ContainerInspectResponse) -> Option<Adoptable> {
    let config = detail.config.as_ref()?;
    Some(Adoptable {
        container: container(detail)?,
        labels: config.labels.clone().unwrap_or_default(),
        environment: config.env.clone().unwrap_or_default(),
    })
}

/// Parts a list of all containers into ours and others.
pub(super) fn inventory(list: Vec<ContainerSummary>, toolbox: ToolboxId) -> Inventory {
    let mut inventory = Inventory::default();
    for summary in list {
        let Some(id) = summary.id else { continue };
        let labels = summary.labels.unwrap_or_default();
        let instance = labels
            .get(labels::TOOLBOX_ID)
            .filter(|t| **t == toolbox.to_string())
            .and_then(|_| labels.get(labels::INSTANCE_ID))
            .and_then(|i| i.parse::<ToolInstanceId>().ok());
        let brief = ForeignContainer {
            container_id: id,
            name: summary
                .names
                .and_then(|n| n.into_iter().next())
                .map(|n| n.trim_start_matches('/').to_owned())
                .unwrap_or_default(),
            image: summary.image.unwrap_or_default(),
            state: summary.state.map(|s| s.to_string()).unwrap_or_default(),
        };
        if let Some(instance) = instance {
            inventory.ours.push((instance, brief));
            continue;
        }
        for port in summary.ports.iter().flatten() {
            if let Some(public) = port.public_port {
                let udp = port.typ == Some(bollard::models::PortSummaryTypeEnum::UDP);
                inventory
                    .foreign_ports
                    .push((if udp { Protocol::Udp } else { Protocol::Tcp }, public));
            }
        }
        inventory.foreign.push(brief);
    }
    inventory
}

/// An event about a container of an instance.
pub(super) fn event(message: &EventMessage) -> Option<EngineEvent> {
    let attributes = message.actor.as_ref()?.attributes.as_ref()?;
    Some(EngineEvent {
        instance: attributes.get(labels::INSTANCE_ID)?.parse().ok()?,
        action: message.action.clone()?,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use toolbox_domain::spec::{InstanceSpec, SecretValue, ToolSpec};

    use super::*;

    pub(in crate::runtime) fn request() -> CreateContainer {
        CreateContainer {
            instance: ToolInstanceId::new(uuid::Uuid::from_u128(7)),
            name: "n".into(),
            image: "i".into(),
            image_digest: None,
            spec: InstanceSpec::validate(ToolSpec {
                image: "i".into(),
                command: Some(vec!["run".into()]),
                env: [("A".into(), SecretValue::plain("b"))].into(),
                ..ToolSpec::default()
            })
            .unwrap(),
            labels: HashMap::new(),
            volume_labels: HashMap::new(),
            ports: vec![PortBinding {
                container_port: 80,
                protocol: Protocol::Tcp,
                host_ip: "127.0.0.1".into(),
                host_port: 31000,
            }],
            volumes: Vec::new(),
            inherited_volumes: BTreeMap::new(),
            host_name: "n".into(),
            hardening: Hardening {
                memory_bytes: 64 << 20,
                nano_cpus: 500_000_000,
                pids: 64,
                no_new_privileges: true,
                cap_drop: ["ALL".to_owned()].into(),
                network: "toolbox-1".into(),
                log: ("json-file".into(), "10m".into(), "3".into()),
                init: true,
                ..Hardening::default()
            },
        }
    }

    #[test]
    fn what_is_asked_reads_back_without_difference() {
        let request = request();
        let body = create_body(&request, request.image.clone(), &[]);
        assert_eq!(body.env.unwrap(), ["A=b"]);
        let read = hardening(&body.host_config.unwrap());
        assert!(request.hardening.differences(&read).is_empty());
    }

    #[test]
    fn a_container_that_was_paused_is_not_unhealthy_before_a_check_failed() {
        let said = |status, failing_streak| Health {
            status: Some(status),
            failing_streak,
            log: None,
        };
        let unhealthy = |streak| said(HealthStatusEnum::UNHEALTHY, streak);
        let starting = Some(ContainerHealth::Starting);
        let failed = Some(ContainerHealth::Unhealthy);
        assert_eq!(health(&unhealthy(Some(0)), Some(1)), starting);
        assert_eq!(health(&unhealthy(Some(2)), None), starting);
        assert_eq!(health(&unhealthy(Some(1)), Some(1)), failed);
        assert_eq!(health(&unhealthy(Some(3)), Some(0)), failed);
        assert_eq!(health(&unhealthy(None), None), failed);
        assert_eq!(health(&said(HealthStatusEnum::NONE, Some(0)), None), None);
    }

    #[test]
    fn a_bind_mount_is_seen() {
        let body = create_body(&request(), "a/b:1".to_owned(), &[]);
        let mut host = body.host_config.unwrap();
        host.binds = Some(vec!["/var/run/docker.sock:/d".into()]);
        assert_eq!(
            request().hardening.differences(&hardening(&host)),
            ["host_files"]
        );
    }
}
