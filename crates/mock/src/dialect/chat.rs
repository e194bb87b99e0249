//! OpenAI chat completions: the JSON answer and the stream of `chat.completion.chunk`s.

use crate::answer::Answer;
use crate::dialect::{AnswerContext, Usage};
use crate::json::{EMPTY, Null, Raw, object};

/// What a chat stream carries when the server fails in the middle.
pub(crate) const SERVER_ERROR: &str = r#"{"error":{"message":"The server had an error while processing your request. Sorry about that!","type":"server_error","param":null,"code":null}}"#;

const DONE: &str = "data: [DONE]\n\n";

/// The usage object shared with legacy completions.
pub(crate) fn usage(usage: Usage) -> Raw {
    object! {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.output,
        "total_tokens": usage.prompt + usage.output,
        "prompt_tokens_details": object! { "cached_tokens": usage.cached, "audio_tokens": 0_u64 },
        "completion_tokens_details": object! {
            "reasoning_tokens": 0_u64,
            "audio_tokens": 0_u64,
            "accepted_prediction_tokens": 0_u64,
            "rejected_prediction_tokens": 0_u64,
        },
    }
}

pub(crate) fn answer(context: &AnswerContext<'_>) -> Answer {
    if context.call.stream {
        stream(context)
    } else {
        json(context)
    }
}

fn json(context: &AnswerContext<'_>) -> Answer {
    let call = context.call;
    let (message, finish) = match &call.tool {
        Some(tool) => {
            let tool_call = object! {
                "id": format!("call_{}", context.id),
                "type": "function",
                "function": object! { "name": tool.name, "arguments": tool.text() },
            };
            let message = object! {
                "role": "assistant",
                "content": Null,
                "tool_calls": [tool_call],
                "refusal": Null,
            };
            (message, "tool_calls")
        }
        None => {
            let text = call.text();
            (
                object! { "role": "assistant", "content": text, "refusal": Null },
                "stop",
            )
        }
    };
    let choice = object! {
        "index": 0_u64, "message": message, "logprobs": Null, "finish_reason": finish,
    };
    let body = object! {
        "id": format!("chatcmpl-{}", context.id),
        "object": "chat.completion",
        "created": context.created,
        "model": call.model,
        "choices": [choice],
        "usage": usage(context.usage),
        "service_tier": "default",
        "system_fingerprint": "fp_mock",
    };
    Answer::json(200, body.0)
}

fn stream(context: &AnswerContext<'_>) -> Answer {
    let call = context.call;
    let id = format!("chatcmpl-{}", context.id);
    let chunk = |choices: Raw, usage: Option<Raw>| {
        let mut chunk = object! {
            "id": id,
            "object": "chat.completion.chunk",
            "created": context.created,
            "model": call.model,
            "service_tier": "default",
            "system_fingerprint": "fp_mock",
            "choices": choices,
        };
        // With include_usage every chunk has the member; without it none has.
        if call.include_usage {
            chunk.0.pop();
            crate::json::field(&mut chunk.0, "usage", &usage);
            chunk.0.push('}');
        }
        format!("data: {}\n\n", chunk.0)
    };
    let delta = |delta: Raw, finish: Option<&str>| {
        let choice = object! {
            "index": 0_u64, "delta": delta, "logprobs": Null, "finish_reason": finish,
        };
        chunk(Raw(format!("[{}]", choice.0)), None)
    };
    let mut events = Vec::with_capacity(call.output_tokens as usize + 4);
    let finish = match &call.tool {
        Some(tool) => {
            events.push(delta(
                object! { "role": "assistant", "content": Null },
                None,
            ));
            let opened = object! {
                "index": 0_u64,
                "id": format!("call_{}", context.id),
                "type": "function",
                "function": object! { "name": tool.name, "arguments": "" },
            };
            events.push(delta(object! { "tool_calls": [opened] }, None));
            for piece in tool.deltas() {
                let part = object! { "index": 0_u64, "function": object! { "arguments": piece } };
                events.push(delta(object! { "tool_calls": [part] }, None));
            }
            "tool_calls"
        }
        None => {
            let first = object! { "role": "assistant", "content": "", "refusal": Null };
            events.push(delta(first, None));
            for piece in call.pieces() {
                events.push(delta(object! { "content": piece }, None));
            }
            "stop"
        }
    };
    events.push(delta(object! {}, Some(finish)));
    if call.include_usage {
        let mut none = String::new();
        crate::json::ToJson::put(&EMPTY, &mut none);
        events.push(chunk(Raw(none), Some(usage(context.usage))));
    }
    events.push(DONE.to_owned());
    Answer::events(events)
}
