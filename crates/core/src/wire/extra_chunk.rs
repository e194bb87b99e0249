//! Leaves out of a chat stream the one chunk that came only because token counts were asked for.
//!
//! That chunk has an empty list of `choices` and an object as `usage`; a client that has not asked
//! for it may well take the first choice of every chunk. Everything else goes on as it came: what
//! proves not to be that chunk, at once, and that is so after the bytes before its first choice.

use std::ops::Range;

use http::HeaderMap;

use super::decoding::is_plain;
use super::json::{Container, Progress, Tokenizer, Visit};
use super::media::Media;

/// Longest event that may be the chunk, in bytes, and so the most that is held back; real ones have
/// three to eight hundred.
const LONGEST: usize = 4 << 10;
/// Lines that may stand in its event. A comment may not: it keeps a connection alive, and must not
/// wait for what follows.
const FIELDS: [&[u8]; 3] = [b"data:", b"event:", b"id:"];
/// How `object` begins in a chunk.
const OBJECT: &[u8] = b"chat.completion";

/// What goes on of a frame, and of frames before it.
#[derive(Debug, PartialEq, Eq)]
pub enum Passed {
    /// A part of this frame, mostly all of it; empty if nothing goes on now.
    Part(Range<usize>),
    /// What was held back, or what stood before and behind the chunk.
    Joined(Vec<u8>),
}

/// Filters one answer. Give it every frame, then ask [`ExtraChunk::finish`].
#[derive(Debug, Default)]
pub struct ExtraChunk {
    line: Line,
    event: Event,
    /// The beginning of an event that may be the chunk, from earlier frames.
    held: Vec<u8>,
    /// Bytes of that event so far, this frame included.
    length: usize,
    tokenizer: Tokenizer,
    chunk: Chunk,
    /// Whether its document is complete.
    complete: bool,
}

/// How much of a line has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Line {
    #[default]
    Nothing,
    /// A carriage return, which a line feed makes an empty line.
    Return,
    Something,
}

/// What the event in progress is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Event {
    /// Perhaps the chunk, at the beginning of a line.
    #[default]
    Perhaps,
    /// Perhaps the chunk, in the name of a field, of which so many bytes have matched.
    Field(&'static [u8], usize),
    /// Perhaps the chunk, in its data.
    Data,
    /// Perhaps the chunk, in another field's value.
    Value,
    /// Not the chunk.
    Other,
}

impl ExtraChunk {
    /// For an answer with these headers; `None` if there is nothing to leave out, or it cannot be
    /// told because the answer is compressed.
    pub fn new(headers: &HeaderMap) -> Option<Self> {
        (Media::of(headers) == Media::Events && is_plain(headers)).then(Self::default)
    }

    /// Takes the next frame.
    pub fn feed(&mut self, frame: &[u8]) -> Passed {
        // What goes on: `joined`, then this part of the frame.
        let (mut joined, mut part) = (Vec::new(), 0..0);
        // Where in this frame the event began that is perhaps the chunk.
        let mut begun = 0;
        let mut at = 0;
        while at < frame.len() {
            let end =
                memchr::memchr(b'\n', &frame[at..]).map_or(frame.len(), |length| at + length + 1);
            let piece = &frame[at..end];
            let was_other = self.event == Event::Other;
            let after_return = self.line == Line::Return;
            let ends_event = self.line.takes(piece);
            let is_chunk = ends_event && self.is_chunk(piece.len());
            let goes_on = if ends_event {
                self.event = Event::Other;
                !is_chunk
            } else {
                if !was_other && (after_return || !self.may_go_on(piece)) {
                    self.event = Event::Other;
                }
                self.event == Event::Other
            };
            if goes_on {
                let from = if was_other { at } else { begun };
                if !was_other && !self.held.is_empty() {
                    joined = std::mem::take(&mut self.held);
                }
                if part.is_empty() {
                    part = from..end;
                } else if part.end == from {
                    part.end = end;
                } else {
                    joined.extend_from_slice(&frame[part]);
                    part = from..end;
                }
            }
            if ends_event {
                self.next_event();
                begun = end;
            }
            at = end;
        }
        if self.event != Event::Other {
            self.held.extend_from_slice(&frame[begun..]);
        }
        if joined.is_empty() {
            return Passed::Part(part);
        }
        joined.extend_from_slice(&frame[part]);
        Passed::Joined(joined)
    }

    /// The answer ends here, or breaks off: what was held back and goes on all the same.
    pub fn finish(&mut self) -> Vec<u8> {
        let held = std::mem::take(&mut self.held);
        if self.is_chunk(0) {
            return Vec::new();
        }
        held
    }

    /// Whether the event in progress is the chunk, if it ends after so many bytes more.
    fn is_chunk(&self, more: usize) -> bool {
        self.event != Event::Other
            && self.length + more <= LONGEST
            && self.complete
            && self.chunk.is_extra()
    }

