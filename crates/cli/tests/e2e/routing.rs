//! Which key serves: sticky, throttled, cooling, in turn; and how long sessions are remembered.

use std::time::{Duration, Instant};

use api_key_lb_mock::{ANY_KEY, Fault, Mock};
use serde_json::{Value, json};

use crate::support::{MODELS, Proxy, chat, eventually, keys, last_key, pair, pair_with, spread};

/// A mock with `count` keys and a proxy that answers rather than have a request wait for a key.
fn without_waiting(count: usize) -> (Mock, Proxy) {
    pair_with(count, json!({"max_wait_ms": 0}))
}

/// Sends one turn of the session `id` and says which key served it.
#[track_caller]
fn serve(mock: &Mock, proxy: &Proxy, id: &str) -> String {
    proxy.turn(id, &chat("hi")).is(200);
    last_key(mock)
}

/// The health entry of a key.
#[track_caller]
fn health_of(proxy: &Proxy, key: &str) -> Value {
    let at = keys(8).iter().position(|other| other == key).unwrap();
    proxy.health()["keys"][at].clone()
}

#[test]
fn a_throttled_key_is_left_alone_for_retry_after_and_then_returned_to() {
    let (mock, proxy) = without_waiting(3);
    let home = serve(&mock, &proxy, "s");
    mock.fault(
        Fault::on(&home)
            .times(1)
            .status(429)
            .header("retry-after", "1"),
    );
    let throttled = Instant::now();
    let reply = proxy.turn("s", &chat("hi"));
    reply.is(200);
    assert_eq!(reply.header("x-lb-attempts"), Some("2"));
    assert_eq!(reply.header("x-lb-affinity"), Some("borrowed"));
    let borrowed = last_key(&mock);
    assert_ne!(borrowed, home);
    assert_eq!(health_of(&proxy, &home)["status"], "throttled");
    assert_eq!(
        serve(&mock, &proxy, "s"),
        borrowed,
        "the borrow is sticky too"
    );
    eventually("the session returns to its key", || {
        serve(&mock, &proxy, "s") == home
    });
    let took = throttled.elapsed();
    assert!(took >= Duration::from_millis(990), "back after {took:?}");
    assert_eq!(mock.counters().key(&home).unwrap().refused, 1);
}

#[test]
fn retry_after_ms_is_honoured_to_the_millisecond() {
    let (mock, proxy) = without_waiting(2);
    let home = serve(&mock, &proxy, "s");
    let throttle = Fault::on(&home).times(1).status(429);
    mock.fault(
        throttle
            .header("retry-after-ms", "300")
            .header("retry-after", "60"),
    );
    let throttled = Instant::now();
    assert_ne!(serve(&mock, &proxy, "s"), home);
    eventually("the session returns to its key", || {
        serve(&mock, &proxy, "s") == home
    });
    let took = throttled.elapsed();
    assert!(took >= Duration::from_millis(295), "back after {took:?}");
}

#[test]
fn no_key_is_tried_twice_by_a_request_that_does_not_wait() {
    let (mock, proxy) = without_waiting(4);
    mock.fault(Fault::on(ANY_KEY).status(429).header("retry-after", "30"));
    let reply = proxy.turn("s", &chat("hi"));
    reply.is(429);
    assert_eq!(reply.header("x-lb-attempts"), Some("4"));
    assert_eq!(spread(&mock, 4), [1, 1, 1, 1]);
}

