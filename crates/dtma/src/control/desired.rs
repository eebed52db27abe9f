//! Turns the control plane's desired state into commands, the same that callers of the API give.
//!
//! This repairs a command that was lost. Instances that the control plane does not name are left as they are.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use sha2::{Digest, Sha256};
use toolbox_api::dtma::{Desired, Reason};
use toolbox_api::heartbeat::{DesiredInstance, digest_line};
use toolbox_domain::ids::ToolInstanceId;

use crate::instances::{Bounds, Changes, Command, CommandError, InstancesHandle, Put, Tombstones};

/// Instances that are commanded at once. A command is a disk write, and a look at Docker that may take seconds.
const AT_ONCE: usize = 8;
/// How long one command may take.
const COMMAND_LIMIT: Duration = Duration::from_secs(10);

/// What commands need.
pub(super) struct Reconciler<'a> {
    pub(super) instances: &'a InstancesHandle,
    pub(super) tombstones: &'a Tombstones,
    pub(super) changes: &'a Changes,
    pub(super) bounds: Arc<Bounds>,
}

/// The result for one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Applied {
    /// It is as desired already.
    Same,
    /// A command was given.
    Commanded,
    /// The agent cannot take this generation, for this reason.
    Rejected(u64, Reason),
    /// It failed, and is tried again later.
    Later(CommandError),
}

impl Reconciler<'_> {
    /// Gives the commands that `desired` takes.
    pub(super) async fn apply(
        &self,
        desired: Vec<DesiredInstance>,
    ) -> Vec<(ToolInstanceId, Applied)> {
        futures_util::stream::iter(desired)
            .map(|instance| async move {
                let id = instance.id;
                let limited = tokio::time::timeout(COMMAND_LIMIT, self.apply_one(instance));
                let applied = limited
                    .await
                    .unwrap_or(Applied::Later(CommandError::Defect));
                (id, applied)
            })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await
    }

    async fn apply_one(&self, instance: DesiredInstance) -> Applied {
        let (id, mut deploy) = (instance.id, instance.deploy);
        let generation = deploy.generation;
        let view = match self.instances.find(id).await {
            Ok(entry) => entry.view(),
            Err(CommandError::Unknown(_)) => None,
            Err(error) => return Applied::Later(error),
        };
        if let Some(view) = &view {
            let same = view.generation == generation && view.desired == deploy.desired;
            // A desired state that was read before the command that is held came.
            if same || view.generation > generation {
                return Applied::Same;
            }
        }
        if deploy.desired == Desired::Absent {
            return match self.command(id, Command::Delete(Some(generation))).await {
                // The deletion is remembered now; the mark reports to the control plane that nothing is left.
                Err(CommandError::Unknown(_)) => {
                    self.changes.mark(id);
                    Applied::Commanded
                }
                Err(error) => Applied::Later(error),
                Ok(()) => Applied::Commanded,
            };
        }
        if view.is_none()
            && self
                .tombstones
                .get(id)
                .is_some_and(|held| held >= generation)
        {
            self.changes.mark(id);
            return Applied::Same;
        }
        // It was taken once, perhaps when there were fewer rules. Who names them anew was told by the API.
        deploy.spec.drop_former_exceptions();
        let put = match Put::check(deploy, &self.bounds) {
            Ok(put) => Put {
                pulled: true,
                ..put
            },
            Err(errors) => {
                let errors: Vec<_> = errors
                    .iter()
                    .map(|e| format!("{}: {}", e.field, e.message))
                    .collect();
                let message = format!("This agent cannot take the spec: {}", errors.join("; "));
                return rejected(generation, "invalid_spec", message);
            }
        };
        match self.command(id, Command::Put(Box::new(put))).await {
            Ok(()) => Applied::Commanded,
            // A newer command came in between.
            Err(CommandError::Stale { .. }) => Applied::Same,
            Err(CommandError::SpecDiffers(_)) => {
                let message = "The agent holds another spec of this generation".to_owned();
                rejected(generation, "stale_generation", message)
            }
            Err(CommandError::Port(error)) => {
                rejected(generation, "port_in_use", error.to_string())
            }
            Err(error) => Applied::Later(error),
        }
    }

    async fn command(&self, id: ToolInstanceId, command: Command) -> Result<(), CommandError> {
        self.instances.command(id, command).await.map(drop)
    }
}

/// What the agent should make of an instance is not in a form that it knows.
pub(super) fn unreadable(generation: u64) -> Applied {
    let message = "This agent cannot read what the tool should be; update the agent".to_owned();
    rejected(generation, "invalid_spec", message)
}

fn rejected(generation: u64, code: &str, message: String) -> Applied {
    let code = code.to_owned();
    Applied::Rejected(generation, Reason { code, message })
}

/// Digest of a desired state, lines in order of their ids.
pub(super) fn digest(lines: impl Iterator<Item = (ToolInstanceId, u64, Desired)>) -> String {
    let mut lines: Vec<_> = lines.collect();
    lines.sort_by_key(|(id, ..)| *id);
    let mut digest = Sha256::new();
    for (id, generation, desired) in lines {
        digest.update(digest_line(id, generation, desired));
    }
    crate::record::hex(&digest.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_over_lines_in_order_of_ids() {
        let id = |n| ToolInstanceId::new(uuid::Uuid::from_u128(n));
        let lines = [(id(2), 5, Desired::Absent), (id(1), 3, Desired::Running)];
        let text = "00000000-0000-0000-0000-000000000001:3:running\n00000000-0000-0000-0000-000000000002:5:absent\n";
        let expected = crate::record::hex(&Sha256::digest(text.as_bytes()));
        assert_eq!(digest(lines.into_iter()), expected);
        let none = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(digest(std::iter::empty()), none);
    }
}
