//! How a call to the agent fails.

use std::time::Duration;

use serde::Deserialize;
use toolbox_api::dtma::Reason;
use toolbox_api::edge::ConfigOverride;
use toolbox_api::error::{ApiError, ErrorCode, ErrorDetails};
use toolbox_api::problem::{CONTENT_TYPE, FieldError, Problem, ProblemCode};
use toolbox_domain::retry::Fault;
use toolbox_http::retry::Transience;
use toolbox_http::{Response, TransportError};

/// Why the agent did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AgentError {
    /// No connection, or it was lost.
    #[error("the agent cannot be reached")]
    Unreachable(#[source] Box<TransportError>),
    /// The certificate is not the pinned one, or TLS failed.
    #[error("the agent's certificate is not accepted")]
    Certificate(#[source] Box<TransportError>),
    /// The runtime cannot verify the agent's certificate, so nothing was sent.
    #[error("the runtime cannot verify the agent's certificate")]
    CannotPin(#[source] Box<TransportError>),
    /// No answer before the deadline.
    #[error("the agent did not answer in time")]
    Timeout(#[source] Box<TransportError>),
    /// The agent refused the toolbox's key.
    #[error("the agent refused the toolbox's key")]
    Unauthorized,
    /// The agent lacks a route, or says it speaks an older version.
    #[error(
        "the agent does not speak version {} of its API",
        toolbox_api::dtma::API_VERSION
    )]
    TooOld,
    /// The answer is not the agent's protocol.
    #[error("the agent answered {status} with something that is not its protocol")]
    BadResponse {
        /// HTTP status; 0 when there was no readable answer at all.
        status: u16,
    },
    /// A server error without a problem document.
    #[error("the agent answered {status}")]
    Failed {
        /// HTTP status.
        status: u16,
    },
    /// The agent says what is wrong.
    #[error("the agent answered {}", .0.code)]
    Problem(Box<AgentProblem>),
}

/// A problem document, as far as the control plane uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentProblem {
    /// Its code.
    pub code: ProblemCode,
    /// HTTP status of the answer.
    pub status: u16,
    /// What happened, in the agent's words.
    pub detail: String,
    /// Violated rules, for `invalid_spec`.
    pub errors: Vec<FieldError>,
    /// `Retry-After` of the answer.
    pub retry_after: Option<Duration>,
}

impl From<TransportError> for AgentError {
    fn from(error: TransportError) -> Self {
        match error.fault {
            Fault::Timeout => Self::Timeout(error.into()),
            Fault::Tls => Self::Certificate(error.into()),
            Fault::CannotPin => Self::CannotPin(error.into()),
            Fault::BadBody => Self::BadResponse { status: 0 },
            Fault::Status(status) => Self::Failed { status },
            Fault::Refused | Fault::Reset | Fault::Dns => Self::Unreachable(error.into()),
        }
    }
}

impl AgentError {
    /// Reads an answer that is no success.
    pub(super) fn from_answer(answer: &Response) -> Self {
        let status = answer.status;
        if status == 401 {
            return Self::Unauthorized;
        }
        match problem(answer) {
            Some(problem) => match problem.code {
                ProblemCode::RouteUnknown | ProblemCode::MethodNotAllowed => Self::TooOld,
                _ => Self::Problem(problem),
            },
            // This agent never answers 404 without a problem: the route is not there.
            None if status == 404 => Self::TooOld,
            None if status >= 500 && is_json(answer) => Self::Failed { status },
            None => Self::BadResponse { status },
        }
    }

    /// The agent has no such instance.
    pub fn is_instance_unknown(&self) -> bool {
        matches!(self, Self::Problem(p) if p.code == ProblemCode::InstanceUnknown)
    }

    /// The agent must be told the whole desired state before it takes this command.
    pub fn is_generation_gap(&self) -> bool {
        matches!(self, Self::Problem(p) if p.code == ProblemCode::GenerationGap)
    }

