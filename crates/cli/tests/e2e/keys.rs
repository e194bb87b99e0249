//! `keys`: the file afterwards, what is said, and the running proxy that follows.

use std::fs;

use serde_json::{Value, json};

use crate::support::{
    Home, Output, Proxy, chat, config, eventually, free_port, key, last_key, mock, mock_builder,
};

pub const PLANTED: &str = "sk-planted-Qw8zR2mXv5Lk9TfB3nYd7HsJ1cGp4Ea6";

/// More than a third of a key in one piece is a leak.
#[track_caller]
pub fn hides(output: &Output, secrets: &[&str]) {
    for secret in secrets {
        let shown = secret.len() / 3 + 1;
        for start in 0..=secret.len() - shown {
            let piece = &secret[start..start + shown];
            assert!(!output.all().contains(piece), "`{piece}` in {output:?}");
        }
    }
}

/// Runs `keys` for the proxy on that port.
#[track_caller]
pub fn keys(home: &Home, port: u16, args: &[&str]) -> Output {
    keys_with(home, port, args, &[], b"")
}

#[track_caller]
pub fn keys_with(
    home: &Home,
    port: u16,
    args: &[&str],
    env: &[(&str, &str)],
    input: &[u8],
) -> Output {
    let port = port.to_string();
    let args = [&["keys"], args, &["--port", &port]].concat();
    let output = home.run_with(&args, env, input);
    let all: Vec<String> = (1..=4).map(key).chain([PLANTED.to_owned()]).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    hides(&output, &all);
    output
}

pub fn text(home: &Home) -> String {
    fs::read_to_string(home.config_path()).unwrap()
}

fn labels(proxy: &Proxy, status: &str) -> Vec<String> {
    let health = proxy.health();
    let keys = health["keys"].as_array().unwrap();
    let keys = keys.iter().filter(|key| key["status"] == status);
    keys.map(|key| key["label"].as_str().unwrap().to_owned())
        .collect()
}

/// A commented file with these keys, as somebody would write it.
fn written(target: &str, entries: &[&str]) -> String {
    let entries: Vec<String> = entries
        .iter()
        .map(|entry| format!("    {entry},"))
        .collect();
    format!(
        "// mine\n{{\n  \"target\": \"{target}\", // the provider\n  /* the keys */\n  \"keys\": [\n{}\n  ],\n}}\n",
        entries.join("\n")
    )
}

fn quoted(number: usize) -> String {
    format!("\"{}\"", key(number))
}

#[test]
fn a_key_that_is_added_serves_at_once_and_the_rest_of_the_file_stays() {
    let mock = mock(2);
    let home = Home::new();
    let before = written(&mock.url(), &[&format!("{} // first", quoted(1))]);
    let before = before.replace(" // first,", ", // first");
    home.write("home/.config/api-key-lb/config.json", &before);
    let proxy = Proxy::start_in(&home, &["start"], &[]);
    proxy.announced();
    let args = [
        "add",
        "--stdin",
        "--label",
        "work",
        "--weight",
        "3",
        "--account",
        "acme",
    ];
    let output = keys_with(
        &home,
        proxy.port,
        &args,
        &[],
        format!("{}\n", key(2)).as_bytes(),
    );
    output.is(0).says(&[
        "Added work",
        "which has 2 keys now",
        "work valid",
        "The running proxy goes by it: the key work of the default pool is new",
    ]);
    let line = format!(
        "    {{ \"key\": \"{}\", \"label\": \"work\", \"weight\": 3, \"account\": \"acme\" }},\n",
        key(2)
    );
    assert_eq!(
        text(&home),
        before.replace("  ],\n", &format!("{line}  ],\n"))
    );
    assert_eq!(labels(&proxy, "ready"), ["key-1", "work"]);
    keys(&home, proxy.port, &["disable", "key-1"]).is(0);
    proxy.turn("s", &chat("hi")).is(200);
    assert_eq!(last_key(&mock), key(2));
}

