//! Anthropic messages: the JSON answer, the stream of typed events, and the token count.

use crate::answer::Answer;
use crate::dialect::{AnswerContext, Usage};
use crate::json::{Null, Raw, object};

/// What a stream carries when the server is overloaded in the middle.
pub(crate) const OVERLOADED: &str =
    r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;

/// Usage with input that excludes what was read from and written to the cache.
fn usage(usage: Usage, output: u64) -> Raw {
    let fresh = usage.prompt.saturating_sub(usage.cached + usage.written);
    object! {
        "input_tokens": fresh,
        "cache_creation_input_tokens": usage.written,
        "cache_read_input_tokens": usage.cached,
        "cache_creation": object! {
            "ephemeral_5m_input_tokens": usage.written, "ephemeral_1h_input_tokens": 0_u64,
        },
        "output_tokens": output,
        "service_tier": "standard",
    }
}

fn message(context: &AnswerContext<'_>, content: &[Raw], stop: Option<&str>, output: u64) -> Raw {
    object! {
        "id": format!("msg_{}", context.id),
        "type": "message",
        "role": "assistant",
        "model": context.call.model,
        "content": content,
        "stop_reason": stop,
        "stop_sequence": Null,
        "usage": usage(context.usage, output),
    }
}

fn tool_use(context: &AnswerContext<'_>, name: &str, input: &str) -> Raw {
    object! {
        "type": "tool_use",
        "id": format!("toolu_{}", context.id),
        "name": name,
        "input": Raw(input.to_owned()),
    }
}

pub(crate) fn answer(context: &AnswerContext<'_>) -> Answer {
    if context.call.stream {
        return stream(context);
    }
    let call = context.call;
    let (block, stop) = match &call.tool {
        Some(tool) => (tool_use(context, &tool.name, &tool.text()), "tool_use"),
        None => {
            let text = call.text();
            (object! { "type": "text", "text": text }, "end_turn")
        }
    };
    Answer::json(
        200,
        message(context, &[block], Some(stop), context.usage.output).0,
    )
}

fn event(kind: &str, data: Raw) -> String {
    format!("event: {kind}\ndata: {}\n\n", data.0)
}

fn stream(context: &AnswerContext<'_>) -> Answer {
    let call = context.call;
    let opened = message(context, &[], None, 1);
    let mut events = vec![event(
        "message_start",
        object! { "type": "message_start", "message": opened },
    )];
    let start = |block: Raw| {
        let kind = "content_block_start";
        event(
            kind,
            object! { "type": kind, "index": 0_u64, "content_block": block },
        )
    };
    let delta = |delta: Raw| {
        let kind = "content_block_delta";
        event(
            kind,
            object! { "type": kind, "index": 0_u64, "delta": delta },
        )
    };
    let ping = event("ping", object! { "type": "ping" });
    let stop = match &call.tool {
        Some(tool) => {
            events.push(start(tool_use(context, &tool.name, "{}")));
            events.push(ping);
            for piece in tool.deltas() {
                let part = object! { "type": "input_json_delta", "partial_json": piece };
                events.push(delta(part));
            }
            "tool_use"
        }
        None => {
            events.push(start(object! { "type": "text", "text": "" }));
            events.push(ping);
            for piece in call.pieces() {
                events.push(delta(object! { "type": "text_delta", "text": piece }));
            }
            "end_turn"
        }
    };
    let kind = "content_block_stop";
    events.push(event(kind, object! { "type": kind, "index": 0_u64 }));
    let kind = "message_delta";
    let ended = object! {
        "type": kind,
        "delta": object! { "stop_reason": stop, "stop_sequence": Null },
        "usage": object! {
            "input_tokens": context.usage.prompt.saturating_sub(
                context.usage.cached + context.usage.written
            ),
            "cache_creation_input_tokens": context.usage.written,
            "cache_read_input_tokens": context.usage.cached,
            "output_tokens": context.usage.output,
        },
    };
    events.push(event(kind, ended));
    let kind = "message_stop";
    events.push(event(kind, object! { "type": kind }));
    Answer::events(events)
}

pub(crate) fn count_tokens(context: &AnswerContext<'_>) -> Answer {
    Answer::json(
        200,
        object! { "input_tokens": context.call.prompt.tokens }.0,
    )
}

/// The model list.
pub(crate) fn models(ids: &[String]) -> Answer {
    let data: Vec<Raw> = ids.iter().map(|id| model_object(id)).collect();
    let body = object! {
        "data": data,
        "has_more": false,
        "first_id": ids.first(),
        "last_id": ids.last(),
    };
    Answer::json(200, body.0)
}

/// One model.
pub(crate) fn model_object(id: &str) -> Raw {
    object! {
        "type": "model",
        "id": id,
        "display_name": id,
        "created_at": "2025-01-01T00:00:00Z",
    }
}
