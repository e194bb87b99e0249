//! Restarting without losing a request, and ending on signals.

#![cfg(unix)]

use std::fs;
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    CHAT, Client, DEADLINE, End, Home, Load, MODELS, Proxy, chat, chat_stream, config, eventually,
    free_port, homes, mock, mock_builder, pair, pair_with,
};

/// Streams that are open across a restart.
const STREAMS: usize = 50;
/// Requests that are made across it.
const REQUESTS: usize = 1_000;

pub fn records(home: &Home) -> Vec<Value> {
    let files = home.state_files().into_iter();
    files
        .filter(|(path, _)| path.extension().is_some_and(|found| found == "json"))
        .filter_map(|(_, text)| serde_json::from_str(&text).ok())
        .collect()
}

pub fn signal(pid: u64, name: &str) {
    let status = Command::new("kill")
        .args(["-s", name, &pid.to_string()])
        .status();
    assert!(status.unwrap().success());
}

pub fn runs(pid: u64) -> bool {
    // One that has ended but nobody has asked for yet does not run.
    let state = fs::read_to_string(format!("/proc/{pid}/stat"));
    match state {
        Ok(stat) => !stat.contains(") Z "),
        Err(_) => cfg!(not(target_os = "linux")),
    }
}

/// Who answers on the port.
pub fn pid_at(port: u16) -> Option<u64> {
    let mut client = Client::connect(port);
    client.send("GET", "/health", &[("connection", "close")], b"");
    let reply = client.read();
    (reply.end == End::Complete).then(|| reply.json()["pid"].as_u64().unwrap())
}

/// A detached proxy; ended when dropped.
pub struct Detached {
    home: Home,
    pub port: u16,
}

impl Detached {
    pub fn start(home: &Home) -> Self {
        home.run(&["start", "--detach"], &[]).is(0);
        let record = &records(home)[0];
        Self {
            home: home.clone(),
            port: u16::try_from(record["port"].as_u64().unwrap()).unwrap(),
        }
    }
}

impl Drop for Detached {
    fn drop(&mut self) {
        for record in records(&self.home) {
            let _ = Command::new("kill").arg(record["pid"].to_string()).output();
        }
    }
}

/// Loads `port` while `meanwhile` runs: streams that last longer, and requests on new and on kept
/// connections. Nothing may fail.
fn under_load(mock: &api_key_lb_mock::Mock, port: u16, meanwhile: impl FnOnce()) {
    let (failed, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let streams: Vec<_> = (0..STREAMS)
            .map(|at| {
                scope.spawn(move || {
                    let mut client = Client::connect(port);
                    let body = chat_stream(&format!("stream {at}")).to_string();
                    client.send("POST", CHAT, &[], body.as_bytes());
                    client.read()
                })
            })
            .collect();
        assert!(mock.wait_until(DEADLINE, |counters| {
            counters.total.in_flight as usize >= STREAMS
        }));
        let load: Vec<_> = (0..8)
            .map(|at| {
                let (failed, done, over) = (&failed, &done, &over);
                scope.spawn(move || {
                    let mut kept: Option<Client> = None;
                    let mut turn = 0;
                    while !over.load(Ordering::Acquire) || done.load(Ordering::Acquire) < REQUESTS {
                        turn += 1;
                        // Half of them keep their connections.
                        let mut client = match kept.take() {
                            Some(client) if at % 2 == 0 => client,
                            _ => Client::connect(port),
                        };
                        let session = format!("s-{at}-{}", turn % 10);
                        let body = chat("hi").to_string();
                        client.send("POST", CHAT, &[("x-session-id", &session)], body.as_bytes());
                        let reply = client.read();
                        if (reply.status, reply.end) != (200, End::Complete) {
                            failed.fetch_add(1, Ordering::AcqRel);
                            eprintln!("request {turn} of {at}: {reply:?}");
                        }
                        done.fetch_add(1, Ordering::AcqRel);
                        if reply.header("connection") != Some("close") {
                            kept = Some(client);
                        }
                    }
                })
            })
            .collect();
        eventually("there is load", || done.load(Ordering::Acquire) > 50);
        meanwhile();
        over.store(true, Ordering::Release);
        for load in load {
            load.join().unwrap();
        }
        for stream in streams {
            let reply = stream.join().unwrap();
            reply.is(200);
            assert_eq!(reply.events().last().map(String::as_str), Some("[DONE]"));
        }
    });
    assert_eq!(failed.load(Ordering::Acquire), 0);
    assert!(done.load(Ordering::Acquire) >= REQUESTS);
}

