//! What was tried since the last command, what failed of it, and when it is tried again.

use std::collections::BTreeMap;

use tokio::time::Instant;
use toolbox_api::dtma::Desired;

use super::backoff::{Failure, Outage};
use super::crashes::Crashes;
use crate::reason::Why;
use crate::record::Record;

#[derive(Debug, Default)]
pub struct Attempts {
    /// Revisions that failed.
    pub failures: BTreeMap<u64, Failure>,
    /// A step that belongs to no revision failed: stopping, removing.
    pub backoff: Option<Failure>,
    /// Docker does not answer.
    pub outage: Option<Outage>,
    pub crashes: Crashes,
    /// The revision whose container ended on its trial and is tried a second time.
    pub second_trial: Option<u64>,
    /// No start before this time.
    pub start_after: Option<Instant>,
    /// When Docker first said that the container's name is taken.
    pub name_refused: Option<Instant>,
    /// Restarts since the last command.
    pub restart_count: u32,
    /// Times in a row that Docker was found busy with a container.
    pub holds: u32,
    /// Steps since it was last settled; bounds a loop that should not be.
    pub steps: u32,
}

impl Attempts {
    /// A command came: what failed is tried again.
    pub fn reset(&mut self) {
        let mut crashes = std::mem::take(&mut self.crashes);
        crashes.forgive();
        *self = Self {
            crashes,
            ..Self::default()
        };
    }

    /// A revision failed (again); views show it once it is no longer tried quietly.
    pub fn fail(&mut self, revision: u64, why: Why, now: Instant) -> &Failure {
        let failure = Failure::again(self.failures.get(&revision), why, now);
        self.failures
            .entry(revision)
            .insert_entry(failure)
            .into_mut()
    }

    /// A step that belongs to no revision failed (again).
    pub fn back_off(&mut self, why: Why, now: Instant) {
        self.backoff = Some(Failure::again(self.backoff.as_ref(), why, now));
    }

    /// Time until which nothing is tried, if there is such a time.
    pub fn pause(&self, record: &Record, now: Instant) -> Option<Instant> {
        let outage = self.outage.as_ref().map(|o| o.retry_at);
        let backoff = self.backoff.as_ref().and_then(|f| f.retry_at);
        // A failure that is still tried quietly holds back nothing else, and is not tried early.
        let quiet = (record.desired == Desired::Running)
            .then(|| {
                let revisions = [Some(&record.current), record.next.as_ref()];
                revisions
                    .into_iter()
                    .flatten()
                    .filter_map(|r| self.failures.get(&r.revision))
                    .filter(|f| !f.shown)
                    .filter_map(|f| f.retry_at)
                    .max()
            })
            .flatten();
        [outage, backoff, quiet]
            .into_iter()
            .flatten()
            .max()
            .filter(|at| *at > now)
    }

    /// When a failure that was shown is tried again in the background.
    pub fn next_try(&self) -> Option<Instant> {
        self.failures.values().filter_map(|f| f.retry_at).min()
    }
}
