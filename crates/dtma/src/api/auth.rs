//! Authentication: by the toolbox's key, or for an instance's MCP endpoint by its own token. Public routes need neither.

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONNECTION};
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use toolbox_api::problem::ProblemCode;
use toolbox_mcp::wire::checks::Origins;
use toolbox_mcp::wire::cors;

use super::AppState;
use super::error::ApiError;
use super::router::{is_for_clients, is_public, mcp_instance};
use crate::connections::{Connection, Role};

/// What the caller presents as bearer token; nothing when there is none.
pub fn presented(headers: &HeaderMap) -> &str {
    headers
        .get(AUTHORIZATION)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map_or("", |(_, token)| token.trim())
}

/// Where clients that were refused look for a sign-in, also below an endpoint. There is none, and a client that is refused
/// there as well would take the refusal for one.
fn is_sign_in(path: &str) -> bool {
    let below = path
        .strip_prefix("/mcp/")
        .and_then(|rest| rest.split_once('/'));
    let below = below.map_or(path, |(_, rest)| rest).trim_start_matches('/');
    below == "register" || below == ".well-known" || below.starts_with(".well-known/")
}

/// Lets a request pass if its route is public, its key is accepted, or it carries the token of the MCP endpoint that it
/// calls. It surrounds the whole router, so new routes, wrong methods and unknown paths need a key too. What the caller
/// has shown also decides whether its connection may be closed for others.
pub async fn require_key(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let method = if request.method() == Method::HEAD {
        &Method::GET
    } else {
        request.method()
    };
    let (path, presented) = (request.uri().path(), presented(request.headers()));
    // A browser asks without a key whether a page may call, and gets the same answer for every instance.
    if method == Method::OPTIONS && mcp_instance(path).is_some() {
        return cors::preflight(&Origins::default(), request.headers());
    }
    if is_sign_in(path) {
        return ApiError::new(
            ProblemCode::RouteUnknown,
            "This agent has no sign-in; send the endpoint's token as Authorization: Bearer, as the action mcp of toolbox-tools gives it",
        )
        .into_response();
    }
    let role = if presented.is_empty() {
        Role::Stranger
    } else if state.keys.accept(presented) {
        if is_for_clients(path) {
            Role::Client
        } else {
            Role::Control
        }
    } else if mcp_instance(path).is_some_and(|id| state.keys.accept_mcp(presented, id)) {
        Role::Client
    } else {
        Role::Stranger
    };
    let connection = request.extensions().get::<Connection>();
    if role != Role::Stranger && connection.is_some_and(|own| !own.recognise(role)) {
        let busy = "Too many clients of MCP servers are connected; close some";
        let mut response = ApiError::new(ProblemCode::TooManyConnections, busy).into_response();
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
        return response;
    }
    if is_public(method, path) || role != Role::Stranger {
        next.run(request).await
    } else {
        ApiError::new(
            ProblemCode::Unauthorized,
            "The Authorization header holds no accepted key",
        )
        .into_response()
    }
}

#[cfg(test)]
mod tests {
    use toolbox_domain::keys::AgentKey;

    use super::*;

    fn headers(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())])
    }

    #[test]
    fn only_where_clients_look_for_a_sign_in_there_is_no_key_asked_for() {
        for path in [
            "/.well-known/oauth-protected-resource",
            "/.well-known/oauth-protected-resource/mcp/6f9619ff",
            "/.well-known/oauth-authorization-server",
            "/.well-known/openid-configuration/mcp/6f9619ff",
            "/mcp/6f9619ff/.well-known/openid-configuration",
            "/.well-known",
            "/register",
        ] {
            assert!(is_sign_in(path), "{path}");
        }
        for path in [
            "/",
            "/registers",
            "/register/x",
            "/tools/.well-known/x",
            "/tools/register",
            "/mcp/register",
            "/mcp/.well-known",
            "/mcp/6f9619ff",
            "/.well-knowns",
            "/status",
        ] {
            assert!(!is_sign_in(path), "{path}");
        }
    }

    #[test]
    fn only_a_whole_key_as_bearer_token_is_accepted() {
        let key = format!("tbk_{}", "ab".repeat(32));
        let keys = crate::keys::KeyRing::of_file(&[AgentKey::parse(&key).unwrap()]);
        let accept = |headers: HeaderMap| keys.accept(presented(&headers));
        assert!(accept(headers(&format!("Bearer {key}"))));
        assert!(accept(headers(&format!("bearer  {key}"))));
        for wrong in [
            String::new(),
            key.clone(),
            "Bearer".into(),
            "Bearer ".into(),
            format!("Basic {key}"),
            format!("Bearer {}", &key[..key.len() - 1]),
            format!("Bearer {key}0"),
            format!("Bearer {}", key.to_uppercase()),
        ] {
            assert!(!accept(headers(&wrong)), "{wrong}");
        }
        assert!(!accept(HeaderMap::new()));
        assert!(!crate::keys::KeyRing::of_file(&[]).accept(""));
    }
}
