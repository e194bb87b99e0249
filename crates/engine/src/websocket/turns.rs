//! The responses that are made over one WebSocket: each counts as a request of its own, made with the
//! key of the connection.

use std::collections::VecDeque;

use api_key_lb_core::fact::{Ending, ModelId};
use api_key_lb_core::object::References;
use api_key_lb_core::plan::Key;
use api_key_lb_core::policy::Bound;
use api_key_lb_core::policy::{Asked, Session};
use api_key_lb_core::verdict::{Matter, Verdict};
use api_key_lb_core::wire::body::BodyFacts;
use api_key_lb_core::wire::signals::Signals;
use api_key_lb_core::wire::websocket::{Created, Said};
use api_key_lb_core::wire::{judge, limits};
use http::{HeaderMap, Method, StatusCode};

use super::handshake::Handshake;
use crate::record::Record;

/// Most responses of one connection that are kept account of at once; a provider takes a few.
const MOST: usize = 64;
/// How they are called in the log.
const METHOD: &[u8] = b"WS";

/// Keeps account of one connection.
pub(super) struct Turns<'h> {
    handshake: &'h Handshake,
    /// The key that the connection was made with.
    pub(super) key: &'h Key,
    /// Of the connection. Its attempt runs until something is known that ends.
    pub(super) record: Record,
    running: VecDeque<Turn>,
    /// The model that a message has named for all that follows.
    model: Option<String>,
    /// Whether what runs has begun with this key for good.
    settled: bool,
    /// Whether it has been seen that responses begin and end.
    has_ends: bool,
    /// Whether anything has been served.
    served: bool,
}

/// One response.
struct Turn {
    record: Record,
    asks: Asks,
    served: bool,
}

/// What is asked of the policy for it.
#[derive(Clone)]
pub(super) struct Asks {
    pub(super) session: Option<Session>,
    pub(super) model: Option<ModelId>,
    pub(super) bytes: u64,
    pub(super) bound: Bound,
}

impl Asks {
    const fn of<'a>(&'a self, handshake: &'a Handshake) -> Asked<'a> {
        Asked {
            pool: &handshake.pool,
            session: self.session.as_ref(),
            model: self.model,
            bytes: self.bytes,
            patience: handshake.patience,
            bound: self.bound,
        }
    }
}

impl<'h> Turns<'h> {
    pub(super) const fn new(handshake: &'h Handshake, key: &'h Key, record: Record) -> Self {
        Self {
            handshake,
            key,
            record,
            running: VecDeque::new(),
            model: None,
            settled: false,
            has_ends: false,
            served: false,
        }
    }

    /// The client asks for a response.
    pub(super) fn created(&mut self, created: Created) {
        let (identity, mut facts) = self.handshake.recognise(created.facts);
        let state = &self.handshake.state;
        let method = Method::from_bytes(METHOD).unwrap_or(Method::GET);
        let path = self.handshake.uri.path();
        let mut record = Record::new(
            std::sync::Arc::clone(state),
            method,
            path,
            &self.handshake.own,
        );
        let named = References {
            named: std::mem::take(&mut facts.references),
            ..References::default()
        };
        let model = facts.model.clone().or_else(|| self.model().cloned());
        let facts = BodyFacts { model, ..facts };
        record.request(
            &self.handshake.pool,
            &facts,
            &identity,
            named,
            created.bytes,
        );
        if self.running.len() == MOST {
            self.running.pop_front();
        }
        self.has_ends = true;
        self.running.push_back(Turn {
            asks: Asks {
                session: record.session().cloned(),
                model: facts.model.as_deref().map(ModelId::of),
                bytes: created.bytes,
                bound: if self.settled {
                    // What it names is this connection's, whose account is settled.
                    Bound::Free
                } else {
                    record.bound()
                },
            },
            record,
            served: false,
        });
        if self.settled {
            self.begin();
        }
    }

