//! Gemini `generateContent`: one JSON object, a JSON array in pieces, or server-sent events.

use crate::answer::Answer;
use crate::dialect::AnswerContext;
use crate::json::{Raw, object};

/// What a stream carries when the model is overloaded in the middle.
pub(crate) const OVERLOADED: &str = r#"{"error":{"code":503,"message":"The model is overloaded. Please try again later.","status":"UNAVAILABLE"}}"#;

/// One `GenerateContentResponse`; `output` tokens have been written when it is sent.
fn response(context: &AnswerContext<'_>, part: Raw, finish: Option<&str>, output: u64) -> Raw {
    let usage = context.usage;
    let mut candidate = object! {
        "content": object! { "parts": [part], "role": "model" },
    };
    candidate.0.pop();
    if let Some(finish) = finish {
        crate::json::field(&mut candidate.0, "finishReason", &finish);
    }
    crate::json::field(&mut candidate.0, "index", &0_u64);
    candidate.0.push('}');
    object! {
        "candidates": [candidate],
        "usageMetadata": object! {
            "promptTokenCount": usage.prompt,
            "candidatesTokenCount": output,
            "totalTokenCount": usage.prompt + output,
            "cachedContentTokenCount": usage.cached,
        },
        "modelVersion": context.call.model,
        "responseId": context.id,
    }
}

fn function_call(context: &AnswerContext<'_>) -> Option<Raw> {
    let tool = context.call.tool.as_ref()?;
    Some(object! { "functionCall": object! { "name": tool.name, "args": tool.arguments } })
}

pub(crate) fn answer(context: &AnswerContext<'_>) -> Answer {
    let call = context.call;
    let part = function_call(context).unwrap_or_else(|| object! { "text": call.text() });
    Answer::json(
        200,
        response(context, part, Some("STOP"), context.usage.output).0,
    )
}

pub(crate) fn stream(context: &AnswerContext<'_>) -> Answer {
    let call = context.call;
    let mut responses = Vec::new();
    if let Some(part) = function_call(context) {
        responses.push(response(context, part, Some("STOP"), context.usage.output));
    } else {
        let pieces = call.pieces();
        for (index, piece) in pieces.into_iter().enumerate() {
            let written = index as u64 + 1;
            let finish = (written == call.output_tokens).then_some("STOP");
            responses.push(response(
                context,
                object! { "text": piece },
                finish,
                written,
            ));
        }
    }
    if responses.is_empty() {
        responses.push(response(context, object! { "text": "" }, Some("STOP"), 0));
    }
    if call.sse {
        return Answer::events(
            responses
                .into_iter()
                .map(|response| format!("data: {}\n\n", response.0))
                .collect(),
        );
    }
    let last = responses.len() - 1;
    let pieces = responses.into_iter().enumerate().map(|(index, response)| {
        let open = if index == 0 { "[" } else { ",\r\n" };
        let close = if index == last { "]" } else { "" };
        format!("{open}{}{close}", response.0)
    });
    let mut answer = Answer::events(pieces.collect());
    answer.headers = crate::answer::Headers::default();
    answer
        .headers
        .add("content-type", "application/json; charset=UTF-8");
    answer
}
