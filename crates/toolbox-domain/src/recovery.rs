//! Starting an instance the agent may have lost: retry, then redeploy, then say why not.
//!
//! [`StartRecovery`] decides, the caller acts: carry out the [`Step`], report its [`Outcome`] (or nothing after a
//! [`Step::Wait`]), and ask again until [`Step::Done`] or [`Step::GiveUp`].

use core::time::Duration;

use crate::retry::{Fault, RetryPolicy};

/// What came of a [`Step::Start`] or [`Step::Redeploy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The agent took the command.
    Started,
    /// The agent does not know the instance.
    InstanceUnknown,
    /// The call failed in a way that may pass, with the server's `Retry-After` if it sent one.
    Transient(Fault, Option<Duration>),
    /// The call failed for good.
    Permanent,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send the start command.
    Start,
    /// Send the stored spec, so that the agent knows the instance again.
    Redeploy,
    /// Wait this long, then ask again without an outcome.
    Wait(Duration),
    /// The agent took the start.
    Done,
    /// It cannot be started now.
    GiveUp(GiveUp),
}

/// Why nothing more is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GiveUp {
    /// The last call failed for good; its error says how.
    #[error("the agent refused")]
    Permanent,
    /// The agent does not know the instance although it was just given its spec.
    #[error("the agent does not keep the instance it was given")]
    StillUnknown,
    /// Every attempt the policy allows failed, the last one with this fault.
    #[error("every attempt failed")]
    Exhausted(Fault),
    /// The time budget is spent.
    #[error("the time for starting the instance is over")]
    OutOfTime,
}

/// The command that is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Command {
    Start,
    Redeploy,
}

/// The decisions of one start. Ends after at most `max_attempts + 2` commands, whatever their outcomes; at most one
/// redeploy is accepted by the agent (a redeploy that failed on the way is the same one when it is sent again).
#[derive(Clone, Debug)]
pub struct StartRecovery {
    policy: RetryPolicy,
    command: Command,
    redeployed: bool,
    sent: u32,
    failed: u32,
    end: Option<Step>,
}

impl StartRecovery {
    /// Begins a start under `policy`. Its attempts and budget cover the whole recovery, not each command.
    pub const fn new(policy: RetryPolicy) -> Self {
        Self {
            policy,
            command: Command::Start,
            redeployed: false,
            sent: 0,
            failed: 0,
            end: None,
        }
    }

    /// The next step. `elapsed` is the time since the first call, `unit_random` a number in `[0, 1)`, `last` the
    /// outcome of the last command; `None` at the beginning and after a wait.
    pub fn next(&mut self, elapsed: Duration, unit_random: f64, last: Option<Outcome>) -> Step {
        if let Some(end) = self.end {
            return end;
        }
        match last {
            None => self.send(),
            Some(Outcome::Started) if self.command == Command::Start => self.finish(Step::Done),
            Some(Outcome::Started) => {
                self.command = Command::Start;
                self.send_within(elapsed)
            }
            Some(Outcome::InstanceUnknown) if self.redeployed => {
                self.finish(Step::GiveUp(GiveUp::StillUnknown))
            }
            Some(Outcome::InstanceUnknown) => {
                self.redeployed = true;
                self.command = Command::Redeploy;
                self.send_within(elapsed)
            }
            Some(Outcome::Transient(fault, retry_after)) => {
                self.failed += 1;
                match self
                    .policy
                    .next_delay(self.failed, elapsed, unit_random, retry_after)
                {
                    Some(delay) => Step::Wait(delay),
                    None => self.finish(Step::GiveUp(GiveUp::Exhausted(fault))),
                }
            }
            Some(Outcome::Permanent) => self.finish(Step::GiveUp(GiveUp::Permanent)),
        }
    }

    /// The next command of an attempt that goes well; the budget binds these too.
    fn send_within(&mut self, elapsed: Duration) -> Step {
        if elapsed >= self.policy.budget {
            return self.finish(Step::GiveUp(GiveUp::OutOfTime));
        }
        self.send()
    }

    /// The command, unless a caller that never reports outcomes has sent more of them than any run needs.
    fn send(&mut self) -> Step {
        if self.sent >= self.policy.max_attempts.max(1).saturating_add(2) {
            return self.finish(Step::GiveUp(GiveUp::OutOfTime));
        }
        self.sent += 1;
        match self.command {
            Command::Start => Step::Start,
            Command::Redeploy => Step::Redeploy,
        }
    }

    fn finish(&mut self, end: Step) -> Step {
        self.end = Some(end);
        end
    }
}
