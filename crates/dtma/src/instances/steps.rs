//! Carrying out one planned step against Docker.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use time::OffsetDateTime;
use tokio::time::Instant;
use toolbox_api::dtma::{ContainerHealth, Desired, LogLine, LogStream};
use toolbox_domain::ids::ToolInstanceId;
use toolbox_mcp::health::{LAST_LINES, lacking, telling};
use toolbox_mcp::redact::Redactor;

use crate::planner::{Step, Version};
use crate::reason::{ReasonCode, Why};
use crate::record::{Record, Release};
use crate::runtime::hardening::Hardening;
use crate::runtime::types::VolumeMount;
use crate::runtime::{
    Container, ContainerId, ContainerState, CreateContainer, Ensured, ImageRequest, LogQuery,
    Operation, ProgressSink, RuntimeError, labels, volumes,
};

use super::{Shared, disk_watch, unused_images};

/// How long a container is watched after the first start of its version.
pub const TRIAL: Duration = Duration::from_secs(1);

/// Time a container gets between SIGTERM and SIGKILL.
pub const STOP_GRACE: Duration = Duration::from_secs(10);
/// The same for one that fills the disk meanwhile.
const HALT_GRACE: Duration = Duration::from_secs(2);

/// How often a container is looked at while its image's health check has not succeeded yet.
const HEALTH_LOOK: Duration = Duration::from_secs(1);
/// How long that is waited for. Docker itself gives up earlier, unless the image asks for longer.
const HEALTH_LIMIT: Duration = Duration::from_mins(30);
/// What the check prints may hold secrets, so it is left to Docker.
const UNHEALTHY: &str = "The health check of the image fails (docker inspect shows what it prints)";

/// What came of a step that Docker did not refuse.
#[derive(Clone, Debug, PartialEq)]
pub enum StepEnd {
    /// It is done.
    Done,
    /// The container was paused on its trial, which goes on once it runs.
    Paused,
    /// The image is here.
    Image(Ensured),
    /// The container ended on its trial, or is unhealthy, for this reason; and the instance's containers after it.
    Ended(Why, Vec<Container>),
}

/// A step under way.
pub type Job = BoxFuture<'static, Result<StepEnd, RuntimeError>>;

pub fn operation(step: &Step, record: &Record) -> Operation {
    match step {
        Step::EnsureImage(version) => {
            match release(record, *version).map(|r| r.image_request(record.id)) {
                Some(ImageRequest::Build { .. }) => Operation::Build,
                _ => Operation::Pull,
            }
        }
        Step::Create(..) | Step::Rename(..) | Step::Adjust(..) => Operation::Create,
        Step::Start(..) | Step::Unpause(_) => Operation::Start,
        Step::Stop(_) | Step::Reject(..) => Operation::Stop,
        Step::Remove(_) | Step::Sweep => Operation::Remove,
        _ => Operation::Look,
    }
}

/// The release that `version` names.
pub fn release(record: &Record, version: Version) -> Option<&Release> {
    match version {
        Version::Current => Some(&record.current),
        Version::Next => record.next.as_ref(),
    }
}

