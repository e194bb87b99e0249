//! What of a session an account's prompt cache still holds: measured where the provider counts
//! cached tokens, assumed by its time to live where it does not.

use std::time::Duration;

use super::memory::{LifetimeRow, PlaceRow, SessionRow};
use crate::fact::ModelId;
use crate::moment::Moment;
use crate::plan::AccountId;

/// Accounts (and models) of a session that are remembered: home, the one it borrows from, and one
/// for the small model that agents write titles with.
const PLACES: usize = SessionRow::PLACES;
/// Upper ends of the age classes that are learned apart, in seconds: the times to live that
/// providers document are 5 min, 10 min, 30 min, 1 h and 24 h. The last class is what is older.
const AGES: [u64; LifetimeRow::CLASSES - 1] = [60, 300, 600, 1_800, 3_600, 21_600, 86_400];
/// How sure the documented time to live is at first, as a chance.
const PRIOR: f32 = 0.95;
/// How many observations the documentation is worth.
const PRIOR_WEIGHT: f32 = 3.0;
/// Observations of one class after which the old ones count half, so that a provider that changes
/// its mind is noticed within a few dozen requests.
const OBSERVATIONS: u8 = 32;
/// Models of one account that are learned apart; the least recently learned goes.
const MODELS: usize = 8;
/// The least share of what could have come from the cache that proves that it was warm: a prefix
/// is cached in blocks, and the end of it changes.
const HIT: f64 = 0.5;

/// A model in little room, for there are many sessions; caches are per model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ModelTag(u32);

impl ModelTag {
    pub(super) const fn of(model: Option<ModelId>) -> Self {
        match model {
            Some(model) => Self((model.number() >> 32) as u32),
            None => Self(0),
        }
    }
}

/// One account's copy of a session's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Warm {
    pub(super) account: AccountId,
    pub(super) model: ModelTag,
    /// Tokens of the prompt and its answer.
    pub(super) tokens: u32,
    /// When the request that put them there began.
    pub(super) at: Moment,
}

/// Where a session's prefix was read, in no order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Places([Option<Warm>; PLACES]);

impl Places {
    /// The account's copy.
    pub(super) fn at(&self, account: AccountId, model: ModelTag) -> Option<Warm> {
        let mut known = self.0.iter().flatten();
        known
            .find(|warm| warm.account == account && warm.model == model)
            .copied()
    }

    /// A request was served there. The place that has been left the longest gives way.
    pub(super) fn put(&mut self, warm: Warm) {
        let same = |slot: &Option<Warm>| {
            slot.is_some_and(|known| known.account == warm.account && known.model == warm.model)
        };
        let at = self.0.iter().position(same).or_else(|| {
            let ages = self.0.iter().enumerate();
            ages.min_by_key(|(_, slot)| slot.map(|known| known.at))
                .map(|(at, _)| at)
        });
        if let Some(slot) = at.and_then(|at| self.0.get_mut(at)) {
            *slot = Some(warm);
        }
    }

    /// Takes over what another process knows: the latest of both stay.
    pub(super) fn join(&mut self, other: Self) {
        let age = |warm: &Warm| (warm.at, warm.tokens, warm.account, warm.model.0);
        for theirs in other.0.into_iter().flatten() {
            let same = |slot: &&mut Option<Warm>| {
                slot.is_some_and(|ours| {
                    ours.account == theirs.account && ours.model == theirs.model
                })
            };
            let slot = match self.0.iter_mut().find(same) {
                Some(slot) => Some(slot),
                None => self.0.iter_mut().min_by_key(|slot| slot.as_ref().map(age)),
            };
            if let Some(slot) = slot
                && slot.as_ref().map(age) < Some(age(&theirs))
            {
                *slot = Some(theirs);
            }
        }
    }

    /// As they are remembered.
    pub(super) fn rows(&self) -> [Option<PlaceRow>; PLACES] {
        self.0.map(|slot| {
            slot.map(|warm| PlaceRow {
                account: warm.account,
                model: warm.model.0,
                tokens: warm.tokens,
                at: warm.at,
            })
        })
    }

