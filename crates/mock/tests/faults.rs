//! Every kind of fault does what it says, to whom it says, as often as it says.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use std::time::{Duration, Instant};

use api_key_lb_mock::{Close, Fault, FaultKind, Mock};
use serde_json::{Value, json};
use support::*;

/// Long enough to tell silence from slowness, short enough for a test.
const SILENCE: Duration = Duration::from_millis(500);

fn gone(mock: &Mock, times: u64) -> bool {
    mock.wait_until(DEADLINE, |counters| {
        counters.total.client_gone == times && counters.total.in_flight == 0
    })
}

fn events_in(mock: &Mock) -> usize {
    post(mock, TWO, CHAT, &chat_stream("hi")).events().len()
}

#[test]
fn a_status_has_its_headers_and_the_error_of_the_dialect() {
    let mock = mock();
    mock.fault(
        Fault::on(ONE)
            .times(2)
            .status(429)
            .header("retry-after", "2"),
    );
    let refused = post(&mock, ONE, CHAT, &chat("hi"));
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (429, Some("2"))
    );
    assert_eq!(refused.json()["error"]["code"], "rate_limit_exceeded");
    assert_eq!(
        post(&mock, TWO, CHAT, &chat("hi")).status,
        200,
        "another key"
    );
    let refused = post(&mock, ONE, MESSAGES, &chat("hi"));
    assert_eq!(refused.json()["error"]["type"], "rate_limit_error");
    assert_eq!(post(&mock, ONE, CHAT, &chat("hi")).status, 200, "used up");
    assert_eq!(mock.counters().key(ONE).unwrap().refused, 2);
}

#[test]
fn a_status_may_have_its_own_body_and_type() {
    let mock = mock();
    let fault = Fault::on("*")
        .status(502)
        .header("content-type", "text/html")
        .body("<html>");
    mock.fault(fault);
    let reply = post(&mock, "sk-unknown", CHAT, &chat("hi"));
    assert_eq!((reply.status, reply.text().as_str()), (502, "<html>"));
    assert_eq!(reply.header("content-type"), Some("text/html"));
    mock.clear_faults();
    assert_eq!(post(&mock, ONE, CHAT, &chat("hi")).status, 200);
}

#[test]
fn a_fault_can_be_bound_to_a_path_and_let_requests_pass_first() {
    let mock = mock();
    mock.fault(Fault::on("*").path("/embeddings").skip(1).status(500));
    let embed = || {
        post(
            &mock,
            ONE,
            "/v1/embeddings",
            &json!({"model": "m", "input": "a"}),
        )
        .status
    };
    assert_eq!(embed(), 200);
    assert_eq!(post(&mock, ONE, CHAT, &chat("hi")).status, 200);
    assert_eq!([embed(), embed()], [500, 500]);
}

#[test]
fn a_reset_comes_instead_of_an_answer() {
    let mock = mock();
    for (close, end) in [(Close::Reset, End::Reset), (Close::Fin, End::Cut)] {
        mock.fault(Fault::on(ONE).times(1).reset(close));
        let reply = post(&mock, ONE, CHAT, &chat("hi"));
        assert_eq!((reply.status, reply.end), (0, end));
    }
    assert_eq!(
        mock.requests().len(),
        2,
        "the requests were read and recorded"
    );
    assert_eq!(
        mock.counters().total.client_gone,
        0,
        "the mock closed, not the client"
    );
}

#[test]
fn a_reset_can_come_while_the_body_is_being_sent() {
    let mock = mock();
    mock.fault(Fault::on(ONE).times(1).reset_body(1_000));
    let mut client = Client::connect(&mock);
    client.raw(&format!(
        "POST {CHAT} HTTP/1.1\r\nx-api-key: {ONE}\r\ncontent-length: 9000\r\n\r\n"
    ));
    client.raw(&"x".repeat(2_000));
    let reply = client.read();
    assert_eq!((reply.status, reply.end), (0, End::Reset));
    let recorded = mock.take_requests().remove(0);
    assert!(!recorded.body_complete && recorded.body_bytes >= 1_000);
}

#[test]
fn a_stall_before_the_head_lasts_until_the_client_leaves_and_is_counted() {
    let mock = mock();
    mock.fault(Fault::on(ONE).stall(None));
    let mut client = Client::connect(&mock);
    client.patience(SILENCE);
    client.post(ONE, CHAT, &chat("hi"));
    let reply = client.read();
    assert_eq!((reply.status, reply.end), (0, End::Silence));
    client.leave();
    assert!(gone(&mock, 1));
    assert_eq!(mock.counters().key(ONE).unwrap().client_gone, 1);
    assert_eq!(mock.counters().total.by_status.len(), 0);
}

