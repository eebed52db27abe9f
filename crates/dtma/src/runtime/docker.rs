//! Docker Engine over bollard.
//!
//! The connection is made at the first call and again after an outage, so the agent starts and answers
//! while Docker is down. The API version is negotiated from what the daemon says it supports at most.

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bollard::errors::Error as DockerError;
use bollard::models::{ContainerSummary, SystemInfo};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, EventsOptionsBuilder, ListContainersOptionsBuilder,
    RemoveContainerOptionsBuilder, RenameContainerOptionsBuilder, StopContainerOptionsBuilder,
    WaitContainerOptionsBuilder,
};
use bollard::{API_DEFAULT_VERSION, ClientVersion, Docker};
use futures_util::stream::StreamExt;
use ipnet::Ipv4Net;
use toolbox_domain::address::Allowed;
use toolbox_domain::ids::{ToolInstanceId, ToolboxId};

use super::docker_disk::VolumeSizes;
use super::docker_networks::Known;
use super::hardening::Hardening;
use super::sources::Sources;
use super::types::{Deadlines, LogQuery};
use super::{
    Adoptable, Attached, Call, Container, ContainerId, ContainerRuntime, CreateContainer,
    EngineInfo, Ensured, EventStream, ImageRequest, Inventory, LogStream, Operation, ProgressSink,
    RuntimeError, labels, volumes,
};
use super::{docker_log, docker_view as view};
use crate::disk::{DiskSpace, DiskUsage};
use crate::firewall::probe::ProbeRequest;
use crate::reason::{ReasonCode, one_line};
use crate::telemetry::Telemetry;

/// bollard's own limit, until the head of an answer; ours are per call and shorter, except for pulls.
const HEAD_TIMEOUT_SECONDS: u64 = 15 * 60;

/// One Docker daemon, seen as the engine of one toolbox.
pub struct DockerEngine {
    host: String,
    pub(super) toolbox: ToolboxId,
    /// Where the subnets of its networks come from.
    pub(super) pool: Vec<Ipv4Net>,
    pub(super) deadlines: Deadlines,
    // A leaf lock around a cheap handle, never held across an await.
    client: Mutex<Option<Docker>>,
    pub(super) telemetry: Arc<Telemetry>,
    pub(super) sources: Sources,
    pub(super) networks: tokio::sync::Mutex<Known>,
    /// Bytes that stay free on the disk with Docker's data; 0 is no limit.
    pub(super) kept_free: u64,
    /// A path on that disk, once Docker was asked; none where the agent does not see it.
    pub(super) data_root: tokio::sync::OnceCell<Option<PathBuf>>,
    pub(super) volume_sizes: tokio::sync::Mutex<VolumeSizes>,
    /// Docker's storage driver limits what a container writes, once that is known.
    pub(super) has_layer_quota: Mutex<Option<bool>>,
}

impl DockerEngine {
    /// Talks to `host` (`unix:///path` or `tcp://host:port`) for `toolbox`, whose networks get their addresses from `pool`.
    /// Does not connect yet.
    pub fn new(
        host: &str,
        toolbox: ToolboxId,
        pool: Vec<Ipv4Net>,
        telemetry: Arc<Telemetry>,
    ) -> Self {
        Self {
            host: host.to_owned(),
            toolbox,
            pool,
            deadlines: Deadlines::default(),
            client: Mutex::new(None),
            telemetry,
            sources: Sources::default(),
            networks: tokio::sync::Mutex::default(),
            kept_free: 0,
            data_root: tokio::sync::OnceCell::new(),
            volume_sizes: tokio::sync::Mutex::new(None),
            has_layer_quota: Mutex::new(None),
        }
    }

    /// Also fetches images from these sources, which are not public.
    #[must_use]
    pub fn allowing(mut self, sources: Arc<Allowed>) -> Self {
        self.sources = Sources::new(sources);
        self
    }

    /// Fetches no image while fewer bytes are free on the disk with Docker's data.
    #[must_use]
    pub const fn keeping_free(mut self, bytes: u64) -> Self {
        self.kept_free = bytes;
        self
    }

