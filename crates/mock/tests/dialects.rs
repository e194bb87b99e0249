//! Every dialect answers in its own shape, as JSON and as a stream.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use serde_json::{Value, json};
use support::*;

fn string<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_else(|| panic!("{pointer}: {value}"))
}

fn number(value: &Value, pointer: &str) -> u64 {
    value
        .pointer(pointer)
        .and_then(Value::as_u64)
        .unwrap_or_else(|| panic!("{pointer}: {value}"))
}

#[test]
fn chat_json_has_a_message_and_usage() {
    let mock = mock();
    let reply = post(&mock, ONE, CHAT, &chat("hello"));
    assert_eq!(
        (reply.status, reply.header("content-type")),
        (200, Some("application/json"))
    );
    assert_eq!(reply.header("openai-organization"), Some("org-one"));
    assert!(reply.header("x-request-id").unwrap().starts_with("req_"));
    assert!(reply.header("openai-processing-ms").is_some());
    let body = reply.json();
    assert_eq!(string(&body, "/object"), "chat.completion");
    assert_eq!(string(&body, "/choices/0/finish_reason"), "stop");
    assert_eq!(string(&body, "/model"), "m");
    assert_eq!(number(&body, "/usage/completion_tokens"), 32);
    let sum = number(&body, "/usage/prompt_tokens") + 32;
    assert_eq!(number(&body, "/usage/total_tokens"), sum);
    assert_eq!(
        string(&body, "/choices/0/message/content")
            .split(' ')
            .count(),
        32
    );
}

#[test]
fn the_same_request_gets_the_same_text_and_another_id() {
    let mock = mock();
    let [one, two] = [0, 1].map(|_| post(&mock, ONE, CHAT, &chat("hello")).json());
    let other = post(&mock, ONE, CHAT, &chat("goodbye")).json();
    let text = "/choices/0/message/content";
    assert_eq!(string(&one, text), string(&two, text));
    assert_ne!(string(&one, text), string(&other, text));
    assert_ne!(string(&one, "/id"), string(&two, "/id"));
}

#[test]
fn a_chat_stream_is_role_then_content_then_finish_then_usage_then_done() {
    let mock = mock();
    let mut body = chat_stream("hello");
    body["stream_options"] = json!({"include_usage": true});
    body["max_tokens"] = 5.into();
    let reply = post(&mock, ONE, CHAT, &body);
    assert!(
        reply
            .header("content-type")
            .unwrap()
            .starts_with("text/event-stream")
    );
    assert_eq!(reply.events().last().unwrap().1, "[DONE]");
    assert_eq!(reply.chunks, reply.events().len(), "one chunk per event");
    let chunks = reply.event_json();
    assert_eq!(chunks.len(), 1 + 5 + 1 + 1);
    assert_eq!(string(&chunks[0], "/choices/0/delta/role"), "assistant");
    assert_eq!(string(&chunks[6], "/choices/0/finish_reason"), "stop");
    assert_eq!(chunks[7]["choices"], json!([]));
    assert_eq!(number(&chunks[7], "/usage/completion_tokens"), 5);
    assert!(chunks[1]["usage"].is_null() && chunks[1].get("usage").is_some());
    let streamed: String = chunks[1..6]
        .iter()
        .map(|chunk| string(chunk, "/choices/0/delta/content"))
        .collect();
    let mut plain = chat("hello");
    plain["max_completion_tokens"] = 5.into();
    let whole = post(&mock, ONE, CHAT, &plain).json();
    assert_eq!(streamed, string(&whole, "/choices/0/message/content"));
}

#[test]
fn a_chat_stream_has_no_usage_unless_asked() {
    let mock = mock();
    let reply = post(&mock, ONE, CHAT, &chat_stream("hello"));
    assert!(
        reply
            .event_json()
            .iter()
            .all(|chunk| chunk.get("usage").is_none())
    );
}

#[test]
fn legacy_completions_answer_with_text() {
    let mock = mock();
    let mut body = json!({"model": "m", "prompt": "once", "max_tokens": 4});
    let whole = post(&mock, ONE, "/v1/completions", &body).json();
    assert_eq!(string(&whole, "/object"), "text_completion");
    body["stream"] = true.into();
    let reply = post(&mock, ONE, "/v1/completions", &body);
    assert_eq!(reply.events().last().unwrap().1, "[DONE]");
    let text: String = reply
        .event_json()
        .iter()
        .map(|chunk| string(chunk, "/choices/0/text").to_owned())
        .collect();
    assert_eq!(text, string(&whole, "/choices/0/text"));
}

