//! Keys that programs tell: `cmd:` and `keychain:`, with scripts of ours in place of the system's.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::keys::{PLANTED, keys_with};
use crate::support::{
    Home, MODELS, Output, Proxy, chat, eventually, free_port, key, last_key, mock, set_mode,
};

/// Keeps what is stored in files; `LOCKED` makes it refuse.
const SECRET_TOOL: &str = r#"#!/bin/sh
echo "$@" >> "@DIR@/calls"
[ -f "@DIR@/LOCKED" ] && { echo "secret-tool: the collection is locked sk-planted-in-complaint" >&2; exit 1; }
case "$1" in
  lookup) [ -f "@DIR@/kept-$5" ] && cat "@DIR@/kept-$5" ;;
  store) cat > "@DIR@/kept-$6" ;;
esac
"#;

/// A home in which `secret-tool` is ours, and the PATH that has it so.
fn with_keychain() -> (Home, String) {
    let home = Home::new();
    let dir = home.path("fake");
    fs::create_dir_all(&dir).unwrap();
    let text = SECRET_TOOL.replace("@DIR@", &dir.display().to_string());
    set_mode(&home.write("bin/secret-tool", &text), 0o700);
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}", home.path("bin").display());
    (home, path)
}

fn text(home: &Home) -> String {
    fs::read_to_string(home.config_path()).unwrap()
}

#[track_caller]
fn reload(proxy: &Proxy) -> Output {
    let port = proxy.port.to_string();
    proxy.home.run(&["reload", "--port", &port], &[])
}

#[test]
fn a_command_tells_the_key_and_a_reload_asks_it_again() {
    let mock = mock(2);
    let home = Home::new();
    let told = home.write("told", &key(1));
    home.write_config(
        &json!({"target": mock.url(), "keys": ["cmd:cat ../../../told; echo; echo a second line"]}),
    );
    let proxy = Proxy::start_in(&home, &["start"], &[]);
    proxy.announced();
    proxy.turn("s", &chat("hi")).is(200);
    assert_eq!(last_key(&mock), key(1));
    fs::write(&told, key(2)).unwrap();
    reload(&proxy).is(0).says(&["2 changes"]);
    proxy.turn("s", &chat("hi")).is(200);
    assert_eq!(last_key(&mock), key(2));
    fs::remove_file(&told).unwrap();
    let output = reload(&proxy);
    output.is(1).says(&[
        "key 1: the command after `cmd:`",
        "printed nothing",
        "stays in force",
    ]);
    proxy.turn("s", &chat("hi")).is(200);
}

#[test]
fn commands_run_at_the_same_time_and_meanwhile_the_proxy_serves_and_can_be_stopped() {
    let mock = mock(3);
    let home = Home::new();
    let slow: Vec<Value> = (1..=3)
        .map(|number| format!("cmd:sleep 1; echo {}", key(number)).into())
        .collect();
    home.write_config(&json!({"target": mock.url(), "keys": slow}));
    let begun = Instant::now();
    let mut proxy = Proxy::start_in(&home, &["start"], &[]);
    proxy.announced();
    assert!(
        begun.elapsed() < Duration::from_millis(2900),
        "one after the other: {:?}",
        begun.elapsed()
    );
    home.write_config(&json!({"target": mock.url(), "keys": ["cmd:sleep 9; echo too-late"]}));
    std::thread::scope(|scope| {
        let reloading = scope.spawn(|| reload(&proxy));
        std::thread::sleep(Duration::from_millis(300));
        for _ in 0..20 {
            let begun = Instant::now();
            proxy.get(MODELS).is(200);
            assert!(begun.elapsed() < Duration::from_secs(2));
        }
        let port = proxy.port.to_string();
        let begun = Instant::now();
        proxy.home.run(&["stop", "--port", &port], &[]).is(0);
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "{:?}",
            begun.elapsed()
        );
        reloading.join().unwrap();
    });
    eventually("it has ended", || proxy.ended().is_some());
}

#[test]
fn why_a_command_failed_is_said_and_what_it_printed_is_not() {
    let home = Home::new();
    home.write_config(&json!({"target": "http://127.0.0.1:9", "keys": [
        format!("cmd:echo {PLANTED}; echo 'no entry for {PLANTED}' >&2; exit 5"),
        "cmd:no-such-program-at-all",
        format!("cmd:echo '{PLANTED} and more'"),
    ]}));
    let output = home.run(&["start"], &[]);
    output.is(1).says(&[
        "key 1",
        "exit status: 5",
        "no entry for",
        "key 2",
        "not found",
        "key 3",
        "holds a space",
    ]);
    crate::keys::hides(&output, &[PLANTED]);
}

