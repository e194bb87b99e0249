//! WebSockets as providers offer them: the responses API as Codex speaks it, Realtime, Gemini Live.

use std::fmt::Write as _;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use serde_json::{Value, json};

use crate::answer::{Answer, Body};
use crate::connection::{ClientGone, Connection, RequestBody, Transport};
use crate::dialect::{Dialect, Route};
use crate::exchange::{self, After};
use crate::fault::{Close, FaultKind};
use crate::head::Head;
use crate::sha1;
use crate::state::State;

/// Longest message that is read, in bytes.
const MAX_MESSAGE_BYTES: usize = 16 << 20;
/// How a subprotocol begins that is a key.
pub(crate) const KEY_PROTOCOL: &str = "openai-insecure-api-key.";

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// What is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speech {
    Responses,
    Realtime,
    GeminiLive,
}

impl Speech {
    /// For a handshake; nothing if there is no WebSocket at its path.
    pub(crate) fn of(head: &Head) -> Option<Self> {
        let is_handshake = head.method == "GET"
            && head
                .header("upgrade")
                .is_some_and(|value| value.eq_ignore_ascii_case("websocket"))
            && head.header("sec-websocket-key").is_some();
        if !is_handshake {
            return None;
        }
        let path = head.path();
        if path.ends_with("/responses") {
            Some(Self::Responses)
        } else if path.ends_with("/realtime") {
            Some(Self::Realtime)
        } else {
            path.contains("BidiGenerateContent")
                .then_some(Self::GeminiLive)
        }
    }
}

/// A message or a control frame.
#[derive(Debug)]
struct Message {
    opcode: u8,
    payload: BytesMut,
}

/// Serves an accepted handshake to its end.
pub(crate) async fn serve<T: Transport>(
    state: &Arc<State>,
    connection: &mut Connection<T>,
    head: &Head,
    speech: Speech,
) -> Result<After, ClientGone> {
    let key = head.header("sec-websocket-key").unwrap_or_default();
    let mut answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\nx-request-id: req_{}\r\n",
        sha1::accept(key),
        state.next_id()
    );
    let offered = head.header("sec-websocket-protocol").unwrap_or_default();
    let mut offered = offered.split(',').map(str::trim);
    if let Some(chosen) =
        offered.find(|offer| !offer.is_empty() && !offer.starts_with(KEY_PROTOCOL))
    {
        let _ = write!(answer, "Sec-WebSocket-Protocol: {chosen}\r\n");
    }
    answer.push_str("\r\n");
    connection.write(answer.as_bytes()).await?;
    if speech == Speech::Realtime {
        let session = json!({"type": "session.created", "event_id": "event_1",
            "session": {"id": format!("sess_{}", state.next_id()), "object": "realtime.session"}});
        send(connection, TEXT, session.to_string().as_bytes()).await?;
    }
    loop {
        let Some(message) = receive(connection).await? else {
            return Ok(After::Tear(Close::Fin));
        };
        match message.opcode {
            CLOSE => {
                send(connection, CLOSE, &message.payload).await?;
                return Ok(After::Close);
            }
            PING => send(connection, PONG, &message.payload).await?,
            TEXT | BINARY => {
                if let Some(after) =
                    answer_message(state, connection, head, speech, message.payload.freeze())
                        .await?
                {
                    return Ok(after);
                }
            }
            _ => {}
        }
    }
}

