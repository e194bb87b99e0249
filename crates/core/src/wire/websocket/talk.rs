//! What clients and servers say over a WebSocket, as far as it matters which account serves: the
//! responses API (`response.create` and its events), Realtime, Gemini Live.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use super::handshake::Coding;
use super::kind::{Kind, KindReader};
use super::messages::{Deflated, Hear, Messages};
use crate::conversation::AnswerId;
use crate::fact::Usage;
use crate::ladder::PathTree;
use crate::object::Reference;
use crate::wire::body::{BodyFacts, Need, RequestReader};
use crate::wire::opening::is_preliminary;
use crate::wire::signals::{self, Signals};
use crate::wire::usage::AnswerReader;

/// Most of a message that is kept until it is known whether it is an error, in bytes; more of an error
/// is not looked at.
const KEPT: usize = signals::MAX_BODY;
/// Above so many bytes what a connection keeps between messages is given back.
const KEPT_BETWEEN: usize = 4 << 10;
/// What begins a response, by its client …
const CREATE: &[u8] = b"response.create";
/// … and what its server says then.
const CREATED: &[u8] = b"response.created";
/// What ends it.
const DONE: &[&[u8]] = &[
    b"response.completed",
    b"response.done",
    b"response.incomplete",
];
/// What is, or may be, an error.
const FAILED: &[&[u8]] = &[b"error", b"response.failed"];
/// What is left of limits.
const LIMITS: &[&[u8]] = &[b"codex.rate_limits", b"rate_limits.updated"];
/// Codes of a close that is no error.
const GOOD_CLOSES: &[u16] = &[1000, 1001, 1005];
/// Most headers that are read of an error.
const MOST_HEADERS: usize = 64;

/// A response that a client asks for.
#[derive(Debug)]
pub struct Created {
    /// What the message says, read as if it were the body of a request.
    pub facts: BodyFacts,
    /// Its length in bytes.
    pub bytes: u64,
}

/// Hears what a client says.
#[derive(Debug)]
pub struct ClientTalk<'t> {
    messages: Messages,
    ear: ClientEar<'t>,
}

#[derive(Debug)]
struct ClientEar<'t> {
    paths: &'t PathTree,
    need: Need,
    /// The longest message that is read, in bytes.
    most: u64,
    kind: KindReader,
    is_create: bool,
    reader: Option<RequestReader<'t>>,
    bytes: u64,
    created: Vec<Created>,
    model: Option<String>,
    data: u64,
}

impl<'t> ClientTalk<'t> {
    /// On a connection with this coding. Of a message at most `most` bytes are read.
    pub const fn new(coding: Coding, paths: &'t PathTree, need: Need, most: u64) -> Self {
        let deflated = match coding {
            Coding::Plain => Deflated::Never,
            Coding::Deflate { client_anew, .. } => Deflated::May { anew: client_anew },
            Coding::Unknown => Deflated::Unreadable,
        };
        Self {
            messages: Messages::new(deflated),
            ear: ClientEar {
                paths,
                need,
                most,
                kind: KindReader::new(),
                is_create: false,
                reader: None,
                bytes: 0,
                created: Vec::new(),
                model: None,
                data: 0,
            },
        }
    }

    /// Takes the next bytes; answers with the responses that they ask for.
    pub fn feed(&mut self, bytes: &[u8]) -> impl Iterator<Item = Created> + use<'_, 't> {
        self.messages.feed(bytes, &mut self.ear);
        self.ear.created.drain(..)
    }

    /// The model that a message has named for all that follows, once.
    pub const fn take_model(&mut self) -> Option<String> {
        self.ear.model.take()
    }

    /// Whether a message has just ended, or none has begun.
    pub fn is_between(&self) -> bool {
        self.messages.is_between()
    }

    /// How many messages have begun.
    pub const fn count(&self) -> u64 {
        self.ear.data
    }
}

impl Hear for ClientEar<'_> {
    fn begins(&mut self, text: bool) {
        self.data += 1;
        self.kind.reset();
        self.is_create = false;
        self.bytes = 0;
        // Gemini's clients may send their JSON in binary messages; its model is all that is read.
        let _ = text;
        self.reader = Some(RequestReader::new(self.paths, self.need));
    }

    fn piece(&mut self, plain: &[u8]) -> bool {
        self.bytes += plain.len() as u64;
        let Some(reader) = &mut self.reader else {
            return false;
        };
        if !self.is_create {
            match self.kind.feed(plain) {
                Kind::Open => {}
                Kind::Is(CREATE) => self.is_create = true,
                Kind::SetUp(model) => {
                    // In a path or by itself, as over HTTP.
                    let model = model.rsplit(|byte| *byte == b'/').next();
                    let model = model.unwrap_or_default();
                    self.model = Some(String::from_utf8_lossy(model).into_owned());
                    self.reader = None;
                    return false;
                }
                Kind::Is(_) | Kind::None => {
                    self.reader = None;
                    return false;
                }
            }
        }
        if self.bytes <= self.most {
            reader.feed(plain);
        }
        // Its length is wanted even when nothing else is.
        true
    }

    fn ends(&mut self) {
        let Some(reader) = self.reader.take().filter(|_| self.is_create) else {
            return;
        };
        self.created.push(Created {
            facts: if self.bytes <= self.most {
                reader.finish()
            } else {
                reader.so_far()
            },
            bytes: self.bytes,
        });
    }

    fn closes(&mut self, _: Option<u16>, _: &[u8]) {}

    fn passes(&mut self) {
        self.data += 1;
    }
}

