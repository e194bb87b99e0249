//! Requests reach the upstream as the client wrote them: method, path, query, headers, body, trailers.

use serde_json::json;

use crate::support::{CHAT, Connection, Proxy, Upstream, chat, config, mock_builder, pair};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const ECHO: &str = "/v1/echo";
/// More than the 32 MB that are kept for sending again.
const HUGE: usize = 40_000_000;

fn proxy_of(upstream: &Upstream) -> Proxy {
    Proxy::start(config(&upstream.url(), 1, json!({})))
}

/// Bytes of every value, in no regular order.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

#[test]
fn a_body_of_256_kb_arrives_byte_for_byte() {
    let (mock, proxy) = pair(1);
    let mut body = chat(&"a word and ü, ".repeat(18_000)).to_string();
    // Formatting, order, duplicates and escapes are the client's business.
    body.insert_str(
        1,
        "  \"z\" :\t1.50e+2,\n\"z\": \"\\u00fc\\/\", \"big\": 12345678901234567890123, ",
    );
    assert!(body.len() > 256 << 10);
    proxy.ask("POST", CHAT, &[], body.as_bytes()).is(200);
    let seen = mock.requests().pop().unwrap();
    assert!(seen.body == body.as_bytes(), "the body was changed");
    assert_eq!(
        seen.header("content-length"),
        Some(body.len().to_string().as_str())
    );
}

#[test]
fn a_body_beyond_the_replay_limit_arrives_byte_for_byte() {
    let mock = mock_builder(1).record_body_bytes(HUGE + 1).start().unwrap();
    let proxy = Proxy::start(config(&mock.url(), 1, json!({})));
    let body = noise(HUGE);
    proxy.ask("POST", "/v1/files", &[], &body).is(404);
    let seen = mock.requests().pop().unwrap();
    assert!(seen.body == body, "the body was changed");
    assert_eq!(seen.header("content-length"), Some("40000000"));
}

/// Reads head and first part of a body, says so, then reads the rest.
fn stream_through(head: &str, first: &str, rest: &str) -> Upstream {
    let (told, tell) = std::sync::mpsc::channel();
    let told = std::sync::Mutex::new(told);
    let upstream = Upstream::start(move |connection: &mut Connection| {
        if connection.head().is_some() && connection.take(1500).is_some() {
            told.lock().unwrap().send(()).unwrap();
            connection.take(1500);
            connection.write(OK);
        }
    });
    let proxy = Proxy::start(config(&upstream.url(), 1, json!({"replay_bytes": 1000})));
    let mut client = proxy.client();
    client.raw(head);
    client.raw(first);
    tell.recv_timeout(crate::support::DEADLINE)
        .expect("the first part reaches the upstream before the rest is sent");
    client.raw(rest);
    client.read().is(200);
    upstream
}

#[test]
fn a_body_beyond_the_replay_limit_streams_through_as_it_comes() {
    let head = "POST /v1/files HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3000\r\n\r\n";
    let part = "x".repeat(1500);
    stream_through(head, &part, &part);
}

#[test]
fn a_chunked_body_beyond_the_replay_limit_streams_through_as_it_comes() {
    let head = "POST /v1/files HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunk = format!("5dc\r\n{}\r\n", "x".repeat(1500));
    stream_through(head, &chunk, &format!("{chunk}0\r\n\r\n"));
}

#[test]
fn a_chunked_upload_arrives_whole() {
    let (mock, proxy) = pair(1);
    let body = chat("in pieces").to_string();
    let mut client = proxy.client();
    client.raw(format!(
        "POST {CHAT} HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    ));
    for piece in body.as_bytes().chunks(5) {
        client.raw(format!("{:X};ext=1\r\n", piece.len()));
        client.raw(piece);
        client.raw("\r\n");
    }
    client.raw("0\r\n\r\n");
    client.read().is(200);
    let seen = mock.requests().pop().unwrap();
    assert_eq!(seen.body, body.as_bytes());
    assert!(seen.body_complete);
}

#[test]
fn trailers_of_a_request_arrive() {
    let (mock, proxy) = pair(1);
    let mut client = proxy.client();
    client.raw(format!(
        "POST {ECHO} HTTP/1.1\r\nHost: 127.0.0.1\r\nTrailer: x-sum\r\nTransfer-Encoding: chunked\r\n\r\n\
         4\r\nbody\r\n0\r\nX-Sum: 42\r\n\r\n"
    ));
    client.read().is(200);
    let seen = mock.requests().pop().unwrap();
    assert_eq!(seen.body, "body");
    let trailers: Vec<(String, &str)> = seen
        .trailers
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value.as_str()))
        .collect();
    assert_eq!(trailers, [("x-sum".to_owned(), "42")]);
    assert_eq!(seen.header("trailer"), Some("x-sum"));
}

