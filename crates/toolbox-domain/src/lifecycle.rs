//! The life of a tool instance and of a toolbox, as pure state machines.
//!
//! Two functions move an instance. [`request`] says which status to write when a user's command is accepted;
//! [`Known::decide`] says what to write of what an agent shows, and [`observe`] through which statuses. Both only ever
//! take edges of [`can_transition`], the same table that the database's trigger enforces, and `error` cannot be built without a
//! [`Reason`].

mod decide;
mod environment;
mod observe;

use core::fmt;

use crate::string_enum::string_enum;

pub use decide::{Decision, Known, Seen, View};
pub use environment::{EnvironmentStatus, environment_can_transition};
pub use observe::{Observation, Observed, observe};

string_enum! {
    /// Where an instance is in its life: `account_tool_installation_status_enum`.
    pub enum InstanceStatus as "instance status" {
        /// The row exists; the agent was not asked yet.
        PendingDeploy = "pending_deploy",
        /// The agent holds the spec, or is being given it, and prepares the container.
        Deploying = "deploying",
        /// The container was told to start.
        Starting = "starting",
        /// The container runs.
        Running = "running",
        /// The container was told to stop.
        Stopping = "stopping",
        /// No container runs, and none should.
        Stopped = "stopped",
        /// The user asked to delete it.
        PendingDelete = "pending_delete",
        /// The agent removes it.
        Deleting = "deleting",
        /// It is not as desired, and there is a reason.
        Error = "error",
    }
}

impl InstanceStatus {
    /// The statuses that may follow this one. Staying is no transition.
    pub const fn exits(self) -> &'static [Self] {
        use InstanceStatus::{
            Deleting, Deploying, Error, PendingDelete, Running, Starting, Stopped, Stopping,
        };
        match self {
            Self::PendingDeploy => &[Deploying, PendingDelete, Error],
            Self::Deploying => &[Starting, Running, Stopping, Stopped, Error, PendingDelete],
            Self::Starting => &[Running, Stopped, Stopping, Error, PendingDelete, Deploying],
            Self::Running => &[Stopping, Stopped, Starting, Deploying, Error, PendingDelete],
            Self::Stopping => &[Stopped, Starting, Running, Error, PendingDelete],
            Self::Stopped => &[Starting, Running, Deploying, Error, PendingDelete],
            Self::PendingDelete => &[Deleting, Error],
            Self::Deleting => &[Error],
            Self::Error => &[
                Deploying,
                Starting,
                Running,
                Stopping,
                Stopped,
                PendingDelete,
            ],
        }
    }
}

/// Whether an instance may go from `from` to `to` in one step. Staying is no transition.
pub const fn can_transition(from: InstanceStatus, to: InstanceStatus) -> bool {
    let exits = from.exits();
    let mut i = 0;
    while i < exits.len() {
        if exits[i] as u8 == to as u8 {
            return true;
        }
        i += 1;
    }
    false
}

/// Why an instance is in `error`: a stable code and a sentence for the user. Neither is ever empty.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reason {
    code: String,
    message: String,
}

/// A reason needs a code and a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("give a reason a code and a message")]
pub struct EmptyReason;

impl Reason {
    /// A reason; code and message must hold more than whitespace.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Result<Self, EmptyReason> {
        let (code, message) = (code.into(), message.into());
        if code.trim().is_empty() || message.trim().is_empty() {
            return Err(EmptyReason);
        }
        Ok(Self { code, message })
    }

    /// `container_missing`: the agent has no container for an instance that should have one.
    pub fn container_missing() -> Self {
        Self {
            code: "container_missing".to_owned(),
            message: "The container is gone from the machine; start the tool to re-create it"
                .to_owned(),
        }
    }

    /// `remove_failed`: the agent still shows an instance that was to be deleted.
    pub fn deletion_lost() -> Self {
        Self {
            code: "remove_failed".to_owned(),
            message: "The deletion did not reach the agent; delete the instance again".to_owned(),
        }
    }

    /// `unspecified`: for a failure whose reporter gave no reason.
    pub fn unspecified() -> Self {
        Self {
            code: "unspecified".to_owned(),
            message: "The machine reported a failure without a reason".to_owned(),
        }
    }

    /// The stable code, such as `image_not_found`.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The sentence for the user.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

