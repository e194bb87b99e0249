//! Streams: events one by one, silences, cuts, and clients that leave.

use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::Duration;

use api_key_lb_mock::{ANY_KEY, Fault};
use serde_json::json;

use crate::support::{
    CHAT, DEADLINE, End, MESSAGES, Proxy, RESPONSES, Upstream, chat, chat_stream, config, keys,
    mock_builder, pair, pair_with,
};

const STREAM: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

#[test]
fn each_event_arrives_before_the_next_one_is_sent() {
    let (allow, allowed) = channel::<()>();
    let allowed = Mutex::new(allowed);
    let upstream = Upstream::start(move |connection| {
        connection.request();
        connection.write(STREAM);
        for number in 0..20 {
            connection.write_chunk(format!("data: {number}\n\n"));
            // Only the client, having read this event, lets the next one go.
            if allowed.lock().unwrap().recv_timeout(DEADLINE).is_err() {
                return;
            }
        }
        connection.write("0\r\n\r\n");
    });
    let proxy = Proxy::start(config(&upstream.url(), 1, json!({})));
    let mut client = proxy.client();
    client.send("POST", CHAT, &[], chat_stream("hi").to_string().as_bytes());
    assert_eq!(client.head().status, 200);
    for number in 0..20 {
        assert_eq!(
            client.chunk(),
            Ok(format!("data: {number}\n\n").into_bytes())
        );
        allow.send(()).unwrap();
    }
    assert_eq!(client.chunk(), Ok(Vec::new()));
}

#[test]
fn the_head_of_a_stream_arrives_before_its_first_event() {
    let (allow, allowed) = channel::<()>();
    let allowed = Mutex::new(allowed);
    let upstream = Upstream::start(move |connection| {
        connection.request();
        connection.write(STREAM);
        let _ = allowed.lock().unwrap().recv_timeout(DEADLINE);
        connection.write("0\r\n\r\n");
    });
    let proxy = Proxy::start(config(&upstream.url(), 1, json!({})));
    let mut client = proxy.client();
    client.send("POST", CHAT, &[], chat_stream("hi").to_string().as_bytes());
    assert_eq!(client.head().status, 200);
    allow.send(()).unwrap();
    assert_eq!(client.chunk(), Ok(Vec::new()));
}

#[test]
fn streams_of_every_dialect_arrive_whole_with_pauses_between_events() {
    let delay = Duration::from_millis(2);
    let mock = mock_builder(1).event_delay(delay).start().unwrap();
    let proxy = Proxy::start(config(&mock.url(), 1, json!({})));
    let messages = json!([{"role": "user", "content": "hi"}]);
    for (path, body, last) in [
        (
            CHAT,
            json!({"model": "m", "stream": true, "messages": messages}),
            "[DONE]",
        ),
        (
            RESPONSES,
            json!({"model": "m", "stream": true, "input": "hi"}),
            "response.completed",
        ),
        (
            MESSAGES,
            json!({"model": "m", "stream": true, "max_tokens": 20, "messages": messages}),
            "message_stop",
        ),
    ] {
        let reply = proxy.post(path, &body);
        reply.is(200);
        assert_eq!(
            reply.header("content-type").unwrap().split(';').next(),
            Some("text/event-stream")
        );
        let events = reply.events();
        assert!(events.len() > 5, "{path}: {events:?}");
        assert!(events.last().unwrap().contains(last), "{path}: {events:?}");
    }
}

#[test]
fn a_stream_in_splinters_arrives_whole() {
    let (mock, proxy) = pair(1);
    let whole = proxy.post(CHAT, &chat_stream("splinters"));
    mock.fault(Fault::on(ANY_KEY).times(1).trickle(7, 0));
    let splinters = proxy.post(CHAT, &chat_stream("splinters"));
    splinters.is(200);
    assert_eq!(splinters.events().len(), whole.events().len());
}

#[test]
fn a_cut_stream_is_passed_on_as_a_cut_at_once_and_unchanged() {
    let sent = "data: {\"one\":1}\n\ndata: {\"two\":";
    let upstream = Upstream::start(move |connection| {
        connection.request();
        connection.write(STREAM);
        connection.write_chunk(sent);
    });
    let proxy = Proxy::start(config(&upstream.url(), 3, json!({})));
    let reply = proxy.post(CHAT, &chat_stream("hi"));
    assert_eq!((reply.status, reply.end), (200, End::Cut));
    assert_eq!(reply.text(), sent);
    assert_eq!(
        upstream.connections(),
        1,
        "what has begun is not begun again"
    );
}

#[test]
fn events_before_a_cut_arrive_all() {
    let (mock, proxy) = pair(2);
    mock.fault(Fault::on(ANY_KEY).times(1).cut_events(3));
    let reply = proxy.post(CHAT, &chat_stream("hi"));
    assert_eq!((reply.status, reply.end), (200, End::Cut));
    assert_eq!(reply.events().len(), 3);
    assert_eq!(mock.counters().total.requests, 1);
}

#[test]
fn what_came_before_a_cut_reaches_a_client_that_reads_late() {
    /// More than sockets and the proxy hold together.
    const LONG: usize = 16 << 20;
    let (done, sent) = channel::<()>();
    let done = Mutex::new(done);
    let upstream = Upstream::start(move |connection| {
        connection.request();
        connection.write(STREAM);
        for _ in 0..LONG >> 16 {
            connection.write_chunk(vec![b'x'; 1 << 16]);
        }
        let _ = done.lock().unwrap().send(());
    });
    let proxy = Proxy::start(config(&upstream.url(), 1, json!({})));
    let mut client = proxy.client();
    client.send("POST", CHAT, &[], chat_stream("hi").to_string().as_bytes());
    // Until all buffers on the way are full, or everything has been sent.
    let _ = sent.recv_timeout(Duration::from_millis(300));
    let reply = client.read();
    assert_eq!((reply.status, reply.end), (200, End::Cut));
    assert_eq!(reply.body.len(), LONG);
}

