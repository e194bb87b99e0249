//! The homes of sessions: bounded, least recently used out first, forgotten after their time to live.

use std::num::NonZeroUsize;
use std::time::Duration;

use lru::LruCache;

use crate::fact::SessionId;
use crate::moment::Moment;
use crate::plan::AccountId;

/// Where a session lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Home {
    pub(super) account: AccountId,
    /// Whether it has ever answered this session: only then is anything warm there.
    pub(super) served: bool,
    pub(super) used: Moment,
}

/// The table. Order of use is order of expiry, so both bounds drop from the same end.
#[derive(Debug)]
pub(super) struct Sessions {
    homes: LruCache<SessionId, Home>,
    ttl: Duration,
}

impl Sessions {
    /// At most `most` sessions, each forgotten when unused for `ttl`.
    pub(super) fn new(most: usize, ttl: Duration) -> Self {
        let most = NonZeroUsize::new(most).unwrap_or(NonZeroUsize::MIN);
        // Unbounded to begin with, because a bounded one allocates for its bound at once.
        let mut homes = LruCache::unbounded();
        homes.resize(most);
        Self { homes, ttl }
    }

    /// The session's home; using it keeps it.
    pub(super) fn home(&mut self, session: SessionId, now: Moment) -> Option<Home> {
        self.expire(now);
        let home = self.homes.get_mut(&session)?;
        home.used = now;
        Some(*home)
    }

    /// The session's home, left as it is.
    pub(super) fn peek(&self, session: SessionId, now: Moment) -> Option<Home> {
        let home = self.homes.peek(&session)?;
        (now.since(home.used) <= self.ttl).then_some(*home)
    }

    /// Gives the session a home that has not served it yet.
    pub(super) fn settle(&mut self, session: SessionId, account: AccountId, now: Moment) {
        let home = Home {
            account,
            served: false,
            used: now,
        };
        self.homes.put(session, home);
    }

    /// The session's home, or one that it borrows from, answered.
    pub(super) fn served(&mut self, session: SessionId, now: Moment) {
        if let Some(home) = self.homes.get_mut(&session) {
            home.served = true;
            home.used = now;
        }
    }

    /// How many sessions are alive.
    pub(super) fn count(&mut self, now: Moment) -> usize {
        self.expire(now);
        self.homes.len()
    }

    fn expire(&mut self, now: Moment) {
        while let Some((_, oldest)) = self.homes.peek_lru()
            && now.since(oldest.used) > self.ttl
        {
            self.homes.pop_lru();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::KeyId;
    use crate::secret::Secret;
    use crate::target::Target;

    fn account(name: &str) -> AccountId {
        let target = Target::parse("https://h").unwrap();
        AccountId::of_key(KeyId::of(&Secret::new(name.into()), &target))
    }

    fn at(seconds: u64) -> Moment {
        Moment::from_unix_millis(1_790_000_000_000 + seconds * 1000)
    }

    #[test]
    fn a_session_is_forgotten_when_unused_for_its_time_to_live() {
        let mut sessions = Sessions::new(10, Duration::from_secs(60));
        sessions.settle(SessionId(1), account("a"), at(0));
        assert!(
            sessions.home(SessionId(1), at(50)).is_some(),
            "use keeps it"
        );
        assert!(sessions.home(SessionId(1), at(110)).is_some());
        assert!(sessions.home(SessionId(1), at(171)).is_none());
        assert_eq!(sessions.count(at(171)), 0);
    }

    #[test]
    fn the_table_is_bounded_and_drops_the_least_recently_used() {
        let mut sessions = Sessions::new(2, Duration::from_secs(60));
        sessions.settle(SessionId(1), account("a"), at(0));
        sessions.settle(SessionId(2), account("a"), at(1));
        sessions.home(SessionId(1), at(2));
        sessions.settle(SessionId(3), account("a"), at(3));
        assert!(sessions.home(SessionId(2), at(4)).is_none());
        assert!(sessions.home(SessionId(1), at(4)).is_some());
        assert_eq!(sessions.count(at(4)), 2);
    }
}
