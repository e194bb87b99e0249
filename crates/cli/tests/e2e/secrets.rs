//! No key, token or password appears in anything the program prints, writes or answers.

use std::fmt::Write as _;

use api_key_lb_mock::{ANY_KEY, Account, Close, Fault, Mock};
use serde_json::json;

use crate::support::{
    CHAT, Home, MESSAGES, MODELS, Proxy, Reply, chat, chat_stream, eventually, free_port,
};

const KEY_ONE: &str = "sk-proj-Qw8zR2mXv5Lk9TfB3nYd7HsJ1cGp4Ea6Uo0Iq";
const KEY_TWO: &str = "sk-ant-api03-7uKxWbN4eVt1ZrM9yPoDg2Hf6SjLcA5i";
const KEY_REVOKED: &str = "zai.e5C8hJ2kFwT9bXr3LmQ6vN1yGz4PsU7d";
const KEY_DEAD: &str = "gsk_M3nB6vC9xZ2aS5dF8gH1jK4lQ7wE0rTy";
const TOKEN: &str = "lb-token-9Vx2Bq7Nw4Kz1Ry6Tm3Pd8Hs5Jc0Lf";
/// What clients bring by mistake.
const THEIRS: &str = "sk-theirs-4Gt7Yh2Uj9Ik5Ol1Pz8Xc3Vb6Nm0Qa";
const PROXY_PASSWORD: &str = "hunter-6Fz3Wq9Lp2Xk7Vt4Bn1Yr8";

const ALL: [&str; 7] = [
    KEY_ONE,
    KEY_TWO,
    KEY_REVOKED,
    KEY_DEAD,
    TOKEN,
    THEIRS,
    PROXY_PASSWORD,
];

/// Everything that came out, and from where.
#[derive(Default)]
struct Seen {
    text: String,
}

impl Seen {
    fn add(&mut self, from: &str, text: &str) {
        let _ = writeln!(self.text, "[{from}] {text}");
    }

    fn reply(&mut self, from: &str, reply: &Reply) {
        self.add(
            from,
            &format!("{} {:?} {}", reply.status, reply.headers, reply.text()),
        );
    }

    /// More than a third of a secret in one piece is a leak.
    #[track_caller]
    fn holds_no_secret(&self) {
        let leaks = |line: &&str| {
            ALL.iter().any(|secret| {
                let shown = secret.len() / 3 + 1;
                (0..=secret.len() - shown).any(|start| line.contains(&secret[start..start + shown]))
            })
        };
        let leaking: Vec<&str> = self.text.lines().filter(leaks).collect();
        assert!(leaking.is_empty(), "{leaking:#?}");
    }
}

fn planted_mock() -> Mock {
    Mock::builder()
        .account(Account::new("org-one").key(KEY_ONE))
        .account(Account::new("org-two").key(KEY_TWO))
        .record(100)
        .start()
        .unwrap()
}

const SOME: [(&str, &str); 3] = [
    (
        "authorization",
        "Bearer lb-token-9Vx2Bq7Nw4Kz1Ry6Tm3Pd8Hs5Jc0Lf",
    ),
    ("x-api-key", THEIRS),
    ("cookie", THEIRS),
];

fn ask(seen: &mut Seen, proxy: &Proxy, method: &str, target: &str, body: &str) {
    let reply = proxy.ask(method, target, &SOME, body.as_bytes());
    assert_ne!(reply.status, 0, "{method} {target}");
    seen.reply(
        &format!("{method} {}", target.split('?').next().unwrap()),
        &reply,
    );
}

