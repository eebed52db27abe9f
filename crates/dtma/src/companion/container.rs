//! The agent as a container, on machines without systemd. The companion makes it from the machine's settings, and again when
//! somebody removed it: its image is empty, and the program is the host's.

use std::path::PathBuf;
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error as DockerError;
use bollard::models::{
    ContainerCreateBody, HostConfig, HostConfigLogConfig, RestartPolicy, RestartPolicyNameEnum,
};
use bollard::query_parameters::{
    BuildImageOptionsBuilder, CreateContainerOptionsBuilder, InspectContainerOptions,
    LogsOptionsBuilder, RemoveContainerOptionsBuilder, StartContainerOptions,
    StopContainerOptionsBuilder,
};
use bytes::Bytes;
use futures_util::StreamExt;

use super::supervision::{LogParts, Step, Supervision, SupervisionError};
use super::versions::Versions;
use crate::config::companion::{CompanionConfig, read_settings};

/// An image without a file.
const IMAGE: &str = "toolbox/dtma-host:1";
const DOCKERFILE: &str = "FROM scratch\nLABEL org.opencontainers.image.description=\"Empty: DTMA runs from the host's program\"\n";
/// How long Docker may take for a step, beyond what the agent itself may.
const LIMIT_SECONDS: u64 = 30;

/// The container, and what it is made from.
pub(super) struct Container {
    name: String,
    docker_host: String,
    state_dir: PathBuf,
    settings: PathBuf,
    versions: Versions,
}

impl Container {
    pub(super) fn new(config: &CompanionConfig, versions: &Versions) -> Self {
        Self {
            name: config.container.clone(),
            docker_host: config.machine.docker_host.clone(),
            state_dir: config.machine.state_dir.clone(),
            settings: config.settings_file.clone(),
            versions: versions.clone(),
        }
    }

    async fn docker(&self, limit: u64) -> Result<Docker, SupervisionError> {
        let version = bollard::API_DEFAULT_VERSION;
        let opened = if self.docker_host.starts_with("tcp://") {
            Docker::connect_with_http(&self.docker_host, limit, version)
        } else {
            Docker::connect_with_unix(&self.docker_host, limit, version)
        };
        let failed = |error| SupervisionError::Docker("be reached", error);
        opened
            .map_err(failed)?
            .negotiate_version()
            .await
            .map_err(failed)
    }

    /// What Docker shows of the container; none when there is none.
    async fn found(&self, docker: &Docker) -> Result<Option<(bool, String)>, SupervisionError> {
        match docker
            .inspect_container(&self.name, None::<InspectContainerOptions>)
            .await
        {
            Ok(container) => {
                let runs = container.state.and_then(|s| s.running) == Some(true);
                Ok(Some((runs, container.id.unwrap_or_default())))
            }
            Err(DockerError::DockerResponseServerError {
                status_code: 404, ..
            }) => Ok(None),
            Err(error) => Err(SupervisionError::Docker(
                "show the agent's container",
                error,
            )),
        }
    }

