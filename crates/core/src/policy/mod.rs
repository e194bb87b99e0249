//! Which key serves: sessions, cooldowns, choice. Time is an argument; nothing here waits or reads.

mod account;
mod accounts;
mod answers;
mod attempt;
mod breaker;
mod budget;
mod by_hand;
mod candidate;
mod choice;
mod cooldown;
mod explanation;
mod hashed;
mod holds;
mod lineage;
mod load;
pub mod memory;
mod owners;
mod placement;
mod reason;
mod recognition;
mod reconfigure;
mod rendezvous;
mod sessions;
mod shared_id;
mod standing;
mod tries;
mod turns;
mod warmth;

use std::time::Duration;

use crate::fact::{Affinity, ModelId};
use crate::headroom::Bucket;
use crate::moment::Moment;
use crate::plan::{AccountId, Key, KeyId, Pacing, Plan, Pool, SplitSubAgents, Timing};
use crate::verdict::Matter;
use account::Account;
use answers::Answers;
use breaker::Breakers;
use budget::Budget;
use cooldown::Refused;
use hashed::Hashed;
use holds::{Holds, Line};
use lineage::Lineage;
use memory::Changes;
use owners::Owners;
use sessions::{Home, Sessions};
use shared_id::SharedIds;

pub use account::Headroom;
pub use attempt::Attempt;
pub use owners::{Bound, ObjectRow};
pub use reason::{Because, Blocked, Reason, Words};
pub use recognition::Session;
pub use shared_id::{Split, SplitReason};
pub use standing::{Shared, Standing};
pub use tries::Tries;

/// First time a refused key comes last …
const REFUSED_FIRST: Duration = Duration::from_secs(60);
/// … and the longest, so that a key that was paid for or re-enabled is found within the hour.
const REFUSED_LONGEST: Duration = Duration::from_secs(3600);
/// First time a key comes last for a model that it was refused …
const LACKS_FIRST: Duration = Duration::from_secs(3600);
/// … and the longest: subscriptions change by the day.
const LACKS_LONGEST: Duration = Duration::from_secs(12 * 3600);
/// Models remembered that a key lacks; the oldest goes first.
const MODELS_LACKED: usize = 32;

/// What is asked of the policy: who serves this request?
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The keys that may serve it.
    pub pool: &'a Pool,
    /// Its session, if it has one.
    pub session: Option<&'a Session>,
    /// The model that it names, if it names one.
    pub model: Option<ModelId>,
    /// The size of its body, by which its tokens are estimated.
    pub bytes: u64,
    /// How long its client waits for the first byte of an answer.
    pub patience: Duration,
    /// Which accounts the objects allow that it names.
    pub bound: Bound,
}

/// What the core knows of one key.
#[derive(Debug, Default)]
struct KeyState {
    requests: u64,
    errors: u64,
    cache_hits: u64,
    in_flight: u32,
    refused: Refused,
    /// What kept it from serving last, by which rule; nothing since it has served.
    trouble: Option<(Matter, &'static str)>,
    /// Models that it was refused, and for how long it comes last for them.
    lacks: Vec<(ModelId, Refused)>,
    /// Smooth weighted rotation: what it is owed among requests without a session.
    credit: i64,
    /// Whether it has changed since it was last remembered.
    is_marked: bool,
}

impl KeyState {
    fn lacks_model(&mut self, model: ModelId, now: Moment) {
        let place = self.lacks.iter().position(|(known, _)| *known == model);
        let place = place.unwrap_or_else(|| {
            if self.lacks.len() >= MODELS_LACKED {
                self.lacks.remove(0);
            }
            self.lacks.push((model, Refused::default()));
            self.lacks.len() - 1
        });
        self.lacks[place].1.again(LACKS_FIRST, LACKS_LONGEST, now);
    }
}

/// One key as `status` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySnapshot {
    /// Which key.
    pub id: KeyId,
    /// The account it belongs to, as configured or as its provider's answers showed.
    pub account: AccountId,
    /// Attempts made with it.
    pub requests: u64,
    /// Attempts that failed through no fault of the client.
    pub errors: u64,
    /// Answers whose prompt came partly from the provider's cache.
    pub cache_hits: u64,
    /// Attempts running now.
    pub in_flight: u32,
    /// Its account must not be used until then, for all models or for some.
    pub cooling_until: Option<Moment>,
    /// The provider refused it; it comes last until then.
    pub refused_until: Option<Moment>,
    /// What kept it from serving last, and the rule that said so; nothing since it has served.
    pub trouble: Option<(Matter, &'static str)>,
    /// For how many models alone its account must not be used right now; 0 if for all.
    pub cooling_models: usize,
    /// How many requests its account takes at once, if its refusals have shown it.
    pub at_once: Option<u32>,
    /// What its account cools for, if it does and that is known.
    pub cooling_for: Option<Matter>,
    /// Whether a person has taken it out of use.
    pub disabled: bool,
    /// Whether its account has just come back and first shows that it serves again.
    pub recovering: bool,
    /// What is left of its account's limits, as far as its provider has said it.
    pub headroom: Vec<Headroom>,
}

/// Everything `status` shows of the policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The plan's keys, in its order.
    pub keys: Vec<KeySnapshot>,
    /// Sessions alive.
    pub sessions: usize,
    /// Requests that wait for an account.
    pub waiting: usize,
    /// Ids that turned out to be shared by many conversations, the latest first.
    pub splits: Vec<Split>,
}