    /// Where Docker is.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// A connected handle; connects and negotiates when there is none.
    pub(super) async fn client(&self) -> Result<Docker, RuntimeError> {
        let held = self.client.lock().ok().and_then(|c| c.clone());
        if let Some(client) = held {
            return Ok(client);
        }
        let client = tokio::time::timeout(self.deadlines.look, self.connect())
            .await
            .map_err(|_| RuntimeError::Timeout {
                operation: "answer a version request",
                seconds: self.deadlines.look.as_secs(),
            })??;
        if let Ok(mut held) = self.client.lock() {
            *held = Some(client.clone());
        }
        Ok(client)
    }

    async fn connect(&self) -> Result<Docker, RuntimeError> {
        let newest = self.open(API_DEFAULT_VERSION)?;
        match newest.version().await {
            Ok(answer) => match answer.api_version.as_deref().and_then(parse_version) {
                Some(version) if version < *API_DEFAULT_VERSION => self.open(&version),
                _ => Ok(newest),
            },
            // An older daemon refuses every versioned path and names what it can.
            Err(DockerError::DockerResponseServerError {
                status_code: 400,
                message,
            }) => {
                let version = message
                    .rsplit_once("Maximum supported API version is ")
                    .and_then(|(_, v)| parse_version(v.trim()))
                    .ok_or_else(|| RuntimeError::refused(Operation::Look, Some(400), &message))?;
                self.open(&version)
            }
            Err(error) => Err(self.fault(Operation::Look, error)),
        }
    }

    fn open(&self, version: &ClientVersion) -> Result<Docker, RuntimeError> {
        let opened = if self.host.starts_with("tcp://") || self.host.starts_with("http://") {
            Docker::connect_with_http(&self.host, HEAD_TIMEOUT_SECONDS, version)
        } else {
            Docker::connect_with_unix(&self.host, HEAD_TIMEOUT_SECONDS, version)
        };
        opened.map_err(|error| self.fault(Operation::Look, error))
    }

