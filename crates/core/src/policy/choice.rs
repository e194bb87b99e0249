//! Which key serves a request now, or what it waits for.
//!
//! A known session is served where that is expected to cost least: every token of its prompt that
//! must be read again costs, and so does every second that it waits. A new one goes where its
//! beginning is warm if that is worth the load, else where there is least to do.

use std::time::Duration;

use super::breaker::Capacity;
use super::candidate::{Candidate, Score};
use super::reason::{Because, Blocked, Reason};
use super::sessions::{Home, estimate};
use super::tries::Tries;
use super::warmth::ModelTag;
use super::{Asked, Choice, Policy, Session};
use crate::fact::{Affinity, ModelId};
use crate::moment::Moment;
use crate::plan::{AccountId, Key, Pool};

/// How many tokens are read again rather than wait a second longer: about what providers read per
/// second, so that neither way is slower, and 100 000 tokens are worth 20 s.
const TOKENS_PER_SECOND: u64 = 5_000;
/// What it counts as, in tokens, that an account is near a limit: more than most small conversations
/// are worth.
const NEAR_LIMIT: i64 = 10_000;
/// A home that can serve is left only for at least so many tokens …
const STAYS_FOR: u64 = 1_024;
/// … and only if a prompt's share of this (1 in 2) can be saved: what it has lost by one loan is
/// no reason to give up its place.
const STAYS_FOR_SHARE: u64 = 2;
/// A cache is lost when the chance that it is still there is below this.
pub(super) const LOST: f32 = 0.5;
/// The time to the first byte of an answer when nothing has been measured: what a prompt of some
/// ten thousand tokens takes.
const FIRST_BYTE: Duration = Duration::from_secs(5);
/// When a request that waits for a free slot asks again by itself: it is told earlier.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// What a choice comes to before anything is changed.
pub(super) enum Decision {
    Use {
        at: usize,
        affinity: Affinity,
        reason: Reason,
    },
    Hold {
        at: usize,
        until: Moment,
        reason: Reason,
    },
    Exhausted,
}

/// What the choice is about, besides what is asked.
#[derive(Clone, Copy)]
pub(super) struct Case<'a> {
    pub(super) asked: &'a Asked<'a>,
    pub(super) tries: &'a Tries,
    pub(super) home: Option<Home>,
    pub(super) tokens: u64,
    pub(super) now: Moment,
}

impl Policy {
    /// Which key of the pool serves a request next, given what it has tried.
    ///
    /// Nothing cools that is used. Keys the provider refuses come last, but they come: if nothing
    /// else is left, its own answer is the best there is.
    pub fn choose(&mut self, asked: &Asked<'_>, tries: &mut Tries, now: Moment) -> Choice {
        let home = asked
            .session
            .and_then(|session| self.sessions.home(session.id, now));
        let (decision, candidates) = self.decide(asked, tries, home, now);
        match decision {
            Decision::Use { at, affinity, .. } => {
                self.stop_waiting(tries);
                if tries.is_first() {
                    self.budget.request(now);
                }
                let account = self.account_of(&asked.pool.keys[at]);
                match asked.session {
                    Some(session) if home.is_none() => {
                        self.sessions.settle(session.id, account, now);
                    }
                    None if affinity == Affinity::None => {
                        self.take_turn(asked.pool, &candidates, at, now)
                    }
                    _ => {}
                }
            }
            Decision::Hold { at, .. } => {
                let account = self.account_of(&asked.pool.keys[at]);
                self.wait(tries, (account, asked.model));
            }
            Decision::Exhausted => self.stop_waiting(tries),
        }
        self.said(decision, asked, tries, now)
    }

    /// What [`Policy::choose`] would say to the first attempt; changes nothing.
    pub fn preview(&self, asked: &Asked<'_>, now: Moment) -> Choice {
        let home = asked
            .session
            .and_then(|session| self.sessions.peek(session.id, now));
        let tries = Tries::new(now);
        let (decision, _) = self.decide(asked, &tries, home, now);
        self.said(decision, asked, &tries, now)
    }

