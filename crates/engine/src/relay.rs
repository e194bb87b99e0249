//! Stop 7 of a request's way: an upstream's answer body goes to the client frame by frame, and is
//! read in passing. Nothing is held back, nothing is merged.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use api_key_lb_core::fact::Ending;
use api_key_lb_core::wire::usage::AnswerReader;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use crate::body::AnswerError;
use crate::record::Record;
use crate::upstream::Lease;

/// A relayed answer body.
pub(crate) struct RelayBody {
    incoming: Incoming,
    reader: AnswerReader,
    idle: Idle,
    record: Record,
    lease: Option<Lease>,
}

/// Silence within the answer. One timer that is looked at when it fires, not one reset per frame.
struct Idle {
    timeout: Duration,
    last: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl std::fmt::Debug for RelayBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RelayBody").finish_non_exhaustive()
    }
}

impl RelayBody {
    pub(crate) fn new(
        incoming: Incoming,
        reader: AnswerReader,
        idle_timeout: Duration,
        record: Record,
        lease: Lease,
    ) -> Self {
        let mut relay = Self {
            incoming,
            reader,
            idle: Idle {
                timeout: idle_timeout,
                last: None,
                timer: None,
            },
            record,
            lease: Some(lease),
        };
        if relay.incoming.is_end_stream() {
            relay.complete();
        }
        relay
    }

    pub(crate) fn is_end(&self) -> bool {
        self.incoming.is_end_stream()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }

    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, AnswerError>>> {
        let mut polled = Pin::new(&mut self.incoming).poll_frame(cx);
        if polled.is_pending()
            && let Some(lease) = &mut self.lease
        {
            lease.drive(cx);
            polled = Pin::new(&mut self.incoming).poll_frame(cx);
        }
        match polled {
            Poll::Ready(Some(Ok(frame))) => {
                self.idle.last = None;
                if let Some(data) = frame.data_ref() {
                    self.reader.feed(data);
                    self.record.relayed(data.len());
                }
                // With a known length nobody asks again after the last frame.
                if self.incoming.is_end_stream() {
                    self.complete();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                self.record.ends(Ending::Cut);
                Poll::Ready(Some(Err(error.into())))
            }
            Poll::Ready(None) => {
                self.complete();
                Poll::Ready(None)
            }
            Poll::Pending => {
                if self.idle.expired(cx) {
                    self.record.ends(Ending::Cut);
                    let said = format!("silent for {} s", self.idle.timeout.as_secs());
                    return Poll::Ready(Some(Err(said.into())));
                }
                Poll::Pending
            }
        }
    }

    fn complete(&mut self) {
        self.record.ends(Ending::Complete);
        if let Some(lease) = self.lease.take() {
            lease.give_back();
        }
    }
}

impl Drop for RelayBody {
    fn drop(&mut self) {
        if let Some(usage) = self.reader.usage() {
            self.record.used(usage);
        }
    }
}

impl Idle {
    /// Whether the silence has lasted too long; otherwise arranges to be asked again.
    fn expired(&mut self, cx: &mut Context<'_>) -> bool {
        let now = Instant::now();
        let deadline = *self.last.get_or_insert(now) + self.timeout;
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        // The timer may stand at an earlier silence that has ended since.
        while timer.as_mut().poll(cx).is_ready() {
            if now >= deadline {
                return true;
            }
            timer.as_mut().reset(deadline);
        }
        false
    }
}
