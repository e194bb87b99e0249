//! `dashboard`: where the page is, who is told the token, and how the browser gets it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
#[cfg(target_os = "linux")]
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use crate::support::{
    Home, Proxy, RawRequest, Upstream, config, eventually, free_port, keys, mock, set_mode,
};

/// The token of the proxy on `port`, as it has noted it.
fn token(home: &Home, port: u16) -> String {
    let (_, noted) = home
        .state_files()
        .into_iter()
        .find(|(path, _)| path.ends_with(format!("{port}.json")))
        .unwrap();
    let noted: Value = serde_json::from_str(&noted).unwrap();
    noted["token"].as_str().unwrap().to_owned()
}

fn home(settings: Value) -> (Home, u16, api_key_lb_mock::Mock) {
    let mock = mock(1);
    let home = Home::new();
    let port = free_port();
    let mut config = config(&mock.url(), 1, settings);
    config["port"] = port.into();
    home.write_config(&config);
    (home, port, mock)
}

#[test]
fn the_token_goes_into_a_pipe_only_if_that_is_asked_for() {
    let (home, port, _mock) = home(json!({}));
    let _proxy = Proxy::start_in(&home, &["start", "--port", &port.to_string()], &[]);
    let token = token(&home, port);
    let page = format!("http://127.0.0.1:{port}/_lb/");
    let plain = home.run(&["dashboard", "--port", &port.to_string()], &[]);
    plain.is(0).says(&[&page, "`--print`"]);
    assert!(!plain.all().contains(&token));
    let whole = home.run(&["dashboard", "--print", "--port", &port.to_string()], &[]);
    whole.is(0).says(&[&format!("{page}#token={token}\n")]);
    assert!(!whole.all().contains(&keys(1)[0]));
}

#[cfg(target_os = "linux")]
#[test]
fn the_browser_is_led_to_the_page_without_the_token_among_its_arguments() {
    let (home, port, _mock) = home(json!({}));
    let _proxy = Proxy::start_in(&home, &["start", "--port", &port.to_string()], &[]);
    let given = home.path("given");
    let opener = format!("#!/bin/sh\nprintf '%s\\n' \"$*\" > {}\n", given.display());
    set_mode(&home.write("bin/xdg-open", &opener), 0o700);
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}", home.path("bin").display());
    let command = home
        .command(
            &["dashboard", "--open", "--port", &port.to_string()],
            &[("PATH", &path)],
        )
        .spawn()
        .unwrap();
    eventually("the browser is started", || {
        fs::read_to_string(&given).is_ok_and(|text| text.ends_with('\n'))
    });
    let given = fs::read_to_string(&given).unwrap();
    let token = token(&home, port);
    assert!(!given.contains(&token), "{given}");
    // Who sees the arguments of the browser, but is another user, learns nothing to ask for.
    assert!(!given.contains("http"), "{given}");
    let file = given.trim().strip_prefix("file://").unwrap().to_owned();
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let leading = fs::read_to_string(&file).unwrap();
    assert!(!leading.contains(&token), "{leading}");
    let (address, code) = leading
        .split_once("url=http://")
        .and_then(|(_, rest)| rest.split_once('"'))
        .and_then(|(url, _)| url.split_once('/'))
        .unwrap();
    let mut browser = TcpStream::connect(address).unwrap();
    write!(browser, "GET /{code} HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
    let mut answer = String::new();
    browser.read_to_string(&mut answer).unwrap();
    assert!(
        answer.contains(&format!(
            "\r\nLocation: http://127.0.0.1:{port}/_lb/#token={token}\r\n"
        )),
        "{answer}"
    );
    assert!(command.wait_with_output().unwrap().status.success());
    assert!(!fs::exists(&file).unwrap(), "it was used");
}

#[test]
fn where_no_browser_can_be_opened_another_way_is_named() {
    let (home, port, _mock) = home(json!({}));
    let _proxy = Proxy::start_in(&home, &["start", "--port", &port.to_string()], &[]);
    fs::create_dir_all(home.path("empty")).unwrap();
    let path = home.path("empty").display().to_string();
    home.run(
        &["dashboard", "--open", "--port", &port.to_string()],
        &[("PATH", &path)],
    )
    .is(1)
    .says(&["cannot open a browser", "`api-key-lb dashboard`"]);
}

#[test]
fn without_a_proxy_there_is_no_dashboard() {
    let (home, port, _mock) = home(json!({}));
    home.run(&["dashboard", "--port", &port.to_string()], &[])
        .is(1)
        .says(&[&format!("not running on port {port}"), "api-key-lb start"]);
}

#[test]
fn keys_enable_sends_the_token_to_nobody_but_the_proxy_that_noted_it() {
    const NOTED: &str = "noted-token-0123456789abcdef";
    let mock = mock(2);
    let home = Home::new();
    home.write_config(&config(&mock.url(), 2, json!({})));
    for (instance, sent) in [("noted", true), ("another", false)] {
        let key = json!({
            "id": 1, "key": "k...", "requests": 0, "errors": 0, "cache_hits": 0, "status": "disabled",
            "label": "key-2", "pool": "", "fingerprint": "0123456789abcdef",
        });
        let health = json!({
            "status": "ok", "target": mock.url(), "keys": [key], "sessions": 0, "uptime_ms": 5,
            "instance": instance, "config_file": home.config_path(),
        });
        let health = health.to_string();
        let length = health.len();
        let resident = Upstream::answering(format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{health}"
        ));
        let port = resident.port();
        let noted = json!({
            "pid": u32::MAX, "port": port, "instance": "noted", "token": NOTED, "started_ms": 0,
        });
        home.write(&format!("state/api-key-lb/{port}.json"), &noted.to_string());
        home.run(
            &["keys", "enable", "key-2", "--port", &port.to_string()],
            &[],
        )
        .is(0);
        let asked = resident.requests();
        assert!(!asked.is_empty(), "it was asked who it is");
        let has_token = |request: &RawRequest| request.header("x-lb-token") == Some(NOTED);
        assert_eq!(asked.iter().any(has_token), sent, "{instance}");
    }
}
