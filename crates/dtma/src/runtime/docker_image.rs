//! Pulling and building images, with progress.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use bollard::models::ProgressDetail;
use bollard::query_parameters::{BuildImageOptionsBuilder, CreateImageOptionsBuilder};
use bytes::Bytes;
use futures_util::stream::{Stream, StreamExt};
use toolbox_api::dtma::Progress;
use toolbox_domain::spec::Resources;

use super::docker::DockerEngine;
use super::types::{Ensured, ImageRequest};
use super::{Operation, ProgressSink, RuntimeError, labels};
use crate::reason::{ReasonCode, one_line};

/// Lines of a failed build that the user gets to see.
const LOG_TAIL_LINES: usize = 20;
/// Most layers that progress is kept of; Docker's own limit on layers of an image is 127.
const MAX_LAYERS: usize = 256;
/// Least memory of a build, in bytes: compilers need more than the tools they make.
const MIN_BUILD_MEMORY: u64 = 1024 * 1024 * 1024;
/// Least CPU of a build, in billionths of a CPU.
const MIN_BUILD_NANO_CPUS: u64 = 1_000_000_000;
/// Period of the CPU quota, in microseconds.
const CPU_PERIOD: i32 = 100_000;
/// Weight of a build where CPUs are short; a container's is 1024.
const BUILD_CPU_SHARES: i32 = 256;

impl DockerEngine {
    /// See [`super::ContainerRuntime::ensure_image`]. Built images carry labels, so they go with their instance.
    pub(super) async fn ensure(
        &self,
        request: &ImageRequest,
        progress: &ProgressSink,
        toolbox: String,
    ) -> Result<Ensured, RuntimeError> {
        let here = self.local_image(request.image()).await?;
        match (&here, request) {
            (
                Some(image),
                ImageRequest::Pull {
                    reference,
                    ask_again: true,
                },
            ) if image.is_pulled => {
                let asked = self.pull(reference, self.deadlines.ask, progress).await;
                if let Err(error) = asked {
                    return kept(image.digest.clone(), reference, error);
                }
            }
            (Some(image), _) => {
                return Ok(Ensured {
                    digest: image.digest.clone(),
                    not_asked: None,
                });
            }
            (None, _) => self.fetch(request, progress, toolbox).await?,
        }
        let now = self.local_image(request.image()).await?;
        let digest = now.ok_or(RuntimeError::ImageMissing)?.digest;
        Ok(Ensured {
            digest,
            not_asked: None,
        })
    }

