//! `include_usage`: the provider is asked for token counts, and the client gets what it would have
//! got without.

use std::sync::Mutex;
use std::sync::mpsc::channel;

use api_key_lb_mock::{ANY_KEY, Fault};
use serde_json::{Value, json};

use crate::compressed::CODINGS;
use crate::support::{
    CHAT, Connection, DEADLINE, End, MESSAGES, Proxy, RESPONSES, Upstream, chat, chat_stream,
    config, eventually, key, pair_with,
};

const PUT_IN: &str = "\"stream_options\":{\"include_usage\":true},";
const EVENTS: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n";
const HI: &str = "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"}}]}\n\n";
const EXTRA: &str = "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"choices\":[],\"usage\":{\"prompt_tokens\":2000,\"completion_tokens\":1,\"prompt_tokens_details\":{\"cached_tokens\":1000}}}\n\n";
const DONE: &str = "data: [DONE]\n\n";

fn on() -> Value {
    json!({"include_usage": true})
}

fn proxy_of(upstream: &Upstream, keys: usize) -> Proxy {
    Proxy::start(config(&upstream.url(), keys, on()))
}

/// The body as the provider gets it.
fn asking(body: &str) -> String {
    format!("{{{PUT_IN}{}", &body[1..])
}

fn write_chunks(connection: &mut Connection, body: &[u8], size: usize) {
    connection.write(format!("{EVENTS}Transfer-Encoding: chunked\r\n\r\n"));
    for piece in body.chunks(size) {
        connection.write_chunk(piece);
    }
    connection.write("0\r\n\r\n");
}

/// How an answer is framed.
#[derive(Clone, Copy)]
enum Framing {
    Chunks(usize),
    Length,
    Close,
}

/// A provider that sends token counts to those who ask for them.
fn provider(framing: Framing) -> Upstream {
    Upstream::start(move |connection| {
        while let Some(request) = connection.request() {
            let asks = String::from_utf8_lossy(&request.body).contains("\"include_usage\":true");
            let body = format!("{HI}{HI}{}{DONE}", if asks { EXTRA } else { "" });
            match framing {
                Framing::Chunks(size) => write_chunks(connection, body.as_bytes(), size),
                Framing::Length => connection.write(format!(
                    "{EVENTS}Content-Length: {}\r\n\r\n{body}",
                    body.len()
                )),
                Framing::Close => {
                    connection.write(format!("{EVENTS}Connection: close\r\n\r\n{body}"));
                    return;
                }
            }
        }
    })
}

#[test]
fn the_client_gets_the_bytes_that_it_would_have_got_without() {
    for framing in [
        Framing::Chunks(1),
        Framing::Chunks(37),
        Framing::Chunks(HI.len()),
        Framing::Chunks(10_000),
        Framing::Length,
        Framing::Close,
    ] {
        let upstream = provider(framing);
        let without = Proxy::start(config(&upstream.url(), 1, json!({})));
        let expected = without.post(CHAT, &chat_stream("hi"));
        assert_eq!(expected.is(200).text(), format!("{HI}{HI}{DONE}"));
        assert!(!without.last_logged().contains("cached"));

        let proxy = proxy_of(&upstream, 1);
        let body = chat_stream("hi").to_string();
        let headers = [("accept-encoding", "gzip, br"), ("x-stays", "1")];
        let reply = proxy.ask("POST", CHAT, &headers, body.as_bytes());
        assert_eq!(reply.is(200).text(), expected.text());
        let kept = |reply: &crate::support::Reply| {
            let mut headers = reply.headers.clone();
            headers.retain(|(name, _)| {
                !matches!(
                    name.as_str(),
                    "content-length" | "transfer-encoding" | "date" | "x-lb-request-id"
                )
            });
            headers
        };
        assert_eq!(kept(&reply), kept(&expected));
        let line = proxy.last_logged();
        assert!(line.contains("50% cached"), "{line}");

        let seen = upstream.requests().pop().unwrap();
        assert_eq!(String::from_utf8_lossy(&seen.body), asking(&body));
        let length = asking(&body).len().to_string();
        assert_eq!(seen.header("content-length"), Some(length.as_str()));
        assert_eq!(seen.header("accept-encoding"), Some("identity"));
        assert_eq!(seen.header("x-stays"), Some("1"));
    }
}

