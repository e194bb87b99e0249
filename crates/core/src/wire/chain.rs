//! Hashes the messages of a request in canonical form, as a chain.
//!
//! Canonical means: what clients change between two turns of one conversation without changing the
//! prompt does not count. Measured on Claude Code, OpenCode, pi, kimi-code and the others: the
//! `cache_control` mark moves to the newest messages; content flips between `[{"type":"text"}]` and a
//! plain string; items of the responses API come back with other ids and states; thoughts and their
//! signatures are dropped from earlier turns. Text parts are joined. Everything else counts, in the
//! order it stands: what changes it changes the provider's prefix too.

use xxhash_rust::xxh3::{Xxh3Default, xxh3_64};

use super::canonical::{
    CLOSE, END, Field, KEY, LITERAL, OPEN, OPEN_LIST, PLAIN_TYPES, Place, REFERENCE, Role,
    THOUGHT_TYPES, VALUE, Word,
};
use super::digest::Digest;
use super::json::Container;
use super::mark::Marks;
use crate::conversation::{Conversation, MAX_LINKS};
use crate::ladder::Mark;

/// How much of the system prompt takes part, in bytes. The first 400 characters are static for
/// every agent measured; dates and directories come later and change when a session is resumed.
const SYSTEM_HEAD: usize = 400;
/// Claude Code's `system[0]`: version and a number of its own, not part of the prompt.
const BILLING_PREFIX: &[u8] = b"x-anthropic-billing-header:";
/// How many containers inside a message are told apart; deeper ones are hashed as they are.
const TRACKED: usize = 8;

/// Where the pieces of the current string go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Sink {
    #[default]
    Nowhere,
    /// Into a word: a role or a type.
    Word(Field),
    /// Text of the message, joined.
    Direct,
    /// A value that is hashed with its key.
    Value,
    /// A part of the system prompt.
    System,
}

/// The message being read.
#[derive(Default)]
struct Message {
    role: Role,
    /// An item of the responses API that is thought, not prompt.
    is_thought: bool,
    /// What a model wrote, though no role says so: a call of a tool, an item the provider keeps.
    is_reply: bool,
    /// Stands for an item that the provider keeps.
    is_reference: bool,
    hash: Digest,
    has_content: bool,
    /// The beginning of its text, for a system prompt.
    head: Vec<u8>,
}

/// Reads the list of messages and the system prompt.
#[derive(Default)]
pub(super) struct ChainReader {
    conversation: Conversation,
    /// Whether messages are hashed, or only the first user message is.
    whole: bool,
    /// Whether ids in the prompt are looked for.
    marks: Option<Marks>,
    /// The head of the system prompt beside the list …
    system: Vec<u8>,
    /// … and whether all of it has been read.
    has_system: bool,
    /// The head of the system messages before the first user message.
    leading: Vec<u8>,
    part: Vec<u8>,
    first_user: Option<u64>,
    has_reply: bool,
    role_may_be_missing: bool,
    system_may_follow: bool,
    message: Message,
    places: [Place; TRACKED],
    /// One bit per depth: whether a key of the container there counted.
    keyed: u16,
    depth: usize,
    /// The depth of the container that is passed over.
    skipping: Option<usize>,
    field: Field,
    /// The key that waits for its value; a null value takes it back.
    key: Word,
    has_key: bool,
    sink: Sink,
    word: Word,
    link: u64,
}

impl ChainReader {
    /// Hashes every message if `whole`, else only as much as the opener needs; looks for ids in
    /// the prompt if `marks`.
    pub(super) fn new(whole: bool, marks: bool) -> Self {
        Self {
            whole,
            marks: marks.then(Marks::default),
            ..Self::default()
        }
    }

    /// Whether the opener is known: the first user message, and the system prompt, which Claude
    /// Code, pi and Gemini CLI send after the messages.
    pub(super) const fn has_opener(&self) -> bool {
        let leads = !self.leading.is_empty() && !self.system_may_follow;
        self.first_user.is_some() && (self.has_system || leads)
    }

