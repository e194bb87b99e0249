//! The prompt cache: what hits, for how long, and how it is reported.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use std::time::Duration;

use api_key_lb_mock::{Fault, Mock};
use serde_json::{Value, json};
use support::*;

/// Some 1250 tokens.
fn long() -> String {
    "0123456789".repeat(500)
}

fn cached(mock: &Mock, key: &str, body: &Value) -> u64 {
    let usage = post(mock, key, CHAT, body).json()["usage"].clone();
    usage["prompt_tokens_details"]["cached_tokens"]
        .as_u64()
        .unwrap()
}

#[test]
fn a_repeated_prompt_is_read_from_the_cache_in_whole_blocks() {
    let mock = mock();
    assert_eq!(cached(&mock, ONE, &chat(&long())), 0);
    let hit = cached(&mock, ONE, &chat(&long()));
    assert_eq!(hit, 19 * 64, "1252 tokens make 19 blocks");
    let counters = mock.counters();
    assert_eq!(counters.key(ONE).unwrap().cached_tokens, hit);
    assert_eq!(counters.account("org-one").unwrap().cached_tokens, hit);
}

#[test]
fn each_account_and_each_model_has_its_own_cache() {
    let mock = mock();
    cached(&mock, ONE, &chat(&long()));
    assert_eq!(cached(&mock, TWO, &chat(&long())), 0);
    let mut other = chat(&long());
    other["model"] = "another".into();
    assert_eq!(cached(&mock, ONE, &other), 0);
}

#[test]
fn a_continued_conversation_hits_its_prefix_and_a_changed_start_does_not() {
    let mock = mock();
    cached(&mock, ONE, &chat(&long()));
    let mut next = chat(&long());
    let more = json!([{"role": "assistant", "content": "a"}, {"role": "user", "content": long()}]);
    next["messages"]
        .as_array_mut()
        .unwrap()
        .extend(more.as_array().unwrap().clone());
    assert_eq!(cached(&mock, ONE, &next), 19 * 64);
    assert_eq!(cached(&mock, ONE, &chat(&format!("x{}", long()))), 0);
}

#[test]
fn short_prompts_are_not_cached() {
    let mock = mock();
    let short = chat(&"x".repeat(4_000));
    assert_eq!(
        [cached(&mock, ONE, &short), cached(&mock, ONE, &short)],
        [0, 0]
    );
    let mock = builder()
        .cache_min_tokens(64)
        .cache_block_tokens(16)
        .start()
        .unwrap();
    let body = chat(&"x".repeat(4 * 100));
    assert_eq!(
        [cached(&mock, ONE, &body), cached(&mock, ONE, &body)],
        [0, 96]
    );
}

#[test]
fn entries_expire() {
    let mock = builder()
        .cache_ttl(Duration::from_millis(50))
        .start()
        .unwrap();
    cached(&mock, ONE, &chat(&long()));
    // Time itself is under test here, so this sleep is not a wait for something.
    std::thread::sleep(Duration::from_millis(120));
    assert_eq!(cached(&mock, ONE, &chat(&long())), 0);
}

#[test]
fn a_prompt_is_cached_only_once_its_answer_has_started() {
    let mock = mock();
    mock.fault(Fault::on(ONE).times(1).stall(None));
    let mut slow = Client::connect(&mock);
    slow.post(ONE, CHAT, &chat(&long()));
    assert!(mock.wait_until(DEADLINE, |counters| counters.total.in_flight == 1));
    assert_eq!(cached(&mock, ONE, &chat(&long())), 0);
    assert!(cached(&mock, ONE, &chat(&long())) > 0);
}

#[test]
fn anthropic_usage_keeps_reads_and_writes_apart_from_input() {
    let mock = mock();
    let body = chat(&long());
    let total = post(&mock, ONE, "/v1/messages/count_tokens", &body).json()["input_tokens"]
        .as_u64()
        .unwrap();
    let parts = |reply: &Reply| {
        let usage = reply.json()["usage"].clone();
        [
            "input_tokens",
            "cache_creation_input_tokens",
            "cache_read_input_tokens",
        ]
        .map(|name| usage[name].as_u64().unwrap())
    };
    let block = 19 * 64;
    assert_eq!(
        parts(&post(&mock, ONE, MESSAGES, &body)),
        [total - block, block, 0]
    );
    assert_eq!(
        parts(&post(&mock, ONE, MESSAGES, &body)),
        [total - block, 0, block]
    );
    let mut stream = body.clone();
    stream["stream"] = true.into();
    let start = post(&mock, ONE, MESSAGES, &stream).event_json()[0].clone();
    assert_eq!(start["message"]["usage"]["cache_read_input_tokens"], block);
}

#[test]
fn responses_and_gemini_report_cached_tokens_in_their_own_members() {
    let mock = mock();
    let body = json!({"model": "m", "input": long()});
    let gemini = json!({"contents": [{"role": "user", "parts": [{"text": long()}]}]});
    let path = "/v1beta/models/g:generateContent";
    for expected in [0, 19 * 64] {
        let usage = post(&mock, ONE, "/v1/responses", &body).json()["usage"].clone();
        assert_eq!(usage["input_tokens_details"]["cached_tokens"], expected);
        let usage = post(&mock, ONE, path, &gemini).json()["usageMetadata"].clone();
        assert_eq!(usage["cachedContentTokenCount"], expected);
    }
}

#[test]
fn uncached_tokens_delay_the_answer() {
    let mock = builder()
        .prefill(Duration::from_millis(200))
        .start()
        .unwrap();
    let timed = || {
        let start = std::time::Instant::now();
        post(&mock, ONE, CHAT, &chat(&long()));
        start.elapsed()
    };
    let cold = timed();
    assert!(
        cold >= Duration::from_millis(245),
        "1252 tokens at 200 ms per 1000: {cold:?}"
    );
    let warm = timed();
    assert!(warm < cold, "{warm:?}");
}
