//! What failed, and when it is tried again.

use std::time::Duration;

use tokio::time::Instant;

use crate::reason::{ReasonCode, Why};

/// Attempts before a failure that may pass is shown as an error.
const QUIET_TRIES: u32 = 3;
/// Pause after the first quiet attempt; it doubles.
const QUIET_PAUSE: Duration = Duration::from_secs(1);
/// Pause before the first attempt after the error was shown; it doubles.
const SHOWN_PAUSE: Duration = Duration::from_secs(10);
/// Longest pause.
const MAX_PAUSE: Duration = Duration::from_mins(5);
/// How long Docker may be away before views say so.
const OUTAGE_GRACE: Duration = Duration::from_secs(3);
/// Longest pause between attempts to reach Docker.
const MAX_OUTAGE_PAUSE: Duration = Duration::from_secs(5);

/// A failure of one thing, tried one or more times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Why, the last time.
    pub why: Why,
    /// Views show it as an error.
    pub shown: bool,
    /// When it is tried again; never, unless a command comes, when none.
    pub retry_at: Option<Instant>,
    tries: u32,
}

impl Failure {
    /// It failed (again) because of `why`; `before` is the last attempt's.
    pub fn again(before: Option<&Self>, why: Why, now: Instant) -> Self {
        let tries = before.map_or(0, |f| f.tries) + 1;
        if !why.code.may_heal() {
            return Self {
                why,
                shown: true,
                retry_at: None,
                tries,
            };
        }
        // These do not pass within seconds, so they are shown at once.
        let show_at_once = matches!(
            why.code,
            ReasonCode::PortInUse | ReasonCode::NoSpace | ReasonCode::NameConflict
        );
        let shown = show_at_once || tries >= QUIET_TRIES || before.is_some_and(|f| f.shown);
        let pause = if shown {
            SHOWN_PAUSE
                .saturating_mul(2_u32.saturating_pow(tries.saturating_sub(QUIET_TRIES).min(8)))
        } else {
            QUIET_PAUSE * 2_u32.pow(tries - 1)
        };
        Self {
            why,
            shown,
            retry_at: Some(now + pause.min(MAX_PAUSE)),
            tries,
        }
    }

    /// It is tried again soon, even if it seemed final. Calling this again does not make it sooner.
    pub fn reconsider(&mut self, now: Instant) {
        let soon = now + SHOWN_PAUSE;
        self.retry_at = Some(self.retry_at.map_or(soon, |at| at.min(soon)));
    }

    /// It is not to be tried at `now`.
    pub fn blocks(&self, now: Instant) -> bool {
        self.retry_at.is_none_or(|at| now < at)
    }
}

/// Docker does not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outage {
    /// Why, the last time.
    pub why: Why,
    /// When Docker is asked again.
    pub retry_at: Instant,
    since: Instant,
    tries: u32,
    is_one_look: bool,
}

impl Outage {
    /// Docker did not answer (again) to a call begun at `begun`, which was a look or a step.
    pub fn again(
        before: Option<&Self>,
        why: Why,
        is_look: bool,
        begun: Instant,
        now: Instant,
    ) -> Self {
        let tries = before.map_or(0, |o| o.tries) + 1;
        let pause = Duration::from_millis(250) * 2_u32.pow(tries.min(6));
        Self {
            why,
            retry_at: now + pause.min(MAX_OUTAGE_PAUSE),
            since: before.map_or(begun, |o| o.since),
            tries,
            is_one_look: before.is_none() && is_look,
        }
    }

    /// It has lasted long enough to be shown. A single slow look is not shown: Docker may only be busy with a container,
    /// such as its removal on a slow disk.
    pub fn shown(&self, now: Instant) -> bool {
        !self.is_one_look && now - self.since >= OUTAGE_GRACE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_heal_is_tried_quietly_then_shown_and_tried_on() {
        let now = Instant::now();
        let reason = ReasonCode::RegistryUnreachable.because("x");
        let mut failure = None;
        let mut seen = Vec::new();
        for _ in 0..10 {
            let next = Failure::again(failure.as_ref(), reason.clone(), now);
            seen.push((next.shown, (next.retry_at.unwrap() - now).as_secs()));
            failure = Some(next);
        }
        assert_eq!(
            seen[..5],
            [(false, 1), (false, 2), (true, 10), (true, 20), (true, 40)]
        );
        assert_eq!(seen[9], (true, 300));
    }

    #[test]
    fn what_cannot_heal_waits_for_a_command() {
        let now = Instant::now();
        let failure = Failure::again(None, ReasonCode::ImageNotFound.because("x"), now);
        assert!(failure.shown && failure.blocks(now + Duration::from_secs(1_000_000)));
    }

    #[test]
    fn what_cannot_heal_is_tried_once_more_when_it_is_reconsidered() {
        let now = Instant::now();
        let reason = ReasonCode::StartFailed.because("x");
        let mut failure = Failure::again(None, reason.clone(), now);
        failure.reconsider(now);
        failure.reconsider(now + Duration::from_secs(9));
        let then = now + SHOWN_PAUSE;
        assert!(
            failure.shown && !failure.blocks(then),
            "shown until it runs"
        );
        let again = Failure::again(Some(&failure), reason, then);
        assert!(again.shown && again.blocks(then + MAX_PAUSE));
        // A longer pause ends.
        let reason = ReasonCode::PortInUse.because("x");
        let mut failure = None;
        for _ in 0..8 {
            failure = Some(Failure::again(failure.as_ref(), reason.clone(), now));
        }
        let mut failure = failure.unwrap();
        assert!(failure.blocks(then));
        failure.reconsider(now);
        assert!(!failure.blocks(then));
    }

    #[test]
    fn an_outage_is_shown_after_its_grace() {
        let begun = Instant::now();
        let reason = ReasonCode::DockerUnreachable.because("x");
        let first = Outage::again(None, reason.clone(), true, begun, begun);
        assert!(!first.shown(begun));
        let later = begun + Duration::from_secs(4);
        let second = Outage::again(Some(&first), reason, true, begun, later);
        assert!(second.shown(later));
    }

    #[test]
    fn one_late_look_is_not_shown_but_one_late_step_is() {
        let begun = Instant::now();
        let reason = ReasonCode::DockerUnreachable.because("x");
        let later = begun + Duration::from_secs(4);
        let again = |is_look| Outage::again(None, reason.clone(), is_look, begun, later);
        assert!(!again(true).shown(later));
        assert!(again(false).shown(later));
    }
}
