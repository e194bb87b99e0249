//! OpenTelemetry, sent to a receiver on a raw socket.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use api_key_lb_mock::Fault;
use serde_json::{Value, json};

use crate::support::{
    CHAT, Connection, Proxy, RawRequest, Upstream, chat, config, eventually, key, mock,
};
use crate::tls::Authority;

/// What a receiver answers that took everything.
const TAKEN: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
/// A trace of a client, as in the standard.
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn exporting_to(receiver: &Upstream, mock: &str, more: Value) -> Value {
    let mut otlp = json!({
        "endpoint": format!("{}/base/", receiver.url()),
        "headers": {"authorization": "Bearer env:OTLP_TOKEN"},
        "interval_ms": 100,
        "service": "under-test",
    });
    for (name, value) in more.as_object().into_iter().flatten() {
        otlp[name] = value.clone();
    }
    config(mock, 2, json!({"otlp": otlp}))
}

fn start(settings: Value) -> Proxy {
    Proxy::start_with(settings, &[("OTLP_TOKEN", "planted-token")])
}

fn to<'r>(requests: &'r [RawRequest], path: &str) -> Vec<&'r RawRequest> {
    let line = format!("POST {path} HTTP/1.1");
    let requests = requests.iter();
    requests.filter(|request| request.line() == line).collect()
}

/// All spans that have arrived, each checked by the rules of OTLP.
fn spans(receiver: &Upstream) -> Vec<Value> {
    let requests = receiver.requests();
    let mut all = Vec::new();
    for request in to(&requests, "/base/v1/traces") {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        for of_resource in body["resourceSpans"].as_array().unwrap() {
            is_named(&of_resource["resource"]);
            for of_scope in of_resource["scopeSpans"].as_array().unwrap() {
                assert!(of_scope["scope"]["name"].is_string());
                all.extend(of_scope["spans"].as_array().unwrap().iter().cloned());
            }
        }
    }
    for span in &all {
        is_hexadecimal(&span["traceId"], 32);
        is_hexadecimal(&span["spanId"], 16);
        let parent = span.get("parentSpanId");
        parent.inspect(|parent| is_hexadecimal(parent, 16));
        assert_eq!(span["kind"], 3);
        let (from, to) = (
            nanos(&span["startTimeUnixNano"]),
            nanos(&span["endTimeUnixNano"]),
        );
        assert!(from > 1_700_000_000_000_000_000 && from <= to, "{span}");
        are_attributes(&span["attributes"]);
    }
    all
}

fn is_named(resource: &Value) {
    are_attributes(&resource["attributes"]);
    let of = |key| attribute(resource, key)["stringValue"].clone();
    assert_eq!(of("service.name"), "under-test");
    assert_eq!(of("service.version"), env!("CARGO_PKG_VERSION"));
    assert!(of("service.instance.id").is_string());
}

fn is_hexadecimal(id: &Value, length: usize) {
    let id = id.as_str().unwrap();
    let digits = id.bytes().all(|digit| b"0123456789abcdef".contains(&digit));
    assert!(id.len() == length && digits, "{id}");
    assert!(id.bytes().any(|digit| digit != b'0'), "{id}");
}

/// 64 bits are texts in this JSON.
fn nanos(time: &Value) -> u128 {
    time.as_str().unwrap().parse().unwrap()
}

fn are_attributes(attributes: &Value) {
    for attribute in attributes.as_array().unwrap() {
        assert!(attribute["key"].is_string(), "{attribute}");
        let value = attribute["value"].as_object().unwrap();
        assert_eq!(value.len(), 1, "{attribute}");
        match value.iter().next().unwrap() {
            (kind, value) if kind == "stringValue" => assert!(value.is_string()),
            (kind, value) if kind == "intValue" => {
                value.as_str().unwrap().parse::<i64>().unwrap();
            }
            (kind, value) if kind == "doubleValue" => assert!(value.is_number()),
            (kind, _) => panic!("{kind}"),
        }
    }
}

fn attribute<'v>(of: &'v Value, key: &str) -> &'v Value {
    let attributes = of["attributes"].as_array().unwrap();
    let found = attributes.iter().find(|one| one["key"] == key);
    found.map_or(&Value::Null, |one| &one["value"])
}

