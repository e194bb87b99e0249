//! Starting, detaching, stopping: the right process, and nobody else's.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::{
    CHAT, Client, DEADLINE, Home, MODELS, Proxy, Upstream, chat, chat_stream, config, eventually,
    free_port, keys, mock, pair, pair_with,
};

/// A detached proxy; stopped when dropped, whatever became of the test.
struct Detached {
    home: Home,
    port: u16,
}

impl Detached {
    #[track_caller]
    fn start(home: &Home, args: &[&str]) -> Self {
        home.run(args, &[("PORT", "0")])
            .is(0)
            .says(&["http://127.0.0.1:", "stop"]);
        let records = records(home);
        assert_eq!(records.len(), 1, "{records:?}");
        Self {
            home: home.clone(),
            port: u16::try_from(records[0]["port"].as_u64().unwrap()).unwrap(),
        }
    }

    fn pid(&self) -> u64 {
        records(&self.home)[0]["pid"].as_u64().unwrap()
    }
}

impl Drop for Detached {
    fn drop(&mut self) {
        for record in records(&self.home) {
            let _ = Command::new("kill").arg(record["pid"].to_string()).output();
        }
    }
}

/// What running instances have noted about themselves.
fn records(home: &Home) -> Vec<Value> {
    let files = home.state_files().into_iter();
    files
        .filter(|(path, _)| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .filter_map(|(_, text)| serde_json::from_str(&text).ok())
        .collect()
}

fn is_listening(port: u16) -> bool {
    std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
}

#[test]
fn start_prints_the_status_if_one_runs_already_and_that_is_no_failure() {
    let (_mock, mut proxy) = pair(2);
    let port = proxy.port.to_string();
    for args in [
        &["start", "--port", port.as_str()][..],
        &["start", "--detach", "--port", &port],
    ] {
        let output = proxy.home.run(args, &[]);
        output
            .is(0)
            .says(&["lready running", &port, "Sessions:", "Key #1"]);
    }
    assert_eq!(proxy.ended(), None, "the first one lives");
    proxy.turn("s", &chat("hi")).is(200);
}

#[test]
fn start_on_a_port_of_another_program_is_a_failure_that_says_so() {
    let stranger = Upstream::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
    let home = Home::new();
    home.write_config(&json!({"keys": keys(1), "port": stranger.port()}));
    let port = stranger.port().to_string();
    home.run(&["start"], &[]).is(1).says(&[&port, "--port"]);
    home.run(&["status"], &[]).is(1).says(&["another program"]);
}

#[test]
fn start_detach_returns_when_it_serves_and_stop_ends_it() {
    let mock = mock(2);
    let home = Home::new();
    home.write_config(&config(&mock.url(), 2, json!({})));
    let detached = Detached::start(&home, &["start", "--detach"]);
    // No waiting: it is ready.
    let mut client = Client::connect(detached.port);
    client.send("GET", MODELS, &[], b"");
    client.read().is(200);
    let port = detached.port.to_string();
    home.run(&["status", "--port", &port], &[])
        .is(0)
        .says(&["Key #1"]);
    assert_ne!(detached.pid(), u64::from(std::process::id()));
    let pid = detached.pid().to_string();
    home.run(&["stop", "--port", &port], &[])
        .is(0)
        .says(&["topped", &pid]);
    assert!(
        !is_listening(detached.port),
        "it is gone when `stop` returns"
    );
    assert!(records(&home).is_empty(), "and has left nothing behind");
    home.run(&["stop", "--port", &port], &[])
        .is(1)
        .says(&["not running"]);
}

#[test]
fn a_detached_proxy_writes_a_private_log() {
    let mock = mock(1);
    let home = Home::new();
    home.write_config(&config(&mock.url(), 1, json!({})));
    let detached = Detached::start(&home, &["start", "-d"]);
    let mut client = Client::connect(detached.port);
    client.send("POST", CHAT, &[], chat("hi").to_string().as_bytes());
    client.read().is(200);
    eventually("the request is in the log", || {
        let files = home.state_files();
        files.iter().any(|(path, text)| {
            path.extension().is_some_and(|extension| extension == "log") && text.contains(CHAT)
        })
    });
    #[cfg(unix)]
    for (path, _) in home.state_files() {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", path.display());
    }
}

#[test]
fn start_detach_that_cannot_start_says_why() {
    let home = Home::new();
    home.run(&["start", "--detach"], &[])
        .is(1)
        .says(&["API_KEYS"]);
    let stranger = Upstream::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
    home.write_config(&json!({"keys": keys(1), "port": stranger.port()}));
    home.run(&["start", "--detach"], &[])
        .is(1)
        .says(&[&stranger.port().to_string()]);
    assert!(records(&home).is_empty());
}

#[test]
fn stop_ends_the_proxy_on_its_port_and_no_other() {
    let (_mock, mut one) = pair(1);
    let mock = mock(1);
    one.home.write_config(&config(&mock.url(), 1, json!({})));
    let mut other = Proxy::start_in(&one.home, &["start"], &[]);
    one.announced();
    other.announced();
    one.home
        .run(&["stop", "--port", &one.port.to_string()], &[])
        .is(0);
    eventually("the one ends", || one.ended() == Some(Some(0)));
    assert_eq!(other.ended(), None);
    other.turn("s", &chat("hi")).is(200);
}

#[test]
fn stop_does_not_touch_another_program() {
    let stranger = Upstream::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
    let home = Home::new();
    let port = stranger.port().to_string();
    let output = home.run(&["stop", "--port", &port], &[]);
    output.is(1).says(&["another program", &port]);
    for request in stranger.requests() {
        assert!(request.line().starts_with("GET "), "{}", request.line());
    }
    assert!(is_listening(stranger.port()));
}

#[test]
fn stop_does_not_end_what_has_taken_the_port_of_a_dead_proxy() {
    let (_mock, proxy) = pair(1);
    proxy.announced();
    let port = proxy.port;
    let home = proxy.end();
    assert_eq!(records(&home).len(), 1, "killed, it could not clean up");
    // Another user's proxy on the same port: another home, the same number.
    let mock = mock(1);
    let others = Home::new();
    others.write_config(&config(&mock.url(), 1, json!({"port": port})));
    let mut other = Proxy::start_in(&others, &["start"], &[("PORT", "")]);
    home.run(&["stop", "--port", &port.to_string()], &[]).is(1);
    assert_eq!(other.ended(), None);
    other.turn("s", &chat("hi")).is(200);
}

#[test]
fn stop_of_a_proxy_that_was_killed_says_that_it_does_not_run() {
    let (_mock, proxy) = pair(1);
    proxy.announced();
    let port = proxy.port.to_string();
    let home = proxy.end();
    home.run(&["stop", "--port", &port], &[])
        .is(1)
        .says(&["not running"]);
    assert!(records(&home).is_empty(), "what it had noted is cleaned up");
}

#[test]
fn stopping_over_http_needs_the_token_of_the_instance() {
    let (_mock, mut proxy) = pair(1);
    for headers in [
        &[][..],
        &[("authorization", "Bearer wrong")],
        &[("x-lb-token", "")],
    ] {
        let reply = proxy.ask("POST", "/_lb/stop", headers, b"");
        assert_eq!(reply.status, 403, "{reply:?}");
    }
    assert_eq!(proxy.ended(), None);
}

#[test]
fn a_proxy_that_wants_client_tokens_is_found_and_stopped() {
    let settings = json!({"client_tokens": ["client-token-0123456789-abcdefghijklmnop"]});
    let (_mock, mut proxy) = pair_with(1, settings);
    proxy.announced();
    let port = proxy.port.to_string();
    proxy
        .home
        .run(&["status", "--port", &port], &[])
        .is(0)
        .says(&["Key #0"]);
    proxy.home.run(&["stop", "--port", &port], &[]).is(0);
    eventually("it ends", || proxy.ended().is_some());
}

#[cfg(unix)]
fn signal(proxy: &Proxy, name: &str) {
    let status = Command::new("kill")
        .args(["-s", name, &proxy.pid().to_string()])
        .status();
    assert!(status.unwrap().success());
}

#[cfg(unix)]
#[test]
fn a_signal_lets_running_answers_finish() {
    for name in ["TERM", "INT"] {
        let mock = crate::support::mock_builder(1)
            .event_delay(std::time::Duration::from_millis(20))
            .start()
            .unwrap();
        let mut proxy = Proxy::start(config(&mock.url(), 1, json!({})));
        let mut client = proxy.client();
        client.send("POST", CHAT, &[], chat_stream("hi").to_string().as_bytes());
        assert!(mock.wait_until(DEADLINE, |counters| counters.total.in_flight == 1));
        signal(&proxy, name);
        let reply = client.read();
        reply.is(200);
        assert_eq!(reply.events().last().map(String::as_str), Some("[DONE]"));
        eventually("it ends", || proxy.ended() == Some(Some(0)));
        assert!(records(&proxy.home).is_empty());
    }
}

#[cfg(unix)]
#[test]
fn an_idle_client_connection_does_not_hold_up_the_end() {
    let (_mock, mut proxy) = pair_with(1, json!({"drain_timeout_ms": 60_000}));
    let mut client = proxy.client();
    client.send("GET", MODELS, &[], b"");
    client.read().is(200);
    let _silent = proxy.client();
    signal(&proxy, "TERM");
    eventually("it ends", || proxy.ended() == Some(Some(0)));
}

#[cfg(unix)]
#[test]
fn after_drain_timeout_ms_running_answers_are_cut() {
    let (mock, mut proxy) = pair_with(1, json!({"drain_timeout_ms": 200}));
    mock.fault(api_key_lb_mock::Fault::on("*").stall_after(1, None));
    let mut client = proxy.client();
    client.send("POST", CHAT, &[], chat_stream("hi").to_string().as_bytes());
    assert_eq!(client.head().status, 200);
    signal(&proxy, "TERM");
    eventually("it ends", || proxy.ended().is_some());
}

#[test]
fn two_start_at_once_on_one_port_and_one_of_them_serves() {
    let mock = mock(1);
    let home = Home::new();
    let port = free_port();
    home.write_config(&config(&mock.url(), 1, json!({"port": port})));
    let mut children: Vec<_> = (0..2)
        .map(|_| home.command(&["start"], &[]).spawn().unwrap())
        .collect();
    eventually("one of them ends", || {
        children
            .iter_mut()
            .any(|child| child.try_wait().unwrap().is_some())
    });
    let codes: Vec<Option<i32>> = children
        .iter_mut()
        .map(|child| child.try_wait().unwrap().and_then(|status| status.code()))
        .collect();
    let serves = is_listening(port);
    for mut child in children {
        let _ = child.kill();
        let _ = child.wait();
    }
    assert!(serves);
    assert!(
        codes.contains(&Some(0)) && codes.contains(&None),
        "{codes:?}"
    );
}
