//! The account kept of one request while it lives; when it is dropped, however that comes about,
//! the fact goes out and the key's slot is freed.

use std::sync::Arc;
use std::time::Instant;

use api_key_lb_core::conversation::{AnswerId, Identity};
use api_key_lb_core::fact::{Affinity, Attempt, Ending, Fact, Part, Usage};
use api_key_lb_core::plan::{KeyId, Pool};
use api_key_lb_core::policy::Session;
use api_key_lb_core::wire::body::BodyFacts;
use http::{Method, StatusCode};

use crate::state::State;

/// One request's record. A client that leaves drops the future that owns it, so "left" is what
/// it says until something better is known.
#[derive(Debug)]
pub(crate) struct Record {
    state: Arc<State>,
    began: Instant,
    /// The key whose attempt is running.
    active: Option<KeyId>,
    session: Option<Session>,
    fact: Fact,
}

impl Record {
    pub(crate) fn new(state: Arc<State>, method: Method, path: &str) -> Self {
        Self {
            began: Instant::now(),
            active: None,
            session: None,
            fact: Fact {
                began: state.now(),
                first_byte: std::time::Duration::ZERO,
                took: std::time::Duration::ZERO,
                method,
                path: path.to_owned(),
                pool: String::new(),
                status: 0,
                model: None,
                session: None,
                rule: None,
                part: Part::Whole,
                affinity: Affinity::None,
                attempts: Vec::new(),
                usage: None,
                request_bytes: 0,
                response_bytes: 0,
                ending: Ending::ClientLeft,
            },
            state,
        }
    }

    /// It has been read: to which pool it goes, what it asks, and who asks.
    pub(crate) fn request(
        &mut self,
        pool: &Pool,
        facts: &BodyFacts,
        identity: &Identity,
        bytes: u64,
    ) {
        let now = self.state.now();
        let mut policy = self.state.policy();
        self.session = policy.recognise(pool, identity, now);
        if let Some(session) = &self.session {
            policy.entered(pool, identity, session, bytes, now);
        }
        drop(policy);
        pool.name.clone_into(&mut self.fact.pool);
        self.fact.model.clone_from(&facts.model);
        if let Some(session) = &self.session {
            self.fact.session = Some(session.id);
            self.fact.rule = Some(session.rule.clone());
            self.fact.part = session.part;
        }
        self.fact.request_bytes = bytes;
    }

    /// The conversation it belongs to.
    pub(crate) const fn session(&self) -> Option<&Session> {
        self.session.as_ref()
    }

    /// The answer holds something by which the client can continue the session.
    pub(crate) fn gave_out(&mut self, answer: AnswerId) {
        if let Some(session) = &self.session {
            let now = self.state.now();
            let mut policy = self.state.policy();
            policy.gave_out(&self.fact.pool, answer, session.id, now);
        }
    }

    /// An attempt with `key` begins; the policy has been told.
    pub(crate) fn attempt(&mut self, key: KeyId, affinity: Affinity) {
        self.release(None);
        self.active = Some(key);
        self.fact.affinity = affinity;
        self.fact.attempts.push(Attempt { key, status: None });
    }

    /// The running attempt was answered.
    pub(crate) fn answered(&mut self, status: StatusCode) {
        if let Some(attempt) = self.fact.attempts.last_mut() {
            attempt.status = Some(status.as_u16());
        }
    }

    /// The keys tried so far.
    pub(crate) fn tried(&self) -> impl Iterator<Item = KeyId> {
        self.fact.attempts.iter().map(|attempt| attempt.key)
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

    /// The running attempt is over; its key's slot is free.
    fn release(&mut self, usage: Option<Usage>) {
        if let Some(key) = self.active.take() {
            let mut policy = self.state.policy();
            if let Some(usage) = usage {
                policy.used(key, usage);
            }
            policy.ended(key);
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.release(self.fact.usage);
        if let Some(session) = &self.session {
            self.state.policy().left(session);
        }
        self.fact.took = self.began.elapsed();
        let ended = Fact {
            path: std::mem::take(&mut self.fact.path),
            pool: std::mem::take(&mut self.fact.pool),
            model: self.fact.model.take(),
            rule: self.fact.rule.take(),
            attempts: std::mem::take(&mut self.fact.attempts),
            method: self.fact.method.clone(),
            ..self.fact
        };
        self.state.facts().push(ended);
    }
}
