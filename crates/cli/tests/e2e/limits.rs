//! Limits and what is not forwarded, each with a clear answer.

use serde_json::json;

use crate::support::{CHAT, MESSAGES, MODELS, chat, pair, pair_with};

#[test]
fn a_head_that_is_too_long_is_431() {
    let (mock, proxy) = pair(1);
    let long = "v".repeat(70 << 10);
    proxy
        .ask("GET", MODELS, &[("X-Long", &long)], b"")
        .is_own(431, "head_too_large");
    // Far beyond, the parser itself gives up.
    let longer = "v".repeat(1 << 20);
    assert_eq!(
        proxy.ask("GET", MODELS, &[("X-Long", &longer)], b"").status,
        431
    );
    assert_eq!(mock.counters().total.requests, 0);
}

#[test]
fn a_head_of_many_lines_is_served_or_431() {
    let (_mock, proxy) = pair(1);
    let lines = |count: usize| "X-A: b\r\n".repeat(count);
    for (count, status) in [(80, 200), (2_000, 431)] {
        let mut client = proxy.client();
        client.raw(format!(
            "GET {MODELS} HTTP/1.1\r\nHost: localhost\r\n{}\r\n",
            lines(count)
        ));
        assert_eq!(client.read().status, status, "{count} lines");
    }
}

#[test]
fn a_target_that_is_too_long_is_414() {
    let (mock, proxy) = pair(1);
    proxy
        .get(&format!("/v1/models?x={}", "y".repeat(7 << 10)))
        .is(200);
    let reply = proxy.get(&format!("/v1/models?x={}", "y".repeat(9 << 10)));
    reply.is_own(414, "target_too_long");
    assert_eq!(mock.counters().total.requests, 1);
}

#[test]
fn a_body_that_is_too_long_is_413_and_the_setting_is_named() {
    let (mock, proxy) = pair_with(1, json!({"body_bytes": 1000}));
    let long = chat(&"x".repeat(2000)).to_string();
    let reply = proxy.ask("POST", CHAT, &[], long.as_bytes());
    reply.is_own(413, "body_too_large");
    assert!(reply.message().contains("body_bytes"), "{}", reply.text());
    let reply = proxy.ask("POST", MESSAGES, &[], long.as_bytes());
    reply.is(413);
    assert_eq!(reply.json()["error"]["type"], "request_too_large");
    assert_eq!(mock.counters().total.requests, 0);
    proxy.post(CHAT, &chat("short")).is(200);
}

#[test]
fn a_chunked_body_that_becomes_too_long_is_413() {
    for replay_bytes in [100, 1_000_000] {
        let settings = json!({"body_bytes": 1000, "replay_bytes": replay_bytes});
        let (_mock, proxy) = pair_with(1, settings);
        let mut client = proxy.client();
        client.raw(format!(
            "POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        ));
        for _ in 0..4 {
            client.try_raw(format!("190\r\n{}\r\n", "x".repeat(400)));
        }
        client.try_raw("0\r\n\r\n");
        assert_eq!(client.read().status, 413, "replay_bytes {replay_bytes}");
    }
}

#[test]
fn connect_and_trace_are_refused() {
    let (mock, proxy) = pair(1);
    let mut client = proxy.client();
    client.raw("CONNECT 127.0.0.1:443 HTTP/1.1\r\nHost: 127.0.0.1:443\r\n\r\n");
    assert_eq!(client.read().status, 405);
    let mut client = proxy.client();
    client.raw("CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n");
    assert_eq!(client.read().status, 421);
    proxy
        .ask("TRACE", MODELS, &[], b"")
        .is_own(405, "method_not_allowed");
    assert_eq!(mock.counters().total.requests, 0);
}

#[test]
fn an_expectation_we_do_not_know_is_417() {
    let (_mock, proxy) = pair(1);
    proxy
        .ask("POST", CHAT, &[("Expect", "200-ok")], b"{}")
        .is_own(417, "expectation");
}

#[test]
fn ambiguous_framing_never_reaches_the_upstream() {
    let (mock, proxy) = pair(1);
    for framing in [
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5, 6",
        "Content-Length: +5",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: x",
    ] {
        let mut client = proxy.client();
        client.raw(format!(
            "POST {CHAT} HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n"
        ));
        let reply = client.read();
        assert_eq!(reply.status, 400, "{framing}: {reply:?}");
    }
    assert_eq!(mock.counters().total.requests, 0);
}

#[test]
fn both_kinds_of_framing_at_once_smuggle_nothing() {
    let (mock, proxy) = pair(1);
    let mut client = proxy.client();
    client.raw(format!(
        "POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n\
         2\r\n{{}}\r\n0\r\n\r\n"
    ));
    let reply = client.read();
    assert_ne!(reply.status, 0, "it is answered");
    for request in mock.requests() {
        assert_eq!(request.body, "{}");
        assert!(
            request.header("content-length").is_none()
                || request.header("transfer-encoding").is_none()
        );
    }
}

#[test]
fn what_is_no_http_is_answered_or_closed() {
    let (_mock, proxy) = pair(1);
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00"[..],
        b"hello\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
    ] {
        let mut client = proxy.client();
        client.raw(bytes);
        let reply = client.read();
        assert!(reply.status == 400 || reply.status == 0, "{reply:?}");
        assert_ne!(reply.end, crate::support::End::Silence, "{bytes:?}");
    }
    proxy.get(MODELS).is(200);
}

#[test]
fn answers_of_our_own_speak_the_dialect() {
    let (_mock, proxy) = pair_with(1, json!({"body_bytes": 10}));
    let ask = |path: &str| {
        proxy
            .ask("POST", path, &[], b"{\"more\": \"than ten bytes\"}")
            .json()
    };
    assert_eq!(ask(CHAT)["error"]["code"], "body_too_large");
    assert_eq!(ask(MESSAGES)["type"], "error");
    assert_eq!(
        ask("/v1beta/models/m:generateContent")["error"]["code"],
        413
    );
}
