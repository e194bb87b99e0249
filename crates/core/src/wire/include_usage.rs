//! Where a streaming chat request is made to ask for token counts: a few bytes put in, and nothing
//! else touched.

use http::HeaderMap;
use http::header::{CONTENT_ENCODING, HeaderName};

use super::dialect::{Dialect, Endpoint};

/// How paths end whose requests know `stream_options`.
const CHAT: &str = "/chat/completions";

/// Headers by which the client vouches for the body's bytes, as they are.
const DIGESTS: [HeaderName; 4] = [
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("repr-digest"),
];

/// Behind the `{` of a body without `stream_options`. Such a body is not empty: it says `stream`.
const WHOLE: &[u8] = br#""stream_options":{"include_usage":true},"#;
/// Behind the `{` of `stream_options` that have other members …
const FIRST: &[u8] = br#""include_usage":true,"#;
/// … and that have none.
const ONLY: &[u8] = br#""include_usage":true"#;

/// What is put into a body, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Splice {
    /// How many bytes of the body stand before it.
    pub at: usize,
    /// What is put in.
    pub text: &'static [u8],
}

/// Whether a request with this head may be made to ask: a streaming chat request if its body says
/// so, and the body's bytes are what they seem.
pub fn may_ask(endpoint: Endpoint, path: &str, headers: &HeaderMap) -> bool {
    endpoint.dialect == Dialect::OpenAi
        && endpoint.generates
        && path.trim_end_matches('/').ends_with(CHAT)
        && !headers.contains_key(CONTENT_ENCODING)
        && !DIGESTS.iter().any(|name| headers.contains_key(name))
}

/// Whether an error with this text is about what was put in.
pub fn is_refusal(error: &[u8]) -> bool {
    ["stream_options", "include_usage"]
        .iter()
        .any(|name| memchr::memmem::find(error, name.as_bytes()).is_some())
}

/// What `stream_options` are.
#[derive(Debug, Default)]
enum Options {
    #[default]
    Absent,
    /// An object without members so far, that begins there.
    Empty(usize),
    /// An object without `include_usage` so far.
    Filled(usize),
    /// The client has said what it wants, or it is no object.
    Settled,
}

/// Finds the place while a body is read.
#[derive(Debug, Default)]
pub(super) struct Finder {
    /// Bytes of the frames before this one.
    before: usize,
    /// Where the body's members begin.
    top: Option<usize>,
    options: Options,
    /// Whether the last key of the body was `stream_options`.
    in_options: bool,
    /// Whether the client asks for counts by OpenRouter's `usage`: then it expects them.
    asks_otherwise: bool,
}

impl Finder {
    /// An object began, at this depth; its members begin after so many bytes of the frame.
    pub(super) fn object_begins(&mut self, depth: usize, after: usize) {
        let after = self.before + after;
        match depth {
            1 => self.top = Some(after),
            2 if self.in_options => self.options = Options::Empty(after),
            _ => {}
        }
    }

    /// A key of an object at this depth.
    pub(super) fn key(&mut self, depth: usize, key: &[u8]) {
        match (depth, &self.options) {
            (1, _) => {
                self.in_options = key == b"stream_options";
                if self.in_options {
                    self.options = Options::Settled;
                }
                self.asks_otherwise |= key == b"usage";
            }
            (2, Options::Empty(at) | Options::Filled(at)) if self.in_options => {
                self.options = if key == b"include_usage" {
                    Options::Settled
                } else {
                    Options::Filled(*at)
                };
            }
            _ => {}
        }
    }

    /// The frame of so many bytes has been read.
    pub(super) fn frame_ends(&mut self, bytes: usize) {
        self.before += bytes;
    }

    /// The place, if there is one. The body has been read to its end and asks for a stream.
    pub(super) fn finish(self) -> Option<Splice> {
        let (at, text) = match self.options {
            _ if self.asks_otherwise => return None,
            Options::Absent => (self.top?, WHOLE),
            Options::Empty(at) => (at, ONLY),
            Options::Filled(at) => (at, FIRST),
            Options::Settled => return None,
        };
        Some(Splice { at, text })
    }
}

#[cfg(test)]
mod tests;
