//! A running proxy as its process sees it: started, announced, served until somebody ends it.

mod retire;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use api_key_lb_control::config::Otlp;
use api_key_lb_control::runtime_file::{Instance, Supervisor};
use api_key_lb_control::store::Store;
use api_key_lb_core::plan::Plan;
use api_key_lb_engine::{End, Engine, EngineError, Setup, State, Stopper};
use tokio::sync::oneshot;

use crate::admin::Admin;
use crate::desk::Desk;
use crate::duties::{Duties, Next};
use crate::estate::Estate;
use crate::exit::Exit;
use crate::export::Export;
use crate::handover::Word;
use crate::live::{Live, Now};
use crate::management::{Management, Observer, Sources};
use crate::memory::{self, StoreSetup};
use crate::printer::Printer;
use crate::signals::Signals;

/// What ending may take besides the time that running answers have: the store, the log.
const END_SLACK: Duration = Duration::from_secs(5);

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
    /// What those who show something go by.
    pub(crate) now: Now,
    /// The file the output goes to, if nobody sees it.
    pub(crate) log: Option<PathBuf>,
    /// What starts this process again when it ends.
    pub(crate) supervisor: Option<Supervisor>,
    /// The instance whose sockets it has taken over. If there is one, [`Server::open`] lets it accept.
    pub(crate) predecessor: Option<String>,
    /// Whether `stop` shall find it, and in which directory, if there is one.
    pub(crate) announce: Announce,
    /// What outlives the process; `None` if nothing does.
    pub(crate) store: Option<StoreSetup>,
    /// Where OpenTelemetry is exported to; `None` if nowhere.
    pub(crate) otlp: Option<Otlp>,
}

/// Where `stop` shall find an instance.
#[derive(Debug)]
pub(crate) enum Announce {
    /// In this directory; `None` if there is none on this machine.
    In(Option<PathBuf>),
    /// When [`Server::announce`] says so.
    Later,
}

/// A running proxy.
#[derive(Debug)]
pub(crate) struct Server {
    state: Arc<State>,
    engine: Engine,
    addresses: Vec<SocketAddr>,
    /// The sockets once more, for a process that takes over.
    listeners: Vec<TcpListener>,
    desk: Arc<Desk>,
    live: Arc<Live>,
    management: Management,
    instance: Instance,
    announced_in: Option<PathBuf>,
    store: Option<Store>,
    /// Whether there was anything in it.
    has_read: bool,
    estate: Arc<Estate>,
    export: Option<Export>,
}

/// How serving came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// As it should: asked to stop, running answers finished or given up after their time.
    Stopped,
    /// A second signal while running answers were finishing.
    Interrupted(u8),
    /// The process that took over ended like this, and this one had stayed for it.
    Followed(std::process::ExitStatus),
}

