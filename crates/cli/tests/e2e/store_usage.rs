//! Usage as it is written down and shown, and what is known of owners after a crash.

use api_key_lb_mock::Fault;
use serde_json::{Value, json};

use crate::store::{Place, written};
use crate::support::{chat, chat_stream, eventually, key, last_key, mock, mock_builder};

#[test]
fn a_file_is_still_asked_of_its_account_after_kill_9() {
    const ACCOUNTS: usize = 3;
    let mock = mock_builder(ACCOUNTS).keeps_objects().start().unwrap();
    let place = Place::new(&mock, ACCOUNTS, json!({}));
    let proxy = place.start();
    let headers = [("content-type", "multipart/form-data; boundary=b")];
    let body = b"--b\r\n\r\nwords\r\n--b--\r\n";
    let mut files = Vec::new();
    for _ in 0..2 * ACCOUNTS {
        let made = proxy.ask("POST", "/v1/files", &headers, body);
        let id = made.is(200).json()["id"].as_str().unwrap().to_owned();
        files.push((id, last_key(&mock)));
    }
    written(&proxy);
    // With SIGKILL.
    proxy.end();
    let proxy = place.start();
    for (id, owner) in files {
        let target = format!("/v1/files/{id}");
        proxy.ask("DELETE", &target, &[], b"").is(200);
        assert_eq!(
            last_key(&mock),
            owner,
            "not looked for, which a DELETE must not be"
        );
    }
}

#[test]
fn usage_is_what_was_sent() {
    let mock = mock(2);
    let place = Place::new(&mock, 2, json!({"include_usage": true}));
    let proxy = place.start();
    mock.fault(
        Fault::on(key(1))
            .times(1)
            .status(429)
            .header("retry-after-ms", "50"),
    );
    let (mut prompt, mut output) = (0, 0);
    for number in 0..10 {
        let reply = proxy.turn(&format!("s{number}"), &chat("hello there"));
        let usage = &reply.is(200).json()["usage"];
        prompt += usage["prompt_tokens"].as_u64().unwrap();
        output += usage["completion_tokens"].as_u64().unwrap();
    }
    for number in 0..5 {
        let mut body = chat_stream("hello");
        body["model"] = "other".into();
        proxy.turn(&format!("t{number}"), &body).is(200);
    }
    let mut rows = Value::Null;
    eventually("it is counted", || {
        rows = place.usage(&["--by", "model"]);
        rows["total"]["requests"] == 15
    });
    let row = |model: &str| {
        let rows = rows["rows"].as_array().unwrap();
        rows.iter()
            .find(|row| row["model"] == model)
            .unwrap()
            .clone()
    };
    assert_eq!(row("m")["requests"], 10);
    assert_eq!(
        (row("m")["prompt"].as_u64(), row("m")["output"].as_u64()),
        (Some(prompt), Some(output))
    );
    assert_eq!(
        (&row("m")["throttles"], &row("m")["errors"]),
        (&json!(1), &json!(0))
    );
    assert_eq!(row("other")["requests"], 5);
    assert!(row("other")["prompt"].as_u64().unwrap() > 0);
    let table = place.home.run(&["usage"], &[]);
    table
        .is(0)
        .says(&["When (UTC)", "Throttled", "other", "Total", "15"]);
    // What was counted is added to after a restart.
    place.stop(proxy);
    let proxy = place.start();
    proxy.turn("u", &chat("hi")).is(200);
    eventually("it goes on", || place.usage(&[])["total"]["requests"] == 16);
    let by_key = place.usage(&["--by", "key", "--since", "1d"]);
    let of_keys = by_key["rows"].as_array().unwrap();
    assert_eq!(of_keys.len(), 2, "{by_key}");
    assert!(
        of_keys
            .iter()
            .all(|row| row["key"].as_str().unwrap().starts_with("key")),
        "{by_key}"
    );
}