#[test]
fn nothing_the_running_proxy_says_holds_a_secret() {
    let mock = planted_mock();
    let dead = format!("http://127.0.0.1:{}", free_port());
    let home = Home::new();
    home.write_config(&json!({
        "target": mock.url(),
        "keys": [KEY_ONE, KEY_TWO, KEY_REVOKED, {"key": KEY_DEAD, "target": dead}],
        "client_tokens": [TOKEN],
        "first_byte_timeout_ms": 400,
        "body_bytes": 100_000,
        "pools": {"dead": {"target": dead, "keys": [KEY_DEAD]}},
    }));
    let mut proxy = Proxy::start_in(&home, &["start"], &[]);
    proxy.announced();
    let mut seen = Seen::default();
    let (body, stream) = (chat("hi").to_string(), chat_stream("hi").to_string());
    let query = format!("{MODELS}?key={THEIRS}&a=1");
    for number in 0..6 {
        let body = json!({"model": "m", "session_id": number, "messages": [{"role": "user", "content": number.to_string()}]});
        ask(&mut seen, &proxy, "POST", CHAT, &body.to_string());
    }
    ask(&mut seen, &proxy, "POST", CHAT, &stream);
    ask(&mut seen, &proxy, "GET", &query, "");
    ask(
        &mut seen,
        &proxy,
        "POST",
        "/dead/v1/chat/completions",
        &body,
    );
    // The error of a provider that repeats the key, as some do, is the provider's; these do not.
    for fault in [
        Fault::on(ANY_KEY).times(9).status(401).body("refused"),
        Fault::on(ANY_KEY).times(9).status(403).body("refused"),
        Fault::on(ANY_KEY)
            .times(9)
            .status(429)
            .body("slow")
            .header("retry-after-ms", "50"),
        Fault::on(ANY_KEY).times(9).status(500).body("broken"),
        Fault::on(ANY_KEY).times(9).reset(Close::Reset),
        Fault::on(ANY_KEY).times(1).stall(None),
        Fault::on(ANY_KEY).times(1).cut_bytes(10),
    ] {
        mock.clear_faults();
        mock.fault(fault);
        ask(&mut seen, &proxy, "POST", CHAT, &body);
        ask(&mut seen, &proxy, "POST", "/v1/files", &body);
    }
    mock.clear_faults();
    ask(&mut seen, &proxy, "POST", MESSAGES, &"x".repeat(200_000));
    ask(&mut seen, &proxy, "TRACE", MODELS, "");
    ask(&mut seen, &proxy, "GET", "/health", "");
    ask(&mut seen, &proxy, "GET", "/_lb/", "");
    ask(&mut seen, &proxy, "GET", "/_lb/nothing", "");
    // What was observed is told a little later than it happened.
    crate::support::eventually("the last request is remembered", || {
        let told = proxy.ask("GET", "/_lb/requests?limit=1", &SOME, b"");
        told.text().contains("TRACE")
    });
    for path in [
        "/_lb/state",
        "/_lb/requests?limit=2000",
        "/_lb/charts",
        "/_lb/metrics",
        "/_lb/requests/000000000000",
        "/_lb/keys/0000000000000000/disable",
        "/_lb/app.js",
    ] {
        ask(&mut seen, &proxy, "GET", path, "");
        ask(&mut seen, &proxy, "POST", path, "{}");
    }
    seen.add("events", &{
        let mut client = proxy.client();
        client.send("GET", "/_lb/events", &SOME, b"");
        client.head();
        String::from_utf8(client.chunk().unwrap()).unwrap()
    });
    ask(&mut seen, &proxy, "POST", "/_lb/stop", "");
    seen.reply("no token", &proxy.get(MODELS));
    seen.reply("other host", &{
        let mut client = proxy.client();
        client.raw(format!(
            "GET / HTTP/1.1\r\nHost: evil\r\nx-api-key: {THEIRS}\r\n\r\n"
        ));
        client.read()
    });
    let port = proxy.port.to_string();
    let mut instance_token = String::new();
    for (path, text) in home.state_files() {
        let record: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        if let Some(token) = record["token"].as_str() {
            instance_token = token.to_owned();
        }
        seen.add(&path.display().to_string(), &text);
    }
    for args in [
        &["status"][..],
        &["status", "--json"],
        &["start"],
        &["stop"],
    ] {
        let output = home.run(args, &[("PORT", &port)]);
        seen.add(&args.join(" "), &output.all());
    }
    eventually("it ends", || proxy.ended().is_some());
    seen.add("log", &proxy.output());
    assert!(
        proxy.output().contains(CHAT),
        "the log was looked at: {}",
        proxy.output()
    );
    seen.holds_no_secret();
    assert!(instance_token.len() > 20);
    let told = seen
        .text
        .lines()
        .filter(|line| line.contains(&instance_token))
        .count();
    assert_eq!(
        told, 1,
        "the token of the instance is in its file and nowhere else"
    );
}

