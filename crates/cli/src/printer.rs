//! The one place that prints: answers to stdout, problems to stderr, colours only on a terminal.

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write};

use anstyle::{AnsiColor, Style};

use crate::exit::Exit;

/// What succeeded.
const GOOD: Style = AnsiColor::Green.on_default();
/// What a person should look at.
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
/// What failed.
const ERROR: Style = AnsiColor::Red.on_default().bold();
/// What matters most in a line.
const STRONG: Style = Style::new().bold();
/// What can be skipped.
const FAINT: Style = Style::new().dimmed();

/// Writing to stdout failed. A type of its own, so that a broken pipe of ours is never mistaken
/// for one of a connection.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to the standard output")]
pub(crate) struct PrintError(#[from] io::Error);

/// Prints for people.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Printer {
    quiet: bool,
}

impl Printer {
    /// A printer that, if `quiet`, only prints what was asked for and problems.
    pub(crate) const fn new(quiet: bool) -> Self {
        Self { quiet }
    }

    /// What a command has to tell on its way; silent with `--quiet`.
    pub(crate) fn say(&self, text: impl Display) -> Result<(), PrintError> {
        if self.quiet {
            return Ok(());
        }
        self.answer(text)
    }

    /// What the person asked for: printed even with `--quiet`.
    pub(crate) fn answer(&self, text: impl Display) -> Result<(), PrintError> {
        let mut out = anstream::stdout().lock();
        writeln!(out, "{text}")?;
        Ok(out.flush()?)
    }

    /// Bytes for another program, such as a completion script, exactly as they are.
    pub(crate) fn raw(&self, bytes: &[u8]) -> Result<(), PrintError> {
        let mut out = io::stdout().lock();
        out.write_all(bytes)?;
        Ok(out.flush()?)
    }

    /// Log lines, written together. If nobody reads the log any more, the proxy still serves.
    pub(crate) fn log(&self, lines: &[String]) {
        if lines.is_empty() {
            return;
        }
        let mut out = io::BufWriter::new(anstream::stdout().lock());
        let _ = lines
            .iter()
            .try_for_each(|line| writeln!(out, "{line}"))
            .and_then(|()| out.flush());
    }

    /// That something is done, while a person waits for the answer; nothing if the output goes to
    /// a program or a file.
    pub(crate) fn progress(&self, text: impl Display) {
        if !self.quiet && io::stdout().is_terminal() && io::stderr().is_terminal() {
            // If nobody can read it, nobody waits.
            let _ = writeln!(anstream::stderr().lock(), "{text}");
        }
    }

    /// A remark on stderr.
    pub(crate) fn note(&self, text: impl Display) {
        if !self.quiet {
            problem(STRONG, "note", text);
        }
    }

    /// Something to look at, on stderr.
    pub(crate) fn warn(&self, text: impl Display) {
        problem(WARNING, "warning", text);
    }

    /// What failed, on stderr.
    pub(crate) fn error(&self, text: impl Display) {
        problem(ERROR, "error", text);
    }

    /// What failed and why, on stderr: each cause that adds something on a line of its own.
    pub(crate) fn failure(&self, error: &anyhow::Error) {
        let mut said = error.to_string();
        self.error(&said);
        for cause in error.chain().skip(1) {
            let cause = cause.to_string();
            if !said.contains(&cause) {
                problem(STRONG, "cause", &cause);
                said.push_str(&cause);
            }
        }
    }
}

/// One line on stderr. If nobody can read it, there is nobody left to tell.
fn problem(style: Style, label: &str, text: impl Display) {
    let mut err = anstream::stderr().lock();
    let _ = writeln!(err, "{style}{label}:{style:#} {text}");
}

/// Prints what clap has to say (help, version, wrong usage) where it belongs.
pub(crate) fn usage(error: &clap::Error) -> Exit {
    // A reader that has left has seen enough.
    let _ = error.print();
    if error.use_stderr() {
        Exit::Usage
    } else {
        Exit::Success
    }
}

/// Whether this failure is only that whoever read our output has left.
pub(crate) fn is_closed(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<PrintError>())
        .any(|PrintError(cause)| cause.kind() == io::ErrorKind::BrokenPipe)
}

/// The text as something good.
pub(crate) fn good(text: impl Display) -> String {
    format!("{GOOD}{text}{GOOD:#}")
}

/// The text as something to look at.
pub(crate) fn striking(text: impl Display) -> String {
    format!("{WARNING}{text}{WARNING:#}")
}

/// The text as what matters most.
pub(crate) fn strong(text: impl Display) -> String {
    format!("{STRONG}{text}{STRONG:#}")
}

/// The text as what can be skipped.
pub(crate) fn faint(text: impl Display) -> String {
    format!("{FAINT}{text}{FAINT:#}")
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn only_our_own_broken_pipe_counts_as_a_reader_that_left() {
        let broken = || io::Error::from(io::ErrorKind::BrokenPipe);
        let ours = Err::<(), _>(PrintError(broken())).context("while printing");
        assert!(is_closed(&ours.unwrap_err()));
        assert!(!is_closed(&anyhow::Error::new(broken())));
        let full = PrintError(io::Error::from(io::ErrorKind::StorageFull));
        assert!(!is_closed(&anyhow::Error::new(full)));
    }
}
