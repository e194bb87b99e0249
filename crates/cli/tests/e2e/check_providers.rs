//! `check` with providers that are known: their probes, their way of sending a key, and what costs.

use serde_json::json;

use crate::check::{REVOKED, checked, home, states};
use crate::support::{Connection, Home, MODELS, Upstream, config, key, mock};

/// An upstream that answers each path with a body, and any other with 404.
fn paths(answers: &'static [(&'static str, &'static str)]) -> Upstream {
    Upstream::start(move |connection: &mut Connection| {
        while let Some(request) = connection.request() {
            let path = request
                .line()
                .split(' ')
                .nth(1)
                .unwrap_or_default()
                .to_owned();
            let found = answers.iter().find(|(known, _)| *known == path);
            let (status, body) =
                found.map_or(("404 Not Found", "{}"), |(_, body)| ("200 OK", *body));
            let length = body.len();
            connection.write(format!(
                "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}"
            ));
        }
    })
}

fn behind(provider: &str, base: &str, upstream: &Upstream, key: &str) -> Home {
    let target = format!("{}{base}", upstream.url());
    home(&json!({"target": target, "provider": provider, "keys": [key]}))
}

#[test]
fn what_is_left_of_a_subscription_or_a_balance_is_said() {
    let zai = paths(&[(
        "/api/monitor/usage/quota/limit",
        r#"{"code":200,"success":true,"data":{"planName":"Pro","limits":[
            {"type":"TOKENS_LIMIT","unit":3,"number":5,"percentage":25},
            {"type":"TOKENS_LIMIT","unit":6,"number":1,"percentage":100}]}}"#,
    )]);
    let home = behind("zai", "/api/coding/paas/v4", &zai, &key(1));
    let (output, report) = checked(&home, &[]);
    output.is(0);
    let first = &report["keys"][0];
    assert_eq!(
        (&first["provider"], &first["state"]),
        (&json!("zai"), &json!("used_up"))
    );
    assert_eq!(
        first["left"],
        json!([{"kind": "window", "name": "5 h", "percent_left": 75.0, "reset_ms": null},
               {"kind": "window", "name": "1 week", "percent_left": 0.0, "reset_ms": null}])
    );
    home.run(&["check"], &[])
        .is(0)
        .says(&["used up", "Pro", "5 h 75 %, 1 week 0 %"]);

    let deepseek = paths(&[(
        "/user/balance",
        r#"{"is_available":false,"balance_infos":[{"currency":"CNY","total_balance":"0.00"}]}"#,
    )]);
    let home = behind("deepseek", "", &deepseek, &key(1));
    let (output, report) = checked(&home, &[]);
    output.is(1);
    assert_eq!(states(&report), ["no_credit"]);
    assert_eq!(report["keys"][0]["left"][0]["amount"], "0.00");
    assert_eq!(deepseek.requests().len(), 1);
}

#[test]
fn a_key_without_a_subscription_is_asked_about_by_the_list_of_models() {
    let upstream = Upstream::start(|connection: &mut Connection| {
        while let Some(request) = connection.request() {
            let known = request.header("authorization") == Some("Bearer sk-without-a-plan");
            let list = request.line().contains("/api/paas/v4/models");
            let (status, body) = match (known, list) {
                (true, true) => ("200 OK", r#"{"data":[]}"#),
                (true, false) => (
                    "200 OK",
                    r#"{"code":500,"success":false,"msg":"no coding plan"}"#,
                ),
                _ => (
                    "401 Unauthorized",
                    r#"{"error":{"code":"1000","message":"no"}}"#,
                ),
            };
            let length = body.len();
            connection.write(format!(
                "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}"
            ));
        }
    });
    let home = behind("zai", "/api/paas/v4", &upstream, "sk-without-a-plan");
    let (output, report) = checked(&home, &[]);
    output.is(0);
    assert_eq!(states(&report), ["valid"], "{report:#}");
    let home = behind("zai", "/api/paas/v4", &upstream, "sk-another-one-revoked");
    assert_eq!(states(&checked(&home, &[]).1), ["refused"]);
}

#[test]
fn a_key_of_anthropic_travels_as_anthropic_wants_it() {
    let mock = mock(1);
    let settings = json!({"target": mock.url(), "provider": "anthropic", "keys": [key(1)]});
    let home = home(&settings);
    let (output, report) = checked(&home, &["--paid", "--model", "m"]);
    output.is(0);
    assert_eq!(
        report["keys"][0]["owners"],
        json!([{"kind": "organization", "id": "org-01"}])
    );
    let requests = mock.requests();
    let targets: Vec<&str> = requests
        .iter()
        .map(|request| request.target.as_str())
        .collect();
    assert_eq!(targets, [MODELS, "/v1/messages"]);
    for request in &requests {
        assert_eq!(request.header("x-api-key"), Some(key(1).as_str()));
        assert_eq!(request.header("anthropic-version"), Some("2023-06-01"));
        assert_eq!(request.header("authorization"), None);
    }
}

#[test]
fn paid_generates_one_token_with_each_key_and_says_before_that_it_costs() {
    let mock = mock(2);
    let home = home(&config(&mock.url(), 2, json!({})));
    let output = home.run(&["check", "--paid", "--model", "m-1"], &[]);
    output.is(0);
    assert!(output.stderr.contains("`--paid` costs"), "{output:?}");
    let requests = mock.requests();
    let paid: Vec<_> = requests
        .iter()
        .filter(|request| request.method == "POST")
        .collect();
    assert_eq!(paid.len(), 2);
    for request in paid {
        assert_eq!(request.target, "/v1/chat/completions");
        let body = request.json();
        assert_eq!(
            (&body["model"], &body["max_tokens"]),
            (&json!("m-1"), &json!(1))
        );
    }
}

#[test]
fn paid_is_not_asked_of_a_key_that_is_refused() {
    let mock = mock(1);
    let home = home(&json!({"target": mock.url(), "keys": [REVOKED]}));
    home.run(&["check", "--paid", "--model", "m"], &[]).is(1);
    assert!(
        mock.requests()
            .iter()
            .all(|request| request.method == "GET")
    );
}