#[test]
fn the_log_of_a_detached_proxy_and_its_arguments_hold_no_secret() {
    let mock = planted_mock();
    let home = Home::new();
    let keys = format!("{KEY_ONE},{KEY_TWO}");
    let args = [
        "start",
        "--detach",
        "--keys",
        &keys,
        "--target",
        &mock.url(),
    ];
    let output = home.run(&args, &[("PORT", "0")]);
    output.is(0);
    let mut seen = Seen::default();
    seen.add("start --detach", &output.all());
    let files = home.state_files();
    let record = files
        .iter()
        .find(|(path, _)| path.extension().is_some_and(|one| one == "json"));
    let record: serde_json::Value = serde_json::from_str(&record.unwrap().1).unwrap();
    let port = u16::try_from(record["port"].as_u64().unwrap()).unwrap();
    let mut client = crate::support::Client::connect(port);
    client.send("POST", CHAT, &[], chat("hi").to_string().as_bytes());
    let reply = client.read();
    seen.reply("chat", &reply);
    // What every user of the machine can read of a process.
    let arguments = std::fs::read(format!("/proc/{}/cmdline", record["pid"])).unwrap_or_default();
    seen.add("arguments", &String::from_utf8_lossy(&arguments));
    let output = home.run(&["stop", "--port", &port.to_string()], &[]);
    seen.add("stop", &output.all());
    for (path, text) in home.state_files() {
        seen.add(&path.display().to_string(), &text);
    }
    output.is(0);
    reply.is(200);
    seen.holds_no_secret();
}

#[test]
fn complaints_about_a_configuration_hold_no_secret() {
    let mut seen = Seen::default();
    let long = |key: &str| format!("{key}\u{1}");
    for config in [
        json!({"keys": [KEY_ONE], "target": format!("https://me:{PROXY_PASSWORD}@host/v1")}),
        json!({"keys": [KEY_ONE], "target": KEY_TWO}),
        json!({"keys": [long(KEY_ONE), format!("{KEY_TWO} with spaces")], "port": 0}),
        json!({"keys": {KEY_ONE: KEY_TWO}, "port": 0}),
        json!({"keys": [KEY_ONE, [KEY_TWO]], "port": KEY_DEAD}),
        json!({"keys": [{"key": KEY_ONE, "label": KEY_ONE}, {"key": KEY_TWO, "apikey": KEY_TWO}], "port": 70000}),
        json!({"apiKeys": [KEY_ONE], "token": TOKEN}),
        json!({"keys": [KEY_ONE, KEY_ONE], "host": KEY_TWO, "port": 0}),
        json!({"keys": [KEY_ONE], "client_tokens": [format!("{TOKEN}\u{1}")], "host": "0.0.0.0"}),
        json!({"keys": [KEY_ONE], "log": KEY_TWO}),
        json!({"keys": [KEY_ONE], "cooldown_ms": KEY_TWO}),
        json!({"keys": [KEY_ONE], "answer_headers": KEY_TWO}),
        json!({"keys": [KEY_ONE], "ca_file": "nowhere.pem"}),
        json!({"keys": [KEY_ONE], "pools": {"v1": {"keys": [KEY_TWO], "target": "x"}}}),
        json!([KEY_ONE]),
        json!(KEY_ONE),
    ] {
        let home = Home::new();
        home.write_config(&config);
        for args in [&["start"][..], &["setup", "--no-check", "--port", "1"]] {
            let output = home.run(args, &[]);
            let shown = config.to_string();
            assert!(
                args[0] == "setup" || output.code == Some(1),
                "{shown}: {output:?}"
            );
            seen.add(&format!("{} …", args[0]), &output.all());
        }
    }
    // Broken in the middle of a key, and a file that is only a key.
    for text in [
        format!("{{\"keys\": [\"{KEY_ONE}\", \"{KEY_TWO}]}}"),
        format!("{{\"keys\": [{KEY_ONE}]}}"),
        KEY_ONE.to_owned(),
        format!("keys: {KEY_ONE}"),
    ] {
        let home = Home::new();
        home.write("home/.config/api-key-lb/config.json", &text);
        for args in [
            &["start"][..],
            &["setup", "--no-check", "--port", "1"],
            &["status"],
            &["stop"],
        ] {
            seen.add(args[0], &home.run(args, &[]).all());
        }
    }
    seen.holds_no_secret();
}

