//! Errors as RFC 9457 problems.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use toolbox_api::problem::{self, FieldError, Problem, ProblemCode};

use crate::instances::CommandError;
use crate::ports::PortError;
use crate::runtime::RuntimeError;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError(Box<Problem>);

impl ApiError {
    /// A problem of `code`, saying `detail`.
    pub fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        Self(Box::new(Problem::new(code, detail)))
    }

    /// A spec that breaks rules.
    pub fn invalid_spec(errors: Vec<FieldError>) -> Self {
        let fields: Vec<_> = errors.iter().map(|e| e.field.as_str()).collect();
        let detail = format!("Correct {}", fields.join(", "));
        let mut problem = Problem::new(ProblemCode::InvalidSpec, detail);
        problem.errors = errors;
        Self(Box::new(problem))
    }

    /// The status it is answered with.
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.status();
        let mut response = (status, Json(*self.0)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static(problem::CONTENT_TYPE),
        );
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"dtma\""),
            );
        }
        if matches!(status, StatusCode::SERVICE_UNAVAILABLE) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl From<CommandError> for ApiError {
    fn from(error: CommandError) -> Self {
        let code = match &error {
            CommandError::HostPortReserved(_) => {
                return Self::invalid_spec(vec![FieldError {
                    field: "host_access".to_owned(),
                    code: "host_port_reserved".to_owned(),
                    message: error.to_string(),
                }]);
            }
            CommandError::Unknown(_) => ProblemCode::InstanceUnknown,
            CommandError::NotKnownYet => ProblemCode::DockerUnreachable,
            CommandError::Gap { .. } => ProblemCode::GenerationGap,
            CommandError::Stale { .. } | CommandError::SpecDiffers(_) => {
                ProblemCode::StaleGeneration
            }
            CommandError::Deleting => ProblemCode::InstanceDeleting,
            CommandError::Port(PortError::InUse { .. }) => ProblemCode::PortInUse,
            CommandError::Port(PortError::Exhausted { .. }) => ProblemCode::PortsExhausted,
            CommandError::Store => ProblemCode::StoreFailed,
            CommandError::Defect => ProblemCode::Internal,
            CommandError::ShuttingDown => ProblemCode::ShuttingDown,
        };
        Self::new(code, sentence(&error.to_string()))
    }
}

impl From<RuntimeError> for ApiError {
    fn from(error: RuntimeError) -> Self {
        let code = match &error {
            RuntimeError::Unreachable { .. } => ProblemCode::DockerUnreachable,
            RuntimeError::Timeout { .. } => ProblemCode::DockerTimeout,
            _ => ProblemCode::DockerFailed,
        };
        Self::new(code, sentence(&error.to_string()))
    }
}

/// Error texts begin in lower case, because they are parts of a chain in logs.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(chars).collect()
    })
}
