//! A running proxy as its process sees it: started, announced, served until somebody ends it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use api_key_lb_control::health::{About, Health, HealthStore};
use api_key_lb_control::runtime_file::Instance;
use api_key_lb_control::store::Store;
use api_key_lb_core::Moment;
use api_key_lb_core::plan::Plan;
use api_key_lb_engine::{Engine, Setup, State};
use tokio::sync::{Notify, oneshot};

use crate::admin::{Admin, Explain};
use crate::memory::{self, StoreSetup};
use crate::printer::Printer;
use crate::signals::Signals;
use crate::why::{Names, Said, Why};

/// What a proxy is started with.
#[derive(Debug)]
pub(crate) struct ServerSetup {
    /// What to do.
    pub(crate) plan: Plan,
    /// From [`crate::listen::bind`].
    pub(crate) listeners: Vec<TcpListener>,
    /// Worker threads.
    pub(crate) workers: usize,
    /// Further certificate authorities.
    pub(crate) ca_file: Option<PathBuf>,
    /// The names of the accounts that have one.
    pub(crate) accounts: Names,
    /// The file the output goes to, if nobody sees it.
    pub(crate) log: Option<PathBuf>,
    /// Whether `stop` shall find it, and in which directory, if there is one.
    pub(crate) announce: Announce,
    /// What outlives the process; `None` if nothing does.
    pub(crate) store: Option<StoreSetup>,
}

/// Where `stop` shall find an instance.
#[derive(Debug)]
pub(crate) enum Announce {
    /// In this directory; `None` if there is none on this machine.
    In(Option<PathBuf>),
    /// Not yet.
    Later,
}

/// A running proxy.
#[derive(Debug)]
pub(crate) struct Server {
    state: Arc<State>,
    engine: Engine,
    addresses: Vec<SocketAddr>,
    stop: Arc<Notify>,
    instance: Instance,
    announced_in: Option<PathBuf>,
    store: Option<Store>,
}

/// How serving came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// As it should: asked to stop, running answers finished or given up after their time.
    Stopped,
    /// A second signal while running answers were finishing.
    Interrupted(u8),
}

impl Server {
    /// Starts serving.
    pub(crate) fn start(setup: ServerSetup, printer: &Printer) -> anyhow::Result<Self> {
        let addresses = setup
            .listeners
            .iter()
            .map(TcpListener::local_addr)
            .collect::<Result<Vec<_>, _>>()
            .context("cannot ask a listening socket for its address")?;
        let state = State::new(setup.plan);
        let port = addresses.first().map_or(0, SocketAddr::port);
        let instance = Instance::new(std::process::id(), port, state.started(), setup.log)
            .context("cannot make a token for this instance")?;
        let stop = Arc::new(Notify::new());
        let accounts = Arc::new(setup.accounts);
        // Before the first request: it may belong to a session that is remembered.
        let store = memory::open(setup.store, &state, port, printer);
        let stored = memory::health_of(store.as_ref());
        let admin = Admin {
            health: health_of(
                &state,
                &instance,
                addresses.clone(),
                accounts.clone(),
                stored,
            ),
            why: why_of(&state, port, accounts),
            token: instance.token.clone(),
            stop: stop.clone(),
        };
        // Before the first answer: whoever has one may want to stop it.
        let announced_in = match setup.announce {
            Announce::In(dir) => announce(&instance, dir, printer),
            Announce::Later => None,
        };
        let setup = Setup {
            listeners: setup.listeners,
            workers: setup.workers,
            extra_ca: setup.ca_file,
            control: admin.into_paths(),
        };
        let engine = match Engine::start(state.clone(), setup) {
            Ok(engine) => engine,
            Err(error) => {
                withdraw(&instance, announced_in.as_deref(), printer);
                return Err(error).context("cannot start");
            }
        };
        Ok(Self {
            state,
            engine,
            addresses,
            stop,
            instance,
            announced_in,
            store,
        })
    }

    /// What outlives the process, if anything does. Whoever takes it ends it.
    pub(crate) const fn take_store(&mut self) -> Option<Store> {
        self.store.take()
    }

    /// Lets `stop` find this instance from now on.
    pub(crate) fn announce(&mut self, dir: Option<PathBuf>, printer: &Printer) {
        self.announced_in = announce(&self.instance, dir, printer);
    }

    /// What the workers share.
    pub(crate) const fn state(&self) -> &Arc<State> {
        &self.state
    }

