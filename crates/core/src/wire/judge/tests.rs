//! Properties of verdicts; what single answers mean is tested with `tests/answers`.

use std::time::Duration;

use http::{HeaderName, HeaderValue};
use proptest::prelude::*;

use super::*;
use crate::wire::reset;

const NOW: Moment = Moment::from_unix_millis(1_790_000_000_000);

/// What rules look for, and what may confuse them.
const PIECES: &[&str] = &[
    "{\"error\":{",
    "\"message\":\"",
    "\"code\":\"",
    "\"type\":\"",
    "\"status\":429",
    "insufficient_quota",
    "rate_limit_exceeded",
    "Limit 8000, Requested 10098",
    "limit: 0",
    "Please try again in 11.054s",
    "will reset at 2026-09-22 00:35:41",
    "[1308][",
    "使用上限",
    "overloaded_error",
    "\"details\":[{\"@type\":\"x.QuotaFailure\",\"violations\":[{\"quotaId\":\"aPerDay\"}]}]",
    "\"retryDelay\":\"22s\"",
    "\"base_resp\":{\"status_code\":1002}",
    "data: ",
    "event: error\n",
    "<html><title>",
    "\"",
    ",",
    "}",
    "]",
    "\\",
];

const NAMES: &[&str] = &[
    "retry-after",
    "retry-after-ms",
    "x-should-retry",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-requests",
    "x-ratelimit-reset",
    "anthropic-ratelimit-unified-status",
    "anthropic-ratelimit-unified-5h-status",
    "anthropic-ratelimit-unified-5h-reset",
];

fn bodies() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop::collection::vec(prop::sample::select(PIECES), 0..12);
    prop_oneof![
        pieces.prop_map(|pieces| pieces.concat().into_bytes()),
        prop::collection::vec(any::<u8>(), 0..200),
    ]
}

