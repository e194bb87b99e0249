//! What api-key-lb knows and remembers: configuration, health, the log of requests, who runs where.
//!
//! - [`config`]: flags, environment and file become one validated [`config::Config`].
//! - [`setup_file`]: what `setup` writes, leaving comments and unknown fields alone.
//! - [`file_lock`]: one writer of a file at a time.
//! - [`key_file`]: the keys in the configuration file, read and edited losslessly.
//! - [`keychain`]: keys in the system's own keychain.
//! - [`health`]: the answer to `GET /health`, written and read.
//! - [`ledger`]: facts about requests become log lines.
//! - [`metrics`]: facts become numbers that Prometheus reads.
//! - [`observed`]: facts become what `/_lb/` tells: recent requests, sessions, sums.
//! - [`prices`]: what tokens cost.
//! - [`otlp`]: requests and metrics as OpenTelemetry writes them.
//! - [`runtime_file`]: how `stop` and `status` find the right process.
//! - [`store`]: what outlives the process, in one SQLite file per port.
//!
//! Nothing here holds a connection of a client.

pub mod config;
pub mod file_lock;
pub mod health;
pub mod key_file;
pub mod keychain;
pub mod ledger;
pub mod metrics;
pub mod observed;
pub mod otlp;
pub mod prices;
mod private_file;
pub mod runtime_file;
pub mod setup_file;
pub mod store;

pub use config::{Config, ConfigError, Environment, Flags};
pub use private_file::{create_private, random_hex, write_private};
