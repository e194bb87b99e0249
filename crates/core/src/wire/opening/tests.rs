//! What is of substance, what is an error, in every dialect and any cut.

use http::HeaderValue;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use proptest::prelude::*;

use super::*;

const EVENTS: &str = "text/event-stream; charset=utf-8";
const JSON: &str = "application/json";
const LINES: &str = "application/x-ndjson";

fn headers(kind: &'static str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers
}

/// What is said after each piece, then at the end.
fn said(headers: &HeaderMap, pieces: &[&[u8]]) -> (Opening, Opening) {
    let mut reader = OpeningReader::new(headers).unwrap();
    let mut last = Opening::Undecided;
    for piece in pieces {
        let now = reader.feed(piece);
        assert!(
            last == Opening::Undecided || last == now,
            "it stays decided"
        );
        last = now;
    }
    (last, reader.finish())
}

#[track_caller]
fn check(kind: &'static str, body: &str) -> (Opening, Opening) {
    let headers = headers(kind);
    let whole = said(&headers, &[body.as_bytes()]);
    for size in [1, 2, 3, 7, 64] {
        let pieces: Vec<&[u8]> = body.as_bytes().chunks(size).collect();
        assert_eq!(said(&headers, &pieces), whole, "{size} at a time: {body}");
    }
    whole
}

#[track_caller]
fn is_nothing(kind: &'static str, body: &str) {
    let expected = (Opening::Undecided, Opening::Substance);
    assert_eq!(check(kind, body), expected, "{body}");
}

#[track_caller]
fn is_substance(kind: &'static str, body: &str) {
    assert_eq!(check(kind, body).0, Opening::Substance, "{body}");
}

#[track_caller]
fn is_error(kind: &'static str, body: &str, inside: &str) {
    let expected = error(inside.as_bytes());
    assert_eq!(check(kind, body).0, expected, "{body}");
}

const NOTHING: &[&str] = &[
    "\n",
    "\r\n\r\n",
    ": OPENROUTER PROCESSING\n\n",
    ": keep-alive\r\n\r\n",
    "retry: 3000\n\n",
    "data:\n\n",
    "event: ping\ndata: {\"type\": \"ping\"}\n\n",
    "data: {\"type\":\"keepalive\"}\n\n",
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"content\":[],\"usage\":{\"input_tokens\":9}}}\n\n",
    "data: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
    "data: {\"type\":\"content_block_start\",\"content_block\":{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}}\n\n",
    "event: response.created\r\ndata: {\"type\":\"response.created\",\"response\":{\"error\":null,\"instructions\":\"x\"}}\r\n\r\n",
    "data: {\"type\":\"response.in_progress\",\"response\":{\"output\":[]}}\n\n",
    "event: codex.rate_limits\ndata: {\"plan_type\":\"plus\"}\n\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n",
    "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[],\"refusal\":null}}],\"error\":null,\"base_resp\":{\"status_code\":0,\"status_msg\":\"\"}}\n\n",
    "data: {\"choices\":[],\"prompt_filter_results\":[{\"prompt_index\":0}]}\n\n",
];

const SUBSTANCE: &[&str] = &[
    "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\n",
    "data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"Hm\"}}]}\n\n",
    "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0}]}}]}\n\n",
    "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
    "data: {\"choices\":[{\"text\":\"Hi\"}]}\n\n",
    "data: {\"type\":\"content_block_start\",\"content_block\":{\"type\":\"tool_use\",\"id\":\"t\",\"input\":{}}}\n\n",
    "data: {\"type\":\"content_block_start\",\"content_block\":{\"type\":\"text\",\"text\":\"Hi\"}}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"text\":\"Hi\"}}\n\n",
    "data: {\"type\":\"response.output_item.added\"}\n\n",
    "event: response.incomplete\ndata: {\"type\":\"response.incomplete\",\"response\":{\"error\":null}}\n\n",
    "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"Hi\"}]}}]}\n\n",
    "data: [DONE]\n\n",
    "data: whatever\n\n",
    "data: {\"half\":\n\n",
    "data: {\"choices\":[{\"delta\":{\"content\":\"{\\\"error\\\":{\\\"code\\\":1}}\"}}]}\n\n",
];

