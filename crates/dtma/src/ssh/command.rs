//! The forced command: whatever the caller of SSH asked for is read as one operation of the closed set, or refused.
//!
//! The text never reaches a shell or a program: only the operation it stands for does, whose arguments are an id, a number
//! or a version. One line of JSON comes back, and an exit code ([`toolbox_api::ssh::exit`]).

use std::ffi::OsStr;
use std::io::Write;
use std::time::Duration;

use serde_json::{Value, json};
use toolbox_api::ssh::{CommandAnswer, CommandBy, CommandError, InstanceState, NOT_SETTLED, exit};
use toolbox_domain::machine_operation::{ALLOWED, InstanceAction, MachineOperation, Tail};

use super::direct;
use super::hangup::hangup;
use super::local::{Local, LocalAnswer, Lost};
use super::programs;
use crate::config::ssh::{SshCommand, SshConfig};
use crate::machine::log::is_for_callers;
use crate::metrics::Machine;

/// How long an operation may take. A caller that waits less hangs up, which ends it too.
const LIMIT: Duration = Duration::from_mins(1);
/// How long the agent or its companion may take to answer.
const ASK_LIMIT: Duration = Duration::from_secs(25);
/// How long a question about the machine may take.
const LOOK_LIMIT: Duration = Duration::from_secs(5);
/// How long the init system may take to restart the agent.
const RESTART_LIMIT: Duration = Duration::from_secs(45);
/// Where the installer puts the companion's script on machines without systemd.
const INIT_SCRIPT: &str = "/etc/init.d/dtma-companion";

/// Why an operation was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    exit: u8,
    by: CommandBy,
    /// What the instance is, where that is why.
    state: Option<InstanceState>,
    error: CommandError,
}

impl Refused {
    pub(super) fn new(exit: u8, code: &str, message: impl Into<String>) -> Self {
        Self::by(CommandBy::Machine, exit, code, message)
    }

    fn by(by: CommandBy, exit: u8, code: &str, message: impl Into<String>) -> Self {
        let error = CommandError {
            code: code.to_owned(),
            message: message.into(),
        };
        Self {
            exit,
            by,
            state: None,
            error,
        }
    }
}

/// Runs the operation, prints what came of it, and gives the exit code.
pub async fn run(command: &SshCommand) -> u8 {
    let done = async {
        let operation = parse(&command.original)?;
        let config = SshConfig::of_machine().map_err(|error| {
            Refused::new(exit::NOT_CONFIGURED, "not_configured", error.to_string())
        })?;
        let working = tokio::time::timeout(LIMIT, carry_out(&config, &operation));
        working.await.unwrap_or_else(|_| {
            Err(Refused::new(
                exit::TIMEOUT,
                "timeout",
                "The operation took too long; what came of it is unknown",
            ))
        })
    };
    let (code, answer) = tokio::select! {
        done = done => match done {
            Ok(answer) => (exit::DONE, answer),
            Err(refused) => (refused.exit, CommandAnswer {
                by: refused.by,
                state: refused.state,
                error: Some(refused.error),
                ..CommandAnswer::default()
            }),
        },
        // Nobody reads an answer any more.
        () = hangup() => return exit::TIMEOUT,
    };
    let mut line = serde_json::to_vec(&answer).unwrap_or_default();
    line.push(b'\n');
    let mut stdout = std::io::stdout();
    match stdout.write_all(&line).and_then(|()| stdout.flush()) {
        Ok(()) => code,
        Err(_) => exit::FAILED,
    }
}

fn parse(original: &OsStr) -> Result<MachineOperation, Refused> {
    let parsed = original.to_str().map(str::parse::<MachineOperation>);
    match parsed {
        Some(Ok(operation)) => Ok(operation),
        // What was sent is not repeated.
        _ => Err(Refused::new(
            exit::NOT_ALLOWED,
            "operation_not_allowed",
            format!("Nothing was done. Allowed are: {}", ALLOWED.join(", ")),
        )),
    }
}

