//! Which conversation a chain of messages continues: what each session's messages were, bounded.
//!
//! A session is found by the longest known chain that only it has been through. Where that chain ends
//! within the session's last request decides what the new one is: its next turn, an edited or
//! compacted history, or another conversation that merely begins alike.

use std::num::NonZeroUsize;
use std::time::Duration;

use lru::LruCache;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::hashed::{AsIsBuilder, Hashed};
use super::memory::{Changed, LinkRow};
use crate::conversation::Conversation;
use crate::fact::SessionId;
use crate::moment::Moment;
use links::{Effect, Owners, disown, own};

/// Every one of a conversation's first links is remembered: openings are short and told apart …
const OPENING_LINKS: usize = 16;
/// … later ones at this distance, which finds where an edited history leaves the old one …
const STRIDE: usize = 8;
/// … up to this many for one session; then the distance doubles.
const LINKS_OF_A_SESSION: usize = 64;
/// Links remembered in all, per session that may be remembered: of so many, few are long …
const LINKS_PER_SESSION: usize = 8;
/// … and at least so many, some 2 MB, for those who allow only a few sessions.
const LINKS_AT_LEAST: usize = 65_536;
/// Conversations that may begin with the same messages before those count as canned: examples in
/// the prompt, "hello". Chosen with `crates/sim`.
const FEW: u16 = 16;
/// Messages a conversation must have had before a shorter one with its opening counts as its
/// compacted history. Agents compact when a window of 100 000 tokens fills, not in the first turns.
const COMPACTED_FROM: usize = 8;
/// A body is read whole again when it has grown by this share (1 in 4) and by so many bytes: a
/// prefix a little shorter than the conversation is as good for placing what branches off it.
const GROWTH: u64 = 4;
const GROWTH_BYTES: u64 = 32 << 10;

/// A session's number in the table of links: 4 bytes where its id has 16.
type Handle = u32;

/// What is known of one session's messages.
#[derive(Debug)]
struct Thread {
    handle: Handle,
    used: Moment,
    /// Messages of its latest request, the link of the last one and of the last but one.
    length: usize,
    end: u64,
    before_end: u64,
    /// Messages of its first request.
    opening: usize,
    /// Bytes of the latest body that was read whole.
    read_bytes: u64,
    /// Whether an id names it. Its messages are then not read each time, and a client that sends
    /// ids sends them always: nothing without an id continues it.
    named: bool,
    /// Whether its first request came twice: then two conversations may have begun with it.
    began_twice: bool,
    /// Whether it has changed since it was last remembered.
    is_marked: bool,
    /// Its links in the table.
    links: Vec<LinkRow>,
    stride: usize,
}

/// What a conversation was recognised as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It continues this session.
    Known(SessionId),
    /// It is another one.
    New(SessionId),
}

/// The longest known beginning of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kin {
    /// How many messages it has.
    pub(super) messages: usize,
    /// The sessions that have been through it.
    pub(super) sessions: [Option<SessionId>; 2],
    /// Whether it reaches beyond what many conversations begin with.
    distinguishing: bool,
    /// The bytes of text that it has.
    pub(super) bytes: u32,
}

/// The table.
#[derive(Debug)]
pub(super) struct Lineage {
    threads: LruCache<SessionId, Thread, AsIsBuilder>,
    sessions: Vec<Option<SessionId>>,
    free: Vec<Handle>,
    links: Hashed<u64, Owners>,
    most_links: usize,
    ttl: Duration,
    pub(super) changed: Changed<SessionId>,
}

/// A chain as one pool and, within it, one split id sees it.
#[derive(Debug)]
pub(super) struct Chain<'c> {
    conversation: &'c Conversation,
    seed: u64,
}

impl<'c> Chain<'c> {
    /// Chains with different seeds have nothing in common.
    pub(super) fn new(conversation: &'c Conversation, pool: &str, id: Option<SessionId>) -> Self {
        let mut seed = xxh3_64(pool.as_bytes()) ^ conversation.system;
        if let Some(id) = id {
            seed ^= xxh3_64(&id.0.to_le_bytes());
        }
        Self { conversation, seed }
    }

    fn len(&self) -> usize {
        self.conversation.links.len()
    }

