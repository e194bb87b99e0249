//! The command line: setup, help, status in words and as JSON, exit codes.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Home, Proxy, chat, free_port, key, keys, pair};

fn written(home: &Home) -> Value {
    serde_json::from_str(&fs::read_to_string(home.config_path()).unwrap()).unwrap()
}

#[cfg(unix)]
fn mode(path: &std::path::Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn setup_writes_a_file_that_start_takes() {
    let mock = crate::support::mock(2);
    let home = Home::new();
    let list = keys(2).join(", ");
    let output = home.run(
        &[
            "setup",
            "--no-check",
            "--keys",
            &list,
            "--target",
            &mock.url(),
            "--port",
            "4600",
        ],
        &[],
    );
    output.is(0).says(&["2 keys", &mock.url()]);
    assert_eq!(
        written(&home),
        json!({"target": mock.url(), "keys": keys(2), "port": 4600})
    );
    #[cfg(unix)]
    assert_eq!(mode(&home.config_path()), 0o600);
    let proxy = Proxy::start_in(&home, &["start"], &[]);
    proxy.turn("s", &chat("hi")).is(200);
}

#[test]
fn setup_takes_short_flags_and_asks_nothing() {
    let home = Home::new();
    let args = [
        "setup",
        "--no-check",
        "-k",
        "sk-a-0123456789,sk-b-0123456789",
        "-t",
        "https://api.z.ai",
        "-p",
        "4601",
        "--yes",
        "--no-service",
    ];
    home.run(&args, &[]).is(0);
    let wanted = json!({"target": "https://api.z.ai", "keys": ["sk-a-0123456789", "sk-b-0123456789"], "port": 4601});
    assert_eq!(written(&home), wanted);
}

#[test]
fn setup_keeps_comments_and_everything_it_was_not_asked_to_change() {
    let home = Home::new();
    let text = "{\n  // which provider\n  \"target\": \"https://old.example\",\n  \"keys\": [\n    \"sk-first-0123456789\", // of the team\n    {\"key\": \"sk-second-0123456789\", \"label\": \"mine\"}\n  ],\n  /* quick */\n  \"cooldown_ms\": 1234,\n  \"unknown_thing\": [1, 2]\n}\n";
    home.write("home/.config/api-key-lb/config.json", text);
    home.run(
        &["setup", "--no-check", "--target", "https://new.example"],
        &[],
    )
    .is(0);
    let now = fs::read_to_string(home.config_path()).unwrap();
    for kept in [
        "// which provider",
        "// of the team",
        "/* quick */",
        "\"cooldown_ms\": 1234",
        "\"unknown_thing\": [1, 2]",
        "\"label\": \"mine\"",
        "https://new.example",
    ] {
        assert!(now.contains(kept), "`{kept}` is not in:\n{now}");
    }
    assert!(!now.contains("old.example"), "{now}");
}

#[test]
fn setup_makes_an_old_file_private_and_understands_its_keys() {
    let home = Home::new();
    let path = home.write(
        "home/.config/api-key-lb/config.json",
        r#"{"target":"https://api.z.ai","keys":"sk-a-0123456789,sk-b-0123456789","port":4577}"#,
    );
    crate::support::set_mode(&path, 0o644);
    home.run(&["setup", "--no-check", "--port", "4602"], &[])
        .is(0);
    assert_eq!(written(&home)["port"], 4602);
    #[cfg(unix)]
    assert_eq!(mode(&path), 0o600);
    home.run(&["setup", "--no-check", "--keys", "sk-c-0123456789"], &[])
        .is(0);
    assert_eq!(written(&home)["keys"], json!(["sk-c-0123456789"]));
}

#[test]
fn setup_writes_the_file_that_is_named() {
    let home = Home::new();
    let path = home.path("cwd/zai.json");
    let args = [
        "setup",
        "--no-check",
        "--config",
        "zai.json",
        "-k",
        "sk-a-0123456789",
        "-t",
        "https://api.z.ai",
    ];
    home.run(&args, &[]).is(0).says(&["--config"]);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains("sk-a-0123456789"), "{text}");
    assert!(!home.config_path().exists());
}

#[test]
fn setup_without_keys_or_target_says_what_is_missing() {
    let home = Home::new();
    home.run(&["setup"], &[]).is(1).says(&["--keys"]);
    home.run(&["setup", "--no-check", "--keys", "sk-a-0123456789"], &[])
        .is(1)
        .says(&["--target"]);
    assert!(!home.config_path().exists(), "nothing was written");
}

#[test]
fn setup_does_not_touch_a_file_it_cannot_understand() {
    let home = Home::new();
    let broken = "{\n  \"keys\": [\"sk-a-0123456789\"\n}\n";
    home.write("home/.config/api-key-lb/config.json", broken);
    let output = home.run(
        &["setup", "--no-check", "--target", "https://api.z.ai"],
        &[],
    );
    output
        .is(1)
        .says(&["config.json", "line", "nothing was changed"]);
    assert_eq!(fs::read_to_string(home.config_path()).unwrap(), broken);
}

#[test]
fn setup_refuses_a_target_that_is_no_url() {
    let home = Home::new();
    let output = home.run(
        &[
            "setup",
            "--no-check",
            "-k",
            "sk-a-0123456789",
            "-t",
            "api.z.ai",
        ],
        &[],
    );
    output.is(1).says(&["--target", "https://"]);
    assert!(!home.config_path().exists());
}

#[test]
fn setup_does_not_print_the_keys() {
    let home = Home::new();
    let secret = "sk-printed-nowhere-0123456789abcdef";
    let output = home.run(
        &[
            "setup",
            "--no-check",
            "-k",
            secret,
            "-t",
            "https://api.z.ai",
        ],
        &[],
    );
    output.is(0);
    assert!(
        !output.all().contains(&secret[..secret.len() / 2]),
        "{output:?}"
    );
}

