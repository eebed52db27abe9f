//! How a command changes a record: pure rules about generations and specs.

use std::collections::BTreeMap;

use time::OffsetDateTime;
use toolbox_api::dtma::{Desired, PortBinding};
use toolbox_domain::ids::ToolInstanceId;
use toolbox_domain::names::ContainerName;
use toolbox_domain::spec::{HostAccess, ImageSource, InstanceSpec};

use super::Put;
use crate::ports::PortError;
use crate::record::{Record, Release, Restart, spec_sha256};

/// What a caller wants of one instance.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Hold this spec and make it so.
    Put(Box<Put>),
    /// Run.
    Start(Option<u64>),
    /// Do not run.
    Stop(Option<u64>),
    /// Run, with a start after now.
    Restart(Option<u64>),
    /// Be gone.
    Delete(Option<u64>),
}

/// Why a command was not accepted. Nothing was changed then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The agent does not hold the instance.
    #[error("no tool instance {0} on this agent")]
    Unknown(ToolInstanceId),
    /// Docker could not be asked yet whether it has containers of the instance.
    #[error("Docker does not answer, so it is not known whether the instance exists")]
    NotKnownYet,
    /// A newer desired state is held.
    #[error("generation {asked} is older than generation {held}, which the agent holds")]
    Stale {
        /// What the caller sent.
        asked: u64,
        /// What the agent holds.
        held: u64,
    },
    /// The same generation was given with another spec.
    #[error("generation {0} was already given with another spec; send a higher one")]
    SpecDiffers(u64),
    /// A generation in between never arrived, or was rolled back here, so the desired state is not known.
    #[error(
        "generation {asked} does not follow generation {held}, which the agent holds; send the whole desired state"
    )]
    Gap {
        /// What the caller sent.
        asked: u64,
        /// What the agent holds.
        held: u64,
    },
    /// The instance is on its way out.
    #[error("the tool instance is being deleted; wait until it is gone")]
    Deleting,
    /// It would open a port of the machine's own programs.
    #[error(
        "{0} is a port of the agent, its companion, sshd or Docker, which no tool may reach; leave it out"
    )]
    HostPortReserved(HostAccess),
    /// A host port cannot be had.
    #[error(transparent)]
    Port(#[from] PortError),
    /// The desired state could not be made durable.
    #[error("the desired state could not be stored")]
    Store,
    /// A defect of the agent; its log says more.
    #[error("the agent could not take the command")]
    Defect,
    /// The agent is stopping.
    #[error("the agent is shutting down")]
    ShuttingDown,
}

/// What an accepted command changes.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Nothing: it was given before.
    Nothing,
    /// The record stays, but what failed is tried again.
    TryAgain,
    /// The new record.
    Record(Box<Record>),
}

impl Command {
    /// What this makes of `record`. `allocate` promises host ports for the spec's wishes, keeping those given to it.
    pub fn apply(
        self,
        id: ToolInstanceId,
        record: Option<&Record>,
        now: OffsetDateTime,
        allocate: impl FnOnce(&InstanceSpec, &[PortBinding]) -> Result<Vec<PortBinding>, PortError>,
    ) -> Result<Change, CommandError> {
        let Some(record) = record else {
            return match self {
                Self::Put(put) => {
                    let ports = allocate(&put.spec, &[])?;
                    Ok(Change::Record(Box::new(first(id, *put, ports))))
                }
                Self::Delete(_) => Ok(Change::Nothing),
                _ => Err(CommandError::Unknown(id)),
            };
        };
        let asked = self.generation();
        if let Some(asked) = asked
            && asked < record.generation
        {
            return Err(CommandError::Stale {
                asked,
                held: record.generation,
            });
        }
        if record.desired == Desired::Absent && !matches!(self, Self::Delete(_)) {
            return Err(CommandError::Deleting);
        }
        if let Some(asked) = asked
            && matches!(self, Self::Start(_) | Self::Stop(_) | Self::Restart(_))
            && (asked > record.generation.saturating_add(1)
                || asked > record.generation && record.is_rolled_back())
        {
            return Err(CommandError::Gap {
                asked,
                held: record.generation,
            });
        }
        let repeated = asked == Some(record.generation);
        let mut draft = record.clone();
        draft.generation = asked.unwrap_or(record.generation);
        if !repeated && !matches!(self, Self::Put(_)) {
            forget_roll_back(&mut draft);
        }
        if !repeated {
            draft.rests = false;
            if let Some(halt) = &mut draft.halted {
                halt.asked_again = true;
            }
        }
        match self {
            Self::Put(put) => return put_over(record, draft, *put, now, allocate),
            Self::Delete(_) if draft == *record && record.desired == Desired::Absent => {
                return Ok(Change::Nothing);
            }
            Self::Delete(_) => draft.desired = Desired::Absent,
            Self::Start(_) if repeated && record.desired == Desired::Running => {
                return Ok(Change::Nothing);
            }
            Self::Start(_) => draft.desired = Desired::Running,
            Self::Stop(_) if repeated && record.desired == Desired::Stopped => {
                return Ok(Change::Nothing);
            }
            Self::Stop(_) => {
                draft.desired = Desired::Stopped;
                // As with an update of a stopped instance: the new version is tried at the next start.
                if let Some(next) = draft.next.take() {
                    draft.current = next;
                }
            }
            Self::Restart(_)
                if repeated
                    && record
                        .restart
                        .is_some_and(|r| r.generation == draft.generation) =>
            {
                return Ok(Change::Nothing);
            }
            Self::Restart(_) => {
                draft.desired = Desired::Running;
                draft.restart = Some(Restart {
                    after: now,
                    generation: draft.generation,
                });
            }
        }
        Ok(if draft == *record {
            Change::TryAgain
        } else {
            Change::Record(Box::new(draft))
        })
    }

