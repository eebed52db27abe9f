//! Everything `toolbox-tools` answers, in both calling styles: REST paths, and one body with an
//! `action` as `functions.invoke` sends it.

mod get;
mod invoke;
mod list;
mod logs;

#[cfg(test)]
mod get_tests;
#[cfg(test)]
mod invoke_tests;
#[cfg(test)]
mod list_tests;
#[cfg(test)]
mod logs_tests;

use toolbox_api::edge::UpdateToolRequest;
use toolbox_domain::ids::ToolboxId;
use toolbox_edge::{ApiError, Cx, Function, Route};

use crate::mutation::{self, Change};
use crate::toolbox::{Target, toolbox_id};
use logs::LogOptions;

/// The function and its table of routes.
pub static FUNCTION: Function = Function {
    name: "toolbox-tools",
    users: Some(toolbox_edge::identity::user),
    routes: &[
        Route {
            method: "POST",
            path: "/",
            handler: |cx| Box::pin(async move { invoke::at_root(&cx).await }),
        },
        Route {
            method: "GET",
            path: "/{toolboxId}/tools",
            handler: |cx| Box::pin(async move { list::list(&cx, toolbox_id(cx.param(0))?).await }),
        },
        Route {
            method: "POST",
            path: "/{toolboxId}/tools",
            handler: |cx| {
                Box::pin(async move { invoke::at_toolbox(&cx, toolbox_id(cx.param(0))?).await })
            },
        },
        Route {
            method: "GET",
            path: "/{toolboxId}/tools/{instance}",
            handler: |cx| {
                Box::pin(async move {
                    let (toolbox, target) = instance(&cx)?;
                    get::get(&cx, toolbox, &target).await
                })
            },
        },
        Route {
            method: "PATCH",
            path: "/{toolboxId}/tools/{instance}",
            handler: |cx| {
                Box::pin(async move {
                    let (toolbox, target) = instance(&cx)?;
                    let body: UpdateToolRequest = cx.json()?;
                    let wanted = &body.base_config_override_json;
                    mutation::update(&cx, toolbox, &target, wanted).await
                })
            },
        },
        Route {
            method: "DELETE",
            path: "/{toolboxId}/tools/{instance}",
            handler: |cx| change(cx, Change::Delete),
        },
        Route {
            method: "POST",
            path: "/{toolboxId}/tools/{instance}/start",
            handler: |cx| change(cx, Change::Start),
        },
        Route {
            method: "POST",
            path: "/{toolboxId}/tools/{instance}/stop",
            handler: |cx| change(cx, Change::Stop),
        },
        Route {
            method: "POST",
            path: "/{toolboxId}/tools/{instance}/restart",
            handler: |cx| change(cx, Change::Restart),
        },
        Route {
            method: "GET",
            path: "/{toolboxId}/tools/{instance}/logs",
            handler: |cx| {
                Box::pin(async move {
                    let (toolbox, target) = instance(&cx)?;
                    let options = LogOptions::from_query(&cx)?;
                    logs::logs(&cx, toolbox, &target, options).await
                })
            },
        },
    ],
};

fn instance(cx: &Cx) -> Result<(ToolboxId, Target), ApiError> {
    Ok((toolbox_id(cx.param(0))?, Target::parse(cx.param(1))?))
}

fn change(
    cx: Cx,
    change: Change,
) -> toolbox_http::LocalFuture<'static, Result<toolbox_edge::Reply, ApiError>> {
    Box::pin(async move {
        let (toolbox, target) = instance(&cx)?;
        mutation::change(&cx, toolbox, &target, change).await
    })
}
