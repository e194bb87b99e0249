//! `check`: what it says of each key, what it sends to whom, and how it ends.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use api_key_lb_mock::{Account, Fault, Mock};
use serde_json::{Value, json};

use crate::support::{
    Connection, Home, MODELS, Output, Upstream, config, free_port, key, keys, mock,
};
use crate::tls::Authority;

pub const REVOKED: &str = "sk-revoked-Qw8zR2mXv5Lk9TfB3nYd7HsJ1cGp4Ea6";

pub fn home(config: &Value) -> Home {
    let home = Home::new();
    home.write_config(config);
    home
}

/// Runs `check --json` and reads what it printed.
pub fn checked(home: &Home, args: &[&str]) -> (Output, Value) {
    let args = [&["check", "--json"], args].concat();
    let output = home.run(&args, &[]);
    let report = serde_json::from_str(&output.stdout)
        .unwrap_or_else(|error| panic!("{error} in {output:?}"));
    (output, report)
}

pub fn states(report: &Value) -> Vec<&str> {
    let keys = report["keys"].as_array().unwrap();
    keys.iter()
        .map(|key| key["state"].as_str().unwrap())
        .collect()
}

fn codes(report: &Value) -> Vec<&str> {
    let warnings = report["warnings"].as_array().unwrap();
    warnings
        .iter()
        .map(|warning| warning["code"].as_str().unwrap())
        .collect()
}

fn answering(status: &str, headers: &str, body: &str) -> Upstream {
    Upstream::answering(format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n{body}",
        body.len()
    ))
}

#[test]
fn valid_keys_are_said_to_be_valid_with_their_organizations() {
    let mock = mock(2);
    let home = home(&config(&mock.url(), 2, json!({})));
    let (output, report) = checked(&home, &[]);
    output.is(0);
    assert_eq!(output.stderr, "");
    assert_eq!(report["usable"], true);
    assert_eq!(states(&report), ["valid", "valid"]);
    assert_eq!(report["warnings"], json!([]));
    let first = &report["keys"][0];
    assert_eq!(
        (&first["label"], &first["provider"], &first["pool"]),
        (&json!("key-1"), &json!("unknown"), &json!(""))
    );
    assert_eq!(
        first["owners"],
        json!([{"kind": "organization", "id": "org-01"}])
    );
    assert!(first["took_ms"].is_u64(), "{first}");
}

#[test]
fn a_key_is_asked_about_by_one_free_request_in_its_own_name() {
    let mock = mock(2);
    let home = home(&config(&mock.url(), 2, json!({})));
    home.run(&["check"], &[]).is(0);
    let requests = mock.requests();
    let shown: Vec<_> = requests
        .iter()
        .filter(|request| request.key.is_some())
        .collect();
    let mut used: Vec<String> = shown
        .iter()
        .filter_map(|request| request.key.clone())
        .collect();
    used.sort();
    assert_eq!(used, keys(2));
    for request in &requests {
        assert_eq!(
            (request.method.as_str(), request.target.as_str()),
            ("GET", MODELS)
        );
        assert!(!request.has_conflicting_credentials() && !request.has_repeated_credentials());
    }
    // The same request without any key tells whether the answer meant anything.
    assert_eq!(requests.len() - shown.len(), 2);
}

