//! How the program ends: its exit codes.

use std::process::{ExitCode, ExitStatus};

/// Exit code of a command that could not do what was asked.
const FAILURE: u8 = 1;
/// Exit code of a command line that makes no sense, as clap and most tools use it.
const USAGE: u8 = 2;
/// What shells add to the number of the signal that ended a program.
const SIGNAL_BASE: u8 = 128;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It did what was asked.
    Success,
    /// It did not, and has said why.
    Failure,
    /// The command line was wrong, or with `check` the configuration.
    Usage,
    /// A signal with this number ended it before it was done.
    Signal(u8),
    /// As another process has ended, in whose place this one stood.
    Code(u8),
}

impl From<ExitStatus> for Exit {
    fn from(status: ExitStatus) -> Self {
        #[cfg(unix)]
        if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
            return Self::Signal(u8::try_from(signal).unwrap_or(0));
        }
        match status.code().map(u8::try_from) {
            Some(Ok(code)) => Self::Code(code),
            _ => Self::Failure,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Success => Self::SUCCESS,
            Exit::Failure => Self::from(FAILURE),
            Exit::Code(code) => Self::from(code),
            Exit::Usage => Self::from(USAGE),
            Exit::Signal(number) => Self::from(SIGNAL_BASE.saturating_add(number)),
        }
    }
}
