//! One account: when it cools and for which models, what is left of its limits, whether it has credit.

use std::time::Duration;

use super::cooldown::{Ailing, Cooldown, Refused, Usual};
use super::load::Load;
use super::reason::Blocked;
use super::warmth::Caches;
use crate::fact::ModelId;
use crate::headroom::{Axis, Bucket};
use crate::moment::Moment;
use crate::verdict::{Matter, Verdict};

/// Models of which something is remembered, per account; the one that is over first goes.
const MODELS: usize = 64;
/// Limits remembered per account; providers state up to a dozen.
const BUCKETS: usize = 64;
/// Resets that differ by no more are the same: providers round to seconds.
const SAME_RESET: Duration = Duration::from_secs(2);
/// Below this share of a limit (1 in 10) an account is near it.
const LOW: u64 = 10;
/// Before a quota is asked again that named no end …
const QUOTA_FIRST: Duration = Duration::from_secs(3600);
/// … and at the longest.
const QUOTA_LONGEST: Duration = Duration::from_secs(24 * 3600);
/// While too many requests run at once, besides taking fewer: one of them will soon be over …
const CONCURRENCY_FIRST: Duration = Duration::from_millis(500);
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
    /// When it was stated.
    at: Moment,
    /// Requests and tokens that have begun since.
    since: Spent,
}

#[derive(Clone, Copy, Debug, Default)]
struct Spent {
    requests: u64,
    tokens: u64,
}

impl Known {
    /// What is left, less what has begun since it was stated.
    fn left(&self) -> u64 {
        let spent = match self.bucket.axis {
            Axis::Requests => self.since.requests,
            Axis::Tokens | Axis::InputTokens => self.since.tokens,
            Axis::OutputTokens | Axis::Window => 0,
        };
        self.bucket.remaining.saturating_sub(spent)
    }

    /// When so many tokens fit into it; `None` if they do now, or never will. Not for limits of input
    /// tokens, which do not count what comes from the cache.
    fn fits_at(&self, tokens: u64, all_at_once: bool) -> Option<Moment> {
        let (reset, limit) = (self.bucket.reset?, self.bucket.limit?);
        if self.bucket.axis != Axis::Tokens || tokens > limit || tokens <= self.left() {
            return None;
        }
        let missing = limit.saturating_sub(self.bucket.remaining);
        if all_at_once || missing == 0 {
            return Some(reset);
        }
        // It fills evenly, and is full at its reset.
        let needed = (tokens + self.since.tokens).saturating_sub(self.bucket.remaining);
        let share = (needed as f64 / missing as f64).min(1.0);
        Some(self.at.after(reset.since(self.at).mul_f64(share)))
    }
}

/// What is known of an account at first hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Here {
    /// Nothing: this process has not asked it.
    #[default]
    Unasked,
    Asked,
    Served,
}

/// The state of one account.
#[derive(Debug, Default)]
pub(super) struct Account {
    whole: Cooldown,
    models: Vec<(ModelId, Cooldown)>,
    credit: Refused,
    buckets: Vec<Known>,
    /// Whether its limits come back all at once, as its refusals have shown.
    all_at_once: bool,
    pub(super) ailing: Ailing,
    pub(super) load: Load,
    pub(super) caches: Caches,
    here: Here,
    /// Whether it has changed since it was last remembered.
    pub(super) is_marked: bool,
}

impl Account {
    /// A request of `tokens` for `model` begins; whether a recovery counts it.
    pub(super) fn begins(&mut self, model: Option<ModelId>, tokens: u64, now: Moment) -> bool {
        self.load.begins(tokens);
        self.here = self.here.max(Here::Asked);
        for known in &mut self.buckets {
            if known.model.is_none() || known.model == model {
                known.since.requests += 1;
                known.since.tokens += tokens;
            }
        }
        let mut counted = self.whole.begins(now);
        if let Some(cooldown) = self.model_mut(model) {
            counted |= cooldown.begins(now);
        }
        counted
    }

    /// One that a recovery counts has been judged, or is over.
    pub(super) fn settled(&mut self, model: Option<ModelId>, served: bool) {
        self.whole.settled(served);
        if let Some(cooldown) = self.model_mut(model) {
            cooldown.settled(served);
        }
    }

