//! What is wrong with a machine, from the control plane to the machine and on it: each check with a verdict, what it rests
//! on, and the one thing to do. What depends on a check that failed is `not_checked`, so the first that failed is the first
//! to mend.

use std::time::Duration;

use futures_util::future::{Either, join4, select};
use toolbox_api::console::ConsoleDiagnosis;
use toolbox_api::dtma::API_VERSION;
use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_api::machine::{AgentCondition, Check, MachineStatus, Verdict};
use toolbox_api::moment;
use toolbox_clients::dtma::{AgentError, speaks_enough};
use toolbox_domain::ids::ToolboxId;
use toolbox_domain::machine_operation::MachineOperation;
use toolbox_edge::{Reply, RequestContext, reply};

use crate::machine::{Machine, Refusal};
use crate::ssh::GREETING_LIMIT;
use crate::status::companion_check;

/// How much longer than other calls the machine's own checks may take.
const LONGER: Duration = Duration::from_secs(20);
/// A heartbeat comes at least every five minutes, usually every minute; this many seconds are late for both.
const HEARTBEAT_LATE: u64 = 330;
/// What an agent's clock may differ by, in seconds, where the machine could not compare it itself.
const SKEW_HARMFUL: u64 = 60;

const ENROL: &str =
    "Enrol the machine again with a new token (docs/OPERATIONS.md, \"Let a machine join\")";
const REDEPLOY: &str = "Redeploy the agent: the action redeploy with a version of this release";

pub(crate) async fn diagnose(cx: &RequestContext, id: ToolboxId) -> Result<Reply, ApiError> {
    let machine = Machine::find(cx, id).await?;
    let mut checks = vec![address(&machine)];
    let mut method = None;
    let mut attempts = Vec::new();
    if checks[0].verdict == Verdict::Ok {
        let (connected, asked, companion, ssh) = join4(
            connects(&machine),
            ask_agent(&machine),
            companion_check(&machine),
            by_ssh(&machine),
        )
        .await;
        let is_connected = connected.verdict == Verdict::Ok;
        checks.push(connected);
        checks.extend(of_agent(&machine, is_connected, &asked));
        checks.push(heartbeat(&machine));
        let of_companion = Check::new(
            "companion_from_outside",
            companion.verdict,
            companion.evidence,
        );
        checks.push(match of_companion.verdict {
            Verdict::Failed => of_companion.then("Start the companion on the machine (systemctl start dtma-companion), and let its firewall pass the port"),
            _ => of_companion,
        });
        checks.push(ssh);
        let own = machine.reach_program(async |program| program.diagnosis(LONGER).await);
        let own = match own.await {
            Ok(reached) => {
                method = Some(reached.way);
                attempts = reached.attempts;
                reached.value.checks
            }
            Err(Refusal::ForNow(tried) | Refusal::Final(tried)) => {
                attempts = tried.attempts;
                vec![Check::new(
                    "machine",
                    Verdict::NotChecked,
                    "neither the agent nor the companion could be asked what is wrong on the machine",
                )]
            }
        };
        let status = asked.as_ref().ok().map(|status| &**status);
        checks.extend(own.into_iter().map(|own| with_clock(&machine, status, own)));
    }
    let verdict = worst(&checks);
    let answer = ConsoleDiagnosis {
        success: true,
        verdict,
        checks,
        method,
        attempts,
        timestamp: machine.state.timestamp(),
        request_id: machine.request_id.to_string(),
    };
    reply::json(200, &answer)
}

/// Why the agent gave no status.
enum NoStatus {
    /// It could not be called.
    NotAsked(ApiError),
    /// It was.
    Agent(AgentError),
}

async fn ask_agent(machine: &Machine) -> Result<Box<MachineStatus>, NoStatus> {
    let agent = machine.agent().map_err(NoStatus::NotAsked)?;
    agent.machine_status().await.map_err(NoStatus::Agent)
}

fn address(machine: &Machine) -> Check {
    match machine.socket(machine.row.toolbox.dtma_port) {
        Ok(socket) => Check::new(
            "address",
            Verdict::Ok,
            format!("the agent is at {socket}; no name has to be resolved"),
        ),
        Err(_) => Check::new("address", Verdict::Failed, "the toolbox has no address")
            .then("Set the address of the machine (docs/OPERATIONS.md, \"Let a machine join\")"),
    }
}

