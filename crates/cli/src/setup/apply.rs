//! Changes other programs' files as planned, noting first how to take it back.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use api_key_lb_control::setup_file::write_private;

use crate::check;

use super::files;
use super::journal::{Journal, Record};
use super::survey::PlannedFile;

/// Where copies of what files were are kept, below the state directory.
pub(crate) const BACKUPS: &str = "backups";

/// One run of `setup`.
#[derive(Debug)]
pub(crate) struct Run {
    /// `20261123T091500Z`: a name for a directory.
    name: String,
    /// The same as RFC 3339.
    at: String,
    /// For which configuration, as [`super::journal::identity`] has it.
    config: PathBuf,
    /// Where what was is kept.
    state: PathBuf,
}

impl Run {
    /// The one that begins now.
    pub(crate) fn now(config: PathBuf, state: &Path) -> Self {
        let now = i64::try_from(check::now().unix_millis()).unwrap_or(i64::MAX);
        let now = jiff::Timestamp::from_millisecond(now).unwrap_or(jiff::Timestamp::MAX);
        Self {
            name: now.strftime("%Y%m%dT%H%M%SZ").to_string(),
            at: now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            config,
            state: state.to_owned(),
        }
    }

    /// Copies what a file says, for its owner only, under a name of its own; says where.
    pub(crate) fn back_up(&self, path: &Path, text: &str) -> anyhow::Result<PathBuf> {
        back_up(path, text, &self.name, &self.state)
    }
}

/// Changes one file. What it was is copied first, then noted how to take it back, then it is written: whatever
/// interrupts this, `setup --undo` restores it.
///
/// # Errors
/// If the file is not what it was when the change was planned, or something cannot be written. Then it is
/// as it was.
pub(crate) fn apply(
    agent: &str,
    file: &PlannedFile,
    run: &Run,
    journal: &mut Journal,
) -> anyhow::Result<()> {
    let path = &file.edit.path;
    if files::read(path)? != file.before {
        bail!(
            "{} has changed meanwhile and was left alone; run `api-key-lb setup` again",
            path.display()
        );
    }
    let backup = match &file.before {
        Some(text) => Some(run.back_up(path, text)?),
        None => None,
    };
    journal.records.push(Record {
        agent: agent.to_owned(),
        path: path.clone(),
        format: file.edit.format,
        at: run.at.clone(),
        created: file.before.is_none(),
        directories: Vec::new(),
        backup: backup.clone(),
        patch: file.edited.patch.clone(),
        config: run.config.clone(),
    });
    journal.save()?;
    let written = match &file.before {
        Some(_) => files::replace(path, &file.edited.text).map(|()| Vec::new()),
        None => files::create(path, &file.edited.text),
    };
    match written {
        Ok(directories) if directories.is_empty() => Ok(()),
        Ok(directories) => {
            if let Some(record) = journal.records.last_mut() {
                record.directories = directories;
            }
            journal.save()
        }
        Err(error) => {
            journal.records.pop();
            journal.save()?;
            if let Some(backup) = backup {
                drop(files::remove(&backup, &[]));
            }
            Err(error).with_context(|| format!("cannot write {}; it is as it was", path.display()))
        }
    }
}

/// Copies what a file says into the state directory, for its owner only, under a name of its own.
fn back_up(path: &Path, text: &str, stamp: &str, state: &Path) -> anyhow::Result<PathBuf> {
    let directory = state.join(BACKUPS).join(stamp);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut backup = directory.join(name.as_ref());
    let mut number = 1;
    while backup.exists() {
        number += 1;
        backup = directory.join(format!("{number}-{name}"));
    }
    write_private(&backup, text)
        .with_context(|| format!("cannot copy {} to {}", path.display(), backup.display()))?;
    Ok(backup)
}
