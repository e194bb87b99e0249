//! What became of a request, in words.

use std::fmt::Write as _;
use std::time::Duration;

use api_key_lb_control::observed::{Request, Tokens, Try};

use crate::overview::money;
use crate::printer::{faint, good, striking, strong};
use crate::render::{bytes, grouped, millis, path_of};

/// Milliseconds of a day.
const DAY_MS: u64 = 24 * 3_600_000;
/// Microseconds of a millisecond.
const MILLI_US: u64 = 1_000;

/// All that is known of it.
pub(crate) fn past(request: &Request) -> String {
    let pool = match request.pool.as_str() {
        "" => String::new(),
        pool => format!(", pool {}", path_of(pool)),
    };
    let title = format!("{} {}", request.method, request.path);
    let mut text = format!("{}{pool}\n\n", strong(title));
    let mut row = |name: &str, lines: &[String]| {
        for (at, line) in lines.iter().enumerate() {
            let name = if at == 0 {
                format!("{name}:")
            } else {
                String::new()
            };
            // Writing to a String cannot fail.
            let _ = writeln!(text, "  {name:<12}{line}");
        }
    };
    row("Request", &[came(request)]);
    if let Some(client) = &request.client {
        row("Client", std::slice::from_ref(client));
    }
    if let Some(model) = &request.model {
        row("Model", std::slice::from_ref(model));
    }
    row("Session", &[session(request)]);
    row("Key", &key(request));
    if request.waited_ms > 0 {
        let waited = span(request.waited_ms);
        row("Waited", &[format!("{waited} for an account")]);
    }
    let tries: Vec<String> = request.attempts.iter().map(tried).collect();
    row("Tried", &tries);
    row("Answer", &[answer(request)]);
    if let Some(usage) = &request.usage {
        row("Tokens", &[tokens(usage)]);
    }
    if let Some(cost) = request.cost_usd {
        let saved = request.saved_usd.filter(|saved| *saved > 0.0);
        let saved = saved.map_or(String::new(), |saved| {
            format!("; the cache saved {}", money(saved))
        });
        row("Cost", &[format!("{}{saved} (list price)", money(cost))]);
    }
    text.trim_end().to_owned()
}

fn came(request: &Request) -> String {
    let second = request.began % DAY_MS / 1000;
    let mut text = format!(
        "{}, began at {:02}:{:02}:{:02} UTC, {} of body",
        request.id,
        second / 3600,
        second / 60 % 60,
        second % 60,
        bytes(request.request_bytes)
    );
    if let Some(added) = request.added_us {
        let added = match added {
            0..MILLI_US => format!("{added} µs"),
            _ => span(added / MILLI_US),
        };
        let _ = write!(text, "; sent on after {added}");
        if request.waited_ms > 0 {
            text.push_str(" besides waiting");
        }
    }
    text
}

fn session(request: &Request) -> String {
    match (&request.session, &request.rule) {
        (Some(session), Some(rule)) => format!("{session}, by {rule}"),
        (Some(session), None) => session.clone(),
        (None, _) => "none recognised".to_owned(),
    }
}

fn key(request: &Request) -> Vec<String> {
    let Some(last) = request.attempts.last() else {
        return vec!["none was used".to_owned()];
    };
    let how = match request.affinity.as_str() {
        "home" => "the session's home",
        "new" => "the session was new, and lives here now",
        "borrowed" => "borrowed: the session's home could not serve",
        "moved" => "the session has moved here",
        _ => "the keys take turns",
    };
    let mut lines = vec![format!("{}: {how}", good(&last.key))];
    lines.extend(request.reason.as_ref().map(faint));
    lines
}

fn tried(attempt: &Try) -> String {
    let status = attempt
        .status
        .map_or_else(|| "no answer".to_owned(), |status| status.to_string());
    let mut text = format!(
        "{} at {}: {status} after {}",
        attempt.key,
        span(attempt.began_ms),
        span(attempt.took_ms)
    );
    match (&attempt.verdict, &attempt.reason) {
        (Some(verdict), Some(rule)) if verdict != "served" => {
            let _ = write!(text, ", {} ({rule})", striking(verdict));
        }
        (Some(verdict), _) => {
            let _ = write!(text, ", {verdict}");
        }
        (None, _) => {}
    }
    text
}

