//! An instance's container as a server over standard streams, through Docker's attach.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt, stream};
use time::OffsetDateTime;
use tokio::time::Instant;
use toolbox_api::dtma::{Desired, LogStream, Phase};
use toolbox_domain::ids::ToolInstanceId;
use toolbox_mcp::health::{LAST_LINES, lacking, telling};
use toolbox_mcp::process::{
    Absence, Connection, Ended, NotRunning, Opening, Output, ServerProcess,
};
use toolbox_mcp::redact::Redactor;

use super::idle::{self, Idle};
use super::stderr::StderrLog;
use crate::instances::steps::SAID;
use crate::instances::{Entry, Shared};
use crate::record::Record;
use crate::runtime::{AttachedOutput, Container, ContainerId, ContainerState, LogQuery};

/// How long a container that is being started is waited for.
const START: Duration = Duration::from_secs(15);
/// How often Docker is asked meanwhile; a published change makes it sooner.
const LOOK: Duration = Duration::from_millis(500);
/// How long Docker may take to notice that a container whose streams have ended has ended too.
const END: Duration = Duration::from_secs(2);

/// The container of one instance, whichever it is at the time.
pub(super) struct DockerStdio {
    pub(super) id: ToolInstanceId,
    pub(super) entry: Entry,
    pub(super) shared: Arc<Shared>,
    pub(super) log: Arc<StderrLog>,
    /// Set if it is stopped when nobody uses it.
    pub(super) idle: Option<Arc<Idle>>,
}

impl ServerProcess for DockerStdio {
    fn open(&self) -> Opening<'_> {
        self.attach().boxed()
    }
}

fn not_running(reason: impl Into<String>, absence: Absence) -> NotRunning {
    NotRunning {
        reason: reason.into(),
        absence,
    }
}

impl DockerStdio {
    async fn attach(&self) -> Result<Connection, NotRunning> {
        let (record, container) = self.running().await?;
        let redactor = redactor(&record);
        let attached = self
            .shared
            .runtime
            .attach(&container.id)
            .await
            .map_err(|error| not_running(redactor.clean(&error.to_string()), Absence::Fault))?;
        let runtime = Arc::clone(&self.shared.runtime);
        let log = self.log.attached(runtime, container.id.clone());
        let output = attached.output.filter_map(move |piece| {
            let output = match piece {
                Ok(AttachedOutput::Stdout(bytes)) => Some(Output::Stdout(bytes)),
                Ok(AttachedOutput::Stderr(bytes)) => {
                    log.take(&bytes);
                    Some(Output::Stderr(bytes))
                }
                // The end follows and has the details.
                Err(_) => None,
            };
            std::future::ready(output)
        });
        // The streams of a container that has just ended stay silent until it is started again.
        let still = self.look(Some(container.id.as_str())).await?;
        let image = container.image_digest.clone();
        let runs = still.is_some_and(|(_, found)| found.started_at == container.started_at);
        let end = final_output(Arc::clone(&self.shared), self.id, container);
        let end = stream::once(end).flat_map(stream::iter);
        let output = if runs {
            output.chain(end).boxed()
        } else {
            end.boxed()
        };
        Ok(Connection {
            input: attached.input,
            output,
            revision: record.current.revision,
            image,
            redactor: Some(redactor),
        })
    }

    /// The record and its running container, once there is one.
    async fn running(&self) -> Result<(Record, Container), NotRunning> {
        let until = Instant::now() + START;
        let mut entry = self.entry.clone();
        loop {
            let published = entry.published();
            let view = published
                .view
                .ok_or_else(|| not_running("the instance is gone", Absence::Intended))?;
            if view.desired != Desired::Running {
                return Err(not_running("the tool is stopped", Absence::Intended));
            }
            if published.rests {
                return Err(not_running(
                    idle::words(self.idle.as_deref()),
                    Absence::Idle,
                ));
            }
            if let Some(reason) = &view.reason
                && view.phase == Phase::Error
            {
                return Err(self
                    .failed(&reason.message, view.container_id.as_deref())
                    .await);
            }
            if let Some(found) = self.look(view.container_id.as_deref()).await? {
                return Ok(found);
            }
            if Instant::now() >= until {
                return Err(not_running("its container does not run", Absence::Fault));
            }
            // Either the view changes, or it is time to look again.
            let _ = tokio::time::timeout(LOOK, entry.changed()).await;
        }
    }

