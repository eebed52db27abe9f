//! What keeps the agent's program running, behind one trait: systemd, a container, or a child process.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use tokio::io::AsyncReadExt;
use tokio::process::Child;

use super::container::Container;
use super::process::Process;
use super::programs;
use super::versions::Versions;
use crate::config::companion::{CompanionConfig, SupervisionKind};

/// What could not be done with the agent's program.
#[derive(Debug, thiserror::Error)]
pub enum SupervisionError {
    #[error("could not {0}")]
    Io(&'static str, #[source] io::Error),
    #[error("systemctl could not {action}: {said}")]
    Systemd { action: &'static str, said: String },
    #[error("Docker could not {0}")]
    Docker(&'static str, #[source] bollard::errors::Error),
}

/// A step in progress.
pub type Step<'a, T> = Pin<Box<dyn Future<Output = Result<T, SupervisionError>> + Send + 'a>>;

/// Parts of a log, as they come.
pub type LogParts = BoxStream<'static, io::Result<Bytes>>;

/// Keeps one program running: the agent of the version that `current` leads to.
pub trait Supervision: Send + Sync {
    /// Starts it. Starting what runs succeeds.
    fn start(&self) -> Step<'_, ()>;

    /// Asks it to end, waits `patience` for that, and kills it then. Stopping what does not run succeeds.
    fn stop(&self, patience: Duration) -> Step<'_, ()>;

    /// Whether it runs.
    fn runs(&self) -> Step<'_, bool>;

    /// The last `tail` lines of its log and, if asked to `follow`, what comes after them.
    fn log(&self, tail: u32, follow: bool) -> Step<'_, LogParts>;
}

/// The one that is configured.
pub fn of(config: &CompanionConfig, versions: &Versions) -> Arc<dyn Supervision> {
    match config.supervision {
        SupervisionKind::Systemd => Arc::new(Systemd),
        SupervisionKind::Docker => Arc::new(Container::new(config, versions)),
        SupervisionKind::Process => Arc::new(Process::new(config, versions)),
    }
}

/// The unit `dtma.service`.
struct Systemd;

const UNIT: &str = "dtma.service";
/// How long systemctl may take beyond what the agent itself may.
const SYSTEMCTL_LIMIT: Duration = Duration::from_secs(30);

impl Systemd {
    async fn call(&self, action: &'static str, limit: Duration) -> Result<bool, SupervisionError> {
        let ended = programs::run("systemctl", &[action, "--quiet", UNIT], limit).await;
        let (status, said) = ended.map_err(|error| SupervisionError::Io("run systemctl", error))?;
        // 3 and 4: the unit does not run, or there is none.
        match (status.success(), action) {
            (true, _) => Ok(true),
            (false, "is-active" | "reset-failed") => Ok(false),
            (false, _) => Err(SupervisionError::Systemd { action, said }),
        }
    }
}

impl Supervision for Systemd {
    fn start(&self) -> Step<'_, ()> {
        Box::pin(async {
            // A unit that failed too often is not started otherwise.
            self.call("reset-failed", SYSTEMCTL_LIMIT).await?;
            self.call("start", SYSTEMCTL_LIMIT).await.map(drop)
        })
    }

    fn stop(&self, patience: Duration) -> Step<'_, ()> {
        // The unit's own TimeoutStopSec kills it.
        Box::pin(async move {
            self.call("stop", patience + SYSTEMCTL_LIMIT)
                .await
                .map(drop)
        })
    }

    fn runs(&self) -> Step<'_, bool> {
        Box::pin(self.call("is-active", SYSTEMCTL_LIMIT))
    }

    fn log(&self, tail: u32, follow: bool) -> Step<'_, LogParts> {
        Box::pin(async move {
            let tail = tail.to_string();
            let mut args = vec![
                "--unit",
                UNIT,
                "--output",
                "cat",
                "--no-pager",
                "--lines",
                &tail,
            ];
            if follow {
                args.push("--follow");
            }
            let child = programs::reading("journalctl", &args);
            Ok(output(child.map_err(|error| {
                SupervisionError::Io("run journalctl", error)
            })?))
        })
    }
}

/// What a program writes, until its end. Dropping it ends the program.
pub(super) fn output(mut child: Child) -> LogParts {
    let Some(out) = child.stdout.take() else {
        return futures_util::stream::empty().boxed();
    };
    let parts = futures_util::stream::unfold((out, child), |(mut out, child)| async {
        let mut part = vec![0; 8 * 1024];
        match out.read(&mut part).await {
            Ok(0) => None,
            Ok(length) => {
                part.truncate(length);
                Some((Ok(Bytes::from(part)), (out, child)))
            }
            Err(error) => Some((Err(error), (out, child))),
        }
    });
    parts.boxed()
}
