//! Paths into a JSON body (`metadata.user_id`, `messages[].metadata.session_id`) and the tree that
//! finds all of them in one pass.

use std::fmt;
use std::str::FromStr;

/// Deepest path that is read, in steps. Real ones have at most four.
const MAX_STEPS: usize = 8;
/// Longest key of a path, in bytes: the reader of bodies keeps no longer one.
const MAX_KEY: usize = 64;

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Into the member of an object.
    Key(Box<str>),
    /// Into each element of an array.
    Element,
}

/// A path from the top of a body. Written as the keys with dots between them, `[]` for the elements
/// of an array, and `["a.b"]` for a key that has a dot or a bracket in it; `$.` may stand before.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Path(Vec<Step>);

/// Why a text is no path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPath {
    /// Nothing stands where a key must.
    #[error("a key is missing in it")]
    NoKey,
    /// `[` without its end, or with something else than nothing or a quoted key in it.
    #[error("only [] and [\"key\"] may stand in brackets, so no [0] and no [*]")]
    Bracket,
    /// More steps than are read.
    #[error("it has more than 8 steps")]
    TooDeep,
    /// A key that is longer than those that are read.
    #[error("a key in it is longer than 64 bytes")]
    LongKey,
}

impl Path {
    /// The steps, from the top.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }
}

impl FromStr for Path {
    type Err = BadPath;

    fn from_str(text: &str) -> Result<Self, BadPath> {
        let mut steps = Vec::new();
        let mut rest = text.trim();
        rest = rest
            .strip_prefix('$')
            .map_or(rest, |tail| tail.strip_prefix('.').unwrap_or(tail));
        loop {
            if let Some(tail) = rest.strip_prefix("[]") {
                steps.push(Step::Element);
                rest = tail;
            } else if let Some(tail) = rest.strip_prefix("[\"") {
                let (key, tail) = tail.split_once("\"]").ok_or(BadPath::Bracket)?;
                steps.push(key_step(key)?);
                rest = tail;
            } else if rest.starts_with('[') {
                return Err(BadPath::Bracket);
            } else {
                let end = rest.find(['.', '[']).unwrap_or(rest.len());
                steps.push(key_step(&rest[..end])?);
                rest = &rest[end..];
            }
            if steps.len() > MAX_STEPS {
                return Err(BadPath::TooDeep);
            }
            match rest.strip_prefix('.') {
                Some(tail) => rest = tail,
                None if rest.is_empty() => return Ok(Self(steps)),
                None if rest.starts_with('[') => {}
                None => return Err(BadPath::NoKey),
            }
        }
    }
}

fn key_step(key: &str) -> Result<Step, BadPath> {
    match key.len() {
        0 => Err(BadPath::NoKey),
        1..=MAX_KEY => Ok(Step::Key(key.into())),
        _ => Err(BadPath::LongKey),
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.0.iter().enumerate() {
            match step {
                Step::Element => f.write_str("[]")?,
                Step::Key(key) if key.contains(['.', '[']) => {
                    write!(f, "[\"{key}\"]")?;
                }
                Step::Key(key) => {
                    if at > 0 {
                        f.write_str(".")?;
                    }
                    f.write_str(key)?;
                }
            }
        }
        Ok(())
    }
}

/// Several paths as one tree, so that a reader follows all of them at once.
#[derive(Clone, Debug)]
pub struct PathTree {
    nodes: Vec<Node>,
}

#[derive(Clone, Debug, Default)]
struct Node {
    parent: usize,
    keys: Vec<(Box<str>, usize)>,
    element: Option<usize>,
    /// Whether an element of an array lies on the way here, so that there can be several values.
    repeats: bool,
    /// Whether a path ends here.
    ends: bool,
}

impl Default for PathTree {
    fn default() -> Self {
        Self {
            nodes: vec![Node::default()],
        }
    }
}

impl PathTree {
    /// The top of every path.
    pub const ROOT: usize = 0;

    /// Adds a path, and says where it ends; one that is there already is there once.
    pub fn add(&mut self, path: &Path) -> usize {
        let mut at = Self::ROOT;
        for step in path.steps() {
            at = self.child(at, step).unwrap_or_else(|| {
                let child = self.nodes.len();
                self.nodes.push(Node {
                    parent: at,
                    repeats: self.nodes[at].repeats || *step == Step::Element,
                    ..Node::default()
                });
                match step {
                    Step::Key(key) => self.nodes[at].keys.push((key.clone(), child)),
                    Step::Element => self.nodes[at].element = Some(child),
                }
                child
            });
        }
        self.nodes[at].ends = true;
        at
    }

