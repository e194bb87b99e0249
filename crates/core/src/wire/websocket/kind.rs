//! What kind of message a JSON document is: its `type`, or the model that a `setup` names.

use crate::wire::json::{Container, Progress, Tokenizer, Visit};

/// Longest kind that is read, in bytes.
const LONGEST: usize = 64;

/// Reads one document.
#[derive(Debug, Default)]
pub(super) struct KindReader {
    tokenizer: Tokenizer,
    seen: Seen,
}

#[derive(Debug, Default)]
struct Seen {
    depth: usize,
    is_type: bool,
    /// In the `setup` of Gemini Live …
    in_setup: bool,
    /// … at its model.
    is_model: bool,
    text: Vec<u8>,
    found: bool,
}

/// What is known of a kind.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind<'k> {
    /// More has to come.
    Open,
    Is(&'k [u8]),
    /// It sets up what follows, with this model.
    SetUp(&'k [u8]),
    /// It has none, or is no document.
    None,
}

impl KindReader {
    pub(super) const fn new() -> Self {
        Self {
            tokenizer: Tokenizer::new(),
            seen: Seen {
                depth: 0,
                is_type: false,
                in_setup: false,
                is_model: false,
                text: Vec::new(),
                found: false,
            },
        }
    }

    /// At the beginning of a document.
    pub(super) fn reset(&mut self) {
        self.tokenizer.reset();
        self.seen.depth = 0;
        self.seen.is_type = false;
        self.seen.in_setup = false;
        self.seen.is_model = false;
        self.seen.text.clear();
        self.seen.found = false;
    }

    /// Takes the next bytes.
    pub(super) fn feed(&mut self, piece: &[u8]) -> Kind<'_> {
        if self.seen.found {
            return self.seen.kind();
        }
        match self.tokenizer.feed(piece, &mut self.seen) {
            _ if self.seen.found => self.seen.kind(),
            Progress::Reading => Kind::Open,
            Progress::Complete | Progress::Malformed | Progress::Enough => Kind::None,
        }
    }
}

impl Seen {
    fn kind(&self) -> Kind<'_> {
        if self.is_model {
            Kind::SetUp(&self.text)
        } else {
            Kind::Is(&self.text)
        }
    }
}

impl Visit for Seen {
    fn open(&mut self, _: Container) {
        self.depth += 1;
        self.is_type = false;
        self.is_model = false;
    }

    fn close(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    fn key(&mut self, key: &[u8]) {
        self.is_type = self.depth == 1 && key == b"type";
        if self.depth == 1 {
            self.in_setup = key == b"setup";
        }
        self.is_model = self.depth == 2 && self.in_setup && key == b"model";
    }

    fn text_begins(&mut self) -> bool {
        self.is_type || self.is_model
    }

    fn text(&mut self, piece: &[u8], ends: bool) {
        let room = LONGEST - self.text.len();
        self.text.extend_from_slice(&piece[..piece.len().min(room)]);
        self.found |= ends;
    }

    fn scalar(&mut self, _: &[u8]) {}

    fn has_enough(&self) -> bool {
        self.found
    }
}
