//! What changes a link of the chain and what does not.

use super::*;
use crate::wire::sample::read;

mod generated;
mod system;

fn conversation(body: &str) -> Conversation {
    read(body).conversation
}

/// A conversation that ends in this message, and begins with one of the user's.
fn links(list: &str, message: &str) -> Vec<u64> {
    let first = r#"{"role":"user","content":"first"}"#;
    conversation(&format!(r#"{{"{list}":[{first},{message}]}}"#)).links
}

fn assert_equal(list: &str, messages: &[&str]) {
    for message in messages {
        let (one, other) = (links(list, messages[0]), links(list, message));
        assert_eq!(other.len(), 2, "{message}");
        assert_eq!(one, other, "{} {message}", messages[0]);
    }
}

fn assert_all_different(list: &str, messages: &[&str]) {
    for (at, message) in messages.iter().enumerate() {
        for other in &messages[..at] {
            let (one, two) = (links(list, message), links(list, other));
            assert_eq!(one[0], two[0]);
            assert_ne!(one[1], two[1], "{message} {other}");
        }
    }
}

#[test]
fn a_mark_for_the_cache_changes_nothing_wherever_it_stands() {
    assert_equal(
        "messages",
        &[
            r#"{"role":"user","content":"U"}"#,
            r#"{"role":"user","content":"U","cache_control":{"type":"ephemeral"}}"#,
            r#"{"cache_control":null,"role":"user","content":"U"}"#,
            r#"{"cache_control":"on","role":"user","content":"U"}"#,
            r#"{"cache_control":7,"role":"user","content":"U"}"#,
            r#"{"role":"user","content":[{"cache_control":{"type":"ephemeral","ttl":["1h"]},"type":"text","text":"U"}]}"#,
        ],
    );
    assert_equal(
        "messages",
        &[
            r#"{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"text","text":"R"}]}]}"#,
            r#"{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"text","text":"R","cache_control":{"type":"ephemeral"}}]}]}"#,
            r#"{"role":"user","content":[{"type":"tool_result","cache_control":{"type":"ephemeral"},"tool_use_id":"t","content":"R"}]}"#,
        ],
    );
    assert_equal(
        "messages",
        &[
            r#"{"role":"assistant","tool_calls":[{"id":"c","function":{"name":"f"}}]}"#,
            r#"{"role":"assistant","tool_calls":[{"id":"c","cache_control":{},"function":{"name":"f","cache_control":"x"}}]}"#,
        ],
    );
}

#[test]
fn text_is_the_same_as_a_string_and_as_any_number_of_parts() {
    assert_equal(
        "messages",
        &[
            r#"{"role":"user","content":"one two"}"#,
            r#"{"role":"user","content":[{"type":"text","text":"one two"}]}"#,
            r#"{"content":[{"text":"one two","type":"text"}],"role":"user"}"#,
            r#"{"role":"user","content":[{"type":"text","text":"one "},{"type":"text","text":"two"}]}"#,
            r#"{"role":"user","content":[{"type":"input_text","text":"one"},{"type":"text","text":""},{"type":"text","text":" two"}]}"#,
            r#"{"role":"user","content":["one"," two"]}"#,
            r#"{"role":"user","content":{"type":"text","text":"one two"}}"#,
            r#"{"role":"user","parts":[{"text":"one two"}]}"#,
            r#"{"role":"user","content":"one two","name":null}"#,
        ],
    );
    assert_equal(
        "messages",
        &[
            r#"{"role":"tool","tool_call_id":"c","content":"R"}"#,
            r#"{"role":"tool","tool_call_id":"c","content":[{"type":"text","text":"R"}]}"#,
        ],
    );
    assert_equal(
        "messages",
        &[
            r#"{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":"one two"}]}"#,
            r#"{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"text","text":"one "},{"type":"text","text":"two"}]}]}"#,
        ],
    );
}

#[test]
fn what_providers_and_clients_note_on_a_message_changes_nothing() {
    assert_equal(
        "input",
        &[
            r#"{"role":"assistant","content":[{"type":"output_text","text":"A"}]}"#,
            r#"{"type":"message","id":"msg_1","status":"completed","role":"assistant","content":[{"type":"output_text","text":"A"}]}"#,
            r#"{"type":"message","id":"msg_2","status":"in_progress","role":"assistant","content":"A","internal_chat_message_metadata_passthrough":{"turn_id":"7"}}"#,
            r#"{"role":"assistant","content":"A","metadata":{"a":["b"]},"custom_fields":{"session_id":"s"}}"#,
        ],
    );
    assert_equal(
        "input",
        &[
            r#"{"type":"function_call","call_id":"c","name":"f","arguments":"{}"}"#,
            r#"{"type":"function_call","id":"fc_1","status":"completed","call_id":"c","name":"f","arguments":"{}"}"#,
        ],
    );
    let content = |content: &str| {
        format!(
            r#"{{"role":"assistant",{content}"tool_calls":[{{"id":"c","function":{{"name":"f"}}}}]}}"#
        )
    };
    assert_equal(
        "messages",
        &[
            &content(""),
            &content(r#""content":null,"#),
            &content(r#""content":"","refusal":null,"#),
        ],
    );
}

#[test]
fn thoughts_and_their_signatures_change_nothing() {
    assert_equal(
        "messages",
        &[
            r#"{"role":"assistant","content":[{"type":"text","text":"A"},{"type":"tool_use","id":"t","name":"f","input":{}}]}"#,
            r#"{"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"c2ln"},{"type":"text","text":"A"},{"type":"tool_use","id":"t","name":"f","input":{}}]}"#,
            r#"{"role":"assistant","content":[{"signature":"c2ln","thinking":"ha","type":"thinking"},{"type":"text","text":"A"},{"type":"tool_use","id":"t","name":"f","input":{}}]}"#,
            r#"{"role":"assistant","content":[{"type":"redacted_thinking","data":"gAAA"},{"type":"text","text":"A"},{"type":"tool_use","id":"t","name":"f","input":{}}]}"#,
            r#"{"role":"assistant","content":[{"type":"redacted_thinking","data":{"a":["b"]}},{"type":"text","text":"A"},{"type":"tool_use","id":"t","name":"f","input":{},"signature":"c2ln"}]}"#,
        ],
    );
    assert_equal(
        "messages",
        &[
            r#"{"role":"assistant","content":"A"}"#,
            r#"{"role":"assistant","reasoning_content":"hm","content":"A"}"#,
            r#"{"role":"assistant","content":"A","reasoning":"hm","reasoning_details":[{"type":"reasoning.text","text":"hm"}]}"#,
        ],
    );
    assert_equal(
        "contents",
        &[
            r#"{"role":"model","parts":[{"functionCall":{"name":"f","args":{}}}]}"#,
            r#"{"role":"model","parts":[{"functionCall":{"name":"f","args":{}},"thoughtSignature":"c2ln"}]}"#,
            r#"{"role":"model","parts":[{"thought_signature":"c2ln","functionCall":{"name":"f","args":{}}}]}"#,
        ],
    );
    let item = r#"{"role":"assistant","content":"A"}"#;
    let thought = r#"{"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"hm"}],"encrypted_content":"gAAA"}"#;
    assert_equal(
        "input",
        &[
            item,
            &format!("{thought},{item}"),
            &format!("{item},{thought}"),
            &format!("{thought},{thought},{item}"),
        ],
    );
}

#[test]
fn everything_else_changes_a_link() {
    assert_all_different(
        "messages",
        &[
            r#"{"role":"user","content":"U"}"#,
            r#"{"role":"assistant","content":"U"}"#,
            r#"{"role":"system","content":"U"}"#,
            r#"{"role":"tool","content":"U"}"#,
            r#"{"content":"U"}"#,
            r#"{"role":"user","content":"V"}"#,
            r#"{"role":"user","content":"U "}"#,
            r#"{"role":"user","name":"bob","content":"U"}"#,
            r#"{"role":"user","content":""}"#,
        ],
    );
    let image = |url: &str| format!(r#"{{"type":"image_url","image_url":{{"url":"{url}"}}}}"#);
    let user = |parts: &[&str]| format!(r#"{{"role":"user","content":[{}]}}"#, parts.join(","));
    let text = r#"{"type":"text","text":"U"}"#;
    assert_all_different(
        "messages",
        &[
            &user(&[&image("a"), text]),
            &user(&[&image("b"), text]),
            &user(&[text, &image("a")]),
            &user(&[text]),
            &user(&[&image("a"), &image("b"), text]),
            &user(&[&image("b"), &image("a"), text]),
        ],
    );
}

#[test]
fn calls_of_tools_count_with_id_name_arguments_and_order() {
    let chat = |calls: &[(&str, &str, &str)]| {
        let calls: Vec<String> = calls
            .iter()
            .map(|(id, name, arguments)| {
                format!(r#"{{"id":"{id}","type":"function","function":{{"name":"{name}","arguments":"{arguments}"}}}}"#)
            })
            .collect();
        format!(
            r#"{{"role":"assistant","content":null,"tool_calls":[{}]}}"#,
            calls.join(",")
        )
    };
    assert_all_different(
        "messages",
        &[
            &chat(&[("c", "f", "{}")]),
            &chat(&[("d", "f", "{}")]),
            &chat(&[("c", "g", "{}")]),
            &chat(&[("c", "f", "{1}")]),
            &chat(&[("c", "f", "{}"), ("d", "f", "{}")]),
            &chat(&[("d", "f", "{}"), ("c", "f", "{}")]),
        ],
    );
    let call = |id: &str, input: &str| {
        format!(
            r#"{{"role":"assistant","content":[{{"type":"tool_use","id":"{id}","name":"f","input":{input}}}]}}"#
        )
    };
    assert_all_different(
        "messages",
        &[
            &call("c", "{}"),
            &call("d", "{}"),
            &call("c", "[]"),
            &call("c", r#"{"a":1}"#),
            &call("c", r#"{"a":"1"}"#),
            &call("c", r#"{"a":true}"#),
            &call("c", r#"{"a":"true"}"#),
            &call("c", r#"{"b":1}"#),
            &call("c", r#"{"a":1,"b":1}"#),
            &call("c", r#"{"a":{"b":1}}"#),
            &call("c", r#"{"a":[1]}"#),
            &call("c", r#"{"a":[[1]]}"#),
            &call("c", r#"{"a":[1],"b":[]}"#),
            &call("c", r#"{"a":[1,1]}"#),
            &call("c", r#"{"id":"x","status":"y","metadata":"z"}"#),
            &call("c", r#"{"text":"x","thinking":"y","signature":"z"}"#),
        ],
    );
    let item = |kind: &str, id: &str, arguments: &str| {
        format!(r#"{{"type":"{kind}","call_id":"{id}","name":"f","arguments":"{arguments}"}}"#)
    };
    assert_all_different(
        "input",
        &[
            &item("function_call", "c", "{}"),
            &item("custom_tool_call", "c", "{}"),
            &item("function_call", "d", "{}"),
            &item("function_call", "c", "{1}"),
        ],
    );
    let part = |id: &str, args: &str| {
        format!(
            r#"{{"role":"model","parts":[{{"functionCall":{{"id":"{id}","name":"f","args":{args}}}}}]}}"#
        )
    };
    assert_all_different(
        "contents",
        &[&part("c", "{}"), &part("d", "{}"), &part("c", r#"{"a":1}"#)],
    );
}

#[test]
fn results_of_tools_count_and_end_where_they_end() {
    let result = |id: &str, content: &str| {
        format!(r#"{{"type":"tool_result","tool_use_id":"{id}","content":{content}}}"#)
    };
    let text = |text: &str| format!(r#"{{"type":"text","text":"{text}"}}"#);
    let user = |parts: &[String]| format!(r#"{{"role":"user","content":[{}]}}"#, parts.join(","));
    assert_all_different(
        "messages",
        &[
            &user(&[result("t", r#""R""#)]),
            &user(&[result("u", r#""R""#)]),
            &user(&[result("t", r#""RS""#)]),
            &user(&[result("t", r#""R""#), text("S")]),
            &user(&[result("t", r#""""#), text("RS")]),
            &user(&[text("R"), result("t", r#""S""#)]),
            &user(&[
                result("t", &format!("[{}]", text("R"))),
                result("u", r#""S""#),
            ]),
            &user(&[result("t", r#"[{"type":"image","source":{"data":"aa"}}]"#)]),
            &user(&[result("t", r#"[{"type":"image","source":{"data":"bb"}}]"#)]),
        ],
    );
    let output = |id: &str, output: &str| {
        format!(r#"{{"type":"function_call_output","call_id":"{id}","output":{output}}}"#)
    };
    assert_all_different(
        "input",
        &[
            &output("c", r#""R""#),
            &output("d", r#""R""#),
            &output("c", r#""S""#),
            &output("c", r#"[{"type":"input_text","text":"R"}]"#),
            &output("c", r#"[{"type":"input_text","text":"S"}]"#),
        ],
    );
}

#[test]
fn items_that_the_provider_keeps_are_told_apart_and_count_as_its_own() {
    let item = |id: &str| format!(r#"{{"type":"item_reference","id":"{id}"}}"#);
    assert_all_different("input", &[&item("msg_1"), &item("msg_2")]);
    let body = format!(
        r#"{{"input":[{{"role":"user","content":"U"}},{}]}}"#,
        item("msg_1")
    );
    let talk = conversation(&body);
    assert_eq!((talk.before_reply, talk.last_reply), (1, 2));
}

#[test]
fn what_nests_deeper_than_is_told_apart_still_counts() {
    let nested = |inner: &str| {
        let (open, close) = (r#"{"type":"tool_result","content":["#, "]}");
        format!(
            r#"{{"role":"user","content":[{}{inner}{}]}}"#,
            open.repeat(8),
            close.repeat(8)
        )
    };
    assert_all_different(
        "messages",
        &[
            &nested(""),
            &nested(r#""a""#),
            &nested(r#"{"text":"a"}"#),
            &nested(r#"{"text":"b"}"#),
            &nested(r#"{"text":"b"},{"text":"a"}"#),
        ],
    );
    assert_equal(
        "messages",
        &[
            &nested(r#"{"text":"a"}"#),
            &nested(r#"{"text":"a","cache_control":{}}"#),
        ],
    );
}

#[test]
fn replies_are_counted_from_the_first_to_the_last() {
    let talk = |body: &str| {
        let talk = conversation(body);
        (talk.links.len(), talk.before_reply, talk.last_reply)
    };
    let chat = |roles: &str| {
        let messages: Vec<String> = roles
            .chars()
            .map(|role| {
                let role = match role {
                    's' => "system",
                    'u' => "user",
                    'a' => "assistant",
                    _ => "tool",
                };
                format!(r#"{{"role":"{role}","content":"x"}}"#)
            })
            .collect();
        talk(&format!(r#"{{"messages":[{}]}}"#, messages.join(",")))
    };
    assert_eq!(chat("su"), (1, 1, 0));
    assert_eq!(chat("suu"), (2, 2, 0));
    assert_eq!(chat("suat"), (3, 1, 2));
    assert_eq!(chat("usuatau"), (7, 3, 6));
    assert_eq!(chat("au"), (2, 0, 1));
    assert_eq!(chat(""), (0, 0, 0));
    assert_eq!(
        talk(
            r#"{"input":[{"role":"user","content":"U"},{"type":"reasoning"},{"type":"function_call","call_id":"c"},{"type":"function_call_output","call_id":"c"}]}"#
        ),
        (3, 1, 2)
    );
    assert_eq!(
        talk(r#"{"contents":[{"parts":[{"text":"U"}]},{"role":"model","parts":[{"text":"A"}]}]}"#),
        (2, 1, 2)
    );
    assert_eq!(talk(r#"{"input":"U"}"#), (1, 1, 0));
}

#[test]
fn no_more_links_are_kept_than_the_bound() {
    let message = r#"{"role":"user","content":"U"},"#;
    let long = format!(
        r#"{{"messages":[{}{{"role":"assistant","content":"A"}}]}}"#,
        message.repeat(MAX_LINKS + 5)
    );
    let talk = conversation(&long);
    assert_eq!(talk.links.len(), MAX_LINKS);
    assert!(talk.last_reply > MAX_LINKS);
}

#[test]
fn keys_of_parts_are_dropped_only_where_they_mean_that() {
    // A tool of any name may have arguments of any name.
    let call = |arguments: &str| {
        format!(r#"{{"role":"assistant","content":[{{"type":"tool_use","input":{arguments}}}]}}"#)
    };
    assert_all_different(
        "messages",
        &[
            &call(r#"{"thinking":"a"}"#),
            &call(r#"{"thinking":"b"}"#),
            &call(r#"{"type":"thinking","data":"a"}"#),
            &call(r#"{"type":"thinking","data":"b"}"#),
        ],
    );
    assert_all_different(
        "messages",
        &[
            r#"{"role":"user","content":[{"type":"x","data":"a"}]}"#,
            r#"{"role":"user","content":[{"type":"x","data":"b"}]}"#,
        ],
    );
}
