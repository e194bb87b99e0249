//! Carries an accepted WebSocket. Bytes pass as they come and are read in passing; only until the
//! first of substance has come from the upstream is anything held back, so that a key which has no
//! quota left can still be replaced.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::{Pin, pin};
use std::time::Duration;

use api_key_lb_core::plan::KeyId;
use api_key_lb_core::wire::body::Need;
use api_key_lb_core::wire::dialect::Dialect;
use api_key_lb_core::wire::websocket::{ClientTalk, Coding, ServerTalk};
use http::HeaderMap;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{ReadHalf, WriteHalf, split};

use super::beginning::Begun;
use super::handshake::Handshake;
use super::pump::{Ended, Pace, linger, pump, tell};
use super::turns::Turns;
use crate::record::Record;

/// A close with "going away", as a server writes it …
const GOING_AWAY: [u8; 4] = [0x88, 0x02, 0x03, 0xe9];
/// … and as a client does: masked, with a mask that changes nothing.
const GOING_AWAY_MASKED: [u8; 8] = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9];

pub(super) type Half = (ReadHalf<TokioIo<Upgraded>>, WriteHalf<TokioIo<Upgraded>>);

/// A WebSocket of which both ends have agreed.
pub(crate) struct Tunnel {
    pub(super) handshake: Handshake,
    pub(super) record: Record,
    pub(super) key: KeyId,
    /// The head with which the upstream has accepted.
    pub(super) terms: HeaderMap,
    pub(super) downstream: OnUpgrade,
    pub(super) upstream: Upgraded,
}

/// Both ends, and who listens to them.
pub(super) struct Carrying<'h> {
    pub(super) handshake: &'h Handshake,
    pub(super) terms: &'h HeaderMap,
    pub(super) client: Half,
    pub(super) upstream: Half,
    pub(super) ears: Ears<'h>,
}

pub(super) struct Ears<'h> {
    pub(super) client: ClientTalk<'h>,
    pub(super) server: ServerTalk,
    pub(super) turns: Turns<'h>,
}

impl Ears<'_> {
    /// Whether nothing runs, and neither side is in the middle of a message.
    fn is_at_rest(&self) -> bool {
        self.client.is_between() && self.server.is_between() && self.turns.is_idle()
    }

    pub(super) fn hear_client(&mut self, bytes: &[u8]) {
        let turns = &mut self.turns;
        self.client.feed(bytes).for_each(|it| turns.created(it));
        if let Some(model) = self.client.take_model() {
            turns.uses(model);
        }
    }

    fn hear_server(&mut self, bytes: &[u8]) {
        let turns = &mut self.turns;
        turns.relayed(bytes.len());
        self.server.feed(bytes).for_each(|it| turns.said(it, false));
    }
}

impl Tunnel {
    /// Carries it to its end. Once `stopping` is over, it ends as soon as nothing runs.
    pub(crate) async fn run(self: Box<Self>, stopping: impl Future<Output = ()>) {
        let Self {
            handshake,
            record,
            key,
            terms,
            downstream,
            upstream,
        } = *self;
        let Ok(downstream) = downstream.await else {
            return;
        };
        let Some(key) = handshake.pool.keys.iter().find(|known| known.id == key) else {
            return;
        };
        let coding = Coding::of(&terms);
        let need = Need {
            stores: false,
            splice: false,
            ..handshake
                .reading()
                .map_or(Need::ALL, |reading| reading.need())
        };
        let paths = handshake.plan.recognition.ladder.paths();
        let most = handshake.plan.limits.replay_bytes;
        let mut carrying = Carrying {
            terms: &terms,
            client: split(TokioIo::new(downstream)),
            upstream: split(TokioIo::new(upstream)),
            ears: Ears {
                client: ClientTalk::new(coding, paths, need, most),
                server: ServerTalk::new(coding),
                turns: Turns::new(&handshake, key, record),
            },
            handshake: &handshake,
        };
        let idle = handshake.plan.timing.websocket_idle_timeout;
        let mut stopping = Stopping {
            signal: pin!(stopping),
            over: false,
        };
        match carrying.begin(idle, &mut stopping).await {
            Begun::Carry { up, down } => carrying.carry(idle, stopping, (up, down)).await,
            Begun::Stop => carrying.go_away().await,
            Begun::Silent => carrying.ears.turns.over(true),
            Begun::Left => {}
        }
    }
}

