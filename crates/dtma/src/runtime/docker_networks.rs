//! The networks of a toolbox in Docker: made before a container needs them, removed after the last one.

use std::collections::{BTreeSet, HashMap};

use bollard::errors::Error as DockerError;
use bollard::models::{
    EndpointSettings, Ipam, IpamConfig, Network, NetworkConnectRequest, NetworkCreateRequest,
};
use bollard::query_parameters::{ListNetworksOptions, ListNetworksOptionsBuilder};
use ipnet::Ipv4Net;
use toolbox_domain::ids::ToolInstanceId;

use super::docker::DockerEngine;
use super::docker_resources::absent;
use super::{ContainerId, CreateContainer, Operation, RuntimeError, labels, networks};

const BRIDGE_NAME: &str = "com.docker.network.bridge.name";
const BETWEEN_CONTAINERS: &str = "com.docker.network.bridge.enable_icc";
/// How much of a network's id is in the name that Docker gives its bridge.
const DOCKERS_ID_CHARS: usize = 12;
/// Subnets that are tried for one network while others take them.
const MAX_TRIES: usize = 32;

/// What is known of the networks. Docker's API needs a look before a network is made, so only one caller does both at a time.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Networks that were there when Docker was last asked.
    present: BTreeSet<String>,
    /// Networks that nobody wanted when they were last looked through.
    unwanted: BTreeSet<String>,
}

/// What a network is for.
#[derive(Clone, Copy, Debug)]
enum Purpose {
    /// One instance alone.
    Own(ToolInstanceId),
    /// Tools that reach each other.
    Joint,
    /// Commands of builds, which fetch what they need.
    Builds,
    /// The container that tries to reach the machine.
    Probe,
}

/// How Docker answered the creation of a network.
enum Made {
    Yes,
    /// The subnet, or the bridge's name, belongs to another network.
    Overlaps,
}

impl DockerEngine {
    /// The networks of `request` exist afterwards.
    pub(super) async fn ensure_networks(
        &self,
        request: &CreateContainer,
    ) -> Result<(), RuntimeError> {
        let mut known = self.networks.lock().await;
        let own = (&request.hardening.network, Purpose::Own(request.instance));
        let joint = request.hardening.joined.iter();
        let joint = joint.map(|name| (name, Purpose::Joint));
        for (name, purpose) in std::iter::once(own).chain(joint) {
            if !known.present.contains(name) {
                self.ensure_network(name, purpose).await?;
                known.present.insert(name.clone());
            }
            known.unwanted.remove(name);
        }
        Ok(())
    }

    /// The probe's network exists afterwards.
    pub(super) async fn ensure_probe_network(&self) -> Result<(), RuntimeError> {
        let _one_at_a_time = self.networks.lock().await;
        let name = networks::of_probe(self.toolbox);
        self.ensure_network(&name, Purpose::Probe).await
    }

    /// The network of builds exists afterwards.
    pub(super) async fn ensure_build_network(&self) -> Result<(), RuntimeError> {
        let mut known = self.networks.lock().await;
        let name = networks::of_builds(self.toolbox);
        self.ensure_network(&name, Purpose::Builds).await?;
        known.unwanted.remove(&name);
        Ok(())
    }

    async fn ensure_network(&self, name: &str, purpose: Purpose) -> Result<(), RuntimeError> {
        let length = match purpose {
            Purpose::Own(_) | Purpose::Probe => networks::OWN_LENGTH,
            Purpose::Joint | Purpose::Builds => networks::JOINT_LENGTH,
        };
        let mut refused = Vec::new();
        for _ in 0..MAX_TRIES {
            // Each time anew: another agent, or an earlier request of this one, may have made it.
            let all = self.all_networks(None).await?;
            if all.iter().any(|n| n.name.as_deref() == Some(name)) {
                return Ok(());
            }
            let mut taken = machine_networks().await;
            taken.extend(all.iter().flat_map(subnets));
            taken.extend(&refused);
            let Some(subnet) = networks::first_free(&self.pool, length, &taken) else {
                return Err(RuntimeError::NoSubnet);
            };
            match self.make_network(name, purpose, subnet).await? {
                Made::Yes => return Ok(()),
                Made::Overlaps => refused.push(subnet),
            }
        }
        Err(RuntimeError::NoSubnet)
    }

