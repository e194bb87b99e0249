//! Which key serves: sessions, cooldowns, choice. Time is an argument; nothing here waits or reads.

mod answers;
mod cooldown;
mod lineage;
mod recognition;
mod rendezvous;
mod sessions;
mod shared_id;
mod standing;

use std::collections::HashMap;

use crate::fact::{Affinity, SessionId, Usage};
use crate::moment::Moment;
use crate::plan::{AccountId, Key, KeyId, Plan, Pool, SplitSubAgents, Timing};
use crate::verdict::Verdict;
use answers::Answers;
use cooldown::{Cooldown, Refused};
use lineage::Lineage;
use sessions::{Home, Sessions};
use shared_id::SharedIds;

pub use recognition::Session;
pub use shared_id::{Split, SplitReason};
pub use standing::{Shared, Standing};

/// What the core knows of one key.
#[derive(Debug, Default)]
struct KeyState {
    requests: u64,
    errors: u64,
    cache_hits: u64,
    in_flight: u32,
    refused: Refused,
    /// Smooth weighted rotation: what it is owed among requests without a session.
    credit: i64,
}

/// One key as `status` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySnapshot {
    /// Which key.
    pub id: KeyId,
    /// Attempts made with it.
    pub requests: u64,
    /// Attempts that failed through no fault of the client.
    pub errors: u64,
    /// Answers whose prompt came partly from the provider's cache.
    pub cache_hits: u64,
    /// Attempts running now.
    pub in_flight: u32,
    /// Its account must not be used until then.
    pub cooling_until: Option<Moment>,
    /// The provider refused it; it comes last until then.
    pub refused_until: Option<Moment>,
}

/// Everything `status` shows of the policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The plan's keys, in its order.
    pub keys: Vec<KeySnapshot>,
    /// Sessions alive.
    pub sessions: usize,
    /// Ids that turned out to be shared by many conversations, the latest first.
    pub splits: Vec<Split>,
}

/// What to do with a request now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Send it with the pool's key at this position.
    Use {
        /// Index into [`Pool::keys`].
        key: usize,
        /// How the key relates to the session.
        affinity: Affinity,
    },
    /// No key is left to try.
    Exhausted {
        /// When the soonest cooling account of the pool is usable again; `None` if none cools.
        soonest: Option<Moment>,
    },
}

/// All the state behind the choice; one struct, so that a proxy and a simulator can step it.
#[derive(Debug)]
pub struct Policy {
    keys: HashMap<KeyId, KeyState>,
    accounts: HashMap<AccountId, Cooldown>,
    sessions: Sessions,
    lineage: Lineage,
    shared_ids: SharedIds,
    answers: Answers,
    split_subagents: SplitSubAgents,
    timing: Timing,
}

impl Policy {
    /// Knowing nothing yet.
    pub fn new(plan: &Plan) -> Self {
        let (most, ttl) = (plan.limits.sessions, plan.timing.session_ttl);
        Self {
            keys: HashMap::new(),
            accounts: HashMap::new(),
            sessions: Sessions::new(most, ttl),
            lineage: Lineage::new(most, ttl),
            shared_ids: SharedIds::new(most, ttl),
            answers: Answers::new(most, ttl),
            split_subagents: plan.recognition.split_subagents,
            timing: plan.timing.clone(),
        }
    }

    /// Which key of `pool` serves `session` next, given the keys this request has already tried.
    ///
    /// Home first; then the other keys in the session's own order. Keys of a cooling account are
    /// passed over, and no key comes twice. Keys the provider refuses come last, but they come: if
    /// nothing else is left, its own answer is the best there is.
    pub fn choose(
        &mut self,
        pool: &Pool,
        session: Option<&Session>,
        tried: &[KeyId],
        now: Moment,
    ) -> Choice {
        let chosen = match session {
            None => self
                .next_in_turn(pool, tried, now)
                .map(|key| (key, Affinity::None)),
            Some(session) => self.for_session(pool, session, tried, now),
        };
        match chosen {
            Some((key, affinity)) => Choice::Use { key, affinity },
            None => Choice::Exhausted {
                soonest: self.soonest(pool, now),
            },
        }
    }

