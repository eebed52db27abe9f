//! Which API key came with a request, and what it stands for.
//!
//! `sb_publishable_…` and `sb_secret_…` are no JWTs: for PostgREST they become a short-lived one with the role anon
//! or service_role, unless the request carries a user's token. The legacy keys are JWTs already.

use std::sync::{Mutex, PoisonError};

use axum::Json;
use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use http::{Request, StatusCode};
use serde_json::json;

use crate::jwt::Keys;
use crate::now;

/// Life of a token made for a key, in seconds; used for the first half of it.
const LIFE: i64 = 120;

/// Where a key may stand when a header cannot be set.
const KEY_IN_QUERY: &str = "apikey=";

/// Whom a key stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Anon,
    Service,
}

/// Who is calling, once the key is known to be good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    /// The request brings its own token.
    Token,
    /// The key alone.
    Key(Role),
}

/// The four keys of the project.
pub(crate) struct ApiKeys {
    pub(crate) publishable: String,
    pub(crate) secret: String,
    pub(crate) anon: String,
    pub(crate) service_role: String,
    made: [Mutex<(i64, String)>; 2],
}

impl ApiKeys {
    pub(crate) fn new(publishable: &str, secret: &str, anon: &str, service_role: &str) -> Self {
        Self {
            publishable: publishable.to_owned(),
            secret: secret.to_owned(),
            anon: anon.to_owned(),
            service_role: service_role.to_owned(),
            made: [Mutex::default(), Mutex::default()],
        }
    }

    /// Reads the key of a request.
    pub(super) fn caller(&self, request: &Request<Body>) -> Result<Caller, Refusal> {
        let header = |name: &str| {
            request
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok())
        };
        let in_query = request.uri().query().and_then(|query| {
            query
                .split('&')
                .find_map(|pair| pair.strip_prefix(KEY_IN_QUERY))
        });
        let Some(key) = header("apikey").or(in_query) else {
            return Err(Refusal::NoKey);
        };
        let Some(role) = self.role(key) else {
            return Err(Refusal::WrongKey);
        };
        match header("authorization") {
            None => Ok(Caller::Key(role)),
            Some(value) => {
                let token = value.strip_prefix("Bearer ").unwrap_or(value);
                if token == key {
                    Ok(Caller::Key(role))
                } else if token.starts_with("sb_") {
                    Err(Refusal::TwoKeys)
                } else {
                    Ok(Caller::Token)
                }
            }
        }
    }

    fn role(&self, key: &str) -> Option<Role> {
        if key == self.publishable || key == self.anon {
            Some(Role::Anon)
        } else if key == self.secret || key == self.service_role {
            Some(Role::Service)
        } else {
            None
        }
    }

    /// A token with the key's role.
    pub(super) fn token(&self, role: Role, keys: &Keys) -> String {
        let (slot, name) = match role {
            Role::Anon => (&self.made[0], "anon"),
            Role::Service => (&self.made[1], "service_role"),
        };
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        let now = now();
        if slot.0 < now {
            let claims = json!({ "iss": "supabase", "role": name, "iat": now, "exp": now + LIFE });
            *slot = (now + LIFE / 2, keys.sign(&claims));
        }
        slot.1.clone()
    }
}

/// A path without the key in its query, which PostgREST would take for a filter.
pub(super) fn without_key(path: &str) -> String {
    let Some((path, query)) = path.split_once('?') else {
        return path.to_owned();
    };
    let kept: Vec<&str> = query
        .split('&')
        .filter(|pair| !pair.starts_with(KEY_IN_QUERY))
        .collect();
    if kept.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{}", kept.join("&"))
    }
}

/// Why a request gets no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    NoKey,
    WrongKey,
    /// One key's name with another key's rights.
    TwoKeys,
}

impl Refusal {
    pub(super) fn respond(self) -> Response {
        let (message, hint) = match self {
            Self::NoKey => (
                "No API key found in request",
                "No `apikey` request header or url param was found.",
            ),
            Self::WrongKey => (
                "Invalid API key",
                "Double check your Supabase `anon` or `service_role` API key.",
            ),
            Self::TwoKeys => (
                "Invalid API key",
                "The Authorization header holds another API key than `apikey`.",
            ),
        };
        (
            StatusCode::UNAUTHORIZED,
            Json(json!({ "message": message, "hint": hint })),
        )
            .into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(headers: &[(&str, &str)], query: &str) -> Result<Caller, Refusal> {
        let keys = ApiKeys::new("sb_publishable_a", "sb_secret_b", "anon.jwt", "service.jwt");
        let mut request = Request::builder().uri(format!("http://host/rest/v1/t{query}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        keys.caller(&request.body(Body::empty()).unwrap())
    }

    #[test]
    fn a_key_alone_or_repeated_stands_for_its_role() {
        assert_eq!(
            caller(&[("apikey", "sb_publishable_a")], ""),
            Ok(Caller::Key(Role::Anon))
        );
        assert_eq!(
            caller(&[], "?apikey=sb_secret_b"),
            Ok(Caller::Key(Role::Service))
        );
        let repeated = [("apikey", "anon.jwt"), ("authorization", "Bearer anon.jwt")];
        assert_eq!(caller(&repeated, ""), Ok(Caller::Key(Role::Anon)));
    }

    #[test]
    fn only_the_key_leaves_the_query() {
        assert_eq!(without_key("/t?a=1&apikey=k&b=2"), "/t?a=1&b=2");
        assert_eq!(without_key("/t?apikey=k"), "/t");
        assert_eq!(without_key("/t"), "/t");
    }

    #[test]
    fn a_users_token_is_kept() {
        let headers = [
            ("apikey", "sb_publishable_a"),
            ("authorization", "Bearer user.jwt.here"),
        ];
        assert_eq!(caller(&headers, ""), Ok(Caller::Token));
    }

    #[test]
    fn no_key_a_wrong_key_and_two_keys_are_refused() {
        assert_eq!(caller(&[], ""), Err(Refusal::NoKey));
        assert_eq!(
            caller(&[("authorization", "Bearer user.jwt.here")], ""),
            Err(Refusal::NoKey)
        );
        assert_eq!(
            caller(&[("apikey", "sb_secret_wrong")], ""),
            Err(Refusal::WrongKey)
        );
        let mixed = [
            ("apikey", "sb_publishable_a"),
            ("authorization", "Bearer sb_secret_b"),
        ];
        assert_eq!(caller(&mixed, ""), Err(Refusal::TwoKeys));
    }
}
