//! How a machine and its agent are.

use futures_util::future::join4;
use toolbox_api::console::{Attempt, ConnectionStatus, ConsoleStatus, ServiceCheck, Way};
use toolbox_api::error::ApiError;
use toolbox_api::machine::{AgentCondition, MachineStatus, Verdict};
use toolbox_clients::dtma::AgentError;
use toolbox_domain::ids::ToolboxId;
use toolbox_domain::machine_operation::MachineOperation;
use toolbox_edge::{Reply, RequestContext, reply};

use crate::machine::{Failed, Machine, Reached, Unreached};

/// Answers 200 when a way to the machine worked, whatever it told of the agent; else as the agent failed.
pub(crate) async fn status(cx: &RequestContext, id: ToolboxId) -> Result<Reply, ApiError> {
    let machine = Machine::find(cx, id).await?;
    // The machine may be waited for much longer.
    let database = ServiceCheck {
        name: "database".to_owned(),
        verdict: Verdict::Ok,
        response_time_ms: Some(machine.database_ms),
        evidence: "the row of the toolbox was read".to_owned(),
        checked_at: machine.state.timestamp(),
    };
    let (asked, of_agent, companion, ssh) = join4(
        reach_status(&machine),
        async { machine.agent().ok()?.status().await.ok() },
        companion_check(&machine),
        machine.ssh_check(),
    )
    .await;
    let (reached, error, attempts) = match asked {
        Ok(reached) => (
            Some((reached.way, reached.value, reached.ms)),
            None,
            reached.attempts,
        ),
        Err(Unreached {
            error, attempts, ..
        }) => (None, Some(error), attempts),
    };
    let agent = agent_check(&machine, reached.as_ref(), &attempts);
    let status = error.as_ref().map_or(200, |error| error.code.status());
    let (method, of_machine) = match reached {
        Some((way, value, _)) => (Some(way), value),
        None => (None, None),
    };
    let answer = ConsoleStatus {
        success: error.is_none(),
        connection_status: match method {
            Some(_) => ConnectionStatus::Connected,
            None => ConnectionStatus::Failed,
        },
        error: error.map(|error| machine.told("status", &error)),
        toolbox_id: id,
        system_metrics: of_machine.as_ref().map(|m| m.host.now.clone()),
        dtma_status: of_agent,
        machine: of_machine,
        method,
        attempts,
        last_heartbeat: machine.last_heartbeat(),
        services: vec![agent, companion, ssh, database],
        last_checked: machine.state.timestamp(),
        request_id: machine.request_id.to_string(),
    };
    reply::json(status, &answer)
}

type MaybeStatus = Option<Box<MachineStatus>>;

/// SSH shows that the machine is there even where what it says cannot be read.
async fn reach_status(machine: &Machine) -> Result<Reached<MaybeStatus>, Unreached> {
    machine
        .reach(
            async |program| program.machine_status().await.map(Some),
            async || {
                let done = machine.execute(&MachineOperation::AgentStatus).await?;
                Ok::<MaybeStatus, Failed>(
                    done.data.and_then(|data| serde_json::from_value(data).ok()),
                )
            },
        )
        .await
}

fn agent_check(
    machine: &Machine,
    reached: Option<&(Way, MaybeStatus, u64)>,
    attempts: &[Attempt],
) -> ServiceCheck {
    let (verdict, ms, evidence) = if let Some((Way::DtmaEndpoint, Some(status), ms)) = reached {
        let version = status.agent.version.as_deref().unwrap_or("?");
        match status.agent.health {
            AgentCondition::Healthy => {
                (Verdict::Ok, Some(*ms), format!("version {version} answers"))
            }
            AgentCondition::Degraded | AgentCondition::Down => (
                Verdict::Warning,
                Some(*ms),
                format!("version {version} answers, but Docker does not answer it"),
            ),
        }
    } else {
        let why = attempts.iter().find(|a| a.way == Way::DtmaEndpoint);
        let evidence = why.map_or("it did not answer", |a| a.message.as_str());
        (Verdict::Failed, None, evidence.to_owned())
    };
    ServiceCheck {
        name: "agent".to_owned(),
        verdict,
        response_time_ms: ms,
        evidence,
        checked_at: machine.state.timestamp(),
    }
}

/// Whether the companion answers, as seen from here.
pub(crate) async fn companion_check(machine: &Machine) -> ServiceCheck {
    let begun = machine.clock().now();
    let (verdict, evidence) = match machine.companion() {
        Ok(companion) => match companion.alive().await {
            Ok(alive) => (Verdict::Ok, format!("version {} answers", alive.version)),
            Err(error) => (Verdict::Failed, why(&error, machine.companion_port)),
        },
        Err(error) => (Verdict::NotChecked, error.message().to_owned()),
    };
    let ms = machine.ms_since(begun);
    ServiceCheck {
        name: "companion".to_owned(),
        response_time_ms: (verdict == Verdict::Ok).then_some(ms),
        verdict,
        evidence,
        checked_at: machine.state.timestamp(),
    }
}

fn why(error: &AgentError, port: u16) -> String {
    match error {
        AgentError::Unreachable(_) => format!("nothing answers at port {port}"),
        AgentError::Timeout(_) => format!("no answer in time at port {port}"),
        AgentError::Certificate(_) => {
            format!("what answers at port {port} does not have the enrolled certificate")
        }
        other => other.to_string(),
    }
}
