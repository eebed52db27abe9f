//! Sending the command of an operation to the agent, and waiting for its end.

use std::time::Duration;

use toolbox_api::dtma::{DeployRequest, Desired, ToolView};
use toolbox_api::edge::Action;
use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_clients::dtma::{AgentError, Command, Deleted};
use toolbox_domain::lifecycle::{self, InstanceState, InstanceStatus};
use toolbox_domain::recovery::{Outcome, StartRecovery, Step};
use toolbox_domain::retry::RetryPolicy;
use toolbox_http::retry::retry;

use crate::change::Operation;
use crate::observation::Observation;

/// Gets over a restart of the agent, which takes a second or two. Every command is idempotent by
/// its generation, so repeating one does no harm.
const RETRY: RetryPolicy = RetryPolicy {
    max_attempts: 5,
    base: Duration::from_millis(200),
    cap: Duration::from_secs(2),
    budget: Duration::from_secs(8),
};

/// Longest that the command itself waits for its end. Short, so that an agent that hangs is noticed.
const COMMAND_WAIT: Duration = Duration::from_secs(5);
/// Longest that one look waits for an end.
const POLL_WAIT: Duration = Duration::from_secs(25);
/// Between looks at an agent that answered at once, or not at all.
const PAUSE: Duration = Duration::from_millis(500);

/// A command could not be sent.
#[derive(Debug)]
pub(crate) struct SendError {
    /// How the last attempt failed.
    pub(crate) error: AgentError,
    /// No attempt can have changed anything. The last attempt alone does not tell: one before it may have arrived.
    pub(crate) nothing_happened: bool,
}

/// What is certain after some attempts.
#[derive(Default)]
struct Attempts {
    /// One may have arrived, or may yet.
    doubtful: bool,
    /// One succeeded, as when a start re-creates an instance and the agent then stops answering.
    succeeded: bool,
}

impl Attempts {
    fn succeeded(&mut self) {
        self.succeeded = true;
    }

    fn failed(&mut self, error: &AgentError) {
        if error.is_instance_unknown() {
            // The agent itself says that nothing is left of an earlier success.
            self.succeeded = false;
        } else if !error.nothing_happened() {
            self.doubtful = true;
        }
    }

    fn send_error(&self, error: AgentError) -> SendError {
        SendError {
            error,
            nothing_happened: !self.doubtful && !self.succeeded,
        }
    }
}

impl Operation {
    /// Sends the command. With `wait`, its answer may be the end already.
    pub(crate) async fn send(&self, wait: Option<Duration>) -> Result<Observation, SendError> {
        let wait = wait.map(|wait| wait.min(COMMAND_WAIT));
        let (id, generation) = (self.row.id, self.row.generation);
        match self.action {
            Action::Start => self.start(Command::Start, wait).await,
            Action::Restart => self.start(Command::Restart, wait).await,
            Action::Stop => {
                let stop = || self.agent.command(id, Command::Stop, generation, wait);
                let mut stopped = self.retry(stop).await;
                if let Err(failed) = &stopped
                    && failed.error.is_generation_gap()
                {
                    stopped = self.retry(|| self.deploy(wait)).await;
                }
                // A deploy that this stop takes the place of may be on its way: what it meets must be later.
                let was = self.previous.as_ref().map(InstanceState::status);
                if let Err(failed) = &stopped
                    && failed.error.is_instance_unknown()
                    && was == Some(InstanceStatus::Deploying)
                {
                    stopped = self.retry(|| self.deploy(wait)).await;
                }
                match stopped {
                    // What the agent does not know does not run.
                    Err(failed) if failed.error.is_instance_unknown() => Ok(Observation::Gone),
                    stopped => stopped.map(Observation::from),
                }
            }
            Action::Delete => {
                let delete = || self.agent.delete(id, generation, wait);
                self.retry(delete).await.map(|deleted| match deleted {
                    Deleted::Gone => Observation::Gone,
                    Deleted::Pending(view) => view.into(),
                })
            }
            Action::Deploy
            | Action::Update
            | Action::List
            | Action::Get
            | Action::Logs
            | Action::Mcp => self
                .retry(|| self.deploy(wait))
                .await
                .map(Observation::from),
        }
    }

