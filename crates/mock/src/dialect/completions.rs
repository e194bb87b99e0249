//! OpenAI legacy text completions, JSON and streamed.

use crate::answer::Answer;
use crate::dialect::{AnswerContext, chat};
use crate::json::{Null, Raw, object};

pub(crate) fn answer(context: &AnswerContext<'_>) -> Answer {
    let call = context.call;
    let body = |text: &str, finish: Option<&str>, usage: Option<Raw>| {
        let choice = object! {
            "text": text, "index": 0_u64, "logprobs": Null, "finish_reason": finish,
        };
        let mut body = object! {
            "id": format!("cmpl-{}", context.id),
            "object": "text_completion",
            "created": context.created,
            "model": call.model,
            "choices": [choice],
        };
        if let Some(usage) = usage {
            body.0.pop();
            crate::json::field(&mut body.0, "usage", &usage);
            body.0.push('}');
        }
        body.0
    };
    if !call.stream {
        let usage = chat::usage(context.usage);
        return Answer::json(200, body(&call.text(), Some("stop"), Some(usage)));
    }
    let event = |body: String| format!("data: {body}\n\n");
    let mut events: Vec<String> = call
        .pieces()
        .iter()
        .map(|piece| event(body(piece, None, None)))
        .collect();
    let usage = call.include_usage.then(|| chat::usage(context.usage));
    events.push(event(body("", Some("stop"), usage)));
    events.push(event("[DONE]".to_owned()));
    Answer::events(events)
}
