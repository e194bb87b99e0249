//! Which account a key belongs to: as configured, else as its provider's answers show.

use super::Policy;
use crate::moment::Moment;
use crate::plan::{AccountId, Key};

impl Policy {
    /// An answer to an attempt with `key` named the account behind it. What was configured is not
    /// overruled. From then on the key shares the throttles of every other key of that account.
    pub(super) fn identified(&mut self, key: &Key, owner: AccountId, now: Moment) {
        if !key.account_is_unknown() || self.account_of(key) == owner {
            return;
        }
        self.turns_out(key.account, owner, now);
    }

    /// An account that was known only by its key is `owner`.
    pub(super) fn turns_out(&mut self, account: AccountId, owner: AccountId, now: Moment) {
        if account == owner {
            return;
        }
        self.lead_to(account, owner);
        self.owners.insert(account, owner);
        self.changes.owners.mark(&mut false, account);
        // What was known of it alone; a former owner's state is the former owner's.
        if let Some(state) = self.accounts.remove(&account) {
            let known = self.accounts.entry(owner).or_default();
            known.merge(state, now);
            self.changes.accounts.mark(&mut known.is_marked, owner);
        }
        self.holds.rename(account, owner);
    }

    /// The account that `key` belongs to, as far as is known.
    pub(super) fn account_of(&self, key: &Key) -> AccountId {
        self.canonical(key.account)
    }

    /// What an account that was known only by its key has turned out to be.
    pub(super) fn canonical(&self, account: AccountId) -> AccountId {
        if self.owners.is_empty() {
            return account;
        }
        self.owners.get(&account).copied().unwrap_or(account)
    }
}

#[cfg(test)]
mod tests;
