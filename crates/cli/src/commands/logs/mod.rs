//! `api-key-lb logs`: the log of the proxy, wherever it goes, as far as somebody wants to see it.

mod file;
mod journal;

use std::collections::VecDeque;
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;

use api_key_lb_control::ledger::Filter;
use api_key_lb_control::runtime_file::Supervisor;
use api_key_lb_control::{Config, Environment};

use crate::args::LogsArgs;
use crate::exit::Exit;
use crate::instance::{self, Resident};
use crate::printer::{PrintError, Printer};
use crate::service::{self, Machine, Manager};

use super::detach;
use super::status::absence;
use journal::Unit;

/// Where a log is.
enum Source {
    /// In a file.
    File(PathBuf),
    /// In the journal.
    Journal(Unit),
    /// Nowhere that one could look: why, and what to do.
    None(String),
}

/// What is to be shown, and to whom.
struct View<'a> {
    filter: Filter,
    lines: usize,
    follow: bool,
    printer: &'a Printer,
}

/// Runs the command.
pub(super) fn run(args: &LogsArgs, printer: &Printer) -> anyhow::Result<Exit> {
    let env = Environment::of_process();
    let contact = Config::contact_lenient(&args.place.flags(), &env);
    let address = instance::address(&contact.hosts, contact.port);
    let token = contact.client_tokens.first();
    let (resident, noted, dir) = instance::meet(address, token, &env, printer);
    let runs = matches!(resident, Resident::Ours(_) | Resident::Guarded(_));
    let kept = dir.map(|dir| dir.join(detach::log_name(contact.port)));
    let source = match noted.filter(|_| runs) {
        Some(noted) => match (noted.log, noted.supervisor) {
            (Some(file), _) => Source::File(file),
            (None, Some(supervisor)) => of_service(supervisor, &env),
            (None, None) => Source::None(format!(
                "the proxy on port {} (process {}) writes its log to where it was started: a terminal, or \
                 the program that runs it. Look there; `api-key-lb start --detach` and `api-key-lb service \
                 install` keep a log that can be looked at",
                contact.port, noted.pid
            )),
        },
        None if runs => Source::None(format!(
            "the proxy on port {} has not noted where it runs, so its log cannot be found; run this as the \
             user who started it",
            contact.port
        )),
        None => match (kept.filter(|kept| kept.exists()), installed(&env)) {
            (Some(kept), _) => Source::File(kept),
            (None, Some(source)) => source,
            (None, None) => Source::None(absence(&resident, contact.port)),
        },
    };
    let follows = args.follow || (!args.no_follow && io::stdout().is_terminal());
    if !runs && !matches!(source, Source::None(_)) {
        printer.note(format!(
            "no proxy runs on port {} now; this is what was logged before",
            contact.port
        ));
    }
    let view = View {
        filter: args.filter(),
        lines: args.lines,
        // Of one that does not run nothing is to come, unless somebody wants to wait for it.
        follow: follows && (runs || args.follow),
        printer,
    };
    match source {
        Source::File(path) => file::show(&path, &view),
        Source::Journal(unit) => journal::show(&unit, &view),
        Source::None(why) => {
            printer.error(why);
            Ok(Exit::Failure)
        }
    }
}

fn of_service(supervisor: Supervisor, env: &Environment) -> Source {
    match supervisor {
        Supervisor::Systemd { unit, user, .. } => Source::Journal(Unit { name: unit, user }),
        Supervisor::Launchd { label } if label == service::LABEL => installed(env)
            .unwrap_or_else(|| Source::None("the service keeps no log that could be found".into())),
        Supervisor::Launchd { label } => Source::None(format!(
            "the job {label} of launchd says itself where its log goes (`StandardOutPath`)"
        )),
    }
}

/// The log of the service that we have installed, if we have.
fn installed(env: &Environment) -> Option<Source> {
    let machine = Machine::of_process(env, Manager::of_system()).ok()?;
    let report = service::status(&machine).ok()??;
    Some(match machine.manager {
        Manager::Systemd => Source::Journal(Unit {
            name: service::UNIT.to_owned(),
            user: true,
        }),
        Manager::Launchd | Manager::None => Source::File(report.log.into()),
    })
}

impl View<'_> {
    /// Keeps the last lines that are wanted.
    fn keep(&self, last: &mut VecDeque<String>, line: String) {
        if self.lines == 0 || !self.filter.wants(&line) {
            return;
        }
        if last.len() == self.lines {
            last.pop_front();
        }
        last.push_back(line);
    }

    fn print(&self, lines: impl IntoIterator<Item = String>) -> Result<(), PrintError> {
        let lines: Vec<String> = lines.into_iter().collect();
        if lines.is_empty() {
            return Ok(());
        }
        self.printer.answer(lines.join("\n"))
    }
}
