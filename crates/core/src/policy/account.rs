//! One account: when it cools and for which models, what is left of its limits, whether it has credit.

use std::time::Duration;

use super::cooldown::{Cooldown, Refused, Usual};
use crate::fact::ModelId;
use crate::headroom::{Axis, Bucket};
use crate::moment::Moment;
use crate::verdict::{Matter, Verdict};

/// Models of which something is remembered, per account; the one that is over first goes.
const MODELS: usize = 64;
/// Limits remembered per account; providers state up to a dozen.
const BUCKETS: usize = 64;
/// Below this share of a limit (1 in 10) an account is near it.
const LOW: u64 = 10;
/// Before a quota is asked again that named no end …
const QUOTA_FIRST: Duration = Duration::from_secs(3600);
/// … and at the longest.
const QUOTA_LONGEST: Duration = Duration::from_secs(24 * 3600);
/// While too many requests run at once: one of them will soon be over …
const CONCURRENCY_FIRST: Duration = Duration::from_secs(1);
/// … but they may be long ones.
const CONCURRENCY_LONGEST: Duration = Duration::from_secs(5);
/// After a breach of fair use: asking again too soon deepens it …
const FAIR_USE_FIRST: Duration = Duration::from_secs(30);
/// … and a persistent one is for a person to look at.
const FAIR_USE_LONGEST: Duration = Duration::from_secs(600);
/// First backoff from a rate limit when the provider names no time, and none is configured …
const RATE_FIRST: Duration = Duration::from_secs(1);
/// … and the longest: rate limits are counted by the minute.
const RATE_LONGEST: Duration = Duration::from_secs(60);
/// How long an account without credit comes last, at first …
const CREDIT_FIRST: Duration = Duration::from_secs(1800);
/// … and at the longest, so that one that has been paid for is found within the hour.
const CREDIT_LONGEST: Duration = Duration::from_secs(3600);

/// A limit and the model it is counted for; `None` for all of them.
#[derive(Clone, Copy, Debug)]
struct Known {
    model: Option<ModelId>,
    bucket: Bucket,
}

/// The state of one account.
#[derive(Debug, Default)]
pub(super) struct Account {
    whole: Cooldown,
    models: Vec<(ModelId, Cooldown)>,
    credit: Refused,
    buckets: Vec<Known>,
}

impl Account {
    /// What an answer meant for the account.
    pub(super) fn judged(
        &mut self,
        verdict: Verdict,
        model: Option<ModelId>,
        configured: Option<Duration>,
        now: Moment,
    ) {
        let rate = match configured {
            Some(always) => Usual(always, always),
            None => Usual(RATE_FIRST, RATE_LONGEST),
        };
        let quota = Usual(QUOTA_FIRST, QUOTA_LONGEST);
        let until = verdict.until;
        match verdict.matter {
            Matter::Served => self.served(model, now),
            Matter::AccountRate => self.whole.throttled(until, rate, now),
            Matter::AccountQuota => self.whole.throttled(until, quota, now),
            Matter::ModelRate => self.model_throttled(model, until, rate, now),
            Matter::ModelQuota => self.model_throttled(model, until, quota, now),
            Matter::Concurrency => {
                let usual = Usual(CONCURRENCY_FIRST, CONCURRENCY_LONGEST);
                self.whole.throttled(until, usual, now);
            }
            Matter::FairUse => {
                let usual = Usual(FAIR_USE_FIRST, FAIR_USE_LONGEST);
                self.whole.throttled(until, usual, now);
            }
            Matter::Credit => self.credit.again(CREDIT_FIRST, CREDIT_LONGEST, now),
            Matter::Request
            | Matter::State
            | Matter::Key
            | Matter::Suspicion
            | Matter::Entitlement
            | Matter::Overload
            | Matter::Server
            | Matter::Network => {}
        }
    }

    /// Takes over what is known of an account that turned out to be this one.
    pub(super) fn merge(&mut self, other: Self, now: Moment) {
        self.whole.merge(other.whole);
        for (model, cooldown) in other.models {
            if let Some((_, known)) = self.models.iter_mut().find(|(known, _)| *known == model) {
                known.merge(cooldown);
            } else if self.models.len() < MODELS {
                self.models.push((model, cooldown));
            }
        }
        if other.credit.until(now) > self.credit.until(now) {
            self.credit = other.credit;
        }
    }

    fn served(&mut self, model: Option<ModelId>, now: Moment) {
        self.whole.served(now);
        self.credit = Refused::default();
        if let Some(model) = model
            && let Some((_, cooldown)) = self.models.iter_mut().find(|(known, _)| *known == model)
        {
            cooldown.served(now);
        }
    }