    fn said(&self, decision: Decision, asked: &Asked<'_>, tries: &Tries, now: Moment) -> Choice {
        match decision {
            Decision::Use {
                at,
                affinity,
                reason,
            } => Choice::Use {
                key: at,
                affinity,
                reason,
            },
            Decision::Hold { at, until, reason } => Choice::Hold {
                key: at,
                until,
                reason,
            },
            Decision::Exhausted => Choice::Exhausted {
                soonest: self.soonest(asked, tries, now),
            },
        }
    }

    /// What comes of it, and the keys that could have served; none of those in the usual case.
    fn decide(
        &self,
        asked: &Asked<'_>,
        tries: &Tries,
        home: Option<Home>,
        now: Moment,
    ) -> (Decision, Vec<Candidate>) {
        let home = home.map(|home| self.current(home));
        let tokens = home.map_or_else(|| estimate(asked.bytes), |home| home.estimate(asked.bytes));
        let case = Case {
            asked,
            tries,
            home,
            tokens,
            now,
        };
        if let Some(decision) = self.at_home(&case) {
            return (decision, Vec::new());
        }
        let candidates = self.candidates(&case);
        let chosen = match (asked.session, home) {
            (None, _) => self.whose_turn(&case, &candidates),
            (Some(session), Some(home)) if home.served => {
                self.cheapest(&case, session, home, &candidates)
            }
            (Some(session), _) => self.best_place(&case, session, &candidates),
        };
        let Some(chosen) = chosen else {
            return (Decision::Exhausted, candidates);
        };
        let (affinity, reason) = self.explain(&case, &candidates, &chosen);
        let (at, until) = (chosen.at, chosen.ready);
        if chosen.ready > now {
            return (Decision::Hold { at, until, reason }, candidates);
        }
        let used = Decision::Use {
            at,
            affinity,
            reason,
        };
        (used, candidates)
    }

    /// The usual case, in which no other account need be looked at: a session's home can serve, and
    /// so much of it is warm there that no other could cost less.
    fn at_home(&self, case: &Case<'_>) -> Option<Decision> {
        let Case {
            asked, tries, now, ..
        } = *case;
        let session = asked.session?;
        let home = case.home.filter(|home| home.served)?;
        if !tries.is_first() || tries.waits_at.is_some() || !self.breakers.is_quiet() {
            return None;
        }
        let bound = self.bound_to(asked, tries, now);
        if bound.is_some_and(|account| account != home.account) {
            return None;
        }
        let state = self.accounts.get(&home.account)?;
        if state.ailing.is_in_force(now) {
            return None;
        }
        let ahead = |most| self.holds.ahead((home.account, asked.model), None, most);
        if state
            .blocked(asked.model, case.tokens, ahead, now)
            .is_some()
        {
            return None;
        }
        let keys = asked.pool.keys.iter().enumerate();
        let of_home = keys.filter(|(_, key)| self.account_of(key) == home.account);
        let (at, key) = of_home
            .filter(|(_, key)| !self.is_disabled(key.id) && !self.refused(key, asked.model, now))
            .max_by_key(|(_, key)| Score::of(session.id, key.id, key.weight))?;
        let (warm, chance) = self.warmth(case, &home, home.account, key);
        let cold = case.tokens.saturating_sub(warm);
        if chance < LOST || cold >= STAYS_FOR.max(case.tokens / STAYS_FOR_SHARE) {
            return None;
        }
        let reason = Reason {
            warm: u32::try_from(warm).unwrap_or(u32::MAX),
            of: u32::try_from(case.tokens).unwrap_or(u32::MAX),
            ..Reason::new(Because::Home)
        };
        Some(Decision::Use {
            at,
            affinity: Affinity::Home,
            reason,
        })
    }

