//! Which account has which object: learned from answers, so that a request that names one goes to
//! the account that can serve it, and to no other.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use lru::LruCache;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::hashed::AsIsBuilder;
use super::memory::Changed;
use super::{Asked, Attempt, Policy, Tries};
use crate::conversation::AnswerId;
use crate::moment::Moment;
use crate::object::{Keeping, ObjectId, Reference, References};
use crate::plan::{AccountId, Key, Lists, Pool};
use crate::verdict::{Matter, Verdict};

/// Objects remembered that last until they are deleted, some 70 bytes each.
const MOST_STORED: usize = 100_000;
/// Responses and their items; a conversation names only its latest.
const MOST_ANSWERS: usize = 60_000;
/// Sealed things; of them, too, the latest of a conversation is enough.
const MOST_SEALED: usize = 40_000;
/// Nobody asks for a file after so long whom asking the accounts in turn would trouble.
const STORED_FOR: Duration = Duration::from_secs(180 * 24 * 3600);
/// OpenAI keeps responses for 30 days.
const ANSWERS_FOR: Duration = Duration::from_secs(30 * 24 * 3600);
/// Changes that are kept until they are taken: as many as there are objects.
const MOST_CHANGED: usize = MOST_STORED + MOST_ANSWERS + MOST_SEALED;

/// Which accounts the objects allow that a request names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bound {
    /// All.
    #[default]
    Free,
    /// Only this one: no other knows what it names.
    To(AccountId),
    /// This one, unless it will not serve at all: any other would answer something else, or refuse.
    Rather(AccountId),
    /// Whichever knows what it asks about, and nobody knows which that is.
    Sought,
}

/// An object as it is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectRow {
    /// The hash of its id and its pool.
    pub object: u64,
    /// Who keeps it.
    pub keeping: Keeping,
    /// The account that has it; `None` if it is gone.
    pub account: Option<AccountId>,
    /// When it was last heard of.
    pub used: Moment,
}

#[derive(Clone, Copy, Debug)]
struct Owned {
    account: AccountId,
    used: Moment,
    /// Whether it has changed since it was last remembered.
    is_marked: bool,
}

/// Objects of one kind: bounded, least recently used out first.
#[derive(Debug)]
struct Table {
    owned: LruCache<u64, Owned, AsIsBuilder>,
    ttl: Duration,
}

impl Table {
    fn new(most: usize, ttl: Duration) -> Self {
        let most = NonZeroUsize::new(most).unwrap_or(NonZeroUsize::MIN);
        // Unbounded to begin with, because a bounded one allocates for its bound at once.
        let mut owned = LruCache::unbounded_with_hasher(AsIsBuilder::default());
        owned.resize(most);
        Self { owned, ttl }
    }

    fn account(&self, object: u64, now: Moment) -> Option<AccountId> {
        let owned = self.owned.peek(&object)?;
        (now.since(owned.used) <= self.ttl).then_some(owned.account)
    }
}

/// The tables.
#[derive(Debug)]
pub(super) struct Owners {
    stored: Table,
    answers: Table,
    sealed: Table,
    pub(super) changed: Changed<(Keeping, u64)>,
}

impl Default for Owners {
    fn default() -> Self {
        Self {
            stored: Table::new(MOST_STORED, STORED_FOR),
            answers: Table::new(MOST_ANSWERS, ANSWERS_FOR),
            sealed: Table::new(MOST_SEALED, ANSWERS_FOR),
            changed: Changed::new(MOST_CHANGED),
        }
    }
}

/// Equal ids of two pools are two objects.
fn within(pool: &str, object: ObjectId) -> u64 {
    object.number() ^ xxh3_64(pool.as_bytes())
}

impl Owners {
    fn table_mut(&mut self, keeping: Keeping) -> &mut Table {
        match keeping {
            Keeping::Stored => &mut self.stored,
            Keeping::Answer => &mut self.answers,
            Keeping::Sealed => &mut self.sealed,
        }
    }

    /// Whoever has it, whatever it was taken for when it was learned: what stands in a path is
    /// known less well than what an answer gave out.
    fn account(&self, pool: &str, reference: Reference, now: Moment) -> Option<AccountId> {
        let object = within(pool, reference.object);
        if reference.keeping == Keeping::Sealed {
            return self.sealed.account(object, now);
        }
        let stored = self.stored.account(object, now);
        stored.or_else(|| self.answers.account(object, now))
    }

    fn learn(&mut self, object: u64, keeping: Keeping, account: AccountId, now: Moment) {
        let mut owned = Owned {
            account,
            used: now,
            is_marked: false,
        };
        let known = self.table_mut(keeping).owned.peek(&object);
        owned.is_marked = known.is_some_and(|known| known.is_marked);
        self.changed.mark(&mut owned.is_marked, (keeping, object));
        self.table_mut(keeping).owned.put(object, owned);
    }