#[test]
fn a_restart_in_the_background_fails_no_request_and_breaks_no_stream() {
    let mock = mock_builder(2)
        .event_delay(Duration::from_millis(50))
        .output_tokens(80)
        .start()
        .unwrap();
    let home = Home::new();
    home.write_config(&config(&mock.url(), 2, json!({"port": free_port()})));
    let detached = Detached::start(&home);
    let port = detached.port;
    let old = pid_at(port).unwrap();
    under_load(&mock, port, || {
        home.run(&["restart", "--port", &port.to_string()], &[])
            .is(0)
            .says(&["Restarted", &old.to_string()]);
        let new = pid_at(port).unwrap();
        assert_ne!(
            new, old,
            "the new one answers as soon as `restart` has ended"
        );
        assert!(runs(old), "the old one finishes its streams");
    });
    let new = pid_at(port).unwrap();
    eventually("the old one ends with its last stream", || !runs(old));
    let records = records(&home);
    assert_eq!(records.len(), 1);
    assert_eq!(records[0]["pid"].as_u64(), Some(new));
    let log = home.state_files();
    let log = log
        .iter()
        .find(|(path, _)| path.ends_with(format!("{port}.log")));
    let (_, log) = log.expect("the log is where it was");
    assert!(log.contains("has taken over") && log.matches("listens on").count() == 2);
    home.run(&["stop", "--port", &port.to_string()], &[]).is(0);
    eventually("the new one ends", || !runs(new));
}

/// Sessions that are there before a restart, and some that begin during it.
const SESSIONS: usize = 100;

#[test]
fn sessions_with_and_without_ids_stay_on_their_account_across_restarts_under_load() {
    let mock = mock_builder(4).record(1_000_000).start().unwrap();
    let home = Home::new();
    home.write_config(&config(&mock.url(), 4, json!({"port": free_port()})));
    let detached = Detached::start(&home);
    let load = Load::new(detached.port, SESSIONS);
    load.run(|| {
        // The first restart comes while sessions begin.
        for turns in [0, 2] {
            load.turns(turns);
            home.run(&["restart"], &[]).is(0);
        }
        load.turns(3);
    });
    assert_eq!(load.failures(), 0);
    let homes = homes(&mock.requests(), SESSIONS);
    let moved: Vec<_> = homes
        .iter()
        .enumerate()
        .filter(|(_, homes)| homes.len() != 1)
        .collect();
    assert!(moved.is_empty(), "{} moved: {moved:?}", moved.len());
}

#[test]
fn in_the_foreground_the_old_process_stays_for_who_watches_it() {
    let mock = mock(2);
    let home = Home::new();
    let port = free_port();
    home.write_config(&config(&mock.url(), 2, json!({"port": port})));
    let mut proxy = Proxy::start_in(&home, &["start"], &[("PORT", "")]);
    let old = u64::from(proxy.pid());
    for _ in 0..2 {
        home.run(&["restart"], &[]).is(0);
    }
    let new = pid_at(port).unwrap();
    assert_ne!(new, old);
    assert_eq!(proxy.ended(), None);
    home.run(&["stop"], &[]).is(0);
    eventually("it ends as the new one does", || {
        proxy.ended() == Some(Some(0))
    });
    eventually("the new one has ended", || !runs(new));
    assert!(records(&home).is_empty());
}

#[test]
fn a_signal_to_the_old_process_in_the_foreground_ends_both() {
    let (_mock, mut proxy) = pair(1);
    proxy.announced();
    let port = proxy.port.to_string();
    proxy.home.run(&["restart", "--port", &port], &[]).is(0);
    let new = pid_at(proxy.port).unwrap();
    signal(u64::from(proxy.pid()), "TERM");
    eventually("both end", || proxy.ended() == Some(Some(0)) && !runs(new));
}

#[test]
fn a_connection_that_is_kept_is_closed_with_its_next_answer() {
    let (_mock, proxy) = pair(1);
    proxy.announced();
    let mut kept = proxy.client();
    kept.send("GET", MODELS, &[], b"");
    kept.read().is(200);
    let fresh = proxy.client();
    let port = proxy.port.to_string();
    proxy.home.run(&["restart", "--port", &port], &[]).is(0);
    for mut client in [kept, fresh] {
        client.send("GET", MODELS, &[], b"");
        let reply = client.read();
        reply.is(200);
        assert_eq!(reply.header("connection"), Some("close"));
    }
}

#[test]
fn a_new_process_that_cannot_start_leaves_the_old_one_and_restart_says_why() {
    let (_mock, mut proxy) = pair(1);
    proxy.announced();
    let port = proxy.port.to_string();
    let good = fs::read_to_string(proxy.home.config_path()).unwrap();
    fs::write(proxy.home.config_path(), "{\"keys\": 7}").unwrap();
    proxy
        .home
        .run(&["restart", "--port", &port], &[])
        .is(1)
        .says(&["not restarted", "goes on", "keys"]);
    assert_eq!(pid_at(proxy.port), Some(u64::from(proxy.pid())));
    assert_eq!(records(&proxy.home)[0]["pid"], proxy.pid());
    proxy.turn("s", &chat("hi")).is(200);
    fs::write(proxy.home.config_path(), good).unwrap();
    proxy.home.run(&["restart", "--port", &port], &[]).is(0);
    assert_eq!(proxy.ended(), None);
}