    /// A second model that is throttled while a first one is shows that the limit is the account's.
    fn model_throttled(
        &mut self,
        model: Option<ModelId>,
        until: Option<Moment>,
        usual: Usual,
        now: Moment,
    ) {
        let Some(model) = model else {
            self.whole.throttled(until, usual, now);
            return;
        };
        let another = self
            .models
            .iter()
            .any(|(known, cooldown)| *known != model && cooldown.is_cooling(now));
        if another {
            self.whole.throttled(until, usual, now);
        }
        let place = self.models.iter().position(|(known, _)| *known == model);
        let place = place.unwrap_or_else(|| {
            if self.models.len() >= MODELS {
                let first = (0..self.models.len()).min_by_key(|at| self.models[*at].1.until(now));
                self.models.swap_remove(first.unwrap_or(0));
            }
            self.models.push((model, Cooldown::default()));
            self.models.len() - 1
        });
        self.models[place].1.throttled(until, usual, now);
    }

    /// What is left, as an answer to a request for `model` stated it.
    pub(super) fn learned(&mut self, model: Option<ModelId>, buckets: &[Bucket], now: Moment) {
        self.buckets
            .retain(|known| known.bucket.reset.is_none_or(|reset| reset > now));
        for bucket in buckets {
            let model = if bucket.whole_account { None } else { model };
            let same = |known: &&mut Known| {
                known.model == model
                    && known.bucket.axis == bucket.axis
                    && known.bucket.limit == bucket.limit
            };
            if let Some(known) = self.buckets.iter_mut().find(same) {
                known.bucket = *bucket;
            } else if self.buckets.len() < BUCKETS {
                self.buckets.push(Known {
                    model,
                    bucket: *bucket,
                });
            }
        }
    }

    fn limits(&self, model: Option<ModelId>, now: Moment) -> impl Iterator<Item = Bucket> {
        self.buckets
            .iter()
            .filter(move |known| known.model.is_none() || known.model == model)
            .map(|known| known.bucket)
            .filter(move |bucket| bucket.reset.is_some_and(|reset| reset > now))
    }

    /// Until when it must not be used for `model`: it cools, or nothing is left of a limit.
    pub(super) fn until(&self, model: Option<ModelId>, now: Moment) -> Option<Moment> {
        let cooling = self
            .models
            .iter()
            .filter(|(known, _)| Some(*known) == model)
            .map(|(_, cooldown)| cooldown)
            .chain([&self.whole])
            .filter_map(|cooldown| cooldown.until(now))
            .max();
        let empty = self
            .limits(model, now)
            .filter(|bucket| bucket.remaining == 0)
            .filter_map(|bucket| bucket.reset)
            .max();
        cooling.max(empty)
    }

    /// Until when it must not be used for some model, if there is one: what `status` shows.
    pub(super) fn any_until(&self, now: Moment) -> Option<Moment> {
        let models = self.models.iter();
        let of_models = models.filter_map(|(_, cooldown)| cooldown.until(now)).max();
        self.until(None, now).max(of_models)
    }

    /// How many models cool while others do not.
    pub(super) fn cooling_models(&self, now: Moment) -> usize {
        if self.until(None, now).is_some() {
            return 0;
        }
        let cooling = self.models.iter().filter(|(_, c)| c.is_cooling(now));
        cooling.count()
    }

    /// Whether it comes last because it has no credit, and until when.
    pub(super) fn without_credit(&self, now: Moment) -> Option<Moment> {
        self.credit.until(now)
    }

    /// Whether more load would soon be refused: it was throttled within the last minute, or little
    /// is left of a limit. Without a model: for any of them.
    pub(super) fn is_near_limit(&self, model: Option<ModelId>, now: Moment) -> bool {
        let of_model = self
            .models
            .iter()
            .filter(|(known, _)| model.is_none_or(|model| *known == model));
        self.whole.is_near_limit(now)
            || of_model.map(|(_, c)| c).any(|c| c.is_near_limit(now))
            || self.limits(model, now).any(is_low)
    }
}

fn is_low(bucket: Bucket) -> bool {
    // One request of few is nothing to worry about; a share of a window or of the tokens is.
    let few = bucket.axis == Axis::Requests && bucket.remaining > 2;
    bucket
        .limit
        .is_some_and(|limit| !few && bucket.remaining.saturating_mul(LOW) < limit)
}

#[cfg(test)]
mod tests;