    fn child(&self, at: usize, step: &Step) -> Option<usize> {
        match step {
            Step::Key(key) => self.under_key(at, key.as_bytes()),
            Step::Element => self.under_element(at),
        }
    }

    /// The place under `key` of the object at `at`, if a path leads there.
    pub fn under_key(&self, at: usize, key: &[u8]) -> Option<usize> {
        let keys = &self.nodes[at].keys;
        keys.iter()
            .find(|(known, _)| known.as_bytes() == key)
            .map(|(_, child)| *child)
    }

    /// The place of an element of the array at `at`, if a path leads there.
    pub fn under_element(&self, at: usize) -> Option<usize> {
        self.nodes[at].element
    }

    /// Whether a path ends at `at`.
    pub fn ends_at(&self, at: usize) -> bool {
        self.nodes[at].ends
    }

    /// Whether the way to `at` leads through elements, so that it can have several values.
    pub fn repeats(&self, at: usize) -> bool {
        self.nodes[at].repeats
    }

    /// Whether the way to `at` leads through `through`.
    pub fn is_within(&self, mut at: usize, through: usize) -> bool {
        // A parent always has the smaller number.
        while at > through {
            at = self.nodes[at].parent;
        }
        at == through
    }

    /// Where `path` ends, if it was added.
    pub fn place_of(&self, path: &Path) -> Option<usize> {
        let mut at = Self::ROOT;
        for step in path.steps() {
            at = self.child(at, step)?;
        }
        self.nodes[at].ends.then_some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Path {
        text.parse().unwrap()
    }

    #[test]
    fn a_path_reads_as_it_is_written() {
        for text in [
            "session_id",
            "metadata.user_id",
            "messages[].metadata.session_id",
            "[\"a.b\"].c",
            "a[][].b",
            "[].id",
        ] {
            assert_eq!(path(text).to_string(), text);
        }
        assert_eq!(path("$.a.b"), path(" a.b "));
        assert_eq!(path("a[\"b\"]"), path("a.b"));
    }

    #[test]
    fn what_is_no_path_is_refused_with_the_reason() {
        for (text, why) in [
            ("", BadPath::NoKey),
            ("$", BadPath::NoKey),
            ("a..b", BadPath::NoKey),
            ("a.", BadPath::NoKey),
            (".a", BadPath::NoKey),
            ("a[0]", BadPath::Bracket),
            ("a[*].b", BadPath::Bracket),
            ("a[\"b", BadPath::Bracket),
            ("a[]b", BadPath::NoKey),
            ("a.b.c.d.e.f.g.h.i", BadPath::TooDeep),
        ] {
            assert_eq!(text.parse::<Path>(), Err(why), "{text}");
        }
        assert_eq!("[\"\"]".parse::<Path>(), Err(BadPath::NoKey));
        let long = "k".repeat(MAX_KEY + 1);
        assert_eq!(long.parse::<Path>(), Err(BadPath::LongKey));
        assert!(long[1..].parse::<Path>().is_ok());
    }

    #[test]
    fn the_tree_leads_to_every_path_and_nowhere_else() {
        let mut tree = PathTree::default();
        for text in [
            "conversation",
            "conversation.id",
            "messages[].metadata.id",
            "conversation",
        ] {
            tree.add(&path(text));
        }
        let conversation = tree.under_key(PathTree::ROOT, b"conversation").unwrap();
        assert!(tree.ends_at(conversation));
        let id = tree.under_key(conversation, b"id").unwrap();
        assert!(tree.ends_at(id) && tree.is_within(id, conversation));
        assert_eq!(tree.under_element(conversation), None);
        let messages = tree.under_key(PathTree::ROOT, b"messages").unwrap();
        assert!(!tree.ends_at(messages) && !tree.repeats(messages));
        let element = tree.under_element(messages).unwrap();
        let metadata = tree.under_key(element, b"metadata").unwrap();
        let message_id = tree.under_key(metadata, b"id").unwrap();
        assert!(tree.ends_at(message_id) && tree.repeats(message_id));
        assert!(!tree.is_within(message_id, conversation));
        assert!(tree.is_within(message_id, PathTree::ROOT));
        assert_eq!(tree.under_key(PathTree::ROOT, b"id"), None);
        assert_eq!(tree.place_of(&path("conversation.id")), Some(id));
        assert_eq!(tree.place_of(&path("messages[].metadata")), None);
    }
}
