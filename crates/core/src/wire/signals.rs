//! What an error body says: codes, message, hints. Never fails, whatever it is given.

mod account;
mod cut;
mod object;
#[cfg(test)]
mod tests;

use serde_json::{Deserializer, Value};

/// Longest message that is kept, in bytes.
pub const MAX_MESSAGE: usize = 4 << 10;
/// Most bytes of an error body that are looked at.
pub const MAX_BODY: usize = 64 << 10;
/// Most values of a body with one per line, or events of a stream, that are looked at: an error
/// that comes later comes after the answer began.
const MOST_VALUES: usize = 64;
/// The word for a page instead of an answer: something on the way sent it, not the provider.
pub const PAGE: &str = "html";

/// What an error body says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signals {
    /// Codes, types, statuses and reasons, in lower case.
    pub words: Vec<String>,
    /// The message, as it came.
    pub message: String,
    /// Whether the provider said that the request may be sent again.
    pub retryable: Option<bool>,
    /// Fields that say when it is over: name in lower case and value.
    pub resets: Vec<(String, String)>,
    /// Organisations, projects or teams that it names.
    pub accounts: Vec<String>,
    /// Whether the body is an error whatever the status says.
    pub envelope: bool,
    /// The status that the body names, if it names one.
    pub status: Option<u16>,
}

impl Signals {
    /// What the body says, if it is an error or may be one: JSON, one value or one per line or in
    /// an array, an event stream, or a page. Anything else says nothing.
    pub fn of_body(body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(&body[..body.len().min(MAX_BODY)]);
        // Blank lines keep a connection alive while the answer is being made.
        let text = text.trim_start_matches('\u{feff}').trim();
        let mut signals = match text.as_bytes().first() {
            Some(b'{' | b'[') => Self::of_json(text),
            Some(b'<') => Self::of_page(text),
            _ => Self::of_events(text),
        };
        signals.accounts = account::named(&signals.message);
        signals
    }

    /// Whether an answer with this body is an error although its status says otherwise.
    pub const fn is_error_envelope(&self) -> bool {
        self.envelope
    }

    /// Whether it says anything that could be a reason.
    pub const fn is_empty(&self) -> bool {
        self.words.is_empty() && self.message.is_empty()
    }

    /// Whether one of the words fits `pattern`: the same, or with a `*` before or behind what must
    /// be its end or its beginning.
    pub fn has_word(&self, pattern: &str) -> bool {
        let inner = pattern.trim_matches('*');
        self.words.iter().any(
            |word| match (pattern.starts_with('*'), pattern.ends_with('*')) {
                (false, false) => word == inner,
                (false, true) => word.starts_with(inner),
                (true, false) => word.ends_with(inner),
                (true, true) => word.contains(inner),
            },
        )
    }

    fn of_json(text: &str) -> Self {
        let mut first = None;
        for value in Deserializer::from_str(text)
            .into_iter::<Value>()
            .take(MOST_VALUES)
        {
            let Ok(value) = value else {
                break;
            };
            let signals = Self::of_value(&value);
            if signals.envelope {
                return signals;
            }
            first.get_or_insert(signals);
        }
        first.unwrap_or_else(|| {
            cut::mended(text)
                .map(|value| Self::of_value(&value))
                .unwrap_or_default()
        })
    }

    /// Gemini's OpenAI-compatible paths put the error into an array.
    fn of_value(value: &Value) -> Self {
        let Value::Array(values) = value else {
            return object::read(value);
        };
        let mut all = values.iter().take(MOST_VALUES).map(object::read);
        let Some(first) = all.next() else {
            return Self::default();
        };
        if first.envelope {
            return first;
        }
        all.find(|signals| signals.envelope).unwrap_or(first)
    }

    /// The first error among the events.
    fn of_events(text: &str) -> Self {
        let mut is_error = false;
        let mut events = 0;
        for line in text.lines() {
            if let Some(name) = line.strip_prefix("event:") {
                is_error = name.trim() == "error";
            }
            let Some(data) = line.strip_prefix("data:") else {
                continue;
            };
            events += 1;
            if events > MOST_VALUES {
                break;
            }
            let mut signals = Self::of_json(data.trim());
            if is_error || signals.envelope {
                signals.envelope = true;
                return signals;
            }
        }
        Self::default()
    }

    /// A page of a firewall or a gateway; its title is all that it says.
    fn of_page(text: &str) -> Self {
        let lower = text.to_ascii_lowercase();
        let title = lower.find("<title").and_then(|at| {
            let from = at + lower[at..].find('>')? + 1;
            let to = from + lower[from..].find("</title")?;
            Some(text[from..to].trim())
        });
        Self {
            words: vec![PAGE.to_owned()],
            message: bounded(title.unwrap_or_default()),
            ..Self::default()
        }
    }
}

/// At most so much of a message as is kept, cut between characters.
fn bounded(text: &str) -> String {
    let mut end = text.len().min(MAX_MESSAGE);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}
