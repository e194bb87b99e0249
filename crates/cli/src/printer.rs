//! The one place that prints: answers to stdout, problems to stderr, colours only on a terminal.

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write};

use anstyle::{AnsiColor, Style};

use crate::exit::Exit;
use crate::output;

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
    /// Whether what is printed waits for the thread of [`crate::output`].
    queued: bool,
}

/// How much something matters that is printed besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// Good to know: on stdout.
    Info,
    /// A remark: on stderr, like those below.
    Note,
    /// To be looked at.
    Warning,
    /// Failed.
    Error,
}

impl Level {
    /// As it is called.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }

    const fn style(self) -> Style {
        match self {
            Self::Info | Self::Note => STRONG,
            Self::Warning => WARNING,
            Self::Error => ERROR,
        }
    }
}

impl Printer {
    /// A printer that, if `quiet`, only prints what was asked for and problems.
    pub(crate) const fn new(quiet: bool) -> Self {
        Self {
            quiet,
            queued: false,
        }
    }

    /// The same for a proxy that serves: nothing that is printed keeps anybody waiting. Needs an
    /// [`output::Output`].
    pub(crate) const fn queued(self) -> Self {
        Self {
            queued: true,
            ..self
        }
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
        if self.queued {
            output::message(Level::Info, text.to_string());
            return Ok(());
        }
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
    pub(crate) fn log(&self, lines: Vec<String>) {
        if lines.is_empty() {
            return;
        }
        if self.queued {
            output::lines(lines);
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
            self.problem(Level::Note, text);
        }
    }

    /// Something to look at, on stderr.
    pub(crate) fn warn(&self, text: impl Display) {
        self.problem(Level::Warning, text);
    }

    /// What failed, on stderr.
    pub(crate) fn error(&self, text: impl Display) {
        self.problem(Level::Error, text);
    }

    fn problem(&self, level: Level, text: impl Display) {
        if self.queued {
            output::message(level, text.to_string());
        } else {
            problem(level, text);
        }
    }

    /// What failed and why, on stderr: each cause that adds something on a line of its own.
    pub(crate) fn failure(&self, error: &anyhow::Error) {
        let mut said = error.to_string();
        self.error(&said);
        for cause in error.chain().skip(1) {
            let cause = cause.to_string();
            if !said.contains(&cause) {
                labelled(STRONG, "cause", &cause);
                said.push_str(&cause);
            }
        }
    }
}

/// One line on stderr. If nobody can read it, there is nobody left to tell.
pub(crate) fn problem(level: Level, text: impl Display) {
    labelled(level.style(), level.as_str(), text);
}

fn labelled(style: Style, label: &str, text: impl Display) {
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
