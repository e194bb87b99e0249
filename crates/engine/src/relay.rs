//! Stop 7 of a request's way: an upstream's answer body goes to the client frame by frame, and is
//! read in passing. Nothing is held back, but the beginning of an event that may have to be left out.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use api_key_lb_core::fact::Ending;
use api_key_lb_core::wire::usage::AnswerReader;
use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use crate::body::AnswerError;
use crate::leaving_out::LeavingOut;
use crate::opening::Begun;
use crate::record::Record;
use crate::upstream::Lease;

/// Frames below this size (bytes) are joined with what came with them; a larger one is not worth
/// copying.
const JOIN_BELOW: usize = 2 << 10;
/// How long after a cut the client's connection is ended: long enough for a client that reads to
/// get every byte that came before.
const CUT_AFTER: Duration = Duration::from_millis(50);
/// Most bytes joined into one frame.
const JOIN_MOST: usize = 16 << 10;

/// A relayed answer body.
pub(crate) struct RelayBody {
    body: Begun,
    reader: AnswerReader,
    /// If something is left out.
    leaving_out: Option<LeavingOut>,
    idle: Idle,
    record: Record,
    lease: Option<Lease>,
    /// A frame that was read but could not be joined to the one before it.
    ahead: Option<Result<Frame<Bytes>, hyper::Error>>,
    /// How the upstream broke off, until that has been passed on.
    cut: Option<hyper::Error>,
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
        mut body: Begun,
        reader: AnswerReader,
        idle_timeout: Duration,
        record: Record,
        lease: Option<Lease>,
    ) -> Self {
        let mut relay = Self {
            leaving_out: body.without.take().map(LeavingOut::new),
            body,
            reader,
            idle: Idle {
                timeout: idle_timeout,
                last: None,
                timer: None,
            },
            record,
            lease,
            ahead: None,
            cut: None,
        };
        if relay.body.is_end() {
            relay.complete();
        }
        relay
    }

    pub(crate) fn is_end(&self) -> bool {
        let is_behind = self.leaving_out.as_ref().is_some_and(LeavingOut::is_behind);
        self.ahead.is_none() && !is_behind && self.body.is_end()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        if self.leaving_out.is_some() {
            return SizeHint::default();
        }
        let mut hint = self.body.size_hint();
        if let Some(Ok(frame)) = &self.ahead
            && let Some(data) = frame.data_ref()
            && let Some(left) = hint.exact()
        {
            hint = SizeHint::with_exact(left + data.len() as u64);
        }
        hint
    }

    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, AnswerError>>> {
        if self.cut.is_some() {
            return self.poll_cut(cx);
        }
        let next = match self.ahead.take() {
            Some(ahead) => Poll::Ready(Some(ahead)),
            None => self.next(cx),
        };
        match next {
            Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => Poll::Ready(Some(Ok(Frame::data(self.join_ready(data, cx))))),
                Err(frame) => Poll::Ready(Some(Ok(frame))),
            },
            Poll::Ready(Some(Err(error))) => {
                self.record.ends(Ending::Cut);
                // hyper drops what it has not written when it meets an error, so first let it write.
                self.cut = Some(error);
                self.idle.timer = Some(Box::pin(tokio::time::sleep(CUT_AFTER)));
                self.poll_cut(cx)
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

    /// Passes a cut on as soon as what came before it has had time to leave.
    fn poll_cut(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, AnswerError>>> {
        let waiting = match &mut self.idle.timer {
            Some(timer) => timer.as_mut().poll(cx).is_pending(),
            None => false,
        };
        if waiting {
            return Poll::Pending;
        }
        Poll::Ready(self.cut.take().map(|error| Err(error.into())))
    }

    /// `data`, and behind it whatever else is there already: events that came together leave
    /// together. Handed on one by one they would take a write for every sixteen, and the bytes
    /// would be no earlier anywhere.
    fn join_ready(&mut self, data: Bytes, cx: &mut Context<'_>) -> Bytes {
        if data.len() >= JOIN_BELOW || self.is_end() {
            return data;
        }
        let mut joined = BytesMut::new();
        while let Poll::Ready(Some(next)) = self.next(cx) {
            let more = match next {
                Ok(frame) => match frame.into_data() {
                    Ok(more) if more.len() < JOIN_BELOW => more,
                    Ok(more) => {
                        self.ahead = Some(Ok(Frame::data(more)));
                        break;
                    }
                    Err(trailers) => {
                        self.ahead = Some(Ok(trailers));
                        break;
                    }
                },
                Err(error) => {
                    self.ahead = Some(Err(error));
                    break;
                }
            };
            if joined.is_empty() {
                joined.reserve(JOIN_MOST);
                joined.extend_from_slice(&data);
            }
            joined.extend_from_slice(&more);
            if joined.len() + JOIN_BELOW > JOIN_MOST || self.is_end() {
                break;
            }
        }
        if joined.is_empty() {
            data
        } else {
            joined.freeze()
        }
    }

    /// The next frame that goes on.
    fn next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let next = loop {
            if let Some(behind) = self.leaving_out.as_mut().and_then(LeavingOut::behind) {
                break Some(behind);
            }
            let Poll::Ready(read) = self.read(cx) else {
                return Poll::Pending;
            };
            let Some(leaving_out) = &mut self.leaving_out else {
                break read;
            };
            if let Some(passed) = leaving_out.pass(read, self.body.is_end()) {
                break passed;
            }
        };
        if let Some(Ok(frame)) = &next
            && let Some(data) = frame.data_ref()
        {
            self.record.relayed(data.len());
        }
        Poll::Ready(next)
    }

    /// The next frame from the upstream, read in passing.
    fn read(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = self.body.poll(self.lease.as_mut(), cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            self.idle.last = None;
            if let Some(data) = frame.data_ref() {
                self.reader.feed(data);
                // At once: its client may ask for them before the answer ends.
                if let Some(given) = self.reader.given() {
                    self.record.gave(given);
                    given.clear();
                }
            }
            // With a known length nobody asks again after the last frame.
            if self.body.is_end() {
                self.complete();
            }
        }
        polled
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
        if let Some(answer) = self.reader.answer_id() {
            self.record.gave_out(answer);
        }
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
