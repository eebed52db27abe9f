//! How many requests DigitalOcean takes: so many an hour, and a twentieth of that a minute.

use std::time::Duration;

const HOUR: Duration = Duration::from_hours(1);
const MINUTE: Duration = Duration::from_mins(1);

/// Requests so far in this hour and in this minute.
pub(super) struct Rate {
    limit: u32,
    hour: Window,
    minute: Window,
}

#[derive(Default)]
struct Window {
    begun: Duration,
    taken: u32,
}

/// What the headers of an answer say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) limit: u32,
    pub(super) remaining: u32,
    /// Unix seconds.
    pub(super) reset: u64,
    /// The request is refused; how long to wait, in seconds.
    pub(super) wait: Option<u64>,
}

impl Window {
    /// Counts a request; how long to wait when there are too many.
    fn take(&mut self, length: Duration, limit: u32, now: Duration) -> Option<Duration> {
        if now >= self.begun + length {
            *self = Self {
                begun: now,
                taken: 0,
            };
        }
        if self.taken >= limit {
            return Some((self.begun + length).saturating_sub(now));
        }
        self.taken += 1;
        None
    }
}

impl Rate {
    pub(super) fn new(limit: u32) -> Self {
        Self {
            limit,
            hour: Window::default(),
            minute: Window::default(),
        }
    }

    /// Counts a request.
    pub(super) fn take(&mut self, now: Duration) -> Told {
        let burst = (self.limit / 20).max(1);
        let wait = self
            .minute
            .take(MINUTE, burst, now)
            .or_else(|| self.hour.take(HOUR, self.limit, now));
        Told {
            limit: self.limit,
            remaining: self.limit - self.hour.taken,
            reset: (self.hour.begun + HOUR).as_secs(),
            wait: wait.map(|wait| wait.as_secs() + 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_ends_with_its_minute_and_the_hour_counts_on() {
        let start = Duration::from_secs(1_700_000_000);
        let mut rate = Rate::new(40);
        let mut taken = |seconds| rate.take(start + Duration::from_secs(seconds));
        assert_eq!(taken(0).wait, None);
        assert_eq!(taken(0).remaining, 38);
        assert_eq!(taken(10).wait, Some(51));
        for minute in 1..20 {
            assert_eq!(
                (taken(60 * minute).wait, taken(60 * minute).wait),
                (None, None)
            );
        }
        assert_eq!(taken(20 * 60).wait, Some(3600 - 20 * 60 + 1));
        assert_eq!(taken(3600).wait, None);
    }
}
