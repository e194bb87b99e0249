//! A person's own rules about errors: what becomes of each form, and each complaint.

use api_key_lb_core::provider::Over;
use api_key_lb_core::verdict::Matter;

use super::*;

fn world(rules: &str) -> World {
    World::with_file(&format!(r#"{{"keys": "k", "error_rules": {rules}}}"#))
}

/// Asserts that `rules` are refused for one reason, beginning at `at` and containing `words`.
#[track_caller]
fn refused(rules: &str, at: &str, words: &str) {
    let problems = world(rules).problems();
    assert_eq!(problems.len(), 1, "{rules}: {problems:#?}");
    assert!(problems[0].starts_with(at), "{}", problems[0]);
    assert!(problems[0].contains(words), "{}", problems[0]);
}

#[test]
fn error_rules_arrive_in_their_order_and_in_lower_case() {
    let world = world(
        r#"[{"provider": "ZAI", "status": 429, "code": 1302, "means": "concurrency", "for_ms": 1000},
            {"status": [429, "503"], "code": ["Foo", "bar*"], "text": ["Come Back, Later"], "means": "overload"}]"#,
    );
    let config = world.config();
    let [first, second] = config.plan.error_rules.as_slice() else {
        panic!("two rules")
    };
    assert_eq!(first.provider.map(|provider| provider.name), Some("zai"));
    assert_eq!(
        (first.rule.status, first.rule.codes),
        (&[429][..], &["1302"][..])
    );
    assert_eq!(first.rule.matter, Matter::Concurrency);
    assert_eq!(first.rule.over, Over::After(Duration::from_secs(1)));
    assert_eq!(second.provider, None);
    assert_eq!(second.rule.name, "error_rules[1]");
    assert_eq!(second.rule.status, [429, 503]);
    assert_eq!(second.rule.codes, ["foo", "bar*"]);
    assert_eq!(second.rule.phrases, ["come back, later"]);
    assert_eq!(second.rule.over, Over::Unknown);
    assert_eq!(world.notes(), Vec::<String>::new());
}

#[test]
fn every_word_of_means_is_understood() {
    for matter in Matter::NAMEABLE {
        let world = world(&format!(
            r#"{{"status": 418, "means": "{}"}}"#,
            matter.word()
        ));
        assert_eq!(world.config().plan.error_rules[0].rule.matter, matter);
    }
    for none in ["[]", "null"] {
        assert!(world(none).config().plan.error_rules.is_empty(), "{none}");
    }
}

#[test]
fn an_error_rule_that_cannot_be_is_refused_with_what_to_write() {
    for (rules, at, words) in [
        (
            "5",
            "FILE:1:",
            "`error_rules` must be a list of rules, not a number; write it as",
        ),
        (
            r#"["planted"]"#,
            "FILE:1:",
            "must be a list of rules, not a text",
        ),
        (
            "[\n{\"means\": \"key\"}]",
            "FILE:2:1: ",
            "none of `status`, `code` and `text`",
        ),
        (
            r#"{"status": [], "means": "key"}"#,
            "FILE:1:",
            "is about no error",
        ),
        (
            "[\n{\"status\": 418}]",
            "FILE:2:1: ",
            "add `means` with one of request, key, credit,",
        ),
        (
            "[\n{\"status\": 418, \"means\": \"planted\"}]",
            "FILE:2:26: ",
            "`means` must be one of request, key",
        ),
        (
            r#"{"status": 418, "means": "network"}"#,
            "FILE:1:",
            "`means` must be one of",
        ),
        (
            r#"{"status": 200, "means": "key"}"#,
            "FILE:1:",
            "from 400 to 599",
        ),
        (
            r#"{"status": [429, "planted"], "means": "key"}"#,
            "FILE:1:",
            "such as 429",
        ),
        (
            r#"{"status": true, "means": "key"}"#,
            "FILE:1:",
            "`status` must be a whole number",
        ),
        (
            r#"{"code": "*", "means": "key"}"#,
            "FILE:1:",
            "`code` must be a code, type or reason",
        ),
        (
            r#"{"code": "pla*nted", "means": "key"}"#,
            "FILE:1:",
            "may stand first or last",
        ),
        (
            r#"{"code": {}, "means": "key"}"#,
            "FILE:1:",
            "`code` must be a text or a list of texts",
        ),
        (
            r#"{"text": [" "], "means": "key"}"#,
            "FILE:1:",
            "which every message has",
        ),
        (
            r#"{"text": 5, "means": "key"}"#,
            "FILE:1:",
            "`text` must be a text or a list of texts",
        ),
        (
            r#"{"provider": "planted", "status": 418, "means": "key"}"#,
            "FILE:1:",
            "this `provider` is not known; write one of ",
        ),
        (
            r#"{"status": 418, "means": "server", "for_ms": 0}"#,
            "FILE:1:",
            "`for_ms` must be a whole number from 1 ",
        ),
        (
            r#"{"statsu": 418, "means": "key"}"#,
            "FILE:1:",
            "did you mean `status`?",
        ),
        (
            r#"{"message": "planted", "means": "key"}"#,
            "FILE:1:",
            "did you mean `text`?",
        ),
        (
            r#"{"status": 418, "means": "key", "sk-planted": 1}"#,
            "FILE:1:",
            "else; remove this",
        ),
    ] {
        refused(rules, at, words);
    }
}

#[test]
fn more_error_rules_than_are_read_are_refused() {
    let rules = vec![r#"{"status": 418, "means": "key"}"#; 65].join(",\n");
    refused(
        &format!("[{rules}]"),
        "FILE:65:1: ",
        "there are 65 error rules, but at most 64",
    );
}

#[test]
fn a_time_without_effect_is_a_warning() {
    let world = world("[\n{\"status\": 418, \"means\": \"key\", \"for_ms\": 5}]");
    let notes = world.notes();
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].starts_with("FILE:2:"), "{notes:?}");
    assert!(
        notes[0].contains("`for_ms` is without effect where `means` is \"key\""),
        "{notes:?}"
    );
}
