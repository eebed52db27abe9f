//! Pulling and building images, with progress.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bollard::models::ProgressDetail;
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures_util::stream::{Stream, StreamExt};
use toolbox_api::dtma::Progress;
use toolbox_domain::address::Target;
use toolbox_domain::spec::ImageReference;

use super::docker::DockerEngine;
use super::docker_build::limited;
use super::types::{CreateContainer, Ensured, ImageRequest};
use super::{Operation, ProgressSink, RuntimeError, labels, networks};

/// Most layers that progress is kept of; Docker's own limit on layers of an image is 127.
const MAX_LAYERS: usize = 256;
/// What Docker says of the progress of a pull, as far as users read it.
const STAGES: &[&str] = &[
    "Pulling from",
    "Pulling fs layer",
    "Waiting",
    "Downloading",
    "Verifying Checksum",
    "Download complete",
    "Extracting",
    "Pull complete",
    "Already exists",
    "Retrying",
];

impl DockerEngine {
    /// See [`super::ContainerRuntime::ensure_image`]. Built images carry labels, so they go with their instance.
    pub(super) async fn ensure(
        &self,
        request: &ImageRequest,
        progress: &ProgressSink,
        toolbox: String,
    ) -> Result<Ensured, RuntimeError> {
        let mut ensured = self.ensure_here(request, progress, toolbox).await?;
        if let ImageRequest::Pull {
            reference, pulled, ..
        } = request
            && let Some(digest) = &ensured.digest
            && let Some(image) = self.local_image(digest).await?
        {
            let pulled = *pulled || ensured.pulled;
            ensured.registry_digest = self.registry_digest(&image, reference, pulled).await?;
        }
        Ok(ensured)
    }

    async fn ensure_here(
        &self,
        request: &ImageRequest,
        progress: &ProgressSink,
        toolbox: String,
    ) -> Result<Ensured, RuntimeError> {
        let here = self.local_image(request.image()).await?;
        let is_new = here.is_none();
        match (here, request) {
            (
                Some(image),
                ImageRequest::Pull {
                    reference,
                    source,
                    ask_again: true,
                    pulled,
                    ..
                },
            ) if self.has_registry(&image, reference, *pulled).await? => {
                let asked = async {
                    self.has_room().await?;
                    self.pull((reference, source), self.patience_when_here(), progress)
                        .await
                };
                if let Err(error) = asked.await {
                    return kept(image.digest, reference, error);
                }
            }
            (
                here,
                ImageRequest::Pull {
                    known: Some(known),
                    ask_again: false,
                    ..
                },
            ) if here.as_ref().and_then(|i| i.digest.as_ref()) != Some(known)
                && self.local_image(known).await?.is_some() =>
            {
                return Ok(Ensured::here(Some(known.clone())));
            }
            (Some(image), _) => return Ok(Ensured::here(image.digest)),
            (None, _) => self.fetch(request, progress, toolbox).await?,
        }
        let now = self.local_image(request.image()).await?;
        let now = now.ok_or(RuntimeError::ImageMissing)?;
        Ok(Ensured {
            pulled: matches!(request, ImageRequest::Pull { .. }),
            is_new,
            ..Ensured::here(now.digest)
        })
    }

    /// What a container is created from: the image's name while it still names this image, so that people recognise it;
    /// else its id. With it what is known of the image.
    pub(super) async fn image_of(
        &self,
        request: &CreateContainer,
    ) -> Result<(String, LocalImage), RuntimeError> {
        let named = self.local_image(&request.image).await?;
        let is_meant = |image: &LocalImage| {
            request.image_digest.is_none() || image.digest == request.image_digest
        };
        if let Some(meant) = &request.image_digest
            && !named.as_ref().is_some_and(is_meant)
            && let Some(image) = self.local_image(meant).await?
        {
            return Ok((meant.clone(), image));
        }
        Ok((request.image.clone(), named.unwrap_or_default()))
    }

    /// Whether the image came from a registry, so that it can be asked for again. An image that was built or loaded here
    /// did not, and a registry may hold somebody else's image of that name. A pulled image has a digest in its
    /// repository. In containerd's image store every image has one; there Docker says what was pulled (since API 1.53),
    /// or the agent remembers it.
    async fn has_registry(
        &self,
        image: &LocalImage,
        reference: &str,
        pulled: bool,
    ) -> Result<bool, RuntimeError> {
        let name = repository(reference);
        let is_in = |list: &[String]| list.iter().any(|other| repository(other) == name);
        let has_digest = is_in(&image.repo_digests);
        if !has_digest || pulled || is_in(&image.pulled_from) {
            return Ok(has_digest);
        }
        let engine = self.describe_engine().await?;
        let status = engine.driver_status.unwrap_or_default();
        Ok(!keeps_images_in_containerd(&status))
    }

