//! Telling the agent, and waiting for what comes of it.

use std::cell::Cell;
use std::time::Duration;

use toolbox_api::dtma::{DeployRequest, Desired, ToolView};
use toolbox_api::edge::Action;
use toolbox_clients::dtma::{AgentError, Command, Deleted};
use toolbox_domain::lifecycle;
use toolbox_domain::recovery::{Outcome, StartRecovery, Step};
use toolbox_domain::retry::RetryPolicy;
use toolbox_http::retry::retry;

use super::Operation;

/// Gets over a restart of the agent, which takes a second or two. Every command is idempotent by
/// its generation, so repeating one does no harm.
const RETRY: RetryPolicy = RetryPolicy {
    max_attempts: 5,
    base: Duration::from_millis(200),
    cap: Duration::from_secs(2),
    budget: Duration::from_secs(8),
};

/// Longest the command itself waits for its end. Short, so that an agent that hangs is noticed.
const COMMAND_WAIT: Duration = Duration::from_secs(5);
/// Longest that one question waits for an end.
const POLL_WAIT: Duration = Duration::from_secs(25);
/// Between questions to an agent that answered at once, or not at all.
const PAUSE: Duration = Duration::from_millis(500);

/// What the agent shows after a command.
#[derive(Clone, Debug)]
pub(super) enum Reached {
    /// The instance.
    View(Box<ToolView>),
    /// The agent has nothing of it.
    Nothing,
}

impl Reached {
    /// The agent is done with this generation.
    pub(super) fn is_settled(&self, generation: u64) -> bool {
        match self {
            Self::Nothing => true,
            Self::View(view) => view.settled && view.generation >= generation,
        }
    }

    pub(super) fn view(&self) -> Option<&ToolView> {
        match self {
            Self::View(view) => Some(view),
            Self::Nothing => None,
        }
    }
}

/// The agent could not be told.
#[derive(Debug)]
pub(super) struct Untold {
    /// How the last attempt failed.
    pub(super) error: AgentError,
    /// No attempt can have changed anything. The last one alone says little: one before it may have arrived.
    pub(super) nothing_happened: bool,
}

/// What is certain after some attempts.
struct Attempts {
    /// One may have arrived, or may yet.
    doubtful: Cell<bool>,
    /// One succeeded, as when a start re-creates an instance and then meets nobody.
    succeeded: Cell<bool>,
}

impl Attempts {
    const fn new() -> Self {
        Self {
            doubtful: Cell::new(false),
            succeeded: Cell::new(false),
        }
    }

    fn made<T>(&self, result: &Result<T, AgentError>) {
        match result {
            Ok(_) => self.succeeded.set(true),
            // The agent says itself that nothing is left of it.
            Err(error) if error.is_instance_unknown() => self.succeeded.set(false),
            Err(error) if error.nothing_happened() => {}
            Err(_) => self.doubtful.set(true),
        }
    }

    fn untold(&self, error: AgentError) -> Untold {
        Untold {
            error,
            nothing_happened: !self.doubtful.get() && !self.succeeded.get(),
        }
    }
}

impl From<Box<ToolView>> for Reached {
    fn from(view: Box<ToolView>) -> Self {
        Self::View(view)
    }
}

impl Operation {
    /// Sends the command; with `wait`, its answer may be the end already.
    pub(super) async fn tell(&self, wait: Option<Duration>) -> Result<Reached, Untold> {
        let wait = wait.map(|wait| wait.min(COMMAND_WAIT));
        let (id, generation) = (self.row.id, self.row.generation);
        let told = match self.action {
            Action::Start => self.start(Command::Start, wait).await,
            Action::Restart => self.start(Command::Restart, wait).await,
            Action::Stop => {
                let stop = || self.agent.command(id, Command::Stop, generation, wait);
                match self.retry(stop).await {
                    Err(untold) if untold.error.is_generation_gap() => {
                        self.retry(|| self.deploy(wait)).await
                    }
                    stopped => stopped,
                }
                .map(Reached::from)
            }
            Action::Delete => {
                let delete = || self.agent.delete(id, generation, wait);
                self.retry(delete).await.map(|deleted| match deleted {
                    Deleted::Gone => Reached::Nothing,
                    Deleted::Pending(view) => Reached::View(view),
                })
            }
            Action::Deploy
            | Action::Update
            | Action::List
            | Action::Get
            | Action::Logs
            | Action::Mcp => self.retry(|| self.deploy(wait)).await.map(Reached::from),
        };
        match told {
            // What the agent does not know does not run.
            Err(untold) if untold.error.is_instance_unknown() && self.action == Action::Stop => {
                Ok(Reached::Nothing)
            }
            told => told,
        }
    }