/// Begins `step`; none when it is not one for Docker. The future owns all it needs.
pub fn begin(
    shared: &Arc<Shared>,
    record: &Record,
    step: &Step,
    seen: &[Container],
    progress: ProgressSink,
) -> Option<Job> {
    let shared = Arc::clone(shared);
    let id = record.id;
    let job: Job = match step.clone() {
        Step::EnsureImage(version) => {
            let request = release(record, version)?.image_request(id);
            Box::pin(async move { ensure_image(&shared, &request, &progress).await })
        }
        Step::Create(version, name) => {
            let request = creation(&shared, record, release(record, version)?, name);
            Box::pin(async move {
                // It may need its exceptions as soon as it runs.
                shared.firewall.ready(&*shared.runtime).await;
                shared.runtime.create(&request).await?;
                Ok(StepEnd::Done)
            })
        }
        Step::Start(version, container) => {
            let disk_bytes = release(record, version)?.spec.resources().disk_bytes;
            let is_halted = record.halted.is_some();
            // What a tool keeps matters to its start only where that stopped it.
            let limit = disk_bytes.filter(|_| {
                let halt = record.halted.as_ref();
                halt.is_some_and(|halt| halt.reason.code == ReasonCode::DiskLimitExceeded.as_str())
            });
            Box::pin(async move {
                // What stopped it may not be over.
                if is_halted {
                    disk_watch::may_start(&shared, &container, limit).await?;
                }
                shared.runtime.start(&container).await?;
                Ok(StepEnd::Done)
            })
        }
        Step::Adjust(version, container) => {
            let asked = confinement(&shared, id, release(record, version)?);
            Box::pin(async move {
                shared.runtime.adjust(&container, &asked).await?;
                Ok(StepEnd::Done)
            })
        }
        Step::Unpause(container) => Box::pin(async move {
            shared.runtime.unpause(&container).await?;
            Ok(StepEnd::Done)
        }),
        Step::Try(version, container) => {
            let release = release(record, version)?;
            let redactor = Redactor::new(release.spec.secrets());
            let image = match &release.image_digest {
                Some(digest) => digest.clone(),
                None => release.image_request(id).image().to_owned(),
            };
            let rest = rest_of_trial(
                seen.iter().find(|c| c.id == container),
                OffsetDateTime::now_utc(),
            );
            Box::pin(async move { trial(&shared, id, &container, (&image, &redactor), rest).await })
        }
        Step::Stop(container) | Step::Reject(_, container) => {
            let grace = match record.halted {
                Some(_) => HALT_GRACE,
                None => STOP_GRACE,
            };
            Box::pin(async move {
                shared.runtime.stop(&container, grace).await?;
                Ok(StepEnd::Done)
            })
        }
        Step::Remove(container) => {
            let keep_volumes = record.desired != Desired::Absent
                && seen
                    .iter()
                    .find(|c| c.id == container)
                    .is_some_and(|c| inherits_from(record, c));
            Box::pin(async move {
                shared.runtime.remove(&container, keep_volumes).await?;
                Ok(StepEnd::Done)
            })
        }
        Step::Rename(container, name) => Box::pin(async move {
            shared.runtime.rename(&container, &name).await?;
            Ok(StepEnd::Done)
        }),
        Step::Sweep => sweep(shared, record),
        Step::Commit(_) | Step::RollBack | Step::Hold | Step::Forget | Step::Done(_) => {
            return None;
        }
    };
    Some(job)
}

/// Removes what an instance without containers leaves.
fn sweep(shared: Arc<Shared>, record: &Record) -> Job {
    let id = record.id;
    let inherited = record.inherited_volumes.values().cloned().collect();
    let releases: Vec<_> = std::iter::once(&record.current)
        .chain(&record.next)
        .collect();
    let images: Vec<_> = releases
        .iter()
        .map(|release| release.image_request(id).image().to_owned())
        .collect();
    // Its name may be another image's by now.
    let digests: Vec<_> = releases
        .iter()
        .filter_map(|release| release.image_digest.clone())
        .collect();
    Box::pin(async move {
        shared.runtime.remove_volumes(id, inherited).await?;
        shared.runtime.remove_builds(id, None).await?;
        shared.runtime.remove_network(id).await?;
        for image in images {
            unused_images::drop_one(&shared, Some(id), image).await;
        }
        for image in digests {
            if let Err(error) = shared.runtime.remove_nameless(&image).await {
                tracing::debug!(instance = %id, %error, image, "an image without a name stays");
            }
        }
        Ok(StepEnd::Done)
    })
}

/// The instance keeps a volume that Docker named for this container.
fn inherits_from(record: &Record, container: &Container) -> bool {
    let mut names = record.inherited_volumes.values();
    names.any(|name| container.volumes.iter().any(|v| v.name == *name))
}