async fn carry_out(
    config: &SshConfig,
    operation: &MachineOperation,
) -> Result<CommandAnswer, Refused> {
    match operation {
        MachineOperation::Instance { action, id } => {
            let (method, path) = match action {
                InstanceAction::Start => ("POST", format!("/tools/{id}/start")),
                InstanceAction::Stop => ("POST", format!("/tools/{id}/stop")),
                InstanceAction::Restart => ("POST", format!("/tools/{id}/restart")),
                InstanceAction::Remove => ("DELETE", format!("/tools/{id}")),
            };
            match ask(Local::agent(config), method, &path, ASK_LIMIT).await? {
                Some(answer) => instance(*action, answer),
                None => direct::change(config, *action, *id).await,
            }
        }
        // Docker tells them, whether an agent runs or not.
        MachineOperation::InstanceLogs { id, tail } => direct::logs(config, *id, *tail).await,
        MachineOperation::AgentStatus => status(config).await,
        MachineOperation::AgentRestart => restart(config).await,
        MachineOperation::AgentRedeploy { version } => {
            let body = version
                .as_ref()
                .map_or_else(|| json!({}), |version| json!({ "version": version }));
            companion(config, "/v1/machine/redeploy", &body).await
        }
        MachineOperation::AgentRollback => {
            companion(config, "/v1/machine/rollback", &json!({})).await
        }
        MachineOperation::AgentLogs { tail } => agent_logs(config, *tail).await,
        MachineOperation::HostHealth => Ok(host_health(config).await),
    }
}

type Asked = (CommandBy, LocalAnswer);

/// The answer; none when nobody is there.
async fn ask(
    to: Option<Local>,
    method: &'static str,
    path: &str,
    limit: Duration,
) -> Result<Option<Asked>, Refused> {
    ask_with(to, method, path, None, limit).await
}

async fn ask_with(
    to: Option<Local>,
    method: &'static str,
    path: &str,
    body: Option<&Value>,
    limit: Duration,
) -> Result<Option<Asked>, Refused> {
    let Some(to) = to else { return Ok(None) };
    match to.ask(method, path, body, limit).await {
        Ok(answer) => Ok(answer.map(|answer| (to.by, answer))),
        Err(Lost(why)) => Err(Refused::by(to.by, exit::TIMEOUT, "no_answer", why)),
    }
}

/// The end of a change, whoever made it: done is what shows the state that was asked for.
pub(super) fn end(
    by: CommandBy,
    action: InstanceAction,
    state: Option<InstanceState>,
    data: Option<Value>,
) -> Result<CommandAnswer, Refused> {
    let wanted = match action {
        InstanceAction::Start | InstanceAction::Restart => InstanceState::Running,
        InstanceAction::Stop => InstanceState::Stopped,
        InstanceAction::Remove => InstanceState::Absent,
    };
    if state != Some(wanted) {
        let message = "The command was taken, and the tool is not what was asked for yet; ask again for its state, and read its log";
        return Err(Refused {
            state,
            ..Refused::by(by, exit::TIMEOUT, NOT_SETTLED, message)
        });
    }
    Ok(CommandAnswer {
        ok: true,
        by,
        state,
        data,
        ..CommandAnswer::default()
    })
}

/// What the agent made of a change.
fn instance(action: InstanceAction, (by, answer): Asked) -> Result<CommandAnswer, Refused> {
    let phase = answer.body["phase"].as_str().unwrap_or_default();
    let state = match phase {
        _ if answer.body["removed"] == true => Some(InstanceState::Absent),
        "running" if answer.body["settled"] == true => Some(InstanceState::Running),
        "stopped" if answer.body["settled"] == true => Some(InstanceState::Stopped),
        _ => None,
    };
    if !(200..300).contains(&answer.status) {
        let code = answer.body["code"].as_str().unwrap_or("agent_failed");
        let exit = if answer.status == 404 {
            exit::UNKNOWN_INSTANCE
        } else {
            exit::FAILED
        };
        let said = answer.body["detail"]
            .as_str()
            .or_else(|| answer.body["title"].as_str());
        return Err(Refused::by(
            by,
            exit,
            code,
            said.unwrap_or("The agent refused"),
        ));
    }
    if phase == "error" {
        let reason = &answer.body["reason"];
        let text = |key: &str| reason[key].as_str().unwrap_or_default().to_owned();
        return Err(Refused::by(
            by,
            exit::FAILED,
            &text("code"),
            text("message"),
        ));
    }
    end(by, action, state, Some(answer.body))
}

