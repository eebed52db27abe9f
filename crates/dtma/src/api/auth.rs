//! The toolbox's key: without it, only public routes answer.

use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};
use toolbox_api::problem::ProblemCode;
use toolbox_domain::keys::AgentKey;

use super::AppState;
use super::error::ApiError;
use super::router::is_public;

/// Digests of the accepted keys.
pub struct Keys(Vec<[u8; 32]>);

impl Keys {
    /// Accepts these keys.
    pub fn new(keys: &[AgentKey]) -> Self {
        Self(keys.iter().map(|k| digest(k.expose())).collect())
    }

    /// Whether any key is accepted.
    pub fn any(&self) -> bool {
        !self.0.is_empty()
    }

    /// Whether the caller presents an accepted key. Digests are compared, all of them and in constant time, so
    /// neither length nor content of a key shows in how long it takes.
    fn accept(&self, headers: &HeaderMap) -> bool {
        let presented = headers
            .get(AUTHORIZATION)
            .and_then(|v| v.to_str().ok())
            .and_then(|v| v.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map_or("", |(_, token)| token.trim());
        let presented = digest(presented);
        let found = self
            .0
            .iter()
            .fold(Choice::from(0), |found, key| found | key.ct_eq(&presented));
        bool::from(found)
    }
}

fn digest(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

/// Lets a request pass if its route is public or its key is accepted. It surrounds the whole router, so a new route,
/// a wrong method and an unknown path are closed too.
pub async fn require_key(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let method = if request.method() == Method::HEAD {
        &Method::GET
    } else {
        request.method()
    };
    if is_public(method, request.uri().path()) || state.keys.accept(request.headers()) {
        next.run(request).await
    } else {
        ApiError::new(
            ProblemCode::Unauthorized,
            "The Authorization header holds no accepted key",
        )
        .into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())])
    }

    #[test]
    fn only_a_whole_key_as_bearer_token_is_accepted() {
        let key = format!("tbk_{}", "ab".repeat(32));
        let keys = Keys::new(&[AgentKey::parse(&key).unwrap()]);
        assert!(keys.accept(&headers(&format!("Bearer {key}"))));
        assert!(keys.accept(&headers(&format!("bearer  {key}"))));
        for wrong in [
            String::new(),
            key.clone(),
            "Bearer".into(),
            "Bearer ".into(),
            format!("Basic {key}"),
            format!("Bearer {}", &key[..key.len() - 1]),
            format!("Bearer {key}0"),
            format!("Bearer {}", key.to_uppercase()),
        ] {
            assert!(!keys.accept(&headers(&wrong)), "{wrong}");
        }
        assert!(!keys.accept(&HeaderMap::new()));
        assert!(!Keys::new(&[]).accept(&headers("Bearer ")));
    }
}
