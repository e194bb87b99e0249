//! Which key serves a request: home first, then the session's own order; without a session, by turns.

use super::sessions::Home;
use super::{Asked, Choice, Policy, Session, rendezvous};
use crate::fact::{Affinity, ModelId};
use crate::moment::Moment;
use crate::plan::{AccountId, Key, KeyId, Pool};

impl Policy {
    /// Which key of `pool` serves `session` next, given the keys this request has already tried.
    ///
    /// Home first; then the other keys in the session's own order. Keys of a cooling account are
    /// passed over, and no key comes twice. Keys the provider refuses come last, but they come: if
    /// nothing else is left, its own answer is the best there is.
    pub fn choose(&mut self, asked: &Asked<'_>, tried: &[KeyId], now: Moment) -> Choice {
        let chosen = match asked.session {
            None => self
                .next_in_turn(asked, tried, now)
                .map(|key| (key, Affinity::None)),
            Some(session) => self.for_session(asked, session, tried, now),
        };
        self.choice(chosen, asked, now)
    }

    fn choice(&self, chosen: Option<(usize, Affinity)>, asked: &Asked<'_>, now: Moment) -> Choice {
        match chosen {
            Some((key, affinity)) => Choice::Use { key, affinity },
            None => Choice::Exhausted {
                soonest: self.soonest(asked, now),
            },
        }
    }

    /// What [`Policy::choose`] would say to the first attempt; changes nothing.
    pub fn preview(&self, asked: &Asked<'_>, now: Moment) -> Choice {
        let chosen = match asked.session {
            None => {
                let candidates = self.candidates(asked, &[], now);
                let key = self.whose_turn(asked.pool, &candidates);
                key.map(|key| (key, Affinity::None))
            }
            Some(session) => {
                let home = self.sessions.peek(session.id, now);
                self.pick(asked, session, home, &[], now)
            }
        };
        self.choice(chosen, asked, now)
    }

    fn for_session(
        &mut self,
        asked: &Asked<'_>,
        session: &Session,
        tried: &[KeyId],
        now: Moment,
    ) -> Option<(usize, Affinity)> {
        let home = self.sessions.home(session.id, now);
        let (at, affinity) = self.pick(asked, session, home, tried, now)?;
        if home.is_none() {
            let account = self.account_of(&asked.pool.keys[at]);
            self.sessions.settle(session.id, account, now);
        }
        Some((at, affinity))
    }

    fn pick(
        &self,
        asked: &Asked<'_>,
        session: &Session,
        home: Option<Home>,
        tried: &[KeyId],
        now: Moment,
    ) -> Option<(usize, Affinity)> {
        let home = home.map(|home| Home {
            account: self.canonical(home.account),
            ..home
        });
        let drawn_to = home.map(|home| home.account).or(session.first);
        let keeps_off =
            |account: AccountId| home.is_none() && self.is_near_limit(account, asked.model, now);
        let (at, key) = asked
            .pool
            .keys
            .iter()
            .enumerate()
            .filter(|(_, key)| self.may_try(key, asked.model, tried, now))
            .max_by(|(_, one), (_, other)| {
                let rank = |key: &Key| {
                    (
                        !self.refused(key, asked.model, now),
                        drawn_to == Some(self.account_of(key)),
                        self.is_elsewhere(asked.pool, key, tried),
                        !keeps_off(self.account_of(key)),
                        rendezvous::Score::of(session.id, key.id, key.weight),
                    )
                };
                rank(one).cmp(&rank(other))
            })?;
        let affinity = match home {
            // Nothing is warm where nothing was served: a home that has refused is no home.
            Some(home) if home.account == self.account_of(key) && home.served => Affinity::Home,
            Some(home)
                if home.served && self.home_remains(asked.pool, home.account, asked.model, now) =>
            {
                Affinity::Borrowed
            }
            Some(home) if home.served => Affinity::Moved,
            _ => Affinity::New,
        };
        Some((at, affinity))
    }

    /// Whether a home account is still there and only cannot serve right now.
    pub(super) fn home_remains(
        &self,
        pool: &Pool,
        account: AccountId,
        model: Option<ModelId>,
        now: Moment,
    ) -> bool {
        pool.keys.iter().any(|key| {
            self.account_of(key) == self.canonical(account) && !self.refused(key, model, now)
        })
    }

    /// Requests without a session take turns, by weight (smooth weighted round robin, as nginx).
    fn next_in_turn(&mut self, asked: &Asked<'_>, tried: &[KeyId], now: Moment) -> Option<usize> {
        let pool = asked.pool;
        let candidates = self.candidates(asked, tried, now);
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
    fn candidates(&self, asked: &Asked<'_>, tried: &[KeyId], now: Moment) -> Vec<usize> {
        let pool = asked.pool;
        let usable: Vec<usize> = (0..pool.keys.len())
            .filter(|at| self.may_try(&pool.keys[*at], asked.model, tried, now))
            .collect();
        let fresh: Vec<usize> = usable
            .iter()
            .copied()
            .filter(|at| !self.refused(&pool.keys[*at], asked.model, now))
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

    fn may_try(&self, key: &Key, model: Option<ModelId>, tried: &[KeyId], now: Moment) -> bool {
        !tried.contains(&key.id) && self.unusable_until(key, model, now).is_none()
    }

    /// Whether `key` is known to belong to another account than all that were tried: what refused
    /// those says nothing about it. Of keys whose account nobody knows it may be the same one.
    fn is_elsewhere(&self, pool: &Pool, key: &Key, tried: &[KeyId]) -> bool {
        let known = |key: &Key| {
            let account = self.account_of(key);
            (!key.account_is_unknown() || account != key.account).then_some(account)
        };
        let Some(account) = known(key) else {
            return tried.is_empty();
        };
        let mut others = pool.keys.iter().filter(|other| tried.contains(&other.id));
        others.all(|other| known(other).is_some_and(|other| other != account))
    }

    /// Until when the account of `key` must not be used for `model`.
    fn unusable_until(&self, key: &Key, model: Option<ModelId>, now: Moment) -> Option<Moment> {
        self.accounts.get(&self.account_of(key))?.until(model, now)
    }

    /// Whether `key` comes last: the provider refuses it, or refuses it this model, or its account
    /// has no credit.
    fn refused(&self, key: &Key, model: Option<ModelId>, now: Moment) -> bool {
        let account = self.accounts.get(&self.account_of(key));
        account.is_some_and(|account| account.without_credit(now).is_some())
            || self.keys.get(&key.id).is_some_and(|state| {
                let mut lacked = state
                    .lacks
                    .iter()
                    .filter(|(known, _)| Some(*known) == model);
                state.refused.is_in_force(now) || lacked.any(|(_, lacks)| lacks.is_in_force(now))
            })
    }

    fn soonest(&self, asked: &Asked<'_>, now: Moment) -> Option<Moment> {
        let keys = asked.pool.keys.iter();
        keys.filter_map(|key| self.unusable_until(key, asked.model, now))
            .min()
    }

    /// Whether more load on the account would soon be refused.
    pub(super) fn is_near_limit(
        &self,
        account: AccountId,
        model: Option<ModelId>,
        now: Moment,
    ) -> bool {
        self.accounts
            .get(&account)
            .is_some_and(|account| account.is_near_limit(model, now))
    }
}
