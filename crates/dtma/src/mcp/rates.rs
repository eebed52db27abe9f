//! How much one caller may ask of the MCP servers on this machine: requests a minute, and requests under way. Callers are those
//! whom the control plane names, and what they were given may allow less; what comes with the toolbox's key or an instance's own
//! token is not counted.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use toolbox_api::mcp_access::{McpCaller, REQUESTS_A_MINUTE, REQUESTS_AT_ONCE};

/// Counts that are remembered.
const COUNTS: usize = 4096;
/// After this time who asks nothing has all requests of a minute again.
const FULL: Duration = Duration::from_mins(1);

/// What callers have left.
#[derive(Default)]
pub struct Rates {
    // A leaf lock, never held across an await.
    counts: Mutex<HashMap<String, Count>>,
}

struct Count {
    left: f64,
    at: Instant,
    under_way: u32,
}

/// Something that is counted, and its bounds.
struct Counted {
    key: String,
    /// As many may come at once.
    a_minute: u32,
    at_once: u32,
}

/// A caller asks more than they may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMuch {
    /// When it is worth to come again, in seconds.
    pub retry_after: u64,
    /// The bounds that were met: requests a minute,
    pub a_minute: u32,
    /// and under way at once.
    pub at_once: u32,
}

/// A request under way, until it is dropped.
pub struct UnderWay {
    rates: Arc<Rates>,
    keys: Vec<String>,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut counts = self.rates.counts();
        for key in &self.keys {
            if let Some(count) = counts.get_mut(key) {
                count.under_way = count.under_way.saturating_sub(1);
            }
        }
    }
}

/// What a request of this caller counts as.
fn counted(caller: &McpCaller) -> Vec<Counted> {
    let anybody = Counted {
        key: caller.counted().to_owned(),
        a_minute: REQUESTS_A_MINUTE,
        at_once: REQUESTS_AT_ONCE,
    };
    let given = caller.limits.iter().map(|limit| Counted {
        key: format!("limit:{}", limit.access),
        a_minute: limit.requests_per_minute.unwrap_or(REQUESTS_A_MINUTE),
        at_once: limit.concurrent_requests.unwrap_or(REQUESTS_AT_ONCE),
    });
    std::iter::once(anybody).chain(given).collect()
}

