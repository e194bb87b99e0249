//! What one JSON document of an answer is, by its fields: an error, content, or neither yet.

use crate::wire::json::{Container, Visit};

/// Deepest container that matters: `choices[0].delta.tool_calls`, inside an outer array.
const TRACKED_DEPTH: usize = 6;
/// Longest text that is compared with anything, in bytes.
const TEXT_BYTES: usize = 40;

/// Events that say nothing of substance, by name or `type`.
const PRELIMINARY: &[&[u8]] = &[
    b"ping",
    b"keepalive",
    b"heartbeat",
    b"message_start",
    b"message-start",
    b"response.created",
    b"response.queued",
    b"response.in_progress",
    b"codex.rate_limits",
];
/// Events that are errors, by `type`. `response.incomplete` is none: a limit that the client set.
const FAILED: &[&[u8]] = &[b"error", b"response.failed"];
/// How `object` begins in answers; what is called otherwise (a batch, a stored response) may have
/// failed without this request having failed.
const ANSWERS: &[&[u8]] = &[b"chat.completion", b"text_completion", b"error"];

/// Whether an event with this name or `type` says nothing of substance.
pub(in crate::wire) fn is_preliminary(name: &[u8]) -> bool {
    PRELIMINARY.contains(&name)
}

/// What a document is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nature {
    Nothing,
    Substance,
    Error,
}

/// What has been seen of a document.
#[derive(Debug)]
pub(super) struct Shape {
    /// Whether the first value of several decides, and content as soon as it is there.
    first: bool,
    ended: bool,
    places: [Place; TRACKED_DEPTH],
    depth: usize,
    field: Field,
    held: Vec<u8>,
    event: Option<Event>,
    /// It has `choices`.
    chat: bool,
    content: bool,
    error: bool,
    /// `success` is false.
    unsuccessful: bool,
    coded: bool,
    /// It is an object of another kind, with an error of its own.
    stored: bool,
}

/// What `type` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Preliminary,
    Failed,
    BlockStart,
    Other,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// Gemini's outer array of answers.
    Elements,
    Top,
    Error,
    /// MiniMax's `base_resp`.
    Status,
    Choices,
    Choice,
    /// `delta` of a choice, or a whole message.
    Message,
    /// Anthropic's `content_block`.
    Block,
    /// Content, if there is anything in it.
    Content,
    #[default]
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Other,
    Type,
    Object,
    Error,
    Success,
    Code,
    Status,
    StatusCode,
    Choices,
    Message,
    Block,
    BlockType,
    Finish,
    Content,
}

impl Shape {
    /// Of a document that is seen whole.
    pub(super) fn whole() -> Self {
        Self {
            first: false,
            ended: false,
            places: [Place::Other; TRACKED_DEPTH],
            depth: 0,
            field: Field::Other,
            held: Vec::new(),
            event: None,
            chat: false,
            content: false,
            error: false,
            unsuccessful: false,
            coded: false,
            stored: false,
        }
    }

    /// Of a document that is read until it is known what it is; others may follow.
    pub(super) fn first() -> Self {
        Self {
            first: true,
            ..Self::whole()
        }
    }

    /// What it is, as far as it was seen.
    pub(super) fn nature(&self) -> Nature {
        if !self.stored
            && (self.error
                || self.event == Some(Event::Failed)
                || (self.unsuccessful && self.coded))
        {
            return Nature::Error;
        }
        match self.event {
            Some(Event::Preliminary) => Nature::Nothing,
            Some(Event::BlockStart) if !self.content => Nature::Nothing,
            _ if self.chat && !self.content => Nature::Nothing,
            _ => Nature::Substance,
        }
    }

    /// Whether the rest of the document cannot change that, or is not waited for.
    pub(super) fn is_decided(&self) -> bool {
        self.first && (self.ended || (self.content && self.nature() == Nature::Substance))
    }

    fn here(&self) -> Place {
        self.depth
            .checked_sub(1)
            .and_then(|at| self.places.get(at))
            .copied()
            .unwrap_or_default()
    }

    /// There is something in the innermost container.
    fn inside(&mut self) {
        match self.here() {
            Place::Error => self.error = true,
            Place::Content => self.content = true,
            _ => {}
        }
    }

