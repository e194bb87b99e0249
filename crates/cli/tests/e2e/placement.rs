//! Where new sessions begin, and where known ones go while their home cannot serve.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};

use api_key_lb_mock::{Fault, Mock};
use serde_json::{Value, json};

use crate::support::{
    MODELS, Proxy, Reply, chat, eventually, key, keys, mock_builder, pair, spread,
};

/// A large conversation: 400 KB, some 100 000 tokens.
const LARGE: usize = 400_000;

/// A mock and a proxy that knows that the accounts of its keys are different ones.
fn distinct(mock: Mock, count: usize, settings: Value) -> (Mock, Proxy) {
    let keys = keys(count).into_iter().enumerate();
    let keys: Vec<Value> = keys
        .map(|(at, key)| json!({"key": key, "account": format!("account {at}")}))
        .collect();
    let mut config = settings;
    config["target"] = mock.url().into();
    config["keys"] = keys.into();
    let proxy = Proxy::start(config);
    (mock, proxy)
}

pub fn key_of(reply: &Reply) -> String {
    reply.is(200).header("x-lb-key").unwrap().to_owned()
}

fn why(reply: &Reply) -> String {
    reply.header("x-lb-why").unwrap_or_default().to_owned()
}

/// The key that is labelled so.
fn labelled(label: &str) -> String {
    key(label.strip_prefix("key-").unwrap().parse().unwrap())
}

/// The next request with that key is throttled, for so many milliseconds.
fn throttle(mock: &Mock, label: &str, millis: u64) {
    let fault = Fault::on(labelled(label)).times(1).status(429);
    mock.fault(fault.header("retry-after-ms", millis.to_string()));
}

pub fn user(text: impl Into<String>) -> Value {
    json!({"role": "user", "content": text.into()})
}

fn assistant(text: impl Into<String>) -> Value {
    json!({"role": "assistant", "content": text.into()})
}

fn talk(messages: &[Value]) -> Value {
    json!({"model": "m", "messages": messages})
}

/// `bytes` of text that begins with `name` and is nobody else's.
fn long(name: &str, bytes: usize) -> String {
    let words = (0..bytes / 8).map(|at| format!("{name} {at} "));
    let mut text: String = words.collect();
    text.truncate(bytes);
    text
}

#[test]
fn a_large_conversation_waits_a_second_for_its_home_and_a_small_one_is_lent() {
    let (mock, proxy) = distinct(crate::support::mock(2), 2, json!({}));
    let small: BTreeMap<String, String> = (0..24)
        .map(|number| format!("small {number}"))
        .map(|id| (key_of(&proxy.turn(&id, &chat("hi"))), id))
        .collect();
    let large = |turn: usize| {
        let mut messages = vec![user(long("large", LARGE))];
        for turn in 0..turn {
            messages.push(assistant(format!("answer {turn}")));
            messages.push(user(format!("more {turn}")));
        }
        proxy.turn("large", &talk(&messages))
    };
    let home = key_of(&large(0));
    let id = &small[&home];
    throttle(&mock, &home, 3_000);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| large(1));
        eventually("it waits", || proxy.health()["waiting"] == 1);

        let lent = proxy.turn(id, &chat("hi"));
        assert_ne!(key_of(&lent), home);
        assert_eq!(lent.header("x-lb-affinity"), Some("borrowed"));
        assert_eq!(lent.header("x-lb-waited-ms"), None);
        let words = why(&lent);
        assert!(
            words.starts_with(&format!("home {home} cools for ")),
            "{words}"
        );
        assert!(words.contains("; borrowed key-"), "{words}");
        eventually("it is logged", || {
            proxy.output().contains(&format!("[{words}]"))
        });

        let reply = waiting.join().unwrap();
        assert_eq!(key_of(&reply), home);
        assert_eq!(reply.header("x-lb-affinity"), Some("home"));
        assert_eq!(reply.header("x-lb-attempts"), Some("2"));
        assert!(reply.number("x-lb-waited-ms") >= 2_000);
    });
    assert_eq!(key_of(&proxy.turn(id, &chat("hi"))), home, "it returns");
}

#[test]
fn a_small_conversation_is_lent_also_where_nobody_says_whose_the_keys_are() {
    let (mock, proxy) = pair(2);
    let home = key_of(&proxy.turn("s", &chat("hi")));
    throttle(&mock, &home, 2_000);
    let reply = proxy.turn("s", &chat("hi"));
    assert_ne!(
        key_of(&reply),
        home,
        "waited {:?} ms",
        reply.header("x-lb-waited-ms")
    );
    assert_eq!(reply.header("x-lb-affinity"), Some("borrowed"));
}