/// What to do with a request now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Send it with the pool's key at this position.
    Use {
        /// Index into [`Pool::keys`].
        key: usize,
        /// How the key relates to the session.
        affinity: Affinity,
        /// Why it is this one.
        reason: Reason,
    },
    /// Wait, and choose again then, or as soon as any attempt was judged or has ended.
    Hold {
        /// Index of the key that is waited for.
        key: usize,
        /// Until when.
        until: Moment,
        /// Why it is worth waiting for.
        reason: Reason,
    },
    /// No key is left to try within the client's patience.
    Exhausted {
        /// When the soonest cooling account of the pool is usable again; `None` if none cools.
        soonest: Option<Moment>,
    },
}

/// All the state behind the choice; one struct, so that a proxy and a simulator can step it.
#[derive(Debug)]
pub struct Policy {
    keys: Hashed<KeyId, KeyState>,
    accounts: Hashed<AccountId, Account>,
    /// What accounts known only by their key have turned out to be.
    owners: Hashed<AccountId, AccountId>,
    sessions: Sessions,
    lineage: Lineage,
    shared_ids: SharedIds,
    answers: Answers,
    /// Which account has which object.
    objects: Owners,
    holds: Holds,
    breakers: Breakers,
    budget: Budget,
    split_subagents: SplitSubAgents,
    timing: Timing,
    pacing: Pacing,
    /// Keys that a person has taken out of use.
    disabled: Vec<KeyId>,
    /// What has changed since it was last remembered.
    changes: Changes,
}

impl Policy {
    /// Knowing nothing yet.
    pub fn new(plan: &Plan) -> Self {
        let (most, ttl) = (plan.limits.sessions, plan.timing.session_ttl);
        Self {
            keys: Hashed::default(),
            accounts: Hashed::default(),
            owners: Hashed::default(),
            sessions: Sessions::new(most, ttl),
            lineage: Lineage::new(most, ttl),
            shared_ids: SharedIds::new(most, ttl),
            answers: Answers::new(most, ttl),
            objects: Owners::default(),
            holds: Holds::default(),
            breakers: Breakers::default(),
            budget: Budget::default(),
            split_subagents: plan.recognition.split_subagents,
            timing: plan.timing.clone(),
            pacing: plan.pacing,
            disabled: Vec::new(),
            changes: Changes::default(),
        }
    }

    /// What the answer to an attempt with `key` told besides serving it or not: what is left of
    /// its limits, and whose account it is.
    pub fn told(
        &mut self,
        key: &Key,
        model: Option<ModelId>,
        left: &[Bucket],
        owner: Option<AccountId>,
        now: Moment,
    ) {
        if let Some(owner) = owner {
            self.identified(key, owner, now);
        }
        if !left.is_empty() {
            let id = self.account_of(key);
            let account = self.accounts.entry(id).or_default();
            account.learned(model, left, now);
            self.changes.accounts.mark(&mut account.is_marked, id);
        }
    }

