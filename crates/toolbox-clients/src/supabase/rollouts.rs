//! Rollouts: the agents of many toolboxes replaced in waves.

use serde::{Deserialize, Serialize};
use toolbox_api::rollout::{Rollout, RolloutReason, RolloutState, RolloutToolbox};
use toolbox_domain::ids::{RolloutId, ToolboxId, UserId};
use toolbox_domain::machine_operation::AgentVersion;

use super::rows::EnvironmentRow;
use super::{DatabaseError, Supabase, argument, parse, unexpected};

/// Argument of `begin_rollout`.
#[derive(Clone, Debug, Serialize)]
pub struct BeginRollout<'a> {
    /// Who asks.
    pub user_id: UserId,
    /// The version that the agents are replaced by.
    pub version: &'a AgentVersion,
    /// So many toolboxes at a time.
    pub wave_size: u32,
    /// As an operator, of all users' toolboxes.
    pub is_fleet: bool,
    /// Which, in order; none: all that have a machine, and of the fleet those that report and have another version.
    pub toolbox_ids: Option<&'a [ToolboxId]>,
    /// The request.
    pub request_id: &'a str,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RolloutBegun {
    /// It begins with the next tick.
    Begun(Box<Rollout>),
    /// A toolbox does not exist for this user, or there is none.
    NotFound,
    /// There are more toolboxes than this at once.
    TooMany(u32),
    /// One of this user runs already.
    InProgress,
}

#[derive(Deserialize)]
struct BegunWire {
    outcome: String,
    rollout: Option<Box<Rollout>>,
    most: Option<u32>,
}

/// A rollout that this caller may go on with for a minute.
#[derive(Clone, Debug, Deserialize)]
pub struct ClaimedRollout {
    /// The rollout.
    #[serde(flatten)]
    pub rollout: Rollout,
    /// Who asked for it.
    pub user_id: UserId,
    /// An operator did, for toolboxes of all users.
    pub is_fleet: bool,
    /// The request that began it.
    pub request_id: Option<String>,
    /// Shows that it is this caller's still.
    pub step: u32,
    /// The toolboxes that are under way, and those that may be next. One that lacks is gone.
    pub rows: Vec<EnvironmentRow>,
}

#[derive(Deserialize)]
struct ClaimedWire {
    rollouts: Vec<ClaimedRollout>,
}

#[derive(Serialize)]
struct StopRollout<'a> {
    rollout_id: RolloutId,
    user_id: UserId,
    is_fleet: bool,
    request_id: &'a str,
}

#[derive(Serialize)]
struct RecordRollout<'a> {
    rollout_id: RolloutId,
    step: u32,
    toolboxes: &'a [RolloutToolbox],
    state: RolloutState,
    reason: Option<&'a RolloutReason>,
}

#[derive(Deserialize)]
struct RecordedWire {
    outcome: String,
}

const ROLLOUT: &str = "id,version,wave_size,state,reason,toolboxes,created_at,ended_at";

impl Supabase {
    /// Begins a rollout. Repeated only when the first call certainly did not arrive: a second one would meet the first.
    pub async fn begin_rollout(&self, p: &BeginRollout<'_>) -> Result<RolloutBegun, DatabaseError> {
        let answer = self.call_once("begin_rollout", &argument(p)).await?;
        let told: BegunWire = parse(&answer)?;
        match (told.outcome.as_str(), told.rollout, told.most) {
            ("begun", Some(rollout), _) => Ok(RolloutBegun::Begun(rollout)),
            ("not_found", ..) => Ok(RolloutBegun::NotFound),
            ("too_many", _, Some(most)) => Ok(RolloutBegun::TooMany(most)),
            ("in_progress", ..) => Ok(RolloutBegun::InProgress),
            _ => Err(unexpected(&answer)),
        }
    }

    /// The rollout as the holder of `token` sees it; none when it does not exist for them.
    pub async fn rollout(
        &self,
        token: &str,
        id: RolloutId,
    ) -> Result<Option<Box<Rollout>>, DatabaseError> {
        let query = format!("rollouts?id=eq.{id}&limit=1&select={ROLLOUT}");
        let rows: Vec<Box<Rollout>> = self.read(token, &query).await?;
        Ok(rows.into_iter().next())
    }

    /// Lets a rollout of this user, or one of the fleet, ask no further toolbox; none when it does not exist for them.
    pub async fn stop_rollout(
        &self,
        rollout_id: RolloutId,
        user_id: UserId,
        is_fleet: bool,
        request_id: &str,
    ) -> Result<Option<Box<Rollout>>, DatabaseError> {
        let body = argument(&StopRollout {
            rollout_id,
            user_id,
            is_fleet,
            request_id,
        });
        let answer = self.call("stop_rollout", &body).await?;
        let told: BegunWire = parse(&answer)?;
        match (told.outcome.as_str(), told.rollout) {
            ("stopped", Some(rollout)) => Ok(Some(rollout)),
            ("not_found", _) => Ok(None),
            _ => Err(unexpected(&answer)),
        }
    }

    /// Takes rollouts with something to do. Never repeated: the next tick does that.
    pub async fn claim_rollouts(&self) -> Result<Vec<ClaimedRollout>, DatabaseError> {
        let answer = self.call_function("claim_rollouts", br#"{"p":{}}"#).await?;
        Ok(parse::<ClaimedWire>(&answer)?.rollouts)
    }

    /// Writes how a claimed rollout is; false where another tick took it since.
    pub async fn record_rollout(
        &self,
        rollout: &Rollout,
        step: u32,
    ) -> Result<bool, DatabaseError> {
        let body = argument(&RecordRollout {
            rollout_id: rollout.id,
            step,
            toolboxes: &rollout.toolboxes,
            state: rollout.state,
            reason: rollout.reason.as_ref(),
        });
        let answer = self.call("record_rollout", &body).await?;
        match parse::<RecordedWire>(&answer)?.outcome.as_str() {
            "recorded" => Ok(true),
            "superseded" => Ok(false),
            _ => Err(unexpected(&answer)),
        }
    }
}
