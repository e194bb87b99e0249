//! Changes of a text, kept as what takes them back.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::check::{Piece, Refusal, applied, splice};
use super::{Change, EditError, Format, Path, Step};

/// A byte order mark, which some editors put before everything.
const BOM: char = '\u{feff}';

/// A text after its changes.
#[derive(Clone, Debug, PartialEq)]
pub struct Edited {
    /// The text.
    pub text: String,
    /// What takes the changes back.
    pub patch: Patch,
}

/// A text after changes were taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undone {
    /// The text.
    pub text: String,
    /// What somebody has changed since, and was left.
    pub left: Vec<Path>,
}

/// What takes changes of a text back. Holds nothing of the text but what was replaced.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Patch {
    /// In the order in which they were made.
    alterations: Vec<Alteration>,
    /// SHA-256 of the text before.
    before: String,
    /// SHA-256 of the text after. A fast hash could be inverted, and the text holds secrets.
    after: String,
}

/// One value that was replaced or inserted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Alteration {
    /// The outermost place that was not there, or what was replaced.
    path: Path,
    /// What was said there. (Not skipped if absent: absent and null are not the same.)
    was: Was,
    /// What is said there now.
    now: Value,
    /// Where the first value in it stood after this alteration.
    anchor: usize,
    pieces: Vec<Replaced>,
}

/// What stood at a place before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Was {
    Nothing,
    Value(Value),
}

impl Was {
    const fn value(&self) -> Option<&Value> {
        match self {
            Self::Nothing => None,
            Self::Value(value) => Some(value),
        }
    }
}

/// Text that was replaced; `at` counts in the text after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Replaced {
    at: usize,
    before: String,
    after: String,
}

impl Patch {
    /// Whether nothing was changed.
    pub fn is_empty(&self) -> bool {
        self.alterations.is_empty()
    }

    /// Takes the changes back. If `current` is what [`Format::edit`] made: the exact former bytes. If other
    /// parts have changed since, those stay; a value that somebody has changed since is left and named.
    pub fn undo(&self, format: Format, current: &str) -> Result<Undone, EditError> {
        let hash = hash(current);
        let unchanged = |text: &str| Undone {
            text: text.to_owned(),
            left: Vec::new(),
        };
        if self.is_empty() || hash == self.before {
            return Ok(unchanged(current));
        }
        let (bom, body) = split_bom(current);
        if hash == self.after {
            let former = self
                .alterations
                .iter()
                .rev()
                .try_fold(body.to_owned(), |text, alteration| {
                    alteration.reverted(&text, alteration.anchor)
                });
            if let Some(former) = former.map(|text| format!("{bom}{text}"))
                && self::hash(&former) == self.before
            {
                return Ok(unchanged(&former));
            }
        }
        let mut text = body.to_owned();
        let mut left = Vec::new();
        for alteration in self.alterations.iter().rev() {
            alteration.undo(format, &mut text, &mut left)?;
        }
        left.reverse();
        left.dedup();
        Ok(Undone {
            text: format!("{bom}{text}"),
            left,
        })
    }
}

impl Alteration {
    /// The text without it, if it stands there as it was made, its anchor being here.
    fn reverted(&self, text: &str, anchor: usize) -> Option<String> {
        let pieces: Option<Vec<Piece>> = self
            .pieces
            .iter()
            .map(|piece| {
                let start = (piece.at + anchor).checked_sub(self.anchor)?;
                let range = start..start + piece.after.len();
                (text.get(range.clone()) == Some(&*piece.after))
                    .then(|| Piece::replace(range, piece.before.clone()))
            })
            .collect();
        splice(text, &pieces?)
    }

    fn undo(
        &self,
        format: Format,
        text: &mut String,
        left: &mut Vec<Path>,
    ) -> Result<(), EditError> {
        let value = format.value(text)?;
        let Some(found) = self.path.find(&value) else {
            if self.was.value().is_some() {
                left.push(self.path.clone());
            }
            return Ok(());
        };
        if *found != self.now {
            return match (found, &self.now) {
                (Value::Object(_), Value::Object(_)) => {
                    strip(format, text, &self.path, &self.now, left)
                }
                _ if self.was.value() == Some(found) => Ok(()),
                _ => {
                    left.push(self.path.clone());
                    Ok(())
                }
            };
        }
        let was = self.was.value();
        let expected = expected(&value, &self.path, was)?;
        let exact = format
            .span(text, &first_leaf(&self.path, &self.now))
            .and_then(|span| self.reverted(text, span.start))
            .filter(|reverted| format.says(text, reverted, &expected));
        *text = match (exact, was) {
            (Some(exact), _) => exact,
            (None, Some(was)) => restored(format, text, &self.path, was, &expected)?,
            (None, None) => removed(format, text, &self.path)?,
        };
        Ok(())
    }
}

