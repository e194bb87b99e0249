//! How many repeated tries there may be, so that trouble at a provider is not doubled by us.

use crate::moment::Moment;

/// The window, in slots of one second.
const SECONDS: usize = 10;
/// Of the requests in the window, one in so many may be tried again …
const SHARE: u32 = 5;
/// … but never fewer than so many.
const AT_LEAST: u32 = 10;

/// Requests and repeated tries of the last ten seconds.
#[derive(Debug, Default)]
pub(super) struct Budget {
    slots: [Slot; SECONDS],
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    second: u64,
    requests: u32,
    retries: u32,
}

impl Budget {
    /// A request was tried for the first time.
    pub(super) fn request(&mut self, now: Moment) {
        self.slot(now).requests += 1;
    }

    /// Whether one may be tried again now; if so, it counts.
    pub(super) fn may_retry(&mut self, now: Moment) -> bool {
        let second = now.unix_millis() / 1000;
        let live = self
            .slots
            .iter()
            .filter(|slot| second.saturating_sub(slot.second) < SECONDS as u64);
        let (requests, retries) = live.fold((0_u32, 0_u32), |(requests, retries), slot| {
            (requests + slot.requests, retries + slot.retries)
        });
        if retries >= (requests / SHARE).max(AT_LEAST) {
            return false;
        }
        self.slot(now).retries += 1;
        true
    }

    fn slot(&mut self, now: Moment) -> &mut Slot {
        let second = now.unix_millis() / 1000;
        let slot = &mut self.slots[(second % SECONDS as u64) as usize];
        if slot.second != second {
            *slot = Slot {
                second,
                ..Slot::default()
            };
        }
        slot
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::from_unix_millis(1_790_000_000_000 + millis)
    }

    #[test]
    fn ten_retries_are_always_allowed_and_more_only_as_a_fifth_of_the_requests() {
        let mut budget = Budget::default();
        for _ in 0..10 {
            assert!(budget.may_retry(at(0)));
        }
        assert!(!budget.may_retry(at(0)));
        for request in 0..100 {
            budget.request(at(request * 50));
        }
        let allowed = (0..100).filter(|_| budget.may_retry(at(5_000))).count();
        assert_eq!(allowed, 10, "20 of 100, of which 10 were used");
    }

    #[test]
    fn what_is_ten_seconds_old_counts_no_more() {
        let mut budget = Budget::default();
        for _ in 0..10 {
            assert!(budget.may_retry(at(0)));
        }
        assert!(!budget.may_retry(at(9_999)));
        assert!(budget.may_retry(at(10_000)));
    }
}