    /// The conversation, and the id that was written into the prompt, if any.
    pub(super) fn finish(mut self) -> (Conversation, Option<(Mark, Vec<u8>)>) {
        add_to_system(&mut self.system, &self.leading);
        self.conversation.system = xxh3_64(&self.system);
        if let Some(user) = self.first_user {
            let mut hash = Xxh3Default::new();
            hash.update(&self.system);
            hash.update(&user.to_le_bytes());
            self.conversation.opener = Some(hash.digest128());
        }
        if !self.has_reply {
            self.conversation.before_reply = self.conversation.links.len();
        }
        let mark = self.marks.and_then(Marks::into_found);
        (self.conversation, mark)
    }

    /// A list of messages begins under that key, or stands there as a value of another kind: it
    /// replaces one that came before.
    pub(super) fn list_begins(&mut self, key: &[u8]) {
        self.conversation.links.clear();
        self.conversation.ends.clear();
        self.conversation.before_reply = 0;
        self.conversation.last_reply = 0;
        self.first_user = None;
        self.has_reply = false;
        self.link = 0;
        self.leading.clear();
        self.role_may_be_missing = key == b"contents";
        // `instructions` and developer messages go together.
        self.system_may_follow = key == b"input";
        if let Some(marks) = &mut self.marks {
            marks.list_begins();
        }
        self.depth = 0;
        self.skipping = None;
        self.field = Field::Other;
        self.has_key = false;
    }

    /// A system prompt beside the list begins: it replaces one that came before.
    pub(super) fn system_begins(&mut self) {
        self.system.clear();
        self.has_system = false;
        if let Some(marks) = &mut self.marks {
            marks.system_begins();
        }
    }

    /// That system prompt has ended.
    pub(super) const fn system_ends(&mut self) {
        self.has_system = true;
    }

    /// A string of the system prompt begins.
    pub(super) fn system_text_begins(&mut self) {
        self.part.clear();
        self.sink = Sink::System;
        if let Some(marks) = &mut self.marks {
            marks.text_begins();
        }
    }

    /// The list is one string: the user's text.
    pub(super) fn only_text_begins(&mut self) {
        self.message_begins();
        self.message.role = Role::User;
        self.depth = 0;
        self.direct_text_begins();
    }

    fn message_begins(&mut self) {
        self.message.role = Role::Missing;
        self.message.is_thought = false;
        self.message.is_reply = false;
        self.message.is_reference = false;
        self.message.hash.reset();
        self.message.has_content = false;
        self.message.head.clear();
        self.has_key = false;
        if let Some(marks) = &mut self.marks {
            marks.message_begins();
        }
    }

    fn message_ends(&mut self) {
        let message = &self.message;
        let by_user = match message.role {
            Role::User => true,
            Role::Missing => self.role_may_be_missing,
            _ => false,
        };
        let opens = self.first_user.is_none();
        if opens && let Some(marks) = &mut self.marks {
            marks.message_ends(by_user, message.role == Role::System);
        }
        // Agents put reminders with the system role in the middle of a conversation; what comes
        // before the first user message is the system prompt.
        if message.role == Role::System && opens {
            add_to_system(&mut self.leading, &message.head);
            return;
        }
        if message.is_thought || !(self.whole || opens) {
            return;
        }
        let bytes_before = self.conversation.ends.last().copied().unwrap_or(0);
        let length = u32::try_from(self.message.hash.len()).unwrap_or(u32::MAX);
        let digest = self.message.hash.digest();
        let message = &self.message;
        if by_user && opens && message.has_content {
            self.first_user = Some(digest);
        }
        if self.whole && (message.role == Role::Model || message.is_reply) {
            if !self.has_reply {
                self.has_reply = true;
                self.conversation.before_reply = self.conversation.links.len();
            }
            self.conversation.last_reply = self.conversation.links.len() + 1;
        }
        if self.whole && self.conversation.links.len() < MAX_LINKS {
            let mut bytes = [0; 17];
            bytes[..8].copy_from_slice(&self.link.to_le_bytes());
            bytes[8..16].copy_from_slice(&digest.to_le_bytes());
            bytes[16] = message.role as u8;
            self.link = xxh3_64(&bytes);
            self.conversation.links.push(self.link);
            self.conversation
                .ends
                .push(bytes_before.saturating_add(length));
        }
    }

