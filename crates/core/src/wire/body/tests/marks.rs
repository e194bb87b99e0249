//! Ids that clients write into the prompt count only where those clients write them.

use crate::ladder::Mark;
use crate::wire::body::Need;
use crate::wire::sample::{Json, read, read_for};

const OPENCLAW: &str = "Runtime: agent=main | sessionId=5eb437ee-910f-4388 | os=linux";
const HERMES: &str = "You are Hermes.\nSession ID: 20261122_2201_ab\nModel: m";

fn list(messages: &[(&str, &str)]) -> Json {
    Json::List(
        messages
            .iter()
            .map(|(role, text)| {
                Json::object([("role", (*role).into()), ("content", (*text).into())])
            })
            .collect(),
    )
}

fn mark(body: &Json) -> Option<(Mark, String)> {
    let (mark, id) = read(&body.write()).mark?;
    Some((mark, String::from_utf8(id).unwrap()))
}

fn openclaw() -> Option<(Mark, String)> {
    Some((Mark::OpenClaw, "5eb437ee-910f-4388".to_owned()))
}

fn hermes() -> Option<(Mark, String)> {
    Some((Mark::Hermes, "20261122_2201_ab".to_owned()))
}

#[test]
fn openclaws_id_is_found_in_the_first_user_message_of_every_dialect() {
    let parts = |kind: &str, text: &str| {
        Json::List(vec![
            Json::object([("type", kind.into()), ("text", "first".into())]),
            Json::object([("type", kind.into()), ("text", text.into())]),
        ])
    };
    let user = |content: Json| {
        Json::List(vec![Json::object([
            ("role", "user".into()),
            ("content", content),
        ])])
    };
    for body in [
        Json::object([("messages", list(&[("system", "S"), ("user", OPENCLAW)]))]),
        Json::object([("messages", user(parts("text", OPENCLAW)))]),
        Json::object([("input", OPENCLAW.into())]),
        Json::object([("input", user(parts("input_text", OPENCLAW)))]),
        Json::object([(
            "contents",
            Json::List(vec![Json::object([(
                "parts",
                Json::List(vec![Json::object([("text", OPENCLAW.into())])]),
            )])]),
        )]),
        // A user message without words is not the first one.
        Json::object([("messages", list(&[("user", ""), ("user", OPENCLAW)]))]),
    ] {
        assert_eq!(mark(&body), openclaw(), "{}", body.write());
    }
}

#[test]
fn openclaws_id_counts_nowhere_else() {
    for body in [
        Json::object([("messages", list(&[("user", "hi"), ("user", OPENCLAW)]))]),
        Json::object([("messages", list(&[("assistant", OPENCLAW), ("user", "hi")]))]),
        Json::object([("messages", list(&[("system", OPENCLAW), ("user", "hi")]))]),
        Json::object([
            ("system", OPENCLAW.into()),
            ("messages", list(&[("user", "hi")])),
        ]),
        Json::object([("instructions", OPENCLAW.into()), ("input", "hi".into())]),
        Json::object([
            ("messages", list(&[("user", "hi")])),
            ("tools", list(&[("user", OPENCLAW)])),
        ]),
        // Beside the text.
        Json::object([(
            "messages",
            Json::List(vec![Json::object([
                ("role", "user".into()),
                ("content", "hi".into()),
                ("name", OPENCLAW.into()),
            ])]),
        )]),
    ] {
        assert_eq!(mark(&body), None, "{}", body.write());
    }
}

#[test]
fn hermes_id_is_found_in_the_system_prompt_of_every_dialect() {
    let user = list(&[("user", "hi")]);
    let text_part = || Json::object([("type", "text".into()), ("text", HERMES.into())]);
    for body in [
        Json::object([("system", HERMES.into()), ("messages", user.clone())]),
        Json::object([("messages", user.clone()), ("system", HERMES.into())]),
        Json::object([
            ("system", Json::List(vec![text_part()])),
            ("messages", user.clone()),
        ]),
        Json::object([("messages", list(&[("system", HERMES), ("user", "hi")]))]),
        Json::object([(
            "messages",
            list(&[("system", "S"), ("developer", HERMES), ("user", "hi")]),
        )]),
        Json::object([("instructions", HERMES.into()), ("input", "hi".into())]),
        Json::object([("input", list(&[("developer", HERMES), ("user", "hi")]))]),
        Json::object([
            ("contents", user.clone()),
            (
                "systemInstruction",
                Json::object([("parts", Json::List(vec![text_part()]))]),
            ),
        ]),
    ] {
        assert_eq!(mark(&body), hermes(), "{}", body.write());
    }
}

#[test]
fn hermes_id_counts_nowhere_else() {
    for body in [
        Json::object([("messages", list(&[("user", HERMES)]))]),
        Json::object([("messages", list(&[("user", "hi"), ("system", HERMES)]))]),
        Json::object([("input", HERMES.into())]),
        Json::object([("input", "hi".into()), ("user", HERMES.into())]),
    ] {
        assert_eq!(mark(&body), None, "{}", body.write());
    }
}

#[test]
fn of_two_ids_the_one_of_the_earlier_rule_counts() {
    let messages = list(&[("system", HERMES), ("user", OPENCLAW)]);
    assert_eq!(mark(&Json::object([("messages", messages)])), openclaw());
}

#[test]
fn what_a_later_value_of_the_same_key_replaced_holds_no_id() {
    let user = list(&[("user", "hi")]);
    for (key, old, new) in [
        ("messages", list(&[("user", OPENCLAW)]), user.clone()),
        ("messages", list(&[("user", OPENCLAW)]), list(&[])),
        ("messages", list(&[("system", HERMES)]), user.clone()),
        ("system", HERMES.into(), "S".into()),
        ("system", HERMES.into(), Json::Raw("null".into())),
    ] {
        let body = Json::object([(key, old), (key, new)]);
        assert_eq!(mark(&body), None, "{}", body.write());
    }
}

#[test]
fn no_id_is_looked_for_when_a_header_has_named_the_session() {
    let body = Json::object([("messages", list(&[("user", OPENCLAW)]))]).write();
    let need = Need {
        ids: false,
        ..Need::ALL
    };
    assert_eq!(read_for(&body, need).mark, None);
}
