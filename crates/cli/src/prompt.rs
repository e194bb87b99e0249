//! Asks a person at a terminal. Questions go to stderr, so that stdout stays what was asked for.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use api_key_lb_core::Secret;

use crate::printer::{faint, strong};

/// Answers that mean yes, and those that mean no.
const YES: [&str; 2] = ["y", "yes"];
const NO: [&str; 2] = ["n", "no"];

/// Nobody answered: the input ended.
#[derive(Debug, thiserror::Error)]
#[error("the input ended before the question was answered; nothing more was changed")]
pub(crate) struct Unanswered;

/// Whether there is somebody to ask: questions can be read and answers typed.
pub(crate) fn is_possible() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// A line, trimmed; an empty one means `default`, if there is one. Asked until `check` takes it, whose error
/// says what to type instead.
pub(crate) fn line<T>(
    question: &str,
    default: Option<&str>,
    check: impl Fn(&str) -> Result<T, String>,
) -> anyhow::Result<T> {
    loop {
        let hint = default.map(|default| format!(" {}", faint(format!("[{default}]"))));
        let answer = ask(&format!(
            "{}{}: ",
            strong(question),
            hint.unwrap_or_default()
        ))?;
        let answer = match (answer.as_str(), default) {
            ("", Some(default)) => default,
            (answer, _) => answer,
        };
        match check(answer) {
            Ok(value) => return Ok(value),
            Err(why) => tell(&why),
        }
    }
}

/// Yes or no; an empty line means `default`.
pub(crate) fn yes(question: &str, default: bool) -> anyhow::Result<bool> {
    let hint = if default { "[Y/n]" } else { "[y/N]" };
    loop {
        let answer = ask(&format!("{} {} ", strong(question), faint(hint)))?.to_ascii_lowercase();
        match answer.as_str() {
            "" => return Ok(default),
            answer if YES.contains(&answer) => return Ok(true),
            answer if NO.contains(&answer) => return Ok(false),
            _ => tell("type y for yes or n for no"),
        }
    }
}

/// A secret, typed or pasted without being shown; `None` for an empty line.
pub(crate) fn secret(question: &str) -> anyhow::Result<Option<Secret>> {
    let mut err = anstream::stderr().lock();
    write!(err, "{} {} ", strong(question), faint("(not shown)"))?;
    err.flush()?;
    drop(err);
    let typed = zeroizing(rpassword::read_password().map_err(|error| {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            anyhow::Error::new(Unanswered)
        } else {
            anyhow::Error::new(error).context("cannot read from the terminal")
        }
    })?);
    Ok(typed)
}

fn zeroizing(typed: String) -> Option<Secret> {
    let trimmed = typed.trim();
    if trimmed.len() == typed.len() {
        return (!typed.is_empty()).then(|| Secret::new(typed));
    }
    let secret = (!trimmed.is_empty()).then(|| Secret::new(trimmed.to_owned()));
    // Overwritten when dropped.
    drop(Secret::new(typed));
    secret
}

fn ask(question: &str) -> anyhow::Result<String> {
    let mut err = anstream::stderr().lock();
    write!(err, "{question}")?;
    err.flush()?;
    drop(err);
    let mut answer = String::new();
    if io::stdin().lock().read_line(&mut answer)? == 0 {
        tell("");
        return Err(Unanswered.into());
    }
    Ok(answer.trim().to_owned())
}

fn tell(text: &str) {
    // If nobody can read it, the next question fails.
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}
