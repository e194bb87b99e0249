//! Ids of objects in a request's body, found in the pass that is made of it anyway.

use super::MAX_ID;
use super::table::{At, ITEMS, Row, TABLE};
use crate::object::{Keeping, Reference};
use crate::wire::json::{Container, unescape};

/// Most objects that are noted of one body. What comes later belongs to the same account, or the
/// request cannot be served anywhere.
const MOST: usize = 32;
/// Of sealed things the last ones count: what an account other than theirs has sealed since would
/// have been refused.
const MOST_SEALED: usize = 4;
/// What people and models wrote, or what only describes: whatever it says names nothing.
const FOREIGN: &[&str] = &[
    "metadata",
    "client_metadata",
    "arguments",
    "args",
    "functionResponse",
    "function_response",
    "parameters",
    "input_schema",
    "properties",
    "schema",
];
/// The same below the top: what a tool was called with.
const FOREIGN_INSIDE: &str = "input";
/// Where the elements of `input` have their members: in the object, the list, the element.
const ITEM_DEPTH: usize = 3;
/// What an element that only stands for an item says that it is.
const STANDS_FOR: &[u8] = b"item_reference";
/// An item of reasoning stands for itself, too, unless it brings its sealed content along.
const REASONING: &[u8] = b"rs_";

/// What a key names.
#[derive(Clone, Copy, Debug, Default)]
enum Named {
    #[default]
    Nothing,
    Row(&'static Row),
    ItemId,
    ItemType,
    /// Nothing in it counts.
    Foreign,
}

/// Bits of the keys that may matter: asking the table for every key of a body would cost more
/// than all the rest.
const KEYS: u64 = keys();

/// The id in `value`, as one of the rows of its key says it looks.
fn read<'v>(row: &Row, value: &'v [u8]) -> Option<&'v [u8]> {
    // Few bodies hold one, so the table is gone through.
    let rows = TABLE.iter().filter(|other| other.at == row.at);
    rows.into_iter().find_map(|row| row.ids.read(value, false))
}

/// One of 64 bits for a key.
const fn bit_of(key: &[u8]) -> u64 {
    match key {
        [first, ..] => 1 << ((*first as usize * 7 + key.len()) % 64),
        [] => 0,
    }
}

const fn keys() -> u64 {
    let mut bits = bit_of(FOREIGN_INSIDE.as_bytes());
    let mut at = 0;
    while at < FOREIGN.len() {
        bits |= bit_of(FOREIGN[at].as_bytes());
        at += 1;
    }
    at = 0;
    while at < BODY.len() {
        bits |= bit_of(BODY[at].as_bytes());
        at += 1;
    }
    bits
}

/// The keys of the table. A constant cannot look into a static one; a test compares them.
pub(super) const BODY: &[&str] = &[
    "previous_response_id",
    "conversation",
    "encrypted_content",
    "file_id",
    "file_ids",
    "input_file_id",
    "input_files",
    "training_file",
    "validation_file",
    "part_ids",
    "model",
    "vector_store_ids",
    "assistant_id",
    "thread_id",
    "container",
    "skill_id",
    "video_id",
    "voice",
    "environment_id",
    "agent",
    "vault_ids",
    "fileUri",
    "file_uri",
    "fileName",
    "file_name",
    "fileSearchStoreNames",
    "file_search_store_names",
    "previous_interaction_id",
    "agent_id",
    "cachedContent",
    "cached_content",
];