    async fn make_network(
        &self,
        name: &str,
        purpose: Purpose,
        subnet: Ipv4Net,
    ) -> Result<Made, RuntimeError> {
        let owner = match purpose {
            Purpose::Own(instance) => labels::of_instance(self.toolbox, instance),
            Purpose::Joint | Purpose::Builds | Purpose::Probe => labels::of_toolbox(self.toolbox),
        };
        let bridge = networks::bridge(self.toolbox, name);
        let mut options = HashMap::from([(BRIDGE_NAME.to_owned(), bridge)]);
        if matches!(purpose, Purpose::Builds) {
            // Builds of several tools run there at once, and none needs another.
            options.insert(BETWEEN_CONTAINERS.to_owned(), "false".to_owned());
        }
        let request = NetworkCreateRequest {
            name: name.to_owned(),
            driver: Some("bridge".to_owned()),
            // Its tools reach the internet through their own networks.
            internal: Some(matches!(purpose, Purpose::Joint)),
            options: Some(options),
            ipam: Some(Ipam {
                config: Some(vec![IpamConfig {
                    subnet: Some(subnet.to_string()),
                    // The one that Docker takes by itself; Docker 20.10 tells only of one that was asked for.
                    gateway: subnet.hosts().next().map(|first| first.to_string()),
                    ..IpamConfig::default()
                }]),
                ..Ipam::default()
            }),
            labels: Some(owner),
            ..NetworkCreateRequest::default()
        };
        self.call(
            (Operation::Create, "create a network"),
            self.deadlines.change,
            |docker| async move {
                match docker.create_network(request).await {
                    Err(DockerError::DockerResponseServerError { message, .. })
                        if is_overlap(&message) =>
                    {
                        Ok(Made::Overlaps)
                    }
                    other => other.map(|_| Made::Yes),
                }
            },
        )
        .await
    }

    /// Puts a container that does not run yet into the networks that its tool shares.
    pub(super) async fn join(
        &self,
        container: &ContainerId,
        request: &CreateContainer,
    ) -> Result<(), RuntimeError> {
        for network in &request.hardening.joined {
            let connection = NetworkConnectRequest {
                container: container.as_str().to_owned(),
                endpoint_config: Some(EndpointSettings {
                    // The container of an update has another name until it has proven itself.
                    aliases: Some(vec![request.host_name.clone()]),
                    ..EndpointSettings::default()
                }),
            };
            self.call(
                (Operation::Create, "connect the container to a network"),
                self.deadlines.change,
                |docker| async move { docker.connect_network(network, connection).await },
            )
            .await?;
        }
        Ok(())
    }

    /// A network was missing: look again before the next container.
    pub(super) async fn forget_networks(&self) {
        self.networks.lock().await.present.clear();
    }

    pub(super) async fn remove_network_of(
        &self,
        instance: ToolInstanceId,
    ) -> Result<(), RuntimeError> {
        let name = networks::of_instance(self.toolbox, instance);
        let mut known = self.networks.lock().await;
        known.present.remove(&name);
        self.remove_network_named(&name).await
    }

    /// Removes networks of this toolbox that are in `wanted` neither now nor at the last call, and that no running
    /// container uses. So none is taken from a container that is just being made.
    pub(super) async fn remove_unwanted_networks(
        &self,
        wanted: &BTreeSet<String>,
    ) -> Result<(), RuntimeError> {
        let mut known = self.networks.lock().await;
        let ours = self.all_networks(Some(self.ours(None))).await?;
        let unwanted: BTreeSet<String> = ours
            .into_iter()
            .filter_map(|network| network.name)
            .filter(|name| !wanted.contains(name))
            .collect();
        let before = std::mem::replace(&mut known.unwanted, unwanted);
        let again: Vec<_> = before.intersection(&known.unwanted).cloned().collect();
        for name in &again {
            known.present.remove(name);
            match self.remove_network_named(name).await {
                Ok(()) => tracing::info!(
                    network = name,
                    "removed a network that nobody needs any more"
                ),
                Err(error) if error.is_outage() => return Err(error),
                // A container is in it still.
                Err(error) => tracing::debug!(network = name, %error, "a network stays"),
            }
        }
        Ok(())
    }

