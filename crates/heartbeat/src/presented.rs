//! What an agent presents: its toolbox in the path, and a bearer secret.
//!
//! A secret that has not even the form of one is refused before the body is looked at. Comparing is the database's,
//! by hashes of secrets that nobody can guess, so the time it takes tells nothing of use.

use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_domain::ids::ToolboxId;
use toolbox_domain::keys::{AgentKey, EnrolmentToken};
use toolbox_edge::RequestContext;

/// The toolbox the path names.
pub(crate) fn toolbox(cx: &RequestContext) -> Result<ToolboxId, ApiError> {
    cx.param(0).parse().map_err(|_| {
        ApiError::with_message(
            ErrorCode::InvalidRequest,
            "Give the id of the toolbox, a UUID",
        )
    })
}

/// Hash of the toolbox's key.
pub(crate) fn key_hash(cx: &RequestContext) -> Result<String, ApiError> {
    AgentKey::parse(bearer(cx)?)
        .map(|key| key.hash())
        .map_err(|_| ApiError::new(ErrorCode::HeartbeatKeyInvalid))
}

/// Hash of an enrolment token.
pub(crate) fn token_hash(cx: &RequestContext) -> Result<String, ApiError> {
    EnrolmentToken::parse(bearer(cx)?)
        .map(|token| token.hash())
        .map_err(|_| ApiError::new(ErrorCode::EnrolmentTokenInvalid))
}

/// A version is a short text of one line.
pub(crate) fn check_version(version: &str) -> Result<(), ApiError> {
    if (1..=64).contains(&version.len()) && version.bytes().all(|b| b.is_ascii_graphic()) {
        Ok(())
    } else {
        Err(crate::refused_field("version", &NotAVersion))
    }
}

/// The database keeps the version of an API as a 32-bit number.
pub(crate) fn check_api_version(version: u32) -> Result<(), ApiError> {
    match i32::try_from(version) {
        Ok(1..) => Ok(()),
        _ => Err(crate::refused_field("api_version", &NotAnApiVersion)),
    }
}

/// The number is no version of an API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a whole number from 1 to 2^31 - 1")]
struct NotAnApiVersion;

/// The text is no version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected 1 to 64 printable ASCII characters")]
struct NotAVersion;

fn bearer(cx: &RequestContext) -> Result<&str, ApiError> {
    cx.headers
        .get("authorization")
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, secret)| secret.trim())
        .filter(|secret| !secret.is_empty())
        .ok_or_else(|| {
            ApiError::with_message(
                ErrorCode::AuthenticationRequired,
                "Present the toolbox's key as a bearer token",
            )
        })
}
