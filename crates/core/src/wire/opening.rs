//! The beginning of an answer with status 2xx: whether it really serves, or is an error after all.
//!
//! Providers send the head of a stream before they know whether they can serve it, and some send
//! every error so. What is said until then (pings, the request repeated, an empty first delta) is
//! of no substance: as long as nothing else has come, another key can still be asked.

mod shape;

use std::ops::ControlFlow;
use std::sync::LazyLock;

use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use memchr::memmem::Finder;

use super::decoding::{Decoder, Decoding};
use super::events::{Events, Splitter};
use super::json::{Progress, Tokenizer};
use super::media::Media;
use super::signals::{self, Signals};
use shape::{Nature, Shape};

pub(super) use shape::is_preliminary;

/// Most events that are waited for: handshakes have four.
const MOST_EVENTS: usize = 16;
/// Most bytes of a stream that are waited for, decoded. The responses API repeats instructions and
/// tools of the request in each of its first two or three events, some 50 KiB of an agent's.
const MOST_BYTES: usize = 256 << 10;
/// Longest JSON document that may be an error, in bytes; longer ones are not waited for.
const DOCUMENT_BYTES: usize = 4 << 10;
/// Words of which one stands in every document that is an error. Looking for them is a fifth of the
/// work of reading a document, and most are no errors.
static ERROR_WORDS: LazyLock<[Finder<'static>; 3]> =
    LazyLock::new(|| ["error", "base_resp", "success"].map(Finder::new));
/// Longest name of an event that is read, in bytes.
const NAME_BYTES: usize = 40;

/// What the beginning of an answer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opening {
    /// Nothing of substance yet.
    Undecided,
    /// It serves.
    Substance,
    /// It is an error.
    Error(Signals),
}

/// Reads the beginning of an answer with status 2xx.
#[derive(Debug)]
pub struct OpeningReader {
    decoder: Decoder,
    /// Bytes that may still be waited for, decoded.
    room: usize,
    form: Form,
    said: Opening,
}

#[derive(Debug)]
enum Form {
    /// Events, unless it begins like a document: some send errors as JSON whatever they announced.
    Unknown,
    Events(Box<Stream>),
    Document(Box<Document>),
}

impl OpeningReader {
    /// For an answer with these headers; `None` if there is nothing to wait for.
    pub fn new(headers: &HeaderMap) -> Option<Self> {
        let form = match Media::of(headers) {
            Media::Events => Form::Unknown,
            Media::Lines => Form::Document(Box::default()),
            Media::Json => {
                let length = declared_length(headers);
                if length.is_some_and(|length| length > DOCUMENT_BYTES) {
                    return None;
                }
                Form::Document(Box::new(Document {
                    length: length.filter(|_| !headers.contains_key(CONTENT_ENCODING)),
                    ..Document::default()
                }))
            }
            Media::Other => return None,
        };
        Some(Self {
            decoder: Decoder::new(headers, MOST_BYTES as u64)?,
            room: MOST_BYTES,
            form,
            said: Opening::Undecided,
        })
    }

    /// Takes the next frame. Once the answer is not [`Opening::Undecided`] it stays the same.
    pub fn feed(&mut self, frame: &[u8]) -> Opening {
        if self.said == Opening::Undecided {
            let Self {
                decoder,
                room,
                form,
                said,
            } = self;
            let decoding = decoder.feed(frame, &mut |plain| {
                if *said == Opening::Undecided {
                    let plain = &plain[..plain.len().min(*room)];
                    *room -= plain.len();
                    *said = form.feed(plain);
                }
            });
            // What cannot be read further is handed on: nothing says that it is an error.
            if *said == Opening::Undecided && (*room == 0 || decoding != Decoding::Going) {
                *said = Opening::Substance;
            }
        }
        self.said.clone()
    }

    /// The answer ends here.
    pub fn finish(&mut self) -> Opening {
        if self.said == Opening::Undecided {
            self.said = self.form.finish();
        }
        self.said.clone()
    }
}

/// An error with this body; that it is one need not be seen from the body alone.
fn error(body: &[u8]) -> Opening {
    Opening::Error(Signals {
        envelope: true,
        ..Signals::of_body(body)
    })
}

fn says_error(document: &[u8]) -> bool {
    ERROR_WORDS.iter().any(|word| word.find(document).is_some())
}

fn declared_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

impl Form {
    fn feed(&mut self, plain: &[u8]) -> Opening {
        if matches!(self, Self::Unknown) {
            // Empty lines end no event, and may stand before a document.
            let Some(first) = plain.iter().find(|byte| !matches!(byte, b'\r' | b'\n')) else {
                return Opening::Undecided;
            };
            *self = if matches!(first, b'{' | b'[') {
                Self::Document(Box::default())
            } else {
                Self::Events(Box::default())
            };
        }
        match self {
            Self::Unknown => Opening::Undecided,
            Self::Document(document) => document.feed(plain),
            Self::Events(stream) => {
                let _ = stream.splitter.feed(plain, &mut stream.event);
                stream.event.said.clone()
            }
        }
    }