#[test]
fn the_table_is_all_that_is_printed_to_a_pipe() {
    let mock = mock(2);
    let home = home(&config(&mock.url(), 2, json!({})));
    let output = home.run(&["check"], &[]);
    output.is(0);
    assert_eq!(output.stderr, "");
    let lines: Vec<&str> = output.stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{lines:#?}");
    assert!(
        lines[0].starts_with("key    provider  state  account"),
        "{lines:#?}"
    );
    assert!(
        lines[1].starts_with("key-1  unknown   valid  org-01 "),
        "{lines:#?}"
    );
    assert!(!output.stdout.contains('\u{1b}'), "no colours in a pipe");
}

#[test]
fn a_revoked_key_is_refused_in_the_providers_words() {
    let mock = mock(1);
    let home =
        home(&json!({"target": mock.url(), "keys": [key(1), {"key": REVOKED, "label": "old"}]}));
    let (output, report) = checked(&home, &[]);
    output.is(1);
    assert_eq!(states(&report), ["valid", "refused"]);
    assert_eq!(codes(&report), ["refused"]);
    assert_eq!(report["warnings"][0]["keys"], json!(["old"]));
    let text = home.run(&["check"], &[]);
    text.is(1)
        .says(&["old is refused by", "Incorrect API key provided"]);
    assert!(!text.all().contains(&REVOKED[..12]), "{text:?}");
}

#[test]
fn a_throttled_key_is_valid_and_said_until_when() {
    let mock = mock(2);
    mock.fault(Fault::on(key(2)).status(429).header("retry-after", "600"));
    let home = home(&config(&mock.url(), 2, json!({})));
    let (output, report) = checked(&home, &[]);
    output.is(0);
    assert_eq!(states(&report), ["valid", "throttled"]);
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_millis();
    let wait = u128::from(report["keys"][1]["until_ms"].as_u64().unwrap()) - now;
    assert!((580_000..=600_000).contains(&wait), "{wait}");
    home.run(&["check"], &[])
        .is(0)
        .says(&["throttled until ", " UTC"]);
}

#[test]
fn a_key_without_credit_and_a_provider_with_trouble_are_told_apart() {
    let mock = mock(3);
    mock.fault(Fault::on(key(1)).status(402));
    mock.fault(Fault::on(key(2)).status(500));
    let home = home(&config(&mock.url(), 3, json!({})));
    let (output, report) = checked(&home, &[]);
    output.is(1);
    assert_eq!(states(&report), ["no_credit", "provider_fails", "valid"]);
    assert_eq!(codes(&report), ["no_credit", "provider_fails"]);
}

#[test]
fn rules_of_the_persons_own_say_how_a_key_stands() {
    let body = r#"{"error": {"code": "teapot_empty", "message": "short and stout"}}"#;
    let upstream = answering("418 I'm a teapot", "", body);
    let without = home(&config(&upstream.url(), 1, json!({})));
    assert_eq!(states(&checked(&without, &[]).1), ["unclear"]);
    let rule = json!({"status": 418, "code": "Teapot_*", "means": "credit"});
    let with = home(&config(&upstream.url(), 1, json!({"error_rules": [rule]})));
    let (output, report) = checked(&with, &[]);
    output.is(1);
    assert_eq!(states(&report), ["no_credit"]);
    assert_eq!(report["keys"][0]["reason"], "short and stout");
}

#[test]
fn an_upstream_that_stalls_holds_nobody_up() {
    let mock = mock(6);
    for number in 1..=5 {
        mock.fault(Fault::on(key(number)).stall(None));
    }
    let home = home(&config(&mock.url(), 6, json!({})));
    let begun = Instant::now();
    let (output, report) = checked(&home, &["--timeout", "1"]);
    let took = begun.elapsed();
    output.is(1);
    assert_eq!(states(&report)[..5], ["unreachable"; 5]);
    assert_eq!(states(&report)[5], "valid");
    assert_eq!(report["keys"][0]["reason"], "no answer within 1 s");
    // Four at once, so two rounds.
    assert!(
        (Duration::from_secs(2)..Duration::from_millis(4_800)).contains(&took),
        "{took:?}"
    );
}

#[test]
fn an_answer_that_never_ends_is_cut_off() {
    let upstream = Upstream::start(|connection: &mut Connection| {
        if connection.request().is_none() {
            return;
        }
        connection.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        connection.write_chunk("{");
        let blanks = " ".repeat(4096);
        for _ in 0..200 {
            connection.write_chunk(&blanks);
        }
        let _ = connection.request();
    });
    let home = home(&config(&upstream.url(), 1, json!({})));
    let begun = Instant::now();
    checked(&home, &["--timeout", "5"]);
    assert!(
        begun.elapsed() < Duration::from_secs(4),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn a_target_where_nobody_listens_is_unreachable() {
    let target = format!("http://127.0.0.1:{}", free_port());
    let home = home(&config(&target, 1, json!({})));
    let (output, report) = checked(&home, &[]);
    output.is(1);
    assert_eq!(states(&report), ["unreachable"]);
    home.run(&["check"], &[])
        .is(1)
        .says(&["unreachable", "cannot be reached", &target]);
}

#[test]
fn tls_is_verified_before_a_key_is_shown() {
    let authority = Authority::for_names(&["127.0.0.1"]);
    let mock = authority.mock(1);
    let (trusting, ca) = authority.home();
    trusting.write_config(&config(&mock.url(), 1, json!({"ca_file": ca})));
    let (output, report) = checked(&trusting, &[]);
    output.is(0);
    assert_eq!(states(&report), ["valid"]);
    mock.reset();
    let home = home(&config(&mock.url(), 1, json!({})));
    let (output, report) = checked(&home, &[]);
    output.is(1);
    assert_eq!(states(&report), ["unreachable"]);
    let reason = report["keys"][0]["reason"].as_str().unwrap().to_lowercase();
    assert!(reason.contains("certificate"), "{reason}");
    assert_eq!(mock.counters().total.requests, 0);
}

#[test]
fn keys_of_one_account_are_found_out() {
    let mock = Mock::builder()
        .account(Account::new("org-one").key(key(1)).key(key(2)))
        .account(Account::new("org-two").key(key(3)))
        .start()
        .unwrap();
    let separate = home(&config(&mock.url(), 3, json!({})));
    let (output, report) = checked(&separate, &[]);
    output.is(0);
    assert_eq!(codes(&report), ["one_account"]);
    assert_eq!(report["warnings"][0]["keys"], json!(["key-1", "key-2"]));
    separate.run(&["check"], &[]).is(0).says(&[
        "key-1 and key-2 look like one account",
        r#""account": "org-one""#,
    ]);
    let told = home(&json!({"target": mock.url(), "keys": [
        {"key": key(1), "account": "one"}, {"key": key(2), "account": "one"}, key(3)]}));
    let (_, report) = checked(&told, &[]);
    assert_eq!(report["warnings"], json!([]));
}

#[test]
fn a_redirect_is_not_followed() {
    let elsewhere = answering("200 OK", "", "{}");
    let location = format!("Location: {}/v1/models\r\n", elsewhere.url());
    let upstream = answering("302 Found", &location, "");
    let home = home(&config(&upstream.url(), 1, json!({})));
    let (output, report) = checked(&home, &[]);
    output.is(1).says(&["redirect"]);
    assert_eq!(states(&report), ["unclear"]);
    assert_eq!(elsewhere.requests().len(), 0);
}

#[test]
fn an_answer_that_anybody_gets_proves_nothing() {
    let upstream = answering("200 OK", "", r#"{"data":[]}"#);
    let home = home(&config(&upstream.url(), 1, json!({})));
    let (output, report) = checked(&home, &[]);
    output.is(1).says(&["without any key", "--paid"]);
    assert_eq!(states(&report), ["unclear"]);
    let requests = upstream.requests();
    let shown: Vec<Option<&str>> = requests
        .iter()
        .map(|request| request.header("authorization"))
        .collect();
    let bearer = format!("Bearer {}", key(1));
    assert_eq!(shown, [Some(bearer.as_str()), None]);
}

#[test]
fn nothing_that_an_upstream_repeats_shows_a_key() {
    let secret = REVOKED;
    let echo = format!(
        r#"{{"error":{{"message":"\u001b[2JIncorrect API key provided: {secret}, or {}. {}","code":"invalid_api_key"}}}}"#,
        &secret[8..30],
        "x".repeat(5000)
    );
    let owner = format!("openai-organization: org-{secret}\r\n");
    for status in ["401 Unauthorized", "429 Too Many Requests", "200 OK"] {
        let upstream = answering(status, &owner, &echo);
        let home = home(&json!({"target": upstream.url(), "keys": [secret]}));
        for args in [&["check"][..], &["check", "--json"]] {
            let output = home.run(args, &[]);
            output.is(1);
            let all = output.all();
            assert!(all.contains("Incorrect API key provided: ***"), "{all}");
            let shown = secret.len() / 3 + 1;
            for start in 0..=secret.len() - shown {
                assert!(!all.contains(&secret[start..start + shown]), "{all}");
            }
            assert!(!all.contains('\u{1b}') && !all.contains("u001b"), "{all}");
        }
        for (path, text) in home.state_files() {
            assert!(!text.contains(&secret[8..20]), "{path:?}");
        }
    }
}

#[test]
fn a_pool_can_be_chosen() {
    let mock = mock(3);
    let home = home(&json!({"target": mock.url(), "keys": [key(1)],
        "pools": {"second": {"target": mock.url(), "keys": [key(2), key(3)]}}}));
    let labels = |args: &[&str]| {
        let (_, report) = checked(&home, args);
        let keys = report["keys"].as_array().unwrap().clone();
        keys.iter()
            .map(|key| key["label"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(labels(&[]), ["key-1", "second-1", "second-2"]);
    assert_eq!(labels(&["--pool", "second"]), ["second-1", "second-2"]);
    assert_eq!(labels(&["--pool", "default"]), ["key-1"]);
    home.run(&["check", "--pool", "third"], &[])
        .is(2)
        .says(&["third", "default, second"]);
}

#[test]
fn wrong_usage_and_a_wrong_configuration_end_with_2_and_send_nothing() {
    let mock = mock(1);
    let good = home(&config(&mock.url(), 1, json!({})));
    for args in [
        &["check", "--paid"][..],
        &["check", "--model", "m"],
        &["check", "--timeout", "0"],
        &["check", "--timeout", "soon"],
        &["check", "--config", "missing.json"],
    ] {
        good.run(args, &[]).is(2);
    }
    let bad = home(&json!({"target": "not a url", "keys": [key(1)]}));
    bad.run(&["check"], &[]).is(2).says(&["target"]);
    Home::new().run(&["check"], &[]).is(2).says(&["no API key"]);
    assert_eq!(mock.counters().total.requests, 0);
}

#[test]
fn a_key_is_asked_about_through_the_outgoing_proxy() {
    let outgoing = answering("200 OK", "", r#"{"data":[]}"#);
    let home = home(&config("http://provider.test:8080/api", 1, json!({})));
    home.run(&["check"], &[("http_proxy", &outgoing.url())]);
    let asked = &outgoing.requests()[0];
    assert_eq!(
        asked.line(),
        "GET http://provider.test:8080/api/v1/models HTTP/1.1"
    );
    assert_eq!(asked.header("host"), Some("provider.test:8080"));
}
