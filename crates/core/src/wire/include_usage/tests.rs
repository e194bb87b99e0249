//! What is put into which bodies, that the result says what it should, and that no cut changes it.

use http::{HeaderMap, Method};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::wire::body::Need;
use crate::wire::sample::{Json, read_for, read_in_pieces, with_duplicates};

const ONLY_SPLICE: Need = Need {
    ids: false,
    chain: false,
    background: false,
    stores: false,
    splice: true,
    references: false,
};

/// The body as it is sent, if something is put in.
fn asking(body: &str) -> Option<String> {
    let splice = read_for(body, ONLY_SPLICE).splice?;
    for size in 1..=body.len().min(40) {
        let cut = read_in_pieces(body.as_bytes(), size, ONLY_SPLICE).splice;
        assert_eq!(cut, Some(splice), "{size} bytes at a time: {body}");
    }
    assert_eq!(read_for(body, Need::ALL).splice, Some(splice), "{body}");
    Some(put_in(body, splice))
}

fn put_in(body: &str, splice: Splice) -> String {
    let (before, behind) = body.split_at(splice.at);
    let text = std::str::from_utf8(splice.text).unwrap();
    format!("{before}{text}{behind}")
}

#[test]
fn a_stream_without_options_gets_them_first_and_keeps_every_other_byte() {
    for (body, expected) in [
        (
            r#"{"stream":true}"#,
            r#"{"stream_options":{"include_usage":true},"stream":true}"#,
        ),
        (
            " \r\n{ \"model\" : \"m\",\n\t\"stream\" : true }\n",
            " \r\n{\"stream_options\":{\"include_usage\":true}, \"model\" : \"m\",\n\t\"stream\" : true }\n",
        ),
        (
            r#"{"messages":[{"stream_options":{"include_usage":false}}],"x":{"usage":1},"stream":true}"#,
            r#"{"stream_options":{"include_usage":true},"messages":[{"stream_options":{"include_usage":false}}],"x":{"usage":1},"stream":true}"#,
        ),
        (
            r#"{"stream":false,"stream":true}"#,
            r#"{"stream_options":{"include_usage":true},"stream":false,"stream":true}"#,
        ),
    ] {
        assert_eq!(asking(body).as_deref(), Some(expected));
    }
}

#[test]
fn options_that_do_not_say_it_get_it_first() {
    for (body, expected) in [
        (
            r#"{"stream_options":{},"stream":true}"#,
            r#"{"stream_options":{"include_usage":true},"stream":true}"#,
        ),
        (
            r#"{"stream":true,"stream_options": { } }"#,
            r#"{"stream":true,"stream_options": {"include_usage":true } }"#,
        ),
        (
            r#"{"stream":true,"stream_options":{"include_obfuscation":false}}"#,
            r#"{"stream":true,"stream_options":{"include_usage":true,"include_obfuscation":false}}"#,
        ),
        (
            r#"{"stream":true,"stream_options":{"x":{"include_usage":false},"y":[]}}"#,
            r#"{"stream":true,"stream_options":{"include_usage":true,"x":{"include_usage":false},"y":[]}}"#,
        ),
        (
            r#"{"stream":true,"stream\u005foptions":{"x":1}}"#,
            r#"{"stream":true,"stream\u005foptions":{"include_usage":true,"x":1}}"#,
        ),
        // The last one counts.
        (
            r#"{"stream_options":{"include_usage":true},"stream":true,"stream_options":{}}"#,
            r#"{"stream_options":{"include_usage":true},"stream":true,"stream_options":{"include_usage":true}}"#,
        ),
    ] {
        assert_eq!(asking(body).as_deref(), Some(expected));
    }
}

