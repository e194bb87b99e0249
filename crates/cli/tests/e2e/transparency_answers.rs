//! Answers reach the client as the upstream wrote them: status, headers, body, trailers.

use api_key_lb_mock::{ANY_KEY, Fault};
use serde_json::json;

use crate::support::{CHAT, MODELS, Proxy, Reply, Upstream, chat, config, mock, pair, pair_with};

const PLAIN: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// What the proxy makes of `answer`.
fn relayed(answer: impl Into<Vec<u8>>, method: &str, headers: &[(&str, &str)]) -> Reply {
    let upstream = Upstream::answering(answer);
    let settings = json!({"answer_headers": false});
    let proxy = Proxy::start(config(&upstream.url(), 1, settings));
    proxy.ask(method, MODELS, headers, b"")
}

fn pairs(reply: &Reply) -> Vec<(&str, &str)> {
    reply
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect()
}

#[test]
fn status_headers_and_body_are_the_upstreams() {
    let reply = relayed(
        "HTTP/1.1 218 This Is Fine\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nServer: theirs\r\n\
         Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-Request-Id: req_1\r\nX-Ratelimit-Reset-Tokens: 6m0s\r\n\
         Retry-After: 17\r\nOpenai-Organization: org\r\nX-Odd: \"a\",\tb\r\nContent-Length: 4\r\n\r\nbody",
        "GET",
        &[],
    );
    reply.is(218);
    assert_eq!(reply.text(), "body");
    let wanted = [
        ("date", "Thu, 01 Jan 1970 00:00:00 GMT"),
        ("server", "theirs"),
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
        ("x-request-id", "req_1"),
        ("x-ratelimit-reset-tokens", "6m0s"),
        ("retry-after", "17"),
        ("openai-organization", "org"),
        ("x-odd", "\"a\",\tb"),
        ("content-length", "4"),
    ];
    assert_eq!(pairs(&reply), wanted);
}

#[test]
fn no_date_and_no_server_are_added() {
    let reply = relayed(PLAIN, "GET", &[]);
    reply.is(200);
    assert_eq!(pairs(&reply), [("content-length", "2")]);
}

#[test]
fn error_bodies_are_the_providers_own() {
    let (mock, proxy) = pair(1);
    for status in [400, 404, 409, 418, 422] {
        let body = format!("{{ \"odd\":   {status} }}\n");
        let fault = Fault::on(ANY_KEY).times(1).status(status).body(&body);
        mock.fault(
            fault
                .header("x-should-retry", "false")
                .header("content-type", "text/odd"),
        );
        let reply = proxy.post(CHAT, &chat("hi"));
        reply.is(status);
        assert_eq!(reply.text(), body);
        assert_eq!(reply.header("x-should-retry"), Some("false"));
        assert_eq!(reply.header("content-type"), Some("text/odd"));
        assert_eq!(reply.header("x-lb-error"), None);
    }
}

#[test]
fn a_redirect_is_passed_on_and_not_followed() {
    let evil = Upstream::answering(PLAIN);
    let answer = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nLocation: {}/v1/steal\r\nContent-Length: 0\r\n\r\n",
        evil.url()
    );
    let reply = relayed(answer, "GET", &[]);
    reply.is(307);
    assert_eq!(
        reply.header("location"),
        Some(format!("{}/v1/steal", evil.url()).as_str())
    );
    assert_eq!(evil.connections(), 0);
}

#[test]
fn a_compressed_answer_stays_compressed() {
    // Not even gzip: what it is, is no business of a proxy.
    let body: Vec<u8> = (0..=255).cycle().take(70_000).collect();
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    answer.extend_from_slice(&body);
    let reply = relayed(answer, "GET", &[("Accept-Encoding", "gzip")]);
    reply.is(200);
    assert_eq!(reply.header("content-encoding"), Some("gzip"));
    assert!(reply.body == body, "the body was changed");
}

#[test]
fn a_chunked_answer_keeps_its_bytes() {
    let reply = relayed(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n\x00\x01\x02\r\na;x=y\r\n0123456789\r\n0\r\n\r\n",
        "GET",
        &[],
    );
    reply.is(200);
    assert_eq!(reply.body, b"\x00\x01\x020123456789");
}

#[test]
fn an_answer_that_ends_with_its_connection_is_passed_on() {
    let upstream = Upstream::start(|connection| {
        connection.request();
        connection.write("HTTP/1.1 200 OK\r\n\r\nuntil the end");
    });
    let proxy = Proxy::start(config(&upstream.url(), 1, json!({})));
    let reply = proxy.get(MODELS);
    reply.is(200);
    assert_eq!(reply.text(), "until the end");
}

#[test]
fn trailers_of_an_answer_arrive() {
    let reply = relayed(
        "HTTP/1.1 200 OK\r\nTrailer: x-sum\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\nX-Sum: 42\r\n\r\n",
        "GET",
        &[("TE", "trailers"), ("Connection", "TE")],
    );
    reply.is(200);
    assert_eq!(reply.text(), "body");
    assert_eq!(reply.trailers, [("x-sum".to_owned(), "42".to_owned())]);
}

