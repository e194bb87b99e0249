//! Requests that must not be done twice are sent again only if nothing can have happened.

use api_key_lb_mock::{ANY_KEY, Close, Fault, Mock};
use serde_json::{Value, json};

use crate::support::{CHAT, MESSAGES, Proxy, RESPONSES, Reply, free_port, key, mock, pair};

const FILES: &str = "/v1/files";

fn background() -> Value {
    json!({"model": "m", "input": "hi", "background": true})
}

fn ask(fault: Fault, path: &str, body: &Value) -> (Reply, u64) {
    let (mock, proxy) = pair(3);
    mock.fault(fault);
    let reply = proxy.post(path, body);
    (reply, mock.counters().total.requests)
}

fn first(status: u16) -> Fault {
    Fault::on(ANY_KEY).times(1).status(status)
}

#[test]
fn an_upload_is_not_sent_again_after_a_500() {
    let (reply, sent) = ask(first(500).body("broken"), FILES, &json!({}));
    reply.is(500);
    assert_eq!((reply.text().as_str(), sent), ("broken", 1));
}

#[test]
fn an_upload_is_not_sent_again_after_a_broken_connection() {
    for close in [Close::Reset, Close::Fin] {
        let (reply, sent) = ask(Fault::on(ANY_KEY).times(1).reset(close), FILES, &json!({}));
        reply.is_own(502, "upstream_unreachable");
        assert_eq!(sent, 1);
    }
}

#[test]
fn an_upload_is_sent_again_after_a_refusal_that_did_nothing() {
    for status in [401, 402, 403, 429] {
        let (reply, sent) = ask(first(status), FILES, &json!({}));
        // The mock knows no files; its answer to the second key passes.
        reply.is(404);
        assert_eq!(sent, 2, "{status}");
    }
}

#[test]
fn an_upload_is_sent_to_another_key_if_there_was_no_connection() {
    let mock = mock(1);
    let dead = format!("http://127.0.0.1:{}", free_port());
    let proxy = Proxy::start(json!({
        "target": mock.url(),
        "keys": [{"key": "sk-nobody-listens-there", "target": dead}, key(1)],
    }));
    for _ in 0..4 {
        proxy.post(FILES, &json!({})).is(404);
    }
    assert_eq!(mock.counters().total.requests, 4);
}

#[test]
fn a_background_response_is_not_sent_again_after_a_500_or_a_broken_connection() {
    let (reply, sent) = ask(first(500), RESPONSES, &background());
    assert_eq!((reply.status, sent), (500, 1));
    let reset = Fault::on(ANY_KEY).times(1).reset(Close::Reset);
    let (reply, sent) = ask(reset, RESPONSES, &background());
    assert_eq!((reply.status, sent), (502, 1));
}

#[test]
fn a_background_response_is_sent_again_after_a_429_or_401() {
    for status in [429, 401] {
        let (reply, sent) = ask(first(status), RESPONSES, &background());
        assert_eq!((reply.status, sent), (200, 2));
    }
}

#[test]
fn generation_endpoints_are_sent_again_after_a_500() {
    let chat =
        json!({"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]});
    for (path, body) in [
        (CHAT, chat.clone()),
        (MESSAGES, chat),
        (RESPONSES, json!({"model": "m", "input": "hi"})),
        ("/v1/embeddings", json!({"model": "m", "input": "hi"})),
        ("/v1/completions", json!({"model": "m", "prompt": "hi"})),
        (
            "/v1beta/models/m:generateContent",
            json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}),
        ),
    ] {
        let (reply, sent) = ask(first(500), path, &body);
        assert_eq!((reply.status, sent), (200, 2), "{path}: {}", reply.text());
    }
}

#[track_caller]
fn method_after_500(mock: &Mock, proxy: &Proxy, method: &str) -> (u16, u64) {
    let before = mock.counters().total.requests;
    mock.fault(first(500));
    let reply = proxy.ask(method, "/v1/things/one", &[], b"");
    (reply.status, mock.counters().total.requests - before)
}

#[test]
fn only_safe_methods_are_sent_again_elsewhere() {
    let (mock, proxy) = pair(3);
    assert_eq!(method_after_500(&mock, &proxy, "GET"), (404, 2));
    assert_eq!(method_after_500(&mock, &proxy, "HEAD"), (404, 2));
    assert_eq!(method_after_500(&mock, &proxy, "DELETE"), (500, 1));
    assert_eq!(method_after_500(&mock, &proxy, "PATCH"), (500, 1));
    assert_eq!(method_after_500(&mock, &proxy, "PUT"), (500, 1));
}

#[test]
fn a_body_beyond_the_replay_limit_is_sent_once() {
    let mock = mock(3);
    let proxy = Proxy::start(json!({
        "target": mock.url(), "keys": crate::support::keys(3), "replay_bytes": 1000,
    }));
    mock.fault(first(500));
    let long = crate::support::chat(&"word ".repeat(1000));
    proxy.post(CHAT, &long).is(500);
    assert_eq!(mock.counters().total.requests, 1);
    proxy.post(CHAT, &long).is(200);
}
