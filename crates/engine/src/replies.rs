//! Answers that come from us and not from an upstream.

use std::sync::Arc;
use std::time::Duration;

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
use hyper::body::{Body as _, Incoming};
use tokio::time::timeout;

use crate::body::AnswerBody;
use crate::control::{self, TakenBody};
use crate::gather::next_frame;
use crate::record::Record;
use crate::worker::Shared;

const LB_REQUEST_ID: HeaderName = HeaderName::from_static("x-lb-request-id");

/// Where our own paths are.
const OWN_PATHS: &str = "/_lb/";
/// Longest body that one of them takes where it takes much, in bytes …
const MUCH_BYTES: usize = 32 << 20;
/// … and elsewhere, where `{}` is the most that anybody sends.
const LITTLE_BYTES: usize = 4 << 10;
/// How long such a little one may take in all.
const LITTLE_TIME: Duration = Duration::from_secs(5);

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
    let (method, path) = (&head.method, head.uri.path());
    let body = match shared.control.takes(method, path, &head.headers) {
        TakenBody::Nothing => Ok(Vec::new()),
        TakenBody::Little => timeout(LITTLE_TIME, whole(body, LITTLE_BYTES))
            .await
            .unwrap_or(Err(Refusal::BodyTimeout)),
        TakenBody::Much => whole(body, MUCH_BYTES).await,
    };
    let body = match body {
        Ok(body) => body,
        Err(Refusal::BodyTooLarge(most)) => return control::own(too_large(most)),
        Err(refusal) => return control::own(refusal.reply(Dialect::OpenAi)),
    };
    let mut head = head;
    // Holds the connection itself, for who wants to speak something else over it.
    head.extensions.clear();
    let request = Request::from_parts(head, Bytes::from(body));
    shared.control.answer(request).given().await
}

/// A body of at most so many bytes. One that says it is longer is not waited for.
async fn whole(mut body: Incoming, most: usize) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::new();
    if body.size_hint().lower() > most as u64 {
        return Err(Refusal::BodyTooLarge(most as u64));
    }
    while let Some(frame) = next_frame(&mut body).await? {
        let Ok(piece) = frame.into_data() else {
            continue;
        };
        if bytes.len() + piece.len() > most {
            return Err(Refusal::BodyTooLarge(most as u64));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

/// That a body for ourselves is too large. The refusal of a body to forward names a setting that
/// would not help here.
fn too_large(most: u64) -> Reply {
    let refusal = Refusal::BodyTooLarge(most);
    Reply {
        status: refusal.status(),
        headers: vec![(CONTENT_TYPE, HeaderValue::from_static("application/json"))],
        body: format!(
            r#"{{"error": {{"message": "the body is longer than {most} bytes, the most that this path takes", "type": "api_key_lb_error", "code": "body_too_large"}}}}"#
        ),
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