fn answer(request: &Request) -> String {
    let took = span(request.took_ms);
    if request.status == 0 {
        return striking(format!("none: the client left after {took}"));
    }
    let mut text = request.status.to_string();
    if let Some(code) = &request.error_code {
        let _ = write!(text, " by the proxy itself ({code})");
    }
    if let Some(first) = request.first_byte_ms {
        let _ = write!(text, ", first byte after {}", span(first));
    }
    let end = match request.ending.as_str() {
        "client_left" => format!("the client left after {took}"),
        "cut" => format!("cut off by the provider after {took}"),
        _ => format!("complete after {took}"),
    };
    let _ = write!(text, ", {end}, {}", bytes(request.response_bytes));
    if request.status >= 400 || request.ending == "cut" {
        return striking(text);
    }
    text
}

fn tokens(usage: &Tokens) -> String {
    let cached = usage.cached.min(usage.prompt).saturating_mul(100);
    let share = cached.checked_div(usage.prompt).unwrap_or(0);
    let mut text = format!("{} of prompt ({share} % cached", grouped(usage.prompt));
    if usage.written > 0 {
        let _ = write!(text, ", {} written to the cache", grouped(usage.written));
    }
    let _ = write!(text, "), {} generated", grouped(usage.output));
    text
}

fn span(ms: u64) -> String {
    millis(Duration::from_millis(ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(request: &Request) -> String {
        anstream::adapter::strip_str(&past(request)).to_string()
    }

    #[test]
    fn what_was_tried_and_what_it_cost_is_said() {
        let attempt = |key: &str, status, verdict: &str, rule: &str| Try {
            key: key.into(),
            status,
            verdict: Some(verdict.into()),
            reason: Some(rule.into()),
            began_ms: 2,
            took_ms: 120,
        };
        let request = Request {
            id: "0f3kq9x2m7ab".into(),
            began: 43_201_000,
            took_ms: 4_200,
            first_byte_ms: Some(900),
            waited_ms: 1_500,
            added_us: Some(180),
            method: "POST".into(),
            path: "/v1/messages".into(),
            pool: "zai".into(),
            status: 200,
            model: Some("glm-4.6".into()),
            session: Some("1a2b3c4d".into()),
            rule: Some("header x-session-id".into()),
            client: Some("claude-cli/2.0.1".into()),
            affinity: "borrowed".into(),
            reason: Some("home key-1 cools for 20 s".into()),
            attempts: vec![
                attempt("key-1", Some(429), "account's rate limit", "1302"),
                attempt("key-2", Some(200), "served", "status"),
            ],
            usage: Some(Tokens {
                prompt: 1000,
                cached: 910,
                written: 0,
                output: 5,
            }),
            request_bytes: 12_300,
            response_bytes: 812,
            ending: "complete".into(),
            error_code: None,
            cost_usd: Some(0.0123),
            saved_usd: Some(0.5),
        };
        assert_eq!(
            plain(&request),
            "POST /v1/messages, pool /zai/\n\n  \
             Request:    0f3kq9x2m7ab, began at 12:00:01 UTC, 12.3 KB of body; sent on after 180 µs besides waiting\n  \
             Client:     claude-cli/2.0.1\n  \
             Model:      glm-4.6\n  \
             Session:    1a2b3c4d, by header x-session-id\n  \
             Key:        key-2: borrowed: the session's home could not serve\n              \
             home key-1 cools for 20 s\n  \
             Waited:     1.5 s for an account\n  \
             Tried:      key-1 at 2 ms: 429 after 120 ms, account's rate limit (1302)\n              \
             key-2 at 2 ms: 200 after 120 ms, served\n  \
             Answer:     200, first byte after 900 ms, complete after 4.2 s, 812 B\n  \
             Tokens:     1,000 of prompt (91 % cached), 5 generated\n  \
             Cost:       $0.0123; the cache saved $0.50 (list price)"
        );
    }

    #[test]
    fn a_request_that_nobody_served_says_so() {
        let request = Request {
            status: 429,
            ending: "own".into(),
            error_code: Some("throttled".into()),
            ..Request::default()
        };
        let text = plain(&request);
        assert!(text.contains("none was used"), "{text}");
        assert!(
            text.contains("429 by the proxy itself (throttled)"),
            "{text}"
        );
    }
}