/// Watches a container for `rest`, then until its image's health check has said something.
async fn trial(
    shared: &Shared,
    id: ToolInstanceId,
    container: &ContainerId,
    (image, redactor): (&str, &Redactor),
    rest: Duration,
) -> Result<StepEnd, RuntimeError> {
    let given_up = Instant::now() + HEALTH_LIMIT;
    let mut pause = rest;
    loop {
        shared.runtime.ends_within(container, pause).await?;
        pause = HEALTH_LOOK;
        let after = shared.runtime.observe(id).await?;
        let found = after
            .iter()
            .find(|c| c.id == *container)
            .ok_or(RuntimeError::ContainerGone)?;
        match (found.state, found.health) {
            (ContainerState::Removing | ContainerState::Dead, _) => {
                return Err(RuntimeError::ContainerGone);
            }
            (ContainerState::Running, None | Some(ContainerHealth::Healthy)) => {
                return Ok(StepEnd::Done);
            }
            (ContainerState::Running, Some(ContainerHealth::Starting))
                if Instant::now() < given_up => {}
            (ContainerState::Running, Some(_)) => {
                let why = ReasonCode::Unhealthy.because(UNHEALTHY);
                return Ok(StepEnd::Ended(why, after));
            }
            (ContainerState::Paused, _) => return Ok(StepEnd::Paused),
            _ => {
                // It only explains the end, so the step does not fail without it.
                let platform = shared.runtime.foreign_platform(image).await.ok().flatten();
                let lines = last_lines(shared, container).await;
                let why = why_ended(found, &lines, redactor, platform);
                return Ok(StepEnd::Ended(why, after));
            }
        }
    }
}

/// Gets the image, and remembers that the agent brought it. One that was here before is somebody else's to remove.
async fn ensure_image(
    shared: &Arc<Shared>,
    request: &ImageRequest,
    progress: &ProgressSink,
) -> Result<StepEnd, RuntimeError> {
    let ensured = shared.runtime.ensure_image(request, progress).await?;
    if ensured.pulled && ensured.is_new {
        let store = Arc::clone(&shared.store);
        let image = request.image().to_owned();
        let added = tokio::task::spawn_blocking(move || store.add_pulled(&image)).await;
        if let Ok(Err(error)) = added {
            tracing::warn!(error = %crate::error_chain(&error), "a pulled image is not remembered; it stays when nobody uses it any more");
        }
    }
    Ok(StepEnd::Image(ensured))
}

/// The confinement that a release's container must have.
pub fn confinement(shared: &Shared, id: ToolInstanceId, release: &Release) -> Hardening {
    Hardening::of(&release.spec, shared.toolbox, id)
}

fn creation(shared: &Shared, record: &Record, release: &Release, name: String) -> CreateContainer {
    let spec = &release.spec;
    let owner = labels::of_instance(shared.toolbox, record.id);
    let mut container_labels = owner.clone();
    container_labels.extend([
        (labels::NAME.to_owned(), record.name.as_str().to_owned()),
        (labels::GENERATION.to_owned(), release.revision.to_string()),
        (labels::SPEC_SHA256.to_owned(), release.sha256.clone()),
        (
            labels::SPEC.to_owned(),
            serde_json::to_string(&labels::without_secrets(spec.wire())).unwrap_or_default(),
        ),
    ]);
    let disk_bytes = spec.resources().disk_bytes;
    let disk_bytes = disk_bytes.map(|bytes| (labels::DISK_BYTES.to_owned(), bytes.to_string()));
    container_labels.extend(disk_bytes);
    CreateContainer {
        instance: record.id,
        name,
        image: release.image_request(record.id).image().to_owned(),
        image_digest: release.image_digest.clone(),
        spec: spec.clone(),
        labels: container_labels,
        volume_labels: owner,
        ports: release.ports.clone(),
        volumes: spec
            .wire()
            .volumes
            .iter()
            .map(|v| VolumeMount {
                name: volumes::of_user(record.id, &v.name),
                path: v.path.clone(),
            })
            .collect(),
        inherited_volumes: record.inherited_volumes.clone(),
        host_name: record.container_name.clone(),
        hardening: confinement(shared, record.id, release),
    }
}

/// A trial counts from the start, also when the agent was restarted in between.
fn rest_of_trial(container: Option<&Container>, now: OffsetDateTime) -> Duration {
    container
        .and_then(|c| c.started_at)
        .and_then(|start| Duration::try_from(now - start).ok())
        .map_or(TRIAL, |ran| TRIAL.saturating_sub(ran))
        // A container that has run long enough is still asked once.
        .max(Duration::from_millis(50))
}

