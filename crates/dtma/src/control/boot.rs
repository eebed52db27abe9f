//! The counters that make each heartbeat greater than every one before it, so that none can be sent again.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::durable;

const FILE: &str = "boot";

/// `(boot, sequence)`: `boot` grows with each start, `sequence` with each heartbeat of one.
///
/// A boot is the time of the start in milliseconds, or one more than the last where the clock went back, so it grows
/// also when the file that remembers it is lost.
#[derive(Debug)]
pub(super) struct Counters {
    state_dir: PathBuf,
    boot: u64,
    sequence: u64,
    refused: u32,
}

impl Counters {
    /// Those of a new start. Durable where possible: a full disk must not silence the agent. Blocks.
    pub(super) fn begin(state_dir: &Path) -> Self {
        let stored = durable::read(&state_dir.join(FILE)).ok().flatten();
        let stored: u64 = stored.and_then(|t| t.trim().parse().ok()).unwrap_or(0);
        let counters = Self {
            state_dir: state_dir.to_owned(),
            boot: stored.saturating_add(1).max(unix_millis()),
            sequence: 0,
            refused: 0,
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

    /// The numbers of the next heartbeat.
    pub(super) fn next(&mut self) -> (u64, u64) {
        self.sequence += 1;
        (self.boot, self.sequence)
    }

    /// The last heartbeat was accepted.
    pub(super) fn accepted(&mut self) {
        self.refused = 0;
    }

    /// The control plane has seen greater numbers. Once this may be a copy of a heartbeat that a gateway sent twice;
    /// after that the clock must have been ahead in an earlier life, and it is not known how far: twice as far each time.
    pub(super) fn refused(&mut self) {
        self.refused += 1;
        if let Some(times) = self.refused.checked_sub(2) {
            let ahead = Duration::from_secs(1 << times.min(33));
            let millis = u64::try_from(ahead.as_millis()).unwrap_or(u64::MAX);
            self.boot = self.boot.saturating_add(millis).min(i64::MAX as u64);
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
                // The next millisecond.
                let now = unix_millis();
                while unix_millis() == now {}
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
    fn numbers_that_were_seen_before_are_left_behind() {
        let dir = tempfile::tempdir().unwrap();
        let mut counters = Counters::begin(dir.path());
        let ten_years = unix_millis() + 10 * 365 * 86_400_000;
        let mut tries = 0;
        while counters.next().0 <= ten_years {
            counters.refused();
            tries += 1;
        }
        assert!(tries < 32, "{tries}");
        let before = counters.next();
        counters.accepted();
        counters.refused();
        assert!(counters.next() == (before.0, before.1 + 1), "a copy only");
    }
}
