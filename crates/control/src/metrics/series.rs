//! Numbers by their labels. Labels are kept once, as numbers themselves, so that counting a request
//! makes no text.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::table::{Kind, Metric};

/// The most labels of a metric.
const WIDTH: usize = 5;
/// The most different values of labels: keys and pools of many configurations, and the models. What
/// comes then is [`OTHER`].
const MOST: usize = 4096;
/// What there is no room for.
const OTHER: &str = "other";

/// A table whose keys nobody chooses who wants to harm it: labels of the configuration, words of ours, and
/// few models.
type Quick<K, V> = HashMap<K, V, BuildHasherDefault<Multiplying>>;

/// Hashes some numbers and short texts in a few cycles each, as rustc does.
#[derive(Debug, Default)]
struct Multiplying(u64);

impl Multiplying {
    const fn mix(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

impl Hasher for Multiplying {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.mix(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        if let Some(place) = last.get_mut(..rest.len()) {
            place.copy_from_slice(rest);
            self.mix(u64::from_le_bytes(last));
        }
    }

    fn write_u32(&mut self, number: u32) {
        self.mix(number.into());
    }

    fn write_usize(&mut self, number: usize) {
        self.mix(number as u64);
    }

    fn finish(&self) -> u64 {
        // The table looks at the upper and at the lower bits.
        self.0.rotate_left(26)
    }
}

/// A value of a label.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Symbol(u32);

/// Values of labels, each once. The first is the empty one.
#[derive(Debug)]
pub(super) struct Symbols {
    known: Quick<Box<str>, Symbol>,
    texts: Vec<Box<str>>,
}

impl Default for Symbols {
    fn default() -> Self {
        let mut symbols = Self {
            known: Quick::default(),
            texts: Vec::new(),
        };
        symbols.of("");
        symbols
    }
}

impl Symbols {
    /// The one for `text`.
    pub(super) fn of(&mut self, text: &str) -> Symbol {
        if let Some(known) = self.known.get(text) {
            return *known;
        }
        let text = if self.texts.len() < MOST { text } else { OTHER };
        if let Some(known) = self.known.get(text) {
            return *known;
        }
        let symbol = Symbol(u32::try_from(self.texts.len()).unwrap_or_default());
        self.known.insert(text.into(), symbol);
        self.texts.push(text.into());
        symbol
    }

    /// What there is no room for, or what may not be named.
    pub(super) fn other(&mut self) -> Symbol {
        self.of(OTHER)
    }

    fn text(&self, symbol: Symbol) -> &str {
        usize::try_from(symbol.0)
            .ok()
            .and_then(|at| self.texts.get(at))
            .map_or("", |text| text)
    }
}

/// Counters of one metric.
#[derive(Debug, Default)]
pub(super) struct Counter(Quick<[Symbol; WIDTH], f64>);

impl Counter {
    pub(super) fn add<const N: usize>(&mut self, labels: [Symbol; N], more: f64) {
        *self.0.entry(wide(labels)).or_default() += more;
    }
}

/// Distributions of one metric.
#[derive(Debug)]
pub(super) struct Histogram {
    ends: &'static [f64],
    series: Quick<[Symbol; WIDTH], Distribution>,
}

/// How often a value was how large.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Distribution {
    /// How many were at most as large as the end of that number, and larger than the one before; one
    /// more than there are ends.
    pub counts: Vec<u64>,
    /// All together.
    pub sum: f64,
}

impl Distribution {
    /// One more of them.
    pub fn add(&mut self, ends: &[f64], value: f64) {
        if self.counts.is_empty() {
            self.counts = vec![0; ends.len() + 1];
        }
        let at = ends.partition_point(|end| *end < value);
        if let Some(count) = self.counts.get_mut(at) {
            *count += 1;
        }
        self.sum += value;
    }
}

impl Histogram {
    pub(super) fn new(metric: &'static Metric) -> Self {
        let ends = match metric.kind {
            Kind::Histogram(ends) => ends,
            Kind::Counter | Kind::Gauge => &[],
        };
        Self {
            ends,
            series: Quick::default(),
        }
    }

    pub(super) fn add<const N: usize>(&mut self, labels: [Symbol; N], value: f64) {
        let series = self.series.entry(wide(labels)).or_default();
        series.add(self.ends, value);
    }
}

fn wide<const N: usize>(labels: [Symbol; N]) -> [Symbol; WIDTH] {
    const { assert!(N <= WIDTH) };
    let mut wide = [Symbol::default(); WIDTH];
    wide[..N].copy_from_slice(&labels);
    wide
}

/// A metric with all its numbers.
#[derive(Debug)]
pub struct Family {
    /// Which one.
    pub metric: &'static Metric,
    /// Its numbers, by the values of its labels, sorted by these.
    pub points: Vec<(Vec<Cow<'static, str>>, Number)>,
}

/// A number.
#[derive(Clone, Debug, PartialEq)]
pub enum Number {
    /// Of a counter or a gauge.
    One(f64),
    /// Of a histogram.
    Many(Distribution),
}

impl Family {
    /// As given.
    pub(super) fn of(
        metric: &'static Metric,
        points: impl IntoIterator<Item = (Vec<Cow<'static, str>>, f64)>,
    ) -> Self {
        let points = points.into_iter();
        Self {
            metric,
            points: points
                .map(|(labels, value)| (labels, Number::One(value)))
                .collect(),
        }
    }

    /// One number without labels, if there is one.
    pub(super) fn single(metric: &'static Metric, value: Option<f64>) -> Self {
        Self::of(metric, value.map(|value| (Vec::new(), value)))
    }

    pub(super) fn counted(metric: &'static Metric, counter: &Counter, symbols: &Symbols) -> Self {
        let points = counter
            .0
            .iter()
            .map(|(labels, count)| (texts(metric, labels, symbols), Number::One(*count)));
        Self::sorted(metric, points.collect())
    }

    pub(super) fn distributed(
        metric: &'static Metric,
        histogram: &Histogram,
        symbols: &Symbols,
    ) -> Self {
        let points = histogram
            .series
            .iter()
            .map(|(labels, series)| (texts(metric, labels, symbols), Number::Many(series.clone())));
        Self::sorted(metric, points.collect())
    }

    fn sorted(metric: &'static Metric, mut points: Vec<(Vec<Cow<'static, str>>, Number)>) -> Self {
        points.sort_by(|(one, _), (other, _)| one.cmp(other));
        Self { metric, points }
    }
}

fn texts(metric: &Metric, labels: &[Symbol; WIDTH], symbols: &Symbols) -> Vec<Cow<'static, str>> {
    let labels = labels.iter().take(metric.labels.len());
    labels
        .map(|label| Cow::Owned(symbols.text(*label).to_owned()))
        .collect()
}
