//! What is worth another attempt, and when to make it.

use core::time::Duration;

/// How a call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Nothing listens at the address.
    Refused,
    /// The connection broke.
    Reset,
    /// No answer within the deadline.
    Timeout,
    /// An answer with an HTTP status that is no success.
    Status(u16),
    /// An answer whose body is not what the API promises.
    BadBody,
    /// The certificate is not the expected one, or the handshake failed.
    Tls,
    /// The name does not resolve.
    Dns,
    /// The runtime has no way to verify a pinned certificate, so nothing was sent.
    CannotPin,
}

impl Fault {
    /// Whether the same call may succeed a moment later without anyone's doing.
    pub const fn is_transient(self) -> bool {
        matches!(
            self,
            Self::Refused | Self::Reset | Self::Timeout | Self::Status(429 | 502 | 503 | 504)
        )
    }
}

/// Exponential backoff with full jitter, bounded in attempts and in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Most attempts, the first included.
    pub max_attempts: u32,
    /// Longest delay after the first attempt; doubles with each further one.
    pub base: Duration,
    /// Longest delay at all. Jitter is drawn from at most 71 minutes, whatever is given here.
    pub cap: Duration,
    /// No attempt begins later than this after the first one began.
    pub budget: Duration,
}

impl RetryPolicy {
    /// The delay before the next attempt, or `None` when there must not be one.
    ///
    /// `attempt` is how many attempts were made, `elapsed` the time since the first began, `unit_random` a number
    /// in `[0, 1)`, and `retry_after` the server's wish, which is honoured or ends the attempts: a wish that goes
    /// beyond `cap` or the budget is never cut short.
    pub fn next_delay(
        &self,
        attempt: u32,
        elapsed: Duration,
        unit_random: f64,
        retry_after: Option<Duration>,
    ) -> Option<Duration> {
        if attempt >= self.max_attempts {
            return None;
        }
        let doublings = attempt.saturating_sub(1).min(31);
        let ceiling = self.base.saturating_mul(1 << doublings).min(self.cap);
        let jittered = scale(ceiling, unit_random);
        let delay = jittered.max(retry_after.unwrap_or_default());
        let begins = elapsed.checked_add(delay)?;
        (delay <= self.cap && begins < self.budget).then_some(delay)
    }
}

/// `duration` times `factor`, in whole microseconds; a factor outside `[0, 1]` or not a number is brought inside.
fn scale(duration: Duration, factor: f64) -> Duration {
    let factor = if factor.is_nan() {
        1.0
    } else {
        factor.clamp(0.0, 1.0)
    };
    let micros = u32::try_from(duration.as_micros()).unwrap_or(u32::MAX);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "within 0..=micros"
    )]
    let scaled = (f64::from(micros) * factor) as u64;
    Duration::from_micros(scaled)
}
