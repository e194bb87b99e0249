//! The keys in the configuration file, read and edited: whatever is not meant stays to the byte.

mod model;
mod splice;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::BTreeSet;
use std::ops::Range;

use api_key_lb_core::Secret;
use jsonc_parser::ast::{Array, Object, Value as Node};
use jsonc_parser::common::Ranged as _;

use crate::config::without_mark;
use model::Comparable;
use splice::{Piece, Style, append, apply, behind, first, indentation, remove};
use tree::{counts, holder, literal, member, members, object, parse, ranges, text};

pub use model::{FileKey, KeyChange, KeyFileError, NewKey};

/// What some editors put first.
const MARK: &str = "\u{feff}";

/// A configuration file, as far as its keys are concerned.
#[derive(Clone)]
pub struct KeyFile {
    has_mark: bool,
    text: String,
    keys: Vec<FileKey>,
    pools: Vec<String>,
}

impl std::fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyFile")
            .field("keys", &self.keys)
            .finish_non_exhaustive()
    }
}

impl KeyFile {
    /// Reads what a file says.
    ///
    /// # Errors
    /// If that is no JSON, or its keys or pools are something else than lists and objects.
    pub fn parse(text: &str) -> Result<Self, KeyFileError> {
        let inside = without_mark(text);
        let mut file = Self {
            has_mark: inside.len() != text.len(),
            text: inside.to_owned(),
            keys: Vec::new(),
            pools: Vec::new(),
        };
        file.read()?;
        Ok(file)
    }

    /// What it says now.
    pub fn text(&self) -> String {
        let mark = if self.has_mark { MARK } else { "" };
        format!("{mark}{}", self.text)
    }

    /// Its keys, those of the default pool first.
    pub fn keys(&self) -> &[FileKey] {
        &self.keys
    }

    /// The names of its pools; that of the default one, if there is one, is empty and first.
    pub fn pools(&self) -> &[String] {
        &self.pools
    }

    /// What it says of a pool besides its keys, or, with the empty name, of everything: `target`, `provider`,
    /// `ca_file` and so on, if that is a simple value.
    pub fn setting(&self, pool: &str, name: &str) -> Option<String> {
        let root = parse(&self.text).ok()?;
        let object = object(root.as_ref()).ok()??;
        text(holder(object, pool).ok()?, name)
    }

    /// Adds a key at the end of a pool.
    ///
    /// # Errors
    /// If there is no such pool, or the file cannot be edited.
    pub fn add(&mut self, pool: &str, key: &NewKey) -> Result<(), KeyFileError> {
        self.as_list(pool)?;
        let mut expected = self.comparable();
        let place = self.keys.iter().rposition(|known| known.pool == pool);
        let place = place.map_or_else(
            // Named pools without keys: wherever they come to stand.
            || self.first_place(pool),
            |place| place + 1,
        );
        expected.insert(
            place,
            Comparable {
                pool: pool.to_owned(),
                written: key.written.expose().to_owned(),
                label: key.label.clone(),
                weight: key.weight,
                account: key.account.clone(),
                disabled: false,
            },
        );
        let root = parse(&self.text)?;
        let object = object(root.as_ref())?;
        let style = Style::of(&self.text, object.map_or(0, |object| object.range.start));
        let written = entry(key, &style);
        let pieces = match object {
            None => {
                let gap = if self.text.is_empty() || self.text.ends_with('\n') {
                    ""
                } else {
                    style.line_end
                };
                let keys = style.member("keys", &style.list(&[written], &style.unit));
                let (end, unit) = (style.line_end, &style.unit);
                let at = self.text.len();
                vec![Piece::new(
                    at..at,
                    format!("{gap}{{{end}{unit}{keys}{end}}}{end}"),
                )]
            }
            Some(object) => {
                let holder = holder(object, pool)?;
                match member(holder, "keys").map(|(_, node)| node) {
                    Some(Node::Array(array)) => {
                        let items = ranges(array);
                        if items.is_empty() {
                            let whole = array.range.start..array.range.end;
                            vec![first(&self.text, &whole, &written, &style)]
                        } else {
                            append(&self.text, &items, &written, &style)
                        }
                    }
                    Some(node @ Node::NullKeyword(_)) => {
                        let indent = indentation(&self.text, node.start());
                        let list = style.list(&[written], indent);
                        vec![Piece::new(node.start()..node.end(), list)]
                    }
                    Some(_) => return Err(KeyFileError::Shape("`keys` is no list")),
                    None => {
                        let members = members(holder);
                        let whole = holder.range.start..holder.range.end;
                        let outer = indentation(
                            &self.text,
                            members.last().map_or(whole.start, |last| last.start),
                        );
                        let indent = match members.last() {
                            Some(_) => outer.to_owned(),
                            None => format!("{outer}{}", style.unit),
                        };
                        let new = style.member("keys", &style.list(&[written], &indent));
                        if members.is_empty() {
                            vec![first(&self.text, &whole, &new, &style)]
                        } else {
                            append(&self.text, &members, &new, &style)
                        }
                    }
                }
            }
        };
        self.become_(apply(&self.text, pieces), &expected)
    }

