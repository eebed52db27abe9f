//! Changes of the agent's version that cannot leave the machine without an agent: fetch, try beside the one that runs, let
//! that one finish what it began, start the new one, and go back by itself when that is not healthy in time.
//!
//! Each step is on the disk before it is made ([`super::record`]), so that a companion that is killed in the middle puts the
//! machine right at its next start. Containers of tools are not touched by any of it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;
use tokio::time::{Instant, sleep};
use toolbox_api::dtma::{AgentHealth, Reason};
use toolbox_api::machine::{VersionChange, VersionChangeKind, VersionChangePhase as Phase};
use toolbox_domain::machine_operation::AgentVersion;

use super::Companion;
use super::record;
use super::release::ReleaseError;
use super::supervision::SupervisionError;
use super::trial::TrialError;
use super::versions::Link;
use super::{blocking, trial};
use crate::agent;
use crate::config::companion::read_settings;

/// How long the agent may take to end: its open requests, and then its own parts.
pub const PATIENCE: Duration = Duration::from_secs(agent::DRAIN.as_secs() + 10);
/// How long whoever wants the agent waits for who has it in hand.
const HAND_OVER: Duration = Duration::from_secs(1);
/// How often it is looked whether a new agent is healthy.
const LOOK: Duration = Duration::from_millis(250);
/// Looks in a row that find no process, after which a new agent is given up.
const MOST_ENDS: u32 = 8;

