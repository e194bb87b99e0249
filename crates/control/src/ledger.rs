//! Facts about requests become lines that people read, and are read back. Never a body, a query or a secret.

mod entry;
mod filter;
mod json;
#[cfg(test)]
mod json_tests;

use std::fmt::Write;
use std::time::Duration;

use api_key_lb_core::KeyId;
use api_key_lb_core::fact::{Affinity, Ending, Fact, Part};
use api_key_lb_core::moment::Moment;

use crate::config::LogLevel;

pub use entry::Entry;
pub use filter::{Filter, Statuses};
pub use json::{json, json_message};

/// The most characters of a path shown.
const MOST_PATH: usize = 120;
/// Waiting for an account is said from this time on: below, nobody notices it.
const WORTH_SAYING: Duration = Duration::from_millis(10);
/// A body from this size on is said where nobody counted its tokens: what is smaller is no matter.
const WORTH_SAYING_BYTES: u64 = 1000;
/// Milliseconds of a day.
const DAY_MS: u64 = 24 * 3_600_000;

/// Whether `fact` leaves a line at `level`.
pub fn wanted(level: LogLevel, fact: &Fact) -> bool {
    match level {
        LogLevel::Requests => true,
        LogLevel::Problems => {
            fact.attempts.len() > 1
                || fact.status >= 400
                || matches!(fact.ending, Ending::Cut | Ending::Own(_))
        }
        LogLevel::Off => false,
    }
}

/// The line for `fact`, without a line break. Its time is when the request ended, in UTC.
pub fn line(fact: &Fact, label_of: &dyn Fn(KeyId) -> String) -> String {
    let mut line = format!(
        "{} {} {}",
        time_of_day(fact.began.after(fact.took)),
        fact.method,
        shown_path(&fact.path)
    );
    if fact.status != 0 {
        add(&mut line, format_args!("{}", fact.status));
    }
    if let Ending::Own(code) = fact.ending {
        add(&mut line, format_args!("(own answer: {code})"));
    }
    match fact.attempts.as_slice() {
        [] => {}
        [only] if only.status == Some(fact.status) => {
            add(&mut line, format_args!("{}", label_of(only.key)));
        }
        several => {
            let attempts: Vec<String> = several
                .iter()
                .map(|attempt| match attempt.status {
                    Some(status) => format!("{} {status}", label_of(attempt.key)),
                    None => format!("{} no answer", label_of(attempt.key)),
                })
                .collect();
            add(&mut line, format_args!("{}", attempts.join(", ")));
        }
    }
    if let Some(session) = fact.session {
        if fact.affinity != Affinity::None {
            add(&mut line, format_args!("{}", fact.affinity.as_str()));
        }
        add(&mut line, format_args!("session {}", session.short()));
        if let Some(rule) = &fact.rule {
            let part = match fact.part {
                Part::Whole => "",
                Part::SubAgent => ", sub-agent apart",
                Part::Conversation => ", split by content",
            };
            add(&mut line, format_args!("({rule}{part})"));
        }
    }
    if let Some(reason) = &fact.reason {
        add(&mut line, format_args!("[{reason}]"));
    }
    add(&mut line, format_args!("{}", seconds(fact.took)));
    if fact.waited >= WORTH_SAYING {
        add(&mut line, format_args!("waited {}", seconds(fact.waited)));
    }
    if !fact.first_byte.is_zero() && fact.status != 0 {
        add(
            &mut line,
            format_args!("first byte {}", seconds(fact.first_byte)),
        );
    }
    match fact.usage.filter(|usage| usage.prompt > 0) {
        Some(usage) => {
            let percent = usage.cached.min(usage.prompt).saturating_mul(100) / usage.prompt;
            add(
                &mut line,
                format_args!("{} tokens {percent}% cached", count(usage.prompt)),
            );
        }
        None if uncounted(fact) => {
            add(
                &mut line,
                format_args!("{} bytes", count(fact.request_bytes)),
            );
        }
        None => {}
    }
    match fact.ending {
        Ending::Complete | Ending::Own(_) => {}
        Ending::ClientLeft => add(&mut line, format_args!("client left")),
        Ending::Cut => add(&mut line, format_args!("cut off by the provider")),
    }
    add(&mut line, format_args!("id {}", fact.id));
    line
}

