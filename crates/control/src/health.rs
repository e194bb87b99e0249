//! The answer to `GET /health`: written here, and read by `status`, from the package this replaces too.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use api_key_lb_core::policy::{KeySnapshot, Snapshot, SplitReason};
use api_key_lb_core::target::mask_credentials;
use api_key_lb_core::{AccountId, Key, KeyId, Moment, Plan};
use serde::{Deserialize, Serialize};

/// What a key that can be used is called.
const READY: &str = "ready";
/// What a key that cannot be used right now is called.
const THROTTLED: &str = "throttled";

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
    /// Every key of every pool.
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
    /// Ids that turned out to be shared by many conversations, which are now told apart by
    /// content; the latest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub split_ids: Vec<SplitId>,
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// `ready` or `throttled`.
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
}

impl Health {
    /// The health of the keys of `plan`, whose counters are in `snapshot`.
    pub fn observe(plan: &Plan, snapshot: &Snapshot, about: &About<'_>) -> Self {
        let known: BTreeMap<_, _> = snapshot.keys.iter().map(|key| (key.id, key)).collect();
        let keys = plan
            .pools()
            .flat_map(|pool| pool.keys.iter().map(move |key| (pool, key)));
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
        }
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
        status: if retry.is_some() { THROTTLED } else { READY }.into(),
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
mod tests {
    use std::sync::Arc;

    use api_key_lb_core::fact::SessionId;
    use api_key_lb_core::plan::{Guard, Limits, Timing};
    use api_key_lb_core::policy::Split;
    use api_key_lb_core::target::Target;
    use api_key_lb_core::verdict::Matter;
    use api_key_lb_core::{Pool, Secret};
    use serde_json::json;

    use super::*;

    fn pool(name: &str, url: &str, secrets: &[&str], account: Option<AccountId>) -> Pool {
        let target = Arc::new(Target::parse(url).unwrap());
        Pool {
            name: name.into(),
            target: target.clone(),
            keys: secrets
                .iter()
                .map(|secret| {
                    let secret = Secret::new((*secret).into());
                    let id = KeyId::of(&secret, &target);
                    Key {
                        id,
                        label: format!("label-of-{}", secret.expose().len()),
                        secret,
                        target: target.clone(),
                        via: None,
                        account: account.unwrap_or(AccountId::of_key(id)),
                        weight: 1,
                    }
                })
                .collect(),
        }
    }

    fn observed() -> (Plan, Health) {
        let work = AccountId::named("zai", "work");
        let plan = Plan {
            default_pool: Some(pool(
                "",
                "https://api.example/v1",
                &["sk-planted-secret-one", "sk-planted-secret-three"],
                None,
            )),
            named_pools: vec![pool(
                "zai",
                "https://api.z.ai",
                &["sk-planted-secret-of-zai"],
                Some(work),
            )],
            guard: Guard::default(),
            timing: Timing::default(),
            limits: Limits::default(),
            recognition: api_key_lb_core::plan::Recognition::default(),
            pacing: api_key_lb_core::plan::Pacing::default(),
            answer_headers: true,
            include_usage: false,
            error_rules: Vec::new(),
        };
        let ids: Vec<KeyId> = plan
            .pools()
            .flat_map(|pool| &pool.keys)
            .map(|key| key.id)
            .collect();
        let at = Moment::from_unix_millis;
        let snapshot = Snapshot {
            keys: vec![
                KeySnapshot {
                    id: ids[0],
                    requests: 7,
                    errors: 1,
                    cache_hits: 5,
                    in_flight: 2,
                    cooling_until: Some(at(10_000)),
                    refused_until: None,
                    account: AccountId::of_key(ids[0]),
                    trouble: None,
                    cooling_models: 2,
                    at_once: Some(3),
                },
                KeySnapshot {
                    id: ids[1],
                    requests: 3,
                    errors: 0,
                    cache_hits: 0,
                    in_flight: 0,
                    cooling_until: Some(at(12_500)),
                    refused_until: Some(at(60_000)),
                    account: AccountId::of_key(ids[0]),
                    trouble: Some((Matter::Credit, "1113")),
                    cooling_models: 0,
                    at_once: None,
                },
            ],
            sessions: 4,
            waiting: 2,
            splits: vec![Split {
                id: SessionId(0x1a2b_3c4d << 96),
                rule: "body prompt_cache_key".into(),
                why: SplitReason::Openers(33),
                since: at(7_000),
            }],
        };
        let health = Health::observe(
            &plan,
            &snapshot,
            &About {
                version: "2.0.0",
                pid: 42,
                instance: "abcd",
                started: at(1000),
                now: at(11_000),
                listen: &["127.0.0.1:4577".parse().unwrap()],
                dropped_facts: 0,
                accounts: &[(work, "work".to_owned())].into(),
            },
        );
        (plan, health)
    }

