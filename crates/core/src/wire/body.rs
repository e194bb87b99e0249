//! Reads a request body as it passes: model, stream flag, session ids, and how the conversation opens.
//!
//! One reader per request; frames are pushed into it in any cut. It understands chat completions,
//! responses, messages and generateContent by their shape, so a provider's own path does not matter.
//! Values that matter are bounded in size; everything else is skipped or hashed, never kept.

use xxhash_rust::xxh3::Xxh3Default;

use super::json::{Container, Progress, Tokenizer, Visit, unescape};

/// Longest id or model name that is kept, in bytes before unescaping. Longer ids count as none:
/// real ones stay below 256 (`facts`: OpenRouter and CLIProxyAPI refuse longer ones).
const MAX_VALUE: usize = 512;
/// How much of the system prompt takes part in the fingerprint, in bytes. The first 400
/// characters are static for every agent measured; dates and directories come later.
const SYSTEM_HEAD: usize = 400;
/// Claude Code's `system[0]`: version and a per-conversation number, not part of the prompt.
const BILLING_PREFIX: &[u8] = b"x-anthropic-billing-header:";
/// How many open containers are told apart; anything deeper is of no interest.
const TRACKED_DEPTH: usize = 8;

/// The session ids a body can carry, in no particular order: [`super::identity`] ranks them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyField {
    /// Top level `session_id`.
    SessionId,
    /// Top level `sessionId`.
    SessionIdCamel,
    /// Top level `conversation_id`.
    ConversationId,
    /// Top level `conversationId`.
    ConversationIdCamel,
    /// Top level `thread_id`.
    ThreadId,
    /// Top level `prompt_cache_key`.
    PromptCacheKey,
    /// `messages[].custom_fields.session_id`, first one found.
    MessageCustomField,
    /// `messages[].metadata.session_id`, first one found.
    MessageMetadata,
}

const FIELDS: usize = 8;

/// What a request body said.
#[derive(Debug, Default)]
pub struct BodyFacts {
    /// The `model` field.
    pub model: Option<String>,
    /// Whether `"stream": true` was asked for.
    pub stream: bool,
    /// Whether `"background": true` was asked for (responses): then sending twice is two jobs.
    pub background: bool,
    /// Hash of the system head and the first user message, if there is a user message.
    pub opener: Option<u128>,
    ids: [Option<Vec<u8>>; FIELDS],
}

impl BodyFacts {
    /// The id in `field`, unescaped, if it was a non-empty string of sane length.
    pub fn id(&self, field: BodyField) -> Option<&[u8]> {
        self.ids[field as usize].as_deref()
    }
}

/// What one open container is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Top,
    /// `messages`, `input` or `contents`.
    Messages,
    Message,
    /// `content` or `parts` of a message, as an array.
    Content,
    ContentPart,
    /// `custom_fields` of a message.
    CustomFields,
    /// `metadata` of a message.
    Metadata,
    /// `system` or `systemInstruction`, as array or object.
    System,
    SystemPart,
    Other,
}

/// What the last key of the innermost object names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Id(BodyField),
    Model,
    Stream,
    Background,
    Messages,
    System,
    Role,
    Content,
    Text,
    CustomFields,
    Metadata,
    Other,
}

/// Where the pieces of the current string go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sink {
    Nowhere,
    Value(Field),
    System,
    Message,
}

/// The message being read.
#[derive(Default)]
struct Message {
    role: Role,
    hash: Xxh3Default,
    head: Vec<u8>,
    has_text: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Role {
    /// None given: in `contents` that is the user.
    #[default]
    Missing,
    User,
    System,
    Other,
}

/// Reads one request body. Feed it every frame, then ask [`RequestReader::finish`].
#[derive(Default)]
pub struct RequestReader {
    tokenizer: Tokenizer,
    seen: Seen,
}

impl std::fmt::Debug for RequestReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RequestReader").finish_non_exhaustive()
    }
}

impl RequestReader {
    /// At the beginning of a body.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next frame.
    pub fn feed(&mut self, frame: &[u8]) {
        self.tokenizer.feed(frame, &mut self.seen);
    }

    /// What the body said. A body that is not complete JSON said nothing.
    pub fn finish(mut self) -> BodyFacts {
        match self.tokenizer.finish(&mut self.seen) {
            Progress::Complete => self.seen.into_facts(),
            Progress::Reading | Progress::Malformed => BodyFacts::default(),
        }
    }

    /// What has been read so far, for a body too large to wait for. Less certain than
    /// [`RequestReader::finish`]: a later duplicate of a key would have won.
    pub fn so_far(self) -> BodyFacts {
        self.seen.into_facts()
    }
}

