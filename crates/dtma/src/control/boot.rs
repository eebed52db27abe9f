//! The counters that make each heartbeat greater than every one before it, so that none can be sent again.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use toolbox_api::heartbeat::HeartbeatNumbers;

use crate::durable;

const FILE: &str = "boot";
/// Largest number the control plane takes, the largest that is exact in every JSON reader.
const MAX: u64 = (1 << 53) - 1;

/// `(boot, sequence)`: `boot` grows with each start, `sequence` with each heartbeat of one.
///
/// A boot is the time of the start in milliseconds, or one more than the last where the clock went back, so it grows
/// also when the file that remembers it is lost.
#[derive(Debug)]
pub(super) struct Counters {
    state_dir: PathBuf,
    boot: u64,
    sequence: u64,
}

impl Counters {
    /// The counters of a new start. They are stored if possible; a full disk must not keep the agent from reporting.
    /// Blocks.
    pub(super) fn begin(state_dir: &Path) -> Self {
        let stored = durable::read(&state_dir.join(FILE)).ok().flatten();
        let stored: u64 = stored.and_then(|t| t.trim().parse().ok()).unwrap_or(0);
        Self::from(state_dir, stored.saturating_add(1).max(unix_millis()))
    }

    /// Begins again after an enrolment, which makes all earlier counters void. Blocks.
    pub(super) fn reset(&mut self) {
        *self = Self::from(&self.state_dir, unix_millis());
    }

    fn from(state_dir: &Path, boot: u64) -> Self {
        let counters = Self {
            state_dir: state_dir.to_owned(),
            boot,
            sequence: 0,
        };
        counters.store();
        counters
    }

    fn store(&self) {
        let text = format!("{}\n", self.boot);
        if let Err(error) = durable::write(&self.state_dir, FILE, text.as_bytes()) {
            tracing::warn!(%error, "could not store the number of this start");
        }
    }

    pub(super) fn next(&mut self) -> (u64, u64) {
        self.sequence += 1;
        (self.boot, self.sequence)
    }

    /// The control plane refused a heartbeat, because it had accepted `accepted` before. If that boot is this one or a
    /// later one (the clock was ahead in an earlier life, and the file is lost), the counters continue after it.
    /// An accepted boot that is earlier needs no change. If there are no greater numbers left, only an enrolment helps.
    pub(super) fn refused(&mut self, accepted: Option<HeartbeatNumbers>) {
        let Some(accepted) = accepted.filter(|accepted| accepted.boot >= self.boot) else {
            return;
        };
        if accepted.boot == self.boot && accepted.sequence < MAX {
            self.sequence = self.sequence.max(accepted.sequence);
        } else if accepted.boot < MAX {
            self.boot = accepted.boot + 1;
            self.sequence = 0;
            self.store();
        }
    }
}

fn unix_millis() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|d| u64::try_from(d.as_millis()).ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_grow_across_starts_with_and_without_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let mut last = (0, 0);
        for lost in [false, false, true, false] {
            if lost {
                std::fs::remove_file(dir.path().join(FILE)).unwrap();
                // Two starts in one millisecond are a millisecond ahead.
                while unix_millis() <= last.0 {}
            }
            let mut counters = Counters::begin(dir.path());
            for _ in 0..2 {
                let next = counters.next();
                assert!(next > last, "{next:?} after {last:?}");
                last = next;
            }
        }
        std::fs::write(dir.path().join(FILE), "9999999999999").unwrap();
        assert_eq!(Counters::begin(dir.path()).next().0, 10_000_000_000_000);
    }

    #[test]
    fn it_goes_on_from_numbers_that_were_accepted_before() {
        let dir = tempfile::tempdir().unwrap();
        let mut counters = Counters::begin(dir.path());
        let first = counters.next();
        let told = |boot, sequence| Some(HeartbeatNumbers { boot, sequence });
        for of_no_use in [None, told(first.0 - 1, 900), told(first.0, 1)] {
            counters.refused(of_no_use);
        }
        assert_eq!(counters.next(), (first.0, 2));
        counters.refused(told(first.0, 30));
        assert_eq!(counters.next(), (first.0, 31));
        counters.refused(told(first.0 + 86_400_000, 5));
        let ahead = (first.0 + 86_400_001, 1);
        assert_eq!(counters.next(), ahead);
        assert!(Counters::begin(dir.path()).next() > ahead, "remembered");
        // Whoever had the key may have left no greater numbers; those of an enrolled agent begin anew.
        counters.refused(told(ahead.0, MAX));
        assert_eq!(counters.next(), (ahead.0 + 1, 1));
        counters.refused(told(MAX, MAX));
        assert_eq!(counters.next(), (ahead.0 + 1, 2));
        counters.refused(told(MAX - 1, 1));
        assert_eq!(counters.next(), (MAX, 1));
        counters.reset();
        assert!(counters.next().0 < ahead.0);
        assert!(Counters::begin(dir.path()).next().0 < ahead.0);
    }
}
