//! Where a value came from, and what is wrong or noteworthy about it, in words for a person.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where a value was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// On the command line, such as `--port`.
    Flag(&'static str),
    /// In an environment variable, such as `PORT`.
    Variable(&'static str),
    /// In the file.
    File {
        /// Which file.
        path: Arc<Path>,
        /// Its line, from 1.
        line: usize,
        /// The character in that line, from 1.
        column: usize,
    },
    /// Nowhere: it is the default.
    Default,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => f.write_str(flag),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::File { path, line, column } => {
                write!(f, "{}:{line}:{column}", path.display())
            }
            Self::Default => f.write_str("default"),
        }
    }
}

/// A value and where it was given.
#[derive(Clone)]
pub(crate) struct Sourced<T> {
    pub(crate) value: T,
    pub(crate) place: Place,
}

/// One thing that must be changed before this can start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it is, if it is anywhere.
    pub place: Option<Place>,
    /// What is wrong and what to do. Never holds a secret.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{place}: {}", self.text),
            None => f.write_str(&self.text),
        }
    }
}

/// Why there is no configuration: every problem that was found, in one go.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// At least one.
    pub problems: Vec<Problem>,
    /// The files that were read, or looked for.
    pub files: Vec<PathBuf>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.as_slice() {
            [one] => one.fmt(f),
            many => {
                write!(f, "{} problems in the configuration:", many.len())?;
                many.iter().try_for_each(|problem| {
                    write!(f, "\n  - {}", problem.to_string().replace('\n', "\n    "))
                })
            }
        }
    }
}

/// How much a note matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoteLevel {
    /// Probably not what was meant, or unsafe.
    Warning,
    /// Good to know.
    Info,
}

/// Something to say once at the start; never a reason not to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// How much it matters.
    pub level: NoteLevel,
    /// In words, with its place. Never holds a secret.
    pub text: String,
}

/// Everything found while loading.
#[derive(Default)]
pub(crate) struct Findings {
    pub(crate) problems: Vec<Problem>,
    pub(crate) notes: Vec<Note>,
    /// The files that were read, or looked for.
    pub(crate) files: Vec<PathBuf>,
}

impl Findings {
    pub(crate) fn problem(&mut self, place: &Place, text: impl Into<String>) {
        self.problems.push(Problem {
            place: Some(place.clone()),
            text: text.into(),
        });
    }

    /// All problems, those of the file in its order.
    pub(crate) fn into_error(self) -> ConfigError {
        let mut problems = self.problems;
        problems.sort_by_key(|problem| match problem.place {
            Some(Place::File { line, column, .. }) => (line, column),
            _ => (0, 0),
        });
        ConfigError {
            problems,
            files: self.files,
        }
    }

    pub(crate) fn problem_nowhere(&mut self, text: impl Into<String>) {
        self.problems.push(Problem {
            place: None,
            text: text.into(),
        });
    }

    pub(crate) fn warn(&mut self, place: &Place, text: impl fmt::Display) {
        self.note(NoteLevel::Warning, format!("{place}: {text}"));
    }

    pub(crate) fn note(&mut self, level: NoteLevel, text: String) {
        self.notes.push(Note { level, text });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_problem_is_shown_alone_and_several_as_a_list() {
        let problem = |text: &str| Problem {
            place: Some(Place::Flag("--port")),
            text: text.into(),
        };
        let one = ConfigError {
            problems: vec![problem("a")],
            files: Vec::new(),
        };
        assert_eq!(one.to_string(), "--port: a");
        let two = ConfigError {
            problems: vec![problem("a"), problem("b\nc")],
            files: Vec::new(),
        };
        assert_eq!(
            two.to_string(),
            "2 problems in the configuration:\n  - --port: a\n  - --port: b\n    c"
        );
    }

    #[test]
    fn a_place_in_a_file_reads_as_editors_understand_it() {
        let place = Place::File {
            path: Path::new("/etc/c.json").into(),
            line: 3,
            column: 7,
        };
        assert_eq!(place.to_string(), "/etc/c.json:3:7");
        assert_eq!(
            Place::Variable("PORT").to_string(),
            "environment variable PORT"
        );
    }
}