    #[test]
    fn the_old_fields_are_there_as_they_were_and_first() {
        let (_, health) = observed();
        let value = serde_json::to_value(&health).unwrap();
        assert_eq!(value["status"], "ok");
        assert_eq!(value["target"], "https://api.example/v1");
        assert_eq!(value["sessions"], 4);
        assert_eq!(value["uptime_ms"], 10_000);
        let first = &value["keys"][0];
        assert_eq!(
            (
                &first["id"],
                &first["key"],
                &first["requests"],
                &first["errors"]
            ),
            (&json!(0), &json!("sk-plan..."), &json!(7), &json!(1))
        );
        assert_eq!(
            (&first["cache_hits"], &first["status"]),
            (&json!(5), &json!("ready"))
        );
        let text = serde_json::to_string(&health).unwrap();
        assert!(
            text.starts_with(
                r#"{"status":"ok","target":"https://api.example/v1","keys":[{"id":0,"key":"sk-plan...","requests":7,"errors":1,"cache_hits":5,"status":"ready","#
            ),
            "{text}"
        );
    }

    #[test]
    fn a_key_that_cools_or_is_refused_is_throttled_and_says_for_how_long() {
        let (_, health) = observed();
        let key = &health.keys[1];
        assert_eq!(key.status, "throttled");
        assert_eq!(
            (key.retry_in_ms, key.refused_for_ms),
            (Some(49_000), Some(49_000))
        );
        assert_eq!(health.keys[0].retry_in_ms, None, "its time has passed");
    }

    #[test]
    fn keys_of_all_pools_are_numbered_through_and_say_pool_account_and_fingerprint() {
        let (plan, health) = observed();
        let ids: Vec<u64> = health.keys.iter().map(|key| key.id).collect();
        assert_eq!(ids, [0, 1, 2]);
        let key = &health.keys[2];
        assert_eq!(
            (key.pool.as_deref(), key.account.as_deref()),
            (Some("zai"), Some("work"))
        );
        assert_eq!(
            key.fingerprint.as_deref(),
            Some(&*plan.named_pools[0].keys[0].id.to_string())
        );
        assert_eq!(
            (key.requests, key.status.as_str()),
            (0, "ready"),
            "not seen yet"
        );
        assert_eq!(health.keys[0].account, None);
        assert_eq!(health.pools.len(), 2);
    }

    #[test]
    fn an_id_that_is_split_is_named_with_its_rule_and_the_reason() {
        let (_, health) = observed();
        assert_eq!(
            serde_json::to_value(&health).unwrap()["split_ids"],
            json!([{
                "session": "1a2b3c4d", "rule": "body prompt_cache_key",
                "reason": "33 openings within the hour", "since_ms": 4000,
            }])
        );
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        assert_eq!(
            split_reason(SplitReason::Openers(40), minutes(5)),
            "40 openings within 5 min"
        );
        assert_eq!(
            split_reason(SplitReason::InFlight(17), minutes(60)),
            "17 requests at once"
        );
    }

    #[test]
    fn it_holds_no_secret_and_reads_back_as_it_was() {
        let (_, health) = observed();
        let text = serde_json::to_string(&health).unwrap();
        assert!(!text.contains("planted"), "{text}");
        assert_eq!(serde_json::from_str::<Health>(&text).unwrap(), health);
    }

    #[test]
    fn the_answer_of_the_old_package_is_understood() {
        let old = json!({
            "status": "ok",
            "target": "https://api.z.ai",
            "keys": [{"id": 0, "key": "sk-proj-...", "requests": 1, "errors": 0, "cache_hits": 0, "status": "ready"}],
            "sessions": 1,
            "uptime_ms": 123,
        });
        let health: Health = serde_json::from_value(old.clone()).unwrap();
        assert_eq!((health.pid, health.keys[0].label.as_deref()), (None, None));
        assert_eq!(serde_json::to_value(&health).unwrap(), old);
    }
}