/// A row whose list or object is open, how deep, and which of the two it is.
type Within = (&'static Row, usize, Container);

/// An element of `input`. All others bring along what they are, and their ids are only names.
#[derive(Debug, Default)]
struct Item {
    id: Option<Reference>,
    is_reference: bool,
    is_reasoning: bool,
    is_sealed: bool,
}

impl Item {
    const fn is_empty_reasoning(&self) -> bool {
        self.is_reasoning && !self.is_sealed
    }
}

/// Notes the objects that one body names.
#[derive(Debug)]
pub(crate) struct BodyReferences {
    depth: usize,
    named: Named,
    /// The innermost open one.
    within: Option<Within>,
    /// The one around it.
    around: Option<Within>,
    /// From which depth on nothing counts.
    foreign: usize,
    /// Whether `input` is open.
    in_input: bool,
    item: Item,
    catching: Named,
    raw: Vec<u8>,
    found: Vec<Reference>,
    sealed: Vec<Reference>,
}

impl Default for BodyReferences {
    fn default() -> Self {
        Self {
            depth: 0,
            named: Named::Nothing,
            within: None,
            around: None,
            foreign: usize::MAX,
            in_input: false,
            item: Item::default(),
            catching: Named::Nothing,
            raw: Vec::new(),
            found: Vec::new(),
            sealed: Vec::new(),
        }
    }
}

impl BodyReferences {
    /// What was found, sealed things last and of them the latest first.
    pub(crate) fn finish(mut self) -> Vec<Reference> {
        self.sealed.reverse();
        self.found.append(&mut self.sealed);
        self.found
    }

    pub(crate) fn open(&mut self, container: Container) {
        self.depth += 1;
        match std::mem::take(&mut self.named) {
            Named::Row(row) if self.around.is_none() => {
                self.around = self.within.take();
                self.within = Some((row, self.depth, container));
            }
            Named::Foreign if self.foreign == usize::MAX => self.foreign = self.depth,
            _ => {}
        }
        if self.in_input && self.depth == ITEM_DEPTH {
            self.item = Item::default();
        }
    }

    pub(crate) fn close(&mut self) {
        if self.within.is_some_and(|(_, depth, _)| depth == self.depth) {
            self.within = self.around.take();
        }
        if self.foreign == self.depth {
            self.foreign = usize::MAX;
        }
        if self.in_input && self.depth == ITEM_DEPTH {
            let item = std::mem::take(&mut self.item);
            if let Some(id) = item
                .id
                .filter(|_| item.is_reference || item.is_empty_reasoning())
            {
                self.note(id);
            }
        }
        self.depth = self.depth.saturating_sub(1);
        self.named = Named::Nothing;
    }

    pub(crate) fn key(&mut self, key: &[u8]) {
        self.named = Named::Nothing;
        if self.depth >= self.foreign {
            return;
        }
        if self.depth == 1 {
            self.in_input = key == FOREIGN_INSIDE.as_bytes();
        }
        if key == b"id" {
            self.named = match self.within {
                Some((row, depth, Container::Object)) if depth == self.depth => Named::Row(row),
                _ if self.in_input && self.depth == ITEM_DEPTH => Named::ItemId,
                _ => Named::Nothing,
            };
        } else if key == b"type" && self.in_input && self.depth == ITEM_DEPTH {
            self.named = Named::ItemType;
        } else if KEYS & bit_of(key) != 0 {
            self.named = self.look_up(key);
        }
    }

    fn look_up(&self, key: &[u8]) -> Named {
        let is = |name: &&str| name.as_bytes() == key;
        if FOREIGN.iter().any(is) || (self.depth > 1 && is(&FOREIGN_INSIDE)) {
            return Named::Foreign;
        }
        let mut rows = TABLE.iter();
        rows.find(|row| matches!(row.at, At::Body(name) if is(&name)))
            .map_or(Named::Nothing, Named::Row)
    }

    /// Whether the string that begins is wanted.
    pub(crate) fn text_begins(&mut self) -> bool {
        self.catching = match (self.named, self.within) {
            // The strings of a list.
            (Named::Nothing, Some((row, depth, Container::Array))) if depth == self.depth => {
                Named::Row(row)
            }
            (named, _) => named,
        };
        self.raw.clear();
        !matches!(self.catching, Named::Nothing | Named::Foreign)
    }

    pub(crate) fn text(&mut self, piece: &[u8], ends: bool) {
        // One byte more than the bound tells that it is exceeded.
        let room = MAX_ID + 1 - self.raw.len();
        self.raw.extend_from_slice(&piece[..piece.len().min(room)]);
        if ends {
            let raw = std::mem::take(&mut self.raw);
            self.value(&raw);
            self.raw = raw;
        }
    }

    /// A number: some providers count their files.
    pub(crate) fn scalar(&mut self, raw: &[u8]) {
        if let Named::Row(row) = self.named
            && let Some(id) = read(row, raw)
            && id.first().is_some_and(u8::is_ascii_digit)
        {
            self.note(Reference::new(id, row.keeping));
        }
    }

    fn value(&mut self, raw: &[u8]) {
        match std::mem::take(&mut self.catching) {
            Named::Row(row) if row.keeping == Keeping::Sealed => {
                let begin = &raw[..raw.len().min(MAX_ID)];
                if !begin.is_empty() {
                    self.item.is_sealed = true;
                    let sealed = Reference::new(begin, row.keeping);
                    self.sealed.retain(|known| *known != sealed);
                    if self.sealed.len() == MOST_SEALED {
                        self.sealed.remove(0);
                    }
                    self.sealed.push(sealed);
                }
            }
            Named::Nothing | Named::Foreign => {}
            named => {
                if let Some(value) = unescape(raw) {
                    self.plain_value(named, &value);
                }
            }
        }
    }

    fn plain_value(&mut self, named: Named, value: &[u8]) {
        match named {
            Named::Row(row) => {
                if let Some(id) = read(row, value) {
                    self.note(Reference::new(id, row.keeping));
                }
            }
            Named::ItemId => {
                let is_item = ITEMS
                    .iter()
                    .any(|begin| value.starts_with(begin.as_bytes()));
                self.item.id = is_item.then(|| Reference::new(value, Keeping::Answer));
                self.item.is_reasoning = value.starts_with(REASONING);
            }
            Named::ItemType => self.item.is_reference = value == STANDS_FOR,
            Named::Nothing | Named::Foreign => {}
        }
    }

    fn note(&mut self, reference: Reference) {
        if self.found.len() < MOST && !self.found.contains(&reference) {
            self.found.push(reference);
        }
    }
}