async fn connects(machine: &Machine) -> Check {
    let port = machine.row.toolbox.dtma_port;
    let Ok(socket) = machine.socket(port) else {
        return Check::new(
            "agent_tcp",
            Verdict::NotChecked,
            "the toolbox has no address",
        );
    };
    let begun = machine.clock().now();
    let over = Box::pin(async { machine.clock().sleep(GREETING_LIMIT).await });
    let evidence = match select(machine.state.host.dial(socket, false), over).await {
        Either::Left((Ok(_), _)) => {
            let ms = machine.ms_since(begun);
            return Check::new(
                "agent_tcp",
                Verdict::Ok,
                format!("connected to {socket} in {ms} ms"),
            );
        }
        Either::Left((Err(error), _)) => format!("no connection to {socket}: {}", error.detail),
        Either::Right(_) => {
            format!(
                "no connection to {socket} within {} s",
                GREETING_LIMIT.as_secs()
            )
        }
    };
    Check::new("agent_tcp", Verdict::Failed, evidence).then(format!(
        "Start the agent: the action restart does it by the companion or by SSH. If they fail too, turn the machine on and let its firewall pass port {port}"
    ))
}

/// Certificate, key, version of the API, and whether it answers: from one call.
fn of_agent(
    machine: &Machine,
    is_connected: bool,
    asked: &Result<Box<MachineStatus>, NoStatus>,
) -> [Check; 4] {
    let open = |name, why: &str| Check::new(name, Verdict::NotChecked, why);
    let tls = match &machine.row.toolbox.dtma_certificate_pem {
        Some(_) => Check::new("agent_tls", Verdict::Ok, "it has the enrolled certificate"),
        None => Check::new(
            "agent_tls",
            Verdict::Warning,
            "it speaks plain HTTP on this machine, for development",
        )
        .then(ENROL),
    };
    let key = Check::new("agent_key", Verdict::Ok, "it takes the toolbox's key");
    let error = match asked {
        Ok(status) => return [tls, key, api(status), answers(status)],
        Err(NoStatus::NotAsked(error)) => {
            let why = "the agent could not be called";
            let evidence = error.message().to_owned();
            let failed = match error.code {
                ErrorCode::AgentUnauthorized => [
                    open("agent_tls", why),
                    Check::new("agent_key", Verdict::Failed, evidence).then(ENROL),
                ],
                _ => [
                    Check::new("agent_tls", Verdict::Failed, evidence).then(ENROL),
                    open("agent_key", why),
                ],
            };
            let [tls, key] = failed;
            return [tls, key, open("agent_api", why), open("agent", why)];
        }
        Err(NoStatus::Agent(error)) => error,
    };
    match error {
        AgentError::Certificate(_) => {
            let why = "nothing is sent to what has another certificate";
            let evidence = "what answers does not have the enrolled certificate";
            let tls = Check::new("agent_tls", Verdict::Failed, evidence).then(ENROL);
            [
                tls,
                open("agent_key", why),
                open("agent_api", why),
                open("agent", why),
            ]
        }
        AgentError::Unauthorized => {
            let why = "the agent refuses the key";
            let evidence = "the agent refuses the toolbox's key";
            let key = Check::new("agent_key", Verdict::Failed, evidence).then(ENROL);
            [tls, key, open("agent_api", why), open("agent", why)]
        }
        AgentError::TooOld => {
            let evidence = "the agent does not know the machine API";
            let api = Check::new("agent_api", Verdict::Failed, evidence).then(REDEPLOY);
            [
                tls,
                key,
                api,
                Check::new("agent", Verdict::Ok, "it answers"),
            ]
        }
        AgentError::Unreachable(_) if !is_connected => {
            let why = error.to_string();
            ["agent_tls", "agent_key", "agent_api", "agent"].map(|name| open(name, &why))
        }
        AgentError::CannotPin(_) => {
            let why = "nothing is sent to what cannot be verified";
            let tls = Check::new("agent_tls", Verdict::Failed, error.to_string())
                .then("Run the functions where Deno.createHttpClient takes caCerts and proxy");
            [
                tls,
                open("agent_key", why),
                open("agent_api", why),
                open("agent", why),
            ]
        }
        AgentError::Unreachable(_)
        | AgentError::Timeout(_)
        | AgentError::BadResponse { .. }
        | AgentError::Failed { .. }
        | AgentError::Problem(_) => {
            let why = "the agent gave no usable answer";
            let agent = Check::new("agent", Verdict::Failed, error.to_string())
                .then("Restart the agent: the action restart does it by the companion or by SSH");
            [
                open("agent_tls", why),
                open("agent_key", why),
                open("agent_api", why),
                agent,
            ]
        }
    }
}

