//! Keys are checked and limits are enforced, in the words of each dialect.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use api_key_lb_mock::{Account, Fault, Limits, Mock};
use serde_json::{Value, json};
use support::*;

#[test]
fn an_unknown_or_missing_key_is_refused_in_each_dialect() {
    let mock = mock();
    let reply = post(&mock, "sk-wrong-key", CHAT, &chat("hi"));
    assert_eq!(reply.status, 401);
    let expected = r#"{"error":{"message":"Incorrect API key provided: sk-w***.","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}"#;
    assert_eq!(reply.text(), expected);
    let mut client = Client::connect(&mock);
    client.send("POST", CHAT, &[], chat("hi").to_string().as_bytes());
    assert_eq!(client.read().json()["error"]["code"], "invalid_api_key");

    client.send("POST", MESSAGES, &[("x-api-key", "nope")], b"{}");
    let reply = client.read();
    let body = reply.json();
    assert_eq!((reply.status, &body["type"]), (401, &json!("error")));
    let error = json!({"type": "authentication_error", "message": "invalid x-api-key"});
    assert_eq!(body["error"], error);
    assert_eq!(body["request_id"].as_str(), reply.header("request-id"));

    client.send(
        "POST",
        "/v1beta/models/g:generateContent?key=nope",
        &[],
        b"{}",
    );
    let reply = client.read();
    assert_eq!(reply.status, 400);
    assert_eq!(
        reply.json()["error"]["details"][0]["reason"],
        "API_KEY_INVALID"
    );
}

#[test]
fn a_key_is_accepted_wherever_a_provider_accepts_it() {
    let mock = mock();
    let mut client = Client::connect(&mock);
    let body = chat("hi").to_string();
    let bearer = format!("bearer {ONE}");
    for header in [
        ("Authorization", bearer.as_str()),
        ("x-api-key", ONE),
        ("X-Goog-Api-Key", ONE),
        ("api-key", ONE),
    ] {
        client.send("POST", CHAT, &[header], body.as_bytes());
        assert_eq!(client.read().status, 200, "{header:?}");
    }
    client.send(
        "POST",
        &format!("{CHAT}?a=b&key={ONE}"),
        &[],
        body.as_bytes(),
    );
    assert_eq!(client.read().status, 200);
    assert_eq!(mock.counters().key(ONE).unwrap().requests, 5);
}

#[test]
fn two_keys_in_one_request_are_visible_in_the_recording() {
    let mock = mock();
    let mut client = Client::connect(&mock);
    let both = [("x-api-key", ONE), ("authorization", "Bearer other")];
    client.send("GET", "/v1/models", &both, b"");
    client.read();
    client.send(
        "GET",
        "/v1/models",
        &[("x-api-key", ONE), ("X-API-KEY", ONE)],
        b"",
    );
    client.read();
    client.send("GET", "/v1/models", &[("x-api-key", ONE)], b"");
    client.read();
    let seen: Vec<_> = mock
        .requests()
        .iter()
        .map(|one| {
            (
                one.has_conflicting_credentials(),
                one.has_repeated_credentials(),
            )
        })
        .collect();
    assert_eq!(seen, [(true, false), (false, true), (false, false)]);
}

fn limited(account: Account) -> Mock {
    Mock::builder().account(account.key(ONE)).start().unwrap()
}

