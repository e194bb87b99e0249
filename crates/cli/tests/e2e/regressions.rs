//! Defects of the npm package `api-key-lb` 1.0.x that must not come back, each seen by running it.
//!
//! Those that are tested with their topic:
//!
//! | Defect | Tests |
//! |---|---|
//! | `//evil.example/v1` or an absolute URL as request target sent the key to that host | `targets::a_request_target_that_…`, `targets::odd_request_targets_…` |
//! | 5xx, 401, 402, 403 of one key reached the client although another key was fine | `failover::a_…_of_one_key_is_invisible` |
//! | an upstream that stalls or cuts a stream left the client hanging | `streams::an_upstream_that_does_not_answer_…`, `streams::a_stream_that_falls_silent_…`, `streams::a_cut_stream_…` |
//! | a client that leaves did not stop the upstream request | `streams::a_client_that_leaves_…` |
//! | the client's `x-api-key` was forwarded | `credentials::*` |
//! | the session TTL was never applied | `routing::a_session_unused_for_session_ttl_ms_is_forgotten` |
//! | all requests without a session went to key 0 | `routing::requests_without_a_session_take_turns_…` |
//! | one system prompt put all conversations on one key | `identity::a_chat_without_an_id_…` |
//! | a fallback could try the same key again, and always fell on the first free one | `routing::no_key_is_tried_twice_by_one_request`, below |
//! | `stop` needed `lsof` and ended whatever listened on the port | `lifecycle::stop_…` |
//! | the target's path was ignored | `targets::the_targets_path_…` |

use std::collections::BTreeSet;

use api_key_lb_mock::Fault;
use serde_json::{Value, json};

use crate::support::{CHAT, Upstream, chat, key, last_key, pair, pair_with};

/// Values that are no session id.
fn wrong_types() -> Vec<Value> {
    vec![
        json!(12345),
        json!(1.5),
        json!(true),
        json!(null),
        json!([]),
        json!(["a"]),
        json!({}),
        json!({"id": "a"}),
        json!(""),
        json!("x".repeat(100_000)),
    ]
}

#[track_caller]
fn survives(make: impl Fn(Value) -> Value) {
    let (_mock, mut proxy) = pair(2);
    for value in wrong_types() {
        let body = make(value);
        let reply = proxy.post(CHAT, &body);
        assert_ne!(reply.status, 0, "{body}");
        assert_eq!(reply.header("x-lb-error"), None, "{body}");
        assert_eq!(proxy.ended(), None, "{body}");
    }
    proxy.post(CHAT, &chat("hi")).is(200);
}

// A wrong-typed `session_id` in the metadata of a message threw outside any `try` and ended the process.
#[test]
fn a_wrong_typed_session_id_in_message_metadata_does_no_harm() {
    survives(
        |value| json!({"model": "m", "messages": [{"role": "user", "content": "hi", "metadata": {"session_id": value}}]}),
    );
}

// The same with `custom_fields`.
#[test]
fn a_wrong_typed_session_id_in_custom_fields_does_no_harm() {
    survives(
        |value| json!({"model": "m", "messages": [{"role": "user", "content": "hi", "custom_fields": {"session_id": value}}]}),
    );
}

// Wrong types everywhere else were caught by luck only.
#[test]
fn wrong_types_anywhere_in_a_body_do_no_harm() {
    for field in [
        "session_id",
        "thread_id",
        "prompt_cache_key",
        "model",
        "stream",
        "metadata",
        "messages",
        "input",
        "system",
    ] {
        survives(|value| {
            let mut body = chat("hi");
            body[field] = value;
            body
        });
    }
    survives(
        |value| json!({"model": "m", "messages": [value.clone(), {"role": value.clone(), "content": value}]}),
    );
    survives(
        |value| json!({"model": "m", "messages": [{"role": "system", "content": value}, {"role": "user", "content": "hi"}]}),
    );
}

// A body nested deeply enough to overflow a recursive parser.
#[test]
fn a_deeply_nested_body_does_no_harm() {
    let (_mock, mut proxy) = pair(1);
    let depth = 200_000;
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let body = format!("{}1{}", open.repeat(depth), close.repeat(depth));
        let reply = proxy.ask("POST", "/v1/echo", &[], body.as_bytes());
        assert_ne!(reply.status, 0);
        assert_eq!(proxy.ended(), None);
    }
}

// `https.request` was used for every target, and 443 for every port that was not given.
#[test]
fn plain_http_targets_work() {
    let upstream = Upstream::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let (_mock, proxy) = pair_with(
        1,
        json!({"pools": {"plain": {"target": upstream.url(), "keys": [key(1)]}}}),
    );
    proxy.get("/plain/v1/models").is(200);
    assert_eq!(upstream.requests()[0].line(), "GET /v1/models HTTP/1.1");
}

// A throttled session always fell on the first free key, so all of them met there.
#[test]
fn sessions_of_a_throttled_key_spread_over_the_others() {
    let (mock, proxy) = pair(4);
    mock.fault(Fault::on(key(1)).status(429).header("retry-after", "60"));
    let mut displaced = BTreeSet::new();
    for number in 0..60 {
        let reply = proxy.turn(&format!("s{number}"), &chat("hi"));
        reply.is(200);
        displaced.insert(last_key(&mock));
    }
    assert_eq!(displaced.len(), 3, "{displaced:?}");
    assert_eq!(mock.counters().key(&key(1)).unwrap().requests, 1);
}

// `Retry-After: 0` and dates became the full cooldown or nothing at all.
#[test]
fn odd_retry_after_values_do_no_harm() {
    let (mock, proxy) = pair_with(10, json!({"cooldown_ms": 1}));
    for value in [
        "0",
        "-5",
        "soon",
        "",
        "1e300",
        "99999999999999999999",
        "0.05",
        "Sun, 06 Nov 1994 08:49:37 GMT",
    ] {
        mock.fault(
            Fault::on("*")
                .times(1)
                .status(429)
                .header("retry-after", value),
        );
        proxy.turn("s", &chat("hi")).is(200);
    }
}

// The answer of the upstream is not buffered before it is judged: a large 429 is no reason to wait.
#[test]
fn a_large_refusal_is_no_reason_to_wait() {
    let (mock, proxy) = pair(2);
    let throttle = Fault::on("*")
        .times(1)
        .status(429)
        .body("x".repeat(5_000_000));
    mock.fault(throttle.header("retry-after", "1"));
    proxy.turn("s", &chat("hi")).is(200);
}
