//! The one module that starts processes, because starting them is what the dev stack is for.
//!
//! Every child gets a clean environment, its own process group (Ctrl-C reaches the stack only, which then stops
//! its children in order) and the parent-death signal of its [`Program`], so that even `kill -9` of the stack
//! leaves nothing behind. `setpriv` (util-linux) sets both that signal and the user without unsafe code here.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::error::StackError;
use crate::progress::say;

/// Longest line of a child's output that is kept in one piece, in bytes.
const LINE_LIMIT: u64 = 16 * 1024;
/// Lines of output shown when a child fails.
const TAIL: usize = 25;
/// A log file starts over at this size.
const LOG_LIMIT: u64 = 16 * 1024 * 1024;

/// What to start and as whom.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) name: String,
    pub(crate) executable: PathBuf,
    pub(crate) args: Vec<OsString>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) cwd: PathBuf,
    /// The user to become; only root can.
    pub(crate) user: Option<User>,
    /// Sent by the kernel when the stack dies.
    pub(crate) death_signal: &'static str,
    pub(crate) log: Option<PathBuf>,
    /// Output is also shown to the person in front of the terminal.
    pub(crate) echo: bool,
    /// A line that starts with this text is a message to the stack, not output.
    pub(crate) marker: Option<String>,
}

/// Ids of a user to run as.
#[derive(Clone, Copy, Debug)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Program {
    pub(crate) fn new(name: &str, executable: impl Into<PathBuf>, cwd: impl Into<PathBuf>) -> Self {
        Self {
            name: name.to_owned(),
            executable: executable.into(),
            args: Vec::new(),
            env: Vec::new(),
            cwd: cwd.into(),
            user: None,
            death_signal: "KILL",
            log: None,
            echo: false,
            marker: None,
        }
    }

    pub(crate) fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn envs(mut self, env: impl IntoIterator<Item = (String, String)>) -> Self {
        self.env.extend(env);
        self
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "starting processes is this module's job"
    )]
    fn command(&self) -> Command {
        let mut command = Command::new("setpriv");
        command.arg("--pdeathsig").arg(self.death_signal);
        if let Some(User { uid, gid }) = self.user {
            command
                .arg(format!("--reuid={uid}"))
                .arg(format!("--regid={gid}"))
                .arg("--clear-groups");
        }
        command.arg("--").arg(&self.executable).args(&self.args);
        command
            .env_clear()
            .envs(self.env.iter().map(|(name, value)| (name, value)));
        command
            .current_dir(&self.cwd)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.process_group(0).kill_on_drop(true);
        command
    }

    /// Starts it; output goes to the log from now on.
    pub(crate) fn spawn(&self) -> Result<Running, StackError> {
        let spawn_failed = |source| StackError::Spawn {
            name: self.name.clone(),
            source,
        };
        let mut child = self.command().spawn().map_err(spawn_failed)?;
        let (sender, marker) = watch::channel(None);
        let sink = Arc::new(Sink {
            prefix: self.echo.then(|| self.name.clone()),
            marker: self.marker.clone().map(|text| (text, sender)),
            state: Mutex::new(SinkState {
                tail: VecDeque::new(),
                file: self.log.as_ref().and_then(open_log),
            }),
        });
        if let Some(out) = child.stdout.take() {
            tokio::spawn(pump(out, Arc::clone(&sink)));
        }
        if let Some(err) = child.stderr.take() {
            tokio::spawn(pump(err, Arc::clone(&sink)));
        }
        let pid = child.id().unwrap_or_default();
        Ok(Running {
            child,
            pid,
            marker,
            sink,
        })
    }

    /// Runs it to its end and returns what it printed; an error when it fails or takes longer than `limit`.
    pub(crate) async fn finish(&self, limit: Duration) -> Result<String, StackError> {
        let spawn_failed = |source| StackError::Spawn {
            name: self.name.clone(),
            source,
        };
        let child = self.command().spawn().map_err(spawn_failed)?;
        let Ok(done) = timeout(limit, child.wait_with_output()).await else {
            return Err(StackError::TooSlow {
                name: self.name.clone(),
                limit,
            });
        };
        let done = done.map_err(spawn_failed)?;
        let mut output = String::from_utf8_lossy(&done.stdout).into_owned();
        if done.status.success() {
            return Ok(output);
        }
        output.push_str(&String::from_utf8_lossy(&done.stderr));
        Err(StackError::Failed {
            name: self.name.clone(),
            status: done.status.to_string(),
            output,
        })
    }
}

