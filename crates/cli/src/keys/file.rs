//! The configuration file whose keys are changed: found, read, written, if nobody else has meanwhile.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use api_key_lb_control::Environment;
use api_key_lb_control::config::find_file;
use api_key_lb_control::file_lock::FileLock;
use api_key_lb_control::key_file::{FileKey, KeyFile};
use api_key_lb_control::setup_file::{label_problem, write_private};

use super::args::AtArgs;
use super::naming;
use crate::printer::Printer;

/// A configuration file that is open for changes.
#[derive(Debug)]
pub(crate) struct Opened {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// As it shall be.
    pub(crate) file: KeyFile,
    /// As it was read.
    before: String,
    /// The pool that was named.
    pub(crate) pool: Option<String>,
    /// Nobody else changes it meanwhile.
    lock: Option<FileLock>,
}

impl Opened {
    /// The one that is meant, to look at, or to change later on: see [`Self::hold`].
    ///
    /// # Errors
    /// In words for a person.
    pub(crate) fn of(at: &AtArgs, env: &Environment) -> anyhow::Result<Self> {
        Self::read(located(at, env)?, at, None)
    }

    /// The one that is meant, which nobody else changes until it is written or let go. Nobody must be asked
    /// anything meanwhile.
    ///
    /// # Errors
    /// In words for a person.
    pub(crate) fn to_change(at: &AtArgs, env: &Environment) -> anyhow::Result<Self> {
        let path = located(at, env)?;
        let lock = FileLock::of(&path)?;
        Self::read(path, at, Some(lock))
    }

    /// Reads it again, and nobody else changes it from then on. Whether it says what it said before.
    ///
    /// # Errors
    /// In words for a person.
    pub(crate) fn hold(&mut self, at: &AtArgs) -> anyhow::Result<bool> {
        let lock = FileLock::of(&self.path)?;
        let now = Self::read(self.path.clone(), at, Some(lock))?;
        let before = std::mem::replace(self, now).before;
        Ok(self.before == before)
    }

    fn read(path: PathBuf, at: &AtArgs, lock: Option<FileLock>) -> anyhow::Result<Self> {
        let before = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let file = KeyFile::parse(&before)
            .map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?;
        let pool = match &at.pool {
            None => None,
            Some(name) => {
                let known = naming::pool_called(file.pools(), name);
                Some(known.map_err(anyhow::Error::msg)?.to_owned())
            }
        };
        Ok(Self {
            path,
            file,
            before,
            pool,
            lock,
        })
    }

    /// Which key is meant.
    pub(crate) fn find(&self, name: &str) -> Result<usize, String> {
        naming::find(self.file.keys(), self.pool.as_deref(), name)
    }

    /// Which keys are meant, each once, in the order of the file.
    pub(crate) fn find_all(&self, names: &[String]) -> Result<Vec<usize>, String> {
        let mut found = names
            .iter()
            .map(|name| self.find(name))
            .collect::<Result<Vec<_>, _>>()?;
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    pub(crate) fn key(&self, at: usize) -> anyhow::Result<&FileKey> {
        self.file
            .keys()
            .get(at)
            .context("there is no such key any more")
    }

    /// The pool that a new key goes into.
    pub(crate) fn pool_for_new(&self) -> Result<&str, String> {
        match (&self.pool, self.file.pools()) {
            (Some(pool), _) => Ok(pool),
            (None, [only]) => Ok(only),
            (None, []) => Ok(""),
            (None, several) => {
                let names: Vec<&str> = several.iter().map(|pool| naming::pool_name(pool)).collect();
                Err(format!(
                    "there are several pools; say which with `--pool NAME`: {}",
                    names.join(", ")
                ))
            }
        }
    }

    /// A pool in which none of its keys would serve without these.
    pub(crate) fn emptied_by(&self, gone: &[usize]) -> Option<&str> {
        let keys = || self.file.keys().iter().enumerate();
        let serves = |(at, key): &(usize, &FileKey)| !key.disabled && !gone.contains(at);
        gone.iter()
            .filter_map(|at| self.file.keys().get(*at))
            .filter(|key| !key.disabled)
            .find(|key| !keys().any(|other| other.1.pool == key.pool && serves(&other)))
            .map(|key| key.pool.as_str())
    }

    /// Why a key cannot be called so, if it cannot.
    pub(crate) fn taken(&self, label: &str) -> Option<String> {
        label_problem(label).or_else(|| {
            let mut keys = self.file.keys().iter();
            let known = keys.find(|key| key.is_labelled && key.label == label)?;
            Some(format!(
                "{} is called `{label}` already; choose another label",
                naming::named(known)
            ))
        })
    }

    /// Whether anything is different by now.
    pub(crate) fn is_changed(&self) -> bool {
        self.file.text() != self.before
    }

    /// Writes it, for its owner only, and lets others change it.
    pub(crate) fn write(&mut self) -> anyhow::Result<()> {
        let lock = match self.lock.take() {
            Some(lock) => lock,
            None => FileLock::of(&self.path)?,
        };
        // An editor does not ask.
        match std::fs::read_to_string(&self.path) {
            Ok(now) if now == self.before => {}
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot read {}", self.path.display()));
            }
            _ => return Err(changed(&self.path)),
        }
        write_private(&self.path, &self.file.text()).with_context(|| {
            format!("cannot write {}; nothing was changed", self.path.display())
        })?;
        drop(lock);
        Ok(())
    }

    /// Says if the keys of the file are not those that count.
    pub(crate) fn note_overrides(env: &Environment, printer: &Printer) {
        if env.var("API_KEYS").is_some() {
            printer.note(
                "API_KEYS is set in this environment: where it is, it takes the place of the keys of the default \
                 pool in the file",
            );
        }
    }
}

/// That there is another text by now.
pub(crate) fn changed(path: &Path) -> anyhow::Error {
    anyhow::anyhow!(
        "{} was changed by somebody else meanwhile; nothing was changed here, do it again",
        path.display()
    )
}

fn located(at: &AtArgs, env: &Environment) -> anyhow::Result<PathBuf> {
    let found =
        find_file(&at.place.flags(), env).map_err(|problem| anyhow::anyhow!("{problem}"))?;
    let Some(location) = found else {
        let given = match env.var("API_KEYS") {
            Some(_) => ": the keys come from API_KEYS, which `api-key-lb check` asks about",
            None => "",
        };
        anyhow::bail!(
            "there is no configuration file{given}; `api-key-lb setup` writes one, or name yours with \
             `--config FILE`"
        );
    };
    Ok(location.path)
}