#[test]
fn a_response_has_an_output_message_and_usage() {
    let mock = mock();
    let body = json!({"model": "m", "input": "hello", "max_output_tokens": 3});
    let body = post(&mock, ONE, "/v1/responses", &body).json();
    assert_eq!(string(&body, "/status"), "completed");
    assert_eq!(string(&body, "/output/0/type"), "message");
    assert_eq!(string(&body, "/output/0/content/0/type"), "output_text");
    assert_eq!(number(&body, "/usage/output_tokens"), 3);
    assert_eq!(
        number(&body, "/usage/input_tokens_details/cached_tokens"),
        0
    );
}

#[test]
fn a_response_stream_has_every_event_in_order_and_numbered() {
    let mock = mock();
    let body = json!({"model": "m", "input": "hello", "max_output_tokens": 2, "stream": true});
    let reply = post(&mock, ONE, "/v1/responses", &body);
    let names: Vec<_> = reply.events().into_iter().map(|(name, _)| name).collect();
    let expected = [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ];
    assert_eq!(names, expected);
    for (index, event) in reply.event_json().iter().enumerate() {
        assert_eq!(string(event, "/type"), expected[index]);
        assert_eq!(number(event, "/sequence_number"), index as u64);
    }
    let events = reply.event_json();
    let last = events.last().unwrap();
    assert_eq!(number(last, "/response/usage/output_tokens"), 2);
    let text = string(&events[6], "/text");
    assert_eq!(string(last, "/response/output/0/content/0/text"), text);
    assert_eq!(events[0]["response"]["id"], last["response"]["id"]);
}

#[test]
fn a_message_has_content_and_usage() {
    let mock = mock();
    let mut body = chat("hello");
    body["max_tokens"] = 3.into();
    let reply = post(&mock, ONE, "/api/anthropic/v1/messages", &body);
    assert_eq!(reply.header("anthropic-organization-id"), Some("org-one"));
    assert!(reply.header("request-id").is_some());
    let body = reply.json();
    assert_eq!(string(&body, "/type"), "message");
    assert_eq!(string(&body, "/content/0/type"), "text");
    assert_eq!(string(&body, "/stop_reason"), "end_turn");
    assert_eq!(number(&body, "/usage/output_tokens"), 3);
}

#[test]
fn a_message_stream_has_every_event_in_order() {
    let mock = mock();
    let mut body = chat_stream("hello");
    body["max_tokens"] = 2.into();
    let reply = post(&mock, ONE, MESSAGES, &body);
    let names: Vec<_> = reply.events().into_iter().map(|(name, _)| name).collect();
    let expected = [
        "message_start",
        "content_block_start",
        "ping",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ];
    assert_eq!(names, expected);
    assert!(
        reply
            .text()
            .starts_with("event: message_start\ndata: {\"type\":\"message_start\"")
    );
    let events = reply.event_json();
    assert!(number(&events[0], "/message/usage/input_tokens") > 0);
    assert_eq!(number(&events[6], "/usage/output_tokens"), 2);
}

#[test]
fn tokens_can_be_counted_without_a_call() {
    let mock = mock();
    let count = post(&mock, ONE, "/v1/messages/count_tokens", &chat("hello")).json();
    let call = post(&mock, ONE, MESSAGES, &chat("hello")).json();
    assert_eq!(
        number(&count, "/input_tokens"),
        number(&call, "/usage/input_tokens")
    );
    assert_eq!(
        mock.counters().key(ONE).unwrap().prompt_tokens,
        number(&count, "/input_tokens")
    );
}

#[test]
fn embeddings_come_as_numbers_or_base64() {
    let mock = mock();
    let mut body = json!({"model": "m", "input": ["one", "two"]});
    let floats = post(&mock, ONE, "/v1/embeddings", &body).json();
    let again = post(&mock, ONE, "/v1/embeddings", &body).json();
    assert_eq!(floats, again);
    assert_eq!(floats["data"][1]["embedding"].as_array().unwrap().len(), 8);
    assert_ne!(
        floats["data"][0]["embedding"],
        floats["data"][1]["embedding"]
    );
    body["encoding_format"] = "base64".into();
    let base64 = post(&mock, ONE, "/v1/embeddings", &body).json();
    assert_eq!(string(&base64, "/data/0/embedding").len(), 44, "32 bytes");
}