#[test]
fn a_disabled_key_never_serves_and_its_sessions_go_elsewhere_until_it_is_enabled() {
    let mock = mock(2);
    let proxy = Proxy::start(config(&mock.url(), 2, json!({})));
    proxy.announced();
    let before = text(&proxy.home);
    for session in 0..8 {
        proxy.turn(&format!("s{session}"), &chat("hi")).is(200);
    }
    let output = keys(&proxy.home, proxy.port, &["disable", "2"]);
    output.is(0).says(&[
        "is now disabled",
        "the key key-2 of the default pool is disabled",
    ]);
    assert_eq!(labels(&proxy, "disabled"), ["key-2"]);
    let seen = mock.requests().len();
    for session in 0..8 {
        let reply = proxy.turn(&format!("s{session}"), &chat("hi"));
        reply.is(200);
        assert_eq!(reply.header("x-lb-key"), Some("key-1"));
    }
    assert!(
        mock.requests()[seen..]
            .iter()
            .all(|request| request.key == Some(key(1)))
    );
    let port = proxy.port.to_string();
    proxy
        .home
        .run(&["status", "--port", &port], &[])
        .is(0)
        .says(&["Key #1 key-2", "disabled", "by the configuration"]);
    let (output, report) = crate::check::checked(&proxy.home, &[]);
    output.is(0);
    assert_eq!(crate::check::states(&report), ["valid", "disabled"]);
    let output = keys(&proxy.home, proxy.port, &["enable", "key-2"]);
    output.is(0).says(&[
        "is now enabled",
        "the key key-2 of the default pool is enabled",
    ]);
    assert_eq!(labels(&proxy, "ready"), ["key-1", "key-2"]);
    assert_ne!(text(&proxy.home), before, "it stays an object");
    keys(&proxy.home, proxy.port, &["enable", "key-2"])
        .is(0)
        .says(&["is already enabled"]);
}

#[test]
fn enable_also_undoes_what_the_dashboard_has_disabled() {
    let mock = mock(2);
    let proxy = Proxy::start(config(&mock.url(), 2, json!({})));
    proxy.announced();
    let before = text(&proxy.home);
    let fingerprint = proxy.health()["keys"][1]["fingerprint"].clone();
    let path = format!("/_lb/keys/{}/disable", fingerprint.as_str().unwrap());
    let token = crate::management::token_of(&proxy);
    proxy
        .ask("POST", &path, &[("x-lb-token", &token)], b"")
        .is(200);
    assert_eq!(labels(&proxy, "disabled"), ["key-2"]);
    keys(&proxy.home, proxy.port, &["list"])
        .is(0)
        .says(&["disabled"]);
    keys(&proxy.home, proxy.port, &["enable", "key-2"])
        .is(0)
        .says(&["was disabled in the dashboard, lets it serve again"]);
    assert_eq!(labels(&proxy, "ready"), ["key-1", "key-2"]);
    assert_eq!(text(&proxy.home), before, "the file never said it");
}

#[test]
fn the_last_key_that_serves_goes_only_by_force_and_the_proxy_keeps_what_it_has() {
    let mock = mock(2);
    let proxy = Proxy::start(config(&mock.url(), 2, json!({})));
    proxy.announced();
    let before = text(&proxy.home);
    for order in [&["disable", "1", "2"][..], &["remove", "--yes", "1", "2"]] {
        let output = keys(&proxy.home, proxy.port, order);
        output
            .is(2)
            .says(&["the default pool would have no key left", "--force"]);
        assert_eq!(text(&proxy.home), before);
    }
    let output = keys(&proxy.home, proxy.port, &["disable", "--force", "1", "2"]);
    output
        .is(1)
        .says(&["goes on with the configuration before", "keys enable key-1"]);
    proxy.turn("s", &chat("hi")).is(200);
    keys(&proxy.home, proxy.port, &["enable", "1"])
        .is(0)
        .says(&["key-2 of the default pool is disabled"]);
}

