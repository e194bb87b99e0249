//! Reading the configuration again while requests run: SIGHUP, `reload`, and the file itself.

use std::fs;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    CHAT, DEADLINE, Home, Load, Output, Proxy, chat, chat_stream, config, eventually, homes, key,
    keys, mock_builder, pair, pair_with,
};

#[track_caller]
fn reload(proxy: &Proxy) -> Output {
    let port = proxy.port.to_string();
    proxy.home.run(&["reload", "--port", &port], &[])
}

fn labels(proxy: &Proxy) -> Vec<String> {
    let health = proxy.health();
    let keys = health["keys"].as_array().unwrap();
    let labels = keys.iter().map(|key| key["label"].as_str().unwrap());
    labels.map(str::to_owned).collect()
}

/// The keys of these numbers, in this order, each labelled by its own.
fn labelled(numbers: &[usize]) -> Value {
    let keys = numbers
        .iter()
        .map(|number| json!({"key": key(*number), "label": format!("k{number}")}));
    keys.collect()
}

/// Streams that are open while keys come and go.
const STREAMS: usize = 20;
const SESSIONS: usize = 120;

#[test]
fn keys_come_go_and_change_places_under_load_and_only_sessions_of_a_key_that_is_gone_move() {
    let mock = mock_builder(4)
        .record(1_000_000)
        .event_delay(Duration::from_millis(40))
        .output_tokens(80)
        .start()
        .unwrap();
    let proxy = Proxy::start(json!({"target": mock.url(), "keys": labelled(&[1, 2, 3])}));
    let load = Load::new(proxy.port, SESSIONS);
    let mut seen = 0;
    std::thread::scope(|scope| {
        let streams: Vec<_> = (0..STREAMS)
            .map(|at| {
                let mut client = proxy.client();
                scope.spawn(move || {
                    let body = chat_stream(&format!("stream {at}")).to_string();
                    client.send("POST", CHAT, &[], body.as_bytes());
                    client.read()
                })
            })
            .collect();
        assert!(mock.wait_until(DEADLINE, |counters| {
            counters.total.in_flight as usize >= STREAMS
        }));
        load.run(|| {
            load.turns(2);
            for numbers in [&[4, 3, 2, 1][..], &[1, 2, 3, 4], &[3, 4, 1]] {
                seen = mock.requests().len();
                let settings = json!({"target": mock.url(), "keys": labelled(numbers)});
                proxy.home.write_config(&settings);
                reload(&proxy).is(0).says(&["Configuration reloaded"]);
                let expected: Vec<String> = numbers.iter().map(|at| format!("k{at}")).collect();
                assert_eq!(labels(&proxy), expected);
                load.turns(2);
            }
        });
        for stream in streams {
            let reply = stream.join().unwrap();
            reply.is(200);
            assert_eq!(reply.events().last().map(String::as_str), Some("[DONE]"));
        }
    });
    assert_eq!(load.failures(), 0);
    let requests = mock.requests();
    let before = homes(&requests[..seen], SESSIONS);
    let all = homes(&requests, SESSIONS);
    let mut of_gone = 0;
    for (session, (before, all)) in before.iter().zip(&all).enumerate() {
        assert_eq!(
            before.len(),
            1,
            "{session} has moved although its key stayed"
        );
        if before[0] == key(2) {
            of_gone += 1;
            assert_eq!(all.len(), 2, "{session} moves once: {all:?}");
        } else {
            assert_eq!(before, all, "{session} has moved although its key stayed");
        }
    }
    assert!(
        of_gone > SESSIONS / 10,
        "of the key that is gone: {of_gone}"
    );
}

#[test]
fn a_change_of_the_file_is_enough_and_so_is_a_signal() {
    let (mock, proxy) = pair(1);
    proxy.home.write_config(&config(&mock.url(), 2, json!({})));
    eventually("the file is read again", || labels(&proxy).len() == 2);
    // As editors do it.
    let path = proxy.home.config_path();
    let text = config(&mock.url(), 3, json!({})).to_string();
    let new = proxy
        .home
        .write("home/.config/api-key-lb/config.json~", &text);
    fs::rename(new, &path).unwrap();
    eventually("a file that took its place is read", || {
        labels(&proxy).len() == 3
    });
    assert!(proxy.output().contains("Configuration reloaded"));
}

#[cfg(unix)]
#[test]
fn sighup_reads_the_configuration_again() {
    let (_mock, mut proxy) = pair(1);
    let status = Command::new("kill")
        .args(["-s", "HUP", &proxy.pid().to_string()])
        .status();
    assert!(status.unwrap().success());
    eventually("it says so", || {
        proxy.output().contains("nothing is different")
    });
    assert_eq!(proxy.ended(), None);
}

#[test]
fn a_secret_in_a_file_is_read_again_when_it_changes() {
    let (mock, proxy) = {
        let mock = mock_builder(2).start().unwrap();
        let home = Home::new();
        let path = home.write("secret", &key(1));
        home.write_config(
            &json!({"target": mock.url(), "keys": [format!("file:{}", path.display())]}),
        );
        (mock, Proxy::start_in(&home, &["start"], &[]))
    };
    proxy.turn("s", &chat("hi")).is(200);
    proxy.home.write("secret", &key(2));
    eventually("the new secret is used", || {
        proxy.turn("s", &chat("hi")).is(200);
        crate::support::last_key(&mock) == key(2)
    });
}

