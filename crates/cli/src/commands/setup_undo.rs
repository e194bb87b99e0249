//! `api-key-lb setup --undo`: takes back what setup has done; with `--purge`, everything.

use std::path::Path;

use api_key_lb_agents::agents::called;
use api_key_lb_control::Environment;
use api_key_lb_control::config::Location;
use api_key_lb_control::runtime_file::state_dir;

use crate::args::{PlaceArgs, SetupArgs, StopArgs};
use crate::exit::Exit;
use crate::printer::{self, Printer};
use crate::prompt;
use crate::service::Manager;
use crate::setup::apply::BACKUPS;
use crate::setup::journal::{Base, Journal, identity};
use crate::setup::purge::Purge;
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
    let config = Location::for_setup(&args.plan.flags(), &env).map(|location| location.path);
    // Whoever names a configuration means what was done for that one.
    let named = args.plan.place.config.as_deref().map(identity);
    if args.purge {
        // Before anything is taken back: there may be nothing of ours at that path.
        Purge::of(config.as_deref(), (&state, &journal), &env)?;
    }
    let outcomes = undo(&mut journal, named.as_deref(), args.dry_run)?;
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
        let stays = |base: &Base| named.as_ref().is_some_and(|named| base.config != *named);
        journal.bases.retain(stays);
        journal.save()?;
    }
    let wish = service::Wish {
        manager: args.manager.unwrap_or(Manager::of_system()),
        ask: false,
        dry: args.dry_run,
    };
    if !args.no_service {
        let whose = service::Whose::Setups(named.as_deref());
        service::undo(&mut journal, &env, (whose, wish), printer)?;
    }
    let exit = if args.purge {
        let of = (config.as_deref(), &mut journal);
        purge(args, of, wish, (&state, &home, &env), printer)?
    } else {
        Exit::Success
    };
    if args.dry_run {
        printer.say("\nNothing was changed.")?;
    }
    Ok(exit)
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

/// Stops what runs, and removes the configuration and what was stored for its proxy; says whether all of it.
fn purge(
    args: &SetupArgs,
    (config, journal): (Option<&Path>, &mut Journal),
    wish: service::Wish,
    (state, home, env): (&Path, &Path, &Environment),
    printer: &Printer,
) -> anyhow::Result<Exit> {
    let purge = Purge::of(config, (state, journal), env)?;
    if purge.is_empty() {
        printer.say("There is no configuration and nothing stored.")?;
        return Ok(Exit::Success);
    }
    let named: Vec<String> = purge.named().iter().map(|path| tilde(path, home)).collect();
    let named = named.join(" and ");
    let kept = |printer: &Printer| {
        if !purge.others.is_empty() {
            let ports: Vec<String> = purge.others.iter().map(u16::to_string).collect();
            printer.note(format!(
                "what is stored for other proxies (port {}) stays in {}; theirs goes with `--config FILE`",
                ports.join(", "),
                tilde(state, home)
            ));
        }
    };
    if args.dry_run {
        printer.say(format!("{named} would be removed"))?;
        kept(printer);
        return Ok(Exit::Success);
    }
    if !args.yes {
        if !prompt::is_possible() {
            printer.error(format!(
                "`--purge` asks before it removes {named}, and there is no terminal to ask at; say `--yes`"
            ));
            return Ok(Exit::Usage);
        }
        let question =
            format!("Remove {named}, with the keys, usage, logs and copies ({BACKUPS}) in it?");
        if !prompt::yes(&question, false)? {
            printer.say(format!("Kept {named}"))?;
            return Ok(Exit::Success);
        }
    }
    // A proxy that runs on would write down again what is removed, and one that a service runs would come back.
    if let (Some(config), false) = (config, args.no_service) {
        let whose = service::Whose::Of(&identity(config));
        service::undo(journal, env, (whose, wish), printer)?;
    }
    for port in purge.running(state) {
        let place = PlaceArgs {
            port: Some(port),
            config: purge.config.first().cloned(),
        };
        if stop::run(&StopArgs { place }, printer)? != Exit::Success {
            return Ok(Exit::Failure);
        }
    }
    purge.carry_out()?;
    printer.say(format!("{} {named}", printer::good("Removed")))?;
    kept(printer);
    Ok(Exit::Success)
}
