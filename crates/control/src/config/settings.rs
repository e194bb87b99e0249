//! What is neither key nor pool: addresses, guards, times, sizes, the log.

use std::path::PathBuf;
use std::time::Duration;

use api_key_lb_core::Secret;
use api_key_lb_core::plan::{Guard, Limits, Pacing, Timing};

use super::credential::Told;
use super::environment::Environment;
use super::field::FIELDS;
use super::finding::{Findings, Place, Sourced};
use super::sheet::{Sheet, switch, whole};
use super::{DEFAULT_PORT, Listen, LogFormat, LogLevel, LogSettings, credential, network};

/// The most worker threads unless a number is configured: the machine belongs to the agents.
const MOST_DEFAULT_WORKERS: usize = 4;

/// Days that usage is kept: this month can be compared with the same one of last year.
const DEFAULT_USAGE_DAYS: u32 = 400;

/// Bytes of one file of the log: some 50,000 requests …
const DEFAULT_LOG_BYTES: u64 = 10_000_000;
/// … and how many of them are kept besides the one that is written.
const DEFAULT_LOG_FILES: u32 = 5;

pub(super) fn setting(sheet: &Sheet, name: &str, findings: &mut Findings) -> Option<u64> {
    whole(FIELDS, &sheet.scalars, name, findings)
}

pub(super) fn default_workers() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().min(MOST_DEFAULT_WORKERS))
}

pub(super) fn log_level(sheet: &Sheet, findings: &mut Findings) -> LogLevel {
    let Some(given) = sheet.scalars.get("log") else {
        return LogLevel::default();
    };
    given.value.parse().unwrap_or_else(|error: String| {
        findings.problem(&given.place, error);
        LogLevel::default()
    })
}

pub(super) fn log_settings(sheet: &Sheet, findings: &mut Findings) -> LogSettings {
    let format = sheet.scalars.get("log_format").map(|given| {
        given.value.parse().unwrap_or_else(|error: String| {
            findings.problem(&given.place, error);
            LogFormat::default()
        })
    });
    LogSettings {
        format: format.unwrap_or_default(),
        bytes: setting(sheet, "log_bytes", findings).unwrap_or(DEFAULT_LOG_BYTES),
        files: setting(sheet, "log_files", findings)
            .and_then(|files| u32::try_from(files).ok())
            .unwrap_or(DEFAULT_LOG_FILES),
    }
}

pub(super) fn ca_file(
    sheet: &Sheet,
    env: &Environment,
    findings: &mut Findings,
) -> Option<PathBuf> {
    let given = sheet.scalars.get("ca_file")?;
    let path = env.path(given.value.trim(), credential::base(&given.place, env));
    findings.files.push(path.clone());
    if !path.is_file() {
        findings.problem(
            &given.place,
            format!(
                "there is no file `{}`; `ca_file` names a PEM file with the certificates to trust \
                 besides the system's",
                path.display()
            ),
        );
    }
    Some(path)
}

pub(super) fn timing(sheet: &Sheet, findings: &mut Findings) -> Timing {
    let usual = Timing::default();
    let mut span = |name| setting(sheet, name, findings).map(Duration::from_millis);
    Timing {
        cooldown: span("cooldown_ms").or(usual.cooldown),
        session_ttl: span("session_ttl_ms").unwrap_or(usual.session_ttl),
        max_wait: span("max_wait_ms").unwrap_or(usual.max_wait),
        cache_ttl: span("cache_ttl_ms").or(usual.cache_ttl),
        connect_timeout: span("connect_timeout_ms").unwrap_or(usual.connect_timeout),
        first_byte_timeout: span("first_byte_timeout_ms").unwrap_or(usual.first_byte_timeout),
        idle_timeout: span("idle_timeout_ms").unwrap_or(usual.idle_timeout),
        websocket_idle_timeout: span("websocket_idle_timeout_ms")
            .unwrap_or(usual.websocket_idle_timeout),
        drain_timeout: span("drain_timeout_ms").unwrap_or(usual.drain_timeout),
    }
}

