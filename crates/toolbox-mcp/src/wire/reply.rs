//! From a mailbox to an HTTP answer: one JSON object when the answer is the first thing there is, else an event stream.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use futures_util::stream::{self, Stream, StreamExt};
use serde::Deserialize;
use uuid::Uuid;

use super::accept::Accepts;
use super::checks::SESSION;
use super::sse;
use crate::mailbox::{Answer, Mail, Receiver};
use crate::rpc::{self, Kind, Message, code};

/// A call that takes longer gets an event stream, so that a client that has left is noticed.
const STREAM_AFTER: Duration = Duration::from_secs(2);
/// The pieces of an event, which follow each other.
type Event = Vec<Bytes>;

/// Pause between keep-alive comments on a silent stream.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// A JSON answer.
pub fn json(status: StatusCode, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response
}

/// An answer without a body. `allow` names the allowed methods of a 405.
pub fn status(status: StatusCode, allow: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    if !allow.is_empty() {
        response
            .headers_mut()
            .insert(header::ALLOW, HeaderValue::from_static(allow));
    }
    response
}

/// The answer to a request. `begins` is the session that a successful answer begins: its header comes before the answer,
/// which may take as long as the server needs to start.
pub async fn exchange(
    mut mail: Receiver,
    accepts: Accepts,
    listens: bool,
    begins: Option<Uuid>,
) -> Response<Body> {
    if !accepts.json {
        return match mail.try_next() {
            Some(Mail::Answer(answer)) if answer.status != 200 => whole(answer),
            first => events(mail, first, begins),
        };
    }
    if !accepts.events {
        // This client gets only the answer.
        loop {
            match mail.next().await {
                Some(Mail::Message(_)) => {}
                Some(Mail::Answer(answer)) => return whole(answer),
                None => return gone(),
            }
        }
    }
    // Keep-alive comments begin before the client's own timeout. A subscription has no answer to wait for.
    let patience = if listens {
        KEEP_ALIVE / 30
    } else {
        STREAM_AFTER
    };
    match tokio::time::timeout(patience, mail.next()).await {
        Ok(Some(Mail::Answer(answer))) => whole(answer),
        Ok(Some(message)) => events(mail, Some(message), begins),
        Ok(None) => gone(),
        Err(_) => events(mail, None, begins),
    }
}

/// The id of a request whose answer may begin before the server has said anything: its client takes events, and no head is
/// waited for, as it is where a session begins.
pub fn waits(headers: &HeaderMap, body: &Bytes) -> Option<String> {
    let accepts = Accepts::read(headers).ok()?;
    let message = Message::parse(body.clone()).ok()?;
    let id = message.id.as_ref()?;
    let may = accepts.events && message.kind == Kind::Request && &*message.method != "initialize";
    may.then(|| message.raw(id).to_owned())
}

/// The answer that comes, to the request with this id (JSON). When it does not begin in time, a stream of events does, and the
/// answer is an event in it. It is read up to `limit` bytes then.
pub async fn in_time(
    mut answer: BoxFuture<'static, Response<Body>>,
    id: String,
    limit: usize,
) -> Response<Body> {
    if let Ok(answer) = tokio::time::timeout(KEEP_ALIVE, &mut answer).await {
        return answer;
    }
    let alive = vec![Bytes::from_static(sse::KEEP_ALIVE)];
    streamed(
        stream::once(async { alive }).chain(late(answer, id, limit)),
        None,
    )
}

