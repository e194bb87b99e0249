//! Tables keyed by what is a hash already: hashing it again would only cost time.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use xxhash_rust::xxh3::xxh3_64;

/// A table keyed by hashes.
pub(super) type Hashed<K, V> = HashMap<K, V, AsIsBuilder>;

/// Builds [`AsIs`].
pub(super) type AsIsBuilder = BuildHasherDefault<AsIs>;

/// Takes a number for its own hash.
#[derive(Debug, Default)]
pub(super) struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64(bytes);
    }

    fn write_u64(&mut self, number: u64) {
        self.0 ^= number;
    }

    // The word before an optional value: whether there is one.
    fn write_isize(&mut self, number: isize) {
        self.0 ^= number as u64;
    }

    fn write_u128(&mut self, number: u128) {
        // Any 64 of its bits are as good as any other.
        self.0 ^= number as u64;
    }
}
