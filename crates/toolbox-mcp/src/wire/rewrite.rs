//! Answers whose messages are written anew on their way. What is held meanwhile counts in the budget.

use std::io;

use axum::body::{Body, Bytes};
use axum::http::{Response, StatusCode, header};
use bytes::BytesMut;
use futures_util::{Stream, StreamExt, stream};

use super::body::{self, BodyError, Budget, Held};
use super::{reply, sse};
use crate::rpc::{self, code};

/// What became of a message.
#[derive(Debug)]
pub(crate) enum Rewritten {
    /// It passes as it is.
    Same,
    /// It is written anew.
    Anew(String),
    /// It could not be read, so nobody knows what it says.
    Unreadable,
}

/// What is done with the data of each message, which may be a batch.
pub(crate) trait Rewrite: Send + Sync + 'static {
    /// The message as it goes on.
    fn message(&self, bytes: &[u8]) -> Rewritten;

    /// Whether a line of an event goes on that is no data.
    fn keeps(&self, _line: &str) -> bool {
        true
    }

    /// What is to be said when a stream has ended.
    fn last(&self) -> Option<Bytes> {
        None
    }
}

/// The answer with its messages written anew. A message may have `limit` bytes.
pub(crate) async fn response(
    rewrite: impl Rewrite,
    response: Response<Body>,
    limit: usize,
    budget: &Budget,
) -> Response<Body> {
    let kind = response.headers().get(header::CONTENT_TYPE);
    let kind = kind.map(|kind| kind.as_bytes().to_ascii_lowercase());
    let (mut head, body) = response.into_parts();
    match kind.as_deref() {
        Some(kind) if kind.starts_with(b"text/event-stream") => {
            head.headers.remove(header::CONTENT_LENGTH);
            let events = events(body.into_data_stream(), rewrite, limit, budget.hold());
            Response::from_parts(head, Body::from_stream(events))
        }
        // A body of no kind may be read as JSON too.
        Some(_) | None => {
            let (bytes, mut hold) = match body::read(body, limit, budget).await {
                Ok(read) => read,
                Err(BodyError::Busy) => {
                    return unavailable("too many long answers are on their way; try again");
                }
                Err(_) => return unavailable("the server's answer is too long, or broke off"),
            };
            head.headers.remove(header::CONTENT_LENGTH);
            let bytes = match rewrite.message(&bytes) {
                Rewritten::Same => bytes,
                Rewritten::Anew(text) => {
                    hold.set(text.len());
                    Bytes::from(text)
                }
                Rewritten::Unreadable if kind.is_some_and(|kind| !kind.starts_with(JSON)) => bytes,
                Rewritten::Unreadable => return unavailable("the server's answer cannot be read"),
            };
            Response::from_parts(head, Body::from(hold.carried_by(bytes)))
        }
    }
}

const JSON: &[u8] = b"application/json";

fn unavailable(text: &str) -> Response<Body> {
    let body = rpc::error("null", code::UNAVAILABLE, text, None);
    reply::json(StatusCode::BAD_GATEWAY, body)
}

/// An event stream with its messages written anew. An event is held until it is whole.
pub(crate) fn events<E>(
    body: impl Stream<Item = Result<Bytes, E>> + Send + Unpin + 'static,
    rewrite: impl Rewrite,
    limit: usize,
    memory: Held,
) -> impl Stream<Item = Result<Bytes, axum::BoxError>> + Send
where
    E: Into<axum::BoxError> + Send + 'static,
{
    let state = (body, BytesMut::new(), 0, memory, rewrite);
    stream::unfold(Some(state), move |state| {
        async move {
            let (mut body, mut held, mut searched, mut memory, rewrite) = state?;
            loop {
                if let Some(end) = end_of_event(&held, searched) {
                    let event = held.split_to(end).freeze();
                    let event = match self::event(&rewrite, &event) {
                        Rewritten::Same => event,
                        Rewritten::Anew(text) => Bytes::from(text),
                        // It is left out. The client waits for its answer as for one that was lost.
                        Rewritten::Unreadable => {
                            Bytes::from_static(b": an event that cannot be read was left out\n\n")
                        }
                    };
                    memory.set(counted(held.len()));
                    let event = memory.beside().count(event);
                    return Some((Ok(event), Some((body, held, 0, memory, rewrite))));
                }
                // The end may have begun at the end of what is there.
                searched = held.len().saturating_sub(3);
                let problem = match body.next().await {
                    Some(Ok(chunk)) if held.len() + chunk.len() > limit + LINES => {
                        "an event is too long"
                    }
                    Some(Ok(chunk)) => {
                        held.extend_from_slice(&chunk);
                        if memory.set(counted(held.len())) {
                            continue;
                        }
                        "too many long answers are on their way"
                    }
                    Some(Err(error)) => return Some((Err(error.into()), None)),
                    // An event that is not ended does not count.
                    None => {
                        let last = sse::event(rewrite.last()?).concat();
                        return Some((Ok(last.into()), None));
                    }
                };
                return Some((Err(io::Error::other(problem).into()), None));
            }
        }
    })
}

/// Room for the lines of an event beside its data, and for a chunk that brings several events.
const LINES: usize = 256 * 1024;

/// What so many bytes count: short messages do not.
const fn counted(bytes: usize) -> usize {
    if bytes > body::SMALL { bytes } else { 0 }
}

/// Where the first event ends: after an empty line. Lines end with LF, CR LF, or CR.
pub(crate) fn end_of_event(bytes: &[u8], from: usize) -> Option<usize> {
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

/// An event with its data written anew.
pub(crate) fn event(rewrite: &impl Rewrite, event: &[u8]) -> Rewritten {
    let Ok(text) = std::str::from_utf8(event) else {
        return Rewritten::Unreadable;
    };
    let (mut others, mut data, mut is_cut) = (String::new(), Vec::new(), false);
    for line in text.split(['\n', '\r']).filter(|line| !line.is_empty()) {
        // A stream may begin with a byte order mark.
        let line = line.trim_start_matches('\u{feff}');
        if let Some(value) = line.strip_prefix("data:") {
            data.push(value.strip_prefix(' ').unwrap_or(value));
        } else if rewrite.keeps(line) {
            others.push_str(line);
            others.push('\n');
        } else {
            is_cut = true;
        }
    }
    let data = data.join("\n");
    match rewrite.message(data.as_bytes()) {
        Rewritten::Anew(anew) => Rewritten::Anew(format!("{others}data: {anew}\n\n")),
        Rewritten::Same if is_cut && data.is_empty() => Rewritten::Anew(format!("{others}\n")),
        Rewritten::Same if is_cut => {
            let data = data.replace('\n', " ");
            Rewritten::Anew(format!("{others}data: {data}\n\n"))
        }
        other => other,
    }
}
