//! Sending a request to a server, also when it has moved its endpoint on itself.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use bytes::Bytes;
use hyper::body::Incoming;
use url::{Host, Url};

use super::{HttpClient, Target};

/// Redirects that are followed in a row.
const MOST_REDIRECTS: u32 = 3;

/// A request as it can be sent again.
pub(super) struct Outgoing<'a> {
    pub(super) method: Method,
    pub(super) path: &'a str,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unsent {
    /// Nothing listens there.
    Refused,
    /// The connection broke.
    Broken,
    /// No request can be made of it.
    Malformed,
}

/// Sends `outgoing` and follows redirects that keep method and body and stay with the server. Any other redirect is the
/// answer. The server's own headers stand in place of a caller's.
pub(super) async fn send(
    client: &HttpClient,
    outgoing: Outgoing<'_>,
    target: &Target,
) -> Result<Response<Incoming>, Unsent> {
    let mut url = url(target, outgoing.path).ok_or(Unsent::Malformed)?;
    let mut headers = outgoing.headers;
    for (name, value) in &target.private.headers {
        headers.insert(name, value.clone());
    }
    let host = HeaderValue::from_str(&host_of(target)).map_err(|_| Unsent::Malformed)?;
    headers.insert(header::HOST, host);
    for _ in 0..MOST_REDIRECTS {
        let response = once(
            client,
            &outgoing.method,
            &url,
            &headers,
            &outgoing.body,
            target,
        )
        .await?;
        let keeps = matches!(
            response.status(),
            StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT
        );
        let moved = location(&response).and_then(|to| url.join(to).ok());
        match moved {
            Some(moved) if keeps && moved.origin() == url.origin() => url = moved,
            _ => return Ok(response),
        }
    }
    once(
        client,
        &outgoing.method,
        &url,
        &headers,
        &outgoing.body,
        target,
    )
    .await
}

async fn once(
    client: &HttpClient,
    method: &Method,
    url: &Url,
    headers: &HeaderMap,
    body: &Bytes,
    target: &Target,
) -> Result<Response<Incoming>, Unsent> {
    let query = url
        .query()
        .map_or_else(String::new, |query| format!("?{query}"));
    let uri = format!("http://{}{}{query}", target.address, url.path());
    let mut request = Request::new(Body::from(body.clone()));
    *request.method_mut() = method.clone();
    *request.uri_mut() = uri.parse().map_err(|_| Unsent::Malformed)?;
    *request.headers_mut() = headers.clone();
    client.request(request).await.map_err(|error| {
        if error.is_connect() {
            Unsent::Refused
        } else {
            Unsent::Broken
        }
    })
}

/// The name that the server is called by.
fn host_of(target: &Target) -> String {
    format!("localhost:{}", target.address.port())
}

fn url(target: &Target, path: &str) -> Option<Url> {
    Url::parse(&format!("http://{}{path}", host_of(target))).ok()
}

fn location(response: &Response<Incoming>) -> Option<&str> {
    response.headers().get(header::LOCATION)?.to_str().ok()
}

/// Where a redirect that was not followed leads, in words that name the field which cures it; none for another answer.
pub(super) fn elsewhere(response: &Response<Incoming>, target: &Target) -> Option<String> {
    if !response.status().is_redirection() {
        return None;
    }
    let status = response.status().as_u16();
    let Some(to) = location(response) else {
        return Some(format!("HTTP {status}, a redirect that names no target"));
    };
    let base = url(target, &target.path);
    let moved = base.as_ref().and_then(|base| base.join(to).ok());
    let own = moved
        .as_ref()
        .filter(|moved| base.is_some_and(|base| base.origin() == moved.origin()));
    Some(match own {
        Some(moved) => format!(
            "HTTP {status}, a redirect to {0}; set endpointPath to {0}",
            moved.path()
        ),
        None => format!(
            "HTTP {status}, a redirect to {to}, which is another server; set endpointPath to a path that this one answers"
        ),
    })
}

/// Path and query of a URL that a server gives as its own. A server may call itself by any name of the machine it runs on,
/// whatever port that is reached by here; no other host is called.
pub(super) fn own_path(given: &str, target: &Target) -> Option<String> {
    let url = url(target, &target.path)?.join(given).ok()?;
    let is_itself = match url.host()? {
        Host::Domain(name) => name == "localhost",
        Host::Ipv4(ip) => ip.is_loopback() || ip.is_unspecified(),
        Host::Ipv6(ip) => ip.is_loopback() || ip.is_unspecified(),
    };
    if url.scheme() != "http" || !is_itself {
        return None;
    }
    let query = url
        .query()
        .map_or_else(String::new, |query| format!("?{query}"));
    Some(format!("{}{query}", url.path()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_server_names_only_itself() {
        let target = Target {
            address: ([127, 0, 0, 1], 32_768).into(),
            path: "/base/sse".to_owned(),
            private: Arc::default(),
            revision: 0,
        };
        for (given, path) in [
            ("/messages/?session_id=a", Some("/messages/?session_id=a")),
            ("messages?s=a", Some("/base/messages?s=a")),
            ("?s=a", Some("/base/sse?s=a")),
            ("http://localhost:32768/m", Some("/m")),
            ("http://0.0.0.0:8000/m", Some("/m")),
            ("http://127.0.0.1:8000/m", Some("/m")),
            ("http://[::1]:8000/m", Some("/m")),
            ("http://example.com/m", None),
            ("//example.com/m", None),
            ("https://localhost:32768/m", None),
            ("http://169.254.169.254/m", None),
            ("http://localhost.example.com/m", None),
            ("http://", None),
        ] {
            assert_eq!(own_path(given, &target).as_deref(), path, "{given}");
        }
    }
}
