//! A request as a span, with one below it for each try where there were several. Names, numbers and
//! times: never a body, a secret or an id that a client has sent.

use std::time::Duration;

use api_key_lb_core::fact::{Ending, Fact};
use serde_json::{Value, json};

use super::json::{Attributes, Ids, nanos};
use super::places::Places;
use super::semantics;
use crate::metrics::{Models, pool_name};

/// A span of something that calls somebody else.
const CLIENT: u8 = 3;
/// The status of a span that failed.
const ERROR: u8 = 2;

/// The spans of `fact`.
pub(super) fn spans(
    fact: &Fact,
    places: &Places,
    models: &mut Models,
    ids: &mut Ids,
    into: &mut Vec<Value>,
) {
    if fact.trace.is_some_and(|trace| !trace.sampled) {
        return;
    }
    let trace = fact.trace.map_or_else(|| ids.trace(), |trace| trace.id);
    let span = ids.span();
    let model = models
        .admit(fact)
        .then_some(fact.model.as_deref())
        .flatten();
    let operation = semantics::operation(fact);
    let name = match (operation, model) {
        (Some(operation), Some(model)) => format!("{operation} {model}"),
        (Some(operation), None) => operation.to_owned(),
        (None, _) => fact.method.to_string(),
    };
    let mut whole = json!({
        "traceId": format!("{trace:032x}"),
        "spanId": format!("{span:016x}"),
        "name": name,
        "kind": CLIENT,
        "startTimeUnixNano": nanos(fact.began, Duration::ZERO),
        "endTimeUnixNano": nanos(fact.began, fact.took),
        "attributes": attributes(fact, places, operation, model),
    });
    if let Some(trace) = fact.trace {
        whole["parentSpanId"] = format!("{:016x}", trace.parent).into();
    }
    if semantics::error(fact).is_some() {
        whole["status"] = json!({"code": ERROR});
    }
    into.push(whole);
    if fact.attempts.len() > 1 {
        attempts(fact, places, (trace, span), ids, into);
    }
}

fn attributes(
    fact: &Fact,
    places: &Places,
    operation: Option<&'static str>,
    model: Option<&str>,
) -> Value {
    let mut attributes = Attributes::default();
    let last = fact.attempts.last().and_then(|last| places.get(last.key));
    if let Some(operation) = operation {
        attributes.text("gen_ai.operation.name", operation);
        if let Some(place) = last {
            attributes.text("gen_ai.provider.name", place.provider);
        }
    }
    if let Some(model) = model {
        attributes.text("gen_ai.request.model", model);
    }
    if let Some(session) = fact.session {
        attributes.text("gen_ai.conversation.id", session.full());
    }
    if let Some(usage) = fact.usage {
        attributes.count("gen_ai.usage.input_tokens", usage.prompt);
        attributes.count("gen_ai.usage.output_tokens", usage.output);
        attributes.count("gen_ai.usage.cache_read.input_tokens", usage.cached);
        attributes.count("gen_ai.usage.cache_creation.input_tokens", usage.written);
    }
    if let Some(place) = last {
        attributes.text("server.address", place.host.clone());
        attributes.count("server.port", place.port);
        attributes.text("api_key_lb.key", place.label.clone());
    }
    attributes.text("http.request.method", fact.method.as_str());
    if fact.status != 0 {
        attributes.count("http.response.status_code", fact.status);
    }
    if let Some(error) = semantics::error(fact) {
        attributes.text("error.type", error);
    }
    attributes.text("api_key_lb.request_id", fact.id.to_string());
    attributes.text("api_key_lb.pool", pool_name(&fact.pool));
    attributes.text("api_key_lb.affinity", fact.affinity.as_str());
    if let Some(reason) = &fact.reason {
        attributes.text("api_key_lb.reason", reason.clone());
    }
    if let Some(rule) = &fact.rule {
        attributes.text("api_key_lb.rule", rule.to_string());
    }
    if let Some(client) = fact.client.name() {
        attributes.text("api_key_lb.client", client);
    }
    attributes.count("api_key_lb.attempts", fact.attempts.len());
    attributes.number("api_key_lb.waited_seconds", fact.waited.as_secs_f64());
    if fact.status != 0 {
        attributes.number(
            "api_key_lb.first_byte_seconds",
            fact.first_byte.as_secs_f64(),
        );
    }
    if fact.ending == Ending::ClientLeft {
        attributes.text("api_key_lb.ending", "client_left");
    }
    attributes.into_value()
}

/// One span for each try.
fn attempts(
    fact: &Fact,
    places: &Places,
    (trace, parent): (u128, u64),
    ids: &mut Ids,
    into: &mut Vec<Value>,
) {
    for (number, attempt) in fact.attempts.iter().enumerate() {
        let is_last = number + 1 == fact.attempts.len();
        let began = attempt.began.min(fact.took);
        // The last one goes on until the answer has been relayed.
        let relayed = is_last && !matches!(fact.ending, Ending::Own(_));
        let ended = if relayed {
            fact.took
        } else {
            (began + attempt.took).min(fact.took)
        };
        let mut attributes = Attributes::default();
        attributes.text("http.request.method", fact.method.as_str());
        attributes.count("http.request.resend_count", number);
        if let Some(place) = places.get(attempt.key) {
            attributes.text("api_key_lb.key", place.label.clone());
            attributes.text("server.address", place.host.clone());
            attributes.count("server.port", place.port);
        }
        if let Some(status) = attempt.status {
            attributes.count("http.response.status_code", status);
        }
        if let Some((_, rule)) = attempt.verdict {
            attributes.text("api_key_lb.verdict", rule);
        }
        let error = match attempt.status {
            Some(status) if status >= 400 => Some(status.to_string()),
            Some(_) => None,
            None => Some("no_answer".to_owned()),
        };
        if let Some(error) = &error {
            attributes.text("error.type", error.clone());
        }
        let mut span = json!({
            "traceId": format!("{trace:032x}"),
            "spanId": format!("{:016x}", ids.span()),
            "parentSpanId": format!("{parent:016x}"),
            "name": fact.method.as_str(),
            "kind": CLIENT,
            "startTimeUnixNano": nanos(fact.began, began),
            "endTimeUnixNano": nanos(fact.began, ended),
            "attributes": attributes.into_value(),
        });
        if error.is_some() {
            span["status"] = json!({"code": ERROR});
        }
        into.push(span);
    }
}
