//! One worker: a thread with a single-threaded runtime, accepting and serving until told to stop.

use std::cell::Cell;
use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use api_key_lb_core::Plan;
use http::header::{CONNECTION, HeaderValue};
use http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{Notify, watch};

use crate::error::EngineError;
use crate::exchange;
use crate::replies::Answer;
use crate::state::State;
use crate::upstream::{Connector, Trust, Upstreams};
use crate::websocket::Accepted;
use crate::{ControlPaths, End, Setup};

/// Pause after a failed accept (out of descriptors): trying again at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How often idle upstream connections are looked through.
const PRUNE_EVERY: Duration = Duration::from_secs(15);
/// How long a client beyond loopback may take to send a head, or keep an idle connection. On
/// loopback there is no limit: a pooled connection closed by us would fail its next request.
const REMOTE_HEAD_TIMEOUT: Duration = Duration::from_secs(75);
/// Longest head hyper reads before it answers 431 itself. Above our own limit, whose answer says
/// what happened.
const HYPER_HEAD_LIMIT: usize = 256 << 10;

/// What all workers share.
pub(crate) struct Shared {
    pub(crate) state: Arc<State>,
    pub(crate) control: Arc<dyn ControlPaths>,
    connector: Connector,
    /// How many workers accept.
    accepting: watch::Sender<usize>,
    /// Whether they may.
    is_open: watch::Sender<bool>,
}

impl Shared {
    pub(crate) fn new(state: Arc<State>, setup: &Setup) -> Result<Self, EngineError> {
        let trust = Trust::of(&state.plan(), setup.extra_ca.as_deref())?;
        let own: Vec<SocketAddr> = setup
            .listeners
            .iter()
            .map(TcpListener::local_addr)
            .collect::<Result<_, _>>()
            .map_err(EngineError::Socket)?;
        Ok(Self {
            control: Arc::clone(&setup.control),
            connector: Connector {
                trust,
                own: own.into(),
            },
            accepting: watch::Sender::new(0),
            is_open: watch::Sender::new(!setup.opens_later),
            state,
        })
    }

    /// How many workers accept.
    pub(crate) fn accepting(&self) -> watch::Receiver<usize> {
        self.accepting.subscribe()
    }

    /// The workers accept from now on.
    pub(crate) fn open(&self) {
        self.is_open.send_replace(true);
    }

