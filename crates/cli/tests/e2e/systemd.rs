//! What systemd hears and hands over, and how commands go through it.

#![cfg(unix)]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::restart::{pid_at, records, runs, signal};
use crate::support::{
    Client, DEADLINE, Home, MODELS, Proxy, config, eventually, free_port, mock, set_mode,
};

/// The program as systemd starts it: `sh` becomes it, so that its number is known before.
fn as_systemd(home: &Home, unit: &str, env: &[(&str, &str)]) -> Command {
    let command = home.command(&[], env);
    let program = env!("CARGO_BIN_EXE_api-key-lb");
    let mut shell = Command::new("sh");
    shell
        .args([
            "-c",
            "SYSTEMD_EXEC_PID=$$ LISTEN_PID=$$ exec \"$0\" start",
            program,
        ])
        .env_clear()
        .envs(
            command
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .env("AKLB_UNIT", unit)
        .env("MANAGERPID", "1")
        .current_dir(home.path("cwd"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    shell
}

/// Ends it when dropped.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A `systemctl` that knows of no socket, notes how it was called and then does `script`.
fn fake_systemctl(home: &Home, script: &str) -> (String, std::path::PathBuf) {
    let calls = home.path("calls");
    let text = format!(
        "#!/bin/sh\ncase \"$*\" in *show*) exit 0 ;; esac\necho \"$@\" >> {}\n{script}\n",
        calls.display()
    );
    let path = home.write("bin/systemctl", &text);
    set_mode(&path, 0o700);
    let path = std::env::var("PATH").unwrap_or_default();
    (format!("{}:{path}", home.path("bin").display()), calls)
}

#[test]
fn under_systemd_stop_and_restart_go_through_it() {
    let mock = mock(1);
    let home = Home::new();
    home.write_config(&config(&mock.url(), 1, json!({"port": free_port()})));
    let child = Running(as_systemd(&home, "lb.service", &[]).spawn().unwrap());
    eventually("it notes itself", || !records(&home).is_empty());
    let pid = u64::from(child.0.id());
    assert_eq!(records(&home)[0]["pid"].as_u64(), Some(pid));
    home.run(&["status"], &[])
        .is(0)
        .says(&["systemd (lb.service)"]);
    home.run(&["start"], &[]).is(0).says(&["lready running"]);

    let (path, calls) = fake_systemctl(&home, "exit 5");
    let output = home.run(&["stop"], &[("PATH", &path)]);
    output
        .is(1)
        .says(&["not stopped", "systemctl --user stop -- lb.service"]);
    assert!(runs(pid), "it does not end what would only come back");
    home.run(&["restart"], &[("PATH", &path)])
        .is(1)
        .says(&["systemctl --user restart -- lb.service"]);

    let (path, _) = fake_systemctl(&home, &format!("kill {pid}"));
    home.run(&["stop"], &[("PATH", &path)])
        .is(0)
        .says(&["topped"]);
    let calls = fs::read_to_string(calls).unwrap();
    assert_eq!(
        calls.lines().collect::<Vec<_>>(),
        [
            "--user stop -- lb.service",
            "--user restart -- lb.service",
            "--user stop -- lb.service"
        ]
    );
}

#[test]
fn a_unit_that_starts_while_another_proxy_runs_waits_instead_of_ending_again_and_again() {
    let mock = mock(1);
    let home = Home::new();
    let port = free_port();
    home.write_config(&config(&mock.url(), 1, json!({"port": port})));
    let first = Proxy::start_in(&home, &["start"], &[("PORT", "")]);
    let mut unit = Running(as_systemd(&home, "lb.service", &[]).spawn().unwrap());
    let mut said = String::new();
    BufReader::new(unit.0.stderr.take().unwrap())
        .read_line(&mut said)
        .unwrap();
    assert!(said.contains("waiting until it"), "{said}");
    assert!(unit.0.try_wait().unwrap().is_none());
    drop(first);
    eventually("then it serves", || {
        TcpStream::connect(("127.0.0.1", port)).is_ok()
            && pid_at(port) == Some(u64::from(unit.0.id()))
    });
}

#[test]
fn a_unit_waits_for_a_proxy_that_does_not_talk_to_it_and_reads_its_configuration_again() {
    let mock = mock(1);
    let (home, other) = (Home::new(), Home::new());
    let port = free_port();
    let token = json!({"port": port, "client_tokens": ["a-long-random-text"]});
    other.write_config(&config(&mock.url(), 1, token));
    home.write_config(&config(&mock.url(), 1, json!({"port": port})));
    let first = Proxy::start_in(&other, &["start"], &[("PORT", "")]);
    let mut unit = Running(as_systemd(&home, "lb.service", &[]).spawn().unwrap());
    let mut said = String::new();
    BufReader::new(unit.0.stderr.take().unwrap())
        .read_line(&mut said)
        .unwrap();
    assert!(said.contains("waiting until it"), "{said}");
    let moved = free_port();
    home.write_config(&config(&mock.url(), 1, json!({"port": moved})));
    drop(first);
    eventually("it serves where it shall by now", || {
        TcpStream::connect(("127.0.0.1", moved)).is_ok()
            && pid_at(moved) == Some(u64::from(unit.0.id()))
    });
}

/// What systemd hears.
struct Heard(UnixDatagram);

impl Heard {
    fn at(home: &Home) -> (Self, String) {
        let path = home.path("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        (Self(socket), path.display().to_string())
    }

    /// The next message that is no heartbeat.
    #[track_caller]
    fn next(&self) -> String {
        loop {
            let mut buffer = [0; 1024];
            let length = self.0.recv(&mut buffer).unwrap();
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if text != "WATCHDOG=1" {
                return text;
            }
        }
    }
}

#[test]
fn systemd_hears_of_readiness_reloads_the_next_process_and_the_end() {
    let mock = mock(1);
    let home = Home::new();
    let port = free_port();
    home.write_config(&config(&mock.url(), 1, json!({"port": port})));
    let (heard, place) = Heard::at(&home);
    let env = [
        ("NOTIFY_SOCKET", place.as_str()),
        ("WATCHDOG_USEC", "400000"),
    ];
    let mut unit = Running(as_systemd(&home, "lb.service", &env).spawn().unwrap());
    assert_eq!(heard.next(), "READY=1\nSTATUS=Serving");
    let mut buffer = [0; 1024];
    let length = heard.0.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], b"WATCHDOG=1");

    home.run(&["reload"], &[]).is(0);
    let reloading = heard.next();
    assert!(
        reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="),
        "{reloading}"
    );
    assert!(heard.next().starts_with("READY=1\n"));

    home.run(&["restart"], &[]).is(0);
    let new = records(&home)[0]["pid"].as_u64().unwrap();
    let mut told = [heard.next(), heard.next()];
    told.sort();
    assert_eq!(
        told,
        [format!("MAINPID={new}"), "READY=1\nSTATUS=Serving".into()]
    );
    eventually("the old one gives way", || {
        unit.0
            .try_wait()
            .unwrap()
            .is_some_and(|status| status.success())
    });
    home.run(&["status"], &[])
        .is(0)
        .says(&["systemd (lb.service)"]);
    signal(new, "TERM");
    assert!(heard.next().starts_with("STOPPING=1\n"));
    eventually("it ends", || !runs(new));
}

/// Starts it with a socket that is open already, as systemd does.
fn with_socket(home: &Home, listener: &std::net::TcpListener) -> Running {
    // The shell makes its standard input the first socket after the standard streams.
    let line = "exec 3<&0 0</dev/null; LISTEN_PID=$$ exec \"$0\" start";
    let command = home.command(&[], &[("LISTEN_FDS", "1")]);
    let mut shell = Command::new("sh");
    shell
        .args(["-c", line, env!("CARGO_BIN_EXE_api-key-lb")])
        .env_clear()
        .envs(
            command
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .current_dir(home.path("cwd"))
        .stdin(Stdio::from(std::os::fd::OwnedFd::from(
            listener.try_clone().unwrap(),
        )))
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    Running(shell.spawn().unwrap())
}

#[cfg(target_os = "linux")]
#[test]
fn a_program_that_tells_a_key_does_not_inherit_the_sockets() {
    let mock = mock(1);
    let home = Home::new();
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let open = home.path("open");
    let command = format!(
        "cmd:ls -l /proc/self/fd > {}; echo sk-mock-1",
        open.display()
    );
    home.write_config(&json!({"target": mock.url(), "port": port, "keys": [command]}));
    let _child = with_socket(&home, &listener);
    let mut client = Client::connect(port);
    client.send("GET", "/health", &[], b"");
    client.read().is(200);
    let open = fs::read_to_string(open).unwrap();
    assert!(
        open.contains("/proc/") && !open.contains("socket:"),
        "{open}"
    );
}

#[test]
fn sockets_that_systemd_has_opened_are_used_instead_of_others() {
    let mock = mock(1);
    let home = Home::new();
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    home.write_config(&config(&mock.url(), 1, json!({"port": free_port()})));
    let mut child = with_socket(&home, &listener);
    // Nobody accepts yet, and still nobody is refused.
    let mut early = Client::connect(port);
    early.send("GET", MODELS, &[], b"");
    early.read().is(200);
    assert_eq!(pid_at(port), Some(u64::from(child.0.id())));
    assert_eq!(records(&home)[0]["port"], port);
    // A process that takes over has no other sockets.
    home.run(&["restart", "--port", &port.to_string()], &[])
        .is(0);
    let new = pid_at(port).unwrap();
    assert_ne!(new, u64::from(child.0.id()));
    assert_eq!(records(&home)[0]["port"], port);
    let mut stderr = child.0.stderr.take().unwrap();
    signal(u64::from(child.0.id()), "TERM");
    eventually("it ends", || child.0.try_wait().unwrap().is_some());
    let mut said = String::new();
    stderr.read_to_string(&mut said).unwrap();
    assert!(
        said.contains("the socket that systemd has opened, although `port`"),
        "{said}"
    );
    // Still open: a client that comes now waits for whoever is started next.
    assert!(TcpStream::connect(("127.0.0.1", port)).is_ok());
}

/// Starts the program as a child of the process of launchd, or says that this cannot be done here.
#[cfg(target_os = "linux")]
fn as_launchd(home: &Home, label: &str) -> Option<u64> {
    let command = home.command(&[], &[]);
    // The shell ends at once, and its child belongs to process 1, unless somebody else collects orphans.
    let line = "(sleep 0.3; exec \"$0\" start) >/dev/null 2>&1 &";
    let mut shell = Command::new("sh");
    shell
        .args(["-c", line, env!("CARGO_BIN_EXE_api-key-lb")])
        .env_clear()
        .envs(
            command
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .env("XPC_SERVICE_NAME", label)
        .current_dir(home.path("cwd"))
        .stdin(Stdio::null());
    assert!(shell.status().unwrap().success());
    eventually("it notes itself", || !records(home).is_empty());
    let pid = records(home)[0]["pid"].as_u64().unwrap();
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let parent = stat.rsplit(") ").next().unwrap().split(' ').nth(1).unwrap();
    if parent == "1" {
        return Some(pid);
    }
    signal(pid, "KILL");
    None
}

#[cfg(target_os = "linux")]
#[test]
fn under_launchd_stop_and_restart_go_through_it() {
    let mock = mock(1);
    let home = Home::new();
    home.write_config(&config(&mock.url(), 1, json!({"port": free_port()})));
    let Some(pid) = as_launchd(&home, "com.example.lb") else {
        return;
    };
    let calls = home.path("calls");
    let fake = |script: &str| {
        let text = format!("#!/bin/sh\necho \"$@\" >> {}\n{script}\n", calls.display());
        let path = home.write("bin/launchctl", &text);
        set_mode(&path, 0o700);
        let path = std::env::var("PATH").unwrap_or_default();
        format!("{}:{path}", home.path("bin").display())
    };
    let refuses = fake("exit 3");
    for command in ["stop", "restart"] {
        home.run(&[command], &[("PATH", &refuses)])
            .is(1)
            .says(&["launchctl", "com.example.lb"]);
        assert!(runs(pid), "it does not end what would only come back");
    }
    let kills = fake(&format!("kill {pid}"));
    home.run(&["stop"], &[("PATH", &kills)])
        .is(0)
        .says(&["topped"]);
    eventually("it has ended", || !runs(pid));
    let calls = fs::read_to_string(&calls).unwrap();
    let verbs: Vec<&str> = calls
        .lines()
        .map(|line| line.rsplit_once(' ').unwrap().0)
        .collect();
    assert_eq!(verbs, ["bootout", "kickstart -k", "bootout"]);
}