#[test]
fn a_key_that_is_removed_is_named_and_asked_for() {
    let mock = mock(3);
    let proxy = Proxy::start(config(&mock.url(), 3, json!({})));
    proxy.announced();
    let output = keys(&proxy.home, proxy.port, &["remove", "key-2"]);
    output.is(2).says(&["--yes"]);
    assert_eq!(labels(&proxy, "ready").len(), 3);
    // By its end, as it is shown.
    let end = &key(2)[key(2).len() - 4..];
    keys(&proxy.home, proxy.port, &["remove", "--yes", end])
        .is(0)
        .says(&["Removed key-2"]);
    assert!(!text(&proxy.home).contains(&key(2)));
    assert_eq!(
        labels(&proxy, "ready"),
        ["key-1", "key-2"],
        "the others are counted anew"
    );
}

#[test]
fn labels_weights_and_accounts_are_changed_and_said_by_the_proxy() {
    let mock = mock(2);
    let proxy = Proxy::start(config(&mock.url(), 2, json!({})));
    proxy.announced();
    let run = |args: &[&str]| keys(&proxy.home, proxy.port, args);
    run(&["label", "1", "home"])
        .is(0)
        .says(&["is now called home", "the key key-1 is called home"]);
    run(&["label", "2", "home"])
        .is(2)
        .says(&["is called `home` already"]);
    run(&["label", "2", "two words"])
        .is(2)
        .says(&["without spaces"]);
    run(&["weight", "home", "5"])
        .is(0)
        .says(&["the key home has weight 5"]);
    run(&["weight", "home", "0"]).is(2);
    run(&["account", "home", "acme"])
        .is(0)
        .says(&["the key home belongs to acme"]);
    run(&["account", "home", "acme"])
        .is(0)
        .says(&["is already of the account acme"]);
    run(&["account", "home", "--none"])
        .is(0)
        .says(&["an account of its own"]);
    run(&["label", "home", "--none"])
        .is(0)
        .says(&["is now called key-1"]);
    run(&["label", "nobody", "x"])
        .is(2)
        .says(&["there is no key called `nobody`", "key-2"]);
}

#[test]
fn the_list_shows_keys_without_their_values_and_how_they_do() {
    let mock = mock(2);
    let home = Home::new();
    home.write_config(&json!({"target": mock.url(), "keys": [key(1), {"key": key(2), "label": "work", "account": "acme"}],
        "pools": {"zai": {"target": mock.url(), "keys": [{"key": "env:NOT_SET", "disabled": true}, {"key": key(2), "weight": 2}]}}}));
    let port = free_port();
    let output = keys(&home, port, &["list"]);
    output.is(0).says(&[
        "enabled",
        "disabled",
        "env:NOT_SET",
        "zai",
        "acme",
        "no proxy runs on port",
    ]);
    let proxy = Proxy::start_in(&home, &["start"], &[]);
    let output = keys(&home, proxy.port, &["list", "--json"]);
    let listing: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(
        listing["proxy"],
        json!({"port": proxy.port, "running": true, "same_config": true})
    );
    let keys_of = listing["keys"].as_array().unwrap();
    let fields = |at: usize| {
        let key = &keys_of[at];
        ["number", "label", "path", "source", "weight", "state"].map(|name| key[name].clone())
    };
    assert_eq!(
        fields(0),
        [
            json!(1),
            json!("key-1"),
            json!("keys[0]"),
            json!("literal"),
            json!(1),
            json!("ready")
        ]
    );
    assert_eq!(
        fields(2),
        [
            json!(3),
            json!("zai-1"),
            json!("pools.zai.keys[0]"),
            json!("env"),
            json!(1),
            json!("disabled")
        ]
    );
    assert_eq!(
        fields(3),
        [
            json!(4),
            json!("zai-2"),
            json!("pools.zai.keys[1]"),
            json!("literal"),
            json!(2),
            json!("ready")
        ]
    );
    let output = keys(&home, proxy.port, &["list", "--pool", "zai"]);
    output.is(0);
    assert!(!output.stdout.contains("work"), "{output:?}");
    keys(&home, proxy.port, &["list", "--pool", "none"])
        .is(1)
        .says(&["default, zai"]);
}

