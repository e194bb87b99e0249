//! When an account or key may be used again.

use std::time::Duration;

use super::memory::CooldownRow;
use crate::fact::ModelId;
use crate::moment::Moment;
use crate::verdict::Matter;

/// Requests that may run at once after a cooldown, until one of them is served: a probe. Each one
/// that is served then doubles it …
const PROBES: u32 = 1;
/// … up to here, where there is nothing left to be careful about.
const RECOVERED: u32 = 32;
/// Nor is there so long after the cooldown.
const RECOVERY: Duration = Duration::from_secs(60);
/// For how long others come before an account whose requests fail, at first …
const AILING_FIRST: Duration = Duration::from_secs(1);
/// … and at the longest, so that one that works again is found soon.
const AILING_LONGEST: Duration = Duration::from_secs(30);
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
    /// What it was throttled for last.
    why: Option<Matter>,
    recovery: Option<Recovery>,
}

/// What comes after a cooldown: the provider refused more of what it had before.
#[derive(Clone, Copy, Debug)]
struct Recovery {
    /// Requests that may be out at once …
    allowed: u32,
    /// … and those that are, not judged yet.
    out: u32,
}

impl Cooldown {
    /// What it cools for.
    pub(super) const fn why(&self) -> Option<Matter> {
        self.why
    }

    /// How many requests may begin now while it recovers; `None` if it does not.
    pub(super) fn free(&self, now: Moment) -> Option<u32> {
        let recovery = self.recovering(now)?;
        Some(recovery.allowed.saturating_sub(recovery.out))
    }

    fn recovering(&self, now: Moment) -> Option<Recovery> {
        let ended = self.last_until.filter(|until| *until <= now)?;
        self.recovery.filter(|_| now.since(ended) <= RECOVERY)
    }

    /// A request begins; whether it is one of those that its recovery counts.
    pub(super) fn begins(&mut self, now: Moment) -> bool {
        if self.recovering(now).is_none() {
            return false;
        }
        if let Some(recovery) = &mut self.recovery {
            recovery.out += 1;
        }
        true
    }

    /// One that its recovery counts has been judged, or is over.
    pub(super) fn settled(&mut self, served: bool) {
        let Some(recovery) = &mut self.recovery else {
            return;
        };
        recovery.out = recovery.out.saturating_sub(1);
        if served {
            recovery.allowed *= 2;
            if recovery.allowed >= RECOVERED {
                self.recovery = None;
            }
        }
    }

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
    pub(super) fn throttled(
        &mut self,
        why: Matter,
        until: Option<Moment>,
        usual: Usual,
        now: Moment,
    ) {
        if !self.is_cooling(now) {
            self.streak = self.streak.saturating_add(1);
            let out = self.recovery.map_or(0, |recovery| recovery.out);
            self.recovery = Some(Recovery {
                allowed: PROBES,
                out,
            });
        }
        self.why = Some(why);
        let until = until.unwrap_or_else(|| now.after(backoff(usual.0, self.streak, usual.1)));
        self.until = self.until.max(until);
        self.last_until = Some(self.until);
    }

    /// Whether more load would soon be refused: it cools, or has done so within the last minute.
    pub(super) fn is_near_limit(&self, now: Moment) -> bool {
        self.last_until
            .is_some_and(|until| now <= until.after(NEAR_LIMIT))
    }

    /// As it is remembered. Requests that are out do not outlive the process.
    pub(super) fn row(&self, model: Option<ModelId>) -> CooldownRow {
        CooldownRow {
            model,
            until: self.until,
            last_until: self.last_until,
            streak: self.streak,
            why: self.why,
            recovers_with: self.recovery.map(|recovery| recovery.allowed),
        }
    }

    pub(super) fn of_row(row: &CooldownRow) -> Self {
        let allowed = row.recovers_with.filter(|allowed| *allowed > 0);
        Self {
            until: row.until,
            last_until: row.last_until,
            streak: row.streak,
            why: row.why,
            recovery: allowed.map(|allowed| Recovery { allowed, out: 0 }),
        }
    }

