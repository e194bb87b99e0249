//! Every form of a time that a provider is known to send, and what must hold for any other.

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use proptest::prelude::*;

use super::*;
use crate::provider::{PROVIDERS, UNKNOWN};

/// Sunday, 27 September 2026, 12:00:00 UTC.
const NOW: Moment = Moment::from_unix_millis(1_790_510_400_000);

fn provider(name: &str) -> &'static Provider {
    PROVIDERS.iter().find(|known| known.name == name).unwrap()
}

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| {
            (
                name.parse::<HeaderName>().unwrap(),
                HeaderValue::from_str(value).unwrap(),
            )
        })
        .collect()
}

fn seconds(moment: Option<Moment>) -> Option<f64> {
    Some(moment?.since(NOW).as_secs_f64())
}

/// The wait that a value names, in seconds.
fn value(text: &str) -> Option<f64> {
    seconds(moment(text, 0, NOW))
}

fn said(message: &str) -> Option<f64> {
    seconds(of_message(message, &UNKNOWN, NOW))
}

fn said_by(name: &str, message: &str) -> Option<f64> {
    seconds(of_message(message, provider(name), NOW))
}

fn field(name: &str, text: &str) -> Option<f64> {
    seconds(of_field(name, text, &UNKNOWN, NOW))
}

fn refused(name: &str, pairs: &[(&str, &str)]) -> Option<f64> {
    seconds(of_headers(&headers(pairs), provider(name), NOW))
}

#[test]
fn spans_are_the_sum_of_their_parts() {
    for (text, wanted) in [
        ("86ms", 0.086),
        ("900ms", 0.9),
        ("1s", 1.0),
        ("6m0s", 360.0),
        ("1m30s", 90.0),
        ("2m59.56s", 179.56),
        ("7.66s", 7.66),
        ("34.074824224s", 34.074_824_224),
        ("1h2m", 3720.0),
        ("164h27m24s", 592_044.0),
        ("156h14m36.75s", 562_476.75),
        ("2d", 172_800.0),
        ("60 seconds", 60.0),
        ("1 hour 5 minutes", 3900.0),
        ("1 hour, 5 minutes and 3 seconds", 3903.0),
        ("5M", 300.0),
        ("250\u{b5}s", 0.000_25),
        ("1小时30分钟", 5400.0),
    ] {
        let span = duration(text).map(|span| span.as_secs_f64());
        assert_eq!(span, Some(wanted), "{text}");
    }
    for text in [
        "", "s", "5", "5x", "5 models", "1s1h", "5s 5s", "-5s", "1e3s", "5s!", "5mss", ".5s",
    ] {
        assert_eq!(duration(text), None, "{text}");
    }
}

#[test]
fn bare_numbers_are_read_by_their_size() {
    assert_eq!(value("12"), Some(12.0));
    assert_eq!(value("33011.38"), Some(33_011.38));
    assert_eq!(value("1790510460"), Some(60.0));
    assert_eq!(value("1790510460.5"), Some(60.5));
    assert_eq!(value("1790510460250"), Some(60.25));
    assert_eq!(value("\"60\""), Some(60.0));
}

#[test]
fn dates_are_read_with_and_without_a_zone() {
    for (text, wanted) in [
        ("2026-09-27T12:00:30Z", 30.0),
        ("2026-09-27t12:00:30z", 30.0),
        ("2026-09-27T12:00:02.817479433Z", 2.818),
        ("2026-09-27T14:00:30+02:00", 30.0),
        ("2026-09-27T04:00:30.5-08:00", 30.5),
        ("2026-09-27T20:00:30+0800", 30.0),
        ("2026-09-27 12:00:30 +0000", 30.0),
        ("2026-09-27 12:01 UTC", 60.0),
        ("2026-09-27 20:01 (UTC+8)", 60.0),
        ("2026-09-27 12:00:30", 30.0),
        ("2026/09/28", 43_200.0),
        ("Sun, 27 Sep 2026 12:30:00 GMT", 1800.0),
        ("Sunday, 27-Sep-26 12:30:00 GMT", 1800.0),
        ("Sun Sep 27 12:30:00 2026", 1800.0),
    ] {
        assert_eq!(value(text), Some(wanted), "{text}");
    }
    assert_eq!(
        seconds(moment("2026-09-27 20:00:30", 8, NOW)),
        Some(30.0),
        "the zone counts where none is named"
    );
    assert_eq!(
        seconds(moment("2026-09-27T12:00:30Z", 8, NOW)),
        Some(30.0),
        "… and only there"
    );
}

