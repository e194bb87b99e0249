//! What an answer's head gives its client to continue by, and the time it names.

use std::time::Duration;

use http::header::HeaderMap;

use super::reset;
use crate::conversation::AnswerId;
use crate::moment::Moment;

/// The header of the responses API that routes the next request of a turn; Codex sends it back.
pub const TURN_STATE: &str = "x-codex-turn-state";

/// What the answer's head gives its client to continue by.
pub fn given_out(headers: &HeaderMap) -> Option<AnswerId> {
    let state = headers.get(TURN_STATE)?;
    Some(AnswerId::of(state.as_bytes()))
}

/// How long the provider asked to wait: `retry-after-ms`, else `retry-after`, in any form that
/// [`reset`] knows. Zero, nonsense and more than a month count as no answer.
pub fn retry_after(headers: &HeaderMap, now: Moment) -> Option<Duration> {
    Some(reset::retry_after(headers, now)?.since(now))
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
}