#[test]
fn pruning_removes_what_is_older_than_a_date_beside_a_running_proxy() {
    let mock = mock(1);
    let place = Place::new(&mock, 1, json!({}));
    let proxy = place.start();
    proxy.turn("s", &chat("hi")).is(200);
    eventually("it is counted", || {
        place.usage(&[])["total"]["requests"] == 1
    });
    let kept = place
        .home
        .run(&["usage", "--prune", "--before", "2026-01-01"], &[]);
    kept.is(0).says(&["Removed 0 rows of usage and 0 sessions"]);
    let gone = place
        .home
        .run(&["usage", "--prune", "--before", "2999-01-01"], &[]);
    gone.is(0).says(&["Removed 1 row of usage"]);
    assert_eq!(place.usage(&[])["total"]["requests"], 0);
    place
        .home
        .run(&["usage"], &[])
        .is(0)
        .says(&["Nothing was used yet"]);
    proxy.turn("s", &chat("hi")).is(200);
    eventually("it is counted again", || {
        place.usage(&[])["total"]["requests"] == 1
    });
    place
        .home
        .run(&["usage", "--prune", "--before", "soon"], &[])
        .is(2);
    place.home.run(&["usage", "--since", "soon"], &[]).is(2);
    place
        .home
        .run(&["usage", "--before", "2026-01-01"], &[])
        .is(2);
}

#[test]
fn usage_says_what_it_cost_and_which_session_has_used_what() {
    let mock = mock(2);
    let prices = json!({"priced": {"input": 1e3, "cached": 100, "output": 2e3}});
    let place = Place::new(&mock, 2, json!({"prices": prices}));
    let proxy = place.start();
    let (mut prompt, mut cached, mut output) = (0, 0, 0);
    for _ in 0..3 {
        let mut body = chat(&"some words that are told again and again ".repeat(400));
        body["model"] = "priced-2026-01-02".into();
        let reply = proxy.turn("s", &body);
        let usage = &reply.is(200).json()["usage"];
        prompt += usage["prompt_tokens"].as_u64().unwrap();
        cached += usage["prompt_tokens_details"]["cached_tokens"]
            .as_u64()
            .unwrap_or(0);
        output += usage["completion_tokens"].as_u64().unwrap();
    }
    proxy.turn("t", &chat("hi")).is(200);
    let mut told = Value::Null;
    eventually("it is counted", || {
        told = place.usage(&["--by", "session"]);
        told["total"]["requests"] == 4
    });
    assert!(cached > 0, "the mock has a cache");
    let rows = told["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 2, "{told}");
    assert_eq!(rows[0]["requests"], 1, "the last used comes first");
    assert_eq!(rows[0]["cost_usd"], Value::Null);
    assert!(rows[0]["unpriced_tokens"].as_u64().unwrap() > 0);
    assert_eq!(rows[1]["prompt"], prompt);
    let expected = ((prompt - cached) * 1000 + cached * 100 + output * 2000) as f64 / 1e6;
    let near = |value: &Value, to: f64| (value.as_f64().unwrap() - to).abs() < 1e-9;
    assert!(near(&rows[1]["cost_usd"], expected), "{told}");
    assert!(
        near(&rows[1]["saved_usd"], (cached * 900) as f64 / 1e6),
        "{told}"
    );
    assert_eq!(rows[1]["session_full"].as_str().unwrap().len(), 32);
    assert!(rows[1]["last_used"].as_u64().unwrap() <= rows[0]["last_used"].as_u64().unwrap());
    assert_eq!(told["unpriced_models"], json!(["m"]));
    assert_eq!(told["prices"]["own"], 1);
    let table = place.home.run(&["usage"], &[]);
    table.is(0).says(&[
        "Cost",
        "Saved",
        " + ?",
        "no price is known for m",
        "estimates",
    ]);
    let both = place.usage(&["--by", "session,key,model", "--since", "1h"]);
    assert_eq!(both["rows"][1]["model"], "priced-2026-01-02");
    place
        .home
        .run(&["usage", "--by", "session,day"], &[])
        .is(2)
        .says(&["over all their time"]);
    place.home.write_config(&json!({"prices": {"m": 1}}));
    let wrong = place
        .home
        .run(&["usage", "--port", &proxy.port.to_string()], &[]);
    wrong.is(0).says(&["`prices` must be", "shipped prices"]);
}
