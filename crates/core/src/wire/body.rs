//! Reads a request body as it passes: model, flags, the values at the ladder's paths, and the
//! conversation.
//!
//! One reader per request; frames are pushed into it in any cut. It understands chat completions,
//! responses, messages and generateContent by their shape, so a provider's own path does not matter.
//! Values that matter are bounded in size; everything else is skipped or hashed, never kept.

use super::capture::{Captures, Cursor};
use super::chain::ChainReader;
use super::include_usage::{Finder, Splice};
use super::json::{Container, Progress, Tokenizer, Visit, unescape};
use super::references::BodyReferences;
use crate::conversation::Conversation;
use crate::ladder::{Mark, PathTree};
use crate::object::Reference;

/// Longest model name that is kept, in bytes before unescaping.
const MAX_MODEL: usize = 512;

/// What a reader has to find out. Whatever is not needed lets it stop early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// The values at the ladder's paths and the ids in the prompt: no header named the session.
    pub ids: bool,
    /// Every message, and not only how the conversation opens.
    pub chain: bool,
    /// `background`, which may stand anywhere: it decides whether a request may be sent twice.
    pub background: bool,
    /// `store`, which may stand anywhere: it decides whether a chat completion is kept.
    pub stores: bool,
    /// Where it can be made to ask for token counts. Only of a body that is plain.
    pub splice: bool,
    /// The objects of the provider's that it names, which may stand anywhere.
    pub references: bool,
}

impl Need {
    /// Everything.
    pub const ALL: Self = Self {
        ids: true,
        chain: true,
        background: true,
        stores: true,
        splice: true,
        references: true,
    };
}

/// What a request body said.
#[derive(Debug, Default)]
pub struct BodyFacts {
    /// The `model` field.
    pub model: Option<String>,
    /// Whether `"stream": true` was asked for. Not known if reading stopped before it.
    pub stream: bool,
    /// Whether `"background": true` was asked for (responses): then sending twice is two jobs.
    pub background: bool,
    /// Whether `"store": true` was asked for. Not known if reading stopped before it.
    pub stores: bool,
    /// What stood at the ladder's paths.
    pub captures: Captures,
    /// An id that the client wrote into the prompt.
    pub mark: Option<(Mark, Vec<u8>)>,
    /// The messages. Without links unless they were needed.
    pub conversation: Conversation,
    /// How a chat request for a stream, read whole, is made to ask for token counts; `None` if it
    /// says itself whether it wants them, or anything is doubtful.
    pub splice: Option<Splice>,
    /// The objects that it names.
    pub references: Vec<Reference>,
}

/// What the value of the last top-level key is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Zone {
    Model,
    Stream,
    Background,
    Store,
    /// `messages`, `input` or `contents`.
    Messages,
    /// `system`, `instructions`, `systemInstruction`.
    System,
    #[default]
    Other,
}

/// Reads one request body. Feed it every frame, then ask [`RequestReader::finish`].
pub struct RequestReader<'t> {
    tokenizer: Tokenizer,
    seen: Seen<'t>,
}

impl std::fmt::Debug for RequestReader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RequestReader").finish_non_exhaustive()
    }
}

impl<'t> RequestReader<'t> {
    /// At the beginning of a body of which `need` must be found out.
    pub fn new(paths: &'t PathTree, need: Need) -> Self {
        Self {
            tokenizer: Tokenizer::new(),
            seen: Seen {
                need,
                cursor: Cursor::new(paths),
                chain: ChainReader::new(need.chain, need.ids),
                model: None,
                stream: false,
                background: false,
                stores: false,
                depth: 0,
                zone: Zone::Other,
                named_text: false,
                caught: false,
                value: Vec::new(),
                finder: need.splice.then(Finder::default),
                references: need.references.then(BodyReferences::default),
                refers: false,
                talks: false,
            },
        }
    }

    /// Takes the next frame. Whether more would still tell anything.
    pub fn feed(&mut self, frame: &[u8]) -> bool {
        let progress = self.tokenizer.feed(frame, &mut self.seen);
        if let Some(finder) = &mut self.seen.finder {
            finder.frame_ends(frame.len());
        }
        progress == Progress::Reading && !self.seen.has_enough()
    }

    /// What the body said. A body that is not complete JSON said nothing, unless reading stopped
    /// before that could be known.
    pub fn finish(mut self) -> BodyFacts {
        match self.tokenizer.finish(&mut self.seen) {
            Progress::Complete => {
                let finder = self.seen.finder.take().filter(|_| self.seen.stream);
                BodyFacts {
                    splice: finder.and_then(Finder::finish),
                    ..self.seen.into_facts()
                }
            }
            Progress::Enough => self.seen.into_facts(),
            Progress::Reading | Progress::Malformed => BodyFacts::default(),
        }
    }

    /// What has been read so far, for a body too large to wait for. Less certain than
    /// [`RequestReader::finish`]: a later duplicate of a key would have won.
    pub fn so_far(self) -> BodyFacts {
        self.seen.into_facts()
    }
}

struct Seen<'t> {
    need: Need,
    cursor: Cursor<'t>,
    chain: ChainReader,
    model: Option<String>,
    stream: bool,
    background: bool,
    stores: bool,
    depth: usize,
    zone: Zone,
    /// In the system prompt: whether the last key was `text`.
    named_text: bool,
    /// Whether the cursor catches the current string.
    caught: bool,
    value: Vec<u8>,
    /// If the place is needed.
    finder: Option<Finder>,
    /// If they are needed.
    references: Option<BodyReferences>,
    /// Whether the current string may name an object …
    refers: bool,
    /// … and whether it is the model's name or part of the conversation.
    talks: bool,
}

