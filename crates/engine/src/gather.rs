//! Stop 3 of a request's way: its body is gathered as frames, and read while it arrives.

use std::sync::Arc;
use std::time::Duration;

use api_key_lb_core::plan::{Limits, Plan, Pool};
use api_key_lb_core::wire::body::{BodyFacts, Need, RequestReader};
use api_key_lb_core::wire::dialect::{Dialect, Endpoint};
use api_key_lb_core::wire::identity;
use api_key_lb_core::wire::reply::Refusal;
use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use crate::body::{Frames, RequestBody, StreamBody};
use crate::state::State;

/// Silence within a client's body after which it is given up. Clients are on this machine or a
/// near one, and send a prompt in milliseconds.
const CLIENT_BODY_IDLE: Duration = Duration::from_secs(30);

/// A request body, read.
pub(crate) enum Gathered {
    /// All of it; it can be sent again.
    Whole(Frames),
    /// Longer than the replay limit; gone once it has been sent.
    Streaming(Option<Box<StreamBody>>),
}

impl Gathered {
    /// The body for the next attempt; `None` if it has gone out and cannot be sent again.
    pub(crate) fn take(&mut self) -> Option<RequestBody> {
        match self {
            Self::Whole(frames) => Some(RequestBody::frames(frames.clone())),
            Self::Streaming(stream) => stream.take().map(RequestBody::Stream),
        }
    }

    /// Whether another attempt could send it.
    pub(crate) const fn can_repeat(&self) -> bool {
        matches!(self, Self::Whole(_))
    }

    /// The gathered trailers.
    pub(crate) const fn trailers(&self) -> Option<&HeaderMap> {
        match self {
            Self::Whole(frames) => frames.trailers.as_ref(),
            Self::Streaming(_) => None,
        }
    }

    /// The length to declare upstream, if it is known.
    pub(crate) fn length(&self) -> Option<u64> {
        match self {
            Self::Whole(frames) => Some(frames.bytes),
            Self::Streaming(stream) => stream.as_ref().and_then(|stream| stream.length),
        }
    }
}

/// What has to be read of a request, given its head: nothing that can be known without it.
pub(crate) fn need(
    state: &State,
    plan: &Plan,
    pool: &Pool,
    endpoint: Endpoint,
    headers: &HeaderMap,
) -> Need {
    let hint = identity::from_head(&plan.recognition.ladder, headers);
    let chain = match &hint {
        _ if !endpoint.converses => false,
        None => true,
        Some(hint) => {
            // A length nobody has declared may be any.
            let bytes = declared_length(headers).unwrap_or(u64::MAX);
            let now = state.now();
            let policy = state.policy();
            policy.wants_messages(pool, hint.session, bytes, now)
        }
    };
    Need {
        ids: !hint.is_some_and(|hint| hint.settled),
        chain,
        background: endpoint.dialect == Dialect::Responses,
    }
}

fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Gathers `body` up to the replay limit while reading it. Waiting for it is also what makes
/// hyper answer `Expect: 100-continue`.
pub(crate) async fn gather(
    mut body: Incoming,
    headers: &HeaderMap,
    reader: RequestReader<'_>,
    limits: &Limits,
) -> Result<(Gathered, BodyFacts), Refusal> {
    let declared = declared_length(headers);
    if declared.is_some_and(|length| length > limits.body_bytes) {
        return Err(Refusal::BodyTooLarge(limits.body_bytes));
    }
    if body.is_end_stream() {
        return Ok((Gathered::Whole(Frames::default()), BodyFacts::default()));
    }
    // A compressed body is forwarded as it came, and not read.
    let mut reader = (!headers.contains_key(CONTENT_ENCODING)).then_some(reader);
    let mut data: Vec<Bytes> = Vec::new();
    let mut trailers = None;
    let mut bytes = 0_u64;
    loop {
        let next = tokio::time::timeout(CLIENT_BODY_IDLE, body.frame());
        let frame = match next.await.map_err(|_| Refusal::BodyTimeout)? {
            None => break,
            Some(frame) => frame.map_err(|_| Refusal::BodyBroken)?,
        };
        match frame.into_data() {
            Ok(piece) => {
                bytes += piece.len() as u64;
                if bytes > limits.body_bytes {
                    return Err(Refusal::BodyTooLarge(limits.body_bytes));
                }
                if let Some(reader) = &mut reader {
                    reader.feed(&piece);
                }
                data.push(piece);
                if bytes > limits.replay_bytes {
                    let facts = reader.map(RequestReader::so_far).unwrap_or_default();
                    let stream = StreamBody {
                        begun: data.into_iter(),
                        rest: body,
                        room: limits.body_bytes - bytes,
                        length: declared,
                    };
                    return Ok((Gathered::Streaming(Some(Box::new(stream))), facts));
                }
            }
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    let facts = reader.map(RequestReader::finish).unwrap_or_default();
    let frames = Frames {
        data: Arc::new(data),
        trailers,
        bytes,
    };
    Ok((Gathered::Whole(frames), facts))
}
