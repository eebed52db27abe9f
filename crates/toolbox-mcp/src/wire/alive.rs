//! Streams of events for clients far away: never silent for long, so that who reads them notices a machine that is gone; and
//! ended in time, where something on the way ends them after a while.
//!
//! A stream that is ended says with its last event where to go on: the rest is kept for a moment, until the client asks for
//! the events that follow this one (`Last-Event-ID`). Nothing is sent twice, so nothing is stored.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use axum::http::{HeaderMap, HeaderValue, Method, Response, header};
use futures_util::{StreamExt, stream};
use tokio::time::Instant;
use uuid::Uuid;

use super::checks;
use super::sse;

/// How long a stream may be silent.
const SILENCE: Duration = Duration::from_secs(15);
/// How long the rest of a stream is kept for its client.
const KEPT: Duration = Duration::from_mins(1);
/// Most rests that are kept; streams beyond it are not ended.
const MOST_KEPT: usize = 256;
/// The revision whose clients go on with a call in another stream.
const GOES_ON: &str = "2025-11-25";
/// How ids of events begin by which a stream goes on.
const PREFIX: &str = "toolbox-";
/// A client comes again after a second.
const COME_AGAIN: &str = "retry: 1000\n";

/// The rests of streams that were ended.
#[derive(Debug, Default)]
pub struct Rests {
    // A leaf lock, never held across an await.
    kept: Mutex<HashMap<Uuid, Rest>>,
}

#[derive(Debug)]
struct Rest {
    owner: String,
    events: Events,
}

/// A stream of events, and how far it was read.
#[derive(Debug)]
struct Events {
    body: BodyDataStream,
    /// The last two bytes, without CR.
    last: [u8; 2],
}

/// When a stream has to end, and what happens then.
pub struct End {
    at: Instant,
    then: Then,
}

enum Then {
    /// The client listens again, as it may at any time.
    Listens,
    /// The rest is kept for this owner.
    Keeps(Arc<Rests>, String),
}

/// What a client asks for who wants to go on.
pub enum GoOn {
    /// Nothing of the kind.
    No,
    /// The rest of this stream.
    With(Response<Body>),
    /// What is not there any more.
    Gone,
}

impl Rests {
    /// When the answer to a request has to end, if it may be ended. `longest` is its time, `owner` who may go on with it.
    pub fn end(
        self: &Arc<Self>,
        method: &Method,
        headers: &HeaderMap,
        longest: Duration,
        owner: &str,
    ) -> Option<End> {
        let version = headers.get(checks::VERSION);
        let then = if *method == Method::GET {
            Then::Listens
        } else if version.is_some_and(|version| version == GOES_ON) {
            Then::Keeps(Arc::clone(self), owner.to_owned())
        } else {
            return None;
        };
        let at = Instant::now() + longest;
        Some(End { at, then })
    }

    /// The rest of the stream that a request asks for, if it does.
    pub fn go_on(
        self: &Arc<Self>,
        method: &Method,
        headers: &HeaderMap,
        longest: Duration,
        owner: &str,
    ) -> GoOn {
        let id = headers.get("last-event-id").and_then(|id| id.to_str().ok());
        let Some(id) = id.and_then(|id| id.strip_prefix(PREFIX)) else {
            return GoOn::No;
        };
        if *method != Method::GET {
            return GoOn::No;
        }
        let rest = id.parse().ok().and_then(|id| self.take(id, owner));
        let Some(events) = rest else {
            return GoOn::Gone;
        };
        let end = End {
            at: Instant::now() + longest,
            then: Then::Keeps(Arc::clone(self), owner.to_owned()),
        };
        let mut response = Response::new(events.alive(Some(end)));
        let headers = response.headers_mut();
        let events = HeaderValue::from_static("text/event-stream");
        headers.insert(header::CONTENT_TYPE, events);
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        GoOn::With(response)
    }