    /// Runs one call with its deadline and types its error.
    pub(super) async fn call<T, F>(
        &self,
        (operation, words): (Operation, &'static str),
        deadline: Duration,
        call: impl FnOnce(Docker) -> F,
    ) -> Result<T, RuntimeError>
    where
        F: Future<Output = Result<T, DockerError>>,
    {
        let client = self.client().await?;
        let begun = Instant::now();
        let ended = tokio::time::timeout(deadline, call(client)).await;
        self.telemetry.docker(words, begun.elapsed());
        match ended {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(self.fault(operation, error)),
            Err(_) => Err(RuntimeError::Timeout {
                operation: words,
                seconds: deadline.as_secs(),
            }),
        }
    }

    /// Types an error of bollard. A broken connection forgets the handle, because the daemon that
    /// comes back may be another version.
    pub(super) fn fault(&self, operation: Operation, error: DockerError) -> RuntimeError {
        let fault = typed(&self.host, operation, error);
        if matches!(fault, RuntimeError::Unreachable { .. })
            && let Ok(mut held) = self.client.lock()
        {
            *held = None;
        }
        fault
    }

    pub(super) fn ours(&self, instance: Option<ToolInstanceId>) -> HashMap<String, Vec<String>> {
        let mut wanted = vec![format!("{}={}", labels::TOOLBOX_ID, self.toolbox)];
        if let Some(instance) = instance {
            wanted.push(format!("{}={instance}", labels::INSTANCE_ID));
        }
        HashMap::from([("label".to_owned(), wanted)])
    }

    pub(super) async fn inspect(
        &self,
        id: &str,
    ) -> Result<bollard::models::ContainerInspectResponse, RuntimeError> {
        self.call(
            (Operation::Look, "inspect a container"),
            self.deadlines.look,
            |docker| {
                let id = id.to_owned();
                async move { docker.inspect_container(&id, None).await }
            },
        )
        .await
    }

    /// The containers that pass `filters`: all of them, or those that run or are paused.
    pub(super) async fn list(
        &self,
        all: bool,
        filters: &HashMap<String, Vec<String>>,
    ) -> Result<Vec<ContainerSummary>, RuntimeError> {
        let options = ListContainersOptionsBuilder::default()
            .all(all)
            .filters(filters)
            .build();
        self.call(
            (Operation::Look, "list containers"),
            self.deadlines.look,
            |docker| async move { docker.list_containers(Some(options)).await },
        )
        .await
    }

    /// What the engine is and how it keeps its data.
    pub(super) async fn describe_engine(&self) -> Result<SystemInfo, RuntimeError> {
        self.call(
            (Operation::Look, "describe itself"),
            self.deadlines.look,
            |docker| async move { docker.info().await },
        )
        .await
    }

    async fn observe_instance(
        &self,
        instance: ToolInstanceId,
    ) -> Result<Vec<Container>, RuntimeError> {
        let list = self.list(true, &self.ours(Some(instance))).await?;
        let mut found = Vec::with_capacity(list.len());
        for id in list.into_iter().filter_map(|c| c.id) {
            match self.inspect(&id).await {
                Ok(detail) => found.extend(view::container(&detail)),
                // Removed between the two calls.
                Err(RuntimeError::ContainerGone) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    async fn create_container(
        &self,
        request: &CreateContainer,
    ) -> Result<ContainerId, RuntimeError> {
        self.ensure_networks(request).await?;
        let options = CreateContainerOptionsBuilder::default()
            .name(&request.name)
            .build();
        let (image, known) = self.image_of(request).await?;
        let is_taken = |path: &str| {
            request.volumes.iter().any(|v| v.path == path)
                || request.hardening.tmpfs.contains_key(path)
        };
        let mut mounted = request.volumes.clone();
        mounted.extend(volumes::of_image(
            request.instance,
            &known.volumes,
            &request.inherited_volumes,
            is_taken,
        ));
        let mut body = view::create_body(request, image.clone(), &mounted);
        let quota = self.layer_quota(request).await?;
        if let Some(host) = &mut body.host_config {
            host.storage_opt.clone_from(&quota);
        }
        let create = |body| {
            self.call(
                (Operation::Create, "create the container"),
                self.deadlines.change,
                |docker| {
                    let options = options.clone();
                    async move { docker.create_container(Some(options), body).await }
                },
            )
        };
        let mut created = create(body.clone()).await;
        if let Err(RuntimeError::Refused { message, .. }) = &created
            && quota.is_some()
            && message.contains("storage-opt")
        {
            self.lacks_layer_quota(message);
            if let Some(host) = &mut body.host_config {
                host.storage_opt = None;
            }
            created = create(body).await;
        }
        match created {
            Ok(answer) => {
                let id = ContainerId::new(answer.id);
                if let Err(error) = self.join(&id, request).await {
                    // A container that exists is started as it is, so the next attempt must not find it.
                    self.remove(&id, true).await?;
                    return Err(self.what_is_missing(error, &image).await);
                }
                Ok(id)
            }
            Err(error) => Err(self.what_is_missing(error, &image).await),
        }
    }

    /// Docker also says that something is missing when it has an image, but not all that the image consists of. To get
    /// the image again would then change nothing.
    pub(super) async fn what_is_missing(&self, error: RuntimeError, image: &str) -> RuntimeError {
        match error {
            RuntimeError::ImageMissing => {}
            RuntimeError::NetworkMissing => {
                self.forget_networks().await;
                return error;
            }
            _ => return error,
        }
        match self.local_image(image).await {
            Ok(None) => RuntimeError::ImageMissing,
            Ok(Some(_)) => RuntimeError::Refused {
                code: ReasonCode::DockerFailed,
                message: "Docker has the image, but misses a part of it; remove the image from the machine, then start the tool"
                    .to_owned(),
            },
            Err(error) => error,
        }
    }

    async fn start_container(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        self.own_volumes(id).await?;
        let started = self
            .call(
                (Operation::Start, "start the container"),
                self.deadlines.change,
                |docker| async move { docker.start_container(id.as_str(), None).await },
            )
            .await;
        // The container survives the removal of its network, and is made anew with it.
        if matches!(started, Err(RuntimeError::NetworkMissing)) {
            self.forget_networks().await;
        }
        started
    }
}

impl ContainerRuntime for DockerEngine {
    fn info(&self) -> Call<'_, EngineInfo> {
        Box::pin(async move {
            let answer = self
                .call(
                    (Operation::Look, "answer a version request"),
                    self.deadlines.look,
                    |docker| async move {
                        let version = docker.version().await?;
                        Ok((version, docker.client_version()))
                    },
                )
                .await?;
            Ok(EngineInfo {
                version: answer.0.version.unwrap_or_default(),
                api_version: format!("{}.{}", answer.1.major_version, answer.1.minor_version),
            })
        })
    }

    fn observe(&self, instance: ToolInstanceId) -> Call<'_, Vec<Container>> {
        Box::pin(self.observe_instance(instance))
    }

    fn inventory(&self) -> Call<'_, Inventory> {
        Box::pin(async move {
            let list = self.list(true, &HashMap::new()).await?;
            Ok(view::inventory(list, self.toolbox))
        })
    }

    fn pid<'a>(&'a self, container: &'a ContainerId) -> Call<'a, Option<u32>> {
        Box::pin(async move {
            let detail = self.inspect(container.as_str()).await?;
            let pid = detail.state.and_then(|state| state.pid);
            Ok(pid
                .and_then(|pid| u32::try_from(pid).ok())
                .filter(|pid| *pid > 0))
        })
    }

    fn describe<'a>(&'a self, container: &'a ContainerId) -> Call<'a, Adoptable> {
        Box::pin(async move {
            let detail = self.inspect(container.as_str()).await?;
            view::adoptable(&detail).ok_or(RuntimeError::ContainerGone)
        })
    }

    fn ensure_image<'a>(
        &'a self,
        request: &'a ImageRequest,
        progress: &'a ProgressSink,
    ) -> Call<'a, Ensured> {
        Box::pin(self.ensure(request, progress, self.toolbox.to_string()))
    }

    fn foreign_platform<'a>(&'a self, image: &'a str) -> Call<'a, Option<(String, String)>> {
        Box::pin(self.mismatch(image))
    }

    fn remove_nameless<'a>(&'a self, image: &'a str) -> Call<'a, ()> {
        Box::pin(self.remove_nameless_image(image))
    }

    fn remove_unused<'a>(&'a self, reference: &'a str) -> Call<'a, bool> {
        Box::pin(self.remove_unused_image(reference))
    }

    fn create<'a>(&'a self, request: &'a CreateContainer) -> Call<'a, ContainerId> {
        Box::pin(self.create_container(request))
    }

    fn start<'a>(&'a self, container: &'a ContainerId) -> Call<'a, ()> {
        Box::pin(self.start_container(container))
    }

    fn adjust<'a>(&'a self, container: &'a ContainerId, hardening: &'a Hardening) -> Call<'a, ()> {
        let body = view::update_body(hardening);
        Box::pin(self.call(
            (Operation::Create, "put the container's limits back"),
            self.deadlines.change,
            move |docker| async move { docker.update_container(container.as_str(), body).await },
        ))
    }

    fn unpause<'a>(&'a self, container: &'a ContainerId) -> Call<'a, ()> {
        Box::pin(self.call(
            (Operation::Start, "continue the container"),
            self.deadlines.change,
            move |docker| async move { docker.unpause_container(container.as_str()).await },
        ))
    }

    fn disk_usage<'a>(&'a self, container: &'a ContainerId) -> Call<'a, DiskUsage> {
        Box::pin(self.usage_of(container))
    }

    fn disk_space(&self) -> Call<'_, Option<DiskSpace>> {
        Box::pin(self.space())
    }

    fn stop<'a>(&'a self, container: &'a ContainerId, grace: Duration) -> Call<'a, ()> {
        let grace = i32::try_from(grace.as_secs()).unwrap_or(i32::MAX);
        let options = StopContainerOptionsBuilder::default().t(grace).build();
        Box::pin(self.call(
            (Operation::Stop, "stop the container"),
            self.deadlines.stop,
            move |docker| async move {
                docker
                    .stop_container(container.as_str(), Some(options))
                    .await
            },
        ))
    }

    fn remove<'a>(&'a self, container: &'a ContainerId, keep_volumes: bool) -> Call<'a, ()> {
        let options = RemoveContainerOptionsBuilder::default()
            .force(true)
            .v(!keep_volumes)
            .build();
        Box::pin(async move {
            let removed = self
                .call(
                    (Operation::Remove, "remove the container"),
                    self.deadlines.change,
                    |docker| async move {
                        docker
                            .remove_container(container.as_str(), Some(options))
                            .await
                    },
                )
                .await;
            match removed {
                Err(RuntimeError::ContainerGone) => Ok(()),
                other => other,
            }
        })
    }

    fn rename<'a>(&'a self, container: &'a ContainerId, name: &'a str) -> Call<'a, ()> {
        let options = RenameContainerOptionsBuilder::default().name(name).build();
        Box::pin(self.call(
            (Operation::Create, "rename the container"),
            self.deadlines.change,
            move |docker| async move { docker.rename_container(container.as_str(), options).await },
        ))
    }

    fn ends_within<'a>(&'a self, container: &'a ContainerId, within: Duration) -> Call<'a, bool> {
        let options = WaitContainerOptionsBuilder::default()
            .condition("not-running")
            .build();
        Box::pin(async move {
            let client = self.client().await?;
            let mut ends = client.wait_container(container.as_str(), Some(options));
            match tokio::time::timeout(within, ends.next()).await {
                Err(_) => Ok(false),
                // bollard reports an exit code other than 0 as an error.
                Ok(Some(Ok(_) | Err(DockerError::DockerContainerWaitError { .. })) | None) => {
                    Ok(true)
                }
                Ok(Some(Err(error))) => Err(self.fault(Operation::Look, error)),
            }
        })
    }

    fn volumes(&self, instance: ToolInstanceId) -> Call<'_, Vec<String>> {
        Box::pin(self.volumes_of(instance))
    }

    fn remove_volumes(&self, instance: ToolInstanceId, others: Vec<String>) -> Call<'_, ()> {
        Box::pin(self.remove_volumes_of(instance, others))
    }

    fn remove_network(&self, instance: ToolInstanceId) -> Call<'_, ()> {
        Box::pin(self.remove_network_of(instance))
    }

    fn remove_networks_except<'a>(&'a self, wanted: &'a BTreeSet<String>) -> Call<'a, ()> {
        Box::pin(self.remove_unwanted_networks(wanted))
    }

    fn former_bridges(&self) -> Call<'_, Vec<String>> {
        Box::pin(self.bridges_of_former())
    }

    fn begin_probe(&self) -> Call<'_, Ipv4Addr> {
        Box::pin(self.begin_probe_run())
    }

    fn run_probe<'a>(&'a self, request: &'a ProbeRequest) -> Call<'a, i64> {
        Box::pin(self.probe(request))
    }

    fn end_probe(&self) -> Call<'_, ()> {
        Box::pin(self.end_probe_run())
    }

    fn remove_builds<'a>(
        &'a self,
        instance: ToolInstanceId,
        keep: Option<&'a str>,
    ) -> Call<'a, ()> {
        Box::pin(self.remove_builds_of(instance, keep))
    }

    fn logs<'a>(&'a self, container: &'a ContainerId, query: LogQuery) -> Call<'a, LogStream> {
        Box::pin(async move {
            let client = self.client().await?;
            let host = self.host.clone();
            Ok(docker_log::lines(client, container.clone(), query)
                .map(move |line| line.map_err(|error| typed(&host, Operation::Look, error)))
                .boxed())
        })
    }

    fn attach<'a>(&'a self, container: &'a ContainerId) -> Call<'a, Attached> {
        Box::pin(self.attach_to(container))
    }

    fn events(&self) -> Call<'_, EventStream> {
        Box::pin(async move {
            let client = self.client().await?;
            let mut filters = self.ours(None);
            filters.insert("type".to_owned(), vec!["container".to_owned()]);
            let options = EventsOptionsBuilder::default().filters(&filters).build();
            let host = self.host.clone();
            Ok(client
                .events(Some(options))
                .filter_map(move |message| {
                    let item = message
                        .map(|m| view::event(&m))
                        .map_err(|error| typed(&host, Operation::Look, error))
                        .transpose();
                    async move { item }
                })
                .boxed())
        })
    }
}

