//! Carries an accepted WebSocket. Bytes pass as they come and are read in passing; only until the
//! first of substance has come from the upstream is anything held back, so that a key which has no
//! quota left can still be replaced.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::{Pin, pin};
use std::time::Duration;

use api_key_lb_core::plan::KeyId;
use api_key_lb_core::verdict::{Matter, Verdict};
use api_key_lb_core::wire::body::Need;
use api_key_lb_core::wire::websocket::{ClientTalk, Coding, Said, ServerTalk, same_terms};
use http::HeaderMap;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::handshake::Handshake;
use super::turns::Turns;
use crate::outcome::Outcomes;
use crate::record::Record;

/// Bytes that are asked of a socket at once.
const READ: usize = 16 << 10;
/// Longest time that messages without substance are held back, as with an answer over HTTP.
const HELD_WITHIN: Duration = Duration::from_secs(2);
/// Most bytes that are held back: two events of the responses API with an agent's tools in them.
const HELD_MOST: usize = 256 << 10;
/// How long the other side may be silent once one has ended: what was on its way, and a close.
const HALF_CLOSED: Duration = Duration::from_secs(5);
/// How long an upstream may take to accept what was sent before.
const WRITE_WITHIN: Duration = Duration::from_secs(10);
/// A close with "going away", as a server writes it …
const GOING_AWAY: [u8; 4] = [0x88, 0x02, 0x03, 0xe9];
/// … and as a client does: masked, with a mask that changes nothing.
const GOING_AWAY_MASKED: [u8; 8] = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9];

type Half<W> = (ReadHalf<W>, WriteHalf<W>);
type Io = TokioIo<Upgraded>;

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
struct Carrying<'h> {
    handshake: &'h Handshake,
    terms: &'h HeaderMap,
    client: Half<Io>,
    upstream: Half<Io>,
    ears: Ears<'h>,
}

struct Ears<'h> {
    client: ClientTalk<'h>,
    server: ServerTalk,
    turns: Turns<'h>,
}

impl Ears<'_> {
    /// Whether nothing runs, and neither side is in the middle of a message.
    fn is_at_rest(&self) -> bool {
        self.client.is_between() && self.server.is_between() && self.turns.is_idle()
    }

    fn hear_client(&mut self, bytes: &[u8]) {
        let turns = &mut self.turns;
        self.client.feed(bytes).for_each(|it| turns.created(it));
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
        let begun = tokio::time::timeout(idle, carrying.begin(&mut stopping)).await;
        match begun {
            Ok(Begun::Carry) => carrying.carry(idle, stopping).await,
            Ok(Begun::Stop) => carrying.stop().await,
            Ok(Begun::Over) | Err(_) => {}
        }
    }
}

/// The end of the process, which may have come already.
struct Stopping<'s, F> {
    signal: Pin<&'s mut F>,
    over: bool,
}

impl<F: Future<Output = ()>> Stopping<'_, F> {
    async fn wait(&mut self) {
        if !self.over {
            self.signal.as_mut().await;
            self.over = true;
        }
    }
}

/// What has begun.
enum Begun {
    /// There is something to carry.
    Carry,
    /// The process ends, and nothing was asked for.
    Stop,
    /// An end has left.
    Over,
}

/// What comes of what has been heard so far.
enum Decision {
    Hold,
    Pass,
    /// This key does not serve it.
    Refused(Verdict),
}

