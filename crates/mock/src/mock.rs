//! A running mock: its threads, and the handle that scripts and questions it.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::builder::{Builder, Config};
use crate::canned::{Canned, CannedAnswers};
use crate::connection::accept_backoff;
use crate::counters::{Counters, Recorded};
use crate::exchange::serve;
use crate::fault::{ActiveFault, Fault, FaultId};
use crate::limits::Limits;
use crate::state::State;
use crate::tls;

/// How often [`Mock::wait_until`] looks.
const POLL: Duration = Duration::from_millis(1);
/// Connections the kernel queues for us: load generators open hundreds at once.
const BACKLOG: i32 = 1_024;

/// A running mock provider. Dropping it stops it. All methods take `&self`; share it with `Arc`.
#[derive(Debug)]
pub struct Mock {
    state: Arc<State>,
    address: SocketAddr,
    tls: bool,
    stop: watch::Sender<bool>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// What every thread of a mock serves.
#[derive(Clone)]
struct Service {
    state: Arc<State>,
    canned: Option<Arc<CannedAnswers>>,
    tls: Option<TlsAcceptor>,
}

impl Mock {
    /// A builder with the defaults.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn start(
        config: Config,
        bind: SocketAddr,
        threads: usize,
        tls: Option<(Vec<u8>, Vec<u8>)>,
        canned: Option<&Canned>,
    ) -> io::Result<Self> {
        let acceptor = match &tls {
            Some((cert, key)) => Some(tls::acceptor(cert, key)?),
            None => None,
        };
        let listener = listen(bind)?;
        let address = listener.local_addr()?;
        let state = Arc::new(State::new(config));
        let (stop, stopped) = watch::channel(false);
        let service = Service {
            state: Arc::clone(&state),
            canned: canned.map(|canned| Arc::new(CannedAnswers::new(canned))),
            tls: acceptor,
        };
        let mock = Self {
            state,
            address,
            tls: tls.is_some(),
            stop,
            threads: Mutex::new(Vec::new()),
        };
        for index in 0..threads {
            let listener = listener.try_clone()?;
            let (service, stopped) = (service.clone(), stopped.clone());
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            let thread = std::thread::Builder::new()
                .name(format!("mock-{index}"))
                .spawn(move || {
                    // Fails only if the runtime cannot register the socket; then the thread ends
                    // and clients of a one-thread mock are refused.
                    let _ = runtime.block_on(accept(listener, service, stopped));
                    // Dropping the runtime drops every connection.
                })?;
            mock.lock_threads().push(thread);
        }
        Ok(mock)
    }

    fn lock_threads(&self) -> std::sync::MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The address it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:PORT`, or `https://…` with TLS; no slash at the end.
    pub fn url(&self) -> String {
        format!(
            "{}://{}",
            if self.tls { "https" } else { "http" },
            self.address
        )
    }

    /// Installs a fault.
    pub fn fault(&self, fault: Fault) -> FaultId {
        self.state.lock().faults.add(fault)
    }

    /// The installed faults, oldest first, used-up ones included.
    pub fn faults(&self) -> Vec<ActiveFault> {
        self.state.lock().faults.list()
    }

    /// Removes a fault; false if it is not installed.
    pub fn remove_fault(&self, id: FaultId) -> bool {
        self.state.lock().faults.remove(id)
    }

    /// Removes every fault. Requests already struck stay struck.
    pub fn clear_faults(&self) {
        self.state.lock().faults.clear();
    }

    /// Replaces the limits of an account; its buckets start full. False if there is no such
    /// account.
    pub fn set_limits(&self, account: &str, limits: Limits) -> bool {
        self.state.set_limits(account, limits)
    }

    /// The recorded requests, oldest first. A request is recorded when its body has been read (or
    /// has ended early), before it is answered.
    pub fn requests(&self) -> Vec<Recorded> {
        self.state.lock().records.iter().cloned().collect()
    }

    /// The recorded requests; they are forgotten.
    pub fn take_requests(&self) -> Vec<Recorded> {
        self.state.lock().records.drain(..).collect()
    }

    /// Everything counted so far.
    pub fn counters(&self) -> Counters {
        self.state.counters()
    }

    /// Blocks until `condition` holds; false if it does not within `deadline`.
    pub fn wait_until(&self, deadline: Duration, condition: impl Fn(&Counters) -> bool) -> bool {
        let end = Instant::now() + deadline;
        loop {
            if condition(&self.counters()) {
                return true;
            }
            if Instant::now() >= end {
                return false;
            }
            std::thread::sleep(POLL);
        }
    }

    /// Forgets counters (but not what is in flight), caches, faults and recordings, and refills
    /// every bucket.
    pub fn reset(&self) {
        self.state.reset();
    }

    /// Stops listening and drops every connection; returns when the threads have ended.
    pub fn stop(&self) {
        let _ = self.stop.send(true);
        let threads = std::mem::take(&mut *self.lock_threads());
        for thread in threads {
            let _ = thread.join();
        }
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        self.stop();
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // A mock that is started again on its port must not wait for TIME_WAIT to pass.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

async fn accept(
    listener: TcpListener,
    service: Service,
    mut stopped: watch::Receiver<bool>,
) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        tokio::select! {
            biased;
            // An error means the handle is gone, which is a stop too.
            _ = stopped.wait_for(|stopped| *stopped) => return Ok(()),
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    tokio::spawn(connect(service.clone(), stream));
                }
                Err(_) => accept_backoff().await,
            },
        }
    }
}

async fn connect(service: Service, stream: TcpStream) {
    let Service { state, canned, tls } = service;
    // A socket that is already dead refuses the option; serving it will notice.
    let _ = stream.set_nodelay(true);
    let number = state.connection_opened();
    match tls {
        None => serve(state, canned, stream, number).await,
        Some(tls) => match tls.accept(stream).await {
            Ok(stream) => serve(state, canned, stream, number).await,
            Err(_) => state.connection_closed(),
        },
    }
}
