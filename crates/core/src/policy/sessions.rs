//! The homes of sessions: bounded, least recently used out first, forgotten after their time to live.

use std::num::NonZeroUsize;
use std::time::Duration;

use lru::LruCache;

use super::hashed::AsIsBuilder;
use super::memory::{Changed, SessionRow};
use super::warmth::Places;
use crate::fact::SessionId;
use crate::moment::Moment;
use crate::plan::AccountId;

/// Where a session lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Home {
    pub(super) account: AccountId,
    /// Whether it has ever answered this session: only then is anything warm there.
    pub(super) served: bool,
    /// Whether it has changed since it was last remembered.
    pub(super) is_marked: bool,
    pub(super) used: Moment,
    /// Bytes of its last body and the tokens they came to; 0 until the provider has counted them.
    pub(super) bytes: u32,
    pub(super) tokens: u32,
    /// Where its prefix is.
    pub(super) places: Places,
}

/// Bytes of a body that make a token, until the session's own answers say better: English prose,
/// code and JSON all lie between 3 and 5.
const BYTES_PER_TOKEN: u64 = 4;
/// The most that a session's own answers can say: bodies full of escapes and base64.
const BYTES_PER_TOKEN_MOST: u64 = 32;

impl Home {
    /// The tokens of a prompt of the session that comes in a body of `bytes`.
    pub(super) fn estimate(&self, bytes: u64) -> u64 {
        if self.bytes == 0 || self.tokens == 0 {
            return estimate(bytes);
        }
        let tokens = bytes.saturating_mul(u64::from(self.tokens)) / u64::from(self.bytes);
        tokens.clamp(bytes / BYTES_PER_TOKEN_MOST, bytes)
    }
}

/// The tokens of a prompt that comes in a body of `bytes`.
pub(super) const fn estimate(bytes: u64) -> u64 {
    bytes / BYTES_PER_TOKEN
}

/// The table. Order of use is order of expiry, so both bounds drop from the same end.
#[derive(Debug)]
pub(super) struct Sessions {
    homes: LruCache<SessionId, Home, AsIsBuilder>,
    ttl: Duration,
    pub(super) changed: Changed<SessionId>,
}

impl Sessions {
    /// At most `most` sessions, each forgotten when unused for `ttl`.
    pub(super) fn new(most: usize, ttl: Duration) -> Self {
        let most = NonZeroUsize::new(most).unwrap_or(NonZeroUsize::MIN);
        // Unbounded to begin with, because a bounded one allocates for its bound at once.
        let mut homes = LruCache::unbounded_with_hasher(AsIsBuilder::default());
        homes.resize(most);
        let changed = Changed::new(most.get());
        Self {
            homes,
            ttl,
            changed,
        }
    }

    /// Other bounds from now on.
    pub(super) fn resize(&mut self, most: usize, ttl: Duration) {
        self.homes
            .resize(NonZeroUsize::new(most).unwrap_or(NonZeroUsize::MIN));
        self.ttl = ttl;
        self.changed.resize(most.max(1));
    }

    /// The session's home; using it keeps it.
    pub(super) fn home(&mut self, session: SessionId, now: Moment) -> Option<Home> {
        self.expire(now);
        let home = self.homes.get_mut(&session)?;
        if now.since(home.used) > self.ttl {
            // What another process knew does not come in the order of its use.
            self.homes.pop(&session);
            return None;
        }
        home.used = now;
        self.changed.mark(&mut home.is_marked, session);
        Some(*home)
    }

    /// The session's home, left as it is.
    pub(super) fn peek(&self, session: SessionId, now: Moment) -> Option<Home> {
        let home = self.homes.peek(&session)?;
        (now.since(home.used) <= self.ttl).then_some(*home)
    }

    /// Gives the session a home that has not served it yet; what is known of it stays.
    pub(super) fn settle(&mut self, session: SessionId, account: AccountId, now: Moment) {
        self.expire(now);
        let known = self.homes.peek(&session);
        let mut home = Home {
            account,
            served: false,
            is_marked: known.is_some_and(|home| home.is_marked),
            used: now,
            bytes: known.map_or(0, |home| home.bytes),
            tokens: known.map_or(0, |home| home.tokens),
            places: known.map_or_else(Places::default, |home| home.places),
        };
        self.changed.mark(&mut home.is_marked, session);
        self.homes.put(session, home);
    }

    /// The session's entry, to note what was learned of it. Does not count as use.
    pub(super) fn note(&mut self, session: SessionId) -> Option<&mut Home> {
        let home = self.homes.peek_mut(&session)?;
        self.changed.mark(&mut home.is_marked, session);
        Some(home)
    }

    /// It lives nowhere any more. The entry stays, so that this is remembered.
    pub(super) fn unpin(&mut self, session: SessionId) {
        if let Some(home) = self.note(session) {
            home.served = false;
            home.account = AccountId::from_number(0);
            home.places = Places::default();
        }
    }

    /// What is to be remembered of a session that was marked, if it is still there.
    pub(super) fn unmarked_row(&mut self, session: SessionId) -> Option<SessionRow> {
        let home = self.homes.peek_mut(&session)?;
        let was_marked = std::mem::take(&mut home.is_marked);
        was_marked.then(|| home.row(session))
    }

    /// Everything has changed; the least recently used first.
    pub(super) fn mark_all(&mut self) {
        for (session, home) in self.homes.iter_mut().rev() {
            self.changed.mark(&mut home.is_marked, *session);
        }
    }

    /// A session that another run of the program knew. They come in the order of their use.
    pub(super) fn restore(&mut self, session: SessionId, home: Home, now: Moment) {
        if now.since(home.used) <= self.ttl {
            self.homes.put(session, home);
        }
    }

    /// What another process knows of a session. Its home is where it was served, and served last; of
    /// the rest the latest counts.
    pub(super) fn join(&mut self, session: SessionId, other: Home, now: Moment) {
        if now.since(other.used) > self.ttl {
            return;
        }
        let Some(known) = self.homes.peek_mut(&session) else {
            let is_full = self.homes.len() >= self.homes.cap().get();
            let oldest = self.homes.peek_lru().map(|(_, home)| home.used);
            if !is_full || oldest < Some(other.used) {
                let mut home = other;
                self.changed.mark(&mut home.is_marked, session);
                self.homes.put(session, home);
            }
            return;
        };
        let before = *known;
        let place = |home: &Home| (home.served, home.used, home.account);
        if place(&other) > place(&before) {
            (known.served, known.account) = (other.served, other.account);
        }
        let size = |home: &Home| (home.tokens > 0, home.used, home.tokens, home.bytes);
        if size(&other) > size(&before) {
            (known.tokens, known.bytes) = (other.tokens, other.bytes);
        }
        known.used = known.used.max(other.used);
        known.places.join(other.places);
        if *known != before {
            self.changed.mark(&mut known.is_marked, session);
        }
        if known.used > before.used {
            self.homes.promote(&session);
        }
    }

    /// The session's home, or one that it borrows from, answered.
    pub(super) fn served(&mut self, session: SessionId, now: Moment) {
        if let Some(home) = self.homes.get_mut(&session) {
            home.served = true;
            home.used = now;
            self.changed.mark(&mut home.is_marked, session);
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
