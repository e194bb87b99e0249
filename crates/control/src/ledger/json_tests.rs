//! Lines for programs say what happened, are read back, and hold nothing else.

use api_key_lb_core::fact::{Attempt, Ending};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::tests::{any_fact, fact, label};
use super::*;
use crate::prices::Prices;

const DOCS: &str = include_str!("../../../../docs/logs.md");

fn parsed(fact: &api_key_lb_core::fact::Fact) -> Value {
    serde_json::from_str(&json(fact, &label, &Prices::default())).unwrap()
}

#[test]
fn a_request_is_one_object_and_every_field_is_documented() {
    let mut fact = fact();
    fact.model = Some("claude-sonnet-4-5".into());
    let line = parsed(&fact);
    let expected = json!({
        "time": "2023-11-14T12:00:01.000Z",
        "event": "request",
        "id": fact.id.to_string(),
        "method": "POST",
        "path": "/v1/chat/completions",
        "pool": "",
        "status": 200,
        "model": "claude-sonnet-4-5",
        "session": "1a2b3c4d",
        "rule": "header x-session-id",
        "part": "whole",
        "client": null,
        "affinity": "home",
        "reason": null,
        "attempts": [{"key": "key-2", "status": 200, "verdict": null, "took_ms": 0}],
        "took_ms": 1240,
        "waited_ms": 0,
        "first_byte_ms": 410,
        "added_us": null,
        "usage": {"prompt": 102_400, "cached": 93_184, "written": 0, "output": 500},
        "request_bytes": 1,
        "response_bytes": 1,
        "ending": "complete",
        "error_code": null,
    });
    let mut said = line.clone();
    let cost = said.as_object_mut().unwrap().remove("cost_usd").unwrap();
    assert_eq!(said, expected);
    assert!(
        (cost.as_f64().unwrap() - 0.063_103_2).abs() < 1e-9,
        "{cost}"
    );
    let message = json_message(fact.began, "warning", "words", Some(3));
    let message: Value = serde_json::from_str(&message).unwrap();
    let fields = line.as_object().unwrap().keys();
    for field in fields.chain(message.as_object().unwrap().keys()) {
        assert!(
            DOCS.contains(&format!("`{field}`")),
            "{field} is not in docs/logs.md"
        );
    }
}

#[test]
fn a_line_holds_no_query_no_second_line_and_no_model_that_was_not_served() {
    let mut fact = fact();
    fact.path = "/v1/a\r\n{\"event\":\"FAKE\"}?key=sk-planted".into();
    for (status, attempts) in [(404, 1), (200, 0), (0, 1)] {
        fact.status = status;
        fact.attempts = vec![Attempt::begun(api_key_lb_core::KeyId::default()); attempts];
        let line = json(&fact, &label, &Prices::default());
        assert!(!line.contains("planted") && !line.contains('\n'), "{line}");
    }
    fact.status = 200;
    for model in ["a\nb".to_owned(), "m".repeat(129)] {
        fact.model = Some(model);
        assert_eq!(parsed(&fact)["model"], Value::Null);
    }
}

#[test]
fn other_objects_are_no_requests() {
    let message = json_message(fact().began, "info", "12:00:01 POST / 200 1.00s", None);
    for line in ["{", "{}", r#"{"event":"request"}"#, message.as_str()] {
        assert_eq!(Entry::parse(line), None, "{line}");
    }
}

proptest! {
    #[test]
    fn both_formats_say_the_same(fact in any_fact()) {
        let machine = json(&fact, &label, &Prices::default());
        let machine = Entry::parse(&machine).unwrap();
        let human = Entry::parse(&line(&fact, &label)).unwrap();
        prop_assert_eq!(machine.ended.as_secs(), human.ended.as_secs());
        prop_assert_eq!(&machine.attempts, &human.attempts);
        prop_assert_eq!(&machine.path, &human.path);
        prop_assert_eq!(
            (machine.status, machine.session, machine.own_answer, machine.retried),
            (human.status, human.session, human.own_answer, human.retried)
        );
        prop_assert_eq!((machine.complete, machine.cut), (human.complete, human.cut));
        prop_assert_eq!(machine.cut, fact.ending == Ending::Cut);
        prop_assert_eq!(machine.is_problem(), wanted(LogLevel::Problems, &fact));
        prop_assert_eq!((machine.id, human.id), (Some(fact.id), Some(fact.id)));
        prop_assert_eq!(
            machine.tokens.map(|(prompt, cached)| (count(prompt), cached)),
            human.tokens.map(|(prompt, cached)| (count(prompt), cached))
        );
        prop_assert_eq!(machine.bytes.map(count), human.bytes.map(count));
        prop_assert_eq!(machine.took, fact.took);
    }
}
