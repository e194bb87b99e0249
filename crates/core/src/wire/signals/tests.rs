//! Bodies of every form.

use proptest::prelude::*;

use super::*;

fn words(body: &str) -> Vec<String> {
    Signals::of_body(body.as_bytes()).words
}

fn message(body: &str) -> String {
    Signals::of_body(body.as_bytes()).message
}

#[test]
fn an_error_is_found_in_every_form() {
    for (body, words, message) in [
        (
            r#"{"error":{"message":"M","type":"T","code":"C"}}"#,
            &["c", "t"][..],
            "M",
        ),
        (r#"[{"error":{"message":"M","code":429}}]"#, &["429"], "M"),
        (r#"{"error":"a b"}"#, &[], "a b"),
        (
            r#"{"error":"rate_limited","message":"M"}"#,
            &["rate_limited"],
            "rate_limited",
        ),
        (r#"{"detail":"M"}"#, &[], "M"),
        (
            r#"{"detail":[{"type":"missing","msg":"M","input":"no"}]}"#,
            &["missing"],
            "M",
        ),
        (
            r#"{"status":429,"title":"Too Many Requests"}"#,
            &["too many requests", "429"],
            "Too Many Requests",
        ),
        (
            r#"{"code":"Throttling.RateQuota","message":"M"}"#,
            &["throttling.ratequota"],
            "M",
        ),
        (r#"{"code":1302,"msg":"M","success":false}"#, &["1302"], "M"),
        (
            r#"{"base_resp":{"status_code":1002,"status_msg":"M"}}"#,
            &["base_resp", "1002"],
            "M",
        ),
        (
            r#"{"error":{"code":"1308","message":"[1308][M][x]"}}"#,
            &["1308"],
            "[1308][M][x]",
        ),
        (r#"{"error":{"message":"M (2056)"}}"#, &["2056"], "M (2056)"),
        (
            r#"{"error":{"message":"M (2064) (529)"}}"#,
            &["2064"],
            "M (2064) (529)",
        ),
        (
            "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"T\",\"message\":\"M\"}}\n\n",
            &["error", "t"],
            "M",
        ),
        (
            ": keep-alive\n\ndata: {\"a\":1}\n\ndata: {\"error\":{\"message\":\"M\"}}\n\n",
            &[],
            "M",
        ),
        (
            "{\"message\":{\"content\":\"\"}}\n{\"error\":\"a b\"}\n",
            &[],
            "a b",
        ),
        ("\n\n \u{feff}", &[], ""),
        ("\u{feff}\n{\"error\":{\"message\":\"M\"}}", &[], "M"),
        (
            "<html><TITLE>502 Bad Gateway</TITLE></html>",
            &["html"],
            "502 Bad Gateway",
        ),
        ("<?xml version=\"1.0\"?><Error/>", &["html"], ""),
        ("insufficient_quota", &[], ""),
        ("", &[], ""),
        (
            r#"{"errors":[{"code":10000,"message":"M"}],"success":false}"#,
            &["10000"],
            "M",
        ),
        (
            r#"{"error":{"message":"{\"error\":{\"code\":\"C\",\"message\":\"M\"}}","code":1}}"#,
            &["1", "c"],
            "M",
        ),
    ] {
        let signals = Signals::of_body(body.as_bytes());
        assert_eq!(signals.words, words, "{body}");
        assert_eq!(signals.message, message, "{body}");
    }
}

#[test]
fn every_field_with_a_code_is_read() {
    let found = words(
        r#"{"error_type":"a","error":{"error_type":"b","status":"C","metadata":{"error_type":"d",
        "limit_source":"e","provider_name":"p"},"availability":{"code":"f"},
        "innererror":{"code":"g"},"details":[{"@type":"x/google.rpc.ErrorInfo","reason":"H"},
        {"violations":[{"quotaId":"IPerDay"}]}]}}"#,
    );
    for word in [
        "a",
        "b",
        "c",
        "d",
        "e",
        "provider_code",
        "f",
        "g",
        "errorinfo",
        "h",
        "iperday",
    ] {
        assert!(
            found.iter().any(|found| found == word),
            "{word} in {found:?}"
        );
    }
    assert_eq!(words(r#"{"error":{"details":{"error_code":"x"}}}"#), ["x"]);
}

#[test]
fn times_are_collected_from_wherever_they_stand() {
    let body = r#"{"resets_at":1,"headers":{"Retry-After":"7"},"error":{"resets_in_seconds":2,
        "metadata":{"headers":{"X-RateLimit-Reset":"3"}},"availability":{"retry_after":4},
        "details":[{"retryDelay":"5s"},{"retryDelay":{"seconds":"6"}},
        {"metadata":{"quotaResetDelay":"7s"}}]}}"#;
    let found = Signals::of_body(body.as_bytes()).resets;
    for (name, value) in [
        ("resets_at", "1"),
        ("retry-after", "7"),
        ("resets_in_seconds", "2"),
        ("x-ratelimit-reset", "3"),
        ("retry_after", "4"),
        ("retrydelay", "5s"),
        ("retrydelay", "6s"),
        ("quotaresetdelay", "7s"),
    ] {
        let wanted = (name.to_owned(), value.to_owned());
        assert!(found.contains(&wanted), "{wanted:?} in {found:?}");
    }
    assert_eq!(found.len(), 8);
}

#[test]
fn an_error_is_told_from_an_answer() {
    for (body, envelope) in [
        (r#"{"error":{"message":"M"}}"#, true),
        (r#"{"error":"x"}"#, true),
        (r#"{"error":null}"#, false),
        (r#"{"error":""}"#, false),
        (r#"{"error":{}}"#, false),
        (r#"{"error":{"code":null,"message":null}}"#, false),
        (r#"{"type":"error"}"#, true),
        (r#"{"object":"error"}"#, true),
        (r#"{"type":"response.failed"}"#, true),
        (
            r#"{"type":"response.incomplete","response":{"status":"incomplete"}}"#,
            false,
        ),
        (r#"{"response":{"status":"failed"}}"#, true),
        (r#"{"base_resp":{"status_code":0}}"#, false),
        (r#"{"base_resp":{"status_code":"1002"}}"#, true),
        (r#"{"code":1001,"success":false}"#, true),
        (r#"{"code":200,"success":true}"#, false),
        (r#"{"data":{"error":{"message":"M"}}}"#, false),
        (r#"[{"candidates":[]},{"error":{"code":503}}]"#, true),
        ("[]", false),
        ("event: error\ndata: {\"a\":1}\n\n", true),
        ("data: {\"a\":1}\n\n", false),
        ("<html></html>", false),
    ] {
        let signals = Signals::of_body(body.as_bytes());
        assert_eq!(signals.is_error_envelope(), envelope, "{body}");
    }
}

#[test]
fn whether_to_send_again_and_the_status_are_read() {
    let of = |body: &str| {
        let signals = Signals::of_body(body.as_bytes());
        (signals.retryable, signals.status)
    };
    assert_eq!(
        of(r#"{"error":{"code":503,"availability":{"retryable":false}}}"#),
        (Some(false), Some(503))
    );
    assert_eq!(of(r#"{"status":429,"type":"error"}"#), (None, Some(429)));
    assert_eq!(of(r#"{"error":{"code":"1302"}}"#), (None, None));
    assert_eq!(of(r#"{"code":200,"retryable":true}"#), (Some(true), None));
}

#[test]
fn the_accounts_that_a_message_names_are_found() {
    let named = |message: &str| {
        Signals::of_body(
            serde_json::json!({ "error": message })
                .to_string()
                .as_bytes(),
        )
        .accounts
    };
    let uuid = "3c0a4b1e-8f2d-4b6a-9c3e-1a2b3c4d5e6f";
    assert_eq!(named("in organization org-AAA on tokens"), ["org-AAA"]);
    assert_eq!(named("in organization `org_01abc` service"), ["org_01abc"]);
    assert_eq!(
        named("Your account org-abc123<ak-abc> request"),
        ["org-abc123"]
    );
    assert_eq!(named(&format!("your organization ({uuid}) of")), [uuid]);
    assert_eq!(named(&format!("Your team {uuid} has")), [uuid]);
    assert_eq!(
        named("proj_abc and org-abc and org-abc"),
        ["proj_abc", "org-abc"]
    );
    assert_eq!(named(&format!("request {uuid} of org- failed")), [""; 0]);
}

#[test]
fn a_body_that_was_cut_is_read_as_far_as_it_goes() {
    for (body, said) in [
        (r#"{"error":{"message":"Too ma"#, "Too ma"),
        (r#"{"error":{"message":"Too many\"#, "Too many"),
        (r#"{"error":{"message":"Too \u4f"#, "Too"),
        (r#"{"error":{"message":"M","type"#, "M"),
        (r#"{"error":{"message":"M","type":"#, "M"),
        (r#"{"error":{"message":"M","status":tr"#, "M"),
        (r#"[{"error":{"message":"M"},"#, "M"),
        (r#"{"error":{"message":"M"}"#, "M"),
        (r#"{"error":{"#, ""),
        ("{", ""),
    ] {
        assert_eq!(message(body), said, "{body}");
    }
}

#[test]
fn what_is_kept_is_bounded() {
    let long = serde_json::json!({ "error": { "message": "\u{e9}".repeat(MAX_BODY) } }).to_string();
    let kept = message(&long);
    assert_eq!(kept.len(), MAX_MESSAGE);
    assert!(kept.chars().all(|c| c == '\u{e9}'));
    let beyond = format!("{{\"a\":\"{}\",\"error\":\"x y\"}}", "a".repeat(MAX_BODY));
    assert_eq!(message(&beyond), "");
    assert_eq!(
        Signals::of_body("[".repeat(MAX_BODY).as_bytes()),
        Signals::default()
    );
    let deep = format!("{}1{}", "{\"error\":".repeat(200), "}".repeat(200));
    assert_eq!(message(&deep), "");
    let many: Vec<_> = (0..100)
        .map(|n| serde_json::json!({ "reason": n }))
        .collect();
    let body = serde_json::json!({ "error": { "details": many } }).to_string();
    assert!(words(&body).len() <= 32);
}

proptest! {
    #[test]
    fn any_bytes_are_read_within_bounds(
        start in prop::sample::select(&["", "{\"error\":", "data: {", "[{", "<title", "\""][..]),
        rest in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let body = [start.as_bytes(), &rest].concat();
        let signals = Signals::of_body(&body);
        prop_assert!(signals.message.len() <= MAX_MESSAGE);
        prop_assert!(signals.words.iter().all(|word| *word == word.to_lowercase()));
    }

    #[test]
    fn a_body_of_any_length_is_read(
        message in "[a-z\\\\\"\u{e9}\u{1f600} ]{0,40}",
        cut in 0_usize..120,
    ) {
        let body = serde_json::json!({ "error": { "message": message, "code": "c" } }).to_string();
        let signals = Signals::of_body(&body.as_bytes()[..cut.min(body.len())]);
        let read = signals.message.trim_end_matches('\u{fffd}');
        prop_assert!(message.trim().starts_with(read.trim()), "{read:?} of {message:?}");
    }
}
