//! Stop 3 of a request's way: its body is gathered as frames, and read while it arrives.

use std::sync::Arc;
use std::time::Duration;

use api_key_lb_core::plan::Limits;
use api_key_lb_core::wire::body::{BodyFacts, RequestReader};
use api_key_lb_core::wire::decoding::{Decoder, Decoding};
use api_key_lb_core::wire::reply::Refusal;
use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as _, Frame};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use crate::body::{Frames, RequestBody, StreamBody};
use crate::reading::declared_length;

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

/// The next frame of a client's body; `None` at its end. Waiting for it is also what makes hyper
/// answer `Expect: 100-continue`.
pub(crate) async fn next_frame(body: &mut Incoming) -> Result<Option<Frame<Bytes>>, Refusal> {
    let next = tokio::time::timeout(CLIENT_BODY_IDLE, body.frame());
    let frame = next.await.map_err(|_| Refusal::BodyTimeout)?;
    frame.transpose().map_err(|_| Refusal::BodyBroken)
}

/// Reads a body in passing, decoded where it came compressed; what is forwarded is not touched.
struct Watch<'t> {
    reader: RequestReader<'t>,
    /// `None` if its coding is not known.
    decoder: Option<Decoder>,
    /// Whether more of it would still tell anything.
    wants_more: bool,
    decoding: Decoding,
}

impl<'t> Watch<'t> {
    fn new(headers: &HeaderMap, reader: RequestReader<'t>, bound: u64) -> Self {
        let decoder = Decoder::new(headers, bound);
        Self {
            reader,
            wants_more: decoder.is_some(),
            decoder,
            decoding: Decoding::Going,
        }
    }

    fn feed(&mut self, frame: &[u8]) {
        let (Some(decoder), true) = (&mut self.decoder, self.wants_more) else {
            return;
        };
        let (reader, wants_more) = (&mut self.reader, &mut self.wants_more);
        self.decoding = decoder.feed(frame, &mut |plain| {
            *wants_more = *wants_more && reader.feed(plain);
        });
        self.wants_more &= self.decoding == Decoding::Going;
    }

    /// What the whole body said.
    fn finish(self) -> BodyFacts {
        match (self.decoder, self.decoding) {
            (None, _) | (_, Decoding::Broken) => BodyFacts::default(),
            // It unpacks to more than anybody would read.
            (_, Decoding::TooLarge) => self.reader.so_far(),
            _ => self.reader.finish(),
        }
    }

    /// What has been read of a body that is not waited for.
    fn so_far(self) -> BodyFacts {
        match (self.decoder, self.decoding) {
            (None, _) | (_, Decoding::Broken) => BodyFacts::default(),
            _ => self.reader.so_far(),
        }
    }
}

/// Gathers `body` up to the replay limit while reading it.
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
    let mut watch = Watch::new(headers, reader, limits.replay_bytes);
    let mut data: Vec<Bytes> = Vec::new();
    let mut trailers = None;
    let mut bytes = 0_u64;
    while let Some(frame) = next_frame(&mut body).await? {
        match frame.into_data() {
            Ok(piece) => {
                bytes += piece.len() as u64;
                if bytes > limits.body_bytes {
                    return Err(Refusal::BodyTooLarge(limits.body_bytes));
                }
                watch.feed(&piece);
                data.push(piece);
                if bytes > limits.replay_bytes {
                    let stream = StreamBody {
                        begun: data.into_iter(),
                        rest: body,
                        room: limits.body_bytes - bytes,
                        length: declared,
                    };
                    return Ok((Gathered::Streaming(Some(Box::new(stream))), watch.so_far()));
                }
            }
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    let frames = Frames {
        data: Arc::new(data),
        trailers,
        bytes,
        original: None,
    };
    Ok((Gathered::Whole(frames), watch.finish()))
}
