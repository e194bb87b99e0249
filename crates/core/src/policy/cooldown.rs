//! When an account or key may be used again.

use std::time::Duration;

use crate::moment::Moment;

/// For how long after a throttle an account counts as near its limit: providers count by the minute.
const NEAR_LIMIT: Duration = Duration::from_secs(60);

/// The usual time when a provider names none: the first one, doubled each time in a row, up to the
/// second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usual(pub(super) Duration, pub(super) Duration);

/// The cooldown of an account, or of a model of it.
#[derive(Debug, Default)]
pub(super) struct Cooldown {
    until: Moment,
    /// When its last cooldown ends or ended.
    last_until: Option<Moment>,
    /// Throttles in a row since it last served.
    streak: u32,
}

impl Cooldown {
    pub(super) fn is_cooling(&self, now: Moment) -> bool {
        self.until > now
    }

    /// The end of a cooldown that is in force.
    pub(super) fn until(&self, now: Moment) -> Option<Moment> {
        self.is_cooling(now).then_some(self.until)
    }

    /// The provider throttled it: until its own time if it named one, else for the usual time. A
    /// longer cooldown is never shortened, and refusals that come in
    /// while it cools already (sent before it was known) do not count again.
    pub(super) fn throttled(&mut self, until: Option<Moment>, usual: Usual, now: Moment) {
        if !self.is_cooling(now) {
            self.streak = self.streak.saturating_add(1);
        }
        let until = until.unwrap_or_else(|| now.after(backoff(usual.0, self.streak, usual.1)));
        self.until = self.until.max(until);
        self.last_until = Some(self.until);
    }

    /// Whether more load would soon be refused: it cools, or has done so within the last minute.
    pub(super) fn is_near_limit(&self, now: Moment) -> bool {
        self.last_until
            .is_some_and(|until| now <= until.after(NEAR_LIMIT))
    }

    /// Whichever lasts longer.
    pub(super) fn merge(&mut self, other: Self) {
        self.until = self.until.max(other.until);
        self.last_until = self.last_until.max(other.last_until);
        self.streak = self.streak.max(other.streak);
    }

    /// It served a request. That ends a streak, but not a cooldown: an answer that began before
    /// the throttle says nothing about now.
    pub(super) fn served(&mut self, now: Moment) {
        if !self.is_cooling(now) {
            self.streak = 0;
        }
    }
}

/// How long a key that the provider refused comes last.
#[derive(Debug, Default)]
pub(super) struct Refused {
    until: Moment,
    streak: u32,
}

impl Refused {
    pub(super) fn is_in_force(&self, now: Moment) -> bool {
        self.until > now
    }

    pub(super) fn until(&self, now: Moment) -> Option<Moment> {
        self.is_in_force(now).then_some(self.until)
    }

    pub(super) fn again(&mut self, first: Duration, longest: Duration, now: Moment) {
        if !self.is_in_force(now) {
            self.streak = self.streak.saturating_add(1);
            self.until = now.after(backoff(first, self.streak, longest));
        }
    }
}

/// `first`, doubled for each further time in a row, at most `longest`.
fn backoff(first: Duration, streak: u32, longest: Duration) -> Duration {
    // More than 2^16 times the first is beyond any longest.
    let doublings = streak.saturating_sub(1).min(16);
    first.saturating_mul(1 << doublings).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: Usual = Usual(Duration::from_secs(1), Duration::from_secs(60));
    const ALWAYS: Usual = Usual(Duration::from_secs(30), Duration::from_secs(30));

    fn at(seconds: u64) -> Moment {
        Moment::from_unix_millis(1_790_000_000_000 + seconds * 1000)
    }

    #[test]
    fn the_providers_time_wins_over_the_configured_one() {
        let mut cooldown = Cooldown::default();
        cooldown.throttled(Some(at(5)), ALWAYS, at(0));
        assert_eq!(cooldown.until(at(4)), Some(at(5)));
        assert!(!cooldown.is_cooling(at(5)));
    }

    #[test]
    fn the_configured_time_is_used_when_the_provider_names_none() {
        let mut cooldown = Cooldown::default();
        cooldown.throttled(None, ALWAYS, at(0));
        assert_eq!(cooldown.until(at(0)), Some(at(30)));
    }

    #[test]
    fn without_any_time_it_backs_off_from_one_to_sixty_seconds() {
        let mut cooldown = Cooldown::default();
        let mut now = at(0);
        for wanted in [1, 2, 4, 8, 16, 32, 60, 60] {
            cooldown.throttled(None, USUAL, now);
            let until = cooldown.until(now).unwrap();
            assert_eq!(until.since(now), Duration::from_secs(wanted));
            now = until;
        }
        cooldown.served(now);
        cooldown.throttled(None, USUAL, now);
        assert_eq!(cooldown.until(now).unwrap().since(now), USUAL.0);
    }

    #[test]
    fn a_burst_of_refusals_counts_once_and_never_shortens_a_cooldown() {
        let mut cooldown = Cooldown::default();
        for _ in 0..10 {
            cooldown.throttled(None, USUAL, at(0));
        }
        assert_eq!(cooldown.until(at(0)), Some(at(1)));
        cooldown.throttled(Some(at(100)), USUAL, at(0));
        cooldown.throttled(Some(at(3)), USUAL, at(0));
        assert_eq!(cooldown.until(at(0)), Some(at(100)));
    }
}
