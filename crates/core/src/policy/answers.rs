//! Which session an earlier answer belongs to, so that a request that continues it can be told.

use std::num::NonZeroUsize;
use std::time::Duration;

use lru::LruCache;
use xxhash_rust::xxh3::xxh3_64;

use super::hashed::AsIsBuilder;
use super::memory::{AnswerRow, Changed};
use crate::conversation::AnswerId;
use crate::fact::SessionId;
use crate::moment::Moment;

#[derive(Clone, Copy, Debug)]
struct Given {
    session: SessionId,
    learned: Moment,
    /// Whether it has changed since it was last remembered.
    is_marked: bool,
}

/// The table: bounded, least recently used out first.
#[derive(Debug)]
pub(super) struct Answers {
    given: LruCache<u64, Given, AsIsBuilder>,
    ttl: Duration,
    pub(super) changed: Changed<u64>,
}

/// Equal answers of two pools are two.
fn within(pool: &str, answer: AnswerId) -> u64 {
    answer.number() ^ xxh3_64(pool.as_bytes())
}

impl Answers {
    /// At most `most` answers, each forgotten after `ttl` without use.
    pub(super) fn new(most: usize, ttl: Duration) -> Self {
        let most = NonZeroUsize::new(most).unwrap_or(NonZeroUsize::MIN);
        let mut given = LruCache::unbounded_with_hasher(AsIsBuilder::default());
        given.resize(most);
        Self {
            given,
            ttl,
            changed: Changed::new(most.get()),
        }
    }

    /// Other bounds from now on.
    pub(super) fn resize(&mut self, most: usize, ttl: Duration) {
        let most = NonZeroUsize::new(most).unwrap_or(NonZeroUsize::MIN);
        self.given.resize(most);
        self.ttl = ttl;
        self.changed.resize(most.get());
    }

    pub(super) fn session(&self, answer: AnswerId, pool: &str, now: Moment) -> Option<SessionId> {
        let given = self.given.peek(&within(pool, answer))?;
        (now.since(given.learned) <= self.ttl).then_some(given.session)
    }

    pub(super) fn learn(&mut self, answer: AnswerId, pool: &str, session: SessionId, now: Moment) {
        while let Some((_, oldest)) = self.given.peek_lru()
            && now.since(oldest.learned) > self.ttl
        {
            self.given.pop_lru();
        }
        let answer = within(pool, answer);
        let known = self.given.peek(&answer);
        let mut given = Given {
            session,
            learned: now,
            is_marked: known.is_some_and(|known| known.is_marked),
        };
        self.changed.mark(&mut given.is_marked, answer);
        self.given.put(answer, given);
    }

    /// What is to be remembered of an answer that was marked, if it is still known.
    pub(super) fn unmarked_row(&mut self, answer: u64) -> Option<AnswerRow> {
        let given = self.given.peek_mut(&answer)?;
        let was_marked = std::mem::take(&mut given.is_marked);
        was_marked.then_some(AnswerRow {
            answer,
            session: given.session,
            learned: given.learned,
        })
    }

    /// Everything has changed; the least recently used first.
    pub(super) fn mark_all(&mut self) {
        for (answer, given) in self.given.iter_mut().rev() {
            self.changed.mark(&mut given.is_marked, *answer);
        }
    }

    /// Takes over what another process has learned.
    pub(super) fn join(&mut self, rows: Vec<AnswerRow>, now: Moment) {
        for row in rows {
            let learned = row.learned.min(now);
            let known = self.given.peek(&row.answer);
            let is_known =
                known.is_some_and(|known| (known.learned, known.session) >= (learned, row.session));
            if is_known || now.since(learned) > self.ttl {
                continue;
            }
            let mut given = Given {
                session: row.session,
                learned,
                is_marked: known.is_some_and(|known| known.is_marked),
            };
            self.changed.mark(&mut given.is_marked, row.answer);
            self.given.put(row.answer, given);
        }
    }

    /// Takes over what another run of the program knew, the oldest first.
    pub(super) fn restore(&mut self, rows: Vec<AnswerRow>, now: Moment) {
        for row in rows {
            // A clock that was put back must not keep it for longer than its time.
            let learned = row.learned.min(now);
            if now.since(learned) <= self.ttl {
                let given = Given {
                    session: row.session,
                    learned,
                    is_marked: false,
                };
                self.given.put(row.answer, given);
            }
        }
    }
}
