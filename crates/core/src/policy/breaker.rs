//! Providers that have no capacity for a model, whoever asks: then nobody asks for a moment.

use std::time::Duration;

use lru::LruCache;

use super::cooldown::{Cooldown, Usual};
use super::hashed::AsIsBuilder;
use crate::fact::ModelId;
use crate::moment::Moment;
use crate::plan::AccountId;
use crate::verdict::Matter;

/// Two accounts that are refused for lack of capacity within this time show that it is not theirs.
const TOGETHER: Duration = Duration::from_secs(2);
/// First pause when the provider names none …
const PAUSE_FIRST: Duration = Duration::from_secs(1);
/// … and the longest: capacity comes back within seconds to minutes, and agents retry by themselves.
const PAUSE_LONGEST: Duration = Duration::from_secs(30);
/// Models remembered; trouble is rare, so few are ever in it at once.
const MODELS: usize = 64;

/// One model of one provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Capacity(u64);

impl Capacity {
    /// The model as the host called `host` serves it.
    pub(super) fn of(host: &str, model: Option<ModelId>) -> Self {
        let model = model.map_or(0, ModelId::number);
        Self(model ^ xxhash_rust::xxh3::xxh3_64(host.as_bytes()))
    }
}

#[derive(Debug, Default)]
struct Trouble {
    last: Option<(AccountId, Moment)>,
    pause: Cooldown,
}

/// The breakers, one per model in trouble.
#[derive(Debug)]
pub(super) struct Breakers(LruCache<Capacity, Trouble, AsIsBuilder>);

impl Default for Breakers {
    fn default() -> Self {
        let mut models = LruCache::unbounded_with_hasher(AsIsBuilder::default());
        models.resize(std::num::NonZeroUsize::new(MODELS).unwrap_or(std::num::NonZeroUsize::MIN));
        Self(models)
    }
}

impl Breakers {
    /// Whether no model is in trouble: most of the time.
    pub(super) fn is_quiet(&self) -> bool {
        self.0.is_empty()
    }

    /// `account` was refused for lack of capacity; the provider said until when, if it did.
    pub(super) fn overloaded(
        &mut self,
        of: Capacity,
        account: AccountId,
        until: Option<Moment>,
        now: Moment,
    ) {
        let trouble = self.0.get_or_insert_mut(of, Trouble::default);
        let another = trouble
            .last
            .is_some_and(|(last, at)| last != account && now.since(at) <= TOGETHER);
        if another || trouble.pause.free(now).is_some() {
            let longest = now.after(PAUSE_LONGEST);
            let until = until.map(|until| until.min(longest));
            let usual = Usual(PAUSE_FIRST, PAUSE_LONGEST);
            trouble.pause.throttled(Matter::Overload, until, usual, now);
        }
        trouble.last = Some((account, now));
    }

    /// It was served.
    pub(super) fn served(&mut self, of: Capacity) {
        if !self.is_quiet() {
            self.0.pop(&of);
        }
    }

    /// Until when nobody should ask for it.
    pub(super) fn open_until(&self, of: Capacity, now: Moment) -> Option<Moment> {
        self.0.peek(&of)?.pause.until(now)
    }

    /// Whether it is being found out if there is capacity again, and enough ask already.
    pub(super) fn is_probed(&self, of: Capacity, now: Moment) -> bool {
        let trouble = self.0.peek(&of);
        trouble.is_some_and(|trouble| trouble.pause.free(now) == Some(0))
    }

    /// A request for it begins; whether it is one that finds out.
    pub(super) fn begins(&mut self, of: Capacity, now: Moment) -> bool {
        let trouble = self.0.peek_mut(&of);
        trouble.is_some_and(|trouble| trouble.pause.begins(now))
    }

    /// One that found out has been judged, and not served, or is over.
    pub(super) fn settled(&mut self, of: Capacity) {
        if let Some(trouble) = self.0.peek_mut(&of) {
            trouble.pause.settled(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::KeyId;
    use crate::secret::Secret;
    use crate::target::Target;

    fn account(name: &str) -> AccountId {
        let target = Target::parse("https://h").unwrap();
        AccountId::of_key(KeyId::of(&Secret::new(name.into()), &target))
    }

    fn at(millis: u64) -> Moment {
        Moment::from_unix_millis(1_790_000_000_000 + millis)
    }

    fn model() -> Capacity {
        Capacity::of("h", Some(ModelId::of("m")))
    }

    #[test]
    fn one_accounts_overload_opens_nothing_and_two_within_two_seconds_do() {
        let mut breakers = Breakers::default();
        breakers.overloaded(model(), account("a"), None, at(0));
        breakers.overloaded(model(), account("a"), None, at(10));
        assert_eq!(breakers.open_until(model(), at(20)), None);
        breakers.overloaded(model(), account("b"), None, at(2_011));
        assert_eq!(breakers.open_until(model(), at(2_011)), None, "too late");
        breakers.overloaded(model(), account("a"), None, at(2_100));
        assert_eq!(breakers.open_until(model(), at(2_100)), Some(at(3_100)));
        let other = Capacity::of("h", Some(ModelId::of("other")));
        assert_eq!(breakers.open_until(other, at(2_100)), None);
    }

    #[test]
    fn after_the_pause_one_request_finds_out_and_the_pause_doubles_or_ends() {
        let mut breakers = Breakers::default();
        breakers.overloaded(model(), account("a"), None, at(0));
        breakers.overloaded(model(), account("b"), None, at(1));
        assert!(!breakers.is_probed(model(), at(1_001)));
        assert!(breakers.begins(model(), at(1_001)));
        assert!(breakers.is_probed(model(), at(1_001)));
        breakers.overloaded(model(), account("a"), None, at(1_100));
        breakers.settled(model());
        assert_eq!(breakers.open_until(model(), at(1_100)), Some(at(3_100)));
        assert!(breakers.begins(model(), at(3_100)));
        breakers.served(model());
        assert!(breakers.is_quiet());
    }

    #[test]
    fn a_stated_pause_counts_up_to_half_a_minute() {
        let mut breakers = Breakers::default();
        breakers.overloaded(model(), account("a"), None, at(0));
        breakers.overloaded(model(), account("b"), Some(at(600_000)), at(1));
        assert_eq!(breakers.open_until(model(), at(2)), Some(at(30_001)));
    }
}
