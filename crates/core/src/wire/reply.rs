//! Answers of our own, in the error schema of the dialect that was spoken.

use std::time::Duration;

use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use serde_json::json;

use super::dialect::Dialect;
use crate::moment::Moment;

/// Says that an answer is ours and not the provider's; its value is the code.
pub const ERROR_HEADER: HeaderName = HeaderName::from_static("x-lb-error");
const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");
/// When the soonest account is really back.
const RETRY_AT: HeaderName = HeaderName::from_static("x-lb-retry-at");
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
/// The year 9999, the last one that dates can be written of; after the Unix epoch.
const LAST_DATE: Duration = Duration::from_secs(253_370_764_800);
/// Longest wait ever named to a client: OpenAI's and Anthropic's SDKs ignore a longer one and
/// hammer instead.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(60);

/// An answer to send as it is.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its headers, without framing.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Its body.
    pub body: String,
}

impl Reply {
    /// A JSON answer, pretty-printed as the package this replaces did. The value is one that can be
    /// written as JSON: a map with other keys than strings would leave the body empty.
    pub fn json(status: StatusCode, value: &impl serde::Serialize) -> Self {
        Self {
            status,
            headers: vec![(CONTENT_TYPE, HeaderValue::from_static("application/json"))],
            body: serde_json::to_string_pretty(value).unwrap_or_default(),
        }
    }

    /// The same answer with one more header.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }
}

/// Why we answer ourselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The `Host` header is missing, repeated or unreadable.
    BadHost,
    /// The `Host` is not one of ours.
    HostNotAllowed(String),
    /// A browser page of another origin.
    OriginNotAllowed(String),
    /// No (valid) client token.
    ClientToken,
    /// The request target is no path: authority form, or `*`.
    BadTarget,
    /// The request target is longer than this many bytes.
    TargetTooLong(usize),
    /// The request head is longer than this many bytes.
    HeadTooLarge(usize),
    /// The request body is longer than this many bytes.
    BodyTooLarge(u64),
    /// The client began a body and fell silent.
    BodyTimeout,
    /// The client's body broke off or was framed wrongly.
    BodyBroken,
    /// `CONNECT` and `TRACE`.
    Method,
    /// An `Expect` other than `100-continue`.
    Expectation,
    /// A handshake for a WebSocket that there is none for; why.
    WebSocket(&'static str),
    /// No pool for this path; the names there are.
    UnknownPool(Vec<String>),
    /// Every account is cooling; the soonest is back after this long, at this time.
    AllCooling(Duration, Moment),
    /// The account cools that has what the request names, or one that may have it.
    OwnerCooling(Duration, Moment),
    /// No key could be tried at all.
    NoKey,
    /// No connection, or it broke before the answer.
    Unreachable(String),
    /// No answer within `first_byte_timeout`.
    UpstreamTimeout(Duration),
    /// The target turned out to be this proxy.
    Loop,
    /// A fault of ours.
    Internal(String),
}

