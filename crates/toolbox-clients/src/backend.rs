//! The server `toolbox-backend`, or one that speaks as it does.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_domain::ids::AgentId;
use toolbox_domain::retry::Fault;
use toolbox_http::{Call, Request, Transport, TransportError};

/// Where it answers, and what it knows its callers by.
#[derive(Clone)]
pub struct Backend {
    /// Calls out.
    pub transport: Arc<dyn Transport>,
    /// Its address, without a slash at the end.
    pub url: String,
    /// What it knows its callers by.
    pub secret: String,
    /// For each call, beside the time it is asked to wait.
    pub deadline: Duration,
    /// The request that the call is for.
    pub request_id: Arc<str>,
}

/// What it answered: a status, and JSON.
#[derive(Clone, Debug, PartialEq)]
pub struct Answered {
    /// HTTP status.
    pub status: u16,
    /// The body.
    pub body: Value,
}

impl Backend {
    /// Asks for the tool environment of an agent.
    pub async fn ensure(
        &self,
        agent: AgentId,
        wait: Option<Duration>,
    ) -> Result<Answered, ApiError> {
        let path = format!("/internal/agents/{agent}/ensure-tool-environment");
        self.ask("POST", &path, wait).await
    }

    /// Asks to remove it.
    pub async fn remove(&self, agent: AgentId) -> Result<Answered, ApiError> {
        let path = format!("/internal/agents/{agent}/tool-environment");
        self.ask("DELETE", &path, None).await
    }

    async fn ask(
        &self,
        method: &str,
        path: &str,
        wait: Option<Duration>,
    ) -> Result<Answered, ApiError> {
        let mut request = Request::new(method, format!("{}{path}", self.url));
        let headers = &mut request.headers;
        headers.set("x-internal-api-secret", self.secret.as_str());
        headers.set("x-request-id", &*self.request_id);
        let mut deadline = self.deadline;
        if let Some(wait) = wait.filter(|wait| !wait.is_zero()) {
            headers.set("prefer", format!("wait={}", wait.as_secs()));
            deadline += wait;
        }
        let answer = self.transport.send(Call::new(request, deadline)).await;
        let answer = answer.map_err(|error| code_of(&error))?;
        let status = answer.status;
        let body: Result<Value, _> = serde_json::from_slice(&answer.body);
        match body {
            // Whatever it says of the request itself is passed on; what it says of the secret is no matter of the caller.
            Ok(body) if body.is_object() && !matches!(status, 300..=399 | 401 | 403) => {
                Ok(Answered { status, body })
            }
            _ => {
                let mut error = ApiError::new(ErrorCode::BackendBadResponse);
                error.cause = Some(format!("the backend answered {status}"));
                Err(error)
            }
        }
    }
}

fn code_of(error: &TransportError) -> ApiError {
    let code = match error.fault {
        Fault::Timeout => ErrorCode::BackendTimeout,
        Fault::BadBody | Fault::Status(_) => ErrorCode::BackendBadResponse,
        _ => ErrorCode::BackendUnreachable,
    };
    ApiError::new(code).caused_by(error)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use toolbox_http::Response;
    use toolbox_http::recorded::{Recorded, run};

    use super::*;

    const AGENT: &str = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff";

    fn backend(answer: Result<Response, TransportError>) -> (Arc<Recorded>, Backend) {
        let transport = Arc::new(Recorded::new());
        transport.on(move |_| Some(answer.clone()));
        let backend = Backend {
            transport: Arc::clone(&transport) as _,
            url: "http://backend".to_owned(),
            secret: "SECRET".to_owned(),
            deadline: Duration::from_secs(10),
            request_id: "req-1".into(),
        };
        (transport, backend)
    }

    #[allow(clippy::unnecessary_wraps, reason = "stands beside answers that fail")]
    fn answer(status: u16, body: &str) -> Result<Response, TransportError> {
        Ok(Response::new(status, body.as_bytes().to_vec()))
    }

    #[test]
    fn what_it_says_of_the_request_is_passed_on() {
        for status in [200, 202, 404, 409, 500, 503] {
            let (transport, backend) = backend(answer(status, r#"{"success":true}"#));
            let agent: AgentId = AGENT.parse().unwrap();
            let told = run(backend.ensure(agent, Some(Duration::from_secs(20)))).unwrap();
            assert_eq!(told.status, status);
            assert_eq!(told.body, json!({"success": true}));
            let sent = &transport.sent()[0];
            assert_eq!(
                sent.request.url,
                format!("http://backend/internal/agents/{AGENT}/ensure-tool-environment")
            );
            assert_eq!(
                sent.request.headers.get("x-internal-api-secret"),
                Some("SECRET")
            );
            assert_eq!(sent.request.headers.get("prefer"), Some("wait=20"));
            assert_eq!(sent.deadline, Duration::from_secs(30));
        }
    }

    #[test]
    fn anything_else_has_a_code_and_no_secret() {
        let fault = |fault| Err(TransportError::new(fault, "x"));
        for (answer, code) in [
            (answer(200, "<html>"), "backend_bad_response"),
            (answer(200, "[]"), "backend_bad_response"),
            (answer(302, "{}"), "backend_bad_response"),
            (
                answer(403, r#"{"error":"Forbidden"}"#),
                "backend_bad_response",
            ),
            (fault(Fault::Refused), "backend_unreachable"),
            (fault(Fault::Timeout), "backend_timeout"),
            (fault(Fault::BadBody), "backend_bad_response"),
        ] {
            let (_, backend) = backend(answer);
            let error = run(backend.remove(AGENT.parse().unwrap())).unwrap_err();
            assert_eq!(error.code.as_str(), code);
            assert!(!format!("{error:?}").contains("SECRET"));
        }
    }
}
