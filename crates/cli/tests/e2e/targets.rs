//! Where a request goes: the target's path, pools, and that no request chooses a host.

use api_key_lb_mock::Account;
use serde_json::json;

use crate::support::{
    Home, Proxy, Upstream, chat, config, free_port, key, keys, mock, mock_builder,
};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[track_caller]
fn arrives_as(base: &str, asked: &[&str], wanted: &str) {
    let mock = mock(1);
    let target = format!("{}{base}", mock.url());
    let proxy = Proxy::start(config(&target, 1, json!({})));
    for path in asked {
        proxy.post(path, &chat("hi")).is(200);
        assert_eq!(mock.requests().pop().unwrap().target, wanted, "{path}");
    }
}

#[test]
fn the_targets_path_is_honoured_without_being_repeated() {
    let asked = [
        "/api/v1/chat/completions",
        "/v1/chat/completions",
        "/chat/completions",
    ];
    arrives_as("/api/v1", &asked, "/api/v1/chat/completions");
    arrives_as("/api/v1/", &asked, "/api/v1/chat/completions");
}

#[test]
fn only_whole_segments_of_the_targets_path_count() {
    arrives_as(
        "/api/v1",
        &["/v1beta/chat/completions"],
        "/api/v1/v1beta/chat/completions",
    );
    arrives_as(
        "/v1",
        &["/v1/chat/completions", "/chat/completions"],
        "/v1/chat/completions",
    );
}

#[test]
fn a_target_without_a_path_takes_the_request_path_as_it_is() {
    arrives_as("", &["/v1/chat/completions"], "/v1/chat/completions");
    arrives_as(
        "/",
        &["/api/coding/paas/v4/chat/completions"],
        "/api/coding/paas/v4/chat/completions",
    );
}

/// Sends these bytes and says what arrived at the configured upstream, if anything did.
fn sent_raw(request: &str, evil: &Upstream) -> (u16, Option<String>) {
    let upstream = Upstream::answering(OK);
    let proxy = Proxy::start(config(&upstream.url(), 1, json!({})));
    let mut client = proxy.client();
    client.raw(request.replace("EVIL", &format!("127.0.0.1:{}", evil.port())));
    let reply = client.read();
    // What goes wrong after the answer must show too: one more exchange through the same worker.
    proxy.get("/v1/models").is(200);
    assert_eq!(evil.connections(), 0, "the request left for another host");
    let mut seen = upstream.requests();
    seen.pop();
    (
        reply.status,
        seen.pop().map(|request| request.line().to_owned()),
    )
}

#[test]
fn a_request_target_that_begins_with_two_slashes_stays_a_path() {
    let evil = Upstream::answering(OK);
    let (status, seen) = sent_raw(
        "GET //EVIL/v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n",
        &evil,
    );
    assert_eq!(status, 200);
    let wanted = format!("GET //127.0.0.1:{}/v1/models HTTP/1.1", evil.port());
    assert_eq!(seen, Some(wanted));
}

#[test]
fn a_request_target_that_names_a_host_is_sent_to_the_target_only() {
    let evil = Upstream::answering(OK);
    let (status, seen) = sent_raw(
        "GET http://EVIL/v1/models?a=1 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        &evil,
    );
    assert_eq!(status, 200);
    assert_eq!(seen.as_deref(), Some("GET /v1/models?a=1 HTTP/1.1"));
}

#[test]
fn a_request_target_that_names_a_foreign_host_is_misdirected() {
    let evil = Upstream::answering(OK);
    for target in ["http://evil.example/v1/models", "https://evil.example:1/v1"] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert_eq!(sent_raw(&request, &evil), (421, None), "{target}");
    }
}

#[test]
fn odd_request_targets_never_leave_for_another_host() {
    let evil = Upstream::answering(OK);
    for target in [
        "///EVIL/v1",
        "/\\EVIL/v1",
        "/@EVIL/v1",
        "/v1/..//EVIL/../x",
        "/http://EVIL/v1",
        "/v1/%2F%2FEVIL",
        "@EVIL/v1",
        ":@EVIL/v1",
        "EVIL",
        "http://localhost@EVIL/v1",
        "http:EVIL/v1",
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let (status, seen) = sent_raw(&request, &evil);
        match seen {
            Some(line) => assert!(line.starts_with("GET /"), "{target}: {line}"),
            None => assert!((400..500).contains(&status), "{target}: {status}"),
        }
    }
}

#[test]
fn a_target_on_ipv6_is_reached() {
    let Ok(mock) = mock_builder(1).bind("[::1]:0".parse().unwrap()).start() else {
        eprintln!("skipped: this machine has no ::1");
        return;
    };
    assert!(mock.url().starts_with("http://[::1]:"));
    let proxy = Proxy::start(config(&mock.url(), 1, json!({})));
    proxy.turn("s", &chat("hi")).is(200);
    let seen = mock.requests().pop().unwrap();
    assert_eq!(
        seen.header("host"),
        Some(mock.url().trim_start_matches("http://"))
    );
    assert_eq!(proxy.health()["target"], mock.url());
}

#[test]
fn the_proxy_listens_on_ipv6_loopback_too() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        eprintln!("skipped: this machine has no ::1");
        return;
    }
    let (_mock, proxy) = crate::support::pair(1);
    std::net::TcpStream::connect(("::1", proxy.port)).expect("[::1] at the same port");
}

