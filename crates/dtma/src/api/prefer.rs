//! `Prefer: wait=N` (RFC 7240).

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use toolbox_api::dtma::MAX_WAIT_SECONDS;

/// The answer's header that names the honoured preference.
pub const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// How long the caller wants to wait; none when it does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait(pub Option<Duration>);

impl Wait {
    /// Reads the header. A longer wait is reduced to the longest allowed. What cannot be read is ignored, as the RFC says.
    fn of(headers: &HeaderMap) -> Self {
        let seconds = headers
            .get_all("prefer")
            .iter()
            .filter_map(|v| v.to_str().ok())
            .flat_map(|v| v.split(','))
            .filter_map(|preference| preference.split(';').next()?.split_once('='))
            .find(|(name, _)| name.trim().eq_ignore_ascii_case("wait"))
            .and_then(|(_, value)| value.trim().trim_matches('"').parse::<u32>().ok());
        Self(seconds.map(|s| Duration::from_secs(s.min(MAX_WAIT_SECONDS).into())))
    }

    /// Adds to the answer that it was honoured.
    pub fn mark(self, headers: &mut HeaderMap) {
        if let Some(wait) = self.0
            && let Ok(value) = HeaderValue::from_str(&format!("wait={}", wait.as_secs()))
        {
            headers.insert(PREFERENCE_APPLIED, value);
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Wait {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.headers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(value: &str) -> Option<u64> {
        let headers =
            HeaderMap::from_iter([(HeaderName::from_static("prefer"), value.parse().unwrap())]);
        Wait::of(&headers).0.map(|d| d.as_secs())
    }

    #[test]
    fn wait_is_read_bounded_and_otherwise_ignored() {
        assert_eq!(wait("wait=20"), Some(20));
        assert_eq!(wait("respond-async, Wait = \"5\"; x=1"), Some(5));
        assert_eq!(wait("wait=999"), Some(60));
        assert_eq!(wait("wait=-1"), None);
        assert_eq!(wait("wait"), None);
        assert_eq!(wait("return=minimal"), None);
    }
}
