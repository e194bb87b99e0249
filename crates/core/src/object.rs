//! Objects that a provider keeps for one account (files, batches, stored responses …), and what
//! requests and answers say of them. Their ids are never kept, only hashes.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// An object, by the hash of its id. 64 bits: a collision sends a request to an account that does
/// not know what it names, which happens to nobody within the bounds of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ObjectId(u64);

impl ObjectId {
    /// For an id as it is written.
    pub fn of(id: &[u8]) -> Self {
        Self(xxh3_64(id))
    }

    /// The number itself, for hashing and for remembering it.
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// Who keeps an object, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Keeping {
    /// The provider, until it is deleted: files, batches, vector stores, models of one's own.
    Stored,
    /// The provider, for some weeks: responses and their items.
    Answer,
    /// The client, sealed: only the account that sealed it can read it, but what it is part of
    /// need not be read to be answered.
    Sealed,
}

/// One object that a request names or an answer gives out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Which one.
    pub object: ObjectId,
    /// Who keeps it.
    pub keeping: Keeping,
}

impl Reference {
    /// The object called `id`.
    pub fn new(id: &[u8], keeping: Keeping) -> Self {
        Self {
            object: ObjectId::of(id),
            keeping,
        }
    }
}

/// Everything a request says of objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct References {
    /// What it names; what it is about first, sealed things last and of them the latest first.
    pub named: Vec<Reference>,
    /// How many of these stand in its path or its query: it is about them.
    pub about: usize,
    /// Whether it asks and changes nothing.
    pub safe: bool,
    /// Whether it asks for a list, of which each account has its own.
    pub lists: bool,
    /// In a list, the item behind which, or before which, it asks on.
    pub cursor: Option<ObjectId>,
    /// What it deletes.
    pub deletes: Option<ObjectId>,
    /// The header by which a provider routes the next request of a turn to where the last one was.
    pub turn: Option<ObjectId>,
}
