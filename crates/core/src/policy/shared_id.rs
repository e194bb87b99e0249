//! Ids that turn out to name many conversations: how each is used, and which have been split.

use std::cmp::Reverse;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use lru::LruCache;
use serde::{Deserialize, Serialize};

use super::hashed::AsIsBuilder;
use super::memory::{BEFORE, Changed, SharedRow};
use crate::fact::SessionId;
use crate::moment::Moment;

/// Requests of one id that run at once before it counts as shared. One agent runs a handful.
const MOST_IN_FLIGHT: u32 = 16;
/// Conversations one id may open within the session's time to live before it counts as shared: an
/// agent opens one, and some more for titles and after compacting.
const MOST_OPENERS: usize = 32;

/// What showed that an id is not one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SplitReason {
    /// So many of its requests ran at once.
    InFlight(u32),
    /// It opened so many conversations.
    Openers(usize),
}

/// An id that is split by content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// The id, as a session.
    pub id: SessionId,
    /// The rule that finds it.
    pub rule: Arc<str>,
    /// What showed it.
    pub why: SplitReason,
    /// When.
    pub since: Moment,
}

#[derive(Debug)]
struct Use {
    used: Moment,
    in_flight: u32,
    /// Hashes of the openers, and when each was seen last, in seconds since the epoch.
    openers: Vec<(u32, u32)>,
    split: Option<Split>,
    /// Whether it has changed since it was last remembered.
    is_marked: bool,
}

/// The table of ids that may be shared.
#[derive(Debug)]
pub(super) struct SharedIds {
    uses: LruCache<SessionId, Use, AsIsBuilder>,
    ttl: Duration,
    pub(super) changed: Changed<SessionId>,
}

impl SharedIds {
    /// At most `most` ids, each forgotten when unused for `ttl`.
    pub(super) fn new(most: usize, ttl: Duration) -> Self {
        let most = NonZeroUsize::new(most).unwrap_or(NonZeroUsize::MIN);
        let mut uses = LruCache::unbounded_with_hasher(AsIsBuilder::default());
        uses.resize(most);
        Self {
            uses,
            ttl,
            changed: Changed::new(most.get()),
        }
    }

    /// Other bounds from now on.
    pub(super) fn resize(&mut self, most: usize, ttl: Duration) {
        let most = NonZeroUsize::new(most).unwrap_or(NonZeroUsize::MIN);
        self.uses.resize(most);
        self.ttl = ttl;
        self.changed.resize(most.get());
    }

    /// Whether the id is split already.
    pub(super) fn is_split(&self, id: SessionId, now: Moment) -> bool {
        self.why(id, now).is_some()
    }

    /// What showed that the id, which is split, is shared.
    pub(super) fn why(&self, id: SessionId, now: Moment) -> Option<SplitReason> {
        let known = self.uses.peek(&id)?;
        let split = known.split.as_ref()?;
        (now.since(known.used) <= self.ttl).then_some(split.why)
    }

    /// Whether one more request with this opener shows that the id is shared.
    pub(super) fn is_hot(
        &self,
        id: SessionId,
        opener: Option<u128>,
        now: Moment,
    ) -> Option<SplitReason> {
        let known = self.uses.peek(&id)?;
        let in_flight = known.in_flight + 1;
        if in_flight > MOST_IN_FLIGHT {
            return Some(SplitReason::InFlight(in_flight));
        }
        let now = seconds(now);
        let live = known
            .openers
            .iter()
            .filter(|seen| self.is_recent(seen.1, now));
        let new =
            opener.is_some_and(|opener| !known.openers.iter().any(|seen| seen.0 == short(opener)));
        let openers = live.count() + usize::from(new);
        (openers > MOST_OPENERS).then_some(SplitReason::Openers(openers))
    }

    fn is_recent(&self, seen: u32, now: u32) -> bool {
        u64::from(now.saturating_sub(seen)) <= self.ttl.as_secs()
    }

