//! Weighted rendezvous hashing: each session has its own order of keys, the same in every instance.

use std::cmp::Ordering;

use xxhash_rust::xxh3::xxh3_64;

use crate::fact::SessionId;
use crate::plan::KeyId;

/// How strongly a session is drawn to a key; the greatest score comes first.
///
/// `-weight / ln(u)` with `u` uniform in (0, 1) gives each key a share of the sessions in
/// proportion to its weight, and adding a key moves only the sessions it wins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Score(f64, KeyId);

impl Score {
    pub(super) fn of(session: SessionId, key: KeyId, weight: u32) -> Self {
        let mut bytes = [0; 24];
        bytes[..16].copy_from_slice(&session.0.to_le_bytes());
        bytes[16..].copy_from_slice(&key.number().to_le_bytes());
        // 53 bits, so that the quotient is exact and never 0 or 1.
        let uniform = ((xxh3_64(&bytes) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
        Self(-f64::from(weight) / uniform.ln(), key)
    }
}

impl Default for Score {
    /// Drawn to nothing.
    fn default() -> Self {
        Self(f64::NEG_INFINITY, KeyId::default())
    }
}

impl Eq for Score {}

impl PartialOrd for Score {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Score {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0
            .total_cmp(&other.0)
            .then_with(|| self.1.cmp(&other.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;
    use crate::target::Target;

    fn keys(count: usize) -> Vec<KeyId> {
        let target = Target::parse("https://h").unwrap();
        (0..count)
            .map(|n| KeyId::of(&Secret::new(format!("sk-{n}")), &target))
            .collect()
    }

    fn first(session: u128, keys: &[(KeyId, u32)]) -> KeyId {
        let best = keys
            .iter()
            .max_by_key(|(key, weight)| Score::of(SessionId(session), *key, *weight));
        best.unwrap().0
    }

    #[test]
    fn sessions_spread_by_weight() {
        let ids = keys(3);
        let weighted = [(ids[0], 1), (ids[1], 1), (ids[2], 2)];
        let mut counts = [0_u32; 3];
        for session in 0..40_000_u128 {
            let won = first(
                session.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835),
                &weighted,
            );
            counts[ids.iter().position(|id| *id == won).unwrap()] += 1;
        }
        for (count, wanted) in counts.into_iter().zip([10_000, 10_000, 20_000]) {
            assert!(count.abs_diff(wanted) < 500, "{counts:?}");
        }
    }

    #[test]
    fn a_new_key_takes_only_its_share_and_moves_no_other_session() {
        let ids = keys(5);
        let before: Vec<_> = ids[..4].iter().map(|id| (*id, 1)).collect();
        let after: Vec<_> = ids.iter().map(|id| (*id, 1)).collect();
        let mut moved = 0;
        for session in 0..10_000_u128 {
            let (old, new) = (first(session, &before), first(session, &after));
            if old != new {
                assert_eq!(new, ids[4]);
                moved += 1;
            }
        }
        assert!((1_800..2_200).contains(&moved), "{moved}");
    }
}