#[test]
fn restart_moves_to_another_port_if_the_configuration_says_so() {
    let mock = mock(1);
    let home = Home::new();
    let (from, to) = (free_port(), free_port());
    home.write_config(&config(&mock.url(), 1, json!({"port": from})));
    let _proxy = Proxy::start_in(&home, &["start"], &[("PORT", "")]);
    home.write_config(&config(&mock.url(), 1, json!({"port": to})));
    let output = home.run(&["restart", "--port", &from.to_string()], &[]);
    output.is(0).says(&["now on port", &to.to_string()]);
    assert!(pid_at(to).is_some());
    eventually("the old port is closed", || {
        TcpStream::connect(("127.0.0.1", from)).is_err()
    });
    home.run(&["stop"], &[]).is(0);
}

#[test]
fn a_program_that_took_the_place_of_this_one_is_what_runs_after_a_restart() {
    let mock = mock(1);
    let home = Home::new();
    let port = free_port();
    home.write_config(&config(&mock.url(), 1, json!({"port": port})));
    // A copy that can be replaced, which a link is not.
    let program = home.path("api-key-lb");
    fs::copy(env!("CARGO_BIN_EXE_api-key-lb"), &program).unwrap();
    let run = |args: &[&str]| {
        let mut command = Command::new(&program);
        command
            .args(args)
            .env_clear()
            .env("HOME", home.path("home"))
            .env("XDG_STATE_HOME", home.path("state"))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    };
    let mut child = run(&["start"]).spawn().unwrap();
    eventually("it serves", || !records(&home).is_empty());
    let new = home.path("new");
    fs::copy(env!("CARGO_BIN_EXE_api-key-lb"), &new).unwrap();
    fs::rename(&new, &program).unwrap();
    assert!(run(&["restart"]).status().unwrap().success());
    let pid = pid_at(port).unwrap();
    #[cfg(target_os = "linux")]
    assert_eq!(fs::read_link(format!("/proc/{pid}/exe")).unwrap(), program);
    assert_ne!(pid, u64::from(child.id()));
    assert!(run(&["stop"]).status().unwrap().success());
    eventually("it ends", || child.try_wait().unwrap().is_some());
}

#[test]
fn a_stop_soon_after_a_restart_does_not_leave_the_old_process_for_long() {
    let mock = mock(1);
    mock.fault(
        api_key_lb_mock::Fault::on("*")
            .times(1)
            .stall_after(1, None),
    );
    let home = Home::new();
    let settings = json!({"port": free_port(), "drain_timeout_ms": 300});
    home.write_config(&config(&mock.url(), 1, settings));
    let detached = Detached::start(&home);
    let old = pid_at(detached.port).unwrap();
    let mut client = Client::connect(detached.port);
    client.send("POST", CHAT, &[], chat_stream("hi").to_string().as_bytes());
    assert_eq!(client.head().status, 200);
    home.run(&["restart"], &[]).is(0);
    std::thread::sleep(Duration::from_millis(600));
    assert!(runs(old), "drain_timeout_ms does not count for a restart");
    home.run(&["stop"], &[]).is(0);
    eventually("the old one ends, too", || !runs(old));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let (mock, mut proxy) = pair_with(1, json!({"drain_timeout_ms": 60_000}));
    mock.fault(api_key_lb_mock::Fault::on("*").stall_after(1, None));
    let mut client = proxy.client();
    client.send("POST", CHAT, &[], chat_stream("hi").to_string().as_bytes());
    assert_eq!(client.head().status, 200);
    let pid = u64::from(proxy.pid());
    signal(pid, "TERM");
    eventually("it says that it stops", || {
        proxy.output().contains("1 running answers may finish")
    });
    assert_eq!(proxy.ended(), None);
    signal(pid, "INT");
    eventually("it ends", || proxy.ended() == Some(Some(130)));
    assert!(records(&proxy.home).is_empty());
}

#[test]
fn a_request_that_is_held_when_the_end_begins_is_still_served() {
    let (mock, mut proxy) = pair(1);
    mock.fault(
        api_key_lb_mock::Fault::on("*")
            .times(1)
            .status(429)
            .header("retry-after", "2"),
    );
    let mut client = proxy.client();
    client.send("POST", CHAT, &[], chat("hi").to_string().as_bytes());
    eventually("it is held", || proxy.health()["waiting"] == 1);
    signal(u64::from(proxy.pid()), "TERM");
    client.read().is(200);
    eventually("then it ends", || proxy.ended() == Some(Some(0)));
}
