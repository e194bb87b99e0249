//! How many requests an account is sent at once, what a model's trouble does to others, and a
//! provider that has no capacity.

use std::time::{Duration, Instant};

use api_key_lb_mock::{ANY_KEY, Account, Fault, Mock};
use serde_json::json;

use crate::holding::{begin, throttle_all, total};
use crate::placement::user;
use crate::support::{
    CHAT, Client, DEADLINE, MESSAGES, Proxy, Reply, chat, eventually, key, keys, mock_builder, pair,
};

fn concurrent_pair(limit: u64, keys: usize) -> (Mock, Proxy) {
    let builder = Mock::builder().head_delay(Duration::from_millis(50));
    let builder = (1..=keys).fold(builder, |builder, number| {
        let account = Account::new(format!("org-{number}")).key(key(number));
        builder.account(account.concurrency(limit))
    });
    let mock = builder.start().unwrap();
    let proxy = Proxy::start(json!({"target": mock.url(), "keys": crate::support::keys(keys)}));
    (mock, proxy)
}

/// Sends `count` requests at once, of a session each, and wants all of them served.
#[track_caller]
fn burst(proxy: &Proxy, name: &str, count: usize) {
    let replies: Vec<Reply> = std::thread::scope(|scope| {
        let send = |number| move || proxy.turn(&format!("{name} {number}"), &chat("hi"));
        let threads: Vec<_> = (0..count).map(|number| scope.spawn(send(number))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    for reply in &replies {
        reply.is(200);
    }
}

#[test]
fn how_many_requests_an_account_takes_at_once_is_learned_and_kept_to() {
    const LIMIT: u64 = 4;
    const BURST: usize = 40;
    let (mock, proxy) = concurrent_pair(LIMIT, 2);
    burst(&proxy, "first", BURST);
    let first = mock.counters().total.refused;
    // Those of the first burst were under way before anything was known, and each may visit both.
    assert!(first <= 2 * BURST as u64, "{first}");
    let known = proxy.health()["keys"].clone();
    burst(&proxy, "second", BURST);
    let second = mock.counters().total.refused - first;
    assert!(
        second <= BURST as u64 / 4,
        "{first}, then {second}; {known}"
    );
    let health = proxy.health();
    for key in health["keys"].as_array().unwrap() {
        let at_once = key["at_once"].as_u64().unwrap_or(u64::MAX);
        assert!((1..=2 * LIMIT).contains(&at_once), "{key}");
    }
    assert_eq!(health["waiting"], 0);
}

/// A request for a model, which its query names for the faults of the mock.
fn for_model(proxy: &Proxy, model: &str, headers: &[(&str, &str)]) -> Reply {
    let body = json!({"model": model, "messages": [user(format!("hi, {model}"))]}).to_string();
    proxy.ask("POST", &format!("{CHAT}?{model}"), headers, body.as_bytes())
}

#[test]
fn who_waits_for_one_model_keeps_nobody_from_another() {
    let (mock, proxy) = pair(1);
    let refusal = Fault::on(ANY_KEY).times(1).status(429);
    let refusal = refusal.body(r#"{"error":{"message":"Too many concurrent requests"}}"#);
    mock.fault(refusal.header("retry-after-ms", "1"));
    for_model(&proxy, "one", &[]).is(200);
    let at_once = proxy.health()["keys"][0]["at_once"].as_u64().unwrap();
    let throttle = Fault::on(ANY_KEY).path("?one").times(1).status(429);
    mock.fault(throttle.header("retry-after", "6"));
    for_model(&proxy, "one", &[("x-stainless-timeout", "1")]).is(429);
    std::thread::scope(|scope| {
        let send = || for_model(&proxy, "one", &[]);
        let waiting: Vec<_> = (0..at_once).map(|_| scope.spawn(send)).collect();
        eventually("they wait", || proxy.health()["waiting"] == at_once);
        let began = Instant::now();
        for_model(&proxy, "other", &[]).is(200);
        let took = began.elapsed();
        for request in waiting {
            request.join().unwrap().is(200);
        }
        assert!(
            took < Duration::from_millis(900),
            "it waited for another model: {took:?}"
        );
    });
}

#[test]
fn overload_everywhere_asks_two_accounts_and_passes_the_providers_answer() {
    let (mock, proxy) = pair(4);
    for_model(&proxy, "calm", &[]).is(200);
    let answer = r#"{"error":{"message":"The engine is currently overloaded."}}"#;
    mock.fault(Fault::on(ANY_KEY).path("?busy").status(503).body(answer));
    for _ in 0..3 {
        let before = mock.counters().total.requests;
        let reply = for_model(&proxy, "busy", &[]);
        reply.is(503);
        assert_eq!(
            (reply.text().as_str(), reply.header("x-lb-error")),
            (answer, None)
        );
        assert!(reply.number("x-lb-attempts") <= 2);
        assert!(mock.counters().total.requests - before <= 2);
        let other = for_model(&proxy, "calm", &[]);
        assert_eq!(other.is(200).header("x-lb-waited-ms"), None);
        assert_eq!(other.header("x-lb-attempts"), Some("1"));
    }
    // Whoever does not wait gets the provider's word for it, not ours.
    let reply = for_model(&proxy, "busy", &[("x-stainless-timeout", "1")]);
    assert_eq!(
        (reply.is(503).text().as_str(), reply.header("x-lb-error")),
        (answer, None)
    );
    for key in proxy.health()["keys"].as_array().unwrap() {
        assert_eq!(key["status"], "ready", "overload is no account's fault");
    }
}

#[test]
fn overload_of_one_model_that_the_path_names_leaves_the_others_alone() {
    let (mock, proxy) = pair(2);
    let send = |model: &str| {
        let body = json!({"contents": [{"role": "user", "parts": [{"text": model}]}]});
        proxy.post(&format!("/v1beta/models/{model}:generateContent"), &body)
    };
    mock.fault(Fault::on(ANY_KEY).path("models/busy:").status(503));
    send("busy").is(503);
    assert_eq!(send("calm").is(200).header("x-lb-waited-ms"), None);
}

#[test]
fn overload_of_anthropic_passes_as_529_and_is_over_with_the_first_success() {
    let (mock, proxy) = pair(4);
    let send = |text: &str| {
        let body =
            json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": text}]});
        proxy.post(MESSAGES, &body)
    };
    mock.fault(Fault::on(ANY_KEY).times(2).status(529));
    let reply = send("one");
    assert_eq!(reply.is(529).json()["error"]["type"], "overloaded_error");
    assert_eq!(mock.counters().total.requests, 2);
    let reply = send("two");
    assert!(reply.is(200).number("x-lb-waited-ms") <= 1_000 + 2_000);
    assert_eq!(send("three").is(200).header("x-lb-waited-ms"), None);
}

#[test]
fn no_slot_free_is_no_reason_to_say_that_there_is_no_key() {
    let mock = mock_builder(1)
        .head_delay(Duration::from_millis(700))
        .start()
        .unwrap();
    let proxy = Proxy::start(json!({"target": mock.url(), "keys": keys(1)}));
    let body = r#"{"error":{"message":"Too many concurrent requests"}}"#;
    let refusal = Fault::on(ANY_KEY).times(1).status(429).body(body);
    mock.fault(refusal.header("retry-after-ms", "1"));
    proxy
        .post(CHAT, &chat("learns that few run at once"))
        .is(200);
    let at_once = proxy.health()["keys"][0]["at_once"].as_u64().unwrap();
    let before = total(&mock);
    let mut running: Vec<Client> = (0..at_once).map(|_| begin(&proxy, &[], "runs")).collect();
    assert!(mock.wait_until(DEADLINE, |counters| counters.total.requests
        == before + at_once));
    let more = begin(&proxy, &[("x-stainless-timeout", "1")], "more").read();
    for client in &mut running {
        client.read().is(200);
    }
    comes_back_soon(&more);
}

#[test]
fn a_recovering_account_is_no_reason_to_say_that_there_is_no_key() {
    let mock = mock_builder(1)
        .head_delay(Duration::from_millis(500))
        .start()
        .unwrap();
    let settings = json!({"target": mock.url(), "keys": keys(1), "max_wait_ms": 0});
    let proxy = Proxy::start(settings);
    throttle_all(&mock, 1, 1);
    proxy.post(CHAT, &chat("hi")).is(429);
    // The next request may come within the millisecond that it cools.
    eventually("it may be asked again", || {
        proxy.health()["keys"][0]["status"] == "ready"
    });
    let mut probe = begin(&proxy, &[], "hi");
    assert!(mock.wait_until(DEADLINE, |counters| counters.total.requests == 2));
    let another = proxy.post(CHAT, &chat("ho"));
    probe.read().is(200);
    comes_back_soon(&another);
}

/// It was served, or told to try again soon.
#[track_caller]
fn comes_back_soon(reply: &Reply) {
    let error = reply.header("x-lb-error");
    assert_ne!(error, Some("no_key"), "{} {}", reply.status, reply.text());
    if reply.status != 200 {
        assert_eq!(reply.status, 429, "{reply:?}");
        assert!(reply.number("retry-after") <= 5, "{reply:?}");
    }
}
