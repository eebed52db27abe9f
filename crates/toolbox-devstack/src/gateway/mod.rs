//! The public port: Supabase's URLs, with its treatment of API keys, CORS and function tokens.
//!
//! `/auth/v1` is answered here ([`crate::auth`]); `/rest/v1` goes to PostgREST and `/functions/v1/<name>` to that
//! function's worker, both streamed. A real gateway adds nothing to functions' answers, so neither does this one:
//! their CORS is their own. `/releases` has releases of DTMA, which a project keeps elsewhere.

mod connector;
mod cors;
mod keys;
mod linger;
mod proxy;
mod releases;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router};
use http::{HeaderValue, Method, Request, StatusCode, Uri, header};
use serde_json::json;

use crate::auth::{Auth, OAuthRoute, OAuthServer};
use crate::functions::Function;
use crate::jwt::Keys;
use crate::now;

pub(crate) use keys::ApiKeys;
use keys::Caller;
use linger::Lingering;
pub(crate) use proxy::Proxy;

/// Supabase ends a function's request that has not begun to answer by then.
const FUNCTION_LIMIT: Duration = Duration::from_secs(150);
const REST_LIMIT: Duration = Duration::from_mins(1);
const OAUTH_LIMIT: Duration = Duration::from_secs(15);
/// Where clients learn of the OAuth server, as RFC 8414 puts it before the path of the issuer.
const OAUTH_DISCOVERY: &str = "/.well-known/oauth-authorization-server/auth/v1";

/// Everything the gateway sends requests to.
pub(crate) struct Gateway {
    pub(crate) url: String,
    pub(crate) keys: Keys,
    pub(crate) api_keys: ApiKeys,
    pub(crate) auth: Auth,
    /// None when config.toml does not turn it on.
    pub(crate) oauth: Option<OAuthServer>,
    pub(crate) postgrest_port: u16,
    pub(crate) functions: BTreeMap<String, Function>,
    pub(crate) proxy: Proxy,
    /// Folder with releases of DTMA.
    pub(crate) releases: PathBuf,
}

/// The one entry: routes by prefix, because everything behind a prefix is another program's business.
pub(crate) fn router(gateway: Arc<Gateway>) -> Router {
    Router::new().fallback(move |request: Request<Body>| {
        let gateway = Arc::clone(&gateway);
        async move { gateway.answer(request.map(Lingering::wrap)).await }
    })
}

impl Gateway {
    async fn answer(&self, request: Request<Body>) -> Response {
        let path = request.uri().path();
        if path == "/" {
            return self.index();
        }
        if let Some(rest) = path.strip_prefix("/functions/v1/") {
            let name = rest.split('/').next().unwrap_or_default().to_owned();
            return self.function(&name, request).await;
        }
        if let Some(inner) = path.strip_prefix("/releases/") {
            return releases::file(&self.releases, inner).await;
        }
        let service = if path.starts_with("/auth/v1/") || path == OAUTH_DISCOVERY {
            Service::Auth
        } else if path.starts_with("/rest/v1/") || path == "/rest/v1" {
            Service::Rest
        } else {
            return not_found("no Route matched with those values");
        };
        if request.method() == Method::OPTIONS {
            return cors::preflight(request.headers());
        }
        let mut answer = match service {
            Service::Auth => self.sign_in(request).await,
            Service::Rest => self.rest(request).await,
        };
        cors::allow(answer.headers_mut());
        answer
    }

    async fn sign_in(&self, request: Request<Body>) -> Response {
        let path = match request.uri().path() {
            OAUTH_DISCOVERY => "/.well-known/oauth-authorization-server",
            path => path.strip_prefix("/auth/v1").unwrap_or_default(),
        };
        if let (Some(server), Some(route)) = (&self.oauth, OAuthRoute::of(path)) {
            let path = path.to_owned();
            return self.oauth(server, route, &path, request).await;
        }
        // Public by nature: verifiers and links in mails come without a key.
        let open = path.starts_with("/.well-known/") || path == "/verify";
        if !open && let Err(refusal) = self.api_keys.caller(&request) {
            return refusal.respond();
        }
        self.auth.answer(request).await
    }

    async fn oauth(
        &self,
        server: &OAuthServer,
        route: OAuthRoute,
        path: &str,
        mut request: Request<Body>,
    ) -> Response {
        let user = match route {
            OAuthRoute::Clients => None,
            OAuthRoute::Users => {
                if let Err(refusal) = self.api_keys.caller(&request) {
                    return refusal.respond();
                }
                match self.auth.signed_in(request.headers()).await {
                    Ok(user) => Some(user),
                    Err(refusal) => return refusal,
                }
            }
        };
        server.introduce(request.headers_mut(), user.as_ref());
        let query = request.uri().query().map(|query| format!("?{query}"));
        let inner = format!("{path}{}", query.unwrap_or_default());
        let Some(target) = server.address() else {
            return unavailable();
        };
        let answer = self.proxy.forward(request, &target, &inner, OAUTH_LIMIT);
        answer.await.unwrap_or_else(|_| unavailable())
    }