impl Format {
    /// The text after `changes`, and what takes them back. What is there already is not touched.
    pub fn edit(self, text: &str, changes: &[Change]) -> Result<Edited, EditError> {
        let (bom, body) = split_bom(text);
        let mut edited = body.to_owned();
        let mut alterations = Vec::new();
        for change in changes {
            let to = match (self, &change.to) {
                (Self::Dotenv, Value::Number(_) | Value::Bool(_)) => {
                    Value::String(change.to.to_string())
                }
                (_, to) => to.clone(),
            };
            // In place of null an object comes by its members.
            let value = self.value(&edited)?;
            let single: Vec<(Path, Value)> = match (to, change.path.find(&value)) {
                (Value::Object(members), Some(Value::Null)) if !members.is_empty() => members
                    .into_iter()
                    .map(|(key, member)| (change.path.key(&key), member))
                    .collect(),
                (to, _) => vec![(change.path.clone(), to)],
            };
            for (path, to) in single {
                if let Some((next, alteration)) = self.set(&edited, &path, &to)? {
                    edited = next;
                    alterations.push(alteration);
                }
            }
        }
        let after = format!("{bom}{edited}");
        let patch = Patch {
            before: hash(text),
            after: hash(&after),
            alterations,
        };
        Ok(Edited { text: after, patch })
    }

    /// One change; `None` if there is nothing to do.
    fn set(
        self,
        text: &str,
        path: &Path,
        to: &Value,
    ) -> Result<Option<(String, Alteration)>, EditError> {
        let value = self.value(text)?;
        let is_container = |value: &Value| matches!(value, Value::Object(_) | Value::Array(_));
        if let Some(found) = path.find(&value) {
            if found == to {
                return Ok(None);
            }
            if is_container(found) || (is_container(to) && !found.is_null()) {
                let at = self.span(text, path).map_or(0, |span| span.start);
                return Err(Refusal::new(at, "something else stands there").of(path, text));
            }
        }
        let expected = expected(&value, path, Some(to))?;
        let place = Place::of(&value, path, to).map_err(|depth| {
            let known = Path(path.0[..depth].to_vec());
            let at = self.span(text, &known).map_or(0, |span| span.start);
            Refusal::new(at, "this is not a place where anything can be added").of(path, text)
        })?;
        let pieces = match &place {
            Place::Value => self.replace(text, path, to),
            Place::Member(parent, key, member) => self.insert(text, parent, key, member),
        }
        .map_err(|refusal| refusal.of(path, text))?;
        let unsafe_here = || EditError::Unsafe { path: path.clone() };
        let next = splice(text, &pieces)
            .filter(|next| self.says(text, next, &expected))
            .ok_or_else(unsafe_here)?;
        let top = place.top(&value, path);
        let now = top.find(&expected).ok_or_else(unsafe_here)?.clone();
        let anchor = self
            .span(&next, &first_leaf(&top, &now))
            .ok_or_else(unsafe_here)?
            .start;
        let was = top
            .find(&value)
            .map_or(Was::Nothing, |was| Was::Value(was.clone()));
        let alteration = Alteration {
            path: top,
            was,
            now,
            anchor,
            pieces: replaced(text, &pieces),
        };
        Ok(Some((next, alteration)))
    }
}

/// Where a change takes place.
enum Place {
    /// At a value that is there.
    Value,
    /// In an object that is there (or nothing, which becomes one): its new member and what that is.
    Member(Vec<Step>, String, Value),
}

