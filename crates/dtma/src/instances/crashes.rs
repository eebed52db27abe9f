//! When a container that ended by itself is started again: at once, later, or not any more.

use std::time::Duration;

use time::OffsetDateTime;

use crate::runtime::{Container, ContainerId};

/// A run shorter than this is a crash.
const SHORT_RUN: time::Duration = time::Duration::seconds(30);
/// Crashes in a row after which the agent gives up.
pub const MAX_CRASHES: u32 = 5;
/// Pause before the first restart; it doubles with each crash.
pub const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// One run of a container.
type Run = (ContainerId, Option<OffsetDateTime>);

/// What to do about a container that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// This end was judged before, or the agent caused it.
    Known,
    /// Start it after this pause.
    StartAfter(Duration),
    /// It keeps ending.
    GiveUp,
}

/// Counts crashes of one instance.
#[derive(Debug, Default)]
pub struct Crashes {
    in_a_row: u32,
    judged: Option<Run>,
}

impl Crashes {
    /// A command came: the count starts anew.
    pub fn forgive(&mut self) {
        self.in_a_row = 0;
    }

    /// The end of this run does not count: the agent caused it, or it came before the agent's first look.
    pub fn excuse(&mut self, container: &Container) {
        self.judged = Some((container.id.clone(), container.started_at));
    }

    /// Judges the end of `container`, each run once.
    pub fn judge(&mut self, container: &Container) -> Verdict {
        let run = (container.id.clone(), container.started_at);
        if self.judged.as_ref() == Some(&run) {
            return Verdict::Known;
        }
        self.judged = Some(run);
        let was_short = match (container.started_at, container.finished_at) {
            (Some(start), Some(end)) => end - start < SHORT_RUN,
            _ => true,
        };
        if !was_short {
            self.in_a_row = 0;
        }
        self.in_a_row += 1;
        if self.in_a_row >= MAX_CRASHES {
            return Verdict::GiveUp;
        }
        Verdict::StartAfter(FIRST_PAUSE * 2_u32.pow(self.in_a_row - 1))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::runtime::{ContainerState, hardening::Hardening};

    pub(crate) fn ended(id: &str, start: i64, end: i64) -> Container {
        Container {
            id: ContainerId::new(id),
            name: "n".into(),
            revision: Some(1),
            spec_sha256: None,
            state: ContainerState::Exited,
            started_at: OffsetDateTime::from_unix_timestamp(start).ok(),
            finished_at: OffsetDateTime::from_unix_timestamp(end).ok(),
            exit_code: Some(1),
            health: None,
            oom_killed: false,
            error: String::new(),
            image_digest: None,
            image: String::new(),
            ports: Vec::new(),
            volumes: Vec::new(),
            hardening: Hardening::default(),
        }
    }

    #[test]
    fn pauses_double_and_then_it_gives_up() {
        let mut crashes = Crashes::default();
        let verdicts: Vec<_> = (0..5)
            .map(|i| crashes.judge(&ended("a", i * 10, i * 10 + 1)))
            .collect();
        let ms = |n| Verdict::StartAfter(Duration::from_millis(n));
        assert_eq!(
            verdicts,
            [ms(250), ms(500), ms(1000), ms(2000), Verdict::GiveUp]
        );
    }

    #[test]
    fn a_long_run_starts_the_count_anew() {
        let mut crashes = Crashes::default();
        for i in 0..20 {
            let verdict = crashes.judge(&ended("a", i * 100, i * 100 + 60));
            assert_eq!(verdict, Verdict::StartAfter(FIRST_PAUSE));
        }
    }

    #[test]
    fn each_run_is_judged_once_and_wanted_ends_never() {
        let mut crashes = Crashes::default();
        let run = ended("a", 1, 2);
        crashes.judge(&run);
        assert_eq!(crashes.judge(&run), Verdict::Known);
        let wanted = ended("a", 5, 6);
        crashes.excuse(&wanted);
        assert_eq!(crashes.judge(&wanted), Verdict::Known);
    }
}
