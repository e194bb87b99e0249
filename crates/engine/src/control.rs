//! Our own paths: whoever answers them, on which thread ever, and how the answer goes to the client.

use api_key_lb_core::wire::reply::{ERROR_HEADER, Reply};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use tokio::sync::{mpsc, oneshot};

use crate::body::AnswerBody;
use crate::replies::Answer;

/// What is said if whoever should answer has ended.
const NOBODY: &str = r#"{"error": {"message": "the proxy is ending; ask again", "type": "api_key_lb_error", "code": "ending"}}"#;

/// Answers `GET /health` and everything under `/_lb/`.
pub trait ControlPaths: Send + Sync {
    /// Whether a request to one of our own paths is let in although it carries none of the client
    /// tokens: it is asked for something that holds nothing, or carries a better one.
    fn admits(&self, method: &Method, path: &str, headers: &HeaderMap) -> bool;

    /// How much of a body is taken of such a request.
    fn takes(&self, method: &Method, path: &str, headers: &HeaderMap) -> TakenBody;

    /// Answers a request that was admitted, or has it answered elsewhere. Called on a worker's
    /// thread: it must not block.
    fn answer(&self, request: ControlRequest) -> ControlAnswer;
}

/// How much of a body one of our own paths takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakenBody {
    /// It is not read.
    Nothing,
    /// A few bytes, which must come soon: nobody knows who sends them.
    Little,
    /// A captured request of an agent, images included.
    Much,
}

/// A request to one of our own paths. Its body is there as far as [`ControlPaths::takes`] has it.
pub type ControlRequest = Request<Bytes>;

/// The answer to one, or where it will come from.
#[derive(Debug)]
pub enum ControlAnswer {
    /// Here it is.
    Now(Reply),
    /// Another thread makes it.
    Later(oneshot::Receiver<ControlReply>),
}

/// An answer that another thread has made.
pub type ControlReply = Response<ControlBody>;

/// The body of such an answer.
#[derive(Debug)]
pub enum ControlBody {
    /// All of it.
    Whole(Bytes),
    /// What comes, until its sender is dropped.
    Stream(mpsc::Receiver<Bytes>),
}

impl ControlAnswer {
    /// As it goes to the client, once it is there.
    pub(crate) async fn given(self) -> Answer {
        let reply = match self {
            Self::Now(reply) => return own(reply),
            Self::Later(reply) => reply.await,
        };
        match reply {
            Ok(reply) => reply.map(|body| match body {
                ControlBody::Whole(bytes) => {
                    AnswerBody::Own(Some(bytes).filter(|bytes| !bytes.is_empty()))
                }
                ControlBody::Stream(pieces) => AnswerBody::Stream(pieces),
            }),
            Err(_) => own(Reply {
                status: StatusCode::SERVICE_UNAVAILABLE,
                headers: vec![
                    (CONTENT_TYPE, HeaderValue::from_static("application/json")),
                    (ERROR_HEADER, HeaderValue::from_static("ending")),
                ],
                body: NOBODY.to_owned(),
            }),
        }
    }
}

/// An answer of our own that is here.
pub(crate) fn own(reply: Reply) -> Answer {
    let body = (!reply.body.is_empty()).then(|| Bytes::from(reply.body));
    let mut answer = Response::new(AnswerBody::Own(body));
    *answer.status_mut() = reply.status;
    answer.headers_mut().extend(reply.headers);
    answer
}