#[test]
fn an_answer_cut_within_its_length_is_passed_on_as_a_cut() {
    let (mock, proxy) = pair(1);
    mock.fault(Fault::on(ANY_KEY).times(1).cut_bytes(50));
    let reply = proxy.post(CHAT, &chat("hi"));
    assert_eq!(
        (reply.status, reply.end, reply.body.len()),
        (200, End::Cut, 50)
    );
    proxy.post(CHAT, &chat("hi")).is(200);
}

#[test]
fn an_error_event_within_a_stream_is_passed_on() {
    let (mock, proxy) = pair(1);
    mock.fault(Fault::on(ANY_KEY).times(1).error_event(2));
    let reply = proxy.post(CHAT, &chat_stream("hi"));
    reply.is(200);
    let events = reply.events();
    assert!(
        events.iter().any(|event| event.contains("\"error\"")),
        "{events:?}"
    );
}

#[test]
fn an_upstream_that_does_not_answer_in_time_is_504_and_not_asked_again() {
    let (mock, proxy) = pair_with(3, json!({"first_byte_timeout_ms": 300}));
    mock.fault(Fault::on(ANY_KEY).stall(None));
    let reply = proxy.turn("s", &chat("hi"));
    reply.is_own(504, "upstream_timeout");
    assert!(
        reply.message().contains("first_byte_timeout_ms"),
        "{}",
        reply.text()
    );
    assert_eq!(mock.counters().total.requests, 1);
    assert!(
        mock.wait_until(DEADLINE, |counters| counters.total.client_gone == 1),
        "the upstream request is given up too"
    );
}

#[test]
fn a_stream_that_falls_silent_is_aborted_after_idle_timeout_ms() {
    let (mock, proxy) = pair_with(2, json!({"idle_timeout_ms": 300}));
    mock.fault(Fault::on(ANY_KEY).stall_after(2, None));
    let reply = proxy.post(CHAT, &chat_stream("hi"));
    assert_eq!(reply.status, 200);
    assert!(
        matches!(reply.end, End::Cut | End::Reset),
        "{:?}",
        reply.end
    );
    assert_eq!(
        reply.events().len(),
        2,
        "what came before the silence arrived"
    );
    assert!(mock.wait_until(DEADLINE, |counters| counters.total.client_gone == 1));
}

#[test]
fn a_slow_stream_that_is_never_silent_for_long_is_not_aborted() {
    // 20 events of 60 ms: twice the limit in all, a tenth of it at a time.
    let mock = mock_builder(1)
        .event_delay(Duration::from_millis(60))
        .output_tokens(20)
        .start()
        .unwrap();
    let proxy = Proxy::start(config(&mock.url(), 1, json!({"idle_timeout_ms": 600})));
    let reply = proxy.post(CHAT, &chat_stream("hi"));
    reply.is(200);
    assert!(reply.events().len() >= 10);
}

#[test]
fn a_client_that_leaves_before_the_answer_stops_the_upstream_request() {
    let (mock, proxy) = pair(2);
    mock.fault(Fault::on(ANY_KEY).stall(None));
    let mut client = proxy.client();
    client.send("POST", CHAT, &[], chat("hi").to_string().as_bytes());
    assert!(mock.wait_until(DEADLINE, |counters| counters.total.in_flight == 1));
    client.leave();
    assert!(mock.wait_until(DEADLINE, |counters| counters.total.client_gone == 1));
    assert_eq!(
        mock.counters().total.requests,
        1,
        "and is not sent elsewhere"
    );
}

#[test]
fn a_client_that_leaves_within_a_stream_stops_the_upstream_request() {
    let (mock, proxy) = pair(2);
    mock.fault(Fault::on(ANY_KEY).stall_after(2, None));
    let mut client = proxy.client();
    client.send("POST", CHAT, &[], chat_stream("hi").to_string().as_bytes());
    assert_eq!(client.head().status, 200);
    assert!(!client.chunk().unwrap().is_empty());
    client.leave();
    assert!(mock.wait_until(DEADLINE, |counters| counters.total.client_gone == 1));
    assert!(mock.wait_until(DEADLINE, |counters| counters.total.in_flight == 0));
}

#[test]
fn a_client_that_leaves_within_its_body_reaches_no_upstream() {
    let (mock, proxy) = pair(2);
    let mut client = proxy.client();
    client.raw(format!(
        "POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{{\"model\":"
    ));
    client.leave();
    proxy.post(CHAT, &chat("hi")).is(200);
    assert_eq!(mock.counters().total.requests, 1);
}

#[test]
fn many_streams_run_beside_each_other() {
    let delay = Duration::from_millis(5);
    let mock = mock_builder(3).event_delay(delay).start().unwrap();
    let proxy = Proxy::start(config(&mock.url(), 3, json!({})));
    let mut clients: Vec<_> = (0..60)
        .map(|number| {
            let mut client = proxy.client();
            let id = format!("s{number}");
            let headers = [("x-session-id", id.as_str())];
            client.send(
                "POST",
                CHAT,
                &headers,
                chat_stream("hi").to_string().as_bytes(),
            );
            client
        })
        .collect();
    for client in &mut clients {
        let reply = client.read();
        reply.is(200);
        assert_eq!(reply.events().last().map(String::as_str), Some("[DONE]"));
    }
    let used = crate::support::spread(&mock, keys(3).len());
    assert!(used.iter().all(|requests| *requests > 0), "{used:?}");
}
