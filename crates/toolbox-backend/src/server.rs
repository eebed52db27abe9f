//! The routes, and who may call them.
//!
//! `/internal` and `/metrics` take the secret that the operator gave to this server and to the edge function
//! `manage-agent-tool-environment`; which user may ask for an agent, that function has found out.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{MatchedPath, Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;
use toolbox_api::edge::MAX_WAIT_SECONDS;
use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_clients::supabase::agents::AgentRow;
use toolbox_clients::supabase::{ProjectKeys, Supabase};
use toolbox_domain::ids::AgentId;
use toolbox_http::Clock as _;
use toolbox_http::native::Native;
use toolbox_provisioning::{Owned, agents};
use uuid::Uuid;

use crate::config::Config;
use crate::metrics::{CONTENT_TYPE, Metrics};
use crate::work;

/// How long what was begun may take to end after a signal.
pub(crate) const GRACE: Duration = Duration::from_secs(25);

/// How long a sweep may take that a caller waits for.
const SWEEP_LIMIT: Duration = Duration::from_mins(1);

/// What callers of the internal routes present.
const SECRET_HEADER: &str = "x-internal-api-secret";

/// What the routes and the loop work with.
pub(crate) struct Backend {
    pub(crate) native: Arc<Native>,
    pub(crate) provisioning: Owned,
    pub(crate) metrics: Metrics,
    /// Names this server in rows.
    pub(crate) holder: String,
    secret: String,
    port: u16,
}

impl Backend {
    pub(crate) fn new(config: Config, port: u16) -> Result<Self, String> {
        let native = Arc::new(Native::new().map_err(|error| error.to_string())?);
        let keys = ProjectKeys {
            publishable: config.edge.publishable_key.clone(),
            secret: config.edge.secret_key.clone(),
        };
        let supabase = Arc::new(Supabase::new(
            Arc::clone(&native) as _,
            Arc::clone(&native) as _,
            &config.edge.supabase_url,
            keys,
            config.edge.upstream_timeout,
        ));
        let provisioning = config.edge.provisioning_with(
            supabase,
            Arc::clone(&native) as _,
            Arc::clone(&native) as _,
        );
        Ok(Self {
            native,
            provisioning: provisioning.map_err(|error| error.message().to_owned())?,
            metrics: Metrics::default(),
            holder: format!("toolbox-backend {}", Uuid::new_v4()),
            secret: config.secret,
            port,
        })
    }

    /// Digests are compared, in constant time: the time tells nothing of the secret, its length included.
    fn knows(&self, presented: &str) -> bool {
        let digest = Sha256::digest(presented);
        digest.ct_eq(&Sha256::digest(&self.secret)).into()
    }
}

/// Serves until `stop` ends, and then for [`GRACE`] at most.
pub(crate) async fn run(
    backend: Arc<Backend>,
    address: SocketAddr,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    let bound = listener.local_addr()?;
    let (end, ended) = watch::channel(false);
    let looking = tokio::spawn(work::run(Arc::clone(&backend), ended.clone()));
    let mut shut = ended;
    let serving = axum::serve(listener, router(backend)).with_graceful_shutdown(async move {
        // An error says that the sender is gone, which is an end too.
        let _ = shut.wait_for(|ended| *ended).await;
    });
    let serving = tokio::spawn(serving.into_future());
    tracing::info!(address = %bound, "serving");
    stop.await;
    tracing::info!("stopping: what was begun may end");
    end.send_replace(true);
    let both = async {
        // Neither panics nor is cancelled.
        let _ = looking.await;
        serving.await.unwrap_or(Ok(()))
    };
    timeout(GRACE, both).await.unwrap_or_else(|_| {
        tracing::warn!("what was begun did not end in time; its leases run out, and others go on");
        Ok(())
    })
}

/// Every route.
pub(crate) fn router(backend: Arc<Backend>) -> Router {
    let internal = Router::new()
        .route(
            "/internal/agents/{agentId}/ensure-tool-environment",
            post(ensure),
        )
        .route(
            "/internal/agents/{agentId}/tool-environment",
            delete(remove),
        )
        .route("/internal/reconcile", post(reconcile))
        .route("/metrics", get(metrics))
        .route_layer(from_fn_with_state(Arc::clone(&backend), only_with_secret));
    Router::new()
        .route("/", get(index))
        .route("/health", get(health))
        .merge(internal)
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(Arc::clone(&backend), count))
        .with_state(backend)
}

type Shared = State<Arc<Backend>>;

async fn only_with_secret(
    State(backend): Shared,
    headers: HeaderMap,
    request: Request,
    next: Next,
) -> Response {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    // Prometheus presents a bearer token more easily than a header of ours.
    let bearer = text(header::AUTHORIZATION.as_str()).and_then(|v| v.strip_prefix("Bearer "));
    let presented = text(SECRET_HEADER).or(bearer).unwrap_or_default();
    if backend.knows(presented) {
        return next.run(request).await;
    }
    let told = json!({ "success": false, "error": "Forbidden: Invalid internal API secret." });
    (StatusCode::FORBIDDEN, Json(told)).into_response()
}

async fn count(
    State(backend): Shared,
    path: Option<MatchedPath>,
    request: Request<Body>,
    next: Next,
) -> Response {
    let answer = next.run(request).await;
    let route = path.as_ref().map_or("none", MatchedPath::as_str);
    backend.metrics.answered(route, answer.status().as_u16());
    answer
}

