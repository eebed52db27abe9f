//! Refusals, in the shapes Supabase Auth answers with.

use axum::Json;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};

use crate::error::{StackError, chain};
use crate::jwt::TokenError;
use crate::progress::say;

/// From this API version on (header `x-supabase-api-version`), `code` is the code and `message` the sentence.
const NEW_SHAPE: &str = "2024-01-01";

/// Why a request is refused.
#[derive(Debug)]
pub(super) enum AuthError {
    Invalid(&'static str),
    BadBody,
    UnsupportedGrant,
    Credentials,
    UserExists,
    WeakPassword,
    NoToken,
    BadToken(TokenError),
    NoSubject,
    NoSession,
    NoUser,
    RefreshUnknown,
    RefreshReused,
    NoFlow,
    SamePassword,
    Method,
    NotHere,
    Internal,
}

impl From<StackError> for AuthError {
    fn from(error: StackError) -> Self {
        // The caller is told nothing of the database; the person at the terminal is.
        say(format_args!("[auth] {}", chain(&error)));
        Self::Internal
    }
}

impl AuthError {
    fn parts(&self) -> (StatusCode, &'static str, String) {
        let (status, code, message) = match self {
            Self::Invalid(message) => (StatusCode::BAD_REQUEST, "validation_failed", *message),
            Self::BadBody => (
                StatusCode::BAD_REQUEST,
                "bad_json",
                "Could not parse request body as JSON",
            ),
            Self::UnsupportedGrant => (
                StatusCode::BAD_REQUEST,
                "invalid_credentials",
                "unsupported_grant_type",
            ),
            Self::Credentials => (
                StatusCode::BAD_REQUEST,
                "invalid_credentials",
                "Invalid login credentials",
            ),
            Self::UserExists => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "user_already_exists",
                "User already registered",
            ),
            Self::WeakPassword => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "weak_password",
                "Password should be at least 6 characters.",
            ),
            Self::NoToken => (
                StatusCode::UNAUTHORIZED,
                "no_authorization",
                "This endpoint requires a valid Bearer token",
            ),
            Self::BadToken(error) => {
                let message = format!("invalid JWT: unable to parse or verify signature, {error}");
                return (StatusCode::FORBIDDEN, "bad_jwt", message);
            }
            Self::NoSubject => (
                StatusCode::FORBIDDEN,
                "bad_jwt",
                "invalid claim: missing sub claim",
            ),
            Self::NoSession => (
                StatusCode::FORBIDDEN,
                "session_not_found",
                "Session from session_id claim in JWT does not exist",
            ),
            Self::NoUser => (
                StatusCode::FORBIDDEN,
                "user_not_found",
                "User from sub claim in JWT does not exist",
            ),
            Self::RefreshUnknown => (
                StatusCode::BAD_REQUEST,
                "refresh_token_not_found",
                "Invalid Refresh Token: Refresh Token Not Found",
            ),
            Self::RefreshReused => (
                StatusCode::BAD_REQUEST,
                "refresh_token_already_used",
                "Invalid Refresh Token: Already Used",
            ),
            Self::NoFlow => (
                StatusCode::NOT_FOUND,
                "flow_state_not_found",
                "invalid flow state, no valid flow state found",
            ),
            Self::SamePassword => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "same_password",
                "New password should be different from the old password.",
            ),
            Self::Method => (
                StatusCode::METHOD_NOT_ALLOWED,
                "unknown",
                "Method not allowed",
            ),
            Self::NotHere => (
                StatusCode::NOT_IMPLEMENTED,
                "not_implemented",
                "The local sign-in does not have this endpoint; use `supabase start` for all of Supabase Auth",
            ),
            Self::Internal => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "unexpected_failure",
                "Internal Server Error",
            ),
        };
        (status, code, message.to_owned())
    }

    pub(super) fn respond(&self, version: Option<&HeaderValue>) -> Response {
        let (status, code, message) = self.parts();
        // Versions are dates, so their text sorts as they do.
        let new_shape = version
            .and_then(|v| v.to_str().ok())
            .is_some_and(|v| v >= NEW_SHAPE);
        let mut body = if new_shape {
            json!({ "code": code, "message": message })
        } else {
            json!({ "code": status.as_u16(), "error_code": code, "msg": message })
        };
        if matches!(self, Self::WeakPassword) {
            body["weak_password"] = json!({ "reasons": ["length"] });
        }
        let mut answer = (status, Json::<Value>(body)).into_response();
        let headers = answer.headers_mut();
        headers.insert(
            HeaderName::from_static("x-sb-error-code"),
            HeaderValue::from_static(code),
        );
        if new_shape {
            headers.insert(
                HeaderName::from_static("x-supabase-api-version"),
                HeaderValue::from_static(NEW_SHAPE),
            );
        }
        answer
    }
}
