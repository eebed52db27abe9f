//! The agent of one toolbox.

mod error;
mod machine;
mod mcp;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use toolbox_api::dtma::{
    API_VERSION, CommandRequest, DeployRequest, LogLine, Removed, ToolList, ToolView,
};
use toolbox_api::edge::LogFilter;
use toolbox_api::mcp_pin::McpTools;
use toolbox_domain::ids::ToolInstanceId;
use toolbox_domain::keys::AgentKey;
use toolbox_http::{BodyStream, Call, Pin, Request, Response, Transport};

pub use error::{AgentError, AgentProblem};
pub use machine::{Alive, speaks_enough};
pub use mcp::{Patience, SERVER_ERROR};

/// Longest answer with logs that is kept in memory, in bytes.
const MAX_LOGS: usize = 4 * 1024 * 1024;

/// How long an MCP server may take to list its tools.
const MCP_TOOLS: Duration = Duration::from_secs(20);

/// How to reach an agent.
#[derive(Clone)]
pub struct Agent {
    transport: Arc<dyn Transport>,
    base: String,
    authorization: String,
    pin: Option<Pin>,
    deadline: Duration,
    request_id: Arc<str>,
}

/// A command on an instance the agent holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Run it.
    Start,
    /// Stop it.
    Stop,
    /// Stop it, then run it.
    Restart,
}

impl Command {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
        }
    }
}

/// What is left of an instance after a delete.
#[derive(Clone, Debug, PartialEq)]
pub enum Deleted {
    /// Nothing.
    Gone,
    /// The agent is still at it.
    Pending(Box<ToolView>),
}

/// Which log lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogQuery {
    /// Lines from the end.
    pub tail: Option<u32>,
    /// Only lines after this time: Unix seconds or RFC 3339.
    pub since: Option<String>,
    /// Only what was written there; what that is without one, the agent decides.
    pub stream: Option<LogFilter>,
}

impl Agent {
    /// The agent at `base` (no slash at the end), known by `pin` unless it is called over plain HTTP. It logs what it
    /// is asked under `request_id`.
    pub fn new(
        transport: Arc<dyn Transport>,
        base: String,
        key: &AgentKey,
        pin: Option<Pin>,
        deadline: Duration,
        request_id: Arc<str>,
    ) -> Self {
        let authorization = format!("Bearer {}", key.expose());
        Self {
            transport,
            base,
            authorization,
            pin,
            deadline,
            request_id,
        }
    }

    /// Everything on the machine.
    pub async fn list(&self) -> Result<ToolList, AgentError> {
        let call = self.call("GET", "/tools", None, Vec::new());
        let answer = self.send(call).await?;
        let list: ToolList = read(&answer)?;
        if list.api_version < API_VERSION {
            Err(AgentError::TooOld)
        } else {
            Ok(list)
        }
    }

    /// One instance. With `wait`, answers once it is settled at `generation` or later, or when
    /// the wait is over.
    pub async fn get(
        &self,
        id: ToolInstanceId,
        generation: Option<u64>,
        wait: Option<Duration>,
    ) -> Result<Box<ToolView>, AgentError> {
        let mut path = format!("/tools/{id}");
        if let Some(generation) = generation {
            let _ = write!(path, "?generation={generation}");
        }
        read(&self.send(self.call("GET", &path, wait, Vec::new())).await?)
    }

    /// Gives the agent a spec. Success means the spec is durable on the machine.
    pub async fn deploy(
        &self,
        id: ToolInstanceId,
        request: &DeployRequest,
        wait: Option<Duration>,
    ) -> Result<Box<ToolView>, AgentError> {
        let path = format!("/tools/{id}");
        read(
            &self
                .send(self.call("PUT", &path, wait, to_json(request)))
                .await?,
        )
    }

    /// Starts, stops or restarts.
    pub async fn command(
        &self,
        id: ToolInstanceId,
        command: Command,
        generation: u64,
        wait: Option<Duration>,
    ) -> Result<Box<ToolView>, AgentError> {
        let path = format!("/tools/{id}/{}", command.as_str());
        let body = to_json(&CommandRequest {
            generation: Some(generation),
        });
        read(&self.send(self.call("POST", &path, wait, body)).await?)
    }

