//! Conversations, made once and written in any dialect and any style: what a style changes is what
//! clients change between two turns without changing the prompt.

use proptest::prelude::*;

use super::Json;

/// How a conversation is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::wire) enum Api {
    Chat,
    Messages,
    Responses,
    Gemini,
}

pub(in crate::wire) const APIS: [Api; 4] = [Api::Chat, Api::Messages, Api::Responses, Api::Gemini];

/// What one side says or does.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::wire) enum Turn {
    User {
        text: String,
        image: Option<String>,
    },
    /// A system message in the middle.
    Reminder(String),
    Reply {
        text: Option<String>,
        calls: Vec<Call>,
    },
    /// The result of one call.
    Result {
        call: String,
        text: String,
    },
}

/// A call of a tool.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::wire) struct Call {
    pub(in crate::wire) id: String,
    pub(in crate::wire) name: String,
    pub(in crate::wire) arguments: Json,
}

/// What clients change without changing the prompt. Each is asked again and again, and says
/// something else each time.
#[derive(Clone, Debug)]
pub(in crate::wire) struct Style(u64);

impl Style {
    /// As plain as it can be.
    pub(in crate::wire) const PLAIN: Self = Self(0);

    fn next(&mut self) -> bool {
        let bit = self.0 & 1 == 1;
        self.0 = self.0.rotate_right(1);
        bit
    }
}

pub(in crate::wire) fn style() -> impl Strategy<Value = Style> {
    any::<u64>().prop_map(Style)
}

fn words() -> impl Strategy<Value = String> {
    "[a-z \"\\\\\n\u{e9}]{1,12}"
}

fn arguments() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        prop::sample::select(&["1", "true", "-0.5"][..]).prop_map(|raw| Json::Raw(raw.to_owned())),
        prop::sample::select(&["1", "true", "", "x"][..]).prop_map(Json::from),
    ];
    let value = leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Json::List),
            prop::collection::vec(("[ab]", inner), 0..3).prop_map(Json::Object),
        ]
    });
    prop::collection::vec(("[a-c]", value), 0..3).prop_map(Json::Object)
}

fn call() -> impl Strategy<Value = Call> {
    ("call_[ab]{2}", "[a-c]{1,3}", arguments()).prop_map(|(id, name, arguments)| Call {
        id,
        name,
        arguments,
    })
}

pub(in crate::wire) fn turn() -> impl Strategy<Value = Turn> {
    let reply = (
        prop::option::of(words()),
        prop::collection::vec(call(), 0..3),
    );
    prop_oneof![
        3 => (words(), prop::option::of("[a-z]{4}")).prop_map(|(text, image)| Turn::User { text, image }),
        1 => words().prop_map(Turn::Reminder),
        3 => reply.prop_filter("a reply says something", |(text, calls)| text.is_some() || !calls.is_empty())
            .prop_map(|(text, calls)| Turn::Reply { text, calls }),
        2 => ("call_[ab]{2}", words()).prop_map(|(call, text)| Turn::Result { call, text }),
    ]
}

/// A conversation that a user begins.
pub(in crate::wire) fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let first = (words(), prop::option::of("[a-z]{4}"))
        .prop_map(|(text, image)| Turn::User { text, image });
    (first, prop::collection::vec(turn(), 0..7)).prop_map(|(first, mut turns)| {
        turns.insert(0, first);
        turns
    })
}

pub(in crate::wire) fn system() -> impl Strategy<Value = String> {
    words()
}

pub(in crate::wire) fn api() -> impl Strategy<Value = Api> {
    prop::sample::select(&APIS[..])
}

/// One entry of the list of messages, and what becomes of it.
#[derive(Clone, Debug)]
pub(in crate::wire) struct Entry {
    pub(in crate::wire) json: Json,
    /// Whether a model wrote it.
    pub(in crate::wire) by_model: bool,
    /// Whether it is a link of the chain; thoughts are none.
    pub(in crate::wire) counts: bool,
}

/// The list of messages.
pub(in crate::wire) fn entries(api: Api, turns: &[Turn], style: &mut Style) -> Vec<Entry> {
    let mut entries = Vec::new();
    for turn in turns {
        match api {
            Api::Chat => chat(turn, style, &mut entries),
            Api::Messages => messages(turn, style, &mut entries),
            Api::Responses => responses(turn, style, &mut entries),
            Api::Gemini => gemini(turn, style, &mut entries),
        }
    }
    entries
}

fn entry(json: Json, by_model: bool) -> Entry {
    Entry {
        json,
        by_model,
        counts: true,
    }
}

fn cache_control(part: &mut Json, style: &mut Style) {
    if style.next() {
        part.push(
            "cache_control",
            Json::object([("type", "ephemeral".into())]),
        );
    }
}

