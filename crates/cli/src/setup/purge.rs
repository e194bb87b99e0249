//! What `setup --undo --purge` removes: one configuration with its keys, and what was stored for its proxy.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use api_key_lb_control::key_file::KeyFile;
use api_key_lb_control::runtime_file::Instance;
use api_key_lb_control::{Config, Environment, Flags};

use super::journal::{Journal, identity};
use crate::instance::{self, Resident};

/// What is to go, and what stays because it is another proxy's.
#[derive(Debug)]
pub(crate) struct Purge {
    /// The configuration: the file, before it the links that lead to it.
    pub(crate) config: Vec<PathBuf>,
    /// The port of its proxy, and those of others that run by it now.
    pub(crate) ports: BTreeSet<u16>,
    /// Ports of which something is stored, too.
    pub(crate) others: BTreeSet<u16>,
    /// The state directory …
    state: PathBuf,
    /// … and whether nothing in it stays.
    is_all: bool,
}

impl Purge {
    /// What there is to remove of the configuration at `config`.
    ///
    /// # Errors
    /// If something else is at that path: nothing may be removed then.
    pub(crate) fn of(
        config: Option<&Path>,
        (state, journal): (&Path, &Journal),
        env: &Environment,
    ) -> anyhow::Result<Self> {
        let config = config.filter(|path| path.symlink_metadata().is_ok());
        let flags = Flags {
            config: config.map(Path::to_path_buf),
            ..Flags::default()
        };
        let paths = config.map(links).transpose()?.unwrap_or_default();
        if let Some(file) = paths.last() {
            is_configuration(file)?;
        }
        let contact = Config::contact_lenient(&flags, env);
        let mut ports = BTreeSet::from([contact.port]);
        ports.extend(running(state).filter(|port| {
            let address = instance::address(&contact.hosts, *port);
            let resident = instance::ask(address, contact.client_tokens.first());
            let of = match &resident {
                Resident::Ours(told) => told.health.config_file.as_deref(),
                _ => None,
            };
            let of = of.map(|of| identity(Path::new(of)));
            of.is_some() && of == config.map(identity)
        }));
        let others: BTreeSet<u16> = entries(state)
            .filter_map(|path| port_of(&path))
            .filter(|other| !ports.contains(other))
            .collect();
        Ok(Self {
            config: paths,
            ports,
            is_all: others.is_empty() && journal.records.is_empty(),
            others,
            state: state.to_owned(),
        })
    }

    /// What is stored now and shall go.
    fn stored(&self) -> Vec<PathBuf> {
        let is_ours = |path: &PathBuf| {
            self.is_all || port_of(path).is_some_and(|port| self.ports.contains(&port))
        };
        entries(&self.state).filter(is_ours).collect()
    }

    /// Whether there is nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.config.is_empty() && self.stored().is_empty()
    }

    /// The paths for people: the directory where all of it goes.
    pub(crate) fn named(&self) -> Vec<PathBuf> {
        let mut stored = self.stored();
        if self.is_all && !stored.is_empty() {
            stored = vec![self.state.clone()];
        }
        self.config.iter().cloned().chain(stored).collect()
    }

    /// Those of the ports on which a proxy runs.
    pub(crate) fn running(&self, state: &Path) -> Vec<u16> {
        running(state)
            .filter(|port| self.ports.contains(port))
            .collect()
    }

    /// Removes it. What has gone meanwhile is no failure.
    ///
    /// # Errors
    /// What could not be removed; the rest of it stays, too.
    pub(crate) fn carry_out(&self) -> anyhow::Result<()> {
        for path in self.stored().iter().chain(&self.config) {
            let is_directory = path.symlink_metadata().is_ok_and(|meta| meta.is_dir());
            let removed = if is_directory {
                fs::remove_dir_all(path)
            } else {
                fs::remove_file(path)
            };
            match removed {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("cannot remove {}", path.display()));
                }
                _ => {}
            }
        }
        // If nothing else is in them.
        let directory = self.config.first().and_then(|path| path.parent());
        let directory = directory.filter(|path| path.ends_with(".config/api-key-lb"));
        for directory in directory.into_iter().chain([self.state.as_path()]) {
            drop(fs::remove_dir(directory));
        }
        Ok(())
    }
}

/// What is in the state directory.
fn entries(state: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(state).into_iter().flatten().flatten();
    entries.map(|entry| entry.path())
}

/// The ports of proxies that run.
fn running(state: &Path) -> impl Iterator<Item = u16> {
    let noted = Instance::all(state).into_iter();
    noted
        .filter(|noted| !instance::is_gone(noted.pid))
        .map(|noted| noted.port)
}

/// The path itself, then where it leads to, if it is a link.
fn links(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let file = path.canonicalize();
    let file = file.with_context(|| format!("cannot tell what {} leads to", path.display()))?;
    let is_link = path.symlink_metadata().is_ok_and(|meta| meta.is_symlink());
    Ok(if is_link {
        vec![path.to_owned(), file]
    } else {
        vec![path.to_owned()]
    })
}

fn is_configuration(path: &Path) -> anyhow::Result<()> {
    let refusal = || {
        format!(
            "{} is no configuration of api-key-lb; nothing was removed",
            path.display()
        )
    };
    ensure!(path.is_file(), refusal());
    let text = fs::read_to_string(path).with_context(refusal)?;
    let file = KeyFile::parse(&text).with_context(refusal)?;
    ensure!(!file.keys().is_empty(), refusal());
    Ok(())
}

/// The port in the name of a file that is stored for one: `4577.db-wal`, `4577.log.1`.
fn port_of(path: &Path) -> Option<u16> {
    let name = path.file_name()?.to_str()?;
    name.split_once('.')?.0.parse().ok()
}
