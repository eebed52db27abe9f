//! What a command makes of a record: pure rules about generations and specs.

use time::OffsetDateTime;
use toolbox_api::dtma::{Desired, PortBinding};
use toolbox_domain::ids::ToolInstanceId;
use toolbox_domain::names::ContainerName;
use toolbox_domain::spec::{ImageSource, InstanceSpec};

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
    /// A generation in between never arrived, or was rolled back here: what the instance should be is not known.
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
                || asked > record.generation && record.is_reverted())
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
            Self::Stop(_) => draft.desired = Desired::Stopped,
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
    let current = Release::new(put.generation, put.wire, put.spec, ports);
    Record {
        id,
        name: put.name,
        container_name: put.container_name.as_str().to_owned(),
        generation: put.generation,
        desired: put.desired,
        requested_sha256: current.sha256.clone(),
        current,
        next: None,
        rolled_back: None,
        restart: None,
    }
}

/// A roll-back is the answer to the command that brought the update; a later command has an answer of its own.
fn forget_roll_back(draft: &mut Record) {
    if draft.rolled_back.take().is_some() && draft.next.is_none() {
        // So that the same generation with the failed spec is a contradiction, not «done before».
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
    let sha256 = spec_sha256(&put.wire);
    let repeated = put.generation == record.generation;
    let is_current = put.wire == record.current.wire;
    let under_way = record.next.as_ref().is_some_and(|n| put.wire == n.wire);
    let is_settled_on = is_current && record.next.is_none() && record.rolled_back.is_none();
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
    // A record that had to take the long name keeps it: the short one is somebody else's.
    if record.container_name != ContainerName::derive_long(&put.name, record.id).as_str() {
        put.container_name
            .as_str()
            .clone_into(&mut draft.container_name);
    }
    draft.name = put.name;
    draft.requested_sha256.clone_from(&sha256);
    // The same reference may name another image by now, and whoever deploys it again wants that one. What the control
    // plane's desired state repeats is no deployment, and neither is a restart or a stop.
    let is_redeployed = !put.pulled
        && !put.restart
        && (put.desired == Desired::Running || record.desired == Desired::Stopped)
        && (record.next.is_none() || under_way)
        && is_floating(&put.spec);
    if is_current && !is_redeployed {
        // After a roll-back the control plane takes back the spec under a generation of its own; that is no command
        // with an answer of its own, and its user has yet to see why the update failed.
        let taken_back = put.pulled && record.next.is_none() && !put.restart;
        if !(taken_back && put.generation == record.generation + 1) {
            draft.rolled_back = None;
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
        let release = Release::new(put.generation, put.wire, put.spec, ports);
        // A version that never ran is nothing to come back to; nor is one that is not to run: the new one is tried when
        // it is started, and no later command is answered with the end of this one.
        if record.current.proven && put.desired == Desired::Running {
            draft.next = Some(release);
        } else {
            draft.current = release;
            draft.next = None;
        }
        draft.rolled_back = None;
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
mod tests {
    use toolbox_api::dtma::ToolSpec;
    use toolbox_domain::names::DisplayName;

    use super::*;

    fn id() -> ToolInstanceId {
        ToolInstanceId::new(uuid::Uuid::from_u128(7))
    }

    fn put(generation: u64, image: &str) -> Command {
        let wire = ToolSpec {
            image: image.into(),
            ..ToolSpec::default()
        };
        let name = DisplayName::parse("404").unwrap();
        Command::Put(Box::new(Put {
            generation,
            desired: Desired::Running,
            container_name: ContainerName::derive(&name, id()),
            name,
            spec: wire.validate().unwrap(),
            wire,
            restart: false,
            known_ports: Vec::new(),
            pulled: false,
        }))
    }

    fn apply(record: Option<&Record>, command: Command) -> Result<Change, CommandError> {
        command.apply(id(), record, OffsetDateTime::UNIX_EPOCH, |_, _| {
            Ok(Vec::new())
        })
    }

    fn changed(record: Option<&Record>, command: Command) -> Record {
        match apply(record, command) {
            Ok(Change::Record(record)) => *record,
            other => panic!("expected a new record, got {other:?}"),
        }
    }

    #[test]
    fn the_same_put_again_changes_nothing() {
        let record = changed(None, put(5, "a/b:1"));
        assert_eq!(apply(Some(&record), put(5, "a/b:1")), Ok(Change::Nothing));
    }

    #[test]
    fn older_and_contradicting_generations_are_refused() {
        let record = changed(None, put(5, "a/b:1"));
        assert_eq!(
            apply(Some(&record), put(4, "a/b:1")),
            Err(CommandError::Stale { asked: 4, held: 5 })
        );
        assert_eq!(
            apply(Some(&record), put(5, "a/b:2")),
            Err(CommandError::SpecDiffers(5))
        );
        assert_eq!(
            apply(Some(&record), Command::Stop(Some(4))),
            Err(CommandError::Stale { asked: 4, held: 5 })
        );
        assert_eq!(
            apply(Some(&record), Command::Delete(Some(4))),
            Err(CommandError::Stale { asked: 4, held: 5 })
        );
    }

    #[test]
    fn a_command_without_a_spec_passes_over_no_generation_that_never_arrived() {
        let record = changed(None, put(5, "a/b:1"));
        let mut rolled_back = record.clone();
        rolled_back.requested_sha256 = "another".into();
        rolled_back.rolled_back = Some(crate::reason::ReasonCode::Exited.because("x").into());
        for (record, asked) in [(&record, 7), (&rolled_back, 6)] {
            for command in [Command::Start, Command::Stop, Command::Restart] {
                assert_eq!(
                    apply(Some(record), command(Some(asked))),
                    Err(CommandError::Gap { asked, held: 5 })
                );
            }
            let whole = changed(Some(record), put(asked, "a/b:2"));
            assert_eq!(whole.generation, asked);
            let gone = changed(Some(record), Command::Delete(Some(asked)));
            assert_eq!(gone.desired, Desired::Absent);
        }
        assert_eq!(changed(Some(&record), Command::Stop(Some(6))).generation, 6);
    }

    #[test]
    fn an_update_of_what_is_not_to_run_is_tried_when_it_is_started_with_nothing_to_roll_back_to() {
        let mut record = changed(None, put(1, "a/b:1"));
        record.current.proven = true;
        let stopped = changed(Some(&record), Command::Stop(Some(2)));
        let Command::Put(mut update) = put(3, "a/b:2") else {
            panic!("not a put")
        };
        update.desired = Desired::Stopped;
        let updated = changed(Some(&stopped), Command::Put(update));
        assert_eq!(updated.desired, Desired::Stopped);
        assert_eq!(
            (updated.current.revision, updated.current.proven),
            (3, false)
        );
        assert_eq!((&updated.next, &updated.rolled_back), (&None, &None));
        let started = changed(Some(&updated), Command::Start(Some(4)));
        assert_eq!(
            (started.desired, started.current.revision),
            (Desired::Running, 3)
        );
    }

    #[test]
    fn an_unproven_version_is_replaced_and_a_proven_one_is_kept_until_the_new_one_ran() {
        let mut record = changed(None, put(1, "a/b:1"));
        let replaced = changed(Some(&record), put(2, "a/b:2"));
        assert_eq!(
            (replaced.current.revision, replaced.next.is_none()),
            (2, true)
        );
        record.current.proven = true;
        let updating = changed(Some(&record), put(2, "a/b:2"));
        assert_eq!(
            (
                updating.current.revision,
                updating.next.as_ref().map(|n| n.revision)
            ),
            (1, Some(2))
        );
        let back = changed(Some(&updating), put(3, "a/b:1"));
        assert_eq!((back.current.revision, back.next.is_none()), (1, true));
        let same = changed(Some(&updating), put(3, "a/b:2"));
        assert_eq!(
            same.next.as_ref().map(|n| n.revision),
            Some(2),
            "the update under way goes on"
        );
    }

    #[test]
    fn a_floating_reference_deployed_again_is_an_update_and_a_digest_is_not() {
        let pinned = format!("a/b@sha256:{}", "0".repeat(64));
        for (image, next) in [("a/b:1", Some(2)), ("a/b", Some(2)), (&*pinned, None)] {
            let mut record = changed(None, put(1, image));
            let untried = changed(Some(&record), put(2, image));
            assert_eq!(untried.current.revision, next.unwrap_or(1), "{image}");
            record.current.proven = true;
            let again = changed(Some(&record), put(2, image));
            assert_eq!(again.next.as_ref().map(|n| n.revision), next, "{image}");
            assert_eq!((again.generation, again.current.revision), (2, 1));
            let once_more = changed(Some(&again), put(3, image));
            assert_eq!(once_more.next.as_ref().map(|n| n.revision), next, "{image}");
            // Neither the control plane's desired state nor a stop deploys anything.
            let Command::Put(plain) = put(2, image) else {
                panic!("not a put")
            };
            let mut pulled = plain.clone();
            pulled.pulled = true;
            let mut restart = plain.clone();
            restart.restart = true;
            let mut stop = plain;
            stop.desired = Desired::Stopped;
            for other in [pulled, restart, stop] {
                let kept = changed(Some(&record), Command::Put(other));
                assert_eq!((kept.current.revision, kept.next.is_none()), (1, true));
                assert!(kept.current.proven);
            }
        }
    }

    #[test]
    fn a_rolled_back_put_is_the_same_put_and_a_newer_one_tries_again() {
        let mut record = changed(None, put(1, "a/b:1"));
        record.current.proven = true;
        let mut rolled = changed(Some(&record), put(2, "a/b:2"));
        rolled.next = None;
        rolled.rolled_back = Some(crate::reason::ReasonCode::Exited.because("x").into());
        assert_eq!(apply(Some(&rolled), put(2, "a/b:2")), Ok(Change::Nothing));
        let again = changed(Some(&rolled), put(3, "a/b:2"));
        assert_eq!(again.next.as_ref().map(|n| n.revision), Some(3));
        assert_eq!(again.rolled_back, None);
    }

    #[test]
    fn why_an_update_failed_stays_until_the_next_change() {
        let mut record = changed(None, put(1, "a/b:1"));
        record.current.proven = true;
        let mut rolled = changed(Some(&record), put(2, "a/b:2"));
        rolled.next = None;
        rolled.rolled_back = Some(crate::reason::ReasonCode::Exited.because("x").into());
        let pulled = |generation| match put(generation, "a/b:1") {
            Command::Put(put) => Command::Put(Box::new(Put {
                pulled: true,
                ..*put
            })),
            other => other,
        };
        let taken_back = changed(Some(&rolled), pulled(3));
        assert_eq!(taken_back.rolled_back, rolled.rolled_back);
        assert_eq!(taken_back.generation, 3);
        assert_eq!(changed(Some(&rolled), put(3, "a/b:1")).rolled_back, None);
        assert_eq!(changed(Some(&rolled), pulled(4)).rolled_back, None);
        let stopped = changed(Some(&taken_back), Command::Stop(Some(4)));
        assert_eq!(stopped.rolled_back, None);
    }

    #[test]
    fn a_later_command_has_its_own_answer_not_that_of_the_roll_back() {
        let mut record = changed(None, put(1, "a/b:1"));
        record.current.proven = true;
        let mut rolled = changed(Some(&record), put(2, "a/b:2"));
        rolled.next = None;
        rolled.rolled_back = Some(crate::reason::ReasonCode::Exited.because("x").into());
        let stopped = changed(Some(&rolled), Command::Stop(None));
        assert_eq!(stopped.rolled_back, None);
        let stopped = changed(Some(&stopped), Command::Stop(Some(3)));
        assert_eq!(
            apply(Some(&stopped), put(3, "a/b:2")),
            Err(CommandError::SpecDiffers(3))
        );
        let again = changed(Some(&stopped), put(4, "a/b:2"));
        assert!(again.next.is_some());
    }

    #[test]
    fn commands_without_generation_keep_it_and_repeat_safely() {
        let record = changed(None, put(5, "a/b:1"));
        let stopped = changed(Some(&record), Command::Stop(None));
        assert_eq!((stopped.generation, stopped.desired), (5, Desired::Stopped));
        assert_eq!(
            apply(Some(&stopped), Command::Stop(None)),
            Ok(Change::TryAgain)
        );
        assert_eq!(
            apply(Some(&stopped), Command::Stop(Some(5))),
            Ok(Change::Nothing)
        );
        let started = changed(Some(&stopped), Command::Start(Some(6)));
        assert_eq!((started.generation, started.desired), (6, Desired::Running));
    }

    #[test]
    fn one_restart_per_generation() {
        let record = changed(None, put(5, "a/b:1"));
        let restarted = changed(Some(&record), Command::Restart(Some(6)));
        assert!(restarted.restart.is_some());
        assert_eq!(
            apply(Some(&restarted), Command::Restart(Some(6))),
            Ok(Change::Nothing)
        );
    }

    #[test]
    fn a_put_that_is_a_restart_restarts_once() {
        let record = changed(None, put(5, "a/b:1"));
        let restart = || match put(6, "a/b:1") {
            Command::Put(put) => Command::Put(Box::new(Put {
                restart: true,
                ..*put
            })),
            other => other,
        };
        let restarted = changed(Some(&record), restart());
        assert_eq!(restarted.restart.map(|r| r.generation), Some(6));
        assert_eq!(apply(Some(&restarted), restart()), Ok(Change::Nothing));
        assert_eq!(
            apply(Some(&restarted), Command::Restart(Some(6))),
            Ok(Change::Nothing)
        );
    }

    #[test]
    fn nothing_comes_back_from_a_deletion() {
        let record = changed(None, put(5, "a/b:1"));
        let deleting = changed(Some(&record), Command::Delete(None));
        assert_eq!(
            apply(Some(&deleting), put(6, "a/b:1")),
            Err(CommandError::Deleting)
        );
        assert_eq!(
            apply(Some(&deleting), Command::Start(None)),
            Err(CommandError::Deleting)
        );
        assert_eq!(
            apply(Some(&deleting), Command::Delete(Some(5))),
            Ok(Change::Nothing)
        );
        let later = changed(Some(&deleting), Command::Delete(Some(6)));
        assert_eq!((later.generation, later.desired), (6, Desired::Absent));
        assert_eq!(apply(None, Command::Delete(None)), Ok(Change::Nothing));
        assert_eq!(
            apply(None, Command::Start(None)),
            Err(CommandError::Unknown(id()))
        );
    }
}
