//! One body with an `action`, as `supabase.functions.invoke` sends it; without one it is a deploy.

use toolbox_api::edge::InvokeRequest;
use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_domain::ids::ToolboxId;
use toolbox_edge::{Answer, Reply, RequestContext};
use toolbox_instances::change::Change;
use toolbox_instances::find::Target;

use super::logs::{self, LogOptions};
use super::{change, deploy, get, list, mcp, toolbox_id};
use crate::host::{change_request, instances};

/// `POST /`: the toolbox is named in the body.
pub(super) fn at_root(cx: RequestContext) -> Answer {
    Box::pin(async move {
        let body: InvokeRequest = cx.json().await?;
        let toolbox = toolbox_id(body.toolbox_id.as_deref().unwrap_or_default())?;
        if body.action.is_none() && body.tool_catalog_id.is_none() {
            return Err(unknown_action());
        }
        dispatch(&cx, toolbox, body).await
    })
}

/// `POST /{toolboxId}/tools`: a toolbox named in the body too must be the same.
pub(super) fn at_toolbox(cx: RequestContext) -> Answer {
    Box::pin(async move {
        let toolbox = toolbox_id(cx.param(0))?;
        let body: InvokeRequest = cx.json().await?;
        if let Some(named) = body.toolbox_id.as_deref()
            && toolbox_id(named)? != toolbox
        {
            return Err(ApiError::with_message(
                ErrorCode::InvalidRequest,
                "Give the same toolboxId in the path and in the body",
            ));
        }
        dispatch(&cx, toolbox, body).await
    })
}

fn unknown_action() -> ApiError {
    ApiError::with_message(
        ErrorCode::InvalidAction,
        "Give one of the actions list, get, deploy, start, stop, restart, delete, logs, update, mcp",
    )
}

async fn dispatch(
    cx: &RequestContext,
    toolbox: ToolboxId,
    body: InvokeRequest,
) -> Result<Reply, ApiError> {
    let command = match body.action.as_deref() {
        None | Some("deploy") => return deploy::deploy(cx, toolbox, body).await,
        Some("list") => return list::list(cx, toolbox).await,
        Some("get") => return get::get(cx, toolbox, &target(&body)?).await,
        Some("mcp") => return mcp::access(cx, toolbox, &target(&body)?).await,
        Some("logs") => {
            let target = target(&body)?;
            return logs::logs(cx, toolbox, &target, LogOptions::from_body(cx, &body)?).await;
        }
        Some("update") => {
            let target = target(&body)?;
            let wanted = body.base_config_override_json.ok_or_else(|| {
                ApiError::with_message(ErrorCode::InvalidRequest, "Give baseConfigOverrideJson")
            })?;
            let request = change_request(cx).await?;
            let outcome = instances(cx)?
                .update(&request, toolbox, &target, &wanted)
                .await?;
            return change::answer(cx, &request, toolbox, outcome);
        }
        Some("start") => Change::Start,
        Some("stop") => Change::Stop,
        Some("restart") => Change::Restart,
        Some("delete") => Change::Delete,
        Some(_) => return Err(unknown_action()),
    };
    let target = target(&body)?;
    let request = change_request(cx).await?;
    let outcome = instances(cx)?
        .change(&request, toolbox, &target, command)
        .await?;
    change::answer(cx, &request, toolbox, outcome)
}

fn target(body: &InvokeRequest) -> Result<Target, ApiError> {
    match body.instance_id.as_deref() {
        None | Some("") => Err(ApiError::with_message(
            ErrorCode::InvalidRequest,
            "Give the instanceId",
        )),
        Some(text) => Target::parse(text),
    }
}
