//! What a request body says, dialect by dialect, and that no cut of it says otherwise.

use super::*;
use crate::ladder::{Ladder, OwnRule, Path};
use crate::wire::capture::Captured;
use crate::wire::sample::{Json, read};

mod cuts;
mod marks;
mod stopping;

/// What stood at a path that the built-in rules read.
fn at<'f>(facts: &'f BodyFacts, path: &str) -> Option<&'f Captured> {
    let place = Ladder::default().paths().place_of(&path.parse().unwrap());
    facts.captures.at(place.unwrap())
}

fn id<'f>(facts: &'f BodyFacts, path: &str) -> Option<&'f str> {
    match at(facts, path)? {
        Captured::Whole(value) => Some(std::str::from_utf8(value).unwrap()),
        Captured::Hashed(_) => panic!("{path} was long"),
    }
}

#[test]
fn top_level_fields_are_read_wherever_they_stand() {
    let facts = read(
        r#"{"messages":[{"role":"user","content":"hi"}],"stream":true,"session_id":"s\u0031","model":"m","background":true}"#,
    );
    assert_eq!(facts.model.as_deref(), Some("m"));
    assert!(facts.stream && facts.background);
    assert_eq!(id(&facts, "session_id"), Some("s1"));
}

#[test]
fn nested_fields_of_the_same_name_are_not_taken() {
    let facts = read(
        r#"{"tools":[{"session_id":"no","model":"no"}],"x":{"session_id":"no","stream":true},"messages":[{"model":"no","background":true,"session_id":"no"}]}"#,
    );
    assert_eq!(id(&facts, "session_id"), None);
    assert_eq!(facts.model, None);
    assert!(!facts.stream && !facts.background);
}

#[test]
fn wrong_types_are_no_values() {
    for body in [
        r#"{"session_id":5}"#,
        r#"{"session_id":null}"#,
        r#"{"session_id":{"a":"b"}}"#,
        r#"{"session_id":["b"]}"#,
        r#"{"messages":[{"metadata":{"session_id":42},"custom_fields":{"session_id":[]}}]}"#,
        r#"{"messages":{"metadata":{"session_id":"a"}}}"#,
        r#"[{"session_id":"a"}]"#,
        r#""session_id""#,
    ] {
        let facts = read(body);
        for path in [
            "session_id",
            "messages[].metadata.session_id",
            "messages[].custom_fields.session_id",
        ] {
            assert_eq!(at(&facts, path), None, "{body}");
        }
    }
    for body in [
        r#"{"model":5,"stream":"true","background":1}"#,
        r#"{"model":["m"],"stream":[true],"background":{"a":true}}"#,
        r#"{"model":{"model":"m"},"stream":null,"background":null}"#,
        r#"{"model":""}"#,
    ] {
        let facts = read(body);
        assert_eq!(facts.model, None, "{body}");
        assert!(!facts.stream && !facts.background, "{body}");
    }
}

