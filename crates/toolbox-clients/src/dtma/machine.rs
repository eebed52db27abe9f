//! The machine API, which the agent serves, and the companion on another port.

use std::time::Duration;

use serde::Deserialize;
use toolbox_api::dtma::{API_VERSION, Status};
use toolbox_api::machine::{
    Accepted, Begun, Diagnosis, LastVersionChange, MachineStatus, RedeployRequest,
};
use toolbox_domain::machine_operation::AgentVersion;
use toolbox_http::BodyStream;

use super::{Agent, AgentError, MAX_LOGS, error, read, to_json};

/// What `GET /health` tells anybody, as far as it is read here.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Alive {
    /// Version of the program that answers.
    pub version: String,
}

impl Agent {
    /// Whether the program answers at all.
    pub async fn alive(&self) -> Result<Alive, AgentError> {
        read(
            &self
                .send(self.call("GET", "/health", None, Vec::new()))
                .await?,
        )
    }

    /// What the agent says of itself and its tools.
    pub async fn status(&self) -> Result<Box<Status>, AgentError> {
        read(
            &self
                .send(self.call("GET", "/status", None, Vec::new()))
                .await?,
        )
    }

    /// How the machine and its agent are.
    pub async fn machine_status(&self) -> Result<Box<MachineStatus>, AgentError> {
        let call = self.call("GET", "/v1/machine/status", None, Vec::new());
        read(&self.send(call).await?)
    }

    /// What is wrong on the machine. Its checks wait for others, so they get more time.
    pub async fn diagnosis(&self, longer: Duration) -> Result<Diagnosis, AgentError> {
        let mut call = self.call("GET", "/v1/machine/diagnose", None, Vec::new());
        call.deadline += longer;
        read(&self.send(call).await?)
    }

    /// The last lines of the agent's own log.
    pub async fn machine_logs(&self, tail: u32) -> Result<Vec<String>, AgentError> {
        let path = format!("/v1/machine/logs?tail={tail}");
        let mut call = self.call("GET", &path, None, Vec::new());
        call.max_answer = MAX_LOGS;
        call.keep_type = true;
        let answer = self.send(call).await?;
        expect_text(&answer)?;
        let text = String::from_utf8_lossy(&answer.body);
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// The last lines, and new ones as they are written, for at most `longest`.
    pub async fn follow_machine_logs(
        &self,
        tail: u32,
        longest: Duration,
    ) -> Result<BodyStream, AgentError> {
        let path = format!("/v1/machine/logs?tail={tail}&follow=true");
        let mut call = self.call("GET", &path, None, Vec::new());
        call.keep_type = true;
        let answer = self.transport.open(call, longest).await?;
        if !answer.is_success() {
            // The body of a refusal is a stream too: ask again for one that can be read.
            self.machine_logs(0).await?;
            return Err(AgentError::BadResponse {
                status: answer.status,
            });
        }
        expect_text(&answer)?;
        Ok(answer.body)
    }

    /// Ends the agent, whose supervisor starts it again.
    pub async fn restart_agent(&self) -> Result<Accepted, AgentError> {
        let call = self.call("POST", "/v1/machine/restart", None, Vec::new());
        read(&self.send(call).await?)
    }

    /// Replaces the agent by this version.
    pub async fn redeploy_agent(&self, version: &AgentVersion) -> Result<Begun, AgentError> {
        let body = to_json(&RedeployRequest {
            version: Some(version.as_str().to_owned()),
        });
        let call = self.call("POST", "/v1/machine/redeploy", None, body);
        read(&self.send(call).await?)
    }

    /// Replaces the agent by the version before.
    pub async fn roll_agent_back(&self) -> Result<Begun, AgentError> {
        let call = self.call("POST", "/v1/machine/rollback", None, Vec::new());
        read(&self.send(call).await?)
    }

    /// The change of the agent's version that is under way, or the last.
    pub async fn version_change(&self) -> Result<LastVersionChange, AgentError> {
        let call = self.call("GET", "/v1/machine/operation", None, Vec::new());
        read(&self.send(call).await?)
    }
}

impl AgentError {
    /// Another way to the machine may do what this one could not. A refusal by a program that understood is final: the
    /// same would answer there.
    pub fn may_work_otherwise(&self) -> bool {
        use toolbox_api::problem::ProblemCode as P;
        match self {
            Self::Problem(problem) => matches!(
                problem.code,
                P::RouteUnknown
                    | P::MethodNotAllowed
                    | P::CompanionUnreachable
                    | P::ShuttingDown
                    | P::Internal
            ),
            _ => true,
        }
    }
}

/// Whether agents with this version of the API can be commanded.
pub const fn speaks_enough(api_version: u32) -> bool {
    api_version >= API_VERSION
}

fn expect_text<T>(answer: &toolbox_http::Response<T>) -> Result<(), AgentError> {
    let status = answer.status;
    error::content_type(answer)
        .filter(|t| t.starts_with("text/plain"))
        .map(|_| ())
        .ok_or(AgentError::BadResponse { status })
}
