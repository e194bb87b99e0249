//! Which session an earlier answer belongs to, so that a request that continues it can be told.

use std::num::NonZeroUsize;
use std::time::Duration;

use lru::LruCache;
use xxhash_rust::xxh3::xxh3_64;

use crate::conversation::AnswerId;
use crate::fact::SessionId;
use crate::moment::Moment;

/// The table: bounded, least recently used out first.
#[derive(Debug)]
pub(super) struct Answers {
    sessions: LruCache<(AnswerId, u64), (SessionId, Moment)>,
    ttl: Duration,
}

impl Answers {
    /// At most `most` answers, each forgotten after `ttl` without use.
    pub(super) fn new(most: usize, ttl: Duration) -> Self {
        let most = NonZeroUsize::new(most).unwrap_or(NonZeroUsize::MIN);
        let mut sessions = LruCache::unbounded();
        sessions.resize(most);
        Self { sessions, ttl }
    }

    /// Other bounds from now on.
    pub(super) fn resize(&mut self, most: usize, ttl: Duration) {
        self.sessions
            .resize(NonZeroUsize::new(most).unwrap_or(NonZeroUsize::MIN));
        self.ttl = ttl;
    }

    pub(super) fn session(&self, answer: AnswerId, pool: &str, now: Moment) -> Option<SessionId> {
        let (session, learned) = self.sessions.peek(&(answer, xxh3_64(pool.as_bytes())))?;
        (now.since(*learned) <= self.ttl).then_some(*session)
    }

    pub(super) fn learn(&mut self, answer: AnswerId, pool: &str, session: SessionId, now: Moment) {
        while let Some((_, (_, oldest))) = self.sessions.peek_lru()
            && now.since(*oldest) > self.ttl
        {
            self.sessions.pop_lru();
        }
        self.sessions
            .put((answer, xxh3_64(pool.as_bytes())), (session, now));
    }
}