impl Carrying<'_> {
    /// Until there is something that the client may not see otherwise.
    async fn begin(&mut self, stopping: &mut Stopping<'_, impl Future<Output = ()>>) -> Begun {
        let most = usize::try_from(self.handshake.plan.limits.replay_bytes).unwrap_or(usize::MAX);
        let mut buffers = (vec![0; READ], vec![0; READ]);
        // What the client has sent, in case that it must be sent to another upstream.
        let mut sent = Vec::new();
        let mut held = Vec::new();
        let mut heard = Vec::new();
        let mut until = None;
        let mut is_writable = true;
        loop {
            let over = async {
                match until {
                    Some(until) => sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            let decision = tokio::select! {
                read = self.client.0.read(&mut buffers.0), if is_writable => {
                    let bytes = match read {
                        // Whoever carries it meets the end again.
                        Ok(0) | Err(_) => return self.pass(&held, heard, None).await,
                        Ok(count) => &buffers.0[..count],
                    };
                    self.ears.hear_client(bytes);
                    sent.extend_from_slice(bytes);
                    is_writable = write(&mut self.upstream.1, bytes).await;
                    if sent.len() > most {
                        Decision::Pass
                    } else {
                        Decision::Hold
                    }
                }
                read = self.upstream.0.read(&mut buffers.1) => match read {
                    Ok(0) | Err(_) => Decision::Refused(Verdict::new(Matter::Network, "network")),
                    Ok(count) => {
                        let bytes = &buffers.1[..count];
                        held.extend_from_slice(bytes);
                        until.get_or_insert_with(|| Instant::now() + HELD_WITHIN);
                        self.decide(bytes, &mut heard, held.len())
                    }
                },
                () = over => Decision::Pass,
                // What was asked for is answered first.
                () = stopping.wait(), if !stopping.over => {
                    if self.ears.client.count() == 0 {
                        return Begun::Stop;
                    }
                    Decision::Hold
                }
            };
            match decision {
                Decision::Hold => {}
                Decision::Pass => return self.pass(&held, heard, None).await,
                Decision::Refused(verdict) => {
                    // A refusal did nothing. Of a broken connection that is known only if there was
                    // nothing to do.
                    let may_resend = verdict.did_nothing() || self.ears.client.count() == 0;
                    if !self.ears.turns.refused(verdict, may_resend) || !self.shake_again().await {
                        return self.pass(&held, heard, Some(verdict)).await;
                    }
                    held.clear();
                    heard.clear();
                    until = None;
                    is_writable = write(&mut self.upstream.1, &sent).await;
                }
            }
        }
    }

    fn decide(&mut self, bytes: &[u8], heard: &mut Vec<Said>, held: usize) -> Decision {
        let turns = &self.ears.turns;
        let mut decision = if held > HELD_MOST {
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
                    Said::Going | Said::Done(..) | Said::Spent(_) | Said::Alive => Decision::Pass,
                };
            }
            heard.push(said);
        }
        decision
    }

    /// Makes a connection with another key. Whether there is one that the client cannot tell from the
    /// first.
    async fn shake_again(&mut self) -> bool {
        let asks = self.ears.turns.asks();
        let call = self.handshake.call(asks.session, asks.model, asks.bytes);
        let mut outcomes = Outcomes::default();
        let record = &mut self.ears.turns.record;
        let shaking = self.handshake.shake(&call, record, &mut outcomes);
        let Ok(accepting) = shaking.await else {
            return false;
        };
        let keys = &self.handshake.pool.keys;
        let key = keys.iter().find(|known| known.id == accepting.key.id);
        let Some(key) = key.filter(|_| same_terms(&accepting.head.headers, self.terms)) else {
            self.ears.turns.record.hand_over();
            return false;
        };
        self.upstream = split(TokioIo::new(accepting.upstream));
        self.ears.server = ServerTalk::new(Coding::of(self.terms));
        self.ears.turns.key = key;
        true
    }

    /// Hands on what was held back; from here on the client sees everything. `refused`: what was
    /// judged already.
    async fn pass(&mut self, held: &[u8], heard: Vec<Said>, refused: Option<Verdict>) -> Begun {
        let turns = &mut self.ears.turns;
        turns.settle();
        turns.relayed(held.len());
        for said in heard {
            turns.said(said, refused.is_some());
        }
        if held.is_empty() || write(&mut self.client.1, held).await {
            Begun::Carry
        } else {
            Begun::Over
        }
    }

    /// Ends it between messages, as a server does that goes away.
    async fn stop(mut self) {
        go_away(&mut self.client.1, &mut self.upstream.1).await;
        self.ears.turns.over(false);
    }

    /// Carries bytes both ways until both have ended.
    async fn carry(self, idle: Duration, mut stopping: Stopping<'_, impl Future<Output = ()>>) {
        let (mut client, mut upstream) = (self.client, self.upstream);
        let ears = RefCell::new(self.ears);
        let pace = Pace::new(idle);
        let by_upstream = Cell::new(false);
        let is_stopped = {
            let up = pump(&mut client.0, &mut upstream.1, &pace, |bytes| {
                ears.borrow_mut().hear_client(bytes);
            });
            let down = pump(&mut upstream.0, &mut client.1, &pace, |bytes| {
                ears.borrow_mut().hear_server(bytes);
            });
            let both = async {
                let (mut up, mut down) = (pin!(up), pin!(down));
                tokio::select! {
                    ended = up.as_mut() => {
                        ended?;
                        pace.half_closed();
                        down.await
                    }
                    ended = down.as_mut() => {
                        by_upstream.set(true);
                        ended?;
                        pace.half_closed();
                        up.await
                    }
                }
            };
            let rest = async {
                stopping.wait().await;
                loop {
                    let moved = pace.moved.notified();
                    if pace.writing.get() == 0 && ears.borrow().is_at_rest() {
                        return;
                    }
                    moved.await;
                }
            };
            tokio::select! {
                _ = both => false,
                () = pace.over() => false,
                () = rest => true,
            }
        };
        if is_stopped {
            go_away(&mut client.1, &mut upstream.1).await;
        }
        ears.into_inner().turns.over(by_upstream.get());
    }
}

