//! A server as a plain child process, for tests, benchmarks and the example.

use std::ffi::OsString;
use std::pin::Pin;
use std::process::Stdio;
use std::task::{Context, Poll};

use bytes::BytesMut;
use futures_util::Stream;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::process::{Child, ChildStderr, ChildStdout};
use tokio::time::{Duration, Instant, Sleep};

use crate::process::{Absence, Connection, Ended, NotRunning, Opening, Output, ServerProcess};

/// Bytes read at once.
const CHUNK: usize = 64 * 1024;
/// What an ended process left in its pipes is read for at most so long.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// A command that is started when the bridge connects, and killed when it lets go.
#[derive(Clone, Debug)]
pub struct ChildProcess {
    program: OsString,
    arguments: Vec<OsString>,
}

impl ChildProcess {
    /// Runs `program` with `arguments` in this program's environment.
    pub fn new(
        program: impl Into<OsString>,
        arguments: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Self {
        Self {
            program: program.into(),
            arguments: arguments.into_iter().map(Into::into).collect(),
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "starting a process is what this is for; the agent does not use it"
    )]
    fn spawn(&self) -> std::io::Result<Child> {
        tokio::process::Command::from(std::process::Command::new(&self.program))
            .args(&self.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
    }
}

impl ServerProcess for ChildProcess {
    fn open(&self) -> Opening<'_> {
        Box::pin(async {
            let failed = |reason: String| NotRunning {
                reason,
                absence: Absence::Fault,
            };
            let mut child = self
                .spawn()
                .map_err(|error| failed(format!("could not be started: {error}")))?;
            let (Some(input), Some(stdout), Some(stderr)) =
                (child.stdin.take(), child.stdout.take(), child.stderr.take())
            else {
                return Err(failed("could not be started: no pipes".to_owned()));
            };
            Ok(Connection {
                input: Box::pin(input),
                output: Box::pin(Pipes {
                    child,
                    stdout: Some(stdout),
                    stderr: Some(stderr),
                    buffer: BytesMut::new(),
                    ended: None,
                }),
                revision: 0,
                image: None,
                redactor: None,
            })
        })
    }
}

/// Both pipes and the end of a process.
struct Pipes {
    child: Child,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    buffer: BytesMut,
    ended: Option<(Ended, Pin<Box<Sleep>>)>,
}

impl Pipes {
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Option<Output>> {
        if self.ended.is_none() {
            let waiting = std::pin::pin!(self.child.wait());
            let Poll::Ready(status) = waiting.poll(cx) else {
                return Poll::Pending;
            };
            let ended = status.map_or_else(
                |_| Ended::default(),
                |status| {
                    use std::os::unix::process::ExitStatusExt;
                    Ended {
                        exit_code: status.code().map(i64::from),
                        signal: status.signal(),
                        detail: None,
                    }
                },
            );
            let until = Instant::now() + LAST_WORDS;
            self.ended = Some((ended, Box::pin(tokio::time::sleep_until(until))));
        }
        let all_read = self.stdout.is_none() && self.stderr.is_none();
        let Some((ended, patience)) = &mut self.ended else {
            return Poll::Pending;
        };
        if !all_read && patience.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.stdout = None;
        self.stderr = None;
        Poll::Ready(Some(Output::Ended(std::mem::take(ended))))
    }
}

/// Reads what is there; an end or an error closes the pipe.
fn poll_pipe<R: AsyncRead + Unpin>(
    pipe: &mut Option<R>,
    buffer: &mut BytesMut,
    cx: &mut Context<'_>,
) -> Option<bytes::Bytes> {
    let reader = pipe.as_mut()?;
    buffer.resize(CHUNK, 0);
    let mut into = ReadBuf::new(buffer);
    match Pin::new(reader).poll_read(cx, &mut into) {
        Poll::Pending => None,
        Poll::Ready(Ok(())) if !into.filled().is_empty() => {
            let length = into.filled().len();
            Some(bytes::Bytes::copy_from_slice(buffer.get(..length)?))
        }
        Poll::Ready(_) => {
            *pipe = None;
            None
        }
    }
}

impl Stream for Pipes {
    type Item = Output;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Output>> {
        let this = self.get_mut();
        if let Some(bytes) = poll_pipe(&mut this.stderr, &mut this.buffer, cx) {
            return Poll::Ready(Some(Output::Stderr(bytes)));
        }
        if let Some(bytes) = poll_pipe(&mut this.stdout, &mut this.buffer, cx) {
            return Poll::Ready(Some(Output::Stdout(bytes)));
        }
        this.poll_end(cx)
    }
}
