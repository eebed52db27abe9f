//! Types of the calls to the container engine.

use std::collections::{BTreeMap, HashMap};
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use time::OffsetDateTime;
use tokio::io::AsyncWrite;
use toolbox_api::dtma::{ContainerHealth, ForeignContainer, LogStream, PortBinding, Protocol};
use toolbox_domain::address::Target;
use toolbox_domain::ids::ToolInstanceId;
use toolbox_domain::spec::{InstanceSpec, ResourceLimits};

use super::RuntimeError;
use super::hardening::Hardening;

/// Docker's id of a container.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerId(String);

impl ContainerId {
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// The id as Docker writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 12 digits, as Docker's own tools print it.
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

/// Docker's state of a container, as far as it matters to a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ContainerState {
    /// Never started.
    Created,
    /// Runs.
    Running,
    /// Frozen.
    Paused,
    /// Ran and ended.
    Exited,
    /// Docker is removing it.
    Removing,
    /// Docker failed to remove it.
    Dead,
}

/// A container of ours as Docker shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Container {
    /// Docker's id.
    pub id: ContainerId,
    /// Docker's name, without its slash.
    pub name: String,
    /// Generation whose spec it was made from, by its label.
    pub revision: Option<u64>,
    /// Digest of that spec, by its label.
    pub spec_sha256: Option<String>,
    pub state: ContainerState,
    /// Last start, if it ever started.
    pub started_at: Option<OffsetDateTime>,
    /// Last end, if it ever ended.
    pub finished_at: Option<OffsetDateTime>,
    pub exit_code: Option<i64>,
    /// What its image's health check says, if it has one.
    pub health: Option<ContainerHealth>,
    /// The kernel killed it for its memory.
    pub oom_killed: bool,
    /// What Docker says of the last failed start.
    pub error: String,
    /// Content id of its image.
    pub image_digest: Option<String>,
    /// Its image as it was named at its creation.
    pub image: String,
    /// Ports it publishes.
    pub ports: Vec<PortBinding>,
    /// Volumes it mounts, also those that Docker named.
    pub volumes: Vec<VolumeMount>,
    /// The confinement Docker holds for it.
    pub hardening: Hardening,
}

/// The engine and the API version spoken with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineInfo {
    pub version: String,
    pub api_version: String,
}

/// Every container of the machine in brief.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    /// Containers of this toolbox, by instance.
    pub ours: Vec<(ToolInstanceId, ForeignContainer)>,
    /// All others.
    pub foreign: Vec<ForeignContainer>,
    /// Host ports published by containers of others.
    pub foreign_ports: Vec<(Protocol, u16)>,
}

/// What is left of an instance's record in Docker.
#[derive(Clone, Debug, PartialEq)]
pub struct Adoptable {
    pub container: Container,
    pub labels: HashMap<String, String>,
    /// Its environment as `NAME=value`.
    pub environment: Vec<String>,
}

/// How to get an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageRequest {
    /// Pull it.
    Pull {
        /// Full reference with tag or digest.
        reference: String,
        /// The registry.
        source: Target,
        /// Content id of the image that it named before. While that image is here it is used, unless `ask_again`.
        known: Option<String>,
        /// Ask the registry even if an image from there is here: the reference may name another one by now.
        ask_again: bool,
        /// The agent pulled what the reference names.
        pulled: bool,
    },
    /// Build it unless it is here.
    Build {
        /// Git context as Docker reads it: `url#ref:folder`.
        remote: String,
        /// The host in it.
        source: Target,
        /// Dockerfile within the folder.
        dockerfile: String,
        /// The tag it gets.
        tag: String,
        /// The instance it is built for.
        instance: ToolInstanceId,
        /// Limits of its containers; the build's follow from them.
        resources: ResourceLimits,
    },
}

impl ImageRequest {
    /// The name a container is created from.
    pub fn image(&self) -> &str {
        match self {
            Self::Pull { reference, .. } => reference,
            Self::Build { tag, .. } => tag,
        }
    }
}

