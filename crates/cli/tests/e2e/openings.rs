//! How an answer begins: what turns out to be an error before anything of substance has come goes to
//! another key; everything else reaches the client byte for byte, and in time.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use api_key_lb_mock::{ANY_KEY, Fault};
use serde_json::json;

use crate::compressed::CODINGS;
use crate::support::{
    CHAT, DEADLINE, End, MESSAGES, MODELS, Proxy, RESPONSES, Reply, Upstream, chat, chat_stream,
    config, pair,
};

const EVENTS: &str = "Content-Type: text/event-stream\r\n";
const JSON: &str = "Content-Type: application/json\r\n";
const LINES: &str = "Content-Type: application/x-ndjson\r\n";

/// As long as an answer is held back at most, and what a test machine may take besides.
const HELD_MOST: Duration = Duration::from_secs(2);
const SLACK: Duration = Duration::from_millis(900);

const MESSAGE_START: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"content\":[],\"usage\":{\"input_tokens\":9}}}\n\n";
const PING: &str = "event: ping\ndata: {\"type\": \"ping\"}\n\n";
const OVERLOADED: &str = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n";
const GOOD: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\ndata: [DONE]\n\n";

/// An answer with status 200 whose length is known.
fn answer(headers: &str, body: &[u8]) -> Vec<u8> {
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    answer.extend_from_slice(body);
    answer
}

