//! Limits of an account: so much a minute (a bucket that refills, or fixed minutes), so much a window.

use serde::{Deserialize, Serialize};

/// What a rate limit's period is, in milliseconds.
pub const MINUTE_MS: u64 = 60_000;

/// How a provider counts a rate limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Counting {
    /// A bucket that holds a minute's worth and refills all the time.
    #[default]
    Bucket,
    /// Minutes of the clock; each begins anew.
    Minutes,
}

/// A limit of so much a minute.
#[derive(Clone, Debug)]
pub(super) struct Rate {
    limit: u64,
    counting: Counting,
    /// [`Counting::Bucket`]: what is there, in units times [`MINUTE_MS`], so that a millisecond's
    /// refill is a whole number. [`Counting::Minutes`]: units used of this minute.
    level: u64,
    /// When `level` was right.
    since: u64,
}

/// What is left of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) limit: u64,
    pub(super) remaining: u64,
    /// When there is something again if nothing is left; when it is full otherwise.
    pub(super) reset: u64,
}

impl Rate {
    pub(super) const fn new(limit: u64, counting: Counting) -> Self {
        let level = match counting {
            Counting::Bucket => limit * MINUTE_MS,
            Counting::Minutes => 0,
        };
        Self {
            limit,
            counting,
            level,
            since: 0,
        }
    }

    fn advance(&mut self, now: u64) {
        match self.counting {
            Counting::Bucket => {
                let refilled = (now - self.since) * self.limit;
                self.level = (self.level + refilled).min(self.limit * MINUTE_MS);
            }
            Counting::Minutes if now / MINUTE_MS != self.since / MINUTE_MS => self.level = 0,
            Counting::Minutes => {}
        }
        self.since = now;
    }

    /// When there is enough for `cost`; `now` if there is. What is larger than the whole limit
    /// goes once the limit is full, since otherwise it would never go.
    pub(super) fn ready_at(&mut self, cost: u64, now: u64) -> u64 {
        self.advance(now);
        let cost = cost.min(self.limit);
        match self.counting {
            Counting::Bucket => {
                let lacking = (cost * MINUTE_MS).saturating_sub(self.level);
                now + lacking.div_ceil(self.limit.max(1))
            }
            Counting::Minutes if self.level + cost <= self.limit => now,
            Counting::Minutes => (now / MINUTE_MS + 1) * MINUTE_MS,
        }
    }

    pub(super) fn take(&mut self, cost: u64, now: u64) {
        self.advance(now);
        match self.counting {
            Counting::Bucket => self.level = self.level.saturating_sub(cost * MINUTE_MS),
            Counting::Minutes => self.level += cost,
        }
    }

    pub(super) fn left(&mut self, now: u64) -> Left {
        self.advance(now);
        let (remaining, reset) = match self.counting {
            Counting::Bucket => {
                let remaining = self.level / MINUTE_MS;
                let wanted = if remaining == 0 { 1 } else { self.limit };
                (remaining, self.ready_at(wanted, now))
            }
            Counting::Minutes => (
                self.limit.saturating_sub(self.level),
                (now / MINUTE_MS + 1) * MINUTE_MS,
            ),
        };
        Left {
            limit: self.limit,
            remaining,
            reset,
        }
    }
}

/// A subscription's window: it begins with the first use and holds so many tokens.
#[derive(Clone, Debug)]
pub(super) struct Window {
    length: u64,
    quota: u64,
    used: u64,
    began: Option<u64>,
}

impl Window {
    pub(super) const fn new(length: u64, quota: u64) -> Self {
        Self {
            length,
            quota,
            used: 0,
            began: None,
        }
    }

    fn advance(&mut self, now: u64) {
        if self.began.is_some_and(|began| now >= began + self.length) {
            self.began = None;
            self.used = 0;
        }
    }

    /// When it serves again; `now` if it does. The last request may go beyond the quota.
    pub(super) fn ready_at(&mut self, now: u64) -> u64 {
        self.advance(now);
        match self.began {
            Some(began) if self.used >= self.quota => began + self.length,
            _ => now,
        }
    }

    pub(super) fn take(&mut self, tokens: u64, now: u64) {
        self.advance(now);
        self.began.get_or_insert(now);
        self.used += tokens;
    }

    /// What is left, in thousandths. Zero only if the next request would be refused.
    pub(super) fn left(&mut self, now: u64) -> Left {
        self.advance(now);
        let left = self.quota.saturating_sub(self.used);
        let share = (left * 1000 / self.quota.max(1)).max(u64::from(left > 0));
        Left {
            limit: 1000,
            remaining: share,
            reset: self.began.unwrap_or(now) + self.length,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_refills_all_the_time() {
        let mut rate = Rate::new(60, Counting::Bucket);
        rate.take(60, 0);
        assert_eq!(rate.left(0).remaining, 0);
        assert_eq!(rate.left(0).reset, 1000);
        assert_eq!(rate.ready_at(2, 0), 2000);
        assert_eq!(rate.ready_at(2, 2000), 2000);
        assert_eq!(rate.left(2000).reset, 60_000, "when it is full");
    }

    #[test]
    fn a_minute_begins_anew() {
        let mut rate = Rate::new(60, Counting::Minutes);
        rate.take(59, 10_000);
        assert_eq!(rate.ready_at(1, 10_000), 10_000);
        assert_eq!(rate.ready_at(2, 10_000), 60_000);
        assert_eq!(rate.ready_at(2, 60_000), 60_000);
    }

    #[test]
    fn what_is_larger_than_the_limit_goes_when_it_is_full() {
        for counting in [Counting::Bucket, Counting::Minutes] {
            let mut rate = Rate::new(60, counting);
            assert_eq!(rate.ready_at(100, 0), 0);
            rate.take(100, 0);
            assert_eq!(rate.ready_at(100, 0), 60_000);
        }
    }

    #[test]
    fn a_window_begins_with_its_first_use() {
        let mut window = Window::new(1000, 10);
        assert_eq!(window.ready_at(500), 500);
        window.take(12, 500);
        assert_eq!(window.ready_at(600), 1500);
        assert_eq!(window.left(600).remaining, 0);
        assert_eq!(window.ready_at(1500), 1500);
        assert_eq!(window.left(1500).remaining, 1000);
    }
}
