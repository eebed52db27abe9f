//! How a call to the database fails.

use serde::Deserialize;
use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_domain::retry::Fault;
use toolbox_http::retry::Transience;
use toolbox_http::{Response, TransportError};

/// Why the database did not answer the question.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DatabaseError {
    /// PostgREST, or Postgres behind it, cannot be reached.
    #[error("the database cannot be reached")]
    Unreachable(#[source] Box<TransportError>),
    /// No answer before the deadline, or a statement took too long.
    #[error("the database did not answer in time")]
    Timeout,
    /// PostgREST refused the caller's token.
    #[error("the database refused the caller's token")]
    TokenRefused,
    /// The caller's role may not read this.
    #[error("the database refused the caller's role")]
    Forbidden,
    /// The project's own secret key was refused: the function is configured wrongly, whoever calls it.
    #[error("the database refused the secret key")]
    WriterRefused,
    /// The record of one instance breaks a rule of the database; those of others were written.
    #[error("the database refused the record with code {code:?}")]
    RecordRefused {
        /// The SQLSTATE.
        code: String,
    },
    /// The row of an instance has not the form that this version knows; an instance cannot be decided of without it.
    #[error("the row of the instance cannot be read")]
    UnreadableRow,
    /// The answer is not what this version expects.
    #[error("the database answered {status} with code {code:?}")]
    BadResponse {
        /// HTTP status.
        status: u16,
        /// PostgREST's or Postgres' code, empty when there was none.
        code: String,
    },
}

/// PostgREST's error body, without the texts: they may hold values.
#[derive(Default, Deserialize)]
struct PostgrestError {
    #[serde(default)]
    code: Option<String>,
}

impl From<TransportError> for DatabaseError {
    fn from(error: TransportError) -> Self {
        match error.fault {
            Fault::Timeout => Self::Timeout,
            Fault::BadBody | Fault::Status(_) => Self::BadResponse {
                status: 0,
                code: String::new(),
            },
            Fault::Refused | Fault::Reset | Fault::Tls | Fault::Dns | Fault::CannotPin => {
                Self::Unreachable(error.into())
            }
        }
    }
}

impl DatabaseError {
    /// Reads an answer that is no success.
    pub(super) fn from_answer(answer: &Response) -> Self {
        let status = answer.status;
        let body: PostgrestError = serde_json::from_slice(&answer.body).unwrap_or_default();
        let code = body.code.unwrap_or_default();
        match (status, code.as_str()) {
            // Statement timeout, lock timeout, no pooled connection in time.
            (_, "57014" | "55P03" | "PGRST003") => Self::Timeout,
            (_, "PGRST000" | "PGRST001" | "PGRST002") => Self::unreachable(
                Fault::Status(status),
                "PostgREST has no connection to Postgres",
            ),
            // Postgres is ending, has crashed, or is not up yet.
            (_, "57P01" | "57P02" | "57P03") => {
                Self::unreachable(Fault::Status(status), "Postgres takes no statements")
            }
            (401, _) => Self::TokenRefused,
            (403, "42501") => Self::Forbidden,
            (502 | 503, _) => Self::unreachable(Fault::Status(status), &code),
            (504, _) => Self::Timeout,
            _ => Self::BadResponse { status, code },
        }
    }

    /// The same failure of a call that carried the secret key instead of a caller's token.
    #[must_use]
    pub(super) fn of_writer(self) -> Self {
        match self {
            Self::TokenRefused | Self::Forbidden | Self::BadResponse { status: 403, .. } => {
                Self::WriterRefused
            }
            other => other,
        }
    }

    fn unreachable(fault: Fault, detail: &str) -> Self {
        Self::Unreachable(Box::new(TransportError::new(fault, detail)))
    }

    /// What repeating the call depends on; none when it cannot help.
    pub fn transience(&self) -> Option<Transience> {
        match self {
            Self::Unreachable(error) => Some(Transience {
                fault: error.fault,
                retry_after: None,
            }),
            _ => None,
        }
    }

    /// The code callers see.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Unreachable(_) => ErrorCode::DatabaseUnreachable,
            Self::Timeout => ErrorCode::DatabaseTimeout,
            Self::TokenRefused => ErrorCode::InvalidToken,
            Self::Forbidden => ErrorCode::Forbidden,
            Self::WriterRefused => ErrorCode::NotConfigured,
            Self::RecordRefused { .. } | Self::UnreadableRow | Self::BadResponse { .. } => {
                ErrorCode::DatabaseBadResponse
            }
        }
    }
}

impl From<DatabaseError> for ApiError {
    fn from(error: DatabaseError) -> Self {
        Self::new(error.code()).caused_by(&error)
    }
}
