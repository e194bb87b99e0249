//! When a limit is over: every way in which providers say it.
//!
//! What is not in the future, or more than a month ahead, counts as nothing said.

mod date;
mod prose;
mod span;
#[cfg(test)]
mod tests;

use std::time::Duration;

use http::HeaderMap;
use http::header::RETRY_AFTER;

use super::limits;
use crate::headroom::Axis;
use crate::moment::Moment;
use crate::provider::{Provider, Quirk};
use span::Number;

pub use date::{midnight, pacific_midnight};
pub use span::duration;

/// No provider limit lasts longer than a month; a longer time is a mistake.
pub const LONGEST: Duration = Duration::from_secs(31 * 24 * 3600);
/// What a provider whose zeros are nothing sends instead of a time, at most.
const NOTHING: Duration = Duration::from_secs(1);
/// A bare number from here on is a moment in seconds since the epoch …
const EPOCH_SECONDS: Number = Number::whole(1_000_000_000);
/// … and from here on one in milliseconds.
const EPOCH_MILLIS: Number = Number::whole(1_000_000_000_000);

/// What the headers of a refusal say: what they ask for, else when what is used up is there again.
pub fn of_headers(headers: &HeaderMap, provider: &Provider, now: Moment) -> Option<Moment> {
    asked(headers, provider, now).or_else(|| of_limits(headers, provider, now))
}

/// What `retry-after-ms` or `retry-after` ask for.
pub fn asked(headers: &HeaderMap, provider: &Provider, now: Moment) -> Option<Moment> {
    let moment = retry_after(headers, now)?;
    // An explicit number of milliseconds is meant, however small; one second is not.
    if has(provider, Quirk::ZerosAreNothing)
        && moment.since(now) <= NOTHING
        && millis(headers, now) != Some(moment)
    {
        return None;
    }
    Some(moment)
}

/// When the last limit that is used up has something again, as far as limit headers say.
///
/// Limits that are not used up do not count: their reset is when they are full.
pub fn of_limits(headers: &HeaderMap, provider: &Provider, now: Moment) -> Option<Moment> {
    let buckets = limits::read(headers, provider, now);
    let last = |windows: bool| {
        buckets
            .iter()
            .filter(|bucket| bucket.remaining == 0 && (bucket.axis == Axis::Window) == windows)
            .filter_map(|bucket| bucket.reset)
            .max()
    };
    last(false).or_else(|| last(true)).or_else(|| {
        has(provider, Quirk::ZerosAreNothing)
            .then(|| limits::renewal(headers, now))
            .flatten()
    })
}

/// What `retry-after-ms`, else `retry-after` ask for, whoever sent them.
pub fn retry_after(headers: &HeaderMap, now: Moment) -> Option<Moment> {
    millis(headers, now).or_else(|| moment(text(headers, RETRY_AFTER.as_str())?, 0, now))
}

fn millis(headers: &HeaderMap, now: Moment) -> Option<Moment> {
    let text = text(headers, "retry-after-ms")?.trim();
    let wait = match Number::leading(text)? {
        (number, "") => number.millis(),
        _ => duration(text),
    };
    credible(now.after(wait?), now)
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

pub(super) fn has(provider: &Provider, quirk: Quirk) -> bool {
    provider.quirks.contains(&quirk)
}

/// What a field of an error body says; `name` in lower case, `value` as it stood there.
///
/// The name may be a path, and its last part that of a header. A header about one limit says
/// nothing here, since nothing tells whether it is that limit which is used up.
pub fn of_field(name: &str, value: &str, provider: &Provider, now: Moment) -> Option<Moment> {
    let name = name.rsplit('.').next().unwrap_or(name);
    let is_of_one_limit = name.starts_with("x-") && name != "x-ratelimit-reset"
        || name.starts_with("anthropic-")
        || name == "x-ratelimit-reset" && has(provider, Quirk::ResetIsFull);
    if is_of_one_limit || !(name.contains("reset") || name.contains("retry")) {
        return None;
    }
    let value = unquoted(value);
    match Number::leading(value) {
        Some((number, "")) => {
            let ends = |units: &[&str]| units.iter().any(|unit| name.ends_with(unit));
            let wait = if number >= EPOCH_SECONDS {
                return credible(of_number(number, now)?, now);
            } else if ends(&["ms", "millis", "milliseconds"]) {
                number.millis()
            } else {
                number.seconds()
            };
            credible(now.after(wait?), now)
        }
        _ => moment(value, provider.zone, now),
    }
}

/// What the message of an error says in words.
pub fn of_message(message: &str, provider: &Provider, now: Moment) -> Option<Moment> {
    prose::find(message, provider.zone, now)
}

/// What one value says: a bare number, a span or a date; `zone` if a date names none, in hours
/// east of UTC.
pub fn moment(text: &str, zone: i8, now: Moment) -> Option<Moment> {
    let text = unquoted(text);
    let moment = match Number::leading(text) {
        Some((number, "")) => of_number(number, now)?,
        _ => match duration(text) {
            Some(span) => now.after(span),
            None => date::whole(text, zone)?,
        },
    };
    credible(moment, now)
}

/// What a moment in milliseconds since the epoch says, however small the number.
pub(super) fn epoch_millis(text: &str, now: Moment) -> Option<Moment> {
    match Number::leading(unquoted(text))? {
        (number, "") => credible(Moment::default().after(number.millis()?), now),
        _ => None,
    }
}

fn unquoted(text: &str) -> &str {
    text.trim_matches(|end: char| end.is_whitespace() || end == '"')
}

/// What a bare number says, by its size.
fn of_number(number: Number, now: Moment) -> Option<Moment> {
    let epoch = Moment::default();
    Some(if number >= EPOCH_MILLIS {
        epoch.after(number.millis()?)
    } else if number >= EPOCH_SECONDS {
        epoch.after(number.seconds()?)
    } else {
        now.after(number.seconds()?)
    })
}

/// A moment that can be meant: in the future, but not too far.
fn credible(moment: Moment, now: Moment) -> Option<Moment> {
    let wait = moment.since(now);
    (!wait.is_zero() && wait <= LONGEST).then_some(moment)
}
