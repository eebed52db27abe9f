//! Errors of handlers, and the one way they become answers.

use std::error::Error;
use std::fmt::Write as _;

use http::{HeaderName, HeaderValue, StatusCode, header};
use toolbox_api::dtma::Reason;
use toolbox_api::error::{ErrorBody, ErrorCode, ErrorDetails, ErrorEnvelope};
use toolbox_api::problem::FieldError;
use toolbox_clients::dtma::AgentError;
use toolbox_clients::supabase::DatabaseError;
use toolbox_clients::supabase::rows::BadRow;

use crate::reply::{Body, Reply};

/// What a handler gives instead of a reply. Callers see code, message and details; the cause is
/// for the operator's log.
#[derive(Debug)]
pub struct ApiError {
    /// The stable code, which also decides the status.
    pub code: ErrorCode,
    /// What happened this time; the code's title when there is no more to say.
    pub message: Option<String>,
    /// More for the caller.
    pub details: Option<Box<ErrorDetails>>,
    /// One more header.
    pub header: Option<(HeaderName, HeaderValue)>,
    /// For the log only.
    pub cause: Option<String>,
}

impl ApiError {
    /// An error whose title says it all.
    pub const fn new(code: ErrorCode) -> Self {
        Self {
            code,
            message: None,
            details: None,
            header: None,
            cause: None,
        }
    }

    /// An error with a sentence of its own; never a value from the caller's body.
    pub fn with_message(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            message: Some(message.into()),
            ..Self::new(code)
        }
    }

    /// Rules the request breaks.
    pub fn validation(errors: Vec<FieldError>) -> Self {
        let details = ErrorDetails {
            errors,
            ..ErrorDetails::default()
        };
        Self {
            details: Some(Box::new(details)),
            ..Self::new(ErrorCode::ValidationFailed)
        }
    }

    /// A defect of ours.
    pub fn internal(cause: &dyn Error) -> Self {
        Self {
            cause: Some(chain(cause)),
            ..Self::new(ErrorCode::Internal)
        }
    }

    /// The same with what the machine gave as the reason.
    #[must_use]
    pub fn with_reason(mut self, reason: Reason) -> Self {
        self.details.get_or_insert_default().reason = Some(reason);
        self
    }

    /// The same with its cause for the log.
    #[must_use]
    pub fn caused_by(mut self, cause: &dyn Error) -> Self {
        self.cause = Some(chain(cause));
        self
    }

    /// The sentence callers see.
    pub fn message(&self) -> &str {
        self.message.as_deref().unwrap_or_else(|| self.code.title())
    }

    /// The answer.
    pub fn into_reply(self, request_id: &str) -> Reply {
        let status =
            StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let envelope = ErrorEnvelope {
            error: ErrorBody {
                code: self.code.as_str().to_owned(),
                message: self.message().to_owned(),
                details: self.details.map(|details| *details),
                request_id: request_id.to_owned(),
            },
        };
        let mut reply = Reply::json(status, &envelope)
            .unwrap_or_else(|_| Reply::empty(StatusCode::INTERNAL_SERVER_ERROR));
        if let Some((name, value)) = self.header {
            reply = reply.header(name, value);
        }
        if status == StatusCode::UNAUTHORIZED {
            reply = reply.header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        reply
    }
}

/// An error and its sources in one line.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let _ = write!(text, ": {cause}");
        source = cause.source();
    }
    text
}

impl From<DatabaseError> for ApiError {
    fn from(error: DatabaseError) -> Self {
        Self::new(error.code()).caused_by(&error)
    }
}

impl From<BadRow> for ApiError {
    fn from(error: BadRow) -> Self {
        Self::new(ErrorCode::DatabaseBadResponse).caused_by(&error)
    }
}

impl From<AgentError> for ApiError {
    fn from(error: AgentError) -> Self {
        let mut api = Self::new(error.code()).caused_by(&error);
        if let AgentError::Problem(problem) = error {
            api.details = Some(Box::new(ErrorDetails {
                reason: Some(Reason {
                    code: problem.code.as_str().to_owned(),
                    // What a caller can act on is told in full; a defect there by its title.
                    message: match problem.status {
                        400..500 => problem.detail,
                        _ => problem.code.title().to_owned(),
                    },
                }),
                errors: problem.errors,
                ..ErrorDetails::default()
            }));
        }
        api
    }
}

impl Reply {
    /// The body's bytes, for tests and logs.
    pub fn bytes(&self) -> &[u8] {
        match self.0.body() {
            Body::Bytes(bytes) => bytes,
            Body::Empty | Body::Stream(_) => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use toolbox_domain::retry::Fault;
    use toolbox_http::TransportError;

    use super::*;

    #[test]
    fn the_cause_is_logged_and_never_answered() {
        let cause = TransportError::new(Fault::Reset, "SECRET");
        let error = ApiError::from(DatabaseError::Unreachable(cause));
        assert_eq!(
            error.cause.as_deref(),
            Some("the database cannot be reached: connection lost (SECRET)")
        );
        let reply = error.into_reply("r1");
        assert_eq!(reply.0.status(), StatusCode::SERVICE_UNAVAILABLE);
        let body = String::from_utf8_lossy(reply.bytes()).into_owned();
        assert!(!body.contains("SECRET"), "{body}");
        assert_eq!(
            body,
            r#"{"error":{"code":"database_unreachable","message":"The database cannot be reached","request_id":"r1"}}"#
        );
    }
}