async fn answer_message<T: Transport>(
    state: &Arc<State>,
    connection: &mut Connection<T>,
    head: &Head,
    speech: Speech,
    bytes: Bytes,
) -> Result<Option<After>, ClientGone> {
    let mut said: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let asks = match speech {
        Speech::GeminiLive => {
            if said.get("setup").is_some() {
                send(connection, BINARY, br#"{"setupComplete":{}}"#).await?;
            }
            said.get("clientContent").is_some()
        }
        Speech::Responses | Speech::Realtime => said["type"] == "response.create",
    };
    if !asks {
        return Ok(None);
    }
    // Each response is a request of its own, with limits, faults and a recording.
    let (mut ticket, fault) = state.arrive(head, connection.number, &mut connection.keys_seen);
    let body = RequestBody {
        bytes,
        trailers: Vec::new(),
        complete: true,
    };
    ticket.record(head, &body);
    let id = state.next_id();
    let answer = match fault {
        Some(FaultKind::Reset { close }) => return Ok(Some(After::Tear(close))),
        Some(FaultKind::Status {
            status,
            headers,
            body,
        }) => exchange::scripted(Dialect::OpenAi, status, &headers, body.as_deref(), &id),
        _ if speech == Speech::Responses => {
            // There is no other way over a WebSocket, so clients need not say it.
            said["stream"] = true.into();
            let body = RequestBody {
                bytes: said.to_string().into(),
                trailers: Vec::new(),
                complete: true,
            };
            match exchange::call(state, head, Route::Responses, &mut ticket, &body, &id) {
                Ok((call, usage, answer)) => {
                    ticket.begin(&call, usage);
                    answer
                }
                Err(answer) => answer,
            }
        }
        _ => spoken(speech, &id),
    };
    ticket.status(answer.status);
    let frames = frames_of(answer);
    let last = frames.len().saturating_sub(1);
    for (at, frame) in frames.iter().enumerate() {
        if at == last {
            ticket.finish();
        }
        let opcode = if speech == Speech::GeminiLive {
            BINARY
        } else {
            TEXT
        };
        send(connection, opcode, frame).await?;
        let pause = state.config.event_delay;
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }
    Ok(None)
}

/// What Realtime and Gemini Live answer.
fn spoken(speech: Speech, id: &str) -> Answer {
    let events = if speech == Speech::GeminiLive {
        vec![
            json!({"serverContent": {"modelTurn": {"parts": [{"text": "mock"}]}}}),
            json!({"serverContent": {"turnComplete": true}, "usageMetadata":
                {"promptTokenCount": 20, "responseTokenCount": 4, "totalTokenCount": 24}}),
        ]
    } else {
        let response = format!("resp_{id}");
        vec![
            json!({"type": "response.created", "response": {"id": response, "status": "in_progress"}}),
            json!({"type": "response.output_text.delta", "response_id": response, "delta": "mock"}),
            json!({"type": "rate_limits.updated", "rate_limits": [
                {"name": "requests", "limit": 1000, "remaining": 999, "reset_seconds": 0.06}]}),
            json!({"type": "response.done", "response": {"id": response, "status": "completed",
                "usage": {"total_tokens": 24, "input_tokens": 20, "output_tokens": 4,
                    "input_token_details": {"cached_tokens": 0}}}}),
        ]
    };
    let event = |event: Value| format!("data: {event}\n\n");
    Answer::events(events.into_iter().map(event).collect())
}

/// An answer as messages: events are one each, an error repeats its status and headers.
fn frames_of(answer: Answer) -> Vec<Bytes> {
    match answer.body {
        Body::Events(events) => events.iter().filter_map(data_of).collect(),
        Body::Whole(body) if answer.status == 200 => vec![body],
        Body::Whole(body) => {
            let error: Value = serde_json::from_slice(&body).unwrap_or_default();
            let headers = answer.headers.0.iter();
            let headers: serde_json::Map<String, Value> = headers
                .map(|(name, value)| (name.to_string(), Value::String(value.clone())))
                .collect();
            let frame = json!({"type": "error", "status": answer.status,
                "error": error.get("error"), "headers": headers});
            vec![frame.to_string().into()]
        }
    }
}

fn data_of(event: &Bytes) -> Option<Bytes> {
    let at = memchr::memmem::find(event, b"data: ")? + b"data: ".len();
    Some(Bytes::copy_from_slice(event[at..].trim_ascii_end()))
}

async fn send<T: Transport>(
    connection: &mut Connection<T>,
    opcode: u8,
    payload: &[u8],
) -> Result<(), ClientGone> {
    let mut frame = vec![0x80 | opcode];
    match payload.len() {
        short @ 0..=125 => frame.push(short as u8),
        middle @ 126..=0xffff => {
            frame.push(126);
            frame.extend_from_slice(&(middle as u16).to_be_bytes());
        }
        long => {
            frame.push(127);
            frame.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(payload);
    connection.write(&frame).await
}

/// The next message, put together; nothing if this is no WebSocket: a client masks what it sends.
async fn receive<T: Transport>(
    connection: &mut Connection<T>,
) -> Result<Option<Message>, ClientGone> {
    let mut whole: Option<Message> = None;
    loop {
        let head = take(connection, 2).await?;
        let (is_last, opcode, masked) = (head[0] & 0x80 != 0, head[0] & 0x0f, head[1] & 0x80 != 0);
        let length = match head[1] & 0x7f {
            126 => take(connection, 2).await?.get_u16() as usize,
            127 => usize::try_from(take(connection, 8).await?.get_u64()).unwrap_or(usize::MAX),
            short => usize::from(short),
        };
        if !masked || length > MAX_MESSAGE_BYTES {
            return Ok(None);
        }
        let mask = take(connection, 4).await?;
        let mut payload = take(connection, length).await?;
        for (byte, mask) in payload.iter_mut().zip(mask.iter().cycle()) {
            *byte ^= mask;
        }
        match (&mut whole, opcode) {
            (_, CLOSE | PING | PONG) => return Ok(Some(Message { opcode, payload })),
            (Some(whole), _) => whole.payload.unsplit(payload),
            (none, _) => *none = Some(Message { opcode, payload }),
        }
        if is_last {
            return Ok(whole);
        }
    }
}

async fn take<T: Transport>(
    connection: &mut Connection<T>,
    count: usize,
) -> Result<BytesMut, ClientGone> {
    while connection.inbox.len() < count {
        connection.fill().await?;
    }
    Ok(connection.inbox.split_to(count))
}
