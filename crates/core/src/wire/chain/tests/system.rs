//! What of the system prompt counts.

use super::*;

fn system_of(body: &str) -> u64 {
    conversation(body).system
}

#[test]
fn only_the_head_of_the_system_prompt_counts() {
    let part = |text: &str| format!(r#"{{"type":"text","text":"{text}"}}"#);
    let beside = |parts: &[String]| {
        let parts = parts.join(",");
        system_of(&format!(r#"{{"system":[{parts}],"messages":[]}}"#))
    };
    let head = "s".repeat(SYSTEM_HEAD);
    assert_eq!(
        beside(&[part(&format!("{head} Monday"))]),
        beside(&[part(&format!("{head} Tuesday"))])
    );
    assert_eq!(
        beside(&[part(&head), part("Monday")]),
        beside(&[part(&head)])
    );
    let shorter = &head[1..];
    assert_ne!(
        beside(&[part(shorter), part("Monday")]),
        beside(&[part(shorter), part("Tuesday")])
    );
    assert_ne!(beside(&[part("S")]), beside(&[part("T")]));
    assert_eq!(beside(&[part("S"), part("T")]), beside(&[part("ST")]));
    // In front of the messages it is the same, and both together are one prompt.
    let leading = |texts: &[&str]| {
        let messages: Vec<String> = texts
            .iter()
            .map(|text| format!(r#"{{"role":"system","content":"{text}"}}"#))
            .collect();
        system_of(&format!(r#"{{"messages":[{}]}}"#, messages.join(",")))
    };
    assert_eq!(leading(&["S", "T"]), beside(&[part("ST")]));
    assert_eq!(leading(&[&head, "T"]), beside(&[part(&head)]));
    assert_eq!(
        system_of(r#"{"instructions":"S","input":[{"role":"developer","content":"T"}]}"#),
        beside(&[part("ST")])
    );
    assert_eq!(
        system_of(r#"{"input":[{"role":"developer","content":"T"}],"instructions":"S"}"#),
        beside(&[part("ST")])
    );
    // A reminder in the middle is none of it.
    assert_eq!(
        system_of(
            r#"{"system":"S","messages":[{"role":"user","content":"U"},{"role":"system","content":"T"}]}"#
        ),
        beside(&[part("S")])
    );
}

#[test]
fn claude_codes_billing_line_is_no_part_of_the_prompt() {
    let body = |number: u32| {
        format!(
            r#"{{"system":[{{"type":"text","text":"x-anthropic-billing-header: cc_version={number}"}},{{"type":"text","text":"S"}}],"messages":[{{"role":"user","content":"U"}}]}}"#
        )
    };
    assert_eq!(conversation(&body(1)), conversation(&body(2)));
    assert_eq!(system_of(&body(1)), system_of(r#"{"system":"S"}"#));
    assert_ne!(
        system_of(r#"{"system":"S x-anthropic-billing-header: 1"}"#),
        system_of(r#"{"system":"S x-anthropic-billing-header: 2"}"#)
    );
}
