//! Commands on an instance that exists, and what every change of an instance has in common.

use std::sync::Arc;
use std::time::Duration;

use toolbox_api::edge::{Action, OperationView};
use toolbox_api::error::ApiError;
use toolbox_clients::supabase::rows::InstanceRow;
use toolbox_domain::ids::ToolboxId;
use toolbox_domain::lifecycle::{Desired, InstanceState, Request};
use toolbox_domain::sealing::SealingKeys;

use crate::agent::InstanceAgent;
use crate::begin::{self, Accepted, Intent, lease_seconds};
use crate::find::Target;
use crate::settle::Outcome;
use crate::{Instances, UserRequest};

/// A command on an instance that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Run it.
    Start,
    /// Stop it.
    Stop,
    /// Stop it, then run it.
    Restart,
    /// Remove it.
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

    const fn transition(self) -> Request {
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

/// An operation that the database has accepted.
pub(crate) struct Operation {
    pub(crate) instances: Instances,
    pub(crate) request_id: Arc<str>,
    /// The caller's access token.
    pub(crate) token: Arc<str>,
    pub(crate) toolbox: ToolboxId,
    pub(crate) agent: Arc<dyn InstanceAgent>,
    /// Open the row's spec.
    pub(crate) sealing: SealingKeys,
    pub(crate) action: Action,
    pub(crate) view: OperationView,
    /// The row after its first write, spec included, its secrets sealed.
    pub(crate) row: Box<InstanceRow>,
    /// The state before; none for a new instance.
    pub(crate) previous: Option<InstanceState>,
    /// When the follower gives up, as time since the epoch.
    pub(crate) follow_until: Duration,
}

/// Longest that work after an answer goes on: platforms end a worker after 150 seconds.
const LONGEST_FOLLOW: Duration = Duration::from_secs(140);
/// The follower gives up this long before the lease ends, so that no record meets the next operation.
const LEASE_MARGIN: Duration = Duration::from_secs(10);

impl Instances {
    /// Starts, stops, restarts or deletes.
    pub async fn change(
        &self,
        request: &UserRequest,
        toolbox_id: ToolboxId,
        target: &Target,
        change: Change,
    ) -> Result<Outcome, ApiError> {
        let intent = Intent {
            instances: self,
            request,
            toolbox: toolbox_id,
            action: change.action(),
            transition: change.transition(),
            desired: change.desired(),
            sealing: self.agents.sealing_keys(toolbox_id)?,
        };
        let (toolbox, row) = match self.find_instance(request, toolbox_id, target).await {
            Ok(found) => found,
            Err(error) => return begin::replay_of_deleted(&intent, target, error).await,
        };
        let agent = self.agents.connect(&toolbox, &request.id)?;
        if change != Change::Delete {
            begin::check_toolbox(&toolbox)?;
        }
        let accepted = begin::existing(&intent, row, None).await?;
        intent.carry_out(accepted, agent).await
    }
}

impl Intent<'_> {
    /// Carries out what the database has accepted.
    pub(crate) async fn carry_out(
        self,
        accepted: Accepted,
        agent: Arc<dyn InstanceAgent>,
    ) -> Result<Outcome, ApiError> {
        let started = match accepted {
            Accepted::Replayed(outcome) => return Ok(*outcome),
            Accepted::Started(started) => started,
        };
        let lease = Duration::from_secs(lease_seconds(self.action).into());
        let operation = Operation {
            instances: self.instances.clone(),
            request_id: Arc::clone(&self.request.id),
            token: Arc::clone(&self.request.token),
            toolbox: self.toolbox,
            agent,
            sealing: self.sealing,
            action: self.action,
            view: started.operation.into(),
            row: started.row,
            previous: started.previous,
            follow_until: self.instances.clock.now()
                + LONGEST_FOLLOW.min(lease.saturating_sub(LEASE_MARGIN)),
        };
        operation.carry_out(self.request.wait).await
    }
}
