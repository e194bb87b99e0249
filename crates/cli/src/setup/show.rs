//! Changes of other programs' files as people read them. Never shows a line of a file: keys stand beside URLs.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use crate::printer::{faint, good, striking, strong};

use super::survey::{ByHand, Finding, PlannedFile};

/// What shall become of one agent: the changes as a diff, what to do by hand, what to know.
pub(crate) fn finding(finding: &Finding, home: &Path) -> String {
    let mut text = strong(finding.agent.name());
    if finding.is_idle() {
        text.push_str(if finding.already {
            ": leads to the pool already"
        } else {
            ": nothing in its configuration leads to this provider"
        });
        return text;
    }
    for file in &finding.files {
        planned(&mut text, file, home);
    }
    for left in &finding.by_hand {
        by_hand(&mut text, left, home);
    }
    if !finding.environment.is_empty() {
        text.push_str("\n  it has no file for this; put these lines into your shell's profile:");
        for (name, value) in &finding.environment {
            let _ = write!(text, "\n    {}", good(format!("export {name}={value}")));
        }
    }
    for note in &finding.notes {
        let _ = write!(text, "\n  {note}");
    }
    text
}

fn planned(text: &mut String, file: &PlannedFile, home: &Path) {
    let new = if file.before.is_none() {
        " (new file)"
    } else {
        ""
    };
    let _ = write!(text, "\n  {}{new}", tilde(&file.edit.path, home));
    for (change, from) in file.edit.changes.iter().zip(&file.from) {
        if from.as_ref() == Some(&change.to) {
            continue;
        }
        let _ = write!(text, "\n    {}", faint(&change.path));
        if let Some(from) = from {
            let _ = write!(text, "\n      {}", striking(format!("- {}", shown(from))));
        }
        let _ = write!(text, "\n      {}", good(format!("+ {}", shown(&change.to))));
    }
}

fn by_hand(text: &mut String, left: &ByHand, home: &Path) {
    let path = tilde(&left.path, home);
    let _ = write!(text, "\n  {path} is left alone: {}", left.why);
    if !left.changes.is_empty() {
        text.push_str("\n  do this by hand:");
        for change in &left.changes {
            let _ = write!(text, "\n    set {} to {}", change.path, shown(&change.to));
        }
    }
}

/// A value that is a URL without credentials, a truth value or a number; anything else could be a key.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) if is_harmless(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Object(members) => {
            let members: Vec<String> = members
                .iter()
                .map(|(name, value)| format!("{name}: {}", shown(value)))
                .collect();
            format!("{{ {} }}", members.join(", "))
        }
        _ => "(another value)".to_owned(),
    }
}

fn is_harmless(text: &str) -> bool {
    let is_url = text.starts_with("http://") || text.starts_with("https://");
    (is_url && !text.contains(['@', '?', '#'])) || text == "x-session-id"
}

/// The path, the home directory as `~`.
pub(crate) fn tilde(path: &Path, home: &Path) -> String {
    match path.strip_prefix(home) {
        Ok(below) => format!("~/{}", below.display()),
        Err(_) => path.display().to_string(),
    }
}
