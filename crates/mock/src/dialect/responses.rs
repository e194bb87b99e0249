//! The OpenAI Responses API: the JSON answer and its stream of typed events.

use crate::answer::Answer;
use crate::dialect::{AnswerContext, Usage};
use crate::json::{EMPTY, Null, Raw, object};

/// The data of the `error` event; `sequence` is its `sequence_number`.
pub(crate) fn error_data(sequence: u64) -> String {
    object! {
        "type": "error",
        "code": "server_error",
        "message": "The server had an error while processing your request. Sorry about that!",
        "param": Null,
        "sequence_number": sequence,
    }
    .0
}

fn usage(usage: Usage) -> Raw {
    object! {
        "input_tokens": usage.prompt,
        "input_tokens_details": object! {
            "cached_tokens": usage.cached, "cache_write_tokens": usage.written,
        },
        "output_tokens": usage.output,
        "output_tokens_details": object! { "reasoning_tokens": 0_u64 },
        "total_tokens": usage.prompt + usage.output,
    }
}

/// The response object, as it stands in the middle (`None`) or at the end of the answer.
fn response(context: &AnswerContext<'_>, output: Option<&Raw>) -> Raw {
    let status = if output.is_some() {
        "completed"
    } else {
        "in_progress"
    };
    let thought = output.and_then(|_| thought(context));
    let items: Vec<&Raw> = thought.iter().chain(output).collect();
    let usage = output.is_some().then(|| usage(context.usage));
    object! {
        "id": format!("resp_{}", context.id),
        "object": "response",
        "created_at": context.created,
        "status": status,
        "background": false,
        "error": Null,
        "incomplete_details": Null,
        "instructions": Null,
        "max_output_tokens": Null,
        "model": context.call.model,
        "output": items,
        "parallel_tool_calls": true,
        "previous_response_id": Null,
        "reasoning": object! { "effort": Null, "summary": Null },
        "service_tier": "default",
        "store": true,
        "temperature": 1.0_f32,
        "text": object! { "format": object! { "type": "text" } },
        "tool_choice": "auto",
        "tools": context.call.tools,
        "top_p": 1.0_f32,
        "truncation": "disabled",
        "usage": usage,
        "user": Null,
        "metadata": object! {},
    }
}

/// Reasoning that only the account can read which sealed it.
fn thought(context: &AnswerContext<'_>) -> Option<Raw> {
    context.call.seals.then(|| {
        object! {
            "id": format!("rs_{}", context.id),
            "type": "reasoning",
            "summary": EMPTY,
            "encrypted_content": crate::objects::sealed(context.id),
        }
    })
}

fn text_part(text: &str) -> Raw {
    object! { "type": "output_text", "annotations": EMPTY, "logprobs": EMPTY, "text": text }
}

fn message(id: &str, status: &str, parts: &[Raw]) -> Raw {
    object! {
        "id": id, "type": "message", "status": status, "role": "assistant", "content": parts,
    }
}

fn function_call(context: &AnswerContext<'_>, name: &str, status: &str, arguments: &str) -> Raw {
    object! {
        "id": format!("fc_{}", context.id),
        "type": "function_call",
        "status": status,
        "arguments": arguments,
        "call_id": format!("call_{}", context.id),
        "name": name,
    }
}

pub(crate) fn answer(context: &AnswerContext<'_>) -> Answer {
    if context.call.stream {
        return stream(context);
    }
    let call = context.call;
    let item = match &call.tool {
        Some(tool) => function_call(context, &tool.name, "completed", &tool.text()),
        None => {
            let text = call.text();
            message(
                &format!("msg_{}", context.id),
                "completed",
                &[text_part(&text)],
            )
        }
    };
    Answer::json(200, response(context, Some(&item)).0)
}

/// Collects events; each opens with its type and its sequence number.
#[derive(Debug, Default)]
struct EventLog(Vec<String>);

impl EventLog {
    fn add(&mut self, kind: &str, members: Raw) {
        let mut data = object! { "type": kind, "sequence_number": self.0.len() }.0;
        data.pop();
        if members.0.len() > 2 {
            data.push(',');
        }
        data.push_str(members.0.trim_start_matches('{'));
        self.0.push(format!("event: {kind}\ndata: {data}\n\n"));
    }
}

fn stream(context: &AnswerContext<'_>) -> Answer {
    let call = context.call;
    let mut log = EventLog::default();
    let begun = response(context, None);
    log.add("response.created", object! { "response": begun });
    log.add("response.in_progress", object! { "response": begun });
    if let Some(thought) = thought(context) {
        log.add(
            "response.output_item.done",
            object! { "output_index": 0_u64, "item": thought },
        );
    }
    let item = match &call.tool {
        Some(tool) => {
            let id = format!("fc_{}", context.id);
            let opened = function_call(context, &tool.name, "in_progress", "");
            log.add(
                "response.output_item.added",
                object! { "output_index": 0_u64, "item": opened },
            );
            for delta in tool.deltas() {
                log.add(
                    "response.function_call_arguments.delta",
                    object! { "item_id": id, "output_index": 0_u64, "delta": delta },
                );
            }
            log.add(
                "response.function_call_arguments.done",
                object! {
                    "item_id": id,
                    "name": tool.name,
                    "output_index": 0_u64,
                    "arguments": tool.text(),
                },
            );
            function_call(context, &tool.name, "completed", &tool.text())
        }
        None => {
            let id = format!("msg_{}", context.id);
            let opened = message(&id, "in_progress", &[]);
            log.add(
                "response.output_item.added",
                object! { "output_index": 0_u64, "item": opened },
            );
            let place = |extra: &str, value: Raw| {
                let mut members = object! {
                    "item_id": id, "output_index": 0_u64, "content_index": 0_u64,
                };
                members.0.pop();
                crate::json::field(&mut members.0, extra, &value);
                members.0.push('}');
                members
            };
            log.add("response.content_part.added", place("part", text_part("")));
            for piece in call.pieces() {
                let delta = object! {
                    "item_id": id,
                    "output_index": 0_u64,
                    "content_index": 0_u64,
                    "delta": piece,
                    "logprobs": EMPTY,
                };
                log.add("response.output_text.delta", delta);
            }
            let text = call.text();
            let done = object! {
                "item_id": id,
                "output_index": 0_u64,
                "content_index": 0_u64,
                "text": text,
                "logprobs": EMPTY,
            };
            log.add("response.output_text.done", done);
            log.add(
                "response.content_part.done",
                place("part", text_part(&text)),
            );
            message(&id, "completed", &[text_part(&text)])
        }
    };
    log.add(
        "response.output_item.done",
        object! { "output_index": 0_u64, "item": item },
    );
    let finished = response(context, Some(&item));
    log.add("response.completed", object! { "response": finished });
    Answer::events(log.0)
}