fn exported(proxy: &Proxy, signal: &str, result: &str) -> u64 {
    let line = format!("api_key_lb_otlp_items_total{{signal=\"{signal}\",result=\"{result}\"}} ");
    let page = proxy.get("/_lb/metrics").text();
    let value = page.lines().find_map(|other| other.strip_prefix(&line));
    value.map_or(0, |value| value.parse().unwrap())
}

#[test]
fn each_request_is_a_span_within_the_trace_of_its_client() {
    let (mock, receiver) = (mock(2), Upstream::answering(TAKEN));
    let proxy = start(exporting_to(&receiver, &mock.url(), Value::Null));
    mock.fault(Fault::on("*").times(1).status(429));
    let headers = [("x-session-id", "planted-session"), ("traceparent", PARENT)];
    let body = chat("planted words").to_string();
    let reply = proxy.ask(
        "POST",
        &format!("{CHAT}?planted=1"),
        &headers,
        body.as_bytes(),
    );
    let served_by = reply.is(200).header("x-lb-key").unwrap().to_owned();
    proxy.turn("other", &chat("planted words")).is(200);
    eventually("the spans arrive", || {
        let spans = spans(&receiver);
        spans.iter().filter(|span| span["name"] == "chat m").count() == 2
    });
    let spans = spans(&receiver);
    let whole = spans
        .iter()
        .find(|span| span.get("parentSpanId") == Some(&"00f067aa0ba902b7".into()))
        .unwrap();
    assert_eq!(whole["traceId"], "4bf92f3577b34da6a3ce929d0e0e4736");
    let attempts: Vec<&Value> = spans
        .iter()
        .filter(|span| span.get("parentSpanId") == Some(&whole["spanId"]))
        .collect();
    assert_eq!(attempts.len(), 2, "{spans:?}");
    assert_eq!(
        attribute(attempts[0], "http.response.status_code")["intValue"],
        "429"
    );
    assert_eq!(attempts[0]["status"]["code"], 2);
    for (key, value) in [
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.request.model", "m"),
        ("server.address", "127.0.0.1"),
        ("http.request.method", "POST"),
        ("api_key_lb.key", &served_by),
        ("api_key_lb.pool", "default"),
    ] {
        assert_eq!(attribute(whole, key)["stringValue"], value, "{key}");
    }
    assert!(attribute(whole, "gen_ai.usage.input_tokens")["intValue"].is_string());
    let session = &attribute(whole, "gen_ai.conversation.id")["stringValue"];
    assert_eq!(session.as_str().unwrap().len(), 32);
    // What the provider got is as the client sent it.
    let requests = receiver.requests();
    for request in &requests {
        assert_eq!(
            request.header("authorization"),
            Some("Bearer planted-token")
        );
        assert_eq!(request.header("content-type"), Some("application/json"));
        let text = String::from_utf8_lossy(&request.body);
        assert!(
            !text.contains("planted") && !text.contains(&key(1)),
            "{text}"
        );
    }
    assert!(
        !proxy.output().contains("planted-token"),
        "{}",
        proxy.output()
    );
}

#[test]
fn metrics_arrive_with_the_histograms_of_the_conventions() {
    let (mock, receiver) = (mock(2), Upstream::answering(TAKEN));
    let proxy = start(exporting_to(
        &receiver,
        &mock.url(),
        json!({"export": "metrics"}),
    ));
    proxy.turn("a", &chat("hi")).is(200);
    let mut metrics = Vec::new();
    eventually("the request is counted there", || {
        let requests = receiver.requests();
        let Some(last) = to(&requests, "/base/v1/metrics").last().copied() else {
            return false;
        };
        let body: Value = serde_json::from_slice(&last.body).unwrap();
        let of_resource = &body["resourceMetrics"][0];
        is_named(&of_resource["resource"]);
        metrics.clone_from(
            of_resource["scopeMetrics"][0]["metrics"]
                .as_array()
                .unwrap(),
        );
        metrics
            .iter()
            .any(|metric| metric["name"] == "gen_ai.client.token.usage")
    });
    let named = |name: &str| {
        let found = metrics.iter().find(|metric| metric["name"] == name);
        found.unwrap_or_else(|| panic!("{name}")).clone()
    };
    for point in named("gen_ai.client.token.usage")["histogram"]["dataPoints"]
        .as_array()
        .unwrap()
    {
        are_attributes(&point["attributes"]);
        assert!(nanos(&point["startTimeUnixNano"]) <= nanos(&point["timeUnixNano"]));
        assert_eq!(point["count"], "1");
    }
    assert_eq!(named("gen_ai.client.operation.duration")["unit"], "s");
    let requests = &named("api_key_lb.requests")["sum"];
    assert_eq!(requests["dataPoints"][0]["asDouble"], 1.0);
    assert!(spans(&receiver).is_empty(), "only metrics were wanted");
    eventually("what arrived is counted", || {
        exported(&proxy, "metrics", "sent") > 0
    });
}

