//! A service of the stack: one long-lived process, kept as wanted by one task.
//!
//! [`Handle`] sends requests to that task; the task owns the process, waits for readiness, restarts it when it dies
//! by itself (unless told not to), and publishes what is true in a watch channel. Requests are answered in order.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use crate::error::StackError;
use crate::process::{Program, Running};
use crate::progress::say;

/// First pause before a restart; doubles up to [`SLOWEST_RESTART`] while it keeps dying.
const FIRST_RESTART: Duration = Duration::from_millis(100);
const SLOWEST_RESTART: Duration = Duration::from_secs(5);
/// Having run this long, the next death counts as the first again.
const STABLE: Duration = Duration::from_secs(10);
/// What never became ready is given this long to end in order.
const STOP_UNREADY: Duration = Duration::from_secs(2);
const PROBE_EVERY: Duration = Duration::from_millis(25);

type Probe = Box<dyn Fn() -> Pin<Box<dyn Future<Output = bool> + Send>> + Send + Sync>;

/// How to tell that a process serves.
pub(crate) enum Ready {
    /// It prints its marker; the rest of that line becomes [`State::message`].
    Marker,
    /// The probe says yes.
    Probe(Probe),
}

/// Everything a service needs to be run.
pub(crate) struct Unit {
    /// What to start; asked anew at each start, so that it may change.
    pub(crate) program: Box<dyn Fn() -> Program + Send + Sync>,
    pub(crate) ready: Ready,
    pub(crate) ready_limit: Duration,
    pub(crate) stop_signal: Signal,
    pub(crate) stop_grace: Duration,
    /// Whether to start it again when it dies by itself.
    pub(crate) restart: bool,
}

/// What is true of a service now.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    /// Its process, ready or not.
    pub(crate) pid: Option<u32>,
    pub(crate) ready: bool,
    /// What it said when it became ready.
    pub(crate) message: Option<String>,
    pub(crate) restarts: u32,
}

/// What may be asked of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Starts it unless it runs; answered when it is ready.
    Start,
    /// Stops it in order; it stays down.
    Stop,
    /// Kills it at once; it stays down.
    Kill,
    /// Stop, then start.
    Restart,
    /// Suspends the process: it accepts connections and answers none.
    Pause,
    Resume,
    /// Stops it and ends its task.
    Shutdown,
}

type Message = (Request, oneshot::Sender<Result<(), StackError>>);

/// Talks to the task of one service.
#[derive(Clone)]
pub(crate) struct Handle {
    pub(crate) name: String,
    requests: mpsc::Sender<Message>,
    state: watch::Receiver<State>,
    /// Set before [`Request::Shutdown`], which must not wait for a start to end.
    closing: Arc<watch::Sender<bool>>,
}

impl Handle {
    /// Makes the service's task; nothing is started until [`Request::Start`].
    pub(crate) fn new(name: &str, unit: Unit) -> Self {
        // Requests come from people and tests, one at a time; more than a few waiting means a caller is wrong.
        let (requests, inbox) = mpsc::channel(8);
        let (publish, state) = watch::channel(State::default());
        let (closing, closed) = watch::channel(false);
        let task = Task {
            closed,
            name: name.to_owned(),
            unit,
            publish,
            running: None,
            due: None,
            pause: FIRST_RESTART,
            since: Instant::now(),
        };
        tokio::spawn(task.run(inbox));
        Self {
            name: name.to_owned(),
            requests,
            state,
            closing: Arc::new(closing),
        }
    }

    pub(crate) fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// Sends the request and waits for its end.
    pub(crate) async fn ask(&self, request: Request) -> Result<(), StackError> {
        if request == Request::Shutdown {
            self.closing.send_replace(true);
        }
        let (answer, reply) = oneshot::channel();
        self.requests
            .send((request, answer))
            .await
            .map_err(|_| StackError::Stopping)?;
        reply.await.map_err(|_| StackError::Stopping)?
    }
}

struct Task {
    name: String,
    unit: Unit,
    publish: watch::Sender<State>,
    closed: watch::Receiver<bool>,
    running: Option<Running>,
    /// When to start it again.
    due: Option<Instant>,
    pause: Duration,
    since: Instant,
}

impl Task {
    async fn run(mut self, mut inbox: mpsc::Receiver<Message>) {
        loop {
            let due = self.due;
            tokio::select! {
                message = inbox.recv() => {
                    let Some((request, answer)) = message else { break };
                    let result = self.handle(request).await;
                    let _ = answer.send(result);
                    if request == Request::Shutdown {
                        return;
                    }
                }
                () = ended(self.running.as_mut()) => self.died(),
                () = until(due) => self.start_again().await,
            }
        }
        self.stop(Signal::TERM).await;
    }