    /// When its last cooldown ends or ended.
    pub(super) const fn last_until(&self) -> Option<Moment> {
        self.last_until
    }

    /// Takes over what another process knows of it, if that is of a later throttle; whether it is.
    pub(super) fn join(&mut self, other: Self) -> bool {
        let is_later = other.last_until > self.last_until;
        if is_later {
            let out = self.recovery.map_or(0, |recovery| recovery.out);
            *self = Self {
                until: self.until.max(other.until),
                recovery: other.recovery.map(|known| Recovery { out, ..known }),
                ..other
            };
        }
        is_later
    }

    /// Whichever lasts longer.
    pub(super) fn merge(&mut self, other: Self) {
        self.until = self.until.max(other.until);
        self.last_until = self.last_until.max(other.last_until);
        self.streak = self.streak.max(other.streak);
        self.why = other.why.or(self.why);
        self.recovery = other.recovery.or(self.recovery);
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

    /// As it is remembered: until when, and how often in a row.
    pub(super) const fn row(&self) -> (Moment, u32) {
        (self.until, self.streak)
    }

    pub(super) const fn of_row((until, streak): (Moment, u32)) -> Self {
        Self { until, streak }
    }

    pub(super) fn again(&mut self, first: Duration, longest: Duration, now: Moment) {
        if !self.is_in_force(now) {
            self.streak = self.streak.saturating_add(1);
            self.until = now.after(backoff(first, self.streak, longest));
        }
    }
}

/// An account whose requests fail for no reason of theirs: the network, a 5xx.
#[derive(Debug, Default)]
pub(super) struct Ailing {
    /// Failures in a row.
    streak: u32,
    until: Moment,
}

impl Ailing {
    /// Whether others come first.
    pub(super) fn is_in_force(&self, now: Moment) -> bool {
        self.until > now
    }

    /// One failed. The first time means nothing: it may have been the only one.
    pub(super) fn failed(&mut self, now: Moment) {
        self.streak = self.streak.saturating_add(1);
        if self.streak > 1 {
            self.until = now.after(backoff(AILING_FIRST, self.streak - 1, AILING_LONGEST));
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
        cooldown.throttled(Matter::AccountRate, Some(at(5)), ALWAYS, at(0));
        assert_eq!(cooldown.until(at(4)), Some(at(5)));
        assert!(!cooldown.is_cooling(at(5)));
    }

    #[test]
    fn the_configured_time_is_used_when_the_provider_names_none() {
        let mut cooldown = Cooldown::default();
        cooldown.throttled(Matter::AccountRate, None, ALWAYS, at(0));
        assert_eq!(cooldown.until(at(0)), Some(at(30)));
    }

    #[test]
    fn without_any_time_it_backs_off_from_one_to_sixty_seconds() {
        let mut cooldown = Cooldown::default();
        let mut now = at(0);
        for wanted in [1, 2, 4, 8, 16, 32, 60, 60] {
            cooldown.throttled(Matter::AccountRate, None, USUAL, now);
            let until = cooldown.until(now).unwrap();
            assert_eq!(until.since(now), Duration::from_secs(wanted));
            now = until;
        }
        cooldown.served(now);
        cooldown.throttled(Matter::AccountRate, None, USUAL, now);
        assert_eq!(cooldown.until(now).unwrap().since(now), USUAL.0);
    }

    #[test]
    fn a_burst_of_refusals_counts_once_and_never_shortens_a_cooldown() {
        let mut cooldown = Cooldown::default();
        for _ in 0..10 {
            cooldown.throttled(Matter::AccountRate, None, USUAL, at(0));
        }
        assert_eq!(cooldown.until(at(0)), Some(at(1)));
        cooldown.throttled(Matter::AccountRate, Some(at(100)), USUAL, at(0));
        cooldown.throttled(Matter::AccountRate, Some(at(3)), USUAL, at(0));
        assert_eq!(cooldown.until(at(0)), Some(at(100)));
    }
}
