//! One JSON-RPC exchange with a server over HTTP, bounded in time and size.

use axum::http::{HeaderMap, HeaderName, Method, Response, StatusCode, header};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;

use super::send::{self, Outgoing, Unsent};
use super::{HttpClient, Target};
use crate::lenient;
use crate::rpc::{self, Message};
use crate::wire::sse::{Part, Reader};

/// A server's answer to one message.
#[derive(Debug)]
pub(super) enum Reply {
    /// A result, as it came.
    Result(String),
    /// A JSON-RPC error, with the HTTP status it came with.
    Error(StatusCode, Value),
    /// Something that is no JSON-RPC answer.
    Other(StatusCode, String),
    /// The session is not known any more.
    NoSession,
    /// A redirect that was not followed, in words.
    Elsewhere(String),
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
    let given = [
        ("content-type", Some("application/json")),
        ("accept", Some("application/json, text/event-stream")),
        ("mcp-session-id", exchange.session),
        ("mcp-protocol-version", exchange.version),
        ("mcp-method", exchange.stateless.then_some(exchange.method)),
    ];
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        if let Some(Ok(value)) = value.map(str::parse) {
            headers.insert(name, value);
        }
    }
    let outgoing = Outgoing {
        method: Method::POST,
        path: &exchange.target.path,
        headers,
        body: exchange.body.to_string().into(),
    };
    let response = send::send(client, outgoing, exchange.target)
        .await
        .map_err(|unsent| match unsent {
            Unsent::Refused | Unsent::Malformed => Silence::Refused,
            Unsent::Broken => Silence::Broken,
        })?;
    if let Some(elsewhere) = send::elsewhere(&response, exchange.target) {
        return Ok((Reply::Elsewhere(elsewhere), None));
    }
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
    let Ok(session) = session.parse() else {
        return;
    };
    let outgoing = Outgoing {
        method: Method::DELETE,
        path: &target.path,
        headers: HeaderMap::from_iter([(HeaderName::from_static("mcp-session-id"), session)]),
        body: Bytes::new(),
    };
    // Best effort: some servers do not end sessions.
    let _ = send::send(client, outgoing, target).await;
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
        return Ok(Reply::Result(String::new()));
    }
    if kind.starts_with("text/event-stream") {
        return read_events(response, id, limit).await;
    }
    let text = read_all(response, limit).await?;
    Ok(match judge(status, &text, id) {
        _ if in_session && status == StatusCode::NOT_FOUND => Reply::NoSession,
        Some(said) => said,
        None => {
            let start = text.get(..text.len().min(80)).unwrap_or_default();
            Reply::Other(status, format!("{kind} {}", String::from_utf8_lossy(start)))
        }
    })
}

/// An answer that clients can read counts, however strange what is in it.
fn judge(status: StatusCode, bytes: &Bytes, id: Option<&Value>) -> Option<Reply> {
    let message = Message::parse(rpc::without_mark(bytes)).ok()?;
    if let Some(error) = &message.error {
        let error = lenient::read(message.raw(error)).unwrap_or_default();
        return Some(Reply::Error(status, error));
    }
    let answers = message.number(message.id.as_ref()).map(Value::from) == id.cloned();
    let result = message.result.as_ref().filter(|_| answers)?;
    Some(Reply::Result(message.raw(result).to_owned()))
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
    let mut reader = Reader::default();
    let (mut data, mut too_long, mut answer) = (Vec::new(), false, None);
    while let Some(frame) = body.frame().await {
        let Ok(bytes) = frame.map_err(|_| Silence::Broken)?.into_data() else {
            continue;
        };
        reader.read(&bytes, |_, part| match part {
            Part::Data(more) if data.len() + more.len() > limit => too_long = true,
            Part::Data(more) => data.extend_from_slice(more),
            Part::End => {
                let message = Bytes::from(std::mem::take(&mut data));
                answer = answer.take().or_else(|| judge(status, &message, id));
            }
        });
        if let Some(answer) = answer {
            return Ok(answer);
        }
        if too_long {
            return Ok(Reply::Other(status, "an event over the limit".to_owned()));
        }
    }
    Ok(Reply::Other(
        status,
        "an event stream without an answer".to_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_is_ours_in_each_form_of_its_id_and_after_a_mark() {
        let ours = |mark: &str, given: &Value| {
            let message = json!({"jsonrpc": "2.0", "id": given, "result": {}});
            let message = Bytes::from(format!("{mark}{message}"));
            judge(StatusCode::OK, &message, Some(&json!(1))).is_some()
        };
        for id in [json!(1), json!("1"), json!(1.0)] {
            assert!(ours("", &id) && ours("\u{feff}", &id), "{id}");
        }
        for id in [json!(2), json!("2"), json!(1.5), json!(null)] {
            assert!(!ours("", &id), "{id}");
        }
    }
}
