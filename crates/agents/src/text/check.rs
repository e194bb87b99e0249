//! What an edit must lead to, and what is said if it cannot.

use std::ops::Range;

use serde_json::{Map, Value};

use super::{Path, Step};

/// A text that is not what its format demands. Never quotes what the file says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {what}")]
pub struct SyntaxError {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub what: String,
}

impl SyntaxError {
    /// `what` at this byte of `text`.
    pub(super) fn at(text: &str, byte: usize, what: impl Into<String>) -> Self {
        let (line, column) = place(text, byte);
        Self {
            line,
            column,
            what: what.into(),
        }
    }
}

/// Why a change is not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// The file cannot be understood.
    #[error(transparent)]
    Syntax(#[from] SyntaxError),
    /// What stands there cannot be changed by this program.
    #[error("{path} (line {line}): {why}")]
    Refused {
        /// Which change.
        path: Path,
        /// Where its way ends, from 1.
        line: usize,
        /// What is in the way.
        why: &'static str,
    },
    /// The change would have changed something else too, and is not made.
    #[error("{path} cannot be changed without changing something else")]
    Unsafe {
        /// Which change.
        path: Path,
    },
}

/// What is in the way of an edit, and at which byte.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) at: usize,
    pub(super) why: &'static str,
}

impl Refusal {
    pub(super) fn new(at: usize, why: &'static str) -> Self {
        Self { at, why }
    }

    pub(super) fn of(self, path: &Path, text: &str) -> EditError {
        EditError::Refused {
            path: path.clone(),
            line: place(text, self.at).0,
            why: self.why,
        }
    }
}

/// Line and column of a byte, from 1.
fn place(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (
        before.matches('\n').count() + 1,
        before[line_start..].chars().count() + 1,
    )
}

/// A piece of text to be replaced by another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) range: Range<usize>,
    pub(super) new: String,
}

impl Piece {
    pub(super) fn insert(at: usize, new: impl Into<String>) -> Self {
        Self::replace(at..at, new)
    }

    pub(super) fn replace(range: Range<usize>, new: impl Into<String>) -> Self {
        Self {
            range,
            new: new.into(),
        }
    }

    pub(super) fn delete(range: Range<usize>) -> Self {
        Self::replace(range, "")
    }
}

/// The text with these pieces replaced; they stand in ascending order. `None` if they do not fit.
pub(super) fn splice(text: &str, pieces: &[Piece]) -> Option<String> {
    let mut spliced = String::with_capacity(text.len() + 64);
    let mut done = 0;
    for piece in pieces {
        spliced.push_str(text.get(done..piece.range.start)?);
        text.get(piece.range.clone())?;
        spliced.push_str(&piece.new);
        done = piece.range.end;
    }
    spliced.push_str(text.get(done..)?);
    Some(spliced)
}

/// The value with `to` (or nothing) at this place, and nothing else changed; `None` if that place cannot be.
pub(super) fn applied(value: &Value, steps: &[Step], to: Option<&Value>) -> Option<Value> {
    let Some((first, rest)) = steps.split_first() else {
        return to.cloned();
    };
    match (first, value) {
        (Step::Key(key), Value::Object(members)) => {
            let mut members = members.clone();
            if rest.is_empty() && to.is_none() {
                members.remove(key)?;
            } else {
                let member = members.get(key).unwrap_or(&Value::Null);
                let member = applied(member, rest, to)?;
                members.insert(key.clone(), member);
            }
            Some(Value::Object(members))
        }
        (Step::Key(key), Value::Null) if to.is_some() => {
            let member = applied(&Value::Null, rest, to)?;
            Some(Value::Object(Map::from_iter([(key.clone(), member)])))
        }
        (Step::Index(index), Value::Array(elements)) => {
            let mut elements = elements.clone();
            let element = elements.get_mut(*index)?;
            *element = applied(element, rest, to)?;
            Some(Value::Array(elements))
        }
        _ => None,
    }
}

/// The line end a text uses: that of its first line.
pub(super) fn line_end(text: &str) -> &'static str {
    match text.find('\n') {
        Some(newline) if text[..newline].ends_with('\r') => "\r\n",
        _ => "\n",
    }
}

/// Where the line of this byte begins.
pub(super) fn line_start(text: &str, byte: usize) -> usize {
    text[..byte].rfind('\n').map_or(0, |newline| newline + 1)
}

/// Where the next line begins, or the text ends.
pub(super) fn next_line(text: &str, byte: usize) -> usize {
    text[byte..]
        .find('\n')
        .map_or(text.len(), |newline| byte + newline + 1)
}

/// Where this byte's line ends, before its line end.
pub(super) fn end_of_line(text: &str, byte: usize) -> usize {
    let end = text[byte..]
        .find('\n')
        .map_or(text.len(), |newline| byte + newline);
    if end > byte && text[..end].ends_with('\r') {
        end - 1
    } else {
        end
    }
}

/// The blanks the line of this byte begins with.
pub(super) fn indentation(text: &str, byte: usize) -> &str {
    let line = &text[line_start(text, byte)..];
    &line[..line.len() - line.trim_start_matches([' ', '\t']).len()]
}

/// Whether only blanks stand before this byte in its line.
pub(super) fn begins_line(text: &str, byte: usize) -> bool {
    text[line_start(text, byte)..byte]
        .bytes()
        .all(|byte| matches!(byte, b' ' | b'\t'))
}