    /// Keeps a rest for a moment, or gives it back.
    fn keep(self: &Arc<Self>, owner: String, events: Events) -> Result<Uuid, Events> {
        let id = Uuid::new_v4();
        let mut kept = self.kept();
        if kept.len() >= MOST_KEPT {
            return Err(events);
        }
        kept.insert(id, Rest { owner, events });
        drop(kept);
        let rests = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(KEPT).await;
            // Nobody reads it: the call ends as that of a client who has left.
            rests.kept().remove(&id);
        });
        Ok(id)
    }

    fn take(&self, id: Uuid, owner: &str) -> Option<Events> {
        let mut kept = self.kept();
        kept.get(&id).filter(|rest| rest.owner == owner)?;
        kept.remove(&id).map(|rest| rest.events)
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<Uuid, Rest>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The answer, into which comments are written while it is a silent stream of events, and which ends when it has to.
pub fn keep_alive(response: Response<Body>, end: Option<End>) -> Response<Body> {
    if !sse::is(&response) {
        return response;
    }
    response.map(|body| {
        let events = Events {
            body: body.into_data_stream(),
            last: *b"\n\n",
        };
        events.alive(end)
    })
}

impl Events {
    fn alive(self, end: Option<End>) -> Body {
        Body::from_stream(stream::unfold(Some((self, end)), |state| async {
            let (mut events, mut end) = state?;
            loop {
                // Comments and ends may only stand between events.
                let between = events.last == *b"\n\n";
                let now = Instant::now();
                if between && end.as_ref().is_some_and(|end| end.at <= now) {
                    match end.take()?.farewell(events) {
                        Ok(farewell) => return Some((Ok(farewell), None)),
                        Err(back) => events = back,
                    }
                }
                let until = match &end {
                    Some(end) if between => end.at.min(now + SILENCE),
                    _ => now + SILENCE,
                };
                match tokio::time::timeout_at(until, events.body.next()).await {
                    Ok(None) => return None,
                    Ok(Some(Err(error))) => return Some((Err(error), None)),
                    Ok(Some(Ok(chunk))) => {
                        events.read(&chunk);
                        return Some((Ok(chunk), Some((events, end))));
                    }
                    Err(_) if between && until == now + SILENCE => {
                        let comment = Bytes::from_static(sse::KEEP_ALIVE);
                        return Some((Ok(comment), Some((events, end))));
                    }
                    Err(_) => {}
                }
            }
        }))
    }

    fn read(&mut self, chunk: &[u8]) {
        for byte in chunk.iter().rev().take(4).rev() {
            // Both ends of lines count as one.
            if *byte != b'\r' {
                self.last = [self.last[1], *byte];
            }
        }
    }
}

impl End {
    /// The last event of a stream that ends; its events where it cannot.
    fn farewell(self, events: Events) -> Result<Bytes, Events> {
        match self.then {
            Then::Listens => Ok(format!("{COME_AGAIN}\n").into()),
            Then::Keeps(rests, owner) => {
                let id = rests.keep(owner, events)?;
                Ok(format!("id: {PREFIX}{id}\n{COME_AGAIN}data: \n\n").into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    /// An answer that says `parts` with 40 s between them.
    fn response(kind: &'static str, parts: &'static [&'static str]) -> Response<Body> {
        let stream = stream::iter(parts).then(|part| async move {
            tokio::time::sleep(Duration::from_secs(40)).await;
            Ok::<_, Infallible>(*part)
        });
        let mut response = Response::new(Body::from_stream(stream));
        let kind = kind.parse().unwrap();
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }

    async fn read(response: Response<Body>) -> String {
        let bytes = axum::body::to_bytes(response.into_body(), 10_000).await;
        String::from_utf8(bytes.unwrap().to_vec()).unwrap()
    }

    async fn alive(kind: &'static str, parts: &'static [&'static str]) -> String {
        read(keep_alive(response(kind, parts), None)).await
    }

    fn headers(given: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.insert(*name, value.parse().unwrap());
        }
        headers
    }

    #[tokio::test(start_paused = true)]
    async fn a_comment_stands_between_events_and_nowhere_else() {
        let comment = ": keep-alive\n\n";
        assert_eq!(
            alive(
                "text/event-stream",
                &["data: 1\n\n", "data: 2\r\n\r\n", "data: 3"]
            )
            .await,
            format!(
                "{comment}{comment}data: 1\n\n{comment}{comment}data: 2\r\n\r\n{comment}{comment}data: 3"
            )
        );
        let parts = &["data: 1\n", "\n", "data: "];
        let told = alive("text/event-stream", parts).await;
        assert_eq!(
            told,
            format!("{comment}{comment}data: 1\n\n{comment}{comment}data: ")
        );
        assert_eq!(alive("application/json", &["{", "}"]).await, "{}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_takes_longer_than_its_stream_goes_on_in_others() {
        let rests = Arc::new(Rests::default());
        let longest = Duration::from_secs(50);
        let parts = &["data: 1\n\n", "data: 2\n", "\n", "data: 3\n\n"];
        let given = headers(&[("mcp-protocol-version", GOES_ON)]);
        let end = rests.end(&Method::POST, &given, longest, "a").unwrap();
        let mut answer = keep_alive(response("text/event-stream", parts), Some(end));
        let mut told = String::new();
        let mut streams = 0;
        loop {
            streams += 1;
            let text = read(answer).await;
            let Some(at) = text.find("id: ") else {
                told.push_str(&text);
                break;
            };
            let (events, farewell) = text.split_at(at);
            told.push_str(events);
            let id = farewell.strip_prefix("id: ").unwrap();
            let id = id.strip_suffix("\nretry: 1000\ndata: \n\n").unwrap();
            let asks = headers(&[("last-event-id", id)]);
            let go_on = |owner| rests.go_on(&Method::GET, &asks, longest, owner);
            assert!(matches!(go_on("b"), GoOn::Gone), "it is not theirs");
            let GoOn::With(rest) = go_on("a") else {
                panic!("the rest of the stream")
            };
            assert!(matches!(go_on("a"), GoOn::Gone), "it is taken once");
            answer = rest;
        }
        assert_eq!(
            told.replace(": keep-alive\n\n", ""),
            "data: 1\n\ndata: 2\n\ndata: 3\n\n"
        );
        assert_eq!(streams, 3, "an event is not cut in two");
    }

    #[tokio::test(start_paused = true)]
    async fn a_rest_that_nobody_asks_for_is_dropped() {
        let rests = Arc::new(Rests::default());
        let given = headers(&[("mcp-protocol-version", GOES_ON)]);
        let end = rests.end(&Method::POST, &given, Duration::from_secs(1), "a");
        let text = read(keep_alive(
            response("text/event-stream", &["data: 1\n\n"]),
            end,
        ))
        .await;
        assert!(text.starts_with("id: "), "{text}");
        assert_eq!(rests.kept().len(), 1);
        tokio::time::sleep(KEPT + Duration::from_secs(1)).await;
        assert_eq!(rests.kept().len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn only_clients_that_go_on_are_left_in_the_middle() {
        let rests = Arc::new(Rests::default());
        let end = |method, given: &[(&'static str, &str)]| {
            rests.end(&method, &headers(given), Duration::from_secs(1), "a")
        };
        for version in ["2025-06-18", "2026-07-28"] {
            assert!(end(Method::POST, &[("mcp-protocol-version", version)]).is_none());
        }
        assert!(end(Method::POST, &[]).is_none());
        let listens = end(Method::GET, &[]);
        let text = read(keep_alive(
            response("text/event-stream", &["data: 1\n\n"]),
            listens,
        ))
        .await;
        assert_eq!(text, "retry: 1000\n\n");
        let other = headers(&[("last-event-id", "of-the-server")]);
        let asked = rests.go_on(&Method::GET, &other, Duration::from_secs(1), "a");
        assert!(matches!(asked, GoOn::No));
    }
}
