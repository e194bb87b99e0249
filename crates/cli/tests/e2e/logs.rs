//! The log: its formats, its files, and whoever does not read it.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;
use std::process::Child;

use api_key_lb_mock::{Fault, Mock};
use serde_json::{Value, json};

use crate::support::{
    CHAT, Client, DEADLINE, Home, Proxy, Reply, chat, config, eventually, free_port, key, mock,
    pair_with,
};

/// A detached proxy; stopped when dropped.
pub struct Detached {
    pub home: Home,
    pub port: u16,
}

impl Detached {
    #[track_caller]
    pub fn start(mock: &Mock, count: usize, settings: Value) -> Self {
        let home = Home::new();
        let port = free_port();
        let mut config = config(&mock.url(), count, settings);
        config["port"] = port.into();
        home.write_config(&config);
        let detached = Self { home, port };
        detached.start_again();
        detached
    }

    #[track_caller]
    pub fn start_again(&self) {
        self.home.run(&["start", "--detach"], &[]).is(0);
    }

    #[track_caller]
    pub fn stop(&self) {
        self.home.run(&["stop"], &[]).is(0);
    }

    pub fn log(&self) -> PathBuf {
        self.home
            .path(&format!("state/api-key-lb/{}.log", self.port))
    }

    /// The files of the log, the oldest first.
    pub fn logs(&self) -> Vec<String> {
        let read = |number: u32| fs::read_to_string(format!("{}.{number}", self.log().display()));
        let mut texts: Vec<String> = (1..).map_while(|number| read(number).ok()).collect();
        texts.reverse();
        texts.push(fs::read_to_string(self.log()).unwrap_or_default());
        texts
    }

    #[track_caller]
    pub fn turn(&self, session: &str) -> Reply {
        let mut client = Client::connect(self.port);
        let body = chat("hi").to_string();
        client.send("POST", CHAT, &[("x-session-id", session)], body.as_bytes());
        client.read()
    }

    #[track_caller]
    pub fn logged(&self, count: usize) {
        eventually("the requests are logged", || {
            let all = self.logs().concat();
            all.lines().filter(|line| line.contains(CHAT)).count() >= count
        });
    }
}

impl Drop for Detached {
    fn drop(&mut self) {
        let _ = self.home.run(&["stop"], &[]);
    }
}

