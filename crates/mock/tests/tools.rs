//! Requests with tools are answered by a call of the first tool, until its result is sent.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use serde_json::{Value, json};
use support::*;

fn schema() -> Value {
    json!({"type": "object", "required": ["city"],
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}})
}

fn chat_with_tools(messages: Value) -> Value {
    let function = json!({"name": "weather", "parameters": schema()});
    json!({"model": "m", "messages": messages,
        "tools": [{"type": "function", "function": function}]})
}

#[test]
fn chat_calls_the_first_tool() {
    let mock = mock();
    let mut body = chat_with_tools(json!([{"role": "user", "content": "hi"}]));
    let whole = post(&mock, ONE, CHAT, &body).json();
    let call = &whole["choices"][0]["message"]["tool_calls"][0];
    assert_eq!(whole["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(call["function"]["name"], "weather");
    assert_eq!(call["function"]["arguments"], r#"{"city":"text"}"#);
    body["stream"] = true.into();
    let chunks = post(&mock, ONE, CHAT, &body).event_json();
    let part = |chunk: &Value, pointer: &str| {
        chunk
            .pointer(&format!("/choices/0/delta/tool_calls/0/{pointer}"))
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    let arguments: String = chunks
        .iter()
        .filter_map(|chunk| part(chunk, "function/arguments"))
        .collect();
    assert_eq!(arguments, r#"{"city":"text"}"#);
    let names: Vec<_> = chunks
        .iter()
        .filter_map(|chunk| part(chunk, "function/name"))
        .collect();
    assert_eq!(names, ["weather"]);
    assert_eq!(
        chunks.last().unwrap()["choices"][0]["finish_reason"],
        "tool_calls"
    );
}

#[test]
fn chat_answers_with_text_after_the_result_or_when_tools_are_off() {
    let mock = mock();
    let result = chat_with_tools(json!([
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": null, "tool_calls": [
            {"id": "call_1", "type": "function",
                "function": {"name": "weather", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "call_1", "content": "sunny"}]));
    let reply = post(&mock, ONE, CHAT, &result).json();
    assert_eq!(reply["choices"][0]["finish_reason"], "stop");
    let mut off = chat_with_tools(json!([{"role": "user", "content": "hi"}]));
    off["tool_choice"] = "none".into();
    let reply = post(&mock, ONE, CHAT, &off).json();
    assert_eq!(reply["choices"][0]["finish_reason"], "stop");
}

#[test]
fn responses_call_the_first_function() {
    let mock = mock();
    let mut body = json!({"model": "m", "input": [{"role": "user", "content": "hi"}],
        "tools": [{"type": "web_search"},
            {"type": "function", "name": "weather", "parameters": schema()}]});
    let whole = post(&mock, ONE, "/v1/responses", &body).json();
    assert_eq!(whole["output"][0]["type"], "function_call");
    assert_eq!(whole["output"][0]["arguments"], r#"{"city":"text"}"#);
    body["stream"] = true.into();
    let reply = post(&mock, ONE, "/v1/responses", &body);
    let names: Vec<_> = reply.events().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names[2], "response.output_item.added");
    assert_eq!(names[3], "response.function_call_arguments.delta");
    let end = &names[names.len() - 3..];
    let expected = [
        "response.function_call_arguments.done",
        "response.output_item.done",
        "response.completed",
    ];
    assert_eq!(end, expected);
    let call_id = whole["output"][0]["call_id"].clone();
    body["stream"] = false.into();
    body["input"] =
        json!([{"type": "function_call_output", "call_id": call_id, "output": "sunny"}]);
    let reply = post(&mock, ONE, "/v1/responses", &body).json();
    assert_eq!(reply["output"][0]["type"], "message");
}

#[test]
fn messages_use_the_first_tool() {
    let mock = mock();
    let mut body = chat("hi");
    body["tools"] = json!([{"name": "weather", "input_schema": schema()}]);
    let whole = post(&mock, ONE, MESSAGES, &body).json();
    assert_eq!(whole["stop_reason"], "tool_use");
    assert_eq!(whole["content"][0]["type"], "tool_use");
    assert_eq!(whole["content"][0]["input"], json!({"city": "text"}));
    body["stream"] = true.into();
    let events = post(&mock, ONE, MESSAGES, &body).event_json();
    let partial: String = events
        .iter()
        .filter_map(|event| event["delta"]["partial_json"].as_str())
        .collect();
    assert_eq!(partial, r#"{"city":"text"}"#);
    assert_eq!(events[events.len() - 2]["delta"]["stop_reason"], "tool_use");
    body["stream"] = false.into();
    body["messages"] = json!([{"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": "toolu_1", "content": "sunny"}]}]);
    assert_eq!(
        post(&mock, ONE, MESSAGES, &body).json()["stop_reason"],
        "end_turn"
    );
}

#[test]
fn gemini_calls_the_first_function() {
    let mock = mock();
    let declaration = json!({"name": "weather", "parameters":
        {"type": "OBJECT", "properties": {"city": {"type": "STRING"}}}});
    let mut body = json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}],
        "tools": [{"functionDeclarations": [declaration]}]});
    let path = "/v1beta/models/g:generateContent";
    let whole = post(&mock, ONE, path, &body).json();
    let part = &whole["candidates"][0]["content"]["parts"][0];
    assert_eq!(
        part["functionCall"],
        json!({"name": "weather", "args": {"city": "text"}})
    );
    body["contents"] = json!([{"role": "user", "parts": [{"functionResponse": {}}]}]);
    let whole = post(&mock, ONE, path, &body).json();
    assert!(whole["candidates"][0]["content"]["parts"][0]["text"].is_string());
}
