//! SSH: operations through the function `ssh-command-executor`, so that this one carries no SSH; and whether an SSH server
//! greets at all, which needs no login.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use toolbox_api::console::ServiceCheck;
use toolbox_api::error::ApiError;
use toolbox_api::machine::Verdict;
use toolbox_api::ssh::CommandAnswer;
use toolbox_clients::supabase::machines::SshCheck;
use toolbox_domain::machine_operation::MachineOperation;
use toolbox_instances::last_resort::{LastResort, SshExecutor, Tried};

use crate::machine::{Failed, Machine};

/// How long a server may take to greet.
pub(crate) const GREETING_LIMIT: Duration = Duration::from_secs(5);

impl Machine {
    /// Runs an operation by SSH, as the caller.
    pub(crate) async fn execute(
        &self,
        operation: &MachineOperation,
    ) -> Result<Box<CommandAnswer>, Failed> {
        let config = &self.state.config;
        let executor = SshExecutor {
            transport: Arc::clone(&self.state.transport),
            supabase_url: config.supabase_url.clone(),
            publishable_key: config.publishable_key.clone(),
        };
        let (toolbox, request_id) = (self.row.toolbox.id, &self.request_id);
        let tried = executor.execute(&self.token, request_id, toolbox, operation);
        match tried.await {
            Tried::Done(answer) => Ok(answer),
            Tried::Not(error) => Err(Failed::for_now(error)),
            Tried::Perhaps(error) => Err(Failed {
                is_doubtful: true,
                ..Failed::for_now(error)
            }),
        }
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
    if line.starts_with(b"SSH-2.0-") && line.iter().all(is_plain) {
        let greeting = String::from_utf8_lossy(line);
        return (Verdict::Ok, format!("greets as {}", greeting.trim_end()));
    }
    let other = "what answers at the SSH port is no SSH server";
    (Verdict::Failed, other.to_owned())
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