#[test]
fn the_mocks_streams_lose_the_extra_chunk_and_nothing_else() {
    let (mock, proxy) = pair_with(1, on());
    let without = Proxy::start(config(&mock.url(), 1, json!({})));
    let expected = without.post(CHAT, &chat_stream("hi")).is(200).events();
    let body = "\r\n { \"model\":\t\"m\", \"n\": 1.50e+2, \"stream\" : true, \"messages\": [{\"role\": \"user\", \"content\": \"hi\"}]}\n";
    for piece in [1, 7, 10_000] {
        mock.fault(Fault::on(ANY_KEY).times(1).trickle(piece, 0));
        let reply = proxy.ask("POST", CHAT, &[], body.as_bytes());
        let events = reply.is(200).events();
        assert_eq!(events.len(), expected.len());
        for (event, expected) in events.iter().zip(&expected) {
            if event == "[DONE]" {
                assert_eq!(event, expected);
                continue;
            }
            let [event, mut expected] =
                [event, expected].map(|event| serde_json::from_str::<Value>(event).unwrap());
            // What else the provider adds when it is asked stays.
            expected["usage"] = Value::Null;
            assert_eq!(event["choices"], expected["choices"]);
            let keys = |value: &Value| -> Vec<String> {
                value.as_object().unwrap().keys().cloned().collect()
            };
            assert_eq!(keys(&event), keys(&expected));
        }
        let seen = mock.requests().pop().unwrap();
        let (before, behind) = body.split_at(body.find('{').unwrap() + 1);
        assert_eq!(seen.body, format!("{before}{PUT_IN}{behind}"));
    }
}

#[test]
fn cache_hits_of_streams_are_counted() {
    for (settings, expected) in [(json!({}), 0), (on(), 2)] {
        let (_mock, proxy) = pair_with(2, settings);
        let long = chat_stream(&"a prompt long enough to be cached by a provider ".repeat(300));
        for _ in 0..3 {
            proxy.turn("s", &long).is(200);
        }
        eventually("the hits are counted", || {
            let health = proxy.health();
            let keys = health["keys"].as_array().unwrap();
            let sum =
                |field: &str| -> u64 { keys.iter().map(|key| key[field].as_u64().unwrap()).sum() };
            (sum("requests"), sum("cache_hits")) == (3, expected)
        });
    }
}

#[test]
fn another_key_gets_the_same_body_after_a_429() {
    let (mock, proxy) = pair_with(3, on());
    mock.fault(Fault::on(ANY_KEY).times(2).status(429));
    let body = chat_stream("hi").to_string();
    let reply = proxy.ask("POST", CHAT, &[], body.as_bytes());
    assert!(!reply.is(200).text().contains("\"choices\":[]"));
    assert_eq!(reply.header("x-lb-attempts"), Some("3"));
    let requests = mock.requests();
    assert_eq!(requests.len(), 3);
    for request in &requests {
        assert_eq!(request.body, asking(&body));
        let length = asking(&body).len().to_string();
        assert_eq!(request.header("content-length"), Some(length.as_str()));
    }
}

#[test]
fn options_that_say_something_else_get_the_wish_too() {
    let (mock, proxy) = pair_with(1, on());
    let body = r#"{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}],"stream_options":{"include_obfuscation":false}}"#;
    let reply = proxy.ask("POST", CHAT, &[], body.as_bytes());
    assert!(!reply.is(200).text().contains("\"choices\":[]"));
    let expected = body.replace("{\"include_obf", "{\"include_usage\":true,\"include_obf");
    assert_eq!(mock.requests().pop().unwrap().body, expected);
}

#[test]
fn a_client_that_says_whether_it_wants_counts_gets_its_will() {
    let (mock, proxy) = pair_with(1, on());
    for wish in [true, false] {
        let mut body = chat_stream("hi");
        body["stream_options"] = json!({"include_usage": wish});
        let reply = proxy.ask(
            "POST",
            CHAT,
            &[("accept-encoding", "gzip")],
            body.to_string().as_bytes(),
        );
        assert_eq!(reply.is(200).text().contains("\"choices\":[]"), wish);
        let seen = mock.requests().pop().unwrap();
        assert_eq!(seen.body, body.to_string());
        assert_eq!(seen.header("accept-encoding"), Some("gzip"));
    }
}

