//! The companion of the toolbox "local": it starts the agent, keeps it running, and replaces it by releases that the stack
//! serves. Its folders are those of an installed machine, below the stack's data.

use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use tokio::time::{Instant, sleep};

use crate::config::Paths;
use crate::dtma::{Agent, STATE};
use crate::error::StackError;
use crate::process::{Program, signal_pid};
use crate::secrets::{Secrets, write_private};
use crate::unit::{Ready, Unit};

const VERSIONS: &str = "versions";
/// How long the agent's program may take to say its version.
const VERSION_LIMIT: Duration = Duration::from_secs(10);
/// How long an agent may take to end, and how often it is looked whether it has.
const END_LIMIT: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(50);

/// Where the companion listens, and what it needs.
pub(crate) struct Companion {
    pub(crate) port: u16,
    /// Where releases are.
    pub(crate) release_url: String,
}

impl Companion {
    pub(crate) fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// Installs the agent's program as it was built, and says how to run the companion, which runs that.
    pub(crate) async fn unit(
        &self,
        agent: &Agent,
        paths: &Paths,
        data_dir: &Path,
        secrets: &Secrets,
        env: &[(String, String)],
    ) -> Result<Unit, StackError> {
        let versions = data_dir.join(VERSIONS);
        let said = Program::new("dtma", &paths.dtma, data_dir)
            .args(["--version"])
            .finish(VERSION_LIMIT)
            .await?;
        let version = said.trim().rsplit(' ').next().unwrap_or_default();
        install(&paths.dtma, &versions, version)
            .map_err(StackError::file("install DTMA in", &versions))?;
        let settings_file = data_dir.join("dtma.env");
        let mut settings = agent.settings(secrets);
        let path = |path: &Path| path.display().to_string();
        settings.extend(
            [
                ("DTMA_COMPANION_PORT", self.port.to_string()),
                ("DTMA_SUPERVISION", "process".to_owned()),
                ("DTMA_VERSIONS_DIR", path(&versions)),
                ("DTMA_SETTINGS_FILE", path(&settings_file)),
                ("TOOLBOX_RELEASE_URL", self.release_url.clone()),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        );
        settings.extend(env.iter().cloned());
        let lines = settings
            .iter()
            .map(|(name, value)| format!("{name}={value}\n"));
        write_private(&settings_file, &lines.collect::<String>())?;
        let mut program = Program::new("companion", current(&versions), data_dir)
            .args(["companion"])
            .envs(settings);
        program.log = Some(data_dir.join("logs/companion.log"));
        let port = self.port;
        Ok(Unit {
            program: Box::new(move || program.clone()),
            ready: Ready::Probe(Box::new(move || Box::pin(crate::probe::accepts(port)))),
            ready_limit: Duration::from_secs(30),
            stop_signal: Signal::TERM,
            stop_grace: Duration::from_secs(10),
            restart: true,
        })
    }
}

fn current(versions: &Path) -> PathBuf {
    versions.join("current/dtma")
}

/// As the installer does: the version that ran before is the one to go back to.
fn install(program: &Path, versions: &Path, version: &str) -> io::Result<()> {
    let folder = versions.join(version);
    std::fs::create_dir_all(&folder)?;
    let draft = folder.join(".dtma.new");
    std::fs::copy(program, &draft)?;
    std::fs::rename(&draft, folder.join("dtma"))?;
    let link = |name: &str, to: &Path| {
        let draft = versions.join(format!(".{name}.new"));
        let _ = std::fs::remove_file(&draft);
        symlink(to, &draft)?;
        std::fs::rename(&draft, versions.join(name))
    };
    let before = std::fs::read_link(versions.join("current")).ok();
    match before {
        Some(before) if before == Path::new(version) => return Ok(()),
        Some(before) => link("previous", &before)?,
        None => {}
    }
    link("current", Path::new(version))
}

/// The agent that a companion of this stack has started.
pub(crate) fn agent_pid(data_dir: &Path) -> Option<u32> {
    let kept = std::fs::read_to_string(data_dir.join(STATE).join("agent.pid")).ok()?;
    let pid = kept.split_whitespace().next()?.parse().ok()?;
    // Numbers are given again: only a program of this stack counts.
    let program = std::fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    let versions = std::fs::canonicalize(data_dir.join(VERSIONS)).ok()?;
    program.starts_with(versions).then_some(pid)
}

/// Ends that agent, which outlives its companion: here at the end of the stack, and when a killed one left it.
pub(crate) async fn end_agent(data_dir: &Path) {
    for signal in [Signal::TERM, Signal::KILL] {
        let Some(pid) = agent_pid(data_dir) else {
            return;
        };
        signal_pid(pid, signal);
        let until = Instant::now() + END_LIMIT;
        while agent_pid(data_dir).is_some() && Instant::now() < until {
            sleep(LOOK).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_installation_keeps_the_version_before_to_go_back_to() {
        let folder = tempfile::tempdir().unwrap();
        let (program, versions) = (folder.path().join("built"), folder.path().join(VERSIONS));
        let leads_to = |name: &str| std::fs::read_link(versions.join(name)).ok();
        for (version, content, previous) in [
            ("0.1.0", "a", None),
            // Built again: the same version with another content.
            ("0.1.0", "b", None),
            ("0.2.0", "c", Some("0.1.0")),
        ] {
            std::fs::write(&program, content).unwrap();
            install(&program, &versions, version).unwrap();
            assert_eq!(leads_to("current"), Some(PathBuf::from(version)));
            assert_eq!(leads_to("previous"), previous.map(PathBuf::from));
            assert_eq!(
                std::fs::read_to_string(current(&versions)).unwrap(),
                content
            );
        }
    }
}
