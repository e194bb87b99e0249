//! What an upstream's status and headers mean: the verdict, and the time it named.

use std::time::Duration;

use http::StatusCode;
use http::header::{HeaderMap, RETRY_AFTER};

use crate::conversation::AnswerId;
use crate::moment::Moment;
use crate::verdict::Verdict;

/// No provider limit lasts longer than a month; a longer time is a mistake.
const LONGEST_COOLDOWN: Duration = Duration::from_secs(31 * 24 * 3600);

/// The verdict on an answer's head.
pub fn judge(status: StatusCode, headers: &HeaderMap, now: Moment) -> Verdict {
    match status.as_u16() {
        0..=399 => Verdict::Served,
        401 | 403 => Verdict::KeyRefused,
        402 => Verdict::CreditExhausted,
        429 => Verdict::Throttled {
            until: retry_after(headers, now).map(|wait| now.after(wait)),
        },
        500..=599 => Verdict::ServerFault,
        _ => Verdict::ClientFault,
    }
}

/// The header of the responses API that routes the next request of a turn; Codex sends it back.
const TURN_STATE: &str = "x-codex-turn-state";

/// What the answer's head gives its client to continue by.
pub fn given_out(headers: &HeaderMap) -> Option<AnswerId> {
    let state = headers.get(TURN_STATE)?;
    Some(AnswerId::of(state.as_bytes()))
}

/// How long the provider asked to wait: `retry-after-ms`, else `retry-after` as seconds (with a
/// fraction), as a date, or with a unit as some gateways write it. Zero, nonsense and more than a
/// month count as no answer.
pub fn retry_after(headers: &HeaderMap, now: Moment) -> Option<Duration> {
    let text = |name| {
        headers
            .get(name)
            .and_then(|value: &http::HeaderValue| value.to_str().ok())
    };
    let millis = text("retry-after-ms")
        .and_then(|value| number(value, 0.001))
        .filter(|wait| !wait.is_zero());
    let wait =
        millis.or_else(|| text(RETRY_AFTER.as_str()).and_then(|value| wait_of(value.trim(), now)));
    wait.filter(|wait| !wait.is_zero() && *wait <= LONGEST_COOLDOWN)
}

fn wait_of(text: &str, now: Moment) -> Option<Duration> {
    // The unit is looked at before the number, so that `86ms` is never 86 s; `ms` before `s`.
    for (unit, seconds) in [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0)] {
        if let Some(amount) = text.strip_suffix(unit)
            && let Some(wait) = number(amount, seconds)
        {
            return Some(wait);
        }
    }
    number(text, 1.0).or_else(|| {
        let date = httpdate::parse_http_date(text).ok()?;
        let since_epoch = date.duration_since(std::time::UNIX_EPOCH).ok()?;
        let date = Moment::from_unix_millis(u64::try_from(since_epoch.as_millis()).ok()?);
        Some(date.since(now))
    })
}

fn number(text: &str, unit_seconds: f64) -> Option<Duration> {
    let text = text.trim();
    if !text.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    Duration::try_from_secs_f64(text.parse::<f64>().ok()? * unit_seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment::from_unix_millis(1_790_000_000_000);

    fn wait(pairs: &[(&'static str, &str)]) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(*name, value.parse().unwrap());
        }
        retry_after(&headers, NOW)
    }

    #[test]
    fn every_form_of_retry_after_is_read() {
        let seconds = |text| wait(&[("retry-after", text)]).map(|wait| wait.as_secs_f64());
        assert_eq!(seconds("60"), Some(60.0));
        assert_eq!(seconds("7.66"), Some(7.66));
        assert_eq!(seconds("86ms"), Some(0.086));
        assert_eq!(seconds("60s"), Some(60.0));
        assert_eq!(seconds("5m"), Some(300.0));
        assert_eq!(seconds("2h"), Some(7200.0));
        assert_eq!(seconds(" 3 "), Some(3.0));
        let date = httpdate::fmt_http_date(
            std::time::UNIX_EPOCH + Duration::from_millis(NOW.unix_millis() + 30_000),
        );
        assert_eq!(seconds(&date), Some(30.0));
    }

    #[test]
    fn milliseconds_win_over_seconds_when_they_say_something() {
        assert_eq!(
            wait(&[("retry-after-ms", "250"), ("retry-after", "9")]),
            Some(Duration::from_millis(250))
        );
        assert_eq!(
            wait(&[("retry-after-ms", "x"), ("retry-after", "9")]),
            Some(Duration::from_secs(9))
        );
        assert_eq!(
            wait(&[("retry-after-ms", "0"), ("retry-after", "9")]),
            Some(Duration::from_secs(9))
        );
    }

    #[test]
    fn nonsense_is_no_time() {
        for text in [
            "",
            "soon",
            "-5",
            "0",
            "inf",
            "nan",
            "1e300",
            "99999999999",
            "Sun, 06 Nov 1994 08:49:37 GMT",
        ] {
            assert_eq!(wait(&[("retry-after", text)]), None, "{text}");
        }
    }

    #[test]
    fn the_status_decides_the_verdict() {
        let judge = |status: u16| {
            judge(
                StatusCode::from_u16(status).unwrap(),
                &HeaderMap::new(),
                NOW,
            )
        };
        assert_eq!(judge(200), Verdict::Served);
        assert_eq!(judge(304), Verdict::Served);
        assert_eq!(judge(400), Verdict::ClientFault);
        assert_eq!(judge(404), Verdict::ClientFault);
        assert_eq!(judge(401), Verdict::KeyRefused);
        assert_eq!(judge(403), Verdict::KeyRefused);
        assert_eq!(judge(402), Verdict::CreditExhausted);
        assert_eq!(judge(429), Verdict::Throttled { until: None });
        assert_eq!(judge(500), Verdict::ServerFault);
        assert_eq!(judge(529), Verdict::ServerFault);
    }
}