    fn forget(&mut self, pool: &str, object: ObjectId) {
        let object = within(pool, object);
        for keeping in [Keeping::Stored, Keeping::Answer] {
            if let Some(owned) = self.table_mut(keeping).owned.pop(&object)
                && !owned.is_marked
            {
                self.changed.mark(&mut false, (keeping, object));
            }
        }
    }

    /// Everything has changed; the least recently used first.
    pub(super) fn mark_all(&mut self) {
        for keeping in [Keeping::Stored, Keeping::Answer, Keeping::Sealed] {
            let table = match keeping {
                Keeping::Stored => &mut self.stored,
                Keeping::Answer => &mut self.answers,
                Keeping::Sealed => &mut self.sealed,
            };
            for (object, owned) in table.owned.iter_mut().rev() {
                self.changed.mark(&mut owned.is_marked, (keeping, *object));
            }
        }
    }

    /// Takes over what another process has learned of objects.
    pub(super) fn join(&mut self, rows: Vec<ObjectRow>, now: Moment) {
        for row in rows {
            let name = (row.keeping, row.object);
            let table = self.table_mut(row.keeping);
            let known = table.owned.peek(&row.object).copied();
            let is_marked = known.is_some_and(|known| known.is_marked);
            let Some(account) = row.account else {
                // What is gone does not come back under its old name.
                if table.owned.pop(&row.object).is_some() && !is_marked {
                    self.changed.mark(&mut false, name);
                }
                continue;
            };
            let used = row.used.min(now);
            let is_known =
                known.is_some_and(|known| (known.used, known.account) >= (used, account));
            if is_known || now.since(used) > table.ttl {
                continue;
            }
            let mut owned = Owned {
                account,
                used,
                is_marked,
            };
            self.changed.mark(&mut owned.is_marked, name);
            self.table_mut(row.keeping).owned.put(row.object, owned);
        }
    }

    fn is_empty(&self, keeping: Keeping) -> bool {
        match keeping {
            Keeping::Stored => self.stored.owned.is_empty(),
            Keeping::Answer => self.answers.owned.is_empty(),
            Keeping::Sealed => self.sealed.owned.is_empty(),
        }
    }
}

impl Policy {
    /// Whether it would matter which objects of these kinds the body of a request to `pool` names:
    /// not as long as nothing is known of any, nor where there is only one account.
    pub fn knows_objects(&self, pool: &Pool, kinds: &[Keeping]) -> bool {
        let mut kinds = kinds.iter();
        pool.keys.len() > 1 && kinds.any(|kind| !self.objects.is_empty(*kind))
    }

    /// Whether nothing is known of what a request to `pool` names that an answer has given out.
    pub fn knows_nothing_of(
        &self,
        pool: &Pool,
        references: &References,
        answers: &[(AnswerId, Arc<str>)],
        now: Moment,
    ) -> bool {
        let names_nothing = references.named.is_empty() && answers.is_empty();
        if names_nothing || pool.keys.len() < 2 {
            return false;
        }
        let mut named = references.named.iter();
        let mut given = answers.iter();
        named.all(|one| self.objects.account(&pool.name, *one, now).is_none())
            && given.all(|(one, _)| self.answers.session(*one, &pool.name, now).is_none())
    }

    /// Which accounts the objects allow that a request to `pool` names.
    pub fn bound(&self, pool: &Pool, references: &References, now: Moment) -> Bound {
        if pool.keys.len() < 2 {
            return Bound::Free;
        }
        if references.lists {
            let account = self.of_cursor(pool, references, now);
            let account = account.or_else(|| self.lists(pool, now));
            return account.map_or(Bound::Free, Bound::Rather);
        }
        let known = references.named.iter().find_map(|reference| {
            let account = self.owner(pool, *reference, now)?;
            Some((account, reference.keeping))
        });
        match known {
            Some((account, Keeping::Sealed)) => Bound::Rather(account),
            Some((account, _)) => Bound::To(account),
            None if references.safe && references.about > 0 => Bound::Sought,
            None => Bound::Free,
        }
    }

    /// The account that has it. Nothing is to be had from one that is not there any more.
    pub fn owner(&self, pool: &Pool, reference: Reference, now: Moment) -> Option<AccountId> {
        let account = self.objects.account(&pool.name, reference, now)?;
        let account = self.canonical(account);
        let mut keys = pool.keys.iter();
        keys.any(|key| self.account_of(key) == account)
            .then_some(account)
    }

    /// The account that has the item from which on a list is asked for.
    pub fn of_cursor(&self, pool: &Pool, from: &References, now: Moment) -> Option<AccountId> {
        let item = Reference {
            object: from.cursor?,
            keeping: Keeping::Stored,
        };
        self.owner(pool, item, now)
    }