/// bollard's error as ours.
pub(super) fn typed(host: &str, operation: Operation, error: DockerError) -> RuntimeError {
    match error {
        DockerError::DockerResponseServerError {
            status_code,
            message,
        } => refused(operation, status_code, &message),
        DockerError::DockerStreamError { error }
        | DockerError::DockerContainerWaitError { error, .. } => {
            RuntimeError::refused(operation, None, &error)
        }
        DockerError::RequestTimeoutError => RuntimeError::Timeout {
            operation: "answer",
            seconds: HEAD_TIMEOUT_SECONDS,
        },
        DockerError::JsonDataError { .. } | DockerError::JsonSerdeError { .. } => {
            RuntimeError::Refused {
                code: ReasonCode::DockerFailed,
                message: "Docker's answer could not be read".to_owned(),
            }
        }
        other => RuntimeError::Unreachable {
            host: host.to_owned(),
            detail: one_line(&chain(&other)),
        },
    }
}

/// Refusals that need no sentence: they name what is missing, or are no failures.
fn refused(operation: Operation, status: u16, message: &str) -> RuntimeError {
    let lower = message.to_lowercase();
    let network_missing = lower.contains("network") && lower.contains("not found");
    match (operation, status) {
        (Operation::Create | Operation::Start, _) if network_missing => {
            RuntimeError::NetworkMissing
        }
        (Operation::Create, 409) => RuntimeError::NameTaken,
        // It is the image, or a part of it.
        (Operation::Create, 404) if !lower.contains("no such container") => {
            super::error::log(operation, Some(status), message);
            RuntimeError::ImageMissing
        }
        // Two removals at once, or the removal of one being created.
        (Operation::Remove, 409) if lower.contains("already in progress") => {
            RuntimeError::ContainerGone
        }
        (_, 404) if lower.contains("no such container") => RuntimeError::ContainerGone,
        _ => RuntimeError::refused(operation, Some(status), message),
    }
}

