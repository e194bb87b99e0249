//! Error bodies, and the headers that tell a client about its limits, in every dialect.

use std::time::{Duration, SystemTime};

use crate::answer::{Answer, Headers};
use crate::clock::{go_duration, millis_up, rfc3339, thousands};
use crate::dialect::Dialect;
use crate::json::{Null, object};
use crate::limits::{Bucket, Limit, Meter, Refusal};

/// Visible characters of a key in an error text.
const KEY_PREFIX: usize = 4;
const MORE: &str = "Visit https://platform.openai.com/account/rate-limits to learn more.";
const MORE_ANTHROPIC: &str = "For details, refer to: \
    https://docs.claude.com/en/api/rate-limits. You can see the response headers for current \
    usage. Please reduce the prompt length or the maximum tokens requested, or try again later.";

/// An error in the OpenAI shape.
fn openai(status: u16, message: &str, kind: &str, code: Option<&str>) -> Answer {
    let error = object! { "message": message, "type": kind, "param": Null, "code": code };
    Answer::json(status, object! { "error": error }.0)
}

/// An error in the Anthropic shape.
fn anthropic(status: u16, kind: &str, message: &str, request_id: &str) -> Answer {
    let error = object! { "type": kind, "message": message };
    let body = object! { "type": "error", "error": error, "request_id": request_id };
    Answer::json(status, body.0)
}

/// An error in the Gemini shape; `details` is a JSON array without its brackets.
fn gemini(status: u16, name: &str, message: &str, details: &str) -> Answer {
    let details = crate::json::Raw(format!("[{details}]"));
    let error = object! { "code": status, "message": message, "status": name, "details": details };
    Answer::json(status, object! { "error": error }.0)
}

/// The error a dialect sends with a status, with a message of the caller's or its usual one.
pub(crate) fn status(
    dialect: Dialect,
    status: u16,
    message: Option<&str>,
    request_id: &str,
) -> Answer {
    match dialect {
        Dialect::OpenAi => {
            let (kind, code, usual) = match status {
                401 => (
                    "invalid_request_error",
                    Some("invalid_api_key"),
                    "Incorrect API key provided.",
                ),
                402 => (
                    "insufficient_quota",
                    Some("insufficient_quota"),
                    "Insufficient balance.",
                ),
                403 => (
                    "invalid_request_error",
                    None,
                    "You are not allowed to do this.",
                ),
                404 => ("invalid_request_error", None, "Not found."),
                429 => (
                    "requests",
                    Some("rate_limit_exceeded"),
                    "Rate limit reached.",
                ),
                503 => ("server_error", None, "The engine is currently overloaded."),
                400..=499 => ("invalid_request_error", None, "The request is invalid."),
                _ => (
                    "server_error",
                    None,
                    "The server had an error while processing your request. Sorry about that!",
                ),
            };
            openai(status, message.unwrap_or(usual), kind, code)
        }
        Dialect::Anthropic => {
            let (kind, usual) = match status {
                401 => ("authentication_error", "invalid x-api-key"),
                402 => ("billing_error", "Your credit balance is too low."),
                403 => (
                    "permission_error",
                    "Your API key may not use this resource.",
                ),
                404 => ("not_found_error", "Not found"),
                413 => ("request_too_large", "Request exceeds the maximum size"),
                429 => (
                    "rate_limit_error",
                    "This request would exceed your rate limit.",
                ),
                504 => ("timeout_error", "Request timed out"),
                529 => ("overloaded_error", "Overloaded"),
                400..=499 => ("invalid_request_error", "The request is invalid."),
                _ => ("api_error", "Internal server error"),
            };
            anthropic(status, kind, message.unwrap_or(usual), request_id)
        }
        Dialect::Gemini => {
            let (name, usual) = match status {
                401 => (
                    "UNAUTHENTICATED",
                    "Request had invalid authentication credentials.",
                ),
                403 => ("PERMISSION_DENIED", "The caller does not have permission"),
                404 => ("NOT_FOUND", "Requested entity was not found."),
                429 => ("RESOURCE_EXHAUSTED", "You exceeded your current quota."),
                503 => (
                    "UNAVAILABLE",
                    "The model is overloaded. Please try again later.",
                ),
                504 => (
                    "DEADLINE_EXCEEDED",
                    "Deadline expired before operation could complete.",
                ),
                400..=499 => ("INVALID_ARGUMENT", "Request contains an invalid argument."),
                _ => ("INTERNAL", "An internal error has occurred."),
            };
            gemini(status, name, message.unwrap_or(usual), "")
        }
    }
}

/// The answer to a request with an unknown key, or with none.
pub(crate) fn unauthorized(dialect: Dialect, key: Option<&str>, request_id: &str) -> Answer {
    match dialect {
        Dialect::OpenAi => {
            let message = match key {
                Some(key) => {
                    let start: String = key.chars().take(KEY_PREFIX).collect();
                    format!("Incorrect API key provided: {start}***.")
                }
                None => "You didn't provide an API key. You need to provide your API key in an \
                    Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY)."
                    .to_owned(),
            };
            openai(
                401,
                &message,
                "invalid_request_error",
                Some("invalid_api_key"),
            )
        }
        Dialect::Anthropic => {
            let message = if key.is_some() {
                "invalid x-api-key"
            } else {
                "x-api-key header is required"
            };
            anthropic(401, "authentication_error", message, request_id)
        }
        Dialect::Gemini => {
            let metadata = object! { "service": "generativelanguage.googleapis.com" };
            let info = object! {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "API_KEY_INVALID",
                "domain": "googleapis.com",
                "metadata": metadata,
            };
            let message = "API key not valid. Please pass a valid API key.";
            gemini(400, "INVALID_ARGUMENT", message, &info.0)
        }
    }
}

