//! `api-key-lb restart`: has the running process hand over to a new one, and waits until that serves.

use std::time::{Duration, Instant};

use api_key_lb_control::runtime_file::{Instance, Supervisor};

use crate::admin::RESTART_PATH;
use crate::args::RestartArgs;
use crate::desk::Standing;
use crate::exit::Exit;
use crate::instance;
use crate::printer::{self, Printer};
use crate::supervisor::{self, Request};

use super::orders::Found;

/// How long a new process may take until it serves, and some more for the old one to say that it
/// took too long.
const DEADLINE: Duration = Duration::from_secs(25);

/// How long after the end of the old process the new one may need to be noted.
const ANNOUNCED: Duration = Duration::from_secs(2);

/// Runs the command.
pub(super) fn run(args: &RestartArgs, printer: &Printer) -> anyhow::Result<Exit> {
    let found = match Found::by(&args.place, printer) {
        Ok(found) => found,
        Err(why) => {
            printer.error(why);
            return Ok(Exit::Failure);
        }
    };
    match &found.noted.supervisor {
        None | Some(Supervisor::Systemd { notify: true, .. }) => hand_over(&found, printer),
        Some(supervisor) => through(supervisor, &found, printer),
    }
}

fn hand_over(found: &Found, printer: &Printer) -> anyhow::Result<Exit> {
    let order = found.order(RESTART_PATH)?;
    let old = &found.noted;
    let mut gone: Option<Instant> = None;
    let ended = Found::wait(DEADLINE, || {
        let successor = Instance::all(&found.dir)
            .into_iter()
            .find(|noted| noted.predecessor.as_ref() == Some(&old.instance));
        if let Some(successor) = successor {
            return Some(Ok(successor));
        }
        // Once it has handed over, whoever answers does not know the order.
        match found.standing(order) {
            Ok(Standing::Done(outcome)) => Some(Err(outcome.error.unwrap_or_default())),
            _ if !instance::is_gone(old.pid) => None,
            _ if gone.get_or_insert_with(Instant::now).elapsed() < ANNOUNCED => None,
            _ => Some(Err("it was stopped meanwhile".to_owned())),
        }
    });
    match ended {
        Some(Ok(successor)) => {
            say(old, &successor, printer)?;
            Ok(Exit::Success)
        }
        Some(Err(why)) => {
            let goes_on = if gone.is_some() {
                "has ended"
            } else {
                "goes on"
            };
            printer.error(format!(
                "not restarted, process {} {goes_on}: {why}",
                old.pid
            ));
            Ok(Exit::Failure)
        }
        None => {
            printer.error(format!(
                "no new process serves after {} s; `api-key-lb status` says which one does",
                DEADLINE.as_secs()
            ));
            Ok(Exit::Failure)
        }
    }
}

/// What else starts processes has to do it itself.
fn through(supervisor: &Supervisor, found: &Found, printer: &Printer) -> anyhow::Result<Exit> {
    let (command, asked) = supervisor::ask(supervisor, Request::Restart);
    if let Err(why) = asked {
        printer.error(format!("not restarted: {why}"));
        return Ok(Exit::Failure);
    }
    let old = &found.noted;
    let successor = Found::wait(DEADLINE, || {
        let noted = Instance::read(&found.dir, old.port).ok().flatten();
        noted.filter(|noted| noted.instance != old.instance)
    });
    match successor {
        Some(successor) => {
            printer.note(format!("through `{command}`"));
            say(old, &successor, printer)?;
            Ok(Exit::Success)
        }
        None => {
            printer.error(format!(
                "`{command}` succeeded, but no new process serves on port {} after {} s; the log of \
                 {} says why",
                old.port,
                DEADLINE.as_secs(),
                supervisor::name(supervisor)
            ));
            Ok(Exit::Failure)
        }
    }
}

fn say(old: &Instance, new: &Instance, printer: &Printer) -> anyhow::Result<()> {
    let place = if old.port == new.port {
        String::new()
    } else {
        format!(", now on port {}", new.port)
    };
    printer.say(format!(
        "{}: process {} has taken over from {}{place}",
        printer::good("Restarted"),
        new.pid,
        old.pid
    ))?;
    Ok(())
}
