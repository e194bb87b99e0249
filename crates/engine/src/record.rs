//! The account kept of one request while it lives; when it is dropped, however that comes about,
//! the fact goes out and the key's slot is freed.

use std::sync::Arc;
use std::time::Instant;

use api_key_lb_core::conversation::{AnswerId, Identity};
use api_key_lb_core::fact::{Attempt, Client, Ending, Fact, RequestId, Trace, Usage};
use api_key_lb_core::object::{Reference, References};
use api_key_lb_core::plan::{Key, Pool};
use api_key_lb_core::policy;
use api_key_lb_core::policy::{Asked, Bound, Choice, Reason, Session, Tries};
use api_key_lb_core::wire::body::BodyFacts;
use api_key_lb_core::wire::references::Gives;
use api_key_lb_core::{Moment, Verdict};
use http::header::USER_AGENT;
use http::{HeaderMap, HeaderName, Method, StatusCode};

use crate::state::State;

/// Where a client says to which trace a request belongs. Passed on as it came.
const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");

/// One request's record. A client that leaves drops the future that owns it, so "left" is what
/// it says until something better is known.
#[derive(Debug)]
pub(crate) struct Record {
    state: Arc<State>,
    began: Instant,
    /// The attempt that is running, and when the last one began.
    active: Option<policy::Attempt>,
    attempted: Instant,
    tries: Tries,
    /// Since when it is kept waiting for an account, and for what, in words.
    waits: Option<(Instant, String)>,
    session: Option<Session>,
    /// The objects that it names …
    references: References,
    /// … and which accounts they allow.
    bound: Bound,
    /// What its answer may give out.
    gives: Gives,
    fact: Fact,
}

impl Record {
    pub(crate) fn new(state: Arc<State>, method: Method, path: &str, headers: &HeaderMap) -> Self {
        let now = state.now();
        let began = Instant::now();
        let id = state.next_id();
        let mut fact = Fact::begun(id, now, method, path.to_owned());
        if let Some(agent) = headers.get(USER_AGENT) {
            fact.client = Client::of(agent.as_bytes());
        }
        if let Some(parent) = headers.get(TRACE_PARENT) {
            fact.trace = Trace::of(parent.as_bytes());
        }
        Self {
            began,
            active: None,
            attempted: began,
            tries: Tries::new(now),
            waits: None,
            session: None,
            references: References::default(),
            bound: Bound::Free,
            gives: Gives::Nothing,
            fact,
            state,
        }
    }

    /// It has been read: to which pool it goes, what it asks, and who asks.
    pub(crate) fn request(
        &mut self,
        pool: &Pool,
        facts: &BodyFacts,
        identity: &Identity,
        references: References,
        bytes: u64,
    ) {
        let now = self.state.now();
        let mut policy = self.state.policy();
        self.session = policy.recognise(pool, identity, now);
        if let Some(session) = &self.session {
            policy.entered(pool, identity, session, bytes, now);
        }
        self.bound = policy.bound(pool, &references, now);
        drop(policy);
        self.references = references;
        pool.name.clone_into(&mut self.fact.pool);
        self.fact.model.clone_from(&facts.model);
        if let Some(session) = &self.session {
            self.fact.session = Some(session.id);
            self.fact.rule = Some(session.rule.clone());
            self.fact.part = session.part;
        }
        self.fact.request_bytes = bytes;
    }

    /// What it is called.
    pub(crate) const fn id(&self) -> RequestId {
        self.fact.id
    }

    /// Whether answers say in their head who gave them.
    pub(crate) fn is_labelled(&self) -> bool {
        self.state.plan().answer_headers
    }

    /// The conversation it belongs to.
    pub(crate) const fn session(&self) -> Option<&Session> {
        self.session.as_ref()
    }

    /// It asks for this model, as has turned out.
    pub(crate) fn asks_for(&mut self, model: &str) {
        self.fact.model = Some(model.to_owned());
    }

