//! The data plane: moves bytes between clients and upstreams as the core decides.
//!
//! `exchange` is the life of one request, top to bottom; `worker` is what carries it: one
//! thread, one single-threaded runtime, upstream connections of its own. No lock and no queue
//! between threads lies on a request's way but the policy's own short lock.

mod asking;
mod attempt;
mod body;
mod error;
mod exchange;
mod explain;
mod facts;
mod gather;
mod leaving_out;
mod opening;
mod outcome;
pub mod probe;
mod reading;
mod record;
mod relay;
mod replies;
mod state;
mod upstream;
mod worker;

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use api_key_lb_core::wire::reply::Reply;
use http::{HeaderMap, Method};
use tokio::sync::watch;

pub use error::EngineError;
pub use explain::{Explained, Never};
pub use facts::FactQueue;
pub use state::State;

/// Answers `GET /health` and everything under `/_lb/`. Called on a worker's thread: it must not block.
pub type ControlPaths = Arc<dyn Fn(&ControlRequest<'_>) -> Reply + Send + Sync>;

/// A request to one of our own paths, already admitted by the guard.
#[derive(Debug)]
pub struct ControlRequest<'r> {
    /// Its method.
    pub method: &'r Method,
    /// Its path.
    pub path: &'r str,
    /// Its query.
    pub query: Option<&'r str>,
    /// Its headers.
    pub headers: &'r HeaderMap,
    /// Its body, if it is a POST to a path under `/_lb/`; others are not read.
    pub body: &'r [u8],
}

/// What the engine is started with, besides its [`State`].
pub struct Setup {
    /// Bound, listening, non-blocking sockets; each worker accepts from all of them.
    pub listeners: Vec<TcpListener>,
    /// Worker threads; at least one is started.
    pub workers: usize,
    /// PEM file with certificate authorities to trust besides the system's.
    pub extra_ca: Option<PathBuf>,
    /// Answers our own paths.
    pub control: ControlPaths,
}

impl std::fmt::Debug for Setup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Setup")
            .field("listeners", &self.listeners)
            .field("workers", &self.workers)
            .finish_non_exhaustive()
    }
}

/// A running data plane.
#[derive(Debug)]
pub struct Engine {
    workers: Vec<JoinHandle<bool>>,
    stop: watch::Sender<Option<Duration>>,
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
            workers: Vec::new(),
            stop,
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

    /// Stops accepting, lets running answers finish for at most `grace`, then ends. Blocks.
    /// Returns whether everything finished in time.
    pub fn stop(self, grace: Duration) -> bool {
        self.stop.send_replace(Some(grace));
        let mut finished = true;
        for worker in self.workers {
            // A worker that panicked finished nothing.
            finished &= worker.join().unwrap_or(false);
        }
        finished
    }
}
