//! What is said over WebSockets, and what follows from it: sessions, tokens, limits, another key.

use std::sync::Mutex;

use api_key_lb_mock::Fault;
use serde_json::{Value, json};

use crate::support::websocket::{BINARY, CLOSE, WebSocket, frame, unmasked};
use crate::support::{
    Proxy, RESPONSES, captured_frames, config, eventually, last_key, pair, pair_with,
};
use crate::websocket::{DONE, accepting, create, echo};

#[test]
fn the_conversation_of_codex_passes_byte_for_byte_on_one_key() {
    let (mock, proxy) = pair(3);
    let (headers, frames) = captured_frames("codex/wstool-01");
    let headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let mut socket = WebSocket::open(proxy.port, RESPONSES, &headers);
    let served = socket.reply.header("x-lb-key").unwrap().to_owned();
    assert_eq!(socket.reply.header("x-lb-affinity"), Some("new"));
    for frame in &frames {
        socket.send(frame);
        let answer = socket.until(DONE);
        assert_eq!(answer.last().unwrap().kind(), "response.completed");
    }
    let requests = mock.requests();
    let messages = requests.iter().filter(|seen| !seen.body.is_empty());
    assert!(
        messages
            .map(|seen| &seen.body[..])
            .eq(frames.iter().map(String::as_bytes)),
        "something was changed"
    );
    // The conversation goes on over HTTP where it was.
    let session = headers
        .iter()
        .find(|(name, _)| *name == "session-id")
        .unwrap();
    let next = proxy.ask("POST", RESPONSES, &[*session], create("next").as_bytes());
    assert_eq!(next.is(200).header("x-lb-key"), Some(&*served));
    assert_eq!(next.header("x-lb-affinity"), Some("home"));
    socket.raw(frame(CLOSE, &[0x03, 0xe8]));
    assert_eq!(socket.message().opcode, CLOSE);
    assert_eq!(socket.next(), None);
    socket.leave();
    eventually("each response and the connection are logged", || {
        let output = proxy.output();
        output.matches(" WS /v1/responses 200 ").count() == frames.len()
            && output.matches(" GET /v1/responses 101 ").count() == 1
    });
    let output = proxy.output();
    let line = output.lines().find(|line| line.contains(" WS ")).unwrap();
    assert!(line.contains("tokens"), "{line}");
    assert!(line.contains("header session-id"), "{line}");
}

#[test]
fn a_limit_before_anything_was_served_moves_to_another_key_unseen() {
    let (mock, proxy) = pair(2);
    mock.fault(
        Fault::on("*")
            .skip(1)
            .times(1)
            .status(429)
            .header("retry-after", "60"),
    );
    let mut socket = WebSocket::open(proxy.port, RESPONSES, &[("session-id", "s1")]);
    let first = last_key(&mock);
    socket.send(create("hi"));
    let answer = socket.until(DONE);
    assert_eq!(
        answer.last().unwrap().kind(),
        "response.completed",
        "{answer:?}"
    );
    assert_eq!(answer[0].kind(), "response.created");
    let second = last_key(&mock);
    assert_ne!(first, second);
    let asked = create("hi").into_bytes();
    let requests = mock.requests();
    let sent: Vec<_> = requests.iter().filter(|seen| seen.body == asked).collect();
    assert_eq!(sent.len(), 2, "the message was sent again");
    // It stays there, and the next connection begins there.
    socket.send(create("again"));
    socket.until(DONE);
    assert_eq!(last_key(&mock), second);
    let next = WebSocket::open(proxy.port, RESPONSES, &[("session-id", "s1")]);
    assert_eq!(next.reply.header("x-lb-affinity"), Some("home"));
    assert_eq!(last_key(&mock), second);
}

#[test]
fn a_limit_later_on_passes_and_cools_the_account_for_everyone() {
    let (mock, proxy) = pair_with(2, json!({"max_wait_ms": 0}));
    let mut socket = WebSocket::open(proxy.port, RESPONSES, &[("session-id", "s1")]);
    socket.send(create("one"));
    socket.until(DONE);
    let tunnelled = last_key(&mock);
    mock.fault(
        Fault::on(&tunnelled)
            .times(1)
            .status(429)
            .header("retry-after", "60"),
    );
    socket.send(create("two"));
    let answer = socket.until(DONE);
    let error = answer.last().unwrap().json();
    assert_eq!(
        (error["type"].as_str(), error["status"].as_u64()),
        (Some("error"), Some(429))
    );
    for number in 0..4 {
        let session = format!("other-{number}");
        let reply = proxy.ask(
            "POST",
            RESPONSES,
            &[("session-id", &*session)],
            create("x").as_bytes(),
        );
        reply.is(200);
        assert_ne!(last_key(&mock), tunnelled);
    }
    eventually("the log shows the limit", || {
        proxy.output().contains(" WS /v1/responses 429 ")
    });
}

