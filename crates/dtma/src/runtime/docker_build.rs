//! Building images: their limits, and what a build leaves behind.
//!
//! A build runs the repository's commands in containers of its own. Docker's API of builds limits their memory and CPU, but
//! not their processes. So the agent gives each such container its limit as Docker tells of its creation; it knows them by
//! a host name that it gave the build. Docker makes and starts a container in one go, so the commands may run for some
//! milliseconds before.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::time::Duration;

use bollard::models::ContainerUpdateBody;
use bollard::query_parameters::{BuildImageOptionsBuilder, EventsOptionsBuilder};
use bytes::Bytes;
use futures_util::StreamExt;
use time::OffsetDateTime;
use toolbox_api::dtma::Progress;
use toolbox_domain::spec::ResourceLimits;

use super::docker::DockerEngine;
use super::docker_image::Patience;
use super::{Operation, ProgressSink, RuntimeError};
use crate::reason::one_line;

/// Lines of a failed build that the user gets to see.
const LOG_TAIL_LINES: usize = 20;
/// Least memory of a build, in bytes: compilers need more than the tools they make.
const MIN_BUILD_MEMORY: u64 = 1024 * 1024 * 1024;
/// Least CPU of a build, in billionths of a CPU.
const MIN_BUILD_NANO_CPUS: u64 = 1_000_000_000;
/// Least limit on the processes and threads of a command of a build.
const MIN_BUILD_PIDS: u32 = 1024;
/// Period of the CPU quota, in microseconds.
const CPU_PERIOD: i32 = 100_000;
/// Weight of a build where CPUs are short; a container's is 1024.
const BUILD_CPU_SHARES: i32 = 256;
/// Pause before Docker's events are asked for again.
const EVENTS_PAUSE: Duration = Duration::from_millis(200);
/// Most images that a failed build is cleaned of; a Dockerfile has as many steps.
const MAX_LEFT: usize = 256;

