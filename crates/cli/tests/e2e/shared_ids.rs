//! Ids that many conversations share, and sub-agents: what is placed apart, and what is not.

use std::collections::BTreeSet;

use api_key_lb_mock::{Fault, Mock};
use serde_json::{Value, json};

use crate::support::{CHAT, MESSAGES, Proxy, Reply, eventually, pair, pair_with};

const KEYS: usize = 3;
/// More conversations than one agent opens.
const MANY: usize = 40;

/// Another conversation for each number.
fn conversation(number: usize, turns: usize) -> Value {
    let mut messages = vec![
        json!({"role": "system", "content": "The same for all."}),
        json!({"role": "user", "content": format!("Please do the task number {number}.")}),
    ];
    for turn in 0..turns {
        messages.push(json!({"role": "assistant", "content": format!("done {number} {turn}")}));
        messages.push(json!({"role": "user", "content": format!("more {turn}")}));
    }
    messages.into()
}

fn key_of(reply: &Reply) -> String {
    reply.is(200).header("x-lb-key").unwrap().to_owned()
}

/// The next request with the key that `label` names is throttled, for a second.
fn throttle(mock: &Mock, label: &str) {
    let number: usize = label.strip_prefix("key-").unwrap().parse().unwrap();
    let key = crate::support::key(number);
    mock.fault(
        Fault::on(key)
            .times(1)
            .status(429)
            .header("retry-after", "1"),
    );
}

fn is_ready(proxy: &Proxy, label: &str) -> bool {
    let health = proxy.health();
    let keys = health["keys"].as_array().unwrap().clone();
    keys.iter()
        .any(|key| key["label"] == label && key["status"] == "ready")
}

fn with_cache_key(proxy: &Proxy, number: usize, turns: usize) -> Reply {
    let body = json!({
        "model": "m", "prompt_cache_key": "one-for-all", "messages": conversation(number, turns),
    });
    proxy.post(CHAT, &body)
}

#[test]
fn a_cache_key_that_many_conversations_share_is_split_once_its_home_is_throttled() {
    // The throttled request is lent at once, and does not wait for its home.
    let (mock, proxy) = pair_with(KEYS, json!({"max_wait_ms": 0}));
    let home = key_of(&with_cache_key(&proxy, 0, 0));
    for number in 1..MANY {
        assert_eq!(
            key_of(&with_cache_key(&proxy, number, 0)),
            home,
            "not before"
        );
    }
    assert_eq!(proxy.health().get("split_ids"), None);
    throttle(&mock, &home);
    let borrowed = with_cache_key(&proxy, 0, 1);
    assert_eq!(borrowed.is(200).header("x-lb-affinity"), Some("borrowed"));

    let placed: Vec<String> = (MANY..2 * MANY)
        .map(|number| key_of(&with_cache_key(&proxy, number, 0)))
        .collect();
    let used: BTreeSet<&String> = placed.iter().collect();
    assert_eq!(used.len(), KEYS - 1, "all but the one near its limit");
    assert!(!used.contains(&home));
    let line = proxy.last_logged();
    assert!(
        line.contains("(body prompt_cache_key, split by content)"),
        "{line}"
    );
    eventually("the home is back", || is_ready(&proxy, &home));
    for (number, key) in (MANY..2 * MANY).zip(&placed) {
        let next = with_cache_key(&proxy, number, 1);
        assert_eq!(&key_of(&next), key, "conversation {number} stays");
        assert_eq!(next.header("x-lb-affinity"), Some("home"));
    }

    let splits = proxy.health()["split_ids"].clone();
    assert_eq!(splits.as_array().unwrap().len(), 1, "{splits}");
    assert_eq!(splits[0]["rule"], "body prompt_cache_key");
    let reason = splits[0]["reason"].as_str().unwrap();
    assert!(reason.ends_with(" openings within the hour"), "{reason}");
    let port = proxy.port.to_string();
    let line = format!(
        "1 id is shared by many conversations and split by content: body prompt_cache_key ({reason})"
    );
    let status = proxy.home.run(&["status", "--port", &port], &[]);
    status.is(0).says(&[&line]);
    proxy.announced();
    let body = json!({"prompt_cache_key": "one-for-all", "messages": conversation(MANY, 2)});
    let args = ["why", "-r", "-", "-p", &port];
    let why = proxy.home.run_with(&args, &[], body.to_string().as_bytes());
    why.is(0).says(&[
        "18, body prompt_cache_key = one-for-all",
        "one conversation of those with this id",
        "this id is used by many conversations (",
        &format!("while {home} was throttled), so they are told apart by content"),
        "continue a conversation seen",
    ]);
}

/// A request of Claude Code.
fn of_claude(proxy: &Proxy, agent: Option<&str>, messages: &Value) -> Reply {
    let body = json!({"model": "m", "max_tokens": 9, "messages": messages});
    let mut headers = vec![("x-claude-code-session-id", "one-session")];
    headers.extend(agent.map(|agent| ("x-claude-code-agent-id", agent)));
    proxy.ask("POST", MESSAGES, &headers, body.to_string().as_bytes())
}

#[test]
fn sub_agents_of_one_session_are_no_reason_to_split_it() {
    let (mock, proxy) = pair(KEYS);
    let home = key_of(&of_claude(&proxy, None, &conversation(0, 0)));
    throttle(&mock, &home);
    of_claude(&proxy, None, &conversation(0, 1)).is(200);
    eventually("the home is back", || is_ready(&proxy, &home));
    for number in 1..=MANY {
        let agent = format!("agent-{number}");
        let reply = of_claude(&proxy, Some(&agent), &conversation(number, 0));
        assert_eq!(key_of(&reply), home, "sub-agent {number}");
    }
    assert_eq!(key_of(&of_claude(&proxy, None, &conversation(0, 2))), home);
    let health = proxy.health();
    assert_eq!(
        (health.get("split_ids"), &health["sessions"]),
        (None, &json!(1))
    );
}

#[test]
fn with_auto_a_sub_agent_leaves_a_session_whose_key_is_throttled_and_stays_away() {
    let (mock, proxy) = pair_with(KEYS, json!({"split_subagents": "auto"}));
    let home = key_of(&of_claude(&proxy, None, &conversation(0, 0)));
    let early = of_claude(&proxy, Some("early"), &conversation(1, 0));
    assert_eq!(key_of(&early), home, "while nothing is near a limit");
    throttle(&mock, &home);
    of_claude(&proxy, None, &conversation(0, 1)).is(200);

    let late = of_claude(&proxy, Some("late"), &conversation(2, 0));
    let elsewhere = key_of(&late);
    assert_ne!(elsewhere, home);
    let line = proxy.last_logged();
    assert!(
        line.contains("(header x-claude-code-session-id, sub-agent apart)"),
        "{line}"
    );
    eventually("the home is back", || is_ready(&proxy, &home));
    assert_eq!(key_of(&of_claude(&proxy, None, &conversation(0, 2))), home);
    for turns in 1..4 {
        let reply = of_claude(&proxy, Some("late"), &conversation(2, turns));
        assert_eq!(key_of(&reply), elsewhere);
        assert_eq!(reply.header("x-lb-affinity"), Some("home"));
    }
}