    /// Takes a key out.
    ///
    /// # Errors
    /// If the file cannot be edited.
    pub fn remove(&mut self, at: usize) -> Result<(), KeyFileError> {
        let Some((pool, index)) = self.place(at) else {
            return Err(KeyFileError::Unsafe);
        };
        self.as_list(&pool)?;
        let mut expected = self.comparable();
        expected.remove(at);
        let pieces = self.in_list(&pool, index, |_, items, place| {
            Ok(remove(&self.text, items, place))
        })?;
        self.become_(apply(&self.text, pieces), &expected)
    }

    /// Changes something about a key. What is so already is left as it is written.
    ///
    /// # Errors
    /// If the file cannot be edited.
    pub fn change(&mut self, at: usize, change: &KeyChange) -> Result<(), KeyFileError> {
        let Some((pool, index)) = self.place(at) else {
            return Err(KeyFileError::Unsafe);
        };
        let mut expected = self.comparable();
        if let Some(key) = expected.get_mut(at) {
            let before = key.clone();
            change.apply(key);
            if *key == before {
                return Ok(());
            }
        }
        self.as_list(&pool)?;
        let (name, value) = (change.name(), change.value());
        let pieces = self.in_list(&pool, index, |array, items, place| {
            let text = &self.text;
            let style = Style::of(text, 0);
            let item = items.get(place).ok_or(KeyFileError::Unsafe)?;
            let Some(Node::Object(object)) = array.elements.get(place) else {
                let key = style.member("key", &text[item.clone()]);
                let value = value.as_deref().unwrap_or("null");
                let object = style.object(&[key, style.member(name, value)]);
                return Ok(vec![Piece::new(item.clone(), object)]);
            };
            let members = members(object);
            Ok(match (member(object, name), &value) {
                (Some((_, node)), Some(value)) => {
                    vec![Piece::new(node.start()..node.end(), value.as_str())]
                }
                (Some((place, _)), None) => remove(text, &members, place),
                (None, Some(value)) => {
                    // The key first, what is said of it in the order in which it was said.
                    let last = members.last().ok_or(KeyFileError::Unsafe)?;
                    behind(text, last, &style.member(name, value), &style)
                }
                (None, None) => Vec::new(),
            })
        })?;
        self.become_(apply(&self.text, pieces), &expected)
    }

    /// Makes the keys of a pool a list if they are one text with commas.
    fn as_list(&mut self, pool: &str) -> Result<(), KeyFileError> {
        let expected = self.comparable();
        let root = parse(&self.text)?;
        let Some(object) = object(root.as_ref())? else {
            return Ok(());
        };
        let holder = holder(object, pool)?;
        let Some((_, node @ Node::StringLit(given))) = member(holder, "keys") else {
            return Ok(());
        };
        let style = Style::of(&self.text, object.range.start);
        let keys: Vec<String> = given
            .value
            .split(',')
            .map(str::trim)
            .filter(|key| !key.is_empty())
            .map(literal)
            .collect();
        let list = style.list(&keys, indentation(&self.text, node.start()));
        let pieces = vec![Piece::new(node.start()..node.end(), list)];
        self.become_(apply(&self.text, pieces), &expected)
    }

