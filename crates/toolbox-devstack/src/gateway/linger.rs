//! Request bodies that are read to their end even when nobody wants them any more.
//!
//! Closing a connection while its caller still sends resets it, and the caller may lose the answer that is on its
//! way (a 413, typically). So what is left of a body is read and thrown away for a while, as nginx does.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use http_body_util::BodyExt as _;
use hyper::body::{Frame, SizeHint};
use tokio::time::timeout;

/// How much and how long a caller may go on sending to nobody.
const MOST_BYTES: usize = 64 * 1024 * 1024;
const LONGEST: Duration = Duration::from_secs(10);

/// A body that lingers when it is dropped.
pub(super) struct Lingering(Body);

impl Lingering {
    pub(super) fn wrap(body: Body) -> Body {
        Body::new(Self(body))
    }
}

impl HttpBody for Lingering {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.0).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        let rest = std::mem::take(&mut self.0);
        if !rest.is_end_stream()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(timeout(LONGEST, discard(rest)));
        }
    }
}

async fn discard(mut body: Body) {
    let mut seen = 0;
    while let Some(Ok(frame)) = body.frame().await {
        seen += frame.data_ref().map_or(0, Bytes::len);
        if seen > MOST_BYTES {
            return;
        }
    }
}