    /// The link after `messages` messages.
    fn link(&self, messages: usize) -> Option<u64> {
        let link = self.conversation.links.get(messages.checked_sub(1)?)?;
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&link.to_le_bytes());
        bytes[8..].copy_from_slice(&self.seed.to_le_bytes());
        Some(xxh3_64(&bytes))
    }

    /// The id of a session that begins with this chain's opener: the same in every instance and
    /// after a restart, whatever the turn.
    fn opener_id(&self) -> SessionId {
        let mut bytes = b"fingerprint\0".to_vec();
        bytes.extend_from_slice(&self.seed.to_le_bytes());
        bytes.extend_from_slice(&self.conversation.opener.unwrap_or_default().to_le_bytes());
        SessionId(xxh3_128(&bytes))
    }

    /// Another id for a conversation whose opener is taken.
    fn further_id(&self, attempt: u32) -> SessionId {
        let mut bytes = self.opener_id().0.to_le_bytes().to_vec();
        bytes.extend_from_slice(&self.link(self.len()).unwrap_or_default().to_le_bytes());
        bytes.extend_from_slice(&attempt.to_le_bytes());
        SessionId(xxh3_128(&bytes))
    }
}

/// How many links so many sessions may have together.
fn most_links(sessions: NonZeroUsize) -> usize {
    sessions
        .get()
        .saturating_mul(LINKS_PER_SESSION)
        .max(LINKS_AT_LEAST)
}

impl Lineage {
    /// At most `most` sessions, each forgotten when unused for `ttl`.
    pub(super) fn new(most: usize, ttl: Duration) -> Self {
        let most = NonZeroUsize::new(most).unwrap_or(NonZeroUsize::MIN);
        let mut threads = LruCache::unbounded_with_hasher(AsIsBuilder::default());
        threads.resize(most);
        Self {
            threads,
            sessions: Vec::new(),
            free: Vec::new(),
            links: Hashed::default(),
            most_links: most_links(most),
            ttl,
            changed: Changed::new(most.get()),
        }
    }

    /// Other bounds from now on.
    pub(super) fn resize(&mut self, most: usize, ttl: Duration) {
        let most = NonZeroUsize::new(most).unwrap_or(NonZeroUsize::MIN);
        // The table alone would not give back what its sessions hold.
        while self.threads.len() > most.get() {
            self.forget_oldest();
        }
        self.threads.resize(most);
        self.most_links = most_links(most);
        self.ttl = ttl;
        self.changed.resize(most.get());
    }

    /// The session that the chain continues, or a new one's id. Changes nothing: [`Self::record`]
    /// does.
    pub(super) fn find(&self, chain: &Chain<'_>, now: Moment) -> Found {
        let Some(kin) = self.kin(chain, now) else {
            return self.new_session(chain, now);
        };
        let owners = || kin.sessions.iter().flatten().copied();
        let continued = owners()
            .filter(|session| self.continues(*session, chain))
            .max_by_key(|session| self.threads.peek(session).map_or(0, |thread| thread.length));
        let rewritten = || match kin.sessions {
            [Some(session), None] if self.rewrites(session, chain, kin.messages) => Some(session),
            _ => None,
        };
        match continued.or_else(rewritten) {
            Some(session) => Found::Known(session),
            None => self.new_session(chain, now),
        }
    }

    /// The longest beginning of the chain that some live session has been through.
    pub(super) fn kin(&self, chain: &Chain<'_>, now: Moment) -> Option<Kin> {
        self.all_kin(chain, now).next()
    }

    /// The longest one that reaches beyond what many conversations begin with: system prompts,
    /// examples and canned messages say nothing about where a conversation is warm.
    pub(super) fn distinguishing_kin(&self, chain: &Chain<'_>, now: Moment) -> Option<Kin> {
        self.all_kin(chain, now).find(|kin| kin.distinguishing)
    }