#[test]
fn the_first_path_segment_chooses_a_pool() {
    let (one, two) = (mock(1), mock(2));
    let proxy = Proxy::start(json!({
        "target": one.url(),
        "keys": [key(1)],
        "pools": {"zai": {"target": format!("{}/api/paas/v4", two.url()), "keys": [key(2)]}},
    }));
    proxy.post("/v1/chat/completions", &chat("hi")).is(200);
    proxy.post("/zai/chat/completions", &chat("hi")).is(200);
    proxy
        .post("/zai/v4/chat/completions?x=1", &chat("hi"))
        .is(200);
    proxy.get("/zaire/v1/models").is(200);
    let targets = |mock: &api_key_lb_mock::Mock| -> Vec<(String, Option<String>)> {
        let seen = mock.requests().into_iter();
        seen.map(|request| (request.target, request.key)).collect()
    };
    let (first, second) = (Some(key(1)), Some(key(2)));
    assert_eq!(
        targets(&one),
        [
            ("/v1/chat/completions".to_owned(), first.clone()),
            ("/zaire/v1/models".to_owned(), first),
        ]
    );
    assert_eq!(
        targets(&two),
        [
            ("/api/paas/v4/chat/completions".to_owned(), second.clone()),
            ("/api/paas/v4/chat/completions?x=1".to_owned(), second),
        ]
    );
}

#[test]
fn without_a_default_pool_other_paths_are_404_and_the_pools_are_named() {
    let mock = mock(2);
    let pool = |number| json!({"target": mock.url(), "keys": [key(number)]});
    let proxy = Proxy::start(json!({"pools": {"zai": pool(1), "router": pool(2)}}));
    let reply = proxy.post("/v1/chat/completions", &chat("hi"));
    reply.is_own(404, "unknown_pool");
    let message = reply.message();
    assert!(
        message.contains("/zai/") && message.contains("/router/"),
        "{message}"
    );
    proxy.post("/zai/v1/chat/completions", &chat("hi")).is(200);
    proxy
        .post("/router/v1/chat/completions", &chat("hi"))
        .is(200);
    assert_eq!(proxy.health()["pools"].as_array().unwrap().len(), 2);
}

#[test]
fn the_same_session_in_two_pools_is_served_by_each_pools_own_keys() {
    let mock = mock(4);
    let proxy = Proxy::start(json!({
        "target": mock.url(), "keys": [key(1), key(2)],
        "pools": {"other": {"target": mock.url(), "keys": [key(3), key(4)]}},
    }));
    for number in 0..6 {
        let id = format!("s{number}");
        let ask = |path: &str| {
            let body = chat("hi").to_string();
            let reply = proxy.ask("POST", path, &[("x-session-id", &id)], body.as_bytes());
            let affinity = reply.is(200).header("x-lb-affinity").unwrap().to_owned();
            (crate::support::last_key(&mock), affinity)
        };
        let (own, other) = (
            ask("/v1/chat/completions"),
            ask("/other/v1/chat/completions"),
        );
        assert!(keys(2).contains(&own.0), "{own:?}");
        assert!([key(3), key(4)].contains(&other.0), "{other:?}");
        // Each pool keeps a home of its own for the session: neither use moves the other's.
        let home = |key: String| (key, "home".to_owned());
        assert_eq!(ask("/v1/chat/completions"), home(own.0));
        assert_eq!(ask("/other/v1/chat/completions"), home(other.0));
    }
}

#[test]
fn a_key_with_a_target_of_its_own_is_sent_only_there() {
    let one = mock(1);
    let two = mock_builder(0)
        .account(Account::new("other").key("sk-of-the-other-target-77"))
        .start()
        .unwrap();
    let proxy = Proxy::start(json!({
        "target": one.url(),
        "keys": [key(1), {"key": "sk-of-the-other-target-77", "target": two.url()}],
    }));
    for _ in 0..6 {
        proxy.get("/v1/models").is(200);
    }
    let keys_at = |mock: &api_key_lb_mock::Mock| -> Vec<String> {
        let mut keys: Vec<_> = mock
            .requests()
            .into_iter()
            .filter_map(|request| request.key)
            .collect();
        keys.dedup();
        keys
    };
    assert_eq!(keys_at(&one), [key(1)]);
    assert_eq!(keys_at(&two), ["sk-of-the-other-target-77"]);
}

#[test]
fn a_target_that_is_the_proxy_itself_is_refused_at_the_start() {
    let port = free_port();
    for host in ["127.0.0.1", "localhost", "[::1]", "0.0.0.0"] {
        let home = Home::new();
        let target = format!("http://{host}:{port}");
        home.write_config(&json!({"target": target, "keys": keys(1), "port": port}));
        let output = home.run(&["start"], &[]);
        output.is(1).says(&["target", &port.to_string()]);
        assert!(output.stdout.is_empty(), "{output:?}");
    }
}

#[test]
fn a_target_that_turns_out_to_be_the_proxy_itself_is_508() {
    use std::net::ToSocketAddrs as _;
    let hostname = std::process::Command::new("hostname").output();
    let hostname = hostname.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let candidates = [
        hostname.unwrap_or_default(),
        "ip6-localhost".into(),
        "ip6-loopback".into(),
    ];
    let name = candidates.iter().find(|name| {
        let resolved = (name.as_str(), 1).to_socket_addrs();
        !name.is_empty()
            && *name != "localhost"
            && resolved
                .is_ok_and(|mut found| found.next().is_some_and(|one| one.ip().is_loopback()))
    });
    let Some(name) = name else {
        eprintln!("skipped: no name but localhost resolves to loopback on this machine");
        return;
    };
    let port = free_port();
    let home = Home::new();
    home.write_config(&config(&format!("http://{name}:{port}"), 2, json!({})));
    let port = port.to_string();
    let proxy = Proxy::start_in(&home, &["start", "--port", &port], &[]);
    let reply = proxy.turn("s", &chat("hi"));
    reply.is_own(508, "loop");
    assert!(reply.message().contains("target"), "{}", reply.text());
}
