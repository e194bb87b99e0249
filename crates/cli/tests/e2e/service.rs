//! `service` with systemd: the units it writes, what it has systemd do, and what it leaves alone.

#![cfg(unix)]

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::restart::pid_at;
use crate::support::{Faked, Home, Proxy, chat, config, eventually, free_port, mock};

/// Set where a test that needs a program of the system must not do without.
const REQUIRED: &str = "REQUIRE_SYSTEMD_ANALYZE";

/// Notes how it was called; starts and ends the program as the unit that was asked for.
const SYSTEMCTL: &str = r#"#!/bin/sh
S='@STATE@'
echo "$@" >> "$S/calls"
[ "$1" = --version ] && { echo "systemd 252 (252.38)"; exit 0; }
[ -e "$S/unreachable" ] && { echo "Failed to connect to bus: No medium found" >&2; exit 1; }
shift
verb=$1
shift
end() {
    [ -e "$S/pid" ] || return 0
    kill "$(cat "$S/pid")" 2>/dev/null
    while kill -0 "$(cat "$S/pid")" 2>/dev/null; do sleep 0.02; done
    rm -f "$S/pid"
}
begin() {
    [ -e "$S/fails" ] && { echo "Job for $1 failed." >&2; exit 1; }
    touch "$S/$1.active"
    [ "$1" = api-key-lb.service ] || return 0
    [ -e "$S/pid" ] && return 0
    sh -c 'SYSTEMD_EXEC_PID=$$ AKLB_UNIT=api-key-lb.service MANAGERPID=1 exec "$0" start --config "$1"' \
        '@PROGRAM@' '@CONFIG@' >/dev/null 2>&1 &
    echo $! > "$S/pid"
    while ! ls '@STATES@'/api-key-lb/*.json >/dev/null 2>&1; do sleep 0.02; done
}
case $verb in
show-environment) printf 'LANG=C\nFROM_MANAGER=yes\n' ;;
show)
    for unit; do :; done
    active=inactive enabled=disabled
    [ -e "$S/$unit.active" ] && active=active
    [ -e "$S/$unit.enabled" ] && enabled=enabled
    printf 'ActiveState=%s\nSubState=x\nUnitFileState=%s\n' $active $enabled
    [ "$unit" = api-key-lb.service ] && [ -e "$S/pid" ] && echo "MainPID=$(cat "$S/pid")"
    [ "$unit" = api-key-lb.service ] && [ -e "$S/$unit.enabled" ] && echo "TriggeredBy=api-key-lb.socket"
    exit 0
    ;;
enable) for unit; do touch "$S/$unit.enabled"; done ;;
disable | stop)
    for unit; do
        [ "$unit" = --now ] && continue
        [ $verb = disable ] && rm -f "$S/$unit.enabled"
        rm -f "$S/$unit.active"
        [ "$unit" = api-key-lb.service ] && end
    done
    exit 0
    ;;
start) for unit; do begin "$unit"; done ;;
restart) end; for unit; do begin "$unit"; done ;;
esac
"#;

/// What only these tests ask of it.
impl Faked {
    pub fn systemd() -> Self {
        Self::new(&[
            ("systemctl", SYSTEMCTL),
            ("loginctl", "#!/bin/sh\necho Linger=no\n"),
            (
                "journalctl",
                "#!/bin/sh\necho \"journal $@\" >> '@STATE@/calls'\necho a line of the journal\n",
            ),
        ])
    }

    fn unit(&self, name: &str) -> PathBuf {
        self.home.path("home/.config/systemd/user").join(name)
    }

    /// What is below the directory of the units.
    pub fn units(&self) -> Vec<String> {
        let entries = fs::read_dir(self.unit("")).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

#[test]
fn an_installed_service_runs_is_left_alone_when_nothing_changed_and_goes_without_a_trace() {
    let faked = Faked::systemd();
    faked.run(&["service", "status"]).is(4);
    faked.run(&["service", "install"]).is(0).says(&[
        "Installed",
        "build directory",
        "loginctl enable-linger",
    ]);
    assert_eq!(
        faked.calls(),
        [
            "--user daemon-reload",
            "--user enable api-key-lb.service api-key-lb.socket",
            "--user start api-key-lb.socket",
            "--user start api-key-lb.service",
        ]
    );
    let pid = pid_at(faked.port).unwrap();
    let socket = fs::read_to_string(faked.unit("api-key-lb.socket")).unwrap();
    assert!(socket.contains(&format!("ListenStream=127.0.0.1:{}\n", faked.port)));
    let service = fs::read_to_string(faked.unit("api-key-lb.service")).unwrap();
    let line = format!("--config {}\n", faked.home.config_path().display());
    assert!(service.contains(&line), "{service}");
    let state = faked.home.path("state");
    let line = format!("XDG_STATE_HOME={}", state.display());
    assert!(service.contains(&line), "{service}");

    faked
        .run(&["service", "install"])
        .is(0)
        .says(&["Nothing to do"]);
    assert_eq!(faked.calls(), [""; 0]);
    faked.run(&["start"]).is(0).says(&["Already running"]);
    assert_eq!(pid_at(faked.port), Some(pid));

    let status = faked.run(&["service", "status"]);
    status
        .is(0)
        .says(&["systemd", "yes, starts at login", "active", "ago"]);
    let status = faked.run(&["service", "status", "--json"]);
    let status: Value = serde_json::from_str(&status.is(0).stdout).unwrap();
    assert_eq!(status["port"], faked.port);
    assert_eq!(status["pid"], pid);
    assert_eq!(status["made_by"], "us");
    assert!(status["since_ms"].as_u64().unwrap() > 0);

    faked.calls();
    faked
        .run(&["service", "uninstall"])
        .is(0)
        .says(&["Removed"]);
    assert_eq!(
        faked.calls(),
        [
            "--user disable --now api-key-lb.socket api-key-lb.service",
            "--user daemon-reload",
            "--user reset-failed api-key-lb.service api-key-lb.socket",
        ]
    );
    assert_eq!(faked.units(), [""; 0]);
    assert_eq!(pid_at_or_none(faked.port), None);
    faked
        .run(&["service", "uninstall"])
        .is(0)
        .says(&["Nothing to do"]);
    faked.run(&["service", "status"]).is(4);
    assert_eq!(faked.calls(), [""; 0]);
}

#[test]
fn stop_keeps_the_socket_from_starting_it_again() {
    let faked = Faked::systemd();
    faked.run(&["service", "install"]).is(0);
    faked.calls();
    faked.run(&["stop"]).is(0).says(&["Stopped"]);
    assert_eq!(
        faked.calls(),
        ["--user stop -- api-key-lb.socket api-key-lb.service"]
    );
    faked.run(&["service", "status"]).is(3);
}

fn pid_at_or_none(port: u16) -> Option<u64> {
    std::net::TcpStream::connect(("127.0.0.1", port)).ok()?;
    pid_at(port)
}

#[test]
fn a_change_of_the_port_moves_the_socket_and_a_stopped_service_is_only_started() {
    let mut faked = Faked::systemd();
    faked.run(&["service", "install"]).is(0);
    faked.calls();
    let old = faked.port;
    faked.move_to(free_port());
    faked.run(&["service", "install"]).is(0).says(&["Updated"]);
    assert_eq!(
        faked.calls(),
        [
            "--user daemon-reload",
            "--user stop api-key-lb.service api-key-lb.socket",
            "--user enable api-key-lb.service api-key-lb.socket",
            "--user start api-key-lb.socket",
            "--user start api-key-lb.service",
        ]
    );
    eventually("it serves there", || pid_at_or_none(faked.port).is_some());
    assert_eq!(pid_at_or_none(old), None);

    let systemctl = faked.home.path("bin/systemctl");
    let stopped = Command::new(systemctl)
        .args(["--user", "stop", "api-key-lb.service"])
        .status();
    assert!(stopped.unwrap().success());
    faked
        .run(&["service", "status"])
        .is(3)
        .says(&["inactive", "starts with the next request"]);
    faked.calls();
    faked.run(&["service", "install"]).is(0).says(&["Started"]);
    assert_eq!(
        faked.calls(),
        [
            "--user enable api-key-lb.service api-key-lb.socket",
            "--user start api-key-lb.socket",
            "--user start api-key-lb.service",
        ]
    );
}

#[test]
fn what_people_wrote_or_changed_is_neither_replaced_nor_removed_unless_forced() {
    let faked = Faked::systemd();
    let own = "[Service]\nExecStart=/bin/true\n";
    faked
        .home
        .write("home/.config/systemd/user/api-key-lb.service", own);
    for order in ["install", "uninstall"] {
        faked.run(&["service", order]).is(1).says(&[
            "was not made by",
            "nothing was done",
            "--force",
        ]);
    }
    assert_eq!(faked.calls(), [""; 0]);
    assert_eq!(faked.units(), ["api-key-lb.service"]);
    faked.run(&["service", "install", "--force"]).is(0);
    let kept = faked.units();
    let kept = kept.iter().find(|name| name.contains(".by-hand-"));
    let kept = fs::read_to_string(faked.unit(kept.unwrap())).unwrap();
    assert_eq!(kept, own);

    let path = faked.unit("api-key-lb.service");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("WatchdogSec=30", "WatchdogSec=31")).unwrap();
    for order in ["install", "uninstall"] {
        faked
            .run(&["service", order])
            .is(1)
            .says(&["was changed by hand"]);
    }
    faked
        .run(&["service", "status"])
        .is(0)
        .says(&["changed by hand"]);
    faked.run(&["service", "uninstall", "--force"]).is(0);
    assert!(faked.units().iter().all(|name| name.contains(".by-hand-")));
}

#[test]
fn a_proxy_in_the_background_is_stopped_and_one_in_a_terminal_is_left_to_who_started_it() {
    let faked = Faked::systemd();
    faked.run(&["start", "--detach"]).is(0);
    let before = pid_at(faked.port).unwrap();
    faked
        .run(&["service", "install"])
        .is(0)
        .says(&["Stopped the proxy"]);
    assert_ne!(pid_at(faked.port), Some(before));
    assert!(!crate::restart::runs(before));

    let faked = Faked::systemd();
    let _proxy = Proxy::start_in(&faked.home, &["start"], &[("PORT", "")]);
    _proxy.announced();
    faked
        .run(&["service", "install"])
        .is(1)
        .says(&["in a terminal", "api-key-lb stop --port"]);
    assert_eq!(faked.units(), [""; 0]);
    assert_eq!(faked.calls(), [""; 0]);
}

#[test]
fn a_port_that_another_program_has_is_named_and_nothing_is_written() {
    let faked = Faked::systemd();
    let mock = mock(1);
    let mut faked = faked;
    let port = mock.url().rsplit(':').next().unwrap().parse().unwrap();
    faked.move_to(port);
    faked
        .run(&["service", "install"])
        .is(1)
        .says(&["another program", &port.to_string()]);
    assert_eq!(faked.units(), [""; 0]);
}

#[test]
fn without_a_manager_of_services_it_says_why_and_installs_nothing_by_halves() {
    let faked = Faked::systemd();
    faked.set("unreachable");
    faked.run(&["service", "install"]).is(1).says(&[
        "cannot be reached",
        "XDG_RUNTIME_DIR",
        "No medium found",
        "start --detach",
    ]);
    faked
        .run_with(&["service", "install"], &[("WSL_DISTRO_NAME", "Ubuntu")])
        .is(1)
        .says(&["/etc/wsl.conf"]);
    assert_eq!(faked.units(), [""; 0]);
    let none = Faked::new(&[]);
    let bin = none.home.path("bin").display().to_string();
    none.home
        .run(&["service", "install"], &[("PATH", &bin)])
        .is(1)
        .says(&["no systemd here"]);
    faked
        .run(&["service", "install", "--manager", "none"])
        .is(1)
        .says(&["crontab"]);
}

#[test]
fn a_service_that_does_not_start_is_taken_back_and_its_journal_shown() {
    let mut faked = Faked::systemd();
    faked.set("fails");
    faked.run(&["service", "install"]).is(1).says(&[
        "failed",
        "a line of the journal",
        "there again",
    ]);
    assert_eq!(faked.units(), [""; 0]);
    fs::remove_file(faked.home.path("fake/fails")).unwrap();
    faked.run(&["service", "install"]).is(0);
    let before = fs::read_to_string(faked.unit("api-key-lb.socket")).unwrap();
    faked.set("fails");
    faked.move_to(free_port());
    faked.run(&["service", "install"]).is(1);
    let after = fs::read_to_string(faked.unit("api-key-lb.socket")).unwrap();
    assert_eq!(after, before);
}

#[test]
fn a_service_that_could_not_read_its_keys_is_not_installed() {
    let faked = Faked::systemd();
    let config = |key: &str| json!({"target": "http://h", "keys": [key], "port": faked.port});
    faked.home.write_config(&config("env:ONLY_HERE"));
    faked
        .run_with(
            &["service", "install"],
            &[("ONLY_HERE", "sk-planted-0123"), ("AKLB_LOG", "off")],
        )
        .is(1)
        .says(&["would not start", "ONLY_HERE", "AKLB_LOG"]);
    assert_eq!(faked.units(), [""; 0]);
    // The manager has this one.
    faked.home.write_config(&config("env:FROM_MANAGER"));
    fs::write(faked.home.path("fake/fails"), "").unwrap();
    faked.run(&["service", "install"]).is(1).says(&["Job for"]);
    let empty = Home::new();
    let env = [("PATH", faked.path.as_str())];
    empty
        .run(&["service", "install"], &env)
        .is(1)
        .says(&["no configuration file", "setup"]);
    empty
        .run_with(
            &["service", "install", "--port", "0", "--config", "c.json"],
            &env,
            b"",
        )
        .is(1)
        .says(&["c.json"]);
}

#[test]
fn logs_are_those_of_the_journal() {
    let faked = Faked::systemd();
    faked
        .run(&["service", "logs", "--follow", "-n", "7"])
        .is(0)
        .says(&["a line of the journal"]);
    assert_eq!(
        faked.calls(),
        ["journal --user-unit api-key-lb.service --lines=7 --follow"]
    );
}

/// What systemd itself has to say about the units, from a home with a name that is hard to write.
#[test]
fn systemd_finds_nothing_wrong_with_the_units() {
    if Command::new("systemd-analyze")
        .arg("--version")
        .stdout(Stdio::null())
        .status()
        .is_err()
    {
        assert!(
            std::env::var_os(REQUIRED).is_none(),
            "systemd-analyze is missing, and ${REQUIRED} is set"
        );
        eprintln!("NOT TESTED: the units, because there is no systemd-analyze here");
        return;
    }
    let faked = Faked::systemd();
    let program = faked.home.path("a b %q $x ${HOME} #é;/api-key-lb");
    fs::create_dir_all(program.parent().unwrap()).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_api-key-lb"), &program).unwrap();
    let config = fs::read_to_string(faked.home.config_path()).unwrap();
    let config = faked.home.write("a \"b\" 'c' \\ %d $x.json", &config);
    let command = faked.home.command(
        &["service", "install", "--config", config.to_str().unwrap()],
        &[("PATH", &faked.path)],
    );
    let installed = Command::new(&program)
        .args(command.get_args())
        .env_clear()
        .envs(
            command
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .output()
        .unwrap();
    assert!(installed.status.success(), "{installed:?}");
    let verified = Command::new("systemd-analyze")
        .args(["--user", "verify", "--man=no"])
        .args([
            faked.unit("api-key-lb.service"),
            faked.unit("api-key-lb.socket"),
        ])
        .env("XDG_RUNTIME_DIR", faked.home.path("state"))
        .env("HOME", faked.home.path("home"))
        .env_remove("XDG_CONFIG_HOME")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&verified.stderr);
    // It finds the program only if it reads the path as we meant it, and warns of options it does not know.
    assert!(verified.status.success() && said.is_empty(), "{said}");
}

#[test]
fn requests_pass_through_the_service() {
    let mock = mock(1);
    let faked = Faked::systemd();
    faked
        .home
        .write_config(&config(&mock.url(), 1, json!({"port": faked.port})));
    faked.run(&["service", "install"]).is(0);
    let mut client = crate::support::Client::connect(faked.port);
    let body = chat("hi").to_string();
    client.send("POST", crate::support::CHAT, &[], body.as_bytes());
    client.read().is(200);
}
