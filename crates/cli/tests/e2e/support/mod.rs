//! What every topic needs: keys, mocks, bodies, waiting with a deadline.

mod capture;
mod client;
#[cfg(unix)]
mod faked;
mod load;
mod program;
mod proxy;
#[cfg(target_os = "linux")]
mod terminal;
mod upstream;
pub mod websocket;

use std::time::{Duration, Instant};

use api_key_lb_mock::{Account, Builder, Mock};
use serde_json::{Value, json};

pub use capture::{Captured, captured, captured_frames};
pub use client::{Client, End, Reply};
#[cfg(unix)]
pub use faked::Faked;
pub use load::{Load, homes, is_named};
pub use program::{Home, Output, set_mode};
pub use proxy::Proxy;
#[cfg(target_os = "linux")]
pub use terminal::Terminal;
pub use upstream::{Connection, RawRequest, Upstream};

/// No test waits longer than this for anything that should happen.
pub const DEADLINE: Duration = Duration::from_secs(10);
/// How often [`eventually`] looks.
const POLL: Duration = Duration::from_millis(5);

pub const CHAT: &str = "/v1/chat/completions";
pub const RESPONSES: &str = "/v1/responses";
pub const MESSAGES: &str = "/v1/messages";
pub const MODELS: &str = "/v1/models";

/// The key number `number` of a mock, from 1.
pub fn key(number: usize) -> String {
    format!("sk-mock-{number:02}-0123456789abcdefghij-{number:02}")
}

/// The first `count` keys.
pub fn keys(count: usize) -> Vec<String> {
    (1..=count).map(key).collect()
}

/// A mock with `count` accounts of one key each, which records.
pub fn mock_builder(count: usize) -> Builder {
    (1..=count).fold(Mock::builder().record(1000), |builder, number| {
        builder.account(Account::new(format!("org-{number:02}")).key(key(number)))
    })
}

pub fn mock(count: usize) -> Mock {
    mock_builder(count).start().unwrap()
}

/// A mock with `count` keys and a proxy that has them all.
pub fn pair(count: usize) -> (Mock, Proxy) {
    let mock = mock(count);
    let proxy = Proxy::start(json!({"target": mock.url(), "keys": keys(count)}));
    (mock, proxy)
}

/// The same with further settings.
pub fn pair_with(count: usize, settings: Value) -> (Mock, Proxy) {
    let mock = mock(count);
    let proxy = Proxy::start(config(&mock.url(), count, settings));
    (mock, proxy)
}

/// A configuration with `count` keys for `target`, and `settings`.
pub fn config(target: &str, count: usize, settings: Value) -> Value {
    let mut config = settings;
    config["target"] = target.into();
    config["keys"] = keys(count).into();
    config
}

pub fn chat(text: &str) -> Value {
    json!({"model": "m", "messages": [{"role": "user", "content": text}]})
}

pub fn chat_stream(text: &str) -> Value {
    json!({"model": "m", "stream": true, "messages": [{"role": "user", "content": text}]})
}

/// The key of the last recorded request.
pub fn last_key(mock: &Mock) -> String {
    let requests = mock.requests();
    let last = requests.last().expect("the mock has seen no request");
    last.key.clone().unwrap_or_default()
}

/// How many requests each of the first `count` keys got.
pub fn spread(mock: &Mock, count: usize) -> Vec<u64> {
    let counters = mock.counters();
    keys(count)
        .iter()
        .map(|key| counters.key(key).map_or(0, |key| key.requests))
        .collect()
}

/// Waits until `condition` holds; fails the test, naming `what`, if it does not.
#[track_caller]
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < end, "within {DEADLINE:?}: {what}");
        std::thread::sleep(POLL);
    }
}

/// A port on which nothing listens, of which this process keeps nobody else from taking it.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}
