//! What of the policy outlives the process: what has changed since it was last asked for, as plain
//! rows, and the way back.
//!
//! Marking a change is a flag and a number in a queue, so that it costs a request next to nothing;
//! rows are made when they are taken, a bounded number at a time.

mod merge;
mod recognised;

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::sessions::Home;
use super::warmth::Places;
use super::{ObjectRow, Policy};
use crate::fact::{ModelId, SessionId};
use crate::headroom::Bucket;
use crate::moment::Moment;
use crate::plan::{AccountId, KeyId};
use crate::verdict::Matter;

pub use recognised::{AnswerRow, LinkRow, SharedRow, ThreadRow};

/// Changed accounts or keys that are kept until they are taken. A configuration has fewer.
const MOST_CHANGED: usize = 65_536;
/// The rule that is named for what kept a key from serving before the restart: rules are words of
/// the program, and these are another run's.
pub(super) const BEFORE: &str = "noted before the restart";

/// Rows about what has changed, or about everything. Each stands for itself and replaces an older
/// one about the same; names are hashes, and nothing in it is a text. They go to the store, and to a
/// process that takes over, which may be of another version: what it does not know, it passes over.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// Where sessions live, in the order of their use.
    pub sessions: Vec<SessionRow>,
    /// How accounts are.
    pub accounts: Vec<AccountRow>,
    /// How keys are.
    pub keys: Vec<KeyRow>,
    /// What accounts that were known only by their key have turned out to be.
    pub owners: Vec<OwnerRow>,
    /// Which account has which object, in the order of their use.
    pub objects: Vec<ObjectRow>,
    /// What sessions are recognised by.
    pub threads: Vec<ThreadRow>,
    /// Ids that several conversations may share, in the order of their use.
    pub shared: Vec<SharedRow>,
    /// Which session which answer belongs to, the oldest first.
    pub answers: Vec<AnswerRow>,
}

impl Memory {
    /// How many rows there are.
    pub const fn len(&self) -> usize {
        let few = self.accounts.len() + self.keys.len() + self.owners.len();
        let recognised = self.threads.len() + self.shared.len() + self.answers.len();
        few + self.sessions.len() + self.objects.len() + recognised
    }

    /// Whether there is nothing.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts the rows of `other`, which are newer, behind these.
    pub fn append(&mut self, mut other: Self) {
        self.sessions.append(&mut other.sessions);
        self.accounts.append(&mut other.accounts);
        self.keys.append(&mut other.keys);
        self.owners.append(&mut other.owners);
        self.objects.append(&mut other.objects);
        self.threads.append(&mut other.threads);
        self.shared.append(&mut other.shared);
        self.answers.append(&mut other.answers);
    }
}

/// A session's home, and where its prefix is warm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRow {
    /// Which one.
    pub id: SessionId,
    /// Where it lives.
    pub account: AccountId,
    /// Whether that account has ever served it.
    pub served: bool,
    /// When it was last used.
    pub used: Moment,
    /// Bytes of its last body and the tokens they came to; 0 if nobody counted them.
    pub bytes: u32,
    /// See `bytes`.
    pub tokens: u32,
    /// Where its prefix was read.
    pub places: [Option<PlaceRow>; SessionRow::PLACES],
}

impl SessionRow {
    /// How many places a session has.
    pub const PLACES: usize = 3;
}

/// An account's copy of a session's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaceRow {
    /// The account.
    pub account: AccountId,
    /// The model, as a part of its hash; 0 for none.
    pub model: u32,
    /// How many tokens.
    pub tokens: u32,
    /// When they were last read.
    pub at: Moment,
}

/// An account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccountRow {
    /// Which one.
    pub id: AccountId,
    /// How long it comes last because it has no credit, and how often that has happened in a row.
    pub credit: (Moment, u32),
    /// Whether its limits come back all at once.
    pub all_at_once: bool,
    /// How many requests it takes at once, as far as that has been learned.
    pub at_once: Option<f32>,
    /// How many at once it last refused, and when.
    pub refused_at_once: Option<(f32, Moment)>,
    /// The usual time to the first byte of its answers, in milliseconds.
    pub first_byte: Option<f32>,
    /// Tokens of late, and when that was counted.
    pub recent: (f64, Moment),
    /// Its cooldowns.
    pub cooldowns: Vec<CooldownRow>,
    /// What its provider says is left of its limits.
    pub limits: Vec<LimitRow>,
    /// How long its caches have kept prefixes.
    pub lifetimes: Vec<LifetimeRow>,
}

