//! Keeps the agent running: starts it when it does not run, and again when it does not answer.
//!
//! An agent that answers but cannot reach Docker is left alone: another start would not help it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use toolbox_domain::retry::RetryPolicy;

use super::Companion;
use super::supervision::SupervisionError;
use crate::control::unit_random;
use crate::instances::stopped;

/// How often the agent is asked.
const PERIOD: Duration = Duration::from_secs(5);
/// Looks in a row without an answer, after which an agent that runs is ended and started.
const MOST_SILENT: u32 = 3;
/// How long an agent that is silent has to end by itself.
const SILENT_PATIENCE: Duration = Duration::from_secs(5);
/// How long an agent must answer before its earlier failures are forgotten.
const GOOD: Duration = Duration::from_mins(1);
/// The pauses between starts.
const PAUSES: RetryPolicy = RetryPolicy {
    max_attempts: u32::MAX,
    base: Duration::from_secs(2),
    cap: Duration::from_mins(1),
    budget: Duration::MAX,
};

/// What was seen of the agent so far.
#[derive(Debug, Default)]
struct Seen {
    silent: u32,
    starts: u32,
    not_before: Option<Instant>,
    answers_since: Option<Instant>,
}

/// Watches until the shutdown signal; first puts right what an earlier companion left unfinished.
pub(super) async fn run(companion: Arc<Companion>, mut shutdown: watch::Receiver<bool>) {
    let watching = async {
        {
            let _hold = companion.agent_in_hand.lock().await;
            companion.recover().await;
        }
        let mut seen = Seen::default();
        loop {
            if let Err(error) = look(&companion, &mut seen).await {
                tracing::warn!(
                    error = crate::error_chain(&error),
                    "could not look after the agent; trying again"
                );
            }
            sleep(PERIOD).await;
        }
    };
    tokio::select! {
        () = watching => {}
        () = stopped(&mut shutdown) => {}
    }
}

async fn look(companion: &Companion, seen: &mut Seen) -> Result<(), SupervisionError> {
    let now = Instant::now();
    let Err(why) = companion.agents.health(companion.config.agent).await else {
        seen.silent = 0;
        let since = *seen.answers_since.get_or_insert(now);
        if now - since >= GOOD {
            seen.starts = 0;
        }
        return Ok(());
    };
    (seen.answers_since, seen.silent) = (None, seen.silent + 1);
    let runs = companion.supervision.runs().await?;
    if (runs && seen.silent < MOST_SILENT) || seen.not_before.is_some_and(|t| now < t) {
        return Ok(());
    }
    // Whoever has the agent in hand knows better.
    let Ok(_hold) = companion.agent_in_hand.try_lock() else {
        return Ok(());
    };
    seen.starts = seen.starts.saturating_add(1);
    let pause = PAUSES.next_delay(seen.starts.min(32), Duration::ZERO, unit_random(), None);
    seen.not_before = Some(now + pause.unwrap_or(PAUSES.cap));
    tracing::warn!(
        runs,
        why,
        starts = seen.starts,
        "the agent does not answer; starting it"
    );
    if runs {
        companion.supervision.stop(SILENT_PATIENCE).await?;
    }
    seen.silent = 0;
    companion.supervision.start().await
}