#[test]
fn complaints_about_flags_and_environment_hold_no_secret() {
    let home = Home::new();
    let mut seen = Seen::default();
    let userinfo = format!("https://me:{PROXY_PASSWORD}@host");
    let mut run = |args: &[&str], env: &[(&str, &str)]| {
        let output = home.run(args, env);
        assert_ne!(output.code, Some(0), "{output:?}");
        seen.add("run", &output.all());
    };
    run(&["start", "--keys", KEY_ONE, "--target", &userinfo], &[]);
    run(&["start", "--keys", KEY_ONE, "--target", KEY_TWO], &[]);
    run(
        &[
            "start",
            "--keys",
            &format!("{KEY_ONE} {KEY_TWO}"),
            "--port",
            "0",
        ],
        &[],
    );
    run(
        &[
            "setup",
            "--keys",
            &format!("{KEY_ONE} {KEY_TWO}"),
            "--target",
            "https://h",
        ],
        &[],
    );
    run(&["setup", "--keys", KEY_ONE, "--target", &userinfo], &[]);
    run(
        &["start"],
        &[("API_KEYS", &format!("{KEY_ONE} {KEY_TWO}")), ("PORT", "0")],
    );
    run(&["start"], &[("API_KEYS", KEY_ONE), ("TARGET", &userinfo)]);
    run(&["start"], &[("API_KEYS", KEY_ONE), ("PORT", KEY_TWO)]);
    run(
        &["start"],
        &[("API_KEYS", KEY_ONE), ("COOLDOWN_MS", KEY_TWO)],
    );
    let outgoing = format!("socks5://me:{PROXY_PASSWORD}@proxy:1");
    run(
        &["start"],
        &[
            ("API_KEYS", KEY_ONE),
            ("HTTPS_PROXY", &outgoing),
            ("PORT", "0"),
        ],
    );
    seen.holds_no_secret();
}

#[test]
fn health_shows_at_most_a_third_of_a_short_key() {
    let short: Vec<String> = ["abc", "abcdefgh", "abcdefghijkl"]
        .map(str::to_owned)
        .into();
    let proxy = Proxy::start(json!({"target": "http://127.0.0.1:9", "keys": short}));
    let health = proxy.health();
    for (entry, key) in health["keys"].as_array().unwrap().iter().zip(&short) {
        let shown = entry["key"].as_str().unwrap().trim_end_matches('.');
        assert!(
            key.starts_with(shown) && shown.len() * 3 <= key.len(),
            "{entry}"
        );
    }
}

/// Where somebody has mixed up two settings, a key stands in the path, as the model or as the program's name.
#[test]
fn a_key_in_a_path_a_model_or_a_user_agent_is_told_nobody() {
    let mock = planted_mock();
    let home = Home::new();
    home.write_config(&json!({"target": mock.url(), "keys": [KEY_ONE, KEY_TWO, KEY_REVOKED]}));
    let mut proxy = Proxy::start_in(&home, &["start"], &[]);
    proxy.announced();
    let mut seen = Seen::default();
    for secret in [KEY_ONE, KEY_REVOKED, THEIRS] {
        let body = json!({"model": secret, "messages": [{"role": "user", "content": "hi"}]});
        let agent = format!("{secret}/1.0");
        let headers = [("user-agent", agent.as_str())];
        proxy.ask("POST", CHAT, &headers, body.to_string().as_bytes());
        let path = format!("/v1beta/models/{secret}:generateContent");
        proxy.ask("POST", &path, &headers, b"{}");
        proxy.ask("GET", &format!("/v1/files/{secret}"), &headers, b"");
    }
    eventually("all are remembered", || {
        let told = proxy.get("/_lb/requests");
        told.json()["requests"].as_array().unwrap().len() == 9
    });
    for path in ["/_lb/requests", "/_lb/state", "/_lb/metrics", "/_lb/charts"] {
        seen.reply(path, &proxy.get(path));
    }
    assert!(seen.text.contains("/v1beta/models/***:generateContent"));
    let port = proxy.port.to_string();
    home.run(&["stop", "--port", &port], &[]).is(0);
    eventually("it ends", || proxy.ended().is_some());
    seen.add("log", &proxy.output());
    assert!(
        proxy.output().contains("/v1/files/***"),
        "{}",
        proxy.output()
    );
    seen.holds_no_secret();
}