/// An answer that is late: comments until it is there, then what is in it.
fn late(
    answer: BoxFuture<'static, Response<Body>>,
    id: String,
    limit: usize,
) -> impl Stream<Item = Event> + Send {
    stream::unfold(Late::Waits(answer), move |late| {
        let id = id.clone();
        async move {
            match late {
                Late::Waits(mut answer) => {
                    match tokio::time::timeout(KEEP_ALIVE, &mut answer).await {
                        Err(_) => {
                            let alive = vec![Bytes::from_static(sse::KEEP_ALIVE)];
                            Some((alive, Late::Waits(answer)))
                        }
                        Ok(answer) if sse::is(&answer) => {
                            let parts = answer.into_body().into_data_stream();
                            Some((Vec::new(), Late::Streams(parts)))
                        }
                        Ok(answer) => Some((as_event(answer, &id, limit).await, Late::Over)),
                    }
                }
                Late::Streams(mut parts) => {
                    if let Ok(part) = parts.next().await? {
                        return Some((vec![part], Late::Streams(parts)));
                    }
                    // The event before it may be cut off.
                    let mut event = vec![Bytes::from_static(b"\n\n")];
                    event.extend(error_event(&id, "the server broke its answer off"));
                    Some((event, Late::Over))
                }
                Late::Over => None,
            }
        }
    })
}

