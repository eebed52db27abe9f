//! Everything `toolboxes-user` answers.

use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_clients::supabase::toolboxes::{QuotaOf, ToolboxRow};
use toolbox_domain::ids::ToolboxId;
use toolbox_edge::{Function, Reply, RequestContext, Route, reply};
use toolbox_provisioning::Wish;
use toolbox_provisioning::view::view;

use crate::{bought, order, own, refresh};

/// The function and its table of routes.
pub static FUNCTION: Function = Function {
    name: "toolboxes-user",
    users: Some(toolbox_edge::identity::user),
    routes: &[
        Route {
            method: "GET",
            path: "/",
            handler: |cx| Box::pin(async move { list(&cx).await }),
        },
        Route {
            method: "POST",
            path: "/",
            handler: |cx| Box::pin(async move { order::create(&cx).await }),
        },
        Route {
            method: "GET",
            path: "/options",
            handler: |cx| Box::pin(async move { bought::options(&cx).await }),
        },
        Route {
            method: "GET",
            path: "/quota",
            handler: |cx| Box::pin(async move { quota(&cx).await }),
        },
        Route {
            method: "GET",
            path: "/{toolboxId}",
            handler: |cx| Box::pin(async move { shown(&cx, 200, &*find(&cx).await?) }),
        },
        Route {
            method: "PATCH",
            path: "/{toolboxId}",
            handler: |cx| Box::pin(async move { order::update(&cx).await }),
        },
        Route {
            method: "DELETE",
            path: "/{toolboxId}",
            handler: |cx| Box::pin(async move { order::remove(&cx).await }),
        },
        Route {
            method: "POST",
            path: "/{toolboxId}/enrolment",
            handler: |cx| Box::pin(async move { own::enrol(&cx).await }),
        },
        Route {
            method: "POST",
            path: "/{toolboxId}/resize",
            handler: |cx| Box::pin(async move { bought::resize(&cx).await }),
        },
        Route {
            method: "POST",
            path: "/{toolboxId}/reboot",
            handler: |cx| Box::pin(async move { bought::wish(&cx, Wish::Reboot).await }),
        },
        Route {
            method: "POST",
            path: "/{toolboxId}/retry",
            handler: |cx| Box::pin(async move { bought::wish(&cx, Wish::Retry).await }),
        },
        Route {
            method: "POST",
            path: "/{toolboxId}/refresh-status",
            handler: |cx| Box::pin(async move { refresh::refresh(&cx).await }),
        },
    ],
};

async fn list(cx: &RequestContext) -> Result<Reply, ApiError> {
    let rows = cx.state.supabase.own_toolboxes(&cx.caller()?.token).await?;
    let now = cx.state.clock.now();
    let views: Vec<_> = rows.iter().map(|row| view(now, row)).collect();
    reply::json(200, &views)
}

async fn quota(cx: &RequestContext) -> Result<Reply, ApiError> {
    let quotas = cx.state.config.quotas.as_ref()?;
    let asked = QuotaOf {
        user_id: cx.caller()?.user,
        max_toolboxes: quotas.max_toolboxes,
        max_monthly_usd: quotas.max_user_price,
        max_tools: quotas.max_instances,
    };
    reply::json(200, &cx.state.supabase.quota(&asked).await?)
}

/// The toolbox as its owner sees it.
pub(crate) fn shown(cx: &RequestContext, status: u16, row: &ToolboxRow) -> Result<Reply, ApiError> {
    reply::json(status, &view(cx.state.clock.now(), row))
}

/// The toolbox that the path names, if it is the caller's.
pub(crate) async fn find(cx: &RequestContext) -> Result<Box<ToolboxRow>, ApiError> {
    let id = cx.param(0).parse().map_err(|_| {
        ApiError::with_message(
            ErrorCode::InvalidRequest,
            "Give the id of the toolbox, a UUID",
        )
    })?;
    read(cx, id).await
}

/// The toolbox as the caller sees it.
pub(crate) async fn read(cx: &RequestContext, id: ToolboxId) -> Result<Box<ToolboxRow>, ApiError> {
    let row = cx
        .state
        .supabase
        .own_toolbox(&cx.caller()?.token, id)
        .await?;
    row.ok_or_else(|| ApiError::new(ErrorCode::ToolboxNotFound))
}
