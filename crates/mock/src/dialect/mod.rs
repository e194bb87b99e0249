//! The dialects the mock speaks: which path means what, and how each dialect reports an error.

pub(crate) mod anthropic;
pub(crate) mod chat;
pub(crate) mod completions;
pub(crate) mod embeddings;
pub(crate) mod error;
pub(crate) mod gemini;
pub(crate) mod models;
pub(crate) mod responses;
pub(crate) mod tool;
pub(crate) mod words;

use crate::answer::Answer;
use crate::call::Call;
use crate::head::Head;

/// A family of wire formats with its own error and limit reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    OpenAi,
    Anthropic,
    Gemini,
}

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    Chat,
    Completions,
    Responses,
    Embeddings,
    Messages,
    CountTokens,
    Generate,
    StreamGenerate,
    Models,
    /// A collection, or an object in it.
    Objects,
    Echo,
    Control,
    Unknown,
}

/// Prefix of the control endpoints.
pub(crate) const CONTROL_PREFIX: &str = "/_mock/";

/// Path suffixes of the model calls. `/chat/completions` must come before `/completions`.
const CALLS: [(&str, Route); 8] = [
    ("/chat/completions", Route::Chat),
    ("/completions", Route::Completions),
    ("/responses", Route::Responses),
    ("/embeddings", Route::Embeddings),
    ("/messages", Route::Messages),
    ("/messages/count_tokens", Route::CountTokens),
    (":generateContent", Route::Generate),
    (":streamGenerateContent", Route::StreamGenerate),
];

impl Route {
    /// The route of a request: method and path suffix decide, the query does not.
    pub(crate) fn of(method: &str, path: &str) -> Self {
        if path.starts_with(CONTROL_PREFIX) {
            return Self::Control;
        }
        if path.ends_with("/echo") {
            return Self::Echo;
        }
        match method {
            "POST" => CALLS
                .iter()
                .find(|(suffix, _)| path.ends_with(suffix))
                .map_or_else(|| Self::of_object(path), |(_, route)| *route),
            "GET" | "HEAD" if path.ends_with("/models") || models::id(path).is_some() => {
                Self::Models
            }
            _ => Self::of_object(path),
        }
    }

    fn of_object(path: &str) -> Self {
        if crate::objects::is_object(path) {
            Self::Objects
        } else {
            Self::Unknown
        }
    }

    /// Whether this is a model call, which limits and prompt cache apply to.
    pub(crate) fn is_call(self) -> bool {
        !matches!(
            self,
            Self::CountTokens
                | Self::Models
                | Self::Objects
                | Self::Echo
                | Self::Control
                | Self::Unknown
        )
    }

    /// The dialect to answer in. Paths that fit several are told apart by their headers.
    pub(crate) fn dialect(self, head: &Head) -> Dialect {
        match self {
            Self::Chat | Self::Completions | Self::Responses | Self::Embeddings | Self::Control => {
                Dialect::OpenAi
            }
            Self::Messages | Self::CountTokens => Dialect::Anthropic,
            Self::Generate | Self::StreamGenerate => Dialect::Gemini,
            Self::Models | Self::Objects | Self::Echo | Self::Unknown => {
                if head.header("anthropic-version").is_some() || head.header("x-api-key").is_some()
                {
                    Dialect::Anthropic
                } else if head.header("x-goog-api-key").is_some() {
                    Dialect::Gemini
                } else {
                    Dialect::OpenAi
                }
            }
        }
    }
}

/// Token counts of one answered call.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    /// The whole prompt.
    pub(crate) prompt: u64,
    /// The part of it read from the cache.
    pub(crate) cached: u64,
    /// The part of it newly written to the cache.
    pub(crate) written: u64,
    pub(crate) output: u64,
}

/// What an answer needs besides the call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AnswerContext<'a> {
    pub(crate) call: &'a Call,
    pub(crate) usage: Usage,
    /// 24 hex digits, unique per answer.
    pub(crate) id: &'a str,
    /// Seconds since the Unix epoch.
    pub(crate) created: u64,
}

/// The successful answer to a model call (or a count of tokens).
pub(crate) fn answer(route: Route, context: &AnswerContext<'_>) -> Answer {
    match route {
        Route::Completions => completions::answer(context),
        Route::Responses => responses::answer(context),
        Route::Embeddings => embeddings::answer(context),
        Route::Messages => anthropic::answer(context),
        Route::CountTokens => anthropic::count_tokens(context),
        Route::Generate => gemini::answer(context),
        Route::StreamGenerate => gemini::stream(context),
        _ => chat::answer(context),
    }
}

/// The event by which a dialect reports an error in the middle of a stream.
pub(crate) fn error_event(route: Route, data: Option<&str>, event: u64) -> String {
    match route {
        Route::Messages => {
            let data = data.unwrap_or(anthropic::OVERLOADED);
            format!("event: error\ndata: {data}\n\n")
        }
        Route::Responses => {
            let default = responses::error_data(event);
            format!("event: error\ndata: {}\n\n", data.unwrap_or(&default))
        }
        Route::Generate | Route::StreamGenerate => {
            format!("data: {}\n\n", data.unwrap_or(gemini::OVERLOADED))
        }
        _ => format!("data: {}\n\n", data.unwrap_or(chat::SERVER_ERROR)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_matched_by_suffix_whatever_their_prefix() {
        let cases = [
            ("POST", "/v1/chat/completions", Route::Chat),
            ("POST", "/api/coding/paas/v4/chat/completions", Route::Chat),
            ("POST", "/v1/completions", Route::Completions),
            ("POST", "/api/anthropic/v1/messages", Route::Messages),
            ("POST", "/v1/messages/count_tokens", Route::CountTokens),
            ("POST", "/v1beta/models/g:generateContent", Route::Generate),
            (
                "POST",
                "/v1beta/models/g:streamGenerateContent",
                Route::StreamGenerate,
            ),
            ("GET", "/v1/models", Route::Models),
            ("GET", "/v1/models/vendor/model", Route::Models),
            // Stored ones are listed.
            ("GET", "/v1/chat/completions", Route::Objects),
            ("GET", "/v1/no/such/thing", Route::Unknown),
            ("PATCH", "/anything/echo", Route::Echo),
            ("GET", "/_mock/counters", Route::Control),
            ("GET", "/", Route::Unknown),
        ];
        for (method, path, route) in cases {
            assert_eq!(Route::of(method, path), route, "{method} {path}");
        }
    }
}
