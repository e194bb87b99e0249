//! Requests without a session: the accounts take turns, by weight.

use super::Policy;
use super::candidate::Candidate;
use super::choice::Case;
use crate::moment::Moment;
use crate::plan::Pool;

impl Policy {
    /// Whose turn it is: of those that can serve now, not refused and with room, whoever is owed the
    /// most once each has been given its share (smooth weighted round robin, as nginx); the first
    /// one of equals. If none can serve now, the one that can soonest.
    pub(super) fn whose_turn(
        &self,
        case: &Case<'_>,
        candidates: &[Candidate],
    ) -> Option<Candidate> {
        let mut best: Option<(i64, &Candidate)> = None;
        let rank = rank(case.now);
        let first = candidates.iter().map(&rank).min()?;
        for candidate in candidates.iter().filter(|one| rank(one) == first) {
            let key = &case.asked.pool.keys[candidate.at];
            let owed = self.keys.get(&key.id).map_or(0, |state| state.credit);
            let credit = owed + i64::from(key.weight);
            if best.is_none_or(|(most, _)| credit > most) {
                best = Some((credit, candidate));
            }
        }
        best.map(|(_, candidate)| *candidate)
    }

    /// The key at `chosen` has had its turn among those that could have.
    pub(super) fn take_turn(
        &mut self,
        pool: &Pool,
        candidates: &[Candidate],
        chosen: usize,
        now: Moment,
    ) {
        let rank = rank(now);
        let first = candidates.iter().map(&rank).min();
        let mut total = 0;
        for candidate in candidates.iter().filter(|one| Some(rank(one)) == first) {
            let key = &pool.keys[candidate.at];
            let state = self.keys.entry(key.id).or_default();
            state.credit += i64::from(key.weight);
            self.changes.keys.mark(&mut state.is_marked, key.id);
            total += i64::from(key.weight);
        }
        let key = &pool.keys[chosen];
        self.keys.entry(key.id).or_default().credit -= total;
    }
}

fn rank(now: Moment) -> impl Fn(&Candidate) -> (bool, bool, std::time::Duration, bool, bool) {
    move |candidate| {
        (
            candidate.refused,
            candidate.ailing,
            candidate.ready.since(now),
            // After a throttle it takes turns again: its recovery bounds how many at once.
            candidate.has_little_left,
            candidate.may_be_the_same,
        )
    }
}
