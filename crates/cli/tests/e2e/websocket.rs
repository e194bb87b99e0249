//! WebSockets: handshakes, credentials, bytes both ways, and how one ends.

use std::process::Command;
use std::sync::Mutex;
use std::sync::mpsc::channel;

use api_key_lb_mock::Fault;
use serde_json::json;

use crate::support::websocket::{
    ACCEPT, CLOSE, HANDSHAKE, TEXT, WebSocket, frame, shake, unmasked,
};
use crate::support::{
    CHAT, DEADLINE, Proxy, RESPONSES, Upstream, chat, config, eventually, key, mock_builder, pair,
    pair_with, spread,
};
use crate::tls::Authority;

pub const DONE: &[&str] = &["response.completed", "response.done", "error"];

pub fn create(text: &str) -> String {
    json!({"type": "response.create", "model": "m", "input": text}).to_string()
}

/// An upstream that accepts every handshake, and then serves the connection.
pub fn accepting(
    more: &'static str,
    serve: impl Fn(&mut crate::support::Connection) + Send + Sync + 'static,
) -> Upstream {
    Upstream::start(move |connection| {
        if connection.request().is_some() {
            connection.write(format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: {ACCEPT}\r\n{more}\r\n"
            ));
            serve(connection);
        }
    })
}

/// Sends back every byte.
pub fn echo(connection: &mut crate::support::Connection) {
    while let Some(byte) = connection.take(1) {
        let more = connection.rest();
        connection.write([byte, more].concat());
    }
}

