//! The units of systemd, as text, and what can be read from them again.

use std::fmt::Write as _;
use std::net::SocketAddr;

use super::made::{MARK, seal};
use super::wanted::Job;
use super::{SOCKET, UNIT};

/// The first version of systemd whose restarts can become rarer and rarer.
const BACKOFF_SINCE: u32 = 254;
/// Where the answers of people who read the units are.
const HOME_PAGE: &str = "https://github.com/api-key-lb/api-key-lb";
/// Seconds between being asked to stop and being killed, besides what running answers have.
const STOP_SLACK_SECONDS: u64 = 20;

/// The service. `version` is that of systemd.
pub(super) fn service(job: &Job, version: u32) -> String {
    let start: Vec<String> = job.start().iter().map(|word| argument(word)).collect();
    let reload: Vec<String> = job.reload().iter().map(|word| argument(word)).collect();
    // What is run is not searched for variables, and may not have all characters: see `program_objection`.
    let program = quoted(&job.program);
    let mut variables = String::new();
    for (name, value) in &job.variables {
        // Writing to a String cannot fail.
        let _ = writeln!(
            variables,
            "Environment={}",
            quoted(&format!("{name}={value}"))
        );
    }
    let backoff = if version >= BACKOFF_SINCE {
        "RestartSec=1\nRestartSteps=6\nRestartMaxDelaySec=60"
    } else {
        "RestartSec=5"
    };
    seal(&format!(
        "\
# {MARK}, which also replaces it.
# Your own settings belong into `systemctl --user edit {UNIT}`.

[Unit]
Description=api-key-lb: several API keys of one LLM provider as one
Documentation={HOME_PAGE}
Requires={SOCKET}
After={SOCKET}
# However often it has failed: the next attempt may find the configuration repaired.
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart={program} {start}
ExecReload={program} {reload}
Environment=AKLB_UNIT=%n
{variables}WatchdogSec=30
Restart=on-failure
{backoff}
TimeoutStopSec={stop}
LimitNOFILE=65536
# A core dump would have the keys in it.
LimitCORE=0
UMask=0077

# What the manager of a user can enforce on every system; namespaces for files cannot be had everywhere.
NoNewPrivileges=yes
LockPersonality=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
SystemCallFilter=@system-service

[Install]
WantedBy=default.target
Also={SOCKET}
",
        start = start.join(" "),
        reload = reload.join(" "),
        stop = job.drain.as_secs().saturating_add(STOP_SLACK_SECONDS),
    ))
}

/// The socket: the port is open as long as somebody is logged in, also while the proxy restarts.
pub(super) fn socket(addresses: &[SocketAddr]) -> String {
    let mut listen = String::new();
    for address in addresses {
        // Writing to a String cannot fail.
        let _ = writeln!(listen, "ListenStream={address}");
    }
    seal(&format!(
        "\
# {MARK}, which also replaces it.
# Run that again when `port` or `host` has changed.

[Unit]
Description=The port of api-key-lb
Documentation={HOME_PAGE}

[Socket]
{listen}BindIPv6Only=ipv6-only
# An address that comes later, or not at all, does not keep the others away.
FreeBind=yes
Backlog=1024

[Install]
WantedBy=sockets.target
"
    ))
}

/// The addresses that a socket unit listens on.
pub(super) fn addresses(socket: &str) -> Vec<SocketAddr> {
    socket
        .lines()
        .filter_map(|line| line.strip_prefix("ListenStream=")?.trim().parse().ok())
        .collect()
}

/// What a service unit of ours runs, program and arguments; `None` if it says it in another way.
pub(super) fn command(service: &str) -> Option<Vec<String>> {
    let line = service
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart="))?;
    words(line)
}

/// Why systemd would not run this program: it refuses such paths, however they are written.
pub(super) fn program_objection(program: &str) -> Option<String> {
    let bad = program.chars().find(|char| "'\"\\".contains(*char))?;
    Some(format!(
        "systemd runs no program whose path has the character {bad} in it: {program}; move api-key-lb to \
         another directory and run `api-key-lb service install` from there"
    ))
}

/// A word that systemd takes as it is.
fn quoted(text: &str) -> String {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "/._-=+".contains(char);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    let escaped = text
        .replace('\\', r"\\")
        .replace('"', "\\\"")
        .replace('%', "%%");
    format!("\"{escaped}\"")
}

/// The same among the arguments of a program, where variables are replaced.
fn argument(text: &str) -> String {
    quoted(&text.replace('$', "$$"))
}

/// The words of a command as [`quoted`] and [`argument`] write them.
fn words(line: &str) -> Option<Vec<String>> {
    let mut words: Vec<String> = Vec::new();
    let mut chars = line.trim().chars().peekable();
    while let Some(first) = chars.next() {
        let mut word = String::new();
        if first == '"' {
            loop {
                match chars.next()? {
                    '"' => break,
                    '\\' => word.push(chars.next()?),
                    char => word.push(char),
                }
            }
        } else {
            word.push(first);
            while let Some(char) = chars.next_if(|char| *char != ' ') {
                word.push(char);
            }
        }
        while chars.next_if_eq(&' ').is_some() {}
        let word = word.replace("%%", "%");
        words.push(if words.is_empty() {
            word
        } else {
            word.replace("$$", "$")
        });
    }
    (!words.is_empty()).then_some(words)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::wanted::tests::job;
    use super::super::wanted::tests::snapshot;
    use super::*;

    #[test]
    fn the_units_are_what_the_snapshots_say() {
        snapshot("api-key-lb.service", &service(&job(), 252));
        snapshot("api-key-lb.socket", &socket(&job().addresses));
        let recent = service(&job(), 254);
        assert!(recent.contains("RestartSteps=6\nRestartMaxDelaySec=60\n"));
    }

    #[test]
    fn addresses_and_command_are_read_back() {
        let job = job();
        assert_eq!(addresses(&socket(&job.addresses)), job.addresses);
        let mut wanted = vec![job.program.clone()];
        wanted.extend(job.start());
        assert_eq!(command(&service(&job, 252)), Some(wanted));
        assert_eq!(command("[Service]\nExecStart=\"open"), None);
    }

    #[test]
    fn what_systemd_would_refuse_is_refused_before() {
        assert!(program_objection("/opt/it's/api-key-lb").is_some());
        assert!(program_objection("/opt/a b %q $x é/api-key-lb").is_none());
    }

    proptest! {
        #[test]
        fn any_text_stays_one_word_and_what_it_was(
            first in r#"[a-z "'\\%$#;é€{}]{0,12}"#,
            second in r#"\PC{0,24}"#,
        ) {
            let line = format!("{} start {} {}", quoted(&first), argument(&first), argument(&second));
            prop_assert_eq!(
                words(&line),
                Some(vec![first.clone(), "start".to_owned(), first, second])
            );
        }
    }
}