    /// A request with the id, which `rule` found, begins.
    pub(super) fn entered(
        &mut self,
        id: SessionId,
        opener: Option<u128>,
        rule: &Arc<str>,
        split: Option<SplitReason>,
        now: Moment,
    ) {
        self.expire(now);
        let ttl = self.ttl.as_secs();
        let known = self.uses.get_or_insert_mut(id, || Use {
            used: now,
            in_flight: 0,
            openers: Vec::new(),
            split: None,
            is_marked: false,
        });
        self.changed.mark(&mut known.is_marked, id);
        known.used = now;
        known.in_flight += 1;
        match (&mut known.split, split) {
            (None, Some(why)) => {
                known.split = Some(Split {
                    id,
                    rule: rule.clone(),
                    why,
                    since: now,
                });
            }
            // Words are not kept over a restart.
            (Some(split), _) if &*split.rule == BEFORE => split.rule = rule.clone(),
            _ => {}
        }
        let Some(opener) = opener.map(short) else {
            return;
        };
        let now = seconds(now);
        known
            .openers
            .retain(|(_, seen)| u64::from(now.saturating_sub(*seen)) <= ttl);
        if let Some((_, seen)) = known.openers.iter_mut().find(|(seen, _)| *seen == opener) {
            *seen = now;
        } else if known.openers.len() <= MOST_OPENERS {
            // One more than the bound is all that is ever asked for.
            known.openers.push((opener, now));
        }
    }

    /// A request with the id is over.
    pub(super) fn left(&mut self, id: SessionId) {
        if let Some(known) = self.uses.peek_mut(&id) {
            known.in_flight = known.in_flight.saturating_sub(1);
        }
    }

    /// The ids that are split, the latest first.
    pub(super) fn splits(&mut self, now: Moment) -> Vec<Split> {
        self.expire(now);
        let mut splits: Vec<Split> = self
            .uses
            .iter()
            .filter_map(|(_, known)| known.split.clone())
            .collect();
        splits.sort_by_key(|split| std::cmp::Reverse(split.since));
        splits
    }

    /// What is to be remembered of an id that was marked, if it is still known.
    pub(super) fn unmarked_row(&mut self, id: SessionId) -> Option<SharedRow> {
        let known = self.uses.peek_mut(&id)?;
        let was_marked = std::mem::take(&mut known.is_marked);
        was_marked.then(|| SharedRow {
            id,
            used: known.used,
            split: known.split.as_ref().map(|split| (split.why, split.since)),
            openers: known.openers.clone(),
        })
    }

    /// Everything has changed; the least recently used first.
    pub(super) fn mark_all(&mut self) {
        for (id, known) in self.uses.iter_mut().rev() {
            self.changed.mark(&mut known.is_marked, *id);
        }
    }

    /// Takes over what another run of the program knew, in the order of its use.
    pub(super) fn restore(&mut self, rows: Vec<SharedRow>, now: Moment) {
        for row in rows {
            // A clock that was put back must not keep it for longer than its time.
            let used = row.used.min(now);
            if now.since(used) > self.ttl {
                continue;
            }
            let id = row.id;
            let split = row.split.map(|(why, since)| Split {
                id,
                rule: BEFORE.into(),
                why,
                since: since.min(now),
            });
            let known = Use {
                used,
                in_flight: 0,
                openers: row.openers,
                split,
                is_marked: false,
            };
            self.uses.put(id, known);
        }
    }

    /// Takes over how another process has seen ids used.
    pub(super) fn join(&mut self, rows: Vec<SharedRow>, now: Moment) {
        for row in rows {
            let (id, used) = (row.id, row.used.min(now));
            if now.since(used) > self.ttl {
                continue;
            }
            let known = self.uses.get_or_insert_mut(id, || Use {
                used,
                in_flight: 0,
                openers: Vec::new(),
                split: None,
                is_marked: false,
            });
            known.used = known.used.max(used);
            // Whoever saw it first.
            if let Some((why, since)) = row.split
                && known.split.as_ref().is_none_or(|split| since < split.since)
            {
                known.split = Some(Split {
                    id,
                    rule: BEFORE.into(),
                    why,
                    since,
                });
            }
            for (opener, seen) in row.openers {
                match known.openers.iter_mut().find(|(known, _)| *known == opener) {
                    Some((_, known)) => *known = seen.max(*known),
                    None => known.openers.push((opener, seen)),
                }
            }
            known
                .openers
                .sort_unstable_by_key(|(opener, seen)| (Reverse(*seen), *opener));
            known.openers.truncate(MOST_OPENERS + 1);
            self.changed.mark(&mut known.is_marked, id);
        }
    }

    fn expire(&mut self, now: Moment) {
        while let Some((_, oldest)) = self.uses.peek_lru()
            && oldest.in_flight == 0
            && now.since(oldest.used) > self.ttl
        {
            self.uses.pop_lru();
        }
    }
}

/// 32 bits of an opener: among 32 of them a collision is a matter of one in millions.
const fn short(opener: u128) -> u32 {
    opener as u32
}

fn seconds(now: Moment) -> u32 {
    u32::try_from(now.unix_millis() / 1000).unwrap_or(u32::MAX)
}
