//! What was observed about one request, for whoever counts, logs and explains.

mod client;
mod hidden;
mod id;
mod trace;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::moment::Moment;
use crate::plan::KeyId;
use crate::verdict::Matter;

pub use client::Client;
pub use hidden::Hidden;
pub use id::{NoRequestId, RequestId};
pub use trace::Trace;

/// How the serving key relates to the session: the value of `x-lb-affinity`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Affinity {
    /// The session's home served.
    Home,
    /// A session not seen before (or forgotten); this is its home now.
    New,
    /// The home cannot serve right now; the pin stays.
    Borrowed,
    /// The home is gone (key refused or removed); this is the new one.
    Moved,
    /// No session: the keys take turns.
    None,
}

impl Affinity {
    /// As written in `x-lb-affinity` and the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Home => "home",
            Self::New => "new",
            Self::Borrowed => "borrowed",
            Self::Moved => "moved",
            Self::None => "none",
        }
    }
}

/// A session: one agent conversation, however it was recognised. 128 bits, so that two
/// conversations never collide by chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SessionId(pub u128);

impl SessionId {
    /// The session as one pool knows it. An agent may use one id with two pools; each of them has
    /// accounts, and so a home for it, of its own.
    #[must_use]
    pub fn within(self, pool: &str) -> Self {
        if pool.is_empty() {
            return self;
        }
        let mut bytes = pool.as_bytes().to_vec();
        bytes.extend_from_slice(&self.0.to_le_bytes());
        Self(xxhash_rust::xxh3::xxh3_128(&bytes))
    }

    /// The part of the session that its sub-agent `agent` is.
    #[must_use]
    pub fn part(self, agent: u64) -> Self {
        let mut bytes = self.0.to_le_bytes().to_vec();
        bytes.extend_from_slice(&agent.to_le_bytes());
        Self(xxhash_rust::xxh3::xxh3_128(&bytes))
    }

    /// The first eight hexadecimal digits, enough to tell sessions apart in a log.
    pub fn short(self) -> String {
        format!("{:08x}", self.0 >> 96)
    }

    /// All 32 of them, by which it can be named.
    pub fn full(self) -> String {
        format!("{:032x}", self.0)
    }

    /// The session that [`SessionId::full`] names.
    pub fn of_full(digits: &str) -> Option<Self> {
        let all = digits.len() == 32 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        let number = u128::from_str_radix(digits, 16).ok()?;
        all.then_some(Self(number))
    }
}

/// A model, by the name that the client gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ModelId(u64);

impl ModelId {
    /// The model called `name`.
    pub fn of(name: &str) -> Self {
        Self(xxhash_rust::xxh3::xxh3_64(name.as_bytes()))
    }

    /// The number itself, for hashing and for remembering it.
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The one with this number, which was remembered.
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }
}

/// Which part of what its rule names a session is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    #[default]
    Whole,
    /// One sub-agent.
    SubAgent,
    /// One conversation of an id that many share.
    Conversation,
}

/// Tokens as the provider counted them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// The whole prompt, cached part included.
    pub prompt: u64,
    /// The part of the prompt that came from the provider's cache.
    pub cached: u64,
    /// The part of the prompt that was written to it, where the provider counts that.
    pub written: u64,
    /// What was generated.
    pub output: u64,
}

/// How one request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The whole answer was relayed.
    Complete,
    /// The client left first.
    ClientLeft,
    /// The upstream broke off, or fell silent, after the answer had begun.
    Cut,
    /// We answered ourselves; the code is that of `x-lb-error`.
    Own(&'static str),
}

/// One attempt with one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The key that was used.
    pub key: KeyId,
    /// The status of the answer; `None` if there was none.
    pub status: Option<u16>,
    /// What the answer, or its absence, was taken for, and the rule that decided; `None` until then.
    pub verdict: Option<(Matter, &'static str)>,
    /// From when the request's head had been read until it began.
    pub began: Duration,
    /// From its beginning until that was known.
    pub took: Duration,
}

impl Attempt {
    /// One that begins.
    pub const fn begun(key: KeyId) -> Self {
        Self {
            key,
            status: None,
            verdict: None,
            began: Duration::ZERO,
            took: Duration::ZERO,
        }
    }
}

/// Everything observed about one request, sent once when it has ended.
#[derive(Clone, Debug)]
pub struct Fact {
    /// What it is called.
    pub id: RequestId,
    /// When its head had been read.
    pub began: Moment,
    /// From then until the first byte of the answer was handed on.
    pub first_byte: Duration,
    /// From then until it ended.
    pub took: Duration,
    /// The method, upper case.
    pub method: http::Method,
    /// The path without query (a query may hold a credential).
    pub path: String,
    /// The pool's name; empty for the default pool.
    pub pool: String,
    /// The status the client got; 0 if it left before.
    pub status: u16,
    /// The model named in the request, if it was read.
    pub model: Option<String>,
    /// The conversation.
    pub session: Option<SessionId>,
    /// Which rule recognised it.
    pub rule: Option<Arc<str>>,
    /// Which part of what the rule names it is.
    pub part: Part,
    /// How the serving key relates to it.
    pub affinity: Affinity,
    /// Why it was that key, in words, where there is more to say than `affinity` does.
    pub reason: Option<String>,
    /// How long it was kept waiting for an account.
    pub waited: Duration,
    /// From when its head had been read until it was first sent to a provider, without that waiting:
    /// what is added by us, and by receiving its body. `None` if it never was sent.
    pub added: Option<Duration>,
    /// Which program it came from.
    pub client: Client,
    /// The trace that its client says it is part of.
    pub trace: Option<Trace>,
    /// What was tried, in order; the last one's answer was relayed, if any was.
    pub attempts: Vec<Attempt>,
    /// Tokens, where the answer stated them.
    pub usage: Option<Usage>,
    /// Bytes of the request body.
    pub request_bytes: u64,
    /// Bytes of the answer body handed on.
    pub response_bytes: u64,
    /// How it ended.
    pub ending: Ending,
}

impl Fact {
    /// About a request that has just begun, of which nothing more is known.
    pub fn begun(id: RequestId, began: Moment, method: http::Method, path: String) -> Self {
        Self {
            id,
            began,
            first_byte: Duration::ZERO,
            took: Duration::ZERO,
            method,
            path,
            pool: String::new(),
            status: 0,
            model: None,
            session: None,
            rule: None,
            part: Part::Whole,
            affinity: Affinity::None,
            reason: None,
            waited: Duration::ZERO,
            added: None,
            client: Client::default(),
            trace: None,
            attempts: Vec::new(),
            usage: None,
            request_bytes: 0,
            response_bytes: 0,
            ending: Ending::ClientLeft,
        }
    }

    /// The code by which we refused it, if we did.
    pub const fn error_code(&self) -> Option<&'static str> {
        match self.ending {
            Ending::Own(code) => Some(code),
            _ => None,
        }
    }
}