#[test]
fn a_stall_can_end() {
    let mock = mock();
    mock.fault(Fault::on(ONE).stall(Some(80)));
    let start = Instant::now();
    assert_eq!(post(&mock, ONE, CHAT, &chat("hi")).status, 200);
    assert!(start.elapsed() >= Duration::from_millis(80));
}

#[test]
fn a_delay_comes_before_a_normal_answer() {
    let mock = mock();
    mock.fault(Fault::on(ONE).times(1).delay(80));
    let start = Instant::now();
    assert_eq!(
        post(&mock, ONE, CHAT, &chat_stream("hi")).end,
        End::Complete
    );
    assert!(start.elapsed() >= Duration::from_millis(80));
}

#[test]
fn a_stream_can_stall_after_some_events() {
    let mock = mock();
    let all = events_in(&mock);
    for (events, expected) in [(0, 0), (3, 3), (1_000, all)] {
        mock.fault(Fault::on(ONE).times(1).stall_after(events, None));
        let mut client = Client::connect(&mock);
        client.patience(SILENCE);
        client.post(ONE, CHAT, &chat_stream("hi"));
        let reply = client.read();
        assert_eq!((reply.status, reply.end), (200, End::Silence));
        assert_eq!(reply.chunks, expected);
    }
    assert!(gone(&mock, 3), "all three clients have left");
}

#[test]
fn a_stall_in_a_stream_can_end() {
    let mock = mock();
    mock.fault(Fault::on(ONE).stall_after(2, Some(80)));
    let start = Instant::now();
    assert_eq!(
        post(&mock, ONE, MESSAGES, &chat_stream("hi")).end,
        End::Complete
    );
    assert!(start.elapsed() >= Duration::from_millis(80));
}

#[test]
fn a_stream_can_be_cut_after_some_events() {
    let mock = mock();
    let all = events_in(&mock);
    for (events, expected) in [(0, 0), (2, 2), (1_000, all)] {
        mock.fault(Fault::on(ONE).times(1).cut_events(events));
        let reply = post(&mock, ONE, CHAT, &chat_stream("hi"));
        assert_eq!(
            (reply.status, reply.end, reply.chunks),
            (200, End::Cut, expected)
        );
    }
    let kind = FaultKind::CutEvents {
        events: 0,
        close: Close::Reset,
    };
    mock.fault(Fault::on(ONE).times(1).kind(kind));
    assert_eq!(post(&mock, ONE, CHAT, &chat_stream("hi")).end, End::Reset);
}

#[test]
fn a_body_can_be_cut_after_some_bytes() {
    let mock = mock();
    mock.fault(Fault::on(ONE).cut_bytes(100));
    let json = post(&mock, ONE, CHAT, &chat("hi"));
    assert_eq!(
        (json.status, json.end, json.body.len()),
        (200, End::Cut, 100)
    );
    let stream = post(&mock, ONE, CHAT, &chat_stream("hi"));
    assert_eq!(
        (stream.status, stream.end, stream.body.len()),
        (200, End::Cut, 100)
    );
}

#[test]
fn a_json_body_can_be_cut_or_stalled_at_its_half() {
    let mock = mock();
    mock.fault(Fault::on(ONE).times(1).cut_events(1));
    let reply = post(&mock, ONE, CHAT, &chat("hi"));
    let length: usize = reply.header("content-length").unwrap().parse().unwrap();
    assert_eq!((reply.end, reply.body.len()), (End::Cut, length / 2));
    mock.fault(Fault::on(ONE).times(1).stall_after(1, None));
    let mut client = Client::connect(&mock);
    client.patience(SILENCE);
    client.post(ONE, CHAT, &chat("hi"));
    let reply = client.read();
    assert_eq!((reply.end, reply.body.len()), (End::Silence, length / 2));
}

