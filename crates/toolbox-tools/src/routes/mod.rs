//! Everything `toolbox-tools` answers, in both calling styles: REST paths, and one body with an
//! `action` as `functions.invoke` sends it.

mod change;
mod deploy;
mod get;
mod invoke;
mod list;
mod logs;
mod mcp;
mod mcp_access;
mod mcp_pin;
mod versions;

#[cfg(test)]
mod change_tests;
#[cfg(test)]
mod deploy_tests;
#[cfg(test)]
mod get_tests;
#[cfg(test)]
mod invoke_tests;
#[cfg(test)]
mod list_tests;
#[cfg(test)]
mod logs_tests;
#[cfg(test)]
mod mcp_access_tests;
#[cfg(test)]
mod mcp_pin_tests;
#[cfg(test)]
mod mcp_tests;
#[cfg(test)]
mod versions_tests;

use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_domain::ids::ToolboxId;
use toolbox_edge::{Function, RequestContext, Route};
use toolbox_instances::find::Target;

/// The function and its table of routes.
pub static FUNCTION: Function = Function {
    name: "toolbox-tools",
    users: Some(toolbox_edge::identity::user),
    routes: &[
        Route {
            method: "POST",
            path: "/",
            handler: invoke::at_root,
        },
        Route {
            method: "GET",
            path: "/{toolboxId}/tools",
            handler: list::handle,
        },
        Route {
            method: "POST",
            path: "/{toolboxId}/tools",
            handler: invoke::at_toolbox,
        },
        Route {
            method: "GET",
            path: "/{toolboxId}/tools/{instance}",
            handler: get::handle,
        },
        Route {
            method: "PATCH",
            path: "/{toolboxId}/tools/{instance}",
            handler: change::update,
        },
        Route {
            method: "DELETE",
            path: "/{toolboxId}/tools/{instance}",
            handler: change::delete,
        },
        Route {
            method: "POST",
            path: "/{toolboxId}/tools/{instance}/start",
            handler: change::start,
        },
        Route {
            method: "POST",
            path: "/{toolboxId}/tools/{instance}/stop",
            handler: change::stop,
        },
        Route {
            method: "POST",
            path: "/{toolboxId}/tools/{instance}/restart",
            handler: change::restart,
        },
        Route {
            method: "GET",
            path: "/{toolboxId}/tools/{instance}/logs",
            handler: logs::handle,
        },
        Route {
            method: "GET",
            path: "/{toolboxId}/tools/{instance}/versions",
            handler: versions::list,
        },
        Route {
            method: "POST",
            path: "/{toolboxId}/tools/{instance}/versions/{generation}/rollback",
            handler: versions::roll_back,
        },
        Route {
            method: "GET",
            path: "/{toolboxId}/tools/{instance}/mcp",
            handler: mcp::handle,
        },
        Route {
            method: "GET",
            path: "/{toolboxId}/tools/{instance}/mcp/usage",
            handler: mcp::usage,
        },
        Route {
            method: "GET",
            path: "/{toolboxId}/mcp",
            handler: mcp::of_toolbox,
        },
        Route {
            method: "GET",
            path: "/{toolboxId}/tools/{instance}/mcp/pin",
            handler: mcp_pin::show,
        },
        Route {
            method: "PUT",
            path: "/{toolboxId}/tools/{instance}/mcp/pin",
            handler: mcp_pin::put,
        },
        Route {
            method: "DELETE",
            path: "/{toolboxId}/tools/{instance}/mcp/pin",
            handler: mcp_pin::delete,
        },
        Route {
            method: "GET",
            path: "/{toolboxId}/mcp-access",
            handler: mcp_access::list,
        },
        Route {
            method: "POST",
            path: "/{toolboxId}/mcp-access",
            handler: mcp_access::give,
        },
        Route {
            method: "DELETE",
            path: "/{toolboxId}/mcp-access/{accessId}",
            handler: mcp_access::revoke,
        },
        Route {
            method: "GET",
            path: "/mcp-servers",
            handler: mcp_access::servers,
        },
        Route {
            method: "GET",
            path: "/mcp-clients",
            handler: mcp_access::clients,
        },
        Route {
            method: "DELETE",
            path: "/mcp-clients/{clientId}",
            handler: mcp_access::revoke_client,
        },
    ],
};

/// The instance that `/{toolboxId}/tools/{instance}` names.
fn instance(cx: &RequestContext) -> Result<(ToolboxId, Target), ApiError> {
    Ok((toolbox_id(cx.param(0))?, Target::parse(cx.param(1))?))
}

/// Reads the toolbox id of a path or body.
fn toolbox_id(text: &str) -> Result<ToolboxId, ApiError> {
    text.parse().map_err(|_| {
        ApiError::with_message(
            ErrorCode::InvalidRequest,
            "Give the id of the toolbox, a UUID",
        )
    })
}
