//! The table of routes: who may call each, and which handler answers it.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::Method;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, delete, get, post, put};
use toolbox_api::dtma::MAX_BODY_BYTES;
use toolbox_api::problem::ProblemCode;
use toolbox_domain::ids::ToolInstanceId;

use super::error::ApiError;
use super::{AppState, auth, host, logs, machine, mcp, request_id, telemetry, tools};

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anybody.
    Public,
    /// Whoever presents the toolbox's key.
    Key,
    /// Whoever presents the toolbox's key, or the token of the instance in the path.
    Mcp,
}

/// A route, as data: tests compute their coverage from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub method: Method,
    /// The path, with `{id}` for an instance.
    pub path: &'static str,
    /// Who may call it.
    pub access: Access,
}

/// The route of an instance's MCP endpoint.
const MCP: &str = "/mcp/{id}";
/// What the tools of an instance's MCP server are, for its owner.
const MCP_TOOLS: &str = "/tools/{id}/mcp-tools";
/// The same as [`MCP`] for clients that come through the control plane, which says who they are and what they may do. Agents that would
/// not hold them to it do not have this route.
const MCP_FOR: &str = "/v1/mcp/{id}";
/// All servers of the toolbox as one, for the same clients.
const MCP_ALL: &str = "/v1/mcp";

fn route(
    method: Method,
    path: &'static str,
    access: Access,
    handler: MethodRouter<AppState>,
) -> (Route, MethodRouter<AppState>) {
    let route = Route {
        method,
        path,
        access,
    };
    (route, handler)
}

fn table() -> Vec<(Route, MethodRouter<AppState>)> {
    vec![
        route(Method::GET, "/health", Access::Public, get(host::health)),
        route(Method::GET, "/status", Access::Key, get(host::status)),
        route(
            Method::GET,
            "/metrics",
            Access::Key,
            get(telemetry::metrics),
        ),
        route(Method::GET, "/tools", Access::Key, get(tools::list)),
        route(Method::POST, "/tools", Access::Key, post(tools::create)),
        route(Method::GET, "/tools/{id}", Access::Key, get(tools::show)),
        route(Method::PUT, "/tools/{id}", Access::Key, put(tools::deploy)),
        route(
            Method::DELETE,
            "/tools/{id}",
            Access::Key,
            delete(tools::remove),
        ),
        route(
            Method::POST,
            "/tools/{id}/start",
            Access::Key,
            post(tools::start),
        ),
        route(
            Method::POST,
            "/tools/{id}/stop",
            Access::Key,
            post(tools::stop),
        ),
        route(
            Method::POST,
            "/tools/{id}/restart",
            Access::Key,
            post(tools::restart),
        ),
        route(
            Method::GET,
            "/tools/{id}/logs",
            Access::Key,
            get(logs::logs),
        ),
        route(
            Method::GET,
            "/v1/machine/status",
            Access::Key,
            get(machine::status),
        ),
        route(
            Method::POST,
            "/v1/machine/restart",
            Access::Key,
            post(machine::restart),
        ),
        route(
            Method::POST,
            "/v1/machine/redeploy",
            Access::Key,
            post(machine::redeploy),
        ),
        route(
            Method::POST,
            "/v1/machine/rollback",
            Access::Key,
            post(machine::rollback),
        ),
        route(
            Method::GET,
            "/v1/machine/operation",
            Access::Key,
            get(machine::operation),
        ),
        route(
            Method::GET,
            "/v1/machine/diagnose",
            Access::Key,
            get(machine::diagnose),
        ),
        route(
            Method::GET,
            "/v1/machine/logs",
            Access::Key,
            get(machine::logs),
        ),
        route(Method::GET, MCP_TOOLS, Access::Key, get(mcp::tools)),
        route(Method::GET, MCP, Access::Mcp, get(mcp::serve)),
        route(Method::POST, MCP, Access::Mcp, post(mcp::serve)),
        route(Method::DELETE, MCP, Access::Mcp, delete(mcp::serve)),
        route(Method::GET, MCP_FOR, Access::Key, get(mcp::serve_for)),
        route(Method::POST, MCP_FOR, Access::Key, post(mcp::serve_for)),
        route(Method::DELETE, MCP_FOR, Access::Key, delete(mcp::serve_for)),
        route(Method::GET, MCP_ALL, Access::Key, get(mcp::serve_all)),
        route(Method::POST, MCP_ALL, Access::Key, post(mcp::serve_all)),
        route(Method::DELETE, MCP_ALL, Access::Key, delete(mcp::serve_all)),
    ]
}

/// Every route, for tests and documents.
pub fn routes() -> Vec<Route> {
    table().into_iter().map(|(route, _)| route).collect()
}

/// Whether anybody may call this. Only the exact path is public.
pub fn is_public(method: &Method, path: &str) -> bool {
    *method == Method::GET && path == "/health"
}

/// The instance whose MCP endpoint this path is. Only the plain form of the id counts, so that this check and the route
/// always mean the same instance.
pub fn mcp_instance(path: &str) -> Option<ToolInstanceId> {
    let id = path.strip_prefix(MCP.strip_suffix("{id}")?)?;
    let instance: ToolInstanceId = id.parse().ok()?;
    (instance.to_string() == id).then_some(instance)
}

/// Whether this is the endpoint of clients that come through the control plane. Their connections are those of clients: they
/// leave places for commands.
pub fn is_for_clients(path: &str) -> bool {
    path == MCP_ALL || path.starts_with("/v1/mcp/")
}

/// The router with everything around it.
pub fn router(state: AppState) -> Router {
    table()
        .into_iter()
        .fold(Router::new(), |router, (route, handler)| {
            router.route(route.path, handler)
        })
        .fallback(unknown)
        .method_not_allowed_fallback(not_allowed)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(from_fn_with_state(state.clone(), auth::require_key))
        .layer(from_fn_with_state(
            Arc::clone(&state.telemetry),
            request_id::name_and_log,
        ))
        .with_state(state)
}

async fn unknown() -> ApiError {
    ApiError::new(
        ProblemCode::RouteUnknown,
        "This agent has no such route; compare api_version of GET /health",
    )
}

/// axum adds the `Allow` header.
async fn not_allowed() -> ApiError {
    ApiError::new(
        ProblemCode::MethodNotAllowed,
        "The Allow header names the methods of this route",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_public_in_the_table_is_public_and_nothing_else() {
        for route in routes() {
            assert_eq!(
                is_public(&route.method, route.path),
                route.access == Access::Public,
                "{route:?}"
            );
        }
        let id = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff";
        for route in routes() {
            assert_eq!(
                mcp_instance(&route.path.replace("{id}", id)).is_some(),
                route.access == Access::Mcp,
                "{route:?}"
            );
        }
        for path in [
            format!("/mcp/{id}/"),
            format!("/mcp/{id}/x"),
            format!("//mcp/{id}"),
            format!("/mcp/{}", id.to_uppercase()),
            format!("/mcp/{}", id.replace('-', "")),
            format!("/mcp/%36{}", &id[1..]),
            format!("/mcp/../tools/{id}"),
            "/mcp/".to_owned(),
        ] {
            assert_eq!(mcp_instance(&path), None, "{path}");
        }
        assert!(!is_public(&Method::POST, "/health"));
        assert!(!is_public(&Method::GET, "/health/"));
    }
}