fn parse_version(text: &str) -> Option<ClientVersion> {
    let (major, minor) = text.split_once('.')?;
    Some(ClientVersion {
        major_version: major.parse().ok()?,
        minor_version: minor.parse().ok()?,
    })
}

/// An error and its causes, which bollard and hyper keep out of the outermost text.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    // hyper nests four deep at most.
    for _ in 0..8 {
        let Some(cause) = source else { break };
        let words = cause.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use axum::Json;
    use axum::http::{StatusCode, Uri};
    use serde_json::json;

    use super::*;

    /// An engine that creates nothing: it answers that something is not found. It may have the image.
    async fn without_containers(has_image: bool) -> DockerEngine {
        let answer = move |uri: Uri| async move {
            let path = uri.path();
            if path.ends_with("/version") {
                (StatusCode::OK, Json(json!({"ApiVersion": "1.41"})))
            } else if path.ends_with("/info") {
                (StatusCode::OK, Json(json!({"Driver": "overlay2"})))
            } else if path.ends_with("/networks") {
                let network = json!([{"Name": "toolbox-1", "Id": "1"}]);
                (StatusCode::OK, Json(network))
            } else if path.contains("/images/") && has_image {
                (StatusCode::OK, Json(json!({"Id": "sha256:1"})))
            } else {
                let message = json!({"message": "content digest sha256:2: not found"});
                (StatusCode::NOT_FOUND, Json(message))
            }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = format!("tcp://{}", listener.local_addr().unwrap());
        let app = axum::Router::new().fallback(answer);
        tokio::spawn(async move { axum::serve(listener, app).await });
        let toolbox = ToolboxId::new(uuid::Uuid::from_u128(1));
        DockerEngine::new(&host, toolbox, Vec::new(), Arc::default())
    }

    #[tokio::test]
    async fn an_image_that_is_here_is_not_taken_for_missing() {
        let create = async |has_image| {
            let engine = without_containers(has_image).await;
            engine.create(&view::tests::request()).await.unwrap_err()
        };
        let missing = create(false).await;
        assert!(matches!(missing, RuntimeError::ImageMissing), "{missing}");
        let broken = create(true).await;
        let why = broken.why(Operation::Create);
        assert_eq!(why.code, ReasonCode::DockerFailed, "{}", why.message);
        assert!(why.message.contains("misses a part"), "{}", why.message);
    }
}
