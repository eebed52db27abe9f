//! The task that owns a server's connection.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use futures_util::{FutureExt, StreamExt};
use time::OffsetDateTime;
use tokio::io::AsyncWrite;
use tokio::sync::{Notify, mpsc, watch};
use toolbox_api::mcp::McpHealth;

use crate::health::Tracker;
use crate::hub::{Hub, Input};
use crate::limits::Limits;
use crate::lines::{Line, Lines};
use crate::memory::Memory;
use crate::process::{Absence, Connection, Ended, NotRunning, Opening, Output, ServerProcess};
use crate::redact::Redactor;
use crate::wire::body::{Budget, SMALL};

/// How long connecting may take.
const OPEN: Duration = Duration::from_secs(20);
/// How long a server that no longer reads may take to end and report how.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Inputs taken in before anything else gets its turn.
const TURN: usize = 64;
/// A buffer that grew beyond this is given back.
const KEPT_BUFFER: usize = 256 * 1024;

pub(super) struct Runner {
    pub(super) process: Arc<dyn ServerProcess>,
    pub(super) inputs: mpsc::Receiver<Input>,
    pub(super) wake: Arc<Notify>,
    pub(super) limits: Limits,
    pub(super) stateless: bool,
    pub(super) redactor: Redactor,
    pub(super) budget: Budget,
    pub(super) tracker: Tracker,
    pub(super) publish: watch::Sender<Arc<McpHealth>>,
    pub(super) memory: watch::Sender<Memory>,
}

struct Live {
    connection: Connection,
    lines: Lines,
    /// Since when it no longer reads.
    deaf: Option<Instant>,
}

enum Event {
    Input(Option<Input>),
    Opened(Result<Connection, NotRunning>),
    Output(Option<Output>),
    Written(io::Result<usize>),
    Woken,
    Timeout,
}

impl Runner {
    pub(super) async fn run(mut self) {
        let seed = uuid::Uuid::new_v4().as_u64_pair().0;
        let mut hub = Hub::new(
            Instant::now(),
            self.limits.clone(),
            self.redactor.clone(),
            seed,
        );
        hub.recall(self.memory.borrow().era.clone());
        if self.stateless {
            hub.ask_stateless_first();
        }
        let process = Arc::clone(&self.process);
        let mut opening: Option<Opening<'_>> = None;
        let mut live: Option<Live> = None;
        let mut timer = std::pin::pin!(tokio::time::sleep(Duration::ZERO));
        let mut set_for = Instant::now();
        let mut unwritten = self.budget.hold();
        loop {
            let now = Instant::now();
            let waits = hub.out().len();
            unwritten.set(if waits > SMALL { waits } else { 0 });
            if live.is_none() && opening.is_none() && hub.connect_at().is_some_and(|at| at <= now) {
                hub.connecting();
                let within = tokio::time::timeout(OPEN, process.open());
                opening = Some(Box::pin(within.map(|opened| {
                    opened.unwrap_or_else(|_| {
                        Err(NotRunning {
                            reason: format!("could not be connected within {} s", OPEN.as_secs()),
                            absence: Absence::Fault,
                        })
                    })
                })));
            }
            if hub.next_timeout() <= now {
                hub.timeout(now);
            }
            self.publish_finding(&mut hub);
            let next = next_look(&hub, live.as_ref(), opening.is_none());
            if next != set_for {
                timer.as_mut().reset(next.into());
                set_for = next;
            }
            let flooded = hub.flooded();
            let event = tokio::select! {
                input = self.inputs.recv() => Event::Input(input),
                opened = maybe(opening.as_mut()) => Event::Opened(opened),
                event = exchange(live.as_mut(), hub.out(), flooded) => event,
                () = self.wake.notified() => Event::Woken,
                () = timer.as_mut() => Event::Timeout,
            };
            let now = Instant::now();
            match event {
                Event::Input(None) => return,
                Event::Input(Some(input)) => {
                    hub.input(now, input);
                    for _ in 1..TURN {
                        let Ok(input) = self.inputs.try_recv() else {
                            break;
                        };
                        hub.input(now, input);
                    }
                }
                Event::Opened(opened) => {
                    opening = None;
                    live = self.opened(&mut hub, now, opened);
                }
                Event::Output(output) => {
                    if !took(&mut hub, now, live.as_mut(), output) {
                        live = None;
                    }
                }
                Event::Written(Ok(length)) if length > 0 => written(hub.out(), length),
                Event::Written(_) => {
                    hub.out().clear();
                    if let Some(live) = &mut live {
                        live.deaf.get_or_insert(now);
                    }
                }
                Event::Woken => hub.wake(now),
                // A timer that has fired must be set again, even for the same time.
                Event::Timeout => set_for = now,
            }
            let deaf = live.as_ref().and_then(|live| live.deaf);
            if deaf.is_some_and(|since| now >= since + LAST_WORDS) {
                let ended = Ended {
                    detail: Some("it closed its standard input".to_owned()),
                    ..Ended::default()
                };
                hub.ended(now, &ended);
                live = None;
            }
        }
    }

