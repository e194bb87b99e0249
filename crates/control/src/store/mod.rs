//! What outlives the process: sessions, cooldowns and usage in one SQLite file per port.
//!
//! The data plane never waits for it: one thread takes what has changed twice a second and writes
//! it in one transaction. If the disk fails, the proxy goes on from memory and tries again.
//!
//! One file per port, as the runtime file: two instances never share one, and who restarts on a
//! port finds what was there, whatever became of the configuration; what is in it is known by
//! hashes of keys and accounts, so that of keys that are gone simply is never asked for.

mod by_session;
mod file;
mod recognised;
mod rows;
mod schema;
mod series;
mod tally;
mod tidy;
mod time;
mod usage;
mod writer;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use api_key_lb_core::policy::memory::Memory;
use api_key_lb_core::{KeyId, Moment};

pub use file::path;
pub use series::{Columns, Series, Span, series};
pub use tally::{Counts, Tally};
pub use tidy::Retention;
pub use time::{HOURS_OF_A_DAY, first_hour, hour, minute};
pub use usage::{By, Line, Pruned, Report, Worth, prune, report};
pub use writer::{Standing, Store};

/// What a store is opened with.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The file: [`path`].
    pub path: PathBuf,
    /// For how long things are kept.
    pub retention: Retention,
    /// What keys are called.
    pub labels: Vec<(KeyId, String)>,
}

/// Whose changes are written.
pub trait Source: Send + 'static {
    /// At most `most` rows about what has changed since they were last taken.
    fn changes(&self, most: usize) -> Memory;
    /// The file is lost with all that was written: everything counts as changed.
    fn forgotten(&self);
    /// The time.
    fn now(&self) -> Moment;
}

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is none.
    #[error("there is no store `{}`", .0.display())]
    Missing(PathBuf),
    /// Another version wrote it.
    #[error("another version of api-key-lb wrote the store `{}` (format {other}, this one knows {})", path.display(), schema::VERSION)]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        other: i64,
    },
    /// The file system failed.
    #[error("cannot use the store `{}`: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What failed.
        source: std::io::Error,
    },
    /// SQLite failed.
    #[error("cannot use the store `{}`: {source}", path.display())]
    Sql {
        /// The file.
        path: PathBuf,
        /// What failed.
        source: rusqlite::Error,
    },
}