#[test]
fn a_large_conversation_does_not_wait_long_for_its_home() {
    let (mock, proxy) = distinct(crate::support::mock(2), 2, json!({}));
    let body = talk(&[user(long("large", LARGE))]);
    let home = key_of(&proxy.turn("large", &body));
    throttle(&mock, &home, 30_000);
    let reply = proxy.turn("large", &body);
    assert_ne!(key_of(&reply), home);
    assert_eq!(reply.header("x-lb-affinity"), Some("borrowed"));
    let words = why(&reply);
    assert!(
        words.contains("cools for 29 s") || words.contains("cools for 30 s"),
        "{words}"
    );
    assert!(
        words.ends_with(": 0 % of 100k tokens warm there"),
        "{words}"
    );
}

#[test]
fn a_home_that_stays_away_for_longer_than_its_cache_lasts_is_left() {
    let settings = json!({"cache_ttl_ms": 20_000});
    let (mock, proxy) = distinct(crate::support::mock(2), 2, settings);
    let home = key_of(&proxy.turn("s", &chat("hi")));
    throttle(&mock, &home, 60_000);
    let reply = proxy.turn("s", &chat("hi"));
    let there = key_of(&reply);
    assert_ne!(there, home);
    assert_eq!(reply.header("x-lb-affinity"), Some("moved"));
    let words = why(&reply);
    assert!(
        words.contains(", longer than its cache lasts; moved to "),
        "{words}"
    );
    let reply = proxy.turn("s", &chat("hi"));
    assert_eq!(
        (key_of(&reply).as_str(), reply.header("x-lb-affinity")),
        (there.as_str(), Some("home"))
    );
}

#[test]
fn new_sessions_go_where_there_is_least_to_do() {
    let (mock, proxy) = pair(3);
    let busy = key_of(&proxy.turn("large", &talk(&[user(long("large", LARGE))])));
    let others: BTreeSet<String> = (0..12)
        .map(|number| {
            let reply = proxy.turn(&format!("s{number}"), &chat("hi"));
            assert!(
                why(&reply).contains("has the least to do"),
                "{}",
                why(&reply)
            );
            key_of(&reply)
        })
        .collect();
    assert!(!others.contains(&busy), "{others:?}");
    assert_eq!(others.len(), 2, "near ties are spread: {others:?}");
    assert_eq!(spread(&mock, 3).iter().sum::<u64>(), 13);
}

#[test]
fn in_an_idle_pool_two_instances_agree_where_a_session_begins() {
    let mock = crate::support::mock(4);
    let start = || Proxy::start(json!({"target": mock.url(), "keys": keys(4)}));
    let (one, two) = (start(), start());
    let mut used = BTreeSet::new();
    for number in 0..16 {
        let id = format!("s{number}");
        let first = key_of(&one.turn(&id, &chat("hi")));
        assert_eq!(first, key_of(&two.turn(&id, &chat("hi"))), "{id}");
        used.insert(first);
    }
    assert!(used.len() > 1);
}

/// A conversation about `name` after so many replies, 40 KB each.
fn history(name: &str, replies: usize) -> Vec<Value> {
    let system = json!({"role": "system", "content": "The same for all."});
    let mut messages = vec![system, user(format!("Please do the task {name}."))];
    for reply in 0..replies {
        messages.push(assistant(long(&format!("{name} {reply}"), 40_000)));
        messages.push(user(format!("And now step {reply} of {name}.")));
    }
    messages
}

#[test]
fn a_session_that_branches_off_anothers_history_starts_where_that_is_warm() {
    let (_mock, proxy) = pair(4);
    for name in ["one", "two", "three", "four"] {
        let home = key_of(&proxy.turn(name, &talk(&history(name, 1))));
        for branch in 0..2 {
            let mut messages = history(name, 1);
            messages.push(assistant("done"));
            messages.push(user(format!("Branch {branch}.")));
            let reply = proxy.turn(&format!("{name} branch {branch}"), &talk(&messages));
            assert_eq!(key_of(&reply), home, "{name} {branch}");
            assert_eq!(reply.header("x-lb-affinity"), Some("new"));
            let words = why(&reply);
            assert!(
                words.starts_with(&format!("begins like a conversation on {home}: ")),
                "{words}"
            );
        }
    }
}

/// Has a conversation grow, and then six new sessions branch off it, which go on with
/// `first_words`.
#[track_caller]
fn forks(first_words: impl Fn(usize) -> Option<Value>) {
    let (_mock, proxy) = pair(4);
    let mut home = String::new();
    for replies in 0..4 {
        home = key_of(&proxy.turn("parent", &talk(&history("parent", replies))));
    }
    for fork in 0..6 {
        let mut messages = history("parent", 3);
        messages.extend(first_words(fork));
        messages.push(user(format!("Do part {fork}.")));
        let reply = proxy.turn(&format!("fork {fork}"), &talk(&messages));
        assert_eq!(key_of(&reply), home, "fork {fork}: {}", why(&reply));
    }
}

#[test]
fn many_that_branch_off_a_conversation_that_has_grown_start_where_it_is_warm() {
    forks(|_| None);
}

#[test]
fn many_that_branch_off_a_conversation_and_go_on_alike_start_where_it_is_warm() {
    // The parent's last reply, which its own next request has not shown yet.
    forks(|_| Some(assistant("I send for helpers.")));
}

