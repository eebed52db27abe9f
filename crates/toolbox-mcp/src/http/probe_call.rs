//! One JSON-RPC exchange with a server over HTTP, bounded in time and size.

use axum::body::Body;
use axum::http::{Method, Request, Response, StatusCode, header};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;

use super::{HttpClient, Target, uri};
use crate::lenient;
use crate::lines::{Line, Lines};
use crate::wire::sse::Events;

/// A server's answer to one message.
#[derive(Debug)]
pub(super) enum Reply {
    /// A result.
    Result(Value),
    /// A JSON-RPC error, with the HTTP status it came with.
    Error(StatusCode, Value),
    /// Something that is no JSON-RPC answer.
    Other(StatusCode, String),
    /// The session is not known any more.
    NoSession,
}

/// No answer.
#[derive(Debug)]
pub(super) enum Silence {
    /// Nothing listens there.
    Refused,
    /// The connection broke.
    Broken,
}

/// A message and what goes with it.
pub(super) struct Exchange<'a> {
    pub(super) target: &'a Target,
    pub(super) session: Option<&'a str>,
    pub(super) version: Option<&'a str>,
    pub(super) method: &'a str,
    pub(super) stateless: bool,
    pub(super) body: Value,
}

/// Sends `exchange` and reads up to `limit` bytes of the answer; also the session it begins. The caller sets the deadline.
pub(super) async fn exchange(
    client: &HttpClient,
    exchange: Exchange<'_>,
    limit: usize,
) -> Result<(Reply, Option<String>), Silence> {
    let id = exchange.body.get("id").cloned();
    let mut request = Request::new(Body::from(exchange.body.to_string()));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri(exchange.target).ok_or(Silence::Refused)?;
    let headers = [
        ("content-type", Some("application/json")),
        ("accept", Some("application/json, text/event-stream")),
        ("mcp-session-id", exchange.session),
        ("mcp-protocol-version", exchange.version),
        ("mcp-method", exchange.stateless.then_some(exchange.method)),
    ];
    for (name, value) in headers {
        if let Some(Ok(value)) = value.map(str::parse) {
            request.headers_mut().insert(name, value);
        }
    }
    let response = client.request(request).await.map_err(|error| {
        if error.is_connect() {
            Silence::Refused
        } else {
            Silence::Broken
        }
    })?;
    let session = response
        .headers()
        .get("mcp-session-id")
        .and_then(|v| v.to_str().ok())
        .map(str::to_owned);
    let said = read(response, id.as_ref(), exchange.session.is_some(), limit).await?;
    Ok((said, session))
}

/// Ends the prober's session.
pub(super) async fn end(client: &HttpClient, target: &Target, session: &str) {
    let mut request = Request::new(Body::empty());
    *request.method_mut() = Method::DELETE;
    let (Some(uri), Ok(session)) = (uri(target), session.parse()) else {
        return;
    };
    *request.uri_mut() = uri;
    request.headers_mut().insert("mcp-session-id", session);
    // Best effort: some servers do not end sessions.
    let _ = client.request(request).await;
}

async fn read(
    response: Response<Incoming>,
    id: Option<&Value>,
    in_session: bool,
    limit: usize,
) -> Result<Reply, Silence> {
    let status = response.status();
    let kind = response
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default()
        .to_owned();
    if id.is_none() && status.is_success() {
        return Ok(Reply::Result(Value::Null));
    }
    if kind.starts_with("text/event-stream") {
        return read_events(response, id, limit).await;
    }
    let text = read_all(response, limit).await?;
    let message: Value = lenient::read(&String::from_utf8_lossy(&text)).unwrap_or_default();
    Ok(match judge(status, &message, id) {
        _ if in_session && status == StatusCode::NOT_FOUND => Reply::NoSession,
        Some(said) => said,
        None => {
            let start = text.get(..text.len().min(80)).unwrap_or_default();
            Reply::Other(status, format!("{kind} {}", String::from_utf8_lossy(start)))
        }
    })
}

fn judge(status: StatusCode, message: &Value, id: Option<&Value>) -> Option<Reply> {
    if message.get("jsonrpc") != Some(&Value::from("2.0")) {
        return None;
    }
    if let Some(error) = message.get("error") {
        return Some(Reply::Error(status, error.clone()));
    }
    let result = message.get("result").filter(|_| message.get("id") == id)?;
    Some(Reply::Result(result.clone()))
}

async fn read_all(response: Response<Incoming>, limit: usize) -> Result<Bytes, Silence> {
    let body = http_body_util::Limited::new(response.into_body(), limit);
    let whole = body.collect().await.map_err(|_| Silence::Broken)?;
    Ok(whole.to_bytes())
}

async fn read_events(
    response: Response<Incoming>,
    id: Option<&Value>,
    limit: usize,
) -> Result<Reply, Silence> {
    let status = response.status();
    let mut body = response.into_body();
    let mut lines = Lines::with_empty(limit);
    let mut events = Events::default();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Silence::Broken)?.into_data() else {
            continue;
        };
        lines.push(&data);
        while let Some(line) = lines.next_line() {
            let Line::Whole(line) = line else {
                return Ok(Reply::Other(status, "an event over the limit".to_owned()));
            };
            let Some(data) = events.line(&line) else {
                if events.held() > limit {
                    return Ok(Reply::Other(status, "an event over the limit".to_owned()));
                }
                continue;
            };
            let message: Value = lenient::read(&String::from_utf8_lossy(&data)).unwrap_or_default();
            if message.get("method").is_none()
                && let Some(said) = judge(status, &message, id)
            {
                return Ok(said);
            }
        }
    }
    Ok(Reply::Other(
        status,
        "an event stream without an answer".to_owned(),
    ))
}
