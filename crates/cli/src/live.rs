//! What of the configuration those who show something go by; a reload changes it under them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api_key_lb_control::config::{LogFormat, LogLevel};
use api_key_lb_control::health::Reloading;

use api_key_lb_control::prices::Prices;

use crate::why::Names;

/// Shared between whoever shows something and whoever reloads.
#[derive(Debug)]
pub(crate) struct Live(Mutex<Now>);

/// What counts now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Now {
    /// The names of the accounts that have one.
    pub(crate) accounts: Arc<Names>,
    /// Which requests are printed.
    pub(crate) log: LogLevel,
    /// What their lines look like.
    pub(crate) log_format: LogFormat,
    /// What tokens cost.
    pub(crate) prices: Arc<Prices>,
    /// What was noticed when the configuration was read.
    pub(crate) notes: Arc<[String]>,
    /// How it stands with the configuration.
    pub(crate) reloading: Arc<Reloading>,
}

impl Live {
    /// As it is at the start.
    pub(crate) fn new(accounts: Names, log: LogLevel) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Now {
            accounts: Arc::new(accounts),
            log,
            ..Now::default()
        })))
    }

    /// What counts now.
    pub(crate) fn now(&self) -> Now {
        self.lock().clone()
    }

    /// Changes it.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Now)) {
        change(&mut self.lock());
    }

    fn lock(&self) -> MutexGuard<'_, Now> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