    /// The beginnings that live sessions have been through, the longest first.
    fn all_kin(&self, chain: &Chain<'_>, now: Moment) -> impl Iterator<Item = Kin> {
        (1..=chain.len()).rev().filter_map(move |messages| {
            let owners = self.links.get(&chain.link(messages)?)?;
            let mut live = [Some(owners.latest), owners.other]
                .into_iter()
                .flatten()
                .filter_map(|handle| self.sessions.get(handle as usize).copied().flatten())
                .filter(|session| self.is_live(*session, now));
            let sessions = [live.next(), live.next()];
            sessions[0]?;
            let opening = chain.conversation.before_reply;
            Some(Kin {
                messages,
                sessions,
                distinguishing: owners.grown || (owners.count <= FEW && messages >= opening),
                bytes: chain
                    .conversation
                    .ends
                    .get(messages - 1)
                    .copied()
                    .unwrap_or(0),
            })
        })
    }

    /// Whether the chain holds all of the session's latest request, or all but its last message
    /// and a reply since: OpenClaw throws its last message away each turn.
    fn continues(&self, session: SessionId, chain: &Chain<'_>) -> bool {
        let Some(thread) = self.by_content(session) else {
            return false;
        };
        let without_last = thread.length.saturating_sub(1);
        chain.link(thread.length) == Some(thread.end)
            || (chain.len() > thread.length
                && chain.conversation.last_reply > without_last
                && chain.link(without_last) == Some(thread.before_end))
    }

    /// Whether the chain, which leaves that of `session` after `shared` messages and is nobody
    /// else's so far, is the same conversation with its history changed.
    fn rewrites(&self, session: SessionId, chain: &Chain<'_>, shared: usize) -> bool {
        let Some(thread) = self.by_content(session) else {
            return false;
        };
        let (length, talk) = (chain.len(), chain.conversation);
        if length > thread.length {
            // It has grown, and something in the middle is another: old tool results were pruned,
            // or aider has put its standing messages after the new history. What they share must
            // hold more than the user's words, which may be anyone's.
            return talk.before_reply < shared && talk.last_reply > shared;
        }
        if shared == length {
            // An earlier turn again. With a reply in it, it is this conversation's; without, it is
            // one that begins with the same words.
            return talk.last_reply > 0;
        }
        // An edited prompt or a branch, if they share what was said after the opening …
        shared > thread.opening
            // … or a compacted history whose opening survived. Without a reply it is a beginning.
            || (thread.length >= COMPACTED_FROM
                && length < thread.length
                && talk.last_reply > 0
                && !thread.began_twice)
    }

    fn by_content(&self, session: SessionId) -> Option<&Thread> {
        self.threads.peek(&session).filter(|thread| !thread.named)
    }

    fn new_session(&self, chain: &Chain<'_>, now: Moment) -> Found {
        let mut id = chain.opener_id();
        let mut attempt = 0;
        while self.is_live(id, now) {
            id = chain.further_id(attempt);
            attempt += 1;
        }
        Found::New(id)
    }

    fn is_live(&self, session: SessionId, now: Moment) -> bool {
        let thread = self.threads.peek(&session);
        thread.is_some_and(|thread| now.since(thread.used) <= self.ttl)
    }

    /// Whether a body of `bytes` of a session that is known already should be read whole.
    pub(super) fn wants(&self, session: SessionId, bytes: u64) -> bool {
        let Some(thread) = self.threads.peek(&session) else {
            return true;
        };
        let read = thread.read_bytes;
        bytes >= read + (read / GROWTH).max(GROWTH_BYTES) || bytes < read / 2
    }

    /// The session has been used, without its messages having been read.
    pub(super) fn touch(&mut self, session: SessionId, now: Moment) {
        self.expire(now);
        if let Some(thread) = self.threads.get_mut(&session) {
            thread.used = now;
        }
    }

