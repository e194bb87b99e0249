//! Which key serves: sessions, cooldowns, choice. Time is an argument; nothing here waits or reads.

mod account;
mod accounts;
mod answers;
mod choice;
mod cooldown;
mod lineage;
mod recognition;
mod rendezvous;
mod sessions;
mod shared_id;
mod standing;

use std::collections::HashMap;
use std::time::Duration;

use crate::fact::{Affinity, ModelId, SessionId, Usage};
use crate::headroom::Bucket;
use crate::moment::Moment;
use crate::plan::{AccountId, Key, KeyId, Plan, Pool, SplitSubAgents, Timing};
use crate::verdict::{Matter, Verdict};
use account::Account;
use answers::Answers;
use cooldown::Refused;
use lineage::Lineage;
use sessions::Sessions;
use shared_id::SharedIds;

pub use recognition::Session;
pub use shared_id::{Split, SplitReason};
pub use standing::{Shared, Standing};

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
}

/// Everything `status` shows of the policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The plan's keys, in its order.
    pub keys: Vec<KeySnapshot>,
    /// Sessions alive.
    pub sessions: usize,
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
    },
    /// No key is left to try.
    Exhausted {
        /// When the soonest cooling account of the pool is usable again; `None` if none cools.
        soonest: Option<Moment>,
    },
}

/// All the state behind the choice; one struct, so that a proxy and a simulator can step it.
#[derive(Debug)]
pub struct Policy {
    keys: HashMap<KeyId, KeyState>,
    accounts: HashMap<AccountId, Account>,
    /// What accounts known only by their key have turned out to be.
    owners: HashMap<AccountId, AccountId>,
    sessions: Sessions,
    lineage: Lineage,
    shared_ids: SharedIds,
    answers: Answers,
    split_subagents: SplitSubAgents,
    timing: Timing,
}

impl Policy {
    /// Knowing nothing yet.
    pub fn new(plan: &Plan) -> Self {
        let (most, ttl) = (plan.limits.sessions, plan.timing.session_ttl);
        Self {
            keys: HashMap::new(),
            accounts: HashMap::new(),
            owners: HashMap::new(),
            sessions: Sessions::new(most, ttl),
            lineage: Lineage::new(most, ttl),
            shared_ids: SharedIds::new(most, ttl),
            answers: Answers::new(most, ttl),
            split_subagents: plan.recognition.split_subagents,
            timing: plan.timing.clone(),
        }
    }

    /// An attempt with `key` begins.
    pub fn began(&mut self, key: KeyId) {
        let state = self.keys.entry(key).or_default();
        state.requests += 1;
        state.in_flight += 1;
    }

    /// An attempt with `key` is over, however it went.
    pub fn ended(&mut self, key: KeyId) {
        let state = self.keys.entry(key).or_default();
        state.in_flight = state.in_flight.saturating_sub(1);
    }

    /// What an attempt came to, as soon as that is known. `refused_before` are the keys that
    /// refused this same request earlier: once another key serves it, the refusal was theirs and
    /// not the request's.
    pub fn judged(
        &mut self,
        asked: &Asked<'_>,
        key: &Key,
        verdict: Verdict,
        refused_before: &[KeyId],
        now: Moment,
    ) {
        let configured = self.timing.cooldown;
        let account = self.account_of(key);
        self.accounts
            .entry(account)
            .or_default()
            .judged(verdict, asked.model, configured, now);
        let state = self.keys.entry(key.id).or_default();
        state.errors += u64::from(verdict.is_error());
        if verdict.is_error() {
            state.trouble = Some((verdict.matter, verdict.rule));
        }
        match verdict.matter {
            Matter::Served => {
                state.refused = Refused::default();
                state.trouble = None;
                state.lacks.retain(|(model, _)| Some(*model) != asked.model);
                for refused in refused_before {
                    let state = self.keys.entry(*refused).or_default();
                    state.refused.again(REFUSED_FIRST, REFUSED_LONGEST, now);
                }
                if let Some(session) = asked.session {
                    self.serve(asked.pool, session.id, key, asked.model, now);
                }
            }
            Matter::Entitlement => {
                if let Some(model) = asked.model {
                    state.lacks_model(model, now);
                }
            }
            _ => {}
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
            let account = self.account_of(key);
            let account = self.accounts.entry(account).or_default();
            account.learned(model, left, now);
        }
    }

    /// Keeps, founds or moves the session's home after `key` has served it.
    fn serve(
        &mut self,
        pool: &Pool,
        session: SessionId,
        key: &Key,
        model: Option<ModelId>,
        now: Moment,
    ) {
        let account = self.account_of(key);
        let keeps = self.sessions.home(session, now).is_some_and(|home| {
            self.canonical(home.account) == account
                // A home that has never served holds no warm cache: whoever serves first does.
                || (home.served && self.home_remains(pool, home.account, model, now))
        });
        if !keeps {
            self.sessions.settle(session, account, now);
        }
        self.sessions.served(session, now);
    }

    /// The answer's token counts, once known.
    pub fn used(&mut self, key: KeyId, usage: Usage) {
        if usage.cached > 0 {
            self.keys.entry(key).or_default().cache_hits += 1;
        }
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
                }
            })
            .collect();
        Snapshot {
            keys,
            sessions: self.sessions.count(now),
            splits: self.shared_ids.splits(now),
        }
    }
}

#[cfg(test)]
mod tests;
