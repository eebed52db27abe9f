//! What ends a stack.

use tokio::io::AsyncReadExt as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use crate::error::StackError;

/// Everything that ends a stack: Ctrl-C, SIGTERM, and with `--die-with-stdin` the end of standard input.
pub(crate) struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    stdin: Option<oneshot::Receiver<()>>,
}

impl StopSignals {
    pub(crate) fn new(with_stdin: bool) -> Result<Self, StackError> {
        let on = |kind| signal(kind).map_err(StackError::file("listen to", "signals"));
        let stdin = with_stdin.then(|| {
            let (closed, seen) = oneshot::channel();
            tokio::spawn(async move {
                let mut scratch = [0; 256];
                let mut input = tokio::io::stdin();
                while input.read(&mut scratch).await.is_ok_and(|read| read > 0) {}
                let _ = closed.send(());
            });
            seen
        });
        Ok(Self {
            interrupt: on(SignalKind::interrupt())?,
            terminate: on(SignalKind::terminate())?,
            hangup: on(SignalKind::hangup())?,
            stdin,
        })
    }

    /// Returns at the first of them.
    pub(crate) async fn wait(&mut self) {
        let Self {
            interrupt,
            terminate,
            hangup,
            stdin,
        } = self;
        let closed = async {
            match stdin {
                Some(seen) => drop(seen.await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
            () = closed => {}
        }
    }
}