#[test]
fn what_is_past_too_far_or_no_time_is_nothing() {
    for text in [
        "",
        " ",
        "soon",
        "-5",
        "0",
        "0s",
        "0.0",
        "inf",
        "nan",
        "1e300",
        "99999999999",
        "340282366920938463463374607431768211456",
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "2026-09-27T11:59:59Z",
        "2026-13-01T00:00:00Z",
        "2026-10-29 00:00:00",
        "32d",
        "2678401",
        "9999-99-99",
    ] {
        assert_eq!(value(text), None, "{text}");
    }
    assert_eq!(value("31d"), Some(2_678_400.0));
}

#[test]
fn milliseconds_win_over_seconds_when_they_say_something() {
    let wait = |pairs: &[(&str, &str)]| refused("openai", pairs);
    assert_eq!(
        wait(&[("retry-after-ms", "250"), ("retry-after", "9")]),
        Some(0.25)
    );
    assert_eq!(wait(&[("retry-after-ms", "86ms")]), Some(0.086));
    for nothing in ["0", "x", "-1", ""] {
        let pairs = [("retry-after-ms", nothing), ("retry-after", "7.66")];
        assert_eq!(wait(&pairs), Some(7.66), "{nothing}");
    }
}

#[test]
fn a_limit_that_is_used_up_says_when_if_nothing_else_does() {
    let pairs = [
        ("anthropic-ratelimit-requests-remaining", "0"),
        ("anthropic-ratelimit-requests-reset", "2026-09-27T12:00:10Z"),
        ("anthropic-ratelimit-input-tokens-remaining", "0"),
        (
            "anthropic-ratelimit-input-tokens-reset",
            "2026-09-27T12:00:40Z",
        ),
        ("anthropic-ratelimit-output-tokens-remaining", "8000"),
        (
            "anthropic-ratelimit-output-tokens-reset",
            "2026-09-27T12:00:50Z",
        ),
    ];
    assert_eq!(refused("anthropic", &pairs), Some(40.0), "the last of them");
    let asked = [&pairs[..], &[("retry-after", "3")]].concat();
    assert_eq!(refused("anthropic", &asked), Some(3.0));
    assert_eq!(
        refused("anthropic", &pairs[4..]),
        None,
        "when something is full says nothing"
    );
}

#[test]
fn a_window_says_when_if_it_is_rejected() {
    let pairs = [
        ("anthropic-ratelimit-unified-status", "rejected"),
        ("anthropic-ratelimit-unified-reset", "1790600000"),
        ("anthropic-ratelimit-unified-5h-status", "rejected"),
        ("anthropic-ratelimit-unified-5h-reset", "1790512494"),
        ("anthropic-ratelimit-unified-5h-utilization", "1.0"),
        ("anthropic-ratelimit-unified-7d-status", "allowed"),
        ("anthropic-ratelimit-unified-7d-reset", "1790600000"),
        ("anthropic-ratelimit-unified-7d-utilization", "0.4"),
    ];
    assert_eq!(refused("anthropic", &pairs), Some(2094.0));
    let codex = [
        ("x-codex-primary-used-percent", "100"),
        ("x-codex-primary-reset-at", "1790524272"),
        ("x-codex-secondary-used-percent", "40"),
        ("x-codex-secondary-reset-at", "1790600000"),
    ];
    assert_eq!(refused("openai", &codex), Some(13_872.0));
}

#[test]
fn where_zeros_are_nothing_the_period_counts() {
    let captured = [
        ("retry-after", "1"),
        ("retry-after-ms", "0"),
        ("x-ratelimit-reset-tokens", "0"),
        ("x-ratelimit-renewalperiod-tokens", "60"),
        ("x-ratelimit-renewalperiod-requests", "10"),
        ("x-ratelimit-type", "Tokens"),
    ];
    assert_eq!(refused("azure", &captured), Some(60.0));
    let of_requests = [&captured[..5], &[("x-ratelimit-type", "Requests")]].concat();
    assert_eq!(refused("azure", &of_requests), Some(10.0));
    assert_eq!(refused("azure", &captured[..3]), None);
    assert_eq!(refused("azure", &[("retry-after", "22")]), Some(22.0));
    assert_eq!(
        refused("azure", &[("retry-after-ms", "250"), ("retry-after", "1")]),
        Some(0.25),
        "milliseconds are meant"
    );
    assert_eq!(refused("openai", &captured[..1]), Some(1.0));
}

#[test]
fn openrouters_reset_is_a_moment_in_milliseconds() {
    let pairs = [
        ("x-ratelimit-limit", "20"),
        ("x-ratelimit-remaining", "0"),
        ("x-ratelimit-reset", "1790510460000"),
    ];
    assert_eq!(refused("openrouter", &pairs), Some(60.0));
}

