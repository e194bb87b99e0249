//! What goes wrong with one key is invisible as long as another can serve; and what happens if none can.

use api_key_lb_mock::{ANY_KEY, Close, Fault};
use serde_json::json;

use crate::support::{
    CHAT, Client, MODELS, Proxy, RESPONSES, Upstream, chat, free_port, key, keys, mock, pair,
    pair_with, spread,
};

#[track_caller]
fn is_invisible(fault: Fault) {
    let (mock, proxy) = pair(3);
    mock.fault(fault);
    let reply = proxy.turn("s", &chat("hi"));
    reply.is(200);
    assert_eq!(
        reply.header("x-lb-attempts"),
        Some("2"),
        "{:?}",
        reply.headers
    );
    let mut spread = spread(&mock, 3);
    spread.sort_unstable();
    assert_eq!(spread, [0, 1, 1], "another key served");
    for _ in 0..3 {
        proxy.turn("s", &chat("hi")).is(200);
    }
}

#[test]
fn a_500_of_one_key_is_invisible() {
    is_invisible(Fault::on(ANY_KEY).times(1).status(500));
}

#[test]
fn a_500_to_a_request_of_ollamas_own_api_is_invisible() {
    for (path, attempts) in [
        ("/api/chat", Some("2")),
        ("/api/generate", Some("2")),
        ("/api/embed", Some("2")),
        // Not known to be harmless if it is sent twice.
        ("/api/pull", Some("1")),
    ] {
        let (mock, proxy) = pair(2);
        mock.fault(Fault::on(ANY_KEY).times(1).status(500));
        let reply = proxy.post(path, &chat("hi"));
        assert_eq!(reply.header("x-lb-attempts"), attempts, "{path}");
    }
}

#[test]
fn a_503_of_one_key_is_invisible() {
    is_invisible(Fault::on(ANY_KEY).times(1).status(503));
}

#[test]
fn a_529_of_one_key_is_invisible() {
    is_invisible(Fault::on(ANY_KEY).times(1).status(529));
}

#[test]
fn a_401_of_one_key_is_invisible() {
    is_invisible(Fault::on(ANY_KEY).times(1).status(401));
}

#[test]
fn a_402_of_one_key_is_invisible() {
    is_invisible(Fault::on(ANY_KEY).times(1).status(402));
}

#[test]
fn a_403_of_one_key_is_invisible() {
    is_invisible(Fault::on(ANY_KEY).times(1).status(403));
}

#[test]
fn a_connection_that_is_reset_before_the_answer_is_invisible() {
    is_invisible(Fault::on(ANY_KEY).times(1).reset(Close::Reset));
}

#[test]
fn a_connection_that_is_closed_before_the_answer_is_invisible() {
    is_invisible(Fault::on(ANY_KEY).times(1).reset(Close::Fin));
}

#[test]
fn a_connection_that_is_reset_while_the_body_is_sent_is_invisible() {
    let (mock, proxy) = pair(3);
    mock.fault(Fault::on(ANY_KEY).times(1).reset_body(100));
    proxy.turn("s", &chat(&"word ".repeat(100_000))).is(200);
    assert_eq!(mock.counters().total.requests, 2);
}

#[test]
fn a_key_whose_target_refuses_connections_is_invisible() {
    let mock = mock(1);
    let dead = format!("http://127.0.0.1:{}", free_port());
    let proxy = Proxy::start(json!({
        "target": mock.url(),
        "keys": [{"key": "sk-nobody-listens-there", "target": dead, "weight": 3}, key(1)],
    }));
    let mut retried = 0;
    for number in 0..12 {
        let reply = proxy.turn(&format!("s{number}"), &chat("hi"));
        reply.is(200);
        retried += usize::from(reply.header("x-lb-attempts") == Some("2"));
    }
    assert!(retried > 0, "no session began with the dead key");
}

#[test]
fn a_key_that_never_serves_does_not_use_up_what_may_be_tried_again() {
    let mock = mock(1);
    let dead = format!("http://127.0.0.1:{}", free_port());
    let proxy = Proxy::start(json!({
        "target": mock.url(),
        "keys": [{"key": "sk-nobody-listens-there", "target": dead}, key(1)],
    }));
    // With nothing to do, it has the least to do.
    let body = chat(&"some words ".repeat(1_000));
    for number in 0..30 {
        proxy.turn(&format!("s{number}"), &body).is(200);
    }
}

#[test]
fn a_refused_key_is_tried_last_from_then_on() {
    let mock = mock(1);
    let proxy = Proxy::start(json!({
        "target": mock.url(),
        "keys": [{"key": "sk-revoked-9876543210", "weight": 9}, key(1)],
    }));
    for number in 0..20 {
        proxy.turn(&format!("s{number}"), &chat("hi")).is(200);
    }
    let revoked = mock.counters().keys["sk-revoked-9876543210"].requests;
    assert_eq!(
        revoked, 1,
        "once it is known to be refused it is left alone"
    );
}

#[test]
fn if_all_keys_are_refused_the_providers_own_answer_passes() {
    let mock = mock(1);
    let proxy = Proxy::start(json!({
        "target": mock.url(),
        "keys": ["sk-revoked-1-aaaaaaaaaa", "sk-revoked-2-bbbbbbbbbb", "sk-revoked-3-cccccccccc"],
    }));
    for _ in 0..2 {
        let reply = proxy.turn("s", &chat("hi"));
        reply.is(401);
        assert_eq!(reply.header("x-lb-error"), None);
        assert_eq!(reply.header("x-lb-attempts"), Some("3"));
        assert_eq!(
            reply.json()["error"]["code"],
            "invalid_api_key",
            "{}",
            reply.text()
        );
    }
}

