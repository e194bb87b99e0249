//! How a conversation is recognised, and that it then stays on one key.

use std::collections::BTreeSet;

use api_key_lb_mock::Mock;
use serde_json::{Value, json};

use crate::support::{CHAT, MESSAGES, Proxy, RESPONSES, config, keys, last_key, mock, pair};

/// Keys of the pools here. Enough that sessions which spread by chance do not all meet on one.
const KEYS: usize = 4;
/// Sessions that must not all land on one key: by chance they would once in 4^15.
const SESSIONS: usize = 16;

/// A request of the conversation `id`, in its turn number `turn`.
type Request = fn(id: &str, turn: usize) -> (Vec<(&'static str, String)>, Value);

fn said(turn: usize) -> Value {
    json!([{"role": "user", "content": format!("these words differ in turn {turn}")}])
}

/// The key that served a request.
fn key_of(
    mock: &Mock,
    proxy: &Proxy,
    path: &str,
    headers: &[(&str, &str)],
    body: &Value,
) -> String {
    let mut body = body.clone();
    body["model"] = "m".into();
    proxy
        .ask("POST", path, headers, body.to_string().as_bytes())
        .is(200);
    last_key(mock)
}

#[track_caller]
fn check_id(what: &str, request: Request) {
    let (mock, proxy) = pair(KEYS);
    let ask = |id: &str, turn| {
        let (headers, body) = request(id, turn);
        let headers: Vec<(&str, &str)> = headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        key_of(&mock, &proxy, CHAT, &headers, &body)
    };
    let home = ask("conversation-a", 0);
    for turn in 1..8 {
        assert_eq!(ask("conversation-a", turn), home, "{what}, turn {turn}");
    }
    let used: BTreeSet<String> = (0..SESSIONS)
        .map(|number| ask(&format!("conversation-{number}"), 0))
        .collect();
    assert!(used.len() > 1, "{what}: other ids are other conversations");
}

macro_rules! id_test {
    ($name:ident, $what:literal, $request:expr) => {
        #[test]
        fn $name() {
            check_id($what, $request);
        }
    };
}

id_test!(
    the_header_x_session_id_names_the_conversation,
    "x-session-id",
    |id, turn| (
        vec![("X-Session-Id", id.to_owned())],
        json!({"messages": said(turn)})
    )
);
id_test!(
    the_header_session_id_with_a_hyphen_names_the_conversation,
    "session-id",
    |id, turn| (
        vec![("session-id", id.to_owned())],
        json!({"messages": said(turn)})
    )
);
id_test!(
    the_header_session_id_with_an_underscore_names_the_conversation,
    "session_id",
    |id, turn| (
        vec![("session_id", id.to_owned())],
        json!({"messages": said(turn)})
    )
);
id_test!(
    the_body_field_session_id_names_the_conversation,
    "body session_id",
    |id, turn| (vec![], json!({"session_id": id, "messages": said(turn)}))
);
id_test!(
    the_body_field_session_id_in_camel_case_names_the_conversation,
    "body sessionId",
    |id, turn| (vec![], json!({"messages": said(turn), "sessionId": id}))
);
id_test!(
    the_body_field_conversation_id_names_the_conversation,
    "body conversation_id",
    |id, turn| (
        vec![],
        json!({"messages": said(turn), "conversation_id": id})
    )
);
id_test!(
    the_body_field_conversation_id_in_camel_case_names_the_conversation,
    "body conversationId",
    |id, turn| (
        vec![],
        json!({"conversationId": id, "messages": said(turn)})
    )
);
id_test!(
    the_body_field_thread_id_names_the_conversation,
    "body thread_id",
    |id, turn| (vec![], json!({"thread_id": id, "messages": said(turn)}))
);
id_test!(
    the_body_field_prompt_cache_key_names_the_conversation,
    "body prompt_cache_key",
    |id, turn| (
        vec![],
        json!({"prompt_cache_key": id, "messages": said(turn)})
    )
);
id_test!(
    custom_fields_of_a_message_name_the_conversation,
    "messages[].custom_fields.session_id",
    |id, turn| {
        let mut messages = said(turn);
        messages[0]["custom_fields"] = json!({"session_id": id});
        (vec![], json!({"messages": messages}))
    }
);
id_test!(
    metadata_of_a_message_names_the_conversation,
    "messages[].metadata.session_id",
    |id, turn| {
        let mut messages = said(turn);
        messages[0]["metadata"] = json!({"session_id": id});
        (vec![], json!({"messages": messages}))
    }
);

/// The opening of a conversation `first`, with `turns` turns that followed.
type Conversation = fn(first: &str, turns: usize) -> Value;

const SYSTEM: &str = "You are a careful assistant. The same text opens every conversation.";

fn followed(mut messages: Vec<Value>, turns: usize) -> Value {
    for turn in 0..turns {
        messages.push(json!({"role": "assistant", "content": format!("answer {turn}")}));
        messages.push(json!({"role": "user", "content": format!("question {turn}")}));
    }
    messages.into()
}

#[track_caller]
fn check_fingerprint(path: &str, conversation: Conversation) {
    let (mock, proxy) = pair(KEYS);
    let ask = |first: &str, turns| key_of(&mock, &proxy, path, &[], &conversation(first, turns));
    let mut used = BTreeSet::new();
    for number in 0..SESSIONS {
        let first = format!("Please do the task number {number}.");
        let home = ask(&first, 0);
        for turns in 1..4 {
            assert_eq!(ask(&first, turns), home, "turn {turns} of `{first}`");
        }
        used.insert(home);
    }
    assert!(used.len() > 1, "one system prompt put all on one key");
}

#[test]
fn a_chat_without_an_id_is_recognised_by_its_system_prompt_and_first_user_message() {
    check_fingerprint(CHAT, |first, turns| {
        let opening = vec![
            json!({"role": "system", "content": SYSTEM}),
            json!({"role": "user", "content": first}),
        ];
        json!({"model": "m", "messages": followed(opening, turns)})
    });
}

#[test]
fn a_chat_whose_contents_are_arrays_is_recognised_too() {
    check_fingerprint(CHAT, |first, turns| {
        let opening = vec![
            json!({"role": "system", "content": [{"type": "text", "text": SYSTEM}]}),
            json!({"role": "user", "content": [{"type": "text", "text": "Context."}, {"type": "text", "text": first}]}),
        ];
        json!({"model": "m", "messages": followed(opening, turns)})
    });
}

#[test]
fn a_response_with_an_input_array_is_recognised() {
    check_fingerprint(RESPONSES, |first, turns| {
        let opening =
            vec![json!({"role": "user", "content": [{"type": "input_text", "text": first}]})];
        json!({"model": "m", "instructions": SYSTEM, "input": followed(opening, turns)})
    });
}

#[test]
fn a_response_with_an_input_text_is_recognised() {
    check_fingerprint(
        RESPONSES,
        |first, _| json!({"model": "m", "instructions": SYSTEM, "input": first}),
    );
}

#[test]
fn messages_with_a_system_text_are_recognised() {
    check_fingerprint(MESSAGES, |first, turns| {
        let opening = vec![json!({"role": "user", "content": first})];
        json!({"model": "m", "max_tokens": 9, "system": SYSTEM, "messages": followed(opening, turns)})
    });
}

#[test]
fn messages_with_system_and_contents_as_arrays_are_recognised() {
    check_fingerprint(MESSAGES, |first, turns| {
        let opening = vec![json!({"role": "user", "content": [{"type": "text", "text": first}]})];
        json!({
            "model": "m", "max_tokens": 9,
            "system": [{"type": "text", "text": SYSTEM, "cache_control": {"type": "ephemeral"}}],
            "messages": followed(opening, turns),
        })
    });
}

#[test]
fn a_body_sent_in_chunks_is_recognised_like_one_sent_whole() {
    let (mock, proxy) = pair(KEYS);
    for number in 0..8 {
        let id = format!("chunked-{number}");
        let body = json!({"model": "m", "session_id": id, "messages": said(number)}).to_string();
        proxy.ask("POST", CHAT, &[], body.as_bytes()).is(200);
        let home = last_key(&mock);
        let mut client = proxy.client();
        client.raw(format!(
            "POST {CHAT} HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
        ));
        for piece in body.as_bytes().chunks(7) {
            client.raw(format!("{:x}\r\n", piece.len()));
            client.raw(piece);
            client.raw("\r\n");
        }
        client.raw("0\r\n\r\n");
        client.read().is(200);
        assert_eq!(last_key(&mock), home);
    }
}

fn homes(mock: &Mock, proxy: &Proxy) -> Vec<String> {
    let home = |number| {
        let body = json!({"session_id": format!("kept-{number}"), "messages": said(0)});
        key_of(mock, proxy, CHAT, &[], &body)
    };
    (0..SESSIONS).map(home).collect()
}

#[test]
fn reordering_the_keys_moves_no_conversation() {
    let mock = mock(KEYS);
    let before = homes(&mock, &Proxy::start(config(&mock.url(), KEYS, json!({}))));
    let mut reordered = keys(KEYS);
    reordered.reverse();
    reordered.swap(0, 1);
    let labelled: Vec<Value> = reordered
        .iter()
        .enumerate()
        .map(|(at, key)| json!({"key": key, "label": format!("renamed-{at}")}))
        .collect();
    let other = Proxy::start(json!({"target": mock.url(), "keys": labelled}));
    assert_eq!(homes(&mock, &other), before);
}

#[test]
fn adding_a_key_moves_conversations_only_to_the_new_key() {
    let mock = mock(KEYS);
    let before = homes(
        &mock,
        &Proxy::start(config(&mock.url(), KEYS - 1, json!({}))),
    );
    let mut more = keys(KEYS);
    more.rotate_right(1);
    let other = Proxy::start(json!({"target": mock.url(), "keys": more}));
    for (before, after) in before.iter().zip(homes(&mock, &other)) {
        assert!(after == *before || after == more[0], "{before} to {after}");
    }
}
