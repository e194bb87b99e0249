//! `status` of a running proxy: its table, its JSON, and `--watch`.

use api_key_lb_mock::Fault;
use serde_json::Value;

use crate::support::{chat, eventually, key, pair};

#[test]
fn the_table_has_keys_sessions_and_what_was_saved() {
    let (mock, proxy) = pair(2);
    let fault = Fault::on(key(1)).times(1).status(429);
    mock.fault(fault.header("retry-after", "300"));
    // Which key is a session's is decided by its id; sooner or later it is the first one's turn.
    let asked = (1..=60).find(|number| {
        let reply = proxy.turn(&format!("s-{number}"), &chat("hi"));
        reply.is(200).header("x-lb-attempts") == Some("2")
    });
    let asked = asked.expect("a session of the first key");
    let port = proxy.port.to_string();
    eventually("all is counted", || {
        let state = proxy.get("/_lb/state").is(200).json();
        state["totals"]["requests"] == asked
    });
    let output = proxy.home.run(&["status", "--port", &port], &[]);
    output.is(0).says(&[
        &format!("Requests:  {asked} (0 failed, 1 throttled"),
        "1 throttle that no client saw, 1 request rescued",
        "Key #0 key-1",
        "cooling ",
        ", 1 model",
        "rate limit of the model",
        "Session ",
        "s ago",
    ]);
}

#[test]
fn json_has_all_of_health_and_the_rest_of_the_state() {
    let (_mock, proxy) = pair(2);
    proxy.turn("s", &chat("hi")).is(200);
    let port = proxy.port.to_string();
    let output = proxy.home.run(&["status", "--json", "-p", &port], &[]);
    let told: Value = serde_json::from_str(&output.is(0).stdout).unwrap();
    assert_eq!(told["status"], "ok");
    let state = proxy.get("/_lb/state").is(200).json();
    for field in ["keys", "sessions", "totals", "saved", "problems", "now"] {
        assert!(!told["state"][field].is_null(), "{field}: {told}");
        assert!(!state[field].is_null());
    }
    for (field, _) in proxy.health().as_object().unwrap() {
        assert!(told.get(field).is_some(), "{field}");
    }
}

#[test]
fn watching_needs_a_terminal() {
    let (_mock, proxy) = pair(1);
    let port = proxy.port.to_string();
    proxy
        .home
        .run(&["status", "--watch", "--port", &port], &[])
        .is(1)
        .says(&["--json"]);
}

#[cfg(target_os = "linux")]
#[test]
fn watching_draws_what_changes_on_a_screen_of_its_own() {
    use crate::support::Terminal;
    if !Terminal::is_possible() {
        return;
    }
    let (_mock, proxy) = pair(1);
    let port = proxy.port.to_string();
    let mut terminal = Terminal::start(&proxy.home, &["status", "--watch", "--port", &port], &[]);
    terminal
        .shows("\u{1b}[?1049h")
        .shows("Key #0")
        .shows("Ctrl-C");
    proxy.turn("s", &chat("hi")).is(200);
    terminal.shows("1 (0 failed").shows("Session");
}
