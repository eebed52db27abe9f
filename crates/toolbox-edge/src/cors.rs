//! Headers that let browsers of other origins call the functions.

use toolbox_http::{Headers, Response};

use crate::reply::{Body, Reply};

/// What a browser that names none may send.
const ALLOW_HEADERS: &str =
    "authorization, x-client-info, apikey, content-type, idempotency-key, prefer, x-request-id";
/// Longest list of headers that is repeated, in bytes.
const MAX_ASKED: usize = 4096;
const ALLOW_METHODS: &str = "GET, POST, PUT, PATCH, DELETE, OPTIONS";
const EXPOSE_HEADERS: &str =
    "x-request-id, preference-applied, location, retry-after, mcp-session-id, www-authenticate";
/// Browsers ask again after a day at most.
const MAX_AGE: &str = "86400";

/// Which origin to allow: any, the only one configured, or the caller's when it is configured.
pub fn allow_origin<'a>(configured: &'a [String], origin: Option<&'a str>) -> Option<&'a str> {
    match configured {
        [only] => Some(only),
        many => origin.filter(|origin| many.iter().any(|one| one == origin)),
    }
}

/// The answer to a preflight; `asked` is its `access-control-request-headers`.
///
/// Every header that is asked for is allowed. Nothing is decided by which headers a browser may send: who calls is
/// known by a bearer token, which no browser sends by itself. The SDK adds headers for regions and traces, and
/// applications add their own.
pub fn preflight(asked: Option<&str>) -> Reply {
    let asked = asked.filter(|names| {
        let legal = |b: u8| b.is_ascii_graphic() || b == b' ';
        (1..=MAX_ASKED).contains(&names.trim().len()) && names.bytes().all(legal)
    });
    let mut reply = Response::new(204, Body::Empty);
    reply.headers.set(
        "access-control-allow-headers",
        asked.unwrap_or(ALLOW_HEADERS),
    );
    reply.headers.set("vary", "access-control-request-headers");
    reply
        .headers
        .set("access-control-allow-methods", ALLOW_METHODS);
    reply.headers.set("access-control-max-age", MAX_AGE);
    reply
}

/// What every answer carries.
pub fn add_headers(headers: &mut Headers, configured: &[String], origin: Option<&str>) {
    // The answer to an origin that is not allowed differs from that to one that is.
    if configured.iter().any(|one| one != "*") {
        let vary = match headers.get("vary") {
            Some(others) => format!("origin, {others}"),
            None => "origin".to_owned(),
        };
        headers.set("vary", vary);
    }
    if let Some(value) = allow_origin(configured, origin) {
        headers.set("access-control-allow-origin", value);
    }
    headers.set("access-control-expose-headers", EXPOSE_HEADERS);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins() {
        let any = ["*".to_owned()];
        let two = ["https://a".to_owned(), "https://b".to_owned()];
        assert_eq!(allow_origin(&any, Some("https://c")), Some("*"));
        assert_eq!(allow_origin(&two, Some("https://b")), Some("https://b"));
        assert_eq!(allow_origin(&two, Some("https://c")), None);
        assert_eq!(allow_origin(&two, None), None);
    }

    fn allowed(asked: Option<&str>) -> String {
        let reply = preflight(asked);
        let allowed = reply.headers.get("access-control-allow-headers");
        allowed.unwrap_or_default().to_owned()
    }

    #[test]
    fn a_browser_may_send_every_header_that_it_asks_for() {
        for asked in [
            "x-region",
            "traceparent,tracestate,baggage",
            "Authorization, X-My-App, sentry-trace",
        ] {
            assert_eq!(allowed(Some(asked)), asked);
        }
        for asked in [None, Some(""), Some(" "), Some("x\u{1}y"), Some("ä")] {
            assert_eq!(allowed(asked), ALLOW_HEADERS, "{asked:?}");
        }
        let long = "x".repeat(MAX_ASKED + 1);
        assert_eq!(allowed(Some(&long)), ALLOW_HEADERS);
    }

    #[test]
    fn caches_know_what_an_answer_depends_on() {
        let two = ["https://a".to_owned(), "https://b".to_owned()];
        for origin in [Some("https://b"), Some("https://c"), None] {
            let mut headers = preflight(Some("x")).headers;
            add_headers(&mut headers, &two, origin);
            assert_eq!(
                headers.get("vary"),
                Some("origin, access-control-request-headers"),
                "{origin:?}"
            );
        }
        let mut headers = Headers::default();
        add_headers(&mut headers, &["*".to_owned()], Some("https://c"));
        assert_eq!(headers.get("vary"), None);
    }
}