    /// The container as it should be, with the settings as they are now.
    async fn create(&self, docker: &Docker) -> Result<(), SupervisionError> {
        self.ensure_image(docker).await?;
        let settings = read_settings(&self.settings)
            .map_err(|error| SupervisionError::Io("read the settings", error))?;
        let env = settings
            .into_iter()
            .map(|(name, value)| format!("{name}={value}"));
        let path = |path: &std::path::Path| path.display().to_string();
        let folders = [
            (path(&self.state_dir), ""),
            (self.settings.parent().map(path).unwrap_or_default(), ""),
            (path(self.versions.dir()), ":ro"),
            (
                self.docker_host
                    .strip_prefix("unix://")
                    .unwrap_or_default()
                    .to_owned(),
                "",
            ),
        ];
        let binds = folders
            .into_iter()
            .filter(|(path, _)| path.starts_with('/'));
        let program = path(&self.versions.current_program());
        let body = ContainerCreateBody {
            image: Some(IMAGE.to_owned()),
            entrypoint: Some(vec![program, "agent".to_owned()]),
            env: Some(env.collect()),
            // Its requests may end: see the agent's own limit.
            stop_timeout: Some(45),
            host_config: Some(HostConfig {
                network_mode: Some("host".to_owned()),
                readonly_rootfs: Some(true),
                cap_drop: Some(vec!["ALL".to_owned()]),
                // For the rules that keep tools away from the machine.
                cap_add: Some(vec!["NET_ADMIN".to_owned()]),
                security_opt: Some(vec!["no-new-privileges".to_owned()]),
                restart_policy: Some(RestartPolicy {
                    name: Some(RestartPolicyNameEnum::UNLESS_STOPPED),
                    maximum_retry_count: None,
                }),
                binds: Some(
                    binds
                        .map(|(path, mode)| format!("{path}:{path}{mode}"))
                        .collect(),
                ),
                log_config: Some(HostConfigLogConfig {
                    typ: Some("json-file".to_owned()),
                    config: Some(
                        [("max-size", "10m"), ("max-file", "3")]
                            .map(|(n, v)| (n.to_owned(), v.to_owned()))
                            .into(),
                    ),
                }),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        let options = CreateContainerOptionsBuilder::default()
            .name(&self.name)
            .build();
        let created = docker.create_container(Some(options), body).await;
        created
            .map(drop)
            .map_err(|error| SupervisionError::Docker("make the agent's container", error))
    }

    async fn ensure_image(&self, docker: &Docker) -> Result<(), SupervisionError> {
        if docker.inspect_image(IMAGE).await.is_ok() {
            return Ok(());
        }
        let failed = |error| SupervisionError::Io("make the image's source", error);
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(DOCKERFILE.len() as u64);
        header.set_mode(0o644);
        archive
            .append_data(&mut header, "Dockerfile", DOCKERFILE.as_bytes())
            .map_err(failed)?;
        let context = archive.into_inner().map_err(failed)?;
        let options = BuildImageOptionsBuilder::default().t(IMAGE).build();
        let body = bollard::body_full(Bytes::from(context));
        let mut lines = docker.build_image(options, None, Some(body));
        while let Some(line) = lines.next().await {
            line.map_err(|error| SupervisionError::Docker("make the agent's image", error))?;
        }
        Ok(())
    }

    async fn remove(&self, docker: &Docker) -> Result<(), SupervisionError> {
        let options = RemoveContainerOptionsBuilder::default().force(true).build();
        match docker.remove_container(&self.name, Some(options)).await {
            Ok(())
            | Err(DockerError::DockerResponseServerError {
                status_code: 404, ..
            }) => Ok(()),
            Err(error) => Err(SupervisionError::Docker(
                "remove the agent's container",
                error,
            )),
        }
    }
}

impl Supervision for Container {
    fn start(&self) -> Step<'_, ()> {
        Box::pin(async {
            let docker = self.docker(LIMIT_SECONDS).await?;
            if let Some((true, _)) = self.found(&docker).await? {
                return Ok(());
            }
            // Made anew each time, so that it has the settings of now.
            self.remove(&docker).await?;
            self.create(&docker).await?;
            let started = docker
                .start_container(&self.name, None::<StartContainerOptions>)
                .await;
            started.map_err(|error| SupervisionError::Docker("start the agent's container", error))
        })
    }

    fn stop(&self, patience: Duration) -> Step<'_, ()> {
        Box::pin(async move {
            let docker = self.docker(LIMIT_SECONDS + patience.as_secs()).await?;
            let seconds = i32::try_from(patience.as_secs()).unwrap_or(i32::MAX);
            let options = StopContainerOptionsBuilder::default().t(seconds).build();
            match docker.stop_container(&self.name, Some(options)).await {
                // 304: it does not run. 404: there is none.
                Ok(())
                | Err(DockerError::DockerResponseServerError {
                    status_code: 304 | 404,
                    ..
                }) => Ok(()),
                Err(error) => Err(SupervisionError::Docker(
                    "stop the agent's container",
                    error,
                )),
            }
        })
    }

    fn runs(&self) -> Step<'_, bool> {
        Box::pin(async {
            let docker = self.docker(LIMIT_SECONDS).await?;
            Ok(self.found(&docker).await?.is_some_and(|(runs, _)| runs))
        })
    }

    fn log(&self, tail: u32, follow: bool) -> Step<'_, LogParts> {
        Box::pin(async move {
            let docker = self.docker(LIMIT_SECONDS).await?;
            let options = LogsOptionsBuilder::default()
                .stdout(true)
                .stderr(true)
                .follow(follow)
                .tail(&tail.to_string())
                .build();
            let lines = docker.logs(&self.name, Some(options));
            Ok(lines
                .map(|line| {
                    line.map(bollard::container::LogOutput::into_bytes)
                        .map_err(std::io::Error::other)
                })
                .boxed())
        })
    }
}
