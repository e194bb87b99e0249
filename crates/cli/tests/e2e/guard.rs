//! Who may use the proxy: Host, browsers, client tokens, addresses.

use serde_json::json;

use crate::support::{
    CHAT, Home, MESSAGES, MODELS, Proxy, chat, config, keys, mock, pair, pair_with,
};

const TOKEN: &str = "client-token-0123456789-abcdefghijklmnop";

/// A request head with these lines after the request line.
fn raw(proxy: &Proxy, lines: &str) -> crate::support::Reply {
    let mut client = proxy.client();
    client.raw(format!("GET {MODELS} HTTP/1.1\r\n{lines}\r\n"));
    client.read()
}

#[test]
fn loopback_names_are_allowed_as_host() {
    let (_mock, proxy) = pair(1);
    for host in [
        "127.0.0.1",
        "127.0.0.1:4577",
        "localhost",
        "LocalHost:1",
        "[::1]",
        "[::1]:99",
    ] {
        raw(&proxy, &format!("Host: {host}\r\n")).is(200);
    }
}

#[test]
fn a_foreign_host_is_421_and_the_setting_is_named() {
    let (mock, proxy) = pair(1);
    for host in [
        "evil.example",
        "evil.example:4577",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "10.0.0.1",
    ] {
        let reply = raw(&proxy, &format!("Host: {host}\r\n"));
        reply.is_own(421, "host_not_allowed");
        assert!(
            reply.message().contains("allowed_hosts"),
            "{}",
            reply.text()
        );
    }
    let mut client = proxy.client();
    client.raw("GET /health HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    client.read().is(421);
    assert_eq!(mock.counters().total.requests, 0);
}

#[test]
fn allowed_hosts_are_allowed() {
    let (_mock, proxy) = pair_with(1, json!({"allowed_hosts": ["box.local", "other.lan"]}));
    raw(&proxy, "Host: BOX.local:4577\r\n").is(200);
    raw(&proxy, "Host: other.lan\r\n").is(200);
    raw(&proxy, "Host: sub.box.local\r\n").is(421);
}

#[test]
fn a_missing_or_repeated_or_broken_host_is_400() {
    let (mock, proxy) = pair(1);
    raw(&proxy, "").is(400);
    raw(&proxy, "Host: localhost\r\nHost: localhost\r\n").is(400);
    raw(&proxy, "Host: localhost\r\nHost: evil.example\r\n").is(400);
    raw(&proxy, "Host: user@localhost\r\n").is(400);
    raw(&proxy, "Host: \r\n").is(400);
    assert_eq!(mock.counters().total.requests, 0);
}

#[test]
fn a_foreign_web_page_is_403_before_its_body_is_read() {
    let (mock, proxy) = pair(1);
    for header in [
        "Origin: https://evil.example",
        "Origin: null",
        "Origin: http://localhost.evil.example",
        "Origin: http://127.0.0.1:1",
        "Sec-Fetch-Site: cross-site",
        "Sec-Fetch-Site: same-site",
    ] {
        let mut client = proxy.client();
        // No byte of the announced body ever comes.
        client.raw(format!(
            "POST {CHAT} HTTP/1.1\r\nHost: 127.0.0.1:4577\r\n{header}\r\nContent-Length: 100000\r\n\r\n"
        ));
        let reply = client.read();
        reply.is_own(403, "origin_not_allowed");
        assert!(
            reply.message().contains("allowed_origins"),
            "{}",
            reply.text()
        );
        assert_eq!(reply.header("access-control-allow-origin"), None);
    }
    assert_eq!(mock.counters().total.requests, 0);
}

#[test]
fn health_is_no_business_of_a_foreign_web_page() {
    let (_mock, proxy) = pair(1);
    let headers = [("Origin", "https://evil.example")];
    proxy.ask("GET", "/health", &headers, b"").is(403);
}

#[test]
fn what_is_no_foreign_web_page_is_served() {
    let (_mock, proxy) = pair(1);
    raw(
        &proxy,
        "Host: localhost:4577\r\nOrigin: http://localhost:4577\r\nSec-Fetch-Site: same-origin\r\n",
    )
    .is(200);
    raw(&proxy, "Host: localhost:4577\r\nSec-Fetch-Site: none\r\n").is(200);
}

#[test]
fn allowed_origins_are_served_and_told_so() {
    let (_mock, proxy) = pair_with(1, json!({"allowed_origins": ["http://localhost:3000"]}));
    let origin =
        "Host: localhost\r\nOrigin: http://localhost:3000\r\nSec-Fetch-Site: cross-site\r\n";
    let reply = raw(&proxy, origin);
    reply.is(200);
    assert_eq!(
        reply.header("access-control-allow-origin"),
        Some("http://localhost:3000")
    );
    raw(
        &proxy,
        "Host: localhost\r\nOrigin: http://localhost:3001\r\n",
    )
    .is(403);
}

#[track_caller]
fn preflight(proxy: &Proxy) {
    let headers = [
        ("Origin", "http://localhost:3000"),
        ("Access-Control-Request-Method", "POST"),
        (
            "Access-Control-Request-Headers",
            "authorization,content-type,x-odd",
        ),
        ("Sec-Fetch-Site", "cross-site"),
    ];
    let reply = proxy.ask("OPTIONS", CHAT, &headers, b"");
    assert!((200..300).contains(&reply.status), "{reply:?}");
    assert_eq!(
        reply.header("access-control-allow-origin"),
        Some("http://localhost:3000")
    );
    let methods = reply.header("access-control-allow-methods").unwrap();
    assert!(methods == "*" || methods.contains("POST"), "{methods}");
    let allowed = reply.header("access-control-allow-headers").unwrap();
    assert!(
        allowed.contains("authorization") && allowed.contains("x-odd"),
        "{allowed}"
    );
}

#[test]
fn the_preflight_of_an_allowed_origin_is_answered_here() {
    let (mock, proxy) = pair_with(1, json!({"allowed_origins": ["http://localhost:3000"]}));
    preflight(&proxy);
    assert_eq!(mock.counters().total.requests, 0);
}

#[test]
fn the_preflight_of_an_allowed_origin_needs_no_client_token() {
    let settings = json!({"allowed_origins": ["http://localhost:3000"], "client_tokens": [TOKEN]});
    let (_mock, proxy) = pair_with(1, settings);
    preflight(&proxy);
    raw(
        &proxy,
        "Host: localhost\r\nOrigin: http://localhost:3000\r\n",
    )
    .is(401);
}

#[test]
fn the_preflight_of_another_origin_is_refused() {
    let (_mock, proxy) = pair_with(1, json!({"allowed_origins": ["http://localhost:3000"]}));
    let headers = [
        ("Origin", "http://evil.example"),
        ("Access-Control-Request-Method", "POST"),
    ];
    let reply = proxy.ask("OPTIONS", CHAT, &headers, b"");
    reply.is(403);
    assert_eq!(reply.header("access-control-allow-origin"), None);
}

#[test]
fn a_client_token_is_accepted_in_every_form_of_a_credential() {
    let (mock, proxy) = pair_with(
        1,
        json!({"client_tokens": ["other-token-of-somebody-else", TOKEN]}),
    );
    let bearer = format!("Bearer {TOKEN}");
    for (name, value) in [
        ("Authorization", bearer.as_str()),
        ("x-api-key", TOKEN),
        ("x-goog-api-key", TOKEN),
        ("api-key", TOKEN),
    ] {
        proxy.ask("GET", MODELS, &[(name, value)], b"").is(200);
    }
    proxy.get(&format!("{MODELS}?key={TOKEN}")).is(200);
    let seen = mock.requests();
    assert_eq!(seen.len(), 5);
    for request in &seen {
        let head = String::from_utf8_lossy(&request.head);
        assert!(!head.contains(TOKEN), "the token was forwarded:\n{head}");
        assert_eq!(request.credentials.len(), 1);
        assert_eq!(request.key.as_deref(), Some(keys(1)[0].as_str()));
    }
}

#[test]
fn without_a_valid_client_token_everything_is_401() {
    let (mock, proxy) = pair_with(1, json!({"client_tokens": [TOKEN]}));
    let partial = format!("Bearer {}", &TOKEN[..TOKEN.len() - 1]);
    for value in ["", "Bearer", "Bearer wrong", partial.as_str()] {
        let reply = proxy.ask("GET", MODELS, &[("Authorization", value)], b"");
        reply.is_own(401, "client_token");
        assert!(
            reply.message().contains("client_tokens"),
            "{}",
            reply.text()
        );
    }
    proxy.get(MODELS).is(401);
    proxy.get("/health").is(401);
    let reply = proxy.post(MESSAGES, &chat("hi"));
    reply.is(401);
    assert_eq!(reply.json()["error"]["type"], "authentication_error");
    assert_eq!(mock.counters().total.requests, 0);
}

#[test]
fn another_address_than_loopback_is_refused_without_client_tokens() {
    for host in ["0.0.0.0", "::", "192.168.7.7"] {
        let home = Home::new();
        home.write_config(&config(
            "http://127.0.0.1:9",
            1,
            json!({"host": host, "port": 0}),
        ));
        home.run(&["start"], &[])
            .is(1)
            .says(&["client_tokens", "host"]);
    }
    let home = Home::new();
    home.write_config(&config("http://127.0.0.1:9", 1, json!({"port": 0})));
    home.run(&["start", "--host", "0.0.0.0"], &[])
        .is(1)
        .says(&["client_tokens"]);
    home.run(&["start"], &[("AKLB_HOST", "0.0.0.0")])
        .is(1)
        .says(&["client_tokens"]);
}

#[test]
fn with_client_tokens_any_address_may_be_listened_on() {
    let mock = mock(1);
    let home = Home::new();
    let settings = json!({"host": "0.0.0.0", "port": 0, "client_tokens": [TOKEN]});
    home.write_config(&config(&mock.url(), 1, settings));
    let mut child = home.command(&["start"], &[]).spawn().unwrap();
    // It says `http://0.0.0.0:PORT`; the file that `stop` reads is easier to find the port in.
    let mut port = 0;
    crate::support::eventually("it notes its port", || {
        let files = home.state_files();
        let names = files
            .iter()
            .filter_map(|(path, _)| path.file_stem()?.to_str()?.parse().ok());
        port = names.max().unwrap_or(0);
        port != 0
    });
    let ask = |head: String| {
        let mut client = crate::support::Client::connect(port);
        client.raw(format!("GET {MODELS} HTTP/1.1\r\n{head}\r\n\r\n"));
        client.read().status
    };
    let status = (
        ask(format!("Host: 10.1.2.3:4577\r\nx-api-key: {TOKEN}")),
        ask("Host: 10.1.2.3:4577".to_owned()),
        ask(format!("Host: evil.example\r\nx-api-key: {TOKEN}")),
    );
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(status, (200, 401, 421));
}

#[test]
fn who_has_no_token_cannot_have_a_long_body_read() {
    const LONG: &str = "Content-Length: 33000000";
    let (_mock, proxy) = pair_with(1, json!({"client_tokens": [TOKEN]}));
    // All but ten bytes never come: whatever waits for them has taken them in.
    let begin = |line: &str, headers: &str| {
        let mut client = proxy.client();
        client.raw(format!(
            "{line} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}\r\n\r\n0123456789"
        ));
        client.read()
    };
    for path in ["/_lb/app.css", "/_lb/", "/_lb/why", "/_lb/stop"] {
        begin(&format!("POST {path}"), LONG).is_own(401, "client_token");
    }
    begin("GET /_lb/app.css", LONG).is(200);
    let with_token = format!("Authorization: Bearer {TOKEN}\r\n{LONG}");
    for path in ["/_lb/app.css", "/_lb/stop", "/_lb/keys/0/disable"] {
        begin(&format!("POST {path}"), &with_token).is_own(413, "body_too_large");
    }
    begin("POST /_lb/why", &with_token).is_own(403, "instance_token");
    begin("PUT /_lb/state", &with_token).is_own(405, "wrong_method");
    let piece = "x".repeat(5000);
    let mut client = proxy.client();
    client.raw(format!(
        "POST /_lb/stop HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n\
         Transfer-Encoding: chunked\r\n\r\n1388\r\n{piece}\r\n"
    ));
    client.read().is_own(413, "body_too_large");
}

#[test]
fn a_short_body_for_our_own_paths_is_not_waited_for_long() {
    let (_mock, proxy) = pair_with(1, json!({}));
    let mut client = proxy.client();
    let began = std::time::Instant::now();
    client
        .raw("POST /_lb/stop HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 20\r\n\r\n0123456789");
    client.read().is_own(408, "body_timeout");
    let took = began.elapsed();
    assert!(took < std::time::Duration::from_secs(15), "{took:?}");
}
