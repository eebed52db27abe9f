//! What the agent needs from a container engine, named in one place.
//!
//! [`ContainerRuntime`] is the only way the rest of the agent reaches Docker; [`docker`] implements it over
//! bollard. Every call ends within a deadline of its own, and every error is a [`RuntimeError`].

pub mod docker;
mod docker_attach;
mod docker_build;
mod docker_disk;
mod docker_image;
mod docker_log;
mod docker_networks;
mod docker_owner;
mod docker_probe;
mod docker_resources;
mod docker_view;
pub mod error;
pub mod hardening;
mod known;
pub mod labels;
pub mod networks;
pub mod probe;
pub mod sockets;
pub mod sources;
pub mod types;
pub mod volumes;

use std::collections::BTreeSet;
use std::future::Future;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::time::Duration;

use futures_util::stream::BoxStream;
use toolbox_api::dtma::{LogLine, Progress};
use toolbox_domain::ids::ToolInstanceId;

use crate::disk::{DiskSpace, DiskUsage};
use crate::firewall::probe::ProbeRequest;
use hardening::Hardening;

pub use error::{Operation, RuntimeError};
pub use types::{
    Adoptable, Attached, AttachedOutput, Container, ContainerId, ContainerState, CreateContainer,
    EngineEvent, EngineInfo, Ensured, ImageRequest, Inventory, LogQuery,
};

/// A call in progress.
pub type Call<'a, T> = Pin<Box<dyn Future<Output = Result<T, RuntimeError>> + Send + 'a>>;

/// Receives the progress of a pull or a build. Only the newest report matters.
pub type ProgressSink = tokio::sync::watch::Sender<Option<Progress>>;

/// Lines of a container's output.
pub type LogStream = BoxStream<'static, Result<LogLine, RuntimeError>>;

/// Changes of this toolbox's containers.
pub type EventStream = BoxStream<'static, Result<EngineEvent, RuntimeError>>;

/// A container engine that holds the containers of one toolbox, among others.
pub trait ContainerRuntime: Send + Sync + 'static {
    /// Versions, and whether the engine answers at all.
    fn info(&self) -> Call<'_, EngineInfo>;

    /// Every container of the instance, in detail.
    fn observe(&self, instance: ToolInstanceId) -> Call<'_, Vec<Container>>;

    /// Every container on the machine, in brief.
    fn inventory(&self) -> Call<'_, Inventory>;

    /// The number of its first process on the engine's machine; none when it does not run.
    fn pid<'a>(&'a self, container: &'a ContainerId) -> Call<'a, Option<u32>>;

    /// What a container of ours was made from; for rebuilding a lost record.
    fn describe<'a>(&'a self, container: &'a ContainerId) -> Call<'a, Adoptable>;

    /// The image is on this machine afterwards: it was, or is pulled, or built. A registry that is asked again and does
    /// not give it is no failure.
    fn ensure_image<'a>(
        &'a self,
        request: &'a ImageRequest,
        progress: &'a ProgressSink,
    ) -> Call<'a, Ensured>;

    /// The platform the image is built for and the machine's own, such as `linux/arm64`, when they differ.
    fn foreign_platform<'a>(&'a self, image: &'a str) -> Call<'a, Option<(String, String)>>;

    /// Removes an image by its id, if nothing names it and no container uses it. Removing none succeeds.
    fn remove_nameless<'a>(&'a self, image: &'a str) -> Call<'a, ()>;

    /// Removes an image by its name, if no container uses it: false then. Removing none succeeds.
    fn remove_unused<'a>(&'a self, reference: &'a str) -> Call<'a, bool>;

    /// Creates a container that does not run yet, and its networks before it.
    fn create<'a>(&'a self, request: &'a CreateContainer) -> Call<'a, ContainerId>;

    /// Starts, or continues a paused container. Starting a running one succeeds.
    fn start<'a>(&'a self, container: &'a ContainerId) -> Call<'a, ()>;

    /// Puts the limits of an existing container back to those of `hardening`.
    fn adjust<'a>(&'a self, container: &'a ContainerId, hardening: &'a Hardening) -> Call<'a, ()>;

    /// Continues a paused container.
    fn unpause<'a>(&'a self, container: &'a ContainerId) -> Call<'a, ()>;

    /// Asks it to end, and kills it after `grace`. Stopping a stopped one succeeds.
    fn stop<'a>(&'a self, container: &'a ContainerId, grace: Duration) -> Call<'a, ()>;

    /// Removes it, running or not, and unless `keep_volumes` the volumes that Docker named for it. Removing none succeeds.
    fn remove<'a>(&'a self, container: &'a ContainerId, keep_volumes: bool) -> Call<'a, ()>;

    /// Gives it another name.
    fn rename<'a>(&'a self, container: &'a ContainerId, name: &'a str) -> Call<'a, ()>;

    /// Waits until it ends, at most `within`; whether it ended.
    fn ends_within<'a>(&'a self, container: &'a ContainerId, within: Duration) -> Call<'a, bool>;

    /// Names of the volumes that carry the labels of an instance.
    fn volumes(&self, instance: ToolInstanceId) -> Call<'_, Vec<String>>;

    /// Removes the volumes of an instance, and those named in `others`.
    fn remove_volumes(&self, instance: ToolInstanceId, others: Vec<String>) -> Call<'_, ()>;

    /// Removes the instance's own network. Removing none succeeds.
    fn remove_network(&self, instance: ToolInstanceId) -> Call<'_, ()>;

    /// Removes networks of this toolbox that are not `wanted`, now and at the last call, and that nothing runs in.
    fn remove_networks_except<'a>(&'a self, wanted: &'a BTreeSet<String>) -> Call<'a, ()>;

    /// The bridges of the network that tools of an earlier agent share; none when it is gone.
    fn former_bridges(&self) -> Call<'_, Vec<String>>;

    /// Makes the network of the container that tries to reach the machine; the machine's address in it.
    fn begin_probe(&self) -> Call<'_, Ipv4Addr>;

    /// Runs that container to its end; its exit code.
    fn run_probe<'a>(&'a self, request: &'a ProbeRequest) -> Call<'a, i64>;

    /// Removes what the two before made.
    fn end_probe(&self) -> Call<'_, ()>;

    /// Removes the images built for an instance, except the one named `keep`.
    fn remove_builds<'a>(&'a self, instance: ToolInstanceId, keep: Option<&'a str>)
    -> Call<'a, ()>;

    /// What the tool of a container keeps on the disk.
    fn disk_usage<'a>(&'a self, container: &'a ContainerId) -> Call<'a, DiskUsage>;

    /// The disk that holds Docker's data; none where the agent does not see it.
    fn disk_space(&self) -> Call<'_, Option<DiskSpace>>;

    /// The container's output, oldest first.
    fn logs<'a>(&'a self, container: &'a ContainerId, query: LogQuery) -> Call<'a, LogStream>;

    /// The container's standard streams, from now on.
    fn attach<'a>(&'a self, container: &'a ContainerId) -> Call<'a, Attached>;

    /// Changes of this toolbox's containers, until the connection breaks.
    fn events(&self) -> Call<'_, EventStream>;
}