    async fn rest(&self, mut request: Request<Body>) -> Response {
        let caller = match self.api_keys.caller(&request) {
            Ok(caller) => caller,
            Err(refusal) => return refusal.respond(),
        };
        if let Caller::Key(role) = caller {
            let token = format!("Bearer {}", self.api_keys.token(role, &self.keys));
            let Ok(value) = HeaderValue::from_str(&token) else {
                return unavailable();
            };
            request.headers_mut().insert(header::AUTHORIZATION, value);
        }
        let inner = keys::without_key(&path_and_query(request.uri(), "/rest/v1"));
        let target = format!("127.0.0.1:{}", self.postgrest_port);
        self.proxy
            .forward(request, &target, &inner, REST_LIMIT)
            .await
            .unwrap_or_else(|fault| match fault {
                proxy::Fault::Unreachable => unavailable(),
                proxy::Fault::TooSlow => problem(
                    StatusCode::GATEWAY_TIMEOUT,
                    &json!({ "message": "The upstream server is timing out" }),
                ),
            })
    }

    async fn function(&self, name: &str, request: Request<Body>) -> Response {
        let Some(function) = self.functions.get(name) else {
            let body =
                json!({ "code": "NOT_FOUND", "message": "Requested function was not found" });
            return problem(StatusCode::NOT_FOUND, &body);
        };
        if function.verify_jwt
            && request.method() != Method::OPTIONS
            && let Err(message) = self.verify_bearer(&request)
        {
            return problem(
                StatusCode::UNAUTHORIZED,
                &json!({ "code": 401, "message": message }),
            );
        }
        let Some(address) = function.address() else {
            return not_ready();
        };
        let inner = path_and_query(request.uri(), "/functions/v1");
        let answer = self
            .proxy
            .forward(request, &address.to_string(), &inner, FUNCTION_LIMIT)
            .await;
        answer.unwrap_or_else(|fault| match fault {
            proxy::Fault::Unreachable => not_ready(),
            proxy::Fault::TooSlow => {
                let body = json!({ "code": "REQUEST_IDLE_TIMEOUT", "message": "Function did not answer in time" });
                problem(StatusCode::GATEWAY_TIMEOUT, &body)
            }
        })
    }

    fn verify_bearer(&self, request: &Request<Body>) -> Result<(), &'static str> {
        let given = request
            .headers()
            .get(header::AUTHORIZATION)
            .ok_or("Missing authorization header")?;
        let token = given
            .to_str()
            .ok()
            .and_then(|text| text.strip_prefix("Bearer "))
            .ok_or("Invalid JWT")?;
        self.keys
            .verify(token, now())
            .map(|_| ())
            .map_err(|_| "Invalid JWT")
    }

    fn index(&self) -> Response {
        let functions: BTreeMap<&String, String> = self
            .functions
            .keys()
            .map(|name| (name, format!("{}/functions/v1/{name}", self.url)))
            .collect();
        Json(json!({
            "service": "toolbox-devstack",
            "auth": format!("{}/auth/v1", self.url),
            "rest": format!("{}/rest/v1", self.url),
            "functions": functions,
        }))
        .into_response()
    }
}

#[derive(Clone, Copy)]
enum Service {
    Auth,
    Rest,
}

/// The part of the URI behind the prefix, byte for byte.
fn path_and_query(uri: &Uri, prefix: &str) -> String {
    let path = uri.path().strip_prefix(prefix).unwrap_or_default();
    let path = if path.is_empty() { "/" } else { path };
    uri.query()
        .map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"))
}

fn problem(status: StatusCode, body: &serde_json::Value) -> Response {
    (status, Json(body)).into_response()
}

fn not_found(message: &str) -> Response {
    problem(StatusCode::NOT_FOUND, &json!({ "message": message }))
}

fn unavailable() -> Response {
    problem(
        StatusCode::SERVICE_UNAVAILABLE,
        &json!({ "message": "name resolution failed" }),
    )
}

fn not_ready() -> Response {
    let body =
        json!({ "code": "BOOT_ERROR", "message": "Function failed to start (please check logs)" });
    problem(StatusCode::SERVICE_UNAVAILABLE, &body)
}
