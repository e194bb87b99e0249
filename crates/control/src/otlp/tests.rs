//! Tests of what is sent, by the rules of OTLP's JSON.

use std::sync::Arc;

use api_key_lb_core::fact::{Affinity, Attempt, Ending, RequestId, SessionId, Trace, Usage};
use api_key_lb_core::plan::{Guard, Limits, Lists, Pacing, Recognition, Timing};
use api_key_lb_core::target::Target;
use api_key_lb_core::{AccountId, Key, KeyId, Pool, Secret};

use super::*;
use crate::metrics::Gauges;
use crate::prices::Prices;

const BEGAN: u64 = 1_700_000_000_123;

fn key(number: u8) -> Key {
    let target = Arc::new(Target::parse("https://api.z.ai").unwrap());
    let secret = Secret::new(format!("sk-planted-{number}"));
    let id = KeyId::of(&secret, &target);
    Key {
        id,
        label: format!("key-{number}"),
        secret,
        target,
        via: None,
        account: AccountId::of_key(id),
        weight: 1,
    }
}

fn plan() -> Plan {
    Plan {
        default_pool: Some(Pool {
            name: String::new(),
            target: key(1).target,
            keys: vec![key(1), key(2)],
            lists: Lists::First,
        }),
        named_pools: Vec::new(),
        guard: Guard::default(),
        timing: Timing::default(),
        limits: Limits::default(),
        recognition: Recognition::default(),
        pacing: Pacing::default(),
        answer_headers: true,
        include_usage: false,
        error_rules: Vec::new(),
    }
}

fn fact() -> Fact {
    let attempt = |number, status, began| Attempt {
        status: Some(status),
        began: Duration::from_millis(began),
        took: Duration::from_millis(20),
        ..Attempt::begun(key(number).id)
    };
    Fact {
        took: Duration::from_millis(2500),
        first_byte: Duration::from_millis(300),
        status: 200,
        model: Some("glm-4.6".into()),
        session: Some(SessionId(0x1a2b_3c4d << 96)),
        affinity: Affinity::Borrowed,
        reason: Some("key-1 is throttled".into()),
        attempts: vec![attempt(1, 429, 1), attempt(2, 200, 25)],
        usage: Some(Usage {
            prompt: 1000,
            cached: 900,
            written: 0,
            output: 50,
        }),
        ending: Ending::Complete,
        ..Fact::begun(
            RequestId::default(),
            Moment::from_unix_millis(BEGAN),
            http::Method::POST,
            "/v1/chat/completions".to_owned(),
        )
    }
}

fn outbox() -> Outbox {
    let outbox = Outbox::new(About {
        service: "mine".into(),
        version: "2.0.0".into(),
        instance: "instance".into(),
        started: Moment::from_unix_millis(BEGAN),
        traces: true,
    });
    outbox.learn(&plan());
    outbox
}

fn spans_of(fact: Fact) -> Vec<Value> {
    let outbox = outbox();
    outbox.observe(&[fact], &Metrics::default());
    let Some(parcel) = outbox.traces() else {
        return Vec::new();
    };
    let body: Value = serde_json::from_slice(&parcel.body).unwrap();
    let spans = body["resourceSpans"][0]["scopeSpans"][0]["spans"].clone();
    assert_eq!(parcel.items, spans.as_array().unwrap().len() as u64);
    spans.as_array().unwrap().clone()
}

fn attribute<'v>(of: &'v Value, key: &str) -> &'v Value {
    let attributes = of["attributes"].as_array().unwrap();
    let found = attributes.iter().find(|one| one["key"] == key);
    found.map_or(&Value::Null, |one| &one["value"])
}

#[test]
fn a_request_is_a_span_with_the_names_of_the_conventions() {
    let spans = spans_of(fact());
    let whole = &spans[0];
    assert_eq!(whole["name"], "chat glm-4.6");
    assert_eq!(whole["kind"], 3);
    assert_eq!(whole["traceId"].as_str().unwrap().len(), 32);
    assert_eq!(whole["spanId"].as_str().unwrap().len(), 16);
    assert!(whole.get("parentSpanId").is_none() && whole.get("status").is_none());
    assert_eq!(whole["startTimeUnixNano"], "1700000000123000000");
    assert_eq!(whole["endTimeUnixNano"], "1700000002623000000");
    for (key, value) in [
        ("gen_ai.operation.name", json!({"stringValue": "chat"})),
        ("gen_ai.provider.name", json!({"stringValue": "zai"})),
        ("gen_ai.request.model", json!({"stringValue": "glm-4.6"})),
        ("gen_ai.usage.input_tokens", json!({"intValue": "1000"})),
        ("gen_ai.usage.output_tokens", json!({"intValue": "50"})),
        (
            "gen_ai.usage.cache_read.input_tokens",
            json!({"intValue": "900"}),
        ),
        ("server.address", json!({"stringValue": "api.z.ai"})),
        ("server.port", json!({"intValue": "443"})),
        ("http.response.status_code", json!({"intValue": "200"})),
        ("api_key_lb.key", json!({"stringValue": "key-2"})),
        ("api_key_lb.affinity", json!({"stringValue": "borrowed"})),
        (
            "api_key_lb.reason",
            json!({"stringValue": "key-1 is throttled"}),
        ),
    ] {
        assert_eq!(attribute(whole, key), &value, "{key}");
    }
    assert!(!format!("{spans:?}").contains("planted"));
}

