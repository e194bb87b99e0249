//! `api-key-lb setup --undo`: takes back what setup has done; with `--purge`, everything.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use api_key_lb_agents::agents::called;
use api_key_lb_control::Environment;
use api_key_lb_control::config::Location;
use api_key_lb_control::runtime_file::{Instance, state_dir};

use crate::args::{PlaceArgs, SetupArgs, StopArgs};
use crate::exit::Exit;
use crate::instance;
use crate::printer::{self, Printer};
use crate::prompt;
use crate::service::Manager;
use crate::setup::apply::BACKUPS;
use crate::setup::journal::Journal;
use crate::setup::service;
use crate::setup::show::tilde;
use crate::setup::undo::{Outcome, Undone, undo};

use super::stop;

/// Runs the command.
pub(super) fn run(args: &SetupArgs, printer: &Printer) -> anyhow::Result<Exit> {
    let env = Environment::of_process();
    let (Some(state), Some(home)) = (state_dir(&env), env.home.clone()) else {
        printer.error(
            "there is no home directory ($HOME), so nothing is known of what setup has done",
        );
        return Ok(Exit::Failure);
    };
    let mut journal = Journal::load(&state)?;
    let outcomes = undo(&mut journal, args.dry_run)?;
    if outcomes.is_empty() {
        printer
            .say("No agent's files have been changed by setup, or all is taken back already.")?;
    }
    let mut failed = false;
    for undone in &outcomes {
        failed |= tell(undone, args.dry_run, &home, printer)?;
    }
    if failed {
        // An agent that still leads to the proxy needs it.
        printer.note("the service, the keys and the configuration stay until that is resolved");
        return Ok(Exit::Failure);
    }
    if !args.dry_run {
        journal.bases.clear();
        journal.save()?;
    }
    let wish = service::Wish {
        manager: args.manager.unwrap_or(Manager::of_system()),
        ask: false,
        dry: args.dry_run,
    };
    if !args.no_service {
        service::undo(&mut journal, &env, (false, wish), printer)?;
    }
    if args.purge {
        failed = !purge(args, &mut journal, wish, (&state, &home, &env), printer)?;
    }
    if args.dry_run {
        printer.say("\nNothing was changed.")?;
    }
    Ok(if failed { Exit::Failure } else { Exit::Success })
}

/// Says what became of a file; whether it is a failure.
fn tell(undone: &Undone, dry: bool, home: &Path, printer: &Printer) -> anyhow::Result<bool> {
    let name = called(&undone.agent).map_or(undone.agent.as_str(), |agent| agent.name());
    let path = tilde(&undone.path, home);
    let would = if dry { "would be " } else { "" };
    match &undone.outcome {
        Outcome::Restored { left } => {
            printer.say(format!(
                "{} {name}: {path} {would}as it was",
                printer::good("ok")
            ))?;
            for left in left {
                printer.note(format!(
                    "{left} in {path} was changed by somebody else since, and stays"
                ));
            }
        }
        Outcome::Removed => {
            printer.say(format!(
                "{} {name}: {path} {would}removed; setup had made it",
                printer::good("ok")
            ))?;
        }
        Outcome::Gone => printer.note(format!(
            "{name}: {path} is gone; there is nothing to take back"
        )),
        Outcome::Failed { why, backup } => {
            let copy = backup
                .as_ref()
                .map(|backup| format!("; what it said before setup is in {}", tilde(backup, home)))
                .unwrap_or_default();
            printer.error(format!("{name}: {path} was left as it is: {why}{copy}"));
            return Ok(true);
        }
    }
    Ok(false)
}

/// Stops what runs, and removes the configuration and everything that was stored; says whether all of it.
fn purge(
    args: &SetupArgs,
    journal: &mut Journal,
    wish: service::Wish,
    (state, home, env): (&Path, &Path, &Environment),
    printer: &Printer,
) -> anyhow::Result<bool> {
    let config = Location::for_setup(&args.plan.flags(), env).map(|location| location.path);
    let config = config.filter(|path| path.exists());
    let mut parts: Vec<PathBuf> = config.iter().cloned().collect();
    if state.exists() {
        parts.push(state.to_owned());
    }
    if parts.is_empty() {
        printer.say("There is no configuration and nothing stored.")?;
        return Ok(true);
    }
    let named: Vec<String> = parts.iter().map(|path| tilde(path, home)).collect();
    let named = named.join(" and ");
    let question =
        format!("Remove {named}, with the keys, usage, logs and copies ({BACKUPS}) in it?");
    if !args.yes && !args.dry_run && prompt::is_possible() && !prompt::yes(&question, false)? {
        printer.say(format!("Kept {named}"))?;
        return Ok(true);
    }
    if args.dry_run {
        printer.say(format!("{named} would be removed"))?;
        return Ok(true);
    }
    // A proxy that runs on would write down again what is removed, and one that a service runs would come back.
    service::undo(journal, env, (!args.no_service, wish), printer)?;
    let running = Instance::all(state);
    for port in running.iter().map(|instance| instance.port) {
        let place = PlaceArgs {
            port: Some(port),
            config: config.clone(),
        };
        let is_there = running
            .iter()
            .any(|one| one.port == port && !instance::is_gone(one.pid));
        if is_there && stop::run(&StopArgs { place }, printer)? != Exit::Success {
            return Ok(false);
        }
    }
    for path in &parts {
        let removed = if path.is_dir() && !path.is_symlink() {
            std::fs::remove_dir_all(path)
        } else {
            std::fs::remove_file(path)
        };
        removed.with_context(|| format!("cannot remove {}", path.display()))?;
    }
    // If nothing else is in it.
    if let Some(directory) = config.as_deref().and_then(Path::parent)
        && directory.ends_with(".config/api-key-lb")
    {
        drop(std::fs::remove_dir(directory));
    }
    printer.say(format!("{} {named}", printer::good("Removed")))?;
    Ok(true)
}
