//! What can go wrong in the data plane: whose fault, may it be retried, has the client seen a byte.

use std::path::PathBuf;
use std::time::Duration;

/// Why the engine could not start.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Duplicating or adopting a listening socket failed.
    #[error("cannot use the listening socket: {0}")]
    Socket(#[source] std::io::Error),
    /// Starting a thread or its runtime failed.
    #[error("cannot start a worker thread: {0}")]
    Thread(#[source] std::io::Error),
    /// The extra certificate file is unusable.
    #[error("cannot read certificates from {path}: {why}", path = path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The system's trust store is unusable.
    #[error(
        "cannot load the system's trusted certificates: {0}; install your distribution's `ca-certificates`"
    )]
    TrustStore(String),
}

/// Why an attempt brought no answer. None of these reaches the client before the last attempt;
/// the client has never seen a byte when one is raised.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    /// No connection: the upstream did nothing, anything may be sent again.
    #[error("{0}")]
    Connect(String),
    /// The target resolved to ourselves: the configuration's fault, never retried.
    #[error("the target is this proxy itself")]
    Loop,
    /// The connection broke after something may have been sent: the upstream may have acted.
    #[error("the connection broke before the answer: {0}")]
    Broken(String),
    /// The client's own body broke off while it was streamed through: the client's fault.
    #[error("the request body broke off")]
    ClientBody,
    /// The client's body grew beyond the limit while it was streamed through: the client's fault.
    #[error("the request body is too long")]
    ClientBodyTooLong,
    /// Silence for the given time: not retried, the upstream may still be working.
    #[error("no answer within {} s", .0.as_secs())]
    FirstByte(Duration),
}
