//! Streams of events that are never silent for long, so that who reads them notices a machine that is gone.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{Response, header};
use futures_util::{StreamExt, stream};

use super::sse;

/// How long a stream may be silent.
const SILENCE: Duration = Duration::from_secs(15);

/// The answer, into which comments are written while it is a silent stream of events.
pub fn keep_alive(response: Response<Body>) -> Response<Body> {
    let kind = response.headers().get(header::CONTENT_TYPE);
    if !kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream")) {
        return response;
    }
    response.map(|body| {
        let state = Some((body.into_data_stream(), [b'\n'; 2]));
        Body::from_stream(stream::unfold(state, |state| async {
            let (mut body, mut last) = state?;
            loop {
                match tokio::time::timeout(SILENCE, body.next()).await {
                    Ok(None) => return None,
                    Ok(Some(Err(error))) => return Some((Err(error), None)),
                    Ok(Some(Ok(chunk))) => {
                        for byte in chunk.iter().rev().take(4).rev() {
                            // Both ends of lines count as one.
                            if *byte != b'\r' {
                                last = [last[1], *byte];
                            }
                        }
                        return Some((Ok(chunk), Some((body, last))));
                    }
                    // A comment may only stand between events.
                    Err(_) if last == [b'\n'; 2] => {
                        let comment = Bytes::from_static(sse::KEEP_ALIVE);
                        return Some((Ok(comment), Some((body, last))));
                    }
                    Err(_) => {}
                }
            }
        }))
    })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    /// What is read of a stream that says `parts` with 40 s between them.
    async fn read(kind: &'static str, parts: &'static [&'static str]) -> String {
        let stream = stream::iter(parts).then(|part| async move {
            tokio::time::sleep(Duration::from_secs(40)).await;
            Ok::<_, Infallible>(*part)
        });
        let mut response = Response::new(Body::from_stream(stream));
        let kind = kind.parse().unwrap();
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        let body = keep_alive(response).into_body();
        let bytes = axum::body::to_bytes(body, 10_000).await.unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_comment_stands_between_events_and_nowhere_else() {
        let alive = ": keep-alive\n\n";
        assert_eq!(
            read(
                "text/event-stream",
                &["data: 1\n\n", "data: 2\r\n\r\n", "data: 3"]
            )
            .await,
            format!("{alive}{alive}data: 1\n\n{alive}{alive}data: 2\r\n\r\n{alive}{alive}data: 3")
        );
        let parts = &["data: 1\n", "\n", "data: "];
        let told = read("text/event-stream", parts).await;
        assert_eq!(
            told,
            format!("{alive}{alive}data: 1\n\n{alive}{alive}data: ")
        );
        assert_eq!(read("application/json", &["{", "}"]).await, "{}");
    }
}
