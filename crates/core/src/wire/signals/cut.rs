//! JSON whose end is missing, read as far as it goes.

use serde_json::Value;

/// What `text` may have been the beginning of: open strings, objects and arrays are closed; if
/// that makes no sense, what follows the last complete member is dropped first.
pub(super) fn mended(text: &str) -> Option<Value> {
    let open = Open::of(text);
    let mut whole = text.to_owned();
    if open.in_text {
        // An escape that was cut would swallow the quote.
        whole.truncate(open.before_escape.unwrap_or(whole.len()));
        whole.push('"');
    }
    parsed(whole, &open.closers).or_else(|| {
        let (at, depth) = open.last_comma?;
        parsed(text[..at].to_owned(), open.closers.get(..depth)?)
    })
}

fn parsed(mut text: String, closers: &[u8]) -> Option<Value> {
    text.extend(closers.iter().rev().map(|closer| char::from(*closer)));
    serde_json::from_str(&text).ok()
}

/// What is open at the end of a text.
#[derive(Default)]
struct Open {
    closers: Vec<u8>,
    in_text: bool,
    /// Where the escape begins that the text ends in.
    before_escape: Option<usize>,
    /// The last comma outside of strings, and how much was open there.
    last_comma: Option<(usize, usize)>,
}

impl Open {
    fn of(text: &str) -> Self {
        let mut open = Self::default();
        let mut escape: Option<(usize, usize)> = None;
        for (at, byte) in text.bytes().enumerate() {
            if open.in_text {
                match (escape, byte) {
                    (Some((_, 1)), _) => escape = None,
                    (Some((from, left)), _) => escape = Some((from, left - 1)),
                    (None, b'\\') => {
                        // `\u` is followed by four digits, every other escape is one letter.
                        let long = text.as_bytes().get(at + 1) == Some(&b'u');
                        escape = Some((at, if long { 5 } else { 1 }));
                    }
                    (None, b'"') => open.in_text = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => open.in_text = true,
                b'{' => open.closers.push(b'}'),
                b'[' => open.closers.push(b']'),
                b'}' | b']' => {
                    open.closers.pop();
                }
                b',' => open.last_comma = Some((at, open.closers.len())),
                _ => {}
            }
        }
        open.before_escape = escape.map(|(from, _)| from);
        open
    }
}