    /// How `key`, which an open connection dictates, relates to the session of a request.
    pub fn affinity(&self, asked: &Asked<'_>, key: &Key, now: Moment) -> Affinity {
        let Some(session) = asked.session else {
            return Affinity::None;
        };
        match self.sessions.peek(session.id, now) {
            None => Affinity::New,
            Some(home) if self.canonical(home.account) == self.account_of(key) => Affinity::Home,
            Some(_) => Affinity::Borrowed,
        }
    }

    /// Whether what is asked over an open connection of `key` would rather have gone elsewhere, as
    /// far as what it says of itself tells.
    pub fn is_misplaced(&self, asked: &Asked<'_>, key: &Key, now: Moment) -> bool {
        let account = self.account_of(key);
        let is_foreign = match asked.bound {
            Bound::To(owner) | Bound::Rather(owner) => self.canonical(owner) != account,
            Bound::Free | Bound::Sought => false,
        };
        is_foreign
            || self.is_disabled(key.id)
            || self.refused(key, asked.model, now)
            || self.accounts.get(&account).is_some_and(|account| {
                let until = account.until(asked.model, now);
                until.is_some_and(|until| until > now)
            })
            || self.affinity(asked, key, now) == Affinity::Borrowed
    }

    /// The request that made these tries is over, or has left.
    pub fn gone(&mut self, tries: &mut Tries) {
        self.stop_waiting(tries);
    }

    /// Whether any request waits, and so wants to know of every attempt that is judged or ends.
    pub const fn has_waiting(&self) -> bool {
        self.holds.count() > 0
    }

    fn stop_waiting(&mut self, tries: &mut Tries) {
        if let (Some(ticket), Some((account, model))) = (tries.ticket, tries.waits_at.take()) {
            // It may have turned out to be another account meanwhile.
            self.holds.leave(ticket, (self.canonical(account), model));
        }
    }

    /// The request waits in that line, in its place by the order of arrival.
    fn wait(&mut self, tries: &mut Tries, line: Line) {
        self.stop_waiting(tries);
        let ticket = *tries.ticket.get_or_insert_with(|| self.holds.ticket());
        self.holds.wait(ticket, line);
        tries.waits_at = Some(line);
    }

    /// A home as it is called by what is known of accounts now.
    fn current(&self, mut home: Home) -> Home {
        if !self.owners.is_empty() {
            home.account = self.canonical(home.account);
            home.places.rename(|account| self.canonical(account));
        }
        home
    }

    /// What `status` shows of the keys of `plan`.
    pub fn snapshot(&mut self, plan: &Plan, now: Moment) -> Snapshot {
        let keys = plan
            .pools()
            .flat_map(|pool| &pool.keys)
            .map(|key| {
                let id = self.account_of(key);
                let account = self.accounts.get(&id);
                let without_credit = account.and_then(|account| account.without_credit(now));
                let unknown = KeyState::default();
                let state = self.keys.get(&key.id).unwrap_or(&unknown);
                KeySnapshot {
                    id: key.id,
                    account: id,
                    requests: state.requests,
                    errors: state.errors,
                    cache_hits: state.cache_hits,
                    in_flight: state.in_flight,
                    cooling_until: account.and_then(|account| account.any_until(now)),
                    refused_until: state.refused.until(now).max(without_credit),
                    trouble: state.trouble,
                    cooling_models: account.map_or(0, |account| account.cooling_models(now)),
                    at_once: account.and_then(|account| account.load.most()),
                    cooling_for: account.and_then(|account| account.cooling_for(now)),
                    disabled: self.is_disabled(key.id),
                    recovering: account.is_some_and(|account| account.is_recovering(now)),
                    headroom: account.map_or_else(Vec::new, |account| account.headroom(now)),
                }
            })
            .collect();
        Snapshot {
            keys,
            sessions: self.sessions.count(now),
            waiting: self.holds.count(),
            splits: self.shared_ids.splits(now),
        }
    }
}

#[cfg(test)]
mod tests;