/// What a server says.
#[derive(Debug)]
pub enum Said {
    /// Nothing of substance, or what is left of limits, as headers would say it.
    Preliminary(HeaderMap),
    /// A response begins, and nothing of it is there yet.
    Begun,
    /// Something of substance. Said before the message has ended, and not of each.
    Going,
    /// A response is complete.
    Done {
        /// What it has cost.
        usage: Option<Usage>,
        /// What it can be continued by.
        id: Option<AnswerId>,
        /// The objects that it gives out.
        given: Vec<Reference>,
    },
    /// Something went wrong.
    Failed {
        /// What it says …
        signals: Signals,
        /// … and the headers that it repeats.
        headers: HeaderMap,
        /// Whether it ends a response.
        ends: bool,
    },
    /// Tokens, of whatever they were spent on.
    Spent(Usage),
    /// The connection is closed, with a reason if that is an error.
    Closed(Option<Signals>),
    /// A ping or a pong.
    Alive,
}

/// Hears what a server says.
#[derive(Debug)]
pub struct ServerTalk {
    messages: Messages,
    ear: ServerEar,
}

#[derive(Debug, Default)]
struct ServerEar {
    kind: KindReader,
    about: About,
    kept: Vec<u8>,
    reader: Option<AnswerReader>,
    said: Vec<Said>,
}

/// What a message is, as far as that is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum About {
    #[default]
    Unknown,
    Untyped,
    Begun,
    Preliminary,
    Done,
    Failed,
    Limits,
    Going,
}

impl About {
    fn of(kind: &Kind<'_>) -> Self {
        match kind {
            Kind::Open => Self::Unknown,
            Kind::None | Kind::SetUp(_) => Self::Untyped,
            Kind::Is(kind) if DONE.contains(kind) => Self::Done,
            Kind::Is(kind) if FAILED.contains(kind) => Self::Failed,
            Kind::Is(kind) if LIMITS.contains(kind) => Self::Limits,
            Kind::Is(CREATED) => Self::Begun,
            Kind::Is(kind) if is_preliminary(kind) => Self::Preliminary,
            Kind::Is(_) => Self::Going,
        }
    }
}

impl ServerTalk {
    /// On a connection with this coding.
    pub fn new(coding: Coding) -> Self {
        Self {
            messages: Messages::new(match coding {
                Coding::Plain => Deflated::Never,
                Coding::Deflate { server_anew, .. } => Deflated::May { anew: server_anew },
                Coding::Unknown => Deflated::Unreadable,
            }),
            ear: ServerEar::default(),
        }
    }

    /// Takes the next bytes; answers with what they say.
    pub fn feed(&mut self, bytes: &[u8]) -> impl Iterator<Item = Said> + use<'_> {
        self.messages.feed(bytes, &mut self.ear);
        self.ear.said.drain(..)
    }

    /// Whether a message has just ended, or none has begun.
    pub fn is_between(&self) -> bool {
        self.messages.is_between()
    }
}

impl ServerEar {
    fn keep(&mut self, plain: &[u8]) {
        let room = KEPT - self.kept.len();
        self.kept.extend_from_slice(&plain[..plain.len().min(room)]);
    }

    fn value(&self) -> Option<Value> {
        serde_json::from_slice(&self.kept).ok()
    }

    fn failed(&mut self) {
        let signals = Signals::of_body(&self.kept);
        let value = self.value();
        let headers = value.as_ref().map(repeated_headers).unwrap_or_default();
        // Realtime reports mistakes in single events the same way, but without a status.
        let ends = signals.status.is_some() || self.about == About::Done || {
            let kind = value.as_ref().and_then(|value| value.get("type")?.as_str());
            kind == Some("response.failed")
        };
        self.said.push(Said::Failed {
            signals,
            headers,
            ends,
        });
    }
}

impl Hear for ServerEar {
    fn begins(&mut self, text: bool) {
        self.kind.reset();
        self.kept.clear();
        self.about = About::Unknown;
        // Gemini sends its JSON in binary messages.
        let _ = text;
        self.reader = Some(AnswerReader::of_message());
    }