#[derive(Default)]
struct Seen {
    facts: BodyFacts,
    places: [Option<Place>; TRACKED_DEPTH],
    depth: usize,
    field: Option<Field>,
    sink: Option<Sink>,
    value: Vec<u8>,
    overflowed: bool,
    /// The current part of the system prompt, up to the bound.
    part: Vec<u8>,
    system: Vec<u8>,
    message: Message,
    /// Whether the list is Gemini's `contents`, where a missing role means the user.
    role_may_be_missing: bool,
    first_user: Option<u128>,
}

impl Seen {
    fn into_facts(mut self) -> BodyFacts {
        if let Some(user) = self.first_user {
            let mut hash = Xxh3Default::new();
            hash.update(&self.system);
            hash.update(&user.to_le_bytes());
            self.facts.opener = Some(hash.digest128());
        }
        self.facts
    }

    fn place(&self) -> Option<Place> {
        match self.depth {
            0 => None,
            depth if depth > TRACKED_DEPTH => Some(Place::Other),
            depth => self.places[depth - 1],
        }
    }

    fn child_of(&self, parent: Option<Place>, container: Container) -> Place {
        match (parent, self.field, container) {
            (None, _, Container::Object) => Place::Top,
            (Some(Place::Top), Some(Field::Messages), Container::Array) => Place::Messages,
            (Some(Place::Top), Some(Field::System), _) => Place::System,
            (Some(Place::Messages), _, Container::Object) => Place::Message,
            (Some(Place::Message), Some(Field::Content), Container::Array) => Place::Content,
            (Some(Place::Content), _, Container::Object) => Place::ContentPart,
            (Some(Place::Message), Some(Field::CustomFields), Container::Object) => {
                Place::CustomFields
            }
            (Some(Place::Message), Some(Field::Metadata), Container::Object) => Place::Metadata,
            // Anthropic: system is an array of parts. Gemini: an object whose `parts` is one.
            (Some(Place::System), Some(Field::Content), Container::Array) => Place::System,
            (Some(Place::System), _, Container::Object) => Place::SystemPart,
            _ => Place::Other,
        }
    }

    /// A second `messages` replaces the first one, as in every common parser.
    fn forget_messages(&mut self) {
        self.first_user = None;
        self.facts.ids[BodyField::MessageCustomField as usize] = None;
        self.facts.ids[BodyField::MessageMetadata as usize] = None;
    }

    fn message_begins(&mut self) {
        self.message.role = Role::Missing;
        self.message.hash.reset();
        self.message.head.clear();
        self.message.has_text = false;
    }

    fn message_ends(&mut self) {
        match self.message.role {
            // Agents put reminders with the system role in the middle of a conversation; only what
            // comes before the first user message is the system prompt.
            Role::System if self.first_user.is_some() => {}
            Role::System => {
                let head = std::mem::take(&mut self.message.head);
                self.system_part(&head);
                self.message.head = head;
            }
            Role::Missing if !self.role_may_be_missing => {}
            Role::User | Role::Missing if self.message.has_text && self.first_user.is_none() => {
                self.first_user = Some(self.message.hash.digest128());
            }
            Role::User | Role::Missing | Role::Other => {}
        }
    }

    /// Adds the beginning of one part of the system prompt.
    fn system_part(&mut self, part: &[u8]) {
        if part.starts_with(BILLING_PREFIX) {
            return;
        }
        let room = SYSTEM_HEAD - self.system.len();
        self.system.extend_from_slice(&part[..part.len().min(room)]);
    }

    /// A value that is not a string stands where `field` was named.
    fn not_a_string(&mut self) {
        match (self.place(), self.field) {
            (Some(Place::Top), Some(Field::Id(id))) => self.facts.ids[id as usize] = None,
            (Some(Place::Top), Some(Field::Model)) => self.facts.model = None,
            (Some(Place::Top), Some(Field::Stream)) => self.facts.stream = false,
            (Some(Place::Top), Some(Field::Background)) => self.facts.background = false,
            _ => {}
        }
    }

    fn store(&mut self, field: Field) {
        let value = if self.overflowed {
            None
        } else {
            unescape(&self.value).filter(|value| !value.is_empty())
        };
        match field {
            Field::Id(id @ (BodyField::MessageCustomField | BodyField::MessageMetadata)) => {
                let slot = &mut self.facts.ids[id as usize];
                if slot.is_none() {
                    *slot = value;
                }
            }
            Field::Id(id) => self.facts.ids[id as usize] = value,
            Field::Model => {
                self.facts.model = value.and_then(|bytes| String::from_utf8(bytes).ok())
            }
            Field::Role => {
                self.message.role = match value.as_deref() {
                    Some(b"user") => Role::User,
                    Some(b"system" | b"developer") => Role::System,
                    _ => Role::Other,
                };
            }
            _ => {}
        }
    }
}

