//! What of a message counts: which keys and types say nothing about the prompt, and what the rest is.

/// Longest role, `type` and key that is kept, in bytes; longer ones are of no known kind.
const MAX_WORD: usize = 64;

// What separates the parts of a message in the hash. Control characters cannot stand in JSON
// strings, so no text can look like them.
pub(super) const KEY: &[u8] = &[1];
pub(super) const VALUE: &[u8] = &[2];
pub(super) const END: &[u8] = &[3];
pub(super) const OPEN: &[u8] = &[4];
pub(super) const CLOSE: &[u8] = &[5];
pub(super) const OPEN_LIST: &[u8] = &[6];
/// Ends a number or literal, so that `1` is not `"1"`.
pub(super) const LITERAL: &[u8] = &[7];

/// Dropped wherever it stands.
const CACHE_CONTROL: &[u8] = b"cache_control";
/// Types that say no more than that there is text.
pub(super) const PLAIN_TYPES: &[&[u8]] = &[b"message", b"text", b"input_text", b"output_text"];
/// Types of parts that are thought, not prompt: nothing in them counts.
pub(super) const THOUGHT_TYPES: &[&[u8]] = &[b"thinking", b"redacted_thinking"];
/// What stands for an item that the provider keeps: its id is all that there is of it.
pub(super) const REFERENCE: &[u8] = b"item_reference";

/// What one open container inside the list is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Place {
    Message,
    /// The `content` or `parts` of a message or of a tool result, as an array.
    Content,
    Part,
    /// Anything else: hashed as it stands.
    #[default]
    Opaque,
}

/// What the last key of the innermost object names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Field {
    Role,
    Type,
    Content,
    Text,
    Dropped,
    #[default]
    Other,
}

impl Field {
    /// What `key` names in a container of this kind.
    pub(super) fn of(place: Place, key: &[u8]) -> Self {
        match (place, key) {
            (_, CACHE_CONTROL) => Self::Dropped,
            (Place::Message, b"role") => Self::Role,
            (Place::Message | Place::Part, b"type") => Self::Type,
            (Place::Message | Place::Part, b"content") | (Place::Message, b"parts") => {
                Self::Content
            }
            (Place::Part, b"text") => Self::Text,
            // Ids and states that providers make up, thoughts that are left out of later turns, a
            // client's own notes: they say nothing about the prompt.
            (
                Place::Message,
                b"id"
                | b"status"
                | b"internal_chat_message_metadata_passthrough"
                | b"metadata"
                | b"custom_fields"
                | b"reasoning"
                | b"reasoning_content"
                | b"reasoning_details",
            )
            | (
                Place::Part,
                b"thinking" | b"signature" | b"thought" | b"thoughtSignature"
                | b"thought_signature",
            ) => Self::Dropped,
            _ => Self::Other,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Role {
    /// None given: in `contents` that is the user.
    #[default]
    Missing,
    User,
    System,
    /// Whatever a model writes.
    Model,
    /// Results of tools, and what is unknown.
    Other,
}

impl Role {
    /// The role that `word` names.
    pub(super) fn of(word: &[u8]) -> Self {
        match word {
            b"user" => Self::User,
            b"system" | b"developer" => Self::System,
            b"assistant" | b"model" => Self::Model,
            _ => Self::Other,
        }
    }
}

/// Short bytes kept for a comparison.
#[derive(Debug)]
pub(super) struct Word {
    bytes: [u8; MAX_WORD],
    length: usize,
}

impl Default for Word {
    fn default() -> Self {
        Self {
            bytes: [0; MAX_WORD],
            length: 0,
        }
    }
}

impl Word {
    pub(super) fn clear(&mut self) {
        self.length = 0;
    }

    pub(super) fn push(&mut self, piece: &[u8]) {
        let end = self.length + piece.len();
        if let Some(room) = self.bytes.get_mut(self.length..end) {
            room.copy_from_slice(piece);
        }
        self.length = end;
    }

    /// The word; empty if it is too long to be one that is known.
    pub(super) fn get(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}