    /// Whom to trust from now on when connecting to the targets of `plan`.
    pub(crate) fn trust(&self, plan: &Plan, extra_ca: Option<&Path>) -> Result<(), EngineError> {
        self.connector.trust.renew(plan, extra_ca)
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

/// Starts worker `number`. Its thread answers whether everything it served had finished when it ended.
pub(crate) fn spawn(
    number: usize,
    shared: Arc<Shared>,
    listeners: Vec<TcpListener>,
    stop: watch::Receiver<Option<End>>,
) -> Result<JoinHandle<bool>, EngineError> {
    let runtime = move || {
        Builder::new_current_thread()
            .enable_all()
            .build_local(LocalOptions::default())
    };
    let (ready, started) = std::sync::mpsc::sync_channel(1);
    let thread = std::thread::Builder::new()
        .name(format!("worker-{number}"))
        .spawn(move || match runtime() {
            Ok(runtime) => {
                let _ = ready.send(Ok(()));
                runtime.block_on(run(shared, listeners, stop))
            }
            Err(error) => {
                let _ = ready.send(Err(error));
                false
            }
        })
        .map_err(EngineError::Thread)?;
    match started.recv() {
        Ok(Ok(())) => Ok(thread),
        Ok(Err(error)) => Err(EngineError::Thread(error)),
        Err(_) => Err(EngineError::Thread(std::io::Error::other(
            "it ended at once",
        ))),
    }
}

/// The connections a worker serves, and who waits for the last one.
#[derive(Default)]
struct Open {
    count: Cell<usize>,
    none: Notify,
}

/// Counts one connection for as long as it lives.
struct Counted(Rc<Open>);

impl Counted {
    fn new(open: &Rc<Open>) -> Self {
        open.count.set(open.count.get() + 1);
        Self(Rc::clone(open))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.count.set(self.0.count.get() - 1);
        if self.0.count.get() == 0 {
            self.0.none.notify_waiters();
        }
    }
}

async fn run(
    shared: Arc<Shared>,
    listeners: Vec<TcpListener>,
    mut stop: watch::Receiver<Option<End>>,
) -> bool {
    let upstreams = Upstreams::new(shared.connector.clone());
    let accepting = shared.accepting.clone();
    accepting.send_modify(|workers| *workers += 1);
    let open = Rc::new(Open::default());
    let mut tasks = Vec::new();
    for listener in listeners {
        let (shared, upstreams, open) =
            (Arc::clone(&shared), Rc::clone(&upstreams), Rc::clone(&open));
        tasks.push(tokio::task::spawn_local(accept(
            listener,
            shared,
            upstreams,
            open,
            stop.clone(),
        )));
    }
    let pruned = Rc::clone(&upstreams);
    tasks.push(tokio::task::spawn_local(async move {
        loop {
            tokio::time::sleep(PRUNE_EVERY).await;
            pruned.prune();
        }
    }));
    // The sender lives as long as the engine; if it is gone, so is the engine.
    if stop.wait_for(Option::is_some).await.is_err() {
        return false;
    }
    for task in tasks {
        task.abort();
        let _ = task.await;
    }
    accepting.send_modify(|workers| *workers -= 1);
    let all_closed = async {
        loop {
            let none = open.none.notified();
            if open.count.get() == 0 {
                return;
            }
            none.await;
        }
    };
    let mut all_closed = std::pin::pin!(all_closed);
    loop {
        let end = *stop.borrow_and_update();
        tokio::select! {
            () = all_closed.as_mut() => return true,
            () = tokio::time::sleep_until(end.unwrap_or_default().cut) => return false,
            // It may be told to hurry.
            Ok(()) = stop.changed() => {}
        }
    }
}

async fn accept(
    listener: TcpListener,
    shared: Arc<Shared>,
    upstreams: Rc<Upstreams>,
    open: Rc<Open>,
    stop: watch::Receiver<Option<End>>,
) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
        return;
    };
    // The sender is among what is shared.
    let _ = shared
        .is_open
        .subscribe()
        .wait_for(|is_open| *is_open)
        .await;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let counted = Counted::new(&open);
                let (shared, upstreams) = (Arc::clone(&shared), Rc::clone(&upstreams));
                let stop = stop.clone();
                tokio::task::spawn_local(async move {
                    serve(stream, peer, shared, upstreams, stop).await;
                    drop(counted);
                });
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    shared: Arc<Shared>,
    upstreams: Rc<Upstreams>,
    mut stop: watch::Receiver<Option<End>>,
) {
    // A latency setting; a socket that refuses it still works.
    let _ = stream.set_nodelay(true);
    let mut builder = http1::Builder::new();
    builder
        // The upstream's own Date passes; we add none.
        .auto_date_header(false)
        .max_header_size(HYPER_HEAD_LIMIT);
    if peer.ip().is_loopback() {
        builder.header_read_timeout(None);
    } else {
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(REMOTE_HEAD_TIMEOUT);
    }
    let stopping = stop.clone();
    let accepted = Accepted::default();
    let service = service_fn(|request| answer(&shared, &upstreams, &accepted, &stopping, request));
    let connection = builder
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        // An error here means that one side is gone; the record of the exchange says so.
        _ = connection.as_mut() => {}
        () = closing(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.as_mut().await;
        }
    }
    if let Some(tunnel) = accepted.take() {
        tunnel.run(closing(&mut stop)).await;
    }
}

/// Waits until idle connections are closed.
async fn closing(stop: &mut watch::Receiver<Option<End>>) {
    loop {
        let end = *stop.borrow_and_update();
        let closing = async {
            match end {
                Some(end) => tokio::time::sleep_until(end.close_idle).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = closing => return,
            changed = stop.changed() => {
                if changed.is_err() {
                    return;
                }
            }
        }
    }
}

/// Serves one request. Once another process accepts, its answer says that the connection ends with
/// it: closing an idle one instead might hit the next request on its way.
async fn answer(
    shared: &Shared,
    upstreams: &Rc<Upstreams>,
    accepted: &Accepted,
    stop: &watch::Receiver<Option<End>>,
    request: Request<Incoming>,
) -> Result<Answer, Infallible> {
    let mut answer = exchange::serve(shared, upstreams, accepted, request).await;
    if let Ok(answer) = &mut answer
        // Nobody marks this receiver as having seen anything.
        && stop.has_changed().unwrap_or(true)
        && answer.status() != StatusCode::SWITCHING_PROTOCOLS
    {
        let headers = answer.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}
