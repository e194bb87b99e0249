//! The error in one JSON object. Only fields that providers fill are read, never what may repeat
//! a request: a prompt about quotas must not look like one.

use serde_json::{Map, Value};

use super::{Signals, bounded};

/// Most words kept …
const MOST_WORDS: usize = 32;
/// … and the longest, in bytes; Google's quota ids have some eighty.
const LONGEST_WORD: usize = 160;
/// Most times kept …
const MOST_RESETS: usize = 16;
/// … and the longest, in bytes.
const LONGEST_RESET: usize = 64;
/// Most elements looked at of each list.
const MOST_ELEMENTS: usize = 16;
/// Codes that stand in the message have so many digits.
const DIGITS: std::ops::RangeInclusive<usize> = 4..=5;
/// The part of a message behind which codes in parentheses are sought, in bytes from its end.
const TAIL: usize = 32;

/// Fields that say when it is over, without case, hyphens and underscores.
const RESETS: &[&str] = &[
    "retrydelay",
    "quotaresetdelay",
    "quotaresettimestamp",
    "resetsat",
    "resetat",
    "resetsinseconds",
    "resetafterseconds",
    "resettime",
    "nextresettime",
    "nextflushtime",
    "retryafter",
    "retryafterms",
    "retryafterseconds",
    "xratelimitreset",
];

type Object = Map<String, Value>;

/// What `value` says.
pub(super) fn read(value: &Value) -> Signals {
    let mut signals = Signals::default();
    if let Value::Object(top) = value {
        collect(top, &mut signals);
        signals.envelope = is_error(top);
        // Gateways put the provider's own error, as text, where the message belongs.
        if signals.message.trim_start().starts_with('{')
            && let Ok(Value::Object(inner)) = serde_json::from_str(&signals.message)
        {
            signals.message.clear();
            collect(&inner, &mut signals);
        }
        codes_in_message(&mut signals);
    }
    signals
}

fn is_error(top: &Object) -> bool {
    let text = |name: &str| top.get(name).and_then(Value::as_str);
    let is_failed = |value: &Value| value.get("status").and_then(Value::as_str) == Some("failed");
    let says_something = |value: &Value| match value {
        Value::Null | Value::Bool(_) => false,
        Value::String(text) => !text.is_empty(),
        // A job that did not fail has an error without content.
        Value::Object(fields) => fields.values().any(|field| !field.is_null()),
        Value::Array(all) => !all.is_empty(),
        Value::Number(number) => number.as_i64() != Some(0),
    };
    top.get("error").is_some_and(says_something)
        || matches!(text("type"), Some("error" | "response.failed"))
        || text("object") == Some("error")
        || top.get("response").is_some_and(is_failed)
        || base_code(top).is_some_and(|code| code != "0")
        || (top.get("success") == Some(&Value::Bool(false)) && top.contains_key("code"))
}

/// The code in MiniMax' own envelope, which comes with every answer.
fn base_code(top: &Object) -> Option<String> {
    scalar(top.get("base_resp")?.get("status_code")?)
}

fn collect(top: &Object, signals: &mut Signals) {
    for name in ["code", "type", "error_type", "title", "status"] {
        word(top.get(name), signals);
    }
    status(top, signals);
    retryable(top, signals);
    resets(top, signals);
    object(top.get("headers"), |headers| resets(headers, signals));
    if let Some(code) = base_code(top).filter(|code| code != "0") {
        push_word("base_resp", signals);
        push_word(&code, signals);
    }
    let response = top
        .get("response")
        .and_then(|response| response.get("error"));
    for error in [top.get("error"), response, first(top.get("errors"))] {
        match error {
            Some(Value::Object(error)) => collect_error(error, signals),
            Some(Value::String(text)) => {
                if !text.contains(' ') {
                    push_word(text, signals);
                }
                message(error, signals);
            }
            _ => {}
        }
    }
    let base = top.get("base_resp").and_then(|base| base.get("status_msg"));
    for text in [top.get("message"), top.get("msg"), base, top.get("detail")] {
        message(text, signals);
    }
    match top.get("detail") {
        Some(Value::Object(detail)) => collect_error(detail, signals),
        Some(Value::Array(details)) => {
            for detail in details.iter().take(MOST_ELEMENTS) {
                word(detail.get("type"), signals);
                message(detail.get("msg"), signals);
            }
        }
        _ => {}
    }
    for text in [top.get("error_description"), top.get("title")] {
        message(text, signals);
    }
}

