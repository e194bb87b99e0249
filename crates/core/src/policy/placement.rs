//! Where a session that has no home begins.

use super::candidate::{Candidate, Score};
use super::choice::Case;
use super::{Policy, Session};
use crate::plan::{AccountId, Key};

/// What a token that need not be read again is worth in tokens of load: an account may be ahead
/// by so much for a prefix that is warm there. Chosen with `crates/sim`: at 8 a trace lost 1.5 % of
/// what one account would cache, at 64 it loses 0.4 % and the accounts still differ by less than 1 %.
const WORTH_OF_LOAD: f64 = 64.0;
/// Fewer tokens in common than this are no reason to begin somewhere: nothing so short is cached by
/// itself, and "continue" is said to many.
const SHARED_AT_LEAST: u64 = 256;
/// Loads that differ by no more tokens than this, or than three quarters of what the request has, are
/// equal: then the session's own order decides, the same in every instance. Less than all of the
/// request, or the second of two conversations would begin beside the first.
pub(super) const EQUAL_LOADS: u64 = 1_024;

impl Policy {
    /// For a session without a home: where its beginning is warm if that is worth the load, else
    /// where there is least to do.
    pub(super) fn best_place(
        &self,
        case: &Case<'_>,
        session: &Session,
        candidates: &[Candidate],
    ) -> Option<Candidate> {
        let pool = case.asked.pool;
        let drawn_to = case.home.map(|home| home.account);
        let rank = |candidate: &Candidate| {
            (
                candidate.refused,
                candidate.ailing,
                candidate.ready.since(case.now),
                drawn_to != Some(candidate.account),
                candidate.near_limit,
                self.paced(candidate.account, case.now),
                candidate.may_be_the_same,
            )
        };
        let first = candidates.iter().map(rank).min()?;
        let mut best: Vec<Candidate> = candidates
            .iter()
            .filter(|candidate| rank(candidate) == first)
            .copied()
            .collect();
        let mut values = Vec::with_capacity(best.len());
        let model = case.asked.model;
        let limits = best.iter().map(|candidate| {
            let state = self.accounts.get(&candidate.account)?;
            state.token_limit(model, case.now)
        });
        let largest = limits.flatten().max();
        for candidate in &mut best {
            let key = &pool.keys[candidate.at];
            let state = self.accounts.get(&candidate.account);
            let load = state.map_or(0.0, |state| state.load.tokens(case.now));
            let limit = state.and_then(|state| state.token_limit(model, case.now));
            let share = match (limit, largest) {
                (Some(limit), Some(largest)) => limit as f64 / largest.max(1) as f64,
                _ => 1.0,
            };
            let saved = self.shared_prefix(case, session, candidate.account, key);
            candidate.warm = u32::try_from(saved).unwrap_or(u32::MAX);
            candidate.score = Score::of(session.id, key.id, key.weight);
            let pressure = load / (f64::from(key.weight) * share.max(f64::EPSILON));
            values.push(saved as f64 * WORTH_OF_LOAD - pressure);
        }
        let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let equal = (case.tokens * 3 / 4).max(EQUAL_LOADS) as f64;
        let near_ties = best.iter().zip(&values);
        near_ties
            .filter(|(_, value)| **value >= most - equal)
            .map(|(candidate, _)| *candidate)
            .max_by_key(|candidate| (candidate.warm, candidate.score))
    }

    /// Tokens of a new session's prompt that are likely to be in the account's cache already,
    /// because another session put them there.
    fn shared_prefix(
        &self,
        case: &Case<'_>,
        session: &Session,
        account: AccountId,
        key: &Key,
    ) -> u64 {
        let Some(like) = session.like else {
            return 0;
        };
        let known = like.sessions.into_iter().flatten();
        let homes = known.filter_map(|like| self.sessions.peek(like, case.now));
        let warm = homes.map(|home| {
            let home = self.current(home);
            let shared = Case {
                tokens: home.estimate(u64::from(like.bytes)),
                ..*case
            };
            self.warmth(&shared, &home, account, key).0
        });
        let most = warm.max().unwrap_or(0);
        if like.is_parent || most >= SHARED_AT_LEAST {
            most
        } else {
            0
        }
    }
}

#[cfg(test)]
mod tests;