    /// A message names the model of all that follows.
    pub(super) fn uses(&mut self, model: String) {
        self.record.asks_for(&model);
        self.model = Some(model);
    }

    fn model(&self) -> Option<&String> {
        self.model.as_ref().or(self.handshake.model.as_ref())
    }

    /// Whether the client has said more of what it wants than its handshake did.
    pub(super) fn is_asked(&self) -> bool {
        !self.running.is_empty() || self.model.is_some()
    }

    /// Whether that would rather have gone to another key.
    pub(super) fn is_misplaced(&self) -> bool {
        let asks = self.asks();
        let state = &self.handshake.state;
        let (now, policy) = (state.now(), state.policy());
        policy.is_misplaced(&asks.of(self.handshake), self.key, now)
    }

    /// It stays with this key after all.
    pub(super) fn stays(&mut self) {
        if !self.record.is_running() {
            let (asks, now) = (self.asks(), self.handshake.state.now());
            let asked = asks.of(self.handshake);
            self.record.begin(&asked, self.key, now);
        }
        self.record.answered(StatusCode::SWITCHING_PROTOCOLS);
    }

    /// From now on this key serves what is asked for.
    pub(super) fn settle(&mut self) {
        self.settled = true;
        self.begin();
    }

    /// Begins the attempts of what has none yet.
    fn begin(&mut self) {
        if self.running.is_empty() {
            return;
        }
        self.record.hand_over();
        let now = self.handshake.state.now();
        for turn in &mut self.running {
            if !turn.record.is_running() {
                let asked = turn.asks.of(self.handshake);
                turn.record.begin(&asked, self.key, now);
            }
        }
    }

    /// What the oldest response that runs asks, or else the handshake.
    pub(super) fn asks(&self) -> Asks {
        match self.running.front() {
            Some(turn) => turn.asks.clone(),
            None => Asks {
                session: self.record.session().cloned(),
                model: self.model().map(|model| ModelId::of(model)),
                bytes: 0,
                bound: self.record.bound(),
            },
        }
    }

    /// The connection has not served the first thing that was asked; whether another may be made.
    pub(super) fn refused(&mut self, verdict: Verdict, may_resend: bool) -> bool {
        let now = self.handshake.state.now();
        let asks = self.asks();
        self.record.answered(status_of(None, verdict));
        let asked = asks.of(self.handshake);
        self.record.judged(&asked, verdict, may_resend, now)
    }

    /// Takes note of what the server says. `is_judged`: that it failed is known already.
    pub(super) fn said(&mut self, said: Said, is_judged: bool) {
        match said {
            Said::Preliminary(headers) => self.limits(&headers),
            Said::Begun => {
                // Realtime begins some itself.
                if self.running.is_empty() {
                    self.created(Created {
                        facts: BodyFacts::default(),
                        bytes: 0,
                    });
                }
            }
            Said::Going => self.serves(),
            Said::Done { usage, id, given } => {
                self.serves();
                if let Some(mut turn) = self.running.pop_front() {
                    turn.record.answered(StatusCode::OK);
                    turn.record.first_byte(StatusCode::OK);
                    turn.record.ends(Ending::Complete);
                    if let Some(usage) = usage {
                        turn.record.used(usage);
                    }
                    if let Some(id) = id {
                        turn.record.gave_out(id);
                    }
                    turn.record.gave(&given);
                } else if let Some(usage) = usage {
                    self.record.used_also(usage);
                }
            }
            Said::Spent(usage) => self.record.used_also(usage),
            Said::Failed {
                signals,
                headers,
                ends,
            } => {
                self.limits(&headers);
                self.failed(&signals, &headers, ends, is_judged);
            }
            Said::Closed(Some(signals)) => {
                let headers = HeaderMap::new();
                let verdict = self.verdict(&signals, &headers);
                if verdict.is_throttle() || matters_to_key(verdict) {
                    self.failed(&signals, &headers, true, is_judged);
                }
            }
            Said::Closed(None) | Said::Alive => {}
        }
    }

