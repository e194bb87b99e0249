//! What the documentation has people type exists.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory as _};

use super::Cli;

/// The program as it stands in commands.
const PROGRAM: &str = "api-key-lb";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The pages for users, by name.
fn pages() -> Vec<(String, String)> {
    let docs = fs::read_dir(root().join("docs")).unwrap();
    let docs = docs.map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> = docs
        .filter(|path| path.extension().is_some_and(|end| end == "md"))
        .collect();
    paths.extend(["README.md", "SECURITY.md", "CHANGELOG.md"].map(|name| root().join(name)));
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect()
}

/// Whatever stands between backticks, and the lines of code.
fn code(page: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut in_block = false;
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        } else if in_block {
            found.push(line.split(" #").next().unwrap());
        } else {
            found.extend(line.split('`').skip(1).step_by(2));
        }
    }
    found
}

/// The words behind each `api-key-lb` that is a program: not a path, a file or a part of a longer name.
fn calls(code: &str) -> Vec<Vec<&str>> {
    let words: Vec<&str> = code.split_whitespace().collect();
    let mut calls = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let before = at.checked_sub(1).map(|before| words[before]);
        let is_program = *word == PROGRAM || word.ends_with("/bin/api-key-lb");
        // `cargo uninstall api-key-lb` names the package.
        let is_called =
            before.is_none_or(|before| !["uninstall", "install", "-a", "-p"].contains(&before));
        if is_program && is_called {
            let ends = |word: &&str| ["|", ">", ">>", "&&", ";", "||"].contains(word);
            let rest = words[at + 1..].iter().copied();
            calls.push(rest.take_while(|word| !ends(word)).collect());
        }
    }
    calls
}

/// The first word that is neither a command nor a flag where it stands.
fn unknown<'w>(mut command: &Command, words: &[&'w str]) -> Option<&'w str> {
    let mut in_command = true;
    for word in words {
        let word = word.trim_matches(|sign| "[]()…,.;:".contains(sign));
        if let Some(flag) = word.strip_prefix("--") {
            let flag = flag.split(['=', ']']).next().unwrap_or(flag);
            let is_known = ["help", "version", "quiet"].contains(&flag)
                || command
                    .get_arguments()
                    .any(|known| known.get_long() == Some(flag));
            if !is_known && !flag.is_empty() {
                return Some(word);
            }
        } else if let Some(inner) = command.find_subcommand(word) {
            command = inner;
        } else if in_command && command.has_subcommands() && word != "help" && is_name(word) {
            return Some(word);
        }
        in_command = command.has_subcommands() && !word.starts_with('-');
    }
    None
}

/// Whether it can be a command's name, and not a place for one.
fn is_name(word: &str) -> bool {
    !word.is_empty()
        && word
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'-')
}

#[test]
fn every_command_that_the_documentation_names_exists_with_its_flags() {
    let program = Cli::command();
    let mut seen = 0;
    for (name, page) in pages() {
        for code in code(&page) {
            for call in calls(code) {
                seen += 1;
                assert_eq!(unknown(&program, &call), None, "{name}: `{code}`");
            }
        }
    }
    assert!(seen > 40, "only {seen} were found");
}

#[test]
fn every_command_has_a_row_in_the_readme() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let rows: Vec<&str> = readme
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .collect();
    for command in Cli::command()
        .get_subcommands()
        .filter(|command| !command.is_hide_set())
    {
        let name = command.get_name();
        assert!(
            rows.iter().any(|row| row.split(' ').next() == Some(name)),
            "`{name}` has no row among the commands of README.md"
        );
    }
}

#[test]
fn a_command_or_flag_that_does_not_exist_is_found() {
    let program = Cli::command();
    for (line, expected) in [
        ("api-key-lb strat", Some("strat")),
        ("api-key-lb start --forever", Some("--forever")),
        ("api-key-lb config shwo --json", Some("shwo")),
        ("API_KEYS=a api-key-lb config show --json | jq '.x'", None),
        ("api-key-lb help COMMAND", None),
    ] {
        let calls = calls(line);
        assert_eq!(calls.len(), 1, "{line}");
        assert_eq!(unknown(&program, &calls[0]), expected, "{line}");
    }
}