#[test]
fn a_receiver_that_never_answers_delays_no_request_and_no_end() {
    let mock = mock(2);
    let receiver = Upstream::start(|connection: &mut Connection| {
        let _taken = connection.request();
        std::thread::sleep(Duration::from_secs(60));
    });
    let proxy = start(exporting_to(&receiver, &mock.url(), Value::Null));
    proxy.turn("a", &chat("hi")).is(200);
    eventually("it is being sent", || receiver.connections() > 0);
    let began = Instant::now();
    for number in 0..20 {
        proxy.turn(&format!("s{number}"), &chat("hi")).is(200);
    }
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    proxy.announced();
    let began = Instant::now();
    let port = proxy.port.to_string();
    proxy.home.run(&["stop", "--port", &port], &[]).is(0);
    assert!(
        began.elapsed() < Duration::from_secs(8),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn what_does_not_arrive_is_counted_and_said_once() {
    let mock = mock(2);
    for (answer, result) in [
        (
            "HTTP/1.1 503 Busy\r\nretry-after: 0\r\ncontent-length: 0\r\n\r\n",
            "dropped",
        ),
        ("HTTP/1.1 400 No\r\ncontent-length: 0\r\n\r\n", "refused"),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 40\r\n\r\n{\"partialSuccess\":{\"rejectedSpans\":\"1\"}} ",
            "refused",
        ),
    ] {
        let receiver = Upstream::answering(answer);
        let only = json!({"export": ["traces"]});
        let proxy = start(exporting_to(&receiver, &mock.url(), only));
        proxy.turn("a", &chat("hi")).is(200);
        eventually("it is counted", || exported(&proxy, "traces", result) >= 1);
        let tries = if result == "dropped" { 5 } else { 1 };
        assert_eq!(receiver.requests().len(), tries, "{answer}");
        proxy.turn("b", &chat("hi")).is(200);
        eventually("so is this", || exported(&proxy, "traces", result) >= 2);
        let said = proxy
            .output()
            .matches("OpenTelemetry does not arrive")
            .count();
        let has_complained = usize::from(!answer.contains("200 OK"));
        assert_eq!(said, has_complained, "{}", proxy.output());
    }
}

/// The mock knows no such path: that it refuses shows that it was reached.
#[test]
fn a_receiver_with_tls_is_trusted_as_upstreams_are() {
    let mock = mock(2);
    let authority = Authority::for_names(&["127.0.0.1"]);
    let receiver = authority.mock(1);
    let (home, ca) = authority.home();
    let settings = json!({
        "ca_file": ca,
        "otlp": {"endpoint": receiver.url(), "export": "traces", "interval_ms": 100},
    });
    home.write_config(&config(&mock.url(), 2, settings));
    let proxy = Proxy::start_in(&home, &["start"], &[]);
    proxy.turn("a", &chat("hi")).is(200);
    eventually("it is refused", || {
        exported(&proxy, "traces", "refused") == 1
    });
}

#[test]
fn a_receiver_that_is_busy_for_a_moment_gets_everything() {
    let mock = mock(2);
    let earlier = AtomicUsize::new(0);
    let receiver = Upstream::start(move |connection: &mut Connection| {
        let is_first = earlier.fetch_add(1, Ordering::AcqRel) == 0;
        while connection.request().is_some() {
            connection.write(if is_first {
                b"HTTP/1.1 429 Busy\r\nretry-after: 0\r\ncontent-length: 0\r\n\r\n".as_slice()
            } else {
                TAKEN.as_bytes()
            });
        }
    });
    let only = json!({"export": "traces"});
    let proxy = start(exporting_to(&receiver, &mock.url(), only));
    proxy.turn("a", &chat("hi")).is(200);
    eventually("it arrives", || exported(&proxy, "traces", "sent") == 1);
    assert_eq!(exported(&proxy, "traces", "dropped"), 0);
}
