//! A key that may serve a request, and what is known about that; and by which key may be tried.

use super::Policy;
use super::reason::Blocked;
use super::rendezvous;
use super::tries::Tries;
use crate::fact::ModelId;
use crate::moment::Moment;
use crate::plan::{AccountId, Key, Pool};

pub(super) use rendezvous::Score;

/// A key that may serve.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    /// Index into [`Pool::keys`].
    pub(super) at: usize,
    pub(super) account: AccountId,
    /// Whether it comes last.
    pub(super) refused: bool,
    /// Whether others come first, because its requests fail.
    pub(super) ailing: bool,
    /// Whether more load would soon be refused.
    pub(super) near_limit: bool,
    /// Whether that is because its provider says that little is left.
    pub(super) has_little_left: bool,
    /// Whether it may belong to an account that has refused this request.
    pub(super) may_be_the_same: bool,
    /// What keeps it from serving now …
    pub(super) blocked: Option<Blocked>,
    /// … and until when; now, if nothing does.
    pub(super) ready: Moment,
    /// Tokens that are likely to come from its cache.
    pub(super) warm: u32,
    /// How strongly the session is drawn to it.
    pub(super) score: Score,
}

impl Policy {
    /// Whether nobody knows whose account `key` belongs to.
    pub(super) fn is_unknown(&self, key: &Key) -> bool {
        key.account_is_unknown() && self.account_of(key) == key.account
    }

    /// Whether `key` is known to belong to another account than all that were tried: what refused
    /// those says nothing about it. Of keys whose account nobody knows it may be the same one.
    pub(super) fn is_elsewhere(&self, pool: &Pool, key: &Key, tries: &Tries) -> bool {
        if self.is_unknown(key) {
            return tries.is_first();
        }
        let account = self.account_of(key);
        let mut others = pool.keys.iter().filter(|other| tries.has_tried(other.id));
        others.all(|other| !self.is_unknown(other) && self.account_of(other) != account)
    }

    /// Whether `key` comes last: the provider refuses it, or refuses it this model, or its account
    /// has no credit.
    pub(super) fn refused(&self, key: &Key, model: Option<ModelId>, now: Moment) -> bool {
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

    /// How an account comes in the order of pacing, the first one first: one that has only its
    /// reserve left last, and of the others, if quotas are drained, the one whose window is over
    /// first. All the same where pacing is off.
    pub(super) fn paced(&self, account: AccountId, now: Moment) -> (bool, Moment) {
        let pacing = &self.pacing;
        let equal = (false, Moment::default());
        let Some(state) = self.accounts.get(&account).filter(|_| pacing.is_on()) else {
            return equal;
        };
        let reserved = state
            .window_left(now)
            .is_some_and(|left| left <= u64::from(pacing.reserve));
        if !pacing.drain {
            return (reserved, Moment::default());
        }
        let never = Moment::from_unix_millis(u64::MAX);
        let ends = state.window(now).map_or(never, |(_, ends)| ends);
        (reserved, ends)
    }
}