/// Why a change does not begin.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    #[error("the agent's version is being changed already, or the agent restarted")]
    Busy,
    #[error("no version was installed before the one that runs")]
    NoPrevious,
    #[error(transparent)]
    Release(#[from] ReleaseError),
    #[error("could not keep the change")]
    Record(#[source] io::Error),
}

/// Why a change ended without its version.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    Release(#[from] ReleaseError),
    #[error(transparent)]
    Trial(#[from] TrialError),
    #[error(
        "the version {0} is installed with another content; give the release a version of its own"
    )]
    OtherContent(AgentVersion),
    #[error("could not change the installed versions")]
    Versions(#[from] io::Error),
    #[error(transparent)]
    Supervision(#[from] SupervisionError),
    #[error("the new agent was not healthy within {0} s: {1}")]
    NotHealthy(u64, String),
    #[error("the new agent ended again and again")]
    Ends,
}

impl Fault {
    fn reason(&self) -> Reason {
        let code = match self {
            Self::Release(error) => error.code(),
            Self::Trial(error) => error.code(),
            Self::OtherContent(_) => "version_exists",
            Self::Versions(_) => "versions_unwritable",
            Self::Supervision(_) => "supervisor_failed",
            Self::NotHealthy(..) => "agent_not_healthy",
            Self::Ends => "agent_ended",
        };
        reason(code, crate::error_chain(self))
    }
}

fn reason(code: &str, message: impl Into<String>) -> Reason {
    Reason {
        code: code.to_owned(),
        message: message.into().chars().take(500).collect(),
    }
}

impl Companion {
    /// The agent in hand, to start and stop it; none while somebody else has it, a moment longer than a change takes to end
    /// after it was seen to have ended.
    pub async fn take_in_hand(&self) -> Option<OwnedMutexGuard<()>> {
        let taking = Arc::clone(&self.agent_in_hand).lock_owned();
        tokio::time::timeout(HAND_OVER, taking).await.ok()
    }

    /// Begins a change; it goes on after this returned. The record tells how it goes.
    pub async fn begin(
        self: &Arc<Self>,
        kind: VersionChangeKind,
        version: Option<AgentVersion>,
    ) -> Result<VersionChange, BeginError> {
        let hold = self.take_in_hand().await.ok_or(BeginError::Busy)?;
        let to = match (kind, version) {
            (VersionChangeKind::Rollback, _) => self
                .versions
                .get(Link::Previous)
                .ok_or(BeginError::NoPrevious)?,
            (VersionChangeKind::Redeploy, Some(version)) => {
                self.releases.sha256(&version).await?;
                version
            }
            (VersionChangeKind::Redeploy, None) => self.releases.latest().await?,
        };
        let from = self.versions.get(Link::Current);
        let change = record::begin(kind, from.as_ref(), &to);
        self.keep(&change).await.map_err(BeginError::Record)?;
        tracing::info!(
            id = change.id,
            ?kind,
            from = change.from,
            to = change.to,
            "changing the agent's version"
        );
        let companion = Arc::clone(self);
        let begun = change.clone();
        tokio::spawn(async move { companion.carry_out(change, to, from, hold).await });
        Ok(begun)
    }

    /// What an earlier companion left unfinished is put right: where the new agent serves already, that was the end; else the
    /// old version is started again.
    pub(super) async fn recover(&self) {
        let Some(mut change) = record::read(&self.config.machine.state_dir) else {
            return;
        };
        if change.phase.is_end() {
            return;
        }
        let from: Option<AgentVersion> = change.from.as_ref().and_then(|v| v.parse().ok());
        let to: Option<AgentVersion> = change.to.parse().ok();
        let interrupted = reason(
            "companion_ended",
            "The companion was ended in the middle of the change",
        );
        tracing::warn!(id = change.id, phase = ?change.phase, "an earlier companion left a change of the agent's version unfinished");
        let (Phase::Draining | Phase::Starting, Some(from), Some(to)) = (change.phase, from, to)
        else {
            // The agent that ran was not touched yet.
            return self
                .end(&mut change, Phase::Failed, Some(interrupted))
                .await;
        };
        let serves = self.agents.health(self.config.agent).await;
        if serves.is_ok_and(|health| {
            health.status == AgentHealth::Healthy && health.version == to.as_str()
        }) {
            return self.succeed(&mut change, Some(&from)).await;
        }
        self.go_back(&mut change, &from, interrupted).await;
    }

    async fn carry_out(
        &self,
        mut change: VersionChange,
        to: AgentVersion,
        from: Option<AgentVersion>,
        hold: OwnedMutexGuard<()>,
    ) {
        match self.prepare(&mut change, &to).await {
            Err(fault) => {
                // The agent that runs was not touched.
                self.end(&mut change, Phase::Failed, Some(fault.reason()))
                    .await;
            }
            Ok(()) => match (self.replace(&mut change, &to).await, &from) {
                (Ok(()), _) => self.succeed(&mut change, from.as_ref()).await,
                (Err(fault), Some(from)) => self.go_back(&mut change, from, fault.reason()).await,
                (Err(fault), None) => {
                    self.end(&mut change, Phase::Failed, Some(fault.reason()))
                        .await;
                }
            },
        }
        drop(hold);
    }

    /// Everything that can be found out while the old agent serves.
    async fn prepare(&self, change: &mut VersionChange, to: &AgentVersion) -> Result<(), Fault> {
        if change.kind == VersionChangeKind::Redeploy {
            self.fetch(to).await?;
        }
        self.step(change, Phase::Candidate).await?;
        let file = self.config.settings_file.clone();
        let settings = blocking(move || read_settings(&file)).await?;
        let newest_api = change.kind == VersionChangeKind::Redeploy;
        trial::run(
            &self.agents,
            &self.versions.program(to),
            &settings,
            to,
            newest_api,
        )
        .await?;
        Ok(())
    }

    async fn fetch(&self, version: &AgentVersion) -> Result<(), Fault> {
        let expected = self.releases.sha256(version).await?;
        let (versions, of) = (self.versions.clone(), version.clone());
        let installed = blocking(move || versions.sha256(&of)).await?;
        match installed {
            Some(actual) if actual == expected => return Ok(()),
            // The one that runs, or may have to run again, must not change under its name.
            Some(_)
                if [Link::Current, Link::Previous]
                    .iter()
                    .any(|l| self.versions.get(*l).as_ref() == Some(version)) =>
            {
                return Err(Fault::OtherContent(version.clone()));
            }
            _ => {}
        }
        let program = self.releases.program(version, &expected).await?;
        let (versions, of) = (self.versions.clone(), version.clone());
        blocking(move || versions.install(&of, &program)).await?;
        Ok(())
    }

    async fn replace(&self, change: &mut VersionChange, to: &AgentVersion) -> Result<(), Fault> {
        self.step(change, Phase::Draining).await?;
        self.supervision.stop(PATIENCE).await?;
        self.step(change, Phase::Starting).await?;
        self.start(to).await
    }

    /// Lets `current` lead to `version`, starts it, and waits until it is healthy.
    async fn start(&self, version: &AgentVersion) -> Result<(), Fault> {
        let (versions, to) = (self.versions.clone(), version.clone());
        blocking(move || versions.set(Link::Current, &to)).await?;
        self.supervision.start().await?;
        let within = self.config.healthy_within();
        let until = Instant::now() + within;
        let mut ends = 0;
        loop {
            let why = match self.agents.health(self.config.agent).await {
                Ok(health) if health.version != version.as_str() => {
                    format!("version {} answers", health.version)
                }
                Ok(health) if health.status != AgentHealth::Healthy => {
                    "Docker does not answer it".to_owned()
                }
                Ok(_) => return Ok(()),
                Err(why) => why,
            };
            ends = if self.supervision.runs().await? {
                0
            } else {
                ends + 1
            };
            if ends >= MOST_ENDS {
                return Err(Fault::Ends);
            }
            if Instant::now() >= until {
                return Err(Fault::NotHealthy(within.as_secs(), why));
            }
            sleep(LOOK).await;
        }
    }

    async fn succeed(&self, change: &mut VersionChange, from: Option<&AgentVersion>) {
        let (versions, from) = (self.versions.clone(), from.cloned());
        let tidied = blocking(move || {
            match from {
                Some(from) if versions.get(Link::Current).as_ref() != Some(&from) => {
                    versions.set(Link::Previous, &from)?;
                }
                _ => {}
            }
            versions.prune()
        });
        if let Err(error) = tidied.await {
            tracing::warn!(%error, "could not tidy the installed versions");
        }
        self.end(change, Phase::Healthy, None).await;
    }

    async fn go_back(&self, change: &mut VersionChange, from: &AgentVersion, why: Reason) {
        tracing::warn!(id = change.id, to = %from, code = why.code, why = why.message, "going back to the version before");
        let back = async {
            // First, so that whoever starts the agent from here on starts that version.
            let (versions, to) = (self.versions.clone(), from.clone());
            blocking(move || versions.set(Link::Current, &to)).await?;
            self.supervision.stop(PATIENCE).await?;
            self.start(from).await
        };
        match back.await {
            Ok(()) => self.end(change, Phase::RolledBack, Some(why)).await,
            Err(fault) => {
                let message = format!(
                    "{}; and the version before did not come back: {}",
                    why.message,
                    crate::error_chain(&fault)
                );
                self.end(
                    change,
                    Phase::Failed,
                    Some(reason("rollback_failed", message)),
                )
                .await;
            }
        }
    }

    async fn step(&self, change: &mut VersionChange, phase: Phase) -> io::Result<()> {
        change.phase = phase;
        tracing::info!(id = change.id, ?phase, "changing the agent's version");
        self.keep(change).await
    }

    async fn end(&self, change: &mut VersionChange, phase: Phase, why: Option<Reason>) {
        record::end(change, phase, why);
        let why = change.reason.as_ref();
        tracing::info!(
            id = change.id,
            ?phase,
            code = why.map(|r| &*r.code),
            why = why.map(|r| &*r.message),
            "the change of the agent's version ended"
        );
        if let Err(error) = self.keep(change).await {
            tracing::error!(%error, "could not keep how the change ended");
        }
    }

    async fn keep(&self, change: &VersionChange) -> io::Result<()> {
        let (folder, change) = (self.config.machine.state_dir.clone(), change.clone());
        blocking(move || record::write(&folder, &change)).await
    }
}
