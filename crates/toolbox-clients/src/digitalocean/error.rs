//! How a call to DigitalOcean fails.

use std::time::Duration;

use serde::Deserialize;
use toolbox_domain::retry::Fault;
use toolbox_http::retry::Transience;
use toolbox_http::{Response, TransportError};

/// Longest text of DigitalOcean that is kept, in characters.
const MAX_TEXT: usize = 300;

/// Why DigitalOcean did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DigitalOceanError {
    /// The token is unknown, or it has ended.
    #[error("DigitalOcean refused the token")]
    Unauthorised,
    /// There is no such thing in the account.
    #[error("DigitalOcean has no such thing")]
    NotFound,
    /// DigitalOcean says what is wrong with the request. Nothing was changed.
    #[error("DigitalOcean refused the request with {status} {id:?}: {message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// DigitalOcean's short identifier, such as `unprocessable_entity`.
        id: String,
        /// What is wrong, in DigitalOcean's words.
        message: String,
    },
    /// Too many requests. Of a write it is not certain that nothing was changed.
    #[error("DigitalOcean takes no more requests for a while")]
    RateLimited {
        /// How long DigitalOcean asks to wait.
        retry_after: Option<Duration>,
    },
    /// No answer, or one that says that DigitalOcean failed.
    #[error("DigitalOcean did not answer")]
    Unavailable(#[source] Box<TransportError>),
    /// The answer is not what DigitalOcean's contract promises.
    #[error("DigitalOcean answered {status} with something that is not its contract")]
    Malformed {
        /// HTTP status; 0 when there was no readable answer at all.
        status: u16,
    },
    /// A list has more pages than are read.
    #[error("DigitalOcean lists more than {} things", super::MAX_PAGES * super::PER_PAGE)]
    TooMany,
}

/// DigitalOcean's body of a refusal.
#[derive(Default, Deserialize)]
struct Body {
    #[serde(default)]
    id: String,
    /// Some answers about tags call it otherwise.
    #[serde(default, alias = "error")]
    message: String,
}

impl From<TransportError> for DigitalOceanError {
    fn from(error: TransportError) -> Self {
        match error.fault {
            Fault::BadBody => Self::Malformed { status: 0 },
            _ => Self::Unavailable(error.into()),
        }
    }
}

impl DigitalOceanError {
    /// Reads an answer that is no success. `now` is the time since the Unix epoch.
    pub(super) fn from_answer(answer: &Response, now: Duration) -> Self {
        let status = answer.status;
        match status {
            401 => Self::Unauthorised,
            404 => Self::NotFound,
            429 => Self::RateLimited {
                retry_after: retry_after(answer, now),
            },
            408 | 500.. => Self::Unavailable(Box::new(TransportError::new(
                Fault::Status(status),
                format!("status {status}"),
            ))),
            400..500 => {
                let body: Body = serde_json::from_slice(&answer.body).unwrap_or_default();
                Self::Refused {
                    status,
                    id: bounded(&body.id),
                    message: bounded(&body.message),
                }
            }
            // Redirects are never followed.
            _ => Self::Malformed { status },
        }
    }

    /// A write that failed like this may have been carried out all the same, or yet be. Look before you repeat it.
    pub fn may_have_happened(&self) -> bool {
        match self {
            Self::Unavailable(error) => !error.never_arrived(),
            Self::RateLimited { .. } | Self::Malformed { .. } => true,
            // There is one of this name: it may be from an earlier try.
            Self::Refused { status, .. } => *status == 409,
            Self::Unauthorised | Self::NotFound | Self::TooMany => false,
        }
    }

    /// With this status DigitalOcean also refuses an SSH key that it has already.
    pub(super) const fn may_be_there(&self) -> bool {
        matches!(self, Self::Refused { status: 422, .. })
    }

    /// The same request can succeed later without anyone's doing.
    pub const fn is_passing(&self) -> bool {
        matches!(self, Self::RateLimited { .. } | Self::Unavailable(_))
    }

    /// What repeating a safe call at once depends on; none when it cannot help.
    pub(super) fn transience(&self) -> Option<Transience> {
        match self {
            Self::Unavailable(error) => Some(Transience {
                fault: error.fault,
                retry_after: None,
            }),
            Self::RateLimited { retry_after } => Some(Transience {
                fault: Fault::Status(429),
                retry_after: *retry_after,
            }),
            _ => None,
        }
    }
}

/// `Retry-After`, or else the time until DigitalOcean forgets the oldest request that it counts.
fn retry_after(answer: &Response, now: Duration) -> Option<Duration> {
    let seconds = |name| answer.headers.get(name)?.trim().parse::<u64>().ok();
    seconds("retry-after").map(Duration::from_secs).or_else(|| {
        let reset = Duration::from_secs(seconds("ratelimit-reset")?);
        Some(reset.saturating_sub(now))
    })
}

/// The beginning of a text, on one line.
fn bounded(text: &str) -> String {
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().take(MAX_TEXT).map(printable).collect()
}
