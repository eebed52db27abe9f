//! One table of routes per function, and how a path finds its row.

use serde::Serialize;
use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_domain::names::decode_segment;
use toolbox_http::{Headers, LocalFuture};

use crate::context::{Caller, RequestContext};
use crate::identity::Identity;
use crate::reply::Reply;

/// What a handler gives.
pub type Answer = LocalFuture<'static, Result<Reply, ApiError>>;

/// What a route runs.
pub type Handler = fn(RequestContext) -> Answer;

/// Finds out which user calls: [`crate::identity::user`].
pub type Authenticate =
    for<'a> fn(&'a Identity, &'a Headers) -> LocalFuture<'a, Result<Caller, ApiError>>;

/// One row of the table.
#[derive(Clone, Copy)]
pub struct Route {
    /// HTTP method.
    pub method: &'static str,
    /// Path after the function's name; `{name}` stands for one segment.
    pub path: &'static str,
    /// What it runs.
    pub handler: Handler,
}

/// An edge function.
pub struct Function {
    /// Its name in URLs.
    pub name: &'static str,
    /// How its users are known; none when its callers are machines, which its handlers check themselves. A pointer,
    /// so that a wasm without users holds nothing of tokens and signing keys.
    pub users: Option<Authenticate>,
    /// Everything it answers.
    pub routes: &'static [Route],
}

/// The row a request belongs to, and its path's values, decoded once.
pub struct Matched {
    /// The row.
    pub route: &'static Route,
    /// Values of `{name}` segments, in order.
    pub params: Vec<String>,
}

impl Function {
    /// The part of a URL's path that is this function's own, without slashes at its ends.
    /// Supabase strips `/functions/v1` in some setups and not in others.
    pub fn own_path<'a>(&self, path: &'a str) -> Option<&'a str> {
        let path = path.strip_prefix("/functions/v1").unwrap_or(path);
        let rest = path.strip_prefix('/')?.strip_prefix(self.name)?;
        if !rest.is_empty() && !rest.starts_with('/') {
            return None;
        }
        let rest = rest.strip_prefix('/').unwrap_or(rest);
        Some(rest.strip_suffix('/').unwrap_or(rest))
    }

    /// Finds the row for a method and a URL's path.
    pub fn find(&self, method: &str, path: &str) -> Result<Matched, ApiError> {
        let path = self
            .own_path(path)
            .ok_or_else(|| ApiError::new(ErrorCode::RouteNotFound))?;
        let mut allowed = Vec::new();
        for route in self.routes {
            let Some(values) = matches(route.path, path) else {
                continue;
            };
            if route.method == method {
                let params = values
                    .into_iter()
                    .map(decode_segment)
                    .collect::<Result<_, _>>();
                let params = params.map_err(|_| {
                    ApiError::with_message(
                        ErrorCode::InvalidRequest,
                        "A path segment is not percent-encoded UTF-8",
                    )
                })?;
                return Ok(Matched { route, params });
            }
            allowed.push(route.method);
        }
        if allowed.is_empty() {
            return Err(ApiError::new(ErrorCode::RouteNotFound));
        }
        let mut error = ApiError::with_message(
            ErrorCode::MethodNotAllowed,
            format!("Use {} on this route", allowed.join(" or ")),
        );
        allowed.push("OPTIONS");
        error.header = Some(("allow", allowed.join(", ")));
        Err(error)
    }

    /// The table as JSON: `[{"method": …, "path": …}]`.
    pub fn routes_json(&self) -> String {
        #[derive(Serialize)]
        struct Row {
            method: &'static str,
            path: &'static str,
        }
        let rows = self.routes.iter().map(|route| Row {
            method: route.method,
            path: route.path,
        });
        serde_json::to_string(&rows.collect::<Vec<_>>()).unwrap_or_default()
    }
}

/// The values of `pattern`'s `{name}` segments when `path` has its shape; none is ever empty.
fn matches<'a>(pattern: &str, path: &'a str) -> Option<Vec<&'a str>> {
    let mut values = Vec::new();
    let mut given = path.split('/');
    for expected in pattern.trim_start_matches('/').split('/') {
        let segment = given.next()?;
        if expected.starts_with('{') {
            if segment.is_empty() {
                return None;
            }
            values.push(segment);
        } else if segment != expected {
            return None;
        }
    }
    given.next().is_none().then_some(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Handler = |_| Box::pin(std::future::ready(Ok(crate::cors::preflight(None))));

    static FUNCTION: Function = Function {
        name: "f",
        users: None,
        routes: &[
            Route {
                method: "POST",
                path: "/",
                handler: NOTHING,
            },
            Route {
                method: "GET",
                path: "/{box}/tools",
                handler: NOTHING,
            },
            Route {
                method: "POST",
                path: "/{box}/tools",
                handler: NOTHING,
            },
            Route {
                method: "GET",
                path: "/{box}/tools/{tool}/logs",
                handler: NOTHING,
            },
        ],
    };

    fn find(method: &str, path: &str) -> Result<(&'static str, Vec<String>), ErrorCode> {
        FUNCTION
            .find(method, path)
            .map(|m| (m.route.path, m.params))
            .map_err(|e| e.code)
    }

    #[test]
    fn paths_find_their_row() {
        assert_eq!(find("POST", "/f"), Ok(("/", vec![])));
        assert_eq!(find("POST", "/f/"), Ok(("/", vec![])));
        assert_eq!(
            find("GET", "/functions/v1/f/b1/tools"),
            Ok(("/{box}/tools", vec!["b1".into()]))
        );
        assert_eq!(
            find("GET", "/f/b1/tools/"),
            Ok(("/{box}/tools", vec!["b1".into()]))
        );
        for path in [
            "/",
            "/g",
            "/ff",
            "/f//tools",
            "/f/b1/tool",
            "/f/b1/tools/x/y/logs",
        ] {
            assert_eq!(find("GET", path), Err(ErrorCode::RouteNotFound), "{path}");
        }
    }

    #[test]
    fn segments_are_decoded_exactly_once() {
        let (_, params) = find("GET", "/f/b/tools/a%2Fb%20%252F%20404/logs").unwrap();
        assert_eq!(params, ["b", "a/b %2F 404"]);
        assert_eq!(
            find("GET", "/f/b/tools/%zz/logs"),
            Err(ErrorCode::InvalidRequest)
        );
        assert_eq!(
            find("GET", "/f/b/tools/%ff/logs"),
            Err(ErrorCode::InvalidRequest)
        );
    }

    #[test]
    fn another_method_is_told_which_are_allowed() {
        let error = FUNCTION.find("PUT", "/f/b1/tools").map(|_| ()).unwrap_err();
        assert_eq!(error.code, ErrorCode::MethodNotAllowed);
        assert_eq!(error.header.as_ref().unwrap().1, "GET, POST, OPTIONS");
        assert_eq!(error.message(), "Use GET or POST on this route");
        let error = FUNCTION
            .find("POST", "/f/b1/tools/x/logs")
            .map(|_| ())
            .unwrap_err();
        assert_eq!(error.message(), "Use GET on this route");
    }

    #[test]
    fn the_table_is_data() {
        assert!(
            FUNCTION
                .routes_json()
                .starts_with(r#"[{"method":"POST","path":"/"},{"method":"GET""#)
        );
    }
}
