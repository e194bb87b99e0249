//! Collects a proposal for an agent that reads several files.

use std::path;

use serde_json::Value;

use crate::agent::{Document, FileEdit, Machine, Proposal};
use crate::aim::{Aim, Lead};
use crate::text::{Change, Format, Path};

/// A provider that an agent knows by itself, with the URL it uses unless told otherwise.
#[derive(Clone, Copy, Debug)]
pub(super) struct BuiltIn {
    pub(super) id: &'static str,
    pub(super) url: &'static str,
    /// The environment variables that may hold its key.
    pub(super) keys: &'static [&'static str],
}

/// A proposal in the making.
pub(super) struct Draft<'a> {
    pub(super) aim: &'a Aim,
    pub(super) machine: &'a Machine,
    pub(super) documents: &'a [Document],
    proposal: Proposal,
}

impl<'a> Draft<'a> {
    pub(super) fn new(aim: &'a Aim, machine: &'a Machine, documents: &'a [Document]) -> Self {
        Self {
            aim,
            machine,
            documents,
            proposal: Proposal::default(),
        }
    }

    /// The file there, if it can be read.
    pub(super) fn document(&self, path: &path::Path) -> Option<&'a Document> {
        self.documents.iter().find(|found| found.path == path)
    }

    /// Lets the URL at `at` lead to the pool. Whether it does, now or then.
    pub(super) fn url(&mut self, document: &Document, at: &Path) -> bool {
        self.root(document, at, "")
    }

    /// The same for a URL to which the agent adds `adds`: without it, it may be shorter than a pool's target.
    pub(super) fn root(&mut self, document: &Document, at: &Path, adds: &str) -> bool {
        let url = at.find(&document.value).and_then(Value::as_str);
        match url.map(|url| lead(self.aim, url, adds)) {
            Some(Lead::To(to)) => {
                self.set(&document.path, document.format, at.clone(), to);
                true
            }
            Some(Lead::Already) => {
                self.proposal.already = true;
                true
            }
            Some(Lead::Elsewhere) | None => false,
        }
    }

    /// Lets every URL below `from` that is the member of a `wanted` name lead to the pool, except in members
    /// that are `left_out`. Where those stand that do, now or then.
    pub(super) fn urls(
        &mut self,
        document: &Document,
        from: &Path,
        wanted: fn(&str) -> bool,
        left_out: fn(&str) -> bool,
    ) -> Vec<Path> {
        let mut found = Vec::new();
        if let Some(value) = from.find(&document.value) {
            collect(value, from, wanted, left_out, &mut found);
        }
        found.retain(|at| self.url(document, at));
        found
    }

    /// Lets `to` stand at `at`.
    pub(super) fn set(
        &mut self,
        path: &path::Path,
        format: Format,
        at: Path,
        to: impl Into<Value>,
    ) {
        let change = Change::set(at, to);
        let edits = &mut self.proposal.edits;
        match edits.iter_mut().find(|edit| edit.path == path) {
            Some(edit) => edit.changes.push(change),
            None => edits.push(FileEdit {
                path: path.to_owned(),
                format,
                changes: vec![change],
            }),
        }
    }

    /// Lets `to` stand at `at` if nothing stands there: what a person has decided stays.
    pub(super) fn add(&mut self, document: &Document, at: Path, to: impl Into<Value>) {
        if at.find(&document.value).is_none() {
            self.set(&document.path, document.format, at, to);
        }
    }

    /// Says it once.
    pub(super) fn note(&mut self, note: impl Into<String>) {
        let note = note.into();
        if !self.proposal.notes.contains(&note) {
            self.proposal.notes.push(note);
        }
    }

    /// Proposes another value for each of these variables that leads to a pool's provider: no file changes them.
    /// Whether one does, now or then.
    pub(super) fn environment(&mut self, names: &[&str], adds: &str) -> bool {
        let mut leads = false;
        for name in names {
            match self.machine.var(name).map(|url| lead(self.aim, url, adds)) {
                Some(Lead::To(to)) => {
                    self.note(format!(
                        "{name} is set in the environment, where nothing is changed here: change it where it is set."
                    ));
                    self.proposal.environment.push(((*name).to_owned(), to));
                    leads = true;
                }
                Some(Lead::Already) => {
                    self.proposal.already = true;
                    leads = true;
                }
                Some(Lead::Elsewhere) | None => {}
            }
        }
        leads
    }

    /// Proposes a line for a shell profile.
    pub(super) fn line(&mut self, name: &str, value: impl Into<String>) {
        let line = (name.to_owned(), value.into());
        self.proposal.environment.push(line);
    }

    /// Whether one of these variables is set.
    pub(super) fn has_var(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.machine.var(name).is_some())
    }

    /// Whether anything leads to a pool, now or then.
    pub(super) fn leads(&self) -> bool {
        self.proposal.already
            || !self.proposal.edits.is_empty()
            || !self.proposal.environment.is_empty()
    }

    pub(super) fn finish(self) -> Proposal {
        self.proposal
    }
}

