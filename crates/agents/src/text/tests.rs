//! Tests of the editors: what every format has in common.

mod dotenv;
mod json;
mod properties;
mod toml;
mod yaml;

use serde_json::{Value, json};

use super::{Change, EditError, Edited, Format, Patch, Path, Step};

/// `a.b[0].c`.
pub(super) fn path(written: &str) -> Path {
    let mut steps = Vec::new();
    for key in written.split('.') {
        let mut parts = key.split('[');
        steps.extend(
            parts
                .next()
                .filter(|key| !key.is_empty())
                .map(|key| Step::Key(key.to_owned())),
        );
        for index in parts {
            steps.push(Step::Index(index.trim_end_matches(']').parse().unwrap()));
        }
    }
    Path(steps)
}

pub(super) fn set(at: &str, to: impl Into<Value>) -> Change {
    Change::set(path(at), to)
}

/// Edits and expects this text; then undoes, and expects the one before.
#[track_caller]
pub(super) fn becomes(format: Format, before: &str, changes: &[Change], after: &str) -> Patch {
    let edited = format.edit(before, changes).unwrap();
    assert_eq!(edited.text, after);
    undoes(format, before, &edited);
    let again = format.edit(&edited.text, changes).unwrap();
    assert!(again.patch.is_empty(), "a second time changes something");
    assert_eq!(again.text, edited.text);
    edited.patch
}

#[track_caller]
pub(super) fn undoes(format: Format, before: &str, edited: &Edited) {
    // As it is written to a journal and read again.
    let kept = serde_json::to_string(&edited.patch).unwrap();
    let patch: Patch = serde_json::from_str(&kept).unwrap();
    assert_eq!(patch, edited.patch);
    let undone = patch.undo(format, &edited.text).unwrap();
    assert_eq!(undone.text, before);
    assert_eq!(undone.left, []);
    let twice = patch.undo(format, before).unwrap();
    assert_eq!(twice.text, before, "undone twice");
}

/// Undoes where something else has changed since, and expects this text.
#[track_caller]
pub(super) fn undone(format: Format, patch: &Patch, current: &str, expected: &str, left: &[&str]) {
    let undone = patch.undo(format, current).unwrap();
    assert_eq!(undone.text, expected);
    let left: Vec<Path> = left.iter().map(|at| path(at)).collect();
    assert_eq!(undone.left, left);
}

#[track_caller]
pub(super) fn refuses(format: Format, text: &str, change: Change) -> EditError {
    format.edit(text, &[change]).unwrap_err()
}

#[test]
fn a_journal_holds_nothing_of_the_text_around() {
    let text = "{\n  \"key\": \"sk-secret\", // mine\n  \"url\": \"https://a\"\n}\n";
    let edited = Format::Json
        .edit(text, &[set("url", "http://b"), set("more.deep", 1)])
        .unwrap();
    let kept = serde_json::to_string(&edited.patch).unwrap();
    assert!(!kept.contains("secret") && !kept.contains("mine"), "{kept}");
}

#[test]
fn a_byte_order_mark_stays() {
    for (format, text) in [
        (Format::Json, "\u{feff}{\"a\": 1}"),
        (Format::Toml, "\u{feff}a = 1\n"),
        (Format::Yaml, "\u{feff}a: 1\n"),
        (Format::Dotenv, "\u{feff}a=1\n"),
    ] {
        let edited = format.edit(text, &[set("a", "x"), set("b", "y")]).unwrap();
        assert!(edited.text.starts_with('\u{feff}'));
        assert_eq!(
            format.parse(&edited.text).unwrap(),
            json!({"a": "x", "b": "y"})
        );
        undoes(format, text, &edited);
    }
}

#[test]
fn errors_say_where_and_quote_nothing() {
    for (format, text) in [
        (Format::Json, "{\n  \"key\": \"sk-secret\" \"x\"\n}"),
        (Format::Toml, "ok = 1\nkey = sk-secret\n"),
        (Format::Yaml, "ok: 1\nkey: \"sk-secret\n"),
    ] {
        let error = format.parse(text).unwrap_err();
        assert!(error.line >= 2, "{error:?}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}
