//! Everything `operators` answers.

use toolbox_api::console::{ConsoleRollout, ConsoleRolloutRequest};
use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_api::operators::{
    AgentVersionRequest, CatalogEntryRequest, FleetShow, MAX_COUNT, MAX_MONTHLY_USD, OwnQuota,
    UserQuotas,
};
use toolbox_api::problem::FieldError;
use toolbox_api::rollout::{MAX_WAVE, Rollout};
use toolbox_clients::supabase::operators::{ByOperator, EntryDeleted, EntryPut, FoundUsers};
use toolbox_clients::supabase::rollouts::{BeginRollout, RolloutBegun};
use toolbox_domain::ids::{CatalogToolId, RolloutId, ToolboxId, UserId};
use toolbox_domain::machine_operation::AgentVersion;
use toolbox_edge::reply::Body;
use toolbox_edge::{Function, Reply, RequestContext, Route, reply};

use crate::catalog;

/// The function and its table of routes.
pub static FUNCTION: Function = Function {
    name: "operators",
    users: Some(toolbox_edge::identity::operator),
    routes: &[
        Route {
            method: "GET",
            path: "/fleet",
            handler: |cx| Box::pin(async move { fleet(&cx).await }),
        },
        Route {
            method: "PUT",
            path: "/agent-version",
            handler: |cx| Box::pin(async move { set_agent_version(&cx).await }),
        },
        Route {
            method: "POST",
            path: "/rollouts",
            handler: |cx| Box::pin(async move { begin_rollout(&cx).await }),
        },
        Route {
            method: "GET",
            path: "/rollouts/{rolloutId}",
            handler: |cx| Box::pin(async move { rollout(&cx).await }),
        },
        Route {
            method: "POST",
            path: "/rollouts/{rolloutId}/stop",
            handler: |cx| Box::pin(async move { stop_rollout(&cx).await }),
        },
        Route {
            method: "GET",
            path: "/catalog",
            handler: |cx| {
                Box::pin(async move { reply::json(200, &cx.state.supabase.whole_catalog().await?) })
            },
        },
        Route {
            method: "PUT",
            path: "/catalog/{catalogId}",
            handler: |cx| Box::pin(async move { put_entry(&cx).await }),
        },
        Route {
            method: "DELETE",
            path: "/catalog/{catalogId}",
            handler: |cx| Box::pin(async move { delete_entry(&cx).await }),
        },
        Route {
            method: "GET",
            path: "/quotas",
            handler: |cx| Box::pin(async move { quotas(&cx).await }),
        },
        Route {
            method: "PUT",
            path: "/quotas/{userId}",
            handler: |cx| Box::pin(async move { set_quota(&cx).await }),
        },
    ],
};

async fn fleet(cx: &RequestContext) -> Result<Reply, ApiError> {
    let show = match cx.query_value("show")?.as_deref() {
        None | Some("all") => FleetShow::All,
        Some("old") => FleetShow::Old,
        Some("silent") => FleetShow::Silent,
        Some("failing") => FleetShow::Failing,
        Some(_) => return Err(invalid("Give show=all, old, silent or failing")),
    };
    let (search, offset) = (search(cx)?, offset(cx)?);
    reply::json(200, &cx.state.supabase.fleet(show, &search, offset).await?)
}

async fn set_agent_version(cx: &RequestContext) -> Result<Reply, ApiError> {
    let body: AgentVersionRequest = cx.json().await?;
    let version = body.version.as_deref().map(version).transpose()?;
    let supabase = &cx.state.supabase;
    supabase
        .set_agent_version(by(cx)?, version.as_ref())
        .await?;
    Ok(Reply::new(204, Body::Empty))
}

async fn begin_rollout(cx: &RequestContext) -> Result<Reply, ApiError> {
    let body: ConsoleRolloutRequest = cx.json().await?;
    let wave_size = body.wave_size.unwrap_or(1);
    if !(1..=MAX_WAVE).contains(&wave_size) {
        return Err(invalid(&format!("Give a waveSize from 1 to {MAX_WAVE}")));
    }
    let ids = body.toolbox_ids.as_ref();
    let ids: Option<Vec<ToolboxId>> = ids
        .map(|ids| ids.iter().map(|text| id(text, "toolbox")).collect())
        .transpose()?;
    if ids.as_ref().is_some_and(Vec::is_empty) {
        return Err(invalid(
            "Name a toolbox in toolboxIds, or leave it out for all that report and have another version",
        ));
    }
    let supabase = &cx.state.supabase;
    let wanted = match &body.version {
        Some(text) => version(text)?,
        None => supabase.agent_version().await?.ok_or_else(|| {
            invalid("Give the version, or set first which one agents should have")
        })?,
    };
    let by = by(cx)?;
    let asked = BeginRollout {
        user_id: by.operator_id,
        version: &wanted,
        wave_size,
        is_fleet: true,
        toolbox_ids: ids.as_deref(),
        request_id: by.request_id,
    };
    match supabase.begin_rollout(&asked).await? {
        RolloutBegun::Begun(rollout) => answer(cx, 202, rollout),
        RolloutBegun::NotFound => Err(ApiError::with_message(
            ErrorCode::ToolboxNotFound,
            "There is no such toolbox; or without toolboxIds, none that reports and has another version",
        )),
        RolloutBegun::InProgress => Err(ApiError::new(ErrorCode::RolloutInProgress)),
        RolloutBegun::TooMany(most) => Err(invalid(&format!(
            "Name at most {most} toolboxes in toolboxIds, and the others in a later rollout"
        ))),
    }
}