/// What becomes of a URL to which the agent adds `adds`.
pub(super) fn lead(aim: &Aim, url: &str, adds: &str) -> Lead {
    let url = url.trim();
    let whole = aim.lead(url);
    if whole != Lead::Elsewhere || adds.is_empty() {
        return whole;
    }
    let slash = if url.ends_with('/') { "/" } else { "" };
    match aim.lead(&format!("{}{adds}", url.trim_end_matches('/'))) {
        Lead::To(to) => to
            .strip_suffix(adds)
            .map_or(Lead::Elsewhere, |to| Lead::To(format!("{to}{slash}"))),
        other => other,
    }
}

/// What a URL that an agent uses unless told otherwise must be replaced by.
pub(super) fn instead(aim: &Aim, url: &str, adds: &str) -> Option<String> {
    match lead(aim, url, adds) {
        Lead::To(to) => Some(to),
        Lead::Already | Lead::Elsewhere => None,
    }
}

/// The text at these keys, if there is one.
pub(super) fn text<'v>(value: &'v Value, keys: &[&str]) -> Option<&'v str> {
    let found = Path::of(keys).find(value)?.as_str()?.trim();
    (!found.is_empty()).then_some(found)
}

/// The names of the members at `at`.
pub(super) fn names<'v>(value: &'v Value, at: &Path) -> Vec<&'v str> {
    match at.find(value) {
        Some(Value::Object(members)) => members.keys().map(String::as_str).collect(),
        _ => Vec::new(),
    }
}

/// The places of the elements at `at`.
pub(super) fn elements(value: &Value, at: &Path) -> Vec<Path> {
    match at.find(value) {
        Some(Value::Array(list)) => (0..list.len()).map(|index| at.index(index)).collect(),
        _ => Vec::new(),
    }
}

/// Whether `test` is true of a text that is the member of that name, however deep.
pub(super) fn any_text(value: &Value, name: &str, test: &dyn Fn(&str) -> bool) -> bool {
    match value {
        Value::Object(members) => members.iter().any(|(key, member)| match member {
            Value::String(text) if key == name => test(text),
            _ => any_text(member, name, test),
        }),
        Value::Array(list) => list.iter().any(|element| any_text(element, name, test)),
        _ => false,
    }
}

fn collect(
    value: &Value,
    at: &Path,
    wanted: fn(&str) -> bool,
    left_out: fn(&str) -> bool,
    found: &mut Vec<Path>,
) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(_) if wanted(name) => found.push(at.key(name)),
                    _ if left_out(name) => {}
                    _ => collect(member, &at.key(name), wanted, left_out, found),
                }
            }
        }
        Value::Array(list) => {
            for (index, element) in list.iter().enumerate() {
                collect(element, &at.index(index), wanted, left_out, found);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aim::Pool;

    fn aim(target: &str, base: &str) -> Aim {
        let pools = vec![Pool {
            target: target.to_owned(),
            base: base.to_owned(),
        }];
        Aim {
            pools,
            former: Vec::new(),
        }
    }

    #[test]
    fn a_url_shorter_than_the_target_counts_with_what_the_agent_adds_to_it() {
        let aim = aim("https://api.openai.com/v1", "http://127.0.0.1:4577/openai");
        let to = |url: &str| Lead::To(url.to_owned());
        assert_eq!(lead(&aim, "https://api.openai.com", ""), Lead::Elsewhere);
        assert_eq!(
            lead(&aim, "https://api.openai.com", "/v1"),
            to("http://127.0.0.1:4577/openai")
        );
        assert_eq!(
            lead(&aim, "https://api.openai.com/", "/v1"),
            to("http://127.0.0.1:4577/openai/")
        );
        assert_eq!(
            lead(&aim, "https://api.openai.com/v1/", "/v1"),
            to("http://127.0.0.1:4577/openai/v1/")
        );
    }

    #[test]
    fn what_leads_elsewhere_with_or_without_it_is_left_alone() {
        let aim = aim("https://api.openai.com/v1", "http://127.0.0.1:4577");
        assert_eq!(lead(&aim, "https://example.com", "/v1"), Lead::Elsewhere);
        assert_eq!(instead(&aim, "http://127.0.0.1:4577", "/v1"), None);
    }
}
