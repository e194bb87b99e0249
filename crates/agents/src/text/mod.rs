//! Changing configuration files without touching anything but what is meant, and taking it back.

mod check;
mod dotenv;
mod json;
mod patch;
#[cfg(test)]
mod tests;
mod toml;
mod yaml;

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use check::{EditError, SyntaxError};
use check::{Piece, Refusal};
pub use patch::{Edited, Patch, Undone};

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// JSON, with comments, trailing commas and what else JSON5 allows.
    Json,
    /// TOML 1.0.
    Toml,
    /// YAML 1.2, one document.
    Yaml,
    /// Lines of `NAME=value`, with `export`, quotes and comments.
    Dotenv,
}

impl Format {
    /// What the text says; nothing at all is an empty object. Of keys that stand twice the last one counts,
    /// where the format allows them. References within YAML are resolved; a `.env` file is an object of texts.
    pub fn parse(self, text: &str) -> Result<Value, SyntaxError> {
        let (_, body) = patch::split_bom(text);
        self.value(body)
    }

    /// What the text without a byte order mark says.
    fn value(self, text: &str) -> Result<Value, SyntaxError> {
        match self {
            Self::Json => json::parse(text),
            Self::Toml => toml::parse(text),
            Self::Yaml => yaml::parse(text),
            Self::Dotenv => dotenv::parse(text),
        }
    }

    /// Whether `after` says this, and says it so that whoever understood `before` understands it.
    fn says(self, before: &str, after: &str, expected: &Value) -> bool {
        self.value(after).is_ok_and(|value| value == *expected)
            && (self != Self::Json || json::is_as_readable(before, after))
    }

    /// Where the value there stands.
    fn span(self, text: &str, path: &Path) -> Option<Range<usize>> {
        match self {
            Self::Json => json::span(text, path),
            Self::Toml => toml::span(text, path),
            Self::Yaml => yaml::span(text, path),
            Self::Dotenv => dotenv::span(text, path),
        }
    }

    /// What makes the value there another. Neither is a list or an object.
    fn replace(self, text: &str, path: &Path, to: &Value) -> Result<Vec<Piece>, Refusal> {
        match self {
            Self::Json => json::replace(text, path, to),
            Self::Toml => toml::replace(text, path, to),
            Self::Yaml => yaml::replace(text, path, to),
            Self::Dotenv => dotenv::replace(text, path, to),
        }
    }

    /// What gives the object at `parent` (or nothing, which becomes one) the member `key`.
    fn insert(
        self,
        text: &str,
        parent: &[Step],
        key: &str,
        to: &Value,
    ) -> Result<Vec<Piece>, Refusal> {
        match self {
            Self::Json => json::insert(text, parent, key, to),
            Self::Toml => toml::insert(text, parent, key, to),
            Self::Yaml => yaml::insert(text, parent, key, to),
            Self::Dotenv => dotenv::insert(text, parent, key, to),
        }
    }

    /// What lets the member there vanish.
    fn remove(self, text: &str, path: &Path) -> Result<Vec<Piece>, Refusal> {
        match self {
            Self::Json => json::remove(text, path),
            Self::Toml => toml::remove(text, path),
            Self::Yaml => yaml::remove(text, path),
            Self::Dotenv => dotenv::remove(text, path),
        }
    }
}

/// A step from a value to one in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Step {
    /// The member of that name.
    Key(String),
    /// The element at that place, from 0.
    Index(usize),
}

/// Where in a document a value stands: `provider.zai.options.baseURL`, `models[0].apiBase`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Path(pub Vec<Step>);

impl Path {
    /// The path along these names.
    pub fn of(keys: &[&str]) -> Self {
        Self(
            keys.iter()
                .map(|key| Step::Key((*key).to_owned()))
                .collect(),
        )
    }

    /// This path and one more name.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        let mut steps = self.0.clone();
        steps.push(Step::Key(key.to_owned()));
        Self(steps)
    }

    /// This path and one more place in a list.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        let mut steps = self.0.clone();
        steps.push(Step::Index(index));
        Self(steps)
    }

    /// The value there.
    pub fn find<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        self.0.iter().try_fold(value, |value, step| match step {
            Step::Key(key) => value.get(key),
            Step::Index(index) => value.get(index),
        })
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if place == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// One value that shall be another. What leads there and is missing is made.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Where.
    pub path: Path,
    /// What shall stand there: a text, a number, a truth value, or (only where nothing is yet)
    /// an object of such.
    pub to: Value,
}

impl Change {
    /// `to` at `path`.
    pub fn set(path: Path, to: impl Into<Value>) -> Self {
        Self {
            path,
            to: to.into(),
        }
    }
}