    pub(super) fn of_rows(rows: [Option<PlaceRow>; PLACES], now: Moment) -> Self {
        Self(rows.map(|slot| {
            slot.map(|row| Warm {
                account: row.account,
                model: ModelTag(row.model),
                tokens: row.tokens,
                at: row.at.min(now),
            })
        }))
    }

    /// An account has turned out to be another one.
    pub(super) fn rename(&mut self, canonical: impl Fn(AccountId) -> AccountId) {
        for warm in self.0.iter_mut().flatten() {
            warm.account = canonical(warm.account);
        }
    }
}

/// How long an account's cache has kept prefixes of one model.
#[derive(Clone, Copy, Debug, Default)]
struct Lifetime {
    hits: [u8; AGES.len() + 1],
    misses: [u8; AGES.len() + 1],
}

impl Lifetime {
    fn chance(&self, age: Duration, ttl: Duration) -> f32 {
        let class = class(age);
        let prior = if age <= ttl { PRIOR } else { 1.0 - PRIOR };
        let (hits, misses) = (f32::from(self.hits[class]), f32::from(self.misses[class]));
        (prior * PRIOR_WEIGHT + hits) / (PRIOR_WEIGHT + hits + misses)
    }

    fn has_hit(&self) -> bool {
        self.hits.iter().any(|hits| *hits > 0)
    }

    fn learn(&mut self, age: Duration, hit: bool) {
        let class = class(age);
        if self.hits[class] + self.misses[class] >= OBSERVATIONS {
            self.hits[class] /= 2;
            self.misses[class] /= 2;
        }
        let counter = if hit {
            &mut self.hits[class]
        } else {
            &mut self.misses[class]
        };
        *counter += 1;
    }
}

fn class(age: Duration) -> usize {
    AGES.iter()
        .position(|end| age.as_secs() <= *end)
        .unwrap_or(AGES.len())
}

/// What one account's caches have shown.
#[derive(Debug, Default)]
pub(super) struct Caches(Vec<(Option<ModelId>, Lifetime)>);

impl Caches {
    /// The chance, 0 to 1, that a prefix last used `age` ago is still there, where documentation
    /// gives it `ttl`.
    pub(super) fn chance(&self, model: Option<ModelId>, age: Duration, ttl: Duration) -> f32 {
        let known = self.0.iter().find(|(known, _)| *known == model);
        known
            .map_or_else(Lifetime::default, |(_, lifetime)| *lifetime)
            .chance(age, ttl)
    }

    /// As they are remembered.
    pub(super) fn rows(&self) -> Vec<LifetimeRow> {
        let known = self.0.iter();
        known
            .map(|(model, lifetime)| LifetimeRow {
                model: *model,
                hits: lifetime.hits,
                misses: lifetime.misses,
            })
            .collect()
    }

    pub(super) fn of_rows(rows: &[LifetimeRow]) -> Self {
        // A class never holds more, and counting on relies on it.
        let is_sound = |row: &&LifetimeRow| {
            let mut classes = row.hits.iter().zip(&row.misses);
            classes.all(|(hits, misses)| {
                u16::from(*hits) + u16::from(*misses) <= u16::from(OBSERVATIONS)
            })
        };
        let sound = rows.iter().filter(is_sound).take(MODELS);
        let lifetimes = sound.map(|row| {
            let lifetime = Lifetime {
                hits: row.hits,
                misses: row.misses,
            };
            (row.model, lifetime)
        });
        Self(lifetimes.collect())
    }

    /// Takes over what another process has seen, where that is more; whether anything is new.
    pub(super) fn join(&mut self, other: Self) -> bool {
        let mut is_new = false;
        for (model, theirs) in other.0 {
            let Some((_, ours)) = self.0.iter_mut().find(|(known, _)| *known == model) else {
                if self.0.len() < MODELS {
                    self.0.push((model, theirs));
                    is_new = true;
                }
                continue;
            };
            for class in 0..=AGES.len() {
                let seen = |one: &Lifetime| {
                    let (hits, misses) = (one.hits[class], one.misses[class]);
                    (hits + misses, hits)
                };
                if seen(&theirs) > seen(ours) {
                    ours.hits[class] = theirs.hits[class];
                    ours.misses[class] = theirs.misses[class];
                    is_new = true;
                }
            }
        }
        is_new
    }