    /// The session's latest request carried this chain, in a body of `bytes`. `named` says whether
    /// an id names the session.
    pub(super) fn record(
        &mut self,
        session: SessionId,
        named: bool,
        chain: &Chain<'_>,
        bytes: u64,
        now: Moment,
    ) {
        self.expire(now);
        let length = chain.len();
        let Some(end) = chain.link(length) else {
            return;
        };
        let known = self.threads.get_mut(&session).is_some();
        if !known {
            self.insert(session, named, length, now);
        }
        let Some(thread) = self.threads.get_mut(&session) else {
            return;
        };
        thread.began_twice |= known && length == thread.opening && thread.end == end;
        thread.used = now;
        thread.length = length;
        thread.end = end;
        thread.before_end = chain.link(length - 1).unwrap_or_default();
        thread.read_bytes = bytes;
        let full = thread.links.len() >= LINKS_OF_A_SESSION;
        if full {
            thread.stride *= 2;
        }
        let (handle, stride, opening) = (thread.handle, thread.stride, thread.opening);
        let stays = |position: usize| position <= OPENING_LINKS || position.is_multiple_of(stride);
        // The ends of earlier requests have done their work; what is off the chain by now (another
        // branch, a sub-agent's) stays while there is room.
        let gone: Vec<LinkRow> = thread
            .links
            .extract_if(.., |one| {
                let position = one.position as usize;
                !stays(position) || (full && chain.link(position) != Some(one.link))
            })
            .collect();
        let mut have: Vec<u64> = thread.links.iter().map(|one| one.link).collect();
        have.sort_unstable();
        let mut effects: Vec<Effect> = gone
            .iter()
            .filter_map(|one| disown(&mut self.links, one.link, handle))
            .collect();
        for position in 1..=length {
            if (stays(position) || position + 1 >= length)
                && let Some(link) = chain.link(position)
                && have.binary_search(&link).is_err()
            {
                let (owners, left) = own(&mut self.links, link, handle, position > opening);
                effects.extend(left);
                thread.links.push(LinkRow {
                    position: u32::try_from(position).unwrap_or(u32::MAX),
                    rank: owners.count,
                    grown: owners.grown,
                    link,
                });
            }
        }
        self.changed.mark(&mut thread.is_marked, session);
        self.note(effects);
        self.keep_bounds();
    }

    /// What has become of other sessions' links: sessions that begin with the same few messages
    /// push each other out of the table.
    fn note(&mut self, effects: impl IntoIterator<Item = Effect>) {
        for effect in effects {
            let session = self.sessions.get(effect.handle as usize).copied().flatten();
            if let Some(session) = session
                && let Some(thread) = self.threads.peek_mut(&session)
                && let Some(row) = thread.links.iter_mut().find(|row| row.link == effect.link)
            {
                (row.rank, row.grown) = (effect.rank, effect.grown);
                self.changed.mark(&mut thread.is_marked, session);
            }
        }
    }

    fn keep_bounds(&mut self) {
        while self.links.len() > self.most_links && self.threads.len() > 1 {
            self.forget_oldest();
        }
    }

    /// A number for the session in the table of links.
    fn handle(&mut self, session: SessionId) -> Handle {
        let handle = self.free.pop().unwrap_or_else(|| {
            self.sessions.push(None);
            Handle::try_from(self.sessions.len() - 1).unwrap_or(Handle::MAX)
        });
        if let Some(slot) = self.sessions.get_mut(handle as usize) {
            *slot = Some(session);
        }
        handle
    }

    fn insert(&mut self, session: SessionId, named: bool, opening: usize, now: Moment) {
        if self.threads.len() >= self.threads.cap().get() {
            self.forget_oldest();
        }
        let handle = self.handle(session);
        let thread = Thread {
            handle,
            used: now,
            length: 0,
            end: 0,
            before_end: 0,
            opening,
            read_bytes: 0,
            named,
            began_twice: false,
            is_marked: false,
            links: Vec::new(),
            stride: STRIDE,
        };
        self.threads.put(session, thread);
    }

    fn forget_oldest(&mut self) {
        let Some((_, thread)) = self.threads.pop_lru() else {
            return;
        };
        let mut promoted = Vec::new();
        for one in &thread.links {
            promoted.extend(disown(&mut self.links, one.link, thread.handle));
        }
        self.note(promoted);
        if let Some(slot) = self.sessions.get_mut(thread.handle as usize) {
            *slot = None;
        }
        self.free.push(thread.handle);
    }

    fn expire(&mut self, now: Moment) {
        while let Some((_, oldest)) = self.threads.peek_lru()
            && now.since(oldest.used) > self.ttl
        {
            self.forget_oldest();
        }
    }
}

mod join;
mod links;
mod row;

#[cfg(test)]
mod tests;
