//! What `/health` says, and that it can be read back.

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
        lists: api_key_lb_core::plan::Lists::First,
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
                cooling_for: None,
                disabled: false,
                recovering: false,
                headroom: Vec::new(),
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
                cooling_for: None,
                disabled: false,
                recovering: false,
                headroom: Vec::new(),
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
            store: None,
            disabled: &[],
            config_file: None,
            reloading: &Reloading {
                error: Some(("c.json:3:7: no".into(), at(9_000))),
                needs_restart: vec!["`port` stays 4577".into()],
            },
            supervisor: None,
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
fn a_configuration_that_is_not_in_force_says_why_and_since_when() {
    let value = serde_json::to_value(&observed().1).unwrap();
    assert_eq!(
        value["config_error"],
        json!({"text": "c.json:3:7: no", "since_ms": 2000})
    );
    assert_eq!(value["needs_restart"], json!(["`port` stays 4577"]));
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