/// The last lines of a container's output, to explain its end; none if they cannot be read.
async fn last_lines(shared: &Shared, container: &ContainerId) -> Vec<LogLine> {
    let query = LogQuery {
        tail: u32::try_from(LAST_LINES).unwrap_or(u32::MAX),
        since: None,
        follow: false,
        stream: None,
    };
    let read = async {
        let Ok(lines) = shared.runtime.logs(container, query).await else {
            return Vec::new();
        };
        let lines = lines.take(LAST_LINES);
        lines.filter_map(|line| async { line.ok() }).collect().await
    };
    tokio::time::timeout(Duration::from_secs(5), read)
        .await
        .unwrap_or_default()
}

/// Why a container ended on its trial. `platform` is the image's and the machine's, if they differ. Of what the tool printed
/// only the line of standard error that tells most is shown, without the secrets that it was given.
pub fn why_ended(
    container: &Container,
    output: &[LogLine],
    redactor: &Redactor,
    platform: Option<(String, String)>,
) -> Why {
    let code = container.exit_code.unwrap_or(-1);
    if container.oom_killed {
        return ReasonCode::OutOfMemory.because(
            "The container used more memory than its limit; raise its memory limit (resources.memory)",
        );
    }
    if let Some((image, machine)) = platform {
        return ReasonCode::PlatformMismatch.because(format!(
            "The image is built for {image}, this machine is {machine}; the container ended at once with exit code {code}"
        ));
    }
    let mut not_executed = output
        .iter()
        .map(|line| line.line.as_str())
        .filter(|l| l.contains("[FATAL tini"))
        .filter_map(|l| l.split_once("exec "));
    if let Some((_, what)) = not_executed.next() {
        let what = crate::reason::one_line(what);
        return ReasonCode::StartFailed.because(format!(
            "The container's entry point could not be run: {what}"
        ));
    }
    let said = output
        .iter()
        .filter(|line| line.stream == LogStream::Stderr)
        .map(|line| line.line.as_str());
    let said = telling(said);
    let mut message = format!("The container ended at once with exit code {code}");
    if output.iter().any(|line| says(&line.line, NO_RIGHT)) {
        message += "; it may lack a right: containers have no capabilities but those named in capabilities (such as CHOWN, SETUID, SETGID); user says whom it runs as";
    }
    if output.iter().any(|line| says(&line.line, NO_PROCESS)) {
        message += "; it may have reached its limit on processes (resources.pids)";
    }
    if output.iter().any(|line| says(&line.line, NO_WRITE)) {
        message += "; its root cannot be written to: give it a volume where it writes (volumes)";
    }
    if code == 0 {
        message += "; a tool has to go on running: give it a command that does (command)";
    }
    if let Some(said) = said {
        let said = redactor.clean(said);
        message.extend([SAID, &said, lacking(&said)]);
    }
    ReasonCode::Exited.because(message)
}

/// What a tool says to which something was not permitted. It may be its container's doing, such as a missing capability, or
/// the answer of some other machine.
const NO_RIGHT: &[&str] = &[
    "operation not permitted",
    "permission denied",
    "eacces",
    "eperm",
    "failed switching to",
];
/// The same of one that could not make a process or a thread.
const NO_PROCESS: &[&str] = &[
    "resource temporarily unavailable",
    "can't fork",
    "cannot fork",
];
/// The same of one that writes where nothing can be written.
const NO_WRITE: &[&str] = &["read-only file system", "erofs"];

fn says(line: &str, signs: &[&str]) -> bool {
    let lower = line.to_lowercase();
    signs.iter().any(|sign| lower.contains(sign))
}

/// Before the last line that a container logged.
pub const SAID: &str = "; it last logged: ";

/// Why the agent stopped restarting a container.
pub fn why_given_up(container: &Container, release: &Release) -> Why {
    let code = container.exit_code.unwrap_or(-1);
    let times = super::crashes::MAX_CRASHES;
    if container.oom_killed {
        let limit = mebibytes(release.spec.resources().memory_bytes);
        return ReasonCode::OutOfMemory.because(format!(
            "crash loop, exit {code}: out of memory at {limit}; raise its memory limit (resources.memory)"
        ));
    }
    ReasonCode::CrashLoop.because(format!(
        "crash loop, exit {code}: ended {times} times shortly after its start; its log may say why"
    ))
}

