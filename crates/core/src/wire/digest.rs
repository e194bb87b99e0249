//! A hash of bytes that come in many small pieces.

use xxhash_rust::xxh3::{Xxh3Default, xxh3_64};

/// Bytes collected before they are hashed. A streaming update costs some fifty instructions,
/// however little it takes, and most messages consist of little.
const STAGE: usize = 512;

/// XXH3 (64 bits) of everything that was pushed, whatever the pieces.
pub(super) struct Digest {
    stage: [u8; STAGE],
    staged: usize,
    /// What has been hashed already; untouched while everything fits on the stage.
    hash: Xxh3Default,
    begun: bool,
    /// Bytes that have left the stage.
    hashed: usize,
}

impl Default for Digest {
    fn default() -> Self {
        Self {
            stage: [0; STAGE],
            staged: 0,
            hash: Xxh3Default::new(),
            begun: false,
            hashed: 0,
        }
    }
}

impl Digest {
    /// Back to nothing.
    pub(super) fn reset(&mut self) {
        self.staged = 0;
        self.hashed = 0;
        if std::mem::take(&mut self.begun) {
            self.hash.reset();
        }
    }

    /// Adds the next bytes.
    pub(super) fn update(&mut self, piece: &[u8]) {
        let end = self.staged + piece.len();
        if let Some(room) = self.stage.get_mut(self.staged..end) {
            room.copy_from_slice(piece);
            self.staged = end;
            return;
        }
        self.begun = true;
        self.hash.update(&self.stage[..self.staged]);
        self.hashed += self.staged;
        self.staged = 0;
        if piece.len() < STAGE {
            self.stage[..piece.len()].copy_from_slice(piece);
            self.staged = piece.len();
        } else {
            self.hash.update(piece);
            self.hashed += piece.len();
        }
    }

    /// How many bytes were pushed.
    pub(super) const fn len(&self) -> usize {
        self.hashed + self.staged
    }

    /// The hash.
    pub(super) fn digest(&mut self) -> u64 {
        let staged = &self.stage[..self.staged];
        if !self.begun {
            return xxh3_64(staged);
        }
        self.hash.update(staged);
        self.staged = 0;
        self.hash.digest()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_pieces_do_not_matter(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..700), 0..8),
            before in prop::collection::vec(any::<u8>(), 0..700),
        ) {
            let mut digest = Digest::default();
            digest.update(&before);
            digest.reset();
            for piece in &pieces {
                digest.update(piece);
            }
            prop_assert_eq!(digest.digest(), xxh3_64(&pieces.concat()));
        }
    }
}