impl From<Ending> for Exit {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Stopped => Self::Success,
            Ending::Interrupted(signal) => Self::Signal(signal),
            Ending::Followed(status) => status.into(),
        }
    }
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
        let mut instance = Instance::new(std::process::id(), port, state.started(), setup.log)
            .context("cannot make a token for this instance")?;
        instance.supervisor = setup.supervisor;
        let opens_later = setup.predecessor.is_some();
        instance.predecessor = setup.predecessor;
        let listeners = setup
            .listeners
            .iter()
            .map(TcpListener::try_clone)
            .collect::<Result<Vec<_>, _>>()
            .context("cannot duplicate a listening socket")?;
        let desk = Arc::new(Desk::default());
        let live = Live::new(setup.now);
        // Before the first request: it may belong to a session that is remembered.
        let estate = Arc::new(Estate::of(state.clone()));
        let (store, has_read) = memory::open(setup.store, &estate, port, printer);
        let mut sources = Sources::of(&state, &instance, &addresses, &live, store.as_ref());
        let export = setup.otlp.and_then(|otlp| {
            Export::start(
                otlp,
                &mut sources,
                &instance,
                setup.ca_file.as_deref(),
                printer,
            )
        });
        let admin = Admin {
            health: sources.health.clone(),
            token: instance.token.clone(),
            desk: desk.clone(),
        };
        let (management, control) = Management::start(admin, sources)
            .context("cannot start the thread that answers `/_lb/`")?;
        // Before the first answer: whoever has one may want to stop it.
        let announced_in = match setup.announce {
            Announce::In(dir) => announce(&instance, dir, printer),
            Announce::Later => None,
        };
        let setup = Setup {
            listeners: setup.listeners,
            opens_later,
            workers: setup.workers,
            extra_ca: setup.ca_file,
            control,
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
            listeners,
            desk,
            live,
            management,
            instance,
            announced_in,
            store,
            has_read,
            estate,
            export,
        })
    }

    /// What outlives the process, if anything does. Whoever takes it ends it.
    pub(crate) const fn take_store(&mut self) -> Option<Store> {
        self.store.take()
    }

    /// Whether it has read that store: the one of a process whose sockets it has taken over.
    pub(crate) fn has_read(&self, store: Option<&str>) -> bool {
        let own = self.store.as_ref().and_then(|own| own.path().to_str());
        self.has_read && own.is_some() && own == store
    }

    /// Accepts from now on.
    pub(crate) fn open(&self) {
        self.engine.open();
    }

    /// What a process that takes over has to be told.
    pub(crate) const fn estate(&self) -> &Arc<Estate> {
        &self.estate
    }

    /// What sends OpenTelemetry, if anything does. Whoever takes it ends it.
    pub(crate) const fn take_export(&mut self) -> Option<Export> {
        self.export.take()
    }

    /// Serves by another plan from now on.
    pub(crate) fn reload(&self, plan: Plan, ca_file: Option<&Path>) -> Result<(), EngineError> {
        self.engine.reload(plan, ca_file)
    }

    /// What it is asked to do.
    pub(crate) fn desk(&self) -> &Desk {
        &self.desk
    }

    /// What those who show something go by.
    pub(crate) const fn live(&self) -> &Arc<Live> {
        &self.live
    }

    /// Who is told of requests that have ended.
    pub(crate) const fn observer(&self) -> &Observer {
        self.management.observer()
    }

    /// Which one it is.
    pub(crate) const fn instance(&self) -> &Instance {
        &self.instance
    }

    /// Its listening sockets.
    pub(crate) fn listeners(&self) -> &[TcpListener] {
        &self.listeners
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
        self.management.end_streams();
        self.engine.stop(End::default());
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

    /// Serves until a signal or a stop request comes, or another process has taken over; then lets
    /// running answers finish.
    pub(crate) fn serve(
        mut self,
        server: Server,
        mut duties: Duties,
        printer: &Printer,
    ) -> anyhow::Result<Ending> {
        let doing = duties.carry_out(&mut self.signals, &server, printer);
        match self.runtime.block_on(doing) {
            Next::Stop => self.stop(server, duties, printer),
            Next::Succeeded(heir) => self.retire(server, duties, heir, printer),
        }
    }

    fn stop(
        mut self,
        server: Server,
        mut duties: Duties,
        printer: &Printer,
    ) -> anyhow::Result<Ending> {
        let grace = server.state.plan().timing.drain_timeout;
        let busy = server.in_flight();
        let seconds = grace.as_secs();
        duties.notifier.stopping(grace + END_SLACK);
        if let Some(predecessor) = &mut duties.predecessor {
            predecessor.tell(&Word::Stopping);
        }
        // Failing to say so is no reason to go on running.
        let _said = printer.say(if busy == 0 {
            "Stopping.".to_owned()
        } else {
            format!("Stopping; {busy} running answers may finish for up to {seconds} s (Ctrl-C again: at once).")
        });
        let (instance, announced_in) = (server.instance.clone(), server.announced_in.clone());
        let (_, finished) = drain(server, End::within(grace))?;
        let ending = self.runtime.block_on(async {
            tokio::select! {
                signal = self.signals.next_end() => Ending::Interrupted(signal),
                in_time = finished => {
                    if !in_time.unwrap_or(false) {
                        printer.warn(format!("some answers had not finished after {seconds} s and were cut"));
                    }
                    Ending::Stopped
                }
            }
        });
        duties.end();
        withdraw(&instance, announced_in.as_deref(), printer);
        Ok(ending)
    }
}

/// Begins to end a server; what hurries it, and whether everything finished in time, once it has ended.
fn drain(server: Server, end: End) -> anyhow::Result<(Stopper, oneshot::Receiver<bool>)> {
    // As long as one is open here, the kernel takes connections that nobody accepts.
    drop(server.listeners);
    server.management.end_streams();
    let engine = server.engine;
    let stopper = engine.stopper();
    stopper.stop(end);
    let (done, finished) = oneshot::channel();
    std::thread::Builder::new()
        .name("drain".to_owned())
        .spawn(move || {
            // Nobody waits any more only if a second signal came.
            let _ = done.send(engine.wait());
        })
        .context("cannot start the thread that stops the others")?;
    Ok((stopper, finished))
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
