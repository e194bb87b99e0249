//! Stubs lead a client through a conversation of the test's own making.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use api_key_lb_mock::Mock;
use serde_json::{Value, json};
use support::*;

/// A conversation of two steps: a call of the second tool, then words about its result.
fn lead(mock: &Mock) {
    let stubs = json!([
        {"when": "found it", "text": "all  done"},
        {"when": "please look", "tool": "look", "arguments": {"at": "there"}, "text": "no tool"}]);
    let mut client = Client::connect(mock);
    client.send("POST", "/_mock/stubs", &[], stubs.to_string().as_bytes());
    assert_eq!(client.read().status, 200);
}

fn schema() -> Value {
    json!({"type": "object", "required": ["x"], "properties": {"x": {"type": "string"}}})
}

fn ask(mock: &Mock, words: &str, tools: bool) -> Value {
    let mut body = chat(words);
    if tools {
        let tool =
            |name| json!({"type": "function", "function": {"name": name, "parameters": schema()}});
        body["tools"] = json!([tool("first"), tool("look")]);
    }
    post(mock, ONE, CHAT, &body).json()["choices"][0]["message"].clone()
}

#[test]
fn the_named_tool_is_called_with_the_given_arguments() {
    let mock = mock();
    lead(&mock);
    let call = ask(&mock, "please look", true)["tool_calls"][0]["function"].clone();
    assert_eq!(
        call,
        json!({"name": "look", "arguments": r#"{"at":"there"}"#})
    );
}

#[test]
fn a_request_without_that_tool_gets_the_text() {
    let mock = mock();
    lead(&mock);
    assert_eq!(ask(&mock, "please look", false)["content"], "no tool");
}

#[test]
fn the_first_stub_that_fits_counts_and_its_text_arrives_as_it_is() {
    let mock = mock();
    lead(&mock);
    let answer = ask(&mock, "please look; found it", true);
    assert_eq!(answer["content"], "all  done");
    let chunks = post(&mock, ONE, CHAT, &chat_stream("found it")).event_json();
    let text: String = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str())
        .collect();
    assert_eq!(text, "all  done");
}

#[test]
fn every_dialect_knows_its_tools_by_name() {
    let mock = mock();
    lead(&mock);
    let messages = json!([{"role": "user", "content": "please look"}]);
    let anthropic = json!({"model": "m", "max_tokens": 9, "messages": messages, "tools": [
        {"name": "first", "input_schema": schema()}, {"name": "look", "input_schema": schema()}]});
    let answer = post(&mock, ONE, "/v1/messages", &anthropic).json();
    assert_eq!(answer["content"][0]["name"], "look");
    let function = |name| json!({"type": "function", "name": name, "parameters": schema()});
    let responses = json!({"model": "m", "input": messages,
        "tools": [function("first"), function("look")]});
    let answer = post(&mock, ONE, "/v1/responses", &responses).json();
    assert_eq!(answer["output"][0]["name"], "look");
    let gemini = json!({"contents": [{"role": "user", "parts": [{"text": "please look"}]}],
        "tools": [{"functionDeclarations": [{"name": "first"}, {"name": "look"}]}]});
    let target = "/v1beta/models/m:streamGenerateContent?alt=sse";
    let answer = post(&mock, ONE, target, &gemini).event_json();
    let call = &answer[0]["candidates"][0]["content"]["parts"][0]["functionCall"];
    assert_eq!(*call, json!({"name": "look", "args": {"at": "there"}}));
    let said = json!({"contents": [{"role": "user", "parts": [{"text": "found it"}]}]});
    let answer = post(&mock, ONE, target, &said).event_json();
    let last = &answer.last().unwrap()["candidates"][0];
    assert_eq!(last["finishReason"], "STOP");
}

#[test]
fn without_a_fitting_stub_all_is_as_before_and_a_reset_forgets_them() {
    let mock = mock();
    lead(&mock);
    let called = ask(&mock, "hello", true)["tool_calls"][0]["function"]["name"].clone();
    assert_eq!(called, "first");
    let mut client = Client::connect(&mock);
    client.send("POST", "/_mock/reset", &[], b"");
    client.read();
    assert_ne!(ask(&mock, "found it", false)["content"], "all  done");
}

#[test]
fn the_whole_body_of_a_recorded_request_can_be_read() {
    let mock = builder().record(10).start().unwrap();
    let body = chat(&"long ".repeat(40_000));
    post(&mock, ONE, CHAT, &body);
    let shown = get(&mock, "/_mock/requests").json();
    assert_eq!(
        shown[0]["body"],
        Value::Null,
        "too long to be shown in the list"
    );
    let number = shown[0]["number"].clone();
    assert_eq!(
        get(&mock, &format!("/_mock/requests/{number}")).json(),
        body
    );
    assert_eq!(get(&mock, "/_mock/requests/99").status, 404);
}
