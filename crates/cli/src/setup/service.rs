//! The step of `setup` that has the system run the proxy, and the way back.

use std::path::Path;

use api_key_lb_control::Environment;

use crate::args::PlaceArgs;
use crate::printer::{self, Printer};
use crate::prompt;
use crate::service::{self, Availability, Change, Machine, Manager, Removal, Wanted};

use super::journal::{Journal, identity};

/// What came of the step.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Whether the proxy runs now, as a service.
    pub(crate) runs: bool,
    /// Whether there should be a service and could not.
    pub(crate) failed: bool,
}

/// How far to go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish {
    /// Who manages services.
    pub(crate) manager: Manager,
    /// Ask first.
    pub(crate) ask: bool,
    /// Only say what would be done.
    pub(crate) dry: bool,
}

/// Installs the service for this configuration file, or brings it up to date. Where there can be none, that is said
/// and is no failure: the proxy can be started without.
///
/// # Errors
/// If nothing can be noted or printed, or nobody answers.
pub(crate) fn run(
    config: &Path,
    (env, state): (&Environment, &Path),
    wish: Wish,
    printer: &Printer,
) -> anyhow::Result<Outcome> {
    let machine = Machine::of_process(env, wish.manager)?;
    printer.say(format!("\n{}", printer::strong("Service")))?;
    if let Availability::No(why) = service::is_available(&machine) {
        // The first line says it; the others are what a program said.
        printer.say(format!("  {}", why.lines().next().unwrap_or_default()))?;
        return Ok(Outcome::default());
    }
    let name = wish.manager.as_str();
    if wish.dry {
        printer.say(format!(
            "  would be installed for {name}, so that the proxy runs from every login on, unless it is already"
        ))?;
        return Ok(Outcome::default());
    }
    if wish.ask
        && !prompt::yes(
            &format!("  Have {name} run the proxy from every login on?"),
            true,
        )?
    {
        return Ok(Outcome::default());
    }
    let place = PlaceArgs {
        port: None,
        config: Some(config.to_owned()),
    };
    let installed = Wanted::of(&place, false, machine).and_then(|wanted| {
        for warning in &wanted.warnings {
            printer.warn(warning);
        }
        service::install(&wanted, printer)
    });
    let installed = match installed {
        Ok(installed) => installed,
        Err(error) => {
            printer.failure(&error);
            return Ok(Outcome {
                failed: true,
                ..Outcome::default()
            });
        }
    };
    if installed.change == Change::New {
        let mut journal = Journal::load(state)?;
        journal.service = Some(identity(config));
        journal.save()?;
    }
    if let Some(path) = &installed.predecessor {
        printer.note(format!(
            "it replaces the npm package's service, which is kept in {}; `--undo` puts it back",
            path.display()
        ));
    }
    let what = match installed.change {
        Change::New => "installed; it runs now and from every login on",
        Change::Updated => "updated; it runs with what has changed",
        Change::Started => "started; it runs now and from every login on",
        Change::None => "installed already, and runs",
    };
    printer.say(format!("  {} ({name}) {what}", printer::good("ok")))?;
    Ok(Outcome {
        runs: true,
        failed: false,
    })
}

/// Which service is meant.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Whose<'w> {
    /// The one that `setup` has made, for this configuration or any.
    Setups(Option<&'w Path>),
    /// The one of this configuration, whoever has made it.
    Of(&'w Path),
}

/// Removes the service that is meant, if there is one; the npm package's comes back.
///
/// # Errors
/// In words: what is in the way.
pub(crate) fn undo(
    journal: &mut Journal,
    env: &Environment,
    (of, wish): (Whose<'_>, Wish),
    printer: &Printer,
) -> anyhow::Result<()> {
    let machine = Machine::of_process(env, wish.manager)?;
    let is_meant = match (of, &journal.service) {
        (Whose::Setups(None), made) => made.is_some(),
        (Whose::Setups(Some(of)), made) => made.as_deref() == Some(of),
        (Whose::Of(of), _) => {
            let config = service::status(&machine)?.and_then(|report| report.config);
            config.is_some_and(|config| identity(Path::new(&config)) == of)
        }
    };
    if !is_meant {
        return Ok(());
    }
    if wish.dry {
        printer.say(format!(
            "{} the service would be removed",
            printer::good("ok")
        ))?;
        return Ok(());
    }
    let removal = Removal {
        force: false,
        restore: true,
    };
    let removed = service::uninstall(&machine, removal, printer)?;
    journal.service = None;
    journal.save()?;
    if !removed.files.is_empty() {
        printer.say(format!("{} the service is removed", printer::good("ok")))?;
    }
    if let Some(path) = &removed.restored {
        printer.say(format!(
            "{} the npm package's service is back: {}",
            printer::good("ok"),
            path.display()
        ))?;
    }
    Ok(())
}
