//! SSH, for a machine whose agent cannot be reached: through the function `ssh-command-executor`, so that no other carries SSH.
//!
//! The machine answers what Docker shows. That becomes the row as what agents show does; what it does not show, such as
//! ports, stays as it is. The agent agrees once it is back, because the row's generation is newer than what it holds.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use toolbox_api::dtma::Reason;
use toolbox_api::error::{ApiError, ErrorCode, ErrorEnvelope};
use toolbox_api::executor::ExecuteResponse;
use toolbox_api::ssh::{CommandAnswer, NOT_SETTLED};
use toolbox_domain::ids::ToolboxId;
use toolbox_domain::machine_operation::MachineOperation;
use toolbox_http::{BoxFuture, Call, Request, ThreadSafe, Transport};

/// How long the function may take: each phase of a connection has a deadline, and the operation half a minute.
const LIMIT: Duration = Duration::from_secs(65);

/// What came of an operation.
#[derive(Debug)]
pub enum Tried {
    /// The machine says that it was done, or that it was begun and the instance is not what was asked for yet: then its
    /// `state` is another one.
    Done(Box<CommandAnswer>),
    /// It certainly was not.
    Not(ApiError),
    /// It may have been.
    Perhaps(ApiError),
}

/// The last way to a machine.
pub trait LastResort: ThreadSafe {
    /// Carries out an operation for the holder of `token`.
    fn execute<'a>(
        &'a self,
        token: &'a str,
        request_id: &'a str,
        toolbox: ToolboxId,
        operation: &'a MachineOperation,
    ) -> BoxFuture<'a, Tried>;
}

/// The function `ssh-command-executor` of the project.
pub struct SshExecutor {
    /// Calls out.
    pub transport: Arc<dyn Transport>,
    /// `SUPABASE_URL`.
    pub supabase_url: String,
    /// Sent beside the caller's token.
    pub publishable_key: String,
}

impl LastResort for SshExecutor {
    fn execute<'a>(
        &'a self,
        token: &'a str,
        request_id: &'a str,
        toolbox: ToolboxId,
        operation: &'a MachineOperation,
    ) -> BoxFuture<'a, Tried> {
        let url = format!("{}/functions/v1/ssh-command-executor", self.supabase_url);
        let mut request = Request::new("POST", url);
        request
            .headers
            .set("authorization", format!("Bearer {token}"));
        request.headers.set("apikey", self.publishable_key.as_str());
        request.headers.set("content-type", "application/json");
        request.headers.set("x-request-id", request_id);
        let body = json!({ "toolboxId": toolbox, "operation": operation });
        request.body = body.to_string().into_bytes();
        Box::pin(async move {
            match self.transport.send(Call::new(request, LIMIT)).await {
                Ok(answer) if answer.is_success() => of_success(&answer.body),
                Ok(answer) => of_refusal(&answer.body),
                Err(error) => {
                    let unreachable = ApiError::new(ErrorCode::SshUnreachable).caused_by(&error);
                    if error.never_arrived() {
                        Tried::Not(unreachable)
                    } else {
                        Tried::Perhaps(unreachable)
                    }
                }
            }
        })
    }
}

/// It was carried out, and its end was not seen.
fn is_not_settled(answer: &CommandAnswer) -> bool {
    matches!(&answer.error, Some(said) if said.code == NOT_SETTLED)
}

fn of_success(body: &[u8]) -> Tried {
    let read = serde_json::from_slice::<ExecuteResponse>(body).ok();
    match read.and_then(|response| response.answer) {
        Some(answer) if answer.ok || is_not_settled(&answer) => Tried::Done(Box::new(answer)),
        Some(answer) => Tried::Perhaps(answer.error.map_or_else(not_done, |said| {
            let known = ErrorCode::from_code(&said.code).map(ApiError::new);
            let mut error = known.unwrap_or_else(not_done);
            error.cause = Some(said.code.clone());
            error.with_reason(Reason {
                code: said.code,
                message: said.message,
            })
        })),
        None => Tried::Perhaps(ApiError::new(ErrorCode::SshConnectionLost)),
    }
}

/// The machine did run the operation, so its sshd is set up as it should be.
fn not_done() -> ApiError {
    let message = "The machine did not do what was asked";
    ApiError::with_message(ErrorCode::SshCommandRefused, message)
}

/// A connection that was lost or timed out may have carried the operation over.
fn of_refusal(body: &[u8]) -> Tried {
    let envelope = serde_json::from_slice::<ErrorEnvelope>(body).ok();
    let code = envelope.and_then(|envelope| ErrorCode::from_code(&envelope.error.code));
    let error = ApiError::new(code.unwrap_or(ErrorCode::SshUnreachable));
    match code {
        None
        | Some(
            ErrorCode::SshTimeout
            | ErrorCode::SshConnectionLost
            | ErrorCode::SshOutputTooLarge
            | ErrorCode::Internal,
        ) => Tried::Perhaps(error),
        Some(_) => Tried::Not(error),
    }
}
