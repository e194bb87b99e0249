//! An account as `status` shows it, and what a person has it forget.

use super::{Account, Known};
use crate::headroom::Axis;
use crate::moment::Moment;
use crate::policy::cooldown::{Ailing, Cooldown, Refused};
use crate::verdict::Matter;

/// A limit as `status` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headroom {
    /// Whether it is counted for one model alone.
    pub of_model: bool,
    /// What it counts.
    pub axis: Axis,
    /// How much there is in all, if that was said.
    pub limit: Option<u64>,
    /// How much is left, less what has begun since that was said.
    pub left: u64,
    /// When it is full again, or has something again.
    pub reset: Option<Moment>,
}

impl Known {
    fn shown(&self) -> Headroom {
        Headroom {
            of_model: self.model.is_some(),
            axis: self.bucket.axis,
            limit: self.bucket.limit,
            left: self.left(),
            reset: self.bucket.reset,
        }
    }
}

impl Account {
    /// What is left of its limits, as far as that is still true.
    pub(in crate::policy) fn headroom(&self, now: Moment) -> Vec<Headroom> {
        let known = self.buckets.iter();
        let lasting = known.filter(|known| known.bucket.reset.is_none_or(|reset| reset > now));
        lasting.map(Known::shown).collect()
    }

    /// Whether it has just come back, and first shows that it serves again.
    pub(in crate::policy) fn is_recovering(&self, now: Moment) -> bool {
        let models = self.models.iter().map(|(_, cooldown)| cooldown);
        let mut all = models.chain([&self.whole]);
        all.any(|cooldown| cooldown.free(now).is_some())
    }

    /// What it cools for, for all models or for those that cool longest.
    pub(in crate::policy) fn cooling_for(&self, now: Moment) -> Option<Matter> {
        let models = self.models.iter().map(|(_, cooldown)| cooldown);
        let cooling = models
            .chain([&self.whole])
            .filter(|cooldown| cooldown.is_cooling(now));
        cooling
            .max_by_key(|cooldown| cooldown.until(now))
            .and_then(Cooldown::why)
    }

    /// It never refused anything, and nothing is known of what is left of its limits.
    pub(in crate::policy) fn forget(&mut self) {
        self.whole = Cooldown::default();
        self.models.clear();
        self.credit = Refused::default();
        self.ailing = Ailing::default();
        self.buckets.clear();
    }
}