#[test]
fn a_proxy_with_another_configuration_is_said_not_to_follow() {
    let mock = mock_builder(3).start().unwrap();
    let proxy = Proxy::start(config(&mock.url(), 2, json!({})));
    proxy.announced();
    let other = proxy.home.write(
        "cwd/other.json",
        &config(&mock.url(), 1, json!({})).to_string(),
    );
    let other = other.display().to_string();
    let output = keys(
        &proxy.home,
        proxy.port,
        &["weight", "1", "2", "--config", &other],
    );
    output.is(0).says(&[
        "Updated",
        "reads",
        "config.json, which this does not change",
    ]);
    let output = keys_with(
        &proxy.home,
        proxy.port,
        &["weight", "1", "2"],
        &[("API_KEYS", "x")],
        b"",
    );
    output.is(0).says(&["API_KEYS is set", "goes by it"]);
}

#[test]
fn a_key_can_be_tested_before_it_is_enabled() {
    let mock = mock(2);
    let home = Home::new();
    home.write_config(
        &json!({"target": mock.url(), "keys": [key(1), {"key": key(2), "disabled": true},
        {"key": PLANTED, "label": "bad"}]}),
    );
    let run = |args: &[&str]| keys(&home, free_port(), &[&["test"], args].concat());
    run(&["key-2"]).is(0).says(&["key-2", "valid"]);
    run(&["bad"]).is(1).says(&["refused"]);
    let output = run(&["--json"]);
    output.is(1);
    let report: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(
        crate::check::states(&report),
        ["valid", "refused", "disabled"]
    );
}

#[test]
fn changes_that_are_made_at_the_same_time_are_all_there() {
    const KEYS: usize = 12;
    const NEW: usize = 6;
    let home = Home::new();
    home.write_config(&config("http://127.0.0.1:9", KEYS, json!({})));
    let port = free_port().to_string();
    let labels = (1..=KEYS).map(|number| (format!("key-{number}"), format!("mine-{number}")));
    std::thread::scope(|scope| {
        for (old, new) in labels {
            let (home, port) = (&home, &port);
            scope.spawn(move || {
                let args = ["keys", "label", &old, &new, "--port", port];
                home.run(&args, &[]).is(0).says(&["Updated"]);
            });
        }
        for number in 0..NEW {
            let (home, port) = (&home, &port);
            scope.spawn(move || {
                let args = ["keys", "add", "--no-check", "--stdin", "--port", port];
                let secret = format!("sk-new-one-{number}");
                home.run_with(&args, &[], secret.as_bytes())
                    .is(0)
                    .says(&["Updated"]);
            });
        }
    });
    let text = fs::read_to_string(home.config_path()).unwrap();
    for number in 1..=KEYS {
        assert!(text.contains(&format!("\"mine-{number}\"")), "{text}");
    }
    for number in 0..NEW {
        assert!(text.contains(&format!("sk-new-one-{number}")), "{text}");
    }
    let left = fs::read_dir(home.config_path().parent().unwrap()).unwrap();
    assert_eq!(left.count(), 1, "nothing but the file is left behind");
}

#[cfg(unix)]
#[test]
fn the_file_is_written_for_its_owner_only_and_a_link_to_it_stays_one() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = Home::new();
    let real = home.write(
        "dotfiles/lb.json",
        &config("http://127.0.0.1:9", 2, json!({})).to_string(),
    );
    crate::support::set_mode(&real, 0o644);
    fs::create_dir_all(home.config_path().parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(&real, home.config_path()).unwrap();
    keys(&home, free_port(), &["disable", "1"]).is(0);
    assert!(home.config_path().is_symlink());
    assert_eq!(
        fs::metadata(&real).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert!(fs::read_to_string(&real).unwrap().contains("disabled"));
    let proxy = Proxy::start_in(&home, &["start"], &[]);
    eventually("the disabled key is shown", || {
        labels(&proxy, "disabled") == ["key-1"]
    });
}