    /// The objects that it names.
    pub(crate) const fn references(&self) -> &References {
        &self.references
    }

    /// Which accounts these allow.
    pub(crate) const fn bound(&self) -> Bound {
        self.bound
    }

    /// Its answer may give out such objects.
    pub(crate) const fn gives(&mut self, gives: Gives) {
        self.gives = gives;
    }

    /// What its answer may give out.
    pub(crate) const fn may_give(&self) -> Gives {
        self.gives
    }

    /// The answer gives out these objects.
    pub(crate) fn gave(&self, given: &[Reference]) {
        if let Some(attempt) = &self.active {
            let now = self.state.now();
            let mut policy = self.state.policy();
            policy.gave(&self.fact.pool, attempt, given, now);
        }
    }

    /// The answer holds something by which the client can continue the session.
    pub(crate) fn gave_out(&mut self, answer: AnswerId) {
        if let Some(session) = &self.session {
            let now = self.state.now();
            let mut policy = self.state.policy();
            policy.gave_out(&self.fact.pool, answer, session.id, now);
        }
    }

    /// Which key serves next. If one does, its attempt has begun; if none does yet, it waits in line.
    pub(crate) fn choose(&mut self, asked: &Asked<'_>, now: Moment) -> Choice {
        self.release(None);
        let mut policy = self.state.policy();
        let choice = policy.choose(asked, &mut self.tries, now);
        let (key, affinity, reason) = match choice {
            Choice::Use {
                key,
                affinity,
                reason,
            } => (key, affinity, reason),
            Choice::Hold { key, reason, .. } => {
                drop(policy);
                self.waits.get_or_insert_with(|| {
                    let words = reason.waiting(asked.pool, key, now);
                    (Instant::now(), words.to_string())
                });
                return choice;
            }
            Choice::Exhausted { .. } => {
                drop(policy);
                self.fact.reason = self.has_waited();
                return choice;
            }
        };
        let chosen = &asked.pool.keys[key];
        self.active = Some(policy.began(asked, chosen, affinity, now));
        drop(policy);
        let waited = self.has_waited();
        let words = Self::in_words(&reason, asked.pool, key, now);
        self.fact.affinity = affinity;
        self.fact.reason = match (waited, words) {
            (Some(waited), Some(words)) => Some(format!("{waited}; {words}")),
            (waited, words) => waited.or(words),
        };
        self.attempts_with(chosen);
        choice
    }

    fn in_words(reason: &Reason, pool: &Pool, key: usize, now: Moment) -> Option<String> {
        let words = reason.words(pool, key, now);
        reason.is_worth_saying().then(|| words.to_string())
    }

    /// It waits no more; what it has waited for.
    fn has_waited(&mut self) -> Option<String> {
        let (since, words) = self.waits.take()?;
        self.fact.waited += since.elapsed();
        Some(words)
    }

    /// What the running attempt came to; whether another may follow, if it `may_resend` at all.
    pub(crate) fn judged(
        &mut self,
        asked: &Asked<'_>,
        verdict: Verdict,
        may_resend: bool,
        now: Moment,
    ) -> bool {
        let Some(attempt) = &mut self.active else {
            return false;
        };
        if let Some(noted) = self.fact.attempts.last_mut() {
            noted.verdict = Some((verdict.matter, verdict.rule));
            noted.took = self.attempted.elapsed();
        }
        let mut policy = self.state.policy();
        let again = policy.judged(asked, attempt, verdict, may_resend, &mut self.tries, now);
        policy.showed(asked, attempt, &self.references, verdict, now);
        let wake = policy.has_waiting();
        drop(policy);
        if wake {
            self.state.changed().notify_waiters();
        }
        again
    }

    /// What it asked for is here; now it asks for the next part of it, of another account.
    pub(crate) fn asks_on(&mut self) {
        self.release(None);
        let began = self.tries.began();
        let mut policy = self.state.policy();
        policy.gone(&mut self.tries);
        drop(policy);
        self.tries = Tries::new(began);
    }

