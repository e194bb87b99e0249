//! Canned answers for benchmarks: heads parsed minimally, bodies skipped, answers prebuilt.

use std::str::FromStr;
use std::time::Duration;

use bytes::{Buf, BytesMut};

use crate::connection::{BodyEnd, ClientGone, Connection, Transport};
use crate::dialect::CONTROL_PREFIX;
use crate::head::Framing;
use crate::json::{EMPTY, object};
use crate::state::State;

/// Header lines of a canned request; one with more is answered the ordinary way.
const MAX_HEADERS: usize = 64;
/// Prebuilt events are written in pieces of at most this many bytes.
const WRITE_BYTES: usize = 16 * 1024;
/// Answers to pipelined requests are collected up to this many bytes.
const BATCH_BYTES: usize = 64 * 1024;

/// What every request is answered with, whatever it asks and whatever key it carries.
///
/// A request gets the event stream if `stream` is set or if its path ends in
/// `chat/completions` and its query contains `stream=1`; otherwise the JSON answer. Nothing is
/// recorded, no limit or fault applies; only `total.requests` counts. `/_mock/` still works.
///
/// ```
/// use api_key_lb_mock::Canned;
/// let canned: Canned = "json=2000,events=100,event=120,delay-ms=5,stream".parse().unwrap();
/// assert_eq!((canned.json_bytes, canned.events, canned.stream), (2000, 100, true));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canned {
    /// Length of the JSON body in bytes, a chat completion (at least the bare envelope).
    pub json_bytes: usize,
    /// Events of the stream, `data: [DONE]` included.
    pub events: usize,
    /// Length of an event in bytes, `data: ` and blank line included (at least the envelope).
    pub event_bytes: usize,
    /// Pause between events; zero: all at once, in writes of up to 16 KiB.
    pub event_delay: Duration,
    /// Answer everything with the stream.
    pub stream: bool,
}

impl Default for Canned {
    fn default() -> Self {
        Self {
            json_bytes: 900,
            events: 64,
            event_bytes: 200,
            event_delay: Duration::ZERO,
            stream: false,
        }
    }
}

impl FromStr for Canned {
    type Err = String;

    /// `json=BYTES,events=COUNT,event=BYTES,delay-ms=MS,stream`, every part optional.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut canned = Self::default();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            if part == "stream" {
                canned.stream = true;
                continue;
            }
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let number: usize = value
                .parse()
                .map_err(|_| format!("`{part}` is not NAME=NUMBER or `stream`"))?;
            match name {
                "json" => canned.json_bytes = number,
                "events" => canned.events = number,
                "event" => canned.event_bytes = number,
                "delay-ms" => canned.event_delay = Duration::from_millis(number as u64),
                _ => return Err(format!("`{name}` is not json, events, event or delay-ms")),
            }
        }
        Ok(canned)
    }
}

/// The prebuilt bytes.
#[derive(Debug)]
pub(crate) struct CannedAnswers {
    json: Vec<u8>,
    /// Head of the stream, then one chunk per event, then the final chunk joined to the last.
    pieces: Vec<Vec<u8>>,
    event_delay: Duration,
    stream: bool,
}

/// What matters of a canned request's head.
struct CannedHead {
    length: usize,
    framing: Framing,
    stream: bool,
    close: bool,
    expects_continue: bool,
}

enum Parsed {
    Head(CannedHead),
    Partial,
    /// Left to the ordinary code: control requests, and whatever is unusual or wrong.
    Ordinary,
}

/// `make(filler)` with a filler that makes it exactly `bytes` long, if the envelope allows.
fn padded(bytes: usize, make: impl Fn(&str) -> String) -> String {
    let bare = make("").len();
    make(&"x".repeat(bytes.saturating_sub(bare)))
}

fn json_body(bytes: usize) -> String {
    padded(bytes, |filler| {
        let message = object! { "role": "assistant", "content": filler };
        let choice = object! { "index": 0_u64, "message": message, "finish_reason": "stop" };
        let usage = object! {
            "prompt_tokens": 500_u64,
            "completion_tokens": 32_u64,
            "total_tokens": 532_u64,
            "prompt_tokens_details": object! { "cached_tokens": 0_u64 },
        };
        object! {
            "id": "chatcmpl-canned",
            "object": "chat.completion",
            "created": 1_735_689_600_u64,
            "model": "canned",
            "choices": [choice],
            "usage": usage,
        }
        .0
    })
}

fn event(bytes: usize) -> String {
    padded(bytes, |filler| {
        let delta = object! { "content": filler };
        let choice = object! { "index": 0_u64, "delta": delta, "finish_reason": EMPTY.first() };
        let chunk = object! {
            "id": "chatcmpl-canned",
            "object": "chat.completion.chunk",
            "created": 1_735_689_600_u64,
            "model": "canned",
            "choices": [choice],
        };
        format!("data: {}\n\n", chunk.0)
    })
}

