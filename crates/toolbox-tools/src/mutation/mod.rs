//! The one way an instance is changed.
//!
//! 1. [`begin`]: the domain says which status to write, the database accepts it (compare-and-set,
//!    one operation per instance, idempotency) and hands out a generation and a lease.
//! 2. [`agent`]: the agent is told, with retries; a start re-creates what the agent has lost.
//! 3. [`conclude`]: what is certain is recorded before the answer; what is not settled yet is
//!    answered 202 and observed by a follower after it.
//!
//! What the database says when the agent could not do it:
//! - The command certainly changed nothing (refused, rejected, wrong certificate…): the operation
//!   is failed with its reason, and the status goes back to what it was, because what runs still
//!   runs. A new instance has no such status: it is in `error`. So is one that could not be
//!   deleted; its row stays, so that no container is left without one.
//! - The command may have arrived (no answer in time, connection lost): the operation stays in
//!   progress until its lease ends. The follower, or the next read that sees a settled view of
//!   the new generation, closes it with what really happened.

mod agent;
mod begin;
mod conclude;
mod deploy;
mod update;

#[cfg(test)]
mod attempts_tests;
#[cfg(test)]
mod change_tests;
#[cfg(test)]
mod deploy_tests;
#[cfg(test)]
mod update_tests;

use std::rc::Rc;
use std::time::Duration;

use toolbox_api::edge::{Action, OperationView};
use toolbox_clients::dtma::Agent;
use toolbox_clients::supabase::rows::InstanceRow;
use toolbox_domain::ids::ToolboxId;
use toolbox_domain::lifecycle::{Desired, InstanceState, Request};
use toolbox_edge::{ApiError, App, Cx, Reply};

use crate::toolbox::{self, Target};
use begin::{Accepted, Intent};

pub(crate) use deploy::deploy;
pub(crate) use update::update;

/// A command on an instance that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Start,
    Stop,
    Restart,
    Delete,
}

impl Change {
    const fn action(self) -> Action {
        match self {
            Self::Start => Action::Start,
            Self::Stop => Action::Stop,
            Self::Restart => Action::Restart,
            Self::Delete => Action::Delete,
        }
    }

    const fn request(self) -> Request {
        match self {
            Self::Start => Request::Start,
            Self::Stop => Request::Stop,
            Self::Restart => Request::Restart,
            Self::Delete => Request::Delete,
        }
    }

    const fn desired(self) -> Desired {
        match self {
            Self::Start | Self::Restart => Desired::Running,
            Self::Stop => Desired::Stopped,
            Self::Delete => Desired::Absent,
        }
    }
}

/// An operation the database has accepted, on its way to the agent.
#[derive(Clone)]
pub(crate) struct Operation {
    app: Rc<App>,
    request_id: Rc<str>,
    toolbox: ToolboxId,
    agent: Agent,
    action: Action,
    view: OperationView,
    /// The row after its first write, spec included.
    row: Box<InstanceRow>,
    /// The state before; none for a new instance.
    previous: Option<InstanceState>,
    /// When the follower gives up, as time since the epoch.
    follow_until: Duration,
}

/// Longest that work after an answer goes on: platforms end a worker after 150 seconds.
const FOLLOW: Duration = Duration::from_secs(140);

/// How long nobody else may begin an operation on the instance. A pull takes longer than a stop.
const fn lease_seconds(action: Action) -> u32 {
    match action {
        Action::Deploy | Action::Update => 180,
        _ => 90,
    }
}

/// Starts, stops, restarts or deletes.
pub(crate) async fn change(
    cx: &Cx,
    toolbox_id: ToolboxId,
    target: &Target,
    change: Change,
) -> Result<Reply, ApiError> {
    let wait = cx.wait()?;
    let intent = Intent::new(
        cx,
        toolbox_id,
        change.action(),
        change.request(),
        change.desired(),
    )?;
    let (toolbox, row) = match toolbox::find_instance(cx, toolbox_id, target).await {
        Ok(found) => found,
        Err(error) => return begin::replay_of_deleted(&intent, target, error).await,
    };
    let agent = toolbox::agent(cx, &toolbox)?;
    if change != Change::Delete {
        begin::check_toolbox(&toolbox)?;
    }
    match begin::existing(&intent, row, None).await? {
        Accepted::Replayed(reply) => Ok(reply),
        Accepted::Started(started) => {
            let operation = Operation::new(cx, toolbox_id, agent, change.action(), *started);
            conclude::run(operation, wait).await
        }
    }
}

impl Operation {
    fn new(
        cx: &Cx,
        toolbox: ToolboxId,
        agent: Agent,
        action: Action,
        started: begin::Started,
    ) -> Self {
        let lease = Duration::from_secs(lease_seconds(action).into());
        Self {
            app: Rc::clone(&cx.app),
            request_id: Rc::clone(&cx.request_id),
            toolbox,
            agent,
            action,
            view: started.operation.into(),
            row: started.row,
            previous: started.previous,
            // A little before the lease ends, so that no record meets the next operation.
            follow_until: cx.app.clock.now()
                + FOLLOW.min(lease.saturating_sub(Duration::from_secs(10))),
        }
    }
}