    /// There was no answer at all: the agent, or the way to it, is gone.
    pub const fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Timeout(_))
    }

    /// The command certainly changed nothing. Otherwise it may have been, or yet be, carried out.
    pub fn nothing_happened(&self) -> bool {
        match self {
            Self::Unreachable(error) => error.never_arrived(),
            Self::Timeout(_) => false,
            _ => true,
        }
    }

    /// What repeating the call depends on; none when it cannot help.
    pub fn transience(&self) -> Option<Transience> {
        let (fault, retry_after) = match self {
            Self::Unreachable(e) | Self::Timeout(e) | Self::Certificate(e) | Self::CannotPin(e) => {
                (e.fault, None)
            }
            Self::Problem(p) if p.code.retryable() => (Fault::Status(p.status), p.retry_after),
            Self::Failed { status } => (Fault::Status(*status), None),
            _ => return None,
        };
        fault
            .is_transient()
            .then_some(Transience { fault, retry_after })
    }

    /// The code callers see.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Unreachable(_) => ErrorCode::AgentUnreachable,
            Self::Certificate(_) => ErrorCode::AgentCertificateInvalid,
            Self::CannotPin(_) => ErrorCode::AgentPinUnsupported,
            Self::Timeout(_) => ErrorCode::AgentTimeout,
            Self::Unauthorized => ErrorCode::AgentUnauthorized,
            Self::TooOld => ErrorCode::AgentTooOld,
            Self::BadResponse { .. } => ErrorCode::AgentBadResponse,
            Self::Failed { .. } => ErrorCode::AgentFailed,
            Self::Problem(problem) => match problem.code {
                ProblemCode::Unauthorized => ErrorCode::AgentUnauthorized,
                // What is sent to it was checked, so it does not know a field or a parameter yet.
                ProblemCode::RouteUnknown
                | ProblemCode::MethodNotAllowed
                | ProblemCode::InvalidBody => ErrorCode::AgentTooOld,
                ProblemCode::InstanceUnknown => ErrorCode::InstanceNotFound,
                ProblemCode::InvalidSpec | ProblemCode::PortInUse | ProblemCode::PortsExhausted => {
                    ErrorCode::ValidationFailed
                }
                ProblemCode::StaleGeneration
                | ProblemCode::GenerationGap
                | ProblemCode::InstanceDeleting => ErrorCode::StateChanged,
                ProblemCode::VersionChangeInProgress => ErrorCode::VersionChangeInProgress,
                ProblemCode::NoPreviousVersion => ErrorCode::NoPreviousVersion,
                ProblemCode::ReleasesNotConfigured => ErrorCode::ReleasesNotConfigured,
                ProblemCode::ReleaseUnknown => ErrorCode::ReleaseUnknown,
                ProblemCode::ReleaseUnavailable => ErrorCode::ReleaseUnavailable,
                ProblemCode::CompanionUnreachable => ErrorCode::CompanionUnreachable,
                ProblemCode::McpToolsUnknown => ErrorCode::McpToolsUnknown,
                ProblemCode::DockerUnreachable => ErrorCode::DockerUnreachable,
                ProblemCode::DockerTimeout => ErrorCode::DockerTimeout,
                ProblemCode::DockerFailed => ErrorCode::DockerFailed,
                ProblemCode::StoreFailed => ErrorCode::AgentStoreFailed,
                ProblemCode::ShuttingDown
                | ProblemCode::AgentNotHealthy
                | ProblemCode::TooManyConnections => ErrorCode::AgentUnreachable,
                ProblemCode::BodyTooLarge
                | ProblemCode::UnsupportedMediaType
                | ProblemCode::ToolboxUnknown
                | ProblemCode::LogUnavailable
                | ProblemCode::Internal => ErrorCode::AgentFailed,
            },
        }
    }
}

impl From<AgentError> for ApiError {
    fn from(error: AgentError) -> Self {
        let mut api = Self::new(error.code()).caused_by(&error);
        if let AgentError::Problem(mut problem) = error {
            if problem.code == ProblemCode::InvalidSpec && !problem.errors.is_empty() {
                let errors = std::mem::take(&mut problem.errors).into_iter();
                let errors: Vec<_> = errors.map(ConfigOverride::told).collect();
                api.message = Self::validation(errors.clone()).message;
                problem.errors = errors;
            }
            api.details = Some(Box::new(ErrorDetails {
                reason: Some(Reason {
                    code: problem.code.as_str().to_owned(),
                    // A caller can act on a refusal, so its text is passed on; of a defect only the title is.
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

/// Whether an answer is the agent's own: a problem document.
pub(super) fn is_problem<T>(answer: &Response<T>) -> bool {
    content_type(answer).is_some_and(|t| t.starts_with(CONTENT_TYPE))
}

/// The problem document of an answer, if it is one with a code this version knows.
fn problem(answer: &Response) -> Option<Box<AgentProblem>> {
    if !is_problem(answer) {
        return None;
    }
    let problem: Problem = serde_json::from_slice(&answer.body).ok()?;
    Some(Box::new(AgentProblem {
        code: ProblemCode::from_code(&problem.code)?,
        status: answer.status,
        detail: problem.detail,
        errors: problem.errors,
        retry_after: retry_after(answer),
    }))
}

#[derive(Deserialize)]
struct Empty {}

/// Whether the body is a JSON object.
fn is_json(answer: &Response) -> bool {
    serde_json::from_slice::<Empty>(&answer.body).is_ok()
}

pub(super) fn content_type<T>(answer: &Response<T>) -> Option<&str> {
    answer.headers.get("content-type")
}

fn retry_after<T>(answer: &Response<T>) -> Option<Duration> {
    answer
        .headers
        .get("retry-after")?
        .parse()
        .ok()
        .map(Duration::from_secs)
}
