//! SSH: operations through the function `ssh-command-executor`, so that this one carries no SSH; and whether an SSH server
//! greets at all, which needs no login.

use std::time::Duration;

use futures_util::future::{Either, select};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use toolbox_api::console::ServiceCheck;
use toolbox_api::dtma::Reason;
use toolbox_api::error::{ApiError, ErrorCode, ErrorEnvelope};
use toolbox_api::machine::Verdict;
use toolbox_clients::supabase::machines::SshCheck;
use toolbox_domain::ids::ToolboxId;
use toolbox_domain::machine_operation::MachineOperation;
use toolbox_domain::objects;
use toolbox_http::{Call, Request};

use crate::machine::{Failed, Machine};

/// How long the executor may take: it connects, logs in and runs a command that may take half a minute itself.
const EXECUTOR_LIMIT: Duration = Duration::from_secs(45);
/// How long a server may take to greet.
pub(crate) const GREETING_LIMIT: Duration = Duration::from_secs(5);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Execute<'a> {
    toolbox_id: ToolboxId,
    operation: &'a MachineOperation,
}

/// What the executor answers, as far as it is read here.
#[derive(Deserialize)]
struct ExecutedWire {
    success: bool,
    #[serde(default, deserialize_with = "objects::optional")]
    answer: Option<AnswerWire>,
}

/// What the machine said of the operation.
#[derive(Default, Deserialize)]
struct AnswerWire {
    #[serde(default)]
    lines: Vec<String>,
    #[serde(default)]
    data: Value,
    #[serde(default, deserialize_with = "objects::optional")]
    error: Option<Reason>,
}

/// What the machine said of an operation that was done, and all that the executor answered.
pub(crate) struct Executed {
    /// Lines of a log.
    pub(crate) lines: Vec<String>,
    /// What the agent or the companion answered to the same question.
    pub(crate) data: Value,
    pub(crate) details: Value,
}

impl Machine {
    /// Runs an operation by SSH, as the caller.
    pub(crate) async fn execute(&self, operation: &MachineOperation) -> Result<Executed, Failed> {
        let config = &self.state.config;
        let url = format!("{}/functions/v1/ssh-command-executor", config.supabase_url);
        let mut request = Request::new("POST", url);
        let headers = &mut request.headers;
        headers.set("authorization", format!("Bearer {}", self.token));
        headers.set("apikey", config.publishable_key.as_str());
        headers.set("content-type", "application/json");
        headers.set("x-request-id", &*self.request_id);
        let body = Execute {
            toolbox_id: self.row.toolbox.id,
            operation,
        };
        request.body = serde_json::to_vec(&body)
            .map_err(|error| Failed::for_now(ApiError::internal(&error)))?;
        let answer = self
            .state
            .transport
            .send(Call::new(request, EXECUTOR_LIMIT));
        let answer = answer.await.map_err(|error| {
            let mut unavailable = unavailable("The function ssh-command-executor did not answer");
            unavailable.error = unavailable.error.caused_by(&error);
            unavailable
        })?;
        if !answer.is_success() {
            return Err(refused(&answer.body));
        }
        let details: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let told = serde_json::from_slice::<ExecutedWire>(&answer.body);
        let ExecutedWire { success, answer } = told.map_err(|_| {
            unavailable("The answer of the function ssh-command-executor could not be understood")
        })?;
        let AnswerWire { lines, data, error } = answer.unwrap_or_default();
        if success {
            return Ok(Executed {
                lines,
                data,
                details,
            });
        }
        let why = error.unwrap_or_else(|| Reason {
            code: "ssh_command_failed".to_owned(),
            message: "The operation on the machine failed".to_owned(),
        });
        Err(told_by_others(&why.code, why.message))
    }

