//! Rollouts: begun, read and stopped here; the job `advance_rollouts` of `clock/tick` carries them out.

use toolbox_api::console::{ConsoleRollout, ConsoleRolloutRequest};
use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_api::rollout::{MAX_WAVE, Rollout};
use toolbox_clients::supabase::rollouts::{BeginRollout, RolloutBegun};
use toolbox_domain::ids::{RolloutId, ToolboxId};
use toolbox_domain::machine_operation::AgentVersion;
use toolbox_edge::{Reply, RequestContext, reply};

use crate::routes::toolbox_id;

pub(crate) async fn begin(
    cx: &RequestContext,
    version: &AgentVersion,
    body: &ConsoleRolloutRequest,
) -> Result<Reply, ApiError> {
    let caller = cx.caller()?;
    let invalid = |message: String| ApiError::with_message(ErrorCode::InvalidRequest, message);
    let wave_size = body.wave_size.unwrap_or(1);
    if !(1..=MAX_WAVE).contains(&wave_size) {
        return Err(invalid(format!("Give a waveSize from 1 to {MAX_WAVE}")));
    }
    let ids = body.toolbox_ids.as_ref();
    let ids: Option<Vec<ToolboxId>> = ids
        .map(|ids| ids.iter().map(|id| toolbox_id(id)).collect())
        .transpose()?;
    if ids.as_ref().is_some_and(Vec::is_empty) {
        let message = "Name a toolbox in toolboxIds, or leave it out for all";
        return Err(invalid(message.to_owned()));
    }
    let asked = BeginRollout {
        user_id: caller.user,
        version,
        wave_size,
        is_fleet: false,
        toolbox_ids: ids.as_deref(),
        request_id: &cx.request_id,
    };
    match cx.state.supabase.begin_rollout(&asked).await? {
        RolloutBegun::Begun(rollout) => answer(cx, 202, rollout),
        RolloutBegun::NotFound => Err(ApiError::new(ErrorCode::ToolboxNotFound)),
        RolloutBegun::InProgress => Err(ApiError::new(ErrorCode::RolloutInProgress)),
        RolloutBegun::TooMany(most) => Err(invalid(format!(
            "Name at most {most} toolboxes in toolboxIds, and the others in a later rollout"
        ))),
    }
}

pub(crate) async fn read(cx: &RequestContext, id: RolloutId) -> Result<Reply, ApiError> {
    let rollout = cx.state.supabase.rollout(&cx.caller()?.token, id).await?;
    answer(cx, 200, rollout.ok_or_else(not_found)?)
}

pub(crate) async fn stop(cx: &RequestContext, id: RolloutId) -> Result<Reply, ApiError> {
    let user = cx.caller()?.user;
    let supabase = &cx.state.supabase;
    let rollout = supabase
        .stop_rollout(id, user, false, &cx.request_id)
        .await?;
    answer(cx, 200, rollout.ok_or_else(not_found)?)
}

const fn not_found() -> ApiError {
    ApiError::new(ErrorCode::RolloutNotFound)
}

fn answer(cx: &RequestContext, status: u16, rollout: Box<Rollout>) -> Result<Reply, ApiError> {
    let answer = ConsoleRollout {
        success: true,
        rollout,
        timestamp: cx.state.timestamp(),
        request_id: cx.request_id.to_string(),
    };
    reply::json(status, &answer)
}