    /// By which digest the image's registry has it.
    async fn registry_digest(
        &self,
        image: &LocalImage,
        reference: &str,
        pulled: bool,
    ) -> Result<Option<String>, RuntimeError> {
        if !self.has_registry(image, reference, pulled).await? {
            return Ok(None);
        }
        let name = repository(reference);
        let mut same = image.repo_digests.iter();
        let named = same.find(|other| repository(other) == name);
        Ok(named.and_then(|named| Some(named.split_once('@')?.1.to_owned())))
    }

    async fn fetch(
        &self,
        request: &ImageRequest,
        progress: &ProgressSink,
        toolbox: String,
    ) -> Result<(), RuntimeError> {
        self.has_room().await?;
        match request {
            ImageRequest::Pull {
                reference, source, ..
            } => {
                let silence = self.deadlines.silence;
                let patience = Patience {
                    first: silence,
                    silence,
                    whole: self.deadlines.pull,
                };
                self.pull((reference, source), patience, progress).await
            }
            ImageRequest::Build {
                remote,
                source,
                dockerfile,
                tag,
                instance,
                resources,
            } => {
                self.sources.check(source).await?;
                let labels = HashMap::from([
                    (labels::TOOLBOX_ID.to_owned(), toolbox),
                    (labels::INSTANCE_ID.to_owned(), instance.to_string()),
                    (labels::MANAGED_BY.to_owned(), labels::DTMA.to_owned()),
                ]);
                self.ensure_build_network().await?;
                let network = networks::of_builds(self.toolbox);
                let options = limited(resources)
                    .networkmode(&network)
                    .remote(remote)
                    .dockerfile(dockerfile)
                    .t(tag)
                    .rm(true)
                    .forcerm(true)
                    .labels(&labels);
                self.build(options, resources.pids, progress).await
            }
        }
    }

    /// The image's platform, and this machine's, when they differ.
    pub(super) async fn mismatch(
        &self,
        image: &str,
    ) -> Result<Option<(String, String)>, RuntimeError> {
        let (image, engine) = self
            .call(
                (Operation::Look, "inspect an image"),
                self.deadlines.look,
                |docker| async move {
                    Ok((docker.inspect_image(image).await?, docker.version().await?))
                },
            )
            .await?;
        let built_for = (
            image.os.unwrap_or_default(),
            image.architecture.unwrap_or_default(),
        );
        let machine = (
            engine.os.unwrap_or_default(),
            engine.arch.unwrap_or_default(),
        );
        let differs = built_for != machine && !built_for.1.is_empty();
        let text = |(os, arch)| format!("{os}/{arch}");
        Ok(differs.then(|| (text(built_for), text(machine))))
    }

    pub(super) async fn local_image(
        &self,
        image: &str,
    ) -> Result<Option<LocalImage>, RuntimeError> {
        self.call(
            (Operation::Look, "inspect an image"),
            self.deadlines.look,
            |docker| async move {
                match docker.inspect_image(image).await {
                    Ok(found) => Ok(Some(LocalImage {
                        digest: found.id,
                        has_names: found.repo_tags.is_some_and(|tags| !tags.is_empty()),
                        volumes: found
                            .config
                            .and_then(|config| config.volumes)
                            .unwrap_or_default(),
                        repo_digests: found.repo_digests.unwrap_or_default(),
                        pulled_from: found
                            .identity
                            .and_then(|identity| identity.pull)
                            .into_iter()
                            .flatten()
                            .filter_map(|pull| pull.repository)
                            .collect(),
                    })),
                    Err(bollard::errors::Error::DockerResponseServerError {
                        status_code: 404,
                        ..
                    }) => Ok(None),
                    Err(error) => Err(error),
                }
            },
        )
        .await
    }

    /// Limits for asking a registry again: an operation must not wait long for an image that is not needed.
    const fn patience_when_here(&self) -> Patience {
        Patience {
            first: self.deadlines.ask,
            silence: self.deadlines.ask_silence,
            whole: self.deadlines.ask_pull,
        }
    }

    async fn pull(
        &self,
        (reference, source): (&str, &Target),
        patience: Patience,
        progress: &ProgressSink,
    ) -> Result<(), RuntimeError> {
        self.sources.check(source).await?;
        let client = self.client().await?;
        let options = CreateImageOptionsBuilder::default()
            .from_image(reference)
            .build();
        let mut layers = Layers::default();
        let steps = client.create_image(Some(options), None, None);
        self.drain(
            steps,
            (Operation::Pull, "pull the image"),
            patience,
            |step| {
                layers.note(
                    step.id,
                    &step.status.unwrap_or_default(),
                    step.progress_detail,
                );
                progress.send_replace(Some(layers.progress()));
                None
            },
        )
        .await
    }

