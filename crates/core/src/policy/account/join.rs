//! An account as this process knows it, and what another one knows of it.

use super::{Account, BUCKETS, Here, Known, MODELS};
use crate::moment::Moment;

impl Account {
    /// Whether anything is new in what another process knows of it.
    pub(in crate::policy) fn join(&mut self, mut other: Self, now: Moment) -> bool {
        let is_unasked = self.here == Here::Unasked;
        if is_unasked {
            other.is_marked = self.is_marked;
            std::mem::swap(self, &mut other);
        }
        let mut is_new = self.whole.join(other.whole);
        for (model, cooldown) in other.models {
            if let Some((_, known)) = self.models.iter_mut().find(|(known, _)| *known == model) {
                is_new |= known.join(cooldown);
                continue;
            }
            if self.models.len() >= MODELS {
                let over_first = (0..MODELS).min_by_key(|at| self.models[*at].1.last_until());
                let Some(at) =
                    over_first.filter(|at| self.models[*at].1.last_until() < cooldown.last_until())
                else {
                    continue;
                };
                self.models.swap_remove(at);
            }
            self.models.push((model, cooldown));
            is_new = true;
        }
        for known in other.buckets {
            is_new |= self.join_limit(known);
        }
        if is_unasked {
            return true;
        }
        // What has served here has credit.
        is_new |= self.here < Here::Served && self.credit.join(other.credit);
        is_new |= other.all_at_once && !self.all_at_once;
        self.all_at_once |= other.all_at_once;
        is_new |= self.load.join(&other.load, now);
        is_new | self.caches.join(other.caches)
    }

    /// What was stated later is truer.
    fn join_limit(&mut self, other: Known) -> bool {
        let same = |known: &&mut Known| {
            known.model == other.model
                && known.bucket.axis == other.bucket.axis
                && known.bucket.limit == other.bucket.limit
        };
        let age = |known: &Known| {
            let (spent, bucket) = (&known.since, &known.bucket);
            let left = std::cmp::Reverse(bucket.remaining);
            (known.at, spent.requests, spent.tokens, left, bucket.reset)
        };
        if let Some(known) = self.buckets.iter_mut().find(same) {
            let is_later = age(known) < age(&other);
            if is_later {
                *known = other;
            }
            return is_later;
        }
        let has_room = self.buckets.len() < BUCKETS;
        if has_room {
            self.buckets.push(other);
        }
        has_room
    }
}
