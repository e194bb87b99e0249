//! The account kept of one request while it lives; when it is dropped, however that comes about,
//! the fact goes out and the key's slot is freed.

use std::sync::Arc;
use std::time::Instant;

use api_key_lb_core::fact::{Affinity, Attempt, Ending, Fact, Usage};
use api_key_lb_core::plan::KeyId;
use api_key_lb_core::wire::body::BodyFacts;
use api_key_lb_core::wire::identity::Identity;
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
    fact: Fact,
}

impl Record {
    pub(crate) fn new(state: Arc<State>, method: Method, path: &str) -> Self {
        Self {
            began: Instant::now(),
            active: None,
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

    pub(crate) fn request(
        &mut self,
        pool: &str,
        facts: BodyFacts,
        identity: Option<Identity>,
        bytes: u64,
    ) {
        pool.clone_into(&mut self.fact.pool);
        self.fact.model = facts.model;
        self.fact.session = identity.map(|identity| identity.session);
        self.fact.rule = identity.map(|identity| identity.rule);
        self.fact.request_bytes = bytes;
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
        self.fact.took = self.began.elapsed();
        let ended = Fact {
            path: std::mem::take(&mut self.fact.path),
            pool: std::mem::take(&mut self.fact.pool),
            model: self.fact.model.take(),
            attempts: std::mem::take(&mut self.fact.attempts),
            method: self.fact.method.clone(),
            ..self.fact
        };
        self.state.facts().push(ended);
    }
}
