//! What a request body says, dialect by dialect, and that no cut of it says otherwise.

use super::*;

fn read(body: &str) -> BodyFacts {
    let mut reader = RequestReader::new();
    reader.feed(body.as_bytes());
    reader.finish()
}

#[test]
fn top_level_fields_are_read_wherever_they_stand() {
    let facts = read(
        r#"{"messages":[{"role":"user","content":"hi"}],"stream":true,"session_id":"s\u0031","model":"m","background":true}"#,
    );
    assert_eq!(facts.model.as_deref(), Some("m"));
    assert!(facts.stream && facts.background);
    assert_eq!(facts.id(BodyField::SessionId), Some(&b"s1"[..]));
}

#[test]
fn nested_fields_of_the_same_name_are_not_taken() {
    let facts = read(
        r#"{"tools":[{"session_id":"no","model":"no"}],"x":{"session_id":"no","stream":true}}"#,
    );
    assert_eq!(facts.id(BodyField::SessionId), None);
    assert_eq!(facts.model, None);
    assert!(!facts.stream);
}

#[test]
fn wrong_types_are_no_ids_and_later_duplicates_win() {
    for body in [
        r#"{"session_id":5}"#,
        r#"{"session_id":null}"#,
        r#"{"session_id":{"a":"b"}}"#,
        r#"{"session_id":""}"#,
        r#"{"session_id":"a","session_id":7}"#,
        r#"{"session_id":"a","session_id":["b"]}"#,
        r#"{"messages":[{"metadata":{"session_id":42},"custom_fields":{"session_id":[]}}]}"#,
    ] {
        let facts = read(body);
        for field in [
            BodyField::SessionId,
            BodyField::MessageMetadata,
            BodyField::MessageCustomField,
        ] {
            assert_eq!(facts.id(field), None, "{body}");
        }
    }
    let facts = read(r#"{"session_id":"a","session_id":"b"}"#);
    assert_eq!(facts.id(BodyField::SessionId), Some(&b"b"[..]));
    assert_eq!(
        read(r#"{"model":"a","model":"b"}"#).model.as_deref(),
        Some("b")
    );
}

#[test]
fn ids_in_message_metadata_are_read_from_the_first_message_that_has_one() {
    let facts = read(
        r#"{"messages":[{"role":"user","content":"x"},{"metadata":{"session_id":"m1"}},{"metadata":{"session_id":"m2"},"custom_fields":{"session_id":"c"}}]}"#,
    );
    assert_eq!(facts.id(BodyField::MessageMetadata), Some(&b"m1"[..]));
    assert_eq!(facts.id(BodyField::MessageCustomField), Some(&b"c"[..]));
}

#[test]
fn an_overlong_id_is_none() {
    let body = format!(r#"{{"session_id":"{}"}}"#, "x".repeat(MAX_VALUE + 1));
    assert_eq!(read(&body).id(BodyField::SessionId), None);
}

#[test]
fn malformed_input_says_nothing() {
    let facts =
        read(r#"{"session_id":"a","model":"m","messages":[{"role":"user","content":"hi"}]"#);
    assert_eq!(facts.id(BodyField::SessionId), None);
    assert_eq!((facts.model, facts.opener), (None, None));
    assert_eq!(read("not json").opener, None);
}

/// One conversation in every shape; the values must agree within a row's own dialect only.
fn opener(body: &str) -> u128 {
    read(body).opener.unwrap()
}

#[test]
fn string_and_array_contents_have_the_same_fingerprint() {
    let as_text =
        opener(r#"{"messages":[{"role":"system","content":"S"},{"role":"user","content":"U"}]}"#);
    let as_parts = opener(
        r#"{"messages":[{"role":"system","content":[{"type":"text","text":"S"}]},{"content":[{"text":"U","type":"text","cache_control":{"type":"ephemeral"}}],"role":"user"}]}"#,
    );
    assert_eq!(as_text, as_parts);
    let messages_api = opener(
        r#"{"system":[{"type":"text","text":"S"}],"messages":[{"role":"user","content":[{"type":"text","text":"U"}]}]}"#,
    );
    let responses = opener(
        r#"{"input":[{"type":"message","role":"user","content":[{"type":"input_text","text":"U"}]}],"instructions":"S"}"#,
    );
    let gemini = opener(
        r#"{"contents":[{"parts":[{"text":"U"}]}],"systemInstruction":{"parts":[{"text":"S"}]}}"#,
    );
    assert_eq!([messages_api, responses, gemini], [as_text; 3]);
    assert_eq!(opener(r#"{"input":"U","instructions":"S"}"#), as_text);
}

#[test]
fn one_system_prompt_does_not_make_one_session() {
    let body = |user: &str| {
        format!(
            r#"{{"messages":[{{"role":"system","content":"S"}},{{"role":"user","content":"{user}"}}]}}"#
        )
    };
    assert_ne!(opener(&body("one")), opener(&body("two")));
    assert_eq!(opener(&body("one")), opener(&body("one")));
}

#[test]
fn later_turns_keep_the_fingerprint_of_the_first() {
    let first =
        opener(r#"{"messages":[{"role":"system","content":"S"},{"role":"user","content":"U"}]}"#);
    let later = opener(
        r#"{"messages":[{"role":"system","content":"S"},{"role":"user","content":"U"},{"role":"assistant","content":"A"},{"role":"system","content":"reminder"},{"role":"user","content":"V"}]}"#,
    );
    assert_eq!(first, later);
}

#[test]
fn only_the_head_of_the_system_prompt_counts_and_the_billing_line_does_not() {
    let body = |system: &str| {
        format!(r#"{{"system":[{system}],"messages":[{{"role":"user","content":"U"}}]}}"#)
    };
    let head = "s".repeat(SYSTEM_HEAD);
    let part = |text: &str| format!(r#"{{"type":"text","text":"{text}"}}"#);
    assert_eq!(
        opener(&body(&part(&format!("{head} Monday")))),
        opener(&body(&part(&format!("{head} Tuesday"))))
    );
    let billed = |n: u32| {
        format!(
            "{},{}",
            part(&format!("x-anthropic-billing-header: v={n}")),
            part("S")
        )
    };
    assert_eq!(opener(&body(&billed(1))), opener(&body(&billed(2))));
    assert_ne!(opener(&body(&part("S"))), opener(&body(&part("T"))));
}

#[test]
fn a_body_without_a_user_message_has_no_fingerprint() {
    assert_eq!(
        read(r#"{"messages":[{"role":"system","content":"S"}]}"#).opener,
        None
    );
    assert_eq!(read(r#"{"messages":[]}"#).opener, None);
    assert_eq!(read(r#"{"input":[1,2,3]}"#).opener, None);
}

#[test]
fn a_second_messages_array_replaces_the_first() {
    assert_eq!(
        opener(
            r#"{"messages":[{"role":"user","content":"old"}],"messages":[{"role":"user","content":"new"}]}"#
        ),
        opener(r#"{"messages":[{"role":"user","content":"new"}]}"#)
    );
}

#[test]
fn every_cut_of_a_body_says_the_same() {
    let body = r#"{"system":[{"type":"text","text":"S\u00e9"}],"messages":[{"role":"user","content":[{"type":"text","text":"U\\\"\n"}],"metadata":{"session_id":"m\"1"}}],"model":"x","stream":true,"prompt_cache_key":"k"}"#;
    let whole = read(body);
    for at in 0..body.len() {
        if !body.is_char_boundary(at) {
            continue;
        }
        let mut reader = RequestReader::new();
        reader.feed(&body.as_bytes()[..at]);
        reader.feed(&body.as_bytes()[at..]);
        let cut = reader.finish();
        assert_eq!(cut.opener, whole.opener, "cut at {at}");
        assert_eq!(cut.ids, whole.ids, "cut at {at}");
        assert_eq!((cut.model, cut.stream), (whole.model.clone(), whole.stream));
    }
}