impl Refusal {
    /// The value of `x-lb-error`.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::BadHost => "bad_host",
            Self::HostNotAllowed(_) => "host_not_allowed",
            Self::OriginNotAllowed(_) => "origin_not_allowed",
            Self::ClientToken => "client_token",
            Self::BadTarget => "bad_target",
            Self::TargetTooLong(_) => "target_too_long",
            Self::HeadTooLarge(_) => "head_too_large",
            Self::BodyTooLarge(_) => "body_too_large",
            Self::BodyTimeout => "body_timeout",
            Self::BodyBroken => "body_broken",
            Self::Method => "method_not_allowed",
            Self::Expectation => "expectation",
            Self::WebSocket(_) => "websocket",
            Self::UnknownPool(_) => "unknown_pool",
            Self::AllCooling(..) => "all_cooling",
            Self::OwnerCooling(..) => "owner_cooling",
            Self::NoKey => "no_key",
            Self::Unreachable(_) => "upstream_unreachable",
            Self::UpstreamTimeout(_) => "upstream_timeout",
            Self::Loop => "loop",
            Self::Internal(_) => "internal",
        }
    }

    /// The status it is answered with.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::BadHost | Self::BadTarget | Self::BodyBroken => StatusCode::BAD_REQUEST,
            Self::HostNotAllowed(_) => StatusCode::MISDIRECTED_REQUEST,
            Self::OriginNotAllowed(_) => StatusCode::FORBIDDEN,
            Self::ClientToken => StatusCode::UNAUTHORIZED,
            Self::TargetTooLong(_) => StatusCode::URI_TOO_LONG,
            Self::HeadTooLarge(_) => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::BodyTooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Expectation => StatusCode::EXPECTATION_FAILED,
            // Codex falls back to plain HTTP at once on 426, and retries for 6 s on anything else.
            Self::WebSocket(_) => StatusCode::UPGRADE_REQUIRED,
            Self::UnknownPool(_) => StatusCode::NOT_FOUND,
            Self::AllCooling(..) | Self::OwnerCooling(..) => StatusCode::TOO_MANY_REQUESTS,
            Self::NoKey => StatusCode::SERVICE_UNAVAILABLE,
            Self::Unreachable(_) => StatusCode::BAD_GATEWAY,
            Self::UpstreamTimeout(_) => StatusCode::GATEWAY_TIMEOUT,
            Self::Loop => StatusCode::LOOP_DETECTED,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// What happened and what to do, for a person.
    fn message(&self) -> String {
        match self {
            Self::BadHost => "the request must carry exactly one valid Host header".into(),
            Self::HostNotAllowed(host) => format!(
                "Host `{host}` is not allowed, since any web page could point a name of its own at this proxy; \
                 to allow it, add it to `allowed_hosts` in the configuration"
            ),
            Self::OriginNotAllowed(origin) => format!(
                "a web page of {origin} may not use this proxy, since it would spend your keys; \
                 to allow it, add its origin to `allowed_origins` in the configuration"
            ),
            Self::ClientToken => {
                "this proxy wants one of its `client_tokens` as the API key of the client".into()
            }
            Self::BadTarget => "the request target must be a path".into(),
            Self::TargetTooLong(most) => format!("the request target is longer than {most} bytes"),
            Self::HeadTooLarge(most) => format!("the request head is longer than {most} bytes"),
            Self::BodyTooLarge(most) => format!(
                "the request body is longer than {most} bytes; to allow more, raise `body_bytes` in the configuration"
            ),
            Self::BodyTimeout => "the request body stopped arriving".into(),
            Self::BodyBroken => "the request body broke off or is framed wrongly".into(),
            Self::Method => "CONNECT and TRACE are not forwarded".into(),
            Self::Expectation => "only `Expect: 100-continue` is understood".into(),
            Self::WebSocket(why) => format!("{why}; use plain HTTP"),
            Self::UnknownPool(names) => format!(
                "no pool for this path: the configuration has no top-level keys, and the path must begin with one of {}",
                names
                    .iter()
                    .map(|name| format!("/{name}/"))
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
            Self::AllCooling(wait, back) => format!(
                "every account is rate limited; the soonest is usable again in {} s, at {}",
                ceil_secs(*wait),
                date(*back)
            ),
            Self::OwnerCooling(wait, back) => format!(
                "the account that has what this request names (a response, a file …) is rate limited, and \
                 no other account knows it; it is usable again in {} s, at {}",
                ceil_secs(*wait),
                date(*back)
            ),
            Self::NoKey => "no key could be tried: `api-key-lb status` says how they are; one that was disabled \
                            must be enabled again"
                .into(),
            Self::Unreachable(why) => format!("the upstream could not be reached: {why}"),
            Self::UpstreamTimeout(after) => format!(
                "the upstream did not answer within {} s (`first_byte_timeout_ms`); it was not asked again, \
                 since it may still be working on the request",
                after.as_secs()
            ),
            Self::Loop => {
                "the target is this proxy itself; correct `target` in the configuration".into()
            }
            Self::Internal(what) => format!("api-key-lb failed: {what}; please report this"),
        }
    }

    /// The whole answer in the given dialect.
    pub fn reply(&self, dialect: Dialect) -> Reply {
        let status = self.status();
        let mut reply = Reply::json(
            status,
            &error_body(dialect, status, self.code(), &self.message()),
        )
        .with(ERROR_HEADER, HeaderValue::from_static(self.code()));
        if let Self::AllCooling(wait, back) | Self::OwnerCooling(wait, back) = self {
            let mut times = HeaderMap::new();
            set_retry_after(&mut times, *wait, *back);
            for (name, value) in &times {
                reply = reply.with(name.clone(), value.clone());
            }
        }
        reply
    }
}

/// Says when to ask again. Sets both `retry-after` (1 to 60 s) and `retry-after-ms`: some clients
/// read only one of them, and Codex gives a turn up on a 429 that has neither. The true time stands
/// in `x-lb-retry-at`. If it is further off than a client would wait, `x-should-retry: false` ends
/// retries that cannot help (OpenAI's and Anthropic's SDKs, Claude Code); otherwise what an upstream
/// said for one account is taken out.
pub fn set_retry_after(headers: &mut HeaderMap, wait: Duration, back: Moment) {
    let named = wait.clamp(Duration::from_millis(1), LONGEST_RETRY_AFTER);
    headers.insert(RETRY_AFTER, HeaderValue::from(ceil_secs(named).max(1)));
    let millis = u64::try_from(named.as_millis()).unwrap_or(u64::MAX);
    headers.insert(RETRY_AFTER_MS, HeaderValue::from(millis));
    if let Ok(date) = HeaderValue::from_str(&date(back)) {
        headers.insert(RETRY_AT, date);
    }
    if wait > LONGEST_RETRY_AFTER {
        headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
    } else {
        headers.remove(SHOULD_RETRY);
    }
}

