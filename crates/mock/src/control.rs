//! The endpoints that are not a provider's: `/_mock/…` and `…/echo`.

use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_64;

use crate::answer::{Answer, Body, Headers};
use crate::connection::RequestBody;
use crate::dialect::{CONTROL_PREFIX, Dialect, error};
use crate::fault::{Fault, FaultId};
use crate::head::Head;
use crate::json::object;
use crate::state::State;
use crate::stub::Stub;

/// Bodies up to this many bytes are echoed as text.
const ECHOED_BODY_BYTES: usize = 64 * 1024;
/// Names of the limits that can be changed while running.
const LIMIT_NAMES: [&str; 4] = ["rpm", "tpm", "output_tpm", "concurrency"];

/// The answer to `…/echo`: what arrived.
pub(crate) fn echo(head: &Head, body: &RequestBody) -> Answer {
    let status = head
        .parameter("status")
        .and_then(|status| status.parse().ok())
        .unwrap_or(200);
    let pairs = |pairs: &[(String, String)]| -> Vec<[String; 2]> {
        pairs
            .iter()
            .map(|(name, value)| [name.clone(), value.clone()])
            .collect()
    };
    let text = std::str::from_utf8(&body.bytes).ok();
    let body = object! {
        "method": head.method,
        "target": head.target,
        "http_version": format!("1.{}", head.minor),
        "headers": pairs(&head.headers),
        "body_bytes": body.bytes.len(),
        "body_xxh3": format!("{:016x}", xxh3_64(&body.bytes)),
        "body": text.filter(|text| text.len() < ECHOED_BODY_BYTES),
        "trailers": pairs(&body.trailers),
    };
    Answer::json(status, body.0)
}

/// The answer to a control request.
pub(crate) fn answer(state: &State, head: &Head, body: &[u8]) -> Answer {
    let path = head.path().strip_prefix(CONTROL_PREFIX).unwrap_or_default();
    let parts: Vec<&str> = path.split('/').collect();
    let done = || Answer::json(200, json!({"ok": true}).to_string());
    match (head.method.as_str(), parts.as_slice()) {
        ("GET", ["counters"]) => reply(serde_json::to_value(state.counters())),
        ("GET", ["requests"]) => {
            let records: Vec<_> = state.lock().records.iter().cloned().collect();
            let shown: Vec<Value> = records.iter().map(|record| record.to_json()).collect();
            Answer::json(200, Value::Array(shown).to_string())
        }
        ("GET", ["requests", number]) => body_of(state, number).unwrap_or_else(missing),
        ("DELETE", ["requests"]) => {
            state.lock().records.clear();
            done()
        }
        ("POST", ["stubs"]) => match serde_json::from_slice::<Vec<Stub>>(body) {
            Ok(stubs) => {
                state.lock().stubs = stubs.into();
                done()
            }
            Err(error) => bad(&error.to_string()),
        },
        ("GET", ["faults"]) => {
            let faults = state.lock().faults.list();
            reply(serde_json::to_value(faults))
        }
        ("POST", ["faults"]) => match faults(body) {
            Ok(faults) => {
                let mut inner = state.lock();
                let ids: Vec<FaultId> = faults
                    .into_iter()
                    .map(|fault| inner.faults.add(fault))
                    .collect();
                drop(inner);
                reply(serde_json::to_value(ids).map(|ids| json!({"ids": ids})))
            }
            Err(message) => bad(&message),
        },
        ("DELETE", ["faults"]) => {
            state.lock().faults.clear();
            done()
        }
        ("DELETE", ["faults", id]) => {
            let removed = id
                .parse()
                .is_ok_and(|id| state.lock().faults.remove(FaultId(id)));
            if removed { done() } else { missing() }
        }
        ("POST", ["accounts", name]) => set_limits(state, name, body),
        ("POST", ["reset"]) => {
            state.reset();
            done()
        }
        _ => missing(),
    }
}

fn reply(value: Result<Value, serde_json::Error>) -> Answer {
    match value {
        Ok(value) => Answer::json(200, value.to_string()),
        Err(error) => error::status(Dialect::OpenAi, 500, Some(&error.to_string()), ""),
    }
}

fn bad(message: &str) -> Answer {
    error::status(Dialect::OpenAi, 400, Some(message), "")
}

fn missing() -> Answer {
    error::status(
        Dialect::OpenAi,
        404,
        Some("no such control endpoint, fault or account"),
        "",
    )
}

/// The body of a recorded request, as it came.
fn body_of(state: &State, number: &str) -> Option<Answer> {
    let number: u64 = number.parse().ok()?;
    let inner = state.lock();
    let recorded = inner.records.iter().find(|one| one.number == number)?;
    let mut headers = Headers::default();
    headers.add("content-type", "application/octet-stream");
    Some(Answer {
        status: 200,
        headers,
        body: Body::Whole(recorded.body.clone()),
    })
}

/// One fault, or an array of them.
fn faults(body: &[u8]) -> Result<Vec<Fault>, String> {
    let value: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let items = match value {
        Value::Array(items) => items,
        item => vec![item],
    };
    items
        .into_iter()
        .map(|item| serde_json::from_value(item).map_err(|error| error.to_string()))
        .collect()
}

/// Members that are absent leave their limit as it is; 0 and `null` remove it.
fn set_limits(state: &State, name: &str, body: &[u8]) -> Answer {
    let Some(mut limits) = state.limits(name) else {
        return missing();
    };
    let value: Value = match serde_json::from_slice(body) {
        Ok(value) => value,
        Err(error) => return bad(&error.to_string()),
    };
    let Some(members) = value.as_object() else {
        return bad("expected an object of limits");
    };
    for (limit, value) in members {
        let number = if value.is_null() {
            Some(0)
        } else {
            value.as_u64()
        };
        let Some(number) = number else {
            return bad("a limit is a whole number or null");
        };
        if let Err(message) = limits.set(limit, number) {
            return bad(&message);
        }
    }
    state.set_limits(name, limits);
    let values = [
        limits.rpm,
        limits.tpm,
        limits.output_tpm,
        limits.concurrency,
    ];
    let shown: serde_json::Map<String, Value> = LIMIT_NAMES
        .iter()
        .zip(values)
        .map(|(name, value)| ((*name).to_owned(), value.into()))
        .collect();
    Answer::json(200, Value::Object(shown).to_string())
}
