//! What `setup` has changed in other programs' files, so that `setup --undo` can take it back.
//!
//! Holds paths, places and URLs; nothing else of the files, since they hold keys.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use api_key_lb_agents::text::{Format, Patch};
use api_key_lb_control::setup_file::write_private;
use serde::{Deserialize, Serialize};

/// The form of the file. A newer one is not understood, and not overwritten.
const VERSION: u32 = 1;
/// Its name in the state directory.
const FILE: &str = "setup.json";

/// The file, as read or to be written.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Journal {
    version: u32,
    /// In the order in which they were made.
    pub(crate) records: Vec<Record>,
    /// Under which base URLs the proxy was made known, and of which pools.
    #[serde(default)]
    pub(crate) bases: Vec<Base>,
    /// For which configuration there is a service now, if there was none before.
    #[serde(default)]
    pub(crate) service: Option<PathBuf>,
    #[serde(skip)]
    path: PathBuf,
}

/// One file, changed once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The agent's id.
    pub(crate) agent: String,
    /// The file, as the agent names it.
    pub(crate) path: PathBuf,
    pub(crate) format: Format,
    /// When, as RFC 3339.
    pub(crate) at: String,
    /// Whether it was not there before.
    pub(crate) created: bool,
    /// Directories that were made for it, the outermost first.
    #[serde(default)]
    pub(crate) directories: Vec<PathBuf>,
    /// The copy of what it was.
    pub(crate) backup: Option<PathBuf>,
    pub(crate) patch: Patch,
    /// For which configuration it was made, as [`identity`] has it.
    #[serde(default)]
    pub(crate) config: PathBuf,
}

/// A base URL of the proxy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Base {
    pub(crate) url: String,
    /// The name of the pool; empty for the one without.
    pub(crate) pool: String,
    /// The configuration that it is of, as [`identity`] has it …
    #[serde(default)]
    pub(crate) config: PathBuf,
    /// … and the provider that it led to. Another proxy may have a pool of the same name.
    #[serde(default)]
    pub(crate) target: String,
}

/// The path by which a configuration is known, however it was named.
pub(crate) fn identity(config: &Path) -> PathBuf {
    let absolute = || std::path::absolute(config).unwrap_or_else(|_| config.to_owned());
    config.canonicalize().unwrap_or_else(|_| absolute())
}

impl Journal {
    /// The one in that directory; an empty one if there is none.
    ///
    /// # Errors
    /// If it cannot be read or understood. Then nothing may be changed, since it could not be taken back.
    pub(crate) fn load(state: &Path) -> anyhow::Result<Self> {
        let path = state.join(FILE);
        let empty = Self {
            version: VERSION,
            records: Vec::new(),
            bases: Vec::new(),
            service: None,
            path: path.clone(),
        };
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(empty),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", path.display()));
            }
        };
        let what = || {
            format!(
                "cannot understand {}, which says what `setup` has changed; restore it, or move it away \
                 (then `setup --undo` knows nothing of what was changed before)",
                path.display()
            )
        };
        let mut journal: Self = serde_json::from_str(&text).with_context(what)?;
        if journal.version > VERSION {
            bail!("{}: a newer version of api-key-lb wrote it", what());
        }
        journal.path = path;
        Ok(journal)
    }

    /// Writes it, before what it says is done; removes it if it says nothing.
    pub(crate) fn save(&self) -> anyhow::Result<()> {
        let written = if self.records.is_empty() && self.bases.is_empty() && self.service.is_none()
        {
            match std::fs::remove_file(&self.path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            }
        } else {
            let text = serde_json::to_string_pretty(self)?;
            write_private(&self.path, &format!("{text}\n"))
        };
        written.with_context(|| format!("cannot write {}", self.path.display()))
    }

    /// Notes that the proxy is known there.
    pub(crate) fn know(&mut self, base: Base) {
        if !self.bases.contains(&base) {
            self.bases.push(base);
        }
    }
}