    async fn handle(&mut self, request: Request) -> Result<(), StackError> {
        match request {
            Request::Start => self.start_or_retry().await,
            Request::Stop | Request::Shutdown => {
                self.stop(self.unit.stop_signal).await;
                Ok(())
            }
            Request::Kill => {
                self.stop(Signal::KILL).await;
                Ok(())
            }
            Request::Restart => {
                self.stop(self.unit.stop_signal).await;
                self.start_or_retry().await
            }
            Request::Pause => self.suspend(true),
            Request::Resume => self.suspend(false),
        }
    }

    fn suspend(&self, suspended: bool) -> Result<(), StackError> {
        let running = self
            .running
            .as_ref()
            .ok_or_else(|| StackError::NotRunning {
                name: self.name.clone(),
            })?;
        running.suspend(suspended);
        Ok(())
    }

    async fn start(&mut self) -> Result<(), StackError> {
        self.due = None;
        if self.running.is_some() {
            return Ok(());
        }
        let mut running = (self.unit.program)().spawn()?;
        self.publish
            .send_modify(|state| state.pid = Some(running.pid));
        self.since = Instant::now();
        let limit = self.since + self.unit.ready_limit;
        let marker = running.marker.clone();
        let mut closed = self.closed.clone();
        let ready = tokio::select! {
            () = async { drop(closed.wait_for(|closed| *closed).await) } => Err(StackError::Stopping),
            status = running.wait() => {
                // Its last words are still in the pipes.
                sleep(PROBE_EVERY).await;
                let status = status.map_or_else(|| "ended".to_owned(), |s| s.to_string());
                Err(StackError::Failed { name: self.name.clone(), status, output: String::new() })
            }
            message = timeout_at(limit, becomes_ready(&self.unit.ready, marker)) => {
                message.map_err(|_| StackError::NotReady {
                    name: self.name.clone(), limit: self.unit.ready_limit, output: String::new(),
                })
            }
        };
        match ready {
            Ok(message) => {
                self.publish.send_modify(|state| {
                    state.ready = true;
                    state.message = message;
                });
                self.running = Some(running);
                Ok(())
            }
            Err(error) => {
                running.stop(self.unit.stop_signal, STOP_UNREADY).await;
                self.down();
                Err(with_output(error, running.tail()))
            }
        }
    }

    async fn stop(&mut self, signal: Signal) {
        self.due = None;
        if let Some(mut running) = self.running.take() {
            // Nobody is sent to a service that is going.
            self.publish.send_modify(|state| state.ready = false);
            running.stop(signal, self.unit.stop_grace).await;
        }
        self.down();
    }

    fn down(&self) {
        self.publish.send_modify(|state| {
            state.pid = None;
            state.ready = false;
            state.message = None;
        });
    }

    /// The process ended by itself.
    fn died(&mut self) {
        let tail = self
            .running
            .take()
            .map(|running| running.tail())
            .unwrap_or_default();
        self.down();
        say(format_args!(
            "{} died{}",
            self.name,
            if tail.is_empty() {
                String::new()
            } else {
                format!(":\n{tail}")
            }
        ));
        if self.since.elapsed() > STABLE {
            self.pause = FIRST_RESTART;
        }
        self.plan_restart();
    }

    async fn start_or_retry(&mut self) -> Result<(), StackError> {
        let started = self.start().await;
        if started.is_err() {
            self.plan_restart();
        }
        started
    }

    async fn start_again(&mut self) {
        self.publish.send_modify(|state| state.restarts += 1);
        // Why was said at its first death; a loop need not repeat it.
        let _ = self.start_or_retry().await;
    }

    fn plan_restart(&mut self) {
        if self.unit.restart {
            self.due = Some(Instant::now() + self.pause);
            self.pause = (self.pause * 2).min(SLOWEST_RESTART);
        }
    }
}

async fn ended(running: Option<&mut Running>) {
    match running {
        Some(running) => drop(running.wait().await),
        None => std::future::pending().await,
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

async fn becomes_ready(
    ready: &Ready,
    mut marker: watch::Receiver<Option<String>>,
) -> Option<String> {
    match ready {
        Ready::Marker => {
            let message = marker
                .wait_for(Option::is_some)
                .await
                .ok()
                .and_then(|message| message.clone());
            if message.is_none() {
                // The process closed its output; its end is reported by the one who waits for it.
                std::future::pending::<()>().await;
            }
            message
        }
        Ready::Probe(probe) => {
            while !probe().await {
                sleep(PROBE_EVERY).await;
            }
            None
        }
    }
}

fn with_output(error: StackError, tail: String) -> StackError {
    match error {
        StackError::Failed { name, status, .. } => StackError::Failed {
            name,
            status,
            output: tail,
        },
        StackError::NotReady { name, limit, .. } => StackError::NotReady {
            name,
            limit,
            output: tail,
        },
        other => other,
    }
}
