//! Dates as providers write them: RFC 3339, HTTP dates, and in prose without a zone.

use std::time::UNIX_EPOCH;

use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::{Offset, TimeZone};

use crate::moment::Moment;

/// Milliseconds of an hour …
const HOUR: i128 = 3_600_000;
/// … and of a day in a zone without summer time.
const DAY: i128 = 24 * HOUR;
/// No zone is farther from UTC, in hours: what looks like more is something else.
const FARTHEST_ZONE: i32 = 14;
/// An HTTP date in the form that is sent today: `Sun, 06 Nov 1994 08:49:37 GMT`, in bytes.
const HTTP_DATE: usize = 29;
/// The American west coast since 2007: from the second Sunday of March to the first of November,
/// each at 2:00, it is one hour later. As a rule, since many machines have no zone database.
const PACIFIC: &str = "PST8PDT,M3.2.0,M11.1.0";
/// The winter time of the American west coast, in hours east of UTC.
const PACIFIC_STANDARD: i8 = -8;

/// A date, and nothing else; `zone` if it names none, in hours east of UTC.
pub(super) fn whole(text: &str, zone: i8) -> Option<Moment> {
    match leading(text, zone) {
        Some((moment, "")) => Some(moment),
        Some(_) => None,
        None => http(text),
    }
}

/// The date that `text` begins with, and what follows it.
pub(super) fn leading(text: &str, zone: i8) -> Option<(Moment, &str)> {
    let Some((date, rest)) = day(text) else {
        return Some((http(text.get(..HTTP_DATE)?)?, text.get(HTTP_DATE..)?));
    };
    let (time, rest) = time(rest).unwrap_or((Time::midnight(), rest));
    let (offset, rest) =
        offset(rest).unwrap_or((Offset::from_hours(zone).unwrap_or(Offset::UTC), rest));
    let moment = offset.to_timestamp(date.to_datetime(time)).ok()?;
    Some((rounded_up(moment)?, rest))
}

/// `2026-05-04`
fn day(text: &str) -> Option<(Date, &str)> {
    let (year, rest) = digits(text, 4, 4)?;
    let (month, rest) = digits(rest.strip_prefix(['-', '/'])?, 1, 2)?;
    let (day, rest) = digits(rest.strip_prefix(['-', '/'])?, 1, 2)?;
    let date = Date::new(
        year.try_into().ok()?,
        month.try_into().ok()?,
        day.try_into().ok()?,
    );
    Some((date.ok()?, rest))
}

/// `T12:34:56.789`, ` 12:34:56`, ` at 12:34`
fn time(text: &str) -> Option<(Time, &str)> {
    let text = text
        .strip_prefix(['T', 't'])
        .or_else(|| text.trim_start().strip_prefix("at "))
        .unwrap_or(text)
        .trim_start();
    let length = text
        .bytes()
        .take_while(|byte| byte.is_ascii_digit() || matches!(byte, b':' | b'.'))
        .count();
    // The full stop of the sentence is not part of it.
    let written = text.get(..length)?.trim_end_matches(['.', ':']);
    if !written.contains(':') {
        return None;
    }
    Some((written.parse().ok()?, text.get(written.len()..)?))
}

/// `Z`, `+08:00`, ` -0700`, ` UTC`, ` (GMT+8)`
fn offset(text: &str) -> Option<(Offset, &str)> {
    let text = text.trim_start_matches([' ', '(']);
    if let Some(rest) = text.strip_prefix(['Z', 'z']) {
        return ends_word(rest).then_some((Offset::UTC, rest));
    }
    let word = text.get(..3).unwrap_or_default();
    if ["utc", "gmt"]
        .iter()
        .any(|name| word.eq_ignore_ascii_case(name))
    {
        let rest = text.get(3..)?;
        return match signed(rest, 1) {
            Some((offset, rest)) => Some((offset, rest.strip_prefix(')').unwrap_or(rest))),
            None => ends_word(rest).then(|| (Offset::UTC, rest.strip_prefix(')').unwrap_or(rest))),
        };
    }
    signed(text, 2)
}

/// `+8` if so few digits will do, `+08`, `+0800`, `+08:00`
fn signed(text: &str, fewest_digits: usize) -> Option<(Offset, &str)> {
    let sign = match text.bytes().next()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, rest) = digits(text.get(1..)?, fewest_digits, 2)?;
    let after_colon = rest.strip_prefix(':').unwrap_or(rest);
    let (minutes, rest) = digits(after_colon, 2, 2).unwrap_or((0, rest));
    if hours > FARTHEST_ZONE || minutes > 59 {
        return None;
    }
    let offset = Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok()?;
    Some((offset, rest))
}

/// A number of so many digits.
fn digits(text: &str, fewest: usize, most: usize) -> Option<(i32, &str)> {
    let length = text
        .bytes()
        .take(most)
        .take_while(u8::is_ascii_digit)
        .count();
    if length < fewest {
        return None;
    }
    Some((text.get(..length)?.parse().ok()?, text.get(length..)?))
}

fn ends_word(rest: &str) -> bool {
    !rest.starts_with(|next: char| next.is_alphanumeric())
}

fn http(text: &str) -> Option<Moment> {
    let date = httpdate::parse_http_date(text).ok()?;
    let since_epoch = date.duration_since(UNIX_EPOCH).ok()?;
    Some(Moment::default().after(since_epoch))
}

/// Rounded up to the millisecond, so that a wait is never cut short.
fn rounded_up(timestamp: Timestamp) -> Option<Moment> {
    let nanos = u64::try_from(timestamp.as_nanosecond()).ok()?;
    Some(Moment::from_unix_millis(nanos.div_ceil(1_000_000)))
}

/// The next midnight in the zone so many hours east of UTC.
pub fn midnight(zone: i8, now: Moment) -> Moment {
    let shift = i128::from(zone) * HOUR;
    let day = (i128::from(now.unix_millis()) + shift).div_euclid(DAY);
    let next = (day + 1) * DAY - shift;
    Moment::from_unix_millis(u64::try_from(next).unwrap_or(u64::MAX))
}

/// The next midnight of the American west coast.
pub fn pacific_midnight(now: Moment) -> Moment {
    // Beyond the years that have dates any midnight will do.
    in_zone(PACIFIC, now).unwrap_or_else(|| midnight(PACIFIC_STANDARD, now))
}

fn in_zone(rule: &str, now: Moment) -> Option<Moment> {
    let zone = TimeZone::posix(rule).ok()?;
    let millis = i64::try_from(now.unix_millis()).ok()?;
    let today = Timestamp::from_millisecond(millis)
        .ok()?
        .to_zoned(zone.clone())
        .date();
    let next = today.tomorrow().ok()?.to_zoned(zone).ok()?;
    rounded_up(next.timestamp())
}
