//! The answer to `GET /health`: written here, and read by `status`, from the package this replaces too.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use api_key_lb_core::policy::{KeySnapshot, Snapshot, SplitReason};
use api_key_lb_core::target::mask_credentials;
use api_key_lb_core::{AccountId, Key, KeyId, Moment, Plan};
use serde::{Deserialize, Serialize};

use crate::config::DisabledKey;

/// What a key that can be used is called.
const READY: &str = "ready";
/// What a key that cannot be used right now is called.
const THROTTLED: &str = "throttled";
/// What a key is called that must not be used.
const DISABLED: &str = "disabled";

/// In seconds.
const MINUTE: u64 = 60;
/// In seconds.
const HOUR: u64 = 60 * MINUTE;

/// What `GET /health` says. The first five fields are a contract; the others are absent in the
/// package this replaces.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Health {
    /// `ok`.
    pub status: String,
    /// The default pool's target, else the first one's, with credentials masked.
    pub target: String,
    /// Every key of every pool, the disabled ones last.
    pub keys: Vec<HealthKey>,
    /// Sessions remembered.
    pub sessions: u64,
    /// Requests that wait for an account right now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<u64>,
    /// Milliseconds since the start.
    pub uptime_ms: u64,
    /// The version of the program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Which start of the program this is: different each time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// Where it listens.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listen: Vec<String>,
    /// The pools.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pools: Vec<HealthPool>,
    /// Log lines lost because they could not be written fast enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped_facts: Option<u64>,
    /// What outlives the process, and where; absent if nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<HealthStore>,
    /// Ids that turned out to be shared by many conversations, which are now told apart by
    /// content; the latest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub split_ids: Vec<SplitId>,
    /// Why the configuration as it is now is not in force; absent if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_error: Option<ConfigTrouble>,
    /// Settings that were changed but wait for a restart.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs_restart: Vec<String>,
    /// What starts it again when it ends, if anything is known to: `systemd (api-key-lb.service)`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supervisor: Option<String>,
    /// The configuration file that it reads; absent if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_file: Option<String>,
}

/// A configuration that could not be put in force; the one before it still is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigTrouble {
    /// Every problem, as `start` would say it.
    pub text: String,
    /// Milliseconds since it was tried.
    pub since_ms: u64,
}

/// How the process stands with its configuration.
#[derive(Clone, Debug, Default)]
pub struct Reloading {
    /// Why the last one could not be put in force, and when that was tried.
    pub error: Option<(String, Moment)>,
    /// What waits for a restart.
    pub needs_restart: Vec<String>,
}

/// The store in [`Health`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthStore {
    /// `ok`, `failing` or `off`.
    pub status: String,
    /// The file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Its size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Why it cannot be written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// An id that is shared by many conversations, in [`Health`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitId {
    /// The session that it would be, as in the log.
    pub session: String,
    /// The rule that finds it.
    pub rule: String,
    /// What showed it, in words.
    pub reason: String,
    /// Milliseconds since then.
    pub since_ms: u64,
}

/// A pool in [`Health`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthPool {
    /// The first path segment that chooses it; empty for the default pool.
    pub name: String,
    /// Its target, with credentials masked.
    pub target: String,
    /// How many keys it has.
    pub keys: u64,
}

/// A key in [`Health`]. The first six fields are a contract.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthKey {
    /// Its number, from 0, over all pools.
    pub id: u64,
    /// Its first characters.
    pub key: String,
    /// Requests sent with it.
    pub requests: u64,
    /// Those that failed.
    pub errors: u64,
    /// Those that the provider's cache answered, in part at least.
    pub cache_hits: u64,
    /// `ready`, `throttled` or `disabled`.
    pub status: String,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The pool it is in; empty for the default pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// Who it is, whatever its position and label: a salted hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// The account it is configured to belong to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Requests it is serving right now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<u64>,
    /// If throttled: milliseconds until it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_in_ms: Option<u64>,
    /// If the provider refused it (revoked, out of credit): milliseconds until it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused_for_ms: Option<u64>,
    /// What kept it from serving last; absent once it has served again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// For how many models alone its account is throttled right now; absent if for all or none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throttled_models: Option<u64>,
    /// How many requests its account takes at once, if its refusals have shown that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_once: Option<u64>,
    /// The label of the first key whose account turned out to be this one's: they share its limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub same_account_as: Option<String>,
}

/// The process that speaks.
#[derive(Clone, Debug)]
pub struct About<'a> {
    /// The version of the program.
    pub version: &'a str,
    /// The process.
    pub pid: u32,
    /// Which start of the program this is.
    pub instance: &'a str,
    /// When it started.
    pub started: Moment,
    /// Now.
    pub now: Moment,
    /// Where it listens.
    pub listen: &'a [SocketAddr],
    /// Facts lost because nobody took them in time.
    pub dropped_facts: u64,
    /// The names of the accounts that have one: `Config::accounts`.
    pub accounts: &'a BTreeMap<AccountId, String>,
    /// What outlives the process.
    pub store: Option<HealthStore>,
    /// The keys that must not serve: `Config::disabled`.
    pub disabled: &'a [DisabledKey],
    /// The configuration file that it reads.
    pub config_file: Option<&'a Path>,
    /// How it stands with its configuration.
    pub reloading: &'a Reloading,
    /// What starts it again when it ends, if anything is known to.
    pub supervisor: Option<&'a str>,
}

