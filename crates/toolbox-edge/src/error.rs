//! Errors of handlers, and the one way they become answers.

use std::error::Error;
use std::fmt::Write as _;
use std::ops::{Deref, DerefMut};

use toolbox_api::dtma::Reason;
use toolbox_api::error::{ErrorBody, ErrorCode, ErrorDetails, ErrorEnvelope};
use toolbox_api::problem::FieldError;
use toolbox_clients::dtma::AgentError;
use toolbox_clients::supabase::DatabaseError;
use toolbox_clients::supabase::rows::BadRow;

use crate::reply::{self, Body, Reply};

/// What a handler gives instead of a reply.
#[derive(Debug)]
pub struct ApiError(Box<Parts>);

/// The parts of an [`ApiError`]. Callers see code, message and details; the cause is for the
/// operator's log.
#[derive(Debug)]
pub struct Parts {
    /// The stable code, which also decides the status.
    pub code: ErrorCode,
    /// What happened this time; the code's title when there is no more to say.
    pub message: Option<String>,
    /// More for the caller.
    pub details: Option<Box<ErrorDetails>>,
    /// One more header.
    pub header: Option<(&'static str, String)>,
    /// For the log only.
    pub cause: Option<String>,
}

impl Deref for ApiError {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl DerefMut for ApiError {
    fn deref_mut(&mut self) -> &mut Parts {
        &mut self.0
    }
}

impl ApiError {
    /// An error whose title says it all.
    pub fn new(code: ErrorCode) -> Self {
        Self(Box::new(Parts {
            code,
            message: None,
            details: None,
            header: None,
            cause: None,
        }))
    }

    /// An error with a sentence of its own; never a value from the caller's body.
    pub fn with_message(code: ErrorCode, message: impl Into<String>) -> Self {
        let mut error = Self::new(code);
        error.message = Some(message.into());
        error
    }

    /// Rules the request breaks.
    pub fn validation(errors: Vec<FieldError>) -> Self {
        let mut error = Self::new(ErrorCode::ValidationFailed);
        error.details.get_or_insert_default().errors = errors;
        error
    }

    /// A defect of ours.
    pub fn internal(cause: &impl Error) -> Self {
        Self::new(ErrorCode::Internal).caused_by(cause)
    }

    /// The same with what the machine gave as the reason.
    #[must_use]
    pub fn with_reason(mut self, reason: Reason) -> Self {
        self.details.get_or_insert_default().reason = Some(reason);
        self
    }

    /// The same with its cause for the log.
    #[must_use]
    pub fn caused_by(mut self, cause: &impl Error) -> Self {
        self.cause = Some(chain(cause));
        self
    }

    /// The sentence callers see.
    pub fn message(&self) -> &str {
        self.message.as_deref().unwrap_or_else(|| self.code.title())
    }

    /// The answer.
    pub fn into_reply(mut self, request_id: &str) -> Reply {
        let status = self.code.status();
        let envelope = ErrorEnvelope {
            error: ErrorBody {
                code: self.code.as_str().to_owned(),
                message: self.message().to_owned(),
                details: self.details.take().map(|details| *details),
                request_id: request_id.to_owned(),
            },
        };
        let mut reply =
            reply::json(status, &envelope).unwrap_or_else(|_| Reply::new(status, Body::Empty));
        if let Some((name, value)) = self.header.take() {
            reply.headers.set(name, value);
        }
        if status == 401 {
            reply.headers.set("www-authenticate", "Bearer");
        }
        reply
    }
}

/// An error and its sources in one line.
pub fn chain(error: &impl Error) -> String {
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

#[cfg(test)]
mod tests {
    use toolbox_domain::retry::Fault;
    use toolbox_http::TransportError;

    use super::*;

    #[test]
    fn the_cause_is_logged_and_never_answered() {
        let cause = TransportError::new(Fault::Reset, "SECRET");
        let error = ApiError::from(DatabaseError::Unreachable(Box::new(cause)));
        assert_eq!(
            error.cause.as_deref(),
            Some("the database cannot be reached: connection lost (SECRET)")
        );
        let reply = error.into_reply("r1");
        assert_eq!(reply.status, 503);
        let Body::Bytes(bytes) = reply.body else {
            panic!("no body")
        };
        let body = String::from_utf8(bytes).unwrap();
        assert!(!body.contains("SECRET"), "{body}");
        assert_eq!(
            body,
            r#"{"error":{"code":"database_unreachable","message":"The database cannot be reached","request_id":"r1"}}"#
        );
    }
}