    /// A prefix of `expected` tokens, last used `age` ago, was asked for again, and `cached` tokens
    /// of it came from the cache.
    pub(super) fn learn(
        &mut self,
        model: Option<ModelId>,
        age: Duration,
        expected: u64,
        cached: u64,
    ) {
        let hit = cached as f64 >= expected as f64 * HIT;
        let known = self.0.iter().position(|(known, _)| *known == model);
        let (model, mut lifetime) = match known {
            Some(at) => self.0.remove(at),
            None => (model, Lifetime::default()),
        };
        // Not every provider counts cached tokens: without a single hit, none proves nothing.
        if hit || lifetime.has_hit() {
            lifetime.learn(age, hit);
        }
        if self.0.len() >= MODELS {
            self.0.remove(0);
        }
        self.0.push((model, lifetime));
    }
}
#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::KeyId;
    use crate::secret::Secret;
    use crate::target::Target;

    const TTL: Duration = Duration::from_secs(300);

    fn warm(name: &str, tokens: u32, at: u64) -> Warm {
        let target = Target::parse("https://h").unwrap();
        Warm {
            account: AccountId::of_key(KeyId::of(&Secret::new(name.into()), &target)),
            model: ModelTag::of(None),
            tokens,
            at: Moment::from_unix_millis(1_790_000_000_000 + at),
        }
    }

    #[test]
    fn the_place_that_was_left_the_longest_gives_way() {
        let mut places = Places::default();
        for (name, at) in [("a", 1), ("b", 2), ("c", 3), ("a", 4), ("d", 5)] {
            places.put(warm(name, 10, at));
        }
        let known = |name: &str| {
            let account = warm(name, 0, 0).account;
            places.at(account, ModelTag::of(None)).map(|warm| warm.at)
        };
        assert_eq!(known("a"), Some(warm("a", 0, 4).at));
        assert_eq!(known("b"), None);
        assert!(known("c").is_some() && known("d").is_some());
    }

    #[test]
    fn each_model_has_a_cache_of_its_own() {
        let mut places = Places::default();
        places.put(warm("a", 10, 1));
        let other = ModelTag::of(Some(ModelId::of("m")));
        assert_eq!(places.at(warm("a", 0, 0).account, other), None);
    }

    #[test]
    fn the_documented_time_to_live_counts_until_answers_say_otherwise() {
        let mut caches = Caches::default();
        let chance =
            |caches: &Caches, seconds| caches.chance(None, Duration::from_secs(seconds), TTL);
        assert!(chance(&caches, 200) > 0.9);
        assert!(chance(&caches, 400) < 0.1);
        // It keeps prefixes for ten minutes at least …
        for _ in 0..8 {
            caches.learn(None, Duration::from_secs(400), 10_000, 9_800);
        }
        assert!(chance(&caches, 500) > 0.7);
        // … and then it does not any more, not even for three.
        for _ in 0..40 {
            caches.learn(None, Duration::from_secs(400), 10_000, 0);
            caches.learn(None, Duration::from_secs(180), 10_000, 0);
        }
        assert!(chance(&caches, 500) < 0.3);
        assert!(chance(&caches, 200) < 0.3);
        assert!(chance(&caches, 30) > 0.9, "nothing was seen of that");
    }

    #[test]
    fn a_provider_that_never_counts_cached_tokens_teaches_nothing() {
        let mut caches = Caches::default();
        for _ in 0..100 {
            caches.learn(None, Duration::from_secs(10), 10_000, 0);
        }
        assert!(caches.chance(None, Duration::from_secs(10), TTL) > 0.9);
    }

    #[test]
    fn what_is_learned_is_bounded() {
        let mut caches = Caches::default();
        for model in 0..1_000 {
            let model = Some(ModelId::of(&format!("m{model}")));
            caches.learn(model, Duration::from_secs(10), 10, 10);
        }
        assert_eq!(caches.0.len(), MODELS);
    }
}