pub(super) fn pacing(sheet: &Sheet, findings: &mut Findings) -> Pacing {
    let percent = setting(sheet, "window_reserve_percent", findings).unwrap_or(0);
    Pacing {
        drain: switch(&sheet.scalars, "drain_windows", findings).unwrap_or(false),
        // Its range was checked: at most 90 percent.
        reserve: u16::try_from(percent * 10).unwrap_or(0),
    }
}

pub(super) fn usage_days(sheet: &Sheet, findings: &mut Findings) -> u32 {
    setting(sheet, "usage_days", findings)
        .and_then(|days| u32::try_from(days).ok())
        .unwrap_or(DEFAULT_USAGE_DAYS)
}

pub(super) fn limits(sheet: &Sheet, findings: &mut Findings) -> Limits {
    let usual = Limits::default();
    let mut size = |name| setting(sheet, name, findings);
    Limits {
        replay_bytes: size("replay_bytes").unwrap_or(usual.replay_bytes),
        body_bytes: size("body_bytes").unwrap_or(usual.body_bytes),
        sessions: size("max_sessions")
            .and_then(|sessions| usize::try_from(sessions).ok())
            .unwrap_or(usual.sessions),
        websockets: size("max_websockets")
            .and_then(|most| usize::try_from(most).ok())
            .unwrap_or(usual.websockets),
        ..usual
    }
}

pub(super) fn listen(sheet: &mut Sheet, findings: &mut Findings) -> Listen {
    let port = setting(sheet, "port", findings)
        .and_then(|port| u16::try_from(port).ok())
        .unwrap_or(DEFAULT_PORT);
    let (hosts, explicit_hosts) =
        network::hosts(sheet.lists.get("host").map_or(&[], Vec::as_slice), findings);
    Listen {
        port,
        hosts,
        explicit_hosts,
    }
}

pub(super) fn client_tokens(
    given: &[Sourced<String>],
    sources: (&Environment, &Told),
    findings: &mut Findings,
) -> Vec<Secret> {
    given
        .iter()
        .enumerate()
        .filter_map(|(index, token)| {
            let what = format!("client token {}", index + 1);
            if token.value.is_empty() {
                findings.problem(
                    &token.place,
                    format!("{what} is empty; write a long random text, or remove it"),
                );
                return None;
            }
            credential::resolve(token, &what, sources, findings)
        })
        .collect()
}

pub(super) fn guard(
    sheet: &mut Sheet,
    listen: &Listen,
    sources: (&Environment, &Told),
    findings: &mut Findings,
) -> Guard {
    let tokens_given = sheet.list("client_tokens");
    let reachable = listen
        .hosts
        .iter()
        .find(|ip| !ip.to_canonical().is_loopback());
    if let (Some(ip), true) = (reachable, tokens_given.is_empty()) {
        let place = sheet
            .lists
            .get("host")
            .and_then(|hosts| hosts.first())
            .map_or(Place::Default, |host| host.place.clone());
        findings.problem(
            &place,
            format!(
                "`host` {ip} can be reached by other machines, and whoever reaches it could spend \
                 your keys; add \"client_tokens\": [\"a-long-random-text\"] to the configuration file \
                 (every client then sends one as its API key), or remove `host` to listen on this \
                 machine only"
            ),
        );
    }
    Guard {
        allowed_hosts: sheet
            .list("allowed_hosts")
            .iter()
            .filter_map(|host| network::allowed_host(host, findings))
            .collect(),
        allowed_origins: sheet
            .list("allowed_origins")
            .iter()
            .filter_map(|origin| network::allowed_origin(origin, findings))
            .collect(),
        client_tokens: client_tokens(&tokens_given, sources, findings),
        beyond_loopback: reachable.is_some(),
    }
}