    fn piece(&mut self, plain: &[u8]) -> bool {
        if self.about == About::Unknown {
            self.about = About::of(&self.kind.feed(plain));
            if self.about == About::Going {
                self.said.push(Said::Going);
            }
        }
        match self.about {
            About::Going | About::Begun | About::Preliminary => return false,
            About::Failed | About::Limits => self.keep(plain),
            About::Unknown | About::Untyped | About::Done => {
                self.keep(plain);
                if let Some(reader) = &mut self.reader {
                    reader.feed(plain);
                }
            }
        }
        true
    }

    fn ends(&mut self) {
        let usage = self.reader.as_ref().and_then(AnswerReader::usage);
        match self.about {
            About::Going => {}
            About::Begun => self.said.push(Said::Begun),
            About::Preliminary => self.said.push(Said::Preliminary(HeaderMap::new())),
            About::Limits => {
                let limits = self.value().as_ref().map(limits_of).unwrap_or_default();
                self.said.push(Said::Preliminary(limits));
            }
            About::Failed => self.failed(),
            About::Done => {
                let id = self.reader.as_ref().and_then(AnswerReader::answer_id);
                // Realtime says of a response that failed that it is done.
                if memchr::memmem::find(&self.kept, b"\"failed\"").is_some()
                    && Signals::of_body(&self.kept).is_error_envelope()
                {
                    self.failed();
                } else {
                    let given = self.reader.as_mut().and_then(AnswerReader::given);
                    let given = given.map(std::mem::take).unwrap_or_default();
                    self.said.push(Said::Done { usage, id, given });
                }
            }
            About::Unknown | About::Untyped => {
                if memchr::memmem::find(&self.kept, b"\"error\"").is_some()
                    && Signals::of_body(&self.kept).is_error_envelope()
                {
                    self.failed();
                } else {
                    self.said.push(Said::Going);
                    self.said.extend(usage.map(Said::Spent));
                }
            }
        }
        self.reader = None;
        self.kept.clear();
        if self.kept.capacity() > KEPT_BETWEEN {
            self.kept = Vec::new();
        }
    }

    fn closes(&mut self, code: Option<u16>, reason: &[u8]) {
        let is_error = code.is_some_and(|code| !GOOD_CLOSES.contains(&code));
        let reason = String::from_utf8_lossy(reason);
        let signals = (is_error && !reason.is_empty()).then(|| Signals {
            message: reason.into_owned(),
            envelope: true,
            ..Signals::default()
        });
        self.said.push(Said::Closed(signals));
    }

    fn lives(&mut self) {
        self.said.push(Said::Alive);
    }

    fn passes(&mut self) {
        self.said.push(Said::Going);
    }
}

/// A scalar as a header would hold it.
fn written(value: &Value) -> Option<HeaderValue> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        _ => return None,
    };
    HeaderValue::from_str(&text).ok()
}

fn put(headers: &mut HeaderMap, name: &str, value: Option<&Value>) {
    if let Ok(name) = HeaderName::from_bytes(name.as_bytes())
        && let Some(value) = value.and_then(written)
    {
        headers.insert(name, value);
    }
}

/// The headers that an error repeats.
fn repeated_headers(error: &Value) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Some(Value::Object(repeated)) = error.get("headers") {
        for (name, value) in repeated.iter().take(MOST_HEADERS) {
            put(&mut headers, name, Some(value));
        }
    }
    headers
}

/// What an event about limits says, as the headers that say the same.
/// Sources: openai/codex codex-api rate_limits.rs; openai-openapi RealtimeServerEventRateLimitsUpdated.
fn limits_of(event: &Value) -> HeaderMap {
    let mut headers = HeaderMap::new();
    match event.get("rate_limits") {
        Some(Value::Object(windows)) => {
            for window in ["primary", "secondary"] {
                let Some(stated) = windows.get(window) else {
                    continue;
                };
                for (field, name) in [
                    ("used_percent", "used-percent"),
                    ("window_minutes", "window-minutes"),
                    ("reset_at", "reset-at"),
                ] {
                    let name = format!("x-codex-{window}-{name}");
                    put(&mut headers, &name, stated.get(field));
                }
            }
        }
        Some(Value::Array(limits)) => {
            for limit in limits.iter().take(MOST_HEADERS) {
                let Some(counted @ ("requests" | "tokens")) =
                    limit.get("name").and_then(Value::as_str)
                else {
                    continue;
                };
                for (field, name) in [("limit", "limit"), ("remaining", "remaining")] {
                    let name = format!("x-ratelimit-{name}-{counted}");
                    put(&mut headers, &name, limit.get(field));
                }
                if let Some(seconds) = limit.get("reset_seconds").and_then(Value::as_f64) {
                    let reset = Value::String(format!("{seconds}s"));
                    let name = format!("x-ratelimit-reset-{counted}");
                    put(&mut headers, &name, Some(&reset));
                }
            }
        }
        _ => {}
    }
    headers
}