    /// Adds the last line of the container's log to `reason`, if there is one.
    async fn failed(&self, reason: &str, container: Option<&str>) -> NotRunning {
        let said = match container.map(ContainerId::new) {
            Some(container) => last_line(&self.shared, &container, None).await,
            None => None,
        };
        let record = self.shared.store.find(self.id);
        match (said, record) {
            (Some(line), Some(record)) => {
                let line = redactor(&record).clean(&line);
                // The reason of an end at the start has it already.
                if reason.contains(SAID) {
                    return not_running(reason, Absence::Fault);
                }
                not_running(
                    format!("{reason}{SAID}{line}{}", lacking(&line)),
                    Absence::Fault,
                )
            }
            _ => not_running(reason, Absence::Fault),
        }
    }

    async fn look(&self, wanted: Option<&str>) -> Result<Option<(Record, Container)>, NotRunning> {
        let containers = self
            .shared
            .runtime
            .observe(self.id)
            .await
            .map_err(|error| not_running(error.to_string(), Absence::Fault))?;
        let running = containers.into_iter().find(|container| {
            Some(container.id.as_str()) == wanted
                && matches!(
                    container.state,
                    ContainerState::Running | ContainerState::Paused
                )
        });
        Ok(running.and_then(|container| Some((self.shared.store.find(self.id)?, container))))
    }
}

/// Every value the server was given may be a secret.
fn redactor(record: &Record) -> Redactor {
    Redactor::new(record.current.spec.secrets())
}

/// The last items of an output: what the container logged last, and how it ended.
async fn final_output(
    shared: Arc<Shared>,
    id: ToolInstanceId,
    container: Container,
) -> Vec<Output> {
    let ended = ended(&shared, id, &container).await;
    // A container may have ended before it was attached to, so its last line is read from the log.
    let last = last_line(&shared, &container.id, container.started_at).await;
    last.map(|line| Output::Stderr(format!("\n{line}\n").into()))
        .into_iter()
        .chain([Output::Ended(ended)])
        .collect()
}

/// The line that explains a container's end, of the last ones it wrote to standard error.
async fn last_line(
    shared: &Shared,
    container: &ContainerId,
    since: Option<OffsetDateTime>,
) -> Option<String> {
    let query = LogQuery {
        tail: u32::try_from(LAST_LINES).unwrap_or(u32::MAX),
        since,
        follow: false,
        stream: Some(LogStream::Stderr),
    };
    let reading = async {
        let mut last = VecDeque::new();
        if let Ok(mut lines) = shared.runtime.logs(container, query).await {
            while let Some(Ok(line)) = lines.next().await {
                if last.len() == LAST_LINES {
                    last.pop_front();
                }
                last.push_back(line.line);
            }
        }
        telling(last.iter().map(String::as_str)).map(str::to_owned)
    };
    tokio::time::timeout(END, reading).await.ok().flatten()
}

async fn ended(shared: &Shared, id: ToolInstanceId, container: &Container) -> Ended {
    let with = |detail: &str| Ended {
        detail: Some(detail.to_owned()),
        ..Ended::default()
    };
    for waited in [false, true] {
        let Ok(found) = shared.runtime.observe(id).await else {
            return with("Docker does not answer");
        };
        let Some(now) = found.into_iter().find(|c| c.id == container.id) else {
            return with("its container was removed");
        };
        if now.state == ContainerState::Exited || now.started_at != container.started_at {
            let memory = container.hardening.memory_bytes / (1024 * 1024);
            return Ended {
                // Docker reports the code of a container that runs again as 0.
                exit_code: now
                    .exit_code
                    .filter(|_| now.state == ContainerState::Exited),
                detail: now
                    .oom_killed
                    .then(|| format!("out of memory at {memory} MiB")),
                ..Ended::default()
            };
        }
        if !waited {
            // Waiting lets the exit code be read before the container is started again. The second look covers a failure
            // of this wait.
            let _ = shared.runtime.ends_within(&container.id, END).await;
        }
    }
    with("its standard streams were closed")
}
