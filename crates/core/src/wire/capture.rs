//! Catches the strings that stand at known paths of a body, in passing.

use xxhash_rust::xxh3::Xxh3Default;

use super::json::{Container, unescape};
use crate::ladder::PathTree;

/// Longest value kept whole, in bytes between the quotes. Claude Code's `metadata.user_id` has
/// 200; what is longer is an id by its hash.
const MAX_KEPT: usize = 1024;
/// How many containers are followed: no path has more steps.
const FOLLOWED: usize = 9;

/// A captured string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Captured {
    /// All of it, unescaped.
    Whole(Vec<u8>),
    /// The hash of its raw bytes, because it is long.
    Hashed(u128),
}

/// One value and where it stood.
#[derive(Debug)]
struct Found {
    place: usize,
    /// The number of the innermost element of an array that it stood in; 0 for none.
    element: u32,
    value: Captured,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Captures(Vec<Found>);

impl Captures {
    /// The value at `place` of the tree: the last one, or, through elements, that of the first
    /// element that has one.
    pub fn at(&self, place: usize) -> Option<&Captured> {
        let found = self.0.iter().find(|found| found.place == place);
        found.map(|found| &found.value)
    }
}

/// One open container.
#[derive(Clone, Copy, Debug)]
struct Level {
    container: Container,
    /// The container's place in the tree, if a path leads through it.
    place: Option<usize>,
    /// The number of the innermost element of an array that it is or stands in; 0 for none.
    element: u32,
}

/// Follows the paths of a tree through one document.
pub(super) struct Cursor<'t> {
    tree: &'t PathTree,
    levels: [Level; FOLLOWED],
    depth: usize,
    /// The place that the last key of the innermost object names.
    named: Option<usize>,
    /// How many elements have begun that are containers: the number of the latest one.
    elements: u32,
    /// The place of the string being caught.
    catching: Option<usize>,
    raw: Vec<u8>,
    /// Bytes of a long string so far, hashed piece by piece.
    long: Option<Box<Xxh3Default>>,
    found: Captures,
}

impl<'t> Cursor<'t> {
    pub(super) fn new(tree: &'t PathTree) -> Self {
        Self {
            tree,
            levels: [Level {
                container: Container::Object,
                place: None,
                element: 0,
            }; FOLLOWED],
            depth: 0,
            named: None,
            elements: 0,
            catching: None,
            raw: Vec::new(),
            long: None,
            found: Captures::default(),
        }
    }

    pub(super) fn into_captures(self) -> Captures {
        self.found
    }

    /// The innermost open container.
    fn innermost(&self) -> Option<Level> {
        let at = self.depth.checked_sub(1)?;
        self.levels.get(at).copied()
    }

    /// The place of the value that comes next.
    fn next_place(&self) -> Option<usize> {
        if self.depth == 0 {
            return Some(PathTree::ROOT);
        }
        let level = self.innermost()?;
        match level.container {
            Container::Object => self.named,
            Container::Array => self.tree.under_element(level.place?),
        }
    }

    pub(super) fn open(&mut self, container: Container) {
        let place = self.next_place();
        let mut element = 0;
        if let Some(parent) = self.innermost() {
            element = parent.element;
            if parent.container == Container::Array && place.is_some() {
                self.elements += 1;
                element = self.elements;
            }
        }
        if let Some(level) = self.levels.get_mut(self.depth) {
            *level = Level {
                container,
                place,
                element,
            };
        }
        self.depth += 1;
        self.named = None;
    }

    pub(super) fn close(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        self.named = None;
    }

    pub(super) fn key(&mut self, key: &[u8]) {
        self.named = None;
        if let Some(level) = self.innermost()
            && let Some(place) = level.place
        {
            self.named = self.tree.under_key(place, key);
            if let Some(named) = self.named {
                self.forget(named, level.element);
            }
        }
    }

    /// A second value of a key replaces the first one with all that was in it, as in every common
    /// parser; what stood in an earlier element of an array is something else. `element` is the
    /// one that holds the key; those within it have higher numbers.
    fn forget(&mut self, named: usize, element: u32) {
        let tree = self.tree;
        self.found
            .0
            .retain(|found| found.element < element || !tree.is_within(found.place, named));
    }

    /// A string begins; whether it is caught.
    pub(super) fn text_begins(&mut self) -> bool {
        self.catching = self
            .next_place()
            .filter(|place| self.depth > 0 && self.tree.ends_at(*place))
            .filter(|place| !self.tree.repeats(*place) || self.found.at(*place).is_none());
        self.raw.clear();
        self.long = None;
        self.catching.is_some()
    }

    pub(super) fn text(&mut self, piece: &[u8], ends: bool) {
        let Some(place) = self.catching else {
            return;
        };
        if let Some(long) = &mut self.long {
            long.update(piece);
        } else if self.raw.len() + piece.len() > MAX_KEPT {
            let mut long = Box::new(Xxh3Default::new());
            long.update(&self.raw);
            long.update(piece);
            self.long = Some(long);
        } else {
            self.raw.extend_from_slice(piece);
        }
        if !ends {
            return;
        }
        self.catching = None;
        let value = match self.long.take() {
            Some(long) => Some(Captured::Hashed(long.digest128())),
            None => unescape(&self.raw).map(Captured::Whole),
        };
        if let Some(value) = value {
            self.found.0.push(Found {
                place,
                element: self.innermost().map_or(0, |level| level.element),
                value,
            });
        }
    }
}

#[cfg(test)]
mod tests;