async fn rollout(cx: &RequestContext) -> Result<Reply, ApiError> {
    let found = cx.state.supabase.fleet_rollout(id(cx.param(0), "rollout")?);
    let found = found.await?;
    reply::json(
        200,
        &found.ok_or_else(|| ApiError::new(ErrorCode::RolloutNotFound))?,
    )
}

async fn stop_rollout(cx: &RequestContext) -> Result<Reply, ApiError> {
    let rollout: RolloutId = id(cx.param(0), "rollout")?;
    let by = by(cx)?;
    let supabase = &cx.state.supabase;
    let stopped = supabase
        .stop_rollout(rollout, by.operator_id, true, by.request_id)
        .await?;
    answer(
        cx,
        200,
        stopped.ok_or_else(|| ApiError::new(ErrorCode::RolloutNotFound))?,
    )
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

async fn put_entry(cx: &RequestContext) -> Result<Reply, ApiError> {
    let entry: CatalogToolId = id(cx.param(0), "entry")?;
    let body: CatalogEntryRequest = cx.json().await?;
    let errors = catalog::problems(&body);
    if !errors.is_empty() {
        return Err(ApiError::validation(errors));
    }
    let supabase = &cx.state.supabase;
    match supabase.put_catalog_entry(by(cx)?, entry, &body).await? {
        EntryPut::Made => Ok(Reply::new(201, Body::Empty)),
        EntryPut::Changed => Ok(Reply::new(204, Body::Empty)),
        EntryPut::NameTaken => Err(ApiError::with_message(
            ErrorCode::NameTaken,
            "Another entry of the catalog has this name",
        )),
        EntryPut::ChangedSince => Err(ApiError::with_message(
            ErrorCode::StateChanged,
            "Somebody changed this entry since you read it; read it again, then make your change",
        )),
    }
}

async fn delete_entry(cx: &RequestContext) -> Result<Reply, ApiError> {
    let entry: CatalogToolId = id(cx.param(0), "entry")?;
    let supabase = &cx.state.supabase;
    match supabase.delete_catalog_entry(by(cx)?, entry).await? {
        EntryDeleted::Deleted => Ok(Reply::new(204, Body::Empty)),
        EntryDeleted::NotFound => Err(ApiError::new(ErrorCode::CatalogToolNotFound)),
        EntryDeleted::InUse(tools) => Err(ApiError::with_message(
            ErrorCode::IllegalState,
            format!(
                "{tools} tools were deployed from this entry, so it cannot be removed; archive it, and nobody deploys another"
            ),
        )),
    }
}

async fn quotas(cx: &RequestContext) -> Result<Reply, ApiError> {
    let (search, offset) = (search(cx)?, offset(cx)?);
    let everybody = cx.state.config.quotas.as_ref()?.for_everybody();
    let FoundUsers { found, users } = cx.state.supabase.quotas(&search, offset).await?;
    let answer = UserQuotas {
        everybody,
        found,
        users,
    };
    reply::json(200, &answer)
}

async fn set_quota(cx: &RequestContext) -> Result<Reply, ApiError> {
    let user: UserId = id(cx.param(0), "user")?;
    let quota: OwnQuota = cx.json().await?;
    let mut errors = Vec::new();
    for (field, value, most) in [
        ("toolboxes", quota.toolboxes, MAX_COUNT),
        ("monthly_usd", quota.monthly_usd, MAX_MONTHLY_USD),
        ("tools", quota.tools, MAX_COUNT),
    ] {
        if value.is_some_and(|value| value > most) {
            errors.push(FieldError {
                field: field.to_owned(),
                code: "out_of_range".to_owned(),
                message: format!("expected at most {most}"),
            });
        }
    }
    if !errors.is_empty() {
        return Err(ApiError::validation(errors));
    }
    if cx.state.supabase.set_quota(by(cx)?, user, quota).await? {
        Ok(Reply::new(204, Body::Empty))
    } else {
        Err(invalid("No user of this project has this id"))
    }
}

/// Who changes something.
fn by(cx: &RequestContext) -> Result<ByOperator<'_>, ApiError> {
    Ok(ByOperator {
        operator_id: cx.caller()?.user,
        request_id: &cx.request_id,
    })
}

fn search(cx: &RequestContext) -> Result<String, ApiError> {
    let text = cx.query_value("search")?.unwrap_or_default();
    if text.len() > 255 {
        return Err(invalid("Give a search of at most 255 bytes"));
    }
    Ok(text)
}

fn offset(cx: &RequestContext) -> Result<u32, ApiError> {
    let text = cx.query_value("offset")?;
    let offset = text.map_or(Ok(0), |text| text.parse::<u32>());
    offset
        .ok()
        .filter(|offset| *offset <= 1_000_000)
        .ok_or_else(|| invalid("Give a whole number from 0 to 1000000 as the offset"))
}

fn version(text: &str) -> Result<AgentVersion, ApiError> {
    text.parse().map_err(|_| {
        invalid("Give a version of at most 64 of 0-9 A-Z a-z . + -, the first a digit")
    })
}

fn id<T: core::str::FromStr>(text: &str, of: &str) -> Result<T, ApiError> {
    text.parse()
        .map_err(|_| invalid(&format!("Give the id of the {of}, a UUID")))
}

fn invalid(message: &str) -> ApiError {
    ApiError::with_message(ErrorCode::InvalidRequest, message)
}
