//! A key as written becomes the secret itself: literally, from the environment, a file, a program or the keychain.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use api_key_lb_core::Secret;

use super::environment::Environment;
use super::finding::{Findings, Place, Sourced};
use super::{permission, program};
use crate::keychain::{self, Keychain};

/// The most bytes of a key: it must fit into a request head with room to spare.
const MOST_KEY_BYTES: usize = 8 << 10;
/// The most bytes of a file that holds a key; more is surely another file.
const MOST_FILE_BYTES: u64 = 64 << 10;
/// Programs that run at once: more would be more than any machine has keys.
const AT_ONCE: usize = 32;

/// Where a secret is.
#[derive(Clone, Copy)]
pub enum Source<'t> {
    /// Here.
    Literal(&'t str),
    /// `env:NAME`: in this environment variable.
    Variable(&'t str),
    /// `file:PATH`: all that is in this file.
    File(&'t str),
    /// `cmd:COMMAND`: the first line that this line for the shell prints.
    Command(&'t str),
    /// `keychain:NAME`: under this name in the system's keychain.
    Keychain(&'t str),
}

impl std::fmt::Debug for Source<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.prefix())?;
        f.write_str("…")
    }
}

impl<'t> Source<'t> {
    /// As `text` says.
    pub fn of(text: &'t str) -> Self {
        let Some((prefix, rest)) = text.split_once(':') else {
            return Self::Literal(text);
        };
        let rest = rest.trim();
        match prefix {
            "env" => Self::Variable(rest),
            "file" => Self::File(rest),
            "cmd" => Self::Command(rest),
            "keychain" => Self::Keychain(rest),
            _ => Self::Literal(text),
        }
    }

    /// What it begins with as it is written; empty for a literal.
    pub const fn prefix(&self) -> &'static str {
        match self {
            Self::Literal(_) => "",
            Self::Variable(_) => "env:",
            Self::File(_) => "file:",
            Self::Command(_) => "cmd:",
            Self::Keychain(_) => "keychain:",
        }
    }

    /// Whether a program has to be run for it.
    const fn is_told(&self) -> bool {
        matches!(self, Self::Command(_) | Self::Keychain(_))
    }
}

/// How a secret is written, fit to be shown: where it is, or its mask. Not the command of `cmd:…`, which
/// may hold a secret itself.
pub fn shown(text: &str) -> String {
    match Source::of(text.trim()) {
        Source::Literal(text) => Secret::new(text.to_owned()).recognisable(),
        Source::Command(_) => "cmd:...".to_owned(),
        Source::Variable(name) | Source::Keychain(name) | Source::File(name) => {
            let prefix = Source::of(text.trim()).prefix();
            let name: String = name.chars().flat_map(char::escape_debug).collect();
            format!("{prefix}{name}")
        }
    }
}

/// What programs have told, or why not, by what names them and where relative paths start.
#[derive(Default)]
pub(crate) struct Told(BTreeMap<(String, PathBuf), Result<Secret, String>>);

impl Told {
    /// Runs whatever `wanted` needs, all at the same time. `refusal` says why the file's commands are not run.
    pub(crate) fn fetch<'s>(
        wanted: impl Iterator<Item = &'s Sourced<String>>,
        env: &Environment,
        refusal: Option<&str>,
    ) -> Self {
        let mut open: Vec<(String, PathBuf, &Place)> = Vec::new();
        for given in wanted {
            let text = given.value.trim();
            let base = base(&given.place, env);
            let is_known = |(known, at, _): &(String, PathBuf, &Place)| known == text && at == base;
            if Source::of(text).is_told() && objection(text).is_none() && !open.iter().any(is_known)
            {
                open.push((text.to_owned(), base.to_path_buf(), &given.place));
            }
        }
        let next = AtomicUsize::new(0);
        let told = Mutex::new(BTreeMap::new());
        std::thread::scope(|scope| {
            for _ in 0..open.len().min(AT_ONCE) {
                scope.spawn(|| {
                    while let Some((text, base, place)) =
                        open.get(next.fetch_add(1, Ordering::Relaxed))
                    {
                        let answer = tell(text, base, (place, refusal), env);
                        let mut told = told
                            .lock()
                            .unwrap_or_else(std::sync::PoisonError::into_inner);
                        told.insert((text.clone(), base.clone()), answer);
                    }
                });
            }
        });
        Self(
            told.into_inner()
                .unwrap_or_else(std::sync::PoisonError::into_inner),
        )
    }

    fn answer(&self, text: &str, base: &Path) -> Result<String, String> {
        match self.0.get(&(text.to_owned(), base.to_path_buf())) {
            Some(Ok(secret)) => Ok(secret.expose().to_owned()),
            Some(Err(why)) => Err(why.clone()),
            None => Err("nobody has asked for it".to_owned()),
        }
    }
}