#[test]
fn a_file_that_everybody_can_write_has_no_command_run() {
    let home = Home::new();
    let ran = home.path("ran");
    let path =
        home.write_config(&json!({"keys": [format!("cmd:touch {}; echo sk-x", ran.display())]}));
    set_mode(&path, 0o666);
    home.run(&["check"], &[])
        .is(2)
        .says(&["every user of this machine can write", "chmod 600"]);
    assert!(!ran.exists());
}

/// Whatever reads a configuration, with the arguments that make it end.
const READERS: &[&[&str]] = &[
    &["status"],
    &["stop"],
    &["usage"],
    &["logs"],
    &["why", "aaaaaaaaaaaa"],
    &["why", "--request", "-"],
    &["keys", "list"],
    &["keys", "test"],
    &["keys", "test", "mine"],
    &["keys", "label", "mine", "other"],
    &["dashboard"],
    &["reload"],
    &["restart"],
    &["simulate"],
    &["config", "show"],
    &["config", "check"],
    &["check"],
    &["start"],
    &["start", "--detach"],
    &["service", "install", "--manager", "systemd"],
];

#[test]
fn a_file_that_merely_lies_in_the_current_directory_has_no_command_run() {
    let home = Home::new();
    let ran = home.path("ran");
    let command = format!(
        "cmd:touch {}; echo sk-x-long-enough-for-a-token",
        ran.display()
    );
    let text = json!({
        "port": free_port(),
        "target": "http://127.0.0.1:9",
        "keys": [{"key": command, "label": "mine"}],
        "client_tokens": [command],
        "otlp": {"endpoint": "http://127.0.0.1:9", "headers": {"authorization": command}},
    });
    home.write("cwd/api-key-lb.json", &text.to_string());
    for args in READERS {
        home.run_with(args, &[], b"POST /v1/chat/completions HTTP/1.1\r\n\r\n{}");
        assert!(!ran.exists(), "{args:?} ran the command");
    }
    let said = [
        "only found in the current directory",
        "--config ./api-key-lb.json",
    ];
    home.run(&["check"], &[]).is(2).says(&said);
    home.run(&["start"], &[]).is(1).says(&said);
    let named = ["config", "check", "--config", "./api-key-lb.json"];
    home.run(&named, &[]).is(0);
    assert!(ran.exists(), "named, it is run");
    fs::remove_file(&ran).unwrap();
    let named = [("API_KEY_LB_CONFIG", "api-key-lb.json")];
    home.run(&["config", "check"], &named).is(0);
    assert!(ran.exists(), "named by the variable, it is run");
}

#[test]
fn a_named_file_in_the_current_directory_is_passed_on_to_whoever_follows() {
    let mock = mock(1);
    let home = Home::new();
    let port = free_port();
    let text =
        json!({"port": port, "target": mock.url(), "keys": [format!("cmd:echo {}", key(1))]});
    home.write("cwd/api-key-lb.json", &text.to_string());
    let named = ["--config", "./api-key-lb.json"];
    home.run(&["start", "--detach", named[0], named[1]], &[])
        .is(0);
    home.run(&["restart"], &[]).is(0);
    home.run(&["reload"], &[]).is(0);
    home.run(&["stop"], &[]).is(0);
}

#[test]
fn who_looks_at_a_proxy_runs_no_command_for_its_token() {
    let mock = mock(1);
    let home = Home::new();
    let runs = home.path("runs");
    let token = format!("cmd:echo >> {}; echo a-long-random-text", runs.display());
    home.write_config(&json!({"target": mock.url(), "keys": [key(1)], "client_tokens": [token]}));
    let proxy = Proxy::start_in(&home, &["start"], &[]);
    proxy.announced();
    proxy.get(MODELS).is(401);
    let count = || fs::read(&runs).unwrap().len();
    let before = count();
    let port = proxy.port.to_string();
    let run = |args: &[&str]| home.run(&[args, &["--port", &port]].concat(), &[]);
    run(&["status"]).is(0).says(&["key-1"]);
    run(&["status", "--json"]).is(0).says(&["\"totals\""]);
    run(&["keys", "list"]).is(0).says(&["as the proxy on port"]);
    run(&["usage"]);
    run(&["dashboard", "--print"]).is(0).says(&["#token="]);
    run(&["logs"]);
    run(&["why", "aaaaaaaaaaaa"]).says(&["no request"]);
    assert_eq!(count(), before);
    run(&["reload"]).is(0);
    assert_eq!(count(), before + 1, "the proxy itself asks again");
    run(&["stop"]).is(0);
    assert_eq!(count(), before + 1);
}