#[test]
fn a_server_that_closes_before_anything_was_said_is_replaced() {
    let closing = Mutex::new(true);
    let upstream = accepting("", move |connection| {
        if std::mem::take(&mut *closing.lock().unwrap()) {
            connection.write(unmasked(0x88, b"\x03\xf3You exceeded your current quota"));
            return;
        }
        connection.write(unmasked(0x81, br#"{"type":"session.created"}"#));
        echo(connection);
    });
    let proxy = Proxy::start(config(&upstream.url(), 2, json!({})));
    let mut socket = WebSocket::open(proxy.port, "/v1/realtime", &[]);
    assert_eq!(socket.message().kind(), "session.created");
    let keys: Vec<_> = upstream
        .requests()
        .iter()
        .map(|seen| seen.header("authorization").unwrap().to_owned())
        .collect();
    assert_eq!(keys.len(), 2);
    assert_ne!(keys[0], keys[1]);
}

#[test]
fn realtime_where_the_server_speaks_first_with_a_key_among_the_subprotocols() {
    let (mock, proxy) = pair(2);
    let protocols = "realtime, openai-insecure-api-key.mine";
    let mut socket = WebSocket::open(
        proxy.port,
        "/v1/realtime?model=gpt-realtime",
        &[("Sec-WebSocket-Protocol", protocols)],
    );
    assert_eq!(
        socket.reply.header("sec-websocket-protocol"),
        Some("realtime")
    );
    assert_eq!(socket.message().kind(), "session.created");
    socket.send(r#"{"type":"input_audio_buffer.append","audio":"AAAA"}"#);
    socket.send(r#"{"type":"response.create"}"#);
    assert_eq!(socket.until(DONE).last().unwrap().kind(), "response.done");
    let sources: Vec<_> = mock.requests()[0]
        .credentials
        .iter()
        .map(|credential| credential.source.clone())
        .collect();
    assert_eq!(sources, ["sec-websocket-protocol"]);
    eventually("its tokens are counted", || {
        let output = proxy.output();
        let line = output.lines().find(|line| line.contains(" WS "));
        line.is_some_and(|line| line.contains("20 tokens"))
    });
}

#[test]
fn gemini_live_with_a_key_in_the_query() {
    let (mock, proxy) = pair(2);
    let live = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent";
    let mut socket = WebSocket::open(proxy.port, &format!("{live}?key=mine"), &[]);
    socket.send(r#"{"setup":{"model":"models/gemini-live"}}"#);
    assert_eq!(socket.message().payload, br#"{"setupComplete":{}}"#);
    socket.send(r#"{"clientContent":{"turns":[],"turnComplete":true}}"#);
    assert_eq!(socket.message().opcode, BINARY);
    let last = socket.message().json();
    assert_eq!(last["usageMetadata"]["totalTokenCount"], 24);
    assert_eq!(mock.requests()[0].credentials[0].source, "?key");
    socket.leave();
    eventually("the tokens of the connection are counted", || {
        let status = proxy.health();
        let keys = status["keys"].as_array().unwrap().clone();
        keys.iter().all(|key| key["in_flight"] == 0)
    });
}

#[test]
fn a_session_that_only_the_first_message_names_is_learned() {
    let (mock, proxy) = pair(3);
    let named = |text: &str| {
        json!({"type": "response.create", "model": "m", "input": text, "prompt_cache_key": "c-7"})
            .to_string()
    };
    let mut socket = WebSocket::open(proxy.port, RESPONSES, &[]);
    socket.send(named("one"));
    socket.until(DONE);
    let home = last_key(&mock);
    for number in 0..6 {
        let next = proxy.ask(
            "POST",
            RESPONSES,
            &[],
            named(&format!("{number}")).as_bytes(),
        );
        assert_eq!(next.is(200).header("x-lb-affinity"), Some("home"));
        assert_eq!(last_key(&mock), home);
    }
}

#[test]
fn an_answer_over_a_websocket_can_be_continued_over_http() {
    let (mock, proxy) = pair(3);
    let mut socket = WebSocket::open(proxy.port, RESPONSES, &[("session-id", "s")]);
    socket.send(create("one"));
    let done = socket.until(DONE).last().unwrap().json();
    let home = last_key(&mock);
    let body =
        json!({"model": "m", "input": "two", "previous_response_id": done["response"]["id"]});
    for _ in 0..4 {
        proxy
            .ask("POST", RESPONSES, &[], body.to_string().as_bytes())
            .is(200);
        assert_eq!(last_key(&mock), home);
    }
}

#[test]
fn compressed_messages_pass_as_they_are_and_are_read() {
    let said: &[Value] = &[
        json!({"type": "response.created", "response": {"id": "resp_1"}}),
        json!({"type": "response.output_text.delta", "delta": "x".repeat(3000)}),
        json!({"type": "response.completed", "response": {"id": "resp_1", "usage": {
            "input_tokens": 4321, "input_tokens_details": {"cached_tokens": 4000},
            "output_tokens": 10}}}),
    ];
    let mut deflate = flate2::Compress::new(flate2::Compression::default(), false);
    let frames: Vec<u8> = said
        .iter()
        .flat_map(|message| {
            let mut out = Vec::with_capacity(65_536);
            let text = message.to_string();
            deflate
                .compress_vec(text.as_bytes(), &mut out, flate2::FlushCompress::Sync)
                .unwrap();
            out.truncate(out.len() - 4);
            unmasked(0xc1, &out)
        })
        .collect();
    let expected = frames.clone();
    let upstream = accepting(
        "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=15\r\n",
        move |connection| {
            connection.take(1);
            connection.write(&frames);
            while connection.take(1).is_some() {}
        },
    );
    let proxy = Proxy::start(config(&upstream.url(), 1, json!({})));
    let offer = (
        "Sec-WebSocket-Extensions",
        "permessage-deflate; client_max_window_bits",
    );
    let mut socket = WebSocket::open(proxy.port, RESPONSES, &[offer]);
    assert_eq!(upstream.requests()[0].header(offer.0), Some(offer.1));
    socket.send(create("hi"));
    assert!(socket.take(expected.len()).unwrap() == expected);
    eventually("its tokens are counted", || {
        let output = proxy.output();
        let line = output.lines().find(|line| line.contains(" WS "));
        line.is_some_and(|line| line.contains("4.3k tokens 92% cached"))
    });
}
