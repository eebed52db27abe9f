//! How a bridge connects to the server behind it.

use std::pin::Pin;

use bytes::Bytes;
use futures_util::Stream;
use tokio::io::AsyncWrite;
use toolbox_api::mcp::McpState;

use crate::redact::Redactor;

/// A piece of the server's output, or its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Protocol bytes.
    Stdout(Bytes),
    /// A whole message that did not come with the protocol bytes, and may come between the parts of one that did.
    Message(Bytes),
    /// What it logs.
    Stderr(Bytes),
    /// It ended; nothing follows.
    Ended(Ended),
}

/// How a server ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// Its exit code, when it is known.
    pub exit_code: Option<i64>,
    /// The signal that killed it, when it is known.
    pub signal: Option<i32>,
    /// More about it, in words, such as `out of memory at 256 MiB`.
    pub detail: Option<String>,
}

impl Ended {
    /// In words, without a subject.
    pub fn words(&self) -> String {
        let mut words = match (self.exit_code, self.signal) {
            (_, Some(signal)) => format!("was killed by signal {signal}"),
            (Some(code), None) => format!("exited with code {code}"),
            (None, None) => "ended".to_owned(),
        };
        if let Some(detail) = &self.detail {
            words.push_str(": ");
            words.push_str(detail);
        }
        words
    }
}

/// A running server's standard streams.
pub struct Connection {
    /// Its standard input.
    pub input: Pin<Box<dyn AsyncWrite + Send>>,
    /// Its output, in order per stream; ends after [`Output::Ended`].
    pub output: Pin<Box<dyn Stream<Item = Output> + Send>>,
    /// Which version of the server this is; another version may speak another era of the protocol.
    pub revision: u64,
    /// Digest of the image it is made from, under which its era is remembered; none if it is no image.
    pub image: Option<String>,
    /// The redactor of this version's output, if it differs from the one before.
    pub redactor: Option<Redactor>,
}

/// There is no running server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct NotRunning {
    /// Why, in words, without secrets.
    pub reason: String,
    /// How that is meant.
    pub absence: Absence,
}

/// How it is meant that no server runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absence {
    /// It should run.
    Fault,
    /// It is only starting, so it is no fault yet.
    Starting,
    /// It is not meant to run now.
    Intended,
    /// It was stopped because nobody used it.
    Idle,
}

impl Absence {
    /// The state of a server that is absent so.
    pub const fn state(self) -> McpState {
        match self {
            Self::Fault | Self::Intended => McpState::Unreachable,
            Self::Starting => McpState::Starting,
            Self::Idle => McpState::Idle,
        }
    }
}

/// The future of [`ServerProcess::open`].
pub type Opening<'a> = Pin<Box<dyn Future<Output = Result<Connection, NotRunning>> + Send + 'a>>;

/// A server that can be connected over standard streams, any number of times.
pub trait ServerProcess: Send + Sync + 'static {
    /// Connects to the running server. Some implementations start it first.
    fn open(&self) -> Opening<'_>;
}