    /// The keys that may serve the request now, or soon enough for its client.
    pub(super) fn candidates(&self, case: &Case<'_>) -> Vec<Candidate> {
        let Case {
            asked, tries, now, ..
        } = *case;
        let may_hold = tries.waits_at.is_some() || self.holds.has_room();
        let bound = self.bound_to(asked, tries, now);
        let keys = asked.pool.keys.iter().enumerate();
        keys.filter_map(|(at, key)| {
            let account = self.account_of(key);
            if bound.is_some_and(|only| only != account) || self.is_disabled(key.id) {
                return None;
            }
            let asked_again = tries.may_ask(key.id, account, self.is_unknown(key))?;
            let state = self.accounts.get(&account);
            let ahead = |most| self.holds.ahead((account, asked.model), tries.ticket, most);
            let mut blocked =
                state.and_then(|state| state.blocked(asked.model, case.tokens, ahead, now));
            let mut ready = match blocked {
                None => now,
                Some(
                    Blocked::Cooling { until, .. }
                    | Blocked::Empty { until, .. }
                    | Blocked::Short { until },
                ) => until,
                Some(_) => now.after(ASK_AGAIN),
            };
            if asked_again > ready.max(now) {
                ready = asked_again;
                blocked.get_or_insert(Blocked::Cooling {
                    until: asked_again,
                    why: None,
                });
            }
            let first_byte = state.and_then(|state| state.load.first_byte());
            let patience = asked
                .patience
                .saturating_sub(first_byte.unwrap_or(FIRST_BYTE))
                .min(self.timing.max_wait);
            let deadline = tries.began().after(patience);
            if let Some(until) = self.overloaded_until(case, key, deadline) {
                ready = ready.max(until);
                blocked.get_or_insert(Blocked::Overloaded { until });
            }
            if ready > now && (!may_hold || ready > deadline) {
                // That its tokens do not fit is only an estimate: the provider knows, and is asked
                // once. Not by all that find no room to wait, or it would hear nothing else.
                let is_estimate = matches!(blocked, Some(Blocked::Short { .. }));
                if !is_estimate || !may_hold || tries.has_tried(key.id) {
                    return None;
                }
                ready = now;
            }
            let near_limit = state.is_some_and(|state| state.is_near_limit(asked.model, now));
            Some(Candidate {
                at,
                account,
                refused: self.refused(key, asked.model, now),
                ailing: state.is_some_and(|state| state.ailing.is_in_force(now)),
                near_limit,
                has_little_left: near_limit
                    && state.is_some_and(|state| state.has_little_left(asked.model, now)),
                may_be_the_same: !tries.is_first()
                    && !tries.has_tried(key.id)
                    && !self.is_elsewhere(asked.pool, key, tries),
                blocked,
                ready,
                warm: 0,
                score: Score::default(),
            })
        })
        .collect()
    }

    /// Until when a model without capacity is left alone, if that is soon enough for the client:
    /// else its provider's own answer is the best there is.
    fn overloaded_until(&self, case: &Case<'_>, key: &Key, deadline: Moment) -> Option<Moment> {
        if self.breakers.is_quiet() || !case.tries.is_first() {
            return None;
        }
        let capacity = Capacity::of(key.target.host(), case.asked.model);
        let open = self.breakers.open_until(capacity, case.now);
        let probed = || {
            let probed = self.breakers.is_probed(capacity, case.now);
            probed.then(|| case.now.after(ASK_AGAIN))
        };
        open.or_else(probed).filter(|until| *until <= deadline)
    }

