//! Handing listening sockets to another process, on systems where we cannot: it says so.

use std::convert::Infallible;
use std::io;
use std::net::TcpListener;
use std::process::ExitStatus;
use std::sync::Arc;

use api_key_lb_control::runtime_file::Supervisor;
use api_key_lb_core::policy::memory::Memory;
use api_key_lb_engine::State;

/// What the old process tells the new one.
#[derive(Clone, Debug)]
pub(crate) struct Letter {
    /// Which start of the program it is.
    pub(crate) instance: String,
    /// What supervises both.
    pub(crate) supervisor: Option<Supervisor>,
    /// Whether the old one stays until the new one ends.
    pub(crate) stays: bool,
    /// Whether systemd has opened the sockets.
    pub(crate) activated: bool,
    /// The store in which everything is that the old one knew.
    pub(crate) store: Option<String>,
}

/// What the new process tells the old one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// It has to be told everything.
    Uninformed,
    /// It serves.
    Ready,
    /// It cannot; why.
    Failed(String),
    /// It ends.
    Stopping,
}

/// How this process was started.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    /// See [`Letter::stays`].
    pub(crate) stays: bool,
    /// See [`Letter::activated`].
    pub(crate) activated: bool,
}

impl Recipe {
    /// As it was.
    pub(crate) fn of_process(stays: bool, activated: bool) -> io::Result<Self> {
        Ok(Self { stays, activated })
    }

    /// Cannot.
    pub(crate) fn hand_over(&self, _: &[TcpListener], _: &Letter) -> io::Result<Heir> {
        Err(io::Error::other(
            "this system cannot hand sockets to another process; use `api-key-lb stop` and `start`",
        ))
    }
}

/// There is none.
#[derive(Debug)]
pub(crate) struct Heir {
    never: Infallible,
    /// What brings it what it has to know.
    pub(crate) courier: Option<Courier>,
    /// Whether it has to be told everything.
    pub(crate) is_uninformed: bool,
}

impl Heir {
    pub(crate) fn pid(&self) -> u32 {
        match self.never {}
    }

    pub(crate) async fn hear(&mut self) -> Option<Word> {
        match self.never {}
    }

    pub(crate) fn signal(&self, _: u8) {
        match self.never {}
    }

    pub(crate) fn end(&mut self) {
        match self.never {}
    }

    pub(crate) fn ended(&mut self) -> io::Result<ExitStatus> {
        match self.never {}
    }
}

/// There is none.
#[derive(Debug)]
pub(crate) struct Courier(Infallible);

impl Courier {
    pub(crate) async fn bring(&mut self, _: impl FnMut() -> Memory) -> io::Result<()> {
        match self.0 {}
    }

    pub(crate) async fn go(&mut self) {
        match self.0 {}
    }
}

/// There is none.
#[derive(Debug)]
pub(crate) struct Predecessor {
    /// What it told.
    pub(crate) letter: Letter,
    /// Its listening sockets.
    pub(crate) sockets: Vec<TcpListener>,
}

impl Predecessor {
    /// Cannot.
    pub(crate) fn receive() -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn wait(&mut self, _: impl FnMut(Memory)) {}

    pub(crate) fn listen(&mut self, _: Arc<State>) {}

    pub(crate) async fn silent(&mut self) {}

    pub(crate) fn tell(&mut self, _: &Word) {}
}