#[test]
fn fields_of_an_error_body_are_read() {
    for (name, text, wanted) in [
        ("resets_at", "1790524272", 13_872.0),
        ("resets_in_seconds", "13872", 13_872.0),
        ("retry_after", "30", 30.0),
        ("error.availability.retry_after", "2.5", 2.5),
        ("retry_after_ms", "250", 0.25),
        ("retrydelay", "34.074824224s", 34.075),
        ("retrydelay", "900ms", 0.9),
        ("retrydelay", "123", 123.0),
        ("quotaresetdelay", "156h14m36.75s", 562_476.75),
        ("quotaresettimestamp", "2026-09-27T12:00:30Z", 30.0),
        ("resettime", "\"2026-09-27T12:00:30.123456Z\"", 30.124),
        ("nextresettime", "1790510460000", 60.0),
        ("x-ratelimit-reset", "1790510460000", 60.0),
    ] {
        assert_eq!(field(name, text), Some(wanted), "{name}: {text}");
    }
    for (name, text) in [
        ("resets_at", "null"),
        ("retry_after", "0"),
        ("retry_after", "true"),
        ("limit", "60"),
        ("x-ratelimit-reset-tokens", "60"),
        ("x-codex-primary-reset-at", "1790524272"),
        ("anthropic-ratelimit-requests-reset", "2026-09-27T12:00:10Z"),
    ] {
        assert_eq!(field(name, text), None, "{name}: {text}");
    }
}

#[test]
fn messages_that_were_seen_are_understood() {
    for (message, wanted) in [
        (
            "Rate limit reached for gpt-5.1 in organization org-AAA on tokens per min (TPM): Limit \
             30000, Used 22999, Requested 12528. Please try again in 11.054s. Visit \
             https://platform.openai.com/account/rate-limits to learn more.",
            11.054,
        ),
        ("Please try again in 20ms.", 0.02),
        ("Please try again in 1m30s", 90.0),
        ("Please try again in 6m0s.", 360.0),
        ("try again after 1 seconds", 1.0),
        ("Please retry in 10.689924287s.", 10.69),
        (
            "have exceeded token rate limit of your current OpenAI S0 pricing tier. Please retry \
             after 22 seconds. Please go here: https://aka.ms/oai/quotaincrease",
            22.0,
        ),
        (
            "Rate limit of 50 per 86400s exceeded for UserByModelByDay. Please wait 5631 seconds \
             before retrying.",
            5631.0,
        ),
        ("Please wait 61275 seconds before retrying", 61_275.0),
        ("Quota exhausted. Resets in 164h27m24s", 592_044.0),
        ("Your quota will reset after 39s.", 39.0),
        ("capacity is back after 39s", 39.0),
        (
            "usage limit exceeded, 5-hour usage limit reached for Token Plan Starter (0/0 used), \
             resets at 2026-09-27T15:00:00Z (2056)",
            10_800.0,
        ),
        (
            "You have reached your specified API usage limits. You will regain access on \
             2026-10-01 at 00:00 UTC.",
            302_400.0,
        ),
        (
            "spend limit reached (daily; resets 2026-09-28 00:00 UTC)",
            43_200.0,
        ),
        ("Limited until Sun, 27 Sep 2026 12:30:00 GMT", 1800.0),
        ("resets_at: 1790524272", 13_872.0),
        ("Retry-After: 30", 30.0),
        ("try again in about a minute", 60.0),
        ("Wait at least 2 hours and 5 minutes.", 7500.0),
        (
            "Please retry in 10s; your quota will reset after 2h.",
            7200.0,
        ),
        ("请在 30 秒后重试", 30.0),
    ] {
        assert_eq!(said(message), Some(wanted), "{message}");
    }
}

#[test]
fn a_time_without_a_zone_is_the_providers() {
    let english = "[1308][Usage limit reached for 5 hour. Your limit will reset at 2026-09-28 \
                   00:35:41][20260912001903b4955568412247d7]";
    assert_eq!(said_by("zai", english), Some(16_541.0));
    assert_eq!(said_by("openai", english), Some(45_341.0));
    let chinese = "已达到 5 小时的使用上限。您的限额将在 2026-09-28 00:35:41 重置。";
    assert_eq!(said_by("zai", chinese), Some(16_541.0));
    assert_eq!(said(chinese), Some(16_541.0), "Chinese is spoken in China");
}

#[test]
fn words_that_name_no_time_are_not_understood() {
    for message in [
        "",
        "Rate limit reached for requests",
        "The engine is currently overloaded, please try again later",
        "Your quota will reset when the current 7-day window ends",
        "you have reached your session usage limit, please wait or upgrade",
        "Too many requests: 60 per 1 minute",
        "Please retry after 3 failed attempts",
        "Retry up to 5 times",
        "The request timed out after 600 seconds",
        "available at https://example.com/5s",
        "Please try again in -5 seconds",
        "Please try again at 3:00 PM",
        "awaits 5 seconds",
        "again in 5 requests",
        "將\u{0}again in \u{fffd}",
    ] {
        assert_eq!(said(message), None, "{message}");
    }
}