#[test]
fn a_client_that_expects_100_continue_is_told_to() {
    let (mock, proxy) = pair(1);
    let body = chat("hi").to_string();
    let mut client = proxy.client();
    client.raw(format!(
        "POST {CHAT} HTTP/1.1\r\nHost: 127.0.0.1\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        body.len()
    ));
    assert_eq!(client.head().status, 100);
    client.raw(&body);
    client.read().is(200);
    let seen = mock.requests().pop().unwrap();
    assert_eq!(seen.body, body.as_bytes());
    assert_eq!(seen.header("expect"), None, "answered here, not forwarded");
}

#[test]
fn a_client_that_expects_100_continue_is_refused_before_it_sends() {
    let (_mock, proxy) = crate::support::pair_with(1, json!({"body_bytes": 1000}));
    let mut client = proxy.client();
    client.raw(format!(
        "POST {CHAT} HTTP/1.1\r\nHost: 127.0.0.1\r\nExpect: 100-continue\r\nContent-Length: 5000\r\n\r\n"
    ));
    assert_eq!(client.head().status, 413);
}

#[test]
fn every_method_goes_through() {
    let (mock, proxy) = pair(1);
    for method in [
        "GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "QUERY",
    ] {
        let body: &[u8] = if method == "GET" || method == "OPTIONS" {
            b""
        } else {
            b"{\"a\":1}"
        };
        let reply = proxy.ask(method, ECHO, &[], body);
        reply.is(200);
        let seen = mock.requests().pop().unwrap();
        assert_eq!((seen.method.as_str(), &seen.body[..]), (method, body));
    }
    let reply = proxy.ask("HEAD", ECHO, &[], b"");
    reply.is(200);
    assert_eq!(mock.requests().pop().unwrap().method, "HEAD");
}

#[test]
fn a_get_with_a_body_keeps_it() {
    let (mock, proxy) = pair(1);
    proxy.ask("GET", ECHO, &[], b"odd but legal").is(200);
    assert_eq!(mock.requests().pop().unwrap().body, "odd but legal");
}

#[test]
fn a_request_without_a_body_gets_no_framing_and_one_with_an_empty_body_keeps_it() {
    let (mock, proxy) = pair(1);
    proxy.ask("GET", ECHO, &[], b"").is(200);
    let seen = mock.requests().pop().unwrap();
    assert_eq!(seen.header("content-length"), None);
    assert_eq!(seen.header("transfer-encoding"), None);
    proxy.ask("POST", ECHO, &[], b"").is(200);
    assert_eq!(
        mock.requests().pop().unwrap().header("content-length"),
        Some("0")
    );
}

#[test]
fn path_and_query_bytes_are_not_touched() {
    let (mock, proxy) = pair(1);
    for target in [
        "/v1/echo?a=%2F&b=%2f&c=1+2&&d&=e&f=%C3%A9&g=%zz&h=a%20b",
        "/v1/%65cho/../echo",
        "/v1/./echo//echo",
        "/v1/a%2Fb;p=1,2'()*!@:$/echo",
        "/v1/echo?",
        "/v1/echo?monkey=1&keys=2&key_id=3",
        "/v1/echo?url=http://evil.example/&x=[1]{2}|3",
    ] {
        proxy.get(target).is(200);
        assert_eq!(mock.requests().pop().unwrap().target, target);
    }
}