    /// The bridges of the network that all tools shared before each had its own.
    pub(super) async fn bridges_of_former(&self) -> Result<Vec<String>, RuntimeError> {
        let name = networks::former(self.toolbox);
        let ours = self.all_networks(Some(self.ours(None))).await?;
        let former = ours.iter().filter(|n| n.name.as_deref() == Some(&*name));
        let mut bridges: Vec<_> = former.filter_map(bridge_of).collect();
        bridges.sort_unstable();
        Ok(bridges)
    }

    pub(super) async fn remove_network_named(&self, name: &str) -> Result<(), RuntimeError> {
        self.call(
            (Operation::Remove, "remove a network"),
            self.deadlines.change,
            |docker| async move { absent(docker.remove_network(name).await) },
        )
        .await
    }

    async fn all_networks(
        &self,
        filters: Option<HashMap<String, Vec<String>>>,
    ) -> Result<Vec<Network>, RuntimeError> {
        let options: Option<ListNetworksOptions> = filters.map(|filters| {
            ListNetworksOptionsBuilder::default()
                .filters(&filters)
                .build()
        });
        self.call(
            (Operation::Look, "list networks"),
            self.deadlines.look,
            |docker| async move { docker.list_networks(options).await },
        )
        .await
    }
}

/// The interface of a network of the driver "bridge": the one that it was made with, else the one that Docker names.
fn bridge_of(network: &Network) -> Option<String> {
    let options = network.options.as_ref();
    let named = options.and_then(|options| options.get(BRIDGE_NAME));
    named.cloned().or_else(|| {
        let start = network.id.as_deref()?.get(..DOCKERS_ID_CHARS)?;
        Some(format!("br-{start}"))
    })
}

/// The words of Docker 20 to 29 for a subnet, or a bridge's name, that another network has.
fn is_overlap(message: &str) -> bool {
    const WORDS: &[&str] = &[
        "pool overlaps",
        "overlapping ipv4",
        "networks have same bridge name",
        "already exists",
    ];
    let lower = message.to_lowercase();
    WORDS.iter().any(|words| lower.contains(words))
}

fn subnets(network: &Network) -> Vec<Ipv4Net> {
    let configs = network.ipam.iter().flat_map(|ipam| ipam.config.iter());
    configs
        .flatten()
        .filter_map(|config| config.subnet.as_deref()?.parse().ok())
        .collect()
}

/// The networks this machine is in or has a route to. Docker does not compare those with a subnet it is told to use.
async fn machine_networks() -> Vec<Ipv4Net> {
    let read = || {
        let table = std::fs::read_to_string("/proc/net/route").unwrap_or_default();
        let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
        let own = interfaces
            .into_iter()
            .filter_map(|interface| match interface.addr {
                if_addrs::IfAddr::V4(v4) => Ipv4Net::with_netmask(v4.ip, v4.netmask).ok(),
                if_addrs::IfAddr::V6(_) => None,
            });
        own.chain(networks::routes(&table)).collect()
    };
    tokio::task::spawn_blocking(read).await.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bridge_of_a_network_is_the_one_it_names_or_that_of_its_id() {
        let mut network = Network {
            id: Some("0a1b2c3d4e5f60718293".to_owned()),
            ..Network::default()
        };
        assert_eq!(bridge_of(&network).unwrap(), "br-0a1b2c3d4e5f");
        network.options = Some(HashMap::from([(BRIDGE_NAME.to_owned(), "own0".to_owned())]));
        assert_eq!(bridge_of(&network).unwrap(), "own0");
    }

    #[test]
    fn a_subnet_that_another_network_has_is_known_by_dockers_words() {
        for message in [
            "Pool overlaps with other one on this address space",
            "invalid pool request: Pool overlaps with other one on this address space",
            "cannot create network 0a1b (tbxaaaaabbbbbbb): conflicts with network 2c3d (br-2c3d): networks have overlapping IPv4",
            "cannot create network 0a1b (tbxaaaaabbbbbbb): conflicts with network 2c3d (tbxaaaaabbbbbbb): networks have same bridge name",
            "network with name toolbox-1 already exists",
        ] {
            assert!(is_overlap(message), "{message}");
        }
        assert!(!is_overlap("permission denied"));
    }
}
