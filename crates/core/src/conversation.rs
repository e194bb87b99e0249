//! What a request shows of its conversation: its messages as a chain of hashes, and how it opens.

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use crate::fact::SessionId;

/// A conversation as one request carries it.
///
/// Link `i` stands for all messages up to and including the `i`-th one after the system prompt, so
/// two requests share their first `n` messages exactly if their `n`-th links are equal. 64 bits: a
/// collision puts a stranger's request on a warm account, which costs nothing but luck.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conversation {
    /// One link per message in order, at most [`MAX_LINKS`].
    pub links: Vec<u64>,
    /// For each link, the bytes of text up to and including its message.
    pub ends: Vec<u32>,
    /// How many messages stand before the first one that a model wrote, or seems to have written.
    pub before_reply: usize,
    /// The number of the last message that a model wrote, counted from 1; 0 if there is none.
    pub last_reply: usize,
    /// Hash of the head of the system prompt and of the first user message; `None` without a user
    /// message.
    pub opener: Option<u128>,
    /// Hash of the head of the system prompt alone.
    pub system: u64,
}

/// Most links that are kept, 8 bytes each. The longest conversations of agents have some thousand
/// messages before they are compacted; what comes after the bound is not told apart.
pub const MAX_LINKS: usize = 8192;

impl Conversation {
    /// Whether there is anything to recognise it by.
    pub const fn is_empty(&self) -> bool {
        self.opener.is_none()
    }
}

/// An explicit id that a rule of the ladder found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The session it names.
    pub session: SessionId,
    /// The rule.
    pub rule: Arc<str>,
    /// Whether several conversations may share the id, see [`crate::ladder::Rule::may_be_shared`].
    pub may_be_shared: bool,
}

/// Everything a request says about which conversation it belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Earlier answers that it names, with the rule; they count before `named`.
    pub answers: Vec<(AnswerId, Arc<str>)>,
    /// Its id.
    pub named: Option<Named>,
    /// The sub-agent of the session that sent it, hashed.
    pub agent: Option<u64>,
    /// The session that this one was begun from.
    pub parent: Option<SessionId>,
    /// What the content says; not given for requests that are no part of a conversation.
    pub conversation: Conversation,
}

/// Something an answer gave its client to continue by: the hash of a response's id or of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AnswerId(u64);

impl AnswerId {
    /// For the id of a stored response, or the value of a header with state.
    pub fn of(value: &[u8]) -> Self {
        Self(xxh3_64(value))
    }

    /// The number itself.
    pub(crate) const fn number(self) -> u64 {
        self.0
    }
}