#[test]
fn an_answer_to_head_keeps_its_length_and_has_no_body() {
    let upstream = Upstream::answering("HTTP/1.1 200 OK\r\nContent-Length: 1234\r\nX-A: b\r\n\r\n");
    let proxy = Proxy::start(config(&upstream.url(), 1, json!({})));
    let mut client = proxy.client();
    for _ in 0..2 {
        client.send("HEAD", MODELS, &[], b"");
        let reply = client.read_for("HEAD");
        reply.is(200);
        assert_eq!(reply.header("content-length"), Some("1234"));
        assert_eq!(reply.header("x-a"), Some("b"));
    }
}

#[test]
fn answers_without_a_body_end_at_once() {
    for (status, line) in [(204, "204 No Content"), (304, "304 Not Modified")] {
        let upstream = Upstream::answering(format!("HTTP/1.1 {line}\r\nETag: \"e\"\r\n\r\n"));
        let proxy = Proxy::start(config(&upstream.url(), 1, json!({})));
        let mut client = proxy.client();
        for _ in 0..2 {
            client.send("GET", MODELS, &[], b"");
            let reply = client.read();
            reply.is(status);
            assert_eq!(reply.header("etag"), Some("\"e\""));
            assert!(reply.body.is_empty());
        }
    }
}

#[test]
fn an_empty_answer_keeps_its_length() {
    let reply = relayed("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "GET", &[]);
    reply.is(200);
    assert_eq!(reply.header("content-length"), Some("0"));
}

#[test]
fn headers_of_the_upstreams_connection_stay_on_it() {
    let reply = relayed(
        "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n\
         Proxy-Authenticate: Basic\r\nUpgrade: h2c\r\nX-Stays: 1\r\nContent-Length: 2\r\n\r\nok",
        "GET",
        &[],
    );
    reply.is(200);
    let mut left = pairs(&reply);
    left.sort_unstable();
    assert_eq!(left, [("content-length", "2"), ("x-stays", "1")]);
}

#[test]
fn an_upstream_that_closes_its_connection_does_not_close_the_clients() {
    let upstream = Upstream::start(|connection| {
        connection.request();
        connection.write("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
    });
    let proxy = Proxy::start(config(&upstream.url(), 1, json!({})));
    let mut client = proxy.client();
    for _ in 0..3 {
        client.send("GET", MODELS, &[], b"");
        let reply = client.read();
        reply.is(200);
        assert_eq!(reply.header("connection"), None);
    }
}

#[test]
fn an_informational_answer_before_the_real_one_does_no_harm() {
    let reply = relayed(
        "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "GET",
        &[],
    );
    reply.is(200);
    assert_eq!(reply.text(), "ok");
}

#[test]
fn relayed_answers_say_which_key_served() {
    let (_mock, proxy) = pair(1);
    let reply = proxy.turn("s", &chat("hi"));
    reply.is(200);
    assert_eq!(reply.header("x-lb-key"), Some("key-1"));
    assert_eq!(reply.header("x-lb-affinity"), Some("new"));
    assert_eq!(reply.header("x-lb-attempts"), Some("1"));
}

#[test]
fn the_label_of_a_key_is_what_answers_call_it() {
    let mock = mock(1);
    let proxy = Proxy::start(json!({
        "target": mock.url(),
        "keys": [{"key": crate::support::key(1), "label": "work"}],
    }));
    assert_eq!(
        proxy.turn("s", &chat("hi")).header("x-lb-key"),
        Some("work")
    );
}

#[test]
fn answer_headers_can_be_turned_off() {
    let (_mock, proxy) = pair_with(1, json!({"answer_headers": false}));
    let reply = proxy.turn("s", &chat("hi"));
    reply.is(200);
    for (name, _) in &reply.headers {
        assert!(!name.starts_with("x-lb-"), "{name}");
    }
}

#[test]
fn an_answer_that_comes_before_the_body_has_been_sent_reaches_the_client() {
    let upstream = Upstream::start(|connection| {
        if connection.head().is_some() {
            connection.write("HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\n\r\nlong");
            // Takes what still comes, as servers do before they close.
            connection.take(usize::MAX >> 1);
        }
    });
    let proxy = Proxy::start(config(&upstream.url(), 2, json!({"replay_bytes": 1000})));
    let mut client = proxy.client();
    client.raw("POST /v1/files HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3000\r\n\r\n");
    client.raw("x".repeat(1500));
    let reply = client.read();
    reply.is(413);
    assert_eq!(reply.text(), "long");
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn an_early_answer_to_a_whole_body_reaches_the_client() {
    let upstream = Upstream::start(|connection| {
        if connection.head().is_some() {
            connection.write("HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\nno");
            connection.take(usize::MAX >> 1);
        }
    });
    let proxy = Proxy::start(config(&upstream.url(), 2, json!({})));
    let reply = proxy.post(CHAT, &chat(&"word ".repeat(1_000_000)));
    reply.is(400);
    assert_eq!(reply.text(), "no");
}
