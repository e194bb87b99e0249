//! `service` with launchd, whose part a script plays: the job it writes, and how it replaces the npm package's.

#![cfg(unix)]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::restart::{pid_at, runs};
use crate::support::{Faked, Output, free_port};

/// Notes how it was called; starts and ends the program as the job it was given.
const LAUNCHCTL: &str = r#"#!/bin/sh
S='@STATE@'
echo "$@" >> "$S/calls"
begin() {
    touch "$S/loaded"
    if grep -q proxy.mjs "$1"; then touch "$S/npm"; return 0; fi
    [ -e "$S/dies" ] && return 0
    '@PROGRAM@' start --config '@CONFIG@' >/dev/null 2>&1 &
    echo $! > "$S/pid"
}
end() {
    [ -e "$S/pid" ] && {
        kill "$(cat "$S/pid")" 2>/dev/null
        while kill -0 "$(cat "$S/pid")" 2>/dev/null; do sleep 0.02; done
        rm -f "$S/pid"
    }
    rm -f "$S/npm" "$S/loaded"
}
case $1 in
print | list)
    [ $1 = print ] && [ -e "$S/no-gui" ] && exit 125
    [ -e "$S/loaded" ] || exit 113
    [ -e "$S/pid" ] || exit 0
    [ $1 = print ] && printf '\tstate = running\n\tpid = %s\n' "$(cat "$S/pid")"
    [ $1 = list ] && printf '\t"PID" = %s;\n' "$(cat "$S/pid")"
    ;;
bootstrap)
    [ -e "$S/no-gui" ] && { echo "Bootstrap failed: 125: Domain does not support specified action" >&2; exit 125; }
    begin "$3"
    ;;
bootout) [ -e "$S/no-gui" ] && exit 125; end ;;
load) begin "$3" ;;
unload) end ;;
print-disabled) [ -e "$S/disabled" ] && printf '\t"com.api-key-lb" => disabled\n' ;;
enable) rm -f "$S/disabled" ;;
esac
exit 0
"#;

const NPM: &str = include_str!("../../src/service/snapshots/npm-1.0.5.plist");
/// What the npm package answers to `/health`.
const OLD_HEALTH: &str = r#"{"status":"ok","target":"https://api.z.ai","keys":[{"id":0,"key":"abc...","requests":0,"errors":0,"cache_hits":0,"status":"ready"}],"sessions":0,"uptime_ms":5}"#;

fn launchd() -> Faked {
    Faked::new(&[("launchctl", LAUNCHCTL)])
}

fn run(faked: &Faked, args: &[&str]) -> Output {
    let mut all = vec!["service"];
    all.extend(args);
    all.extend(["--manager", "launchd"]);
    faked.run(&all)
}

fn agents(faked: &Faked) -> PathBuf {
    faked.home.path("home/Library/LaunchAgents")
}

fn plist(faked: &Faked) -> PathBuf {
    agents(faked).join("com.api-key-lb.plist")
}

/// Calls that change something, without the numbers of the user.
fn calls(faked: &Faked) -> Vec<String> {
    let calls = faked.calls();
    calls
        .iter()
        .map(|line| line.split(' ').next().unwrap().to_owned())
        .collect()
}

/// Answers as the npm package does for as long as `launchctl` says that it runs.
fn npm_proxy(faked: &Faked) -> std::thread::JoinHandle<()> {
    let listener = TcpListener::bind(("127.0.0.1", faked.port)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let running = faked.home.path("fake/npm");
    std::thread::spawn(move || {
        while running.exists() {
            let Ok((mut stream, _)) = listener.accept() else {
                std::thread::sleep(Duration::from_millis(5));
                continue;
            };
            let _ = stream.set_nonblocking(false);
            let _ = stream.read(&mut [0; 2048]);
            let length = OLD_HEALTH.len();
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{OLD_HEALTH}"
            );
        }
    })
}

