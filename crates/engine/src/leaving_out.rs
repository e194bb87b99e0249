//! Leaves an event out of an answer that is relayed: frames from the upstream become frames for the
//! client.

use api_key_lb_core::wire::extra_chunk::{ExtraChunk, Passed};
use bytes::Bytes;
use http_body::Frame;

type Read = Result<Frame<Bytes>, hyper::Error>;

/// What stands between reading an answer and passing it on.
pub(crate) struct LeavingOut {
    extra: Box<ExtraChunk>,
    /// What ended the data, while what was held back goes on before it.
    behind: Option<Read>,
}

impl LeavingOut {
    pub(crate) const fn new(extra: Box<ExtraChunk>) -> Self {
        Self {
            extra,
            behind: None,
        }
    }

    /// Whether something was read that has not gone on.
    pub(crate) const fn is_behind(&self) -> bool {
        self.behind.is_some()
    }

    pub(crate) fn behind(&mut self) -> Option<Read> {
        self.behind.take()
    }

    /// What goes on of what was read; `None` if nothing does, and more is to be read. `is_last` says
    /// that nothing follows that data.
    pub(crate) fn pass(&mut self, read: Option<Read>, is_last: bool) -> Option<Option<Read>> {
        let data = match read {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => data,
                Err(trailers) => return Some(self.ends(Some(Ok(trailers)))),
            },
            end => return Some(self.ends(end)),
        };
        let mut passed = match self.extra.feed(&data) {
            Passed::Part(part) => data.slice(part),
            Passed::Joined(joined) => joined.into(),
        };
        if is_last {
            let held = self.extra.finish();
            if !held.is_empty() {
                passed = [passed, held.into()].concat().into();
            }
        }
        (is_last || !passed.is_empty()).then(|| Some(Ok(Frame::data(passed))))
    }

    /// The data ends so: what was held back goes on before that.
    fn ends(&mut self, end: Option<Read>) -> Option<Read> {
        let held = self.extra.finish();
        if held.is_empty() {
            return end;
        }
        self.behind = end;
        Some(Ok(Frame::data(held.into())))
    }
}
