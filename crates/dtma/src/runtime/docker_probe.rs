//! The container that tries to reach the machine: its network, its image and its run. Nothing of it stays.

use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr};

use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, CreateImageOptionsBuilder, RemoveContainerOptionsBuilder,
    RemoveImageOptionsBuilder, WaitContainerOptionsBuilder,
};
use bytes::Bytes;
use futures_util::StreamExt;

use super::docker::DockerEngine;
use super::docker_resources::absent;
use super::{Operation, RuntimeError, networks};
use crate::firewall::probe::{COMMAND, ProbeRequest};
use crate::reason::ReasonCode;

/// How much of the program is read at once.
const PIECE: usize = 64 * 1024;
/// Where the program is in its image.
const PROGRAM: &str = "dtma";

impl DockerEngine {
    /// The probe's network, and the machine's address in it.
    pub(super) async fn begin_probe_run(&self) -> Result<Ipv4Addr, RuntimeError> {
        let name = networks::of_probe(self.toolbox);
        self.ensure_probe_network().await?;
        let network = self
            .call(
                (Operation::Look, "inspect a network"),
                self.deadlines.look,
                |docker| async move { docker.inspect_network(&name, None).await },
            )
            .await?;
        let configs = network.ipam.and_then(|ipam| ipam.config);
        let gateways = configs.into_iter().flatten().filter_map(|c| c.gateway);
        let address = gateways
            .filter_map(|g| g.parse().ok())
            .find_map(|ip| match ip {
                IpAddr::V4(ip) => Some(ip),
                IpAddr::V6(_) => None,
            });
        address.ok_or_else(|| failed("Docker names no gateway of the probe's network"))
    }

    /// The probe's exit code.
    pub(super) async fn probe(&self, request: &ProbeRequest) -> Result<i64, RuntimeError> {
        let name = networks::of_probe(self.toolbox);
        self.remove_probe_container().await?;
        self.import_program(request, &name).await?;
        let options = CreateContainerOptionsBuilder::default().name(&name).build();
        let mut command = vec![format!("/{PROGRAM}"), COMMAND.to_owned()];
        command.extend(request.targets.iter().map(ToString::to_string));
        let body = ContainerCreateBody {
            image: Some(name.clone()),
            cmd: Some(command),
            host_config: Some(HostConfig {
                network_mode: Some(name.clone()),
                cap_drop: Some(vec!["ALL".to_owned()]),
                security_opt: Some(vec!["no-new-privileges".to_owned()]),
                readonly_rootfs: Some(true),
                memory: Some(64 << 20),
                pids_limit: Some(16),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        self.call(
            (Operation::Create, "create the probe"),
            self.deadlines.change,
            |docker| async move { docker.create_container(Some(options), body).await },
        )
        .await?;
        self.call(
            (Operation::Start, "run the probe"),
            self.deadlines.change,
            |docker| async move {
                docker.start_container(&name, None).await?;
                let options = WaitContainerOptionsBuilder::default()
                    .condition("not-running")
                    .build();
                let mut ends = docker.wait_container(&name, Some(options));
                match ends.next().await {
                    // bollard reports an exit code other than 0 as an error.
                    Some(Err(bollard::errors::Error::DockerContainerWaitError {
                        code, ..
                    })) => Ok(code),
                    Some(answer) => answer.map(|a| a.status_code),
                    None => Ok(-1),
                }
            },
        )
        .await
    }

    /// Removes all that a probe needs.
    pub(super) async fn end_probe_run(&self) -> Result<(), RuntimeError> {
        let name = networks::of_probe(self.toolbox);
        self.remove_probe_container().await?;
        let image = name.clone();
        let options = RemoveImageOptionsBuilder::default().force(true).build();
        self.call(
            (Operation::Remove, "remove the probe's image"),
            self.deadlines.change,
            |docker| async move {
                let removed = docker.remove_image(&image, Some(options), None).await;
                absent(removed.map(drop))
            },
        )
        .await?;
        self.remove_network_named(&name).await
    }

    async fn remove_probe_container(&self) -> Result<(), RuntimeError> {
        let name = networks::of_probe(self.toolbox);
        let options = RemoveContainerOptionsBuilder::default().force(true).build();
        self.call(
            (Operation::Remove, "remove the probe"),
            self.deadlines.change,
            |docker| async move { absent(docker.remove_container(&name, Some(options)).await) },
        )
        .await
    }

    /// Makes an image of the agent's program alone.
    async fn import_program(&self, request: &ProbeRequest, name: &str) -> Result<(), RuntimeError> {
        let unreadable =
            |error: std::io::Error| failed(&format!("the agent's program cannot be read: {error}"));
        let mut program = File::open(&request.program).map_err(unreadable)?;
        let length = program.metadata().map_err(unreadable)?.len();
        let mut header = tar::Header::new_gnu();
        header.set_path(PROGRAM).map_err(unreadable)?;
        header.set_size(length);
        header.set_mode(0o755);
        header.set_cksum();
        // In pieces, because the program is larger than all the agent needs otherwise. Reading blocks for an instant each.
        let pieces = std::iter::from_fn(move || {
            let mut piece = vec![0; PIECE];
            match program.read(&mut piece) {
                Ok(0) => None,
                Ok(read) => {
                    piece.truncate(read);
                    Some(Ok(Bytes::from(piece)))
                }
                Err(error) => Some(Err(error)),
            }
        });
        let head = Bytes::copy_from_slice(header.as_bytes());
        let padding = usize::try_from(length.next_multiple_of(512) - length).unwrap_or_default();
        // An archive ends with two empty blocks.
        let end = Bytes::from(vec![0; padding + 1024]);
        let archive =
            futures_util::stream::iter(std::iter::once(Ok(head)).chain(pieces).chain([Ok(end)]));
        let options = CreateImageOptionsBuilder::default()
            .from_src("-")
            .repo(name)
            .build();
        self.call(
            (Operation::Create, "import the probe's image"),
            self.deadlines.change,
            |docker| async move {
                let body = bollard::body_try_stream(archive);
                let mut steps = docker.create_image(Some(options), Some(body), None);
                while let Some(step) = steps.next().await {
                    step?;
                }
                Ok(())
            },
        )
        .await
    }
}

fn failed(message: &str) -> RuntimeError {
    RuntimeError::Refused {
        code: ReasonCode::DockerFailed,
        message: message.to_owned(),
    }
}
