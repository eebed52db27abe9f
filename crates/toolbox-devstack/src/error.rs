//! Why the stack did not start or stopped. Each text says what to do about it.

use std::path::PathBuf;
use std::time::Duration;

/// What went wrong; printed once, by `main`, with its chain of causes.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StackError {
    #[error("a stack is already running on {} (process {pid}): stop it, or choose another --data-dir and --port", data_dir.display())]
    AlreadyRunning { data_dir: PathBuf, pid: String },
    #[error(
        "port {port} ({service}) is in use: stop what listens there, or choose another with {flag}"
    )]
    PortInUse {
        port: u16,
        service: &'static str,
        flag: &'static str,
    },
    #[error("no free port found between {from} and {to}")]
    NoFreePort { from: u16, to: u16 },
    #[error("{} is missing: run scripts/setup", .0.display())]
    ToolMissing(PathBuf),
    #[error("no DTMA binary at {}: build it, name one with --dtma-bin, or pass --no-dtma", .0.display())]
    DtmaMissing(PathBuf),
    #[error(
        "the data in {} were made with migrations that were changed or removed since: remove that folder to start anew, or go back to the version that made them",
        .0.display()
    )]
    OutdatedData(PathBuf),
    #[error("no web console at {}: run scripts/build-web, or leave --web away", .0.display())]
    ConsoleMissing(PathBuf),
    #[error("no supabase/config.toml in this folder or above it: pass --project")]
    NoProject,
    #[error("cannot read {}", path.display())]
    Settings {
        path: PathBuf,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("cannot {action} {}", path.display())]
    File {
        action: &'static str,
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("cannot start {name}")]
    Spawn {
        name: String,
        source: std::io::Error,
    },
    #[error("{name} did not finish within {} s", .limit.as_secs())]
    TooSlow { name: String, limit: Duration },
    #[error("{name} failed ({status})\n{output}")]
    Failed {
        name: String,
        status: String,
        output: String,
    },
    #[error("{name} was not ready within {} s\n{output}", .limit.as_secs())]
    NotReady {
        name: String,
        limit: Duration,
        output: String,
    },
    #[error(
        "DTMA's heartbeat did not make the toolbox active within {} s (it is {status}): see logs/heartbeat.log and logs/dtma.log in the data directory (dtma/agent.log under a companion), or pass --dtma-http to go without",
        .limit.as_secs()
    )]
    NoHeartbeat { status: String, limit: Duration },
    #[error("{name} is not running")]
    NotRunning { name: String },
    #[error("the stack is stopping")]
    Stopping,
    #[error("the database refused: {what}")]
    Database {
        what: &'static str,
        source: tokio_postgres::Error,
    },
    #[error("the database did not answer within {} s", .0.as_secs())]
    DatabaseSilent(Duration),
    #[error("no randomness from the operating system")]
    Random(getrandom::Error),
    #[error("the keys in {} are damaged: remove the data directory to start anew", .0.display())]
    DamagedKeys(PathBuf),
    #[error("cannot derive the agent's key")]
    AgentKey(#[source] toolbox_domain::keys::KeyError),
    #[error("user \"{0}\" does not exist and could not be made: Postgres refuses to run as root")]
    NoUser(&'static str),
}

impl StackError {
    /// For `map_err`: what was being done to which file.
    pub(crate) fn file(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File {
            action,
            path,
            source,
        }
    }
}

/// An error and its causes on one line each.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str("\n  because: ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
