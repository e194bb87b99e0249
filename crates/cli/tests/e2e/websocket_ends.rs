//! WebSockets whose ends are slow, break, or leave at the wrong moment.

use std::io::Write as _;
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::websocket::{ACCEPT, CLOSE, TEXT, WebSocket, frame, unmasked};
use crate::support::{
    DEADLINE, Proxy, RESPONSES, Upstream, config, eventually, key, keys, last_key, mock_builder,
};
use crate::websocket::{DONE, accepting, create};

/// Far more than all buffers on the way hold.
const MUCH: usize = 64 << 20;

fn is_idle(proxy: &Proxy) -> bool {
    let status = proxy.health();
    let keys = status["keys"].as_array().unwrap();
    keys.iter().all(|key| key["in_flight"] == 0)
}

#[test]
fn a_client_that_does_not_read_slows_the_upstream_down() {
    let (wrote, written) = channel();
    let wrote = Mutex::new(wrote);
    let upstream = accepting("", move |connection| {
        let piece = unmasked(0x82, &[7; 65_000]);
        let mut stream = connection.stream().try_clone().unwrap();
        stream
            .set_write_timeout(Some(Duration::from_millis(500)))
            .unwrap();
        let mut count = 0;
        while count < MUCH && stream.write_all(&piece).is_ok() {
            count += piece.len();
        }
        wrote.lock().unwrap().send(count).unwrap();
        while connection.take(1).is_some() {}
    });
    let proxy = Proxy::start(config(&upstream.url(), 1, json!({})));
    let socket = WebSocket::open(proxy.port, "/v1/realtime", &[]);
    let count = written.recv_timeout(DEADLINE).unwrap();
    assert!(count < MUCH, "all of it was taken");
    drop(socket);
    eventually("the key is free", || is_idle(&proxy));
}