#[test]
fn when_all_keys_cool_the_soonest_time_is_told_and_nobody_is_asked() {
    let (mock, proxy) = without_waiting(3);
    for (key, seconds) in keys(3).iter().zip(["30", "7", "20"]) {
        mock.fault(Fault::on(key).status(429).header("retry-after", seconds));
    }
    let first = proxy.turn("s", &chat("hi"));
    first.is(429);
    assert_eq!(
        first.number("retry-after"),
        7,
        "the pool's soonest, not the last one's"
    );
    let ms = first.number("retry-after-ms");
    assert!((6_000..=7_000).contains(&ms), "{ms}");
    let asked = mock.counters().total.requests;
    for reply in [proxy.turn("s", &chat("hi")), proxy.turn("t", &chat("ho"))] {
        reply.is_own(429, "all_cooling");
        assert!((6..=7).contains(&reply.number("retry-after")), "{reply:?}");
        assert!((5_000..=7_000).contains(&reply.number("retry-after-ms")));
        assert!(reply.message().contains("rate limited"), "{}", reply.text());
    }
    assert_eq!(mock.counters().total.requests, asked);
}

#[test]
fn a_throttled_answer_is_the_providers_own() {
    let (mock, proxy) = without_waiting(2);
    let body = r#"{"error":{"message":"slow down","code":"rate_limit_exceeded"}}"#;
    let throttle = Fault::on(ANY_KEY).status(429).body(body);
    mock.fault(
        throttle
            .header("retry-after", "9")
            .header("x-ratelimit-limit-requests", "60"),
    );
    let reply = proxy.turn("s", &chat("hi"));
    reply.is(429);
    assert_eq!(reply.text(), body);
    assert_eq!(reply.header("x-ratelimit-limit-requests"), Some("60"));
    assert_eq!(reply.header("x-lb-error"), None);
}

#[test]
fn cooldown_ms_counts_when_the_provider_names_no_time() {
    let (mock, proxy) = pair_with(2, json!({"cooldown_ms": 40_000}));
    let home = serve(&mock, &proxy, "s");
    mock.fault(Fault::on(&home).times(1).status(429));
    assert_ne!(serve(&mock, &proxy, "s"), home);
    let left = health_of(&proxy, &home)["retry_in_ms"].as_u64().unwrap();
    assert!((30_000..=40_000).contains(&left), "{left}");
}

#[test]
fn the_providers_time_wins_over_cooldown_ms() {
    let (mock, proxy) = pair_with(2, json!({"cooldown_ms": 40_000}));
    let home = serve(&mock, &proxy, "s");
    mock.fault(
        Fault::on(&home)
            .times(1)
            .status(429)
            .header("retry-after", "5"),
    );
    assert_ne!(serve(&mock, &proxy, "s"), home);
    let left = health_of(&proxy, &home)["retry_in_ms"].as_u64().unwrap();
    assert!((1..=5_000).contains(&left), "{left}");
}

#[test]
fn without_any_time_a_throttled_key_is_tried_again_after_a_second() {
    let (mock, proxy) = without_waiting(2);
    let home = serve(&mock, &proxy, "s");
    mock.fault(Fault::on(&home).times(1).status(429));
    let throttled = Instant::now();
    assert_ne!(serve(&mock, &proxy, "s"), home);
    eventually("the session returns to its key", || {
        serve(&mock, &proxy, "s") == home
    });
    let took = throttled.elapsed();
    assert!(took >= Duration::from_millis(990), "back after {took:?}");
}

#[test]
fn requests_without_a_session_take_turns_over_all_keys() {
    let (mock, proxy) = pair(3);
    for _ in 0..9 {
        proxy.get(MODELS).is(200);
    }
    assert_eq!(spread(&mock, 3), [3, 3, 3]);
}

#[test]
fn requests_without_a_session_pass_over_a_cooling_key() {
    let (mock, proxy) = pair(3);
    let throttled = &keys(3)[1];
    mock.fault(Fault::on(throttled).status(429).header("retry-after", "30"));
    for _ in 0..8 {
        proxy.get(MODELS).is(200);
    }
    assert_eq!(mock.counters().key(throttled).unwrap().requests, 1);
    let spread = spread(&mock, 3);
    assert_eq!(spread[0] + spread[2], 8);
    assert!(spread[0] >= 3 && spread[2] >= 3, "{spread:?}");
}

