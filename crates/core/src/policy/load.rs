//! What an account bears: requests that run, tokens of late, and how many requests it takes at once.

use std::cmp::Ordering;
use std::time::Duration;

use super::memory::AccountRow;
use crate::moment::Moment;

/// Time after which tokens count half. Several times the minute by which providers count, so that
/// what one large conversation has put on an account is evened out by where the next ones begin.
const HALF_LIFE: Duration = Duration::from_secs(300);
/// What is kept of the requests at once when an account refuses one more: multiplicative decrease,
/// gentle because one refusal may be another client's doing.
const DECREASE: f32 = 0.7;
/// How long what was refused is not tried again. Each probe costs a refusal and a pause; limits of
/// subscriptions change by the hour.
const PROBE_EVERY: Duration = Duration::from_secs(60);
/// Beyond so many requests at once a learned bound is no bound any more, and is forgotten.
const FORGET_ABOVE: f32 = 256.0;
/// Weight of the newest time to the first byte in their average (1 in 8, as TCP's round trips).
const FIRST_BYTE_WEIGHT: f32 = 0.125;

/// The load of one account.
#[derive(Debug, Default)]
pub(super) struct Load {
    /// Requests that run.
    pub(super) running: u32,
    /// Tokens of those.
    running_tokens: u64,
    /// Tokens of those that have ended, halved every [`HALF_LIFE`] since `counted`.
    recent: f64,
    counted: Moment,
    /// Requests that it takes at once, as far as its refusals have shown.
    most: Option<f32>,
    /// What it last refused, and when: that many at once are not tried again for a while.
    refused: Option<(f32, Moment)>,
    /// Average time to the first byte of its answers, in milliseconds.
    first_byte: Option<f32>,
}

impl Load {
    /// A request of `tokens` begins.
    pub(super) fn begins(&mut self, tokens: u64) {
        self.running += 1;
        self.running_tokens += tokens;
    }

    /// One that began with `tokens` is over; it came to `spent`.
    pub(super) fn ends(&mut self, tokens: u64, spent: u64, now: Moment) {
        self.running = self.running.saturating_sub(1);
        self.running_tokens = self.running_tokens.saturating_sub(tokens);
        self.recent = self.recent_at(now) + spent as f64;
        self.counted = now;
    }

    /// Tokens of now and of late.
    pub(super) fn tokens(&self, now: Moment) -> f64 {
        self.recent_at(now) + self.running_tokens as f64
    }

    fn recent_at(&self, now: Moment) -> f64 {
        if self.recent < 1.0 {
            return 0.0;
        }
        let halves = now.since(self.counted).as_secs_f64() / HALF_LIFE.as_secs_f64();
        self.recent * (-halves).exp2()
    }

    /// Too many ran at once.
    pub(super) fn too_many(&mut self, now: Moment) {
        self.refused = Some((self.running as f32, now));
        let bound = self
            .most
            .map_or(self.running as f32, |most| most.min(self.running as f32));
        self.most = Some((bound * DECREASE).max(1.0));
    }

    /// It must be asked one request at a time for now.
    pub(super) fn one_at_a_time(&mut self) {
        self.most = Some(1.0);
    }

    /// It served a request: additive increase, by one for each round of what it takes.
    pub(super) fn served(&mut self, first_byte: Duration, now: Moment) {
        if let Some(most) = &mut self.most {
            let below = self
                .refused
                .filter(|(_, at)| now.since(*at) <= PROBE_EVERY)
                .map_or(f32::INFINITY, |(refused, _)| (refused - 1.0).max(1.0));
            *most = (*most + most.recip()).min(below.max(*most));
            if *most > FORGET_ABOVE {
                self.most = None;
            }
        }
        let took = first_byte.as_secs_f32() * 1000.0;
        let known = self.first_byte.get_or_insert(took);
        *known += (took - *known) * FIRST_BYTE_WEIGHT;
    }

    /// How many requests it takes at once, if that has been learned.
    pub(super) fn most(&self) -> Option<u32> {
        // What has grown beyond a whole number is not yet one more.
        self.most.map(|most| most as u32)
    }

    /// Slots that are free; `None` if nothing is known of a bound.
    pub(super) fn free(&self) -> Option<u32> {
        self.most().map(|most| most.saturating_sub(self.running))
    }