    /// The first address it listens on.
    pub(crate) fn address(&self) -> SocketAddr {
        self.addresses
            .first()
            .copied()
            .unwrap_or_else(|| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0))
    }

    /// All addresses it listens on.
    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Requests that wait for an answer or receive it.
    fn in_flight(&self) -> u32 {
        let snapshot = self.state.snapshot();
        snapshot.keys.iter().map(|key| key.in_flight).sum()
    }

    /// Ends at once, whatever is running.
    pub(crate) fn abandon(self) {
        self.engine.stop(Duration::ZERO);
    }
}

/// A process that serves until somebody ends it: its signals and the runtime that waits for them.
#[derive(Debug)]
pub(crate) struct Host {
    runtime: tokio::runtime::Runtime,
    signals: Signals,
}

impl Host {
    /// Takes the signals over. Before anything is announced, so that none gets lost.
    pub(crate) fn prepare() -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let signals = {
            let _context = runtime.enter();
            Signals::listen()?
        };
        Ok(Self { runtime, signals })
    }

    /// Waits for a signal or a stop request, then lets running answers finish. What is to be done
    /// `at_end` is done before `stop` and the next start see that this instance has ended.
    pub(crate) fn serve(
        mut self,
        server: Server,
        at_end: impl FnOnce(),
        printer: &Printer,
    ) -> anyhow::Result<Ending> {
        self.runtime.block_on(async {
            tokio::select! {
                _ = self.signals.next() => {}
                () = server.stop.notified() => {}
            }
        });
        let grace = server.state.plan().timing.drain_timeout;
        let busy = server.in_flight();
        let seconds = grace.as_secs();
        // Failing to say so is no reason to go on running.
        let _said = printer.say(if busy == 0 {
            "Stopping.".to_owned()
        } else {
            format!("Stopping; {busy} running answers may finish for up to {seconds} s (Ctrl-C again: at once).")
        });
        let (done, finished) = oneshot::channel();
        let Server {
            engine,
            instance,
            announced_in,
            ..
        } = server;
        std::thread::Builder::new()
            .name("drain".to_owned())
            .spawn(move || {
                // Nobody waits any more only if a second signal came.
                let _ = done.send(engine.stop(grace));
            })
            .context("cannot start the thread that stops the others")?;
        let ending = self.runtime.block_on(async {
            tokio::select! {
                signal = self.signals.next() => Ending::Interrupted(signal),
                in_time = finished => {
                    if !in_time.unwrap_or(false) {
                        printer.warn(format!("some answers had not finished after {seconds} s and were cut"));
                    }
                    Ending::Stopped
                }
            }
        });
        at_end();
        withdraw(&instance, announced_in.as_deref(), printer);
        Ok(ending)
    }
}

/// Writes the file through which `stop` finds an instance and says where. Failing is no reason
/// not to serve.
fn announce(instance: &Instance, dir: Option<PathBuf>, printer: &Printer) -> Option<PathBuf> {
    let written = match dir {
        Some(dir) => instance
            .write(&dir)
            .map(|()| dir)
            .map_err(|error| error.to_string()),
        None => Err("there is no home directory ($HOME) to note it in".to_owned()),
    };
    written
        .inspect_err(|why| {
            printer.warn(format!(
                "{why}; `api-key-lb stop` will not find this instance, stop it with Ctrl-C or `kill {}`",
                instance.pid
            ));
        })
        .ok()
}

/// Removes that file: to `stop`, this is the sign that the instance has ended.
fn withdraw(instance: &Instance, dir: Option<&Path>, printer: &Printer) {
    if let Some(Err(error)) = dir.map(|dir| instance.remove(dir)) {
        printer.warn(error);
    }
}

/// What `/_lb/why` answers.
fn why_of(state: &Arc<State>, port: u16, accounts: Arc<Names>) -> Explain {
    let state = state.clone();
    Box::new(move |asked| {
        let proxy = Said::new(
            "running",
            format!("the one on port {port}; nothing was sent or noted"),
        );
        Why::of(&state, &accounts, asked, proxy)
    })
}

/// What `/health` answers.
fn health_of(
    state: &Arc<State>,
    instance: &Instance,
    listen: Vec<SocketAddr>,
    accounts: Arc<Names>,
    stored: impl Fn() -> HealthStore + Send + Sync + 'static,
) -> Box<dyn Fn() -> Health + Send + Sync> {
    let state = state.clone();
    let name = instance.instance.clone();
    let (pid, started): (u32, Moment) = (instance.pid, instance.started);
    Box::new(move || {
        let about = About {
            version: env!("CARGO_PKG_VERSION"),
            pid,
            instance: &name,
            started,
            now: state.now(),
            listen: &listen,
            dropped_facts: state.facts().dropped(),
            accounts: &accounts,
            store: Some(stored()),
        };
        Health::observe(&state.plan(), &state.snapshot(), &about)
    })
}
