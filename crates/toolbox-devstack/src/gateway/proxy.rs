//! Forwards a request to a program on this machine, streaming both ways.

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri, Version, header};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::time::timeout;

use super::connector::Connector;

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Unreachable,
    /// Its answer had not begun in time.
    TooSlow,
}

/// Headers that belong to one connection, not to the message.
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Largest body sent on a connection that others use too, in bytes.
const SMALL_BODY: u64 = 64 * 1024;

/// Connections to the programs behind the gateway.
pub(crate) struct Proxy {
    pooled: Client<Connector, Body>,
    /// For large bodies: a program that refuses one unread closes the connection, soon after its answer.
    single: Client<Connector, Body>,
}

impl Proxy {
    pub(crate) fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(Duration::from_secs(5)));
        connector.set_nodelay(true);
        let pooled = Client::builder(TokioExecutor::new())
            // Shorter than any upstream keeps one, so that a closed connection is rarely picked.
            .pool_idle_timeout(Duration::from_secs(4))
            .build(Connector(connector.clone()));
        let single = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .build(Connector(connector));
        Self { pooled, single }
    }

    /// Sends `request` to `inner` (path and query) at `target` (host and port).
    pub(super) async fn forward(
        &self,
        mut request: Request<Body>,
        target: &str,
        inner: &str,
        limit: Duration,
    ) -> Result<Response, Fault> {
        let uri: Uri = format!("http://{target}{inner}")
            .parse()
            .map_err(|_| Fault::Unreachable)?;
        *request.uri_mut() = uri;
        *request.version_mut() = Version::HTTP_11;
        let client = if has_small_body(request.headers()) {
            &self.pooled
        } else {
            &self.single
        };
        let headers = request.headers_mut();
        strip(headers);
        if let Some(host) = headers.remove(header::HOST) {
            headers.insert("x-forwarded-host", host);
        }
        headers.insert("x-forwarded-proto", HeaderValue::from_static("http"));
        let came_from = forwarded_for(headers);
        headers.insert("x-forwarded-for", came_from);
        let answer = timeout(limit, client.request(request))
            .await
            .map_err(|_| Fault::TooSlow)?;
        let mut answer = answer.map_err(|_| Fault::Unreachable)?.map(Body::new);
        strip(answer.headers_mut());
        Ok(answer)
    }
}

/// As gateways do: who asked, behind what a proxy in front said of its own callers.
fn forwarded_for(headers: &HeaderMap) -> HeaderValue {
    let said = headers.get("x-forwarded-for").map(HeaderValue::as_bytes);
    said.and_then(|said| HeaderValue::from_bytes(&[said, b", 127.0.0.1"].concat()).ok())
        .unwrap_or(HeaderValue::from_static("127.0.0.1"))
}

/// None, or one whose length is known to be small.
fn has_small_body(headers: &HeaderMap) -> bool {
    match headers.get(header::CONTENT_LENGTH) {
        Some(length) => length
            .to_str()
            .ok()
            .and_then(|length| length.parse::<u64>().ok())
            .is_some_and(|length| length <= SMALL_BODY),
        None => !headers.contains_key(header::TRANSFER_ENCODING),
    }
}

fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in HOP_BY_HOP.iter().chain(&named) {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_small_only_when_it_says_so() {
        let with = |name: HeaderName, value: &'static str| {
            HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
        };
        assert!(has_small_body(&HeaderMap::new()));
        assert!(has_small_body(&with(header::CONTENT_LENGTH, "65536")));
        assert!(!has_small_body(&with(header::CONTENT_LENGTH, "65537")));
        assert!(!has_small_body(&with(header::CONTENT_LENGTH, "x")));
        assert!(!has_small_body(&with(header::TRANSFER_ENCODING, "chunked")));
    }

    #[test]
    fn who_asked_is_behind_what_was_said_of_others() {
        let mut headers = HeaderMap::new();
        assert_eq!(forwarded_for(&headers), "127.0.0.1");
        headers.insert("x-forwarded-for", HeaderValue::from_static("8.8.8.8"));
        assert_eq!(forwarded_for(&headers), "8.8.8.8, 127.0.0.1");
    }

    #[test]
    fn headers_of_the_connection_stay_behind() {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::CONNECTION,
            HeaderValue::from_static("keep-alive, X-Secret-Hop"),
        );
        headers.insert("x-secret-hop", HeaderValue::from_static("1"));
        headers.insert(
            header::TRANSFER_ENCODING,
            HeaderValue::from_static("chunked"),
        );
        headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
        strip(&mut headers);
        assert_eq!(headers.keys().collect::<Vec<_>>(), [header::ACCEPT]);
    }
}