fn field_of(place: Option<Place>, key: &[u8]) -> Field {
    match (place, key) {
        (Some(Place::Top), b"session_id") => Field::Id(BodyField::SessionId),
        (Some(Place::Top), b"sessionId") => Field::Id(BodyField::SessionIdCamel),
        (Some(Place::Top), b"conversation_id") => Field::Id(BodyField::ConversationId),
        (Some(Place::Top), b"conversationId") => Field::Id(BodyField::ConversationIdCamel),
        (Some(Place::Top), b"thread_id") => Field::Id(BodyField::ThreadId),
        (Some(Place::Top), b"prompt_cache_key") => Field::Id(BodyField::PromptCacheKey),
        (Some(Place::CustomFields), b"session_id") => Field::Id(BodyField::MessageCustomField),
        (Some(Place::Metadata), b"session_id") => Field::Id(BodyField::MessageMetadata),
        (Some(Place::Top), b"model") => Field::Model,
        (Some(Place::Top), b"stream") => Field::Stream,
        (Some(Place::Top), b"background") => Field::Background,
        (Some(Place::Top), b"messages" | b"input" | b"contents") => Field::Messages,
        (
            Some(Place::Top),
            b"system" | b"instructions" | b"systemInstruction" | b"system_instruction",
        ) => Field::System,
        (Some(Place::Message), b"role") => Field::Role,
        (Some(Place::Message), b"content" | b"parts") => Field::Content,
        (Some(Place::System), b"parts") => Field::Content,
        (Some(Place::Message), b"custom_fields") => Field::CustomFields,
        (Some(Place::Message), b"metadata") => Field::Metadata,
        (Some(Place::ContentPart | Place::SystemPart | Place::System), b"text") => Field::Text,
        _ => Field::Other,
    }
}

impl Visit for Seen {
    fn open(&mut self, container: Container) {
        self.not_a_string();
        let place = self.child_of(self.place(), container);
        match place {
            Place::Messages => self.forget_messages(),
            Place::Message => self.message_begins(),
            Place::System if self.depth == 1 => self.system.clear(),
            _ => {}
        }
        if self.depth < TRACKED_DEPTH {
            self.places[self.depth] = Some(place);
        }
        self.depth += 1;
        self.field = None;
    }

    fn close(&mut self) {
        if self.place() == Some(Place::Message) {
            self.message_ends();
        }
        self.depth -= 1;
        self.field = None;
    }

    fn key(&mut self, key: &[u8]) {
        let field = field_of(self.place(), key);
        if field == Field::Messages {
            self.role_may_be_missing = key == b"contents";
        }
        self.field = Some(field);
    }

    fn text_begins(&mut self) -> bool {
        let sink = match (self.place(), self.field) {
            (_, Some(field @ (Field::Id(_) | Field::Model | Field::Role))) => {
                self.value.clear();
                self.overflowed = false;
                Sink::Value(field)
            }
            (Some(Place::Top), Some(Field::System)) => {
                self.system.clear();
                self.part.clear();
                Sink::System
            }
            (Some(Place::System | Place::SystemPart), Some(Field::Text)) => {
                self.part.clear();
                Sink::System
            }
            // Responses: `input` may be the user's text itself.
            (Some(Place::Top), Some(Field::Messages)) => {
                self.forget_messages();
                self.message_begins();
                self.message.role = Role::User;
                Sink::Message
            }
            (Some(Place::Message), Some(Field::Content))
            | (Some(Place::ContentPart), Some(Field::Text)) => Sink::Message,
            (Some(Place::Top), _) => {
                self.not_a_string();
                Sink::Nowhere
            }
            _ => Sink::Nowhere,
        };
        self.sink = Some(sink);
        sink != Sink::Nowhere
    }

    fn text(&mut self, piece: &[u8]) {
        let keep = |held: &mut Vec<u8>, most: usize| {
            let room = most - held.len();
            held.extend_from_slice(&piece[..piece.len().min(room)]);
            piece.len() > room
        };
        match self.sink {
            Some(Sink::Value(_)) => self.overflowed |= keep(&mut self.value, MAX_VALUE),
            Some(Sink::System) => {
                keep(&mut self.part, SYSTEM_HEAD);
            }
            Some(Sink::Message) => {
                self.message.has_text = true;
                self.message.hash.update(piece);
                keep(&mut self.message.head, SYSTEM_HEAD);
            }
            Some(Sink::Nowhere) | None => {}
        }
    }

    fn text_ends(&mut self) {
        match self.sink.take() {
            Some(Sink::Value(field)) => self.store(field),
            Some(Sink::System) => {
                let part = std::mem::take(&mut self.part);
                self.system_part(&part);
                self.part = part;
            }
            Some(Sink::Message) if self.place() == Some(Place::Top) => self.message_ends(),
            _ => {}
        }
    }

    fn scalar(&mut self, raw: &[u8]) {
        self.not_a_string();
        if self.place() == Some(Place::Top) && raw == b"true" {
            match self.field {
                Some(Field::Stream) => self.facts.stream = true,
                Some(Field::Background) => self.facts.background = true,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests;
