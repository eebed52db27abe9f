//! Ids of the bridge's own: of calls to the server, and of the server's questions to clients.

/// The largest id: servers exist that keep ids in 32 bits with a sign.
const LARGEST: u32 = i32::MAX.unsigned_abs();

/// Gives ids from 1 to the largest, then begins anew.
#[derive(Debug)]
pub(super) struct Ids {
    last: u32,
    given: u32,
}

impl Ids {
    /// Begins at a random place, so that answers to calls of an earlier bridge do not look like answers to those of this one.
    pub(super) fn new(seed: u64) -> Self {
        let start = u32::try_from(seed & 0x3fff_ffff).unwrap_or_default();
        Self {
            last: start,
            given: 0,
        }
    }

    /// An id that is not in use.
    pub(super) fn fresh(&mut self, in_use: impl Fn(u32) -> bool) -> u32 {
        loop {
            self.last = self.last % LARGEST + 1;
            self.given = self.given.saturating_add(1).min(LARGEST);
            if !in_use(self.last) {
                return self.last;
            }
        }
    }

    /// Whether this id was given at any time.
    pub(super) const fn was_given(&self, id: u32) -> bool {
        if id == 0 || id > LARGEST {
            return false;
        }
        let ago = if id <= self.last {
            self.last - id
        } else {
            self.last + (LARGEST - id)
        };
        ago < self.given
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_fit_into_32_bits_with_a_sign_wherever_they_begin() {
        for seed in [0, 7, u64::MAX, 0x3fff_ffff] {
            let mut ids = Ids::new(seed);
            let first = ids.fresh(|_| false);
            assert!((1..=1 << 30).contains(&first), "{first}");
            assert_eq!(ids.fresh(|id| id <= first + 2), first + 3);
        }
    }

    #[test]
    fn after_the_largest_comes_the_first_that_is_free() {
        let mut ids = Ids {
            last: LARGEST - 1,
            given: 5,
        };
        assert_eq!(ids.fresh(|_| false), LARGEST);
        assert_eq!(ids.fresh(|id| id < 3), 3);
        for given in [3, 2, 1, LARGEST, LARGEST - 1, LARGEST - 5] {
            assert!(ids.was_given(given), "{given}");
        }
        for never in [0, 4, LARGEST - 6, LARGEST + 1, u32::MAX] {
            assert!(!ids.was_given(never), "{never}");
        }
    }
}