#[test]
fn midnight_is_that_of_the_zone() {
    let hours = |zone| midnight(zone, NOW).since(NOW).as_secs() / 3600;
    assert_eq!((hours(0), hours(8), hours(-8), hours(12)), (12, 4, 20, 24));
    assert_eq!(midnight(8, Moment::default()).unix_millis(), 16 * 3_600_000);
    assert_eq!(
        midnight(14, Moment::from_unix_millis(u64::MAX)).unix_millis(),
        u64::MAX
    );
}

#[test]
fn midnight_on_the_west_coast_knows_summer_time() {
    let at = |text: &str| date::whole(text, 0).unwrap();
    for (now, midnight) in [
        // Winter is eight hours behind, summer seven.
        ("2026-01-15T12:00:00Z", "2026-01-16T08:00:00Z"),
        ("2026-07-15T12:00:00Z", "2026-07-16T07:00:00Z"),
        // The day summer time begins (8 March 2026) has 23 hours, …
        ("2026-03-08T07:59:59Z", "2026-03-08T08:00:00Z"),
        ("2026-03-08T08:00:00Z", "2026-03-09T07:00:00Z"),
        // … and the day it ends (1 November 2026) has 25.
        ("2026-11-01T06:59:59Z", "2026-11-01T07:00:00Z"),
        ("2026-11-01T07:00:00Z", "2026-11-02T08:00:00Z"),
        // Both are the earliest and the latest that the rule allows in these years.
        ("2027-03-14T12:00:00Z", "2027-03-15T07:00:00Z"),
        ("2027-11-07T12:00:00Z", "2027-11-08T08:00:00Z"),
        ("2026-12-31T23:00:00Z", "2027-01-01T08:00:00Z"),
    ] {
        assert_eq!(pacific_midnight(at(now)), at(midnight), "{now}");
    }
}

#[test]
fn what_is_odd_about_providers_is_known() {
    for (name, quirk) in [
        ("openai", Quirk::ResetIsFull),
        ("openrouter", Quirk::ResetIsEpochMillis),
        ("azure", Quirk::ZerosAreNothing),
        ("groq", Quirk::RequestsPerDay),
    ] {
        assert!(has(provider(name), quirk), "{name}");
    }
    assert_eq!(provider("zai").zone, 8);
}

proptest! {
    #[test]
    fn nothing_is_past_or_far_whatever_is_said(
        text in "([0-9]{0,20}|[a-zµ秒 .:+TZ-]{0,6}|again in |2026-|resets? at ){0,8}",
        zone in -12_i8..15,
        now: u64,
    ) {
        let now = Moment::from_unix_millis(now);
        let provider = Provider { zone, ..UNKNOWN };
        for moment in [
            moment(&text, zone, now),
            of_field("retry_after", &text, &provider, now),
            of_field("reset_ms", &text, &provider, now),
            of_message(&text, &provider, now),
        ].into_iter().flatten() {
            prop_assert!(moment > now && moment.since(now) <= LONGEST);
        }
        let _ = duration(&text);
    }

    #[test]
    fn a_span_is_what_go_would_print(hours in 0_u64..700, minutes in 0_u64..60, millis in 0_u64..60_000) {
        let text = format!("{hours}h{minutes}m{}.{:03}s", millis / 1000, millis % 1000);
        let wanted = Duration::from_millis((hours * 60 + minutes) * 60_000 + millis);
        prop_assert_eq!(duration(&text), Some(wanted));
        let message = format!("Please try again in {text}. Visit https://example.com");
        let found = of_message(&message, &UNKNOWN, NOW).map(|until| until.since(NOW));
        prop_assert_eq!(found, Some(wanted).filter(|wanted| !wanted.is_zero()));
    }

    #[test]
    fn a_moment_is_the_same_in_every_form(ahead in 1_000_u64..2_678_400_000) {
        let moment_wanted = Moment::from_unix_millis(NOW.unix_millis() + ahead);
        let timestamp = jiff::Timestamp::from_millisecond(i64::try_from(moment_wanted.unix_millis()).unwrap()).unwrap();
        for text in [
            timestamp.to_string(),
            timestamp.strftime("%Y-%m-%d %H:%M:%S%.f").to_string(),
            timestamp.to_zoned(jiff::tz::TimeZone::fixed(jiff::tz::offset(-7))).strftime("%FT%T%.f%:z").to_string(),
            moment_wanted.to_string(),
            format!("{}.{:03}", moment_wanted.unix_millis() / 1000, moment_wanted.unix_millis() % 1000),
            format!("{ahead}ms"),
            format!("{}.{:03}", ahead / 1000, ahead % 1000),
        ] {
            prop_assert_eq!(moment(&text, 0, NOW), Some(moment_wanted), "{}", text);
        }
    }
}