impl Place {
    /// Where `path` leads; else after how many steps it cannot go on.
    fn of(value: &Value, path: &Path, to: &Value) -> Result<Self, usize> {
        let mut here = value;
        for (depth, step) in path.0.iter().enumerate() {
            let found = match (step, here) {
                (Step::Key(key), Value::Object(members)) => members.get(key),
                (Step::Key(_), Value::Null) => None,
                (Step::Index(index), Value::Array(elements)) => {
                    Some(elements.get(*index).ok_or(depth)?)
                }
                _ => return Err(depth),
            };
            if let Some(found) = found {
                here = found;
                continue;
            }
            let Step::Key(key) = step else {
                return Err(depth);
            };
            let rest = &path.0[depth + 1..];
            let member = applied(&Value::Null, rest, Some(to)).ok_or(depth)?;
            return Ok(Self::Member(path.0[..depth].to_vec(), key.clone(), member));
        }
        if path.0.is_empty() || to.is_object() {
            return Err(path.0.len());
        }
        Ok(Self::Value)
    }

    /// The outermost place that changes as a whole.
    fn top(&self, value: &Value, path: &Path) -> Path {
        match self {
            Self::Value => path.clone(),
            Self::Member(parent, key, _) => {
                let parent = Path(parent.clone());
                match parent.find(value) {
                    Some(Value::Null) => parent,
                    _ => parent.key(key),
                }
            }
        }
    }
}

/// The pieces as they stand in the text after.
fn replaced(text: &str, pieces: &[Piece]) -> Vec<Replaced> {
    let mut moved = 0;
    let mut gone = 0;
    pieces
        .iter()
        .map(|piece| {
            let at = piece.range.start + moved - gone;
            moved += piece.new.len();
            gone += piece.range.len();
            Replaced {
                at,
                before: text[piece.range.clone()].to_owned(),
                after: piece.new.clone(),
            }
        })
        .collect()
}

/// The value with that changed.
fn expected(value: &Value, path: &Path, to: Option<&Value>) -> Result<Value, EditError> {
    applied(value, &path.0, to).ok_or_else(|| EditError::Unsafe { path: path.clone() })
}

/// What in `now` is first: its own place if it has no members.
fn first_leaf(path: &Path, now: &Value) -> Path {
    match now {
        Value::Object(members) => match members.iter().next() {
            Some((key, member)) => first_leaf(&path.key(key), member),
            None => path.clone(),
        },
        _ => path.clone(),
    }
}

/// Whether nothing is in `found` that is not in `made`.
fn is_ours(found: &Value, made: &Value) -> bool {
    match (found, made) {
        (Value::Object(found), Value::Object(made)) => found
            .iter()
            .all(|(key, found)| made.get(key).is_some_and(|made| is_ours(found, made))),
        _ => found == made,
    }
}

/// Removes what of `made` still stands at `path`, where something else has come into it.
fn strip(
    format: Format,
    text: &mut String,
    path: &Path,
    made: &Value,
    left: &mut Vec<Path>,
) -> Result<(), EditError> {
    let value = format.value(text)?;
    let Some(found) = path.find(&value) else {
        return Ok(());
    };
    match (found, made) {
        _ if is_ours(found, made) => *text = removed(format, text, path)?,
        (Value::Object(_), Value::Object(made)) => {
            for (key, made) in made {
                strip(format, text, &path.key(key), made, left)?;
            }
        }
        _ => left.push(path.clone()),
    }
    Ok(())
}

/// The text without the member there.
fn removed(format: Format, text: &str, path: &Path) -> Result<String, EditError> {
    let expected = expected(&format.value(text)?, path, None)?;
    let pieces = format
        .remove(text, path)
        .map_err(|refusal| refusal.of(path, text))?;
    splice(text, &pieces)
        .filter(|next| format.says(text, next, &expected))
        .ok_or_else(|| EditError::Unsafe { path: path.clone() })
}

/// The text with that value there again, where it no longer stands as it was written.
fn restored(
    format: Format,
    text: &str,
    path: &Path,
    was: &Value,
    expected: &Value,
) -> Result<String, EditError> {
    let pieces = format
        .replace(text, path, was)
        .map_err(|refusal| refusal.of(path, text))?;
    splice(text, &pieces)
        .filter(|next| format.says(text, next, expected))
        .ok_or_else(|| EditError::Unsafe { path: path.clone() })
}

pub(super) fn split_bom(text: &str) -> (&str, &str) {
    match text.strip_prefix(BOM) {
        Some(body) => text.split_at(text.len() - body.len()),
        None => ("", text),
    }
}

fn hash(text: &str) -> String {
    use std::fmt::Write as _;
    let mut hex = String::with_capacity(64);
    for byte in Sha256::digest(text) {
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}