/// A cooldown of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CooldownRow {
    /// For which model; `None` for all of them.
    pub model: Option<ModelId>,
    /// Until when it must not be used; may have passed.
    pub until: Moment,
    /// When the last cooldown ended or ends.
    pub last_until: Option<Moment>,
    /// Throttles in a row.
    pub streak: u32,
    /// What it was throttled for.
    pub why: Option<Matter>,
    /// While it recovers: how many requests may be out at once.
    pub recovers_with: Option<u32>,
}

/// A limit of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitRow {
    /// For which model; `None` for all of them.
    pub model: Option<ModelId>,
    /// As it was stated.
    pub bucket: Bucket,
    /// When.
    pub at: Moment,
    /// Requests that have begun since.
    pub requests: u64,
    /// Tokens of those.
    pub tokens: u64,
}

/// How often an account's cache still had a model's prefix, by age classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LifetimeRow {
    /// The model.
    pub model: Option<ModelId>,
    /// How often it had.
    pub hits: [u8; LifetimeRow::CLASSES],
    /// How often it had not.
    pub misses: [u8; LifetimeRow::CLASSES],
}

impl LifetimeRow {
    /// How many age classes there are. A file with other ones is of another version.
    pub const CLASSES: usize = 8;
}

/// A key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRow {
    /// Which one.
    pub id: KeyId,
    /// How long it comes last because it was refused, and how often in a row.
    pub refused: (Moment, u32),
    /// What kept it from serving last.
    pub trouble: Option<Matter>,
    /// What it is owed among requests without a session.
    pub turn: i64,
    /// Whether a person has taken it out of use.
    pub disabled: bool,
    /// Models that it lacks: how long it comes last for them, and how often in a row.
    pub lacks: Vec<(ModelId, Moment, u32)>,
}

/// What an account that was known only by its key has turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnerRow {
    /// The account as its key names it.
    pub account: AccountId,
    /// What it is.
    pub owner: AccountId,
}

/// What has changed and was not taken yet, each once, in order.
#[derive(Debug)]
pub(super) struct Changed<K> {
    queue: VecDeque<K>,
    most: usize,
    is_on: bool,
}

impl<K> Changed<K> {
    /// At most `most` are kept; what comes then is noted when it changes again.
    pub(super) const fn new(most: usize) -> Self {
        Self {
            queue: VecDeque::new(),
            most,
            is_on: false,
        }
    }

    /// From now on somebody takes them.
    pub(super) const fn turn_on(&mut self) {
        self.is_on = true;
    }

    /// `id` has changed; `is_marked` is kept with it.
    pub(super) fn mark(&mut self, is_marked: &mut bool, id: K) {
        if self.is_on && !*is_marked && self.queue.len() < self.most {
            *is_marked = true;
            self.queue.push_back(id);
        }
    }

    /// Another bound from now on.
    pub(super) const fn resize(&mut self, most: usize) {
        self.most = most;
    }

    fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn take(&mut self) -> Option<K> {
        self.queue.pop_front()
    }
}

/// What has changed of accounts and keys; sessions keep that themselves.
#[derive(Debug)]
pub(super) struct Changes {
    pub(super) accounts: Changed<AccountId>,
    pub(super) keys: Changed<KeyId>,
    pub(super) owners: Changed<AccountId>,
}

impl Default for Changes {
    fn default() -> Self {
        Self {
            accounts: Changed::new(MOST_CHANGED),
            keys: Changed::new(MOST_CHANGED),
            owners: Changed::new(MOST_CHANGED),
        }
    }
}

impl Policy {
    /// From now on, what changes is kept for [`Policy::changes`].
    pub const fn remember(&mut self) {
        self.sessions.changed.turn_on();
        self.changes.accounts.turn_on();
        self.changes.keys.turn_on();
        self.changes.owners.turn_on();
        self.objects.changed.turn_on();
        self.lineage.changed.turn_on();
        self.shared_ids.changed.turn_on();
        self.answers.changed.turn_on();
    }

    /// Everything counts as changed: what was written down is lost. Takes a while.
    pub fn forgotten(&mut self) {
        for (id, account) in &mut self.accounts {
            self.changes.accounts.mark(&mut account.is_marked, *id);
        }
        for (id, key) in &mut self.keys {
            self.changes.keys.mark(&mut key.is_marked, *id);
        }
        for account in self.owners.keys() {
            self.changes.owners.mark(&mut false, *account);
        }
        self.objects.mark_all();
        self.sessions.mark_all();
        self.lineage.mark_all();
        self.shared_ids.mark_all();
        self.answers.mark_all();
    }

    /// Whether there may be anything for [`Policy::changes`].
    pub fn has_changed(&self) -> bool {
        let few = [&self.changes.accounts, &self.changes.owners];
        let ids = [
            &self.sessions.changed,
            &self.lineage.changed,
            &self.shared_ids.changed,
        ];
        few.iter().any(|one| !one.is_empty())
            || ids.iter().any(|one| !one.is_empty())
            || !self.changes.keys.is_empty()
            || !self.objects.changed.is_empty()
            || !self.answers.changed.is_empty()
    }

