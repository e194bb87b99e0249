//! Connections: keep-alive, pipelining, bodies of every framing, TLS, canned answers, stopping.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use api_key_lb_mock::{Account, Canned, Mock};
use support::*;

#[test]
fn a_connection_serves_many_requests() {
    let mock = mock();
    let mut client = Client::connect(&mock);
    for index in 0..20 {
        let body = if index % 2 == 0 {
            chat("hi")
        } else {
            chat_stream("hi")
        };
        client.post(ONE, CHAT, &body);
        assert_eq!(client.read().end, End::Complete);
    }
    let counters = mock.counters();
    assert_eq!((counters.connections, counters.total.requests), (1, 20));
    assert_eq!(counters.key(ONE).unwrap().connections, 1);
    assert!(
        mock.requests()
            .iter()
            .all(|request| request.connection == 1)
    );
    drop(client);
    assert!(mock.wait_until(DEADLINE, |counters| counters.open_connections == 0));
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let mock = mock();
    let mut client = Client::connect(&mock);
    let mut all = String::new();
    for index in 0..50 {
        all.push_str(&format!(
            "POST /echo?n={index} HTTP/1.1\r\ncontent-length: 3\r\n\r\n{index:03}"
        ));
    }
    client.raw(&all);
    for index in 0..50 {
        let body = client.read().json();
        assert_eq!(body["target"], format!("/echo?n={index}"));
        assert_eq!(body["body"], format!("{index:03}"));
    }
}

