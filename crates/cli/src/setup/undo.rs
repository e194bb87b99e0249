//! Takes back what `setup` has changed in other programs' files, newest first.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use api_key_lb_agents::text;

use super::files;
use super::journal::{Journal, Record};

/// What became of one file.
#[derive(Debug)]
pub(crate) struct Undone {
    pub(crate) agent: String,
    pub(crate) path: PathBuf,
    pub(crate) outcome: Outcome,
}

/// How a file is now.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// As it was, or would be, before `setup`.
    Restored {
        /// Values that somebody has changed since, which were left.
        left: Vec<text::Path>,
    },
    /// It was made by `setup` and is gone again.
    Removed,
    /// It was gone already.
    Gone,
    /// It could not be restored, and is as it was; the record stays.
    Failed {
        why: String,
        backup: Option<PathBuf>,
    },
}

/// Takes back every record, or those `of` a configuration, or only says what would become of it (`dry`).
///
/// # Errors
/// If the journal cannot be written. A file that cannot be restored is an outcome.
pub(crate) fn undo(
    journal: &mut Journal,
    of: Option<&Path>,
    dry: bool,
) -> anyhow::Result<Vec<Undone>> {
    let mut outcomes = Vec::new();
    let mut kept = Vec::new();
    let mut failed = BTreeSet::new();
    // What files would say by now, if nothing is written.
    let mut imagined = BTreeMap::new();
    while let Some(record) = journal.records.pop() {
        if of.is_some_and(|of| record.config != of) {
            kept.push(record);
            continue;
        }
        // A file that a newer change could not be taken back from is left as it is.
        let blocked = failed.contains(&record.path);
        let outcome = if blocked {
            Ok(Outcome::Failed {
                why: "a later change of it could not be taken back".to_owned(),
                backup: record.backup.clone(),
            })
        } else {
            take_back(&record, dry.then_some(&mut imagined))
        };
        let outcome = outcome.unwrap_or_else(|error| Outcome::Failed {
            why: format!("{error:#}"),
            backup: record.backup.clone(),
        });
        let has_failed = matches!(outcome, Outcome::Failed { .. });
        outcomes.push(Undone {
            agent: record.agent.clone(),
            path: record.path.clone(),
            outcome,
        });
        if has_failed {
            failed.insert(record.path.clone());
        }
        if has_failed || dry {
            kept.push(record);
        }
        if !dry {
            // After every file, so that an interruption loses nothing.
            let rest = journal.records.len();
            journal.records.extend(kept.iter().rev().cloned());
            journal.save()?;
            journal.records.truncate(rest);
        }
    }
    kept.reverse();
    journal.records = kept;
    Ok(outcomes)
}

/// Takes one record back; with `imagined`, only what files say there is changed.
fn take_back(
    record: &Record,
    imagined: Option<&mut BTreeMap<PathBuf, String>>,
) -> anyhow::Result<Outcome> {
    let known = imagined
        .as_ref()
        .and_then(|imagined| imagined.get(&record.path).cloned());
    let current = match known {
        Some(text) => Some(text),
        None => files::read(&record.path)?,
    };
    let Some(current) = current else {
        return Ok(Outcome::Gone);
    };
    let undone = record.patch.undo(record.format, &current)?;
    let vanishes = record.created && undone.text.trim().is_empty();
    if let Some(imagined) = imagined {
        imagined.insert(record.path.clone(), undone.text);
    } else if vanishes {
        files::remove(&record.path, &record.directories)
            .with_context(|| format!("cannot remove {}", record.path.display()))?;
    } else {
        if undone.text != current {
            files::replace(&record.path, &undone.text)
                .with_context(|| format!("cannot write {}", record.path.display()))?;
        }
        if let Some(backup) = &record.backup {
            discard(backup, &undone.text);
        }
    }
    Ok(if vanishes {
        Outcome::Removed
    } else {
        Outcome::Restored { left: undone.left }
    })
}

/// Removes a copy that says nothing more than the file it is of.
fn discard(backup: &Path, text: &str) {
    if matches!(files::read(backup), Ok(Some(copy)) if copy == text) {
        let directory: Vec<PathBuf> = backup.parent().map(Path::to_path_buf).into_iter().collect();
        drop(files::remove(backup, &directory));
    }
}
