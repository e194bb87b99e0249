//! What was seen of the requests since the process began: the latest of them, sessions, sums, and how
//! it went minute by minute. In memory, bounded, and never a body, a query or a secret.
//!
//! Fed with facts by the thread that also writes the log, and read by the one that answers `/_lb/`:
//! no worker ever waits for either.

mod recent;
mod request;
mod series;
mod sessions;
mod state;
mod sums;

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api_key_lb_core::fact::{Fact, RequestId, SessionId, Usage};
use api_key_lb_core::{KeyId, Moment};

use crate::metrics::Models;
use recent::Recent;
use series::Series;
use sessions::Sessions;
use sums::Sums;

pub use recent::MOST as MOST_REQUESTS;
pub use request::{Request, Tokens, Try};
pub use series::{Chart, Lines, Span};
pub use state::{About, Headroom, KeyState, SessionState, State};
pub use sums::{Saved, Totals};

/// What tokens of a model cost, and what the provider's cache has saved of it, in US dollars; `None` if its
/// price is not known.
pub type Price<'p> = &'p dyn Fn(&str, &Usage) -> Option<Spent>;

/// What a request cost, or many.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spent {
    /// In all.
    pub cost_usd: f64,
    /// Less than it would have been without the provider's cache.
    pub saved_usd: f64,
}

/// All of it, behind a lock of its own.
#[derive(Debug, Default)]
pub struct Observed(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    models: Models,
    recent: Recent,
    sessions: Sessions,
    series: Series,
    sums: Sums,
}

impl Observed {
    /// Takes in what `facts` say. `label_of` is what people call a key.
    pub fn observe(&self, facts: &[Fact], label_of: &dyn Fn(KeyId) -> String, price: Price<'_>) {
        if facts.is_empty() {
            return;
        }
        let may_be_named: Vec<bool> = {
            let mut seen = self.seen();
            facts.iter().map(|fact| seen.models.admit(fact)).collect()
        };
        // Without the lock: this is what takes time.
        let requests: Vec<(Request, Option<Spent>)> = facts
            .iter()
            .zip(may_be_named)
            .map(|(fact, may_be_named)| {
                let model = fact.model.as_deref().filter(|_| may_be_named);
                let usage = model.zip(fact.usage);
                let spent = usage.and_then(|(model, usage)| price(model, &usage));
                (Request::of(fact, model, label_of, spent.as_ref()), spent)
            })
            .collect();
        let mut seen = self.seen();
        for (fact, (request, spent)) in facts.iter().zip(requests) {
            seen.sums.add(fact, spent.as_ref());
            seen.series.add(fact);
            seen.sessions.add(fact, request.model.as_deref());
            seen.recent.push(fact.id, fact.session, request);
        }
    }

    /// The latest requests, newest first; those of one session, if its id or the beginning of it is
    /// given.
    pub fn requests(&self, most: usize, session: Option<&str>) -> Vec<Arc<Request>> {
        self.seen().recent.latest(most, session)
    }

    /// The request with this id, if it is still remembered.
    pub fn request(&self, id: RequestId) -> Option<Arc<Request>> {
        self.seen().recent.find(id)
    }

    /// The latest requests that came after the first `known` ones, newest first, and how many came in
    /// all.
    pub fn after(&self, known: u64, most: usize) -> (Vec<Arc<Request>>, u64) {
        self.seen().recent.after(known, most)
    }

    /// How many requests came.
    pub fn count(&self) -> u64 {
        self.seen().recent.count()
    }

    /// How long requests are remembered at the pace of now: since when, if some were forgotten.
    pub fn since(&self) -> Option<Moment> {
        self.seen().recent.since()
    }

    /// How it went.
    pub fn chart(&self, span: Span, now: Moment) -> Chart {
        self.seen().series.chart(span, now)
    }

    /// Everything summed up.
    pub fn totals(&self) -> (Totals, Saved) {
        let seen = self.seen();
        (seen.sums.totals, seen.sums.saved())
    }

    /// A session was let go: nobody knows where it will live.
    pub fn unpinned(&self, session: SessionId) {
        self.seen().sessions.unpinned(session);
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