#[test]
fn a_chunked_body_is_decoded_with_its_trailers() {
    let mock = mock();
    let mut client = Client::connect(&mock);
    client.raw("POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
    for piece in [
        "5;ext=1\r\nhel",
        "lo\r\n",
        "6\r\n world\r",
        "\n0\r\nX-Sum: abc",
        "\r\n\r\n",
    ] {
        client.raw(piece);
    }
    let body = client.read().json();
    assert_eq!(body["body"], "hello world");
    assert_eq!(body["trailers"], serde_json::json!([["X-Sum", "abc"]]));
    assert_eq!(
        mock.requests()[0].trailers,
        [("X-Sum".to_owned(), "abc".to_owned())]
    );
    client.raw("POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n");
    let reply = client.read();
    assert_eq!(
        (reply.status, reply.header("connection")),
        (400, Some("close"))
    );
}

#[test]
fn a_head_may_arrive_byte_by_byte() {
    let mock = mock();
    let mut client = Client::connect(&mock);
    for byte in "GET /echo HTTP/1.1\r\nA: b\r\n\r\n".chars() {
        client.raw(&byte.to_string());
    }
    assert_eq!(client.read().status, 200);
}

#[test]
fn a_large_body_arrives_whole() {
    let mock = builder().record_body_bytes(1_000).start().unwrap();
    let body = vec![b'x'; 20_000_000];
    let mut client = Client::connect(&mock);
    client.send("POST", "/echo", &[], &body);
    let reply = client.read().json();
    assert_eq!(reply["body_bytes"], 20_000_000);
    assert!(reply["body"].is_null());
    let recorded = mock.requests().remove(0);
    assert_eq!(
        (recorded.body.len(), recorded.body_bytes),
        (1_000, 20_000_000)
    );
    assert_eq!(
        format!("{:016x}", recorded.body_xxh3),
        reply["body_xxh3"].as_str().unwrap()
    );
}

#[test]
fn a_client_that_expects_100_gets_it_before_its_body_is_read() {
    let mock = mock();
    let mut client = Client::connect(&mock);
    client.raw("POST /echo HTTP/1.1\r\nExpect: 100-continue\r\ncontent-length: 2\r\n\r\n");
    assert_eq!(client.read().status, 100);
    client.raw("hi");
    assert_eq!(client.read().json()["body"], "hi");
}

#[test]
fn head_gets_the_head_of_get() {
    let mock = mock();
    let mut client = Client::connect(&mock);
    client.send("HEAD", "/v1/models", &[("x-api-key", ONE)], b"");
    let reply = client.read_for("HEAD");
    assert_eq!(reply.status, 200);
    assert!(
        reply
            .header("content-length")
            .unwrap()
            .parse::<u64>()
            .unwrap()
            > 0
    );
    client.send("GET", "/v1/models", &[("x-api-key", ONE)], b"");
    assert_eq!(client.read().status, 200, "nothing of a body was left over");
}

#[test]
fn connection_close_and_http_1_0_are_honoured() {
    let mock = mock();
    let mut client = Client::connect(&mock);
    client.raw("GET /echo HTTP/1.1\r\nConnection: close\r\n\r\n");
    assert_eq!(client.read().header("connection"), Some("close"));
    assert_eq!(client.read().end, End::Cut);
    let mut client = Client::connect(&mock);
    let body = chat_stream("hi").to_string();
    client.raw(&format!(
        "POST {CHAT} HTTP/1.0\r\nx-api-key: {ONE}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    ));
    let reply = client.read();
    assert_eq!(reply.header("transfer-encoding"), None);
    assert!(reply.text().ends_with("data: [DONE]\n\n"));
}

#[test]
fn what_is_not_http_is_refused() {
    let mock = mock();
    for text in [
        "GARBAGE\r\n\r\n",
        "GET / HTTP/1.1\r\nbad header\r\n\r\n",
        "POST / HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
    ] {
        let mut client = Client::connect(&mock);
        client.raw(text);
        let reply = client.read();
        assert_eq!((reply.status, client.read().end), (400, End::Cut), "{text}");
    }
}

#[test]
fn a_recording_keeps_wire_order_case_and_bytes() {
    let mock = mock();
    let head = "POST /v1/x?y HTTP/1.1\r\nB: 1\r\na: 2\r\nB: 3\r\nContent-Length: 4\r\n\r\n";
    let mut client = Client::connect(&mock);
    client.raw(head);
    client.stream.write_all(&[0, 255, 13, 10]).unwrap();
    client.read();
    let recorded = mock.take_requests().remove(0);
    assert_eq!(recorded.head, head.as_bytes());
    assert_eq!(recorded.body[..], [0, 255, 13, 10]);
    let names: Vec<_> = recorded
        .headers
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(names, ["B", "a", "B", "Content-Length"]);
    assert_eq!(recorded.header_all("b"), ["1", "3"]);
    assert!(mock.requests().is_empty(), "taken");
}

#[test]
fn only_the_last_requests_are_kept() {
    let mock = Mock::builder().record(2).start().unwrap();
    for index in 0..5 {
        get(&mock, &format!("/echo?{index}"));
    }
    let targets: Vec<_> = mock
        .requests()
        .into_iter()
        .map(|request| request.target)
        .collect();
    assert_eq!(targets, ["/echo?3", "/echo?4"]);
}

fn tls_client(
    mock: &Mock,
    certificate: &rcgen::CertifiedKey<rcgen::KeyPair>,
) -> Client<rustls::StreamOwned<rustls::ClientConnection, TcpStream>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let name = "localhost".try_into().unwrap();
    let session = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let socket = TcpStream::connect(mock.addr()).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    Client::over(rustls::StreamOwned::new(session, socket))
}

#[test]
fn everything_works_over_tls() {
    let certificate = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let cert_pem = certificate.cert.pem();
    let key_pem = certificate.signing_key.serialize_pem();
    let mock = builder()
        .tls(cert_pem.as_bytes(), key_pem.as_bytes())
        .start()
        .unwrap();
    assert!(mock.url().starts_with("https://127.0.0.1:"));
    let mut client = tls_client(&mock, &certificate);
    client.post(ONE, CHAT, &chat("hi"));
    assert_eq!(client.read().status, 200);
    assert_eq!(client.stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
    client.post(ONE, CHAT, &chat_stream("hi"));
    assert_eq!(client.read().end, End::Complete);
    mock.fault(api_key_lb_mock::Fault::on(ONE).cut_events(2));
    client.post(ONE, CHAT, &chat_stream("hi"));
    let reply = client.read();
    assert_eq!((reply.end, reply.chunks), (End::Cut, 2), "no close_notify");
    let broken = builder().tls(b"nonsense", b"nonsense").start();
    assert_eq!(broken.unwrap_err().kind(), std::io::ErrorKind::InvalidInput);
}

#[test]
fn canned_answers_have_the_sizes_asked_for() {
    let canned = Canned {
        json_bytes: 2_000,
        events: 10,
        event_bytes: 300,
        ..Canned::default()
    };
    let mock = Mock::builder().canned(canned).start().unwrap();
    let mut client = Client::connect(&mock);
    client.send("POST", CHAT, &[], &[b'x'; 100_000]);
    let reply = client.read();
    assert_eq!((reply.status, reply.body.len()), (200, 2_000));
    assert_eq!(reply.json()["object"], "chat.completion");
    client.send("POST", &format!("{CHAT}?stream=1"), &[], b"{}");
    let reply = client.read();
    assert_eq!((reply.end, reply.chunks), (End::Complete, 10));
    assert_eq!(
        reply.text().split_inclusive("\n\n").next().unwrap().len(),
        300
    );
    client.raw("POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
    client.raw(&"POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc".repeat(40));
    for _ in 0..41 {
        assert_eq!(client.read().body.len(), 2_000);
    }
    client.send("GET", "/_mock/counters", &[], b"");
    assert_eq!(client.read().json()["total"]["requests"], 43);
    client.raw("GET / HTTP/1.1\r\nconnection: close\r\n\r\n");
    assert_eq!((client.read().status, client.read().end), (200, End::Cut));
}

#[test]
fn canned_events_can_be_paced() {
    let event_delay = Duration::from_millis(20);
    let canned = Canned {
        events: 5,
        event_delay,
        stream: true,
        ..Canned::default()
    };
    let mock = Mock::builder().canned(canned).start().unwrap();
    let start = std::time::Instant::now();
    let reply = get(&mock, "/anything");
    assert_eq!((reply.end, reply.chunks), (End::Complete, 5));
    assert!(start.elapsed() >= event_delay * 4);
}

#[test]
fn several_threads_share_one_port() {
    let mock = Arc::new(builder().threads(3).start().unwrap());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..20 {
                    assert_eq!(post(&mock, ONE, CHAT, &chat("hi")).status, 200);
                }
            });
        }
    });
    assert_eq!(mock.counters().key(ONE).unwrap().requests, 160);
}

#[test]
fn stopping_closes_connections_and_frees_the_port() {
    let mock = mock();
    let address = mock.addr();
    let mut client = Client::connect(&mock);
    client.post(ONE, CHAT, &chat("hi"));
    client.read();
    mock.stop();
    assert_ne!(client.read().end, End::Silence);
    let account = Account::new("a").key(ONE);
    let again = Mock::builder()
        .account(account)
        .bind(address)
        .start()
        .unwrap();
    assert_eq!(post(&again, ONE, CHAT, &chat("hi")).status, 200);
}