impl Health {
    /// The health of the keys of `plan`, whose counters are in `snapshot`.
    pub fn observe(plan: &Plan, snapshot: &Snapshot, about: &About<'_>) -> Self {
        let known: BTreeMap<_, _> = snapshot.keys.iter().map(|key| (key.id, key)).collect();
        let keys = plan
            .pools()
            .flat_map(|pool| pool.keys.iter().map(move |key| (pool, key)));
        let serving: u64 = plan.pools().map(|pool| pool.keys.len() as u64).sum();
        Self {
            status: "ok".into(),
            target: plan.pools().next().map_or_else(String::new, |pool| {
                mask_credentials(&pool.target.to_string())
            }),
            keys: keys
                .zip(0..)
                .map(|((pool, key), id)| {
                    let mut entry = health_key(key, known.get(&key.id).copied(), about);
                    entry.id = id;
                    entry.same_account_as = plan
                        .pools()
                        .flat_map(|pool| &pool.keys)
                        .take_while(|other| other.id != key.id)
                        .find(|other| key.account_is_unknown() && same_account(&known, key, other))
                        .map(|other| other.label.clone());
                    entry.pool = Some(pool.name.clone());
                    entry
                })
                .chain(about.disabled.iter().zip(serving..).map(disabled_key))
                .collect(),
            sessions: snapshot.sessions as u64,
            waiting: Some(snapshot.waiting as u64),
            uptime_ms: millis(about.now.since(about.started)),
            version: Some(about.version.to_owned()),
            pid: Some(about.pid),
            instance: Some(about.instance.to_owned()),
            listen: about.listen.iter().map(ToString::to_string).collect(),
            pools: plan
                .pools()
                .map(|pool| HealthPool {
                    name: pool.name.clone(),
                    target: mask_credentials(&pool.target.to_string()),
                    keys: pool.keys.len() as u64,
                })
                .collect(),
            dropped_facts: Some(about.dropped_facts),
            store: about.store.clone(),
            split_ids: snapshot
                .splits
                .iter()
                .map(|split| SplitId {
                    session: split.id.short(),
                    rule: split.rule.to_string(),
                    reason: split_reason(split.why, plan.timing.session_ttl),
                    since_ms: millis(about.now.since(split.since)),
                })
                .collect(),
            config_error: about
                .reloading
                .error
                .as_ref()
                .map(|(text, at)| ConfigTrouble {
                    text: text.clone(),
                    since_ms: millis(about.now.since(*at)),
                }),
            needs_restart: about.reloading.needs_restart.clone(),
            supervisor: about.supervisor.map(str::to_owned),
            config_file: about.config_file.map(|path| path.display().to_string()),
        }
    }
}

fn disabled_key((key, id): (&DisabledKey, u64)) -> HealthKey {
    HealthKey {
        id,
        key: key.shown.clone(),
        status: DISABLED.into(),
        label: Some(key.label.clone()),
        pool: Some(key.pool.clone()),
        fingerprint: key.id.map(|id| id.to_string()),
        account: key.account.clone(),
        ..HealthKey::default()
    }
}

/// What showed that an id is shared, in words. Openings are counted for as long as a session lives
/// unused, and not beyond what was needed to show it.
pub fn split_reason(why: SplitReason, session_ttl: Duration) -> String {
    match why {
        SplitReason::InFlight(requests) => format!("{requests} requests at once"),
        SplitReason::Openers(openings) => {
            let within = match session_ttl.as_secs() {
                HOUR => "the hour".to_owned(),
                seconds if seconds >= MINUTE => format!("{} min", seconds / MINUTE),
                seconds => format!("{seconds} s"),
            };
            format!("{openings} openings within {within}")
        }
    }
}

/// Whether the answers to two keys showed one account.
fn same_account(known: &BTreeMap<KeyId, &KeySnapshot>, one: &Key, other: &Key) -> bool {
    let account = |key: &Key| known.get(&key.id).map(|known| known.account);
    account(one).is_some_and(|found| found != one.account && account(other) == Some(found))
}

fn health_key(key: &Key, known: Option<&KeySnapshot>, about: &About<'_>) -> HealthKey {
    let remaining = |until: Option<Moment>| {
        until
            .filter(|until| *until > about.now)
            .map(|until| millis(until.since(about.now)))
    };
    let cooling = remaining(known.and_then(|known| known.cooling_until));
    let refused = remaining(known.and_then(|known| known.refused_until));
    let retry = cooling.max(refused);
    HealthKey {
        id: 0,
        key: key.secret.masked(),
        requests: known.map_or(0, |known| known.requests),
        errors: known.map_or(0, |known| known.errors),
        cache_hits: known.map_or(0, |known| known.cache_hits),
        status: match retry {
            _ if known.is_some_and(|known| known.disabled) => DISABLED,
            Some(_) => THROTTLED,
            None => READY,
        }
        .into(),
        label: Some(key.label.clone()),
        pool: None,
        fingerprint: Some(key.id.to_string()),
        account: about.accounts.get(&key.account).cloned(),
        in_flight: Some(known.map_or(0, |known| known.in_flight.into())),
        retry_in_ms: retry,
        refused_for_ms: refused,
        reason: known
            .and_then(|known| known.trouble)
            .map(|(matter, rule)| match matter.as_str() {
                same if same == rule => rule.to_owned(),
                matter => format!("{matter} ({rule})"),
            }),
        throttled_models: known
            .map(|known| known.cooling_models as u64)
            .filter(|models| *models > 0),
        at_once: known.and_then(|known| known.at_once).map(u64::from),
        same_account_as: None,
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
