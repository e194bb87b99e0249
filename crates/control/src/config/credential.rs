//! A key as written becomes the secret itself: literally, from the environment, or from a file.

use std::path::Path;

use api_key_lb_core::Secret;

use super::environment::Environment;
use super::finding::{Findings, Place, Sourced};
use super::permission;

/// The most bytes of a key: it must fit into a request head with room to spare.
const MOST_KEY_BYTES: usize = 8 << 10;
/// The most bytes of a file that holds a key; more is surely another file.
const MOST_FILE_BYTES: u64 = 64 << 10;
/// Ways to name a secret that a later version will know.
const NOT_YET: &[&str] = &["cmd:", "keychain:"];

/// Where a secret is.
enum Source<'t> {
    Literal(&'t str),
    Variable(&'t str),
    File(&'t str),
    /// With the prefix.
    NotYet(&'static str),
}

impl<'t> Source<'t> {
    fn of(text: &'t str) -> Self {
        if let Some(prefix) = NOT_YET.iter().find(|prefix| text.starts_with(**prefix)) {
            return Self::NotYet(prefix);
        }
        if let Some(name) = text.strip_prefix("env:") {
            return Self::Variable(name.trim());
        }
        text.strip_prefix("file:")
            .map_or(Self::Literal(text), |path| Self::File(path.trim()))
    }
}

/// Why a text cannot name or be a secret; `None` if it can. Does not look where it points.
pub(crate) fn objection(text: &str) -> Option<String> {
    match Source::of(text) {
        Source::Literal(text) => objection_to_literal(text),
        Source::NotYet(prefix) => Some(not_yet(prefix)),
        Source::Variable("") => Some("`env:` names no variable; write `env:NAME`".into()),
        Source::File("") => Some("`file:` names no file; write `file:PATH`".into()),
        Source::Variable(_) | Source::File(_) => None,
    }
}

/// How a secret is written, fit to be shown: where it is, or its mask.
pub(crate) fn shown(text: &str) -> String {
    match Source::of(text.trim()) {
        Source::Literal(text) => Secret::new(text.to_owned()).masked(),
        Source::Variable(name) => format!("env:{name}"),
        Source::File(path) => format!("file:{path}"),
        Source::NotYet(prefix) => format!("{prefix}..."),
    }
}

/// The secret that `given` is or names; `what` names it in messages, such as "key 2". `None`
/// after a problem.
pub(crate) fn resolve(
    given: &Sourced<String>,
    what: &str,
    env: &Environment,
    findings: &mut Findings,
) -> Option<Secret> {
    let (text, origin) = match fetch(given, env, findings) {
        Ok(found) => found,
        Err(text) => {
            findings.problem(&given.place, format!("{what}: {text}"));
            return None;
        }
    };
    match objection_to_literal(&text) {
        None => Some(Secret::new(text)),
        Some(objection) => {
            findings.problem(&given.place, format!("{what}{origin}: {objection}"));
            None
        }
    }
}

/// The text of the secret, and where it was if not here.
fn fetch(
    given: &Sourced<String>,
    env: &Environment,
    findings: &mut Findings,
) -> Result<(String, String), String> {
    if let Some(objection) = objection(given.value.trim()).filter(|_| !is_literal(&given.value)) {
        return Err(objection);
    }
    match Source::of(given.value.trim()) {
        Source::Literal(text) => Ok((text.to_owned(), String::new())),
        Source::NotYet(prefix) => Err(not_yet(prefix)),
        Source::Variable(name) => env
            .var(name)
            .map(|value| (value.to_owned(), format!(" (env:{name})")))
            .ok_or_else(|| {
                format!(
                    "environment variable {name} is not set; set it where api-key-lb starts, \
                     or name another"
                )
            }),
        Source::File(path) => {
            let path = env.path(path, base(&given.place, env));
            findings.files.push(path.clone());
            let text = read(&path)?;
            if let Some(warning) = permission::warning(&path, "a key") {
                findings.warn(&given.place, warning);
            }
            Ok((text, format!(" (file {})", path.display())))
        }
    }
}

fn is_literal(text: &str) -> bool {
    matches!(Source::of(text.trim()), Source::Literal(_))
}

/// What relative paths given at `place` start at.
pub(crate) fn base<'p>(place: &'p Place, env: &'p Environment) -> &'p Path {
    match place {
        Place::File { path, .. } => path.parent().unwrap_or(&env.cwd),
        _ => &env.cwd,
    }
}

fn read(path: &Path) -> Result<String, String> {
    let failed = |error: &dyn std::fmt::Display| {
        format!(
            "cannot read the file `{}`: {error}; put the key there, or name another file",
            path.display()
        )
    };
    let size = std::fs::metadata(path)
        .map_err(|error| failed(&error))?
        .len();
    if size > MOST_FILE_BYTES {
        return Err(failed(&"it is too large to be a key"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| failed(&error))?;
    match text.trim() {
        "" => Err(failed(&"it is empty")),
        key => Ok(key.to_owned()),
    }
}

fn not_yet(prefix: &str) -> String {
    format!("`{prefix}…` is not supported yet; use `env:NAME`, `file:PATH` or the key itself")
}

/// Why `text` cannot be sent as a credential; shows at most its mask.
fn objection_to_literal(text: &str) -> Option<String> {
    if text.len() > MOST_KEY_BYTES {
        return Some(format!(
            "it is longer than {MOST_KEY_BYTES} bytes, no provider's key is"
        ));
    }
    let (index, bad) = text
        .chars()
        .enumerate()
        .find(|(_, letter)| !letter.is_ascii_graphic())?;
    let bad = match bad {
        ' ' => "a space",
        '\n' | '\r' => "a line break",
        '\t' => "a tab",
        _ if bad.is_ascii() => "a control character",
        _ => "a character that is not ASCII",
    };
    let masked: String = Secret::new(text.to_owned())
        .masked()
        .chars()
        .flat_map(char::escape_debug)
        .collect();
    Some(format!(
        "`{masked}` holds {bad} at position {}; a key is letters, digits and signs without spaces: \
         copy it again",
        index + 1
    ))
}