    fn model_mut(&mut self, model: Option<ModelId>) -> Option<&mut Cooldown> {
        let known = self.models.iter_mut();
        known
            .map(|(known, cooldown)| (Some(*known), cooldown))
            .find(|(known, _)| *known == model)
            .map(|(_, cooldown)| cooldown)
    }

    fn model(&self, model: Option<ModelId>) -> Option<&Cooldown> {
        let mut known = self.models.iter();
        known
            .find(|(known, _)| Some(*known) == model)
            .map(|(_, cooldown)| cooldown)
    }

    /// What keeps it from taking a request for `model` of `tokens` now, if `ahead` says how many
    /// others (up to so many) are to be served before.
    pub(super) fn blocked(
        &self,
        model: Option<ModelId>,
        tokens: u64,
        ahead: impl FnOnce(usize) -> usize,
        now: Moment,
    ) -> Option<Blocked> {
        if let Some(until) = self.until(model, now) {
            let mut cooling = [Some(&self.whole), self.model(model)].into_iter().flatten();
            let cause = cooling.find(|cooldown| cooldown.until(now) == Some(until));
            return Some(match cause {
                Some(cooldown) => Blocked::Cooling {
                    until,
                    why: cooldown.why(),
                },
                None => Blocked::Empty {
                    until,
                    axis: self.empty_axis(model, now),
                },
            });
        }
        let fits = self
            .limits(model, now)
            .filter_map(|known| known.fits_at(tokens, self.all_at_once));
        if let Some(until) = fits.max().filter(|until| *until > now) {
            return Some(Blocked::Short { until });
        }
        let recovering = [Some(&self.whole), self.model(model)]
            .into_iter()
            .flatten()
            .filter_map(|cooldown| cooldown.free(now))
            .min();
        let slots = self.load.free();
        let free = match (slots, recovering) {
            (None, None) => return None,
            (one, two) => one.into_iter().chain(two).min().unwrap_or(0),
        };
        if ahead(free as usize + 1) < free as usize {
            return None;
        }
        Some(match slots {
            Some(slots) if slots == free => Blocked::Full {
                at_once: self.load.most().unwrap_or(0),
            },
            _ => Blocked::Recovering,
        })
    }

    fn empty_axis(&self, model: Option<ModelId>, now: Moment) -> Axis {
        let empty = self.limits(model, now).filter(|known| known.left() == 0);
        empty
            .max_by_key(|known| known.bucket.reset)
            .map_or(Axis::Requests, |known| known.bucket.axis)
    }

    /// The size of its limit of tokens, if that is known: how much it bears beside others.
    pub(super) fn token_limit(&self, model: Option<ModelId>, now: Moment) -> Option<u64> {
        let tokens = self
            .limits(model, now)
            .filter(|known| matches!(known.bucket.axis, Axis::Tokens | Axis::InputTokens));
        tokens.filter_map(|known| known.bucket.limit).max()
    }

    /// The subscription window of it that is over first, as (thousandths left, end).
    pub(super) fn window(&self, now: Moment) -> Option<(u64, Moment)> {
        let windows = self
            .limits(None, now)
            .filter(|known| known.bucket.axis == Axis::Window);
        windows
            .filter_map(|known| Some((known.bucket.remaining, known.bucket.reset?)))
            .min_by_key(|(_, reset)| *reset)
    }

