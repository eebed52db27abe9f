//! Asks programs on this machine, one connection a request.

use std::net::Ipv4Addr;
use std::time::Duration;

use axum::body::Body;
use http::{Request, Response, header};
use http_body_util::BodyExt as _;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Whether `GET url` answers with success within a second.
pub(crate) async fn answers(url: String) -> bool {
    let Ok(request) = Request::get(url).body(Body::empty()) else {
        return false;
    };
    matches!(timeout(Duration::from_secs(1), send(request)).await, Ok(Some(answer)) if answer.status().is_success())
}

/// Whether something accepts connections on this port.
pub(crate) async fn accepts(port: u16) -> bool {
    let connect = TcpStream::connect((Ipv4Addr::LOCALHOST, port));
    matches!(timeout(Duration::from_secs(1), connect).await, Ok(Ok(_)))
}

/// Posts JSON with an API key; the answer as JSON, or why there is none.
pub(crate) async fn post(url: &str, key: &str, body: &Value) -> Result<Value, String> {
    let request = Request::post(url)
        .header(header::CONTENT_TYPE, "application/json")
        .header("apikey", key)
        .body(Body::from(body.to_string()))
        .map_err(|error| error.to_string())?;
    let answer = send(request).await.ok_or("no answer")?;
    let read = answer
        .into_body()
        .collect()
        .await
        .map_err(|error| error.to_string())?
        .to_bytes();
    serde_json::from_slice(&read).map_err(|_| String::from_utf8_lossy(&read).into_owned())
}

/// As the schedule of `docs/DEPLOY.md` waits for a tick, the longest of these calls.
const LONGEST_TICK: Duration = Duration::from_mins(1);

/// Sends one request; `None` when nothing answers in time.
pub(crate) async fn send(request: Request<Body>) -> Option<Response<Body>> {
    // No pool: a probe must see whether a new connection works.
    let client = Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(0)
        .build_http();
    let answer = timeout(LONGEST_TICK, client.request(request))
        .await
        .ok()?
        .ok()?;
    Some(answer.map(Body::new))
}