    /// Looks until the agent is done, or until `until` (since the epoch). None: it is not done by then. An error: looking
    /// again cannot help, as when the agent refuses the key.
    pub(crate) async fn wait_until_settled(
        &self,
        until: Duration,
    ) -> Result<Option<Observation>, AgentError> {
        let clock = &*self.instances.clock;
        let (id, generation) = (self.row.id, self.row.generation);
        loop {
            let asked = clock.now();
            let Some(left) = until.checked_sub(asked).filter(|left| *left >= PAUSE) else {
                return Ok(None);
            };
            let wait = Some(left.min(POLL_WAIT));
            let answer = self.agent.get(id, Some(generation), wait).await;
            match Observation::of_look(answer) {
                Ok(Observation::Missing) if self.action == Action::Stop => {
                    return Ok(Some(Observation::Gone));
                }
                // Only the answer to the deletion itself says that nothing of the instance comes back.
                Ok(Observation::Missing) if self.action == Action::Delete => {
                    if let Ok(Deleted::Gone) = self.agent.delete(id, generation, None).await {
                        return Ok(Some(Observation::Gone));
                    }
                }
                // A command that has not arrived yet may still arrive.
                Ok(Observation::Missing) => {}
                Ok(observation) if observation.is_settled(generation) => {
                    return Ok(Some(observation));
                }
                Err(error) if error.transience().is_none() => return Err(error),
                Ok(_) | Err(_) => {}
            }
            if clock.now().saturating_sub(asked) < PAUSE {
                clock.sleep(PAUSE).await;
            }
        }
    }

    async fn retry<T, F: Future<Output = Result<T, AgentError>>>(
        &self,
        attempt: impl FnMut() -> F,
    ) -> Result<T, SendError> {
        let mut attempts = Attempts::default();
        let transience = |error: &AgentError| {
            attempts.failed(error);
            error.transience()
        };
        retry(&*self.instances.clock, &RETRY, transience, attempt)
            .await
            .map_err(|error| attempts.send_error(error))
    }

    /// Sends all of what is desired.
    async fn deploy(&self, wait: Option<Duration>) -> Result<Box<ToolView>, AgentError> {
        let mut spec = self.row.spec.as_deref().cloned().unwrap_or_default();
        // What does not open is sent sealed: the agent refuses it, and names each such value.
        if let Some(first) = (self.sealing.open_spec(self.row.id, spec.secrets())).first() {
            let error = ApiError::new(ErrorCode::Internal).caused_by(first);
            let what = format!("open the secrets of instance {}", self.row.id);
            self.instances.host.log(&self.request_id, &what, &error);
        }
        // The row may be older than rules of today.
        spec.drop_former_exceptions();
        let request = DeployRequest {
            generation: self.row.generation,
            // An update leaves a stopped tool stopped; all else that sends a spec wants it to run.
            desired: match self.row.desired() {
                Ok(lifecycle::Desired::Stopped) => Desired::Stopped,
                _ => Desired::Running,
            },
            name: self.row.instance_name_on_toolbox.clone(),
            container_name: self.row.container_name.clone(),
            spec,
            restart: self.action == Action::Restart,
            refresh_image: matches!(self.action, Action::Deploy | Action::Update),
            known_ports: self.row.port_mapping_json.clone(),
        };
        self.agent.deploy(self.row.id, &request, wait).await
    }

    /// Retries, then redeploys from the stored spec, then says why not. The domain decides each step.
    async fn start(
        &self,
        command: Command,
        wait: Option<Duration>,
    ) -> Result<Observation, SendError> {
        let clock = &*self.instances.clock;
        let began = clock.now();
        let mut recovery = StartRecovery::new(RETRY);
        let mut redeployed = false;
        let mut last: Option<Result<Box<ToolView>, AgentError>> = None;
        let mut outcome = None;
        let mut attempts = Attempts::default();
        loop {
            let elapsed = clock.now().saturating_sub(began);
            let result = match recovery.next(elapsed, clock.random(), outcome.take()) {
                Step::Start => {
                    // The deployment has restarted the tool already.
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
                        .map(Observation::from)
                        .map_err(|error| attempts.send_error(error));
                }
            };
            outcome = Some(match &result {
                Ok(_) => {
                    attempts.succeeded();
                    Outcome::Started
                }
                Err(error) => {
                    attempts.failed(error);
                    if error.is_instance_unknown() || error.is_generation_gap() {
                        Outcome::InstanceUnknown
                    } else {
                        error.transience().map_or(Outcome::Permanent, |transience| {
                            Outcome::Transient(transience.fault, transience.retry_after)
                        })
                    }
                }
            });
            last = Some(result);
        }
    }
}