    async fn fetch(
        &self,
        request: &ImageRequest,
        progress: &ProgressSink,
        toolbox: String,
    ) -> Result<(), RuntimeError> {
        match request {
            ImageRequest::Pull { reference, .. } => {
                self.pull(reference, self.deadlines.silence, progress).await
            }
            ImageRequest::Build {
                remote,
                dockerfile,
                tag,
                instance,
                resources,
            } => {
                let labels = HashMap::from([
                    (labels::TOOLBOX_ID.to_owned(), toolbox),
                    (labels::INSTANCE_ID.to_owned(), instance.to_string()),
                    (labels::MANAGED_BY.to_owned(), labels::DTMA.to_owned()),
                ]);
                let options = limited(resources)
                    .remote(remote)
                    .dockerfile(dockerfile)
                    .t(tag)
                    .rm(true)
                    .forcerm(true)
                    .labels(&labels);
                self.build(options, progress).await
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

    async fn local_image(&self, image: &str) -> Result<Option<LocalImage>, RuntimeError> {
        self.call(
            (Operation::Look, "inspect an image"),
            self.deadlines.look,
            |docker| async move {
                match docker.inspect_image(image).await {
                    Ok(found) => Ok(Some(LocalImage {
                        digest: found.id,
                        is_pulled: found
                            .repo_digests
                            .is_some_and(|digests| !digests.is_empty()),
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

    /// `patience` is for the registry's first word.
    async fn pull(
        &self,
        reference: &str,
        patience: Duration,
        progress: &ProgressSink,
    ) -> Result<(), RuntimeError> {
        let client = self.client().await?;
        let options = CreateImageOptionsBuilder::default()
            .from_image(reference)
            .build();
        let mut layers = Layers::default();
        let steps = client.create_image(Some(options), None, None);
        self.drain(
            steps,
            (Operation::Pull, "pull the image"),
            (patience, self.deadlines.pull),
            |step| {
                layers.note(
                    step.id,
                    step.status.unwrap_or_default(),
                    step.progress_detail,
                );
                progress.send_replace(Some(layers.progress()));
                None
            },
        )
        .await
    }

    async fn build(
        &self,
        options: BuildImageOptionsBuilder,
        progress: &ProgressSink,
    ) -> Result<(), RuntimeError> {
        let client = self.client().await?;
        let mut tail: VecDeque<String> = VecDeque::with_capacity(LOG_TAIL_LINES);
        // bollard panics without a body, and Docker ignores it beside `remote`.
        let steps = client.build_image(
            options.build(),
            None,
            Some(bollard::body_full(Bytes::new())),
        );
        let built = self
            .drain(
                steps,
                (Operation::Build, "build the image"),
                (self.deadlines.silence, self.deadlines.build),
                |step| {
                    for line in step
                        .stream
                        .iter()
                        .flat_map(|s| s.lines())
                        .filter(|l| !l.trim().is_empty())
                    {
                        if tail.len() == LOG_TAIL_LINES {
                            tail.pop_front();
                        }
                        tail.push_back(one_line(line));
                    }
                    if let Some(stage) = tail.back() {
                        progress.send_replace(Some(Progress {
                            stage: stage.clone(),
                            ..Progress::default()
                        }));
                    }
                    step.error_detail.and_then(|e| e.message)
                },
            )
            .await;
        match built {
            Err(RuntimeError::Refused { code, message }) if !tail.is_empty() => {
                let log = tail.make_contiguous().join("\n");
                Err(RuntimeError::Refused {
                    code,
                    message: format!("{message}\nEnd of the build log:\n{log}"),
                })
            }
            other => other,
        }
    }

    /// Follows a long operation to its end. `note` returns the failure that a step reports.
    async fn drain<T>(
        &self,
        mut steps: impl Stream<Item = Result<T, bollard::errors::Error>> + Unpin,
        (operation, words): (Operation, &'static str),
        (first, deadline): (Duration, Duration),
        mut note: impl FnMut(T) -> Option<String>,
    ) -> Result<(), RuntimeError> {
        let end = tokio::time::Instant::now() + deadline;
        let mut silence = first;
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
                    silence = self.deadlines.silence;
                    if let Some(failure) = note(step) {
                        return Err(RuntimeError::refused(operation, &failure));
                    }
                }
            }
        }
    }
}

/// An image on this machine.
struct LocalImage {
    digest: Option<String>,
    /// It came from a registry. One that was built or loaded here has none to ask; the registry that its name leads to
    /// may hold a stranger's image.
    is_pulled: bool,
}

/// What is here is used when its registry does not give it: that must not keep a tool from running that can run.
fn kept(
    digest: Option<String>,
    reference: &str,
    error: RuntimeError,
) -> Result<Ensured, RuntimeError> {
    match error {
        RuntimeError::Refused {
            code:
                ReasonCode::RegistryUnreachable
                | ReasonCode::RegistryUnauthorized
                | ReasonCode::ImageNotFound
                | ReasonCode::ImageTagNotFound,
            message,
        } => {
            tracing::warn!(image = reference, %message, "the registry did not give the image; going on with the one that is here");
            Ok(Ensured {
                digest,
                not_asked: Some(message),
            })
        }
        error => Err(error),
    }
}

/// A build with its limits. Its commands are the repository's, so they are bounded as the container is: without swap,
/// by what the tool may use, or by what a build needs when that is more.
fn limited(resources: &Resources) -> BuildImageOptionsBuilder {
    // The API takes more than 2 GiB, but bollard's type does not.
    let memory = i32::try_from(resources.memory_bytes.max(MIN_BUILD_MEMORY)).unwrap_or(i32::MAX);
    let quota = resources.nano_cpus.max(MIN_BUILD_NANO_CPUS) / 10_000;
    BuildImageOptionsBuilder::default()
        .memory(memory)
        .memswap(memory)
        .cpuperiod(CPU_PERIOD)
        .cpuquota(i32::try_from(quota).unwrap_or(i32::MAX))
        .cpushares(BUILD_CPU_SHARES)
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
    fn note(&mut self, id: Option<String>, status: String, detail: Option<ProgressDetail>) {
        let Some(id) = id.filter(|_| !status.starts_with("Pulling from")) else {
            self.stage = status;
            return;
        };
        if self.layers.len() >= MAX_LAYERS && !self.layers.contains_key(&id) {
            return;
        }
        let layer = self.layers.entry(id).or_default();
        if matches!(status.as_str(), "Pull complete" | "Already exists") {
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
        self.stage = status;
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
mod tests {
    use super::*;

    #[test]
    fn a_build_gets_what_its_tool_may_use_within_bounds() {
        const GIB: u64 = 1 << 30;
        let limits = |memory_bytes, nano_cpus| {
            let resources = Resources {
                memory_bytes,
                nano_cpus,
                pids: 1,
            };
            let options = limited(&resources).build();
            assert_eq!(options.memory, options.memswap, "no swap");
            (options.memory, options.cpuquota)
        };
        assert_eq!(
            limits(GIB / 8, 250_000_000),
            (Some(1 << 30), Some(CPU_PERIOD))
        );
        assert_eq!(
            limits(GIB + GIB / 2, 2_500_000_000),
            (Some(3 << 29), Some(250_000))
        );
        assert_eq!(
            limits(64 * GIB, 64_000_000_000),
            (Some(i32::MAX), Some(6_400_000))
        );
    }

    #[test]
    fn layers_add_up() {
        let mut layers = Layers::default();
        let detail = |current, total| {
            Some(ProgressDetail {
                current: Some(current),
                total: Some(total),
            })
        };
        layers.note(Some("latest".into()), "Pulling from a/b".into(), None);
        layers.note(Some("l1".into()), "Downloading".into(), detail(5, 10));
        layers.note(Some("l2".into()), "Downloading".into(), detail(1, 20));
        layers.note(Some("l1".into()), "Pull complete".into(), None);
        layers.note(Some("l3".into()), "Already exists".into(), None);
        let progress = layers.progress();
        assert_eq!(
            (progress.current_bytes, progress.total_bytes),
            (Some(11), Some(30))
        );
        assert_eq!((progress.layers_done, progress.layers_total), (2, 3));
    }
}