/// A status, with a reason exactly when it is `error`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct InstanceState {
    status: InstanceStatus,
    reason: Option<Reason>,
}

/// The reason does not fit the status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// `error` needs a reason.
    #[error("give a reason with the status \"error\"")]
    ReasonMissing,
    /// Only `error` has a reason.
    #[error("give a reason with the status \"error\" only")]
    ReasonUnexpected,
}

impl InstanceState {
    /// The state of a row.
    pub fn new(status: InstanceStatus, reason: Option<Reason>) -> Result<Self, StateError> {
        match (status, &reason) {
            (InstanceStatus::Error, None) => Err(StateError::ReasonMissing),
            (InstanceStatus::Error, Some(_)) | (_, None) => Ok(Self { status, reason }),
            (_, Some(_)) => Err(StateError::ReasonUnexpected),
        }
    }

    /// `error`, for this reason.
    pub const fn error(reason: Reason) -> Self {
        Self {
            status: InstanceStatus::Error,
            reason: Some(reason),
        }
    }

    /// The status.
    pub const fn status(&self) -> InstanceStatus {
        self.status
    }

    /// The reason, exactly when the status is `error`.
    pub const fn reason(&self) -> Option<&Reason> {
        self.reason.as_ref()
    }
}

string_enum! {
    /// What a user asks of an instance.
    pub enum Request as "action" {
        /// Give the agent the spec of a new instance.
        Deploy = "deploy",
        /// Run it.
        Start = "start",
        /// Stop it.
        Stop = "stop",
        /// Stop it, then run it.
        Restart = "restart",
        /// Give the agent a new spec.
        Update = "update",
        /// Remove it.
        Delete = "delete",
    }
}

impl Request {
    /// The operations in progress that this one takes the place of, instead of being refused. Who stops or deletes does
    /// not want what is under way, and it may hang.
    pub const fn preempts(self) -> &'static [Self] {
        match self {
            Self::Stop => &[Self::Deploy, Self::Update, Self::Start, Self::Restart],
            Self::Delete => &[
                Self::Deploy,
                Self::Update,
                Self::Start,
                Self::Restart,
                Self::Stop,
            ],
            Self::Deploy | Self::Start | Self::Restart | Self::Update => &[],
        }
    }
}

string_enum! {
    /// What the user wants an instance to be.
    pub enum Desired as "desired status" {
        /// One running container.
        Running = "running",
        /// Nothing runs.
        Stopped = "stopped",
        /// Nothing is left of it.
        Absent = "absent",
    }
}

/// The command makes no sense now; which ones would depends on the status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot {request} a tool instance that is {from}")]
pub struct TransitionError {
    /// The status now.
    pub from: InstanceStatus,
    /// What was asked.
    pub request: Request,
}

