//! Where the keys come from that are to be added: typed, piped, out of a file, or only where they are.

use std::io::{self, IsTerminal as _, Read as _};
use std::path::Path;

use anyhow::Context as _;
use api_key_lb_control::Environment;
use api_key_lb_control::config::Source;
use api_key_lb_control::setup_file::key_problem;
use api_key_lb_core::Secret;

use super::args::AddArgs;
use crate::printer::Printer;
use crate::prompt;

/// The most bytes that are read at once; more is surely no list of keys.
const MOST_BYTES: u64 = 1 << 20;
/// The argument that means the standard input.
const STDIN: &str = "-";

/// Keys as they are to be written, or `None` if none was given and there is nobody to ask.
pub(super) fn given(
    args: &AddArgs,
    env: &Environment,
    printer: &Printer,
) -> anyhow::Result<Option<Vec<Secret>>> {
    if let Some(name) = &args.env {
        return Ok(Some(vec![Secret::new(format!("env:{name}"))]));
    }
    if let Some(command) = &args.command {
        return Ok(Some(vec![Secret::new(format!("cmd:{command}"))]));
    }
    if let Some(path) = &args.file {
        return from_file(path, args.copy, env).map(Some);
    }
    if args.stdin || args.keys.iter().any(|key| key == STDIN) {
        anyhow::ensure!(
            args.keys.iter().all(|key| key == STDIN),
            "`-` reads the standard input and stands alone"
        );
        let mut text = Vec::new();
        io::stdin().lock().take(MOST_BYTES).read_to_end(&mut text)?;
        return from_text(text, "the standard input").map(Some);
    }
    if !args.keys.is_empty() {
        let is_literal = |key: &String| matches!(Source::of(key), Source::Literal(_));
        if args.keys.iter().any(is_literal) && io::stdin().is_terminal() {
            printer.warn(
                "the key is now in your shell's history; remove that line there, and next time type it: \
                 `api-key-lb keys add` asks",
            );
        }
        return checked(
            args.keys
                .iter()
                .map(|key| Secret::new(key.trim().to_owned())),
        )
        .map(Some);
    }
    if prompt::is_possible() {
        return typed(args, printer).map(Some);
    }
    Ok(None)
}

/// Whether a value is to be had from somewhere else than a person.
pub(super) const fn has_source(args: &AddArgs) -> bool {
    args.stdin || args.file.is_some() || !args.keys.is_empty()
}

fn from_file(path: &Path, copy: bool, env: &Environment) -> anyhow::Result<Vec<Secret>> {
    let path = env.path(&path.to_string_lossy(), &env.cwd);
    if !copy {
        // From the root, since the file is looked for beside the configuration otherwise.
        return Ok(vec![Secret::new(format!("file:{}", path.display()))]);
    }
    let mut text = Vec::new();
    std::fs::File::open(&path)
        .and_then(|file| file.take(MOST_BYTES).read_to_end(&mut text))
        .with_context(|| format!("cannot read {}", path.display()))?;
    from_text(text, &path.display().to_string())
}

/// One in each line, or separated by commas; empty lines and comments are passed over.
fn from_text(text: Vec<u8>, from: &str) -> anyhow::Result<Vec<Secret>> {
    let text = String::from_utf8(text).map_err(|_| anyhow::anyhow!("{from} is no text"))?;
    let text = Secret::new(text);
    let lines = text.expose().lines().map(str::trim);
    let keys = lines
        .filter(|line| !line.starts_with('#'))
        // A command may have commas in it.
        .flat_map(|line| match Source::of(line) {
            Source::Literal(_) => line.split(',').collect::<Vec<_>>(),
            _ => vec![line],
        })
        .map(str::trim)
        .filter(|key| !key.is_empty());
    let keys = checked(keys.map(|key| Secret::new(key.to_owned())))?;
    anyhow::ensure!(!keys.is_empty(), "there is no key in {from}");
    Ok(keys)
}

fn typed(args: &AddArgs, printer: &Printer) -> anyhow::Result<Vec<Secret>> {
    let mut keys: Vec<Secret> = Vec::new();
    // What is said of one key cannot be said of several.
    let only_one = args.label.is_some() || args.keychain.is_some();
    loop {
        let question = match keys.len() {
            0 => "Key".to_owned(),
            more => format!("Key {}, or Enter if that is all", more + 1),
        };
        match prompt::secret(&question)? {
            None if keys.is_empty() => {
                printer.note("paste the key and press Enter; Ctrl-C leaves everything as it is");
            }
            None => return Ok(keys),
            Some(key) => match key_problem(key.expose()) {
                Some(problem) => printer.warn(problem),
                None => keys.push(key),
            },
        }
        if only_one && !keys.is_empty() {
            return Ok(keys);
        }
    }
}

fn checked(keys: impl Iterator<Item = Secret>) -> anyhow::Result<Vec<Secret>> {
    keys.enumerate()
        .map(|(at, key)| match key_problem(key.expose()) {
            None => Ok(key),
            Some(problem) => Err(anyhow::anyhow!(
                "key {}: {problem}; nothing was changed",
                at + 1
            )),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(text: &str) -> Vec<String> {
        let keys = from_text(text.as_bytes().to_vec(), "the test").unwrap();
        keys.iter().map(|key| key.expose().to_owned()).collect()
    }

    #[test]
    fn keys_stand_in_lines_or_between_commas_and_comments_are_none() {
        assert_eq!(keys("a\r\n# b\n\n c , d,\n"), ["a", "c", "d"]);
        assert_eq!(keys("cmd:pass a, b\nenv:X"), ["cmd:pass a, b", "env:X"]);
    }

    #[test]
    fn what_cannot_be_a_key_is_refused_by_its_number_and_not_shown() {
        let error =
            from_text(b"good\nsk-planted planted planted".to_vec(), "the test").unwrap_err();
        let error = error.to_string();
        assert!(
            error.starts_with("key 2: ") && !error.contains("ted pla"),
            "{error}"
        );
        assert!(from_text(b"# none\n".to_vec(), "the test").is_err());
        assert!(from_text(b"\xff".to_vec(), "the test").is_err());
    }
}
