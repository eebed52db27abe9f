//! Reading a body: bounded in size, time, and over all requests in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;

/// How long a body may take to arrive, and how long it may pause.
const ARRIVAL: Duration = Duration::from_mins(5);
const PAUSE: Duration = Duration::from_secs(30);

/// Messages up to this length, in bytes, are not counted: what bounds them is how many there may be.
pub const SMALL: usize = 64 * 1024;

/// Memory for long messages of all bridges, on whichever way: bodies that are being read, lines of servers, what waits for
/// a server, and answers that wait for a client to read them. What is taken in is refused when it is used up.
#[derive(Clone, Debug)]
pub struct Budget {
    used: Arc<AtomicUsize>,
    most: usize,
}

impl Budget {
    /// At most so many bytes at once.
    pub fn new(most: usize) -> Self {
        Self {
            used: Arc::new(AtomicUsize::new(0)),
            most,
        }
    }

    /// Holds nothing yet.
    pub fn hold(&self) -> Held {
        Held {
            budget: self.clone(),
            bytes: 0,
        }
    }

    /// Counts a long message until it is dropped.
    pub fn count(&self, message: Bytes) -> Bytes {
        if message.len() <= SMALL {
            return message;
        }
        let mut held = self.hold();
        held.set(message.len());
        held.carried_by(message)
    }

    /// Bytes in use.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Bytes there are.
    pub const fn most(&self) -> usize {
        self.most
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self::new(128 * 1024 * 1024)
    }
}

/// Memory that is given back when this is dropped.
#[derive(Debug)]
pub struct Held {
    budget: Budget,
    bytes: usize,
}

impl Held {
    /// Holds so many bytes in all; whether there is room for them. They count in either case.
    pub fn set(&mut self, bytes: usize) -> bool {
        let before = std::mem::replace(&mut self.bytes, bytes);
        if bytes <= before {
            self.budget
                .used
                .fetch_sub(before - bytes, Ordering::Relaxed);
            return true;
        }
        let more = bytes - before;
        self.budget.used.fetch_add(more, Ordering::Relaxed) + more <= self.budget.most
    }

    /// The budget that it is held in.
    pub const fn beside(&self) -> &Budget {
        &self.budget
    }

    /// `message`, which takes this memory with it if it is long.
    pub fn carried_by(self, message: Bytes) -> Bytes {
        if message.len() <= SMALL {
            return message;
        }
        Bytes::from_owner(Carrier {
            message,
            _held: self,
        })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// A message and its memory.
struct Carrier {
    message: Bytes,
    _held: Held,
}

impl AsRef<[u8]> for Carrier {
    fn as_ref(&self) -> &[u8] {
        &self.message
    }
}

/// A body that was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Over the limit.
    #[error("the message is larger than {0} bytes")]
    TooLarge(usize),
    /// Too many large bodies at once.
    #[error("too many large messages are being read; try again")]
    Busy,
    /// It ended early, or came too slowly.
    #[error("the message did not arrive whole")]
    Broken,
}

impl BodyError {
    /// The HTTP status that says so.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Broken => StatusCode::BAD_REQUEST,
        }
    }
}

/// Reads all of `body`.
pub async fn read(
    mut body: Body,
    limit: usize,
    budget: &Budget,
) -> Result<(Bytes, Held), BodyError> {
    let mut held = budget.hold();
    // Nearly all bodies are one frame that has already arrived.
    let reading = async {
        let mut first = Bytes::new();
        let mut rest: Option<BytesMut> = None;
        while let Some(frame) = tokio::time::timeout(PAUSE, body.frame())
            .await
            .map_err(|_| BodyError::Broken)?
        {
            let Ok(data) = frame.map_err(|_| BodyError::Broken)?.into_data() else {
                continue;
            };
            if held.bytes + data.len() > limit {
                return Err(BodyError::TooLarge(limit));
            }
            if !held.set(held.bytes + data.len()) {
                return Err(BodyError::Busy);
            }
            match &mut rest {
                None if first.is_empty() => first = data,
                None => {
                    let mut both = BytesMut::with_capacity(first.len() + data.len());
                    both.extend_from_slice(&first);
                    both.extend_from_slice(&data);
                    rest = Some(both);
                }
                Some(rest) => rest.extend_from_slice(&data),
            }
        }
        Ok(rest.map_or(first, BytesMut::freeze))
    };
    let bytes = tokio::time::timeout(ARRIVAL, reading)
        .await
        .map_err(|_| BodyError::Broken)??;
    Ok((bytes, held))
}