/// Events that are errors, and what of them says why.
const ERRORS: &[(&str, &str)] = &[
    (
        "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n",
        "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}",
    ),
    ("event: error\r\ndata: out of order\r\n\r\n", "out of order"),
    (
        "data: {\"type\":\"error\",\"code\":\"rate_limit_exceeded\",\"message\":\"m\",\"sequence_number\":1}\n\n",
        "{\"type\":\"error\",\"code\":\"rate_limit_exceeded\",\"message\":\"m\",\"sequence_number\":1}",
    ),
    (
        "data: {\"type\":\"response.failed\",\"response\":{\"error\":{\"code\":\"server_is_overloaded\",\"message\":\"m\"}}}\n\n",
        "{\"type\":\"response.failed\",\"response\":{\"error\":{\"code\":\"server_is_overloaded\",\"message\":\"m\"}}}",
    ),
    (
        "data: {\"error\":{\"code\":429,\"message\":\"m\"}}\n\n",
        "{\"error\":{\"code\":429,\"message\":\"m\"}}",
    ),
    ("data: {\"error\":\"m\"}\n\n", "{\"error\":\"m\"}"),
    (
        "data: {\"choices\":null,\"base_resp\":{\"status_code\":1008,\"status_msg\":\"m\"}}\n\n",
        "{\"choices\":null,\"base_resp\":{\"status_code\":1008,\"status_msg\":\"m\"}}",
    ),
    (
        "data: {\"error\":{\"code\":502,\"message\":\"m\"},\"choices\":[{\"delta\":{\"content\":\"\"},\"finish_reason\":\"error\"}]}\n\n",
        "{\"error\":{\"code\":502,\"message\":\"m\"},\"choices\":[{\"delta\":{\"content\":\"\"},\"finish_reason\":\"error\"}]}",
    ),
    (
        "data: {\"code\":1113,\"msg\":\"m\",\"success\":false}\n\n",
        "{\"code\":1113,\"msg\":\"m\",\"success\":false}",
    ),
    // Announced as events, sent as a document.
    (
        "\n{\"error\":{\"message\":\"m\"}}",
        "{\"error\":{\"message\":\"m\"}}",
    ),
];