    /// What [`Policy::choose`] would say to the first attempt of a request of `session`; changes
    /// nothing.
    pub fn preview(&self, pool: &Pool, session: &Session, now: Moment) -> Choice {
        let home = self.sessions.peek(session.id, now);
        match self.pick(pool, session, home, &[], now) {
            Some((key, affinity)) => Choice::Use { key, affinity },
            None => Choice::Exhausted {
                soonest: self.soonest(pool, now),
            },
        }
    }

    fn for_session(
        &mut self,
        pool: &Pool,
        session: &Session,
        tried: &[KeyId],
        now: Moment,
    ) -> Option<(usize, Affinity)> {
        let home = self.sessions.home(session.id, now);
        let (at, affinity) = self.pick(pool, session, home, tried, now)?;
        if home.is_none() {
            let account = pool.keys[at].account;
            self.sessions.settle(session.id, account, now);
        }
        Some((at, affinity))
    }

    fn pick(
        &self,
        pool: &Pool,
        session: &Session,
        home: Option<Home>,
        tried: &[KeyId],
        now: Moment,
    ) -> Option<(usize, Affinity)> {
        let drawn_to = home.map(|home| home.account).or(session.first);
        let keeps_off = |account: AccountId| {
            home.is_none() && session.spread && self.is_near_limit(account, now)
        };
        let (at, key) = pool
            .keys
            .iter()
            .enumerate()
            .filter(|(_, key)| self.may_try(key, tried, now))
            .max_by(|(_, one), (_, other)| {
                let rank = |key: &Key| {
                    (
                        !self.refused(key, now),
                        drawn_to == Some(key.account),
                        !keeps_off(key.account),
                        rendezvous::Score::of(session.id, key.id, key.weight),
                    )
                };
                rank(one).cmp(&rank(other))
            })?;
        let affinity = match home {
            // Nothing is warm where nothing was served: a home that has refused is no home.
            Some(home) if home.account == key.account && home.served => Affinity::Home,
            Some(home) if home.served && self.home_remains(pool, home.account, now) => {
                Affinity::Borrowed
            }
            Some(home) if home.served => Affinity::Moved,
            _ => Affinity::New,
        };
        Some((at, affinity))
    }

    /// Whether a home account is still there and only cannot serve right now.
    fn home_remains(&self, pool: &Pool, account: AccountId, now: Moment) -> bool {
        pool.keys
            .iter()
            .any(|key| key.account == account && !self.refused(key, now))
    }

    /// Requests without a session take turns, by weight (smooth weighted round robin, as nginx).
    fn next_in_turn(&mut self, pool: &Pool, tried: &[KeyId], now: Moment) -> Option<usize> {
        let candidates = self.candidates(pool, tried, now);
        let chosen = self.whose_turn(pool, &candidates)?;
        let mut total = 0;
        for at in candidates {
            let key = &pool.keys[at];
            self.keys.entry(key.id).or_default().credit += i64::from(key.weight);
            total += i64::from(key.weight);
        }
        self.keys.entry(pool.keys[chosen].id).or_default().credit -= total;
        Some(chosen)
    }

    /// The keys that take turns: those that the provider refuses only if there are no others.
    fn candidates(&self, pool: &Pool, tried: &[KeyId], now: Moment) -> Vec<usize> {
        let usable: Vec<usize> = (0..pool.keys.len())
            .filter(|at| self.may_try(&pool.keys[*at], tried, now))
            .collect();
        let fresh: Vec<usize> = usable
            .iter()
            .copied()
            .filter(|at| !self.refused(&pool.keys[*at], now))
            .collect();
        if fresh.is_empty() { usable } else { fresh }
    }

    /// Which of them is owed the most once each has been given its share; the first one of equals.
    fn whose_turn(&self, pool: &Pool, candidates: &[usize]) -> Option<usize> {
        let mut best: Option<(i64, usize)> = None;
        for at in candidates {
            let key = &pool.keys[*at];
            let owed = self.keys.get(&key.id).map_or(0, |state| state.credit);
            let credit = owed + i64::from(key.weight);
            if best.is_none_or(|(most, _)| credit > most) {
                best = Some((credit, *at));
            }
        }
        best.map(|(_, at)| at)
    }

