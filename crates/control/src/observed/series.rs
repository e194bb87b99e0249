//! How it went: minute by minute for an hour, hour by hour for a month.

use api_key_lb_core::Moment;
use api_key_lb_core::fact::Fact;
use serde::{Deserialize, Serialize};

use super::request::millis;
use super::sums::{has_failed, throttles};
use crate::store::Columns;

/// Milliseconds.
const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// Minutes that are kept.
const MINUTES: usize = 60;
/// Hours that are kept.
const HOURS: usize = 24 * 31;

/// What a chart is drawn over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// An hour, by minutes.
    Hour,
    /// A day, by hours.
    Day,
    /// A month, by days in UTC.
    Month,
}

impl Span {
    /// The one called so.
    pub fn of(word: &str) -> Option<Self> {
        match word {
            "1h" => Some(Self::Hour),
            "24h" => Some(Self::Day),
            "30d" => Some(Self::Month),
            _ => None,
        }
    }

    /// What it is called.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Hour => "1h",
            Self::Day => "24h",
            Self::Month => "30d",
        }
    }

    const fn step(self) -> u64 {
        match self {
            Self::Hour => MINUTE,
            Self::Day => HOUR,
            Self::Month => DAY,
        }
    }

    const fn steps(self) -> usize {
        match self {
            Self::Hour => 60,
            Self::Day => 24,
            Self::Month => 30,
        }
    }

    /// When its first step begins.
    fn from(self, now: Moment) -> u64 {
        let last = now.unix_millis() / self.step();
        last.saturating_sub(self.steps() as u64 - 1) * self.step()
    }
}

/// A chart: arrays of equal length, one place per step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Chart {
    /// `1h`, `24h` or `30d`.
    pub span: String,
    /// How long a step is.
    pub step_ms: u64,
    /// When the first one begins, in milliseconds since 1970.
    pub from: u64,
    /// The lines.
    pub series: Lines,
}

/// The lines of a chart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Lines {
    /// Requests.
    pub requests: Vec<u64>,
    /// Those that failed.
    pub errors: Vec<u64>,
    /// Attempts that were throttled.
    pub throttles: Vec<u64>,
    /// Tokens of prompts.
    pub prompt: Vec<u64>,
    /// Of these, from the cache.
    pub cached: Vec<u64>,
    /// Tokens generated.
    pub output: Vec<u64>,
    /// Milliseconds waited for accounts.
    pub waits_ms: Vec<u64>,
    /// Microseconds added to a request, on the average; null where nothing was measured.
    pub added_us: Vec<Option<u64>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Point {
    requests: u64,
    errors: u64,
    throttles: u64,
    prompt: u64,
    cached: u64,
    output: u64,
    waits_ms: u64,
    added_us: u64,
    measured: u64,
}

impl Point {
    const fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.errors += other.errors;
        self.throttles += other.throttles;
        self.prompt = self.prompt.saturating_add(other.prompt);
        self.cached = self.cached.saturating_add(other.cached);
        self.output = self.output.saturating_add(other.output);
        self.waits_ms = self.waits_ms.saturating_add(other.waits_ms);
        self.added_us = self.added_us.saturating_add(other.added_us);
        self.measured += other.measured;
    }

    fn of(fact: &Fact) -> Self {
        let usage = fact.usage.unwrap_or_default();
        let added = fact.added.map(|added| added.as_micros());
        Self {
            requests: 1,
            errors: u64::from(has_failed(fact)),
            throttles: throttles(fact),
            prompt: usage.prompt,
            cached: usage.cached,
            output: usage.output,
            waits_ms: millis(fact.waited),
            added_us: added.map_or(0, |added| u64::try_from(added).unwrap_or(u64::MAX)),
            measured: u64::from(added.is_some()),
        }
    }
}

/// The last so many steps; one that is over is overwritten by the one that takes its place.
#[derive(Debug)]
struct Ring {
    step: u64,
    points: Vec<(u64, Point)>,
}

impl Ring {
    fn new(step: u64, most: usize) -> Self {
        Self {
            step,
            points: vec![(0, Point::default()); most],
        }
    }

    fn add(&mut self, at: u64, point: &Point) {
        let step = at / self.step;
        let place = usize::try_from(step).unwrap_or(0) % self.points.len();
        if let Some((of, sum)) = self.points.get_mut(place) {
            if *of < step {
                (*of, *sum) = (step, Point::default());
            }
            // The clock was put back: what is there is newer.
            if *of == step {
                sum.add(point);
            }
        }
    }

    fn at(&self, step: u64) -> Option<&Point> {
        let place = usize::try_from(step).unwrap_or(0) % self.points.len();
        let (of, point) = self.points.get(place)?;
        (*of == step).then_some(point)
    }
}

/// All that is kept of it.
#[derive(Debug)]
pub(super) struct Series {
    minutes: Ring,
    hours: Ring,
}

impl Default for Series {
    fn default() -> Self {
        Self {
            minutes: Ring::new(MINUTE, MINUTES),
            hours: Ring::new(HOUR, HOURS),
        }
    }
}

impl Series {
    pub(super) fn add(&mut self, fact: &Fact) {
        let (point, ended) = (Point::of(fact), fact.began.after(fact.took).unix_millis());
        self.minutes.add(ended, &point);
        self.hours.add(ended, &point);
    }

    pub(super) fn chart(&self, span: Span, now: Moment) -> Chart {
        let ring = match span {
            Span::Hour => &self.minutes,
            Span::Day | Span::Month => &self.hours,
        };
        let (from, step) = (span.from(now), span.step());
        let per_step = step / ring.step;
        let mut lines = Lines::default();
        for at in 0..span.steps() as u64 {
            let mut sum = Point::default();
            let first = (from + at * step) / ring.step;
            let points = (first..first + per_step).filter_map(|step| ring.at(step));
            points.for_each(|point| sum.add(point));
            lines.push(&sum);
        }
        Chart {
            span: span.word().to_owned(),
            step_ms: step,
            from,
            series: lines,
        }
    }
}

impl Lines {
    fn push(&mut self, point: &Point) {
        self.requests.push(point.requests);
        self.errors.push(point.errors);
        self.throttles.push(point.throttles);
        self.prompt.push(point.prompt);
        self.cached.push(point.cached);
        self.output.push(point.output);
        self.waits_ms.push(point.waits_ms);
        self.added_us
            .push(point.added_us.checked_div(point.measured));
    }
}

impl Chart {
    /// Takes what was written down in place of what this process has seen, which may have begun
    /// yesterday. How much was added is not written down.
    pub fn fill(&mut self, stored: Columns) {
        if stored.requests.len() != self.series.requests.len() {
            return;
        }
        self.series = Lines {
            requests: stored.requests,
            errors: stored.errors,
            throttles: stored.throttles,
            prompt: stored.prompt,
            cached: stored.cached,
            output: stored.output,
            waits_ms: stored.waits_ms,
            added_us: std::mem::take(&mut self.series.added_us),
        };
    }
}
