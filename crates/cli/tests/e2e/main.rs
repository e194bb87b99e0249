//! End-to-end tests: the real program as a process, real sockets, a mock provider in this process.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "all of this is test code, and a failing test shows the log of its proxy"
)]
#![allow(unreachable_pub, reason = "the modules are parts of one test binary")]

mod capacity;
mod check;
mod check_providers;
mod commands;
mod compressed;
mod config_commands;
mod configuration;
mod crash;
mod credentials;
mod dashboard;
mod failover;
mod failover_refusals;
mod guard;
mod holding;
mod identity;
mod include_usage;
mod issued;
mod keys;
mod keys_add;
#[cfg(unix)]
mod keys_told;
mod lifecycle;
mod limits;
mod lists;
mod logs;
mod logs_shown;
mod management;
mod metrics;
mod openings;
mod otlp;
mod outgoing;
mod ownership;
mod placement;
mod regressions;
mod reload;
mod request_ids;
mod restart;
mod restart_meanwhile;
mod restart_told;
mod routing;
mod secrets;
mod service;
mod service_launchd;
#[cfg(unix)]
mod setup_agents;
#[cfg(target_os = "linux")]
mod setup_asks;
mod setup_undo;
mod shared_ids;
mod simulate;
mod status_live;
mod store;
mod store_recognition;
mod store_usage;
mod streams;
mod support;
mod systemd;
mod targets;
mod tls;
mod transparency;
mod transparency_answers;
mod verdicts;
mod websocket;
mod websocket_ends;
mod websocket_moves;
mod websocket_talk;
mod why;
mod why_refusals;
