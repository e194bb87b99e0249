//! The commands, one file each, and what they have in common.

mod check;
mod completions;
mod config;
mod dashboard;
mod demo;
mod detach;
mod keys;
mod logs;
mod man;
mod orders;
mod reload;
mod restart;
mod service;
mod setup;
mod setup_undo;
mod simulate;
mod start;
mod status;
pub(crate) mod stop;
mod usage;
mod why;
mod why_past;

use api_key_lb_control::config::NoteLevel;
use api_key_lb_control::{Config, Flags};
use clap::CommandFactory as _;

use crate::args::{Cli, Command, LogChoice, PlaceArgs, PlanArgs, SettingArgs};
use crate::exit::Exit;
use crate::printer::Printer;

pub(crate) use status::STOP_PREDECESSOR;

/// Runs what was typed; nothing typed shows the help, which is no failure.
pub(crate) fn run(command: Option<Command>, printer: &Printer) -> anyhow::Result<Exit> {
    match command {
        None => {
            printer.answer(Cli::command().render_help().ansi())?;
            Ok(Exit::Success)
        }
        Some(Command::Setup(args)) => setup::run(&args, printer),
        Some(Command::Start(args)) => start::run(&args, printer),
        Some(Command::Stop(args)) => stop::run(&args, printer),
        Some(Command::Reload(args)) => reload::run(&args, printer),
        Some(Command::Restart(args)) => restart::run(&args, printer),
        Some(Command::Service(args)) => service::run(&args, printer),
        Some(Command::Status(args)) => status::run(&args, printer),
        Some(Command::Keys(args)) => keys::run(&args, printer),
        Some(Command::Dashboard(args)) => dashboard::run(&args, printer),
        Some(Command::Check(args)) => check::run(&args, printer),
        Some(Command::Why(args)) => why::run(&args, printer),
        Some(Command::Simulate(args)) => simulate::run(&args, printer),
        Some(Command::Usage(args)) => usage::run(&args, printer),
        Some(Command::Logs(args)) => logs::run(&args, printer),
        Some(Command::Demo(args)) => demo::run(&args, printer),
        Some(Command::Config(args)) => config::run(&args.order, printer),
        Some(Command::Completions(args)) => completions::run(args.shell, printer),
        Some(Command::Man(args)) => man::run(&args, printer),
    }
}

impl PlanArgs {
    /// As the configuration wants them.
    pub(crate) fn flags(&self) -> Flags {
        Flags {
            keys: self.keys.clone(),
            target: self.target.clone(),
            ..self.place.flags()
        }
    }
}

impl SettingArgs {
    /// As the configuration wants them.
    pub(crate) fn flags(&self) -> Flags {
        Flags {
            host: self.host.clone(),
            workers: self.workers,
            no_store: self.no_store,
            log: self.log.map(|log| log.as_str().to_owned()),
            log_format: self.log_format.map(|format| format.as_str().to_owned()),
            ..self.plan.flags()
        }
    }
}

impl PlaceArgs {
    /// As the configuration wants them.
    pub(crate) fn flags(&self) -> Flags {
        Flags {
            port: self.port,
            config: self.config.clone(),
            ..Flags::default()
        }
    }
}

impl LogChoice {
    /// As it is written in flags and files.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Problems => "problems",
            Self::Off => "off",
        }
    }
}

/// Prints what was noticed while the configuration was read.
fn print_notes(config: &Config, printer: &Printer) {
    for note in &config.notes {
        match note.level {
            NoteLevel::Warning => printer.warn(&note.text),
            NoteLevel::Info => printer.note(&note.text),
        }
    }
}