pub fn objects(text: &str) -> Vec<Value> {
    let lines = text.lines().filter(|line| line.starts_with('{'));
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn with_json_every_line_of_a_serving_proxy_is_an_object_and_the_request_says_what_it_was() {
    let (_mock, proxy) = pair_with(
        1,
        json!({"log_format": "json", "prices": {"m": {"input": 1e3, "output": 0}}}),
    );
    let reply = proxy.turn("s", &chat("hello there"));
    let prompt = reply.is(200).json()["usage"]["prompt_tokens"]
        .as_u64()
        .unwrap();
    eventually("it is logged", || proxy.output().contains("\"request\""));
    let output = proxy.output();
    let lines = objects(&output);
    assert_eq!(lines.len(), output.lines().count(), "{output}");
    assert_eq!(lines[0]["event"], "message");
    assert!(lines[0]["message"].as_str().unwrap().contains("listens on"));
    let request = lines
        .iter()
        .find(|line| line["event"] == "request")
        .unwrap();
    assert_eq!(request["path"], CHAT);
    assert_eq!(request["id"].as_str(), reply.header("x-lb-request-id"));
    assert_eq!(request["attempts"][0]["key"], "key-1");
    assert_eq!(request["usage"]["prompt"], prompt);
    let cost = request["cost_usd"].as_f64().unwrap();
    assert!((cost - prompt as f64 / 1e3).abs() < 1e-9, "{cost}");
}

#[test]
fn the_format_follows_a_reload_and_the_flag_comes_first() {
    let (mock, proxy) = pair_with(1, json!({}));
    proxy.turn("s", &chat("hi")).is(200);
    assert!(proxy.last_logged().contains(CHAT));
    let config = config(&mock.url(), 1, json!({"log_format": "json"}));
    proxy.home.write_config(&config);
    eventually("it is read again", || proxy.output().contains("log_format"));
    proxy.turn("s", &chat("hi")).is(200);
    eventually("it is an object", || proxy.output().contains("\"request\""));
    let flagged = Proxy::start_in(&proxy.home, &["start", "--log-format", "human"], &[]);
    flagged.turn("s", &chat("hi")).is(200);
    assert!(flagged.last_logged().contains(CHAT));
    let wrong = proxy.home.run(&["start"], &[("AKLB_LOG_FORMAT", "xml")]);
    wrong.is(1).says(&["AKLB_LOG_FORMAT", "human", "json"]);
}

#[test]
fn a_log_that_nobody_reads_stops_neither_requests_nor_counts_nor_the_end() {
    let mock = mock(1);
    let home = Home::new();
    let port = free_port();
    let mut config = config(&mock.url(), 1, json!({}));
    config["port"] = port.into();
    home.write_config(&config);
    let mut child: Child = home.command(&["start"], &[]).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("listens on") {
        line.clear();
        assert!(out.read_line(&mut line).unwrap() > 0);
    }
    // From here on nobody reads: 64 KiB of pipe are some 400 lines.
    let mut client = Client::connect(port);
    let requests = 1_500;
    for number in 0..requests {
        let session = format!("s{}", number % 7);
        let body = chat("hi").to_string();
        client.send("POST", CHAT, &[("x-session-id", &session)], body.as_bytes());
        client.read().is(200);
    }
    eventually("all are counted", || {
        let usage = home.run(&["usage", "--json"], &[]);
        let usage: Value = serde_json::from_str(&usage.is(0).stdout).unwrap();
        usage["total"]["requests"] == requests
    });
    home.run(&["stop"], &[]).is(0);
    assert!(child.wait().unwrap().success());
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert!(rest.lines().count() < requests, "the pipe was full");
}

#[cfg(unix)]
#[test]
fn the_file_is_followed_by_another_when_it_is_long_and_no_line_is_lost_or_cut() {
    let mock = mock(2);
    let detached = Detached::start(&mock, 2, json!({"log_bytes": 2_000, "log_files": 90}));
    let requests = 60;
    for number in 0..requests {
        detached.turn(&format!("s{number}"));
        if number % 10 == 9 {
            detached.logged(number + 1);
        }
    }
    let logs = detached.logs();
    assert!(logs.len() > 3, "{}", logs.len());
    for text in &logs {
        assert!(text.is_empty() || text.ends_with('\n'));
    }
    let all = logs.concat();
    let lines: Vec<&str> = all.lines().filter(|line| line.contains(CHAT)).collect();
    assert_eq!(lines.len(), requests);
    let ids: std::collections::HashSet<_> =
        lines.iter().map(|line| line.rsplit(' ').next()).collect();
    assert_eq!(ids.len(), requests, "each once");
    for (path, _) in detached.home.state_files() {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", path.display());
    }
    let shown = detached.home.run(&["logs", "-n", "1000"], &[]);
    shown.is(0);
    assert_eq!(
        shown
            .stdout
            .lines()
            .filter(|line| line.contains(CHAT))
            .count(),
        requests
    );
    let last = detached.home.run(&["logs", "-n", "3"], &[]);
    assert_eq!(
        last.stdout.lines().collect::<Vec<_>>(),
        lines[requests - 3..]
    );
}

#[cfg(unix)]
#[test]
fn no_more_files_are_kept_than_wanted_and_a_start_begins_a_new_one() {
    let mock = mock(1);
    let detached = Detached::start(&mock, 1, json!({"log_bytes": 500, "log_files": 2}));
    for number in 0..20 {
        let reply = detached.turn(&format!("s{number}"));
        let id = reply.header("x-lb-request-id").unwrap();
        eventually("it is logged", || detached.logs().concat().contains(id));
    }
    assert_eq!(detached.logs().len(), 3);
    detached.stop();
    let before = detached.logs();
    detached.start_again();
    eventually("it says what it does", || {
        detached.logs()[2].contains("listens on")
    });
    assert_eq!(detached.logs()[1], *before.last().unwrap());
}

#[cfg(unix)]
#[test]
fn a_log_that_is_moved_removed_or_emptied_goes_on() {
    let mock = mock(1);
    let detached = Detached::start(&mock, 1, json!({}));
    let now = || fs::read_to_string(detached.log()).unwrap_or_default();
    detached.turn("a");
    eventually("it is logged", || now().contains(CHAT));
    let moved = detached.home.path("moved.log");
    fs::rename(detached.log(), &moved).unwrap();
    detached.turn("b");
    eventually("it is logged anew", || now().contains(CHAT));
    assert_eq!(fs::read_to_string(&moved).unwrap().matches(CHAT).count(), 1);
    fs::remove_file(detached.log()).unwrap();
    detached.turn("c");
    eventually("it is there again", || now().contains(CHAT));
    fs::File::options()
        .write(true)
        .truncate(true)
        .open(detached.log())
        .unwrap();
    detached.turn("d");
    eventually("it begins anew", || now().contains(CHAT));
    assert!(
        !now().contains('\0') && now().lines().count() == 1,
        "{}",
        now()
    );
}

#[test]
fn no_line_is_lost_while_two_processes_write_to_one_log_that_rotates() {
    let mock = mock(1);
    let detached = Detached::start(&mock, 1, json!({"log_bytes": 3_000, "log_files": 90}));
    // One that finishes in the old process, which goes on writing.
    mock.fault(Fault::on(key(1)).times(1).delay(1_500));
    let port = detached.port;
    let late = std::thread::spawn(move || {
        let mut client = Client::connect(port);
        let body = chat("hi").to_string();
        client.send("POST", CHAT, &[("x-session-id", "late")], body.as_bytes());
        client.read().status
    });
    assert!(mock.wait_until(DEADLINE, |counters| counters.total.in_flight > 0));
    detached.home.run(&["restart"], &[]).is(0);
    let mut count = 1;
    while !late.is_finished() || count < 40 {
        detached.turn(&format!("s{count}"));
        count += 1;
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(late.join().unwrap(), 200);
    detached.logged(count);
    let logs = detached.logs();
    assert!(logs.len() > 2);
    let all = logs.concat();
    let lines = all.lines().filter(|line| line.contains(CHAT));
    let ids: std::collections::HashSet<_> =
        lines.clone().map(|line| line.rsplit(' ').next()).collect();
    assert_eq!((lines.count(), ids.len()), (count, count));
}

#[cfg(target_os = "linux")]
#[test]
fn what_was_logged_as_json_is_simulated() {
    let (_mock, proxy) = pair_with(1, json!({"log_format": "json"}));
    for turn in 0..4 {
        let text = "words ".repeat(300 * (turn + 1));
        proxy.turn("s", &chat(&text)).is(200);
    }
    eventually("they are logged", || {
        proxy.output().matches("\"request\"").count() == 4
    });
    let file = proxy.home.write("proxy.log", &proxy.output());
    let told = proxy.home.run(
        &["simulate", "--json", "--log", file.to_str().unwrap()],
        &[],
    );
    told.is(0).says(&["\"used\": 4"]);
}

#[test]
fn no_log_in_any_format_holds_what_clients_and_keys_keep_secret() {
    const THEIRS: &str = "sk-theirs-4Gt7Yh2Uj9Ik5Ol1Pz8Xc3Vb6Nm0Qa";
    let mock = mock(1);
    for format in ["human", "json"] {
        let detached = Detached::start(&mock, 1, json!({"log_format": format}));
        let mut client = Client::connect(detached.port);
        let headers = [
            ("authorization", THEIRS),
            ("x-api-key", THEIRS),
            ("cookie", THEIRS),
        ];
        // A key where the model belongs, in the query, and as a session.
        let body = json!({"model": THEIRS, "session_id": THEIRS, "messages": [{"role": "user", "content": THEIRS}]});
        mock.fault(Fault::on(key(1)).times(1).status(404));
        for target in [
            format!("{CHAT}?key={THEIRS}"),
            format!("/nowhere?api_key={THEIRS}"),
        ] {
            client.send("POST", &target, &headers, body.to_string().as_bytes());
            client.read();
        }
        detached.logged(1);
        eventually("the other one is logged", || {
            detached.logs().concat().contains("/nowhere")
        });
        let shown = detached.home.run(&["logs"], &[]);
        let all = format!("{}{}", shown.all(), detached.logs().concat());
        for secret in [THEIRS, &key(1)] {
            assert!(!all.contains(&secret[..16]), "{all}");
        }
    }
}