impl Rates {
    /// Begins a request of this caller. One that is refused counts nowhere.
    pub fn begin(self: &Arc<Self>, caller: &McpCaller, now: Instant) -> Result<UnderWay, TooMuch> {
        let counted = counted(caller);
        let mut counts = self.counts();
        let is_new = |one: &&Counted| !counts.contains_key(&one.key);
        let new = counted.iter().filter(is_new).count();
        if counts.len() + new > COUNTS {
            counts.retain(|_, count| {
                count.under_way > 0 || now.saturating_duration_since(count.at) < FULL
            });
        }
        let is_new = |one: &&Counted| !counts.contains_key(&one.key);
        let new = counted.iter().filter(is_new).count();
        let has_room = new == 0 || counts.len() + new <= COUNTS;
        for one in &counted {
            let too_much = |retry_after| TooMuch {
                retry_after,
                a_minute: one.a_minute,
                at_once: one.at_once,
            };
            if !has_room {
                return Err(too_much(60));
            }
            let most = f64::from(one.a_minute);
            let count = counts.entry(one.key.clone()).or_insert(Count {
                left: most,
                at: now,
                under_way: 0,
            });
            let passed = now.saturating_duration_since(count.at).as_secs_f64();
            count.left = (count.left + passed * most / FULL.as_secs_f64()).min(most);
            count.at = now;
            if count.under_way >= one.at_once {
                return Err(too_much(5));
            }
            if count.left < 1.0 {
                return Err(too_much(until_one(count.left, one.a_minute)));
            }
        }
        for one in &counted {
            if let Some(count) = counts.get_mut(&one.key) {
                count.left -= 1.0;
                count.under_way += 1;
            }
        }
        Ok(UnderWay {
            rates: Arc::clone(self),
            keys: counted.into_iter().map(|one| one.key).collect(),
        })
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<String, Count>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// After how many whole seconds there is one request again where `left` of one are.
fn until_one(left: f64, a_minute: u32) -> u64 {
    let each = FULL.div_f64(f64::from(a_minute.max(1)));
    each.mul_f64((1.0 - left).clamp(0.0, 1.0)).as_secs() + 1
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use toolbox_api::mcp_access::McpLimit;
    use uuid::Uuid;

    use super::*;

    fn caller(who: &str) -> McpCaller {
        McpCaller {
            who: who.to_owned(),
            tools: None,
            read_only: false,
            client: None,
            grants: Vec::new(),
            pins: BTreeMap::new(),
            limits: Vec::new(),
            pins: BTreeMap::new(),
        }
    }

    fn limited(who: &str, access: u128, a_minute: Option<u32>, at_once: Option<u32>) -> McpCaller {
        McpCaller {
            limits: vec![McpLimit {
                access: Uuid::from_u128(access),
                requests_per_minute: a_minute,
                concurrent_requests: at_once,
            }],
            ..caller(who)
        }
    }

    #[test]
    fn a_caller_has_so_many_requests_a_minute_and_others_have_their_own() {
        let (rates, now) = (Arc::new(Rates::default()), Instant::now());
        let a = caller("user:a");
        let of_a_minute = (0..REQUESTS_A_MINUTE).filter(|_| rates.begin(&a, now).is_ok());
        assert_eq!(of_a_minute.count(), REQUESTS_A_MINUTE as usize);
        let refused = rates.begin(&a, now).err().unwrap();
        assert_eq!(refused.retry_after, 1);
        let same = caller("user:a:chat");
        assert!(rates.begin(&same, now).is_err(), "an application of theirs");
        assert!(rates.begin(&caller("user:b"), now).is_ok());
        let later = now + Duration::from_secs(refused.retry_after);
        assert!(rates.begin(&a, later).is_ok());
        let again = (0..1000).filter(|_| rates.begin(&a, later + FULL).is_ok());
        assert_eq!(
            again.count(),
            REQUESTS_A_MINUTE as usize,
            "no more are saved up"
        );
    }

    #[test]
    fn a_caller_has_so_many_requests_under_way() {
        let (rates, now) = (Arc::new(Rates::default()), Instant::now());
        let a = caller("user:a");
        let mut held: Vec<_> = (0..REQUESTS_AT_ONCE)
            .map(|_| rates.begin(&a, now).ok().unwrap())
            .collect();
        assert!(rates.begin(&a, now).is_err());
        held.pop();
        assert!(rates.begin(&a, now).is_ok(), "one has ended");
    }

    #[test]
    fn what_was_given_may_allow_less_and_a_refusal_says_when_to_come_again() {
        let (rates, now) = (Arc::new(Rates::default()), Instant::now());
        let few = limited("access:1", 1, Some(3), None);
        assert_eq!((0..9).filter(|_| rates.begin(&few, now).is_ok()).count(), 3);
        let refused = rates.begin(&few, now).err().unwrap();
        assert_eq!((refused.a_minute, refused.at_once), (3, REQUESTS_AT_ONCE));
        let at = |seconds| now + Duration::from_secs(seconds);
        let early = refused.retry_after - 2;
        assert!(rates.begin(&few, at(early)).is_err());
        assert!(rates.begin(&few, at(refused.retry_after)).is_ok());
        // Whoever comes by it counts, and what is refused takes nothing from what else they have.
        let by_another = limited("user:b", 1, Some(3), None);
        assert!(rates.begin(&by_another, at(refused.retry_after)).is_err());
        let plain = caller("user:b");
        let left = (0..1000).filter(|_| rates.begin(&plain, at(refused.retry_after)).is_ok());
        assert_eq!(left.count(), REQUESTS_A_MINUTE as usize);
    }

    #[test]
    fn what_was_given_may_allow_fewer_at_once() {
        let (rates, now) = (Arc::new(Rates::default()), Instant::now());
        let two = limited("access:1", 1, None, Some(2));
        let mut held: Vec<_> = (0..2).map(|_| rates.begin(&two, now)).collect();
        let refused = rates.begin(&two, now).err().unwrap();
        assert_eq!((refused.a_minute, refused.at_once), (REQUESTS_A_MINUTE, 2));
        held.pop();
        assert!(rates.begin(&two, now).is_ok(), "one has ended");
    }

    #[test]
    fn callers_who_come_and_go_do_not_take_all_memory() {
        let (rates, now) = (Arc::new(Rates::default()), Instant::now());
        let held = rates.begin(&caller("held"), now).ok().unwrap();
        let begin = |n: usize, at| rates.begin(&caller(&n.to_string()), at).is_ok();
        assert!((1..COUNTS).all(|n| begin(n, now)));
        assert!(!begin(COUNTS, now), "there is no room");
        assert!(begin(1, now), "who is known comes in");
        let with_limit = limited("1", 1, Some(3), None);
        assert!(rates.begin(&with_limit, now).is_err(), "nor for a limit");
        assert!(begin(COUNTS, now + FULL), "who was silent is forgotten");
        assert_eq!(rates.counts().len(), 2);
        drop(held);
    }
}
