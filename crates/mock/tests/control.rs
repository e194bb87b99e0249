//! The control endpoints script and question a running mock over HTTP.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use api_key_lb_mock::{ActiveFault, Counters, Mock};
use serde_json::{Value, json};
use support::*;

fn control(mock: &Mock, method: &str, target: &str, body: &Value) -> Reply {
    let mut client = Client::connect(mock);
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    client.send(method, target, &[], body.as_bytes());
    client.read()
}

#[test]
fn counters_are_the_same_over_http() {
    let mock = mock();
    post(&mock, ONE, CHAT, &chat("hi"));
    post(&mock, "sk-unknown", CHAT, &chat("hi"));
    let shown: Counters = serde_json::from_value(get(&mock, "/_mock/counters").json()).unwrap();
    assert_eq!(shown.total.requests, 2, "control requests are not counted");
    assert_eq!(shown.key(ONE).unwrap().status(200), 1);
    assert_eq!(shown.key("sk-unknown").unwrap().status(401), 1);
    assert_eq!(shown.account("org-one").unwrap().requests, 1);
    assert_eq!(shown.keys, mock.counters().keys);
    assert!(shown.total.prompt_tokens > 0 && shown.total.output_tokens == 32);
}

#[test]
fn faults_are_installed_listed_and_removed() {
    let mock = mock();
    let faults = json!([
        {"key": ONE, "times": 1, "kind": "status", "status": 503},
        {"kind": "status", "status": 500, "path": "/chat"}]);
    let ids = control(&mock, "POST", "/_mock/faults", &faults).json();
    assert_eq!(ids, json!({"ids": [1, 2]}));
    let statuses = [0, 1].map(|_| post(&mock, ONE, CHAT, &chat("hi")).status);
    assert_eq!(statuses, [503, 500]);
    let listed: Vec<ActiveFault> =
        serde_json::from_value(get(&mock, "/_mock/faults").json()).unwrap();
    assert_eq!(
        listed.iter().map(|fault| fault.struck).collect::<Vec<_>>(),
        [1, 1]
    );
    assert_eq!(
        control(&mock, "DELETE", "/_mock/faults/2", &Value::Null).status,
        200
    );
    assert_eq!(
        control(&mock, "DELETE", "/_mock/faults/2", &Value::Null).status,
        404
    );
    assert_eq!(post(&mock, ONE, CHAT, &chat("hi")).status, 200);
    control(
        &mock,
        "POST",
        "/_mock/faults",
        &json!({"kind": "delay", "ms": 1}),
    );
    assert_eq!(
        control(&mock, "DELETE", "/_mock/faults", &Value::Null).status,
        200
    );
    assert_eq!(get(&mock, "/_mock/faults").json(), json!([]));
}

#[test]
fn nonsense_is_refused_and_changes_nothing() {
    let mock = mock();
    for body in [
        json!({"kind": "nope"}),
        json!({"kind": "status"}),
        json!([1]),
    ] {
        assert_eq!(
            control(&mock, "POST", "/_mock/faults", &body).status,
            400,
            "{body}"
        );
    }
    let mixed = json!([{"kind": "stall"}, {"kind": "nope"}]);
    assert_eq!(control(&mock, "POST", "/_mock/faults", &mixed).status, 400);
    assert!(mock.faults().is_empty());
    assert_eq!(
        control(&mock, "POST", "/_mock/accounts/org-one", &json!({"x": 1})).status,
        400
    );
    assert_eq!(
        control(&mock, "POST", "/_mock/accounts/nobody", &json!({})).status,
        404
    );
    assert_eq!(get(&mock, "/_mock/nothing").status, 404);
}

#[test]
fn limits_are_changed_one_by_one() {
    let mock = mock();
    let target = "/_mock/accounts/org-one";
    control(&mock, "POST", target, &json!({"rpm": 1, "tpm": 5000}));
    let limits = control(&mock, "POST", target, &json!({"tpm": null})).json();
    let expected = json!({"rpm": 1, "tpm": null, "output_tpm": null, "concurrency": null});
    assert_eq!(limits, expected);
    let statuses = [0, 1].map(|_| post(&mock, ONE, CHAT, &chat("hi")).status);
    assert_eq!(statuses, [200, 429]);
}

#[test]
fn requests_are_shown_and_forgotten() {
    let mock = mock();
    post(&mock, ONE, CHAT, &chat("hi"));
    let shown = get(&mock, "/_mock/requests").json();
    assert_eq!(shown[0]["key"], ONE);
    assert_eq!(shown[0]["account"], "org-one");
    assert_eq!(shown[0]["body"], chat("hi").to_string());
    assert_eq!(shown[0]["credentials"][0]["source"], "authorization");
    control(&mock, "DELETE", "/_mock/requests", &Value::Null);
    assert_eq!(get(&mock, "/_mock/requests").json(), json!([]));
}

#[test]
fn reset_forgets_counters_caches_faults_and_recordings() {
    let mock = mock();
    let body = chat(&"x".repeat(8_000));
    post(&mock, ONE, CHAT, &body);
    control(
        &mock,
        "POST",
        "/_mock/faults",
        &json!({"kind": "status", "status": 500}),
    );
    assert_eq!(
        control(&mock, "POST", "/_mock/reset", &Value::Null).status,
        200
    );
    assert_eq!(mock.counters().total.requests, 0);
    assert!(mock.requests().is_empty() && mock.faults().is_empty());
    let usage = post(&mock, ONE, CHAT, &body).json()["usage"].clone();
    assert_eq!(usage["prompt_tokens_details"]["cached_tokens"], 0);
}
