//! What of a value is the id, sub-agents and parents.

use super::*;

const CONTENT: Option<String> = None;

#[test]
fn claude_codes_session_is_one_in_its_header_and_in_both_forms_of_its_user_id() {
    let hex = "0123456789abcdef".repeat(4);
    let header = Request::default().header("x-claude-code-session-id", ONE);
    for user in [
        json!({"device_id": hex, "account_uuid": "", "session_id": ONE}).to_string(),
        format!(r#" {{"session_id":" {ONE} ","device_id":"{hex}","more":[{{}}]}}"#),
        format!("user_{hex}_account_{OTHER}_session_{ONE}"),
        format!("user_{hex}_account__session_{ONE}"),
        format!("user_session_{OTHER}_session_{ONE}"),
    ] {
        let body = Request::default().body("metadata.user_id", &user);
        assert_eq!(body.session(), header.session(), "{user}");
        assert!(!body.named().unwrap().may_be_shared, "{user}");
    }
}

#[test]
fn kimis_user_id_is_a_session_and_the_same_one_as_its_cache_key() {
    for id in [&format!("session_{ONE}"), "ses_4f2a", ONE] {
        let user = Request::default().body("metadata.user_id", id);
        let cache = Request::default().body("prompt_cache_key", id);
        assert_eq!(user.rule().as_deref(), Some("body metadata.user_id"));
        assert_eq!(user.session(), cache.session(), "{id}");
    }
}

#[test]
fn other_user_ids_are_users() {
    let hex = "0123456789abcdef".repeat(4);
    for user in [
        "alice",
        "alice@example.com",
        "12345678",
        &hex,
        &format!("user_{hex}_account_{ONE}"),
        &format!("user_{hex}_account_{OTHER}_session_{ONE}x"),
        &format!("user_{hex}_account_{OTHER}_session_"),
        &format!("user_{hex}_account_{OTHER}_session_alice"),
        &format!("{ONE}x"),
        &ONE.replace('-', "_"),
        "{}",
        "{",
        r#"{"session_id":""}"#,
        r#"{"session_id":"  "}"#,
        r#"{"session_id":7}"#,
        r#"{"session_id":null}"#,
        r#"{"session_id":"a\nb"}"#,
        r#"{"user":"alice"}"#,
        r#"["session_id","a"]"#,
        "sessions",
        "",
        " ",
    ] {
        let request = Request::default().body("metadata.user_id", user);
        assert_eq!(request.rule(), CONTENT, "{user}");
    }
}

#[test]
fn a_cache_key_that_is_a_hash_of_content_is_no_session() {
    let content = Request::default().body("prompt_cache_key", "pck_0123456789abcdef01234567");
    assert_eq!(content.rule(), CONTENT);
    let session = Request::default().body("prompt_cache_key", "my-pck_01");
    assert_eq!(session.rule().as_deref(), Some("body prompt_cache_key"));
    // What comes after it is still found.
    let later = content.body("thread_id", "t");
    assert_eq!(later.rule().as_deref(), Some("body thread_id"));
}

#[test]
fn a_request_id_is_a_session_only_from_programs_that_send_their_session_there() {
    let rule = |agent: &str| {
        Request::default()
            .header("x-client-request-id", ONE)
            .header("user-agent", agent)
            .rule()
    };
    for agent in [
        "codex_cli_rs/0.169.0 (Debian; x86_64)",
        "Codex_exec/0.1",
        "pi/0.73.1",
        "pi (linux)",
        "Hermes-Agent/0.19",
    ] {
        assert_eq!(
            rule(agent).as_deref(),
            Some("header x-client-request-id"),
            "{agent}"
        );
    }
    for agent in [
        "OpenAI/Python 2.1",
        "pip/25",
        "piper/1",
        "my codex",
        "c",
        "",
    ] {
        assert_eq!(rule(agent), CONTENT, "{agent}");
    }
    let unsaid = Request::default().header("x-client-request-id", ONE);
    assert_eq!(unsaid.rule(), CONTENT);
}

#[test]
fn blank_values_and_control_characters_are_no_ids_and_the_next_rule_decides() {
    for value in ["", " ", "   ", "a\tb"] {
        let header = Request::default().header("session-id", value);
        assert_eq!(header.rule(), CONTENT, "{value:?}");
        assert_eq!(from_head(&Ladder::default(), &header.headers), None);
        let next = header.header("x-session-id", ONE);
        assert_eq!(next.rule().as_deref(), Some("header x-session-id"));
    }
    for value in [
        "",
        " ",
        "\n",
        "a\tb",
        "a\0b",
        "a\nb",
        "\u{7f}",
        "a\u{1b}[0m",
    ] {
        let body = Request::default().body("session_id", value);
        assert_eq!(body.rule(), CONTENT, "{value:?}");
        let next = body.body("conversation_id", ONE);
        assert_eq!(next.rule().as_deref(), Some("body conversation_id"));
    }
}

#[test]
fn blanks_around_an_id_do_not_count_and_any_other_character_does() {
    let session = |value: &str| Request::default().body("session_id", value).session();
    assert_eq!(session(" a b "), session("a b"));
    let header = Request::default().header("x-session-id", "a b ");
    assert_eq!(header.session(), session("a b"));
    for (one, other) in [("a", "A"), ("a-b", "a_b"), ("a", "\u{e9}"), ("a", "a.")] {
        assert_ne!(session(one), session(other), "{one} {other}");
    }
}

#[test]
fn a_long_id_is_an_id_by_its_hash() {
    let long = |end: &str| format!("{}{end}", "x".repeat(1100));
    let body = |end: &str| Request::default().body("session_id", &long(end));
    assert_eq!(body("1").rule().as_deref(), Some("body session_id"));
    assert_eq!(body("1").session(), body("1").session());
    assert_ne!(body("1").session(), body("2").session());
    let header = |end: &str| Request::default().header("x-session-id", &long(end));
    assert_ne!(header("1").session(), header("2").session());
    // Families and own rules keep long ones apart too.
    let other = Request::default().body("chat_id", &long("1"));
    assert_ne!(body("1").session(), other.session());
    // What is read in parts is never that long, and an answer's id neither.
    let user = Request::default().body("metadata.user_id", &format!("session_{}", long("")));
    assert_eq!(user.rule(), CONTENT);
    let answer = Request::default().body("previous_response_id", &long("1"));
    assert_eq!(answer.identity(&Ladder::default()).answers, []);
}

#[test]
fn claude_codes_sub_agents_are_told_apart() {
    let ladder = Ladder::default();
    let main = Request::default().header("x-claude-code-session-id", ONE);
    let sub = |id: &str| main.clone().header("x-claude-code-agent-id", id);
    let agent = |request: &Request| request.identity(&ladder).agent;
    assert_eq!(agent(&main), None);
    assert_eq!(agent(&sub(" ")), None);
    assert!(agent(&sub("a1")).is_some());
    assert_eq!(agent(&sub("a1")), agent(&sub("a1 ")));
    assert_ne!(agent(&sub("a1")), agent(&sub("a2")));
    assert_eq!(sub("a1").session(), main.session());
}

#[test]
fn codex_s_threads_are_sub_agents_and_its_main_thread_is_none() {
    let ladder = Ladder::default();
    let thread = |id: &str| {
        Request::default()
            .header("session-id", ONE)
            .header("thread-id", id)
            .identity(&ladder)
    };
    assert_eq!(thread(ONE).agent, None);
    assert!(thread(OTHER).agent.is_some());
    assert_eq!(thread(OTHER).named, thread(ONE).named);
    // Without a session the thread is the session.
    let alone = Request::default().header("thread-id", ONE);
    assert_eq!(alone.identity(&ladder).agent, None);
    assert_eq!(alone.rule().as_deref(), Some("header thread-id"));
}

#[test]
fn a_parent_is_the_session_that_it_was() {
    let ladder = Ladder::default();
    let parent = |request: &Request| request.identity(&ladder).parent;
    for (parent_header, header) in [
        ("x-parent-session-id", "x-session-id"),
        ("x-parent-session-id", "x-session-affinity"),
        ("x-kilocode-parent-taskid", "x-kilocode-taskid"),
    ] {
        let before = Request::default().header(header, OTHER);
        let child = Request::default().header(header, ONE);
        assert_eq!(parent(&child), None);
        let child = child.header(parent_header, OTHER);
        assert_eq!(parent(&child), Some(before.session()), "{parent_header}");
        assert_ne!(child.session(), before.session());
        // Not its own parent, and nobody's without a name.
        let own = Request::default()
            .header(header, ONE)
            .header(parent_header, ONE);
        assert_eq!(parent(&own), None, "{parent_header}");
        let blank = Request::default()
            .header(header, ONE)
            .header(parent_header, " ");
        assert_eq!(parent(&blank), None, "{parent_header}");
    }
}