    /// Asks until the agent is done, or `until` (since the epoch). None: not done by then. An error: asking again
    /// cannot help, as when the agent refuses the key.
    pub(super) async fn settle(&self, until: Duration) -> Result<Option<Reached>, AgentError> {
        loop {
            let asked = self.app.clock.now();
            let Some(left) = until.checked_sub(asked).filter(|left| *left >= PAUSE) else {
                return Ok(None);
            };
            let generation = self.row.generation;
            let wait = Some(left.min(POLL_WAIT));
            match self
                .agent
                .get(self.row.id, Some(generation), wait)
                .await
                .map(Reached::from)
            {
                Ok(reached) if reached.is_settled(generation) => return Ok(Some(reached)),
                Err(error) if error.is_instance_unknown() && self.action == Action::Stop => {
                    return Ok(Some(Reached::Nothing));
                }
                // Only the answer to the deletion itself says that nothing of it comes back.
                Err(error) if error.is_instance_unknown() && self.action == Action::Delete => {
                    let id = self.row.id;
                    if let Ok(Deleted::Gone) = self.agent.delete(id, generation, None).await {
                        return Ok(Some(Reached::Nothing));
                    }
                }
                // A command that has not arrived yet may still arrive.
                Err(error) if error.is_instance_unknown() => {}
                Err(error) if error.transience().is_none() => return Err(error),
                Ok(_) | Err(_) => {}
            }
            if self.app.clock.now().saturating_sub(asked) < PAUSE {
                self.app.clock.sleep(PAUSE).await;
            }
        }
    }

    async fn retry<T, F: Future<Output = Result<T, AgentError>>>(
        &self,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T, Untold> {
        let attempts = Attempts::new();
        let noted = || {
            let made = attempt();
            async {
                let result = made.await;
                attempts.made(&result);
                result
            }
        };
        retry(&*self.app.clock, &RETRY, AgentError::transience, noted)
            .await
            .map_err(|error| attempts.untold(error))
    }

    /// Sends all of what is desired.
    async fn deploy(&self, wait: Option<Duration>) -> Result<Box<ToolView>, AgentError> {
        let request = DeployRequest {
            generation: self.row.generation,
            // An update keeps a stopped tool stopped; all else that sends a spec wants it to run.
            desired: match self.row.desired() {
                Ok(lifecycle::Desired::Stopped) => Desired::Stopped,
                _ => Desired::Running,
            },
            name: self.row.instance_name_on_toolbox.clone(),
            container_name: self.row.container_name.clone(),
            spec: self.row.spec.as_deref().cloned().unwrap_or_default(),
            restart: self.action == Action::Restart,
            refresh_image: matches!(self.action, Action::Deploy | Action::Update),
            known_ports: self.row.port_mapping_json.clone(),
        };
        self.agent.deploy(self.row.id, &request, wait).await
    }

    /// Retry, then redeploy from the stored spec, then say why not; the domain decides each step.
    async fn start(&self, command: Command, wait: Option<Duration>) -> Result<Reached, Untold> {
        let clock = &*self.app.clock;
        let began = clock.now();
        let mut recovery = StartRecovery::new(RETRY);
        let mut redeployed = false;
        let mut last: Option<Result<Box<ToolView>, AgentError>> = None;
        let mut outcome = None;
        let attempts = Attempts::new();
        loop {
            let elapsed = clock.now().saturating_sub(began);
            let result = match recovery.next(elapsed, clock.random(), outcome.take()) {
                Step::Start => {
                    // The deployment was a restart, if that is what was asked for.
                    let command = if redeployed { Command::Start } else { command };
                    self.agent
                        .command(self.row.id, command, self.row.generation, wait)
                        .await
                }
                Step::Redeploy => {
                    redeployed = true;
                    self.deploy(wait).await
                }
                Step::Wait(delay) => {
                    clock.sleep(delay).await;
                    continue;
                }
                Step::Done | Step::GiveUp(_) => {
                    let last = last.unwrap_or(Err(AgentError::BadResponse { status: 0 }));
                    return last
                        .map(Reached::from)
                        .map_err(|error| attempts.untold(error));
                }
            };
            attempts.made(&result);
            let missed_some = result.as_ref().is_err_and(AgentError::is_generation_gap);
            outcome = Some(match &result {
                Ok(_) => Outcome::Started,
                Err(error) if error.is_instance_unknown() || missed_some => {
                    Outcome::InstanceUnknown
                }
                Err(error) => error.transience().map_or(Outcome::Permanent, |transience| {
                    Outcome::Transient(transience.fault, transience.retry_after)
                }),
            });
            last = Some(result);
        }
    }
}
