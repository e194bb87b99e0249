//! The readers of times and limits: never panic, and never name a time that is past or too far.
//!
//! The first byte chooses the provider, the rest is a text: a value, a message, and headers, one
//! a line.

use std::time::Duration;

use api_key_lb_core::headroom::Axis;
use api_key_lb_core::moment::Moment;
use api_key_lb_core::provider::PROVIDERS;
use api_key_lb_core::wire::{limits, reset};
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

/// Sunday, 27 September 2026, 12:00:00 UTC.
const NOW: Moment = Moment::from_unix_millis(1_790_510_400_000);
/// What a field may be called.
const FIELDS: [&str; 5] = [
    "retry_after",
    "resets_at",
    "retry_after_ms",
    "nextresettime",
    "error.retry_after_seconds",
];

/// Checks one input.
pub fn reset(input: &[u8]) {
    let [provider, input @ ..] = input else {
        return;
    };
    let provider = &PROVIDERS[usize::from(*provider) % PROVIDERS.len()];
    let text = String::from_utf8_lossy(input);
    for line in text.lines().chain([&*text]) {
        let value = reset::moment(line, provider.zone, NOW);
        holds(value);
        for name in FIELDS {
            holds(reset::of_field(name, line, provider, NOW));
        }
        if let Some(span) = reset::duration(line) {
            let meant = !span.is_zero() && span <= reset::LONGEST;
            assert_eq!(value, meant.then(|| NOW.after(span)), "{line}");
            // What a value says it says in a sentence too.
            let sentence = format!("Please try again in {}.", line.trim());
            let found = reset::of_message(&sentence, provider, NOW);
            assert_eq!(found, value, "{sentence}");
        }
    }
    holds(reset::of_message(&text, provider, NOW));

    let headers = headers(&text);
    holds(reset::of_headers(&headers, provider, NOW));
    for bucket in limits::read(&headers, provider, NOW) {
        holds(bucket.reset);
        assert_ne!(bucket.limit, Some(0));
        assert!(bucket.axis != Axis::Window || bucket.remaining <= 1000);
    }
}

fn headers(text: &str) -> HeaderMap {
    text.lines()
        .filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            let name = name.trim().parse::<HeaderName>().ok()?;
            Some((name, HeaderValue::from_str(value.trim()).ok()?))
        })
        .collect()
}

fn holds(moment: Option<Moment>) {
    let wait = moment.map(|moment| moment.since(NOW));
    assert!(
        wait.is_none_or(|wait| wait > Duration::ZERO && wait <= reset::LONGEST),
        "{wait:?}"
    );
}