/// As HTTP writes dates.
fn date(moment: Moment) -> String {
    let since_epoch = Duration::from_millis(moment.unix_millis());
    httpdate::fmt_http_date(std::time::UNIX_EPOCH + since_epoch.min(LAST_DATE))
}

fn ceil_secs(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

/// An error body as the provider of that dialect would write it.
/// Sources: openai-python `_exceptions.py`, anthropic-sdk `shared/error_object.py`, Google's `google.rpc.Status`.
fn error_body(
    dialect: Dialect,
    status: StatusCode,
    code: &str,
    message: &str,
) -> serde_json::Value {
    match dialect {
        Dialect::OpenAi | Dialect::Responses => json!({"error": {
            "message": message,
            "type": match status.as_u16() {
                429 => "rate_limit_error",
                400..=499 => "invalid_request_error",
                _ => "api_error",
            },
            "param": null,
            "code": code,
        }}),
        Dialect::Anthropic => json!({"type": "error", "error": {
            "type": match status.as_u16() {
                401 => "authentication_error",
                403 | 421 => "permission_error",
                404 => "not_found_error",
                413 => "request_too_large",
                429 => "rate_limit_error",
                504 => "timeout_error",
                400..=499 => "invalid_request_error",
                _ => "api_error",
            },
            "message": message,
        }}),
        Dialect::Gemini => json!({"error": {
            "code": status.as_u16(),
            "message": message,
            "status": match status.as_u16() {
                401 => "UNAUTHENTICATED",
                403 | 421 => "PERMISSION_DENIED",
                404 => "NOT_FOUND",
                429 => "RESOURCE_EXHAUSTED",
                504 => "DEADLINE_EXCEEDED",
                400..=499 => "INVALID_ARGUMENT",
                _ => "UNAVAILABLE",
            },
        }}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACK: Moment = Moment::from_unix_millis(1_790_000_000_000);

    #[test]
    fn all_cooling_names_the_time_in_both_headers() {
        let value = |reply: &Reply, name: &str| {
            let found = reply.headers.iter().find(|(n, _)| n == name);
            found.map(|(_, v)| v.to_str().unwrap().to_owned())
        };
        let reply = Refusal::AllCooling(Duration::from_millis(1500), BACK).reply(Dialect::OpenAi);
        assert_eq!(reply.status, 429);
        assert_eq!(value(&reply, "retry-after").as_deref(), Some("2"));
        assert_eq!(value(&reply, "retry-after-ms").as_deref(), Some("1500"));
        assert_eq!(value(&reply, "x-lb-error").as_deref(), Some("all_cooling"));
        let long = Refusal::AllCooling(Duration::from_secs(7200), BACK).reply(Dialect::Anthropic);
        assert_eq!(value(&long, "retry-after").as_deref(), Some("60"));
        assert!(
            long.body.contains("7200 s"),
            "the message states the true time"
        );
        let short = Refusal::AllCooling(Duration::from_millis(86), BACK).reply(Dialect::Gemini);
        assert_eq!(value(&short, "retry-after").as_deref(), Some("1"));
        assert_eq!(value(&short, "retry-after-ms").as_deref(), Some("86"));
    }

    #[test]
    fn each_dialect_gets_its_own_error_schema() {
        let parsed = |dialect| -> serde_json::Value {
            serde_json::from_str(&Refusal::ClientToken.reply(dialect).body).unwrap()
        };
        assert_eq!(parsed(Dialect::OpenAi)["error"]["code"], "client_token");
        assert_eq!(parsed(Dialect::Anthropic)["type"], "error");
        assert_eq!(
            parsed(Dialect::Anthropic)["error"]["type"],
            "authentication_error"
        );
        assert_eq!(
            parsed(Dialect::Gemini)["error"]["status"],
            "UNAUTHENTICATED"
        );
    }

    #[test]
    fn guard_messages_name_the_setting_to_change() {
        let body = |refusal: Refusal| refusal.reply(Dialect::OpenAi).body;
        assert!(body(Refusal::HostNotAllowed("evil".into())).contains("allowed_hosts"));
        assert!(body(Refusal::OriginNotAllowed("http://evil".into())).contains("allowed_origins"));
        assert!(body(Refusal::ClientToken).contains("client_tokens"));
    }
}