fn headers() -> impl Strategy<Value = HeaderMap> {
    let value = prop_oneof![
        Just(b"rejected".to_vec()),
        Just(b"false".to_vec()),
        Just(b"1790002094".to_vec()),
        any::<u32>().prop_map(|number| number.to_string().into_bytes()),
        prop::collection::vec(any::<u8>(), 0..20),
    ];
    let pair = (prop::sample::select(NAMES), value);
    prop::collection::vec(pair, 0..6).prop_map(|pairs| {
        pairs
            .into_iter()
            .filter_map(|(name, value)| {
                let value = HeaderValue::from_bytes(&value).ok()?;
                Some((HeaderName::from_static(name), value))
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn whatever_comes_has_a_verdict_with_a_credible_time(
        provider in 0..=PROVIDERS.len(),
        status in 100_u16..1000,
        headers in headers(),
        body in bodies(),
    ) {
        let provider = PROVIDERS.get(provider).unwrap_or(&UNKNOWN);
        let status = StatusCode::from_u16(status).unwrap();
        let signals = Signals::of_body(&body);
        let verdict = judge(provider, status, &headers, &signals, NOW);
        let is_served = verdict.matter == Matter::Served;
        let is_error = status.is_client_error() || status.is_server_error();
        let failed = is_error || (status.is_success() && signals.envelope);
        prop_assert_eq!(is_served, !failed);
        let Some(until) = verdict.until else {
            return Ok(());
        };
        let wait = until.since(NOW);
        prop_assert!(!wait.is_zero() && wait <= reset::LONGEST, "{:?}", verdict);
        match verdict.matter {
            Matter::AccountRate | Matter::ModelRate => {
                prop_assert!(wait <= Duration::from_secs(600), "{:?}", verdict);
            }
            Matter::Credit => {
                prop_assert!(wait >= Duration::from_secs(1800), "{:?}", verdict);
                prop_assert!(wait <= Duration::from_secs(3600), "{:?}", verdict);
            }
            Matter::Request | Matter::State | Matter::Key | Matter::Suspicion => {
                prop_assert!(false, "a time for {:?}", verdict);
            }
            _ => {}
        }
    }

    #[test]
    fn what_stands_outside_of_the_error_never_changes_the_verdict(
        provider in 0..=PROVIDERS.len(),
        status in prop::sample::select(&[200_u16, 400, 401, 402, 403, 404, 429, 500, 503][..]),
        code in prop::sample::select(&["x", "insufficient_quota", "1308", "overloaded_error"][..]),
        message in prop::sample::select(&["No.", "usage limit", "Limit 8, Requested 9"][..]),
        name in "(prompt|input|request|echo|messages|data|param)",
        echo in prop::collection::vec(prop::sample::select(PIECES), 0..6),
    ) {
        let provider = PROVIDERS.get(provider).unwrap_or(&UNKNOWN);
        let status = StatusCode::from_u16(status).unwrap();
        let error = serde_json::json!({ "code": code, "message": message });
        let verdict = |body: serde_json::Value| {
            let signals = Signals::of_body(body.to_string().as_bytes());
            judge(provider, status, &HeaderMap::new(), &signals, NOW)
        };
        let plain = verdict(serde_json::json!({ "error": error }));
        let echo = echo.concat();
        let with_echo = verdict(serde_json::json!({ "error": error, name.clone(): echo }));
        prop_assert_eq!(plain, with_echo);
        let object = serde_json::json!({ "error": { "message": echo, "code": "1113" } });
        let with_echo = verdict(serde_json::json!({ "error": error, name: object }));
        prop_assert_eq!(plain, with_echo);
    }
}

fn of(provider: &Provider, status: u16, body: &str) -> Verdict {
    let signals = Signals::of_body(body.as_bytes());
    let status = StatusCode::from_u16(status).unwrap();
    judge(provider, status, &HeaderMap::new(), &signals, NOW)
}

#[test]
fn numbers_are_compared_however_they_are_written() {
    let matter = |message: &str| {
        of(
            &UNKNOWN,
            429,
            &format!("{{\"error\":{{\"message\":\"{message}\"}}}}"),
        )
        .matter
    };
    for never_fits in [
        "Limit 8000, Requested 10098",
        "Limit: 8,000, Requested: 10,098.",
        "limit of 8000; requested=10098",
    ] {
        assert_eq!(matter(never_fits), Matter::Request, "{never_fits}");
    }
    for fits in [
        "Limit 30000, Used 22999, Requested 12528",
        "Limit 8000.5, Requested 10098",
        "Limit (TPM) 8000, Requested 10098 of",
        "Limit 8000, Used 10098, Requested many",
        "Limit 99999999999999999999, Requested 99999999999999999999999",
    ] {
        assert_eq!(matter(fits), Matter::ModelRate, "{fits}");
    }
}

#[test]
fn a_provider_that_is_known_is_not_taken_for_another() {
    let openai = PROVIDERS
        .iter()
        .find(|known| known.name == "openai")
        .unwrap();
    let body = r#"{"base_resp":{"status_code":1008,"status_msg":"insufficient"},"error":"x"}"#;
    assert_eq!(of(openai, 429, body).matter, Matter::ModelRate);
    assert_eq!(of(&UNKNOWN, 429, body).matter, Matter::Credit);
}

#[test]
fn the_scope_of_a_provider_widens_only_what_is_generally_known() {
    let account = Provider {
        scope: Scope::Account,
        ..openrouter()
    };
    let model = Provider {
        scope: Scope::Model,
        ..openrouter()
    };
    assert_eq!(of(&account, 429, "").matter, Matter::AccountRate);
    assert_eq!(of(&model, 429, "").matter, Matter::ModelRate);
    let free = r#"{"error":{"code":429,"message":"Rate limit exceeded: free-models-per-min."}}"#;
    assert_eq!(of(&account, 429, free).matter, Matter::ModelRate);
}

fn openrouter() -> Provider {
    let known = PROVIDERS
        .iter()
        .find(|known| known.name == "openrouter")
        .unwrap();
    Provider { ..*known }
}
