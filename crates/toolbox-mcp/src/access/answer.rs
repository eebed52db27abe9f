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
                return unavailable("the server's answer is too long, or broke off");
            };
            head.headers.remove(header::CONTENT_LENGTH);
            let bytes = match message(&allowed, &bytes) {
                Cut::Nothing => bytes,
                Cut::Anew(text) => Bytes::from(text),
                Cut::Unreadable if kind.is_some_and(|kind| !kind.starts_with(JSON)) => bytes,
                Cut::Unreadable => return unavailable("the server's answer is no JSON"),
            };
            Response::from_parts(head, Body::from(bytes))
        }
    }
}

const JSON: &[u8] = b"application/json";

fn unavailable(text: &str) -> Response<Body> {
    let body = rpc::error("null", code::UNAVAILABLE, text, None);
    reply::json(StatusCode::BAD_GATEWAY, body)
}

/// What became of something in which lists of tools were looked for.
#[derive(Debug)]
enum Cut {
    /// It has none.
    Nothing,
    /// It is written anew, with shorter lists.
    Anew(String),
    /// It could not be read, so nobody knows what it shows.
    Unreadable,
}

/// A message, or a batch of them, with its lists of tools cut.
fn message(allowed: &Allowed, bytes: &[u8]) -> Cut {
    if bytes.is_empty() {
        return Cut::Nothing;
    }
    let Ok(raw) = serde_json::from_slice::<&RawValue>(bytes) else {
        return Cut::Unreadable;
    };
    if !raw.get().starts_with('[') {
        return one(allowed, raw.get());
    }
    let Ok(parts) = serde_json::from_str::<Vec<&RawValue>>(raw.get()) else {
        return Cut::Unreadable;
    };
    let mut texts = Vec::with_capacity(parts.len());
    let mut is_new = false;
    for part in parts {
        match one(allowed, part.get()) {
            Cut::Nothing => texts.push(part.get().to_owned()),
            Cut::Anew(text) => {
                is_new = true;
                texts.push(text);
            }
            Cut::Unreadable => return Cut::Unreadable,
        }
    }
    if is_new {
        Cut::Anew(format!("[{}]", texts.join(",")))
    } else {
        Cut::Nothing
    }
}

/// The fields of an object as they stand there.
type Object<'a> = BTreeMap<String, &'a RawValue>;

fn one(allowed: &Allowed, text: &str) -> Cut {
    // What is no object, or has no object as its result, has no list.
    let Ok(mut fields) = serde_json::from_str::<Object<'_>>(text) else {
        return Cut::Nothing;
    };
    let Some(result) = fields.get("result") else {
        return Cut::Nothing;
    };
    let Ok(mut result) = serde_json::from_str::<Object<'_>>(result.get()) else {
        return Cut::Nothing;
    };
    let Some(tools) = result.get("tools") else {
        return Cut::Nothing;
    };
    let Ok(tools) = serde_json::from_str::<Vec<&RawValue>>(tools.get()) else {
        return Cut::Unreadable;
    };
    let shown: Vec<&RawValue> = tools
        .into_iter()
        .filter(|tool| allowed.may_see(tool.get()))
        .collect();
    let Ok(shown) = serde_json::value::to_raw_value(&shown) else {
        return Cut::Unreadable;
    };
    result.insert("tools".to_owned(), &shown);
    let Ok(result) = serde_json::value::to_raw_value(&result) else {
        return Cut::Unreadable;
    };
    fields.insert("result".to_owned(), &result);
    serde_json::to_string(&fields).map_or(Cut::Unreadable, Cut::Anew)
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
                    let event = match self::event(&allowed, &event) {
                        Cut::Nothing => event,
                        Cut::Anew(text) => Bytes::from(text),
                        // It is left out. The client waits for its answer as for one that was lost.
                        Cut::Unreadable => {
                            Bytes::from_static(b": an event that is no JSON was left out\n\n")
                        }
                    };
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

/// An event with the lists of tools in its data cut.
fn event(allowed: &Allowed, event: &[u8]) -> Cut {
    let Ok(text) = std::str::from_utf8(event) else {
        return Cut::Unreadable;
    };
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
    match message(allowed, data.join("\n").as_bytes()) {
        Cut::Anew(cut) => Cut::Anew(format!("{others}data: {cut}\n\n")),
        other => other,
    }
}