#[test]
fn an_upstream_that_reads_late_gets_every_byte_and_delays_nothing_that_it_says() {
    let (go, may_go) = channel();
    let may_go = Mutex::new(may_go);
    let message = frame(TEXT, &vec![b'x'; 24 << 20]);
    let expected = message.clone();
    let (same, is_same) = channel();
    let same = Mutex::new(same);
    let upstream = accepting("", move |connection| {
        // The client has filled every buffer by now.
        std::thread::sleep(Duration::from_millis(300));
        connection.write(unmasked(0x81, br#"{"type":"early"}"#));
        let _ = may_go.lock().unwrap().recv_timeout(DEADLINE);
        let got = connection.take(expected.len());
        same.lock()
            .unwrap()
            .send(got == Some(expected.clone()))
            .unwrap();
    });
    let proxy = Proxy::start(config(&upstream.url(), 1, json!({})));
    let mut socket = WebSocket::open(proxy.port, RESPONSES, &[]);
    let mut stream = socket.try_clone();
    let sending = std::thread::spawn(move || stream.write_all(&message).unwrap());
    let asked = Instant::now();
    assert_eq!(socket.message().kind(), "early");
    assert!(asked.elapsed() < Duration::from_secs(5), "it was held up");
    go.send(()).unwrap();
    assert!(is_same.recv_timeout(DEADLINE).unwrap(), "bytes were lost");
    sending.join().unwrap();
}

#[test]
fn the_last_words_of_an_upstream_that_takes_no_more_arrive() {
    let upstream = accepting("", |connection| {
        connection.write(unmasked(0x81, b"{}"));
        connection.take(100_000);
        // Closed with much unread: whoever goes on writing is reset.
        connection.write(unmasked(0x88, b"\x03\xf3enough"));
    });
    let proxy = Proxy::start(config(&upstream.url(), 1, json!({})));
    for _ in 0..5 {
        let mut socket = WebSocket::open(proxy.port, "/v1/realtime", &[]);
        assert_eq!(socket.message().payload, b"{}");
        let mut stream = socket.try_clone();
        let sending = std::thread::spawn(move || {
            let piece = frame(TEXT, &[b'x'; 60_000]);
            while stream.write_all(&piece).is_ok() {}
        });
        let last = socket.message();
        assert_eq!((last.opcode, &last.payload[2..]), (CLOSE, &b"enough"[..]));
        drop(socket);
        sending.join().unwrap();
    }
    eventually("the key is free", || is_idle(&proxy));
}

#[test]
fn a_client_that_leaves_while_another_key_is_asked_ends_the_asking() {
    let first = Mutex::new(true);
    let (asked, is_asked) = channel();
    let (gone, is_gone) = channel();
    let (asked, gone) = (Mutex::new(asked), Mutex::new(gone));
    let upstream = Upstream::start(move |connection| {
        connection.request();
        if std::mem::take(&mut *first.lock().unwrap()) {
            connection.write(format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
            ));
            connection.take(1);
            connection.write(unmasked(
                0x81,
                br#"{"type":"error","status":429,"error":{"code":"rate_limit_exceeded"}}"#,
            ));
            while connection.take(1).is_some() {}
        } else {
            // It never answers.
            asked.lock().unwrap().send(()).unwrap();
            while connection.take(1).is_some() {}
            gone.lock().unwrap().send(()).unwrap();
        }
    });
    let proxy = Proxy::start(config(&upstream.url(), 2, json!({})));
    let mut socket = WebSocket::open(proxy.port, RESPONSES, &[]);
    socket.send(create("hi"));
    is_asked.recv_timeout(DEADLINE).unwrap();
    socket.leave();
    is_gone
        .recv_timeout(Duration::from_secs(5))
        .expect("the upstream was left alone");
    eventually("the key is free", || is_idle(&proxy));
}

#[test]
fn whoever_breaks_off_a_response_it_is_logged_once_and_costs_no_place() {
    let upstream = accepting("", |connection| {
        connection.take(1);
        connection.write(unmasked(0x81, br#"{"type":"response.created"}"#));
        connection.write(unmasked(0x81, br#"{"type":"response.output_text.delta"}"#));
        let more = connection.take(200);
        if more.is_some() {
            while connection.take(1).is_some() {}
        }
    });
    let proxy = Proxy::start(config(&upstream.url(), 1, json!({})));
    let line = || {
        let output = proxy.output();
        let lines: Vec<_> = output
            .lines()
            .filter(|line| line.contains(" WS "))
            .collect();
        lines.join("\n")
    };
    // The client.
    let mut socket = WebSocket::open(proxy.port, RESPONSES, &[]);
    socket.send(create(&"x".repeat(300)));
    socket.until(&["response.output_text.delta"]);
    assert!(!is_idle(&proxy));
    socket.leave();
    eventually("the client has left", || line().contains("left"));
    eventually("the key is free", || is_idle(&proxy));
    assert_eq!(line().lines().count(), 1, "{}", line());
    // The upstream, which closes without having read it all.
    let mut socket = WebSocket::open(proxy.port, RESPONSES, &[]);
    socket.send(create("short"));
    socket.until(&["response.output_text.delta"]);
    socket.finish();
    eventually("the upstream has broken off", || is_idle(&proxy));
    eventually("that is logged", || line().lines().count() == 2);
}

#[test]
fn a_key_that_is_removed_serves_no_further_response() {
    let mock = mock_builder(2)
        .event_delay(Duration::from_millis(40))
        .start()
        .unwrap();
    let proxy = Proxy::start(config(&mock.url(), 1, json!({})));
    let mut idle = WebSocket::open(proxy.port, RESPONSES, &[]);
    idle.send(create("one"));
    idle.until(DONE);
    let mut busy = WebSocket::open(proxy.port, RESPONSES, &[]);
    busy.send(create("two"));
    assert_eq!(busy.message().kind(), "response.created");
    let other = keys(2)[1].clone();
    proxy
        .home
        .write_config(&json!({"target": mock.url(), "keys": [other]}));
    let last = idle.message();
    assert_eq!((last.opcode, &*last.payload), (CLOSE, &[0x03, 0xe9][..]));
    assert_eq!(
        busy.until(DONE).last().unwrap().kind(),
        "response.completed"
    );
    assert_eq!(busy.message().opcode, CLOSE);
    let mut next = WebSocket::open(proxy.port, RESPONSES, &[]);
    next.send(create("three"));
    next.until(DONE);
    assert_eq!(last_key(&mock), key(2));
}