    /// The generation the caller gave.
    pub const fn generation(&self) -> Option<u64> {
        match self {
            Self::Put(put) => Some(put.generation),
            Self::Start(g) | Self::Stop(g) | Self::Restart(g) | Self::Delete(g) => *g,
        }
    }
}

fn first(id: ToolInstanceId, put: Put, ports: Vec<PortBinding>) -> Record {
    let current = Release {
        refresh_image: put.refresh_image,
        ..Release::new(put.generation, put.spec, ports)
    };
    Record {
        id,
        name: put.name,
        container_name: put.container_name.as_str().to_owned(),
        generation: put.generation,
        desired: put.desired,
        requested_sha256: current.sha256.clone(),
        current,
        next: None,
        update_failure: None,
        restart: None,
        inherited_volumes: BTreeMap::new(),
        halted: None,
        rests: false,
    }
}

/// A roll-back belongs to the command that brought the update. A later command has its own result.
fn forget_roll_back(draft: &mut Record) {
    if draft.update_failure.take().is_some() && draft.next.is_none() {
        // Then a command of this generation with the failed spec is refused, instead of being taken for a repetition.
        draft.requested_sha256.clone_from(&draft.current.sha256);
    }
}

fn put_over(
    record: &Record,
    mut draft: Record,
    put: Put,
    now: OffsetDateTime,
    allocate: impl FnOnce(&InstanceSpec, &[PortBinding]) -> Result<Vec<PortBinding>, PortError>,
) -> Result<Change, CommandError> {
    let sha256 = spec_sha256(put.spec.wire());
    let repeated = put.generation == record.generation;
    // A record that was rebuilt from its container lacks what Docker does not hold; the digest is of the whole spec.
    let is_whole = sha256 == record.current.sha256;
    if is_whole {
        // What it was not deployed with, it does not get by a command that changes nothing.
        let limit = record.current.spec.resources().disk_bytes;
        draft.current.spec = put.spec.clone().with_disk_limit(limit);
    }
    let is_of = |release: &Release| put.spec.wire() == release.spec.wire();
    let is_current = is_whole || is_of(&record.current);
    let under_way = record.next.as_ref().is_some_and(is_of);
    let is_settled_on = is_current && record.next.is_none() && record.update_failure.is_none();
    if repeated && sha256 != record.requested_sha256 && !under_way && !is_settled_on {
        return Err(CommandError::SpecDiffers(put.generation));
    }
    draft.desired = put.desired;
    if put.restart
        && record
            .restart
            .is_none_or(|r| r.generation != put.generation)
    {
        draft.restart = Some(Restart {
            after: now,
            generation: put.generation,
        });
    }
    if repeated {
        return Ok(if draft == *record {
            Change::Nothing
        } else {
            Change::Record(Box::new(draft))
        });
    }
    // A record that had to take the long name keeps it, because another container has the short one.
    if record.container_name != ContainerName::derive_long(&put.name, record.id).as_str() {
        put.container_name
            .as_str()
            .clone_into(&mut draft.container_name);
    }
    draft.name = put.name;
    draft.requested_sha256.clone_from(&sha256);
    // The same reference may name another image by now. Deploying it again asks for that one.
    let is_redeployed = put.refresh_image && is_floating(&put.spec);
    if is_current && !is_redeployed {
        // After a roll-back the control plane restores the previous spec under the next generation. No user gave that
        // command, and the user of the update must still see why it failed.
        let taken_back =
            put.pulled && record.is_rolled_back() && record.next.is_none() && !put.restart;
        if !(taken_back && put.generation == record.generation + 1) {
            draft.update_failure = None;
        }
        draft.next = None;
    } else if !under_way {
        let kept: Vec<_> = record
            .current
            .ports
            .iter()
            .chain(record.next.iter().flat_map(|n| &n.ports))
            .cloned()
            .collect();
        let ports = allocate(&put.spec, &kept)?;
        let current = &record.current;
        let release = Release {
            refresh_image: put.refresh_image,
            pulled: current.pulled && current.spec.image() == put.spec.image(),
            ..Release::new(put.generation, put.spec, ports)
        };
        // There is nothing to roll back to if the current version never ran. If the instance is stopped, the new version
        // simply becomes current and is tried at its next start.
        if record.current.proven && put.desired == Desired::Running {
            draft.next = Some(release);
        } else {
            draft.current = release;
            draft.next = None;
        }
        draft.update_failure = None;
    }
    Ok(Change::Record(Box::new(draft)))
}

fn is_floating(spec: &InstanceSpec) -> bool {
    match spec.image() {
        ImageSource::Reference(reference) => reference.is_floating(),
        ImageSource::Git(_) => false,
    }
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;