#[test]
fn of_a_key_that_comes_twice_the_last_one_wins() {
    let facts = read(
        r#"{"model":"a","stream":true,"background":true,"session_id":"a","model":"b","stream":false,"background":null,"session_id":"b"}"#,
    );
    assert_eq!(facts.model.as_deref(), Some("b"));
    assert!(!facts.stream && !facts.background);
    assert_eq!(id(&facts, "session_id"), Some("b"));
    for (body, path) in [
        (r#"{"session_id":"a","session_id":7}"#, "session_id"),
        (r#"{"session_id":"a","session_id":["b"]}"#, "session_id"),
        (
            r#"{"metadata":{"user_id":"a"},"metadata":{}}"#,
            "metadata.user_id",
        ),
        (
            r#"{"metadata":{"user_id":"a"},"metadata":"b"}"#,
            "metadata.user_id",
        ),
        (r#"{"conversation":"a","conversation":{}}"#, "conversation"),
        (
            r#"{"messages":[{"metadata":{"session_id":"a"}}],"messages":[]}"#,
            "messages[].metadata.session_id",
        ),
    ] {
        assert_eq!(at(&read(body), path), None, "{body}");
    }
    let facts = read(
        r#"{"model":"a","stream":true,"background":true,"model":{"b":"c"},"stream":[true],"background":"true"}"#,
    );
    assert_eq!(facts.model, None);
    assert!(!facts.stream && !facts.background);
}

#[test]
fn a_conversation_is_named_by_a_string_or_by_an_object_with_an_id() {
    let facts = read(r#"{"conversation":"c1"}"#);
    assert_eq!(id(&facts, "conversation"), Some("c1"));
    let facts = read(r#"{"conversation":{"id":"c1","x":{"id":"no"}}}"#);
    assert_eq!(id(&facts, "conversation.id"), Some("c1"));
    assert_eq!(at(&facts, "conversation"), None);
}

#[test]
fn ids_in_message_metadata_are_read_from_the_first_message_that_has_one() {
    let facts = read(
        r#"{"messages":[{"role":"user","content":"x"},{"metadata":{"session_id":7}},{"metadata":{"session_id":"m1"}},{"metadata":{"session_id":"m2"},"custom_fields":{"session_id":"c"}}]}"#,
    );
    assert_eq!(id(&facts, "messages[].metadata.session_id"), Some("m1"));
    assert_eq!(id(&facts, "messages[].custom_fields.session_id"), Some("c"));
}

#[test]
fn a_key_is_found_however_it_is_escaped() {
    let longest = "k".repeat(64);
    for key in ["client_metadata.session_id", &longest] {
        let path: Path = key.parse().unwrap();
        let ladder = Ladder::new(&[OwnRule::Body(path.clone())]);
        let mut value = Json::from("v");
        for step in key.rsplit('.') {
            value = Json::object([(step, value)]);
        }
        let mut reader = RequestReader::new(ladder.paths(), Need::ALL);
        for byte in value.write_oddly(u64::MAX).as_bytes().chunks(1) {
            reader.feed(byte);
        }
        let facts = reader.finish();
        let place = ladder.paths().place_of(&path).unwrap();
        let found = Captured::Whole(b"v".to_vec());
        assert_eq!(facts.captures.at(place), Some(&found), "{key}");
    }
}

#[test]
fn an_overlong_model_is_none_wherever_it_is_cut() {
    let name = "m".repeat(MAX_MODEL + 1);
    let body = |model: &str| format!(r#"{{"model":"{model}"}}"#);
    let longest = body(&name[1..]);
    for size in [1, 7, 300, usize::MAX] {
        let read = |body: &str| {
            crate::wire::sample::read_in_pieces(body.as_bytes(), size, Need::ALL).model
        };
        assert_eq!(read(&body(&name)), None, "{size}");
        assert_eq!(read(&longest).as_deref(), Some(&name[1..]), "{size}");
    }
}

#[test]
fn what_is_not_json_says_nothing() {
    for body in [
        r#"{"session_id":"a","model":"m","messages":[{"role":"user","content":"hi"}]"#,
        r#"{"session_id":"a","model":"m","messages":[{"role":"user","content":"hi"}]}}"#,
        r#"{"session_id":"a","model":"m","messages":[{"role":"user","content":"hi"}],}"#,
        r#"{"session_id":"a" "model":"m","messages":[{"role":"user","content":"hi"}]}"#,
        "not json",
        "",
    ] {
        let facts = read(body);
        assert_eq!(at(&facts, "session_id"), None, "{body}");
        assert_eq!(facts.model, None, "{body}");
        assert_eq!(facts.conversation, Conversation::default(), "{body}");
    }
}

#[test]
fn what_nests_too_deep_says_nothing() {
    let deep = format!(
        r#"{{"session_id":"a","x":{}{}}}"#,
        "[".repeat(200),
        "]".repeat(200)
    );
    assert_eq!(at(&read(&deep), "session_id"), None);
}

#[test]
fn of_a_body_too_large_to_wait_for_the_beginning_counts() {
    let ladder = Ladder::default();
    let mut reader = RequestReader::new(ladder.paths(), Need::ALL);
    assert!(reader.feed(
        br#"{"model":"m","session_id":"s","messages":[{"role":"user","content":"hi"},{"role":"us"#
    ));
    let facts = reader.so_far();
    assert_eq!(facts.model.as_deref(), Some("m"));
    assert_eq!(id(&facts, "session_id"), Some("s"));
    assert!(facts.conversation.opener.is_some());
    assert_eq!(facts.conversation.links.len(), 1);
}

fn opener(body: &str) -> u128 {
    read(body).conversation.opener.unwrap()
}

#[test]
fn one_conversation_has_the_same_opener_in_every_shape() {
    let as_text =
        opener(r#"{"messages":[{"role":"system","content":"S"},{"role":"user","content":"U"}]}"#);
    for body in [
        r#"{"messages":[{"role":"system","content":[{"type":"text","text":"S"}]},{"content":[{"text":"U","type":"text","cache_control":{"type":"ephemeral"}}],"role":"user"}]}"#,
        r#"{"system":[{"type":"text","text":"S"}],"messages":[{"role":"user","content":[{"type":"text","text":"U"}]}]}"#,
        r#"{"messages":[{"role":"user","content":[{"type":"text","text":"U"}]}],"system":"S"}"#,
        r#"{"input":[{"type":"message","role":"user","content":[{"type":"input_text","text":"U"}]}],"instructions":"S"}"#,
        r#"{"input":[{"role":"developer","content":"S"},{"role":"user","content":"U"}]}"#,
        r#"{"contents":[{"parts":[{"text":"U"}]}],"systemInstruction":{"parts":[{"text":"S"}]}}"#,
        r#"{"contents":[{"role":"user","parts":[{"text":"U"}]}],"system_instruction":{"parts":[{"text":"S"}]}}"#,
        r#"{"input":"U","instructions":"S"}"#,
    ] {
        assert_eq!(opener(body), as_text, "{body}");
    }
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
fn later_turns_keep_the_opener_of_the_first() {
    let first =
        opener(r#"{"messages":[{"role":"system","content":"S"},{"role":"user","content":"U"}]}"#);
    let later = opener(
        r#"{"messages":[{"role":"system","content":"S"},{"role":"user","content":"U"},{"role":"assistant","content":"A"},{"role":"system","content":"reminder"},{"role":"user","content":"V"}]}"#,
    );
    assert_eq!(first, later);
}

#[test]
fn a_body_without_words_of_a_user_has_no_opener() {
    for body in [
        r#"{"messages":[{"role":"system","content":"S"}]}"#,
        r#"{"messages":[{"role":"user","content":""}]}"#,
        r#"{"messages":[{"role":"user","content":null}]}"#,
        r#"{"messages":[{"role":"user"}]}"#,
        r#"{"messages":[{"content":"hi"}]}"#,
        r#"{"messages":[]}"#,
        r#"{"messages":"","input":null}"#,
        r#"{"input":[1,2,3]}"#,
        r#"{"input":["a","b"]}"#,
        r#"{"input":[["user"]]}"#,
        "{}",
    ] {
        assert_eq!(read(body).conversation.opener, None, "{body}");
    }
}

#[test]
fn a_second_list_of_messages_replaces_the_first_one() {
    let body = |lists: &str| read(&format!(r#"{{{lists}}}"#)).conversation;
    let one = r#""messages":[{"role":"system","content":"old"},{"role":"user","content":"old"},{"role":"assistant","content":"A"}]"#;
    let other = r#""messages":[{"role":"system","content":"S"},{"role":"user","content":"new"}]"#;
    assert_eq!(body(&format!("{one},{other}")), body(other));
    assert_eq!(
        body(&format!(r#"{one},"messages":null"#)),
        Conversation {
            system: body("").system,
            ..Conversation::default()
        }
    );
    let system = r#""system":[{"type":"text","text":"S"}]"#;
    assert_eq!(
        body(&format!(r#""system":"old",{system},{other}"#)),
        body(&format!("{system},{other}"))
    );
    assert_eq!(
        body(&format!("{system},{other}")),
        body(&format!("{other},{system}"))
    );
}