    /// What `edit` makes of the list in which a key is, of all places in it, and of the key's.
    fn in_list(
        &self,
        pool: &str,
        index: usize,
        edit: impl FnOnce(&Array<'_>, &[Range<usize>], usize) -> Result<Vec<Piece>, KeyFileError>,
    ) -> Result<Vec<Piece>, KeyFileError> {
        let root = parse(&self.text)?;
        let object = object(root.as_ref())?.ok_or(KeyFileError::Unsafe)?;
        let holder = holder(object, pool)?;
        let Some((_, Node::Array(array))) = member(holder, "keys") else {
            return Err(KeyFileError::Unsafe);
        };
        let mut counted = array.elements.iter().enumerate();
        let place = counted.by_ref().filter(|(_, node)| counts(node)).nth(index);
        let (place, _) = place.ok_or(KeyFileError::Unsafe)?;
        edit(array, &ranges(array), place)
    }

    fn place(&self, at: usize) -> Option<(String, usize)> {
        let key = self.keys.get(at)?;
        Some((key.pool.clone(), key.index))
    }

    /// Where the first key of a pool that has none comes to stand among all.
    fn first_place(&self, pool: &str) -> usize {
        let order = |name: &str| self.pools.iter().position(|known| known == name);
        let of_pool = if pool.is_empty() {
            Some(0)
        } else {
            order(pool)
        };
        self.keys
            .iter()
            .take_while(|key| order(&key.pool) < of_pool)
            .count()
    }

    /// Takes a new text, if it says what was meant.
    fn become_(&mut self, text: String, expected: &[Comparable]) -> Result<(), KeyFileError> {
        let mut new = Self {
            text,
            keys: Vec::new(),
            pools: Vec::new(),
            ..*self
        };
        match new.read() {
            Ok(()) if new.comparable() == expected => {
                *self = new;
                Ok(())
            }
            _ => Err(KeyFileError::Unsafe),
        }
    }

    fn comparable(&self) -> Vec<Comparable> {
        let keys = self.keys.iter();
        keys.map(|key| Comparable {
            pool: key.pool.clone(),
            written: key.written.expose().to_owned(),
            label: key.is_labelled.then(|| key.label.clone()),
            weight: key.weight,
            account: key.account.clone(),
            disabled: key.disabled,
        })
        .collect()
    }

    fn read(&mut self) -> Result<(), KeyFileError> {
        let text = std::mem::take(&mut self.text);
        let result = parse(&text).and_then(|root| match object(root.as_ref())? {
            Some(object) => self.read_object(object),
            None => Ok(()),
        });
        self.text = text;
        result
    }

    fn read_object(&mut self, root: &Object<'_>) -> Result<(), KeyFileError> {
        let has_keys =
            member(root, "keys").is_some_and(|(_, node)| !matches!(node, Node::NullKeyword(_)));
        let pools = match member(root, "pools").map(|(_, node)| node) {
            Some(Node::Object(pools)) => Some(pools),
            None | Some(Node::NullKeyword(_)) => None,
            Some(_) => return Err(KeyFileError::Shape("`pools` is no object")),
        };
        let is_empty = pools.is_none_or(|pools| pools.properties.is_empty());
        if has_keys || is_empty {
            self.pools.push(String::new());
        }
        self.read_pool("", root)?;
        for pool in pools.iter().flat_map(|pools| &pools.properties) {
            let name = pool.name.as_str();
            let Node::Object(object) = &pool.value else {
                return Err(KeyFileError::Shape("a pool in `pools` is no object"));
            };
            if self.pools.iter().any(|known| known == name) {
                return Err(KeyFileError::Shape("two pools have the same name"));
            }
            self.pools.push(name.to_owned());
            self.read_pool(name, object)?;
        }
        self.label();
        Ok(())
    }

    fn read_pool(&mut self, pool: &str, object: &Object<'_>) -> Result<(), KeyFileError> {
        let add = |written: &str, about: Option<&Object<'_>>, keys: &mut Vec<FileKey>| {
            let text = |name| about.and_then(|about| text(about, name));
            let label = text("label");
            let index = keys.iter().filter(|key| key.pool == pool).count();
            keys.push(FileKey {
                pool: pool.to_owned(),
                index,
                is_labelled: label.is_some(),
                label: label.unwrap_or_default(),
                written: Secret::new(written.to_owned()),
                weight: text("weight").and_then(|weight| weight.parse().ok()),
                account: text("account"),
                disabled: text("disabled").is_some_and(|on| crate::config::means_yes(&on)),
            });
        };
        match member(object, "keys").map(|(_, node)| node) {
            None | Some(Node::NullKeyword(_)) => {}
            Some(Node::StringLit(given)) => {
                let keys = given.value.split(',').map(str::trim);
                for key in keys.filter(|key| !key.is_empty()) {
                    add(key, None, &mut self.keys);
                }
            }
            Some(Node::Array(array)) => {
                for node in array.elements.iter().filter(|node| counts(node)) {
                    match node {
                        Node::StringLit(key) => add(key.value.trim(), None, &mut self.keys),
                        Node::Object(about) => {
                            let Some(key) = self::text(about, "key") else {
                                return Err(KeyFileError::Shape("a key in `keys` has no `key`"));
                            };
                            add(&key, Some(about), &mut self.keys);
                        }
                        _ => {
                            return Err(KeyFileError::Shape(
                                "a key in `keys` is neither a text nor an object",
                            ));
                        }
                    }
                }
            }
            Some(_) => return Err(KeyFileError::Shape("`keys` is no list")),
        }
        Ok(())
    }

    /// Gives the keys without a label one by their place, as the configuration does.
    fn label(&mut self) {
        let labelled = self.keys.iter().filter(|key| key.is_labelled);
        let mut taken: BTreeSet<String> = labelled.map(|key| key.label.clone()).collect();
        for key in self.keys.iter_mut().filter(|key| !key.is_labelled) {
            let label = crate::config::default_label(&key.pool, key.index + 1, &taken);
            taken.insert(label.clone());
            key.label = label;
        }
    }
}

/// A new key as it is written: a text, or an object if anything is said of it.
fn entry(key: &NewKey, style: &Style) -> String {
    let written = literal(key.written.expose());
    let changes = [
        KeyChange::Label(key.label.clone()),
        KeyChange::Weight(key.weight),
        KeyChange::Account(key.account.clone()),
    ];
    let said = changes
        .iter()
        .filter_map(|change| Some(style.member(change.name(), &change.value()?)));
    let mut members = vec![style.member("key", &written)];
    members.extend(said);
    match members.len() {
        1 => written,
        _ => style.object(&members),
    }
}