/// An image that is on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ensured {
    /// Content id.
    pub digest: Option<String>,
    /// Digest by which its registry has it; none where it came from no registry.
    pub registry_digest: Option<String>,
    /// It was pulled just now.
    pub pulled: bool,
    /// Its name named nothing on this machine before.
    pub is_new: bool,
    /// Why the registry did not answer, if it was asked and did not.
    pub not_asked: Option<String>,
}

impl Ensured {
    /// It was here already, and no registry was asked.
    pub const fn here(digest: Option<String>) -> Self {
        Self {
            digest,
            registry_digest: None,
            pulled: false,
            is_new: false,
            not_asked: None,
        }
    }
}

/// A volume of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeMount {
    pub name: String,
    pub path: String,
}

/// Everything a container is made from.
#[derive(Clone, PartialEq)]
pub struct CreateContainer {
    pub instance: ToolInstanceId,
    /// Docker's name.
    pub name: String,
    /// Name of an image on this machine.
    pub image: String,
    /// Content id of the image. `image` may name another one by now.
    pub image_digest: Option<String>,
    /// What the user asked for. Image, ports and volumes are taken from their own fields, which have more to say.
    pub spec: InstanceSpec,
    /// Labels.
    pub labels: HashMap<String, String>,
    /// Labels of its volumes.
    pub volume_labels: HashMap<String, String>,
    pub ports: Vec<PortBinding>,
    pub volumes: Vec<VolumeMount>,
    /// Volumes that Docker named for earlier containers, by path.
    pub inherited_volumes: BTreeMap<String, String>,
    /// The name by which tools in the same network know it.
    pub host_name: String,
    pub hardening: Hardening,
}

impl std::fmt::Debug for CreateContainer {
    /// Leaves out the spec, whose arguments may hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CreateContainer")
            .field("name", &self.name)
            .field("image", &self.image)
            .field("ports", &self.ports)
            .finish_non_exhaustive()
    }
}

/// A part of a container's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogQuery {
    /// The last so many lines.
    pub tail: u32,
    /// Nothing older than this.
    pub since: Option<OffsetDateTime>,
    /// Wait for more until the container ends.
    pub follow: bool,
    /// Only what was written there; none is both.
    pub stream: Option<LogStream>,
}

/// A piece of a container's output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttachedOutput {
    /// Standard output.
    Stdout(Bytes),
    /// Standard error.
    Stderr(Bytes),
}

pub struct Attached {
    /// Its standard input.
    pub input: Pin<Box<dyn AsyncWrite + Send>>,
    /// Its output, until it ends or the connection does.
    pub output: BoxStream<'static, Result<AttachedOutput, RuntimeError>>,
}

/// Something happened to a container of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineEvent {
    /// Its instance.
    pub instance: ToolInstanceId,
    /// Docker's word, such as `die`.
    pub action: String,
}

/// Deadlines of calls to the engine.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// Looking at something.
    pub look: Duration,
    /// Creating, starting, removing, renaming.
    pub change: Duration,
    /// Stopping: its grace and the change.
    pub stop: Duration,
    /// Pulling in all.
    pub pull: Duration,
    /// Building in all.
    pub build: Duration,
    /// Until a registry that is asked again says anything; what is here can run without it.
    pub ask: Duration,
    /// Silence of a registry that is asked again.
    pub ask_silence: Duration,
    /// Asking again, in all.
    pub ask_pull: Duration,
    /// Silence during a pull or a build.
    pub silence: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            // Connecting anew and looking are two of these, and the control plane waits 10 s for an answer: it must hear
            // that Docker is slow.
            look: Duration::from_secs(4),
            change: Duration::from_mins(1),
            stop: Duration::from_secs(40),
            ask: Duration::from_secs(15),
            ask_silence: Duration::from_mins(1),
            ask_pull: Duration::from_mins(5),
            pull: Duration::from_mins(30),
            build: Duration::from_hours(1),
            silence: Duration::from_mins(10),
        }
    }
}