/// A started child. Dropping it kills it.
pub(crate) struct Running {
    child: Child,
    pub(crate) pid: u32,
    /// The rest of the line that began with [`Program::marker`].
    pub(crate) marker: watch::Receiver<Option<String>>,
    sink: Arc<Sink>,
}

impl Running {
    /// Waits for its end; may be cancelled and called again.
    pub(crate) async fn wait(&mut self) -> Option<ExitStatus> {
        self.child.wait().await.ok()
    }

    /// Suspends it and all its processes, or lets them go on.
    pub(crate) fn suspend(&self, suspended: bool) {
        signal_tree(
            self.pid,
            if suspended {
                Signal::STOP
            } else {
                Signal::CONT
            },
        );
    }

    /// Asks with `signal`, then kills after `grace`.
    pub(crate) async fn stop(&mut self, signal: Signal, grace: Duration) {
        signal_pid(self.pid, signal);
        // A suspended process handles no signal but the last one.
        self.suspend(false);
        if timeout(grace, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
    }

    /// The last lines it printed.
    pub(crate) fn tail(&self) -> String {
        let state = self
            .sink
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        state
            .tail
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join("\n")
    }
}

/// Sends `signal` if the process still exists.
pub(crate) fn signal_pid(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// Sends `signal` to a process and to everything it has started: suspending Postgres means its sessions too.
pub(crate) fn signal_tree(root: u32, signal: Signal) {
    let mut level = vec![root];
    // Processes nest a few levels deep; the bound only guards against a tree that grows while it is read.
    for _ in 0..16 {
        for pid in &level {
            signal_pid(*pid, signal);
        }
        level = children(&level);
        if level.is_empty() {
            return;
        }
    }
}

fn children(parents: &[u32]) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let parent_of = |pid: u32| -> Option<u32> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name in parentheses may hold anything; behind it come the state and the parent.
        stat.rsplit_once(')')?
            .1
            .split_whitespace()
            .nth(1)?
            .parse()
            .ok()
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| parent_of(*pid).is_some_and(|parent| parents.contains(&parent)))
        .collect()
}

/// Whether a process with this id exists.
pub(crate) fn exists(pid: u32) -> bool {
    i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .is_some_and(|pid| test_kill_process(pid).is_ok())
}

struct Sink {
    prefix: Option<String>,
    marker: Option<(String, watch::Sender<Option<String>>)>,
    state: Mutex<SinkState>,
}

struct SinkState {
    tail: VecDeque<String>,
    file: Option<(std::fs::File, u64)>,
}

impl Sink {
    fn line(&self, line: &str) {
        if let Some((text, sender)) = &self.marker
            && let Some(message) = line.strip_prefix(text.as_str())
        {
            sender.send_replace(Some(message.trim().to_owned()));
            return;
        }
        // worker.ts ends whatever line was begun before it prints the marker.
        if line.is_empty() {
            return;
        }
        if let Some(prefix) = &self.prefix {
            say(format_args!("[{prefix}] {line}"));
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((file, written)) = &mut state.file {
            if *written > LOG_LIMIT && file.set_len(0).is_ok() {
                *written = 0;
            }
            // A full disk must not stop the service whose log it is.
            if writeln!(file, "{line}").is_ok() {
                *written += line.len() as u64 + 1;
            }
        }
        if state.tail.len() == TAIL {
            state.tail.pop_front();
        }
        state.tail.push_back(line.to_owned());
    }
}

fn open_log(path: &PathBuf) -> Option<(std::fs::File, u64)> {
    let file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .ok()?;
    let size = file.metadata().map(|data| data.len()).unwrap_or_default();
    Some((file, size))
}

async fn pump(from: impl AsyncRead + Unpin, sink: Arc<Sink>) {
    let mut reader = BufReader::new(from);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut reader)
            .take(LINE_LIMIT)
            .read_until(b'\n', &mut line)
            .await
        {
            Ok(0) | Err(_) => return,
            Ok(_) => sink.line(String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r'])),
        }
    }
}