/// Text as one part, or cut into two.
fn text_parts(text: &str, kind: Option<&str>, style: &mut Style) -> Vec<Json> {
    let middle = text.len() / 2;
    let pieces = if style.next() && text.is_char_boundary(middle) {
        vec![&text[..middle], &text[middle..]]
    } else {
        vec![text]
    };
    let part = |piece: &str, style: &mut Style| {
        let mut part = Json::Object(Vec::new());
        let kind_first = style.next();
        if let (Some(kind), true) = (kind, kind_first) {
            part.push("type", kind.into());
        }
        part.push("text", piece.into());
        if let (Some(kind), false) = (kind, kind_first) {
            part.push("type", kind.into());
        }
        if kind.is_some() {
            cache_control(&mut part, style);
        }
        part
    };
    pieces.into_iter().map(|piece| part(piece, style)).collect()
}

/// Text as a string or as parts.
fn content(text: &str, kind: &str, style: &mut Style) -> Json {
    if style.next() {
        Json::List(text_parts(text, Some(kind), style))
    } else {
        text.into()
    }
}

fn user_content(
    text: &str,
    image: Option<&String>,
    kind: &str,
    to_part: impl Fn(&str) -> Json,
    style: &mut Style,
) -> Json {
    let Some(image) = image else {
        return content(text, kind, style);
    };
    let mut parts = vec![to_part(image)];
    cache_control(&mut parts[0], style);
    parts.extend(text_parts(text, Some(kind), style));
    Json::List(parts)
}

/// What providers and clients put into a message besides the prompt.
fn notes(message: &mut Json, style: &mut Style) {
    if style.next() {
        message.push("id", "msg_1".into());
        message.push("status", "completed".into());
    }
    if style.next() {
        message.push("metadata", Json::object([("turn", Json::Raw("7".into()))]));
    }
}

fn chat(turn: &Turn, style: &mut Style, entries: &mut Vec<Entry>) {
    let picture = |image: &str| {
        let url = Json::object([("url", image.into())]);
        Json::object([("type", "image_url".into()), ("image_url", url)])
    };
    let mut message = match turn {
        Turn::User { text, image } => {
            let content = user_content(text, image.as_ref(), "text", picture, style);
            Json::object([("role", "user".into()), ("content", content)])
        }
        Turn::Reminder(text) => Json::object([
            ("role", "system".into()),
            ("content", content(text, "text", style)),
        ]),
        Turn::Reply { text, calls } => {
            let mut message = Json::object([("role", "assistant".into())]);
            if style.next() {
                message.push("reasoning_content", "hm".into());
                let details = Json::object([("text", "hm".into())]);
                message.push("reasoning_details", Json::List(vec![details]));
            }
            match text {
                Some(text) => message.push("content", content(text, "text", style)),
                None if style.next() => message.push("content", Json::Raw("null".into())),
                None => {}
            }
            if !calls.is_empty() {
                let calls = calls.iter().map(|call| {
                    let function = Json::object([
                        ("name", (&*call.name).into()),
                        ("arguments", (&*call.arguments.write()).into()),
                    ]);
                    Json::object([
                        ("id", (&*call.id).into()),
                        ("type", "function".into()),
                        ("function", function),
                    ])
                });
                message.push("tool_calls", Json::List(calls.collect()));
            }
            message
        }
        Turn::Result { call, text } => Json::object([
            ("role", "tool".into()),
            ("tool_call_id", (&**call).into()),
            ("content", content(text, "text", style)),
        ]),
    };
    notes(&mut message, style);
    cache_control(&mut message, style);
    entries.push(entry(message, matches!(turn, Turn::Reply { .. })));
}

fn messages(turn: &Turn, style: &mut Style, entries: &mut Vec<Entry>) {
    let picture = |image: &str| {
        let source = Json::object([("type", "base64".into()), ("data", image.into())]);
        Json::object([("type", "image".into()), ("source", source)])
    };
    let (role, content) = match turn {
        Turn::User { text, image } => (
            "user",
            user_content(text, image.as_ref(), "text", picture, style),
        ),
        Turn::Reminder(text) => ("system", content(text, "text", style)),
        Turn::Reply { text, calls } => {
            let mut parts = Vec::new();
            if style.next() {
                let (kind, data) = if style.next() {
                    ("thinking", "thinking")
                } else {
                    ("redacted_thinking", "data")
                };
                parts.push(Json::object([
                    ("type", kind.into()),
                    (data, "hm".into()),
                    ("signature", "c2ln".into()),
                ]));
            }
            if let Some(text) = text {
                parts.extend(text_parts(text, Some("text"), style));
            }
            for call in calls {
                let mut part = Json::object([
                    ("type", "tool_use".into()),
                    ("id", (&*call.id).into()),
                    ("name", (&*call.name).into()),
                    ("input", call.arguments.clone()),
                ]);
                cache_control(&mut part, style);
                parts.push(part);
            }
            ("assistant", Json::List(parts))
        }
        Turn::Result { call, text } => {
            let mut part = Json::object([
                ("type", "tool_result".into()),
                ("tool_use_id", (&**call).into()),
                ("content", content(text, "text", style)),
            ]);
            cache_control(&mut part, style);
            ("user", Json::List(vec![part]))
        }
    };
    let message = Json::object([("role", role.into()), ("content", content)]);
    entries.push(entry(message, role == "assistant"));
}

