//! Facts about requests as lines for programs: one JSON object each. What its fields mean is in `docs/logs.md`.

use api_key_lb_core::KeyId;
use api_key_lb_core::fact::{Ending, Fact, Part};
use api_key_lb_core::moment::Moment;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::shown_path;
use crate::prices::Prices;

/// The longest name of a model, in bytes; longer ones are somebody's mistake.
const MODEL_BYTES: usize = 128;

/// What a line about a request says. All fields are always there.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    event: &'static str,
    id: String,
    method: &'a str,
    path: String,
    pool: &'a str,
    status: Option<u16>,
    model: Option<&'a str>,
    session: Option<String>,
    rule: Option<&'a str>,
    part: &'static str,
    client: Option<&'a str>,
    affinity: &'static str,
    reason: Option<&'a str>,
    attempts: Vec<Attempt>,
    took_ms: u64,
    waited_ms: u64,
    first_byte_ms: Option<u64>,
    added_us: Option<u64>,
    usage: Option<Usage>,
    cost_usd: Option<f64>,
    request_bytes: u64,
    response_bytes: u64,
    ending: &'static str,
    error_code: Option<&'static str>,
}

/// An attempt with one key.
#[derive(Serialize, Deserialize)]
pub(super) struct Attempt {
    /// What the key is called.
    pub(super) key: String,
    pub(super) status: Option<u16>,
    #[serde(default)]
    verdict: Option<String>,
    #[serde(default)]
    took_ms: u64,
}

/// Tokens, as in [`api_key_lb_core::fact::Usage`].
#[derive(Serialize, Deserialize)]
pub(super) struct Usage {
    pub(super) prompt: u64,
    pub(super) cached: u64,
    written: u64,
    output: u64,
}

/// What is read back of such a line.
#[derive(Deserialize)]
pub(super) struct Said {
    pub(super) time: String,
    pub(super) event: String,
    #[serde(default)]
    pub(super) id: String,
    pub(super) path: String,
    pub(super) status: Option<u16>,
    pub(super) session: Option<String>,
    pub(super) attempts: Vec<Attempt>,
    pub(super) took_ms: u64,
    pub(super) waited_ms: u64,
    pub(super) first_byte_ms: Option<u64>,
    pub(super) usage: Option<Usage>,
    pub(super) request_bytes: u64,
    pub(super) ending: String,
}

/// Something that is said besides.
#[derive(Serialize)]
struct Message<'a> {
    time: String,
    event: &'static str,
    level: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    missing: Option<u64>,
}

/// The line for `fact`, without a line break. Its time is when the request ended.
pub fn json(fact: &Fact, label_of: &dyn Fn(KeyId) -> String, prices: &Prices) -> String {
    let model = fact.model.as_deref().filter(|model| is_served(fact, model));
    let usage = fact.usage.as_ref();
    let attempts = fact.attempts.iter().map(|attempt| Attempt {
        key: label_of(attempt.key),
        status: attempt.status,
        verdict: attempt
            .verdict
            .map(|(matter, _)| matter.as_str().to_owned()),
        took_ms: millis(attempt.took),
    });
    let line = Line {
        time: time(fact.began.after(fact.took)),
        event: "request",
        id: fact.id.to_string(),
        method: fact.method.as_str(),
        path: shown_path(&fact.path),
        pool: &fact.pool,
        status: Some(fact.status).filter(|status| *status != 0),
        model,
        session: fact.session.map(|session| session.short()),
        rule: fact.rule.as_deref(),
        part: match fact.part {
            Part::Whole => "whole",
            Part::SubAgent => "sub_agent",
            Part::Conversation => "conversation",
        },
        client: fact.client.name(),
        affinity: fact.affinity.as_str(),
        reason: fact.reason.as_deref(),
        attempts: attempts.collect(),
        took_ms: millis(fact.took),
        waited_ms: millis(fact.waited),
        first_byte_ms: (!fact.first_byte.is_zero()).then(|| millis(fact.first_byte)),
        added_us: fact
            .added
            .map(|added| u64::try_from(added.as_micros()).unwrap_or(u64::MAX)),
        usage: usage.map(|usage| Usage {
            prompt: usage.prompt,
            cached: usage.cached,
            written: usage.written,
            output: usage.output,
        }),
        cost_usd: model
            .zip(usage)
            .and_then(|(model, usage)| prices.cost(model, usage))
            .map(|cost| cost.cost_usd),
        request_bytes: fact.request_bytes,
        response_bytes: fact.response_bytes,
        ending: ending(fact.ending),
        error_code: fact.error_code(),
    };
    written(&line)
}

/// Something that is said besides, as a line; how many lines are missing before it, if that is it.
pub fn json_message(at: Moment, level: &str, message: &str, missing: Option<u64>) -> String {
    written(&Message {
        time: time(at),
        event: "message",
        level,
        message,
        missing,
    })
}

/// Whether `line` is a message about something that a person should look at.
pub(super) fn is_warning(line: &str) -> bool {
    #[derive(Deserialize)]
    struct Level<'a> {
        level: &'a str,
    }
    let level = serde_json::from_str::<Level<'_>>(line);
    level.is_ok_and(|it| matches!(it.level, "warning" | "error"))
}

const fn ending(ending: Ending) -> &'static str {
    match ending {
        Ending::Complete => "complete",
        Ending::ClientLeft => "client_left",
        Ending::Cut => "cut",
        Ending::Own(_) => "own",
    }
}

/// Only models that were served are named: what else stands in a request may be anything.
fn is_served(fact: &Fact, model: &str) -> bool {
    (200..300).contains(&fact.status)
        && !fact.attempts.is_empty()
        && model.len() <= MODEL_BYTES
        && !model.chars().any(char::is_control)
}

fn written(line: &impl Serialize) -> String {
    // Numbers and texts can always be written.
    serde_json::to_string(line).unwrap_or_default()
}

fn millis(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// `2026-07-22T14:30:00.123Z`
fn time(at: Moment) -> String {
    let millis = i64::try_from(at.unix_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(millis)
        .map_or_else(|_| millis.to_string(), |time| format!("{time:.3}"))
}