/// The same in chunks of `size`.
fn chunked(headers: &str, body: &[u8], size: usize) -> Vec<u8> {
    let mut answer =
        format!("HTTP/1.1 200 OK\r\n{headers}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
    for piece in body.chunks(size) {
        answer.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        answer.extend_from_slice(piece);
        answer.extend_from_slice(b"\r\n");
    }
    answer.extend_from_slice(b"0\r\n\r\n");
    answer
}

/// Answers the first request with `first`, every other one with `then`.
fn first_then(first: Vec<u8>, then: Vec<u8>) -> Upstream {
    let begun = AtomicBool::new(false);
    Upstream::start(move |connection| {
        while connection.request().is_some() {
            let is_first = !begun.swap(true, Ordering::AcqRel);
            connection.write(if is_first { &first } else { &then });
        }
    })
}

/// What a client with three keys gets.
fn asked(upstream: &Upstream, path: &str) -> Reply {
    let proxy = Proxy::start(config(&upstream.url(), 3, json!({})));
    proxy.post(path, &chat_stream("hi"))
}

#[track_caller]
fn is_served_elsewhere(path: &str, first: Vec<u8>, then: Vec<u8>, expected: &[u8]) {
    let upstream = first_then(first, then);
    let reply = asked(&upstream, path);
    reply.is(200);
    assert!(reply.body == expected, "{}", reply.text());
    assert_eq!(reply.header("x-lb-attempts"), Some("2"));
    let requests = upstream.requests();
    let keys: Vec<_> = requests
        .iter()
        .map(|request| (request.header("authorization"), request.header("x-api-key")))
        .collect();
    assert_eq!(keys.len(), 2);
    assert_ne!(keys[0], keys[1]);
}

#[test]
fn an_error_as_the_first_event_of_substance_goes_to_another_key() {
    let created = "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"instructions\":\"x\"}}\n\n";
    let failed = "event: response.failed\ndata: {\"type\":\"response.failed\",\"response\":{\"error\":{\"code\":\"rate_limit_exceeded\",\"message\":\"Please try again in 11.054s.\"}}}\n\n";
    let role = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n";
    let router = "data: {\"error\":{\"code\":429,\"message\":\"slow down\"},\"choices\":[{\"delta\":{\"content\":\"\"},\"finish_reason\":\"error\"}]}\n\n";
    let minimax = "data: {\"choices\":null,\"base_resp\":{\"status_code\":1002,\"status_msg\":\"rate limit\"}}\n\n";
    for (path, first) in [
        (MESSAGES, OVERLOADED.to_owned()),
        (MESSAGES, format!("{MESSAGE_START}{PING}{OVERLOADED}")),
        (RESPONSES, format!("{created}{failed}")),
        (CHAT, format!(": OPENROUTER PROCESSING\n\n{role}{router}")),
        (CHAT, format!("{minimax}data: [DONE]\n\n")),
    ] {
        for size in [1, 10_000] {
            let first = chunked(EVENTS, first.as_bytes(), size);
            let then = chunked(EVENTS, GOOD.as_bytes(), 10_000);
            is_served_elsewhere(path, first, then, GOOD.as_bytes());
        }
    }
}

#[test]
fn the_mocks_error_events_go_to_another_key_only_before_content() {
    for (path, body) in [
        (CHAT, chat_stream("hi")),
        (
            RESPONSES,
            json!({"model": "m", "stream": true, "input": "hi"}),
        ),
        (
            MESSAGES,
            json!({"model": "m", "stream": true, "max_tokens": 20, "messages": [{"role": "user", "content": "hi"}]}),
        ),
    ] {
        let (mock, proxy) = pair(2);
        mock.fault(Fault::on(ANY_KEY).times(1).error_event(0));
        let reply = proxy.post(path, &body);
        reply.is(200);
        assert!(reply.events().len() > 6, "{path}: {}", reply.text());
        assert_eq!(mock.counters().total.requests, 2, "{path}");

        let (mock, proxy) = pair(2);
        mock.fault(Fault::on(ANY_KEY).times(1).error_event(6));
        let reply = proxy.post(path, &body);
        reply.is(200);
        assert_eq!(reply.events().len(), 7, "{path}: {}", reply.text());
        assert_eq!(mock.counters().total.requests, 1, "{path}");
    }
}

#[test]
fn an_error_after_content_is_passed_on_and_nobody_else_is_asked() {
    let stream = format!("{GOOD}{OVERLOADED}");
    let upstream = Upstream::answering(chunked(EVENTS, stream.as_bytes(), 20));
    let reply = asked(&upstream, CHAT);
    reply.is(200);
    assert_eq!(reply.text(), stream);
    assert_eq!(upstream.requests().len(), 1);
}

#[test]
fn an_error_that_every_key_gets_is_passed_on_unchanged() {
    let stream = format!("{MESSAGE_START}{OVERLOADED}");
    let upstream = Upstream::answering(chunked(EVENTS, stream.as_bytes(), 20));
    let proxy = Proxy::start(config(&upstream.url(), 2, json!({})));
    let reply = proxy.post(MESSAGES, &chat_stream("hi"));
    reply.is(200);
    assert_eq!(reply.text(), stream);
    assert_eq!(upstream.requests().len(), 2);
}

#[test]
fn an_error_that_is_the_requests_own_is_passed_on_unchanged() {
    let stream = "data: {\"error\":{\"code\":\"context_length_exceeded\",\"message\":\"maximum context length\"}}\n\n";
    let upstream = Upstream::answering(chunked(EVENTS, stream.as_bytes(), 20));
    let reply = asked(&upstream, CHAT);
    reply.is(200);
    assert_eq!(reply.text(), stream);
    assert_eq!(upstream.requests().len(), 1);
}

#[test]
fn a_document_that_is_an_error_goes_to_another_key() {
    let good = br#"{"choices":[{"message":{"content":"Hi"}}]}"#;
    for body in [
        r#"{"error":{"message":"usage limit reached","type":"rate_limit_error"}}"#,
        r#"{"choices":null,"base_resp":{"status_code":1002,"status_msg":"rate limit"}}"#,
        "\n\n\n{\"error\":{\"message\":\"slow\",\"code\":\"rate_limit_exceeded\"}}",
    ] {
        let then = answer(JSON, good);
        is_served_elsewhere(CHAT, answer(JSON, body.as_bytes()), then.clone(), good);
        is_served_elsewhere(CHAT, chunked(JSON, body.as_bytes(), 5), then.clone(), good);
        // Some announce events and send a document.
        is_served_elsewhere(CHAT, chunked(EVENTS, body.as_bytes(), 5), then, good);
    }
}

/// Ollama's own API.
#[test]
fn a_first_line_that_is_an_error_goes_to_another_key() {
    let lines =
        b"{\"message\":{\"content\":\"H\"}}\n{\"message\":{\"content\":\"i\"},\"done\":true}\n";
    for line in [
        &b"{\"error\":{\"code\":\"rate_limit_exceeded\"}}\n"[..],
        b"{\"error\":\"too many requests\"}\n",
        b"{\"error\":\"server busy, please try again.  maximum pending requests exceeded\"}\n",
    ] {
        for path in [CHAT, "/api/chat", "/api/generate"] {
            let then = chunked(LINES, lines, 100);
            is_served_elsewhere(path, chunked(LINES, line, 100), then, lines);
        }
    }
}

#[test]
fn an_error_that_is_not_the_first_line_is_relayed_as_it_came() {
    let lines = "{\"response\":\" Yes\",\"done\":false}\r\n\n{\"error\":\"an error was encountered \
                 while running the model\"}\n{\"response\":\"\",\"done\":true,\
                 \"prompt_eval_count\":100,\"eval_count\":5}";
    let upstream = Upstream::answering(chunked(LINES, lines.as_bytes(), 7));
    let proxy = Proxy::start(config(&upstream.url(), 2, json!({})));
    let reply = proxy.post("/api/generate", &json!({"model": "m", "prompt": "hi"}));
    reply.is(200);
    assert_eq!(reply.text(), lines);
    assert_eq!(upstream.requests().len(), 1);
}

#[test]
fn compressed_beginnings_are_read_and_relayed_as_they_came() {
    for (name, encode) in CODINGS {
        let coding = format!("Content-Encoding: {name}\r\n");
        let good = encode(GOOD.as_bytes());
        is_served_elsewhere(
            CHAT,
            chunked(
                &format!("{EVENTS}{coding}"),
                &encode(OVERLOADED.as_bytes()),
                7,
            ),
            chunked(&format!("{EVENTS}{coding}"), &good, 7),
            &good,
        );
        let error = encode(br#"{"error":{"message":"slow","code":"rate_limit_exceeded"}}"#);
        let good = encode(br#"{"choices":[{"message":{"content":"Hi"}}]}"#);
        is_served_elsewhere(
            CHAT,
            answer(&format!("{JSON}{coding}"), &error),
            answer(&format!("{JSON}{coding}"), &good),
            &good,
        );
    }
}

#[test]
fn an_answer_that_breaks_off_before_it_said_anything_goes_to_another_key() {
    let head = format!("HTTP/1.1 200 OK\r\n{EVENTS}Transfer-Encoding: chunked\r\n\r\n");
    let begun = AtomicBool::new(false);
    let upstream = Upstream::start(move |connection| {
        while connection.request().is_some() {
            connection.write(&head);
            connection.write_chunk(MESSAGE_START);
            if !begun.swap(true, Ordering::AcqRel) {
                return;
            }
            connection.write_chunk(GOOD);
            connection.write("0\r\n\r\n");
        }
    });
    let reply = asked(&upstream, MESSAGES);
    reply.is(200);
    assert_eq!(reply.text(), format!("{MESSAGE_START}{GOOD}"));
    assert_eq!(upstream.requests().len(), 2);
}

#[test]
fn an_answer_that_breaks_off_with_the_only_key_is_passed_on_as_a_cut() {
    let head = format!("HTTP/1.1 200 OK\r\n{EVENTS}Transfer-Encoding: chunked\r\n\r\n");
    let upstream = Upstream::start(move |connection| {
        connection.request();
        connection.write(&head);
        connection.write_chunk(MESSAGE_START);
    });
    let proxy = Proxy::start(config(&upstream.url(), 1, json!({})));
    let reply = proxy.post(MESSAGES, &chat_stream("hi"));
    assert_eq!((reply.status, reply.end), (200, End::Cut));
    assert_eq!(reply.text(), MESSAGE_START);
}

#[test]
fn pings_are_held_back_for_two_seconds_at_most_and_all_arrive() {
    let head = format!("HTTP/1.1 200 OK\r\n{EVENTS}Transfer-Encoding: chunked\r\n\r\n");
    let (arrived, seen) = channel::<()>();
    let seen = Mutex::new(seen);
    let upstream = Upstream::start(move |connection| {
        connection.request();
        connection.write(&head);
        for _ in 0..6 {
            connection.write_chunk(PING);
            std::thread::sleep(Duration::from_millis(200));
        }
        // Silent until the client has the head.
        if seen.lock().unwrap().recv_timeout(DEADLINE).is_ok() {
            connection.write_chunk(OVERLOADED);
            connection.write("0\r\n\r\n");
        }
    });
    let proxy = Proxy::start(config(&upstream.url(), 2, json!({})));
    let mut client = proxy.client();
    let began = Instant::now();
    client.send(
        "POST",
        MESSAGES,
        &[],
        chat_stream("hi").to_string().as_bytes(),
    );
    assert_eq!(client.head().status, 200);
    let held = began.elapsed();
    assert!((HELD_MOST..HELD_MOST + SLACK).contains(&held), "{held:?}");
    let mut body = client.chunk().unwrap();
    arrived.send(()).unwrap();
    loop {
        match client.chunk().unwrap() {
            chunk if chunk.is_empty() => break,
            chunk => body.extend(chunk),
        }
    }
    let expected = format!("{}{OVERLOADED}", PING.repeat(6));
    assert_eq!(String::from_utf8(body).unwrap(), expected);
}

#[test]
fn no_more_than_sixteen_events_are_held_back() {
    let head = format!("HTTP/1.1 200 OK\r\n{EVENTS}Transfer-Encoding: chunked\r\n\r\n");
    let upstream = Upstream::start(move |connection| {
        connection.request();
        connection.write(&head);
        connection.write_chunk(PING.repeat(16));
        // Nothing more, until the client leaves.
        connection.request();
    });
    let proxy = Proxy::start(config(&upstream.url(), 2, json!({})));
    let mut client = proxy.client();
    let began = Instant::now();
    client.send(
        "POST",
        MESSAGES,
        &[],
        chat_stream("hi").to_string().as_bytes(),
    );
    assert_eq!(client.head().status, 200);
    assert_eq!(client.chunk(), Ok(PING.repeat(16).into_bytes()));
    assert!(began.elapsed() < HELD_MOST);
}

#[test]
fn a_long_document_streams_at_once() {
    for framing in ["Content-Length: 100000", "Transfer-Encoding: chunked"] {
        let head = format!("HTTP/1.1 200 OK\r\n{JSON}{framing}\r\n\r\n");
        let is_chunked = framing.ends_with("chunked");
        let upstream = Upstream::start(move |connection| {
            connection.request();
            connection.write(&head);
            let begins = r#"{"id":"x","choices":[{"message":{"content":"and so on"#;
            if is_chunked {
                connection.write_chunk(begins);
            } else {
                connection.write(begins);
            }
            // Nothing more, until the client leaves.
            connection.request();
        });
        let proxy = Proxy::start(config(&upstream.url(), 2, json!({})));
        let mut client = proxy.client();
        let began = Instant::now();
        client.send("POST", CHAT, &[], chat("hi").to_string().as_bytes());
        assert_eq!(client.head().status, 200);
        assert!(began.elapsed() < HELD_MOST, "{framing}");
    }
}

#[test]
fn what_is_looked_up_may_be_an_error_of_long_ago() {
    let stored = br#"{"id":"job","error":{"message":"slow","code":"rate_limit_exceeded"}}"#;
    let upstream = Upstream::answering(answer(JSON, stored));
    let proxy = Proxy::start(config(&upstream.url(), 3, json!({})));
    let reply = proxy.get(MODELS);
    reply.is(200);
    assert_eq!(reply.body, stored);
    assert_eq!(upstream.requests().len(), 1);
}

#[test]
fn error_bodies_arrive_byte_for_byte_however_long_they_are() {
    for length in [0, 1, 4096, 65_536, 65_537, 100_000, 1_000_000] {
        let body: Vec<u8> = (0..=255).cycle().take(length).collect();
        for bytes in [answer("", &body), chunked("", &body, 3000)] {
            let failed = String::from_utf8_lossy(&bytes[..12]).replace("200", "400");
            let bytes = [failed.as_bytes(), &bytes[12..]].concat();
            let upstream = Upstream::answering(bytes);
            let reply = asked(&upstream, CHAT);
            reply.is(400);
            assert!(reply.body == body, "{length} bytes were changed");
            assert_eq!(upstream.requests().len(), 1);
        }
    }
}

#[test]
fn trailers_of_an_error_and_of_a_held_stream_arrive() {
    for (status, kind, body) in [(400, JSON, "{\"error\":{}}"), (200, EVENTS, PING)] {
        let upstream = Upstream::answering(format!(
            "HTTP/1.1 {status} X\r\n{kind}Trailer: x-sum\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\nX-Sum: 42\r\n\r\n",
            body.len()
        ));
        let proxy = Proxy::start(config(&upstream.url(), 1, json!({})));
        let headers = [("TE", "trailers"), ("Connection", "TE")];
        let reply = proxy.ask("POST", CHAT, &headers, b"{}");
        reply.is(status);
        assert_eq!(reply.text(), body);
        assert_eq!(reply.trailers, [("x-sum".to_owned(), "42".to_owned())]);
    }
}

#[test]
fn an_error_body_that_stalls_is_let_go_after_two_seconds() {
    let (arrived, seen) = channel::<()>();
    let seen = Mutex::new(seen);
    let upstream = Upstream::start(move |connection| {
        connection.request();
        connection.write("HTTP/1.1 400 Bad Request\r\nTransfer-Encoding: chunked\r\n\r\n");
        connection.write_chunk("01234");
        if seen.lock().unwrap().recv_timeout(DEADLINE).is_ok() {
            connection.write_chunk("56789");
            connection.write("0\r\n\r\n");
        }
    });
    let proxy = Proxy::start(config(&upstream.url(), 2, json!({})));
    let mut client = proxy.client();
    let began = Instant::now();
    client.send("POST", CHAT, &[], chat("hi").to_string().as_bytes());
    assert_eq!(client.head().status, 400);
    let held = began.elapsed();
    assert!((HELD_MOST..HELD_MOST + SLACK).contains(&held), "{held:?}");
    assert_eq!(client.chunk(), Ok(b"01234".to_vec()));
    arrived.send(()).unwrap();
    assert_eq!(client.chunk(), Ok(b"56789".to_vec()));
    assert_eq!(client.chunk(), Ok(Vec::new()));
}

#[test]
fn connections_are_used_again_after_errors_that_were_thrown_away() {
    let error = answer(
        JSON,
        br#"{"error":{"message":"m","type":"overloaded_error"}}"#,
    );
    let good = answer(JSON, br#"{"choices":[{"message":{"content":"Hi"}}]}"#);
    let upstream = first_then(error, good);
    asked(&upstream, CHAT).is(200);
    assert_eq!((upstream.requests().len(), upstream.connections()), (2, 1));
}

#[test]
fn tokens_of_a_compressed_answer_are_counted() {
    let body = br#"{"choices":[{"message":{"content":"Hi"}}],"usage":{"prompt_tokens":2000,"prompt_tokens_details":{"cached_tokens":1000}}}"#;
    for (name, encode) in CODINGS {
        let headers = format!("{JSON}Content-Encoding: {name}\r\n");
        let upstream = Upstream::answering(answer(&headers, &encode(body)));
        let proxy = Proxy::start(config(&upstream.url(), 1, json!({})));
        proxy.post(CHAT, &chat("hi")).is(200);
        let line = proxy.last_logged();
        assert!(line.contains("50% cached"), "{name}: {line}");
    }
}