    /// What the innermost container is.
    fn place(&self) -> Place {
        self.place_at(self.depth)
    }

    fn place_at(&self, depth: usize) -> Place {
        let place = depth.checked_sub(1).and_then(|at| self.places.get(at));
        place.copied().unwrap_or_default()
    }

    /// Whether messages still count.
    const fn reading(&self) -> bool {
        self.whole || self.first_user.is_none()
    }

    /// A container inside the list begins; the list itself is not one.
    pub(super) fn open(&mut self, container: Container) {
        self.depth += 1;
        if self.skipping.is_some() {
            return;
        }
        let dropped = !self.reading()
            || (self.depth > 1 && self.field == Field::Dropped)
            || (self.depth == 1 && container == Container::Array);
        if dropped {
            self.skipping = Some(self.depth);
            self.has_key = false;
            return;
        }
        if self.depth == 1 {
            self.message_begins();
            self.places[0] = Place::Message;
            self.field = Field::Other;
            return;
        }
        let parent = self.place_at(self.depth - 1);
        let place = match (parent, self.field, container) {
            (Place::Message | Place::Part, Field::Content, Container::Array) => Place::Content,
            (Place::Message | Place::Part, Field::Content, Container::Object)
            | (Place::Content, _, Container::Object) => Place::Part,
            _ => Place::Opaque,
        };
        if parent == Place::Message && self.field == Field::Content {
            self.has_key = false;
        }
        self.hash_key(self.depth - 1);
        if place == Place::Opaque {
            self.hash(match container {
                Container::Object => OPEN,
                Container::Array => OPEN_LIST,
            });
        }
        self.keyed &= !bit(self.depth);
        if let Some(slot) = self.places.get_mut(self.depth - 1) {
            *slot = place;
        }
        // Elements of an array have no key.
        self.field = Field::Other;
    }

    /// The innermost container ends.
    pub(super) fn close(&mut self) {
        match self.skipping {
            Some(depth) if depth == self.depth => self.skipping = None,
            Some(_) => {}
            None => match self.place() {
                Place::Message => self.message_ends(),
                Place::Opaque => self.hash(CLOSE),
                // What is more than text ends, or the text after it would be a part of it.
                Place::Part if self.keyed & bit(self.depth) != 0 => self.hash(CLOSE),
                Place::Content | Place::Part => {}
            },
        }
        self.depth = self.depth.saturating_sub(1);
        self.field = Field::Other;
        self.has_key = false;
    }

    pub(super) fn key(&mut self, key: &[u8]) {
        if self.skipping.is_some() {
            return;
        }
        self.field = match self.place() {
            Place::Message if self.message.is_reference && key == b"id" => Field::Other,
            place => Field::of(place, key),
        };
        self.key.clear();
        self.key.push(key);
        self.has_key = true;
    }

    fn hash(&mut self, bytes: &[u8]) {
        self.message.hash.update(bytes);
    }

    /// The value of the waiting key, of the object at `depth`, counts.
    fn hash_key(&mut self, depth: usize) {
        if std::mem::take(&mut self.has_key) {
            self.keyed |= bit(depth);
            self.message.has_content = true;
            self.message.hash.update(KEY);
            self.message.hash.update(self.key.get());
            self.message.hash.update(VALUE);
        }
    }

    fn direct_text_begins(&mut self) {
        self.sink = Sink::Direct;
        if let Some(marks) = &mut self.marks
            && self.first_user.is_none()
        {
            marks.text_begins();
        }
    }

