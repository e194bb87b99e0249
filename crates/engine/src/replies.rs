//! Answers that come from us and not from an upstream.

use std::sync::Arc;

use api_key_lb_core::fact::Ending;
use api_key_lb_core::wire::dialect::Dialect;
use api_key_lb_core::wire::reply::{Refusal, Reply};
use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD,
    HeaderValue, VARY,
};
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;

use crate::ControlRequest;
use crate::body::AnswerBody;
use crate::record::Record;
use crate::worker::Shared;

pub(crate) type Answer = Response<AnswerBody>;

/// Refuses a request that is on its way.
pub(crate) fn own(mut record: Record, refusal: &Refusal, dialect: Dialect) -> Answer {
    record.first_byte(refusal.status());
    record.ends(Ending::Own(refusal.code()));
    answer(refusal.reply(dialect))
}

/// Refuses a request that is not admitted.
pub(crate) fn refuse(
    shared: &Shared,
    request: &Request<Incoming>,
    refusal: &Refusal,
    dialect: Dialect,
) -> Answer {
    let method = request.method().clone();
    let record = Record::new(Arc::clone(&shared.state), method, request.uri().path());
    own(record, refusal, dialect)
}

fn answer(reply: Reply) -> Answer {
    let body = (!reply.body.is_empty()).then(|| Bytes::from(reply.body));
    let mut answer = Response::new(AnswerBody::Own(body));
    *answer.status_mut() = reply.status;
    answer.headers_mut().extend(reply.headers);
    answer
}

/// Whether a request is for us: everything else is forwarded.
pub(crate) fn is_control(request: &Request<Incoming>) -> bool {
    let path = request.uri().path();
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    (reads && path == "/health") || path == "/_lb" || path.starts_with("/_lb/")
}

/// Has one of our own paths answered.
pub(crate) fn control(shared: &Shared, request: &Request<Incoming>) -> Answer {
    answer((shared.control)(&ControlRequest {
        method: request.method(),
        path: request.uri().path(),
        query: request.uri().query(),
        headers: request.headers(),
    }))
}

/// Whether a browser asks if it may ask.
pub(crate) fn is_preflight(request: &Request<Incoming>) -> bool {
    *request.method() == Method::OPTIONS
        && request
            .headers()
            .contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// Grants what a page of an allowed origin asks for.
pub(crate) fn preflight(request: &Request<Incoming>) -> Answer {
    let mut answer = Response::new(AnswerBody::Own(None));
    *answer.status_mut() = StatusCode::NO_CONTENT;
    for (asked, granted) in [
        (ACCESS_CONTROL_REQUEST_METHOD, ACCESS_CONTROL_ALLOW_METHODS),
        (ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_ALLOW_HEADERS),
    ] {
        if let Some(value) = request.headers().get(asked) {
            answer.headers_mut().insert(granted, value.clone());
        }
    }
    answer
}

/// Lets a page of an allowed origin read the answer.
pub(crate) fn share_with(answer: &mut Answer, origin: HeaderValue) {
    let headers = answer.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("*"));
    headers.append(VARY, HeaderValue::from_static("origin"));
}