/// The status to write when `request` is accepted.
///
/// Commands are idempotent, so it may be the status the instance already has: stopping what is stopped, or repeating
/// a command whose first run was lost, is accepted and sent to the agent again. At most one command at a time is the
/// business of the operation's lease, not of the status.
pub fn request(state: &InstanceState, request: Request) -> Result<InstanceStatus, TransitionError> {
    use InstanceStatus as S;
    let from = state.status;
    let to = match (request, from) {
        (Request::Deploy | Request::Update, _) => S::Deploying,
        // What is stopped needs no stop before its start.
        (Request::Start, _) | (Request::Restart, S::Stopped) => S::Starting,
        (Request::Stop, S::Stopped) => S::Stopped,
        (Request::Stop | Request::Restart, _) => S::Stopping,
        (Request::Delete, S::Deleting) => S::Deleting,
        (Request::Delete, _) => S::PendingDelete,
    };
    if from == to || can_transition(from, to) {
        Ok(to)
    } else {
        Err(TransitionError { from, request })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use InstanceStatus as S;

    fn state(status: InstanceStatus) -> InstanceState {
        let reason = (status == S::Error).then(Reason::unspecified);
        InstanceState::new(status, reason).unwrap()
    }

    #[test]
    fn error_has_a_reason_and_nothing_else_does() {
        assert_eq!(
            InstanceState::new(S::Error, None),
            Err(StateError::ReasonMissing)
        );
        let reason = Some(Reason::unspecified());
        assert_eq!(
            InstanceState::new(S::Running, reason),
            Err(StateError::ReasonUnexpected)
        );
        assert_eq!(Reason::new("", "text"), Err(EmptyReason));
        assert_eq!(Reason::new("code", " \n"), Err(EmptyReason));
    }

    #[test]
    fn spelling_round_trips() {
        for status in S::ALL {
            assert_eq!(status.as_str().parse(), Ok(*status));
        }
        let unknown = "active".parse::<InstanceStatus>().unwrap_err();
        assert_eq!(unknown.to_string(), "unknown instance status \"active\"");
    }

    #[test]
    fn requests_lead_where_the_table_says() {
        use Request as R;
        let refused = |from, request| Err(TransitionError { from, request });
        // Columns: deploy and update, start, stop, restart, delete.
        let table = [
            (
                S::PendingDeploy,
                [Some(S::Deploying), None, None, None, Some(S::PendingDelete)],
            ),
            (
                S::Deploying,
                [
                    Some(S::Deploying),
                    Some(S::Starting),
                    Some(S::Stopping),
                    Some(S::Stopping),
                    Some(S::PendingDelete),
                ],
            ),
            (
                S::Starting,
                [
                    Some(S::Deploying),
                    Some(S::Starting),
                    Some(S::Stopping),
                    Some(S::Stopping),
                    Some(S::PendingDelete),
                ],
            ),
            (
                S::Running,
                [
                    Some(S::Deploying),
                    Some(S::Starting),
                    Some(S::Stopping),
                    Some(S::Stopping),
                    Some(S::PendingDelete),
                ],
            ),
            (
                S::Stopping,
                [
                    None,
                    Some(S::Starting),
                    Some(S::Stopping),
                    Some(S::Stopping),
                    Some(S::PendingDelete),
                ],
            ),
            (
                S::Stopped,
                [
                    Some(S::Deploying),
                    Some(S::Starting),
                    Some(S::Stopped),
                    Some(S::Starting),
                    Some(S::PendingDelete),
                ],
            ),
            (
                S::PendingDelete,
                [None, None, None, None, Some(S::PendingDelete)],
            ),
            (S::Deleting, [None, None, None, None, Some(S::Deleting)]),
            (
                S::Error,
                [
                    Some(S::Deploying),
                    Some(S::Starting),
                    Some(S::Stopping),
                    Some(S::Stopping),
                    Some(S::PendingDelete),
                ],
            ),
        ];
        for (from, [deploy, start, stop, restart, delete]) in table {
            for (command, expected) in [
                (R::Deploy, deploy),
                (R::Update, deploy),
                (R::Start, start),
                (R::Stop, stop),
                (R::Restart, restart),
                (R::Delete, delete),
            ] {
                let expected = expected.map_or_else(|| refused(from, command), Ok);
                assert_eq!(
                    request(&state(from), command),
                    expected,
                    "{command} from {from}"
                );
            }
        }
    }

    #[test]
    fn a_stop_and_a_deletion_wait_for_nothing_but_their_like() {
        use Request as R;
        for running in R::ALL {
            let by = |action: R| action.preempts().contains(running);
            assert_eq!(by(R::Delete), *running != R::Delete, "{running}");
            assert_eq!(
                by(R::Stop),
                !matches!(running, R::Stop | R::Delete),
                "{running}"
            );
            for other in [R::Deploy, R::Update, R::Start, R::Restart] {
                assert!(!by(other), "{other} {running}");
            }
        }
    }

    #[test]
    fn a_refusal_says_what_and_why() {
        let error = request(&state(S::PendingDelete), Request::Start).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot start a tool instance that is pending_delete"
        );
    }
}
