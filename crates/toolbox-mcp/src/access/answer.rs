//! What a server answers.

use std::collections::BTreeMap;
use std::io;

use axum::body::{Body, Bytes};
use axum::http::{Response, StatusCode, header};
use bytes::BytesMut;
use futures_util::{Stream, StreamExt, stream};
use serde_json::value::RawValue;

use super::Allowed;
use crate::rpc::{self, code};
use crate::wire::reply;

/// The answer with its lists of tools cut.
pub(super) async fn cut(
    allowed: Allowed,
    response: Response<Body>,
    limit: usize,
) -> Response<Body> {
    let kind = response.headers().get(header::CONTENT_TYPE);
    let kind = kind.map(|kind| kind.as_bytes().to_ascii_lowercase());
    let (mut head, body) = response.into_parts();
    match kind.as_deref() {
        Some(kind) if kind.starts_with(b"text/event-stream") => {
            head.headers.remove(header::CONTENT_LENGTH);
            let events = events(body.into_data_stream(), allowed, limit);
            Response::from_parts(head, Body::from_stream(events))
        }
        // A body of no kind may be read as JSON too.
        Some(_) | None => {
            let Ok(bytes) = axum::body::to_bytes(body, limit).await else {
                let text = "the server's answer is too long, or broke off";
                let body = rpc::error("null", code::UNAVAILABLE, text, None);
                return reply::json(StatusCode::BAD_GATEWAY, body);
            };
            head.headers.remove(header::CONTENT_LENGTH);
            let bytes = message(&allowed, &bytes).map_or(bytes, Bytes::from);
            Response::from_parts(head, Body::from(bytes))
        }
    }
}

/// A message, or a batch of them, with its lists of tools cut; none if there is none in it.
fn message(allowed: &Allowed, bytes: &[u8]) -> Option<String> {
    let raw: &RawValue = serde_json::from_slice(bytes).ok()?;
    if raw.get().starts_with('[') {
        let parts: Vec<&RawValue> = serde_json::from_str(raw.get()).ok()?;
        let cut: Vec<_> = parts.iter().map(|part| one(allowed, part.get())).collect();
        if cut.iter().all(Option::is_none) {
            return None;
        }
        let texts: Vec<&str> = parts
            .iter()
            .zip(&cut)
            .map(|(part, cut)| cut.as_deref().unwrap_or(part.get()))
            .collect();
        return Some(format!("[{}]", texts.join(",")));
    }
    one(allowed, raw.get())
}

/// The fields of an object as they stand there.
type Object<'a> = BTreeMap<String, &'a RawValue>;

fn one(allowed: &Allowed, text: &str) -> Option<String> {
    let mut fields: Object<'_> = serde_json::from_str(text).ok()?;
    let mut result: Object<'_> = serde_json::from_str(fields.get("result")?.get()).ok()?;
    let tools: Vec<&RawValue> = serde_json::from_str(result.get("tools")?.get()).ok()?;
    let shown: Vec<&RawValue> = tools
        .into_iter()
        .filter(|tool| allowed.may_see(tool.get()))
        .collect();
    let shown = serde_json::value::to_raw_value(&shown).ok()?;
    result.insert("tools".to_owned(), &shown);
    let result = serde_json::value::to_raw_value(&result).ok()?;
    fields.insert("result".to_owned(), &result);
    serde_json::to_string(&fields).ok()
}

/// An event stream with the lists of tools in it cut. An event is held until it is whole.
fn events<E>(
    body: impl Stream<Item = Result<Bytes, E>> + Send + Unpin + 'static,
    allowed: Allowed,
    limit: usize,
) -> impl Stream<Item = Result<Bytes, axum::BoxError>> + Send
where
    E: Into<axum::BoxError> + Send + 'static,
{
    let state = (body, BytesMut::new(), 0);
    stream::unfold(Some(state), move |state| {
        let allowed = allowed.clone();
        async move {
            let (mut body, mut held, mut searched) = state?;
            loop {
                if let Some(end) = end_of_event(&held, searched) {
                    let event = held.split_to(end).freeze();
                    let event = self::event(&allowed, &event).map_or(event, Bytes::from);
                    return Some((Ok(event), Some((body, held, 0))));
                }
                // The end may have begun at the end of what is there.
                searched = held.len().saturating_sub(3);
                match body.next().await {
                    Some(Ok(chunk)) if held.len() + chunk.len() > limit + LINES => {
                        let error = io::Error::other("an event is too long");
                        return Some((Err(error.into()), None));
                    }
                    Some(Ok(chunk)) => held.extend_from_slice(&chunk),
                    Some(Err(error)) => return Some((Err(error.into()), None)),
                    // An event that is not ended does not count.
                    None => return None,
                }
            }
        }
    })
}

/// Room for the lines of an event beside its data, and for a chunk that brings several events.
const LINES: usize = 256 * 1024;

/// Where the first event ends: after an empty line. Lines end with LF, CR LF, or CR.
fn end_of_event(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while let Some(found) = memchr::memchr2(b'\n', b'\r', bytes.get(at..)?) {
        let first = at + found;
        let second = first + line_end(bytes, first)?;
        // A CR that is last may be followed by its LF.
        if let Some(b'\n' | b'\r') = bytes.get(second) {
            return Some(second + line_end(bytes, second)?);
        }
        at = second;
    }
    None
}

/// The length of the line end at `at`; none while it is not known whether an LF belongs to it.
fn line_end(bytes: &[u8], at: usize) -> Option<usize> {
    match (bytes.get(at)?, bytes.get(at + 1)) {
        (b'\r', Some(b'\n')) => Some(2),
        (b'\r', None) => None,
        _ => Some(1),
    }
}

/// An event whose data has a list of tools, written anew; none for any other.
fn event(allowed: &Allowed, event: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(event).ok()?;
    let (mut others, mut data) = (String::new(), Vec::new());
    for line in text.split(['\n', '\r']).filter(|line| !line.is_empty()) {
        // A stream may begin with a byte order mark.
        let line = line.trim_start_matches('\u{feff}');
        if let Some(value) = line.strip_prefix("data:") {
            data.push(value.strip_prefix(' ').unwrap_or(value));
        } else {
            others.push_str(line);
            others.push('\n');
        }
    }
    let cut = message(allowed, data.join("\n").as_bytes())?;
    Some(format!("{others}data: {cut}\n\n"))
}
