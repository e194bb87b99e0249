//! What the mock counts, and what it records of requests.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::head::Credential;

/// Bodies up to this many bytes are shown as text by `GET /_mock/requests`.
const SHOWN_BODY_BYTES: usize = 64 * 1024;

/// Counts of one key, or of one account.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KeyCounters {
    /// Requests whose head has been read.
    pub requests: u64,
    /// Answers begun, by HTTP status.
    pub by_status: BTreeMap<u16, u64>,
    /// Prompt tokens of the calls whose answer was begun, cached ones included.
    pub prompt_tokens: u64,
    /// Prompt tokens read from the cache.
    pub cached_tokens: u64,
    /// Output tokens of the calls whose answer was begun (even if it was cut).
    pub output_tokens: u64,
    /// Answers with status 429, scripted or by limit.
    pub refused: u64,
    /// Requests read but not answered to the end.
    pub in_flight: u64,
    /// Requests whose client closed or reset the connection before the end of the answer.
    pub client_gone: u64,
    /// Connections that carried at least one request.
    pub connections: u64,
}

/// A snapshot of everything counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
    /// Sum over all keys, canned answers included (those count only `requests`).
    pub total: KeyCounters,
    /// By key as presented, known or not; `""` are requests without a key. Keys of the configured
    /// accounts are always listed.
    pub keys: BTreeMap<String, KeyCounters>,
    /// By account name; requests with unknown keys belong to none.
    pub accounts: BTreeMap<String, KeyCounters>,
    /// Connections accepted.
    pub connections: u64,
    /// Connections open now.
    pub open_connections: u64,
}

impl Counters {
    /// The counts of a key.
    pub fn key(&self, key: &str) -> Option<&KeyCounters> {
        self.keys.get(key)
    }

    /// The counts of an account.
    pub fn account(&self, name: &str) -> Option<&KeyCounters> {
        self.accounts.get(name)
    }
}

impl KeyCounters {
    /// How many answers with this status were begun.
    pub fn status(&self, status: u16) -> u64 {
        self.by_status.get(&status).copied().unwrap_or(0)
    }

    /// Forgets everything but what is going on now.
    pub(crate) fn reset(&mut self) {
        *self = Self {
            in_flight: self.in_flight,
            ..Self::default()
        };
    }
}

/// A recorded request.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// Number of the request since the start of the mock, from 1.
    pub number: u64,
    /// Number of its connection since the start of the mock, from 1.
    pub connection: u64,
    /// Milliseconds from the start of the mock until the head had been read.
    pub arrived_ms: u64,
    /// The method.
    pub method: String,
    /// Path and query as sent.
    pub target: String,
    /// Headers in wire order and case. Values that are not UTF-8 are decoded as Latin-1.
    pub headers: Vec<(String, String)>,
    /// The exact bytes of the head, with the blank line that ends it.
    pub head: Bytes,
    /// The body without its framing, cut at the configured limit (default 4 MiB).
    pub body: Bytes,
    /// Length of the whole body in bytes.
    pub body_bytes: u64,
    /// XXH3-64 of the whole body.
    pub body_xxh3: u64,
    /// False if the connection ended (or a fault ended it) before the end of the body.
    pub body_complete: bool,
    /// Trailers of a chunked body.
    pub trailers: Vec<(String, String)>,
    /// The key that was used: the first credential.
    pub key: Option<String>,
    /// The account of that key.
    pub account: Option<String>,
    /// Every credential of the request: headers in wire order, then the query.
    pub credentials: Vec<Credential>,
}

impl Recorded {
    /// The first value of a header, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Every value of a header.
    pub fn header_all(&self, name: &str) -> Vec<&str> {
        self.headers
            .iter()
            .filter(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect()
    }

    /// Whether the request carried two different keys.
    pub fn has_conflicting_credentials(&self) -> bool {
        self.credentials
            .windows(2)
            .any(|pair| pair[0].key != pair[1].key)
    }

    /// Whether one credential header (or `?key`) was sent more than once.
    pub fn has_repeated_credentials(&self) -> bool {
        self.credentials.iter().enumerate().any(|(index, one)| {
            self.credentials[..index]
                .iter()
                .any(|other| other.source == one.source)
        })
    }

    /// The body parsed as JSON; `Null` if it is not.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The request as `GET /_mock/requests` shows it.
    pub(crate) fn to_json(&self) -> Value {
        let shown = (self.body.len() < SHOWN_BODY_BYTES)
            .then(|| std::str::from_utf8(&self.body).ok())
            .flatten();
        json!({
            "number": self.number,
            "connection": self.connection,
            "arrived_ms": self.arrived_ms,
            "method": self.method,
            "target": self.target,
            "headers": self.headers,
            "body": shown,
            "body_bytes": self.body_bytes,
            "body_xxh3": format!("{:016x}", self.body_xxh3),
            "body_complete": self.body_complete,
            "trailers": self.trailers,
            "key": self.key,
            "account": self.account,
            "credentials": self.credentials,
            "conflicting_credentials": self.has_conflicting_credentials(),
            "repeated_credentials": self.has_repeated_credentials(),
        })
    }
}