    /// Takes at most `most` rows about what has changed since they were last taken. If there are so
    /// many, there may be more.
    pub fn changes(&mut self, most: usize) -> Memory {
        let mut rows = Memory::default();
        while rows.len() < most
            && let Some(account) = self.changes.owners.take()
        {
            if let Some(owner) = self.owners.get(&account).copied() {
                rows.owners.push(OwnerRow { account, owner });
            }
        }
        while rows.len() < most
            && let Some(id) = self.changes.accounts.take()
        {
            if let Some(state) = self.accounts.get_mut(&id)
                && std::mem::take(&mut state.is_marked)
            {
                rows.accounts.push(state.row(id));
            }
        }
        while rows.len() < most
            && let Some(id) = self.changes.keys.take()
        {
            if let Some(state) = self.keys.get_mut(&id)
                && std::mem::take(&mut state.is_marked)
            {
                rows.keys.push(KeyRow {
                    disabled: self.disabled.contains(&id),
                    ..state.row(id)
                });
            }
        }
        rows.objects = self.changed_objects(most - rows.len());
        while rows.len() < most
            && let Some(answer) = self.answers.changed.take()
        {
            rows.answers.extend(self.answers.unmarked_row(answer));
        }
        while rows.len() < most
            && let Some(id) = self.shared_ids.changed.take()
        {
            rows.shared.extend(self.shared_ids.unmarked_row(id));
        }
        while rows.len() < most
            && let Some(id) = self.lineage.changed.take()
        {
            rows.threads.extend(self.lineage.unmarked_row(id));
        }
        // Last, so that no session is ever known without the account that it lives on.
        while rows.len() < most
            && let Some(id) = self.sessions.changed.take()
        {
            rows.sessions.extend(self.sessions.unmarked_row(id));
        }
        rows
    }

    /// Takes over what another run of the program knew. What is known already wins nothing: restore
    /// before the first request.
    pub fn restore(&mut self, memory: Memory, now: Moment) {
        for row in memory.owners {
            self.owners.insert(row.account, row.owner);
        }
        for row in memory.accounts {
            // One that has turned out to be another has left its state to that.
            if self.canonical(row.id) == row.id {
                self.accounts.insert(row.id, super::Account::of_row(row));
            }
        }
        for row in memory.keys {
            if row.disabled && !self.disabled.contains(&row.id) {
                self.disabled.push(row.id);
            }
            self.keys.insert(row.id, super::KeyState::of_row(row));
        }
        self.restore_objects(memory.objects, now);
        for row in memory.sessions {
            let (id, home) = (row.id, Home::of_row(row, now));
            self.sessions.restore(id, home, now);
        }
        let sessions = &self.sessions;
        let used = |id| sessions.peek(id, now).map(|home| home.used);
        self.lineage.restore(memory.threads, used, now);
        self.shared_ids.restore(memory.shared, now);
        self.answers.restore(memory.answers, now);
    }
}

impl super::KeyState {
    fn row(&self, id: KeyId) -> KeyRow {
        let lacks = self.lacks.iter();
        KeyRow {
            id,
            refused: self.refused.row(),
            trouble: self.trouble.map(|(matter, _)| matter),
            turn: self.credit,
            disabled: false,
            lacks: lacks
                .map(|(model, refused)| {
                    let (until, streak) = refused.row();
                    (*model, until, streak)
                })
                .collect(),
        }
    }

    pub(super) fn of_row(row: KeyRow) -> Self {
        let lacks = row.lacks.into_iter().take(super::MODELS_LACKED);
        Self {
            refused: super::Refused::of_row(row.refused),
            trouble: row.trouble.map(|matter| (matter, BEFORE)),
            credit: row.turn,
            lacks: lacks
                .map(|(model, until, streak)| (model, super::Refused::of_row((until, streak))))
                .collect(),
            ..Self::default()
        }
    }
}

impl Home {
    pub(super) fn row(&self, id: SessionId) -> SessionRow {
        SessionRow {
            id,
            account: self.account,
            served: self.served,
            used: self.used,
            bytes: self.bytes,
            tokens: self.tokens,
            places: self.places.rows(),
        }
    }

    /// A clock that was put back must not keep a session for longer than its time.
    pub(super) fn of_row(row: SessionRow, now: Moment) -> Self {
        Self {
            account: row.account,
            served: row.served,
            is_marked: false,
            used: row.used.min(now),
            bytes: row.bytes,
            tokens: row.tokens,
            places: Places::of_rows(row.places, now),
        }
    }
}

#[cfg(test)]
mod tests;