    /// An attempt begins with the key that an open connection dictates.
    pub(crate) fn begin(&mut self, asked: &Asked<'_>, key: &Key, now: Moment) {
        let mut policy = self.state.policy();
        let affinity = policy.affinity(asked, key, now);
        self.active = Some(policy.began(asked, key, affinity, now));
        drop(policy);
        self.fact.affinity = affinity;
        self.attempts_with(key);
    }

    fn attempts_with(&mut self, key: &Key) {
        self.attempted = Instant::now();
        let until = self.attempted.duration_since(self.began);
        if self.fact.attempts.is_empty() {
            self.fact.added = Some(until.saturating_sub(self.fact.waited));
        }
        self.fact.attempts.push(Attempt {
            began: until,
            ..Attempt::begun(key.id)
        });
    }

    /// The running attempt goes on as others.
    pub(crate) fn hand_over(&mut self) {
        self.release(None);
    }

    /// Whether an attempt runs.
    pub(crate) const fn is_running(&self) -> bool {
        self.active.is_some()
    }

    /// Why it was this key, where there is something to say.
    pub(crate) fn reason(&self) -> Option<&str> {
        self.fact.reason.as_deref()
    }

    /// How long it has been kept waiting for an account.
    pub(crate) const fn waited(&self) -> std::time::Duration {
        self.fact.waited
    }

    /// The running attempt was answered.
    pub(crate) fn answered(&mut self, status: StatusCode) {
        if let Some(attempt) = self.fact.attempts.last_mut() {
            attempt.status = Some(status.as_u16());
        }
    }

    /// How many attempts were made.
    pub(crate) fn attempts(&self) -> usize {
        self.fact.attempts.len()
    }

    /// The head of an answer is handed to the client.
    pub(crate) fn first_byte(&mut self, status: StatusCode) {
        self.fact.first_byte = self.began.elapsed();
        self.fact.status = status.as_u16();
    }

    /// So many bytes of an answer's body are handed to the client.
    pub(crate) fn relayed(&mut self, bytes: usize) {
        self.fact.response_bytes += bytes as u64;
    }

    /// It ends so, as far as is known now.
    pub(crate) fn ends(&mut self, ending: Ending) {
        self.fact.ending = ending;
    }

    /// The tokens the answer stated.
    pub(crate) fn used(&mut self, usage: Usage) {
        self.fact.usage = Some(usage);
    }

    /// Further tokens were stated.
    pub(crate) fn used_also(&mut self, more: Usage) {
        let usage = self.fact.usage.get_or_insert_default();
        usage.prompt += more.prompt;
        usage.cached += more.cached;
        usage.written += more.written;
        usage.output += more.output;
    }

    /// The running attempt is over; its key's slot is free.
    fn release(&mut self, usage: Option<Usage>) {
        if let Some(attempt) = self.active.take() {
            let now = self.state.now();
            let mut policy = self.state.policy();
            policy.ended(attempt, usage, now);
            let wake = policy.has_waiting();
            drop(policy);
            if wake {
                self.state.changed().notify_waiters();
            }
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.release(self.fact.usage);
        if let Some(words) = self.has_waited() {
            self.fact.reason = Some(words);
        }
        let mut policy = self.state.policy();
        policy.gone(&mut self.tries);
        if let Some(session) = &self.session {
            policy.left(session);
        }
        let wake = policy.has_waiting();
        drop(policy);
        if wake {
            self.state.changed().notify_waiters();
        }
        self.fact.took = self.began.elapsed();
        let ended = Fact {
            path: std::mem::take(&mut self.fact.path),
            pool: std::mem::take(&mut self.fact.pool),
            model: self.fact.model.take(),
            rule: self.fact.rule.take(),
            reason: self.fact.reason.take(),
            attempts: std::mem::take(&mut self.fact.attempts),
            method: self.fact.method.clone(),
            ..self.fact
        };
        self.state.facts().push(ended);
    }
}
