//! `logs`: what it shows of which log, and whether it follows.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc;

use api_key_lb_mock::Fault;
use serde_json::{Value, json};

use crate::logs::{Detached, objects};
use crate::support::{CHAT, Client, DEADLINE, Home, eventually, free_port, key, mock, pair_with};

#[test]
fn logs_shows_what_fits_of_a_detached_proxy_in_both_formats() {
    let mock = mock(2);
    let detached = Detached::start(&mock, 2, json!({}));
    detached.turn("one");
    detached.turn("two");
    mock.fault(Fault::on(key(1)).times(1).status(500));
    mock.fault(Fault::on(key(2)).times(1).status(500));
    detached.turn("three");
    let mut client = Client::connect(detached.port);
    client.send("GET", "/nowhere/at/all", &[], b"");
    client.read();
    detached.logged(3);
    let shown = |args: &[&str]| -> Vec<String> {
        let args: Vec<&str> = ["logs"].iter().chain(args).copied().collect();
        let output = detached.home.run(&args, &[]);
        output.is(0);
        output.stdout.lines().map(str::to_owned).collect()
    };
    let all = shown(&[]);
    assert!(all[0].contains("listens on"), "{all:?}");
    let session = |line: &str| line.split(" session ").nth(1).unwrap()[..8].to_owned();
    let first = all.iter().find(|line| line.contains(CHAT)).unwrap();
    assert_eq!(
        shown(&["--session", &session(first)]),
        std::slice::from_ref(first)
    );
    let problems = shown(&["--problems"]);
    assert!(
        problems.iter().any(|line| line.contains(" 500")),
        "{problems:?}"
    );
    assert!(!problems.contains(first));
    assert_eq!(shown(&["--status", "5xx", "-n", "1"]).len(), 1);
    assert!(shown(&["--key", "nobody"]).is_empty());
    let of_keys = shown(&["--key", "key-1"]).len() + shown(&["--key", "key-2"]).len();
    assert!(of_keys >= 4, "{of_keys}");
    detached.home.run(&["logs", "--status", "many"], &[]).is(2);
    // After a restart in the other format.
    detached.stop();
    let gone = detached.home.run(&["logs", "-n", "1"], &[]);
    gone.is(0).says(&["no proxy runs on port"]);
    let mut config: Value =
        serde_json::from_str(&fs::read_to_string(detached.home.config_path()).unwrap()).unwrap();
    config["log_format"] = "json".into();
    detached.home.write_config(&config);
    detached.start_again();
    detached.turn("one");
    eventually("it is logged", || {
        !shown(&["--status", "2xx", "-n", "1"])[0].starts_with(char::is_numeric)
    });
    let lines = objects(&shown(&["--session", &session(first)]).join("\n"));
    assert_eq!(lines.last().unwrap()["session"], session(first));
    assert!(
        !shown(&["--status", "5xx"]).is_empty(),
        "of the files before"
    );
}

#[test]
fn logs_follows_through_a_rotation() {
    let mock = mock(1);
    let detached = Detached::start(&mock, 1, json!({"log_bytes": 1_500, "log_files": 50}));
    detached.turn("a");
    detached.logged(1);
    let mut command: Command = detached
        .home
        .command(&["logs", "--follow", "--status", "200"], &[]);
    let mut child = command.stderr(Stdio::inherit()).spawn().unwrap();
    let (send, lines) = mpsc::channel();
    let out = BufReader::new(child.stdout.take().unwrap());
    std::thread::spawn(move || {
        for line in out.lines().map_while(Result::ok) {
            let _ = send.send(line);
        }
    });
    let next = || lines.recv_timeout(DEADLINE).unwrap();
    assert!(next().contains(CHAT));
    for number in 0..20 {
        detached.turn(&format!("s{number}"));
        assert!(next().contains(CHAT), "{number}");
    }
    assert!(detached.logs().len() > 2);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn at_a_terminal_logs_goes_on_unless_it_is_told_not_to() {
    use crate::support::Terminal;
    if !Terminal::is_possible() {
        return;
    }
    let mock = mock(1);
    let detached = Detached::start(&mock, 1, json!({}));
    let mut ended = Terminal::start(&detached.home, &["logs", "--no-follow"], &[]);
    assert_eq!(ended.ends().0, Some(0));
    let mut terminal = Terminal::start(&detached.home, &["logs"], &[]);
    terminal.shows("listens on");
    detached.turn("a");
    terminal.shows(CHAT);
}

#[test]
fn logs_says_where_the_log_is_if_it_is_in_a_terminal_and_that_nothing_runs() {
    let (_mock, proxy) = pair_with(1, json!({}));
    proxy.announced();
    let port = proxy.port.to_string();
    let told = proxy.home.run(&["logs", "--port", &port], &[]);
    told.is(1).says(&[
        "to where it was started",
        &proxy.pid().to_string(),
        "--detach",
    ]);
    let home = Home::new();
    home.write_config(&json!({"keys": ["k"], "port": free_port()}));
    home.run(&["logs"], &[]).is(1).says(&["not running"]);
}

#[cfg(target_os = "linux")]
#[test]
fn logs_asks_the_journal_for_the_unit_that_runs_the_proxy() {
    let journal = "#!/bin/sh\necho \"$@\" >> '@STATE@/asked'\n\
        echo '12:00:01 POST /v1/messages 200 key-1 1.24s'\n\
        echo '12:00:02 POST /v1/messages 429 key-2 1.24s'\necho '-- cursor: s=1'\n";
    let faked = crate::support::Faked::new(&[("journalctl", journal)]);
    // Somebody answers, but not to us: then what is noted counts.
    let guarded = crate::support::Upstream::answering(
        "HTTP/1.1 401 Unauthorized\r\nx-lb-error: client_token\r\ncontent-length: 0\r\n\r\n",
    );
    // Nobody has this number, whoever may want to end it.
    let record = json!({"pid": i32::MAX, "port": guarded.port(), "instance": "x", "token": "t",
        "started_ms": 1, "supervisor": {"systemd": {"unit": "my.service", "user": true, "notify": true}}});
    faked.home.write(
        &format!("state/api-key-lb/{}.json", guarded.port()),
        &record.to_string(),
    );
    let shown = faked.run(&[
        "logs",
        "--port",
        &guarded.port().to_string(),
        "--status",
        "429",
    ]);
    shown.is(0);
    assert_eq!(shown.stdout, "12:00:02 POST /v1/messages 429 key-2 1.24s\n");
    let asked = fs::read_to_string(faked.home.path("fake/asked")).unwrap();
    assert!(
        asked.contains("--user-unit my.service --output=cat"),
        "{asked}"
    );
    assert!(asked.contains("--lines all"), "{asked}");
}
