//! The beginning of a WebSocket, until the first of substance has come from its upstream: what has
//! come is held back, and what was sent is kept, so that another key can take over unseen.

use std::future::{Future, pending};
use std::io;
use std::pin::pin;
use std::time::Duration;

use api_key_lb_core::plan::KeyId;
use api_key_lb_core::verdict::{Matter, Verdict};
use api_key_lb_core::wire::websocket::{Coding, Said, ServerTalk, same_terms};
use http::HeaderMap;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncWriteExt, split};
use tokio::time::{Instant, sleep_until};

use super::handshake::Never;
use super::pump::{READ, read};
use super::tunnel::{Carrying, Stopping};
use crate::outcome::Outcomes;

/// Longest time that messages without substance are held back, as with an answer over HTTP.
const HELD_WITHIN: Duration = Duration::from_secs(2);
/// Most bytes that are held back: two events of the responses API with an agent's tools in them.
const HELD_MOST: usize = 256 << 10;

/// What has begun.
pub(super) enum Begun {
    /// There is something to carry, and this goes first.
    Carry {
        /// To the upstream …
        up: Vec<u8>,
        /// … and to the client.
        down: Vec<u8>,
    },
    /// The process ends, and nothing was asked for.
    Stop,
    /// Nothing has come for too long.
    Silent,
    /// The client has left.
    Left,
}

/// What comes of what has been heard so far.
enum Decision {
    Hold,
    Pass,
    /// This key does not serve it.
    Refused(Verdict),
}

/// What has happened.
enum Step {
    FromClient(io::Result<Vec<u8>>),
    FromUpstream(io::Result<Vec<u8>>),
    ToUpstream(io::Result<usize>),
    Due,
    Silent,
    Stopping,
}

/// What came of a second handshake.
#[derive(PartialEq, Eq)]
enum Replaced {
    Yes,
    No,
    /// The client has left meanwhile.
    Left,
}

/// What has passed so far.
#[derive(Default)]
struct Passed {
    /// What the client has sent, in case that it must be sent to another upstream …
    sent: Vec<u8>,
    /// … how much of that this one has taken, and whether all of it is on its way.
    taken: usize,
    flushed: bool,
    /// Whether it takes no more.
    is_deaf: bool,
    /// What the upstream has sent, and what that says.
    held: Vec<u8>,
    heard: Vec<Said>,
    /// Until when that is held back.
    until: Option<Instant>,
}

impl Passed {
    fn again(&mut self) {
        *self = Self {
            sent: std::mem::take(&mut self.sent),
            ..Self::default()
        };
    }
}