#[test]
fn gemini_answers_whole_as_an_array_or_as_events() {
    let mock = mock();
    let body = json!({"contents": [{"role": "user", "parts": [{"text": "hello"}]}],
        "generationConfig": {"maxOutputTokens": 3}});
    let path = "/v1beta/models/gem:generateContent";
    let whole = post(&mock, ONE, path, &body).json();
    assert_eq!(string(&whole, "/modelVersion"), "gem");
    assert_eq!(number(&whole, "/usageMetadata/candidatesTokenCount"), 3);
    let text = "/candidates/0/content/parts/0/text";
    let joined = |parts: &[Value]| {
        parts
            .iter()
            .map(|part| string(part, text))
            .collect::<String>()
    };
    let stream = "/v1beta/models/gem:streamGenerateContent";
    let array = post(&mock, ONE, stream, &body).json();
    assert_eq!(joined(array.as_array().unwrap()), string(&whole, text));
    let events = post(&mock, ONE, &format!("{stream}?alt=sse"), &body).event_json();
    assert_eq!(joined(&events), string(&whole, text));
    assert_eq!(string(&events[2], "/candidates/0/finishReason"), "STOP");
    assert!(events[0]["candidates"][0].get("finishReason").is_none());
}

#[test]
fn models_are_listed_in_the_shape_the_client_understands() {
    let mock = mock();
    let mut client = Client::connect(&mock);
    client.send(
        "GET",
        "/v1/models",
        &[("authorization", &format!("Bearer {ONE}"))],
        b"",
    );
    let list = client.read().json();
    assert_eq!(string(&list, "/object"), "list");
    assert_eq!(string(&list, "/data/0/id"), "mock-large");
    client.send(
        "GET",
        "/v1/models",
        &[("x-api-key", ONE), ("anthropic-version", "2023-06-01")],
        b"",
    );
    let list = client.read().json();
    assert_eq!(string(&list, "/data/0/type"), "model");
    assert_eq!(list["has_more"], false);
    client.send("GET", "/v1/models/vendor/x", &[("api-key", ONE)], b"");
    assert_eq!(string(&client.read().json(), "/id"), "vendor/x");
}

#[test]
fn echo_returns_what_arrived_even_without_a_key() {
    let mock = mock();
    let mut client = Client::connect(&mock);
    client.raw("PATCH /p/echo?status=418&x=%20 HTTP/1.1\r\nHOST: a\r\nx-Odd:  v  \r\nX-odd: w\r\n");
    client.raw("Content-Length: 5\r\n\r\nhello");
    let reply = client.read();
    assert_eq!(reply.status, 418);
    let body = reply.json();
    assert_eq!(string(&body, "/method"), "PATCH");
    assert_eq!(string(&body, "/target"), "/p/echo?status=418&x=%20");
    assert_eq!(string(&body, "/http_version"), "1.1");
    let headers = json!([
        ["HOST", "a"],
        ["x-Odd", "v"],
        ["X-odd", "w"],
        ["Content-Length", "5"]
    ]);
    assert_eq!(body["headers"], headers);
    assert_eq!(
        (string(&body, "/body"), number(&body, "/body_bytes")),
        ("hello", 5)
    );
    assert_eq!(string(&body, "/body_xxh3"), "9555e8555c62dcfd");
    assert_eq!(mock.counters().key("").unwrap().requests, 1);
}

#[test]
fn unknown_paths_are_404_in_the_dialect_of_the_client() {
    let mock = mock();
    let mut client = Client::connect(&mock);
    client.send(
        "GET",
        "/nowhere",
        &[("authorization", &format!("Bearer {ONE}"))],
        b"",
    );
    let reply = client.read();
    assert_eq!(reply.status, 404);
    assert_eq!(
        string(&reply.json(), "/error/type"),
        "invalid_request_error"
    );
    client.send("GET", "/nowhere", &[("x-api-key", ONE)], b"");
    assert_eq!(
        string(&client.read().json(), "/error/type"),
        "not_found_error"
    );
}

#[test]
fn bad_bodies_are_400() {
    let mock = mock();
    let mut client = Client::connect(&mock);
    let bearer = format!("Bearer {ONE}");
    for body in ["", "{", "[]", "{\"messages\":[]}"] {
        client.send("POST", CHAT, &[("authorization", &bearer)], body.as_bytes());
        let reply = client.read();
        assert_eq!(reply.status, 400, "{body}");
        assert_eq!(
            string(&reply.json(), "/error/type"),
            "invalid_request_error"
        );
    }
}
