//! `x-request-id`: the caller's or a new one. It is in every answer and in the request's log line.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;
use toolbox_domain::ids::ToolInstanceId;
use uuid::Uuid;

use crate::telemetry::Telemetry;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const MAX_CHARS: usize = 128;

/// Names the request and logs its end. The log has the route, not the path, and neither query nor body.
pub async fn name_and_log(
    State(telemetry): State<Arc<Telemetry>>,
    request: Request,
    next: Next,
) -> Response {
    let id = request
        .headers()
        .get(X_REQUEST_ID)
        .filter(|id| is_usable(id.as_bytes()))
        .cloned()
        .or_else(|| HeaderValue::from_str(&Uuid::new_v4().to_string()).ok());
    let method = request.method().clone();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "-".to_owned(), |p| p.as_str().to_owned());
    // Only an id is logged of the path, because the rest is the caller's text.
    let instance: Option<ToolInstanceId> = request
        .uri()
        .path()
        .split('/')
        .nth(2)
        .and_then(|id| id.parse().ok());
    let instance = instance.map(tracing::field::display);
    let begun = Instant::now();
    let mut response = next.run(request).await;
    let ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let status = response.status().as_u16();
    telemetry.request(&method, status);
    let name = id
        .as_ref()
        .and_then(|i| i.to_str().ok())
        .unwrap_or_default();
    // MCP clients call often, and their servers have logs of their own.
    if (method == Method::GET || route == "/mcp/{id}") && status < 500 {
        tracing::debug!(request_id = name, %method, route, instance, status, ms, "request");
    } else {
        tracing::info!(request_id = name, %method, route, instance, status, ms, "request");
    }
    if let Some(id) = id {
        response.headers_mut().insert(X_REQUEST_ID, id);
    }
    response
}

/// Anything else could forge log lines.
fn is_usable(id: &[u8]) -> bool {
    !id.is_empty() && id.len() <= MAX_CHARS && id.iter().all(u8::is_ascii_graphic)
}
