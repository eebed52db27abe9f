//! How much one caller may ask of the MCP servers on this machine: requests a minute, and requests under way. Callers are those
//! whom the control plane names; what comes with the toolbox's key or an instance's own token is not counted.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Requests of one caller in a minute; as many may come at once.
pub const A_MINUTE: u32 = 600;
/// Requests of one caller under way at once, streams too.
pub const UNDER_WAY: usize = 64;
/// Callers that are remembered.
const CALLERS: usize = 4096;
/// After this time a caller who asks nothing has all requests of a minute again.
const FULL: Duration = Duration::from_mins(1);

/// The callers and what they have left.
#[derive(Default)]
pub struct Rates {
    // A leaf lock, never held across an await.
    callers: Mutex<HashMap<String, Caller>>,
}

struct Caller {
    left: f64,
    at: Instant,
    under_way: usize,
}

/// A caller asks more than they may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMuch {
    /// When it is worth to come again, in seconds.
    pub retry_after: u64,
}

/// A request under way, until it is dropped.
pub struct UnderWay {
    rates: Arc<Rates>,
    who: String,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if let Some(caller) = self.rates.callers().get_mut(&self.who) {
            caller.under_way = caller.under_way.saturating_sub(1);
        }
    }
}

impl Rates {
    /// Begins a request of `who`.
    pub fn begin(self: &Arc<Self>, who: &str, now: Instant) -> Result<UnderWay, TooMuch> {
        let most = f64::from(A_MINUTE);
        let mut callers = self.callers();
        if !callers.contains_key(who) && callers.len() >= CALLERS {
            callers.retain(|_, caller| {
                caller.under_way > 0 || now.saturating_duration_since(caller.at) < FULL
            });
            if callers.len() >= CALLERS {
                return Err(TooMuch { retry_after: 60 });
            }
        }
        let caller = callers.entry(who.to_owned()).or_insert(Caller {
            left: most,
            at: now,
            under_way: 0,
        });
        let passed = now.saturating_duration_since(caller.at).as_secs_f64();
        caller.left = (caller.left + passed * most / FULL.as_secs_f64()).min(most);
        caller.at = now;
        if caller.under_way >= UNDER_WAY {
            return Err(TooMuch { retry_after: 5 });
        }
        if caller.left < 1.0 {
            return Err(TooMuch { retry_after: 1 });
        }
        caller.left -= 1.0;
        caller.under_way += 1;
        Ok(UnderWay {
            rates: Arc::clone(self),
            who: who.to_owned(),
        })
    }

    fn callers(&self) -> MutexGuard<'_, HashMap<String, Caller>> {
        self.callers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_has_so_many_requests_a_minute_and_others_have_their_own() {
        let (rates, now) = (Arc::new(Rates::default()), Instant::now());
        let of_a_minute = (0..A_MINUTE).filter(|_| rates.begin("a", now).is_ok());
        assert_eq!(of_a_minute.count(), A_MINUTE as usize);
        let refused = rates.begin("a", now).err().unwrap();
        assert_eq!(refused, TooMuch { retry_after: 1 });
        assert!(rates.begin("b", now).is_ok());
        let later = now + Duration::from_secs(refused.retry_after);
        assert!(rates.begin("a", later).is_ok());
        let again = (0..1000).filter(|_| rates.begin("a", later + FULL).is_ok());
        assert_eq!(again.count(), A_MINUTE as usize, "no more are saved up");
    }

    #[test]
    fn a_caller_has_so_many_requests_under_way() {
        let (rates, now) = (Arc::new(Rates::default()), Instant::now());
        let mut held: Vec<_> = (0..UNDER_WAY)
            .map(|_| rates.begin("a", now).ok().unwrap())
            .collect();
        assert!(rates.begin("a", now).is_err());
        held.pop();
        assert!(rates.begin("a", now).is_ok(), "one has ended");
    }

    #[test]
    fn callers_who_come_and_go_do_not_take_all_memory() {
        let (rates, now) = (Arc::new(Rates::default()), Instant::now());
        let held = rates.begin("held", now).ok().unwrap();
        let begin = |n: usize, at| rates.begin(&n.to_string(), at).is_ok();
        assert!((1..CALLERS).all(|n| begin(n, now)));
        assert!(!begin(CALLERS, now), "there is no room");
        assert!(begin(1, now), "who is known comes in");
        assert!(begin(CALLERS, now + FULL), "who was silent is forgotten");
        assert_eq!(rates.callers().len(), 2);
        drop(held);
    }
}
