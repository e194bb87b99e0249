//! The latest requests: so many, and no more memory than so much.

use std::collections::VecDeque;
use std::sync::Arc;

use api_key_lb_core::Moment;
use api_key_lb_core::fact::{RequestId, SessionId};

use super::Request;

/// Requests kept: an afternoon of one person's agents, minutes of a busy office.
pub const MOST: usize = 2_000;
/// Bytes kept in all, whatever clients write into what they ask.
const MOST_BYTES: usize = 4 << 20;

/// The requests, oldest first.
#[derive(Debug, Default)]
pub(super) struct Recent {
    requests: VecDeque<Kept>,
    bytes: usize,
    /// How many ever came.
    count: u64,
}

#[derive(Debug)]
struct Kept {
    id: RequestId,
    session: Option<SessionId>,
    bytes: usize,
    request: Arc<Request>,
}

impl Recent {
    pub(super) fn push(&mut self, id: RequestId, session: Option<SessionId>, request: Request) {
        let bytes = request.bytes();
        self.bytes += bytes;
        self.count += 1;
        self.requests.push_back(Kept {
            id,
            session,
            bytes,
            request: Arc::new(request),
        });
        while self.requests.len() > MOST || self.bytes > MOST_BYTES {
            let Some(oldest) = self.requests.pop_front() else {
                break;
            };
            self.bytes -= oldest.bytes;
        }
    }

    pub(super) const fn count(&self) -> u64 {
        self.count
    }

    /// When the oldest one that is kept began, if others were before it.
    pub(super) fn since(&self) -> Option<Moment> {
        let oldest = self.requests.front()?;
        let all = self.count == self.requests.len() as u64;
        (!all).then(|| Moment::from_unix_millis(oldest.request.began))
    }

    pub(super) fn find(&self, id: RequestId) -> Option<Arc<Request>> {
        // The latest first: a WebSocket's requests and those asked about are mostly recent.
        let mut kept = self.requests.iter().rev();
        kept.find(|kept| kept.id == id)
            .map(|kept| kept.request.clone())
    }

    pub(super) fn latest(&self, most: usize, session: Option<&str>) -> Vec<Arc<Request>> {
        let session = session.map(str::to_ascii_lowercase);
        let belongs = |kept: &&Kept| {
            session.as_ref().is_none_or(|session| {
                let full = kept.session.map(SessionId::full);
                full.is_some_and(|full| full.starts_with(session))
            })
        };
        let kept = self.requests.iter().rev().filter(belongs);
        kept.take(most).map(|kept| kept.request.clone()).collect()
    }

    pub(super) fn after(&self, known: u64, most: usize) -> (Vec<Arc<Request>>, u64) {
        let new = usize::try_from(self.count.saturating_sub(known)).unwrap_or(usize::MAX);
        (self.latest(most.min(new), None), self.count)
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> (usize, usize) {
        (self.requests.len(), self.bytes)
    }

    #[cfg(test)]
    pub(super) const MOST_BYTES: usize = MOST_BYTES;
}