impl Carrying<'_> {
    /// Until there is something that the client may not see otherwise.
    pub(super) async fn begin(
        &mut self,
        idle: Duration,
        stopping: &mut Stopping<'_, impl Future<Output = ()>>,
    ) -> Begun {
        let most = usize::try_from(self.handshake.plan.limits.replay_bytes).unwrap_or(usize::MAX);
        let mut passed = Passed::default();
        let mut quiet = Instant::now();
        let mut is_placed = self.handshake.pool.keys.len() < 2;
        loop {
            let step = self.step(&passed, quiet + idle, stopping).await;
            if !matches!(step, Step::Due | Step::Stopping) {
                quiet = Instant::now();
            }
            let decision = match step {
                Step::FromClient(Ok(bytes)) if !bytes.is_empty() => {
                    self.ears.hear_client(&bytes);
                    passed.sent.extend_from_slice(&bytes);
                    passed.flushed = false;
                    if passed.sent.len() > most {
                        Decision::Pass
                    } else {
                        if !is_placed && self.ears.turns.is_asked() {
                            is_placed = true;
                            // The end of what asks has not been sent yet.
                            if self.ears.turns.is_misplaced() {
                                let current = Some(self.ears.turns.key.id);
                                match self.replace(current, &mut passed).await {
                                    Replaced::Left => return Begun::Left,
                                    Replaced::Yes => {}
                                    Replaced::No => self.ears.turns.stays(),
                                }
                            }
                        }
                        Decision::Hold
                    }
                }
                // Whoever carries it meets the end again.
                Step::FromClient(_) => return self.pass(passed, None),
                Step::ToUpstream(Ok(count)) if count > 0 || passed.sent.len() == passed.taken => {
                    passed.flushed = count == 0;
                    passed.taken += count;
                    Decision::Hold
                }
                Step::ToUpstream(_) => {
                    passed.is_deaf = true;
                    Decision::Hold
                }
                Step::FromUpstream(Ok(bytes)) if !bytes.is_empty() => {
                    passed.held.extend_from_slice(&bytes);
                    let until = Instant::now() + HELD_WITHIN;
                    passed.until.get_or_insert(until);
                    self.decide(&bytes, &mut passed)
                }
                Step::FromUpstream(_) => {
                    Decision::Refused(Verdict::new(Matter::Network, "network"))
                }
                Step::Due => Decision::Pass,
                Step::Silent => return Begun::Silent,
                // What was asked for is answered first.
                Step::Stopping if self.ears.client.count() == 0 => return Begun::Stop,
                Step::Stopping => Decision::Hold,
            };
            match decision {
                Decision::Hold => {}
                Decision::Pass => return self.pass(passed, None),
                Decision::Refused(verdict) => {
                    // A refusal did nothing. Of a broken connection that is known only if there was
                    // nothing to do.
                    let may_resend = verdict.did_nothing() || self.ears.client.count() == 0;
                    if !self.ears.turns.refused(verdict, may_resend) {
                        return self.pass(passed, Some(verdict));
                    }
                    match self.replace(None, &mut passed).await {
                        Replaced::Yes => {}
                        Replaced::No => return self.pass(passed, Some(verdict)),
                        Replaced::Left => return Begun::Left,
                    }
                }
            }
        }
    }

    async fn step(
        &mut self,
        passed: &Passed,
        silent: Instant,
        stopping: &mut Stopping<'_, impl Future<Output = ()>>,
    ) -> Step {
        let pending_up = &passed.sent[passed.taken..];
        let is_pending = !pending_up.is_empty() || !passed.flushed;
        let is_writing = is_pending && !passed.is_deaf;
        let to = &mut self.upstream.1;
        let writing = async {
            if pending_up.is_empty() {
                to.flush().await.map(|()| 0)
            } else {
                to.write(pending_up).await
            }
        };
        let due = async {
            match passed.until {
                Some(until) => sleep_until(until).await,
                None => pending().await,
            }
        };
        tokio::select! {
            came = read(&mut self.client.0), if pending_up.len() < READ => Step::FromClient(came),
            written = writing, if is_writing => Step::ToUpstream(written),
            came = read(&mut self.upstream.0) => Step::FromUpstream(came),
            () = due => Step::Due,
            () = sleep_until(silent) => Step::Silent,
            () = stopping.wait(), if !stopping.over => Step::Stopping,
        }
    }

    fn decide(&mut self, bytes: &[u8], passed: &mut Passed) -> Decision {
        let turns = &self.ears.turns;
        let mut decision = if passed.held.len() > HELD_MOST {
            Decision::Pass
        } else {
            Decision::Hold
        };
        for said in self.ears.server.feed(bytes) {
            if let Decision::Hold = decision {
                decision = match &said {
                    Said::Preliminary(_) | Said::Begun => Decision::Hold,
                    Said::Failed {
                        signals, headers, ..
                    } => Decision::Refused(turns.verdict(signals, headers)),
                    Said::Closed(Some(signals)) => {
                        Decision::Refused(turns.verdict(signals, &HeaderMap::new()))
                    }
                    Said::Closed(None) => {
                        Decision::Refused(Verdict::new(Matter::Network, "network"))
                    }
                    Said::Going | Said::Done { .. } | Said::Spent(_) | Said::Alive => {
                        Decision::Pass
                    }
                };
            }
            passed.heard.push(said);
        }
        decision
    }

    /// Makes a connection with another key, unless that turns out to be the `current` one; whether
    /// there is one that the client cannot tell from the first.
    async fn replace(&mut self, current: Option<KeyId>, passed: &mut Passed) -> Replaced {
        let turns = &mut self.ears.turns;
        for said in &passed.heard {
            // Nobody else hears what it has said of its limits.
            if let Said::Preliminary(headers) | Said::Failed { headers, .. } = said {
                turns.limits(headers);
            }
        }
        let asks = turns.asks();
        let call = self
            .handshake
            .call(asks.session, asks.model, asks.bytes, asks.bound);
        let mut outcomes = Outcomes::default();
        // What the client sends meanwhile, if only that it leaves.
        let mut more = Vec::new();
        let shaken = {
            let shaking = self
                .handshake
                .shake(&call, current, &mut turns.record, &mut outcomes);
            let mut shaking = pin!(shaking);
            loop {
                tokio::select! {
                    shaken = shaking.as_mut() => break shaken,
                    came = read(&mut self.client.0), if more.len() < READ => match came {
                        Ok(bytes) if !bytes.is_empty() => more.extend_from_slice(&bytes),
                        _ => return Replaced::Left,
                    },
                }
            }
        };
        let keys = &self.handshake.pool.keys;
        let replaced = match shaken {
            Ok(accepting) => {
                let key = keys.iter().find(|known| known.id == accepting.key.id);
                match key.filter(|_| same_terms(&accepting.head.headers, self.terms)) {
                    Some(key) => {
                        turns.key = key;
                        self.upstream = split(TokioIo::new(accepting.upstream));
                        self.ears.server = ServerTalk::new(Coding::of(self.terms));
                        passed.again();
                        Replaced::Yes
                    }
                    None => {
                        turns.record.hand_over();
                        Replaced::No
                    }
                }
            }
            Err(Never::Same) => Replaced::No,
            Err(_) => {
                turns.record.hand_over();
                Replaced::No
            }
        };
        if !more.is_empty() {
            self.ears.hear_client(&more);
            passed.sent.extend_from_slice(&more);
            passed.flushed = false;
        }
        replaced
    }

    /// Hands on what was held back; from here on the client sees everything. `refused`: what was
    /// judged already.
    fn pass(&mut self, passed: Passed, refused: Option<Verdict>) -> Begun {
        let turns = &mut self.ears.turns;
        turns.settle();
        turns.relayed(passed.held.len());
        for said in passed.heard {
            turns.said(said, refused.is_some());
        }
        let mut up = passed.sent;
        Begun::Carry {
            up: up.split_off(passed.taken),
            down: passed.held,
        }
    }
}
