//! A version on trial: its program runs as a candidate beside the agent, and says whether it could serve.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::Child;
use toolbox_api::dtma::{API_VERSION, AgentHealth, Reason};
use toolbox_domain::machine_operation::AgentVersion;

use super::agent::Agents;
use super::programs;
use crate::candidate::Report;

/// How long a candidate has to say what it found: it asks Docker and the control plane for 10 s each.
const LIMIT: Duration = Duration::from_secs(30);
/// How long it has to end.
const END_LIMIT: Duration = Duration::from_secs(5);
/// Longest report, in bytes.
const MAX_REPORT: u64 = 16 * 1024;

/// Why a version is not taken.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    #[error("the program could not be started")]
    Start(#[source] io::Error),
    #[error("the program ended before it had reported: {0}")]
    Ended(String),
    #[error("the program did not report within {} s", LIMIT.as_secs())]
    Silent,
    #[error("the program's report could not be understood")]
    NoReport,
    #[error("the program says that it is version {0}")]
    OtherVersion(String),
    #[error("the program speaks version {0} of the agent's API, the one that runs {API_VERSION}")]
    OldApi(u32),
    #[error("{}", .0.message)]
    Fault(Reason),
    #[error("the program does not answer as a healthy agent: {0}")]
    Unhealthy(String),
}

impl TrialError {
    /// The stable code.
    pub fn code(&self) -> &str {
        match self {
            Self::Start(_) => "candidate_not_started",
            Self::Ended(_) => "candidate_ended",
            Self::Silent => "candidate_silent",
            Self::NoReport => "candidate_malformed",
            Self::OtherVersion(_) => "version_differs",
            Self::OldApi(_) => "api_too_old",
            Self::Fault(reason) => &reason.code,
            Self::Unhealthy(_) => "candidate_unhealthy",
        }
    }
}

/// Tries `program`, which should be `version`. `newest_api` refuses one that speaks an older API than this program.
pub async fn run(
    agents: &Agents,
    program: &Path,
    settings: &[(String, String)],
    version: &AgentVersion,
    newest_api: bool,
) -> Result<(), TrialError> {
    let mut child = programs::candidate(program, settings).map_err(TrialError::Start)?;
    let found = match report(&mut child).await {
        Ok(report) => check(agents, &report, version, newest_api).await,
        Err(error) => Err(error),
    };
    // Its standard input ends here, and it with that.
    drop(child.stdin.take());
    if tokio::time::timeout(END_LIMIT, child.wait()).await.is_err() {
        let _ = child.kill().await;
    }
    found
}

async fn report(child: &mut Child) -> Result<Report, TrialError> {
    let out = child.stdout.take().ok_or(TrialError::NoReport)?;
    let mut line = String::new();
    let mut out = BufReader::new(out.take(MAX_REPORT));
    let read = tokio::time::timeout(LIMIT, out.read_line(&mut line)).await;
    let read = read.map_err(|_| TrialError::Silent)?;
    if matches!(read, Ok(0)) {
        let ended = tokio::time::timeout(END_LIMIT, child.wait()).await;
        let how = match ended {
            Ok(Ok(status)) => programs::ending(status),
            _ => "it closed its standard output".to_owned(),
        };
        return Err(TrialError::Ended(how));
    }
    read.ok()
        .and_then(|_| serde_json::from_str(&line).ok())
        .ok_or(TrialError::NoReport)
}

async fn check(
    agents: &Agents,
    report: &Report,
    version: &AgentVersion,
    newest_api: bool,
) -> Result<(), TrialError> {
    if report.version != version.as_str() {
        let said = report.version.chars().take(64).collect();
        return Err(TrialError::OtherVersion(said));
    }
    if newest_api && report.api_version < API_VERSION {
        return Err(TrialError::OldApi(report.api_version));
    }
    if let Some(fault) = report.faults.first() {
        return Err(TrialError::Fault(fault.clone()));
    }
    match agents.health(report.address).await {
        Ok(health) if health.status == AgentHealth::Healthy => Ok(()),
        Ok(_) => Err(TrialError::Unhealthy(
            "Docker does not answer it".to_owned(),
        )),
        Err(why) => Err(TrialError::Unhealthy(why)),
    }
}
