//! What a person does by hand: takes a key out of use, has its troubles forgotten, lets a session go.

use super::Policy;
use super::cooldown::Refused;
use crate::fact::SessionId;
use crate::moment::Moment;
use crate::plan::{KeyId, Plan};

impl Policy {
    /// Whether a person has taken the key out of use.
    pub fn is_disabled(&self, key: KeyId) -> bool {
        // One comparison in the usual case, since this is asked for every key of every request.
        !self.disabled.is_empty() && self.disabled.contains(&key)
    }

    /// No request is given to the key any more, whatever happens to the others, until this is undone.
    /// What runs with it goes on.
    pub fn disable(&mut self, key: KeyId, disabled: bool) {
        if self.is_disabled(key) == disabled {
            return;
        }
        if disabled {
            self.disabled.push(key);
        } else {
            self.disabled.retain(|known| *known != key);
        }
        let state = self.keys.entry(key).or_default();
        self.changes.keys.mark(&mut state.is_marked, key);
    }

    /// The key and its account are as if they had never refused anything, and nothing is known of
    /// what is left of their limits. Whether the plan has such a key.
    pub fn forget(&mut self, plan: &Plan, key: KeyId) -> bool {
        let mut keys = plan.pools().flat_map(|pool| &pool.keys);
        let Some(account) = keys
            .find(|known| known.id == key)
            .map(|known| self.account_of(known))
        else {
            return false;
        };
        let of_account = plan.pools().flat_map(|pool| &pool.keys);
        let of_account: Vec<KeyId> = of_account
            .filter(|known| self.account_of(known) == account)
            .map(|known| known.id)
            .collect();
        if let Some(state) = self.accounts.get_mut(&account) {
            state.forget();
            self.changes.accounts.mark(&mut state.is_marked, account);
        }
        for id in of_account {
            if let Some(state) = self.keys.get_mut(&id) {
                state.refused = Refused::default();
                state.lacks.clear();
                state.trouble = None;
                self.changes.keys.mark(&mut state.is_marked, id);
            }
        }
        true
    }

    /// The session has no home any more: its next request is placed as a new one's. Whether it had
    /// one.
    pub fn unpin(&mut self, session: SessionId, now: Moment) -> bool {
        if self.sessions.peek(session, now).is_none() {
            return false;
        }
        self.sessions.unpin(session);
        true
    }
}

#[cfg(test)]
mod tests;