#[test]
fn handshakes_pings_and_empty_deltas_are_of_no_substance() {
    for event in NOTHING {
        is_nothing(EVENTS, event);
    }
    is_nothing(EVENTS, &NOTHING[..10].concat());
    is_nothing(EVENTS, "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"");
}

#[test]
fn the_first_event_of_substance_decides() {
    for event in SUBSTANCE {
        is_substance(EVENTS, event);
        for before in NOTHING {
            is_substance(EVENTS, &format!("{before}{event}"));
            is_substance(
                EVENTS,
                &format!("{before}{event}event: error\ndata: {{}}\n\n"),
            );
        }
    }
}

#[test]
fn an_error_before_anything_of_substance_is_an_error() {
    for (event, inside) in ERRORS {
        is_error(EVENTS, event, inside);
        if event.starts_with('\n') {
            continue;
        }
        for before in NOTHING {
            is_error(EVENTS, &format!("{before}{event}data: [DONE]\n\n"), inside);
        }
    }
}

#[test]
fn an_event_without_its_empty_line_counts_at_the_end_of_the_stream() {
    let (event, inside) = ERRORS[0];
    let (before, at_end) = check(EVENTS, event.trim_end());
    assert_eq!(before, Opening::Undecided);
    assert_eq!(at_end, error(inside.as_bytes()));
}

#[test]
fn no_more_than_sixteen_events_are_waited_for() {
    let ping = "event: ping\ndata: {}\n\n";
    is_nothing(EVENTS, &ping.repeat(15));
    is_substance(EVENTS, &ping.repeat(16));
    let (event, inside) = ERRORS[0];
    is_error(EVENTS, &format!("{}{event}", ping.repeat(15)), inside);
    is_substance(EVENTS, &format!("{}{event}", ping.repeat(16)));
}

#[test]
fn a_stream_that_says_nothing_at_length_is_let_go_and_costs_no_memory() {
    let frame = vec![b'x'; 16 << 10];
    for beginning in ["data: {\"instructions\":\"", ": ", "event: ping\ndata: "] {
        let mut reader = OpeningReader::new(&headers(EVENTS)).unwrap();
        let mut said = reader.feed(beginning.as_bytes());
        let mut frames = 0;
        while said == Opening::Undecided {
            said = reader.feed(&frame);
            frames += 1;
        }
        assert_eq!((said, frames), (Opening::Substance, 16), "{beginning}");
        let Form::Events(stream) = &reader.form else {
            panic!("{reader:?}");
        };
        assert!(stream.event.data.len() <= signals::MAX_BODY);
    }
}

#[test]
fn the_request_that_a_handshake_repeats_may_be_long() {
    let long = "x".repeat(100 << 10);
    let stream = format!(
        "event: response.created\ndata: {{\"response\":{{\"instructions\":\"{long}\"}}}}\n\n\
         data: {{\"type\":\"response.in_progress\",\"response\":{{\"instructions\":\"{long}\"}}}}\n\n"
    );
    let headers = headers(EVENTS);
    let (event, inside) = ERRORS[3];
    assert_eq!(said(&headers, &[stream.as_bytes()]).0, Opening::Undecided);
    assert_eq!(
        said(&headers, &[stream.as_bytes(), event.as_bytes()]).0,
        error(inside.as_bytes())
    );
}

#[test]
fn a_short_document_that_is_an_error_is_an_error() {
    for body in [
        r#"{"error":{"message":"m","type":"rate_limit"}}"#,
        r#"{"type":"error","error":{"type":"overloaded_error","message":"m"}}"#,
        r#"{"error":"m"}"#,
        r#"[{"error":{"code":429,"status":"RESOURCE_EXHAUSTED"}}]"#,
        r#"{"id":"","object":"chat.completion","choices":null,"base_resp":{"status_code":1008,"status_msg":"m"}}"#,
        r#"{"code":1113,"msg":"m","success":false}"#,
        r#"{"object":"error","error":{"message":"m"}}"#,
    ] {
        is_error(JSON, body, body);
        is_error(JSON, &format!("\n\n \n{body}\n"), body);
        assert_eq!(
            check(JSON, body.trim_end_matches(['}', ']'])).0,
            Opening::Undecided
        );
    }
}

#[test]
fn a_declared_length_changes_nothing_of_what_is_said() {
    for (body, is_error) in [
        (r#"{"error":{"message":"m"}}"#, true),
        (r#"{"choices":null,"base_resp":{"status_code":1008}}"#, true),
        (r#"{"code":1113,"msg":"m","success":false}"#, true),
        (r#"{"choices":[{"message":{"content":"Hi"}}]}"#, false),
        (r#"{"choices":[{"message":{"content":"error"}}]}"#, false),
        (r#"{"input_tokens":14}"#, false),
    ] {
        let mut headers = headers(JSON);
        headers.insert(CONTENT_LENGTH, body.len().into());
        for size in [1, 9, body.len()] {
            let pieces: Vec<&[u8]> = body.as_bytes().chunks(size).collect();
            let (_, said) = said(&headers, &pieces);
            assert_eq!(said != Opening::Substance, is_error, "{size}: {body}");
        }
    }
}

#[test]
fn a_document_with_content_or_of_another_kind_is_no_error() {
    for body in [
        r#"{"id":"x","error":null,"choices":[{"message":{"role":"assistant","content":"Hi"}}]}"#,
        r#"{"choices":[{"message":{"content":null,"tool_calls":[{}]}}],"error":{"message":"late"}}"#,
        r#"{"type":"message","content":[{"type":"text","text":"{\"error\":1}"}]}"#,
        r#"{"candidates":[{"content":{}}]}"#,
        r#"{"object":"list","data":[{"embedding":[1]}]}"#,
        r#"{"object":"response","status":"failed","error":{"code":"server_error"}}"#,
        r#"{"object":"batch","error":{"message":"m"}}"#,
        r#"{"success":true,"code":200,"data":{}}"#,
        r#"{"error":{}}"#,
        r#"{"error":false}"#,
        r#"{"input_tokens":14}"#,
        r#"{"result":{"error":{"message":"m"}}}"#,
        "{}",
        "[]",
        "nonsense",
    ] {
        let (_, at_end) = check(JSON, body);
        assert_eq!(at_end, Opening::Substance, "{body}");
    }
    is_nothing(JSON, "");
    is_nothing(JSON, "\n\n\n");
}

#[test]
fn content_decides_before_its_document_has_ended() {
    is_substance(JSON, r#"{"id":"x","choices":[{"message":{"content":"H"#);
    is_substance(JSON, r#"{"id":"x","type":"message","content":[{"#);
    is_substance(
        LINES,
        r#"{"model":"m","message":{"role":"assistant","content":"H"#,
    );
}

#[test]
fn a_long_document_is_let_go_unless_it_began_as_an_error() {
    let long = "x".repeat(DOCUMENT_BYTES);
    is_substance(JSON, &format!(r#"{{"unknown":"{long}","error":"m"}}"#));
    let error = format!(r#"{{"error":{{"message":"{long}"}}}}"#);
    is_error(JSON, &error, &error);
    let endless = format!(r#"{{"error":{{"message":"{}"#, long.repeat(20));
    is_error(JSON, &endless, &endless[..signals::MAX_BODY]);
}

#[test]
fn the_first_of_several_lines_decides() {
    is_error(
        LINES,
        "{\"error\":\"m\"}\n{\"message\":{}}\n",
        "{\"error\":\"m\"}",
    );
    is_substance(
        LINES,
        "{\"message\":{\"content\":\"\"}}\n{\"error\":\"m\"}\n",
    );
}

#[test]
fn only_what_may_be_an_error_is_waited_for() {
    let mut known = headers(JSON);
    for (length, waits) in [("0", true), ("4096", true), ("4097", false)] {
        known.insert(CONTENT_LENGTH, HeaderValue::from_static(length));
        assert_eq!(OpeningReader::new(&known).is_some(), waits, "{length}");
    }
    for kind in [
        "text/html",
        "audio/mpeg",
        "application/vnd.amazon.eventstream",
    ] {
        assert!(OpeningReader::new(&headers(kind)).is_none(), "{kind}");
    }
    let mut stacked = headers(EVENTS);
    stacked.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip, br"));
    assert!(OpeningReader::new(&stacked).is_none());
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_compressed_answer_is_read_too() {
    let mut headers = headers(EVENTS);
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    let (event, inside) = ERRORS[0];
    let coded = gzip(
        format!(
            "{}{event}",
            NOTHING.concat()[..400].trim_end_matches(|byte| byte != '\n')
        )
        .as_bytes(),
    );
    assert_eq!(said(&headers, &[&coded]).1, error(inside.as_bytes()));
    let bomb = gzip(&vec![b'\n'; 64 << 20]);
    assert_eq!(said(&headers, &[&bomb]).0, Opening::Substance);
    assert_eq!(said(&headers, &[b"not gzip"]).0, Opening::Substance);
}

/// Streams of events and broken pieces of them.
fn streams() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        4 => proptest::sample::select(NOTHING).prop_map(str::to_owned),
        1 => proptest::sample::select(SUBSTANCE).prop_map(str::to_owned),
        1 => proptest::sample::select(ERRORS).prop_map(|(event, _)| event.to_owned()),
        1 => "[ {}\\[\\]\":,dataevent\r\n]{0,20}",
    ];
    proptest::collection::vec(part, 0..24).prop_map(|parts| parts.concat().into_bytes())
}

proptest! {
    #[test]
    fn what_is_said_does_not_depend_on_the_cut(
        body in streams(),
        cuts in proptest::collection::vec(0..4000_usize, 0..12),
        kind in proptest::sample::select(&[EVENTS, JSON, LINES][..]),
        coded in any::<bool>(),
    ) {
        let mut headers = headers(kind);
        let body = if coded {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            gzip(&body)
        } else {
            body
        };
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(body.len())).collect();
        cuts.extend([0, body.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &body[cut[0]..cut[1]]).collect();
        let bytes: Vec<&[u8]> = body.chunks(1).collect();
        let whole = said(&headers, &[&body]);
        prop_assert_eq!(&said(&headers, &pieces), &whole);
        prop_assert_eq!(&said(&headers, &bytes), &whole);
    }
}
