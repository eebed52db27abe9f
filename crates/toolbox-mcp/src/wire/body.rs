//! Reading a body: bounded in size, time, and over all requests in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;

/// How long a body may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(30);

/// Memory for bodies that are being read.
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
}

impl Default for Budget {
    fn default() -> Self {
        Self::new(32 * 1024 * 1024)
    }
}

/// Memory that is given back when this is dropped.
#[derive(Debug)]
pub struct Held {
    budget: Budget,
    bytes: usize,
}

impl Held {
    fn more(&mut self, bytes: usize) -> Result<(), BodyError> {
        let before = self.budget.used.fetch_add(bytes, Ordering::Relaxed);
        self.bytes += bytes;
        if before + bytes > self.budget.most {
            return Err(BodyError::Busy);
        }
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
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
    let mut held = Held {
        budget: budget.clone(),
        bytes: 0,
    };
    // Nearly all bodies are one frame that has already arrived.
    let reading = async {
        let mut first = Bytes::new();
        let mut rest: Option<BytesMut> = None;
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| BodyError::Broken)?.into_data() else {
                continue;
            };
            held.more(data.len())?;
            if held.bytes > limit {
                return Err(BodyError::TooLarge(limit));
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
