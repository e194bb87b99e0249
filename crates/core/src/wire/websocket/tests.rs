//! Tests of the handshake, of frames in any cut, and of what is heard.

use flate2::{Compress, Compression, FlushCompress};
use http::header::{HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_PROTOCOL};
use http::{Method, Version};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::fact::Usage;
use crate::ladder::Ladder;
use crate::wire::body::Need;

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        let name = HeaderName::from_static(name);
        map.append(name, HeaderValue::from_str(value).unwrap());
    }
    map
}

fn frame(first: u8, mask: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
    let masked = if mask.is_some() { 0x80 } else { 0 };
    let mut frame = vec![first];
    match payload.len() {
        short @ 0..=125 => frame.push(masked | short as u8),
        middle @ 126..=0xffff => {
            frame.push(masked | 126);
            frame.extend_from_slice(&(middle as u16).to_be_bytes());
        }
        long => {
            frame.push(masked | 127);
            frame.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    let mask = mask.inspect(|mask| frame.extend_from_slice(mask));
    let mask = mask.unwrap_or_default();
    frame.extend(
        payload
            .iter()
            .zip(mask.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    frame
}

/// A message in frames of at most `cut` bytes.
fn fragmented(message: &[u8], mask: Option<[u8; 4]>, rsv: u8, cut: usize) -> Vec<u8> {
    let count = message.len().div_ceil(cut).max(1);
    let mut bytes = Vec::new();
    for (at, piece) in message.chunks(cut).enumerate() {
        let opcode = if at == 0 { 1 | rsv } else { 0 };
        let last = if at + 1 == count { 0x80 } else { 0 };
        bytes.extend(frame(last | opcode, mask, piece));
        // Control frames may stand between.
        bytes.extend(frame(0x89, mask, b"ping"));
    }
    bytes
}

fn said(coding: Coding, bytes: &[u8], cut: usize) -> Vec<String> {
    let mut talk = ServerTalk::new(coding);
    let mut all = Vec::new();
    for piece in bytes.chunks(cut) {
        all.extend(talk.feed(piece).map(|said| format!("{said:?}")));
    }
    all.retain(|said| said != "Alive");
    all
}

fn conversation() -> Vec<Value> {
    vec![
        json!({"type": "codex.rate_limits", "rate_limits": {"primary": {"used_percent": 42.5,
            "window_minutes": 300, "reset_at": 1_790_000_000}, "secondary": null}}),
        json!({"type": "response.created", "response": {"id": "resp_1", "instructions": "a\"b"}}),
        json!({"delta": "type", "type": "response.output_text.delta"}),
        json!({"type": "response.completed", "response": {"id": "resp_1", "tools": "x".repeat(9000),
            "usage": {"input_tokens": 50, "input_tokens_details": {"cached_tokens": 40},
                "output_tokens": 7}}}),
        json!({"type": "error", "status": 429, "error": {"code": "rate_limit_exceeded",
            "message": "Rate limit reached."}, "headers": {"retry-after": 7}}),
    ]
}

fn check_conversation(said: &[String]) {
    assert_eq!(said.len(), 5, "{said:#?}");
    assert!(
        said[0].contains(r#""x-codex-primary-used-percent": "42.5""#),
        "{}",
        said[0]
    );
    assert_eq!(said[1], "Begun");
    assert_eq!(said[2], "Going");
    assert!(
        said[3].contains("prompt: 50, cached: 40, written: 0, output: 7"),
        "{}",
        said[3]
    );
    assert!(said[4].contains("rate_limit_exceeded") && said[4].contains("ends: true"));
    assert!(said[4].contains(r#""retry-after": "7""#));
}

#[test]
fn only_a_get_over_http_1_1_that_asks_for_it_twice_is_a_handshake() {
    let asks = headers(&[
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "WebSocket"),
    ]);
    assert!(is_handshake(&Method::GET, Version::HTTP_11, &asks));
    assert!(!is_handshake(&Method::POST, Version::HTTP_11, &asks));
    assert!(!is_handshake(&Method::GET, Version::HTTP_10, &asks));
    let half = headers(&[("connection", "keep-alive"), ("upgrade", "websocket")]);
    assert!(!is_handshake(&Method::GET, Version::HTTP_11, &half));
    let other = headers(&[("connection", "upgrade"), ("upgrade", "h2c")]);
    assert!(!is_handshake(&Method::GET, Version::HTTP_11, &other));
}

#[test]
fn credentials_leave_the_subprotocols_and_the_key_takes_their_place() {
    let mut map = headers(&[
        ("sec-websocket-protocol", "realtime,openai-organization.o"),
        (
            "sec-websocket-protocol",
            "openai-insecure-api-key.mine, beta, openai-project.p",
        ),
    ]);
    let tokens: Vec<_> = offered_tokens(&map).map(<[u8]>::to_vec).collect();
    assert_eq!(tokens, [b"mine"]);
    let offer = Offer::take(&mut map);
    assert_eq!(map[SEC_WEBSOCKET_PROTOCOL], "realtime, beta");
    assert!(offer.put(&mut map, "sk-1"));
    assert_eq!(
        map[SEC_WEBSOCKET_PROTOCOL],
        "realtime, openai-insecure-api-key.sk-1, beta"
    );
    assert!(!format!("{map:?}{offer:?}").contains("sk-1"));
    assert!(!format!("{map:?}{offer:?}").contains("mine"));
    assert!(!offer.put(&mut map, "no token, this"));
    // What holds none is not touched, and not filled.
    let mut plain = headers(&[("sec-websocket-protocol", "a ,b")]);
    let offer = Offer::take(&mut plain);
    assert!(!offer.put(&mut plain, "sk-1"));
    assert_eq!(plain[SEC_WEBSOCKET_PROTOCOL], "a ,b");
    let mut alone = headers(&[("sec-websocket-protocol", "openai-insecure-api-key.mine")]);
    Offer::take(&mut alone);
    assert!(alone.is_empty());
}

#[test]
fn a_key_that_a_server_chooses_never_reaches_the_client() {
    let mut asked = headers(&[("sec-websocket-protocol", "openai-insecure-api-key.mine")]);
    let offer = Offer::take(&mut asked);
    let mut answer = headers(&[("sec-websocket-protocol", "openai-insecure-api-key.sk-1")]);
    prepare_answer(&mut answer, &offer);
    assert_eq!(
        answer[SEC_WEBSOCKET_PROTOCOL],
        "openai-insecure-api-key.mine"
    );
    let mut answer = headers(&[("sec-websocket-protocol", "openai-insecure-api-key.sk-1")]);
    prepare_answer(&mut answer, &Offer::default());
    assert_eq!(answer.get(SEC_WEBSOCKET_PROTOCOL), None);
}

#[test]
fn the_coding_is_what_the_answer_fixed() {
    let of = |value: &str| Coding::of(&headers(&[("sec-websocket-extensions", value)]));
    let deflate = |client_anew, server_anew| Coding::Deflate {
        client_anew,
        server_anew,
    };
    assert_eq!(Coding::of(&HeaderMap::new()), Coding::Plain);
    assert_eq!(of("permessage-deflate"), deflate(false, false));
    assert_eq!(
        of("permessage-deflate; server_no_context_takeover; client_max_window_bits=12"),
        deflate(false, true)
    );
    assert_eq!(
        of("permessage-deflate; client_no_context_takeover"),
        deflate(true, false)
    );
    assert_eq!(of("x-webkit-deflate-frame"), Coding::Unknown);
    assert_eq!(of("permessage-deflate, other"), Coding::Unknown);
}

#[test]
fn terms_are_the_same_whichever_key_is_among_them() {
    let of = |value: &str| headers(&[("sec-websocket-protocol", value)]);
    assert!(same_terms(&of("a"), &of("a")));
    assert!(!same_terms(&of("a"), &of("b")));
    assert!(!same_terms(&of("a"), &HeaderMap::new()));
    let key = |key: &str| of(&format!("openai-insecure-api-key.{key}"));
    assert!(same_terms(&key("one"), &key("two")));
}

#[test]
fn realtime_and_gemini_live_are_understood() {
    let messages = [
        json!({"type": "session.created", "session": {"id": "sess_1"}}),
        json!({"type": "rate_limits.updated", "rate_limits": [
            {"name": "tokens", "limit": 1000, "remaining": 10, "reset_seconds": 1.5}]}),
        json!({"type": "response.done", "response": {"id": "resp_1", "status": "completed",
            "usage": {"input_tokens": 20, "output_tokens": 4,
                "input_token_details": {"cached_tokens": 8}}}}),
        json!({"type": "response.done", "response": {"id": "resp_2", "status": "failed",
            "status_details": {"error": {"code": "rate_limit_exceeded"}}}}),
        json!({"usageMetadata": {"promptTokenCount": 30, "responseTokenCount": 5}}),
    ];
    let bytes: Vec<u8> = messages
        .iter()
        .flat_map(|message| frame(0x81, None, message.to_string().as_bytes()))
        .collect();
    let said = said(Coding::Plain, &bytes, bytes.len());
    assert_eq!(said[0], "Going");
    assert!(
        said[1].contains(r#""x-ratelimit-reset-tokens": "1.5s""#),
        "{}",
        said[1]
    );
    assert!(
        said[2].contains("prompt: 20, cached: 8, written: 0, output: 4"),
        "{}",
        said[2]
    );
    assert!(said[3].starts_with("Failed"), "{}", said[3]);
    assert_eq!(said[4], "Going");
    let usage = Usage {
        prompt: 30,
        output: 5,
        ..Usage::default()
    };
    assert_eq!(said[5], format!("{:?}", Said::Spent(usage)));
}

#[test]
fn a_close_with_a_reason_is_an_error_and_one_without_is_none() {
    let closed = |payload: &[u8]| said(Coding::Plain, &frame(0x88, None, payload), 100);
    assert_eq!(closed(b""), ["Closed(None)"]);
    assert_eq!(closed(b"\x03\xe8bye"), ["Closed(None)"]);
    assert!(closed(b"\x03\xf3You exceeded your current quota")[0].contains("quota"));
}

#[test]
fn what_is_no_websocket_says_nothing() {
    // A reserved bit; a control frame that is too long; a message of an unknown kind.
    for bytes in [
        &[0xa1, 0x02, b'{', b'}'][..],
        &[0x89, 0x7e, 0, 200],
        &[0x83, 0x00],
    ] {
        let mut bytes = bytes.to_vec();
        bytes.extend(frame(0x81, None, br#"{"type":"response.created"}"#));
        assert!(said(Coding::Plain, &bytes, 7).is_empty(), "{bytes:?}");
    }
}

#[test]
fn a_message_that_unpacks_to_too_much_ends_reading_and_nothing_else() {
    let mut deflate = Compress::new(Compression::best(), false);
    let mut bomb = Vec::with_capacity(1 << 20);
    let text = vec![b' '; 33 << 20];
    deflate
        .compress_vec(&text, &mut bomb, FlushCompress::Sync)
        .unwrap();
    bomb.truncate(bomb.len() - 4);
    let mut bytes = frame(0xc1, None, &bomb);
    bytes.extend(frame(0x81, None, br#"{"type":"response.created"}"#));
    let coding = Coding::Deflate {
        client_anew: false,
        server_anew: false,
    };
    // Both pass unread; what passes unread counts as something of substance.
    assert_eq!(said(coding, &bytes, 4096), ["Going", "Going"]);
}

#[test]
fn a_client_s_requests_are_read_and_its_audio_is_not() {
    let ladder = Ladder::default();
    let mut talk = ClientTalk::new(Coding::Plain, ladder.paths(), Need::ALL, 1 << 20);
    let create = json!({"type": "response.create", "model": "gpt", "input": "hi",
        "previous_response_id": "resp_1"})
    .to_string();
    let mask = Some([1, 2, 3, 4]);
    let mut bytes = frame(
        0x81,
        mask,
        br#"{"type":"input_audio_buffer.append","audio":"AAAA"}"#,
    );
    bytes.extend(frame(0x81, mask, create.as_bytes()));
    let created: Vec<_> = talk.feed(&bytes).collect();
    assert_eq!(created.len(), 1);
    assert_eq!(created[0].facts.model.as_deref(), Some("gpt"));
    assert_eq!(created[0].bytes, create.len() as u64);
    drop(created);
    assert_eq!(talk.count(), 2);
    assert!(talk.is_between());
    let _ = talk.feed(&frame(0x01, mask, b"{"));
    assert!(!talk.is_between());
}

#[test]
fn the_model_of_a_setup_is_read_and_no_other() {
    let model = |message: &str, cut: usize| {
        let ladder = Ladder::default();
        let mut talk = ClientTalk::new(Coding::Plain, ladder.paths(), Need::ALL, 1 << 20);
        let bytes = frame(0x82, Some([1, 2, 3, 4]), message.as_bytes());
        let mut model = None;
        for piece in bytes.chunks(cut) {
            assert_eq!(talk.feed(piece).count(), 0);
            model = model.or(talk.take_model());
        }
        model
    };
    for cut in [1, 7, 1000] {
        let live = r#"{"setup":{"tools":[{"model":"no"}],"model":"models/gemini-live-2","x":1}}"#;
        assert_eq!(model(live, cut).as_deref(), Some("gemini-live-2"));
        let vertex = r#"{"setup":{"model":"projects/p/locations/l/publishers/google/models/g"}}"#;
        assert_eq!(model(vertex, cut).as_deref(), Some("g"));
    }
    for other in [
        r#"{"clientContent":{"model":"m"}}"#,
        r#"{"model":"m"}"#,
        r#"{"setup":[{"model":"m"}],"x":{"model":"m"}}"#,
        r#"{"setup":{"model":7}}"#,
    ] {
        assert_eq!(model(other, 1000), None, "{other}");
    }
}

proptest! {
    #[test]
    fn however_it_is_cut_the_same_is_heard(
        cut in 1_usize..700,
        fragment in 1_usize..5000,
        masked in any::<bool>(),
    ) {
        let mask = masked.then_some([0x11, 0x22, 0x33, 0x44]);
        let bytes: Vec<u8> = conversation()
            .iter()
            .flat_map(|message| fragmented(message.to_string().as_bytes(), mask, 0, fragment))
            .collect();
        check_conversation(&said(Coding::Plain, &bytes, cut));
    }

    #[test]
    fn compressed_or_not_the_same_is_heard(
        cut in 1_usize..700,
        fragment in 1_usize..500,
        anew in any::<bool>(),
    ) {
        let mut deflate = Compress::new(Compression::default(), false);
        let mut bytes = Vec::new();
        for message in conversation() {
            let mut out = Vec::with_capacity(65_536);
            let text = message.to_string();
            deflate.compress_vec(text.as_bytes(), &mut out, FlushCompress::Sync).unwrap();
            out.truncate(out.len() - 4);
            bytes.extend(fragmented(&out, None, 0x40, fragment));
            if anew {
                deflate.reset();
            }
        }
        let coding = Coding::Deflate { client_anew: false, server_anew: anew };
        check_conversation(&said(coding, &bytes, cut));
    }

    #[test]
    fn nothing_makes_it_fail(bytes in proptest::collection::vec(any::<u8>(), 0..4000), cut in 1_usize..100) {
        for coding in [
            Coding::Plain,
            Coding::Unknown,
            Coding::Deflate { client_anew: false, server_anew: false },
        ] {
            let whole = said(coding, &bytes, bytes.len().max(1));
            prop_assert_eq!(&said(coding, &bytes, cut), &whole);
            let ladder = Ladder::default();
            let mut talk = ClientTalk::new(coding, ladder.paths(), Need::ALL, 100);
            for piece in bytes.chunks(cut) {
                let _ = talk.feed(piece).count();
            }
        }
    }
}