#[test]
fn a_wrong_file_leaves_the_plan_in_force_and_status_log_and_exit_code_say_so() {
    let (mock, proxy) = pair(2);
    let port = proxy.port.to_string();
    let good = config(&mock.url(), 2, json!({}));
    for (wrong, what) in [
        ("{\"keys\": [", "config.json:1"),
        ("{\"keys\": [\"a b\"]}", "space"),
        (
            "{\"keys\": [\"k\"], \"max_wait_ms\": \"soon\"}",
            "max_wait_ms",
        ),
    ] {
        let path = proxy.home.config_path();
        fs::write(&path, wrong).unwrap();
        reload(&proxy).is(1).says(&[what, "stays in force"]);
        let health = proxy.health();
        let text = health["config_error"]["text"].as_str().unwrap();
        assert!(text.contains(what), "{text}");
        assert!(health["config_error"]["since_ms"].is_u64());
        proxy
            .home
            .run(&["status", "--port", &port], &[])
            .is(0)
            .says(&["not in force", what]);
        assert!(proxy.output().contains("was not reloaded"));
        assert_eq!(labels(&proxy).len(), 2);
        proxy.turn("s", &chat("hi")).is(200);
    }
    proxy.home.write_config(&good);
    reload(&proxy).is(0);
    assert!(proxy.health().get("config_error").is_none());
    assert!(!proxy.output().contains(&key(1)[..20]), "no secret is said");
}

#[test]
fn a_wrong_file_that_is_put_right_needs_no_command() {
    let (mock, proxy) = pair(1);
    let trouble = || proxy.health().get("config_error").is_some();
    fs::write(proxy.home.config_path(), "{").unwrap();
    eventually("it is found wrong", trouble);
    proxy.home.write_config(&config(&mock.url(), 2, json!({})));
    eventually("it is right again", || !trouble());
    assert_eq!(labels(&proxy).len(), 2);
}

#[test]
fn reload_finds_the_only_proxy_when_the_broken_file_no_longer_says_its_port() {
    let (_mock, proxy) = pair(1);
    proxy.announced();
    fs::write(proxy.home.config_path(), "{").unwrap();
    let output = proxy.home.run(&["reload"], &[("PORT", "1")]);
    output.is(1).says(&["stays in force", "config.json:1"]);
}

#[test]
fn what_needs_a_restart_is_said_and_the_rest_counts() {
    let (mock, proxy) = pair(1);
    let port = proxy.port;
    let settings = json!({"workers": 3, "host": "127.0.0.1", "answer_headers": false});
    proxy.home.write_config(&config(&mock.url(), 2, settings));
    let output = reload(&proxy);
    output
        .is(0)
        .says(&["Needs a restart", "`workers` stays", "`host` stays"]);
    assert_eq!((labels(&proxy).len(), proxy.port), (2, port));
    let health = proxy.health();
    assert_eq!(health["needs_restart"].as_array().unwrap().len(), 2);
    assert_eq!(proxy.turn("s", &chat("hi")).header("x-lb-key"), None);
}

#[test]
fn a_running_answer_keeps_the_key_that_is_taken_away() {
    let mock = mock_builder(2)
        .event_delay(Duration::from_millis(30))
        .start()
        .unwrap();
    let proxy = Proxy::start(config(&mock.url(), 1, json!({})));
    let mut client = proxy.client();
    client.send("POST", CHAT, &[], chat_stream("hi").to_string().as_bytes());
    assert!(mock.wait_until(DEADLINE, |counters| counters.total.in_flight == 1));
    let settings = json!({"target": mock.url(), "keys": [key(2)]});
    proxy.home.write_config(&settings);
    reload(&proxy).is(0);
    proxy.turn("other", &chat("hi")).is(200);
    assert_eq!(crate::support::last_key(&mock), key(2));
    let reply = client.read();
    reply.is(200);
    assert_eq!(reply.events().last().map(String::as_str), Some("[DONE]"));
}

#[test]
fn ordering_over_http_needs_the_token_of_the_instance() {
    let (_mock, mut proxy) = pair_with(1, json!({}));
    for path in ["/_lb/reload", "/_lb/restart"] {
        for headers in [&[][..], &[("authorization", "Bearer wrong")]] {
            let reply = proxy.ask("POST", path, headers, b"");
            assert_eq!(reply.status, 403, "{reply:?}");
        }
    }
    assert_eq!(proxy.ask("GET", "/_lb/orders/1", &[], b"").status, 403);
    assert_eq!(proxy.ended(), None);
    assert_eq!(keys(1).len(), labels(&proxy).len());
}

#[test]
fn a_file_that_has_no_keys_cannot_be_read_or_is_gone_leaves_the_plan_in_force() {
    let (mock, proxy) = pair(2);
    let path = proxy.home.config_path();
    let good = config(&mock.url(), 2, json!({}));
    for wrong in ["no keys", "unreadable", "gone"] {
        fs::remove_file(&path).unwrap();
        match wrong {
            "no keys" => fs::write(&path, "{}").unwrap(),
            // Not even root can read it.
            "unreadable" => fs::create_dir(&path).unwrap(),
            _ => {}
        }
        reload(&proxy).is(1).says(&["stays in force"]);
        assert!(
            proxy.health()["config_error"]["text"].is_string(),
            "{wrong}"
        );
        proxy.turn("s", &chat("hi")).is(200);
        let _ = fs::remove_dir(&path);
        proxy.home.write_config(&good);
        reload(&proxy).is(0);
        assert!(proxy.health().get("config_error").is_none(), "{wrong}");
    }
}
