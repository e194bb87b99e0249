//! Every credential the client brought is deleted, and exactly one of ours goes upstream.

use api_key_lb_mock::Recorded;
use serde_json::json;

use crate::support::{CHAT, MESSAGES, MODELS, RESPONSES, key, keys, pair};

const GENERATE: &str = "/v1beta/models/m:generateContent";
/// What clients bring; must never reach the upstream.
const THEIRS: &str = "sk-of-the-client-DO-NOT-FORWARD";
const BEARER: (&str, &str) = ("Authorization", "Bearer sk-of-the-client-DO-NOT-FORWARD");
const X_API_KEY: (&str, &str) = ("X-Api-Key", THEIRS);
const X_GOOG: (&str, &str) = ("x-goog-api-key", THEIRS);
const API_KEY: (&str, &str) = ("api-key", THEIRS);

fn body_for(path: &str) -> String {
    let messages = json!([{"role": "user", "content": "hi"}]);
    let body = if path.starts_with(GENERATE) {
        json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}]})
    } else if path.starts_with(RESPONSES) {
        json!({"model": "m", "input": "hi"})
    } else {
        json!({"model": "m", "max_tokens": 5, "messages": messages})
    };
    body.to_string()
}

/// What arrives of a POST with these headers.
#[track_caller]
fn arrives(path: &str, headers: &[(&str, &str)]) -> Recorded {
    let (mock, proxy) = pair(1);
    let body = body_for(path);
    proxy.ask("POST", path, headers, body.as_bytes()).is(200);
    let seen = mock.requests().pop().unwrap();
    let head = String::from_utf8_lossy(&seen.head).into_owned();
    assert!(
        !head.contains(THEIRS),
        "the client's key was forwarded:\n{head}"
    );
    assert_eq!(seen.credentials.len(), 1, "{:?}", seen.credentials);
    assert_eq!(seen.credentials[0].key, key(1));
    seen
}

#[track_caller]
fn carrier(path: &str, headers: &[(&str, &str)]) -> String {
    arrives(path, headers).credentials.remove(0).source
}

#[test]
fn the_kind_of_credential_the_client_brought_is_kept() {
    for (brought, source) in [
        (BEARER, "authorization"),
        (X_API_KEY, "x-api-key"),
        (X_GOOG, "x-goog-api-key"),
        (API_KEY, "api-key"),
    ] {
        for path in [CHAT, MESSAGES, RESPONSES, GENERATE] {
            assert_eq!(carrier(path, &[brought]), source, "{path}");
        }
    }
}

#[test]
fn a_key_in_the_query_is_replaced_and_the_rest_of_the_query_kept() {
    let path = format!("{GENERATE}?alt=json&key={THEIRS}&x=%20y");
    let seen = arrives(&path, &[]);
    assert_eq!(seen.credentials[0].source, "?key");
    assert_eq!(
        seen.target,
        format!("{GENERATE}?alt=json&x=%20y&key={}", key(1))
    );
}

#[test]
fn a_key_in_the_query_is_deleted_if_another_kind_is_used() {
    let path = format!("{CHAT}?key={THEIRS}&a=1&key=second-{THEIRS}");
    let seen = arrives(&path, &[BEARER]);
    assert_eq!(seen.credentials[0].source, "authorization");
    assert_eq!(seen.target, format!("{CHAT}?a=1"));
}

#[test]
fn without_a_credential_the_dialects_own_is_set() {
    assert_eq!(carrier(CHAT, &[]), "authorization");
    assert_eq!(carrier(RESPONSES, &[]), "authorization");
    assert_eq!(carrier(MESSAGES, &[]), "x-api-key");
    assert_eq!(carrier(GENERATE, &[]), "x-goog-api-key");
}

#[test]
fn of_two_carriers_the_dialects_own_remains() {
    assert_eq!(carrier(MESSAGES, &[BEARER, X_API_KEY]), "x-api-key");
    assert_eq!(carrier(CHAT, &[BEARER, X_API_KEY]), "authorization");
    assert_eq!(
        carrier(GENERATE, &[BEARER, X_GOOG, API_KEY]),
        "x-goog-api-key"
    );
}

#[test]
fn repeated_credentials_become_one() {
    let other = (
        "authorization",
        "Bearer second-sk-of-the-client-DO-NOT-FORWARD",
    );
    assert_eq!(carrier(CHAT, &[BEARER, other]), "authorization");
    assert_eq!(carrier(MESSAGES, &[X_API_KEY, X_API_KEY]), "x-api-key");
}

#[test]
fn other_authorization_schemes_are_replaced_too() {
    for value in [
        "Basic sk-of-the-client-DO-NOT-FORWARD",
        THEIRS,
        "bearer  sk-of-the-client-DO-NOT-FORWARD",
    ] {
        let seen = arrives(CHAT, &[("Authorization", value)]);
        assert_eq!(
            seen.header("authorization"),
            Some(format!("Bearer {}", key(1)).as_str())
        );
    }
}

#[test]
fn cookies_and_the_clients_organisation_are_deleted() {
    let seen = arrives(
        CHAT,
        &[
            BEARER,
            ("Cookie", THEIRS),
            ("OpenAI-Organization", THEIRS),
            ("OpenAI-Project", THEIRS),
            ("Proxy-Authorization", THEIRS),
        ],
    );
    for name in [
        "cookie",
        "openai-organization",
        "openai-project",
        "proxy-authorization",
    ] {
        assert_eq!(seen.header(name), None, "{name}");
    }
}

#[test]
fn connection_cannot_remove_the_credential() {
    let seen = arrives(
        CHAT,
        &[("Connection", "authorization, x-api-key, host"), X_API_KEY],
    );
    assert_eq!(seen.credentials[0].source, "x-api-key");
    assert!(seen.header("host").is_some());
}

#[test]
fn each_attempt_carries_its_own_key_and_no_other() {
    let (mock, proxy) = pair(4);
    mock.fault(api_key_lb_mock::Fault::on("*").times(3).status(429));
    proxy
        .ask("POST", CHAT, &[BEARER], body_for(CHAT).as_bytes())
        .is(200);
    let seen = mock.requests();
    assert_eq!(seen.len(), 4);
    let mut used: Vec<String> = seen
        .iter()
        .map(|request| {
            assert_eq!(request.credentials.len(), 1, "{:?}", request.credentials);
            request.credentials[0].key.clone()
        })
        .collect();
    used.sort_unstable();
    assert_eq!(used, keys(4));
}

#[test]
fn a_request_without_a_body_gets_a_credential_too() {
    let (mock, proxy) = pair(1);
    proxy.get(MODELS).is(200);
    proxy
        .ask("GET", MODELS, &[("anthropic-version", "2023-06-01")], b"")
        .is(200);
    let sources: Vec<String> = mock
        .requests()
        .iter()
        .map(|request| request.credentials[0].source.clone())
        .collect();
    assert_eq!(sources, ["authorization", "x-api-key"]);
}
