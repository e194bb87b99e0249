//! A resumable JSON tokenizer: bytes are pushed in any cut, events come out; nothing is copied that
//! nobody wants, nothing recurses, and no input can make it fail harder than "malformed".
//!
//! A body arrives as frames and is never made contiguous, so no parser that wants a slice fits.
//! Strings are skipped 64 bytes at a time, see `quote.rs`. UTF-8 inside strings is not validated:
//! the upstream does that, and it would cost more than everything else here.

use super::quote;

/// Deepest nesting that is followed; deeper input counts as malformed. Real bodies (tool schemas)
/// stay below 40; serde_json stops at 128 as well.
pub const MAX_DEPTH: usize = 128;
/// Longest object key that is reported, in bytes; no key that matters is longer. A longer one
/// comes as an empty key.
const MAX_KEY: usize = 64;
/// The same as written, where each byte may be an escape of six.
const MAX_RAW_KEY: usize = 6 * MAX_KEY;
/// Longest number or literal kept, in bytes; a longer one is reported cut.
const MAX_SCALAR: usize = 40;

/// Who receives the events of one document.
pub trait Visit {
    /// `{` or `[` begins a value.
    fn open(&mut self, container: Container);
    /// The object that [`Visit::open`] has just announced: its members begin after so many bytes of
    /// the chunk.
    fn object_begins(&mut self, _after: usize) {}
    /// The innermost container ends.
    fn close(&mut self);
    /// A key of the innermost object, unescaped; empty if it was longer than any that matters.
    fn key(&mut self, key: &[u8]);
    /// A string value begins. Answer whether its pieces are wanted.
    fn text_begins(&mut self) -> bool;
    /// The next bytes of a wanted string, escapes untouched, and whether they are its last. The
    /// last piece may be empty.
    fn text(&mut self, piece: &[u8], ends: bool);
    /// A number, `true`, `false` or `null`.
    fn scalar(&mut self, raw: &[u8]);
    /// Whether nothing further can matter. Asked after every event, so that the place where
    /// reading stops does not depend on how the input is cut.
    fn has_enough(&self) -> bool {
        false
    }
}

/// What holds the values at one depth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// `{ … }`
    Object,
    /// `[ … ]`
    Array,
}

/// How far a document has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// More input is needed.
    Reading,
    /// The document is complete.
    Complete,
    /// The visitor has enough; the rest was not looked at.
    Enough,
    /// This is not JSON (or nests too deep). Nothing seen so far may be relied on.
    Malformed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A value must come.
    Value,
    /// Directly after `[`: a value or `]`.
    FirstElement,
    /// Directly after `{`: a key or `}`.
    FirstKey,
    /// After a comma in an object: a key.
    Key,
    /// After a key.
    Colon,
    /// After a value inside a container: a comma or the end.
    AfterValue,
    /// Inside a key.
    InKey,
    /// Inside a string value; wanted or not.
    InText {
        wanted: bool,
    },
    /// Inside a number or literal.
    InScalar,
    /// After the outermost value.
    Complete,
    Malformed,
}

/// The tokenizer's place in one document.
#[derive(Debug)]
pub struct Tokenizer {
    state: State,
    /// One bit per open container, innermost lowest: 1 for an object.
    objects: u128,
    depth: usize,
    /// Whether the first byte of the next chunk is escaped, inside a string.
    escaping: bool,
    held: Vec<u8>,
    /// Whether `held` lost bytes to its bound.
    overflowed: bool,
}

impl Default for Tokenizer {
    fn default() -> Self {
        Self::new()
    }
}

impl Tokenizer {
    /// At the beginning of a document.
    pub const fn new() -> Self {
        Self {
            state: State::Value,
            objects: 0,
            depth: 0,
            escaping: false,
            held: Vec::new(),
            overflowed: false,
        }
    }

    /// Back to the beginning, keeping allocations.
    pub fn reset(&mut self) {
        self.state = State::Value;
        self.objects = 0;
        self.depth = 0;
        self.escaping = false;
        self.held.clear();
        self.overflowed = false;
    }

    /// How far the document has come, given that no more input follows. A number at the top
    /// level ends only with the input.
    pub fn finish(&mut self, visit: &mut impl Visit) -> Progress {
        if self.state == State::InScalar && self.depth == 0 {
            self.end_scalar(visit);
        }
        if visit.has_enough() {
            return Progress::Enough;
        }
        self.progress()
    }

