//! What is read of a body does not depend on where it is cut.

use proptest::prelude::*;

use crate::ladder::Ladder;
use crate::wire::body::{BodyFacts, Need, RequestReader};
use crate::wire::sample::{
    Json, api, body, read, read_in_pieces, style, system, turns, with_duplicates,
};

fn cut_at(body: &[u8], at: usize) -> BodyFacts {
    let ladder = Ladder::default();
    let mut reader = RequestReader::new(ladder.paths(), Need::ALL);
    reader.feed(&body[..at]);
    reader.feed(&body[at..]);
    reader.finish()
}

/// At every place once, and in small pieces.
fn assert_the_same_however_cut(text: &str) {
    let whole = format!("{:?}", read(text));
    let body = text.as_bytes();
    for at in 0..=body.len() {
        let cut = format!("{:?}", cut_at(body, at));
        assert_eq!(cut, whole, "cut at {at}: {text}");
    }
    for size in [1, 2, 3, 7] {
        let cut = format!("{:?}", read_in_pieces(body, size, Need::ALL));
        assert_eq!(cut, whole, "{size} bytes at a time: {text}");
    }
}

#[test]
fn every_cut_of_a_body_says_the_same() {
    assert_the_same_however_cut(
        r#"{"system":[{"type":"text","text":"S\u00e9\nSession ID: 20261122_ab\n"}],"messages":[{"role":"user","content":[{"type":"text","text":"U\\\"\n| sessionId=\u0031abcdefgh | "}],"metadata":{"session_id":"m\"1"}}],"model":"x\ud83d\ude00","stream":true,"prompt_cache_key":"k","m\u0065tadata":{"user_id":"\\"}}"#,
    );
}

#[test]
fn every_cut_of_nonsense_says_the_same() {
    for text in [
        "",
        "{",
        r#"{"model":"m"}}"#,
        r#"{"model":"m","messages":[{"role":"user","content":"hi\ud800"}],"session_id":"\ud800"}"#,
        r#"{"model":"\x","session_id":"\u12","messages":"\\\\"}"#,
        r#"{"messages":[{"role":["user"],"content":{"text":"hi"},"type":{}},7,null,[],"x"]}"#,
        r#"{"contents":{"parts":[{"text":"hi"}]},"system":[{"text":["x"],"text":"y"}]}"#,
    ] {
        assert_the_same_however_cut(text);
    }
}

#[test]
fn every_cut_of_a_long_id_says_the_same() {
    for length in [1023, 1024, 1025, 1500] {
        let text = format!(
            r#"{{"metadata":{{"user_id":"{}"}},"session_id":"{}\n"}}"#,
            "x".repeat(length),
            "y".repeat(length - 2)
        );
        assert_the_same_however_cut(&text);
    }
}

const KEYS: &[&str] = &[
    "messages",
    "content",
    "role",
    "metadata",
    "session_id",
    "type",
    "system",
    "text",
    "model",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn every_cut_of_a_conversation_says_the_same(
        api in api(), system in system(), turns in turns(), mut style in style(), odd: u64, rarely: bool,
    ) {
        let mut body = body(api, Some(&system), &turns, &mut style);
        body.push("metadata", Json::object([("user_id", (&*system).into())]));
        // Rarely, so that roles and most keys are still known.
        let odd = if rarely { odd & 0x0100_0000_0100_0000 } else { odd };
        assert_the_same_however_cut(&body.write_oddly(odd));
    }

    #[test]
    fn every_cut_of_a_document_with_duplicates_says_the_same(value in with_duplicates(KEYS)) {
        assert_the_same_however_cut(&value.write());
    }
}