/// How long it has been silent.
struct Pace {
    idle: Cell<Duration>,
    last: Cell<Instant>,
    /// Writes that have begun and not ended.
    writing: Cell<u8>,
    moved: Notify,
    nudged: Notify,
}

impl Pace {
    fn new(idle: Duration) -> Self {
        Self {
            idle: Cell::new(idle),
            last: Cell::new(Instant::now()),
            writing: Cell::new(0),
            moved: Notify::new(),
            nudged: Notify::new(),
        }
    }

    /// One side has ended; the other one has little time to.
    fn half_closed(&self) {
        self.last.set(Instant::now());
        self.idle.set(self.idle.get().min(HALF_CLOSED));
        self.nudged.notify_one();
    }

    /// Waits until it has been silent for too long.
    async fn over(&self) {
        loop {
            let until = self.last.get() + self.idle.get();
            if until <= Instant::now() {
                return;
            }
            tokio::select! {
                () = sleep_until(until) => {}
                () = self.nudged.notified() => {}
            }
        }
    }
}

/// Carries one direction to its end. What has been sent on is heard.
async fn pump(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    pace: &Pace,
    mut heard: impl FnMut(&[u8]),
) -> std::io::Result<()> {
    let mut buffer = vec![0; READ];
    loop {
        let count = from.read(&mut buffer).await?;
        pace.last.set(Instant::now());
        if count == 0 {
            return to.shutdown().await;
        }
        let bytes = &buffer[..count];
        pace.writing.set(pace.writing.get() + 1);
        to.write_all(bytes).await?;
        to.flush().await?;
        pace.writing.set(pace.writing.get() - 1);
        pace.last.set(Instant::now());
        heard(bytes);
        pace.moved.notify_waiters();
    }
}

/// Whether it could be written.
async fn write(to: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> bool {
    let writing = async {
        to.write_all(bytes).await?;
        to.flush().await
    };
    matches!(
        tokio::time::timeout(WRITE_WITHIN, writing).await,
        Ok(Ok(()))
    )
}

/// Tells both ends that it is over.
async fn go_away(client: &mut (impl AsyncWrite + Unpin), upstream: &mut (impl AsyncWrite + Unpin)) {
    let _ = tokio::join!(
        write(client, &GOING_AWAY),
        write(upstream, &GOING_AWAY_MASKED)
    );
    let _ = tokio::join!(client.shutdown(), upstream.shutdown());
}