#[cfg(target_os = "linux")]
#[test]
fn a_command_does_not_outlive_a_start_that_is_interrupted() {
    let home = Home::new();
    let pid = home.path("pid");
    let command = format!(
        "cmd:echo $$ > {}.new; mv {0}.new {0}; sleep 300",
        pid.display()
    );
    home.write_config(&json!({"target": "http://127.0.0.1:9", "keys": [command]}));
    let mut child = home.command(&["start"], &[]).spawn().unwrap();
    eventually("it runs", || pid.exists());
    let number = fs::read_to_string(&pid).unwrap();
    crate::restart::signal(child.id().into(), "INT");
    child.wait().unwrap();
    let alive = || {
        fs::read_to_string(format!("/proc/{}/stat", number.trim()))
            .is_ok_and(|stat| !stat.contains(") Z "))
    };
    eventually("the command has ended", || !alive());
}

#[test]
fn a_command_is_added_with_its_key_shown_nowhere() {
    let mock = mock(2);
    let home = Home::new();
    home.write_config(&json!({"target": mock.url(), "keys": [key(1)]}));
    let command = format!("printf '%s' {}", key(2));
    let output = keys_with(
        &home,
        free_port(),
        &["add", "--command", &command, "--label", "told"],
        &[],
        b"",
    );
    output.is(0).says(&["told valid", "Added told (cmd:...)"]);
    assert!(text(&home).contains("\"cmd:printf"), "{}", text(&home));
    let output = keys_with(&home, free_port(), &["list"], &[], b"");
    output.is(0).says(&["cmd:..."]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_key_goes_into_the_keychain_by_its_standard_input_and_comes_out_again() {
    let mock = mock(2);
    let (home, path) = with_keychain();
    home.write_config(&json!({"target": mock.url(), "keys": [key(1)]}));
    let env = [("PATH", path.as_str())];
    let proxy = Proxy::start_in(&home, &["start"], &env);
    proxy.announced();
    let run =
        |args: &[&str], input: &str| keys_with(&home, proxy.port, args, &env, input.as_bytes());
    let add = ["add", "--keychain", "work", "--stdin", "--label", "work"];
    run(&add, &key(2))
        .is(0)
        .says(&["into the keychain as `work`", "Added work (keychain:work)"]);
    assert!(!text(&home).contains(&key(2)));
    let calls = fs::read_to_string(home.path("fake/calls")).unwrap();
    assert!(
        calls.contains("lookup service api-key-lb account work"),
        "{calls}"
    );
    assert!(
        calls.contains("store") && !calls.contains("sk-mock"),
        "{calls}"
    );
    run(&["disable", "key-1"], "").is(0);
    proxy.turn("s", &chat("hi")).is(200);
    assert_eq!(last_key(&mock), key(2));
    run(&["enable", "key-1"], "").is(0);
    let other = ["add", "--keychain", "work", "--stdin"];
    run(&other, PLANTED)
        .is(1)
        .says(&["another key called `work` already", "secret-tool clear"]);
    let output = run(&["remove", "--yes", "work"], "");
    output.is(0).says(&[
        "the keychain still has it",
        "secret-tool clear service api-key-lb account work",
    ]);
    // It is there: nobody has to type it again.
    let output = run(&["add", "--keychain", "work"], "");
    output.is(0).says(&[
        "called `work` already, which is used",
        "Added key-2 (keychain:work)",
    ]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_keychain_that_is_locked_empty_or_missing_says_what_to_do() {
    let (home, path) = with_keychain();
    home.write_config(&json!({"target": "http://127.0.0.1:9", "keys": ["keychain:work"]}));
    let env = [("PATH", path.as_str())];
    let output = home.run(&["start"], &env);
    output.is(1).says(&[
        "key 1: the keychain has nothing called `work`",
        "keys add --keychain work",
    ]);
    fs::write(home.path("fake/LOCKED"), "").unwrap();
    let output = home.run(&["start"], &env);
    output
        .is(1)
        .says(&["`secret-tool`", "the collection is locked ***"]);
    let output = home.run(&["start"], &[("PATH", "/nonexistent")]);
    output
        .is(1)
        .says(&["`secret-tool` is not installed", "libsecret-tools"]);
}