    fn next_event(&mut self) {
        self.event = Event::Perhaps;
        self.held.clear();
        self.length = 0;
        self.tokenizer.reset();
        self.chunk.reset();
        self.complete = false;
    }

    /// Whether the event may still be the chunk with this piece of a line, which is not empty.
    fn may_go_on(&mut self, mut piece: &[u8]) -> bool {
        self.length += piece.len();
        if self.length > LONGEST {
            return false;
        }
        let ends_line = piece.ends_with(b"\n");
        if self.event == Event::Perhaps {
            // Half of an empty line, perhaps; at the beginning of an event it is not waited for.
            if piece == b"\r" {
                return self.length > 1;
            }
            let Some(field) = FIELDS.iter().find(|field| field.first() == piece.first()) else {
                return false;
            };
            self.event = Event::Field(field, 0);
        }
        if let Event::Field(field, matched) = self.event {
            let wanted = &field[matched..];
            let length = piece.len().min(wanted.len());
            if piece[..length] != wanted[..length] {
                return false;
            }
            piece = &piece[length..];
            self.event = match (length == wanted.len(), field) {
                (false, _) => Event::Field(field, matched + length),
                (true, b"data:") => Event::Data,
                (true, _) => Event::Value,
            };
        }
        if self.event == Event::Data {
            let progress = self.tokenizer.feed(piece, &mut self.chunk);
            self.complete = progress == Progress::Complete;
            if progress == Progress::Malformed || self.chunk.is_other {
                return false;
            }
        }
        if ends_line {
            self.event = Event::Perhaps;
        }
        true
    }
}

impl Line {
    /// Takes the next bytes of a line; a line end is their last. Whether they end an empty one.
    fn takes(&mut self, piece: &[u8]) -> bool {
        let is_empty = matches!(
            (*self, piece),
            (Self::Nothing, b"\n" | b"\r\n") | (Self::Return, b"\n")
        );
        *self = match (*self, piece) {
            (_, [.., b'\n']) => Self::Nothing,
            (Self::Nothing, b"\r") => Self::Return,
            _ => Self::Something,
        };
        is_empty
    }
}

/// What the last key of a chunk names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Named {
    Choices,
    Usage,
    Object,
    /// Something that must not be lost: an error, or what Azure's filters say of the prompt.
    Dear,
    #[default]
    Other,
}

/// What has been seen of one event's document.
#[derive(Debug, Default)]
struct Chunk {
    depth: usize,
    named: Named,
    /// `choices` is an empty list, as far as it has come.
    no_choices: bool,
    /// `usage` is an object.
    counts: bool,
    /// It is certain that this is not the chunk.
    is_other: bool,
    object: Vec<u8>,
}

impl Chunk {
    fn reset(&mut self) {
        let mut object = std::mem::take(&mut self.object);
        object.clear();
        *self = Self {
            object,
            ..Self::default()
        };
    }

    const fn is_extra(&self) -> bool {
        self.no_choices && self.counts && !self.is_other
    }

    /// Something that is no container stands here.
    fn value(&mut self, is_null: bool) {
        self.is_other |= match (self.depth, self.named) {
            (0, _) | (1, Named::Choices | Named::Usage) | (2, Named::Choices) => true,
            (1, Named::Dear) => !is_null,
            _ => false,
        };
    }
}

impl Visit for Chunk {
    fn open(&mut self, container: Container) {
        match (self.depth, self.named, container) {
            (0, _, Container::Object) => {}
            (1, Named::Choices, Container::Array) => self.no_choices = true,
            (1, Named::Usage, Container::Object) => self.counts = true,
            (0, ..) | (1, Named::Choices | Named::Usage | Named::Dear, _) => self.is_other = true,
            (2, Named::Choices, _) => self.is_other = true,
            _ => {}
        }
        self.depth += 1;
    }

    fn close(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    fn key(&mut self, key: &[u8]) {
        if self.depth != 1 {
            return;
        }
        self.named = match key {
            b"choices" => Named::Choices,
            b"usage" => Named::Usage,
            b"object" => Named::Object,
            b"error" | b"prompt_filter_results" => Named::Dear,
            _ => Named::Other,
        };
    }

    fn text_begins(&mut self) -> bool {
        self.value(false);
        let wanted = (self.depth, self.named) == (1, Named::Object);
        if wanted {
            self.object.clear();
        }
        wanted
    }

    fn text(&mut self, piece: &[u8], ends: bool) {
        let room = OBJECT.len() - self.object.len();
        self.object
            .extend_from_slice(&piece[..piece.len().min(room)]);
        self.is_other |= ends && !self.object.is_empty() && self.object != OBJECT;
    }

    fn scalar(&mut self, raw: &[u8]) {
        self.value(raw == b"null");
    }

    fn has_enough(&self) -> bool {
        self.is_other
    }
}

#[cfg(test)]
mod tests;