/// The end of the process, which may have come already.
pub(super) struct Stopping<'s, F> {
    signal: Pin<&'s mut F>,
    pub(super) over: bool,
}

impl<F: Future<Output = ()>> Stopping<'_, F> {
    pub(super) async fn wait(&mut self) {
        if !self.over {
            self.signal.as_mut().await;
            self.over = true;
        }
    }
}

/// Why it is over.
enum Over {
    /// An end has left.
    Left,
    /// Nothing has passed for too long.
    Silent,
    /// Nothing runs, and it shall end.
    Rest,
}

impl Carrying<'_> {
    /// Ends it between messages, as a server does that goes away.
    async fn go_away(self) {
        let (mut client, mut upstream) = (self.client, self.upstream);
        let _ = tokio::join!(
            tell(&mut client.1, &GOING_AWAY),
            tell(&mut upstream.1, &GOING_AWAY_MASKED)
        );
        self.ears.turns.over(false);
        tokio::join!(
            linger(&mut client.0, &mut client.1),
            linger(&mut upstream.0, &mut upstream.1)
        );
    }

    /// Carries bytes both ways until both have ended; what has been held back goes first.
    async fn carry(
        self,
        idle: Duration,
        mut stopping: Stopping<'_, impl Future<Output = ()>>,
        (first_up, first_down): (Vec<u8>, Vec<u8>),
    ) {
        let Self {
            handshake,
            terms,
            mut client,
            mut upstream,
            ears,
        } = self;
        let key = ears.turns.key.id;
        let ears = RefCell::new(ears);
        let pace = Pace::new(idle);
        let by_upstream = Cell::new(false);
        let over = {
            let hear_client = |bytes: &[u8]| ears.borrow_mut().hear_client(bytes);
            let hear_server = |bytes: &[u8]| ears.borrow_mut().hear_server(bytes);
            let (from, to) = (&mut client.0, &mut upstream.1);
            let up = pump(from, to, &pace, first_up, hear_client);
            let (from, to) = (&mut upstream.0, &mut client.1);
            let down = pump(from, to, &pace, first_down, hear_server);
            let both = async {
                let (mut up, mut down) = (pin!(up), pin!(down));
                tokio::select! {
                    ended = up.as_mut() => {
                        by_upstream.set(ended == Ended::Receiver);
                        // One that takes no more may have said why.
                        if ended != Ended::Sender {
                            pace.half_closed();
                            down.await;
                        }
                    }
                    ended = down.as_mut() => {
                        by_upstream.set(ended != Ended::Receiver);
                        if ended == Ended::Whole {
                            pace.half_closed();
                            up.await;
                        }
                    }
                }
            };
            let rest = async {
                // A key that is gone shall serve nothing more. Who speaks the responses API connects
                // again and goes on; another conversation would be lost.
                if handshake.dialect() == Dialect::Responses {
                    tokio::select! {
                        () = stopping.wait() => {}
                        () = handshake.is_without(key) => {}
                    }
                } else {
                    stopping.wait().await;
                }
                loop {
                    let moved = pace.moved.notified();
                    if pace.is_still() && ears.borrow().is_at_rest() {
                        return;
                    }
                    moved.await;
                }
            };
            tokio::select! {
                () = both => Over::Left,
                () = pace.over() => Over::Silent,
                () = rest => Over::Rest,
            }
        };
        let ears = ears.into_inner();
        let at_rest = pace.is_still() && ears.is_at_rest();
        match over {
            Over::Silent if !at_rest || pace.is_half_closed() => {
                ears.turns.over(by_upstream.get() || !pace.is_half_closed());
            }
            Over::Left => {
                ears.turns.over(by_upstream.get());
                if by_upstream.get() {
                    linger(&mut client.0, &mut client.1).await;
                }
            }
            Over::Rest | Over::Silent => {
                let carrying = Carrying {
                    handshake,
                    terms,
                    client,
                    upstream,
                    ears,
                };
                carrying.go_away().await;
            }
        }
    }
}