    /// For a session that has a home: where it costs least.
    fn cheapest(
        &self,
        case: &Case<'_>,
        session: &Session,
        home: Home,
        candidates: &[Candidate],
    ) -> Option<Candidate> {
        let stays_for = STAYS_FOR.max(case.tokens / STAYS_FOR_SHARE);
        let costed = candidates.iter().map(|candidate| {
            let key = &case.asked.pool.keys[candidate.at];
            let is_home = candidate.account == home.account;
            let (warm, chance) = self.warmth(case, &home, candidate.account, key);
            let wait = candidate.ready.since(case.now).as_millis();
            let wait = u64::try_from(wait).unwrap_or(u64::MAX);
            let again = case.tokens.saturating_sub(warm);
            let mut cost = i64::try_from(again).unwrap_or(i64::MAX);
            cost = cost.saturating_add_unsigned(wait.saturating_mul(TOKENS_PER_SECOND) / 1000);
            // A home that has forgotten the session and has no room is like any other account.
            let keeps = chance >= LOST || !candidate.near_limit;
            if is_home && candidate.blocked.is_none() && keeps {
                cost = cost.saturating_sub_unsigned(stays_for);
            }
            if !is_home && candidate.near_limit {
                cost = cost.saturating_add(NEAR_LIMIT);
            }
            let warm = u32::try_from(warm).unwrap_or(u32::MAX);
            let score = Score::of(session.id, key.id, key.weight);
            let candidate = Candidate {
                warm,
                score,
                ..*candidate
            };
            let rank = (
                candidate.refused,
                candidate.ailing,
                cost,
                candidate.may_be_the_same,
            );
            (rank, candidate)
        });
        let best = costed.min_by(|(one, first), (other, second)| {
            one.cmp(other).then(second.score.cmp(&first.score))
        });
        best.map(|(_, candidate)| candidate)
    }

    /// Tokens of the prompt that are likely to be read from the account's cache, and the chance that
    /// they are.
    pub(super) fn warmth(
        &self,
        case: &Case<'_>,
        home: &Home,
        account: AccountId,
        key: &Key,
    ) -> (u64, f32) {
        let model = ModelTag::of(case.asked.model);
        let Some(warm) = home.places.at(account, model) else {
            return (0, 0.0);
        };
        let cache = key.target.provider().cache;
        let ttl = self.timing.cache_ttl.unwrap_or(cache.ttl);
        let age = case.now.since(warm.at);
        let chance = match self.accounts.get(&account) {
            Some(state) => state.caches.chance(case.asked.model, age, ttl),
            None => 0.0,
        };
        // Of a new session the system prompt and the tools come on top of what is shared.
        let is_shared = case.home.is_none_or(|home| !home.served);
        let minimum = u64::from(cache.minimum_tokens);
        if !is_shared && u64::from(warm.tokens).min(case.tokens) < minimum {
            return (0, chance);
        }
        let tokens = u64::from(warm.tokens).min(case.tokens);
        ((tokens as f64 * f64::from(chance)) as u64, chance)
    }

    /// Whether a home account is still there and only cannot serve right now.
    pub(super) fn home_remains(
        &self,
        pool: &Pool,
        account: AccountId,
        model: Option<ModelId>,
        now: Moment,
    ) -> bool {
        let mut keys = pool.keys.iter();
        keys.any(|key| {
            let is_of_it = self.account_of(key) == account;
            is_of_it && !self.is_disabled(key.id) && !self.refused(key, model, now)
        })
    }

    /// When the first of the keys that cannot serve now can.
    fn soonest(&self, asked: &Asked<'_>, tries: &Tries, now: Moment) -> Option<Moment> {
        let bound = self.bound_to(asked, tries, now);
        let keys = asked.pool.keys.iter();
        let blocked = keys.filter_map(|key| {
            let account = self.account_of(key);
            if bound.is_some_and(|only| only != account) || self.is_disabled(key.id) {
                return None;
            }
            let ahead = |most| self.holds.ahead((account, asked.model), None, most);
            let state = self.accounts.get(&account)?;
            match state.blocked(asked.model, 0, ahead, now)? {
                Blocked::Cooling { until, .. } | Blocked::Empty { until, .. } => Some(until),
                _ => Some(now.after(ASK_AGAIN)),
            }
        });
        blocked.min()
    }
}

#[cfg(test)]
mod tests;