fn collect_error(error: &Object, signals: &mut Signals) {
    for name in ["code", "type", "status", "error_type", "reason"] {
        word(error.get(name), signals);
    }
    status(error, signals);
    for text in [error.get("message"), error.get("msg")] {
        message(text, signals);
    }
    retryable(error, signals);
    resets(error, signals);
    object(error.get("metadata"), |metadata| {
        for name in ["error_type", "limit_source", "provider_code", "reason"] {
            word(metadata.get(name), signals);
        }
        // That another provider stands behind this one says whose limit it is.
        if ["provider_code", "provider_name"]
            .iter()
            .any(|name| metadata.get(*name).is_some_and(|value| !value.is_null()))
        {
            push_word("provider_code", signals);
        }
        retryable(metadata, signals);
        resets(metadata, signals);
        object(metadata.get("headers"), |headers| resets(headers, signals));
    });
    object(error.get("availability"), |availability| {
        word(availability.get("code"), signals);
        retryable(availability, signals);
        resets(availability, signals);
    });
    object(error.get("innererror"), |inner| {
        word(inner.get("code"), signals)
    });
    match error.get("details") {
        Some(Value::Object(details)) => {
            word(details.get("error_code"), signals);
            resets(details, signals);
        }
        Some(Value::Array(details)) => {
            for detail in details.iter().take(MOST_ELEMENTS) {
                object(Some(detail), |detail| collect_detail(detail, signals));
            }
        }
        _ => {}
    }
}

/// One of Google's details.
fn collect_detail(detail: &Object, signals: &mut Signals) {
    let kind = detail.get("@type").and_then(Value::as_str);
    if let Some(name) = kind.and_then(|kind| kind.rsplit(['.', '/']).next()) {
        push_word(name, signals);
    }
    word(detail.get("reason"), signals);
    resets(detail, signals);
    object(detail.get("metadata"), |metadata| resets(metadata, signals));
    let violations = detail.get("violations").and_then(Value::as_array);
    for violation in violations.into_iter().flatten().take(MOST_ELEMENTS) {
        word(violation.get("quotaId"), signals);
    }
}

fn object(value: Option<&Value>, with: impl FnOnce(&Object)) {
    if let Some(Value::Object(fields)) = value {
        with(fields);
    }
}

fn first(value: Option<&Value>) -> Option<&Value> {
    value?.as_array()?.first()
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn word(value: Option<&Value>, signals: &mut Signals) {
    if let Some(text) = value.and_then(scalar) {
        push_word(&text, signals);
    }
}

fn push_word(text: &str, signals: &mut Signals) {
    let text = text.trim().to_lowercase();
    if !text.is_empty()
        && text.len() <= LONGEST_WORD
        && signals.words.len() < MOST_WORDS
        && !signals.words.contains(&text)
    {
        signals.words.push(text);
    }
}

/// The first message counts; what follows says the same in other words, or less.
fn message(value: Option<&Value>, signals: &mut Signals) {
    if let Some(Value::String(text)) = value
        && signals.message.is_empty()
    {
        signals.message = bounded(text.trim());
    }
}

fn status(fields: &Object, signals: &mut Signals) {
    for name in ["status", "status_code", "code"] {
        let number = fields.get(name).and_then(scalar);
        let number = number.and_then(|number| number.parse().ok());
        if let Some(number @ 400..=599) = number {
            signals.status.get_or_insert(number);
        }
    }
}

fn retryable(fields: &Object, signals: &mut Signals) {
    if let Some(Value::Bool(said)) = fields.get("retryable") {
        signals.retryable.get_or_insert(*said);
    }
}

fn resets(fields: &Object, signals: &mut Signals) {
    for (name, value) in fields {
        let plain: String = name
            .chars()
            .filter(|c| *c != '-' && *c != '_')
            .flat_map(char::to_lowercase)
            .collect();
        if signals.resets.len() >= MOST_RESETS || !RESETS.contains(&plain.as_str()) {
            continue;
        }
        // Protocol buffers' durations: whole seconds, as text or number.
        let seconds = || Some(format!("{}s", scalar(value.get("seconds")?)?));
        if let Some(value) = scalar(value).or_else(seconds)
            && value.len() <= LONGEST_RESET
        {
            signals.resets.push((name.to_lowercase(), value));
        }
    }
}

/// `[1308][…]` before the message, and `(2056)` behind it.
fn codes_in_message(signals: &mut Signals) {
    let is_code = |text: &&str| {
        DIGITS.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    let message = &signals.message;
    let before = message
        .strip_prefix('[')
        .and_then(|rest| rest.split(']').next());
    let mut tail = message.len().saturating_sub(TAIL);
    while !message.is_char_boundary(tail) {
        tail += 1;
    }
    let behind = message[tail..]
        .split('(')
        .skip(1)
        .filter_map(|rest| rest.split_once(')').map(|(code, _)| code));
    let found: Vec<String> = before
        .into_iter()
        .chain(behind)
        .filter(is_code)
        .map(str::to_owned)
        .collect();
    for code in found {
        push_word(&code, signals);
    }
}
