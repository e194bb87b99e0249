//! What two series of rounds differ by, as far as it can be told from so many.

/// `of` every round's values, the second to the first.
pub fn each(pair: [&[f64]; 2], of: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    let rounds = pair[0].iter().zip(pair[1]);
    rounds
        .map(|(unwatched, watched)| of(*unwatched, *watched))
        .collect()
}

/// Between which values the median of what `values` are taken from lies, in 19 cases of 20: by order, so that
/// a round that was disturbed does not count more than another.
pub fn range(values: &[f64]) -> (f64, f64) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let count = sorted.len() as f64;
    let cut = (count / 2.0 - 0.98 * count.sqrt()).floor().max(0.0) as usize;
    (sorted[cut], sorted[sorted.len() - 1 - cut])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_few_rounds_every_one_counts_and_of_many_the_outermost_do_not() {
        assert_eq!(range(&[3.0, 1.0, 2.0]), (1.0, 3.0));
        let many: Vec<f64> = (1..=20).rev().map(f64::from).collect();
        assert_eq!(range(&many), (6.0, 15.0));
        assert_eq!(each([&[1.0, 2.0], &[4.0, 1.0]], |a, b| b - a), [3.0, -1.0]);
    }
}