    /// A string inside the list begins; whether its pieces are wanted.
    pub(super) fn text_begins(&mut self) -> bool {
        if self.skipping.is_some() || self.depth == 0 || !self.reading() {
            self.sink = Sink::Nowhere;
            return false;
        }
        match (self.place(), self.field) {
            (Place::Message | Place::Part, Field::Dropped) | (Place::Opaque, Field::Dropped) => {
                self.sink = Sink::Nowhere;
            }
            (Place::Message, field @ (Field::Role | Field::Type))
            | (Place::Part, field @ Field::Type) => {
                self.word.clear();
                self.sink = Sink::Word(field);
            }
            (Place::Message, Field::Content) | (Place::Part, Field::Text) | (Place::Content, _) => {
                self.has_key = false;
                self.direct_text_begins();
            }
            (Place::Part, Field::Content) => {
                self.hash_key(self.depth);
                self.direct_text_begins();
            }
            _ => {
                self.hash_key(self.depth);
                self.sink = Sink::Value;
            }
        }
        self.sink != Sink::Nowhere
    }

    pub(super) fn text(&mut self, piece: &[u8], ends: bool) {
        match self.sink {
            Sink::Nowhere => {}
            Sink::Word(field) => {
                self.word.push(piece);
                if ends {
                    self.word_ends(field);
                }
            }
            Sink::Direct => self.direct_text(piece, ends),
            Sink::Value => {
                self.message.hash.update(piece);
                if ends {
                    self.message.hash.update(END);
                }
            }
            Sink::System => {
                let room = SYSTEM_HEAD - self.part.len();
                self.part.extend_from_slice(&piece[..piece.len().min(room)]);
                if let Some(marks) = &mut self.marks {
                    marks.system_text(piece);
                }
                if ends {
                    add_to_system(&mut self.system, &self.part);
                }
            }
        }
        if ends {
            self.sink = Sink::Nowhere;
        }
    }

    fn direct_text(&mut self, piece: &[u8], ends: bool) {
        self.message.has_content |= !piece.is_empty();
        self.message.hash.update(piece);
        if self.first_user.is_none() {
            let room = SYSTEM_HEAD - self.message.head.len();
            let head = &piece[..piece.len().min(room)];
            self.message.head.extend_from_slice(head);
            if let Some(marks) = &mut self.marks {
                marks.message_text(piece);
            }
        }
        // `input` as one string has no container that could end.
        if ends && self.depth == 0 {
            self.message_ends();
        }
    }

    fn word_ends(&mut self, field: Field) {
        let word = std::mem::take(&mut self.word);
        match (field, word.get()) {
            (Field::Role, role) => {
                self.message.role = Role::of(role);
            }
            (_, kind) if PLAIN_TYPES.contains(&kind) => {}
            (_, kind) if THOUGHT_TYPES.contains(&kind) => self.skipping = Some(self.depth),
            (_, kind) => {
                if self.place() == Place::Message {
                    self.message.is_thought = kind == b"reasoning";
                    self.message.is_reference = kind == REFERENCE;
                    self.message.is_reply = kind.ends_with(b"_call") || kind == REFERENCE;
                }
                self.hash_key(self.depth);
                self.message.hash.update(kind);
                self.message.hash.update(END);
            }
        }
        self.has_key = false;
        self.word = word;
    }

    /// A number or literal inside the list.
    pub(super) fn scalar(&mut self, raw: &[u8]) {
        if self.skipping.is_some() || self.depth == 0 || !self.reading() {
            return;
        }
        // `"content": null` beside tool calls says what a missing `content` says.
        if raw == b"null" || self.field == Field::Dropped {
            self.has_key = false;
            return;
        }
        self.hash_key(self.depth);
        self.message.hash.update(raw);
        self.message.hash.update(LITERAL);
    }
}

/// Adds the beginning of one part of the system prompt.
fn add_to_system(system: &mut Vec<u8>, part: &[u8]) {
    if part.starts_with(BILLING_PREFIX) {
        return;
    }
    let room = SYSTEM_HEAD - system.len();
    system.extend_from_slice(&part[..part.len().min(room)]);
}

/// The bit of a depth; deeper containers than are told apart have none.
const fn bit(depth: usize) -> u16 {
    if depth <= TRACKED { 1 << depth } else { 0 }
}

#[cfg(test)]
mod tests;
