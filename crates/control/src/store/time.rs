//! Moments as dates and back; all in UTC, as the log.

use api_key_lb_core::Moment;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// Milliseconds of an hour.
pub(super) const HOUR_MS: u64 = 3_600_000;
/// Hours of a day.
pub const HOURS_OF_A_DAY: i64 = 24;

/// As it stands in the file, where numbers have a sign: what lies beyond is as good as never.
pub(super) fn stored(moment: Moment) -> i64 {
    i64::try_from(moment.unix_millis()).unwrap_or(i64::MAX)
}

/// The hour that `moment` is in, counted from 1970.
pub fn hour(moment: Moment) -> i64 {
    i64::try_from(moment.unix_millis() / HOUR_MS).unwrap_or(i64::MAX)
}

/// `2026-07-22`.
pub(super) fn day(hour: i64) -> String {
    shown(hour, "%Y-%m-%d")
}

/// `2026-07-22 14:00`.
pub(super) fn day_and_hour(hour: i64) -> String {
    shown(hour, "%Y-%m-%d %H:00")
}

fn shown(hour: i64, format: &str) -> String {
    Timestamp::from_second(hour.saturating_mul(3600)).map_or_else(
        |_| hour.to_string(),
        |time| time.strftime(format).to_string(),
    )
}

/// `2026-07-22 14:30`.
pub fn minute(moment: Moment) -> String {
    let seconds = i64::try_from(moment.unix_millis() / 1000).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds).map_or_else(
        |_| seconds.to_string(),
        |time| time.strftime("%Y-%m-%d %H:%M").to_string(),
    )
}

/// `20260722T143000Z`, for names of files.
pub(super) fn compact(moment: Moment) -> String {
    let millis = i64::try_from(moment.unix_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(millis).map_or_else(
        |_| millis.to_string(),
        |time| time.strftime("%Y%m%dT%H%M%SZ").to_string(),
    )
}

/// The first hour of a day written as `2026-07-22`.
pub fn first_hour(date: &str) -> Option<i64> {
    let date: Date = date.trim().parse().ok()?;
    let midnight = date.to_zoned(TimeZone::UTC).ok()?;
    Some(midnight.timestamp().as_second().div_euclid(3600))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_dates_and_dates_are_hours() {
        let moment = Moment::from_unix_millis(1_784_730_600_000);
        assert_eq!(compact(moment), "20260722T143000Z");
        assert_eq!(day(hour(moment)), "2026-07-22");
        assert_eq!(day_and_hour(hour(moment)), "2026-07-22 14:00");
        assert_eq!(first_hour("2026-07-22"), Some(hour(moment) - 14));
        assert_eq!(first_hour("yesterday"), None);
        assert_eq!(first_hour("2026-13-01"), None);
    }
}