impl Seen<'_> {
    fn into_facts(self) -> BodyFacts {
        let (conversation, mark) = self.chain.finish();
        BodyFacts {
            model: self.model,
            stream: self.stream,
            background: self.background,
            stores: self.stores,
            captures: self.cursor.into_captures(),
            mark,
            conversation,
            splice: None,
            references: self
                .references
                .map(BodyReferences::finish)
                .unwrap_or_default(),
        }
    }

    /// Forgets what an earlier value of the same key said.
    fn begin_zone(&mut self, key: &[u8]) {
        if self.zone == Zone::System {
            self.chain.system_ends();
        }
        self.zone = match key {
            b"model" => Zone::Model,
            b"stream" => Zone::Stream,
            b"background" => Zone::Background,
            b"store" => Zone::Store,
            b"messages" | b"input" | b"contents" => Zone::Messages,
            b"system" | b"instructions" | b"systemInstruction" | b"system_instruction" => {
                Zone::System
            }
            _ => Zone::Other,
        };
        match self.zone {
            Zone::Model => self.model = None,
            Zone::Stream => self.stream = false,
            Zone::Background => self.background = false,
            Zone::Store => self.stores = false,
            Zone::Messages => self.chain.list_begins(key),
            Zone::System => self.chain.system_begins(),
            Zone::Other => {}
        }
    }

    /// Whether the conversation reader wants the string that begins.
    fn conversation_wants(&mut self) -> bool {
        match (self.zone, self.depth) {
            (Zone::Messages, 1) => {
                self.chain.only_text_begins();
                true
            }
            (Zone::Messages, depth) if depth > 1 => self.chain.text_begins(),
            // A string, an array of parts, Gemini's object with `parts`.
            (Zone::System, 1) => {
                self.chain.system_text_begins();
                true
            }
            (Zone::System, depth) if depth > 1 && self.named_text => {
                self.chain.system_text_begins();
                true
            }
            _ => false,
        }
    }
}

impl Visit for Seen<'_> {
    fn open(&mut self, container: Container) {
        if self.need.ids {
            self.cursor.open(container);
        }
        if self.zone == Zone::Messages && self.depth > 1 {
            self.chain.open(container);
        }
        if let Some(references) = &mut self.references {
            references.open(container);
        }
        self.depth += 1;
        self.named_text = false;
    }

    fn object_begins(&mut self, after: usize) {
        if let Some(finder) = &mut self.finder {
            finder.object_begins(self.depth, after);
        }
    }

    fn close(&mut self) {
        if self.need.ids {
            self.cursor.close();
        }
        self.depth -= 1;
        if self.zone == Zone::Messages && self.depth > 1 {
            self.chain.close();
        }
        if let Some(references) = &mut self.references {
            references.close();
        }
        self.named_text = false;
    }

    fn key(&mut self, key: &[u8]) {
        if self.need.ids {
            self.cursor.key(key);
        }
        if let Some(finder) = &mut self.finder {
            finder.key(self.depth, key);
        }
        if let Some(references) = &mut self.references {
            references.key(key);
        }
        match (self.depth, self.zone) {
            (1, _) => self.begin_zone(key),
            (_, Zone::Messages) => self.chain.key(key),
            (_, Zone::System) => self.named_text = key == b"text",
            _ => {}
        }
    }

    fn text_begins(&mut self) -> bool {
        self.caught = self.need.ids && self.cursor.text_begins();
        let model = self.depth == 1 && self.zone == Zone::Model;
        if model {
            self.value.clear();
        }
        // All must be asked: a value at a path may be part of a message as well.
        let wanted = self.conversation_wants();
        self.talks = model || wanted;
        self.refers = match &mut self.references {
            Some(references) => references.text_begins(),
            None => false,
        };
        self.caught || self.talks || self.refers
    }

    fn text(&mut self, piece: &[u8], ends: bool) {
        if self.caught {
            self.cursor.text(piece, ends);
        }
        if self.refers
            && let Some(references) = &mut self.references
        {
            references.text(piece, ends);
        }
        if !self.talks {
            return;
        }
        match self.zone {
            Zone::Messages | Zone::System => self.chain.text(piece, ends),
            Zone::Model if self.depth == 1 => {
                // One byte more than the bound tells that it is exceeded.
                let room = MAX_MODEL + 1 - self.value.len();
                let kept = &piece[..piece.len().min(room)];
                self.value.extend_from_slice(kept);
                if ends && self.value.len() <= MAX_MODEL {
                    self.model = unescape(&self.value)
                        .filter(|model| !model.is_empty())
                        .and_then(|model| String::from_utf8(model).ok());
                }
            }
            _ => {}
        }
    }

    fn scalar(&mut self, raw: &[u8]) {
        if let Some(references) = &mut self.references {
            references.scalar(raw);
        }
        match (self.zone, self.depth) {
            (Zone::Stream, 1) => self.stream = raw == b"true",
            (Zone::Background, 1) => self.background = raw == b"true",
            (Zone::Store, 1) => self.stores = raw == b"true",
            (Zone::Messages, depth) if depth > 1 => self.chain.scalar(raw),
            _ => {}
        }
    }

    fn has_enough(&self) -> bool {
        !self.need.ids
            && !self.need.chain
            && !self.need.background
            && !self.need.stores
            && !self.need.splice
            && !self.need.references
            && self.model.is_some()
            && self.chain.has_opener()
    }
}

#[cfg(test)]
mod tests;
