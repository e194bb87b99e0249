//! What sessions are recognised by, as rows: their messages as hashes, ids that many share, answers.

use serde::{Deserialize, Serialize};

use crate::fact::SessionId;
use crate::moment::Moment;
use crate::policy::SplitReason;

/// What is known of the messages of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThreadRow {
    /// Which session.
    pub id: SessionId,
    /// When its messages were last read; it may have been used since.
    pub used: Moment,
    /// Messages of its latest request.
    pub length: u32,
    /// The link of the last one …
    pub end: u64,
    /// … and of the last but one.
    pub before_end: u64,
    /// Messages of its first request.
    pub opening: u32,
    /// Whether its first request came twice.
    pub began_twice: bool,
    /// Whether an id names it.
    pub named: bool,
    /// Bytes of the latest body that was read whole.
    pub read_bytes: u64,
    /// At which distance its later links are kept.
    pub stride: u32,
    /// Those that are kept.
    pub links: Vec<LinkRow>,
}

/// One link of a session's messages: a hash of all of them up to this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkRow {
    /// How many messages it stands for.
    pub position: u32,
    /// The how-manieth session it was that came through it; zero if so many came since that it does
    /// not count any more.
    pub rank: u16,
    /// Whether a session has come to it by growing, rather than begun with it.
    pub grown: bool,
    /// The hash.
    pub link: u64,
}

/// An id that several conversations may share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedRow {
    /// The id, as a session.
    pub id: SessionId,
    /// When it was last used.
    pub used: Moment,
    /// What showed that they do, and when.
    pub split: Option<(SplitReason, Moment)>,
    /// Parts of the hashes of its conversations' openers, and when each was seen last, in seconds
    /// since 1970.
    pub openers: Vec<(u32, u32)>,
}

/// The session that an answer belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerRow {
    /// The hash of what it gave out to continue by, and of its pool.
    pub answer: u64,
    /// The session.
    pub session: SessionId,
    /// When it was given out.
    pub learned: Moment,
}
