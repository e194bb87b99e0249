//! Metrics as Prometheus reads them. What a real one makes of them is looked at by `./test metrics`.

use std::collections::BTreeMap;

use api_key_lb_mock::{ANY_KEY, Fault};
use serde_json::json;

use crate::support::{Proxy, chat, config, eventually, key, mock};

const PATH: &str = "/_lb/metrics";

/// Every series with its value.
fn series(proxy: &Proxy) -> BTreeMap<String, f64> {
    let reply = proxy.get(PATH);
    let text = reply.is(200).text();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let mut found = BTreeMap::new();
    for line in lines {
        let (name, value) = line.rsplit_once(' ').unwrap();
        let before = found.insert(name.to_owned(), value.parse().unwrap());
        assert_eq!(before, None, "{name} is there twice");
    }
    found
}

/// The sum of all series that begin so.
fn sum(proxy: &Proxy, beginning: &str) -> f64 {
    let all = series(proxy);
    let of = all.iter().filter(|(name, _)| name.starts_with(beginning));
    of.map(|(_, value)| value).sum()
}

#[test]
fn what_clients_asked_is_counted_once_and_what_is_ours_not_at_all() {
    let mock = mock(2);
    let proxy = Proxy::start(config(&mock.url(), 2, json!({})));
    // Which key the first session gets is decided by its id and the port of the mock.
    let throttle = Fault::on(ANY_KEY).times(1).status(429);
    mock.fault(throttle.header("retry-after", "300"));
    let mut throttled = "";
    for number in 0..4 {
        let reply = proxy.turn(&format!("s{number}"), &chat("hi"));
        let served = reply.is(200).header("x-lb-key");
        throttled = if served == Some("key-1") {
            "key-2"
        } else {
            "key-1"
        };
        proxy.health();
        proxy.get("/_lb/");
        proxy.get("/_lb/state");
    }
    eventually("all are counted", || {
        sum(&proxy, "api_key_lb_requests_total") >= 4.0
    });
    let all = series(&proxy);
    let of = |name: &str| {
        let name = name.replace("@KEY@", throttled);
        all.get(&name).copied().unwrap_or(-1.0)
    };
    assert_eq!(sum(&proxy, "api_key_lb_requests_total"), 4.0, "{all:?}");
    assert_eq!(sum(&proxy, "api_key_lb_attempts_total"), 5.0, "{all:?}");
    assert_eq!(
        of("api_key_lb_throttles_total{pool=\"default\",key=\"@KEY@\"}"),
        1.0
    );
    assert_eq!(
        of("api_key_lb_throttles_hidden_total{pool=\"default\"}"),
        1.0
    );
    assert_eq!(
        of("api_key_lb_requests_rescued_total{pool=\"default\"}"),
        1.0
    );
    assert_eq!(
        of("api_key_lb_key_state{pool=\"default\",key=\"@KEY@\",state=\"cooling\"}"),
        1.0
    );
    assert!(of("api_key_lb_key_cooldown_seconds{pool=\"default\",key=\"@KEY@\"}") > 0.0);
    assert_eq!(of("api_key_lb_sessions"), 4.0);
    assert_eq!(of("api_key_lb_facts_dropped_total"), 0.0);
}

#[test]
fn counters_go_on_over_a_reload_and_reloads_are_counted() {
    let mock = mock(2);
    let settings = config(&mock.url(), 2, json!({}));
    let proxy = Proxy::start(settings.clone());
    proxy.turn("a", &chat("hi")).is(200);
    let reloads = |result: &str| {
        let name = format!("api_key_lb_config_reloads_total{{result=\"{result}\"}}");
        series(&proxy)[&name]
    };
    assert_eq!((reloads("ok"), reloads("failed")), (0.0, 0.0));
    let mut other = settings.clone();
    other["max_wait_ms"] = 1234.into();
    proxy.home.write_config(&other);
    eventually("it is reloaded", || reloads("ok") > 0.0);
    other["max_wait_ms"] = "much".into();
    proxy.home.write_config(&other);
    eventually("it is not reloaded", || reloads("failed") > 0.0);
    let last = "api_key_lb_config_reload_last_successful";
    assert_eq!(series(&proxy)[last], 0.0);
    proxy.home.write_config(&settings);
    eventually("it is well again", || series(&proxy)[last] == 1.0);
    proxy.turn("a", &chat("hi")).is(200);
    eventually("both are counted", || {
        sum(&proxy, "api_key_lb_requests_total") >= 2.0
    });
}

#[test]
fn the_format_is_chosen_by_accept_and_nothing_secret_stands_there() {
    let mock = mock(2);
    let proxy = Proxy::start(config(&mock.url(), 2, json!({})));
    let mut body = chat("planted words");
    body["model"] = "planted-model".into();
    mock.fault(Fault::on("*").times(1).status(404));
    let headers = [
        ("x-session-id", "planted-session"),
        ("user-agent", "planted"),
    ];
    proxy.ask(
        "POST",
        "/v1/chat/completions?planted=1",
        &headers,
        body.to_string().as_bytes(),
    );
    eventually("it is counted", || {
        sum(&proxy, "api_key_lb_requests_total") >= 1.0
    });
    let plain = proxy.get(PATH);
    let kind = plain.is(200).header("content-type").unwrap();
    assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
    let accept = [("accept", "application/openmetrics-text;version=1.0.0")];
    let open = proxy.ask("GET", PATH, &accept, b"");
    let kind = open.is(200).header("content-type").unwrap();
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    assert!(open.text().ends_with("# EOF\n"));
    for page in [plain.text(), open.text()] {
        assert!(!page.contains("planted"), "{page}");
        assert!(!page.contains(&key(1)) && !page.contains(&key(2)), "{page}");
    }
    proxy.post(PATH, &json!({})).is(405);
}