#[test]
fn any_bytes_pass_both_ways() {
    let upstream = accepting("", echo);
    let proxy = Proxy::start(config(&upstream.url(), 1, json!({})));
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for round in 0..12 {
        let mut bytes = Vec::new();
        for _ in 0..random() % 40 {
            let length = [0, 1, 125, 126, 4096, 65_535, 65_536, 100_000][random() as usize % 8];
            let payload: Vec<u8> = (0..length).map(|_| random() as u8).collect();
            // Frames of all kinds; in some rounds no frames at all.
            match round % 4 {
                0 => bytes.extend(frame(random() as u8 & 0x0f, &payload)),
                1 => bytes.extend(unmasked(random() as u8, &payload)),
                2 => bytes.extend(frame(TEXT, br#"{"type":"response.create"}"#)),
                _ => bytes.extend(payload),
            }
        }
        let mut socket = WebSocket::open(proxy.port, "/v1/realtime", &[]);
        let (sent, mut stream) = (bytes.clone(), socket.try_clone());
        let cut = 1 + random() as usize % 50_000;
        let sending = std::thread::spawn(move || {
            for piece in sent.chunks(cut) {
                std::io::Write::write_all(&mut stream, piece).unwrap();
            }
        });
        assert!(socket.take(bytes.len()).unwrap() == bytes, "round {round}");
        sending.join().unwrap();
        socket.finish();
        assert_eq!(socket.take(1), None, "the end comes back as well");
    }
}

#[test]
fn no_credential_of_the_client_reaches_the_upstream_and_no_key_the_client() {
    let upstream = accepting("Sec-WebSocket-Protocol: realtime\r\n", echo);
    let proxy = Proxy::start(config(&upstream.url(), 1, json!({})));
    let target = "/v1/realtime?model=m&key=PLANTED-1&access_token=PLANTED-2";
    let mut socket = WebSocket::open(
        proxy.port,
        target,
        &[
            ("Authorization", "Bearer PLANTED-3"),
            ("x-api-key", "PLANTED-4"),
            ("x-goog-api-key", "PLANTED-5"),
            ("Cookie", "PLANTED-6"),
            (
                "Sec-WebSocket-Protocol",
                "realtime, openai-insecure-api-key.PLANTED-7, openai-organization.PLANTED-8, \
                 openai-project.PLANTED-9, openai-beta.realtime-v1",
            ),
        ],
    );
    assert_eq!(
        socket.reply.header("sec-websocket-protocol"),
        Some("realtime")
    );
    let head = upstream.requests()[0].clone();
    assert!(!head.head.contains("PLANTED"), "{}", head.head);
    assert_eq!(head.line(), "GET /v1/realtime?model=m HTTP/1.1");
    assert_eq!(
        head.header("sec-websocket-protocol").unwrap(),
        format!(
            "realtime, openai-insecure-api-key.{}, openai-beta.realtime-v1",
            key(1)
        )
    );
    assert_eq!(
        head.head.matches(&key(1)).count(),
        1,
        "exactly one credential"
    );
    assert_eq!(head.header("sec-websocket-key"), Some(HANDSHAKE[3].1));
    assert_eq!(head.header("connection"), Some("Upgrade"));
    socket.send("x");
    assert_eq!(socket.take(7).unwrap().len(), 7);
    // Without one among the subprotocols the key goes where the client had its own.
    let _ = WebSocket::open(proxy.port, "/v1/realtime", &[("api-key", "PLANTED")]);
    assert_eq!(upstream.requests()[1].header("api-key"), Some(&*key(1)));
    let live = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent";
    let _ = WebSocket::open(proxy.port, &format!("{live}?key=PLANTED"), &[]);
    assert_eq!(
        upstream.requests()[2].line(),
        format!("GET {live}?key={} HTTP/1.1", key(1))
    );
}

#[test]
fn a_key_that_the_upstream_chooses_as_subprotocol_comes_back_as_the_client_s_own() {
    let upstream = Upstream::start(|connection| {
        let request = connection.request().unwrap();
        let offered = request.header("sec-websocket-protocol").unwrap();
        connection.write(format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {ACCEPT}\r\nSec-WebSocket-Protocol: {offered}\r\n\r\n"
        ));
        echo(connection);
    });
    let proxy = Proxy::start(config(&upstream.url(), 1, json!({})));
    let own = ("Sec-WebSocket-Protocol", "openai-insecure-api-key.OWN");
    let socket = WebSocket::open(proxy.port, "/v1/realtime", &[own]);
    assert_eq!(socket.reply.header("sec-websocket-protocol"), Some(own.1));
}

#[test]
fn a_handshake_that_one_key_is_refused_goes_to_another() {
    for (status, keys) in [(429, 3), (401, 3), (503, 2)] {
        let (mock, proxy) = pair(keys);
        for number in 1..keys {
            mock.fault(Fault::on(key(number)).status(status));
        }
        let mut socket = WebSocket::open(proxy.port, RESPONSES, &[]);
        let last = format!("key-{keys}");
        assert_eq!(socket.reply.header("x-lb-key"), Some(&*last), "{status}");
        socket.send(create("hi"));
        assert_eq!(
            socket.until(DONE).last().unwrap().kind(),
            "response.completed"
        );
    }
}

#[test]
fn a_refusal_by_every_key_is_an_ordinary_answer() {
    let (mock, proxy) = pair_with(2, json!({"max_wait_ms": 0}));
    mock.fault(Fault::on("*").status(429).header("retry-after", "30"));
    let (mut client, head) = shake(proxy.port, RESPONSES, &[]);
    assert_eq!(head.status, 429);
    assert!(head.number("retry-after") <= 30);
    drop(client.read());
    assert_eq!(mock.counters().total.requests, 2);
}

#[test]
fn an_upstream_without_websocket_is_426_and_is_not_asked_again() {
    for answer in [
        "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: 34\r\n\r\n\
         {\"error\":{\"message\":\"no body sent\"}}",
        "HTTP/1.1 501 Not Implemented\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ] {
        let upstream = Upstream::answering(answer);
        let proxy = Proxy::start(config(&upstream.url(), 2, json!({})));
        for _ in 0..3 {
            let asked = proxy.ask("GET", RESPONSES, &HANDSHAKE, b"");
            asked.is_own(426, "websocket");
        }
        assert_eq!(upstream.requests().len(), 1, "{answer}");
        let status = proxy.health();
        assert_eq!(status["status"], "ok", "it costs no key anything: {status}");
    }
    // One that just hangs up may have one tomorrow.
    let upstream = Upstream::start(|connection| drop(connection.request()));
    let proxy = Proxy::start(config(&upstream.url(), 2, json!({})));
    proxy
        .ask("GET", RESPONSES, &HANDSHAKE, b"")
        .is_own(426, "websocket");
}

#[test]
fn a_reason_that_an_api_gives_is_passed_on_but_to_codex() {
    let body =
        r#"{"error":{"type":"invalid_request_error","code":"unknown_model","message":"no"}}"#;
    let length = body.len();
    let upstream = Upstream::answering(format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    ));
    let proxy = Proxy::start(config(&upstream.url(), 2, json!({})));
    let told = proxy.ask("GET", "/v1/realtime?model=x", &HANDSHAKE, b"");
    assert_eq!(told.is(400).text(), body);
    proxy
        .ask("GET", RESPONSES, &HANDSHAKE, b"")
        .is_own(426, "websocket");
}

#[test]
fn what_is_no_handshake_is_an_ordinary_request() {
    let (mock, proxy) = pair(1);
    let upgrade = [("Upgrade", "websocket"), ("Connection", "keep-alive")];
    let body = chat("hi").to_string();
    proxy.ask("POST", CHAT, &upgrade, body.as_bytes()).is(200);
    assert_eq!(mock.requests()[0].header("upgrade"), None);
    // Nor is a handshake from a page that is not allowed one.
    let (_, head) = shake(proxy.port, RESPONSES, &[("Origin", "http://evil.example")]);
    assert_eq!(head.status, 403);
    assert_eq!(mock.counters().total.requests, 1);
}

