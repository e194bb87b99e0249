//! A resumable JSON tokenizer: bytes are pushed in any cut, events come out; nothing is copied that
//! nobody wants, nothing recurses, and no input can make it fail harder than "malformed".
//!
//! A body arrives as frames and is never made contiguous, so no parser that wants a slice fits.
//! Strings are skipped by searching for the closing quote and counting the backslashes before it,
//! which is 2.8 times faster than stopping at each escape. UTF-8 inside strings is not validated:
//! the upstream does that, and it would cost more than everything else here.

/// Deepest nesting that is followed; deeper input counts as malformed. Real bodies (tool schemas)
/// stay below 40; serde_json stops at 128 as well.
pub const MAX_DEPTH: usize = 128;
/// Longest object key that is reported, in bytes; no key that matters is longer. A longer one
/// comes as an empty key.
const MAX_KEY: usize = 64;
/// Longest number or literal kept, in bytes; a longer one is reported cut.
const MAX_SCALAR: usize = 40;

/// Who receives the events of one document.
pub trait Visit {
    /// `{` or `[` begins a value.
    fn open(&mut self, container: Container);
    /// The innermost container ends.
    fn close(&mut self);
    /// A key of the innermost object, unescaped; empty if it was longer than any that matters.
    fn key(&mut self, key: &[u8]);
    /// A string value begins. Answer whether its pieces are wanted.
    fn text_begins(&mut self) -> bool;
    /// The next bytes of a wanted string, escapes untouched.
    fn text(&mut self, piece: &[u8]);
    /// The wanted string is complete.
    fn text_ends(&mut self);
    /// A number, `true`, `false` or `null`.
    fn scalar(&mut self, raw: &[u8]);
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
    InText { wanted: bool },
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
    /// Whether an odd number of backslashes ended the last chunk inside a string.
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
        self.progress()
    }

    /// Takes the next bytes of the document.
    pub fn feed(&mut self, chunk: &[u8], visit: &mut impl Visit) -> Progress {
        let mut at = 0;
        while at < chunk.len() {
            at = match self.state {
                State::InKey => self.key_bytes(chunk, at, visit),
                State::InText { wanted } => self.text_bytes(chunk, at, wanted, visit),
                State::InScalar => self.scalar_bytes(chunk, at, visit),
                State::Malformed => return Progress::Malformed,
                _ => self.structure(chunk, at, visit),
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
            (State::Value | State::FirstElement, b'{') => self.open(Container::Object, visit),
            (State::Value | State::FirstElement, b'[') => self.open(Container::Array, visit),
            (State::Value | State::FirstElement, b'"') => {
                self.escaping = false;
                self.state = State::InText {
                    wanted: visit.text_begins(),
                };
            }
            (State::Value | State::FirstElement, b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => {
                self.hold_nothing();
                self.state = State::InScalar;
                return at;
            }
            (State::FirstKey | State::Key, b'"') => {
                self.hold_nothing();
                self.escaping = false;
                self.state = State::InKey;
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
    /// Keeps track of a backslash at the very end of the chunk.
    fn closing_quote(&mut self, chunk: &[u8], at: usize) -> Option<usize> {
        let mut from = at;
        // A backslash at the end of the last chunk takes the first byte of this one with it.
        if std::mem::take(&mut self.escaping) {
            from += 1;
        }
        let start = from;
        while let Some(found) = chunk.get(from..).and_then(|rest| memchr::memchr(b'"', rest)) {
            let quote = from + found;
            if !ends_in_odd_backslashes(&chunk[start..quote]) {
                return Some(quote);
            }
            from = quote + 1;
        }
        self.escaping = chunk.get(start..).is_some_and(ends_in_odd_backslashes);
        None
    }

    fn key_bytes(&mut self, chunk: &[u8], at: usize, visit: &mut impl Visit) -> usize {
        let quote = self.closing_quote(chunk, at);
        let end = quote.unwrap_or(chunk.len());
        let piece = &chunk[at..end];
        if quote.is_none() {
            self.hold(piece, MAX_KEY);
            return end;
        }
        self.state = State::Colon;
        if self.held.is_empty() && !piece.contains(&b'\\') {
            visit.key(if piece.len() <= MAX_KEY { piece } else { b"" });
        } else {
            self.hold(piece, MAX_KEY);
            let key = if self.overflowed {
                None
            } else {
                unescape(&self.held)
            };
            visit.key(key.as_deref().unwrap_or_default());
        }
        end + 1
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
        if wanted && end > at {
            visit.text(&chunk[at..end]);
        }
        if quote.is_some() {
            self.value_ended();
            if wanted {
                visit.text_ends();
            }
            return end + 1;
        }
        end
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

fn ends_in_odd_backslashes(text: &[u8]) -> bool {
    text.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Writes the events down, pieces of a string joined.
    #[derive(Default, Debug, PartialEq)]
    struct Events(Vec<String>, Vec<u8>);

    impl Visit for Events {
        fn open(&mut self, container: Container) {
            self.0.push(format!("{container:?}"));
        }
        fn close(&mut self) {
            self.0.push("close".into());
        }
        fn key(&mut self, key: &[u8]) {
            self.0.push(format!("key {}", String::from_utf8_lossy(key)));
        }
        fn text_begins(&mut self) -> bool {
            self.1.clear();
            true
        }
        fn text(&mut self, piece: &[u8]) {
            self.1.extend_from_slice(piece);
        }
        fn text_ends(&mut self) {
            self.0.push(format!("text {}", String::from_utf8_lossy(&self.1)));
        }
        fn scalar(&mut self, raw: &[u8]) {
            self.0.push(format!("scalar {}", String::from_utf8_lossy(raw)));
        }
    }

    fn run(chunks: &[&[u8]]) -> (Progress, Vec<String>) {
        let mut events = Events::default();
        let mut tokenizer = Tokenizer::new();
        for chunk in chunks {
            tokenizer.feed(chunk, &mut events);
        }
        (tokenizer.finish(&mut events), events.0)
    }

    #[test]
    fn events_come_in_document_order() {
        let (progress, events) = run(&[br#" {"a":[1,-2.5e3,"x\"y"],"b":{"c":null}} "#]);
        assert_eq!(progress, Progress::Complete);
        assert_eq!(
            events,
            [
                "Object", "key a", "Array", "scalar 1", "scalar -2.5e3", "text x\\\"y", "close", "key b",
                "Object", "key c", "scalar null", "close", "close"
            ]
        );
    }

    #[test]
    fn escaped_keys_are_decoded_and_overlong_ones_are_empty() {
        let (_, events) = run(&[br#"{"\u0061\n":1}"#]);
        assert_eq!(events[1], "key a\n");
        let long = format!("{{\"{}\":1}}", "k".repeat(MAX_KEY + 1));
        assert_eq!(run(&[long.as_bytes()]).1[1], "key ");
    }

    #[test]
    fn what_is_not_json_is_malformed() {
        for text in [
            "{", "[1,]", "{\"a\"}", "{\"a\":1,}", "{,}", "nul", "01", "1.", "--1", "[1 2]", "{\"a\":1]",
            "\"open", "", "hello", "[1]]", "{} {}", "-",
        ] {
            assert_ne!(run(&[text.as_bytes()]).0, Progress::Complete, "{text}");
        }
    }

    #[test]
    fn nesting_beyond_the_bound_is_malformed_and_does_not_recurse() {
        let deep = "[".repeat(1_000_000);
        assert_eq!(run(&[deep.as_bytes()]).0, Progress::Malformed);
        let allowed = format!("{}{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH));
        assert_eq!(run(&[allowed.as_bytes()]).0, Progress::Complete);
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<f64>().prop_map(Into::into),
            "[a\"\\\\\u{e9}\n\u{1f600}]{0,12}".prop_map(Into::into),
        ];
        leaf.prop_recursive(5, 64, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
                prop::collection::vec(("[a\"\\\\\u{e9}]{0,6}", inner), 0..6)
                    .prop_map(|pairs| serde_json::Value::Object(pairs.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_events_do_not_depend_on_where_the_input_is_cut(value in json(), pretty: bool) {
            let text = if pretty { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) }.unwrap();
            let whole = run(&[&text]);
            prop_assert_eq!(whole.0, Progress::Complete);
            for at in 0..=text.len() {
                prop_assert_eq!(&run(&[&text[..at], &text[at..]]), &whole, "cut at {}", at);
            }
            let bytes: Vec<&[u8]> = text.chunks(1).collect();
            prop_assert_eq!(&run(&bytes), &whole);
        }

        #[test]
        fn what_serde_json_accepts_is_complete_and_what_it_refuses_structurally_is_not(
            value in json(), at in any::<prop::sample::Index>(), byte in "[\\[\\]{}:,0a-]"
        ) {
            let mut text = serde_json::to_vec(&value).unwrap();
            let at = at.index(text.len());
            text[at] = byte.as_bytes()[0];
            let accepted = serde_json::from_slice::<serde_json::de::IgnoredAny>(&text);
            let ours = run(&[&text]).0 == Progress::Complete;
            // Escapes and UTF-8 inside strings are the upstream's business.
            let about_strings = accepted.as_ref().is_err_and(|e| {
                let said = e.to_string();
                said.contains("escape") || said.contains("surrogate") || said.contains("unicode") || said.contains("UTF-8") || said.contains("control")
            });
            prop_assert!(about_strings || accepted.is_ok() == ours, "{:?} {:?}", String::from_utf8_lossy(&text), accepted);
        }
    }
}