fn chunk(event: &str) -> Vec<u8> {
    format!("{:x}\r\n{event}\r\n", event.len()).into_bytes()
}

impl CannedAnswers {
    pub(crate) fn new(canned: &Canned) -> Self {
        let body = json_body(canned.json_bytes);
        let json = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut pieces = vec![
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
                .to_vec(),
        ];
        let one = chunk(&event(canned.event_bytes));
        pieces.extend(std::iter::repeat_n(one, canned.events.saturating_sub(1)));
        let mut last = chunk("data: [DONE]\n\n");
        last.extend_from_slice(b"0\r\n\r\n");
        pieces.push(last);
        if canned.event_delay.is_zero() {
            let whole = pieces.concat();
            pieces = whole.chunks(WRITE_BYTES).map(<[u8]>::to_vec).collect();
        } else {
            let head = pieces.remove(0);
            pieces[0].splice(0..0, head);
        }
        let (event_delay, stream) = (canned.event_delay, canned.stream);
        Self {
            json: json.into_bytes(),
            pieces,
            event_delay,
            stream,
        }
    }

    fn parse(&self, input: &[u8]) -> Parsed {
        let mut lines = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut request = httparse::Request::new(&mut lines);
        let length = match request.parse(input) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return Parsed::Partial,
            Err(_) => return Parsed::Ordinary,
        };
        let target = request.path.unwrap_or_default();
        let odd = request.version != Some(1) || request.method == Some("HEAD");
        if odd || target.starts_with(CONTROL_PREFIX) {
            return Parsed::Ordinary;
        }
        let mut head = CannedHead {
            length,
            framing: Framing::Length(0),
            stream: self.stream,
            close: false,
            expects_continue: false,
        };
        if let Some((path, query)) = target.split_once('?') {
            head.stream |= path.ends_with("chat/completions") && query.contains("stream=1");
        }
        for line in request.headers.iter() {
            // Lengths first: most lines are told apart by them alone.
            match line.name.len() {
                14 if line.name.eq_ignore_ascii_case("content-length") => {
                    let digits = std::str::from_utf8(line.value).ok();
                    match digits.and_then(|digits| digits.parse().ok()) {
                        Some(length) => head.framing = Framing::Length(length),
                        None => return Parsed::Ordinary,
                    }
                }
                17 if line.name.eq_ignore_ascii_case("transfer-encoding") => {
                    head.framing = Framing::Chunked;
                }
                10 if line.name.eq_ignore_ascii_case("connection") => {
                    head.close = line.value.eq_ignore_ascii_case(b"close");
                }
                6 if line.name.eq_ignore_ascii_case("expect") => head.expects_continue = true,
                _ => {}
            }
        }
        Parsed::Head(head)
    }

    /// Answers requests until the client leaves, or until one comes that is not canned.
    pub(crate) async fn serve<T: Transport>(
        &self,
        connection: &mut Connection<T>,
        state: &State,
    ) -> Result<(), ClientGone> {
        let mut batch = BytesMut::new();
        loop {
            let head = match self.parse(&connection.inbox) {
                Parsed::Head(head) => head,
                Parsed::Ordinary => return send(connection, &mut batch).await,
                Parsed::Partial if connection.inbox.len() > BATCH_BYTES => {
                    return send(connection, &mut batch).await;
                }
                Parsed::Partial => {
                    // Everything that has arrived is answered: time to write.
                    send(connection, &mut batch).await?;
                    connection.fill().await?;
                    continue;
                }
            };
            connection.inbox.advance(head.length);
            match head.framing {
                Framing::Length(length) if length <= connection.inbox.len() as u64 => {
                    connection.inbox.advance(length as usize);
                }
                framing => {
                    send(connection, &mut batch).await?;
                    if head.expects_continue {
                        connection.write(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
                    }
                    if connection.skip_body(framing).await != BodyEnd::Complete {
                        return Err(ClientGone);
                    }
                }
            }
            state.canned_answered(1);
            if head.stream {
                send(connection, &mut batch).await?;
                for (index, piece) in self.pieces.iter().enumerate() {
                    if index > 0 && !self.event_delay.is_zero() {
                        connection.pause(Some(self.event_delay)).await?;
                    }
                    connection.write(piece).await?;
                }
            } else if connection.inbox.is_empty() && batch.is_empty() {
                connection.write(&self.json).await?;
            } else {
                batch.extend_from_slice(&self.json);
                if batch.len() > BATCH_BYTES {
                    send(connection, &mut batch).await?;
                }
            }
            if head.close {
                send(connection, &mut batch).await?;
                let _ = tokio::io::AsyncWriteExt::shutdown(&mut connection.stream).await;
                return Err(ClientGone);
            }
        }
    }
}

async fn send<T: Transport>(
    connection: &mut Connection<T>,
    batch: &mut BytesMut,
) -> Result<(), ClientGone> {
    if !batch.is_empty() {
        connection.write(batch).await?;
        batch.clear();
    }
    Ok(())
}
