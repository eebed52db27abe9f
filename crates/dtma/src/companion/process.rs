//! The agent as a child process, for development and tests.
//!
//! It outlives this process, as an agent does under systemd or Docker, so a file remembers which process it is.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::StreamExt;
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};

use super::programs;
use super::supervision::{LogParts, Step, Supervision, SupervisionError, output};
use super::versions::Versions;
use crate::config::companion::{CompanionConfig, read_settings};
use crate::durable;

const PID: &str = "agent.pid";
const LOG: &str = "agent.log";
/// How often it is looked whether it has ended.
const LOOK: Duration = Duration::from_millis(50);

/// The process, and what it is started with.
pub(super) struct Process {
    folder: PathBuf,
    settings: PathBuf,
    versions: Versions,
}

impl Process {
    pub(super) fn new(config: &CompanionConfig, versions: &Versions) -> Self {
        Self {
            folder: config.machine.state_dir.clone(),
            settings: config.settings_file.clone(),
            versions: versions.clone(),
        }
    }

    /// The process that was started last, if it still runs.
    fn running(&self) -> Option<Pid> {
        let text = durable::read(&self.folder.join(PID)).ok().flatten()?;
        let (pid, begun) = text.trim().split_once(' ')?;
        let number: i32 = pid.parse().ok()?;
        // Numbers are given again, but not with the same time of start.
        (begun_at(number).as_deref() == Some(begun))
            .then(|| Pid::from_raw(number))
            .flatten()
    }

    fn spawn(&self) -> io::Result<()> {
        let settings = read_settings(&self.settings)?;
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.folder.join(LOG))?;
        // The name of the version rather than of the link, so that it can be seen which one runs.
        let program = std::fs::canonicalize(self.versions.current_program())?;
        let mut child = programs::agent(&program, &settings, log)?;
        let pid = child.id().and_then(|id| i32::try_from(id).ok());
        let begun = pid.and_then(begun_at);
        if let (Some(pid), Some(begun)) = (pid, begun) {
            durable::write(&self.folder, PID, format!("{pid} {begun}\n").as_bytes())?;
        }
        tokio::spawn(async move {
            if let Ok(status) = child.wait().await {
                tracing::info!(how = programs::ending(status), "the agent ended");
            }
        });
        Ok(())
    }
}

/// When the process began, in ticks since boot; none when there is no process, or only what is left of one.
fn begun_at(pid: i32) -> Option<String> {
    let stat =
        std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).ok()?;
    // The second field is the program's name in brackets, which may hold anything.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    (!matches!(state, "Z" | "X")).then(|| fields.nth(18).map(str::to_owned))?
}

impl Supervision for Process {
    fn start(&self) -> Step<'_, ()> {
        Box::pin(async {
            match self.running() {
                Some(_) => Ok(()),
                None => self
                    .spawn()
                    .map_err(|error| SupervisionError::Io("start the agent", error)),
            }
        })
    }

    fn stop(&self, patience: Duration) -> Step<'_, ()> {
        Box::pin(async move {
            let until = Instant::now() + patience;
            for signal in [Signal::TERM, Signal::KILL] {
                let Some(pid) = self.running() else {
                    return Ok(());
                };
                // It may have ended in between.
                let _ = kill_process(pid, signal);
                while self.running().is_some() && (signal == Signal::KILL || Instant::now() < until)
                {
                    sleep(LOOK).await;
                }
            }
            Ok(())
        })
    }

    fn runs(&self) -> Step<'_, bool> {
        Box::pin(async { Ok(self.running().is_some()) })
    }

    fn log(&self, tail: u32, follow: bool) -> Step<'_, LogParts> {
        Box::pin(async move {
            let file = self.folder.join(LOG);
            if !file.exists() {
                return Ok(futures_util::stream::empty().boxed());
            }
            let (tail, file) = (tail.to_string(), file.display().to_string());
            let mut args = vec!["-n", &tail];
            if follow {
                args.push("-F");
            }
            args.push(&file);
            let child = programs::reading("tail", &args);
            Ok(output(child.map_err(|error| {
                SupervisionError::Io("read the log", error)
            })?))
        })
    }
}
