//! What an agent is to `setup`: the files it reads, and what must change in them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Component, Path, PathBuf};

use serde_json::Value;

use crate::aim::Aim;
use crate::text::{Change, Format};

/// The system an agent's paths depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Os {
    /// Linux, and other Unixes that follow the XDG directories.
    Linux,
    /// macOS.
    MacOs,
    /// Windows.
    Windows,
}

/// Where agents look for their files.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The system.
    pub os: Os,
    /// The home directory.
    pub home: PathBuf,
    /// The project the command runs in: where project-wide files would be. `None`: only global files.
    pub project: Option<PathBuf>,
    /// Environment variables, without those that are empty.
    pub vars: BTreeMap<String, String>,
}

impl Machine {
    /// A variable, if it is set and not empty.
    pub fn var(&self, name: &str) -> Option<&str> {
        self.vars.get(name).map(String::as_str)
    }

    /// The directory a variable names, else the one under the home directory.
    pub fn dir(&self, var: &str, under_home: &str) -> PathBuf {
        self.var(var)
            .map_or_else(|| self.home.join(under_home), PathBuf::from)
    }

    /// `$XDG_CONFIG_HOME`, else `~/.config`.
    pub fn xdg_config(&self) -> PathBuf {
        self.dir("XDG_CONFIG_HOME", ".config")
    }
}

/// A file that an agent would read if it were there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Where it would be.
    pub path: PathBuf,
    /// How it is written.
    pub format: Format,
    /// Whether its being there shows that the agent is in use. Not so for files it shares with others.
    pub evidence: bool,
}

/// The paths a pattern stands for, in their order. A `*` in a component is any text that does not begin with a
/// dot; `list` says what is in a directory, and nothing for what is none.
pub fn expand(pattern: &Path, mut list: impl FnMut(&Path) -> Vec<OsString>) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for component in pattern.components() {
        let parts = match component {
            Component::Normal(name) => name.to_str().and_then(|name| name.split_once('*')),
            _ => None,
        };
        let Some((begin, end)) = parts else {
            found.iter_mut().for_each(|path| path.push(component));
            continue;
        };
        let fits = |name: &OsString| {
            name.to_str().is_some_and(|name| {
                name.len() >= begin.len() + end.len()
                    && name.starts_with(begin)
                    && name.ends_with(end)
                    && (!name.starts_with('.') || begin.starts_with('.'))
            })
        };
        found = found
            .iter()
            .flat_map(|directory| {
                let mut names = list(directory);
                names.retain(fits);
                names.sort();
                names.into_iter().map(|name| directory.join(name))
            })
            .collect();
    }
    found
}

/// A file that is there and can be read.
#[derive(Clone, Debug)]
pub struct Document {
    /// Where it is, as the agent names it (a link is not followed).
    pub path: PathBuf,
    /// How it is written.
    pub format: Format,
    /// What it says.
    pub value: Value,
}

/// What shall change in one file. One that is not there is made.
#[derive(Clone, Debug, PartialEq)]
pub struct FileEdit {
    /// Which file; one of the agent's candidates.
    pub path: PathBuf,
    /// How it is written.
    pub format: Format,
    /// What shall change.
    pub changes: Vec<Change>,
}

/// What an agent needs to use the pool.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Proposal {
    /// Changes of files.
    pub edits: Vec<FileEdit>,
    /// Lines for a shell profile (`export NAME=value`), where the agent has no file for this. Printed, never written.
    pub environment: Vec<(String, String)>,
    /// What the person must know or do besides; whole sentences.
    pub notes: Vec<String>,
    /// Whether something already leads to the pool.
    pub already: bool,
}

/// An agent whose configuration `setup` knows.
pub trait Agent: Sync {
    /// What `--only` and `--except` call it: `claude-code`.
    fn id(&self) -> &'static str;
    /// What people call it: `Claude Code`.
    fn name(&self) -> &'static str;
    /// Names of its program, one of which is on the PATH if it is installed.
    fn programs(&self) -> &'static [&'static str];
    /// The files it would read on this machine, the ones that win last. Also those that are only looked at.
    fn candidates(&self, machine: &Machine) -> Vec<Candidate>;
    /// Where it reads every file of a directory: candidates whose path has a `*` in a component, for
    /// [`expand`]. What is found comes behind the candidates.
    fn patterns(&self, _machine: &Machine) -> Vec<Candidate> {
        Vec::new()
    }
    /// What must change. `documents` are those candidates that are there and can be read, in their order.
    fn propose(&self, aim: &Aim, machine: &Machine, documents: &[Document]) -> Proposal;
    /// What must be started anew to see a change: `Claude Code sessions`.
    fn restart(&self) -> &'static str;
}

impl fmt::Debug for dyn Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_stands_for_the_files_that_fit_in_their_order() {
        let list = |directory: &Path| match directory.to_str() {
            Some("/h/profiles") => vec!["two".into(), "one".into(), ".hidden".into()],
            Some("/h") => vec![
                "b.config.toml".into(),
                "config.toml".into(),
                "a.json".into(),
            ],
            _ => Vec::new(),
        };
        assert_eq!(
            expand(Path::new("/h/profiles/*/config.yaml"), list),
            [
                PathBuf::from("/h/profiles/one/config.yaml"),
                PathBuf::from("/h/profiles/two/config.yaml")
            ]
        );
        assert_eq!(
            expand(Path::new("/h/*.config.toml"), list),
            [PathBuf::from("/h/b.config.toml")]
        );
        assert!(expand(Path::new("/elsewhere/*.json"), list).is_empty());
    }
}
