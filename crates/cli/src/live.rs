//! What of the configuration those who show something go by; a reload changes it under them.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api_key_lb_control::Config;
use api_key_lb_control::config::{DisabledKey, LogFormat, LogLevel, NoteLevel};
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
    /// The keys that must not serve.
    pub(crate) disabled: Arc<Vec<DisabledKey>>,
    /// The configuration file that is read, if one is.
    pub(crate) file: Option<PathBuf>,
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

impl Now {
    /// What counts while this configuration is in force.
    pub(crate) fn by(config: &Config) -> Self {
        Self {
            accounts: Arc::new(config.accounts.clone()),
            disabled: Arc::new(config.disabled.clone()),
            file: config.file.clone(),
            log: config.log,
            log_format: config.log_settings.format,
            prices: config.prices.clone(),
            notes: warnings(config),
            reloading: Arc::default(),
        }
    }
}

/// What was noticed when it was read, that a person should look at.
pub(crate) fn warnings(config: &Config) -> Arc<[String]> {
    let notes = config.notes.iter();
    let warnings = notes.filter(|note| note.level == NoteLevel::Warning);
    warnings.map(|note| note.text.clone()).collect()
}

impl Live {
    /// As it is at the start.
    pub(crate) fn new(now: Now) -> Arc<Self> {
        Arc::new(Self(Mutex::new(now)))
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