#[test]
fn keys_of_one_account_are_throttled_together() {
    let (mock, proxy) = {
        let mock = crate::support::mock(3);
        let keys: Vec<Value> = keys(3)
            .iter()
            .zip(["one", "one", "two"])
            .map(|(key, account)| json!({"key": key, "account": account}))
            .collect();
        let proxy = Proxy::start(json!({"target": mock.url(), "keys": keys}));
        (mock, proxy)
    };
    for key in &keys(3)[..2] {
        mock.fault(Fault::on(key).status(429).header("retry-after", "30"));
    }
    for number in 0..12 {
        proxy.turn(&format!("s{number}"), &chat("hi")).is(200);
    }
    let spread = spread(&mock, 3);
    assert_eq!(
        spread[0] + spread[1],
        1,
        "the account was asked once: {spread:?}"
    );
}

#[test]
fn a_session_unused_for_session_ttl_ms_is_forgotten() {
    let (_mock, proxy) = pair_with(2, json!({"session_ttl_ms": 700}));
    proxy.turn("s", &chat("hi")).is(200);
    assert_eq!(proxy.health()["sessions"], 1);
    eventually("the session is forgotten", || {
        proxy.health()["sessions"] == 0
    });
}

#[test]
fn the_environment_sets_the_session_ttl_too() {
    let mock = crate::support::mock(1);
    let config = json!({"target": mock.url(), "keys": keys(1), "session_ttl_ms": 3_600_000});
    let proxy = Proxy::start_with(config, &[("SESSION_TTL_MS", "700")]);
    proxy.turn("s", &chat("hi")).is(200);
    assert_eq!(proxy.health()["sessions"], 1);
    eventually("the session is forgotten", || {
        proxy.health()["sessions"] == 0
    });
}

#[test]
fn no_more_than_max_sessions_are_remembered() {
    let (_mock, proxy) = pair_with(2, json!({"max_sessions": 5}));
    for number in 0..20 {
        proxy.turn(&format!("s{number}"), &chat("hi")).is(200);
        assert!(proxy.health()["sessions"].as_u64().unwrap() <= 5);
    }
    assert_eq!(proxy.health()["sessions"], 5);
}

#[test]
fn a_request_without_a_session_leaves_none_behind() {
    let (_mock, proxy) = pair(2);
    proxy.get(MODELS).is(200);
    assert_eq!(proxy.health()["sessions"], 0);
}

#[test]
fn the_affinity_is_told() {
    let (mock, proxy) = pair(2);
    let affinity = |reply: crate::support::Reply| reply.header("x-lb-affinity").map(str::to_owned);
    assert_eq!(
        affinity(proxy.turn("s", &chat("hi"))).as_deref(),
        Some("new")
    );
    assert_eq!(
        affinity(proxy.turn("s", &chat("hi"))).as_deref(),
        Some("home")
    );
    assert_eq!(affinity(proxy.get(MODELS)).as_deref(), Some("none"));
    let home = {
        proxy.turn("s", &chat("hi")).is(200);
        last_key(&mock)
    };
    mock.fault(
        Fault::on(home)
            .times(1)
            .status(429)
            .header("retry-after", "30"),
    );
    assert_eq!(
        affinity(proxy.turn("s", &chat("hi"))).as_deref(),
        Some("borrowed")
    );
}

#[test]
fn the_session_unused_for_longest_is_forgotten_first() {
    let (mock, proxy) = pair_with(4, json!({"max_sessions": 3}));
    let affinity = |id: &str| {
        let reply = proxy.turn(id, &chat("hi"));
        reply.is(200);
        reply.header("x-lb-affinity").map(str::to_owned).unwrap()
    };
    for id in ["a", "b", "c"] {
        assert_eq!(affinity(id), "new");
    }
    assert_eq!(
        affinity("a"),
        "home",
        "used again, it is not the oldest any more"
    );
    assert_eq!(affinity("d"), "new");
    assert_eq!(affinity("a"), "home");
    assert_eq!(affinity("b"), "new", "the oldest one had to go");
    assert_eq!(mock.counters().total.requests, 7);
}
