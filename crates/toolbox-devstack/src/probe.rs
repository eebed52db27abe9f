//! Asks programs on this machine, one connection a request.

use std::time::Duration;

use axum::body::Body;
use http::{Request, Response};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::time::timeout;

/// Whether `GET url` answers with success within a second.
pub(crate) async fn answers(url: String) -> bool {
    let Ok(request) = Request::get(url).body(Body::empty()) else {
        return false;
    };
    matches!(timeout(Duration::from_secs(1), send(request)).await, Ok(Some(answer)) if answer.status().is_success())
}

/// Sends one request; `None` when nothing answers in time.
pub(crate) async fn send(request: Request<Body>) -> Option<Response<Body>> {
    // No pool: a probe must see whether a new connection works.
    let client = Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(0)
        .build_http();
    let answer = timeout(Duration::from_secs(15), client.request(request))
        .await
        .ok()?
        .ok()?;
    Some(answer.map(Body::new))
}
