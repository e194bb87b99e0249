//! Which agents are on this machine, and what must change so that they use the pool.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use api_key_lb_agents::agent::{Agent, Candidate, Document, FileEdit, Machine, Os, expand};
use api_key_lb_agents::aim::Aim;
use api_key_lb_agents::text::{Change, Edited};
use api_key_lb_control::Environment;
use serde_json::Value;

use super::files;

/// An agent that is here, and what to do about it.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) agent: &'static dyn Agent,
    /// Files that shall change.
    pub(crate) files: Vec<PlannedFile>,
    /// Lines for a shell profile.
    pub(crate) environment: Vec<(String, String)>,
    /// What to know.
    pub(crate) notes: Vec<String>,
    /// What could not be done and must be done by hand: what, and the steps.
    pub(crate) by_hand: Vec<ByHand>,
    /// Whether something leads to the pool already.
    pub(crate) already: bool,
}

/// A file that shall change.
#[derive(Debug)]
pub(crate) struct PlannedFile {
    pub(crate) edit: FileEdit,
    /// What it says; `None` if it is not there.
    pub(crate) before: Option<String>,
    /// The values that stand where the changes go, in their order; `None` where nothing does.
    pub(crate) from: Vec<Option<Value>>,
    pub(crate) edited: Edited,
}

/// A file that is left alone, and why.
#[derive(Debug)]
pub(crate) struct ByHand {
    pub(crate) path: PathBuf,
    /// Why it is left alone, beginning in small letters.
    pub(crate) why: String,
    /// What to set there; empty if nobody can know.
    pub(crate) changes: Vec<Change>,
}

impl Finding {
    /// Whether there is nothing to do and nothing to tell.
    pub(crate) const fn is_idle(&self) -> bool {
        self.files.is_empty()
            && self.environment.is_empty()
            && self.notes.is_empty()
            && self.by_hand.is_empty()
    }
}

/// The machine as agents see it; `None` without a home directory.
pub(crate) fn machine(env: &Environment) -> Option<Machine> {
    let home = env.home.clone()?;
    let os = if cfg!(target_os = "macos") {
        Os::MacOs
    } else if cfg!(windows) {
        Os::Windows
    } else {
        Os::Linux
    };
    // The home directory is no project.
    let project = Some(env.cwd.clone()).filter(|cwd| *cwd != home && !cwd.as_os_str().is_empty());
    let vars = env
        .vars
        .iter()
        .filter(|(_, value)| !value.trim().is_empty())
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    Some(Machine {
        os,
        home,
        project,
        vars,
    })
}

/// The files that an agent would read, those that it finds by looking into directories included.
fn candidates(agent: &dyn Agent, machine: &Machine) -> Vec<Candidate> {
    let mut candidates = agent.candidates(machine);
    for pattern in agent.patterns(machine) {
        for path in expand(&pattern.path, names_in) {
            if candidates.iter().all(|known| known.path != path) {
                candidates.push(Candidate {
                    path,
                    ..pattern.clone()
                });
            }
        }
    }
    candidates
}

/// What is in a directory; nothing for what is none, or may not be read.
fn names_in(directory: &Path) -> Vec<OsString> {
    std::fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name())
        .collect()
}

/// What there is of one agent; `None` if it is not here. Agents may share files: what one has changed is
/// seen when the next is looked at after that.
pub(crate) fn look(agent: &'static dyn Agent, aim: &Aim, machine: &Machine) -> Option<Finding> {
    let mut is_here = agent
        .programs()
        .iter()
        .any(|program| on_path(program, machine).is_some());
    let mut texts: Vec<(PathBuf, String)> = Vec::new();
    let mut documents = Vec::new();
    let mut by_hand = Vec::new();
    for Candidate {
        path,
        format,
        evidence,
    } in candidates(agent, machine)
    {
        let text = match files::read(&path) {
            Ok(None) => continue,
            Ok(Some(text)) => text,
            Err(error) => {
                is_here |= evidence;
                by_hand.push(ByHand {
                    path,
                    why: format!("it cannot be read: {error}"),
                    changes: Vec::new(),
                });
                continue;
            }
        };
        is_here |= evidence;
        match format.parse(&text) {
            Ok(value) => documents.push(Document {
                path: path.clone(),
                format,
                value,
            }),
            Err(error) => by_hand.push(ByHand {
                path: path.clone(),
                why: format!("it cannot be understood ({error})"),
                changes: Vec::new(),
            }),
        }
        texts.push((path, text));
    }
    if !is_here {
        return None;
    }
    let proposal = agent.propose(aim, machine, &documents);
    let mut planned = Vec::new();
    for edit in proposal.edits {
        // What is broken was said already, and is not added to.
        if by_hand.iter().any(|broken| broken.path == edit.path) {
            continue;
        }
        let text = texts
            .iter()
            .find(|(path, _)| *path == edit.path)
            .map(|(_, text)| text.clone());
        match edit
            .format
            .edit(text.as_deref().unwrap_or_default(), &edit.changes)
        {
            Ok(edited) => {
                let value = documents.iter().find(|document| document.path == edit.path);
                let from = edit
                    .changes
                    .iter()
                    .map(|change| change.path.find(&value?.value).cloned())
                    .collect();
                // What says so already in other words.
                if text.as_deref() != Some(edited.text.as_str()) {
                    planned.push(PlannedFile {
                        edit,
                        before: text,
                        from,
                        edited,
                    });
                }
            }
            Err(error) => by_hand.push(ByHand {
                path: edit.path,
                why: error.to_string(),
                changes: edit.changes,
            }),
        }
    }
    Some(Finding {
        agent,
        files: planned,
        environment: proposal.environment,
        notes: proposal.notes,
        by_hand,
        already: proposal.already,
    })
}

/// Where a program is on the PATH.
fn on_path(program: &str, machine: &Machine) -> Option<PathBuf> {
    let path = machine.var("PATH")?;
    let endings: &[&str] = if machine.os == Os::Windows {
        &[".exe", ".cmd", ".bat"]
    } else {
        &[""]
    };
    std::env::split_paths(path)
        .filter(|directory| directory.is_absolute())
        .flat_map(|directory| {
            endings
                .iter()
                .map(move |ending| directory.join(format!("{program}{ending}")))
        })
        .find(|file| is_program(file))
}

#[cfg(unix)]
fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path)
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_program(path: &Path) -> bool {
    path.is_file()
}