/// Whether a conversation was answered without a count of its tokens.
fn uncounted(fact: &Fact) -> bool {
    fact.session.is_some()
        && (200..300).contains(&fact.status)
        && fact.request_bytes >= WORTH_SAYING_BYTES
}

fn add(line: &mut String, words: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = write!(line, " {words}");
}

/// The path without query, control characters or endless tails. Cut at `?` again, though the
/// engine already did: a query may hold a key.
pub(crate) fn shown_path(path: &str) -> String {
    let path = path.split('?').next().unwrap_or_default();
    let mut shown: String = path
        .chars()
        .take(MOST_PATH)
        .flat_map(char::escape_debug)
        .collect();
    if path.chars().count() > MOST_PATH {
        shown.push('…');
    }
    shown
}

/// `12:00:01`, in UTC.
fn time_of_day(moment: Moment) -> String {
    let seconds = moment.unix_millis() % DAY_MS / 1000;
    format!(
        "{:02}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

fn seconds(span: Duration) -> String {
    format!("{:.2}s", span.as_secs_f64())
}

/// `812`, `9.4k`, `102k`, `1.3M`.
pub fn count(number: u64) -> String {
    let (unit, letter) = match number {
        0..1_000 => return number.to_string(),
        1_000..999_500 => (1_000, 'k'),
        _ => (1_000_000, 'M'),
    };
    let tenths = (number * 10 + unit / 2) / unit;
    if tenths < 100 && !tenths.is_multiple_of(10) {
        format!("{}.{}{letter}", tenths / 10, tenths % 10)
    } else {
        format!("{}{letter}", (number + unit / 2) / unit)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use api_key_lb_core::Secret;
    use api_key_lb_core::fact::{Attempt, RequestId, SessionId, Usage};
    use api_key_lb_core::target::Target;
    use proptest::prelude::*;
    use proptest::test_runner::TestCaseError;

    use super::*;

    fn key(number: u8) -> KeyId {
        let target = Target::parse("https://h").unwrap();
        KeyId::of(&Secret::new(format!("sk-planted-{number}")), &target)
    }

    pub(crate) fn label(id: KeyId) -> String {
        (1..9)
            .find(|number| key(*number) == id)
            .map_or_else(|| "gone".into(), |number| format!("key-{number}"))
    }

    pub(crate) fn fact() -> Fact {
        let began = 1_700_000_000_000 / DAY_MS * DAY_MS + 43_199_760;
        Fact {
            first_byte: Duration::from_millis(410),
            took: Duration::from_millis(1240),
            status: 200,
            model: Some("sk-planted".into()),
            session: Some(SessionId(0x1a2b_3c4d << 96)),
            rule: Some("header x-session-id".into()),
            affinity: Affinity::Home,
            attempts: vec![Attempt {
                status: Some(200),
                ..Attempt::begun(key(2))
            }],
            usage: Some(Usage {
                prompt: 102_400,
                cached: 93_184,
                written: 0,
                output: 500,
            }),
            request_bytes: 1,
            response_bytes: 1,
            ending: Ending::Complete,
            ..Fact::begun(
                RequestId::default(),
                Moment::from_unix_millis(began),
                http::Method::POST,
                "/v1/chat/completions".into(),
            )
        }
    }

    prop_compose! {
        pub(crate) fn any_fact()(
            began in 0..10 * DAY_MS,
            spans in proptest::array::uniform3(0..2_000_000_u64),
            path in "/[a-z0-9/.:_-]{0,30}",
            status in prop_oneof![Just(0_u16), 200..600_u16],
            session in proptest::option::of(any::<u128>()),
            rule in proptest::option::of("(header|body) [a-z-]{1,9}"),
            part in prop_oneof![Just(Part::Whole), Just(Part::SubAgent), Just(Part::Conversation)],
            affinity in prop_oneof![Just(Affinity::None), Just(Affinity::Home), Just(Affinity::New)],
            reason in proptest::option::of("[a-z0-9 %,:;.]{1,40}( session [0-9a-f]{8})?"),
            attempts in proptest::collection::vec((1..9_u8, proptest::option::of(200..600_u16)), 0..4),
            usage in proptest::option::of((0..3_000_000_u64, 0..3_000_000_u64)),
            request_bytes in 0..9_000_000_u64,
            ending in prop_oneof![
                Just(Ending::Complete),
                Just(Ending::Own("throttled")),
                Just(Ending::ClientLeft),
                Just(Ending::Cut),
            ],
        ) -> Fact {
            let usage = usage.map(|(prompt, cached)| Usage { prompt, cached, written: 0, output: 1 });
            let attempt = |(number, status)| Attempt { status, ..Attempt::begun(key(number)) };
            Fact {
                id: RequestId::of(began, spans[0]),
                began: Moment::from_unix_millis(began),
                took: Duration::from_millis(spans[0]),
                waited: Duration::from_millis(spans[1]),
                first_byte: Duration::from_millis(spans[2]),
                path,
                status,
                rule: rule.map(Into::into).filter(|_| session.is_some()),
                session: session.map(SessionId),
                part,
                affinity,
                // Reasons are about sessions.
                reason: reason.filter(|_| session.is_some()),
                attempts: attempts.into_iter().map(attempt).collect(),
                usage,
                request_bytes,
                ending,
                ..fact()
            }
        }
    }

    fn shown(fact: &Fact) -> String {
        let line = line(fact, &label);
        line.strip_suffix(&format!(" id {}", fact.id))
            .unwrap()
            .to_owned()
    }

    #[test]
    fn a_good_request_is_one_line_with_key_session_times_and_tokens() {
        assert_eq!(
            shown(&fact()),
            "12:00:01 POST /v1/chat/completions 200 key-2 home session 1a2b3c4d (header x-session-id) \
             1.24s first byte 0.41s 102k tokens 91% cached"
        );
    }

    #[test]
    fn a_retry_names_what_each_key_answered() {
        let mut fact = fact();
        fact.attempts = vec![
            Attempt {
                status: Some(429),
                ..Attempt::begun(key(1))
            },
            Attempt {
                status: None,
                ..Attempt::begun(key(3))
            },
            Attempt {
                status: Some(200),
                ..Attempt::begun(key(2))
            },
        ];
        fact.affinity = Affinity::Borrowed;
        fact.usage = None;
        assert_eq!(
            shown(&fact),
            "12:00:01 POST /v1/chat/completions 200 key-1 429, key-3 no answer, key-2 200 \
             borrowed session 1a2b3c4d (header x-session-id) 1.24s first byte 0.41s"
        );
    }

    #[test]
    fn an_answer_of_our_own_and_an_early_end_say_so() {
        let mut fact = fact();
        fact.session = None;
        fact.usage = None;
        fact.attempts.clear();
        fact.status = 403;
        fact.ending = Ending::Own("origin");
        fact.first_byte = Duration::ZERO;
        fact.path = "/".into();
        assert_eq!(
            shown(&fact),
            "12:00:01 POST / 403 (own answer: origin) 1.24s"
        );
        fact.status = 0;
        fact.ending = Ending::ClientLeft;
        assert_eq!(shown(&fact), "12:00:01 POST / 1.24s client left");
        fact.status = 200;
        fact.ending = Ending::Cut;
        assert_eq!(
            shown(&fact),
            "12:00:01 POST / 200 1.24s cut off by the provider"
        );
    }

    #[test]
    fn a_line_holds_no_query_no_secret_and_no_second_line() {
        let mut fact = fact();
        fact.path = format!(
            "/v1/a\r\n12:00:00 FAKE\u{1b}[2J{}?key=sk-planted",
            "x".repeat(500)
        );
        let line = shown(&fact);
        assert!(!line.contains("planted"), "{line}");
        assert!(!line.contains(char::is_control), "{line}");
        assert!(line.len() < 350, "{line}");
    }

    #[test]
    fn where_nobody_counted_tokens_the_size_is_said() {
        let mut fact = fact();
        fact.usage = None;
        fact.request_bytes = 48_123;
        assert!(shown(&fact).ends_with("1.24s first byte 0.41s 48k bytes"));
        fact.status = 429;
        assert!(shown(&fact).ends_with("1.24s first byte 0.41s"));
    }

    proptest! {
        #[test]
        fn what_a_line_says_is_read_back(fact in any_fact()) {
            let line = line(&fact, &label);
            let entry = Entry::parse(&line).ok_or_else(|| TestCaseError::fail(line.clone()))?;
            let ended = fact.began.after(fact.took).unix_millis() % DAY_MS / 1000;
            prop_assert_eq!(entry.ended.as_secs(), ended);
            prop_assert_eq!(&entry.path, &fact.path);
            prop_assert_eq!(entry.status, Some(fact.status).filter(|status| *status != 0));
            prop_assert_eq!(entry.own_answer, matches!(fact.ending, Ending::Own(_)));
            prop_assert_eq!(
                entry.complete,
                matches!(fact.ending, Ending::Own(_) | Ending::Complete)
            );
            prop_assert_eq!(
                entry.session.map(|session| format!("{session:08x}")),
                fact.session.map(SessionId::short)
            );
            prop_assert_eq!(entry.retried, fact.attempts.len() > 1);
            prop_assert_eq!(seconds(entry.took), seconds(fact.took));
            if fact.waited >= WORTH_SAYING {
                prop_assert_eq!(seconds(entry.waited), seconds(fact.waited));
            }
            if fact.status != 0 {
                prop_assert_eq!(seconds(entry.first_byte), seconds(fact.first_byte));
            }
            let counted = fact.usage.filter(|usage| usage.prompt > 0);
            prop_assert_eq!(
                entry.tokens.map(|(prompt, cached)| (count(prompt), u64::from(cached))),
                counted.map(|usage| {
                    (count(usage.prompt), usage.cached.min(usage.prompt) * 100 / usage.prompt)
                })
            );
            let sized = (counted.is_none() && uncounted(&fact)).then_some(fact.request_bytes);
            prop_assert_eq!(entry.bytes.map(count), sized.map(count));
            prop_assert_eq!(entry.id, Some(fact.id));
            let tried: Vec<_> = fact
                .attempts
                .iter()
                .map(|attempt| (label(attempt.key), attempt.status))
                .collect();
            prop_assert_eq!(&entry.attempts, &tried);
        }

        #[test]
        fn any_line_is_read_or_left(line in ".{0,80}", tail in " [0-9.]{0,20}s?( [0-9kM.]{0,9} (tokens|bytes))?") {
            let _ = Entry::parse(&line);
            let _ = Entry::parse(&format!("12:00:01 POST {line}{tail}"));
        }
    }

    #[test]
    fn problems_are_retries_errors_cuts_and_own_answers() {
        let good = fact();
        let mut left = fact();
        left.status = 0;
        left.ending = Ending::ClientLeft;
        let mut failed = fact();
        failed.status = 502;
        let mut cut = fact();
        cut.ending = Ending::Cut;
        let mut retried = fact();
        retried.attempts.push(retried.attempts[0]);
        for (fact, problem) in [
            (good, false),
            (left, false),
            (failed, true),
            (cut, true),
            (retried, true),
        ] {
            assert_eq!(wanted(LogLevel::Problems, &fact), problem, "{fact:?}");
            assert!(wanted(LogLevel::Requests, &fact));
            assert!(!wanted(LogLevel::Off, &fact));
        }
    }

    #[test]
    fn token_counts_are_short() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1k"),
            (9_449, "9.4k"),
            (9_999, "10k"),
            (102_400, "102k"),
            (999_499, "999k"),
            (999_500, "1M"),
            (1_340_000, "1.3M"),
        ] {
            assert_eq!(count(number), text);
        }
    }
}