#[test]
fn nothing_is_put_into_other_requests() {
    let (mock, proxy) = pair_with(1, json!({"include_usage": true, "replay_bytes": 1000}));
    let stream = chat_stream("hi").to_string();
    let coded = CODINGS[0].1(stream.as_bytes());
    let long = chat_stream(&"long ".repeat(1000)).to_string();
    for (path, headers, body) in [
        (CHAT, vec![], chat("hi").to_string().into_bytes()),
        (CHAT, vec![("content-encoding", CODINGS[0].0)], coded),
        (
            CHAT,
            vec![("digest", "sha-256=x")],
            stream.clone().into_bytes(),
        ),
        (CHAT, vec![], long.into_bytes()),
        (CHAT, vec![], format!("{stream}x").into_bytes()),
        (RESPONSES, vec![], stream.clone().into_bytes()),
        (MESSAGES, vec![], stream.clone().into_bytes()),
        ("/v1/completions", vec![], stream.into_bytes()),
    ] {
        proxy.ask("POST", path, &headers, &body);
        let seen = mock.requests().pop().unwrap();
        assert!(seen.body == body, "{path}: {:?}", seen.body);
        assert_eq!(seen.header("accept-encoding"), None, "{path}");
    }
}

#[test]
fn a_body_that_comes_in_chunks_is_sent_with_its_length() {
    let (mock, proxy) = pair_with(1, on());
    let body = chat_stream("hi").to_string();
    let mut client = proxy.client();
    client.raw(format!(
        "POST {CHAT} HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    ));
    for piece in body.as_bytes().chunks(5) {
        client.raw(format!("{:x}\r\n", piece.len()));
        client.raw(piece);
        client.raw("\r\n");
    }
    client.raw("0\r\n\r\n");
    client.read().is(200);
    let seen = mock.requests().pop().unwrap();
    assert_eq!(seen.body, asking(&body));
}

#[test]
fn a_refusal_of_what_was_put_in_is_answered_with_what_the_client_sent() {
    for (status, error) in [
        (
            400,
            r#"{"error":{"message":"Unrecognized request argument supplied: stream_options","type":"invalid_request_error"}}"#,
        ),
        (
            400,
            r#"{"error":{"message":"Unknown parameter","param":"stream_options.include_usage"}}"#,
        ),
        (
            422,
            r#"{"detail":[{"type":"extra_forbidden","loc":["body","stream_options"],"msg":"Extra inputs are not permitted"}]}"#,
        ),
    ] {
        let (mock, proxy) = pair_with(3, on());
        mock.fault(Fault::on(ANY_KEY).times(1).status(status).body(error));
        let body = chat_stream("hi").to_string();
        let headers = [("accept-encoding", "gzip")];
        let reply = proxy.ask("POST", CHAT, &headers, body.as_bytes());
        assert!(reply.is(200).text().ends_with(DONE));
        assert_eq!(reply.header("x-lb-attempts"), Some("1"));
        let requests = mock.requests();
        assert_eq!(requests.len(), 2, "{error}");
        assert_eq!(requests[0].key, requests[1].key);
        assert_eq!(requests[0].body, asking(&body));
        assert_eq!(requests[1].body, body);
        let length = body.len().to_string();
        assert_eq!(requests[1].header("content-length"), Some(length.as_str()));
        assert_eq!(requests[1].header("accept-encoding"), Some("gzip"));
    }
}

#[test]
fn what_the_provider_refuses_for_another_reason_comes_back_as_it_is_and_once() {
    let (mock, proxy) = pair_with(3, on());
    let error = r#"{"error":{"message":"messages: too long","code":"context_length_exceeded"}}"#;
    mock.fault(Fault::on(ANY_KEY).times(1).status(400).body(error));
    let reply = proxy.post(CHAT, &chat_stream("hi"));
    assert_eq!(reply.is(400).text(), error);
    assert_eq!(mock.counters().total.requests, 1);
}

#[test]
fn a_key_that_is_throttled_after_a_refusal_leaves_the_original_to_the_next() {
    let (mock, proxy) = pair_with(2, on());
    let error = r#"{"error":{"message":"no stream_options here"}}"#;
    mock.fault(Fault::on(ANY_KEY).times(1).status(400).body(error));
    mock.fault(Fault::on(ANY_KEY).times(1).status(429));
    let body = chat_stream("hi").to_string();
    let reply = proxy.ask("POST", CHAT, &[], body.as_bytes());
    assert_eq!(reply.is(200).header("x-lb-attempts"), Some("2"));
    let bodies: Vec<_> = mock.requests().into_iter().map(|seen| seen.body).collect();
    assert_eq!(bodies, [asking(&body), body.clone(), body]);
}

#[test]
fn a_compressed_answer_and_one_that_is_no_stream_stay_as_they_are() {
    let stream = format!("{HI}{EXTRA}{DONE}");
    let (name, encode) = CODINGS[0];
    let document = br#"{"choices":[],"usage":{"prompt_tokens":1}}"#.to_vec();
    for (headers, body) in [
        (
            format!("Content-Type: text/event-stream\r\nContent-Encoding: {name}\r\n"),
            encode(stream.as_bytes()),
        ),
        ("Content-Type: application/json\r\n".to_owned(), document),
    ] {
        let head = format!(
            "HTTP/1.1 200 OK\r\n{headers}Content-Length: {}\r\n\r\n",
            body.len()
        );
        let upstream = Upstream::answering([head.as_bytes(), &body].concat());
        let reply = proxy_of(&upstream, 1).post(CHAT, &chat_stream("hi"));
        assert!(reply.is(200).body == body);
        assert_eq!(reply.number("content-length"), body.len() as u64);
    }
}

#[test]
fn an_event_goes_on_before_it_is_complete_once_it_has_a_choice() {
    let (allow, allowed) = channel::<()>();
    let allowed = Mutex::new(allowed);
    let (begins, ends) = HI.split_at(HI.find("Hi").unwrap());
    let upstream = Upstream::start(move |connection| {
        connection.request();
        connection.write(format!("{EVENTS}Transfer-Encoding: chunked\r\n\r\n"));
        for piece in [HI, begins, ends, ": waiting\n", "\n", EXTRA, DONE] {
            connection.write_chunk(piece);
            // Only the client, having read this piece, lets the next one go.
            if piece != EXTRA && allowed.lock().unwrap().recv_timeout(DEADLINE).is_err() {
                return;
            }
        }
        connection.write("0\r\n\r\n");
    });
    let proxy = proxy_of(&upstream, 1);
    let mut client = proxy.client();
    client.send("POST", CHAT, &[], chat_stream("hi").to_string().as_bytes());
    assert_eq!(client.head().status, 200);
    for piece in [HI, begins, ends, ": waiting\n", "\n", DONE] {
        assert_eq!(client.chunk(), Ok(piece.as_bytes().to_vec()));
        allow.send(()).unwrap();
    }
    assert_eq!(client.chunk(), Ok(Vec::new()));
}

#[test]
fn what_came_of_an_event_before_a_cut_arrives() {
    let beginning = &EXTRA[..EXTRA.len() - 20];
    for framing in ["Transfer-Encoding: chunked", "Content-Length: 10000"] {
        let sent = format!("{HI}{beginning}");
        let upstream = Upstream::start(move |connection| {
            connection.request();
            connection.write(format!("{EVENTS}{framing}\r\n\r\n"));
            if framing.ends_with("chunked") {
                connection.write_chunk(HI);
                connection.write_chunk(beginning);
            } else {
                connection.write(format!("{HI}{beginning}"));
            }
        });
        let reply = proxy_of(&upstream, 1).post(CHAT, &chat_stream("hi"));
        assert_eq!((reply.status, reply.end), (200, End::Cut));
        assert_eq!(reply.text(), sent, "{framing}");
    }
}

#[test]
fn trailers_arrive_behind_what_was_held_back() {
    let half = &HI[..HI.len() - 60];
    let upstream = Upstream::answering(format!(
        "{EVENTS}Trailer: x-sum\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{HI}{EXTRA}{half}\r\n0\r\nX-Sum: 42\r\n\r\n",
        HI.len() + EXTRA.len() + half.len()
    ));
    let proxy = proxy_of(&upstream, 1);
    let headers = [("TE", "trailers"), ("Connection", "TE")];
    let body = chat_stream("hi").to_string();
    let reply = proxy.ask("POST", CHAT, &headers, body.as_bytes());
    assert_eq!(reply.is(200).text(), format!("{HI}{half}"));
    assert_eq!(reply.trailers, [("x-sum".to_owned(), "42".to_owned())]);
}

#[test]
fn the_environment_turns_it_on_and_off() {
    for (settings, value, is_on) in [(json!({}), "1", true), (on(), "off", false)] {
        let upstream = provider(Framing::Length);
        let proxy = Proxy::start_with(
            config(&upstream.url(), 1, settings),
            &[("AKLB_INCLUDE_USAGE", value)],
        );
        let body = chat_stream("hi").to_string();
        proxy.ask("POST", CHAT, &[], body.as_bytes()).is(200);
        let seen = upstream.requests().pop().unwrap();
        let expected = if is_on { asking(&body) } else { body };
        assert_eq!(String::from_utf8_lossy(&seen.body), expected);
        assert!(seen.head.contains(&key(1)));
    }
}