    /// Takes the next bytes of the document.
    pub fn feed(&mut self, chunk: &[u8], visit: &mut impl Visit) -> Progress {
        let mut at = 0;
        while at < chunk.len() {
            if visit.has_enough() {
                return Progress::Enough;
            }
            // A chain of tests, the likeliest first: a jump through a table is predicted worse.
            at = if self.state == State::InKey {
                self.key_bytes(chunk, at, visit)
            } else if let State::InText { wanted } = self.state {
                self.text_bytes(chunk, at, wanted, visit)
            } else if self.state == State::InScalar {
                self.scalar_bytes(chunk, at, visit)
            } else if self.state == State::Malformed {
                return Progress::Malformed;
            } else {
                self.structure(chunk, at, visit)
            };
        }
        self.progress()
    }

    const fn progress(&self) -> Progress {
        match self.state {
            State::Complete => Progress::Complete,
            State::Malformed => Progress::Malformed,
            _ => Progress::Reading,
        }
    }

    /// One byte outside strings and scalars.
    fn structure(&mut self, chunk: &[u8], at: usize, visit: &mut impl Visit) -> usize {
        let byte = chunk[at];
        if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
            return at + 1;
        }
        match (self.state, byte) {
            (State::Value | State::FirstElement, b'{') => {
                self.open(Container::Object, visit);
                visit.object_begins(at + 1);
            }
            (State::Value | State::FirstElement, b'[') => self.open(Container::Array, visit),
            (State::Value | State::FirstElement, b'"') => {
                let wanted = self.text_begins(visit);
                return self.text_bytes(chunk, at + 1, wanted, visit);
            }
            (State::Value | State::FirstElement, b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => {
                self.hold_nothing();
                self.state = State::InScalar;
                return at;
            }
            (State::FirstKey | State::Key, b'"') => {
                self.key_begins();
            }
            (State::Colon, b':') => self.state = State::Value,
            (State::AfterValue, b',') => {
                self.state = if self.in_object() {
                    State::Key
                } else {
                    State::Value
                };
            }
            (State::AfterValue | State::FirstKey, b'}') if self.in_object() => self.close(visit),
            (State::AfterValue | State::FirstElement, b']') if !self.in_object() => {
                self.close(visit);
            }
            _ => self.state = State::Malformed,
        }
        at + 1
    }

    fn open(&mut self, container: Container, visit: &mut impl Visit) {
        if self.depth == MAX_DEPTH {
            self.state = State::Malformed;
            return;
        }
        self.depth += 1;
        self.objects <<= 1;
        self.state = match container {
            Container::Object => {
                self.objects |= 1;
                State::FirstKey
            }
            Container::Array => State::FirstElement,
        };
        visit.open(container);
    }

    fn close(&mut self, visit: &mut impl Visit) {
        self.depth -= 1;
        self.objects >>= 1;
        self.value_ended();
        visit.close();
    }

    fn value_ended(&mut self) {
        self.state = if self.depth == 0 {
            State::Complete
        } else {
            State::AfterValue
        };
    }

    const fn in_object(&self) -> bool {
        self.objects & 1 == 1
    }

    /// Where the string that `chunk[at..]` continues ends: the index of its closing quote.
    fn closing_quote(&mut self, chunk: &[u8], at: usize) -> Option<usize> {
        quote::closing(&chunk[at..], &mut self.escaping).map(|found| at + found)
    }

    fn key_bytes(&mut self, chunk: &[u8], at: usize, visit: &mut impl Visit) -> usize {
        let rest = &chunk[at..];
        if self.held.is_empty()
            && !self.escaping
            && let Some(length) = quote::plain_key(rest, MAX_KEY)
        {
            visit.key(&rest[..length]);
            return self.key_ended(chunk, at + length + 1, visit);
        }
        let quote = self.closing_quote(chunk, at);
        let end = quote.unwrap_or(chunk.len());
        self.hold(&chunk[at..end], MAX_RAW_KEY);
        if quote.is_none() {
            return end;
        }
        let key = if self.overflowed {
            None
        } else {
            unescape(&self.held).filter(|key| key.len() <= MAX_KEY)
        };
        visit.key(key.as_deref().unwrap_or_default());
        self.key_ended(chunk, end + 1, visit)
    }

