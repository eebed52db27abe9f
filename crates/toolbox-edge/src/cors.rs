//! Headers that let browsers of other origins call the functions.

use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::reply::Reply;

const ALLOW_HEADERS: HeaderValue = HeaderValue::from_static(
    "authorization, x-client-info, apikey, content-type, idempotency-key, prefer, x-request-id",
);
const ALLOW_METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PATCH, DELETE, OPTIONS");
const EXPOSE_HEADERS: HeaderValue =
    HeaderValue::from_static("x-request-id, preference-applied, location, retry-after");
/// Browsers ask again after a day at most.
const MAX_AGE: HeaderValue = HeaderValue::from_static("86400");

/// Which origin to allow: any, the only one configured, or the caller's when it is configured.
pub fn allow_origin(configured: &[String], origin: Option<&HeaderValue>) -> Option<HeaderValue> {
    match configured {
        [only] => HeaderValue::from_str(only).ok(),
        many => origin
            .filter(|o| many.iter().any(|c| c.as_bytes() == o.as_bytes()))
            .cloned(),
    }
}

/// The answer to a preflight.
pub fn preflight() -> Reply {
    Reply::empty(StatusCode::NO_CONTENT)
        .header(header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOW_HEADERS)
        .header(header::ACCESS_CONTROL_ALLOW_METHODS, ALLOW_METHODS)
        .header(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE)
}

/// What every answer carries.
pub fn add_headers(headers: &mut HeaderMap, configured: &[String], origin: Option<&HeaderValue>) {
    if let Some(value) = allow_origin(configured, origin) {
        if value != "*" {
            headers.insert(header::VARY, HeaderValue::from_static("origin"));
        }
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, value);
    }
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSE_HEADERS);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins() {
        let any = ["*".to_owned()];
        let two = ["https://a".to_owned(), "https://b".to_owned()];
        let b = HeaderValue::from_static("https://b");
        let c = HeaderValue::from_static("https://c");
        assert_eq!(allow_origin(&any, Some(&c)).unwrap(), "*");
        assert_eq!(allow_origin(&two, Some(&b)).unwrap(), "https://b");
        assert_eq!(allow_origin(&two, Some(&c)), None);
        assert_eq!(allow_origin(&two, None), None);
    }
}
