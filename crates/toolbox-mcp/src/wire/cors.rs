//! What a browser must be told before it lets a web page call, and read the answer.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};

use super::checks::Origins;
use super::reply;

/// Methods of the endpoint.
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, DELETE");
/// Headers of an answer that a page may read.
const READABLE: HeaderValue = HeaderValue::from_static("mcp-session-id, retry-after, x-request-id");
/// How long a browser may remember, in seconds.
const REMEMBERED: HeaderValue = HeaderValue::from_static("600");

/// The answer to `OPTIONS`, by which a browser asks whether a page may call.
pub fn preflight(origins: &Origins, headers: &HeaderMap) -> Response<Body> {
    if let Err(refusal) = origins.check(headers) {
        return refusal.into_response();
    }
    let mut response = reply::status(StatusCode::NO_CONTENT, "GET, POST, DELETE");
    let answer = response.headers_mut();
    answer.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    answer.insert(header::ACCESS_CONTROL_MAX_AGE, REMEMBERED);
    let wanted = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS);
    let wanted = wanted.and_then(|v| v.to_str().ok()).unwrap_or_default();
    let granted: Vec<&str> = wanted
        .split(',')
        .map(str::trim)
        .filter(|h| sent(h))
        .collect();
    if let Ok(granted) = HeaderValue::from_str(&granted.join(", "))
        && !granted.is_empty()
    {
        answer.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, granted);
    }
    readable(headers.get(header::ORIGIN), &mut response);
    response
}

/// Whether MCP clients send this header.
fn sent(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let named = ["accept", "authorization", "content-type", "last-event-id"];
    named.contains(&name.as_str())
        || name.starts_with("mcp-") && HeaderName::from_bytes(name.as_bytes()).is_ok()
}

/// Lets the page of `origin` read the answer. Only answers to pages that may call get here.
pub fn readable(origin: Option<&HeaderValue>, response: &mut Response<Body>) {
    let Some(origin) = origin else { return };
    let answer = response.headers_mut();
    answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    answer.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, READABLE);
    answer.append(header::VARY, HeaderValue::from_static("origin"));
}
