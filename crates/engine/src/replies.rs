//! Answers that come from us and not from an upstream.

use std::sync::Arc;

use api_key_lb_core::fact::Ending;
use api_key_lb_core::wire::dialect::Dialect;
use api_key_lb_core::wire::reply::{ERROR_HEADER, Refusal, Reply};
use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD,
    CONTENT_TYPE, HeaderValue, VARY,
};
use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode};
use hyper::body::Incoming;

use crate::body::AnswerBody;
use crate::control;
use crate::gather::next_frame;
use crate::record::Record;
use crate::worker::Shared;

const LB_REQUEST_ID: HeaderName = HeaderName::from_static("x-lb-request-id");

/// Where our own paths are.
const OWN_PATHS: &str = "/_lb/";
/// Longest body that one of them takes, in bytes: a captured request of an agent, images included.
const CONTROL_BODY_BYTES: usize = 32 << 20;
/// What is said of a longer one.
const TOO_LARGE: &str = r#"{"error": {"message": "the body is longer than 32 MiB, the most that this path takes", "type": "api_key_lb_error", "code": "body_too_large"}}"#;

pub(crate) type Answer = Response<AnswerBody>;

/// Refuses a request that is on its way.
pub(crate) fn own(mut record: Record, refusal: &Refusal, dialect: Dialect) -> Answer {
    record.first_byte(refusal.status());
    record.ends(Ending::Own(refusal.code()));
    let mut answer = control::own(refusal.reply(dialect));
    if record.is_labelled() {
        name(answer.headers_mut(), &record);
    }
    answer
}

/// Refuses a request that is not admitted.
pub(crate) fn refuse(
    shared: &Shared,
    request: &Request<Incoming>,
    refusal: &Refusal,
    dialect: Dialect,
) -> Answer {
    let method = request.method().clone();
    let state = Arc::clone(&shared.state);
    let record = Record::new(state, method, request.uri().path(), request.headers());
    own(record, refusal, dialect)
}

/// Says in an answer's head what its request is called.
pub(crate) fn name(headers: &mut HeaderMap, record: &Record) {
    if let Ok(id) = HeaderValue::from_bytes(&record.id().letters()) {
        headers.insert(LB_REQUEST_ID, id);
    }
}

/// Whether a request is for us: everything else is forwarded.
pub(crate) fn is_control(request: &Request<Incoming>) -> bool {
    let path = request.uri().path();
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    (reads && path == "/health") || path == "/_lb" || path.starts_with(OWN_PATHS)
}

/// Has one of our own paths answered, once the body has been read, if it takes one.
pub(crate) async fn control_path(shared: &Shared, request: Request<Incoming>) -> Answer {
    let (head, body) = request.into_parts();
    let takes_body = head.method == Method::POST && head.uri.path().starts_with(OWN_PATHS);
    let body = if takes_body {
        match whole(body).await {
            Ok(body) => body,
            Err(Refusal::BodyTooLarge(_)) => return control::own(too_large()),
            Err(refusal) => return control::own(refusal.reply(Dialect::OpenAi)),
        }
    } else {
        Vec::new()
    };
    let mut head = head;
    // Holds the connection itself, for who wants to speak something else over it.
    head.extensions.clear();
    let request = Request::from_parts(head, Bytes::from(body));
    shared.control.answer(request).given().await
}

async fn whole(mut body: Incoming) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::new();
    while let Some(frame) = next_frame(&mut body).await? {
        let Ok(piece) = frame.into_data() else {
            continue;
        };
        if bytes.len() + piece.len() > CONTROL_BODY_BYTES {
            return Err(Refusal::BodyTooLarge(CONTROL_BODY_BYTES as u64));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

/// That a body for ourselves is too large. The refusal of a body to forward names a setting that
/// would not help here.
fn too_large() -> Reply {
    let refusal = Refusal::BodyTooLarge(CONTROL_BODY_BYTES as u64);
    Reply {
        status: refusal.status(),
        headers: vec![(CONTENT_TYPE, HeaderValue::from_static("application/json"))],
        body: TOO_LARGE.to_owned(),
    }
    .with(ERROR_HEADER, HeaderValue::from_static(refusal.code()))
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