impl DockerEngine {
    /// Builds an image; a build that fails leaves nothing behind.
    pub(super) async fn build(
        &self,
        options: BuildImageOptionsBuilder,
        pids: u32,
        progress: &ProgressSink,
    ) -> Result<(), RuntimeError> {
        let client = self.client().await?;
        let mark = format!("{}.toolbox-build.invalid:127.0.0.1", uuid::Uuid::new_v4());
        let options = options.extrahosts(&mark).build();
        let mut tail: VecDeque<String> = VecDeque::with_capacity(LOG_TAIL_LINES);
        let mut left = Left::default();
        // bollard panics without a body, and Docker ignores it beside `remote`.
        let steps = client.build_image(options, None, Some(bollard::body_full(Bytes::new())));
        let building = self.drain(
            steps,
            (Operation::Build, "build the image"),
            Patience {
                first: self.deadlines.silence,
                silence: self.deadlines.silence,
                whole: self.deadlines.build,
            },
            |step| {
                let printed = step.stream.as_deref().unwrap_or_default();
                for line in printed.lines().filter(|l| !l.trim().is_empty()) {
                    left.note(line);
                    if tail.len() == LOG_TAIL_LINES {
                        tail.pop_front();
                    }
                    tail.push_back(one_line(line));
                }
                left.note_pull(step.status.as_deref().unwrap_or_default());
                if let Some(stage) = tail.back() {
                    progress.send_replace(Some(Progress {
                        stage: stage.clone(),
                        ..Progress::default()
                    }));
                }
                step.error_detail.and_then(|e| e.message)
            },
        );
        let built = tokio::select! {
            biased;
            never = self.limit_processes(&mark, pids.max(MIN_BUILD_PIDS)) => match never {},
            built = building => built,
        };
        self.clean_up(left, built.is_ok()).await;
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

    /// Gives each container of a build its limit, until it is dropped.
    async fn limit_processes(&self, mark: &str, pids: u32) -> Infallible {
        // What Docker told before it answered is told again.
        let since = OffsetDateTime::now_utc().unix_timestamp().to_string();
        loop {
            if let Ok(client) = self.client().await {
                let wanted = |word: &str| vec![word.to_owned()];
                let options = EventsOptionsBuilder::default()
                    .since(&since)
                    .filters(&HashMap::from([
                        ("type".to_owned(), wanted("container")),
                        ("event".to_owned(), wanted("create")),
                    ]))
                    .build();
                let mut events = client.events(Some(options));
                while let Some(Ok(event)) = events.next().await {
                    let Some(id) = event.actor.and_then(|actor| actor.id) else {
                        continue;
                    };
                    match self.limit_if_marked(&id, mark, pids).await {
                        Ok(()) | Err(RuntimeError::ContainerGone) => {}
                        Err(error) => {
                            tracing::warn!(container = id, %error, "a command of a build has no limit on its processes");
                        }
                    }
                }
            }
            tokio::time::sleep(EVENTS_PAUSE).await;
        }
    }

    async fn limit_if_marked(&self, id: &str, mark: &str, pids: u32) -> Result<(), RuntimeError> {
        let host = self.inspect(id).await?.host_config.unwrap_or_default();
        let hosts = host.extra_hosts.unwrap_or_default();
        if !hosts.iter().any(|host| host == mark) {
            return Ok(());
        }
        let body = ContainerUpdateBody {
            pids_limit: Some(pids.into()),
            ..ContainerUpdateBody::default()
        };
        self.call(
            (Operation::Create, "limit the processes of a build"),
            self.deadlines.change,
            |docker| async move { docker.update_container(id, body).await },
        )
        .await
    }

    /// Removes the images that a build brought and nobody needs. Best effort.
    async fn clean_up(&self, left: Left, is_built: bool) {
        // The image that was built needs those that it was built from. The newest has the others below it.
        let made = left.made.iter().rev().filter(|_| !is_built);
        for image in made {
            if let Err(error) = self.remove_nameless_image(image).await {
                tracing::debug!(image, %error, "an image of a failed build stays");
            }
        }
        // Without its name, a base goes with the last image that was built on it.
        for base in &left.pulled {
            if let Err(error) = self.remove_unused_image(base).await {
                tracing::debug!(image = base, %error, "the base of a build keeps its name");
            }
        }
    }
}

/// What a build brought, as it says itself.
#[derive(Debug, Default, PartialEq)]
struct Left {
    /// Ids of images that its steps made, oldest first.
    made: Vec<String>,
    /// Names of images that it pulled.
    pulled: Vec<String>,
    /// The step's image was there before.
    is_known: bool,
}

impl Left {
    /// A line that the builder printed. Commands print too, so what it says is only a candidate: images that others need have
    /// names, images on top of them, or containers.
    fn note(&mut self, line: &str) {
        if line.starts_with("Step ") {
            // A base is not made here.
            self.is_known = line.contains(" : FROM ");
        } else if line == " ---> Using cache" {
            self.is_known = true;
        } else if let Some(id) = line.strip_prefix(" ---> ")
            && !self.is_known
            && is_id(id)
            && self.made.len() < MAX_LEFT
        {
            self.made.push(id.to_owned());
        }
    }

    /// What Docker says of a pull.
    fn note_pull(&mut self, status: &str) {
        let pulled = status.strip_prefix("Status: Downloaded newer image for ");
        if let Some(name) = pulled.filter(|_| self.pulled.len() < MAX_LEFT) {
            self.pulled.push(name.trim().to_owned());
        }
    }
}

fn is_id(text: &str) -> bool {
    text.len() >= 12 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// A build with its limits. It runs the repository's commands, so it is limited as the container is: without swap, and
/// to what the tool may use, or to what a build needs if that is more.
pub(super) fn limited(resources: &ResourceLimits) -> BuildImageOptionsBuilder {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_gets_what_its_tool_may_use_within_bounds() {
        const GIB: u64 = 1 << 30;
        let limits = |memory_bytes, nano_cpus| {
            let resources = ResourceLimits {
                memory_bytes,
                nano_cpus,
                pids: 1,
                disk_bytes: Some(GIB),
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
    fn what_a_build_made_is_told_from_what_was_there() {
        let mut left = Left::default();
        for line in [
            "Step 1/5 : FROM alpine:3",
            " ---> aaaaaaaaaaaa",
            "Step 2/5 : RUN true",
            " ---> Using cache",
            " ---> bbbbbbbbbbbb",
            "Step 3/5 : RUN false",
            " ---> Running in 000000000000",
            "Removing intermediate container 000000000000",
            " ---> cccccccccccc",
            "Step 4/5 : RUN echo",
            " ---> not an id",
            " ---> dddddddddddd",
        ] {
            left.note(line);
        }
        left.note_pull("Status: Image is up to date for busybox:1");
        left.note_pull("Status: Downloaded newer image for alpine:3");
        assert_eq!(left.made, ["cccccccccccc", "dddddddddddd"]);
        assert_eq!(left.pulled, ["alpine:3"]);
    }
}
