//! Headers that let browsers of other origins call the functions.

use toolbox_http::{Headers, Response};

use crate::reply::{Body, Reply};

const ALLOW_HEADERS: &str =
    "authorization, x-client-info, apikey, content-type, idempotency-key, prefer, x-request-id";
const ALLOW_METHODS: &str = "GET, POST, PATCH, DELETE, OPTIONS";
const EXPOSE_HEADERS: &str = "x-request-id, preference-applied, location, retry-after";
/// Browsers ask again after a day at most.
const MAX_AGE: &str = "86400";

/// Which origin to allow: any, the only one configured, or the caller's when it is configured.
pub fn allow_origin<'a>(configured: &'a [String], origin: Option<&'a str>) -> Option<&'a str> {
    match configured {
        [only] => Some(only),
        many => origin.filter(|origin| many.iter().any(|one| one == origin)),
    }
}

/// The answer to a preflight.
pub fn preflight() -> Reply {
    let mut reply = Response::new(204, Body::Empty);
    reply
        .headers
        .set("access-control-allow-headers", ALLOW_HEADERS);
    reply
        .headers
        .set("access-control-allow-methods", ALLOW_METHODS);
    reply.headers.set("access-control-max-age", MAX_AGE);
    reply
}

/// What every answer carries.
pub fn add_headers(headers: &mut Headers, configured: &[String], origin: Option<&str>) {
    if let Some(value) = allow_origin(configured, origin) {
        if value != "*" {
            headers.set("vary", "origin");
        }
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
}