async fn index() -> Response {
    let told = json!({
        "service": "Toolbox Backend",
        "version": env!("CARGO_PKG_VERSION"),
        "endpoints": [
            "GET /health",
            "GET /metrics",
            "POST /internal/agents/{agentId}/ensure-tool-environment",
            "DELETE /internal/agents/{agentId}/tool-environment",
            "POST /internal/reconcile",
        ],
    });
    Json(told).into_response()
}

/// That this process answers; whether the database and DigitalOcean do, the metrics tell.
async fn health(State(backend): Shared) -> Response {
    let told = json!({
        "status": "healthy",
        "timestamp": toolbox_api::moment::format(backend.native.now()),
        "service": "Toolbox Backend",
        "version": env!("CARGO_PKG_VERSION"),
        "environment": {
            "port": backend.port,
            "nodeEnv": "production",
            // It does not start without these.
            "hasInternalSecret": true,
            "hasDtmaApiKey": true,
            "hasDoToken": true,
        },
    });
    Json(told).into_response()
}

async fn metrics(State(backend): Shared) -> Response {
    let headers = [(header::CONTENT_TYPE, CONTENT_TYPE)];
    (headers, backend.metrics.text()).into_response()
}

async fn not_found(request: Request) -> Response {
    let told = json!({
        "error": "Not Found",
        "path": request.uri().path(),
        "method": request.method().as_str(),
    });
    (StatusCode::NOT_FOUND, Json(told)).into_response()
}

async fn method_not_allowed(request: Request) -> Response {
    let told = json!({
        "error": "Method not supported",
        "path": request.uri().path(),
        "method": request.method().as_str(),
    });
    (StatusCode::METHOD_NOT_ALLOWED, Json(told)).into_response()
}

/// Why the request was not carried out, for whoever reads the answer and for the log.
struct Failed(ApiError);

impl From<ApiError> for Failed {
    fn from(error: ApiError) -> Self {
        Self(error)
    }
}

impl axum::response::IntoResponse for Failed {
    fn into_response(self) -> Response {
        let Self(error) = self;
        let code = error.code.as_str();
        let status = error.code.status();
        if status >= 500 {
            let cause = error.cause.as_deref();
            tracing::error!(code, cause, "a request failed");
        }
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let told = json!({ "success": false, "error": error.message(), "code": code });
        (status, Json(told)).into_response()
    }
}

/// Sees to it that an agent has a tool environment. 202 while it is made; with `Prefer: wait=N` it is waited for.
async fn ensure(
    State(backend): Shared,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Failed> {
    let agent = backend.agent(&id).await?;
    let wait = preferred_wait(&headers)?;
    let request_id = request_id(&headers);
    let provisioning = backend.provisioning.get();
    let row = provisioning
        .ensure_for_agent(&agent, &backend.holder, wait, &request_id)
        .await?;
    let (status, told) = agents::answer(backend.native.now(), &agent, &row)?;
    Ok(answer(status, Json(told)))
}

/// Removes the tool environment of an agent.
async fn remove(
    State(backend): Shared,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Failed> {
    let agent = backend.agent(&id).await?;
    let provisioning = backend.provisioning.get();
    let was_there = provisioning
        .remove_for_agent(&agent, &backend.holder, &request_id(&headers))
        .await?;
    let (status, told) = agents::removal(was_there);
    Ok(answer(status, Json(told)))
}

/// Goes on with what is due, and compares the droplets that are paid for with the rows.
async fn reconcile(State(backend): Shared) -> Result<Response, Failed> {
    let steps = work::look(&backend).await?;
    let swept = backend.provisioning.get().sweep(SWEEP_LIMIT).await?;
    let strays: Vec<_> = swept
        .droplets_without_row
        .iter()
        .map(|stray| {
            json!({ "droplet_id": stray.droplet, "toolbox_id": stray.toolbox, "why": stray.why, "is_removed": stray.is_removed })
        })
        .collect();
    let told = json!({
        "success": true,
        "steps": steps,
        "droplets_without_row": strays,
        "adopted": swept.adopted,
        "rows_without_droplet": swept.rows_without_droplet,
        "cleaned": swept.cleaned,
        "moved": swept.moved,
    });
    Ok(Json(told).into_response())
}

impl Backend {
    async fn agent(&self, id: &str) -> Result<AgentRow, ApiError> {
        let id: AgentId = id.parse().map_err(|_| {
            ApiError::with_message(
                ErrorCode::InvalidRequest,
                "Give the id of the agent, a UUID",
            )
        })?;
        let agent = self.provisioning.supabase.any_agent(id).await?;
        agent.ok_or_else(|| ApiError::new(ErrorCode::AgentNotFound))
    }
}

fn answer(status: u16, body: impl axum::response::IntoResponse) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    (status, body).into_response()
}

/// `Prefer: wait=N` in seconds, at most a minute.
fn preferred_wait(headers: &HeaderMap) -> Result<Duration, ApiError> {
    let text = headers.get("prefer").and_then(|value| value.to_str().ok());
    let Some(wait) = text.and_then(|text| text.trim().strip_prefix("wait=")) else {
        return Ok(Duration::ZERO);
    };
    let seconds: u32 = wait.parse().map_err(|_| {
        ApiError::with_message(
            ErrorCode::InvalidRequest,
            "Give a whole number of seconds in the header Prefer: wait=N",
        )
    })?;
    Ok(Duration::from_secs(seconds.min(MAX_WAIT_SECONDS).into()))
}

/// The caller's id of the request when it is harmless, else a new one.
fn request_id(headers: &HeaderMap) -> String {
    let given = headers.get("x-request-id").and_then(|id| id.to_str().ok());
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    given
        .filter(|id| (1..=128).contains(&id.len()) && id.bytes().all(legal))
        .map_or_else(|| Uuid::new_v4().to_string(), str::to_owned)
}
