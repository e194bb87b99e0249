//! `api-key-lb reload`: has the running proxy read its configuration again, and says what came of it.

use std::time::Duration;

use crate::admin::RELOAD_PATH;
use crate::args::{PlaceArgs, ReloadArgs};
use crate::desk::{Outcome, Standing};
use crate::exit::Exit;
use crate::printer::Printer;
use crate::reload::told;

use super::orders::Found;

/// How long reading a configuration may take.
const DEADLINE: Duration = Duration::from_secs(20);

/// How often it is ordered anew of a process that has taken over meanwhile.
const TRIES: usize = 3;
/// How long that may take to be done with it.
const AGAIN: Duration = Duration::from_millis(200);

/// Runs the command.
pub(super) fn run(args: &ReloadArgs, printer: &Printer) -> anyhow::Result<Exit> {
    let outcome = match order(&args.place, printer)? {
        Ok(outcome) => outcome,
        Err(why) => {
            printer.error(why);
            return Ok(Exit::Failure);
        }
    };
    if let Some(why) = &outcome.error {
        printer.error(format!(
            "not reloaded, the configuration before stays in force: {why}"
        ));
        return Ok(Exit::Failure);
    }
    for text in &outcome.warnings {
        printer.warn(text);
    }
    printer.say(told(&outcome))?;
    Ok(Exit::Success)
}

/// Has the proxy that is meant read its configuration again; why nobody knows what came of it, in words.
pub(super) fn order(
    place: &PlaceArgs,
    printer: &Printer,
) -> anyhow::Result<Result<Outcome, String>> {
    let mut found;
    let mut tries = 0;
    let outcome = loop {
        tries += 1;
        found = match Found::by(place, printer) {
            Ok(found) => found,
            Err(why) => return Ok(Err(why)),
        };
        let order = match found.order(RELOAD_PATH) {
            Ok(order) => order,
            // As below.
            Err(_) if tries < TRIES => {
                std::thread::sleep(AGAIN);
                continue;
            }
            Err(error) => return Err(error),
        };
        let standing = Found::wait(DEADLINE, || match found.standing(order) {
            Ok(Standing::Open) => None,
            standing => Some(standing),
        });
        match standing.transpose()? {
            Some(Standing::Done(outcome)) => break Some(outcome),
            // Another process has taken over meanwhile, and may have read what was before.
            Some(_) if tries < TRIES => {}
            _ => break None,
        }
    };
    Ok(outcome.ok_or_else(|| {
        format!(
            "process {} has not reloaded its configuration within {} s; `api-key-lb status` says what \
             is in force",
            found.noted.pid,
            DEADLINE.as_secs()
        )
    }))
}