async fn status(config: &SshConfig) -> Result<CommandAnswer, Refused> {
    for to in [Local::agent(config), Local::companion(config)] {
        // One that hangs is as good as none for this question.
        if let Ok(Some((by, answer))) = ask(to, "GET", "/v1/machine/status", LOOK_LIMIT).await
            && answer.status == 200
        {
            return Ok(CommandAnswer {
                ok: true,
                by,
                data: Some(answer.body),
                ..CommandAnswer::default()
            });
        }
    }
    let mut data =
        json!({ "agent": { "health": "unreachable" }, "companion": { "reachable": false } });
    if programs::has_systemd() {
        let states = programs::read(
            "systemctl",
            &["is-active", "dtma.service", "dtma-companion.service"],
            LOOK_LIMIT,
        )
        .await;
        data["systemd"] = match states {
            Ok(text) => text.split_whitespace().collect::<Vec<_>>().into(),
            Err(error) => error.to_string().into(),
        };
    }
    Ok(CommandAnswer {
        ok: true,
        data: Some(data),
        ..CommandAnswer::default()
    })
}

/// By the companion, which knows how the agent is run; without it, by the init system, which starts both.
async fn restart(config: &SshConfig) -> Result<CommandAnswer, Refused> {
    for to in [Local::companion(config), Local::agent(config)] {
        if let Ok(Some((by, answer))) = ask(to, "POST", "/v1/machine/restart", ASK_LIMIT).await
            && (200..300).contains(&answer.status)
        {
            return Ok(CommandAnswer {
                ok: true,
                by,
                data: Some(answer.body),
                ..CommandAnswer::default()
            });
        }
    }
    let (program, args): (_, &[&str]) = if programs::has_systemd() {
        (
            "systemctl",
            &["restart", "dtma-companion.service", "dtma.service"],
        )
    } else {
        (INIT_SCRIPT, &["restart"])
    };
    programs::run(program, args, RESTART_LIMIT)
        .await
        .map_err(|error| {
            Refused::new(
                exit::UNAVAILABLE,
                "restart_failed",
                crate::error_chain(&error),
            )
        })?;
    let data = Some(json!({ "restarted_with": program }));
    Ok(CommandAnswer {
        ok: true,
        data,
        ..CommandAnswer::default()
    })
}

async fn companion(config: &SshConfig, path: &str, body: &Value) -> Result<CommandAnswer, Refused> {
    let asked = ask_with(
        Local::companion(config),
        "POST",
        path,
        Some(body),
        ASK_LIMIT,
    )
    .await?;
    let Some((by, answer)) = asked else {
        return Err(Refused::by(
            CommandBy::Companion,
            exit::UNAVAILABLE,
            "companion_unreachable",
            "The companion does not answer, and only it replaces the agent; bring both back with agent-restart",
        ));
    };
    if (200..300).contains(&answer.status) {
        return Ok(CommandAnswer {
            ok: true,
            by,
            data: Some(answer.body),
            ..CommandAnswer::default()
        });
    }
    let code = answer.body["code"].as_str().unwrap_or("companion_failed");
    let said = answer.body["detail"]
        .as_str()
        .unwrap_or("The companion refused");
    Err(Refused::by(by, exit::FAILED, code, said))
}