    /// What is left of limits.
    pub(super) fn limits(&self, headers: &HeaderMap) {
        if headers.is_empty() {
            return;
        }
        let state = &self.handshake.state;
        let now = state.now();
        let left = limits::read(headers, self.key.target.provider(), now);
        let model = self.asks().model;
        state.policy().told(self.key, model, &left, None, now);
    }

    /// What an error means.
    pub(super) fn verdict(&self, signals: &Signals, headers: &HeaderMap) -> Verdict {
        judge::judge_by(
            &self.handshake.plan.error_rules,
            self.key.target.provider(),
            // It comes over a connection that was accepted.
            StatusCode::OK,
            headers,
            signals,
            self.handshake.state.now(),
        )
    }

    /// Something of substance has come.
    fn serves(&mut self) {
        let now = self.handshake.state.now();
        if let Some(turn) = self.running.iter_mut().find(|turn| !turn.served) {
            turn.served = true;
            let asked = turn.asks.of(self.handshake);
            turn.record.judged(&asked, Verdict::SERVED, false, now);
        } else if !self.served && self.running.is_empty() {
            let asks = self.asks();
            let asked = asks.of(self.handshake);
            self.record.judged(&asked, Verdict::SERVED, false, now);
        }
        self.served = true;
    }

    fn failed(&mut self, signals: &Signals, headers: &HeaderMap, ends: bool, is_judged: bool) {
        let verdict = self.verdict(signals, headers);
        if self.running.is_empty() && !self.record.is_running() && verdict.is_error() {
            // Nothing was asked for as far as was seen; it is this key's trouble all the same.
            self.created(Created {
                facts: BodyFacts::default(),
                bytes: 0,
            });
        }
        let now = self.handshake.state.now();
        let Some(turn) = self.running.front_mut() else {
            if !is_judged {
                let asks = self.asks();
                let asked = asks.of(self.handshake);
                self.record.judged(&asked, verdict, false, now);
            }
            return;
        };
        if !is_judged {
            let asked = turn.asks.of(self.handshake);
            turn.record.judged(&asked, verdict, false, now);
        }
        if (ends || !turn.served)
            && let Some(mut turn) = self.running.pop_front()
        {
            let status = status_of(signals.status, verdict);
            turn.record.answered(status);
            turn.record.first_byte(status);
            turn.record.ends(Ending::Complete);
        }
    }

    /// Whether nothing runs, as far as can be known.
    pub(super) fn is_idle(&self) -> bool {
        self.has_ends && self.running.is_empty()
    }

    /// So many bytes came from the server.
    pub(super) fn relayed(&mut self, bytes: usize) {
        self.record.relayed(bytes);
        if let Some(turn) = self.running.front_mut() {
            turn.record.relayed(bytes);
        }
    }

    /// The connection is over; `by_upstream`, which may have cut something off.
    pub(super) fn over(mut self, by_upstream: bool) {
        if by_upstream {
            for turn in &mut self.running {
                turn.record.ends(Ending::Cut);
            }
        }
        if self.running.is_empty() {
            self.record.ends(Ending::Complete);
        } else if by_upstream {
            self.record.ends(Ending::Cut);
        }
    }
}

const fn matters_to_key(verdict: Verdict) -> bool {
    matches!(verdict.matter, Matter::Key | Matter::Credit)
}

/// The status that an error over HTTP would have had.
fn status_of(stated: Option<u16>, verdict: Verdict) -> StatusCode {
    let stated = stated.and_then(|status| StatusCode::from_u16(status).ok());
    stated.unwrap_or(match verdict.matter {
        Matter::Request | Matter::State => StatusCode::BAD_REQUEST,
        Matter::Key | Matter::Suspicion => StatusCode::UNAUTHORIZED,
        _ if verdict.is_throttle() => StatusCode::TOO_MANY_REQUESTS,
        _ => StatusCode::BAD_GATEWAY,
    })
}
