//! The data plane: moves bytes between clients and upstreams as the core decides.
//!
//! `exchange` is the life of one request, top to bottom; `worker` is what carries it: one
//! thread, one single-threaded runtime, upstream connections of its own. No lock and no queue
//! between threads lies on a request's way but the policy's own short lock.

mod asking;
mod attempt;
mod body;
mod control;
mod error;
mod exchange;
mod explain;
mod facts;
mod gather;
mod issued;
mod leaving_out;
mod lists;
mod opening;
mod outcome;
pub mod post;
pub mod probe;
mod reading;
mod record;
mod relay;
mod replies;
mod state;
mod upstream;
mod websocket;
mod worker;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use api_key_lb_core::Plan;
use tokio::sync::watch;
use tokio::time::Instant;

pub use control::{
    ControlAnswer, ControlBody, ControlPaths, ControlReply, ControlRequest, TakenBody,
};
pub use error::EngineError;
pub use explain::{Explained, Never};
pub use facts::FactQueue;
pub use state::State;

/// What the engine is started with, besides its [`State`].
pub struct Setup {
    /// Bound, listening, non-blocking sockets; each worker accepts from all of them.
    pub listeners: Vec<TcpListener>,
    /// Whether they accept only after [`Engine::open`].
    pub opens_later: bool,
    /// Worker threads; at least one is started.
    pub workers: usize,
    /// PEM file with certificate authorities to trust besides the system's.
    pub extra_ca: Option<PathBuf>,
    /// Answers our own paths.
    pub control: Arc<dyn ControlPaths>,
}

impl std::fmt::Debug for Setup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Setup")
            .field("listeners", &self.listeners)
            .field("workers", &self.workers)
            .finish_non_exhaustive()
    }
}

/// How the workers end. In any case they stop accepting at once, and answers from then on close their
/// connection.
#[derive(Clone, Copy, Debug)]
pub struct End {
    /// When connections without a request are closed.
    close_idle: Instant,
    /// When whatever still runs is cut.
    cut: Instant,
}

impl End {
    /// Nothing further is served: idle connections are closed at once, running answers have `grace`.
    pub fn within(grace: Duration) -> Self {
        let now = Instant::now();
        Self {
            close_idle: now,
            cut: now + grace,
        }
    }

    /// Another process accepts by now: connections that are kept by their clients may bring one more
    /// request for as long as `idle`, and running answers have `grace`.
    pub fn handed_over(idle: Duration, grace: Duration) -> Self {
        let now = Instant::now();
        Self {
            close_idle: now + idle.min(grace),
            cut: now + grace,
        }
    }
}

impl Default for End {
    fn default() -> Self {
        Self::within(Duration::ZERO)
    }
}

/// A running data plane.
#[derive(Debug)]
pub struct Engine {
    shared: Arc<worker::Shared>,
    workers: Vec<JoinHandle<bool>>,
    stop: Stopper,
}

/// Ends the workers of an engine, or hurries them.
#[derive(Clone, Debug)]
pub struct Stopper {
    stop: watch::Sender<Option<End>>,
    accepting: watch::Receiver<usize>,
}

impl Stopper {
    /// Stops accepting, and ends as `end` says; a later call overrules an earlier one.
    pub fn stop(&self, end: End) {
        self.stop.send_replace(Some(end));
    }

    /// Waits until no worker accepts any more, after [`Self::stop`].
    pub async fn closed(&mut self) {
        // Fails only if there are no workers any more.
        let _ = self.accepting.wait_for(|workers| *workers == 0).await;
    }
}

impl Engine {
    /// Starts the workers.
    ///
    /// # Errors
    /// [`EngineError`] if the certificates cannot be loaded or a thread, runtime or socket cannot be set up.
    pub fn start(state: Arc<State>, setup: Setup) -> Result<Self, EngineError> {
        let (stop, stopped) = watch::channel(None);
        let shared = Arc::new(worker::Shared::new(state, &setup)?);
        let mut engine = Self {
            shared: Arc::clone(&shared),
            workers: Vec::new(),
            stop: Stopper {
                stop,
                accepting: shared.accepting(),
            },
        };
        for number in 0..setup.workers.max(1) {
            let listeners = setup
                .listeners
                .iter()
                .map(TcpListener::try_clone)
                .collect::<Result<Vec<_>, _>>()
                .map_err(EngineError::Socket)?;
            let worker = worker::spawn(number, Arc::clone(&shared), listeners, stopped.clone())?;
            engine.workers.push(worker);
        }
        Ok(engine)
    }

    /// Accepts from now on, if it does not yet.
    pub fn open(&self) {
        self.shared.open();
    }

    /// Serves by `plan` from now on, trusting `extra_ca` as well. Requests that have begun keep the
    /// plan that they have.
    ///
    /// # Errors
    /// [`EngineError`] if the certificates cannot be loaded; then nothing has changed.
    pub fn reload(&self, plan: Plan, extra_ca: Option<&Path>) -> Result<(), EngineError> {
        self.shared.trust(&plan, extra_ca)?;
        self.shared.state.reload(plan);
        Ok(())
    }

    /// What ends it.
    pub fn stopper(&self) -> Stopper {
        self.stop.clone()
    }

    /// Ends it as `end` says. Blocks. Returns whether everything finished in time.
    pub fn stop(self, end: End) -> bool {
        self.stop.stop(end);
        self.wait()
    }

    /// Waits until it has ended, which a [`Stopper`] began. Blocks. Returns whether everything
    /// finished in time.
    pub fn wait(self) -> bool {
        let mut finished = true;
        for worker in self.workers {
            // A worker that panicked finished nothing.
            finished &= worker.join().unwrap_or(false);
        }
        finished
    }
}