    fn opened(
        &mut self,
        hub: &mut Hub,
        now: Instant,
        opened: Result<Connection, NotRunning>,
    ) -> Option<Live> {
        match opened {
            Ok(mut connection) => {
                if let Some(redactor) = connection.redactor.take() {
                    self.tracker.set_redactor(redactor.clone());
                    hub.set_redactor(redactor);
                }
                hub.set_image(connection.image.take());
                hub.connected(now, connection.revision);
                Some(Live {
                    connection,
                    lines: Lines::new(self.limits.message_bytes).within(&self.budget),
                    deaf: None,
                })
            }
            Err(reason) => {
                hub.not_running(now, &reason);
                None
            }
        }
    }

    fn publish_finding(&mut self, hub: &mut Hub) {
        let Some(finding) = hub.finding() else { return };
        let before = self.tracker.tools().cloned();
        self.tracker.found(OffsetDateTime::now_utc(), finding);
        // Whoever sees that it was heard finds what was heard.
        let tools = self.tracker.tools();
        self.memory.send_if_modified(|memory| {
            let changed = tools != before.as_ref() || memory.era != *hub.era();
            if changed {
                memory.tools = tools.cloned();
                memory.era.clone_from(hub.era());
            }
            changed
        });
        self.publish
            .send_replace(Arc::new(self.tracker.health().clone()));
    }
}

/// Passes the server's output to the hub; whether the connection goes on.
fn took(hub: &mut Hub, now: Instant, live: Option<&mut Live>, output: Option<Output>) -> bool {
    let Some(live) = live else { return false };
    match output.unwrap_or_else(|| Output::Ended(Ended::default())) {
        Output::Stdout(bytes) => {
            live.lines.push(&bytes);
            while let Some(line) = live.lines.next_line() {
                hub.line(now, line);
            }
            true
        }
        Output::Message(bytes) => {
            hub.line(now, Line::Whole(bytes));
            true
        }
        Output::Stderr(bytes) => {
            hub.logged(&bytes);
            true
        }
        Output::Ended(ended) => {
            hub.ended(now, &ended);
            false
        }
    }
}

fn next_look(hub: &Hub, live: Option<&Live>, may_connect: bool) -> Instant {
    let mut next = hub.next_timeout();
    if may_connect && let Some(at) = hub.connect_at() {
        next = next.min(at);
    }
    if let Some(since) = live.and_then(|live| live.deaf) {
        next = next.min(since + LAST_WORDS);
    }
    next
}

fn written(out: &mut BytesMut, length: usize) {
    out.advance(length);
    if out.is_empty() && out.capacity() > KEPT_BUFFER {
        *out = BytesMut::new();
    }
}

async fn maybe<T>(opening: Option<&mut Pin<Box<dyn Future<Output = T> + Send + '_>>>) -> T {
    match opening {
        Some(opening) => opening.await,
        None => std::future::pending().await,
    }
}

/// Writes what waits and reads what came, whichever is possible first.
async fn exchange(live: Option<&mut Live>, out: &mut BytesMut, flooded: bool) -> Event {
    let Some(live) = live else {
        return std::future::pending().await;
    };
    std::future::poll_fn(|cx| {
        if !out.is_empty() && live.deaf.is_none() {
            let input: Pin<&mut (dyn AsyncWrite + Send)> = live.connection.input.as_mut();
            if let Poll::Ready(written) = input.poll_write(cx, out) {
                return Poll::Ready(Event::Written(written));
            }
        }
        if !flooded && let Poll::Ready(output) = live.connection.output.poll_next_unpin(cx) {
            return Poll::Ready(Event::Output(output));
        }
        Poll::Pending
    })
    .await
}
