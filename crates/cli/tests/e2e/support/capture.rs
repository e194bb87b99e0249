//! Requests of real agents, recorded with the core's tests, as they are sent again.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Proxy, Reply};

/// What belongs to the connection or the coding that the recording had.
const NOT_SENT_AGAIN: &[&str] = &[
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "expect",
    "host",
    "transfer-encoding",
    "upgrade",
];

#[derive(Deserialize)]
struct Stored {
    path: String,
    headers: Vec<(String, String)>,
    body: Option<Box<RawValue>>,
    frames: Option<Vec<Box<RawValue>>>,
}

/// A request that can be sent to a proxy.
pub struct Captured {
    pub file: PathBuf,
    pub target: String,
    pub headers: Vec<(String, String)>,
    /// Of a WebSocket, its first frame: what a client sends once it has fallen back to HTTP.
    pub body: Vec<u8>,
}

/// The recording `client/scenario`.
pub fn captured(name: &str) -> Captured {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../core/tests/captures")
        .join(format!("{name}.json"));
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{name}: {error}"));
    let stored: Stored = serde_json::from_str(&text).unwrap();
    let is_sent = |name: &str| {
        let name = name.to_ascii_lowercase();
        !NOT_SENT_AGAIN.contains(&name.as_str()) && !name.starts_with("sec-websocket-")
    };
    let frame = stored.frames.into_iter().flatten().next();
    let body = stored.body.or(frame);
    Captured {
        file,
        target: stored.path,
        headers: stored
            .headers
            .into_iter()
            .filter(|(name, _)| is_sent(name))
            .collect(),
        body: body.map_or(Vec::new(), |body| body.get().as_bytes().to_vec()),
    }
}

/// The head and the messages of a WebSocket.
pub fn captured_frames(name: &str) -> (Vec<(String, String)>, Vec<String>) {
    let captured = captured(name);
    let text = fs::read_to_string(captured.file).unwrap();
    let stored: Stored = serde_json::from_str(&text).unwrap();
    let frames = stored.frames.into_iter().flatten();
    let frames = frames.map(|frame| frame.get().to_owned()).collect();
    (captured.headers, frames)
}

impl Captured {
    pub fn send(&self, proxy: &Proxy) -> Reply {
        let headers: Vec<(&str, &str)> = self
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        proxy.ask("POST", &self.target, &headers, &self.body)
    }
}