    /// After a key comes a colon, mostly at once, and mostly a string after it.
    fn key_ended(&mut self, chunk: &[u8], at: usize, visit: &mut impl Visit) -> usize {
        match chunk.get(at..) {
            Some([b':', b'"', ..]) => {
                let wanted = self.text_begins(visit);
                self.text_bytes(chunk, at + 2, wanted, visit)
            }
            Some([b':', ..]) => {
                self.state = State::Value;
                at + 1
            }
            _ => {
                self.state = State::Colon;
                at
            }
        }
    }

    /// A string value begins; whether it is wanted.
    fn text_begins(&mut self, visit: &mut impl Visit) -> bool {
        let wanted = visit.text_begins();
        self.escaping = false;
        self.state = State::InText { wanted };
        wanted
    }

    fn key_begins(&mut self) {
        self.hold_nothing();
        self.escaping = false;
        self.state = State::InKey;
    }

    fn text_bytes(
        &mut self,
        chunk: &[u8],
        at: usize,
        wanted: bool,
        visit: &mut impl Visit,
    ) -> usize {
        let quote = self.closing_quote(chunk, at);
        let end = quote.unwrap_or(chunk.len());
        if wanted && (quote.is_some() || end > at) {
            visit.text(&chunk[at..end], quote.is_some());
        }
        if quote.is_none() {
            return end;
        }
        self.value_ended();
        // Mostly the next key follows at once.
        if self.depth > 0
            && self.in_object()
            && let Some([b',', b'"', ..]) = chunk.get(end + 1..)
        {
            self.key_begins();
            return end + 3;
        }
        end + 1
    }

    fn scalar_bytes(&mut self, chunk: &[u8], at: usize, visit: &mut impl Visit) -> usize {
        let end = chunk[at..]
            .iter()
            .position(|byte| !matches!(byte, b'0'..=b'9' | b'a'..=b'z' | b'E' | b'+' | b'-' | b'.'))
            .map_or(chunk.len(), |length| at + length);
        self.hold(&chunk[at..end], MAX_SCALAR);
        if end < chunk.len() {
            self.end_scalar(visit);
        }
        end
    }

    fn end_scalar(&mut self, visit: &mut impl Visit) {
        // A number cut at its bound cannot be checked to its end, and need not be.
        if self.overflowed || is_scalar(&self.held) {
            visit.scalar(&self.held);
            self.value_ended();
        } else {
            self.state = State::Malformed;
        }
    }

    fn hold_nothing(&mut self) {
        self.held.clear();
        self.overflowed = false;
    }

    fn hold(&mut self, piece: &[u8], most: usize) {
        let room = most - self.held.len();
        self.held.extend_from_slice(&piece[..piece.len().min(room)]);
        self.overflowed |= piece.len() > room;
    }
}

/// Whether `raw` is `true`, `false`, `null` or a number by the JSON grammar.
fn is_scalar(raw: &[u8]) -> bool {
    matches!(raw, b"true" | b"false" | b"null") || is_number(raw)
}

fn is_number(raw: &[u8]) -> bool {
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut rest = raw.strip_prefix(b"-").unwrap_or(raw);
    let whole = digits(rest);
    if whole == 0 || (whole > 1 && rest[0] == b'0') {
        return false;
    }
    rest = &rest[whole..];
    if let Some(fraction) = rest.strip_prefix(b".") {
        let count = digits(fraction);
        if count == 0 {
            return false;
        }
        rest = &fraction[count..];
    }
    if let [b'e' | b'E', exponent @ ..] = rest {
        let exponent = match exponent {
            [b'+' | b'-', tail @ ..] => tail,
            _ => exponent,
        };
        return !exponent.is_empty() && digits(exponent) == exponent.len();
    }
    rest.is_empty()
}

/// The text of a JSON string given what stood between its quotes; `None` if an escape is wrong.
pub fn unescape(raw: &[u8]) -> Option<Vec<u8>> {
    if !raw.contains(&b'\\') {
        return Some(raw.to_vec());
    }
    let mut quoted = Vec::with_capacity(raw.len() + 2);
    quoted.push(b'"');
    quoted.extend_from_slice(raw);
    quoted.push(b'"');
    serde_json::from_slice::<String>(&quoted)
        .ok()
        .map(String::into_bytes)
}

#[cfg(test)]
mod tests;
