//! An answer before it is written: status, headers, and a body that is whole or made of events.

use std::borrow::Cow;

use bytes::Bytes;

/// Header lines in the order they are written.
#[derive(Debug, Clone, Default)]
pub(crate) struct Headers(pub(crate) Vec<(Cow<'static, str>, String)>);

impl Headers {
    pub(crate) fn add(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) {
        self.0.push((name.into(), value.into()));
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0
            .iter()
            .any(|(other, _)| other.eq_ignore_ascii_case(name))
    }
}

/// The body of an answer.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    /// Sent with a content length.
    Whole(Bytes),
    /// Sent chunked, one chunk per event.
    Events(Vec<Bytes>),
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Headers,
    pub(crate) body: Body,
}

impl Answer {
    pub(crate) fn json(status: u16, body: String) -> Self {
        let mut headers = Headers::default();
        headers.add("content-type", "application/json");
        Self {
            status,
            headers,
            body: Body::Whole(Bytes::from(body)),
        }
    }

    pub(crate) fn events(events: Vec<String>) -> Self {
        let mut headers = Headers::default();
        headers.add("content-type", "text/event-stream; charset=utf-8");
        headers.add("cache-control", "no-cache");
        Self {
            status: 200,
            headers,
            body: Body::Events(events.into_iter().map(Bytes::from).collect()),
        }
    }
}

/// The reason phrase of a status; clients do not read it, people with tcpdump do.
pub(crate) fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        413 => "Payload Too Large",
        422 => "Unprocessable Entity",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        529 => "Overloaded",
        _ => "Unknown",
    }
}
