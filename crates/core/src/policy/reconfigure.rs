//! Another plan takes over: what is known of keys, accounts and sessions stays.

use super::Policy;
use crate::moment::Moment;
use crate::plan::{AccountId, Key, Plan};

impl Policy {
    /// Decides by `new` from now on, where `old` was in force. Sessions stay where they are; one whose
    /// account is gone finds another when it is used next.
    ///
    /// What is known of a key that is gone is kept: attempts with it may still run, and it may come back.
    pub fn reconfigure(&mut self, old: &Plan, new: &Plan, now: Moment) {
        let (most, ttl) = (new.limits.sessions, new.timing.session_ttl);
        self.sessions.resize(most, ttl);
        self.lineage.resize(most, ttl);
        self.shared_ids.resize(most, ttl);
        self.answers.resize(most, ttl);
        self.split_subagents = new.recognition.split_subagents;
        self.timing = new.timing.clone();
        self.pacing = new.pacing;
        for key in keys(new) {
            let before = keys(old).find(|known| known.id == key.id);
            let Some(before) = before.filter(|before| before.account != key.account) else {
                continue;
            };
            let was = self.account_of(before);
            if was == key.account {
                continue;
            }
            let mut others = keys(new).filter(|other| other.id != key.id);
            if others.any(|other| self.account_of(other) == was) {
                // Others keep the account, and with it what is known of it and who lives there.
                self.owners.remove(&key.account);
            } else {
                self.renamed(was, key.account, now);
            }
        }
    }

    /// An account is called otherwise from now on: what lives there still does.
    fn renamed(&mut self, from: AccountId, to: AccountId, now: Moment) {
        // It is a name again, whatever it was before.
        self.owners.remove(&to);
        self.lead_to(from, to);
        self.owners.insert(from, to);
        if let Some(state) = self.accounts.remove(&from) {
            match self.accounts.get_mut(&to) {
                Some(known) => known.merge(state, now),
                None => {
                    self.accounts.insert(to, state);
                }
            }
        }
        self.holds.rename(from, to);
    }

    /// Whatever turned out to be `from` is `to`: a name is followed one step only.
    pub(super) fn lead_to(&mut self, from: AccountId, to: AccountId) {
        for known in self.owners.values_mut().filter(|known| **known == from) {
            *known = to;
        }
    }
}

fn keys(plan: &Plan) -> impl Iterator<Item = &Key> {
    plan.pools().flat_map(|pool| &pool.keys)
}

#[cfg(test)]
mod tests;
