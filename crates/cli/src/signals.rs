//! Waiting for Ctrl-C and its relatives.

use std::io;
#[cfg(unix)]
use std::io::IsTerminal as _;

/// Number of SIGHUP.
pub(crate) const HANGUP: u8 = 1;
/// Number of SIGINT, for the exit code 130.
pub(crate) const INTERRUPT: u8 = 2;
/// Number of SIGTERM, for the exit code 143.
pub(crate) const TERMINATE: u8 = 15;

/// A signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caught {
    /// It asks the program to end.
    End(u8),
    /// SIGHUP without a terminal that would have gone: it asks to read the configuration again.
    Hangup,
}

/// The signals that ask a program for something.
#[derive(Debug)]
pub(crate) struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    hangup: tokio::signal::unix::Signal,
    /// Whether there was a terminal at the beginning.
    #[cfg(unix)]
    on_terminal: bool,
}

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
            hangup: signal(SignalKind::hangup())?,
            on_terminal: has_terminal(),
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

    /// The next signal.
    #[cfg(unix)]
    pub(crate) async fn next(&mut self) -> Caught {
        tokio::select! {
            _ = self.interrupt.recv() => Caught::End(INTERRUPT),
            _ = self.terminate.recv() => Caught::End(TERMINATE),
            // A terminal that was closed takes its programs along.
            _ = self.hangup.recv() => if self.on_terminal && !has_terminal() {
                Caught::End(HANGUP)
            } else {
                Caught::Hangup
            },
        }
    }

    /// The next signal.
    #[cfg(not(unix))]
    pub(crate) async fn next(&mut self) -> Caught {
        // Fails only if no handler can be set; then the default one ends the process.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        Caught::End(INTERRUPT)
    }

    /// The number of the next signal that asks the program to end.
    pub(crate) async fn next_end(&mut self) -> u8 {
        loop {
            if let Caught::End(number) = self.next().await {
                return number;
            }
        }
    }
}

/// One that is closed is none any more.
#[cfg(unix)]
fn has_terminal() -> bool {
    io::stdin().is_terminal() || io::stdout().is_terminal() || io::stderr().is_terminal()
}