#[test]
fn requests_per_minute_are_announced_and_enforced() {
    let mock = limited(Account::new("org-one").rpm(2));
    let first = post(&mock, ONE, CHAT, &chat("hi"));
    assert_eq!(first.header("x-ratelimit-limit-requests"), Some("2"));
    assert_eq!(first.header("x-ratelimit-remaining-requests"), Some("1"));
    assert_eq!(first.header("x-ratelimit-reset-requests"), Some("30s"));
    assert_eq!(
        first.header("x-ratelimit-limit-tokens"),
        None,
        "no such limit"
    );
    post(&mock, ONE, CHAT, &chat("hi"));
    let refused = post(&mock, ONE, CHAT, &chat("hi"));
    assert_eq!(refused.status, 429);
    assert_eq!(refused.header("x-ratelimit-remaining-requests"), Some("0"));
    let millis: u64 = refused.header("retry-after-ms").unwrap().parse().unwrap();
    assert!((25_000..=30_000).contains(&millis), "{millis}");
    let seconds = millis.div_ceil(1_000).to_string();
    assert_eq!(refused.header("retry-after"), Some(seconds.as_str()));
    let error = refused.json()["error"].clone();
    assert_eq!(
        (&error["type"], &error["code"]),
        (&json!("requests"), &json!("rate_limit_exceeded"))
    );
    let message = error["message"].as_str().unwrap();
    let start = "Rate limit reached for m in organization org-one on requests per min (RPM): \
        Limit 2, Used 2, Requested 1. Please try again in ";
    assert!(message.starts_with(start), "{message}");
    let counters = mock.counters();
    assert_eq!(
        (
            counters.key(ONE).unwrap().refused,
            counters.total.status(200)
        ),
        (1, 2)
    );
}

#[test]
fn tokens_per_minute_count_prompt_and_output_for_openai() {
    let mock = limited(Account::new("org-one").tpm(1_000));
    let body = json!({"model": "m", "max_tokens": 100,
        "messages": [{"role": "user", "content": "x".repeat(2_400)}]});
    let first = post(&mock, ONE, CHAT, &body);
    let total = first.json()["usage"]["total_tokens"].as_u64().unwrap();
    assert!((700..720).contains(&total));
    let remaining: u64 = first
        .header("x-ratelimit-remaining-tokens")
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(remaining, 1_000 - total);
    let refused = post(&mock, ONE, CHAT, &body);
    assert_eq!(refused.status, 429);
    let error = refused.json()["error"].clone();
    assert_eq!(error["type"], "tokens");
    let message = error["message"].as_str().unwrap();
    assert!(
        message.contains("on tokens per min (TPM): Limit 1000, Used 7"),
        "{message}"
    );
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((20..=26).contains(&seconds), "{seconds}");
}

#[test]
fn a_request_larger_than_the_limit_is_told_so() {
    let mock = limited(Account::new("org-one").tpm(100));
    let refused = post(&mock, ONE, CHAT, &chat(&"x".repeat(1_000)));
    assert_eq!((refused.status, refused.header("retry-after")), (429, None));
    let body = refused.json();
    assert!(
        body["error"]["message"]
            .as_str()
            .unwrap()
            .starts_with("Request too large for m")
    );
}

#[test]
fn a_limit_recovers_continuously() {
    let mock = limited(Account::new("org-one").rpm(600));
    let mut client = Client::connect(&mock);
    let refused = loop {
        client.post(ONE, CHAT, &chat("hi"));
        let reply = client.read();
        if reply.status == 429 {
            break reply;
        }
    };
    let wait: u64 = refused.header("retry-after-ms").unwrap().parse().unwrap();
    assert!(wait <= 100, "one request per 100 ms, not {wait}");
    assert_eq!(refused.header("retry-after"), Some("1"));
    std::thread::sleep(std::time::Duration::from_millis(wait));
    client.post(ONE, CHAT, &chat("hi"));
    assert_eq!(
        client.read().status,
        200,
        "after exactly the announced wait"
    );
}

#[test]
fn anthropic_limits_are_announced_and_enforced() {
    let mock = limited(Account::new("org-one").rpm(50).tpm(1_000_000));
    let reply = post(&mock, ONE, MESSAGES, &chat("hi"));
    for name in ["requests", "tokens", "input-tokens", "output-tokens"] {
        let header = |part: &str| {
            reply
                .header(&format!("anthropic-ratelimit-{name}-{part}"))
                .unwrap_or_else(|| panic!("{name}"))
        };
        let limit: u64 = header("limit").parse().unwrap();
        let remaining: u64 = header("remaining").parse().unwrap();
        assert!(remaining < limit, "{name}: {remaining} of {limit}");
        let reset = header("reset");
        assert!(reset.len() == 20 && reset.ends_with('Z'), "{reset}");
    }
    assert_eq!(
        post(&mock, ONE, MESSAGES, &chat(&"x".repeat(3_000_000))).status,
        200
    );
    let refused = post(&mock, ONE, MESSAGES, &chat(&"y".repeat(3_000_000)));
    assert_eq!(refused.status, 429);
    assert!(refused.header("retry-after").is_some() && refused.header("retry-after-ms").is_none());
    let body = refused.json();
    assert_eq!(body["error"]["type"], "rate_limit_error");
    let message = body["error"]["message"].as_str().unwrap();
    let start = "This request would exceed the rate limit for your organization (org-one) of \
        1,000,000 input tokens per minute.";
    assert!(message.starts_with(start), "{message}");
}