/// Bytes in MiB, with one decimal where it is not 0.
fn mebibytes(bytes: u64) -> String {
    let tenths = bytes.saturating_mul(10) / (1024 * 1024);
    match tenths % 10 {
        0 => format!("{} MiB", tenths / 10),
        tenth => format!("{}.{tenth} MiB", tenths / 10),
    }
}

#[cfg(test)]
mod tests {
    use super::super::crashes::tests::ended;
    use super::*;

    #[test]
    fn an_end_is_explained_by_its_cause() {
        let plain = ended("a", 1, 2);
        let redactor = Redactor::new(["SECRET"]);
        let line = |stream, line: &str| LogLine {
            stream,
            time: None,
            line: line.to_owned(),
            truncated: false,
        };
        let ended = |output: &[LogLine]| why_ended(&plain, output, &redactor, None);
        let exited = ended(&[
            line(LogStream::Stderr, "starting"),
            line(LogStream::Stderr, "fatal: API_KEY SECRET is not valid"),
            line(LogStream::Stderr, " "),
            line(LogStream::Stdout, "protocol"),
        ]);
        assert_eq!(exited.code, ReasonCode::Exited);
        let refused = ended(&[line(
            LogStream::Stderr,
            "chown: /data: Operation not permitted SECRET",
        )]);
        assert!(refused.message.contains("CHOWN") && !refused.message.contains("SECRET"));
        assert!(!exited.message.contains("CHOWN"));
        assert_eq!(
            exited.message,
            "The container ended at once with exit code 1; it last logged: fatal: API_KEY [secret] is not valid; it may lack a setting: set environmentVariables"
        );
        assert_eq!(
            ended(&[line(LogStream::Stdout, "SECRET")]).message,
            "The container ended at once with exit code 1"
        );
        let oom = Container {
            oom_killed: true,
            ..plain.clone()
        };
        assert_eq!(
            why_ended(&oom, &[], &redactor, None).code,
            ReasonCode::OutOfMemory
        );
        let missing = [line(
            LogStream::Stderr,
            "[FATAL tini (7)] exec /nope failed: No such file or directory",
        )];
        assert_eq!(ended(&missing).code, ReasonCode::StartFailed);
        let platforms = Some(("linux/arm64".to_owned(), "linux/amd64".to_owned()));
        assert_eq!(
            why_ended(&plain, &missing, &redactor, platforms).code,
            ReasonCode::PlatformMismatch
        );
    }

    #[test]
    fn a_crash_loop_is_explained_in_a_line() {
        let spec = toolbox_api::dtma::ToolSpec {
            image: "a/b:1".into(),
            resources: toolbox_api::dtma::Resources {
                memory_bytes: Some(256 << 20),
                ..Default::default()
            },
            ..Default::default()
        };
        let spec = toolbox_domain::spec::InstanceSpec::validate(spec).unwrap();
        let release = Release::new(1, spec, Vec::new());
        let killed = Container {
            exit_code: Some(137),
            oom_killed: true,
            ..ended("a", 1, 2)
        };
        let why = why_given_up(&killed, &release);
        assert_eq!(why.code, ReasonCode::OutOfMemory);
        let text = "crash loop, exit 137: out of memory at 256 MiB";
        assert!(why.message.starts_with(text), "{}", why.message);
        let other = why_given_up(&ended("a", 1, 2), &release);
        assert!(other.message.starts_with("crash loop, exit 1: "));
        assert_eq!(mebibytes(1_600_000), "1.5 MiB");
    }

    #[test]
    fn a_trial_counts_from_the_start() {
        let container = ended("a", 100, 200);
        let at = |ms| OffsetDateTime::from_unix_timestamp(100).unwrap() + Duration::from_millis(ms);
        assert_eq!(
            rest_of_trial(Some(&container), at(300)),
            Duration::from_millis(700)
        );
        assert_eq!(
            rest_of_trial(Some(&container), at(90_000)),
            Duration::from_millis(50)
        );
        assert_eq!(rest_of_trial(None, at(0)), TRIAL);
    }
}
