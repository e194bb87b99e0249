//! Seeded random numbers (SplitMix64): the same on every machine and in every version.

use std::ops::RangeInclusive;

/// A source of random numbers that its seed determines. Only integers and exactly rounded
/// operations on floats are used, so that a seed means the same everywhere.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The source that `seed` determines.
    pub const fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub const fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `end`; 0 if `end` is 0.
    pub const fn below(&mut self, end: u64) -> u64 {
        ((self.number() as u128 * end as u128) >> 64) as u64
    }

    /// A number of the range, all equally likely.
    pub const fn within(&mut self, range: &RangeInclusive<u64>) -> u64 {
        let (low, high) = (*range.start(), *range.end());
        low + self.below(high.saturating_sub(low).saturating_add(1))
    }

    /// A number from 0 to below 1.
    pub const fn share(&mut self) -> f64 {
        // 53 bits are what a float holds.
        (self.number() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// True in this share of the cases.
    pub const fn chance(&mut self, share: f64) -> bool {
        self.share() < share
    }

    /// A number with this mean, of which many are small and few are large: at most three times
    /// the mean.
    pub const fn skewed(&mut self, mean: u64) -> u64 {
        // The mean of a square of a number from 0 to 1 is a third.
        let share = self.share();
        (mean as f64 * 3.0 * share * share) as u64
    }

    /// One of them; `None` if there are none.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        let at = self.below(from.len() as u64);
        from.get(usize::try_from(at).ok()?)
    }

    /// A source of its own, so that what draws from it does not shift what others draw.
    #[must_use]
    pub const fn fork(&mut self) -> Self {
        Self(self.number())
    }
}

/// SplitMix64's finalizer: a bijection in which every bit of the result depends on every bit.
pub(crate) const fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_means_the_same_numbers_for_ever() {
        let mut rng = Rng::seeded(1_234_567);
        // The reference numbers of SplitMix64 for this seed.
        assert_eq!(rng.number(), 6_457_827_717_110_365_317);
        assert_eq!(rng.number(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn numbers_stay_within_their_range() {
        let mut rng = Rng::seeded(1);
        let mut sum = 0;
        for _ in 0..10_000 {
            assert!((3..=5).contains(&rng.within(&(3..=5))));
            assert!(rng.below(7) < 7);
            sum += rng.skewed(1000);
        }
        assert!((900_000 * 10..1_100_000 * 10).contains(&sum), "{sum}");
        assert_eq!(rng.below(0), 0);
    }
}