fn responses(turn: &Turn, style: &mut Style, entries: &mut Vec<Entry>) {
    let picture =
        |image: &str| Json::object([("type", "input_image".into()), ("image_url", image.into())]);
    let mut say = |role: &str, content: Json, style: &mut Style| {
        let mut item = Json::Object(Vec::new());
        if style.next() {
            item.push("type", "message".into());
        }
        item.push("role", role.into());
        item.push("content", content);
        notes(&mut item, style);
        entries.push(entry(item, role == "assistant"));
    };
    match turn {
        Turn::User { text, image } => {
            let content = user_content(text, image.as_ref(), "input_text", picture, style);
            say("user", content, style);
        }
        Turn::Reminder(text) => say("developer", content(text, "input_text", style), style),
        Turn::Reply { text, calls } => {
            if let Some(text) = text {
                say("assistant", content(text, "output_text", style), style);
            }
            if style.next() {
                let thought = Json::object([
                    ("type", "reasoning".into()),
                    ("summary", Json::List(Vec::new())),
                    ("encrypted_content", "gAAA".into()),
                ]);
                entries.push(Entry {
                    json: thought,
                    by_model: false,
                    counts: false,
                });
            }
            for call in calls {
                let mut item = Json::object([
                    ("type", "function_call".into()),
                    ("call_id", (&*call.id).into()),
                    ("name", (&*call.name).into()),
                    ("arguments", (&*call.arguments.write()).into()),
                ]);
                notes(&mut item, style);
                entries.push(entry(item, true));
            }
        }
        Turn::Result { call, text } => {
            let mut item = Json::object([
                ("type", "function_call_output".into()),
                ("call_id", (&**call).into()),
                ("output", (&**text).into()),
            ]);
            notes(&mut item, style);
            entries.push(entry(item, false));
        }
    }
}

fn gemini(turn: &Turn, style: &mut Style, entries: &mut Vec<Entry>) {
    let (role, parts) = match turn {
        Turn::User { text, image } => {
            let mut parts = Vec::new();
            if let Some(image) = image {
                let data = Json::object([("data", (&**image).into())]);
                parts.push(Json::object([("inlineData", data)]));
            }
            parts.extend(text_parts(text, None, style));
            ("user", parts)
        }
        Turn::Reminder(text) => ("user", text_parts(text, None, style)),
        Turn::Reply { text, calls } => {
            let mut parts = Vec::new();
            if let Some(text) = text {
                parts.extend(text_parts(text, None, style));
            }
            for call in calls {
                let call = Json::object([
                    ("id", (&*call.id).into()),
                    ("name", (&*call.name).into()),
                    ("args", call.arguments.clone()),
                ]);
                let mut part = Json::object([("functionCall", call)]);
                if style.next() {
                    part.push("thoughtSignature", "c2ln".into());
                }
                parts.push(part);
            }
            ("model", parts)
        }
        Turn::Result { call, text } => {
            let response = Json::object([
                ("id", (&**call).into()),
                ("response", Json::object([("output", (&**text).into())])),
            ]);
            ("user", vec![Json::object([("functionResponse", response)])])
        }
    };
    let message = Json::object([("role", role.into()), ("parts", Json::List(parts))]);
    entries.push(entry(message, role == "model"));
}

/// A whole body. The system prompt stands before or after the messages, as the style says.
pub(in crate::wire) fn body(
    api: Api,
    system: Option<&str>,
    turns: &[Turn],
    style: &mut Style,
) -> Json {
    let list = entries(api, turns, style);
    let mut list: Vec<Json> = list.into_iter().map(|entry| entry.json).collect();
    let mut beside = None;
    if let Some(system) = system {
        match api {
            Api::Chat => list.insert(
                0,
                Json::object([
                    ("role", "system".into()),
                    ("content", content(system, "text", style)),
                ]),
            ),
            Api::Messages => beside = Some(("system", content(system, "text", style))),
            Api::Responses => beside = Some(("instructions", system.into())),
            Api::Gemini => {
                let parts = Json::List(text_parts(system, None, style));
                beside = Some(("systemInstruction", Json::object([("parts", parts)])));
            }
        }
    }
    let key = match api {
        Api::Chat | Api::Messages => "messages",
        Api::Responses => "input",
        Api::Gemini => "contents",
    };
    let mut body = Json::Object(Vec::new());
    let model_last = style.next();
    if !model_last {
        body.push("model", "m-1".into());
    }
    let system_first = style.next();
    if let (Some((key, system)), true) = (&beside, system_first) {
        body.push(key, system.clone());
    }
    body.push(key, Json::List(list));
    if let (Some((key, system)), false) = (&beside, system_first) {
        body.push(key, system.clone());
    }
    if style.next() {
        body.push("tools", Json::List(vec![Json::object([])]));
        body.push("stream", Json::Raw("true".into()));
    }
    if model_last {
        body.push("model", "m-1".into());
    }
    body
}
