//! What is worth saying is said, for people.

use super::*;

fn state() -> State {
    let key = |label: &str, state: &str| {
        format!(
            r#"{{"fingerprint":"f","label":"{label}","pool":"","account":null,"state":"{state}",
                "in_flight":1,"headroom":[{{"what":"tokens","limit":1000,"remaining":250}},
                {{"what":"requests","limit":10,"remaining":9}}],"requests":1234,"errors":2,"throttles":3,
                "prompt":1000,"cached":910,"output":5,"sessions":4}}"#
        )
    };
    let health = r#"{"status":"ok","target":"https://h","sessions":1,"uptime_ms":1000,"keys":[
        {"id":0,"key":"sk-a...","requests":0,"errors":0,"cache_hits":0,"status":"ready","label":"one"},
        {"id":1,"key":"sk-b...","requests":0,"errors":0,"cache_hits":0,"status":"throttled","label":"two",
         "same_account_as":"one"}]}"#;
    let session = r#"{"id":"1a2b3c4d","full":"","pool":"","rule":null,"client":"codex/1","model":"m",
        "home":"one","moves":1,"requests":7,"prompt":102400,"cached":51200,"last_seen":90000}"#;
    let text = format!(
        r#"{{"health":{health},"keys":[{},{}],"sessions":[{session}],
            "totals":{{"requests":1240,"errors":1,"throttles":3,"prompt":1200000,"cached":1100000,
            "written":0,"output":34000,"waited_ms":1500,"cost_usd":1.234}},
            "saved":{{"cached_tokens":1100000,"usd":3.5,"throttles_hidden":3,"requests_rescued":1}},
            "problems":["two is lazy","and\nwide"],"now":100000}}"#,
        key("one", "ready"),
        key("two", "cooling").replace(
            r#""in_flight""#,
            r#""until_ms":112000,"reason":"rate limit","in_flight""#
        ),
    );
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn keys_and_sessions_are_tables_and_sums_are_sentences() {
    let text = anstream::adapter::strip_str(&text(&state())).to_string();
    let (_, shown) = text.split_once("  Requests:").unwrap();
    assert_eq!(
        format!("  Requests:{shown}"),
        "  Requests:  1,240 (1 failed, 3 throttled, waited 1.5 s)\n  \
         Tokens:    1.2M of prompts (91 % cached), 34k generated, $1.23\n  \
         Saved:     1.1M tokens from caches ($3.50), 3 throttles that no client saw, 1 request rescued\n  \
         Problems:  two is lazy\n             \
         and\n             wide\n\n  \
         Key                   State         Left                   Requests  Errors  Throttled  Cached  Sessions  Running\n  \
         Key #0 one (sk-a...)  ready         ██░░░░░░  25 % tokens     1,234       2          3    91 %         4        1\n  \
         Key #1 two (sk-b...)  cooling 12 s  ██░░░░░░  25 % tokens     1,234       2          3    91 %         4        1\n    \
         rate limit; shares the account of one, and so its limits\n\n  \
         Session   Client   Model  Home  Moves  Requests  Tokens  Cached  Last used\n  \
         1a2b3c4d  codex/1  m      one       1         7    102k    50 %  10 s ago"
    );
}

#[test]
fn money_has_as_many_digits_as_it_needs() {
    assert_eq!(
        [0.0, 12.345, 0.0123].map(money),
        ["$0.00", "$12.35", "$0.0123"]
    );
}