#[test]
fn cached_tokens_are_free_for_anthropic_and_not_for_openai() {
    let mock = limited(Account::new("org-one").tpm(10_000));
    let body = chat(&"x".repeat(20_000));
    for _ in 0..3 {
        assert_eq!(post(&mock, ONE, MESSAGES, &body).status, 200);
    }
    mock.reset();
    let statuses = [0, 1].map(|_| post(&mock, ONE, CHAT, &body).status);
    assert_eq!(statuses, [200, 429]);
}

#[test]
fn gemini_says_resource_exhausted() {
    let mock = limited(Account::new("org-one").rpm(1));
    let body = json!({"contents": []});
    let path = "/v1beta/models/g:generateContent";
    post(&mock, ONE, path, &body);
    let refused = post(&mock, ONE, path, &body);
    assert_eq!(refused.status, 429);
    let body = refused.json();
    assert_eq!(body["error"]["status"], "RESOURCE_EXHAUSTED");
    assert_eq!(body["error"]["details"][0]["retryDelay"], "60s");
}

#[test]
fn keys_of_one_account_share_its_limits() {
    let account = Account::new("org-one").key(ONE).key(TWO).rpm(1);
    let mock = Mock::builder().account(account).start().unwrap();
    assert_eq!(post(&mock, ONE, CHAT, &chat("hi")).status, 200);
    assert_eq!(post(&mock, TWO, CHAT, &chat("hi")).status, 429);
}

#[test]
fn concurrency_is_limited_and_freed_at_the_end_of_an_answer() {
    let mock = limited(Account::new("org-one").concurrency(1));
    mock.fault(Fault::on(ONE).times(1).stall_after(1, None));
    let mut slow = Client::connect(&mock);
    slow.post(ONE, CHAT, &chat_stream("hi"));
    assert!(mock.wait_until(DEADLINE, |counters| counters.total.status(200) == 1));
    let refused = post(&mock, ONE, CHAT, &chat("hi"));
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (429, Some("1"))
    );
    assert_eq!(
        post(&mock, ONE, MESSAGES, &chat("hi")).json()["error"]["type"],
        "rate_limit_error"
    );
    slow.leave();
    assert!(mock.wait_until(DEADLINE, |counters| counters.total.in_flight == 0));
    let mut client = Client::connect(&mock);
    for _ in 0..200 {
        client.post(ONE, CHAT, &chat("hi"));
        assert_eq!(
            client.read().status,
            200,
            "an answer that was read holds no slot"
        );
    }
}

#[test]
fn limits_can_change_while_running() {
    let mock = limited(Account::new("org-one").rpm(1));
    post(&mock, ONE, CHAT, &chat("hi"));
    assert_eq!(post(&mock, ONE, CHAT, &chat("hi")).status, 429);
    assert!(mock.set_limits("org-one", Limits::default()));
    assert!(!mock.set_limits("nobody", Limits::default()));
    let reply = post(&mock, ONE, CHAT, &chat("hi"));
    assert_eq!(
        (reply.status, reply.header("x-ratelimit-limit-requests")),
        (200, None)
    );
}

#[test]
fn requests_that_are_not_calls_are_not_limited() {
    let mock = limited(Account::new("org-one").rpm(1));
    let mut client = Client::connect(&mock);
    for _ in 0..3 {
        client.send("GET", "/v1/models", &[("x-api-key", ONE)], b"");
        assert_eq!(client.read().status, 200);
        client.post(ONE, "/v1/messages/count_tokens", &chat("hi"));
        let reply = client.read();
        assert!(matches!(reply.json()["input_tokens"], Value::Number(_)));
    }
}