    /// The usual time to the first byte of an answer.
    pub(super) fn first_byte(&self) -> Option<Duration> {
        let millis = self.first_byte?;
        Some(Duration::from_secs_f32(millis.max(0.0) / 1000.0))
    }

    /// As it is remembered, into `row`. What runs does not outlive the process.
    pub(super) const fn note(&self, row: &mut AccountRow) {
        row.at_once = self.most;
        row.refused_at_once = self.refused;
        row.first_byte = self.first_byte;
        row.recent = (self.recent, self.counted);
    }

    pub(super) fn of_row(row: &AccountRow) -> Self {
        let (recent, counted) = row.recent;
        Self {
            recent: if recent.is_finite() {
                recent.max(0.0)
            } else {
                0.0
            },
            counted,
            most: row.at_once.filter(|most| *most >= 1.0),
            refused: row.refused_at_once,
            first_byte: row.first_byte.filter(|millis| millis.is_finite()),
            ..Self::default()
        }
    }

    /// Takes over what another process knows of it, which may be much the same; whether anything is
    /// new. What it has running is not over yet.
    pub(super) fn join(&mut self, other: &Self, now: Moment) -> bool {
        let mut is_new = false;
        if other.recent_at(now) > self.recent_at(now) {
            (self.recent, self.counted, is_new) = (other.recent, other.counted, true);
        }
        let when = |load: &Self| load.refused.map(|(_, at)| at);
        let (most, refused) = (self.most, self.refused);
        match when(other).cmp(&when(self)) {
            Ordering::Less => {}
            Ordering::Equal => {
                let both = self.most.zip(other.most);
                self.most = both.map_or(self.most.or(other.most), |(one, two)| Some(one.min(two)));
            }
            Ordering::Greater => (self.most, self.refused) = (other.most, other.refused),
        }
        is_new |= (most, refused) != (self.most, self.refused);
        is_new |= self.first_byte.is_none() && other.first_byte.is_some();
        self.first_byte = self.first_byte.or(other.first_byte);
        is_new
    }

    /// Takes over what another load was.
    pub(super) fn merge(&mut self, other: Self, now: Moment) {
        self.recent = self.recent_at(now) + other.recent_at(now);
        self.counted = now;
        self.running += other.running;
        self.running_tokens += other.running_tokens;
        self.most = match (self.most, other.most) {
            (Some(one), Some(two)) => Some(one.min(two)),
            (one, two) => one.or(two),
        };
        self.first_byte = self.first_byte.or(other.first_byte);
    }
}
#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::from_unix_millis(1_790_000_000_000 + seconds * 1000)
    }

    #[test]
    fn tokens_count_while_they_run_and_half_as_much_after_each_half_life() {
        let mut load = Load::default();
        load.begins(1_000);
        assert_eq!(load.tokens(at(0)) as u64, 1_000);
        load.ends(1_000, 1_500, at(0));
        assert_eq!(load.tokens(at(0)) as u64, 1_500);
        assert_eq!(load.tokens(at(300)) as u64, 750);
        load.begins(0);
        load.ends(0, 250, at(300));
        assert_eq!(load.tokens(at(600)) as u64, 500);
    }

    #[test]
    fn a_refusal_takes_three_tenths_and_each_round_of_answers_gives_one_back() {
        let mut load = Load::default();
        for _ in 0..10 {
            load.begins(1);
        }
        assert_eq!((load.most(), load.free()), (None, None));
        load.too_many(at(0));
        assert_eq!((load.most(), load.free()), (Some(7), Some(0)));
        for _ in 0..5 {
            load.ends(1, 1, at(0));
        }
        assert_eq!(load.free(), Some(2));
        for _ in 0..8 {
            load.served(Duration::from_millis(10), at(0));
        }
        assert_eq!(load.most(), Some(8));
        load.one_at_a_time();
        assert_eq!(load.most(), Some(1));
    }

    #[test]
    fn a_bound_that_has_not_been_met_for_long_is_forgotten() {
        let mut load = Load::default();
        load.begins(1);
        load.too_many(at(0));
        assert_eq!(load.most(), Some(1));
        let mut answers = 0_u32;
        while load.most().is_some() {
            load.served(Duration::ZERO, at(100));
            answers += 1;
            assert!(answers < 100_000);
        }
    }
}
