//! The one module of a machine's programs that starts processes: an agent, a candidate, and systemd's commands.
//!
//! No shell is involved, and no argument comes from a request unless it was parsed into a number or a version.

use std::ffi::OsStr;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::{Child, Command};

/// A command that begins without an environment beyond what is given to it.
#[allow(
    clippy::disallowed_methods,
    reason = "starting processes is this module's job"
)]
fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .stdin(Stdio::null());
    command
}

/// Starts an agent that lives on when this process ends.
pub(super) fn agent(
    program: &Path,
    settings: &[(String, String)],
    log: std::fs::File,
) -> io::Result<Child> {
    command(program)
        .arg("agent")
        .envs(settings.iter().map(|(name, value)| (name, value)))
        .stdout(Stdio::null())
        .stderr(log)
        .process_group(0)
        .spawn()
}

/// Starts a candidate, which ends with its standard input. Its log goes to this process' own.
pub(super) fn candidate(program: &Path, settings: &[(String, String)]) -> io::Result<Child> {
    command(program)
        .args(["agent", "--candidate"])
        .envs(settings.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
}

/// Runs a program of the system to its end; what it wrote to standard error belongs to its failure.
pub(crate) async fn run<A: AsRef<OsStr>>(
    program: &str,
    args: &[A],
    limit: Duration,
) -> io::Result<(ExitStatus, String)> {
    let running = command(Path::new(program))
        .args(args)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    match tokio::time::timeout(limit, running.wait_with_output()).await {
        Ok(output) => {
            let output = output?;
            let said = String::from_utf8_lossy(&output.stderr);
            Ok((output.status, said.trim().chars().take(500).collect()))
        }
        Err(_) => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("{program} took more than {} s", limit.as_secs()),
        )),
    }
}

/// Starts a program of the system whose output is read.
pub(crate) fn reading<A: AsRef<OsStr>>(program: &str, args: &[A]) -> io::Result<Child> {
    command(Path::new(program))
        .args(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
}

/// How a program ended, in words.
pub(super) fn ending(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("it ended with exit code {code}"),
        (None, Some(signal)) => format!("it was ended by signal {signal}"),
        (None, None) => "it ended".to_owned(),
    }
}
