//! Spans of time as providers write them: `86ms`, `6m0s`, `2m59.56s`, `1 hour and 5 minutes`.

use std::time::Duration;

/// Nanoseconds of a millisecond …
const MILLI: u128 = 1_000_000;
/// … and of a second.
const SECOND: u128 = 1_000 * MILLI;
/// Digits after the point that count: nanoseconds of a second.
const FRACTION_DIGITS: usize = 9;

/// Units by name, with their nanoseconds. A word is a unit only as a whole: `86ms` are never
/// minutes, and `5 models` are none either.
const UNITS: &[(&[&str], u128)] = &[
    (&["ns"], 1),
    (&["us"], 1_000),
    (
        &["ms", "msec", "millis", "millisecond", "milliseconds"],
        MILLI,
    ),
    (&["s", "sec", "secs", "second", "seconds"], SECOND),
    (&["m", "min", "mins", "minute", "minutes"], 60 * SECOND),
    (&["h", "hr", "hrs", "hour", "hours"], 3_600 * SECOND),
    (&["d", "day", "days"], 86_400 * SECOND),
    (&["w", "week", "weeks"], 7 * 86_400 * SECOND),
];
/// Units outside ASCII. Nothing separates them from what follows, so the longer ones come first.
const OTHER_UNITS: &[(&str, u128)] = &[
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("毫秒", MILLI),
    ("秒", SECOND),
    ("分钟", 60 * SECOND),
    ("分", 60 * SECOND),
    ("个小时", 3_600 * SECOND),
    ("小时", 3_600 * SECOND),
    ("天", 86_400 * SECOND),
];

/// A decimal number that is not negative, in billionths: exact for everything that providers send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Number(u128);

impl Number {
    pub(super) const fn whole(number: u64) -> Self {
        Self(number as u128 * SECOND)
    }

    /// The number that `text` begins with, and what follows it.
    pub(super) fn leading(text: &str) -> Option<(Self, &str)> {
        let (whole, mut rest) = digits(text)?;
        let mut fraction = 0;
        if let Some((decimals, after)) = rest.strip_prefix('.').and_then(digits) {
            let kept = decimals.get(..FRACTION_DIGITS).unwrap_or(decimals);
            let scale = 10_u128.pow((FRACTION_DIGITS - kept.len()) as u32);
            fraction = kept.parse::<u128>().ok()? * scale;
            rest = after;
        }
        Some((
            Self(u128::from(whole.parse::<u64>().ok()?) * SECOND + fraction),
            rest,
        ))
    }

    /// So many of a unit that lasts so many nanoseconds.
    pub(super) fn times(self, unit: u128) -> Option<Duration> {
        let nanos = self.0.checked_mul(unit)? / SECOND;
        let seconds = u64::try_from(nanos / SECOND).ok()?;
        Some(Duration::new(seconds, (nanos % SECOND) as u32))
    }

    pub(super) fn seconds(self) -> Option<Duration> {
        self.times(SECOND)
    }

    pub(super) fn millis(self) -> Option<Duration> {
        self.times(MILLI)
    }
}

fn digits(text: &str) -> Option<(&str, &str)> {
    let length = text.bytes().take_while(u8::is_ascii_digit).count();
    (length > 0).then(|| text.split_at(length))
}

/// The unit that `text` begins with, in nanoseconds, and what follows it.
fn unit(text: &str) -> Option<(u128, &str)> {
    let letters = text.bytes().take_while(u8::is_ascii_alphabetic).count();
    let (word, rest) = text.split_at(letters);
    if word.is_empty() {
        return OTHER_UNITS
            .iter()
            .find_map(|(name, nanos)| Some((*nanos, text.strip_prefix(name)?)));
    }
    let named = |names: &[&str]| names.iter().any(|name| name.eq_ignore_ascii_case(word));
    let (_, nanos) = UNITS.iter().find(|(names, _)| named(names))?;
    Some((*nanos, rest))
}

/// The span that `text` begins with, and what follows it. Its units get smaller, so that of two
/// spans next to each other only the first is read.
pub(super) fn leading(text: &str) -> Option<(Duration, &str)> {
    let (mut total, mut last, mut rest) = part(text)?;
    while let Some((span, smaller, after)) = part(past_separator(rest)) {
        if smaller >= last {
            break;
        }
        total = total.checked_add(span)?;
        (last, rest) = (smaller, after);
    }
    Some((total, rest))
}

/// One number with its unit: the span, the unit, and what follows.
fn part(text: &str) -> Option<(Duration, u128, &str)> {
    let (number, rest) = Number::leading(text)?;
    let (unit, rest) = unit(rest.trim_start())?;
    Some((number.times(unit)?, unit, rest))
}

/// `1h 2m`, `1 hour, 2 minutes`, `1 hour and 2 minutes`.
fn past_separator(text: &str) -> &str {
    let text = text.trim_start_matches([' ', ',']);
    text.strip_prefix("and ").unwrap_or(text)
}

/// One of a unit, written without a number: `a minute`.
pub(super) fn one(text: &str) -> Option<Duration> {
    let (unit, _) = unit(text)?;
    Number::whole(1).times(unit)
}

/// A span, and nothing else: at least one number with a unit.
pub fn duration(text: &str) -> Option<Duration> {
    let (span, rest) = leading(text.trim())?;
    rest.is_empty().then_some(span)
}