    fn text_ended(&mut self) {
        let text = self.held.as_slice();
        match self.field {
            Field::Type => {
                self.event = Some(if is_preliminary(text) {
                    Event::Preliminary
                } else if FAILED.contains(&text) {
                    Event::Failed
                } else if text == b"content_block_start" {
                    Event::BlockStart
                } else {
                    Event::Other
                });
            }
            Field::Object => {
                self.stored =
                    !text.is_empty() && !ANSWERS.iter().any(|answer| text.starts_with(answer));
            }
            Field::Finish if text == b"error" => self.error = true,
            Field::Finish => self.content |= !text.is_empty(),
            // A tool call says something by being begun.
            Field::BlockType => self.content |= !matches!(text, b"text" | b"thinking"),
            Field::Code => self.coded = true,
            Field::Error => self.error |= !text.is_empty(),
            _ => {}
        }
    }
}

impl Visit for Shape {
    fn open(&mut self, container: Container) {
        self.inside();
        let place = if self.depth == 0 {
            match container {
                Container::Object => Place::Top,
                Container::Array => Place::Elements,
            }
        } else {
            match (self.here(), self.field) {
                (Place::Elements, _) => Place::Top,
                (Place::Top, Field::Error) => Place::Error,
                (Place::Top, Field::Status) => Place::Status,
                (Place::Top, Field::Choices) => Place::Choices,
                (Place::Choices, _) => Place::Choice,
                (Place::Top | Place::Choice, Field::Message) => Place::Message,
                (Place::Top, Field::Block) => Place::Block,
                (_, Field::Content) => Place::Content,
                _ => Place::Other,
            }
        };
        if let Some(slot) = self.places.get_mut(self.depth) {
            *slot = place;
        }
        self.depth += 1;
        self.field = Field::Other;
    }

    fn close(&mut self) {
        self.ended |= self.here() == Place::Top;
        self.depth = self.depth.saturating_sub(1);
        self.field = Field::Other;
    }

    fn key(&mut self, key: &[u8]) {
        self.inside();
        self.field = match self.here() {
            Place::Top => match key {
                b"type" => Field::Type,
                b"object" => Field::Object,
                b"error" => Field::Error,
                b"success" => Field::Success,
                b"code" => Field::Code,
                b"base_resp" => Field::Status,
                b"choices" => {
                    self.chat = true;
                    Field::Choices
                }
                b"message" => Field::Message,
                b"content_block" => Field::Block,
                b"content" | b"output" | b"candidates" | b"data" | b"response" | b"text"
                | b"results" | b"embeddings" => Field::Content,
                _ => Field::Other,
            },
            Place::Status if key == b"status_code" => Field::StatusCode,
            Place::Choice => match key {
                b"delta" | b"message" => Field::Message,
                b"finish_reason" => Field::Finish,
                b"text" => Field::Content,
                _ => Field::Other,
            },
            // Reasoning goes by several names.
            Place::Message if key != b"role" => Field::Content,
            Place::Block if key == b"type" => Field::BlockType,
            Place::Block => Field::Content,
            _ => Field::Other,
        };
    }

    fn text_begins(&mut self) -> bool {
        self.inside();
        self.held.clear();
        matches!(
            self.field,
            Field::Type
                | Field::Object
                | Field::Finish
                | Field::BlockType
                | Field::Code
                | Field::Error
                | Field::Content
        )
    }

    fn text(&mut self, piece: &[u8], ends: bool) {
        // Its first byte is enough.
        self.content |= self.field == Field::Content && !piece.is_empty();
        let room = TEXT_BYTES - self.held.len();
        self.held.extend_from_slice(&piece[..piece.len().min(room)]);
        if ends {
            self.text_ended();
        }
    }

    fn scalar(&mut self, raw: &[u8]) {
        self.inside();
        match self.field {
            Field::Error => self.error |= !matches!(raw, b"null" | b"false" | b"0"),
            Field::StatusCode => self.error |= !matches!(raw, b"null" | b"0"),
            Field::Success => self.unsuccessful = raw == b"false",
            Field::Code => self.coded |= raw != b"null",
            _ => {}
        }
    }

    fn has_enough(&self) -> bool {
        self.is_decided()
    }
}
