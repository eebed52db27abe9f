//! The MCP server of an instance, through its agent.

use std::time::Duration;

use toolbox_api::mcp_access::{CALLER_HEADER, McpCaller};
use toolbox_domain::ids::ToolInstanceId;
use toolbox_http::{BodyStream, Headers, Passing, Response};

use super::error::is_problem;
use super::{Agent, AgentError};

/// Headers of an answer that pass.
const HEADERS: &[&str] = &[
    "content-type",
    "allow",
    "mcp-session-id",
    "retry-after",
    "x-accel-buffering",
];
/// Longest problem document of an agent, in bytes.
const MAX_PROBLEM: usize = 64 * 1024;
/// What a stream says before it ends in time: come again in a second.
const FAREWELL: &str = "retry: 1000\n\n";

/// How long a request to a server may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Until the answer begins.
    pub head: Duration,
    /// How long it may be silent. The agent writes a comment into a silent stream of events every 15 s.
    pub silence: Duration,
    /// Until it ends.
    pub longest: Duration,
    /// The client only listens: a stream that ends is begun again.
    pub listens: bool,
}

impl Agent {
    /// Passes a request on for `caller` to the instance's server, or to all servers that the caller was granted as one, and the
    /// answer back. Of its headers, the caller's own credentials are not among `headers`. What the agent itself has to say is an
    /// error.
    pub async fn mcp(
        &self,
        method: &str,
        id: Option<ToolInstanceId>,
        caller: &McpCaller,
        headers: &Headers,
        body: Option<BodyStream>,
        patience: Patience,
    ) -> Result<Response<Option<BodyStream>>, AgentError> {
        let path = id.map_or_else(|| "/v1/mcp".to_owned(), |id| format!("/v1/mcp/{id}"));
        let mut call = self.call(method, &path, None, Vec::new());
        for (name, value) in headers.iter() {
            call.request.headers.set_named(name.to_owned(), value);
        }
        call.request.headers.set(CALLER_HEADER, caller.to_header());
        call.deadline = patience.head;
        let passing = Passing {
            headers: HEADERS,
            silence: patience.silence,
            longest: patience.longest,
            farewell: patience.listens.then_some(FAREWELL),
        };
        let answer = self.transport.pipe(call, body, passing).await?;
        // 401 is only the agent's: a server is not asked with anybody's credentials but its own.
        if !is_problem(&answer) {
            return Ok(answer);
        }
        let body = match answer.body {
            Some(body) => body.read(MAX_PROBLEM).await?,
            None => Vec::new(),
        };
        Err(AgentError::from_answer(&Response {
            status: answer.status,
            headers: answer.headers,
            body,
        }))
    }
}