#[test]
fn who_leaves_takes_the_other_along() {
    let (gone, is_gone) = channel();
    let gone = Mutex::new(gone);
    let upstream = accepting("", move |connection| {
        connection.write(unmasked(0x81, b"{}"));
        while connection.take(1).is_some() {}
        gone.lock().unwrap().send(()).unwrap();
    });
    let proxy = Proxy::start(config(&upstream.url(), 1, json!({})));
    let mut socket = WebSocket::open(proxy.port, "/v1/realtime", &[]);
    assert_eq!(socket.message().payload, b"{}");
    socket.leave();
    is_gone.recv_timeout(DEADLINE).unwrap();
    let upstream = accepting("", |connection| connection.write(unmasked(0x81, b"{}")));
    let proxy = Proxy::start(config(&upstream.url(), 1, json!({})));
    let mut socket = WebSocket::open(proxy.port, "/v1/realtime", &[]);
    assert_eq!(socket.message().payload, b"{}");
    assert_eq!(socket.next(), None);
}

#[test]
fn silence_beyond_the_limit_ends_it() {
    let upstream = accepting("", echo);
    let settings = json!({"websocket_idle_timeout_ms": 300});
    let proxy = Proxy::start(config(&upstream.url(), 1, settings));
    let mut socket = WebSocket::open(proxy.port, "/v1/realtime", &[]);
    for _ in 0..4 {
        std::thread::sleep(std::time::Duration::from_millis(150));
        socket.send("x");
        assert_eq!(socket.take(7).unwrap().len(), 7);
    }
    assert_eq!(socket.take(1), None);
}

#[test]
fn more_than_may_be_open_are_426() {
    let (mock, proxy) = pair_with(1, json!({"max_websockets": 1}));
    let socket = WebSocket::open(proxy.port, RESPONSES, &[]);
    let refused = proxy.ask("GET", RESPONSES, &HANDSHAKE, b"");
    assert!(
        refused
            .is_own(426, "websocket")
            .message()
            .contains("max_websockets")
    );
    socket.leave();
    eventually("the place is free again", || {
        shake(proxy.port, RESPONSES, &[]).1.status == 101
    });
    let (_, off) = pair_with(1, json!({"max_websockets": 0}));
    off.ask("GET", RESPONSES, &HANDSHAKE, b"")
        .is_own(426, "websocket");
    assert_eq!(mock.counters().total.requests, 2);
}

#[test]
fn a_stop_lets_a_response_finish_and_closes_between_messages() {
    let mock = mock_builder(1)
        .event_delay(std::time::Duration::from_millis(40))
        .start()
        .unwrap();
    let mut proxy = Proxy::start(config(&mock.url(), 1, json!({})));
    let mut idle = WebSocket::open(proxy.port, RESPONSES, &[]);
    idle.send(create("one"));
    idle.until(DONE);
    let mut fresh = WebSocket::open(proxy.port, RESPONSES, &[]);
    let mut busy = WebSocket::open(proxy.port, RESPONSES, &[]);
    busy.send(create("two"));
    assert_eq!(busy.message().kind(), "response.created");
    let stopped = Command::new("kill").arg(proxy.pid().to_string()).status();
    assert!(stopped.unwrap().success());
    for socket in [&mut idle, &mut fresh] {
        let last = socket.message();
        assert_eq!((last.opcode, &*last.payload), (CLOSE, &[0x03, 0xe9][..]));
        assert_eq!(socket.next(), None);
    }
    assert_eq!(
        busy.until(DONE).last().unwrap().kind(),
        "response.completed"
    );
    assert_eq!(busy.message().opcode, CLOSE);
    eventually("it ends", || proxy.ended().is_some());
    assert_eq!(proxy.ended(), Some(Some(0)));
}

#[test]
fn tls_upstreams_have_them_too() {
    let authority = Authority::for_names(&["127.0.0.1"]);
    let mock = authority.mock(2);
    let (home, ca) = authority.home();
    home.write_config(&config(&mock.url(), 2, json!({"ca_file": ca})));
    let proxy = Proxy::start_in(&home, &["start"], &[]);
    let mut socket = WebSocket::open(proxy.port, RESPONSES, &[]);
    for text in ["one", "two"] {
        socket.send(create(&text.repeat(50_000)));
        assert_eq!(
            socket.until(DONE).last().unwrap().kind(),
            "response.completed"
        );
    }
    assert_eq!(spread(&mock, 2).iter().sum::<u64>(), 3);
}