    /// Removes. An instance the agent does not know is gone already.
    pub async fn delete(
        &self,
        id: ToolInstanceId,
        generation: u64,
        wait: Option<Duration>,
    ) -> Result<Deleted, AgentError> {
        let path = format!("/tools/{id}?generation={generation}");
        let answer = match self
            .send(self.call("DELETE", &path, wait, Vec::new()))
            .await
        {
            Err(error) if error.is_instance_unknown() => return Ok(Deleted::Gone),
            other => other?,
        };
        match read::<Removed>(&answer) {
            Ok(removed) if removed.removed => Ok(Deleted::Gone),
            _ => Ok(Deleted::Pending(read(&answer)?)),
        }
    }

    /// What the instance's MCP server says of its tools now.
    pub async fn mcp_tools(&self, id: ToolInstanceId) -> Result<McpTools, AgentError> {
        let path = format!("/tools/{id}/mcp-tools");
        // The server is asked meanwhile.
        let mut call = self.call("GET", &path, None, Vec::new());
        call.deadline = self.deadline.max(MCP_TOOLS);
        read(&self.send(call).await?)
    }

    /// Log lines that were written.
    pub async fn logs(
        &self,
        id: ToolInstanceId,
        query: &LogQuery,
    ) -> Result<Vec<LogLine>, AgentError> {
        let path = log_path(id, query, false);
        let mut call = self.call("GET", &path, None, Vec::new());
        call.max_answer = MAX_LOGS;
        call.keep_type = true;
        let answer = self.send(call).await?;
        expect_ndjson(&answer)?;
        let lines = answer.body.split(|byte| *byte == b'\n');
        lines
            .filter(|line| !line.is_empty())
            .map(serde_json::from_slice)
            .collect::<Result<_, _>>()
            .map_err(|_| AgentError::BadResponse {
                status: answer.status,
            })
    }

    /// Log lines as they are written, as `application/x-ndjson`, for at most `longest`.
    pub async fn follow_logs(
        &self,
        id: ToolInstanceId,
        query: &LogQuery,
        longest: Duration,
    ) -> Result<BodyStream, AgentError> {
        let path = log_path(id, query, true);
        let mut call = self.call("GET", &path, None, Vec::new());
        call.keep_type = true;
        let answer = self.transport.open(call, longest).await?;
        if !answer.is_success() {
            // The body of a refusal is a stream too: ask again for one that can be read.
            self.logs(
                id,
                &LogQuery {
                    tail: Some(0),
                    since: None,
                    stream: query.stream,
                },
            )
            .await?;
            return Err(AgentError::BadResponse {
                status: answer.status,
            });
        }
        expect_ndjson(&answer)?;
        Ok(answer.body)
    }

    fn call(&self, method: &str, path: &str, wait: Option<Duration>, body: Vec<u8>) -> Call {
        let mut request = Request::new(method, format!("{}{path}", self.base));
        request
            .headers
            .set("authorization", self.authorization.as_str());
        request.headers.set("x-request-id", &*self.request_id);
        if !body.is_empty() {
            request.headers.set("content-type", "application/json");
        }
        request.body = body;
        let mut deadline = self.deadline;
        if let Some(wait) = wait.filter(|w| !w.is_zero()) {
            deadline += wait;
            request
                .headers
                .set("prefer", format!("wait={}", wait.as_secs()));
        }
        let mut call = Call::new(request, deadline);
        call.pin.clone_from(&self.pin);
        call
    }

    async fn send(&self, call: Call) -> Result<Response, AgentError> {
        let answer = self.transport.send(call).await?;
        if answer.is_success() {
            Ok(answer)
        } else {
            Err(AgentError::from_answer(&answer))
        }
    }
}

fn log_path(id: ToolInstanceId, query: &LogQuery, follow: bool) -> String {
    let mut path = format!("/tools/{id}/logs?follow={follow}");
    if let Some(tail) = query.tail {
        let _ = write!(path, "&tail={tail}");
    }
    if let Some(since) = &query.since {
        path.push_str("&since=");
        path.push_str(&toolbox_domain::names::encode_segment(since));
    }
    // Older agents know no such parameter.
    if let Some(stream) = query.stream {
        let _ = write!(path, "&stream={}", stream.as_str());
    }
    path
}

/// Types of this crate's requests always serialize.
fn to_json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

fn read<T: DeserializeOwned>(answer: &Response) -> Result<T, AgentError> {
    serde_json::from_slice(&answer.body).map_err(|_| AgentError::BadResponse {
        status: answer.status,
    })
}

fn expect_ndjson<T>(answer: &Response<T>) -> Result<(), AgentError> {
    let status = answer.status;
    error::content_type(answer)
        .filter(|t| t.starts_with("application/x-ndjson"))
        .map(|_| ())
        .ok_or(AgentError::BadResponse { status })
}
