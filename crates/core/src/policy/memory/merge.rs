//! Taking over what another process learns that ends beside this one, while this one serves already.
//!
//! What is known better here stays: what was used later, a cooldown that ends later, what a key has
//! shown since it served here. So rows may come in any order, and again. Where they do not say of when
//! they are (keys, gone objects, what an account bears), the last one counts, until something is known
//! here. What rows change is marked, as if it had been learned here, so that it is written down and
//! handed on.

use super::Memory;
use crate::moment::Moment;
use crate::policy::account::Account;
use crate::policy::cooldown::Refused;
use crate::policy::sessions::Home;
use crate::policy::{KeyState, MODELS_LACKED, Policy};

impl Policy {
    /// Takes over what another process has learned, without forgetting what is known better here.
    pub fn merge(&mut self, memory: Memory, now: Moment) {
        for row in memory.owners {
            let owner = self.canonical(row.owner);
            if self.canonical(row.account) == row.account {
                self.turns_out(row.account, owner, now);
            }
        }
        for row in memory.accounts {
            let id = self.canonical(row.id);
            let known = Account::of_row(row);
            let account = self.accounts.entry(id).or_default();
            if account.join(known, now) {
                self.changes.accounts.mark(&mut account.is_marked, id);
            }
        }
        for row in memory.keys {
            let id = row.id;
            let known = KeyState::of_row(row);
            let state = self.keys.entry(id).or_default();
            if state.join(known) {
                self.changes.keys.mark(&mut state.is_marked, id);
            }
        }
        self.objects.join(memory.objects, now);
        for row in memory.sessions {
            let (id, home) = (row.id, Home::of_row(row, now));
            self.sessions.join(id, home, now);
        }
        self.lineage.join(memory.threads, now);
        self.shared_ids.join(memory.shared, now);
        self.answers.join(memory.answers, now);
    }
}

impl KeyState {
    /// Whether anything is new in what another process knows.
    fn join(&mut self, other: Self) -> bool {
        if self.requests == 0 {
            // Nothing is known here but what another process has told, earlier.
            let is_marked = self.is_marked;
            *self = Self { is_marked, ..other };
            return true;
        }
        // It has shown here what it can do, and shows it again with its next request.
        if self.requests > self.errors + u64::from(self.in_flight) {
            return false;
        }
        let mut is_new = self.refused.join(other.refused);
        if is_new || (self.trouble.is_none() && other.trouble.is_some()) {
            self.trouble = other.trouble;
            is_new = true;
        }
        for (model, refused) in other.lacks {
            if let Some((_, known)) = self.lacks.iter_mut().find(|(known, _)| *known == model) {
                is_new |= known.join(refused);
            } else if self.lacks.len() < MODELS_LACKED {
                self.lacks.push((model, refused));
                is_new = true;
            }
        }
        is_new
    }
}

impl Refused {
    /// The one that lasts longer; whether that is the other one.
    pub(in crate::policy) fn join(&mut self, other: Self) -> bool {
        let is_longer = other.row() > self.row();
        if is_longer {
            *self = other;
        }
        is_longer
    }
}
