//! Stop 6 of a request's way, its first half: as much of an answer's body is read as judging takes.
//! Nothing of it has been relayed then, and what was read is relayed as it came.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use api_key_lb_core::wire::decoding::{Decoder, Decoding};
use api_key_lb_core::wire::extra_chunk::ExtraChunk;
use api_key_lb_core::wire::opening::{Opening, OpeningReader};
use api_key_lb_core::wire::signals::{self, Signals};
use bytes::Bytes;
use http::response::Parts;
use http::{Method, Response};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;

use crate::upstream::Lease;

/// Longest time that an answer is held back after its head. An error comes with the head or within
/// moments of it; whoever waits longer for a first event does not notice that the head came late.
const WITHIN: Duration = Duration::from_secs(2);

/// An upstream's answer, judged as far as its body was read for it.
pub(crate) struct Opened {
    pub(crate) head: Parts,
    pub(crate) body: Begun,
    /// The connection, unless the body has been read to its end.
    pub(crate) lease: Option<Lease>,
    /// What an error says; of an answer with status 2xx, empty unless it is an error.
    pub(crate) signals: Signals,
    /// Whether it broke off before it said anything of substance.
    pub(crate) broke_off: bool,
}

type Read = Result<Frame<Bytes>, hyper::Error>;

/// A body of which some frames have been read, and are still to be relayed.
pub(crate) struct Begun {
    frames: VecDeque<Read>,
    rest: Incoming,
    /// Whether the rest has said that it is at its end.
    ended: bool,
    /// What is left out of it when it is relayed.
    pub(crate) without: Option<Box<ExtraChunk>>,
}

/// Waits until the answer can be judged, but never for long. The signals of an error are read with
/// every request; what a success begins with only where something is made by asking, since what is
/// looked up may be an error of long ago.
pub(crate) async fn open(method: &Method, head: Response<Incoming>, lease: Lease) -> Opened {
    let (head, rest) = head.into_parts();
    let mut opened = Opened {
        head,
        body: Begun {
            frames: VecDeque::new(),
            rest,
            ended: false,
            without: None,
        },
        lease: Some(lease),
        signals: Signals::default(),
        broke_off: false,
    };
    let status = opened.head.status;
    if status.is_client_error() || status.is_server_error() {
        opened.read_error().await;
    } else if status.is_success()
        && method == Method::POST
        && let Some(reader) = OpeningReader::new(&opened.head.headers)
    {
        // When the time is up, it may serve.
        let _ = tokio::time::timeout(WITHIN, opened.read_opening(reader)).await;
    }
    // If it goes to another key, that one need not connect anew.
    if opened.body.is_read()
        && let Some(lease) = opened.lease.take()
    {
        lease.give_back();
    }
    opened
}

impl Opened {
    /// Reads an error body as far as it is looked at.
    async fn read_error(&mut self) {
        let mut plain = Vec::new();
        let decoder = Decoder::new(&self.head.headers, signals::MAX_BODY as u64);
        if let Some(decoder) = decoder {
            // When the time is up, what has come has to do.
            let _ = tokio::time::timeout(WITHIN, self.collect(decoder, &mut plain)).await;
        }
        self.signals = Signals::of_body(&plain);
    }

    async fn collect(&mut self, mut decoder: Decoder, plain: &mut Vec<u8>) {
        let mut read = 0;
        while read < signals::MAX_BODY
            && let Some(Ok(data)) = self.body.read(self.lease.as_mut()).await
        {
            read += data.len();
            let decoding = decoder.feed(&data, &mut |piece| plain.extend_from_slice(piece));
            if decoding != Decoding::Going {
                return;
            }
        }
    }

    async fn read_opening(&mut self, mut reader: OpeningReader) {
        loop {
            let said = match self.body.read(self.lease.as_mut()).await {
                Some(Ok(data)) => reader.feed(&data),
                Some(Err(())) => {
                    self.broke_off = true;
                    return;
                }
                None => reader.finish(),
            };
            match said {
                Opening::Undecided => {}
                Opening::Substance => return,
                Opening::Error(signals) => {
                    self.signals = signals;
                    return;
                }
            }
        }
    }
}

impl Begun {
    /// Reads one frame further and keeps it; answers with its data, empty for trailers.
    async fn read(&mut self, mut lease: Option<&mut Lease>) -> Option<Result<Bytes, ()>> {
        if self.is_read() {
            return None;
        }
        let frame = poll_fn(|cx| self.poll_rest(lease.as_deref_mut(), cx)).await?;
        let read = match &frame {
            Ok(frame) => Ok(frame.data_ref().cloned().unwrap_or_default()),
            Err(_) => Err(()),
        };
        self.frames.push_back(frame);
        Some(read)
    }

    /// The next frame that has not been relayed. `lease` is the connection that it comes from.
    pub(crate) fn poll(
        &mut self,
        lease: Option<&mut Lease>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Read>> {
        match self.frames.pop_front() {
            Some(frame) => Poll::Ready(Some(frame)),
            None => self.poll_rest(lease, cx),
        }
    }

    fn poll_rest(&mut self, lease: Option<&mut Lease>, cx: &mut Context<'_>) -> Poll<Option<Read>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let mut polled = Pin::new(&mut self.rest).poll_frame(cx);
        if polled.is_pending()
            && let Some(lease) = lease
        {
            lease.drive(cx);
            polled = Pin::new(&mut self.rest).poll_frame(cx);
        }
        self.ended = matches!(polled, Poll::Ready(None));
        polled
    }

    /// What has been read of it.
    pub(crate) fn read_so_far(&self) -> impl Iterator<Item = &Bytes> {
        self.frames
            .iter()
            .filter_map(|frame| frame.as_ref().ok()?.data_ref())
    }

    /// Whether it was read to its end, and its connection can be used again.
    fn is_read(&self) -> bool {
        self.ended || self.rest.is_end_stream()
    }

    /// Whether it is known from the head that nothing more is to be relayed.
    pub(crate) fn is_end(&self) -> bool {
        self.frames.is_empty() && self.rest.is_end_stream()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        let hint = self.rest.size_hint();
        let Some(rest) = hint.exact() else {
            return hint;
        };
        let held: usize = self.read_so_far().map(Bytes::len).sum();
        SizeHint::with_exact(rest + held as u64)
    }
}