    /// Whether an SSH server greets, asked at most once a minute, whoever calls; in between the last answer counts.
    pub(crate) async fn ssh_check(&self) -> ServiceCheck {
        let id = self.row.toolbox.id;
        let not_checked = |evidence: &str| ServiceCheck {
            name: "ssh".to_owned(),
            verdict: Verdict::NotChecked,
            response_time_ms: None,
            evidence: evidence.to_owned(),
            checked_at: self.state.timestamp(),
        };
        let database = &self.state.supabase;
        match database.begin_ssh_check(id).await {
            Ok(SshCheck::Due) => {}
            Ok(SshCheck::Recent(Some(last))) => {
                return serde_json::from_value(last).unwrap_or_else(|_| {
                    not_checked("the last check was made by another version of this function")
                });
            }
            Ok(SshCheck::Recent(None)) => return not_checked("it is being checked just now"),
            Err(error) => {
                let error = ApiError::from(error);
                self.state
                    .log(&self.request_id, "begin the SSH check", &error);
                return not_checked("the database did not say when it was checked last");
            }
        }
        let seen = self.ssh_greets().await;
        if let Err(error) = database.record_ssh_check(id, &seen).await {
            self.state
                .log(&self.request_id, "record the SSH check", &error.into());
        }
        seen
    }

    /// Whether an SSH server greets at the machine's SSH port.
    pub(crate) async fn ssh_greets(&self) -> ServiceCheck {
        let begun = self.clock().now();
        let (verdict, evidence) = match self.socket(self.row.ssh_port) {
            Ok(socket) => {
                let host = &self.state.host;
                let over = Box::pin(async { self.clock().sleep(GREETING_LIMIT).await });
                match select(host.dial(socket, true), over).await {
                    Either::Left((Ok(greeting), _)) => greeting_verdict(&greeting),
                    Either::Left((Err(error), _)) => {
                        (Verdict::Failed, format!("no connection: {}", error.detail))
                    }
                    Either::Right(_) => (
                        Verdict::Failed,
                        format!("no greeting within {} s", GREETING_LIMIT.as_secs()),
                    ),
                }
            }
            Err(error) => (Verdict::NotChecked, error.message().to_owned()),
        };
        let ms = self.ms_since(begun);
        ServiceCheck {
            name: "ssh".to_owned(),
            response_time_ms: (verdict == Verdict::Ok).then_some(ms),
            verdict,
            evidence,
            checked_at: self.state.timestamp(),
        }
    }
}

/// An SSH server says first which version it speaks (RFC 4253, 4.2).
fn greeting_verdict(greeting: &[u8]) -> (Verdict, String) {
    let line = greeting.split(|b| *b == b'\n').next().unwrap_or_default();
    let is_plain = |b: &u8| matches!(b, b' '..=b'~' | b'\r');
    match line.starts_with(b"SSH-2.0-") && line.iter().all(is_plain) {
        true => (
            Verdict::Ok,
            format!("greets as {}", String::from_utf8_lossy(line).trim_end()),
        ),
        false => (
            Verdict::Failed,
            "what answers at the SSH port is no SSH server".to_owned(),
        ),
    }
}

fn unavailable(message: &str) -> Failed {
    Failed {
        error: ApiError::with_message(ErrorCode::AgentUnreachable, message),
        foreign_code: Some("ssh_unavailable".to_owned()),
        is_final: false,
    }
}

/// What the executor refused, in its words; of a gateway without that function, only that.
fn refused(body: &[u8]) -> Failed {
    let Ok(ErrorEnvelope { error }) = serde_json::from_slice(body) else {
        return unavailable("The function ssh-command-executor is not there");
    };
    told_by_others(&error.code, error.message)
}

/// A failure with the code of another program, which may be none of ours.
fn told_by_others(code: &str, message: String) -> Failed {
    let known = ErrorCode::from_code(code).unwrap_or(ErrorCode::AgentUnreachable);
    Failed {
        error: ApiError::with_message(known, message),
        foreign_code: Some(code.to_owned()),
        is_final: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_ssh_server_greets_as_one() {
        let verdict = |greeting: &[u8]| greeting_verdict(greeting);
        assert_eq!(
            verdict(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n\0\0"),
            (
                Verdict::Ok,
                "greets as SSH-2.0-OpenSSH_9.2p1 Debian-2".to_owned()
            )
        );
        for other in [
            &b""[..],
            b"HTTP/1.1 400",
            b"SSH-1.5-x\r\n",
            b"SSH-2.0-\x1b[31m\r\n",
            b"\xff\xff",
        ] {
            assert_eq!(verdict(other).0, Verdict::Failed, "{other:?}");
        }
    }
}