fn api(status: &MachineStatus) -> Check {
    let version = status.agent.api_version.unwrap_or_default();
    let evidence =
        format!("it speaks version {version} of its API; this control plane needs {API_VERSION}");
    if speaks_enough(version) {
        Check::new("agent_api", Verdict::Ok, evidence)
    } else {
        Check::new("agent_api", Verdict::Failed, evidence).then(REDEPLOY)
    }
}

fn answers(status: &MachineStatus) -> Check {
    let version = status.agent.version.as_deref().unwrap_or("?");
    match status.agent.health {
        AgentCondition::Healthy => Check::new(
            "agent",
            Verdict::Ok,
            format!("version {version} is healthy"),
        ),
        AgentCondition::Degraded | AgentCondition::Down => Check::new(
            "agent",
            Verdict::Warning,
            format!("version {version} answers, but Docker does not answer it"),
        )
        .then("Look at the check docker"),
    }
}

fn heartbeat(machine: &Machine) -> Check {
    let last = machine.last_heartbeat();
    let action =
        "Look at the checks control_dns, control_tcp and control_tls, and at the agent's log";
    match (last.age_seconds, last.toolbox_status.as_str()) {
        (None, _) => {
            Check::new("heartbeat", Verdict::Failed, "the agent has never sent one").then(ENROL)
        }
        (Some(age), "unresponsive") => Check::new(
            "heartbeat",
            Verdict::Failed,
            format!("the last was {age} s ago"),
        )
        .then(action),
        (Some(age), _) if age > HEARTBEAT_LATE => Check::new(
            "heartbeat",
            Verdict::Warning,
            format!("the last was {age} s ago"),
        )
        .then(action),
        (Some(age), _) => Check::new(
            "heartbeat",
            Verdict::Ok,
            format!("the last was {age} s ago"),
        ),
    }
}

/// Logs in by SSH, which compares the host key too.
async fn by_ssh(machine: &Machine) -> Check {
    match machine.execute(&MachineOperation::HostHealth).await {
        Ok(_) => Check::new(
            "ssh",
            Verdict::Ok,
            "the machine has the enrolled host key, and runs operations",
        ),
        Err(failed) if failed.error.code == ErrorCode::NotConfigured => Check::new(
            "ssh",
            Verdict::NotChecked,
            "the project has no key for SSH (TOOLBOX_SSH_CA_KEY)",
        ),
        Err(failed) => Check::new("ssh", Verdict::Failed, failed.error.message()).then(
            "Set SSH up on the machine (dtma ssh-setup), and enrol it again where its host key changed",
        ),
    }
}

/// A machine that does not reach the control plane cannot compare its clock. Its status told its time.
fn with_clock(machine: &Machine, status: Option<&MachineStatus>, own: Check) -> Check {
    if own.name != "clock" || own.verdict != Verdict::NotChecked {
        return own;
    }
    let theirs = status.and_then(|status| moment::parse(&status.timestamp));
    let Some(theirs) = theirs else {
        return own;
    };
    let apart = machine.clock().now().abs_diff(theirs).as_secs();
    let evidence = format!("the machine's clock and the control plane's are {apart} s apart");
    if apart <= SKEW_HARMFUL {
        return Check::new("clock", Verdict::Ok, evidence);
    }
    Check::new("clock", Verdict::Failed, evidence)
        .then("Set the machine's clock and keep it set: timedatectl set-ntp true")
}

fn worst(checks: &[Check]) -> Verdict {
    let has = |verdict| checks.iter().any(|check| check.verdict == verdict);
    [Verdict::Failed, Verdict::Warning]
        .into_iter()
        .find(|verdict| has(*verdict))
        .unwrap_or(Verdict::Ok)
}
