//! A request as a JSON object: captured with its head, or the body alone.

use std::collections::HashMap;

use serde_json::Value;
use serde_json::value::RawValue;

use super::{Draft, NotARequest};

/// The frames that a client sent over a WebSocket.
const FRAMES: [&str; 2] = ["frames", "frames_from_client"];
/// Fields of which one makes an object with a `body` a captured request.
const OF_A_HEAD: [&str; 3] = ["method", "path", "url"];

type Fields<'j> = HashMap<String, &'j RawValue>;

pub(super) fn draft(input: &[u8]) -> Result<Draft, NotARequest> {
    let fields: Fields<'_> = serde_json::from_slice(input).map_err(|error| NotARequest::Json {
        line: error.line(),
        column: error.column(),
    })?;
    let has = |name: &str| fields.contains_key(name);
    let is_captured = has("headers")
        || FRAMES.into_iter().any(has)
        || (has("body") && OF_A_HEAD.into_iter().any(has));
    if !is_captured {
        return Ok(Draft {
            body: input.to_vec(),
            ..Draft::default()
        });
    }
    let mut draft = Draft {
        method: text(&fields, "method")?,
        target: text(&fields, "path")?.or(text(&fields, "url")?),
        headers: fields.get("headers").map_or(Ok(Vec::new()), headers)?,
        ..Draft::default()
    };
    let frames = FRAMES.into_iter().find_map(|name| fields.get(name));
    draft.body = match (frames, fields.get("body")) {
        (Some(frames), None) => first_frame(frames, &mut draft.notes)?,
        (_, Some(body)) => bytes(body),
        (None, None) => Vec::new(),
    };
    if draft.method.is_none() && draft.body.is_empty() {
        draft.method = Some("GET".to_owned());
    }
    if draft.target.is_none() && draft.body.is_empty() {
        // Nothing to guess from.
        draft.target = Some("/".to_owned());
    }
    Ok(draft)
}

fn text(fields: &Fields<'_>, field: &'static str) -> Result<Option<String>, NotARequest> {
    let wrong = |_| NotARequest::Field {
        field,
        wanted: "a text",
    };
    let Some(raw) = fields.get(field) else {
        return Ok(None);
    };
    serde_json::from_str(raw.get()).map_err(wrong)
}

/// A list of pairs, or an object.
fn headers(raw: &&RawValue) -> Result<Vec<(String, String)>, NotARequest> {
    let wrong = || NotARequest::Field {
        field: "headers",
        wanted: "an object, or a list of pairs `[\"name\", \"value\"]`",
    };
    let mut pairs: Vec<(String, Value)> = Vec::new();
    match serde_json::from_str(raw.get()).map_err(|_| wrong())? {
        Value::Null => {}
        Value::Object(members) => pairs.extend(members),
        Value::Array(items) => {
            for item in items {
                let pair = match item {
                    // As browsers write it into an archive.
                    Value::Object(mut pair) => {
                        [pair.remove("name"), pair.remove("value")].map(Option::unwrap_or_default)
                    }
                    Value::Array(pair) => pair.try_into().map_err(|_| wrong())?,
                    _ => return Err(wrong()),
                };
                let [Value::String(name), value] = pair else {
                    return Err(wrong());
                };
                pairs.push((name, value));
            }
        }
        _ => return Err(wrong()),
    }
    let mut headers = Vec::new();
    for (name, value) in pairs {
        let values = match value {
            Value::Array(values) => values,
            value => vec![value],
        };
        for value in values {
            let value = match value {
                Value::String(text) => text,
                Value::Number(number) => number.to_string(),
                _ => return Err(wrong()),
            };
            headers.push((name.clone(), value));
        }
    }
    Ok(headers)
}

/// The body: a text is the body itself, anything else is JSON, which stays as it is written.
fn bytes(raw: &RawValue) -> Vec<u8> {
    match serde_json::from_str(raw.get()) {
        Ok(Value::String(text)) => text.into_bytes(),
        Ok(Value::Null) => Vec::new(),
        _ => raw.get().as_bytes().to_vec(),
    }
}

/// Of a WebSocket, the request that opens the conversation stands for all of them.
fn first_frame(raw: &RawValue, notes: &mut Vec<String>) -> Result<Vec<u8>, NotARequest> {
    let wrong = || NotARequest::Field {
        field: "frames",
        wanted: "the list of the client's frames",
    };
    let frames: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(|_| wrong())?;
    let Some(first) = frames.first() else {
        return Ok(Vec::new());
    };
    if frames.len() > 1 {
        notes.push(format!("the first of {} frames is taken", frames.len()));
    }
    let wrapped: Fields<'_> = serde_json::from_str(first.get()).unwrap_or_default();
    Ok(bytes(wrapped.get("frame").unwrap_or(first)))
}