#[test]
fn several_attempts_are_spans_below_it() {
    let spans = spans_of(fact());
    assert_eq!(spans.len(), 3);
    for (attempt, label, ended) in [
        (&spans[1], "key-1", "1700000000144000000"),
        (&spans[2], "key-2", "1700000002623000000"),
    ] {
        assert_eq!(attempt["traceId"], spans[0]["traceId"]);
        assert_eq!(attempt["parentSpanId"], spans[0]["spanId"]);
        assert_ne!(attempt["spanId"], spans[0]["spanId"]);
        assert_eq!(attempt["endTimeUnixNano"], ended);
        assert_eq!(attribute(attempt, "api_key_lb.key")["stringValue"], label);
    }
    assert_eq!(spans[1]["status"]["code"], 2);
    assert_eq!(attribute(&spans[1], "error.type")["stringValue"], "429");
}

#[test]
fn a_trace_of_the_client_is_continued_and_its_wish_not_to_record_is_kept() {
    let trace = Trace {
        id: 0x4bf9,
        parent: 0xf067,
        sampled: true,
    };
    let spans = spans_of(Fact {
        trace: Some(trace),
        ..fact()
    });
    assert_eq!(spans[0]["traceId"], format!("{:032x}", 0x4bf9));
    assert_eq!(spans[0]["parentSpanId"], format!("{:016x}", 0xf067));
    let unsampled = Trace {
        sampled: false,
        ..trace
    };
    let none = spans_of(Fact {
        trace: Some(unsampled),
        ..fact()
    });
    assert!(none.is_empty());
}

#[test]
fn a_model_that_nobody_served_is_not_named() {
    let mut fact = fact();
    fact.attempts.truncate(1);
    fact.status = 429;
    let spans = spans_of(fact);
    assert_eq!(spans.len(), 1);
    assert_eq!(spans[0]["name"], "chat");
    assert_eq!(spans[0]["status"]["code"], 2);
    assert_eq!(attribute(&spans[0], "error.type")["stringValue"], "429");
    assert!(!format!("{spans:?}").contains("glm"));
}

#[test]
fn what_there_is_no_room_for_is_dropped_and_counted() {
    let (outbox, metrics) = (outbox(), Metrics::default());
    let facts: Vec<Fact> = (0..MOST + 10).map(|_| fact()).collect();
    outbox.observe(&facts, &metrics);
    let page = metrics.render(&Gauges::default(), None).body;
    let line = "api_key_lb_otlp_items_total{signal=\"traces\",result=\"dropped\"} 10\n";
    assert!(page.contains(line), "{page}");
    let mut spans = 0;
    while let Some(parcel) = outbox.traces() {
        spans += parcel.items;
    }
    assert_eq!(spans, 3 * MOST as u64);
}

#[test]
fn metrics_have_the_histograms_of_the_conventions_and_our_own() {
    let (outbox, metrics) = (outbox(), Metrics::default());
    assert!(outbox.metrics(&[], Moment::default()).is_none());
    outbox.observe(&[fact()], &metrics);
    metrics.observe(&[fact()], &Prices::default(), &|_| "key-2".into());
    let families = metrics.families(&Gauges::default());
    let now = Moment::from_unix_millis(BEGAN + 1000);
    let parcel = outbox.metrics(&families, now).unwrap();
    let body: Value = serde_json::from_slice(&parcel.body).unwrap();
    let all = &body["resourceMetrics"][0]["scopeMetrics"][0]["metrics"];
    let named = |name: &str| {
        let mut all = all.as_array().unwrap().iter();
        all.find(|metric| metric["name"] == name)
            .unwrap_or_else(|| panic!("{name} in {body}"))
            .clone()
    };
    let tokens = named("gen_ai.client.token.usage");
    assert_eq!(tokens["histogram"]["aggregationTemporality"], 2);
    let points = tokens["histogram"]["dataPoints"].as_array().unwrap();
    assert_eq!(points.len(), 2);
    for point in points {
        let counts = point["bucketCounts"].as_array().unwrap();
        let ends = point["explicitBounds"].as_array().unwrap();
        assert_eq!(counts.len(), ends.len() + 1);
        assert_eq!(point["count"], "1");
        assert_eq!(point["startTimeUnixNano"], "1700000000123000000");
        assert_eq!(point["timeUnixNano"], "1700000001123000000");
    }
    assert_eq!(named("gen_ai.client.operation.duration")["unit"], "s");
    let requests = named("api_key_lb.requests");
    assert_eq!(requests["sum"]["isMonotonic"], true);
    assert_eq!(requests["sum"]["dataPoints"][0]["asDouble"], 1.0);
    assert_eq!(named("api_key_lb.wait")["unit"], "s");
    assert_eq!(
        named("api_key_lb.sessions")["gauge"]["dataPoints"][0]["asDouble"],
        0.0
    );
    assert!(!body.to_string().contains("planted"));
    // Nothing that is no number, which JSON would not have.
    assert!(!all.to_string().contains("null"), "{all}");
}

#[test]
fn what_a_receiver_refuses_of_what_it_took_is_counted() {
    for (answer, count) in [
        (
            r#"{"partialSuccess":{"rejectedSpans":"3","errorMessage":"x"}}"#,
            3,
        ),
        (r#"{"partialSuccess":{"rejectedDataPoints":2}}"#, 2),
        (r#"{"partialSuccess":{}}"#, 0),
        ("{}", 0),
        ("", 0),
        ("<html>", 0),
    ] {
        assert_eq!(refused(answer.as_bytes()), count, "{answer}");
    }
}
