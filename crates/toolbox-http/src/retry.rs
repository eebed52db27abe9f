//! Repeats a call as long as the domain's policy allows.

use std::future::Future;
use std::time::Duration;

use toolbox_domain::retry::{Fault, RetryPolicy};

use crate::transport::Clock;

/// Why an attempt failed, as far as repeating it is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transience {
    /// The fault, when repeating may help.
    pub fault: Fault,
    /// When the other side asked to wait this long.
    pub retry_after: Option<Duration>,
}

/// Calls `attempt` until it succeeds, fails for good (`transience` gives none, or a fault that is
/// not transient), or the policy's attempts or time are used up. The last result is returned.
pub async fn retry<T, E, F>(
    clock: &dyn Clock,
    policy: &RetryPolicy,
    mut transience: impl FnMut(&E) -> Option<Transience>,
    mut attempt: impl FnMut() -> F,
) -> Result<T, E>
where
    F: Future<Output = Result<T, E>>,
{
    let started = clock.now();
    let mut attempts = 0;
    loop {
        attempts += 1;
        let error = match attempt().await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let Some(transience) = transience(&error).filter(|t| t.fault.is_transient()) else {
            return Err(error);
        };
        let elapsed = clock.now().saturating_sub(started);
        match policy.next_delay(attempts, elapsed, clock.random(), transience.retry_after) {
            Some(delay) => clock.sleep(delay).await,
            None => return Err(error),
        }
    }
}
