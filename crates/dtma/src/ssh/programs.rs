//! Programs of the system that the SSH commands start.

use std::ffi::OsStr;
use std::io;
use std::time::Duration;

use crate::companion::programs;

/// Most bytes of output that are kept.
const MAX_OUTPUT: usize = 1024 * 1024;

/// A program could not be used.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// It is not there, may not be run, or did not end in time.
    #[error("could not run {0}")]
    Start(String, #[source] io::Error),
    /// It said no.
    #[error("{program} failed: {said}")]
    Failed { program: String, said: String },
}

/// Runs a program to its end.
pub(super) async fn run<A: AsRef<OsStr>>(
    program: &str,
    args: &[A],
    limit: Duration,
) -> Result<(), ProgramError> {
    let ended = programs::run(program, args, limit).await;
    let (status, said) = ended.map_err(|error| ProgramError::Start(program.to_owned(), error))?;
    if status.success() {
        return Ok(());
    }
    let program = program.to_owned();
    Err(ProgramError::Failed { program, said })
}

/// What a program writes to standard output, however it ends; the last megabyte of it.
pub(super) async fn read<A: AsRef<OsStr>>(
    program: &str,
    args: &[A],
    limit: Duration,
) -> Result<String, ProgramError> {
    let failed = |error| ProgramError::Start(program.to_owned(), error);
    let reading = programs::reading(program, args).map_err(failed)?;
    let output = tokio::time::timeout(limit, reading.wait_with_output()).await;
    let output = output
        .map_err(|_| failed(io::ErrorKind::TimedOut.into()))?
        .map_err(failed)?;
    let first = output.stdout.len().saturating_sub(MAX_OUTPUT);
    Ok(String::from_utf8_lossy(&output.stdout[first..]).into_owned())
}

/// Whether systemd runs this machine.
pub(super) fn has_systemd() -> bool {
    std::path::Path::new("/run/systemd/system").is_dir()
}
