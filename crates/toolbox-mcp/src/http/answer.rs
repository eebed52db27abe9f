//! What a server answers, as it passes to the client.

use std::io;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::Response;
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use tokio::time::Instant;

use super::{TO_CLIENT, UnderWay};
use crate::limits::Limits;
use crate::wire::sse::{self, Part, Reader};

/// A call whose answer is on its way.
pub(super) struct Call {
    /// Ends with the answer, or with the client that no longer reads it.
    _under_way: UnderWay,
    /// How long the server may be silent.
    patience: Duration,
    silent: Instant,
    /// When the answer must be whole.
    end: Instant,
    /// Tells the messages of an event stream from its comments.
    events: Option<Reader>,
}

impl Call {
    pub(super) fn new(under_way: UnderWay, limits: &Limits) -> Self {
        let now = Instant::now();
        Self {
            _under_way: under_way,
            patience: limits.call,
            silent: now + limits.call,
            end: now + limits.call_in_all,
            events: None,
        }
    }

    /// Comments that keep an event stream alive are no sign of progress.
    fn took(&mut self, frame: &Frame<Bytes>) {
        let mut progress = self.events.is_none();
        if let (Some(events), Some(bytes)) = (&mut self.events, frame.data_ref()) {
            events.read(bytes, |_, part| progress |= matches!(part, Part::Data(_)));
        }
        if progress {
            self.silent = Instant::now() + self.patience;
        }
    }
}

/// The answer without what only the server and this machine need to know. That of a call breaks off when the server is
/// silent for too long; another stream stays open.
pub(super) fn back(response: Response<Incoming>, call: Option<Call>) -> Response<Body> {
    let is_events = sse::is(&response);
    let (head, body) = response.into_parts();
    let body = match call {
        Some(mut call) => {
            call.events = is_events.then(Reader::default);
            Body::new(StreamBody::new(bounded(body, call)))
        }
        None => Body::new(body),
    };
    let mut back = Response::new(body);
    *back.status_mut() = head.status;
    for (name, value) in &head.headers {
        if TO_CLIENT.contains(name) {
            back.headers_mut().append(name, value.clone());
        }
    }
    back
}

fn bounded(
    body: Incoming,
    call: Call,
) -> impl stream::Stream<Item = Result<Frame<Bytes>, axum::BoxError>> + Send {
    stream::unfold(Some((body, call)), |state| async {
        let (mut body, mut call) = state?;
        let until = call.silent.min(call.end);
        match tokio::time::timeout_at(until, body.frame()).await {
            Ok(Some(Ok(frame))) => {
                call.took(&frame);
                Some((Ok(frame), Some((body, call))))
            }
            Ok(Some(Err(error))) => Some((Err(error.into()), None)),
            Ok(None) => None,
            Err(_) => {
                tracing::debug!("a server began an answer and did not end it in time");
                let error = io::Error::from(io::ErrorKind::TimedOut);
                Some((Err(error.into()), None))
            }
        }
    })
}