/// Starts conversations and says how many began with each key.
fn placed(
    proxy: &Proxy,
    count: usize,
    messages: impl Fn(usize) -> Vec<Value>,
) -> BTreeMap<String, usize> {
    let mut placed = BTreeMap::new();
    for number in 0..count {
        let reply = proxy.turn(&format!("s{number}"), &talk(&messages(number)));
        *placed.entry(key_of(&reply)).or_default() += 1;
    }
    placed
}

/// No account has more than twice its share.
#[track_caller]
fn is_even(placed: &BTreeMap<String, usize>, keys: usize) {
    let total: usize = placed.values().sum();
    assert_eq!(placed.len(), keys, "{placed:?}");
    assert!(
        placed.values().all(|count| count * keys <= total * 2),
        "{placed:?}"
    );
}

#[test]
fn conversations_that_share_a_system_prompt_are_spread() {
    let (_mock, proxy) = pair(4);
    let system = long("system", 40_000);
    let placed = placed(&proxy, 24, |number| {
        vec![
            json!({"role": "system", "content": system}),
            user(format!("Please do the task number {number}.")),
        ]
    });
    is_even(&placed, 4);
}

#[test]
fn conversations_that_share_a_canned_first_message_are_spread() {
    let (_mock, proxy) = pair(4);
    let canned = long("canned", 20_000);
    let placed = placed(&proxy, 24, |number| {
        vec![
            json!({"role": "system", "content": "The same for all."}),
            user(canned.clone()),
            user(format!("Please do the task number {number}.")),
        ]
    });
    is_even(&placed, 4);
}

/// Every answer with key `number` says what is left of its windows: so many percent, which end in
/// so many seconds.
fn window(mock: &Mock, number: usize, left: u64, seconds: u64) {
    let ends = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
        + seconds;
    let used = (100 - left) as f64 / 100.0;
    let fault = Fault::on(key(number)).status(200).body("{}");
    mock.fault(
        fault
            .header("anthropic-ratelimit-unified-5h-status", "allowed")
            .header(
                "anthropic-ratelimit-unified-5h-utilization",
                used.to_string(),
            )
            .header("anthropic-ratelimit-unified-5h-reset", ends.to_string()),
    );
}

/// Which keys new sessions get, once every key has told of its window.
fn begun_with(windows: &[(u64, u64)], settings: Value) -> BTreeSet<String> {
    let count = windows.len();
    let mock = mock_builder(count).start().unwrap();
    for (at, (left, seconds)) in windows.iter().enumerate() {
        window(&mock, at + 1, *left, *seconds);
    }
    let (mock, proxy) = distinct(mock, count, settings);
    for _ in 0..count {
        proxy.get(MODELS).is(200);
    }
    assert_eq!(spread(&mock, count), vec![1; count]);
    let sessions = (0..16).map(|number| proxy.turn(&format!("s{number}"), &chat("hi")));
    sessions.map(|reply| key_of(&reply)).collect()
}

fn set(keys: &[&str]) -> BTreeSet<String> {
    keys.iter().map(|key| (*key).to_owned()).collect()
}

#[test]
fn with_drain_windows_new_sessions_go_where_the_window_ends_first() {
    let windows = [(80, 9_000), (60, 600), (90, 5_000)];
    assert_eq!(
        begun_with(&windows, json!({"drain_windows": true})),
        set(&["key-2"])
    );
    assert_eq!(
        begun_with(&windows, json!({})).len(),
        3,
        "not unless it is wanted"
    );
}

#[test]
fn an_account_that_has_only_its_reserve_left_comes_last() {
    let windows = [(80, 9_000), (25, 600), (90, 5_000)];
    let settings = json!({"drain_windows": true, "window_reserve_percent": 30});
    assert_eq!(begun_with(&windows, settings), set(&["key-3"]));
    let settings = json!({"window_reserve_percent": 30});
    assert_eq!(begun_with(&windows, settings), set(&["key-1", "key-3"]));
    let windows = [(20, 9_000), (25, 600)];
    let settings = json!({"window_reserve_percent": 30});
    assert_eq!(
        begun_with(&windows, settings),
        set(&["key-1", "key-2"]),
        "last, but not never"
    );
}

#[test]
fn a_session_is_not_moved_from_a_home_that_can_serve_to_drain_another_window() {
    let (mock, proxy) = distinct(
        mock_builder(2).start().unwrap(),
        2,
        json!({"drain_windows": true}),
    );
    let home = key_of(&proxy.turn("s", &chat("hi")));
    let at_home: usize = home.strip_prefix("key-").unwrap().parse().unwrap();
    window(&mock, at_home, 80, 9_000);
    window(&mock, 3 - at_home, 80, 600);
    for _ in 0..2 {
        proxy.get(MODELS).is(200);
    }
    for _ in 0..3 {
        assert_eq!(key_of(&proxy.turn("s", &chat("hi"))), home);
    }
    let body = talk(&[user("another one")]);
    assert_ne!(key_of(&proxy.turn("other", &body)), home);
}
