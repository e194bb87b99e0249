//! Why a key was chosen, and how it relates to the session.

use super::Policy;
use super::candidate::Candidate;
use super::choice::{Case, LOST};
use super::placement::EQUAL_LOADS;
use super::reason::{Because, Blocked, Reason};
use super::sessions::Home;
use super::warmth::ModelTag;
use crate::fact::Affinity;
use crate::moment::Moment;
use crate::plan::{AccountId, Key};

impl Policy {
    /// Why, and how the key relates to the session.
    pub(super) fn explain(
        &self,
        case: &Case<'_>,
        candidates: &[Candidate],
        chosen: &Candidate,
    ) -> (Affinity, Reason) {
        let pool = case.asked.pool;
        let mut reason = Reason {
            warm: chosen.warm,
            of: u32::try_from(case.tokens).unwrap_or(u32::MAX),
            blocked: chosen.blocked,
            ..Reason::new(Because::Turn)
        };
        let is_bound = self.bound_to(case.asked, case.tries, case.now).is_some();
        if is_bound {
            reason.because = Because::Owner;
        }
        if case.asked.session.is_none() {
            return (Affinity::None, reason);
        }
        // Nothing is warm where nothing was served: a home that has refused is no home.
        let Some(home) = case.home.filter(|home| home.served) else {
            reason.because = if is_bound {
                Because::Owner
            } else if chosen.warm > 0 {
                Because::Prefix
            } else if candidates.len() > 1 && self.is_busy(candidates, case.now) {
                Because::LeastLoaded
            } else {
                Because::Idle
            };
            return (Affinity::New, reason);
        };
        if chosen.account == home.account {
            reason.because = Because::Home;
            return (Affinity::Home, reason);
        }
        if is_bound {
            // What follows will name the same objects.
            return (Affinity::Moved, reason);
        }
        let model = case.asked.model;
        let keys = pool.keys.iter();
        reason.home = keys
            .clone()
            .position(|key| self.account_of(key) == home.account);
        if !self.home_remains(pool, home.account, model, case.now) {
            let key = reason.home.and_then(|at| pool.keys.get(at));
            reason.because = match key {
                Some(key) if self.is_disabled(key.id) => Because::HomeDisabled,
                _ => Because::HomeGone,
            };
            return (Affinity::Moved, reason);
        }
        let state = self.accounts.get(&home.account);
        let ahead = |most| {
            self.holds
                .ahead((home.account, model), case.tries.ticket, most)
        };
        reason.blocked = state.and_then(|state| state.blocked(model, case.tokens, ahead, case.now));
        let key = reason.home.and_then(|at| pool.keys.get(at));
        // What this very request has met there says more than what is known otherwise.
        let met = key.and_then(|key| case.tries.met(key.id));
        reason.blocked = reason.blocked.or(met.map(|why| Blocked::Failed { why }));
        match (reason.blocked, key) {
            (Some(Blocked::Cooling { until, .. } | Blocked::Empty { until, .. }), Some(key))
                if self.is_lost(case, &home, key, until) =>
            {
                reason.because = Because::HomeParked;
                (Affinity::Moved, reason)
            }
            (None, Some(key))
                if !case.tries.has_tried(key.id) && !self.is_ailing(home.account, case.now) =>
            {
                reason.because = Because::HomeCold;
                (Affinity::Moved, reason)
            }
            _ => {
                reason.because = Because::HomeBlocked;
                (Affinity::Borrowed, reason)
            }
        }
    }

    /// Whether the home's copy of the session will most likely be gone at `then`.
    fn is_lost(&self, case: &Case<'_>, home: &Home, key: &Key, then: Moment) -> bool {
        let used = home
            .places
            .at(home.account, ModelTag::of(case.asked.model))
            .map_or(home.used, |warm| warm.at);
        let ttl = self
            .timing
            .cache_ttl
            .unwrap_or(key.target.provider().cache.ttl);
        let age = then.since(used);
        let caches = self.accounts.get(&home.account).map(|state| &state.caches);
        caches.is_some_and(|caches| caches.chance(case.asked.model, age, ttl) < LOST)
    }

    fn is_ailing(&self, account: AccountId, now: Moment) -> bool {
        let state = self.accounts.get(&account);
        state.is_some_and(|state| state.ailing.is_in_force(now))
    }

    fn is_busy(&self, candidates: &[Candidate], now: Moment) -> bool {
        candidates.iter().any(|candidate| {
            let state = self.accounts.get(&candidate.account);
            state.is_some_and(|state| state.load.tokens(now) > EQUAL_LOADS as f64)
        })
    }
}