    fn may_try(&self, key: &Key, tried: &[KeyId], now: Moment) -> bool {
        !tried.contains(&key.id)
            && !self
                .accounts
                .get(&key.account)
                .is_some_and(|account| account.is_cooling(now))
    }

    fn refused(&self, key: &Key, now: Moment) -> bool {
        self.keys
            .get(&key.id)
            .is_some_and(|state| state.refused.is_in_force(now))
    }

    fn soonest(&self, pool: &Pool, now: Moment) -> Option<Moment> {
        pool.keys
            .iter()
            .filter_map(|key| self.accounts.get(&key.account)?.until(now))
            .min()
    }

    /// An attempt with `key` begins.
    pub fn began(&mut self, key: KeyId) {
        let state = self.keys.entry(key).or_default();
        state.requests += 1;
        state.in_flight += 1;
    }

    /// An attempt with `key` is over, however it went.
    pub fn ended(&mut self, key: KeyId) {
        let state = self.keys.entry(key).or_default();
        state.in_flight = state.in_flight.saturating_sub(1);
    }

    /// What an attempt came to, as soon as that is known. `refused_before` are the keys that
    /// refused this same request earlier: once another key serves it, the refusal was theirs and
    /// not the request's.
    pub fn judged(
        &mut self,
        pool: &Pool,
        key: &Key,
        session: Option<SessionId>,
        verdict: Verdict,
        refused_before: &[KeyId],
        now: Moment,
    ) {
        let state = self.keys.entry(key.id).or_default();
        state.errors += u64::from(verdict.is_error());
        match verdict {
            Verdict::Served => {
                state.refused = Refused::default();
                if let Some(account) = self.accounts.get_mut(&key.account) {
                    account.served(now);
                }
                for refused in refused_before {
                    self.keys.entry(*refused).or_default().refused.again(now);
                }
                if let Some(session) = session {
                    self.serve(pool, session, key, now);
                }
            }
            Verdict::Throttled { until } => {
                let cooldown = self.timing.cooldown;
                self.accounts
                    .entry(key.account)
                    .or_default()
                    .throttled(until, cooldown, now);
            }
            Verdict::ClientFault
            | Verdict::KeyRefused
            | Verdict::CreditExhausted
            | Verdict::ServerFault
            | Verdict::Unreachable => {}
        }
    }

    /// Keeps, founds or moves the session's home after `key` has served it.
    fn serve(&mut self, pool: &Pool, session: SessionId, key: &Key, now: Moment) {
        let keeps = self.sessions.home(session, now).is_some_and(|home| {
            home.account == key.account
                // A home that has never served holds no warm cache: whoever serves first does.
                || (home.served && self.home_remains(pool, home.account, now))
        });
        if !keeps {
            self.sessions.settle(session, key.account, now);
        }
        self.sessions.served(session, now);
    }

    /// The answer's token counts, once known.
    pub fn used(&mut self, key: KeyId, usage: Usage) {
        if usage.cached > 0 {
            self.keys.entry(key).or_default().cache_hits += 1;
        }
    }

    /// What `status` shows of the keys of `plan`.
    pub fn snapshot(&mut self, plan: &Plan, now: Moment) -> Snapshot {
        let keys = plan
            .pools()
            .flat_map(|pool| &pool.keys)
            .map(|key| {
                let state = self.keys.entry(key.id).or_default();
                KeySnapshot {
                    id: key.id,
                    requests: state.requests,
                    errors: state.errors,
                    cache_hits: state.cache_hits,
                    in_flight: state.in_flight,
                    cooling_until: self
                        .accounts
                        .get(&key.account)
                        .and_then(|account| account.until(now)),
                    refused_until: state.refused.until(now),
                }
            })
            .collect();
        Snapshot {
            keys,
            sessions: self.sessions.count(now),
            splits: self.shared_ids.splits(now),
        }
    }
}

#[cfg(test)]
mod tests;