enum Late {
    Waits(BoxFuture<'static, Response<Body>>),
    Streams(BodyDataStream),
    Over,
}

/// A JSON-RPC error, as far as it is read here.
#[derive(Deserialize)]
struct Refusal {
    error: Failure,
}

#[derive(Deserialize)]
struct Failure {
    message: String,
}

async fn as_event(answer: Response<Body>, id: &str, limit: usize) -> Event {
    let status = answer.status();
    let Ok(body) = axum::body::to_bytes(answer.into_body(), limit).await else {
        return error_event(id, "the server's answer broke off, or is too long");
    };
    if status == StatusCode::OK {
        return sse::event(body);
    }
    let told = serde_json::from_slice::<Refusal>(&body).map(|refusal| refusal.error.message);
    error_event(
        id,
        &told.unwrap_or_else(|_| format!("the server answered HTTP {}", status.as_u16())),
    )
}

fn error_event(id: &str, text: &str) -> Event {
    sse::event(rpc::error(id, code::UNAVAILABLE, text, None))
}

/// The answers to the requests of a batch.
pub async fn several(mails: Vec<Receiver>, accepts: Accepts) -> Response<Body> {
    if accepts.events {
        let events = mails.into_iter().map(|mail| Box::pin(each(mail, None)));
        return streamed(stream::select_all(events), None);
    }
    let mut answers = Vec::with_capacity(mails.len());
    for mut mail in mails {
        while let Some(next) = mail.next().await {
            if let Mail::Answer(answer) = next {
                answers.push(answer.body);
            }
        }
    }
    let mut body = BytesMut::from(&b"["[..]);
    for (at, answer) in answers.iter().enumerate() {
        if at > 0 {
            body.extend_from_slice(b",");
        }
        body.extend_from_slice(answer);
    }
    body.extend_from_slice(b"]");
    json(StatusCode::OK, body.freeze())
}

/// The answer to a message that gets none of its own: taken, or refused.
pub async fn short(mut mail: Receiver) -> Response<Body> {
    match mail.next().await {
        Some(Mail::Answer(answer)) => whole(answer),
        _ => gone(),
    }
}

/// A stream of what belongs to a session.
pub async fn stream(mut mail: Receiver) -> Response<Body> {
    // A refusal comes at once; otherwise the stream begins.
    match tokio::time::timeout(Duration::from_millis(20), mail.next()).await {
        Ok(Some(Mail::Answer(answer))) => whole(answer),
        Ok(Some(message)) => events(mail, Some(message), None),
        Ok(None) => gone(),
        Err(_) => events(mail, None, None),
    }
}

fn whole(answer: Answer) -> Response<Body> {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = if answer.body.is_empty() {
        self::status(status, "")
    } else {
        json(status, answer.body)
    };
    if let Some(session) = answer.session
        && let Ok(value) = HeaderValue::from_str(&session.to_string())
    {
        response.headers_mut().insert(SESSION, value);
    }
    response
}

fn gone() -> Response<Body> {
    let body = rpc::error("null", code::UNAVAILABLE, "the call was given up", None);
    json(StatusCode::SERVICE_UNAVAILABLE, body)
}

fn events(mail: Receiver, first: Option<Mail>, session: Option<Uuid>) -> Response<Body> {
    streamed(each(mail, first), session)
}

/// The mails of one exchange as events.
fn each(mail: Receiver, first: Option<Mail>) -> impl Stream<Item = Event> + Send {
    stream::unfold(Some((mail, first)), |state| async {
        let (mut mail, first) = state?;
        let next = match first {
            Some(mail) => Ok(Some(mail)),
            None => tokio::time::timeout(KEEP_ALIVE, mail.next()).await,
        };
        let (pieces, rest) = match next {
            Ok(Some(Mail::Message(message))) => (sse::event(message), Some((mail, None))),
            Ok(Some(Mail::Answer(answer))) => (sse::event(answer.body), None),
            Ok(None) => return None,
            Err(_) => (
                vec![Bytes::from_static(sse::KEEP_ALIVE)],
                Some((mail, None)),
            ),
        };
        Some((pieces, rest))
    })
}

fn streamed(
    events: impl Stream<Item = Event> + Send + 'static,
    session: Option<Uuid>,
) -> Response<Body> {
    let pieces = events.flat_map(|event| stream::iter(event.into_iter().map(Ok::<_, Infallible>)));
    let mut response = Response::new(Body::from_stream(pieces));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    if let Some(session) = session
        && let Ok(value) = HeaderValue::from_str(&session.to_string())
    {
        headers.insert(SESSION, value);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a client reads of an answer that begins after a while, and the head it has.
    async fn read(after: u64, answer: Response<Body>) -> (StatusCode, bool, String) {
        let later = Box::pin(async move {
            tokio::time::sleep(Duration::from_secs(after)).await;
            answer
        });
        let answer = in_time(later, "7".to_owned(), 100).await;
        let (status, is_stream) = (answer.status(), sse::is(&answer));
        let bytes = axum::body::to_bytes(answer.into_body(), 10_000).await;
        let text = String::from_utf8(bytes.unwrap().to_vec()).unwrap();
        (status, is_stream, text)
    }

    fn ok(body: &'static str) -> Response<Body> {
        json(StatusCode::OK, Bytes::from_static(body.as_bytes()))
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_late_begins_as_a_stream_of_events() {
        let soon = read(10, ok("{\"id\":7}")).await;
        assert_eq!(soon, (StatusCode::OK, false, "{\"id\":7}".to_owned()));
        let alive = ": keep-alive\n\n";
        let late = read(40, ok("{\"id\":7}")).await;
        let event = "event: message\ndata: {\"id\":7}\n\n";
        let text = format!("{alive}{alive}{event}");
        assert_eq!(late, (StatusCode::OK, true, text));
        let events = streamed(
            stream::iter([sse::event(Bytes::from_static(b"{\"id\":7}"))]),
            None,
        );
        let (_, is_stream, text) = read(20, events).await;
        assert_eq!(
            (is_stream, text),
            (true, format!("{alive}{event}")),
            "its own events pass"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_that_is_late_answers_the_request() {
        let refused = rpc::error("null", code::TIMED_OUT, "the server did not answer", None);
        for (answer, words) in [
            (
                json(StatusCode::GATEWAY_TIMEOUT, refused),
                "the server did not answer",
            ),
            (
                status(StatusCode::BAD_GATEWAY, ""),
                "the server answered HTTP 502",
            ),
            (
                json(StatusCode::OK, Bytes::from(vec![b'x'; 101])),
                "or is too long",
            ),
        ] {
            let (status, _, text) = read(20, answer).await;
            assert_eq!(status, StatusCode::OK);
            assert!(text.contains("\"id\":7") && text.contains(words), "{text}");
        }
    }
}
