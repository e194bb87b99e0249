//! How a conversation is recognised, and that it then stays on one key.

use std::collections::BTreeSet;

use api_key_lb_mock::Mock;
use serde_json::{Value, json};

use crate::support::{
    CHAT, MESSAGES, Proxy, RESPONSES, captured, config, keys, last_key, mock, pair, pair_with,
    spread,
};

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

/// Captured sessions of agents, and the rule that names each.
const CAPTURED: &[(&str, &str, &[&str])] = &[
    (
        "claude",
        "header x-claude-code-session-id",
        &["sub-01", "sub-02", "sub-03", "sub-04", "tool-03"],
    ),
    (
        "codex",
        "header session-id",
        &["sub3-01", "sub3-02", "sub3-03", "sub3-04"],
    ),
    (
        "opencode",
        "header x-session-affinity",
        &["chat-tool-01", "chat-tool-02", "chat-tool-03"],
    ),
    (
        "opencode",
        "header x-opencode-session",
        &["zenid-tool-01", "zenid-tool-02"],
    ),
    ("pi", "header session_id", &["resp-tool-01", "resp-tool-02"]),
    (
        "openclaw",
        "sessionId= in the first user message",
        &["chat-tool-01", "chat-tool-02"],
    ),
    ("aider", "fingerprint", &["chat-01", "chat-02"]),
    ("cline", "fingerprint", &["tool-01", "tool-02"]),
    ("gemini", "fingerprint", &["tool-02", "tool-03"]),
    ("hermes", "fingerprint", &["anth-tool-07", "anth-tool-08"]),
    ("qwen", "fingerprint", &["sub-01", "sub-02", "sub-04"]),
];

#[test]
fn the_requests_of_an_agents_session_stay_on_one_key_and_the_log_names_the_rule() {
    let (_mock, proxy) = pair(KEYS);
    for (client, rule, scenarios) in CAPTURED {
        let mut first: Option<(String, String)> = None;
        for scenario in *scenarios {
            let reply = captured(&format!("{client}/{scenario}")).send(&proxy);
            let key = reply.is(200).header("x-lb-key").unwrap().to_owned();
            let line = proxy.last_logged();
            let (_, told) = line
                .split_once(" session ")
                .unwrap_or_else(|| panic!("{line}"));
            let (session, after) = told.split_once(' ').unwrap();
            assert!(
                after.starts_with(&format!("({rule})")),
                "{client} {scenario}: {line}"
            );
            let this = (key, session.to_owned());
            let affinity = if first.is_some() { "home" } else { "new" };
            assert_eq!(
                reply.header("x-lb-affinity"),
                Some(affinity),
                "{client} {scenario}"
            );
            assert_eq!(
                &this,
                first.get_or_insert(this.clone()),
                "{client} {scenario}"
            );
        }
    }
    assert_eq!(proxy.health()["sessions"], CAPTURED.len());
}

#[test]
fn a_persons_own_rules_come_before_all_others() {
    let rules = json!([{"header": "x-my-chat"}, {"body": "metadata.chat.id"}]);
    let (_mock, proxy) = pair_with(KEYS, json!({"session_rules": rules}));
    let ask = |header: Option<&str>, in_body: &str, turn: usize| {
        let other = format!("other-{turn}");
        let mut headers = vec![
            ("x-lb-session", other.as_str()),
            ("x-session-id", other.as_str()),
        ];
        headers.extend(header.map(|value| ("x-my-chat", value)));
        let body =
            json!({"model": "m", "metadata": {"chat": {"id": in_body}}, "messages": said(turn)});
        let reply = proxy.ask("POST", CHAT, &headers, body.to_string().as_bytes());
        let key = reply.is(200).header("x-lb-key").unwrap().to_owned();
        (key, proxy.last_logged())
    };
    let (home, _) = ask(Some("mine"), "a", 0);
    for turn in 1..SESSIONS {
        let (key, line) = ask(Some("mine"), &turn.to_string(), turn);
        assert_eq!(key, home);
        assert!(line.contains("(header x-my-chat)"), "{line}");
    }
    let (home, _) = ask(None, "chat-1", 0);
    for turn in 1..SESSIONS {
        let (key, line) = ask(None, "chat-1", turn);
        assert_eq!(key, home);
        assert!(line.contains("(body metadata.chat.id)"), "{line}");
    }
    assert_eq!(proxy.health()["sessions"], 2);
}

#[test]
fn the_header_for_a_persons_own_scripts_wins_and_is_not_forwarded() {
    let (mock, proxy) = pair(KEYS);
    for turn in 0..SESSIONS {
        let other = format!("other-{turn}");
        let headers = [
            ("X-LB-Session", "mine"),
            ("x-claude-code-session-id", other.as_str()),
        ];
        key_of(
            &mock,
            &proxy,
            CHAT,
            &headers,
            &json!({"messages": said(turn)}),
        );
    }
    assert_eq!(proxy.health()["sessions"], 1);
    for request in mock.requests() {
        assert_eq!(request.header("x-lb-session"), None);
        assert!(request.header("x-claude-code-session-id").is_some());
    }
}

#[test]
fn a_response_that_continues_another_goes_to_the_key_that_gave_it() {
    let (_mock, proxy) = pair(KEYS);
    for number in 0..SESSIONS {
        let stream = number % 2 == 1;
        let first = json!({"model": "m", "stream": stream, "input": format!("task {number}")});
        let mut reply = proxy.post(RESPONSES, &first);
        let home = reply.is(200).header("x-lb-key").unwrap().to_owned();
        for turn in 0..3 {
            let text = reply.text();
            let (_, id) = text.split_once("\"id\":\"resp_").unwrap();
            let id = format!("resp_{}", id.split('"').next().unwrap());
            let next = json!({
                "model": "m", "stream": stream, "previous_response_id": id,
                "input": [{"type": "function_call_output", "call_id": "c", "output": "the same"}],
            });
            reply = proxy.post(RESPONSES, &next);
            assert_eq!(
                reply.is(200).header("x-lb-key"),
                Some(&*home),
                "{number}, turn {turn}"
            );
            assert_eq!(reply.header("x-lb-affinity"), Some("home"));
            let line = proxy.last_logged();
            assert!(line.contains("(body previous_response_id)"), "{line}");
        }
    }
}

#[test]
fn the_texts_of_an_index_are_no_sessions() {
    let (mock, proxy) = pair(KEYS);
    for number in 0..SESSIONS {
        let inputs = [
            json!(format!("text {number}")),
            json!([{"role": "user", "content": number.to_string()}]),
        ];
        for input in inputs {
            let body = json!({"model": "m", "input": input});
            let reply = proxy.post("/v1/embeddings", &body);
            assert_eq!(reply.header("x-lb-affinity"), Some("none"));
        }
    }
    assert_eq!(proxy.health()["sessions"], 0);
    let used = spread(&mock, KEYS);
    assert!(used.iter().all(|count| *count == used[0]), "{used:?}");
}
