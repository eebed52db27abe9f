//! Everything `toolbox-dtma-console` answers.

use toolbox_api::console::{
    ConsoleAction, ConsoleRedeployRequest, ConsoleRequest, ConsoleRolloutRequest,
};
use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_domain::ids::{RolloutId, ToolboxId};
use toolbox_domain::machine_operation::AgentVersion;
use toolbox_edge::{Answer, Function, Reply, RequestContext, Route};

use crate::change::{self, Change};
use crate::logs::{self, LogOptions};
use crate::{diagnose, rollouts, status};

/// The function and its table of routes.
pub static FUNCTION: Function = Function {
    name: "toolbox-dtma-console",
    users: Some(toolbox_edge::identity::user),
    routes: &[
        Route {
            method: "POST",
            path: "/",
            handler: at_root,
        },
        Route {
            method: "PUT",
            path: "/",
            handler: at_root,
        },
        Route {
            method: "PATCH",
            path: "/",
            handler: at_root,
        },
        Route {
            method: "DELETE",
            path: "/",
            handler: at_root,
        },
        Route {
            method: "GET",
            path: "/{toolboxId}/status",
            handler: |cx| Box::pin(async move { status::status(&cx, path_id(&cx)?).await }),
        },
        Route {
            method: "GET",
            path: "/{toolboxId}/diagnose",
            handler: |cx| Box::pin(async move { diagnose::diagnose(&cx, path_id(&cx)?).await }),
        },
        Route {
            method: "GET",
            path: "/{toolboxId}/logs",
            handler: |cx| {
                Box::pin(async move {
                    let options = LogOptions::from_query(&cx)?;
                    logs::logs(&cx, path_id(&cx)?, options).await
                })
            },
        },
        Route {
            method: "GET",
            path: "/{toolboxId}/operation",
            handler: |cx| Box::pin(async move { change::operation(&cx, path_id(&cx)?).await }),
        },
        Route {
            method: "POST",
            path: "/{toolboxId}/restart",
            handler: |cx| {
                Box::pin(async move { change::change(&cx, path_id(&cx)?, Change::Restart).await })
            },
        },
        Route {
            method: "POST",
            path: "/{toolboxId}/redeploy",
            handler: at_redeploy,
        },
        Route {
            method: "POST",
            path: "/{toolboxId}/rollback",
            handler: |cx| {
                Box::pin(async move { change::change(&cx, path_id(&cx)?, Change::Rollback).await })
            },
        },
        Route {
            method: "POST",
            path: "/rollouts",
            handler: |cx| {
                Box::pin(async move {
                    let body = match cx.body().await?.trim_ascii() {
                        [] => ConsoleRolloutRequest::default(),
                        _ => cx.json().await?,
                    };
                    let version = version(&cx, body.version.as_deref()).await?;
                    rollouts::begin(&cx, &version, &body).await
                })
            },
        },
        Route {
            method: "GET",
            path: "/rollouts/{rolloutId}",
            handler: |cx| Box::pin(async move { rollouts::read(&cx, rollout_id(&cx)?).await }),
        },
        Route {
            method: "POST",
            path: "/rollouts/{rolloutId}/stop",
            handler: |cx| Box::pin(async move { rollouts::stop(&cx, rollout_id(&cx)?).await }),
        },
    ],
};

fn at_redeploy(cx: RequestContext) -> Answer {
    Box::pin(async move {
        let body = match cx.body().await?.trim_ascii() {
            [] => ConsoleRedeployRequest::default(),
            _ => cx.json().await?,
        };
        let version = version(&cx, body.version.as_deref()).await?;
        change::change(&cx, path_id(&cx)?, Change::Redeploy(version)).await
    })
}

/// One body with an `action`. Reads may come with any method; `POST` alone changes something.
fn at_root(cx: RequestContext) -> Answer {
    Box::pin(async move {
        let body: ConsoleRequest = cx.json().await?;
        let toolbox = toolbox_id(body.toolbox_id.as_deref().unwrap_or_default())?;
        let named = body.action.as_deref().and_then(ConsoleAction::parse);
        let action = named.ok_or_else(unknown_action)?;
        if action.changes() && cx.method != "POST" {
            let message = format!("Use POST to {}", action.as_str());
            let mut error = ApiError::with_message(ErrorCode::MethodNotAllowed, message);
            error.header = Some(("allow", "POST, OPTIONS".to_owned()));
            return Err(error);
        }
        dispatch(&cx, toolbox, action, &body).await
    })
}

async fn dispatch(
    cx: &RequestContext,
    toolbox: ToolboxId,
    action: ConsoleAction,
    body: &ConsoleRequest,
) -> Result<Reply, ApiError> {
    match action {
        ConsoleAction::Status => status::status(cx, toolbox).await,
        ConsoleAction::Diagnose => diagnose::diagnose(cx, toolbox).await,
        ConsoleAction::Logs => logs::logs(cx, toolbox, LogOptions::from_body(body)?).await,
        ConsoleAction::Operation => change::operation(cx, toolbox).await,
        ConsoleAction::Restart => change::change(cx, toolbox, Change::Restart).await,
        ConsoleAction::Rollback => change::change(cx, toolbox, Change::Rollback).await,
        ConsoleAction::Redeploy => {
            let version = version(cx, body.version.as_deref()).await?;
            change::change(cx, toolbox, Change::Redeploy(version)).await
        }
    }
}

/// The version to redeploy to: the one that is given, else the one that the operator wants.
async fn version(cx: &RequestContext, given: Option<&str>) -> Result<AgentVersion, ApiError> {
    if let Some(text) = given {
        return text.parse().map_err(|_| {
            ApiError::with_message(
                ErrorCode::InvalidRequest,
                "Give a version of at most 64 of 0-9 A-Z a-z . + -, the first a digit",
            )
        });
    }
    cx.caller()?;
    let wanted = cx.state.supabase.agent_version().await?;
    wanted.ok_or_else(|| {
        ApiError::with_message(
            ErrorCode::InvalidRequest,
            "Give the version: the operator wants none (private.settings.agent_version)",
        )
    })
}

fn unknown_action() -> ApiError {
    let names: Vec<_> = ConsoleAction::ALL.iter().map(|a| a.as_str()).collect();
    let message = format!("Give one of the actions {}", names.join(", "));
    ApiError::with_message(ErrorCode::InvalidAction, message)
}

fn path_id(cx: &RequestContext) -> Result<ToolboxId, ApiError> {
    toolbox_id(cx.param(0))
}

fn rollout_id(cx: &RequestContext) -> Result<RolloutId, ApiError> {
    cx.param(0).parse().map_err(|_| {
        ApiError::with_message(
            ErrorCode::InvalidRequest,
            "Give the id of the rollout, a UUID",
        )
    })
}

pub(crate) fn toolbox_id(text: &str) -> Result<ToolboxId, ApiError> {
    text.parse().map_err(|_| {
        ApiError::with_message(
            ErrorCode::InvalidRequest,
            "Give the id of the toolbox, a UUID",
        )
    })
}
