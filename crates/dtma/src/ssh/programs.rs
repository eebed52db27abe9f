//! Programs of the system that the SSH commands start. No shell is involved, and no argument comes from a request unless it
//! was parsed into a number.

use std::ffi::OsStr;
use std::io;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

/// Most bytes of output that are kept.
const MAX_OUTPUT: usize = 1024 * 1024;

/// A program could not be used.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// It is not there, or may not be run.
    #[error("could not run {0}")]
    Start(String, #[source] io::Error),
    /// It said no.
    #[error("{program} failed: {said}")]
    Failed { program: String, said: String },
    /// It went on and on.
    #[error("{0} did not end in time")]
    Slow(String),
}

/// Runs a program to its end, and gives what it wrote to standard output.
pub async fn run<A: AsRef<OsStr>>(program: &str, args: &[A], limit: Duration) -> Result<String, ProgramError> {
    #[allow(
        clippy::disallowed_methods,
        reason = "sshd and the init system are reached through their programs"
    )]
    let mut command = Command::new(program);
    command
        .args(args)
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let running = command
        .spawn()
        .map_err(|error| ProgramError::Start(program.to_owned(), error))?;
    let output = tokio::time::timeout(limit, running.wait_with_output())
        .await
        .map_err(|_| ProgramError::Slow(program.to_owned()))?
        .map_err(|error| ProgramError::Start(program.to_owned(), error))?;
    if output.status.success() {
        let kept = output.stdout.len().saturating_sub(MAX_OUTPUT);
        return Ok(String::from_utf8_lossy(&output.stdout[kept..]).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(ProgramError::Failed {
        program: program.to_owned(),
        said: said.trim().chars().take(500).collect(),
    })
}

/// Whether systemd runs this machine.
pub fn has_systemd() -> bool {
    std::path::Path::new("/run/systemd/system").is_dir()
}
