//! Bodies as hyper wants them: a gathered request that can be sent again, one that streams through,
//! an answer of our own, and a relayed one.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::mpsc;

use crate::error::SendError;
use crate::relay::RelayBody;

/// A request body gathered whole: cloning it for another attempt copies no byte.
#[derive(Clone, Debug, Default)]
pub(crate) struct Frames {
    pub(crate) data: Arc<Vec<Bytes>>,
    pub(crate) trailers: Option<HeaderMap>,
    pub(crate) bytes: u64,
    /// As the client sent it, if something was put in.
    pub(crate) original: Option<Arc<Vec<Bytes>>>,
}

/// What is sent upstream.
#[derive(Debug)]
pub(crate) enum RequestBody {
    /// Gathered.
    Frames {
        frames: Frames,
        next: usize,
        left: u64,
    },
    /// Too long to gather: what came so far, then the rest as it comes.
    Stream(Box<StreamBody>),
}

/// A request body that is sent once, as it arrives.
#[derive(Debug)]
pub(crate) struct StreamBody {
    pub(crate) begun: std::vec::IntoIter<Bytes>,
    pub(crate) rest: Incoming,
    /// Bytes that may still come before the limit.
    pub(crate) room: u64,
    /// Bytes still unsent, if the client said how many there are.
    pub(crate) length: Option<u64>,
}

impl RequestBody {
    pub(crate) fn frames(frames: Frames) -> Self {
        Self::Frames {
            left: frames.bytes,
            frames,
            next: 0,
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = SendError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, SendError>>> {
        match self.get_mut() {
            Self::Frames { frames, next, left } => {
                if let Some(data) = frames.data.get(*next) {
                    *next += 1;
                    *left -= data.len() as u64;
                    return Poll::Ready(Some(Ok(Frame::data(data.clone()))));
                }
                Poll::Ready(
                    frames
                        .trailers
                        .take()
                        .map(|trailers| Ok(Frame::trailers(trailers))),
                )
            }
            Self::Stream(stream) => stream.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Frames { frames, next, .. } => {
                *next >= frames.data.len() && frames.trailers.is_none()
            }
            Self::Stream(stream) => {
                stream.begun.as_slice().is_empty() && stream.rest.is_end_stream()
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Frames { frames, left, .. } if frames.trailers.is_none() => {
                SizeHint::with_exact(*left)
            }
            Self::Frames { .. } => SizeHint::default(),
            Self::Stream(stream) => stream
                .length
                .map_or_else(SizeHint::default, SizeHint::with_exact),
        }
    }
}

impl StreamBody {
    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, SendError>>> {
        let frame = if let Some(data) = self.begun.next() {
            Frame::data(data)
        } else {
            match Pin::new(&mut self.rest).poll_frame(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Ready(Some(Err(_))) => return Poll::Ready(Some(Err(SendError::ClientBody))),
                Poll::Ready(Some(Ok(frame))) => {
                    let length = frame.data_ref().map_or(0, Bytes::len) as u64;
                    let Some(room) = self.room.checked_sub(length) else {
                        return Poll::Ready(Some(Err(SendError::ClientBodyTooLong)));
                    };
                    self.room = room;
                    frame
                }
            }
        };
        if let (Some(length), Some(data)) = (self.length.as_mut(), frame.data_ref()) {
            *length = length.saturating_sub(data.len() as u64);
        }
        Poll::Ready(Some(Ok(frame)))
    }
}

/// Why an answer broke off; hyper then closes the client's connection without ending the body.
pub(crate) type AnswerError = Box<dyn std::error::Error + Send + Sync>;

/// What is sent to the client.
#[derive(Debug)]
pub(crate) enum AnswerBody {
    /// Our own.
    Own(Option<Bytes>),
    /// The upstream's.
    Relay(Box<RelayBody>),
    /// Our own, as it comes.
    Stream(mpsc::Receiver<Bytes>),
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = AnswerError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.get_mut() {
            Self::Own(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Relay(relay) => relay.poll(cx),
            Self::Stream(pieces) => pieces
                .poll_recv(cx)
                .map(|piece| piece.map(|piece| Ok(Frame::data(piece)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(bytes) => bytes.is_none(),
            Self::Relay(relay) => relay.is_end(),
            Self::Stream(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Self::Relay(relay) => relay.size_hint(),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}