async fn agent_logs(config: &SshConfig, tail: Tail) -> Result<CommandAnswer, Refused> {
    let path = format!("/v1/machine/logs?tail={}", tail.get());
    let lines = |text: &str| {
        let lines = text.lines().filter(|line| is_for_callers(line.as_bytes()));
        Some(lines.map(str::to_owned).collect())
    };
    for to in [Local::companion(config), Local::agent(config)] {
        if let Ok(Some((by, answer))) = ask(to, "GET", &path, LOOK_LIMIT).await
            && answer.status == 200
        {
            return Ok(CommandAnswer {
                ok: true,
                by,
                lines: lines(&answer.text),
                ..CommandAnswer::default()
            });
        }
    }
    if !programs::has_systemd() {
        return Err(Refused::new(
            exit::UNAVAILABLE,
            "logs_unavailable",
            "Neither companion nor agent answers; bring them back with agent-restart",
        ));
    }
    let count = tail.get().to_string();
    let args = [
        "--unit=dtma.service",
        "--no-pager",
        "--output=cat",
        "--lines",
        &count,
    ];
    let text = programs::read("journalctl", &args, LOOK_LIMIT)
        .await
        .map_err(|error| Refused::new(exit::FAILED, "logs_failed", crate::error_chain(&error)))?;
    Ok(CommandAnswer {
        ok: true,
        lines: lines(&text),
        ..CommandAnswer::default()
    })
}

async fn host_health(config: &SshConfig) -> CommandAnswer {
    let machine = Machine::new(config.machine.state_dir.clone());
    // The load is over a time.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let data = serde_json::to_value(machine.read()).unwrap_or(Value::Null);
    CommandAnswer {
        ok: true,
        data: Some(data),
        ..CommandAnswer::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_operations_are_read_and_what_was_sent_is_not_repeated() {
        let refused = parse(OsStr::new("SECRET; id")).unwrap_err();
        assert_eq!(
            (refused.exit, &*refused.error.code),
            (exit::NOT_ALLOWED, "operation_not_allowed")
        );
        assert!(!refused.error.message.contains("SECRET"));
        assert!(refused.error.message.contains("agent-restart"));
        assert_eq!(
            parse(OsStr::new("host-health")),
            Ok(MachineOperation::HostHealth)
        );
        assert!(
            parse(OsStr::new("docker stop x")).is_err(),
            "the predecessor's texts are the executor's"
        );
    }

    #[test]
    fn an_answer_of_the_agent_says_what_was_seen_or_that_nothing_was() {
        let of = |action, status, body| {
            let answer = LocalAnswer {
                status,
                text: String::new(),
                body,
            };
            instance(action, (CommandBy::Agent, answer))
        };
        let (start, stop, remove) = (
            InstanceAction::Start,
            InstanceAction::Stop,
            InstanceAction::Remove,
        );
        let stopped = json!({"phase": "stopped", "settled": true});
        let done = of(stop, 202, stopped.clone()).unwrap();
        assert_eq!((done.ok, done.state), (true, Some(InstanceState::Stopped)));
        let gone = of(remove, 200, json!({"removed": true})).unwrap();
        assert_eq!((gone.ok, gone.state), (true, Some(InstanceState::Absent)));
        for (action, body, state) in [
            (stop, json!({"phase": "stopping", "settled": false}), None),
            (stop, json!({"phase": "stopped", "settled": false}), None),
            (remove, stopped.clone(), Some(InstanceState::Stopped)),
            (start, stopped, Some(InstanceState::Stopped)),
        ] {
            let slow = of(action, 202, body).unwrap_err();
            assert_eq!((slow.exit, slow.state), (exit::TIMEOUT, state));
            assert_eq!(slow.error.code, NOT_SETTLED);
        }
        let unknown = json!({"code": "instance_unknown", "detail": "x"});
        let gone = of(start, 404, unknown).unwrap_err();
        assert_eq!(
            (gone.exit, &*gone.error.code),
            (exit::UNKNOWN_INSTANCE, "instance_unknown")
        );
        let failed = json!({"phase": "error", "settled": true, "reason": {"code": "exited", "message": "m"}});
        let failed = of(start, 202, failed).unwrap_err();
        assert_eq!(failed.error.code, "exited");
    }
}
