//! Instances while no agent runs: the record on the disk says what is wanted, then Docker is brought there.
//!
//! The agent's lock is held meanwhile, so no agent begins in between; one that begins afterwards finds the record and Docker
//! in agreement. The record keeps its generation, as with a command that names none: what the control plane wants in a newer
//! one still counts.

use std::sync::Arc;

use futures_util::StreamExt;
use time::OffsetDateTime;
use toolbox_api::dtma::LogLine;
use toolbox_api::ssh::{CommandAnswer, CommandBy, InstanceState, exit};
use toolbox_domain::ids::ToolInstanceId;
use toolbox_domain::machine_operation::{InstanceAction, Tail};

use super::command::{Refused, end};
use crate::config::ssh::SshConfig;
use crate::instances::Command;
use crate::instances::command::Change;
use crate::instances::steps::{STOP_GRACE, TRIAL};
use crate::runtime::docker::DockerEngine;
use crate::runtime::{Container, ContainerRuntime, ContainerState, LogQuery, RuntimeError};
use crate::store::{Store, StoreError};
use crate::telemetry::Telemetry;

/// Most bytes of lines that are given.
const MAX_LINES_BYTES: usize = 2 * 1024 * 1024;

/// Changes an instance.
pub(super) async fn change(
    config: &SshConfig,
    action: InstanceAction,
    id: ToolInstanceId,
) -> Result<CommandAnswer, Refused> {
    // Held to the end.
    let store = Store::open(&config.machine.state_dir, config.machine.toolbox_id).map_err(
        |error| match error {
            StoreError::Locked { .. } => Refused::new(
                exit::UNAVAILABLE,
                "agent_not_answering",
                "An agent runs and does not answer; restart it with agent-restart, then try again",
            ),
            error => Refused::new(exit::FAILED, "store_failed", crate::error_chain(&error)),
        },
    )?;
    let runtime = engine(config);
    let containers = runtime.observe(id).await.map_err(docker)?;
    let record = store.find(id);
    if record.is_none() && containers.is_empty() {
        return Err(Refused::new(
            exit::UNKNOWN_INSTANCE,
            "instance_unknown",
            "This machine holds no such instance",
        ));
    }
    if let Some(record) = &record {
        let command = match action {
            InstanceAction::Start => Command::Start(None),
            InstanceAction::Stop => Command::Stop(None),
            InstanceAction::Restart => Command::Restart(None),
            InstanceAction::Remove => Command::Delete(None),
        };
        let change = command.apply(id, Some(record), OffsetDateTime::now_utc(), |_, held| {
            Ok(held.to_vec())
        });
        let change = change
            .map_err(|error| Refused::new(exit::FAILED, "not_possible", error.to_string()))?;
        if let Change::Record(wanted) = change {
            store.save(&wanted).map_err(|error| {
                Refused::new(exit::FAILED, "store_failed", crate::error_chain(&error))
            })?;
        }
    }
    if matches!(action, InstanceAction::Stop | InstanceAction::Restart) {
        for container in &containers {
            runtime
                .stop(&container.id, STOP_GRACE)
                .await
                .map_err(docker)?;
        }
    }
    if matches!(action, InstanceAction::Start | InstanceAction::Restart) {
        // During an update there are two; the newer one has not proven itself, and an agent decides between them.
        let proven = containers.iter().min_by_key(|container| container.revision);
        let container = proven.ok_or_else(|| {
            Refused::new(
                exit::UNAVAILABLE,
                "container_missing",
                "The instance has no container, and only the agent makes one; bring the agent back with agent-restart",
            )
        })?;
        runtime.start(&container.id).await.map_err(docker)?;
        // It may end as soon as it runs; the agent watches as long.
        tokio::time::sleep(TRIAL).await;
    }
    if action == InstanceAction::Remove {
        for container in &containers {
            runtime.remove(&container.id, false).await.map_err(docker)?;
        }
        runtime
            .remove_volumes(id, Vec::new())
            .await
            .map_err(docker)?;
    }
    // That Docker took each command says little.
    let state = state(&runtime.observe(id).await.map_err(docker)?);
    end(CommandBy::Machine, action, Some(state), None)
}

/// The last lines of an instance. Needs neither the agent nor its lock.
pub(super) async fn logs(
    config: &SshConfig,
    id: ToolInstanceId,
    tail: Tail,
) -> Result<CommandAnswer, Refused> {
    let runtime = engine(config);
    let containers = runtime.observe(id).await.map_err(docker)?;
    let newest = containers
        .iter()
        .max_by_key(|container| (container.started_at, container.revision));
    let container = newest.ok_or_else(|| {
        Refused::new(
            exit::UNKNOWN_INSTANCE,
            "instance_unknown",
            "This machine has no container of such an instance",
        )
    })?;
    let query = LogQuery {
        tail: tail.get().into(),
        since: None,
        follow: false,
        stream: None,
    };
    let mut stream = runtime.logs(&container.id, query).await.map_err(docker)?;
    let (mut lines, mut bytes) = (Vec::new(), 0);
    while let Some(line) = stream.next().await {
        let line = line.map_err(docker)?;
        bytes += line.line.len();
        lines.push(line);
    }
    // The last ones count.
    let mut first = 0;
    while bytes > MAX_LINES_BYTES {
        bytes -= lines
            .get(first)
            .map_or(bytes, |line: &LogLine| line.line.len());
        first += 1;
    }
    Ok(CommandAnswer {
        ok: true,
        by: CommandBy::Machine,
        state: Some(state(&containers)),
        entries: Some(lines.split_off(first)),
        ..CommandAnswer::default()
    })
}

fn engine(config: &SshConfig) -> DockerEngine {
    DockerEngine::new(
        &config.machine.docker_host,
        config.machine.toolbox_id,
        // It makes no networks.
        Vec::new(),
        Arc::new(Telemetry::default()),
    )
}

fn state(containers: &[Container]) -> InstanceState {
    if containers
        .iter()
        .any(|container| container.state == ContainerState::Running)
    {
        InstanceState::Running
    } else if containers.is_empty() {
        InstanceState::Absent
    } else {
        InstanceState::Stopped
    }
}

fn docker(error: RuntimeError) -> Refused {
    match error {
        RuntimeError::Unreachable { .. } => {
            Refused::new(exit::UNAVAILABLE, "docker_unreachable", error.to_string())
        }
        RuntimeError::Timeout { .. } => {
            Refused::new(exit::TIMEOUT, "docker_timeout", error.to_string())
        }
        error => Refused::new(exit::FAILED, "docker_failed", error.to_string()),
    }
}