#[test]
fn a_job_is_installed_left_alone_updated_and_removed() {
    let mut faked = launchd();
    run(&faked, &["status"]).is(4);
    run(&faked, &["install"]).is(0).says(&["Installed"]);
    assert_eq!(calls(&faked), ["enable", "bootstrap"]);
    let pid = pid_at(faked.port).unwrap();
    let text = fs::read_to_string(plist(&faked)).unwrap();
    assert!(text.contains("<string>com.api-key-lb</string>"), "{text}");
    let log = faked.home.path("home/.config/api-key-lb/proxy.log");
    assert!(text.contains(&log.display().to_string()), "{text}");

    run(&faked, &["install"]).is(0).says(&["Nothing to do"]);
    assert_eq!(calls(&faked), [""; 0]);
    let status = run(&faked, &["status", "--json"]);
    let status: Value = serde_json::from_str(&status.is(0).stdout).unwrap();
    assert_eq!(
        (&status["port"], &status["pid"], &status["enabled"]),
        (&faked.port.into(), &pid.into(), &true.into())
    );
    fs::write(&log, "first\nsecond\n").unwrap();
    let logs = run(&faked, &["logs", "-n", "1"]);
    assert_eq!(logs.is(0).stdout, "second\n");

    // The port is in the configuration only, but a flag of ours is in the job.
    let old = faked.port;
    faked.move_to(free_port());
    run(&faked, &["install", "--port", &faked.port.to_string()])
        .is(0)
        .says(&["Updated"]);
    assert_eq!(calls(&faked), ["bootout", "enable", "bootstrap"]);
    assert!(!runs(pid) && pid_at(faked.port).is_some());
    assert!(TcpListener::bind(("127.0.0.1", old)).is_ok());

    let pid = pid_at(faked.port).unwrap();
    run(&faked, &["uninstall"]).is(0).says(&["Removed"]);
    assert_eq!(calls(&faked), ["bootout"]);
    assert!(!runs(pid) && !plist(&faked).exists());
    run(&faked, &["uninstall"]).is(0).says(&["Nothing to do"]);
}

#[test]
fn where_nobody_is_logged_in_at_the_screen_the_older_orders_are_used() {
    let faked = launchd();
    faked.set("no-gui");
    run(&faked, &["install"]).is(0);
    assert_eq!(calls(&faked), ["enable", "bootstrap", "load"]);
    run(&faked, &["status"]).is(0);
    run(&faked, &["uninstall"]).is(0);
    assert_eq!(calls(&faked), ["bootout", "unload"]);
}

#[test]
fn the_npm_packages_job_ends_first_is_kept_and_can_be_put_back() {
    let faked = launchd();
    let path = plist(&faked);
    faked
        .home
        .write("home/Library/LaunchAgents/com.api-key-lb.plist", NPM);
    faked.set("loaded");
    faked.set("npm");
    let npm = npm_proxy(&faked);
    run(&faked, &["status"]).says(&["by the npm package"]);
    run(&faked, &["install"]).is(0).says(&[
        "Updated",
        "npm package's service, which is kept in",
        "--restore",
    ]);
    npm.join().unwrap();
    assert_eq!(calls(&faked), ["bootout", "enable", "bootstrap"]);
    assert!(pid_at(faked.port).is_some());
    let kept: Vec<PathBuf> = fs::read_dir(agents(&faked))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|found| *found != path)
        .collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    let name = kept[0].file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with("com.api-key-lb.plist.npm-20"), "{name}");
    assert_eq!(fs::read_to_string(&kept[0]).unwrap(), NPM);

    run(&faked, &["uninstall"]).is(0).says(&["still kept in"]);
    run(&faked, &["uninstall", "--restore"])
        .is(0)
        .says(&["Restored"]);
    assert_eq!(fs::read_to_string(&path).unwrap(), NPM);
    assert!(!kept[0].exists() && faked.is_set("npm"));
    run(&faked, &["uninstall"])
        .is(1)
        .says(&["the npm package's"]);
}

#[test]
fn an_npm_proxy_that_launchd_does_not_run_is_named_and_left_alone() {
    let faked = launchd();
    faked.set("npm");
    let npm = npm_proxy(&faked);
    run(&faked, &["install"])
        .is(1)
        .says(&["npx api-key-lb@1 stop", "nothing was installed"]);
    assert_eq!(calls(&faked), [""; 0]);
    assert!(!plist(&faked).exists());
    fs::remove_file(faked.home.path("fake/npm")).unwrap();
    npm.join().unwrap();
}

#[test]
fn a_job_that_was_changed_by_hand_stays_and_one_that_was_disabled_is_started() {
    let faked = launchd();
    run(&faked, &["install"]).is(0);
    calls(&faked);
    faked.set("disabled");
    run(&faked, &["status"]).is(0).says(&["no"]);
    run(&faked, &["install"]).is(0).says(&["Started"]);
    assert_eq!(calls(&faked), ["bootout", "enable", "bootstrap"]);
    let text = fs::read_to_string(plist(&faked)).unwrap();
    let text = text.replace("Interactive", "Background");
    fs::write(plist(&faked), &text).unwrap();
    for order in ["install", "uninstall"] {
        run(&faked, &[order]).is(1).says(&["changed by hand"]);
    }
    assert_eq!(calls(&faked), [""; 0]);
    assert_eq!(fs::read_to_string(plist(&faked)).unwrap(), text);
}
