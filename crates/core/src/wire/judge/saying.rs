//! What an answer says, and whether a rule is about it.

use http::HeaderMap;

use crate::provider::{ErrorRule, When};
use crate::wire::signals::{PAGE, Signals};

/// Below this a rule's status is the first digit of many.
const CLASSES: u16 = 10;
/// What may stand between a word and its number, in bytes: `Limit: 8000`, `limit of 50`.
const GAP: usize = 4;

/// Everything that rules look at.
#[derive(Debug)]
pub(super) struct Saying<'a> {
    /// Its status; `None` for an error in a 200 that names none.
    pub(super) status: Option<u16>,
    pub(super) headers: &'a HeaderMap,
    pub(super) signals: &'a Signals,
    /// The message in lower case.
    pub(super) text: String,
}

impl<'a> Saying<'a> {
    pub(super) fn new(status: Option<u16>, headers: &'a HeaderMap, signals: &'a Signals) -> Self {
        Self {
            status,
            headers,
            signals,
            text: signals.message.to_lowercase(),
        }
    }

    /// Whether `rule` is about it. A provider's own phrases are long enough to be recognised
    /// without a status.
    pub(super) fn fits(&self, rule: &ErrorRule, is_own: bool) -> bool {
        self.has_status(rule, is_own)
            && (rule.codes.is_empty() || rule.codes.iter().any(|code| self.signals.has_word(code)))
            && self.says(rule.phrases)
            && rule.when.iter().all(|condition| self.holds(*condition))
    }

    fn has_status(&self, rule: &ErrorRule, is_own: bool) -> bool {
        let Some(status) = self.status else {
            return !rule.codes.is_empty()
                || (!rule.phrases.is_empty()
                    && (is_own || rule.status.is_empty() || rule.status.contains(&4)));
        };
        rule.status.is_empty()
            || rule
                .status
                .iter()
                .any(|of| *of == status || (*of < CLASSES && *of == status / 100))
    }

    fn says(&self, phrases: &[&str]) -> bool {
        phrases.is_empty() || phrases.iter().any(|phrase| self.text.contains(phrase))
    }

    fn holds(&self, condition: When) -> bool {
        match condition {
            When::Header(name) => self.headers.contains_key(name),
            When::HeaderIs(name, wanted) => self
                .headers
                .get(name)
                .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(wanted.as_bytes())),
            When::NoHeaderLike(prefix) => !self
                .headers
                .keys()
                .any(|name| name.as_str().starts_with(prefix)),
            When::Also(phrases) => self.says(phrases),
            When::NeverFits => {
                let limit = numbers_after(&self.text, "limit").max();
                let requested = numbers_after(&self.text, "requested").max();
                requested
                    .zip(limit)
                    .is_some_and(|(asked, most)| asked > most)
            }
            When::LimitIsZero => numbers_after(&self.text, "limit").any(|limit| limit == 0),
            When::NotAPage => !self.signals.has_word(PAGE),
        }
    }
}

/// The whole numbers that stand closely behind `word`, their thousands separated or not.
fn numbers_after<'t>(text: &'t str, word: &'t str) -> impl Iterator<Item = u64> + 't {
    text.match_indices(word).filter_map(move |(at, _)| {
        let rest = &text[at + word.len()..];
        let from = rest
            .bytes()
            .take(GAP + 1)
            .position(|byte| byte.is_ascii_digit())?;
        if rest[..from]
            .bytes()
            .any(|byte| byte == b'(' || byte == b')')
        {
            return None;
        }
        let mut number = 0_u64;
        let mut digits = rest[from..].bytes().peekable();
        while let Some(byte) = digits.next() {
            match byte {
                b'0'..=b'9' => {
                    number = number
                        .checked_mul(10)?
                        .checked_add(u64::from(byte - b'0'))?;
                }
                b',' | b'.' if !digits.peek().is_some_and(u8::is_ascii_digit) => break,
                b',' => {}
                b'.' => return None,
                _ => break,
            }
        }
        Some(number)
    })
}