/// Runs the program for one secret.
fn tell(
    text: &str,
    base: &Path,
    (place, refusal): (&Place, Option<&str>),
    env: &Environment,
) -> Result<Secret, String> {
    match Source::of(text) {
        Source::Command(line) => {
            if let (Place::File { .. }, Some(refusal)) = (place, refusal) {
                return Err(refusal.to_owned());
            }
            let mut command = program::shell(line, env);
            if base.is_dir() {
                command.current_dir(base);
            }
            program::secret(command, None).map_err(|error| {
                format!("the command after `cmd:` {error}; run it in a shell, and correct it here")
            })
        }
        Source::Keychain(name) => Keychain::of_system()
            .lookup(name, env)
            .map_err(|error| error.to_string()),
        _ => Err("no program tells it".to_owned()),
    }
}

/// Why a text cannot name or be a secret; `None` if it can. Does not look where it points.
pub(crate) fn objection(text: &str) -> Option<String> {
    match Source::of(text) {
        Source::Literal(text) => objection_to_literal(text),
        Source::Command("") => Some("`cmd:` holds no command; write `cmd:COMMAND`".into()),
        Source::Keychain(name) => keychain::check(name).err().map(|error| error.to_string()),
        Source::Variable("") => Some("`env:` names no variable; write `env:NAME`".into()),
        Source::File("") => Some("`file:` names no file; write `file:PATH`".into()),
        Source::Variable(_) | Source::File(_) | Source::Command(_) => None,
    }
}

/// The secret that `given` is or names; `what` names it in messages, such as "key 2". `None`
/// after a problem.
pub(crate) fn resolve(
    given: &Sourced<String>,
    what: &str,
    (env, told): (&Environment, &Told),
    findings: &mut Findings,
) -> Option<Secret> {
    let (text, origin) = match fetch(given, (env, told), findings) {
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
    (env, told): (&Environment, &Told),
    findings: &mut Findings,
) -> Result<(String, String), String> {
    if let Some(objection) = objection(given.value.trim()).filter(|_| !is_literal(&given.value)) {
        return Err(objection);
    }
    let text = given.value.trim();
    match Source::of(text) {
        Source::Literal(text) => Ok((text.to_owned(), String::new())),
        Source::Command(_) => {
            let secret = told.answer(text, base(&given.place, env))?;
            Ok((secret, " (of `cmd:`)".to_owned()))
        }
        Source::Keychain(name) => {
            let secret = told.answer(text, base(&given.place, env))?;
            Ok((secret, format!(" (keychain:{name})")))
        }
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

/// The secret as far as it can be told without running anything, and without saying why not.
pub(crate) fn peek(given: &Sourced<String>, env: &Environment) -> Option<Secret> {
    let text = match Source::of(given.value.trim()) {
        Source::Literal(text) => text.to_owned(),
        Source::Variable(name) => env.var(name)?.to_owned(),
        Source::File(path) => read(&env.path(path, base(&given.place, env))).ok()?,
        Source::Command(_) | Source::Keychain(_) => return None,
    };
    Some(Secret::new(text))
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
