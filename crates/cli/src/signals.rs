//! Waiting for Ctrl-C and its relatives.

use std::io;

/// Number of SIGINT, for the exit code 130.
pub(crate) const INTERRUPT: u8 = 2;

/// The signals that ask a program to end.
#[derive(Debug)]
pub(crate) struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

/// Number of SIGTERM, for the exit code 143.
#[cfg(unix)]
const TERMINATE: u8 = 15;

impl Signals {
    /// Takes the signals over; from now on they no longer end the process by themselves.
    ///
    /// # Errors
    /// If the system refuses the handlers.
    #[cfg(unix)]
    pub(crate) fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Takes the signals over.
    ///
    /// # Errors
    /// None on this system.
    #[cfg(not(unix))]
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {})
    }

    /// The number of the next signal.
    #[cfg(unix)]
    pub(crate) async fn next(&mut self) -> u8 {
        tokio::select! {
            _ = self.interrupt.recv() => INTERRUPT,
            _ = self.terminate.recv() => TERMINATE,
        }
    }

    /// The number of the next signal.
    #[cfg(not(unix))]
    pub(crate) async fn next(&mut self) -> u8 {
        // Fails only if no handler can be set; then the default one ends the process.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        INTERRUPT
    }
}
