//! The answer in words, aligned like `status`.

use std::fmt::Write as _;
use std::iter;
use std::time::Duration;

use super::observe::in_words;
use super::{Rule, Session, UNKNOWN_POOL, WAITING, Why};
use crate::printer;
use crate::render::{count, long, path_of};

/// How to give a request a session of its own.
const HINT: &str = "to give it one, send the header `x-lb-session`, or say in `session_rules` of the \
                    configuration where your id stands";

/// The whole answer.
pub(crate) fn text(why: &Why) -> String {
    let request = &why.request;
    let pool = match request.pool.as_deref() {
        None | Some("") => String::new(),
        Some(pool) => format!(", pool {}", path_of(pool)),
    };
    let title = format!("{} {}", request.method, request.path);
    let mut text = format!("{}{pool}\n\n", printer::strong(title));
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
    match &why.rule {
        Some(rule) => row("Rule", &[found(rule), printer::faint(&rule.because)]),
        None => row("Rule", &["none".to_owned()]),
    }
    match (&why.session, &why.no_session) {
        (Some(session), _) => row("Session", &session_lines(session)),
        (None, Some(reason)) => {
            let hint = (reason.code != UNKNOWN_POOL).then(|| printer::faint(HINT));
            let why = format!("none: {}", reason.text);
            row("Session", &iter::once(why).chain(hint).collect::<Vec<_>>());
        }
        (None, None) => {}
    }
    if request.messages > 0 {
        row("Content", &[content(why)]);
    }
    match (&why.key, &why.no_key) {
        (Some(key), _) => {
            let account = key
                .account
                .as_ref()
                .map_or(String::new(), |account| format!(" (account {account})"));
            let label = printer::good(&key.label);
            row(
                "Key",
                &[format!(
                    "{label}{account}, {}: {}",
                    key.affinity, key.because
                )],
            );
        }
        (None, Some(reason)) if reason.code == WAITING => {
            row("Key", std::slice::from_ref(&reason.text));
        }
        (None, Some(reason)) => row("Key", &[format!("none: {}", reason.text)]),
        (None, None) => {}
    }
    let resting: Vec<String> = why
        .resting
        .iter()
        .map(|resting| format!("{} is {}", resting.label, in_words(resting)))
        .collect();
    row("Resting", &resting);
    let not_used: Vec<String> = why
        .not_used
        .iter()
        .map(|rule| {
            let prefix = if rule.number.is_some() { "rule " } else { "" };
            format!("{prefix}{}: {}", found(rule), rule.because)
        })
        .collect();
    row("Also found", &not_used);
    let never: Vec<String> = why
        .never
        .iter()
        .map(|never| format!("{} is never an identity: {}", never.name, never.because))
        .collect();
    row("Never", &never);
    row("Note", &why.notes);
    row("Proxy", std::slice::from_ref(&why.proxy.text));
    text.trim_end().to_owned()
}

/// `1, header x-claude-code-session-id = 8bcafe7d-…`.
fn found(rule: &Rule) -> String {
    let number = rule
        .number
        .map_or("your own rule".to_owned(), |number| number.to_string());
    let value = rule
        .value
        .as_ref()
        .map_or(String::new(), |value| format!(" = {value}"));
    format!("{number}, {}{value}", rule.name)
}

fn session_lines(session: &Session) -> Vec<String> {
    let since = |ms| long(Duration::from_millis(ms));
    let part = match session.part.as_str() {
        "sub_agent" => ", a sub-agent apart",
        "conversation" => ", one conversation of those with this id",
        _ => "",
    };
    let known = match session.last_used_ms {
        Some(ms) => format!("known, last used {} ago", since(ms)),
        None => "new".to_owned(),
    };
    let first = format!("session {}, {known}{part}", printer::strong(&session.id));
    iter::once(first)
        .chain(session.text.iter().cloned())
        .collect()
}

/// How many messages there are, and whether the proxy knows them if that is what decides.
fn content(why: &Why) -> String {
    let messages = count(
        usize::try_from(why.request.messages).unwrap_or(usize::MAX),
        "message",
    );
    let by_content = |session: &&Session| {
        let by_rule = why.rule.as_ref().is_some_and(|rule| rule.value.is_none());
        by_rule || session.part == "conversation"
    };
    match why.session.as_ref().filter(by_content) {
        Some(Session {
            last_used_ms: Some(ms),
            ..
        }) => format!(
            "{messages}, which continue a conversation seen {} ago",
            long(Duration::from_millis(*ms))
        ),
        Some(_) => format!("{messages} of a conversation that is new here"),
        None => messages,
    }
}