#[test]
fn what_the_client_has_decided_or_what_is_doubtful_stays() {
    for body in [
        r#"{"stream":true,"stream_options":{"include_usage":true}}"#,
        r#"{"stream":true,"stream_options":{"include_usage":false}}"#,
        r#"{"stream":true,"stream_options":{"include_usage":null}}"#,
        r#"{"stream":true,"stream_options":{"x":1,"include\u005fusage":false}}"#,
        r#"{"stream":true,"stream_options":{"include_usage":false,"x":1}}"#,
        r#"{"stream":true,"stream_options":{"include_usage":false,"include_usage":true}}"#,
        r#"{"stream":true,"stream_options":{},"stream_options":{"include_usage":false}}"#,
        r#"{"stream":true,"stream_options":{},"stream_options":null}"#,
        r#"{"stream":true,"stream_options":null}"#,
        r#"{"stream":true,"stream_options":true}"#,
        r#"{"stream":true,"stream_options":"include_usage"}"#,
        r#"{"stream":true,"stream_options":[]}"#,
        r#"{"stream":true,"stream_options":[{}]}"#,
        r#"{"stream":true,"usage":{"include":true}}"#,
        r#"{"stream":false}"#,
        r#"{"stream":true,"stream":false}"#,
        r#"{"stream":"true"}"#,
        r#"{"stream":1}"#,
        r#"{"stream":[true]}"#,
        r#"{"x":{"stream":true}}"#,
        r#"[{"stream":true}]"#,
        r#"[[{"stream":true}]]"#,
        r#"{}"#,
        r#""stream""#,
        "",
        r#"{"stream":true"#,
        r#"{"stream":true}}"#,
        r#"{"stream":true,}"#,
        "\u{feff}{\"stream\":true}",
    ] {
        assert_eq!(asking(body), None, "{body}");
    }
}

#[test]
fn a_body_that_is_not_read_to_its_end_stays() {
    let ladder = crate::ladder::Ladder::default();
    let mut reader = crate::wire::body::RequestReader::new(ladder.paths(), Need::ALL);
    reader.feed(br#"{"stream":true,"messages":["#);
    assert_eq!(reader.so_far().splice, None);
}

#[test]
fn only_plain_chat_requests_may_be_made_to_ask() {
    let may = |method: Method, path: &str, headers: &HeaderMap| {
        may_ask(Endpoint::of(&method, path, false), path, headers)
    };
    let none = HeaderMap::new();
    for path in [
        "/v1/chat/completions",
        "/v1/chat/completions/",
        "/chat/completions",
        "/api/coding/paas/v4/chat/completions",
        "/openai/deployments/x/chat/completions",
    ] {
        assert!(may(Method::POST, path, &none), "{path}");
        assert!(!may(Method::GET, path, &none), "{path}");
    }
    for path in [
        "/v1/completions",
        "/v1/responses",
        "/v1/messages",
        "/v1/embeddings",
        "/v1/chat/completions/chatcmpl-1",
    ] {
        assert!(!may(Method::POST, path, &none), "{path}");
    }
    for name in ["content-encoding", "digest", "content-digest"] {
        let mut headers = HeaderMap::new();
        headers.insert(name, "x".parse().unwrap());
        assert!(!may(Method::POST, "/v1/chat/completions", &headers));
    }
}

const KEYS: &[&str] = &["stream", "stream_options", "include_usage", "usage", "x"];

/// The value that `text` is, of keys given twice the last.
fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

proptest! {
    /// With the bytes put in, the body says what it said, and asks for counts.
    #[test]
    fn nothing_else_changes(members in with_duplicates(KEYS), tail in any::<bool>(), size in 1_usize..20) {
        let mut text = members.write();
        if let (Json::Object(_), true) = (&members, tail) {
            let comma = if text == "{}" { "" } else { "," };
            text.truncate(text.len() - 1);
            text = format!("{text}{comma}\"stream\":true}}");
        }
        let splice = read_for(&text, ONLY_SPLICE).splice;
        prop_assert_eq!(read_in_pieces(text.as_bytes(), size, ONLY_SPLICE).splice, splice);
        let before = value(&text);
        let options = before.get("stream_options");
        if let Some(splice) = splice {
            let mut expected = before.clone();
            prop_assert_eq!(&before["stream"], &json!(true));
            prop_assert!(options.is_none_or(|options| options.get("include_usage").is_none()));
            match expected.get_mut("stream_options") {
                Some(options) => options["include_usage"] = json!(true),
                None => expected["stream_options"] = json!({"include_usage": true}),
            }
            prop_assert_eq!(value(&put_in(&text, splice)), expected);
        } else if before.get("stream") == Some(&json!(true)) && before.get("usage").is_none() {
            let is_open = |options: &Value| {
                options.as_object().is_some_and(|options| !options.contains_key("include_usage"))
            };
            prop_assert!(!options.is_none_or(is_open), "{} could ask", text);
        }
    }
}
