//! The MCP server of an instance, through its agent.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use toolbox_api::error::ErrorCode;
use toolbox_api::mcp_access::{CALLER_HEADER, McpCaller, STREAM_HEADER};
use toolbox_domain::ids::ToolInstanceId;
use toolbox_http::{BodyStream, Break, Headers, Passed, Passing, Response};

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
/// JSON-RPC's code for what the server could not do; `data.code` says what.
pub const SERVER_ERROR: i32 = -32000;

/// How long a request to a server may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Until the answer begins.
    pub head: Duration,
    /// How long it may be silent. The agent writes a comment into a silent stream of events every 15 s.
    pub silence: Duration,
    /// Until it ends.
    pub longest: Duration,
    /// After so long the agent ends a stream of events that can be gone on with.
    pub stream: Duration,
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
    ) -> Result<Response<Passed>, AgentError> {
        let path = id.map_or_else(|| "/v1/mcp".to_owned(), |id| format!("/v1/mcp/{id}"));
        let mut call = self.call(method, &path, None, Vec::new());
        for (name, value) in headers.iter() {
            call.request.headers.set_named(name.to_owned(), value);
        }
        call.request.headers.set(CALLER_HEADER, caller.to_header());
        let seconds = patience.stream.as_secs().to_string();
        call.request.headers.set(STREAM_HEADER, seconds);
        call.deadline = patience.head;
        let passing = Passing {
            headers: HEADERS,
            silence: patience.silence,
            longest: patience.longest,
            farewell: patience.listens.then_some(FAREWELL),
            last_words,
        };
        let answer = self.transport.pipe(call, body, passing).await?;
        // 401 is only the agent's: a server is not asked with anybody's credentials but its own.
        if !is_problem(&answer) {
            return Ok(answer);
        }
        Err(AgentError::from_answer(&Response {
            status: answer.status,
            headers: answer.headers,
            body: answer.body.read(MAX_PROBLEM).await?,
        }))
    }
}

/// The error that answers `request`, as an event. Clients wait in silence for the answer to a call whose stream breaks off.
/// Nothing where the request is no call. The event before it may be cut off, so an empty line comes first.
fn last_words(request: &[u8], why: Break) -> Option<String> {
    #[derive(Deserialize)]
    struct Call {
        id: Value,
        #[serde(rename = "method")]
        _method: String,
    }
    let Call { id, .. } = serde_json::from_slice(request).ok()?;
    let code = match why {
        Break::Silent | Break::Late => ErrorCode::AgentTimeout,
        Break::Lost => ErrorCode::AgentUnreachable,
    };
    let message = format!(
        "There is no answer: {}. The call may have been carried out: look at what it did before you make it again",
        why.text()
    );
    let data = json!({"code": code.as_str()});
    let error = json!({"code": SERVER_ERROR, "message": message, "data": data});
    let answer = json!({"jsonrpc": "2.0", "id": id, "error": error});
    Some(format!("\n\nevent: message\ndata: {answer}\n\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_whose_stream_breaks_off_is_answered() {
        let call = br#"{"jsonrpc":"2.0","id":"a\"\n","method":"tools/call","params":{}}"#;
        let words = last_words(call, Break::Silent).unwrap();
        let event = words.strip_prefix("\n\nevent: message\ndata: ").unwrap();
        let answer: Value = serde_json::from_str(event.strip_suffix("\n\n").unwrap()).unwrap();
        assert_eq!(answer["id"], "a\"\n");
        assert_eq!(answer["error"]["data"]["code"], "agent_timeout");
        assert!(!event.trim_end().contains('\n'), "one line");
        let lost = last_words(br#"{"id":7,"method":"x"}"#, Break::Lost).unwrap();
        assert!(lost.contains("agent_unreachable") && lost.contains("\"id\":7"));
        for other in [
            &b""[..],
            b"{",
            br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
            br#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
            br#"[{"jsonrpc":"2.0","id":1,"method":"x"}]"#,
        ] {
            assert_eq!(last_words(other, Break::Late), None);
        }
    }
}
