//! `api-key-lb config`: shows, checks, describes and begins the configuration.

mod init;
mod json;
mod table;

use std::path::{Path, PathBuf};

use api_key_lb_control::config::{Effective, NoteLevel, schema};
use api_key_lb_control::{Environment, Flags};

use crate::args::ConfigOrder;
use crate::exit::Exit;
use crate::printer::Printer;
use crate::render::count;

/// Runs the command.
pub(super) fn run(order: &ConfigOrder, printer: &Printer) -> anyhow::Result<Exit> {
    let env = Environment::of_process();
    match order {
        ConfigOrder::Show { settings, json } => show(&settings.flags(), &env, *json, printer),
        ConfigOrder::Check {
            file,
            config,
            strict,
            json,
        } => {
            let file = file.as_ref().or(config.as_ref());
            check(file, &env, *strict, *json, printer)
        }
        ConfigOrder::Schema => {
            printer.answer(serde_json::to_string_pretty(&schema())?)?;
            Ok(Exit::Success)
        }
        ConfigOrder::Init(args) => init::run(args, &env, printer),
    }
}

fn show(flags: &Flags, env: &Environment, json: bool, printer: &Printer) -> anyhow::Result<Exit> {
    let effective = Effective::of(flags, env);
    if json {
        printer.answer(serde_json::to_string_pretty(&json::all(&effective))?)?;
    } else {
        printer.answer(table::table(&effective))?;
        say_findings(&effective, printer);
    }
    Ok(exit(&effective, false))
}

fn check(
    file: Option<&PathBuf>,
    env: &Environment,
    strict: bool,
    json: bool,
    printer: &Printer,
) -> anyhow::Result<Exit> {
    let flags = Flags {
        config: file.cloned(),
        ..Flags::default()
    };
    let effective = Effective::of(&flags, env);
    let exit = exit(&effective, strict);
    if json {
        printer.answer(serde_json::to_string_pretty(&json::findings(
            &effective,
            exit == Exit::Success,
        ))?)?;
    } else {
        say_findings(&effective, printer);
        if let Some(config) = &effective.config {
            let keys = config.plan.pools().map(|pool| pool.keys.len()).sum();
            let pools = config.plan.pools().count();
            printer.say(format!(
                "{}: {} in {}",
                effective
                    .file
                    .as_deref()
                    .map_or_else(nowhere, |file| format!("{} can be used", file.display())),
                count(keys, "key"),
                count(pools, "pool"),
            ))?;
        }
    }
    // A command line that names nothing is wrong, not the file.
    let is_missing = |file: &PathBuf| !Path::new(file).try_exists().unwrap_or(true);
    Ok(if file.is_some_and(is_missing) {
        Exit::Usage
    } else {
        exit
    })
}

/// What is checked where there is no file.
fn nowhere() -> String {
    "there is no configuration file, and what the environment says can be used".to_owned()
}

fn say_findings(effective: &Effective, printer: &Printer) {
    for problem in &effective.problems {
        printer.error(problem);
    }
    for note in &effective.notes {
        match note.level {
            NoteLevel::Warning => printer.warn(&note.text),
            NoteLevel::Info => printer.note(&note.text),
        }
    }
}

fn exit(effective: &Effective, strict: bool) -> Exit {
    let warned = effective
        .notes
        .iter()
        .any(|note| note.level == NoteLevel::Warning);
    if effective.problems.is_empty() && !(strict && warned) {
        Exit::Success
    } else {
        Exit::Failure
    }
}