#[test]
fn a_401_of_the_only_key_passes() {
    let (mock, proxy) = pair(1);
    mock.fault(Fault::on(ANY_KEY).times(1).status(401).body("go away"));
    let reply = proxy.turn("s", &chat("hi"));
    reply.is(401);
    assert_eq!(
        (reply.text().as_str(), reply.header("x-lb-error")),
        ("go away", None)
    );
    proxy.turn("s", &chat("hi")).is(200);
}

#[track_caller]
fn passes_at_once(status: u16) {
    let (mock, proxy) = pair(3);
    mock.fault(Fault::on(ANY_KEY).status(status).body("your fault"));
    let reply = proxy.turn("s", &chat("hi"));
    reply.is(status);
    assert_eq!(reply.text(), "your fault");
    assert_eq!(reply.header("x-lb-attempts"), Some("1"));
    assert_eq!(mock.counters().total.requests, 1);
    let health = proxy.health();
    for key in health["keys"].as_array().unwrap() {
        assert_eq!(
            (&key["errors"], &key["status"]),
            (&json!(0), &json!("ready"))
        );
    }
}

#[test]
fn a_400_passes_at_once_and_blames_no_key() {
    passes_at_once(400);
}

#[test]
fn a_404_passes_at_once_and_blames_no_key() {
    passes_at_once(404);
}

#[test]
fn a_413_of_the_provider_passes_at_once_and_blames_no_key() {
    passes_at_once(413);
}

#[test]
fn at_most_three_keys_are_tried_on_server_errors() {
    let (mock, proxy) = pair(5);
    mock.fault(Fault::on(ANY_KEY).status(500).body("broken"));
    let reply = proxy.turn("s", &chat("hi"));
    reply.is(500);
    assert_eq!(reply.text(), "broken");
    assert_eq!(mock.counters().total.requests, 3);
}

#[test]
fn when_nobody_can_be_reached_the_answer_is_502_with_an_error() {
    let proxy = Proxy::start(json!({
        "target": format!("http://127.0.0.1:{}", free_port()), "keys": keys(5),
    }));
    let reply = proxy.turn("s", &chat("hi"));
    reply.is_own(502, "upstream_unreachable");
    assert!(reply.json()["error"].is_object(), "{}", reply.text());
    let health = proxy.health();
    let tries: u64 = health["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| key["requests"].as_u64().unwrap())
        .sum();
    assert_eq!(tries, 3, "not every key against a provider that is down");
}

#[test]
fn a_garbled_answer_is_502() {
    let upstream = Upstream::answering("this is no HTTP\r\n\r\n");
    let proxy = Proxy::start(json!({"target": upstream.url(), "keys": keys(2)}));
    proxy
        .turn("s", &chat("hi"))
        .is_own(502, "upstream_unreachable");
}

#[test]
fn a_connection_the_provider_closed_meanwhile_is_replaced_quietly() {
    let (mock, proxy) = pair_with(1, json!({"workers": 1}));
    for close in [Close::Fin, Close::Reset] {
        mock.fault(
            Fault::on(ANY_KEY)
                .times(3)
                .kind(api_key_lb_mock::FaultKind::CloseAfter { close }),
        );
        for _ in 0..6 {
            let reply = proxy.turn("s", &chat("hi"));
            reply.is(200);
            assert_eq!(reply.header("x-lb-attempts"), Some("1"));
        }
    }
}

#[test]
fn a_kept_connection_that_dies_as_it_is_used_is_replaced_quietly() {
    // Answers one request on a connection, and closes it only when the second one has come.
    let upstream = Upstream::start(|connection| {
        if connection.request().is_some() {
            connection.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            connection.request();
        }
    });
    let proxy = Proxy::start(json!({"target": upstream.url(), "keys": keys(1), "workers": 1}));
    for number in 1..=3 {
        let reply = proxy.turn("s", &chat("hi"));
        reply.is(200);
        assert_eq!(reply.header("x-lb-attempts"), Some("1"));
        assert_eq!(upstream.connections(), number);
    }
}

#[test]
fn upstream_connections_are_reused() {
    let (mock, proxy) = pair_with(2, json!({"workers": 1}));
    for number in 0..10 {
        proxy.turn(&format!("s{number}"), &chat("hi")).is(200);
    }
    assert_eq!(mock.counters().connections, 1);
}

/// Sends several requests over one connection of the client.
#[test]
fn a_client_connection_serves_many_requests_failures_included() {
    let (mock, proxy) = pair(2);
    mock.fault(Fault::on(ANY_KEY).skip(1).times(1).status(400));
    let mut client: Client = proxy.client();
    for status in [200, 400, 200] {
        client.send("POST", CHAT, &[], chat("hi").to_string().as_bytes());
        client.read().is(status);
    }
    client.send("GET", "/health", &[], b"");
    client.read().is(200);
    client.send("GET", MODELS, &[], b"");
    client.read().is(200);
    client.send(
        "POST",
        RESPONSES,
        &[],
        json!({"model": "m", "input": "hi"}).to_string().as_bytes(),
    );
    client.read().is(200);
}