    fn finish(&mut self) -> Opening {
        let said = match self {
            Self::Unknown => Opening::Undecided,
            Self::Document(document) => document.finish(),
            Self::Events(stream) => {
                let _ = stream.event.ended();
                stream.event.said.clone()
            }
        };
        match said {
            Opening::Undecided => Opening::Substance,
            said => said,
        }
    }
}

/// An event stream.
#[derive(Debug, Default)]
struct Stream {
    splitter: Splitter,
    event: Event,
}

/// The event that is being read.
#[derive(Debug)]
struct Event {
    name: Vec<u8>,
    tokenizer: Tokenizer,
    shape: Shape,
    /// Its data, as far as an error body is looked at.
    data: Vec<u8>,
    /// How many have ended.
    count: usize,
    said: Opening,
}

impl Default for Event {
    fn default() -> Self {
        Self {
            name: Vec::new(),
            tokenizer: Tokenizer::new(),
            shape: Shape::whole(),
            data: Vec::new(),
            count: 0,
            said: Opening::Undecided,
        }
    }
}

impl Event {
    fn nature(&mut self) -> Nature {
        let name = self.name.trim_ascii();
        if name == b"error" {
            return Nature::Error;
        }
        if shape::is_preliminary(name) || self.data.trim_ascii().is_empty() {
            return Nature::Nothing;
        }
        match self.tokenizer.finish(&mut self.shape) {
            Progress::Complete => self.shape.nature(),
            _ => Nature::Substance,
        }
    }
}

impl Events for Event {
    fn name(&mut self, piece: &[u8]) {
        let room = NAME_BYTES.saturating_sub(self.name.len());
        self.name.extend_from_slice(&piece[..piece.len().min(room)]);
    }

    fn data(&mut self, piece: &[u8]) {
        // It repeats the request, and the request is long.
        if shape::is_preliminary(self.name.trim_ascii()) {
            return;
        }
        self.tokenizer.feed(piece, &mut self.shape);
        let room = signals::MAX_BODY - self.data.len();
        self.data.extend_from_slice(&piece[..piece.len().min(room)]);
    }

    fn ended(&mut self) -> ControlFlow<()> {
        if self.name.is_empty() && self.data.is_empty() {
            // Only a comment, or an empty line.
            return ControlFlow::Continue(());
        }
        self.count += 1;
        self.said = match self.nature() {
            Nature::Error => error(&self.data),
            Nature::Substance => Opening::Substance,
            Nature::Nothing if self.count == MOST_EVENTS => Opening::Substance,
            Nature::Nothing => {
                self.name.clear();
                self.data.clear();
                self.tokenizer.reset();
                self.shape = Shape::whole();
                return ControlFlow::Continue(());
            }
        };
        ControlFlow::Break(())
    }
}

/// A JSON document, or the first of several.
#[derive(Debug)]
struct Document {
    /// Its length in bytes, if that was declared and is that of the plain document.
    length: Option<usize>,
    tokenizer: Tokenizer,
    shape: Shape,
    data: Vec<u8>,
}

impl Default for Document {
    fn default() -> Self {
        Self {
            length: None,
            tokenizer: Tokenizer::new(),
            shape: Shape::first(),
            data: Vec::new(),
        }
    }
}

impl Document {
    fn feed(&mut self, mut plain: &[u8]) -> Opening {
        if self.data.is_empty() {
            if self.length == Some(plain.len()) && !says_error(plain) {
                return Opening::Substance;
            }
            // DeepSeek keeps connections alive with empty lines before the document.
            plain = plain.trim_ascii_start();
        }
        while !plain.is_empty() {
            let most = self.most();
            let (piece, rest) = plain.split_at(plain.len().min(most - self.data.len()));
            self.data.extend_from_slice(piece);
            plain = rest;
            let read = self.tokenizer.feed(piece, &mut self.shape);
            if read != Progress::Reading {
                return self.decide(read);
            }
            if self.shape.is_decided() || self.data.len() == self.most() {
                return self.judged();
            }
        }
        Opening::Undecided
    }

    /// How long it may be: what is an error is read whole, so that it can be judged.
    fn most(&self) -> usize {
        if self.shape.nature() == Nature::Error {
            signals::MAX_BODY
        } else {
            DOCUMENT_BYTES
        }
    }

    fn finish(&mut self) -> Opening {
        let read = self.tokenizer.finish(&mut self.shape);
        self.decide(read)
    }

    fn decide(&self, read: Progress) -> Opening {
        match read {
            Progress::Malformed => Opening::Substance,
            _ => self.judged(),
        }
    }

    fn judged(&self) -> Opening {
        match self.shape.nature() {
            Nature::Error => error(&self.data),
            Nature::Substance | Nature::Nothing => Opening::Substance,
        }
    }
}

#[cfg(test)]
mod tests;
