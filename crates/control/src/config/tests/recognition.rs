//! A person's own session rules and what becomes of sub-agents: each form, the order, each complaint.

use api_key_lb_core::plan::SplitSubAgents;

use super::World;

fn world(rules: &str) -> World {
    World::with_file(&format!(r#"{{"keys": "k", "session_rules": {rules}}}"#))
}

/// The names of the rules before the built-in ones.
fn own(world: &World) -> Vec<String> {
    let config = world.config();
    let rules = config.plan.recognition.ladder.rules();
    rules
        .iter()
        .take_while(|rule| rule.number.is_none())
        .map(|rule| rule.name.to_string())
        .collect()
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
fn session_rules_come_before_the_built_in_ones_in_the_order_given() {
    let world = world(
        r#"[{"body": "$.metadata.chat.id"}, {"header": " X-My-Chat "}, "header x-b", "body  messages[].id", {"body": "[\"a.b\"].c"}]"#,
    );
    assert_eq!(
        own(&world),
        [
            "body metadata.chat.id",
            "header x-my-chat",
            "header x-b",
            "body messages[].id",
            "body [\"a.b\"].c"
        ]
    );
    assert_eq!(world.notes(), Vec::<String>::new());
    let rules = world.config().plan.recognition.ladder.rules().len();
    assert!(rules > 5, "the built-in rules follow");
}

#[test]
fn one_rule_needs_no_list() {
    assert_eq!(own(&world(r#"{"header": "x-a"}"#)), ["header x-a"]);
    assert_eq!(
        own(&world(r#""header x-a, body chat.id""#)),
        ["header x-a", "body chat.id"]
    );
    for none in ["[]", "null", r#""""#] {
        assert_eq!(own(&world(none)), Vec::<String>::new(), "{none}");
    }
}

#[test]
fn a_rule_that_names_a_header_and_a_path_or_neither_is_refused() {
    for (rules, at, words) in [
        (
            "[{\"header\": \"x-a\"},\n{\"header\": \"x-b\", \"body\": \"b\"}]",
            "FILE:2:1: ",
            "this session rule has both of `header` and `body`; write one of them into each rule",
        ),
        (
            "\n[{}]",
            "FILE:2:2: ",
            "this session rule has neither of `header` and `body`",
        ),
        (r#"[{"header": null}]"#, "FILE:1:", "has neither"),
        (
            "\n[{\"heder\": \"planted\"}]",
            "FILE:2:3: ",
            "a session rule holds `header` or `body` and nothing else; did you mean `header`?",
        ),
        (
            r#"[{"header": "x-a", "sk-planted": "planted"}]"#,
            "FILE:1:",
            "and nothing else; remove this",
        ),
        (
            r#"[{"path": "planted"}]"#,
            "FILE:1:",
            "did you mean `body`?",
        ),
        (
            r#"[{"header": 5}]"#,
            "FILE:1:",
            "`header` must be a text in double quotes, not a number; write it as \"header\": \"x-my-chat\"",
        ),
        (
            "5",
            "FILE:1:",
            "`session_rules` must be a list of rules, not a number; write it as \"session_rules\": [{",
        ),
        (
            r#"[["planted"]]"#,
            "FILE:1:",
            "`session_rules` must be a list of rules, not a list",
        ),
        (
            r#"["planted"]"#,
            "FILE:1:",
            "a session rule says where the id stands; write {\"header\": \"x-my-chat\"} or {\"body\"",
        ),
        (r#"["cookie planted"]"#, "FILE:1:", "where the id stands"),
        (r#"["header"]"#, "FILE:1:", "where the id stands"),
    ] {
        refused(rules, at, words);
    }
}

#[test]
fn what_is_no_header_name_or_no_path_is_refused_without_repeating_it() {
    for (rule, words) in [
        (
            r#"{"header": "x-chat: planted"}"#,
            "`header` must be the name of a request header",
        ),
        (r#"{"header": ""}"#, "write one such as \"x-my-chat\""),
        (r#"{"header": "chät-planted"}"#, "without colon and value"),
        (
            r#"{"body": "planted[0]"}"#,
            "`body` must be a path into the request body, but only [] and [\"key\"] may stand in \
             brackets, so no [0] and no [*]; write one such as",
        ),
        (r#"{"body": "planted..id"}"#, "but a key is missing in it"),
        (r#"{"body": ""}"#, "but a key is missing in it"),
        (r#"{"body": "a.b.c.d.e.f.g.h.i"}"#, "more than 8 steps"),
        (r#""body planted[*]""#, "no [*]"),
        (r#"{"header": "sk-planted"}"#, "this looks like an API key"),
        (r#"{"body": " SK-planted"}"#, "keys stand in `keys`"),
    ] {
        refused(&format!("[\n{rule}]"), "FILE:2:", words);
    }
}

#[test]
fn a_header_with_a_credential_is_never_a_session() {
    for name in [
        "authorization",
        "Proxy-Authorization",
        "X-API-Key",
        "api-key",
        "x-goog-api-key",
        "Cookie",
    ] {
        refused(
            &format!(r#"[{{"header": "{name}"}}]"#),
            "FILE:1:",
            &format!(
                "`{}` carries a credential, and a credential is not a session",
                name.to_lowercase()
            ),
        );
    }
}

#[test]
fn what_hardly_is_a_session_is_warned_of_with_the_reason_and_used() {
    let world = world("[{\"header\": \"X-Request-Id\"},\n{\"body\": \"metadata.user\"}]");
    assert_eq!(own(&world), ["header x-request-id", "body metadata.user"]);
    assert_eq!(
        world.notes(),
        [
            "FILE:1:44: `x-request-id` is hardly a session id (fresh for every request); remove this rule unless you know better",
            "FILE:2:10: `user` is hardly a session id (a user, so all of their chats); remove this rule unless you know better",
        ]
    );
}

#[test]
fn a_rule_given_twice_is_one_rule_with_a_warning() {
    let world = world(
        "[{\"header\": \"x-a\"}, {\"body\": \"a\"},\n\"header X-A\", {\"body\": \"$.a\"}, {\"body\": \"b\"}]",
    );
    assert_eq!(own(&world), ["header x-a", "body a", "body b"]);
    let notes = world.notes();
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert_eq!(
        notes[0],
        "FILE:2:1: the same session rule stands further up; this one is ignored, remove it"
    );
}

#[test]
fn there_are_at_most_32_rules() {
    let rules = |count: usize| {
        let rules: Vec<String> = (0..count).map(|n| format!("\n\"header x-{n}\"")).collect();
        format!("[{}]", rules.join(","))
    };
    assert_eq!(own(&world(&rules(32))).len(), 32);
    refused(
        &rules(33),
        "FILE:34:1: ",
        "there are 33 session rules, but at most 32 are read",
    );
}

#[test]
fn what_becomes_of_sub_agents_is_a_word_or_a_switch() {
    let choice = |world: &World| world.config().plan.recognition.split_subagents;
    let file =
        |value: &str| World::with_file(&format!(r#"{{"keys": "k", "split_subagents": {value}}}"#));
    assert_eq!(
        choice(&World::with_file(r#"{"keys": "k"}"#)),
        SplitSubAgents::Never
    );
    for (value, expected) in [
        (r#""never""#, SplitSubAgents::Never),
        (r#""auto""#, SplitSubAgents::Auto),
        (r#"" Always ""#, SplitSubAgents::Always),
        ("true", SplitSubAgents::Auto),
        ("false", SplitSubAgents::Never),
        (r#""on""#, SplitSubAgents::Auto),
        ("null", SplitSubAgents::Never),
    ] {
        assert_eq!(choice(&file(value)), expected, "{value}");
    }
    let world = file(r#""always""#).var("AKLB_SPLIT_SUBAGENTS", "false");
    assert_eq!(choice(&world), SplitSubAgents::Never);
    assert_eq!(
        world.var("AKLB_SPLIT_SUBAGENTS", "planted").problems(),
        [
            "environment variable AKLB_SPLIT_SUBAGENTS: `split_subagents` must be \"never\", \"auto\" or \"always\""
        ]
    );
    assert_eq!(
        file("5").problems(),
        [
            "FILE:1:34: `split_subagents` must be a text in double quotes, not a number; write it as \"split_subagents\": \"auto\""
        ]
    );
}