#[test]
fn help_is_no_failure() {
    let home = Home::new();
    let words = [
        "setup",
        "start",
        "stop",
        "status",
        "API_KEYS",
        "TARGET",
        "PORT",
        "COOLDOWN_MS",
        "SESSION_TTL_MS",
    ];
    for args in [&["help"][..], &["--help"], &["-h"], &[]] {
        let output = home.run(args, &[]);
        output.is(0).says(&words);
        assert!(output.stderr.is_empty(), "{output:?}");
    }
    for command in ["setup", "start", "stop", "status", "why", "demo"] {
        home.run(&["help", command], &[]).is(0).says(&["Usage"]);
        home.run(&[command, "--help"], &[]).is(0).says(&["Usage"]);
    }
    home.run(&["--version"], &[]).is(0).says(&["api-key-lb "]);
}

#[test]
fn an_unknown_command_or_flag_is_wrong_usage() {
    let home = Home::new();
    for args in [
        &["strat"][..],
        &["start", "--prot", "1"],
        &["start", "--port", "99999"],
        &["setup", "--keys"],
    ] {
        let output = home.run(args, &[]);
        output.is(2);
        assert!(
            output.stdout.is_empty() && !output.stderr.is_empty(),
            "{output:?}"
        );
    }
    home.run(&["strat"], &[]).says(&["start"]);
}

#[test]
fn status_in_words_says_what_the_old_one_said() {
    let (_mock, proxy) = pair(2);
    proxy.turn("s", &chat("hi")).is(200);
    let port = proxy.port.to_string();
    let output = proxy.home.run(&["status", "--port", &port], &[]);
    output.is(0).says(&[
        "Status:",
        "Target:",
        "Sessions:",
        "Uptime:",
        "Key #0",
        "Key #1",
        "Requests:",
        "Errors",
        "Cached",
        "ready",
    ]);
    assert!(
        !output.all().contains('\u{1b}'),
        "no colour but on a terminal: {output:?}"
    );
    assert!(output.stderr.is_empty(), "{output:?}");
}

#[test]
fn status_as_json_has_what_health_says() {
    let (_mock, proxy) = pair(2);
    proxy.turn("s", &chat("hi")).is(200);
    let port = proxy.port.to_string();
    let output = proxy.home.run(&["status", "--json", "-p", &port], &[]);
    output.is(0);
    let mut told: Value = serde_json::from_str(&output.stdout).unwrap();
    let mut health = proxy.health();
    told.as_object_mut().unwrap().remove("state").unwrap();
    for one in [&mut told, &mut health] {
        one.as_object_mut().unwrap().remove("uptime_ms").unwrap();
    }
    assert_eq!(told, health);
}

#[test]
fn status_of_nobody_is_a_failure_that_says_what_to_do() {
    let home = Home::new();
    let port = free_port().to_string();
    let output = home.run(&["status", "--port", &port], &[]);
    output
        .is(1)
        .says(&["not running", &port, "api-key-lb start"]);
    home.run(&["status", "--json", "--port", &port], &[]).is(1);
    // From the file, and with a broken file, too.
    home.write_config(&json!({"port": port.parse::<u16>().unwrap()}));
    home.run(&["status"], &[]).is(1).says(&[&port]);
}

#[test]
fn without_any_setting_the_port_is_4577() {
    let home = Home::new();
    // Whatever there is on that port of this machine, it is named.
    let output = home.run(&["status"], &[]);
    assert!(output.all().contains("4577"), "{output:?}");
}

#[test]
fn health_has_the_fields_of_the_old_one() {
    let (mock, proxy) = pair(3);
    proxy.turn("s", &chat("hi")).is(200);
    mock.fault(
        api_key_lb_mock::Fault::on("*")
            .times(1)
            .status(429)
            .header("retry-after", "30"),
    );
    proxy.turn("s", &chat("hi")).is(200);
    let reply = proxy.get("/health");
    reply.is(200);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    let health = reply.json();
    assert_eq!(health["status"], "ok");
    assert_eq!(health["target"], mock.url());
    assert_eq!(health["sessions"], 1);
    assert!(health["uptime_ms"].is_u64());
    let entries = health["keys"].as_array().unwrap();
    assert_eq!(entries.len(), 3);
    let sum = |field: &str| -> u64 { entries.iter().map(|key| key[field].as_u64().unwrap()).sum() };
    assert_eq!(
        (sum("requests"), sum("errors"), sum("cache_hits")),
        (3, 1, 0)
    );
    for (at, entry) in entries.iter().enumerate() {
        assert_eq!(entry["id"], at);
        let shown = entry["key"].as_str().unwrap().trim_end_matches('.');
        assert!(
            !shown.is_empty() && key(at + 1).starts_with(shown),
            "{entry}"
        );
        assert!(shown.len() * 3 <= key(at + 1).len());
        assert!(["ready", "throttled"].contains(&entry["status"].as_str().unwrap()));
    }
    let throttled = entries
        .iter()
        .filter(|key| key["status"] == "throttled")
        .count();
    assert_eq!(throttled, 1);
    proxy.ask("HEAD", "/health", &[], b"").is(200);
}

#[test]
fn cache_hits_are_counted() {
    let (_mock, proxy) = pair(2);
    let long = chat(&"a prompt long enough to be cached by a provider ".repeat(300));
    for _ in 0..3 {
        proxy.turn("s", &long).is(200);
    }
    crate::support::eventually("the hits are counted", || {
        let health = proxy.health();
        let keys = health["keys"].as_array().unwrap();
        keys.iter()
            .map(|key| key["cache_hits"].as_u64().unwrap())
            .sum::<u64>()
            == 2
    });
}