    /// Follows a long operation to its end. `note` returns the failure that a step reports.
    pub(super) async fn drain<T>(
        &self,
        mut steps: impl Stream<Item = Result<T, bollard::errors::Error>> + Unpin,
        (operation, words): (Operation, &'static str),
        patience: Patience,
        mut note: impl FnMut(T) -> Option<String>,
    ) -> Result<(), RuntimeError> {
        let end = tokio::time::Instant::now() + patience.whole;
        let mut silence = patience.first;
        loop {
            let quiet = tokio::time::Instant::now() + silence;
            let limit = quiet.min(end);
            match tokio::time::timeout_at(limit, steps.next()).await {
                Err(_) => {
                    return Err(RuntimeError::Refused {
                        code: super::error::too_slow(operation),
                        message: format!("Docker did not {words} in time"),
                    });
                }
                Ok(None) => return Ok(()),
                Ok(Some(Err(error))) => return Err(self.fault(operation, error)),
                Ok(Some(Ok(step))) => {
                    silence = patience.silence;
                    if let Some(failure) = note(step) {
                        return Err(RuntimeError::refused(operation, None, &failure));
                    }
                }
            }
        }
    }
}

/// How long a pull or a build may take.
#[derive(Clone, Copy)]
pub(super) struct Patience {
    /// Until the first message.
    pub(super) first: Duration,
    /// Between messages.
    pub(super) silence: Duration,
    /// In all.
    pub(super) whole: Duration,
}

#[derive(Clone, Debug, Default)]
pub(super) struct LocalImage {
    digest: Option<String>,
    /// It has tags.
    pub(super) has_names: bool,
    /// Paths it declares as volumes.
    pub(super) volumes: Vec<String>,
    repo_digests: Vec<String>,
    /// Repositories, when Docker knows.
    pulled_from: Vec<String>,
}

/// Registry and path of a reference, which Docker may write in short.
fn repository(reference: &str) -> Option<String> {
    let reference: ImageReference = reference.parse().ok()?;
    Some(reference.name())
}

/// Docker's own name for containerd's image store.
fn keeps_images_in_containerd(driver_status: &[Vec<String>]) -> bool {
    driver_status
        .iter()
        .any(|pair| *pair == ["driver-type", "io.containerd.snapshotter.v1"])
}

/// If the registry does not give the image, the local one is used, so that the tool runs.
fn kept(
    digest: Option<String>,
    reference: &str,
    error: RuntimeError,
) -> Result<Ensured, RuntimeError> {
    match error {
        RuntimeError::Refused { message, .. } => {
            tracing::warn!(image = reference, %message, "the registry did not give the image; going on with the one that is here");
            Ok(Ensured {
                not_asked: Some(message),
                ..Ensured::here(digest)
            })
        }
        error => Err(error),
    }
}

/// Progress of the layers of one pull.
#[derive(Default)]
struct Layers {
    stage: String,
    layers: BTreeMap<String, Layer>,
}

#[derive(Default)]
struct Layer {
    done: bool,
    current: u64,
    total: Option<u64>,
}

impl Layers {
    fn note(&mut self, id: Option<String>, status: &str, detail: Option<ProgressDetail>) {
        let Some(status) = STAGES.iter().find(|stage| status.starts_with(*stage)) else {
            return;
        };
        let status = *status;
        let Some(id) = id.filter(|_| status != "Pulling from") else {
            status.clone_into(&mut self.stage);
            return;
        };
        if self.layers.len() >= MAX_LAYERS && !self.layers.contains_key(&id) {
            return;
        }
        let layer = self.layers.entry(id).or_default();
        if matches!(status, "Pull complete" | "Already exists") {
            layer.done = true;
            layer.current = layer.total.unwrap_or(layer.current);
        } else if status == "Downloading"
            && let Some(detail) = detail
        {
            layer.current = detail
                .current
                .and_then(|v| u64::try_from(v).ok())
                .unwrap_or(layer.current);
            layer.total = detail
                .total
                .and_then(|v| u64::try_from(v).ok())
                .filter(|t| *t > 0)
                .or(layer.total);
        }
        status.clone_into(&mut self.stage);
    }

    fn progress(&self) -> Progress {
        let known: Vec<_> = self
            .layers
            .values()
            .filter_map(|l| l.total.map(|t| (l.current, t)))
            .collect();
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Progress {
            stage: self.stage.clone(),
            current_bytes: (!known.is_empty()).then(|| known.iter().map(|(c, _)| c).sum()),
            total_bytes: (!known.is_empty()).then(|| known.iter().map(|(_, t)| t).sum()),
            layers_done: count(self.layers.values().filter(|l| l.done).count()),
            layers_total: count(self.layers.len()),
        }
    }
}

#[cfg(test)]
#[path = "docker_image_tests.rs"]
mod tests;