#[test]
fn an_error_event_ends_a_stream_in_the_words_of_the_dialect() {
    let mock = mock();
    mock.fault(Fault::on(ONE).error_event(0));
    let chat = post(&mock, ONE, CHAT, &chat_stream("hi"));
    assert_eq!(
        (chat.status, chat.end, chat.chunks),
        (200, End::Complete, 1)
    );
    assert_eq!(chat.event_json()[0]["error"]["type"], "server_error");
    let messages = post(&mock, ONE, MESSAGES, &chat_stream("hi"));
    let (name, data) = messages.events().remove(0);
    assert_eq!(name, "error");
    let data: Value = serde_json::from_str(&data).unwrap();
    assert_eq!(data["error"]["type"], "overloaded_error");
    mock.clear_faults();
    mock.fault(Fault::on(ONE).error_event(3));
    let body = json!({"model": "m", "input": "hi", "stream": true});
    let events = post(&mock, ONE, "/v1/responses", &body).event_json();
    assert_eq!(events.len(), 4);
    assert_eq!(
        (&events[3]["type"], &events[3]["sequence_number"]),
        (&json!("error"), &json!(3))
    );
    let path = "/v1beta/models/g:streamGenerateContent?alt=sse";
    let events = post(&mock, ONE, path, &json!({"contents": []})).event_json();
    assert_eq!(events[3]["error"]["status"], "UNAVAILABLE");
    mock.clear_faults();
    let data = Some(r#"{"own":true}"#.to_owned());
    mock.fault(Fault::on(ONE).kind(FaultKind::ErrorEvent { events: 1, data }));
    let events = post(&mock, ONE, CHAT, &chat_stream("hi")).event_json();
    assert_eq!(events[1], json!({"own": true}));
}

#[test]
fn a_trickled_answer_is_complete() {
    let mock = mock();
    mock.fault(Fault::on(ONE).trickle(50, 1));
    let start = Instant::now();
    let slow = post(&mock, ONE, CHAT, &chat("hi"));
    let pieces = slow.body.len() as u32 / 50;
    assert!(start.elapsed() >= Duration::from_millis(1) * pieces);
    let fast = post(&mock, TWO, CHAT, &chat("hi"));
    assert_eq!(slow.json()["choices"], fast.json()["choices"]);
    let stream = post(&mock, ONE, CHAT, &chat_stream("hi"));
    assert_eq!(
        (stream.end, stream.events().last().unwrap().1.as_str()),
        (End::Complete, "[DONE]")
    );
}

#[test]
fn a_client_that_leaves_a_paced_stream_is_counted() {
    let mock = builder()
        .event_delay(Duration::from_millis(20))
        .start()
        .unwrap();
    let mut client = Client::connect(&mock);
    client.post(ONE, CHAT, &chat_stream("hi"));
    assert!(mock.wait_until(DEADLINE, |counters| counters.total.status(200) == 1));
    client.leave();
    assert!(gone(&mock, 1));
}

#[test]
fn a_client_that_leaves_in_the_middle_of_its_body_is_counted() {
    let mock = mock();
    let mut client = Client::connect(&mock);
    client.raw(&format!(
        "POST {CHAT} HTTP/1.1\r\nx-api-key: {ONE}\r\ncontent-length: 9\r\n\r\nabc"
    ));
    assert!(mock.wait_until(DEADLINE, |counters| counters.total.in_flight == 1));
    client.leave();
    assert!(gone(&mock, 1));
    assert!(!mock.requests()[0].body_complete);
}

#[test]
fn a_connection_can_go_stale_after_an_answer() {
    let mock = mock();
    mock.fault(Fault::on(ONE).times(1).close_after());
    let mut client = Client::connect(&mock);
    client.post(ONE, CHAT, &chat("hi"));
    let reply = client.read();
    assert_eq!(
        (reply.end, reply.header("connection")),
        (End::Complete, None)
    );
    assert_eq!(client.read().end, End::Cut);
}

#[test]
fn events_are_paced() {
    let mock = builder()
        .event_delay(Duration::from_millis(10))
        .start()
        .unwrap();
    let mut body = chat_stream("hi");
    body["max_tokens"] = 10.into();
    let start = Instant::now();
    let reply = post(&mock, ONE, CHAT, &body);
    let pauses = reply.chunks as u32 - 1;
    assert!(start.elapsed() >= Duration::from_millis(10) * pauses);
}

#[test]
fn faults_survive_a_trip_through_json() {
    let faults = [
        Fault::on("*").status(500).header("a", "b").body("c"),
        Fault::on("k")
            .path("/chat")
            .times(2)
            .skip(3)
            .reset(Close::Fin),
        Fault::on("k").reset_body(7),
        Fault::on("k").stall(Some(5)),
        Fault::on("k").stall_after(1, None),
        Fault::on("k").cut_events(2),
        Fault::on("k").cut_bytes(9),
        Fault::on("k").error_event(0),
        Fault::on("k").trickle(3, 4),
        Fault::on("k").delay(6),
        Fault::on("k").close_after(),
    ];
    for fault in faults {
        let text = serde_json::to_string(&fault).unwrap();
        assert_eq!(
            serde_json::from_str::<Fault>(&text).unwrap(),
            fault,
            "{text}"
        );
    }
}