#[test]
fn header_values_arrive_as_they_were_sent() {
    let (mock, proxy) = pair(1);
    let long = "v".repeat(8_000);
    let sent = [
        ("User-Agent", "claude-cli/2.0.1 (external, cli)"),
        ("Anthropic-Beta", "a-2025-01-01,  b-2025-02-02"),
        ("Accept-Encoding", "gzip, br;q=0.5, *;q=0"),
        ("Accept", "*/*"),
        ("X-Empty", ""),
        ("X-Tabbed", "a\tb"),
        ("X-Quoted", "\"a, b\"; c=\\\"d"),
        ("X-Repeated", "one"),
        ("X-Repeated", "two"),
        ("X-Repeated", "one"),
        ("X-Latin", "\u{fc}tf-8 caf\u{e9}"),
        ("X-Long", &long),
        ("Content-Type", "multipart/form-data; boundary=\"--x y\""),
        ("X-Stainless-Retry-Count", "0"),
        ("Via", "1.1 earlier"),
        ("X-Forwarded-For", "10.0.0.9"),
        ("Range", "bytes=0-9"),
        ("If-None-Match", "W/\"e\""),
    ];
    proxy.ask("POST", ECHO, &sent, b"{}").is(200);
    let seen = mock.requests().pop().unwrap();
    for (name, value) in sent {
        assert!(
            seen.header_all(name).contains(&value),
            "{name}: {:?}",
            seen.header_all(name)
        );
    }
    assert_eq!(seen.header_all("x-repeated"), ["one", "two", "one"]);
    let added: Vec<&str> = seen
        .headers
        .iter()
        .map(|(name, _)| name.as_str())
        .filter(|name| {
            !sent
                .iter()
                .any(|(other, _)| other.eq_ignore_ascii_case(name))
        })
        .collect();
    let mut added: Vec<String> = added.iter().map(|name| name.to_ascii_lowercase()).collect();
    added.sort_unstable();
    assert_eq!(
        added,
        ["authorization", "content-length", "host"],
        "nothing else is added"
    );
}

#[test]
fn bytes_beyond_ascii_in_a_header_arrive_as_they_were_sent() {
    let upstream = Upstream::answering(OK);
    let proxy = proxy_of(&upstream);
    let mut client = proxy.client();
    client.raw(b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nX-Bytes: \xe9\xff\x80!\r\n\r\n");
    client.read().is(200);
    let seen = upstream.requests().pop().unwrap();
    assert_eq!(seen.header("x-bytes"), Some("\u{e9}\u{ff}\u{80}!"));
}

#[test]
fn the_upstream_gets_its_own_host_once() {
    let upstream = Upstream::answering(OK);
    let proxy = proxy_of(&upstream);
    proxy.get("/v1/models").is(200);
    let seen = upstream.requests().pop().unwrap();
    let host = format!("127.0.0.1:{}", upstream.port());
    assert_eq!(seen.header("host"), Some(host.as_str()));
    assert_eq!(
        seen.head.to_ascii_lowercase().matches("\r\nhost:").count(),
        1
    );
}

#[test]
fn headers_of_the_clients_connection_stay_on_it() {
    let upstream = Upstream::answering(OK);
    let proxy = proxy_of(&upstream);
    let headers = [
        ("Connection", "keep-alive, X-Hop"),
        ("X-Hop", "1"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Connection", "keep-alive"),
        ("TE", "gzip, trailers"),
        ("Upgrade", "h2c"),
        ("X-Stays", "1"),
    ];
    proxy.ask("GET", "/v1/models", &headers, b"").is(200);
    let seen = upstream.requests().pop().unwrap();
    for name in [
        "connection",
        "x-hop",
        "keep-alive",
        "proxy-connection",
        "upgrade",
    ] {
        assert_eq!(seen.header(name), None, "{name}");
    }
    assert_eq!(seen.header("x-stays"), Some("1"));
    assert_eq!(seen.header("te"), Some("trailers"));
}

#[test]
fn a_body_that_is_no_json_goes_through() {
    let (mock, proxy) = pair(1);
    for body in [
        &b"\x00\xff not json"[..],
        b"{\"session_id\":",
        b"[[[[",
        b"\"text\"",
        b"{}{}",
    ] {
        proxy.ask("POST", ECHO, &[], body).is(200);
        assert_eq!(mock.requests().pop().unwrap().body, body);
    }
    let binary = noise(100_000);
    proxy
        .ask("POST", ECHO, &[("Content-Encoding", "zstd")], &binary)
        .is(200);
    assert!(mock.requests().pop().unwrap().body == binary);
}

#[test]
fn two_requests_sent_at_once_are_answered_in_order() {
    let (mock, proxy) = pair(2);
    let mut client = proxy.client();
    client.raw(
        "GET /v1/echo?n=1 HTTP/1.1\r\nHost: localhost\r\n\r\n\
         GET /v1/echo?n=2 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    );
    for number in 1..=2 {
        let reply = client.read();
        reply.is(200);
        assert_eq!(reply.json()["target"], format!("/v1/echo?n={number}"));
    }
    assert_eq!(mock.counters().total.requests, 2);
}

#[test]
fn an_http_1_0_client_is_served() {
    let (_mock, proxy) = pair(1);
    let mut client = proxy.client();
    client.raw("GET /v1/models HTTP/1.0\r\nHost: localhost\r\n\r\n");
    let reply = client.read();
    assert_eq!(reply.status, 200);
    assert!(reply.header("transfer-encoding").is_none());
    assert!(reply.json()["data"].is_array());
}
