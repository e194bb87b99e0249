//! `api-key-lb reload`: has the running proxy read its configuration again, and says what came of it.

use std::time::Duration;

use crate::admin::RELOAD_PATH;
use crate::args::ReloadArgs;
use crate::exit::Exit;
use crate::printer::Printer;
use crate::reload::told;

use super::orders::Found;

/// How long reading a configuration may take.
const DEADLINE: Duration = Duration::from_secs(20);

/// Runs the command.
pub(super) fn run(args: &ReloadArgs, printer: &Printer) -> anyhow::Result<Exit> {
    let found = match Found::by(&args.place, printer) {
        Ok(found) => found,
        Err(why) => {
            printer.error(why);
            return Ok(Exit::Failure);
        }
    };
    let order = found.order(RELOAD_PATH)?;
    let outcome = Found::wait(DEADLINE, || found.outcome(order).transpose()).transpose()?;
    let Some(outcome) = outcome else {
        printer.error(format!(
            "process {} has not reloaded its configuration within {} s; `api-key-lb status` says what \
             is in force",
            found.noted.pid,
            DEADLINE.as_secs()
        ));
        return Ok(Exit::Failure);
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