/// The answer to a request over a limit, with `retry-after`.
pub(crate) fn refused(
    dialect: Dialect,
    refusal: &Refusal,
    model: &str,
    account: &str,
    request_id: &str,
) -> Answer {
    let Refusal {
        limit,
        allowed,
        used,
        requested,
        wait,
    } = refusal;
    let again = wait.map(|wait| format!("Please try again in {}.", go_duration(wait)));
    let mut answer = match dialect {
        Dialect::OpenAi => {
            let (kind, unit) = match limit {
                Limit::Requests => ("requests", "requests per min (RPM)"),
                Limit::Tokens | Limit::OutputTokens => ("tokens", "tokens per min (TPM)"),
                Limit::Concurrency => ("requests", "concurrent requests"),
            };
            let message = match &again {
                Some(again) => format!(
                    "Rate limit reached for {model} in organization {account} on {unit}: Limit \
                     {allowed}, Used {used}, Requested {requested}. {again} {MORE}"
                ),
                None => format!(
                    "Request too large for {model} in organization {account} on {unit}: Limit \
                     {allowed}, Requested {requested}. The input or output tokens must be reduced \
                     in order to run successfully. {MORE}"
                ),
            };
            openai(429, &message, kind, Some("rate_limit_exceeded"))
        }
        Dialect::Anthropic => {
            let unit = match limit {
                Limit::Requests => "requests",
                Limit::Tokens => "input tokens",
                Limit::OutputTokens => "output tokens",
                Limit::Concurrency => "",
            };
            let message = if *limit == Limit::Concurrency {
                "Number of concurrent connections has exceeded your rate limit. Please try again \
                 later or contact sales to discuss your options for a rate limit increase."
                    .to_owned()
            } else {
                format!(
                    "This request would exceed the rate limit for your organization ({account}) \
                     of {} {unit} per minute. {MORE_ANTHROPIC}",
                    thousands(*allowed)
                )
            };
            anthropic(429, "rate_limit_error", &message, request_id)
        }
        Dialect::Gemini => {
            let delay = format!("{}s", seconds_up(wait.unwrap_or_default()));
            let retry = object! {
                "@type": "type.googleapis.com/google.rpc.RetryInfo",
                "retryDelay": delay,
            };
            let message = format!(
                "You exceeded your current quota, please check your plan and billing details. \
                 Limit: {allowed}, model: {model}. Please retry in {delay}."
            );
            gemini(429, "RESOURCE_EXHAUSTED", &message, &retry.0)
        }
    };
    if let Some(wait) = wait.filter(|_| dialect != Dialect::Gemini) {
        answer
            .headers
            .add("retry-after", seconds_up(wait).to_string());
        if dialect == Dialect::OpenAi {
            answer
                .headers
                .add("retry-after-ms", millis_up(wait).to_string());
        }
    }
    answer
}

fn seconds_up(duration: Duration) -> u64 {
    millis_up(duration).div_ceil(1_000)
}

/// The headers that tell a client what is left, on success and on 429. Limits the account does
/// not have are not mentioned; Gemini mentions none.
pub(crate) fn limit_headers(dialect: Dialect, meter: &Meter, wall: SystemTime) -> Headers {
    let mut headers = Headers::default();
    match dialect {
        Dialect::OpenAi => {
            let buckets = [("requests", &meter.requests), ("tokens", &meter.tokens)];
            for (name, bucket) in buckets {
                if let Some(bucket) = bucket {
                    let (limit, remaining) = (bucket.limit, bucket.remaining());
                    headers.add(format!("x-ratelimit-limit-{name}"), limit.to_string());
                    headers.add(
                        format!("x-ratelimit-remaining-{name}"),
                        remaining.to_string(),
                    );
                    let reset = go_duration(bucket.until_full());
                    headers.add(format!("x-ratelimit-reset-{name}"), reset);
                }
            }
        }
        Dialect::Anthropic => {
            let mut add = |name: &str, limit: u64, remaining: u64, full: Duration| {
                let prefix = format!("anthropic-ratelimit-{name}");
                headers.add(format!("{prefix}-limit"), limit.to_string());
                headers.add(format!("{prefix}-remaining"), remaining.to_string());
                headers.add(format!("{prefix}-reset"), rfc3339(wall + full));
            };
            let mut of = |name: &str, bucket: &Bucket| {
                add(name, bucket.limit, bucket.remaining(), bucket.until_full());
            };
            if let Some(requests) = &meter.requests {
                of("requests", requests);
            }
            match (&meter.tokens, &meter.output) {
                (Some(input), Some(output)) => {
                    of("input-tokens", input);
                    of("output-tokens", output);
                    add(
                        "tokens",
                        input.limit + output.limit,
                        input.remaining() + output.remaining(),
                        input.until_full().max(output.until_full()),
                    );
                }
                (None, Some(output)) => of("output-tokens", output),
                _ => {}
            }
        }
        Dialect::Gemini => {}
    }
    headers
}
