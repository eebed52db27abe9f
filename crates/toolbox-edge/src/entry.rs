//! One request from its arrival to its answer, without the host's types.

use std::rc::Rc;
use std::sync::Arc;

use toolbox_api::error::ApiError;

use toolbox_http::Request;

use crate::body::{RequestBody, Unread};
use crate::config::ConfigError;
use crate::context::{FunctionState, RequestContext, log_error};
use crate::cors;
use crate::reply::{self, Reply};
use crate::router::Function;

/// Headers the boundary hands over; reading the others would only cost time.
pub const READ_HEADERS: &[&str] = &["authorization", "x-request-id", "origin"];

/// The same, for requests that may change something.
pub const READ_HEADERS_OF_MUTATIONS: &[&str] = &[
    "content-type",
    "idempotency-key",
    "prefer",
    "x-forwarded-for",
];

/// The same, for preflights.
pub const READ_HEADERS_OF_PREFLIGHTS: &[&str] = &["access-control-request-headers"];

/// The same, for functions that pass requests on; and all headers that begin with [`READ_PREFIX_OF_PIPES`].
pub const READ_HEADERS_OF_PIPES: &[&str] = &[
    "accept",
    "content-type",
    "last-event-id",
    "traceparent",
    "user-agent",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
];

/// How the names of the protocol's own headers begin.
pub const READ_PREFIX_OF_PIPES: &str = "mcp-";

/// A whole function: its table and what it runs with.
pub struct Service {
    /// The table.
    pub function: &'static Function,
    /// The state, or which variables are wrong; then every request is answered `not_configured`.
    pub state: Result<Rc<FunctionState>, ConfigError>,
    /// Random bytes for request ids, before there is a state.
    pub host: Arc<dyn crate::host::Host>,
}

impl Service {
    /// Answers a request. Never fails: an error is an answer too.
    pub async fn respond(&self, request: Request<Unread>) -> Reply {
        let request_id = self.request_id(request.headers.get("x-request-id"));
        let origin = request.headers.get("origin").map(str::to_owned);
        let mut reply = if request.method == "OPTIONS" {
            cors::preflight(request.headers.get("access-control-request-headers"))
        } else {
            let route = format!("{} {}", request.method, request.path());
            match self.dispatch(request, &request_id).await {
                Ok(reply) => reply,
                Err(error) => {
                    // Failures that are not the caller's are logged once, here.
                    if error.code.status() >= 500 {
                        log_error(&*self.host, &route, &request_id, &error);
                    }
                    reply::error(error, &request_id)
                }
            }
        };
        let any = ["*".to_owned()];
        let origins = self
            .state
            .as_ref()
            .map_or(&any[..], |state| &state.config.allowed_origins);
        cors::add_headers(&mut reply.headers, origins, origin.as_deref());
        reply.headers.set("cache-control", "no-store");
        reply.headers.set("x-request-id", &*request_id);
        reply
    }

    async fn dispatch(
        &self,
        request: Request<Unread>,
        request_id: &Arc<str>,
    ) -> Result<Reply, ApiError> {
        let state = self.state.as_ref()?;
        let matched = self.function.find(&request.method, request.path())?;
        let caller = match self.function.users {
            Some(authenticate) => Some(authenticate(&state.identity, &request.headers).await?),
            None => None,
        };
        let path = self
            .function
            .own_path(request.path())
            .unwrap_or_default()
            .to_owned();
        let has_trailing_slash = request.path().ends_with('/');
        let query = request.query().map(str::to_owned);
        (matched.route.handler)(RequestContext {
            state: Rc::clone(state),
            request_id: Arc::clone(request_id),
            caller,
            method: request.method,
            path,
            has_trailing_slash,
            params: matched.params,
            query,
            headers: request.headers,
            body: RequestBody::new(request.body),
        })
        .await
    }

    /// The caller's id for the request when it is harmless, else a new one.
    fn request_id(&self, given: Option<&str>) -> Arc<str> {
        let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        given
            .filter(|id| (1..=128).contains(&id.len()) && id.bytes().all(legal))
            .map_or_else(|| new_request_id(&*self.host).into(), Arc::from)
    }
}

fn new_request_id(host: &dyn crate::host::Host) -> String {
    uuid::Builder::from_random_bytes(host.random_bytes())
        .into_uuid()
        .as_hyphenated()
        .to_string()
}