    /// The least that is left of its subscription windows, in thousandths.
    pub(super) fn window_left(&self, now: Moment) -> Option<u64> {
        let windows = self
            .limits(None, now)
            .filter(|known| known.bucket.axis == Axis::Window);
        windows.map(|known| known.bucket.remaining).min()
    }

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
        if matches!(verdict.matter, Matter::AccountRate | Matter::ModelRate) {
            self.learn_refill(model, until, now);
        }
        match verdict.matter {
            Matter::Served => self.served(model, now),
            Matter::AccountRate => self.whole.throttled(verdict.matter, until, rate, now),
            Matter::AccountQuota => self.whole.throttled(verdict.matter, until, quota, now),
            Matter::ModelRate => self.model_throttled(verdict, model, rate, now),
            Matter::ModelQuota => self.model_throttled(verdict, model, quota, now),
            Matter::Concurrency => {
                // Those that were sent before the first refusal was known tell nothing new.
                if !self.whole.is_cooling(now) {
                    self.load.too_many(now);
                }
                let usual = Usual(CONCURRENCY_FIRST, CONCURRENCY_LONGEST);
                self.whole.throttled(verdict.matter, until, usual, now);
            }
            Matter::FairUse => {
                self.load.one_at_a_time();
                let usual = Usual(FAIR_USE_FIRST, FAIR_USE_LONGEST);
                self.whole.throttled(verdict.matter, until, usual, now);
            }
            Matter::Credit => self.credit.again(CREDIT_FIRST, CREDIT_LONGEST, now),
            Matter::Request
            | Matter::State
            | Matter::Key
            | Matter::Suspicion
            | Matter::Entitlement
            | Matter::Overload => {}
            Matter::Server | Matter::Network => self.ailing.failed(now),
        }
    }

    /// A refusal that names the very moment at which a limit is full shows that it comes back all at
    /// once; one that names an earlier one, that it fills evenly.
    fn learn_refill(&mut self, model: Option<ModelId>, until: Option<Moment>, now: Moment) {
        let tokens = self.limits(model, now).filter(|known| {
            known.bucket.axis == Axis::Tokens && known.bucket.reset > Some(now.after(SAME_RESET))
        });
        let reset = tokens.filter_map(|known| known.bucket.reset).max();
        if let (Some(until), Some(reset)) = (until, reset) {
            self.all_at_once = until.after(SAME_RESET) >= reset;
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
        self.load.merge(other.load, now);
    }

    fn served(&mut self, model: Option<ModelId>, now: Moment) {
        self.whole.served(now);
        self.ailing = Ailing::default();
        self.credit = Refused::default();
        self.here = Here::Served;
        if let Some(model) = model
            && let Some((_, cooldown)) = self.models.iter_mut().find(|(known, _)| *known == model)
        {
            cooldown.served(now);
        }
    }

    /// A second model that is throttled while a first one is shows that the limit is the account's.
    fn model_throttled(
        &mut self,
        verdict: Verdict,
        model: Option<ModelId>,
        usual: Usual,
        now: Moment,
    ) {
        let (why, until) = (verdict.matter, verdict.until);
        let Some(model) = model else {
            self.whole.throttled(why, until, usual, now);
            return;
        };
        let another = self
            .models
            .iter()
            .any(|(known, cooldown)| *known != model && cooldown.is_cooling(now));
        if another {
            self.whole.throttled(why, until, usual, now);
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
        self.models[place].1.throttled(why, until, usual, now);
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
                known.at = now;
                known.since = Spent::default();
            } else if self.buckets.len() < BUCKETS {
                self.buckets.push(Known {
                    model,
                    bucket: *bucket,
                    at: now,
                    since: Spent::default(),
                });
            }
        }
    }

    fn limits(&self, model: Option<ModelId>, now: Moment) -> impl Iterator<Item = &Known> {
        self.buckets
            .iter()
            .filter(move |known| known.model.is_none() || known.model == model)
            .filter(move |known| known.bucket.reset.is_some_and(|reset| reset > now))
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
            .filter(|known| known.bucket.remaining == 0)
            .filter_map(|known| known.bucket.reset)
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
            || self.has_little_left(model, now)
    }

    /// Whether little is left of a limit.
    pub(super) fn has_little_left(&self, model: Option<ModelId>, now: Moment) -> bool {
        self.limits(model, now).any(is_low)
    }
}

fn is_low(known: &Known) -> bool {
    let (bucket, left) = (&known.bucket, known.left());
    // One request of few is nothing to worry about; a share of a window or of the tokens is.
    let few = bucket.axis == Axis::Requests && left > 2;
    bucket
        .limit
        .is_some_and(|limit| !few && left.saturating_mul(LOW) < limit)
}

mod join;
mod row;
mod shown;

pub use shown::Headroom;

#[cfg(test)]
mod tests;
