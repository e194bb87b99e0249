//! Where a session id may stand and in which order it is looked for: the ladder of rules, as data.
//!
//! Every rule names the client it was measured on or documented for; `docs/sessions.md` shows the
//! table with the requests it was tested on. A person's own rules come before all of them.

mod path;
mod table;

use std::sync::Arc;

use http::HeaderName;

pub use path::{BadPath, Path, PathTree, Step};
pub use table::{AGENTS, LADDER, NEVER, PARENTS};

/// A set of values that are compared with each other: equal values of one family are one session,
/// whichever rule of the family found them; equal values of two families are two sessions.
pub type Family = &'static str;

/// The family of what a person configured, so that `x-my-chat: 7` is not `chat_id: 7`: the name of
/// the rule is mixed in as well.
pub const CONFIGURED: Family = "configured";

/// Where a rule looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A request header.
    Header(HeaderName),
    /// A string in the body.
    Body(Path),
    /// A string in the body that names an earlier answer.
    AnswerInBody(Path),
    /// A header whose value an earlier answer gave out.
    AnswerInHeader(HeaderName),
    /// What follows a mark in the first user message or the system prompt.
    Text(Mark),
    /// The content of the conversation itself.
    Content,
}

/// An id written into the prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// OpenClaw: `… | sessionId=<uuid> | …` in the first user message.
    OpenClaw,
    /// Hermes with `--pass-session-id`: a line `Session ID: …` in the system prompt.
    Hermes,
}

/// What of a value is the id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// All of it.
    Whole,
    /// Claude Code's `metadata.user_id`: JSON with `session_id`, before 2.1.78 a string that ends
    /// in `_session_<uuid>`.
    ClaudeUser,
    /// All of it unless it is a hash of content: `pck_…` is one system prompt, not one session.
    NoContentHash,
    /// All of it if it looks like a session: `session_…`, `ses_…` or a UUID.
    SessionLike,
    /// All of it if the user agent is a program known to send its session id there; elsewhere the
    /// same header is fresh for every request.
    SessionOfAgent,
}

/// One rung of the ladder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its number in the table of the documentation; a person's own rules have none.
    pub number: Option<u8>,
    /// Its name in logs, in `status` and in `why`.
    pub name: Arc<str>,
    /// What keeps equal values of different meaning apart.
    pub family: Family,
    /// Where it looks.
    pub place: Place,
    /// What of the value is the id.
    pub reading: Reading,
    /// Where its body path ends in [`Ladder::paths`].
    pub at: Option<usize>,
    /// Whether the value may be shared by many conversations (a tenant, a user), so that it must
    /// be split when it turns out to be. Not so where a client has a session of its own in mind
    /// and names its sub-agents, or where a person said that this is the id.
    pub may_be_shared: bool,
}

/// A rule that a person configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnRule {
    /// A request header.
    Header(HeaderName),
    /// A string in the body.
    Body(Path),
}

/// The rules in force, in order, and the tree of the body paths that they read.
#[derive(Clone, Debug)]
pub struct Ladder {
    rules: Vec<Rule>,
    paths: PathTree,
    /// The headers that rules look at, in order.
    names: Vec<HeaderName>,
    /// The bits of all these names.
    filter: u64,
}

impl Rule {
    /// The header that it looks at, if it looks at one.
    pub const fn header(&self) -> Option<&HeaderName> {
        match &self.place {
            Place::Header(name) | Place::AnswerInHeader(name) => Some(name),
            _ => None,
        }
    }
}

/// One of 64 bits for a header's name, by its first letter and its length.
fn bit_of(name: &HeaderName) -> u64 {
    let name = name.as_str().as_bytes();
    let first = usize::from(name.first().copied().unwrap_or_default());
    1 << ((first * 7 + name.len()) % 64)
}

impl Ladder {
    /// A person's own rules, then the built-in ones.
    pub fn new(own: &[OwnRule]) -> Self {
        let own = own.iter().map(|rule| {
            let (name, place) = match rule {
                OwnRule::Header(header) => {
                    (format!("header {header}"), Place::Header(header.clone()))
                }
                OwnRule::Body(path) => (format!("body {path}"), Place::Body(path.clone())),
            };
            Rule {
                number: None,
                name: name.into(),
                family: CONFIGURED,
                place,
                reading: Reading::Whole,
                at: None,
                may_be_shared: false,
            }
        });
        let mut rules: Vec<Rule> = own
            .chain(table::LADDER.iter().map(table::Row::rule))
            .collect();
        let mut paths = PathTree::default();
        for rule in &mut rules {
            if let Place::Body(path) | Place::AnswerInBody(path) = &rule.place {
                rule.at = Some(paths.add(path));
            }
        }
        let mut names: Vec<HeaderName> = rules.iter().filter_map(Rule::header).cloned().collect();
        names.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
        names.dedup();
        let filter = names.iter().fold(0, |filter, name| filter | bit_of(name));
        Self {
            rules,
            paths,
            names,
            filter,
        }
    }

    /// Whether a rule may look at the header: requests have a dozen that none looks at, and asking
    /// each rule for its own costs more.
    pub fn looks_at(&self, name: &HeaderName) -> bool {
        self.filter & bit_of(name) != 0
            && self
                .names
                .binary_search_by(|known| known.as_str().cmp(name.as_str()))
                .is_ok()
    }

    /// The rules, first one first.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The body paths that the rules read.
    pub const fn paths(&self) -> &PathTree {
        &self.paths
    }
}

impl Default for Ladder {
    fn default() -> Self {
        Self::new(&[])
    }
}