    /// The accounts of a pool, in the order of its keys, each with its first key.
    pub fn each_account<'p>(&self, pool: &'p Pool) -> Vec<(AccountId, &'p Key)> {
        let mut each: Vec<(AccountId, &Key)> = Vec::new();
        for key in &pool.keys {
            let account = self.account_of(key);
            if each.iter().all(|(known, _)| *known != account) {
                each.push((account, key));
            }
        }
        each
    }

    /// The account whose lists are shown, if not all are: the configured one, else that of the
    /// first key; always the same one while it serves at all.
    fn lists(&self, pool: &Pool, now: Moment) -> Option<AccountId> {
        let is_configured = |key: &&Key| pool.lists == Lists::Of(key.id);
        let configured = pool.keys.iter().filter(is_configured);
        let mut keys = configured.chain(&pool.keys);
        let key = keys.find(|key| !self.refused(key, None, now));
        key.or(pool.keys.first()).map(|key| self.account_of(key))
    }

    /// The one account that may serve, if there is only one.
    pub(super) fn bound_to(
        &self,
        asked: &Asked<'_>,
        tries: &Tries,
        now: Moment,
    ) -> Option<AccountId> {
        match asked.bound {
            Bound::Free | Bound::Sought => None,
            Bound::To(account) => Some(self.canonical(account)),
            Bound::Rather(account) => {
                let account = self.canonical(account);
                let mut keys = asked.pool.keys.iter();
                let may_serve = keys.any(|key| {
                    self.account_of(key) == account
                        && !self.refused(key, asked.model, now)
                        && !tries.refused().contains(&key.id)
                });
                may_serve.then_some(account)
            }
        }
    }

    /// Whether `key` is of another account than the one that gave out `object`.
    pub fn is_foreign(&self, pool: &Pool, key: &Key, object: ObjectId, now: Moment) -> bool {
        let turn = Reference {
            object,
            keeping: Keeping::Sealed,
        };
        let issuer = self.objects.account(&pool.name, turn, now);
        issuer.is_some_and(|issuer| self.canonical(issuer) != self.account_of(key))
    }

    /// The answer to `attempt` gave out these objects: they are its account's.
    pub fn gave(&mut self, pool: &str, attempt: &Attempt, given: &[Reference], now: Moment) {
        let account = self.canonical(attempt.account());
        for reference in given {
            let object = within(pool, reference.object);
            self.objects.learn(object, reference.keeping, account, now);
        }
    }

    /// What an attempt came to, to a request that names objects: who serves it has them.
    pub fn showed(
        &mut self,
        asked: &Asked<'_>,
        attempt: &Attempt,
        references: &References,
        verdict: Verdict,
        now: Moment,
    ) {
        let pool = &asked.pool.name;
        match verdict.matter {
            Matter::Served => {
                for (at, reference) in references.named.iter().enumerate() {
                    // What is sealed may be passed over.
                    let shows = reference.keeping != Keeping::Sealed;
                    let known = self.objects.account(pool, *reference, now);
                    if shows && (known.is_none() || at < references.about) {
                        self.gave(pool, attempt, std::slice::from_ref(reference), now);
                    }
                }
                if let Some(object) = references.deletes {
                    self.objects.forget(pool, object);
                }
            }
            // Its owner has it no more, or never had it: the next one who asks finds out.
            Matter::State if matches!(asked.bound, Bound::To(_)) => {
                for reference in &references.named[..references.about] {
                    self.objects.forget(pool, reference.object);
                }
            }
            _ => {}
        }
    }

    /// Takes at most `most` rows about objects that have changed since they were last taken.
    pub fn changed_objects(&mut self, most: usize) -> Vec<ObjectRow> {
        let mut rows = Vec::new();
        while rows.len() < most
            && let Some((keeping, object)) = self.objects.changed.take()
        {
            let owned = self.objects.table_mut(keeping).owned.peek_mut(&object);
            if let Some(owned) = &owned
                && !owned.is_marked
            {
                continue;
            }
            rows.push(ObjectRow {
                object,
                keeping,
                account: owned.as_ref().map(|owned| owned.account),
                used: owned.as_ref().map_or(Moment::default(), |owned| owned.used),
            });
            if let Some(owned) = owned {
                owned.is_marked = false;
            }
        }
        rows
    }

    /// Takes over what another run of the program knew of objects, the oldest first.
    pub fn restore_objects(&mut self, rows: impl IntoIterator<Item = ObjectRow>, now: Moment) {
        for row in rows {
            let table = self.objects.table_mut(row.keeping);
            let Some(account) = row.account else {
                table.owned.pop(&row.object);
                continue;
            };
            // A clock that was ahead must not keep it for ever.
            let used = row.used.min(now);
            if now.since(used) <= table.ttl {
                let owned = Owned {
                    account,
                    used,
                    is_marked: false,
                };
                table.owned.put(row.object, owned);
            }
        }
    }
}

#[cfg(test)]
mod tests;
